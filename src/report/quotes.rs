//! Lines of the dumps that findings name, found in one pass over each text.

use hashbrown::HashMap;
use memchr::memchr_iter;

use crate::dataplane::RuleRef;

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
    /// The line.
    pub text: &'q str,
}

impl<'q> Quotes<'q> {
    /// Finds the lines that `rules` name in `texts`, each given with its label.
    pub fn of(texts: impl Iterator<Item = (&'q str, &'q str)>, rules: impl Iterator<Item = RuleRef>) -> Self {
        let mut wanted: Vec<RuleRef> = rules.collect();
        wanted.sort_unstable();
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
                    lines.insert(**next, Quote { from, text: text[at..end].trim() });
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
        assert_eq!(quotes.get(rule(0, 2)), Some(Quote { from: "a", text: "two" }));
        assert_eq!(quotes.get(rule(0, 3)), Some(Quote { from: "a", text: "three" }));
        assert_eq!(quotes.get(rule(1, 1)), Some(Quote { from: "b", text: "four" }));
        assert_eq!([quotes.get(rule(1, 9)), quotes.get(rule(7, 1)), quotes.get(rule(0, 1))], [None; 3]);
    }
}
