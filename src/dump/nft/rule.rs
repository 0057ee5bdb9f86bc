//! One rule: its statements.

use super::words::{Words, items};
use crate::net::Protocol;

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Its statements, in their order.
    pub statements: Vec<Statement<'a>>,
}

/// A statement: a condition, or something that is done with packets that met all conditions before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement<'a> {
    /// A condition: these fields have one of these values.
    Match {
        /// The fields.
        key: Vec<Selector<'a>>,
        /// Only these bits of it count: `meta mark & 0x4000`.
        mask: Option<&'a str>,
        /// They must have none of the values.
        not: bool,
        /// The values.
        value: Data<'a>,
    },
    /// The end of the walk, or its next step.
    Verdict(Verdict<'a>),
    /// The verdict that a map has for a key.
    VerdictMap(Key<'a>, Map<'a>),
    /// The destination is translated.
    Dnat(Data<'a>),
    /// The destination is translated to an address of the node.
    Redirect,
    /// The source is translated.
    SourceNat(&'a str),
    /// Refused with an error.
    Reject,
    /// A mark or another field is set.
    Set {
        /// The field.
        field: Selector<'a>,
        /// Its value: `meta mark | 0x00004000`.
        value: &'a str,
    },
    /// The source address is put into a set.
    Update(&'a str),
    /// Packets and bytes that came so far.
    Counter(u64),
    /// The comment of the rule.
    Comment(&'a str),
    /// What changes nothing about the way of a packet: `log …`.
    Other(&'a str),
    /// What is not known here, with all that follows it.
    Unknown(&'a str),
}

/// A field of a packet or its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Selector<'a> {
    /// `ip saddr`
    SourceAddress,
    /// `ip daddr`
    DestinationAddress,
    /// `meta l4proto`, `ip protocol`
    Protocol,
    /// `th sport`, `tcp sport`
    SourcePort(Option<Protocol>),
    /// `th dport`, `tcp dport`
    DestinationPort(Option<Protocol>),
    /// `meta mark`
    Mark,
    /// `ct state`
    State,
    /// `ct status`
    Status,
    /// `fib saddr type`
    SourceType,
    /// `fib daddr type`
    DestinationType,
    /// `iifname`
    InInterface,
    /// `oifname`
    OutInterface,
    /// Any other.
    Other(&'a str),
}

/// What a map is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key<'a> {
    /// Fields.
    Fields(Vec<Selector<'a>>),
    /// A number below the first value, by chance or in turn, plus the second.
    Number(u32, u32),
}

/// Values a field is compared with, or that are put into one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data<'a> {
    /// `10.0.0.1`, `10.0.0.0/8`, `tcp . 443`
    One(&'a str),
    /// `{ a, b }`
    Many(Vec<&'a str>),
    /// `@name`
    Named(&'a str),
    /// The value a map has for a key.
    Mapped(Key<'a>, Map<'a>),
}

/// A map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Map<'a> {
    /// `@name`
    Named(&'a str),
    /// `{ 0 : a, 1 : b }`
    Inline(Vec<(&'a str, &'a str)>),
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// On its way, past this hook's chain.
    Accept,
    /// Nowhere.
    Drop,
    /// Back to the chain it came from.
    Return,
    /// To the next rule.
    Continue,
    /// Into a chain, and back.
    Jump(&'a str),
    /// Into a chain, and back to where this one was jumped to from.
    Goto(&'a str),
}

impl<'a> Rule<'a> {
    /// Reads a rule.
    pub fn parse(text: &'a str) -> Self {
        let mut words = Words::of(text);
        let mut statements = Vec::new();
        while words.peek().is_some() {
            let from = words.clone();
            match statement(&mut words) {
                Some(statement) => statements.push(statement),
                None => {
                    statements.push(Statement::Unknown(from.rest()));
                    break;
                }
            }
        }
        Self { statements }
    }

    /// Its comment.
    pub fn comment(&self) -> Option<&'a str> {
        self.statements.iter().find_map(|s| if let Statement::Comment(text) = s { Some(*text) } else { None })
    }
}

impl<'a> Verdict<'a> {
    /// Reads `goto service-X`, `drop`, …
    pub fn parse(text: &'a str) -> Option<Self> {
        let mut words = Words::of(text);
        let verdict = verdict(&mut words)?;
        words.peek().is_none().then_some(verdict)
    }
}

fn verdict<'a>(words: &mut Words<'a>) -> Option<Verdict<'a>> {
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

fn statement<'a>(words: &mut Words<'a>) -> Option<Statement<'a>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Vec<Statement<'_>> {
        Rule::parse(text).statements
    }

    fn matched<'a>(key: Selector<'a>, not: bool, value: Data<'a>) -> Statement<'a> {
        Statement::Match { key: vec![key], mask: None, not, value }
    }

    #[test]
    fn conditions_and_verdicts() {
        assert_eq!(
            parsed("ct state new jump firewall-check"),
            [matched(Selector::State, false, Data::One("new")), Statement::Verdict(Verdict::Jump("firewall-check"))]
        );
        assert_eq!(
            parsed("ip saddr != { 198.51.100.0/25, 203.0.113.0/24 } drop"),
            [
                matched(Selector::SourceAddress, true, Data::Many(vec!["198.51.100.0/25", "203.0.113.0/24"])),
                Statement::Verdict(Verdict::Drop)
            ]
        );
        assert_eq!(
            parsed("fib saddr type local goto service-X/ comment \"short-circuit local traffic\""),
            [
                matched(Selector::SourceType, false, Data::One("local")),
                Statement::Verdict(Verdict::Goto("service-X/")),
                Statement::Comment("short-circuit local traffic")
            ]
        );
        assert_eq!(
            parsed("iifname != \"eth0\" tcp dport 80 accept"),
            [
                matched(Selector::InInterface, true, Data::One("eth0")),
                matched(Selector::DestinationPort(Some(Protocol::Tcp)), false, Data::One("80")),
                Statement::Verdict(Verdict::Accept)
            ]
        );
    }

    #[test]
    fn maps_by_number_and_by_fields() {
        let Statement::VerdictMap(key, map) = &parsed("numgen random mod 2 vmap { 0 : goto a, 1 : goto b }")[0] else {
            panic!("a map")
        };
        assert_eq!(*key, Key::Number(2, 0));
        assert_eq!(*map, Map::Inline(vec![("0", "goto a"), ("1", "goto b")]));
        assert_eq!(
            parsed("ip daddr . meta l4proto . th dport vmap @service-ips"),
            [Statement::VerdictMap(
                Key::Fields(vec![Selector::DestinationAddress, Selector::Protocol, Selector::DestinationPort(None)]),
                Map::Named("service-ips")
            )]
        );
    }

    #[test]
    fn translations() {
        let tcp = matched(Selector::Protocol, false, Data::One("tcp"));
        assert_eq!(
            parsed("meta l4proto tcp dnat to 10.244.1.5:8080"),
            [tcp.clone(), Statement::Dnat(Data::One("10.244.1.5:8080"))]
        );
        let map = Map::Inline(vec![("0", "10.0.0.1 . 80"), ("1", "10.0.0.2 . 80")]);
        assert_eq!(
            parsed("meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80 }"),
            [tcp, Statement::Dnat(Data::Mapped(Key::Number(2, 0), map))]
        );
    }

    #[test]
    fn marks_and_sets() {
        assert_eq!(
            parsed("meta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random"),
            [
                Statement::Match {
                    key: vec![Selector::Mark],
                    mask: Some("0x00004000"),
                    not: true,
                    value: Data::One("0x00000000")
                },
                Statement::Set { field: Selector::Mark, value: "meta mark ^ 0x00004000" },
                Statement::SourceNat("masquerade fully-random")
            ]
        );
        assert_eq!(
            parsed("update @affinity-X { ip saddr timeout 10m } counter packets 5 bytes 300 return"),
            [Statement::Update("affinity-X"), Statement::Counter(5), Statement::Verdict(Verdict::Return)]
        );
        assert_eq!(parsed("reject with icmp port-unreachable"), [Statement::Reject]);
    }

    #[test]
    fn what_is_not_known_is_kept() {
        assert_eq!(
            parsed("ip saddr 10.0.0.1 frobnicate the packet"),
            [
                matched(Selector::SourceAddress, false, Data::One("10.0.0.1")),
                Statement::Unknown("frobnicate the packet")
            ]
        );
        assert_eq!(parsed("meta length > 5 drop"), [Statement::Unknown("meta length > 5 drop")]);
    }
}
