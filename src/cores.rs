//! Work that is shared out among the processor's cores. What comes of it never depends on how many there are.

use std::thread;

/// How many threads work at the same time: as many as this process may use of the machine.
pub(crate) fn count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// Does `work` with every item, the first on this thread and each other on one of its own. The results come in the order of
/// the items; a panic goes on here.
pub(crate) fn each<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut items = items.into_iter();
    let first = items.next();
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let first = first.map(work);
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        first.into_iter().chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::each;

    #[test]
    fn results_are_in_order() {
        assert_eq!(each(0..50, |n| n * n), (0..50).map(|n| n * n).collect::<Vec<_>>());
        assert!(each(std::iter::empty::<u8>(), |n| n).is_empty());
    }

    #[test]
    #[should_panic(expected = "of the third")]
    fn panics_are_not_lost() {
        each(0..5, |n| assert!(n != 2, "of the third"));
    }
}
