//! Services as trees: frontends first, then each pool with its shares.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr;

use super::marks::{self, Marks};
use super::palette::{DIM, ERROR, NOTE, STRONG, paint};
use super::phrase;
use super::remark::{self, Room};
use super::rows::{self, Row};
use super::text::{clean, percent, unstyled, wrap};
use super::tree::{Detail, Node};
use crate::checks::Finding;
use crate::dataplane::{Absent, Endpoint, Frontend, Mode, Policy, Pool, RuleNote, ServicePort, Walkthrough, count};
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
pub fn services(services: &[ServicePort], walkthroughs: &[Walkthrough], marks: &Marks<'_>, view: View) -> String {
    let mut out = String::new();
    let empty = Walkthrough::default();
    let mut next = 0;
    for group in services.chunk_by(are_families_of_one) {
        if next > 0 {
            out.push('\n');
        }
        let mut nodes: Vec<Node> = group
            .iter()
            .zip(next..)
            .map(|(service, n)| {
                // Below a common heading there is a branch less room.
                let deeper = View { width: view.width.map(|width| width.saturating_sub(BRANCH)), ..view };
                let (title, view) = match group.len() {
                    1 => (title(service, true), view),
                    _ => (service.family.to_string(), deeper),
                };
                node(service, title, walkthroughs.get(n).unwrap_or(&empty), &marks.at(n), view)
            })
            .collect();
        let root = match group {
            [first, _, ..] => Node { line: title(first, false), details: Vec::new(), children: nodes },
            _ => nodes.pop().unwrap_or_default(),
        };
        root.draw(view.width, &mut out);
        next += group.len();
    }
    out
}

/// True for the IPv4 and IPv6 half of one service port.
fn are_families_of_one(one: &ServicePort, other: &ServicePort) -> bool {
    one.name.is_some() && one.name == other.name && one.protocol == other.protocol && one.family != other.family
}

/// What the answer was made from, in one dim line, or several of at most `width` columns, and where to read more.
pub fn footer(header: &Header, rules: usize, marks: &Marks<'_>, width: Option<usize>) -> String {
    let more = marks.worst().map(|finding| format!("more: kube-ipt explain {}", finding.check.slug));
    origin(header, rules, width) + &more.map(|more| paint(&more, DIM) + "\n").unwrap_or_default()
}

/// What an answer was made from.
pub fn origin(header: &Header, rules: usize, width: Option<usize>) -> String {
    let backend = header.backend.map(|b| format!(" ({b})")).unwrap_or_default();
    let families: Vec<&str> = header.families.iter().map(|f| f.as_str()).collect();
    let tables = match header.tables.as_slice() {
        [only] if header.mode == Mode::Iptables => format!("{only} only"),
        tables => tables.join(", "),
    };
    let mut parts: Vec<String> = header.node.iter().map(|node| clean(node).into_owned()).collect();
    parts.extend([format!("{}{backend}", header.mode), families.join(", "), tables, count(rules, "rule")]);
    if header.partial {
        parts.push("parts of the dump are missing".to_owned());
    }
    parts.push(format!("from {}", clean(&header.from)));
    parts.push(match &header.objects {
        Some(objects) if *objects == header.from => "with its objects".to_owned(),
        Some(objects) => format!("objects from {}", clean(objects)),
        None => "no objects".to_owned(),
    });
    let lines = wrap(&parts.join(" · "), width.unwrap_or(usize::MAX));
    lines.iter().fold(String::new(), |out, line| out + &paint(line, DIM) + "\n")
}

fn node(service: &ServicePort, title: String, walkthrough: &Walkthrough, findings: &[&Finding], view: View) -> Node {
    let mut root = heading(service, title, view.width);
    root.details.extend(marks::details(findings));
    let several = service.pools.len() > 1;
    for (n, frontend) in service.frontends.iter().enumerate() {
        root.children.push(frontend_node(frontend, several, walkthrough.frontends.get(n), view));
    }
    for (n, pool) in service.pools.iter().enumerate() {
        let steps = walkthrough.pools.get(n);
        let mut node = Node::new(pool_line(service, pool));
        node.details = steps.map(|s| details(&s.head)).unwrap_or_default();
        let namespace = service.name.as_ref().map(|name| name.namespace.as_str());
        pool_children(namespace, service, pool, &mut node, view, |endpoint| {
            steps.and_then(|s| s.endpoints.get(endpoint))
        });
        root.children.push(node);
    }
    let (unprogrammed, waiting) = service.about.as_ref().map(|a| (&*a.unprogrammed, &*a.waiting)).unwrap_or_default();
    if !unprogrammed.is_empty() {
        let title =
            format!("{}  {}", remark::endpoints(unprogrammed.len()), paint("! usable, but not programmed", NOTE));
        root.children.push(without_traffic(title, service, unprogrammed, view));
    }
    if !waiting.is_empty() {
        root.children.push(without_traffic(paint(&remark::waiting(waiting.len()), DIM), service, waiting, view));
    }
    root
}

/// `ns/name:port  tcp  ipv6  ClusterIP`, without the family where both hang below it.
fn title(service: &ServicePort, with_family: bool) -> String {
    let name = match &service.name {
        Some(name) => paint(&clean(&name.to_string()), STRONG),
        None => {
            let chain = service.pools.first().map_or(service.key.as_str(), |p| p.chain.as_str());
            format!("{} ({})", paint("unnamed service", STRONG), clean(chain))
        }
    };
    let mut parts = vec![name];
    parts.extend(service.protocol.map(|p| p.to_string()));
    if with_family && service.family == Family::Ipv6 {
        parts.push("ipv6".to_owned());
    }
    parts.extend(service.about.as_ref().and_then(|about| about.service_type).map(str::to_owned));
    parts.join("  ")
}

/// The title with the worst that is to be said, `✗ …`, on a line of its own where it does not fit.
fn heading(service: &ServicePort, title: String, width: Option<usize>) -> Node {
    let mut root = Node::new(title);
    if let Some(remark) = remark::service(service, &[], Room::Heading) {
        let plain = remark.plain();
        let columns = || unstyled(&root.line).map(UnicodeWidthStr::width).sum::<usize>() + 2 + plain.width();
        if width.is_none_or(|width| columns() <= width) {
            root.line = format!("{}  {}", root.line, remark.painted());
        } else {
            root.details.push(Detail { label: "  ".to_owned(), text: plain, style: remark.style() });
        }
    }
    root
}

fn frontend_node(frontend: &Frontend, several_pools: bool, steps: Option<&Vec<RuleNote>>, view: View) -> Node {
    let routes = phrase::routes(frontend, several_pools);
    let what = format!("{} {}", frontend.kind.words(), frontend.at());
    let mut node = Node::new(&what);
    let columns = BRANCH + what.width() + ARROW.width() + routes.width();
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

fn pool_line(service: &ServicePort, pool: &Pool) -> String {
    let named = service.pools.len() > 1 || pool.policy == Policy::Local;
    let policy = if named { format!("{}: ", pool.policy.as_str()) } else { String::new() };
    let count = phrase::count(pool);
    let noun = if count == "1" { "endpoint" } else { "endpoints" };
    let mut line = format!("{policy}{count} {noun}");
    if let Some(seconds) = service.affinity_seconds {
        let _ = write!(line, ", sticky {seconds} s");
        let others = service.other_affinity.iter().filter_map(|(at, _)| Some(service.frontends.get(*at)?.at()));
        let others = others.collect::<Vec<_>>().join(", ");
        if !others.is_empty() {
            let _ = write!(line, " but not at {others}");
        }
    }
    if let Some(scheduler) = &pool.scheduler {
        let _ = write!(line, ", {}", clean(&phrase::scheduler(scheduler)));
    }
    line.push_str(&paint(&format!("  {}", clean(&pool.chain)), DIM));
    line
}

fn pool_children<'w>(
    namespace: Option<&str>,
    service: &ServicePort,
    pool: &Pool,
    node: &mut Node,
    view: View,
    steps: impl Fn(usize) -> Option<&'w Vec<RuleNote>>,
) {
    let bars = view.width.is_none_or(|w| w >= ROOM_FOR_BARS);
    let shown = shown(pool.endpoints.len(), view);
    let absent = self::shown(pool.missing.len(), view);
    let endpoints = pool.endpoints.iter().take(shown).map(|endpoint| Row::of(endpoint, namespace));
    let missing = pool.missing.iter().take(absent).map(|absent| Row::absent(absent, namespace));
    let mut rows: Vec<Row> = endpoints.chain(missing).collect();
    let counted = |endpoint: &Endpoint| endpoint.counted(service.affinity_seconds.is_some());
    if pool.endpoints.iter().any(|endpoint| counted(endpoint).is_some_and(|packets| packets > 0)) {
        rows.iter_mut().zip(&pool.endpoints).for_each(|(row, endpoint)| row.count(counted(endpoint)));
    }
    let mut drawn = rows::nodes(&rows, view.width, bars).into_iter();
    for (n, mut child) in drawn.by_ref().take(shown).enumerate() {
        child.details.extend(steps(n).map(|notes| details(notes)).unwrap_or_default());
        node.children.push(child);
    }
    if shown < pool.endpoints.len() {
        let rest = &pool.endpoints[shown..];
        let share: Option<f64> = rest.iter().map(|e| e.probability).sum();
        node.children.push(Node::new(paint(&more(share, rest.len()), DIM)));
        let lost: Vec<_> = rest.iter().filter(|endpoint| endpoint.is_lost()).collect();
        if !lost.is_empty() {
            let share = percent(lost.iter().map(|e| e.probability).sum());
            let line = format!("{share} of these go to {} that are stale or not ready", remark::endpoints(lost.len()));
            node.children.push(Node::new(paint(&line, ERROR)));
        }
    }
    node.children.extend(drawn);
    if absent < pool.missing.len() {
        node.children.push(Node::new(paint(&more(Some(0.0), pool.missing.len() - absent), DIM)));
    }
    if let Some(lost) = pool.lost() {
        let how =
            if pool.scheduler.is_some() { "they are refused" } else { "they fall through the chain untranslated" };
        let line = format!("{} reach no endpoint: {how}", percent(Some(lost)));
        node.children.push(Node::new(paint(&line, ERROR)));
    }
    if let Some((text, wrong)) = service.balance(pool).as_ref().and_then(phrase::balance) {
        let (label, style) = if wrong { ("! ", NOTE) } else { ("", DIM) };
        node.details.push(Detail { label: label.to_owned(), text, style });
    }
    for oddity in &pool.oddities {
        let text = clean(&phrase::oddity(oddity)).into_owned();
        node.details.push(Detail { label: "! ".to_owned(), text, style: NOTE });
    }
}

/// How many of `count` lines to show. One line more costs no more than the line that says so.
fn shown(count: usize, view: View) -> usize {
    if view.all || count <= SHOWN + 1 { count } else { SHOWN }
}

fn more(share: Option<f64>, count: usize) -> String {
    format!("{} {count} more, --all shows every one", percent(share))
}

/// Endpoints of a service port that no rule leads to, below `title`.
fn without_traffic(title: String, service: &ServicePort, endpoints: &[Absent], view: View) -> Node {
    let namespace = service.name.as_ref().map(|name| name.namespace.as_str());
    let mut node = Node::new(title);
    let shown = shown(endpoints.len(), view);
    let rows: Vec<Row> = endpoints.iter().take(shown).map(|absent| Row::without_traffic(absent, namespace)).collect();
    node.children = rows::nodes(&rows, view.width, false);
    if shown < endpoints.len() {
        node.children.push(Node::new(paint(&more(Some(0.0), endpoints.len() - shown), DIM)));
    }
    node
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
