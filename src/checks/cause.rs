//! One cause behind several findings, in one sentence.
//!
//! kube-proxy writes KUBE-SERVICES, KUBE-NODEPORTS and its chains of the filter table at every sync, but a service's own
//! chains only when that service has changed (pkg/proxy/iptables/proxier.go): what is out of date says what broke.

use super::missing_frontend::SOME_CLIENTS;
use super::{Finding, Input, Severity};
use crate::dataplane::{Frontend, FrontendKind, Mode, Policy, ServicePort, count};
use crate::net::{Family, span};
use crate::order::Order as _;

/// What probably happened; `None` where nothing is wrong.
pub(super) fn of(input: &Input<'_, '_>, findings: &[Finding]) -> Option<String> {
    let of = |id: &str| findings.iter().filter(|f| f.is_wrong()).filter(|f| f.check.id == id).collect::<Vec<_>>();
    if input.foreign && findings.iter().any(|finding| finding.is_wrong() && finding.check.compares) {
        return Some(
            "The objects seem to be of another cluster than the rules: these are compared in vain.".to_owned(),
        );
    }
    if !of("KI401").is_empty() {
        return Some("There are two sets of rules: iptables-legacy and iptables-nft both lead to Services.".to_owned());
    }
    if let Some(first) = of("KI402").first() {
        return Some(format!("Another mode took over, and rules of the one before were left: {}.", first.message));
    }
    if input.wirings.iter().any(|wiring| wiring.emptied) {
        return Some(format!(
            "The nat table was flushed on {}: the chains of kube-proxy are there, and have no rules.",
            input.node()
        ));
    }
    if let Some(flushed) = hooks(&of("KI301")) {
        return Some(flushed);
    }
    if !of("KI104").is_empty() && input.wirings.iter().all(|wiring| wiring.mode.is_none() && wiring.whole) {
        return Some(format!(
            "There are no rules of kube-proxy on {}: it does not run there, or its rules were flushed.",
            input.node()
        ));
    }
    if let Some(lost) = family(input, &of("KI104")) {
        return Some(lost);
    }
    if of("KI203").iter().any(|f| f.chain.as_deref() == Some(input.portal())) {
        let portal = input.portal();
        return Some(format!("{portal} was flushed: kube-proxy's rules are there, but nothing leads to them."));
    }
    of_another_node(input, findings)
        .or_else(|| kept_out(findings))
        .or_else(|| behind(input, findings))
        .or_else(|| edited(findings))
}

/// So many pools of this node's endpoints tell together whose rules they are in; one alone may have moved.
const TELLING_POOLS: usize = 2;

/// The node whose endpoints all pools for this node's endpoints hold, if that is another one.
fn of_another_node(input: &Input<'_, '_>, findings: &[Finding]) -> Option<String> {
    findings.iter().find(|finding| finding.is_wrong())?;
    let here = input.cluster?.viewpoint().node.as_deref()?;
    let pools = || input.ports().flat_map(|(_, port)| &port.pools).filter(|pool| pool.policy == Policy::Local);
    let mut nodes = pools().flat_map(|pool| &pool.endpoints).map(|endpoint| endpoint.about.as_deref()?.node.as_deref());
    let there = nodes.next().flatten().filter(|there| *there != here)?;
    let all = nodes.all(|node| node == Some(there)) && pools().count() >= TELLING_POOLS;
    all.then(|| {
        format!(
            "The rules seem to be those of {there}: all endpoints of their local pools run there, and none on {here}."
        )
    })
}

/// A family of which kube-proxy has no table of nftables, or no virtual server, so that all its Services are missing.
fn family(input: &Input<'_, '_>, missing: &[&Finding]) -> Option<String> {
    let has_rules = |family: Family| {
        let of_family = |port: &&ServicePort| port.family == family;
        input.services.iter().filter(of_family).flat_map(|port| &port.frontends).any(|f| !f.rules.is_empty())
    };
    let is_lost = |family: &Family| match input.mode() {
        Mode::Nftables => input.wirings.iter().all(|wiring| wiring.family != *family),
        Mode::Ipvs => !input.narrowed && !has_rules(*family) && has_rules(family.other()),
        Mode::Iptables => false,
    };
    let lost = missing.iter().filter_map(|finding| finding.family).find(is_lost)?;
    let what = if input.mode() == Mode::Ipvs { "virtual server" } else { "table" };
    Some(format!("kube-proxy has no {what} of {lost} on {}: no Service of that family can be reached.", input.node()))
}

/// Hooks that are missing, those of the nat table first.
fn hooks(missing: &[&Finding]) -> Option<String> {
    let names = |of: &dyn Fn(&Finding) -> bool| {
        let mut chains: Vec<&str> = missing.iter().filter(|f| of(f)).filter_map(|f| f.chain.as_deref()).collect();
        chains.order();
        chains.dedup();
        chains.join(", ")
    };
    let behind = names(&|f| f.reason == Some("behind"));
    if !behind.is_empty() {
        return Some(format!(
            "Hooks of kube-proxy stand behind a rule that takes everything ({behind}): another program put it there."
        ));
    }
    let chains = |nat: bool| names(&|f| f.reason.is_none() && (f.severity == Severity::Error) == nat);
    match (chains(true).as_str(), chains(false).as_str()) {
        ("", "") => None,
        ("KUBE-SERVICES", _) => Some("KUBE-SERVICES was edited: it does not lead to KUBE-NODEPORTS.".to_owned()),
        ("services", _) => {
            Some("The chain services was edited: it does not ask all maps that lead to Services.".to_owned())
        }
        ("", filter) => Some(format!(
            "Hooks of kube-proxy in the filter table were flushed ({filter}): a firewall reload or another program wrote it anew."
        )),
        (nat, _) => Some(format!(
            "Hooks of kube-proxy were flushed ({nat}): a firewall reload or another program wrote the built-in chains anew."
        )),
    }
}

/// Findings of rules that are behind the API.
pub const OUTDATED: [&str; 8] = ["KI101", "KI102", "KI103", "KI104", "KI105", "KI106", "KI107", "KI403"];

/// Those of chains that every sync writes anew.
const OF_PORTAL: [&str; 5] = ["KI103", "KI104", "KI105", "KI106", "KI403"];

/// Those of rules kube-proxy never writes.
const NEVER_WRITTEN: [&str; 6] = ["KI201", "KI202", "KI203", "KI204", "KI304", "KI306"];

fn services<'f>(findings: &'f [Finding], ids: &[&str]) -> Vec<&'f str> {
    services_with(findings, |finding| ids.contains(&finding.check.id))
}

fn services_with<'f>(findings: &'f [Finding], has: impl Fn(&Finding) -> bool) -> Vec<&'f str> {
    let wrong = findings.iter().filter(|f| f.is_wrong() && has(f));
    // The ports of a Service change together.
    let name = |f: &'f Finding| f.service.as_deref().map(|name| name.split(':').next().unwrap_or(name));
    let mut names: Vec<&str> = wrong.filter_map(name).collect();
    names.order();
    names.dedup();
    names
}

/// True if the rule that catches the address is out of date: it leads to the pool of a policy, or asks for source ranges or not.
fn of_portal(input: &Input<'_, '_>, finding: &Finding) -> bool {
    let port = finding.port.and_then(|at| input.services.get(at));
    let is_cluster_ip = || {
        port.is_some_and(|port| {
            let at = |f: &Frontend| f.kind == FrontendKind::ClusterIp && Some(f.at()) == finding.frontend;
            port.frontends.iter().any(at)
        })
    };
    match (finding.check.id, finding.reason) {
        ("KI107", Some("source-ranges")) => true,
        ("KI107", Some("traffic-policy")) => is_cluster_ip(),
        (id, _) => OF_PORTAL.contains(&id),
    }
}

/// Several Services that serve some clients only: kube-proxy makes no such difference, however old its rules are.
fn kept_out(findings: &[Finding]) -> Option<String> {
    let services = services_with(findings, |finding| finding.reason == Some(SOME_CLIENTS));
    (services.len() > 1).then(|| {
        format!(
            "Some clients get nowhere at {}, where others are served: rules or sets around them were edited.",
            count(services.len(), "Service")
        )
    })
}

fn behind(input: &Input<'_, '_>, findings: &[Finding]) -> Option<String> {
    let outdated = services(findings, &OUTDATED);
    let edited = services(findings, &NEVER_WRITTEN);
    let (first, others) = outdated.split_first()?;
    // kube-proxy that is behind writes no such chains.
    if outdated.iter().all(|service| edited.contains(service)) {
        return self::edited(findings);
    }
    let of_portal = services_with(findings, |finding| of_portal(input, finding));
    let portal = input.portal();
    let (node, age) = (input.node(), age(input, findings));
    Some(match (others.is_empty(), of_portal.is_empty()) {
        // Nothing but the servers of a Service is written in IPVS mode.
        (true, true) if input.mode() == Mode::Ipvs => {
            format!("Only {first} is out of date: kube-proxy on {node} has not synced since it changed{age}.")
        }
        (true, true) => format!(
            "Only {first} is out of date; {portal} matches the API: a sync of its chains is outstanding or went wrong{age}."
        ),
        (true, false) => {
            format!("Only {first} is out of date: kube-proxy on {node} has not synced since it changed{age}.")
        }
        (false, true) => format!(
            "{} are out of date, while {portal} matches the API: kube-proxy on {node} is behind{age}.",
            count(outdated.len(), "Service")
        ),
        (false, false) => format!(
            "kube-proxy on {node} is not syncing: {portal} and the {} of {} are behind the API{age}.",
            if input.mode() == Mode::Ipvs { "real servers" } else { "chains" },
            count(outdated.len(), "Service")
        ),
    })
}

/// How long before the rules were read the last of what they lack changed.
fn age(input: &Input<'_, '_>, findings: &[Finding]) -> String {
    let outdated = findings.iter().filter(|f| OUTDATED.contains(&f.check.id));
    let changed = outdated.flat_map(|f| &f.objects).filter_map(|object| object.changed).max();
    let Some(age) = input.read_at.zip(changed).map(|(read, changed)| read.since(changed)) else { return String::new() };
    let length = span(age.unsigned_abs());
    match age {
        0.. => format!(" (last change {length} before the rules were read)"),
        _ => format!(" (the objects are {length} younger than the rules, which may be all that is wrong)"),
    }
}

fn edited(findings: &[Finding]) -> Option<String> {
    let edited = services(findings, &NEVER_WRITTEN);
    let whose = match edited.as_slice() {
        [] => return None,
        [only] => format!("Rules of {only} were"),
        many => format!("Rules of {} were", count(many.len(), "Service")),
    };
    Some(format!("{whose} edited, or a partial sync went wrong: kube-proxy writes no such chains."))
}
