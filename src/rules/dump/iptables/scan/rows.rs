//! The rows of `iptables -L`: each belongs to the chain whose heading stands above it, as far as that is there.

use super::super::around::{family_of, is_log, is_prompt};
use super::super::listing::{self, Columns};
use super::super::lost::{Lacks, may_hold};
use super::super::section::{Form, Run};
use super::{Scanner, Why, offset};

/// Whether blank lines part the chains of a listing, as iptables writes them, or all its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Spacing {
    Single,
    Double,
}

impl<'a> Scanner<'a> {
    /// A blank line ends a chain of `-L`, unless every line has one behind it.
    pub(super) fn blank(&mut self) {
        self.last = None;
        match self.listed {
            Some((_, None)) => self.spacing = Spacing::Double,
            Some(_) if self.spacing == Spacing::Single => self.listed = None,
            _ => {}
        }
    }

    /// What grep puts between the places it found with the lines around them. It ends with none.
    pub(super) fn apart(&mut self) {
        (self.last, self.listed) = (None, None);
        self.doubt = Some(Lacks::Lines);
    }

    /// Lines are missing here.
    fn gap(&mut self) {
        (self.last, self.listed) = (None, None);
        self.lacks(Lacks::Lines);
    }

    /// The open section lacks something.
    pub(super) fn lacks(&mut self, what: Lacks) {
        if self.open {
            let section = self.section();
            section.lacks = section.lacks.max(what);
        }
    }

    /// A line of the dump stands here, maybe behind what grep puts between places.
    pub(super) fn goes_on(&mut self) {
        if let Some(what) = self.doubt.take() {
            self.lacks(what);
        }
    }

    /// True below the heading of a chain, before the names of the columns.
    pub(super) fn is_at_heading(&self) -> bool {
        matches!(self.listed, Some((_, None)))
    }

    /// What is neither rule nor header: a row or heading of `-L`, or no part of a dump.
    pub(super) fn other(&mut self, line: &'a str, start: usize, number: u32) {
        if let Some((name, policy)) = listing::chain_heading(line) {
            self.list_chain(name, policy);
            self.references = self.references.saturating_add(listing::references(line));
            return;
        }
        if let Some((id, columns)) = self.listed {
            if let Some(found) = Columns::of_heading(line) {
                if columns.is_some() {
                    // The heading of another chain is gone.
                    return self.gap();
                }
                (self.last, self.listed) = (None, Some((id, Some(found))));
                self.section().chains[id].entire = true;
                return;
            }
            let chain = self.section().chains[id].name;
            let fits =
                |guessed: Columns| columns.is_some() || may_hold(chain, guessed.target(line).unwrap_or_default());
            if let Some(columns) = columns.or_else(|| Columns::guess(line)).filter(|columns| fits(*columns))
                && listing::is_row(line)
            {
                self.list_rule(id, columns, line, start, number);
                if self.is_at_heading() {
                    self.lacks(Lacks::Rows);
                }
                return;
            }
        }
        self.last = None;
        let around = self.echoed_command(line) || is_prompt(line) || is_log(line);
        if !around && self.references > 0 && listing::is_row(line) && Columns::guess(line).is_some() {
            // Whose row it is stood in a line that is missing.
            self.gap();
        }
        self.unread(line, number, if around { Why::Around } else { Why::Unknown });
    }

    fn list_chain(&mut self, name: &'a str, policy: Option<&'a str>) {
        self.last = None;
        if self.saved {
            self.close();
        }
        self.goes_on();
        if self.is_at_heading() {
            self.lacks(Lacks::Rows);
        }
        if !self.section().declare(name, policy, false) {
            self.close();
            self.section().declare(name, policy, false);
        }
        let id = self.section().intern(name);
        self.listed = Some((id, None));
    }

    fn list_rule(&mut self, id: usize, columns: Columns, line: &'a str, start: usize, number: u32) {
        let extends = self.row_before == Some(id);
        // What is written as -S has it goes on in a run of its own.
        (self.last, self.row) = (None, Some(id));
        let section = self.section();
        section.rules += 1;
        if section.family.is_none() {
            section.family = family_of(line);
        }
        if extends {
            section.extend_last(id);
        } else {
            section.add(id, Run { start: offset(start), line: number, count: 1, form: Form::Listing(columns) });
        }
    }
}
