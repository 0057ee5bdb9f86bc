//! The machine this program runs on, as a place where commands are run.

use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::command::Allowed;
use super::host::{Finished, Host, NotRun};
use super::{Machine, Origin, SourceError, modes};
use crate::net::Family;
use crate::runtime::{MOST_PRINTED, MOST_SAID, runtime, whole};

/// A node with 400,000 rules needs five seconds; this is for a program that hangs.
const PATIENCE: Duration = Duration::from_mins(2);

const OTHER_WAYS: &str = "ssh NODE sudo iptables-save | kube-ipt show    (a dump from elsewhere)";

const FROM_AFAR: &str = "kube-ipt show --node NODE    (through the API server)";

/// This machine.
#[derive(Debug, Clone, Copy)]
pub struct Here;

impl Host for Here {
    fn run(&self, command: Allowed) -> Result<Finished, NotRun> {
        let path = in_path(command.program).ok_or(NotRun::Absent)?;
        let runtime = runtime().map_err(|e| SourceError::new(format!("cannot start commands: {e}"), None))?;
        let output = runtime.block_on(output(command, path))?;
        Ok(Finished { stdout: text(output.stdout), stderr: text(output.stderr), code: output.status.code() })
    }

    fn has(&self, program: &str) -> bool {
        in_path(program).is_some()
    }

    fn legacy_tables(&self, family: Family) -> Option<Vec<String>> {
        let path = if family == Family::Ipv4 { "/proc/net/ip_tables_names" } else { "/proc/net/ip6_tables_names" };
        match std::fs::read_to_string(path) {
            Ok(names) => Some(names.lines().map(str::to_owned).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Vec::new()),
            // Only root may know, and we are not: asking creates nothing then.
            Err(_) => None,
        }
    }

    fn has_ipvs(&self) -> bool {
        std::path::Path::new("/proc/net/ip_vs").exists()
    }

    fn proxy_mode(&self) -> Option<String> {
        modes::said()
    }

    fn origin(&self) -> Origin {
        Origin::Here
    }

    fn machine(&self) -> Option<Machine> {
        Some(Machine::this())
    }

    fn path(&self) -> String {
        "PATH".to_owned()
    }

    fn place(&self) -> String {
        String::new()
    }

    fn other_ways(&self) -> Vec<String> {
        vec![OTHER_WAYS.to_owned()]
    }

    fn without_iptables(&self) -> Vec<String> {
        ["install iptables, or run kube-ipt where kube-proxy runs", FROM_AFAR, OTHER_WAYS].map(str::to_owned).to_vec()
    }

    fn without_rights(&self) -> Vec<String> {
        ["sudo kube-ipt show", FROM_AFAR, OTHER_WAYS].map(str::to_owned).to_vec()
    }
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// Runs a command to its end. One that prints without end is ended.
async fn output(command: Allowed, path: PathBuf) -> Result<Output, SourceError> {
    let typed = command.typed();
    let failed = |error: std::io::Error| {
        let what = match error.kind() {
            ErrorKind::FileTooLarge => format!("cannot list rules: {typed}: {error}"),
            _ => format!("cannot list rules: {typed} could not be run: {error}"),
        };
        SourceError::new(what, [OTHER_WAYS])
    };
    let mut child = Command::new(path)
        .args(command.args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let all = async { tokio::try_join!(whole(stdout, MOST_PRINTED), whole(stderr, MOST_SAID), child.wait()) };
    match timeout(PATIENCE, all).await {
        Ok(ended) => ended.map(|(stdout, stderr, status)| Output { status, stdout, stderr }).map_err(failed),
        Err(_) => {
            let what = format!("cannot list rules: {typed} gave no answer in {} s", PATIENCE.as_secs());
            Err(SourceError::new(what, [OTHER_WAYS]))
        }
    }
}

/// Where a program is: in PATH, else in the directories of system programs, which PATH often lacks for people.
fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}
