//! `kube-ipt snapshot`: what a node and its cluster are now, in one file for later and for others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::args::SourceArgs;
#[cfg(feature = "live")]
use super::fleet::{Fleet, FleetArgs, Read};
use super::scene::{self, Question};
use super::{Answer, Failure, Outcome, out, pseudonyms};
use crate::cluster::{Facts, emit};
use crate::dataplane::count;
use crate::net::Moment;
use crate::render::clean;
#[cfg(feature = "live")]
use crate::source::Tables;
use crate::source::{Bundle, KeptObjects, Snapshot, Unread};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Write it there: a tar.gz, whole or not at all. `-` is standard output.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Overwrite the file if it is there.
    #[arg(long)]
    force: bool,
    /// Give namespaces, Services, Pods, Nodes, zones and addresses other names, the same ones everywhere, so that it can be
    /// given to others. The answers stay the same but for the names.
    #[arg(long)]
    redact: bool,
    /// Make the other names with this file as key, so that those of later snapshots are the same. Whoever has it can find out
    /// what was meant; without it, a random key is used and forgotten.
    #[arg(long, value_name = "FILE", requires = "redact")]
    redact_key: Option<PathBuf>,
    #[command(flatten)]
    source: SourceArgs,
    #[cfg(feature = "live")]
    #[command(flatten)]
    fleet: FleetArgs,
}

pub(super) fn run(args: &Args, verbose: bool) -> Result<Outcome, Failure> {
    let manner = out::Manner::private(args.force);
    let target = target(&args.output, manner)?;
    let key = args.redact.then(|| pseudonyms::key(args.redact_key.as_deref())).transpose()?;
    let mut question = Question::new(&[], None, &args.source, verbose)?;
    question.beside.config = true;
    question.beside.everything = true;
    #[cfg(feature = "live")]
    if args.fleet.all_nodes {
        let (taken, outcome) = all_nodes(&question, args.fleet.pace.parallel)?;
        return keep(taken, key, target, manner, outcome);
    }
    scene::with(&question, |mut scene| {
        let mut outcome = std::mem::take(&mut scene.outcome);
        outcome.missing.clear();
        outcome.note(scene.nothing.take());
        let objects = scene.objects;
        let node = objects.viewpoint.node.clone().or_else(|| scene.bundle.node.clone());
        let taken = Taken {
            at: scene.read_at(),
            nodes: vec![Bundle { node, ..scene.bundle.clone() }],
            unread: Vec::new(),
            facts: objects.facts.clone(),
            from: objects.from.clone(),
            lacking: objects.notes.iter().map(|note| note.what.clone()).collect(),
        };
        scene.leave();
        keep(taken, key, target, manner, outcome)
    })
}

/// What is kept.
struct Taken {
    at: Option<Moment>,
    nodes: Vec<Bundle>,
    unread: Vec<Unread>,
    facts: Option<Arc<Facts>>,
    /// Where the objects came from.
    from: String,
    /// What could not be read.
    lacking: Vec<String>,
}

/// Every node that can be read. Those that cannot are named.
#[cfg(feature = "live")]
fn all_nodes(question: &Question<'_>, parallel: u16) -> Result<(Taken, Outcome), Failure> {
    let fleet = Fleet::gather(question)?;
    let read = fleet.each(question.source, parallel, Tables::Everything, |read| read);
    let mut outcome = Outcome { notes: fleet.notes, ..Outcome::default() };
    // Nodes that could not be read are kept as such.
    let lacking = outcome.notes.iter().map(|note| note.what.clone()).collect();
    let (mut nodes, mut unread) = (Vec::new(), Vec::new());
    for Read { node, bundle, .. } in read {
        match bundle {
            Ok(bundle) => nodes.push(Bundle { node: Some(node), ..bundle }),
            Err(failure) => unread.push(Unread { node, why: failure.what }),
        }
    }
    outcome.note(unread.iter().map(Unread::note));
    if nodes.is_empty() {
        let what = "no node could be read".to_owned();
        return Err(Failure { what, hints: outcome.notes.into_iter().map(|note| note.what).collect() });
    }
    let (facts, from) = fleet.told.map(|told| (told.facts, told.from)).unzip();
    let at = nodes.iter().filter_map(|node| node.read_at).max();
    Ok((Taken { at, nodes, unread, facts, from: from.unwrap_or_default(), lacking }, outcome))
}

/// Writes it, and says what it holds.
fn keep(
    taken: Taken,
    key: Option<[u8; 32]>,
    target: Option<&Path>,
    manner: out::Manner,
    mut outcome: Outcome,
) -> Result<Outcome, Failure> {
    let facts = taken.facts.clone();
    let (snapshot, notes) = snapshot(taken, key)?;
    let told = told(&snapshot.nodes, facts.as_deref());
    outcome.note(notes);
    let bytes = snapshot
        .write()
        .map_err(|error| Failure { what: format!("cannot make the snapshot: {error}"), hints: Vec::new() })?;
    outcome.answer = match target {
        None => Answer::Bytes(bytes),
        Some(path) => {
            out::write_as(path, manner, |file| file.write_all(&bytes))?;
            let told = format!("{}: {told}, {}", path.display(), size(bytes.len()));
            Answer::Text(clean(&told).into_owned() + "\n")
        }
    };
    Ok(outcome)
}

/// The file to write; `None` for standard output.
fn target(path: &Path, manner: out::Manner) -> Result<Option<&Path>, Failure> {
    if path.as_os_str() != "-" {
        return out::free(path, manner).map(|()| Some(path));
    }
    if super::is_terminal() {
        let what = "a snapshot is no text, and standard output is a terminal".to_owned();
        return Err(Failure { what, hints: vec!["kube-ipt snapshot -o FILE.tar.gz".to_owned()] });
    }
    Ok(None)
}

/// The snapshot, and what is to be said of it.
fn snapshot(taken: Taken, key: Option<[u8; 32]>) -> Result<(Snapshot, Vec<String>), Failure> {
    let Taken { at: taken_at, nodes, unread, facts, from, lacking } = taken;
    let facts = facts.as_deref();
    let Some(key) = key else {
        let objects = facts.map(|facts| kept(facts, &from)).transpose()?;
        return Ok((Snapshot { taken_at, redacted: false, notes: lacking, nodes, unread, objects }, Vec::new()));
    };
    let redacted = pseudonyms::redact(key, nodes, &unread, facts)?;
    let objects = redacted.facts.as_ref().map(|facts| kept(facts, "redacted")).transpose()?;
    // What could not be read is not told: messages name users and servers.
    let (nodes, unread) = (redacted.nodes, redacted.unread);
    let snapshot = Snapshot { taken_at, redacted: true, notes: Vec::new(), nodes, unread, objects };
    Ok((snapshot, redacted.notes))
}

/// The objects of `facts`, with what they cover.
fn kept(facts: &Facts, from: &str) -> Result<KeptObjects, Failure> {
    let covers = serde_json::to_value(&facts.coverage).map_err(|error| Failure {
        what: format!("cannot write what the objects cover: {error}"),
        hints: Vec::new(),
    })?;
    Ok(KeptObjects { from: from.to_owned(), text: emit(facts), covers })
}

/// What is in it.
fn told(nodes: &[Bundle], facts: Option<&Facts>) -> String {
    let texts: usize = nodes.iter().map(|node| node.captures.len()).sum();
    let nodes = match nodes {
        [only] => match &only.node {
            Some(name) => format!("node {name}"),
            None => "a node whose name is not known".to_owned(),
        },
        many => format!("{} nodes", many.len()),
    };
    let texts = count(texts, "listing");
    let objects = match facts {
        None => "no objects".to_owned(),
        Some(facts) => {
            let of = [
                (facts.services.len(), "Service"),
                (facts.slices.len(), "EndpointSlice"),
                (facts.pods.len(), "Pod"),
                (facts.nodes.len(), "Node"),
            ];
            of.map(|(number, one)| count(number, one)).join(", ")
        }
    };
    format!("{nodes}, {texts}, {objects}")
}

/// `14 KiB`
fn size(bytes: usize) -> String {
    match bytes {
        0..=1_048_575 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
