//! Finds the service ports of a node: what the maps of kube-proxy's tables speak of.

use std::net::IpAddr;

use super::draft;
use super::index::Index;
use super::names::{self, ChainKind};
use super::packet::Packet;
use super::spread;
use super::walk::{Fate, Walk};
use crate::dataplane::{
    Frontend, FrontendKind, Origin, Policy, Route, RuleRef, Select, ServiceName, ServicePort, Verdict,
};
use crate::dump::nft::{Chain, Element, Listing, Table};
use crate::net::{Family, Network, Protocol, number};
use crate::order::Order as _;
use crate::proxy::KnownNames;
use crate::proxy::allowance::Allowance;
use crate::proxy::client::{self, Client};
use crate::proxy::iptables::{PodSide, Truth};

/// The name of kube-proxy's tables.
pub const TABLE: &str = "kube-proxy";

/// kube-proxy's table of one family.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset<'d> {
    /// The family.
    pub family: Family,
    /// The table.
    pub table: &'d Table<'d>,
    /// Which of the texts it stands in, from 0.
    pub text: u16,
    /// Why not all of it can be told, if it is so.
    pub lack: Option<Lack>,
}

/// kube-proxy's tables among all that were read, one of each family: the first, which is the whole one where there is one.
pub fn rulesets<'d>(listings: impl Iterator<Item = (u16, &'d Listing<'d>)>) -> Vec<Ruleset<'d>> {
    let mut all: Vec<Ruleset<'d>> = Vec::new();
    for (text, listing) in listings {
        for table in listing.tables.iter().filter(|table| table.name == TABLE) {
            let families = [Family::Ipv4, Family::Ipv6];
            let Some(family) = families.into_iter().find(|family| family.nft_name() == table.family) else { continue };
            let ruleset = Ruleset { family, table, text, lack: Lack::of(table) };
            match all.iter_mut().find(|known| known.family == family) {
                Some(known) if !known.is_whole() && ruleset.is_whole() => *known = ruleset,
                Some(_) => {}
                None => all.push(ruleset),
            }
        }
    }
    all.order_by_key(|ruleset| ruleset.family);
    all
}

/// The family of which kube-proxy has no table, though it has one of the other: `asked` tells families whose table was asked
/// for by name, else a listing that has other tables too, of both families, is of them all.
pub fn family_without_table<'d>(
    rulesets: &[Ruleset<'d>],
    mut listings: impl Iterator<Item = (u16, &'d Listing<'d>)>,
    asked: impl Fn(Family) -> bool,
) -> Option<Family> {
    let [one] = rulesets else { return None };
    let other = one.family.other();
    let is_of_all = |listing: &Listing<'_>| {
        let lost_nothing = !listing.cut_off && listing.unread.is_empty();
        let has = |family: Family| listing.tables.iter().any(|t| t.family == family.nft_name() && t.name != TABLE);
        lost_nothing && has(one.family) && has(other)
    };
    let listed = listings.any(|(text, listing)| text == one.text && is_of_all(listing));
    (asked(other) || listed).then_some(other)
}

/// Why not all of a table can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// A part of it is missing.
    Parts,
    /// No set and no map has elements, as `nft -t` lists them.
    Elements,
    /// Ports have names, as `nft -S` prints them.
    Numbers,
}

impl Ruleset<'_> {
    /// True if nothing suggests that a part of the table is missing.
    pub fn is_whole(&self) -> bool {
        self.lack.is_none()
    }
}

impl Lack {
    fn of(table: &Table<'_>) -> Option<Self> {
        let Some(addresses) = table.set("service-ips") else { return Some(Self::Parts) };
        if table.cut_off || table.chain("services").is_none() {
            return Some(Self::Parts);
        }
        // Where somebody flushed a map, others have elements: every Service has its cluster IP in two of them.
        let leads_on = |chain: &Chain<'_>| names::split(chain.name).is_some() && !chain.rules.is_empty();
        if table.sets().iter().all(|set| set.elements.is_empty()) && table.chains().iter().any(leads_on) {
            return Some(Self::Elements);
        }
        let of_ports = table.set("service-nodeports").into_iter().chain([addresses]);
        let is_named = |element: &Element<'_>| element.parts().last().is_some_and(|port| number(port).is_none());
        of_ports.flat_map(|set| &set.elements).any(is_named).then_some(Self::Numbers)
    }
}

/// The service ports of a node, not yet followed to their endpoints.
#[derive(Debug)]
pub struct Survey<'d> {
    pub(super) families: Vec<InFamily<'d>>,
    sketches: Vec<Sketch<'d>>,
}

/// A service port as far as a survey tells it.
#[derive(Debug)]
pub struct Sketch<'d> {
    /// Its name.
    pub name: Option<ServiceName>,
    /// What its chains' names have in common.
    pub key: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// Its family.
    pub family: Family,
    pub(super) frontends: Vec<FrontendSketch<'d>>,
    /// Chains to start from where no frontend leads to them.
    pub(super) roots: Vec<&'d str>,
}

/// A frontend and the elements of maps that speak of it.
#[derive(Debug)]
pub(super) struct FrontendSketch<'d> {
    pub(super) kind: FrontendKind,
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) elements: Vec<&'d Element<'d>>,
    pub(super) refusal: Option<&'d Element<'d>>,
}

#[derive(Debug)]
pub(super) struct InFamily<'d> {
    pub(super) ruleset: Ruleset<'d>,
    index: Index<'d>,
    pods: (Vec<Network>, Vec<String>),
}

impl<'d> Survey<'d> {
    /// Surveys the tables of a node. Service ports are named by their chains, else by what the cluster knows of them, else by
    /// comments; they are ordered by name, protocol and family, unnamed ones last.
    pub fn of(rulesets: &[Ruleset<'d>], known: &KnownNames) -> Self {
        let mut survey = Self { families: Vec::new(), sketches: Vec::new() };
        for &ruleset in rulesets {
            let index = Index::of(ruleset.table);
            survey.sketches.extend(draft::sketches(ruleset, &index, known));
            survey.families.push(InFamily { ruleset, index, pods: draft::pod_side(ruleset.table) });
        }
        let order = |s: &Sketch<'_>| (s.name.is_none(), s.name.clone(), s.protocol, s.family, s.key.clone());
        survey.sketches.order_by_cached_key(order);
        survey
    }

    /// The service ports.
    pub fn sketches(&self) -> &[Sketch<'d>] {
        &self.sketches
    }

    /// How the rules of a family tell pods from other clients.
    pub fn pods(&self, family: Family) -> PodSide<'_> {
        self.in_family(family).map(InFamily::pods).unwrap_or_default()
    }

    /// True if a table has a chain of this name.
    pub fn has_chain(&self, name: &str) -> bool {
        self.families.iter().any(|family| family.ruleset.table.chain(name).is_some())
    }

    /// Follows a service port to its endpoints, one of as many as `allowance` is for.
    pub(in crate::proxy) fn service(&self, sketch: &Sketch<'d>, allowance: Allowance) -> ServicePort {
        let mut port = ServicePort {
            name: sketch.name.clone(),
            key: sketch.key.clone(),
            protocol: sketch.protocol,
            family: sketch.family,
            frontends: Vec::new(),
            pools: Vec::new(),
            affinity_seconds: None,
            other_affinity: Vec::new(),
            draining: Vec::new(),
            dead_ends: Vec::new(),
            repeated: Vec::new(),
            of_proxy: true,
            about: None,
        };
        let (Some(family), Some(protocol)) = (self.in_family(sketch.family), sketch.protocol) else { return port };
        let mut pools: Vec<(Policy, &'d str)> = Vec::new();
        let policy = |chain: &&'d str| Some((names::split(chain)?.0.policy()?, *chain));
        pools.extend(sketch.roots.iter().filter_map(policy));
        for frontend in &sketch.frontends {
            let routes =
                Origin::ALL.into_iter().flat_map(|origin| family.routes(frontend, protocol, origin, &mut pools));
            port.frontends.push(family.frontend(frontend, routes.collect()));
        }
        pools.order_by_key(|(policy, _)| *policy);
        for (policy, chain) in pools {
            let at = (family.ruleset.table, &family.index, family.ruleset.text);
            let is_own = names::split(chain).is_some_and(|(_, key)| key == sketch.key);
            let (pool, seconds) = spread::pool(at, policy, chain, protocol, (allowance, is_own));
            port.affinity_seconds = port.affinity_seconds.or(seconds);
            port.pools.push(pool);
        }
        port
    }

    pub(super) fn in_family(&self, family: Family) -> Option<&InFamily<'d>> {
        self.families.iter().find(|known| known.ruleset.family == family)
    }
}

impl<'d> InFamily<'d> {
    fn pods(&self) -> PodSide<'_> {
        PodSide { networks: &self.pods.0, interfaces: &self.pods.1 }
    }

    /// What becomes of connections from an origin: those of clients in networks that rules name by themselves, then the rest.
    fn routes(
        &self,
        frontend: &FrontendSketch<'d>,
        protocol: Protocol,
        origin: Origin,
        pools: &mut Vec<(Policy, &'d str)>,
    ) -> Vec<Route> {
        client::routes(origin, |within| {
            let packet = Packet {
                index: &self.index,
                client: Client::new(origin, within, self.pods()),
                protocol,
                address: frontend.address,
                port: frontend.port,
            };
            let mut walk = Walk::new(self.ruleset.table, &packet);
            let to_node = frontend.address.is_none();
            let hooks: &[&str] = match origin {
                Origin::Node if to_node => &["output", "input"],
                Origin::Node => &["output"],
                _ if to_node => &["prerouting", "input"],
                _ => &["prerouting", "forward"],
            };
            let fate = match walk.through(hooks) {
                // A rule that is not listed may take it.
                Fate::LeftAlone if !self.ruleset.is_whole() => Fate::Unknown,
                fate => fate,
            };
            let masquerade = match (fate, walk.marked) {
                (Fate::Pool(..), Truth::Yes) => Some(true),
                (Fate::Unknown, _) | (Fate::Pool(..), Truth::Unknown) => None,
                _ => Some(false),
            };
            let behind = match fate {
                Fate::Unknown => {
                    let mut again = Walk::new(self.ruleset.table, &packet);
                    again.passes_over = true;
                    again.through(hooks)
                }
                fate => fate,
            };
            if let Fate::Pool(policy, chain) = behind
                && !pools.contains(&(policy, chain))
            {
                pools.push((policy, chain));
            }
            ((verdict(fate), masquerade), packet.client.asked())
        })
    }

    fn frontend(&self, frontend: &FrontendSketch<'d>, routes: Vec<Route>) -> Frontend {
        let reference = |element: &&Element<'d>| RuleRef { text: self.ruleset.text, line: element.line };
        Frontend {
            kind: frontend.kind,
            address: frontend.address,
            port: Some(frontend.port),
            every_port: false,
            routes,
            rules: frontend.elements.iter().map(reference).collect(),
            refusal: frontend.refusal.as_ref().map(reference),
        }
    }
}

fn verdict(fate: Fate<'_>) -> Verdict {
    match fate {
        Fate::Pool(policy, _) => Verdict::Pool(policy),
        Fate::Dropped => Verdict::Drop,
        Fate::Refused => Verdict::Reject,
        Fate::LeftAlone => Verdict::None,
        Fate::Unknown => Verdict::Unknown,
    }
}

impl Sketch<'_> {
    /// True if `select` names it by name, frontend or service chain.
    pub fn is_named_by(&self, select: &Select) -> bool {
        if let Select::Chain(chain) = select
            && let Some((kind, key)) = names::split(chain)
            && kind != ChainKind::Endpoint
        {
            return self.key == key;
        }
        select.matches_name(self.name.as_ref())
            || self.frontends.iter().any(|f| select.matches_frontend(f.kind, f.address, Some(f.port), self.protocol))
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
