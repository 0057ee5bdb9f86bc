//! Lines are missing from what was read, so that some checks could not be made.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::Mode;
use crate::net::Family;
use crate::order::Order as _;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI901",
    slug: "partial-dump",
    severity: Severity::Info,
    of_traffic: false,
    compares: false,
    page: include_str!("partial_dump.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.partial.is_empty() {
        return;
    }
    let mut codes: Vec<&str> = found.skipped.iter().filter(|s| s.for_lines).map(|s| s.check.slug).collect();
    codes.order();
    codes.dedup();
    let skipped = if codes.is_empty() {
        "no check was left out for it".to_owned()
    } else {
        format!("not checked, or not of everything: {}", codes.join(", "))
    };
    let family = input.wirings.first().map_or(Family::Ipv4, |wiring| wiring.family);
    found.add(Finding {
        family: None,
        message: format!("{}; {skipped}", input.partial.join("; ")),
        hint: match input.mode() {
            Mode::Iptables => "save all of it: iptables-save > FILE (and ip6tables-save)",
            Mode::Nftables => "save all of it: nft list ruleset > FILE",
            Mode::Ipvs => "save all of it, each to a file: ipvsadm -Sn, ipset save, iptables-save (and ip6tables-save)",
        }
        .to_owned(),
        ..found.about(family)
    });
}
