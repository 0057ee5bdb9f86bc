//! The iptables that printed the rules could not print where some of them lead.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Address, RuleRef, count};
use crate::order::Order as _;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI902",
    slug: "unreadable-target",
    severity: Severity::Warning,
    of_traffic: false,
    compares: false,
    page: include_str!("unreadable_target.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        let pools = || input.ports().filter(|(_, port)| port.family == wiring.family).flat_map(|(_, port)| &port.pools);
        let mut rules: Vec<RuleRef> = pools().flat_map(|pool| pool.garbled.iter().copied()).collect();
        rules.order();
        rules.dedup();
        if rules.is_empty() {
            continue;
        }
        let unknown = |address: &Address| matches!(address, Address::Unknown | Address::UnknownPort(_));
        let recovered = match pools().flat_map(|pool| &pool.endpoints).filter(|e| unknown(&e.address)).count() {
            0 => "the endpoints shown were recovered from comments and chain names".to_owned(),
            lost => format!("{} could not be recovered from comments and chain names", count(lost, "endpoint")),
        };
        let garbled = count(rules.len(), "rule");
        rules.truncate(EVIDENCE);
        found.add(Finding {
            message: format!("{garbled} could not be printed by the iptables that was used: {recovered}"),
            hint: "print them with the iptables that wrote them, in the kube-proxy Pod or of the node's own version"
                .to_owned(),
            rules,
            ..found.about(wiring.family)
        });
    }
}

/// Rules that are kept as evidence.
const EVIDENCE: usize = 3;
