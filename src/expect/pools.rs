//! Which endpoints connections go to: readiness, topology hints, the fallback to terminating ones, Local policy.

use super::frontends::Reach;
use super::{Member, Viewpoint, Zone};
use crate::cluster::Endpoint;
use crate::dataplane::{Gap, Policy};

/// The pools of a service port. `None` for a pool that is not used; its members by their index, ascending.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pools {
    /// Endpoints of the whole cluster.
    pub cluster: Option<Result<Vec<usize>, Gap>>,
    /// Endpoints of this node.
    pub local: Option<Result<Vec<usize>, Gap>>,
    /// Some endpoint anywhere is usable; `None` where it cannot be told.
    pub usable: Option<bool>,
    /// Every ready endpoint, where topology hints leave some of them out of the cluster pool.
    pub without_hints: Option<Vec<usize>>,
}

impl Pools {
    /// The pool with this policy.
    pub fn get(&self, policy: Policy) -> Option<&Result<Vec<usize>, Gap>> {
        match policy {
            Policy::Cluster => self.cluster.as_ref(),
            Policy::Local => self.local.as_ref(),
        }
    }

    /// What is not known of the pools, if anything.
    pub fn gap(&self) -> Option<Gap> {
        self.cluster.iter().chain(&self.local).filter_map(|pool| pool.as_ref().err().copied()).max()
    }

    /// True if every pool that is used is known to hold nothing.
    pub fn is_empty(&self) -> bool {
        self.cluster.iter().chain(&self.local).all(|pool| pool.as_ref().is_ok_and(Vec::is_empty))
    }

    /// What `members` are to a service port reached in this way. Whether those that terminate are a `last_resort` depends on the
    /// release.
    pub(super) fn of(members: &[Member<'_>], reach: Reach, viewpoint: &Viewpoint, last_resort: bool) -> Self {
        let is_last = |m: &Member<'_>| last_resort && m.last_resort();
        let cluster = reach.uses_cluster().then(|| cluster(members, viewpoint, is_last));
        let narrowed = |pool: &Vec<usize>| {
            let ready = having(members, |m| m.endpoint.ready);
            (!ready.is_empty() && ready.len() > pool.len()).then_some(ready)
        };
        Self {
            without_hints: cluster.as_ref().and_then(|pool| pool.as_ref().ok()).and_then(narrowed),
            cluster,
            local: reach.uses_local().then(|| local(members, viewpoint, is_last)),
            usable: Some(members.iter().any(|m| m.endpoint.ready || is_last(m))),
        }
    }

    /// The pools of a service port of whose slices some may not have been read.
    pub(super) fn unknown(members: &[Member<'_>], reach: Reach) -> Self {
        Self {
            cluster: reach.uses_cluster().then_some(Err(Gap::Endpoints)),
            local: reach.uses_local().then_some(Err(Gap::Endpoints)),
            usable: members.iter().any(|m| m.endpoint.ready).then_some(true),
            without_hints: None,
        }
    }
}

/// Ready endpoints narrowed by hints; without any, those that terminate and still serve (`CategorizeEndpoints`).
///
/// `hints.forNodes` go before `hints.forZones`, and either counts only if every ready endpoint has them
/// (`topologyModeFromHints`, pkg/proxy/topology.go).
fn cluster(
    members: &[Member<'_>],
    viewpoint: &Viewpoint,
    is_last: impl Fn(&Member<'_>) -> bool,
) -> Result<Vec<usize>, Gap> {
    let ready = having(members, |m| m.endpoint.ready);
    if ready.is_empty() {
        return Ok(having(members, is_last));
    }
    let by_node = ready.iter().all(|&n| !members[n].endpoint.for_nodes().is_empty());
    let by_zone = ready.iter().all(|&n| !members[n].endpoint.for_zones().is_empty());
    let Some(node) = viewpoint.node.as_deref() else {
        return if by_node || by_zone { Err(Gap::Node) } else { Ok(ready) };
    };
    let named = |wanted: &str, hints: fn(&Endpoint) -> &[String]| {
        let names = |n: &usize| hints(members[*n].endpoint).iter().any(|hint| hint == wanted);
        Some(ready.iter().copied().filter(names).collect::<Vec<_>>()).filter(|named| !named.is_empty())
    };
    if let Some(named) = named(node, Endpoint::for_nodes).filter(|_| by_node) {
        return Ok(named);
    }
    match &viewpoint.zone {
        Zone::Unknown if by_zone => Err(Gap::Zone),
        Zone::Is(zone) if by_zone => Ok(named(zone, Endpoint::for_zones).unwrap_or(ready)),
        _ => Ok(ready),
    }
}

/// Ready endpoints of this node; without any, those of it that terminate and still serve.
fn local(
    members: &[Member<'_>],
    viewpoint: &Viewpoint,
    is_last: impl Fn(&Member<'_>) -> bool,
) -> Result<Vec<usize>, Gap> {
    if viewpoint.node.is_none() && members.iter().any(|m| m.endpoint.ready || is_last(m)) {
        return Err(Gap::Node);
    }
    let here = |m: &Member<'_>| m.local == Some(true);
    let ready = having(members, |m| here(m) && m.endpoint.ready);
    Ok(if ready.is_empty() { having(members, |m| here(m) && is_last(m)) } else { ready })
}

fn having<'f>(members: &[Member<'f>], fits: impl Fn(&Member<'f>) -> bool) -> Vec<usize> {
    members.iter().enumerate().filter(|(_, m)| fits(m)).map(|(n, _)| n).collect()
}
