//! The API server that a watch follows: what of it a question needs, and what it knows when an answer is made.

use std::sync::Arc;
use std::time::Duration;

use super::api::{at_once, may_be_pods, note, nowhere, plugin_limit, without};
use super::args::ObjectArgs;
use super::objects::{Live, Objects};
use super::scene::Question;
use super::{Failure, viewpoint};
use crate::cluster::{Facts, Follower, Problem, Wanted};
use crate::proxy::Rules;
use crate::source::Bundle;

/// How long an answer waits for lists that only the rules show to be needed.
const LATER: Duration = Duration::from_secs(10);

/// Begins to follow what a question needs; `None` if it needs no API server. `wake` is called when something is settled,
/// goes wrong or is well again.
pub(super) fn begin(question: &Question<'_>, wake: impl Fn() + Send + Sync + 'static) -> Option<Arc<Follower>> {
    let args = &question.source.objects;
    if args.no_api || !args.objects.is_empty() {
        return None;
    }
    let wanted = at_once(question).unwrap_or_else(|| all(question));
    Some(Arc::new(Follower::start(args.api.access(), &wanted, question.beside.config, wake)))
}

fn all(question: &Question<'_>) -> Wanted {
    Wanted::All(question.namespace.map(str::to_owned))
}

/// Follows the Node the rules are of: by the name that was given, or as this host where they are its own.
pub(super) fn node(follower: &Follower, args: &ObjectArgs, bundle: &Bundle) {
    let machine = bundle.machine.clone();
    let own = bundle.node.clone().or(machine.as_ref().and_then(|machine| machine.name.clone()));
    let named = args.node.clone().or_else(viewpoint::node_name);
    if named.is_none() && own.is_none() && machine.is_none() {
        return;
    }
    // A name that is not there is told with the names that are.
    let machine = machine.filter(|_| named.is_none());
    let this = move |facts: &Facts| viewpoint::this(machine.as_ref()?, facts).map(|node| node.name.clone());
    follower.node(named.or(own), this);
}

/// What is known of the cluster, with what the rules leave open followed too.
pub(super) fn finish(
    follower: Arc<Follower>,
    question: &Question<'_>,
    rules: Rules<'_, '_>,
) -> Result<Objects, Failure> {
    let args = &question.source.objects;
    if let (true, Some(limit)) = (follower.is_connecting(), plugin_limit(args)) {
        return without(&[Problem::with_plugin(limit)], args);
    }
    // Where Services cannot be had, more would not help.
    if !follower.health().blind {
        pods(&follower, question, rules);
    }
    let health = follower.health();
    if health.unconfigured {
        return nowhere(args);
    }
    let fatal = health.problems.iter().any(|problem| problem.fatal);
    let Some(facts) = follower.facts().filter(|_| !(fatal && args.api.require_api)) else {
        return without(&health.problems, args);
    };
    let notes = health.problems.iter().map(note).collect();
    Ok(Objects {
        facts: Some(Arc::new(facts)),
        from: health.url,
        notes,
        live: Some(Live::Followed(follower)),
        ..Objects::default()
    })
}

/// Follows Pods where a WHAT names one, or looks like a Service and is none; and if one is there, every Service, which may
/// have it as endpoint.
fn pods(follower: &Follower, question: &Question<'_>, rules: Rules<'_, '_>) {
    let unknown = may_be_pods(question, rules, |namespace, name| follower.has_service(namespace, name));
    if unknown.is_empty() {
        return;
    }
    for (namespace, name) in unknown {
        follower.pod(namespace, name);
    }
    follower.wait(LATER);
    if follower.has_pods() {
        follower.follow(&all(question));
        follower.wait(LATER);
    }
}
