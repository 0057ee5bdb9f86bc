//! Spreads one new connection over the endpoints a chain leads to.
//!
//! The chains are compiled to steps. Then two sweeps over the chains, in an order in which callers stand before the chains they
//! call: backwards for the part each chain returns to its caller, forwards for the part that arrives. Every rule is looked at
//! once per sweep however many paths lead to it, and nothing recurses, so doubling jumps and very deep nesting cost what their
//! rules cost.

use hashbrown::{HashMap, HashSet};

use super::compile::Program;
use super::followed::Followed;
use super::matching::Connection;
use super::part::Part;
use super::ruleset::Table;
use super::step::{Action, Step};
use super::translate::Recovery;
use crate::dataplane::{Address, DeadEnd, Endpoint, Oddity, RuleRef, Traffic};
use crate::proxy::allowance::Allowance;

/// Chains may nest this deep before it is worth a word: what nf_tables follows.
const DEEP: usize = 16;

/// What a chain does with new connections.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Endpoints in the order of the rules, one per address.
    pub(super) endpoints: Vec<Endpoint>,
    /// The part that reaches none of them, 0..=1.
    pub(super) undelivered: Option<f64>,
    /// Seconds of ClientIP affinity.
    pub(super) affinity_seconds: Option<u32>,
    /// A chain in it whose rules may be among lines that are missing, and would get connections.
    pub(super) incomplete: Option<String>,
    /// What kube-proxy never writes.
    pub(super) oddities: Vec<Oddity>,
    /// Chains without effect.
    pub(super) dead_ends: Vec<DeadEnd>,
    /// Rules that lead to an endpoint an earlier rule leads to.
    pub(super) repeated: Vec<RuleRef>,
    /// Endpoints that clients come back to under ClientIP affinity.
    pub(super) sticky: usize,
    /// Rules that translate and remember the client.
    pub(super) setting: usize,
    /// Rules whose destination could not be printed.
    pub(super) garbled: Vec<RuleRef>,
    /// Counters of rules that translate were printed in short.
    pub(super) abbreviated: bool,
}

/// Follows the chain at `root`.
pub(super) fn spread(
    (table, followed): (Table<'_>, &Followed),
    root: usize,
    connection: Connection<'_>,
    recovery: &mut Recovery<'_>,
    limits: (Allowance, bool),
) -> Spread {
    let mut program = Program::new(table, connection, recovery, followed);
    program.compile(root, limits);
    let order = program.order();
    program.run(&order)
}

impl Program<'_, '_, '_> {
    /// The nodes with callers before callees and in the order of the rules. A jump that closes a loop is turned into a
    /// step of which nothing is known.
    fn order(&mut self) -> Vec<usize> {
        #[derive(Clone, Copy, PartialEq)]
        enum Seen {
            Not,
            Open,
            Done,
        }
        let mut seen = vec![Seen::Not; self.nodes.len()];
        let mut order = Vec::with_capacity(self.nodes.len());
        let mut loops = Vec::new();
        let mut stack = vec![(0, self.nodes[0].steps.end)];
        seen[0] = Seen::Open;
        // Steps are taken from the last to the first: reversed, the finished order is then that of the rules.
        while let Some((node, left)) = stack.last_mut() {
            if *left == self.nodes[*node].steps.start {
                seen[*node] = Seen::Done;
                order.push(*node);
                stack.pop();
                continue;
            }
            *left -= 1;
            let step = *left;
            if let Action::Jump(next) | Action::Goto(next) = self.steps[step].action {
                match seen[next] {
                    Seen::Not => {
                        seen[next] = Seen::Open;
                        stack.push((next, self.nodes[next].steps.end));
                    }
                    Seen::Open => loops.push((step, next)),
                    Seen::Done => {}
                }
            }
        }
        for (step, target) in loops {
            self.steps[step] = Step::UNKNOWN;
            let name = self.table.section.chains()[self.nodes[target].chain].name;
            self.oddity(Oddity::Loop(name.to_owned()));
        }
        order.reverse();
        order
    }

    /// The two sweeps.
    fn run(mut self, order: &[usize]) -> Spread {
        let mut returns = vec![Part::NONE; self.nodes.len()];
        for &node in order.iter().rev() {
            returns[node] = returned(&self.steps[self.nodes[node].steps.clone()], &returns);
        }
        let mut arrives = vec![Part::NONE; self.nodes.len()];
        // KUBE-SERVICES and the jump to the pool's chain come before.
        let mut depth = vec![2; self.nodes.len()];
        let mut delivered = vec![Part::NONE; self.found.endpoints.len()];
        let mut stopped = Part::NONE;
        let mut incomplete = None;
        arrives[0] = Part::ALL;
        for &node in order {
            let mut left = arrives[node];
            for step in &self.steps[self.nodes[node].steps.clone()] {
                let taken = left.of(step.takes);
                left = left.without(step.takes);
                match step.action {
                    Action::Jump(next) | Action::Goto(next) => {
                        arrives[next] = arrives[next].and(taken);
                        depth[next] = depth[next].max(depth[node] + 1);
                        if let Action::Jump(_) = step.action {
                            left = left.and(taken.of(returns[next]));
                        }
                    }
                    Action::Deliver(endpoint) => delivered[endpoint] = delivered[endpoint].and(taken),
                    Action::Stop => stopped = stopped.and(taken),
                    Action::Missing => {
                        stopped = stopped.and(taken);
                        incomplete = incomplete.or((!taken.known).then_some(node));
                    }
                    Action::Return => {}
                }
            }
        }
        let deepest = depth.iter().copied().max().unwrap_or_default();
        if deepest > DEEP {
            self.oddity(Oddity::Deep(deepest));
        }
        self.found.undelivered = stopped.and(returns[0]).known();
        for (endpoint, part) in self.found.endpoints.iter_mut().zip(&delivered) {
            endpoint.probability = part.known();
            // To one that only clients come back to, what is not known of may lead too.
            if endpoint.remembered && self.found.undelivered.is_none() {
                endpoint.probability = endpoint.probability.filter(|share| *share > 0.0);
            }
        }
        if self.found.undelivered.is_some() && self.found.endpoints.iter().all(|e| e.probability.is_some()) {
            // What could not be judged is not reached, and so takes nothing from what is known.
            self.found.oddities.retain(|oddity| !matches!(oddity, Oddity::Undecided(_)));
        }
        let chain_of = |node: usize| self.table.section.chains()[self.nodes[node].chain].name.to_owned();
        self.found.incomplete = incomplete.map(chain_of);
        merge(&mut self.found.endpoints, &mut self.found.repeated);
        self.found.endpoints.shrink_to_fit();
        self.found
    }
}

/// The part of what arrives at a chain that comes back from it.
fn returned(steps: &[Step], returns: &[Part]) -> Part {
    let mut left = Part::ALL;
    let mut back = Part::NONE;
    for step in steps {
        let taken = left.of(step.takes);
        left = left.without(step.takes);
        match step.action {
            Action::Jump(next) => left = left.and(taken.of(returns[next])),
            Action::Goto(next) => back = back.and(taken.of(returns[next])),
            Action::Return => back = back.and(taken),
            Action::Deliver(_) | Action::Stop | Action::Missing => {}
        }
    }
    back.and(left)
}

/// Makes one endpoint of those with the same address, at the place of the first.
/// `repeated` gets the rules that lead to the others.
fn merge(endpoints: &mut Vec<Endpoint>, repeated: &mut Vec<RuleRef>) {
    if all_distinct(endpoints) {
        return;
    }
    let mut first: HashMap<Address, usize> = HashMap::new();
    let mut merged: Vec<Endpoint> = Vec::with_capacity(endpoints.len());
    for endpoint in endpoints.drain(..) {
        let known = endpoint.address.ip().and_then(|_| first.get(&endpoint.address));
        if let Some(&at) = known {
            let same = &mut merged[at];
            same.probability = same.probability.zip(endpoint.probability).map(|(a, b)| a + b);
            let (one, other) = (same.traffic(), endpoint.traffic());
            let (packets, arrived) = (sum(one.packets, other.packets), sum(one.arrived, other.arrived));
            same.traffic = Traffic { packets, arrived, ..Traffic::default() }.kept();
            same.hairpin = same.hairpin.zip(endpoint.hairpin).map(|(one, other)| one && other);
            repeated.extend(endpoint.rules.first());
            same.rules.extend(endpoint.rules);
        } else {
            first.insert(endpoint.address.clone(), merged.len());
            merged.push(endpoint);
        }
    }
    *endpoints = merged;
}

fn sum(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    one.zip(other).map(|(a, b)| a.saturating_add(b))
}

fn all_distinct(endpoints: &[Endpoint]) -> bool {
    let mut seen = HashSet::with_capacity(endpoints.len());
    endpoints.iter().all(|e| e.address.ip().is_none() || seen.insert(&e.address))
}
