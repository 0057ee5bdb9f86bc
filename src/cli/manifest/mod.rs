//! `kube-ipt manifest`: what to apply to a cluster.

mod daemonset;
mod rbac;

use super::{Answer, Outcome};
use crate::render::json;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    Rbac(rbac::Args),
    Daemonset(daemonset::Args),
}

pub(super) fn run(args: &Args) -> Outcome {
    let text = match &args.what {
        What::Rbac(args) => rbac::manifest(args),
        What::Daemonset(args) => daemonset::manifest(args),
    };
    Outcome { answer: Answer::Data(text), ..Outcome::default() }
}

/// A string of YAML, in the form JSON and YAML share.
fn quoted(text: &str) -> String {
    let mut out = Vec::new();
    // Memory takes whatever is written to it.
    let _ = json(&text, &mut out);
    String::from_utf8_lossy(&out).trim_end().to_owned()
}
