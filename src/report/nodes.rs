//! From the answers of many nodes to one: findings that several have are told once, and the odd node is named.

use std::collections::BTreeMap;

use super::build::{SCHEMA, Services};
use super::v1::{CheckDocument, Finding};
use super::v1_nodes::{NodeRow, NodesDocument, NodesKind, NodesSummary, SharedFinding};
use crate::dataplane::count;
use crate::net::Family;
use crate::order::Order as _;

/// What was seen of one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    /// The node.
    pub node: String,
    /// The version of kube-proxy, where known.
    pub version: Option<String>,
    /// What its rules show, or why they could not be read.
    pub seen: Result<Seen, String>,
}

/// What the rules of a node show.
#[derive(Debug, Clone, PartialEq)]
pub struct Seen {
    /// Its check.
    pub check: CheckDocument,
    /// Its service ports, where they were asked for.
    pub services: Option<Services>,
    /// For how many seconds at least its rules have been behind the cluster; `None` where that cannot be told.
    pub behind: Option<i64>,
    /// Remarks about the reading.
    pub notes: Vec<String>,
}

/// What makes two findings the same on two nodes: all but the node itself and the lines that show it there.
type Key<'f> = (
    &'static str,
    Option<&'f str>,
    Option<&'f str>,
    Option<&'f str>,
    Option<&'f str>,
    (Option<Family>, Option<&'static str>, &'static str, Option<u64>),
);

fn key(finding: &Finding) -> Key<'_> {
    (
        finding.id,
        finding.service.as_deref(),
        finding.protocol.as_deref(),
        finding.address.as_deref(),
        // Chains of one Service have the same names on every node, and tell findings apart that have no Service.
        finding.frontend.as_deref().or(finding.chain.as_deref().filter(|_| finding.service.is_none())),
        (finding.family, finding.reason, finding.severity, finding.share.map(f64::to_bits)),
    )
}

/// The answer about all nodes.
pub fn nodes_document(kind: NodesKind, mut looks: Vec<Look>) -> NodesDocument {
    looks.order_by(|a, b| a.node.cmp(&b.node));
    let odd = odd(&looks);
    let findings = shared(&looks);
    let of = |severity: &str| findings.iter().filter(|shared| shared.finding.severity == severity).count();
    let summary = NodesSummary {
        nodes: looks.len(),
        unreachable: looks.iter().filter(|look| look.seen.is_err()).count(),
        odd: odd.as_ref().map(|odd| odd.keys().cloned().collect()),
        errors: of("error"),
        warnings: of("warning"),
        infos: of("info"),
    };
    let mut odd = odd.unwrap_or_default();
    let nodes = looks.into_iter().map(|look| row(look, &mut odd)).collect();
    NodesDocument { schema: SCHEMA, kind, summary, nodes, findings }
}

fn row(look: Look, odd: &mut BTreeMap<String, String>) -> NodeRow {
    let odd = odd.remove(&look.node);
    let blank = NodeRow {
        node: look.node,
        unreachable: None,
        source: None,
        kube_proxy_version: look.version,
        service_ports: None,
        endpoints: None,
        errors: 0,
        warnings: 0,
        infos: 0,
        behind_seconds: None,
        odd,
        notes: Vec::new(),
        services: None,
    };
    match look.seen {
        Err(why) => NodeRow { unreachable: Some(why), ..blank },
        Ok(Seen { check, services, behind, mut notes }) => {
            let skipped = check.summary.skipped.iter();
            notes.extend(skipped.map(|skipped| format!("{} was skipped: {}", skipped.code, skipped.reason)));
            NodeRow {
                source: Some(check.source),
                service_ports: Some(check.summary.services),
                endpoints: Some(check.summary.endpoints),
                errors: check.summary.errors,
                warnings: check.summary.warnings,
                infos: check.summary.infos,
                behind_seconds: behind,
                notes,
                services,
                ..blank
            }
        }
    }
}

/// Each finding once, those of most nodes first.
fn shared(looks: &[Look]) -> Vec<SharedFinding> {
    let mut places: BTreeMap<Key<'_>, usize> = BTreeMap::new();
    let mut found: Vec<(Vec<&str>, &Finding)> = Vec::new();
    for (look, seen) in looks.iter().filter_map(|look| Some((look, look.seen.as_ref().ok()?))) {
        for finding in &seen.check.findings {
            let place = *places.entry(key(finding)).or_insert(found.len());
            match found.get_mut(place) {
                // A node may have the same twice, as a Service with two pools has.
                Some((nodes, _)) if nodes.last() == Some(&look.node.as_str()) => {}
                Some((nodes, _)) => nodes.push(&look.node),
                None => found.push((vec![&look.node], finding)),
            }
        }
    }
    let rank = |severity: &str| ["error", "warning", "info"].iter().position(|known| *known == severity);
    found.order_by_key(|(nodes, finding)| (rank(finding.severity), std::cmp::Reverse(nodes.len()), finding.id));
    let of_all = |(nodes, finding): (Vec<&str>, &Finding)| {
        let mut finding = finding.clone();
        if let [first, _, ..] = nodes.as_slice() {
            // A sentence that ends in its own node speaks for all of them.
            let own = [format!(" from {first}"), " from this node".to_owned()];
            if let Some(start) = own.iter().find_map(|own| finding.message.strip_suffix(own.as_str())) {
                finding.message = format!("{start} from these nodes");
            }
        }
        SharedFinding { nodes: nodes.into_iter().map(str::to_owned).collect(), finding }
    };
    found.into_iter().map(of_all).collect()
}

/// The nodes that differ from most others, with how; `None` where no state is that of more than half of the nodes read.
///
/// What Local policy and topology make different is none: it is in what each node should have, and so no finding.
fn odd(looks: &[Look]) -> Option<BTreeMap<String, String>> {
    let read: Vec<(&Look, &Seen)> = looks.iter().filter_map(|look| Some((look, look.seen.as_ref().ok()?))).collect();
    let mut states: BTreeMap<State<'_>, Vec<usize>> = BTreeMap::new();
    for (at, (_, seen)) in read.iter().enumerate() {
        states.entry(State::of(seen)).or_default().push(at);
    }
    let (usual, members) = states.iter().max_by_key(|(_, members)| members.len())?;
    if members.len() * 2 <= read.len() {
        return None;
    }
    let mut named = BTreeMap::new();
    for (state, members) in states.iter().filter(|(state, _)| *state != usual) {
        let how = state.difference(usual);
        named.extend(members.iter().map(|at| (read[*at].0.node.clone(), how.clone())));
    }
    Some(named)
}

/// What nodes are compared by.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct State<'f> {
    mode: &'static str,
    backend: Option<&'static str>,
    families: &'f [Family],
    findings: Vec<Key<'f>>,
}

impl<'f> State<'f> {
    fn of(seen: &'f Seen) -> Self {
        let source = &seen.check.source;
        let mut findings: Vec<Key<'f>> = seen.check.findings.iter().map(key).collect();
        findings.order();
        findings.dedup();
        Self { mode: source.dataplane, backend: source.backend, families: &source.families, findings }
    }

    /// How it differs from what is usual.
    fn difference(&self, usual: &Self) -> String {
        let mut parts = Vec::new();
        if self.mode != usual.mode {
            parts.push(format!("its mode is {}, that of the others {}", self.mode, usual.mode));
        } else if let (Some(own), Some(other), true) = (self.backend, usual.backend, self.backend != usual.backend) {
            parts.push(format!("its rules are {own} ones, those of the others {other}"));
        }
        if self.families != usual.families {
            let words =
                |families: &[Family]| families.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and ");
            parts.push(format!("it has rules of {}, the others of {}", words(self.families), words(usual.families)));
        }
        let beyond = |one: &Self, other: &Self| {
            one.findings.iter().filter(|finding| other.findings.binary_search(finding).is_err()).count()
        };
        match (beyond(self, usual), beyond(usual, self)) {
            (0, 0) => {}
            (more, 0) => parts.push(format!("{} that the others have not", count(more, "finding"))),
            (0, fewer) => parts.push(format!("it has not {} of the others", count(fewer, "finding"))),
            (more, fewer) => parts.push(format!(
                "{} that the others have not, and not {} of theirs",
                count(more, "finding"),
                count(fewer, "finding")
            )),
        }
        parts.join("; ")
    }
}
