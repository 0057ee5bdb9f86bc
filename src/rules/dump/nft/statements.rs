//! The grammar of statements, as far as rules of kube-proxy and its neighbours use it (nft(8)).

use super::rule::{Data, Key, Map, Selector, Statement, Verdict};
use super::words::{Words, items};
use crate::net::Protocol;

pub(super) fn verdict<'a>(words: &mut Words<'a>) -> Option<Verdict<'a>> {
    Some(match words.next()? {
        "accept" => Verdict::Accept,
        "drop" => Verdict::Drop,
        "return" => Verdict::Return,
        "continue" => Verdict::Continue,
        "jump" => Verdict::Jump(words.next()?),
        "goto" => Verdict::Goto(words.next()?),
        _ => return None,
    })
}

pub(super) fn statement<'a>(words: &mut Words<'a>) -> Option<Statement<'a>> {
    let from = words.clone();
    if let Some(verdict) = verdict(words) {
        return Some(Statement::Verdict(verdict));
    }
    *words = from.clone();
    Some(match words.next()? {
        "counter" => {
            let packets = if words.eat("packets") { words.next()?.parse().ok()? } else { 0 };
            if words.eat("bytes") {
                words.next();
            }
            Statement::Counter(packets)
        }
        "comment" => Statement::Comment(words.next()?),
        "reject" => {
            if words.eat("with") {
                words.next();
                // `icmp port-unreachable`, `icmpx type admin-prohibited`, `tcp reset`
                words.eat("type");
                words.next();
            }
            Statement::Reject
        }
        "masquerade" | "snat" => {
            while words.peek().is_some_and(|word| !matches!(word, "comment" | "counter")) {
                words.next();
            }
            Statement::SourceNat(words.since(&from))
        }
        "redirect" => {
            while words.peek().is_some_and(|word| word != "comment") {
                words.next();
            }
            Statement::Redirect
        }
        "dnat" => dnat(words)?,
        "update" | "add" => {
            let set = words.next()?.strip_prefix('@')?;
            if !words.eat("{") {
                return None;
            }
            words.block()?;
            Statement::Update(set)
        }
        "log" => {
            while let Some("prefix" | "level" | "group" | "flags" | "snaplen" | "queue-threshold") = words.peek() {
                words.next();
                words.next();
            }
            Statement::Other(words.since(&from))
        }
        "numgen" => {
            *words = from;
            let key = number(words)?;
            if !words.eat("vmap") {
                return None;
            }
            Statement::VerdictMap(key, map(words)?)
        }
        _ => {
            *words = from;
            condition(words)?
        }
    })
}

/// `dnat to 10.0.0.1:80`, `dnat ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80, … }`
fn dnat<'a>(words: &mut Words<'a>) -> Option<Statement<'a>> {
    while words.peek().is_some_and(|word| matches!(word, "ip" | "ip6" | "addr" | "port" | "prefix" | ".")) {
        words.next();
    }
    if !words.eat("to") {
        return None;
    }
    let data = if words.peek() == Some("numgen") {
        let key = number(words)?;
        words.eat("map").then_some(())?;
        Data::Mapped(key, map(words)?)
    } else {
        let from = words.clone();
        match fields(words).filter(|_| words.eat("map")) {
            Some(key) => Data::Mapped(Key::Fields(key), map(words)?),
            None => {
                *words = from;
                value(words)?
            }
        }
    };
    while words.peek().is_some_and(|word| matches!(word, "random" | "fully-random" | "persistent")) {
        words.next();
    }
    Some(Statement::Dnat(data))
}

/// `numgen random mod 5 offset 1`
fn number<'a>(words: &mut Words<'a>) -> Option<Key<'a>> {
    words.eat("numgen").then_some(())?;
    matches!(words.next()?, "random" | "inc").then_some(())?;
    words.eat("mod").then_some(())?;
    let modulus = words.next()?.parse().ok().filter(|modulus| *modulus > 0)?;
    let offset = if words.eat("offset") { words.next()?.parse().ok()? } else { 0 };
    Some(Key::Number(modulus, offset))
}

fn map<'a>(words: &mut Words<'a>) -> Option<Map<'a>> {
    if words.eat("{") {
        let pairs = items(words.block()?).map(|item| item.split_once(" : ")).collect::<Option<Vec<_>>>()?;
        return Some(Map::Inline(pairs.into_iter().map(|(key, data)| (key.trim(), data.trim())).collect()));
    }
    words.next()?.strip_prefix('@').map(Map::Named)
}

/// `ip daddr . meta l4proto vmap @m`, `ip saddr != 10.0.0.0/8`, `meta mark set …`, …
fn condition<'a>(words: &mut Words<'a>) -> Option<Statement<'a>> {
    let key = fields(words)?;
    if words.eat("vmap") {
        return Some(Statement::VerdictMap(Key::Fields(key), map(words)?));
    }
    if words.eat("set") {
        let [field] = key.as_slice() else { return None };
        return Some(Statement::Set { field: *field, value: expression(words) });
    }
    let mut mask = None;
    if words.eat("&") {
        mask = Some(words.next()?);
    }
    let not = words.eat("!=");
    if !not {
        words.eat("==");
    }
    if matches!(words.peek()?, "<" | ">" | "<=" | ">=" | "|" | "^" | "&" | "." | "map") {
        return None;
    }
    Some(Statement::Match { key, mask, not, value: value(words)? })
}

/// What a field is set to: operands with operators in between.
fn expression<'a>(words: &mut Words<'a>) -> &'a str {
    let from = words.clone();
    loop {
        if words.peek() == Some("meta") || words.peek() == Some("ct") {
            words.next();
        }
        words.next();
        if !words.peek().is_some_and(|word| matches!(word, "|" | "&" | "^" | "<<" | ">>")) {
            return words.since(&from);
        }
        words.next();
    }
}

fn fields<'a>(words: &mut Words<'a>) -> Option<Vec<Selector<'a>>> {
    let mut key = vec![selector(words)?];
    while words.eat(".") {
        key.push(selector(words)?);
    }
    Some(key)
}

fn selector<'a>(words: &mut Words<'a>) -> Option<Selector<'a>> {
    let from = words.clone();
    let first = words.next()?;
    if matches!(first, "iifname" | "iif") {
        return Some(Selector::InInterface);
    }
    if matches!(first, "oifname" | "oif") {
        return Some(Selector::OutInterface);
    }
    let second = words.next()?;
    let by_protocol = |protocol| match second {
        "sport" => Some(Selector::SourcePort(protocol)),
        "dport" => Some(Selector::DestinationPort(protocol)),
        _ => None,
    };
    let known = match (first, second) {
        ("ip" | "ip6", "saddr") => Some(Selector::SourceAddress),
        ("ip" | "ip6", "daddr") => Some(Selector::DestinationAddress),
        ("ip", "protocol") | ("ip6", "nexthdr") | ("meta", "l4proto") => Some(Selector::Protocol),
        ("meta", "mark") => Some(Selector::Mark),
        ("meta", "iifname" | "iif") => Some(Selector::InInterface),
        ("meta", "oifname" | "oif") => Some(Selector::OutInterface),
        ("ct", "state") => Some(Selector::State),
        ("ct", "status") => Some(Selector::Status),
        ("fib", side) => {
            let whole = words.eat("type");
            match side {
                "saddr" if whole => Some(Selector::SourceType),
                "daddr" if whole => Some(Selector::DestinationType),
                _ => return None,
            }
        }
        ("th", _) => by_protocol(None),
        ("tcp" | "udp" | "sctp" | "udplite" | "dccp", _) => by_protocol(Protocol::parse(first)),
        _ => None,
    };
    let other =
        matches!(first, "ip" | "ip6" | "meta" | "ct" | "icmp" | "icmpv6" | "tcp" | "udp" | "sctp" | "th" | "ether");
    known.or_else(|| other.then(|| Selector::Other(words.since(&from))))
}

/// One value, `a . b`, `{ a, b }` or `@set`.
fn value<'a>(words: &mut Words<'a>) -> Option<Data<'a>> {
    if words.eat("{") {
        return Some(Data::Many(items(words.block()?).collect()));
    }
    let from = words.clone();
    let first = words.next()?;
    if let Some(set) = first.strip_prefix('@') {
        return Some(Data::Named(set));
    }
    while words.eat(".") {
        words.next();
    }
    // `ct state established,related` is one word to us.
    Some(Data::One(unquoted(words.since(&from))))
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}
