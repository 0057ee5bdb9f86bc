//! Follows a packet through hooks, tables and chains.
//!
//! The packet goes as a set of ways: each is what rules have made of it so far, the part of new connections that is so,
//! and a choice about the things nobody knows (a [`World`](super::leaf::World)). A rule that asks for such a thing parts a
//! way in two. The same thing asked for twice is answered alike, so that a rule which marks and the next one which jumps under the same
//! condition are never taken apart. At the end a probability is known where it is the same in every world.
//!
//! Hooks, tables, chains and rules call each other and share what was met, and so are in one file.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

use super::effect::{self, Change, Effect, asks_list, changed, translated};
use super::hook::Hook;
use super::journey::Journey;
use super::leaf::{Leaf, Leaves};
use super::packet::View;
use super::record::Record;
use super::spot::{At, Spot};
use super::state::{Place, State};
use super::story::{Action, End, Step, Why};
use super::sum::{Share, Shares};
use super::way::{Ended, Way, merge};
use crate::dataplane::{Address, Origin, RuleRef};
use crate::dump::iptables::{Match, Rule, TableName, Target};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::{Facts as _, Ruleset, Truth, meets, share_of};

/// Rules held against ways before it is given up: more than a Service of a hundred thousand endpoints needs, and a second
/// or two.
const MOST_WORK: usize = 5_000_000;

/// Ways that may be kept at the same time, which a doubling of chains that mark makes without end: a Service of a hundred
/// thousand endpoints has as many, and once more when they have ended.
const MOST_WAYS: usize = 400_000;

/// Chains that call each other may nest this deep. nf_tables follows 16 jumps; nobody nests deeper in earnest.
const DEEPEST: usize = 100;

/// Things nobody knows that one way may depend on. Each doubles the ways.
const MOST_LEAVES: usize = 10;

/// What is known when every way has ended.
pub(super) struct Walked {
    pub(super) steps: Vec<(Step, Shares)>,
    pub(super) ended: Vec<Ended>,
    pub(super) leaves: Leaves,
}

/// Follows the connection through every hook. With `every_rule`, rules that do not apply are noted too. `recovered` are
/// destinations of rules that the dump garbled.
pub(super) fn walk(
    ruleset: &Ruleset<'_>,
    journey: &Journey<'_>,
    recovered: &HashMap<RuleRef, Address>,
    every_rule: bool,
) -> Walked {
    let mut walker = Walker {
        ruleset,
        journey,
        recovered,
        every_rule,
        leaves: RefCell::default(),
        record: Record::default(),
        accepted: Vec::new(),
        ended: Vec::new(),
        waiting: 0,
        work: 0,
    };
    let state = State {
        place: journey.destination.map_or(Place::Here, Place::At),
        port: Some(journey.port),
        mark: 0,
        connmark: 0,
        tracked: true,
        translated: None,
        marked: false,
        source: None,
    };
    walker.follow(vec![Way { state, share: Share::ALL, again: false }]);
    Walked { steps: walker.record.steps, ended: walker.ended, leaves: walker.leaves.into_inner() }
}

struct Walker<'w, 'd> {
    ruleset: &'w Ruleset<'d>,
    journey: &'w Journey<'w>,
    recovered: &'w HashMap<RuleRef, Address>,
    every_rule: bool,
    leaves: RefCell<Leaves>,
    record: Record,
    /// Ways that the table just asked has accepted.
    accepted: Vec<Way>,
    ended: Vec<Ended>,
    /// Ways in chains that wait for one they called.
    waiting: usize,
    work: usize,
}

impl<'d> Walker<'_, 'd> {
    /// From the first hook to the last.
    fn follow(&mut self, ways: Vec<Way>) {
        if self.journey.origin == Origin::Node {
            let ways = self.hook(Hook::Output, ways);
            // After translation it is routed anew.
            let ways = self.hook(Hook::Postrouting, ways);
            let (local, remote) = self.route(ways);
            self.finish(remote, Some(false));
            // What a node sends to itself comes back in by the loopback interface; it is translated already.
            let mut local = local;
            for table in [TableName::Raw, TableName::Mangle] {
                local = self.table(Hook::Prerouting, table, local);
            }
            let local = self.hook(Hook::Input, local);
            self.finish(local, Some(true));
            return;
        }
        let ways = self.hook(Hook::Prerouting, ways);
        let (local, remote) = self.route(ways);
        let local = self.hook(Hook::Input, local);
        self.finish(local, Some(true));
        let remote = self.hook(Hook::Forward, remote);
        let remote = self.hook(Hook::Postrouting, remote);
        self.finish(remote, Some(false));
    }

    fn finish(&mut self, ways: Vec<Way>, local: Option<bool>) {
        for way in ways {
            let end = if way.state.translated.is_some() { End::Delivered } else { End::Untranslated { local } };
            self.ended.push(Ended { way, end, by: None });
        }
    }

    /// Ways to this node, and those to others.
    fn route(&mut self, ways: Vec<Way>) -> (Vec<Way>, Vec<Way>) {
        let (mut local, mut remote) = (Vec::new(), Vec::new());
        let mut open = ways;
        while let Some(way) = open.pop() {
            let view = self.blank(&way);
            match view.destination_is_local() {
                Truth::Yes => local.push(way),
                Truth::No => remote.push(way),
                Truth::Unknown => {
                    let leaf = view.open.get();
                    self.part(way, leaf, &mut open);
                }
            }
        }
        local.reverse();
        remote.reverse();
        (local, remote)
    }

    fn view<'v>(&'v self, way: &'v Way, spot: Spot<'_>, line: u32) -> View<'v> {
        View { hook: spot.hook, table: Some(spot.name), line, ..self.blank(way) }
    }

    /// The packet as routing sees it, which is no rule of a table.
    fn blank<'v>(&'v self, way: &'v Way) -> View<'v> {
        View {
            journey: self.journey,
            state: &way.state,
            world: &way.share.world,
            leaves: &self.leaves,
            hook: Hook::Prerouting,
            table: None,
            line: 0,
            open: Cell::new(None),
        }
    }

    /// Makes two ways of one, for both answers to something nobody knows.
    fn part(&mut self, way: Way, leaf: Option<u16>, into: &mut Vec<Way>) {
        match leaf.filter(|_| way.share.world.len() < MOST_LEAVES) {
            Some(leaf) => into.extend(way.halves(leaf)),
            None => {
                let why = format!("it depends on more than {MOST_LEAVES} things that are not known");
                self.ended.push(Ended { way, end: End::Unknown(why), by: None });
            }
        }
    }

    /// Asks the tables of a hook one after the other.
    fn hook(&mut self, hook: Hook, mut ways: Vec<Way>) -> Vec<Way> {
        for &table in hook.tables() {
            ways = self.table(hook, table, ways);
        }
        ways
    }

    fn table(&mut self, hook: Hook, name: TableName, ways: Vec<Way>) -> Vec<Way> {
        let Some(table) = self.ruleset.table(name).filter(|_| !ways.is_empty()) else { return ways };
        let spot = Spot { hook, name, table };
        // Without connection tracking there is no translation.
        let (mut asked, passed): (Vec<Way>, Vec<Way>) =
            ways.into_iter().partition(|way| name != TableName::Nat || way.state.tracked);
        let Some((chain, built_in)) = spot.first_chain() else {
            asked.extend(passed);
            return asked;
        };
        let back = self.chain(spot, chain, asked, 0);
        let mut out = std::mem::take(&mut self.accepted);
        if built_in && table.section.policy(hook.as_str()) == Some("DROP") {
            let met = back.into_iter().map(|way| (way, Why::Matches)).collect();
            self.end(spot.at(hook.as_str(), None), met, &End::Drop, &Action::Drop);
        } else {
            out.extend(back);
        }
        out.extend(passed);
        out
    }

    /// Follows ways through a chain; gives those that come back from it.
    fn chain(&mut self, spot: Spot<'d>, id: usize, ways: Vec<Way>, depth: usize) -> Vec<Way> {
        let section = spot.table.section;
        let chain = &section.chains()[id];
        if depth > DEEPEST {
            let why = format!("chains call each other more than {DEEPEST} deep, down to {}", chain.name);
            self.give_up(ways, &why);
            return Vec::new();
        }
        let mut back = Vec::new();
        let mut live = ways;
        let mut rule = Rule::default();
        let mut had_lists = false;
        for raw in section.rules_of(chain) {
            if live.is_empty() {
                return back;
            }
            self.work += live.len() + 1;
            let kept = live.len() + back.len() + self.waiting + self.accepted.len() + self.ended.len();
            if self.work > MOST_WORK || kept > MOST_WAYS {
                live.append(&mut back);
                self.give_up(live, "there are too many rules on the way to follow them all");
                return Vec::new();
            }
            if raw.parse_into(&mut rule).is_err() {
                live = self.unreadable(spot.at(chain.name, Some(raw)), live);
                continue;
            }
            let asks_list = self.journey.seen && asks_list(&rule);
            if had_lists && !asks_list {
                // A client that was there before is on one of the lists that were asked for.
                return back;
            }
            had_lists = asks_list;
            live = self.rule(spot.at(chain.name, Some(raw)), &rule, live, &mut back, depth);
        }
        if section.ends_in(chain) {
            self.give_up(live, &format!("the dump ends inside {}", chain.name));
            return back;
        }
        if is_portal(chain.name) && section.may_lack_rules(chain) {
            self.give_up(live, &format!("lines of the dump are missing, maybe some of {}", chain.name));
            return back;
        }
        back.append(&mut live);
        merge(&mut back);
        back
    }

    fn give_up(&mut self, ways: Vec<Way>, why: &str) {
        self.ended.extend(ways.into_iter().map(|way| Ended { way, end: End::Unknown(why.to_owned()), by: None }));
    }

    /// A rule that cannot be read may end any way, or none.
    fn unreadable(&mut self, at: At<'d>, live: Vec<Way>) -> Vec<Way> {
        let why = format!("line {} cannot be read", at.line());
        let (mut met, mut on) = (Vec::new(), Vec::new());
        for way in live {
            let view = self.view(&way, at.spot, at.line());
            view.unreadable();
            let leaf = view.open.get();
            let mut both = Vec::new();
            self.part(way, leaf, &mut both);
            met.extend(both.pop().map(|way| (way, Why::Open(why.clone()))));
            on.append(&mut both);
        }
        self.end(at, met, &End::Unknown(why.clone()), &Action::Unknown(why));
        on
    }

    /// Holds one rule against every way; gives those that go on behind it.
    fn rule(&mut self, at: At<'d>, rule: &Rule<'d>, ways: Vec<Way>, back: &mut Vec<Way>, depth: usize) -> Vec<Way> {
        let Some(target) = rule.target.as_ref().filter(|target| at.spot.has(target)) else { return ways };
        let Some(effect) = effect::of(at, target, self.recovered) else {
            self.watch(at, rule, &ways);
            return ways;
        };
        let (mut met, mut on) = (Vec::new(), Vec::new());
        for way in ways {
            self.judge(at, rule, way, &mut met, &mut on);
        }
        if met.is_empty() {
            return on;
        }
        match effect {
            Effect::Jump(next, goto) => {
                let name = target.name.to_owned();
                let action = if goto { Action::Goto(name) } else { Action::Jump(name) };
                let mut ways = self.note(at, &action, met);
                let marks = ChainKind::of(target.name) == ChainKind::MarkMasquerade;
                for way in ways.iter_mut().filter(|_| marks) {
                    way.again = way.state.marked;
                    way.state.marked = true;
                }
                let (step, before) = (self.record.last(), self.record.effects());
                let waiting = on.len() + back.len();
                self.waiting += waiting;
                let mut returned = self.chain(at.spot, next, ways, depth + 1);
                self.waiting -= waiting;
                for way in returned.iter_mut().filter(|_| marks) {
                    way.again = false;
                }
                if self.record.effects() > before {
                    self.record.led_on(step);
                }
                if goto { back.extend(returned) } else { on.extend(returned) }
            }
            Effect::Return => back.extend(self.note(at, &Action::Return, met)),
            Effect::Accept => {
                let ways = self.note(at, &Action::Accept, met);
                self.accepted.extend(ways);
            }
            Effect::Translate(to) => {
                for (way, why) in met {
                    let (state, address) = translated(&way.state, &to, at.spot.hook, at.spot.table.section.family);
                    self.record.applies(at, &Action::Dnat(address), Some(&way.share), why);
                    self.accepted.push(Way { state, ..way });
                }
            }
            Effect::Masquerade(source) => {
                let mut ways = self.note(at, &Action::Masquerade, met);
                for way in &mut ways {
                    way.state.source = Some(source);
                }
                self.accepted.append(&mut ways);
            }
            Effect::Change(change) => on.extend(self.change(at, change, target, met)),
            Effect::End(end, action) => self.end(at, met, &end, &action),
            Effect::Unknown(why) => self.end(at, met, &End::Unknown(why.clone()), &Action::Unknown(why)),
        }
        merge(&mut on);
        on
    }

    /// Notes that a rule applies to ways, and gives them.
    fn note(&mut self, at: At<'d>, action: &Action, met: Vec<(Way, Why)>) -> Vec<Way> {
        let noted = met.into_iter().map(|(way, why)| {
            self.record.applies(at, action, (!way.again).then_some(&way.share), why);
            way
        });
        noted.collect()
    }

    /// Notes a rule that only watches. Nobody's way depends on it, so that what is not known is left open.
    fn watch(&mut self, at: At<'d>, rule: &Rule<'d>, ways: &[Way]) {
        for way in ways.iter().filter(|_| self.every_rule) {
            let view = self.view(way, at.spot, at.line());
            if rule.matches.iter().all(|item| meets(&view, item) == Truth::Yes) {
                self.record.applies(at, &Action::Nothing, Some(&way.share), Why::Matches);
            }
        }
    }

    fn change(&mut self, at: At<'d>, change: Change, target: &Target<'_>, met: Vec<(Way, Why)>) -> Vec<Way> {
        // Kubernetes 1.1 marked in the endpoint's own chain.
        let marks = change == Change::Mark && ChainKind::of(at.chain) == ChainKind::Endpoint;
        // What comes back to the node that sent it is tracked already, which CT and NOTRACK leave as it is.
        let is_back = self.journey.origin == Origin::Node && at.spot.hook == Hook::Prerouting;
        let changed = met.into_iter().map(|(mut way, why)| {
            let action = match change {
                Change::Untrack if is_back => Action::Nothing,
                Change::ConnMark if !self.view(&way, at.spot, at.line()).has_connection() => Action::Nothing,
                _ => changed(&mut way.state, change, target),
            };
            way.state.marked |= marks;
            self.record.applies(at, &action, (!way.again).then_some(&way.share), why);
            way
        });
        changed.collect()
    }

    fn end(&mut self, at: At<'d>, met: Vec<(Way, Why)>, end: &End, action: &Action) {
        for (way, why) in met {
            let by = self.record.applies(at, action, Some(&way.share), why);
            self.ended.push(Ended { way, end: end.clone(), by: Some(by) });
        }
    }

    /// Parts a way into what meets the rule and what goes on, for each answer to what nobody knows.
    fn judge(&mut self, at: At<'d>, rule: &Rule<'d>, way: Way, met: &mut Vec<(Way, Why)>, on: &mut Vec<Way>) {
        let mut asked: Option<u16> = None;
        let mut ways = vec![way];
        while let Some(way) = ways.pop() {
            let view = self.view(&way, at.spot, at.line());
            let fails = rule.matches.iter().find(|item| meets(&view, item) == Truth::No);
            if let Some(condition) = fails {
                if self.every_rule && asked.is_none() {
                    self.record.fails(at, condition.emit());
                }
                on.push(way);
                continue;
            }
            let share = share_of(rule);
            if share.is_none() {
                // A probability nobody can read.
                let statistic = rule.matches.iter().find(|item| matches!(item, Match::Statistic(_)));
                if statistic.is_some_and(|item| view.other(item) == Truth::No) {
                    on.push(way);
                    continue;
                }
            }
            if let Some(leaf) = view.open.get() {
                asked = asked.or(Some(leaf));
                self.part(way, Some(leaf), &mut ways);
                continue;
            }
            let why = asked.map_or(Why::Matches, |leaf| self.why_open(leaf));
            let share = share.unwrap_or(1.0);
            let rest = way.share.part * (1.0 - share);
            if rest > 0.0 {
                let share = Share { part: rest, ..way.share.clone() };
                on.push(Way { state: way.state.clone(), share, ..way });
            }
            if share > 0.0 {
                let part = way.share.part * share;
                met.push((Way { share: Share { part, ..way.share }, ..way }, why));
            }
        }
    }

    fn why_open(&self, leaf: u16) -> Why {
        Why::Open(self.leaves.borrow().get(leaf).map(Leaf::to_string).unwrap_or_default())
    }
}

/// True for chains that connections to a Service come through, and leave only if they are to none.
fn is_portal(chain: &str) -> bool {
    matches!(chain, "KUBE-SERVICES" | "KUBE-NODEPORTS") || ChainKind::of(chain).is_of_services()
}
