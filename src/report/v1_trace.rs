//! Version 1 of the JSON contract: the answer of `trace`.

use schemars::JsonSchema;
use serde::Serialize;

use super::v1::Source;

/// The answer of `trace`.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TraceDocument {
    /// `kube-ipt/v1`.
    pub schema: &'static str,
    /// Which command answered.
    pub kind: TraceKind,
    /// What the answer was made from.
    pub source: Source,
    /// The connection.
    pub packet: Packet,
    /// `delivered`, `drop`, `reject` or `untranslated`; null where it can end in more than one way, or cannot be told.
    pub verdict: Option<&'static str>,
    /// True if it is marked for masquerading on its way, or its source is replaced, for every endpoint or for some; null where
    /// that cannot be told. What is marked and does not leave the node keeps its source all the same, as `destinations` say.
    pub masquerade: Option<bool>,
    /// Every endpoint a new connection can reach, in the order of the rules.
    pub destinations: Vec<TraceDestination>,
    /// Every way it can end, the likeliest first.
    pub outcomes: Vec<TraceOutcome>,
    /// What is not known and decides about it, one sentence each.
    pub unknown: Vec<String>,
    /// Rules that apply, in the order they are met; with `-v` also those that do not.
    pub steps: Vec<TraceStep>,
}

/// The command that answers with a [`TraceDocument`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TraceKind {
    /// `kube-ipt trace`
    Trace,
}

/// A connection that is followed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Packet {
    /// FROM as it was given.
    pub from: String,
    /// TO as it was given.
    pub to: String,
    /// Where the client is: `pod`, `node` or `external`.
    pub origin: &'static str,
    /// The client's address; null where it is none in particular, or not known.
    pub source: Option<String>,
    /// The client's port; null where none was given.
    pub source_port: Option<u16>,
    /// The address it connects to; null for one of the node's, of which none is known.
    pub destination: Option<String>,
    /// The port it connects to.
    pub port: u16,
    /// `tcp`, `udp` or `sctp`.
    pub protocol: String,
    /// `ns/name` or `ns/name:port` of the service port it connects to; null for none, and where nothing names it.
    pub service: Option<String>,
}

/// An endpoint a connection can reach.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TraceDestination {
    /// `ip:port` or `[ip6]:port`; null where the dump does not tell.
    pub address: Option<String>,
    /// Part of new connections it gets, 0..=1; null where that depends on something that is not known.
    pub probability: Option<f64>,
    /// Whether the client's address is replaced on the way there; null where that cannot be told.
    pub masquerade: Option<bool>,
    /// The Pod with this address, `ns/pod`; null where not known.
    pub pod: Option<String>,
    /// The node it runs on; null where not known.
    pub node: Option<String>,
    /// State in the cluster: `ready`, `serving-terminating`, `not-ready`, `stale` or `unknown`; null where it is no endpoint that is
    /// known, or without objects.
    pub state: Option<&'static str>,
}

/// A way a connection can end.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TraceOutcome {
    /// `delivered`, `drop`, `reject` or `untranslated`; null where it cannot be told.
    pub verdict: Option<&'static str>,
    /// Part of new connections, 0..=1; null where that depends on something that is not known.
    pub probability: Option<f64>,
    /// Whether the client's address is replaced; null where that cannot be told.
    pub masquerade: Option<bool>,
    /// Why it cannot be told; null where it can.
    pub reason: Option<String>,
}

/// A rule on the way of a connection, or the policy of a built-in chain.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct TraceStep {
    /// `PREROUTING`, `INPUT`, `FORWARD`, `OUTPUT` or `POSTROUTING`.
    pub hook: &'static str,
    /// `raw`, `mangle`, `nat`, `filter` or `security`.
    pub table: &'static str,
    /// The chain.
    pub chain: String,
    /// The text the rule stands in: a file name, `stdin`, the command that printed it; null for a policy.
    pub from: Option<String>,
    /// Its line there, from 1; null for a policy.
    pub line: Option<u32>,
    /// The rule behind `-A CHAIN`; null for a policy.
    pub rule: Option<String>,
    /// What it does: `jump CHAIN`, `goto CHAIN`, `return`, `accept`, `drop`, `reject`, `dnat ADDRESS`, `masquerade`,
    /// `mark VALUE`, `connmark VALUE`, `notrack`, `nothing`, `unknown`.
    pub action: String,
    /// Part of new connections it applies to, 0..=1; null where that depends on something that is not known.
    pub probability: Option<f64>,
    /// True if it applies on every way that comes to it, false if it does not apply; null if that is not known.
    pub applies: Option<bool>,
    /// The condition that fails, or what is not known; null for a rule that applies.
    pub because: Option<String>,
}
