//! Endpoints as JSON, laid out as serde_json lays out what people read.
//!
//! A large node has a hundred thousand, of twelve fields each, and a serializer takes longer with the names of the fields than
//! with what is in them. Everything else of an answer is left to it.

use std::io;

use memchr::memmem;

use crate::report::Endpoint;

/// The list of a pool as it is written without its endpoints. In a string these quotes would have backslashes.
const EMPTY: &[u8] = b"\"endpoints\": []";

/// What stands before the first field of an endpoint, before another one, and behind the last.
const FIRST: &[u8] = b"{\n              ";
const NEXT: &[u8] = b",\n              ";
const LAST: &[u8] = b"\n            }";

/// Adds `frame` to `out`: a service port in its document, whose pools have no endpoints yet. They get those of `pools`, in their
/// order.
pub(super) fn put<'a>(
    frame: &[u8],
    pools: impl Iterator<Item = impl Iterator<Item = Endpoint<'a>>>,
    out: &mut Vec<u8>,
) -> io::Result<()> {
    let mut done = 0;
    for (at, endpoints) in memmem::find_iter(frame, EMPTY).zip(pools) {
        let list = at + EMPTY.len() - "[]".len();
        out.extend_from_slice(&frame[done..list]);
        done = at + EMPTY.len();
        let mut between: &[u8] = b"[\n            ";
        for endpoint in endpoints {
            out.extend_from_slice(between);
            put_one(&endpoint, out)?;
            between = b",\n            ";
        }
        // Nothing was written of a pool without endpoints.
        out.extend_from_slice(if between.starts_with(b"[") { b"[]" } else { b"\n          ]" });
    }
    out.extend_from_slice(&frame[done..]);
    Ok(())
}

fn put_one(endpoint: &Endpoint<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    let Endpoint { address, probability, chain, pod, node, local, state, reason, packets, draining, .. } = endpoint;
    let Endpoint { open_connections, clients, .. } = endpoint;
    let mut field = |before: &[u8], name: &[u8], value: Value<'_>| {
        out.extend_from_slice(before);
        out.extend_from_slice(name);
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Is(is) => out.extend_from_slice(if is { b"true" } else { b"false" }),
            Value::Text(text) => serde_json::to_writer(&mut *out, text)?,
            Value::Texts(texts) => put_list(texts, out)?,
            Value::Part(part) => serde_json::to_writer(&mut *out, &part)?,
            Value::Count(count) => serde_json::to_writer(&mut *out, &count)?,
        }
        io::Result::Ok(())
    };
    let count = |count: &Option<u64>| count.map_or(Value::Null, Value::Count);
    field(FIRST, b"\"address\": ", text(address.as_deref()))?;
    field(NEXT, b"\"probability\": ", probability.map_or(Value::Null, Value::Part))?;
    field(NEXT, b"\"chain\": ", Value::Text(chain))?;
    field(NEXT, b"\"pod\": ", text(*pod))?;
    field(NEXT, b"\"node\": ", text(*node))?;
    field(NEXT, b"\"local\": ", local.map_or(Value::Null, Value::Is))?;
    field(NEXT, b"\"state\": ", text(*state))?;
    field(NEXT, b"\"reason\": ", text(*reason))?;
    field(NEXT, b"\"packets\": ", count(packets))?;
    field(NEXT, b"\"draining\": ", Value::Is(*draining))?;
    field(NEXT, b"\"open_connections\": ", count(open_connections))?;
    field(NEXT, b"\"clients\": ", clients.as_deref().map_or(Value::Null, Value::Texts))?;
    out.extend_from_slice(LAST);
    Ok(())
}

/// A list in a field of an endpoint.
fn put_list(texts: &[String], out: &mut Vec<u8>) -> io::Result<()> {
    let mut before: &[u8] = b"[\n                ";
    for text in texts {
        out.extend_from_slice(before);
        serde_json::to_writer(&mut *out, text)?;
        before = b",\n                ";
    }
    out.extend_from_slice(if texts.is_empty() { b"[]" } else { b"\n              ]" });
    Ok(())
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}

/// What a field of an endpoint can be.
enum Value<'v> {
    Null,
    Is(bool),
    Text(&'v str),
    Texts(&'v [String]),
    Part(f64),
    Count(u64),
}
