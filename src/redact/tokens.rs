//! A line as the blanks and words it is made of, so that words can be replaced and the rest stays.

/// A word with the blanks before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token<'l> {
    pub(super) blank: &'l str,
    /// As it stands, with its quotes.
    pub(super) text: &'l str,
    /// What is between its quotes, if it has them.
    pub(super) quoted: Option<&'l str>,
    /// False if the line ends before its quotes do.
    pub(super) closed: bool,
}

/// The words of a line. A backslash before a quote keeps that from ending the word where there are `escapes`.
pub(super) fn of(line: &str, escapes: bool) -> impl Iterator<Item = Token<'_>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.find(|c: char| !c.is_whitespace()).unwrap_or(rest.len());
        let (blank, word) = rest.split_at(start);
        if word.is_empty() {
            rest = "";
            return (!blank.is_empty()).then_some(Token { blank, text: "", quoted: None, closed: true });
        }
        let Some(inner) = word.strip_prefix('"') else {
            let end = word.find(char::is_whitespace).unwrap_or(word.len());
            rest = &word[end..];
            return Some(Token { blank, text: &word[..end], quoted: None, closed: true });
        };
        let end = closing(inner, escapes);
        let quoted = &inner[..end.unwrap_or(inner.len())];
        let length = 1 + quoted.len() + usize::from(end.is_some());
        rest = &word[length..];
        Some(Token { blank, text: &word[..length], quoted: Some(quoted), closed: end.is_some() })
    })
}

/// Where the quote stands that ends the word.
fn closing(inner: &str, escapes: bool) -> Option<usize> {
    let mut behind_backslash = false;
    inner.bytes().position(|byte| {
        let closes = byte == b'"' && !behind_backslash;
        behind_backslash = escapes && byte == b'\\' && !behind_backslash;
        closes
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_blanks_are_the_line() {
        for line in
            [r#"  -A X --comment "a \"b\" c" -j  Y "#, "", "   ", r#"iifname { "a", "b" }"#, r#"x "open \" end"#]
        {
            for escapes in [true, false] {
                let again: String = of(line, escapes).flat_map(|token| [token.blank, token.text]).collect();
                assert_eq!(again, line);
            }
        }
        let quoted = |line, escapes| of(line, escapes).find_map(|token| token.quoted).map(str::to_owned);
        assert_eq!(quoted(r#"a "b \" c" d"#, true).as_deref(), Some(r#"b \" c"#));
        assert_eq!(quoted(r#"a "b \" c" d"#, false).as_deref(), Some(r"b \"));
        assert!(of("\"open", true).any(|token| !token.closed));
    }
}
