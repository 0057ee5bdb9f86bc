//! New connections go to an address that is no usable endpoint: they are lost, or reach the wrong program.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Address, Endpoint, Pool, ServicePort, Stale, Standing, State, percent};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI101",
    slug: "stale-endpoint",
    severity: Severity::Error,
    of_traffic: true,
    compares: true,
    page: include_str!("stale_endpoint.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let mut unknown = 0;
    for (at, port) in input.ports().filter(|(_, port)| !is_stale_as_a_whole(port)) {
        let mut addresses: Vec<&Address> = Vec::new();
        for endpoint in port.pools.iter().flat_map(|pool| &pool.endpoints) {
            unknown += usize::from(endpoint.about.as_ref().is_none_or(|about| about.state == State::Unknown));
            if reason(endpoint).is_some() && !addresses.contains(&&endpoint.address) {
                addresses.push(&endpoint.address);
            }
        }
        for address in addresses {
            found.add(finding(input, found.on(at, port), port, address));
        }
    }
    if unknown > 0 {
        let endpoints = crate::dataplane::count(unknown, "endpoint");
        found.skip(format!("{endpoints} cannot be compared: their Services or EndpointSlices were not read"));
    }
}

/// The rules of a service port that must have none are told as one.
fn is_stale_as_a_whole(port: &ServicePort) -> bool {
    port.about.as_ref().is_some_and(|about| about.standing.forbids_rules())
}

/// Why new connections must not go to an endpoint; `None` if they may, or do not.
fn reason(endpoint: &Endpoint) -> Option<&'static str> {
    let about = endpoint.about.as_ref()?;
    if endpoint.probability == Some(0.0) {
        return None;
    }
    match &about.state {
        State::Stale(Stale::Unlisted) => Some("unlisted"),
        State::Stale(stale) => stale.reason(),
        State::NotReady => Some("not-ready"),
        State::ServingTerminating if about.wanted == Some(false) => Some("not-ready"),
        _ => None,
    }
}

fn finding(input: &Input<'_, '_>, blank: Finding, port: &ServicePort, address: &Address) -> Finding {
    let of_pool = |pool: &'_ Pool| -> Option<(usize, Option<f64>)> {
        let at = pool.endpoints.iter().position(|e| e.address == *address && reason(e).is_some())?;
        Some((at, pool.endpoints[at].probability))
    };
    let places: Vec<(&Pool, usize, Option<f64>)> =
        port.pools.iter().filter_map(|pool| of_pool(pool).map(|(at, share)| (pool, at, share))).collect();
    let endpoints = || places.iter().map(|(pool, at, _)| &pool.endpoints[*at]);
    let in_pool = |(pool, _, share): &(&Pool, usize, Option<f64>)| {
        let percent = share.map_or_else(|| "some".to_owned(), percent);
        if port.pools.len() > 1 { format!("{percent} ({} pool)", pool.policy.as_str()) } else { percent }
    };
    let parts = places.iter().map(in_pool).collect::<Vec<_>>().join(" and ");
    let about = endpoints().find_map(|endpoint| endpoint.about.as_ref());
    let words = about.and_then(|about| about.state.words()).unwrap_or_default();
    let ending = about.is_some_and(|about| about.state == State::ServingTerminating);
    let all = port.about.as_ref().is_some_and(|about| matches!(about.standing, Standing::NoEndpoints(_)));
    let and = match (ending, all) {
        (true, _) => ", though others are ready",
        (_, true) => ", and the Service has no usable endpoint at all",
        _ => "",
    };
    let is_listed = matches!(about.map(|about| &about.state), Some(State::NotReady | State::ServingTerminating));
    let shares = places.iter().map(|(.., share)| *share);
    Finding {
        severity: if ending { Severity::Warning } else { blank.severity },
        address: Some(address.to_string()),
        reason: endpoints().find_map(reason),
        share: shares.collect::<Option<Vec<f64>>>().and_then(|all| all.into_iter().max_by(f64::total_cmp)),
        message: format!("{parts} of new connections go to {address}, which is {words}{and}"),
        hint: super::syncing(input),
        rules: endpoints().flat_map(|e| e.rules.iter().rev().copied()).collect(),
        objects: if is_listed { input.endpoint_object(port, address) } else { input.endpoints_object(port) },
        ..blank
    }
}
