//! The endpoints of a pool, one a line, in columns: share, address, pod, node, and what is to be said of it.

use std::fmt::Write as _;

use super::palette::{DIM, paint};
use super::remark::{self, Remark};
use super::text::{bar, clean, percent};
use super::tree::{Detail, Node};
use crate::dataplane::{AboutEndpoint, Absent, Endpoint, State};

/// Columns of the tree's branches before an endpoint.
const INDENT: usize = 6;

/// Between two columns.
const GAP: &str = "  ";

/// One endpoint.
pub(super) struct Row {
    share: Option<f64>,
    /// New connections that were counted.
    counted: String,
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
            counted: String::new(),
            address: clean(&endpoint.address.to_string()).into_owned(),
            chain: if unknown { clean(&endpoint.chain).into_owned() } else { String::new() },
            pod: String::new(),
            node: String::new(),
            remark: remark::endpoint(endpoint),
        };
        match about {
            // Whose a stale address is, the remark says.
            Some(about) if endpoint.draining || !matches!(about.state, State::Stale(_)) => row.with(about, namespace),
            _ => row,
        }
    }

    /// Adds the connections that were counted.
    pub(super) fn count(&mut self, packets: Option<u64>) {
        self.counted = packets.map(|packets| format!("{packets} counted")).unwrap_or_default();
    }

    /// A row for an endpoint that gets nothing.
    pub(super) fn absent(absent: &Absent, namespace: Option<&str>) -> Self {
        let row = Self {
            share: Some(0.0),
            counted: String::new(),
            address: absent.address.to_string(),
            chain: String::new(),
            pod: String::new(),
            node: String::new(),
            remark: Some(remark::absent(&absent.about)),
        };
        row.with(&absent.about, namespace)
    }

    /// A row among others that all get nothing, of which the line above says why: only what is special is said.
    pub(super) fn without_traffic(absent: &Absent, namespace: Option<&str>) -> Self {
        let row = Self::absent(absent, namespace);
        Self { remark: row.remark.filter(|_| absent.about.state == State::ServingTerminating), ..row }
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
    let columns = Columns { counted: widest(|r| &r.counted), address, pod, node };
    let fits = |row: &Row, bars, with_remark| width.is_none_or(|width| columns.length(row, bars, with_remark) <= width);
    let bars = bars && rows.iter().all(|row| fits(row, true, true));
    let node = |row: &Row| {
        let whole = fits(row, bars, true);
        columns.node(row, bars, whole || fits(row, bars, false), whole)
    };
    rows.iter().map(node).collect()
}

/// Widths of the columns that are padded.
struct Columns {
    counted: usize,
    address: usize,
    pod: usize,
    node: usize,
}

impl Columns {
    /// What stands behind the address, padded, without colours.
    fn about(&self, row: &Row) -> String {
        if row.pod.is_empty() && row.node.is_empty() && row.remark.is_some() {
            return String::new();
        }
        let mut cells = Vec::new();
        if self.pod > 0 {
            cells.push(format!("{:width$}", row.pod, width = self.pod));
        }
        if self.node > 0 {
            cells.push(format!("{:width$}", row.node, width = if row.remark.is_some() { self.node } else { 0 }));
        }
        cells.join(GAP)
    }

    /// The length of a row with what stands behind the address, and with the remark or without.
    fn length(&self, row: &Row, bars: bool, with_remark: bool) -> usize {
        let about = self.about(row);
        let remark = row.remark.as_ref().filter(|_| with_remark).map(Remark::plain).unwrap_or_default();
        let about = if remark.is_empty() { about.trim_end() } else { about.as_str() };
        let behind = [row.chain.as_str(), about, &remark].into_iter().filter(|text| !text.is_empty());
        let behind: usize = behind.map(|text| GAP.len() + text.chars().count()).sum();
        let bar = if bars { 11 } else { 0 } + if self.counted > 0 { GAP.len() + self.counted } else { 0 };
        INDENT + 8 + bar + GAP.len() + self.address.max(row.address.chars().count()) + behind
    }

    /// The line of a row, with what does not fit on lines of its own.
    fn node(&self, row: &Row, bars: bool, about_fits: bool, remark_fits: bool) -> Node {
        let mut bar = if bars { format!(" {}", bar(row.share)) } else { String::new() };
        if self.counted > 0 {
            let _ = write!(bar, "{GAP}{:>width$}", row.counted, width = self.counted);
        }
        let mut node =
            Node::new(format!("{}{bar}{GAP}{:width$}", percent(row.share), row.address, width = self.address));
        if !row.chain.is_empty() {
            node.line.push_str(&paint(&format!("{GAP}{}", row.chain), DIM));
        }
        let about = self.about(row);
        if about_fits && !about.trim().is_empty() {
            node.line.push_str(GAP);
            node.line.push_str(&about);
        } else if !about.trim().is_empty() {
            let text = about.split_whitespace().collect::<Vec<_>>().join(" ");
            node.details.push(Detail { label: GAP.to_owned(), text, style: DIM });
        }
        match &row.remark {
            Some(remark) if remark_fits => {
                node.line.push_str(GAP);
                node.line.push_str(&remark.painted());
            }
            Some(remark) => {
                node.details.push(Detail { label: GAP.to_owned(), text: remark.plain(), style: remark.style() });
            }
            None => {}
        }
        node
    }
}
