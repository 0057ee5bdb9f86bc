//! Names of service ports learned from the cluster's objects, by what rules call them.

use std::cmp::Reverse;
use std::net::IpAddr;

use hashbrown::hash_map::Entry;
use hashbrown::{HashMap, HashSet};

use super::{chain_name, nftables};
use crate::dataplane::{FrontendKind, Policy, ServiceName};
use crate::net::Protocol;

/// Service ports that are compared for a frontend they all claim. More of them are a mistake or made to cost time.
const MOST_RIVALS: usize = 64;

/// An address, none for a node port; protocol; port.
type Frontend = (Option<IpAddr>, Option<Protocol>, Option<u16>);

/// How clients reach a service port, as its Service has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFrontend {
    /// What it is.
    pub kind: FrontendKind,
    /// `None` for a node port.
    pub address: Option<IpAddr>,
    /// The port.
    pub port: u16,
    /// The pool that clients from outside get to there.
    pub policy: Policy,
    /// kube-proxy serves it, where there are endpoints.
    pub served: bool,
}

/// Who is reached by a frontend.
#[derive(Debug, Clone)]
struct Owner {
    name: ServiceName,
    kind: FrontendKind,
    policy: Policy,
    served: bool,
}

/// Service ports by the hash in their chains' names, and by their addresses.
#[derive(Debug, Default)]
pub struct KnownNames {
    by_key: HashMap<String, (ServiceName, Protocol)>,
    by_frontend: HashMap<Frontend, Owner>,
    /// The other served ones of frontends that several claim: a node can serve but one of them (kubernetes/kubernetes#69599).
    rivals: HashMap<Frontend, Vec<Owner>>,
    /// Where connections to service ports go that claim a frontend of others, by name and protocol.
    endpoints: HashMap<(ServiceName, Protocol), Vec<(IpAddr, u16)>>,
    /// Endpoints of this node, of service ports under Local policy, by name and protocol.
    local: HashMap<(ServiceName, Protocol), HashSet<(IpAddr, u16)>>,
    /// Keys of nftables mode that are cut short, so that they do not tell the name.
    cut_short: HashMap<String, ServiceName>,
}

impl KnownNames {
    /// Adds a service port with what clients reach it by. A frontend that kube-proxy serves for one is never another's.
    pub fn insert(&mut self, name: &ServiceName, protocol: Protocol, frontends: impl Iterator<Item = KnownFrontend>) {
        for key in chain_name::service_keys(name, protocol) {
            self.by_key.insert(key, (name.clone(), protocol));
        }
        self.cut_short.extend(nftables::names::cut_keys(name, protocol).map(|key| (key, name.clone())));
        for KnownFrontend { kind, address, port, policy, served } in frontends {
            let at = (address, Some(protocol), Some(port));
            let owner = Owner { name: name.clone(), kind, policy, served };
            match self.by_frontend.entry(at) {
                Entry::Vacant(place) => _ = place.insert(owner),
                Entry::Occupied(mut known) if served && (!known.get().served || known.get().name == owner.name) => {
                    known.insert(owner);
                }
                Entry::Occupied(known) if served && known.get().name != owner.name => {
                    let rivals = self.rivals.entry(at).or_default();
                    // One address may be of two kinds.
                    rivals.pop_if(|last| last.name == owner.name);
                    if rivals.len() < MOST_RIVALS {
                        rivals.push(owner);
                    }
                }
                Entry::Occupied(_) => {}
            }
        }
    }

    /// True if several service ports claim this address, none for a node port, and port.
    pub fn is_contested(&self, protocol: Protocol, (address, port): (Option<IpAddr>, u16)) -> bool {
        self.rivals.contains_key(&(address, Some(protocol), Some(port)))
    }

    /// Adds where connections to `name` go, which tells whose a frontend is that others claim too.
    pub fn note_endpoints(&mut self, name: &ServiceName, protocol: Protocol, endpoints: Vec<(IpAddr, u16)>) {
        self.endpoints.insert((name.clone(), protocol), endpoints);
    }

    /// Adds where connections from outside to `name` go under Local policy.
    pub fn note_local(
        &mut self,
        name: &ServiceName,
        protocol: Protocol,
        endpoints: impl Iterator<Item = (IpAddr, u16)>,
    ) {
        self.local.entry((name.clone(), protocol)).or_default().extend(endpoints);
    }

    /// True if all of these are endpoints of this node, of a service port under Local policy.
    pub(super) fn are_local(
        &self,
        name: &ServiceName,
        protocol: Protocol,
        mut endpoints: impl Iterator<Item = (IpAddr, u16)>,
    ) -> bool {
        self.local
            .get(&(name.clone(), protocol))
            .is_some_and(|local| endpoints.all(|endpoint| local.contains(&endpoint)))
    }

    /// The service port whose chains have this in their names.
    pub(super) fn by_key(&self, key: &str) -> Option<&(ServiceName, Protocol)> {
        self.by_key.get(key)
    }

    /// The service port with this frontend.
    pub(super) fn by_frontend(&self, frontend: Frontend) -> Option<&ServiceName> {
        self.by_frontend.get(&frontend).map(|owner| &owner.name)
    }

    /// The service port with this frontend, its kind, and the pool that clients from outside get to there. Of several it is the one
    /// with most of these endpoints.
    pub(super) fn frontend(
        &self,
        frontend: Frontend,
        endpoints: impl Fn(&(IpAddr, u16)) -> bool,
    ) -> Option<(&ServiceName, FrontendKind, Policy)> {
        let first = self.by_frontend.get(&frontend)?;
        let rivals = self.rivals.get(&frontend).map(Vec::as_slice).unwrap_or_default();
        // Of equals the one that should have the fewest others.
        let likeness = |owner: &Owner| {
            let own = frontend.1.and_then(|protocol| self.endpoints.get(&(owner.name.clone(), protocol)));
            let own = own.map(Vec::as_slice).unwrap_or_default();
            (own.iter().filter(|endpoint| endpoints(endpoint)).count(), Reverse(own.len()))
        };
        let most = rivals.iter().fold(first, |best, owner| if likeness(owner) > likeness(best) { owner } else { best });
        Some((&most.name, most.kind, most.policy))
    }

    /// Every cluster IP with a port, and whose it is, in no order.
    pub(super) fn cluster_ips(&self) -> impl Iterator<Item = (&ServiceName, (IpAddr, Protocol, u16))> {
        let all = self.by_frontend.iter().filter(|(_, owner)| owner.kind == FrontendKind::ClusterIp);
        all.filter_map(|((address, protocol, port), owner)| Some((&owner.name, ((*address)?, (*protocol)?, (*port)?))))
    }

    /// The service port whose key in nftables mode is this one, which was cut short.
    pub(super) fn by_cut_key(&self, key: &str) -> Option<&ServiceName> {
        self.cut_short.get(key)
    }
}
