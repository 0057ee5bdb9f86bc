//! `kube-ipt show`: the tree of services.

use super::answer::{self, Form};
#[cfg(feature = "live")]
use super::args::WatchArgs;
use super::args::{Format, OutputArgs, SourceArgs};
use super::scene::Question;
#[cfg(feature = "live")]
use super::watch;
use super::{Failure, Outcome};
use crate::report::Kind;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to show.
    #[arg(value_name = "WHAT")]
    what: Vec<String>,
    /// Print the rules under every step, with what each of them does.
    #[arg(long)]
    rules: bool,
    /// Form of the answer.
    #[arg(short, long, value_enum, default_value_t = Format::Tree)]
    output: Format,
    #[cfg(feature = "live")]
    #[command(flatten)]
    watch: WatchArgs,
    #[command(flatten)]
    shared: OutputArgs,
    #[command(flatten)]
    source: SourceArgs,
}

pub(super) fn run(args: &Args, verbose: bool, width: Option<usize>) -> Result<Outcome, Failure> {
    if args.rules && args.output != Format::Tree {
        let what = "--rules is for people: it goes with the tree only".to_owned();
        return Err(Failure { what, hints: vec!["leave out -o, or leave out --rules".to_owned()] });
    }
    let question = Question::new(&args.what, args.shared.namespace.only(), &args.source, verbose)?;
    let form = Form { kind: Kind::Show, rules: args.rules, format: args.output, shared: &args.shared, width };
    #[cfg(feature = "live")]
    if let Some(every) = args.watch.watch {
        if matches!(args.output, Format::Dot | Format::Mermaid) {
            let what = "a drawing is one answer, and --watch gives many".to_owned();
            return Err(Failure { what, hints: vec!["leave out --watch, or -o".to_owned()] });
        }
        return watch::run(question, every, args.output.into(), width, form);
    }
    answer::answer(&question, &form)
}
