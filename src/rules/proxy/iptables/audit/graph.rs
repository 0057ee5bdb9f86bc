//! Which chains of the nat table lead to which: jumps into nothing, and chains nothing leads to.

use super::super::comment;
use super::super::followed::Followed;
use super::super::ruleset::Table;
use super::{EVIDENCE, reference};
use crate::dataplane::{Dangling, Orphans};
use crate::dump::iptables::{Chain, RawRule};
use crate::order::Order as _;
use crate::proxy::chain_name::ChainKind;

/// More jumps into nothing are not kept.
const MOST_DANGLING: usize = 100;

/// Orphans that are named.
const NAMED: usize = 3;

/// What following every jump has shown.
#[derive(Default)]
pub(in crate::proxy::iptables) struct Graph {
    pub(super) dangling: Vec<Dangling>,
    pub(super) orphans: Orphans,
}

/// Follows every jump of `nat` from the built-in chains, and from kube-proxy's own in case these are not reached: a missing
/// hook does not make every chain behind it an orphan. Chains that were read when their pools were followed are not read
/// again; what is missing below them is known from there.
pub(super) fn of(nat: Table<'_>, followed: &Followed) -> Graph {
    let section = nat.section;
    let chains = section.chains();
    let mut reached: Vec<bool> = (0..chains.len()).map(|id| followed.is_reached(id)).collect();
    let is_open = |id: usize| !followed.is_read(id) && ChainKind::of(chains[id].name) != ChainKind::Endpoint;
    let mut open: Vec<usize> = (0..chains.len()).filter(|&id| reached[id] && is_open(id)).collect();
    let mut graph = Graph::default();
    let starts = |chain: &Chain<'_>| {
        section.policy(chain.name).is_some()
            || matches!(chain.name, "KUBE-SERVICES" | "KUBE-NODEPORTS" | "KUBE-POSTROUTING")
    };
    for (id, chain) in chains.iter().enumerate() {
        if !ChainKind::of(chain.name).is_of_services() && starts(chain) {
            reached[id] = true;
            open.push(id);
        }
    }
    while let Some(id) = open.pop() {
        for raw in section.rules_of(&chains[id]) {
            let Some(target) = raw.target_name() else { continue };
            match section.chain_id(target) {
                Some(next) if !std::mem::replace(&mut reached[next], true) && is_open(next) => open.push(next),
                None if target.starts_with("KUBE-") => dangle(&mut graph.dangling, nat, chains[id].name, target, raw),
                _ => {}
            }
        }
    }
    graph.dangling.order_by(|a, b| a.rules.cmp(&b.rules));
    let lost =
        chains.iter().zip(&reached).filter(|(chain, reached)| !**reached && ChainKind::of(chain.name).is_of_services());
    for (chain, _) in lost {
        let orphans = &mut graph.orphans;
        orphans.chains += 1;
        let mut rules = section.rules_of(chain);
        let first = rules.next();
        orphans.rules += usize::from(first.is_some()) + rules.count();
        if orphans.first.len() < NAMED {
            let named = first.and_then(|raw| comment::service(raw.parse().ok()?.comment()?));
            orphans.first.push((chain.name.to_owned(), named));
        }
        if let Some(first) = first.filter(|_| orphans.some_rules.len() < EVIDENCE) {
            orphans.some_rules.push(reference(nat, first));
        }
    }
    graph
}

/// Notes a jump into nothing beside others to the same chain.
fn dangle(dangling: &mut Vec<Dangling>, nat: Table<'_>, from: &str, to: &str, raw: RawRule<'_>) {
    let service = || comment::service(raw.parse().ok()?.comment()?);
    let rule = reference(nat, raw);
    if let Some(known) = dangling.iter_mut().find(|known| known.to == to) {
        if known.rules.len() < EVIDENCE {
            known.service = known.service.take().or_else(service);
            known.rules.push(rule);
        }
    } else if dangling.len() < MOST_DANGLING {
        let (from, to) = (from.to_owned(), to.to_owned());
        dangling.push(Dangling { from, to, rules: vec![rule], service: service() });
    }
}
