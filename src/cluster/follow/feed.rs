//! One list that is kept current: read once, then watched, over every way in which a watch can end.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Subject;
use super::pause::{Pause, between};
use super::state::Shared;
use crate::cluster::Scope;
use crate::cluster::facts::Facts;
use crate::cluster::list::List;
use crate::cluster::live::Server;
use crate::cluster::problem::{Problem, Trouble};
use crate::cluster::rights::Right;
use crate::cluster::saved::{Saved, Told};

/// How long the server is asked to watch at a time, as client-go asks (tools/cache/reflector.go), so that connections move
/// to servers that are new.
const WATCH: (Duration, Duration) = (Duration::from_mins(5), Duration::from_mins(10));

/// A watch that says nothing for so long is dead: servers send a bookmark every minute (apiserver's bookmarkFrequency).
const SILENCE: Duration = Duration::from_mins(3);

/// A watch that ends sooner than this is not begun again at once.
const SHORT: Duration = Duration::from_secs(1);

/// Where a watch begins if the list did not say: anywhere.
const ANYWHERE: &str = "0";

/// A list and where what it says is put.
pub(super) struct Feed {
    pub(super) shared: Arc<Shared>,
    pub(super) server: Server,
    pub(super) part: usize,
    /// The list, and what older API servers have in its place.
    pub(super) lists: Vec<(List, Right)>,
    /// Which of them the server has.
    pub(super) at: usize,
    pub(super) subject: Subject,
}

impl Feed {
    /// Has `run` keep it current on a thread of its own. That none can be started is trouble like any other.
    pub(super) fn start(self, run: impl FnOnce(Self) + Send + 'static) {
        let (shared, part) = (Arc::clone(&self.shared), self.part);
        if let Err(error) = std::thread::Builder::new().spawn(move || run(self)) {
            shared.trouble(part, &Problem::without_thread(&error), false);
        }
    }

    /// Keeps the list current until nobody wants it any more. With `from` it was read already.
    pub(super) fn run(mut self, mut from: Option<String>) {
        let mut pause = Pause::default();
        let mut expired = false;
        while !self.shared.is_over(self.part) {
            let begun = Instant::now();
            let mut opened = false;
            let result = match &mut from {
                Some(version) => self.watch(version, &mut opened),
                None => self.list(expired).map(|version| {
                    from = Some(version);
                    expired = false;
                }),
            };
            let lasted = begun.elapsed() >= SHORT;
            match result {
                Ok(()) if !opened => continue,
                Ok(()) if lasted => {
                    pause = Pause::default();
                    continue;
                }
                Ok(()) => {}
                Err(trouble) if is_expired(&trouble) && from.is_some() => {
                    from = None;
                    expired = true;
                }
                // A connection that breaks is no trouble before the next one fails.
                Err(Trouble::Cut(_)) if opened => {}
                Err(trouble) => self.trouble(&trouble),
            }
            if opened && lasted {
                pause = Pause::default();
            }
            std::thread::sleep(pause.next());
        }
    }

    /// Reads the list, and gives the state from which a watch goes on. After the state expired the cache of some server may
    /// still be as old as that, so the newest is asked for.
    fn list(&mut self, newest: bool) -> Result<String, Trouble> {
        for (at, (list, _)) in self.lists.iter().enumerate() {
            let mut saved = Saved::default();
            let read =
                if newest { list.read_newest(&self.server, &mut saved) } else { list.read(&self.server, &mut saved) };
            match read {
                // A list is never "not found", only its kind is.
                Err(Trouble::Status { code: 404, .. }) if at + 1 < self.lists.len() => {}
                read => {
                    self.at = at;
                    return read.map(|()| self.listed(saved));
                }
            }
        }
        Err(Trouble::Nonsense("there is nothing to list".to_owned()))
    }

    /// Puts a list that was read in its place.
    pub(super) fn listed(&self, saved: Saved) -> String {
        let version = saved.version().unwrap_or(ANYWHERE).to_owned();
        self.shared.tell(|state| {
            let part = &mut state.parts[self.part];
            part.saved = saved;
            part.told = 0;
            part.listed = true;
            part.lag = None;
        });
        version
    }

    /// Watches from `version` on, which moves with what the server tells.
    fn watch(&self, version: &mut String, opened: &mut bool) -> Result<(), Trouble> {
        let path = self.lists[self.at].0.watch(version, between(WATCH.0, WATCH.1));
        let mut end = Ok(());
        let answering = || {
            *opened = true;
            self.shared.well(self.part);
        };
        self.server.lines(&path, SILENCE, answering, |line| match self.shared.event(self.part, line) {
            Ok(Told::Moved { version: to, .. }) => {
                if let Some(to) = to {
                    *version = to;
                }
                if self.shared.is_over(self.part) { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            Ok(Told::Refused { code, message }) => {
                end = Err(Trouble::Status { code, message });
                ControlFlow::Break(())
            }
            Err(what) => {
                end = Err(Trouble::Nonsense(what));
                ControlFlow::Break(())
            }
        })?;
        end
    }

    /// Notes what went wrong.
    pub(super) fn trouble(&self, trouble: &Trouble) {
        let right = self.lists[self.at].1;
        let forbidden = matches!(trouble, Trouble::Status { code: 403, .. });
        let problem = Problem::with_right(trouble, right, self.subject.lost(), self.server.at());
        self.shared.trouble(self.part, &problem, forbidden);
    }

    /// Keeps the Node of a host current. Where no Node has the name `candidate`, all are read once, and `choose` tells from
    /// them which it is; without one there is nothing to keep.
    pub(super) fn run_node(mut self, candidate: Option<&str>, choose: impl Fn(&Facts) -> Option<String>) {
        let mut pause = Pause::default();
        while !self.shared.is_over(self.part) {
            match self.find_node(candidate, &choose) {
                Ok(Some((name, version))) => {
                    self.lists = vec![(nodes().named(&name), Right::NODES)];
                    return self.run(Some(version));
                }
                Ok(None) => return,
                Err(trouble) => self.trouble(&trouble),
            }
            std::thread::sleep(pause.next());
        }
    }

    fn find_node(
        &self,
        candidate: Option<&str>,
        choose: impl Fn(&Facts) -> Option<String>,
    ) -> Result<Option<(String, String)>, Trouble> {
        if let Some(name) = candidate {
            let mut saved = Saved::default();
            nodes().named(name).read(&self.server, &mut saved)?;
            if saved.nodes().next().is_some() {
                return Ok(Some((name.to_owned(), self.listed(saved))));
            }
        }
        let mut saved = Saved::default();
        nodes().read(&self.server, &mut saved)?;
        let facts = saved.clone().into_facts();
        self.shared.state().parts[self.part].scope = Scope::All;
        let version = self.listed(saved);
        Ok(choose(&facts).map(|name| (name, version)))
    }
}

fn nodes() -> List {
    List::all("/api/v1", None, "nodes")
}

/// True if the list has to be read again: the server has forgotten the state a watch was to go on from, or never had it,
/// because its store is another now.
fn is_expired(trouble: &Trouble) -> bool {
    match trouble {
        // Not found: the kind is served in another version by now.
        Trouble::Status { code: 404 | 410, .. } => true,
        Trouble::Status { code, message } => *code >= 500 && message.contains("Too large resource version"),
        _ => false,
    }
}
