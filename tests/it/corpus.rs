//! What must hold of any input holds of every input that the fuzz targets in tests/fuzz keep: their corpus, and what once
//! broke something.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use crate::harness::{TARGETS, holds};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

/// Asserts that everything holds of an input; a failure names it.
fn try_input(target: &str, name: &str, data: &[u8]) {
    let tried = std::panic::catch_unwind(|| holds(target, data));
    assert!(tried.is_ok(), "{target} does not hold of {name}");
}

/// The inputs of a corpus, which is one archive.
fn corpus(target: &str) -> Vec<(String, Vec<u8>)> {
    let path = fuzz().join(format!("corpus/{target}.tar.gz"));
    let packed = fs::File::open(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(packed));
    let entries = archive.entries().expect("a tar");
    let files = entries.map(|entry| entry.expect("a member")).filter(|entry| entry.header().entry_type().is_file());
    let input = |mut file: tar::Entry<'_, _>| {
        let mut data = Vec::new();
        file.read_to_end(&mut data).expect("a member");
        (file.path().expect("a name").display().to_string(), data)
    };
    files.map(input).collect()
}

/// Every input that one target keeps, tried on several threads of the test program.
fn replay(target: &str) {
    let inputs = corpus(target);
    assert!(inputs.len() > 5, "the corpus of {target} has {} inputs", inputs.len());
    for (name, data) in inputs {
        try_input(target, &name, &data);
    }
}

/// One test for each target, so that they run beside each other.
macro_rules! corpora {
    ($($target:ident)+) => {
        $(#[test]
        fn $target() {
            replay(stringify!($target));
        })+

        #[test]
        fn every_target_is_replayed_and_has_a_dictionary() {
            let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($target)),+]);
            for name in names {
                let folder = fuzz();
                for file in [format!("targets/{name}.rs"), format!("dict/{name}.dict")] {
                    assert!(folder.join(&file).exists(), "there is no {file}");
                }
            }
        }
    };
}

corpora! {
    archive ipset ipvsadm listing nft_json nft_text objects_json objects_yaml pipeline redact rules
}

#[test]
fn what_broke_something_once_breaks_nothing() {
    let mut tried = 0;
    for (target, _) in TARGETS {
        let Ok(folder) = fs::read_dir(fuzz().join("regressions").join(target)) else { continue };
        for entry in folder {
            let path = entry.expect("readable").path();
            try_input(target, &path.display().to_string(), &fs::read(&path).expect("readable"));
            tried += 1;
        }
    }
    assert!(tried > 0, "the inputs that broke something are missing");
}
