//! Which hashes in the names of chains are made of what, so that they can be made anew.
//!
//! A hash that is of none of the names and addresses that were learnt gets letters that depend on the key, so that it can be
//! neither guessed nor taken for that of something.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::Redactor;
use crate::dataplane::ServiceName;
use crate::net::{Host, Protocol};
use crate::proxy::{chain_name, nftables};

/// The protocols Services have.
pub(super) const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// Characters of a hash.
const HASHED: usize = 16;

/// New hashes by the old ones.
#[derive(Debug, Default)]
pub(super) struct Chains {
    /// What follows `KUBE-SVC-` and the like.
    keys: HashMap<String, String>,
    /// Names in nftables mode that are cut short.
    cut: HashMap<String, String>,
}

impl Redactor {
    /// Makes the hashes of a service port's chains known.
    pub(super) fn learn_service_chains(&mut self, name: &ServiceName, protocol: Protocol) {
        let new = self.service(name);
        let keys = chain_name::service_keys(name, protocol).zip(chain_name::service_keys(&new, protocol));
        self.chains.keys.extend(keys);
        self.learn_cut(name, protocol, &new, None);
    }

    /// Makes the hashes known of the chain of an endpoint of a service port, whose pseudonym is `new`.
    pub(super) fn learn_endpoint_chains(
        &mut self,
        (name, new): (&ServiceName, &ServiceName),
        protocol: Protocol,
        (ip, port): (IpAddr, u16),
    ) {
        let moved = self.address(ip);
        let (from, to) = (format!("{}:{port}", Host(ip)), format!("{}:{port}", Host(moved)));
        let keys = chain_name::endpoint_keys(name, protocol, &from);
        self.chains.keys.extend(keys.zip(chain_name::endpoint_keys(new, protocol, &to)));
        self.learn_cut(name, protocol, new, Some((ip, port)));
    }

    fn learn_cut(
        &mut self,
        name: &ServiceName,
        protocol: Protocol,
        new: &ServiceName,
        endpoint: Option<(IpAddr, u16)>,
    ) {
        // No shorter name was ever too long for nftables, which took 112 bytes at first, with hash, protocol and address.
        const SHORT: usize = 40;
        let length = name.namespace.len() + name.service.len() + name.port.as_ref().map_or(0, String::len);
        if length < SHORT {
            return;
        }
        let old = nftables::name_keys(name, protocol, endpoint);
        let endpoint = endpoint.map(|(ip, port)| (self.address(ip), port));
        let both = old.into_iter().zip(nftables::name_keys(new, protocol, endpoint));
        self.chains.cut.extend(both.filter(|(old, _)| old.ends_with("...")));
    }

    /// True if it is known what the hash is made of.
    pub(super) fn knows_key(&self, key: &str) -> bool {
        self.chains.keys.contains_key(key)
    }

    /// The new hash in the name of a chain.
    pub(super) fn key(&self, key: &str) -> String {
        self.chains.keys.get(key).cloned().unwrap_or_else(|| self.key.letters("chain", key, HASHED))
    }

    /// The new name of a chain or set that nftables mode makes for a Service or endpoint; `None` for others.
    pub(super) fn nftables_name(&self, name: &str) -> Option<String> {
        let strange = |hash: &str| self.key.letters("nftables chain", hash, hash.len());
        let renamed = nftables::renamed(name, |name| self.service(name), |ip| self.address(ip), strange)?;
        Some(match renamed {
            nftables::Renamed::Whole(name) => name,
            nftables::Renamed::Cut(prefix, key) => match self.chains.cut.get(key) {
                Some(new) => format!("{prefix}{new}"),
                None => {
                    let (hash, rest) = key.split_once('-').unwrap_or((key, ""));
                    let rest = self.key.letters("nftables name", rest, HASHED).to_lowercase();
                    format!("{prefix}{}-{rest}...", strange(hash))
                }
            },
        })
    }
}
