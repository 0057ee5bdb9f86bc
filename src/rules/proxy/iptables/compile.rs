//! Compiles the chains a pool leads to into steps, each with the part of the arriving connections it takes.

use std::net::IpAddr;
use std::ops::Range;

use hashbrown::HashMap;
use smallvec::smallvec;

use super::comment;
use super::conditions::Truth;
use super::followed::Followed;
use super::matching::Connection;
use super::part::{Part, share};
use super::ruleset::Table;
use super::spread::Spread;
use super::step::{Action, Step};
use super::targets;
use super::translate::{self, Recovery, Translation};
use crate::dataplane::{Address, DeadEnd, Endpoint, Oddity, RuleRef, Traffic};
use crate::dump::iptables::{Match, RawRule, RecentVerb, Rule, Target, Usual};
use crate::order::Order as _;
use crate::proxy::allowance::{Allowance, MOST_ODDITIES};
use crate::proxy::chain_name::ChainKind;

mod missing;
mod usual;

/// An endpoint's chain, which has two rules or three, leads nowhere.
const WORTH_LOOKING_AHEAD: usize = 3;

/// What a target does.
enum Effect {
    /// The next rule follows anyway.
    Nothing,
    /// It takes the connection.
    Action(Action),
    /// It cannot be told.
    Unknown,
}

/// Packets a rule counted, where the dump has its counters in full.
fn exact_packets(rule: &Rule<'_>) -> Option<u64> {
    rule.counters.filter(|counters| counters.exact).map(|counters| counters.packets)
}

/// A chain and where its steps are.
#[derive(Debug, Clone)]
pub(super) struct Node<'d> {
    pub(super) chain: usize,
    /// The rule that led here first.
    via: Option<RawRule<'d>>,
    pub(super) steps: Range<usize>,
    /// A rule marks for masquerading.
    marks: bool,
}

/// The chains below one, compiled.
pub(super) struct Program<'p, 'd, 'n> {
    pub(super) table: Table<'d>,
    connection: Connection<'p>,
    recovery: &'p mut Recovery<'n>,
    followed: &'p Followed,
    pub(super) nodes: Vec<Node<'d>>,
    /// The steps of all nodes, node by node.
    pub(super) steps: Vec<Step>,
    /// Node of each chain met so far.
    ids: HashMap<usize, usize>,
    pub(super) found: Spread,
    /// Chains that clients come back to under ClientIP affinity.
    sticky: HashMap<usize, RawRule<'d>>,
    /// Endpoints' chains of a part of a dump, and whether a rule translates there.
    translating: HashMap<usize, bool>,
    /// Memory for the rule being read.
    scratch: Rule<'d>,
    /// How many more rules may be followed.
    left: usize,
}

impl<'p, 'd, 'n> Program<'p, 'd, 'n> {
    /// Nothing compiled yet.
    pub(super) fn new(
        table: Table<'d>,
        connection: Connection<'p>,
        recovery: &'p mut Recovery<'n>,
        followed: &'p Followed,
    ) -> Self {
        let (nodes, steps, found, scratch, left) = (Vec::new(), Vec::new(), Spread::default(), Rule::default(), 0);
        let (ids, sticky, translating) = (HashMap::new(), HashMap::new(), HashMap::new());
        Self { table, connection, recovery, followed, nodes, steps, ids, found, sticky, translating, scratch, left }
    }

    /// Compiles `root` and every chain that can be reached from it, as far as that is allowed; rules of a root that is the
    /// Service's own cost nothing.
    pub(super) fn compile(&mut self, root: usize, (allowance, is_own): (Allowance, bool)) {
        let section = self.table.section;
        let own = if is_own { section.rules_in(&section.chains()[root]) } else { 0 };
        self.left = allowance.rules(own).saturating_add(own);
        // A pool's chain has a rule for each endpoint, which has a chain with one rule that counts.
        let expected = section.chains()[root].rules_at_first() + 1;
        self.nodes.reserve(expected);
        self.steps.reserve(2 * expected);
        self.ids.reserve(expected);
        self.found.endpoints.reserve_exact(expected - 1);
        self.node_of(root, None);
        let done = self.compile_from(0);
        // Clients may come back to endpoints that new ones are not sent to any more.
        let mut only_sticky: Vec<(usize, RawRule<'d>)> =
            self.sticky.iter().filter(|(chain, _)| !self.ids.contains_key(*chain)).map(|(c, raw)| (*c, *raw)).collect();
        only_sticky.order_by_key(|(_, raw)| raw.line);
        for (chain, raw) in only_sticky {
            self.node_of(chain, Some(raw));
        }
        self.compile_from(done);
        self.dead_ends();
    }

    /// Compiles the nodes from this one on, and those they lead to; gives their number.
    fn compile_from(&mut self, mut done: usize) -> usize {
        let section = self.table.section;
        while done < self.nodes.len() {
            let start = self.steps.len();
            let chain = &section.chains()[self.nodes[done].chain];
            let Some(left) = self.left.checked_sub(section.rules_in(chain)) else {
                self.followed.reach(self.nodes[done].chain);
                self.oddity(Oddity::Shared(chain.name.to_owned()));
                self.steps.push(Step::UNKNOWN);
                self.nodes[done].steps = start..self.steps.len();
                done += 1;
                continue;
            };
            self.left = left;
            self.followed.read(self.nodes[done].chain);
            let rules = section.rules_of(chain);
            self.missing_before(chain);
            if chain.rules_at_first() > WORTH_LOOKING_AHEAD {
                self.steps_ahead(done, rules);
            } else {
                rules.for_each(|raw| self.step(done, (raw, None), None));
            }
            self.missing_behind(chain, done, start);
            self.nodes[done].steps = start..self.steps.len();
            done += 1;
        }
        done
    }

    /// The node of a chain that the rule `via` leads to; a new one waits to be compiled.
    fn node_of(&mut self, chain: usize, via: Option<RawRule<'d>>) -> usize {
        let next = self.nodes.len();
        let node = *self.ids.entry(chain).or_insert(next);
        if node == next {
            self.nodes.push(Node { chain, via, steps: 0..0, marks: false });
        }
        node
    }

    /// Adds what one rule of a node does, if it does something to where a connection goes. The chain it leads to comes with
    /// it where it was looked up already, and what it is where that was told.
    fn step(&mut self, node: usize, at: (RawRule<'d>, Option<usize>), usual: Option<Usual<'d>>) {
        let (raw, _) = at;
        // Half of all rules mark for masquerading and are no step, whatever they match.
        if raw.text.ends_with("-j KUBE-MARK-MASQ") {
            self.nodes[node].marks = true;
            return;
        }
        if let Some(step) = usual.or_else(|| raw.usual()).and_then(|usual| self.usual_step(node, at, usual)) {
            self.steps.push(step);
            return;
        }
        let mut rule = std::mem::take(&mut self.scratch);
        let step = match raw.parse_into(&mut rule) {
            Ok(()) => self.readable_step(node, at, &rule),
            Err(_) => Some(self.undecided(raw)),
        };
        self.scratch = rule;
        self.steps.extend(step);
    }

    fn readable_step(&mut self, node: usize, at: (RawRule<'d>, Option<usize>), rule: &Rule<'_>) -> Option<Step> {
        let (raw, behind) = at;
        let truth = self.connection.judge(rule).overall();
        let target = rule.target.as_ref()?;
        self.note_affinity(rule, target, raw);
        let takes = match truth {
            Truth::No => {
                // Not for these connections, but it leads there all the same.
                if let Some(chain) = self.table.section.chain_id(target.name) {
                    self.followed.reach(chain);
                }
                return None;
            }
            Truth::Yes => share(rule),
            Truth::Unknown => Part { known: false, ..share(rule) },
        };
        let action = match self.effect(node, (raw, behind), target, rule) {
            Effect::Nothing => return None,
            Effect::Unknown => return Some(self.undecided(raw)),
            Effect::Action(action) => action,
        };
        if !takes.known {
            self.oddity(Oddity::Undecided(self.rule_ref(raw)));
        }
        Some(Step { takes, action })
    }

    fn effect(
        &mut self,
        node: usize,
        (raw, behind): (RawRule<'d>, Option<usize>),
        target: &Target<'_>,
        rule: &Rule<'_>,
    ) -> Effect {
        let kind = ChainKind::of(target.name);
        match kind {
            // With -g the chain that marks returns to our caller, not to us.
            ChainKind::MarkMasquerade if target.goto => return Effect::Action(Action::Return),
            ChainKind::MarkMasquerade => {
                self.nodes[node].marks = true;
                return Effect::Nothing;
            }
            ChainKind::MarkDrop => return Effect::Action(Action::Stop),
            _ => {}
        }
        let section = self.table.section;
        // iptables lets no chain have the name of a target, and half of all rules have this one.
        let chain = if target.name == "DNAT" {
            None
        } else {
            let behind = behind.filter(|&id| section.name_at_rules(&section.chains()[id]) == target.name);
            behind.or_else(|| section.chain_id(target.name))
        };
        if let Some(id) = chain.filter(|&id| self.has_its_rules(id, kind)) {
            let next = self.lead(id, kind, raw);
            return Effect::Action(if target.goto { Action::Goto(next) } else { Action::Jump(next) });
        }
        if let Some(translation) = translate::of(target) {
            let Node { chain, via, .. } = self.nodes[node];
            let address = match translation {
                Translation::To(address) => address,
                Translation::Garbled => {
                    self.found.garbled.push(self.rule_ref(raw));
                    self.recover(chain, via)
                }
            };
            let sets = |m: &Match<'_>| matches!(m, Match::Recent(recent) if recent.verb == RecentVerb::Set);
            self.found.setting += usize::from(rule.matches.iter().any(sets));
            self.found.abbreviated |= rule.counters.is_some_and(|counters| !counters.exact);
            let packets = exact_packets(rule);
            // Without counters here there are none there.
            let arrived = via.filter(|_| packets.is_some()).and_then(|raw| exact_packets(&raw.parse().ok()?));
            let traffic = Traffic { packets, arrived, ..Traffic::default() }.kept();
            return Effect::Action(self.translated(node, address, raw, traffic));
        }
        match target.name {
            // Kubernetes 1.1 marked in the endpoint's own chain.
            "MARK" => {
                self.nodes[node].marks = true;
                Effect::Nothing
            }
            "RETURN" => Effect::Action(Action::Return),
            name if targets::continues(name) => Effect::Nothing,
            name if targets::ends(name) => Effect::Action(Action::Stop),
            name => {
                self.oddity(Oddity::Missing(name.to_owned()));
                if kind != ChainKind::Endpoint {
                    return Effect::Unknown;
                }
                let address = rule.comment().and_then(comment::endpoint);
                let address = address.map_or(Address::Unknown, |(ip, port)| Address::Socket(ip, port));
                Effect::Action(self.deliver(name, address, (None, raw), None, (true, false)))
            }
        }
    }

    /// The node of a chain of a kind that the rule leads to.
    fn lead(&mut self, chain: usize, kind: ChainKind, raw: RawRule<'d>) -> usize {
        let before = self.nodes.len();
        let next = self.node_of(chain, Some(raw));
        if kind == ChainKind::Endpoint && self.nodes.len() == before {
            // Rules with other conditions may lead to one endpoint: kube-proxy has two where clients come back to it.
            let is_hidden = |raw: RawRule<'_>| raw.parse().is_ok_and(|rule| rule.matches.iter().any(Match::is_hidden));
            if !is_hidden(raw) && !self.nodes[next].via.is_some_and(is_hidden) {
                self.repeated(raw);
            }
        }
        next
    }

    /// The rule translates what gets to the chain of this node.
    fn translated(&mut self, node: usize, address: Address, raw: RawRule<'d>, traffic: Option<Box<Traffic>>) -> Action {
        let section = self.table.section;
        let Node { chain, via, marks, .. } = self.nodes[node];
        let own = section.name_at_rules(&section.chains()[chain]);
        let remembered = self.sticky.contains_key(&chain);
        self.deliver(own, address, (via, raw), traffic, (marks, remembered))
    }

    fn deliver(
        &mut self,
        chain: &str,
        address: Address,
        (via, raw): (Option<RawRule<'d>>, RawRule<'d>),
        traffic: Option<Box<Traffic>>,
        (hairpin, remembered): (bool, bool),
    ) -> Action {
        let last = self.rule_ref(raw);
        let rules = via.map_or_else(|| smallvec![last], |via| smallvec![self.rule_ref(via), last]);
        self.found.endpoints.push(Endpoint {
            rules,
            traffic,
            hairpin: Some(hairpin),
            remembered,
            ..Endpoint::blank(address, chain)
        });
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

    fn note_affinity(&mut self, rule: &Rule<'_>, target: &Target<'_>, raw: RawRule<'d>) {
        for item in &rule.matches {
            if let Match::Recent(recent) = item
                && matches!(recent.verb, RecentVerb::Check | RecentVerb::Update)
                && let Some(seconds) = recent.seconds.and_then(|s| s.parse().ok())
            {
                self.found.affinity_seconds.get_or_insert(seconds);
                if let Some(chain) = self.table.section.chain_id(target.name) {
                    self.sticky.entry(chain).or_insert(raw);
                }
            }
        }
    }

    /// A rule that leads where an earlier one leads.
    pub(super) fn repeated(&mut self, raw: RawRule<'d>) {
        if self.found.repeated.len() < MOST_ODDITIES {
            self.found.repeated.push(self.rule_ref(raw));
        }
    }

    /// Service and endpoint chains without a single step. What a dump may have lost is not called without effect.
    fn dead_ends(&mut self) {
        let section = self.table.section;
        let chains = section.chains();
        // The name of a chain stands far from what was read of it.
        let is_dead =
            |node: &&Node<'d>| node.steps.is_empty() && ChainKind::of(chains[node.chain].name).is_of_services();
        let dead = self.nodes.iter().filter(is_dead).take(MOST_ODDITIES);
        let dead: Vec<DeadEnd> = dead
            .map(|node| DeadEnd {
                chain: chains[node.chain].name.to_owned(),
                via: node.via.map(|raw| self.rule_ref(raw)),
            })
            .collect();
        self.found.dead_ends = dead;
        self.found.sticky = self.sticky.len();
    }

    /// A rule of which nothing can be said: everything behind it is unknown.
    fn undecided(&mut self, raw: RawRule<'d>) -> Step {
        self.oddity(Oddity::Undecided(self.rule_ref(raw)));
        Step::UNKNOWN
    }

    pub(super) fn oddity(&mut self, oddity: Oddity) {
        if self.found.oddities.len() < MOST_ODDITIES && !self.found.oddities.contains(&oddity) {
            self.found.oddities.push(oddity);
        }
    }

    fn rule_ref(&self, raw: RawRule<'_>) -> RuleRef {
        RuleRef { text: self.table.text, line: raw.line }
    }
}
