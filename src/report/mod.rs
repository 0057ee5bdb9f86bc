//! The answers of each command as data: the JSON contract `kube-ipt/v1`.
//!
//! These structs are frozen: fields may be added, never renamed or given another meaning. They are apart from the
//! internal types so that those may change. A JSON Schema is generated from them ([`schema`]) and kept under test.
//! Absent facts are `null`.

mod build;
mod v1;

pub use build::{Header, document, service};
pub use v1::{Document, Endpoint, Frontend, Kind, Missing, Pool, Route, Service, Source, Status, schema};
