//! From the ends of a connection as a person names them to addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::destination::Target;
use super::ends::{From, To};
use super::scene::Scene;
use super::{Failure, retyped};
use crate::cluster::{Facts, Pod};
use crate::dataplane::Origin;
use crate::join;
use crate::net::{Family, Protocol};
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
    pub(super) fn missing(what: String) -> Self {
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
        return Err(Failure { what, hints: vec![retyped(&[(asked.typed.0, Some("localhost"))])] }.into());
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
    } else if let Some(machine) = &scene.bundle.machine {
        (locals.addresses, locals.complete) = (machine.addresses.clone(), true);
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
        if !scene.rules.iptables.iter().any(untracks) {
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

pub(super) struct Around<'a, 's, 'd, 'f> {
    pub(super) asked: &'a Asked<'a>,
    pub(super) scene: &'a Scene<'s, 'd, 'f>,
    pub(super) facts: &'a Facts,
    pub(super) own_name: Option<&'a str>,
}

impl Around<'_, '_, '_, '_> {
    fn source(&self, target: &Target, locals: &Locals, notes: &mut Vec<String>) -> Result<Client, Unmet> {
        let mut port = None;
        let of_pod = |namespace: Option<&str>, name: &str, what: &str, typed: &str| {
            let ip = self.pod_address(namespace.or(self.asked.namespace), name, Some(target.family))?;
            ip.ok_or_else(|| Unmet::missing(self.unknown(what, typed)))
        };
        let (origin, source) = match self.asked.from {
            From::Address(ip, own_port) => {
                port = *own_port;
                self.address(*ip, locals, notes)
            }
            From::SomePod => (Origin::Pod, Source::SomePod),
            From::External => (Origin::External, Source::Outside),
            From::Localhost => (Origin::Node, Source::Exactly(loopback(target.family))),
            From::Here => (Origin::Node, self.own(target, locals)),
            From::Node(name) => {
                notes.extend(self.by_another_node(name, target, locals));
                self.node(name, target, locals).ok_or_else(|| Unmet::missing(self.unknown("Node", name)))?
            }
            From::Name(name) if self.facts.nodes.iter().any(|node| node.name == *name) => {
                notes.extend(self.by_another_node(name, target, locals));
                let none = || Unmet::missing(format!("Node '{name}' has no {} address", target.family));
                self.node(name, target, locals).ok_or_else(none)?
            }
            From::Name(name) => self.address(of_pod(None, name, "pod or Node", name)?, locals, notes),
            From::Pod(namespace, name) => {
                self.address(of_pod(namespace.as_deref(), name, "pod", self.asked.typed.0)?, locals, notes)
            }
        };
        Ok((origin, source, port))
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

    /// What another node sends, its own rules lead on first, unless it is meant for this node.
    fn by_another_node(&self, name: &str, target: &Target, locals: &Locals) -> Option<String> {
        let here = self.own_name.filter(|here| *here != name)?;
        let comes_here = target.address.is_none_or(|ip| locals.contain(ip) == Truth::Yes);
        (!comes_here).then(|| format!("the rules of {name} decide about its connections; these are those of {here}"))
    }

    /// The address the node itself uses towards `target`.
    fn own(&self, target: &Target, locals: &Locals) -> Source {
        if let Some(ip) = target.address.filter(|ip| locals.contain(*ip) == Truth::Yes) {
            return Source::Exactly(ip);
        }
        #[cfg(feature = "live")]
        if let Some(source) = target.address.filter(|_| self.scene.bundle.is_here()).and_then(Machine::source_towards) {
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

    pub(super) fn node_address(&self, name: &str, family: Option<Family>) -> Option<IpAddr> {
        let node = self.facts.nodes.iter().find(|node| node.name == name)?;
        node.addresses.iter().copied().find(|ip| family.is_none_or(|family| Family::of(*ip) == family))
    }

    /// The address of a Pod; an error if several are called so.
    pub(super) fn pod_address(
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

    pub(super) fn unknown(&self, what: &str, name: &str) -> String {
        if self.scene.cluster.is_none() {
            return format!(
                "'{name}' cannot be found without the cluster's objects: give an address, or --objects FILE"
            );
        }
        format!("no {what} is called '{name}' in {}", self.scene.objects.from)
    }
}

pub(super) fn loopback(family: Family) -> IpAddr {
    match family {
        Family::Ipv4 => Ipv4Addr::LOCALHOST.into(),
        Family::Ipv6 => Ipv6Addr::LOCALHOST.into(),
    }
}
