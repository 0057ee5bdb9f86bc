//! The two kinds of rule that a large dump has a hundred thousand of each: the one that sends a part of the connections to an
//! endpoint's chain, and the one that translates them.
//!
//! Whoever follows pools asks for these first: nothing is collected, and nothing is looked at twice. Whatever does not look
//! exactly as iptables prints them is left to be [parsed](RawRule::parse), which tells the same.

use memchr::memchr;

use super::phrases::{comment, value};
use super::raw_rule::RawRule;
use super::section::Form;

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
    /// `-A CHAIN -p PROTOCOL [-m comment --comment …] -m PROTOCOL -j DNAT --to-destination TO`
    Translation {
        /// `tcp`, as written, or `udp`.
        protocol: &'a str,
        /// Where packets are sent, as written.
        to: &'a str,
    },
}

impl<'a> RawRule<'a> {
    /// The rule, if it is of one of the usual kinds.
    pub fn usual(&self) -> Option<Usual<'a>> {
        if self.form != Form::Append {
            return None;
        }
        let rest = self.text.strip_prefix("-A ")?;
        let name = memchr(b' ', rest.as_bytes()).filter(|&end| end > 0)?;
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
    Some(Usual::Translation { protocol, to: last(left.strip_prefix(" -j DNAT --to-destination ")?)? })
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
    use crate::dump::iptables::{Dump, Hints, Match, Ports, Rule, Statistic};

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
        assert_eq!(usual(DNAT), Some(Usual::Translation { protocol: "tcp", to: "10.0.0.1:80" }));
        assert_eq!(
            usual("-A KUBE-SEP-X -p udp -m udp -j DNAT --to-destination [fd00::1]:53"),
            Some(Usual::Translation { protocol: "udp", to: "[fd00::1]:53" })
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

    /// The rule a usual one stands for, without its comment.
    fn whole<'a>(usual: &Usual<'a>) -> (Vec<Match<'a>>, &'a str, Vec<&'a str>) {
        match *usual {
            Usual::Jump { probability, target } => {
                let random = |text| Statistic { mode: "random", probability: Some(text), ..Statistic::default() };
                (probability.map(|text| Match::Statistic(random(text))).into_iter().collect(), target, Vec::new())
            }
            Usual::Translation { protocol, to } => {
                let ports = Ports { module: Some(protocol), ..Ports::default() };
                let matches = vec![Match::Protocol { not: false, name: protocol }, Match::Ports(ports)];
                (matches, "DNAT", vec!["--to-destination", to])
            }
        }
    }

    /// Rules that are nearly usual: every piece of one left out, doubled, or with something before or behind it.
    #[test]
    fn what_is_usual_is_what_the_rule_says() {
        let mut seen = 0;
        for rule in
            [JUMP, DNAT, "-A KUBE-SVC-X -m comment --comment a/b -m statistic --mode random --probability 1 -j X"]
        {
            let pieces: Vec<&str> = rule.split_inclusive(' ').collect();
            for at in 0..pieces.len() {
                for change in
                    ["", "!", "! ", "\"", " ", "\t", "\u{c}", "\\", "é", "-m ", "-j ", "-g X ", "-c 1 2 ", "[1:2] "]
                {
                    let (before, piece, behind) = (pieces[..at].concat(), pieces[at], pieces[at + 1..].concat());
                    for line in [
                        format!("{before}{change}{behind}"),
                        format!("{before}{change}{piece}{behind}"),
                        format!("{before}{}{change}{behind}", piece.trim_end()),
                        format!("{before}{}{change} {behind}", piece.trim_end()),
                    ] {
                        let Some(raw) = raw(&line) else { continue };
                        let Some(usual) = raw.usual() else { continue };
                        seen += 1;
                        let Ok(Rule { counters: None, matches, target: Some(target) }) = raw.parse() else {
                            panic!("{line} is said to be {usual:?}")
                        };
                        let matches: Vec<_> = matches.into_iter().filter(|m| !matches!(m, Match::Comment(_))).collect();
                        let options: Vec<&str> = target.options.iter().map(|word| word.text.as_ref()).collect();
                        assert!(!target.goto && target.options.iter().all(|word| !word.quoted), "{line}");
                        assert_eq!(whole(&usual), (matches, target.name, options), "{line}");
                    }
                }
            }
        }
        assert!(seen > 100, "only {seen} of the lines are usual");
    }
}
