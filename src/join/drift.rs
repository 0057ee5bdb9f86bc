//! Frontends and policies of the rules beside those of the Service.

mod frontend;

use std::net::IpAddr;

use super::Join;
use crate::dataplane::{Drift, Endpoint, Frontend, FrontendKind, Policy, Pool, ServicePort, State, Verdict};
use crate::expect::{self, Expected};
use crate::net::Family;
use crate::proxy::Extent;
use frontend::Comparison;

impl Join<'_, '_> {
    /// Where the frontends and policies of `port` differ from what they should be.
    pub(super) fn drifts(&self, port: &ServicePort, expected: &Expected<'_>) -> Vec<Drift> {
        // What kube-proxy must not serve is stale as a whole.
        let Some(extent) = self.extent(port.family).filter(|_| !expected.frontends.is_empty()) else {
            return Vec::new();
        };
        let mut drifts = Vec::new();
        for (at, have) in port.frontends.iter().enumerate() {
            // An external IP may be the address of the load balancer too, of which source ranges are wanted.
            let mut same = expected.frontends.iter().filter(|want| is_same(want, have));
            let wanted = same.clone().find(|want| want.kind == have.kind).or_else(|| same.next());
            Comparison { extent, expected, at, have }.of(wanted, &mut drifts);
        }
        if extent.nat_whole {
            let is_there = |want: &&expect::Frontend| {
                port.frontends.iter().any(|have| (is_same(want, have) || may_be(want, have)) && !is_left_alone(have))
            };
            let wanted =
                |want: &&expect::Frontend| want.captured == Some(true) && !may_be_dropped(want, expected, extent);
            let missing = expected.frontends.iter().filter(wanted).filter(|want| !is_there(want));
            drifts.extend(missing.map(|want| Drift::MissingFrontend {
                kind: want.kind,
                address: want.address,
                port: want.port,
                refused: extent.refusal(want.address),
                rightly: false,
            }));
        }
        drifts.extend(self.not_refused(port.family, &port.frontends, expected));
        idle_refusals(&mut drifts, port, expected);
        not_local(&mut drifts, port);
        affinity(&mut drifts, port, expected, extent.remote_fallback);
        drifts
    }

    /// Frontends of a service port without endpoints whose clients are not refused, where the filter table tells.
    pub(super) fn not_refused(&self, family: Family, frontends: &[Frontend], expected: &Expected<'_>) -> Vec<Drift> {
        let extent = self.extent(family).filter(|extent| extent.nat_whole && extent.filter_whole);
        let Some(extent) = extent.filter(|_| expected.pools.usable == Some(false)) else { return Vec::new() };
        // What has a rule that refuses nobody is as good as without one.
        let is_idle = |have: &Frontend| have.refusal.is_some() && is_left_alone(have);
        let is_there = |want: &&expect::Frontend| {
            frontends.iter().any(|have| is_same(want, have) && !is_idle(have) || may_be(want, have))
        };
        let is_refused = |want: &&expect::Frontend| extent.refusal(want.address) == Some(Verdict::Reject);
        let open = expected.frontends.iter().filter(|want| !is_there(want) && !is_refused(want));
        open.map(|want| Drift::NotRefused { kind: want.kind, address: want.address, port: want.port }).collect()
    }
}

/// True if nobody can get anywhere: Local policy, no endpoint on this node, and rules of a release before 1.24, of which not
/// all let pods and the node itself use the others.
fn may_be_dropped(want: &expect::Frontend, expected: &Expected<'_>, extent: &Extent) -> bool {
    let local = expected.pools.local.as_ref();
    let of_cluster_ip = want.kind == FrontendKind::ClusterIp;
    want.policy == Policy::Local
        && (of_cluster_ip || !(extent.external_chains || extent.remote_fallback))
        && local.is_some_and(|pool| !pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
}

/// True if neither table does anything about it, so that it is as good as not there.
fn is_left_alone(have: &Frontend) -> bool {
    have.routes.iter().all(|route| route.verdict == Verdict::None)
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
fn affinity(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>, ipvs: bool) {
    // A listing of connections alone does not tell it.
    let untold = |pool: &Pool| ipvs && pool.scheduler.is_none();
    let known = port.pools.iter().all(|pool| pool.is_whole() && pool.dead_ends.is_empty() && !untold(pool));
    let any = port.pools.iter().any(|pool| !pool.endpoints.is_empty());
    if !known || !any {
        return;
    }
    let want = expected.affinity_seconds;
    let others = port.other_affinity.iter().map(|(at, have)| (Some(*at), *have));
    let all = std::iter::once((None, port.affinity_seconds)).chain(others);
    drifts.extend(all.filter(|(_, have)| *have != want).map(|(frontend, have)| Drift::Affinity {
        frontend,
        have,
        want,
    }));
}

/// True if both are the same address or node port, of whatever kind the rules take it for.
fn is_same(want: &expect::Frontend, have: &Frontend) -> bool {
    let node_port = |kind| kind == FrontendKind::NodePort;
    let at = |address: Option<IpAddr>, port: u16, kind| (address, port, node_port(kind));
    have.port.is_some_and(|port| at(want.address, want.port, want.kind) == at(have.address, port, have.kind))
}

/// True if the rules do not tell the port of a frontend at this address, or of a node port.
fn may_be(want: &expect::Frontend, have: &Frontend) -> bool {
    have.port.is_none() && !have.every_port && have.address == want.address
}

/// Frontends that nat takes though the filter table would refuse them.
fn idle_refusals(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>) {
    let taken = |have: &Frontend| have.routes.iter().all(|route| route.verdict.is_pool());
    if expected.pools.usable == Some(true) {
        let idle = port.frontends.iter().enumerate().filter(|(_, have)| have.refusal.is_some() && taken(have));
        drifts.extend(idle.map(|(at, _)| Drift::IdleRefusal(at)));
    }
}
