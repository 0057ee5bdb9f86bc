//! Which service ports there are, and which of them kube-proxy serves.

use std::net::IpAddr;

use crate::cluster::{Port, Service, ServiceType};
use crate::dataplane::{FrontendKind, ServiceName};
use crate::net::{Family, Protocol};
use crate::order::Order as _;

/// A port of a Service in one family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ServicePort<'f> {
    /// The Service.
    pub service: &'f Service,
    /// The port; `None` for a Service without ports, such as most of type ExternalName.
    pub port: Option<&'f Port>,
    /// The family.
    pub family: Family,
}

/// Whether kube-proxy serves a Service (`ShouldSkipService`, pkg/proxy/util; the informer's labels, cmd/kube-proxy).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// It does.
    Served,
    /// Headless: clients learn the pods' addresses from DNS.
    Headless,
    /// It has no cluster IP yet.
    NoClusterIp,
    /// A DNS name only.
    ExternalName,
    /// Another proxy serves it.
    OtherProxy,
}

impl<'f> ServicePort<'f> {
    /// Its name.
    pub fn name(&self) -> ServiceName {
        ServiceName {
            namespace: self.service.namespace.clone(),
            service: self.service.name.clone(),
            port: self.port.and_then(|port| port.name.clone()),
        }
    }

    /// Its protocol.
    pub fn protocol(&self) -> Option<Protocol> {
        self.port.map(|port| port.protocol)
    }

    /// Its addresses of this family and its node port, which has none, with their ports; also those kube-proxy must not
    /// capture.
    pub fn frontends(&self) -> impl Iterator<Item = (FrontendKind, Option<IpAddr>, u16)> + use<'f> {
        let (service, family) = (self.service, self.family);
        self.port.into_iter().flat_map(move |port| {
            let of_family = service.addresses().filter(move |(_, ip)| Family::of(*ip) == family);
            let node_port = port.node_port.map(|number| (FrontendKind::NodePort, None, number));
            of_family.map(|(kind, ip)| (kind, Some(ip), port.port)).chain(node_port)
        })
    }

    /// True if kube-proxy captures this address or node port of it, where there are endpoints.
    pub fn serves(&self, kind: FrontendKind, address: Option<IpAddr>) -> bool {
        let mut proxied = self.service.ingress.iter().filter(|ingress| ingress.proxied).map(|ingress| ingress.address);
        let is_proxied = kind == FrontendKind::LoadBalancer && proxied.any(|ip| Some(ip) == address);
        self.role() == Role::Served && !is_proxied
    }

    /// Whether kube-proxy serves it.
    pub fn role(&self) -> Role {
        role(self.service)
    }
}

fn role(service: &Service) -> Role {
    if service.proxy_name.is_some() {
        Role::OtherProxy
    } else if service.service_type == ServiceType::ExternalName {
        Role::ExternalName
    } else if service.headless {
        Role::Headless
    } else if service.cluster_ips.is_empty() {
        Role::NoClusterIp
    } else {
        Role::Served
    }
}

/// The ports of a Service: for each family of its cluster IPs, or once where it has none.
pub(super) fn of(service: &Service) -> impl Iterator<Item = ServicePort<'_>> {
    let mut families: Vec<Family> = service.cluster_ips.iter().map(|ip| Family::of(*ip)).collect();
    if families.is_empty() {
        families.push(service.families.first().copied().unwrap_or(Family::Ipv4));
    }
    families.order();
    families.dedup();
    let ports: Vec<Option<&Port>> =
        if service.ports.is_empty() { vec![None] } else { service.ports.iter().map(Some).collect() };
    ports
        .into_iter()
        .flat_map(move |port| families.clone().into_iter().map(move |family| ServicePort { service, port, family }))
}
