//! What findings mean: the list of codes, and their pages.

use unicode_width::UnicodeWidthStr as _;

use super::palette::{STRONG, paint};
use super::table::{empty, finish};
use super::text::wrap;
use crate::checks::Check;

/// All codes with their severity and what they say, one a row.
pub fn codes(checks: &[&Check], width: Option<usize>) -> String {
    let header = ["CODE", "NAME", "SEVERITY", "WHAT"];
    let mut table = empty(&header);
    for check in checks {
        table.add_row([check.id, check.slug, check.severity.as_str(), check.summary()]);
    }
    finish(table, &header, width)
}

/// Pages one below the other, their headings set off. In a terminal that is narrower than a page, paragraphs are broken where it
/// ends; commands to be copied never are.
pub fn pages(checks: &[&Check], width: Option<usize>) -> String {
    let mut out = String::new();
    for (n, check) in checks.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let page = check.page;
        let too_wide = |width: &usize| page.lines().any(|line| line.width() > *width);
        let lines = match width.filter(too_wide) {
            Some(width) => broken(page, width),
            None => page.lines().map(str::to_owned).collect(),
        };
        for line in lines {
            let heading = line.trim_start_matches('#');
            if heading.len() < line.len() {
                out.push_str(&paint(heading.trim_start(), STRONG));
            } else {
                out.push_str(&line);
            }
            out.push('\n');
        }
    }
    out
}

/// The lines of a page whose paragraphs and items of lists have at most `width` columns.
fn broken(page: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut paragraph = String::new();
    let end = |paragraph: &mut String, lines: &mut Vec<String>| {
        let (first, others) = if paragraph.starts_with("- ") { (2, "  ") } else { (0, "") };
        let text = std::mem::take(paragraph);
        let (mark, text) = text.split_at(first);
        if text.is_empty() {
            return;
        }
        for (n, line) in wrap(text, width - others.len()).into_iter().enumerate() {
            lines.push(format!("{}{line}", if n == 0 { mark } else { others }));
        }
    };
    for line in page.lines() {
        let stands_alone = line.is_empty() || line.starts_with('#') || line.starts_with("    ");
        if stands_alone || line.starts_with("- ") {
            end(&mut paragraph, &mut lines);
        }
        if stands_alone {
            lines.push(line.to_owned());
            continue;
        }
        if !paragraph.is_empty() {
            paragraph.push(' ');
        }
        paragraph.push_str(line.trim_start());
    }
    end(&mut paragraph, &mut lines);
    lines
}

#[cfg(test)]
mod tests {
    use super::super::text::unstyled;
    use super::*;
    use crate::checks::CHECKS;

    #[test]
    fn paragraphs_end_where_the_terminal_does_and_keep_their_words() {
        for check in CHECKS {
            let whole = pages(&[check], None);
            assert_eq!(pages(&[check], Some(200)), whole);
            for columns in [40, 60, 80, 100] {
                let narrow = pages(&[check], Some(columns));
                let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(words(&narrow), words(&whole), "{} {columns}", check.id);
                let commands =
                    |text: &str| text.lines().filter(|l| l.starts_with("    ")).map(str::to_owned).collect::<Vec<_>>();
                assert_eq!(commands(&narrow), commands(&whole), "{} {columns}", check.id);
                let fits =
                    |line: &str| line.starts_with("    ") || line.width() <= columns || !line.trim().contains(' ');
                for line in unstyled(&narrow).collect::<String>().lines() {
                    assert!(fits(line.trim_start_matches("- ")), "{} {columns}: {line}", check.id);
                }
            }
        }
    }
}
