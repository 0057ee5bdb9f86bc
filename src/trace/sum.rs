//! Parts of new connections, each in some worlds, and what they sum up to.

use std::collections::BTreeMap;

use super::leaf::World;

use crate::order::Order as _;

/// What a known probability may differ by between worlds: the rounding of doubles.
const EQUAL: f64 = 1e-12;

/// A part of new connections, 0..=1, where the choices of a world hold.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Share {
    pub(super) world: World,
    pub(super) part: f64,
}

impl Share {
    /// All of them, in every world.
    pub(super) const ALL: Self = Self { world: World::EVERY, part: 1.0 };
}

/// Shares of the same thing.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Shares {
    everywhere: f64,
    somewhere: Vec<Share>,
}

/// More unknown things than this, and no attempt is made to show that they do not matter.
const MOST: usize = 10;

/// Shares looked at in all worlds together.
const MOST_SUMS: usize = 1 << 22;

impl Shares {
    /// One more.
    pub(super) fn add(&mut self, share: &Share) {
        if share.world.len() == 0 {
            self.everywhere += share.part;
        } else {
            self.somewhere.push(share.clone());
        }
    }

    /// The sum, if it is the same in every world.
    pub(super) fn known(&self) -> Option<f64> {
        let (everywhere, somewhere) = self.reduced();
        if somewhere.is_empty() {
            return Some(everywhere);
        }
        let leaves = leaves(somewhere.iter().map(|share| &share.world));
        if leaves.len() > MOST || somewhere.len() << leaves.len() > MOST_SUMS {
            return None;
        }
        let sum = |choices: u32| {
            let choice = |leaf: u16| leaves.binary_search(&leaf).is_ok_and(|at| choices >> at & 1 == 1);
            let held = somewhere.iter().filter(|share| share.world.holds_in(choice));
            everywhere + held.map(|share| share.part).sum::<f64>()
        };
        let first = sum(0);
        (1..1u32 << leaves.len()).all(|choices| (sum(choices) - first).abs() < EQUAL).then_some(first)
    }

    /// The unknown things it is made up of, in order.
    pub(super) fn leaves(&self) -> Vec<u16> {
        leaves(self.somewhere.iter().map(|share| &share.world))
    }

    /// The sum without the things that alone decide about shares, and about as much either way: of many endpoints each may
    /// be on the node or not, and all get what they get.
    fn reduced(&self) -> (f64, Vec<&Share>) {
        let mut alone: BTreeMap<u16, [f64; 2]> = BTreeMap::new();
        for share in &self.somewhere {
            if let Some((leaf, choice)) = share.world.only() {
                alone.entry(leaf).or_default()[usize::from(choice)] += share.part;
            }
        }
        alone.retain(|_, [no, yes]| (*no - *yes).abs() < EQUAL);
        let settled: f64 = alone.values().map(|[no, _]| no).sum();
        let left =
            self.somewhere.iter().filter(|share| share.world.only().is_none_or(|(leaf, _)| !alone.contains_key(&leaf)));
        (self.everywhere + settled, left.collect())
    }
}

fn leaves<'w>(worlds: impl Iterator<Item = &'w World>) -> Vec<u16> {
    let mut leaves: Vec<u16> = worlds.flat_map(World::leaves).collect();
    leaves.order();
    leaves.dedup();
    leaves
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(choices: &[(u16, bool)], part: f64) -> Share {
        let world = choices.iter().fold(World::default(), |world, (leaf, choice)| world.with(*leaf, *choice));
        Share { world, part }
    }

    fn known(all: &[Share]) -> Option<f64> {
        let mut shares = Shares::default();
        for share in all {
            shares.add(share);
        }
        shares.known()
    }

    #[test]
    fn a_sum_is_known_where_every_world_agrees() {
        assert_eq!(known(&[]), Some(0.0));
        assert_eq!(known(&[share(&[], 0.25), share(&[], 0.5)]), Some(0.75));
        assert_eq!(known(&[share(&[(0, true)], 0.5), share(&[(0, false)], 0.5)]), Some(0.5));
        assert_eq!(known(&[share(&[(0, true)], 0.5), share(&[(0, false)], 0.25)]), None);
        assert_eq!(known(&[share(&[(0, true)], 0.5)]), None);
        let four = [(true, true), (true, false), (false, true), (false, false)];
        let all: Vec<Share> = four.iter().map(|(a, b)| share(&[(3, *a), (7, *b)], 0.125)).collect();
        assert_eq!(known(&all), Some(0.125));
        assert_eq!(known(&all[1..]), None);
        let twenty: Vec<Share> =
            (0..20).flat_map(|n| [true, false].map(|choice| share(&[(n, choice)], 0.05))).collect();
        assert!(known(&twenty).is_some_and(|sum| (sum - 1.0).abs() < 1e-9));
    }
}
