//! A tree drawn with lines, whose columns align because they are laid out here.

use std::fmt::Write as _;

use super::text::wrap;

/// A line with what hangs below it.
#[derive(Debug, Default)]
pub(super) struct Node {
    /// The line. May hold colours.
    pub(super) line: String,
    /// Text under the line and above the children, each with a hanging indent: label and text. No colours.
    pub(super) details: Vec<Detail>,
    /// What hangs below.
    pub(super) children: Vec<Node>,
}

/// A paragraph under a node.
#[derive(Debug)]
pub(super) struct Detail {
    /// Stands in front of the first line; the others are indented by its width.
    pub(super) label: String,
    /// The paragraph, without colours; it is broken where it does not fit.
    pub(super) text: String,
    /// Style of the paragraph.
    pub(super) style: owo_colors::Style,
}

impl Node {
    /// A line with nothing below it.
    pub(super) fn new(line: impl Into<String>) -> Self {
        Self { line: line.into(), ..Self::default() }
    }

    /// Draws the node and everything below it. Paragraphs are broken at `width` columns, if given.
    pub(super) fn draw(&self, width: Option<usize>, out: &mut String) {
        out.push_str(self.line.trim_end());
        out.push('\n');
        self.below("", width, out);
    }

    fn below(&self, prefix: &str, width: Option<usize>, out: &mut String) {
        let stem = if self.children.is_empty() { "   " } else { "│  " };
        for detail in &self.details {
            let indent = detail.label.chars().count();
            let room = width.map(|w| w.saturating_sub(prefix.chars().count() + stem.chars().count() + indent).max(20));
            let lines = room.map_or_else(|| vec![detail.text.clone()], |room| wrap(&detail.text, room));
            for (n, line) in lines.iter().enumerate() {
                let label = if n == 0 { detail.label.clone() } else { " ".repeat(indent) };
                let text = super::palette::paint(line, detail.style);
                let _ = writeln!(out, "{prefix}{stem}{label}{text}");
            }
        }
        for (n, child) in self.children.iter().enumerate() {
            let last = n + 1 == self.children.len();
            out.push_str(prefix);
            out.push_str(if last { "└─ " } else { "├─ " });
            out.push_str(child.line.trim_end());
            out.push('\n');
            let deeper = format!("{prefix}{}", if last { "   " } else { "│  " });
            child.below(&deeper, width, out);
        }
    }
}
