//! A usable endpoint gets no new connection from this node, so that the others carry its part.

use std::borrow::Cow;
use std::cell::LazyCell;

use hashbrown::HashSet;

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{AboutEndpoint, Absent, Address, Endpoint, Gap, Pool, ServicePort, WithPod, count};

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
    super::skip_unread(input, found);
    for (at, port) in input.ports() {
        let reached = LazyCell::new(|| reached(&port.pools));
        let is_reached = |address: &Address| reached.contains(address);
        let mut told: HashSet<(&Address, Option<&str>)> = HashSet::new();
        for lost in absent(port).chain(drained(port)).chain(unreached(port)) {
            // One that another pool leads to gets nothing by this one only: in IPVS mode every virtual server is its own.
            let by = is_reached(lost.address).then_some(lost.pool.chain.as_str());
            if told.insert((lost.address, by)) {
                found.add(finding(input, found.on(at, port), port, &lost, by));
            }
        }
    }
    skips(input, found);
}

/// An endpoint that is wanted and that a pool brings no new connection.
struct Lost<'p> {
    pool: &'p Pool,
    address: &'p Address,
    about: &'p AboutEndpoint,
    /// What it is instead.
    words: Cow<'static, str>,
}

impl<'p> Lost<'p> {
    /// `endpoint` of `pool`, if it is wanted.
    fn of(pool: &'p Pool, endpoint: &'p Endpoint, words: &'static str) -> Option<Self> {
        let about = endpoint.about.as_deref().filter(|about| about.wanted == Some(true))?;
        Some(Self { pool, address: &endpoint.address, about, words: words.into() })
    }
}

/// Those a pool does not hold.
fn absent(port: &ServicePort) -> impl Iterator<Item = Lost<'_>> {
    let all = port.pools.iter().flat_map(|pool| pool.missing.iter().map(move |absent| (pool, absent)));
    all.map(|(pool, Absent { address, about })| Lost { pool, address, about, words: about.words_if_absent().into() })
}

/// Those that a pool holds as if they were on their way out.
fn drained(port: &ServicePort) -> impl Iterator<Item = Lost<'_>> {
    let all = endpoints(&port.pools).filter(|(_, endpoint)| endpoint.draining);
    all.filter_map(|(pool, endpoint)| Lost::of(pool, endpoint, "programmed with weight 0 (draining)"))
}

/// Those behind a rule that takes everything, though other rules of the same pool may lead to them.
fn unreached(port: &ServicePort) -> impl Iterator<Item = Lost<'_>> {
    let words = "programmed, but no connection ever gets to its rule";
    port.pools.iter().flat_map(move |pool| {
        let is_lost = |endpoint: &&Endpoint| !endpoint.draining && gets_nothing(pool, endpoint);
        let mut lost = pool.endpoints.iter().filter(is_lost).peekable();
        let reached = lost.peek().map(|_| reached(std::slice::from_ref(pool))).unwrap_or_default();
        let lost = lost.filter(move |endpoint| !reached.contains(&endpoint.address));
        lost.filter_map(move |endpoint| Lost::of(pool, endpoint, words))
    })
}

/// The addresses that new connections may get to.
fn reached(pools: &[Pool]) -> HashSet<&Address> {
    let gets = |(pool, endpoint): &(&Pool, &Endpoint)| !gets_nothing(pool, endpoint);
    endpoints(pools).filter(gets).map(|(_, endpoint)| &endpoint.address).collect()
}

fn endpoints(pools: &[Pool]) -> impl Iterator<Item = (&Pool, &Endpoint)> {
    pools.iter().flat_map(|pool| pool.endpoints.iter().map(move |endpoint| (pool, endpoint)))
}

/// True if no new connection gets there. The rule for new ones may be lost where that for clients who come back is not.
fn gets_nothing(pool: &Pool, endpoint: &Endpoint) -> bool {
    endpoint.probability == Some(0.0) && (!endpoint.remembered || pool.is_whole())
}

fn finding(input: &Input<'_, '_>, blank: Finding, port: &ServicePort, lost: &Lost<'_>, by: Option<&str>) -> Finding {
    let pod = WithPod(lost.address, Some(lost.about));
    let by_words = by.map(|chain| format!(" by {chain}")).unwrap_or_default();
    let message = format!("{pod} is {}: it gets no new connection from {}{by_words}", lost.words, input.node());
    Finding {
        chain: by.map(str::to_owned).or(blank.chain),
        address: Some(lost.address.to_string()),
        message,
        hint: super::syncing(input),
        objects: input.endpoint_object(port, lost.address),
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
        (Gap::Endpoints, "not all their EndpointSlices are known to be read"),
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
