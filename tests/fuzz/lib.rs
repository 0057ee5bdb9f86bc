//! What all targets have in common: what must hold of an input, shared with the tests of the crate.

#[path = "../support/harness/mod.rs"]
mod harness;

/// Asserts that everything holds of `data` that the target called `name` asserts.
pub fn holds(name: &str, data: &[u8]) {
    harness::holds(name, data);
}
