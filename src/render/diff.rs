//! A comparison for people: service ports that differ, with a mark before each line: `+` only B has it, `-` only A has it,
//! `~` both have it and it is different.

use std::fmt::Write as _;

use super::diff_lines::{Line, lines};
use super::palette::{DIM, NOTE, STRONG, paint};
use super::service::{View, origin};
use super::text::{clean, wrap};
use crate::compare::{Change, Comparison, Difference};
use crate::dataplane::{Status, count};
use crate::net::Family;
use crate::report::{DiffSummary, Header, diff_summary};

/// Lines shown of a service port unless all are asked for.
const SHOWN: usize = 12;

/// The comparison of two dataplanes; `rules` are how many rules each was made from.
pub fn diff((a, b): (&Header, &Header), rules: (usize, usize), comparison: &Comparison<'_>, view: View) -> String {
    let mut out = String::new();
    for difference in &comparison.differences {
        service(difference, view, &mut out);
    }
    if !comparison.differences.is_empty() {
        out.push('\n');
    }
    for line in wrap(&summary(comparison), view.width.unwrap_or(usize::MAX)) {
        let _ = writeln!(out, "{line}");
    }
    let narrow = view.width.map(|width| width.saturating_sub(3));
    for (side, header, rules) in [("A", a, rules.0), ("B", b, rules.1)] {
        for (n, line) in origin(header, rules, narrow).lines().enumerate() {
            let side = if n == 0 { paint(side, DIM) } else { " ".to_owned() };
            let _ = writeln!(out, "{side}  {line}");
        }
    }
    out
}

fn service(difference: &Difference<'_>, view: View, out: &mut String) {
    let (mark, only) = match (difference.a, difference.b) {
        (None, _) => ('+', Some("only in B")),
        (_, None) => ('-', Some("only in A")),
        _ => ('~', None),
    };
    let mut parts = vec![match difference.name() {
        Some(name) => paint(&clean(&name.to_string()), STRONG),
        None => format!("{} ({})", paint("unnamed service", STRONG), clean(&difference.port.key)),
    }];
    parts.extend(difference.protocol().map(|p| p.to_string()));
    if difference.port.family == Family::Ipv6 {
        parts.push("ipv6".to_owned());
    }
    parts.extend(only.map(str::to_owned));
    parts.extend(difference.changes.iter().find_map(status));
    let _ = writeln!(out, "{mark} {}", parts.join("  "));
    let lines = lines(difference, view.all);
    let shown = if view.all || lines.len() <= SHOWN + 1 { lines.len() } else { SHOWN };
    for line in &lines[..shown] {
        draw(line, view, out);
    }
    if shown < lines.len() {
        let _ =
            writeln!(out, "    {}", paint(&format!("and {} more, --all shows every one", lines.len() - shown), DIM));
    }
}

/// The state in one word, for the heading.
fn status(change: &Change<'_>) -> Option<String> {
    let Change::Status(a, b) = change else { return None };
    let words = format!("{} → {}", a.as_str(), b.as_str());
    Some(if *b == Status::Ok { words } else { paint(&words, NOTE) })
}

fn draw(line: &Line, view: View, out: &mut String) {
    let room = view.width.map_or(usize::MAX, |width| width.saturating_sub(8).max(20));
    for (n, part) in wrap(&line.text, room).iter().enumerate() {
        let head = if n == 0 { format!("    {} ", line.mark) } else { " ".repeat(8) };
        let _ = writeln!(out, "{head}{}", paint(part, line.style));
    }
}

/// `1 of 6 service ports is different: 1 endpoint gained, 1 lost`
fn summary(comparison: &Comparison<'_>) -> String {
    let totals = diff_summary(comparison);
    let but = if comparison.unknown.is_empty() { "" } else { ", as far as they could be compared" };
    if totals.equal {
        return format!("no differences in {}{but}", count(totals.common, "service port"));
    }
    let all = totals.common + totals.gained + totals.lost;
    let different = totals.gained + totals.lost + totals.changed;
    let verb = if different == 1 { "is" } else { "are" };
    let details = details(&totals);
    let details = if details.is_empty() { String::new() } else { format!(": {}", details.join(", ")) };
    format!("{different} of {} {verb} different{but}{details}", count(all, "service port"))
}

fn details(totals: &DiffSummary) -> Vec<String> {
    let pairs = [
        ("service port", totals.gained, totals.lost),
        ("frontend", totals.frontends_gained, totals.frontends_lost),
        ("endpoint", totals.endpoints_gained, totals.endpoints_lost),
    ];
    let turns = pairs.into_iter().filter_map(|(what, gained, lost)| match (gained, lost) {
        (0, 0) => None,
        (0, lost) => Some(format!("{} lost", count(lost, what))),
        (gained, 0) => Some(format!("{} gained", count(gained, what))),
        (gained, lost) => Some(format!("{} gained and {lost} lost", count(gained, what))),
    });
    let changed = [("share", totals.shares_changed), ("state", totals.states_changed)];
    let changed = changed.into_iter().filter(|(_, n)| *n > 0).map(|(what, n)| format!("{} changed", count(n, what)));
    let missing = (totals.missing_gained > 0).then(|| format!("{} missing", count(totals.missing_gained, "endpoint")));
    turns.chain(changed).chain(missing).collect()
}
