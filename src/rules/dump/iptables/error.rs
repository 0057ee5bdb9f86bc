//! What is wrong with a rule that cannot be read, and where.

/// A rule's text that breaks off or holds something where something else must stand.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("column {column}: expected {expected}, found {found}")]
pub struct RuleError {
    /// Where in the line, in bytes from 1.
    pub column: usize,
    /// What would have been right.
    pub expected: &'static str,
    /// What stands there; `the end of the line` where nothing does.
    pub found: String,
}

impl RuleError {
    /// An error at byte offset `at` (from 0) of the line.
    pub(super) fn new(at: usize, expected: &'static str, found: Option<&str>) -> Self {
        let found = match found {
            Some(text) => format!("'{text}'"),
            None => "the end of the line".to_owned(),
        };
        Self { column: at + 1, expected, found }
    }
}
