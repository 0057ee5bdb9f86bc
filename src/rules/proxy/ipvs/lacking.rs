//! The ipsets that rules of iptables ask for and that were not read.

use crate::dump::ipset::Sets;
use crate::net::Family;
use crate::order::Order as _;
use crate::proxy::iptables::{Ruleset, Table};

/// The words before the name of a set in a rule.
const ASKS: &str = "--match-set ";

/// kube-proxy's sets that rules ask for and no listing has, by name, in order. The kernel keeps every set that a rule asks for, so
/// that they are on the node.
pub fn unread_sets(rulesets: &[Ruleset<'_>], sets: &Sets<'_>) -> Vec<String> {
    let mut unread: Vec<String> = Vec::new();
    let tables = rulesets.iter().flat_map(|ruleset| ruleset.nat.into_iter().chain(ruleset.filter));
    for table in tables {
        for name in asked(table).filter(|name| name.starts_with("KUBE-") && sets.get(name).is_none()) {
            if !unread.iter().any(|known| known == name) {
                unread.push(name.to_owned());
            }
        }
    }
    unread.order();
    unread
}

/// The sets that rules of a table ask for.
fn asked(table: Table<'_>) -> impl Iterator<Item = &str> {
    let rules = table.section.chains().iter().flat_map(move |chain| table.rules(chain.name));
    rules.flat_map(|raw| raw.text.split(ASKS).skip(1).filter_map(|rest| rest.split_ascii_whitespace().next()))
}

/// True if ipsets of a family that rules may ask for were not read, or not all of one.
pub fn lacks_sets(sets: &Sets<'_>, family: Family) -> bool {
    let is_of_family = |name: &String| name.starts_with("KUBE-6-") == (family == Family::Ipv6);
    sets.is_empty() || sets.cut_off || sets.lacking.iter().any(is_of_family)
}
