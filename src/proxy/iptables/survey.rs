//! Finds the service ports of a node: what KUBE-SERVICES, KUBE-NODEPORTS and the filter table speak of.
//!
//! A survey costs what these chains cost. Endpoints are followed only for the service ports that are asked for.

use std::net::IpAddr;

use hashbrown::HashMap;

use super::comment;
use super::pool::{self, PoolRef};
use super::reject::{self, Rejects};
use super::route::{self, Surroundings};
use super::ruleset::{Ruleset, Table};
use super::translate::Recovery;
use crate::dataplane::{Frontend, FrontendKind, Route, RuleRef, Select, ServiceName, ServicePort};
use crate::dump::iptables::{Chain, Match, RawRule, Rule};
use crate::net::{Family, Network, Protocol};
use crate::proxy::chain_name::{self, ChainKind};

/// How many chains are looked at to learn the pod network, which all of them name alike.
const POD_NETWORK_SAMPLE: usize = 64;

/// Rules that mark for one destination; kube-proxy wrote one.
const MARKS_PER_FRONTEND: usize = 4;

/// So many service ports take longer to follow than a thread takes to start.
const WORTH_A_THREAD: usize = 100;

/// The service ports of a node, not yet followed to their endpoints.
#[derive(Debug)]
pub struct Survey<'d> {
    families: Vec<InFamily<'d>>,
    sketches: Vec<Sketch<'d>>,
    unplaced: Vec<RuleRef>,
}

/// A service port as far as a survey tells it.
#[derive(Debug)]
pub struct Sketch<'d> {
    /// Its name; `None` where no comment tells it.
    pub name: Option<ServiceName>,
    /// What its chains' names have in common.
    pub key: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its family.
    pub family: Family,
    pub(super) frontends: Vec<FrontendSketch<'d>>,
    /// A chain to start from where no frontend leads to it.
    root: Option<&'d str>,
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
}

#[derive(Debug)]
struct InFamily<'d> {
    ruleset: Ruleset<'d>,
    rejects: Rejects<'d>,
    pods: Vec<Network>,
}

impl<'d> Survey<'d> {
    /// Surveys the rulesets of a node. Service ports are ordered by name, protocol and family; unnamed ones come last.
    pub fn of(rulesets: &[Ruleset<'d>]) -> Self {
        let mut survey = Self { families: Vec::new(), sketches: Vec::new(), unplaced: Vec::new() };
        for &ruleset in rulesets {
            let mut draft = Draft::new(ruleset);
            draft.nat();
            draft.names();
            draft.filter();
            let pods = draft.pod_networks();
            for sketch in &mut draft.sketches {
                sketch.frontends.sort_by_key(|f| (f.kind, f.address, f.port));
            }
            survey.unplaced.append(&mut draft.unplaced);
            survey.sketches.append(&mut draft.sketches);
            survey.families.push(InFamily { ruleset, rejects: draft.rejects, pods });
        }
        let order = |s: &Sketch<'_>| (s.name.is_none(), s.name.clone(), s.protocol, s.family, s.key.clone());
        survey.sketches.sort_by_cached_key(order);
        survey
    }

    /// The service ports.
    pub fn sketches(&self) -> &[Sketch<'d>] {
        &self.sketches
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
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let share = sketches.len().div_ceil(cores);
        if share < WORTH_A_THREAD {
            return sketches.iter().map(|sketch| self.service(sketch)).collect();
        }
        std::thread::scope(|scope| {
            let follow = |part: &[&Sketch<'d>]| part.iter().map(|sketch| self.service(sketch)).collect::<Vec<_>>();
            let threads: Vec<_> = sketches.chunks(share).map(|part| scope.spawn(move || follow(part))).collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        })
    }

    /// Follows a service port to its endpoints.
    pub fn service(&self, sketch: &Sketch<'d>) -> ServicePort {
        let nothing = Rejects::default();
        let family = self.in_family(sketch.family);
        let around = Surroundings {
            nat: family.and_then(|f| f.ruleset.nat),
            rejects: family.map_or(&nothing, |f| &f.rejects),
            pods: family.map_or(&[], |f| &f.pods),
        };
        let mut pools: Vec<PoolRef<'d>> = sketch.root.map(PoolRef::of).into_iter().collect();
        let mut frontends = Vec::with_capacity(sketch.frontends.len());
        for frontend in &sketch.frontends {
            let found = route::routes(around, frontend, sketch.protocol);
            for pool in found.pools {
                if !pools.contains(&pool) {
                    pools.push(pool);
                }
            }
            frontends.push(self.frontend(sketch, frontend, found.routes));
        }
        pools.sort_by_key(|p| p.policy);
        let addresses: Vec<_> = sketch.frontends.iter().map(|f| (f.address, f.port)).collect();
        let likely = sketch.frontends.iter().filter_map(|f| f.port).collect();
        let mut recovery = Recovery::new(sketch.name.as_ref(), sketch.protocol, likely);
        let mut affinity = None;
        let pools = pools.into_iter().filter_map(|at| {
            let (pool, seconds) = pool::pool(around.nat?, at, sketch.protocol, &addresses, &mut recovery);
            affinity = affinity.or(seconds);
            Some(pool)
        });
        ServicePort {
            name: sketch.name.clone(),
            key: sketch.key.clone(),
            protocol: sketch.protocol,
            family: sketch.family,
            frontends,
            pools: pools.collect(),
            affinity_seconds: affinity,
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

impl Sketch<'_> {
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

    /// True if `select` names one of its frontends of this kind.
    pub fn has_frontend(&self, select: &Select, kind: FrontendKind) -> bool {
        let mut frontends = self.frontends.iter().filter(|f| f.kind == kind);
        frontends.any(|f| select.matches_frontend(f.kind, f.address, f.port, self.protocol))
    }
}

/// A survey of one family in the making.
struct Draft<'d> {
    ruleset: Ruleset<'d>,
    rejects: Rejects<'d>,
    sketches: Vec<Sketch<'d>>,
    by_key: HashMap<(String, Option<Protocol>), usize>,
    /// Frontends by the sketch they belong to, and what they are.
    by_frontend: HashMap<(usize, FrontendKind, Option<IpAddr>, Option<u16>), usize>,
    unplaced: Vec<RuleRef>,
}

impl<'d> Draft<'d> {
    fn new(ruleset: Ruleset<'d>) -> Self {
        let rejects = ruleset.filter.map(Rejects::read).unwrap_or_default();
        let unplaced = rejects.conditional.clone();
        Self { ruleset, rejects, sketches: Vec::new(), by_key: HashMap::new(), by_frontend: HashMap::new(), unplaced }
    }

    fn nat(&mut self) {
        let Some(nat) = self.ruleset.nat else { return };
        self.portal(nat, "KUBE-SERVICES");
        self.portal(nat, "KUBE-NODEPORTS");
        // A part of a dump may hold the service chains alone.
        let known = |name: &str| nat.section.chain(name).is_some();
        if !known("KUBE-SERVICES") && !known("KUBE-NODEPORTS") {
            for chain in nat.section.chains().iter().filter(|c| !c.is_empty()) {
                if matches!(ChainKind::of(chain.name), ChainKind::Cluster | ChainKind::Local | ChainKind::ExternalLocal)
                {
                    let at = self.sketch(chain_name::key(chain.name).to_owned(), None);
                    self.sketches[at].root.get_or_insert(chain.name);
                }
            }
        }
    }

    /// Reads the rules of KUBE-SERVICES or KUBE-NODEPORTS.
    fn portal(&mut self, table: Table<'d>, chain: &str) {
        let node_ports = chain == "KUBE-NODEPORTS";
        // Up to 1.21 the rule that marks stands here, before the one that jumps, for the same destination.
        let mut marks: HashMap<reject::Target, Vec<RawRule<'d>>> = HashMap::new();
        for raw in table.rules(chain) {
            let Ok(rule) = raw.parse() else {
                self.unplaced.push(RuleRef { text: table.text, line: raw.line });
                continue;
            };
            let Some(target) = &rule.target else { continue };
            let destination = reject::target(&rule);
            let named = if node_ports { reject::has_port(&rule) } else { destination.0.is_some() };
            let kind = ChainKind::of(target.name);
            if target.name == "KUBE-NODEPORTS" || (table.mixed && reject::verdict(&rule).is_some()) {
                continue;
            }
            if !named {
                // A rule that takes more than one address may stand before every Service. Rules that only mark, and
                // those of IPVS mode, which ask ipsets, take nothing.
                let takes_nothing = kind == ChainKind::MarkMasquerade || target.name == "MARK" || asks_sets(&rule);
                if !takes_nothing {
                    self.unplaced.push(RuleRef { text: table.text, line: raw.line });
                }
                continue;
            }
            let is_chain = || table.section.chain(target.name).is_some() && target.name != "KUBE-NODEPORTS";
            if kind == ChainKind::MarkMasquerade || target.name == "MARK" {
                let marks: &mut Vec<_> = marks.entry(destination).or_default();
                if marks.len() < MARKS_PER_FRONTEND {
                    marks.push(raw);
                }
            } else if kind.serves() || kind == ChainKind::Endpoint || is_chain() {
                let marks = marks.get(&destination).map(Vec::as_slice).unwrap_or_default();
                self.frontend(node_ports, &rule, destination, raw, marks);
            } else {
                self.unplaced.push(RuleRef { text: table.text, line: raw.line });
            }
        }
    }

    fn frontend(
        &mut self,
        node_port: bool,
        rule: &Rule<'d>,
        at: reject::Target,
        raw: RawRule<'d>,
        marks: &[RawRule<'d>],
    ) {
        let Some(target) = &rule.target else { return };
        let (address, protocol, port) = at;
        let comment = rule.comment().unwrap_or_default();
        let kind = match (node_port, ChainKind::of(target.name)) {
            (true, _) => FrontendKind::NodePort,
            (_, ChainKind::Firewall) => FrontendKind::LoadBalancer,
            (_, ChainKind::External | ChainKind::ExternalLocal) => {
                comment::frontend_kind(comment).unwrap_or(FrontendKind::ExternalIp)
            }
            _ => comment::frontend_kind(comment).unwrap_or(FrontendKind::ClusterIp),
        };
        // A node port is open on every address of the node, whatever single one a rule names.
        let address = address.filter(|_| !node_port);
        let at = self.sketch(chain_name::key(target.name).to_owned(), protocol);
        let sketch = &mut self.sketches[at];
        sketch.name = sketch.name.take().or_else(|| comment::service(comment));
        let next = sketch.frontends.len();
        let frontend = *self.by_frontend.entry((at, kind, address, port)).or_insert(next);
        if frontend == next {
            let rules = marks.iter().copied().chain([raw]).collect();
            let every_port = !reject::has_port(rule);
            sketch.frontends.push(FrontendSketch { kind, address, port, every_port, rules, refused: None });
        } else {
            sketch.frontends[frontend].rules.push(raw);
        }
    }

    /// Adds what only the filter table knows: Services without endpoints.
    fn filter(&mut self) {
        let rejects = std::mem::take(&mut self.rejects);
        // Chains with names of their own making are known by the comments only.
        let names = self.sketches.iter().enumerate().filter_map(|(at, s)| Some(((s.name.clone()?, s.protocol), at)));
        let by_name: HashMap<(ServiceName, Option<Protocol>), usize> = names.collect();
        for (target, reject) in rejects.iter() {
            let &(address, protocol, port) = target;
            let keys: Vec<String> = match (&reject.name, protocol) {
                (Some(name), Some(protocol)) => chain_name::service_keys(name, protocol).collect(),
                _ => Vec::new(),
            };
            let known = keys.iter().find_map(|key| self.by_key.get(&(key.clone(), protocol)).copied());
            let known = known.or_else(|| by_name.get(&(reject.name.clone()?, protocol)).copied());
            let at = known.unwrap_or_else(|| {
                let key = keys.into_iter().next().unwrap_or_else(|| format!("{address:?}:{port:?}"));
                self.sketch(key, protocol)
            });
            let sketch = &mut self.sketches[at];
            sketch.name = sketch.name.take().or_else(|| reject.name.clone());
            match sketch.frontends.iter_mut().find(|f| f.address == address && f.port == port) {
                Some(frontend) => frontend.refused = frontend.refused.or(Some(reject.rule)),
                None => {
                    let (kind, refused) = (reject.kind, Some(reject.rule));
                    let (every_port, rules) = (false, Vec::new());
                    sketch.frontends.push(FrontendSketch { kind, address, port, every_port, rules, refused });
                }
            }
        }
        self.rejects = rejects;
    }

    /// Names service ports whose frontends carry no comment by the comments of their chains.
    fn names(&mut self) {
        let Some(nat) = self.ruleset.nat else { return };
        for sketch in self.sketches.iter_mut().filter(|s| s.name.is_none()) {
            let chains =
                ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-XLB-"].map(|prefix| format!("{prefix}{}", sketch.key));
            let chains = sketch.root.into_iter().chain(chains.iter().map(String::as_str));
            sketch.name = chains
                .filter_map(|chain| nat.rules(chain).next())
                .find_map(|raw| comment::service(raw.parse().ok()?.comment()?));
        }
    }

    /// The pods' networks: those whose clients are not masqueraded, or are sent to the cluster pool under Local policy.
    fn pod_networks(&self) -> Vec<Network> {
        let Some(nat) = self.ruleset.nat else { return Vec::new() };
        let chains = nat.section.chains().iter();
        let sample = chains.filter(|c| ChainKind::of(c.name).serves() && !c.is_empty()).take(POD_NETWORK_SAMPLE);
        let heads = sample.flat_map(|chain: &Chain<'d>| {
            let outside = ChainKind::of(chain.name) != ChainKind::Firewall;
            nat.section.rules_of(chain).take(2).filter(move |_| outside)
        });
        let mut networks = Vec::new();
        for raw in nat.rules("KUBE-SERVICES").take(POD_NETWORK_SAMPLE).chain(heads) {
            let Ok(rule) = raw.parse() else { continue };
            let Some(target) = &rule.target else { continue };
            let kind = ChainKind::of(target.name);
            for item in &rule.matches {
                let Match::Source { not, network } = item else { continue };
                let tells = (*not && kind == ChainKind::MarkMasquerade) || (!*not && kind == ChainKind::Cluster);
                if let Some(network) = Network::parse(network).filter(|n| tells && !networks.contains(n)) {
                    networks.push(network);
                }
            }
        }
        networks
    }

    fn sketch(&mut self, key: String, protocol: Option<Protocol>) -> usize {
        let next = self.sketches.len();
        let at = *self.by_key.entry((key.clone(), protocol)).or_insert(next);
        if at == next {
            let family = self.ruleset.family;
            self.sketches.push(Sketch { name: None, key, protocol, family, frontends: Vec::new(), root: None });
        }
        at
    }
}

/// True for rules that match by ipset, as IPVS mode writes them.
fn asks_sets(rule: &Rule<'_>) -> bool {
    let set = |m: &Match<'_>| matches!(m, Match::Module { name: "set", .. });
    rule.matches.iter().any(set)
        || rule
            .target
            .as_ref()
            .is_some_and(|t| t.name == "KUBE-NODE-PORT" || t.name == "RETURN" && is_loopback_only(rule))
}

/// True for rules that concern connections from loopback addresses only.
fn is_loopback_only(rule: &Rule<'_>) -> bool {
    rule.matches.iter().any(|m| match m {
        Match::Source { not: false, network } => Network::parse(network).is_some_and(|n| n.is_loopback()),
        _ => false,
    })
}
