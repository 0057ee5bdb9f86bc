//! Making text fit for a terminal: nothing in it can steer the terminal, and shares and widths look alike everywhere.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use crate::shorten::shortened;

/// Cells of a full bar.
const BAR: f64 = 10.0;

/// `text` with everything escaped that a terminal would act on or that would change the order of what is read: control
/// characters, bidirectional marks, invisible format characters.
pub fn clean(text: &str) -> Cow<'_, str> {
    let is_plain = text.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_plain || !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_unsafe(c) {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(c));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// `text` without its styles, piece by piece. No other escape is in what is printed: see [`clean`].
pub fn unstyled(text: &str) -> impl Iterator<Item = &str> {
    let mut pieces = text.split('\u{1b}');
    // A style is `ESC [ … m` (ECMA-48, SGR).
    let first = pieces.next().into_iter();
    first.chain(pieces.map(|piece| piece.split_once('m').map_or("", |(_, text)| text)))
}

/// True for characters that must not reach a terminal as they are: they steer it, part lines, or are not seen, so that two names
/// would look alike (Default_Ignorable_Code_Point of Unicode 17, DerivedCoreProperties.txt; blanks that are no space; format
/// controls of hieroglyphs; what is no character).
pub(super) fn is_unsafe(c: char) -> bool {
    c.is_control()
        || c.is_whitespace() && c != ' '
        || matches!(c,
            '\u{2800}' | '\u{13430}'..='\u{1343f}' | '\u{fffe}' | '\u{ffff}'
            | '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

/// `text` as a cell of a table has it: clean, and only the beginning of what is longer than any name of Kubernetes (253
/// characters). The library of tables goes through a cell once for every 65,535 columns of it.
pub(super) fn for_cell(text: &str) -> Cow<'_, str> {
    const LONGEST: usize = 1024;
    match clean(text) {
        Cow::Borrowed(text) => shortened(text, LONGEST),
        Cow::Owned(text) => Cow::Owned(shortened(&text, LONGEST).into_owned()),
    }
}

/// A share of connections, eight columns wide: ` 33.33 %`.
pub(super) fn percent(part: Option<f64>) -> String {
    let words = part.map_or_else(|| "? %".to_owned(), crate::dataplane::percent);
    format!("{words:>8}")
}

/// A share as a bar of up to ten cells, always ten columns wide.
pub(super) fn bar(part: Option<f64>) -> String {
    const EIGHTHS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];
    let eighths = (part.unwrap_or(0.0).clamp(0.0, 1.0) * BAR * 8.0).round();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 80")]
    let eighths = (eighths as usize).max(usize::from(part.is_some_and(|p| p > 0.0)));
    let mut bar = "█".repeat(eighths / 8);
    if eighths % 8 > 0 {
        bar.push(EIGHTHS[eighths % 8]);
    }
    let cells = bar.chars().count();
    bar + &" ".repeat(10 - cells)
}

/// Breaks `text` at blanks into lines of at most `width` columns; a longer word stands alone.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    // No character has more columns than bytes.
    if text.len() <= width && !text.starts_with(' ') {
        return vec![text.to_owned()];
    }
    let (mut lines, mut line, mut columns) = (Vec::new(), String::new(), 0);
    for word in text.split(' ') {
        let more = word.width();
        if columns > 0 && columns + 1 + more > width {
            lines.push(std::mem::take(&mut line));
            columns = 0;
        }
        if !line.is_empty() {
            line.push(' ');
            columns += 1;
        }
        line.push_str(word);
        columns += more;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_has_the_beginning_of_what_has_no_end() {
        let name = "n".repeat(1024);
        assert_eq!(for_cell(&name), name);
        assert_eq!(for_cell(&format!("{name}n")), format!("{name}…"));
        assert_eq!(for_cell("a\u{202e}b"), "a\\u{202e}b");
    }

    #[test]
    fn nothing_can_steer_the_terminal() {
        assert_eq!(clean("plain é 日本"), "plain é 日本");
        assert_eq!(clean("\u{1b}[31mred\u{7}"), "\\u{1b}[31mred\\u{7}");
        assert_eq!(clean("a\u{202e}b\u{200b}c\u{9b}d\n"), "a\\u{202e}b\\u{200b}c\\u{9b}d\\u{a}");
    }

    #[test]
    fn styles_can_be_left_out() {
        use super::super::palette::{DIM, ERROR, paint};
        let styled = format!("{}a m {}é{}", paint("web", ERROR), paint("", DIM), paint("m", DIM));
        assert_eq!(styled.matches('\u{1b}').count(), 6);
        assert_eq!(unstyled(&styled).collect::<String>(), "weba m ém");
        assert_eq!(unstyled("no style").collect::<String>(), "no style");
    }

    #[test]
    fn lines_break_at_blanks() {
        for (text, width, lines) in [
            ("a bb ccc", 80, vec!["a bb ccc"]),
            ("a bb ccc", 8, vec!["a bb ccc"]),
            ("a bb ccc", 7, vec!["a bb", "ccc"]),
            ("a bb ccc", 1, vec!["a", "bb", "ccc"]),
            // Two columns each, in three bytes.
            ("日本 日本", 9, vec!["日本 日本"]),
            ("日本 日本", 8, vec!["日本", "日本"]),
            ("", 8, vec![""]),
        ] {
            assert_eq!(wrap(text, width), lines, "{text} {width}");
        }
    }

    #[test]
    fn shares_are_eight_columns_wide() {
        for (part, text) in [
            (Some(1.0 / 3.0), " 33.33 %"),
            (Some(1.0), "100.00 %"),
            (Some(0.0), "  0.00 %"),
            (Some(0.000_01), " <0.01 %"),
            (Some(0.999_999), ">99.99 %"),
            (None, "     ? %"),
        ] {
            assert_eq!(percent(part), text);
            assert_eq!(percent(part).chars().count(), 8);
        }
    }

    #[test]
    fn bars_grow_by_eighths() {
        assert_eq!(bar(Some(0.333)), "███▍      ");
        assert_eq!(bar(Some(1.0)), "██████████");
        assert_eq!(bar(Some(0.000_1)), "▏         ");
        assert_eq!(bar(Some(0.0)), "          ");
        assert_eq!(bar(None), "          ");
    }

    #[test]
    fn long_text_breaks_at_blanks() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaa b", 5), ["aaaaaaaa", "b"]);
        assert_eq!(wrap("", 5), [""]);
    }
}
