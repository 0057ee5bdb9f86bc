//! The answers of each command as data: the JSON contract `kube-ipt/v1`.
//!
//! These structs are frozen: fields may be added, never renamed or given another meaning. They are apart from the
//! internal types so that those may change. A JSON Schema is generated from them ([`schema`]) and kept under test.
//! Absent facts are `null`.

mod build;
mod check;
mod diff;
mod likeness;
mod nodes;
mod quotes;
mod trace;
mod v1;
mod v1_diff;
mod v1_nodes;
mod v1_trace;

pub use build::{Header, Services, document, endpoint};
pub use check::{check_document, ports_checked};
pub use diff::{diff_document, diff_summary};
pub use likeness::likeness;
pub use nodes::{Look, Seen, nodes_document};
pub use quotes::{Quote, Quotes};
pub use trace::trace_document;
pub use v1::{
    Any, Balance, CheckDocument, CheckKind, Document, Endpoint, Evidence, Finding, Frontend, Kind, Missing, Pool,
    Route, Service, Skipped, Source, Status, Summary, Watched, schema,
};
pub use v1_diff::{
    DiffChange, DiffDocument, DiffKind, DiffNode, DiffNodesDocument, DiffNodesKind, DiffService, DiffSummary, DiffTurn,
    DiffValue, NotCompared,
};
pub use v1_nodes::{NodeRow, NodesDocument, NodesKind, NodesSummary, SharedFinding};
pub use v1_trace::{Packet, TraceDestination, TraceDocument, TraceKind, TraceOutcome, TraceStep};
