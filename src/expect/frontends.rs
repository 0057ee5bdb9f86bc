//! Addresses and node ports a service port must be reached by.

use std::net::IpAddr;

use super::pools::Pools;
use crate::cluster::{Port, Service};
use crate::dataplane::{FrontendKind, Policy};
use crate::net::{Family, Network};
use crate::order::Order as _;

/// An address or node port of a Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    /// Its kind.
    pub kind: FrontendKind,
    /// The address; `None` for a node port.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The pool that connections from outside the cluster go to; for a cluster IP, all connections.
    pub policy: Policy,
    /// The only networks that may connect to it; empty for all.
    pub sources: Vec<Network>,
    /// Whether connections to it are translated; `None` where it cannot be told. Others are refused or dropped.
    pub captured: Option<bool>,
}

/// How a service port is reached, which decides about the pools it uses (`UsesClusterEndpoints`, `UsesLocalEndpoints`,
/// pkg/proxy/serviceport.go).
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    internal_local: bool,
    external_local: bool,
    /// It has a node port, external IP or load balancer address.
    external: bool,
}

impl Reach {
    pub(super) fn of(service: &Service, port: &Port, family: Family) -> Self {
        Self {
            internal_local: service.internal_policy == Policy::Local,
            external_local: service.external_policy == Policy::Local,
            external: outside(service, port, family).next().is_some(),
        }
    }

    /// Even under Local policy, pods and the node itself use the cluster pool for external addresses.
    pub(super) fn uses_cluster(self) -> bool {
        !self.internal_local || self.external
    }

    pub(super) fn uses_local(self) -> bool {
        self.internal_local || (self.external_local && self.external)
    }
}

/// External addresses and node port of a service port. A load balancer with `ipMode: Proxy` is none of them.
fn outside(
    service: &Service,
    port: &Port,
    family: Family,
) -> impl Iterator<Item = (FrontendKind, Option<IpAddr>, u16)> {
    let of_family = move |ip: &IpAddr| Family::of(*ip) == family;
    let external = service.external_ips.iter().copied().filter(of_family);
    let balancers = service.ingress.iter().filter(|i| !i.proxied).map(|i| i.address).filter(of_family);
    let number = port.port;
    external
        .map(move |ip| (FrontendKind::ExternalIp, Some(ip), number))
        .chain(balancers.map(move |ip| (FrontendKind::LoadBalancer, Some(ip), number)))
        .chain(port.node_port.map(|number| (FrontendKind::NodePort, None, number)))
}

/// The frontends of a service port whose endpoints are known to be `pools`.
pub(super) fn of(service: &Service, port: &Port, family: Family, pools: &Pools) -> Vec<Frontend> {
    let (internal, external) = (service.internal_policy, service.external_policy);
    // With an endpoint anywhere, an external address is captured: what no local endpoint can take is dropped there.
    let own = service.cluster_ips.iter().copied().filter(|ip| Family::of(*ip) == family).map(|ip| Frontend {
        kind: FrontendKind::ClusterIp,
        address: Some(ip),
        port: port.port,
        policy: internal,
        sources: Vec::new(),
        captured: match (internal, &pools.local) {
            (Policy::Local, Some(Ok(local))) => Some(!local.is_empty()),
            (Policy::Local, _) => None,
            (Policy::Cluster, _) => pools.usable,
        },
    });
    let others = outside(service, port, family).map(|(kind, address, port)| Frontend {
        kind,
        address,
        port,
        policy: external,
        sources: if kind == FrontendKind::LoadBalancer {
            service.source_ranges.iter().copied().filter(|n| n.family() == family).collect()
        } else {
            Vec::new()
        },
        captured: pools.usable,
    });
    let mut all: Vec<Frontend> = own.chain(others).collect();
    all.order_by_key(|f| (f.kind, f.address, f.port));
    all
}
