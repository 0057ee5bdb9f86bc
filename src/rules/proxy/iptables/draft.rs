//! A survey of one family in the making: reads KUBE-SERVICES, KUBE-NODEPORTS and the filter table.

use std::borrow::Cow;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::comment;
use super::reject::{self, Rejects};
use super::ruleset::{Ruleset, Table};
use super::survey::{FrontendSketch, Sketch};
use crate::dataplane::{FrontendKind, RuleRef, ServiceName};
use crate::dump::iptables::{Chain, Match, RawRule, Rule};
use crate::net::{Network, Protocol};
use crate::proxy::KnownNames;
use crate::proxy::chain_name::{self, ChainKind};
use crate::proxy::pods_told::PodsTold;

/// How many rules of KUBE-SERVICES are looked at to learn the pod network, which all of them name alike.
const SHARED_SAMPLE: usize = 64;

/// Rules that mark for one destination; kube-proxy wrote one.
const MARKS_PER_FRONTEND: usize = 4;

/// Room for more service ports than this is made once they are there.
const MOST_EXPECTED: usize = 20_000;

/// A survey of one family in the making.
pub(super) struct Draft<'d> {
    ruleset: Ruleset<'d>,
    pub(super) rejects: Rejects<'d>,
    pub(super) sketches: Vec<Sketch<'d>>,
    by_key: HashMap<(Cow<'d, str>, Option<Protocol>), usize>,
    /// Frontends by the sketch they belong to, and what they are.
    by_frontend: HashMap<(usize, FrontendKind, Option<IpAddr>, Option<u16>), usize>,
    pub(super) unplaced: Vec<RuleRef>,
    /// Those of KUBE-SERVICES and KUBE-NODEPORTS among these.
    pub(super) obstacles: Obstacles<'d>,
}

/// Rules that may take connections from the Services behind them, in their order.
#[derive(Debug, Default)]
pub(super) struct Obstacles<'d> {
    pub(super) in_services: Vec<RawRule<'d>>,
    pub(super) in_node_ports: Vec<RawRule<'d>>,
}

impl<'d> Draft<'d> {
    /// Reads `ruleset`.
    pub(super) fn of(ruleset: Ruleset<'d>, known: &KnownNames) -> Self {
        let rejects = ruleset.filter.map(Rejects::read).unwrap_or_default();
        let unplaced = rejects.conditional.clone();
        let mut draft = Self {
            ruleset,
            rejects,
            sketches: Vec::new(),
            by_key: HashMap::new(),
            by_frontend: HashMap::new(),
            unplaced,
            obstacles: Obstacles::default(),
        };
        draft.nat();
        draft.names(known);
        draft.filter(known);
        draft.names_by_address(known);
        draft
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
                    let at = self.sketch(Cow::Borrowed(chain_name::key(chain.name)), None);
                    self.sketches[at].root.get_or_insert(chain.name);
                }
            }
        }
    }

    /// Reads the rules of KUBE-SERVICES or KUBE-NODEPORTS.
    fn portal(&mut self, table: Table<'d>, chain: &str) {
        let node_ports = chain == "KUBE-NODEPORTS";
        self.expect_service_ports(table.section.chain(chain).map_or(0, Chain::rules_at_first));
        // Up to 1.21 the rule that marks stands here, before the one that jumps, for the same destination.
        let mut marks: HashMap<reject::Target, Vec<RawRule<'d>>> = HashMap::new();
        let mut rule = Rule::default();
        for raw in table.rules(chain) {
            if raw.parse_into(&mut rule).is_err() {
                self.unplaced.push(RuleRef { text: table.text, line: raw.line });
                continue;
            }
            let Some(target) = &rule.target else { continue };
            let destination = reject::target(&rule);
            let named = if node_ports { reject::has_port(&rule) } else { destination.0.is_some() };
            let kind = ChainKind::of(target.name);
            // Where lines of nat and filter are mixed, verdicts are the filter table's.
            let filters = table.mixed && (reject::verdict(&rule).is_some() || target.name == "ACCEPT");
            if target.name == "KUBE-NODEPORTS" || filters {
                continue;
            }
            if !named {
                // A rule that takes more than one address may stand before every Service. Rules that only mark, and
                // those of IPVS mode, take nothing.
                let takes_nothing =
                    kind == ChainKind::MarkMasquerade || target.name == "MARK" || is_of_ipvs_mode(&rule);
                if !takes_nothing {
                    self.obstacle(table, node_ports, raw);
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
                self.obstacle(table, node_ports, raw);
            }
        }
    }

    /// Makes room for as many service ports as there are rules that may lead to one.
    fn expect_service_ports(&mut self, rules: usize) {
        // Rules may lead elsewhere, all of them.
        let expected = rules.min(MOST_EXPECTED);
        self.sketches.reserve(expected);
        self.by_key.reserve(expected);
        self.by_frontend.reserve(expected);
    }

    fn obstacle(&mut self, table: Table<'d>, node_ports: bool, raw: RawRule<'d>) {
        self.unplaced.push(RuleRef { text: table.text, line: raw.line });
        let of_chain = if node_ports { &mut self.obstacles.in_node_ports } else { &mut self.obstacles.in_services };
        of_chain.push(raw);
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
        let at = self.sketch(Cow::Borrowed(chain_name::key(target.name)), protocol);
        let sketch = &mut self.sketches[at];
        sketch.name = sketch.name.take().or_else(|| comment::service(comment));
        let next = sketch.frontends.len();
        let frontend = *self.by_frontend.entry((at, kind, address, port)).or_insert(next);
        if frontend == next {
            let rules = marks.iter().copied().chain([raw]).collect();
            let every_port = !reject::has_port(rule);
            let (refused, refusal) = (None, None);
            if sketch.frontends.is_empty() {
                // Most Services have one address.
                sketch.frontends.reserve_exact(1);
            }
            sketch.frontends.push(FrontendSketch { kind, address, port, every_port, rules, refused, refusal });
        } else {
            sketch.frontends[frontend].rules.push(raw);
        }
    }

    /// Adds what only the filter table knows: Services without endpoints.
    fn filter(&mut self, known: &KnownNames) {
        if self.rejects.iter().next().is_none() {
            return;
        }
        let rejects = std::mem::take(&mut self.rejects);
        // Chains with names of their own making are known by the comments only.
        let names = self.sketches.iter().enumerate().filter_map(|(at, s)| Some(((s.name.clone()?, s.protocol), at)));
        let by_name: HashMap<(ServiceName, Option<Protocol>), usize> = names.collect();
        for (target, reject) in rejects.iter() {
            let &(address, protocol, port) = target;
            let service = reject.name.as_ref().or_else(|| known.by_frontend(*target)).cloned();
            let keys: Vec<String> = match (&service, protocol) {
                (Some(name), Some(protocol)) => chain_name::service_keys(name, protocol).collect(),
                _ => Vec::new(),
            };
            let sketch = keys.iter().find_map(|key| self.by_key.get(&(Cow::Borrowed(key.as_str()), protocol)).copied());
            let sketch = sketch.or_else(|| by_name.get(&(service.clone()?, protocol)).copied());
            // Source ranges say nothing of endpoints: without the nat table nothing is known of the Service.
            if sketch.is_none() && self.ruleset.nat.is_none() && reject.kind == FrontendKind::LoadBalancer {
                continue;
            }
            let at = sketch.unwrap_or_else(|| {
                let key = keys.into_iter().next().unwrap_or_else(|| format!("{address:?}:{port:?}"));
                self.sketch(Cow::Owned(key), protocol)
            });
            let sketch = &mut self.sketches[at];
            sketch.name = sketch.name.take().or(service);
            let refusal = (reject.kind != FrontendKind::LoadBalancer).then_some(reject.rule);
            match sketch.frontends.iter_mut().find(|f| f.address == address && f.port == port) {
                Some(frontend) => {
                    frontend.refused = frontend.refused.or(Some(reject.rule));
                    frontend.refusal = frontend.refusal.or(refusal);
                }
                None => {
                    let (kind, refused) = (reject.kind, Some(reject.rule));
                    let (every_port, rules) = (false, Vec::new());
                    sketch.frontends.push(FrontendSketch { kind, address, port, every_port, rules, refused, refusal });
                }
            }
        }
        self.rejects = rejects;
    }

    /// Names service ports by the hash in their chains' names; those whose hash nobody knows and whose frontends carry
    /// no comment, by the comments of their chains.
    fn names(&mut self, known: &KnownNames) {
        let Some(nat) = self.ruleset.nat else { return };
        for (at, sketch) in self.sketches.iter_mut().enumerate() {
            let Some((name, protocol)) = known.by_key(&sketch.key) else { continue };
            sketch.name = Some(name.clone());
            if sketch.protocol.is_none() {
                sketch.protocol = Some(*protocol);
                self.by_key.insert((sketch.key.clone(), sketch.protocol), at);
            }
        }
        for sketch in self.sketches.iter_mut().filter(|s| s.name.is_none()) {
            let chains =
                ["KUBE-SVC-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-XLB-"].map(|prefix| format!("{prefix}{}", sketch.key));
            let chains = sketch.root.into_iter().chain(chains.iter().map(String::as_str));
            sketch.name = chains
                .filter_map(|chain| nat.rules(chain).next())
                .find_map(|raw| comment::service(raw.parse().ok()?.comment()?));
        }
    }

    /// Names what is left without a name by its addresses.
    fn names_by_address(&mut self, known: &KnownNames) {
        for sketch in self.sketches.iter_mut().filter(|s| s.name.is_none()) {
            let name = |f: &FrontendSketch<'_>| known.by_frontend((f.address, sketch.protocol, f.port));
            sketch.name = sketch.frontends.iter().find_map(name).cloned();
        }
    }

    /// How pods are told from others: by networks or by interfaces.
    pub(super) fn pod_side(&self) -> (Vec<Network>, Vec<String>) {
        let mut told = PodsTold::default();
        if let Some(nat) = self.ruleset.nat {
            // In older layouts the rules that mark stand here. No rule that leads to a Service from here asks for pods.
            let marks = |raw: &RawRule<'_>| raw.target_name().map(ChainKind::of) == Some(ChainKind::MarkMasquerade);
            let portal = nat.rules("KUBE-SERVICES").take(SHARED_SAMPLE);
            portal.filter(marks).for_each(|raw| tell_of_pods(&raw, &mut told));
            // Those of Services stand behind those of endpoints, of which there are many more.
            let chains = nat.section.chains().iter().rev().filter(|chain| !chain.is_empty());
            let kinds = [ChainKind::Cluster, ChainKind::Local, ChainKind::External, ChainKind::ExternalLocal];
            told.by_chains(
                chains.map(|chain| (ChainKind::of(chain.name), chain)),
                &kinds,
                &[ChainKind::External, ChainKind::ExternalLocal],
                |told, chain| nat.section.rules_of(chain).take(2).for_each(|raw| tell_of_pods(&raw, told)),
            );
        }
        told.finish()
    }

    fn sketch(&mut self, key: Cow<'d, str>, protocol: Option<Protocol>) -> usize {
        let next = self.sketches.len();
        let at = *self.by_key.entry((key.clone(), protocol)).or_insert(next);
        if at == next {
            let family = self.ruleset.family;
            self.sketches.push(Sketch { name: None, key, protocol, family, frontends: Vec::new(), root: None });
        }
        at
    }
}

/// Adds what this rule tells of pods.
fn tell_of_pods(raw: &RawRule<'_>, told: &mut PodsTold) {
    let Ok(rule) = raw.parse() else { return };
    let Some(target) = &rule.target else { return };
    let kind = ChainKind::of(target.name);
    let tells = |not: bool| (not && kind == ChainKind::MarkMasquerade) || (!not && kind == ChainKind::Cluster);
    for item in &rule.matches {
        match item {
            Match::Source { not, network } if tells(*not) => told.networks.extend(Network::parse(network)),
            Match::InInterface { not, name } if tells(*not) => told.interfaces.push((*name).to_owned()),
            _ => {}
        }
    }
}

/// True for rules of KUBE-SERVICES that IPVS mode writes: they ask ipsets, lead to its node ports, or spare loopback.
fn is_of_ipvs_mode(rule: &Rule<'_>) -> bool {
    let target = rule.target.as_ref().map(|target| target.name);
    let asks_set = rule.matches.iter().any(|m| matches!(m, Match::Module { name: "set", .. }));
    asks_set || target == Some("KUBE-NODE-PORT") || (target == Some("RETURN") && is_loopback_only(rule))
}

/// True for rules that concern connections from loopback addresses only.
fn is_loopback_only(rule: &Rule<'_>) -> bool {
    rule.matches.iter().any(|m| match m {
        Match::Source { not: false, network } => Network::parse(network).is_some_and(|n| n.is_loopback()),
        _ => false,
    })
}
