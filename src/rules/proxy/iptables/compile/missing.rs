//! Steps for the rules of a chain that may be among the lines that are missing in the text.

use super::{Action, Oddity, Program, Step};
use crate::dump::iptables::{Chain, Target};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::matching::Destination;
use crate::proxy::iptables::translate;

impl Program<'_, '_, '_> {
    /// Rules that came before those of `chain` that are here.
    pub(super) fn missing_before(&mut self, chain: &Chain<'_>) {
        let section = self.table.section;
        if section.begins_in(chain) || (section.has_gaps() && ChainKind::of(chain.name).serves()) {
            // Nothing can be said of what gets here.
            self.steps.push(Step::MISSING);
        }
    }

    /// Rules that came behind those of `chain` that are here, whose steps begin at `start`, or stood between them.
    pub(super) fn missing_behind(&mut self, chain: &Chain<'_>, node: usize, start: usize) {
        let section = self.table.section;
        if section.ends_in(chain) {
            // The rules that came next are lost: nothing can be said of what is left here.
            self.oddity(Oddity::CutOff(chain.name.to_owned()));
            self.steps.push(Step::UNKNOWN);
        } else if section.may_lack_rules(chain) {
            // What is left here may be taken by rules that are missing.
            self.steps.push(Step::MISSING);
            let lost = || self.is_unused(node) && self.are_chosen(chain, node, &self.steps[start..]);
            if lacks_jumps(&self.steps[start..]) || lost() {
                self.steps.insert(start, Step::MISSING);
            }
        }
    }

    /// True if the rules of this chain of a kind are here as far as can be told, even if there are none. Where the text ends inside
    /// the table, the rules of a declared chain may be what was lost.
    pub(super) fn has_its_rules(&mut self, id: usize, kind: ChainKind) -> bool {
        let section = self.table.section;
        let chain = &section.chains()[id];
        if chain.is_empty() {
            return chain.declared && !section.cut_off && !section.may_lack_rules(chain);
        }
        kind != ChainKind::Endpoint || section.complete || self.translates(id)
    }

    /// True if a rule of the chain translates the destination. In a part of a dump (`-L | grep KUBE`) the one that does may
    /// be missing while others of the chain are there.
    fn translates(&mut self, id: usize) -> bool {
        let section = self.table.section;
        let leads_on =
            |name: &str| ChainKind::of(name) != ChainKind::MarkMasquerade && section.chain_id(name).is_some();
        let translates = |target: &Target<'_>| translate::of(target).is_some() || leads_on(target.name);
        // Asked once for each chain, however many rules lead there.
        *self.translating.entry(id).or_insert_with(|| {
            let mut rules = section.rules_of(&section.chains()[id]).filter_map(|raw| raw.parse().ok());
            rules.any(|rule| rule.target.as_ref().is_some_and(translates))
        })
    }

    /// True if it is the pool, and no rule leads there.
    fn is_unused(&self, node: usize) -> bool {
        node == 0 && self.connection.destination == Destination::OneOf(&[])
    }

    /// True if other rules of the chain may have been left away that look like these. Since 1.25 comments have the addresses that
    /// `grep ADDRESS` chooses by, which leaves no line with nothing but the name of a chain; and the first rule is the one that marks,
    /// so that a text may begin with others because of `tail`. A few older rules are what somebody wanted to show.
    fn are_chosen(&self, chain: &Chain<'_>, node: usize, steps: &[Step]) -> bool {
        let section = self.table.section;
        let is_bare = |step: &Step| matches!(step.action, Action::Jump(next) if !section.chains()[self.nodes[next].chain].declared);
        !self.nodes[node].marks
            && (section.is_first(chain) || steps.iter().any(is_bare))
            && section.rules_of(chain).any(|raw| raw.text.contains(" -> "))
    }
}

/// True if the first step that leads on takes one of more parts than steps lead on: kube-proxy gives the first of n endpoints 1/n.
fn lacks_jumps(steps: &[Step]) -> bool {
    let mut leading = steps.iter().filter(|step| matches!(step.action, Action::Jump(_)));
    let first = leading.next().filter(|step| step.takes.known && step.takes.value > 0.0);
    let jumps = u32::try_from(leading.count() + 1).unwrap_or(u32::MAX);
    first.is_some_and(|first| f64::from(jumps) < (1.0 / first.takes.value).round())
}
