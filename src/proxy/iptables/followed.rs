//! Which chains were met while pools were followed, so that nobody need go through their rules again.

use std::sync::atomic::{AtomicU64, Ordering};

/// Marks for the chains of one table. Threads that follow different services share them.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Some rule leads there. What is read is not marked here.
    reached: Vec<AtomicU64>,
    /// Every rule of the chain was read, and what these lead to is reached.
    read: Vec<AtomicU64>,
}

impl Followed {
    /// No marks, for so many chains.
    pub(super) fn new(chains: usize) -> Self {
        let none = || (0..chains.div_ceil(64)).map(|_| AtomicU64::new(0)).collect();
        Self { reached: none(), read: none() }
    }

    /// Marks the chain with this number as reached.
    pub(super) fn reach(&self, chain: usize) {
        set(&self.reached, chain);
    }

    /// Marks it as reached and read.
    pub(super) fn read(&self, chain: usize) {
        set(&self.read, chain);
    }

    /// True if some rule leads there.
    pub(super) fn is_reached(&self, chain: usize) -> bool {
        is_set(&self.reached, chain) || self.is_read(chain)
    }

    /// True if every rule of the chain was read.
    pub(super) fn is_read(&self, chain: usize) -> bool {
        is_set(&self.read, chain)
    }
}

// The marks are looked at after the threads that set them have ended, which is all the order they need.

fn set(marks: &[AtomicU64], at: usize) {
    if let Some(word) = marks.get(at / 64) {
        word.fetch_or(1 << (at % 64), Ordering::Relaxed);
    }
}

fn is_set(marks: &[AtomicU64], at: usize) -> bool {
    marks.get(at / 64).is_some_and(|word| word.load(Ordering::Relaxed) & (1 << (at % 64)) != 0)
}
