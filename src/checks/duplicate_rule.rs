//! A rule stands twice: the later one is dead, or an endpoint gets more than its share.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::count;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI204",
    slug: "duplicate-rule",
    severity: Severity::Warning,
    of_traffic: true,
    compares: false,
    page: include_str!("duplicate_rule.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.wirings.iter().any(|wiring| !wiring.whole) {
        // Parts of a table may have been fetched one by one, and some twice.
        found.skip_for_lines(super::NAT_LINES);
    }
    for (at, port) in input.ports().filter(|(_, port)| input.is_whole(port.family)) {
        for pool in port.pools.iter().filter(|pool| !pool.repeated.is_empty()) {
            found.add(Finding {
                chain: Some(pool.chain.clone()),
                message: format!(
                    "in {}, {} to an endpoint that an earlier rule leads to",
                    pool.chain,
                    leads(pool.repeated.len())
                ),
                hint: super::rewrite(input),
                rules: pool.repeated.clone(),
                ..found.on(at, port)
            });
        }
        if !port.repeated.is_empty() {
            let rules = count(port.repeated.len(), "rule");
            let stands = if port.repeated.len() == 1 { "repeats" } else { "repeat" };
            let frontend = port.frontends.iter().find(|f| port.repeated.iter().any(|rule| f.rules.contains(rule)));
            found.add(Finding {
                frontend: frontend.map(crate::dataplane::Frontend::at),
                message: format!(
                    "{rules} {stands} an earlier rule for the same frontend, and no connection gets to it"
                ),
                hint: super::rewrite(input),
                rules: port.repeated.clone(),
                ..found.on(at, port)
            });
        }
    }
}

fn leads(rules: usize) -> String {
    let verb = if rules == 1 { "leads" } else { "lead" };
    format!("{} {verb}", count(rules, "rule"))
}
