//! A rule that is held against one frontend after another.

use super::super::conditions::{Truth, bounds};
use super::super::matching::{Connection, Destination};
use crate::dump::iptables::{Match, RawRule, Rule};
use crate::order::Order as _;

/// A parsed rule whose long lists of ports are read once: a list may name each port there is, and there may be as many
/// frontends.
pub(super) struct Held<'d> {
    /// The rule without the conditions in `lists`.
    pub(super) rule: Rule<'d>,
    lists: Vec<PortList>,
    /// What it costs to look at it, in rules of usual length.
    pub(super) cost: usize,
}

impl<'d> Held<'d> {
    /// Rules of more bytes are worth keeping when they are parsed.
    pub(super) const LONG: usize = 1024;

    /// Parses a rule; `None` if it cannot be read.
    pub(super) fn of(raw: RawRule<'d>) -> Option<Self> {
        let mut rule = raw.parse().ok()?;
        let (mut lists, mut cost) = (Vec::new(), 1);
        if raw.text.len() > Self::LONG {
            rule.matches.retain(|item| {
                let list = PortList::of(item);
                let stays = list.is_none();
                lists.extend(list);
                stays
            });
            cost += (rule.matches.iter().map(length).sum::<usize>() + lists.len()) / Self::LONG;
        }
        Some(Self { rule, lists, cost })
    }

    /// Does a connection meet every condition?
    pub(super) fn judge(&self, connection: &Connection<'_>) -> Truth {
        let port = match connection.destination {
            Destination::One(_, port) => port,
            Destination::OneOf(_) => None,
        };
        let listed = self.lists.iter().map(|list| list.meets(port)).min().unwrap_or(Truth::Yes);
        // What the lists rule out needs no other condition.
        if listed == Truth::No { listed } else { listed.min(connection.judge(&self.rule).overall()) }
    }
}

/// Bytes that judging the condition walks, about.
fn length(item: &Match<'_>) -> usize {
    match item {
        Match::Module { words, .. } => words.iter().map(|word| word.text.len() + 16).sum(),
        _ => 16,
    }
}

/// The destination ports of `-m multiport`.
#[derive(Debug, PartialEq, Eq)]
struct PortList {
    not: bool,
    /// First and last ports, ascending, none of which overlap.
    ranges: Vec<(u16, u16)>,
    /// Some part of the list cannot be read.
    unreadable: bool,
}

impl PortList {
    fn of(item: &Match<'_>) -> Option<Self> {
        let Match::Module { name: "multiport", words } = item else { return None };
        let (not, option) = match words.as_slice() {
            [not, option @ ..] if not.text == "!" => (true, option),
            option => (false, option),
        };
        let [side, ports] = option else { return None };
        if !matches!(side.text.as_ref(), "--dports" | "--destination-ports") {
            return None;
        }
        let read: Vec<Option<(u16, u16)>> = ports.text.split(',').map(bounds).collect();
        let unreadable = read.contains(&None);
        let mut all: Vec<(u16, u16)> = read.into_iter().flatten().filter(|(low, high)| low <= high).collect();
        all.order();
        let mut ranges: Vec<(u16, u16)> = Vec::new();
        for (low, high) in all {
            match ranges.last_mut() {
                Some((_, last)) if low <= *last => *last = high.max(*last),
                _ => ranges.push((low, high)),
            }
        }
        Some(Self { not, ranges, unreadable })
    }

    fn meets(&self, port: Option<u16>) -> Truth {
        let Some(port) = port else { return Truth::Unknown };
        let before = self.ranges.partition_point(|(low, _)| *low <= port);
        let listed = before.checked_sub(1).is_some_and(|n| self.ranges[n].1 >= port);
        let truth = if !listed && self.unreadable { Truth::Unknown } else { Truth::from(listed) };
        truth.negated(self.not)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::matching::{Client, PodSide};
    use super::*;
    use crate::dataplane::Origin;
    use crate::dump::iptables::{Dump, Hints};
    use crate::net::Protocol;

    #[test]
    fn a_long_list_says_what_the_rule_says() {
        let long = "9000,".repeat(Held::LONG / 4);
        for list in ["80,81:90,http", "90:80,70:", ":79,85:95,88", "80,nonsense", "", "81:85,80:82,100"] {
            for not in ["", "! "] {
                let text = format!("-A X -p tcp -m multiport {not}--dports {long}{list} -j ACCEPT");
                let dump = Dump::scan(&text, Hints::default());
                let section = &dump.sections[0];
                let raw = section.rules_of(&section.chains()[0]).next().expect("a rule");
                let held = Held::of(raw).expect("readable");
                assert_eq!((held.lists.len(), held.cost), (1, 1), "{list}");
                for port in [None, Some(1), Some(79), Some(80), Some(82), Some(90), Some(96), Some(9000), Some(65535)] {
                    let connection = Connection {
                        client: Client::At(Origin::External),
                        pods: PodSide::default(),
                        protocol: Some(Protocol::Tcp),
                        destination: Destination::One(None, port),
                    };
                    let plain = connection.judge(&raw.parse().expect("readable")).overall();
                    assert_eq!(held.judge(&connection), plain, "{not}{list} {port:?}");
                }
            }
        }
    }
}
