//! How kube-proxy names chains and sets in nftables mode.
//!
//! A name is a prefix, a hash, and what was hashed: `service-452DNVGS-shop/web/tcp/`. The hash is the first eight characters
//! of base32(sha256(…)); longer ones than kube-proxy wants end in `...` (`hashAndTruncate`, pkg/proxy/nftables/proxier.go).

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

/// The longest key (`chainNameBaseLengthMax`): a name of nftables less the longest prefix.
const LONGEST: usize = 256 - 16;

/// The same in 1.29, the first release of this mode.
const LONGEST_AT_FIRST: usize = 128 - 16;

/// The kind of a chain and what follows it in its name; `None` for chains that are not made for one Service.
pub(in crate::proxy) fn split(chain: &str) -> Option<(ChainKind, &str)> {
    let (prefix, kind) = PREFIXES.iter().find(|(prefix, _)| chain.starts_with(prefix))?;
    let key = &chain[prefix.len()..];
    is_key(key).then_some((*kind, key))
}

/// True if the text begins with a hash.
fn is_key(key: &str) -> bool {
    let is_hash = |hash: &str| hash.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    key.as_bytes().get(HASHED) == Some(&b'-') && key.get(..HASHED).is_some_and(is_hash)
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
    if key.ends_with(CUT) {
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
    truncated(&base(name, protocol), LONGEST)
}

/// The keys of its chains that are cut short, in whatever release.
pub(in crate::proxy) fn cut_keys(name: &ServiceName, protocol: Protocol) -> impl Iterator<Item = String> {
    // Few names are so long, and a hash takes longer than to see that.
    let is_cut = HASHED + 1 + base(name, protocol).len() > LONGEST_AT_FIRST;
    let keys = is_cut.then(|| keys(name, protocol, None)).into_iter().flatten();
    keys.filter(|key| key.ends_with(CUT))
}

/// What the key of an endpoint's chain is made of.
fn endpoint_base(name: &ServiceName, protocol: Protocol, address: IpAddr, port: u16) -> String {
    // nft takes no colon in a name.
    format!("{}__{}/{port}", base(name, protocol), address.to_string().replace(':', "."))
}

/// True if the key is made of this text, by whatever release.
fn is_of(key: &str, text: &str) -> bool {
    let longest = if key.ends_with(CUT) { key.len() } else { LONGEST };
    [LONGEST, LONGEST_AT_FIRST].contains(&longest) && key == truncated(text, longest)
}

/// False if `chain` has the name of another Service's or endpoint's: it is one of `name`, and of `endpoint` if it is an
/// endpoint's. True for chains whose names follow no scheme.
pub fn fits(chain: &str, name: &ServiceName, protocol: Protocol, endpoint: &Address) -> bool {
    match (split(chain), endpoint) {
        (Some((ChainKind::Endpoint, own)), Address::Socket(address, port)) => {
            is_of(own, &endpoint_base(name, protocol, *address, *port))
        }
        (None | Some((ChainKind::Endpoint, _)), _) => true,
        (Some((_, own)), _) => is_of(own, &base(name, protocol)),
    }
}

/// The service port that the name of a chain or set speaks of.
pub fn service_of(name: &str) -> Option<(ServiceName, Protocol)> {
    service(parted(name)?.1)
}

/// The part of the names of a service port's chains behind their prefixes, or of the chain of its endpoint: as it is today, and
/// as it was in 1.29.
pub fn keys(name: &ServiceName, protocol: Protocol, endpoint: Option<(IpAddr, u16)>) -> [String; 2] {
    let of_endpoint = |(address, port)| endpoint_base(name, protocol, address, port);
    let text = endpoint.map_or_else(|| base(name, protocol), of_endpoint);
    [LONGEST, LONGEST_AT_FIRST].map(|longest| truncated(&text, longest))
}

/// What a chain or set is called where Services and addresses are called otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Renamed<'n> {
    /// The name, with its hash taken anew.
    Whole(String),
    /// It was cut short, so that what it speaks of is not known: prefix and key.
    Cut(&'n str, &'n str),
}

/// Renames a chain or set that is made for one Service or endpoint; `None` for any other. Where the hash was not that of what
/// the name says, `strange` gives the new one, eight characters of base32.
pub fn renamed(
    name: &str,
    service: impl Fn(&ServiceName) -> ServiceName,
    address: impl Fn(IpAddr) -> IpAddr,
    strange: impl Fn(&str) -> String,
) -> Option<Renamed<'_>> {
    let (prefix, old) = parted(name)?;
    let Some((named, protocol)) = self::service(old) else { return Some(Renamed::Cut(prefix, old)) };
    let endpoint = old.rsplit_once("__").map(|(_, endpoint)| endpoint_of(endpoint));
    let endpoint = match endpoint {
        Some(None) => return Some(Renamed::Cut(prefix, old)),
        Some(known) => known,
        None => None,
    };
    let [mut new, _] = keys(&service(&named), protocol, endpoint.map(|(ip, port)| (address(ip), port)));
    if !keys(&named, protocol, endpoint).iter().any(|key| key == old) {
        let hash = strange(&old[..HASHED]);
        new.replace_range(..HASHED.min(new.len()), &hash[..HASHED.min(hash.len())]);
    }
    Some(Renamed::Whole(format!("{prefix}{new}")))
}

/// Prefix and key of the name of a chain, or of the set that remembers an endpoint's clients.
fn parted(name: &str) -> Option<(&str, &str)> {
    const AFFINITY: &str = "affinity-";
    let key = match name.strip_prefix(AFFINITY) {
        Some(key) => is_key(key).then_some(key)?,
        None => split(name)?.1,
    };
    Some((&name[..name.len() - key.len()], key))
}

/// `10.0.0.1/80`, `fd00..1/80`
fn endpoint_of(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.rsplit_once('/')?;
    let address = address.parse().ok().or_else(|| address.replace('.', ":").parse().ok())?;
    Some((address, port.parse().ok()?))
}

fn base(name: &ServiceName, protocol: Protocol) -> String {
    format!("{}/{}/{protocol}/{}", name.namespace, name.service, name.port.as_deref().unwrap_or_default())
}

/// The end of a key that was cut short.
const CUT: &str = "...";

fn truncated(text: &str, longest: usize) -> String {
    let hash = BASE32.encode(&Sha256::digest(text.as_bytes()));
    let mut key = format!("{}-{text}", &hash[..HASHED]);
    if key.len() > longest {
        // A name that no object of an API server has may be cut within a character.
        key.truncate(key.floor_char_boundary(longest - CUT.len()));
        key.push_str(CUT);
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
    fn a_name_is_cut_between_characters() {
        for shift in ["", "a", "aa"] {
            let long = truncated(&(shift.to_owned() + &"\u{2003}".repeat(200)), LONGEST);
            assert!(long.ends_with("\u{2003}...") && (LONGEST - 2..=LONGEST).contains(&long.len()), "{}", long.len());
        }
    }

    #[test]
    fn names_are_those_of_a_real_node() {
        assert_eq!(key(&name("shop/web"), Protocol::Tcp), "452DNVGS-shop/web/tcp/");
        assert_eq!(key(&name("infra/dns:dns"), Protocol::Udp), "R4RSRM2G-infra/dns/udp/dns");
        let [sticky, _] =
            keys(&name("shop/web-sticky"), Protocol::Tcp, Some((Ipv4Addr::new(10, 244, 2, 12).into(), 8080)));
        assert_eq!(sticky, "JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080");
        let long = key(&name(&format!("{}/{}:http", "n".repeat(120), "s".repeat(120))), Protocol::Tcp);
        assert_eq!((long.len(), long.ends_with("...")), (240, true));
        assert_eq!(service(&long), None);
    }

    #[test]
    fn long_names_fit_where_they_are_cut_and_nowhere_else() {
        // As long as the API server lets them be.
        let service = name(&format!("{}/{}:{}", "n".repeat(63), "s".repeat(63), "p".repeat(15)));
        let address = Address::Socket("fd00:1111:2222:3333:4444:5555:6666:7777".parse().expect("an address"), 65535);
        let whole = format!(
            "{}/{}/sctp/{}__fd00.1111.2222.3333.4444.5555.6666.7777/65535",
            "n".repeat(63),
            "s".repeat(63),
            "p".repeat(15)
        );
        let key = truncated(&whole, LONGEST);
        assert!(key.ends_with("/65535"), "{key}");
        let at_first = truncated(&whole, LONGEST_AT_FIRST);
        assert_eq!(at_first.len(), 112);
        for (key, fits_it) in
            [(&key, true), (&at_first, true), (&truncated(&whole, 200), false), (&truncated("other", LONGEST), false)]
        {
            assert_eq!(fits(&format!("endpoint-{key}"), &service, Protocol::Sctp, &address), fits_it, "{key}");
        }
        assert_eq!(cut_keys(&service, Protocol::Sctp).map(|key| key.len()).collect::<Vec<_>>(), [112]);
    }

    #[test]
    fn names_are_taken_anew_where_services_are_called_otherwise() {
        let new = |text: &str| {
            let service = |_: &ServiceName| name("shop/web-sticky");
            let address = |ip: IpAddr| if ip.is_ipv4() { Ipv4Addr::new(10, 244, 2, 12).into() } else { ip };
            match renamed(text, service, address, |_| "STRANGE2".to_owned())? {
                Renamed::Whole(text) => Some(text),
                Renamed::Cut(prefix, key) => Some(format!("{prefix}|{key}")),
            }
        };
        let sticky = "endpoint-JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080";
        assert_eq!(new(sticky).as_deref(), Some(sticky));
        let affinity = "affinity-JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080";
        let other = truncated("shop/other/tcp/__10.0.0.1/8080", LONGEST);
        assert_eq!(new(&format!("affinity-{other}")).as_deref(), Some(affinity));
        // A hash of something else stays one.
        let wrong = "service-AAAAAAAA-shop/web/tcp/";
        assert_eq!(new(wrong).as_deref(), Some("service-STRANGE2-shop/web-sticky/tcp/"));
        let six = truncated("shop/other/udp/dns__fd00..1/53", LONGEST);
        let moved = new(&format!("endpoint-{six}")).expect("a name");
        assert!(moved.ends_with("-shop/web-sticky/udp/__fd00..1/53"), "{moved}");
        assert_eq!(new("service-452DNVGS-shop/web...").as_deref(), Some("service-|452DNVGS-shop/web..."));
        assert_eq!(new("services"), None);
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
