//! One rule, as written: its matches in their order, its target, its counters.
//!
//! Values stay text here. What a value means (a network, a probability) is asked for by whoever needs it, so that a
//! rule that is only passed over costs no conversion.

use std::borrow::Cow;

/// A value with the way it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word<'a> {
    /// The text, quotes and escapes removed.
    pub text: Cow<'a, str>,
    /// True if it stood in double quotes.
    pub quoted: bool,
}

/// Packet and byte counts of a rule or chain, since it was last written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counters {
    /// Packets. In the nat table the kernel counts the first packet of a connection only.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
    /// False if iptables abbreviated a number (`12M`), as `-L -v` without `-x` does.
    pub exact: bool,
}

/// One rule of a chain.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rule<'a> {
    /// Counters, where the dump has them.
    pub counters: Option<Counters>,
    /// What a packet must satisfy, in the order written. The kernel requires all of them.
    pub matches: Vec<Match<'a>>,
    /// What is done with a packet that matches; a rule may only count.
    pub target: Option<Target<'a>>,
}

/// One condition of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Match<'a> {
    /// `-s`: the source address lies in a network.
    Source {
        /// `!` stands before it.
        not: bool,
        /// The network as written.
        network: &'a str,
    },
    /// `-d`: the destination address lies in a network.
    Destination {
        /// `!` stands before it.
        not: bool,
        /// The network as written.
        network: &'a str,
    },
    /// `-i`: the packet came in by this interface.
    InInterface {
        /// `!` stands before it.
        not: bool,
        /// Name, `+` at its end for any that begin so.
        name: &'a str,
    },
    /// `-o`: the packet goes out by this interface.
    OutInterface {
        /// `!` stands before it.
        not: bool,
        /// Name, `+` at its end for any that begin so.
        name: &'a str,
    },
    /// `-f`: the packet is a fragment, but not the first of its datagram.
    Fragment {
        /// `!` stands before it.
        not: bool,
    },
    /// `-p`: the transport protocol.
    Protocol {
        /// `!` stands before it.
        not: bool,
        /// Name or number as written.
        name: &'a str,
    },
    /// `-m comment`: always true.
    Comment(Word<'a>),
    /// `-m tcp`, `-m udp`, `-m sctp` with their ports.
    Ports(Ports<'a>),
    /// `-m statistic`: true for a part of the packets.
    Statistic(Statistic<'a>),
    /// `-m recent`: the source address was, or is now, remembered.
    Recent(Recent<'a>),
    /// `-m addrtype`: the kind of address by the routing table.
    AddrType(AddrType<'a>),
    /// `-m mark`: the packet's mark.
    Mark {
        /// `!` stands before it.
        not: bool,
        /// `value/mask` as written.
        value: &'a str,
    },
    /// Any other module with its words, or (`name` empty) words no module claims.
    Module {
        /// The module's name.
        name: &'a str,
        /// Its options and values, `!` included.
        words: Vec<Word<'a>>,
    },
}

impl Match<'_> {
    /// True if no module has these words: nft hides what it cannot say, and shows a name.
    pub fn is_hidden(&self) -> bool {
        matches!(self, Self::Module { name: "", .. })
    }
}

/// Ports of `-m tcp`, `-m udp`, `-m sctp` and relatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ports<'a> {
    /// The module as loaded with `-m`; `None` where only its option stands.
    pub module: Option<&'a str>,
    /// `--sport`: negated, and the port or range `a:b`.
    pub source: Option<(bool, &'a str)>,
    /// `--dport`: negated, and the port or range `a:b`.
    pub destination: Option<(bool, &'a str)>,
    /// Other options of the module (`--tcp-flags …`).
    pub rest: Vec<Word<'a>>,
}

/// Options of `-m statistic`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Statistic<'a> {
    /// `random` or `nth`.
    pub mode: &'a str,
    /// `!` stands before the value.
    pub not: bool,
    /// `--probability`, 0..=1.
    pub probability: Option<&'a str>,
    /// `--every`, from 1.
    pub every: Option<&'a str>,
    /// `--packet`, below `every`.
    pub packet: Option<&'a str>,
}

/// What `-m recent` does with its list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RecentVerb {
    /// Remember the address; always true.
    Set,
    /// Is it remembered?
    #[default]
    Check,
    /// Is it remembered? Then refresh it.
    Update,
    /// Forget it; true if it was there.
    Remove,
}

/// Which address `-m recent` looks at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Side {
    /// `--rsource`.
    #[default]
    Source,
    /// `--rdest`.
    Destination,
}

/// Options of `-m recent`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent<'a> {
    /// `!` stands before the verb.
    pub not: bool,
    /// What is done.
    pub verb: RecentVerb,
    /// `--seconds`: how long an address counts as recent.
    pub seconds: Option<&'a str>,
    /// `--reap`: drop older addresses.
    pub reap: bool,
    /// `--hitcount`.
    pub hitcount: Option<&'a str>,
    /// `--rttl`.
    pub rttl: bool,
    /// `--name` of the list.
    pub name: Option<&'a str>,
    /// `--mask`, since iptables 1.4.18.
    pub mask: Option<&'a str>,
    /// `--rsource` or `--rdest`.
    pub side: Option<Side>,
}

/// Options of `-m addrtype`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AddrType<'a> {
    /// `--src-type`: negated, and the types, comma-separated.
    pub source: Option<(bool, &'a str)>,
    /// `--dst-type`: negated, and the types, comma-separated.
    pub destination: Option<(bool, &'a str)>,
    /// `--limit-iface-in`.
    pub limit_in: bool,
    /// `--limit-iface-out`.
    pub limit_out: bool,
}

/// `-j` or `-g` with the target's options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target<'a> {
    /// A chain, a verdict or an extension; which of them, only the chain's table can tell.
    pub name: &'a str,
    /// `-g`: the chain does not return here.
    pub goto: bool,
    /// Options and values as written.
    pub options: Vec<Word<'a>>,
}

impl Rule<'_> {
    /// The rule's comment; where there are several, the first.
    pub fn comment(&self) -> Option<&str> {
        self.matches.iter().find_map(|m| match m {
            Match::Comment(word) => Some(word.text.as_ref()),
            _ => None,
        })
    }

    /// Modules this program knows nothing of, and `words` for words no module claims.
    pub fn unknown_modules(&self) -> impl Iterator<Item = &str> {
        const KNOWN: [&str; 8] = ["conntrack", "connmark", "state", "iprange", "nfacct", "multiport", "set", "physdev"];
        self.matches.iter().filter_map(|m| match m {
            Match::Module { name: "", .. } => Some("words"),
            Match::Module { name, .. } if !KNOWN.contains(name) => Some(*name),
            _ => None,
        })
    }
}

impl Target<'_> {
    /// The value that follows the option `flag`, if it is there and is not itself an option.
    pub fn option(&self, flag: &str) -> Option<&str> {
        let at = self.options.iter().position(|w| w.text == flag)?;
        let value = &self.options.get(at + 1)?.text;
        (!value.starts_with("--")).then_some(value)
    }
}
