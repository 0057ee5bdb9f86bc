//! Findings as text: what probably happened, then the findings by service, worst first, each with what shows it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment};
use owo_colors::Style;

use super::marks::look;
use super::palette::{DIM, STRONG, paint};
use super::service::View;
use super::table::{empty, finish};
use super::text::{clean, for_cell, percent, wrap};
use crate::checks::{CHECKS, Checked, Finding, ObjectRef, Severity, Skipped};
use crate::dataplane::count;
use crate::net::{Family, Moment, span};
use crate::order::Order as _;
use crate::report::{Quote, Quotes};

/// Findings of one kind about one service that are shown unless all are asked for.
const ALIKE: usize = 6;

/// Services that are shown unless all are asked for.
const GROUPS: usize = 40;

/// Rules and objects that are shown of a finding.
const EVIDENCE: usize = 3;

/// Next steps that are named.
const STEPS: usize = 3;

/// Columns that a sentence needs beside its code; with fewer it goes below.
const ROOM: usize = 55;

/// What is said around the findings.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'s> {
    /// Service ports that were checked.
    pub services: usize,
    /// The node, where it is known.
    pub node: Option<&'s str>,
    /// When the rules were read.
    pub read_at: Option<Moment>,
}

/// Everything a check has to say, without the line that tells what it was made from.
pub fn findings(checked: &Checked, quotes: &Quotes<'_>, around: Surroundings<'_>, view: View) -> String {
    let mut out = String::new();
    if let Some(cause) = &checked.cause {
        for line in wrap(&clean(cause), view.width.unwrap_or(usize::MAX)) {
            push(&mut out, &paint(&line, STRONG));
        }
        out.push('\n');
    }
    let groups = groups(&checked.findings, around.node);
    let shown = if view.all { groups.len() } else { GROUPS.min(groups.len()) };
    let slug = checked.findings.iter().map(|f| f.check.slug.len()).max().unwrap_or_default();
    let several = several_texts(checked, quotes);
    let layout = Layout { slug, view, quotes, several, read_at: around.read_at };
    for group in &groups[..shown] {
        layout.group(group, &mut out);
        out.push('\n');
    }
    if shown < groups.len() {
        let more = count(groups.len() - shown, "more service");
        push(&mut out, &paint(&format!("and {more}, --all shows every one"), DIM));
        out.push('\n');
    }
    summary(checked, around.services, &mut out);
    skipped(&checked.skipped, view.width, &mut out);
    next(&checked.findings, view.width, &mut out);
    out
}

/// Findings about the same.
struct Group<'f> {
    heading: String,
    findings: Vec<&'f Finding>,
}

fn groups<'f>(findings: &'f [Finding], node: Option<&str>) -> Vec<Group<'f>> {
    let mut by_heading: BTreeMap<(bool, String), Vec<&Finding>> = BTreeMap::new();
    for finding in findings {
        let whole = finding.service.is_none() && finding.port.is_none();
        let heading = match (&finding.service, &finding.chain) {
            (Some(service), _) => clean(service).into_owned(),
            (None, Some(chain)) if !whole => format!("unnamed service ({})", clean(chain)),
            _ => clean(node.unwrap_or("this node")).into_owned(),
        };
        by_heading.entry((!whole, heading)).or_default().push(finding);
    }
    let mut groups: Vec<Group<'_>> = Vec::new();
    for ((_, heading), mut findings) in by_heading {
        findings.order_by_key(|finding| Reverse(finding.severity));
        groups.push(Group { heading, findings });
    }
    // Stable: the node as a whole stays before its services, and these in the order of their names.
    groups.order_by_key(|group| Reverse(group.findings.iter().map(|finding| finding.severity).max()));
    groups
}

/// True if the rules shown stand in several texts, so that a line number alone does not tell which is meant.
fn several_texts(checked: &Checked, quotes: &Quotes<'_>) -> bool {
    let mut from = checked.findings.iter().flat_map(|f| &f.rules).filter_map(|&rule| Some(quotes.get(rule)?.from));
    from.next().is_some_and(|first| from.any(|other| other != first))
}

/// How findings are laid out.
struct Layout<'l, 'q> {
    /// Columns of the longest slug.
    slug: usize,
    view: View,
    quotes: &'l Quotes<'q>,
    several: bool,
    read_at: Option<Moment>,
}

impl Layout<'_, '_> {
    fn group(&self, group: &Group<'_>, out: &mut String) {
        push(out, &paint(&group.heading, STRONG));
        let protocols = group.findings.iter().filter_map(|f| f.protocol).collect::<hashbrown::HashSet<_>>().len();
        let mut alike = 0;
        for (n, finding) in group.findings.iter().enumerate() {
            let goes_on = n > 0 && group.findings[n - 1].check == finding.check;
            alike = if goes_on { alike + 1 } else { 0 };
            if alike < ALIKE || self.view.all {
                self.finding(finding, protocols > 1, out);
            } else if group.findings.get(n + 1).is_none_or(|next| next.check != finding.check) {
                let more = alike + 1 - ALIKE;
                push(out, &paint(&format!("           … {more} more of these, --all shows every one"), DIM));
            }
        }
    }

    fn finding(&self, finding: &Finding, tell_protocol: bool, out: &mut String) {
        let (_, style) = look(finding.severity);
        let head = format!(
            "  {}  {}",
            paint(&format!("{:<7}", finding.severity), style),
            paint(&format!("{} {:<width$}", finding.check.id, finding.check.slug, width = self.slug), STRONG)
        );
        let mut message = String::new();
        if let Some(protocol) = finding.protocol.filter(|_| tell_protocol) {
            let _ = write!(message, "{protocol}: ");
        }
        if finding.family == Some(Family::Ipv6) {
            message.push_str("ipv6: ");
        }
        message.push_str(&clean(&finding.message));
        // `  warning  KI101 slug  `
        let indent = 2 + 7 + 2 + 6 + self.slug + 2;
        match self.view.width {
            Some(width) if width < indent + ROOM => {
                push(out, head.trim_end());
                lines(&message, Style::new(), 4, Some(width), out);
            }
            width => {
                let mut text = wrap(&message, width.map_or(usize::MAX, |width| width - indent)).into_iter();
                push(out, &format!("{head}  {}", text.next().unwrap_or_default()));
                text.for_each(|line| push(out, &format!("{:indent$}{line}", "")));
            }
        }
        for &rule in finding.rules.iter().take(EVIDENCE) {
            if let Some(quote) = self.quotes.get(rule) {
                self.rule(quote, rule.line, out);
            }
        }
        for object in finding.objects.iter().take(EVIDENCE) {
            lines(&format!("= {}", self.object(object)), DIM, 12, self.view.width, out);
        }
    }

    fn rule(&self, quote: Quote<'_>, line: u32, out: &mut String) {
        let file = quote.from.rsplit('/').next().unwrap_or(quote.from);
        let from = if self.several { format!("{}:", clean(file)) } else { String::new() };
        let place = format!("{:>12} | ", format!("{from}{line}"));
        let text = quote.text();
        let text = clean(&text);
        let room = self.view.width.map(|width| width.saturating_sub(place.chars().count()));
        push(out, &paint(&format!("{place}{}", shortened(&text, room)), DIM));
    }

    fn object(&self, object: &ObjectRef) -> String {
        let ObjectRef { kind, name, field, value, changed } = object;
        let mut text = format!("{kind} {}  {}: {}", clean(name), clean(field), clean(value));
        if let Some(age) = self.read_at.zip(*changed).map(|(read, changed)| read.since(changed)) {
            let length = span(age.unsigned_abs());
            let when = if age >= 0 { "before" } else { "after" };
            let _ = write!(text, ", changed {length} {when} the rules were read");
        }
        text
    }
}

/// A rule that does not fit, without its middle: chain and target are what is looked for.
fn shortened(text: &str, room: Option<usize>) -> String {
    let length = text.chars().count();
    let Some(room) = room.filter(|room| length > *room && *room > 20) else { return text.to_owned() };
    // The target if it fits, else whole words of it.
    let most = text.rfind(" -j ").map_or(0, |at| text[at..].chars().count()).min(room / 2);
    let end: String = text.chars().skip(length - most).collect();
    let end = end.find(' ').map_or("", |at| &end[at..]);
    let head = room.saturating_sub(end.chars().count() + 2);
    let start: String = text.chars().take(head).collect();
    format!("{} …{end}", start.trim_end())
}

fn summary(checked: &Checked, services: usize, out: &mut String) {
    let counted = |severity: Severity, one: &str| {
        let number = checked.count(severity);
        (number > 0).then(|| count(number, one))
    };
    let counts: Vec<String> = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "info")]
        .into_iter()
        .filter_map(|(severity, one)| counted(severity, one))
        .collect();
    let ports = count(services, "service port");
    push(
        out,
        &match counts.as_slice() {
            [] => format!("no findings in {ports}"),
            counts => format!("{} in {ports}", counts.join(", ")),
        },
    );
}

/// What was not checked, by the reason.
fn skipped(skipped: &[Skipped], width: Option<usize>, out: &mut String) {
    let mut by_reason: Vec<(&str, Vec<&str>)> = Vec::new();
    for one in skipped {
        match by_reason.iter_mut().find(|(reason, _)| *reason == one.reason) {
            Some((_, checks)) => checks.push(one.check.id),
            None => by_reason.push((&one.reason, vec![one.check.id])),
        }
    }
    for (reason, checks) in by_reason {
        let text = format!("not checked: {} ({})", runs(&checks), clean(reason));
        for (n, line) in wrap(&text, width.map_or(usize::MAX, |width| width.max(20) - 2)).iter().enumerate() {
            push(out, &paint(&format!("{}{line}", if n == 0 { "" } else { "  " }), DIM));
        }
    }
}

/// Codes, those in a row drawn together: `KI101-KI108, KI403`.
fn runs(ids: &[&str]) -> String {
    let all: Vec<&str> = CHECKS.iter().map(|check| check.id).collect();
    let place = |id: &str| all.iter().position(|other| *other == id);
    let mut runs: Vec<(&str, &str)> = Vec::new();
    for id in ids {
        match runs.last_mut() {
            Some((_, last)) if place(last).map(|at| at + 1) == place(id) && last[..3] == id[..3] => *last = id,
            _ => runs.push((id, id)),
        }
    }
    let text = |(first, last): (&str, &str)| if first == last { first.to_owned() } else { format!("{first}-{last}") };
    runs.into_iter().map(text).collect::<Vec<_>>().join(", ")
}

/// What to do next, the worst first.
fn next(findings: &[Finding], width: Option<usize>, out: &mut String) {
    let mut worst: Vec<&Finding> = findings.iter().collect();
    worst.order_by_key(|finding| Reverse(finding.severity));
    let Some(first) = worst.first() else { return };
    let mut steps: Vec<&str> = Vec::new();
    for finding in &worst {
        if !steps.contains(&finding.hint.as_str()) && steps.len() < STEPS && finding.is_wrong() {
            steps.push(&finding.hint);
        }
    }
    let more = format!("more: kube-ipt explain {}", first.check.slug);
    for step in steps.into_iter().map(|step| format!("next: {}", clean(step))).chain([more]) {
        lines(&step, DIM, 0, width, out);
    }
}

/// Lines indented by so many columns, those after the first by two more.
pub(super) fn lines(text: &str, style: Style, indent: usize, width: Option<usize>, out: &mut String) {
    let room = width.map_or(usize::MAX, |width| width.saturating_sub(indent + 2).max(20));
    for (n, line) in wrap(text, room).iter().enumerate() {
        let indent = indent + if n == 0 { 0 } else { 2 };
        push(out, &paint(&format!("{:indent$}{line}", ""), style));
    }
}

pub(super) fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}

/// One row a finding, worst first.
pub fn findings_table(checked: &Checked, width: Option<usize>) -> String {
    let header = ["SEVERITY", "CODE", "SERVICE", "PROTO", "WHERE", "SHARE", "MESSAGE"];
    let mut table = empty(&header);
    let mut findings: Vec<&Finding> = checked.findings.iter().collect();
    findings.order_by_key(|finding| Reverse(finding.severity));
    for finding in findings {
        let (_, style) = look(finding.severity);
        let place = finding.address.as_ref().or(finding.frontend.as_ref()).or(finding.chain.as_ref());
        let six = if finding.family == Some(Family::Ipv6) { "6" } else { "" };
        let share = finding.share.map(|share| percent(Some(share)).trim_start().to_owned()).unwrap_or_default();
        table.add_row([
            Cell::new(paint(finding.severity.as_str(), style)),
            Cell::new(finding.check.slug),
            Cell::new(for_cell(finding.service.as_deref().unwrap_or_default())),
            Cell::new(finding.protocol.map(|protocol| format!("{protocol}{six}")).unwrap_or_default()),
            Cell::new(for_cell(place.map(String::as_str).unwrap_or_default())),
            Cell::new(share).set_alignment(CellAlignment::Right),
            Cell::new(for_cell(&finding.message)),
        ]);
    }
    finish(table, &header, width)
}
