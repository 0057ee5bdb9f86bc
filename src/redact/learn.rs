//! What names there are, and what the chains in rules serve.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::chains::PROTOCOLS;
use super::names::Kind;
use super::{Language, Redactor, comment, readable, tokens};
use crate::cluster::Facts;
use crate::dataplane::ServiceName;
use crate::dump::iptables::{Dump, Hints, Match, Rule};
use crate::net::{Host, Network, Protocol, split_host_port};
use crate::order::Order as _;
use crate::proxy::chain_name::{self, ChainKind, EndpointKeys};
use crate::proxy::nftables;

/// Ports of an endpoint that no rule tells are found by trying all of them, which takes some ten milliseconds: not for more
/// chains than these.
const TRIED: usize = 200;

/// What is known of the chain of an endpoint.
#[derive(Debug, Default)]
struct EndpointChain<'t> {
    names: BTreeSet<ServiceName>,
    sockets: BTreeSet<(IpAddr, u16)>,
    /// Addresses without port.
    addresses: BTreeSet<IpAddr>,
    /// The keys of the service chains that lead to it.
    owners: BTreeSet<&'t str>,
}

impl Redactor {
    /// Learns the names and endpoints of a cluster.
    pub fn learn(&mut self, facts: &Facts) {
        self.names.learn(&self.key, super::facts::names(facts));
        for service in &facts.services {
            for port in &service.ports {
                let name = named(&service.namespace, &service.name, port.name.as_ref());
                self.learn_service_chains(&name, port.protocol);
            }
        }
        for slice in &facts.slices {
            for port in &slice.ports {
                let name = named(&slice.namespace, &slice.service, port.name.as_ref());
                self.learn_service_chains(&name, port.protocol);
                let new = self.service(&name);
                for endpoint in &slice.endpoints {
                    self.learn_endpoint_chains((&name, &new), port.protocol, (endpoint.address, port.port));
                }
            }
        }
    }

    /// Learns the names of nodes and other hosts.
    pub fn learn_hosts<'n>(&mut self, hosts: impl IntoIterator<Item = &'n str>) {
        self.names.learn(&self.key, hosts.into_iter().flat_map(super::facts::host_names));
    }

    /// Learns the names in a text, and what its chains serve.
    pub fn learn_text(&mut self, text: &str, language: Language) {
        let Ok(text) = readable(text, language) else { return };
        match language {
            Language::Iptables => self.learn_iptables(&text),
            Language::Nft => self.learn_nft(&text),
            Language::Ipvsadm | Language::Ipset | Language::Addresses | Language::ProxyMode => {}
        }
    }

    fn learn_iptables(&mut self, text: &str) {
        let dump = Dump::scan(text, Hints::default());
        let mut names = BTreeSet::new();
        let mut chains: HashMap<&str, EndpointChain<'_>> = HashMap::new();
        let mut rule = Rule::default();
        for section in &dump.sections {
            for chain in section.chains() {
                for raw in section.rules_of(chain) {
                    // What is said in a rule that cannot be read gets pseudonyms too, only not numbered ones.
                    if raw.parse_into(&mut rule).is_ok() {
                        read(chain.name, &rule, &mut names, &mut chains);
                    }
                }
            }
        }
        self.learn_names(&names);
        self.learn_endpoints(&names, &chains);
    }

    fn learn_names(&mut self, names: &BTreeSet<ServiceName>) {
        self.names.learn(&self.key, names.iter().flat_map(parts));
        for name in names {
            for protocol in PROTOCOLS {
                self.learn_service_chains(name, protocol);
            }
        }
    }

    /// Finds out what the names of endpoint chains are hashes of.
    fn learn_endpoints(&mut self, names: &BTreeSet<ServiceName>, chains: &HashMap<&str, EndpointChain<'_>>) {
        let mut owners: HashMap<String, &ServiceName> = HashMap::new();
        for name in names {
            for protocol in PROTOCOLS {
                owners.extend(chain_name::service_keys(name, protocol).map(|key| (key, name)));
            }
        }
        let ports: BTreeSet<u16> = chains.values().flat_map(|chain| &chain.sockets).map(|socket| socket.1).collect();
        let ports: Vec<u16> = ports.into_iter().collect();
        let mut unknown: Vec<_> = chains.iter().filter(|(key, _)| !self.knows_key(key)).collect();
        unknown.order_by_key(|(key, _)| **key);
        let mut tries = TRIED;
        for (key, chain) in unknown {
            let of_owners = chain.owners.iter().filter_map(|owner| owners.get(*owner).copied());
            let services: BTreeSet<&ServiceName> = chain.names.iter().chain(of_owners).collect();
            for (name, protocol) in services.iter().flat_map(|name| PROTOCOLS.map(|protocol| (*name, protocol))) {
                if let Some(socket) = chain.socket_of(key, name, protocol, &ports, &mut tries) {
                    let new = self.service(name);
                    self.learn_endpoint_chains((name, &new), protocol, socket);
                    break;
                }
            }
        }
    }

    fn learn_nft(&mut self, text: &str) {
        let mut names = BTreeSet::new();
        for line in text.lines() {
            for token in tokens::of(line, false) {
                match token.quoted {
                    Some(quoted) => names.extend(comment::names_in(quoted)),
                    None => {
                        let word = token.text.trim_end_matches([',', ';', '}']);
                        names.extend(nftables::service_of(word).map(|(name, _)| name));
                    }
                }
            }
        }
        self.learn_names(&names);
    }
}

impl EndpointChain<'_> {
    /// Notes what one of its rules tells.
    fn read(&mut self, rule: &Rule<'_>) {
        let destination = rule.target.as_ref().and_then(|target| target.option("--to-destination"));
        match destination.and_then(split_host_port) {
            Some((ip, Some(port))) => _ = self.sockets.insert((ip, port)),
            Some((ip, None)) => _ = self.addresses.insert(ip),
            None => {}
        }
        let source = rule.matches.iter().find_map(|m| match m {
            Match::Source { network, .. } => Network::parse(network)?.address(),
            _ => None,
        });
        self.addresses.extend(source);
    }

    /// The endpoint of this service port that `key` is the hash of. Where an old iptables could not print the destination,
    /// ports are tried, the `likely` ones first, for as many addresses as there are `tries` left.
    fn socket_of(
        &self,
        key: &str,
        name: &ServiceName,
        protocol: Protocol,
        likely: &[u16],
        tries: &mut usize,
    ) -> Option<(IpAddr, u16)> {
        if !self.sockets.is_empty() {
            let keys = EndpointKeys::of(name, protocol);
            let fits = |(ip, port): &&(IpAddr, u16)| keys.fits(key, &format!("{}:{port}", Host(*ip)));
            return self.sockets.iter().find(fits).copied();
        }
        self.addresses.iter().find_map(|ip| {
            *tries = tries.checked_sub(1)?;
            Some((*ip, chain_name::endpoint_port(key, name, protocol, &Host(*ip).to_string(), likely)?))
        })
    }
}

/// Notes what a rule of `chain` tells.
fn read<'t>(
    chain: &'t str,
    rule: &Rule<'t>,
    names: &mut BTreeSet<ServiceName>,
    chains: &mut HashMap<&'t str, EndpointChain<'t>>,
) {
    let comments: Vec<&str> = rule.matches.iter().filter_map(comment_of).collect();
    let services: Vec<ServiceName> = comments.iter().flat_map(|comment| comment::names_in(comment)).collect();
    for name in &services {
        if !names.contains(name) {
            names.insert(name.clone());
        }
    }
    if ChainKind::of(chain) == ChainKind::Endpoint {
        let known = chains.entry(chain_name::key(chain)).or_default();
        known.names.extend(services.iter().cloned());
        known.read(rule);
    }
    let Some(target) = rule.target.as_ref().filter(|target| ChainKind::of(target.name) == ChainKind::Endpoint) else {
        return;
    };
    let known = chains.entry(chain_name::key(target.name)).or_default();
    known.names.extend(services);
    if ChainKind::of(chain).serves() {
        known.owners.insert(chain_name::key(chain));
    }
    let said = comments.iter().filter_map(|comment| comment.rsplit_once("-> ")).map(|(_, socket)| socket.trim());
    known.sockets.extend(said.filter_map(split_host_port).filter_map(|(ip, port)| Some((ip, port?))));
}

fn comment_of<'r>(item: &'r Match<'_>) -> Option<&'r str> {
    match item {
        Match::Comment(word) => Some(&word.text),
        _ => None,
    }
}

fn named(namespace: &str, service: &str, port: Option<&String>) -> ServiceName {
    ServiceName { namespace: namespace.to_owned(), service: service.to_owned(), port: port.cloned() }
}

/// The names a service port's name is made of.
fn parts(name: &ServiceName) -> impl Iterator<Item = (Kind, &str)> {
    let port = name.port.as_deref().map(|port| (Kind::Port, port));
    [(Kind::Namespace, name.namespace.as_str()), (Kind::Service, name.service.as_str())].into_iter().chain(port)
}
