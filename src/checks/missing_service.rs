//! A service port with usable endpoints has no rules: its clients get nowhere from this node.

use super::rivals::Rivals;
use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Mode, ServicePort, Standing};

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
    super::skip_unread(input, found);
    for (at, port) in input.ports() {
        let Some(about) = &port.about else { continue };
        if !about.rules_complete && port.pools.is_empty() && about.standing == Standing::Served {
            found.skip_for_lines(if input.mode() == Mode::Ipvs { super::SERVERS } else { super::NAT_LINES });
        }
        // A chain that is not there, or more rules than kube-proxy writes: what is behind them is not known to be nothing.
        if port.lacks_rules() && !port.is_unclear() {
            found.add(finding(input, &rivals, found.on(at, port), port));
        }
    }
}

fn finding(input: &Input<'_, '_>, rivals: &Rivals<'_, '_, '_>, blank: Finding, port: &ServicePort) -> Finding {
    let refused = port.frontends.iter().any(|frontend| !frontend.rules.is_empty());
    let about = port.about.as_deref();
    let frontends = port.frontends.iter().map(crate::dataplane::Frontend::at).collect::<Vec<_>>().join(", ");
    let words = about.map(|about| about.words_if_unprogrammed(refused)).unwrap_or_default();
    let first = about.and_then(|about| about.unprogrammed.first());
    let taken = port.frontends.iter().find_map(|f| Some((f.at(), rivals.taker(port, f.address, f.port?)?)));
    let instead = taken.map(|(at, other)| format!("; those to {at} go to {other} instead")).unwrap_or_default();
    Finding {
        share: Some(1.0),
        message: format!("{words}: connections to {frontends} reach none of them{instead}"),
        hint: super::syncing(input),
        rules: port.frontends.iter().flat_map(|frontend| frontend.rules.iter().copied()).take(3).collect(),
        objects: first.map(|absent| input.endpoint_object(port, &absent.address)).unwrap_or_default(),
        ..blank
    }
}
