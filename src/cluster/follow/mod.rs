//! An API server that is followed: each list is read once and then kept current by a watch, so that a node which is looked
//! at for weeks costs the server its changes and nothing else.

mod feed;
mod lists;
mod lookups;
mod pause;
mod state;

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::api::{PodsFound, Wanted, pods_at};
use super::facts::Facts;
use super::list::List;
use super::live::{Access, Server};
use super::problem::Problem;
use super::rights::Right;
use super::saved::Saved;
use super::{Coverage, Scope};
use crate::net::Moment;
use feed::Feed;
use lookups::Lookups;
use pause::Pause;
use state::{Connection, Part, Shared};

/// What a list is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Subject {
    Services,
    Endpoints,
    Node,
    Config,
    Pods,
}

impl Subject {
    /// What is not known without it.
    fn lost(self) -> &'static str {
        match self {
            Self::Services => "which Services there should be is not known",
            Self::Endpoints => "which endpoints there should be is not known",
            Self::Node => "the zone of the node is not known",
            Self::Config => "the mode kube-proxy is configured for is not known",
            Self::Pods => "Pods cannot be found by name",
        }
    }
}

/// An API server that is followed until this value is dropped.
pub struct Follower {
    shared: Arc<Shared>,
    /// What is followed: Services and their endpoints.
    wanted: Mutex<Wanted>,
    /// Pods that are followed.
    pods: Mutex<Vec<(Option<String>, String)>>,
    /// Pods that are looked up by their addresses.
    lookups: Mutex<Lookups>,
}

/// How a follower fares.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// The address of the server, where one is known.
    pub url: String,
    /// No server is configured.
    pub unconfigured: bool,
    /// Services cannot be read, so that there are no facts.
    pub blind: bool,
    /// What is not known, and why.
    pub problems: Vec<Problem>,
    /// Since when some of the facts may be out of date, and why; `None` if they are current.
    pub outdated: Option<(Moment, Problem)>,
}

impl std::fmt::Debug for Follower {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Follower").field("wanted", &self.wanted).finish_non_exhaustive()
    }
}

impl Follower {
    /// Begins to follow Services and endpoints, and with `config` kube-proxy's ConfigMap. `wake` is called, from other
    /// threads, when something is settled, goes wrong or is well again; not for every event.
    pub fn start(access: Access, wanted: &Wanted, config: bool, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared::new(Box::new(wake)));
        let wanted = wanted.as_one();
        let own = Arc::clone(&shared);
        let of = wanted.clone();
        let connecting = std::thread::Builder::new().spawn(move || connect(&access, &own, &of, config));
        if let Err(error) = connecting {
            shared.tell(|state| state.connection = Connection::Failed(Problem::without_thread(&error)));
        }
        Self { shared, wanted: Mutex::new(wanted), pods: Mutex::default(), lookups: Mutex::default() }
    }

    /// Another number whenever facts or troubles are others.
    pub fn version(&self) -> u64 {
        self.shared.state().version
    }

    /// True if every list was read, or cannot be.
    pub fn is_settled(&self) -> bool {
        self.shared.state().is_settled()
    }

    /// Waits until that is so, for `limit` at most; false if it took longer.
    pub fn wait(&self, limit: Duration) -> bool {
        self.shared.wait(limit)
    }

    /// True if the connection is still being prepared, which runs the credential plugin.
    pub fn is_connecting(&self) -> bool {
        matches!(self.shared.state().connection, Connection::Pending)
    }

    /// Follows the Node called `candidate`, or the one that `choose` finds among all if none is called so. Once only.
    pub fn node(&self, candidate: Option<String>, choose: impl Fn(&Facts) -> Option<String> + Send + 'static) {
        if self.shared.state().parts.iter().any(|part| part.subject == Subject::Node) {
            return;
        }
        let lists = vec![(List::all("/api/v1", None, "nodes"), Right::NODES)];
        let feed = self.feed(Subject::Node, Scope::Unknown, lists);
        if let Some(feed) = feed {
            feed.start(move |feed| feed.run_node(candidate.as_deref(), choose));
        }
    }

    /// Follows the Pods of this name. Once only.
    pub fn pod(&self, namespace: Option<&str>, name: &str) {
        let key = (namespace.map(str::to_owned), name.to_owned());
        let mut pods = self.pods.lock().unwrap_or_else(PoisonError::into_inner);
        if pods.contains(&key) {
            return;
        }
        pods.push(key);
        let list = List::all("/api/v1", namespace, "pods").named(name);
        if let Some(feed) = self.feed(Subject::Pods, Scope::Unknown, vec![(list, Right::PODS)]) {
            feed.start(|feed| feed.run(None));
        }
    }

    /// True if a Pod that is followed is there.
    pub fn has_pods(&self) -> bool {
        let state = self.shared.state();
        state.current().any(|part| part.subject == Subject::Pods && part.saved.pods().next().is_some())
    }

    /// True if a Service of this name is there.
    pub fn has_service(&self, namespace: Option<&str>, name: &str) -> bool {
        let state = self.shared.state();
        state.current().any(|part| part.subject == Subject::Services && part.saved.has_service(namespace, name))
    }

    /// Follows `wanted` in place of what was followed.
    pub fn follow(&self, wanted: &Wanted) {
        let new = wanted.as_one();
        let mut wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner);
        let server = match &self.shared.state().connection {
            Connection::Ready(server) if *wanted != new => server.clone(),
            _ => return,
        };
        *wanted = new;
        let is_other = |part: &&mut Part| matches!(part.subject, Subject::Services | Subject::Endpoints);
        self.shared.state().parts.iter_mut().filter(is_other).for_each(|part| part.retired = true);
        begin(&self.shared, &server, &wanted);
    }

    /// The Pods that have these addresses, as far as that was asked: what stays for a while is, some at a time.
    pub fn pods_at(&self, addresses: &[IpAddr], facts: &Facts) -> PodsFound {
        let server = match &self.shared.state().connection {
            Connection::Ready(server) => server.clone(),
            _ => return PodsFound::default(),
        };
        let mut lookups = self.lookups.lock().unwrap_or_else(PoisonError::into_inner);
        lookups.of(addresses, Instant::now(), |open| pods_at(&server, open, facts))
    }

    /// True if the last answer left addresses open that can be asked about by now.
    pub fn has_lookups(&self) -> bool {
        self.lookups.lock().unwrap_or_else(PoisonError::into_inner).are_due(Instant::now())
    }

    /// How it fares now.
    pub fn health(&self) -> Health {
        let state = self.shared.state();
        let server = match &state.connection {
            Connection::Pending => return Health { blind: true, ..Health::default() },
            Connection::Nowhere => return Health { blind: true, unconfigured: true, ..Health::default() },
            Connection::Failed(problem) => {
                return Health { blind: true, problems: vec![problem.clone()], ..Health::default() };
            }
            Connection::Ready(server) => server,
        };
        let mut health = Health { url: server.url.clone(), ..Health::default() };
        for part in state.current() {
            health.blind |= part.subject == Subject::Services && !part.listed;
            let Some(lag) = &part.lag else { continue };
            if !part.listed || lag.forbidden {
                if !health.problems.contains(&lag.problem) {
                    health.problems.push(lag.problem.clone());
                }
            } else if health.outdated.as_ref().is_none_or(|(since, _)| lag.since < *since) {
                health.outdated = Some((lag.since, lag.problem.clone()));
            }
        }
        health
    }

    /// What is known now; `None` where Services cannot be read.
    pub fn facts(&self) -> Option<Facts> {
        let state = self.shared.state();
        let (mut saved, mut coverage) = (Saved::default(), Coverage::default());
        for part in state.current().filter(|part| part.listed) {
            saved.absorb(part.saved.clone());
            match part.subject {
                Subject::Services => coverage.services.widen(part.scope.clone()),
                Subject::Endpoints => coverage.endpoints.widen(part.scope.clone()),
                Subject::Node => coverage.nodes |= part.scope == Scope::All,
                Subject::Config | Subject::Pods => {}
            }
        }
        drop(state);
        (coverage.services != Scope::Unknown).then(|| saved.into_facts_of(coverage))
    }

    /// A new part and what keeps it current; `None` without a connection.
    fn feed(&self, subject: Subject, scope: Scope, lists: Vec<(List, Right)>) -> Option<Feed> {
        let server = match &self.shared.state().connection {
            Connection::Ready(server) => server.clone(),
            _ => return None,
        };
        Some(add(&self.shared, &server, subject, scope, lists))
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.shared.state().over = true;
    }
}

/// Prepares the connection, until that works, and begins.
fn connect(access: &Access, shared: &Arc<Shared>, wanted: &Wanted, config: bool) {
    let mut pause = Pause::default();
    while !shared.state().over {
        match Server::connect(access) {
            Ok(Some(server)) => {
                begin(shared, &server, wanted);
                if config {
                    let list = List::all("/api/v1", Some("kube-system"), "configmaps").named("kube-proxy");
                    let feed = add(shared, &server, Subject::Config, Scope::Unknown, vec![(list, Right::CONFIG)]);
                    feed.start(|feed| feed.run(None));
                }
                shared.tell(|state| state.connection = Connection::Ready(server));
                return;
            }
            Ok(None) => return shared.tell(|state| state.connection = Connection::Nowhere),
            Err(problem) => shared.tell(|state| state.connection = Connection::Failed(problem)),
        }
        std::thread::sleep(pause.next());
    }
}

/// Begins to follow Services and endpoints.
fn begin(shared: &Arc<Shared>, server: &Server, wanted: &Wanted) {
    for (subject, lists) in [(Subject::Services, wanted.services()), (Subject::Endpoints, wanted.endpoints())] {
        let feed = add(shared, server, subject, wanted.scope(), lists);
        feed.start(|feed| feed.run(None));
    }
}

fn add(shared: &Arc<Shared>, server: &Server, subject: Subject, scope: Scope, lists: Vec<(List, Right)>) -> Feed {
    let mut state = shared.state();
    state.parts.push(Part::new(subject, scope));
    let part = state.parts.len() - 1;
    Feed { shared: Arc::clone(shared), server: server.clone(), part, lists, at: 0, subject }
}
