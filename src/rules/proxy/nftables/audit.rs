//! What holds kube-proxy's table together: hooks, chains that lead nowhere.

use hashbrown::{HashMap, HashSet};

use super::masquerading;
use super::names;
use super::survey::{InFamily, Survey};
use crate::dataplane::{Dangling, HookFault, MissingHook, Mode, Orphans, RuleRef, Wiring};
use crate::dump::nft::{Chain, Key, Map, Rule, Statement, Table, Verdict};
use crate::proxy::iptables::Depth;

/// Rules of a kind that are kept as evidence.
const EVIDENCE: usize = 3;

/// Where packets enter, and what of kube-proxy they must reach from there.
const HOOKS: [(&str, &str); 3] = [("prerouting", "services"), ("output", "services"), ("postrouting", "masquerading")];

/// The maps by which connections get to Services, which the chain `services` asks.
const PORTALS: [&str; 2] = ["service-ips", "service-nodeports"];

/// The map of the addresses at which connections are refused for want of endpoints.
const REFUSED_ADDRESSES: &str = "no-endpoint-services";

/// Where new connections must be held against a map of what is refused or dropped (`ensureChain` of the `filter-` chains,
/// pkg/proxy/nftables/proxier.go).
const FILTERS: [(&str, &str); 6] = [
    ("prerouting", "firewall-ips"),
    ("output", "firewall-ips"),
    ("input", "no-endpoint-nodeports"),
    ("input", REFUSED_ADDRESSES),
    ("forward", REFUSED_ADDRESSES),
    ("output", REFUSED_ADDRESSES),
];

impl Survey<'_> {
    /// The rules of each family as a whole.
    pub fn wirings(&self, depth: Depth) -> Vec<Wiring> {
        self.families.iter().map(|family| wiring(family, depth)).collect()
    }
}

fn wiring(family: &InFamily<'_>, depth: Depth) -> Wiring {
    let (table, text) = (family.ruleset.table, family.ruleset.text);
    let whole = family.ruleset.is_whole();
    let everything = whole && depth == Depth::Everything;
    let reached = if everything { reached(table) } else { HashSet::new() };
    Wiring {
        missing_hooks: if whole { missing_hooks(table) } else { Vec::new() },
        portal_is_empty: whole && portal_is_empty(table),
        mark: whole.then(|| masquerading::fault(table, text)).flatten(),
        dangling: if everything { dangling(table, text) } else { Vec::new() },
        orphans: if everything { orphans(table, text, &reached) } else { Orphans::default() },
        whole,
        filter_whole: whole,
        ..Wiring::blank(family.ruleset.family, Mode::Nftables)
    }
}

/// Chains that a chain's rules lead to.
fn targets<'d>(table: &'d Table<'d>, chain: &'d Chain<'d>) -> Vec<(&'d str, u32)> {
    let mut found = Vec::new();
    let mut add = |verdict: Option<Verdict<'d>>, line: u32| {
        if let Some(Verdict::Jump(name) | Verdict::Goto(name)) = verdict {
            found.push((name, line));
        }
    };
    for raw in &chain.rules {
        for statement in Rule::parse(raw.text).statements {
            match statement {
                Statement::Verdict(verdict) => add(Some(verdict), raw.line),
                Statement::VerdictMap(_, Map::Inline(pairs)) => {
                    for (_, data) in pairs {
                        add(Verdict::parse(data), raw.line);
                    }
                }
                Statement::VerdictMap(Key::Fields(_), Map::Named(name)) => {
                    let elements = table.set(name).into_iter().flat_map(|set| &set.elements);
                    elements.for_each(|element| add(element.data.and_then(Verdict::parse), element.line));
                }
                _ => {}
            }
        }
    }
    found
}

/// Every chain that packets get to.
fn reached<'d>(table: &'d Table<'d>) -> HashSet<&'d str> {
    reached_from(table, table.base_chains().map(|(chain, _)| chain))
}

fn reached_from<'d>(table: &'d Table<'d>, from: impl Iterator<Item = &'d Chain<'d>>) -> HashSet<&'d str> {
    let mut open: Vec<&Chain<'_>> = from.collect();
    let mut seen: HashSet<&str> = open.iter().map(|chain| chain.name).collect();
    while let Some(chain) = open.pop() {
        for (name, _) in targets(table, chain) {
            if let Some(next) = table.chain(name)
                && seen.insert(next.name)
            {
                open.push(next);
            }
        }
    }
    seen
}

/// True if packets get from a hook of type nat to a chain.
pub(super) fn leads(table: &Table<'_>, hook: &str, target: &str) -> bool {
    let of_hook = || table.base_chains().filter(|(_, base)| base.kind == "nat" && base.hook == hook);
    let direct = |chain: &Chain<'_>| targets(table, chain).iter().any(|(name, _)| *name == target);
    // kube-proxy jumps there at once; what leads there by a detour leads there too.
    of_hook().any(|(chain, _)| direct(chain)) || reached_from(table, of_hook().map(|(chain, _)| chain)).contains(target)
}

/// True if what is refused for want of endpoints is refused to the node itself before its connections are translated, so that
/// those that could go to endpoints of other nodes are dropped too. In older releases, 1.30 among them, the chain `filter-output`
/// comes before nat (`nftablesBaseChains`, pkg/proxy/nftables/proxier.go).
pub fn refuses_node_first(table: &Table<'_>) -> bool {
    let of_output =
        |kind: &'static str| table.base_chains().filter(move |(_, base)| base.kind == kind && base.hook == "output");
    let Some(translates) = of_output("nat").map(|(_, base)| base.priority).min() else { return false };
    let before = of_output("filter").filter(|(_, base)| base.priority < translates).map(|(chain, _)| chain);
    reached_from(table, before).into_iter().any(|chain| asks(table, chain, REFUSED_ADDRESSES))
}

fn missing_hooks(table: &Table<'_>) -> Vec<MissingHook> {
    let missing = HOOKS.into_iter().filter(|(hook, target)| !leads(table, hook, target));
    let missing = missing.map(|(chain, target)| MissingHook {
        table: "nat",
        chain,
        target,
        fault: HookFault::Gone,
        rules: Vec::new(),
    });
    missing.chain(missing_portals(table)).chain(missing_filters(table)).collect()
}

/// Maps of Services that have elements and are not asked behind the chain that is there for that.
fn missing_portals(table: &Table<'_>) -> impl Iterator<Item = MissingHook> {
    let portal =
        table.chain("services").filter(|_| ["prerouting", "output"].iter().any(|hook| leads(table, hook, "services")));
    let asked = reached_from(table, portal.into_iter());
    let is_missing =
        move |map: &&str| portal.is_some() && has_elements(table, map) && !asked.iter().any(|c| asks(table, c, map));
    PORTALS.into_iter().filter(is_missing).map(|target| MissingHook {
        table: "nat",
        chain: "services",
        target,
        fault: HookFault::Gone,
        rules: Vec::new(),
    })
}

fn has_elements(table: &Table<'_>, map: &str) -> bool {
    table.set(map).is_some_and(|set| !set.elements.is_empty())
}

/// True if a rule of the chain looks what it does up in the map.
fn asks(table: &Table<'_>, chain: &str, map: &str) -> bool {
    let is_lookup = |s: &Statement<'_>| matches!(s, Statement::VerdictMap(_, Map::Named(name)) if *name == map);
    rules(table, chain).any(|(rule, _)| rule.statements.iter().any(is_lookup))
}

/// Hooks from which a map of refusals that has elements is not asked.
fn missing_filters(table: &Table<'_>) -> impl Iterator<Item = MissingHook> {
    let asked = move |hook: &str, map: &str| {
        let of_hook = table.base_chains().filter(|(_, base)| base.kind == "filter" && base.hook == hook);
        reached_from(table, of_hook.map(|(chain, _)| chain)).into_iter().any(|chain| asks(table, chain, map))
    };
    let missing = FILTERS.into_iter().filter(move |(hook, map)| has_elements(table, map) && !asked(hook, map));
    missing.map(|(chain, target)| MissingHook {
        table: "filter",
        chain,
        target,
        fault: HookFault::Gone,
        rules: Vec::new(),
    })
}

/// The maps lead to no Service, though chains of Services are there.
fn portal_is_empty(table: &Table<'_>) -> bool {
    let no_map = PORTALS.iter().all(|map| !has_elements(table, map));
    let any = table.chains().iter().any(|chain| {
        !chain.rules.is_empty() && names::split(chain.name).is_some_and(|(kind, _)| kind.policy().is_some())
    });
    no_map && any
}

/// The rules of a chain, and their lines.
pub(super) fn rules<'d>(table: &'d Table<'d>, chain: &str) -> impl Iterator<Item = (Rule<'d>, u32)> {
    table.chain(chain).into_iter().flat_map(|chain| &chain.rules).map(|raw| (Rule::parse(raw.text), raw.line))
}

fn dangling(table: &Table<'_>, text: u16) -> Vec<Dangling> {
    let mut all: Vec<Dangling> = Vec::new();
    let mut places = HashMap::new();
    for chain in table.chains() {
        for (to, line) in targets(table, chain).into_iter().filter(|(to, _)| table.chain(to).is_none()) {
            let place = *places.entry(to).or_insert(all.len());
            if place == all.len() {
                all.push(Dangling {
                    from: chain.name.to_owned(),
                    to: to.to_owned(),
                    rules: Vec::new(),
                    service: names::split(to).and_then(|(_, key)| names::service(key)).map(|(name, _)| name),
                });
            }
            if all[place].rules.len() < EVIDENCE {
                all[place].rules.push(RuleRef { text, line });
            }
        }
    }
    all
}

fn orphans(table: &Table<'_>, text: u16, reached: &HashSet<&str>) -> Orphans {
    let mut orphans = Orphans::default();
    for chain in table.chains().iter().filter(|chain| !reached.contains(chain.name)) {
        let Some((_, key)) = names::split(chain.name) else { continue };
        orphans.chains += 1;
        orphans.rules += chain.rules.len();
        if orphans.first.len() < EVIDENCE {
            orphans.first.push((chain.name.to_owned(), names::service(key).map(|(name, _)| name)));
            orphans.some_rules.extend(chain.rules.first().map(|raw| RuleRef { text, line: raw.line }));
        }
    }
    orphans
}
