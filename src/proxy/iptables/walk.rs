//! Spreads one new connection over the endpoints a chain leads to.
//!
//! A chain is compiled to steps, each with the part of the arriving connections it takes. Then two sweeps over the
//! chains, in an order in which callers stand before the chains they call: backwards for the part each chain returns to
//! its caller, forwards for the part that arrives. Every rule is looked at once per sweep however many paths lead to
//! it, and nothing recurses, so doubling jumps and very deep nesting cost what their rules cost.

use std::net::IpAddr;
use std::ops::Range;

use hashbrown::{HashMap, HashSet};

use super::comment;
use super::matching::{Connection, Truth};
use super::ruleset::Table;
use super::translate::{self, Recovery, Translation};
use crate::dataplane::{Address, Endpoint, Oddity, RuleRef};
use crate::dump::iptables::{Match, RawRule, RecentVerb, Rule, Statistic, Target};
use crate::proxy::chain_name::ChainKind;

/// Chains may nest this deep before it is worth a word: what nf_tables follows.
const DEEP: usize = 16;

/// The kernel holds a probability as an integer out of 2^31 (`xt_statistic.c`; libxt_statistic rounds).
const KERNEL_ONE: f64 = 2_147_483_648.0;

/// Targets after which the next rule is tried: the packet is changed, marked, counted or logged.
const CONTINUING: [&str; 22] = [
    "MARK",
    "CONNMARK",
    "LOG",
    "NFLOG",
    "ULOG",
    "TRACE",
    "CT",
    "NOTRACK",
    "SET",
    "TTL",
    "HL",
    "TOS",
    "DSCP",
    "TCPMSS",
    "CLASSIFY",
    "CHECKSUM",
    "TCPOPTSTRIP",
    "SECMARK",
    "CONNSECMARK",
    "AUDIT",
    "RATEEST",
    "TEE",
];

/// Verdicts that end the walk without sending the connection to an endpoint.
const ENDING: [&str; 9] = ["ACCEPT", "DROP", "REJECT", "QUEUE", "NFQUEUE", "SNAT", "MASQUERADE", "MIRROR", "TARPIT"];

/// What a chain does with new connections.
#[derive(Debug, Default)]
pub(super) struct Spread {
    /// Endpoints in the order of the rules, one per address.
    pub(super) endpoints: Vec<Endpoint>,
    /// The part that reaches none of them, 0..=1.
    pub(super) undelivered: Option<f64>,
    /// Seconds of ClientIP affinity.
    pub(super) affinity_seconds: Option<u32>,
    /// What kube-proxy never writes.
    pub(super) oddities: Vec<Oddity>,
}

/// Follows the chain at `root`.
pub(super) fn spread(table: Table<'_>, root: usize, connection: Connection<'_>, recovery: &mut Recovery<'_>) -> Spread {
    let ids = HashMap::with_capacity(64);
    let (nodes, steps, found, scratch) = (Vec::new(), Vec::new(), Spread::default(), Rule::default());
    let mut program = Program { table, connection, recovery, nodes, steps, ids, found, scratch };
    program.compile(root);
    let order = program.order();
    program.run(&order)
}

/// A part of the arriving connections, 0..=1.
#[derive(Debug, Clone, Copy)]
struct Part {
    value: f64,
    /// False if a rule on the way cannot be judged, so that `value` says nothing.
    known: bool,
}

impl Part {
    const NONE: Self = Self { value: 0.0, known: true };
    const ALL: Self = Self { value: 1.0, known: true };

    fn of(self, part: Self) -> Self {
        Self { value: self.value * part.value, known: self.known && part.known }
    }

    fn without(self, part: Self) -> Self {
        Self { value: self.value * (1.0 - part.value), known: self.known && part.known }
    }

    fn and(self, other: Self) -> Self {
        Self { value: self.value + other.value, known: self.known && other.known }
    }

    fn known(self) -> Option<f64> {
        self.known.then_some(self.value)
    }
}

#[derive(Debug, Clone, Copy)]
enum Action {
    /// To the chain with this number; what it returns goes on here.
    Jump(usize),
    /// To the chain with this number; what it returns goes to this chain's caller.
    Goto(usize),
    /// To the endpoint with this number.
    Deliver(usize),
    /// Back to the caller.
    Return,
    /// Nowhere.
    Stop,
}

#[derive(Debug, Clone, Copy)]
struct Step {
    takes: Part,
    action: Action,
}

/// A chain and where its steps are.
#[derive(Debug)]
struct Node {
    chain: usize,
    steps: Range<usize>,
}

struct Program<'p, 'd, 'n> {
    table: Table<'d>,
    connection: Connection<'p>,
    recovery: &'p mut Recovery<'n>,
    nodes: Vec<Node>,
    /// The steps of all nodes, node by node.
    steps: Vec<Step>,
    /// Node of each chain met so far.
    ids: HashMap<usize, usize>,
    found: Spread,
    /// Memory for the rule being read.
    scratch: Rule<'d>,
}

impl<'d> Program<'_, 'd, '_> {
    /// Compiles `root` and every chain that can be reached from it.
    fn compile(&mut self, root: usize) {
        let mut open = vec![(root, None)];
        self.ids.insert(root, 0);
        self.nodes.push(Node { chain: root, steps: 0..0 });
        let mut done = 0;
        while done < open.len() {
            let (chain, via) = open[done];
            let start = self.steps.len();
            let section = self.table.section;
            for raw in section.rules_of(&section.chains()[chain]) {
                let step = self.step(chain, via, raw, &mut open);
                self.steps.extend(step);
            }
            self.nodes[done].steps = start..self.steps.len();
            done += 1;
        }
    }

    /// What one rule does; `None` if it does nothing to where a connection goes.
    fn step(
        &mut self,
        chain: usize,
        via: Option<RawRule<'d>>,
        raw: RawRule<'d>,
        open: &mut Vec<(usize, Option<RawRule<'d>>)>,
    ) -> Option<Step> {
        // Half of all rules mark for masquerading and are no step, whatever they match.
        if raw.text.ends_with("-j KUBE-MARK-MASQ") {
            return None;
        }
        let mut rule = std::mem::take(&mut self.scratch);
        let step = match raw.parse_into(&mut rule) {
            Ok(()) => self.readable_step(chain, via, raw, &rule, open),
            Err(_) => Some(self.undecided(raw)),
        };
        self.scratch = rule;
        step
    }

    fn readable_step(
        &mut self,
        chain: usize,
        via: Option<RawRule<'d>>,
        raw: RawRule<'d>,
        rule: &Rule<'_>,
        open: &mut Vec<(usize, Option<RawRule<'d>>)>,
    ) -> Option<Step> {
        let truth = self.connection.judge(rule).truth;
        self.note_affinity(rule);
        let target = rule.target.as_ref()?;
        let takes = match truth {
            Truth::No => return None,
            Truth::Yes => share(rule),
            Truth::Unknown => Part { known: false, ..share(rule) },
        };
        let action = match self.action(chain, via, raw, target, rule, open)? {
            Ok(action) => action,
            Err(()) => return Some(self.undecided(raw)),
        };
        if !takes.known {
            self.oddity(Oddity::Undecided(self.rule_ref(raw)));
        }
        Some(Step { takes, action })
    }

    /// What the target does: `None` if the next rule follows anyway, `Err` if it cannot be told.
    fn action(
        &mut self,
        chain: usize,
        via: Option<RawRule<'d>>,
        raw: RawRule<'d>,
        target: &Target<'_>,
        rule: &Rule<'_>,
        open: &mut Vec<(usize, Option<RawRule<'d>>)>,
    ) -> Option<Result<Action, ()>> {
        let kind = ChainKind::of(target.name);
        match kind {
            ChainKind::MarkMasquerade => return None,
            ChainKind::MarkDrop => return Some(Ok(Action::Stop)),
            _ => {}
        }
        if let Some(id) = self.table.section.chain_id(target.name)
            && (self.table.section.chains()[id].declared || !self.table.section.chains()[id].is_empty())
        {
            let next = self.nodes.len();
            let node = *self.ids.entry(id).or_insert(next);
            if node == next {
                self.nodes.push(Node { chain: id, steps: 0..0 });
                open.push((id, Some(raw)));
            }
            return Some(Ok(if target.goto { Action::Goto(node) } else { Action::Jump(node) }));
        }
        if let Some(translation) = translate::of(target) {
            let own = self.table.section.chains()[chain].name;
            let address = match translation {
                Translation::To(address) => address,
                Translation::Garbled => self.recover(chain, via),
            };
            let packets = rule.counters.filter(|c| c.exact).map(|c| c.packets);
            return Some(Ok(self.deliver(own, address, via.into_iter().chain([raw]), packets)));
        }
        match target.name {
            "RETURN" => Some(Ok(Action::Return)),
            name if CONTINUING.contains(&name) => None,
            name if ENDING.contains(&name) => Some(Ok(Action::Stop)),
            name => {
                self.oddity(Oddity::Missing(name.to_owned()));
                if kind != ChainKind::Endpoint {
                    return Some(Err(()));
                }
                let address = rule.comment().and_then(comment::endpoint);
                let address = address.map_or(Address::Unknown, |(ip, port)| Address::Socket(ip, port));
                Some(Ok(self.deliver(name, address, [raw], None)))
            }
        }
    }

    fn deliver(
        &mut self,
        chain: &str,
        address: Address,
        rules: impl IntoIterator<Item = RawRule<'d>>,
        packets: Option<u64>,
    ) -> Action {
        let rules = rules.into_iter().map(|raw| self.rule_ref(raw)).collect();
        self.found.endpoints.push(Endpoint { address, probability: None, chain: chain.to_owned(), rules, packets });
        Action::Deliver(self.found.endpoints.len() - 1)
    }

    /// The address of an endpoint chain whose DNAT rule is garbled.
    fn recover(&mut self, chain: usize, via: Option<RawRule<'d>>) -> Address {
        let said = via.and_then(|raw| comment::endpoint(raw.parse().ok()?.comment()?));
        if let Some((ip, port)) = said {
            return Address::Socket(ip, port);
        }
        let section = self.table.section;
        let chain = &section.chains()[chain];
        let own: Option<IpAddr> = section.rules_of(chain).find_map(|raw| translate::hairpin_source(&raw.parse().ok()?));
        self.recovery.address(chain.name, own)
    }

    fn note_affinity(&mut self, rule: &Rule<'_>) {
        for item in &rule.matches {
            if let Match::Recent(recent) = item
                && matches!(recent.verb, RecentVerb::Check | RecentVerb::Update)
                && let Some(seconds) = recent.seconds.and_then(|s| s.parse().ok())
            {
                self.found.affinity_seconds.get_or_insert(seconds);
            }
        }
    }

    /// A rule of which nothing can be said: everything behind it is unknown.
    fn undecided(&mut self, raw: RawRule<'d>) -> Step {
        self.oddity(Oddity::Undecided(self.rule_ref(raw)));
        Step { takes: Part { value: 0.0, known: false }, action: Action::Stop }
    }

    fn oddity(&mut self, oddity: Oddity) {
        if !self.found.oddities.contains(&oddity) && self.found.oddities.len() < 20 {
            self.found.oddities.push(oddity);
        }
    }

    fn rule_ref(&self, raw: RawRule<'_>) -> RuleRef {
        RuleRef { text: self.table.text, line: raw.line }
    }

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
            self.steps[step] = Step { takes: Part { value: 0.0, known: false }, action: Action::Stop };
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
        let mut depth = vec![1; self.nodes.len()];
        let mut delivered = vec![Part::NONE; self.found.endpoints.len()];
        let mut stopped = Part::NONE;
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
                    Action::Return => {}
                }
            }
        }
        let deepest = depth.iter().copied().max().unwrap_or_default();
        if deepest > DEEP {
            self.oddity(Oddity::Deep(deepest));
        }
        for (endpoint, part) in self.found.endpoints.iter_mut().zip(&delivered) {
            endpoint.probability = part.known();
        }
        self.found.undelivered = stopped.and(returns[0]).known();
        merge(&mut self.found.endpoints);
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
            Action::Deliver(_) | Action::Stop => {}
        }
    }
    back.and(left)
}

/// Makes one endpoint of those with the same address, at the place of the first.
fn merge(endpoints: &mut Vec<Endpoint>) {
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
            same.packets = same.packets.zip(endpoint.packets).map(|(a, b)| a.saturating_add(b));
            same.rules.extend(endpoint.rules);
        } else {
            first.insert(endpoint.address.clone(), merged.len());
            merged.push(endpoint);
        }
    }
    *endpoints = merged;
}

fn all_distinct(endpoints: &[Endpoint]) -> bool {
    let mut seen = HashSet::with_capacity(endpoints.len());
    endpoints.iter().all(|e| e.address.ip().is_none() || seen.insert(&e.address))
}

/// The part of the connections that meet a rule's other conditions and are taken by its `-m statistic`.
fn share(rule: &Rule<'_>) -> Part {
    rule.matches.iter().fold(Part::ALL, |part, item| match item {
        Match::Statistic(statistic) => part.of(probability(statistic)),
        _ => part,
    })
}

/// As the kernel holds it; unknown if the text is no probability.
pub(super) fn probability_of(statistic: &Statistic<'_>) -> Option<f64> {
    probability(statistic).known()
}

fn probability(statistic: &Statistic<'_>) -> Part {
    let value = match (statistic.mode, statistic.probability, statistic.every) {
        ("random", Some(text), _) => {
            text.parse::<f64>().ok().filter(|p| (0.0..=1.0).contains(p)).map(|p| (p * KERNEL_ONE).round() / KERNEL_ONE)
        }
        // One packet of every n, which one does not matter in the long run.
        ("nth", _, Some(text)) => text.parse::<u32>().ok().filter(|n| *n > 0).map(|n| 1.0 / f64::from(n)),
        _ => None,
    };
    match value {
        Some(value) if statistic.not => Part { value: 1.0 - value, known: true },
        Some(value) => Part { value, known: true },
        None => Part { value: 0.0, known: false },
    }
}
