//! Services as trees: frontends first, then each pool with its shares.

use std::fmt::Write as _;

use super::palette::{DIM, ERROR, NOTE, STRONG, paint};
use super::phrase;
use super::text::{bar, clean, percent, wrap};
use super::tree::{Detail, Node};
use crate::dataplane::{Endpoint, Frontend, Policy, Pool, RuleNote, ServicePort, Walkthrough};
use crate::net::Family;
use crate::report::Header;

/// Endpoints shown of a pool unless all are asked for.
const SHOWN: usize = 12;

/// From this width on there is room for bars.
const ROOM_FOR_BARS: usize = 70;

/// Columns a branch of the tree takes.
const BRANCH: usize = 3;

/// Leads from a frontend to what becomes of its connections.
const ARROW: &str = "  → ";

/// How to draw.
#[derive(Debug, Clone, Copy, Default)]
pub struct View {
    /// Columns of the terminal; `None` where lines may be of any length.
    pub width: Option<usize>,
    /// Show every endpoint.
    pub all: bool,
}

/// Draws services one below the other. `walkthroughs` is empty or holds one for each service.
pub fn services(services: &[ServicePort], walkthroughs: &[Walkthrough], view: View) -> String {
    let mut out = String::new();
    for (n, service) in services.iter().enumerate() {
        if n > 0 {
            out.push('\n');
        }
        let empty = Walkthrough::default();
        node(service, walkthroughs.get(n).unwrap_or(&empty), view).draw(view.width, &mut out);
    }
    out
}

/// What the answer was made from, in one dim line, or several of at most `width` columns.
pub fn footer(header: &Header, rules: usize, width: Option<usize>) -> String {
    let backend = header.backend.map(|b| format!(" ({b})")).unwrap_or_default();
    let families: Vec<&str> = header.families.iter().map(|f| f.as_str()).collect();
    let tables = match header.tables.as_slice() {
        [only] => format!("{only} only"),
        tables => tables.join(", "),
    };
    let mut parts = vec![format!("iptables{backend}"), families.join(", "), tables, format!("{rules} rules")];
    if header.partial {
        parts.push("parts of the dump are missing".to_owned());
    }
    parts.push(format!("from {}", clean(&header.from)));
    let lines = wrap(&parts.join(" · "), width.unwrap_or(usize::MAX));
    lines.iter().fold(String::new(), |out, line| out + &paint(line, DIM) + "\n")
}

fn node(service: &ServicePort, walkthrough: &Walkthrough, view: View) -> Node {
    let mut root = Node::new(heading(service));
    let several = service.pools.len() > 1;
    for (n, frontend) in service.frontends.iter().enumerate() {
        root.children.push(frontend_node(frontend, several, walkthrough.frontends.get(n), view));
    }
    for (n, pool) in service.pools.iter().enumerate() {
        let steps = walkthrough.pools.get(n);
        let mut node = Node::new(pool_line(service, pool, several));
        node.details = steps.map(|s| details(&s.head)).unwrap_or_default();
        pool_children(pool, &mut node, view, |endpoint| steps.and_then(|s| s.endpoints.get(endpoint)));
        root.children.push(node);
    }
    root
}

/// `ns/name:port  tcp  ipv6  ✗ …`
fn heading(service: &ServicePort) -> String {
    let name = match &service.name {
        Some(name) => paint(&clean(&name.to_string()), STRONG),
        None => {
            let chain = service.pools.first().map_or(service.key.as_str(), |p| p.chain.as_str());
            format!("{} ({})", paint("unnamed service", STRONG), clean(chain))
        }
    };
    let mut parts = vec![name];
    parts.extend(service.protocol.map(|p| p.to_string()));
    if service.family == Family::Ipv6 {
        parts.push("ipv6".to_owned());
    }
    if service.pools.is_empty() {
        parts.push(paint(&format!("! {}", phrase::without_pool(service)), NOTE));
    } else if let Some(lost) = service.lost() {
        let lost = percent(Some(lost));
        parts.push(paint(&format!("✗ {} of connections reach no endpoint", lost.trim_start()), ERROR));
    } else if service.pools.iter().any(|p| p.undelivered.is_none()) {
        parts.push(paint("! shares are not all known", NOTE));
    }
    parts.join("  ")
}

fn frontend_node(frontend: &Frontend, several_pools: bool, steps: Option<&Vec<RuleNote>>, view: View) -> Node {
    let routes = phrase::routes(frontend, several_pools);
    let what = format!("{} {}", phrase::kind(frontend.kind), phrase::address(frontend));
    let mut node = Node::new(&what);
    let columns = BRANCH + what.chars().count() + ARROW.len() + routes.chars().count();
    if routes.is_empty() {
        // Everyone goes to the only pool: nothing to say.
    } else if view.width.is_none_or(|width| columns <= width) {
        node.line.push_str(&paint(&format!("{ARROW}{routes}"), DIM));
    } else {
        node.details.push(Detail { label: ARROW.to_owned(), text: routes, style: DIM });
    }
    node.details.extend(steps.map(|notes| details(notes)).unwrap_or_default());
    node
}

fn pool_line(service: &ServicePort, pool: &Pool, several: bool) -> String {
    let named = several || pool.policy == Policy::Local;
    let policy = if named { format!("{}: ", phrase::policy(pool.policy)) } else { String::new() };
    let count = phrase::count(pool);
    let noun = if count == "1" { "endpoint" } else { "endpoints" };
    let mut line = format!("{policy}{count} {noun}");
    if let Some(seconds) = service.affinity_seconds {
        let _ = write!(line, ", sticky {seconds} s");
    }
    line.push_str(&paint(&format!("  {}", clean(&pool.chain)), DIM));
    line
}

fn pool_children<'w>(pool: &Pool, node: &mut Node, view: View, steps: impl Fn(usize) -> Option<&'w Vec<RuleNote>>) {
    let bars = view.width.is_none_or(|w| w >= ROOM_FOR_BARS);
    // One line more costs no more than the line that says so.
    let shown = if view.all || pool.endpoints.len() <= SHOWN + 1 { pool.endpoints.len() } else { SHOWN };
    for (n, endpoint) in pool.endpoints.iter().enumerate().take(shown) {
        let mut child = Node::new(endpoint_line(endpoint, bars));
        child.details = steps(n).map(|notes| details(notes)).unwrap_or_default();
        node.children.push(child);
    }
    if shown < pool.endpoints.len() {
        let rest: Option<f64> = pool.endpoints[shown..].iter().map(|e| e.probability).sum();
        let line = format!("{} {} more, --all shows every one", percent(rest), pool.endpoints.len() - shown);
        node.children.push(Node::new(paint(&line, DIM)));
    }
    if let Some(lost) = pool.lost() {
        let line = format!("{} reach no endpoint: they fall through the chain untranslated", percent(Some(lost)));
        node.children.push(Node::new(paint(&line, ERROR)));
    }
    for oddity in &pool.oddities {
        let text = clean(&phrase::oddity(oddity)).into_owned();
        node.details.push(Detail { label: "! ".to_owned(), text, style: NOTE });
    }
}

fn endpoint_line(endpoint: &Endpoint, bars: bool) -> String {
    let bar = if bars { format!(" {}", bar(endpoint.probability)) } else { String::new() };
    let address = clean(&endpoint.address.to_string()).into_owned();
    let unknown = endpoint.address.ip().is_none();
    let chain = if unknown { paint(&format!("  {}", clean(&endpoint.chain)), DIM) } else { String::new() };
    format!("{}{bar}  {address}{chain}", percent(endpoint.probability))
}

/// Rules under a step: the line number and the rule, then what it does.
fn details(notes: &[RuleNote]) -> Vec<Detail> {
    let mut details = Vec::with_capacity(notes.len() * 2);
    for note in notes {
        let label = format!("{:>5}  ", note.line);
        let indent = " ".repeat(label.len());
        details.push(Detail { label, text: clean(&note.text).into_owned(), style: DIM });
        details.push(Detail {
            label: indent,
            text: clean(&note.meaning).into_owned(),
            style: owo_colors::Style::new(),
        });
    }
    details
}
