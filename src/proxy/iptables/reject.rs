//! What the filter table refuses: Services without endpoints, and load-balancer clients outside the source ranges.
//!
//! The filter table sees the destination after translation, so these rules act only on what nat left alone.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::comment;
use super::matching::single_port;
use super::ruleset::Table;
use crate::dataplane::{FrontendKind, RuleRef, ServiceName, Verdict};
use crate::dump::iptables::{Match, RawRule, Rule};
use crate::net::{Network, Protocol};

/// The chains that hold such rules.
const CHAINS: [&str; 3] = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

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
}

/// All refusing rules, by what they refuse; the first of several acts.
#[derive(Debug, Default)]
pub(super) struct Rejects<'d> {
    in_order: Vec<(Target, Reject<'d>)>,
    by_target: HashMap<Target, usize>,
}

impl<'d> Rejects<'d> {
    /// Reads the table.
    pub(super) fn read(table: Table<'d>) -> Self {
        let mut rejects = Self::default();
        for chain in CHAINS {
            for raw in table.rules(chain) {
                let Ok(rule) = raw.parse() else { continue };
                let Some(verdict) = verdict(&rule) else { continue };
                let target = target(&rule);
                let comment = rule.comment().unwrap_or_default();
                let kind = match target.0 {
                    None => FrontendKind::NodePort,
                    Some(_) if chain == "KUBE-SERVICES" => FrontendKind::ClusterIp,
                    Some(_) if chain == "KUBE-PROXY-FIREWALL" => FrontendKind::LoadBalancer,
                    Some(_) => FrontendKind::ExternalIp,
                };
                let rule_ref = RuleRef { text: table.text, line: raw.line };
                let reject = Reject { verdict, name: comment::service(comment), kind, raw, rule: rule_ref };
                rejects.by_target.entry(target).or_insert(rejects.in_order.len());
                rejects.in_order.push((target, reject));
            }
        }
        rejects
    }

    /// The rule that refuses what nat leaves alone at `target`.
    pub(super) fn at(&self, target: Target) -> Option<&Reject<'d>> {
        self.by_target.get(&target).map(|&at| &self.in_order[at].1)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(Target, Reject<'d>)> {
        self.in_order.iter()
    }
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
