//! Sets and maps of a table, ready to be looked up.

use std::borrow::Cow;
use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use crate::dump::nft::{Element, RawRule, Rule, Set, Table};
use crate::net::{Network, Protocol};

/// One part of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Part<'d> {
    /// An address.
    Address(IpAddr),
    /// A protocol.
    Protocol(Protocol),
    /// A port.
    Port(u16),
    /// Anything else.
    Text(&'d str),
}

/// A set or map.
#[derive(Debug)]
pub(super) struct Indexed<'d> {
    pub(super) set: &'d Set<'d>,
    exact: HashMap<Vec<Part<'d>>, &'d Element<'d>>,
    /// Elements with a network or range in their key.
    wide: Vec<&'d Element<'d>>,
}

/// The sets and maps of a table by name.
#[derive(Debug, Default)]
pub(super) struct Index<'d> {
    sets: HashMap<&'d str, Indexed<'d>>,
    /// Long rules by their lines.
    long: HashMap<u32, Rule<'d>>,
}

/// Rules of more bytes are read once: every Service may lead to one that chooses among thousands of endpoints.
const LONG: usize = 16 * 1024;

impl<'d> Index<'d> {
    pub(super) fn of(table: &'d Table<'d>) -> Self {
        let rules = table.chains().iter().flat_map(|chain| &chain.rules);
        let long = rules.filter(|raw| raw.text.len() > LONG).map(|raw| (raw.line, Rule::parse(raw.text)));
        let sets = table.sets().iter().map(|set| (set.name, Indexed::of(set)));
        Self { sets: sets.collect(), long: long.collect() }
    }

    /// A rule of the table.
    pub(super) fn rule(&self, raw: &RawRule<'d>) -> Cow<'_, Rule<'d>> {
        self.long.get(&raw.line).map_or_else(|| Cow::Owned(Rule::parse(raw.text)), Cow::Borrowed)
    }

    /// True if an endpoint is masqueraded where it reaches itself; `None` where that is told by rules (until 1.30).
    pub(super) fn is_hairpin(&self, ip: IpAddr, protocol: Protocol, port: u16) -> Option<bool> {
        let own = [Part::Address(ip), Part::Address(ip), Part::Protocol(protocol), Part::Port(port)];
        self.get("hairpin-connections").map(|set| set.find(&own).is_some())
    }

    pub(super) fn get(&self, name: &str) -> Option<&Indexed<'d>> {
        self.sets.get(name)
    }
}

impl<'d> Indexed<'d> {
    fn of(set: &'d Set<'d>) -> Self {
        let (mut exact, mut wide) = (HashMap::with_capacity(set.elements.len()), Vec::new());
        let kinds = PartKind::all(set);
        for element in &set.elements {
            let parts = element.parts().zip(kinds.iter().copied().chain(std::iter::repeat(PartKind::Other)));
            match parts.map(|(text, kind)| part(text, kind)).collect::<Option<Vec<_>>>() {
                Some(key) => _ = exact.entry(key).or_insert(element),
                None => wide.push(element),
            }
        }
        Self { set, exact, wide }
    }

    /// The element for a key.
    pub(super) fn find(&self, key: &[Part<'_>]) -> Option<&'d Element<'d>> {
        self.exact.get(key).copied().or_else(|| self.wide.iter().copied().find(|element| holds(element, key)))
    }

    /// Every element whose key has these parts, but for those that are `None`.
    pub(super) fn with<'s>(&'s self, key: &'s [Option<Part<'s>>]) -> impl Iterator<Item = &'d Element<'d>> + 's {
        let fits = move |element: &&Element<'d>| {
            element.parts().zip(key).all(|(have, wanted)| wanted.is_none_or(|wanted| is_in(have, wanted)))
        };
        self.set.elements.iter().filter(fits)
    }

    /// Every address that is an element.
    pub(super) fn addresses(&self) -> HashSet<IpAddr> {
        self.set.elements.iter().filter_map(|element| element.key.parse().ok()).collect()
    }
}

/// What a part of a key is.
#[derive(Debug, Clone, Copy)]
enum PartKind {
    Address,
    Protocol,
    Port,
    Other,
}

impl PartKind {
    /// Of each part, from the type of the set: `ipv4_addr . inet_proto . inet_service`, or with `typeof` the fields
    /// `ip daddr . meta l4proto . th dport`.
    fn all(set: &Set<'_>) -> Vec<Self> {
        let of = |part: &str| match part.trim() {
            part if part.contains("addr") => Self::Address,
            part if part.contains("proto") => Self::Protocol,
            part if part.contains("service") || part.contains("port") => Self::Port,
            _ => Self::Other,
        };
        set.kind.split(':').next().unwrap_or_default().split(" . ").map(of).collect()
    }
}

/// A part that is one value; `None` for a network or range of more. `nft -n` prints protocols as numbers, as ports are.
fn part(text: &str, kind: PartKind) -> Option<Part<'_>> {
    match kind {
        PartKind::Address => text.parse().ok().map(Part::Address),
        PartKind::Protocol => Protocol::parse(text).map(Part::Protocol),
        PartKind::Port => text.parse().ok().map(Part::Port),
        PartKind::Other => Some(Part::Text(text)),
    }
}

/// The networks that `10.0.0.0/8` and `10.0.0.1-10.0.0.9` name.
pub(super) fn networks(text: &str) -> Option<Vec<Network>> {
    Network::parse(text).map(|network| vec![network]).or_else(|| Network::range(text))
}

fn holds(element: &Element<'_>, key: &[Part<'_>]) -> bool {
    let mut parts = element.parts();
    key.iter().all(|wanted| parts.next().is_some_and(|have| is_in(have, *wanted))) && parts.next().is_none()
}

/// Is the value in what an element has there?
pub(super) fn is_in(have: &str, wanted: Part<'_>) -> bool {
    match wanted {
        Part::Address(address) => networks(have).is_some_and(|all| all.iter().any(|network| network.contains(address))),
        // `nft -n` prints protocols as numbers.
        Part::Protocol(protocol) => Protocol::parse(have) == Some(protocol),
        Part::Port(port) => match have.split_once('-') {
            Some((low, high)) => {
                low.parse().is_ok_and(|low: u16| low <= port) && high.parse().is_ok_and(|high: u16| port <= high)
            }
            None => have.parse() == Ok(port),
        },
        Part::Text(text) => have == text,
    }
}
