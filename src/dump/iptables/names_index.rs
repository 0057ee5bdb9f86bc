//! Finds a chain by its name.
//!
//! iptables prints chains in the order of their names. A run of ascending names needs no table while a text is scanned:
//! a name above the last one is new, and an old one is found by halving. Only names out of order are hashed. Whoever
//! looks up many names has the whole run hashed once ([`NameIndex::hash_all`]).

use std::hash::BuildHasher as _;
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::{DefaultHashBuilder, HashTable};

/// So many ascending names are a run that is kept; a shorter one is hashed when the order breaks.
const RUN: usize = 64;

/// Positions of names in a list that only grows. The list itself is given with every call.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    hasher: DefaultHashBuilder,
    /// Positions of ascending names, without a gap.
    run: Range<usize>,
    /// Positions of names outside the run.
    scattered: HashTable<u32>,
    /// Positions of the run's names, once they were worth hashing.
    hashed_run: OnceLock<HashTable<u32>>,
}

impl NameIndex {
    /// The position of `name` in `names`.
    pub(super) fn find<'a>(&self, names: &[impl Named<'a>], name: &str) -> Option<usize> {
        let hash = self.hasher.hash_one(name);
        let same = |&at: &u32| names[at as usize].name() == name;
        if let Some(&at) = self.scattered.find(hash, same) {
            return Some(at as usize);
        }
        match self.hashed_run.get() {
            Some(run) => run.find(hash, same).map(|&at| at as usize),
            None => {
                let run = &names[self.run.clone()];
                run.binary_search_by(|n| n.name().cmp(name)).ok().map(|at| self.run.start + at)
            }
        }
    }

    /// Notes that `name` is about to become the last of `names`, in which it is not yet.
    pub(super) fn add<'a>(&mut self, names: &[impl Named<'a>], name: &str) {
        let next = names.len();
        self.hashed_run.take();
        let ascends = self.run.end == next && names.last().is_none_or(|last| last.name() < name);
        if ascends || self.run.is_empty() {
            self.run = if ascends { self.run.start..next + 1 } else { next..next + 1 };
        } else if self.run.len() < RUN {
            for at in std::mem::replace(&mut self.run, next..next + 1) {
                self.scatter(names, at, names[at].name());
            }
        } else {
            self.scatter(names, next, name);
        }
    }

    /// True if `name` is above every name of the list and so cannot be in it.
    pub(super) fn is_beyond<'a>(&self, names: &[impl Named<'a>], name: &str) -> bool {
        let last = names.last().filter(|_| self.run.end == names.len());
        last.is_some_and(|last| last.name() < name)
            && self.scattered.find(self.hasher.hash_one(name), |&at| names[at as usize].name() == name).is_none()
    }

    /// Prepares for many look-ups.
    pub(super) fn hash_all<'a>(&self, names: &[impl Named<'a>]) {
        self.hashed_run.get_or_init(|| {
            let mut table = HashTable::with_capacity(self.run.len());
            for at in self.run.clone() {
                let hash = self.hasher.hash_one(names[at].name());
                table.insert_unique(hash, position(at), |&at| self.hasher.hash_one(names[at as usize].name()));
            }
            table
        });
    }

    fn scatter<'a>(&mut self, names: &[impl Named<'a>], at: usize, name: &str) {
        let hasher = &self.hasher;
        // The name at `at` may not be in the list yet; the table asks only for those it holds.
        let rehash = |&at: &u32| hasher.hash_one(names[at as usize].name());
        self.scattered.insert_unique(hasher.hash_one(name), position(at), rehash);
    }
}

/// Something in a list that has a name.
pub(super) trait Named<'a> {
    /// The name.
    fn name(&self) -> &'a str;
}

/// A text of 2^32 bytes holds fewer chains than that.
fn position(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Named<'static> for &'static str {
        fn name(&self) -> &'static str {
            self
        }
    }

    /// Adds every name once and looks all of them up, before and after hashing.
    fn check(all: &[&'static str]) {
        let mut index = NameIndex::default();
        let mut names: Vec<&'static str> = Vec::new();
        for name in all {
            let known = names.iter().position(|n| n == name);
            assert_eq!(index.find(&names, name), known);
            assert!(known.is_none() || !index.is_beyond(&names, name));
            if known.is_none() {
                index.add(&names, name);
                names.push(name);
            }
        }
        for hashed in [false, true] {
            if hashed {
                index.hash_all(&names);
            }
            for (at, name) in names.iter().enumerate() {
                assert_eq!(index.find(&names, name), Some(at), "{name}");
            }
            assert_eq!(index.find(&names, "nobody"), None);
            assert_eq!(index.find(&names, ""), None);
        }
    }

    #[test]
    fn names_are_found_in_any_order() {
        check(&[]);
        check(&["b", "a", "c", "a", "d", "b"]);
        let numbered: Vec<&'static str> = (0..300).map(|n| &*format!("N{n:03}").leak()).collect();
        check(&numbered);
        let backwards: Vec<&'static str> = numbered.iter().rev().copied().collect();
        check(&backwards);
        // Built-in chains, a long run, names below and above it, a second run.
        let mixed =
            ["PREROUTING", "INPUT"].into_iter().chain(numbered.iter().copied()).chain(["A", "Z", "N150", "B", "Z"]);
        check(&mixed.chain(backwards.iter().copied()).collect::<Vec<_>>());
    }
}
