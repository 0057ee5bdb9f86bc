//! What two answers have in common if a reader would call them the same.

use std::hash::{DefaultHasher, Hasher};

use serde::Serialize;
use serde_json::Value;

use super::{Header, Quotes, build, check};
use crate::checks::Finding;
use crate::dataplane::ServicePort;

/// Fields that move while nothing changes: counters and what is told from them, clients that come and go, and the lines on
/// which rules stand, which move with every rule before them.
const MOVING: [&str; 5] = ["packets", "open_connections", "clients", "balance", "evidence"];

/// A number that is the same for answers that say the same. Service by service, so that large nodes are not held twice.
pub fn likeness(header: &Header, services: &[ServicePort], findings: &[Finding], quotes: &Quotes<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    put(&header.source(), &mut hasher);
    put(&header.watch.as_ref().and_then(|watch| watch.outdated_since.as_ref()), &mut hasher);
    for port in services {
        put(&build::service(port), &mut hasher);
    }
    for finding in findings {
        put(&check::finding(finding, quotes), &mut hasher);
    }
    hasher.finish()
}

fn put(part: &impl Serialize, hasher: &mut impl Hasher) {
    // Everything of the contract can be written as JSON, and read again. What writes the text is in the program anyhow.
    let text = serde_json::to_vec(part).unwrap_or_default();
    hash(&serde_json::from_slice(&text).unwrap_or_default(), hasher);
}

fn hash(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Object(fields) => {
            hasher.write_usize(fields.len());
            for (name, value) in fields.iter().filter(|(name, _)| !MOVING.contains(&name.as_str())) {
                hasher.write(name.as_bytes());
                hash(value, hasher);
            }
        }
        Value::Array(items) => {
            hasher.write_usize(items.len());
            for item in items {
                hash(item, hasher);
            }
        }
        // Quotes part a text from what follows.
        plain => hasher.write(plain.to_string().as_bytes()),
    }
}
