//! Finds the service ports of a node among its virtual servers.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::around::Packet;
use super::masquerading::LOOP_BACK;
use super::server::{Purpose, Purposes};
use super::{pool, set_name};
use crate::dataplane::{
    Frontend, FrontendKind, Origin, Policy, Pool, RuleRef, Select, ServiceName, ServicePort, Verdict,
};
use crate::dump::ipset::{Part, Set, Sets};
use crate::dump::ipvs::{Forward, Key, Lacks, Listing, RealServer, VirtualServer};
use crate::net::{Family, Host, Protocol};
use crate::order::Order as _;
use crate::proxy::client::{self, Client};
use crate::proxy::iptables::{self, PodSide, Truth};
use crate::proxy::{KnownNames, chain_name};

mod addresses;

/// Which of the texts something stands in.
#[derive(Debug, Clone, Copy)]
pub(super) struct At {
    pub(super) text: u16,
}

/// What was read of a node.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset<'d> {
    /// Its virtual servers.
    pub listing: &'d Listing<'d>,
    /// Which of the texts they stand in, from 0.
    pub text: u16,
}

impl Ruleset<'_> {
    /// What grep leaves of `ipvsadm -S` has nothing around it that would tell. But kube-proxy serves the Service of the API server
    /// wherever it serves any, so that where this one is missing and most of the others are, others were not wanted.
    fn is_whole(&self, known: &KnownNames) -> bool {
        match self.listing.lacks {
            Lacks::Nothing => return true,
            Lacks::Untold => {}
            Lacks::Servers | Lacks::End | Lacks::Lines => return false,
        }
        let listed: HashSet<Key> = self.listing.servers.iter().map(|server| server.key).collect();
        let (mut missing, mut all, mut api_server) = (0, 0, false);
        for (name, (address, protocol, port)) in known.cluster_ips() {
            let lost = !listed.contains(&Key::Address { protocol, address, port });
            (missing, all) = (missing + usize::from(lost), all + 1);
            api_server |= lost && name.namespace == "default" && name.service == "kubernetes";
        }
        // Without any of kube-proxy's they are gone: ipvsadm -C, and what another program has put there since.
        let is_known = |key: &Key| match *key {
            Key::Address { protocol, address, port } => [Some(address), None]
                .into_iter()
                .any(|address| known.by_frontend((address, Some(protocol), Some(port))).is_some()),
            Key::Mark { .. } => false,
        };
        !(api_server && 2 * missing > all && listed.iter().any(is_known))
    }
}

/// The service ports of a node, not yet followed to their endpoints.
#[derive(Debug)]
pub struct Survey<'d> {
    at: At,
    sketches: Vec<Sketch<'d>>,
    /// Virtual servers for marks of packets, which kube-proxy has none of.
    by_mark: Vec<RuleRef>,
    is_whole: bool,
}

/// A service port as far as a survey tells it.
#[derive(Debug)]
pub struct Sketch<'d> {
    /// Its name; `None` where no objects tell it.
    pub name: Option<ServiceName>,
    /// The hash that other modes have in their chains' names, or the first virtual server where it has no name.
    pub key: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its family.
    pub family: Family,
    frontends: Vec<FrontendSketch<'d>>,
    /// Objects or ipsets know one of its addresses; without ipsets, that its real servers are reached as kube-proxy has it.
    of_proxy: bool,
}

#[derive(Debug)]
struct FrontendSketch<'d> {
    kind: FrontendKind,
    /// `None` for a node port.
    address: Option<IpAddr>,
    port: u16,
    policy: Policy,
    /// One, or for a node port one for each address of the node.
    servers: Vec<&'d VirtualServer<'d>>,
}

/// What a virtual server is called: `TCP 10.96.0.1:443`.
pub fn title(server: &VirtualServer<'_>) -> String {
    match server.key {
        Key::Address { protocol, address, port } => {
            format!("{} {}:{port}", protocol.to_string().to_uppercase(), Host(address))
        }
        Key::Mark { mark, .. } => format!("FWM {mark}"),
    }
}

impl<'d> Survey<'d> {
    /// Surveys virtual servers. They are named by what the cluster knows of their addresses; those without a name come last.
    pub fn of(ruleset: Option<Ruleset<'d>>, sets: &Sets<'_>, known: &KnownNames, only: Option<Family>) -> Self {
        let text = ruleset.map_or(0, |ruleset| ruleset.text);
        let purposes = Purposes { known, sets };
        let mut sketches: Vec<Sketch<'d>> = Vec::new();
        let mut by_key: HashMap<(String, Protocol, Family), usize> = HashMap::new();
        let mut by_mark = Vec::new();
        for server in ruleset.into_iter().flat_map(|ruleset| &ruleset.listing.servers) {
            let Key::Address { protocol, address, port } = server.key else {
                by_mark.push(RuleRef { text, line: server.line });
                continue;
            };
            if only.is_some_and(|only| only != Family::of(address)) {
                continue;
            }
            let Purpose { name, kind, policy, is_known } = purposes.of(protocol, address, port, &server.real);
            let family = Family::of(address);
            let node_port = kind == FrontendKind::NodePort;
            let key = match &name {
                Some(name) => chain_name::service_keys(name, protocol).next().unwrap_or_default(),
                None if node_port => format!("{} *:{port}", protocol.to_string().to_uppercase()),
                None => title(server),
            };
            let next = sketches.len();
            let at = *by_key.entry((key.clone(), protocol, family)).or_insert(next);
            if at == next {
                sketches.push(Sketch {
                    name,
                    key,
                    protocol: Some(protocol),
                    family,
                    frontends: Vec::new(),
                    of_proxy: false,
                });
            }
            let masquerades = |real: &RealServer| real.forward.is_none_or(|how| how == Forward::Masquerade);
            sketches[at].of_proxy |= is_known || (sets.is_empty() && server.real.iter().all(masquerades));
            let address = Some(address).filter(|_| !node_port);
            let frontends = &mut sketches[at].frontends;
            match frontends.iter_mut().find(|f| (f.kind, f.address, f.port) == (kind, address, port)) {
                Some(frontend) => frontend.servers.push(server),
                None => {
                    let policy = policy.unwrap_or(Policy::Cluster);
                    frontends.push(FrontendSketch { kind, address, port, policy, servers: vec![server] });
                }
            }
        }
        for sketch in &mut sketches {
            sketch.frontends.order_by_key(|f| (f.kind, f.address, f.port));
        }
        let order = |s: &Sketch<'_>| (s.name.is_none(), s.name.clone(), s.protocol, s.family, s.key.clone());
        sketches.order_by_cached_key(order);
        let is_whole = ruleset.is_some_and(|ruleset| ruleset.is_whole(known));
        Self { at: At { text }, sketches, by_mark, is_whole }
    }

    /// True if no virtual servers of the node are missing, as far as can be told.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// The service ports.
    pub fn sketches(&self) -> &[Sketch<'d>] {
        &self.sketches
    }

    /// Virtual servers that are for marks of packets and not for addresses.
    pub fn unplaced(&self) -> &[RuleRef] {
        &self.by_mark
    }

    /// Follows a service port to its endpoints. `around` are the rules of its family.
    pub fn service(
        &self,
        sketch: &Sketch<'d>,
        around: Option<iptables::Ruleset<'_>>,
        pods: PodSide<'_>,
        sets: &Sets<'_>,
    ) -> ServicePort {
        let mut pools: Vec<Pool> = Vec::new();
        let servers = || sketch.frontends.iter().flat_map(|frontend| &frontend.servers);
        // kube-proxy flags all of them (`syncService`, pkg/proxy/ipvs/proxier.go).
        let affinity = servers().find_map(|server| server.persistent);
        let (mut other_affinity, mut draining, mut frontends) = (Vec::new(), Vec::new(), Vec::new());
        let hairpins = sets.get(&set_name(sketch.family, LOOP_BACK));
        for (at, frontend) in sketch.frontends.iter().enumerate() {
            let other = frontend.servers.iter().map(|server| server.persistent).find(|own| *own != affinity);
            other_affinity.extend(other.map(|other| (at, other)));
            let mut real = frontend.servers.iter().flat_map(|server| &server.real).peekable();
            if real.peek().is_some() && real.all(|real| real.weight == Some(0)) {
                draining.push(at);
            }
            for server in &frontend.servers {
                // One without real servers refuses, as kube-proxy has it for a Service without endpoints.
                if server.real.is_empty() {
                    continue;
                }
                let pool = pool::pool(server, self.at, frontend.policy, |real| hairpin(hairpins?, sketch, real));
                if !pools.iter_mut().any(|known| known.absorb(&pool)) {
                    pools.push(pool);
                }
            }
            frontends.push(self.frontend(sketch, frontend, around, pods, sets));
        }
        pools.order_by_key(|pool| pool.policy);
        ServicePort {
            name: sketch.name.clone(),
            key: sketch.key.clone(),
            protocol: sketch.protocol,
            family: sketch.family,
            frontends,
            pools,
            affinity_seconds: affinity,
            other_affinity,
            draining,
            dead_ends: Vec::new(),
            repeated: Vec::new(),
            of_proxy: sketch.of_proxy,
            about: None,
        }
    }

    fn frontend(
        &self,
        sketch: &Sketch<'_>,
        frontend: &FrontendSketch<'_>,
        around: Option<iptables::Ruleset<'_>>,
        pods: PodSide<'_>,
        sets: &Sets<'_>,
    ) -> Frontend {
        let serves = |server: &&VirtualServer<'_>| server.real.iter().any(|real| real.weight != Some(0));
        let open = frontend.servers.iter().filter(|server| serves(server)).count();
        let may_lack = frontend.servers.iter().any(|server| server.is_doubtful);
        let own = match open {
            0 if may_lack => Verdict::Unknown,
            0 => Verdict::Reject,
            all if all == frontend.servers.len() => Verdict::Pool(frontend.policy),
            // Open on some addresses of the node only.
            _ => Verdict::Unknown,
        };
        let protocol = sketch.protocol.unwrap_or(Protocol::Tcp);
        let routes = Origin::ALL.into_iter().flat_map(|origin| {
            client::routes(origin, |within| {
                let client = Client::new(origin, within, pods);
                let port = Some(frontend.port).filter(|port| *port != 0);
                let packet = Packet { client, protocol, address: frontend.address, port, sets };
                let treatment = packet.treatment(around.and_then(|r| r.nat), around.and_then(|r| r.filter));
                let asked = packet.client.asked();
                let verdict = match treatment.refused {
                    Ok(Some(refused)) if own.is_pool() => refused,
                    // INPUT drops before IPVS refuses; what the node sends itself, IPVS takes in OUTPUT.
                    Ok(Some(Verdict::Drop)) if own == Verdict::Reject && origin != Origin::Node => Verdict::Drop,
                    _ => own,
                };
                let masquerade = match (verdict, treatment.marked) {
                    (Verdict::Pool(_), Truth::Yes) => Some(true),
                    (Verdict::Pool(_), Truth::Unknown) | (Verdict::Unknown, _) => None,
                    _ => Some(false),
                };
                ((verdict, masquerade), asked)
            })
        });
        Frontend {
            kind: frontend.kind,
            address: frontend.address,
            port: Some(frontend.port).filter(|port| *port != 0),
            every_port: frontend.port == 0,
            routes: routes.collect(),
            rules: frontend.servers.iter().map(|server| RuleRef { text: self.at.text, line: server.line }).collect(),
            refusal: None,
        }
    }
}

/// Is the pod masqueraded where it reaches itself? KUBE-LOOP-BACK lists the endpoints of this node only.
fn hairpin(set: &Set<'_>, sketch: &Sketch<'_>, real: &RealServer) -> Option<bool> {
    let is_it = |parts: &[Part<'_>]| match parts {
        [Part::Network(network), Part::Ports(protocol, port, _), ..] => {
            network.address() == Some(real.address) && *port == real.port && *protocol == sketch.protocol
        }
        _ => false,
    };
    set.candidates(real.address, real.port).any(|member| is_it(&member.parts)).then_some(true)
}

impl<'d> Sketch<'d> {
    /// The virtual servers of each frontend, in their order.
    pub(super) fn servers(&self) -> impl Iterator<Item = &[&'d VirtualServer<'d>]> {
        self.frontends.iter().map(|frontend| frontend.servers.as_slice())
    }

    /// True if `select` names it by name or frontend.
    pub fn is_named_by(&self, select: &Select) -> bool {
        select.matches_name(self.name.as_ref())
            || self.frontends.iter().any(|f| {
                select.matches_frontend(f.kind, f.address, Some(f.port), self.protocol)
                    || f.servers.iter().any(|server| matches!(server.key, Key::Address { address, port, .. } if select.matches_frontend(f.kind, Some(address), Some(port), self.protocol)))
            })
    }

    /// The first cluster IP that leads to it.
    pub fn cluster_ip(&self) -> Option<IpAddr> {
        self.frontends.iter().filter(|f| f.kind == FrontendKind::ClusterIp).find_map(|f| f.address)
    }

    /// True if `select` names one of its frontends of this kind.
    pub fn has_frontend(&self, select: &Select, kind: FrontendKind) -> bool {
        let mut frontends = self.frontends.iter().filter(|f| f.kind == kind);
        frontends.any(|f| select.matches_frontend(f.kind, f.address, Some(f.port), self.protocol))
    }
}
