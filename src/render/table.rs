//! Tables: one row per service port, or one row per endpoint.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::marks::{Marks, look};
use super::palette::{ERROR, STRONG, paint};
use super::remark::{self, Remark, Room};
use super::text::{for_cell, percent};
use crate::checks::Finding;
use crate::dataplane::{AboutEndpoint, Absent, FrontendKind, ServicePort};
use crate::net::Family;

/// Columns between two cells.
const GAP: usize = 2;

/// Columns whose cells may go on in a second line; names and addresses are kept whole to be copied.
const BREAKABLE: [&str; 6] = ["ENDPOINTS", "STATUS", "STATE", "OTHER FRONTENDS", "MESSAGE", "WHAT"];

/// A cell of fewer columns than this is not worth breaking.
const READABLE: usize = 12;

/// One row per service port; `wide` adds what does not fit 80 columns. Where `width` is given and too small for a table
/// with the types of Services, they are left out; then cells are broken to fit.
pub fn list(services: &[ServicePort], marks: &Marks<'_>, wide: bool, width: Option<usize>) -> String {
    // The type is known from objects only.
    let typed = services.iter().any(|service| service.about.is_some());
    let (table, header) = list_table(services, marks, wide, typed);
    if typed && !wide && width.is_some_and(|width| columns(&table) > width) {
        let (table, header) = list_table(services, marks, wide, false);
        return finish(table, &header, width);
    }
    finish(table, &header, width)
}

fn list_table(services: &[ServicePort], marks: &Marks<'_>, wide: bool, typed: bool) -> (Table, Vec<&'static str>) {
    let mut header = vec!["SERVICE", "PROTO"];
    if typed {
        header.push("TYPE");
    }
    header.extend(["ADDRESS", "ENDPOINTS", "STATUS"]);
    if wide {
        header.extend(["OTHER FRONTENDS", "FAMILY", "STICKY", "CHAINS"]);
    }
    let mut table = empty(&header);
    for (n, service) in services.iter().enumerate() {
        let (first, others) = addresses(service);
        let mut row = vec![Cell::new(name(service)), Cell::new(protocol(service))];
        if typed {
            row.push(Cell::new(service.about.as_ref().and_then(|about| about.service_type).unwrap_or_default()));
        }
        row.extend([Cell::new(first), Cell::new(remark::counts(service)), Cell::new(status(service, &marks.at(n)))]);
        if wide {
            let sticky = service.affinity_seconds.map(|s| format!("{s} s")).unwrap_or_default();
            let chains: Vec<_> = service.pools.iter().map(|p| for_cell(&p.chain)).collect();
            row.extend([Cell::new(others), Cell::new(service.family), Cell::new(sticky), Cell::new(chains.join(" "))]);
        }
        table.add_row(row);
    }
    (table, header)
}

/// Columns the widest row takes.
pub(super) fn columns(table: &Table) -> usize {
    table
        .column_max_content_widths()
        .iter()
        .map(|content| usize::from(*content) + GAP)
        .sum::<usize>()
        .saturating_sub(GAP)
}

/// One row per endpoint; `wide` adds chains, rules and counters. Cells are broken to fit `width` columns, if given.
pub fn endpoints(services: &[ServicePort], marks: &Marks<'_>, wide: bool, width: Option<usize>) -> String {
    let joined = services.iter().any(|service| service.about.is_some());
    let mut header = vec!["SERVICE", "PROTO", "POOL", "SHARE", "ENDPOINT"];
    if joined {
        header.extend(["POD", "NODE", "STATE"]);
    }
    if wide {
        header.extend(["PACKETS", "CHAIN", "LINES"]);
    }
    let mut table = empty(&header);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for (n, service) in services.iter().enumerate() {
        for pool in &service.pools {
            let policy = pool.policy.as_str();
            for endpoint in &pool.endpoints {
                let mut row = vec![
                    Cell::new(name(service)),
                    Cell::new(protocol(service)),
                    Cell::new(policy),
                    right(percent(endpoint.probability)),
                    Cell::new(for_cell(&endpoint.address.to_string())),
                ];
                if joined {
                    row.extend(about(endpoint.about.as_deref(), remark::endpoint(endpoint)));
                }
                if wide {
                    let lines: Vec<String> = endpoint.rules.iter().map(|r| r.line.to_string()).collect();
                    let packets = endpoint.traffic().packets.map(|p| p.to_string()).unwrap_or_default();
                    row.extend([right(packets), Cell::new(for_cell(&endpoint.chain)), Cell::new(lines.join(" "))]);
                }
                table.add_row(row);
            }
            for absent in &pool.missing {
                table.add_row(missing(service, policy, absent));
            }
            if let Some(lost) = pool.lost() {
                let text = paint("reach no endpoint", ERROR);
                let share = right(percent(Some(lost)));
                table.add_row([
                    Cell::new(name(service)),
                    Cell::new(protocol(service)),
                    Cell::new(policy),
                    share,
                    Cell::new(text),
                ]);
            }
        }
        for absent in service.about.iter().flat_map(|about| about.unprogrammed.iter().chain(&about.waiting)) {
            table.add_row(missing(service, "", absent));
        }
        if let (true, false, Some(remark)) =
            (service.pools.is_empty(), service.lacks_rules(), remark::service(service, &[], Room::Column))
        {
            table.add_row([name(service), protocol(service), String::new(), String::new(), remark.painted()]);
        }
        for finding in marks.at(n) {
            let (mark, style) = look(finding.severity);
            let text = paint(&format!("{mark}{} {}", finding.check.id, finding.check.slug), style);
            table.add_row([name(service), protocol(service), String::new(), String::new(), text]);
        }
    }
    finish(table, &header, width)
}

/// Pod, node and state of an endpoint.
fn about(about: Option<&AboutEndpoint>, remark: Option<Remark>) -> [Cell; 3] {
    let cell = |text: Option<&str>| Cell::new(for_cell(text.unwrap_or_default()));
    let said = remark.map(|remark| remark.painted());
    let Some(about) = about else { return [cell(None), cell(None), Cell::new(said.unwrap_or_default())] };
    let state = said.unwrap_or_else(|| "ready".to_owned());
    [cell(about.pod.as_deref()), cell(about.node.as_deref()), Cell::new(state)]
}

/// The row of an endpoint that gets nothing.
fn missing(service: &ServicePort, policy: &str, absent: &Absent) -> Vec<Cell> {
    let mut row = vec![
        Cell::new(name(service)),
        Cell::new(protocol(service)),
        Cell::new(policy),
        Cell::new(percent(Some(0.0))).set_alignment(CellAlignment::Right),
        Cell::new(absent.address.to_string()),
    ];
    let [pod, node, _] = about(Some(&absent.about), None);
    row.extend([pod, node, Cell::new(remark::absent(&absent.about).painted())]);
    row
}

pub(super) fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|title| paint(title, STRONG)));
    for column in table.column_iter_mut() {
        column.set_padding((0, u16::try_from(GAP).unwrap_or_default()));
    }
    table
}

/// Breaks cells of the columns that may be broken, if the table is too wide and what is left for them is enough to read.
/// A table that fits no way is left whole: the terminal's own line breaks keep more of it readable. True if it fits.
pub(super) fn fit(table: &mut Table, header: &[&str], breaks: &[&str], width: usize) -> bool {
    if columns(table) <= width {
        return true;
    }
    let widths = table.column_max_content_widths();
    let fixed = header.iter().zip(&widths).filter(|(title, _)| !breaks.contains(title));
    let fixed: usize = fixed.map(|(_, content)| usize::from(*content) + GAP).sum();
    let count = header.iter().filter(|title| breaks.contains(title)).count();
    let (Ok(columns), true) = (u16::try_from(width), fixed + count * READABLE <= width) else { return false };
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    for (n, title) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(n).filter(|_| !breaks.contains(title)) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    true
}

/// Rows without blanks at their ends.
pub(super) fn finish(mut table: Table, header: &[&str], width: Option<usize>) -> String {
    if let Some(width) = width {
        fit(&mut table, header, &BREAKABLE, width);
    }
    written(&table)
}

/// The same of a table that is as wide as it shall be.
pub(super) fn written(table: &Table) -> String {
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn name(service: &ServicePort) -> String {
    match &service.name {
        Some(name) => for_cell(&name.to_string()).into_owned(),
        None => format!("({})", for_cell(service.pools.first().map_or(&service.key, |p| &p.chain))),
    }
}

fn protocol(service: &ServicePort) -> String {
    let six = if service.family == Family::Ipv6 { "6" } else { "" };
    service.protocol.map(|p| format!("{p}{six}")).unwrap_or_default()
}

/// The address people know a service by, and all others.
fn addresses(service: &ServicePort) -> (String, String) {
    let mut all = service.frontends.iter();
    let Some(first) = all.next() else { return Default::default() };
    let prefix = if first.kind == FrontendKind::ClusterIp { String::new() } else { format!("{} ", first.kind.words()) };
    let others: Vec<String> = all.map(|f| format!("{} {}", f.kind.words(), f.at())).collect();
    (format!("{prefix}{}", first.at()), others.join(", "))
}

fn status(service: &ServicePort, findings: &[&Finding]) -> String {
    remark::service(service, findings, Room::Column).map_or("ok".to_owned(), |remark| remark.painted())
}
