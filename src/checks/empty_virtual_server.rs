//! A virtual server has no real servers, or none that takes connections, though its Service has usable endpoints.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Drift, Frontend, FrontendKind, Mode, ServicePort, Verdict};
use crate::net::Host;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI502",
    slug: "empty-virtual-server",
    severity: Severity::Warning,
    of_traffic: false,
    // Of interest in one mode only, which is no reason to skip it in the others.
    compares: false,
    page: include_str!("empty_virtual_server.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    if input.mode() != Mode::Ipvs {
        return;
    }
    if input.cluster.is_none() {
        found.skip(super::NO_OBJECTS);
    }
    for (at, port) in input.ports() {
        for (place, frontend) in port.frontends.iter().enumerate() {
            if !refuses(frontend) || !should_serve(port, frontend) {
                continue;
            }
            let lacks = if port.draining.contains(&place) {
                "has only real servers of weight 0, which take no new connection"
            } else {
                "has no real server"
            };
            found.add(Finding {
                frontend: Some(frontend.at()),
                message: format!(
                    "the virtual server of {} {} {lacks}, though the Service has usable endpoints",
                    frontend.kind.words(),
                    frontend.at()
                ),
                hint: super::syncing(input),
                rules: frontend.rules.clone(),
                objects: input.endpoints_object(port),
                ..found.on(at, port)
            });
        }
    }
    for (at, closed) in input.closed().filter(|(_, closed)| closed.is_empty) {
        let port = &input.services[at];
        found.add(Finding {
            frontend: Some(Frontend::blank(FrontendKind::NodePort, None, closed.port).at()),
            address: Some(Host(closed.address).to_string()),
            reason: Some("node-address"),
            message: format!(
                "the virtual server of node port {} at {} has no real server, though those at other addresses have",
                closed.port, closed.address
            ),
            hint: super::rewrite(input),
            rules: closed.rules.clone(),
            objects: input.endpoints_object(port),
            ..found.on(at, port)
        });
    }
}

fn refuses(frontend: &Frontend) -> bool {
    !frontend.rules.is_empty() && frontend.routes.iter().all(|route| route.verdict == Verdict::Reject)
}

/// One that should lead to endpoints: the others lead to some, or none does and there are usable ones.
fn should_serve(port: &ServicePort, frontend: &Frontend) -> bool {
    let is_it = |drift: &Drift| match drift {
        Drift::MissingFrontend { address, port, refused: Some(_), .. } => {
            (frontend.address, frontend.port) == (*address, Some(*port))
        }
        _ => false,
    };
    port.lacks_rules() || port.drifts().iter().any(is_it)
}
