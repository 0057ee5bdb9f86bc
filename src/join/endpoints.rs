//! Endpoints of the rules beside the endpoints of the slices.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::Join;
use crate::cluster::PodRef;
use crate::dataplane::{AboutEndpoint, Absent, Address, Endpoint, Oddity, Policy, Pool, Stale, State};
use crate::expect::{Expected, Member};
use crate::order::Order as _;

impl Join<'_, '_> {
    /// Adds what the cluster says to a pool and its endpoints. `gone`: it does not have the service port any more.
    pub(super) fn pool(&self, pool: &mut Pool, expected: Option<&Expected<'_>>, gone: bool) {
        let wanted = expected.and_then(|e| e.pools.get(pool.policy).map(|members| (e, members)));
        pool.expected = wanted.map(|(_, members)| members.as_ref().map(Vec::len).map_err(|gap| *gap));
        let members = wanted.and_then(|(_, members)| members.as_ref().ok());
        for endpoint in &mut pool.endpoints {
            let mut about = self.about(&endpoint.address, expected, members.map(Vec::as_slice), gone);
            if pool.may_have_others && matches!(about.state, State::Stale(_)) {
                about = AboutEndpoint::UNKNOWN;
            }
            endpoint.about = Some(Box::new(about));
        }
        let (Some((expected, _)), Some(members)) = (wanted, members) else { return };
        let members = beyond_hints(pool, expected, members);
        if !pool.is_whole() {
            return;
        }
        let programmed = Programmed::of(&pool.endpoints);
        let missing = members.iter().map(|&n| &expected.members[n]).filter(|member| !programmed.has(member));
        let missing: Vec<Absent> = missing.map(|member| absent(member, true)).collect();
        if pool.may_lack_rules && !missing.is_empty() {
            if !pool.oddities.contains(&Oddity::Unordered) {
                pool.forget_shares(Oddity::Incomplete(pool.chain.clone()));
            }
        } else {
            pool.missing = missing;
        }
    }

    fn about(
        &self,
        address: &Address,
        expected: Option<&Expected<'_>>,
        wanted: Option<&[usize]>,
        gone: bool,
    ) -> AboutEndpoint {
        let unknown = AboutEndpoint::UNKNOWN;
        let Some(ip) = address.ip() else { return unknown };
        let members = expected.map_or(&[][..], |e| &e.members);
        let start = members.partition_point(|m| m.address < ip);
        let same_ip = members[start..].iter().take_while(|m| m.address == ip);
        let found = same_ip.clone().zip(start..).find(|(m, _)| address.port().is_none_or(|port| port == m.port));
        if let Some((member, at)) = found {
            return about(member, wanted.map(|wanted| wanted.binary_search(&at).is_ok()));
        }
        if !gone && !expected.is_some_and(|e| e.complete) {
            return unknown;
        }
        match same_ip.map(|m| m.port).next() {
            Some(port) => {
                AboutEndpoint { state: State::Stale(Stale::PortChanged(port)), wanted: Some(false), ..unknown }
            }
            None => self.pods.about(ip, self.pods.are_all(), self.cluster.viewpoint()),
        }
    }
}

/// Finds endpoints that are ready and left out by topology hints, and gives the members the pool should hold: every ready
/// one if the pool is nearer to these than to those the hints leave, since older kube-proxies pay no heed to hints.
fn beyond_hints<'e>(pool: &mut Pool, expected: &'e Expected<'_>, hinted: &'e [usize]) -> &'e [usize] {
    let Some(ready) = expected.pools.without_hints.as_deref().filter(|_| pool.policy == Policy::Cluster) else {
        return hinted;
    };
    let is = |endpoint: &Endpoint, wanted: bool| {
        endpoint.about.as_ref().is_some_and(|about| about.state == State::Ready && about.wanted == Some(wanted))
    };
    let all = || pool.endpoints.iter().enumerate();
    let beyond: Vec<usize> = all().filter(|(_, endpoint)| is(endpoint, false)).map(|(n, _)| n).collect();
    let within = all().filter(|(_, endpoint)| is(endpoint, true)).count();
    let to_all = ready.len().saturating_sub(within + beyond.len());
    let to_hinted = hinted.len().saturating_sub(within) + beyond.len();
    // What is beyond hints that changed a moment ago is no disregard of them; without it nothing else would be told.
    if to_all >= to_hinted && within < hinted.len() {
        return hinted;
    }
    pool.beyond_hints = beyond;
    if to_all >= to_hinted {
        return hinted;
    }
    pool.expected = Some(Ok(ready.len()));
    ready
}

/// The endpoints that should be programmed for a service port, those of the cluster pool first.
pub(super) fn unprogrammed(expected: &Expected<'_>) -> Vec<Absent> {
    let pools = [Policy::Cluster, Policy::Local].into_iter().filter_map(|policy| expected.pools.get(policy));
    let mut members: Vec<usize> = pools.filter_map(|pool| pool.as_ref().ok()).flatten().copied().collect();
    members.order();
    members.dedup();
    members.into_iter().map(|n| absent(&expected.members[n], true)).collect()
}

/// The endpoints of a service port that are not ready and that none of its `pools` holds.
pub(super) fn waiting(expected: &Expected<'_>, pools: &[Pool]) -> Vec<Absent> {
    let last_resort_used = expected.pools.usable != Some(false);
    let is_used = |member: &Member<'_>| member.endpoint.ready || last_resort_used && member.last_resort();
    let mut waiting = expected.members.iter().filter(|member| !is_used(member)).peekable();
    if waiting.peek().is_none() {
        return Vec::new();
    }
    let programmed = Programmed::of(pools.iter().flat_map(|pool| &pool.endpoints));
    waiting.filter(|member| !programmed.has(member)).map(|member| absent(member, false)).collect()
}

/// The addresses that rules lead to; without a port where every port is meant.
struct Programmed(HashSet<(IpAddr, Option<u16>)>);

impl Programmed {
    fn of<'e>(endpoints: impl IntoIterator<Item = &'e Endpoint>) -> Self {
        let addresses = endpoints.into_iter().filter_map(|e| Some((e.address.ip()?, e.address.port())));
        Self(addresses.collect())
    }

    fn has(&self, member: &Member<'_>) -> bool {
        self.0.contains(&(member.address, Some(member.port))) || self.0.contains(&(member.address, None))
    }
}

fn about(member: &Member<'_>, wanted: Option<bool>) -> AboutEndpoint {
    let endpoint = member.endpoint;
    let state = if endpoint.ready {
        State::Ready
    } else if member.last_resort() {
        State::ServingTerminating
    } else {
        State::NotReady
    };
    AboutEndpoint {
        pod: endpoint.pod.as_ref().map(PodRef::shared),
        node: endpoint.node.clone(),
        local: member.local,
        state,
        wanted,
    }
}

fn absent(member: &Member<'_>, wanted: bool) -> Absent {
    Absent { address: Address::Socket(member.address, member.port), about: about(member, Some(wanted)) }
}
