//! An address or node port is captured that the Service does not have, or must not be reached by here.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Drift, NotWanted};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI105",
    slug: "stale-frontend",
    severity: Severity::Warning,
    of_traffic: true,
    compares: true,
    page: include_str!("stale_frontend.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for (at, port) in input.ports() {
        for drift in port.drifts() {
            let Drift::StaleFrontend(frontend, why) = drift else { continue };
            let frontend = &port.frontends[*frontend];
            let captured = frontend.routes.iter().any(|route| route.verdict.is_pool());
            let (reason, words, field, value) = match why {
                NotWanted::NotOfService => {
                    ("not-of-service", "the Service does not have it", "spec", "has no such address")
                }
                NotWanted::NoEndpoints => ("no-endpoints", "no endpoint of the Service is usable", "", ""),
                NotWanted::NoLocalEndpoints => (
                    "no-local-endpoints",
                    "no endpoint on this node is usable, and others must not be used",
                    "spec.internalTrafficPolicy",
                    "Local",
                ),
            };
            let objects =
                if field.is_empty() { input.endpoints_object(port) } else { input.service_object(port, field, value) };
            found.add(Finding {
                frontend: Some(frontend.at()),
                reason: Some(reason),
                // Nothing is reached there with the refusal or without it.
                severity: if captured { Severity::Warning } else { Severity::Info },
                message: format!(
                    "{} {} is {}, though {words}",
                    frontend.kind.words(),
                    frontend.at(),
                    if captured { "captured" } else { "refused" }
                ),
                hint: super::syncing(input),
                rules: frontend.rules.clone(),
                objects,
                ..found.on(at, port)
            });
        }
    }
}
