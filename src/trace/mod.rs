//! One packet through the hooks, tables and chains of a node: what becomes of a new connection, and why.
//!
//! [`Journey`] says who connects to what and what is known of the node; [`trace`] follows it through raw, mangle, nat and
//! filter, before and after translation, and lists every way it can end. Nothing is sampled: a rule that chooses by chance
//! parts the connections, and what cannot be known is followed both ways.

mod effect;
mod hook;
mod journey;
mod leaf;
mod packet;
mod record;
mod spot;
mod state;
mod story;
mod sum;
mod walk;
mod way;

use hashbrown::HashMap;

pub use hook::Hook;
pub use journey::{Journey, Locals, Source};
pub use story::{Action, Destination, End, Open, Outcome, Step, Trace, Why};

use crate::dataplane::{Address, RuleRef};
use crate::order::Order as _;
use crate::proxy::iptables::Ruleset;
use leaf::Leaf;
use leaf::Leaves;
use sum::Shares;
use walk::Walked;
use way::Ended;

/// A part of new connections this small is the rounding of doubles.
const NOTHING: f64 = 1e-12;

/// Follows a connection through the rules of its family. With `every_rule`, rules that do not apply are among the steps.
/// `recovered` are destinations of rules that the program which made the dump could not print.
pub fn trace(
    ruleset: &Ruleset<'_>,
    journey: &Journey<'_>,
    recovered: &HashMap<RuleRef, Address>,
    every_rule: bool,
) -> Trace {
    let Walked { steps, ended, leaves } = walk::walk(ruleset, journey, recovered, every_rule);
    let steps =
        steps.into_iter().map(|(step, shares)| Step { probability: shares.known().map(at_most_all), ..step }).collect();
    let destinations = destinations(&ended);
    let (outcomes, open) = outcomes(&ended, &leaves);
    let masquerade = marked(&ended);
    Trace { steps, outcomes, destinations, masquerade, open }
}

/// A chain that is called twice counts connections twice.
fn at_most_all(part: f64) -> f64 {
    part.min(1.0)
}

/// What several ways sum up to.
#[derive(Default)]
struct Sum {
    all: Shares,
    masqueraded: Shares,
    by: Option<usize>,
}

impl Sum {
    fn add(&mut self, ended: &Ended) {
        self.all.add(&ended.way.share);
        if ended.way.state.is_masqueraded() {
            self.masqueraded.add(&ended.way.share);
        }
        self.by = self.by.or(ended.by);
    }

    /// Whether the source is replaced: on all of these ways or on none.
    fn masquerade(&self) -> Option<bool> {
        if self.masqueraded == Shares::default() {
            return Some(false);
        }
        if self.masqueraded == self.all {
            return Some(true);
        }
        match (self.all.known(), self.masqueraded.known()) {
            (Some(all), Some(some)) if (all - some).abs() < NOTHING => Some(true),
            _ => None,
        }
    }
}

/// True if the connection is marked for masquerading or masqueraded on some way.
fn marked(ended: &[Ended]) -> Option<bool> {
    let mut shares = Shares::default();
    for ended in ended.iter().filter(|ended| ended.way.state.marked || ended.way.state.is_masqueraded()) {
        shares.add(&ended.way.share);
    }
    shares.known().map(|part| part > NOTHING)
}

/// The sums of what has the same key, in the order in which keys are met.
fn sums<K: Clone + Eq + std::hash::Hash>(keyed: impl Iterator<Item = (K, usize)>, ended: &[Ended]) -> Vec<(K, Sum)> {
    let mut places: HashMap<K, usize> = HashMap::new();
    let mut sums: Vec<(K, Sum)> = Vec::new();
    for (key, at) in keyed.filter(|(_, at)| ended[*at].way.share.part > NOTHING) {
        let place = *places.entry(key.clone()).or_insert(sums.len());
        if place == sums.len() {
            sums.push((key, Sum::default()));
        }
        sums[place].1.add(&ended[at]);
    }
    sums
}

fn destinations(ended: &[Ended]) -> Vec<Destination> {
    let delivered = ended.iter().enumerate().filter(|(_, e)| e.end == End::Delivered);
    let keyed = delivered.filter_map(|(at, e)| Some((e.way.state.translated.clone()?, at)));
    let sums = sums(keyed, ended).into_iter();
    sums.map(|(address, sum)| Destination { address, probability: sum.all.known(), masquerade: sum.masquerade() })
        .collect()
}

/// How it can end, and what that depends on.
fn outcomes(ended: &[Ended], leaves: &Leaves) -> (Vec<Outcome>, Vec<Open>) {
    // Where some ways stay on this node and others do not, untranslated ones are not told apart.
    let mut untranslated = ended.iter().map(|e| &e.end).filter(|end| matches!(end, End::Untranslated { .. }));
    let first = untranslated.next();
    let differ = untranslated.any(|end| Some(end) != first);
    let end = |e: &Ended| match &e.end {
        End::Untranslated { .. } if differ => End::Untranslated { local: None },
        end => end.clone(),
    };
    let mut open: Vec<u16> = Vec::new();
    let mut outcomes: Vec<Outcome> = Vec::new();
    for (end, sum) in sums(ended.iter().map(end).zip(0..), ended) {
        let probability = sum.all.known();
        if probability.is_none() {
            open.extend(sum.all.leaves());
        }
        outcomes.push(Outcome { end, probability, masquerade: sum.masquerade(), by: sum.by });
    }
    for (_, sum) in sums(ended.iter().zip(0..).map(|(e, at)| (e.way.state.translated.clone(), at)), ended) {
        if sum.all.known().is_none() {
            open.extend(sum.all.leaves());
        } else if sum.masquerade().is_none() {
            open.extend(sum.masqueraded.leaves());
        }
    }
    outcomes.order_by(|a, b| b.probability.unwrap_or(-1.0).total_cmp(&a.probability.unwrap_or(-1.0)));
    open.order();
    open.dedup();
    (outcomes, told(open.into_iter().filter_map(|leaf| leaves.get(leaf)).collect()))
}

/// Unknown things in words. That one of many endpoints may be on the node is said once.
fn told(open: Vec<&Leaf>) -> Vec<Open> {
    let (local, mut others): (Vec<&Leaf>, Vec<&Leaf>) =
        open.into_iter().partition(|leaf| matches!(leaf, Leaf::IsLocal(Some(_))));
    let many = match local.as_slice() {
        [first, _, _, ..] => {
            Some(Open { what: format!("any of {} addresses is one of this node's", local.len()), hint: first.hint() })
        }
        few => {
            others.splice(0..0, few.iter().copied());
            None
        }
    };
    let others = others.into_iter().map(|leaf| Open { what: leaf.to_string(), hint: leaf.hint() });
    many.into_iter().chain(others).collect()
}
