//! `kube-ipt completions`: scripts that teach a shell to complete command lines.

use clap::ValueEnum;

use super::{Answer, Outcome};

/// Print a script that completes command lines in a shell, with the names of Services and Nodes.
///
/// bash: `source <(kube-ipt completions bash)` in ~/.bashrc. zsh: `source <(kube-ipt completions zsh)` in ~/.zshrc, after
/// compinit, or as the file _kube-ipt in a folder of $fpath. fish: `kube-ipt completions fish | source` in
/// ~/.config/fish/config.fish. For `kubectl ipt`, save that of kubectl as kubectl_complete-ipt in a folder of $PATH and make it
/// executable (kubectl 1.26 and later).
///
/// Names come from the dump or objects on the line, else from the API server, within a second or not at all. A credential
/// plugin is run only if the kubeconfig says that it never asks (interactiveMode: Never).
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
