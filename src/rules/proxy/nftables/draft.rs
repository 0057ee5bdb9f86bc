//! A survey of one table in the making: reads the maps, and what the chains tell of pods.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::index::{Index, Indexed, networks as networks_in};
use super::names::{self, ChainKind};
use super::survey::{FrontendSketch, Ruleset, Sketch};
use crate::dataplane::{FrontendKind, ServiceName};
use crate::dump::nft::{Data, Element, RawRule, Rule, Selector, Set, Statement, Table, Verdict};
use crate::net::{Network, Protocol};
use crate::order::Order as _;
use crate::proxy::KnownNames;
use crate::proxy::pods_told::PodsTold;

/// The service ports that a table speaks of.
pub(super) fn sketches<'d>(ruleset: Ruleset<'d>, index: &Index<'d>, known: &KnownNames) -> Vec<Sketch<'d>> {
    Draft::of(ruleset, index, known).finish()
}

/// A survey of one table in the making.
struct Draft<'d, 'k> {
    ruleset: Ruleset<'d>,
    known: &'k KnownNames,
    cluster_ips: HashSet<IpAddr>,
    sketches: Vec<Sketch<'d>>,
    by_key: HashMap<(String, Protocol), usize>,
    by_frontend: HashMap<(Option<IpAddr>, Protocol, u16), (usize, usize)>,
}

impl<'d, 'k> Draft<'d, 'k> {
    fn of(ruleset: Ruleset<'d>, index: &Index<'d>, known: &'k KnownNames) -> Self {
        let cluster_ips = index.get("cluster-ips").map(Indexed::addresses).unwrap_or_default();
        let (sketches, by_key, by_frontend) = (Vec::new(), HashMap::new(), HashMap::new());
        let mut draft = Self { ruleset, known, cluster_ips, sketches, by_key, by_frontend };
        let maps = || ruleset.table.sets().iter().filter(|set| set.is_map());
        // Maps that lead to endpoints tell most; others speak of the same frontends, or of those without any.
        for map in maps() {
            draft.map(map, true);
        }
        for map in maps() {
            draft.map(map, false);
        }
        // A part of a listing may hold the chains of services alone.
        if ruleset.table.set("service-ips").is_none() {
            draft.chains();
        }
        draft
    }

    fn map(&mut self, map: &'d Set<'d>, leading: bool) {
        for element in &map.elements {
            let Some((address, protocol, port)) = frontend(element) else { continue };
            let target = element.data.and_then(|data| data.split_ascii_whitespace().nth(1)).unwrap_or_default();
            let of_chain = names::split(target).filter(|(kind, _)| *kind != ChainKind::Firewall);
            if of_chain.is_some() != leading {
                continue;
            }
            let at = (address, protocol, port);
            let place = match self.by_frontend.get(&at) {
                Some(place) => *place,
                // Source ranges alone are of no Service.
                None if names::split(target).is_some_and(|(kind, _)| kind == ChainKind::Firewall) => continue,
                None => self.add(at, of_chain, element),
            };
            let frontend = &mut self.sketches[place.0].frontends[place.1];
            frontend.elements.push(element);
            if !leading {
                match names::split(target) {
                    Some((ChainKind::Firewall, _)) => frontend.kind = FrontendKind::LoadBalancer,
                    _ => frontend.refusal = frontend.refusal.or(Some(element)),
                }
            }
        }
    }

    fn add(
        &mut self,
        at: (Option<IpAddr>, Protocol, u16),
        of_chain: Option<(ChainKind, &'d str)>,
        element: &Element<'d>,
    ) -> (usize, usize) {
        let (address, protocol, port) = at;
        let known = || self.known.by_frontend((address, Some(protocol), Some(port))).cloned();
        let of_key = of_chain.and_then(|(_, key)| names::service(key)).map(|(name, _)| name);
        let commented = || element.comment.and_then(ServiceName::parse);
        let cut_short = || of_chain.and_then(|(_, key)| self.known.by_cut_key(key)).cloned();
        let name = of_key.or_else(cut_short).or_else(known).or_else(commented);
        let key = match (&of_chain, &name) {
            (Some((_, key)), _) => (*key).to_owned(),
            (None, Some(name)) => names::key(name, protocol),
            (None, None) => element.key.to_owned(),
        };
        let kind = match (address, of_chain) {
            (None, _) => FrontendKind::NodePort,
            (_, Some((ChainKind::External, _))) => FrontendKind::ExternalIp,
            (Some(address), None) if !self.cluster_ips.is_empty() && !self.cluster_ips.contains(&address) => {
                FrontendKind::ExternalIp
            }
            _ => FrontendKind::ClusterIp,
        };
        let service = self.sketch(key, name, protocol);
        let frontends = &mut self.sketches[service].frontends;
        frontends.push(FrontendSketch { kind, address, port, elements: Vec::new(), refusal: None });
        let place = (service, frontends.len() - 1);
        self.by_frontend.insert(at, place);
        place
    }

    fn sketch(&mut self, key: String, name: Option<ServiceName>, protocol: Protocol) -> usize {
        let next = self.sketches.len();
        let at = *self.by_key.entry((key.clone(), protocol)).or_insert(next);
        if at == next {
            let family = self.ruleset.family;
            let (frontends, roots) = (Vec::new(), Vec::new());
            self.sketches.push(Sketch { name, key, protocol: Some(protocol), family, frontends, roots });
        }
        at
    }

    fn chains(&mut self) {
        for chain in self.ruleset.table.chains() {
            let Some((kind, key)) = names::split(chain.name).filter(|(kind, _)| kind.policy().is_some()) else {
                continue;
            };
            let known = names::service(key);
            let Some(protocol) = known.as_ref().map(|(_, protocol)| *protocol) else { continue };
            let at = self.sketch(key.to_owned(), known.map(|(name, _)| name), protocol);
            if kind.policy().is_some() {
                self.sketches[at].roots.push(chain.name);
            }
        }
    }

    fn finish(mut self) -> Vec<Sketch<'d>> {
        for sketch in &mut self.sketches {
            sketch.frontends.order_by_key(|f| (f.kind, f.address, f.port));
        }
        self.sketches
    }
}

/// The frontend that the key of an element names: `10.96.0.1 . tcp . 443`, or `tcp . 30080` for a node port.
fn frontend(element: &Element<'_>) -> Option<(Option<IpAddr>, Protocol, u16)> {
    let parts: Vec<&str> = element.parts().collect();
    match parts.as_slice() {
        [address, protocol, port] => {
            Some((Some(address.parse().ok()?), Protocol::parse(protocol)?, port.parse().ok()?))
        }
        [protocol, port] => Some((None, Protocol::parse(protocol)?, port.parse().ok()?)),
        _ => None,
    }
}

/// How pods are told from others: by networks or by interfaces.
pub(super) fn pod_side(table: &Table<'_>) -> (Vec<Network>, Vec<String>) {
    let mut told = PodsTold::default();
    table.chain("services").into_iter().flat_map(|chain| &chain.rules).for_each(|raw| tell_of_pods(raw, &mut told));
    let chains = table.chains().iter().filter_map(|chain| Some((names::split(chain.name)?.0, chain)));
    let kinds = [ChainKind::Cluster, ChainKind::Local, ChainKind::External];
    told.by_chains(chains, &kinds, &[ChainKind::External], |told, chain| {
        chain.rules.iter().take(2).for_each(|raw| tell_of_pods(raw, told));
    });
    told.finish()
}

/// Adds what this rule tells of pods.
fn tell_of_pods(raw: &RawRule<'_>, told: &mut PodsTold) {
    let rule = Rule::parse(raw.text);
    let marks = rule.statements.iter().any(|s| {
        matches!(
            s,
            Statement::Set { field: Selector::Mark, .. } | Statement::Verdict(Verdict::Jump("mark-for-masquerade"))
        )
    });
    let to_cluster = rule.statements.iter().any(|s| match s {
        Statement::Verdict(Verdict::Goto(chain)) => {
            names::split(chain).is_some_and(|(kind, _)| kind == ChainKind::Cluster)
        }
        _ => false,
    });
    for statement in &rule.statements {
        let Statement::Match { key, not, value, .. } = statement else { continue };
        let values: &[&str] = match value {
            Data::One(text) => &[text],
            Data::Many(all) => all,
            _ => continue,
        };
        if !((*not && marks) || (!not && to_cluster && !marks)) {
            continue;
        }
        match key.as_slice() {
            [Selector::SourceAddress] => {
                told.networks.extend(values.iter().filter_map(|text| networks_in(text)).flatten());
            }
            [Selector::InInterface] => {
                told.interfaces.extend(values.iter().map(|text| text.replace('*', "+")));
            }
            _ => {}
        }
    }
}
