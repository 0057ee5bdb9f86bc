//! An address or node port of the Service is not captured: connections to it go on untranslated.

use std::cell::LazyCell;
use std::net::IpAddr;

use super::rivals::Rivals;
use super::{Check, Finding, Found, Input, Severity};
use crate::cluster::NodePorts;
use crate::dataplane::{Drift, Frontend, FrontendKind, Mode, Origin, ServicePort, Verdict, Wiring, count};
use crate::net::{Family, Host};

/// Virtual servers that are shown of a node port.
const EVIDENCE: usize = 3;

/// The reason of a finding about a frontend that serves other clients.
pub(super) const SOME_CLIENTS: &str = "some-clients";

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI106",
    slug: "missing-frontend",
    severity: Severity::Error,
    of_traffic: false,
    compares: true,
    page: include_str!("missing_frontend.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        if !wiring.whole {
            found.skip_for_lines(super::NAT_LINES);
        } else if !wiring.filter_whole {
            found.skip_for_lines(super::FILTER_LINES);
        }
    }
    let lacks = |port: &ServicePort| port.about.as_ref().is_some_and(|about| !about.rules_complete);
    if input.mode() == Mode::Ipvs && input.ports().any(|(_, port)| lacks(port)) {
        found.skip_for_lines(super::SERVERS);
    }
    if input.wirings.iter().any(|wiring| wiring.sets_missing) {
        found.skip_for_lines(super::SETS);
    }
    closed(input, found);
    shut_out(input, found);
    let rivals = Rivals::of(input);
    let closed = without_node_ports(input, found);
    let acting = LazyCell::new(|| with_node_ports(input));
    for (at, port) in input.ports() {
        for drift in port.drifts() {
            if rivals.holder(port, drift).is_some() || closed.contains(&port.family) && is_of_node_port(drift) {
                continue;
            }
            let (kind, address, number, refused, wanted) = match *drift {
                // Without any rules it is the service port that is missing.
                Drift::MissingFrontend { kind, address, port: number, refused, .. } if !port.pools.is_empty() => {
                    (kind, address, number, refused, true)
                }
                Drift::NotRefused { kind, address, port: number }
                    if !is_unasked(input, port, (address, number), &acting) =>
                {
                    (kind, address, number, None, false)
                }
                _ => continue,
            };
            let frontend = Frontend::blank(kind, address, number);
            let (kind, at_text) = (frontend.kind.words(), frontend.at());
            let becomes = || match rivals.taker(port, address, number) {
                Some(other) => format!("connections to it go to {other} instead"),
                None if refused == Some(Verdict::Drop) => "connections to it are dropped".to_owned(),
                None if refused.is_some() => "connections to it are refused".to_owned(),
                None if input.mode() == Mode::Ipvs => "no virtual server takes connections to it".to_owned(),
                None if rivals.may_be_others() => {
                    "connections to it go on untranslated, if no rules of another Service take them".to_owned()
                }
                None => "connections to it go on untranslated".to_owned(),
            };
            let stays = || match rivals.taker(port, address, number) {
                Some(other) => format!("connections to it go to {other} instead"),
                None if rivals.may_be_others() => {
                    "clients wait instead of being told, if no rules of another Service take them".to_owned()
                }
                None => "clients wait instead of being told".to_owned(),
            };
            let message = if wanted {
                format!("{kind} {at_text} is not captured: {}", becomes())
            } else {
                format!("{kind} {at_text} is not refused, though the Service has no usable endpoint: {}", stays())
            };
            found.add(Finding {
                severity: if wanted { Severity::Error } else { Severity::Warning },
                reason: (!wanted).then_some("not-refused"),
                frontend: Some(at_text),
                message,
                hint: super::syncing(input),
                objects: input.service_object(port, field(frontend.kind), frontend.at()),
                ..found.on(at, port)
            });
        }
    }
}

/// Families in which packets to some node port get to a rule.
fn with_node_ports(input: &Input<'_, '_>) -> Vec<Family> {
    let acts =
        |f: &Frontend| f.kind == FrontendKind::NodePort && f.routes.iter().any(|route| route.verdict != Verdict::None);
    let is_acting =
        |family: &Family| input.ports().any(|(_, port)| port.family == *family && port.frontends.iter().any(acts));
    [Family::Ipv4, Family::Ipv6].into_iter().filter(is_acting).collect()
}

/// True if a rule refuses clients there that packets do not get to, which is told as what they lack: a hook, or addresses of the
/// node at which node ports are open. `acting` are the families in which some are.
fn is_unasked(input: &Input<'_, '_>, port: &ServicePort, at: (Option<IpAddr>, u16), acting: &[Family]) -> bool {
    let refuses = |f: &Frontend| f.refusal.is_some() && (f.address, f.port) == (at.0, Some(at.1));
    let lacks_hook = |wiring: &Wiring| wiring.missing_hooks.iter().any(|hook| hook.table == "filter");
    port.frontends.iter().any(refuses)
        && (input.wiring(port.family).is_some_and(lacks_hook) || at.0.is_none() && !acting.contains(&port.family))
}

/// Families in which not one node port is open, which is told once.
fn without_node_ports(input: &Input<'_, '_>, found: &mut Found) -> Vec<Family> {
    let mut closed = Vec::new();
    for (family, missing) in closed_node_ports(input) {
        closed.push(family);
        let node = input.node();
        if input.node_ports() == NodePorts::Loopback {
            found.skip(format!("no node port of {family} is open on {node}, as nodePortAddresses may have it"));
            continue;
        }
        let ports = count(missing, "service port");
        found.add(Finding {
            severity: Severity::Warning,
            reason: Some("node-ports"),
            message: format!("no node port is open on {node}, though {ports} have one"),
            hint: "is that on purpose? look for nodePortAddresses in kube-proxy's configuration, and give its ConfigMap with the objects"
                .to_owned(),
            ..found.about(family)
        });
    }
    closed
}

/// Families in which not one node port is open though several Services have one, with the number of service ports that lack
/// theirs: kube-proxy opens all of them on the same addresses, and none where it was told to use addresses that the node does not
/// have, or only loopback ones, which nftables and IPVS leave out (`nodePortAddresses`).
pub(super) fn closed_node_ports(input: &Input<'_, '_>) -> Vec<(Family, usize)> {
    let ipvs = match input.mode() {
        Mode::Iptables => return Vec::new(),
        mode => mode == Mode::Ipvs,
    };
    let on_purpose = input.node_ports() == NodePorts::Loopback;
    let any = |port: &ServicePort, is: fn(&Frontend) -> bool| {
        port.frontends.iter().any(|frontend| frontend.kind == FrontendKind::NodePort && is(frontend))
    };
    // A virtual server is one for an address, whether it has real servers or not; an element of a map is one for the port.
    let has_rules = |port: &ServicePort| any(port, |frontend| !frontend.rules.is_empty());
    let leads = |port: &ServicePort| any(port, |frontend| frontend.routes.iter().any(|route| route.verdict.is_pool()));
    let is_open = |port: &ServicePort| if ipvs { has_rules(port) } else { leads(port) };
    let is_missing = |port: &ServicePort| port.drifts().iter().any(is_of_node_port) && (ipvs || has_rules(port));
    let closed = |family| {
        let ports = || input.ports().map(|(_, port)| port).filter(move |port| port.family == family);
        let missing = ports().filter(|port| is_missing(port)).count();
        // Of few Services it is no wonder.
        let is_telling = missing > 0 && (on_purpose || missing > 1 && !input.narrowed);
        (is_telling && !ports().any(is_open)).then_some((family, missing))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(closed).collect()
}

fn is_of_node_port(drift: &Drift) -> bool {
    matches!(drift, Drift::MissingFrontend { kind: FrontendKind::NodePort, .. })
}

/// Frontends that serve some clients, while those of others get nowhere.
fn shut_out(input: &Input<'_, '_>, found: &mut Found) {
    for (at, port) in input.ports() {
        for drift in port.drifts() {
            let Drift::ShutOut { frontend, verdict, origins, networks } = drift else { continue };
            let frontend = &port.frontends[*frontend];
            let hooked = origins.iter().copied().filter(|origin| !input.is_unhooked(port.family, *origin));
            let origins: Vec<Origin> = hooked.collect();
            if origins.is_empty() {
                continue;
            }
            let from = match networks.as_slice() {
                [] => super::origins(&origins),
                networks => networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
            };
            let become_of = match verdict {
                Verdict::Drop => "are dropped",
                Verdict::Reject => "are refused",
                _ => "go on untranslated",
            };
            let (kind, at_text) = (frontend.kind.words(), frontend.at());
            found.add(Finding {
                frontend: Some(at_text.clone()),
                reason: Some(SOME_CLIENTS),
                message: format!("{kind} {at_text} is not captured for all: connections from {from} {become_of}"),
                hint: super::rewrite(input),
                rules: frontend.rules.clone(),
                ..found.on(at, port)
            });
        }
    }
}

/// Node ports that are open on some addresses of the node only.
fn closed(input: &Input<'_, '_>, found: &mut Found) {
    for (at, closed) in input.closed().filter(|(_, closed)| !closed.is_empty) {
        let port = &input.services[at];
        let frontend = Frontend::blank(FrontendKind::NodePort, None, closed.port);
        found.add(Finding {
            frontend: Some(frontend.at()),
            address: Some(Host(closed.address).to_string()),
            reason: Some("node-address"),
            message: format!(
                "node port {} is not captured at {}, where other node ports are: connections to it are refused",
                closed.port, closed.address
            ),
            hint: super::rewrite(input),
            rules: closed.rules.iter().copied().take(EVIDENCE).collect(),
            objects: input.service_object(port, field(FrontendKind::NodePort), closed.port.to_string()),
            ..found.on(at, port)
        });
    }
}

/// Where a Service has its frontends of this kind.
fn field(kind: FrontendKind) -> &'static str {
    match kind {
        FrontendKind::ClusterIp => "spec.clusterIPs",
        FrontendKind::ExternalIp => "spec.externalIPs",
        FrontendKind::LoadBalancer => "status.loadBalancer.ingress",
        FrontendKind::NodePort => "spec.ports[].nodePort",
    }
}
