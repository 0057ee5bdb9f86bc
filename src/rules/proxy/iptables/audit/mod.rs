//! What holds the rules of a node together: hooks, marks, chains that lead nowhere, rules in the way, other modes.

mod ahead;
mod claims;
mod graph;
mod held;
mod hooks;
mod marks;
mod modes;
mod narrowing;
mod shadow;

pub use modes::{left as leftovers, mode_of as mode};

use super::ruleset::Table;
use super::survey::{InFamily, Sketch, Survey};
use crate::dataplane::{BothBackends, Mode, RuleRef, Wiring};
use crate::dump::iptables::{Backend, RawRule};

/// How much is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// What the services asked about depend on. Costs what the chains around them cost.
    Services,
    /// Every rule of the tables.
    Everything,
}

/// The chain in which kube-proxy's own rules begin. Others may stand between it and the hook.
const PORTAL: &str = "KUBE-SERVICES";

/// Rules of a kind that are kept as evidence.
const EVIDENCE: usize = 3;

impl<'d> Survey<'d> {
    /// The rules of each family as a whole; `sketches` are the service ports asked about. `mode` is the one in use, where something
    /// else than these rules tells it.
    pub fn wirings(&self, sketches: &[&Sketch<'d>], depth: Depth, mode: Option<Mode>) -> Vec<Wiring> {
        self.families.iter().map(|family| self.wiring(family, sketches, depth, mode)).collect()
    }

    fn wiring(&self, family: &InFamily<'d>, sketches: &[&Sketch<'d>], depth: Depth, mode: Option<Mode>) -> Wiring {
        let (nat, filter) = (family.ruleset.nat, family.ruleset.filter);
        let whole = nat.is_some_and(|nat| nat.is_whole_nat());
        let filter_whole = filter.is_some_and(|filter| filter.is_whole_filter());
        let modes = modes::of(nat, filter);
        let known = nat.filter(|_| whole);
        let graph = known
            .filter(|_| depth == Depth::Everything)
            .map(|nat| graph::of(nat, &family.followed))
            .unwrap_or_default();
        let shadows = shadow::of(self, family, sketches);
        Wiring {
            family: family.ruleset.family,
            both_backends: family.ruleset.rival.zip(nat).and_then(|(rival, nat)| both_backends(nat, rival)),
            whole,
            filter_whole,
            missing_hooks: hooks::missing(known, filter.filter(|_| filter_whole), mode.or(modes.mode)),
            emptied: known.is_some_and(hooks::is_emptied),
            portal_is_empty: known.is_some_and(|nat| hooks::portal_is_empty(nat, &graph.orphans)),
            mark: known.and_then(marks::fault),
            dangling: graph.dangling,
            orphans: graph.orphans,
            shadows: shadows.found,
            shadows_unknown: shadows.too_many,
            shadows_undecided: shadows.undecided,
            mode: modes.mode,
            said: None,
            unseen: false,
            unbound: None,
            addresses_cut: false,
            sets_missing: false,
            hairpins_untold: false,
            closed: Vec::new(),
            external_chains: nat.is_some_and(|nat| nat.has_external_chains()),
            opens_everywhere: nat.is_some_and(hooks::opens_everywhere),
            no_portal: false,
            leftovers: modes.leftovers,
        }
    }
}

fn both_backends(nat: Table<'_>, rival: Table<'_>) -> Option<BothBackends> {
    let of = |backend| [nat, rival].into_iter().find(|table| table.section.backend == Some(backend));
    let (nft, legacy) = of(Backend::NfTables).zip(of(Backend::Legacy))?;
    let first = |table: Table<'_>| table.rules("KUBE-SERVICES").next().map(|raw| reference(table, raw));
    let rules = [nft, legacy].into_iter().filter_map(first).collect();
    let is_idle = |table: &Table<'_>| {
        table.is_whole_nat() && ["PREROUTING", "OUTPUT"].iter().all(|hook| !hooks::leads(*table, hook, "KUBE-SERVICES"))
    };
    let idle = [nft, legacy].into_iter().find(is_idle).and_then(|table| table.section.backend).map(Backend::as_str);
    Some(BothBackends { nft: nft.section.rules, legacy: legacy.section.rules, idle, rules })
}

fn reference(table: Table<'_>, raw: RawRule<'_>) -> RuleRef {
    RuleRef { text: table.text, line: raw.line }
}
