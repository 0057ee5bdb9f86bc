//! What is asked of an API server: as little as the question needs, by get and list only.

use std::mem::Discriminant;
use std::net::IpAddr;

use super::facts::{Facts, Pod, Service};
use super::list::{CACHED, List, keep, query, segment};
use super::live::Server;
use super::problem::{Problem, Trouble};
use super::rights::Right;
use super::saved::Saved;
use super::{Coverage, Scope};
use crate::cores;
use crate::net::{Family, Protocol};

/// Which Services to ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All, or all of a namespace.
    All(Option<String>),
    /// These, each by namespace and name; without namespace, those of every namespace.
    Services(Vec<(Option<String>, String)>),
}

impl Wanted {
    /// What an answer covers.
    pub(super) fn scope(&self) -> Scope {
        match self {
            Self::All(None) => Scope::All,
            Self::All(Some(namespace)) => Scope::Some { namespaces: vec![namespace.clone()], services: Vec::new() },
            Self::Services(names) => Scope::services(names.clone()),
        }
    }
}

/// An API server and what it told so far.
#[derive(Debug)]
pub struct Api {
    pub(super) server: Server,
    saved: Saved,
    coverage: Coverage,
    problems: Vec<Problem>,
    /// Kinds of trouble that were told: one cause stops many requests.
    told: Vec<Discriminant<Trouble>>,
    /// Services were asked for and could not be had.
    lacks_services: bool,
}

/// Pods looked up by their addresses.
#[derive(Debug, Default, Clone)]
pub struct PodsFound {
    /// The Pods.
    pub pods: Vec<Pod>,
    /// The addresses of which every Pod was told.
    pub asked: Vec<IpAddr>,
    /// What went wrong.
    pub problem: Option<Problem>,
}

/// Whether a list could be had; if not, which right it needs and what went wrong.
type Got = Result<(), (Right, Trouble)>;

/// A list that was read.
type Listed = (Saved, Got);

impl Api {
    /// Addresses whose Pods are looked up one by one. A node with more stale endpoints than this has another problem.
    pub const LOOKUPS: usize = 16;

    /// One that was asked nothing yet.
    pub fn new(server: Server) -> Self {
        Self {
            server,
            saved: Saved::default(),
            coverage: Coverage::default(),
            problems: Vec::new(),
            told: Vec::new(),
            lacks_services: false,
        }
    }

    /// The address of the server.
    pub fn url(&self) -> &str {
        &self.server.url
    }

    /// Asks for Services and their EndpointSlices, both at the same time. What cannot be had is among the problems.
    pub fn fetch(&mut self, wanted: &Wanted) {
        let server = &self.server;
        let ((slices, got_slices), (services, got_services)) =
            cores::both(|| read(server, wanted, endpoints), || read(server, wanted, services));
        self.saved.absorb(services);
        self.saved.absorb(slices);
        self.services_told(wanted, got_services);
        self.endpoints_told(wanted, got_slices);
    }

    /// Asks for Services alone.
    pub fn fetch_services(&mut self, wanted: &Wanted) {
        let (found, got) = read(&self.server, wanted, services);
        self.saved.absorb(found);
        self.services_told(wanted, got);
    }

    /// Asks for the EndpointSlices of Services alone.
    pub fn fetch_endpoints(&mut self, wanted: &Wanted) {
        let (found, got) = read(&self.server, wanted, endpoints);
        self.saved.absorb(found);
        self.endpoints_told(wanted, got);
    }

    fn services_told(&mut self, wanted: &Wanted, got: Got) {
        match got {
            Ok(()) => self.coverage.services.widen(wanted.scope()),
            Err((right, trouble)) => {
                self.lacks_services = true;
                self.trouble(&trouble, right, "which Services there should be is not known");
            }
        }
    }

    fn endpoints_told(&mut self, wanted: &Wanted, got: Got) {
        match got {
            Ok(()) => self.coverage.endpoints.widen(wanted.scope()),
            Err((right, trouble)) => self.trouble(&trouble, right, "which endpoints there should be is not known"),
        }
    }

    /// Asks for the Node of this name. False if there is none.
    pub fn node(&mut self, name: &str) -> bool {
        let path = format!("/api/v1/nodes/{}", segment(name));
        self.one(&path, Right::NODES, "the zone of the node is not known")
    }

    /// Asks for one object. False if there is none.
    fn one(&mut self, path: &str, right: Right, lost: &str) -> bool {
        match self.server.get(path).and_then(|text| keep(path, &text, &mut self.saved)) {
            Ok(_) => {}
            Err(Trouble::Status { code: 404, .. }) => return false,
            Err(trouble) => self.trouble(&trouble, right, lost),
        }
        true
    }

    /// Asks for kube-proxy's configuration. Many clusters keep it elsewhere.
    pub fn proxy_config(&mut self) {
        let path = "/api/v1/namespaces/kube-system/configmaps/kube-proxy";
        self.one(path, Right::CONFIG, "the mode kube-proxy is configured for is not known");
    }

    /// Asks for all Nodes.
    pub fn nodes(&mut self) {
        let mut saved = Saved::default();
        match List::all("/api/v1", None, "nodes").read(&self.server, &mut saved) {
            Ok(()) => self.coverage.nodes = true,
            Err(trouble) => self.trouble(&trouble, Right::NODES, "which node this is is not known"),
        }
        self.saved.absorb(saved);
    }

    /// Asks for all Pods, which only who keeps them needs.
    pub fn every_pod(&mut self) {
        let mut saved = Saved::default();
        match List::all("/api/v1", None, "pods").read(&self.server, &mut saved) {
            Ok(()) => self.coverage.pods = true,
            Err(trouble) => {
                self.trouble(&trouble, Right::PODS, "whose addresses stale endpoints have now is not known");
            }
        }
        self.saved.absorb(saved);
    }

    /// Asks for the Pod `namespace/name`, or without namespace for every Pod of this name, and gives its addresses.
    pub fn pod(&mut self, namespace: Option<&str>, name: &str) -> Vec<IpAddr> {
        let mut found = Saved::default();
        let answer = match namespace {
            Some(namespace) => {
                self.server.get(&format!("/api/v1/namespaces/{}/pods/{}", segment(namespace), segment(name)))
            }
            None => self.server.get(&format!(
                "/api/v1/pods?{}",
                query(&[("fieldSelector", &format!("metadata.name={name}")), CACHED])
            )),
        };
        match answer.and_then(|text| keep("pods", &text, &mut found)) {
            Ok(_) | Err(Trouble::Status { code: 404, .. }) => {}
            Err(trouble) => self.trouble(&trouble, Right::PODS, "Pods cannot be found by name"),
        }
        let addresses = found.pods().flat_map(|pod| pod.addresses.clone()).collect();
        self.saved.absorb(found);
        addresses
    }

    /// The Pods that have these addresses.
    pub fn pods_at(&self, addresses: &[IpAddr], facts: &Facts) -> PodsFound {
        pods_at(&self.server, addresses, facts)
    }

    /// True if Services were asked for and could not be had.
    pub fn lacks_services(&self) -> bool {
        self.lacks_services
    }

    /// The Services told so far that have a frontend which `fits`: address, none for a node port, port and protocol.
    pub fn services_with(&self, fits: impl Fn(Option<IpAddr>, u16, Protocol) -> bool) -> Vec<(Option<String>, String)> {
        let has = |service: &&Service| {
            service.ports.iter().any(|port| {
                let mut addresses = service.addresses();
                addresses.any(|(_, ip)| fits(Some(ip), port.port, port.protocol))
                    || port.node_port.is_some_and(|number| fits(None, number, port.protocol))
            })
        };
        let found = self.saved.services().filter(has);
        found.map(|service| (Some(service.namespace.clone()), service.name.clone())).collect()
    }

    /// True if a Service of this name was told.
    pub fn has_service(&self, namespace: Option<&str>, name: &str) -> bool {
        self.saved.has_service(namespace, name)
    }

    /// What went wrong since this was asked last.
    pub fn problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// The facts told so far; they are told once.
    pub fn facts(&mut self) -> Facts {
        std::mem::take(&mut self.saved).into_facts_of(self.coverage.clone())
    }

    /// Notes a problem; the same one is told once.
    fn trouble(&mut self, trouble: &Trouble, right: Right, lost: &str) {
        let problem = self.problem(trouble, right, lost);
        let kind = std::mem::discriminant(trouble);
        let told = self.told.contains(&kind) && !matches!(trouble, Trouble::Status { code: 403, .. });
        if !told {
            self.told.push(kind);
            self.problems.push(problem);
        } else if let Some(known) = self.problems.iter_mut().find(|known| problem.fatal && !known.fatal) {
            known.fatal = true;
        }
    }

    fn problem(&self, trouble: &Trouble, right: Right, lost: &str) -> Problem {
        Problem::with_right(trouble, right, lost, self.server.at())
    }
}

/// The Pods that have these addresses.
pub(super) fn pods_at(server: &Server, addresses: &[IpAddr], facts: &Facts) -> PodsFound {
    // The field is a Pod's first address only: of the other family no Pod would be found.
    let first = first_family(server, facts);
    let of_first = addresses.iter().copied().filter(|ip| Some(Family::of(*ip)) == first);
    let wanted: Vec<IpAddr> = of_first.take(Api::LOOKUPS).collect();
    let path =
        |ip: &IpAddr| format!("/api/v1/pods?{}", query(&[("fieldSelector", &format!("status.podIP={ip}")), CACHED]));
    let answers: Vec<Result<String, Trouble>> = cores::each(&wanted, |ip| server.get(&path(ip)));
    let (mut found, mut asked, mut problem) = (Saved::default(), Vec::new(), None);
    for (ip, answer) in wanted.iter().zip(answers) {
        match answer.and_then(|text| keep("pods", &text, &mut found)) {
            Ok(_) => asked.push(*ip),
            Err(trouble) => {
                let lost = "whose address a stale endpoint has now is not known";
                problem = Some(Problem::with_right(&trouble, Right::PODS, lost, server.at()));
            }
        }
    }
    PodsFound { pods: found.into_facts_of(Coverage::default()).pods, asked, problem }
}

/// The family of the first address of Pods: that of their Nodes, and of the Service every cluster has.
fn first_family(server: &Server, facts: &Facts) -> Option<Family> {
    if let Some(address) = facts.nodes.iter().find_map(|node| node.addresses.first()) {
        return Some(Family::of(*address));
    }
    let mut saved = Saved::default();
    existing(server, "/api/v1/namespaces/default/services/kubernetes", &mut saved).ok()?;
    let address = saved.into_facts_of(Coverage::default()).services.first()?.cluster_ips.first().copied();
    address.map(Family::of)
}

/// Reads what `wanted` needs of one kind.
fn read(server: &Server, wanted: &Wanted, one: fn(&Server, &Wanted, &mut Saved) -> Got) -> Listed {
    let mut saved = Saved::default();
    let result = one(server, wanted, &mut saved);
    (saved, result)
}

fn services(server: &Server, wanted: &Wanted, saved: &mut Saved) -> Got {
    let result = match wanted {
        Wanted::All(namespace) => List::all("/api/v1", namespace.as_deref(), "services").read(server, saved),
        Wanted::Services(names) => names.iter().try_for_each(|(namespace, name)| match namespace {
            Some(namespace) => {
                let list = List::all("/api/v1", Some(namespace), "services");
                existing(server, &list.object(name), saved)
            }
            None => List::all("/api/v1", None, "services").named(name).read(server, saved),
        }),
    };
    result.map_err(|trouble| (Right::SERVICES, trouble))
}

/// EndpointSlices; where the API does not have them (before Kubernetes 1.21) the older version, then core/v1 Endpoints.
fn endpoints(server: &Server, wanted: &Wanted, saved: &mut Saved) -> Got {
    for version in ["v1", "v1beta1"] {
        match slices(server, &format!("/apis/discovery.k8s.io/{version}"), wanted, saved) {
            // A list is never "not found", only its kind is.
            Err(Trouble::Status { code: 404, .. }) => {}
            result => return result.map_err(|trouble| (Right::SLICES, trouble)),
        }
    }
    let result = match wanted {
        Wanted::All(namespace) => List::all("/api/v1", namespace.as_deref(), "endpoints").read(server, saved),
        Wanted::Services(names) => names.iter().try_for_each(|(namespace, name)| {
            List::all("/api/v1", namespace.as_deref(), "endpoints").named(name).read(server, saved)
        }),
    };
    result.map_err(|trouble| (Right::ENDPOINTS, trouble))
}

fn slices(server: &Server, group: &str, wanted: &Wanted, saved: &mut Saved) -> Result<(), Trouble> {
    match wanted {
        Wanted::All(namespace) => List::all(group, namespace.as_deref(), "endpointslices").read(server, saved),
        Wanted::Services(names) => names.iter().try_for_each(|(namespace, name)| {
            List::all(group, namespace.as_deref(), "endpointslices").of_service(name).read(server, saved)
        }),
    }
}

/// Reads an object that may not exist.
fn existing(server: &Server, path: &str, saved: &mut Saved) -> Result<(), Trouble> {
    match server.get(path) {
        Err(Trouble::Status { code: 404, .. }) => Ok(()),
        answer => keep(path, &answer?, saved).map(|_| ()),
    }
}
