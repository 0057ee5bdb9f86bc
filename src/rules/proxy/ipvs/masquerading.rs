//! The ipsets that rules of the nat table ask for whom to masquerade, and whether they ask.

use super::set_name;
use crate::dataplane::MarkFault;
use crate::dump::ipset::Sets;
use crate::dump::iptables::HIDDEN;
use crate::net::Family;
use crate::proxy::iptables::Table;

/// What is wrong with the sets or the rules that ask for them. `nat` is all there.
pub fn fault(nat: Table<'_>, sets: &Sets<'_>, family: Family) -> Option<MarkFault> {
    // kubelet had chains of these names too, beside a kube-proxy that writes to the other interface of the kernel.
    nat.rules("KUBE-SERVICES").next()?;
    hairpins(nat, sets, family).or_else(|| cluster_ips(nat, sets, family))
}

/// The ipset of endpoints of the node that reach themselves.
pub(super) const LOOP_BACK: &str = "LOOP-BACK";

/// True if the set of endpoints that reach themselves ends its listing: nothing tells whether it went on.
pub fn may_lack_hairpins(sets: &Sets<'_>, family: Family) -> bool {
    sets.get(&set_name(family, LOOP_BACK)).is_some_and(|set| set.is_last)
}

/// The set of endpoints that reach themselves is of no use without the rule that asks for it, which kube-proxy writes when the
/// set has members (`writeIptablesRules`, pkg/proxy/ipvs/proxier.go).
fn hairpins(nat: Table<'_>, sets: &Sets<'_>, family: Family) -> Option<MarkFault> {
    let name = set_name(family, LOOP_BACK);
    let set = sets.get(&name)?;
    if set.members.is_empty() {
        return (!set.is_last).then_some(MarkFault::NoHairpins(name));
    }
    // Where the chain has no rules at all, the hook is missing or the mark is not acted on.
    let flushed = nat.rules("KUBE-POSTROUTING").next().is_none();
    let mut rules = ["KUBE-POSTROUTING", "POSTROUTING"].iter().flat_map(|chain| nat.rules(chain));
    let is_asked = rules.any(|raw| asks(raw.text, &name) || raw.parse().is_err());
    (!flushed && !is_asked).then_some(MarkFault::NotHairpins(set.members.len()))
}

/// Whoever uses a cluster IP from outside is masqueraded by one rule that asks the set of all, whatever is known of pods.
fn cluster_ips(nat: Table<'_>, sets: &Sets<'_>, family: Family) -> Option<MarkFault> {
    let name = set_name(family, "CLUSTER-IP");
    let set = sets.get(&name)?;
    let marks = nat.rules("KUBE-SERVICES").any(|raw| match raw.target_name() {
        Some("KUBE-MARK-MASQ") => asks(raw.text, &name),
        _ => is_garbled(raw.text) || raw.parse().is_err(),
    });
    (!set.members.is_empty() && !marks).then_some(MarkFault::NotClusterIps(name))
}

/// True if a rule asks whether a set has a member, or may do so.
fn asks(rule: &str, set: &str) -> bool {
    let negated = ["! --match-set ", set].concat();
    let is_named = rule.split_ascii_whitespace().any(|word| word == set);
    is_named && !rule.contains(&negated) || is_garbled(rule)
}

/// True if the program that printed the rule could not print all of it.
fn is_garbled(rule: &str) -> bool {
    rule.contains("[unsupported") || rule.contains(HIDDEN)
}
