//! Which Pod has an address, and which addresses a Pod has.

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::cluster::{Facts, Pod};
use crate::dataplane::{Endpoint, ServicePort, Stale, State};

/// Pods by address. Those that share their node's address, or have ended and given theirs back, are left out.
#[derive(Debug)]
pub(super) struct Pods<'f> {
    facts: &'f Facts,
    by_address: HashMap<IpAddr, &'f Pod>,
}

impl<'f> Pods<'f> {
    pub(super) fn of(facts: &'f Facts) -> Self {
        let own = facts.pods.iter().filter(|pod| !pod.host_network && !pod.ended);
        let by_address = own.flat_map(|pod| pod.addresses.iter().map(move |ip| (*ip, pod))).collect();
        Self { facts, by_address }
    }

    /// The Pod with this address.
    pub(super) fn at(&self, address: IpAddr) -> Option<&'f Pod> {
        self.by_address.get(&address).copied()
    }

    /// True if a Pod with this address would be known.
    pub(super) fn knows(&self, address: IpAddr) -> bool {
        self.facts.coverage.pods || self.facts.coverage.pod_addresses.contains(&address)
    }
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
    addresses.sort_unstable();
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
    addresses.sort_unstable();
    addresses.dedup();
    addresses
}

/// Says of stale endpoints whose address they have now; `asked` are the addresses of which `pods` holds every Pod.
pub fn settle(services: &mut [ServicePort], pods: &[Pod], asked: &[IpAddr], here: Option<&str>) {
    let endpoints = services.iter_mut().flat_map(|service| &mut service.pools).flat_map(|pool| &mut pool.endpoints);
    for endpoint in endpoints {
        let Some(ip) = endpoint.address.ip().filter(|ip| asked.contains(ip)) else { continue };
        let Some(about) = endpoint.about.as_mut().filter(|a| a.state == State::Stale(Stale::Unlisted)) else {
            continue;
        };
        let own = |pod: &&Pod| !pod.host_network && !pod.ended && pod.addresses.contains(&ip);
        match pods.iter().find(own) {
            Some(pod) => {
                about.pod = Some(pod.pod.as_str().into());
                about.node.clone_from(&pod.node);
                about.local = here.zip(pod.node.as_deref()).map(|(here, there)| here == there);
                about.state = State::Stale(Stale::Reused(pod.pod.as_str().into()));
            }
            None => about.state = State::Stale(Stale::Deleted),
        }
    }
}
