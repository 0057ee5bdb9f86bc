//! How kube-proxy names chains: a prefix and a hash of what the chain serves.
//!
//! The hash is base32(sha256(name + protocol [+ endpoint])), cut to 16 characters (`portProtoHash` and
//! `servicePortEndpointChainName`, pkg/proxy/iptables/proxier.go). Knowing a service's name one can tell its chains
//! without a single comment.

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use crate::dataplane::ServiceName;
use crate::net::Protocol;

/// Sixteen characters of base32 hold ten bytes.
const HASHED: usize = 10;

/// What a chain is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainKind {
    /// `KUBE-SVC-`: a Service's endpoints in the whole cluster.
    Cluster,
    /// `KUBE-SVL-`: a Service's endpoints on this node (since 1.24).
    Local,
    /// `KUBE-XLB-`: external traffic under Local policy, with the local endpoints in it (until 1.23).
    ExternalLocal,
    /// `KUBE-EXT-`: external traffic (since 1.24).
    External,
    /// `KUBE-FW-`: source ranges of a load balancer.
    Firewall,
    /// `KUBE-SEP-`: one endpoint.
    Endpoint,
    /// `KUBE-MARK-MASQ`: marks for masquerading.
    MarkMasquerade,
    /// `KUBE-MARK-DROP`: marks for the filter table to drop (until 1.24).
    MarkDrop,
    /// Any other chain.
    Other,
}

impl ChainKind {
    /// Tells the kind from the name.
    pub fn of(name: &str) -> Self {
        // Asked of every chain and every target: bytes are compared four at a time.
        match name.as_bytes().strip_prefix(b"KUBE-") {
            Some([b'S', b'E', b'P', b'-', ..]) => Self::Endpoint,
            Some([b'S', b'V', b'C', b'-', ..]) => Self::Cluster,
            Some([b'S', b'V', b'L', b'-', ..]) => Self::Local,
            Some([b'X', b'L', b'B', b'-', ..]) => Self::ExternalLocal,
            Some([b'E', b'X', b'T', b'-', ..]) => Self::External,
            Some([b'F', b'W', b'-', ..]) => Self::Firewall,
            Some(b"MARK-MASQ") => Self::MarkMasquerade,
            Some(b"MARK-DROP") => Self::MarkDrop,
            _ => Self::Other,
        }
    }

    /// True for chains that kube-proxy makes for one service or one endpoint.
    pub fn is_of_services(self) -> bool {
        self.serves() || self == Self::Endpoint
    }

    /// True if a chain of this kind leads to the endpoints of one service port.
    pub fn serves(self) -> bool {
        matches!(self, Self::Cluster | Self::Local | Self::ExternalLocal | Self::External | Self::Firewall)
    }
}

/// The part of a service chain's name that all chains of the service port share: what follows `KUBE-XXX-`.
pub fn key(chain: &str) -> &str {
    chain.splitn(3, '-').nth(2).unwrap_or(chain)
}

/// The keys a service port's chains can have: today's, and for an unnamed port that of releases before about 1.19,
/// which hashed `ns/service:`.
pub fn service_keys(name: &ServiceName, protocol: Protocol) -> impl Iterator<Item = String> {
    let old = name.port.is_none().then(|| hash(&[&format!("{name}:"), &protocol.to_string()]));
    std::iter::once(hash(&[&name.to_string(), &protocol.to_string()])).chain(old)
}

/// What follows `KUBE-SEP-` in the name of the chain of an endpoint, given as `ip:port` or `[ip6]:port`.
pub fn endpoint_key(name: &ServiceName, protocol: Protocol, endpoint: &str) -> String {
    hash(&[&name.to_string(), &protocol.to_string(), endpoint])
}

/// The keys the chain of an endpoint can have, in the order of [`service_keys`].
pub fn endpoint_keys(name: &ServiceName, protocol: Protocol, endpoint: &str) -> impl Iterator<Item = String> {
    let old = name.port.is_none().then(|| hash(&[&format!("{name}:"), &protocol.to_string(), endpoint]));
    std::iter::once(endpoint_key(name, protocol, endpoint)).chain(old)
}

/// Tells whether chains have the names of a service's endpoints, for many endpoints.
#[derive(Debug, Clone)]
pub struct EndpointKeys {
    /// The hash so far: of today's name, and for an unnamed port of that of releases before about 1.19.
    begun: Vec<Sha256>,
}

impl EndpointKeys {
    /// For the endpoints of `name`.
    pub fn of(name: &ServiceName, protocol: Protocol) -> Self {
        let (today, protocol) = (name.to_string(), protocol.to_string());
        let old = name.port.is_none().then(|| format!("{today}:"));
        let begin = |name: String| Sha256::new().chain_update(name).chain_update(&protocol);
        Self { begun: std::iter::once(today).chain(old).map(begin).collect() }
    }

    /// True if `key` is what follows `KUBE-SEP-` in the name of the chain of `endpoint`, given as `ip:port` or `[ip6]:port`.
    pub fn fits(&self, key: &str, endpoint: &str) -> bool {
        let mut wanted = [0; HASHED];
        let is_key = key.len() == 16 && BASE32.decode_mut(key.as_bytes(), &mut wanted).is_ok();
        is_key && self.begun.iter().any(|begun| begun.clone().chain_update(endpoint).finalize()[..HASHED] == wanted)
    }
}

/// The port of an endpoint at `ip`, told from its chain's name: the only one whose hash fits.
///
/// `likely` ports are tried first; without a hit all 65,535 are, which takes some ten milliseconds.
pub fn endpoint_port(key: &str, name: &ServiceName, protocol: Protocol, ip: &str, likely: &[u16]) -> Option<u16> {
    let mut wanted = [0; HASHED];
    if key.len() != 16 || BASE32.decode_mut(key.as_bytes(), &mut wanted).is_err() {
        return None;
    }
    let old = name.port.is_none().then(|| format!("{name}:"));
    [Some(name.to_string()), old].into_iter().flatten().find_map(|name| {
        let prefix =
            Sha256::new().chain_update(name).chain_update(protocol.to_string()).chain_update(ip).chain_update(":");
        let fits = |port: &u16| prefix.clone().chain_update(port.to_string()).finalize()[..HASHED] == wanted;
        likely.iter().copied().find(fits).or_else(|| (1..=u16::MAX).find(fits))
    })
}

fn hash(parts: &[&str]) -> String {
    let digest = parts.iter().fold(Sha256::new(), sha2::Digest::chain_update).finalize();
    BASE32.encode(&digest[..HASHED])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).expect("a name")
    }

    #[test]
    fn known_services_have_their_known_keys() {
        let keys = |text| service_keys(&name(text), Protocol::Tcp).collect::<Vec<_>>();
        assert_eq!(keys("default/kubernetes:https"), ["NPX46M4PTMTKRN6Y"]);
        assert_eq!(keys("default/nginx")[0], "2CMXP7HKUVJN7L6M");
        assert_eq!(keys("default/hostnames")[1], "NWV5X2332I4OT4T3");
    }

    #[test]
    fn an_endpoint_port_is_found_again() {
        let https = name("default/kubernetes:https");
        assert_eq!(endpoint_key(&https, Protocol::Tcp, "10.128.0.183:6443"), "QAX236RR3UXXQODE");
        let keys = EndpointKeys::of(&https, Protocol::Tcp);
        assert!(keys.fits("QAX236RR3UXXQODE", "10.128.0.183:6443"));
        assert!(!keys.fits("QAX236RR3UXXQODE", "10.128.0.183:6444") && !keys.fits("short", "10.128.0.183:6443"));
        let old = EndpointKeys::of(&name("a/b"), Protocol::Tcp);
        let key = endpoint_keys(&name("a/b"), Protocol::Tcp, "10.0.0.1:80").nth(1).expect("the old key");
        assert!(key == hash(&["a/b:", "tcp", "10.0.0.1:80"]) && old.fits(&key, "10.0.0.1:80"));
        let port = |likely: &[u16]| endpoint_port("QAX236RR3UXXQODE", &https, Protocol::Tcp, "10.128.0.183", likely);
        assert_eq!(port(&[443, 6443]), Some(6443));
        assert_eq!(port(&[]), Some(6443));
        assert_eq!(endpoint_port("QAX236RR3UXXQODE", &https, Protocol::Udp, "10.128.0.183", &[]), None);
        assert_eq!(endpoint_port("short", &https, Protocol::Tcp, "10.128.0.183", &[]), None);
    }

    #[test]
    fn kinds_and_keys_come_from_the_name() {
        assert_eq!(ChainKind::of("KUBE-SVC-X"), ChainKind::Cluster);
        assert_eq!(ChainKind::of("KUBE-FW-X"), ChainKind::Firewall);
        assert_eq!(ChainKind::of("KUBE-SERVICES"), ChainKind::Other);
        assert_eq!(ChainKind::of("é-KUBE-SVC"), ChainKind::Other);
        assert_eq!(key("KUBE-SVC-ABC-D"), "ABC-D");
        assert_eq!(key("KUBE-FW-ABC"), "ABC");
        assert_eq!(key("CUSTOM"), "CUSTOM");
    }
}
