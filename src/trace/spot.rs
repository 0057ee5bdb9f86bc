//! Where a rule stands: the hook that asks it, its table and its chain.

use super::hook::Hook;
use crate::dataplane::RuleRef;
use crate::dump::iptables::{RawRule, TableName, Target};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::{Table, translation};

/// A table that is asked at a hook.
#[derive(Clone, Copy)]
pub(super) struct Spot<'d> {
    pub(super) hook: Hook,
    pub(super) name: TableName,
    pub(super) table: Table<'d>,
}

/// A rule of it, or the policy of a built-in chain.
#[derive(Clone, Copy)]
pub(super) struct At<'d> {
    pub(super) spot: Spot<'d>,
    pub(super) chain: &'d str,
    pub(super) raw: Option<RawRule<'d>>,
}

impl<'d> Spot<'d> {
    /// The built-in chain of the hook, or where a part of a dump lacks it the chain of kube-proxy that it leads to; true for
    /// a built-in one.
    pub(super) fn first_chain(self) -> Option<(usize, bool)> {
        let section = self.table.section;
        if let Some(chain) = section.chain_id(self.hook.as_str()) {
            return Some((chain, true));
        }
        let own = match (self.name, self.hook) {
            _ if section.complete => return None,
            (TableName::Nat, Hook::Prerouting | Hook::Output) => "KUBE-SERVICES",
            (TableName::Nat, Hook::Postrouting) => "KUBE-POSTROUTING",
            _ => return None,
        };
        section.chain_id(own).map(|chain| (chain, false))
    }

    /// True if a rule with this target is of the table. In lines that may be of nat and filter both, a rule counts for the
    /// one that can have its target.
    pub(super) fn has(self, target: &Target<'_>) -> bool {
        if !self.table.mixed {
            return true;
        }
        let kind = ChainKind::of(target.name);
        let of_nat = matches!(target.name, "MASQUERADE" | "SNAT" | "KUBE-POSTROUTING")
            || translation(target).is_some()
            || kind.serves()
            || matches!(kind, ChainKind::Endpoint | ChainKind::MarkMasquerade);
        match self.name {
            TableName::Nat => !matches!(target.name, "REJECT" | "DROP"),
            _ => !of_nat,
        }
    }

    /// The place of a rule in `chain`; of its policy without one.
    pub(super) fn at(self, chain: &'d str, raw: Option<RawRule<'d>>) -> At<'d> {
        At { spot: self, chain, raw }
    }
}

impl At<'_> {
    /// The rule, to be found in its text; `None` for a policy.
    pub(super) fn rule(self) -> Option<RuleRef> {
        self.raw.map(|raw| RuleRef { text: self.spot.table.text, line: raw.line })
    }

    /// Its line, from 1; 0 for a policy.
    pub(super) fn line(self) -> u32 {
        self.raw.map_or(0, |raw| raw.line)
    }
}
