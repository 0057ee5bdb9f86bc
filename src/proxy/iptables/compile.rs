//! Compiles the chains a pool leads to into steps, each with the part of the arriving connections it takes.

use std::net::IpAddr;
use std::ops::Range;

use hashbrown::HashMap;

use super::comment;
use super::matching::{Connection, Truth};
use super::part::{Part, share};
use super::ruleset::Table;
use super::translate::{self, Recovery, Translation};
use super::walk::Spread;
use crate::dataplane::{Address, Endpoint, Oddity, RuleRef};
use crate::dump::iptables::{Match, RawRule, RecentVerb, Rule, Target};
use crate::proxy::chain_name::ChainKind;

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

#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
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
pub(super) struct Step {
    pub(super) takes: Part,
    pub(super) action: Action,
}

/// A chain and where its steps are.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) chain: usize,
    pub(super) steps: Range<usize>,
}

/// The chains below one, compiled.
pub(super) struct Program<'p, 'd, 'n> {
    pub(super) table: Table<'d>,
    connection: Connection<'p>,
    recovery: &'p mut Recovery<'n>,
    pub(super) nodes: Vec<Node>,
    /// The steps of all nodes, node by node.
    pub(super) steps: Vec<Step>,
    /// Node of each chain met so far.
    ids: HashMap<usize, usize>,
    pub(super) found: Spread,
    /// Memory for the rule being read.
    scratch: Rule<'d>,
}

impl<'p, 'd, 'n> Program<'p, 'd, 'n> {
    /// Nothing compiled yet.
    pub(super) fn new(table: Table<'d>, connection: Connection<'p>, recovery: &'p mut Recovery<'n>) -> Self {
        let ids = HashMap::with_capacity(64);
        let (nodes, steps, found, scratch) = (Vec::new(), Vec::new(), Spread::default(), Rule::default());
        Self { table, connection, recovery, nodes, steps, ids, found, scratch }
    }

    /// Compiles `root` and every chain that can be reached from it.
    pub(super) fn compile(&mut self, root: usize) {
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
        let judgement = self.connection.judge(rule);
        let truth = if judgement.sources.is_empty() { judgement.truth } else { judgement.truth.min(Truth::Unknown) };
        self.note_affinity(rule);
        let target = rule.target.as_ref()?;
        let takes = match truth {
            Truth::No => return None,
            Truth::Yes => share(rule),
            Truth::Unknown => Part { known: false, ..share(rule) },
        };
        let Ok(action) = self.action(chain, via, raw, target, rule, open)? else { return Some(self.undecided(raw)) };
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
            // With -g the chain that marks returns to our caller, not to us.
            ChainKind::MarkMasquerade if target.goto => return Some(Ok(Action::Return)),
            ChainKind::MarkMasquerade => return None,
            ChainKind::MarkDrop => return Some(Ok(Action::Stop)),
            _ => {}
        }
        let section = self.table.section;
        let known = section.chain_id(target.name).filter(|&id| {
            // Where the text ends inside the table, the rules of a declared chain may be what was lost.
            let chain = &section.chains()[id];
            !chain.is_empty() || (chain.declared && !section.cut_off)
        });
        if let Some(id) = known {
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

    pub(super) fn oddity(&mut self, oddity: Oddity) {
        if !self.found.oddities.contains(&oddity) && self.found.oddities.len() < 20 {
            self.found.oddities.push(oddity);
        }
    }

    fn rule_ref(&self, raw: RawRule<'_>) -> RuleRef {
        RuleRef { text: self.table.text, line: raw.line }
    }
}
