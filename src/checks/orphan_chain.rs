//! Chains of services or endpoints that nothing leads to: memory, not traffic.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Mode, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI305",
    slug: "orphan-chain",
    severity: Severity::Info,
    of_traffic: false,
    compares: false,
    page: include_str!("orphan_chain.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        if !wiring.whole {
            found.skip_for_lines(super::NAT_LINES);
        }
        let orphans = &wiring.orphans;
        // What another mode left is told as that; what was not asked for is not told at all.
        let left = wiring.mode.is_some_and(|mode| mode != Mode::Iptables) && wiring.leftovers.is_some();
        if orphans.chains == 0 || left || input.narrowed {
            continue;
        }
        let chains = orphans.first.iter().map(|(chain, service)| match service {
            Some(service) => format!("{chain} ({service})"),
            None => chain.clone(),
        });
        let mut names = chains.collect::<Vec<_>>().join(", ");
        if orphans.chains > orphans.first.len() {
            names.push_str(" and others");
        }
        let lead = if orphans.chains == 1 { "is" } else { "are" };
        found.add(Finding {
            chain: orphans.first.first().map(|(chain, _)| chain.clone()),
            message: format!(
                "{} with {} {lead} reached by nothing: {names}",
                count(orphans.chains, "chain"),
                count(orphans.rules, "rule")
            ),
            hint: "nothing to do: kube-proxy deletes them in its own time".to_owned(),
            rules: orphans.some_rules.clone(),
            ..found.about(wiring.family)
        });
    }
}
