//! Kubernetes objects reduced to what decides about Service traffic.

use std::net::IpAddr;
use std::sync::Arc;

use super::Coverage;
use crate::dataplane::{FrontendKind, Policy};
use crate::net::{Family, Moment, Network, Protocol};

/// Everything known of a cluster. Each list is ordered by namespace and name and holds an object once.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Facts {
    /// Services.
    pub services: Vec<Service>,
    /// EndpointSlices, and core/v1 Endpoints of Services that have none.
    pub slices: Vec<Slice>,
    /// Pods.
    pub pods: Vec<Pod>,
    /// Nodes.
    pub nodes: Vec<Node>,
    /// kube-proxy's configuration.
    pub proxy: Option<ProxyConfig>,
    /// What the lists being silent about an object means.
    pub coverage: Coverage,
    /// What is to be said of objects that were left out, one line each.
    pub left_out: Vec<String>,
}

impl Facts {
    /// True if every Pod that a slice names is there, and some are: the Pods were not picked by node, label or namespace.
    pub(super) fn has_every_pod_named(&self) -> bool {
        let mut named = self.slices.iter().flat_map(|slice| &slice.endpoints).filter_map(|e| e.pod.as_ref()).peekable();
        named.peek().is_some() && named.all(|name| self.pods.binary_search_by(|pod| pod.pod.cmp(name)).is_ok())
    }

    /// True if several Nodes are there, every one of those that a slice or Pod names: they were not picked. One Node by
    /// itself may be the one that somebody looked at.
    pub(super) fn has_every_node_named(&self) -> bool {
        let of_slices = self.slices.iter().flat_map(|slice| &slice.endpoints).filter_map(|e| e.node.as_deref());
        let mut named = of_slices.chain(self.pods.iter().filter_map(|pod| pod.node.as_deref())).peekable();
        self.nodes.len() > 1
            && named.peek().is_some()
            && named.all(|name| self.nodes.binary_search_by(|node| node.name.as_str().cmp(name)).is_ok())
    }
}

/// A Service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// `spec.type`.
    pub service_type: ServiceType,
    /// `spec.clusterIPs`; none for headless Services and ExternalName.
    pub cluster_ips: Vec<IpAddr>,
    /// The cluster IP is `None`, or the label `service.kubernetes.io/headless` says the same to kube-proxy.
    pub headless: bool,
    /// `spec.ipFamilies`, where the API tells them.
    pub families: Vec<Family>,
    /// `spec.externalIPs`.
    pub external_ips: Vec<IpAddr>,
    /// `status.loadBalancer.ingress` with an address.
    pub ingress: Vec<Ingress>,
    /// `spec.loadBalancerSourceRanges`.
    pub source_ranges: Vec<Network>,
    /// Ports.
    pub ports: Vec<Port>,
    /// `internalTrafficPolicy`; Cluster where it is absent.
    pub internal_policy: Policy,
    /// `externalTrafficPolicy`; Cluster where it is absent.
    pub external_policy: Policy,
    /// Seconds of `sessionAffinity: ClientIP`.
    pub affinity_seconds: Option<u32>,
    /// Its endpoints may get topology hints: it has a `trafficDistribution` or asks for them by annotation.
    pub hinted: bool,
    /// The label `service.kubernetes.io/service-proxy-name`: another proxy than kube-proxy serves it.
    pub proxy_name: Option<String>,
    /// `spec.externalName`.
    pub external_name: Option<String>,
}

impl Service {
    /// The pool that clients from outside get to through frontends of this kind.
    pub fn policy_of(&self, kind: FrontendKind) -> Policy {
        if kind == FrontendKind::ClusterIp { self.internal_policy } else { self.external_policy }
    }

    /// The addresses that every port has, with their kinds.
    pub fn addresses(&self) -> impl Iterator<Item = (FrontendKind, IpAddr)> {
        let own = self.cluster_ips.iter().map(|ip| (FrontendKind::ClusterIp, *ip));
        let external = self.external_ips.iter().map(|ip| (FrontendKind::ExternalIp, *ip));
        let balancers = self.ingress.iter().map(|ingress| (FrontendKind::LoadBalancer, ingress.address));
        own.chain(external).chain(balancers)
    }

    /// How many source ranges its load balancers have: the address of each has a copy.
    pub(super) fn copied_ranges(&self) -> usize {
        self.ingress.len().saturating_mul(self.source_ranges.len())
    }
}

/// `spec.type` of a Service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ServiceType {
    /// Reached by its cluster IP.
    ClusterIp,
    /// Also by a port of every node.
    NodePort,
    /// Also through a load balancer.
    LoadBalancer,
    /// A DNS name only.
    ExternalName,
}

impl ServiceType {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ClusterIp => "ClusterIP",
            Self::NodePort => "NodePort",
            Self::LoadBalancer => "LoadBalancer",
            Self::ExternalName => "ExternalName",
        }
    }
}

/// An address of a load balancer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ingress {
    /// The address.
    pub address: IpAddr,
    /// `ipMode: Proxy`: connections go through the load balancer, kube-proxy must not capture them.
    pub proxied: bool,
}

/// A port of a Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its name; `None` for an unnamed one.
    pub name: Option<String>,
    /// Protocol.
    pub protocol: Protocol,
    /// Port of cluster IP, external IPs and load balancer.
    pub port: u16,
    /// Port of every node.
    pub node_port: Option<u16>,
}

/// Endpoints of one Service and family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Slice {
    /// Namespace.
    pub namespace: String,
    /// Its own name.
    pub name: String,
    /// The Service, from the label `kubernetes.io/service-name`.
    pub service: String,
    /// `addressType`.
    pub family: Family,
    /// Ports every endpoint has.
    pub ports: Vec<SlicePort>,
    /// Endpoints.
    pub endpoints: Vec<Endpoint>,
    /// When a change of the Service or a Pod last made the slice change (the annotation
    /// `endpoints.kubernetes.io/last-change-trigger-time`).
    pub changed: Option<Moment>,
    /// Made from core/v1 Endpoints, which know neither hints nor the Service's second family.
    pub mirrored: bool,
}

/// A port of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlicePort {
    /// The name of the Service's port it belongs to; `None` for an unnamed one.
    pub name: Option<String>,
    /// Protocol.
    pub protocol: Protocol,
    /// The port pods listen on.
    pub port: u16,
}

/// An endpoint of a slice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Its first address, the only one kube-proxy uses (pkg/proxy/endpointslicecache.go).
    pub address: IpAddr,
    /// `conditions.ready`; absent means ready.
    pub ready: bool,
    /// `conditions.serving`; absent means the same as ready.
    pub serving: bool,
    /// `conditions.terminating`.
    pub terminating: bool,
    /// `nodeName`.
    pub node: Option<Arc<str>>,
    /// The Pod in `targetRef`.
    pub pod: Option<PodRef>,
    /// `hints`, which few endpoints have.
    pub hints: Option<Box<Hints>>,
}

/// For which clients an endpoint is meant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hints {
    /// `forNodes`.
    pub nodes: Vec<String>,
    /// `forZones`.
    pub zones: Vec<String>,
}

impl Endpoint {
    /// The nodes it is meant for.
    pub fn for_nodes(&self) -> &[String] {
        self.hints.as_ref().map_or(&[], |hints| &hints.nodes)
    }

    /// The zones it is meant for.
    pub fn for_zones(&self) -> &[String] {
        self.hints.as_ref().map_or(&[], |hints| &hints.zones)
    }
}

/// The name of a Pod, `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef(Arc<str>);

impl PodRef {
    /// Joins the two names.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// `namespace/name`
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same, to be kept.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }

    /// The namespace.
    pub fn namespace(&self) -> &str {
        self.0.split_once('/').map_or("", |(namespace, _)| namespace)
    }

    /// The name without its namespace.
    pub fn name(&self) -> &str {
        self.0.split_once('/').map_or(&self.0, |(_, name)| name)
    }
}

/// A Pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pod {
    /// Its name.
    pub pod: PodRef,
    /// `spec.nodeName`.
    pub node: Option<Arc<str>>,
    /// `status.podIPs`.
    pub addresses: Vec<IpAddr>,
    /// `spec.hostNetwork`: its address is the node's.
    pub host_network: bool,
    /// It has ended (`Succeeded` or `Failed`), and its address may be another's.
    pub ended: bool,
}

/// A Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Name.
    pub name: String,
    /// The label `topology.kubernetes.io/zone`.
    pub zone: Option<String>,
    /// `status.addresses` that are addresses.
    pub addresses: Vec<IpAddr>,
    /// `status.addresses` that are names.
    pub names: Vec<String>,
}

/// KubeProxyConfiguration, from the ConfigMap `kube-system/kube-proxy`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyConfig {
    /// `mode`; empty means iptables on Linux (KubeProxyConfiguration v1alpha1).
    pub mode: String,
    /// `nodePortAddresses`.
    pub node_ports: NodePorts,
}

/// On which addresses of the node kube-proxy opens node ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodePorts {
    /// On all.
    All,
    /// On some, so that a family may have none.
    Chosen,
    /// On loopback addresses alone, on which there are none but in iptables mode.
    Loopback,
}
