//! The secret that pseudonyms are made of: without it nobody can try out names and compare.

use std::fmt;

use data_encoding::BASE32_NOPAD;
use sha2::{Digest, Sha256};

/// A key of 32 random bytes.
#[derive(Clone)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Bytes that only the key and what is hashed tell; `purpose` keeps apart what is hashed for different ends.
    pub(super) fn block(&self, purpose: &str, what: &[u8]) -> [u8; 32] {
        let begun = Sha256::new().chain_update(self.0).chain_update(purpose).chain_update([0]);
        begun.chain_update(what).finalize().into()
    }

    /// So many capital letters and digits, 48 at most.
    pub(super) fn letters(&self, purpose: &str, what: &str, count: usize) -> String {
        let mut text = BASE32_NOPAD.encode(&self.block(purpose, what.as_bytes()));
        text.truncate(count);
        text
    }
}

/// It must not get into a log.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}
