//! Whom kube-proxy's table masquerades: what carries its mark, and endpoints that reach themselves.

use super::audit::{leads, rules};
use super::names::{self, ChainKind};
use crate::dataplane::{MarkFault, RuleRef};
use crate::dump::nft::{Chain, Data, Rule, Selector, Statement, Table, Verdict};
use crate::net::number;

/// Jumps deeper than this are not followed.
const MAX_DEPTH: usize = 8;

/// So many rules are followed for one packet.
const MAX_RULES: usize = 500;

/// What is wrong with masquerading as a whole, in a table that is all there.
pub(super) fn fault(table: &Table<'_>, text: u16) -> Option<MarkFault> {
    mark(table, text).or_else(|| hairpins(table))
}

/// kube-proxy sets one mark. So many are looked at.
const MAX_MARKS: usize = 8;

/// The mark that is set must be masqueraded, and nothing that carries none.
fn mark(table: &Table<'_>, text: u16) -> Option<MarkFault> {
    // That nothing leads to an empty chain, or to none, is said elsewhere.
    let is_at_fault = |chain: &Chain<'_>| !chain.rules.is_empty() || leads(table, "postrouting", chain.name);
    if !table.chain("masquerading").is_some_and(is_at_fault) {
        return None;
    }
    let marking = table.chains().iter().filter(|chain| {
        matches!(chain.name, "mark-for-masquerade" | "services")
            || names::split(chain.name).is_some_and(|(kind, _)| kind == ChainKind::External)
    });
    let set = marking.flat_map(|chain| rules(table, chain.name));
    let set = set.filter_map(|(rule, line)| Some((set_mark(&rule)?, line)));
    let mut marks: Vec<(u32, u32)> = Vec::new();
    for (mark, line) in set {
        if !marks.iter().any(|(known, _)| *known == mark) {
            marks.push((mark, line));
        }
        if marks.len() == MAX_MARKS {
            break;
        }
    }
    for (mark, line) in marks {
        if masquerades(table, mark) == Some(false) {
            return Some(MarkFault::NotActedOn(mark, vec![RuleRef { text, line }]));
        }
    }
    let evidence = || rules(table, "masquerading").map(|(_, line)| RuleRef { text, line }).collect();
    (masquerades(table, 0) == Some(true)).then(|| MarkFault::Everything(evidence()))
}

/// The set of endpoints that reach themselves (since 1.31) is of no use without the rule that asks for it.
fn hairpins(table: &Table<'_>) -> Option<MarkFault> {
    let name = "hairpin-connections";
    let endpoints = table.set(name)?.elements.len();
    if endpoints == 0 {
        return Some(MarkFault::NoHairpins(name.to_owned()));
    }
    let acting = &table.chain("masquerading")?.rules;
    // Where the chain has no rules at all, the hook is missing or the mark is not acted on.
    let asks = acting.is_empty() || acting.iter().any(|raw| raw.text.contains("@hairpin-connections"));
    (!asks).then_some(MarkFault::NotHairpins(endpoints))
}

fn set_mark(rule: &Rule<'_>) -> Option<u32> {
    rule.statements.iter().find_map(|statement| match statement {
        Statement::Set { field: Selector::Mark, value } => number(value.rsplit_once('|')?.1.trim()),
        _ => None,
    })
}

/// Whether a packet that carries this mark, and of which nothing else is asked for, is masqueraded; `None` where a rule cannot be
/// judged.
fn masquerades(table: &Table<'_>, mark: u32) -> Option<bool> {
    let mut walk = Walk { table, mark, left: MAX_RULES };
    let hooks = table.base_chains().filter(|(_, base)| base.kind == "nat" && base.hook == "postrouting");
    let mut leading = hooks.filter(|(chain, _)| !chain.rules.is_empty()).peekable();
    if leading.peek().is_none() {
        // The hook is missing, which is told as that: the chain is judged by itself.
        return walk.chain(table.chain("masquerading")?, 0).map(|end| end == End::Masqueraded);
    }
    for (chain, _) in leading {
        match walk.chain(chain, 0)? {
            End::Masqueraded => return Some(true),
            // What a hook accepts, the next one sees too, but for a translation that was made.
            End::Accepted | End::GoesOn => {}
        }
    }
    Some(false)
}

/// How the way through a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Masqueraded,
    /// No further rule of the hook is tried.
    Accepted,
    GoesOn,
}

struct Walk<'w, 'd> {
    table: &'w Table<'d>,
    mark: u32,
    left: usize,
}

impl Walk<'_, '_> {
    fn chain(&mut self, chain: &Chain<'_>, depth: usize) -> Option<End> {
        for raw in &chain.rules {
            self.left = self.left.checked_sub(1)?;
            for statement in Rule::parse(raw.text).statements {
                match statement {
                    Statement::Match { key, mask, not, value: Data::One(value) } if key == [Selector::Mark] => {
                        let bits = mask.map_or(Some(u32::MAX), number)?;
                        if (self.mark & bits == number(value)?) == not {
                            break;
                        }
                    }
                    // What is asked for is of some packets: others go on.
                    Statement::Match { .. } => break,
                    Statement::Set { field: Selector::Mark, value } => self.mark = after(self.mark, value)?,
                    Statement::SourceNat(_) => return Some(End::Masqueraded),
                    Statement::Verdict(verdict) => match self.verdict(verdict, depth)? {
                        Next::Ends(end) => return Some(end),
                        Next::Rule => break,
                    },
                    Statement::VerdictMap(..) | Statement::Unknown(_) => return None,
                    _ => {}
                }
            }
        }
        Some(End::GoesOn)
    }

    fn verdict(&mut self, verdict: Verdict<'_>, depth: usize) -> Option<Next> {
        let next = |name: &str| self.table.chain(name).filter(|_| depth < MAX_DEPTH);
        Some(match verdict {
            Verdict::Accept | Verdict::Drop => Next::Ends(End::Accepted),
            Verdict::Return => Next::Ends(End::GoesOn),
            Verdict::Jump(name) => match self.chain(next(name)?, depth + 1)? {
                End::GoesOn => Next::Rule,
                end => Next::Ends(end),
            },
            Verdict::Goto(name) => Next::Ends(self.chain(next(name)?, depth + 1)?),
            Verdict::Continue => Next::Rule,
        })
    }
}

/// What comes after a verdict.
enum Next {
    Ends(End),
    Rule,
}

/// A mark after `meta mark set …`.
fn after(mark: u32, value: &str) -> Option<u32> {
    let Some(rest) = value.trim().strip_prefix("meta mark") else { return number(value.trim()) };
    let (operator, operand) = rest.trim().split_at_checked(1)?;
    let operand = number(operand.trim())?;
    match operator {
        "|" => Some(mark | operand),
        "^" => Some(mark ^ operand),
        "&" => Some(mark & operand),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::after;

    #[test]
    fn marks_are_changed_bit_by_bit() {
        for (value, mark) in [
            ("meta mark | 0x00004000", Some(0x4001)),
            ("meta mark ^ 0x00000001", Some(0)),
            ("meta mark & 0x00004000", Some(0)),
            ("0x00000007", Some(7)),
            ("ct mark", None),
        ] {
            assert_eq!(after(1, value), mark, "{value}");
        }
    }
}
