//! Steps of the rules that a large dump has a hundred thousand of: they are told without being parsed, several at a time.

use super::{Action, Program, Step};
use crate::dataplane::Address;
use crate::dump::iptables::{RawRule, Usual};
use crate::net::Protocol;
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::part::{self, Part};
use crate::proxy::iptables::translate;

/// So many rules are looked ahead at, in chains that have more than a few.
const AHEAD: usize = 64;

impl<'d> Program<'_, 'd, '_> {
    /// Compiles rules of a node, looking up the chains of several at a time.
    pub(super) fn steps_ahead(&mut self, node: usize, mut rules: impl Iterator<Item = RawRule<'d>>) {
        let mut ahead = Vec::with_capacity(AHEAD);
        loop {
            ahead.clear();
            ahead.extend(rules.by_ref().take(AHEAD).map(|raw| (raw, raw.usual())));
            if ahead.is_empty() {
                return;
            }
            let name = |(raw, usual): &(RawRule<'d>, Option<Usual<'d>>)| match usual {
                Some(Usual::Jump { target, .. }) => target,
                _ => raw.target_name().unwrap_or_default(),
            };
            let names: Vec<&str> = ahead.iter().map(name).collect();
            for ((raw, usual), behind) in ahead.iter().zip(self.table.section.chain_ids(&names)) {
                self.step(node, (*raw, behind), *usual);
            }
        }
    }

    /// The step of a rule as most are; `None` where there is more to it.
    pub(super) fn usual_step(
        &mut self,
        node: usize,
        (raw, behind): (RawRule<'d>, Option<usize>),
        usual: Usual<'d>,
    ) -> Option<Step> {
        match usual {
            Usual::Jump { probability, target } => {
                let kind = Some(ChainKind::of(target)).filter(|kind| *kind == ChainKind::Endpoint)?;
                let value = probability.map_or(Some(1.0), part::random)?;
                let chain = behind.or_else(|| self.table.section.chain_id(target));
                let chain = chain.filter(|&id| self.has_its_rules(id, kind))?;
                Some(Step { takes: Part { value, known: true }, action: Action::Jump(self.lead(chain, kind, raw)) })
            }
            Usual::Translation { protocol, to } => {
                let protocol = Protocol::parse(protocol)?;
                let is_met = self.connection.protocol.is_none_or(|of_connection| of_connection == protocol);
                let (ip, port) = Some(to).filter(|(ip, port)| is_met && !translate::is_garbled(*ip, Some(*port)))?;
                let action = self.translated(node, Address::Socket(ip, port), raw, None);
                Some(Step { takes: Part::ALL, action })
            }
        }
    }
}
