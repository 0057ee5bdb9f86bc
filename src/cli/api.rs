//! The API server as a source of objects: what a question needs is asked while the rules are read, the rest when they
//! are known.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::args::ObjectArgs;
use super::choose;
use super::objects::{Live, Objects};
use super::scene::Question;
use super::{Failure, Note, viewpoint};
use crate::cluster::{Api, Problem, Server, Wanted, lost_kubeconfigs};
use crate::dataplane::{FrontendKind, Select, ServicePort};
use crate::expect::Cluster;
use crate::join;
use crate::order::Order as _;
use crate::proxy::KnownNames;
use crate::proxy::{Rules, Survey};
use crate::source::Bundle;

/// How long an API server may keep silent before we say that we wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// More Services than this are cheaper to list than to ask for one by one.
const ONE_BY_ONE: usize = 10;

/// A question to the API server on its way.
pub(super) struct Asking {
    thread: std::io::Result<JoinHandle<Result<Option<Api>, Problem>>>,
    /// Says when the connection is prepared, and then when all is asked.
    stages: Receiver<()>,
    /// Whether what is asked covers the question.
    settled: bool,
}

/// Begins to ask. `--node` and $NODE_NAME tell the node; Services are asked for by name where WHAT has names only.
pub(super) fn ask(question: &Question<'_>, server: Option<Server>) -> Asking {
    let args = question.source.objects.clone();
    let wanted = at_once(question);
    let settled = wanted.is_some();
    let (stage, stages) = mpsc::channel();
    let thread = std::thread::Builder::new().spawn(move || {
        let connected = server.map_or_else(|| Server::connect(&args.api.access()), |server| Ok(Some(server)))?;
        // Nobody listens any more where the question has failed.
        let _ = stage.send(());
        let Some(mut api) = connected.map(Api::new) else { return Ok(None) };
        if let Some(wanted) = wanted {
            api.fetch(&wanted);
        }
        let _ = stage.send(());
        Ok(Some(api))
    });
    Asking { thread, stages, settled }
}

/// What can be asked before the rules are known.
pub(super) fn at_once(question: &Question<'_>) -> Option<Wanted> {
    let namespace = question.namespace.map(str::to_owned);
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
        rules: Rules<'_, '_>,
    ) -> Result<Objects, Failure> {
        let args = &question.source.objects;
        if let Some(limit) = self.late(args) {
            return without(&[Problem::with_plugin(limit)], args);
        }
        let thread = match self.thread {
            Ok(thread) => thread,
            Err(error) => return without(&[Problem::without_thread(&error)], args),
        };
        let connected = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        let mut api = match connected {
            Ok(Some(api)) => api,
            Ok(None) => return nowhere(args),
            // What a person names is meant, and never passed over.
            Err(problem) if problem.of_configuration && args.api.is_named() => return Err(problem.into()),
            Err(problem) => return without(&[problem], args),
        };
        // Where the first questions had no answer, more would not help.
        if !api.lacks_services() {
            node(&mut api, args, bundle);
            beside(&mut api, question);
            if !self.settled {
                later(&mut api, question, rules);
            } else if pods(&mut api, question, rules) {
                api.fetch(&Wanted::All(question.namespace.map(str::to_owned)));
            }
        }
        let problems = api.problems();
        if problems.iter().any(|problem| problem.fatal && args.api.require_api) || api.lacks_services() {
            return without(&problems, args);
        }
        let notes = problems.iter().map(note).collect();
        let facts = std::sync::Arc::new(api.facts());
        Ok(Objects {
            facts: Some(facts),
            from: api.url().to_owned(),
            notes,
            live: Some(Live::Asked(Box::new(api))),
            ..Objects::default()
        })
    }

    /// Waits for both stages and says so if it takes long. The limit, if the first one is not over in time.
    fn late(&self, args: &ObjectArgs) -> Option<Duration> {
        if self.stages.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            super::say("waiting for the credential plugin of the kubeconfig; --no-api shows the rules alone");
            match plugin_limit(args) {
                None => _ = self.stages.recv(),
                Some(limit) if self.stages.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) => return Some(limit),
                Some(_) => {}
            }
        }
        if self.stages.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
            super::say("waiting for the API server; --no-api shows the rules alone");
        }
        None
    }
}

/// The rules alone where no API server is configured, or with `--require-api` no answer.
pub(super) fn nowhere(args: &ObjectArgs) -> Result<Objects, Failure> {
    let lost: Vec<String> = lost_kubeconfigs().iter().map(|path| path.display().to_string()).collect();
    let lost = (!lost.is_empty()).then(|| format!("$KUBECONFIG names {}, which is not there", lost.join(", ")));
    if args.api.require_api {
        let why = lost.unwrap_or_else(|| "there is no kubeconfig, and this is no Pod".to_owned());
        let what = format!("no API server is configured: {why}");
        return Err(Failure { what, hints: vec!["--kubeconfig FILE".to_owned()] });
    }
    // Without any configuration nobody expected objects.
    let notes = lost.map(|why| Note::from(format!("the rules are shown alone: {why}"))).into_iter().collect();
    Ok(Objects { notes, ..Objects::default() })
}

/// How long a connection may be prepared; `None` for as long as it takes. That runs the credential plugin, which may wait for
/// a person only where one sits.
pub(super) fn plugin_limit(args: &ObjectArgs) -> Option<Duration> {
    args.api.access().plugin_limit().filter(|_| !std::io::stdin().is_terminal())
}

/// The rules alone, or with `--require-api` no answer.
pub(super) fn without(problems: &[Problem], args: &ObjectArgs) -> Result<Objects, Failure> {
    if let (true, Some(problem)) = (args.api.require_api, problems.iter().find(|problem| problem.fatal)) {
        return Err(problem.clone().into());
    }
    let mut notes: Vec<Note> = problems.iter().map(note).collect();
    if let Some(first) = notes.first_mut() {
        first.what.insert_str(0, "the rules are shown alone: ");
    }
    Ok(Objects { notes, ..Objects::default() })
}

pub(super) fn note(problem: &Problem) -> Note {
    Note { what: problem.what.clone(), hint: problem.hint.clone() }
}

/// Asks for the Node the rules are of, by the name that was given, or as this host where they are its own.
fn node(api: &mut Api, args: &ObjectArgs, bundle: &Bundle) {
    let named = args.node.clone().or_else(viewpoint::node_name);
    if let Some(name) = named {
        // A name that is not there is told with the names that are.
        if !api.node(&name) {
            api.nodes();
        }
        return;
    }
    let own = bundle.node.as_ref().or(bundle.machine.as_ref().and_then(|machine| machine.name.as_ref()));
    if (own.is_some() || bundle.machine.is_some()) && !own.is_some_and(|name| api.node(name)) {
        api.nodes();
    }
}

/// Asks for Nodes and Pods by name, whatever Services they have to do with.
fn beside(api: &mut Api, question: &Question<'_>) {
    if question.beside.everything {
        api.nodes();
        api.every_pod();
    }
    if question.beside.config {
        api.proxy_config();
    }
    for name in &question.beside.nodes {
        api.node(name);
    }
    for (namespace, name) in &question.beside.pods {
        api.pod(namespace.as_deref().or(question.namespace), name);
    }
}

/// Asks for Pods where a WHAT names one, or looks like a Service and is none. True if one was found, which any Service may
/// have as endpoint.
fn pods(api: &mut Api, question: &Question<'_>, rules: Rules<'_, '_>) -> bool {
    let unknown = may_be_pods(question, rules, |namespace, name| api.has_service(namespace, name));
    let mut found = false;
    for (namespace, name) in unknown {
        found |= !api.pod(namespace, name).is_empty();
    }
    found
}

/// Namespace and name of what a WHAT may mean as a Pod: those that the rules do not know, and that are no Service.
pub(super) fn may_be_pods<'q>(
    question: &'q Question<'_>,
    rules: Rules<'_, '_>,
    is_service: impl Fn(Option<&str>, &str) -> bool,
) -> Vec<(Option<&'q str>, &'q str)> {
    let in_namespace = question.namespace;
    let unknown: Vec<_> = question
        .what
        .iter()
        .filter_map(|(_, select)| select.pod().map(|(namespace, name)| (select, namespace.or(in_namespace), name)))
        .filter(|(select, namespace, name)| matches!(select, Select::Pod { .. }) || !is_service(*namespace, name))
        .collect();
    if unknown.is_empty() {
        return Vec::new();
    }
    let survey = Survey::of(rules, &KnownNames::default(), None);
    let is_ruled = |select: &Select| survey.sketches().iter().any(|sketch| sketch.is_named_by(select));
    unknown.into_iter().filter(|(select, ..)| !is_ruled(select)).map(|(_, namespace, name)| (namespace, name)).collect()
}

/// Asks for the Services a question means. Those with an address or node port are found among all Services, whatever the
/// rules make of it; slices are asked for one by one if they are few. An address that is nobody's frontend may be any
/// Service's endpoint.
fn later(api: &mut Api, question: &Question<'_>, rules: Rules<'_, '_>) {
    let all = Wanted::All(question.namespace.map(str::to_owned));
    let what = &question.what;
    if what.iter().any(|(_, select)| matches!(select, Select::Pattern(_) | Select::Pod { .. })) {
        pods(api, question, rules);
        api.fetch(&all);
        return;
    }
    let survey = Survey::of(rules, &KnownNames::default(), None);
    let chosen = choose::choose(&survey, None, question, &mut Vec::new());
    let name = |port: &ServicePort| port.name.as_ref().map(|name| (Some(name.namespace.clone()), name.service.clone()));
    let mut names: Option<Vec<_>> = chosen.services.iter().map(name).collect();
    let mut listed = false;
    for (_, select) in what.iter().filter(|(_, select)| matches!(select, Select::Address(..) | Select::NodePort(..))) {
        if !std::mem::replace(&mut listed, true) {
            api.fetch_services(&all);
        }
        let owners = api.services_with(|ip, port, protocol| {
            let kind = if ip.is_some() { FrontendKind::ClusterIp } else { FrontendKind::NodePort };
            select.matches_frontend(kind, ip, Some(port), Some(protocol))
        });
        let is_frontend = !owners.is_empty() || survey.sketches().iter().any(|s| s.is_named_by(select));
        names = names.filter(|_| is_frontend).map(|names| names.into_iter().chain(owners).collect());
    }
    let wanted = match names {
        Some(mut names) => {
            names.order();
            names.dedup();
            if names.len() <= ONE_BY_ONE { Wanted::Services(names) } else { all }
        }
        None => all,
    };
    if listed { api.fetch_endpoints(&wanted) } else { api.fetch(&wanted) }
}

/// Asks whose the addresses of stale endpoints are now. What went wrong is told.
pub(super) fn settle(live: &Live, objects: &Objects, services: &mut [ServicePort]) -> Vec<Note> {
    let open = join::unsettled(services);
    let Some(facts) = objects.facts.as_ref().filter(|_| !open.is_empty() || matches!(live, Live::Followed(_))) else {
        return Vec::new();
    };
    let found = match live {
        Live::Asked(api) => api.pods_at(&open, facts),
        Live::Followed(follower) => follower.pods_at(&open, facts),
    };
    let is_over = matches!(live, Live::Asked(_));
    let left = open.len() - found.asked.len();
    join::settle(services, found.pods, &found.asked, &Cluster::new(facts, objects.viewpoint.clone()));
    let unasked = (is_over && found.problem.is_none() && left > 0).then(|| {
        let why = if found.asked.len() < Api::LOOKUPS {
            "the API server finds Pods by their first address only, and the family of theirs is another or not known"
                .to_owned()
        } else {
            format!("that is done for {} only", Api::LOOKUPS)
        };
        format!("who has the addresses of {left} stale endpoints now was not asked: {why}")
    });
    found.problem.iter().map(note).chain(unasked.map(Note::from)).collect()
}
