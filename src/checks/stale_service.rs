//! Rules for a service port that the cluster does not have, or that kube-proxy must leave alone.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Gone, ServicePort, Standing, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI103",
    slug: "stale-service",
    severity: Severity::Error,
    of_traffic: true,
    compares: true,
    page: include_str!("stale_service.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let mut unknown = 0;
    for (at, port) in input.ports() {
        let Some(about) = &port.about else { continue };
        unknown += usize::from(about.standing == Standing::Unknown);
        let ruled = port.frontends.iter().any(|frontend| !frontend.rules.is_empty()) || !port.pools.is_empty();
        if about.standing.forbids_rules() && ruled {
            found.add(finding(input, found.on(at, port), port, &about.standing));
        }
    }
    if unknown > 0 {
        let ports = count(unknown, "service port");
        found.skip(format!("{ports} of the rules: the objects that were read do not tell whether they exist"));
    }
}

fn finding(input: &Input<'_, '_>, blank: Finding, port: &ServicePort, standing: &Standing) -> Finding {
    let words = standing.words_without_rules(port.family).unwrap_or_default();
    let refused_only = port.pools.is_empty();
    let what = match (standing, refused_only) {
        (Standing::Gone(_), false) => format!("rules take connections to it, but {words}"),
        (Standing::Gone(_), true) => format!("rules refuse connections to it, but {words}"),
        _ => format!("it should have no rules: {words}"),
    };
    let frontends = port.frontends.iter().map(crate::dataplane::Frontend::at).collect::<Vec<_>>().join(", ");
    let service = input.service(port);
    let (field, value) = match standing {
        // Its cluster IP does not say so.
        Standing::Headless if service.is_some_and(|service| !service.cluster_ips.is_empty()) => {
            ("metadata.labels[service.kubernetes.io/headless]", "set".to_owned())
        }
        _ => object(standing),
    };
    Finding {
        // What is refused by rules would be refused or lost without them too.
        severity: if refused_only { Severity::Warning } else { blank.severity },
        reason: Some(reason(standing)),
        message: if frontends.is_empty() { what } else { format!("{what} ({frontends})") },
        hint: super::syncing(input),
        rules: port.frontends.iter().filter_map(|frontend| frontend.rules.last()).copied().collect(),
        objects: input.service_object(port, field, value),
        ..blank
    }
}

fn reason(standing: &Standing) -> &'static str {
    match standing {
        Standing::Gone(Gone::Service) => "service-gone",
        Standing::Gone(Gone::Port) => "port-gone",
        Standing::Gone(Gone::Family) => "family-gone",
        Standing::Headless => "headless",
        Standing::ExternalName(_) => "external-name",
        Standing::OtherProxy(_) => "other-proxy",
        _ => "no-cluster-ip",
    }
}

/// The field of the Service that says so.
fn object(standing: &Standing) -> (&'static str, String) {
    match standing {
        Standing::Gone(Gone::Service) => ("metadata.name", "there is no such Service".to_owned()),
        Standing::Gone(Gone::Port) => ("spec.ports", "none of this name and protocol".to_owned()),
        Standing::Gone(Gone::Family) => ("spec.clusterIPs", "none of this family".to_owned()),
        Standing::Headless => ("spec.clusterIP", "None".to_owned()),
        Standing::ExternalName(name) => ("spec.externalName", name.clone().unwrap_or_default()),
        Standing::OtherProxy(name) => ("metadata.labels[service.kubernetes.io/service-proxy-name]", name.clone()),
        _ => ("spec.clusterIP", "none yet".to_owned()),
    }
}
