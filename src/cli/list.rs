//! `kube-ipt list`: one row per service port.

use clap::ValueEnum;

use super::answer::{self, Form};
use super::args::{Format, OutputArgs, SourceArgs};
#[cfg(feature = "live")]
use super::fleet::{Fleet, FleetArgs};
use super::scene::Question;
use super::{Failure, Outcome};
#[cfg(feature = "live")]
use crate::proxy::iptables::Depth;
use crate::report::Kind;
#[cfg(feature = "live")]
use crate::{render, report};

/// List service ports, one a row.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
    #[command(flatten)]
    shared: OutputArgs,
    #[command(flatten)]
    source: SourceArgs,
    #[cfg(feature = "live")]
    #[command(flatten)]
    fleet: FleetArgs,
}

/// Forms of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ListFormat {
    /// Services with their frontends and endpoints.
    Tree,
    /// Rows.
    Table,
    /// Rows with every column.
    Wide,
    /// JSON, schema kube-ipt/v1.
    Json,
    /// The same as YAML.
    Yaml,
}

impl From<ListFormat> for Format {
    fn from(format: ListFormat) -> Self {
        match format {
            ListFormat::Tree => Self::Tree,
            ListFormat::Table => Self::Table,
            ListFormat::Wide => Self::Wide,
            ListFormat::Json => Self::Json,
            ListFormat::Yaml => Self::Yaml,
        }
    }
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let question = Question::new(&[], args.shared.namespace.as_deref(), &args.source, verbose)?;
    #[cfg(feature = "live")]
    if args.fleet.all_nodes {
        return all_nodes(args, &question, width);
    }
    let form = Form { kind: Kind::List, rules: false, format: args.output.into(), shared: &args.shared, width };
    answer::answer(&question, &form)
}

/// A row for every node, and in JSON all that each of them has.
#[cfg(feature = "live")]
fn all_nodes(args: &Args, question: &Question<'_>, width: Option<usize>) -> Result<Outcome, Failure> {
    let fleet = Fleet::gather(question)?;
    let with_services = matches!(args.output, ListFormat::Json | ListFormat::Yaml);
    let pick = answer::pick(Kind::List)?;
    let looks =
        fleet.looks(question, args.fleet.parallel, with_services, |scene| scene.check(&pick, Depth::Services, None));
    let document = report::nodes_document(report::NodesKind::ListNodes, looks);
    fleet.outcome(document, args.output.into(), render::View { width, all: args.shared.all })
}
