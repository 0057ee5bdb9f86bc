//! Finds a chain by its name.
//!
//! iptables prints chains in the order of their names. A run of ascending names needs no table while a text is scanned:
//! a name above the last one is new, and an old one is found by halving. Only names out of order are hashed. Whoever
//! looks up many names has the whole run hashed once ([`NameIndex::hash_all`]) and asks for several at a time
//! ([`NameIndex::find_several`]): names lie far apart in memory, and a processor waits for many places at once where little
//! is done between asking for one and for the next.

use std::hash::BuildHasher as _;
use std::num::NonZeroU32;
use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::{DefaultHashBuilder, HashTable};

/// So many ascending names are a run that is kept; a shorter one is hashed when the order breaks.
const RUN: usize = 64;

/// Fewer names outside the run than this are compared one by one.
const FEW: usize = 8;

/// Positions of names in a list that only grows. The list itself is given with every call.
#[derive(Debug, Default)]
pub(super) struct NameIndex {
    hasher: DefaultHashBuilder,
    /// Positions of ascending names, without a gap.
    run: Range<usize>,
    /// Positions of names outside the run.
    scattered: HashTable<u32>,
    /// A bit for each length that one of these has, the rest of 64.
    lengths: u64,
    /// The run's names by their hashes, once they were worth hashing.
    hashed_run: OnceLock<Slots>,
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
            Some(run) => run.candidates(hash).find(same).map(|at| at as usize),
            None => {
                let run = &names[self.run.clone()];
                run.binary_search_by(|n| n.name().cmp(name)).ok().map(|at| self.run.start + at)
            }
        }
    }

    /// The positions of several names, in their order. `name_at` gives the name at a position, from wherever it is best read.
    pub(super) fn find_several<'a>(
        &self,
        names: &[impl Named<'a>],
        wanted: &[&str],
        name_at: impl Fn(usize) -> &'a str,
    ) -> Vec<Option<usize>> {
        let Some(run) = self.hashed_run.get() else {
            return wanted.iter().map(|name| self.find(names, name)).collect();
        };
        // Each step asks for one place of each name, so that these are waited for together.
        let hashes: Vec<u64> = wanted.iter().map(|name| self.hasher.hash_one(name)).collect();
        let likely: Vec<Option<u32>> = hashes.iter().map(|hash| run.candidates(*hash).next()).collect();
        let known: Vec<&str> = likely.iter().map(|at| at.map_or("", |at| name_at(at as usize))).collect();
        let all = wanted.iter().zip(likely).zip(known);
        all.map(|((name, at), known)| match at {
            Some(at) if known == *name => Some(at as usize),
            _ => self.find(names, name),
        })
        .collect()
    }

    /// The position of `name` in `names`. If it has none, it is noted to be about to become the last.
    pub(super) fn find_or_add<'a>(&mut self, names: &[impl Named<'a>], name: &str) -> Option<usize> {
        if self.is_beyond(names, name) {
            self.hashed_run.take();
            self.run.end += 1;
            return None;
        }
        let known = self.find(names, name);
        if known.is_none() {
            self.add(names, name);
        }
        known
    }

    /// Notes that `name`, which goes on no run, is about to become the last of `names`, in which it is not yet.
    fn add<'a>(&mut self, names: &[impl Named<'a>], name: &str) {
        let next = names.len();
        self.hashed_run.take();
        if self.run.is_empty() {
            self.run = next..next + 1;
        } else if self.run.len() < RUN {
            for at in std::mem::replace(&mut self.run, next..next + 1) {
                self.scatter(names, at, names[at].name());
            }
        } else {
            self.scatter(names, next, name);
        }
    }

    /// True if `name` is above every name of the run, which the list ends with, and none of the others: it is not in the list.
    fn is_beyond<'a>(&self, names: &[impl Named<'a>], name: &str) -> bool {
        let last = names.last().filter(|_| self.run.end == names.len());
        // Nearly every name of a large dump is as long as no built-in chain's is.
        let may_be_scattered = self.lengths & length(name) != 0;
        let same = |at: &u32| names[*at as usize].name() == name;
        let is_scattered = || match self.scattered.len() {
            // Comparing the few built-in chains takes less than hashing the name.
            0..FEW => self.scattered.iter().any(same),
            _ => self.scattered.find(self.hasher.hash_one(name), same).is_some(),
        };
        last.is_some_and(|last| last.name() < name) && !(may_be_scattered && is_scattered())
    }

    /// Prepares for many look-ups.
    pub(super) fn hash_all<'a>(&self, names: &[impl Named<'a>]) {
        self.hashed_run.get_or_init(|| {
            let mut slots = Slots::for_names(self.run.len());
            for at in self.run.clone() {
                slots.insert(self.hasher.hash_one(names[at].name()), position(at));
            }
            slots
        });
    }

    fn scatter<'a>(&mut self, names: &[impl Named<'a>], at: usize, name: &str) {
        self.lengths |= length(name);
        let hasher = &self.hasher;
        // The name at `at` may not be in the list yet; the table asks only for those it holds.
        let rehash = |&at: &u32| hasher.hash_one(names[at as usize].name());
        self.scattered.insert_unique(hasher.hash_one(name), position(at), rehash);
    }
}

/// Positions by hash, open addressing. Half of the slots stay empty, and a slot holds enough of the hash that a wrong name is
/// hardly ever looked at.
#[derive(Debug)]
struct Slots(Vec<Slot>);

#[derive(Debug, Clone, Copy)]
struct Slot {
    /// The upper half of the hash.
    hash: u32,
    /// The position and one more; none in an empty slot.
    next: Option<NonZeroU32>,
}

impl Slots {
    fn for_names(count: usize) -> Self {
        Self(vec![Slot { hash: 0, next: None }; (2 * count + 1).next_power_of_two()])
    }

    fn insert(&mut self, hash: u64, at: u32) {
        let start = self.start(hash);
        let free = (start..self.0.len()).chain(0..start).find(|&slot| self.0[slot].next.is_none());
        if let Some(free) = free {
            self.0[free] = Slot { hash: upper(hash), next: NonZeroU32::new(at.saturating_add(1)) };
        }
    }

    /// Positions whose names have this hash, as far as a slot tells.
    fn candidates(&self, hash: u64) -> impl Iterator<Item = u32> {
        let start = self.start(hash);
        let slots = self.0[start..].iter().chain(&self.0[..start]).map_while(|slot| Some((slot.hash, slot.next?)));
        slots.filter(move |(of, _)| *of == upper(hash)).map(|(_, next)| next.get() - 1)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the lower bits are what is wanted")]
    fn start(&self, hash: u64) -> usize {
        hash as usize & (self.0.len() - 1)
    }
}

/// The bit of a name's length.
fn length(name: &str) -> u64 {
    1 << (name.len() % 64)
}

fn upper(hash: u64) -> u32 {
    (hash >> 32) as u32
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
            assert_eq!(index.find_or_add(&names, name), known);
            if known.is_none() {
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
            let all: Vec<Option<usize>> = (0..names.len()).map(Some).chain([None]).collect();
            let wanted: Vec<&str> = names.iter().copied().chain(["nobody"]).collect();
            assert_eq!(index.find_several(&names, &wanted, |at| names[at]), all);
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
