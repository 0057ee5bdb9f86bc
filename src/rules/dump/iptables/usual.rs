//! The two kinds of rule that a large dump has a hundred thousand of each: the one that sends a part of the connections to an
//! endpoint's chain, and the one that translates them.
//!
//! Whoever follows pools asks for these first: nothing is collected, and nothing is looked at twice. Whatever does not look
//! exactly as iptables prints them is left to be [parsed](RawRule::parse), which tells the same.

use std::net::IpAddr;

use memchr::memchr;

use super::phrases::{comment, value};
use super::raw_rule::RawRule;
use super::section::Form;
use super::words::is_blank;
use crate::net::split_host_port;

/// A rule without counters of one of the two kinds; its comment is not kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usual<'a> {
    /// `-A CHAIN [-m comment --comment …] [-m statistic --mode random --probability PROBABILITY] -j TARGET`
    Jump {
        /// As written; `None` for a rule that takes every packet.
        probability: Option<&'a str>,
        /// The chain it leads to, or what else stands there.
        target: &'a str,
    },
    /// `-A CHAIN -p PROTOCOL [-m comment --comment …] -m PROTOCOL -j DNAT --to-destination ADDRESS:PORT`
    Translation {
        /// `tcp`, as written, or `udp`.
        protocol: &'a str,
        /// Where packets are sent: address and port.
        to: (IpAddr, u16),
    },
}

impl<'a> RawRule<'a> {
    /// The rule, if it is of one of the usual kinds.
    pub fn usual(&self) -> Option<Usual<'a>> {
        if self.form != Form::Append {
            return None;
        }
        // A name that does not follow one blank begins elsewhere.
        let rest = self.text.strip_prefix("-A ").filter(|rest| !rest.bytes().next().is_some_and(is_blank))?;
        let name = memchr(b' ', rest.as_bytes())?;
        let body = &rest[name..];
        match body.strip_prefix(" -p ") {
            Some(body) => translation(body),
            None => jump(body),
        }
    }
}

fn jump(text: &str) -> Option<Usual<'_>> {
    let left = behind_comment(text)?;
    let (probability, left) = match left.strip_prefix(" -m statistic --mode random --probability ") {
        Some(left) => value(left).map(|(probability, left)| (Some(probability), left))?,
        None => (None, left),
    };
    Some(Usual::Jump { probability, target: last(left.strip_prefix(" -j ")?)? })
}

fn translation(text: &str) -> Option<Usual<'_>> {
    let (protocol, left) = value(text).filter(|(protocol, _)| matches!(*protocol, "tcp" | "udp"))?;
    let left = behind_comment(left)?.strip_prefix(" -m ")?.strip_prefix(protocol)?;
    // What is an address with its port, and nothing else, is one word too.
    let (address, port) = split_host_port(left.strip_prefix(" -j DNAT --to-destination ")?)?;
    Some(Usual::Translation { protocol, to: (address, port?) })
}

/// What stands behind a comment, if there is one here.
fn behind_comment(text: &str) -> Option<&str> {
    match text.strip_prefix(" -m comment --comment ") {
        Some(text) => comment(text).map(|(_, left)| left),
        None => Some(text),
    }
}

/// A word that the line ends with.
fn last(text: &str) -> Option<&str> {
    value(text).filter(|(_, left)| left.is_empty()).map(|(word, _)| word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::iptables::{Dump, Hints};

    const JUMP: &str = r#"-A KUBE-SVC-X -m comment --comment "a/b:c -> 10.0.0.1:80" -m statistic --mode random --probability 0.5 -j KUBE-SEP-X"#;
    const DNAT: &str =
        r#"-A KUBE-SEP-X -p tcp -m comment --comment "a/b:c" -m tcp -j DNAT --to-destination 10.0.0.1:80"#;

    fn raw(line: &str) -> Option<RawRule<'_>> {
        let dump = Dump::scan(line, Hints::default());
        let section = dump.sections.first()?;
        section.chains().iter().find_map(|chain| section.rules_of(chain).next())
    }

    #[test]
    fn rules_of_kube_proxy_are_usual() {
        let usual = |line| raw(line).and_then(|raw| raw.usual());
        let to_endpoint = |probability| Some(Usual::Jump { probability, target: "KUBE-SEP-X" });
        assert_eq!(usual(JUMP), to_endpoint(Some("0.5")));
        assert_eq!(usual("-A KUBE-SVC-X -j KUBE-SEP-X"), to_endpoint(None));
        assert_eq!(usual("-A KUBE-SVC-X -m comment --comment a/b -j KUBE-SEP-X"), to_endpoint(None));
        let four = (IpAddr::from([10, 0, 0, 1]), 80);
        assert_eq!(usual(DNAT), Some(Usual::Translation { protocol: "tcp", to: four }));
        assert_eq!(
            usual("-A KUBE-SEP-X -p udp -m udp -j DNAT --to-destination [::1]:53"),
            Some(Usual::Translation { protocol: "udp", to: (IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), 53) })
        );
        for other in [
            "[1:60] -A KUBE-SVC-X -j KUBE-SEP-X",
            "-A KUBE-SVC-X -g KUBE-SEP-X",
            "-A KUBE-SEP-X -s 10.0.0.1/32 -j KUBE-MARK-MASQ",
            "-A KUBE-SEP-X -p tcp -m udp -j DNAT --to-destination 10.0.0.1:80",
            "-A KUBE-SEP-X -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80 --persistent",
        ] {
            assert_eq!(usual(other), None, "{other}");
        }
    }
}
