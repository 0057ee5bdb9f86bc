//! Which Pod has an address, and which addresses a Pod has.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use crate::cluster::{Facts, Pod};
use crate::dataplane::{AboutEndpoint, Endpoint, ServicePort, Stale, State};
use crate::expect::{Cluster, Viewpoint};
use crate::order::Order as _;

/// Who has which address. Pods that have ended gave theirs back.
#[derive(Debug)]
pub(super) struct Pods<'f> {
    facts: &'f Facts,
    by_address: HashMap<IpAddr, &'f Pod>,
    /// Addresses of Nodes, and of Pods that share their Node's.
    of_nodes: HashSet<IpAddr>,
}

impl<'f> Pods<'f> {
    pub(super) fn of(facts: &'f Facts) -> Self {
        let (of_nodes, own) = (of_nodes(&facts.pods), own(&facts.pods));
        let by_address = own.flat_map(|pod| pod.addresses.iter().map(move |ip| (*ip, pod))).collect();
        let nodes = facts.nodes.iter().flat_map(|node| node.addresses.iter().copied());
        Self { facts, by_address, of_nodes: of_nodes.chain(nodes).collect() }
    }

    /// True if a Pod with any address would be known.
    pub(super) fn are_all(&self) -> bool {
        self.facts.coverage.pods
    }

    /// What has become of an address that is no endpoint; `certain` if a Pod that has it would be known.
    pub(super) fn about(&self, address: IpAddr, certain: bool, viewpoint: &Viewpoint) -> AboutEndpoint {
        let pod = self.by_address.get(&address);
        let state = State::Stale(match pod {
            Some(pod) => Stale::Reused(pod.pod.shared()),
            None if certain && !self.of_nodes.contains(&address) => Stale::Deleted,
            None => Stale::Unlisted,
        });
        let node = pod.and_then(|pod| pod.node.clone());
        let local = viewpoint.node.as_deref().zip(node.as_deref()).map(|(here, there)| here == there);
        AboutEndpoint { pod: pod.map(|pod| pod.pod.shared()), node, local, state, wanted: Some(false) }
    }
}

/// Pods with an address of their own.
fn own(pods: &[Pod]) -> impl Iterator<Item = &Pod> {
    pods.iter().filter(|pod| !pod.host_network && !pod.ended)
}

/// Addresses of Pods that share their Node's.
fn of_nodes(pods: &[Pod]) -> impl Iterator<Item = IpAddr> {
    pods.iter().filter(|pod| pod.host_network && !pod.ended).flat_map(|pod| pod.addresses.iter().copied())
}

/// The addresses of the Pod `namespace/name`, or of every Pod of this name: from Pods, and from slices that name it.
pub fn addresses_of_pod(facts: &Facts, namespace: Option<&str>, name: &str) -> Vec<IpAddr> {
    let is_it = |text: &str| {
        text.split_once('/').is_some_and(|(ns, pod)| pod == name && namespace.is_none_or(|wanted| wanted == ns))
    };
    let pods =
        facts.pods.iter().filter(|pod| !pod.ended && is_it(pod.pod.as_str())).flat_map(|pod| pod.addresses.clone());
    let endpoints = facts.slices.iter().flat_map(|slice| &slice.endpoints);
    let named = endpoints.filter(|e| e.pod.as_ref().is_some_and(|pod| is_it(pod.as_str()))).map(|e| e.address);
    let mut addresses: Vec<IpAddr> = pods.chain(named).collect();
    addresses.order();
    addresses.dedup();
    addresses
}

/// The addresses of stale endpoints of which nobody asked whose they are now.
pub fn unsettled(services: &[ServicePort]) -> Vec<IpAddr> {
    let endpoints = services.iter().flat_map(|service| &service.pools).flat_map(|pool| &pool.endpoints);
    let of = |endpoint: &Endpoint| match endpoint.about.as_ref()?.state {
        State::Stale(Stale::Unlisted) => endpoint.address.ip(),
        _ => None,
    };
    let mut addresses: Vec<IpAddr> = endpoints.filter_map(of).collect();
    addresses.order();
    addresses.dedup();
    addresses
}

/// Says of stale endpoints what became of their addresses; `asked` are those of which `found` holds every Pod.
pub fn settle(services: &mut [ServicePort], found: Vec<Pod>, asked: &[IpAddr], cluster: &Cluster<'_>) {
    let facts = Facts { pods: found, nodes: cluster.facts().nodes.clone(), ..Facts::default() };
    let pods = Pods::of(&facts);
    let endpoints = services.iter_mut().flat_map(|service| &mut service.pools).flat_map(|pool| &mut pool.endpoints);
    for endpoint in endpoints {
        let Some(ip) = endpoint.address.ip().filter(|ip| asked.contains(ip)) else { continue };
        if let Some(about) = endpoint.about.as_mut().filter(|a| a.state == State::Stale(Stale::Unlisted)) {
            **about = pods.about(ip, true, cluster.viewpoint());
        }
    }
}
