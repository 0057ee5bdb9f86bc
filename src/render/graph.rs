//! Drawings for Graphviz and Mermaid: nodes are frontends, chains and endpoints, edges carry shares.

use std::fmt::Write as _;

use hashbrown::HashMap;

use super::phrase;
use super::text::{self, clean};
use crate::dataplane::{Policy, ServicePort, Verdict};
use crate::report::Packet;
use crate::trace::{Action, End, Step, Trace, Why};

/// A drawing.
#[derive(Debug, Default)]
pub struct Graph {
    nodes: Vec<Node>,
    by_key: HashMap<String, usize>,
    edges: Vec<Edge>,
}

#[derive(Debug)]
struct Node {
    label: String,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Who connects, and to what.
    Start,
    Chain,
    Endpoint,
    /// It goes no further.
    Stop,
}

#[derive(Debug)]
struct Edge {
    from: usize,
    to: usize,
    label: String,
    /// What comes next, not what a rule does.
    dashed: bool,
}

impl Graph {
    /// The way of a connection: the chains it passes, in the order of the hooks, and where it ends.
    pub fn of_trace(packet: &Packet, trace: &Trace) -> Self {
        let mut graph = Self::default();
        let to = packet.destination.as_deref().unwrap_or("this node");
        let start = format!("{}\n→ {to} port {}/{}", packet.from, packet.port, packet.protocol);
        let mut last = graph.node("start", &start, Kind::Start);
        let mut place = None;
        let shown = |step: &&Step| !matches!(step.why, Why::Fails(_)) && !super::trace::is_idle(step);
        for step in trace.steps.iter().filter(shown) {
            let chain = graph.chain(step, &step.chain);
            // The first chain of a table is what the hook itself calls.
            if place != Some((step.hook, step.table)) {
                place = Some((step.hook, step.table));
                graph.edge(last, chain, String::new(), true);
                last = chain;
            }
            let to = match &step.action {
                Action::Jump(target) | Action::Goto(target) => graph.chain(step, target),
                Action::Dnat(address) => graph.node(&format!("to {address}"), &address.to_string(), Kind::Endpoint),
                Action::Drop => graph.node("drop", "dropped", Kind::Stop),
                Action::Reject => graph.node("reject", "rejected", Kind::Stop),
                Action::Masquerade => graph.node("masquerade", "source becomes this node's", Kind::Endpoint),
                Action::Unknown(why) => graph.node(why, why, Kind::Stop),
                _ => continue,
            };
            graph.edge(chain, to, label(step), false);
        }
        for outcome in &trace.outcomes {
            if let End::Untranslated { .. } = outcome.end {
                let end = graph.node("untranslated", "not translated", Kind::Stop);
                graph.edge(last, end, share(outcome.probability), true);
            }
        }
        graph
    }

    /// Services: frontends, the pools they lead to, and the shares of endpoints.
    pub fn of_services(services: &[ServicePort]) -> Self {
        let mut graph = Self::default();
        for (n, service) in services.iter().enumerate() {
            let pool_of = |graph: &mut Self, policy: Policy| {
                let pool = service.pools.iter().find(|pool| pool.policy == policy)?;
                Some(graph.node(&format!("{n} {}", pool.chain), &pool.chain, Kind::Chain))
            };
            let name = service.name.as_ref().map_or_else(|| service.key.clone(), ToString::to_string);
            let protocol = service.protocol.map(|p| format!("/{p}")).unwrap_or_default();
            for frontend in &service.frontends {
                let label = format!("{name}\n{} {}{protocol}", frontend.kind.words(), frontend.at());
                let from = graph.node(&format!("{n} {label}"), &label, Kind::Start);
                for (verdict, clients) in phrase::by_verdict(frontend) {
                    let to = match verdict {
                        Verdict::Pool(policy) => pool_of(&mut graph, policy),
                        Verdict::Drop => Some(graph.node("drop", "dropped", Kind::Stop)),
                        Verdict::Reject => Some(graph.node("reject", "rejected", Kind::Stop)),
                        Verdict::None => Some(graph.node("none", "not captured", Kind::Stop)),
                        Verdict::Unknown => Some(graph.node("unknown", "unknown", Kind::Stop)),
                    };
                    if let Some(to) = to {
                        graph.edge(from, to, clients, false);
                    }
                }
            }
            for pool in &service.pools {
                let Some(from) = pool_of(&mut graph, pool.policy) else { continue };
                for endpoint in &pool.endpoints {
                    let address = endpoint.address.to_string();
                    let pod = endpoint.about.as_ref().and_then(|about| about.pod.as_deref());
                    let label = pod.map_or_else(|| address.clone(), |pod| format!("{address}\n{pod}"));
                    let key =
                        format!("{n} {address} {}", if endpoint.address.ip().is_none() { &endpoint.chain } else { "" });
                    let to = graph.node(&key, &label, Kind::Endpoint);
                    graph.edge(from, to, share(endpoint.probability), false);
                }
                if let Some(lost) = pool.lost() {
                    let to = graph.node("lost", "no endpoint", Kind::Stop);
                    graph.edge(from, to, share(Some(lost)), false);
                }
            }
        }
        graph
    }

    fn chain(&mut self, step: &Step, chain: &str) -> usize {
        let key = format!("{} {} {chain}", step.hook.as_str(), step.table);
        let label = if chain == step.hook.as_str() { format!("{} {chain}", step.table) } else { chain.to_owned() };
        self.node(&key, &label, Kind::Chain)
    }

    fn node(&mut self, key: &str, label: &str, kind: Kind) -> usize {
        let next = self.nodes.len();
        let at = *self.by_key.entry(key.to_owned()).or_insert(next);
        if at == next {
            self.nodes.push(Node {
                label: label.lines().map(|line| clean(line).into_owned()).collect::<Vec<_>>().join("\n"),
                kind,
            });
        }
        at
    }

    fn edge(&mut self, from: usize, to: usize, label: String, dashed: bool) {
        let same = |edge: &&mut Edge| edge.from == from && edge.to == to && edge.dashed == dashed;
        match self.edges.iter_mut().rev().take(64).find(same) {
            Some(edge) if !label.is_empty() && edge.label != label => {
                edge.label = format!("{}, {label}", edge.label);
            }
            Some(_) => {}
            None => self.edges.push(Edge { from, to, label, dashed }),
        }
    }

    /// In the language of Graphviz (<https://graphviz.org/doc/info/lang.html>).
    pub fn dot(&self) -> String {
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        let mut out = String::from("digraph kube_ipt {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n");
        for (n, node) in self.nodes.iter().enumerate() {
            let shape = match node.kind {
                Kind::Start => "oval",
                Kind::Chain => "box",
                Kind::Endpoint => "box, style=rounded",
                Kind::Stop => "octagon",
            };
            let _ = writeln!(out, "  n{n} [label=\"{}\", shape={shape}];", quoted(&node.label));
        }
        for edge in &self.edges {
            let style = if edge.dashed { ", style=dashed" } else { "" };
            let _ = writeln!(out, "  n{} -> n{} [label=\"{}\"{style}];", edge.from, edge.to, quoted(&edge.label));
        }
        out.push_str("}\n");
        out
    }

    /// In the language of Mermaid (<https://mermaid.js.org/syntax/flowchart.html>).
    pub fn mermaid(&self) -> String {
        let mut out = String::from("flowchart LR\n");
        for (n, node) in self.nodes.iter().enumerate() {
            let (open, close) = match node.kind {
                Kind::Start => ("([", "])"),
                Kind::Chain => ("[", "]"),
                Kind::Endpoint => ("(", ")"),
                Kind::Stop => ("{{", "}}"),
            };
            let _ = writeln!(out, "  n{n}{open}\"{}\"{close}", entities(&node.label));
        }
        for edge in &self.edges {
            let arrow = if edge.dashed { "-.->" } else { "-->" };
            let label = if edge.label.is_empty() { String::new() } else { format!("|\"{}\"|", entities(&edge.label)) };
            let _ = writeln!(out, "  n{} {arrow}{label} n{}", edge.from, edge.to);
        }
        out
    }
}

/// What has a meaning in Mermaid or HTML, as entities; a new line as Mermaid breaks it.
fn entities(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => out.push_str("<br>"),
            '"' | '#' | '&' | '<' | '>' | '`' | ';' | '\\' | '|' | '[' | ']' | '{' | '}' | '(' | ')' | '*' | '_' => {
                let _ = write!(out, "#{};", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out
}

/// Share and line of a rule.
fn label(step: &Step) -> String {
    let line = step.rule.map(|rule| format!("line {}", rule.line));
    let part = (!step.is_of_all()).then(|| share(step.probability));
    part.into_iter().chain(line).collect::<Vec<_>>().join(", ")
}

/// A share of connections, as it is written everywhere.
fn share(part: Option<f64>) -> String {
    text::percent(part).trim_start().to_owned()
}
