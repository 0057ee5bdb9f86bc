//! Takes away what stands before every line of a dump: the marks of a quotation, the numbers of `grep -n` and `cat -n`, the times
//! and names of logs.

use regex::Regex;

use super::handled::SEVERAL;
use super::lossless::sampled_lines;

/// Times and process numbers, which differ from line to line.
const CHANGING: &str = r"(?x)
    [0-9]{4}-[0-9]{2}-[0-9]{2} [T\ ] [0-9]{2}:[0-9]{2}:[0-9]{2} [.,0-9]* (?: Z | [+-][0-9]{2}:?[0-9]{2} )?
    | [A-Z][a-z]{2} \ + [0-9]{1,2} \  [0-9]{2}:[0-9]{2}:[0-9]{2}
    | \[ [0-9]+ \]";

/// The number of a line, as `grep -n`, `cat -n` and `nl` write it.
const NUMBER: &str = r"^[ \t]*[0-9]+[:\t ][ \t]*";

/// The text without what stands before its lines, and what stood before the first rule; nothing if it is a dump as it is.
///
/// A number that belongs to a name stays what it is: rules of `node1` and `node2` in one text are no one table.
#[inline]
pub(super) fn without_prefixes(text: &str) -> Option<(String, String)> {
    let mut rules = sampled_lines(text).filter_map(|line| Some((line, rule(line)?)));
    let (first, at) = rules.next().filter(|(line, at)| may_be_prefix(&line[..*at]))?;
    let prefix = &first[..at];
    let before = pattern(prefix)?;
    let is_behind = |line: &str| before.find(line).is_some_and(|found| rule(&line[found.end()..]) == Some(0));
    let mut count = 1;
    for (line, _) in rules {
        count += 1;
        if !is_behind(line) {
            return None;
        }
    }
    if count < SEVERAL || !is_behind(first) {
        return None;
    }
    let quoting = Quoting::of(prefix, text);
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some(found) = before.find(line) else {
            out.push_str(line);
            continue;
        };
        let rest = &line[found.end()..];
        match &quoting {
            None => out.push_str(rest),
            Some(quoting) => match quoting.unquoted(rest) {
                (inner, true) => {
                    out.push_str(&inner);
                    out.push('\n');
                }
                // The text breaks off there.
                (inner, false) if !line.ends_with('\n') => out.push_str(&inner),
                // A rule that is quoted otherwise would be read with the rest of its line. The key of a list is no line of a dump.
                (_, false) if rule(rest).is_some() => return None,
                (_, false) => out.push_str(line),
            },
        }
    }
    Some((out, prefix.to_owned()))
}

/// How strings are written that begin with the last character of a prefix.
struct Quoting {
    quote: char,
    /// A backslash stands before what it changes, as JSON, Python and logfmt have it. CSV, and YAML with single quotes, write a quote
    /// twice instead.
    escapes: bool,
}

impl Quoting {
    #[inline]
    fn of(prefix: &str, text: &str) -> Option<Self> {
        let quote = prefix.chars().next_back().filter(|last| matches!(last, '"' | '\''))?;
        // Nearly every rule of kube-proxy's has a comment in quotes.
        let escapes = if quote == '"' { !text.contains("--comment \"\"") } else { !text.contains("''") };
        Some(Self { quote, escapes })
    }

    /// What stands in a string up to its closing quote, and whether that is there, with nothing behind it but what a list or an
    /// object has.
    #[inline]
    fn unquoted(&self, text: &str) -> (String, bool) {
        let mut out = String::with_capacity(text.len());
        let mut chars = text.char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c == '\\' && self.escapes {
                match chars.next() {
                    // A line that was logged ends with its line end.
                    Some((_, 'n' | 'r')) | None => {}
                    Some((_, 't')) => out.push('\t'),
                    Some((at, 'u')) => {
                        let code = text.get(at + 1..at + 5).and_then(|digits| u32::from_str_radix(digits, 16).ok());
                        let Some(code) = code else { return (out, false) };
                        out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
                        chars.nth(3);
                    }
                    Some((_, other)) => out.push(other),
                }
            } else if c != self.quote || !self.escapes && chars.next_if(|(_, next)| *next == self.quote).is_some() {
                out.push(c);
            } else {
                let behind = &text[at + c.len_utf8()..];
                let is_end = behind.is_empty() || behind.starts_with([',', '}', ']', ')', ';', ' ', '\t', '\r', '\n']);
                return (out, is_end);
            }
        }
        // A line end that nothing closes before is no part of it.
        out.truncate(out.trim_end_matches(['\r', '\n']).len());
        (out, false)
    }
}

/// Where in the line a rule with its target begins, or the heading of a chain.
#[inline]
fn rule(line: &str) -> Option<usize> {
    let appends = || line.find("-A ").filter(|at| line[*at..].contains(" -j ") || line[*at..].contains(" -g "));
    let heads =
        || line.find("Chain ").filter(|at| line[*at..].contains(" references)") || line[*at..].contains(" (policy "));
    appends().or_else(heads)
}

/// False for blanks, which do no harm, for counters of a rule, and for the command that appends it.
#[inline]
fn may_be_prefix(text: &str) -> bool {
    let is_counters = text.starts_with('[') && text.trim_end().ends_with(']') && text.contains(':');
    !text.trim().is_empty() && !is_counters && !text.contains("tables") && text.len() < 200
}

/// What matches the like of `prefix` before other lines. Blanks at its end may be gone from lines that had nothing else.
#[inline]
fn pattern(prefix: &str) -> Option<Regex> {
    if let Some(number) =
        Regex::new(NUMBER).ok().filter(|number| number.find(prefix).is_some_and(|found| found.end() == prefix.len()))
    {
        return Some(number);
    }
    let changing = Regex::new(CHANGING).ok()?;
    let (mut pattern, mut rest) = ("^".to_owned(), 0);
    let name = prefix.trim_end();
    for found in changing.find_iter(name) {
        pattern += &regex::escape(&name[rest..found.start()]);
        pattern.extend(["(?:", CHANGING, ")"]);
        rest = found.end();
    }
    pattern += &regex::escape(&name[rest..]);
    pattern += if name.len() < prefix.len() { r"[ \t]*" } else { "" };
    Regex::new(&pattern).ok()
}
