//! How the program is linked.

use std::env::var;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Leaves out what unwinding needs: a release aborts on a panic, and what std brings of it is a twentieth of the program.
const WITHOUT_UNWIND_TABLES: &str = "SECTIONS { /DISCARD/ : { *(.eh_frame) *(.eh_frame_hdr) *(.gcc_except_table .gcc_except_table.*) } } INSERT AFTER .text;\n";

fn main() {
    println!("cargo::rerun-if-changed=.cargo/build.rs");
    let of = |name: &str| var(name).unwrap_or_default();
    let is_gnu = of("CARGO_CFG_TARGET_OS") == "linux" && of("CARGO_CFG_TARGET_ENV") == "gnu";
    if !is_gnu || of("HOST") != of("TARGET") {
        return;
    }
    if has_unwinder() {
        // Finding and preparing libgcc_s.so takes a tenth of what a short run takes. What is needed of it is in this archive.
        println!("cargo::rustc-link-lib=static:-bundle=gcc_eh");
    }
    // Before the mathematics that one library brings, so that each name is looked for where nearly all of them are.
    println!("cargo::rustc-link-lib=dylib=c");
    if of("PROFILE") == "release" {
        for argument in smaller(&PathBuf::from(of("OUT_DIR"))) {
            println!("cargo::rustc-link-arg-bins={argument}");
        }
    }
}

/// True if the C compiler that links has the unwinder of GCC as an archive. Some have another one, or none.
fn has_unwinder() -> bool {
    let linker = var("RUSTC_LINKER").unwrap_or_else(|_| "cc".to_owned());
    let found = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output();
    // What is not found is printed as it was asked for.
    found.is_ok_and(|found| Path::new(String::from_utf8_lossy(&found.stdout).trim()).is_absolute())
}

/// What makes the linker write a program that is smaller, and starts sooner, as far as the linker of this machine can do it. Not all
/// know how to make one of functions that are the same. A program that is loaded where it was linked for has no places that depend
/// on where that is: to fill in fifteen thousand, on seventy pages that then are its own, takes a tenth of a short run. kubectl and
/// kube-proxy are linked so too.
fn smaller(room: &Path) -> Vec<String> {
    let script = room.join("without_unwind_tables.ld");
    if fs::write(&script, WITHOUT_UNWIND_TABLES).is_err() {
        return Vec::new();
    }
    let tables = [format!("-Wl,-T,{}", script.display()), "-Wl,--no-eh-frame-hdr".to_owned()];
    let same = ["-Wl,--icf=all".to_owned()];
    let fixed = ["-no-pie".to_owned()];
    let mut arguments = Vec::new();
    for more in [tables.as_slice(), &same, &fixed] {
        let tried = [arguments.as_slice(), more].concat();
        if links(room, &tried) {
            arguments = tried;
        }
    }
    arguments
}

/// True if a program that is linked so runs.
fn links(room: &Path, arguments: &[String]) -> bool {
    let (source, program) = (room.join("probe.rs"), room.join("probe"));
    if fs::write(&source, "fn main() { println!(\"{}\", std::env::args().count()); }\n").is_err() {
        return false;
    }
    let mut rustc = Command::new(var("RUSTC").unwrap_or_else(|_| "rustc".to_owned()));
    rustc.args(["--edition=2024", "-Cpanic=abort", "-o"]).arg(&program).arg(&source);
    rustc.args(var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default().split('\u{1f}').filter(|flag| !flag.is_empty()));
    rustc.args(var("RUSTC_LINKER").map(|linker| format!("-Clinker={linker}")));
    rustc.args(arguments.iter().map(|argument| format!("-Clink-arg={argument}")));
    let is_linked = rustc.output().is_ok_and(|output| output.status.success());
    is_linked && Command::new(&program).output().is_ok_and(|output| output.stdout == b"1\n")
}
