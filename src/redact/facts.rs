//! Facts with pseudonyms.

use super::Redactor;
use super::names::Kind;
use crate::cluster::{
    Coverage, Endpoint, Facts, Hints, Ingress, Node, Pod, PodRef, Port, ProxyConfig, Scope, Service, Slice, SlicePort,
};
use crate::dataplane::Mode;
use crate::order::Order as _;

/// The names in facts.
pub(super) fn names(facts: &Facts) -> impl Iterator<Item = (Kind, &str)> {
    let services = facts.services.iter().flat_map(|service| {
        let own = [(Kind::Namespace, service.namespace.as_str()), (Kind::Service, service.name.as_str())];
        let ports = service.ports.iter().filter_map(|port| Some((Kind::Port, port.name.as_deref()?)));
        let others = service.external_name.iter().chain(&service.proxy_name).map(|name| (Kind::Other, name.as_str()));
        own.into_iter().chain(ports).chain(others)
    });
    let slices = facts.slices.iter().flat_map(|slice| {
        let own = [(Kind::Namespace, slice.namespace.as_str()), (Kind::Service, slice.service.as_str())];
        let ports = slice.ports.iter().filter_map(|port| Some((Kind::Port, port.name.as_deref()?)));
        let name = (!slice.mirrored).then_some((Kind::Slice, slice.name.as_str()));
        own.into_iter().chain(ports).chain(name).chain(slice.endpoints.iter().flat_map(of_endpoint))
    });
    let pods =
        facts.pods.iter().flat_map(|pod| of_pod(&pod.pod).chain(pod.node.as_deref().into_iter().flat_map(host_names)));
    let nodes = facts.nodes.iter().flat_map(|node| {
        let hosts = node.names.iter().chain([&node.name]).flat_map(|name| host_names(name));
        hosts.chain(node.zone.as_deref().map(|zone| (Kind::Zone, zone)))
    });
    services.chain(slices).chain(pods).chain(nodes).chain(of_coverage(&facts.coverage))
}

fn of_endpoint(endpoint: &Endpoint) -> impl Iterator<Item = (Kind, &str)> {
    let hinted = endpoint.for_nodes().iter().map(String::as_str);
    let nodes = endpoint.node.as_deref().into_iter().chain(hinted).flat_map(host_names);
    let zones = endpoint.for_zones().iter().map(|zone| (Kind::Zone, zone.as_str()));
    nodes.chain(zones).chain(endpoint.pod.iter().flat_map(of_pod))
}

fn of_pod(pod: &PodRef) -> impl Iterator<Item = (Kind, &str)> {
    [(Kind::Namespace, pod.namespace()), (Kind::Pod, pod.name())].into_iter()
}

fn of_coverage(coverage: &Coverage) -> impl Iterator<Item = (Kind, &str)> {
    let scopes = [&coverage.services, &coverage.endpoints].into_iter().flat_map(|scope| {
        let (namespaces, services): (&[_], &[_]) = match scope {
            Scope::Some { namespaces, services } => (namespaces, services),
            Scope::Unknown | Scope::All => (&[], &[]),
        };
        let of_services = services.iter().flat_map(|(namespace, name)| {
            namespace.iter().map(|n| (Kind::Namespace, n.as_str())).chain([(Kind::Service, name.as_str())])
        });
        namespaces.iter().map(|n| (Kind::Namespace, n.as_str())).chain(of_services)
    });
    let truncated = coverage.truncated.iter().chain(&coverage.left_out);
    scopes.chain(truncated.flat_map(|(ns, name)| [(Kind::Namespace, ns.as_str()), (Kind::Service, name.as_str())]))
}

/// The parts of the name of a host.
pub(super) fn host_names(name: &str) -> impl Iterator<Item = (Kind, &str)> {
    let (host, domain) = name.split_once('.').map_or((name, None), |(host, domain)| (host, Some(domain)));
    std::iter::once((Kind::Node, host)).chain(domain.map(|domain| (Kind::Domain, domain)))
}

impl Redactor {
    /// The facts with pseudonyms, in the order of these. Names that were not [learnt](Self::learn) have no numbers.
    pub fn facts(&self, facts: &Facts) -> Facts {
        let mut new = Facts {
            services: facts.services.iter().map(|service| self.service_facts(service)).collect(),
            slices: facts.slices.iter().map(|slice| self.slice(slice)).collect(),
            pods: facts.pods.iter().map(|pod| self.pod_facts(pod)).collect(),
            nodes: facts.nodes.iter().map(|node| self.node(node)).collect(),
            proxy: facts.proxy.as_ref().map(|config| self.proxy(config)),
            coverage: self.coverage(&facts.coverage),
            left_out: Vec::new(),
        };
        new.services.order_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        new.slices.order_by(|a, b| (&a.namespace, &a.service, &a.name).cmp(&(&b.namespace, &b.service, &b.name)));
        new.pods.order_by(|a, b| a.pod.cmp(&b.pod));
        new.nodes.order_by(|a, b| a.name.cmp(&b.name));
        new
    }

    fn service_facts(&self, service: &Service) -> Service {
        let port = |port: &Port| Port { name: self.port(port.name.as_deref()), ..port.clone() };
        let ingress = |ingress: &Ingress| Ingress { address: self.address(ingress.address), ..*ingress };
        let external = |name: &String| match name.parse() {
            Ok(ip) => self.address(ip).to_string(),
            Err(_) => self.name(Kind::Other, name),
        };
        Service {
            namespace: self.name(Kind::Namespace, &service.namespace),
            name: self.name(Kind::Service, &service.name),
            cluster_ips: service.cluster_ips.iter().map(|ip| self.address(*ip)).collect(),
            external_ips: service.external_ips.iter().map(|ip| self.address(*ip)).collect(),
            ingress: service.ingress.iter().map(ingress).collect(),
            source_ranges: service.source_ranges.iter().map(|network| self.network(network)).collect(),
            ports: service.ports.iter().map(port).collect(),
            proxy_name: service.proxy_name.as_ref().map(|name| self.name(Kind::Other, name)),
            external_name: service.external_name.as_ref().map(external),
            families: service.families.clone(),
            ..*service
        }
    }

    fn port(&self, name: Option<&str>) -> Option<String> {
        name.map(|name| self.name(Kind::Port, name))
    }

    fn slice(&self, slice: &Slice) -> Slice {
        let kind = if slice.mirrored { Kind::Service } else { Kind::Slice };
        let port = |port: &SlicePort| SlicePort { name: self.port(port.name.as_deref()), ..port.clone() };
        Slice {
            namespace: self.name(Kind::Namespace, &slice.namespace),
            name: self.name(kind, &slice.name),
            service: self.name(Kind::Service, &slice.service),
            ports: slice.ports.iter().map(port).collect(),
            endpoints: slice.endpoints.iter().map(|endpoint| self.endpoint(endpoint)).collect(),
            ..*slice
        }
    }

    fn endpoint(&self, endpoint: &Endpoint) -> Endpoint {
        let hints = |hints: &Hints| Hints {
            nodes: hints.nodes.iter().map(|name| self.host(name)).collect(),
            zones: hints.zones.iter().map(|zone| self.name(Kind::Zone, zone)).collect(),
        };
        Endpoint {
            address: self.address(endpoint.address),
            node: endpoint.node.as_deref().map(|node| self.host(node).into()),
            pod: endpoint.pod.as_ref().map(|pod| self.pod(pod)),
            hints: endpoint.hints.as_deref().map(|all| Box::new(hints(all))),
            ..*endpoint
        }
    }

    fn pod_facts(&self, pod: &Pod) -> Pod {
        Pod {
            pod: self.pod(&pod.pod),
            node: pod.node.as_deref().map(|node| self.host(node).into()),
            addresses: pod.addresses.iter().map(|ip| self.address(*ip)).collect(),
            ..*pod
        }
    }

    fn node(&self, node: &Node) -> Node {
        Node {
            name: self.host(&node.name),
            zone: node.zone.as_ref().map(|zone| self.name(Kind::Zone, zone)),
            addresses: node.addresses.iter().map(|ip| self.address(*ip)).collect(),
            names: node.names.iter().map(|name| self.host(name)).collect(),
        }
    }

    fn proxy(&self, config: &ProxyConfig) -> ProxyConfig {
        let known = Mode::parse(&config.mode).is_some();
        let mode = if known { config.mode.clone() } else { self.name(Kind::Other, &config.mode) };
        ProxyConfig { mode, ..*config }
    }

    /// What is covered, in pseudonyms.
    pub fn coverage(&self, coverage: &Coverage) -> Coverage {
        let key = |(namespace, name): &(String, String)| {
            (self.name(Kind::Namespace, namespace), self.name(Kind::Service, name))
        };
        let truncated = coverage.truncated.iter().map(key).collect();
        let left_out = coverage.left_out.iter().map(key).collect();
        let (services, endpoints) = (self.scope(&coverage.services), self.scope(&coverage.endpoints));
        Coverage { services, endpoints, truncated, left_out, ..*coverage }
    }

    fn scope(&self, scope: &Scope) -> Scope {
        let Scope::Some { namespaces, services } = scope else { return scope.clone() };
        let key = |(namespace, name): &(Option<String>, String)| {
            (namespace.as_ref().map(|name| self.name(Kind::Namespace, name)), self.name(Kind::Service, name))
        };
        let mut new = Scope::services(services.iter().map(key).collect());
        if let Scope::Some { namespaces: known, .. } = &mut new {
            known.extend(namespaces.iter().map(|name| self.name(Kind::Namespace, name)));
        }
        new
    }
}
