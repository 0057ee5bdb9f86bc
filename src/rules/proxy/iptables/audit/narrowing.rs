//! Conditions of a rule that hold for a part of the connections to a frontend, as they can be told.

use std::net::IpAddr;

use super::super::conditions::{Truth, meets};
use super::super::matching::{Connection, Destination};
use crate::dataplane::Only;
use crate::dump::iptables::{AddrType, Match, Ports, Rule};
use crate::net::Network;

/// Which of the connections to a frontend get as far as a rule.
#[derive(Debug, Clone, Default)]
pub(super) struct Sofar {
    pub(super) only: Only,
    /// Some condition cannot be told in a few words.
    pub(super) opaque: bool,
    /// A rule on the way asks for the frontend's own port and no other.
    named: bool,
}

impl Sofar {
    /// Those that meet the conditions of a rule too.
    pub(super) fn and(&self, rule: &Rule<'_>, truth: Truth, connection: &Connection<'_>) -> Self {
        let mut own = self.clone();
        own.opaque |= rule.matches.iter().any(|m| matches!(m, Match::Statistic(_)));
        if truth == Truth::Unknown {
            own.opaque |= !narrow(&mut own.only, rule, connection);
        }
        if let Destination::One(_, Some(port)) = connection.destination {
            own.named |= ports_of(rule).is_some_and(|ports| ports.contains(&port));
        }
        own
    }

    /// Without those that meet the conditions of a rule.
    pub(super) fn leave_out(&mut self, rule: &Rule<'_>, connection: &Connection<'_>) {
        let chance = rule.matches.iter().any(|m| matches!(m, Match::Statistic(_)));
        let mut asked = rule.matches.iter().filter(|item| meets(connection, item) != Truth::Yes);
        match (asked.next(), asked.next()) {
            (Some(Match::Destination { not, network }), None) if !chance => {
                add(&mut self.only.to, !*not, &plain(network), networks);
            }
            (Some(Match::InInterface { not, name }), None) if !chance => {
                add(&mut self.only.by, !*not, name, interfaces);
            }
            _ => self.opaque = true,
        }
    }

    pub(super) fn is_nothing(&self) -> bool {
        self.only.is_all() && !self.opaque
    }

    /// True if it is no connection at all: what the rules on the way ask for excludes each other.
    pub(super) fn is_none(&self) -> bool {
        let of =
            |asked: &[(bool, String)], within| excluded(asked.iter().map(|(not, what)| (*not, what.as_str())), within);
        let from = self.only.from.iter().map(|network| (false, network.as_str()));
        of(&self.only.to, networks) || excluded(from, networks) || of(&self.only.by, interfaces)
    }

    /// The one address that connections go to, if it is one.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.only.to.iter().filter(|(not, _)| !not).find_map(|(_, network)| Network::parse(network)?.address())
    }

    /// True if it is a part that can be told, of the connections to just one port.
    pub(super) fn is_told(&self) -> bool {
        self.named && !self.opaque && !self.only.is_all()
    }
}

/// The ports a rule asks for, if they are few; `None` if it takes any, or a range that holds too many to list.
pub(super) fn ports_of(rule: &Rule<'_>) -> Option<Vec<u16>> {
    rule.matches.iter().find_map(|m| match m {
        Match::Ports(Ports { destination: Some((false, port)), .. }) => Some(vec![port.parse().ok()?]),
        Match::Module { name: "multiport", words } => {
            let ports = words.last()?.text.split(',').map(str::parse).collect::<Result<Vec<u16>, _>>().ok()?;
            let dports = words.first().is_some_and(|w| w.text.starts_with("--d"));
            dports.then_some(ports)
        }
        _ => None,
    })
}

/// Adds to `only` what `rule` asks for beside the frontend. False if some of it cannot be told in a few words.
fn narrow(only: &mut Only, rule: &Rule<'_>, connection: &Connection<'_>) -> bool {
    let mut told = true;
    for item in rule.matches.iter().filter(|item| meets(connection, item) != Truth::Yes) {
        match item {
            Match::Source { not: false, network } => only.from.push(plain(network)),
            Match::Destination { not, network } => add(&mut only.to, *not, &plain(network), networks),
            Match::InInterface { not, name } => add(&mut only.by, *not, name, interfaces),
            _ => told = false,
        }
    }
    told
}

/// Adds what is asked for, or for anything else where `not`. What is one thing is no other, so that exceptions need not be told
/// then, but for one that it is within.
fn add(asked: &mut Vec<(bool, String)>, not: bool, what: &str, within: Within) {
    if !not {
        asked.retain(|(not, other)| !*not || within(what, other) != Some(false));
    }
    let mut wanted = asked.iter().filter(|(not, _)| !*not).peekable();
    let is_needless = not && wanted.peek().is_some() && wanted.all(|(_, one)| within(one, what) == Some(false));
    let asked_for = (not, what.to_owned());
    if !is_needless && !asked.contains(&asked_for) {
        asked.push(asked_for);
    }
}

/// Whether the first of two conditions holds for nothing but what the second holds for; `None` if that is not known. Of two of a
/// kind one is within the other, or they have nothing in common.
type Within = fn(&str, &str) -> Option<bool>;

fn networks(one: &str, other: &str) -> Option<bool> {
    Some(Network::parse(other)?.contains_network(&Network::parse(one)?))
}

/// A plus at the end of a name stands for all that begin so.
#[allow(clippy::unnecessary_wraps, reason = "One signature for both kinds.")]
fn interfaces(one: &str, other: &str) -> Option<bool> {
    Some(one == other || other.strip_suffix('+').is_some_and(|begin| one.starts_with(begin)))
}

/// True if nothing is all that is `asked` for, and not (true) what is excepted.
fn excluded<'a>(asked: impl Iterator<Item = (bool, &'a str)> + Clone, within: Within) -> bool {
    let all = asked.clone();
    asked.filter(|(not, _)| !not).any(|(_, one)| {
        all.clone().any(|(not, other)| match (within(one, other), within(other, one)) {
            (Some(inside), _) if not => inside,
            (Some(inside), Some(around)) => !inside && !around,
            _ => false,
        })
    })
}

/// A network as people write it, which one address is not.
fn plain(network: &str) -> String {
    let address = Network::parse(network).and_then(|network| network.address());
    address.map_or_else(|| network.to_owned(), |address| address.to_string())
}

/// True if `rule` is for the node's own addresses, and the frontend has one of a Service: the node has that too only where it is
/// an external IP that is the node's, which nothing here tells.
pub(super) fn is_for_the_node(rule: &Rule<'_>, connection: &Connection<'_>) -> bool {
    let is_local = |m: &Match<'_>| matches!(m, Match::AddrType(AddrType { destination: Some((false, kinds)), .. }) if kinds.split(',').all(|kind| kind == "LOCAL"));
    matches!(connection.destination, Destination::One(Some(_), _)) && rule.matches.iter().any(is_local)
}

#[cfg(test)]
mod tests {
    use super::plain;

    #[test]
    fn one_address_is_no_network() {
        for (network, told) in [
            ("10.0.0.1/32", "10.0.0.1"),
            ("10.0.0.0/8", "10.0.0.0/8"),
            ("2001:db8::7/128", "2001:db8::7"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(plain(network), told);
        }
    }
}
