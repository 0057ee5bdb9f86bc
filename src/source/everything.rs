//! Listing what a node has of every mode, whichever decides, for whoever looks at it later.

use super::command::allowed;
use super::host::Host;
use super::{Bundle, Origin, SourceError, Wanted, listing, modes};

/// Adds to `bundle`, which is empty, what there is of every mode. It is an error only if there is nothing at all, or not what
/// kube-proxy says decides.
pub(super) fn read(host: &dyn Host, wanted: Wanted, bundle: &mut Bundle) -> Result<(), SourceError> {
    let said = bundle.proxy_mode.clone();
    let decides = |mode: &str| said.as_deref() == Some(mode);
    let iptables = listing::iptables(host, wanted, bundle);
    if modes::need_ipvs(said.as_deref(), bundle) {
        modes::ipvs(host, bundle)?;
    } else if host.has_ipvs() {
        let mut beside = Bundle::default();
        // What is not needed is not missed.
        if modes::ipvs(host, &mut beside).is_ok() {
            bundle.captures.append(&mut beside.captures);
            bundle.commands.append(&mut beside.commands);
        }
    }
    let nftables = modes::nftables(host, wanted, bundle);
    let refused = match (iptables, nftables) {
        (Err(error), _) if !decides("nftables") => Some(error),
        (_, Err(error)) if decides("nftables") => Some(error),
        (iptables, nftables) => {
            bundle.notes.extend(iptables.err().map(|error| error.what));
            // Where it does not decide, nft may well be missing.
            bundle.notes.extend(nftables.err().filter(|_| said.is_none()).map(|error| error.what));
            None
        }
    };
    match refused {
        Some(error) if bundle.captures.is_empty() || said.is_some() => return Err(error),
        Some(error) => bundle.notes.push(error.what),
        None => {}
    }
    versions(host, bundle);
    Ok(())
}

/// Asks the programs that were run for their versions.
fn versions(host: &dyn Host, bundle: &mut Bundle) {
    let ran = |program: &str| bundle.commands.iter().any(|typed| typed.split(' ').next() == Some(program));
    let asked: Vec<_> = allowed().filter(|c| c.args == ["--version"] && ran(c.program)).collect();
    for command in asked {
        let Ok(finished) = host.run(command) else { continue };
        if let (Some(0), Some(first)) = (finished.code, finished.stdout.lines().next()) {
            bundle.versions.insert(command.program.to_owned(), first.trim().to_owned());
        }
    }
    if bundle.origin == Origin::Here {
        let read = |path: &str| std::fs::read_to_string(path).ok();
        let kernel = read("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned());
        bundle.versions.extend(kernel.map(|kernel| ("kernel".to_owned(), kernel)));
        let system = read("/etc/os-release").and_then(|text| {
            let name = text.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
            Some(name.trim_matches('"').to_owned())
        });
        bundle.versions.extend(system.map(|system| ("system".to_owned(), system)));
    }
}
