//! How kube-proxy names chains and sets in nftables mode.
//!
//! A name is a prefix, a hash, and what was hashed: `service-452DNVGS-shop/web/tcp/`. The hash is the first eight characters
//! of base32(sha256(…)); names longer than 200 bytes end in `...` (`hashAndTruncate`, pkg/proxy/nftables/proxier.go).

use std::net::IpAddr;

use data_encoding::BASE32;
use sha2::{Digest, Sha256};

use crate::dataplane::{Address, Policy, ServiceName};
use crate::net::Protocol;

/// What a chain is for, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum ChainKind {
    /// `service-`: a Service's endpoints in the whole cluster.
    Cluster,
    /// `local-`: those of this node.
    Local,
    /// `external-`: external traffic.
    External,
    /// `firewall-`: source ranges of a load balancer.
    Firewall,
    /// `endpoint-`: one endpoint.
    Endpoint,
}

const PREFIXES: [(&str, ChainKind); 5] = [
    ("service-", ChainKind::Cluster),
    ("local-", ChainKind::Local),
    ("external-", ChainKind::External),
    ("firewall-", ChainKind::Firewall),
    ("endpoint-", ChainKind::Endpoint),
];

/// Characters of the hash.
const HASHED: usize = 8;

/// The kind of a chain and what follows it in its name; `None` for chains that are not made for one Service.
pub(in crate::proxy) fn split(chain: &str) -> Option<(ChainKind, &str)> {
    let (prefix, kind) = PREFIXES.iter().find(|(prefix, _)| chain.starts_with(prefix))?;
    let key = &chain[prefix.len()..];
    let is_hash = |hash: &str| hash.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let hashed = key.as_bytes().get(HASHED) == Some(&b'-') && key.get(..HASHED).is_some_and(is_hash);
    hashed.then_some((*kind, key))
}

impl ChainKind {
    /// The endpoints a chain of this kind spreads connections over, if it does.
    pub(super) fn policy(self) -> Option<Policy> {
        match self {
            Self::Cluster => Some(Policy::Cluster),
            Self::Local => Some(Policy::Local),
            _ => None,
        }
    }
}

/// The service port that a key speaks of: `452DNVGS-shop/web/tcp/`. `None` where the name was cut short.
pub(super) fn service(key: &str) -> Option<(ServiceName, Protocol)> {
    let mut parts = key.get(HASHED + 1..)?.splitn(4, '/');
    let (namespace, service, protocol, port) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let port = port.split("__").next().filter(|port| !port.is_empty());
    if key.ends_with("...") {
        return None;
    }
    let text = match port {
        Some(port) => format!("{namespace}/{service}:{port}"),
        None => format!("{namespace}/{service}"),
    };
    Some((ServiceName::parse(&text)?, Protocol::parse(protocol)?))
}

/// The key of a service port's chains.
pub(in crate::proxy) fn key(name: &ServiceName, protocol: Protocol) -> String {
    truncated(&base(name, protocol))
}

/// The key of the chain of an endpoint.
fn endpoint_key(name: &ServiceName, protocol: Protocol, address: IpAddr, port: u16) -> String {
    // nft takes no colon in a name.
    truncated(&format!("{}__{}/{port}", base(name, protocol), address.to_string().replace(':', ".")))
}

/// False if `chain` has the name of another Service's or endpoint's: it is one of `name`, and of `endpoint` if it is an
/// endpoint's. True for chains whose names follow no scheme.
pub fn fits(chain: &str, name: &ServiceName, protocol: Protocol, endpoint: &Address) -> bool {
    match (split(chain), endpoint) {
        (Some((ChainKind::Endpoint, own)), Address::Socket(address, port)) => {
            own == endpoint_key(name, protocol, *address, *port)
        }
        (None | Some((ChainKind::Endpoint, _)), _) => true,
        (Some((_, own)), _) => own == key(name, protocol),
    }
}

fn base(name: &ServiceName, protocol: Protocol) -> String {
    format!("{}/{}/{protocol}/{}", name.namespace, name.service, name.port.as_deref().unwrap_or_default())
}

fn truncated(text: &str) -> String {
    const LONGEST: usize = 200;
    let hash = BASE32.encode(&Sha256::digest(text.as_bytes()));
    let mut key = format!("{}-{text}", &hash[..HASHED]);
    if key.len() > LONGEST {
        key.truncate(LONGEST - 3);
        key.push_str("...");
    }
    key
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::parse(text).expect("a name")
    }

    #[test]
    fn names_are_those_of_a_real_node() {
        assert_eq!(key(&name("shop/web"), Protocol::Tcp), "452DNVGS-shop/web/tcp/");
        assert_eq!(key(&name("infra/dns:dns"), Protocol::Udp), "R4RSRM2G-infra/dns/udp/dns");
        let sticky = endpoint_key(&name("shop/web-sticky"), Protocol::Tcp, Ipv4Addr::new(10, 244, 2, 12).into(), 8080);
        assert_eq!(sticky, "JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080");
        let long = key(&name(&format!("{}/{}:http", "n".repeat(120), "s".repeat(120))), Protocol::Tcp);
        assert_eq!((long.len(), long.ends_with("...")), (200, true));
        assert_eq!(service(&long), None);
    }

    #[test]
    fn names_tell_the_service() {
        for (chain, kind, text) in [
            ("service-452DNVGS-shop/web/tcp/", ChainKind::Cluster, "shop/web"),
            ("local-PTJD2OIS-edge/gw-lb/tcp/https", ChainKind::Local, "edge/gw-lb:https"),
            ("endpoint-JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080", ChainKind::Endpoint, "shop/web-sticky"),
        ] {
            let (found, key) = split(chain).expect(chain);
            assert_eq!((found, service(key)), (kind, Some((name(text), Protocol::Tcp))));
        }
        for chain in ["services", "service-endpoints-check", "service-ips", "firewall-check", "local-"] {
            assert_eq!(split(chain), None, "{chain}");
        }
    }
}
