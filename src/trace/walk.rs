//! Follows a packet through hooks, tables and chains.
//!
//! The packet goes as a set of ways: each is what rules have made of it so far, the part of new connections that is so,
//! and a choice about the things nobody knows (a [`World`](super::leaf::World)). A rule that asks for such a thing parts a way in two. The same
//! thing asked for twice is answered alike, so that a rule which marks and the next one which jumps under the same
//! condition are never taken apart. At the end a probability is known where it is the same in every world.

use std::cell::{Cell, RefCell};

use hashbrown::HashMap;

use super::hook::Hook;
use super::journey::Journey;
use super::leaf::Leaf;
use super::packet::{Leaves, Place, State, View};
use super::story::{Action, End, Step, Why};
use super::sum::{Share, Shares};
use crate::dataplane::{Address, Origin, RuleRef};
use crate::dump::iptables::{Match, RawRule, RecentVerb, Rule, TableName, Target};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::{
    Facts as _, Ruleset, Table, Translation, Truth, apply_mark, masked_mark, meets, only_watches, share_of, translation,
};

/// Rules held against ways before it is given up: what the largest node needs many times over, and no more than seconds.
const MOST_WORK: usize = 20_000_000;

/// Chains that call each other may nest this deep. nf_tables follows 16 jumps; nobody nests deeper in earnest.
const DEEPEST: usize = 100;

/// Things nobody knows that one way may depend on. Each doubles the ways.
const MOST_LEAVES: usize = 10;

/// One way of the packet.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) state: State,
    pub(super) share: Share,
}

/// How a way ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) way: Way,
    pub(super) end: End,
    /// The step that ended it.
    pub(super) by: Option<usize>,
}

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
        steps: Vec::new(),
        places: HashMap::new(),
        accepted: Vec::new(),
        ended: Vec::new(),
        noted: 0,
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
        masqueraded: false,
    };
    walker.follow(vec![Way { state, share: Share::ALL }]);
    Walked { steps: walker.steps, ended: walker.ended, leaves: walker.leaves.into_inner() }
}

struct Walker<'w, 'd> {
    ruleset: &'w Ruleset<'d>,
    journey: &'w Journey<'w>,
    recovered: &'w HashMap<RuleRef, Address>,
    every_rule: bool,
    leaves: RefCell<Leaves>,
    steps: Vec<(Step, Shares)>,
    /// Where the step of a rule or policy is.
    places: HashMap<(Hook, TableName, Option<RuleRef>, bool), usize>,
    /// Ways that the table just asked has accepted.
    accepted: Vec<Way>,
    ended: Vec<Ended>,
    /// How many times a rule that applies was noted.
    noted: usize,
    work: usize,
}

/// Where a chain is followed.
#[derive(Clone, Copy)]
struct Spot<'d> {
    hook: Hook,
    name: TableName,
    table: Table<'d>,
}

/// What a target does with a packet that meets its rule.
enum Effect {
    /// The next rule follows anyway.
    Nothing,
    /// To the chain with this number.
    Jump(usize, bool),
    Return,
    Accept,
    End(End, Action),
    Translate(Address),
    /// It changes and goes on.
    Change(Change),
    Masquerade,
    Unknown(String),
}

#[derive(Clone, Copy)]
enum Change {
    Mark,
    ConnMark,
    Untrack,
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
            let view = self.view(&way, Hook::Prerouting, 0);
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

    fn view<'v>(&'v self, way: &'v Way, hook: Hook, line: u32) -> View<'v> {
        View {
            journey: self.journey,
            state: &way.state,
            world: &way.share.world,
            leaves: &self.leaves,
            hook,
            line,
            open: Cell::new(None),
        }
    }

    /// Makes two ways of one, for both answers to something nobody knows.
    fn part(&mut self, way: Way, leaf: Option<u16>, into: &mut Vec<Way>) {
        match leaf.filter(|_| way.share.world.len() < MOST_LEAVES) {
            Some(leaf) => {
                for choice in [false, true] {
                    let world = way.share.world.with(leaf, choice);
                    into.push(Way { state: way.state.clone(), share: Share { world, part: way.share.part } });
                }
            }
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
        let (asked, mut passed): (Vec<Way>, Vec<Way>) =
            ways.into_iter().partition(|way| name != TableName::Nat || way.state.tracked);
        let Some((chain, built_in)) = self.first_chain(spot) else {
            passed.splice(0..0, asked);
            return passed;
        };
        let back = self.chain(spot, chain, asked, 0);
        let mut out = std::mem::take(&mut self.accepted);
        match table.section.policy(hook.as_str()).filter(|_| built_in) {
            Some("DROP") => {
                let action = Action::Drop;
                for way in back {
                    let by = self.note(spot, hook.as_str(), None, &action, &way.share, Why::Matches);
                    self.ended.push(Ended { way, end: End::Drop, by: Some(by) });
                }
            }
            _ => out.extend(back),
        }
        out.extend(passed);
        out
    }

    /// The built-in chain of the hook, or where a part of a dump lacks it the chain of kube-proxy that it leads to.
    fn first_chain(&self, spot: Spot<'d>) -> Option<(usize, bool)> {
        let section = spot.table.section;
        if let Some(chain) = section.chain_id(spot.hook.as_str()) {
            return Some((chain, true));
        }
        let own = match (spot.name, spot.hook) {
            _ if section.complete => return None,
            (TableName::Nat, Hook::Prerouting | Hook::Output) => "KUBE-SERVICES",
            (TableName::Nat, Hook::Postrouting) => "KUBE-POSTROUTING",
            _ => return None,
        };
        section.chain_id(own).map(|chain| (chain, false))
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
            if self.work > MOST_WORK {
                live.append(&mut back);
                self.give_up(live, "there are too many rules on the way to follow them all");
                return Vec::new();
            }
            if raw.parse_into(&mut rule).is_err() {
                self.unreadable(spot, chain.name, raw, &mut live);
                continue;
            }
            let asks_list = self.journey.seen && asks_list(&rule);
            if had_lists && !asks_list {
                // A client that was there before is on one of the lists that were asked for.
                live.clear();
                return back;
            }
            had_lists = asks_list;
            live = self.rule(spot, id, raw, &rule, live, &mut back, depth);
        }
        if section.ends_in(chain) {
            self.give_up(live, &format!("the dump ends inside {}", chain.name));
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
    fn unreadable(&mut self, spot: Spot<'d>, chain: &str, raw: RawRule<'d>, live: &mut Vec<Way>) {
        let why = format!("line {} cannot be read", raw.line);
        let mut on = Vec::new();
        for way in live.drain(..) {
            let leaf = {
                let view = self.view(&way, spot.hook, raw.line);
                view.other(&Match::Module { name: "", words: Vec::new() });
                view.open.get()
            };
            let mut both = Vec::new();
            self.part(way, leaf, &mut both);
            if let Some(taken) = both.pop() {
                let by = self.note(spot, chain, Some(raw), &Action::Unknown(why.clone()), &taken.share, open(&why));
                self.ended.push(Ended { way: taken, end: End::Unknown(why.clone()), by: Some(by) });
            }
            on.append(&mut both);
        }
        *live = on;
    }

    /// Holds one rule against every way; gives those that go on behind it.
    #[expect(clippy::too_many_arguments, reason = "a rule, where it stands, and what comes and goes")]
    fn rule(
        &mut self,
        spot: Spot<'d>,
        chain: usize,
        raw: RawRule<'d>,
        rule: &Rule<'d>,
        ways: Vec<Way>,
        back: &mut Vec<Way>,
        depth: usize,
    ) -> Vec<Way> {
        let Some(target) = rule.target.as_ref().filter(|target| belongs(spot, target)) else { return ways };
        let effect = self.effect(spot, raw, target);
        if matches!(effect, Effect::Nothing) && !self.every_rule {
            return ways;
        }
        let name = spot.table.section.chains()[chain].name;
        let (mut met, mut on) = (Vec::new(), Vec::new());
        for way in ways {
            self.judge(spot, name, raw, rule, way, &mut met, &mut on);
        }
        if met.is_empty() {
            return on;
        }
        let mut into = Vec::new();
        match effect {
            Effect::Nothing => {
                self.note_all(spot, name, raw, &Action::Nothing, &met);
                into.extend(met.into_iter().map(|(way, _)| way));
            }
            Effect::Jump(next, goto) => {
                let target = target.name;
                let action = if goto { Action::Goto(target.to_owned()) } else { Action::Jump(target.to_owned()) };
                let by = self.note_all(spot, name, raw, &action, &met);
                let before = self.noted;
                let marks = ChainKind::of(target) == ChainKind::MarkMasquerade;
                let ways = met.into_iter().map(|(way, _)| marked(way, marks)).collect();
                let returned = self.chain(spot, next, ways, depth + 1);
                // Other ways may have met something there.
                self.steps[by].0.idle &= self.noted == before;
                if goto { back.extend(returned) } else { into = returned }
            }
            Effect::Return => {
                self.note_all(spot, name, raw, &Action::Return, &met);
                back.extend(met.into_iter().map(|(way, _)| way));
            }
            Effect::Accept => {
                self.note_all(spot, name, raw, &Action::Accept, &met);
                self.accepted.extend(met.into_iter().map(|(way, _)| way));
            }
            Effect::Translate(address) => {
                self.note_all(spot, name, raw, &Action::Dnat(address.clone()), &met);
                for (way, _) in met {
                    self.accepted.push(Way { state: translated(way.state, &address), ..way });
                }
            }
            Effect::Masquerade => {
                self.note_all(spot, name, raw, &Action::Masquerade, &met);
                for (way, _) in met {
                    self.accepted.push(Way { state: State { masqueraded: true, ..way.state }, ..way });
                }
            }
            Effect::Change(change) => {
                for (mut way, why) in met {
                    let action = changed(&mut way.state, change, target);
                    self.note(spot, name, Some(raw), &action, &way.share, why);
                    // Kubernetes 1.1 marked in the endpoint's own chain.
                    let marks = matches!(change, Change::Mark) && ChainKind::of(name) == ChainKind::Endpoint;
                    into.push(marked(way, marks));
                }
            }
            Effect::End(end, action) => self.end(spot, name, raw, met, &end, &action),
            Effect::Unknown(why) => {
                self.end(spot, name, raw, met, &End::Unknown(why.clone()), &Action::Unknown(why));
            }
        }
        on.append(&mut into);
        merge(&mut on);
        on
    }

    fn end(&mut self, spot: Spot<'d>, chain: &str, raw: RawRule<'d>, met: Vec<(Way, Why)>, end: &End, action: &Action) {
        for (way, why) in met {
            let by = self.note(spot, chain, Some(raw), action, &way.share, why);
            self.ended.push(Ended { way, end: end.clone(), by: Some(by) });
        }
    }

    /// Parts a way into what meets the rule and what goes on, for each answer to what nobody knows.
    #[expect(clippy::too_many_arguments, reason = "a rule, where it stands, and what comes and goes")]
    fn judge(
        &mut self,
        spot: Spot<'d>,
        chain: &str,
        raw: RawRule<'d>,
        rule: &Rule<'d>,
        way: Way,
        met: &mut Vec<(Way, Why)>,
        on: &mut Vec<Way>,
    ) {
        let mut asked: Option<u16> = None;
        let mut open_ways = vec![way];
        while let Some(way) = open_ways.pop() {
            let view = self.view(&way, spot.hook, raw.line);
            let mut truth = Truth::Yes;
            let mut fails = None;
            for item in &rule.matches {
                match meets(&view, item) {
                    Truth::No => {
                        (truth, fails) = (Truth::No, Some(item));
                        break;
                    }
                    other => truth = truth.min(other),
                }
            }
            let (mut truth, mut leaf) = (truth, view.open.get());
            let share = if truth == Truth::No { None } else { share_of(rule) };
            if truth == Truth::Yes && share.is_none() {
                // A probability nobody can read.
                let statistic = rule.matches.iter().find(|item| matches!(item, Match::Statistic(_)));
                truth = statistic.map_or(Truth::Yes, |item| view.other(item));
                leaf = view.open.get();
            }
            match truth {
                Truth::No => {
                    if self.every_rule && asked.is_none() {
                        let why = Why::Fails(fails.map(Match::emit).unwrap_or_default());
                        self.place(spot, chain, Some(raw), &Action::Nothing, &way.share, why, false);
                    }
                    on.push(way);
                }
                Truth::Unknown => {
                    asked = asked.or(leaf);
                    self.part(way, leaf, &mut open_ways);
                }
                Truth::Yes => {
                    let why = asked.map_or(Why::Matches, |leaf| self.open_why(leaf));
                    let share = share.unwrap_or(1.0);
                    let rest = way.share.part * (1.0 - share);
                    if rest > 0.0 {
                        on.push(Way { state: way.state.clone(), share: Share { part: rest, ..way.share.clone() } });
                    }
                    if share > 0.0 {
                        let part = way.share.part * share;
                        met.push((Way { share: Share { part, ..way.share }, state: way.state }, why));
                    }
                }
            }
        }
    }

    fn open_why(&self, leaf: u16) -> Why {
        Why::Open(self.leaves.borrow().get(leaf).map(Leaf::to_string).unwrap_or_default())
    }

    fn effect(&self, spot: Spot<'d>, raw: RawRule<'d>, target: &Target<'d>) -> Effect {
        let chain = if target.name == "DNAT" { None } else { spot.table.section.chain_id(target.name) };
        if let Some(chain) = chain {
            let there = &spot.table.section.chains()[chain];
            // Where the text ends inside the table, the rules of a declared chain may be what was lost.
            if there.declared || !there.is_empty() {
                return Effect::Jump(chain, target.goto);
            }
        }
        match translation(target) {
            Some(Translation::To(address)) => return Effect::Translate(address),
            Some(Translation::Garbled) => {
                let rule = RuleRef { text: spot.table.text, line: raw.line };
                return Effect::Translate(self.recovered.get(&rule).cloned().unwrap_or(Address::Unknown));
            }
            None => {}
        }
        match target.name {
            "RETURN" => Effect::Return,
            "ACCEPT" => Effect::Accept,
            "DROP" | "TARPIT" => Effect::End(End::Drop, Action::Drop),
            "REJECT" => Effect::End(End::Reject, Action::Reject),
            "MASQUERADE" | "SNAT" => Effect::Masquerade,
            "MARK" => Effect::Change(Change::Mark),
            "CONNMARK" => Effect::Change(Change::ConnMark),
            "NOTRACK" => Effect::Change(Change::Untrack),
            "CT" if target.options.iter().any(|word| word.text == "--notrack") => Effect::Change(Change::Untrack),
            "CT" => Effect::Nothing,
            "QUEUE" | "NFQUEUE" => Effect::Unknown(format!("line {} hands it to another program", raw.line)),
            name if only_watches(name) => Effect::Nothing,
            name => Effect::Unknown(format!("{name}, which line {} leads to, is not in the dump", raw.line)),
        }
    }

    /// Notes a rule that applies, once for all ways.
    fn note_all(
        &mut self,
        spot: Spot<'d>,
        chain: &str,
        raw: RawRule<'d>,
        action: &Action,
        met: &[(Way, Why)],
    ) -> usize {
        let mut at = 0;
        for (way, why) in met {
            at = self.note(spot, chain, Some(raw), action, &way.share, why.clone());
        }
        at
    }

    fn note(
        &mut self,
        spot: Spot<'d>,
        chain: &str,
        raw: Option<RawRule<'d>>,
        action: &Action,
        share: &Share,
        why: Why,
    ) -> usize {
        self.place(spot, chain, raw, action, share, why, true)
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of a step")]
    fn place(
        &mut self,
        spot: Spot<'d>,
        chain: &str,
        raw: Option<RawRule<'d>>,
        action: &Action,
        share: &Share,
        why: Why,
        applies: bool,
    ) -> usize {
        let rule = raw.map(|raw| RuleRef { text: spot.table.text, line: raw.line });
        let next = self.steps.len();
        let at = *self.places.entry((spot.hook, spot.name, rule, applies)).or_insert(next);
        if at == next {
            let parsed = raw.and_then(|raw| raw.parse().ok());
            let step = Step {
                hook: spot.hook,
                table: spot.name.as_str(),
                chain: chain.to_owned(),
                rule,
                text: parsed.as_ref().map(Rule::emit).unwrap_or_default(),
                comment: parsed.as_ref().and_then(|rule| rule.comment()).map(str::to_owned),
                action: action.clone(),
                probability: None,
                why: why.clone(),
                idle: matches!(action, Action::Jump(_) | Action::Goto(_)),
            };
            self.steps.push((step, Shares::default()));
        }
        let (step, shares) = &mut self.steps[at];
        if applies {
            shares.add(share);
            // A chain that only sends back does nothing.
            self.noted += usize::from(*action != Action::Return);
        }
        if why == Why::Matches {
            step.why = why;
        }
        at
    }
}

fn open(why: &str) -> Why {
    Why::Open(why.to_owned())
}

/// In lines that may be of nat and filter both, a rule counts for the table that has its target.
fn belongs(spot: Spot<'_>, target: &Target<'_>) -> bool {
    if !spot.table.mixed {
        return true;
    }
    let kind = ChainKind::of(target.name);
    match spot.name {
        TableName::Nat => !matches!(target.name, "REJECT" | "DROP"),
        _ => {
            let of_nat =
                matches!(target.name, "MASQUERADE" | "SNAT" | "KUBE-POSTROUTING") || translation(target).is_some();
            !(of_nat || kind.serves() || matches!(kind, ChainKind::Endpoint | ChainKind::MarkMasquerade))
        }
    }
}

/// True for a rule that asks whether the client is on a list.
fn asks_list(rule: &Rule<'_>) -> bool {
    let asks = |item: &Match<'_>| {
        matches!(item, Match::Recent(recent)
            if !recent.not && matches!(recent.verb, RecentVerb::Check | RecentVerb::Update))
    };
    rule.matches.iter().any(asks)
}

fn marked(way: Way, marks: bool) -> Way {
    Way { state: State { marked: way.state.marked || marks, ..way.state }, ..way }
}

/// The packet after its destination was translated.
fn translated(state: State, address: &Address) -> State {
    let (place, port, address) = match address {
        Address::Socket(ip, port) => (Place::At(*ip), Some(*port), address.clone()),
        Address::SamePort(ip) => {
            let socket = state.port.map_or_else(|| address.clone(), |port| Address::Socket(*ip, port));
            (Place::At(*ip), state.port, socket)
        }
        Address::UnknownPort(ip) => (Place::At(*ip), None, address.clone()),
        // REDIRECT and TPROXY lead to this node.
        Address::Other(text) if text.starts_with("this node") || text.starts_with("TPROXY") => {
            (Place::Here, None, address.clone())
        }
        Address::Other(_) | Address::Unknown => (Place::Somewhere, None, address.clone()),
    };
    State { place, port, translated: Some(address), ..state }
}

/// Changes the packet as MARK, CONNMARK and CT do.
fn changed(state: &mut State, change: Change, target: &Target<'_>) -> Action {
    match change {
        Change::Untrack => {
            state.tracked = false;
            Action::Untrack
        }
        Change::Mark => match apply_mark(target, state.mark) {
            Some(mark) => {
                state.mark = mark;
                Action::Mark(mark)
            }
            None => Action::Nothing,
        },
        Change::ConnMark => connmark(state, target),
    }
}

/// `--save-mark`, `--restore-mark` and `--set-xmark` (`connmark_tg`, net/netfilter/xt_connmark.c).
fn connmark(state: &mut State, target: &Target<'_>) -> Action {
    let has = |flag: &str| target.options.iter().any(|word| word.text == flag);
    let mask = |flag: &str| {
        let text = target.option(flag).or_else(|| target.option("--mask"));
        text.and_then(masked_mark).map_or(u32::MAX, |(mask, _)| mask)
    };
    let (of_connection, of_packet) = (mask("--ctmask"), mask("--nfmask"));
    if has("--save-mark") {
        state.connmark = (state.connmark & !of_connection) ^ (state.mark & of_packet);
        return Action::ConnMark(state.connmark);
    }
    if has("--restore-mark") {
        state.mark = (state.mark & !of_packet) ^ (state.connmark & of_connection);
        return Action::Mark(state.mark);
    }
    match apply_mark(target, state.connmark) {
        Some(mark) => {
            state.connmark = mark;
            Action::ConnMark(mark)
        }
        None => Action::Nothing,
    }
}

/// Makes one way of those that are alike in all but their part, or in all but one choice about what nobody knows.
fn merge(ways: &mut Vec<Way>) {
    /// More are not compared with each other.
    const MANY: usize = 64;
    if ways.len() < 2 || ways.len() > MANY {
        return;
    }
    let mut at = 0;
    while at < ways.len() {
        let mut other = at + 1;
        let mut merged = false;
        while other < ways.len() {
            let (one, two) = (&ways[at], &ways[other]);
            let union = if one.state != two.state {
                None
            } else if one.share.world == two.share.world {
                Some(Share { part: one.share.part + two.share.part, world: one.share.world.clone() })
            } else if (one.share.part - two.share.part).abs() < 1e-15 {
                one.share.world.union(&two.share.world).map(|world| Share { part: one.share.part, world })
            } else {
                None
            };
            match union {
                Some(share) => {
                    ways[at].share = share;
                    ways.remove(other);
                    merged = true;
                }
                None => other += 1,
            }
        }
        // A union may fit one that was passed over.
        if !merged {
            at += 1;
        }
    }
}
