//! Parts of new connections, each in some worlds, and what they sum up to.

use super::leaf::World;

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
        if self.somewhere.is_empty() {
            return Some(self.everywhere);
        }
        let leaves = self.leaves();
        if leaves.len() > MOST {
            return None;
        }
        let sum = |choices: u32| {
            let choice = |leaf: u16| leaves.binary_search(&leaf).is_ok_and(|at| choices >> at & 1 == 1);
            let held = self.somewhere.iter().filter(|share| share.world.holds_in(choice));
            self.everywhere + held.map(|share| share.part).sum::<f64>()
        };
        let first = sum(0);
        (1..1u32 << leaves.len()).all(|choices| (sum(choices) - first).abs() < EQUAL).then_some(first)
    }

    /// The unknown things it depends on, in order.
    pub(super) fn leaves(&self) -> Vec<u16> {
        let mut leaves: Vec<u16> = self.somewhere.iter().flat_map(|share| share.world.leaves()).collect();
        leaves.sort_unstable();
        leaves.dedup();
        leaves
    }
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
    }
}
