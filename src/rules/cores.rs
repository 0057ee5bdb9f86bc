//! Work that is shared out among the processor's cores. What comes of it never depends on how many there are, nor on how many
//! threads may be started: where a limit of processes is reached, the work is done on those that there are.

use std::iter;
use std::sync::{LazyLock, Mutex, PoisonError, mpsc};
use std::thread::{self, Builder};

use crate::order::Order as _;

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

/// Does `work` with every item, the first on this thread and each other on one of its own. The results come in the order of
/// the items; a panic goes on here.
pub fn each<T: Send, R: Send>(items: impl IntoIterator<Item = T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let mut items = items.into_iter();
    let first = items.next();
    // What a thread would have done stays here if it cannot be started.
    let others: Vec<Mutex<Option<T>>> = items.map(|item| Mutex::new(Some(item))).collect();
    let item_of = |other: &Mutex<Option<T>>| other.lock().unwrap_or_else(PoisonError::into_inner).take();
    thread::scope(|scope| {
        let work = &work;
        let start = |other| Builder::new().spawn_scoped(scope, move || item_of(other).map(work)).ok();
        let threads: Vec<_> = others.iter().map(start).collect();
        let first = first.map(work);
        let rest = threads.into_iter().zip(&others).filter_map(|(thread, other)| match thread {
            Some(thread) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            None => item_of(other).map(work),
        });
        first.into_iter().chain(rest).collect()
    })
}

/// Does `work` with every item, on no more than `most` threads: each takes the next item once it is done with one. The results come
/// in the order of the items; a panic goes on here.
pub fn in_turn<T: Send, R: Send>(
    items: impl ExactSizeIterator<Item = T> + Send,
    most: usize,
    work: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let threads = most.min(items.len());
    let items = Mutex::new(items.enumerate());
    let next = || items.lock().unwrap_or_else(PoisonError::into_inner).next();
    let take = |_| iter::from_fn(next).map(|(nth, item)| (nth, work(item))).collect::<Vec<_>>();
    let mut done: Vec<(usize, R)> = each(0..threads, take).into_iter().flatten().collect();
    done.order_by_key(|(nth, _)| *nth);
    done.into_iter().map(|(_, result)| result).collect()
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

    use super::{both, each, in_turn, piece, texts};

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
        for threads in [0, 1, 2, 9, 100] {
            let took = AtomicUsize::new(0);
            let work = |n: usize| {
                // The first is done last where there is another thread.
                while threads > 1 && n == 0 && took.load(Ordering::Relaxed) < 49 {
                    std::thread::yield_now();
                }
                took.fetch_add(1, Ordering::Relaxed);
                n * n
            };
            let expected: Vec<usize> = if threads == 0 { Vec::new() } else { (0..50).map(|n| n * n).collect() };
            assert_eq!(in_turn(0..50, threads, work), expected);
        }
        assert!(in_turn([0_u8; 0].iter(), 4, |n| *n).is_empty());
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
