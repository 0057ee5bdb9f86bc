//! Every node at once: read through the API side by side, each compared with the same objects.

use std::collections::HashMap;
use std::io::IsTerminal as _;
use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};

use super::api::note;
use super::args::{Format, SourceArgs};
use super::behind::{behind, changes};
use super::objects::{self, Known, Told};
use super::scene::{self, Given, Question, Scene};
use super::{Answer, Failure, Note, Outcome, answer, gather, node};
use crate::checks::{Checked, Pick, Severity};
use crate::cluster::{Api, Facts, NoPlace, OnNode, Wanted};
use crate::cores;
use crate::net::{Family, Moment};
use crate::order::Order as _;
use crate::proxy::iptables::Depth;
use crate::render::{self, View};
use crate::report::{self, Kind, Look, NodesDocument, NodesKind, Seen};
use crate::source::{Bundle, Kept, PROXY, Tables};

// Questions to every node.
#[derive(Debug, clap::Args)]
pub(super) struct FleetArgs {
    /// Read every node of the cluster through the API server, by commands in its kube-proxy Pods; with -f, every node of a
    /// snapshot.
    #[arg(long, conflicts_with_all = ["demo", "node", "via"], help_heading = "Where the rules come from")]
    pub(super) all_nodes: bool,
    #[command(flatten)]
    pub(super) pace: Pace,
}

// How fast many nodes are read.
#[derive(Debug, clap::Args)]
pub(super) struct Pace {
    /// How many nodes are read at the same time.
    #[arg(
        long,
        value_name = "NUMBER",
        default_value_t = 8,
        requires = "all_nodes",
        value_parser = clap::value_parser!(u16).range(1..=256),
        help_heading = "Where the rules come from"
    )]
    pub(super) parallel: u16,
}

/// One node is watched at a time.
pub(super) fn not_watched(args: &FleetArgs) -> Result<(), Failure> {
    if !args.all_nodes {
        return Ok(());
    }
    let what = "--watch is for one node: --all-nodes lists the rules of every node anew".to_owned();
    let hints = vec!["kube-ipt manifest daemonset    (has every node watch itself)".to_owned()];
    Err(Failure { what, hints })
}

/// A row for every node, and as JSON or YAML all that each of them has.
pub(super) fn list(question: &Question<'_>, args: &FleetArgs, format: Format, view: View) -> Result<Outcome, Failure> {
    if matches!(format, Format::Tree | Format::Wide) {
        let what = "--all-nodes has a row for every node, and no tree and no wider one".to_owned();
        return Err(Failure { what, hints: vec!["-o table, -o json".to_owned()] });
    }
    let fleet = Fleet::gather(question)?;
    let with_services = matches!(format, Format::Json | Format::Yaml);
    let pick = answer::pick(Kind::List)?;
    let parallel = args.pace.parallel;
    let (looks, missing) =
        fleet.looks(question, parallel, &pick, with_services, |scene| scene.check(&pick, Depth::Services, None));
    let document = report::nodes_document(NodesKind::ListNodes, looks);
    let failed = document.summary.unreachable == document.summary.nodes;
    Ok(Outcome { failed, ..fleet.outcome(document, format, view, missing)? })
}

/// Checks every node. The second value is the worst that was found; a node whose rules could not be read counts as an error.
pub(super) fn check(
    question: &Question<'_>,
    args: &FleetArgs,
    pick: &Pick,
    format: Format,
    view: View,
) -> Result<(Outcome, Option<Severity>), Failure> {
    let fleet = Fleet::gather(question)?;
    let (looks, missing) =
        fleet.looks(question, args.pace.parallel, pick, false, |scene| scene.check(pick, Depth::Everything, None));
    let document = report::nodes_document(NodesKind::CheckNodes, looks);
    let sum = &document.summary;
    let found = [
        (sum.unreachable + sum.errors, Severity::Error),
        (sum.warnings, Severity::Warning),
        (sum.infos, Severity::Info),
    ];
    let worst = found.into_iter().find_map(|(count, severity)| (count > 0).then_some(severity));
    Ok((fleet.outcome(document, format, view, missing)?, worst))
}

/// Nodes that are to be read, and what their cluster says.
pub(super) struct Fleet {
    nodes: Nodes,
    /// The objects; `None` for none.
    pub(super) told: Option<Told>,
    /// What is to be said of the reading.
    pub(super) notes: Vec<Note>,
}

/// Where nodes are read.
enum Nodes {
    /// In Pods on them.
    Running(Box<Api>, Vec<OnNode>),
    /// In what was kept of them.
    Kept(Kept),
}

/// A node that was read, or why it was not.
pub(super) struct Read {
    /// Its name.
    pub(super) node: String,
    /// The version of kube-proxy, where known.
    version: Option<String>,
    /// Its rules.
    pub(super) bundle: Result<Bundle, Failure>,
}

impl Fleet {
    /// Asks for the nodes and for the objects, once for all of them.
    pub(super) fn gather(question: &Question<'_>) -> Result<Self, Failure> {
        if question.source.file.is_empty() { Self::running(question) } else { Self::kept(question) }
    }

    /// The nodes of a snapshot.
    fn kept(question: &Question<'_>) -> Result<Self, Failure> {
        let args = question.source;
        let kept = gather::nodes(args, question.verbose)?;
        let bundles = &kept.nodes;
        let saved = match bundles.first() {
            _ if !args.objects.objects.is_empty() => Some(objects::files(&args.objects.objects)?),
            // Nodes that do not have them in common each have their own, which are read with their rules.
            Some(first)
                if !args.objects.no_api
                    && !first.objects.is_empty()
                    && bundles.iter().all(|bundle| Arc::ptr_eq(&bundle.objects, &first.objects)) =>
            {
                Some(objects::with_rules(&first.objects)?)
            }
            _ => None,
        };
        let (told, notes) = match saved {
            Some(objects::Objects { facts, from, notes, .. }) => {
                (facts.map(|facts| Told { facts, from, server: None }), notes)
            }
            None => (None, Vec::new()),
        };
        Ok(Self { nodes: Nodes::Kept(kept), told, notes })
    }

    /// The nodes of a cluster.
    fn running(question: &Question<'_>) -> Result<Self, Failure> {
        let args = question.source;
        let server = node::connected(args)?;
        let mut api = Api::new(server.clone());
        let mut places = api.places()?;
        let mut notes = Vec::new();
        let told = if !args.objects.objects.is_empty() {
            let saved = objects::files(&args.objects.objects)?;
            notes.extend(saved.notes);
            saved.facts.map(|facts| Told { facts, from: saved.from, server: None })
        } else if args.objects.no_api {
            None
        } else {
            api.fetch(&Wanted::All(question.namespace.map(str::to_owned)));
            api.nodes();
            if question.beside.config {
                api.proxy_config();
            }
            if question.beside.everything {
                api.every_pod();
            }
            let problems = api.problems();
            if let Some(problem) =
                problems.iter().find(|problem| problem.fatal).filter(|_| args.objects.api.require_api)
            {
                return Err(problem.clone().into());
            }
            notes.extend(problems.iter().map(note));
            let lacks = api.lacks_services();
            let facts = Arc::new(api.facts());
            (!lacks).then(|| Told { facts, from: api.url().to_owned(), server: Some(server) })
        };
        if let Some(told) = &told {
            add_bare(&mut places, &told.facts);
        }
        if places.is_empty() {
            let what = "no kube-proxy Pod was found in kube-system, and no Node".to_owned();
            return Err(Failure { what, hints: vec!["--via NAMESPACE/POD    (one node, by a Pod of it)".to_owned()] });
        }
        Ok(Self { nodes: Nodes::Running(Box::new(api), places), told, notes })
    }

    /// Reads every node and has `look` at each, so many at the same time. In the order of their names, those last that a snapshot
    /// knows by name only.
    pub(super) fn each<T: Send>(
        &self,
        args: &SourceArgs,
        parallel: u16,
        tables: Tables,
        look: impl Fn(Read) -> T + Sync,
    ) -> Vec<T> {
        let count = self.nodes.count();
        let bar = bar(count);
        let family = args.family.map(Family::from);
        let look = |at| {
            let seen = look(self.nodes.read(at, family, tables)?);
            bar.inc(1);
            Some(seen)
        };
        let all = cores::at_most(usize::from(parallel), 0..count, look);
        bar.finish_and_clear();
        all.into_iter().flatten().collect()
    }

    /// What a question about one of its nodes is answered from.
    pub(super) fn given(&self, bundle: Arc<Bundle>) -> Given {
        Given { bundle, objects: self.known(), watched: None }
    }

    /// The objects of each node.
    fn known(&self) -> Known {
        match (&self.told, &self.nodes) {
            (Some(told), _) => Known::Told(told.clone()),
            (None, Nodes::Kept(_)) => Known::Unread,
            (None, Nodes::Running(..)) => Known::Nothing,
        }
    }

    /// What there is to say of all nodes; nothing to a person where none has anything that was asked for.
    fn outcome(
        self,
        document: NodesDocument,
        format: Format,
        view: View,
        missing: Vec<String>,
    ) -> Result<Outcome, Failure> {
        let mut notes = self.notes;
        let is_empty = || document.nodes.iter().all(|row| row.service_ports.unwrap_or_default() == 0);
        let answer = match format {
            Format::Json | Format::Yaml => answer::written(document, format)?,
            _ if !missing.is_empty() && is_empty() => {
                // They may have it.
                notes.extend(unread(&document));
                Answer::default()
            }
            _ => Answer::Text(render::nodes(&document, view)),
        };
        Ok(Outcome { answer, notes, missing, ..Outcome::default() })
    }

    /// Reads every node and answers `question` of each; `check` makes the checks of `pick`. Where no node that was read has what
    /// was asked for, the second value says so.
    fn looks(
        &self,
        question: &Question<'_>,
        parallel: u16,
        pick: &Pick,
        with_services: bool,
        check: impl Fn(&Scene<'_, '_, '_>) -> Checked + Sync,
    ) -> (Vec<Look>, Vec<String>) {
        let changes = self.told.as_ref().map(|told| changes(&told.facts));
        let looks = self.each(question.source, parallel, Tables::OfServices, |Read { node, version, bundle }| {
            let seen = bundle.and_then(|bundle| {
                scene::with(&question.given(self.given(Arc::new(bundle))), |scene| {
                    let checked = check(&scene);
                    Ok(seen(scene, &checked, pick, changes.as_ref(), with_services))
                })
            });
            let (seen, missing) = match seen {
                Ok((seen, missing)) => (Ok(seen), Some(missing)),
                Err(failure) => (Err(reason(failure)), None),
            };
            (Look { node, version, seen }, missing)
        });
        let (looks, missing): (Vec<Look>, Vec<Option<Vec<String>>>) = looks.into_iter().unzip();
        let mut of_read = missing.into_iter().flatten();
        let first = of_read.next().unwrap_or_default();
        let missing = if of_read.all(|missing| !missing.is_empty()) { first } else { Vec::new() };
        (looks, missing)
    }
}

/// The nodes that were not read, where there are any.
fn unread(document: &NodesDocument) -> Option<Note> {
    let mut unread = document.nodes.iter().filter_map(|row| Some((&row.node, row.unreachable.as_ref()?)));
    let (node, why) = unread.next()?;
    Some(Note::from(match unread.count() {
        0 => format!("node {node} was not read: {why}"),
        more => format!("{} nodes were not read, {node} first: {why}", more + 1),
    }))
}

/// Why a node was not read, with the first thing to do about it.
fn reason(failure: Failure) -> String {
    let Failure { what, hints } = failure;
    match hints.first() {
        Some(hint) => format!("{what}; try: {hint}"),
        None => what,
    }
}

impl Nodes {
    fn count(&self) -> usize {
        match self {
            Self::Running(_, places) => places.len(),
            Self::Kept(kept) => kept.nodes.len() + kept.unread.len(),
        }
    }

    /// Reads the node at this place; `None` after the last.
    fn read(&self, at: usize, family: Option<Family>, tables: Tables) -> Option<Read> {
        match self {
            Self::Running(api, places) => {
                let (node, place) = places.get(at)?;
                let version = place.as_ref().ok().and_then(|place| place.version.clone());
                let place = place.clone().map_err(Failure::from);
                let bundle = place.and_then(|place| node::listed(api, place, family, tables));
                let bundle = bundle.and_then(|mut bundle| gather::restored(&mut bundle).map(|()| bundle));
                Some(Read { node: node.clone(), version, bundle })
            }
            Self::Kept(Kept { nodes, unread }) => {
                let Some(bundle) = nodes.get(at) else {
                    let unread = unread.get(at - nodes.len())?;
                    let bundle = Err(Failure { what: unread.why.clone(), hints: Vec::new() });
                    return Some(Read { node: unread.node.clone(), version: None, bundle });
                };
                let node = bundle.node.clone().unwrap_or_else(|| format!("node {}", at + 1));
                Some(Read { node, version: bundle.versions.get(PROXY).cloned(), bundle: Ok(bundle.clone()) })
            }
        }
    }
}

/// What one node shows, and what of that which was asked for it does not have.
fn seen(
    mut scene: Scene<'_, '_, '_>,
    checked: &Checked,
    pick: &Pick,
    changes: Option<&HashMap<String, Moment>>,
    with_services: bool,
) -> (Seen, Vec<String>) {
    let outcome = scene.remarks();
    let header = scene.header();
    let check = report::check_document(&header, &scene.services, checked, &scene.quotes(checked));
    let asked = changes.filter(|_| outcome.missing.is_empty());
    let behind = asked.and_then(|changes| behind(&check, pick, changes, scene.read_at()));
    let services = std::mem::take(&mut scene.services);
    let services = with_services
        .then(|| report::document(Kind::List, &header, services, &checked.findings, &scene.quotes(checked)).services);
    let mut notes: Vec<String> = outcome.notes.into_iter().map(|note| note.what).collect();
    // What was asked for and is not on this node, or that it has no Services at all.
    notes.extend(outcome.missing.iter().cloned());
    notes.extend(scene.nothing.take());
    (Seen { check, services, behind, notes }, outcome.missing)
}

/// Adds the Nodes on which no kube-proxy Pod runs: their rules cannot be read, and that is said.
fn add_bare(places: &mut Vec<OnNode>, facts: &Facts) {
    for node in &facts.nodes {
        if !places.iter().any(|(name, _)| *name == node.name) {
            let what = "no kube-proxy Pod runs on it".to_owned();
            places.push((node.name.clone(), Err(NoPlace { what, hints: Vec::new() })));
        }
    }
    places.order_by(|a, b| a.0.cmp(&b.0));
}

/// A bar on stderr that counts nodes, where a person sits there.
fn bar(nodes: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(u64::try_from(nodes).unwrap_or(u64::MAX));
    let style = ProgressStyle::with_template("{bar:30} {pos} of {len} nodes");
    bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
