//! The answer of `check` as metrics: the text format of Prometheus (exposition format 0.0.4), as node_exporter's textfile
//! collector reads it.
//!
//! Which node it is stands in one metric only (`kube_ipt_source_info`): the scrape labels every sample with its target, and a
//! second `node` would become `exported_node`. A finding that is gone counts 0, so that an alert on it ends; one that was not
//! looked for, or not everywhere, has no sample, so that an alert is not ended by an API server that does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use super::text::clean;
use crate::checks::{CHECKS, Check, Checked, Finding, NO_OBJECTS, Pick, Severity, Skipped};
use crate::net::{Family, Moment, Protocol};
use crate::order::Order as _;
use crate::report::CheckDocument;

/// Service ports with a sample of their own, those that lose most. A node where everything is stale must not make as many
/// series as the cluster has Services.
const SERVICES: usize = 50;

/// The metrics of one check of one node, made at `at`, for the checks that `pick` wants.
pub fn prometheus(document: &CheckDocument, checked: &Checked, pick: &Pick, at: Moment) -> String {
    let mut page = Page::default();
    let source = &document.source;
    page.head("kube_ipt_build_info", "The version of kube-ipt.");
    page.sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    page.head("kube_ipt_last_check_timestamp_seconds", "When the node was checked last, in seconds since 1970 UTC.");
    page.sample(&[], at.0);
    page.head(
        "kube_ipt_source_info",
        "The rules that were checked: the mode of kube-proxy, the kernel's interface, the node.",
    );
    let labels = [("mode", Some(source.dataplane)), ("backend", source.backend), ("node", source.node.as_deref())];
    let known: Vec<_> = labels.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    page.sample(&known, 1);
    page.head(
        "kube_ipt_compared",
        "1 if the rules were compared with the cluster's objects, 0 if they were checked alone.",
    );
    page.sample(&[], u8::from(source.objects.is_some()));
    if let Some(watch) = &document.watch {
        page.head(
            "kube_ipt_outdated",
            "1 if objects could not be followed, so that what they are compared with may be old.",
        );
        page.sample(&[], u8::from(watch.outdated_since.is_some()));
    }
    page.head("kube_ipt_rules_incomplete", "1 if lines of the rules are missing, so that what is not there may exist.");
    page.sample(&[], u8::from(source.partial));
    page.head("kube_ipt_service_ports", "Service ports that were checked.");
    page.sample(&[], document.summary.services);
    page.head("kube_ipt_endpoints", "Endpoints the rules lead to, each counted once for each service port.");
    page.sample(&[], document.summary.endpoints);
    findings(checked, pick, &mut page);
    skipped(&checked.skipped, &mut page);
    lost(&checked.findings, &mut page);
    page.text
}

/// How many findings there are of each check that was made.
fn findings(checked: &Checked, pick: &Pick, page: &mut Page) {
    page.head("kube_ipt_findings", "Findings, by code. No sample: not looked for, or not everywhere.");
    for check in CHECKS.iter().filter(|check| pick.wants(check)) {
        let mut counts: BTreeMap<Severity, usize> = BTreeMap::new();
        for finding in checked.findings.iter().filter(|finding| finding.check == *check) {
            *counts.entry(finding.severity).or_default() += 1;
        }
        if !checked.skipped.iter().any(|skipped| skipped.check == *check) {
            counts.entry(check.severity).or_default();
        }
        for (severity, count) in counts.into_iter().rev() {
            page.sample(&[("code", check.slug), ("id", check.id), ("severity", severity.as_str())], count);
        }
    }
}

/// Why checks were not made. The sentences that people read hold numbers and would make ever new series.
fn skipped(skipped: &[Skipped], page: &mut Page) {
    let reason = |skipped: &Skipped| match skipped {
        Skipped { for_lines: true, .. } => "rules-missing",
        Skipped { reason, .. } if reason == NO_OBJECTS => "no-objects",
        _ => "not-comparable",
    };
    let all: BTreeSet<_> = skipped.iter().map(|one| (one.check.id, one.check.slug, reason(one))).collect();
    page.head("kube_ipt_check_skipped", "1 for a check that was not made, or not of everything.");
    for (id, code, reason) in all {
        page.sample(&[("code", code), ("id", id), ("reason", reason)], 1);
    }
}

/// A service port and a check that found something about it.
type Place<'f> = (&'f str, Option<Protocol>, Option<Family>, &'static str, &'static str);

/// The part of new connections that findings of severity error affect, by service port and code.
fn lost(findings: &[Finding], page: &mut Page) {
    let mut all: Vec<(Place<'_>, f64)> = parts(findings).into_iter().collect();
    let services = |all: &[(Place<'_>, f64)]| {
        all.iter()
            .map(|((service, protocol, family, ..), _)| (*service, *protocol, *family))
            .collect::<BTreeSet<_>>()
            .len()
    };
    page.head(
        "kube_ipt_affected_service_ports",
        "Service ports whose connections are lost, or go where they must not.",
    );
    page.sample(&[], services(&all));
    page.head(
        "kube_ipt_lost_ratio",
        "The part of a service port's new connections, 0 to 1, that is lost or goes where it must not; of those that lose most.",
    );
    all.order_by(|(place, part), (other, least)| least.total_cmp(part).then_with(|| place.cmp(other)));
    all.truncate(SERVICES);
    for ((service, protocol, family, id, code), part) in all {
        let protocol = protocol.map(|protocol| protocol.to_string());
        let labels = [
            ("service", Some(service)),
            ("protocol", protocol.as_deref()),
            ("family", family.map(Family::as_str)),
            ("code", Some(code)),
            ("id", Some(id)),
        ];
        let known: Vec<_> = labels.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
        page.sample(&known, part);
    }
}

/// What the findings about each endpoint of a service port affect adds up; of several pools the one that loses most counts.
fn parts(findings: &[Finding]) -> BTreeMap<Place<'_>, f64> {
    let mut of_endpoints: BTreeMap<(Place<'_>, Option<&str>), f64> = BTreeMap::new();
    for finding in findings.iter().filter(|finding| finding.severity == Severity::Error) {
        let (Some(service), Some(share)) = (finding.service.as_deref(), finding.share) else { continue };
        let Check { id, slug, .. } = finding.check;
        let place = (service, finding.protocol, finding.family, *id, *slug);
        let part = of_endpoints.entry((place, finding.address.as_deref())).or_default();
        *part = part.max(share);
    }
    let mut parts = BTreeMap::new();
    for ((place, _), part) in of_endpoints {
        let sum: &mut f64 = parts.entry(place).or_default();
        *sum = (*sum + part).min(1.0);
    }
    parts
}

/// Metrics, one below the other.
#[derive(Default)]
struct Page {
    text: String,
    /// The metric whose samples are being written.
    name: &'static str,
}

impl Page {
    /// Begins a metric. All are gauges: each check looks anew.
    fn head(&mut self, name: &'static str, help: &str) {
        self.name = name;
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} gauge");
    }

    fn sample(&mut self, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let labels: Vec<String> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        let _ = writeln!(self.text, "{}{labels} {value}", self.name);
    }
}

/// The value of a label as the format wants it. It may be printed to a terminal all the same.
fn escaped(value: &str) -> String {
    let line = |line: &str| clean(line).replace('\\', "\\\\").replace('"', "\\\"");
    value.split('\n').map(line).collect::<Vec<_>>().join("\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_may_hold_anything() {
        let mut page = Page::default();
        page.head("m", "Help.");
        page.sample(&[("a", "x\\y\"z\nw"), ("b", "")], 0.25);
        page.sample(&[], 3);
        assert_eq!(page.text, "# HELP m Help.\n# TYPE m gauge\nm{a=\"x\\\\y\\\"z\\nw\",b=\"\"} 0.25\nm 3\n");
    }
}
