//! The shares of a pool: one new connection through its chain, with all its chances.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::index::Index;
use super::names::{self, ChainKind};
use crate::dataplane::{Address, Client, DeadEnd, Endpoint, Oddity, Policy, Pool, RuleRef, Traffic};
use crate::dump::nft::{Data, Key, Map, Rule, Selector, Statement, Table, Verdict, parts};
use crate::net::{Protocol, split_host_port};
use crate::order::Order as _;
use crate::proxy::allowance::{Allowance, MOST_ODDITIES};
use crate::proxy::iptables::Truth;

/// See [`super::walk`].
const MAX_DEPTH: usize = 32;

/// A pool in the making.
pub(super) struct Spread<'s, 'd> {
    table: &'d Table<'d>,
    index: &'s Index<'d>,
    text: u16,
    protocol: Protocol,
    endpoints: Vec<Endpoint>,
    by_address: HashMap<(Address, &'d str), usize>,
    undelivered: f64,
    /// False once a rule decided that cannot be judged.
    known: bool,
    oddities: Vec<Oddity>,
    dead_ends: Vec<DeadEnd>,
    affinity: Option<u32>,
    /// Sets that send clients back to an endpoint's chain, by the chain.
    remembered: HashMap<&'d str, &'d str>,
    /// Chains with a rule that puts the client into a set.
    setting: HashSet<&'d str>,
    /// Source addresses that chains have a rule for: their endpoint's own, which reaches itself.
    own: HashMap<&'d str, IpAddr>,
    path: Vec<&'d str>,
    /// How many more rules, and elements of maps in them, may be followed.
    left: usize,
}

/// Spreads the pool of `chain`; the second value is the seconds of ClientIP affinity. With the allowance comes whether the chain is
/// the Service's own.
pub(super) fn pool<'d>(
    (table, index, text): (&'d Table<'d>, &Index<'d>, u16),
    policy: Policy,
    chain: &'d str,
    protocol: Protocol,
    (allowance, is_own): (Allowance, bool),
) -> (Pool, Option<u32>) {
    let own =
        table.chain(chain).filter(|_| is_own).map_or(0, |chain| chain.rules.iter().map(|raw| cost(raw.text)).sum());
    let mut spread = Spread {
        table,
        index,
        text,
        protocol,
        endpoints: Vec::new(),
        by_address: HashMap::new(),
        undelivered: 0.0,
        known: true,
        oddities: Vec::new(),
        dead_ends: Vec::new(),
        affinity: None,
        remembered: HashMap::new(),
        setting: HashSet::new(),
        own: HashMap::new(),
        path: Vec::new(),
        left: allowance.rules(own).saturating_add(own),
    };
    let rest = spread.enter(chain, 1.0, None);
    spread.undelivered += rest;
    let known = spread.known;
    let mut endpoints = std::mem::take(&mut spread.endpoints);
    for endpoint in &mut endpoints {
        endpoint.probability = endpoint.probability.filter(|_| known);
        let set = spread.remembered.get(&*endpoint.chain);
        endpoint.remembered = set.is_some();
        let clients = set.and_then(|name| table.set(name)).map(clients);
        endpoint.traffic = Traffic { clients, ..Traffic::default() }.kept();
    }
    let sticky = endpoints.iter().filter(|endpoint| endpoint.remembered).count();
    let setting = endpoints.iter().filter(|endpoint| spread.setting.contains(&*endpoint.chain)).count();
    let pool = Pool {
        endpoints,
        undelivered: known.then_some(spread.undelivered),
        oddities: spread.oddities,
        dead_ends: spread.dead_ends,
        sticky,
        setting,
        ..Pool::blank(policy, chain.to_owned())
    };
    (pool, spread.affinity)
}

/// Who is in an affinity set.
fn clients(set: &crate::dump::nft::Set<'_>) -> Vec<Client> {
    let of = |element: &crate::dump::nft::Element<'_>| {
        Some(Client { address: element.key.parse().ok()?, expires: element.expires })
    };
    set.elements.iter().filter_map(of).collect()
}

impl<'d> Spread<'_, 'd> {
    /// Sends a part of all connections into a chain; what comes back has not been delivered there.
    fn enter(&mut self, name: &'d str, mass: f64, via: Option<RuleRef>) -> f64 {
        let Some(chain) = self.table.chain(name) else {
            let oddity =
                if self.table.cut_off { Oddity::CutOff(name.to_owned()) } else { Oddity::Missing(name.to_owned()) };
            self.odd(oddity);
            return mass;
        };
        if self.path.contains(&chain.name) {
            self.odd(Oddity::Loop(chain.name.to_owned()));
            return mass;
        }
        if self.path.len() >= MAX_DEPTH {
            // What is deeper is not followed, so that nobody knows what becomes of it.
            self.odd(Oddity::Deep(self.path.len()));
            self.known = false;
            return mass;
        }
        if chain.cut_off {
            self.odd(Oddity::CutOff(chain.name.to_owned()));
        }
        if chain.rules.is_empty() {
            self.dead_ends.push(DeadEnd { chain: chain.name.to_owned(), via });
            return mass;
        }
        self.path.push(chain.name);
        let index = self.index;
        let mut left = mass;
        let mut back = 0.0;
        for raw in &chain.rules {
            let at = RuleRef { text: self.text, line: raw.line };
            let Some(more) = self.left.checked_sub(cost(raw.text)) else {
                self.odd(Oddity::Shared(chain.name.to_owned()));
                break;
            };
            self.left = more;
            let (next, returned) = self.rule(&index.rule(raw), chain.name, at, left, via);
            left = next;
            back += returned;
            if left <= 0.0 {
                break;
            }
        }
        self.path.pop();
        left + back
    }

    fn odd(&mut self, oddity: Oddity) {
        self.known = self.known && matches!(oddity, Oddity::Deep(_));
        if self.oddities.len() < MOST_ODDITIES && !self.oddities.contains(&oddity) {
            self.oddities.push(oddity);
        }
    }

    /// What goes on behind the rule, and what returns from the chain.
    fn rule(&mut self, rule: &Rule<'d>, chain: &'d str, at: RuleRef, mass: f64, via: Option<RuleRef>) -> (f64, f64) {
        let mut met = Truth::Yes;
        for statement in &rule.statements {
            let truth = match statement {
                Statement::Match { key, value: Data::Named(name), not: false, .. }
                    if *key == [Selector::SourceAddress] =>
                {
                    self.is_stuck(rule, name)
                }
                Statement::Match { key, value, not, mask: None } => self.meets(key, value).negated(*not),
                Statement::Match { .. } | Statement::Unknown(_) => Truth::Unknown,
                _ => Truth::Yes,
            };
            met = met.min(truth);
            if met == Truth::No {
                return (mass, 0.0);
            }
            self.remember(statement, chain);
            let decides = match statement {
                Statement::Verdict(Verdict::Continue) => false,
                // Chains that only mark send everything back.
                Statement::Verdict(Verdict::Jump(name)) => !self.only_marks(name),
                Statement::Verdict(_)
                | Statement::VerdictMap(..)
                | Statement::Dnat(_)
                | Statement::Redirect
                | Statement::Unknown(_)
                | Statement::Reject => true,
                _ => false,
            };
            if !decides {
                continue;
            }
            if met == Truth::Unknown {
                self.odd(Oddity::Undecided(at));
                return (mass, 0.0);
            }
            return match statement {
                Statement::Verdict(verdict) => self.go(*verdict, mass, at),
                Statement::VerdictMap(Key::Number(modulus, offset), map) => {
                    self.choose(*modulus, *offset, map, mass, at)
                }
                Statement::Dnat(Data::Mapped(Key::Number(modulus, offset), Map::Inline(pairs)))
                    if let Some(chosen) = chosen(pairs, *modulus, *offset) =>
                {
                    let one = mass / f64::from(*modulus);
                    let mut rest = mass;
                    for (count, data) in chosen {
                        let share = one * f64::from(count);
                        self.deliver(address(data), chain, share, [None, Some(at)]);
                        rest -= share;
                    }
                    (nothing(rest), 0.0)
                }
                Statement::Dnat(Data::One(text)) if address(text).ip().is_some() => {
                    self.deliver(address(text), chain, mass, [via, Some(at)]);
                    (0.0, 0.0)
                }
                _ => {
                    self.odd(Oddity::Undecided(at));
                    (mass, 0.0)
                }
            };
        }
        (mass, 0.0)
    }

    /// What a statement tells of the endpoint of its chain.
    fn remember(&mut self, statement: &Statement<'d>, chain: &'d str) {
        match statement {
            Statement::Update(_) => _ = self.setting.insert(chain),
            Statement::Match { key, not: false, value: Data::One(text), .. } if *key == [Selector::SourceAddress] => {
                self.own.extend(text.parse().ok().map(|ip| (chain, ip)));
            }
            _ => {}
        }
    }

    fn go(&mut self, verdict: Verdict<'d>, mass: f64, at: RuleRef) -> (f64, f64) {
        match verdict {
            Verdict::Jump(name) => (self.enter(name, mass, Some(at)), 0.0),
            Verdict::Goto(name) => (0.0, self.enter(name, mass, Some(at))),
            Verdict::Return => (0.0, mass),
            Verdict::Continue => (mass, 0.0),
            Verdict::Accept | Verdict::Drop => {
                self.undelivered += mass;
                (0.0, 0.0)
            }
        }
    }

    fn choose(&mut self, modulus: u32, offset: u32, map: &Map<'d>, mass: f64, at: RuleRef) -> (f64, f64) {
        let pairs = if let Map::Inline(pairs) = map { chosen(pairs, modulus, offset) } else { None };
        let Some(chosen) = pairs else {
            self.odd(Oddity::Undecided(at));
            return (mass, 0.0);
        };
        let one = mass / f64::from(modulus);
        let (mut rest, mut back) = (mass, 0.0);
        for (count, data) in chosen {
            let share = one * f64::from(count);
            rest -= share;
            match Verdict::parse(data) {
                Some(verdict) => {
                    let (next, returned) = self.go(verdict, share, at);
                    rest += next;
                    back += returned;
                }
                None => {
                    self.odd(Oddity::Undecided(at));
                    rest += share;
                }
            }
        }
        (nothing(rest), back)
    }

    fn deliver(&mut self, address: Address, chain: &'d str, mass: f64, rules: [Option<RuleRef>; 2]) {
        let next = self.endpoints.len();
        let at = *self.by_address.entry((address.clone(), chain)).or_insert(next);
        if at < next {
            let endpoint = &mut self.endpoints[at];
            endpoint.probability = endpoint.probability.map(|before| before + mass);
            return;
        }
        let hairpin = self.hairpin(&address, chain);
        self.endpoints.push(Endpoint {
            probability: Some(mass),
            rules: rules.into_iter().flatten().collect(),
            hairpin,
            ..Endpoint::blank(address, chain)
        });
    }

    /// Is the pod masqueraded where it reaches itself: by a set (since 1.31) or by a rule of the endpoint's chain?
    fn hairpin(&self, address: &Address, chain: &str) -> Option<bool> {
        let Address::Socket(ip, port) = address else { return Some(false) };
        if let Some(is_hairpin) = self.index.is_hairpin(*ip, self.protocol, *port) {
            // The set has the endpoints of this node only.
            return is_hairpin.then_some(true);
        }
        let own_chain = names::split(chain).is_some_and(|(kind, _)| kind == ChainKind::Endpoint);
        Some(own_chain && self.own.get(chain) == Some(ip))
    }

    /// A client that came before is sent back; a new one is in no set that rules fill themselves.
    fn is_stuck(&mut self, rule: &Rule<'d>, name: &'d str) -> Truth {
        let Some(set) = self.index.get(name).map(|indexed| indexed.set).filter(|set| set.timeout.is_some()) else {
            return Truth::Unknown;
        };
        let leads_to = rule.statements.iter().find_map(|s| match s {
            Statement::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => Some(*chain),
            _ => None,
        });
        if let Some(chain) = leads_to {
            self.remembered.insert(chain, name);
            self.affinity = self.affinity.or(set.timeout);
        }
        Truth::No
    }

    /// Conditions inside a pool do not depend on the client, as kube-proxy writes them.
    fn meets(&self, key: &[Selector<'d>], value: &Data<'d>) -> Truth {
        match (key, value) {
            ([Selector::Protocol], Data::One(text)) => {
                Protocol::parse(text).map_or(Truth::Unknown, |protocol| Truth::from(protocol == self.protocol))
            }
            _ => Truth::Unknown,
        }
    }

    fn only_marks(&self, chain: &str) -> bool {
        let Some(chain) = self.table.chain(chain) else { return false };
        let harmless = |s: &Statement<'_>| {
            matches!(
                s,
                Statement::Set { .. }
                    | Statement::Comment(_)
                    | Statement::Counter(_)
                    | Statement::Match { .. }
                    | Statement::Other(_)
            )
        };
        chain.rules.iter().all(|raw| self.index.rule(raw).statements.iter().all(harmless))
    }
}

/// A rule, and the elements of the maps in it.
fn cost(rule: &str) -> usize {
    1 + memchr::memmem::find_iter(rule.as_bytes(), " : ").count()
}

/// For each pair, how many of the numbers `offset..offset + modulus` choose it. `None` if one number chooses several, which no map
/// of the kernel has: the text is garbled.
fn chosen<'d>(pairs: &[(&'d str, &'d str)], modulus: u32, offset: u32) -> Option<Vec<(u32, &'d str)>> {
    let (first, end) = (u64::from(offset), u64::from(offset) + u64::from(modulus));
    let of = |(key, data): &(&'d str, &'d str)| {
        let (low, high) = key.split_once('-').unwrap_or((key, key));
        let (low, high) = (low.trim().parse::<u64>().ok()?, high.trim().parse::<u64>().ok()?);
        let (low, past) = (low.max(first), high.saturating_add(1).min(end));
        (low < past).then_some((low, past, *data))
    };
    let chosen: Vec<(u64, u64, &str)> = pairs.iter().filter_map(of).collect();
    let mut ranges: Vec<(u64, u64)> = chosen.iter().map(|(low, past, _)| (*low, *past)).collect();
    ranges.order();
    if ranges.windows(2).any(|two| two[1].0 < two[0].1) {
        return None;
    }
    chosen.into_iter().map(|(low, past, data)| Some((u32::try_from(past - low).ok()?, data))).collect()
}

/// What is left of a part by rounding only is nothing.
fn nothing(rest: f64) -> f64 {
    if rest.abs() < 1e-12 { 0.0 } else { rest }
}

/// `10.0.0.1:80`, `[fd00::1]:80`, `10.0.0.1 . 80`, or an address alone.
fn address(text: &str) -> Address {
    let mut values = parts(text);
    if let (Some(ip), Some(port), None) = (values.next(), values.next(), values.next())
        && let (Ok(ip), Ok(port)) = (ip.parse(), port.parse())
    {
        return Address::Socket(ip, port);
    }
    match split_host_port(text) {
        Some((ip, Some(port))) => Address::Socket(ip, port),
        Some((ip, None)) => Address::SamePort(ip),
        None => Address::Other(text.into()),
    }
}
