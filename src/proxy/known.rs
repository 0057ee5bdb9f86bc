//! Names of service ports learned from the cluster's objects, by what rules call them.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::chain_name;
use crate::dataplane::ServiceName;
use crate::net::Protocol;

/// An address, none for a node port; protocol; port.
type Frontend = (Option<IpAddr>, Option<Protocol>, Option<u16>);

/// Service ports by the hash in their chains' names, and by their addresses.
#[derive(Debug, Default)]
pub struct KnownNames {
    by_key: HashMap<String, (ServiceName, Protocol)>,
    by_frontend: HashMap<Frontend, ServiceName>,
}

impl KnownNames {
    /// Adds a service port with the addresses and ports clients reach it by; a node port has no address.
    pub fn insert(
        &mut self,
        name: &ServiceName,
        protocol: Protocol,
        frontends: impl Iterator<Item = (Option<IpAddr>, u16)>,
    ) {
        for key in chain_name::service_keys(name, protocol) {
            self.by_key.insert(key, (name.clone(), protocol));
        }
        for (address, port) in frontends {
            self.by_frontend.insert((address, Some(protocol), Some(port)), name.clone());
        }
    }

    /// The service port whose chains have this in their names.
    pub(super) fn by_key(&self, key: &str) -> Option<&(ServiceName, Protocol)> {
        self.by_key.get(key)
    }

    /// The service port with this frontend.
    pub(super) fn by_frontend(&self, frontend: Frontend) -> Option<&ServiceName> {
        self.by_frontend.get(&frontend)
    }
}
