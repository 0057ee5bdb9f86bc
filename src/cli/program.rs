//! What the program is called where it tells people what to type: `kube-ipt`, or `kubectl ipt` as a plugin of kubectl.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::path::Path;

use clap::CommandFactory as _;

use super::Cli;

/// Its own name.
pub(super) const NAME: &str = "kube-ipt";

/// As people call the plugin.
const PLUGIN: &str = "kubectl ipt";

/// How the program was started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Called {
    /// By its own name, or one that somebody gave it.
    Itself,
    /// As `kubectl-ipt`, which kubectl runs for `kubectl ipt`.
    Plugin,
    /// As `kubectl_complete-ipt`, which kubectl (1.26 and later) runs to complete a command line of the plugin.
    Completion,
}

impl Called {
    /// Told by the file name of the program.
    pub(super) fn now() -> Self {
        Self::of(std::env::args_os().next().as_deref())
    }

    fn of(program: Option<&OsStr>) -> Self {
        let stem = program.map(Path::new).and_then(|path| {
            let name = path.file_name()?.to_str()?;
            Some(name.strip_suffix(".exe").unwrap_or(name))
        });
        match stem {
            Some("kubectl-ipt") => Self::Plugin,
            Some("kubectl_complete-ipt") => Self::Completion,
            _ => Self::Itself,
        }
    }

    /// The command line.
    pub(super) fn command(self) -> clap::Command {
        // Not what it was started as, which may be anything and would be printed as it is.
        Cli::command().bin_name(if self == Self::Plugin { PLUGIN } else { NAME })
    }

    /// `text` for people, its commands as they are to be typed.
    pub(super) fn told(self, text: &str) -> Cow<'_, str> {
        if self != Self::Plugin || !text.contains(NAME) {
            return Cow::Borrowed(text);
        }
        let command = Cli::command();
        let is_command = |rest: &str| {
            let word = rest.strip_prefix(' ').map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric()).next());
            word.flatten().is_some_and(|word| command.find_subcommand(word).is_some())
        };
        let mut parts = text.split(NAME);
        let mut told = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            told.push_str(if is_command(part) { PLUGIN } else { NAME });
            told.push_str(part);
        }
        Cow::Owned(told)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_name_tells_who_calls() {
        for (program, called) in [
            ("/root/.krew/bin/kubectl-ipt", Called::Plugin),
            ("kubectl-ipt.exe", Called::Plugin),
            ("/opt/kubectl_complete-ipt", Called::Completion),
            ("/usr/bin/kube-ipt", Called::Itself),
            ("kubectl-ipt-old", Called::Itself),
        ] {
            assert_eq!(Called::of(Some(program.as_ref())), called, "{program}");
        }
    }

    #[test]
    fn commands_are_told_as_kubectl_has_them() {
        let text = "try kube-ipt show nginx, sudo kube-ipt list; schema kube-ipt/v1 of kube-ipt, kube-ipt shows";
        let plugin =
            "try kubectl ipt show nginx, sudo kubectl ipt list; schema kube-ipt/v1 of kube-ipt, kube-ipt shows";
        assert_eq!(Called::Plugin.told(text), plugin);
        assert_eq!(Called::Itself.told(text), text);
    }
}
