//! A real server of IPVS drains and will not be taken away.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Endpoint, Mode, ServicePort};
use crate::net::Protocol;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI503",
    slug: "stuck-draining",
    severity: Severity::Warning,
    of_traffic: false,
    compares: false,
    page: include_str!("stuck_draining.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.mode() != Mode::Ipvs {
        return;
    }
    for (at, port) in input.ports() {
        for endpoint in port.pools.iter().flat_map(|pool| &pool.endpoints).filter(|endpoint| endpoint.draining) {
            let Some((severity, why)) = stuck(port, endpoint) else { continue };
            found.add(Finding {
                severity,
                address: Some(endpoint.address.to_string()),
                chain: Some(endpoint.chain.to_string()),
                message: format!("{} drains (weight 0) and {why}", endpoint.address),
                hint: super::syncing(input),
                rules: endpoint.rules.to_vec(),
                objects: input.endpoint_object(port, &endpoint.address),
                ..found.on(at, port)
            });
        }
    }
}

/// Why it should be gone. kube-proxy lets TCP connections end and looks every minute whether they have; it takes the real
/// servers of other protocols away at once (pkg/proxy/ipvs/graceful_termination.go).
fn stuck(port: &ServicePort, endpoint: &Endpoint) -> Option<(Severity, String)> {
    // One that is wanted is missed by another check.
    if endpoint.about.as_ref().is_some_and(|about| about.wanted == Some(true)) {
        return None;
    }
    match port.protocol {
        Some(protocol @ (Protocol::Udp | Protocol::Sctp)) => {
            Some((Severity::Warning, format!("never ends: kube-proxy lets no {protocol} endpoint drain")))
        }
        _ => {
            let open = endpoint.traffic().open_connections();
            let none =
                (open == Some(0)).then(|| "has no connection left: it should be gone within a minute".to_owned());
            none.map(|why| (Severity::Info, why))
        }
    }
}
