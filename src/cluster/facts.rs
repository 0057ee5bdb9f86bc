//! Kubernetes objects reduced to what decides about Service traffic.

use std::net::IpAddr;

use super::Coverage;
use crate::net::{Family, Network, Protocol};

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
    /// `internalTrafficPolicy: Local`.
    pub internal_local: bool,
    /// `externalTrafficPolicy: Local`.
    pub external_local: bool,
    /// Seconds of `sessionAffinity: ClientIP`.
    pub affinity_seconds: Option<u32>,
    /// The label `service.kubernetes.io/service-proxy-name`: another proxy than kube-proxy serves it.
    pub proxy_name: Option<String>,
    /// `spec.externalName`.
    pub external_name: Option<String>,
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
    pub node: Option<Box<str>>,
    /// The Pod in `targetRef`.
    pub pod: Option<PodRef>,
    /// `hints.forNodes`.
    pub for_nodes: Vec<Box<str>>,
    /// `hints.forZones`.
    pub for_zones: Vec<Box<str>>,
}

/// The name of a Pod, `namespace/name`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PodRef(Box<str>);

impl PodRef {
    /// Joins the two names.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self(format!("{namespace}/{name}").into())
    }

    /// `namespace/name`
    pub fn as_str(&self) -> &str {
        &self.0
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
    pub node: Option<Box<str>>,
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
}
