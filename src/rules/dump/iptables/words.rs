//! Splits a rule into words the way iptables quotes them.
//!
//! `xtables_save_string` (iptables, libxtables/xtables.c) writes a value bare if it holds only letters, digits, `-` and
//! `_`, otherwise in double quotes with a backslash before `"`, `\` and `'`.

use std::borrow::Cow;

use super::error::RuleError;
use super::rule::Word;

/// The words of one line with their positions.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    line: &'a str,
    at: usize,
}

impl<'a> Words<'a> {
    /// Starts at byte `at` of `line`.
    pub(super) fn new(line: &'a str, at: usize) -> Self {
        Self { line, at }
    }

    /// Byte offset of the next word.
    pub(super) fn position(&mut self) -> usize {
        let bytes = self.line.as_bytes();
        while self.at < bytes.len() && is_blank(bytes[self.at]) {
            self.at += 1;
        }
        self.at
    }

    /// What is left from the next word on.
    pub(super) fn ahead(&mut self) -> &'a [u8] {
        self.text_ahead().as_bytes()
    }

    /// The same as text.
    pub(super) fn text_ahead(&mut self) -> &'a str {
        let at = self.position();
        &self.line[at..]
    }

    /// True if the next word is a bare `!`.
    pub(super) fn at_not(&mut self) -> bool {
        matches!(self.ahead(), [b'!', blank, ..] if is_blank(*blank))
    }

    /// The next word, or `None` at the end of the line.
    pub(super) fn next(&mut self) -> Result<Option<Word<'a>>, RuleError> {
        let start = self.position();
        let bytes = self.line.as_bytes();
        match bytes.get(start) {
            None => return Ok(None),
            Some(b'"') => return self.quoted(start).map(Some),
            Some(_) => {}
        }
        let mut end = start + 1;
        while end < bytes.len() && !is_blank(bytes[end]) {
            end += 1;
        }
        self.at = end;
        Ok(Some(Word { text: Cow::Borrowed(&self.line[start..end]), quoted: false }))
    }

    /// The next word without taking it. A word whose quotes never close is none.
    pub(super) fn peek(&self) -> Option<Word<'a>> {
        self.clone().next().ok().flatten()
    }

    /// The next word, which must be there; `expected` says what it is.
    pub(super) fn expect(&mut self, expected: &'static str) -> Result<Word<'a>, RuleError> {
        match self.next()? {
            Some(word) => Ok(word),
            None => Err(RuleError::new(self.at, expected, None)),
        }
    }

    /// Goes on where `left`, the end of the line, begins.
    pub(super) fn go_to(&mut self, left: &str) {
        self.at = self.line.len() - left.len();
    }

    /// Everything that is left, without blanks at its ends.
    pub(super) fn rest(&mut self) -> &'a str {
        let start = self.position();
        self.at = self.line.len();
        self.line[start..].trim_end()
    }

    /// Goes on at byte `at` of the line.
    pub(super) fn seek(&mut self, at: usize) {
        self.at = at;
    }

    fn quoted(&mut self, start: usize) -> Result<Word<'a>, RuleError> {
        let inner = &self.line[start + 1..];
        let mut owned: Option<String> = None;
        let mut from = 0;
        let mut at = 0;
        let bytes = inner.as_bytes();
        while let Some(step) = memchr::memchr2(b'"', b'\\', &bytes[at..]) {
            let here = at + step;
            if bytes[here] == b'"' {
                self.at = start + 1 + here + 1;
                let text = match owned {
                    None => Cow::Borrowed(&inner[..here]),
                    Some(mut text) => {
                        text.push_str(&inner[from..here]);
                        Cow::Owned(text)
                    }
                };
                return Ok(Word { text, quoted: true });
            }
            owned.get_or_insert_default().push_str(&inner[from..here]);
            // The escaped byte itself is taken over as it is, whatever it is.
            from = here + 1;
            at = (here + 2).min(bytes.len());
            while !inner.is_char_boundary(at) {
                at += 1;
            }
        }
        Err(RuleError::new(self.line.len(), "a closing quote", None))
    }
}

/// True for what parts words. iptables itself knows blanks and tabs; files that were handled by other programs have more, and no
/// word of iptables has any of them outside of quotes.
pub(super) fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

/// Writes `text` as `xtables_save_string` would.
pub(super) fn quote(text: &str, out: &mut String) {
    let bare = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    if !text.is_empty() && text.bytes().all(bare) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\' | '\'') {
            out.push('\\');
        }
        out.push(c);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        let mut words = Words::new(line, 0);
        let mut all = Vec::new();
        while let Some(word) = words.next().expect("closed quotes") {
            all.push(word.text.into_owned());
        }
        all
    }

    #[test]
    fn blanks_part_words_and_quotes_hold_them_together() {
        assert_eq!(words(r#"-m  comment --comment "a b"  -j X"#), ["-m", "comment", "--comment", "a b", "-j", "X"]);
    }

    #[test]
    fn line_ends_of_other_systems_part_words_too() {
        assert_eq!(words("-j\tX\u{c} --to\r\r Y\u{c}"), ["-j", "X", "--to", "Y"]);
    }

    #[test]
    fn backslashes_escape_inside_quotes() {
        assert_eq!(words(r#""say \"hi\" it\'s \\ fine""#), [r#"say "hi" it's \ fine"#]);
        assert_eq!(words(r#""é\é""#), ["éé"]);
    }

    #[test]
    fn an_empty_value_is_a_word() {
        assert_eq!(words(r#"--comment "" -j X"#), ["--comment", "", "-j", "X"]);
    }

    #[test]
    fn quote_open_at_the_end_is_an_error_with_its_column() {
        let error = Words::new(r#""abc\""#, 0).next().expect_err("no closing quote");
        assert_eq!(error.to_string(), "column 7: expected a closing quote, found the end of the line");
    }

    #[test]
    fn quoting_is_read_back() {
        for text in ["plain", "two words", "it's", r#"a"b"#, r"back\slash", "", "ns/name:port", "é"] {
            let mut line = String::new();
            quote(text, &mut line);
            assert_eq!(words(&line), [text]);
        }
    }
}
