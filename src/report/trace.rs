//! From a followed connection to the contract.

use super::Header;
use super::build::SCHEMA;
use super::v1_trace::{Packet, TraceDestination, TraceDocument, TraceKind, TraceOutcome, TraceStep};
use crate::dataplane::{AboutEndpoint, Address};
use crate::trace::{Action, End, Outcome, Step, Trace, Why};

/// The document of `trace`. `about` knows endpoints by their address, `labels` name the texts.
pub fn trace_document<'a>(
    header: &Header,
    packet: Packet,
    trace: &Trace,
    about: impl Fn(&Address) -> Option<&'a AboutEndpoint>,
    labels: &[&str],
) -> TraceDocument {
    let destinations = trace.destinations.iter().map(|destination| {
        let about = about(&destination.address);
        TraceDestination {
            address: (destination.address != Address::Unknown).then(|| destination.address.to_string()),
            probability: destination.probability,
            masquerade: destination.masquerade,
            pod: about.and_then(|about| about.pod.as_deref()).map(str::to_owned),
            node: about.and_then(|about| about.node.as_deref()).map(str::to_owned),
            state: about.map(|about| about.state.as_str()),
        }
    });
    TraceDocument {
        schema: SCHEMA,
        kind: TraceKind::Trace,
        source: header.source(),
        packet,
        verdict: trace.verdict().and_then(|end| end.as_str()),
        masquerade: trace.masquerade,
        destinations: destinations.collect(),
        outcomes: trace.outcomes.iter().map(outcome).collect(),
        unknown: trace.open.iter().map(|open| open.what.clone()).collect(),
        steps: trace.steps.iter().map(|one| step(one, labels)).collect(),
    }
}

fn outcome(outcome: &Outcome) -> TraceOutcome {
    TraceOutcome {
        verdict: outcome.end.as_str(),
        probability: outcome.probability,
        masquerade: outcome.masquerade,
        reason: if let End::Unknown(why) = &outcome.end { Some(why.clone()) } else { None },
    }
}

fn step(step: &Step, labels: &[&str]) -> TraceStep {
    let (applies, because) = match &step.why {
        Why::Matches => (Some(true), None),
        Why::Open(what) => (None, Some(what.clone())),
        Why::Fails(condition) => (Some(false), Some(condition.clone())),
    };
    TraceStep {
        hook: step.hook.as_str(),
        table: step.table,
        chain: step.chain.clone(),
        from: step.rule.and_then(|rule| labels.get(usize::from(rule.text))).map(|&label| label.to_owned()),
        line: step.rule.map(|rule| rule.line),
        rule: step.rule.map(|_| step.text.clone()),
        action: action(&step.action),
        probability: step.probability,
        applies,
        because,
    }
}

fn action(action: &Action) -> String {
    match action {
        Action::Jump(chain) => format!("jump {chain}"),
        Action::Goto(chain) => format!("goto {chain}"),
        Action::Return => "return".to_owned(),
        Action::Accept => "accept".to_owned(),
        Action::Drop => "drop".to_owned(),
        Action::Reject => "reject".to_owned(),
        Action::Dnat(address) => format!("dnat {address}"),
        Action::Masquerade => "masquerade".to_owned(),
        Action::Mark(mark) => format!("mark {mark:#x}"),
        Action::ConnMark(mark) => format!("connmark {mark:#x}"),
        Action::Untrack => "notrack".to_owned(),
        Action::Nothing => "nothing".to_owned(),
        Action::Unknown(_) => "unknown".to_owned(),
    }
}
