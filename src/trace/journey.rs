//! The connection that is followed: who opens it, to where, and what is known around it.

use std::net::IpAddr;

use hashbrown::HashSet;

use crate::dataplane::Origin;
use crate::dump::ipset::Sets;
use crate::net::{Family, Network, Protocol};
use crate::proxy::iptables::Truth;

/// A new connection and what is known of the node it passes.
#[derive(Debug)]
pub struct Journey<'j> {
    /// Where its client is, which decides about the hooks its packets pass.
    pub origin: Origin,
    /// Its source address.
    pub source: Source,
    /// Its source port, where it was given.
    pub source_port: Option<u16>,
    /// Its destination; `None` for an address of the node, of which none is known.
    pub destination: Option<IpAddr>,
    /// Its destination port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// Addresses of the node.
    pub locals: Locals,
    /// Networks known to be the pods'.
    pub pod_networks: &'j [Network],
    /// Interfaces that the rules tell pods by.
    pub pod_interfaces: &'j [String],
    /// The interface it comes in by, where it was given.
    pub comes_in_by: Option<String>,
    /// The interface it leaves by, where it was given.
    pub goes_out_by: Option<String>,
    /// The client was there before, so that ClientIP affinity sends it where it was.
    pub seen: bool,
    /// Contents of ipsets, where they were given.
    pub sets: &'j Sets<'j>,
}

/// A source address, as far as it is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// This one.
    Exactly(IpAddr),
    /// One of these, which routing chooses.
    OneOf(Vec<IpAddr>),
    /// That of a pod which is no endpoint of the Service.
    SomePod,
    /// One outside every network that any rule names.
    Outside,
    /// The node's own, which is not known.
    SomeLocal,
}

/// The addresses of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Locals {
    /// Those that are known.
    pub addresses: Vec<IpAddr>,
    /// There are no others.
    pub complete: bool,
    /// Addresses that surely are none of them.
    pub of_others: HashSet<IpAddr>,
}

impl Locals {
    /// Is the address one of the node's? Loopback addresses always are.
    pub fn contain(&self, address: IpAddr) -> Truth {
        if address.is_loopback() || self.addresses.contains(&address) {
            Truth::Yes
        } else if self.complete || address.is_multicast() || self.of_others.contains(&address) {
            Truth::No
        } else {
            Truth::Unknown
        }
    }

    /// Those of a family, but those of loopback.
    pub fn of(&self, family: Family) -> impl Iterator<Item = IpAddr> {
        self.addresses.iter().copied().filter(move |ip| Family::of(*ip) == family && !ip.is_loopback())
    }
}
