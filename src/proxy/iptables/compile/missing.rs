//! Steps for the rules of a chain that may be among the lines that are missing in the text.

use super::{Action, Oddity, Program, Step};
use crate::dump::iptables::Chain;
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::matching::Destination;

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
            let lost =
                || self.is_unused(node) && (self.are_chosen(&self.steps[start..]) || self.begin_text(chain, node));
            if lacks_jumps(&self.steps[start..]) || lost() {
                self.steps.insert(start, Step::MISSING);
            }
        }
    }

    /// True if it is the pool, and no rule leads there.
    fn is_unused(&self, node: usize) -> bool {
        node == 0 && self.connection.destination == Destination::OneOf(&[])
    }

    /// True if rules are here for what they lead to, as `grep ADDRESS` leaves them: the lines with nothing but the names of those
    /// chains are gone.
    fn are_chosen(&self, steps: &[Step]) -> bool {
        let chains = self.table.section.chains();
        let declared = |node: usize| chains[self.nodes[node].chain].declared;
        steps.iter().any(|step| matches!(step.action, Action::Jump(next) if !declared(next)))
    }

    /// True if the text begins with rules of `chain`, and not with the one that marks, which kube-proxy writes first: `tail`.
    fn begin_text(&self, chain: &Chain<'_>, node: usize) -> bool {
        self.table.section.is_first(chain) && !self.nodes[node].marks
    }
}

/// True if the first step that leads on takes one of more parts than steps lead on: kube-proxy gives the first of n endpoints 1/n.
fn lacks_jumps(steps: &[Step]) -> bool {
    let mut leading = steps.iter().filter(|step| matches!(step.action, Action::Jump(_)));
    let first = leading.next().filter(|step| step.takes.known && step.takes.value > 0.0);
    let jumps = u32::try_from(leading.count() + 1).unwrap_or(u32::MAX);
    first.is_some_and(|first| f64::from(jumps) < (1.0 / first.takes.value).round())
}
