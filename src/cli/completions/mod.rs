//! `kube-ipt completions`: scripts that teach a shell to complete command lines.

use clap::ValueEnum;

use super::{Answer, Outcome};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The shell.
    #[arg(value_enum, value_name = "SHELL")]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
    /// The program kubectl looks for to complete `kubectl ipt`.
    Kubectl,
}

pub(super) fn run(args: &Args) -> Outcome {
    let script = match args.shell {
        Shell::Bash => include_str!("kube-ipt.bash"),
        Shell::Zsh => include_str!("_kube-ipt"),
        Shell::Fish => include_str!("kube-ipt.fish"),
        Shell::Kubectl => include_str!("kubectl_complete-ipt"),
    };
    Outcome { answer: Answer::Data(script.to_owned()), ..Outcome::default() }
}
