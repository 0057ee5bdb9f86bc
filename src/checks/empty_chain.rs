//! A service or endpoint chain that connections get to has no effect.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Pool, percent};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI203",
    slug: "empty-chain",
    severity: Severity::Error,
    of_traffic: true,
    compares: false,
    page: include_str!("empty_chain.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.wirings.iter().any(|wiring| !wiring.whole) {
        found.skip_for_lines(super::NAT_LINES);
    }
    for (at, port) in input.ports().filter(|(_, port)| input.is_whole(port.family)) {
        for (pool, dead) in port.pools.iter().flat_map(|pool| pool.dead_ends.iter().map(move |dead| (pool, dead))) {
            let message = match pool.lost() {
                Some(lost) => {
                    format!("{} has no effect: {} of new connections reach no endpoint", dead.chain, percent(lost))
                }
                None => format!("{} has no effect: the other endpoints get its connections", dead.chain),
            };
            found.add(Finding {
                chain: Some(dead.chain.clone()),
                share: pool.lost().or_else(|| none(pool)),
                message,
                hint: super::rewrite(input),
                rules: dead.via.into_iter().chain(frontend_rule(port, pool, &dead.chain)).collect(),
                ..found.on(at, port)
            });
        }
        for dead in &port.dead_ends {
            found.add(Finding {
                chain: Some(dead.chain.clone()),
                message: format!("{} leads to no endpoint: connections that get to it go on untranslated", dead.chain),
                hint: super::rewrite(input),
                rules: dead.via.into_iter().collect(),
                ..found.on(at, port)
            });
        }
    }
    for wiring in input.wirings.iter().filter(|wiring| wiring.portal_is_empty) {
        found.add(Finding {
            chain: Some(input.portal().to_owned()),
            share: Some(1.0),
            message: format!("{} is empty: no connection to any Service is translated", input.portal()),
            hint: super::rewrite(input),
            ..found.about(wiring.family)
        });
    }
}

/// No connections are lost where every one is delivered.
fn none(pool: &Pool) -> Option<f64> {
    pool.undelivered.map(|_| 0.0)
}

/// The rule that catches a frontend, where the empty chain is the pool's own.
fn frontend_rule(port: &crate::dataplane::ServicePort, pool: &Pool, chain: &str) -> Option<crate::dataplane::RuleRef> {
    port.frontends.first()?.rules.last().copied().filter(|_| pool.chain == chain)
}
