//! Rules of iptables, as `-S`, `-L` and `iptables-save` print them. Where a word stands decides little, for only known words
//! pass anywhere: comments have words of their own, and what follows some options may be anything.

use super::tokens::{self, Token};
use super::vocabulary;
use super::word::Writer;
use crate::dump::iptables::{mend, restore_line_breaks, restore_xml};

/// Options whose values people chose.
const FREE: [&str; 9] = [
    "--log-prefix",
    "--nflog-prefix",
    "--string",
    "--hex-string",
    "--mac-source",
    "--domain",
    "--helper",
    "--label",
    // Programs that compare bytes of packets hold addresses as numbers.
    "--bytecode",
];

/// Programs that list rules, by how their names begin.
const PROGRAMS: [&str; 3] = ["iptables", "ip6tables", "xtables"];

/// What the words that come are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Rule,
    /// Behind `--comment`, where a comment without quotes goes on to the next option.
    Comment,
    /// In the `/* … */` of a listing.
    Remark,
    /// Behind an option that may be followed by anything.
    Free,
}

/// The rules as lines, if they are written otherwise; an error where they cannot be read.
pub(super) fn restored(text: &str) -> Option<Result<String, String>> {
    let refused = |error| format!("output of iptables-xml that cannot be read cannot be redacted: {error}");
    let mended = mend(text).map(|(text, _)| text);
    let text = mended.as_deref().unwrap_or(text);
    let rules = restore_xml(text).map(|rules| rules.map_err(refused));
    rules.or_else(|| restore_line_breaks(text).map(Ok)).or_else(|| mended.map(Ok))
}

impl Writer<'_> {
    /// Writes rules of iptables.
    pub(super) fn iptables(&mut self, text: &str) {
        let mut listing = false;
        self.lines(text, |writer, line| {
            let words = line.trim_start();
            let heading = words.starts_with("Chain ");
            let rule = words.starts_with("-A ") || words.starts_with('[') || is_command(words);
            listing = (listing || heading) && !rule;
            if words.starts_with(['*', ':']) || words == "COMMIT" || heading || rule {
                writer.rule(line);
            } else if words.starts_with('#') {
                return writer.remark(line) || writer.echo(words);
            } else if listing || is_row(words) {
                writer.rule(line);
            } else {
                return writer.echo(words);
            }
            true
        });
    }

    fn rule(&mut self, line: &str) {
        let mut place = Place::Rule;
        for token in tokens::of(line, true) {
            self.push(token.blank);
            place = self.rule_word(token, place);
        }
    }

    /// Writes a word of a rule and tells what comes behind it.
    fn rule_word(&mut self, token: Token<'_>, place: Place) -> Place {
        let Token { text, quoted, closed, .. } = token;
        match (place, quoted) {
            (Place::Comment, Some(comment)) => {
                self.in_quotes(closed, |writer| writer.comment(comment));
                Place::Rule
            }
            (Place::Remark, _) if text == "*/" => {
                self.push(text);
                Place::Rule
            }
            (Place::Remark, None) => {
                self.comment_word(text);
                place
            }
            // `-m u32` too compares bytes of packets.
            (Place::Rule, Some(name)) if !name.contains([' ', '=']) => {
                self.in_quotes(closed, |writer| writer.word(name));
                place
            }
            (_, Some(anything)) => {
                self.in_quotes(closed, |writer| writer.unknown(anything));
                place
            }
            (Place::Rule, None) if text == "/*" => {
                self.push(text);
                Place::Remark
            }
            (_, None) if is_option(text) => self.option(text),
            (Place::Comment, None) if text != "!" => {
                self.comment_word(text);
                place
            }
            (Place::Free, None) if text != "!" => {
                self.unknown(text);
                place
            }
            (_, None) => {
                self.word(text);
                Place::Rule
            }
        }
    }

    fn option(&mut self, option: &str) -> Place {
        let free = FREE.contains(&option);
        if free || vocabulary::is_known(option) {
            self.push(option);
        } else {
            self.push("--");
            self.unknown(option.trim_start_matches('-'));
        }
        match option {
            "--comment" => Place::Comment,
            _ if free || !vocabulary::is_known(option) => Place::Free,
            _ => Place::Rule,
        }
    }

    /// Writes the command in a line such as `root@host:~# iptables -t nat -S`, which says what follows.
    fn echo(&mut self, line: &str) -> bool {
        let name =
            |word: &str| PROGRAMS.iter().any(|program| word.rsplit('/').next().is_some_and(|n| n.starts_with(program)));
        let Some(at) = line.split(' ').position(name) else { return false };
        let command: Vec<&str> = line.split(' ').skip(at).collect();
        let (program, options) = command.split_first().map_or(("", [].as_slice()), |(first, rest)| (*first, rest));
        let program = program.rsplit('/').next().unwrap_or(program);
        self.push("# ");
        self.remark(&format!("{program} {}", options.join(" ")))
    }
}

fn is_option(word: &str) -> bool {
    word.strip_prefix('-')
        .is_some_and(|rest| rest.starts_with(|c: char| c == '-' || c.is_ascii_alphabetic()) && rest != "-")
}

/// `-N CHAIN`, `-P CHAIN ACCEPT`, `-X CHAIN`
fn is_command(line: &str) -> bool {
    matches!(line.as_bytes(), [b'-', b'A'..=b'Z', b' ', ..])
}

/// True for the heading of a listing, and for a row of one that lost its headings.
fn is_row(line: &str) -> bool {
    let words = || line.split_ascii_whitespace();
    let has = |word: &str| words().any(|other| other == word);
    (has("target") && has("prot") && has("source")) || words().take(10).any(|word| matches!(word, "--" | "-f" | "!f"))
}
