//! What the filter table refuses: Services without endpoints, and load-balancer clients outside the source ranges.
//!
//! The filter table sees the destination after translation, so these rules act only on what nat left alone.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::comment;
use super::conditions::single_port;
use super::ruleset::Table;
use crate::dataplane::{FrontendKind, Origin, RuleRef, ServiceName, Verdict};
use crate::dump::iptables::{Match, RawRule, Rule};
use crate::net::{Network, Protocol};

/// The chains that hold such rules.
pub(super) const CHAINS: [&str; 3] = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// What a rule of the filter table refuses: address (none for a node port), protocol, port.
pub(super) type Target = (Option<IpAddr>, Option<Protocol>, Option<u16>);

/// One refusing rule.
#[derive(Debug, Clone)]
pub(super) struct Reject<'d> {
    pub(super) verdict: Verdict,
    pub(super) name: Option<ServiceName>,
    pub(super) kind: FrontendKind,
    pub(super) raw: RawRule<'d>,
    pub(super) rule: RuleRef,
    /// Connections the node opens to other hosts meet the rule.
    from_output: bool,
}

/// All refusing rules, by what they refuse, in their order.
#[derive(Debug, Default)]
pub(super) struct Rejects<'d> {
    in_order: Vec<(Target, Reject<'d>)>,
    by_target: HashMap<Target, Vec<usize>>,
    /// Rules that refuse under conditions nobody here judges.
    pub(super) conditional: Vec<RuleRef>,
}

impl<'d> Rejects<'d> {
    /// Reads the table.
    pub(super) fn read(table: Table<'d>) -> Self {
        let mut rejects = Self::default();
        for chain in CHAINS {
            let from_output = is_called_from_output(table, chain);
            for raw in table.rules(chain) {
                let Ok(rule) = raw.parse() else { continue };
                let Some(verdict) = verdict(&rule) else { continue };
                let target = target(&rule);
                let rule_ref = RuleRef { text: table.text, line: raw.line };
                if target.2.is_none() || !is_plain(&rule) {
                    rejects.conditional.push(rule_ref);
                    continue;
                }
                let comment = rule.comment().unwrap_or_default();
                let kind = match target.0 {
                    None => FrontendKind::NodePort,
                    Some(_) if chain == "KUBE-SERVICES" => FrontendKind::ClusterIp,
                    Some(_) if chain == "KUBE-PROXY-FIREWALL" => FrontendKind::LoadBalancer,
                    Some(_) => FrontendKind::ExternalIp,
                };
                let name = comment::service(comment);
                let reject = Reject { verdict, name, kind, raw, rule: rule_ref, from_output };
                rejects.by_target.entry(target).or_default().push(rejects.in_order.len());
                rejects.in_order.push((target, reject));
            }
        }
        rejects
    }

    /// The rule that refuses what nat leaves alone at `target` when it comes from `origin`; from anywhere where `None`.
    pub(super) fn at(&self, target: Target, origin: Option<Origin>) -> Option<&Reject<'d>> {
        let all = self.by_target.get(&target)?.iter().map(|&at| &self.in_order[at].1);
        // What the node sends to another host passes OUTPUT only; what it sends to itself comes in by INPUT too.
        let leaves = origin == Some(Origin::Node) && target.0.is_some();
        all.into_iter().find(|reject| !leaves || reject.from_output)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Target, Reject<'d>)> {
        self.in_order.iter()
    }
}

/// Does OUTPUT lead to `chain`? Where a dump lacks OUTPUT, kube-proxy's layout is taken: KUBE-EXTERNAL-SERVICES is called
/// from INPUT and FORWARD only (`iptablesJumpChains`, pkg/proxy/iptables/proxier.go).
fn is_called_from_output(table: Table<'_>, chain: &str) -> bool {
    let mut hooks = table.rules("OUTPUT").filter_map(|raw| raw.parse().ok()).peekable();
    match hooks.peek() {
        None => chain != "KUBE-EXTERNAL-SERVICES",
        Some(_) => hooks.any(|rule| rule.target.is_some_and(|target| target.name == chain)),
    }
}

/// True if a rule asks for nothing but a new connection to its destination.
fn is_plain(rule: &Rule<'_>) -> bool {
    rule.matches.iter().all(|m| match m {
        Match::Comment(_) | Match::Destination { not: false, .. } | Match::Protocol { not: false, .. } => true,
        Match::Ports(ports) => ports.source.is_none() && ports.rest.is_empty(),
        Match::AddrType(addrtype) => addrtype.source.is_none() && addrtype.destination == Some((false, "LOCAL")),
        Match::Module { name, words } => {
            matches!(*name, "conntrack" | "state") && words.last().is_some_and(|w| w.text == "NEW")
        }
        _ => false,
    })
}

/// Drop or reject; `None` for every other target.
pub(super) fn verdict(rule: &Rule<'_>) -> Option<Verdict> {
    match rule.target.as_ref()?.name {
        "REJECT" => Some(Verdict::Reject),
        "DROP" => Some(Verdict::Drop),
        _ => None,
    }
}

/// The destination a rule names.
pub(super) fn target(rule: &Rule<'_>) -> Target {
    let address = rule.matches.iter().find_map(|m| match m {
        Match::Destination { not: false, network } => Network::parse(network)?.address(),
        _ => None,
    });
    (address, protocol(rule), single_port(rule))
}

/// The protocol a rule requires: by `-p`, else by the module its port is tested with.
pub(super) fn protocol(rule: &Rule<'_>) -> Option<Protocol> {
    rule.matches.iter().find_map(|m| match m {
        Match::Protocol { not: false, name } => Protocol::parse(name),
        Match::Ports(ports) => Protocol::parse(ports.module?),
        _ => None,
    })
}

/// True if a rule asks for a destination port, whether or not it is a single one with a known number, or may do so by a condition
/// that nft hides.
pub(super) fn has_port(rule: &Rule<'_>) -> bool {
    rule.matches.iter().any(|m| match m {
        Match::Ports(ports) => ports.destination.is_some(),
        Match::Module { name, .. } => *name == "multiport" || m.is_hidden(),
        _ => false,
    })
}
