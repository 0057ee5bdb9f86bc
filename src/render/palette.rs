//! Colours mark state only and never carry meaning alone: red wrong, yellow caution, dim context.

use owo_colors::{OwoColorize as _, Style};

/// What is wrong.
pub const ERROR: Style = Style::new().red().bold();
/// What needs a look.
pub const NOTE: Style = Style::new().yellow();
/// What to do next.
pub const HINT: Style = Style::new().cyan();
/// What the eye should find first.
pub const STRONG: Style = Style::new().bold();
/// Context.
pub(super) const DIM: Style = Style::new().dimmed();

/// `text` in a style.
pub(super) fn paint(text: &str, style: Style) -> String {
    text.style(style).to_string()
}
