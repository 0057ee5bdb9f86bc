//! New connections go to an address that is no usable endpoint: they are lost, or reach the wrong program.

use hashbrown::HashMap;

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
    super::skip_unread(input, found);
    let mut unknown = 0;
    for (at, port) in input.ports().filter(|(_, port)| !is_stale_as_a_whole(port)) {
        let mut stale: Vec<Vec<Place<'_>>> = Vec::new();
        let mut by_address: HashMap<&Address, usize> = HashMap::new();
        for (pool, endpoint) in port.pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |e| (pool, e))) {
            unknown += usize::from(endpoint.about.as_ref().is_none_or(|about| about.state == State::Unknown));
            if reason(endpoint).is_some() {
                let place = *by_address.entry(&endpoint.address).or_insert(stale.len());
                stale.resize_with(stale.len().max(place + 1), Vec::new);
                stale[place].push((pool, endpoint));
            }
        }
        for places in stale {
            found.add(finding(input, found.on(at, port), port, &places));
        }
    }
    if unknown > 0 {
        let endpoints = crate::dataplane::count(unknown, "endpoint");
        found.skip(format!(
            "{endpoints} cannot be compared: not all their Services and EndpointSlices are known to be read"
        ));
    }
}

/// The rules of a service port that must have none are told as one.
fn is_stale_as_a_whole(port: &ServicePort) -> bool {
    port.about.as_ref().is_some_and(|about| about.standing.forbids_rules())
}

/// Why new connections must not go to an endpoint; `None` if they may, or do not.
fn reason(endpoint: &Endpoint) -> Option<&'static str> {
    let about = endpoint.about.as_ref()?;
    if endpoint.probability == Some(0.0) && !endpoint.remembered {
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

/// An endpoint and the pool that holds it.
type Place<'p> = (&'p Pool, &'p Endpoint);

/// One address, in every pool that holds it.
fn finding(input: &Input<'_, '_>, blank: Finding, port: &ServicePort, places: &[Place<'_>]) -> Finding {
    let Some((_, first)) = places.first() else { return blank };
    let address = &first.address;
    let in_pool = |(pool, endpoint): &Place<'_>| {
        let percent = endpoint.probability.map_or_else(|| "some".to_owned(), percent);
        match port.pools.as_slice() {
            [_] => percent,
            [a, b] if a.policy != b.policy => format!("{percent} ({} pool)", pool.policy.as_str()),
            // Virtual servers of one policy differ by themselves.
            _ => format!("{percent} ({})", pool.chain),
        }
    };
    let parts = places.iter().map(in_pool).collect::<Vec<_>>().join(" and ");
    let about = first.about.as_ref();
    let words = about.and_then(|about| about.state.words()).unwrap_or_default();
    let ending = about.is_some_and(|about| about.state == State::ServingTerminating);
    let all = port.about.as_ref().is_some_and(|about| matches!(about.standing, Standing::NoEndpoints));
    let and = match (ending, all) {
        (true, _) => ", though others are ready",
        (_, true) => ", and the Service has no usable endpoint at all",
        _ => "",
    };
    let is_listed = matches!(about.map(|about| &about.state), Some(State::NotReady | State::ServingTerminating));
    let returning = places.iter().all(|(_, endpoint)| endpoint.probability == Some(0.0));
    let subject = if returning {
        "clients that come back (session affinity)".to_owned()
    } else {
        format!("{parts} of new connections")
    };
    let shares: Option<Vec<f64>> = places.iter().map(|(_, endpoint)| endpoint.probability).collect();
    Finding {
        severity: if ending { Severity::Warning } else { blank.severity },
        address: Some(address.to_string()),
        reason: reason(first),
        share: shares.filter(|_| !returning).and_then(|all| all.into_iter().max_by(f64::total_cmp)),
        message: format!("{subject} go to {address}, which is {words}{and}"),
        hint: super::syncing(input),
        rules: places.iter().flat_map(|(_, endpoint)| endpoint.rules.iter().rev().copied()).collect(),
        objects: if is_listed { input.endpoint_object(port, address) } else { input.endpoints_object(port) },
        ..blank
    }
}
