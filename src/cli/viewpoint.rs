//! Which node the rules are of.

use super::Failure;
use crate::cluster::{Facts, Node};
use crate::dataplane::nearest;
use crate::shell;
use crate::source::{Bundle, Machine};

/// A node, and what to say about how it was found.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) node: Option<String>,
    pub(super) note: Option<String>,
}

/// The first that applies: `--node`; the node that what was read is of; $NODE_NAME; the Node that is this host, where the rules are its own; the only Node
/// of a cluster. Without any the node is not known: a dump from a file is not taken to be of this host.
pub(super) fn node(wanted: Option<&str>, facts: &Facts, bundle: &Bundle, from: &str) -> Result<Found, Failure> {
    let unknown = |name: &str| facts.coverage.nodes && !facts.nodes.iter().any(|node| node.name == name);
    let found = |name: &str| Found { node: Some(name.to_owned()), note: None };
    if let Some(name) = wanted {
        if unknown(name) && bundle.node.as_deref() == Some(name) && !bundle.is_live() {
            let note = format!("no Node is called '{name}' in {from}: it is taken for the name of a folder only");
            return Ok(Found { node: None, note: Some(note) });
        }
        if unknown(name) {
            let near = nearest(name, facts.nodes.iter().map(|node| node.name.as_str()));
            let hint = near.first().map(|near| format!("--node {}", shell::word(near)));
            let what = format!("no Node is called '{name}' in {from}");
            return Err(Failure { what, hints: hint.into_iter().collect() });
        }
        return Ok(found(name));
    }
    if let Some(name) = bundle.node.as_deref().filter(|name| !unknown(name)) {
        return Ok(found(name));
    }
    match node_name() {
        Some(name) if !unknown(&name) => {
            let note =
                (!bundle.is_here()).then(|| format!("the rules are taken to be those of node {name} ($NODE_NAME)"));
            return Ok(Found { node: Some(name), note });
        }
        Some(name) => {
            let note = format!("$NODE_NAME is {name}, but no Node of {from} is called so: it is not used");
            return Ok(Found { node: None, note: Some(note) });
        }
        None => {}
    }
    let machine = bundle.machine.clone().unwrap_or_default();
    Ok(this(&machine, facts).map(|node| found(&node.name)).unwrap_or_default())
}

/// The Node that is `machine`, by its name or its addresses; the only Node of a cluster is it anyhow.
pub(super) fn this<'f>(machine: &Machine, facts: &'f Facts) -> Option<&'f Node> {
    let only = match facts.nodes.as_slice() {
        [only] if facts.coverage.nodes => Some(only),
        _ => None,
    };
    let nodes = || facts.nodes.iter();
    nodes().find(|node| is_called(node, machine)).or_else(|| nodes().find(|node| is_at(node, machine))).or(only)
}

/// $NODE_NAME, as Pods get it from the downward API.
pub(super) fn node_name() -> Option<String> {
    std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty())
}

fn is_called(node: &Node, machine: &Machine) -> bool {
    let named = |name: &String| *name == node.name || node.names.iter().any(|other| other.eq_ignore_ascii_case(name));
    machine.name.as_ref().is_some_and(named)
}

fn is_at(node: &Node, machine: &Machine) -> bool {
    machine.addresses.iter().any(|ip| node.addresses.contains(ip))
}
