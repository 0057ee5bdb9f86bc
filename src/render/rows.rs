//! The endpoints of a pool, one a line, in columns: share, address, pod, node, and what is to be said of it.

use super::palette::{DIM, paint};
use super::remark::{self, Remark};
use super::text::{bar, clean, percent};
use super::tree::{Detail, Node};
use crate::dataplane::{AboutEndpoint, Absent, Endpoint};

/// Columns of the tree's branches before an endpoint.
const INDENT: usize = 6;

/// Between two columns.
const GAP: &str = "  ";

/// One endpoint.
pub(super) struct Row {
    share: Option<f64>,
    address: String,
    /// The chain, where the address does not tell the endpoint.
    chain: String,
    pod: String,
    node: String,
    remark: Option<Remark>,
}

impl Row {
    /// A row for an endpoint of a Service in `namespace`, whose own Pods go without it.
    pub(super) fn of(endpoint: &Endpoint, namespace: Option<&str>) -> Self {
        let unknown = endpoint.address.ip().is_none();
        let about = endpoint.about.as_ref();
        let row = Self {
            share: endpoint.probability,
            address: clean(&endpoint.address.to_string()).into_owned(),
            chain: if unknown { clean(&endpoint.chain).into_owned() } else { String::new() },
            pod: String::new(),
            node: String::new(),
            remark: about.and_then(remark::endpoint),
        };
        match about {
            // Whose a stale address is, the remark says.
            Some(about) if !matches!(about.state, crate::dataplane::State::Stale(_)) => row.with(about, namespace),
            _ => row,
        }
    }

    /// A row for an endpoint that gets nothing.
    pub(super) fn absent(absent: &Absent, namespace: Option<&str>) -> Self {
        let row = Self {
            share: Some(0.0),
            address: absent.address.to_string(),
            chain: String::new(),
            pod: String::new(),
            node: String::new(),
            remark: Some(remark::absent(&absent.about)),
        };
        row.with(&absent.about, namespace)
    }

    fn with(self, about: &AboutEndpoint, namespace: Option<&str>) -> Self {
        let pod = about.pod.as_deref().unwrap_or_default();
        let own = namespace.and_then(|namespace| pod.strip_prefix(namespace)?.strip_prefix('/'));
        let local = if about.local == Some(true) { " (local)" } else { "" };
        let node = about.node.as_deref().map(|node| format!("{}{local}", clean(node))).unwrap_or_default();
        Self { pod: clean(own.unwrap_or(pod)).into_owned(), node, ..self }
    }
}

/// Lays rows out in columns. Bars go first where `width` is too small for them; what the cluster says of a row that is
/// still too long goes to a line of its own.
pub(super) fn nodes(rows: &[Row], width: Option<usize>, bars: bool) -> Vec<Node> {
    let widest = |of: fn(&Row) -> &str| rows.iter().map(|row| of(row).chars().count()).max().unwrap_or_default();
    let (address, pod, node) = (widest(|r| &r.address), widest(|r| &r.pod), widest(|r| &r.node));
    let columns = Columns { address, pod, node };
    let fits = |row: &Row, bars: bool| width.is_none_or(|width| columns.length(row, bars) <= width);
    let bars = bars && rows.iter().all(|row| fits(row, true));
    rows.iter().map(|row| columns.node(row, bars, fits(row, bars))).collect()
}

/// Widths of the columns that are padded.
struct Columns {
    address: usize,
    pod: usize,
    node: usize,
}

impl Columns {
    /// What stands behind the address, padded, without colours.
    fn about(&self, row: &Row) -> String {
        let mut cells = Vec::new();
        if self.pod > 0 && !(row.pod.is_empty() && row.node.is_empty() && row.remark.is_some()) {
            cells.push(format!("{:width$}", row.pod, width = self.pod));
        }
        if self.node > 0 && !(row.node.is_empty() && row.pod.is_empty() && row.remark.is_some()) {
            cells.push(format!("{:width$}", row.node, width = if row.remark.is_some() { self.node } else { 0 }));
        }
        cells.join(GAP)
    }

    fn length(&self, row: &Row, bars: bool) -> usize {
        let about = self.about(row);
        let remark = row.remark.as_ref().map(Remark::plain).unwrap_or_default();
        let behind: usize = [row.chain.as_str(), about.trim_end(), &remark]
            .iter()
            .filter(|t| !t.is_empty())
            .map(|t| GAP.len() + t.chars().count())
            .sum();
        let padding = if about.is_empty() { 0 } else { about.chars().count() - about.trim_end().chars().count() };
        INDENT
            + 8
            + if bars { 11 } else { 0 }
            + GAP.len()
            + self.address.max(row.address.chars().count())
            + behind
            + if remark.is_empty() { 0 } else { padding }
    }

    fn node(&self, row: &Row, bars: bool, in_line: bool) -> Node {
        let bar = if bars { format!(" {}", bar(row.share)) } else { String::new() };
        let mut line = format!("{}{bar}{GAP}{:width$}", percent(row.share), row.address, width = self.address);
        if !row.chain.is_empty() {
            line.push_str(&paint(&format!("{GAP}{}", row.chain), DIM));
        }
        let about = self.about(row);
        let mut node = Node::default();
        if in_line {
            if !about.trim().is_empty() {
                line.push_str(GAP);
                line.push_str(&about);
            }
            if let Some(remark) = &row.remark {
                line.push_str(GAP);
                line.push_str(&remark.painted());
            }
        } else {
            let words = about.split_whitespace().collect::<Vec<_>>().join(" ");
            if !words.is_empty() {
                node.details.push(Detail { label: "  ".to_owned(), text: words, style: DIM });
            }
            if let Some(remark) = &row.remark {
                node.details.push(Detail { label: "  ".to_owned(), text: remark.plain(), style: remark.style() });
            }
        }
        node.line = line;
        node
    }
}
