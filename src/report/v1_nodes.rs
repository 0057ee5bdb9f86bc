//! Version 1 of the JSON contract: the answer about many nodes.

use schemars::JsonSchema;
use serde::Serialize;

use super::build::Services;
use super::v1::{Finding, Service, Source};

/// The answer of `check` and `list` with `--all-nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NodesDocument {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: NodesKind,
    /// Counts over all nodes.
    pub summary: NodesSummary,
    /// Nodes, by name.
    pub nodes: Vec<NodeRow>,
    /// Findings, each once with every node it was found on.
    pub findings: Vec<SharedFinding>,
}

/// Commands that answer with a [`NodesDocument`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodesKind {
    /// `kube-ipt check --all-nodes`
    CheckNodes,
    /// `kube-ipt list --all-nodes`
    ListNodes,
}

/// Counts over all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodesSummary {
    /// Nodes there are.
    pub nodes: usize,
    /// Nodes whose rules could not be read.
    pub unreachable: usize,
    /// Nodes that differ from the others; null where most nodes do not agree, so that there is no odd one.
    pub odd: Option<Vec<String>>,
    /// Findings of severity `error`, each counted once however many nodes have it.
    pub errors: usize,
    /// Findings of severity `warning`, likewise.
    pub warnings: usize,
    /// Findings of severity `info`, likewise.
    pub infos: usize,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct NodeRow {
    /// Its name.
    pub node: String,
    /// Why its rules could not be read; null where they were.
    pub unreachable: Option<String>,
    /// What its rules were made from; null where they could not be read.
    pub source: Option<Source>,
    /// The version of kube-proxy, as its image is tagged; null where not known.
    pub kube_proxy_version: Option<String>,
    /// Service ports; null where its rules could not be read.
    pub service_ports: Option<usize>,
    /// Endpoints the rules lead to, each counted once for each service port.
    pub endpoints: Option<usize>,
    /// Findings of severity `error`.
    pub errors: usize,
    /// Findings of severity `warning`.
    pub warnings: usize,
    /// Findings of severity `info`.
    pub infos: usize,
    /// For how many seconds at least its rules have been behind the cluster: since the oldest change of an EndpointSlice
    /// whose Service they do not show as it is. 0 where they show everything; null where that cannot be told.
    pub behind_seconds: Option<i64>,
    /// How it differs from the other nodes; null where it does not, or there is no majority to differ from.
    pub odd: Option<String>,
    /// What could not be checked there, and other remarks.
    pub notes: Vec<String>,
    /// Its service ports; null for `check`.
    #[schemars(with = "Option<Vec<Service<'static>>>")]
    pub services: Option<Services>,
}

/// A finding with the nodes that have it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct SharedFinding {
    /// The nodes, by name.
    pub nodes: Vec<String>,
    /// The finding, with the rules that show it on the first of them.
    #[serde(flatten)]
    pub finding: Finding,
}
