//! What holds the rules of a node together: hooks, marks, chains that lead nowhere, rules in the way, other modes.

mod graph;
mod hooks;
mod marks;
mod modes;
mod shadow;

use super::ruleset::Table;
use super::survey::{InFamily, Sketch, Survey};
use super::translate::{self, Translation};
use crate::dataplane::{BothBackends, Garbled, Orphans, RuleRef, Wiring};
use crate::dump::iptables::{Backend, RawRule};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What the services asked about depend on. Costs what the chains around them cost.
    Services,
    /// Every rule of the tables.
    Everything,
}

/// Rules of a kind that are kept as evidence.
const EVIDENCE: usize = 3;

impl<'d> Survey<'d> {
    /// The rules of each family as a whole; `sketches` are the service ports asked about.
    pub fn wirings(&self, sketches: &[&Sketch<'d>], depth: Depth) -> Vec<Wiring> {
        self.families.iter().map(|family| self.wiring(family, sketches, depth)).collect()
    }

    fn wiring(&self, family: &InFamily<'d>, sketches: &[&Sketch<'d>], depth: Depth) -> Wiring {
        let (nat, filter) = (family.ruleset.nat, family.ruleset.filter);
        let whole = nat.is_some_and(|nat| nat.is_whole_nat());
        let filter_whole = filter.is_some_and(|filter| filter.is_whole_filter());
        let modes = modes::of(nat, filter);
        let known = nat.filter(|_| whole);
        let graph = known.filter(|_| depth == Depth::Everything).map(graph::of).unwrap_or_default();
        let shadows = shadow::of(self, family, sketches);
        Wiring {
            family: family.ruleset.family,
            both_backends: family.ruleset.rival.zip(nat).and_then(|(rival, nat)| both_backends(nat, rival)),
            whole,
            filter_whole,
            missing_hooks: hooks::missing(known, filter.filter(|_| filter_whole), modes.mode),
            portal_is_empty: known.is_some_and(hooks::portal_is_empty),
            mark: known.and_then(marks::fault),
            dangling: graph.dangling,
            orphans: graph.orphans,
            garbled: nat.filter(|_| depth == Depth::Everything).map(garbled).unwrap_or_default(),
            shadows: shadows.found,
            shadows_unknown: shadows.too_many,
            mode: modes.mode,
            leftovers: modes.leftovers,
        }
    }
}

fn both_backends(nat: Table<'_>, rival: Table<'_>) -> Option<BothBackends> {
    let of = |backend| [nat, rival].into_iter().find(|table| table.section.backend == Some(backend));
    let (nft, legacy) = of(Backend::NfTables).zip(of(Backend::Legacy))?;
    let first = |table: Table<'_>| table.rules("KUBE-SERVICES").next().map(|raw| reference(table, raw));
    let rules = [nft, legacy].into_iter().filter_map(first).collect();
    Some(BothBackends { nft: nft.section.rules, legacy: legacy.section.rules, rules })
}

/// Rules the printing iptables could not print. Only such rules lack a destination, so that others are passed over fast.
fn garbled(nat: Table<'_>) -> Garbled {
    let mut garbled = Garbled::default();
    let section = nat.section;
    for raw in section.chains().iter().flat_map(|chain| section.rules_of(chain)) {
        if is_garbled(raw) {
            garbled.count += 1;
            if garbled.rules.len() < EVIDENCE {
                garbled.rules.push(reference(nat, raw));
            }
        }
    }
    garbled
}

fn is_garbled(raw: RawRule<'_>) -> bool {
    // `… --to-destination 10.0.0.1:80` at the end of the line is what nearly every rule with DNAT has.
    let Some((_, last)) = raw.text.rsplit_once(' ') else { return false };
    let plain = last.as_bytes().first().is_some_and(|c| c.is_ascii_digit() || *c == b'[') && !last.starts_with("0.0.0.0");
    if !raw.text.contains("DNAT") || (plain && raw.text.ends_with(last) && raw.text.matches("--to-destination").count() == 1)
    {
        return false;
    }
    let target = raw.parse().ok().and_then(|rule| rule.target);
    target.is_some_and(|target| translate::of(&target) == Some(Translation::Garbled))
}

fn reference(table: Table<'_>, raw: RawRule<'_>) -> RuleRef {
    RuleRef { text: table.text, line: raw.line }
}

/// Nothing found.
impl Default for graph::Graph {
    fn default() -> Self {
        Self { dangling: Vec::new(), orphans: Orphans::default() }
    }
}
