//! What may be read as a kubeconfig: the reader takes a file whole, however long it is, and some have no end.

use std::fs::{self, Metadata};
use std::path::Path;

use crate::cluster::words::words;

/// The longest kubeconfig: room for the credentials of a thousand clusters.
const LONGEST: u64 = 16 << 20;

/// The longest file that a kubeconfig names: room for hundreds of certificates.
const LONGEST_NAMED: u64 = 1 << 20;

/// Fails if what `path` names cannot be a kubeconfig. What is not there, or is a folder, is told when it is read.
pub(super) fn check(path: &Path) -> Result<(), String> {
    let Ok(about) = fs::metadata(path) else { return Ok(()) };
    let refused = |why: &str| Err(format!("cannot read {}: {why}", path.display()));
    if about.is_file() && about.len() > LONGEST {
        return refused(&format!("it is larger than {} MiB, which no kubeconfig is", LONGEST >> 20));
    }
    if about.is_file() || about.is_dir() || is_pipe(&about) || is_null(&about) {
        return Ok(());
    }
    refused("a kubeconfig is a regular file or a pipe, and this is neither")
}

/// Fails if what `path` names cannot be the certificate, key or token that a kubeconfig has there: these are read whole too.
pub(super) fn check_named(path: &Path) -> Result<(), String> {
    let refused = |why: &str| Err(format!("cannot read {}, which the kubeconfig names: {why}", path.display()));
    let about = match fs::metadata(path) {
        Ok(about) => about,
        Err(error) => return refused(&words(&error.to_string())),
    };
    if !about.is_file() {
        return refused("it is no regular file");
    }
    if about.len() > LONGEST_NAMED {
        return refused(&format!(
            "it is larger than {} MiB, which no certificate, key or token is",
            LONGEST_NAMED >> 20
        ));
    }
    Ok(())
}

/// True for what a shell makes of `<(…)`.
#[cfg(unix)]
fn is_pipe(about: &Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type())
}

#[cfg(not(unix))]
fn is_pipe(_: &Metadata) -> bool {
    false
}

/// True for /dev/null, by which people say that there is no kubeconfig.
#[cfg(unix)]
fn is_null(about: &Metadata) -> bool {
    use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
    let null = fs::metadata("/dev/null").map(|null| null.rdev());
    about.file_type().is_char_device() && null.is_ok_and(|null| null == about.rdev())
}

#[cfg(not(unix))]
fn is_null(_: &Metadata) -> bool {
    false
}
