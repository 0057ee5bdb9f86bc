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

    let (sketches, services) = choose(&survey, question, &mut outcome.missing);
    if survey.sketches().is_empty() {
        outcome.missing = vec![match (family, families.as_slice()) {
            (Some(only), [other]) if *other != only => {
                format!("no Services of {only}: the rules are {other} ones; leave out --family to see them")
            }
            _ => nothing_here(&rulesets, &bundle, &dumps),
        }];
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
    let asked: Vec<Asked<'_>> = question.what.iter().map(|(text, select)| Asked::new(survey, text, select)).collect();
    if !asked.iter().any(|a| a.searches) {
        sketches.retain(|sketch| asked.iter().any(|a| sketch.is_named_by(a.select)));
    }
    let services = survey.services(&sketches);
    for a in &asked {
        if !sketches.iter().zip(&services).any(|(sketch, port)| a.names(sketch, port)) {
            missing.push(not_found(survey, a.text, a.select, wanted));
        }
    }
    let named = |(sketch, port): &(&Sketch<'_>, ServicePort)| asked.iter().any(|a| a.names(sketch, port));
    sketches.into_iter().zip(services).filter(named).unzip()
}

/// One WHAT.
struct Asked<'q> {
    text: &'q str,
    select: &'q Select,
    /// Endpoints have to be looked at to answer it.
    searches: bool,
}

impl<'q> Asked<'q> {
    fn new(survey: &Survey<'_>, text: &'q str, select: &'q Select) -> Self {
        Self { text, select, searches: needs_endpoints(survey, select) }
    }

    fn names(&self, sketch: &Sketch<'_>, port: &ServicePort) -> bool {
        sketch.is_named_by(self.select) || (self.searches && port.has_endpoint(self.select))
    }
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

fn no_namespace(survey: &Survey<'_>, namespace: &str) -> String {
    let names = survey.sketches().iter().filter_map(|sketch| sketch.name.as_ref());
    let mut namespaces: Vec<&str> = names.map(|name| name.namespace.as_str()).collect();
    namespaces.dedup();
    let near = suggestion(&nearest(namespace, namespaces.into_iter()));
    format!("no Service of namespace '{namespace}' has rules here{near}")
}

/// True if a WHAT may mean an endpoint. A cluster IP or a service's own chain never does, nor does a chain that is not
/// there, and then following every service of the node is saved.
fn needs_endpoints(survey: &Survey<'_>, select: &Select) -> bool {
    let settled = |sketch: &Sketch<'_>| match select {
        Select::Address(..) => sketch.has_frontend(select, FrontendKind::ClusterIp),
        _ => sketch.is_named_by(select),
    };
    let there = match select {
        Select::Chain(chain) => survey.has_chain(chain),
        _ => true,
    };
    there && select.needs_endpoints() && !survey.sketches().iter().any(settled)
}

fn not_found(survey: &Survey<'_>, text: &str, select: &Select, namespace: Option<&str>) -> String {
    let all = || survey.sketches().iter().filter_map(|s| s.name.as_ref());
    let names = |inside: bool| -> Vec<String> {
        all()
            .filter(|n| namespace.is_none_or(|wanted| (n.namespace == wanted) == inside))
            .map(ToString::to_string)
            .collect()
    };
    let near = |names: &[String]| nearest(text, names.iter().map(String::as_str));
    match (select, namespace) {
        (Select::Name { .. }, None) => match near(&names(true)).as_slice() {
            [] => format!("nothing is called '{text}'; kube-ipt list names every Service"),
            found => format!("nothing is called '{text}'{}", suggestion(found)),
        },
        (Select::Name { .. }, Some(namespace)) => {
            let missing = format!("nothing in namespace '{namespace}' is called '{text}'");
            match (near(&names(true)).as_slice(), near(&names(false)).as_slice()) {
                ([], []) => missing,
                ([], [found, ..]) => format!("{missing}; without -n there is {found}"),
                (found, _) => format!("{missing}{}", suggestion(found)),
            }
        }
        (Select::Address(..), _) => format!("no Service has the address {text} as frontend or endpoint"),
        (Select::NodePort(..), _) => {
            format!("no Service has the node port {text}; kube-ipt list -o wide names them all")
        }
        (Select::Chain(_), _) => format!("no Service uses the chain {text}"),
        (Select::Pattern(_), _) => format!("no Service's name matches {text}"),
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
        let used = |text: &usize| sections().any(|t| usize::from(t.text) == *text) || rulesets.is_empty();
        let labels = (0..bundle.captures.len()).filter(used).map(|text| bundle.captures[text].label.as_str());
        labels.collect::<Vec<_>>().join(", ")
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
