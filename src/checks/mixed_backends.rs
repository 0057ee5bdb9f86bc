//! Rules for Services stand in both iptables-legacy and iptables-nft, and both act on packets.

use super::{Check, Finding, Found, Input, Severity};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI401",
    slug: "mixed-backends",
    severity: Severity::Error,
    of_traffic: false,
    compares: false,
    page: include_str!("mixed_backends.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        let Some(both) = &wiring.both_backends else { continue };
        found.add(Finding {
            message: format!(
                "rules for Services stand in both nf_tables ({} rules in nat) and legacy ({}), and both act on packets",
                both.nft, both.legacy
            ),
            hint: "find out which of them kube-proxy writes (iptables --version where it runs), and clean up the other"
                .to_owned(),
            rules: both.rules.clone(),
            ..found.about(wiring.family)
        });
    }
}
