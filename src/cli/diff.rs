//! `kube-ipt diff`: what two nodes, or one node at two times, do differently with Service traffic.

#[cfg(feature = "live")]
use std::collections::BTreeMap;
use std::path::PathBuf;
#[cfg(feature = "live")]
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;

use super::args::{FamilyArg, Format, NamespaceArgs, ObjectArgs, Reads, SourceArgs};
use super::choose::suggestion;
#[cfg(feature = "live")]
use super::fleet::{Fleet, Pace, Read};
use super::scene::{self, Question, Scene};
use super::side::Sides;
use super::{Answer, Failure, Note, Outcome, answer};
use crate::compare::{self, Comparison, Known, Side};
use crate::dataplane::{Absent, Mode, Select, ServicePort, nearest};
use crate::net::Family;
use crate::proxy::chain_name;
use crate::render::{self, View};
use crate::report;
#[cfg(feature = "live")]
use crate::report::DiffNode;
#[cfg(feature = "live")]
use crate::source::{Bundle, Tables};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The first side: a dump in any form -f of show takes, several with commas between them (save.txt,save6.txt), or - for
    /// standard input; `here` for the rules of this node; node/NAME for those of another, read through the API server by commands in its
    /// kube-proxy Pod, or pod/NAMESPACE/POD[:CONTAINER] by commands in this one.
    #[arg(value_name = "A", required_unless_present = "demo")]
    pub(super) a: Option<String>,
    /// The second side; also +30s for the first one again that much later, where it is a running node.
    #[arg(value_name = "B", required_unless_present = "demo")]
    pub(super) b: Option<String>,
    /// Only this, in any form show takes; everything without it.
    #[arg(value_name = "WHAT")]
    pub(super) what: Vec<String>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = DiffFormat::Text)]
    output: DiffFormat,
    /// Show every change of a Service.
    #[arg(short, long)]
    all: bool,
    /// Compare each node of A with the same node of B: both are snapshots of several nodes, or B is `now`, the nodes of the
    /// cluster read through its API server.
    #[cfg(feature = "live")]
    #[arg(long, conflicts_with_all = ["demo", "node", "node_a", "node_b"], help_heading = "Where the rules come from")]
    pub(super) all_nodes: bool,
    #[cfg(feature = "live")]
    #[command(flatten)]
    pace: Pace,
    /// Compare a node recorded with this program in sync with the same node when its rules were stale; every word is a WHAT.
    #[arg(long, conflicts_with_all = ["objects", "node", "objects_a", "objects_b", "node_a", "node_b"], help_heading = "Where the rules come from")]
    pub(super) demo: bool,
    /// Compare this family only; rules that do not tell their family are taken to be of it.
    #[arg(long, value_enum, value_name = "FAMILY", help_heading = "Where the rules come from")]
    pub(super) family: Option<FamilyArg>,
    #[command(flatten)]
    pub(super) objects: ObjectArgs,
    /// Read the objects of A from here, whatever --objects says.
    #[arg(long, value_name = "FILE|DIR", help_heading = "Where the objects come from")]
    pub(super) objects_a: Vec<PathBuf>,
    /// Read the objects of B from here.
    #[arg(long, value_name = "FILE|DIR", help_heading = "Where the objects come from")]
    pub(super) objects_b: Vec<PathBuf>,
    /// The node whose rules A are, whatever --node says.
    #[arg(long, value_name = "NODE", help_heading = "Where the objects come from")]
    pub(super) node_a: Option<String>,
    /// The node whose rules B are.
    #[arg(long, value_name = "NODE", help_heading = "Where the objects come from")]
    pub(super) node_b: Option<String>,
}

/// Forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DiffFormat {
    /// Service ports that differ, line by line: + only B has it, - only A has it, ~ both have it and it is different.
    Text,
    /// JSON, schema kube-ipt/v1.
    Json,
    /// The same as YAML.
    Yaml,
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let sides = Sides::of(args)?;
    let what = Question::new(&sides.what, None, &sides.a, verbose)?.what;
    let (a, b) = (question(args, &sides.a, verbose)?, question(args, &sides.b, verbose)?);
    #[cfg(feature = "live")]
    if args.all_nodes {
        return each_node(args, &what, (&a, &b), width);
    }
    scene::with(&a, |a| {
        if let Some(pause) = sides.later {
            wait(pause);
        }
        scene::with(&b, |b| answer(args, args.output, &what, (a, b), width))
    })
}

/// Each node of two snapshots, or of a snapshot and of the cluster now, with itself.
#[cfg(feature = "live")]
fn each_node(
    args: &Args,
    what: &[(String, Select)],
    (a, b): (&Question<'_>, &Question<'_>),
    width: Option<usize>,
) -> Result<Outcome, Failure> {
    use crate::order::Order as _;

    let (before, after) = (Fleet::gather(a)?, Fleet::gather(b)?);
    let kept: BTreeMap<String, Result<Arc<Bundle>, Failure>> = before
        .each(a.source, 1, Tables::OfServices, |read| (read.node, read.bundle.map(Arc::new)))
        .into_iter()
        .collect();
    let is_text = args.output == DiffFormat::Text;
    let format = if is_text { DiffFormat::Text } else { DiffFormat::Json };
    let compared = |Read { node, bundle, .. }: Read| {
        let blank = DiffNode { node, only_in: None, not_compared: None, diff: None };
        // A node that could not be read may be there and be equal.
        let (earlier, later) = match (kept.get(&blank.node), bundle) {
            (Some(Ok(earlier)), Ok(later)) => (Arc::clone(earlier), Arc::new(later)),
            (None, Ok(_)) => return (DiffNode { only_in: Some("b"), ..blank }, None),
            (earlier, later) => {
                let lost = unread(earlier.and_then(|earlier| earlier.as_ref().err()), later.as_ref().err());
                return (DiffNode { not_compared: Some(lost), ..blank }, None);
            }
        };
        let a = a.given(before.given(earlier));
        let b = b.given(after.given(later));
        let both = scene::with(&a, |a| scene::with(&b, |b| answer(args, format, what, (a, b), width)));
        match both.map(|outcome| (outcome.failed, outcome.answer)) {
            Err(failure) => (DiffNode { not_compared: Some(failure.what), ..blank }, None),
            Ok((_, Answer::Json(document))) => match *document {
                report::Any::Diff(diff) => (DiffNode { diff: Some(diff), ..blank }, None),
                _ => (blank, None),
            },
            Ok((differs, Answer::Text(text))) => (blank, Some((differs, text))),
            Ok(_) => (blank, None),
        }
    };
    let mut nodes = after.each(b.source, args.pace.parallel, Tables::OfServices, compared);
    for (node, earlier) in &kept {
        if !nodes.iter().any(|(known, _)| known.node == *node) {
            let not_compared = earlier.as_ref().err().map(|failure| unread(Some(failure), None));
            let only_in = not_compared.is_none().then_some("a");
            nodes.push((DiffNode { node: node.clone(), only_in, not_compared, diff: None }, None));
        }
    }
    nodes.order_by(|(a, _), (b, _)| a.node.cmp(&b.node));
    let remarks = notes(before.notes, after.notes);
    if is_text {
        let (text, failed) = render::diff_nodes(&nodes);
        return Ok(Outcome { answer: Answer::Text(text), notes: remarks, failed, ..Outcome::default() });
    }
    let document = report::DiffNodesDocument::new(nodes.into_iter().map(|(node, _)| node).collect());
    let failed = !document.is_equal();
    let format = if args.output == DiffFormat::Yaml { Format::Yaml } else { Format::Json };
    Ok(Outcome { answer: answer::written(document, format)?, notes: remarks, failed, ..Outcome::default() })
}

/// Why a node was not compared that could not be read on one side at least.
#[cfg(feature = "live")]
fn unread(a: Option<&Failure>, b: Option<&Failure>) -> String {
    match (a, b) {
        (Some(a), Some(b)) if a.what == b.what => format!("it could not be read in A or B: {}", a.what),
        (Some(a), Some(b)) => format!("it could not be read in A: {}; nor in B: {}", a.what, b.what),
        (Some(a), None) => format!("it could not be read in A: {}", a.what),
        (None, b) => format!("it could not be read in B: {}", b.map_or("", |b| b.what.as_str())),
    }
}

/// What is asked for may be in one side only, or named in one only: both are read whole and then looked through. The API
/// server is asked for the namespace alone, for there may be a right to no other.
fn question<'q>(args: &'q Args, source: &'q SourceArgs, verbose: bool) -> Result<Question<'q>, Failure> {
    Question::new(&[], args.namespace.only().filter(|_| source.reads != Reads::Any), source, verbose)
}

fn wait(pause: Duration) {
    super::say(&format!("the first side is read; the second one is read in {} s", pause.as_secs_f64()));
    std::thread::sleep(pause);
}

fn answer(
    args: &Args,
    output: DiffFormat,
    what: &[(String, Select)],
    (mut a, mut b): (Scene<'_, '_, '_>, Scene<'_, '_, '_>),
    width: Option<usize>,
) -> Result<Outcome, Failure> {
    has_rules(&mut a, "A")?;
    has_rules(&mut b, "B")?;
    let mut outcome = Outcome { notes: notes(a.remarks().notes, b.remarks().notes), ..Outcome::default() };
    let (of_a, of_b) = (known(&a, args.family), known(&b, args.family));
    let (mut ports_a, mut ports_b) = (std::mem::take(&mut a.services), std::mem::take(&mut b.services));
    compare::align(&mut ports_a, &mut ports_b);
    let choice = Choice::of(what, args.namespace.only(), &ports_a, &ports_b)?;
    let side_a = Side { services: &ports_a, known: &of_a, objects: a.cluster.is_some() };
    let side_b = Side { services: &ports_b, known: &of_b, objects: b.cluster.is_some() };
    let comparison = compare::compare(side_a, side_b, |port| choice.has(port));
    let unknown: Vec<String> = comparison.unknown.iter().map(|(unknown, count)| unknown.words(*count)).collect();
    if comparison.common == 0 && comparison.differences.is_empty() && !unknown.is_empty() {
        return Err(Failure { what: format!("nothing was compared: {}", unknown.join("; ")), hints: Vec::new() });
    }
    outcome.note(unknown);
    outcome.failed = !comparison.differences.is_empty();
    outcome.answer = written(args, output, &comparison, (&a, &b), width)?;
    // As in Scene::leave.
    std::mem::forget((ports_a, ports_b));
    Ok(outcome)
}

fn written(
    args: &Args,
    output: DiffFormat,
    comparison: &Comparison<'_>,
    (a, b): (&Scene<'_, '_, '_>, &Scene<'_, '_, '_>),
    width: Option<usize>,
) -> Result<Answer, Failure> {
    let headers = (&a.header(), &b.header());
    let format = match output {
        DiffFormat::Text => {
            let view = View { width, all: args.all };
            let rules = (a.survey.rules_read(), b.survey.rules_read());
            return Ok(Answer::Text(render::diff(headers, rules, comparison, view)));
        }
        DiffFormat::Json => Format::Json,
        DiffFormat::Yaml => Format::Yaml,
    };
    answer::written(report::diff_document(headers.0, headers.1, comparison), format)
}

/// A text that cannot hold Services is no side of a comparison; a node whose rules lost every Service is.
fn has_rules(scene: &mut Scene<'_, '_, '_>, side: &str) -> Result<(), Failure> {
    match scene.nothing.take() {
        Some(why) if scene.should_have_services() => {
            scene.outcome.note([why]);
            Ok(())
        }
        Some(why) => Err(Failure { what: format!("there is nothing to compare in {side}: {why}"), hints: Vec::new() }),
        None => Ok(()),
    }
}

/// What is to be said of each side, with the side it is said of.
fn notes(a: Vec<Note>, mut b: Vec<Note>) -> Vec<Note> {
    let mut notes = Vec::with_capacity(a.len() + b.len());
    let of = |side: &str, note: Note| Note { what: format!("{side}: {}", note.what), ..note };
    for note in a {
        match b.iter().position(|other| *other == note) {
            Some(at) => notes.push(of("A and B", b.remove(at))),
            None => notes.push(of("A", note)),
        }
    }
    notes.extend(b.into_iter().map(|note| of("B", note)));
    notes
}

/// What the rules of a side can tell.
fn known(scene: &Scene<'_, '_, '_>, only: Option<FamilyArg>) -> Vec<Known> {
    let extents = scene.survey.extents();
    if scene.survey.mode() != Some(Mode::Ipvs) {
        let of = |extent: &crate::proxy::Extent| Known {
            family: extent.family,
            whole: extent.nat_whole,
            refusals: extent.filter_whole,
            sources: extent.tells_sources,
            policies: true,
        };
        return extents.iter().map(of).collect();
    }
    // A listing of virtual servers is of both families, those without endpoints are in it, and what it does not say is not there.
    let families = [Family::Ipv4, Family::Ipv6].into_iter();
    let of = |family| Known {
        family,
        whole: scene.rules.ipvs.is_some(),
        refusals: scene.rules.ipvs.is_some(),
        sources: extents.iter().any(|extent| extent.family == family && extent.tells_sources),
        policies: false,
    };
    families.filter(|family| only.is_none_or(|only| Family::from(only) == *family)).map(of).collect()
}

/// The service ports that are compared.
struct Choice<'q> {
    namespace: Option<&'q str>,
    /// Each WHAT, and whether it may mean a Pod.
    what: Vec<(&'q Select, bool)>,
}

impl<'q> Choice<'q> {
    /// Looks for each WHAT on both sides; one that neither has is an error.
    fn of(
        what: &'q [(String, Select)],
        namespace: Option<&'q str>,
        a: &[ServicePort],
        b: &[ServicePort],
    ) -> Result<Self, Failure> {
        let ports = || a.iter().chain(b).filter(|port| is_inside(port, namespace));
        let names = || a.iter().chain(b).filter_map(|port| port.name.as_ref());
        if let (Some(wanted), None) = (namespace, ports().next()) {
            let near = suggestion(&nearest(wanted, names().map(|name| name.namespace.as_str())));
            let what = format!("neither A nor B has a Service of namespace '{wanted}'{near}");
            return Err(Failure { what, hints: Vec::new() });
        }
        let mut choice = Self { namespace, what: Vec::new() };
        for (text, select) in what {
            let is_service = ports().any(|port| select.matches_name(port.name.as_ref()));
            choice.what.push((select, !is_service));
            if !ports().any(|port| means(select, !is_service, port)) {
                let names: Vec<String> = names().map(ToString::to_string).collect();
                let near = suggestion(&nearest(text, names.iter().map(String::as_str)));
                let what = format!("neither A nor B has '{text}'{near}");
                return Err(Failure { what, hints: Vec::new() });
            }
        }
        Ok(choice)
    }

    fn has(&self, port: &ServicePort) -> bool {
        let meant = || self.what.iter().any(|(select, pods)| means(select, *pods, port));
        is_inside(port, self.namespace) && (self.what.is_empty() || meant())
    }
}

fn is_inside(port: &ServicePort, namespace: Option<&str>) -> bool {
    namespace.is_none_or(|wanted| port.name.as_ref().is_some_and(|name| name.namespace == wanted))
}

/// True if `select` means the service port: by its name, frontends, endpoints, chains, or with `pods` the Pods behind it.
fn means(select: &Select, pods: bool, port: &ServicePort) -> bool {
    let frontend = || port.frontends.iter().any(|f| select.matches_frontend(f.kind, f.address, f.port, port.protocol));
    let chain = || match select {
        Select::Chain(chain) => {
            chain_name::key(chain) == port.key || port.pools.iter().any(|pool| pool.chain == *chain)
        }
        _ => false,
    };
    select.matches_name(port.name.as_ref())
        || frontend()
        || chain()
        || port.has_endpoint(select)
        || absent(port).any(|absent| is_at(select, absent, port))
        || (pods && select.pod().is_some_and(|pod| has_pod(port, pod)))
}

/// Endpoints that should be programmed.
fn absent(port: &ServicePort) -> impl Iterator<Item = &Absent> {
    let unprogrammed = port.about.iter().flat_map(|about| &about.unprogrammed);
    port.pools.iter().flat_map(|pool| &pool.missing).chain(unprogrammed)
}

fn is_at(select: &Select, absent: &Absent, port: &ServicePort) -> bool {
    match select {
        Select::Address(ip, number, protocol) => {
            absent.address.ip() == Some(*ip)
                && number.is_none_or(|number| absent.address.port() == Some(number))
                && (protocol.is_none() || *protocol == port.protocol)
        }
        _ => false,
    }
}

fn has_pod(port: &ServicePort, (namespace, name): (Option<&str>, &str)) -> bool {
    let endpoints = port.pools.iter().flat_map(|pool| &pool.endpoints).filter_map(|endpoint| endpoint.about.as_deref());
    let mut pods = endpoints.chain(absent(port).map(|absent| &absent.about)).filter_map(|about| about.pod.as_deref());
    pods.any(|pod| {
        let (of, own) = pod.split_once('/').unwrap_or(("", pod));
        own == name && namespace.is_none_or(|namespace| namespace == of)
    })
}
