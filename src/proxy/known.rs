//! Names of service ports learned from the cluster's objects, by what rules call them.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::{chain_name, nftables};
use crate::dataplane::{FrontendKind, Policy, ServiceName};
use crate::net::Protocol;

/// An address, none for a node port; protocol; port.
type Frontend = (Option<IpAddr>, Option<Protocol>, Option<u16>);

/// Service ports by the hash in their chains' names, and by their addresses.
#[derive(Debug, Default)]
pub struct KnownNames {
    by_key: HashMap<String, (ServiceName, Protocol)>,
    by_frontend: HashMap<Frontend, (ServiceName, FrontendKind, Policy)>,
    /// Keys of nftables mode that are cut short, so that they do not tell the name.
    cut_short: HashMap<String, ServiceName>,
}

impl KnownNames {
    /// Adds a service port with the addresses and ports clients reach it by, and the pool that clients from outside get to there;
    /// a node port has no address.
    pub fn insert(
        &mut self,
        name: &ServiceName,
        protocol: Protocol,
        frontends: impl Iterator<Item = (FrontendKind, Option<IpAddr>, u16, Policy)>,
    ) {
        for key in chain_name::service_keys(name, protocol) {
            self.by_key.insert(key, (name.clone(), protocol));
        }
        let key = nftables::names::key(name, protocol);
        if key.ends_with("...") {
            self.cut_short.insert(key, name.clone());
        }
        for (kind, address, port, policy) in frontends {
            self.by_frontend.insert((address, Some(protocol), Some(port)), (name.clone(), kind, policy));
        }
    }

    /// The service port whose chains have this in their names.
    pub(super) fn by_key(&self, key: &str) -> Option<&(ServiceName, Protocol)> {
        self.by_key.get(key)
    }

    /// The service port with this frontend.
    pub(super) fn by_frontend(&self, frontend: Frontend) -> Option<&ServiceName> {
        self.frontend(frontend).map(|(name, ..)| name)
    }

    /// The service port with this frontend, its kind, and the pool that clients from outside get to there.
    pub(super) fn frontend(&self, frontend: Frontend) -> Option<(&ServiceName, FrontendKind, Policy)> {
        self.by_frontend.get(&frontend).map(|(name, kind, policy)| (name, *kind, *policy))
    }

    /// Every cluster IP with a port, and whose it is, in no order.
    pub(super) fn cluster_ips(&self) -> impl Iterator<Item = (&ServiceName, (IpAddr, Protocol, u16))> {
        let all = self.by_frontend.iter().filter(|(_, (_, kind, _))| *kind == FrontendKind::ClusterIp);
        all.filter_map(|((address, protocol, port), (name, ..))| Some((name, ((*address)?, (*protocol)?, (*port)?))))
    }

    /// The service port whose key in nftables mode is this one, which was cut short.
    pub(super) fn by_cut_key(&self, key: &str) -> Option<&ServiceName> {
        self.cut_short.get(key)
    }
}
