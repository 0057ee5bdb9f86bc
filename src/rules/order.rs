//! Puts things in order with one sort for all types. That of std is written anew for each, 5 to 15 KB of program each time,
//! and what is sorted here is short, or in order already.

use std::cmp::Ordering;

/// Orders the items of a slice. All of it is stable.
pub trait Order<T> {
    /// By the items themselves.
    fn order(&mut self)
    where
        T: Ord,
    {
        self.order_by(T::cmp);
    }

    /// By what `key` makes of an item, each time it is looked at.
    fn order_by_key<K: Ord>(&mut self, mut key: impl FnMut(&T) -> K) {
        self.order_by(|one, other| key(one).cmp(&key(other)));
    }

    /// By what `key` makes of an item, which is asked once for each.
    fn order_by_cached_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K);

    /// As `compare` says.
    fn order_by(&mut self, compare: impl FnMut(&T, &T) -> Ordering);
}

impl<T> Order<T> for [T] {
    fn order_by(&mut self, mut compare: impl FnMut(&T, &T) -> Ordering) {
        if !self.is_sorted_by(|one, other| compare(one, other).is_le()) {
            let places = places(self.len(), &mut |one, other| compare(&self[one], &self[other]));
            arrange(self, places);
        }
    }

    fn order_by_cached_key<K: Ord>(&mut self, key: impl FnMut(&T) -> K) {
        let keys: Vec<K> = self.iter().map(key).collect();
        let places = places(self.len(), &mut |one, other| keys[one].cmp(&keys[other]));
        arrange(self, places);
    }
}

/// The places of so many items in the order they belong in.
fn places(count: usize, compare: &mut dyn FnMut(usize, usize) -> Ordering) -> Vec<usize> {
    let mut places: Vec<usize> = (0..count).collect();
    places.sort_by(|one, other| compare(*one, *other));
    places
}

/// Moves to every place the item that now stands at the place named there.
fn arrange<T>(items: &mut [T], mut places: Vec<usize>) {
    for start in 0..places.len() {
        // Each ring of items that take each other's place is gone round once; a place that names itself is done.
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut places[at], at);
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Items = Vec<(u8, u16)>;

    /// The items after `sort`.
    fn after(items: &Items, sort: impl Fn(&mut Items)) -> Items {
        let mut sorted = items.clone();
        sort(&mut sorted);
        sorted
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_std(items in prop::collection::vec((0_u8..20, any::<u16>()), 0..200)) {
            prop_assert_eq!(after(&items, |all| all.order()), after(&items, |all| all.sort_unstable()));
            // Items of one key stay in the order they had.
            let by_key = after(&items, |all| all.sort_by_key(|item| item.0));
            prop_assert_eq!(&after(&items, |all| all.order_by_key(|item| item.0)), &by_key);
            prop_assert_eq!(&after(&items, |all| all.order_by_cached_key(|item| item.0)), &by_key);
            let compare = |one: &(u8, u16), other: &(u8, u16)| other.0.cmp(&one.0);
            prop_assert_eq!(after(&items, |all| all.order_by(compare)), after(&items, |all| all.sort_by(compare)));
        }
    }
}
