//! Do the built-in chains lead to kube-proxy's?

use hashbrown::HashSet;

use super::super::ruleset::Table;
use super::{EVIDENCE, reference};
use crate::dataplane::{HookFault, MissingHook, Mode, Orphans};
use crate::dump::iptables::{Match, RawRule, Rule};
use crate::net::Network;
use crate::proxy::chain_name::ChainKind;

/// Hooks of the filter table since 1.25, when KUBE-PROXY-FIREWALL came (`iptablesJumpChains`,
/// pkg/proxy/iptables/proxier.go). Before that they differ from release to release.
const FILTER: [(&str, &str); 9] = [
    ("INPUT", "KUBE-PROXY-FIREWALL"),
    ("INPUT", "KUBE-NODEPORTS"),
    ("INPUT", "KUBE-EXTERNAL-SERVICES"),
    ("FORWARD", "KUBE-PROXY-FIREWALL"),
    ("FORWARD", "KUBE-FORWARD"),
    ("FORWARD", "KUBE-SERVICES"),
    ("FORWARD", "KUBE-EXTERNAL-SERVICES"),
    ("OUTPUT", "KUBE-PROXY-FIREWALL"),
    ("OUTPUT", "KUBE-SERVICES"),
];

/// Those that every release before that has for a chain that it has (`iptablesJumpChains` of 1.10 to 1.23).
const OLDER: [(&str, &str); 3] =
    [("INPUT", "KUBE-EXTERNAL-SERVICES"), ("FORWARD", "KUBE-FORWARD"), ("OUTPUT", "KUBE-SERVICES")];

/// Those that 1.20 to 1.23 have besides, as tells their chain KUBE-NODEPORTS of the filter table. From FORWARD to
/// KUBE-EXTERNAL-SERVICES only some of them lead.
const SINCE_1_20: [(&str, &str); 2] = [("INPUT", "KUBE-NODEPORTS"), ("FORWARD", "KUBE-SERVICES")];

/// The same in IPVS mode (`iptablesJumpChain`, pkg/proxy/ipvs/proxier.go). Releases differ in which of these chains they have; one
/// that is there is led to, whether it has rules or not.
const FILTER_OF_IPVS: [(&str, &str); 6] = [
    ("INPUT", "KUBE-IPVS-FILTER"),
    ("INPUT", "KUBE-PROXY-FIREWALL"),
    ("INPUT", "KUBE-NODE-PORT"),
    ("FORWARD", "KUBE-PROXY-FIREWALL"),
    ("FORWARD", "KUBE-FORWARD"),
    ("OUTPUT", "KUBE-IPVS-OUT-FILTER"),
];

/// Targets after which no later rule of a built-in chain is tried.
const ENDING: [&str; 9] = ["ACCEPT", "DROP", "REJECT", "RETURN", "DNAT", "REDIRECT", "SNAT", "MASQUERADE", "NETMAP"];

/// The hooks that are missing in tables that are all there, where kube-proxy runs in this mode.
pub(super) fn missing(nat: Option<Table<'_>>, filter: Option<Table<'_>>, mode: Option<Mode>) -> Vec<MissingHook> {
    let mut missing = Vec::new();
    if let Some(nat) = nat {
        let has_rules = |chain: &str| nat.section.chain(chain).is_some_and(|chain| !chain.is_empty());
        // In IPVS mode the Services are served without these rules, so that there should be some.
        let should_be = mode == Some(Mode::Ipvs) || is_emptied(nat);
        let is_flushed = |chain: &str| should_be && is_empty(nat, chain);
        let flushed = is_flushed("KUBE-SERVICES");
        if has_rules("KUBE-SERVICES") || serves(nat) || flushed {
            missing.extend(hook(nat, "nat", "PREROUTING", "KUBE-SERVICES"));
            missing.extend(hook(nat, "nat", "OUTPUT", "KUBE-SERVICES"));
        }
        // Kubernetes 1.1 masqueraded in POSTROUTING itself.
        if has_rules("KUBE-POSTROUTING") || has_rules("KUBE-MARK-MASQ") || flushed && is_flushed("KUBE-POSTROUTING") {
            missing.extend(hook(nat, "nat", "POSTROUTING", "KUBE-POSTROUTING"));
        }
        if has_rules("KUBE-NODEPORTS") && has_rules("KUBE-SERVICES") && mode == Some(Mode::Iptables) {
            missing.extend(hook(nat, "nat", "KUBE-SERVICES", "KUBE-NODEPORTS"));
        }
    }
    if let Some(filter) = filter.filter(|_| mode == Some(Mode::Iptables)) {
        let has_firewall = filter.has_firewall();
        // Where the chains themselves were deleted, nat tells the release.
        let is_of_today = has_firewall || nat.is_some_and(|nat| nat.has_todays_layout());
        let wanted = FILTER.iter().filter(|(_, target)| has_firewall || *target != "KUBE-PROXY-FIREWALL");
        let wanted = wanted.filter(|_| is_of_today);
        let needed = |(_, target): &&(&str, &str)| !is_of_today && filter.rules(target).next().is_some();
        let has_node_ports = filter.section.chain("KUBE-NODEPORTS").is_some_and(|chain| chain.declared);
        let since_1_20 = SINCE_1_20.iter().filter(|_| !is_of_today && has_node_ports);
        let wanted = wanted.chain(OLDER.iter().filter(needed)).chain(since_1_20);
        missing.extend(wanted.filter_map(|(chain, target)| hook(filter, "filter", chain, target)));
    }
    if let Some(filter) = filter.filter(|_| mode == Some(Mode::Ipvs)) {
        let is_there =
            |chain: &str| filter.section.chain(chain).is_some_and(|chain| chain.declared || !chain.is_empty());
        let wanted = FILTER_OF_IPVS.iter().filter(|(_, target)| is_there(target));
        missing.extend(wanted.filter_map(|(chain, target)| hook(filter, "filter", chain, target)));
    }
    missing
}

/// True if node ports are open on every address of the node, and not on those of `nodePortAddresses` alone, which have a rule each.
pub(super) fn opens_everywhere(nat: Table<'_>) -> bool {
    let names_address =
        |rule: &Rule<'_>| rule.matches.iter().any(|m| matches!(m, Match::Destination { not: false, .. }));
    nat.rules("KUBE-SERVICES")
        .filter(|raw| raw.target_name() == Some("KUBE-NODEPORTS"))
        .any(|raw| raw.parse().is_ok_and(|rule| !names_address(&rule)))
}

/// True if KUBE-SERVICES is declared and empty though chains of services have rules that nothing else leads to either: a
/// node port alone needs no rule there.
pub(super) fn portal_is_empty(nat: Table<'_>, orphans: &Orphans) -> bool {
    is_empty(nat, "KUBE-SERVICES") && orphans.rules > 0
}

/// True if the chains that kube-proxy writes anew at every sync in iptables mode are there and none has a rule, nor any of a
/// Service: `iptables -t nat -F` leaves that, and nothing else does.
pub(super) fn is_emptied(nat: Table<'_>) -> bool {
    ["KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-POSTROUTING"].iter().all(|chain| is_empty(nat, chain))
        && !nat.section.chains().iter().any(|chain| ChainKind::of(chain.name).is_of_services() && !chain.is_empty())
}

fn is_empty(nat: Table<'_>, chain: &str) -> bool {
    nat.section.chain(chain).is_some_and(|chain| chain.declared && chain.is_empty())
}
fn serves(nat: Table<'_>) -> bool {
    nat.section.chains().iter().any(|chain| ChainKind::of(chain.name) == ChainKind::Cluster && !chain.is_empty())
}

/// `None` if `chain` leads to `target`.
fn hook(table: Table<'_>, name: &'static str, chain: &'static str, target: &'static str) -> Option<MissingHook> {
    let for_some = leads(table, chain, target);
    // kube-proxy has conditions for some hooks of the filter table, and for node ports.
    if for_some && (name != "nat" || chain == "KUBE-SERVICES" || !leads_some(table, chain, target)) {
        return None;
    }
    let jumps = |raw: &RawRule<'_>| raw.target_name() == Some(target);
    let fault = match table.rules(chain).any(|raw| jumps(&raw)) {
        _ if for_some => HookFault::ForSome,
        true => HookFault::Behind,
        false => HookFault::Gone,
    };
    let is_evidence = |raw: &RawRule<'_>| match fault {
        HookFault::Gone => true,
        HookFault::Behind => jumps(raw) || ends(raw),
        HookFault::ForSome => jumps(raw),
    };
    let rules = table.rules(chain).filter(is_evidence).take(EVIDENCE).map(|raw| reference(table, raw)).collect();
    Some(MissingHook { table: name, chain, target, fault, rules })
}

/// True if `chain`, which leads to `target`, does so by rules under conditions alone.
fn leads_some(table: Table<'_>, chain: &str, target: &str) -> bool {
    table.rules(chain).all(|raw| match raw.target_name() {
        Some(to) if to == target => raw.parse().is_ok_and(|rule| rule.matches.iter().any(limits)),
        // By a detour it may lead all of them there.
        Some(to) => table.section.chain(to).is_none() || !leads(table, to, target),
        None => true,
    })
}

/// True if a condition leaves out connections. What nobody knows may be a comment, as nft shows it.
fn limits(item: &Match<'_>) -> bool {
    match item {
        Match::Source { not: false, network } | Match::Destination { not: false, network } => {
            !Network::parse(network).is_some_and(|network| network.is_everything())
        }
        Match::Comment(_) | Match::Module { .. } => false,
        _ => true,
    }
}

/// True if packets get from `chain` to `target`. A jump under conditions counts: which packets it takes is another
/// question. One behind a rule that takes every packet does not.
pub(super) fn leads(table: Table<'_>, chain: &str, target: &str) -> bool {
    let mut seen = HashSet::new();
    let mut open = vec![chain];
    while let Some(chain) = open.pop() {
        for raw in table.rules(chain) {
            let Some(to) = raw.target_name() else { continue };
            if to == target {
                return true;
            }
            if ends(&raw) {
                break;
            }
            if !ChainKind::of(to).is_of_services()
                && let Some(next) = table.section.chain(to)
                && seen.insert(next.name)
            {
                open.push(next.name);
            }
        }
    }
    false
}

/// True if no packet gets behind the rule.
fn ends(raw: &RawRule<'_>) -> bool {
    let is_unconditional = |rule: Rule<'_>| rule.matches.iter().all(|m| matches!(m, Match::Comment(_)));
    raw.target_name().is_some_and(|target| ENDING.contains(&target)) && raw.parse().is_ok_and(is_unconditional)
}
