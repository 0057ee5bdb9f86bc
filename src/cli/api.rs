//! The API server as a source of objects: what a question needs is asked while the rules are read, the rest when they
//! are known.

use std::thread::JoinHandle;

use super::answer::Question;
use super::args::ObjectArgs;
use super::choose;
use super::objects::Objects;
use super::{Failure, Note};
use crate::cluster::{Access, Api, Problem, Wanted};
use crate::dataplane::{Select, ServicePort};
use crate::join;
use crate::proxy::KnownNames;
use crate::proxy::iptables::{Ruleset, Survey};
use crate::source::{Bundle, Machine};

/// More Services than this are cheaper to list than to ask for one by one.
const ONE_BY_ONE: usize = 10;

/// A question to the API server on its way.
pub(super) struct Asking {
    thread: JoinHandle<Result<Option<Api>, Problem>>,
    /// Whether what is asked covers the question.
    settled: bool,
}

/// Begins to ask. `--node` and $NODE_NAME tell the node; Services are asked for by name where WHAT has names only.
pub(super) fn ask(question: &Question<'_>) -> Asking {
    let args = question.source.objects.clone();
    let wanted = at_once(question);
    let settled = wanted.is_some();
    let thread = std::thread::spawn(move || {
        let api = &args.api;
        let access = Access {
            kubeconfig: api.kubeconfig.clone(),
            context: api.context.clone(),
            request_timeout: api.request_timeout,
        };
        let Some(mut api) = Api::connect(&access)? else { return Ok(None) };
        if let Some(wanted) = wanted {
            api.fetch(&wanted);
        }
        Ok(Some(api))
    });
    Asking { thread, settled }
}

/// What can be asked before the rules are known.
fn at_once(question: &Question<'_>) -> Option<Wanted> {
    let namespace = question.shared.namespace.clone();
    if question.what.is_empty() {
        return Some(Wanted::All(namespace));
    }
    let named = |(_, select): &(String, Select)| match select {
        Select::Name { namespace: own, service, .. } => Some((own.clone().or(namespace.clone()), service.clone())),
        _ => None,
    };
    question.what.iter().map(named).collect::<Option<Vec<_>>>().map(Wanted::Services)
}

impl Asking {
    /// Waits for the answer, asks for what the rules leave open, and settles whose rules they are.
    pub(super) fn finish(
        self,
        question: &Question<'_>,
        bundle: &Bundle,
        rulesets: &[Ruleset<'_>],
    ) -> Result<Objects, Failure> {
        let args = &question.source.objects;
        let connected = self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut api = match connected {
            Ok(Some(api)) => api,
            Ok(None) if args.api.require_api => {
                let what = "no API server is configured: there is no kubeconfig, and this is no Pod".to_owned();
                return Err(Failure { what, hints: vec!["--kubeconfig FILE".to_owned()] });
            }
            Ok(None) => return Ok(Objects::default()),
            Err(problem) => return without(vec![problem], args),
        };
        // Where the first questions had no answer, more would not help.
        if !api.lacks_services() {
            node(&mut api, args, bundle);
            if self.settled {
                pods(&mut api, question, rulesets);
            } else {
                api.fetch(&later(&question.what, question, rulesets));
            }
        }
        let problems = api.problems();
        if problems.iter().any(|problem| problem.fatal && args.api.require_api) || api.lacks_services() {
            return without(problems, args);
        }
        let notes = problems.iter().map(note).collect();
        let facts = api.facts();
        Ok(Objects { facts: Some(facts), from: api.url().to_owned(), notes, live: Some(api), ..Objects::default() })
    }
}

/// The rules alone, or with `--require-api` no answer.
fn without(problems: Vec<Problem>, args: &ObjectArgs) -> Result<Objects, Failure> {
    if let (true, Some(problem)) = (args.api.require_api, problems.iter().find(|problem| problem.fatal)) {
        return Err(Failure { what: problem.what.clone(), hints: problem.hint.iter().cloned().collect() });
    }
    let mut notes: Vec<Note> = problems.iter().map(note).collect();
    if let Some(first) = notes.first_mut() {
        first.what.insert_str(0, "the rules are shown alone: ");
    }
    Ok(Objects { notes, ..Objects::default() })
}

fn note(problem: &Problem) -> Note {
    Note { what: problem.what.clone(), hint: problem.hint.clone() }
}

/// Asks for the Node the rules are of, by the name that was given, or as this host where they are its own.
fn node(api: &mut Api, args: &ObjectArgs, bundle: &Bundle) {
    let named = args.node.clone().or_else(|| std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty()));
    if let Some(name) = named {
        // A name that is not there is told with the names that are.
        if !api.node(&name) {
            api.nodes();
        }
        return;
    }
    if bundle.is_live() && !Machine::this().name.is_some_and(|name| api.node(&name)) {
        api.nodes();
    }
}

/// Asks for Pods where a WHAT that looks like a Service is none, and then for the Services they are endpoints of.
fn pods(api: &mut Api, question: &Question<'_>, rulesets: &[Ruleset<'_>]) {
    let survey = Survey::of(rulesets, &KnownNames::default());
    let mut what = Vec::new();
    for (text, select) in &question.what {
        let Select::Name { namespace, service, port: None } = select else { continue };
        let namespace = namespace.as_deref().or(question.shared.namespace.as_deref());
        if api.has_service(namespace, service) || survey.sketches().iter().any(|s| s.is_named_by(select)) {
            continue;
        }
        let addresses = api.pod(namespace, service);
        what.extend(addresses.into_iter().map(|ip| (text.clone(), Select::Address(ip, None, None))));
    }
    if !what.is_empty() {
        api.fetch(&later(&what, question, rulesets));
    }
}

/// The Services `what` means by the rules alone; all, where the rules do not tell.
fn later(what: &[(String, Select)], question: &Question<'_>, rulesets: &[Ruleset<'_>]) -> Wanted {
    let all = Wanted::All(question.shared.namespace.clone());
    if what.iter().any(|(_, select)| matches!(select, Select::Pattern(_))) {
        return all;
    }
    let survey = Survey::of(rulesets, &KnownNames::default());
    let mut missing = Vec::new();
    let chosen = choose::choose(&survey, None, question, what, &mut missing);
    let name = |port: &ServicePort| port.name.as_ref().map(|name| (Some(name.namespace.clone()), name.service.clone()));
    let Some(mut names) = chosen.services.iter().map(name).collect::<Option<Vec<_>>>() else { return all };
    names.sort_unstable();
    names.dedup();
    if missing.is_empty() && names.len() <= ONE_BY_ONE { Wanted::Services(names) } else { all }
}

/// Asks whose the addresses of stale endpoints are now. What went wrong is told.
pub(super) fn settle(api: &Api, objects: &Objects, services: &mut [ServicePort]) -> Vec<Note> {
    let open = join::unsettled(services);
    let (Some(facts), false) = (&objects.facts, open.is_empty()) else { return Vec::new() };
    let found = api.pods_at(&open, facts);
    join::settle(services, &found.pods, &found.asked, objects.viewpoint.node.as_deref());
    let left = open.len() - found.asked.len();
    let unasked = (found.problem.is_none() && left > 0)
        .then(|| format!("whose address {left} of the stale endpoints have now was not asked: there are too many, or their family is not the Pods' first"));
    found.problem.iter().map(note).chain(unasked.map(Note::from)).collect()
}
