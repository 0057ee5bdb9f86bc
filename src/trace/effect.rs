//! What targets do with packets.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashMap;

use super::hook::Hook;
use super::spot::At;
use super::state::{NewSource, Place, State};
use super::story::{Action, End};
use crate::dataplane::{Address, RuleRef};
use crate::dump::iptables::{Match, RecentVerb, Rule, Target};
use crate::net::{Family, split_host_port};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::{Translation, apply_mark, masked_mark, only_watches, translation};

/// What a target does with a packet that meets its rule.
pub(super) enum Effect {
    /// To the chain with this number; true if it does not come back.
    Jump(usize, bool),
    Return,
    Accept,
    End(End, Action),
    Translate(To),
    /// It changes and goes on.
    Change(Change),
    /// Its source becomes another.
    Masquerade(NewSource),
    Unknown(String),
}

/// What a destination becomes.
pub(super) enum To {
    Address(Address),
    /// Only its port becomes another.
    Port(u16),
    /// An address of this node.
    Here(Address, Ports),
}

/// The port of a connection that is redirected.
#[derive(Clone, Copy)]
pub(super) enum Ports {
    Kept,
    One(u16),
    /// One of several, which is chosen anew for each.
    Several,
}

/// What a target changes about a packet that goes on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    Mark,
    ConnMark,
    Untrack,
}

/// What the target of the rule at `at` does; `None` if the next rule follows anyway. `recovered` are destinations that the
/// dump garbled.
pub(super) fn of(at: At<'_>, target: &Target<'_>, recovered: &HashMap<RuleRef, Address>) -> Option<Effect> {
    let (section, line) = (at.spot.table.section, at.line());
    let chain = if target.name == "DNAT" { None } else { section.chain_id(target.name) };
    if let Some(chain) = chain {
        let there = &section.chains()[chain];
        // Where the text ends inside the table, the rules of a declared chain may be what was lost.
        if there.declared || !there.is_empty() {
            return Some(Effect::Jump(chain, target.goto));
        }
    }
    match target.name {
        // Where it leaves, the source is what is mapped.
        "NETMAP" if matches!(at.spot.hook, Hook::Postrouting | Hook::Input) => {
            return Some(Effect::Masquerade(NewSource::Unknown));
        }
        "TPROXY" => {
            return Some(Effect::Unknown(format!("line {line} hands it to a program of this node (TPROXY)")));
        }
        "DNAT" => {
            let port = target.option("--to-destination").and_then(|to| to.strip_prefix(':'));
            if let Some(port) =
                port.and_then(|port| port.parse().ok()).filter(|port| *port != 0 && target.options.len() == 2)
            {
                return Some(Effect::Translate(To::Port(port)));
            }
        }
        _ => {}
    }
    match translation(target) {
        Some(Translation::To(address)) if target.name == "REDIRECT" => {
            let one = |ports: &str| ports.parse().map_or(Ports::Several, Ports::One);
            let ports = target.option("--to-ports").map_or(Ports::Kept, one);
            return Some(Effect::Translate(To::Here(address, ports)));
        }
        Some(Translation::To(address)) => return Some(Effect::Translate(To::Address(address))),
        Some(Translation::Garbled) => {
            let known = at.rule().and_then(|rule| recovered.get(&rule));
            return Some(Effect::Translate(To::Address(known.cloned().unwrap_or(Address::Unknown))));
        }
        None => {}
    }
    Some(match target.name {
        "RETURN" => Effect::Return,
        "ACCEPT" => Effect::Accept,
        "DROP" | "TARPIT" => Effect::End(End::Drop, Action::Drop),
        "REJECT" => Effect::End(End::Reject, Action::Reject),
        "MASQUERADE" => Effect::Masquerade(NewSource::OfNode),
        "SNAT" => Effect::Masquerade(new_source(target)),
        "MARK" => Effect::Change(Change::Mark),
        "CONNMARK" => Effect::Change(Change::ConnMark),
        "NOTRACK" => Effect::Change(Change::Untrack),
        "CT" if target.options.iter().any(|word| word.text == "--notrack") => Effect::Change(Change::Untrack),
        "CT" => return None,
        "QUEUE" | "NFQUEUE" => Effect::Unknown(format!("line {line} hands it to another program")),
        name if only_watches(name) => return None,
        name => Effect::Unknown(format!("{name}, which line {line} leads to, is not in the dump")),
    })
}

/// True for a rule of ClientIP affinity: it sends clients on an endpoint's list back to the endpoint.
pub(super) fn asks_list(rule: &Rule<'_>) -> bool {
    let to_endpoint = rule.target.as_ref().is_some_and(|target| ChainKind::of(target.name) == ChainKind::Endpoint);
    let asks = |item: &Match<'_>| {
        matches!(item, Match::Recent(recent)
            if !recent.not && matches!(recent.verb, RecentVerb::Check | RecentVerb::Update))
    };
    to_endpoint && rule.matches.iter().any(asks)
}

/// What SNAT makes of a source.
fn new_source(target: &Target<'_>) -> NewSource {
    let Some(to) = target.option("--to-source") else { return NewSource::Unknown };
    if to.starts_with(':') {
        return NewSource::OtherPort;
    }
    one_address(to).map_or(NewSource::Unknown, NewSource::Exactly)
}

/// The address before a port, or before several of which one is chosen (`10.0.0.1:80-90`); `None` where several are.
fn one_address(text: &str) -> Option<IpAddr> {
    let is_port = |last: &str| last.bytes().all(|byte| byte.is_ascii_digit());
    let first = text.rsplit_once('-').filter(|(_, last)| is_port(last)).map_or(text, |(first, _)| first);
    split_host_port(first).map(|(address, _)| address)
}

/// The packet after its destination was translated at `hook`, and the address it was translated to.
pub(super) fn translated(state: &State, to: &To, hook: Hook, family: Option<Family>) -> (State, Address) {
    let (place, port, address) = match to {
        To::Address(Address::Socket(ip, port)) => (Place::At(*ip), Some(*port), Address::Socket(*ip, *port)),
        To::Address(address @ Address::SamePort(ip)) => {
            let socket = state.port.map_or_else(|| address.clone(), |port| Address::Socket(*ip, port));
            (Place::At(*ip), state.port, socket)
        }
        To::Address(address @ Address::UnknownPort(ip)) => (Place::At(*ip), None, address.clone()),
        To::Address(address @ Address::Other(text)) => {
            (one_address(text).map_or(Place::Somewhere, Place::At), None, address.clone())
        }
        To::Address(address) => (Place::Somewhere, None, address.clone()),
        To::Port(port) => {
            // Where the address is not known, the rule's own words have to do.
            let of_rule = || Address::Other(format!("the same address, {port}").into());
            let address = state.place.ip().map_or_else(of_rule, |ip| Address::Socket(ip, *port));
            (state.place, Some(*port), address)
        }
        To::Here(address, ports) => {
            let port = match ports {
                Ports::Kept => state.port,
                Ports::One(port) => Some(*port),
                Ports::Several => None,
            };
            // What the node sends is redirected to the loopback address, what comes in to one of where it came in by
            // (net/netfilter/nf_nat_redirect.c).
            let place = match (hook, family) {
                (Hook::Output, Some(Family::Ipv4)) => Place::At(Ipv4Addr::LOCALHOST.into()),
                (Hook::Output, Some(Family::Ipv6)) => Place::At(Ipv6Addr::LOCALHOST.into()),
                _ => Place::Here,
            };
            (place, port, address.clone())
        }
    };
    (State { place, port, translated: Some(address.clone()), ..state.clone() }, address)
}

/// Changes the packet as MARK, CONNMARK and CT do.
pub(super) fn changed(state: &mut State, change: Change, target: &Target<'_>) -> Action {
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
        Some(connmark) => {
            state.connmark = connmark;
            Action::ConnMark(connmark)
        }
        None => Action::Nothing,
    }
}
