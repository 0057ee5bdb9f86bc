//! What is known while an API server is followed: one part for each list, and how each of them fares.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Subject;
use crate::cluster::Scope;
use crate::cluster::live::{LONGEST_ANSWER, Server};
use crate::cluster::problem::Problem;
use crate::cluster::saved::{Saved, Told};
use crate::net::Moment;

/// Wakes who waits for news of a follower.
pub(super) type Wake = Box<dyn Fn() + Send + Sync>;

/// What the follower and the threads of its lists share.
pub(super) struct Shared {
    state: Mutex<State>,
    settled: Condvar,
    wake: Wake,
}

/// What is known.
#[derive(Default)]
pub(super) struct State {
    pub(super) connection: Connection,
    pub(super) parts: Vec<Part>,
    /// Another number whenever facts or troubles are others.
    pub(super) version: u64,
    /// Nobody wants to know any more.
    pub(super) over: bool,
}

/// The connection to the server.
#[derive(Default)]
pub(super) enum Connection {
    /// It is being prepared.
    #[default]
    Pending,
    /// No server is configured.
    Nowhere,
    /// It cannot be prepared; that is tried again.
    Failed(Problem),
    /// It is there.
    Ready(Server),
}

/// One list.
pub(super) struct Part {
    pub(super) subject: Subject,
    /// What being silent about an object means, once the list was read.
    pub(super) scope: Scope,
    /// The objects, kept over troubles.
    pub(super) saved: Saved,
    /// Bytes of what watches told since the list was read.
    pub(super) told: usize,
    /// It was read, and what it said may be shown.
    pub(super) listed: bool,
    /// What keeps it from being current.
    pub(super) lag: Option<Lag>,
    /// Another list has its place.
    pub(super) retired: bool,
}

/// Why a list is not current.
pub(super) struct Lag {
    pub(super) problem: Problem,
    pub(super) since: Moment,
    /// The server forbids to read or watch it.
    pub(super) forbidden: bool,
}

impl Part {
    pub(super) fn new(subject: Subject, scope: Scope) -> Self {
        Self { subject, scope, saved: Saved::default(), told: 0, listed: false, lag: None, retired: false }
    }
}

impl State {
    /// The parts that count.
    pub(super) fn current(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.retired)
    }

    /// True if every list was read, or cannot be.
    pub(super) fn is_settled(&self) -> bool {
        match self.connection {
            Connection::Pending => false,
            Connection::Nowhere | Connection::Failed(_) => true,
            Connection::Ready(_) => self.current().all(|part| part.listed || part.lag.is_some()),
        }
    }
}

impl Shared {
    pub(super) fn new(wake: Wake) -> Self {
        Self { state: Mutex::default(), settled: Condvar::new(), wake }
    }

    /// What is known. A thread that failed leaves what it knew.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is known, and wakes who waits: for what is rare, not for every event.
    pub(super) fn tell<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state();
        let result = change(&mut state);
        state.version += 1;
        drop(state);
        self.settled.notify_all();
        (self.wake)();
        result
    }

    /// Takes over a line of a watch. After as much as a list may have the list is read again, so that what a server adds without
    /// end is not kept without end.
    pub(super) fn event(&self, part: usize, line: &str) -> Result<Told, String> {
        let mut state = self.state();
        let of = &mut state.parts[part];
        of.told += line.len();
        if of.told > LONGEST_ANSWER {
            return Ok(Told::Refused { code: 410, message: "a watch told as much as a list may have".to_owned() });
        }
        let told = of.saved.follow(line)?;
        if matches!(told, Told::Moved { changed: true, .. }) {
            state.version += 1;
        }
        Ok(told)
    }

    /// The server tells what changes of a part that was read: it is current.
    pub(super) fn well(&self, part: usize) {
        if self.state().parts[part].lag.is_some() {
            self.tell(|state| {
                state.parts[part].lag = None;
                state.parts[part].listed = true;
            });
        }
    }

    /// Notes what keeps a part from being current; the same is noted once. What must not be watched would soon be wrong, so
    /// it counts as not known if it decides about endpoints.
    pub(super) fn trouble(&self, part: usize, problem: &Problem, forbidden: bool) {
        if self.state().parts[part].lag.as_ref().is_some_and(|known| known.problem == *problem) {
            return;
        }
        self.tell(|state| {
            let part = &mut state.parts[part];
            part.listed &= !(forbidden && problem.fatal);
            let since = part.lag.as_ref().map_or_else(Moment::now, |lag| lag.since);
            part.lag = Some(Lag { problem: problem.clone(), since, forbidden });
        });
    }

    /// True if nobody wants to know of a part any more.
    pub(super) fn is_over(&self, part: usize) -> bool {
        let state = self.state();
        state.over || state.parts[part].retired
    }

    /// Waits until every list was read or cannot be, for `limit` at most.
    pub(super) fn wait(&self, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.state();
        while !state.is_settled() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.settled.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_tells_without_end_is_asked_for_anew() {
        let shared = Shared::new(Box::new(|| ()));
        shared.state().parts.push(Part::new(Subject::Services, Scope::All));
        let line =
            r#"{"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"7"}}}"#;
        assert!(matches!(shared.event(0, line), Ok(Told::Moved { .. })));
        shared.state().parts[0].told = LONGEST_ANSWER - line.len();
        assert!(matches!(shared.event(0, line), Ok(Told::Moved { .. })));
        // As if the server had forgotten from where on: the list is read again.
        assert!(matches!(shared.event(0, line), Ok(Told::Refused { code: 410, .. })));
    }
}
