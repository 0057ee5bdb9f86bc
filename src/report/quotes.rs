//! Lines of the dumps that findings name, found in one pass over each text.

use std::borrow::Cow;

use hashbrown::HashMap;
use memchr::memchr_iter;

use crate::dataplane::RuleRef;
use crate::order::Order as _;

/// Bytes of a line that are quoted. A line may be as long as the text, and every finding may quote it.
const QUOTED: usize = 4096;

/// The lines, by where they stand.
#[derive(Debug, Default)]
pub struct Quotes<'q> {
    lines: HashMap<RuleRef, Quote<'q>>,
}

/// A line of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quote<'q> {
    /// What the text is called.
    pub from: &'q str,
    /// The whole line.
    line: &'q str,
}

impl<'q> Quote<'q> {
    /// The line, without what is beyond the bytes that are quoted.
    pub fn text(&self) -> Cow<'q, str> {
        if self.line.len() <= QUOTED {
            return Cow::Borrowed(self.line);
        }
        Cow::Owned(format!("{}…", &self.line[..self.line.floor_char_boundary(QUOTED)]))
    }
}

impl<'q> Quotes<'q> {
    /// Finds the lines that `rules` name in `texts`, each given with its label.
    pub fn of(texts: impl Iterator<Item = (&'q str, &'q str)>, rules: impl Iterator<Item = RuleRef>) -> Self {
        let mut wanted: Vec<RuleRef> = rules.collect();
        wanted.order();
        wanted.dedup();
        let mut lines = HashMap::with_capacity(wanted.len());
        for ((from, text), number) in texts.zip(0u16..) {
            let start = wanted.partition_point(|rule| rule.text < number);
            let mut open = wanted[start..].iter().take_while(|rule| rule.text == number).peekable();
            let (mut line, mut at) = (1, 0);
            let ends = memchr_iter(b'\n', text.as_bytes()).chain([text.len()]);
            for end in ends {
                let Some(next) = open.peek() else { break };
                if next.line == line {
                    lines.insert(**next, Quote { from, line: text[at..end].trim() });
                    open.next();
                }
                line += 1;
                at = (end + 1).min(text.len());
            }
        }
        Self { lines }
    }

    /// The line a rule stands in.
    pub fn get(&self, rule: RuleRef) -> Option<Quote<'q>> {
        self.lines.get(&rule).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_searched_for_its_own_lines() {
        let rule = |text, line| RuleRef { text, line };
        let texts = [("a", "one\n two\r\nthree"), ("b", "four\n")];
        let wanted = [rule(1, 1), rule(0, 2), rule(0, 3), rule(0, 2), rule(1, 9), rule(7, 1)];
        let quotes = Quotes::of(texts.into_iter(), wanted.into_iter());
        assert_eq!(quotes.get(rule(0, 2)), Some(Quote { from: "a", line: "two" }));
        assert_eq!(quotes.get(rule(0, 3)), Some(Quote { from: "a", line: "three" }));
        assert_eq!(quotes.get(rule(1, 1)), Some(Quote { from: "b", line: "four" }));
        assert_eq!([quotes.get(rule(1, 9)), quotes.get(rule(7, 1)), quotes.get(rule(0, 1))], [None; 3]);
    }

    #[test]
    fn a_long_line_is_cut_between_two_characters() {
        let quoted = |line: &str| Quote { from: "a", line }.text().into_owned();
        let fits = "x".repeat(QUOTED);
        assert_eq!(quoted(&fits), fits);
        assert_eq!(quoted(&format!("{fits}y")), format!("{fits}…"));
        assert_eq!(quoted(&format!("x{}", "é".repeat(QUOTED))), format!("x{}…", "é".repeat(QUOTED / 2 - 1)));
    }
}
