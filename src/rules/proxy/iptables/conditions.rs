//! Does a packet meet the conditions of a rule? What is known of the packet, [`Facts`] tell; three answers, because a dump
//! does not tell everything.

use super::mark;
use crate::dump::iptables::{AddrType, Match, Ports, Recent, RecentVerb, Rule, Word};
use crate::net::{Network, Protocol};

/// Yes, no, or it cannot be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Truth {
    /// It does not.
    No,
    /// It cannot be known.
    Unknown,
    /// It does.
    Yes,
}

impl Truth {
    /// The opposite, if `not`.
    #[must_use]
    pub fn negated(self, not: bool) -> Self {
        match (self, not) {
            (Self::Yes, true) => Self::No,
            (Self::No, true) => Self::Yes,
            (truth, _) => truth,
        }
    }
}

impl From<bool> for Truth {
    fn from(value: bool) -> Self {
        if value { Self::Yes } else { Self::No }
    }
}

/// What is known of a packet, asked for condition by condition. What is not answered here cannot be known.
pub trait Facts {
    /// Does its source address lie in the network?
    fn source(&self, network: &Network) -> Truth;
    /// Does its destination address?
    fn destination(&self, network: &Network) -> Truth;
    /// Is its source an address of this node?
    fn source_is_local(&self) -> Truth;
    /// Is its destination?
    fn destination_is_local(&self) -> Truth;
    /// Is its destination of another kind of `-m addrtype` (`MULTICAST`)?
    fn destination_is_of(&self, _: &str) -> Truth {
        Truth::Unknown
    }
    /// Its protocol, where it is known.
    fn protocol(&self) -> Option<Protocol>;
    /// Does its source port meet the condition, which comes first as the rule writes it?
    fn source_port(&self, _: &str, _: &dyn Fn(u16) -> Truth) -> Truth {
        Truth::Unknown
    }
    /// Does its destination port? The condition as the rule writes it comes first.
    fn destination_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth;
    /// Did it come in by this interface? `+` at the end of a name stands for all that begin so.
    fn comes_in_by(&self, interface: &str) -> Truth;
    /// Does it go out by this interface?
    fn goes_out_by(&self, _: &str) -> Truth {
        Truth::Unknown
    }
    /// Does its mark, as far as `mask` shows it, have this value?
    fn mark(&self, _: u32, _: u32) -> Truth {
        Truth::Unknown
    }
    /// Does the mark of its connection?
    fn connmark(&self, _: u32, _: u32) -> Truth {
        Truth::Unknown
    }
    /// Is the client on this list of `-m recent`? One not seen before is on none.
    fn remembered(&self, _: &Recent<'_>) -> Truth {
        Truth::No
    }
    /// Has its connection one of these states, comma-separated? A connection's first packet is NEW; it is not translated yet.
    fn state(&self, states: &str) -> Truth {
        Truth::from(states.split(',').any(|state| state == "NEW"))
    }
    /// Is there a connection? There is none for packets that are not tracked, or not yet.
    fn has_connection(&self) -> bool {
        true
    }
    /// Did the source address of its connection lie in the network before anything was translated?
    fn original_source(&self, network: &Network) -> Truth {
        self.source(network)
    }
    /// Did the destination address?
    fn original_destination(&self, network: &Network) -> Truth {
        self.destination(network)
    }
    /// Did the source port meet the condition?
    fn original_source_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        self.source_port(range, condition)
    }
    /// Did the destination port?
    fn original_destination_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        self.destination_port(range, condition)
    }
    /// Is it a member of the ipset, looked up by these directions (`src`, `dst,dst`)?
    fn in_set(&self, _: &str, _: &str) -> Truth {
        Truth::Unknown
    }
    /// A condition of a kind that is asked for nowhere above.
    fn other(&self, _: &Match<'_>) -> Truth {
        Truth::Unknown
    }
}

/// Does the packet meet the condition? `-m statistic` is always met here: it is a matter of shares.
pub fn meets(packet: &impl Facts, item: &Match<'_>) -> Truth {
    match item {
        Match::Source { not, network } => in_network(packet, network, item, |n| packet.source(n)).negated(*not),
        Match::Destination { not, network } => {
            in_network(packet, network, item, |n| packet.destination(n)).negated(*not)
        }
        Match::Protocol { not, name } => protocol(packet, name, item).negated(*not),
        Match::Comment(_) | Match::Statistic(_) => Truth::Yes,
        Match::Ports(ports) => self::ports(packet, ports, item),
        Match::Recent(recent) => match recent.verb {
            RecentVerb::Set => Truth::Yes,
            _ => packet.remembered(recent),
        }
        .negated(recent.not),
        Match::AddrType(addrtype) => self::addrtype(packet, addrtype, item),
        Match::InInterface { not, name } => packet.comes_in_by(name).negated(*not),
        Match::OutInterface { not, name } => packet.goes_out_by(name).negated(*not),
        // Connection tracking puts fragments together before any table is asked.
        Match::Fragment { not } => Truth::from(*not),
        Match::Mark { not, value } => match mark::masked(value) {
            Some((value, mask)) => packet.mark(value, mask).negated(*not),
            None => packet.other(item),
        },
        Match::Module { name, words } => module(packet, name, words, item),
    }
}

fn in_network(packet: &impl Facts, text: &str, item: &Match<'_>, within: impl Fn(&Network) -> Truth) -> Truth {
    match Network::parse(text) {
        Some(network) if network.is_everything() => Truth::Yes,
        Some(network) => within(&network),
        None => packet.other(item),
    }
}

fn protocol(packet: &impl Facts, name: &str, item: &Match<'_>) -> Truth {
    match (packet.protocol(), Protocol::parse(name)) {
        (_, None) if matches!(name, "all" | "0") => Truth::Yes,
        // A name of a protocol that no Service has (vrrp, ospf).
        (Some(have), None)
            if have.is_service_protocol() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') =>
        {
            Truth::No
        }
        (_, None) => packet.other(item),
        (None, Some(_)) => Truth::Yes,
        (Some(have), Some(wanted)) => Truth::from(have == wanted),
    }
}

fn ports(packet: &impl Facts, ports: &Ports<'_>, item: &Match<'_>) -> Truth {
    let met = |side: Option<(bool, &str)>, judge: &dyn Fn(&str) -> Truth| {
        side.map_or(Truth::Yes, |(not, range)| judge(range).negated(not))
    };
    let destination = met(ports.destination, &|range| packet.destination_port(range, &|port| in_range(range, port)));
    let source = met(ports.source, &|range| packet.source_port(range, &|port| in_range(range, port)));
    let rest = match ports.rest.iter().map(|word| word.text.as_ref()).collect::<Vec<_>>().as_slice() {
        [] | ["--syn"] => Truth::Yes,
        ["!", "--syn"] => Truth::No,
        ["--tcp-flags", mask, wanted] => opens(mask, wanted),
        ["!", "--tcp-flags", mask, wanted] => opens(mask, wanted).negated(true),
        _ => packet.other(item),
    };
    destination.min(source).min(rest)
}

/// Is the packet that opens a TCP connection, which has SYN and nothing else, met by these flags?
fn opens(mask: &str, wanted: &str) -> Truth {
    let looked_at = mask.split(',').any(|flag| matches!(flag, "SYN" | "ALL"));
    Truth::from(if looked_at { wanted == "SYN" } else { wanted == "NONE" })
}

fn addrtype(packet: &impl Facts, addrtype: &AddrType<'_>, item: &Match<'_>) -> Truth {
    // Limited to the addresses of one interface, of those of the node only some are meant.
    let limited = addrtype.limit_in || addrtype.limit_out;
    let of = |side: Option<(bool, &str)>, is: &dyn Fn(&str) -> Truth| {
        side.map_or(Truth::Yes, |(not, types)| {
            let is = |kind| match is(kind) {
                Truth::Yes if limited => Truth::Unknown,
                truth => truth,
            };
            // The first that is not known is asked for by itself.
            match types.split(',').map(is).max().unwrap_or(Truth::No) {
                Truth::Unknown if types != "LOCAL" || limited => packet.other(item),
                truth => truth.negated(not),
            }
        })
    };
    let source = of(addrtype.source, &|kind| match kind {
        "LOCAL" => packet.source_is_local(),
        _ => Truth::Unknown,
    });
    source.min(of(addrtype.destination, &|kind| match kind {
        "LOCAL" => packet.destination_is_local(),
        kind => packet.destination_is_of(kind),
    }))
}

fn module(packet: &impl Facts, name: &str, words: &[Word<'_>], item: &Match<'_>) -> Truth {
    let words: Vec<&str> = words.iter().map(|w| w.text.as_ref()).collect();
    let (not, option) = match words.as_slice() {
        ["!", option @ ..] => (true, option),
        option => (false, option),
    };
    match (name, option) {
        // Counts and always matches (xt_nfacct.c).
        ("nfacct", _) => Truth::Yes,
        ("conntrack" | "state", _) => connection(packet, &words, item),
        ("multiport", [side, ports]) => {
            let any = |port| ports.split(',').map(|range| in_range(range, port)).max().unwrap_or(Truth::No);
            match *side {
                "--dports" | "--destination-ports" => packet.destination_port(ports, &any).negated(not),
                "--sports" | "--source-ports" => packet.source_port(ports, &any).negated(not),
                "--ports" => packet.source_port(ports, &any).max(packet.destination_port(ports, &any)).negated(not),
                _ => packet.other(item),
            }
        }
        ("iprange", [side @ ("--src-range" | "--dst-range"), range]) => match Network::range(range) {
            Some(networks) => {
                let of_source = *side == "--src-range";
                let within = |n: &Network| if of_source { packet.source(n) } else { packet.destination(n) };
                networks.iter().map(within).max().unwrap_or(Truth::No).negated(not)
            }
            None => packet.other(item),
        },
        ("connmark", _) if !packet.has_connection() => Truth::No,
        ("connmark", ["--mark", value]) => match mark::masked(value) {
            Some((value, mask)) => packet.connmark(value, mask).negated(not),
            None => packet.other(item),
        },
        ("set", ["--match-set", set, directions]) => packet.in_set(set, directions).negated(not),
        _ => packet.other(item),
    }
}

/// `-m conntrack` and `-m state` ask for all their options. Where there is no connection, a state alone is looked at, and
/// nothing else is met (`conntrack_mt`, net/netfilter/xt_conntrack.c).
fn connection(packet: &impl Facts, words: &[&str], item: &Match<'_>) -> Truth {
    let has_connection = packet.has_connection();
    let (mut of_state, mut others) = (None, Truth::Yes);
    let mut rest = words;
    loop {
        let not = rest.first() == Some(&"!");
        let (option, value) = match &rest[usize::from(not)..] {
            [] if !not && !words.is_empty() => break,
            [option, value, behind @ ..] => {
                rest = behind;
                (*option, *value)
            }
            _ => return packet.other(item),
        };
        let within = |port| in_range(value, port);
        let network = || Network::parse(value);
        let truth = match option {
            "--ctstate" | "--state" => {
                of_state = Some(packet.state(value).negated(not));
                continue;
            }
            _ if !has_connection => {
                others = Truth::No;
                continue;
            }
            // The first packet of a connection goes the way of the connection.
            "--ctdir" => Truth::from(value == "ORIGINAL"),
            "--ctproto" => protocol(packet, value, item),
            "--ctorigsrc" => network().map_or_else(|| packet.other(item), |n| packet.original_source(&n)),
            "--ctorigdst" => network().map_or_else(|| packet.other(item), |n| packet.original_destination(&n)),
            "--ctorigsrcport" => packet.original_source_port(value, &within),
            "--ctorigdstport" => packet.original_destination_port(value, &within),
            _ => packet.other(item),
        };
        others = others.min(truth.negated(not));
    }
    match of_state {
        Some(state) if !has_connection => state,
        Some(state) => state.min(others),
        None => others,
    }
}

/// Is `port` in `a`, `a:b`, `a:` or `:b`?
fn in_range(range: &str, port: u16) -> Truth {
    bounds(range).map_or(Truth::Unknown, |(low, high)| Truth::from((low..=high).contains(&port)))
}

/// The first and the last port of a range; `None` if it cannot be read.
pub(super) fn bounds(range: &str) -> Option<(u16, u16)> {
    let bound = |text: &str, open: u16| if text.is_empty() { Some(open) } else { service_port(text) };
    match range.split_once(':') {
        Some((low, high)) => bound(low, 0).zip(bound(high, u16::MAX)),
        None => service_port(range).map(|p| (p, p)),
    }
}

/// The port a rule captures, if it is exactly one.
pub(super) fn single_port(rule: &Rule<'_>) -> Option<u16> {
    rule.matches.iter().find_map(|m| match m {
        Match::Ports(Ports { destination: Some((false, port)), .. }) => service_port(port),
        _ => None,
    })
}

/// A port number, or one of the names `iptables -L` prints without `-n` for ports that Services like to use.
fn service_port(text: &str) -> Option<u16> {
    const NAMES: [(&str, u16); 14] = [
        ("ssh", 22),
        ("smtp", 25),
        ("domain", 53),
        ("http", 80),
        ("ntp", 123),
        ("ldap", 389),
        ("https", 443),
        ("ldaps", 636),
        ("mysql", 3306),
        ("postgresql", 5432),
        ("amqp", 5672),
        ("redis", 6379),
        ("http-alt", 8080),
        ("webmin", 10000),
    ];
    text.parse().ok().or_else(|| NAMES.iter().find(|(name, _)| *name == text).map(|(_, port)| *port))
}
