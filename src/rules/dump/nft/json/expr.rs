//! Expressions: what is looked at, and the values it is held against.

use serde_json::Value;

use super::{duration, only, push, quoted, single, stmt, str_of, unknown, words};

/// How nft prints a plain value. The JSON does not say: it follows from what the value is held against.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Plain,
    /// Eight hexadecimal digits.
    Mark,
    /// Hexadecimal, as raw bytes of a packet are.
    Raw,
    /// In quotes, as names of interfaces are.
    Name,
    /// Seconds, with their units.
    Time,
}

impl Kind {
    /// The kind that goes with a type of nft, or with the expression that `typeof` names.
    pub(super) fn of_type(name: &str) -> Self {
        match name {
            "mark" | "meta mark" | "ct mark" => Self::Mark,
            "ifname" | "iface_index" | "iifname" | "oifname" | "iif" | "oif" => Self::Name,
            "time" => Self::Time,
            _ => Self::Plain,
        }
    }

    fn of(looked_at: &Value) -> Self {
        let Some((name, body)) = single(looked_at) else { return Self::Plain };
        match (name, str_of(body, "key").or_else(|| str_of(body, "result"))) {
            ("meta" | "ct" | "socket", Some("mark")) => Self::Mark,
            ("ct", Some("expiration")) => Self::Time,
            ("ct", Some("helper"))
            | ("meta", Some("time" | "hour" | "day" | "ibrname" | "obrname" | "sdif" | "sdifname"))
            | ("meta" | "fib", Some("iif" | "oif" | "iifname" | "oifname")) => Self::Name,
            ("payload", None) if body.get("base").is_some() => Self::Raw,
            ("&" | "|" | "^" | "<<" | ">>", None) => body.get(0).map_or(Self::Plain, Self::of),
            _ => Self::Plain,
        }
    }
}

/// The kinds of what an expression is held against, one a part of a concatenation.
pub(super) fn kinds(looked_at: &Value) -> Vec<Kind> {
    match single(looked_at) {
        Some(("concat", Value::Array(parts))) => parts.iter().map(Kind::of).collect(),
        _ => vec![Kind::of(looked_at)],
    }
}

/// Whether values of this expression are flags, which print with commas between them.
pub(super) fn is_flags(looked_at: &Value) -> bool {
    match single(looked_at) {
        Some(("ct", body)) => matches!(str_of(body, "key"), Some("state" | "status" | "label")),
        Some(("payload", body)) => str_of(body, "protocol") == Some("tcp") && str_of(body, "field") == Some("flags"),
        _ => false,
    }
}

/// The text of an expression. `kinds` are those of what it is held against.
pub(super) fn print(value: &Value, kinds: &[Kind]) -> String {
    let kind = kinds.first().copied().unwrap_or(Kind::Plain);
    match value {
        Value::String(text) => string(text, kind),
        Value::Number(number) => match (kind, number.as_u64()) {
            (Kind::Mark, Some(mark)) => format!("0x{mark:08x}"),
            (Kind::Raw, Some(raw)) => format!("0x{raw:x}"),
            (Kind::Time, Some(seconds)) => duration(seconds),
            _ => number.to_string(),
        },
        Value::Bool(there) => if *there { "exists" } else { "missing" }.to_owned(),
        Value::Array(items) => joined(items, kinds, ","),
        Value::Null | Value::Object(_) => compound(value, kinds).unwrap_or_else(|| unknown(value)),
    }
}

fn string(text: &str, kind: Kind) -> String {
    let bare = text.starts_with('@') || text == "*";
    // No value has these, which would part it, or begin a comment or a block.
    let is_odd = |c: char| c.is_whitespace() || matches!(c, '#' | '{' | '}');
    if !bare && (kind == Kind::Name || text.contains(is_odd)) { quoted(text) } else { text.to_owned() }
}

fn joined(items: &[Value], kinds: &[Kind], between: &str) -> String {
    items.iter().map(|item| print(item, kinds)).collect::<Vec<_>>().join(between)
}

fn compound(value: &Value, kinds: &[Kind]) -> Option<String> {
    let (name, body) = single(value)?;
    match name {
        "payload" | "exthdr" | "tcp option" | "ip option" | "sctp chunk" => header(name, body),
        "meta" => meta(body),
        "ct" => ct(body),
        "rt" | "socket" => keyed(name, body),
        "fib" => fib(body),
        "numgen" | "jhash" | "symhash" => generator(name, body),
        "prefix" => {
            only(body, &["addr", "len"])?;
            Some(format!("{}/{}", print(body.get("addr")?, kinds), body.get("len")?.as_u64()?))
        }
        "range" => match body.as_array()?.as_slice() {
            [low, high] => Some(format!("{}-{}", print(low, kinds), print(high, kinds))),
            _ => None,
        },
        "set" => Some(set(body, kinds, &[])),
        "concat" => Some(concat(body.as_array()?, kinds)),
        "map" => {
            only(body, &["key", "data"])?;
            Some(mapping("map", body, kinds)?)
        }
        "elem" => element(body, kinds),
        "&" | "|" | "^" | "<<" | ">>" => binary(name, body.as_array()?, kinds),
        _ => stmt::verdict(name, body),
    }
}

/// A named field of a header, or of raw bytes from a place in the packet.
fn header(name: &str, body: &Value) -> Option<String> {
    if let Some(base) = str_of(body, "base") {
        only(body, &["base", "offset", "len"])?;
        return Some(format!("@{base},{},{}", body.get("offset")?.as_u64()?, body.get("len")?.as_u64()?));
    }
    if name == "payload" {
        only(body, &["protocol", "field"])?;
        return Some(format!("{} {}", str_of(body, "protocol")?, str_of(body, "field")?));
    }
    only(body, &["name", "field"])?;
    let header = str_of(body, "name")?;
    match (name, str_of(body, "field")) {
        ("exthdr", Some(field)) => Some(format!("{header} {field}")),
        (_, Some(field)) => Some(format!("{name} {header} {field}")),
        (_, None) => Some(format!("{name} {header}")),
    }
}

fn meta(body: &Value) -> Option<String> {
    only(body, &["key"])?;
    let key = str_of(body, "key")?;
    let bare = matches!(key, "iif" | "oif" | "iifname" | "oifname" | "iifgroup" | "oifgroup");
    Some(if bare { key.to_owned() } else { format!("meta {key}") })
}

fn ct(body: &Value) -> Option<String> {
    only(body, &["key", "dir", "family"])?;
    let before = ["dir", "family"].iter().filter_map(|field| str_of(body, field));
    let words: Vec<_> = ["ct"].into_iter().chain(before).chain([str_of(body, "key")?]).collect();
    Some(words.join(" "))
}

fn keyed(name: &str, body: &Value) -> Option<String> {
    only(body, &["key", "family"])?;
    let family = str_of(body, "family").map(|family| format!(" {family}")).unwrap_or_default();
    Some(format!("{name}{family} {}", str_of(body, "key")?))
}

fn fib(body: &Value) -> Option<String> {
    only(body, &["result", "flags"])?;
    Some(format!("fib {} {}", words(body, "flags")?.join(" . "), str_of(body, "result")?))
}

fn generator(name: &str, body: &Value) -> Option<String> {
    only(body, &["mode", "mod", "offset", "seed", "expr"])?;
    let mut text = name.to_owned();
    if let Some(mode) = str_of(body, "mode") {
        push(&mut text, format_args!(" {mode}"));
    }
    if let Some(hashed) = body.get("expr") {
        push(&mut text, format_args!(" {}", print(hashed, &[])));
    }
    push(&mut text, format_args!(" mod {}", body.get("mod")?.as_u64()?));
    if let Some(seed) = body.get("seed").and_then(Value::as_u64).filter(|&seed| seed != 0) {
        push(&mut text, format_args!(" seed {seed:#x}"));
    }
    if let Some(offset) = body.get("offset").and_then(Value::as_u64).filter(|&offset| offset != 0) {
        push(&mut text, format_args!(" offset {offset}"));
    }
    Some(text)
}

fn concat(parts: &[Value], kinds: &[Kind]) -> String {
    let parts: Vec<_> =
        parts.iter().enumerate().map(|(place, part)| print(part, kinds.get(place..).unwrap_or_default())).collect();
    parts.join(" . ")
}

fn set(body: &Value, keys: &[Kind], data: &[Kind]) -> String {
    let members = match body {
        Value::Array(members) => members.iter().map(|one| member(one, keys, data)).collect::<Vec<_>>().join(", "),
        one => member(one, keys, data),
    };
    format!("{{ {members} }}")
}

/// An element of a set, or a key with what a map holds under it.
pub(super) fn member(value: &Value, keys: &[Kind], data: &[Kind]) -> String {
    match value.as_array().map(Vec::as_slice) {
        Some([key, under]) => format!("{} : {}", print(key, keys), print(under, data)),
        _ => print(value, keys),
    }
}

/// `key map { … }` or `key vmap @name`.
pub(super) fn mapping(word: &str, body: &Value, under: &[Kind]) -> Option<String> {
    let (key, data) = (body.get("key")?, body.get("data")?);
    let data = match single(data) {
        Some(("set", members)) => set(members, &kinds(key), under),
        _ => print(data, &[]),
    };
    Some(format!("{} {word} {data}", print(key, &[])))
}

fn element(body: &Value, kinds: &[Kind]) -> Option<String> {
    const NAMED: [&str; 4] = ["val", "timeout", "expires", "comment"];
    let mut text = print(body.get("val")?, kinds);
    for (name, value) in body.as_object()?.iter().filter(|(name, _)| !NAMED.contains(&name.as_str())) {
        push(&mut text, format_args!(" {}", stmt::print_named(name, value, "")));
    }
    for name in ["timeout", "expires"] {
        if let Some(value) = body.get(name) {
            push(&mut text, format_args!(" {name} {}", duration(value.as_u64()?)));
        }
    }
    if let Some(comment) = body.get("comment") {
        push(&mut text, format_args!(" comment {}", quoted(comment.as_str()?)));
    }
    Some(text)
}

/// nft puts an operand in parentheses only where it binds less tightly.
fn binary(operator: &str, operands: &[Value], kinds: &[Kind]) -> Option<String> {
    let first = operands.first()?;
    let own = match kinds.first() {
        Some(&kind) if kind != Kind::Plain => vec![kind],
        _ => self::kinds(first),
    };
    let mut parts = Vec::new();
    for (place, operand) in operands.iter().enumerate() {
        let shifts = place > 0 && matches!(operator, "<<" | ">>");
        let text = print(operand, if shifts { &[] } else { &own });
        let looser = single(operand).is_some_and(|(inner, _)| looseness(inner) > looseness(operator));
        parts.push(if looser { format!("({text})") } else { text });
    }
    (parts.len() > 1).then(|| parts.join(&format!(" {operator} ")))
}

fn looseness(operator: &str) -> u8 {
    match operator {
        "<<" | ">>" => 1,
        "&" => 2,
        "^" => 3,
        "|" => 4,
        _ => 0,
    }
}
