//! `kube-ipt man`: manual pages, made from the command line itself.

use std::path::{Path, PathBuf};

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use super::{Answer, Cli, Failure, Outcome, out};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The command whose page it is (show, manifest rbac); the program's own without it.
    #[arg(value_name = "COMMAND", conflicts_with = "dir")]
    command: Vec<String>,
    /// Write the pages of all commands into this folder, as man looks for them.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Outcome, Failure> {
    let mut root = without_help(Cli::command());
    root.build();
    if let Some(dir) = &args.dir {
        write_all(&root, dir)?;
        return Ok(Outcome::default());
    }
    let mut command = &root;
    for name in &args.command {
        command = command.find_subcommand(name).ok_or_else(|| Failure {
            what: format!("'{}' is no command", args.command.join(" ")),
            hints: vec!["kube-ipt man    (names them all)".to_owned()],
        })?;
    }
    Ok(Outcome { answer: Answer::Data(page(command)), ..Outcome::default() })
}

/// clap adds `help` to every command that has others; a page says it better.
fn without_help(command: Command) -> Command {
    command.disable_help_subcommand(true).mut_subcommands(without_help)
}

fn write_all(command: &Command, dir: &Path) -> Result<(), Failure> {
    let path = dir.join(Man::new(command.clone()).get_filename());
    out::write(&path, |file| file.write_all(page(command).as_bytes()))?;
    command.get_subcommands().try_for_each(|inner| write_all(inner, dir))
}

fn page(command: &Command) -> String {
    let mut text = Vec::new();
    // Writing to memory does not fail.
    let _ = Man::new(command.clone()).render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}
