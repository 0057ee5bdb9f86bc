//! What is wrong on a node, and only that.
//!
//! A finding is a pair of files: `NAME.rs` looks for it, `NAME.md` explains it and is what `kube-ipt explain` prints. Checks
//! are pure functions of [`Input`]: the service ports with what the cluster says of them, and the rules as a whole. None
//! knows what language the rules are written in. A check that lacks an input says so ([`Skipped`]) and never passes for
//! made.

mod cause;
mod evidence;
mod finding;
mod input;
mod pick;
mod rivals;

mod dangling_jump;
mod duplicate_rule;
mod empty_chain;
mod empty_virtual_server;
mod leaky_chain;
mod leftover_mode;
mod masquerade_mismatch;
mod missing_address;
mod missing_endpoint;
mod missing_frontend;
mod missing_hook;
mod missing_service;
mod mixed_backends;
mod name_mismatch;
mod orphan_chain;
mod partial_dump;
mod policy_mismatch;
mod shadowed_frontend;
mod skewed_balance;
mod stale_endpoint;
mod stale_frontend;
mod stale_reject;
mod stale_service;
mod stuck_draining;
mod topology_ignored;
mod unreadable_target;

pub use cause::OUTDATED;
pub use evidence::Places;
pub use finding::{Finding, ObjectRef, Severity};
pub use input::{Found, Input, Skipped};
pub use pick::{Pick, find};

use hashbrown::HashSet;

use crate::cores;
use crate::dataplane::{Origin, Wiring, count};
use crate::order::Order as _;

/// A check. Its `id` and `slug` never change their meaning and are never used again.
#[derive(Debug)]
pub struct Check {
    /// `KI101`
    pub id: &'static str,
    /// `stale-endpoint`
    pub slug: &'static str,
    /// How much such a finding matters at most.
    pub severity: Severity,
    /// It is about what rules do with packets: of rules no packet gets to, it is worth an info only.
    pub of_traffic: bool,
    /// It compares with the cluster, and is not made without objects.
    pub compares: bool,
    /// What it means, in Markdown.
    pub page: &'static str,
    /// Looks for it.
    run: fn(&Input<'_, '_>, &mut Found),
}

impl PartialEq for Check {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Check {}

impl Check {
    /// What such a finding says, in one sentence: the first paragraph of its page.
    pub fn summary(&self) -> &'static str {
        self.page.lines().skip(1).find(|line| !line.trim().is_empty()).unwrap_or_default()
    }
}

/// All checks, in the order of their codes.
pub static CHECKS: [&Check; 26] = [
    &stale_endpoint::CHECK,
    &missing_endpoint::CHECK,
    &stale_service::CHECK,
    &missing_service::CHECK,
    &stale_frontend::CHECK,
    &missing_frontend::CHECK,
    &policy_mismatch::CHECK,
    &topology_ignored::CHECK,
    &leaky_chain::CHECK,
    &skewed_balance::CHECK,
    &empty_chain::CHECK,
    &duplicate_rule::CHECK,
    &missing_hook::CHECK,
    &shadowed_frontend::CHECK,
    &dangling_jump::CHECK,
    &masquerade_mismatch::CHECK,
    &orphan_chain::CHECK,
    &name_mismatch::CHECK,
    &mixed_backends::CHECK,
    &leftover_mode::CHECK,
    &stale_reject::CHECK,
    &missing_address::CHECK,
    &empty_virtual_server::CHECK,
    &stuck_draining::CHECK,
    &partial_dump::CHECK,
    &unreadable_target::CHECK,
];

/// What checking a node has shown.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checked {
    /// What is wrong, by code and place.
    pub findings: Vec<Finding>,
    /// What was not checked.
    pub skipped: Vec<Skipped>,
    /// What probably happened, in one sentence.
    pub cause: Option<String>,
}

impl Checked {
    /// Findings of this severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Makes the checks that `pick` wants. Of what they find, only what an `earlier` look found too is kept, if there was one.
pub fn check(input: &Input<'_, '_>, pick: &Pick, earlier: Option<&Checked>) -> Checked {
    let Found { mut findings, skipped, .. } = found(input, pick);
    soften(input, &mut findings);
    findings.iter_mut().for_each(Finding::tell_once);
    if let Some(earlier) = earlier {
        let before: HashSet<_> = earlier.findings.iter().map(Finding::essence).collect();
        findings.retain(|finding| before.contains(&finding.essence()));
    }
    findings.order_by_cached_key(|f| {
        let place = (f.service.is_some(), f.service.clone(), f.protocol, f.family);
        (f.check.id, place, f.chain.clone(), f.frontend.clone(), f.address.clone(), f.rules.first().copied())
    });
    let cause = cause::of(input, &findings);
    Checked { findings, skipped, cause }
}

/// What the checks find. Those of a large node are shared out among the processor's cores.
fn found(input: &Input<'_, '_>, pick: &Pick) -> Found {
    let wanted: Vec<&'static Check> = CHECKS.into_iter().filter(|check| pick.wants(check)).collect();
    let (last, others): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|check| **check == partial_dump::CHECK);
    let threads = if input.services.len() < WORTH_A_THREAD { 1 } else { cores::count() };
    // What takes long is not known beforehand. Each check has a memory of its own of what it looked at last.
    let each: Vec<_> = others.into_iter().map(|check| (check, input.clone())).collect();
    let parts = cores::at_most(threads, each.into_iter(), |(check, input)| made(&input, check, Found::new(check)));
    let mut found = Found::new(&partial_dump::CHECK);
    for part in parts {
        found.append(part);
    }
    last.into_iter().fold(found, |found, check| made(input, check, found))
}

/// Adds what this check finds.
fn made(input: &Input<'_, '_>, check: &'static Check, mut found: Found) -> Found {
    if check.compares && input.cluster.is_none() {
        found.skip(NO_OBJECTS);
        return found;
    }
    (check.run)(input, &mut found);
    skip_unseen(input, check, &mut found);
    found
}

/// So many service ports take longer to check than a thread takes to start.
const WORTH_A_THREAD: usize = 500;

/// Where another mode is in use, its Services may not be in the rules that were read.
fn skip_unseen(input: &Input<'_, '_>, check: &Check, found: &mut Found) {
    let unseen = input.wirings.iter().find(|wiring| wiring.unseen).and_then(|wiring| wiring.mode);
    let about_services = check.of_traffic || check.compares || check.id.starts_with("KI1");
    if let Some(mode) = unseen.filter(|_| about_services) {
        found.skip(format!("kube-proxy runs in {mode} mode here, and its Services are not in these rules"));
    }
}

/// Says of how many service ports the rules of a family were not read.
fn skip_unread(input: &Input<'_, '_>, found: &mut Found) {
    for (family, ports) in input.unread().filter(|(_, ports)| *ports > 0) {
        found.skip(format!("{} of {family}: no rules of that family were read", count(ports, "service port")));
    }
}

/// Rules that no packet gets to do no harm.
fn soften(input: &Input<'_, '_>, findings: &mut [Finding]) {
    for wiring in input.wirings {
        if Origin::ALL.into_iter().all(|origin| wiring.is_unhooked(origin)) {
            let of_traffic = findings.iter_mut().filter(|f| f.family == Some(wiring.family) && f.check.of_traffic);
            of_traffic.for_each(|finding| finding.severity = Severity::Info);
        }
    }
}

/// Where connections come from, in words behind "from".
fn origins(all: &[Origin]) -> String {
    all.iter().map(|origin| origin.words()).collect::<Vec<_>>().join(" and ")
}

/// Why checks that compare with the cluster are not made.
pub const NO_OBJECTS: &str = "no objects to compare with: give --objects FILE or an API server";

/// Why checks that need every rule of the nat table are not made.
const NAT_LINES: &str = "lines of the nat table are missing";

/// Why checks that need every virtual server are not made.
const SERVERS: &str = "not all virtual servers were read";

/// Why checks that need every ipset are not made.
const SETS: &str = "not all ipsets were read";

/// Why checks that need every rule of the filter table are not made.
const FILTER_LINES: &str = "the filter table was not read, or not all of it";

/// Why hooks and marks of IPVS mode are not known.
fn no_portal(wiring: &Wiring) -> String {
    format!(
        "no chain of kube-proxy is in the nat table of {}: its rules were flushed, or are in the other kind of iptables (legacy or nf_tables)",
        wiring.family
    )
}

/// What to do about rules that are behind the API.
fn syncing(input: &Input<'_, '_>) -> String {
    format!(
        "does kube-proxy on {} sync? kubectl -n kube-system logs -l k8s-app=kube-proxy --prefix --tail=50",
        input.node()
    )
}

/// What to do about rules kube-proxy never writes.
fn rewrite(input: &Input<'_, '_>) -> String {
    format!("restart kube-proxy on {}: it then writes all its rules anew; find out who changed them", input.node())
}
