//! Work that is shared out among the processor's cores. What comes of it never depends on how many there are.

use std::sync::{LazyLock, mpsc};
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
    thread::scope(|scope| {
        let work = &work;
        let others: Vec<_> = items.map(|item| scope.spawn(move || work(item))).collect();
        let first = first.map(work);
        let others =
            others.into_iter().map(|other| other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        first.into_iter().chain(others).collect()
    })
}

/// Has each of `items` made into a text, and `take` take the texts in the order of the items, while more are made. No more than
/// two for each core and the one that is taken are kept at any time, however slow `take` is. The first error ends it; a panic goes on here.
pub(crate) fn texts<T: Sync, E: Send>(
    items: &[T],
    make: impl Fn(&T, &mut Vec<u8>) -> Result<(), E> + Sync,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let makers = count().min(items.len());
    thread::scope(|scope| {
        let make = &make;
        let makers: Vec<_> = (0..makers)
            .map(|first| {
                let (done, texts) = mpsc::sync_channel(1);
                let (give_back, used) = mpsc::channel::<Vec<u8>>();
                let own = items.iter().skip(first).step_by(makers);
                scope.spawn(move || {
                    for item in own {
                        let mut text = used.try_recv().unwrap_or_default();
                        text.clear();
                        // Nobody listens any more after an error.
                        if done.send(make(item, &mut text).map(|()| text)).is_err() {
                            return;
                        }
                    }
                });
                (texts, give_back)
            })
            .collect();
        for (texts, give_back) in makers.iter().cycle().take(items.len()) {
            // A maker that has panicked sends nothing; the scope's end tells of it.
            let Ok(text) = texts.recv() else { break };
            let text = text?;
            take(&text)?;
            let _ = give_back.send(text);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::{each, share, texts};

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

    #[test]
    fn texts_come_in_order() {
        for length in [0, 1, 2, 100] {
            let (items, mut all) = ((0..length).collect::<Vec<u8>>(), Vec::new());
            let make = |item: &u8, text: &mut Vec<u8>| {
                assert!(text.is_empty());
                text.extend([*item, *item]);
                Ok::<(), u8>(())
            };
            let done = texts(&items, make, |text| {
                all.extend_from_slice(text);
                Ok(())
            });
            assert_eq!(done, Ok(()));
            assert_eq!(all, items.iter().flat_map(|item| [*item, *item]).collect::<Vec<u8>>());
        }
    }

    #[test]
    fn the_first_error_ends_the_texts() {
        let items: Vec<u8> = (0..100).collect();
        let mut taken = 0;
        let take = |taken: &mut u8, until: u8| {
            *taken += 1;
            if *taken == until { Err("taken") } else { Ok(()) }
        };
        let make = |item: &u8, _: &mut Vec<u8>| if *item == 50 { Err("made") } else { Ok(()) };
        assert_eq!(texts(&items, make, |_| take(&mut taken, 200)), Err("made"));
        assert_eq!(taken, 50);
        assert_eq!(texts(&items, make, |_| take(&mut taken, 60)), Err("taken"));
        assert_eq!(taken, 60);
    }

    #[test]
    #[should_panic(expected = "scoped thread panicked")]
    fn a_panic_among_texts_is_not_lost() {
        let make = |item: &u8, _: &mut Vec<u8>| {
            assert!(*item != 3);
            Ok::<(), ()>(())
        };
        let _ = texts(&[1, 2, 3, 4], make, |_| Ok(()));
    }
}
