//! What findings mean: the list of codes, and their pages.

use super::palette::{STRONG, paint};
use super::table::{empty, finish};
use crate::checks::Check;

/// All codes with their severity and what they say, one a row.
pub fn codes(checks: &[&Check]) -> String {
    let header = ["CODE", "NAME", "SEVERITY", "WHAT"];
    let mut table = empty(&header);
    for check in checks {
        table.add_row([check.id, check.slug, check.severity.as_str(), check.summary()]);
    }
    finish(table, &header, None)
}

/// Pages one below the other, their headings set off.
pub fn pages(checks: &[&Check]) -> String {
    let mut out = String::new();
    for (n, check) in checks.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        for line in check.page.lines() {
            let heading = line.trim_start_matches('#');
            if heading.len() < line.len() {
                out.push_str(&paint(heading.trim_start(), STRONG));
            } else {
                out.push_str(line);
            }
            out.push('\n');
        }
    }
    out
}
