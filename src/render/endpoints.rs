//! Endpoints as JSON, as serde_json writes them.
//!
//! A large node has a hundred thousand, of twelve fields each, and a serializer takes longer with the names of the fields than
//! with what is in them. Everything else of an answer is left to it.

use std::io;
use std::net::IpAddr;

use memchr::memmem;

use super::json::harmless;
use crate::dataplane::{Address, Endpoint, Pool};
use crate::plain_json::{self, Value};
use crate::report::{self, Endpoint as Row};

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
pub(super) fn put(frame: &[u8], pools: &[Pool], out: &mut Vec<u8>) -> io::Result<()> {
    let mut done = 0;
    for (at, pool) in memmem::find_iter(frame, EMPTY).zip(pools) {
        let list = at + EMPTY.len() - "[]".len();
        out.extend_from_slice(&frame[done..list]);
        done = at + EMPTY.len();
        put_list(pool.endpoints.iter(), out, put_one)?;
    }
    out.extend_from_slice(&frame[done..]);
    Ok(())
}

fn put_one(endpoint: &Endpoint, out: &mut Vec<u8>) -> io::Result<()> {
    out.reserve(USUAL);
    put_address(field!(first "address"), &endpoint.address, out)?;
    put_value(field!("probability"), endpoint.probability.map_or(Value::Null, Value::Part), out)?;
    put_value(field!("chain"), Value::Text(endpoint.chain.as_bytes()), out)?;
    // Without objects and counters only the rules tell of any.
    if endpoint.about.is_none() && endpoint.traffic.is_none() && !endpoint.draining {
        out.extend_from_slice(BARE);
        return Ok(());
    }
    let Row { pod, node, local, state, reason, packets, draining, open_connections, clients, .. } =
        report::endpoint(endpoint);
    let count = |count: Option<u64>| count.map_or(Value::Null, Value::Count);
    put_value(field!("pod"), text(pod), out)?;
    put_value(field!("node"), text(node), out)?;
    put_value(field!("local"), local.map_or(Value::Null, Value::Is), out)?;
    put_value(field!("state"), text(state), out)?;
    put_value(field!("reason"), text(reason), out)?;
    put_value(field!("packets"), count(packets), out)?;
    put_value(field!("draining"), Value::Is(draining), out)?;
    put_value(field!("open_connections"), count(open_connections), out)?;
    match clients {
        Some(clients) => {
            out.extend_from_slice(field!("clients"));
            put_list(clients.iter(), out, |client, out| put_value(b"", text(Some(client)), out))?;
        }
        None => put_value(field!("clients"), Value::Null, out)?,
    }
    out.push(b'}');
    Ok(())
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
        serde_json::to_writer(&mut *out, &String::from_utf8_lossy(text))?;
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
        Address::Unknown => put_value(before, Value::Null, out),
        other => put_value(before, Value::Text(other.to_string().as_bytes()), out),
    }
}

fn text(text: Option<&str>) -> Value<'_> {
    text.map_or(Value::Null, |text| Value::Text(text.as_bytes()))
}
