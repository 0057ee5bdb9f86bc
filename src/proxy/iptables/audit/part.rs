//! Conditions of a rule that hold for a part of the connections to a frontend, as they can be told.

use super::super::conditions::{Truth, meets};
use super::super::matching::{Connection, Destination};
use crate::dataplane::Only;
use crate::dump::iptables::{AddrType, Match, Rule};

/// Adds to `only` what `rule` asks for beside the frontend. False if some of it cannot be told in a few words.
pub(super) fn narrow(only: &mut Only, rule: &Rule<'_>, connection: &Connection<'_>) -> bool {
    rule.matches.iter().filter(|item| meets(connection, item) != Truth::Yes).fold(true, |told, item| {
        let (list, not, what) = match item {
            Match::Source { not: false, network } => (&mut only.from, false, network),
            Match::Destination { not, network } => (&mut only.to, *not, network),
            Match::InInterface { not, name } => (&mut only.by, *not, name),
            _ => return false,
        };
        list.push(if not { format!("! {what}") } else { what.trim_end_matches("/32").to_owned() });
        told
    })
}

/// True if `rule` is for the node's own addresses, and the frontend has one of a Service: the node has that too only where it is
/// an external IP that is the node's, which nothing here tells.
pub(super) fn is_for_the_node(rule: &Rule<'_>, connection: &Connection<'_>) -> bool {
    let is_local = |m: &Match<'_>| matches!(m, Match::AddrType(AddrType { destination: Some((false, kinds)), .. }) if kinds.split(',').all(|kind| kind == "LOCAL"));
    matches!(connection.destination, Destination::One(Some(_), _)) && rule.matches.iter().any(is_local)
}
