//! A rule jumps to a chain that is not in the dump, though the dump seems to be whole.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Oddity, ServiceName, ServicePort, Wiring};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI303",
    slug: "dangling-jump",
    severity: Severity::Error,
    of_traffic: true,
    compares: false,
    page: include_str!("dangling_jump.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        if !wiring.whole {
            found.skip_for_lines(super::NAT_LINES);
        }
        for dangling in &wiring.dangling {
            let service = dangling.service.as_ref().map(ToString::to_string);
            let port = service.as_ref().and_then(|service| {
                let is_it = |name: &ServiceName| name.to_string() == *service;
                input.ports().find(|(_, port)| port.family == wiring.family && port.name.as_ref().is_some_and(is_it))
            });
            found.add(Finding {
                port: port.map(|(at, _)| at),
                protocol: port.and_then(|(_, port)| port.protocol),
                service,
                message: format!("{} jumps to {}, which is not there", dangling.from, dangling.to),
                chain: Some(dangling.to.clone()),
                hint: HINT.to_owned(),
                rules: dangling.rules.clone(),
                ..found.about(wiring.family)
            });
        }
        below_pools(input, found, wiring);
    }
}

const HINT: &str = "no kernel holds such a rule: save the rules of the node again, whole, with iptables-save";

/// Chains that are missing below pools.
fn below_pools(input: &Input<'_, '_>, found: &mut Found, wiring: &Wiring) {
    let of_family = |port: &ServicePort| port.family == wiring.family && wiring.whole;
    for (at, port) in input.ports().filter(|(_, port)| of_family(port)) {
        for pool in &port.pools {
            let missing = pool.oddities.iter().filter_map(|oddity| match oddity {
                Oddity::Missing(chain) if chain.starts_with("KUBE-") => Some(chain),
                _ => None,
            });
            for chain in missing.filter(|chain| wiring.dangling.iter().all(|known| known.to != **chain)) {
                let lost = pool.endpoints.iter().filter(|endpoint| *endpoint.chain == **chain);
                found.add(Finding {
                    chain: Some(chain.clone()),
                    message: format!("{} jumps to {chain}, which is not there", pool.chain),
                    hint: HINT.to_owned(),
                    rules: lost.flat_map(|endpoint| endpoint.rules.iter().copied()).collect(),
                    ..found.on(at, port)
                });
            }
        }
    }
}
