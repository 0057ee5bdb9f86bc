//! Version 1 of the JSON contract: the answer of `diff`.

use schemars::JsonSchema;
use serde::Serialize;

use super::v1::Source;
use crate::net::Family;

/// The answer of `diff`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiffDocument {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: DiffKind,
    /// What the first side was made from.
    pub a: Source,
    /// What the second side was made from.
    pub b: Source,
    /// Counts.
    pub summary: DiffSummary,
    /// What could not be compared, and so may be different.
    pub not_compared: Vec<NotCompared>,
    /// Service ports that are different, by name, protocol and family; unnamed ones last.
    pub services: Vec<DiffService>,
}

/// The answer of `diff --all-nodes`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiffNodesDocument {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: DiffNodesKind,
    /// Nodes of either side, by name.
    pub nodes: Vec<DiffNode>,
}

/// The command that answers with a [`DiffNodesDocument`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum DiffNodesKind {
    /// `kube-ipt diff --all-nodes`
    DiffNodes,
}

/// A node and what is different on it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiffNode {
    /// Its name.
    pub node: String,
    /// `a` or `b`, where only that side has it.
    pub only_in: Option<&'static str>,
    /// Why it was not compared; null where it was, and where only one side has it.
    pub not_compared: Option<String>,
    /// The comparison; null where there is none.
    pub diff: Option<DiffDocument>,
}

impl DiffNodesDocument {
    /// The answer about these nodes.
    pub fn new(nodes: Vec<DiffNode>) -> Self {
        Self { schema: super::build::SCHEMA, kind: DiffNodesKind::DiffNodes, nodes }
    }

    /// True if every node is on both sides and nothing is different on any.
    pub fn is_equal(&self) -> bool {
        self.nodes.iter().all(|node| node.diff.as_ref().is_some_and(|diff| diff.summary.equal))
    }
}

/// The command that answers with a [`DiffDocument`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffKind {
    /// `kube-ipt diff`
    Diff,
}

/// How much is different.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DiffSummary {
    /// True if nothing is different, as far as it could be compared.
    pub equal: bool,
    /// Service ports that both sides have.
    pub common: usize,
    /// Service ports that only B has.
    pub gained: usize,
    /// Service ports that only A has.
    pub lost: usize,
    /// Service ports that both have and that are different.
    pub changed: usize,
    /// Frontends that only B has, of all service ports.
    pub frontends_gained: usize,
    /// Frontends that only A has.
    pub frontends_lost: usize,
    /// Endpoints that only B has, each counted once for each service port.
    pub endpoints_gained: usize,
    /// Endpoints that only A has.
    pub endpoints_lost: usize,
    /// Endpoints with another share.
    pub shares_changed: usize,
    /// Endpoints with another state.
    pub states_changed: usize,
    /// Endpoints that should be programmed, are not in B, and were not missing in A.
    pub missing_gained: usize,
    /// Endpoints that were missing in A and are not in B.
    pub missing_lost: usize,
}

/// Facts that could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NotCompared {
    /// The side that does not tell: `a` or `b`.
    pub side: &'static str,
    /// `family-not-read`, `lines-missing`, `no-filter-table`, `no-objects`, `rule-not-judged`, `address-not-told`,
    /// `masquerade-not-told`, `sources-not-told`, `policy-not-told` or `expectation-unknown`.
    pub reason: &'static str,
    /// How many facts.
    pub count: usize,
    /// The same in one sentence.
    pub message: String,
}

/// A service port that is different.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiffService {
    /// `ns/name` or `ns/name:port`; null where neither side names it.
    pub service: Option<String>,
    /// Namespace.
    pub namespace: Option<String>,
    /// Name of the Service.
    pub name: Option<String>,
    /// Name of the port; null for an unnamed one.
    pub port_name: Option<String>,
    /// `tcp`, `udp` or `sctp`; null where no rule says.
    pub protocol: Option<String>,
    /// Family of its addresses.
    pub family: Family,
    /// Whether one side alone has it.
    pub change: DiffTurn,
    /// What is different: of one that only one side has, every frontend and endpoint.
    pub changes: Vec<DiffChange>,
}

/// Which side has something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DiffTurn {
    /// Only B.
    Gained,
    /// Only A.
    Lost,
    /// Both, and it is different.
    Changed,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DiffChange {
    /// What is different: `status`, `type`, `session-affinity-seconds` of the service port; `frontend`; `verdict`,
    /// `masquerade` of a frontend's route; `scheduler`, `undelivered` of a pool; `endpoint`; `share`, `state`, `draining`,
    /// `hairpin` of an endpoint; `missing-endpoint`, which should be programmed and is not.
    pub what: &'static str,
    /// How.
    pub change: DiffTurn,
    /// Kind of the frontend; null for what is about none.
    pub kind: Option<&'static str>,
    /// The frontend, `ip:port` or `:nodeport`; null for what is about none.
    pub frontend: Option<String>,
    /// Where the client is: `pod`, `node` or `external`; null for what is not about clients.
    pub origin: Option<&'static str>,
    /// Only clients from this network; null for all others.
    pub source: Option<String>,
    /// `cluster` or `local`; null for what is not about a pool.
    pub policy: Option<&'static str>,
    /// The endpoint, `ip:port` or `[ip6]:port`; null for what is about none, and where the dump does not tell.
    pub address: Option<String>,
    /// `ns/pod` of the endpoint; null where not known.
    pub pod: Option<String>,
    /// The node the endpoint runs on; null where not known.
    pub node: Option<String>,
    /// The value in A: of an endpoint its share, of a missing one its state; null where A has none, and for frontends.
    pub a: Option<DiffValue>,
    /// The value in B.
    pub b: Option<DiffValue>,
}

/// A value of a fact.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum DiffValue {
    /// Yes or no.
    Flag(bool),
    /// Seconds.
    Seconds(u32),
    /// A part of new connections, 0..=1.
    Part(f64),
    /// A word: a state, a type, a scheduler; for verdicts `cluster`, `local` (the pool), `drop`, `reject` or `none`.
    Word(String),
}
