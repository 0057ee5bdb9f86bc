//! From TO as a person names it to an address, a port and a protocol.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::ends::To;
use super::meet::{Around, Unmet, loopback};
use super::{Failure, retyped};
use crate::dataplane::{Frontend, FrontendKind, Select, ServicePort};
use crate::net::{Family, Host, Protocol};
use crate::order::Order as _;
use crate::trace::Locals;

/// Where a connection goes.
pub(super) struct Target {
    /// `None` for an address of the node.
    pub(super) address: Option<IpAddr>,
    pub(super) family: Family,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) service: Option<String>,
}

impl Around<'_, '_, '_, '_> {
    /// Finds it. `missing` is what the search for TO did not find.
    pub(super) fn target(
        &self,
        wanted: Option<Family>,
        locals: &Locals,
        missing: Vec<String>,
    ) -> Result<Target, Unmet> {
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
        let four = self.scene.rules.iptables.iter().any(|ruleset| ruleset.family == Family::Ipv4);
        if only_six || !four { Family::Ipv6 } else { Family::Ipv4 }
    }

    /// The same command with another destination.
    fn again(&self, to: &str) -> String {
        retyped(&[(self.asked.typed.1, Some(to))])
    }

    /// `show` of the same rules.
    fn shown(&self, what: &str) -> String {
        shown(self.asked.typed, what)
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
        ports.order();
        ports.dedup();
        match ports.as_slice() {
            [only] => Ok(*only),
            [] => Err(Failure {
                what: format!("to which port of {}? no Service has this address", self.asked.typed.1),
                hints: vec![self.again(&format!("{}:80", Host(ip)))],
            }),
            many => {
                let named: Vec<String> = many.iter().map(|(port, protocol)| format!("{port}/{protocol}")).collect();
                Err(Failure {
                    what: format!("to which port of {}? it has {}", self.asked.typed.1, named.join(", ")),
                    hints: vec![self.again(&format!("{}:{}", Host(ip), named[0]))],
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
                    hints.push(self.again(&format!("{bare}:{number}/{its}")));
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
                hints: vec![self.shown(typed.split(':').next().unwrap_or(typed))],
            }
        })
    }
}

/// `show` of the same rules, where `trace` was asked from one to the other.
pub(super) fn shown((from, to): (&str, &str), what: &str) -> String {
    retyped(&[(to, Some(what)), (from, None), ("trace", Some("show"))])
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
