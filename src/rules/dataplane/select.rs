//! WHAT a person has in hand, and the service ports it names.

use std::net::IpAddr;

use regex::bytes::{Regex, RegexBuilder};

use super::{Endpoint, FrontendKind, ServiceName, ServicePort};
use crate::net::{Network, Protocol, split_host_port};
use crate::order::Order as _;

/// How many names a failed search suggests.
const SUGGESTIONS: usize = 3;

/// One WHAT.
#[derive(Debug, Clone)]
pub enum Select {
    /// `service`, `ns/service`, with or without `:port`.
    Name {
        /// Namespace, where given.
        namespace: Option<String>,
        /// Service.
        service: String,
        /// Port name, where given.
        port: Option<String>,
    },
    /// `pod/name`, `pod/ns/name`: the Services it is an endpoint of.
    Pod {
        /// Namespace, where given.
        namespace: Option<String>,
        /// Pod.
        name: String,
    },
    /// `IP`, `IP:port`, `IP:port/proto`: a frontend or an endpoint.
    Address(IpAddr, Option<u16>, Option<Protocol>),
    /// `:port[/proto]`: a node port.
    NodePort(u16, Option<Protocol>),
    /// The name of a chain.
    Chain(String),
    /// `/regex/` on `ns/service:port`.
    Pattern(Regex),
}

/// A WHAT that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWhat {
    /// The pattern between the slashes is no regular expression.
    #[error("'{0}' is no regular expression: {1}")]
    Pattern(String, String),
    /// None of the forms fits.
    #[error(
        "cannot tell what '{0}' means: give a service (nginx, shop/cart, shop/cart:http), an address (10.96.0.10, \
         10.96.0.10:53/udp), a node port (:30080, at most :65535), a pod (shop/cart-0, pod/cart-0), a chain (KUBE-SVC-…) or \
         /a regular expression/"
    )]
    Form(String),
}

/// The types a WHAT may name, as kubectl calls them.
const SERVICES: [&str; 3] = ["svc", "service", "services"];
const PODS: [&str; 3] = ["po", "pod", "pods"];

/// WHATs in kubectl's form `TYPE NAME…` as `TYPE/NAME`: `svc cart till` is `svc/cart svc/till`, and `svc` alone is every
/// Service. One that is called `svc` is `svc/svc`.
#[inline]
pub fn by_kind(what: &[String]) -> Vec<String> {
    match what {
        [kind] if SERVICES.contains(&kind.as_str()) => Vec::new(),
        [kind, names @ ..] if !names.is_empty() && [SERVICES, PODS].concat().contains(&kind.as_str()) => {
            names.iter().map(|name| format!("{kind}/{name}")).collect()
        }
        _ => what.to_vec(),
    }
}

/// What is behind the type, where one of `kinds` is named.
#[inline]
fn of_kind<'t>(kinds: &[&str], text: &'t str) -> Option<&'t str> {
    let (kind, name) = text.split_once('/')?;
    kinds.contains(&kind).then_some(name)
}

impl Select {
    /// Reads one WHAT.
    #[inline]
    pub fn parse(text: &str) -> Result<Self, BadWhat> {
        if let Some(pattern) = text.strip_prefix('/').and_then(|rest| rest.strip_suffix('/')).filter(|p| !p.is_empty())
        {
            // Names are of ASCII: the tables of Unicode would be a tenth of a megabyte that nobody uses.
            return match RegexBuilder::new(pattern).unicode(false).build() {
                Ok(regex) => Ok(Self::Pattern(regex)),
                Err(error) => {
                    let reason = error.to_string();
                    let last = reason.lines().last().unwrap_or_default().trim_start_matches("error: ");
                    let last = last.replace("Unicode not allowed here", "names are of ASCII");
                    Err(BadWhat::Pattern(pattern.to_owned(), last))
                }
            };
        }
        let bad = || BadWhat::Form(text.to_owned());
        let (socket, protocol) = match text.rsplit_once('/') {
            Some((socket, protocol)) => match Protocol::parse(protocol).filter(|p| p.is_service_protocol()) {
                Some(protocol) => (socket, Some(protocol)),
                None => (text, None),
            },
            None => (text, None),
        };
        if let Some(port) = socket.strip_prefix(':') {
            return port.parse().map(|port| Self::NodePort(port, protocol)).map_err(|_| bad());
        }
        if let Some((address, port)) = split_host_port(socket) {
            return Ok(Self::Address(address, port, protocol));
        }
        // A single address with its prefix length, as rules write it.
        if let Some(address) = Network::parse(text).and_then(|n| n.address()) {
            return Ok(Self::Address(address, None, None));
        }
        if text.starts_with("KUBE-") || is_chain_of_nftables(text) {
            return Ok(Self::Chain(text.to_owned()));
        }
        if let Some(pod) = of_kind(&PODS, text) {
            let qualified = if pod.contains('/') { pod.to_owned() } else { format!("-/{pod}") };
            let name = ServiceName::parse(&qualified).filter(|name| name.port.is_none()).ok_or_else(bad)?;
            let namespace = pod.contains('/').then_some(name.namespace);
            return Ok(Self::Pod { namespace, name: name.service });
        }
        if let Some(name) = dns_name(text) {
            return Ok(name);
        }
        let text = of_kind(&SERVICES, text).unwrap_or(text);
        let qualified = if text.contains('/') { text.to_owned() } else { format!("-/{text}") };
        let name = ServiceName::parse(&qualified).ok_or_else(bad)?;
        let namespace = text.contains('/').then_some(name.namespace);
        Ok(Self::Name { namespace, service: name.service, port: name.port })
    }

    /// The Pod it names or may name: namespace, where given, and name.
    #[inline]
    pub fn pod(&self) -> Option<(Option<&str>, &str)> {
        match self {
            Self::Name { namespace, service: name, port: None } | Self::Pod { namespace, name } => {
                Some((namespace.as_deref(), name))
            }
            _ => None,
        }
    }

    /// True if it names the service port by its name.
    #[inline]
    pub fn matches_name(&self, name: Option<&ServiceName>) -> bool {
        let Some(name) = name else { return false };
        match self {
            Self::Name { namespace, service, port } => {
                *service == name.service
                    && namespace.as_ref().is_none_or(|n| *n == name.namespace)
                    && (port.is_none() || *port == name.port)
            }
            Self::Pattern(regex) => regex.is_match(name.to_string().as_bytes()),
            _ => false,
        }
    }

    /// True if it names one of a service port's frontends, whose protocol is `protocol`.
    #[inline]
    pub fn matches_frontend(
        &self,
        kind: FrontendKind,
        address: Option<IpAddr>,
        port: Option<u16>,
        protocol: Option<Protocol>,
    ) -> bool {
        match self {
            Self::Address(ip, wanted, proto) => address == Some(*ip) && fits(*wanted, port) && fits(*proto, protocol),
            Self::NodePort(wanted, proto) => {
                kind == FrontendKind::NodePort && port == Some(*wanted) && fits(*proto, protocol)
            }
            _ => false,
        }
    }

    /// True if it names an endpoint of a service port whose protocol is `protocol`.
    #[inline]
    pub fn matches_endpoint(&self, endpoint: &Endpoint, protocol: Option<Protocol>) -> bool {
        match self {
            Self::Address(ip, port, proto) => {
                endpoint.address.ip() == Some(*ip) && fits(*port, endpoint.address.port()) && fits(*proto, protocol)
            }
            Self::Chain(chain) => *endpoint.chain == **chain,
            _ => false,
        }
    }

    /// True if endpoints have to be known to answer it.
    #[inline]
    pub fn needs_endpoints(&self) -> bool {
        matches!(self, Self::Address(..) | Self::Chain(_))
    }
}

impl ServicePort {
    /// True if `select` names one of its endpoints.
    #[inline]
    pub fn has_endpoint(&self, select: &Select) -> bool {
        self.pools.iter().flat_map(|pool| &pool.endpoints).any(|e| select.matches_endpoint(e, self.protocol))
    }
}

/// `service-452DNVGS-shop/web/tcp/`: a chain of nftables mode has the hash of what it serves in its name, in capitals, which no
/// name of Kubernetes has.
#[inline]
fn is_chain_of_nftables(text: &str) -> bool {
    let prefixes = ["service-", "local-", "external-", "firewall-", "endpoint-"];
    let rest = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    let hash = rest.and_then(|rest| rest.split_once('-')).map_or("", |(hash, _)| hash);
    hash.len() == 8 && hash.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit())
}

/// `service.namespace`, `service.namespace.svc`, `service.namespace.svc.cluster.local`: names of Services hold no dots.
#[inline]
fn dns_name(text: &str) -> Option<Select> {
    let mut labels = text.trim_end_matches('.').split('.');
    let (service, namespace) = (labels.next()?, labels.next()?);
    let rest = labels.next();
    let name = ServiceName::parse(&format!("{namespace}/{service}")).filter(|_| matches!(rest, None | Some("svc")))?;
    (name.port.is_none()).then_some(Select::Name { namespace: Some(name.namespace), service: name.service, port: None })
}

#[inline]
fn fits<T: PartialEq + Copy>(wanted: Option<T>, have: Option<T>) -> bool {
    wanted.is_none() || have.is_none() || wanted == have
}

/// The names most like `text`, best first: those that contain it, then those with few typing errors.
#[inline]
pub fn nearest<'a>(text: &str, names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let bare = |name: &'a str| name.rsplit('/').next().unwrap_or(name);
    let wanted = text.to_lowercase();
    let mut ranked: Vec<(usize, &str)> = names
        .filter_map(|name| {
            let whole = name.to_lowercase();
            if whole.contains(&wanted) {
                return Some((0, name));
            }
            let distance = strsim::damerau_levenshtein(&wanted, &whole)
                .min(strsim::damerau_levenshtein(&wanted, &bare(name).to_lowercase()))
                .min(strsim::damerau_levenshtein(&wanted, bare(name).split(':').next().unwrap_or_default()));
            (distance * 3 <= wanted.chars().count().max(3)).then_some((distance, name))
        })
        .collect();
    ranked.order();
    ranked.dedup();
    ranked.into_iter().take(SUGGESTIONS).map(|(_, name)| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> String {
        format!("{:?}", Select::parse(text).expect(text))
    }

    #[test]
    fn every_form_is_told_apart() {
        for (text, debug) in [
            ("nginx", r#"Name { namespace: None, service: "nginx", port: None }"#),
            ("nginx:http", r#"Name { namespace: None, service: "nginx", port: Some("http") }"#),
            ("shop/cart:http", r#"Name { namespace: Some("shop"), service: "cart", port: Some("http") }"#),
            ("service/nginx", r#"Name { namespace: None, service: "nginx", port: None }"#),
            ("cart.shop", r#"Name { namespace: Some("shop"), service: "cart", port: None }"#),
            ("cart.shop.svc.cluster.local.", r#"Name { namespace: Some("shop"), service: "cart", port: None }"#),
            ("10.96.0.10", "Address(10.96.0.10, None, None)"),
            ("10.96.0.10/32", "Address(10.96.0.10, None, None)"),
            ("10.96.0.10:53/udp", "Address(10.96.0.10, Some(53), Some(Udp))"),
            ("[fd00::1]:53", "Address(fd00::1, Some(53), None)"),
            ("fd00::1", "Address(fd00::1, None, None)"),
            ("pod/cart-0", r#"Pod { namespace: None, name: "cart-0" }"#),
            ("pod/shop/cart-0", r#"Pod { namespace: Some("shop"), name: "cart-0" }"#),
            (":30080", "NodePort(30080, None)"),
            (":30080/tcp", "NodePort(30080, Some(Tcp))"),
            ("KUBE-SVC-X", r#"Chain("KUBE-SVC-X")"#),
            ("service-452DNVGS-shop/web/tcp/", r#"Chain("service-452DNVGS-shop/web/tcp/")"#),
            ("service-abcdefgh-x/y", r#"Name { namespace: Some("service-abcdefgh-x"), service: "y", port: None }"#),
            ("/^shop/", r#"Pattern(Regex("^shop"))"#),
        ] {
            assert_eq!(parsed(text), debug);
        }
    }

    #[test]
    fn types_may_stand_apart_as_in_kubectl() {
        let told = |what: &str| by_kind(&what.split(' ').map(str::to_owned).collect::<Vec<_>>()).join(" ");
        for (what, meant) in [
            ("svc cart till", "svc/cart svc/till"),
            ("po cart-0", "po/cart-0"),
            ("services", ""),
            ("pods", "pods"),
            ("cart svc", "cart svc"),
            ("svc/cart till", "svc/cart till"),
        ] {
            assert_eq!(told(what), meant, "{what}");
        }
    }

    #[test]
    fn what_fits_no_form_says_which_there_are() {
        for text in ["", ":", ":x", "a b", "//", "a/b/c"] {
            assert_eq!(Select::parse(text).expect_err(text), BadWhat::Form(text.to_owned()));
        }
        let error = Select::parse("/(/").expect_err("open group").to_string();
        assert_eq!(error, "'(' is no regular expression: unclosed group");
    }

    #[test]
    fn suggestions_are_near() {
        let names = ["nginx-demo/nginx-service", "kube-system/kube-dns:dns", "shop/cart:http"];
        let near = |text| nearest(text, names.into_iter());
        assert_eq!(near("nginx"), ["nginx-demo/nginx-service"]);
        assert_eq!(near("nginx-servcie"), ["nginx-demo/nginx-service"]);
        assert_eq!(near("crat"), ["shop/cart:http"]);
        assert_eq!(near("zzzzzz"), Vec::<String>::new());
    }
}
