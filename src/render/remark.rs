//! What is to be said of a service port or an endpoint: wrong, worth a look, or good to know. The same words everywhere.

use hashbrown::HashSet;
use owo_colors::Style;

use super::palette::{DIM, ERROR, NOTE, paint};
use super::phrase;
use super::text::{clean, percent};
use crate::checks::{Finding, Severity};
use crate::dataplane::{AboutEndpoint, Address, Endpoint, ServicePort, Standing, State};
use crate::order::Order as _;

/// A remark and how much it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Remark {
    weight: Weight,
    text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Wrong,
    Caution,
    Plain,
}

/// Where a remark stands: in a heading there is room for a sentence, in a column for a few words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    Heading,
    Column,
}

impl Remark {
    fn new(weight: Weight, text: impl Into<String>) -> Self {
        Self { weight, text: text.into() }
    }

    /// The mark and the words, without colour.
    pub(super) fn plain(&self) -> String {
        let mark = match self.weight {
            Weight::Wrong => "✗ ",
            Weight::Caution => "! ",
            Weight::Plain => "",
        };
        format!("{mark}{}", self.text)
    }

    pub(super) fn style(&self) -> Style {
        match self.weight {
            Weight::Wrong => ERROR,
            Weight::Caution => NOTE,
            Weight::Plain => DIM,
        }
    }

    pub(super) fn painted(&self) -> String {
        paint(&self.plain(), self.style())
    }
}

/// Everything to be said of a service port as one remark that weighs as much as the worst of it; `None` where all is well.
/// In a column, `findings` that nothing else tells are named.
pub(super) fn service(service: &ServicePort, findings: &[&Finding], room: Room) -> Option<Remark> {
    let mut all = remarks(service, room);
    if room == Room::Column {
        let told = findings.iter().filter(|finding| finding.is_wrong());
        let mut named: Vec<Remark> = told
            .map(|finding| {
                let weight = if finding.severity == Severity::Error { Weight::Wrong } else { Weight::Caution };
                Remark::new(weight, finding.check.slug)
            })
            .collect();
        named.dedup();
        all.append(&mut named);
    }
    if all.is_empty() {
        return None;
    }
    all.order_by_key(|remark| remark.weight);
    let weight = all[0].weight;
    // A heading has the worst only: the rest is in the tree below it.
    let shown = if room == Room::Heading { 1 } else { all.len() };
    let texts: Vec<String> = all.into_iter().take(shown).map(|remark| remark.text).collect();
    Some(Remark { weight, text: texts.join(", ") })
}

fn remarks(service: &ServicePort, room: Room) -> Vec<Remark> {
    let heading = room == Room::Heading;
    let mut all = Vec::new();
    let mut add = |weight, text: String| all.push(Remark::new(weight, text));
    let standing = service.about.as_ref().map(|about| &about.standing);
    match standing {
        Some(Standing::Gone(gone)) => add(Weight::Wrong, gone.words(service.family)),
        Some(forbidding) if forbidding.forbids_rules() && !service.pools.is_empty() => {
            add(Weight::Wrong, format!("should have no rules: {}", without_rules(forbidding, service)));
        }
        _ => {}
    }
    let lost = Lost::of(service);
    for (count, what) in [(lost.stale, "stale"), (lost.not_ready, "not ready")] {
        match (count, heading) {
            (0, _) => {}
            (1, true) => add(Weight::Wrong, format!("1 of {} is {what}", endpoints(lost.all))),
            (_, true) => add(Weight::Wrong, format!("{count} of {} are {what}", endpoints(lost.all))),
            (_, false) => add(Weight::Wrong, format!("{count} {what}")),
        }
    }
    if let Some(part) = service.lost() {
        let part = percent(Some(part)).trim_start().to_owned();
        add(
            Weight::Wrong,
            if heading { format!("{part} of connections reach no endpoint") } else { format!("{part} undelivered") },
        );
    }
    match (lost.ending, heading) {
        (0, _) => {}
        (1, true) => add(Weight::Caution, "1 endpoint is terminating".to_owned()),
        (count, true) => add(Weight::Caution, format!("{count} endpoints are terminating")),
        (count, false) => add(Weight::Caution, format!("{count} terminating")),
    }
    let missing = service.pools.iter().flat_map(|pool| &pool.missing).map(|absent| &absent.address);
    let missing = missing.collect::<HashSet<&Address>>().len();
    match (missing, heading) {
        (0, _) => {}
        (1, true) => add(Weight::Caution, "1 endpoint is missing".to_owned()),
        (_, true) => add(Weight::Caution, format!("{missing} endpoints are missing")),
        (_, false) => add(Weight::Caution, format!("{missing} missing")),
    }
    if service.pools.is_empty() {
        all.extend(without_pool(service, room));
    } else if heading && service.pools.iter().any(|pool| pool.undelivered.is_none()) {
        all.push(Remark::new(Weight::Caution, "shares are not all known"));
    } else if let Some(oddity) = service.pools.iter().find_map(|pool| pool.oddities.first()).filter(|_| !heading) {
        all.push(Remark::new(Weight::Caution, clean(&phrase::oddity(oddity)).into_owned()));
    }
    all
}

/// What to say of a service port none of whose frontends leads to a pool.
fn without_pool(service: &ServicePort, room: Room) -> Option<Remark> {
    let by_rules = || Some(Remark::new(Weight::Caution, phrase::without_pool(service)));
    let Some(about) = &service.about else { return by_rules() };
    let refused = service.frontends.iter().any(|frontend| !frontend.rules.is_empty());
    let text = match &about.standing {
        Standing::Gone(_) => return None,
        Standing::Served if !about.unprogrammed.is_empty() => {
            let what = if refused { "refused" } else { "no rules" };
            let text = if room == Room::Heading { about.words_if_unprogrammed(refused) } else { what.to_owned() };
            return Some(Remark::new(Weight::Wrong, text));
        }
        Standing::NoEndpoints if !about.waiting.is_empty() => {
            format!("{}, {} not ready", phrase::without_pool(service), about.waiting.len())
        }
        Standing::NoLocalEndpoints => "no endpoints on this node".to_owned(),
        Standing::Served if refused => return by_rules(),
        Standing::Served if !about.rules_complete => "no rules in this dump, parts of which are missing".to_owned(),
        Standing::Served => "no rules; which endpoints it should have is not known".to_owned(),
        Standing::NoEndpoints | Standing::Unknown => return by_rules(),
        other => return Some(Remark::new(Weight::Plain, without_rules(other, service))),
    };
    Some(Remark::new(Weight::Caution, text))
}

/// Why kube-proxy writes no rules for a service port.
fn without_rules(standing: &Standing, service: &ServicePort) -> String {
    let words = standing.words_without_rules(service.family).unwrap_or_else(|| "no rules".to_owned());
    clean(&words).into_owned()
}

/// Endpoints the rules lead to, each counted once though several pools hold it.
struct Lost {
    all: usize,
    stale: usize,
    not_ready: usize,
    /// They end and still answer, and kube-proxy should have left them for others.
    ending: usize,
}

impl Lost {
    fn of(service: &ServicePort) -> Self {
        let all: HashSet<&Address> = service.pools.iter().flat_map(|p| &p.endpoints).map(|e| &e.address).collect();
        let lost = |fits: fn(&AboutEndpoint) -> bool| {
            let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints).filter(|e| !e.draining);
            let lost = endpoints.filter(|e| e.about.as_deref().is_some_and(fits));
            lost.map(|e| &e.address).collect::<HashSet<_>>().len()
        };
        Self {
            all: all.len(),
            stale: lost(|about| matches!(about.state, State::Stale(_))),
            not_ready: lost(|about| about.state == State::NotReady),
            ending: lost(|about| about.state == State::ServingTerminating && about.wanted == Some(false)),
        }
    }
}

/// `1 endpoint`, `3 endpoints`
pub(super) fn endpoints(count: usize) -> String {
    crate::dataplane::count(count, "endpoint")
}

/// What to say of an endpoint the rules lead to, from the cluster alone.
pub(super) fn state(about: &AboutEndpoint) -> Option<Remark> {
    let weight = match &about.state {
        State::Ready => return None,
        State::ServingTerminating => Weight::Caution,
        State::NotReady | State::Stale(_) => Weight::Wrong,
        State::Unknown => Weight::Plain,
    };
    Some(Remark::new(weight, clean(&about.state.words()?).into_owned()))
}

/// What to say of an endpoint the rules lead to.
pub(super) fn endpoint(endpoint: &Endpoint) -> Option<Remark> {
    if let Some(draining) = endpoint.words_if_draining() {
        return Some(Remark::new(Weight::Caution, draining));
    }
    if let Some(clients) = endpoint.traffic().clients.as_ref().filter(|all| !all.is_empty() && !endpoint.is_lost()) {
        return Some(Remark::new(Weight::Plain, phrase::kept(clients)));
    }
    state(endpoint.about.as_ref()?)
}

/// What to say of an endpoint that should get connections and gets none, or that is not ready and rightly gets none.
pub(super) fn absent(about: &AboutEndpoint) -> Remark {
    match about.state {
        State::NotReady => Remark::new(Weight::Plain, "not ready"),
        _ => Remark::new(Weight::Caution, about.words_if_absent()),
    }
}

/// What to say of so many endpoints that are not ready and rightly get nothing.
pub(super) fn waiting(count: usize) -> String {
    let (are, get) = if count == 1 { ("is", "gets") } else { ("are", "get") };
    format!("{} {are} not ready and {get} nothing", endpoints(count))
}

/// Endpoints of a service port: programmed, and with objects those expected behind a slash; of both pools, where there
/// are two.
pub(super) fn counts(service: &ServicePort) -> String {
    let expected = |known: Option<usize>| known.map_or("?".to_owned(), |count| count.to_string());
    match service.pools.as_slice() {
        [] => match &service.about {
            None => "0".to_owned(),
            Some(about) => match about.standing {
                Standing::Served => {
                    let known = about.rules_complete && about.gap.is_none();
                    format!("0/{}", expected(known.then_some(about.unprogrammed.len())))
                }
                Standing::NoEndpoints | Standing::NoLocalEndpoints => "0/0".to_owned(),
                Standing::Gone(_) | Standing::Unknown => "0".to_owned(),
                _ => String::new(),
            },
        },
        pools => {
            let count = |pool: &crate::dataplane::Pool| {
                let programmed = phrase::count(pool);
                let counted = match (&service.about, pool.expected) {
                    (Some(_), Some(known)) => format!("{programmed}/{}", expected(known.ok())),
                    _ => programmed,
                };
                let policy = if pools.len() > 1 { format!(" {}", pool.policy.as_str()) } else { String::new() };
                format!("{counted}{policy}")
            };
            pools.iter().map(count).collect::<Vec<_>>().join(", ")
        }
    }
}
