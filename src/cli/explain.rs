//! `kube-ipt explain`: what a finding means.

use super::{Answer, Failure, Outcome};
use crate::checks;
use crate::render;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to explain.
    #[arg(value_name = "CODE")]
    code: Vec<String>,
}

pub(super) fn run(args: &Args, width: Option<usize>) -> Result<Outcome, Failure> {
    let found = args.code.iter().map(|code| checks::find(code)).collect::<Result<Vec<_>, _>>();
    let found = found.map_err(|what| Failure { what, hints: vec!["kube-ipt explain".to_owned()] })?;
    let text = if found.is_empty() { render::codes(&checks::CHECKS, width) } else { render::pages(&found, width) };
    Ok(Outcome { answer: Answer::Text(text), ..Outcome::default() })
}
