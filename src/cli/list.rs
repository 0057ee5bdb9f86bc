//! `kube-ipt list`: one row per service port.

use clap::ValueEnum;

use super::answer::{self, Form};
#[cfg(feature = "live")]
use super::args::WatchArgs;
use super::args::{Format, OutputArgs, SourceArgs};
#[cfg(feature = "live")]
use super::fleet::{self, FleetArgs};
use super::scene::Question;
#[cfg(feature = "live")]
use super::watch;
use super::{Failure, Outcome};
#[cfg(feature = "live")]
use crate::render::View;
use crate::report::Kind;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = ListFormat::Table)]
    output: ListFormat,
    #[cfg(feature = "live")]
    #[command(flatten)]
    watch: WatchArgs,
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
    let question = Question::new(&[], args.shared.namespace.only(), &args.source, verbose)?;
    #[cfg(feature = "live")]
    if args.fleet.all_nodes {
        if args.watch.watch.is_some() {
            fleet::not_watched(&args.fleet)?;
        }
        let view = View { width, all: args.shared.all };
        return fleet::list(&question, &args.fleet, args.output.into(), view);
    }
    let format: Format = args.output.into();
    let form = Form { kind: Kind::List, rules: false, format, shared: &args.shared, width };
    #[cfg(feature = "live")]
    if let Some(every) = args.watch.watch {
        return watch::run(question, every, format.into(), width, form);
    }
    answer::answer(&question, &form)
}
