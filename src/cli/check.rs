//! `kube-ipt check`: what is wrong.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;

use super::args::{Format, NamespaceArgs, SourceArgs, duration};
#[cfg(feature = "live")]
use super::fleet::{self, FleetArgs};
use super::scene::{self, Question};
use super::{Answer, Failure, Outcome, answer, out};
use crate::checks::{Checked, Finding, Pick, Severity};
use crate::net::Moment;
use crate::proxy::iptables::Depth;
use crate::render;
use crate::report;

/// Find what is wrong: rules that differ from what the cluster wants, and rules that cannot work.
///
/// WHAT narrows it to some Services, in any form `show` takes. The exit status is 1 if there are findings at or above
/// --fail-on.
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
    #[cfg_attr(feature = "live", arg(conflicts_with = "all_nodes"))]
    confirm: Option<Duration>,
    /// Show every finding of a kind.
    #[arg(short, long)]
    all: bool,
    /// Write the answer to this file instead of stdout, whole or not at all: whoever reads it meanwhile sees the one before.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
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
    let mut outcome = look(args, verbose, width.filter(|_| args.out.is_none()))?;
    if let Some(path) = &args.out {
        out::deliver(path, &mut outcome)?;
    }
    Ok(outcome)
}

fn look(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let pick = Pick::new(args.select.clone(), args.ignore.clone());
    let pick = pick.map_err(|what| Failure { what, hints: vec!["kube-ipt explain".to_owned()] })?;
    let mut question = Question::new(&args.what, args.namespace.only(), &args.source, verbose)?;
    question.beside.config = true;
    #[cfg(feature = "live")]
    if args.fleet.all_nodes {
        let view = render::View { width, all: args.all };
        let format = args.output.of_all_nodes().ok_or_else(|| Failure {
            what: "metrics are those of one node, which its own node_exporter serves".to_owned(),
            hints: vec!["kube-ipt manifest daemonset    (has every node write its own)".to_owned()],
        })?;
        let (outcome, worst) = fleet::check(&question, &args.fleet, &pick, format, view)?;
        return Ok(Outcome { failed: worst.is_some_and(|worst| args.fail_on.fails(worst)), ..outcome });
    }
    let before = args.confirm.map(|pause| first_look(&question, &pick, pause)).transpose()?;
    scene::with(&question, |mut scene| {
        let mut outcome = scene.remarks();
        let checked = scene.check(&pick, Depth::Everything, before.as_ref());
        match scene.nothing.take() {
            // kube-proxy runs and serves nothing: so it may be meant.
            Some(note) if scene.has_portal() || !checked.findings.is_empty() => outcome.note([note]),
            Some(error) => outcome.missing = vec![error],
            None => {}
        }
        let for_people = matches!(args.output, CheckFormat::Text | CheckFormat::Table);
        if !outcome.missing.is_empty() && scene.services.is_empty() && for_people {
            return Ok(outcome);
        }
        outcome.failed = checked.findings.iter().any(|finding| args.fail_on.fails(finding.severity));
        let header = scene.header();
        let quotes = scene.quotes(&checked);
        let document = || report::check_document(&header, &scene.services, &checked, &quotes);
        outcome.answer = match args.output {
            CheckFormat::Text => {
                let view = render::View { width, all: args.all };
                let around = render::Surroundings {
                    services: scene.services.len(),
                    node: header.node.as_deref(),
                    read_at: scene.read_at(),
                };
                let origin = render::origin(&header, scene.survey.rules_read(), width);
                Answer::Text(render::findings(&checked, &quotes, around, view) + &origin)
            }
            CheckFormat::Table => Answer::Text(render::findings_table(&checked, width)),
            CheckFormat::Json => answer::written(document(), Format::Json)?,
            CheckFormat::Yaml => answer::written(document(), Format::Yaml)?,
            CheckFormat::Prometheus => Answer::Data(render::prometheus(&document(), &checked, &pick, Moment::now())),
        };
        drop(quotes);
        scene.leave();
        Ok(outcome)
    })
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
