//! Part of the new connections falls through a service chain, untranslated and so lost.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Pool, count, percent};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI201",
    slug: "leaky-chain",
    severity: Severity::Error,
    of_traffic: true,
    compares: false,
    page: include_str!("leaky_chain.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let mut unknown = 0;
    for (at, port) in input.ports() {
        unknown += usize::from(port.pools.iter().any(|pool| pool.undelivered.is_none()));
        // An empty chain is told as the cause.
        for pool in port.pools.iter().filter(|pool| pool.dead_ends.is_empty()) {
            let Some(lost) = pool.lost() else { continue };
            let whole = input.is_whole(port.family);
            let caveat = if whole { "" } else { " (unless their rules are among the lines that are missing)" };
            found.add(Finding {
                severity: if whole { Severity::Error } else { Severity::Warning },
                chain: Some(pool.chain.clone()),
                share: Some(lost),
                message: format!(
                    "{} of new connections fall through {} and reach no endpoint{caveat}",
                    percent(lost),
                    pool.chain
                ),
                hint: super::rewrite(input),
                rules: last_rules(pool),
                ..found.on(at, port)
            });
        }
    }
    if unknown > 0 {
        found
            .skip(format!("{}: a rule cannot be judged, so that shares are not known", count(unknown, "service port")));
    }
}

/// The last rule that leads to an endpoint: it should take everything that is left.
fn last_rules(pool: &Pool) -> Vec<crate::dataplane::RuleRef> {
    let jumps = pool.endpoints.iter().filter_map(|endpoint| endpoint.rules.first());
    jumps.max().copied().into_iter().collect()
}
