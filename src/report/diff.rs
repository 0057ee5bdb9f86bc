//! From a comparison to the contract.

use hashbrown::HashSet;

use super::Header;
use super::build::{SCHEMA, kind_of};
use super::v1_diff::{DiffChange, DiffDocument, DiffKind, DiffService, DiffSummary, DiffTurn, DiffValue, NotCompared};
use crate::compare::{Change, Comparison, Difference, Kept, RouteAt, Turn};
use crate::dataplane::{AboutEndpoint, Absent, Address, Endpoint, Frontend, Policy, Verdict};

/// The document of `diff`.
pub fn diff_document(a: &Header, b: &Header, comparison: &Comparison<'_>) -> DiffDocument {
    let not_compared = comparison.unknown.iter().map(|(unknown, count)| NotCompared {
        side: if unknown.side() == crate::compare::Which::A { "a" } else { "b" },
        reason: unknown.as_str(),
        count: *count,
        message: unknown.words(*count),
    });
    DiffDocument {
        schema: SCHEMA,
        kind: DiffKind::Diff,
        a: a.source(),
        b: b.source(),
        summary: diff_summary(comparison),
        not_compared: not_compared.collect(),
        services: comparison.differences.iter().map(service).collect(),
    }
}

/// How much is different.
pub fn diff_summary(comparison: &Comparison<'_>) -> DiffSummary {
    let mut summary =
        DiffSummary { equal: comparison.differences.is_empty(), common: comparison.common, ..DiffSummary::default() };
    for difference in &comparison.differences {
        match turn_of(difference) {
            DiffTurn::Gained => summary.gained += 1,
            DiffTurn::Lost => summary.lost += 1,
            DiffTurn::Changed => summary.changed += 1,
        }
        let mut told: HashSet<(u8, &Address)> = HashSet::new();
        for change in &difference.changes {
            let (which, address, counter) = match change {
                Change::Frontend(Turn::Gained(_)) => {
                    summary.frontends_gained += 1;
                    continue;
                }
                Change::Frontend(Turn::Lost(_)) => {
                    summary.frontends_lost += 1;
                    continue;
                }
                Change::Endpoint(_, Turn::Gained(e)) => (0, &e.address, &mut summary.endpoints_gained),
                Change::Endpoint(_, Turn::Lost(e)) => (1, &e.address, &mut summary.endpoints_lost),
                Change::Kept(_, Kept::Share, _, e) => (2, &e.address, &mut summary.shares_changed),
                Change::Kept(_, Kept::State, _, e) => (3, &e.address, &mut summary.states_changed),
                Change::Missing(_, Turn::Gained(e)) => (4, &e.address, &mut summary.missing_gained),
                Change::Missing(_, Turn::Lost(e)) => (5, &e.address, &mut summary.missing_lost),
                _ => continue,
            };
            // Pools of one service port share endpoints; what has no address is no other's.
            if address.ip().is_none() || told.insert((which, address)) {
                *counter += 1;
            }
        }
    }
    summary
}

fn turn_of(difference: &Difference<'_>) -> DiffTurn {
    match (difference.a, difference.b) {
        (None, _) => DiffTurn::Gained,
        (_, None) => DiffTurn::Lost,
        _ => DiffTurn::Changed,
    }
}

fn service(difference: &Difference<'_>) -> DiffService {
    let name = difference.name();
    DiffService {
        service: name.map(ToString::to_string),
        namespace: name.map(|n| n.namespace.clone()),
        name: name.map(|n| n.service.clone()),
        port_name: name.and_then(|n| n.port.clone()),
        protocol: difference.protocol().map(|p| p.to_string()),
        family: difference.port.family,
        change: turn_of(difference),
        changes: difference.changes.iter().map(change).collect(),
    }
}

/// A change of which nothing is told but what it is.
fn blank(what: &'static str, a: Option<DiffValue>, b: Option<DiffValue>) -> DiffChange {
    let change = match (&a, &b) {
        (None, Some(_)) => DiffTurn::Gained,
        (Some(_), None) => DiffTurn::Lost,
        _ => DiffTurn::Changed,
    };
    DiffChange {
        what,
        change,
        kind: None,
        frontend: None,
        origin: None,
        source: None,
        policy: None,
        address: None,
        pod: None,
        node: None,
        a,
        b,
    }
}

fn change(change: &Change<'_>) -> DiffChange {
    let word = |text: &str| Some(DiffValue::Word(text.to_owned()));
    match *change {
        Change::Status(a, b) => blank("status", word(a.as_str()), word(b.as_str())),
        Change::Type(a, b) => blank("type", word(a), word(b)),
        Change::Affinity(a, b) => {
            blank("session-affinity-seconds", a.map(DiffValue::Seconds), b.map(DiffValue::Seconds))
        }
        Change::Frontend(turn) => {
            DiffChange { change: way(turn), ..at_frontend(blank("frontend", None, None), turn.it()) }
        }
        Change::Verdict(at, a, b) => at_route(blank("verdict", a.map(verdict), b.map(verdict)), at),
        Change::Masquerade(at, a, b) => at_route(blank("masquerade", flag(a), flag(b)), at),
        Change::Scheduler(policy, a, b) => in_pool(blank("scheduler", word(a), word(b)), policy),
        Change::Undelivered(policy, a, b) => {
            in_pool(blank("undelivered", Some(DiffValue::Part(a)), Some(DiffValue::Part(b))), policy)
        }
        Change::Endpoint(policy, turn) => {
            let share = turn.it().probability.map(DiffValue::Part);
            let (a, b) = if matches!(turn, Turn::Gained(_)) { (None, share) } else { (share, None) };
            let told = DiffChange { change: way(turn), ..blank("endpoint", a, b) };
            at_endpoint(in_pool(told, policy), turn.it())
        }
        Change::Kept(policy, what, a, b) => at_endpoint(in_pool(kept(what, a, b), policy), b),
        Change::Missing(policy, turn) => {
            let state = word(turn.it().about.state.as_str());
            let (a, b) = if matches!(turn, Turn::Gained(_)) { (None, state) } else { (state, None) };
            let Absent { address, about } = turn.it();
            let policy = policy.map(Policy::as_str);
            about_endpoint(
                DiffChange { policy, address: Some(address.to_string()), ..blank("missing-endpoint", a, b) },
                Some(about),
            )
        }
    }
}

fn kept(what: Kept, a: &Endpoint, b: &Endpoint) -> DiffChange {
    let state = |e: &Endpoint| e.about.as_ref().map(|about| DiffValue::Word(about.state.as_str().to_owned()));
    let share = |e: &Endpoint| e.probability.map(DiffValue::Part);
    match what {
        Kept::Share => blank("share", share(a), share(b)),
        Kept::State => blank("state", state(a), state(b)),
        Kept::Draining => blank("draining", flag(a.draining), flag(b.draining)),
        Kept::Hairpin => blank("hairpin", a.hairpin.and_then(flag), b.hairpin.and_then(flag)),
    }
}

fn way<T: Copy>(turn: Turn<T>) -> DiffTurn {
    match turn {
        Turn::Gained(_) => DiffTurn::Gained,
        Turn::Lost(_) => DiffTurn::Lost,
    }
}

#[expect(clippy::unnecessary_wraps, reason = "a value that is there, for a place where there may be none")]
fn flag(value: bool) -> Option<DiffValue> {
    Some(DiffValue::Flag(value))
}

fn verdict(verdict: Verdict) -> DiffValue {
    let word = match verdict {
        Verdict::Pool(policy) => policy.as_str(),
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
        Verdict::None => "none",
        Verdict::Unknown => "unknown",
    };
    DiffValue::Word(word.to_owned())
}

fn at_frontend(change: DiffChange, frontend: &Frontend) -> DiffChange {
    DiffChange { kind: Some(kind_of(frontend.kind)), frontend: Some(frontend.at()), ..change }
}

fn at_route(change: DiffChange, at: RouteAt<'_>) -> DiffChange {
    let source = at.source.map(|network| network.to_string());
    at_frontend(DiffChange { origin: Some(at.origin.as_str()), source, ..change }, at.frontend)
}

fn in_pool(change: DiffChange, policy: Policy) -> DiffChange {
    DiffChange { policy: Some(policy.as_str()), ..change }
}

fn at_endpoint(change: DiffChange, endpoint: &Endpoint) -> DiffChange {
    let address = (endpoint.address != Address::Unknown).then(|| endpoint.address.to_string());
    about_endpoint(DiffChange { address, ..change }, endpoint.about.as_deref())
}

fn about_endpoint(change: DiffChange, about: Option<&AboutEndpoint>) -> DiffChange {
    let pod = about.and_then(|about| about.pod.as_deref()).map(str::to_owned);
    let node = about.and_then(|about| about.node.as_deref()).map(str::to_owned);
    DiffChange { pod, node, ..change }
}
