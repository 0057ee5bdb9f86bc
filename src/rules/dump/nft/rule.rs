//! One rule: its statements.

use super::statements::{statement, verdict};
use super::words::Words;
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
