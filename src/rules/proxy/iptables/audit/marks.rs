//! Does what KUBE-MARK-MASQ marks get masqueraded?

use super::super::mark::{apply, masked};
use super::super::ruleset::Table;
use super::reference;
use crate::dataplane::MarkFault;
use crate::dump::iptables::{Match, Rule};

/// What is wrong between KUBE-MARK-MASQ and KUBE-POSTROUTING, in a nat table that is all there.
pub(super) fn fault(nat: Table<'_>) -> Option<MarkFault> {
    let there = |chain: &str| nat.section.chain(chain).is_some_and(|chain| chain.declared);
    // Kubernetes 1.1 had neither chain.
    if !there("KUBE-MARK-MASQ") || !there("KUBE-POSTROUTING") {
        return None;
    }
    let mark = mark_of(nat)?;
    if mark == 0 {
        return Some(MarkFault::NotSet);
    }
    let evidence = || {
        let both = ["KUBE-MARK-MASQ", "KUBE-POSTROUTING"];
        both.iter().flat_map(|chain| nat.rules(chain)).map(|raw| reference(nat, raw)).take(6).collect()
    };
    match (masquerades(nat, mark), masquerades(nat, 0)) {
        (Some(false), _) => Some(MarkFault::NotActedOn(mark, evidence())),
        (_, Some(true)) => Some(MarkFault::Everything(evidence())),
        _ => None,
    }
}

/// The mark that KUBE-MARK-MASQ leaves; `None` where a rule cannot be read.
fn mark_of(nat: Table<'_>) -> Option<u32> {
    let mut mark = 0;
    for rule in nat.rules("KUBE-MARK-MASQ").filter_map(|raw| raw.parse().ok()) {
        let Some(target) = &rule.target else { continue };
        let takes_all = rule.matches.iter().all(|item| matches!(item, Match::Comment(_)));
        match target.name {
            "MARK" => mark = apply(target, mark)?,
            "RETURN" | "ACCEPT" if takes_all => break,
            _ => {}
        }
    }
    Some(mark)
}

/// Whether KUBE-POSTROUTING masquerades a packet with this mark; `None` where a rule cannot be judged.
fn masquerades(nat: Table<'_>, mut mark: u32) -> Option<bool> {
    for raw in nat.rules("KUBE-POSTROUTING") {
        let rule = raw.parse().ok()?;
        match (meets(&rule, mark), rule.target.as_ref()) {
            // What cannot be judged is of IPVS mode, which asks an ipset for hairpin connections first: others go on.
            (Some(false) | None, _) | (_, None) => {}
            (Some(true), Some(target)) => match target.name {
                "MARK" => mark = apply(target, mark)?,
                "MASQUERADE" | "SNAT" => return Some(true),
                "RETURN" | "ACCEPT" => return Some(false),
                _ => {}
            },
        }
    }
    Some(false)
}

/// Whether a packet with this mark meets the rule; `None` if something else is asked for.
fn meets(rule: &Rule<'_>, mark: u32) -> Option<bool> {
    let mut met = true;
    for item in &rule.matches {
        match item {
            Match::Comment(_) => {}
            Match::Mark { not, value } => {
                let (wanted, bits) = masked(value)?;
                met &= (mark & bits == wanted) != *not;
            }
            _ => return None,
        }
    }
    Some(met)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::iptables::{Dump, Hints};

    fn fault_of(rules: &str) -> Option<MarkFault> {
        let text = format!(":KUBE-MARK-MASQ - [0:0]\n:KUBE-POSTROUTING - [0:0]\n{rules}");
        let dump = Dump::scan(&text, Hints::default());
        fault(Table { section: &dump.sections[0], text: 0, mixed: false })
    }

    const MODERN: &str = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n\
        -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n\
        -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0\n\
        -A KUBE-POSTROUTING -j MASQUERADE --random-fully\n";

    #[test]
    fn what_kube_proxy_writes_is_fine() {
        assert_eq!(fault_of(MODERN), None);
        let old = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n\
                   -A KUBE-POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n";
        assert_eq!(fault_of(old), None);
        // Its restore input says --or-mark.
        assert_eq!(fault_of(&MODERN.replace("--set-xmark 0x4000/0x4000", "--or-mark 0x4000")), None);
        // Another bit, as --iptables-masquerade-bit chooses it, on both sides.
        assert_eq!(fault_of(&MODERN.replace("0x4000", "0x8000")), None);
    }

    #[test]
    fn another_mark_on_one_side_is_seen() {
        let other = MODERN.replace("! --mark 0x4000/0x4000", "! --mark 0x8000/0x8000");
        assert!(matches!(fault_of(&other), Some(MarkFault::NotActedOn(0x4000, _))));
        let unset = MODERN.replace("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n", "");
        assert_eq!(fault_of(&unset), Some(MarkFault::NotSet));
        for ahead in ["-j RETURN", "-j ACCEPT", "-m comment --comment \"not these\" -j RETURN"] {
            assert_eq!(fault_of(&format!("-A KUBE-MARK-MASQ {ahead}\n{MODERN}")), Some(MarkFault::NotSet), "{ahead}");
        }
        assert_eq!(fault_of(&format!("-A KUBE-MARK-MASQ -i eth7 -j RETURN\n{MODERN}")), None);
        let flushed = "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000\n";
        assert!(matches!(fault_of(flushed), Some(MarkFault::NotActedOn(..))));
        let all = MODERN.replace("-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN\n", "");
        assert!(matches!(fault_of(&all), Some(MarkFault::Everything(_))));
    }
}
