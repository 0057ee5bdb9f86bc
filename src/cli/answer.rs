//! What `show` and `list` have in common: read, survey, select, follow, render.

use super::args::{Format, OutputArgs, SourceArgs};
use super::{Failure, Outcome, gather};
use crate::dataplane::{FrontendKind, Select, ServicePort, nearest};
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
    rulesets.retain(|r| family.is_none_or(|only| only == r.family));
    let survey = Survey::of(&rulesets);

    let mut outcome = Outcome { notes: bundle.notes.clone(), ..Outcome::default() };
    if question.verbose {
        outcome.notes.extend(bundle.commands.iter().map(|typed| format!("ran {typed}")));
    }
    outcome.notes.extend(gather::unread_notes(&bundle, &dumps, question.verbose));
    outcome.notes.extend(ruleset_notes.iter().map(ToString::to_string));

    outcome.notes.extend(unplaced(&survey, &bundle));

    let (sketches, services) = choose(&survey, question, &mut outcome.missing);
    if survey.sketches().is_empty() {
        outcome.missing = vec![nothing_here(&rulesets, &bundle, &dumps)];
    }
    let header = header(&rulesets, &bundle);
    if services.is_empty() && matches!(question.format, Format::Tree | Format::Table | Format::Wide) {
        return Ok(outcome);
    }
    outcome.answer = match question.format {
        Format::Tree => {
            let walkthroughs: Vec<_> = if question.rules {
                sketches.iter().zip(&services).map(|(sketch, port)| survey.walkthrough(sketch, port)).collect()
            } else {
                Vec::new()
            };
            let view = View { width: question.width, all: question.shared.all };
            render::services(&services, &walkthroughs, view)
                + &render::footer(&header, rules_read(&rulesets), question.width)
        }
        Format::Table | Format::Wide => {
            let wide = question.format == Format::Wide;
            match question.kind {
                Kind::List => render::list(&services, wide, question.width),
                Kind::Show => render::endpoints(&services, wide, question.width),
            }
        }
        Format::Json => {
            let document = report::document(question.kind, &header, services);
            render::json(&document)
                .map_err(|e| Failure { what: format!("cannot write JSON: {e}"), hints: Vec::new() })?
        }
        Format::Yaml => {
            let document = report::document(question.kind, &header, services);
            render::yaml(&document)
                .map_err(|e| Failure { what: format!("cannot write YAML: {e}"), hints: Vec::new() })?
        }
    };
    Ok(outcome)
}

/// The service ports asked for, followed to their endpoints, in the order of the survey.
fn choose<'s, 'd>(
    survey: &'s Survey<'d>,
    question: &Question<'_>,
    missing: &mut Vec<String>,
) -> (Vec<&'s Sketch<'d>>, Vec<ServicePort>) {
    let wanted = question.shared.namespace.as_deref();
    let in_namespace = |sketch: &&Sketch<'_>| {
        wanted.is_none_or(|wanted| sketch.name.as_ref().is_some_and(|name| name.namespace == wanted))
    };
    let mut sketches: Vec<&Sketch<'d>> = survey.sketches().iter().filter(in_namespace).collect();
    if question.what.is_empty() {
        if let (true, Some(namespace)) = (sketches.is_empty(), wanted) {
            missing.push(no_namespace(survey, namespace));
        }
        let services = survey.services(&sketches);
        return (sketches, services);
    }
    let (settled, searching): (Vec<_>, Vec<_>) =
        question.what.iter().map(|(_, select)| select).partition(|select| !needs_endpoints(survey, select));
    if searching.is_empty() {
        sketches.retain(|sketch| settled.iter().any(|select| sketch.is_named_by(select)));
    }
    let services = survey.services(&sketches);
    let hit = |select: &Select, sketch: &Sketch<'_>, port: &ServicePort| {
        sketch.is_named_by(select) || (needs_endpoints(survey, select) && port.has_endpoint(select))
    };
    for (text, select) in &question.what {
        if !sketches.iter().zip(&services).any(|(sketch, port)| hit(select, sketch, port)) {
            missing.push(not_found(survey, text, select));
        }
    }
    let named = |(sketch, port): &(&Sketch<'_>, ServicePort)| question.what.iter().any(|(_, s)| hit(s, sketch, port));
    sketches.into_iter().zip(services).filter(named).unzip()
}

/// Rules that capture an address and cannot be followed.
fn unplaced(survey: &Survey<'_>, bundle: &Bundle) -> Option<String> {
    let first = survey.unplaced().first()?;
    let label = bundle.captures.get(usize::from(first.text)).map_or("", |capture| &capture.label);
    let rules = match survey.unplaced().len() {
        1 => "1 rule of KUBE-SERVICES cannot".to_owned(),
        many => format!("{many} rules of KUBE-SERVICES and KUBE-NODEPORTS cannot"),
    };
    Some(format!("{rules} be followed, first {label} line {}", first.line))
}

fn no_namespace(survey: &Survey<'_>, namespace: &str) -> String {
    let names = survey.sketches().iter().filter_map(|sketch| sketch.name.as_ref());
    let mut namespaces: Vec<&str> = names.map(|name| name.namespace.as_str()).collect();
    namespaces.dedup();
    let near = suggestion(&nearest(namespace, namespaces.into_iter()));
    format!("no Service of namespace '{namespace}' has rules here{near}")
}

/// True if a WHAT may mean an endpoint. A cluster IP or a service's own chain never does, and then following every
/// service of the node is saved.
fn needs_endpoints(survey: &Survey<'_>, select: &Select) -> bool {
    let settled = |sketch: &Sketch<'_>| match select {
        Select::Address(..) => sketch.has_frontend(select, FrontendKind::ClusterIp),
        _ => sketch.is_named_by(select),
    };
    select.needs_endpoints() && !survey.sketches().iter().any(settled)
}

fn not_found(survey: &Survey<'_>, text: &str, select: &Select) -> String {
    let names: Vec<String> =
        survey.sketches().iter().filter_map(|s| s.name.as_ref().map(ToString::to_string)).collect();
    let near = suggestion(&nearest(text, names.iter().map(String::as_str)));
    match select {
        Select::Name { .. } => format!("nothing is called '{text}'{near}"),
        Select::Address(..) => format!("no Service has the address {text} as frontend or endpoint"),
        Select::NodePort(..) => format!("no Service has the node port {text}"),
        Select::Chain(_) => format!("no Service uses the chain {text}"),
        Select::Pattern(_) => format!("no Service's name matches {text}"),
    }
}

fn suggestion(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("; did you mean {name}?"),
        [names @ .., last] => format!("; did you mean {} or {last}?", names.join(", ")),
    }
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
    let rules: usize = dumps.iter().map(Dump::rules).sum();
    if rulesets.iter().all(|r| r.nat.is_none()) {
        return format!("no Services in the {rules} rules of {from}: there is no nat table in it");
    }
    let kube = if chain("KUBE-SERVICES") { "KUBE-SERVICES leads to none" } else { "there is no chain KUBE-SERVICES" };
    format!("no Services in the {rules} rules of {from}: {kube}")
}

fn header(rulesets: &[Ruleset<'_>], bundle: &Bundle) -> Header {
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
        bundle.captures.iter().map(|c| c.label.as_str()).collect::<Vec<_>>().join(", ")
    };
    Header {
        backend: rulesets.iter().find_map(|r| r.nat?.section.backend).map(crate::dump::iptables::Backend::as_str),
        from,
        tables,
        families: rulesets.iter().map(|r| r.family).collect(),
        partial: rulesets.iter().any(|r| r.nat.is_none()) || sections().any(|t| !t.section.complete || t.mixed),
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
