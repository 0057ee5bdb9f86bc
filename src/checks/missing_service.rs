//! A service port with usable endpoints has no rules: its clients get nowhere from this node.

use std::borrow::Cow;
use std::cell::LazyCell;

use super::missing_frontend::closed_node_ports;
use super::rivals::Rivals;
use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Drift, Frontend, FrontendKind, Mode, ServicePort, Standing};
use crate::order::Order as _;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI104",
    slug: "missing-service",
    severity: Severity::Error,
    of_traffic: false,
    compares: true,
    page: include_str!("missing_service.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let rivals = Rivals::of(input);
    let closed = LazyCell::new(|| closed_node_ports(input));
    super::skip_unread(input, found);
    for (at, port) in input.ports() {
        let Some(about) = &port.about else { continue };
        if !about.rules_complete && port.pools.is_empty() && about.standing == Standing::Served {
            found.skip_for_lines(if input.mode() == Mode::Ipvs { super::SERVERS } else { super::NAT_LINES });
        }
        // A chain that is not there, or more rules than kube-proxy writes: what is behind them is not known to be nothing.
        if port.lacks_rules() && !port.is_unclear() {
            let lost = lost(port);
            // Where no node port is open at all, that is told once.
            let of_node_ports = lost.iter().all(|frontend| frontend.kind == FrontendKind::NodePort);
            if !of_node_ports || !closed.iter().any(|(family, _)| *family == port.family) {
                found.add(finding(input, &rivals, found.on(at, port), (port, &lost)));
            }
        }
    }
}

/// The frontends that should lead to endpoints; all of them where no rule speaks of the Service.
fn lost(port: &ServicePort) -> Vec<Cow<'_, Frontend>> {
    let of_drift = |drift: &Drift| {
        let Drift::MissingFrontend { kind, address, port: number, .. } = *drift else { return None };
        let mut ruled = port.frontends.iter();
        let ruled = ruled.find(|frontend| (frontend.address, frontend.port) == (address, Some(number)));
        Some(ruled.map_or_else(|| Cow::Owned(Frontend::blank(kind, address, number)), Cow::Borrowed))
    };
    let mut lost: Vec<Cow<'_, Frontend>> = port.drifts().iter().filter_map(of_drift).collect();
    if lost.is_empty() {
        lost.extend(port.frontends.iter().map(Cow::Borrowed));
    }
    lost.order_by_key(|frontend| (frontend.kind, frontend.address, frontend.port));
    lost
}

fn finding(
    input: &Input<'_, '_>,
    rivals: &Rivals<'_, '_, '_>,
    blank: Finding,
    (port, lost): (&ServicePort, &[Cow<'_, Frontend>]),
) -> Finding {
    let refused = lost.iter().any(|frontend| !frontend.rules.is_empty());
    let about = port.about.as_deref();
    let frontends = lost.iter().map(|frontend| frontend.at()).collect::<Vec<_>>().join(", ");
    let words = about.map(|about| about.words_if_unprogrammed(refused)).unwrap_or_default();
    let first = about.and_then(|about| about.unprogrammed.first());
    let taken = lost.iter().find_map(|f| Some((f.at(), rivals.taker(port, f.address, f.port?)?)));
    let instead = taken.map(|(at, other)| format!("; those to {at} go to {other} instead")).unwrap_or_default();
    Finding {
        share: Some(1.0),
        message: format!("{words}: connections to {frontends} reach none of them{instead}"),
        hint: super::syncing(input),
        rules: lost.iter().flat_map(|frontend| frontend.rules.iter().copied()).take(3).collect(),
        objects: first.map(|absent| input.endpoint_object(port, &absent.address)).unwrap_or_default(),
        ..blank
    }
}
