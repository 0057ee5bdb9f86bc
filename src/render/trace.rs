//! The way of a connection as a story: hook by hook, rule by rule, and the verdict in a sentence at its end.

use std::fmt::Write as _;

use hashbrown::{HashMap, HashSet};
use owo_colors::Style;

use super::palette::{DIM, ERROR, NOTE, STRONG, paint};
use super::remark;
use super::service::View;
use super::text::{clean, percent, wrap};
use crate::dataplane::{self, AboutEndpoint, Address};
use crate::net::Host;
use crate::report::Packet;
use crate::trace::{Action, Destination, End, Hook, Outcome, Step, Trace, Why};

/// Endpoints shown of a chain unless all are asked for.
const SHOWN: usize = 12;

/// Unknown things that are named unless all are asked for.
const OPEN: usize = 6;

/// Rules in a row that do not apply and are still told one by one.
const FEW: usize = 3;

/// What a story is made of.
pub struct Story<'s> {
    /// The connection.
    pub packet: &'s Packet,
    /// What becomes of it.
    pub trace: &'s Trace,
    /// What is known of endpoints, by their address.
    pub about: &'s dyn Fn(&Address) -> Option<&'s AboutEndpoint>,
    /// Tell every rule, those that do not apply too.
    pub every_rule: bool,
}

/// One line of the story.
struct Row {
    line: Option<u32>,
    chain: String,
    text: String,
    style: Style,
}

impl Story<'_> {
    /// Draws it.
    pub fn draw(&self, view: View) -> String {
        let mut out = String::new();
        push(&mut out, &paint(&self.heading(), STRONG));
        let rows = self.rows(view);
        let chain = rows.iter().filter_map(|(_, row)| row.as_ref()).map(|row| row.chain.len()).max().unwrap_or(0);
        let mut last = None;
        for (place, row) in &rows {
            if last != Some(*place) {
                push(&mut out, &paint(&format!("{} {}", place.0.as_str(), place.1), STRONG));
                last = Some(*place);
            }
            if let Some(row) = row {
                draw(row, chain, view.width, &mut out);
            }
        }
        out.push('\n');
        self.verdict(view, &mut out);
        out
    }

    fn heading(&self) -> String {
        let packet = self.packet;
        let who = match (packet.from.as_str(), packet.source.as_deref()) {
            ("pod", _) => "any pod of this node".to_owned(),
            ("external", _) => "someone outside".to_owned(),
            ("node", Some(ip)) => format!("this node ({ip})"),
            ("node", None) => "this node".to_owned(),
            (from, Some(ip)) if from != ip && !from.contains(ip) => format!("{from} ({ip})"),
            (from, _) => from.to_owned(),
        };
        let host = packet
            .destination
            .as_deref()
            .map(|ip| ip.parse().map_or_else(|_| ip.to_owned(), |ip| Host(ip).to_string()));
        let to =
            host.map_or_else(|| format!("port {} of this node", packet.port), |host| format!("{host}:{}", packet.port));
        let service = packet.service.as_ref().map(|name| format!("  ({name})")).unwrap_or_default();
        clean(&format!("{who} → {to}/{}{service}", packet.protocol)).into_owned()
    }

    /// The lines, each with its hook and table.
    fn rows(&self, view: View) -> Vec<((Hook, &'static str), Option<Row>)> {
        let mut rows = Vec::new();
        let ends = if self.every_rule { HashMap::new() } else { ends(&self.trace.steps) };
        let mut left: HashMap<(Hook, &str), usize> = HashMap::new();
        for step in self.trace.steps.iter().filter(|step| end_of(&ends, step).is_some()) {
            *left.entry((step.hook, &step.chain)).or_default() += 1;
        }
        // Chains that a rule which was told leads to. The others are told with the rule that leads there, or not at all.
        let mut entered: HashSet<(Hook, &str, &str)> = HashSet::new();
        let mut last = None;
        let mut shown: HashMap<(Hook, &str), usize> = HashMap::new();
        let mut failing: Vec<&Step> = Vec::new();
        for step in &self.trace.steps {
            let place = (step.hook, step.table);
            if matches!(step.why, Why::Fails(_)) {
                if failing.first().is_some_and(|first| first.chain != step.chain || first.hook != step.hook) {
                    tell_failing(&mut failing, &mut rows);
                }
                failing.push(step);
                continue;
            }
            tell_failing(&mut failing, &mut rows);
            // The first chain of a table is what the hook itself calls.
            if last.replace(place) != Some(place) {
                entered.insert((step.hook, step.table, &step.chain));
            }
            let is_entered = || entered.contains(&(step.hook, step.table, step.chain.as_str()));
            if !self.every_rule && (is_idle(step) || !is_entered()) {
                continue;
            }
            match end_of(&ends, step) {
                Some(address) => {
                    let key = (step.hook, step.chain.as_str());
                    let count = shown.entry(key).or_default();
                    *count += 1;
                    if *count <= SHOWN || view.all {
                        rows.push((place, Some(self.endpoint_row(step, address))));
                    } else if *count == SHOWN + 1 {
                        let more = left.get(&key).copied().unwrap_or_default() - SHOWN;
                        let text = format!("… {more} more, --all shows every one");
                        rows.push((place, Some(Row { line: None, chain: String::new(), text, style: DIM })));
                    }
                }
                None => {
                    if let Action::Jump(target) | Action::Goto(target) = &step.action {
                        entered.insert((step.hook, step.table, target));
                    }
                    rows.push((place, Some(row(step, self.every_rule))));
                }
            }
        }
        tell_failing(&mut failing, &mut rows);
        rows
    }

    fn endpoint_row(&self, step: &Step, address: &Address) -> Row {
        let mut text = format!("{}  → {}", percent(step.probability), clean(&address.to_string()));
        let about = (self.about)(address);
        for known in about.into_iter().flat_map(|about| [about.pod.as_deref(), about.node.as_deref()]).flatten() {
            let _ = write!(text, "  {}", clean(known));
        }
        if about.is_some_and(|about| about.local == Some(true)) {
            text.push_str(" (local)");
        }
        if let Some(remark) = about.and_then(remark::state) {
            let _ = write!(text, "  {}", remark.plain());
        }
        if self.packet.source.is_some() && self.packet.source == address.ip().map(|ip| ip.to_string()) {
            text.push_str("  the client itself");
        }
        Row { line: step.rule.map(|rule| rule.line), chain: step.chain.clone(), text, style: Style::new() }
    }

    fn verdict(&self, view: View, out: &mut String) {
        let several = self.trace.outcomes.len() > 1;
        for outcome in &self.trace.outcomes {
            let share = if several { format!("{}  ", percent(outcome.probability)) } else { String::new() };
            let style = match outcome.end {
                End::Drop | End::Reject => ERROR,
                End::Delivered if !self.lost(&self.trace.destinations).is_empty() => ERROR,
                End::Unknown(_) => NOTE,
                _ => STRONG,
            };
            let sentence = self.sentence(outcome);
            let indent = share.chars().count();
            let room = view.width.map_or(usize::MAX, |width| width.saturating_sub(indent).max(20));
            for (n, line) in wrap(&clean(&sentence), room).iter().enumerate() {
                let head = if n == 0 { share.clone() } else { " ".repeat(indent) };
                push(out, &format!("{head}{}", paint(line, style)));
            }
        }
        let shown = if view.all { usize::MAX } else { OPEN };
        for open in self.trace.open.iter().take(shown) {
            let hint = open.hint.map(|hint| format!(" ({hint} tells)")).unwrap_or_default();
            let text = format!("not known: whether {}{hint}", open.what);
            for line in wrap(&clean(&text), view.width.unwrap_or(usize::MAX)) {
                push(out, &paint(&line, NOTE));
            }
        }
        if self.trace.open.len() > shown {
            push(out, &paint(&format!("and {} more, --all names every one", self.trace.open.len() - shown), NOTE));
        }
    }

    fn sentence(&self, outcome: &Outcome) -> String {
        match &outcome.end {
            End::Delivered => {
                let destinations = &self.trace.destinations;
                let to = match destinations.as_slice() {
                    [only] => only.address.to_string(),
                    many => format!("one of {} endpoints", many.len()),
                };
                format!("delivered to {to}, {}{}", self.kept(destinations), self.lost(destinations))
            }
            End::Untranslated { local: Some(true) } => {
                format!("not translated: a program of this node that listens on port {} gets it", self.packet.port)
            }
            End::Untranslated { local } => {
                let to = self.packet.destination.as_deref().unwrap_or("its destination");
                let or = if local.is_none() { ", or a program of this node gets it" } else { "" };
                let kept = match outcome.masquerade {
                    Some(true) => ", its source as this node's",
                    Some(false) => " as it is",
                    None => "; whether its source becomes this node's is not known",
                };
                format!("not translated: it goes on to {to}{kept}{or}")
            }
            End::Drop => format!("dropped {}", self.by(outcome)),
            End::Reject => format!("rejected {}", self.by(outcome)),
            End::Unknown(why) => format!("it cannot be told: {why}"),
        }
    }

    /// The endpoints that are none any more, where the cluster tells.
    fn lost(&self, destinations: &[Destination]) -> String {
        let is_lost = |address: &Address| (self.about)(address).is_some_and(AboutEndpoint::is_lost);
        let lost: Vec<&Destination> = destinations.iter().filter(|d| is_lost(&d.address)).collect();
        if lost.is_empty() {
            return String::new();
        }
        let share = lost
            .iter()
            .map(|d| d.probability)
            .sum::<Option<f64>>()
            .map_or_else(|| "some".to_owned(), dataplane::percent);
        let named: Vec<String> = lost.iter().map(|d| d.address.to_string()).collect();
        format!("; but {share} go to {}, stale or not ready", named.join(", "))
    }

    /// What becomes of the client's address.
    fn kept(&self, destinations: &[Destination]) -> String {
        let all = |wanted: Option<bool>| destinations.iter().all(|d| d.masquerade == wanted);
        if all(Some(false)) {
            return "the client keeps its address".to_owned();
        }
        if all(Some(true)) {
            return "the client appears as this node (masqueraded)".to_owned();
        }
        if self.trace.masquerade == Some(true) && destinations.iter().all(|d| d.masquerade != Some(false)) {
            return "the client appears as this node (masqueraded), unless the endpoint is at the node's own address"
                .to_owned();
        }
        if destinations.iter().any(|d| d.masquerade.is_none()) {
            return "whether the client keeps its address is not known".to_owned();
        }
        let masqueraded = destinations.iter().filter(|d| d.masquerade == Some(true));
        let named: Vec<String> = masqueraded.map(|d| d.address.to_string()).collect();
        format!("the client keeps its address, but appears as this node to {}", named.join(", "))
    }

    /// The rule or policy that ended it.
    fn by(&self, outcome: &Outcome) -> String {
        let Some(step) = outcome.by.and_then(|at| self.trace.steps.get(at)) else { return "by a rule".to_owned() };
        let Step { hook, table, chain, .. } = step;
        match step.rule {
            None => format!("by the policy of {chain} ({table})"),
            Some(rule) => {
                let comment = step.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
                format!("by {chain}, line {} ({table}, {}){comment}", rule.line, hook.as_str())
            }
        }
    }
}

/// Rules that do not apply: one by one if they are few, else the first of them.
fn tell_failing(failing: &mut Vec<&Step>, rows: &mut Vec<((Hook, &'static str), Option<Row>)>) {
    let few = failing.len() <= FEW;
    for step in failing.iter().take(if few { FEW } else { 1 }) {
        let Why::Fails(condition) = &step.why else { continue };
        let text = if few {
            format!("does not apply: {}", clean(condition))
        } else {
            format!("and {} more do not apply: {}", failing.len() - 1, clean(condition))
        };
        let line = step.rule.map(|rule| rule.line);
        rows.push(((step.hook, step.table), Some(Row { line, chain: step.chain.clone(), text, style: DIM })));
    }
    failing.clear();
}

/// A chain at a hook and in a table.
type Place<'s> = (Hook, &'s str, &'s str);

/// Chains in which nothing happens but that one address becomes the destination, with that address. They are told with
/// the rule that leads there.
fn ends(steps: &[Step]) -> HashMap<Place<'_>, &Address> {
    let mut ends: HashMap<Place<'_>, Option<&Address>> = HashMap::new();
    let applying = steps.iter().filter(|step| !matches!(step.why, Why::Fails(_)) && !is_idle(step));
    for step in applying.filter(|step| step.chain != step.hook.as_str()) {
        let place = (step.hook, step.table, step.chain.as_str());
        match &step.action {
            Action::Dnat(address) => {
                ends.entry(place).and_modify(|end| *end = None).or_insert(Some(address));
            }
            Action::Jump(chain) if chain == "KUBE-MARK-MASQ" => {}
            _ => {
                ends.insert(place, None);
            }
        }
    }
    ends.into_iter().filter_map(|(place, address)| Some((place, address?))).collect()
}

/// The address a rule leads to, if its target is such a chain. What the hook itself calls is told step by step.
fn end_of<'s>(ends: &HashMap<Place<'s>, &'s Address>, step: &'s Step) -> Option<&'s Address> {
    let Action::Jump(target) = &step.action else { return None };
    ends.get(&(step.hook, step.table, target.as_str())).copied().filter(|_| step.chain != step.hook.as_str())
}

/// Nothing comes of it: it leads to a chain where nothing applies, sends back, or only watches.
pub(super) fn is_idle(step: &Step) -> bool {
    step.idle || matches!(step.action, Action::Return | Action::Nothing)
}

/// With `why`, the conditions that it meets stand behind it, else the rule's comment.
fn row(step: &Step, why: bool) -> Row {
    let what = match &step.action {
        Action::Jump(chain) if step.idle => format!("→ {chain}, where nothing applies"),
        Action::Jump(chain) => format!("→ {chain}"),
        Action::Goto(chain) => format!("→ {chain}, and not back"),
        Action::Return => "back".to_owned(),
        Action::Accept => "accepted".to_owned(),
        Action::Drop => "dropped".to_owned(),
        Action::Reject => "rejected".to_owned(),
        Action::Dnat(address) => format!("the destination becomes {address}"),
        Action::Masquerade => "the source becomes an address of this node".to_owned(),
        Action::Mark(mark) => format!("the mark becomes {mark:#x}"),
        Action::ConnMark(mark) => format!("the mark of the connection becomes {mark:#x}"),
        Action::Untrack => "not tracked, and so not translated".to_owned(),
        Action::Nothing => "changes nothing about its way".to_owned(),
        Action::Unknown(why) => why.clone(),
    };
    let part = if step.is_of_all() { String::new() } else { format!("{}  ", percent(step.probability)) };
    let open = match &step.why {
        Why::Open(what) => format!("  ? if {what}"),
        _ => String::new(),
    };
    let comment = match (&step.comment, why) {
        (_, true) if step.rule.is_none() => String::new(),
        (_, true) if step.conditions.is_empty() => "  applies to everything".to_owned(),
        (_, true) => format!("  applies: {}", step.conditions),
        (Some(comment), false) => format!("  \"{comment}\""),
        (None, false) => String::new(),
    };
    let policy = if step.rule.is_none() { "by the policy: " } else { "" };
    let text = clean(&format!("{part}{policy}{what}{comment}{open}")).into_owned();
    let style = if matches!(step.action, Action::Drop | Action::Reject) { ERROR } else { Style::new() };
    Row { line: step.rule.map(|rule| rule.line), chain: step.chain.clone(), text, style }
}

fn draw(row: &Row, chain: usize, width: Option<usize>, out: &mut String) {
    let line = row.line.map(|line| line.to_string()).unwrap_or_default();
    let head = format!("{line:>7}  {:chain$}  ", clean(&row.chain));
    let indent = head.chars().count();
    match width {
        // A narrow terminal gets the text below its chain.
        Some(width) if width < indent + 40 => {
            push(out, &paint(head.trim_end(), DIM));
            for line in wrap(&row.text, width.saturating_sub(9).max(20)) {
                push(out, &format!("         {}", paint(&line, row.style)));
            }
        }
        width => {
            let lines = wrap(&row.text, width.map_or(usize::MAX, |width| width - indent));
            for (n, line) in lines.iter().enumerate() {
                let head = if n == 0 { paint(&head, DIM) } else { " ".repeat(indent) };
                push(out, &format!("{head}{}", paint(line, row.style)));
            }
        }
    }
}

fn push(out: &mut String, line: &str) {
    out.push_str(line.trim_end());
    out.push('\n');
}
