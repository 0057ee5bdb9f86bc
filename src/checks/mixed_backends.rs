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
        let acting = match both.idle {
            None => "both act on packets".to_owned(),
            Some(idle) => format!("no packet gets to those of {idle}"),
        };
        found.add(Finding {
            severity: if both.idle.is_none() { Severity::Error } else { Severity::Warning },
            message: format!(
                "rules for Services stand in both nf_tables ({} rules in nat) and legacy ({}), and {acting}",
                both.nft, both.legacy
            ),
            hint: "find out which of them kube-proxy writes (iptables --version where it runs), and clean up the other"
                .to_owned(),
            rules: both.rules.clone(),
            ..found.about(wiring.family)
        });
    }
}
