//! What `show` and `list` have in common: read, survey, select, follow, join, render.

use super::args::{Format, OutputArgs, SourceArgs};
use super::around;
use super::choose::{Chosen, choose};
use super::objects;
use super::{Answer, Failure, Outcome, gather};
use crate::dataplane::{Select, ServicePort, Walkthrough};
use crate::expect::Cluster;
use crate::join::{self, Join};
use crate::net::Family;
use crate::proxy::KnownNames;
use crate::proxy::iptables::{Sketch, Survey, rulesets};
use crate::render::{self, View};
use crate::report::{self, Header, Kind};

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
    // Rules and objects are read at the same time.
    let reading = objects::start(question);
    let bundle = gather::bundle(question.source)?;
    let dumps = gather::dumps(&bundle)?;
    let family = question.source.family.map(Family::from);
    let (mut rulesets, ruleset_notes) = rulesets(&dumps, family.unwrap_or(Family::Ipv4));
    let families: Vec<Family> = rulesets.iter().map(|r| r.family).collect();
    rulesets.retain(|r| family.is_none_or(|only| only == r.family));

    let mut outcome = Outcome::default();
    outcome.note(bundle.notes.clone());
    if question.verbose {
        outcome.note(bundle.commands.iter().map(|typed| format!("ran {typed}")));
    }
    outcome.note(gather::unread_notes(&bundle, &dumps, question.verbose));
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    outcome.note(ruleset_notes.iter().map(|note| note.describe(&labels)));

    let mut objects = reading.finish(question, &bundle, &rulesets)?;

    outcome.notes.append(&mut objects.notes);
    let cluster = objects.facts.as_ref().map(|facts| Cluster::new(facts, objects.viewpoint.clone()));
    let names = cluster.as_ref().map_or_else(KnownNames::default, join::known_names);
    let survey = Survey::of(&rulesets, &names);
    let join = cluster.as_ref().map(|cluster| Join::new(cluster, around::families(&rulesets)));

    outcome.note(around::unplaced(&survey, &bundle));
    if !survey.sketches().is_empty() && rulesets.iter().all(|r| r.nat.is_none()) {
        let note = "there is no nat table here: only Services that the filter table refuses are known";
        outcome.note([note.to_owned()]);
    }
    let nothing = survey.sketches().is_empty().then(|| match (family, families.as_slice()) {
        (Some(only), [other]) if *other != only => {
            format!("no Services of {only}: the rules are {other} ones; leave out --family to see them")
        }
        _ => around::nothing_here(&rulesets, &bundle, &dumps),
    });
    // Rules that lost every Service are worth comparing all the same.
    let join = join.filter(|_| nothing.is_none() || around::should_have_services(&rulesets));
    let chosen = choose(&survey, join.as_ref(), question, &mut outcome.missing);
    let Chosen { sketches, mut services } = chosen;
    outcome.notes.extend(objects.complete(&mut services));
    match nothing {
        Some(note) if !services.is_empty() => outcome.note([note]),
        Some(error) => outcome.missing = vec![error],
        None => {}
    }
    if cluster.as_ref().is_some_and(|cluster| join::looks_foreign(cluster, &services)) {
        outcome.note([around::foreign(&objects)]);
    }
    outcome.note(around::undecided(&services));
    outcome.note(around::gaps(&services, objects.viewpoint.node.as_deref()));
    let header = around::header(&rulesets, &bundle, &dumps, &objects);
    if services.is_empty() && matches!(question.format, Format::Tree | Format::Table | Format::Wide) {
        return Ok(outcome);
    }
    outcome.answer = match question.format {
        Format::Tree => {
            let walk = |(sketch, port): (Option<&Sketch<'_>>, &ServicePort)| match sketch {
                Some(sketch) if question.rules => survey.walkthrough(sketch, port),
                _ => Walkthrough::default(),
            };
            let walkthroughs: Vec<_> = sketches.iter().copied().zip(&services).map(walk).collect();
            let view = View { width: question.width, all: question.shared.all };
            let footer = render::footer(&header, around::rules_read(&rulesets), question.width);
            Answer::Text(render::services(&services, &walkthroughs, view) + &footer)
        }
        _ => text(question, &header, services)?,
    };
    Ok(outcome)
}

/// Every form of an answer but the tree.
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
