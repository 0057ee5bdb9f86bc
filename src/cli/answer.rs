//! What `show` and `list` have in common: read, survey, select, follow, render.

use super::args::{Format, OutputArgs, SourceArgs};
use super::choose::choose;
use super::{Answer, Failure, Outcome, gather};
use crate::dataplane::{Oddity, Select, ServicePort};
use crate::dump::iptables::Dump;
use crate::net::Family;
use crate::proxy::iptables::{Ruleset, Sketch, Survey, rulesets};
use crate::render::{self, View};
use crate::report::{self, Header, Kind};
use crate::source::Bundle;

/// What a command wants to know.
pub(super) struct Question<'q> {
    pub(super) kind: Kind,
    /// Each WHAT as typed and as understood; none for everything.
    pub(super) what: Vec<(String, Select)>,
    pub(super) rules: bool,
    pub(super) format: Format,
    pub(super) shared: &'q OutputArgs,
    pub(super) source: &'q SourceArgs,
    pub(super) verbose: bool,
    pub(super) width: Option<usize>,
}

/// Answers it.
pub(super) fn answer(question: &Question<'_>) -> Result<Outcome, Failure> {
    let bundle = gather::bundle(question.source)?;
    let dumps = gather::dumps(&bundle)?;
    let family = question.source.family.map(Family::from);
    let (mut rulesets, ruleset_notes) = rulesets(&dumps, family.unwrap_or(Family::Ipv4));
    let families: Vec<Family> = rulesets.iter().map(|r| r.family).collect();
    rulesets.retain(|r| family.is_none_or(|only| only == r.family));
    let survey = Survey::of(&rulesets);

    let mut outcome = Outcome { notes: bundle.notes.clone(), ..Outcome::default() };
    if question.verbose {
        outcome.notes.extend(bundle.commands.iter().map(|typed| format!("ran {typed}")));
    }
    outcome.notes.extend(gather::unread_notes(&bundle, &dumps, question.verbose));
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    outcome.notes.extend(ruleset_notes.iter().map(|note| note.describe(&labels)));

    outcome.notes.extend(unplaced(&survey, &bundle));
    if !survey.sketches().is_empty() && rulesets.iter().all(|r| r.nat.is_none()) {
        outcome
            .notes
            .push("there is no nat table here: only Services that the filter table refuses are known".to_owned());
    }

    let (sketches, services) = choose(&survey, question, &mut outcome.missing);
    if survey.sketches().is_empty() {
        outcome.missing = vec![match (family, families.as_slice()) {
            (Some(only), [other]) if *other != only => {
                format!("no Services of {only}: the rules are {other} ones; leave out --family to see them")
            }
            _ => nothing_here(&rulesets, &bundle, &dumps),
        }];
    }
    outcome.notes.extend(undecided(&services));
    let header = header(&rulesets, &bundle, &dumps);
    if services.is_empty() && matches!(question.format, Format::Tree | Format::Table | Format::Wide) {
        return Ok(outcome);
    }
    outcome.answer = match question.format {
        Format::Tree => {
            let footer = render::footer(&header, rules_read(&rulesets), question.width);
            Answer::Text(tree(question, &survey, &sketches, &services) + &footer)
        }
        _ => text(question, &header, services)?,
    };
    Ok(outcome)
}

/// The tree, with the rules under every step if they were asked for.
fn tree(question: &Question<'_>, survey: &Survey<'_>, sketches: &[&Sketch<'_>], services: &[ServicePort]) -> String {
    let explained = if question.rules { sketches } else { &[] };
    let walkthroughs: Vec<_> =
        explained.iter().zip(services).map(|(sketch, port)| survey.walkthrough(sketch, port)).collect();
    render::services(services, &walkthroughs, View { width: question.width, all: question.shared.all })
}

/// Every other form of an answer.
fn text(question: &Question<'_>, header: &Header, services: Vec<ServicePort>) -> Result<Answer, Failure> {
    let wide = question.format == Format::Wide;
    Ok(match (question.format, question.kind) {
        (Format::Json, kind) => Answer::Json(Box::new(report::document(kind, header, services))),
        (Format::Yaml, kind) => {
            let yaml = render::yaml(&report::document(kind, header, services));
            Answer::Text(yaml.map_err(|e| Failure { what: format!("cannot write YAML: {e}"), hints: Vec::new() })?)
        }
        (_, Kind::List) => Answer::Text(render::list(&services, wide, question.width)),
        (_, Kind::Show) => Answer::Text(render::endpoints(&services, wide, question.width)),
    })
}

/// How many rules of the services shown cannot be judged.
fn undecided(services: &[ServicePort]) -> Option<String> {
    let oddities = services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.oddities);
    let mut rules: Vec<_> =
        oddities.filter_map(|o| if let Oddity::Undecided(rule) = o { Some(rule) } else { None }).collect();
    rules.sort_unstable();
    rules.dedup();
    let count = match rules.len() {
        0 => return None,
        1 => "1 rule holds".to_owned(),
        many => format!("{many} rules hold"),
    };
    Some(format!("{count} a condition or target that a dump does not decide, so that shares are unknown"))
}

/// Rules that capture an address and cannot be followed.
fn unplaced(survey: &Survey<'_>, bundle: &Bundle) -> Option<String> {
    let first = survey.unplaced().first()?;
    let label = bundle.captures.get(usize::from(first.text)).map_or("", |capture| &capture.label);
    let rules = match survey.unplaced().len() {
        1 => "1 rule".to_owned(),
        many => format!("{many} rules"),
    };
    let line = first.line;
    Some(format!(
        "{rules} beside those of Services cannot be judged and may take their traffic, first {label} line {line}"
    ))
}

/// Why there is no Service at all.
fn nothing_here(rulesets: &[Ruleset<'_>], bundle: &Bundle, dumps: &[Dump<'_>]) -> String {
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    let from = labels.join(", ");
    let chain = |name: &str| rulesets.iter().filter_map(|r| r.nat).any(|nat| nat.section.chain(name).is_some());
    if chain("KUBE-LOAD-BALANCER") || chain("KUBE-NODE-PORT") {
        return format!(
            "no Services in the rules of {from}: kube-proxy runs in IPVS mode there, and Services are in the output of ipvsadm, \
             which this version does not read"
        );
    }
    let rules = match dumps.iter().map(Dump::rules).sum() {
        1 => "the only rule".to_owned(),
        many => format!("the {many} rules"),
    };
    if bundle.captures.iter().all(|c| c.command.is_some()) {
        return "this node's iptables rules hold no Service: kube-proxy does not run here, or not in iptables mode (see ipvsadm -Ln, \
                nft list ruleset)"
            .to_owned();
    }
    if rulesets.iter().all(|r| r.nat.is_none()) {
        return format!("no Services in {rules} of {from}: there is no nat table in it");
    }
    let kube = if chain("KUBE-SERVICES") { "KUBE-SERVICES leads to none" } else { "there is no chain KUBE-SERVICES" };
    format!("no Services in {rules} of {from}: {kube}")
}

fn header(rulesets: &[Ruleset<'_>], bundle: &Bundle, dumps: &[Dump<'_>]) -> Header {
    let sections = || rulesets.iter().flat_map(|r| r.nat.into_iter().chain(r.filter));
    let mut tables = Vec::new();
    if rulesets.iter().any(|r| r.nat.is_some()) {
        tables.push("nat");
    }
    if rulesets.iter().any(|r| r.filter.is_some()) {
        tables.push("filter");
    }
    let local = bundle.captures.iter().all(|c| c.command.is_some());
    let from = if local && !bundle.captures.is_empty() {
        "local".to_owned()
    } else {
        let used = |text: &usize| sections().any(|t| usize::from(t.text) == *text) || rulesets.is_empty();
        let labels = (0..bundle.captures.len()).filter(used).map(|text| bundle.captures[text].label.as_str());
        labels.collect::<Vec<_>>().join(", ")
    };
    Header {
        backend: rulesets.iter().find_map(|r| r.nat?.section.backend).map(crate::dump::iptables::Backend::as_str),
        from,
        tables,
        families: rulesets.iter().map(|r| r.family).collect(),
        partial: rulesets.is_empty()
            || rulesets.iter().any(|r| r.nat.is_none())
            || sections().any(|t| !t.section.complete || t.mixed)
            || dumps.iter().flat_map(|dump| &dump.sections).any(|section| section.cut_off),
    }
}

/// Rules in the tables the answer was made from.
fn rules_read(rulesets: &[Ruleset<'_>]) -> usize {
    let count = |r: &Ruleset<'_>| {
        let nat = r.nat.map_or(0, |t| t.section.rules);
        // Lines that may be of either table are one section.
        let filter = r.filter.filter(|t| !t.mixed || r.nat.is_none()).map_or(0, |t| t.section.rules);
        (nat + filter) as usize
    };
    rulesets.iter().map(count).sum()
}
