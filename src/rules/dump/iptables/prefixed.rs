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
    let quote = prefix.chars().next_back().filter(|last| matches!(last, '"' | '\''));
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let Some(found) = before.find(line) else {
            out.push_str(line);
            continue;
        };
        match quote.map(|quote| unquoted(&line[found.end()..], quote)) {
            None => out.push_str(&line[found.end()..]),
            Some(Some(inner)) => {
                out.push_str(&inner);
                out.push('\n');
            }
            // What is quoted otherwise would be read with the rest of its line.
            Some(None) => return None,
        }
    }
    Some((out, prefix.to_owned()))
}

/// What stands in a string up to its closing quote, as JSON, CSV, YAML and Python write strings; `None` if it does not end.
fn unquoted(text: &str, quote: char) -> Option<String> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    loop {
        match chars.next()? {
            // A line that was logged ends with its line end.
            '\\' => match chars.next()? {
                'n' | 'r' => {}
                't' => out.push('\t'),
                other => out.push(other),
            },
            c if c == quote => match chars.next_if_eq(&quote) {
                Some(twice) => out.push(twice),
                None => return Some(out),
            },
            c => out.push(c),
        }
    }
}

/// Where in the line a rule with its target begins, or the heading of a chain.
fn rule(line: &str) -> Option<usize> {
    let appends = || line.find("-A ").filter(|at| line[*at..].contains(" -j ") || line[*at..].contains(" -g "));
    let heads =
        || line.find("Chain ").filter(|at| line[*at..].contains(" references)") || line[*at..].contains(" (policy "));
    appends().or_else(heads)
}

/// False for blanks, which do no harm, for counters of a rule, and for the command that appends it.
fn may_be_prefix(text: &str) -> bool {
    let is_counters = text.starts_with('[') && text.trim_end().ends_with(']') && text.contains(':');
    !text.trim().is_empty() && !is_counters && !text.contains("tables") && text.len() < 200
}

/// What matches the like of `prefix` before other lines. Blanks at its end may be gone from lines that had nothing else.
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
