//! The lines of a comparison: one change a line, and one line for clients and endpoints that changed alike.

use std::fmt::Write as _;

use owo_colors::Style;

use super::palette::{ERROR, NOTE};
use super::phrase;
use super::remark::{self, Remark};
use super::text::clean;
use crate::compare::{Change, Difference, Kept, RouteAt, Turn};
use crate::dataplane::{AboutEndpoint, Absent, Endpoint, Frontend, Origin, Policy, State, Verdict, percent};
use crate::net::Network;

/// Addresses named where several endpoints changed alike.
const NAMED: usize = 3;

/// One line: its mark, its text, and how it looks.
pub(super) struct Line {
    /// `+`, `-` or `~`.
    pub(super) mark: char,
    /// What is different.
    pub(super) text: String,
    /// How it looks.
    pub(super) style: Style,
}

impl Line {
    fn new(mark: char, text: impl Into<String>) -> Self {
        Self { mark, text: text.into(), style: Style::new() }
    }

    fn styled(self, style: Style) -> Self {
        Self { style, ..self }
    }
}

/// The lines of a service port. What several clients or endpoints have in common is one line, unless `all` are wanted.
pub(super) fn lines(difference: &Difference<'_>, all: bool) -> Vec<Line> {
    let several = [difference.a, difference.b].into_iter().flatten().any(|port| port.pools.len() > 1);
    let mut lines = Vec::new();
    let mut rest = difference.changes.as_slice();
    while let [first, ..] = rest {
        let alike = rest.iter().take_while(|change| are_alike(first, change)).count();
        let (group, after) = rest.split_at(alike);
        rest = after;
        match first {
            Change::Verdict(at, a, b) => lines.push(verdicts(*at, group, (*a, *b))),
            Change::Masquerade(at, a, _) => lines.push(masquerade(*at, group, *a)),
            _ => lines.extend(group.iter().filter_map(|change| one(change, difference, several))),
        }
    }
    shares(difference, several, all, &mut lines);
    lines
}

/// True for what is told in one line: clients of a frontend to whom the same happens.
fn are_alike(one: &Change<'_>, other: &Change<'_>) -> bool {
    let same_place = |one: &RouteAt<'_>, other: &RouteAt<'_>| {
        std::ptr::eq(one.frontend, other.frontend) && one.source == other.source
    };
    match (one, other) {
        (Change::Verdict(at, a, b), Change::Verdict(place, x, y)) => same_place(at, place) && (a, b) == (x, y),
        (Change::Masquerade(at, a, _), Change::Masquerade(place, x, _)) => same_place(at, place) && a == x,
        (Change::Verdict(..) | Change::Masquerade(..), _) | (_, Change::Verdict(..) | Change::Masquerade(..)) => false,
        _ => true,
    }
}

/// One change by itself; none for what stands in the heading and for shares, which are told together.
fn one(change: &Change<'_>, difference: &Difference<'_>, several: bool) -> Option<Line> {
    let told = |policy: Policy| pool_words(policy, several);
    Some(match *change {
        Change::Type(a, b) => Line::new('~', format!("type {a} → {b}")),
        Change::Affinity(a, b) => Line::new('~', format!("ClientIP affinity {} → {}", seconds(a), seconds(b))),
        Change::Frontend(turn) => Line::new(mark(turn), at(turn.it())),
        Change::Scheduler(policy, a, b) => {
            Line::new('~', format!("scheduler{} {} → {}", told(policy), clean(a), clean(b)))
        }
        Change::Undelivered(policy, a, b) => {
            let (from, to) = parts(Some(a), Some(b));
            let line = Line::new('~', format!("connections{} that reach no endpoint {from} → {to}", told(policy)));
            line.styled(if b > a { ERROR } else { Style::new() })
        }
        Change::Endpoint(policy, turn) => endpoint(turn, &told(policy), difference),
        Change::Status(..) | Change::Kept(_, Kept::Share, ..) | Change::Verdict(..) | Change::Masquerade(..) => {
            return None;
        }
        Change::Kept(policy, kept, a, b) => self::kept(kept, a, b, &told(policy)),
        Change::Missing(policy, turn) => return missing(turn, &policy.map(told).unwrap_or_default(), difference),
    })
}

fn mark<T: Copy>(turn: Turn<T>) -> char {
    match turn {
        Turn::Gained(_) => '+',
        Turn::Lost(_) => '-',
    }
}

/// ` (local pool)`, where there is more than the pool of the whole cluster.
fn pool_words(policy: Policy, several: bool) -> String {
    if several || policy == Policy::Local { format!(" ({} pool)", policy.as_str()) } else { String::new() }
}

fn seconds(seconds: Option<u32>) -> String {
    seconds.map_or_else(|| "none".to_owned(), |seconds| format!("{seconds} s"))
}

fn at(frontend: &Frontend) -> String {
    format!("{} {}", frontend.kind.words(), frontend.at())
}

/// Both shares, with as many digits as tell them apart.
fn parts(a: Option<f64>, b: Option<f64>) -> (String, String) {
    let words = |part: Option<f64>| part.map_or_else(|| "?".to_owned(), percent);
    let (from, to) = (words(a), words(b));
    let (Some(a), Some(b), true) = (a, b, from == to) else { return (from, to) };
    let digits = |digits: usize| [a, b].map(|part| format!("{:.digits$} %", part * 100.0));
    let [from, to] = (3..10).map(digits).find(|[from, to]| from != to).unwrap_or_else(|| digits(10));
    (from, to)
}

fn endpoint(turn: Turn<&Endpoint>, told: &str, difference: &Difference<'_>) -> Line {
    let it = turn.it();
    let address =
        if it.address.ip().is_some() { it.address.to_string() } else { format!("{} ({})", it.address, it.chain) };
    let share = it.probability.map_or_else(|| "? %".to_owned(), percent);
    let text = format!("endpoint {}{told}  {share}{}", clean(&address), pod(it.about.as_deref(), difference));
    let remark = remark::endpoint(it);
    let style = remark.as_ref().filter(|_| matches!(turn, Turn::Gained(_))).map_or(Style::new(), Remark::style);
    let remark = remark.map(|remark| format!("  {}", remark.plain())).unwrap_or_default();
    Line::new(mark(turn), text + &remark).styled(style)
}

/// The pod and node of an endpoint, behind two blanks. Whose a stale address is, the remark says.
fn pod(about: Option<&AboutEndpoint>, difference: &Difference<'_>) -> String {
    let Some(about) = about.filter(|about| !matches!(about.state, State::Stale(_))) else { return String::new() };
    let mut out = String::new();
    if let Some(pod) = about.pod.as_deref() {
        let namespace = difference.name().map(|name| name.namespace.as_str());
        let own = namespace.and_then(|namespace| pod.strip_prefix(namespace)?.strip_prefix('/'));
        let _ = write!(out, "  {}", clean(own.unwrap_or(pod)));
    }
    if let Some(node) = about.node.as_deref() {
        let local = if about.local == Some(true) { " (local)" } else { "" };
        let _ = write!(out, "  {}{local}", clean(node));
    }
    out
}

fn kept(kept: Kept, a: &Endpoint, b: &Endpoint, told: &str) -> Line {
    let address = clean(&b.address.to_string()).into_owned();
    let head = format!("endpoint {address}{told}");
    match kept {
        Kept::State => {
            let word = |e: &Endpoint| e.about.as_ref().map_or("unknown", |about| about.state.as_str());
            let remark = b.about.as_deref().and_then(remark::state);
            let to = remark.as_ref().map_or_else(|| word(b).to_owned(), Remark::plain);
            let style = remark.map_or(Style::new(), |remark| remark.style());
            Line::new('~', format!("{head}  {} → {to}", word(a))).styled(style)
        }
        Kept::Draining if b.draining => Line::new('~', format!("{head}  draining: no new connections")).styled(NOTE),
        Kept::Draining => Line::new('~', format!("{head}  no longer draining")),
        Kept::Hairpin if b.hairpin == Some(true) => {
            Line::new('~', format!("{head}  masqueraded where it reaches itself"))
        }
        Kept::Hairpin => Line::new('~', format!("{head}  no longer masqueraded where it reaches itself")).styled(NOTE),
        Kept::Share => Line::new('~', head),
    }
}

/// An endpoint that should be programmed and is not. That one which is programmed now is no longer missing goes without
/// saying.
fn missing(turn: Turn<&Absent>, told: &str, difference: &Difference<'_>) -> Option<Line> {
    let absent = turn.it();
    let has =
        |change: &Change<'_>| matches!(change, Change::Endpoint(_, Turn::Gained(e)) if e.address == absent.address);
    let head = format!("endpoint {}{told}", clean(&absent.address.to_string()));
    match turn {
        Turn::Gained(_) => {
            let remark = remark::absent(&absent.about);
            let pod = pod(Some(&absent.about), difference);
            Some(Line::new('~', format!("{head}  {}{pod}", remark.plain())).styled(remark.style()))
        }
        Turn::Lost(_) if difference.changes.iter().any(has) => None,
        Turn::Lost(_) => Some(Line::new('~', format!("{head}  no longer missing"))),
    }
}

/// Shares of endpoints that both sides have: endpoints that changed alike in one line.
fn shares(difference: &Difference<'_>, several: bool, all: bool, lines: &mut Vec<Line>) {
    let mut groups: Vec<(Policy, (String, String), Vec<String>)> = Vec::new();
    for change in &difference.changes {
        let Change::Kept(policy, Kept::Share, a, b) = change else { continue };
        let (change, address) = (parts(a.probability, b.probability), b.address.to_string());
        // Endpoints that changed alike mostly follow each other; a pool of many different shares is no reason for squares.
        match groups.last_mut() {
            Some((known, parts, addresses)) if !all && known == policy && *parts == change => addresses.push(address),
            _ => groups.push((*policy, change, vec![address])),
        }
    }
    for (policy, (from, to), addresses) in groups {
        let told = pool_words(policy, several);
        let named =
            addresses.iter().take(NAMED).map(|address| clean(address).into_owned()).collect::<Vec<_>>().join(", ");
        let text = match addresses.len() {
            1 => format!("endpoint {named}{told}  {from} → {to}"),
            many if many > NAMED => format!("{many} endpoints{told}  {from} → {to}  {named}, …"),
            many => format!("{many} endpoints{told}  {from} → {to}  {named}"),
        };
        lines.push(Line::new('~', text));
    }
}

fn verdicts(at: RouteAt<'_>, group: &[Change<'_>], (a, b): (Option<Verdict>, Option<Verdict>)) -> Line {
    let word = |verdict: Option<Verdict>| match verdict {
        None => "as all others",
        Some(verdict) => phrase::verdict(verdict, true),
    };
    let text = format!("{}{}  {} → {}", self::at(at.frontend), who(at, group), word(a), word(b));
    let worse = a.is_none_or(Verdict::is_pool) && b.is_some_and(|verdict| !verdict.is_pool());
    Line::new('~', text).styled(if worse { NOTE } else { Style::new() })
}

fn masquerade(at: RouteAt<'_>, group: &[Change<'_>], before: bool) -> Line {
    let (from, to) = if before { ("masqueraded", "source kept") } else { ("source kept", "masqueraded") };
    Line::new('~', format!("{}{}  {from} → {to}", self::at(at.frontend), who(at, group)))
}

/// Whose connections: nothing for everybody's.
fn who(at: RouteAt<'_>, group: &[Change<'_>]) -> String {
    let of = |change: &Change<'_>| match change {
        Change::Verdict(at, ..) | Change::Masquerade(at, ..) => Some(at.origin),
        _ => None,
    };
    let origins: Vec<Origin> = group.iter().filter_map(of).collect();
    let from = at.source.map(|network: Network| format!(" from {network}")).unwrap_or_default();
    if origins.len() == Origin::ALL.len() { from } else { format!(", {}{from}", phrase::clients(&origins)) }
}
