//! The JSON of nft, turned back into the text that `nft list` prints.
//!
//! nft leaves a few things out of its JSON (before 1.0.7 the comments of tables and chains and the flag `dynamic`, always
//! what an `xt` expression holds); these cannot come back. Priorities stay numbers.

mod expr;
mod layout;
mod stmt;

#[cfg(test)]
mod tests;

use std::fmt::{self, Write as _};

use serde_json::{Deserializer, Value};

use self::layout::Ruleset;
use crate::outline;

/// Deeper than anything nft writes, shallow enough for the stack of any thread.
const DEEPEST: usize = 64;

/// The document and its list, in which every object is.
const AROUND_OBJECTS: usize = 2;

/// Turns `nft -j list …` into the text that `nft list …` prints.
///
/// `None` where the text is no JSON of nft. The error says in a few words why the JSON cannot be read and where.
/// Anything may stand before the first line that begins with `{`. Where more than one such document follows, all are
/// restored, in their order.
pub fn restore(text: &str) -> Option<Result<String, String>> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let first = if text.starts_with('{') { 0 } else { next_brace(text, 0)? };
    begins_document(text.get(first..)?).then(|| restore_all(text, first))
}

fn restore_all(text: &str, first: usize) -> Result<String, String> {
    let mut restored = String::new();
    let mut next = Some(first);
    while let Some(from) = next {
        let rest = text.get(from..).unwrap_or_default();
        if let Some((document, length)) = by_object(rest) {
            restored.push_str(&document);
            next = next_document(text, from + length);
            continue;
        }
        // Where something is wrong, the document as a whole tells what and where.
        let mut stream = Deserializer::from_str(rest).into_iter::<Value>();
        let Some(document) = stream.next() else { break };
        let mut document = document.map_err(|error| reason(text, from, &error))?;
        keep_on_one_line(&mut document);
        restored.push_str(&restore_document(&document)?);
        next = next_document(text, from + stream.byte_offset());
    }
    Ok(restored)
}

/// The document that `text` begins with, and its length in bytes. Of its objects one at a time is held as values, which take some
/// thirty times the memory of their text.
fn by_object(text: &str) -> Option<(String, usize)> {
    let (objects, length) = outline::nftables(text).ok()?;
    let mut ruleset = Ruleset::default();
    for object in objects {
        let mut object: Value = serde_json::from_str(object).ok()?;
        if depth(&object) + AROUND_OBJECTS > DEEPEST {
            return None;
        }
        keep_on_one_line(&mut object);
        ruleset.take(&object);
    }
    Some((ruleset.print(), length))
}

fn restore_document(document: &Value) -> Result<String, String> {
    if depth(document) > DEEPEST {
        return Err(format!("nested more than {DEEPEST} levels deep"));
    }
    let objects = document.get("nftables").and_then(Value::as_array);
    let objects = objects.ok_or_else(|| "\"nftables\" is not a list".to_owned())?;
    let mut ruleset = Ruleset::default();
    for object in objects {
        ruleset.take(object);
    }
    Ok(ruleset.print())
}

fn next_document(text: &str, mut from: usize) -> Option<usize> {
    loop {
        from = next_brace(text, from)?;
        if begins_document(text.get(from..)?) {
            return Some(from);
        }
    }
}

/// Where the next line begins that starts with a brace.
fn next_brace(text: &str, from: usize) -> Option<usize> {
    Some(from + text.get(from..)?.find("\n{")? + 1)
}

fn begins_document(text: &str) -> bool {
    text.strip_prefix('{').is_some_and(|rest| rest.trim_start().starts_with("\"nftables\""))
}

/// The words of the error, with the line counted from the start of the whole text.
fn reason(text: &str, from: usize, error: &serde_json::Error) -> String {
    let words = error.to_string();
    let words = words.split(" at line ").next().unwrap_or_default();
    let lines_before = text.bytes().take(from).filter(|&byte| byte == b'\n').count();
    // A line break that must not be there is at column 0 of the line it begins.
    format!("{words} at line {} column {}", lines_before + error.line(), error.column().max(1))
}

/// How deep the value nests. Its own recursion is bounded by the limit of the parser.
fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// Takes line breaks out of every name: what is put back is read line by line, and nft has no name with one.
fn keep_on_one_line(value: &mut Value) {
    match value {
        Value::String(text) if text.contains(['\n', '\r']) => *text = text.replace(['\n', '\r'], " "),
        Value::Array(items) => items.iter_mut().for_each(keep_on_one_line),
        Value::Object(fields) => {
            let broken: Vec<String> = fields.keys().filter(|name| name.contains(['\n', '\r'])).cloned().collect();
            for name in broken {
                if let Some(value) = fields.remove(&name) {
                    fields.insert(name.replace(['\n', '\r'], " "), value);
                }
            }
            fields.values_mut().for_each(keep_on_one_line);
        }
        _ => {}
    }
}

/// What nobody here knows, kept as it is.
fn unknown(value: &Value) -> String {
    format!("unknown-json {value}")
}

/// The one key of an object and what it holds.
fn single(value: &Value) -> Option<(&str, &Value)> {
    let fields = value.as_object()?;
    let (name, body) = fields.iter().next()?;
    (fields.len() == 1).then_some((name.as_str(), body))
}

/// Nothing where the body has any other field: a field that is not printed would be lost.
fn only(body: &Value, known: &[&str]) -> Option<()> {
    match body {
        Value::Null => Some(()),
        Value::Object(fields) => fields.keys().all(|name| known.contains(&name.as_str())).then_some(()),
        _ => None,
    }
}

fn str_of<'a>(body: &'a Value, field: &str) -> Option<&'a str> {
    body.get(field)?.as_str()
}

/// A list of words, which nft writes as a bare word where it is one.
fn words<'a>(body: &'a Value, field: &str) -> Option<Vec<&'a str>> {
    match body.get(field) {
        None => Some(Vec::new()),
        Some(Value::String(word)) => Some(vec![word]),
        Some(value) => value.as_array()?.iter().map(Value::as_str).collect(),
    }
}

fn push(text: &mut String, more: fmt::Arguments<'_>) {
    // A String takes whatever is written to it.
    let _ = text.write_fmt(more);
}

/// In quotes and on one line, whatever is in it.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace(['\n', '\r'], " "))
}

/// Seconds as nft prints them: `1d2h3m4s`, without the units that are zero.
fn duration(seconds: u64) -> String {
    let units = [(seconds / 86_400, 'd'), (seconds / 3_600 % 24, 'h'), (seconds / 60 % 60, 'm'), (seconds % 60, 's')];
    let mut text = String::new();
    for (count, unit) in units.iter().filter(|(count, _)| *count > 0) {
        push(&mut text, format_args!("{count}{unit}"));
    }
    if text.is_empty() { "0s".to_owned() } else { text }
}
