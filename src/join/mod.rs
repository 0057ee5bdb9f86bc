//! The rules of a node beside the wishes of its cluster.
//!
//! Service ports of the rules are matched to those of the API by name, which chain names give even where no comment does.
//! What the rules do is never changed: the cluster's view is added to it ([`AboutService`], [`AboutEndpoint`]).
//!
//! [`AboutEndpoint`]: crate::dataplane::AboutEndpoint

mod alone;
mod drift;
mod endpoints;
mod lookup;

pub use lookup::{addresses_of_pod, settle, unsettled};

use std::net::IpAddr;
use std::sync::OnceLock;

use hashbrown::{HashMap, HashSet};

use crate::cluster::{Facts, Service};
use crate::cores;
use crate::dataplane::{
    AboutService, Address, FrontendKind, Gone, Policy, ServiceName, ServicePort, Standing, Verdict,
};
use crate::expect::{self, Cluster, Expected, Role};
use crate::net::{Family, Protocol};
use crate::proxy::{Extent, KnownFrontend, KnownNames, Sketch};

/// So many service ports take longer to describe than a thread takes to start.
const WORTH_A_THREAD: usize = 200;

/// Service ports of the rules that a cluster's objects are matched to.
type Key = (ServiceName, Protocol, Family);

/// A cluster, ready to be joined.
#[derive(Debug)]
pub struct Join<'c, 'f> {
    cluster: &'c Cluster<'f>,
    ports: HashMap<Key, expect::ServicePort<'f>>,
    /// What was read of each family.
    families: Vec<Extent>,
    pods: lookup::Pods<'f>,
    /// The addresses of all Services, once somebody asks.
    addresses: OnceLock<HashSet<IpAddr>>,
}

impl<'c, 'f> Join<'c, 'f> {
    /// `families` are those whose rules were read.
    pub fn new(cluster: &'c Cluster<'f>, mut families: Vec<Extent>) -> Self {
        families.retain(|extent| !extent.is_absent || cluster.node_has(extent.family));
        let of = |port: expect::ServicePort<'f>| Some(((port.name(), port.protocol()?, port.family), port));
        let ports = cluster.ports().filter_map(of).collect();
        Self { cluster, ports, families, pods: lookup::Pods::of(cluster.facts()), addresses: OnceLock::new() }
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
        let name = name?;
        let Some(protocol) = protocol else {
            // A rule without a protocol: the only port of this name, whatever its protocol is.
            let of_name =
                [Protocol::Tcp, Protocol::Udp, Protocol::Sctp].map(|p| self.port(Some(name), Some(p), family));
            let mut of_name = of_name.into_iter().flatten();
            return of_name.next().filter(|_| of_name.next().is_none());
        };
        self.ports.get(&(name.clone(), protocol, family)).copied()
    }

    /// Adds what the cluster says of service ports of the rules. Many are shared out among the processor's cores.
    pub fn describe_all(&self, ports: &mut [ServicePort]) {
        let pieces = ports.chunks_mut(cores::piece(ports.len(), WORTH_A_THREAD));
        cores::in_turn(pieces, |part| part.iter_mut().for_each(|port| self.describe(port)));
    }

    /// Adds what the cluster says of a service port of the rules.
    fn describe(&self, port: &mut ServicePort) {
        let known = self.port(port.name.as_ref(), port.protocol, port.family);
        let expected = known.map(|known| self.expected(&known));
        if let Some(known) = known {
            frontend_kinds(port, known.service);
        }
        if let (Some(expected), true) = (&expected, self.extent(port.family).is_some_and(|e| e.remote_fallback)) {
            fall_back(port, expected);
        }
        let gone = self.gone(port);
        for pool in &mut port.pools {
            self.pool(pool, expected.as_ref(), gone.is_some());
        }
        // A Service that kube-proxy must leave alone may have lost its ports too.
        let left_alone =
            self.service(port).map(|service| expect::ServicePort { service, port: None, family: port.family });
        let left_alone = left_alone.filter(|port| gone.is_some() && port.role() != Role::Served);
        let standing = match (known, &expected, gone) {
            (Some(known), Some(expected), _) => standing(&known, expected),
            (.., Some(gone)) => match &left_alone {
                Some(port) => standing(port, &self.expected(port)),
                None => Standing::Gone(gone),
            },
            _ => Standing::Unknown,
        };
        let rules_complete = self.rules_complete(port.family);
        let without = port.pools.is_empty() && rules_complete;
        let gap = expected.as_ref().and_then(|expected| expected.pools.gap());
        let drifts = expected.as_ref().map(|expected| self.drifts(port, expected)).unwrap_or_default();
        let unprogrammed = expected.as_ref().filter(|_| without).map(endpoints::unprogrammed).unwrap_or_default();
        let waiting = expected.map(|expected| endpoints::waiting(&expected, &port.pools)).unwrap_or_default();
        let service_type =
            known.map(|known| known.service).or_else(|| self.service(port)).map(|s| s.service_type.as_str());
        let about = AboutService { service_type, standing, unprogrammed, waiting, rules_complete, gap, drifts };
        port.about = Some(Box::new(about));
    }

    /// What of a service port the cluster does not have, if that is certain.
    fn gone(&self, port: &ServicePort) -> Option<Gone> {
        let Some(name) = port.name.as_ref() else { return self.nameless(port) };
        if self.port(Some(name), port.protocol, port.family).is_some() {
            return None;
        }
        let Some(service) = self.service(port) else {
            let covered = self.cluster.facts().coverage.has_service(&name.namespace, &name.service);
            return covered.then_some(Gone::Service);
        };
        // Without a protocol it cannot be told which port the rules mean.
        let protocol = port.protocol?;
        let has_port = service.ports.iter().any(|p| p.name == name.port && p.protocol == protocol);
        Some(if has_port { Gone::Family } else { Gone::Port })
    }

    /// What is gone of a virtual server of IPVS that no Service has, where every Service is known.
    fn nameless(&self, port: &ServicePort) -> Option<Gone> {
        let facts = self.cluster.facts();
        let ipvs = self.extent(port.family).is_some_and(|extent| extent.remote_fallback);
        if !ipvs || !port.of_proxy || !facts.coverage.has_all_services() || facts.services.is_empty() {
            return None;
        }
        let addresses = || facts.services.iter().flat_map(Service::addresses).map(|(_, ip)| ip).collect();
        let known = self.addresses.get_or_init(addresses);
        let of_service = port.frontends.iter().filter_map(|frontend| frontend.address).any(|ip| known.contains(&ip));
        Some(if of_service { Gone::Port } else { Gone::Service })
    }

    fn service(&self, port: &ServicePort) -> Option<&'f Service> {
        let name = port.name.as_ref()?;
        self.cluster.service(&name.namespace, &name.service)
    }

    fn rules_complete(&self, family: Family) -> bool {
        self.extent(family).is_some_and(|extent| extent.nat_whole)
    }

    /// What a kube-proxy of the release that the rules tell should have programmed.
    fn expected(&self, port: &expect::ServicePort<'f>) -> Expected<'f> {
        if self.extent(port.family).is_some_and(|extent| !extent.to_terminating) {
            return self.cluster.expected_without_terminating(port);
        }
        self.cluster.expected(port)
    }

    fn extent(&self, family: Family) -> Option<&Extent> {
        self.families.iter().find(|extent| extent.family == family)
    }
}

/// The names of all service ports, for rules without comments.
pub fn known_names(cluster: &Cluster<'_>) -> KnownNames {
    let mut names = KnownNames::default();
    for port in cluster.ports() {
        let Some(protocol) = port.protocol() else { continue };
        let frontends = port.frontends().map(|(kind, address, number)| KnownFrontend {
            kind,
            address,
            port: number,
            policy: port.service.policy_of(kind),
            served: port.serves(kind, address),
        });
        names.insert(&port.name(), protocol, frontends);
    }
    for port in cluster.ports() {
        let Some(protocol) = port.protocol() else { continue };
        if port.service.external_policy == Policy::Local {
            let expected = cluster.expected(&port);
            let local = expected.pools.local.iter().flatten().flatten();
            let members = local.filter_map(|at| expected.members.get(*at));
            names.note_local(&port.name(), protocol, members.map(|member| (member.address, member.port)));
        }
        if port.frontends().any(|(_, address, number)| names.is_contested(protocol, (address, number))) {
            let members = cluster.expected(&port).members;
            let endpoints = members.iter().map(|member| (member.address, member.port)).collect();
            names.note_endpoints(&port.name(), protocol, endpoints);
        }
    }
    names
}

/// Corrects kinds that rules without comments do not tell. An address of two kinds stays as the rules have it, and so does
/// the order, which is that of a walkthrough too.
fn frontend_kinds(port: &mut ServicePort, service: &Service) {
    for frontend in port.frontends.iter_mut().filter(|f| f.kind != FrontendKind::NodePort) {
        let mut kinds = service.addresses().filter(|(_, ip)| Some(*ip) == frontend.address).map(|(kind, _)| kind);
        if let (Some(kind), None) = (kinds.next(), kinds.next()) {
            frontend.kind = kind;
        }
    }
}

/// Without an endpoint of this node, IPVS mode leads external addresses under Local policy to those of others, which is no
/// fault: it is the pool of the whole cluster there.
fn fall_back(port: &mut ServicePort, expected: &Expected<'_>) {
    if !expected.pools.local.as_ref().is_some_and(|local| local.as_ref().is_ok_and(Vec::is_empty)) {
        return;
    }
    // Until kube-proxy has noticed, its pool is still that of the endpoints this node had.
    let members = expected.members.iter().filter(|member| member.local != Some(true));
    let others: HashSet<Address> = members.map(|member| Address::Socket(member.address, member.port)).collect();
    let mut local = port.pools.iter().filter(|pool| pool.policy == Policy::Local);
    if !local.any(|pool| pool.endpoints.iter().any(|endpoint| others.contains(&endpoint.address))) {
        return;
    }
    for pool in &mut port.pools {
        pool.policy = Policy::Cluster;
    }
    port.pools.dedup_by(|later, kept| kept.absorb(later));
    for route in port.frontends.iter_mut().flat_map(|frontend| &mut frontend.routes) {
        if route.verdict == Verdict::Pool(Policy::Local) {
            route.verdict = Verdict::Pool(Policy::Cluster);
        }
    }
}

fn standing(port: &expect::ServicePort<'_>, expected: &Expected<'_>) -> Standing {
    match port.role() {
        Role::Served if expected.pools.usable == Some(false) => Standing::NoEndpoints,
        Role::Served if expected.pools.is_empty() => Standing::NoLocalEndpoints,
        Role::Served => Standing::Served,
        Role::Headless => Standing::Headless,
        Role::NoClusterIp => Standing::NoClusterIp,
        Role::ExternalName => Standing::ExternalName(port.service.external_name.clone()),
        Role::OtherProxy => Standing::OtherProxy(port.service.proxy_name.clone().unwrap_or_default()),
    }
}

/// True if the objects seem to be of another cluster than the rules, of which these are the service ports: most are not among
/// the objects, or have another cluster IP.
pub fn looks_foreign(cluster: &Cluster<'_>, ruled: &[Sketch<'_, '_>]) -> bool {
    let differs = |sketch: &&Sketch<'_, '_>| {
        let Some(name) = sketch.name() else { return false };
        match (cluster.service(&name.namespace, &name.service), sketch.cluster_ip()) {
            (None, _) => cluster.facts().coverage.has_service(&name.namespace, &name.service),
            (Some(service), Some(ip)) => !service.cluster_ips.contains(&ip),
            (Some(_), None) => false,
        }
    };
    let is_kubernetes = |sketch: &&Sketch<'_, '_>| {
        sketch.name().is_some_and(|name| (name.namespace.as_str(), name.service.as_str()) == ("default", "kubernetes"))
    };
    let (all, strange) = (ruled.len(), ruled.iter().filter(differs).count());
    ruled.iter().find(is_kubernetes).is_some_and(|sketch| differs(&sketch)) || (all >= 4 && strange * 2 > all)
}
