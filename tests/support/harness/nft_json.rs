//! What `nft -j list` prints: put back, it is a listing.

use kube_ipt::dump::nft::{Listing, restore};
use serde_json::Value;

use super::nft_text;

/// Words that a name, repeated in many places, may grow to.
const GROWTH: usize = 64;

pub(super) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some(Ok(listing)) = restore(&text) else { return };
    assert!(listing.len() <= GROWTH * text.len() + 1024, "{} bytes became {}", text.len(), listing.len());
    nft_text::reads(&listing);
    let read = Listing::scan(&listing);
    assert!(!read.cut_off, "what is put back ends inside a table: {listing}");
    // Nothing is made up by what stands in a name.
    let Ok(document) = serde_json::from_str::<Value>(&text) else { return };
    let chains: usize = read.tables.iter().map(|table| table.chains().len()).sum();
    let told = count(&document, "chain");
    assert!(chains <= told, "{chains} chains of {told}: {listing}");
}

/// How often a key is in a document.
fn count(value: &Value, key: &str) -> usize {
    match value {
        Value::Array(items) => items.iter().map(|item| count(item, key)).sum(),
        Value::Object(fields) => fields.iter().map(|(name, value)| usize::from(name == key) + count(value, key)).sum(),
        _ => 0,
    }
}
