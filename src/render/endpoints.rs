//! Endpoints as JSON, as serde_json writes them.
//!
//! A large node has a hundred thousand, of twelve fields each, and a serializer takes longer with the names of the fields than
//! with what is in them. Everything else of an answer is left to it.

use std::io;
use std::net::IpAddr;

use memchr::{memchr3, memmem};

use super::json::{harmless, is_plain};
use crate::dataplane::Address;
use crate::net::V4Text;
use crate::report::Endpoint;

/// The list of a pool as it is written without its endpoints. In a string these quotes would have backslashes.
const EMPTY: &[u8] = b"\"endpoints\":[]";

/// More than most endpoints take, in bytes.
const USUAL: usize = 320;

/// What stands before the value of a field of an endpoint.
macro_rules! field {
    (first $name:literal) => {
        concat!("{\"", $name, "\":").as_bytes()
    };
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}

/// What the rules alone do not tell of an endpoint, and the end of it.
const BARE: &[u8] = b",\"pod\":null,\"node\":null,\"local\":null,\"state\":null,\"reason\":null,\"packets\":null,\
    \"draining\":false,\"open_connections\":null,\"clients\":null}";

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
        put_list(endpoints, out, |endpoint, out| put_one(&endpoint, out))?;
    }
    out.extend_from_slice(&frame[done..]);
    Ok(())
}

fn put_one(endpoint: &Endpoint<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    let Endpoint { address, probability, chain, pod, node, local, state, reason, packets, draining, .. } = endpoint;
    let Endpoint { open_connections, clients, .. } = endpoint;
    out.reserve(USUAL);
    let mut put = |name: &[u8], value: Value<'_>| {
        out.extend_from_slice(name);
        match value {
            Value::Null => out.extend_from_slice(b"null"),
            Value::Is(is) => out.extend_from_slice(if is { b"true" } else { b"false" }),
            Value::Text(text) => put_text(text, out)?,
            Value::Address(address) => put_address(address, out)?,
            Value::Texts(texts) => put_list(texts.iter(), out, |text, out| put_text(text, out))?,
            Value::Part(part) => serde_json::to_writer(&mut *out, &part)?,
            Value::Count(count) => serde_json::to_writer(&mut *out, &count)?,
        }
        io::Result::Ok(())
    };
    put(field!(first "address"), address.map_or(Value::Null, |address| Value::Address(address.0)))?;
    put(field!("probability"), probability.map_or(Value::Null, Value::Part))?;
    put(field!("chain"), Value::Text(chain))?;
    if is_bare(endpoint) {
        out.extend_from_slice(BARE);
        return Ok(());
    }
    let count = |count: &Option<u64>| count.map_or(Value::Null, Value::Count);
    put(field!("pod"), text(*pod))?;
    put(field!("node"), text(*node))?;
    put(field!("local"), local.map_or(Value::Null, Value::Is))?;
    put(field!("state"), text(*state))?;
    put(field!("reason"), text(*reason))?;
    put(field!("packets"), count(packets))?;
    put(field!("draining"), Value::Is(*draining))?;
    put(field!("open_connections"), count(open_connections))?;
    put(field!("clients"), clients.as_deref().map_or(Value::Null, Value::Texts))?;
    out.push(b'}');
    Ok(())
}

/// True for an endpoint of which only the rules tell, as all are without objects and counters.
fn is_bare(endpoint: &Endpoint<'_>) -> bool {
    let Endpoint { pod, node, local, state, reason, packets, draining, open_connections, clients, .. } = endpoint;
    let texts = [pod, node, state, reason].into_iter().all(Option::is_none);
    texts && local.is_none() && !draining && clients.is_none() && packets.or(*open_connections).is_none()
}

/// A list, each member as `put` writes it.
fn put_list<T>(
    members: impl Iterator<Item = T>,
    out: &mut Vec<u8>,
    put: impl Fn(T, &mut Vec<u8>) -> io::Result<()>,
) -> io::Result<()> {
    out.push(b'[');
    for (nth, member) in members.enumerate() {
        if nth > 0 {
            out.push(b',');
        }
        put(member, out)?;
    }
    out.push(b']');
    Ok(())
}

/// A string, with escapes for what a terminal would act on.
fn put_text(text: &str, out: &mut Vec<u8>) -> io::Result<()> {
    if is_plain(text.as_bytes()) && memchr3(b'"', b'\\', b'\n', text.as_bytes()).is_none() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return Ok(());
    }
    let start = out.len();
    serde_json::to_writer(&mut *out, text)?;
    if let Some(escaped) = harmless(&out[start..]) {
        out.truncate(start);
        out.extend_from_slice(&escaped);
    }
    Ok(())
}

fn put_address(address: &Address, out: &mut Vec<u8>) -> io::Result<()> {
    let Address::Socket(IpAddr::V4(v4), port) = address else { return put_text(&address.to_string(), out) };
    out.push(b'"');
    out.extend_from_slice(V4Text::of(*v4, Some(*port)).as_bytes());
    out.push(b'"');
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
    Address(&'v Address),
    Texts(&'v [String]),
    Part(f64),
    Count(u64),
}
