//! From the ends of a connection as a person names them to addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashSet;

use super::Failure;
use super::ends::{From, To};
use super::scene::Scene;
use super::viewpoint;
use crate::cluster::{Facts, Pod};
use crate::dataplane::{Frontend, FrontendKind, Origin, Select, ServicePort};
use crate::join;
use crate::net::{Family, Host, Protocol};
use crate::proxy::iptables::{Ruleset, Truth};
#[cfg(feature = "live")]
use crate::source::Machine;
use crate::trace::{Locals, Source};

/// What was asked.
pub(super) struct Asked<'a> {
    pub(super) from: &'a From,
    pub(super) to: &'a To,
    /// The node's addresses as they were given.
    pub(super) node_ips: &'a [IpAddr],
    pub(super) namespace: Option<&'a str>,
    pub(super) family: Option<Family>,
    /// FROM and TO as they were typed.
    pub(super) typed: (&'a str, &'a str),
}

/// Both ends.
#[derive(Debug)]
pub(super) struct Met {
    pub(super) family: Family,
    pub(super) origin: Origin,
    pub(super) source: Source,
    pub(super) source_port: Option<u16>,
    /// `None` for an address of the node, of which none is known.
    pub(super) destination: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    /// The service port it connects to, where it has a name.
    pub(super) service: Option<String>,
    pub(super) locals: Locals,
    pub(super) notes: Vec<String>,
}

impl Met {
    /// The client's address, where it is one.
    pub(super) fn source_address(&self) -> Option<IpAddr> {
        if let Source::Exactly(ip) = self.source { Some(ip) } else { None }
    }
}

/// Where a connection comes from: the client's place, its address and its port.
type Client = (Origin, Source, Option<u16>);

/// Where a connection goes.
struct Target {
    /// `None` for an address of the node.
    address: Option<IpAddr>,
    family: Family,
    port: u16,
    protocol: Protocol,
    service: Option<String>,
}

/// Why there is no connection to follow.
pub(super) enum Unmet {
    /// Something that was named is not there.
    Missing(Vec<String>),
    /// The question cannot be answered as it was asked.
    Failed(Failure),
}

impl std::convert::From<Failure> for Unmet {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Unmet {
    fn missing(what: String) -> Self {
        Self::Missing(vec![what])
    }
}

/// Finds both ends. `missing` is what the search for TO did not find.
pub(super) fn ends(asked: &Asked<'_>, scene: &Scene<'_, '_, '_>, missing: Vec<String>) -> Result<Met, Unmet> {
    let nothing = Facts::default();
    let facts = scene.cluster.map_or(&nothing, |cluster| cluster.facts());
    let own_name = scene.cluster.and_then(|cluster| cluster.viewpoint().node.as_deref());
    let locals = locals(asked, scene, facts, own_name);
    let wanted = match asked.from {
        From::Address(ip, _) => Some(Family::of(*ip)),
        _ => asked.family,
    };
    let around = Around { asked, scene, facts, own_name };
    let target = around.target(wanted, &locals, missing)?;
    if wanted.is_some_and(|family| family != target.family) {
        let what = format!("{} and {} are of different families", asked.typed.0, asked.typed.1);
        return Err(Failure { what, hints: Vec::new() }.into());
    }
    let mut notes = Vec::new();
    let (origin, source, source_port) = around.source(&target, &locals, &mut notes)?;
    if target.address.is_some_and(|ip| ip.is_loopback()) && origin != Origin::Node {
        let what =
            format!("{} is the client's own loopback: only node and localhost reach this node by it", asked.typed.1);
        return Err(Failure { what, hints: vec![format!("kube-ipt trace localhost {}", asked.typed.1)] }.into());
    }
    let Target { address, family, port, protocol, service } = target;
    Ok(Met { family, origin, source, source_port, destination: address, port, protocol, service, locals, notes })
}

/// The node's addresses: those that were given, of this host, or of its Node.
fn locals(asked: &Asked<'_>, scene: &Scene<'_, '_, '_>, facts: &Facts, own_name: Option<&str>) -> Locals {
    let mut locals = Locals::default();
    let own = facts.nodes.iter().find(|node| Some(node.name.as_str()) == own_name);
    if !asked.node_ips.is_empty() {
        (locals.addresses, locals.complete) = (asked.node_ips.to_vec(), true);
    } else if scene.bundle.is_live() {
        (locals.addresses, locals.complete) = (viewpoint::machine(scene.bundle).addresses, true);
    } else if let Some(node) = own {
        locals.addresses.clone_from(&node.addresses);
    }
    if !locals.complete {
        let pods = facts.pods.iter().filter(|pod| !pod.host_network).flat_map(|pod| &pod.addresses);
        let nodes = facts.nodes.iter().filter(|node| Some(node.name.as_str()) != own_name && own_name.is_some());
        locals.of_others = pods.chain(nodes.flat_map(|node| &node.addresses)).copied().collect();
        // An endpoint in the pod network is a pod; other addresses there may be the node's own, of its bridge or tunnel.
        let endpoints = scene.services.iter().flat_map(|s| &s.pools).flat_map(|pool| &pool.endpoints);
        let of_pods = |ip: &IpAddr| scene.survey.pods(Family::of(*ip)).networks.iter().any(|net| net.contains(*ip));
        locals.of_others.extend(endpoints.filter_map(|endpoint| endpoint.address.ip()).filter(of_pods));
        // A DNS cache on the node answers at a cluster IP itself; its rules spare that from tracking.
        if !scene.rulesets.iter().any(untracks) {
            locals.of_others.extend(facts.services.iter().flat_map(|service| &service.cluster_ips));
            locals.of_others.extend(scene.survey.cluster_ips());
        }
    }
    locals
}

/// True if the raw table spares connections from tracking.
fn untracks(ruleset: &Ruleset<'_>) -> bool {
    let Some(raw) = ruleset.raw else { return false };
    let mut rules = raw.section.chains().iter().flat_map(|chain| raw.section.rules_of(chain));
    rules.any(|rule| rule.target_name().is_some_and(|target| matches!(target, "NOTRACK" | "CT")))
}

struct Around<'a, 's, 'd, 'f> {
    asked: &'a Asked<'a>,
    scene: &'a Scene<'s, 'd, 'f>,
    facts: &'a Facts,
    own_name: Option<&'a str>,
}

impl Around<'_, '_, '_, '_> {
    fn target(&self, wanted: Option<Family>, locals: &Locals, missing: Vec<String>) -> Result<Target, Unmet> {
        let wanted = self.asked.family.or(wanted);
        let of_node = |port: u16, protocol: Option<Protocol>| {
            let family = wanted.unwrap_or_else(|| self.family_of_node_port(port));
            let address = locals.of(family).next();
            let service = self.at(|f| f.kind == FrontendKind::NodePort && f.port == Some(port), family, protocol);
            let protocol = protocol.unwrap_or_else(|| sole_protocol(&service));
            let service = name_of(&service, protocol);
            Target { address, family, port, protocol, service }
        };
        let plain = |ip: IpAddr, port: u16, protocol: Option<Protocol>| {
            let family = Family::of(ip);
            let service = self.at(|f| f.address == Some(ip) && f.port == Some(port), family, protocol);
            let protocol = protocol.unwrap_or_else(|| sole_protocol(&service));
            Target { address: Some(ip), family, port, protocol, service: name_of(&service, protocol) }
        };
        Ok(match self.asked.to {
            To::Select(Select::Address(ip, Some(port), protocol), ..) => plain(*ip, *port, *protocol),
            To::Select(Select::Address(ip, None, protocol), ..) => {
                let (port, protocol) = self.only_port(*ip, *protocol)?;
                plain(*ip, port, Some(protocol))
            }
            To::Select(Select::NodePort(port, protocol), ..) | To::Node(None, port, protocol) => {
                of_node(*port, *protocol)
            }
            To::Select(_, port, protocol) => {
                if self.scene.services.is_empty() {
                    let nothing = || format!("no rules of {} were read", self.asked.typed.1);
                    return Err(Unmet::Missing(if missing.is_empty() { vec![nothing()] } else { missing }));
                }
                self.service(wanted, *port, *protocol)?
            }
            To::Localhost(port, protocol) => {
                let family = wanted.unwrap_or(Family::Ipv4);
                let target = of_node(*port, *protocol);
                Target { address: Some(loopback(family)), family, ..target }
            }
            To::Node(Some(name), port, protocol) if Some(name.as_str()) == self.own_name => of_node(*port, *protocol),
            To::Node(Some(name), port, protocol) => match self.node_address(name, wanted) {
                Some(ip) => plain(ip, *port, *protocol),
                None => return Err(Unmet::missing(self.unknown("Node", name))),
            },
            To::Pod(namespace, name, port, protocol) => {
                let namespace = namespace.as_deref().or(self.asked.namespace);
                match self.pod_address(namespace, name, wanted)? {
                    Some(ip) => plain(ip, *port, *protocol),
                    None => return Err(Unmet::missing(self.unknown("pod", name))),
                }
            }
        })
    }

    /// Service ports of a family with a frontend that fits.
    fn at(&self, fits: impl Fn(&Frontend) -> bool, family: Family, protocol: Option<Protocol>) -> Vec<&ServicePort> {
        let of_family = self.scene.services.iter().filter(|service| service.family == family);
        let of_protocol = of_family.filter(|service| protocol.is_none_or(|wanted| service.protocol == Some(wanted)));
        of_protocol.filter(|service| service.frontends.iter().any(&fits)).collect()
    }

    /// IPv4, unless only rules of IPv6 have the node port.
    fn family_of_node_port(&self, port: u16) -> Family {
        let fits = |f: &Frontend| f.kind == FrontendKind::NodePort && f.port == Some(port);
        let only_six = self.at(fits, Family::Ipv4, None).is_empty() && !self.at(fits, Family::Ipv6, None).is_empty();
        let four = self.scene.rulesets.iter().any(|ruleset| ruleset.family == Family::Ipv4);
        if only_six || !four { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// The port of an address that was given without one, if it has only one.
    fn only_port(&self, ip: IpAddr, protocol: Option<Protocol>) -> Result<(u16, Protocol), Failure> {
        let mut ports = Vec::new();
        for service in &self.scene.services {
            let frontends = service.frontends.iter().filter(|f| f.address == Some(ip)).filter_map(|f| f.port);
            let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints);
            let endpoints = endpoints.filter(|e| e.address.ip() == Some(ip)).filter_map(|e| e.address.port());
            let found = frontends.chain(endpoints).filter_map(|port| Some((port, service.protocol?)));
            ports.extend(found.filter(|(_, its)| protocol.is_none_or(|wanted| *its == wanted)));
        }
        ports.sort_unstable();
        ports.dedup();
        match ports.as_slice() {
            [only] => Ok(*only),
            [] => Err(Failure {
                what: format!("to which port of {}? no Service has this address", self.asked.typed.1),
                hints: vec![format!("kube-ipt trace {} {}:80", self.asked.typed.0, Host(ip))],
            }),
            many => {
                let named: Vec<String> = many.iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect();
                Err(Failure {
                    what: format!("to which port of {}? it has {}", self.asked.typed.1, named.join(", ")),
                    hints: vec![format!("kube-ipt trace {} {}:{}", self.asked.typed.0, Host(ip), named[0])],
                })
            }
        }
    }

    /// The cluster IP of the only service port that was named.
    fn service(
        &self,
        wanted: Option<Family>,
        port: Option<u16>,
        protocol: Option<Protocol>,
    ) -> Result<Target, Failure> {
        let mut found: Vec<Target> = Vec::new();
        let mut hints: Vec<String> = Vec::new();
        for service in &self.scene.services {
            for frontend in service.frontends.iter().filter(|f| f.kind == FrontendKind::ClusterIp) {
                let (Some(address), Some(number), Some(its)) = (frontend.address, frontend.port, service.protocol)
                else {
                    continue;
                };
                let fits = wanted.is_none_or(|family| family == service.family)
                    && port.is_none_or(|wanted| wanted == number)
                    && protocol.is_none_or(|wanted| wanted == its);
                // The same port in another family, or an address that is captured beside the right one, comes later.
                let name = service.name.as_ref().map(ToString::to_string);
                let known = |t: &Target| t.service == name && t.port == number && t.protocol == its;
                if fits && !found.iter().any(known) {
                    let bare = service
                        .name
                        .as_ref()
                        .map_or_else(|| self.asked.typed.1.to_owned(), |n| format!("{}/{}", n.namespace, n.service));
                    hints.push(format!("kube-ipt trace {} {bare}:{number}/{its}", self.asked.typed.0));
                    found.push(Target {
                        address: Some(address),
                        family: service.family,
                        port: number,
                        protocol: its,
                        service: name,
                    });
                }
            }
        }
        let typed = self.asked.typed.1;
        if found.len() > 1 {
            let named: Vec<String> = found
                .iter()
                .map(|t| format!("{} ({}/{})", t.service.as_deref().unwrap_or("?"), t.port, t.protocol))
                .collect();
            return Err(Failure { what: format!("'{typed}' is several service ports: {}", named.join(", ")), hints });
        }
        found.pop().ok_or_else(|| {
            let narrowed = port.is_some() || protocol.is_some() || wanted.is_some();
            let which = if narrowed { "of that port, protocol and family" } else { "that connections could go to" };
            Failure {
                what: format!("'{typed}' has no cluster IP {which}"),
                hints: vec![format!("kube-ipt show {}", typed.split(':').next().unwrap_or(typed))],
            }
        })
    }

    fn source(&self, target: &Target, locals: &Locals, notes: &mut Vec<String>) -> Result<Client, Unmet> {
        let family = Some(target.family);
        Ok(match self.asked.from {
            From::Address(ip, port) => {
                let (origin, source) = self.address(*ip, locals, notes);
                (origin, source, *port)
            }
            From::SomePod => (Origin::Pod, Source::SomePod, None),
            From::External => (Origin::External, Source::Outside, None),
            From::Localhost => (Origin::Node, Source::Exactly(loopback(target.family)), None),
            From::Here => (Origin::Node, self.own(target, locals), None),
            From::Node(name) => match self.node(name, target, locals) {
                Some((origin, source)) => (origin, source, None),
                None => return Err(Unmet::missing(self.unknown("Node", name))),
            },
            From::Name(name) if self.facts.nodes.iter().any(|node| node.name == *name) => {
                match self.node(name, target, locals) {
                    Some((origin, source)) => (origin, source, None),
                    None => return Err(Unmet::missing(format!("Node '{name}' has no {} address", target.family))),
                }
            }
            From::Name(name) => match self.pod_address(self.asked.namespace, name, family)? {
                Some(ip) => {
                    let (origin, source) = self.address(ip, locals, notes);
                    (origin, source, None)
                }
                None => return Err(Unmet::missing(self.unknown("pod or Node", name))),
            },
            From::Pod(namespace, name) => {
                let namespace = namespace.as_deref().or(self.asked.namespace);
                match self.pod_address(namespace, name, family)? {
                    Some(ip) => {
                        let (origin, source) = self.address(ip, locals, notes);
                        (origin, source, None)
                    }
                    None => return Err(Unmet::missing(self.unknown("pod", self.asked.typed.0))),
                }
            }
        })
    }

    /// Whose an address is.
    fn address(&self, ip: IpAddr, locals: &Locals, notes: &mut Vec<String>) -> (Origin, Source) {
        let source = Source::Exactly(ip);
        let networks = self.scene.survey.pods(Family::of(ip)).networks;
        let pod = self.facts.pods.iter().find(|pod| !pod.ended && !pod.host_network && pod.addresses.contains(&ip));
        match locals.contain(ip) {
            Truth::Yes => return (Origin::Node, source),
            _ if pod.is_some() || networks.iter().any(|network| network.contains(ip)) => {
                notes.extend(self.on_another_node(pod));
                return (Origin::Pod, source);
            }
            Truth::Unknown => notes.push(format!(
                "{ip} is taken to be another host's: whether it is an address of this node is not known; --node-ip tells"
            )),
            Truth::No => {}
        }
        (Origin::External, source)
    }

    fn on_another_node(&self, pod: Option<&Pod>) -> Option<String> {
        let there = pod?.node.as_deref()?;
        let here = self.own_name.filter(|here| *here != there)?;
        Some(format!(
            "{} runs on {there}, whose rules decide about its connections; these are those of {here}",
            pod?.pod.as_str()
        ))
    }

    /// The address the node itself uses towards `target`.
    fn own(&self, target: &Target, locals: &Locals) -> Source {
        if let Some(ip) = target.address.filter(|ip| locals.contain(*ip) == Truth::Yes) {
            return Source::Exactly(ip);
        }
        #[cfg(feature = "live")]
        if let Some(source) = target.address.filter(|_| self.scene.bundle.is_live()).and_then(Machine::source_towards) {
            return Source::Exactly(source);
        }
        let pods = self.scene.survey.pods(target.family).networks;
        let own: Vec<IpAddr> =
            locals.of(target.family).filter(|ip| !pods.iter().any(|net| net.contains(*ip))).collect();
        match own.as_slice() {
            [] => Source::SomeLocal,
            [only] => Source::Exactly(*only),
            _ => Source::OneOf(own),
        }
    }

    fn node(&self, name: &str, target: &Target, locals: &Locals) -> Option<(Origin, Source)> {
        if self.own_name == Some(name) {
            return Some((Origin::Node, self.own(target, locals)));
        }
        let ip = self.node_address(name, Some(target.family))?;
        Some((Origin::External, Source::Exactly(ip)))
    }

    fn node_address(&self, name: &str, family: Option<Family>) -> Option<IpAddr> {
        let node = self.facts.nodes.iter().find(|node| node.name == name)?;
        node.addresses.iter().copied().find(|ip| family.is_none_or(|family| Family::of(*ip) == family))
    }

    /// The address of a Pod; an error if several are called so.
    fn pod_address(
        &self,
        namespace: Option<&str>,
        name: &str,
        family: Option<Family>,
    ) -> Result<Option<IpAddr>, Failure> {
        let all = join::addresses_of_pod(self.facts, namespace, name);
        let of_family: Vec<IpAddr> =
            all.iter().copied().filter(|ip| family.is_none_or(|family| Family::of(*ip) == family)).collect();
        let family = of_family.first().map(|ip| Family::of(*ip));
        match of_family.iter().filter(|ip| Some(Family::of(**ip)) == family).count() {
            0 | 1 => Ok(of_family.first().copied()),
            many => Err(Failure {
                what: format!("{many} addresses belong to pods called '{name}'"),
                hints: vec!["give the pod with its namespace: pod/NAMESPACE/NAME".to_owned()],
            }),
        }
    }

    fn unknown(&self, what: &str, name: &str) -> String {
        if self.scene.cluster.is_none() {
            return format!(
                "'{name}' cannot be found without the cluster's objects: give an address, or --objects FILE"
            );
        }
        format!("no {what} is called '{name}' in {}", self.scene.objects.from)
    }
}

fn loopback(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
        Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
    }
}

/// TCP, unless the service ports are all of one other protocol.
fn sole_protocol(services: &[&ServicePort]) -> Protocol {
    let protocols: HashSet<Protocol> = services.iter().filter_map(|service| service.protocol).collect();
    let mut protocols = protocols.into_iter();
    match (protocols.next(), protocols.next()) {
        (Some(only), None) => only,
        _ => Protocol::Tcp,
    }
}

fn name_of(services: &[&ServicePort], protocol: Protocol) -> Option<String> {
    let of_protocol = services.iter().find(|service| service.protocol.is_none_or(|its| its == protocol));
    of_protocol.and_then(|service| service.name.as_ref()).map(ToString::to_string)
}
