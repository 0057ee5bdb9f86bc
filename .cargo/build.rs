//! How the program is linked.

use std::env::var;
use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=.cargo/build.rs");
    let of = |name: &str| var(name).unwrap_or_default();
    let is_gnu = of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if is_gnu && of("HOST") == of("TARGET") && has_unwinder() {
        // Finding and preparing libgcc_s.so takes a tenth of what a short run takes. What is needed of it is in this archive.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
}

/// True if the C compiler that links has the unwinder of GCC as an archive. Some have another one, or none.
fn has_unwinder() -> bool {
    let linker = var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    // What is not found is printed as it was asked for.
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
}
