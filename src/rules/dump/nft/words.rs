//! Words of a listing.

/// The next word of `text` and what follows it. A quoted string is one word without its quotes; braces are words, and so
/// are a comma or semicolon at the end of a word.
pub(super) fn next(text: &str) -> Option<(Word<'_>, &str)> {
    let text = text.trim_start();
    let first = text.chars().next()?;
    if first == '"' {
        let inner = &text[1..];
        let end = inner.find('"').unwrap_or(inner.len());
        return Some((Word::Quoted(&inner[..end]), inner.get(end + 1..).unwrap_or_default()));
    }
    if matches!(first, '{' | '}' | ',' | ';') {
        return Some((Word::Plain(&text[..1]), &text[1..]));
    }
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let word = text[..end].trim_end_matches([',', ';']);
    // `{1,2}` comes from people, never from nft; a brace in the middle of a name is part of it.
    let word = if word.len() > 1 { word.trim_end_matches('}') } else { word };
    Some((Word::Plain(word), &text[word.len()..]))
}

/// A word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Word<'a> {
    /// As it stands.
    Plain(&'a str),
    /// What stood between quotes.
    Quoted(&'a str),
}

impl<'a> Word<'a> {
    pub(super) fn text(self) -> &'a str {
        match self {
            Self::Plain(text) | Self::Quoted(text) => text,
        }
    }
}

/// Words with the place where each begins, for statements that are kept as they stand.
#[derive(Debug, Clone)]
pub(super) struct Words<'a> {
    rest: &'a str,
}

impl<'a> Words<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self { rest: text }
    }

    /// The next word, which stays.
    pub(super) fn peek(&self) -> Option<&'a str> {
        next(self.rest).map(|(word, _)| word.text())
    }

    /// The next word, if it is this one.
    pub(super) fn eat(&mut self, wanted: &str) -> bool {
        match next(self.rest) {
            Some((Word::Plain(word), rest)) if word == wanted => {
                self.rest = rest;
                true
            }
            _ => false,
        }
    }

    /// All that is left.
    pub(super) fn rest(&self) -> &'a str {
        self.rest.trim()
    }

    /// What was passed since `from`.
    pub(super) fn since(&self, from: &Self) -> &'a str {
        from.rest[..from.rest.len() - self.rest.len()].trim()
    }

    /// Passes what stands up to the brace that closes one already passed, and gives it.
    pub(super) fn block(&mut self) -> Option<&'a str> {
        let from = self.clone();
        let mut open = 1;
        loop {
            let before = self.clone();
            match next(self.rest)? {
                (Word::Plain("{"), rest) => (open, self.rest) = (open + 1, rest),
                (Word::Plain("}"), rest) => {
                    open -= 1;
                    self.rest = rest;
                    if open == 0 {
                        return Some(before.since(&from));
                    }
                }
                (_, rest) => self.rest = rest,
            }
        }
    }
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let (word, rest) = next(self.rest)?;
        self.rest = rest;
        Some(word.text())
    }
}

/// The items of a list between braces, at commas outside of quotes.
pub(super) fn items(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let mut quoted = false;
        let end = rest.bytes().position(|byte| {
            quoted ^= byte == b'"';
            byte == b',' && !quoted
        });
        let item = &rest[..end.unwrap_or(rest.len())];
        let last = end.is_none();
        if last && item.trim().is_empty() {
            return None;
        }
        rest = end.map_or("", |end| &rest[end + 1..]);
        Some(item.trim())
    })
    .filter(|item| !item.is_empty())
}

/// `10m`, `2h30m`, `1d`, `45s`, `9m5s250ms`: whole seconds.
pub(super) fn seconds(text: &str) -> Option<u32> {
    let (mut milliseconds, mut number) = (0u64, None::<u64>);
    let mut chars = text.char_indices().peekable();
    while let Some((_, c)) = chars.next() {
        if let Some(digit) = c.to_digit(10) {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(digit.into())?);
            continue;
        }
        let unit = match (c, chars.peek()) {
            ('m', Some((_, 's'))) => {
                chars.next();
                1
            }
            ('d', _) => 86_400_000,
            ('h', _) => 3_600_000,
            ('m', _) => 60_000,
            ('s', _) => 1000,
            _ => return None,
        };
        milliseconds = milliseconds.checked_add(number.take()?.checked_mul(unit)?)?;
    }
    let bare = number.map_or(Some(0), |number| number.checked_mul(1000))?;
    u32::try_from(milliseconds.checked_add(bare)? / 1000).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_seconds() {
        for (text, wanted) in [
            ("10m", Some(600)),
            ("2h30m", Some(9000)),
            ("1d", Some(86_400)),
            ("9m5s250ms", Some(545)),
            ("45", Some(45)),
            ("m", None),
            ("5x", None),
        ] {
            assert_eq!(seconds(text), wanted, "{text}");
        }
    }

    #[test]
    fn items_end_at_commas_outside_of_quotes() {
        let all: Vec<_> = items("a . b comment \"x, y\" : goto c, d , ").collect();
        assert_eq!(all, ["a . b comment \"x, y\" : goto c", "d"]);
    }

    #[test]
    fn blocks_nest() {
        let mut words = Words::of("a { b } c } d");
        assert_eq!(words.block(), Some("a { b } c"));
        assert_eq!(words.rest(), "d");
        assert_eq!(Words::of("a { b }").block(), None);
    }
}
