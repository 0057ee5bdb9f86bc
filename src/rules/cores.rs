//! Work that is shared out among the processor's cores. What comes of it never depends on how many there are, nor on how many
//! threads may be started: where a limit of processes is reached, the work is done on those that there are.

use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread::{self, Builder};

/// What tells why no thread can be started.
pub const LIMIT: &str = "ulimit -u    (how many processes there may be)";

/// Asked for once: the limits of a control group are files that are read for it.
static COUNT: LazyLock<usize> = LazyLock::new(|| thread::available_parallelism().map_or(1, usize::from));

/// How many threads work at the same time: as many as this process may use of the machine.
pub fn count() -> usize {
    *COUNT
}

/// So many pieces for each thread: one that was held up leaves no more than such a piece to wait for.
const PIECES: usize = 8;

/// How much of `all` is one of the pieces that threads take [in turn](in_turn), where less than `least` is not worth a thread. At
/// least 1.
pub fn piece(all: usize, least: usize) -> usize {
    let piece = if all <= least { all } else { all.div_ceil(count() * PIECES).max(least.div_ceil(PIECES)) };
    piece.max(1)
}

/// Does `work` with every item, on a thread for each. The results come in the order of the items; a panic goes on here.
pub fn each<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    at_most(usize::MAX, items.into_iter().collect::<Vec<T>>().into_iter(), work)
}

/// Does `work` with every item, on as many threads as work at the same time: each takes the next item once it is done with one. The
/// results come in the order of the items; a panic goes on here.
pub fn in_turn<T: Send, R: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    // Asking how many there are takes longer than a short run should.
    let most = if items.len() > 1 { count() } else { 1 };
    at_most(most, items, work)
}

/// The same on this thread and others, `most` in all.
pub fn at_most<T: Send, R: Send>(
    most: usize,
    items: impl ExactSizeIterator<Item = T> + Send,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let count = items.len();
    let results = Mutex::new((0..count).map(|_| None).collect::<Vec<Option<R>>>());
    let items = Mutex::new(items.enumerate());
    on_threads(most.min(count), &|| {
        while let Some((nth, item)) = next(&items) {
            let result = work(item);
            results.lock().unwrap_or_else(PoisonError::into_inner)[nth] = Some(result);
        }
    });
    results.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect()
}

/// The lock is not held while the item is worked with.
fn next<I: Iterator>(items: &Mutex<I>) -> Option<I::Item> {
    items.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Does `work` on so many threads, of which this is one, and on fewer where no more can be started. Starting one is a few kilobytes
/// of program for each kind of work, so that all have this one.
fn on_threads(count: usize, work: &(dyn Fn() + Sync)) {
    thread::scope(|scope| {
        let others: Vec<_> = (1..count).map_while(|_| Builder::new().spawn_scoped(scope, work).ok()).collect();
        work();
        for other in others {
            other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    });
}

/// Does `work` on this thread and `other` on one of its own, and gives what they gave; a panic of either goes on here.
pub fn both<O: Send, R>(other: impl Fn() -> O + Sync, work: impl FnOnce() -> R) -> (O, R) {
    thread::scope(|scope| {
        let started = Builder::new().spawn_scoped(scope, &other);
        let done = work();
        let other = match started {
            Ok(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // It is done here if no thread can be started.
            Err(_) => other(),
        };
        (other, done)
    })
}

/// Has each of `items` made into a text, and `take` take the texts in the order of the items, while more are made. No more than
/// two for each core and the one that is taken are kept at any time, however slow `take` is. The first error ends it; a panic
/// goes on here.
pub fn texts<T: Sync, E: Send>(
    items: &[T],
    make: impl Fn(&T, &mut Vec<u8>) -> Result<(), E> + Sync,
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let most = count().min(items.len());
    thread::scope(|scope| {
        let make = &make;
        let start = |_| {
            let (done, texts) = mpsc::sync_channel(1);
            let (give_back, used) = mpsc::channel::<Vec<u8>>();
            let (tell, own) = mpsc::channel();
            let maker = move || {
                let own = own.recv().into_iter().flat_map(|(first, step)| items.iter().skip(first).step_by(step));
                for item in own {
                    let mut text = used.try_recv().unwrap_or_default();
                    text.clear();
                    // Nobody listens any more after an error.
                    if done.send(make(item, &mut text).map(|()| text)).is_err() {
                        return;
                    }
                }
            };
            Builder::new().spawn_scoped(scope, maker).ok().map(|_| (tell, texts, give_back))
        };
        let makers: Vec<_> = (0..most).map_while(start).collect();
        for (first, (tell, ..)) in makers.iter().enumerate() {
            // A maker hears this, or has panicked.
            let _ = tell.send((first, makers.len()));
        }
        for (_, texts, give_back) in makers.iter().cycle().take(items.len()) {
            // A maker that has panicked sends nothing; the scope's end tells of it.
            let Ok(text) = texts.recv() else { break };
            let text = text?;
            take(&text)?;
            let _ = give_back.send(text);
        }
        if makers.is_empty() {
            let mut text = Vec::new();
            for item in items {
                text.clear();
                make(item, &mut text)?;
                take(&text)?;
            }
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::{at_most, both, each, in_turn, piece, texts};

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
    fn both_sides_are_done() {
        let other = AtomicBool::new(false);
        assert_eq!(both(|| other.swap(true, Ordering::Relaxed), || 2), (false, 2));
        assert!(other.into_inner());
    }

    #[test]
    #[should_panic(expected = "of the other")]
    fn a_panic_beside_is_not_lost() {
        both(|| -> u8 { panic!("of the other") }, || ());
    }

    #[test]
    fn little_is_not_shared_out() {
        assert_eq!((piece(0, 50), piece(50, 50)), (1, 50));
        assert!((7..=51).contains(&piece(51, 50)));
        assert!(piece(1000, 5) * super::count() * super::PIECES >= 1000);
    }

    #[test]
    fn items_are_taken_in_turn() {
        for threads in [1, 2, 9, 100] {
            let took = AtomicUsize::new(0);
            let work = |n: usize| {
                // The first is done last where there is another thread.
                while threads > 1 && n == 0 && took.load(Ordering::Relaxed) < 49 {
                    std::thread::yield_now();
                }
                took.fetch_add(1, Ordering::Relaxed);
                n * n
            };
            assert_eq!(at_most(threads, 0..50, work), (0..50).map(|n| n * n).collect::<Vec<_>>());
        }
        assert!(in_turn([0_u8; 0].iter(), |n| *n).is_empty());
        assert_eq!(in_turn([1, 2, 3].iter(), |n| n + 1), [2, 3, 4]);
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
