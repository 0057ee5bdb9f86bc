//! An earlier rule takes the connections to a frontend before its own rule does.

use std::cell::LazyCell;

use super::rivals::Rivals;
use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Frontend, Only, Origin, Shadow, Taker, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI302",
    slug: "shadowed-frontend",
    severity: Severity::Error,
    of_traffic: true,
    compares: false,
    page: include_str!("shadowed_frontend.md"),
    run,
};

/// What helps where two Services claim one.
const ANOTHER_ADDRESS: &str = "give one of the two another address";

fn run(input: &Input<'_, '_>, found: &mut Found) {
    claimed(input, found);
    let ports = LazyCell::new(|| input.places_by_key());
    for wiring in input.wirings {
        if wiring.shadows_unknown {
            found.skip("there are more rules ahead of kube-proxy's than are held against every frontend");
        }
        if let Some(first) = wiring.shadows_undecided.first() {
            let rules = count(wiring.shadows_undecided.len(), "rule");
            found.skip(format!(
                "{rules} ahead of kube-proxy's, first line {}, may take connections to Services by conditions that cannot be judged",
                first.line
            ));
        }
        for shadow in &wiring.shadows {
            let place = (wiring.family, shadow.key.as_str(), shadow.protocol);
            let Some(&at) = ports.get(&place) else { continue };
            let port = &input.services[at];
            let same = |f: &&Frontend| (f.address, f.port) == (shadow.frontend.1, shadow.frontend.2);
            let Some(frontend) = port.frontends.iter().find(same) else { continue };
            let is_all = shadow.only.is_all();
            found.add(Finding {
                frontend: Some(frontend.at()),
                severity: if is_all { CHECK.severity } else { Severity::Warning },
                // How many of the connections are whose, no rule tells.
                share: (is_all && shadow.origins.len() == Origin::ALL.len()).then_some(1.0),
                message: format!(
                    "connections{} to {} {}{} never get to its rule: {}",
                    whose(shadow),
                    frontend.kind.words(),
                    frontend.at(),
                    which(&shadow.only),
                    taker(shadow)
                ),
                hint: hint(shadow).to_owned(),
                rules: shadow.rules.iter().chain(frontend.rules.last()).copied().collect(),
                ..found.on(at, port)
            });
        }
    }
}

/// Frontends that another Service has on this node. Virtual servers of IPVS and elements of nftables' maps exist once for an
/// address and port, so that the loser has no rule of its own (kubernetes/kubernetes#69599).
fn claimed(input: &Input<'_, '_>, found: &mut Found) {
    let rivals = Rivals::of(input);
    for (at, port) in input.ports() {
        for drift in port.drifts() {
            let Some((frontend, owner)) = rivals.holder(port, drift) else { continue };
            found.add(Finding {
                frontend: Some(frontend.at()),
                share: Some(1.0),
                message: format!(
                    "connections to {} {} are not its own: {owner} has the same address and port, and a node serves one of them",
                    frontend.kind.words(),
                    frontend.at(),
                ),
                hint: ANOTHER_ADDRESS.to_owned(),
                ..found.on(at, port)
            });
        }
    }
}

/// Whose connections are taken, where not all are.
fn whose(Shadow { origins, only, .. }: &Shadow) -> String {
    // A network tells more than where such clients may be. What comes in by an interface is not the node's own.
    let all_that_come_in = !origins.contains(&Origin::Node) && origins.len() + 1 == Origin::ALL.len();
    let are_told = !only.from.is_empty() || all_that_come_in && only.by.iter().any(|(not, _)| !not);
    if origins.len() == Origin::ALL.len() || are_told {
        return String::new();
    }
    format!(" from {}", super::origins(origins))
}

/// Which of the connections, where not all are.
fn which(only: &Only) -> String {
    let to = only.to.iter().map(|(not, what)| {
        let at = if *not { " at another address than " } else { " at " };
        [at, what].concat()
    });
    let from = only.from.iter().map(|what| [" from ", what].concat());
    let by = only.by.iter().map(|(not, what)| {
        let by = if *not { " that do not come in by " } else { " that come in by " };
        [by, what].concat()
    });
    to.chain(from).chain(by).collect()
}

fn taker(shadow: &Shadow) -> String {
    match &shadow.by {
        Taker::Service(name) => format!("{name} has the same address and comes first"),
        Taker::Translation { chain, to } => format!("{} sends them to {to} ({chain})", owner(chain)),
        Taker::Verdict { chain, verdict } => format!("a rule of {chain} ends their way before it ({verdict})"),
    }
}

/// Who writes such chains.
fn owner(chain: &str) -> &'static str {
    let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| chain.starts_with(prefix));
    if begins(&["CNI-DN-", "CNI-HOSTPORT", "KUBE-HP-", "KUBE-HOSTPORTS"]) {
        "a hostPort"
    } else if begins(&["DOCKER"]) {
        "a port that Docker publishes"
    } else {
        "an earlier rule"
    }
}

fn hint(shadow: &Shadow) -> &'static str {
    match &shadow.by {
        Taker::Service(_) => ANOTHER_ADDRESS,
        _ => "change the hostPort, the published port or the node port, or take the rule out",
    }
}
