//! From the dataplane to the contract.

use std::ops::Range;

use serde::{Serialize, Serializer};

use super::Quotes;
use super::v1::{
    self, AddressText, Balance, Document, Endpoint, Frontend, Kind, Missing, Pool, Route, Service, Source, Status,
    Watched,
};
use crate::checks::Finding;
use crate::dataplane::{self, Address, FrontendKind, Mode, ServicePort, State, Verdict};
use crate::net::Family;

/// What is known of the rules a document was made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The mode of kube-proxy that is in use.
    pub mode: Mode,
    /// `nf_tables` or `legacy`.
    pub backend: Option<&'static str>,
    /// File names, `stdin`, `local`, `demo`.
    pub from: String,
    /// Tables that were read.
    pub tables: Vec<&'static str>,
    /// Families that were read.
    pub families: Vec<Family>,
    /// The node the rules are of, where known.
    pub node: Option<String>,
    /// Where Kubernetes objects came from; `None` for none.
    pub objects: Option<String>,
    /// True if lines are missing.
    pub partial: bool,
    /// When a watch gives the answer.
    pub watch: Option<Watched>,
}

/// The document of `show` or `list`.
pub fn document(
    kind: Kind,
    header: &Header,
    services: Vec<ServicePort>,
    findings: &[Finding],
    quotes: &Quotes<'_>,
) -> Document {
    let mut of_port: Vec<Vec<&Finding>> = vec![Vec::new(); services.len()];
    for finding in findings {
        if let Some(of_port) = finding.port.and_then(|at| of_port.get_mut(at)) {
            of_port.push(finding);
        }
    }
    let findings = of_port
        .into_iter()
        .map(|findings| findings.into_iter().map(|finding| super::check::finding(finding, quotes)).collect());
    let services = Services { findings: findings.collect(), ports: services };
    Document { schema: SCHEMA, kind, source: header.source(), watch: header.watch.clone(), services }
}

/// Service ports with their findings. Each is turned into its report when it is written, so that a large node is not held
/// twice.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Services {
    ports: Vec<ServicePort>,
    /// Of each port.
    findings: Vec<Vec<v1::Finding>>,
}

impl Services {
    /// How many service ports there are.
    pub fn len(&self) -> usize {
        self.ports.len()
    }

    /// True if there are none.
    pub fn is_empty(&self) -> bool {
        self.ports.is_empty()
    }

    /// How many endpoints the service port with this place has, in all its pools.
    pub fn size(&self, at: usize) -> usize {
        self.ports[at].pools.iter().map(|pool| pool.endpoints.len()).sum()
    }

    /// The reports of those with these places.
    pub fn reports(&self, range: Range<usize>) -> impl Iterator<Item = Service<'_>> {
        self.each(range).map(|(port, findings)| Service { findings: findings.to_vec(), ..service(port) })
    }

    /// The same without endpoints, for whoever writes these themselves: with the endpoints of each pool.
    pub fn without_endpoints(&self, range: Range<usize>) -> impl Iterator<Item = (Service<'_>, &[dataplane::Pool])> {
        self.each(range)
            .map(|(port, findings)| (Service { findings: findings.to_vec(), ..frame(port) }, port.pools.as_slice()))
    }

    fn each(&self, range: Range<usize>) -> impl Iterator<Item = (&ServicePort, &[v1::Finding])> {
        self.ports[range.clone()].iter().zip(&self.findings[range]).map(|(port, findings)| (port, findings.as_slice()))
    }
}

impl Serialize for Services {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.reports(0..self.len()))
    }
}

/// The name of the contract.
pub(super) const SCHEMA: &str = "kube-ipt/v1";

impl Header {
    /// As the contract has it.
    pub(super) fn source(&self) -> Source {
        Source {
            dataplane: match self.mode {
                Mode::Iptables => "iptables",
                Mode::Ipvs => "ipvs",
                Mode::Nftables => "nftables",
            },
            backend: self.backend,
            from: self.from.clone(),
            node: self.node.clone(),
            tables: self.tables.clone(),
            families: self.families.clone(),
            objects: self.objects.clone(),
            partial: self.partial,
        }
    }
}

/// One service port, without findings.
pub(super) fn service(port: &ServicePort) -> Service<'_> {
    let mut service = frame(port);
    for (pool, of) in service.pools.iter_mut().zip(&port.pools) {
        pool.endpoints = of.endpoints.iter().map(endpoint).collect();
    }
    service
}

/// The same without its endpoints.
fn frame(port: &ServicePort) -> Service<'_> {
    let name = port.name.as_ref();
    let about =
        port.about.as_ref().filter(|about| about.rules_complete && (about.gap.is_none() || !port.pools.is_empty()));
    Service {
        service: name.map(ToString::to_string),
        namespace: name.map(|n| n.namespace.clone()),
        name: name.map(|n| n.service.clone()),
        port_name: name.and_then(|n| n.port.clone()),
        protocol: port.protocol.map(|p| p.to_string()),
        family: port.family,
        service_type: port.about.as_ref().and_then(|about| about.service_type),
        status: status(port.status()),
        session_affinity_seconds: port.affinity_seconds,
        frontends: port.frontends.iter().map(frontend).collect(),
        pools: port.pools.iter().map(|one| pool(one, port)).collect(),
        unprogrammed: about.map(|about| about.unprogrammed.iter().map(missing).collect()),
        not_ready: port.about.as_ref().map(|about| about.waiting.iter().map(missing).collect()),
        findings: Vec::new(),
    }
}

/// The word of the contract.
fn status(status: dataplane::Status) -> Status {
    match status {
        dataplane::Status::Ok => Status::Ok,
        dataplane::Status::NoEndpoints => Status::NoEndpoints,
        dataplane::Status::Undelivered => Status::Undelivered,
        dataplane::Status::Unknown => Status::Unknown,
        dataplane::Status::Stale => Status::Stale,
        dataplane::Status::NotProgrammed => Status::NotProgrammed,
        dataplane::Status::MissingEndpoints => Status::MissingEndpoints,
        dataplane::Status::Headless => Status::Headless,
        dataplane::Status::NoClusterIp => Status::NoClusterIp,
        dataplane::Status::ExternalName => Status::ExternalName,
        dataplane::Status::OtherProxy => Status::OtherProxy,
        dataplane::Status::OtherFamily => Status::OtherFamily,
    }
}

fn frontend(frontend: &dataplane::Frontend) -> Frontend {
    Frontend {
        kind: kind_of(frontend.kind),
        address: frontend.address.map(|a| a.to_string()),
        port: frontend.port,
        routes: frontend.routes.iter().map(route).collect(),
    }
}

/// The word of the contract.
pub(super) fn kind_of(kind: FrontendKind) -> &'static str {
    match kind {
        FrontendKind::ClusterIp => "cluster-ip",
        FrontendKind::ExternalIp => "external-ip",
        FrontendKind::LoadBalancer => "load-balancer",
        FrontendKind::NodePort => "node-port",
    }
}

fn route(route: &dataplane::Route) -> Route {
    let (verdict, policy) = match route.verdict {
        Verdict::Pool(policy) => (Some("pool"), Some(policy.as_str())),
        Verdict::Drop => (Some("drop"), None),
        Verdict::Reject => (Some("reject"), None),
        Verdict::None => (Some("none"), None),
        Verdict::Unknown => (None, None),
    };
    Route {
        origin: route.origin.as_str(),
        sources: route.sources.iter().map(ToString::to_string).collect(),
        verdict,
        policy,
        masquerade: route.masquerade,
    }
}

fn pool<'a>(pool: &'a dataplane::Pool, of: &ServicePort) -> Pool<'a> {
    let known = pool.expected.is_some_and(|expected| expected.is_ok()) && pool.is_whole();
    Pool {
        policy: pool.policy.as_str(),
        chain: pool.chain.clone(),
        scheduler: pool.scheduler.clone(),
        undelivered: pool.undelivered,
        endpoints: Vec::new(),
        expected: pool.expected.and_then(Result::ok),
        missing: known.then(|| pool.missing.iter().map(missing).collect()),
        balance: of.balance(pool).as_ref().map(balance),
    }
}

fn balance(balance: &dataplane::Balance) -> Balance {
    match balance {
        dataplane::Balance::Judged(test) => Balance {
            connections: Some(test.connections),
            fits: Some(test.fits()),
            chi_square: Some(test.statistic),
            degrees_of_freedom: Some(test.degrees),
            p_value: Some(test.p_value),
            reason: None,
        },
        dataplane::Balance::Unjudged(connections, why) => Balance {
            connections: *connections,
            fits: None,
            chi_square: None,
            degrees_of_freedom: None,
            p_value: None,
            reason: Some(why.words().to_owned()),
        },
    }
}

fn missing(absent: &dataplane::Absent) -> Missing {
    let about = &absent.about;
    Missing {
        address: absent.address.to_string(),
        pod: about.pod.as_deref().map(str::to_owned),
        node: about.node.as_deref().map(str::to_owned),
        local: about.local,
        state: about.state.as_str(),
    }
}

/// An endpoint as the contract has it.
pub fn endpoint(endpoint: &dataplane::Endpoint) -> Endpoint<'_> {
    let about = endpoint.about.as_deref();
    Endpoint {
        address: (endpoint.address != Address::Unknown).then_some(AddressText(&endpoint.address)),
        probability: endpoint.probability,
        chain: &endpoint.chain,
        pod: about.and_then(|about| about.pod.as_deref()),
        node: about.and_then(|about| about.node.as_deref()),
        local: about.and_then(|about| about.local),
        state: about.map(|about| about.state.as_str()),
        reason: about.and_then(|about| if let State::Stale(stale) = &about.state { stale.reason() } else { None }),
        packets: endpoint.traffic().packets,
        draining: endpoint.draining,
        open_connections: endpoint.traffic().open_connections(),
        clients: endpoint
            .traffic()
            .clients
            .as_ref()
            .map(|all| all.iter().map(|client| client.address.to_string()).collect()),
    }
}
