//! Work that is shared out among the processor's cores. What comes of it never depends on how many there are.

use std::sync::LazyLock;
use std::thread;

/// Asked for once: the limits of a control group are files that are read for it.
static COUNT: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// How many threads work at the same time: as many as this process may use of the machine.
pub(crate) fn count() -> usize {
    *COUNT
}

/// How much of `all` is the share of each thread, where less than `least` is not worth one. At least 1.
pub(crate) fn share(all: usize, least: usize) -> usize {
    let share = if all <= least { all } else { all.div_ceil(count()).max(least) };
    share.max(1)
}

/// Does `work` with every item, the first on this thread and each other on one of its own. The results come in the order of
/// the items; a panic goes on here.
pub(crate) fn each<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut items = items.into_iter();
    let first = items.next();
    let (first, others) = aside(items, &work, || first.map(&work));
    first.into_iter().chain(others).collect()
}

/// Does `work` with every item on a thread of its own, and `meanwhile` something else on this one. Gives what came of that, and
/// of the items in their order; a panic goes on here.
pub(crate) fn aside<T: Send, R: Send, M>(
    items: impl IntoIterator<Item = T>,
    work: impl Fn(T) -> R + Sync,
    meanwhile: impl FnOnce() -> M,
) -> (M, Vec<R>) {
    thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = items.into_iter().map(|item| scope.spawn(move || work(item))).collect();
        let done = meanwhile();
        let results = threads.into_iter().map(|t| t.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        (done, results.collect())
    })
}

#[cfg(test)]
mod tests {
    use super::{each, share};

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

    #[test]
    fn little_is_not_shared_out() {
        assert_eq!((share(0, 5), share(5, 5)), (1, 5));
        assert!((5..=6).contains(&share(6, 5)));
        assert!(share(1000, 5) * super::count() >= 1000);
    }
}
