//! Which service ports a question means, and what to say about what was not found.

use super::answer::Question;
use crate::dataplane::{FrontendKind, Select, ServicePort, nearest};
use crate::proxy::iptables::{Sketch, Survey};

/// The service ports asked for, followed to their endpoints, in the order of the survey.
pub(super) fn choose<'s, 'd>(
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
