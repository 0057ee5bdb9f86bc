//! One pass over a dump's text: which tables and chains it holds and where each chain's rules stand.
//!
//! Nothing is parsed here beyond the beginning of a line, so that a question about one service reads the text once and
//! parses only the chains it reaches. All forms may be mixed in one text: `iptables-save`, `-S`, `-L`, several tables,
//! several saves, both families.

use memchr::{memchr, memrchr};

use super::around::{command_line, commented_family, family_of};
use super::listing::Columns;
use super::lost::Lacks;
use super::names::{self, Backend, TableName};
use super::section::{Form, Run, Section};
use crate::net::Family;

mod rows;

use rows::Spacing;

/// How many lines that were not understood are kept with their text; all are counted.
const KEEP_UNREAD: usize = 100;

/// How many tables of a text are given room for all its chains from the start.
const ROOMY_SECTIONS: usize = 8;

/// What is known of a text from outside it: from the command that printed it, or because a person said so.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Hints {
    /// Family of rules that do not say theirs.
    pub family: Option<Family>,
    /// Kernel interface they were read from.
    pub backend: Option<Backend>,
    /// Table of rules without a `*table` line.
    pub table: Option<TableName>,
    /// The table is what a command lists where it names none; built-in chains may tell better.
    pub table_guessed: bool,
    /// How it came here.
    pub provenance: Provenance,
}

/// How a text came here.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Provenance {
    /// Somebody saved it, or a part of it.
    #[default]
    Saved,
    /// A command printed it that was seen to end well: no line is missing, whatever the rules look like.
    Listed,
}

/// A dump, indexed.
#[derive(Debug)]
pub struct Dump<'a> {
    /// Tables in the order they stand in the text. One table may come several times (families, backends, saves).
    pub sections: Vec<Section<'a>>,
    /// Lines that are no part of a dump, the first hundred of them.
    pub unread: Vec<Unread<'a>>,
    /// How many lines are no part of a dump.
    pub unread_count: usize,
    /// When it was made, as the first header says it: `Sun Nov 22 08:28:50 2026`.
    pub generated: Option<&'a str>,
}

/// A line that is no part of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unread<'a> {
    /// Line number from 1.
    pub line: u32,
    /// The line.
    pub text: &'a str,
    /// What it seems to be.
    pub why: Why,
}

/// What a line that is no part of a dump seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// A warning of iptables (`# Warning: iptables-legacy tables present …`).
    Warning,
    /// A shell prompt or the log line that introduces a dump.
    Around,
    /// A rule whose end is missing: the text ends in it, as in its table.
    Cut,
    /// Nothing known.
    Unknown,
}

impl<'a> Dump<'a> {
    /// Longest text that can be indexed, in bytes.
    pub const MAX_BYTES: usize = u32::MAX as usize;

    /// Goes once over `text`, which is not longer than [`MAX_BYTES`](Self::MAX_BYTES). Never fails: what is no part of
    /// a dump is [`unread`](Self::unread).
    pub fn scan(text: &'a str, hints: Hints) -> Self {
        let mut scanner = Scanner::new(text, hints);
        scanner.run();
        scanner.dump
    }

    /// Number of rules in all tables.
    pub fn rules(&self) -> usize {
        self.sections.iter().map(|s| s.rules as usize).sum()
    }

    /// True if nothing in the text belongs to a dump.
    pub fn is_empty(&self) -> bool {
        self.sections.iter().all(|s| s.chains.is_empty())
    }
}

struct Scanner<'a> {
    text: &'a str,
    hints: Hints,
    dump: Dump<'a>,
    /// A section is open and takes the next lines.
    open: bool,
    /// The open section began with `*table` and ends with COMMIT.
    saved: bool,
    /// A table ended without COMMIT where another began.
    lacks_commits: bool,
    /// What the last header or echoed command told of the sections behind it.
    said: Hints,
    /// The chain of the rule just before, to extend its run.
    last: Option<usize>,
    /// The chain of an `-L` listing the next rows belong to, with its columns.
    listed: Option<(usize, Option<Columns>)>,
    /// What the open section lacks if more lines of the dump come.
    doubt: Option<Lacks>,
    /// How the lines of the listing stand.
    spacing: Spacing,
    /// The chain of this line if it is a row, and that of the line before if that was one, to extend its run.
    row: Option<usize>,
    row_before: Option<usize>,
    /// How often the headings of the open section say that rules lead to its chains.
    references: u64,
}

impl<'a> Scanner<'a> {
    fn new(text: &'a str, hints: Hints) -> Self {
        let dump = Dump { sections: Vec::new(), unread: Vec::new(), unread_count: 0, generated: None };
        Self {
            text,
            hints,
            dump,
            open: false,
            saved: false,
            lacks_commits: false,
            said: hints,
            last: None,
            listed: None,
            doubt: None,
            spacing: Spacing::Single,
            row: None,
            row_before: None,
            references: 0,
        }
    }

    fn run(&mut self) {
        let bytes = self.text.as_bytes();
        let mut start = if self.text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        let mut line = 0;
        while start < bytes.len() {
            let end = memchr(b'\n', &bytes[start..]).map_or(bytes.len(), |n| start + n);
            line += 1;
            if !self.continues_run(&bytes[start..end]) {
                self.line(start, end, line);
            }
            start = end + 1;
        }
        self.end(line);
    }

    /// The end of the text, which has so many lines. A table without its COMMIT, and a file that does not end with its line, may
    /// have lost more than the end of that line. Of a table that goes on a rule without the end of its line is none: what is
    /// left of it may name another chain, address or port.
    fn end(&mut self, lines: u32) {
        let unfinished = !self.text.ends_with('\n');
        let without_commit = self.saved && !self.lacks_commits;
        // The names of the columns follow the heading of a chain, in a listing that has them.
        let at_heading = self.is_at_heading();
        if let Some(section) =
            self.dump.sections.last_mut().filter(|_| self.open && self.hints.provenance == Provenance::Saved)
        {
            let start = memrchr(b'\n', self.text.as_bytes()).map_or(0, |end| end + 1);
            let half = if unfinished { section.rule_in_last_line(lines, start) } else { None };
            let is_half = half.is_some_and(|raw| section.is_cut(&raw));
            let empty = unfinished && section.only_empty_behind() || section.many_empty_behind();
            // Counting them takes its time, and a table that is to be closed is counted once.
            let told = std::mem::take(&mut self.references);
            let at_heading = at_heading && section.chains.iter().any(|chain| chain.entire);
            let broken_off = !self.saved && (is_half || empty || at_heading || section.lacks_references(told));
            section.cut_off = without_commit || broken_off;
            if let Some(raw) = half.filter(|_| section.cut_off) {
                section.take_last_back();
                self.unread(raw.text.trim_ascii(), raw.line, Why::Cut);
            }
        }
        self.close();
    }

    /// Most lines are `-A` rules of the chain the line before was of; true if this is one, and it is counted then.
    fn continues_run(&mut self, line: &[u8]) -> bool {
        let (Some(id), Some(section)) = (self.last, self.dump.sections.last_mut()) else { return false };
        let Some(rest) = line.strip_prefix(b"-A ") else { return false };
        let name = section.chains[id].name.as_bytes();
        if section.family.is_none() || rest.get(name.len()) != Some(&b' ') || !rest.starts_with(name) {
            return false;
        }
        section.rules += 1;
        section.extend_last(id);
        true
    }

    fn line(&mut self, start: usize, end: usize, number: u32) {
        let whole = &self.text[start..end];
        let line = whole.trim_ascii();
        self.row_before = self.row.take();
        match line.as_bytes() {
            [] => self.blank(),
            // A chain kube-proxy's restore input wants deleted.
            [b'-', b'X', b' ', ..] => self.last = None,
            b"--" if whole.starts_with("--") => self.apart(),
            [b'-', b'A', b' ', ..] => self.rule(&line[3..], start, number),
            [b'[', ..] => match line.find("] -A ") {
                Some(at) => self.rule(&line[at + 5..], start, number),
                None => self.other(line, start, number),
            },
            [b':', ..] => {
                let mut words = line[1..].split_ascii_whitespace();
                let name = words.next().unwrap_or_default();
                let policy = words.next().filter(|policy| *policy != "-");
                self.declare(name, policy);
            }
            [b'-', b'N', b' ', ..] => self.declare(line[3..].trim_ascii(), None),
            [b'-', b'P', b' ', ..] => {
                let (name, rest) = line[3..].split_once(' ').unwrap_or((&line[3..], ""));
                self.declare(name, Some(rest.split_ascii_whitespace().next().unwrap_or_default()));
            }
            [b'*', ..] => self.table(&line[1..]),
            [b'#', ..] => self.comment(line, number),
            b"COMMIT" => self.commit(),
            _ => self.other(line, start, number),
        }
    }

    /// `-A`: `body` begins with the chain's name.
    fn rule(&mut self, body: &'a str, start: usize, number: u32) {
        let body = body.trim_ascii_start();
        let name = &body[..memchr(b' ', body.as_bytes()).unwrap_or(body.len())];
        if self.open && !self.saved && self.section().is_bare() {
            // Rules of both families, one behind the other, and nothing else to part them.
            let (known, now) = (self.section().family, family_of(body));
            if known.is_some() && now.is_some() && known != now {
                self.close();
                self.said.family = None;
            }
        }
        let last = self.last;
        self.goes_on();
        let section = self.section();
        section.rules += 1;
        if section.family.is_none() {
            section.family = family_of(body);
            section.commented = section.commented.or_else(|| commented_family(body));
        }
        if let Some(id) = last.filter(|&id| section.chains[id].name == name) {
            section.extend_last(id);
            return;
        }
        let id = section.intern(name);
        section.add(id, Run { start: offset(start), line: number, count: 1, form: Form::Append });
        self.last = Some(id);
    }

    /// A chain of `-S` or `iptables-save`. Declared twice, it belongs to another table.
    fn declare(&mut self, name: &'a str, policy: Option<&'a str>) {
        self.last = None;
        self.listed = None;
        // A table's declarations stand before its rules, and no policy comes twice: if one does, another table begins.
        // A transcript that fetches one table chain by chain says which table it is, and may fetch one again.
        let is_transcript = !self.saved && self.said.table.is_some();
        if self.open && !is_transcript && self.section().rules > 0 {
            let is_sorted = policy.is_none() && self.section().has_rules_of_undeclared(name);
            if is_sorted {
                self.lacks(Lacks::Order);
            } else if !self.saved {
                self.close();
            }
        }
        if !self.section().declare(name, policy, true) && !self.saved && policy.is_some() {
            self.close();
            self.section().declare(name, policy, true);
        }
        self.goes_on();
    }

    fn table(&mut self, name: &str) {
        self.close();
        let table = TableName::parse(name.trim_ascii()).or(self.hints.table);
        let hints = Hints { table, table_guessed: false, ..self.said };
        self.begin(hints);
        self.saved = true;
    }

    fn commit(&mut self) {
        if self.open {
            if !self.saved {
                self.lacks(Lacks::Beginning);
            }
            self.section().complete = true;
        }
        self.saved = false;
        self.close();
        // iptables-save writes its header before every table.
        self.said = self.hints;
    }

    fn comment(&mut self, line: &'a str, number: u32) {
        self.last = None;
        if let Some((family, backend)) = names::generated(line) {
            self.close();
            self.said.family = Some(family);
            self.said.backend = Some(backend);
            self.dump.generated = self.dump.generated.or(names::generated_at(line));
        } else if line[1..].trim_ascii_start().starts_with("Warning") {
            self.unread(line, number, Why::Warning);
        } else {
            // `# iptables -S`: the prompt of root. Other comments say nothing to us.
            self.echoed_command(line[1..].trim_ascii_start());
        }
    }

    /// A line such as `root@node:~# ip6tables -t filter -S` tells what follows it; true if this is one. What was shown
    /// before goes on if it can be of the same table: rules are often fetched chain by chain.
    fn echoed_command(&mut self, line: &str) -> bool {
        let Some(said) = command_line(line, self.hints) else { return false };
        // Inside *table … COMMIT such a line is somebody's remark.
        if self.saved {
            return true;
        }
        if said != self.said {
            self.close();
        }
        (self.last, self.listed) = (None, None);
        self.said = said;
        true
    }

    fn unread(&mut self, line: &'a str, number: u32, why: Why) {
        self.dump.unread_count += 1;
        if self.dump.unread.len() < KEEP_UNREAD {
            self.dump.unread.push(Unread { line: number, text: line, why });
        }
    }

    fn begin(&mut self, hints: Hints) {
        let mut section = Section::new(self.text, hints);
        // The first tables only: a hostile text may begin a table in every line.
        if self.dump.sections.len() < ROOMY_SECTIONS {
            section.reserve(self.text.len());
        }
        self.dump.sections.push(section);
        self.references = 0;
        self.open = true;
    }

    /// The open section, or a new one without a `*table` line.
    fn section(&mut self) -> &mut Section<'a> {
        if !self.open {
            self.begin(self.said);
            self.saved = false;
        }
        let last = self.dump.sections.len() - 1;
        &mut self.dump.sections[last]
    }

    fn close(&mut self) {
        (self.last, self.listed) = (None, None);
        if !std::mem::take(&mut self.open) {
            return;
        }
        // Another table behind one without COMMIT: somebody took all of them out, and no table is cut off for that.
        self.lacks_commits |= std::mem::take(&mut self.saved);
        if let Some(section) = self.dump.sections.last_mut() {
            section.finish();
            section.complete = section.complete && !section.lacks_references(self.references);
        }
    }
}

/// A place in the text. [`Dump::MAX_BYTES`] keeps it below 2^32.
fn offset(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}
