//! Traffic policy, session affinity or source ranges of the rules are not those of the Service.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Drift, Frontend, FrontendKind, Mode, Origin, Policy, ServicePort, Verdict, count};
use crate::net::Network;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI107",
    slug: "policy-mismatch",
    severity: Severity::Warning,
    of_traffic: false,
    compares: false,
    page: include_str!("policy_mismatch.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.cluster.is_none() {
        found.skip(super::NO_OBJECTS);
    }
    if input.cluster.is_some() && input.wirings.iter().any(|wiring| wiring.sets_missing) {
        found.skip_for_lines(super::SETS);
    }
    for (at, port) in input.ports() {
        for drift in port.drifts() {
            if let Some(finding) = of_drift(input, found.on(at, port), port, drift) {
                found.add(finding);
            }
        }
        forgetful(input, found, at, port);
    }
    let asks_more =
        |port: &ServicePort| port.is_unclear() && port.about.as_ref().is_some_and(|about| about.rules_complete);
    let unclear = input.ports().filter(|(_, port)| asks_more(port)).count();
    if input.mode() == Mode::Iptables && unclear > 0 {
        found.skip(format!(
            "rules that lead to {} have conditions that a dump does not answer",
            count(unclear, "service port")
        ));
    }
}

fn of_drift(input: &Input<'_, '_>, blank: Finding, port: &ServicePort, drift: &Drift) -> Option<Finding> {
    let hint = super::syncing(input);
    Some(match drift {
        // What the filter table refuses is told by the check for that.
        Drift::Policy { origin: Origin::External, have: Verdict::Drop | Verdict::Reject, .. } => return None,
        Drift::Policy { origin, have: Verdict::None | Verdict::Drop | Verdict::Reject, .. }
            if input.is_unhooked(port.family, *origin) =>
        {
            return None;
        }
        Drift::Policy { frontend, origin, have, want } => {
            of_policy(input, blank, port, &port.frontends[*frontend], (*origin, *have, *want))
        }
        Drift::NotLocal(address) => Finding {
            address: Some(address.to_string()),
            reason: Some("traffic-policy"),
            message: format!("the local pool holds {address}, which does not run on {}", input.node()),
            hint: "is --node the node these rules are of? kube-ipt explain policy-mismatch".to_owned(),
            objects: input.endpoint_object(port, address),
            ..blank
        },
        Drift::Sources { frontend, have, want } => {
            let frontend = &port.frontends[*frontend];
            Finding {
                frontend: Some(frontend.at()),
                reason: Some("source-ranges"),
                message: format!(
                    "{} {} lets in {}, but the Service wants {}",
                    frontend.kind.words(),
                    frontend.at(),
                    have.as_deref().map_or_else(|| networks(&[]), let_in),
                    networks(want)
                ),
                hint,
                rules: frontend.rules.clone(),
                objects: match frontend.kind {
                    FrontendKind::LoadBalancer => {
                        input.service_object(port, "spec.loadBalancerSourceRanges", networks(want))
                    }
                    _ => Vec::new(),
                },
                ..blank
            }
        }
        Drift::NotDropped(frontend) => {
            let frontend = &port.frontends[*frontend];
            Finding {
                frontend: Some(frontend.at()),
                reason: Some("source-ranges"),
                message: format!(
                    "clients outside the source ranges of {} {} are not dropped: the rule of the filter table is missing",
                    frontend.kind.words(),
                    frontend.at()
                ),
                hint,
                rules: frontend.rules.clone(),
                ..blank
            }
        }
        Drift::Affinity { frontend, have, want } => {
            let frontend = frontend.map(|at| &port.frontends[at]);
            let whose = |frontend: &Frontend| format!("{} {}", frontend.kind.words(), frontend.at());
            let whose = frontend.map_or_else(|| "the rules".to_owned(), whose);
            let seconds = |seconds: &Option<u32>| seconds.map_or("none".to_owned(), |s| format!("ClientIP, {s} s"));
            Finding {
                frontend: frontend.map(Frontend::at),
                reason: Some("session-affinity"),
                rules: frontend.map(|frontend| frontend.rules.clone()).unwrap_or_default(),
                message: format!(
                    "session affinity of {whose} is {}, the Service's is {}",
                    seconds(have),
                    seconds(want)
                ),
                hint,
                objects: input.service_object(port, "spec.sessionAffinity", seconds(want)),
                ..blank
            }
        }
        _ => return None,
    })
}

/// A frontend whose connections from `origin` have another fate than the policy of the Service gives them.
fn of_policy(
    input: &Input<'_, '_>,
    blank: Finding,
    port: &ServicePort,
    frontend: &Frontend,
    (origin, have, want): (Origin, Verdict, Policy),
) -> Finding {
    let have = match have {
        Verdict::Pool(policy) => format!("go to the {} pool", policy.as_str()),
        _ => "reach no endpoint".to_owned(),
    };
    let of_cluster_ip = frontend.kind == FrontendKind::ClusterIp;
    let field = if of_cluster_ip { "spec.internalTrafficPolicy" } else { "spec.externalTrafficPolicy" };
    let who = match (of_cluster_ip, origin) {
        (true, _) => "connections",
        (_, Origin::External) => "connections from outside",
        (_, Origin::Pod) => "connections from pods",
        (_, Origin::Node) => "connections from the node itself",
    };
    // Pods and the node may use every endpoint whatever the policy for others.
    let shortcut = !of_cluster_ip && origin != Origin::External;
    let but = if shortcut { "may use every endpoint".to_owned() } else { format!("{field} is {}", name(want)) };
    Finding {
        frontend: Some(frontend.at()),
        reason: Some("traffic-policy"),
        message: format!("{who} to {} {} {have}, but {but}", frontend.kind.words(), frontend.at()),
        hint: if shortcut { super::rewrite(input) } else { super::syncing(input) },
        rules: frontend.rules.clone(),
        objects: if shortcut { Vec::new() } else { input.service_object(port, field, name(want)) },
        ..blank
    }
}

/// ClientIP affinity needs a rule for every endpoint. kube-proxy writes them together.
fn forgetful(input: &Input<'_, '_>, found: &mut Found, at: usize, port: &ServicePort) {
    for pool in port.pools.iter().filter(|pool| pool.sticky > 0 && pool.is_whole() && pool.dead_ends.is_empty()) {
        // A client comes back by one rule, if another has remembered it.
        let complete = pool.sticky.min(pool.setting);
        if complete < pool.endpoints.len() && input.is_whole(port.family) {
            let without = count(pool.endpoints.len() - complete, "endpoint");
            found.add(Finding {
                chain: Some(pool.chain.clone()),
                reason: Some("session-affinity"),
                message: format!(
                    "clients do not come back to {without} of {}: rules of the affinity are missing",
                    pool.endpoints.len()
                ),
                hint: super::rewrite(input),
                ..found.on(at, port)
            });
        }
    }
}

fn name(policy: Policy) -> &'static str {
    match policy {
        Policy::Cluster => "Cluster",
        Policy::Local => "Local",
    }
}

fn let_in(all: &[Network]) -> String {
    if all.is_empty() { "nobody from outside".to_owned() } else { networks(all) }
}

fn networks(networks: &[Network]) -> String {
    if networks.is_empty() {
        return "everyone".to_owned();
    }
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}
