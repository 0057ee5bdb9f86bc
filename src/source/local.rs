//! The rules of the node this program runs on.
//!
//! `iptables -S` lists the nf_tables rules or the legacy ones, depending on the variant. Where both variants are
//! installed both are read, since both kinds of rules can be active. A legacy program makes the kernel create the table
//! it is asked for (xtables autoloads `iptable_nat`), so it is run only for tables that /proc says exist: looking must
//! not change the node.

use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::command::{Allowed, Backend, Invocation, Language, allowed};
use super::{Bundle, Capture, Machine, Origin, SourceError, Tables, Wanted, modes};
use crate::net::{Family, Moment};

/// A node with 400,000 rules needs five seconds; this is for a program that hangs.
const PATIENCE: Duration = Duration::from_mins(2);

/// iptables' exit status when another program keeps the lock (RESOURCE_PROBLEM, include/xtables.h).
const LOCKED: i32 = 4;

const OTHER_WAYS: &str = "ssh NODE sudo iptables-save | kube-ipt show    (a dump from elsewhere)";

/// Lists the nat and filter tables of the node.
pub fn local(wanted: Wanted) -> Result<Bundle, SourceError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| SourceError::new(format!("cannot start commands: {e}"), None))?;
    runtime.block_on(read(wanted))
}

async fn read(wanted: Wanted) -> Result<Bundle, SourceError> {
    let said = modes::said();
    let mut bundle = Bundle {
        proxy_mode: said.clone(),
        origin: Origin::Here,
        machine: Some(Machine::this()),
        read_at: Some(Moment::now()),
        ..Bundle::default()
    };
    if said.as_deref() == Some("nftables") {
        modes::nftables(wanted, &mut bundle).await?;
        if bundle.captures.is_empty() {
            let what = "kube-proxy runs in nftables mode here and has written no table yet";
            return Err(SourceError::new(what, [OTHER_WAYS]));
        }
        return Ok(bundle);
    }
    let read = iptables(wanted, &mut bundle).await;
    if modes::need_ipvs(said.as_deref(), &bundle) {
        read?;
        modes::ipvs(&mut bundle).await?;
        return Ok(bundle);
    }
    // Where rules of iptables lead to Services, or kube-proxy says so, no other mode is asked for.
    if said.is_none() && !modes::lead_to_services(&bundle) {
        let failed = modes::nftables(wanted, &mut bundle).await.err();
        if bundle.captures.iter().any(|capture| capture.command.as_ref().is_some_and(|c| c.language == Language::Nft)) {
            return Ok(bundle);
        }
        if read.is_ok() {
            bundle.notes.extend(failed.map(|error| error.what));
        }
    }
    read.map(|()| bundle)
}

/// Lists tables of iptables.
async fn iptables(wanted: Wanted, bundle: &mut Bundle) -> Result<(), SourceError> {
    let mut refused: Option<SourceError> = None;
    for family in [Family::Ipv4, Family::Ipv6] {
        if wanted.family.is_some_and(|only| only != family) {
            continue;
        }
        let plan = plan(family, wanted.tables, bundle).await?;
        // All at once; what holds the lock makes the others wait by itself.
        let runs: Vec<_> = plan.into_iter().map(|run| tokio::spawn(async move { (list(&run).await, run) })).collect();
        for run in runs {
            let (result, run) = run.await.map_err(|e| SourceError::new(format!("cannot list rules: {e}"), None))?;
            match result {
                Ok(listing) => bundle.add(run, listing),
                // A node without IPv6 is no fault; the IPv4 rules were read.
                Err(error) if family == Family::Ipv6 && wanted.family.is_none() => bundle.notes.push(error.what),
                // Kernels are built without these.
                Err(error) if matches!(run.1.table, "raw" | "mangle") => bundle.notes.push(error.what),
                Err(error) => _ = refused.get_or_insert(error),
            }
        }
    }
    match refused {
        Some(error) => Err(error),
        None if bundle.captures.is_empty() => {
            let what =
                "cannot list rules: this kernel has no nat or filter table loaded, so no iptables rules exist here";
            Err(SourceError::new(what, [OTHER_WAYS]))
        }
        None => Ok(()),
    }
}

impl Bundle {
    fn add(&mut self, (program, invocation): (String, Invocation), listing: Listing) {
        let label = format!("{program} -t {} -S", invocation.table);
        self.commands.push(listing.typed);
        self.notes.extend(listing.warnings);
        self.captures.push(Capture { label, text: listing.text, command: Some(invocation) });
    }
}

/// Which programs to run for which tables.
async fn plan(family: Family, tables: Tables, bundle: &mut Bundle) -> Result<Vec<(String, Invocation)>, SourceError> {
    let plain = if family == Family::Ipv4 { "iptables" } else { "ip6tables" };
    let (nft, legacy) = (format!("{plain}-nft"), format!("{plain}-legacy"));
    let mut programs = Vec::new();
    if in_path(&nft).is_some() && in_path(&legacy).is_some() {
        programs.push((nft, Some(Backend::NfTables)));
        programs.push((legacy, Some(Backend::Legacy)));
    } else if in_path(plain).is_some() {
        let backend = backend_of(plain, bundle).await;
        programs.push((plain.to_owned(), backend));
    } else if family == Family::Ipv4 {
        let what = "cannot list rules: there is no iptables in PATH";
        return Err(SourceError::new(what, ["install iptables, or run kube-ipt where kube-proxy runs", OTHER_WAYS]));
    } else {
        bundle.notes.push("no ip6tables in PATH: IPv6 rules were not read".to_owned());
    }
    let loaded = legacy_tables(family);
    let mut runs = Vec::new();
    for (program, backend) in programs {
        for &table in tables.names() {
            let exists = backend != Some(Backend::Legacy)
                || loaded.as_ref().is_none_or(|names| names.iter().any(|name| name == table));
            if exists {
                runs.push((program.clone(), Invocation { language: Language::Iptables, family, backend, table }));
            }
        }
    }
    Ok(runs)
}

/// Names of the legacy tables the kernel has now; `None` where only root may know and we are not.
fn legacy_tables(family: Family) -> Option<Vec<String>> {
    let path = if family == Family::Ipv4 { "/proc/net/ip_tables_names" } else { "/proc/net/ip6_tables_names" };
    match std::fs::read_to_string(path) {
        Ok(names) => Some(names.lines().map(str::to_owned).collect()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(Vec::new()),
        Err(_) => None,
    }
}

/// What the only variant there is speaks to: `iptables v1.8.9 (nf_tables)`, `(legacy)`, nothing before 1.8.
async fn backend_of(program: &str, bundle: &mut Bundle) -> Option<Backend> {
    let command = allowed().find(|c| c.program == program && c.args == ["--version"])?;
    bundle.commands.push(command.typed());
    let output = output(command).await.ok()?;
    let version = String::from_utf8_lossy(&output.stdout);
    Some(if version.contains("nf_tables") { Backend::NfTables } else { Backend::Legacy })
}

/// What a listing printed.
pub(super) struct Listing {
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
    pub(super) typed: String,
}

async fn list((program, invocation): &(String, Invocation)) -> Result<Listing, SourceError> {
    let of = |waits: bool| {
        allowed()
            .find(|c| c.program == program && c.args.contains(&invocation.table) && c.args.contains(&"-w") == waits)
    };
    let missing = || SourceError::new(format!("cannot list rules: {program} is not on the list of commands"), None);
    let command = of(true).ok_or_else(missing)?;
    match run(command).await {
        // Before 1.4.20 there is no lock to wait for and no -w.
        Err(error) if error.what.contains("nknown option \"-w\"") || error.what.contains("invalid option -- 'w'") => {
            run(of(false).ok_or_else(missing)?).await
        }
        result => result,
    }
}

pub(super) async fn run(command: Allowed) -> Result<Listing, SourceError> {
    let typed = command.typed();
    let output = output(command).await?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let said: Vec<&str> = stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if output.status.success() {
        let warnings = said.iter().map(|line| format!("{typed}: {}", line.trim_start_matches("# "))).collect();
        return Ok(Listing { text: String::from_utf8_lossy(&output.stdout).into_owned(), warnings, typed });
    }
    Err(failure(&typed, &said, output.status))
}

/// What a failed listing means, in one line, and what to do.
fn failure(typed: &str, said: &[&str], status: std::process::ExitStatus) -> SourceError {
    let words = said.join("; ");
    let lower = words.to_lowercase();
    let telling = |l: &&&str| l.contains("ermission denied") || l.contains("Another app");
    let quoted = said.iter().find(telling).or(said.first()).copied().unwrap_or_default();
    if lower.contains("permission denied") || lower.contains("you must be root") {
        let what = format!("cannot list rules: {typed} said \"{quoted}\"");
        return SourceError::new(what, ["sudo kube-ipt show", OTHER_WAYS]);
    }
    if status.code() == Some(LOCKED) || lower.contains("xtables lock") {
        let what =
            format!("cannot list rules: another program holds the xtables lock ({typed} waited 5 s: \"{quoted}\")");
        return SourceError::new(what, ["sudo lsof /run/xtables.lock    (names the program), then again", OTHER_WAYS]);
    }
    let how = match status.code() {
        Some(code) => format!("exit status {code}"),
        None => "killed by a signal".to_owned(),
    };
    let words = if words.is_empty() { String::new() } else { format!(": \"{words}\"") };
    SourceError::new(format!("cannot list rules: {typed} failed ({how}){words}"), [OTHER_WAYS])
}

async fn output(command: Allowed) -> Result<Output, SourceError> {
    let typed = command.typed();
    let path = in_path(command.program).unwrap_or_else(|| PathBuf::from(command.program));
    let child = Command::new(path)
        .args(command.args)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn();
    let failed =
        |e: std::io::Error| SourceError::new(format!("cannot list rules: {typed} could not be run: {e}"), [OTHER_WAYS]);
    match timeout(PATIENCE, child.map_err(failed)?.wait_with_output()).await {
        Ok(output) => output.map_err(failed),
        Err(_) => {
            let what = format!("cannot list rules: {typed} gave no answer in {} s", PATIENCE.as_secs());
            Err(SourceError::new(what, [OTHER_WAYS]))
        }
    }
}

/// Where a program is: in PATH, else in the directories of system programs, which PATH often lacks for people.
pub(super) fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let system = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(system).map(|dir| dir.join(program)).find(|file| file.is_file())
}
