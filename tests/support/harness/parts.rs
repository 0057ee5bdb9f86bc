//! Inputs of several texts: a line `%%% NAME` begins each, and goes on to the next such line.

/// Begins the line that names a text.
const MARK: &str = "%%% ";

/// Names and texts, in their order. What stands before the first mark belongs to none.
pub(super) fn of(input: &str) -> Vec<(&str, &str)> {
    let mut parts = Vec::new();
    let mut rest = input;
    while let Some(at) = next(rest) {
        let (name, behind) = rest[at + MARK.len()..].split_once('\n').unwrap_or((&rest[at + MARK.len()..], ""));
        let end = next(behind).unwrap_or(behind.len());
        parts.push((name, &behind[..end]));
        rest = &behind[end..];
    }
    parts
}

/// Where the next line begins that is a mark.
fn next(text: &str) -> Option<usize> {
    if text.starts_with(MARK) {
        return Some(0);
    }
    text.match_indices(MARK).map(|(at, _)| at).find(|at| text.as_bytes()[at - 1] == b'\n')
}
