//! Endpoints are programmed that topology hints mean for other zones or nodes, as older kube-proxies do.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::count;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI108",
    slug: "topology-ignored",
    severity: Severity::Info,
    of_traffic: false,
    compares: true,
    page: include_str!("topology_ignored.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for (at, port) in input.ports() {
        for pool in port.pools.iter().filter(|pool| !pool.beyond_hints.is_empty()) {
            let beyond = pool.beyond_hints.iter().map(|at| &pool.endpoints[*at]);
            let share: Option<f64> = beyond.clone().map(|endpoint| endpoint.probability).sum();
            let first = beyond.clone().next();
            found.add(Finding {
                chain: Some(pool.chain.clone()),
                share,
                message: format!(
                    "topology hints mean {} of {} for other zones or nodes, and they are programmed all the same",
                    pool.beyond_hints.len(),
                    count(pool.endpoints.len(), "endpoint")
                ),
                hint: "nothing is lost: older kube-proxies pay no heed to hints, newer ones follow them".to_owned(),
                rules: beyond.filter_map(|endpoint| endpoint.rules.first()).copied().take(3).collect(),
                objects: first.map(|endpoint| input.endpoint_object(port, &endpoint.address)).unwrap_or_default(),
                ..found.on(at, port)
            });
        }
    }
}
