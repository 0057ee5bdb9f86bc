//! Which frontends never get their connections, because an earlier rule takes them.
//!
//! Two places are looked at: what stands in PREROUTING and OUTPUT ahead of kube-proxy's jump (hostPorts, Docker), and
//! KUBE-SERVICES and KUBE-NODEPORTS themselves (another service with the same address, a hand-made rule). A rule that is
//! certain to take a connection counts, and ahead of kube-proxy's jump one that translates a part of the connections to just
//! this port (`-i eth0`, `-d` with an address of the node): whoever wrote it meant them. What else a dump does not decide is no
//! finding, and is told.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::rc::Rc;

use hashbrown::{HashMap, HashSet};

use super::super::conditions::Truth;
use super::super::matching::{Client, Connection, Destination};
use super::super::ruleset::Table;
use super::super::survey::{FrontendSketch, InFamily, Sketch, Survey};
use super::super::translate::{self, Translation};
use super::ahead::{Ahead, ends};
use super::claims::{Rivals, cluster_ips, rivals};
use super::held::Held;
use super::hooks;
use super::narrowing::{self, Sofar};
use super::{PORTAL, reference};
use crate::dataplane::{Only, Origin, RuleRef, Shadow, Taker};
use crate::dump::iptables::{Match, RawRule, Rule};
use crate::order::Order as _;

/// So many rules are held against frontends, all together.
const BUDGET: usize = 4_000_000;

/// Jumps deeper than this are not followed.
const MAX_DEPTH: usize = 16;

/// What was found.
#[derive(Default)]
pub(super) struct Shadows {
    pub(super) found: Vec<Shadow>,
    /// There are more rules than can be held against every frontend.
    pub(super) too_many: bool,
    /// Rules that may take connections, in the order of their lines.
    pub(super) undecided: Vec<RuleRef>,
}

/// The frontends of `sketches` that an earlier rule takes the connections of.
pub(super) fn of<'d>(survey: &Survey<'d>, family: &InFamily<'d>, sketches: &[&Sketch<'_>]) -> Shadows {
    let Some(nat) = family.ruleset.nat else { return Shadows::default() };
    let ahead = [("PREROUTING", [Origin::External, Origin::Pod].as_slice()), ("OUTPUT", &[Origin::Node])];
    let ahead: Vec<Ahead<'_>> = ahead.iter().map(|(hook, origins)| Ahead::of(nat, hook, origins)).collect();
    let (long, undecided) = (HashMap::new(), BTreeSet::new());
    let mut search = Search { nat, family, ahead, long, left: BUDGET, survey, cluster_ips: None, undecided };
    let mut shadows = Shadows { too_many: search.ahead.iter().any(|ahead| ahead.too_many), ..Shadows::default() };
    let of_family = |sketch: &&&Sketch<'_>| sketch.family == family.ruleset.family;
    let rivals = rivals(survey, family, sketches);
    for sketch in sketches.iter().filter(of_family) {
        for frontend in sketch.frontends.iter().filter(|frontend| !frontend.rules.is_empty()) {
            if let Some(Taken { origins, only, by, rules }) = search.taker(sketch, frontend, &rivals) {
                let frontend = (frontend.kind, frontend.address, frontend.port);
                let (key, protocol) = (sketch.key.to_string(), sketch.protocol);
                shadows.found.push(Shadow { key, protocol, frontend, origins, only, by, rules });
            }
        }
    }
    shadows.too_many |= search.left == 0;
    shadows.undecided = search.undecided.iter().map(|line| RuleRef { text: nat.text, line: *line }).collect();
    shadows
}

/// True if a rule leads back to where the jump to its chain stands.
fn leads_back(rule: &Rule<'_>) -> bool {
    rule.target.as_ref().is_some_and(|target| target.name == "RETURN" || target.goto)
}

struct Search<'s, 'd> {
    nat: Table<'d>,
    family: &'s InFamily<'d>,
    ahead: Vec<Ahead<'d>>,
    /// Long rules that were parsed, by their line; `None` for those that cannot be read.
    long: HashMap<u32, Option<Rc<Held<'d>>>>,
    left: usize,
    survey: &'s Survey<'d>,
    /// Every cluster IP, once one was asked for.
    cluster_ips: Option<HashSet<IpAddr>>,
    /// Lines of rules ahead that may take connections.
    undecided: BTreeSet<u32>,
}

/// What takes connections, and whose.
struct Taken {
    origins: Vec<Origin>,
    only: Only,
    by: Taker,
    rules: Vec<RuleRef>,
}

/// What a rule met on the way does with the connection.
enum Met {
    Taken(Taker, Vec<RuleRef>),
    /// It gets to kube-proxy's own rules, or may.
    Arrives,
    Returns,
    GoesOn,
}

/// What becomes of the part of the connections that gets to a chain.
enum Part {
    /// A rule translates these.
    Taken(Only, Taker, Vec<RuleRef>),
    /// All of them get to kube-proxy's own rules.
    Arrives,
    GoesOn,
}

impl<'s, 'd> Search<'s, 'd> {
    /// What takes the connections to `frontend`, if something does, and whose.
    fn taker(&mut self, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>, rivals: &Rivals) -> Option<Taken> {
        self.before_the_portal(sketch, frontend)
            .or_else(|| {
                let (by, rules) = self.in_the_portal(sketch, frontend, rivals)?;
                Some(Taken { origins: Origin::ALL.to_vec(), only: Only::default(), by, rules })
            })
            .or_else(|| self.partly_before(sketch, frontend))
    }

    fn before_the_portal(&mut self, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>) -> Option<Taken> {
        self.each_ahead(sketch, frontend, |search, rules, hook, connection| {
            match search.follow(rules, hook, connection, 0) {
                Met::Taken(taker, rules) => Some((Only::default(), taker, rules)),
                Met::Arrives | Met::Returns | Met::GoesOn => None,
            }
        })
    }

    /// The same of a part of the connections.
    fn partly_before(&mut self, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>) -> Option<Taken> {
        self.each_ahead(sketch, frontend, |search, rules, hook, connection| {
            match search.partly(rules, hook, connection, &Sofar::default(), 0) {
                Part::Taken(only, taker, rules) => Some((only, taker, rules)),
                Part::Arrives | Part::GoesOn => None,
            }
        })
    }

    /// Asks `look` what is ahead of the frontend's rule for every origin. What it finds first counts, for all origins it
    /// finds it for.
    fn each_ahead(
        &mut self,
        sketch: &Sketch<'_>,
        frontend: &FrontendSketch<'_>,
        mut look: impl FnMut(&mut Self, &[RawRule<'d>], &str, Connection<'_>) -> Option<(Only, Taker, Vec<RuleRef>)>,
    ) -> Option<Taken> {
        let mut found: Option<Taken> = None;
        for n in 0..self.ahead.len() {
            if !self.ahead[n].may_take(frontend.port) {
                continue;
            }
            let rules = std::mem::take(&mut self.ahead[n].rules);
            let hook = self.ahead[n].hook;
            for &origin in self.ahead[n].origins {
                let connection = self.connection(origin, sketch, frontend);
                let Some((only, by, rules)) = look(self, &rules, hook, connection) else { continue };
                let taken = found.get_or_insert_with(|| Taken { origins: Vec::new(), only: only.clone(), by, rules });
                if taken.only == only {
                    taken.origins.push(origin);
                }
            }
            self.ahead[n].rules = rules;
        }
        if let Some(taken) = &mut found {
            taken.origins.order();
        }
        found
    }

    fn in_the_portal(
        &mut self,
        sketch: &Sketch<'_>,
        frontend: &FrontendSketch<'_>,
        rivals: &Rivals,
    ) -> Option<(Taker, Vec<RuleRef>)> {
        let own = frontend.rules.iter().map(|raw| raw.line).max()?;
        let rule = |line| RuleRef { text: self.nat.text, line };
        if let Some((line, key, label)) = rivals.get(&(frontend.address, sketch.protocol, frontend.port))
            && *line < own
            && *key != sketch.key
        {
            return Some((Taker::Service(label.clone()), vec![rule(*line)]));
        }
        let obstacles = &self.family.obstacles;
        let (chain, rules) = match frontend.address {
            None => ("KUBE-NODEPORTS", &obstacles.in_node_ports),
            Some(_) => (PORTAL, &obstacles.in_services),
        };
        let before = &rules[..rules.partition_point(|raw| raw.line < own)];
        let connection = self.connection(Origin::External, sketch, frontend);
        match self.follow(before, chain, connection, 0) {
            Met::Taken(taker, rules) => Some((taker, rules)),
            Met::Arrives | Met::Returns | Met::GoesOn => None,
        }
    }

    fn connection(&self, origin: Origin, sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>) -> Connection<'s> {
        Connection {
            client: Client::At(origin),
            pods: self.family.pods(),
            protocol: sketch.protocol,
            destination: Destination::One(frontend.address, frontend.port),
        }
    }

    /// The rule parsed, a long one only once.
    fn held(&mut self, raw: RawRule<'d>) -> Option<Rc<Held<'d>>> {
        let parsed = || Held::of(raw).map(Rc::new);
        if raw.text.len() <= Held::LONG { parsed() } else { self.long.entry(raw.line).or_insert_with(parsed).clone() }
    }

    /// Follows rules of `chain` until one is certain to take the connection. At depth 0 a RETURN leaves for good. Nothing is
    /// certain in a chain behind a rule that may lead back from it.
    fn follow(&mut self, rules: &[RawRule<'d>], chain: &str, connection: Connection<'_>, depth: usize) -> Met {
        for &raw in rules {
            if self.left == 0 {
                return Met::GoesOn;
            }
            let held = self.held(raw);
            self.left = self.left.saturating_sub(held.as_ref().map_or(1, |held| held.cost));
            let Some(held) = held else { continue };
            let chance = held.rule.matches.iter().any(|m| matches!(m, Match::Statistic(_)));
            let truth = held.judge(&connection);
            if chance || truth != Truth::Yes {
                match &held.rule.target {
                    Some(target) if truth != Truth::No && target.name == PORTAL => return Met::Arrives,
                    _ if truth != Truth::No && depth > 0 && leads_back(&held.rule) => return Met::Returns,
                    _ => continue,
                }
            }
            let Some(target) = held.rule.target.as_ref() else { continue };
            if target.name == PORTAL {
                return Met::Arrives;
            }
            let verdict = |verdict: &str| Taker::Verdict { chain: chain.to_owned(), verdict: verdict.to_owned() };
            if let Some(next) = self.nat.section.chain(target.name).filter(|_| depth < MAX_DEPTH) {
                let inner: Vec<RawRule<'d>> = self.nat.section.rules_of(next).collect();
                match self.follow(&inner, next.name, connection, depth + 1) {
                    Met::Taken(taker, mut rules) => {
                        rules.push(reference(self.nat, raw));
                        return Met::Taken(taker, rules);
                    }
                    Met::Arrives => return Met::Arrives,
                    Met::Returns | Met::GoesOn if !target.goto => continue,
                    // What does not end there goes back to where the chain was called from: at depth 0 that is the hook's end.
                    Met::Returns | Met::GoesOn if depth > 0 => return Met::Returns,
                    Met::Returns | Met::GoesOn if hooks::leads(self.nat, next.name, PORTAL) => return Met::Arrives,
                    Met::Returns | Met::GoesOn => {
                        return Met::Taken(verdict(&format!("-g {}", target.name)), vec![reference(self.nat, raw)]);
                    }
                }
            }
            let here = vec![reference(self.nat, raw)];
            match (translate::of(target), target.name) {
                (Some(Translation::To(to)), _) => {
                    return Met::Taken(Taker::Translation { chain: chain.to_owned(), to: to.to_string() }, here);
                }
                (Some(Translation::Garbled), _) => {
                    let to = "an address the dump does not tell".to_owned();
                    return Met::Taken(Taker::Translation { chain: chain.to_owned(), to }, here);
                }
                (None, name @ ("ACCEPT" | "DROP")) => return Met::Taken(verdict(name), here),
                (None, "RETURN") if depth == 0 => return Met::Taken(verdict("RETURN"), here),
                (None, "RETURN") => return Met::Returns,
                _ => {}
            }
        }
        Met::GoesOn
    }

    /// Follows rules that hold for a part of the connections, of which `sofar` is known already, until one translates them.
    fn partly(
        &mut self,
        rules: &[RawRule<'d>],
        chain: &str,
        connection: Connection<'_>,
        sofar: &Sofar,
        depth: usize,
    ) -> Part {
        let mut sofar = sofar.clone();
        for &raw in rules {
            if self.left == 0 {
                return Part::GoesOn;
            }
            let held = self.held(raw);
            self.left = self.left.saturating_sub(held.as_ref().map_or(1, |held| held.cost));
            let Some(held) = held else { continue };
            let truth = held.judge(&connection);
            let Some(target) = held.rule.target.as_ref().filter(|_| truth != Truth::No) else { continue };
            if truth == Truth::Unknown && narrowing::is_for_the_node(&held.rule, &connection) {
                continue;
            }
            let here = sofar.and(&held.rule, truth, &connection);
            if here.is_none() || self.is_for_another(&here, &connection) {
                continue;
            }
            let certain = here.only == sofar.only && here.opaque == sofar.opaque;
            let mut arrives = target.name == PORTAL;
            let goes_back = if arrives {
                false
            } else if let Some(next) = self.nat.section.chain(target.name).filter(|_| depth < MAX_DEPTH) {
                let inner: Vec<RawRule<'d>> = self.nat.section.rules_of(next).collect();
                match self.partly(&inner, next.name, connection, &here, depth + 1) {
                    Part::Taken(only, by, mut rules) => {
                        rules.push(reference(self.nat, raw));
                        return Part::Taken(only, by, rules);
                    }
                    Part::Arrives => arrives = true,
                    Part::GoesOn if !target.goto => continue,
                    Part::GoesOn => {}
                }
                !arrives
            } else if let (Some(Translation::To(to)), true) = (translate::of(target), here.is_told()) {
                let by = Taker::Translation { chain: chain.to_owned(), to: to.to_string() };
                return Part::Taken(here.only, by, vec![reference(self.nat, raw)]);
            } else {
                target.name == "RETURN"
            };
            // What leads back from the hook's own chain ends there, as what ends does.
            if !arrives && (depth == 0 || !goes_back) {
                if (goes_back || ends(&held.rule)) && !here.is_nothing() {
                    self.undecided.insert(raw.line);
                }
                continue;
            }
            // It leads back from here, or to where nothing is taken any more.
            if certain {
                return if arrives { Part::Arrives } else { Part::GoesOn };
            }
            sofar.leave_out(&held.rule, &connection);
        }
        Part::GoesOn
    }

    /// True if the connections are those to a Service's cluster IP, and a node port is asked about: the node has no such address.
    fn is_for_another(&mut self, sofar: &Sofar, connection: &Connection<'_>) -> bool {
        let Destination::One(None, _) = connection.destination else { return false };
        let Some(address) = sofar.address() else { return false };
        let survey = self.survey;
        self.cluster_ips.get_or_insert_with(|| cluster_ips(survey)).contains(&address)
    }
}
