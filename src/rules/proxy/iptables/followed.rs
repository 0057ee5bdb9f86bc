//! Which chains were met while pools were followed, so that nobody need go through their rules again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;

/// Marks for the chains of one table. Threads that follow different services share them: each has a byte of its own, because a
/// bit among others would have to be waited for.
#[derive(Debug, Default)]
pub(super) struct Followed {
    /// Some rule leads there. What is read is not marked here.
    reached: Vec<AtomicBool>,
    /// Every rule of the chain was read, and what these lead to is reached.
    read: Vec<AtomicBool>,
    /// Chains of no known name that were looked into, and whether they are pools.
    pools: Mutex<HashMap<usize, bool>>,
}

impl Followed {
    /// No marks, for so many chains.
    pub(super) fn new(chains: usize) -> Self {
        let none = || (0..chains).map(|_| AtomicBool::new(false)).collect();
        Self { reached: none(), read: none(), pools: Mutex::default() }
    }

    /// Marks the chain with this number as reached.
    pub(super) fn reach(&self, chain: usize) {
        set(&self.reached, chain);
    }

    /// Marks it as reached and read.
    pub(super) fn read(&self, chain: usize) {
        set(&self.read, chain);
    }

    /// True if the chain with this number is a pool, which is looked up by `look` the first time only: every Service may lead there.
    pub(super) fn is_pool(&self, chain: usize, look: impl FnOnce() -> bool) -> bool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        *pools.entry(chain).or_insert_with(look)
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

fn set(marks: &[AtomicBool], at: usize) {
    if let Some(mark) = marks.get(at) {
        mark.store(true, Ordering::Relaxed);
    }
}

fn is_set(marks: &[AtomicBool], at: usize) -> bool {
    marks.get(at).is_some_and(|mark| mark.load(Ordering::Relaxed))
}
