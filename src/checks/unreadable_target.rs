//! The iptables that printed the rules could not print where some of them lead.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Address, Mode, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI902",
    slug: "unreadable-target",
    severity: Severity::Warning,
    of_traffic: false,
    page: include_str!("unreadable_target.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings.iter().filter(|wiring| wiring.garbled.count > 0) {
        let endpoints = input.services.iter().filter(|port| port.family == wiring.family).flat_map(|port| &port.pools);
        let endpoints = endpoints.flat_map(|pool| &pool.endpoints);
        let unknown = |address: &Address| matches!(address, Address::Unknown | Address::UnknownPort(_));
        let lost = endpoints.filter(|endpoint| unknown(&endpoint.address)).count();
        let recovered = match lost {
            0 => "the endpoints shown were recovered from comments and chain names".to_owned(),
            lost => format!("{} could not be recovered from comments and chain names", count(lost, "endpoint")),
        };
        let in_use = wiring.mode.is_none_or(|mode| mode == Mode::Iptables);
        found.add(Finding {
            // What no Service uses need not be read.
            severity: if in_use { Severity::Warning } else { Severity::Info },
            message: format!("{} could not be printed by the iptables that was used: {recovered}", count(wiring.garbled.count, "rule")),
            hint: "print them with the iptables that wrote them, in the kube-proxy Pod or of the node's own version".to_owned(),
            rules: wiring.garbled.rules.clone(),
            ..found.about(wiring.family)
        });
    }
}
