//! What kube-proxy should have programmed on a node, from the cluster's objects.
//!
//! The rules of pkg/proxy: which Services it serves (`ShouldSkipService`), which endpoints of them are usable from this
//! node (`CategorizeEndpoints`, topology.go), and which addresses and ports lead to them (`BaseServicePortInfo`). What
//! depends on a fact that is not known (the node, its zone, the slices) is a [`Gap`](crate::dataplane::Gap), never a guess.

mod frontends;
mod members;
mod pools;
mod ports;
mod viewpoint;

pub use frontends::Frontend;
pub use members::Member;
pub use pools::Pools;
pub use ports::{Role, ServicePort};
pub use viewpoint::{Viewpoint, Zone};

use std::net::IpAddr;

use crate::cluster::{Facts, Node, Service, Slice};
use crate::net::Family;

/// A cluster as seen from a node.
#[derive(Debug, Clone)]
pub struct Cluster<'f> {
    facts: &'f Facts,
    viewpoint: Viewpoint,
}

/// What should be programmed for one service port in one family.
#[derive(Debug, Clone, PartialEq)]
pub struct Expected<'f> {
    /// Every endpoint the slices have, usable or not, ordered by address, each address and port once.
    pub members: Vec<Member<'f>>,
    /// False if slices of the Service may exist that were not read, so that no address can be called stale.
    pub complete: bool,
    /// Which of them connections go to.
    pub pools: Pools,
    /// How clients reach it.
    pub frontends: Vec<Frontend>,
    /// Seconds of ClientIP affinity.
    pub affinity_seconds: Option<u32>,
}

impl<'f> Cluster<'f> {
    /// `facts` as seen from `viewpoint`.
    pub fn new(facts: &'f Facts, viewpoint: Viewpoint) -> Self {
        Self { facts, viewpoint }
    }

    /// The facts.
    pub fn facts(&self) -> &'f Facts {
        self.facts
    }

    /// Where it is seen from.
    pub fn viewpoint(&self) -> &Viewpoint {
        &self.viewpoint
    }

    /// True if the Node of the viewpoint has an address of this family; where it is not known which one that is, if all have.
    pub fn node_has(&self, family: Family) -> bool {
        let has = |node: &Node| node.addresses.iter().any(|ip| Family::of(*ip) == family);
        match &self.viewpoint.node {
            Some(name) => self.facts.nodes.iter().any(|node| node.name == *name && has(node)),
            None => !self.facts.nodes.is_empty() && self.facts.nodes.iter().all(has),
        }
    }

    /// True if the Node of the viewpoint has this address; where it is not known which one that is, if one of them has.
    pub fn may_be_of_node(&self, address: IpAddr) -> bool {
        let may_be_it = |node: &&Node| self.viewpoint.node.as_ref().is_none_or(|name| node.name == *name);
        self.facts.nodes.iter().filter(may_be_it).any(|node| node.addresses.contains(&address))
    }

    /// Every port of every Service, once for each family it has; those kube-proxy leaves out too.
    pub fn ports(&self) -> impl Iterator<Item = ServicePort<'f>> + use<'f> {
        self.facts.services.iter().flat_map(ports::of)
    }

    /// The Service of this name.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&'f Service> {
        let services = &self.facts.services;
        let order = |s: &Service| (s.namespace.as_str(), s.name.as_str()).cmp(&(namespace, name));
        services.binary_search_by(order).ok().map(|at| &services[at])
    }

    /// The slices of a Service.
    pub fn slices(&self, namespace: &str, service: &str) -> &'f [Slice] {
        let slices = &self.facts.slices;
        let order = |s: &Slice| (s.namespace.as_str(), s.service.as_str()).cmp(&(namespace, service));
        let start = slices.partition_point(|s| order(s).is_lt());
        let count = slices[start..].partition_point(|s| order(s).is_eq());
        &slices[start..start + count]
    }

    /// What should be programmed for `port`; nothing for those kube-proxy leaves out.
    pub fn expected(&self, port: &ServicePort<'f>) -> Expected<'f> {
        self.expected_of(port, true)
    }

    /// The same of a kube-proxy before 1.26, which leads to no endpoint that terminates unless told to
    /// (`ProxyTerminatingEndpoints`, pkg/features/kube_features.go).
    pub fn expected_without_terminating(&self, port: &ServicePort<'f>) -> Expected<'f> {
        self.expected_of(port, false)
    }

    fn expected_of(&self, port: &ServicePort<'f>, last_resort: bool) -> Expected<'f> {
        let service = port.service;
        let slices = self.slices(&service.namespace, &service.name);
        let of_family = slices.iter().filter(|slice| slice.family == port.family);
        let mirrored = slices.first().is_some_and(|slice| slice.mirrored);
        let first_family = service.cluster_ips.first().is_none_or(|ip| Family::of(*ip) == port.family);
        let complete =
            self.facts.coverage.has_endpoints_of(&service.namespace, &service.name) && (first_family || !mirrored);
        let members = port.port.map_or_else(Vec::new, |port| members::of(of_family, port, &self.viewpoint));
        let served = port.port.filter(|_| port.role() == Role::Served);
        let Some(wanted) = served else {
            let (pools, frontends) = (Pools::default(), Vec::new());
            return Expected { members, complete, pools, frontends, affinity_seconds: None };
        };
        let reach = frontends::Reach::of(service, wanted, port.family);
        let pools = if complete && !(mirrored && service.hinted) {
            Pools::of(&members, reach, &self.viewpoint, last_resort)
        } else {
            Pools::unknown(&members, reach)
        };
        let frontends = frontends::of(service, wanted, port.family, &pools);
        Expected { members, complete, pools, frontends, affinity_seconds: service.affinity_seconds }
    }
}
