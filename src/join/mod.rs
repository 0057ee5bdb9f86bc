//! The rules of a node beside the wishes of its cluster.
//!
//! Service ports of the rules are matched to those of the API by name, which chain names give even where no comment does.
//! What the rules do is never changed: the cluster's view is added to it ([`AboutService`], [`AboutEndpoint`]).
//!
//! [`AboutEndpoint`]: crate::dataplane::AboutEndpoint

mod alone;
mod endpoints;
mod lookup;

pub use lookup::{addresses_of_pod, settle, unsettled};

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::cluster::{Facts, Service};
use crate::dataplane::{AboutService, FrontendKind, Gap, Gone, ServiceName, ServicePort, Standing};
use crate::expect::{self, Cluster, Expected, Role};
use crate::net::{Family, Protocol};
use crate::proxy::KnownNames;

/// Service ports of the rules that a cluster's objects are matched to.
type Key = (ServiceName, Protocol, Family);

/// A cluster, ready to be joined.
#[derive(Debug)]
pub struct Join<'c, 'f> {
    cluster: &'c Cluster<'f>,
    ports: HashMap<Key, expect::ServicePort<'f>>,
    /// Families whose rules were read, and whether all of them were.
    families: Vec<(Family, bool)>,
    pods: lookup::Pods<'f>,
}

impl<'c, 'f> Join<'c, 'f> {
    /// `families` are those whose rules were read, with false where rules are missing from the dump.
    pub fn new(cluster: &'c Cluster<'f>, families: Vec<(Family, bool)>) -> Self {
        let of = |port: expect::ServicePort<'f>| Some(((port.name(), port.protocol()?, port.family), port));
        let ports = cluster.ports().filter_map(of).collect();
        Self { cluster, ports, families, pods: lookup::Pods::of(cluster.facts()) }
    }

    /// The facts of the cluster.
    pub fn facts(&self) -> &'f Facts {
        self.cluster.facts()
    }

    /// Every service port of the cluster.
    pub fn ports(&self) -> impl Iterator<Item = expect::ServicePort<'f>> + use<'f> {
        self.cluster.ports()
    }

    /// The service port of the cluster that rules call `name`.
    pub fn port(
        &self,
        name: Option<&ServiceName>,
        protocol: Option<Protocol>,
        family: Family,
    ) -> Option<expect::ServicePort<'f>> {
        self.ports.get(&(name?.clone(), protocol?, family)).copied()
    }

    /// Adds what the cluster says of a service port of the rules.
    pub fn describe(&self, port: &mut ServicePort) {
        let known = self.port(port.name.as_ref(), port.protocol, port.family);
        let expected = known.map(|known| self.cluster.expected(&known));
        if let Some(known) = known {
            frontend_kinds(port, known.service);
        }
        let gone = self.gone(port);
        for pool in &mut port.pools {
            self.pool(pool, expected.as_ref(), gone.is_some());
        }
        let standing = match (known, &expected, gone) {
            (Some(known), Some(expected), _) => standing(&known, expected),
            (.., Some(gone)) => Standing::Gone(gone),
            _ => Standing::Unknown,
        };
        let rules_complete = self.rules_complete(port.family);
        let without = port.pools.is_empty() && rules_complete;
        let unprogrammed = expected.filter(|_| without).map(|e| self.unprogrammed(&e)).unwrap_or_default();
        let service_type =
            known.map(|known| known.service).or_else(|| self.service(port)).map(|s| s.service_type.as_str());
        port.about = Some(Box::new(AboutService { service_type, standing, unprogrammed, rules_complete }));
    }

    /// What of a service port the cluster does not have, if that is certain.
    fn gone(&self, port: &ServicePort) -> Option<Gone> {
        let name = port.name.as_ref()?;
        if self.port(Some(name), port.protocol, port.family).is_some() {
            return None;
        }
        let Some(service) = self.service(port) else {
            let covered = self.cluster.facts().coverage.services.covers(&name.namespace, &name.service);
            return covered.then_some(Gone::Service);
        };
        let has_port = service.ports.iter().any(|p| p.name == name.port && Some(p.protocol) == port.protocol);
        Some(if has_port { Gone::Family } else { Gone::Port })
    }

    fn service(&self, port: &ServicePort) -> Option<&'f Service> {
        let name = port.name.as_ref()?;
        self.cluster.service(&name.namespace, &name.service)
    }

    fn rules_complete(&self, family: Family) -> bool {
        self.families.iter().any(|(read, complete)| *read == family && *complete)
    }
}

/// The names of all service ports, for rules without comments.
pub fn known_names(cluster: &Cluster<'_>) -> KnownNames {
    let mut names = KnownNames::default();
    for port in cluster.ports() {
        let (Some(protocol), Some(number)) = (port.protocol(), port.port.map(|p| p.port)) else { continue };
        let of_family = addresses(port.service).filter(|(_, ip)| Family::of(*ip) == port.family);
        let node_port = port.port.and_then(|p| p.node_port).map(|number| (None, number));
        names.insert(&port.name(), protocol, of_family.map(|(_, ip)| (Some(ip), number)).chain(node_port));
    }
    names
}

/// The addresses of a Service that every port of it has, with their kinds.
pub fn addresses(service: &Service) -> impl Iterator<Item = (FrontendKind, IpAddr)> {
    let own = service.cluster_ips.iter().map(|ip| (FrontendKind::ClusterIp, *ip));
    let external = service.external_ips.iter().map(|ip| (FrontendKind::ExternalIp, *ip));
    let balancers = service.ingress.iter().map(|ingress| (FrontendKind::LoadBalancer, ingress.address));
    own.chain(external).chain(balancers)
}

/// Corrects kinds that rules without comments do not tell. An address of two kinds stays as the rules have it.
fn frontend_kinds(port: &mut ServicePort, service: &Service) {
    for frontend in port.frontends.iter_mut().filter(|f| f.kind != FrontendKind::NodePort) {
        let mut kinds = addresses(service).filter(|(_, ip)| Some(*ip) == frontend.address).map(|(kind, _)| kind);
        if let (Some(kind), None) = (kinds.next(), kinds.next()) {
            frontend.kind = kind;
        }
    }
    port.frontends.sort_by_key(|f| (f.kind, f.address, f.port));
}

fn standing(port: &expect::ServicePort<'_>, expected: &Expected<'_>) -> Standing {
    match port.role() {
        Role::Served if expected.pools.usable == Some(false) => Standing::NoEndpoints(expected.members.len()),
        Role::Served if expected.pools.is_empty() => Standing::NoLocalEndpoints,
        Role::Served => Standing::Served,
        Role::Headless => Standing::Headless,
        Role::NoClusterIp => Standing::NoClusterIp,
        Role::ExternalName => Standing::ExternalName(port.service.external_name.clone()),
        Role::OtherProxy => Standing::OtherProxy(port.service.proxy_name.clone().unwrap_or_default()),
    }
}

/// What is not known of a service port's pools, worst first.
pub fn gap(port: &ServicePort) -> Option<Gap> {
    port.pools.iter().filter_map(|pool| pool.expected.and_then(Result::err)).max()
}
