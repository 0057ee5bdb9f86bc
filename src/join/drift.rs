//! Frontends and policies of the rules beside those of the Service.

use std::net::IpAddr;

use super::Join;
use crate::dataplane::{
    Drift, Endpoint, Frontend, FrontendKind, NotWanted, Origin, Policy, ServicePort, State, Verdict,
};
use crate::expect::{self, Expected};
use crate::net::{Family, Network};

impl Join<'_, '_> {
    /// Where the frontends and policies of `port` differ from what they should be.
    pub(super) fn drifts(&self, port: &ServicePort, expected: &Expected<'_>) -> Vec<Drift> {
        // What kube-proxy must not serve is stale as a whole.
        if expected.frontends.is_empty() {
            return Vec::new();
        }
        let mut drifts = Vec::new();
        for (at, have) in port.frontends.iter().enumerate() {
            let wanted = expected.frontends.iter().find(|want| is_same(want, have));
            frontend(&mut drifts, at, have, wanted, expected);
        }
        if self.rules_complete(port.family) {
            let is_there = |want: &&expect::Frontend| {
                port.frontends.iter().any(|have| is_same(want, have) && !is_left_alone(have))
            };
            let wanted = |want: &&expect::Frontend| want.captured == Some(true) && !may_be_dropped(want, expected);
            let missing = expected.frontends.iter().filter(wanted).filter(|want| !is_there(want));
            drifts.extend(missing.map(|want| Drift::MissingFrontend {
                kind: want.kind,
                address: want.address,
                port: want.port,
                refused: None,
            }));
        }
        drifts.extend(self.not_refused(port.family, &port.frontends, expected));
        idle_refusals(&mut drifts, port, expected);
        not_local(&mut drifts, port);
        affinity(&mut drifts, port, expected);
        drifts
    }

    /// Frontends of a service port without endpoints whose clients are not refused, where the filter table tells.
    pub(super) fn not_refused(&self, family: Family, frontends: &[Frontend], expected: &Expected<'_>) -> Vec<Drift> {
        let whole =
            self.families.iter().any(|extent| extent.family == family && extent.nat_whole && extent.filter_whole);
        if !whole || expected.pools.usable != Some(false) {
            return Vec::new();
        }
        let is_there = |want: &&expect::Frontend| frontends.iter().any(|have| is_same(want, have));
        let open = expected.frontends.iter().filter(|want| !is_there(want));
        open.map(|want| Drift::NotRefused { kind: want.kind, address: want.address, port: want.port }).collect()
    }
}

/// Compares one frontend of the rules with the same one of the Service, if there is one.
fn frontend(
    drifts: &mut Vec<Drift>,
    at: usize,
    have: &Frontend,
    wanted: Option<&expect::Frontend>,
    expected: &Expected<'_>,
) {
    if have.port.is_none() {
        return;
    }
    let captured = have.routes.iter().any(|route| matches!(route.verdict, Verdict::Pool(_)));
    let unclear = have.routes.iter().any(|route| route.verdict == Verdict::Unknown);
    let refused = have.routes.iter().map(|route| route.verdict).find(|v| matches!(v, Verdict::Drop | Verdict::Reject));
    let Some(want) = wanted else {
        drifts.extend(captured.then_some(Drift::StaleFrontend(at, NotWanted::NotOfService)));
        return;
    };
    match want.captured {
        Some(false) if captured => {
            let why =
                if expected.pools.usable == Some(false) { NotWanted::NoEndpoints } else { NotWanted::NoLocalEndpoints };
            drifts.push(Drift::StaleFrontend(at, why));
        }
        Some(true) if captured => {
            policy(drifts, at, have, want, expected);
            sources(drifts, at, have, want);
        }
        Some(true) if refused.is_some() && !unclear && !may_be_dropped(want, expected) => {
            drifts.push(Drift::MissingFrontend { kind: want.kind, address: want.address, port: want.port, refused });
        }
        _ => {}
    }
}

/// True if nobody but pods and the node itself can get anywhere: Local policy and no endpoint on this node. Releases
/// differ in what they write then.
fn may_be_dropped(want: &expect::Frontend, expected: &Expected<'_>) -> bool {
    let local = expected.pools.local.as_ref();
    want.policy == Policy::Local && local.is_some_and(|pool| !pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
}

/// True if neither table does anything about it, so that it is as good as not there.
fn is_left_alone(have: &Frontend) -> bool {
    have.routes.iter().all(|route| route.verdict == Verdict::None)
}

/// Connections from outside go to the pool of the Service's policy. For a cluster IP that is everyone's.
fn policy(drifts: &mut Vec<Drift>, at: usize, have: &Frontend, want: &expect::Frontend, expected: &Expected<'_>) {
    let outside = have.routes.iter().filter(|route| route.origin == Origin::External);
    let verdicts: Vec<Verdict> = outside.map(|route| route.verdict).collect();
    if verdicts.contains(&Verdict::Unknown) {
        return;
    }
    let pool = verdicts.iter().find(|verdict| matches!(verdict, Verdict::Pool(_))).copied();
    let differs = match (want.policy, pool) {
        (Policy::Cluster, Some(Verdict::Pool(policy))) => policy != Policy::Cluster,
        // Source ranges may let nobody in that is looked at here.
        (Policy::Cluster, _) => false,
        (Policy::Local, Some(Verdict::Pool(policy))) => policy != Policy::Local,
        (Policy::Local, _) => {
            want.sources.is_empty()
                && expected.pools.local.as_ref().is_some_and(|p| p.as_ref().is_ok_and(|p| !p.is_empty()))
        }
    };
    if differs {
        let have = pool.or(verdicts.first().copied()).unwrap_or(Verdict::None);
        drifts.push(Drift::Policy { frontend: at, have, want: want.policy });
    }
}

/// The networks that may connect to a load balancer's address. The address itself may be among them: a node that has it
/// reaches itself from it (pkg/proxy/iptables/proxier.go).
fn sources(drifts: &mut Vec<Drift>, at: usize, have: &Frontend, want: &expect::Frontend) {
    if want.kind != FrontendKind::LoadBalancer {
        return;
    }
    let is_pool = |verdict| matches!(verdict, Verdict::Pool(_));
    let outside = || have.routes.iter().filter(|route| route.origin == Origin::External && is_pool(route.verdict));
    let open = outside().any(|route| route.sources.is_empty());
    let mut wanted = want.sources.clone();
    if wanted.iter().any(Network::is_everything) {
        wanted.clear();
    }
    let mut let_in: Vec<Network> = have
        .routes
        .iter()
        .filter(|route| is_pool(route.verdict))
        .flat_map(|route| route.sources.iter().copied())
        .filter(|network| want.address.is_none_or(|own| network.address() != Some(own)))
        .collect();
    let_in.sort_unstable();
    let_in.dedup();
    // A range around the pods, or of this node's own addresses, is open to them and shows no network.
    let hidden = have
        .routes
        .iter()
        .any(|route| route.origin != Origin::External && route.sources.is_empty() && is_pool(route.verdict));
    let lacks = wanted.iter().any(|network| !let_in.contains(network)) && !hidden;
    let differs = match (wanted.is_empty(), open) {
        (true, open) => !open,
        (false, true) => true,
        (false, false) => lacks || let_in.iter().any(|network| !wanted.contains(network)),
    };
    if differs {
        drifts.push(Drift::Sources { frontend: at, have: if open { Vec::new() } else { let_in }, want: wanted });
    }
}

/// Usable endpoints of other nodes in a pool that is for those of this one.
fn not_local(drifts: &mut Vec<Drift>, port: &ServicePort) {
    let strange = |endpoint: &&Endpoint| {
        endpoint.about.as_ref().is_some_and(|about| {
            about.state == State::Ready && about.wanted == Some(false) && about.local == Some(false)
        })
    };
    let local = port.pools.iter().filter(|pool| pool.policy == Policy::Local);
    let endpoints = local.flat_map(|pool| pool.endpoints.iter().filter(strange));
    drifts.extend(endpoints.map(|endpoint| Drift::NotLocal(endpoint.address.clone())));
}

/// ClientIP affinity, where there are endpoints to stay with and all rules of the pools are known.
fn affinity(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>) {
    let known = port.pools.iter().all(|pool| pool.is_whole() && pool.dead_ends.is_empty());
    let any = port.pools.iter().any(|pool| !pool.endpoints.is_empty());
    if known && any && port.affinity_seconds != expected.affinity_seconds {
        drifts.push(Drift::Affinity { have: port.affinity_seconds, want: expected.affinity_seconds });
    }
}

/// True if both are the same address or node port, of whatever kind the rules take it for.
fn is_same(want: &expect::Frontend, have: &Frontend) -> bool {
    let node_port = |kind| kind == FrontendKind::NodePort;
    let at = |address: Option<IpAddr>, port: u16, kind| (address, port, node_port(kind));
    have.port.is_some_and(|port| at(want.address, want.port, want.kind) == at(have.address, port, have.kind))
}

/// Frontends that nat takes though the filter table would refuse them.
fn idle_refusals(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>) {
    let taken = |have: &Frontend| have.routes.iter().all(|route| matches!(route.verdict, Verdict::Pool(_)));
    if expected.pools.usable == Some(true) {
        let idle = port.frontends.iter().enumerate().filter(|(_, have)| have.refusal.is_some() && taken(have));
        drifts.extend(idle.map(|(at, _)| Drift::IdleRefusal(at)));
    }
}
