//! Listing a node's rules with the commands of the list, wherever they are run.
//!
//! `iptables -S` lists the nf_tables rules or the legacy ones, depending on the variant. Where both variants are
//! installed both are read, since both kinds of rules can be active. A legacy program makes the kernel create the table
//! it is asked for (xtables autoloads `iptable_nat`), so it is run only for tables that /proc says exist: looking must
//! not change the node.

use super::command::{Allowed, Backend, IPTABLES, Invocation, Language, allowed};
use super::host::{Finished, Host, NotRun};
use super::{Bundle, Capture, SourceError, Tables, Wanted, everything, modes};
use crate::cores;
use crate::net::{Family, Moment};
use crate::shorten::shortened;

/// Lines that are told of what a program said, and characters of each.
const TOLD: usize = 5;
const LONGEST: usize = 300;

/// iptables' exit status when another program keeps the lock (RESOURCE_PROBLEM, include/xtables.h).
const LOCKED: i32 = 4;

/// Lists the rules of the node that `host` is on, in every mode there is.
pub fn listed(host: &dyn Host, wanted: Wanted) -> Result<Bundle, SourceError> {
    let said = host.proxy_mode();
    let mut bundle = Bundle {
        proxy_mode: said.clone(),
        origin: host.origin(),
        machine: host.machine(),
        read_at: Some(Moment::now()),
        ..Bundle::default()
    };
    if wanted.tables == Tables::Everything {
        return everything::read(host, wanted, &mut bundle).map(|()| bundle);
    }
    if said.as_deref() == Some("nftables") {
        modes::nftables(host, wanted, &mut bundle)?;
        if bundle.captures.is_empty() {
            let what = "kube-proxy runs in nftables mode here and has written no table yet";
            return Err(SourceError { what: what.to_owned(), hints: host.other_ways() });
        }
        return Ok(bundle);
    }
    let read = iptables(host, wanted, &mut bundle);
    if modes::need_ipvs(said.as_deref(), &bundle) {
        read?;
        modes::ipvs(host, &mut bundle)?;
        return Ok(bundle);
    }
    // Where rules of iptables lead to Services, or kube-proxy says so, no other mode is asked for.
    if said.is_none() && !modes::lead_to_services(&bundle) {
        let failed = modes::nftables(host, wanted, &mut bundle).err();
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
pub(super) fn iptables(host: &dyn Host, wanted: Wanted, bundle: &mut Bundle) -> Result<(), SourceError> {
    let mut refused: Option<SourceError> = None;
    for family in [Family::Ipv4, Family::Ipv6] {
        if wanted.family.is_some_and(|only| only != family) {
            continue;
        }
        let plan = plan(host, family, wanted.tables, bundle)?;
        // All at once; what holds the lock makes the others wait by itself.
        let results: Vec<Result<Listing, SourceError>> = cores::each(&plan, |run| list(host, run));
        let is_legacy = |run: &(&str, Invocation)| run.1.backend == Some(Backend::Legacy);
        let reads_legacy = plan.iter().zip(&results).any(|(run, result)| is_legacy(run) && result.is_ok());
        for (run, result) in plan.into_iter().zip(results) {
            match result {
                Ok(mut listing) => {
                    // What iptables-nft warns that it does not list was read too.
                    listing.warnings.retain(|said| !(reads_legacy && said.contains("tables-legacy tables present")));
                    bundle.add(run, listing);
                }
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
            Err(SourceError { what: what.to_owned(), hints: host.other_ways() })
        }
        None => Ok(()),
    }
}

impl Bundle {
    fn add(&mut self, (program, invocation): (&'static str, Invocation), listing: Listing) {
        let label = format!("{program} -t {} -S", invocation.table);
        self.commands.push(listing.typed);
        self.notes.extend(listing.warnings);
        self.captures.push(Capture { label, text: listing.text.into(), command: Some(invocation) });
    }
}

/// Which programs to run for which tables.
fn plan(
    host: &dyn Host,
    family: Family,
    tables: Tables,
    bundle: &mut Bundle,
) -> Result<Vec<(&'static str, Invocation)>, SourceError> {
    let [four, six] = IPTABLES;
    let [plain, nft, legacy] = if family == Family::Ipv4 { four } else { six };
    let mut programs = Vec::new();
    if host.has(nft) && host.has(legacy) {
        programs.push((nft, Some(Backend::NfTables)));
        programs.push((legacy, Some(Backend::Legacy)));
    } else if host.has(plain) {
        programs.push((plain, backend_of(host, plain, bundle)));
    } else if family == Family::Ipv4 {
        let what = format!("cannot list rules: there is no iptables in {}", host.path());
        return Err(SourceError { what, hints: host.without_iptables() });
    } else {
        bundle.notes.push(format!("no ip6tables in {}: IPv6 rules were not read", host.path()));
    }
    let has_legacy = programs.iter().any(|(_, backend)| *backend == Some(Backend::Legacy));
    let loaded = if has_legacy { host.legacy_tables(family) } else { None };
    let mut runs = Vec::new();
    for (program, backend) in programs {
        for &table in tables.names() {
            let exists = backend != Some(Backend::Legacy)
                || loaded.as_ref().is_none_or(|names| names.iter().any(|name| name == table));
            if exists {
                runs.push((program, Invocation { language: Language::Iptables, family, backend, table }));
            }
        }
    }
    Ok(runs)
}

/// What the only variant there is speaks to: `iptables v1.8.9 (nf_tables)`, `(legacy)`, nothing before 1.8.
fn backend_of(host: &dyn Host, program: &str, bundle: &mut Bundle) -> Option<Backend> {
    let command = allowed().find(|c| c.program == program && c.args == ["--version"])?;
    bundle.commands.push(command.typed());
    let finished = host.run(command).ok()?;
    Some(if finished.stdout.contains("nf_tables") { Backend::NfTables } else { Backend::Legacy })
}

/// What a listing printed.
pub(super) struct Listing {
    pub(super) text: String,
    pub(super) warnings: Vec<String>,
    pub(super) typed: String,
}

fn list(host: &dyn Host, (program, invocation): &(&'static str, Invocation)) -> Result<Listing, SourceError> {
    let of = |waits: bool| {
        allowed()
            .find(|c| c.program == *program && c.args.contains(&invocation.table) && c.args.contains(&"-w") == waits)
    };
    let missing = || SourceError::new(format!("cannot list rules: {program} is not on the list of commands"), None);
    let command = of(true).ok_or_else(missing)?;
    match run(host, command) {
        // Before 1.4.20 there is no lock to wait for and no -w.
        Err(error) if error.what.contains("nknown option \"-w\"") || error.what.contains("invalid option -- 'w'") => {
            run(host, of(false).ok_or_else(missing)?)
        }
        result => result,
    }
}

/// Runs a command that lists.
fn run(host: &dyn Host, command: Allowed) -> Result<Listing, SourceError> {
    taken(host, command, host.run(command).map_err(|why| not_run(host, command, why))?)
}

/// What a command that lists printed, if it says that it printed everything.
pub(super) fn taken(host: &dyn Host, command: Allowed, finished: Finished) -> Result<Listing, SourceError> {
    let typed = command.typed();
    let said: Vec<&str> = finished.stderr.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if finished.code == Some(0) {
        if let Some(line) = stray(command, &finished.stdout) {
            let what = format!(
                "cannot list rules{}: {typed} printed no listing: \"{}\"",
                host.place(),
                shortened(line, LONGEST)
            );
            return Err(SourceError { what, hints: host.other_ways() });
        }
        let told = said
            .iter()
            .take(TOLD)
            .map(|line| format!("{typed}: {}", shortened(line.trim_start_matches("# "), LONGEST)));
        let rest = said.len().saturating_sub(TOLD);
        let rest = (rest > 0).then(|| format!("{typed} said {rest} more lines like these"));
        let warnings = told.chain(rest).collect();
        return Ok(Listing { text: finished.stdout, warnings, typed });
    }
    Err(failure(host, &typed, &said, &finished))
}

/// The first line of what a program printed, if no line of it is one of a listing.
fn stray(command: Allowed, printed: &str) -> Option<&str> {
    let lines = || printed.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let first = lines().next()?;
    let begins: &[&str] = match command.program {
        "nft" => &["{"],
        "ipset" => &["create "],
        _ => &["-P ", "-N ", "-A "],
    };
    (!lines().any(|line| begins.iter().any(|begin| line.starts_with(begin)))).then_some(first)
}

fn not_run(host: &dyn Host, command: Allowed, why: NotRun) -> SourceError {
    let what = match why {
        NotRun::Absent => format!("cannot list rules: there is no {} in {}", command.program, host.path()),
        NotRun::Because(error) => return error,
    };
    SourceError { what, hints: host.other_ways() }
}

/// What a failed listing means, in one line, and what to do.
fn failure(host: &dyn Host, typed: &str, said: &[&str], finished: &Finished) -> SourceError {
    let words = said.join("; ");
    let (lower, words) = (words.to_lowercase(), shortened(&words, LONGEST));
    let telling = |l: &&&str| l.contains("ermission denied") || l.contains("Another app");
    let quoted = shortened(said.iter().find(telling).or(said.first()).copied().unwrap_or_default(), LONGEST);
    let place = host.place();
    if lower.contains("permission denied") || lower.contains("you must be root") {
        let what = format!("cannot list rules{place}: {typed} said \"{quoted}\"");
        return SourceError { what, hints: host.without_rights() };
    }
    if finished.code == Some(LOCKED) || lower.contains("xtables lock") {
        let what = format!(
            "cannot list rules{place}: another program holds the xtables lock ({typed} waited 5 s: \"{quoted}\")"
        );
        let mut hints = vec!["sudo lsof /run/xtables.lock    (on the node: names the program), then again".to_owned()];
        hints.extend(host.other_ways());
        return SourceError { what, hints };
    }
    let how = match finished.code {
        Some(code) => format!("exit status {code}"),
        None => "killed by a signal".to_owned(),
    };
    let words = if words.is_empty() { String::new() } else { format!(": \"{words}\"") };
    SourceError { what: format!("cannot list rules{place}: {typed} failed ({how}){words}"), hints: host.other_ways() }
}
