//! Tables: one row per service port, or one row per endpoint.

use comfy_table::{Cell, CellAlignment, ColumnConstraint, ContentArrangement, Table, presets};

use super::palette::{ERROR, NOTE, STRONG, paint};
use super::phrase;
use super::text::{clean, percent};
use crate::dataplane::{FrontendKind, Pool, ServicePort};
use crate::net::Family;

/// Columns between two cells.
const GAP: usize = 2;

/// Columns whose cells may go on in a second line; names and addresses are kept whole to be copied.
const BREAKABLE: [&str; 3] = ["ENDPOINTS", "STATUS", "OTHER FRONTENDS"];

/// A cell of fewer columns than this is not worth breaking.
const READABLE: usize = 12;

/// One row per service port; `wide` adds what does not fit 80 columns. Cells are broken to fit `width` columns, if given.
pub fn list(services: &[ServicePort], wide: bool, width: Option<usize>) -> String {
    let mut header = vec!["SERVICE", "PROTO", "ADDRESS", "ENDPOINTS", "STATUS"];
    if wide {
        header.extend(["OTHER FRONTENDS", "FAMILY", "STICKY", "CHAINS"]);
    }
    let mut table = empty(&header);
    for service in services {
        let (first, others) = addresses(service);
        let mut row = vec![
            Cell::new(name(service)),
            Cell::new(protocol(service)),
            Cell::new(first),
            Cell::new(endpoint_counts(service)),
            Cell::new(status(service)),
        ];
        if wide {
            let sticky = service.affinity_seconds.map(|s| format!("{s} s")).unwrap_or_default();
            let chains: Vec<_> = service.pools.iter().map(|p| clean(&p.chain)).collect();
            row.extend([Cell::new(others), Cell::new(service.family), Cell::new(sticky), Cell::new(chains.join(" "))]);
        }
        table.add_row(row);
    }
    finish(table, &header, width)
}

/// One row per endpoint; `wide` adds chains, rules and counters. Cells are broken to fit `width` columns, if given.
pub fn endpoints(services: &[ServicePort], wide: bool, width: Option<usize>) -> String {
    let mut header = vec!["SERVICE", "PROTO", "POOL", "SHARE", "ENDPOINT"];
    if wide {
        header.extend(["PACKETS", "CHAIN", "LINES"]);
    }
    let mut table = empty(&header);
    let right = |text: String| Cell::new(text).set_alignment(CellAlignment::Right);
    for service in services {
        for pool in &service.pools {
            let policy = phrase::policy(pool.policy);
            for endpoint in &pool.endpoints {
                let mut row = vec![
                    Cell::new(name(service)),
                    Cell::new(protocol(service)),
                    Cell::new(policy),
                    right(percent(endpoint.probability)),
                    Cell::new(clean(&endpoint.address.to_string())),
                ];
                if wide {
                    let lines: Vec<String> = endpoint.rules.iter().map(|r| r.line.to_string()).collect();
                    let packets = endpoint.packets.map(|p| p.to_string()).unwrap_or_default();
                    row.extend([right(packets), Cell::new(clean(&endpoint.chain)), Cell::new(lines.join(" "))]);
                }
                table.add_row(row);
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
        if service.pools.is_empty() {
            let text = paint(phrase::without_pool(service), NOTE);
            table.add_row([name(service), protocol(service), String::new(), String::new(), text]);
        }
    }
    finish(table, &header, width)
}

fn empty(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(header.iter().map(|title| paint(title, STRONG)));
    for column in table.column_iter_mut() {
        column.set_padding((0, u16::try_from(GAP).unwrap_or_default()));
    }
    table
}

/// Breaks cells of the columns that may be broken, if the table is too wide and what is left for them is enough to read.
/// A table that fits no way is left whole: the terminal's own line breaks keep more of it readable.
fn fit(table: &mut Table, header: &[&str], width: usize) {
    let mut fixed = 0;
    let mut breakable = 0;
    let widths = table.column_max_content_widths();
    for (title, content) in header.iter().zip(&widths) {
        let columns = usize::from(*content) + GAP;
        if BREAKABLE.contains(title) {
            breakable += columns;
        } else {
            fixed += columns;
        }
    }
    let count = header.iter().filter(|title| BREAKABLE.contains(title)).count();
    let (Ok(columns), true) = (u16::try_from(width), fixed + breakable > width && fixed + count * READABLE <= width)
    else {
        return;
    };
    table.set_content_arrangement(ContentArrangement::Dynamic).set_width(columns);
    for (n, title) in header.iter().enumerate() {
        if let Some(column) = table.column_mut(n).filter(|_| !BREAKABLE.contains(title)) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
}

/// Rows without blanks at their ends.
fn finish(mut table: Table, header: &[&str], width: Option<usize>) -> String {
    if let Some(width) = width {
        fit(&mut table, header, width);
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn name(service: &ServicePort) -> String {
    match &service.name {
        Some(name) => clean(&name.to_string()).into_owned(),
        None => format!("({})", clean(service.pools.first().map_or(&service.key, |p| &p.chain))),
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
    let prefix =
        if first.kind == FrontendKind::ClusterIp { String::new() } else { format!("{} ", phrase::kind(first.kind)) };
    let others: Vec<String> = all.map(|f| format!("{} {}", phrase::kind(f.kind), phrase::address(f))).collect();
    (format!("{prefix}{}", phrase::address(first)), others.join(", "))
}

/// The number of endpoints; of both pools, where there are two.
fn endpoint_counts(service: &ServicePort) -> String {
    match service.pools.as_slice() {
        [] => "0".to_owned(),
        [pool] => phrase::count(pool),
        pools => {
            let count = |p: &Pool| format!("{} {}", phrase::count(p), phrase::policy(p.policy));
            pools.iter().map(count).collect::<Vec<_>>().join(", ")
        }
    }
}

fn status(service: &ServicePort) -> String {
    if service.pools.is_empty() {
        return paint(&format!("! {}", phrase::without_pool(service)), NOTE);
    }
    if let Some(lost) = service.lost() {
        return paint(&format!("✗ {} undelivered", percent(Some(lost)).trim_start()), ERROR);
    }
    match service.pools.iter().find_map(|p| p.oddities.first()) {
        Some(oddity) => paint(&format!("! {}", clean(&phrase::oddity(oddity))), NOTE),
        None => "ok".to_owned(),
    }
}
