//! A text that is redrawn in place on a terminal, with what changed marked.

use std::fmt::Write as _;

use hashbrown::HashMap;
use unicode_width::UnicodeWidthChar;

use super::palette::{DIM, NOTE, paint};
use super::text::clean;

/// Stands before a line that the text before did not have.
const MARK: &str = "▶ ";

/// Stands before others.
const BLANK: &str = "  ";

/// What stands above the text.
#[derive(Debug, Default)]
pub struct Head {
    /// When, and whether that is now.
    pub time: String,
    /// Of what, and how often.
    pub title: String,
    /// What the reader should know.
    pub notes: Vec<String>,
}

/// A text as it is drawn.
#[derive(Debug)]
pub struct Frame {
    lines: Vec<String>,
    /// For each line, whether the text before the last change did not have it.
    marks: Vec<bool>,
    /// Lines of that text that are gone.
    gone: usize,
}

/// What is sent to the terminal: lines, and whether there is room for them all.
#[derive(Debug)]
pub struct Drawn(Vec<String>);

impl Frame {
    /// The first one; nothing is marked.
    pub fn first(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        Self { marks: vec![false; lines.len()], gone: 0, lines }
    }

    /// The one after `before`. If the answer `changed`, the lines that are new are marked; else those that were, for only
    /// counters moved.
    pub fn after(text: &str, before: &Self, changed: bool) -> Self {
        let mut new = Self::first(text);
        if !changed {
            new.marks.iter_mut().zip(&before.marks).for_each(|(mark, was)| *mark = *was);
            new.gone = before.gone;
            return new;
        }
        let mut known: HashMap<&str, usize> = HashMap::with_capacity(before.lines.len());
        for line in &before.lines {
            *known.entry(line).or_default() += 1;
        }
        for (line, mark) in new.lines.iter().zip(&mut new.marks) {
            match known.get_mut(line.as_str()) {
                Some(left) if *left > 0 => *left -= 1,
                _ => *mark = true,
            }
        }
        new.gone = known.into_values().sum();
        new
    }

    /// The frame for a terminal of `columns` and `rows`; what does not fit is counted.
    pub fn draw(&self, head: &Head, (columns, rows): (usize, usize)) -> Drawn {
        // The cursor waits below the last line.
        let rows = rows.saturating_sub(1).max(1);
        let mut title = head.time.clone();
        let changed = self.marks.iter().filter(|mark| **mark).count();
        if changed + self.gone > 0 {
            let lines = if changed == 1 { "line" } else { "lines" };
            let _ = write!(title, " · {changed} {lines} changed or new ({}), {} gone", MARK.trim(), self.gone);
        }
        let _ = write!(title, " · {}", clean(&head.title));
        let mut lines = vec![paint(&title, DIM)];
        lines.extend(head.notes.iter().map(|note| paint(&clean(note), NOTE)));
        let mark = |mark: bool| if mark { paint(MARK, NOTE) } else { BLANK.to_owned() };
        lines.extend(self.lines.iter().zip(&self.marks).map(|(line, marked)| mark(*marked) + line));
        if lines.len() > rows {
            let below = lines.len() - (rows - 1);
            lines.truncate(rows - 1);
            lines.push(paint(&format!("… {below} more lines: a higher terminal shows them, or ask for less"), DIM));
        }
        Drawn(lines.iter().map(|line| cut(line, columns)).collect())
    }
}

impl Drawn {
    /// What draws it, from the upper left corner, over what stands there. The cursor is hidden meanwhile and shown at its
    /// end, so that it is never left hidden, however the program ends.
    pub fn colored(&self) -> String {
        let mut out = "\x1b[?25l\x1b[H".to_owned();
        for line in &self.0 {
            let _ = write!(out, "{line}\x1b[K\r\n");
        }
        out + "\x1b[J\x1b[?25h"
    }

    /// The same without colours.
    pub fn plain(self) -> String {
        Self(self.0.iter().map(|line| pieces(line).filter_map(Result::ok).collect()).collect()).colored()
    }
}

/// The characters of a line (`Ok`) and the sequences between them that set colours (`Err`).
fn pieces(line: &str) -> impl Iterator<Item = Result<&str, &str>> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let steers = first == '\x1b';
        let length = if steers { rest.find('m').map_or(rest.len(), |at| at + 1) } else { first.len_utf8() };
        let (piece, after) = rest.split_at(length);
        rest = after;
        Some(if steers { Err(piece) } else { Ok(piece) })
    })
}

/// The part of a line that has room in `columns`; the last of them says that it is a part. Colours stay as they are.
fn cut(line: &str, columns: usize) -> String {
    let width = |piece: &str| piece.chars().filter_map(UnicodeWidthChar::width).sum::<usize>();
    if pieces(line).filter_map(Result::ok).map(width).sum::<usize>() <= columns {
        return line.to_owned();
    }
    let mut out = String::with_capacity(line.len());
    let (mut used, mut full) = (0, false);
    for piece in pieces(line) {
        match piece {
            Err(steers) => out.push_str(steers),
            Ok(_) if full => {}
            Ok(character) if used + width(character) < columns => {
                used += width(character);
                out.push_str(character);
            }
            Ok(_) => {
                full = true;
                out.push('…');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "now · dump · every 2s";

    fn drawn(frame: &Frame, size: (usize, usize)) -> Vec<String> {
        let head = Head { time: "now".to_owned(), title: "dump · every 2s".to_owned(), notes: Vec::new() };
        let text = frame.draw(&head, size).plain();
        let text = text.strip_prefix("\x1b[?25l\x1b[H").and_then(|text| text.strip_suffix("\x1b[J\x1b[?25h"));
        text.expect("a frame")
            .lines()
            .map(|line| line.strip_suffix("\x1b[K").expect("a whole line").to_owned())
            .collect()
    }

    #[test]
    fn what_changed_is_marked_until_the_next_change() {
        let first = Frame::first("a\nb\nb\n");
        assert_eq!(drawn(&first, (80, 24)), [HEAD, "  a", "  b", "  b"]);
        let second = Frame::after("a\nb\nc\nd\n", &first, true);
        let head = "now · 2 lines changed or new (▶), 1 gone · dump · every 2s".to_owned();
        assert_eq!(drawn(&second, (80, 24)), [&head, "  a", "  b", "▶ c", "▶ d"]);
        let third = Frame::after("a\nb\nC\nd\n", &second, false);
        assert_eq!(drawn(&third, (80, 24)), [&head, "  a", "  b", "▶ C", "▶ d"]);
        let fourth = Frame::after("a\nb\nC\nd\ne\n", &third, true);
        assert_eq!(drawn(&fourth, (80, 24))[1..], ["  a", "  b", "  C", "  d", "▶ e"]);
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let frame = Frame::first("1\n2\n3\n4\n5\n");
        let more = "… 4 more lines: a higher terminal shows them, or ask for less";
        assert_eq!(drawn(&frame, (80, 4)), [HEAD, "  1", more]);
        assert_eq!(drawn(&frame, (80, 7)).len(), 6, "all of it");
        assert_eq!(drawn(&frame, (80, 1)).len(), 1);
    }

    #[test]
    fn lines_are_cut_at_the_width_and_keep_their_colours() {
        assert_eq!(cut("abcdef", 6), "abcdef");
        assert_eq!(cut("abcdef", 5), "abcd…");
        assert_eq!(cut("日本語", 5), "日本…");
        assert_eq!(cut("日本語", 4), "日…");
        assert_eq!(cut("\x1b[31mabc\x1b[0m\x1b[2mdef\x1b[0m", 4), "\x1b[31mabc\x1b[0m\x1b[2m…\x1b[0m");
        assert_eq!(cut("abc", 0), "…");
    }
}
