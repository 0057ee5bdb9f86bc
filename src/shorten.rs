//! The beginning of a text that may have no end: what is told of a line, an answer or a name of somebody else's.

use std::borrow::Cow;

/// The first `most` characters of `text`, with an ellipsis where there are more.
pub(crate) fn shortened(text: &str, most: usize) -> Cow<'_, str> {
    match text.char_indices().nth(most) {
        Some((end, _)) => Cow::Owned(format!("{}…", &text[..end])),
        None => Cow::Borrowed(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_longer_is_cut_and_between_characters() {
        assert_eq!(shortened("", 0), "");
        assert_eq!(shortened("äöü", 3), "äöü");
        assert_eq!(shortened("äöü", 2), "äö…");
        assert_eq!(shortened("x", 0), "…");
    }
}
