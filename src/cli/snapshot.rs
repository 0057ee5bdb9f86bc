//! `kube-ipt snapshot`: what a node and its cluster are now, in one file for later and for others.

use std::path::{Path, PathBuf};

use super::args::SourceArgs;
use super::scene::{self, Question, Scene};
use super::{Answer, Failure, Outcome, out, pseudonyms};
use crate::cluster::{Facts, emit};
use crate::source::{Bundle, KeptObjects, Snapshot};

/// Keep the rules of a node and the objects of its cluster in a file, which every command reads with -f.
///
/// Of objects, only what decides about Service traffic is kept: no Secret, no environment, no annotation. Rules are kept in
/// every mode there is, whichever decides. What was saved before (-f, --objects) can be put into one file too.
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
}

pub(super) fn run(args: &Args, verbose: bool) -> Result<Outcome, Failure> {
    let manner = out::Manner::private(args.force);
    let target = target(&args.output, manner)?;
    let key = args.redact.then(|| pseudonyms::key(args.redact_key.as_deref())).transpose()?;
    let mut question = Question::new(&[], None, &args.source, verbose)?;
    question.beside.config = true;
    question.beside.everything = true;
    scene::with(&question, |mut scene| {
        let mut outcome = std::mem::take(&mut scene.outcome);
        outcome.missing.clear();
        outcome.note(scene.nothing.take());
        let (snapshot, notes) = snapshot(&scene, key)?;
        outcome.note(notes);
        let told = told(&scene, &snapshot);
        let bytes = snapshot
            .write()
            .map_err(|error| Failure { what: format!("cannot make the snapshot: {error}"), hints: Vec::new() })?;
        outcome.answer = match target {
            None => Answer::Bytes(bytes),
            Some(path) => {
                out::write_as(path, manner, |file| file.write_all(&bytes))?;
                Answer::Text(format!("{}: {told}, {}\n", path.display(), size(bytes.len())))
            }
        };
        scene.leave();
        Ok(outcome)
    })
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
fn snapshot(scene: &Scene<'_, '_, '_>, key: Option<[u8; 32]>) -> Result<(Snapshot, Vec<String>), Failure> {
    let objects = scene.objects;
    let node = objects.viewpoint.node.clone().or_else(|| scene.bundle.node.clone());
    let nodes = vec![Bundle { node, ..scene.bundle.clone() }];
    let facts = objects.facts.as_deref();
    let taken_at = scene.read_at();
    let Some(key) = key else {
        let lacking = objects.notes.iter().map(|note| note.what.clone()).collect();
        let objects = facts.map(|facts| kept(facts, &objects.from)).transpose()?;
        return Ok((Snapshot { taken_at, redacted: false, notes: lacking, nodes, objects }, Vec::new()));
    };
    let redacted = pseudonyms::redact(key, nodes, facts)?;
    let objects = redacted.facts.as_ref().map(|facts| kept(facts, "redacted")).transpose()?;
    // What could not be read is not told: messages name users and servers.
    let snapshot = Snapshot { taken_at, redacted: true, notes: Vec::new(), nodes: redacted.nodes, objects };
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
fn told(scene: &Scene<'_, '_, '_>, snapshot: &Snapshot) -> String {
    let texts: usize = snapshot.nodes.iter().map(|node| node.captures.len()).sum();
    let node = match snapshot.nodes.first().and_then(|bundle| bundle.node.as_deref()) {
        Some(name) => format!("node {name}"),
        None => "a node whose name is not known".to_owned(),
    };
    let texts = if texts == 1 { "1 listing".to_owned() } else { format!("{texts} listings") };
    let objects = match &scene.objects.facts {
        None => "no objects".to_owned(),
        Some(facts) => format!(
            "{} Services, {} EndpointSlices, {} Pods, {} Nodes",
            facts.services.len(),
            facts.slices.len(),
            facts.pods.len(),
            facts.nodes.len()
        ),
    };
    format!("{node}, {texts}, {objects}")
}

/// `14 KiB`
fn size(bytes: usize) -> String {
    match bytes {
        0..=1_048_575 => format!("{} KiB", bytes.div_ceil(1024)),
        _ => format!("{} MiB", bytes.div_ceil(1 << 20)),
    }
}
