//! Where connections to one frontend go, by where they come from.
//!
//! The chains between KUBE-SERVICES and a pool (KUBE-EXT, KUBE-FW, KUBE-XLB, older layouts in KUBE-SERVICES itself) are
//! followed for a client in a pod, on the node and elsewhere. A rule limited to a source network nothing is known of
//! (a load balancer's source range) makes a route of its own; the rest goes on.

use std::borrow::Borrow;

use hashbrown::HashSet;

use super::conditions::{self, Truth};
use super::followed::Followed;
use super::matching::{Client, Connection, Destination, PodSide};
use super::pool::PoolRef;
use super::reject::Rejects;
use super::ruleset::Table;
use super::survey::FrontendSketch;
use super::translate;
use crate::dataplane::{Origin, Route, Verdict};
use crate::dump::iptables::{Match, Rule, Target};
use crate::net::{Network, Protocol};
use crate::proxy::allowance::Allowance;
use crate::proxy::chain_name::{self, ChainKind};

/// Chains between a frontend and its pool are three deep at most. What is deeper than this, or has more rules than
/// [`MAX_RULES`], was not written by kube-proxy and must not hold us up: the verdict is then unknown.
const MAX_DEPTH: usize = 32;

/// Rules followed for one frontend and origin.
const MAX_RULES: usize = 2000;

/// What is the same for all frontends of a family.
#[derive(Debug, Clone, Copy)]
pub(super) struct Surroundings<'s, 'd> {
    pub(super) nat: Option<Table<'d>>,
    pub(super) followed: &'s Followed,
    /// What each Service may cost beside its own chains.
    pub(super) allowance: Allowance,
    pub(super) rejects: &'s Rejects<'d>,
    pub(super) pods: PodSide<'s>,
}

/// The routes of one frontend.
pub(super) struct Routes<'d> {
    /// For each origin, in order; a route for all sources comes last.
    pub(super) routes: Vec<Route>,
    /// The pools they lead to, in the order met.
    pub(super) pools: Vec<PoolRef<'d>>,
}

/// Follows `frontend`, of a service port with this key, for every origin.
pub(super) fn routes<'d>(
    around: Surroundings<'_, 'd>,
    frontend: &FrontendSketch<'d>,
    (protocol, key): (Option<Protocol>, &str),
) -> Routes<'d> {
    let mut found = Routes { routes: Vec::new(), pools: Vec::new() };
    let rules: Vec<Rule<'d>> = frontend.rules.iter().filter_map(|raw| raw.parse().ok()).collect();
    let mut heads = Vec::new();
    for origin in Origin::ALL {
        let destination = Destination::One(frontend.address, frontend.port);
        let connection = Connection { client: Client::At(origin), pods: around.pods, protocol, destination };
        let (marked, outcomes, pools) = (Truth::No, Vec::new(), &mut found.pools);
        let (left, shared) = (MAX_RULES, around.allowance.rules(0));
        let heads = &mut heads;
        let (doubtful, hidden) = (false, false);
        let mut walk = Walk { around, connection, key, marked, doubtful, hidden, outcomes, pools, heads, left, shared };
        let settled = walk.rules(rules.iter(), "", &[], 0) == Flow::Ended;
        if walk.hidden && !settled {
            walk.verdict(Some(Verdict::Unknown), &[]);
        }
        let outcomes = std::mem::take(&mut walk.outcomes);
        let refused = around.rejects.at((frontend.address, protocol, frontend.port), Some(origin));
        conclude(&mut found.routes, origin, outcomes, settled, refused.map(|r| r.verdict));
    }
    if around.nat.is_some_and(|nat| nat.section.has_gaps()) {
        let unknown = |origin| Route { origin, sources: Vec::new(), verdict: Verdict::Unknown, masquerade: None };
        found.routes = Origin::ALL.map(unknown).into();
    }
    found
}

/// Turns what was met on the way into routes: equal neighbours become one, and what nothing took is refused or left
/// alone.
fn conclude(routes: &mut Vec<Route>, origin: Origin, outcomes: Vec<Outcome>, settled: bool, refused: Option<Verdict>) {
    let start = routes.len();
    let maybe_taken = outcomes.iter().any(|o| o.sources.is_empty());
    let rest = Outcome { sources: Vec::new(), verdict: None, masquerade: Some(false) };
    let rest = (!settled && (!maybe_taken || refused.is_some())).then_some(rest);
    for outcome in outcomes.into_iter().chain(rest) {
        let verdict = outcome.verdict.unwrap_or(refused.unwrap_or(Verdict::None));
        if let Some(last) = routes[start..].last_mut()
            && last.verdict == verdict
            && last.masquerade == outcome.masquerade
            && last.sources.is_empty() == outcome.sources.is_empty()
        {
            last.sources.extend(outcome.sources);
            continue;
        }
        routes.push(Route { origin, sources: outcome.sources, verdict, masquerade: outcome.masquerade });
    }
}

struct Outcome {
    sources: Vec<Network>,
    /// `None` where nat leaves the connection alone.
    verdict: Option<Verdict>,
    masquerade: Option<bool>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    /// Every connection has its verdict.
    Ended,
    /// Some go on behind the rules just followed.
    GoesOn,
}

struct Walk<'w, 'd> {
    around: Surroundings<'w, 'd>,
    connection: Connection<'w>,
    /// What the Service's chains have in common.
    key: &'w str,
    /// Is the connection marked for masquerading?
    marked: Truth,
    /// Whether the rule that captures it takes it is not known.
    doubtful: bool,
    /// Some rule has a condition that the program that printed it has hidden.
    hidden: bool,
    outcomes: Vec<Outcome>,
    pools: &'w mut Vec<PoolRef<'d>>,
    /// Marking rules of the pools' chains met so far.
    heads: &'w mut Vec<(&'d str, Vec<Rule<'d>>)>,
    /// How many more rules may be followed.
    left: usize,
    /// How many of them in chains that are not the Service's own.
    shared: usize,
}

impl<'d> Walk<'_, 'd> {
    /// Follows rules of `chain`, for clients from `within` only (all where empty).
    fn rules(
        &mut self,
        rules: impl Iterator<Item = impl Borrow<Rule<'d>>>,
        chain: &'d str,
        within: &[Network],
        depth: usize,
    ) -> Flow {
        for rule in rules {
            let rule = rule.borrow();
            let cost = usize::from(!chain.is_empty() && chain_name::key(chain) != self.key);
            let (left, shared) = (self.left.checked_sub(1), self.shared.checked_sub(cost));
            let Some((left, shared)) = left.zip(shared) else {
                return self.verdict(Some(Verdict::Unknown), within);
            };
            (self.left, self.shared) = (left, shared);
            let judgement = self.connection.judge(rule);
            let Some(target) = rule.target.as_ref().filter(|_| judgement.truth != Truth::No) else { continue };
            let chance = rule.matches.iter().any(|m| matches!(m, Match::Statistic(_)));
            let certain = judgement.truth == Truth::Yes && judgement.sources.is_empty() && !chance;
            self.hidden |= judgement.truth == Truth::Unknown && rule.matches.iter().any(Match::is_hidden);
            if depth == 0 {
                self.doubtful = judgement.truth == Truth::Unknown && self.asks_more(rule);
            }
            let sources = if judgement.sources.is_empty() { within } else { &judgement.sources };
            let flow = match ChainKind::of(target.name) {
                ChainKind::MarkMasquerade if target.goto && certain => return Flow::GoesOn,
                _ if marks(target) => {
                    self.marked = self.marked.max(if certain { Truth::Yes } else { Truth::Unknown });
                    Flow::GoesOn
                }
                ChainKind::MarkDrop => self.verdict(Some(Verdict::Drop), sources),
                ChainKind::Cluster | ChainKind::Local => self.pool(PoolRef::of(target.name), sources),
                ChainKind::Endpoint => {
                    // A rule that chooses by chance is one of several that make a pool of their chain.
                    let pool = PoolRef::of(if chain.is_empty() { target.name } else { chain });
                    self.pool(pool, sources);
                    return Flow::Ended;
                }
                _ if translate::of(target).is_some() && !chain.is_empty() => {
                    self.pool(PoolRef::of(chain), sources);
                    return Flow::Ended;
                }
                _ => match target.name {
                    "ACCEPT" => self.verdict(None, sources),
                    "DROP" => self.verdict(Some(Verdict::Drop), sources),
                    "REJECT" => self.verdict(Some(Verdict::Reject), sources),
                    "RETURN" if certain => return Flow::GoesOn,
                    "RETURN" if !judgement.sources.is_empty() => self.verdict(None, sources),
                    "RETURN" => Flow::GoesOn,
                    name => self.chain(name, certain, sources, depth),
                },
            };
            if certain && flow == Flow::Ended {
                return Flow::Ended;
            }
        }
        Flow::GoesOn
    }

    fn chain(&mut self, name: &'d str, certain: bool, within: &[Network], depth: usize) -> Flow {
        let Some(table) = self.around.nat else { return Flow::GoesOn };
        if depth >= MAX_DEPTH {
            return self.verdict(Some(Verdict::Unknown), within);
        }
        if let Some(id) = table.section.chain_id(name) {
            let chain = &table.section.chains()[id];
            let is_pool = || is_pool_of_its_own(table, chain.name);
            if ChainKind::of(name) == ChainKind::Other && self.around.followed.is_pool(id, is_pool) {
                return self.pool(PoolRef::of(chain.name), within);
            }
            // The rule by which pods and the node use every endpoint comes first.
            if ChainKind::of(name) == ChainKind::External && table.section.is_first(chain) {
                return self.verdict(Some(Verdict::Unknown), within);
            }
            let before = self.marked;
            let mut flow = self.rules(readable(table, chain.name), chain.name, within, depth + 1);
            if flow == Flow::GoesOn && ChainKind::of(name) == ChainKind::External && table.section.may_lack_rules(chain)
            {
                flow = self.verdict(Some(Verdict::Unknown), within);
            }
            if !certain && self.marked > before {
                // Marks set on a way only some clients take may or may not hold for the others.
                self.marked = Truth::Unknown;
            }
            return flow;
        }
        if !ChainKind::of(name).serves() {
            return Flow::GoesOn;
        }
        // A part of a dump may lack the chain in between, which decides who gets where; its pool has the same key.
        let cluster = format!("KUBE-SVC-{}", chain_name::key(name));
        if let Some(pool) = table.section.chain(&cluster).map(|chain| PoolRef::of(chain.name))
            && !self.pools.contains(&pool)
        {
            self.pools.push(pool);
        }
        self.verdict(Some(Verdict::Unknown), within)
    }

    fn pool(&mut self, pool: PoolRef<'d>, sources: &[Network]) -> Flow {
        let masquerade = match self.marked.max(self.marked_in(pool)) {
            Truth::Yes => Some(true),
            Truth::No => Some(false),
            Truth::Unknown => None,
        };
        if !self.pools.contains(&pool) {
            self.pools.push(pool);
        }
        if self.doubtful {
            return self.verdict(Some(Verdict::Unknown), sources);
        }
        self.outcomes.push(Outcome {
            sources: sources.to_vec(),
            verdict: Some(Verdict::Pool(pool.policy)),
            masquerade,
        });
        Flow::Ended
    }

    /// True if a rule that captures a frontend asks for what kube-proxy asks for in no such rule, and a dump does not tell it. By
    /// bridge ports and kinds of addresses it tells clients outside from those of the node (up to 1.20), all of which it takes.
    fn asks_more(&self, rule: &Rule<'_>) -> bool {
        let is_its = |item: &Match<'_>| matches!(item, Match::AddrType(_) | Match::Module { name: "physdev", .. });
        let unknown = |item: &Match<'_>| conditions::meets(&self.connection, item) == Truth::Unknown;
        rule.matches.iter().any(|item| !is_its(item) && unknown(item))
    }

    fn verdict(&mut self, verdict: Option<Verdict>, sources: &[Network]) -> Flow {
        let masquerade = (verdict != Some(Verdict::Unknown)).then_some(false);
        self.outcomes.push(Outcome { sources: sources.to_vec(), verdict, masquerade });
        Flow::Ended
    }

    /// Do the rules at the head of the pool's chain mark the connection?
    fn marked_in(&mut self, pool: PoolRef<'d>) -> Truth {
        let Some(table) = self.around.nat else { return Truth::No };
        let at = self.heads.iter().position(|(chain, _)| *chain == pool.chain).unwrap_or_else(|| {
            self.heads.push((pool.chain, head_marks(table, pool.chain)));
            self.heads.len() - 1
        });
        let truths = self.heads[at].1.iter().map(|rule| self.connection.judge(rule).overall());
        // The chain itself may be among the lines that are missing.
        let least = if table.section.chain(pool.chain).is_some() { Truth::No } else { Truth::Unknown };
        truths.max().unwrap_or(Truth::No).max(least)
    }
}

/// True for targets that mark a connection for masquerading: KUBE-MARK-MASQ, and in Kubernetes 1.1 MARK itself.
fn marks(target: &Target<'_>) -> bool {
    let sets_mark = || ["--set-xmark", "--or-mark", "--set-mark"].iter().any(|flag| target.option(flag).is_some());
    ChainKind::of(target.name) == ChainKind::MarkMasquerade || (target.name == "MARK" && sets_mark())
}

/// True for a chain of no known name that translates by itself or through chains of no known name: it is then the pool,
/// with all its rules. One that leads to service chains only stands in between.
fn is_pool_of_its_own(table: Table<'_>, chain: &str) -> bool {
    let mut seen = HashSet::new();
    seen.insert(chain);
    let mut open = vec![chain];
    let mut translates = false;
    while let Some(chain) = open.pop().filter(|_| seen.len() < MAX_RULES) {
        for target in readable(table, chain).filter_map(|rule| rule.target) {
            match ChainKind::of(target.name) {
                kind if kind.serves() => return false,
                ChainKind::Endpoint => translates = true,
                _ => translates |= translate::of(&target).is_some(),
            }
            if let Some(next) = table.section.chain(target.name)
                && seen.insert(next.name)
            {
                open.push(next.name);
            }
        }
    }
    translates
}

/// The rules of a chain that can be read.
fn readable<'d>(table: Table<'d>, chain: &str) -> impl Iterator<Item = Rule<'d>> + use<'d> {
    table.rules(chain).filter_map(|raw| raw.parse().ok())
}

/// The rules of a pool's chain that mark, which stand before those that choose an endpoint.
fn head_marks<'d>(table: Table<'d>, chain: &str) -> Vec<Rule<'d>> {
    let target_is = |rule: &Rule<'_>, test: fn(&Target<'_>) -> bool| rule.target.as_ref().is_some_and(test);
    let chooses = |target: &Target<'_>| ChainKind::of(target.name) == ChainKind::Endpoint;
    let head = readable(table, chain).take_while(|rule| !target_is(rule, chooses));
    head.filter(|rule| target_is(rule, marks)).collect()
}
