//! `kube-ipt trace`: what becomes of one connection, and why.

use std::net::{IpAddr, SocketAddr};

use clap::ValueEnum;
use hashbrown::HashMap;

use super::args::{Format, NamespaceArgs, SourceArgs};
use super::ends::{From, To};
use super::meet::{self, Met, Unmet};
use super::scene::{self, Beside, Question, Scene};
use super::{Answer, Failure, Note, Outcome, answer, destination};
use crate::checks::{Finding, Severity};
use crate::dataplane::{Address, Endpoint, Mode, Origin, RuleRef, Select};
use crate::net::Family;
use crate::proxy::iptables::{Depth, Ruleset, Truth};
use crate::render::{self, Graph};
use crate::report::{self, Kind, Packet};
use crate::trace::{self, End, Journey, Trace};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The client.
    #[arg(value_name = "FROM")]
    from: String,
    /// Where it connects to.
    #[arg(value_name = "TO")]
    to: String,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// An address of the node; given once or more, these are all it has.
    ///
    /// Without it, the addresses of this host where its own rules are read, else those of the Node object.
    #[arg(long, value_name = "IP")]
    node_ip: Vec<IpAddr>,
    /// The interface it comes in by.
    #[arg(long, value_name = "NAME")]
    in_interface: Option<String>,
    /// The interface it goes out by.
    #[arg(long, value_name = "NAME")]
    out_interface: Option<String>,
    /// The client was there before, so that ClientIP affinity decides.
    #[arg(long)]
    sticky: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = TraceFormat::Text)]
    output: TraceFormat,
    /// Show every endpoint.
    #[arg(short, long)]
    all: bool,
    #[command(flatten)]
    source: SourceArgs,
}

/// Forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum TraceFormat {
    /// The way of the connection, with the verdict at its end.
    Text,
    /// JSON, schema kube-ipt/v1.
    Json,
    /// The same as YAML.
    Yaml,
    /// A drawing for Graphviz.
    Dot,
    /// A drawing for Mermaid.
    Mermaid,
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let from = From::parse(&args.from).map_err(failure)?;
    let to = To::parse(&args.to).map_err(failure)?;
    let what = match &to {
        To::Select(select, ..) => select.clone(),
        To::Pod(namespace, name, ..) => Select::Pod { namespace: namespace.clone(), name: name.clone() },
        To::Node(_, port, protocol) | To::Localhost(port, protocol) => Select::NodePort(*port, *protocol),
    };
    let mut beside = Beside { way: true, ..Beside::default() };
    match &from {
        From::Pod(namespace, name) => beside.pods.push((namespace.clone(), name.clone())),
        From::Node(name) => beside.nodes.push(name.clone()),
        From::Name(name) => {
            beside.nodes.push(name.clone());
            beside.pods.push((None, name.clone()));
        }
        _ => {}
    }
    match &to {
        To::Node(Some(name), ..) => beside.nodes.push(name.clone()),
        To::Pod(namespace, name, ..) => beside.pods.push((namespace.clone(), name.clone())),
        _ => {}
    }
    beside.family = match (&what, &from) {
        (Select::Address(ip, ..), _) | (_, From::Address(ip, _)) => Some(Family::of(*ip)),
        _ => None,
    };
    let what = vec![(args.to.clone(), what)];
    let namespace = args.namespace.only();
    let question = Question { what, namespace, source: &args.source, verbose, beside, given: None };
    scene::with(&question, |scene| answer(args, &from, &to, scene, verbose, width))
}

fn failure(what: String) -> Failure {
    Failure { what, hints: Vec::new() }
}

fn answer(
    args: &Args,
    from: &From,
    to: &To,
    mut scene: Scene<'_, '_, '_>,
    verbose: bool,
    width: Option<usize>,
) -> Result<Outcome, Failure> {
    let mut outcome = std::mem::take(&mut scene.outcome);
    let missing = std::mem::take(&mut outcome.missing);
    if let Some(mode @ (Mode::Ipvs | Mode::Nftables)) = scene.survey.mode() {
        return Err(unfollowed(args, mode));
    }
    let asked = meet::Asked {
        from,
        to,
        node_ips: &args.node_ip,
        namespace: args.namespace.only(),
        family: args.source.family.map(Family::from),
        typed: (&args.from, &args.to),
    };
    let met = match meet::ends(&asked, &scene, missing) {
        Ok(met) => met,
        Err(Unmet::Failed(failure)) => return Err(failure),
        Err(Unmet::Missing(missing)) => {
            outcome.missing = missing;
            return Ok(outcome);
        }
    };
    let Some(ruleset) = scene.rules.iptables.iter().find(|ruleset| ruleset.family == met.family) else {
        let what = format!("cannot follow an {} connection: no rules of that family were read", met.family);
        return Err(Failure {
            what,
            hints: vec![format!("-f FILE    (with the output of {}-save)", program(met.family))],
        });
    };
    outcome.note(met.notes.iter().cloned());
    outcome.note(unread(ruleset, scene.bundle.is_live()));
    let endpoints = || scene.services.iter().flat_map(|s| &s.pools).flat_map(|pool| &pool.endpoints);
    let recovered: HashMap<RuleRef, Address> =
        endpoints().filter_map(|e| Some((*e.rules.last()?, e.address.clone()))).collect();
    let known: HashMap<&Address, &Endpoint> = endpoints().map(|endpoint| (&endpoint.address, endpoint)).collect();
    let about = |address: &Address| known.get(address).and_then(|endpoint| endpoint.about.as_deref());
    let every_rule = verbose && !matches!(args.output, TraceFormat::Dot | TraceFormat::Mermaid);
    let trace = trace::trace(ruleset, &journey(args, &met, &scene), &recovered, every_rule);
    outcome.note(loopback_needs(&met, &trace));
    if met.service.is_some() {
        let checked = scene.check(&answer::pick(Kind::List)?, Depth::Services, None);
        outcome.notes.extend(answer::of_all(&checked));
        outcome.notes.extend(why_not(&checked.findings, &met, &trace));
    }

    let mut header = scene.header();
    header.families = vec![met.family];
    let others = [("raw", ruleset.raw), ("mangle", ruleset.mangle), ("security", ruleset.security)];
    header.tables.extend(others.iter().filter(|(_, table)| table.is_some()).map(|(name, _)| *name));
    let packet = packet(args, &met);
    outcome.answer = match args.output {
        TraceFormat::Text => {
            let story = render::Story { packet: &packet, trace: &trace, about: &about, every_rule };
            let view = render::View { width, all: args.all };
            Answer::Text(story.draw(view) + &render::origin(&header, ruleset.size(), width))
        }
        TraceFormat::Json | TraceFormat::Yaml => {
            let format = if args.output == TraceFormat::Json { Format::Json } else { Format::Yaml };
            answer::written(report::trace_document(&header, packet, &trace, about, &scene.labels()), format)?
        }
        TraceFormat::Dot => Answer::Text(Graph::of_trace(&packet, &trace).dot()),
        TraceFormat::Mermaid => Answer::Text(Graph::of_trace(&packet, &trace).mermaid()),
    };
    drop(known);
    scene.leave();
    Ok(outcome)
}

/// Single packets are followed through rules of iptables only.
fn unfollowed(args: &Args, mode: Mode) -> Failure {
    let what = format!(
        "cannot follow single packets where kube-proxy runs in {mode} mode: only rules of iptables are followed"
    );
    let shown = destination::shown((&args.from, &args.to), &args.to);
    Failure { what, hints: vec![format!("{shown}    (where each origin's connections go)")] }
}

/// The connection that was asked for, as far as the command line and the ends tell it.
fn journey<'s>(args: &Args, met: &Met, scene: &Scene<'s, '_, '_>) -> Journey<'s> {
    let pods = scene.survey.pods(met.family);
    Journey {
        origin: met.origin,
        source: met.source.clone(),
        source_port: met.source_port,
        destination: met.destination,
        port: met.port,
        protocol: met.protocol,
        locals: met.locals.clone(),
        pod_networks: pods.networks,
        pod_interfaces: pods.interfaces,
        comes_in_by: args.in_interface.clone(),
        goes_out_by: args.out_interface.clone(),
        seen: args.sticky,
        sets: scene.rules.sets,
    }
}

fn packet(args: &Args, met: &Met) -> Packet {
    Packet {
        from: args.from.clone(),
        to: args.to.clone(),
        origin: met.origin.as_str(),
        source: met.source_address().map(|ip| ip.to_string()),
        source_port: met.source_port,
        destination: met.destination.map(|ip| ip.to_string()),
        port: met.port,
        protocol: met.protocol.to_string(),
        service: met.service.clone(),
    }
}

fn program(family: Family) -> &'static str {
    if family == Family::Ipv4 { "iptables" } else { "ip6tables" }
}

/// Tables that were not read, and so not followed. Those that a whole save does not hold are not on the node.
fn unread(ruleset: &Ruleset<'_>, live: bool) -> Option<String> {
    let (nat, filter) = match (ruleset.nat, ruleset.filter) {
        (Some(nat), Some(filter)) => (nat, filter),
        (Some(_), None) => {
            return Some(
                "only the nat table was read: rules of filter, raw and mangle, which may refuse, drop or exempt the connection, \
                 were not followed"
                    .to_owned(),
            );
        }
        _ => {
            return Some(
                "the nat table was not read: whether the connection is translated was not followed".to_owned(),
            );
        }
    };
    if nat.mixed || !nat.section.complete || !filter.section.complete {
        return Some("lines of the dump are missing: rules that are not in it were not followed".to_owned());
    }
    let one_save = live || (nat.text == filter.text && nat.section.table_told);
    let lacking = match (one_save || ruleset.raw.is_some(), one_save || ruleset.mangle.is_some()) {
        (true, true) => return None,
        (false, false) => "the tables raw and mangle were not read: their",
        (false, true) => "the table raw was not read: its",
        (true, false) => "the table mangle was not read: its",
    };
    Some(format!("{lacking} rules, which may drop or exempt the connection, were not followed"))
}

/// What is wrong with a Service whose connection is not translated, or refused, where the objects tell.
fn why_not<'f>(findings: &'f [Finding], met: &'f Met, trace: &Trace) -> impl Iterator<Item = Note> {
    let is_lost = |end: &End| matches!(end, End::Untranslated { .. } | End::Reject | End::Drop);
    let any = trace.outcomes.iter().any(|outcome| is_lost(&outcome.end));
    let at = met.destination.map(|ip| SocketAddr::new(ip, met.port).to_string());
    let node_port = format!(":{}", met.port);
    let is_its = move |finding: &&Finding| {
        let of_frontend = |frontend: &String| Some(frontend) == at.as_ref() || *frontend == node_port;
        any && finding.severity == Severity::Error
            && finding.service == met.service
            && finding.protocol.is_none_or(|protocol| protocol == met.protocol)
            && finding.family.is_none_or(|family| family == met.family)
            && finding.address.is_none()
            && finding.frontend.as_ref().is_none_or(of_frontend)
    };
    let service = met.service.as_deref().unwrap_or_default();
    findings.iter().filter(is_its).map(move |finding| answer::note(finding, format!("{service}: {}", finding.message)))
}

/// What a connection needs beside rules that goes from a loopback address to another host, or from another host to one.
fn loopback_needs(met: &Met, trace: &Trace) -> Option<String> {
    let leads = |to_loopback: bool| {
        trace
            .destinations
            .iter()
            .filter_map(|destination| destination.address.ip().filter(IpAddr::is_ipv4))
            // What stays on the node goes by its loopback interface.
            .any(|ip| if to_loopback { ip.is_loopback() } else { met.locals.contain(ip) != Truth::Yes })
    };
    let from = met.source_address();
    let way = if from.is_some_and(|ip| ip.is_loopback() && ip.is_ipv4()) && leads(false) {
        "from 127.0.0.1 to another address the kernel sends nothing"
    } else if met.origin != Origin::Node && leads(true) {
        "what comes in for a loopback address the kernel drops"
    } else {
        return None;
    };
    Some(format!("{way} unless net.ipv4.conf.all.route_localnet is 1, which no rule tells"))
}
