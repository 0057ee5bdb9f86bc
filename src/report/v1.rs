//! Version 1 of the JSON contract: what every document is made of. One list, so that it is long: it is read as the contract is.

use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::build::Services;
use super::v1_diff::{DiffDocument, DiffNodesDocument};
use super::v1_nodes::NodesDocument;
use super::v1_trace::TraceDocument;
use crate::dataplane::Address;
use crate::net::Family;

/// The answer of `show` and `list`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Document {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: Kind,
    /// What the answer was made from.
    pub source: Source,
    /// When it was given, in an answer of `--watch`; absent in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watched>,
    /// Service ports, ordered by name, protocol and family; unnamed ones last.
    #[schemars(with = "Vec<Service<'static>>")]
    pub services: Services,
}

/// Commands that answer with a [`Document`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// `kube-ipt show`
    Show,
    /// `kube-ipt list`
    List,
}

/// What an answer was made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Source {
    /// The mode of kube-proxy whose rules they are: `iptables`, `nftables` or `ipvs`.
    pub dataplane: &'static str,
    /// `nf_tables` or `legacy`; null where the dump does not say.
    pub backend: Option<&'static str>,
    /// Where the rules came from: file names, `stdin`, `local`, `demo`.
    pub from: String,
    /// The node they are of; null where nothing tells it.
    pub node: Option<String>,
    /// Tables that were read: `nat` and `filter` of iptables, `kube-proxy` of nftables, `ipvs`.
    pub tables: Vec<&'static str>,
    /// Families that were read.
    pub families: Vec<Family>,
    /// Where Kubernetes objects came from; null for none.
    pub objects: Option<String>,
    /// True if lines are missing (`grep`, a cut-off file), so that what is not there may exist on the node.
    pub partial: bool,
}

/// The time of one of the answers of `--watch`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Watched {
    /// When the answer was made, as the API writes times: `2026-11-22T08:28:50Z`.
    pub time: String,
    /// Since when rules or objects could not be read, so that it may be out of date; null if all is current.
    pub outdated_since: Option<String>,
}

/// One port of one Service in one family.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Service<'a> {
    /// `ns/name` or `ns/name:port`; null where neither comment nor objects name it.
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
    /// `spec.type`; null without objects.
    #[serde(rename = "type")]
    pub service_type: Option<&'static str>,
    /// The state in one word, the worst that applies.
    pub status: Status,
    /// Seconds a client stays with its endpoint; null without ClientIP affinity.
    pub session_affinity_seconds: Option<u32>,
    /// How clients reach it.
    pub frontends: Vec<Frontend>,
    /// Where its connections go.
    pub pools: Vec<Pool<'a>>,
    /// Endpoints it should have, where no rule leads to any; null without objects, or where rules are missing from the
    /// dump.
    pub unprogrammed: Option<Vec<Missing>>,
    /// Endpoints of the cluster that are not ready and that no rule leads to, as it should be; null without objects.
    pub not_ready: Option<Vec<Missing>>,
    /// Findings about it.
    pub findings: Vec<Finding>,
}

/// The state of a service port: from the rules, and with objects from what the cluster wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// Every connection reaches an endpoint.
    Ok,
    /// No rule leads to endpoints; connections are refused, dropped or left alone.
    NoEndpoints,
    /// Part of the connections falls through untranslated.
    Undelivered,
    /// A rule cannot be judged, or is missing from the dump.
    Unknown,
    /// Rules lead to an endpoint that is gone or not ready, or the cluster does not have the service port any more.
    Stale,
    /// It should have rules on this node and has none.
    NotProgrammed,
    /// Some endpoints that should get connections get none.
    MissingEndpoints,
    /// The Service is headless: it has no rules anywhere.
    Headless,
    /// The Service has no cluster IP yet, and so no rules.
    NoClusterIp,
    /// The Service is of type ExternalName: it has no rules anywhere.
    ExternalName,
    /// Another proxy than kube-proxy serves the Service.
    OtherProxy,
    /// The Service has addresses of another family only than the rules that were read.
    OtherFamily,
}

/// An address or node port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Frontend {
    /// `cluster-ip`, `external-ip`, `load-balancer` or `node-port`.
    pub kind: &'static str,
    /// The address; null for a node port.
    pub address: Option<String>,
    /// The port, 0..=65535; null where the rule does not name exactly one by its number.
    pub port: Option<u16>,
    /// What happens, by where the client is.
    pub routes: Vec<Route>,
}

/// What happens to connections from one origin.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Route {
    /// `pod`, `node` or `external`.
    pub origin: &'static str,
    /// Only clients from these networks; empty for all that no other route of the origin names.
    pub sources: Vec<String>,
    /// `pool`, `drop`, `reject` or `none` (not captured); null where it cannot be told.
    pub verdict: Option<&'static str>,
    /// The pool's policy, for verdict `pool`.
    pub policy: Option<&'static str>,
    /// Whether the client's address is replaced by the node's; null where the rules alone do not tell.
    pub masquerade: Option<bool>,
}

/// A set of endpoints.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Pool<'a> {
    /// `cluster` or `local`.
    pub policy: &'static str,
    /// The chain that spreads connections; in IPVS mode the virtual server, `TCP 10.96.0.1:443`.
    pub chain: String,
    /// How IPVS chooses among endpoints (`rr`, `lc`, …); null in other modes, where chance does.
    pub scheduler: Option<String>,
    /// Part of new connections that reaches no endpoint, 0..=1; null where it cannot be told.
    pub undelivered: Option<f64>,
    /// Endpoints, in the order in which the rules lead to them.
    pub endpoints: Vec<Endpoint<'a>>,
    /// How many endpoints it should have; null without objects, or where it cannot be told.
    pub expected: Option<usize>,
    /// Endpoints it should have and has not; null without objects, or where it cannot be told.
    pub missing: Option<Vec<Missing>>,
    /// Whether the connections that were counted fit the shares; null without counters, and for fewer than two endpoints.
    pub balance: Option<Balance>,
}

/// The connections a pool's counters counted, held against its shares.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Balance {
    /// New connections that were counted; null where counters are abbreviated.
    pub connections: Option<u64>,
    /// False if chance alone explains the difference less than once in a thousand times; null where it was not judged.
    pub fits: Option<bool>,
    /// The statistic of Pearson's chi-square test; null where it was not judged.
    pub chi_square: Option<f64>,
    /// Its degrees of freedom; null where it was not judged.
    pub degrees_of_freedom: Option<u32>,
    /// How often chance alone gives a statistic as large or larger, 0..=1; null where it was not judged.
    pub p_value: Option<f64>,
    /// Why it was not judged; null where it was.
    pub reason: Option<String>,
}

/// An endpoint that gets no connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Missing {
    /// `ip:port` or `[ip6]:port`.
    pub address: String,
    /// `ns/pod`; null where not known.
    pub pod: Option<String>,
    /// The node it runs on; null where not known.
    pub node: Option<String>,
    /// True if it runs on the node the rules are of; null where not known.
    pub local: Option<bool>,
    /// State in the cluster, as for endpoints.
    pub state: &'static str,
}

/// An endpoint.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Endpoint<'a> {
    /// `ip:port` or `[ip6]:port`, `?` for a port the dump does not tell, `*` for a port left as it was; null where
    /// the dump does not tell the address.
    #[schemars(with = "Option<String>")]
    pub address: Option<AddressText<'a>>,
    /// Part of the pool's new connections, 0..=1; null where it cannot be told.
    pub probability: Option<f64>,
    /// The chain that translates the address.
    pub chain: &'a str,
    /// `ns/pod`; null where not known.
    pub pod: Option<&'a str>,
    /// The node it runs on; null where not known.
    pub node: Option<&'a str>,
    /// True if it runs on the node the rules are of; null where not known.
    pub local: Option<bool>,
    /// State in the cluster: `ready`, `serving-terminating`, `not-ready`, `stale` or `unknown`; null without objects.
    pub state: Option<&'static str>,
    /// Why it is stale: `deleted` (no Pod has the address), `ip-reused` (a Pod that is no endpoint of the Service has it)
    /// or `port-changed`; null for others, and where the reason is not known.
    pub reason: Option<&'static str>,
    /// New connections since its chain was last written; null where the dump has no exact counters.
    pub packets: Option<u64>,
    /// True if it gets no new connections and keeps those it has (weight 0 in IPVS mode).
    pub draining: bool,
    /// Open connections, established or not; null where they were not listed (IPVS mode lists them).
    pub open_connections: Option<u64>,
    /// Addresses of clients that ClientIP affinity sends back to it; null where the rules do not list them (nftables mode does).
    pub clients: Option<Vec<String>>,
}

/// The address of an endpoint, which is a string in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressText<'a>(pub &'a Address);

impl Serialize for AddressText<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self.0)
    }
}

/// The answer of `check`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct CheckDocument {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: CheckKind,
    /// What the answer was made from.
    pub source: Source,
    /// When it was given, in an answer of `--watch`; absent in others.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub watch: Option<Watched>,
    /// Counts.
    pub summary: Summary,
    /// What is wrong, by code and place.
    pub findings: Vec<Finding>,
}

/// The command that answers with a [`CheckDocument`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckKind {
    /// `kube-ipt check`
    Check,
}

/// What was checked, and what it showed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Summary {
    /// Service ports that were checked.
    pub services: usize,
    /// Endpoints the rules lead to, each counted once for each service port.
    pub endpoints: usize,
    /// Findings of severity `error`.
    pub errors: usize,
    /// Findings of severity `warning`.
    pub warnings: usize,
    /// Findings of severity `info`.
    pub infos: usize,
    /// What probably happened, in one sentence; null where nothing is wrong, or no one cause explains it.
    pub cause: Option<String>,
    /// Checks that were not made, or not of everything.
    pub skipped: Vec<Skipped>,
}

/// A check that was not made, or not of everything.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Skipped {
    /// `KI101`
    pub id: &'static str,
    /// `stale-endpoint`
    pub code: &'static str,
    /// Why.
    pub reason: String,
}

/// Something wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Finding {
    /// `KI101`; never used for anything else.
    pub id: &'static str,
    /// `stale-endpoint`
    pub code: &'static str,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// `ns/name` or `ns/name:port`; null for the node as a whole, and where nothing names the service.
    pub service: Option<String>,
    /// `tcp`, `udp` or `sctp`; null for the node as a whole, and where no rule says.
    pub protocol: Option<String>,
    /// Family of the rules; null for both.
    pub family: Option<Family>,
    /// The endpoint, `ip:port` or `[ip6]:port`.
    pub address: Option<String>,
    /// The frontend, `ip:port` or `:nodeport`.
    pub frontend: Option<String>,
    /// The chain.
    pub chain: Option<String>,
    /// Which of several kinds of this finding it is.
    pub reason: Option<&'static str>,
    /// Part of the new connections it affects, 0..=1; null where that cannot be told, or none are.
    pub share: Option<f64>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// Rules that show it, and objects it was compared with.
    pub evidence: Vec<Evidence>,
}

/// What shows a finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Evidence {
    /// A rule.
    Rule {
        /// Where it stands: a file name, `stdin`, `demo`, the command that printed it.
        from: String,
        /// Its line, from 1.
        line: u32,
        /// The line.
        text: String,
    },
    /// A field of an object.
    Object {
        /// `Service`, `EndpointSlice`, `ConfigMap`.
        kind: &'static str,
        /// `namespace/name`.
        name: String,
        /// The field.
        field: String,
        /// Its value as it was read, in words where the field is large.
        value: String,
    },
}

/// Any answer.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Any {
    /// Of `show` and `list`.
    Services(Document),
    /// Of `check`.
    Check(CheckDocument),
    /// Of `trace`.
    Trace(TraceDocument),
    /// Of `check` and `list` with `--all-nodes`.
    Nodes(NodesDocument),
    /// Of `diff` with `--all-nodes`.
    DiffNodes(DiffNodesDocument),
    /// Of `diff`.
    Diff(DiffDocument),
}

impl From<Document> for Any {
    fn from(document: Document) -> Self {
        Self::Services(document)
    }
}

impl From<CheckDocument> for Any {
    fn from(document: CheckDocument) -> Self {
        Self::Check(document)
    }
}

impl From<DiffNodesDocument> for Any {
    fn from(document: DiffNodesDocument) -> Self {
        Self::DiffNodes(document)
    }
}

impl From<NodesDocument> for Any {
    fn from(document: NodesDocument) -> Self {
        Self::Nodes(document)
    }
}

impl From<TraceDocument> for Any {
    fn from(document: TraceDocument) -> Self {
        Self::Trace(document)
    }
}

impl From<DiffDocument> for Any {
    fn from(document: DiffDocument) -> Self {
        Self::Diff(document)
    }
}

/// The JSON Schema of every answer.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Any).to_value()
}
