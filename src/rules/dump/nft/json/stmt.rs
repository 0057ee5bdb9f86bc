//! Rules and the statements they are made of.

use serde_json::Value;

use super::expr::{self, kinds};
use super::{only, push, quoted, single, str_of, unknown, words};

/// A rule on one line, its comment last.
pub(super) fn rule(body: &Value, family: &str) -> Option<String> {
    only(body, &["family", "table", "chain", "handle", "index", "comment", "expr"])?;
    let mut parts: Vec<_> = body.get("expr")?.as_array()?.iter().map(|statement| print(statement, family)).collect();
    if let Some(comment) = body.get("comment") {
        parts.push(format!("comment {}", quoted(comment.as_str()?)));
    }
    Some(parts.join(" "))
}

/// The text of a statement. nft itself writes as a string of text what it has no JSON for.
pub(super) fn print(value: &Value, family: &str) -> String {
    match (value, single(value)) {
        (Value::String(text), _) => text.clone(),
        (_, Some((name, body))) => print_named(name, body, family),
        _ => unknown(value),
    }
}

pub(super) fn print_named(name: &str, body: &Value, family: &str) -> String {
    statement(name, body, family).unwrap_or_else(|| format!("unknown-json {{{}:{body}}}", Value::from(name)))
}

fn statement(name: &str, body: &Value, family: &str) -> Option<String> {
    match name {
        "match" => matching(body),
        "mangle" => {
            only(body, &["key", "value"])?;
            let (key, value) = (body.get("key")?, body.get("value")?);
            Some(format!("{} set {}", expr::print(key, &[]), expr::print(value, &kinds(key))))
        }
        "vmap" => {
            only(body, &["key", "data"])?;
            expr::mapping("vmap", body, &[])
        }
        "dnat" | "snat" | "masquerade" | "redirect" | "tproxy" => nat(name, body),
        "reject" => reject(body, family),
        "log" => log(body),
        "set" | "map" => update(name, body, family),
        "queue" => queue(body),
        "xt" => {
            only(body, &["type", "name"])?;
            Some(format!("xt {} {}", str_of(body, "type")?, quoted(str_of(body, "name")?)))
        }
        "flow" => {
            only(body, &["op", "flowtable"])?;
            Some(format!("flow {} {}", str_of(body, "op")?, str_of(body, "flowtable")?))
        }
        "dup" | "fwd" => forward(name, body),
        "notrack" => only(body, &[]).map(|()| name.to_owned()),
        "ct helper" | "ct timeout" | "ct expectation" => Some(format!("{name} set {}", quoted(body.as_str()?))),
        "counter" | "limit" | "quota" | "ct count" => meter(name, body),
        _ => verdict(name, body),
    }
}

/// A verdict, as a statement or as what a map holds.
pub(super) fn verdict(name: &str, body: &Value) -> Option<String> {
    match name {
        "accept" | "drop" | "continue" | "return" => body.is_null().then(|| name.to_owned()),
        "jump" | "goto" => {
            only(body, &["target"])?;
            Some(format!("{name} {}", str_of(body, "target")?))
        }
        _ => None,
    }
}

fn matching(body: &Value) -> Option<String> {
    only(body, &["op", "left", "right"])?;
    let (operator, left, right) = (str_of(body, "op")?, body.get("left")?, body.get("right")?);
    if let Some(text) = masked_flags(operator, left, right) {
        return Some(text);
    }
    let sign = match operator {
        "in" => String::new(),
        "==" if !says_equal(left, right) => String::new(),
        other => format!("{other} "),
    };
    let right = match single(right) {
        Some(("|", Value::Array(flags))) if expr::is_flags(left) => expr::print(&Value::Array(flags.clone()), &[]),
        _ => expr::print(right, &kinds(left)),
    };
    Some(format!("{} {sign}{right}", expr::print(left, &[])))
}

/// Without its sign, a comparison with flags would mean that one of them is set.
fn says_equal(left: &Value, right: &Value) -> bool {
    let computed = matches!(single(left), Some(("&" | "|" | "^" | "<<" | ">>", _)));
    computed || (expr::is_flags(left) && !matches!(single(right), Some(("set", _))) && !is_set_reference(right))
}

fn is_set_reference(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with('@'))
}

/// `tcp flags syn / syn,ack`: of these flags, exactly those.
fn masked_flags(operator: &str, left: &Value, right: &Value) -> Option<String> {
    let (_, operands) = single(left).filter(|(name, _)| *name == "&")?;
    let [flags, mask] = operands.as_array()?.as_slice() else { return None };
    let sign = match operator {
        "==" => "",
        "!=" => "!= ",
        _ => return None,
    };
    let plain = |value: &Value| value.is_string() || value.is_array();
    (expr::is_flags(flags) && plain(mask) && plain(right)).then(|| {
        let [flags, right, mask] = [flags, right, mask].map(|part| expr::print(part, &[]));
        format!("{flags} {sign}{right} / {mask}")
    })
}

fn nat(name: &str, body: &Value) -> Option<String> {
    only(body, &["family", "addr", "port", "flags", "type_flags"])?;
    let mut text = name.to_owned();
    let (address, port) = (body.get("addr"), body.get("port"));
    if let Some(family) = str_of(body, "family") {
        push(&mut text, format_args!(" {family}"));
    }
    if words(body, "type_flags")?.contains(&"prefix") {
        text += " prefix";
    }
    if address.is_some() || port.is_some() {
        text += " to ";
    }
    if let Some(address) = address {
        text += &if port.is_some() { bracketed(address) } else { expr::print(address, &[]) };
    }
    if let Some(port) = port {
        push(&mut text, format_args!(":{}", expr::print(port, &[])));
    }
    // The flag goes without saying where a prefix is mapped.
    let flags: Vec<_> = words(body, "flags")?.into_iter().filter(|flag| *flag != "netmap").collect();
    if !flags.is_empty() {
        push(&mut text, format_args!(" {}", flags.join(",")));
    }
    Some(text)
}

/// An address before a port: IPv6 goes in brackets.
fn bracketed(address: &Value) -> String {
    if let Some(("range", Value::Array(ends))) = single(address) {
        return ends.iter().map(bracketed).collect::<Vec<_>>().join("-");
    }
    let text = expr::print(address, &[]);
    if address.as_str().is_some_and(|address| address.contains(':')) { format!("[{text}]") } else { text }
}

/// The answer that goes without saying depends on the family of the table.
fn reject(body: &Value, family: &str) -> Option<String> {
    only(body, &["type", "expr"])?;
    let unsaid = match family {
        "ip" => "icmp",
        "ip6" => "icmpv6",
        _ => "icmpx",
    };
    let Some(with) = str_of(body, "type") else { return body.get("expr").is_none().then(|| "reject".to_owned()) };
    match body.get("expr") {
        None => Some(format!("reject with {with}")),
        Some(Value::String(code)) if code == "port-unreachable" && with == unsaid => Some("reject".to_owned()),
        Some(code) => Some(format!("reject with {with} {}", expr::print(code, &[]))),
    }
}

fn log(body: &Value) -> Option<String> {
    only(body, &["prefix", "group", "snaplen", "queue-threshold", "level", "flags"])?;
    let mut text = "log".to_owned();
    if let Some(prefix) = str_of(body, "prefix") {
        push(&mut text, format_args!(" prefix {}", quoted(prefix)));
    }
    for name in ["group", "snaplen", "queue-threshold"] {
        if let Some(number) = body.get(name) {
            push(&mut text, format_args!(" {name} {number}"));
        }
    }
    if let Some(level) = str_of(body, "level") {
        push(&mut text, format_args!(" level {level}"));
    }
    let flags: Vec<_> = words(body, "flags")?.into_iter().map(|flag| [" flags ", flag].concat()).collect();
    Some(text + &flags.concat().replace("flags tcp sequence flags tcp options", "flags tcp sequence,options"))
}

/// `update @name { ip saddr timeout 10m }`, and the same with what a map shall hold under the key.
fn update(name: &str, body: &Value, family: &str) -> Option<String> {
    only(body, &["op", "elem", "data", "stmt", name])?;
    let mut inner = expr::print(body.get("elem")?, &[]);
    if let Some(statements) = body.get("stmt") {
        for statement in statements.as_array()? {
            push(&mut inner, format_args!(" {}", print(statement, family)));
        }
    }
    if let Some(data) = body.get("data") {
        push(&mut inner, format_args!(" : {}", expr::print(data, &[])));
    }
    Some(format!("{} {} {{ {inner} }}", str_of(body, "op")?, str_of(body, name)?))
}

fn queue(body: &Value) -> Option<String> {
    only(body, &["num", "flags"])?;
    let flags = words(body, "flags")?;
    let mut text = "queue".to_owned();
    if !flags.is_empty() {
        push(&mut text, format_args!(" flags {}", flags.join(",")));
    }
    if let Some(number) = body.get("num") {
        push(&mut text, format_args!(" to {}", expr::print(number, &[])));
    }
    Some(text)
}

fn forward(name: &str, body: &Value) -> Option<String> {
    only(body, &["dev", "family", "addr"])?;
    let device = body.get("dev").map(|device| expr::print(device, &[expr::Kind::Name]));
    let mut text = name.to_owned();
    if let Some(family) = str_of(body, "family") {
        push(&mut text, format_args!(" {family}"));
    }
    match (body.get("addr"), device) {
        (Some(to), Some(device)) => push(&mut text, format_args!(" to {} device {device}", expr::print(to, &[]))),
        (Some(to), None) => push(&mut text, format_args!(" to {}", address_or_device(to))),
        (None, Some(device)) => push(&mut text, format_args!(" to {device}")),
        (None, None) => {}
    }
    Some(text)
}

/// A table of devices has no addresses to copy to: what is no address there is a device.
fn address_or_device(to: &Value) -> String {
    let device = to.as_str().is_some_and(|to| to.parse::<std::net::IpAddr>().is_err() && !to.starts_with('@'));
    expr::print(to, if device { &[expr::Kind::Name] } else { &[] })
}

/// What counts or limits: by itself, or by the name of an object.
fn meter(name: &str, body: &Value) -> Option<String> {
    match body {
        Value::String(object) => Some(format!("{name} name {}", quoted(object))),
        Value::Null => Some(name.to_owned()),
        _ if name == "counter" => {
            only(body, &["packets", "bytes"])?;
            Some(format!("counter {}", named(name, body)?))
        }
        _ => Some(format!("{name} {}", named(name, body)?)),
    }
}

/// The inside of such a statement, which is also the inside of the object.
pub(super) fn named(name: &str, body: &Value) -> Option<String> {
    const KNOWN: [&str; 18] = [
        "family",
        "table",
        "name",
        "handle",
        "comment",
        "inv",
        "packets",
        "bytes",
        "val",
        "val_unit",
        "used",
        "used_unit",
        "rate",
        "rate_unit",
        "per",
        "burst",
        "burst_unit",
        "unit",
    ];
    only(body, &KNOWN)?;
    let over = if body.get("inv").and_then(Value::as_bool) == Some(true) { "over " } else { "" };
    let number = |field: &str| body.get(field).and_then(Value::as_u64);
    match name {
        "counter" => Some(format!("packets {} bytes {}", number("packets")?, number("bytes")?)),
        "ct count" => Some(format!("{over}{}", number("val")?)),
        "quota" => {
            let size = size(number("val").or_else(|| number("bytes"))?, str_of(body, "val_unit"));
            let used = number("used").filter(|&used| used > 0);
            let used = used.map(|used| format!(" used {}", self::size(used, str_of(body, "used_unit"))));
            Some(format!("{over}{size}{}", used.unwrap_or_default()))
        }
        _ => limit(body, over),
    }
}

/// Five packets are the burst that nft takes where none is given.
fn limit(body: &Value, over: &str) -> Option<String> {
    let number = |field: &str| body.get(field).and_then(Value::as_u64);
    let unit = str_of(body, "rate_unit").or_else(|| str_of(body, "unit")).filter(|unit| *unit != "packets");
    let rate = unit.map(|unit| format!(" {unit}")).unwrap_or_default();
    let burst = match (number("burst").unwrap_or(0), unit) {
        (0, _) | (5, None) => String::new(),
        (burst, None) => format!(" burst {burst} packets"),
        (burst, Some(unit)) => format!(" burst {burst} {}", str_of(body, "burst_unit").unwrap_or(unit)),
    };
    Some(format!("rate {over}{}{rate}/{}{burst}", number("rate")?, str_of(body, "per").unwrap_or("second")))
}

/// Bytes in the largest unit that leaves no rest. Where the unit is given, nft has chosen it.
fn size(bytes: u64, unit: Option<&str>) -> String {
    match unit {
        Some(unit) => format!("{bytes} {unit}"),
        None if bytes > 0 && bytes.is_multiple_of(1 << 20) => format!("{} mbytes", bytes >> 20),
        None if bytes > 0 && bytes.is_multiple_of(1 << 10) => format!("{} kbytes", bytes >> 10),
        None => format!("{bytes} bytes"),
    }
}
