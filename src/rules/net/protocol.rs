//! Transport protocols as rules and Services name them.

use std::fmt;

/// A transport protocol. Services know TCP, UDP and SCTP; a rule may name any number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// Protocol number 6.
    Tcp,
    /// Protocol number 17.
    Udp,
    /// Protocol number 132.
    Sctp,
    /// Any other IP protocol number.
    Other(u8),
}

/// The names iptables prints for protocols that are no Service protocol, with their numbers (`/etc/protocols`).
const OTHERS: [(&str, u8); 10] = [
    ("icmp", 1),
    ("igmp", 2),
    ("ipencap", 4),
    ("dccp", 33),
    ("gre", 47),
    ("esp", 50),
    ("ah", 51),
    ("ipv6-icmp", 58),
    ("ipip", 94),
    ("udplite", 136),
];

impl Protocol {
    /// Reads a name or a number. `None` for `all`, `0` and for what is no protocol.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "tcp" | "TCP" | "6" => Self::Tcp,
            "udp" | "UDP" | "17" => Self::Udp,
            "sctp" | "SCTP" | "132" => Self::Sctp,
            "icmpv6" => Self::Other(58),
            _ => match OTHERS.iter().find(|(name, _)| *name == text) {
                Some((_, number)) => Self::Other(*number),
                None => Self::Other(text.parse::<u8>().ok().filter(|n| *n != 0)?),
            },
        })
    }

    /// True for the three protocols a Service port can have.
    pub fn is_service_protocol(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp => f.write_str("tcp"),
            Self::Udp => f.write_str("udp"),
            Self::Sctp => f.write_str("sctp"),
            Self::Other(number) => match OTHERS.iter().find(|(_, n)| n == number) {
                Some((name, _)) => f.write_str(name),
                None => write!(f, "{number}"),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_the_same_protocol() {
        for (name, number) in [("tcp", "6"), ("udp", "17"), ("sctp", "132"), ("gre", "47"), ("ipv6-icmp", "58")] {
            assert_eq!(Protocol::parse(name), Protocol::parse(number));
            assert_eq!(Protocol::parse(number).map(|p| p.to_string()).as_deref(), Some(name));
        }
    }

    #[test]
    fn all_is_no_protocol() {
        assert_eq!(Protocol::parse("all"), None);
        assert_eq!(Protocol::parse("0"), None);
        assert_eq!(Protocol::parse("10.0.0.1"), None);
    }
}
