//! Reads what kube-proxy writes again and again, several words at a time.
//!
//! A large dump is a few phrases a hundred thousand times: `-m comment --comment "…"`, `-m statistic --mode random --probability
//! …`, `-j DNAT --to-destination …`. Each is told by one comparison. Whatever does not look exactly as iptables prints it is
//! left to be read [word by word](super::save), which gives the same.

use std::borrow::Cow;

use memchr::memchr2;

use super::rule::{Match, Ports, Rule, Statistic, Target, Word};
use super::words::{Words, is_blank};
use crate::eight::below;

/// Reads phrases into `rule` until something else stands in `words`. Gives back the memory for the target's options if no
/// target was read.
pub(super) fn read<'a>(words: &mut Words<'a>, rule: &mut Rule<'a>, mut options: Vec<Word<'a>>) -> Vec<Word<'a>> {
    let mut left = words.text_ahead();
    while let Some((item, behind)) = condition(left) {
        rule.matches.push(item);
        // More than the one blank that iptables writes stops this.
        left = behind.strip_prefix(' ').unwrap_or(behind);
    }
    if let Some((name, to)) = target(left) {
        options.extend(to.into_iter().flatten().map(bare));
        rule.target = Some(Target { name, goto: false, options: std::mem::take(&mut options) });
        left = "";
    }
    words.go_to(left);
    options
}

/// The condition a text begins with, and what stands behind it.
fn condition(text: &str) -> Option<(Match<'_>, &str)> {
    let (option, behind) = (text.get(..3)?, &text[3..]);
    match option {
        "-s " => value(behind).map(|(network, left)| (Match::Source { not: false, network }, left)),
        "-d " => value(behind).map(|(network, left)| (Match::Destination { not: false, network }, left)),
        "-p " => value(behind).map(|(name, left)| (Match::Protocol { not: false, name }, left)),
        "-m " => module(behind),
        _ => None,
    }
}

fn module(text: &str) -> Option<(Match<'_>, &str)> {
    if let Some(behind) = text.strip_prefix("comment --comment ") {
        let (word, left) = comment(behind)?;
        return Some((Match::Comment(word), left));
    }
    if let Some(behind) = text.strip_prefix("statistic --mode random --probability ") {
        let (probability, left) = value(behind)?;
        let random = Statistic { mode: "random", probability: Some(probability), ..Statistic::default() };
        return Some((Match::Statistic(random), left));
    }
    let (name, left) = value(text).filter(|(name, _)| matches!(*name, "tcp" | "udp"))?;
    let ports = Ports { module: Some(name), ..Ports::default() };
    match left.strip_prefix(" --dport ").and_then(value) {
        Some((port, left)) => Some((Match::Ports(Ports { destination: Some((false, port)), ..ports }), left)),
        None => Some((Match::Ports(ports), left)),
    }
}

/// A comment in quotes, or of a single word.
pub(super) fn comment(text: &str) -> Option<(Word<'_>, &str)> {
    if let Some(inner) = text.strip_prefix('"') {
        let end = memchr2(b'"', b'\\', inner.as_bytes()).filter(|&end| inner.as_bytes()[end] == b'"')?;
        return Some((Word { text: Cow::Borrowed(&inner[..end]), quoted: true }, &inner[end + 1..]));
    }
    // Without quotes it runs on until an option comes.
    value(text).filter(|(_, left)| left.is_empty() || left.starts_with(" -")).map(|(word, left)| (bare(word), left))
}

/// A target that the line ends with, and the option of DNAT with its value.
fn target(text: &str) -> Option<(&str, Option<[&str; 2]>)> {
    let (name, left) = value(text.strip_prefix("-j ")?)?;
    if left.is_empty() {
        return Some((name, None));
    }
    let (to, left) = value(left.strip_prefix(" --to-destination ")?)?;
    left.is_empty().then_some((name, Some(["--to-destination", to])))
}

/// A word that is neither quoted nor negated, and what stands behind it.
pub(super) fn value(text: &str) -> Option<(&str, &str)> {
    let end = word_end(text.as_bytes());
    (end > 0 && !text.starts_with(['!', '"'])).then(|| text.split_at(end))
}

/// Where the first blank stands, or the end. Eight bytes are looked at together: words are short, and there are many.
fn word_end(text: &[u8]) -> usize {
    let (words, _) = text.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        // Blanks and control characters, of which the first is told.
        let low = below(u64::from_le_bytes(*word), b' ' + 1);
        if low != 0 {
            at += low.trailing_zeros() as usize / 8;
            break;
        }
        at += 8;
    }
    // Nothing below a blank is one but control characters, of which texts have hardly any.
    text[at..].iter().position(|&byte| byte <= b' ' && is_blank(byte)).map_or(text.len(), |n| at + n)
}

fn bare(text: &str) -> Word<'_> {
    Word { text: Cow::Borrowed(text), quoted: false }
}

#[cfg(test)]
mod tests {
    use super::super::error::RuleError;
    use super::super::save;
    use super::*;

    fn both(line: &str) -> [Result<Rule<'_>, RuleError>; 2] {
        let (mut one, mut other) = (Rule::default(), Rule::default());
        let by_phrases = save::parse(line, 0, &mut one, Vec::new());
        let by_words = save::parse_words(Words::new(line, 0), &mut other, Vec::new());
        [by_phrases.map(|()| one), by_words.map(|()| other)]
    }

    #[test]
    fn words_end_with_the_first_blank() {
        for length in 0..20 {
            let text: String = "K\u{1}ä-SEP\u{7f}ABCDEFGHIJKLM".chars().take(length).collect();
            assert_eq!(word_end(text.as_bytes()), text.len());
            for blank in [' ', '\t', '\r', '\n', '\u{c}'] {
                assert_eq!(word_end(format!("{text}{blank}!\u{1} twenty bytes more").as_bytes()), text.len());
            }
        }
    }

    #[test]
    fn rules_of_kube_proxy_are_read_to_their_end() {
        for line in [
            r#" -m comment --comment "a/b:c -> 10.0.0.1:80" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-X"#,
            r#" -p tcp -m comment --comment "a/b:c" -m tcp -j DNAT --to-destination 10.0.0.1:80"#,
            r#" -d 10.96.0.1/32 -p udp -m comment --comment "a/b:c cluster IP" -m udp --dport 53 -j KUBE-SVC-X"#,
            " -s 10.0.0.1/32 -m comment --comment plain -j KUBE-MARK-MASQ",
        ] {
            let (mut words, mut rule) = (Words::new(line, 0), Rule::default());
            read(&mut words, &mut rule, Vec::new());
            assert_eq!(words.text_ahead(), "", "{line}");
            let [by_phrases, by_words] = both(line);
            assert_eq!(by_phrases.as_ref(), Ok(&rule));
            assert_eq!(by_phrases, by_words, "{line}");
        }
    }

    /// Rules that are nearly what iptables prints: every piece of one left out, doubled, or with something before it.
    #[test]
    fn phrases_tell_what_the_words_do() {
        const RULES: [&str; 7] = [
            r#" -m comment --comment "a/b -> c" -m statistic --mode random --probability 0.5 --every 2 -j X"#,
            " -m comment --comment plain words run on -p tcp -m tcp --dport 80 -j DNAT --to-destination 1.2.3.4:5 --random",
            r#" ! -s 1.2.3.4/32 -d 1.2.3.4/32 -p tcp -m tcp ! --dport 80 --tcp-flags SYN SYN -m comment --comment "é\"x" -j X"#,
            " -s ! 1.2.3.4 -m udp --dport ! 53 -j DNAT --to-destination 1.2.3.4:5-6 -m comment --comment late",
            " -p tcp -m recent --name A --set -m tcp -j DNAT --to-destination :0 --to-destination :0",
            " -d fd00::1/128 -m set --match-set A dst -g X",
            " -m statistic --mode nth --every 2 --packet 0 -m mark --mark 1/1 -j RETURN",
        ];
        let mut read = 0;
        for rule in RULES {
            let pieces: Vec<&str> = rule.split_inclusive(' ').collect();
            for at in 0..pieces.len() {
                for change in
                    ["", "!", "! ", "\"", " ", "\t", "\r", "\u{c} ", "-m ", "-j ", "-j X ", "\\", "é", "--comment "]
                {
                    let (before, behind) = (pieces[..at].concat(), pieces[at + 1..].concat());
                    for line in [
                        format!("{before}{change}{behind}"),
                        format!("{before}{change}{}{behind}", pieces[at]),
                        format!("{before}{}{change}{behind}", pieces[at].trim_end()),
                        format!("{before}{}", pieces[at].trim_end()),
                    ] {
                        let [by_phrases, by_words] = both(&line);
                        read += usize::from(by_words.is_ok());
                        assert_eq!(by_phrases, by_words, "{line}");
                    }
                }
            }
        }
        assert!(read > 1000, "only {read} of the lines are rules");
    }
}
