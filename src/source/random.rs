//! Random bytes of the system.

use std::fs::File;
use std::io::{self, Read as _};

/// Bytes that nobody can guess.
pub fn random() -> io::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes)
}
