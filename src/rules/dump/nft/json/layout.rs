//! Tables with what is in them, laid out as nft does.

use std::collections::HashMap;

use serde_json::Value;

use super::expr::{self, Kind};
use super::{duration, push, quoted, single, stmt, str_of, unknown, words};

/// Keys that say where an object belongs. They are not part of its text.
const PLACE: [&str; 5] = ["family", "table", "name", "handle", "index"];

/// The tables of a document, in which its objects are put one after the other.
#[derive(Default)]
pub(super) struct Ruleset {
    tables: Vec<Table>,
    /// Those of each family by name.
    places: HashMap<String, HashMap<String, usize>>,
    strays: Vec<String>,
}

struct Table {
    family: String,
    name: String,
    head: Vec<String>,
    blocks: Vec<Block>,
    chains: Vec<Block>,
    places: HashMap<String, usize>,
}

/// A line that opens a brace and the lines within it.
struct Block {
    head: String,
    lines: Vec<String>,
}

impl Ruleset {
    /// Puts an object where it belongs.
    pub(super) fn take(&mut self, object: &Value) {
        if self.add(object).is_none() {
            self.strays.push(unknown(object));
        }
    }

    fn add(&mut self, object: &Value) -> Option<()> {
        let (kind, body) = single(object)?;
        if kind == "metainfo" {
            return Some(());
        }
        let family = str_of(body, "family")?;
        let name = if kind == "table" { "name" } else { "table" };
        let table = self.table(family, str_of(body, name)?);
        match kind {
            "table" => table.head = table_head(body),
            "chain" => table.chain(str_of(body, "name")?).lines.splice(0..0, chain_head(body)).for_each(drop),
            "rule" => {
                let rule = stmt::rule(body, family).unwrap_or_else(|| unknown(object));
                table.chain(str_of(body, "chain")?).lines.push(rule);
            }
            // What is no word of nft could be read as another one.
            _ if kind.trim() != kind || !kind.bytes().all(|b| b.is_ascii_lowercase() || b == b' ') => return None,
            _ => {
                let lines = block_lines(kind, body).unwrap_or_else(|| vec![unknown(object)]);
                table.blocks.push(Block { head: format!("{kind} {}", str_of(body, "name")?), lines });
            }
        }
        Some(())
    }

    fn table(&mut self, family: &str, name: &str) -> &mut Table {
        let known = self.places.get(family).and_then(|names| names.get(name)).copied();
        let place = known.unwrap_or_else(|| {
            let (family, name) = (family.to_owned(), name.to_owned());
            self.places.entry(family.clone()).or_default().insert(name.clone(), self.tables.len());
            let (blocks, chains) = (Vec::new(), Vec::new());
            self.tables.push(Table { family, name, head: Vec::new(), blocks, chains, places: HashMap::new() });
            self.tables.len() - 1
        });
        &mut self.tables[place]
    }

    /// All of it as nft lists it.
    pub(super) fn print(&self) -> String {
        let mut text = String::new();
        for table in &self.tables {
            table.print(&mut text);
        }
        for stray in &self.strays {
            push_line(&mut text, "", stray);
        }
        text
    }
}

impl Table {
    fn chain(&mut self, name: &str) -> &mut Block {
        let place = self.places.get(name).copied().unwrap_or_else(|| {
            self.places.insert(name.to_owned(), self.chains.len());
            self.chains.push(Block { head: format!("chain {name}"), lines: Vec::new() });
            self.chains.len() - 1
        });
        &mut self.chains[place]
    }

    fn print(&self, text: &mut String) {
        push_line(text, "", &format!("table {} {} {{", self.family, self.name));
        for line in &self.head {
            push_line(text, "\t", line);
        }
        for (place, block) in self.blocks.iter().chain(&self.chains).enumerate() {
            if place > 0 {
                text.push('\n');
            }
            push_line(text, "\t", &format!("{} {{", block.head));
            for line in &block.lines {
                push_line(text, "\t\t", line);
            }
            push_line(text, "\t", "}");
        }
        push_line(text, "", "}");
    }
}

fn push_line(text: &mut String, indent: &str, line: &str) {
    text.push_str(indent);
    text.push_str(line);
    text.push('\n');
}

fn table_head(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(flags(body));
    lines.extend(comment(body));
    lines.extend(others(body, &["flags", "comment"]));
    lines
}

fn chain_head(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(comment(body));
    lines.extend(hook(body));
    lines.extend(others(body, &["comment", "type", "hook", "dev", "prio", "policy"]));
    lines
}

fn hook(body: &Value) -> Option<String> {
    let mut line = format!("type {} hook {}", str_of(body, "type")?, str_of(body, "hook")?);
    match words(body, "dev").unwrap_or_default().as_slice() {
        [] => {}
        [device] => push(&mut line, format_args!(" device {}", quoted(device))),
        devices => {
            let devices: Vec<_> = devices.iter().map(|device| quoted(device)).collect();
            push(&mut line, format_args!(" devices = {{ {} }}", devices.join(", ")));
        }
    }
    push(&mut line, format_args!(" priority {};", body.get("prio")?));
    if let Some(policy) = str_of(body, "policy") {
        push(&mut line, format_args!(" policy {policy};"));
    }
    Some(line)
}

fn block_lines(kind: &str, body: &Value) -> Option<Vec<String>> {
    match kind {
        "set" | "map" => Some(set(body)),
        "flowtable" => Some(flowtable(body)),
        "counter" | "quota" | "limit" => {
            let mut lines = vec![stmt::named(kind, body)?];
            lines.extend(comment(body));
            Some(lines)
        }
        _ => None,
    }
}

fn set(body: &Value) -> Vec<String> {
    const KNOWN: [&str; 11] =
        ["type", "map", "policy", "size", "flags", "auto-merge", "stmt", "timeout", "gc-interval", "comment", "elem"];
    let (keyword, key) = type_names(body, "type");
    let (_, data) = type_names(body, "map");
    let colon = if data.is_empty() { "" } else { " : " };
    let mut lines = vec![format!("{keyword} {}{colon}{}", key.join(" . "), data.join(" . "))];
    lines.extend(str_of(body, "policy").map(|policy| format!("policy {policy}")));
    lines.extend(body.get("size").map(|size| format!("size {size}")));
    lines.extend(flags(body));
    lines.extend(body.get("auto-merge").filter(|on| on.as_bool() == Some(true)).map(|_| "auto-merge".to_owned()));
    let family = str_of(body, "family").unwrap_or_default();
    let statements = body.get("stmt").and_then(Value::as_array);
    lines.extend(statements.into_iter().flatten().map(|statement| stmt::print(statement, family)));
    for name in ["timeout", "gc-interval"] {
        lines.extend(body.get(name).and_then(Value::as_u64).map(|seconds| format!("{name} {}", duration(seconds))));
    }
    lines.extend(comment(body));
    lines.extend(elements(body, &kinds(&key), &kinds(&data)));
    lines.extend(others(body, &KNOWN));
    lines
}

/// The names of the types that make up a key, and the keyword that goes before them.
fn type_names(body: &Value, field: &str) -> (&'static str, Vec<String>) {
    match body.get(field) {
        None => ("type", Vec::new()),
        Some(value) => match single(value) {
            Some(("typeof", of)) => ("typeof", vec![expr::print(of, &[])]),
            _ => match words(body, field) {
                Some(names) => ("type", names.into_iter().map(str::to_owned).collect()),
                None => ("typeof", vec![expr::print(value, &[])]),
            },
        },
    }
}

fn kinds(names: &[String]) -> Vec<Kind> {
    let names = names.iter().flat_map(|name| name.split(" . "));
    names.map(Kind::of_type).collect()
}

fn elements(body: &Value, keys: &[Kind], data: &[Kind]) -> Option<String> {
    let elements = match body.get("elem")? {
        Value::Array(elements) => elements.iter().map(|element| expr::member(element, keys, data)).collect(),
        one => vec![expr::member(one, keys, data)],
    };
    (!elements.is_empty()).then(|| format!("elements = {{ {} }}", elements.join(",\n\t\t\t")))
}

fn flowtable(body: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    if let (Some(hook), Some(priority)) = (str_of(body, "hook"), body.get("prio")) {
        lines.push(format!("hook {hook} priority {priority}"));
    }
    let devices = words(body, "dev").unwrap_or_default();
    if !devices.is_empty() {
        lines.push(format!("devices = {{ {} }}", devices.join(", ")));
    }
    lines.extend(flags(body));
    lines.extend(others(body, &["hook", "prio", "dev", "flags"]));
    lines
}

fn flags(body: &Value) -> Option<String> {
    words(body, "flags").filter(|flags| !flags.is_empty()).map(|flags| format!("flags {}", flags.join(",")))
}

fn comment(body: &Value) -> Option<String> {
    str_of(body, "comment").map(|comment| format!("comment {}", quoted(comment)))
}

/// Fields that are not among the known ones, kept one a line.
fn others(body: &Value, known: &[&str]) -> Vec<String> {
    let fields = body.as_object().into_iter().flatten();
    let fields = fields.filter(|(name, _)| !known.contains(&name.as_str()) && !PLACE.contains(&name.as_str()));
    fields.map(|(name, value)| format!("unknown-json {{{}:{value}}}", Value::from(name.as_str()))).collect()
}
