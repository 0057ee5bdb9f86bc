//! `check -o prometheus`: what Prometheus reads, by a strict reading of its text format, and by promtool where that is.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::process::{Command, Stdio};

use crate::run::{Run, kube_ipt, node};

/// Samples: the metric with its labels, as written, and the value.
type Samples = BTreeMap<String, f64>;

/// Reads the text format as strictly as it is described: HELP and TYPE before the samples of a metric, each metric once and
/// in one piece, no sample twice, names and labels in their alphabets, every line ended.
#[track_caller]
fn read(text: &str) -> Samples {
    assert!(text.ends_with('\n'), "the last line is ended");
    let (mut samples, mut seen, mut metric) = (Samples::new(), BTreeSet::new(), "");
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        if let Some(help) = line.strip_prefix("# HELP ") {
            metric = help.split_once(' ').expect("words of help").0;
            assert!(metric.starts_with("kube_ipt_") && is_name(metric), "{line}");
            assert!(seen.insert(metric), "{metric} comes twice");
            assert_eq!(lines.next(), Some(&*format!("# TYPE {metric} gauge")));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').expect("a value");
        let (name, labels) = series
            .split_once('{')
            .map_or((series, ""), |(name, rest)| (name, rest.strip_suffix('}').expect("labels are closed")));
        assert_eq!(name, metric, "a sample among those of another metric");
        assert!(
            !metric.ends_with("_ratio") || (0.0..=1.0).contains(&value.parse::<f64>().expect("a number")),
            "{line}"
        );
        read_labels(labels);
        let value = value.parse().expect("a number");
        assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
    }
    samples
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[track_caller]
fn read_labels(mut rest: &str) {
    let mut names = BTreeSet::new();
    while !rest.is_empty() {
        let (name, value) = rest.split_once("=\"").expect("a label");
        assert!(is_name(name) && names.insert(name), "{name}");
        let mut escaped = false;
        let end = value.char_indices().find(|(_, c)| {
            let ends = *c == '"' && !escaped;
            assert!(!escaped || matches!(c, '\\' | '"' | 'n'), "\\{c} is no escape");
            escaped = *c == '\\' && !escaped;
            ends
        });
        let end = end.expect("the value is closed").0;
        rest = value[end + 1..].strip_prefix(',').unwrap_or(&value[end + 1..]);
    }
}

/// The metrics of a check.
#[track_caller]
fn metrics(run: Run) -> (Samples, String) {
    let (text, stderr, status) = run.args("-o prometheus").output();
    assert!(matches!(status, Some(0 | 1)), "{stderr}");
    (read(&text), text)
}

const STALE: &str = r#"kube_ipt_findings{code="stale-endpoint",id="KI101",severity="error"}"#;
const LOST: &str = r#"kube_ipt_lost_ratio{service="nginx-demo/nginx-service",protocol="tcp",family="ipv4",code="stale-endpoint",id="KI101"}"#;

#[test]
fn a_finding_counts_and_counts_nothing_when_it_is_gone() {
    let (stale, _) = metrics(kube_ipt("check --demo=stale"));
    assert!((stale[STALE] - 1.0).abs() < f64::EPSILON);
    assert!((stale[LOST] - 1.0 / 3.0).abs() < 1e-6);
    assert!((stale["kube_ipt_affected_service_ports"] - 1.0).abs() < f64::EPSILON);
    let (fine, _) = metrics(kube_ipt("check --demo"));
    assert_eq!(fine[STALE].to_bits(), 0.0_f64.to_bits());
    assert!(!fine.contains_key(LOST));
    let info = r#"kube_ipt_source_info{mode="iptables",backend="nf_tables",node="node1"}"#;
    assert!(fine.contains_key(info), "{fine:?}");
}

#[test]
fn the_metrics_are_those_of_the_json() {
    for (folder, objects) in [
        ("seed/stale", "seed/stale/cluster.json"),
        ("kitchen-sink/node2", "kitchen-sink/cluster.json"),
        ("faults/leaky-chain", "faults/leaky-chain/cluster.json.gz"),
        ("faults/stale-endpoint-deleted", "faults/stale-endpoint-deleted/cluster.json.gz"),
        ("ipvs/leftover", "ipvs/leftover/cluster.json"),
    ] {
        let dump = node(&format!("{folder}/save.txt"));
        let run = || kube_ipt("check --fail-on never --node node1 -f").arg(&dump).arg("--objects").arg(node(objects));
        let (samples, _) = metrics(run());
        let (json, stderr, _) = run().args("-o json").output();
        let json: serde_json::Value = serde_json::from_str(&json).expect(&stderr);
        let of = |name: &str| {
            samples.iter().filter(|(series, _)| series.starts_with(name)).map(|(_, value)| value).sum::<f64>()
        };
        let findings = json["findings"].as_array().expect("findings").len();
        assert_eq!(of("kube_ipt_findings{").to_string(), findings.to_string(), "{folder}");
        assert_eq!(of("kube_ipt_service_ports").to_string(), json["summary"]["services"].to_string(), "{folder}");
        assert_eq!(of("kube_ipt_endpoints").to_string(), json["summary"]["endpoints"].to_string(), "{folder}");
    }
}

#[test]
fn what_is_not_looked_for_has_no_sample() {
    let stale = node("seed/stale/save.txt");
    let (alone, _) = metrics(kube_ipt("check --no-api -f").arg(&stale));
    assert!(!alone.contains_key(STALE), "without objects nobody knows");
    let skipped = r#"kube_ipt_check_skipped{code="stale-endpoint",id="KI101",reason="no-objects"}"#;
    assert!(alone.contains_key(skipped), "{alone:?}");
    assert_eq!(alone["kube_ipt_compared"].to_bits(), 0.0_f64.to_bits());
    let (one, _) = metrics(kube_ipt("check --demo --select KI101"));
    assert_eq!(one.keys().filter(|series| series.starts_with("kube_ipt_findings{")).collect::<Vec<_>>(), [STALE]);
}

#[test]
#[cfg(feature = "live")]
fn metrics_are_those_of_one_node() {
    let stderr = "error: metrics are those of one node, which its own node_exporter serves\n  try:  kube-ipt manifest daemonset    (has \
                  every node write its own)";
    assert_eq!(kube_ipt("check --all-nodes -o prometheus").status(2).stderr(stderr).stdout(), "");
}

#[test]
fn promtool_reads_it() {
    let (_, text) = metrics(kube_ipt("check --demo=stale"));
    let child =
        Command::new("promtool").args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = child else { return };
    child.stdin.take().expect("a pipe").write_all(text.as_bytes()).expect("promtool reads");
    let output = child.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
