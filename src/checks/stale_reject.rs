//! The filter table refuses connections to a Service that has usable endpoints.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Drift, Frontend, Mode, Origin, RuleRef, ServicePort, Verdict};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI403",
    slug: "stale-reject",
    severity: Severity::Error,
    of_traffic: false,
    compares: true,
    page: include_str!("stale_reject.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.wirings.iter().any(|wiring| !wiring.filter_whole) {
        found.skip_for_lines(super::FILTER_LINES);
    }
    // Virtual servers without real ones refuse by themselves.
    for (at, port) in input.ports().filter(|_| input.mode() != Mode::Ipvs) {
        let acting = frontends(port, acts);
        if let Some(first) = acting.first() {
            let list = acting.iter().map(|frontend| frontend.at()).collect::<Vec<_>>().join(", ");
            let how = if acting.iter().any(|frontend| drops(frontend)) { "drops" } else { "rejects" };
            found.add(Finding {
                frontend: Some(first.at()),
                message: format!(
                    "the filter table {how} connections to {list}, though the Service has usable endpoints"
                ),
                hint: super::syncing(input),
                rules: refusals(&acting),
                objects: input.endpoints_object(port),
                ..found.on(at, port)
            });
        }
        let idle = frontends(port, |drift, n| matches!(drift, Drift::IdleRefusal(at) if *at == n));
        if let Some(first) = idle.first() {
            found.add(Finding {
                severity: Severity::Info,
                frontend: Some(first.at()),
                message: format!(
                    "the filter table still refuses {}, without effect: nat takes its connections first",
                    first.at()
                ),
                hint: super::syncing(input),
                rules: refusals(&idle),
                objects: input.endpoints_object(port),
                ..found.on(at, port)
            });
        }
    }
}

/// The frontends some drift says so of.
fn frontends(port: &ServicePort, says: impl Fn(&Drift, usize) -> bool) -> Vec<&Frontend> {
    let drifts = port.drifts();
    let all = port.frontends.iter().enumerate();
    let said = all.filter(|(n, frontend)| {
        let of_place = |drift: &Drift| match drift {
            Drift::MissingFrontend { refused: Some(_), address, port, .. } => {
                (frontend.address, frontend.port) == (*address, Some(*port)) && says(drift, *n)
            }
            drift => says(drift, *n),
        };
        drifts.iter().any(of_place)
    });
    said.map(|(_, frontend)| frontend).collect()
}

/// Connections are refused that should be translated.
fn acts(drift: &Drift, at: usize) -> bool {
    match drift {
        Drift::MissingFrontend { refused: Some(_), .. } => true,
        Drift::Policy { frontend, origin: Origin::External, have: Verdict::Drop | Verdict::Reject, .. } => {
            *frontend == at
        }
        _ => false,
    }
}

fn drops(frontend: &Frontend) -> bool {
    frontend.routes.iter().any(|route| route.verdict == Verdict::Drop)
}

fn refusals(frontends: &[&Frontend]) -> Vec<RuleRef> {
    frontends.iter().filter_map(|frontend| frontend.refusal.or(frontend.rules.last().copied())).collect()
}
