//! The steps of a story, each told once however many ways pass it.

use hashbrown::HashMap;

use super::hook::Hook;
use super::spot::At;
use super::story::{Action, Step, Why};
use super::sum::{Share, Shares};
use crate::dataplane::RuleRef;
use crate::dump::iptables::{Match, Rule, TableName};

/// What is told of a rule: where it is asked, and whether it applies.
type Key = (Hook, TableName, Option<RuleRef>, bool);

/// Steps in the order in which rules were met.
#[derive(Default)]
pub(super) struct Record {
    pub(super) steps: Vec<(Step, Shares)>,
    places: HashMap<Key, usize>,
    /// The step noted last.
    last: usize,
    /// How many times something was noted that has an effect.
    effects: usize,
}

impl Record {
    /// Notes that a rule applies to a share of the connections, which is not given where it was counted before; gives the
    /// number of its step.
    pub(super) fn applies(&mut self, at: At<'_>, action: &Action, share: Option<&Share>, why: Why) -> usize {
        let step = self.step(at, action, why, true);
        self.last = step;
        if let Some(share) = share {
            self.steps[step].1.add(share);
        }
        // A chain that only sends back does nothing.
        self.effects += usize::from(*action != Action::Return);
        step
    }

    /// Notes that a rule does not apply, for want of `condition`.
    pub(super) fn fails(&mut self, at: At<'_>, condition: String) {
        self.step(at, &Action::Nothing, Why::Fails(condition), false);
    }

    /// The number of the step that was noted last.
    pub(super) fn last(&self) -> usize {
        self.last
    }

    /// To be compared with a later count: nothing applied in between if it is the same.
    pub(super) fn effects(&self) -> usize {
        self.effects
    }

    /// The jump of this number led to something.
    pub(super) fn led_on(&mut self, step: usize) {
        self.steps[step].0.idle = false;
    }

    fn step(&mut self, at: At<'_>, action: &Action, why: Why, applies: bool) -> usize {
        let next = self.steps.len();
        let step = *self.places.entry((at.spot.hook, at.spot.name, at.rule(), applies)).or_insert(next);
        if step == next {
            let parsed = at.raw.and_then(|raw| raw.parse().ok());
            let new = Step {
                hook: at.spot.hook,
                table: at.spot.name.as_str(),
                chain: at.chain.to_owned(),
                rule: at.rule(),
                text: parsed.as_ref().map(Rule::emit).unwrap_or_default(),
                conditions: parsed.as_ref().map(conditions).unwrap_or_default(),
                comment: parsed.as_ref().and_then(|rule| rule.comment()).map(str::to_owned),
                action: action.clone(),
                probability: None,
                why,
                idle: matches!(action, Action::Jump(_) | Action::Goto(_)),
            };
            self.steps.push((new, Shares::default()));
        } else if why == Why::Matches {
            self.steps[step].0.why = why;
        }
        step
    }
}

/// What a rule asks for, in the order written.
fn conditions(rule: &Rule<'_>) -> String {
    let asked = rule.matches.iter().filter(|item| !matches!(item, Match::Comment(_)));
    asked.map(Match::emit).collect::<Vec<_>>().join(" ")
}
