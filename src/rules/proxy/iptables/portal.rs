//! What is wrong with the rules between a frontend and its pools: chains without effect, rules that come twice.

use super::ruleset::Table;
use super::survey::FrontendSketch;
use crate::dataplane::{DeadEnd, RuleRef};
use crate::dump::iptables::{Match, Rule};
use crate::proxy::chain_name::ChainKind;

/// Chains for external traffic that the frontends lead to and that lead to no service chain.
pub(super) fn dead_ends(nat: Table<'_>, frontends: &[FrontendSketch<'_>]) -> Vec<DeadEnd> {
    let mut dead: Vec<DeadEnd> = Vec::new();
    for raw in frontends.iter().flat_map(|frontend| &frontend.rules) {
        let Some(name) = raw.target_name() else { continue };
        let between = matches!(ChainKind::of(name), ChainKind::External | ChainKind::Firewall);
        let Some(chain) = nat.section.chain(name).filter(|chain| between && chain.declared) else { continue };
        let mut targets = nat.rules(chain.name).filter_map(|raw| raw.target_name());
        if !targets.any(leads_on) && dead.iter().all(|known| known.chain != name) {
            let via = Some(RuleRef { text: nat.text, line: raw.line });
            dead.push(DeadEnd { chain: name.to_owned(), via });
        }
    }
    dead
}

fn leads_on(target: &str) -> bool {
    let kind = ChainKind::of(target);
    kind.serves() || matches!(kind, ChainKind::Endpoint | ChainKind::MarkDrop) || kind == ChainKind::Other
}

/// Rules that ask for the same and lead to the same as an earlier rule of the same frontend, which takes everything.
pub(super) fn repeated(nat: Table<'_>, frontends: &[FrontendSketch<'_>]) -> Vec<RuleRef> {
    let mut repeated = Vec::new();
    for frontend in frontends.iter().filter(|frontend| frontend.rules.len() > 1) {
        let parsed: Vec<(u32, Rule<'_>)> =
            frontend.rules.iter().filter_map(|raw| Some((raw.line, raw.parse().ok()?))).collect();
        let leads = |rule: &Rule<'_>| rule.target.as_ref().is_some_and(|t| ChainKind::of(t.name).serves());
        let choices = parsed.iter().filter(|(_, rule)| leads(rule)).take(MOST);
        let mut seen: Vec<&Rule<'_>> = Vec::new();
        for (line, rule) in choices {
            if seen.iter().any(|earlier| same(earlier, rule)) {
                repeated.push(RuleRef { text: nat.text, line: *line });
            } else {
                seen.push(rule);
            }
        }
    }
    repeated
}

/// More rules of one frontend are not compared; kube-proxy writes two at most.
const MOST: usize = 64;

fn same(one: &Rule<'_>, other: &Rule<'_>) -> bool {
    let by_chance = one.matches.iter().any(|m| matches!(m, Match::Statistic(_)));
    one.target == other.target && !by_chance && conditions(one).eq(conditions(other))
}

fn conditions<'r, 'd>(rule: &'r Rule<'d>) -> impl Iterator<Item = &'r Match<'d>> {
    rule.matches.iter().filter(|m| !matches!(m, Match::Comment(_)))
}
