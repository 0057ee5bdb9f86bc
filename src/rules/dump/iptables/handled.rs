//! Gives a dump back what hands and programs did to its lines: colours, what stands before each of them, tabs, typographic dashes
//! and quotes, lines wrapped or cut at a column.
//!
//! All is told by the beginning of the text, so that a text of which nothing is to be mended costs no more.

use std::borrow::Cow;

use super::columns::columns;
use super::lossless::sample;
use super::prefixed::without_prefixes;

/// So many lines must show the same, lest one odd line decides.
pub(super) const SEVERAL: usize = 3;

/// What was mended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mended {
    /// Signs that steer a terminal are gone, as grep writes them around what it found.
    Colours,
    /// What stood before every line is gone, as before the first rule.
    Prefixes(String),
    /// Blanks stand where tabs were.
    Tabs,
    /// Blanks stand where those were at which no line is broken, as web pages and chats have them.
    Blanks,
    /// Signs stand where a web page has names for them (`&quot;`).
    Entities,
    /// Plain quotes stand where a word processor or chat wrote curved ones.
    Quotes,
    /// `--` stands where a word processor or chat wrote a dash.
    Dashes,
    /// Lines that were wrapped at this column are whole again.
    Wrapped(usize),
    /// Lines that were cut at this column are left out.
    Chopped(usize),
}

impl Mended {
    /// As a sentence about the text called `label`.
    #[inline]
    pub fn told(&self, label: &str) -> String {
        match self {
            Self::Colours => format!("{label} has colours of a terminal: they were taken out"),
            Self::Prefixes(first) => {
                format!("{label} has '{first}' or the like before its lines: it was taken out")
            }
            Self::Tabs => format!("{label} has tabs where iptables writes blanks: they were put back"),
            Self::Blanks => format!("{label} has no-break spaces where iptables writes blanks: they were put back"),
            Self::Entities => format!("{label} is the source of a web page: its names of signs were put back"),
            Self::Quotes => format!("{label} has curved quotes where iptables writes '\"': they were put back"),
            Self::Dashes => format!("{label} has dashes where iptables writes '--': they were put back"),
            Self::Wrapped(width) => format!(
                "{label} is wrapped at column {width}: its lines were put together, and line numbers are those of the whole ones"
            ),
            Self::Chopped(width) => format!(
                "the lines of {label} are cut at column {width}: those that long were not used, as their ends are missing"
            ),
        }
    }
}

/// The text as iptables wrote it, and what was mended; nothing if it is.
#[inline]
pub fn mend(text: &str) -> Option<(String, Vec<Mended>)> {
    let mut mended = Vec::new();
    let mut now = Cow::Borrowed(text);
    for step in [colours, blanks, prefixes, entities, tabs, quotes, dashes, columns] {
        if let Some((text, what)) = step(&now) {
            now = Cow::Owned(text);
            mended.push(what);
        }
    }
    (!mended.is_empty()).then(|| (now.into_owned(), mended))
}

/// `ESC [ … letter` (ECMA-48), which `grep --color` writes, and ends with `ESC [ m`: a name that steers a terminal does not, and is
/// kept.
#[inline]
fn colours(text: &str) -> Option<(String, Mended)> {
    let ends = |end: &[u8]| memchr::memmem::find_iter(sample(text).as_bytes(), end).count();
    if ends(b"\x1b[m") + ends(b"\x1b[0m") < SEVERAL {
        return None;
    }
    let mut parts = text.split("\u{1b}[");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_final = |c: char| ('@'..='~').contains(&c);
        let end = part.find(is_final).filter(|end| *end < 16).map_or(0, |end| end + 1);
        out.push_str(&part[end..]);
    }
    Some((out, Mended::Colours))
}

#[inline]
fn blanks(text: &str) -> Option<(String, Mended)> {
    const NO_BREAK: char = '\u{a0}';
    // In a name it stays what it is.
    let begins = |line: &&str| line.starts_with(NO_BREAK) || line.trim_start().starts_with("-A\u{a0}");
    let lines = sample(text).lines().filter(begins).count();
    (lines >= SEVERAL).then(|| (text.replace(NO_BREAK, " "), Mended::Blanks))
}

#[inline]
fn prefixes(text: &str) -> Option<(String, Mended)> {
    without_prefixes(text).map(|(text, first)| (text, Mended::Prefixes(first)))
}

#[inline]
fn tabs(text: &str) -> Option<(String, Mended)> {
    let rules = sample(text).lines().filter(|line| line.starts_with("-A\t")).count();
    (rules >= SEVERAL).then(|| (text.replace('\t', " "), Mended::Tabs))
}

/// `&quot;` is in the comments of nearly all rules.
#[inline]
fn entities(text: &str) -> Option<(String, Mended)> {
    // The last one is in the names of the others, where it stands for itself.
    const NAMES: [(&str, &str); 5] = [("&quot;", "\""), ("&#39;", "'"), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")];
    let quoted = sample(text).lines().filter(|line| line.starts_with("-A ") && line.contains("&quot;")).count();
    (quoted >= SEVERAL).then(|| {
        let text = NAMES.into_iter().fold(text.to_owned(), |text, (name, sign)| text.replace(name, sign));
        (text, Mended::Entities)
    })
}

#[inline]
fn quotes(text: &str) -> Option<(String, Mended)> {
    const CURVED: [char; 2] = ['\u{201c}', '\u{201d}'];
    let is_quoted = |line: &&str| {
        line.split(CURVED).next().is_some_and(|before| before.ends_with("comment ")) && line.contains(CURVED)
    };
    let rules = sample(text).lines().filter(|line| line.starts_with("-A ")).filter(is_quoted).count();
    (rules >= SEVERAL).then(|| (text.replace(CURVED, "\""), Mended::Quotes))
}

#[inline]
fn dashes(text: &str) -> Option<(String, Mended)> {
    const DASHES: [char; 2] = ['\u{2013}', '\u{2014}'];
    const OPTIONS: [&str; 3] = ["comment ", "dport ", "to-destination "];
    let has_option =
        |line: &&str| line.split(DASHES).skip(1).any(|rest| OPTIONS.iter().any(|option| rest.starts_with(option)));
    if sample(text).lines().filter(|line| line.starts_with("-A ")).filter(has_option).count() < SEVERAL {
        return None;
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(DASHES) {
        let (before, dash) = rest.split_at(at);
        let behind = &dash['\u{2013}'.len_utf8()..];
        let is_option = before.ends_with(' ') && behind.starts_with(|c: char| c.is_ascii_lowercase());
        out.push_str(before);
        out.push_str(if is_option { "--" } else { &dash[..'\u{2013}'.len_utf8()] });
        rest = behind;
    }
    out.push_str(rest);
    Some((out, Mended::Dashes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) const DUMP: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
        -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"default/kubernetes:https cluster IP\" -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y\n\
        -A KUBE-SVC-NPX46M4PTMTKRN6Y -m comment --comment \"default/kubernetes:https -> 10.200.0.1:6443\" -j KUBE-SEP-YKINUIM5IPE47EYF\n\
        -A KUBE-SEP-YKINUIM5IPE47EYF -p tcp -m comment --comment \"default/kubernetes:https\" -m tcp -j DNAT --to-destination 10.200.0.1:6443\n\
        -A KUBE-SEP-YKINUIM5IPE47EYF -s 10.200.0.1/32 -m comment --comment \"a – b\" -j KUBE-MARK-MASQ\nCOMMIT\n";

    #[test]
    fn a_dump_as_it_was_written_is_left_alone() {
        assert_eq!(mend(DUMP), None);
        assert_eq!(mend("dear all,\nplease look at this\n"), None);
    }

    #[test]
    fn what_stands_before_every_line_is_taken_out() {
        let before = |prefix: &dyn Fn(usize) -> String| -> String {
            DUMP.lines().enumerate().flat_map(|(n, line)| [prefix(n), line.to_owned(), "\n".to_owned()]).collect()
        };
        let prefixes: [&dyn Fn(usize) -> String; 9] = [
            &|_| "> ".to_owned(),
            &|_| "> > ".to_owned(),
            &|_| "+".to_owned(),
            &|_| "node1: ".to_owned(),
            &|n| format!("{}:", n + 9),
            &|n| format!("{:6}\t", n + 9),
            &|n| format!("2026-11-29T05:00:0{n}.12345{n}Z "),
            &|n| format!("Nov {:2} 05:00:0{n} node1 dump[{n}]: ", 9 + n / 4),
            &|n| format!("[{n}] 2026-11-29 05:00:0{n}+01:00 | "),
        ];
        for prefix in prefixes {
            let first = prefix(3);
            assert_eq!(mend(&before(prefix)), Some((DUMP.to_owned(), vec![Mended::Prefixes(first)])));
        }
        // An editor took the blanks at the ends of lines, and a dump begins with a remark.
        let quoted = "she wrote:\n>\n".to_owned() + &before(&|_| "> ".to_owned());
        let (text, _) = mend(&quoted).expect("quoted");
        assert_eq!(text, "she wrote:\n\n".to_owned() + DUMP);
        // Two nodes, commands, counters, and a dump somebody indented.
        assert_eq!(mend(&before(&|n| format!("node{}: ", n % 2))), None);
        assert_eq!(mend(&before(&|n| format!("10.0.0.{n}: "))), None);
        for prefix in ["iptables -t nat ", "sudo ip6tables -w ", "    ", "[12:34] "] {
            assert_eq!(mend(&before(&|_| prefix.to_owned())), None, "{prefix}");
        }
    }

    #[test]
    fn colours_tabs_signs_and_dashes_are_put_back() {
        let coloured = DUMP.replace("KUBE", "\u{1b}[01;31m\u{1b}[KKUBE\u{1b}[m\u{1b}[K");
        assert_eq!(mend(&coloured), Some((DUMP.to_owned(), vec![Mended::Colours])));
        assert_eq!(mend(&DUMP.replace(' ', "\t")), Some((DUMP.to_owned(), vec![Mended::Tabs])));
        assert_eq!(mend(&DUMP.replace(' ', "\u{a0}")), Some((DUMP.to_owned(), vec![Mended::Blanks])));
        let page = DUMP.replace('"', "&quot;").replace('>', "&gt;");
        assert_eq!(mend(&page), Some((DUMP.to_owned(), vec![Mended::Entities])));
        let mut opens = false;
        let curved = DUMP.split_inclusive('"').map(|part| {
            opens = !opens;
            part.replace('"', if opens { "\u{201c}" } else { "\u{201d}" })
        });
        assert_eq!(mend(&curved.collect::<String>()), Some((DUMP.to_owned(), vec![Mended::Quotes])));
        for dash in ["–", "—"] {
            assert_eq!(mend(&DUMP.replace("--", dash)), Some((DUMP.to_owned(), vec![Mended::Dashes])));
        }
    }
}
