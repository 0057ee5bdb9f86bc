//! nftables as `nft list …` prints it: tables, sets, maps and chains. Rules are read one by one when they are asked for.
//!
//! The listing is the text form, with or without handles (`-a`), alone or as a part of a larger ruleset. What
//! `nft -j list …` prints is turned into it by [`restore`].

mod json;
mod rule;
mod scan;
mod statements;
mod words;

use hashbrown::HashMap;

pub use json::restore;
pub use rule::{Data, Key, Map, Rule, Selector, Statement, Verdict};

/// A listing.
#[derive(Debug, Default)]
pub struct Listing<'a> {
    /// Its tables.
    pub tables: Vec<Table<'a>>,
    /// Lines that are no part of a listing: number, from 1, and text.
    pub unread: Vec<(u32, &'a str)>,
    /// The text ends inside a table.
    pub cut_off: bool,
}

/// A table.
#[derive(Debug)]
pub struct Table<'a> {
    /// `ip`, `ip6`, `inet`, …
    pub family: &'a str,
    /// Its name.
    pub name: &'a str,
    /// The text ends inside it.
    pub cut_off: bool,
    chains: Vec<Chain<'a>>,
    chain_by_name: HashMap<&'a str, usize>,
    /// Places of the chains that packets enter.
    bases: Vec<usize>,
    sets: Vec<Set<'a>>,
    set_by_name: HashMap<&'a str, usize>,
}

/// A chain.
#[derive(Debug)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its line, from 1.
    pub line: u32,
    /// Where packets enter it; `None` for a chain that only rules lead to.
    pub base: Option<Base<'a>>,
    /// Its rules.
    pub rules: Vec<RawRule<'a>>,
    /// The text ends inside it, and the last rule may be cut.
    pub cut_off: bool,
}

/// Where packets enter a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Base<'a> {
    /// `nat`, `filter` or `route`.
    pub kind: &'a str,
    /// `prerouting`, `input`, `forward`, `output`, `postrouting`, …
    pub hook: &'a str,
    /// Chains of one hook are passed in this order, the lowest first.
    pub priority: i32,
    /// What passes all rules is dropped.
    pub drops: bool,
}

/// A rule, not yet understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawRule<'a> {
    /// Its line, from 1.
    pub line: u32,
    /// The rule without its handle.
    pub text: &'a str,
}

/// A set, or a map where its elements have data.
#[derive(Debug, Default)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its line, from 1.
    pub line: u32,
    /// `ipv4_addr . inet_proto . inet_service : verdict`
    pub kind: &'a str,
    /// Seconds after which what was added is forgotten.
    pub timeout: Option<u32>,
    /// Its elements.
    pub elements: Vec<Element<'a>>,
}

/// An element of a set or map.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Element<'a> {
    /// Its line, from 1.
    pub line: u32,
    /// `10.96.0.1 . tcp . 443`
    pub key: &'a str,
    /// Seconds until it is forgotten.
    pub expires: Option<u32>,
    /// Its comment.
    pub comment: Option<&'a str>,
    /// What a map has for the key: `goto reject-chain`.
    pub data: Option<&'a str>,
}

impl<'a> Table<'a> {
    /// Its chains, in their order.
    pub fn chains(&self) -> &[Chain<'a>] {
        &self.chains
    }

    /// The chains that packets enter, in their order.
    pub fn base_chains(&self) -> impl Iterator<Item = (&Chain<'a>, Base<'a>)> {
        self.bases.iter().filter_map(|at| self.chains.get(*at)).filter_map(|chain| Some((chain, chain.base?)))
    }

    /// The chain called `name`.
    pub fn chain(&self, name: &str) -> Option<&Chain<'a>> {
        self.chain_by_name.get(name).map(|at| &self.chains[*at])
    }

    /// Its sets and maps, in their order.
    pub fn sets(&self) -> &[Set<'a>] {
        &self.sets
    }

    /// The set or map called `name`.
    pub fn set(&self, name: &str) -> Option<&Set<'a>> {
        self.set_by_name.get(name).map(|at| &self.sets[*at])
    }

    /// How many rules and elements it has.
    pub fn size(&self) -> usize {
        let rules: usize = self.chains.iter().map(|chain| chain.rules.len()).sum();
        rules + self.sets.iter().map(|set| set.elements.len()).sum::<usize>()
    }
}

impl Set<'_> {
    /// True if it has data for its keys.
    pub fn is_map(&self) -> bool {
        self.kind.contains(':')
    }
}

impl<'a> Element<'a> {
    /// The parts of its key.
    pub fn parts(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        parts(self.key)
    }
}

/// The parts of a value: `10.96.0.1 . tcp . 443`.
pub fn parts(value: &str) -> impl Iterator<Item = &str> {
    value.split(" . ").map(str::trim)
}
