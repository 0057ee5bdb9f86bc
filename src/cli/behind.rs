//! For how long the rules of a node have been behind the cluster, as far as its objects tell.

use std::collections::HashMap;

use crate::checks::{self, OUTDATED, Pick};
use crate::cluster::Facts;
use crate::net::Moment;
use crate::report;

/// Findings of rules that a change of EndpointSlices is not in.
const OF_SLICES: [&str; 4] = ["KI101", "KI102", "KI104", "KI403"];

/// For how many seconds at least the rules have been behind: since the oldest change of EndpointSlices they do not show. 0 where
/// they show all that the cluster wants, and all of it was compared; when a Service changed, its object does not tell.
pub(super) fn behind(
    check: &report::CheckDocument,
    pick: &Pick,
    changes: &HashMap<String, Moment>,
    read_at: Option<Moment>,
) -> Option<i64> {
    if !check.findings.iter().any(|finding| OUTDATED.contains(&finding.id)) {
        let was_made = |id: &&str| checks::find(id).is_ok_and(|check| pick.wants(check));
        let was_skipped = |id: &&str| check.summary.skipped.iter().any(|skipped| skipped.id == *id);
        return OF_SLICES.iter().all(|id| was_made(id) && !was_skipped(id)).then_some(0);
    }
    let of_slices = check.findings.iter().filter(|finding| OF_SLICES.contains(&finding.id));
    let service = |finding: &report::Finding| Some(finding.service.as_deref()?.split(':').next()?.to_owned());
    let oldest = of_slices.filter_map(service).filter_map(|service| changes.get(&service).copied()).min()?;
    Some(read_at?.since(oldest).max(1))
}

/// When a change last touched the EndpointSlices of each Service, `namespace/name`.
pub(super) fn changes(facts: &Facts) -> HashMap<String, Moment> {
    let mut changes: HashMap<String, Moment> = HashMap::new();
    for slice in &facts.slices {
        if let Some(changed) = slice.changed {
            let name = format!("{}/{}", slice.namespace, slice.service);
            changes.entry(name).and_modify(|known| *known = changed.max(*known)).or_insert(changed);
        }
    }
    changes
}
