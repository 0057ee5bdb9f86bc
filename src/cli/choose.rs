//! Which service ports a question means, and what to say about what was not found.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::scene::Question;
use crate::dataplane::{FrontendKind, Select, ServiceName, ServicePort, nearest};
use crate::expect;
use crate::join::{self, Join};
use crate::net::{Family, Protocol};
use crate::order::Order as _;
use crate::proxy::{Sketch, Survey};

/// The service ports asked for, in the order people read them.
#[derive(Default)]
pub(super) struct Chosen<'s, 'd> {
    /// Where each stands in the rules; `None` for those of which only the cluster knows.
    pub(super) sketches: Vec<Option<Sketch<'s, 'd>>>,
    /// Followed to their endpoints, with what the cluster says of them.
    pub(super) services: Vec<ServicePort>,
}

/// A service port before it is followed.
#[derive(Clone)]
enum Candidate<'s, 'd, 'f> {
    /// Rules speak of it.
    Ruled(Sketch<'s, 'd>),
    /// Only the cluster knows it.
    Alone(expect::ServicePort<'f>, ServiceName),
}

impl Candidate<'_, '_, '_> {
    fn name(&self) -> Option<&ServiceName> {
        match self {
            Self::Ruled(sketch) => sketch.name(),
            Self::Alone(_, name) => Some(name),
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        match self {
            Self::Ruled(sketch) => sketch.protocol(),
            Self::Alone(port, _) => port.protocol(),
        }
    }

    fn family(&self) -> Family {
        match self {
            Self::Ruled(sketch) => sketch.family(),
            Self::Alone(port, _) => port.family,
        }
    }

    /// True if `select` names it by name, frontend or service chain.
    fn is_named_by(&self, select: &Select) -> bool {
        match self {
            Self::Ruled(sketch) => sketch.is_named_by(select),
            Self::Alone(port, name) => {
                let fits =
                    |(kind, address, number)| select.matches_frontend(kind, address, Some(number), port.protocol());
                select.matches_name(Some(name)) || port.frontends().any(fits)
            }
        }
    }
}

/// Chooses among the service ports of the rules and, with objects, those the rules lack.
pub(super) fn choose<'s, 'd>(
    survey: &'s Survey<'_, 'd>,
    join: Option<&Join<'_, '_>>,
    question: &Question<'_>,
    missing: &mut Vec<String>,
) -> Chosen<'s, 'd> {
    if survey.sketches().is_empty() && join.is_none() {
        return Chosen::default();
    }
    let wanted = question.namespace;
    let all = candidates(survey, join, question.source.family.map(Family::from));
    let inside = |c: &&Candidate<'_, '_, '_>| wanted.is_none_or(|w| c.name().is_some_and(|name| name.namespace == w));
    let mut candidates: Vec<Candidate<'s, 'd, '_>> = all.iter().filter(inside).cloned().collect();
    if question.what.is_empty() {
        if let (true, Some(namespace)) = (candidates.is_empty(), wanted) {
            missing.push(no_namespace(&all, namespace));
        }
        return follow(survey, join, &candidates);
    }
    let asked: Vec<Asked<'_>> =
        question.what.iter().map(|(text, select)| Asked::new(survey, join, &all, text, select)).collect();
    if !asked.iter().any(|a| a.searches) {
        candidates.retain(|candidate| asked.iter().any(|a| a.names(candidate)));
    }
    let Chosen { sketches, services } = follow(survey, join, &candidates);
    for a in &asked {
        if !candidates.iter().zip(&services).any(|(candidate, port)| a.means(candidate, port, join)) {
            missing.push(not_found(&all, (a.text, a.typed), wanted, question.source.family.map(Family::from)));
        }
    }
    let together = candidates.iter().zip(sketches).zip(services);
    let meant = together.filter(|((candidate, _), port)| asked.iter().any(|a| a.means(candidate, port, join)));
    let (sketches, services) = meant.map(|((_, sketch), port)| (sketch, port)).unzip();
    Chosen { sketches, services }
}

/// Every service port, by name, protocol and family; unnamed ones last.
fn candidates<'s, 'd, 'f>(
    survey: &'s Survey<'_, 'd>,
    join: Option<&Join<'_, 'f>>,
    only: Option<Family>,
) -> Vec<Candidate<'s, 'd, 'f>> {
    let mut all: Vec<_> = survey.sketches().into_iter().map(Candidate::Ruled).collect();
    let Some(join) = join else { return all };
    let of_cluster = |s: &Sketch<'_, '_>| join.port(s.name(), s.protocol(), s.family());
    let ruled: HashSet<_> =
        survey.sketches().iter().filter_map(of_cluster).map(|p| (p.name(), p.protocol(), p.family)).collect();
    for port in join.ports().filter(|port| join.is_shown_alone(port, only)) {
        let name = port.name();
        if !ruled.contains(&(name.clone(), port.protocol(), port.family)) {
            all.push(Candidate::Alone(port, name));
        }
    }
    // Stable: service ports of one name stay as the survey has them.
    all.order_by_cached_key(|c| (c.name().is_none(), c.name().cloned(), c.protocol(), c.family()));
    all
}

/// Follows candidates to their endpoints and adds what the cluster says.
fn follow<'s, 'd>(
    survey: &'s Survey<'_, 'd>,
    join: Option<&Join<'_, '_>>,
    candidates: &[Candidate<'s, 'd, '_>],
) -> Chosen<'s, 'd> {
    let of_rules = |c: &Candidate<'s, 'd, '_>| if let Candidate::Ruled(sketch) = c { Some(*sketch) } else { None };
    let sketches: Vec<Option<Sketch<'s, 'd>>> = candidates.iter().map(of_rules).collect();
    let mut followed = survey.services(&sketches.iter().flatten().copied().collect::<Vec<_>>());
    if let Some(join) = join {
        join.describe_all(&mut followed);
    }
    // Rules speak of all of them: the list, which may be long, is not copied.
    if followed.len() == candidates.len() {
        return Chosen { services: followed, sketches };
    }
    let mut followed = followed.into_iter();
    let services = candidates.iter().filter_map(|candidate| match candidate {
        Candidate::Ruled(_) => followed.next(),
        Candidate::Alone(port, _) => Some(join?.alone(port)),
    });
    Chosen { services: services.collect(), sketches }
}

/// One WHAT.
struct Asked<'q> {
    text: &'q str,
    typed: &'q Select,
    /// What it means: itself, or the addresses of the Pod it names.
    selects: Vec<Select>,
    /// Endpoints have to be looked at to answer it.
    searches: bool,
}

impl<'q> Asked<'q> {
    fn new(
        survey: &Survey<'_, '_>,
        join: Option<&Join<'_, '_>>,
        all: &[Candidate<'_, '_, '_>],
        text: &'q str,
        typed: &'q Select,
    ) -> Self {
        let pod = || {
            let (namespace, name) = typed.pod().filter(|_| !all.iter().any(|c| c.is_named_by(typed)))?;
            let addresses = join::addresses_of_pod(join?.facts(), namespace, name);
            (!addresses.is_empty()).then_some(addresses)
        };
        match pod() {
            Some(addresses) => {
                let selects = addresses.into_iter().map(|ip| Select::Address(ip, None, None)).collect();
                Self { text, typed, selects, searches: true }
            }
            None => Self { text, typed, selects: vec![typed.clone()], searches: needs_endpoints(survey, typed) },
        }
    }

    fn names(&self, candidate: &Candidate<'_, '_, '_>) -> bool {
        self.selects.iter().any(|select| candidate.is_named_by(select))
    }

    /// True if it means this service port: by its name, by an endpoint its rules lead to, or by one it should have.
    fn means(&self, candidate: &Candidate<'_, '_, '_>, port: &ServicePort, join: Option<&Join<'_, '_>>) -> bool {
        if self.names(candidate) {
            return true;
        }
        if !self.searches {
            return false;
        }
        let of_cluster = join.zip(join.and_then(|j| j.port(port.name.as_ref(), port.protocol, port.family)));
        let has_member = |select: &Select| match (select, &of_cluster) {
            (Select::Address(ip, number, protocol), Some((join, known))) => {
                let fits = |address: IpAddr, port: u16| address == *ip && number.is_none_or(|number| number == port);
                (protocol.is_none() || *protocol == port.protocol) && join.has_member(known, fits)
            }
            _ => false,
        };
        self.selects.iter().any(|select| port.has_endpoint(select) || has_member(select))
    }
}

fn no_namespace(all: &[Candidate<'_, '_, '_>], namespace: &str) -> String {
    let mut namespaces: Vec<&str> = all.iter().filter_map(|c| Some(c.name()?.namespace.as_str())).collect();
    namespaces.dedup();
    let near = suggestion(&nearest(namespace, namespaces.into_iter()));
    format!("no Service of namespace '{namespace}' has rules here{near}")
}

/// True if a WHAT may mean an endpoint. A cluster IP or a service's own chain never does, nor does a chain that is not
/// there, and then following every service of the node is saved.
fn needs_endpoints(survey: &Survey<'_, '_>, select: &Select) -> bool {
    let settled = |sketch: &Sketch<'_, '_>| match select {
        Select::Address(..) => sketch.has_frontend(select, FrontendKind::ClusterIp),
        _ => sketch.is_named_by(select),
    };
    let there = match select {
        Select::Chain(chain) => survey.has_chain(chain),
        _ => true,
    };
    there && select.needs_endpoints() && !survey.sketches().iter().any(settled)
}

/// That nothing among `all` of the namespace and family asked for is meant by what was typed.
fn not_found(
    all: &[Candidate<'_, '_, '_>],
    (text, select): (&str, &Select),
    namespace: Option<&str>,
    family: Option<Family>,
) -> String {
    let inside = |c: &&Candidate<'_, '_, '_>| {
        namespace.is_none_or(|wanted| c.name().is_some_and(|name| name.namespace == wanted))
    };
    let names = |inside_too: bool| -> Vec<String> {
        let wanted = all.iter().filter(|c| inside(c) == inside_too);
        wanted.filter_map(Candidate::name).map(ToString::to_string).collect()
    };
    let near = |names: &[String]| nearest(text, names.iter().map(String::as_str));
    let of_family = family.map(|family| format!(" of {family}")).unwrap_or_default();
    // What was asked for may be outside of what was looked at.
    let of = namespace.map(|name| format!(" of namespace '{name}'")).unwrap_or_default() + &of_family;
    let outside = all.iter().filter(|c| !inside(c)).find(|c| c.is_named_by(select)).and_then(Candidate::name);
    let outside = outside.map(|name| format!("; without -n there is {name}")).unwrap_or_default();
    match (select, namespace) {
        (Select::Name { .. }, None) => match near(&names(true)).as_slice() {
            // A number is no name; as a port it is written with a colon.
            [] if text.parse::<u16>().is_ok() => format!("nothing{of} is called '{text}'; did you mean :{text}?"),
            [] => format!("nothing{of} is called '{text}'; kube-ipt list names every Service"),
            found => format!("nothing{of} is called '{text}'{}", suggestion(found)),
        },
        (Select::Name { .. }, Some(namespace)) => {
            let missing = format!("nothing{of_family} in namespace '{namespace}' is called '{text}'");
            match (near(&names(true)).as_slice(), near(&names(false)).as_slice()) {
                ([], []) => missing,
                ([], [found, ..]) => format!("{missing}; without -n there is {found}"),
                (found, _) => format!("{missing}{}", suggestion(found)),
            }
        }
        (Select::Address(..), _) => format!("no Service{of} has the address {text} as frontend or endpoint{outside}"),
        (Select::NodePort(..), _) if outside.is_empty() => {
            format!("no Service{of} has the node port {text}; kube-ipt list -o wide names them all")
        }
        (Select::NodePort(..), _) => format!("no Service{of} has the node port {text}{outside}"),
        (Select::Chain(_), _) => format!("no Service{of} uses the chain {text}{outside}"),
        (Select::Pod { .. }, _) => format!("no pod is called '{text}', or no Service{of} has it as endpoint"),
        (Select::Pattern(_), _) => format!("no Service's name{of} matches {text}"),
    }
}

/// `; did you mean …?` of the names most like what was asked for.
pub(super) fn suggestion(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => format!("; did you mean {name}?"),
        [names @ .., last] => format!("; did you mean {} or {last}?", names.join(", ")),
    }
}
