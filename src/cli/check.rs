//! `kube-ipt check`: what is wrong.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

#[cfg(feature = "live")]
use super::args::WatchArgs;
use super::args::{Format, NamespaceArgs, SourceArgs, duration};
#[cfg(feature = "live")]
use super::fleet::{self, FleetArgs};
use super::scene::{self, Question, Scene};
#[cfg(feature = "live")]
use super::watch;
use super::{Answer, Failure, Outcome, answer, out};
use crate::checks::{Checked, Finding, Pick, Severity};
use crate::net::Moment;
use crate::proxy::iptables::Depth;
use crate::render;
use crate::report;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to check; everything without it.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    #[command(flatten)]
    namespace: NamespaceArgs,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = CheckFormat::Text)]
    output: CheckFormat,
    /// Look for these findings only: codes (KI101), names (stale-endpoint) or beginnings of codes (KI1).
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    select: Vec<String>,
    /// Do not look for these.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// The least severity that makes the exit status 1.
    #[arg(long, value_enum, default_value_t = FailOn::Warning, value_name = "SEVERITY")]
    fail_on: FailOn,
    /// Read rules and objects again after this time and report only what persists, so that a sync in progress is no
    /// finding (5s, 1m). For the rules of this node only.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    #[cfg_attr(feature = "live", arg(conflicts_with_all = ["all_nodes", "watch"]))]
    confirm: Option<Duration>,
    /// Show every finding of a kind.
    #[arg(short, long)]
    all: bool,
    /// Write the answer to this file instead of stdout, whole or not at all: whoever reads it meanwhile sees the one before.
    /// With --watch the file is kept current, and stdout gets one line of JSON for each change.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[cfg(feature = "live")]
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[cfg(feature = "live")]
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CheckFormat {
    /// Findings by service, worst first, with the rules that show them.
    Text,
    /// One row a finding.
    Table,
    /// JSON, schema kube-ipt/v1.
    Json,
    /// The same as YAML.
    Yaml,
    /// Metrics for Prometheus, as node_exporter's textfile collector reads them.
    Prometheus,
}

#[cfg(feature = "live")]
impl CheckFormat {
    /// The form of an answer about all nodes; `None` for metrics, which each node leaves for its own node_exporter.
    fn of_all_nodes(self) -> Option<Format> {
        match self {
            Self::Text => Some(Format::Tree),
            Self::Table => Some(Format::Table),
            Self::Json => Some(Format::Json),
            Self::Yaml => Some(Format::Yaml),
            Self::Prometheus => None,
        }
    }
}

#[cfg(feature = "live")]
impl CheckFormat {
    /// The form of the answers of a watch on stdout.
    fn watched(self, has_file: bool) -> Result<watch::Shape, Failure> {
        match self {
            _ if has_file => Ok(watch::Shape::Lines),
            Self::Text | Self::Table => Ok(watch::Shape::Text),
            Self::Json => Ok(watch::Shape::Lines),
            Self::Yaml => Ok(watch::Shape::Documents),
            Self::Prometheus => {
                let what = "metrics of a watch are kept in a file, and --out names none".to_owned();
                Err(Failure { what, hints: vec!["--out FILE.prom".to_owned()] })
            }
        }
    }
}

/// `--fail-on`
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Any finding.
    Info,
    /// Warnings and errors.
    Warning,
    /// Errors.
    Error,
    /// No finding does.
    Never,
}

impl FailOn {
    fn fails(self, severity: Severity) -> bool {
        match self {
            Self::Info => true,
            Self::Warning => severity >= Severity::Warning,
            Self::Error => severity >= Severity::Error,
            Self::Never => false,
        }
    }
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let width = width.filter(|_| args.out.is_none());
    let pick = Pick::new(args.select.clone(), args.ignore.clone());
    let pick = pick.map_err(|what| Failure { what, hints: vec!["kube-ipt explain".to_owned()] })?;
    let mut question = Question::new(&args.what, args.namespace.only(), &args.source, verbose)?;
    question.beside.config = true;
    #[cfg(feature = "live")]
    if let Some(every) = args.watch.watch {
        fleet::not_watched(&args.fleet)?;
        let shape = args.output.watched(args.out.is_some())?;
        return watch::run(question, every, shape, width, Watching { args, pick, last: None });
    }
    #[cfg(feature = "live")]
    let mut outcome = if args.fleet.all_nodes {
        all_nodes(args, &question, &pick, width)?
    } else {
        once(args, &question, &pick, width)?
    };
    #[cfg(not(feature = "live"))]
    let mut outcome = once(args, &question, &pick, width)?;
    if let Some(path) = &args.out {
        // Nothing was found to check: an earlier answer is no worse than one that finds nothing wrong with nothing.
        if outcome.missing.is_empty() {
            out::deliver(path, &mut outcome)?;
        } else {
            outcome.answer = Answer::default();
        }
    }
    Ok(outcome)
}

#[cfg(feature = "live")]
fn all_nodes(args: &Args, question: &Question<'_>, pick: &Pick, width: Option<usize>) -> Result<Outcome, Failure> {
    let view = render::View { width, all: args.all };
    let format = args.output.of_all_nodes().ok_or_else(|| Failure {
        what: "metrics are those of one node, which its own node_exporter serves".to_owned(),
        hints: vec!["kube-ipt manifest daemonset    (has every node write its own)".to_owned()],
    })?;
    let (outcome, worst) = fleet::check(question, &args.fleet, pick, format, view)?;
    Ok(Outcome { failed: worst.is_some_and(|worst| args.fail_on.fails(worst)), ..outcome })
}

fn once(args: &Args, question: &Question<'_>, pick: &Pick, width: Option<usize>) -> Result<Outcome, Failure> {
    let before = args.confirm.map(|pause| first_look(question, pick, pause)).transpose()?;
    scene::with(question, |mut scene| {
        let (mut outcome, checked) = found(args, pick, before.as_ref(), &mut scene);
        outcome.answer = answered(args, pick, &scene, &checked, &outcome, width)?;
        scene.leave();
        Ok(outcome)
    })
}

/// What is wrong, apart from what `before` did not show, and what is to be said around it.
fn found(args: &Args, pick: &Pick, before: Option<&Checked>, scene: &mut Scene<'_, '_, '_>) -> (Outcome, Checked) {
    let mut outcome = scene.remarks();
    let checked = scene.check(pick, Depth::Everything, before);
    scene.note_likeness(&checked, &mut outcome);
    let worst = checked.findings.iter().map(|finding| finding.severity).max();
    match scene.nothing.take() {
        Some(note) if scene.was_compared() || worst >= Some(Severity::Warning) => outcome.note([note]),
        Some(error) => outcome.missing = vec![error],
        None => {}
    }
    outcome.failed = worst.is_some_and(|worst| args.fail_on.fails(worst));
    (outcome, checked)
}

/// The answer in the form that was asked for.
fn answered(
    args: &Args,
    pick: &Pick,
    scene: &Scene<'_, '_, '_>,
    checked: &Checked,
    outcome: &Outcome,
    width: Option<usize>,
) -> Result<Answer, Failure> {
    let for_people = matches!(args.output, CheckFormat::Text | CheckFormat::Table);
    if !outcome.missing.is_empty() && scene.services.is_empty() && for_people {
        return Ok(Answer::default());
    }
    let header = scene.header();
    let quotes = scene.quotes(checked);
    let document = || report::check_document(&header, &scene.services, checked, &quotes);
    Ok(match args.output {
        CheckFormat::Text => {
            let view = render::View { width, all: args.all };
            let around = render::Surroundings {
                services: report::ports_checked(&scene.services),
                node: header.node.as_deref(),
                read_at: scene.read_at(),
            };
            let origin = render::origin(&header, scene.survey.rules_read(), width);
            Answer::Text(render::findings(checked, &quotes, around, view) + &origin)
        }
        CheckFormat::Table => Answer::Text(render::findings_table(checked, width)),
        CheckFormat::Json => answer::written(document(), Format::Json)?,
        CheckFormat::Yaml => answer::written(document(), Format::Yaml)?,
        CheckFormat::Prometheus => Answer::Data(render::prometheus(&document(), checked, pick, Moment::now())),
    })
}

/// A check that goes on.
#[cfg(feature = "live")]
struct Watching<'q> {
    args: &'q Args,
    pick: Pick,
    /// What the file of --out is made of.
    last: Option<Last>,
}

/// What a file is made of.
#[cfg(feature = "live")]
enum Last {
    /// Metrics, which tell the time of the last check too.
    Metrics(Box<report::CheckDocument>, Box<Checked>),
    /// An answer, with whether it was written already.
    Answer(Answer, bool),
}

#[cfg(feature = "live")]
impl watch::Answers for Watching<'_> {
    fn answer(&mut self, question: &Question<'_>, width: Option<usize>) -> Result<Outcome, Failure> {
        let Self { args, pick, .. } = self;
        let (outcome, last) = scene::with(question, |mut scene| {
            let (mut outcome, checked) = found(args, pick, None, &mut scene);
            let document = |scene: &Scene<'_, '_, '_>| {
                report::check_document(&scene.header(), &scene.services, &checked, &scene.quotes(&checked))
            };
            if args.out.is_none() {
                outcome.answer = answered(args, pick, &scene, &checked, &outcome, width)?;
                return Ok((outcome, None));
            }
            let whole = document(&scene);
            let last = if args.output == CheckFormat::Prometheus {
                Last::Metrics(Box::new(whole.clone()), Box::new(checked))
            } else {
                Last::Answer(answered(args, pick, &scene, &checked, &outcome, None)?, false)
            };
            outcome.answer = Answer::Json(Box::new(whole.into()));
            Ok((outcome, Some(last)))
        })?;
        self.last = last;
        Ok(outcome)
    }

    /// Keeps the file of --out current.
    fn still_right(&mut self, at: Moment) -> Result<(), Failure> {
        let Some(path) = &self.args.out else { return Ok(()) };
        match &mut self.last {
            Some(Last::Metrics(document, checked)) => {
                let text = render::prometheus(document, checked, &self.pick, at);
                out::write(path, |out| out.write_all(text.as_bytes()))
            }
            Some(Last::Answer(answer, written)) if !*written && !answer.is_empty() => {
                out::write(path, |out| answer.write_plain(out))?;
                *written = true;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Looks once and waits, unless nothing is wrong.
fn first_look(question: &Question<'_>, pick: &Pick, pause: Duration) -> Result<Checked, Failure> {
    let checked = scene::with(question, |scene| {
        if !scene.bundle.is_live() {
            let what = "--confirm reads the rules of this node twice; a saved dump stays as it is".to_owned();
            return Err(Failure { what, hints: vec!["leave out --confirm, or -f and the pipe".to_owned()] });
        }
        Ok(scene.check(pick, Depth::Everything, None))
    })?;
    if checked.findings.iter().any(Finding::is_wrong) {
        std::thread::sleep(pause);
    }
    Ok(checked)
}
