//! The filter table refuses connections to a Service that has usable endpoints.

use std::net::IpAddr;

use hashbrown::HashSet;

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
        // What no rule takes is refused for that alone in nftables mode, which is told as what it lacks.
        let by_rule = |frontend: &&Frontend| input.mode() != Mode::Nftables || frontend.refusal.is_some();
        let acting: Vec<&Frontend> = frontends(port, acts).into_iter().filter(by_rule).collect();
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
        let idle = frontends(port, idles);
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

/// The frontends of drifts, which `of` tells the place or else the address and port of.
fn frontends(port: &ServicePort, of: impl Fn(&Drift) -> Option<At>) -> Vec<&Frontend> {
    let told: HashSet<At> = port.drifts().iter().filter_map(of).collect();
    let all = port.frontends.iter().enumerate().filter(|_| !told.is_empty());
    let said = all.filter(|(n, frontend)| {
        told.contains(&At::Place(*n)) || told.contains(&At::Address(frontend.address, frontend.port))
    });
    said.map(|(_, frontend)| frontend).collect()
}

/// Which frontend a drift is of.
#[derive(PartialEq, Eq, Hash)]
enum At {
    Place(usize),
    Address(Option<IpAddr>, Option<u16>),
}

/// Connections are refused that should be translated.
fn acts(drift: &Drift) -> Option<At> {
    match drift {
        Drift::MissingFrontend { refused: Some(_), rightly: false, address, port, .. } => {
            Some(At::Address(*address, Some(*port)))
        }
        Drift::Policy { frontend, origin: Origin::External, have: Verdict::Drop | Verdict::Reject, .. } => {
            Some(At::Place(*frontend))
        }
        _ => None,
    }
}

/// They are refused in vain.
fn idles(drift: &Drift) -> Option<At> {
    if let Drift::IdleRefusal(frontend) = drift { Some(At::Place(*frontend)) } else { None }
}

fn drops(frontend: &Frontend) -> bool {
    frontend.routes.iter().any(|route| route.verdict == Verdict::Drop)
}

fn refusals(frontends: &[&Frontend]) -> Vec<RuleRef> {
    frontends.iter().filter_map(|frontend| frontend.refusal.or(frontend.rules.last().copied())).collect()
}
