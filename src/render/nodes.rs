//! Many nodes as text: one row each, then what differs, then findings with the nodes that have them.

use comfy_table::{Cell, CellAlignment, Table};
use owo_colors::Style;

use super::findings::{lines, push};
use super::palette::{DIM, ERROR, NOTE, STRONG, paint};
use super::service::View;
use super::table::{empty, fit, written};
use super::text::{clean, for_cell};
use crate::dataplane::count;
use crate::net::span;
use crate::order::Order as _;
use crate::report::{DiffNode, NodeRow, NodesDocument, SharedFinding};

/// Node names in one list of them, unless all are asked for.
const NAMES: usize = 8;

/// Findings that are shown, unless all are asked for.
const FINDINGS: usize = 40;

/// The answer about all nodes.
pub fn nodes(document: &NodesDocument, view: View) -> String {
    let mut out = table(document, view.width);
    if document.nodes.iter().any(|row| row.odd.is_some() || row.unreachable.is_some()) {
        out.push('\n');
    }
    for (row, how) in document.nodes.iter().filter_map(|row| Some((row, row.odd.as_deref()?))) {
        lines(
            &format!("{} differs from most nodes: {}", clean(&row.node), clean(how)),
            STRONG,
            0,
            view.width,
            &mut out,
        );
    }
    for row in document.nodes.iter().filter(|row| row.unreachable.is_some()) {
        let why = row.unreachable.as_deref().unwrap_or_default();
        lines(&format!("{} was not read: {}", clean(&row.node), clean(why)), ERROR, 0, view.width, &mut out);
    }
    findings(document, view, &mut out);
    summary(document, view.width, &mut out);
    out
}

/// Columns of the table.
const HEADER: [&str; 7] = ["NODE", "MODE", "KUBE-PROXY", "SERVICES", "ENDPOINTS", "FINDINGS", "SYNC"];

/// Those left out where they do not fit, what is missed least first; JSON has them all.
const SPARE: [&str; 4] = ["KUBE-PROXY", "ENDPOINTS", "MODE", "SERVICES"];

/// Columns whose words go on in a second line, and names too where nothing else is left to give way.
const BREAKABLE: [&str; 3] = ["FINDINGS", "SYNC", "NODE"];

/// How a table gives way to a width: so many of the spare columns are left out, and so many others broken. What is whole is read best.
const WAYS: [(usize, usize); 7] = [(0, 0), (1, 0), (2, 0), (2, 2), (3, 2), (4, 2), (4, 3)];

fn table(document: &NodesDocument, width: Option<usize>) -> String {
    let width = width.unwrap_or(usize::MAX);
    let fitting = WAYS.into_iter().find_map(|(spared, broken)| {
        let (mut table, header) = of_columns(document, &SPARE[..spared]);
        fit(&mut table, &header, &BREAKABLE[..broken], width).then_some(table)
    });
    // What fits no way is left to the terminal to break.
    written(&fitting.unwrap_or_else(|| of_columns(document, &[]).0))
}

/// The table without the columns left out.
fn of_columns(document: &NodesDocument, left_out: &[&str]) -> (Table, Vec<&'static str>) {
    let is_known =
        |title: &str| title != "KUBE-PROXY" || document.nodes.iter().any(|row| row.kube_proxy_version.is_some());
    let header: Vec<&str> = HEADER.into_iter().filter(|title| !left_out.contains(title) && is_known(title)).collect();
    let mut table = empty(&header);
    for row in &document.nodes {
        let number = |number: Option<usize>| {
            Cell::new(number.map(|number| number.to_string()).unwrap_or_default()).set_alignment(CellAlignment::Right)
        };
        let cell = |title: &&str| match *title {
            "NODE" => Cell::new(for_cell(&row.node)),
            "MODE" => Cell::new(row.source.as_ref().map(|source| source.dataplane).unwrap_or_default()),
            "KUBE-PROXY" => Cell::new(for_cell(row.kube_proxy_version.as_deref().unwrap_or_default())),
            "SERVICES" => number(row.service_ports),
            "ENDPOINTS" => number(row.endpoints),
            "FINDINGS" => Cell::new(status(row)),
            _ => Cell::new(sync(row)),
        };
        table.add_row(header.iter().map(cell));
    }
    (table, header)
}

fn status(row: &NodeRow) -> String {
    if row.unreachable.is_some() {
        return paint("✗ not read", ERROR);
    }
    let mark = if row.odd.is_some() { ", odd one" } else { "" };
    match (row.errors, row.warnings) {
        (0, 0) => format!("ok{mark}"),
        (0, warnings) => paint(&format!("! {}{mark}", count(warnings, "warning")), NOTE),
        (errors, 0) => paint(&format!("✗ {}{mark}", count(errors, "error")), ERROR),
        (errors, warnings) => {
            paint(&format!("✗ {}, {}{mark}", count(errors, "error"), count(warnings, "warning")), ERROR)
        }
    }
}

fn sync(row: &NodeRow) -> String {
    match row.behind_seconds {
        Some(0) => "in sync".to_owned(),
        Some(seconds) => format!("behind for {}", span(seconds.unsigned_abs())),
        None => String::new(),
    }
}

/// Findings, those of the same nodes under one heading.
fn findings(document: &NodesDocument, view: View, out: &mut String) {
    let wrong = document.findings.iter().filter(|shared| shared.finding.severity != "info");
    let shown: Vec<&SharedFinding> = wrong.take(if view.all { usize::MAX } else { FINDINGS }).collect();
    let left = document.summary.errors + document.summary.warnings - shown.len();
    let read = document.summary.nodes - document.summary.unreachable;
    let mut headings: Vec<&[String]> = shown.iter().map(|shared| shared.nodes.as_slice()).collect();
    headings.order_by_key(|nodes| (std::cmp::Reverse(nodes.len()), *nodes));
    headings.dedup();
    for nodes in headings {
        out.push('\n');
        lines(&on(nodes, read, view.all), STRONG, 0, view.width, out);
        for shared in shown.iter().filter(|shared| shared.nodes == nodes) {
            let finding = &shared.finding;
            let style = if finding.severity == "error" { ERROR } else { NOTE };
            let about = finding.service.as_deref().map(|service| format!("{}: ", clean(service))).unwrap_or_default();
            let head = format!("{:<7}  {} {}  ", finding.severity, finding.id, finding.code);
            lines(&format!("{head}{about}{}", clean(&finding.message)), style, 2, view.width, out);
        }
    }
    if left > 0 {
        push(out, &paint(&format!("and {}, --all shows every one", count(left, "more finding")), DIM));
    }
}

/// `on 3 of 40 nodes: node1, node2, node3`
fn on(nodes: &[String], of: usize, all: bool) -> String {
    if nodes.len() == of && of > 1 {
        return format!("on all {of} nodes that were read");
    }
    if let [only] = nodes {
        return format!("on {}", clean(only));
    }
    let shown = if all { nodes.len() } else { NAMES.min(nodes.len()) };
    let names: Vec<_> = nodes[..shown].iter().map(|node| clean(node)).collect();
    let more = if shown < nodes.len() { format!(" and {} more", nodes.len() - shown) } else { String::new() };
    format!("on {} of {of} nodes: {}{more}", nodes.len(), names.join(", "))
}

fn summary(document: &NodesDocument, width: Option<usize>, out: &mut String) {
    let sum = &document.summary;
    let mut parts = vec![count(sum.nodes, "node")];
    if sum.unreachable > 0 {
        parts.push(format!("{} not read", sum.unreachable));
    }
    parts.push(match (sum.errors, sum.warnings) {
        (0, 0) if sum.unreachable == sum.nodes => "nothing was checked".to_owned(),
        (0, 0) if sum.unreachable > 0 => "no errors and no warnings on those that were read".to_owned(),
        (0, 0) => "no errors and no warnings".to_owned(),
        (errors, warnings) => format!("{} and {}, each told once", count(errors, "error"), count(warnings, "warning")),
    });
    if sum.odd.is_none() && sum.nodes - sum.unreachable > 1 {
        parts.push("no state is that of most nodes, so none is the odd one".to_owned());
    }
    out.push('\n');
    lines(&parts.join(" · "), Style::new(), 0, width, out);
    let mut notes: Vec<(&str, &str)> = document.nodes.iter().flat_map(notes).collect();
    notes.order();
    notes.dedup();
    for same in notes.chunk_by(|a, b| a.0 == b.0) {
        let place = match same {
            [(_, node)] => clean(node),
            many => count(many.len(), "node").into(),
        };
        lines(&format!("on {place}: {}", clean(same[0].0)), DIM, 0, width, out);
    }
    if let Some(first) = document.findings.first() {
        lines(&format!("more: kube-ipt explain {}", first.finding.code), DIM, 0, width, out);
    }
}

/// Remarks about a node, each with its name.
fn notes(row: &NodeRow) -> impl Iterator<Item = (&str, &str)> {
    row.notes.iter().map(|note| (note.as_str(), row.node.as_str()))
}

/// Comparisons of many nodes: each with what is different on it, told by whether something is and its text. The second value
/// is true if something is, or may be on a node that was not compared.
pub fn diff_nodes(nodes: &[(DiffNode, Option<(bool, String)>)]) -> (String, bool) {
    let mut out = String::new();
    let (mut equal, mut different, mut unknown) = (Vec::new(), 0, 0);
    for (node, compared) in nodes {
        let name = clean(&node.node);
        let (text, counted) = match (compared, node.only_in, &node.not_compared) {
            (Some((false, _)), ..) => {
                equal.push(name);
                continue;
            }
            (Some((true, text)), ..) => (text.clone(), &mut different),
            (None, Some(side), _) => (format!("only in {}\n", side.to_uppercase()), &mut different),
            (None, None, why) => {
                let why = clean(why.as_deref().unwrap_or("it gave no answer"));
                (format!("was not compared: {why}\n"), &mut unknown)
            }
        };
        *counted += 1;
        push(&mut out, &paint(&name, STRONG));
        out.push_str(&text);
        out.push('\n');
    }
    if !equal.is_empty() {
        push(&mut out, &format!("no differences on {}: {}", count(equal.len(), "node"), equal.join(", ")));
    }
    let all = count(nodes.len(), "node");
    let sums = [(different, "differ"), (unknown, "could not be compared")];
    for (number, what) in sums.into_iter().filter(|(number, _)| *number > 0) {
        push(&mut out, &format!("{number} of {all} {what}"));
    }
    (out, different + unknown > 0)
}
