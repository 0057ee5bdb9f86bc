//! Finding what belongs together on both sides: by one key after the other, each in one pass.

use std::hash::Hash;

use hashbrown::HashMap;

/// The items of two sides, and those that belong together.
#[derive(Debug)]
pub(super) struct Pairing<'p, T> {
    a: &'p [T],
    b: &'p [T],
    /// For each item of A its partner.
    of_a: Vec<Option<usize>>,
    taken: Vec<bool>,
}

impl<'p, T> Pairing<'p, T> {
    /// Nothing is paired yet.
    pub(super) fn new(a: &'p [T], b: &'p [T]) -> Self {
        Self { a, b, of_a: vec![None; a.len()], taken: vec![false; b.len()] }
    }

    /// Pairs what is still alone and has the same key, in order. What has no key stays alone.
    #[must_use]
    pub(super) fn by<K: Eq + Hash>(self, key: impl Fn(&'p T) -> Option<K>) -> Self {
        self.between(&key, &key)
    }

    /// The same with a key for each side.
    #[must_use]
    pub(super) fn between<K: Eq + Hash>(
        mut self,
        of_a: impl Fn(&'p T) -> Option<K>,
        of_b: impl Fn(&'p T) -> Option<K>,
    ) -> Self {
        if self.of_a.iter().all(Option::is_some) {
            return self;
        }
        // The last comes first, to be taken from the end.
        let mut open: HashMap<K, Vec<usize>> = HashMap::new();
        for (at, item) in self.b.iter().enumerate().rev().filter(|(at, _)| !self.taken[*at]) {
            if let Some(key) = of_b(item) {
                open.entry(key).or_default().push(at);
            }
        }
        for (partner, item) in self.of_a.iter_mut().zip(self.a).filter(|(partner, _)| partner.is_none()) {
            let found = of_a(item).and_then(|key| open.get_mut(&key)?.pop());
            if let Some(at) = found {
                *partner = Some(at);
                self.taken[at] = true;
            }
        }
        self
    }

    /// All pairs in the order of A, then what B alone has.
    pub(super) fn all(self) -> impl Iterator<Item = (Option<&'p T>, Option<&'p T>)> {
        let Self { a, b, of_a, taken } = self;
        let of_a = a.iter().zip(of_a).map(|(item, partner)| (Some(item), partner.and_then(|at| b.get(at))));
        let alone = b.iter().zip(taken).filter(|(_, taken)| !taken).map(|(item, _)| (None, Some(item)));
        of_a.chain(alone)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_after_the_other() {
        let a = [("x", 1), ("y", 2), ("x", 3), ("z", 4)];
        let b = [("x", 9), ("x", 3), ("w", 4), ("v", 5)];
        let pairs: Vec<_> = Pairing::new(&a, &b).by(|item| Some(*item)).by(|item| Some(item.0)).all().collect();
        assert_eq!(
            pairs,
            [
                (Some(&("x", 1)), Some(&("x", 9))),
                (Some(&("y", 2)), None),
                (Some(&("x", 3)), Some(&("x", 3))),
                (Some(&("z", 4)), None),
                (None, Some(&("w", 4))),
                (None, Some(&("v", 5))),
            ]
        );
    }

    #[test]
    fn what_has_no_key_stays_alone() {
        let pairs: Vec<_> = Pairing::new(&[1, 2], &[1, 2]).by(|n| (*n > 1).then_some(*n)).all().collect();
        assert_eq!(pairs, [(Some(&1), None), (Some(&2), Some(&2)), (None, Some(&1))]);
    }
}
