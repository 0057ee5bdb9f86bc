//! `kube-ipt list`: one row per service port.

use super::answer::{self, Form};
use super::args::{Format, OutputArgs, SourceArgs};
use super::scene::Question;
use super::{Failure, Outcome};
use crate::report::Kind;

/// List service ports, one a row.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Format::Table)]
    output: Format,
    #[command(flatten)]
    shared: OutputArgs,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    let question = Question::new(&[], args.shared.namespace.as_deref(), &args.source, verbose)?;
    let form = Form { kind: Kind::List, rules: false, format: args.output, shared: &args.shared, width };
    answer::answer(&question, &form)
}
