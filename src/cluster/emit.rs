//! Facts as Kubernetes objects: the inverse of reading them.
//!
//! Nothing but what this program reads is written, so that no Secret, environment or managed field can get into the text.
//! Where facts are less than the object was (which of two annotations asks for hints, whether a Pod failed or succeeded),
//! the object written is another that gives the same facts.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use serde::Serialize;

use super::facts::{Endpoint, Facts, Node, NodePorts, Pod, PodRef, Port, ProxyConfig, Service, Slice, SlicePort};
use super::objects::{self, Meta};
use super::{Scope, convert};
use crate::dataplane::Policy;
use crate::net::{Family, Protocol};

/// Namespace and name of a Service.
type Key<'f> = (&'f str, &'f str);

/// The objects as JSON, one to a line.
///
/// [`Saved`](super::Saved) reads the same facts from it, but for what they cover: lists tell that only where
/// [`into_facts`](super::Saved::into_facts) can see it. What is covered has to be kept beside the text and given to
/// [`into_facts_of`](super::Saved::into_facts_of).
pub fn emit(facts: &Facts) -> String {
    let mut out = Lines::default();
    let services = facts.services.iter().map(|service| line("v1", "Service", &self::service(service))).collect();
    let (mirrored, own): (Vec<&Slice>, Vec<&Slice>) = facts.slices.iter().partition(|slice| slice.mirrored);
    let slices = own.into_iter().map(|slice| line("discovery.k8s.io/v1", "EndpointSlice", &self::slice(slice)));
    let slices = slices.chain(all_endpoints(facts, &mirrored).iter().map(|e| line("v1", "Endpoints", e))).collect();
    let mut others: Vec<String> = facts.pods.iter().map(|pod| line("v1", "Pod", &self::pod(pod))).collect();
    others.extend(facts.nodes.iter().map(|node| line("v1", "Node", &self::node(node))));
    others.extend(facts.proxy.as_ref().map(|config| line("v1", "ConfigMap", &proxy(config))));
    // A list with everything in it proves that nothing is missing; single objects prove nothing.
    let coverage = &facts.coverage;
    match (coverage.services == Scope::All, coverage.endpoints == Scope::All) {
        (true, true) => out.list([services, slices, others].concat()),
        (true, false) => {
            out.list([services, others].concat());
            out.objects(slices);
        }
        (false, of_endpoints) => {
            out.objects(services);
            if of_endpoints { out.list([slices, others].concat()) } else { out.objects([slices, others].concat()) }
        }
    }
    out.text
}

#[derive(Debug, Default)]
struct Lines {
    text: String,
}

impl Lines {
    fn list(&mut self, items: Vec<String>) {
        self.text.push_str("{\"apiVersion\":\"v1\",\"kind\":\"List\",\"items\":[\n");
        let last = items.len().saturating_sub(1);
        for (at, item) in items.into_iter().enumerate() {
            self.text.push_str(&item);
            self.text.push_str(if at == last { "\n" } else { ",\n" });
        }
        self.text.push_str("]}\n");
    }

    fn objects(&mut self, items: Vec<String>) {
        for item in items {
            self.text.push_str(&item);
            self.text.push('\n');
        }
    }
}

/// An object with what it is.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Typed<'o, T> {
    api_version: &'static str,
    kind: &'static str,
    #[serde(flatten)]
    object: &'o T,
}

fn line<T: Serialize>(api_version: &'static str, kind: &'static str, object: &T) -> String {
    // Every key is a string and every value is a plain one, which is all that serde_json asks for.
    serde_json::to_string(&Typed { api_version, kind, object }).unwrap_or_default()
}

fn meta(namespace: Option<&str>, name: &str) -> Meta {
    Meta { namespace: namespace.map(str::to_owned), name: Some(name.to_owned()), labels: None, annotations: None }
}

/// Labels or annotations; `None` without any.
fn marks<const N: usize>(all: [Option<(&str, String)>; N]) -> Option<BTreeMap<String, String>> {
    let marks: BTreeMap<_, _> = all.into_iter().flatten().map(|(name, value)| (name.to_owned(), value)).collect();
    (!marks.is_empty()).then_some(marks)
}

fn some<T>(items: Vec<T>) -> Option<Vec<T>> {
    (!items.is_empty()).then_some(items)
}

fn service(service: &Service) -> objects::Service {
    let without_address = service.headless && service.cluster_ips.is_empty();
    let labelled = service.headless && !without_address;
    let labels = marks([
        service.proxy_name.clone().map(|name| (convert::PROXY_NAME, name)),
        labelled.then(|| (convert::HEADLESS, String::new())),
    ]);
    let own = if without_address { vec!["None".to_owned()] } else { texts(&service.cluster_ips) };
    let families = service.families.iter().map(|family| family_text(*family).to_owned()).collect();
    let spec = core::ServiceSpec {
        type_: Some(service.service_type.as_str().to_owned()),
        cluster_ips: some(own),
        ip_families: some(families),
        external_ips: some(texts(&service.external_ips)),
        load_balancer_source_ranges: some(service.source_ranges.iter().map(ToString::to_string).collect()),
        ports: some(service.ports.iter().map(port).collect()),
        internal_traffic_policy: policy(service.internal_policy),
        external_traffic_policy: policy(service.external_policy),
        session_affinity: service.affinity_seconds.map(|_| "ClientIP".to_owned()),
        session_affinity_config: service.affinity_seconds.map(affinity),
        traffic_distribution: service.hinted.then(|| "PreferClose".to_owned()),
        external_name: service.external_name.clone(),
        ..core::ServiceSpec::default()
    };
    let ingress = service.ingress.iter().map(|ingress| core::LoadBalancerIngress {
        ip: Some(ingress.address.to_string()),
        ip_mode: ingress.proxied.then(|| "Proxy".to_owned()),
        ..core::LoadBalancerIngress::default()
    });
    let status = some(ingress.collect()).map(|ingress| core::ServiceStatus {
        load_balancer: Some(core::LoadBalancerStatus { ingress: Some(ingress) }),
        ..core::ServiceStatus::default()
    });
    let metadata = Meta { labels, ..meta(Some(&service.namespace), &service.name) };
    objects::Service { metadata, spec: Some(spec), status }
}

fn port(port: &Port) -> core::ServicePort {
    core::ServicePort {
        name: port.name.clone(),
        protocol: Some(protocol(port.protocol)),
        port: port.port.into(),
        node_port: port.node_port.map(Into::into),
        ..core::ServicePort::default()
    }
}

fn affinity(seconds: u32) -> core::SessionAffinityConfig {
    let timeout_seconds = Some(i32::try_from(seconds).unwrap_or(i32::MAX));
    core::SessionAffinityConfig { client_ip: Some(core::ClientIPConfig { timeout_seconds }) }
}

fn slice(slice: &Slice) -> objects::EndpointSlice {
    let labels = marks([Some((convert::SERVICE_NAME, slice.service.clone()))]);
    let annotations = marks([slice.changed.map(|time| (convert::CHANGED, time.to_api()))]);
    let port = |port: &SlicePort| discovery::EndpointPort {
        name: port.name.clone(),
        protocol: Some(protocol(port.protocol)),
        port: Some(port.port.into()),
        ..discovery::EndpointPort::default()
    };
    objects::EndpointSlice {
        metadata: Meta { labels, annotations, ..meta(Some(&slice.namespace), &slice.name) },
        address_type: family_text(slice.family).to_owned(),
        endpoints: Some(slice.endpoints.iter().map(endpoint).collect()),
        ports: some(slice.ports.iter().map(port).collect()),
    }
}

fn endpoint(endpoint: &Endpoint) -> discovery::Endpoint {
    let hints = endpoint.hints.as_ref().map(|hints| discovery::EndpointHints {
        for_nodes: some(hints.nodes.iter().map(|name| discovery::ForNode { name: name.clone() }).collect()),
        for_zones: some(hints.zones.iter().map(|name| discovery::ForZone { name: name.clone() }).collect()),
    });
    discovery::Endpoint {
        addresses: vec![endpoint.address.to_string()],
        conditions: Some(discovery::EndpointConditions {
            ready: Some(endpoint.ready),
            serving: (endpoint.serving != endpoint.ready).then_some(endpoint.serving),
            terminating: endpoint.terminating.then_some(true),
        }),
        node_name: endpoint.node.as_deref().map(str::to_owned),
        target_ref: endpoint.pod.as_ref().map(target),
        hints,
        ..discovery::Endpoint::default()
    }
}

fn target(pod: &PodRef) -> core::ObjectReference {
    core::ObjectReference {
        kind: Some("Pod".to_owned()),
        namespace: Some(pod.namespace().to_owned()),
        name: Some(pod.name().to_owned()),
        ..core::ObjectReference::default()
    }
}

/// core/v1 Endpoints: those that are known to be cut short, and those that slices were made of.
fn all_endpoints(facts: &Facts, mirrored: &[&Slice]) -> Vec<objects::Endpoints> {
    let mut by_service: BTreeMap<Key<'_>, Vec<&Slice>> = BTreeMap::new();
    for slice in mirrored {
        by_service.entry((&slice.namespace, &slice.service)).or_default().push(slice);
    }
    let mut all = Vec::new();
    // Those that are cut short first.
    for (namespace, name) in &facts.coverage.truncated {
        let slices = by_service.get(&(namespace.as_str(), name.as_str()));
        all.push(endpoints((namespace, name), slices.map_or(&[], Vec::as_slice), true));
    }
    for (namespace, name) in &facts.coverage.truncated {
        by_service.remove(&(namespace.as_str(), name.as_str()));
    }
    all.extend(by_service.into_iter().map(|(key, slices)| endpoints(key, &slices, false)));
    all
}

fn endpoints((namespace, name): Key<'_>, slices: &[&Slice], truncated: bool) -> objects::Endpoints {
    let annotations = marks([truncated.then(|| (convert::OVER_CAPACITY, "truncated".to_owned()))]);
    let metadata = Meta { annotations, ..meta(Some(namespace), name) };
    objects::Endpoints { metadata, subsets: some(slices.iter().map(|slice| subset(slice)).collect()) }
}

fn subset(slice: &Slice) -> core::EndpointSubset {
    let of = |ready: bool| {
        let endpoints = slice.endpoints.iter().filter(|endpoint| endpoint.ready == ready);
        some(endpoints.map(old_endpoint).collect())
    };
    let port = |port: &SlicePort| core::EndpointPort {
        name: port.name.clone(),
        protocol: Some(protocol(port.protocol)),
        port: port.port.into(),
        ..core::EndpointPort::default()
    };
    core::EndpointSubset {
        addresses: of(true),
        not_ready_addresses: of(false),
        ports: some(slice.ports.iter().map(port).collect()),
    }
}

fn old_endpoint(endpoint: &Endpoint) -> core::EndpointAddress {
    core::EndpointAddress {
        ip: endpoint.address.to_string(),
        node_name: endpoint.node.as_deref().map(str::to_owned),
        target_ref: endpoint.pod.as_ref().map(target),
        ..core::EndpointAddress::default()
    }
}

fn pod(pod: &Pod) -> objects::Pod {
    let ips = pod.addresses.iter().map(|ip| core::PodIP { ip: ip.to_string() }).collect();
    objects::Pod {
        metadata: meta(Some(pod.pod.namespace()), pod.pod.name()),
        spec: Some(objects::PodSpec {
            node_name: pod.node.as_deref().map(str::to_owned),
            host_network: pod.host_network.then_some(true),
        }),
        status: Some(objects::PodStatus {
            phase: pod.ended.then(|| "Succeeded".to_owned()),
            pod_ip: None,
            pod_ips: some(ips),
        }),
    }
}

fn node(node: &Node) -> objects::Node {
    let address = |kind: &str, address: String| core::NodeAddress { address, type_: kind.to_owned() };
    let ips = node.addresses.iter().map(|ip| address("InternalIP", ip.to_string()));
    let names = node.names.iter().map(|name| address("Hostname", name.clone()));
    let labels = marks([node.zone.clone().map(|zone| (convert::ZONE, zone))]);
    objects::Node {
        metadata: Meta { labels, ..meta(None, &node.name) },
        status: Some(objects::NodeStatus { addresses: some(ips.chain(names).collect()) }),
    }
}

fn proxy(config: &ProxyConfig) -> objects::ConfigMap {
    // A string of JSON is one of YAML.
    let mode = serde_json::Value::from(config.mode.as_str());
    let addresses = match config.node_ports {
        NodePorts::All => "",
        NodePorts::Chosen => "nodePortAddresses: [primary]\n",
        NodePorts::Loopback => "nodePortAddresses: [127.0.0.0/8]\n",
    };
    let head = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\n";
    let text = format!("{head}mode: {mode}\n{addresses}");
    objects::ConfigMap { metadata: meta(Some("kube-system"), "kube-proxy"), data: marks([Some(("config.conf", text))]) }
}

fn texts(addresses: &[IpAddr]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

fn protocol(protocol: Protocol) -> String {
    protocol.to_string().to_uppercase()
}

/// `None` for the policy that is meant where none is given.
fn policy(policy: Policy) -> Option<String> {
    (policy == Policy::Local).then(|| "Local".to_owned())
}

fn family_text(family: Family) -> &'static str {
    match family {
        Family::Ipv4 => "IPv4",
        Family::Ipv6 => "IPv6",
    }
}
