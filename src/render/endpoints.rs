//! Endpoints as JSON, as serde_json writes them.
//!
//! A large node has a hundred thousand, of twelve fields each, and a serializer takes longer with the names of the fields than
//! with what is in them. Everything else of an answer is left to it.

use std::io;
use std::net::IpAddr;

use memchr::memmem;

use super::json::harmless;
use crate::dataplane::Address;
use crate::plain_json::{self, Value};
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
    match address {
        Some(address) => put_address(field!(first "address"), address.0, out)?,
        None => put_value(field!(first "address"), Value::Null, out)?,
    }
    put_value(field!("probability"), probability.map_or(Value::Null, Value::Part), out)?;
    put_value(field!("chain"), Value::Text(chain), out)?;
    if is_bare(endpoint) {
        out.extend_from_slice(BARE);
        return Ok(());
    }
    let count = |count: &Option<u64>| count.map_or(Value::Null, Value::Count);
    put_value(field!("pod"), text(*pod), out)?;
    put_value(field!("node"), text(*node), out)?;
    put_value(field!("local"), local.map_or(Value::Null, Value::Is), out)?;
    put_value(field!("state"), text(*state), out)?;
    put_value(field!("reason"), text(*reason), out)?;
    put_value(field!("packets"), count(packets), out)?;
    put_value(field!("draining"), Value::Is(*draining), out)?;
    put_value(field!("open_connections"), count(open_connections), out)?;
    let clients_are = field!("clients");
    match clients {
        Some(clients) => {
            out.extend_from_slice(clients_are);
            put_list(clients.iter(), out, |client, out| put_value(b"", Value::Text(client), out))?;
        }
        None => put_value(clients_are, Value::Null, out)?,
    }
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

/// A value behind `before`, with escapes for what a terminal would act on.
fn put_value(before: &[u8], value: Value<'_>, out: &mut Vec<u8>) -> io::Result<()> {
    if !plain_json::put(out, before, value)
        && let Value::Text(text) = value
    {
        let start = out.len();
        serde_json::to_writer(&mut *out, text)?;
        if let Some(escaped) = harmless(&out[start..]) {
            out.truncate(start);
            out.extend_from_slice(&escaped);
        }
    }
    Ok(())
}

fn put_address(before: &[u8], address: &Address, out: &mut Vec<u8>) -> io::Result<()> {
    match address {
        Address::Socket(IpAddr::V4(v4), port) => put_value(before, Value::Socket(*v4, *port), out),
        other => put_value(before, Value::Text(&other.to_string()), out),
    }
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, Value::Text)
}
