//! A built-in chain does not lead to the chain of kube-proxy it should lead to.

use super::{Check, Finding, Found, Input, Severity};
use crate::cluster::NodePorts;
use crate::dataplane::{HookFault, MissingHook, Mode, Wiring};
use crate::net::Family;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI301",
    slug: "missing-hook",
    severity: Severity::Error,
    of_traffic: false,
    compares: false,
    page: include_str!("missing_hook.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let limited = input.node_ports() != NodePorts::All;
    for wiring in input.wirings {
        if !wiring.whole {
            found.skip_for_lines(super::NAT_LINES);
        } else if !wiring.filter_whole {
            found.skip_for_lines(super::FILTER_LINES);
        }
        if wiring.no_portal {
            found.skip(super::no_portal(wiring));
        }
        // With nodePortAddresses a family may have no address that node ports are open on.
        let meant = |hook: &&MissingHook| !(hook.target == "KUBE-NODEPORTS" && hook.table == "nat" && limited);
        for hook in wiring.missing_hooks.iter().filter(meant) {
            found.add(Finding {
                severity: severity(input, wiring, hook),
                chain: Some(hook.chain.to_owned()),
                reason: match hook.fault {
                    HookFault::Gone => None,
                    HookFault::Behind => Some("behind"),
                    HookFault::ForSome => Some("under-conditions"),
                },
                message: format!(
                    "{} of the {} table {} {}: {}",
                    hook.chain,
                    hook.table,
                    match hook.fault {
                        HookFault::Gone => "does not lead to",
                        HookFault::Behind => "takes everything before its rule that leads to",
                        HookFault::ForSome => "leads only some connections to",
                    },
                    hook.target,
                    effect(hook, wiring.mode == Some(Mode::Ipvs))
                ),
                hint: match hook.fault {
                    // kube-proxy asks whether its rule is there, not where (`EnsureRule`, pkg/util/iptables/iptables.go).
                    HookFault::Behind => format!(
                        "find out who put that rule first and delete it: kube-proxy on {} does not move its own",
                        input.node()
                    ),
                    _ => super::rewrite(input),
                },
                rules: hook.rules.clone(),
                ..found.about(wiring.family)
            });
        }
    }
}

/// Node ports may be closed to a family on purpose, which is nearly always the second: where `nodePortAddresses` names addresses of
/// each. Without one of a family all of its addresses count (`NewNodePortAddresses`, pkg/proxy/util/nodeport_addresses.go), as
/// they do where the other family has one rule for all.
fn severity(input: &Input<'_, '_>, wiring: &Wiring, hook: &MissingHook) -> Severity {
    let lacks = |wiring: &Wiring| wiring.missing_hooks.iter().any(|other| other.target == hook.target);
    let chosen = |wiring: &Wiring| !lacks(wiring) && !wiring.opens_everywhere;
    let elsewhere = || input.wirings.iter().filter(|other| other.family == Family::Ipv4).all(chosen);
    match hook.table {
        "nat" if hook.target == "KUBE-NODEPORTS" && wiring.family == Family::Ipv6 && elsewhere() => Severity::Info,
        "nat" => Severity::Error,
        _ => Severity::Warning,
    }
}

/// What that means for connections. In IPVS mode the nat table only marks them.
fn effect(hook: &MissingHook, ipvs: bool) -> &'static str {
    if hook.fault == HookFault::ForSome {
        let masquerades = ipvs || hook.chain == "POSTROUTING";
        return if masquerades { "the others are not masqueraded" } else { "the others reach no Service" };
    }
    match (hook.table, hook.chain.to_ascii_uppercase().as_str(), hook.target) {
        ("nat", "PREROUTING", _) if ipvs => "connections from pods and from outside are not masqueraded",
        ("nat", "OUTPUT", _) if ipvs => "connections from the node itself are not masqueraded",
        ("nat", "PREROUTING", _) => "no Service can be reached from pods or from outside",
        ("nat", "OUTPUT", _) => "no Service can be reached from the node itself",
        ("nat", "POSTROUTING", _) => "nothing is masqueraded, so that answers to some clients go astray",
        ("nat", "SERVICES", "service-ips") => {
            "no Service can be reached by its cluster IP, an external IP or a load balancer"
        }
        ("nat", ..) => "no node port can be reached",
        (.., "KUBE-FORWARD") => "forwarded connections depend on the policy of FORWARD",
        (.., "KUBE-PROXY-FIREWALL" | "KUBE-IPVS-OUT-FILTER" | "firewall-ips") => {
            "source ranges of load balancers are not enforced there"
        }
        (.., "KUBE-IPVS-FILTER") => "what listens on this node is reached by the addresses of Services too",
        (.., "KUBE-NODEPORTS" | "KUBE-NODE-PORT") => "health check ports depend on the policy of INPUT",
        _ => "clients of Services without endpoints are not refused there",
    }
}
