//! The contract as JSON and YAML.

use std::fmt::Write as _;

use serde::Serialize;

use super::text::is_unsafe;

/// `document` as indented JSON. Characters a terminal would act on are written as escapes, which JSON allows in every
/// string.
pub fn json(document: &impl Serialize) -> Result<String, serde_json::Error> {
    let mut text = serde_json::to_string_pretty(document)?;
    if text.chars().any(needs_escape) {
        text = escaped(&text);
    }
    text.push('\n');
    Ok(text)
}

/// `document` as YAML, with the same guarantee.
///
/// Plain YAML strings know no escapes, so a document that needs some is written in the form of JSON, which is YAML too.
pub fn yaml(document: &impl Serialize) -> Result<String, String> {
    let text = serde_saphyr::to_string(document).map_err(|e| e.to_string())?;
    if text.chars().any(needs_escape) { json(document).map_err(|e| e.to_string()) } else { Ok(text) }
}

fn needs_escape(c: char) -> bool {
    c != '\n' && is_unsafe(c)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if needs_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}
