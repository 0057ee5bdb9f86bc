//! A rule jumps to a chain that is not in the dump, though the dump seems to be whole.

use hashbrown::{HashMap, HashSet};

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Oddity, ServicePort, Wiring};

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
        let ports = ports_by_name(input, wiring);
        for dangling in &wiring.dangling {
            let service = dangling.service.as_ref().map(ToString::to_string);
            let port = service.as_ref().and_then(|service| ports.get(service)).copied();
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

/// The first service port of each name in the family, with its place. A node may lack as many chains as it has Services.
fn ports_by_name<'i>(input: &Input<'i, '_>, wiring: &Wiring) -> HashMap<String, (usize, &'i ServicePort)> {
    let mut ports = HashMap::new();
    if wiring.dangling.iter().any(|dangling| dangling.service.is_some()) {
        for (at, port) in input.ports().filter(|(_, port)| port.family == wiring.family) {
            if let Some(name) = &port.name {
                ports.entry(name.to_string()).or_insert((at, port));
            }
        }
    }
    ports
}

const HINT: &str = "no kernel holds such a rule: save the rules of the node again, whole, with iptables-save";

/// Chains that are missing below pools.
fn below_pools(input: &Input<'_, '_>, found: &mut Found, wiring: &Wiring) {
    let of_family = |port: &ServicePort| port.family == wiring.family && wiring.whole;
    let known: HashSet<&str> = wiring.dangling.iter().map(|dangling| dangling.to.as_str()).collect();
    for (at, port) in input.ports().filter(|(_, port)| of_family(port)) {
        for pool in &port.pools {
            let missing = pool.oddities.iter().filter_map(|oddity| match oddity {
                Oddity::Missing(chain) if chain.starts_with("KUBE-") => Some(chain),
                _ => None,
            });
            for chain in missing.filter(|chain| !known.contains(chain.as_str())) {
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
