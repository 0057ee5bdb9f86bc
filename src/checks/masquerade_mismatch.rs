//! Connections that must be masqueraded are not, or all are: answers go astray, or clients are hidden.

use hashbrown::HashSet;

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{
    Endpoint, Frontend, FrontendKind, MarkFault, Mode, Origin, Policy, Route, ServicePort, Verdict, count,
};
use crate::net::Family;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI304",
    slug: "masquerade-mismatch",
    severity: Severity::Error,
    of_traffic: true,
    compares: false,
    page: include_str!("masquerade_mismatch.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        if let Some(fault) = &wiring.mark {
            let nftables = wiring.mode == Some(Mode::Nftables);
            let (marks, acts) =
                if nftables { ("the table", "the chain masquerading") } else { ("KUBE-MARK-MASQ", "KUBE-POSTROUTING") };
            let Some(message) = words(fault, marks, acts, || here(input, wiring.family)) else { continue };
            let rules = match fault {
                MarkFault::NotActedOn(_, rules) | MarkFault::Everything(rules) => rules.clone(),
                _ => Vec::new(),
            };
            let (severity, reason) = match fault {
                MarkFault::NotHairpins(_) | MarkFault::NoHairpins(_) | MarkFault::NotClusterIps(_) => {
                    (Severity::Warning, "missing-rule")
                }
                _ => (CHECK.severity, "mark"),
            };
            found.add(Finding {
                severity,
                chain: Some(if nftables { "masquerading" } else { acts }.to_owned()),
                reason: Some(reason),
                message,
                hint: super::rewrite(input),
                rules,
                ..found.about(wiring.family)
            });
        }
        if wiring.sets_missing {
            found.skip_for_lines(super::SETS);
        }
        if wiring.no_portal {
            found.skip(super::no_portal(wiring));
        }
        if wiring.whole {
            of_services(input, found, wiring.family);
        } else {
            found.skip_for_lines(super::NAT_LINES);
        }
    }
}

/// What is wrong; `None` where nothing is, as so many endpoints are `here`.
fn words(fault: &MarkFault, marks: &str, acts: &str, here: impl Fn() -> usize) -> Option<String> {
    Some(match fault {
        MarkFault::NotSet => {
            format!("{marks} sets no mark: nothing is masqueraded, and answers to some clients go astray")
        }
        MarkFault::NotClusterIps(set) => format!(
            "no rule masquerades clients of the cluster IPs in {set}: answers to those outside the pod network go astray"
        ),
        MarkFault::NoHairpins(set) => {
            let endpoints = Some(here()).filter(|endpoints| *endpoints > 0)?;
            let endpoints = count(endpoints, "endpoint");
            format!("the set {set} is empty: {endpoints} of this node cannot reach themselves through their Services")
        }
        MarkFault::NotHairpins(endpoints) => format!(
            "{acts} has no rule for hairpin connections: {} cannot reach themselves through their Services",
            count(*endpoints, "endpoint")
        ),
        MarkFault::NotActedOn(mark, _) => {
            format!("{marks} sets mark {mark:#x}, which {acts} does not masquerade: answers to some clients go astray")
        }
        MarkFault::Everything(_) => {
            format!("{acts} masquerades what carries no mark: every connection of the node looks like its own")
        }
    })
}

/// How many endpoints run on this node, as the objects have it.
fn here(input: &Input<'_, '_>, family: Family) -> usize {
    let ports = input.ports().filter(|(_, port)| port.family == family && port.of_proxy);
    let endpoints = ports.flat_map(|(_, port)| &port.pools).flat_map(|pool| &pool.endpoints);
    endpoints.filter(|endpoint| is_here(endpoint)).map(|endpoint| &endpoint.address).collect::<HashSet<_>>().len()
}

/// Services and endpoints that lack a rule that the others have. Where most lack it, the cluster is set up without.
fn of_services(input: &Input<'_, '_>, found: &mut Found, family: Family) {
    let ports = || input.ports().filter(|(_, port)| port.family == family && port.of_proxy);
    let (mut with, mut without) = (0, 0);
    for masquerade in ports().flat_map(|(_, port)| &port.frontends).filter_map(of_cluster_ip) {
        *(if masquerade { &mut with } else { &mut without }) += 1;
    }
    // kube-proxy that knows pods masquerades all others, if need be by one rule for every cluster IP (nftables mode since 1.35).
    let tells_pods =
        input.mode() != Mode::Ipvs && ports().flat_map(|(_, port)| &port.frontends).any(sends_pods_elsewhere);
    let none_does = tells_pods && with == 0 && without > 1;
    if none_does {
        found.add(Finding {
            message: "clients outside the pod network are not masqueraded at any cluster IP, though the rules tell pods from \
                      others: the rule is missing"
                .to_owned(),
            ..missing_rule(input, found.about(family))
        });
    }
    let clusters_do = with > without || (tells_pods && !none_does);
    let (mut hairpins, mut lacking) = (0, 0);
    for endpoint in ports().flat_map(|(_, port)| &port.pools).flat_map(|pool| &pool.endpoints) {
        match endpoint.hairpin {
            Some(true) => hairpins += 1,
            Some(false) => lacking += 1,
            // One of another node, unless the cluster says that it runs here.
            None => lacking += usize::from(is_here(endpoint)),
        }
    }
    let untold = input.wiring(family).is_some_and(|wiring| wiring.hairpins_untold);
    let external_chains = input.wiring(family).is_some_and(|wiring| wiring.external_chains);
    // A chain without any rule lacks more than this one.
    let is_empty =
        |port: &ServicePort| !port.dead_ends.is_empty() || port.pools.iter().any(|p| !p.dead_ends.is_empty());
    for (at, port) in ports().filter(|(_, port)| !is_empty(port)) {
        // The rule names the Service's own address: one of another Service that leads here has none.
        let has_rule = port.frontends.iter().any(|frontend| of_cluster_ip(frontend) == Some(true));
        for frontend in &port.frontends {
            let missing = match of_cluster_ip(frontend) {
                Some(false) => clusters_do && !has_rule,
                Some(true) => false,
                None => lacks_external(frontend, Origin::External) && !keeps_sources(input, port),
            };
            let of_node = !missing && external_chains && lacks_external(frontend, Origin::Node);
            if missing || of_node {
                let whose = match frontend.kind {
                    FrontendKind::ClusterIp => "clients outside the pod network of",
                    _ if of_node => "connections from the node itself to",
                    _ => "clients of",
                };
                found.add(Finding {
                    frontend: Some(frontend.at()),
                    chain: port.pools.first().map(|pool| pool.chain.clone()),
                    message: format!(
                        "{whose} {} {} are not masqueraded: the rule is missing",
                        frontend.kind.words(),
                        frontend.at()
                    ),
                    rules: frontend.rules.clone(),
                    ..missing_rule(input, found.on(at, port))
                });
            }
        }
        if input.mode() == Mode::Ipvs {
            hidden_clients(input, found, at, port);
        }
        if lacking > 0 && hairpins > lacking && !untold {
            hairpin(input, found, at, port);
        }
    }
}

/// Frontends under Local policy at which clients from outside are masqueraded all the same. Of external IPs they are in releases
/// before 1.20, which have no set for that (KUBE-EXTERNAL-IP-LOCAL, pkg/proxy/ipvs/ipset.go).
fn hidden_clients(input: &Input<'_, '_>, found: &mut Found, at: usize, port: &ServicePort) {
    let local = Verdict::Pool(Policy::Local);
    let hides =
        |route: &Route| (route.origin, route.verdict, route.masquerade) == (Origin::External, local, Some(true));
    let kinds = [FrontendKind::LoadBalancer, FrontendKind::NodePort];
    for frontend in port.frontends.iter().filter(|frontend| kinds.contains(&frontend.kind)) {
        if frontend.routes.iter().any(hides) {
            found.add(Finding {
                severity: Severity::Warning,
                frontend: Some(frontend.at()),
                reason: Some("hidden-clients"),
                message: format!(
                    "clients of {} {} are masqueraded, though only endpoints of this node serve them: these do not see their \
                     addresses",
                    frontend.kind.words(),
                    frontend.at()
                ),
                hint: super::rewrite(input),
                rules: frontend.rules.clone(),
                objects: input.service_object(port, "spec.externalTrafficPolicy", "Local"),
                ..found.on(at, port)
            });
        }
    }
}

fn missing_rule(input: &Input<'_, '_>, blank: Finding) -> Finding {
    Finding { severity: Severity::Warning, reason: Some("missing-rule"), hint: super::rewrite(input), ..blank }
}

/// Whether clients outside the pod network are masqueraded when they use a cluster IP; `None` for other frontends, those
/// that lead to no pool, and where it cannot be told.
fn of_cluster_ip(frontend: &Frontend) -> Option<bool> {
    let outside = frontend.routes.iter().find(|route| route.origin == Origin::External && route.sources.is_empty())?;
    let leads = frontend.kind == FrontendKind::ClusterIp && outside.verdict.is_pool();
    outside.masquerade.filter(|_| leads)
}

/// True if pods get to endpoints anywhere and clients from outside only to those of the node, as the rules of a kube-proxy that
/// knows pods have it under Local policy.
fn sends_pods_elsewhere(frontend: &Frontend) -> bool {
    let goes = |origin, policy| {
        frontend.routes.iter().any(|route| (route.origin, route.verdict) == (origin, Verdict::Pool(policy)))
    };
    goes(Origin::Pod, Policy::Cluster) && goes(Origin::External, Policy::Local)
}

/// True if clients from outside get to endpoints anywhere without being masqueraded: the answers would not come back by this
/// node. Of the node itself that is so where it has the address, which it does of node ports, and of others once it has asked for
/// them (`"masquerade LOCAL traffic"`, pkg/proxy/iptables/proxier.go).
fn lacks_external(frontend: &Frontend, origin: Origin) -> bool {
    let cluster = Verdict::Pool(Policy::Cluster);
    // Which of two ways they go, conditions may decide that a dump does not answer: a rule for pods alone is one for everybody in
    // a listing without interfaces, and under Local policy nothing may follow it.
    let is_unmasked = |route: &Route| route.verdict == cluster && route.masquerade == Some(false);
    let mut ways = frontend.routes.iter().filter(|route| route.origin == origin);
    let is_undecided = ways.clone().any(|route| route.verdict == Verdict::Unknown);
    let leads = ways.clone().any(|route| route.verdict.is_pool());
    frontend.kind != FrontendKind::ClusterIp
        && leads
        && !is_undecided
        && ways.all(|route| !route.verdict.is_pool() || is_unmasked(route))
}

/// True if an endpoint that has no rule of its own runs on this node, where it must have one.
fn is_here(endpoint: &Endpoint) -> bool {
    endpoint.hairpin.is_none()
        && endpoint.about.as_ref().is_some_and(|about| about.local == Some(true) && !about.is_lost())
}

/// Under Local policy IPVS mode masquerades nobody, though without an endpoint of this node those of others are used.
fn keeps_sources(input: &Input<'_, '_>, port: &ServicePort) -> bool {
    let service = input.service(port);
    input.mode() == Mode::Ipvs && service.is_none_or(|service| service.external_policy == Policy::Local)
}

/// Endpoints that cannot reach themselves through the Service.
fn hairpin(input: &Input<'_, '_>, found: &mut Found, at: usize, port: &ServicePort) {
    let all = port.pools.iter().flat_map(|pool| &pool.endpoints);
    let lacking: Vec<_> = all.filter(|endpoint| endpoint.hairpin == Some(false) || is_here(endpoint)).collect();
    let Some(first) = lacking.first() else { return };
    found.add(Finding {
        address: Some(first.address.to_string()),
        chain: Some(first.chain.to_string()),
        message: format!(
            "{}: pods cannot reach themselves through the Service, {} first: the rule that masquerades them is missing",
            count(lacking.len(), "endpoint"),
            first.address
        ),
        rules: lacking.iter().filter_map(|endpoint| endpoint.rules.last()).copied().take(3).collect(),
        ..missing_rule(input, found.on(at, port))
    });
}
