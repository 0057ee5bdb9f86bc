//! Finds the service ports of a node: what KUBE-SERVICES, KUBE-NODEPORTS and the filter table speak of.
//!
//! A survey costs what these chains cost. Endpoints are followed only for the service ports that are asked for.

use std::borrow::Cow;
use std::net::IpAddr;

use super::draft::{Draft, Obstacles};
use super::followed::Followed;
use super::matching::PodSide;
use super::pool::{self, PoolRef};
use super::portal;
use super::reject::Rejects;
use super::route::{self, Surroundings};
use super::ruleset::{Ruleset, Table};
use super::translate::Recovery;
use crate::cores;
use crate::dataplane::{Frontend, FrontendKind, Route, RuleRef, Select, ServiceName, ServicePort};
use crate::dump::iptables::RawRule;
use crate::net::{Family, Network, Protocol};
use crate::order::Order as _;
use crate::proxy::KnownNames;
use crate::proxy::allowance::Allowance;
use crate::proxy::chain_name::{self, ChainKind};

/// So many service ports take longer to follow than a thread takes to start.
const WORTH_A_THREAD: usize = 100;

/// The service ports of a node, not yet followed to their endpoints.
#[derive(Debug)]
pub struct Survey<'d> {
    pub(super) families: Vec<InFamily<'d>>,
    sketches: Vec<Sketch<'d>>,
    unplaced: Vec<RuleRef>,
}

/// A service port as far as a survey tells it.
#[derive(Debug)]
pub struct Sketch<'d> {
    /// Its name; `None` where no comment tells it.
    pub name: Option<ServiceName>,
    /// What its chains' names have in common.
    pub key: Cow<'d, str>,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its family.
    pub family: Family,
    pub(super) frontends: Vec<FrontendSketch<'d>>,
    /// A chain to start from where no frontend leads to it.
    pub(super) root: Option<&'d str>,
}

/// A frontend and the rules that catch it.
#[derive(Debug, Clone)]
pub(super) struct FrontendSketch<'d> {
    pub(super) kind: FrontendKind,
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) every_port: bool,
    /// Rules of the nat table; none where only the filter table knows the frontend.
    pub(super) rules: Vec<RawRule<'d>>,
    /// The filter table's rule.
    pub(super) refused: Option<RuleRef>,
    /// The same, if it refuses for want of endpoints and not because of source ranges.
    pub(super) refusal: Option<RuleRef>,
}

#[derive(Debug)]
pub(super) struct InFamily<'d> {
    pub(super) ruleset: Ruleset<'d>,
    rejects: Rejects<'d>,
    /// Networks and interfaces of pods.
    pods: (Vec<Network>, Vec<String>),
    pub(super) obstacles: Obstacles<'d>,
    pub(super) followed: Followed,
}

impl<'d> Survey<'d> {
    /// Surveys the rulesets of a node. Service ports are named by what the cluster knows of their chains and addresses,
    /// else by the comments; they are ordered by name, protocol and family, unnamed ones last.
    pub fn of(rulesets: &[Ruleset<'d>], known: &KnownNames) -> Self {
        let mut survey = Self { families: Vec::new(), sketches: Vec::new(), unplaced: Vec::new() };
        for &ruleset in rulesets {
            let mut draft = Draft::of(ruleset, known);
            let pods = draft.pod_side();
            for sketch in &mut draft.sketches {
                sketch.frontends.order_by_key(|f| (f.kind, f.address, f.port));
            }
            survey.unplaced.append(&mut draft.unplaced);
            survey.sketches.append(&mut draft.sketches);
            let (rejects, obstacles) = (draft.rejects, draft.obstacles);
            let followed = Followed::new(ruleset.nat.map_or(0, |nat| nat.section.chains().len()));
            survey.families.push(InFamily { ruleset, rejects, pods, obstacles, followed });
        }
        survey.sketches.order_by(|one, other| one.order().cmp(&other.order()));
        survey
    }

    /// The service ports.
    pub fn sketches(&self) -> &[Sketch<'d>] {
        &self.sketches
    }

    /// True if the rules of a family tell pods from other clients.
    pub fn tells_pods(&self, family: Family) -> bool {
        self.pods(family).is_known()
    }

    /// How the rules of a family tell pods from other clients.
    pub fn pods(&self, family: Family) -> PodSide<'_> {
        self.in_family(family).map(InFamily::pods).unwrap_or_default()
    }

    /// True if every rule that refuses says what it refuses: a port may have a name that nobody here knows.
    pub fn understands_refusals(&self, family: Family) -> bool {
        self.in_family(family).is_none_or(|family| family.rejects.conditional.is_empty())
    }

    /// Every cluster IP that the rules speak of.
    pub fn cluster_ips(&self) -> impl Iterator<Item = IpAddr> {
        let frontends = self.sketches.iter().flat_map(|sketch| &sketch.frontends);
        frontends.filter(|frontend| frontend.kind == FrontendKind::ClusterIp).filter_map(|frontend| frontend.address)
    }

    /// True if a nat table has a chain of this name.
    pub fn has_chain(&self, name: &str) -> bool {
        self.families.iter().filter_map(|f| f.ruleset.nat).any(|nat| nat.section.chain(name).is_some())
    }

    /// Rules of KUBE-SERVICES, KUBE-NODEPORTS and the refusing chains of the filter table that may take or refuse
    /// connections to a Service and cannot be followed.
    pub fn unplaced(&self) -> &[RuleRef] {
        &self.unplaced
    }

    /// Follows service ports to their endpoints, in order. Many are shared out among the processor's cores, which
    /// changes nothing but the time it takes.
    pub fn services(&self, sketches: &[&Sketch<'d>]) -> Vec<ServicePort> {
        if sketches.len() > WORTH_A_THREAD {
            let tables = self.families.iter().filter_map(|family| family.ruleset.nat);
            tables.for_each(|nat| nat.section.expect_many_lookups());
        }
        let allowance = Allowance::among(sketches.len());
        let follow =
            |part: &[&Sketch<'d>]| part.iter().map(|sketch| self.service(sketch, allowance)).collect::<Vec<_>>();
        let parts = sketches.chunks(cores::piece(sketches.len(), WORTH_A_THREAD));
        let mut parts = cores::in_turn(parts, follow).into_iter();
        let mut services = parts.next().unwrap_or_default();
        services.reserve_exact(sketches.len() - services.len());
        parts.for_each(|mut part| services.append(&mut part));
        services
    }

    /// Follows a service port to its endpoints, one of as many as `allowance` is for.
    pub(in crate::proxy) fn service(&self, sketch: &Sketch<'d>, allowance: Allowance) -> ServicePort {
        let nothing = Rejects::default();
        let family = self.in_family(sketch.family);
        let unread = Followed::default();
        let around = Surroundings {
            nat: family.and_then(|f| f.ruleset.nat),
            followed: family.map_or(&unread, |f| &f.followed),
            allowance,
            rejects: family.map_or(&nothing, |f| &f.rejects),
            pods: family.map(InFamily::pods).unwrap_or_default(),
        };
        let mut pools: Vec<PoolRef<'d>> = sketch.root.map(PoolRef::of).into_iter().collect();
        let mut frontends = Vec::with_capacity(sketch.frontends.len());
        for frontend in &sketch.frontends {
            let found = route::routes(around, frontend, (sketch.protocol, &sketch.key));
            for pool in found.pools {
                if !pools.contains(&pool) {
                    pools.push(pool);
                }
            }
            frontends.push(self.frontend(sketch, frontend, found.routes));
        }
        pools.order_by_key(|p| p.policy);
        let addresses: Vec<_> = sketch.frontends.iter().map(|f| (f.address, f.port)).collect();
        let likely = sketch.frontends.iter().filter_map(|f| f.port).collect();
        let mut recovery = Recovery::new(sketch.name.as_ref(), sketch.protocol, likely);
        let mut affinity = None;
        // Room for just these: there may be as many Services as other nodes have rules.
        let mut followed = Vec::with_capacity(pools.len());
        followed.extend(pools.into_iter().filter_map(|at| {
            let pods = around.pods;
            let limits = (allowance, chain_name::key(at.chain) == sketch.key);
            let (pool, seconds) = pool::pool(
                (around.nat?, around.followed),
                at,
                (sketch.protocol, pods),
                &addresses,
                &mut recovery,
                limits,
            );
            affinity = affinity.or(seconds);
            Some(pool)
        }));
        ServicePort {
            name: sketch.name.clone(),
            key: sketch.key.to_string(),
            protocol: sketch.protocol,
            family: sketch.family,
            frontends,
            pools: followed,
            affinity_seconds: affinity,
            other_affinity: Vec::new(),
            draining: Vec::new(),
            dead_ends: around.nat.map(|nat| portal::dead_ends(nat, &sketch.frontends)).unwrap_or_default(),
            repeated: around.nat.map(|nat| portal::repeated(nat, &sketch.frontends)).unwrap_or_default(),
            of_proxy: true,
            about: None,
        }
    }

    fn frontend(&self, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>, routes: Vec<Route>) -> Frontend {
        let text = self.nat(sketch.family).map_or(0, |t| t.text);
        let rules = frontend.rules.iter().map(|raw| RuleRef { text, line: raw.line });
        Frontend {
            kind: frontend.kind,
            address: frontend.address,
            port: frontend.port,
            every_port: frontend.every_port,
            routes,
            rules: rules.chain(frontend.refused).collect(),
            refusal: frontend.refusal,
        }
    }

    /// The nat table of a family.
    pub(super) fn nat(&self, family: Family) -> Option<Table<'d>> {
        self.in_family(family)?.ruleset.nat
    }

    /// The rule of the filter table that refuses a frontend.
    pub(super) fn refusal(&self, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>) -> Option<RawRule<'d>> {
        let rejects = &self.in_family(sketch.family)?.rejects;
        rejects.at((frontend.address, sketch.protocol, frontend.port), None).map(|r| r.raw)
    }

    fn in_family(&self, family: Family) -> Option<&InFamily<'d>> {
        self.families.iter().find(|f| f.ruleset.family == family)
    }
}

impl InFamily<'_> {
    /// How its rules tell pods from others.
    pub(super) fn pods(&self) -> PodSide<'_> {
        PodSide { networks: &self.pods.0, interfaces: &self.pods.1 }
    }
}

impl Sketch<'_> {
    /// What sketches are sorted by.
    fn order(&self) -> impl Ord {
        (self.name.is_none(), self.name.as_ref(), self.protocol, self.family, self.key.as_ref())
    }

    /// True if `select` names it by name, frontend or service chain.
    pub fn is_named_by(&self, select: &Select) -> bool {
        if let Select::Chain(chain) = select
            && ChainKind::of(chain).serves()
        {
            return self.key == chain_name::key(chain) || self.root == Some(chain.as_str());
        }
        select.matches_name(self.name.as_ref())
            || self.frontends.iter().any(|f| select.matches_frontend(f.kind, f.address, f.port, self.protocol))
    }

    /// The first cluster IP that leads to it.
    pub fn cluster_ip(&self) -> Option<IpAddr> {
        self.frontends.iter().filter(|f| f.kind == FrontendKind::ClusterIp).find_map(|f| f.address)
    }

    /// True if `select` names one of its frontends of this kind.
    pub fn has_frontend(&self, select: &Select, kind: FrontendKind) -> bool {
        let mut frontends = self.frontends.iter().filter(|f| f.kind == kind);
        frontends.any(|f| select.matches_frontend(f.kind, f.address, f.port, self.protocol))
    }
}
