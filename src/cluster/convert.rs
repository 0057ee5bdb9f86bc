//! From the API's objects to facts. What an API server would never send (an address that is none, a port out of range)
//! is refused with the field's name. What it would send but nobody means is left out.

use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;

use super::facts::{Endpoint, Hints, Ingress, Node, Pod, PodRef, Port, Service, ServiceType, Slice, SlicePort};
use super::objects;
use crate::dataplane::Policy;
use crate::net::{Family, Moment, Network, Protocol};

/// Another proxy than kube-proxy serves the Service (`LabelServiceProxyName`, pkg/proxy/apis/well_known_labels.go).
pub(super) const PROXY_NAME: &str = "service.kubernetes.io/service-proxy-name";

/// kube-proxy leaves the Service out (`IsHeadlessService`, k8s.io/api/core/v1/annotation_key_constants.go).
pub(super) const HEADLESS: &str = "service.kubernetes.io/headless";

/// Ask for topology hints, today and before 1.27.
const HINTED: [&str; 2] = ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"];

/// Names the Service a slice belongs to.
pub(super) const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Says that Endpoints are not all of a Service's endpoints (`EndpointsOverCapacity`, k8s.io/api/core/v1).
pub(super) const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";

/// When a change of the Service or a Pod last made the slice change (`EndpointsLastChangeTriggerTime`, k8s.io/api/core/v1).
pub(super) const CHANGED: &str = "endpoints.kubernetes.io/last-change-trigger-time";

/// The only label kube-proxy takes a zone from (pkg/proxy/topology.go).
pub(super) const ZONE: &str = "topology.kubernetes.io/zone";

/// `sessionAffinityConfig.clientIP.timeoutSeconds` where it is absent (pkg/apis/core/v1/defaults.go).
const DEFAULT_AFFINITY: i32 = 10_800;

/// Pairs of a port and an address that one object may stand for: each costs memory, and a text of ports and addresses stands
/// for the square of what it is long. The API documents at most 100 ports of 1000 endpoints for a slice (discovery/v1
/// types.go); its validation lets more ports pass, which no Service needs.
const MOST_PAIRS: usize = 100_000;

/// Ports of one object that may share name and protocol. The API lets none, and each of a Service gets the endpoints of each of a
/// slice.
const MOST_ALIKE: usize = 4;

/// What a field holds that it cannot hold.
type Bad = String;

/// Why an object does not become facts.
#[derive(Debug)]
pub(super) enum Unfit {
    /// No API server sends such an object.
    Bad(Bad),
    /// One does, but it stands for more than is meant.
    TooMuch(TooMuch),
}

/// An object that stands for more ports and addresses than are read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TooMuch {
    /// Its name, in the namespace of the Service.
    pub(super) name: String,
    /// Namespace and name of the Service that it says something of.
    pub(super) service: (String, String),
    /// What is too much, beginning with its field.
    pub(super) what: String,
}

impl From<Bad> for Unfit {
    fn from(bad: Bad) -> Self {
        Self::Bad(bad)
    }
}

impl Unfit {
    fn too_much(namespace: &str, name: &str, service: &str, what: String) -> Self {
        Self::TooMuch(TooMuch { name: name.to_owned(), service: (namespace.to_owned(), service.to_owned()), what })
    }
}

/// The same without repetitions.
fn once<T: Copy + Eq + Hash>(mut all: Vec<T>) -> Vec<T> {
    let mut seen = HashSet::with_capacity(all.len());
    all.retain(|one| seen.insert(*one));
    all
}

/// A Service.
pub(super) fn service(object: objects::Service) -> Result<Service, Unfit> {
    let (namespace, name) = object.metadata.names();
    let labels = object.metadata.labels.unwrap_or_default();
    let asks = object.metadata.annotations.is_some_and(|all| HINTED.iter().any(|name| all.contains_key(*name)));
    let spec = object.spec.unwrap_or_default();
    let service_type = match spec.type_.as_deref() {
        Some("NodePort") => ServiceType::NodePort,
        Some("LoadBalancer") => ServiceType::LoadBalancer,
        Some("ExternalName") => ServiceType::ExternalName,
        _ => ServiceType::ClusterIp,
    };
    // Before 1.20 there was clusterIP only.
    let own = spec.cluster_ips.filter(|ips| !ips.is_empty()).or_else(|| spec.cluster_ip.map(|ip| vec![ip]));
    let own: Vec<String> = own.unwrap_or_default().into_iter().filter(|ip| !ip.is_empty()).collect();
    let headless = own.iter().any(|ip| ip == "None") || labels.contains_key(HEADLESS);
    let has_address = service_type != ServiceType::ExternalName && !own.iter().any(|ip| ip == "None");
    let cluster_ips = if has_address { addresses("spec.clusterIPs", &own)? } else { Vec::new() };
    let status = object.status.and_then(|s| s.load_balancer).and_then(|l| l.ingress).unwrap_or_default();
    let sticky = spec.session_affinity.as_deref() == Some("ClientIP");
    let seconds = spec.session_affinity_config.and_then(|c| c.client_ip).and_then(|c| c.timeout_seconds);
    let service = Service {
        namespace,
        name,
        service_type,
        cluster_ips,
        headless,
        families: spec.ip_families.unwrap_or_default().iter().filter_map(|f| family(f)).collect(),
        external_ips: once(addresses("spec.externalIPs", &spec.external_ips.unwrap_or_default())?),
        ingress: once(status.into_iter().filter_map(ingress).collect::<Result<_, _>>()?),
        source_ranges: networks(&spec.load_balancer_source_ranges.unwrap_or_default())?,
        ports: spec.ports.unwrap_or_default().into_iter().map(port).collect::<Result<_, _>>()?,
        internal_policy: policy(spec.internal_traffic_policy.as_deref()),
        external_policy: policy(spec.external_traffic_policy.as_deref()),
        affinity_seconds: sticky.then(|| u32::try_from(seconds.unwrap_or(DEFAULT_AFFINITY)).unwrap_or_default()),
        hinted: asks || spec.traffic_distribution.is_some(),
        proxy_name: labels.get(PROXY_NAME).cloned(),
        external_name: spec.external_name,
    };
    let distinct = distinct("spec.ports", service.ports.iter().map(|port| (&port.name, port.protocol)));
    let ranges = service.copied_ranges();
    let each = service.addresses().count().saturating_add(ranges);
    let ports = service.ports.len();
    let with_ranges = if ranges > 0 { " with their source ranges" } else { "" };
    let bounded = bounded("spec.ports", ports.saturating_mul(each), || {
        format!("{ports} ports of {} addresses{with_ranges}", service.addresses().count())
    });
    match distinct.and(bounded) {
        Ok(()) => Ok(service),
        Err(what) => Err(Unfit::too_much(&service.namespace, &service.name, &service.name, what)),
    }
}

/// Refuses what stands for more pairs of port and address than anything that is meant.
fn bounded(field: &str, pairs: usize, what: impl FnOnce() -> String) -> Result<(), Bad> {
    let too_many = || format!("{field}: {} are {pairs} pairs, more than the {MOST_PAIRS} that are read", what());
    if pairs > MOST_PAIRS { Err(too_many()) } else { Ok(()) }
}

/// Refuses more ports of one name than [`MOST_ALIKE`].
fn distinct<'p>(field: &str, ports: impl Iterator<Item = (&'p Option<String>, Protocol)>) -> Result<(), Bad> {
    let mut seen: HashMap<_, usize> = HashMap::new();
    for port in ports {
        let alike = seen.entry(port).or_default();
        *alike += 1;
        if *alike > MOST_ALIKE {
            let called =
                port.0.as_ref().map_or_else(|| "have no name".to_owned(), |name| format!("are called '{name}'"));
            return Err(format!("{field}: more than {MOST_ALIKE} ports of {} {called}", port.1));
        }
    }
    Ok(())
}

fn ingress(ingress: core::LoadBalancerIngress) -> Option<Result<Ingress, Bad>> {
    let proxied = ingress.ip_mode.as_deref() == Some("Proxy");
    let ip = ingress.ip.filter(|ip| !ip.is_empty())?;
    Some(address("status.loadBalancer.ingress", &ip).map(|address| Ingress { address, proxied }))
}

fn port(port: core::ServicePort) -> Result<Port, Bad> {
    Ok(Port {
        name: port.name.filter(|name| !name.is_empty()),
        protocol: protocol("spec.ports", port.protocol.as_deref())?,
        port: number("spec.ports", port.port)?,
        node_port: match port.node_port {
            None | Some(0) => None,
            Some(node_port) => Some(number("spec.ports", node_port)?),
        },
    })
}

/// An EndpointSlice; `None` for one of no Service, of DNS names or of another proxy, all of which kube-proxy leaves out.
pub(super) fn slice(object: objects::EndpointSlice) -> Result<Option<Slice>, Unfit> {
    let (namespace, name) = object.metadata.names();
    let annotations = object.metadata.annotations.as_ref();
    let changed = annotations.and_then(|all| all.get(CHANGED)).and_then(|time| Moment::from_api(time));
    let mut labels = object.metadata.labels.unwrap_or_default();
    // kube-proxy's informers pass over slices by the same labels as Services (cmd/kube-proxy/app/server.go).
    if labels.contains_key(PROXY_NAME) || labels.contains_key(HEADLESS) {
        return Ok(None);
    }
    let (Some(service), Some(family)) = (labels.remove(SERVICE_NAME), family(&object.address_type)) else {
        return Ok(None);
    };
    // A port without number stands for all ports, which a Service's port cannot mean.
    let numbered = object.ports.unwrap_or_default().into_iter().filter(|port| port.port.is_some_and(|p| p != 0));
    let ports = numbered.map(|port| slice_port(port.name, port.protocol.as_deref(), port.port.unwrap_or_default()));
    let ports = ports.collect::<Result<Vec<_>, _>>()?;
    let distinct = distinct("ports", ports.iter().map(|port| (&port.name, port.protocol)));
    let all = object.endpoints.unwrap_or_default();
    let bounded = bounded("ports", ports.len().saturating_mul(all.len()), || {
        format!("{} ports of {} endpoints", ports.len(), all.len())
    });
    distinct.and(bounded).map_err(|what| Unfit::too_much(&namespace, &name, &service, what))?;
    let (mut endpoints, mut nodes) = (Vec::with_capacity(all.len()), Vec::new());
    for one in all {
        endpoints.extend(endpoint(one, &mut nodes).transpose()?);
    }
    Ok(Some(Slice { namespace, name, service, family, ports, endpoints, changed, mirrored: false }))
}

fn slice_port(name: Option<String>, transport: Option<&str>, port: i32) -> Result<SlicePort, Bad> {
    let protocol = protocol("ports", transport)?;
    Ok(SlicePort { name: name.filter(|name| !name.is_empty()), protocol, port: number("ports", port)? })
}

/// An endpoint; `None` for one without address. `nodes` are the names of Nodes seen before, which are kept once.
fn endpoint(endpoint: discovery::Endpoint, nodes: &mut Vec<Arc<str>>) -> Option<Result<Endpoint, Bad>> {
    let first = endpoint.addresses.first()?;
    let address = match address("endpoints", first) {
        Ok(address) => address,
        Err(bad) => return Some(Err(bad)),
    };
    let conditions = endpoint.conditions.unwrap_or_default();
    let ready = conditions.ready.unwrap_or(true);
    let hints = endpoint.hints.map(|hints| {
        let nodes = hints.for_nodes.unwrap_or_default().into_iter().map(|hint| hint.name).collect();
        let zones = hints.for_zones.unwrap_or_default().into_iter().map(|hint| hint.name).collect();
        Box::new(Hints { nodes, zones })
    });
    Some(Ok(Endpoint {
        address,
        ready,
        serving: conditions.serving.unwrap_or(ready),
        terminating: conditions.terminating.unwrap_or(false),
        node: endpoint.node_name.map(|name| shared(&name, nodes)),
        pod: endpoint.target_ref.as_ref().and_then(pod_ref),
        hints,
    }))
}

fn shared(name: &str, known: &mut Vec<Arc<str>>) -> Arc<str> {
    if let Some(known) = known.iter().find(|known| &***known == name) {
        return Arc::clone(known);
    }
    let name: Arc<str> = name.into();
    // A slice has a hundred endpoints; with more Nodes than this looking costs more than keeping.
    if known.len() < 32 {
        known.push(Arc::clone(&name));
    }
    name
}

fn pod_ref(target: &core::ObjectReference) -> Option<PodRef> {
    let is_pod = target.kind.as_deref() == Some("Pod");
    is_pod.then(|| PodRef::new(target.namespace.as_deref().unwrap_or_default(), target.name.as_deref().unwrap_or("?")))
}

/// True if the endpoints controller left out what is above its limit of a thousand.
pub(super) fn is_truncated(object: &objects::Endpoints) -> bool {
    let annotations = object.metadata.annotations.as_ref();
    annotations.and_then(|all| all.get(OVER_CAPACITY)).is_some_and(|what| what == "truncated")
}

/// core/v1 Endpoints as the slices a mirroring controller would make of them: one for each subset and family.
pub(super) fn endpoints(object: objects::Endpoints) -> Result<Vec<Slice>, Unfit> {
    let (namespace, name) = object.metadata.names();
    let mut slices = Vec::new();
    let subsets = object.subsets.unwrap_or_default();
    let (ports, addresses, pairs) =
        subsets.iter().fold((0_usize, 0_usize, 0_usize), |(ports, addresses, pairs), subset| {
            let own = subset.ports.as_ref().map_or(0, Vec::len);
            let ready = subset.addresses.as_ref().map_or(0, Vec::len);
            let all = ready + subset.not_ready_addresses.as_ref().map_or(0, Vec::len);
            (ports + own, addresses + all, pairs.saturating_add(own.saturating_mul(all)))
        });
    let too_much = |what| Unfit::too_much(&namespace, &name, &name, what);
    bounded("subsets", pairs, || format!("{ports} ports of {addresses} addresses")).map_err(too_much)?;
    for subset in subsets {
        let ports = subset.ports.unwrap_or_default();
        let ports = ports.into_iter().map(|port| slice_port(port.name, port.protocol.as_deref(), port.port));
        let ports = ports.collect::<Result<Vec<_>, _>>()?;
        distinct("subsets", ports.iter().map(|port| (&port.name, port.protocol))).map_err(too_much)?;
        let ready = subset.addresses.unwrap_or_default().into_iter().map(|a| old_endpoint(a, true));
        let waiting = subset.not_ready_addresses.unwrap_or_default().into_iter().map(|a| old_endpoint(a, false));
        let all = ready.chain(waiting).collect::<Result<Vec<_>, _>>()?;
        for family in [Family::Ipv4, Family::Ipv6] {
            let endpoints: Vec<_> = all.iter().filter(|e| Family::of(e.address) == family).cloned().collect();
            if !endpoints.is_empty() {
                let (namespace, service) = (namespace.clone(), name.clone());
                let (name, ports, changed, mirrored) = (name.clone(), ports.clone(), None, true);
                slices.push(Slice { namespace, name, service, family, ports, endpoints, changed, mirrored });
            }
        }
    }
    Ok(slices)
}

fn old_endpoint(endpoint: core::EndpointAddress, ready: bool) -> Result<Endpoint, Bad> {
    Ok(Endpoint {
        address: address("subsets", &endpoint.ip)?,
        ready,
        serving: ready,
        terminating: false,
        node: endpoint.node_name.map(Into::into),
        pod: endpoint.target_ref.as_ref().and_then(pod_ref),
        hints: None,
    })
}

/// A Pod.
pub(super) fn pod(object: objects::Pod) -> Result<Pod, Bad> {
    let (namespace, name) = object.metadata.names();
    let spec = object.spec.unwrap_or_default();
    let status = object.status.unwrap_or_default();
    let many = status.pod_ips.unwrap_or_default().into_iter().map(|ip| ip.ip).collect::<Vec<_>>();
    let ips = if many.is_empty() { status.pod_ip.into_iter().collect() } else { many };
    Ok(Pod {
        pod: PodRef::new(&namespace, &name),
        node: spec.node_name.map(Into::into),
        addresses: addresses("status.podIPs", &ips.into_iter().filter(|ip| !ip.is_empty()).collect::<Vec<_>>())?,
        host_network: spec.host_network.unwrap_or(false),
        ended: matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")),
    })
}

/// A Node.
pub(super) fn node(object: objects::Node) -> Node {
    let (_, name) = object.metadata.names();
    let mut labels = object.metadata.labels.unwrap_or_default();
    let all = object.status.and_then(|status| status.addresses).unwrap_or_default();
    let (mut addresses, mut names) = (Vec::new(), Vec::new());
    for address in all.into_iter().map(|a| a.address) {
        match address.parse() {
            Ok(ip) => addresses.push(ip),
            Err(_) => names.push(address),
        }
    }
    Node { name, zone: labels.remove(ZONE), addresses, names }
}

fn policy(text: Option<&str>) -> Policy {
    if text == Some("Local") { Policy::Local } else { Policy::Cluster }
}

/// `IPv4` and `IPv6`; `None` for `FQDN`.
fn family(text: &str) -> Option<Family> {
    match text {
        "IPv4" => Some(Family::Ipv4),
        "IPv6" => Some(Family::Ipv6),
        _ => None,
    }
}

fn address(field: &str, text: &str) -> Result<IpAddr, Bad> {
    let address = text.parse().ok().or_else(|| with_leading_zeros(text));
    address.ok_or_else(|| format!("{field}: '{text}' is no IP address"))
}

/// `010.1.2.3`, which old API servers accepted and Kubernetes goes on to read as decimal (`ParseIPSloppy`).
fn with_leading_zeros(text: &str) -> Option<IpAddr> {
    let octets: Vec<u8> = text.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
    <[u8; 4]>::try_from(octets).ok().map(IpAddr::from)
}

fn addresses(field: &str, texts: &[String]) -> Result<Vec<IpAddr>, Bad> {
    texts.iter().map(|text| address(field, text)).collect()
}

fn networks(texts: &[String]) -> Result<Vec<Network>, Bad> {
    let network = |text: &String| {
        Network::parse(text.trim())
            .ok_or_else(|| format!("spec.loadBalancerSourceRanges: '{text}' is no network of addresses"))
    };
    texts.iter().map(network).collect()
}

fn protocol(field: &str, text: Option<&str>) -> Result<Protocol, Bad> {
    let text = text.filter(|text| !text.is_empty()).unwrap_or("TCP");
    let known = Protocol::parse(text).filter(|protocol| protocol.is_service_protocol());
    known.ok_or_else(|| format!("{field}: '{text}' is no protocol of Services"))
}

fn number(field: &str, port: i32) -> Result<u16, Bad> {
    u16::try_from(port).map_err(|_| format!("{field}: {port} is no port"))
}
