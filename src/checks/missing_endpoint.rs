//! A usable endpoint gets no new connection from this node, so that the others carry its part.

use std::cell::LazyCell;

use hashbrown::HashSet;

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{AboutEndpoint, Address, Endpoint, Gap, Pool, ServicePort, WithPod, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI102",
    slug: "missing-endpoint",
    severity: Severity::Warning,
    of_traffic: false,
    compares: true,
    page: include_str!("missing_endpoint.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for (at, port) in input.ports() {
        let absent =
            port.pools.iter().flat_map(|pool| pool.missing.iter().map(|absent| (&absent.address, &absent.about)));
        let mut told: HashSet<&Address> = HashSet::new();
        for (address, about) in absent {
            if told.insert(address) {
                let words = about.words_if_absent();
                found.add(finding(input, found.on(at, port), port, address, about, &words));
            }
        }
        for (address, about) in drained(port) {
            if told.insert(address) {
                let words = "programmed with weight 0 (draining)";
                found.add(finding(input, found.on(at, port), port, address, about, words));
            }
        }
        for (address, about) in unreached(port) {
            if told.insert(address) {
                let words = "programmed, but no connection ever gets to its rule";
                found.add(finding(input, found.on(at, port), port, address, about, words));
            }
        }
    }
    skips(input, found);
}

/// Endpoints that are wanted and get no new connections, because they are on their way out.
fn drained(port: &ServicePort) -> impl Iterator<Item = (&Address, &AboutEndpoint)> {
    let all = port.pools.iter().flat_map(|pool| &pool.endpoints).filter(|endpoint| endpoint.draining);
    all.filter_map(|e| Some((&e.address, e.about.as_deref().filter(|about| about.wanted == Some(true))?)))
}

/// Endpoints that are wanted and stand behind a rule that takes everything, in every pool that holds them.
fn unreached(port: &ServicePort) -> impl Iterator<Item = (&Address, &AboutEndpoint)> {
    let all = || port.pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |endpoint| (pool, endpoint)));
    let gets = |(pool, endpoint): &(&Pool, &Endpoint)| !gets_nothing(pool, endpoint);
    let reached = LazyCell::new(move || all().filter(gets).map(|(_, e)| &e.address).collect::<HashSet<&Address>>());
    all().filter(|(pool, endpoint)| !endpoint.draining && gets_nothing(pool, endpoint)).filter_map(
        move |(_, endpoint)| {
            let about = endpoint.about.as_deref().filter(|about| about.wanted == Some(true))?;
            (!reached.contains(&endpoint.address)).then_some((&endpoint.address, about))
        },
    )
}

/// True if no new connection gets there. The rule for new ones may be lost where that for clients who come back is not.
fn gets_nothing(pool: &Pool, endpoint: &Endpoint) -> bool {
    endpoint.probability == Some(0.0) && (!endpoint.remembered || pool.is_whole())
}

fn finding(
    input: &Input<'_, '_>,
    blank: Finding,
    port: &ServicePort,
    address: &Address,
    about: &AboutEndpoint,
    words: &str,
) -> Finding {
    let pod = WithPod(address, Some(about));
    Finding {
        address: Some(address.to_string()),
        message: format!("{pod} is {words}: it gets no new connection from {}", input.node()),
        hint: super::syncing(input),
        objects: input.endpoint_object(port, address),
        ..blank
    }
}

fn skips(input: &Input<'_, '_>, found: &mut Found) {
    let gaps = |gap: Gap| {
        let is_it = |port: &ServicePort| port.about.as_ref().is_some_and(|about| about.gap == Some(gap));
        input.ports().filter(|(_, port)| is_it(port)).count()
    };
    for (gap, why) in [
        (Gap::Node, "whose rules these are is not known (--node NAME tells)"),
        (Gap::Zone, "the zone of the node is not known (its Node was not read)"),
        (Gap::Endpoints, "their EndpointSlices were not read"),
    ] {
        match gaps(gap) {
            0 => {}
            ports => found.skip(format!("{} cannot be compared: {why}", count(ports, "service port"))),
        }
    }
    let unclear = input.ports().filter(|(_, port)| port.pools.iter().any(|pool| !pool.is_whole())).count();
    if unclear > 0 {
        found.skip(format!("the rules of {} are not all known", count(unclear, "service port")));
    }
}
