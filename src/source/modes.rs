//! What the running node has of kube-proxy's other modes.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::command::{Invocation, Language, TABLE, allowed, lists_table};
use super::host::{Host, NotRun};
use super::listing::taken;
use super::{Bundle, Capture, SourceError, Wanted, proxy_mode};
use crate::net::Family;

/// Where kube-proxy answers what its mode is (`--metrics-bind-address`).
const METRICS: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 10249);

/// The host itself answers at once, or nobody does.
const PATIENCE: Duration = Duration::from_millis(500);

/// The longest answer that is read.
const LONGEST: u64 = 4096;

/// The mode kube-proxy says it runs in: `iptables`, `ipvs` or `nftables`; `None` where nobody answers.
pub(super) fn said() -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(METRICS), PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    stream.write_all(b"GET /proxyMode HTTP/1.0\r\nHost: localhost\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.take(LONGEST).read_to_string(&mut answer).ok()?;
    proxy_mode(&answer).map(str::to_owned)
}

/// True if rules of iptables lead to Services.
pub(super) fn lead_to_services(bundle: &Bundle) -> bool {
    bundle.captures.iter().any(|capture| capture.text.contains("-j KUBE-SVC-") || capture.text.contains("-j KUBE-SEP-"))
}

/// True if virtual servers decide: kube-proxy says so, or KUBE-SERVICES asks its ipsets.
pub(super) fn need_ipvs(said: Option<&str>, bundle: &Bundle) -> bool {
    let asks_sets = |capture: &Capture| {
        capture.text.lines().any(|line| line.starts_with("-A KUBE-SERVICES") && line.contains("--match-set KUBE-"))
    };
    said.map_or_else(|| bundle.captures.iter().any(asks_sets), |said| said == "ipvs")
}

/// Lists kube-proxy's tables of nftables. One that is not there is no error.
pub(super) fn nftables(host: &dyn Host, wanted: Wanted, bundle: &mut Bundle) -> Result<(), SourceError> {
    for family in [Family::Ipv4, Family::Ipv6] {
        if wanted.family.is_some_and(|only| only != family) {
            continue;
        }
        let Some(command) = lists_table(family) else { continue };
        match host.run(command) {
            Err(NotRun::Absent) if bundle.proxy_mode.is_some() => {
                let path = host.path();
                let what =
                    format!("cannot list rules: kube-proxy runs in nftables mode, and there is no nft in {path}");
                let hints = vec!["nft list ruleset | kube-ipt show    (from where nft is)".to_owned()];
                return Err(SourceError { what, hints });
            }
            // Without anything that speaks of it, nobody misses it.
            Err(NotRun::Absent) => return Ok(()),
            Err(NotRun::Because(error)) => return Err(error),
            Ok(finished) if finished.code != Some(0) && finished.stderr.contains("No such file or directory") => {
                // That it was asked tells that the table is not there.
                bundle.commands.push(command.typed());
            }
            Ok(finished) => {
                let listing = taken(host, command, finished)?;
                bundle.notes.extend(listing.warnings);
                let label = listing.typed.clone();
                bundle.commands.push(listing.typed);
                let command = Invocation { language: Language::Nft, family, backend: None, table: TABLE };
                bundle.captures.push(Capture { label, text: listing.text.into(), command: Some(command) });
            }
        }
    }
    Ok(())
}

/// Lists virtual servers and ipsets.
pub(super) fn ipvs(host: &dyn Host, bundle: &mut Bundle) -> Result<(), SourceError> {
    if !host.has_ipvs() {
        bundle.notes.push("the kernel has no IPVS loaded: there are no virtual servers to list".to_owned());
        return Ok(());
    }
    for (program, language) in [("ipvsadm", Language::Ipvsadm), ("ipset", Language::Ipset)] {
        let Some(command) = allowed().find(|c| c.program == program && c.args != ["--version"]) else { continue };
        let listing = match host.run(command) {
            Err(NotRun::Absent) => {
                let place = host.path();
                let mut note = format!("kube-proxy runs in IPVS mode, and there is no {program} in {place}");
                if !bundle.is_here() {
                    note.push_str("; --via names another Pod of the node that has it");
                }
                bundle.notes.push(note);
                continue;
            }
            Err(NotRun::Because(error)) => return Err(error),
            Ok(finished) => taken(host, command, finished)?,
        };
        bundle.notes.extend(listing.warnings);
        let command = Invocation { language, family: Family::Ipv4, backend: None, table: "" };
        bundle.captures.push(Capture {
            label: listing.typed.clone(),
            text: listing.text.into(),
            command: Some(command),
        });
        bundle.commands.push(listing.typed);
    }
    Ok(())
}
