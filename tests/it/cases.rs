//! Every recorded node gives the shares it must give, in every dump format there is of it.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::run::{Run, kube_ipt, nodes, services};

/// Pools by `service/protocol` and policy; shares by address.
type Shares = BTreeMap<String, BTreeMap<String, BTreeMap<String, Option<f64>>>>;

/// Formats of the nat table of IPv4, and of both families in several files.
const FORMATS: [&str; 7] = [
    "nat-S.txt",
    "save.txt",
    "save-c.txt",
    "save-nat.txt",
    "nat-S-grep-KUBE.txt",
    "nat-L-n-line-numbers.txt",
    "nat-L-n-v.txt",
];

/// Folders with an expected.json whose node runs kube-proxy in iptables mode.
pub(crate) fn cases() -> Vec<PathBuf> {
    let of_iptables =
        |folder: &PathBuf| !["nftables", "ipvs"].iter().any(|mode| folder.starts_with(nodes().join(mode)));
    let found: Vec<PathBuf> = all_in(&nodes()).into_iter().filter(of_iptables).collect();
    assert!(found.len() >= 19, "recorded nodes are missing: {found:?}");
    found
}

/// Folders in and below `folder` with an expected.json.
pub(crate) fn all_in(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("fixtures are there") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path.file_name().is_some_and(|n| n == "expected.json") {
                found.push(folder.clone());
            }
        }
    }
    found.sort();
    found
}

pub(crate) fn gunzip(path: &Path) -> String {
    let mut text = String::new();
    let file = fs::File::open(path).expect("the fixture is there");
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).expect("gzip of text");
    text
}

fn observed(document: &Value, family: &str) -> Shares {
    let mut shares = Shares::new();
    for service in document["services"].as_array().expect("services") {
        if service["family"] != family {
            continue;
        }
        let name =
            format!("{}/{}", service["service"].as_str().unwrap_or("?"), service["protocol"].as_str().unwrap_or("?"));
        let pools = shares.entry(name).or_default();
        for pool in service["pools"].as_array().expect("pools") {
            let endpoints = pools.entry(pool["policy"].as_str().expect("a policy").to_owned()).or_default();
            for endpoint in pool["endpoints"].as_array().expect("endpoints") {
                let address = endpoint["address"].as_str().expect("an address").to_owned();
                endpoints.insert(address, endpoint["probability"].as_f64());
            }
        }
    }
    shares
}

/// True if both are the same share, or none can be told of either.
fn is_near(one: Option<f64>, other: Option<f64>) -> bool {
    one.zip(other).map_or(one == other, |(one, other)| (one - other).abs() < 1e-9)
}

/// Both ways: every expected pool is there with its shares, and nothing else is.
#[track_caller]
pub(crate) fn assert_shares(expected: &Value, document: &Value, family: &str, label: &str) {
    let mut observed = observed(document, family);
    for (service, pools) in expected[family]["services"].as_object().expect("services") {
        let mut have = observed.remove(service).unwrap_or_default();
        for (policy, endpoints) in pools.as_object().expect("pools") {
            let have = have.remove(policy).unwrap_or_default();
            let want: BTreeMap<String, Option<f64>> =
                serde_json::from_value(endpoints.clone()).expect("addresses with shares");
            let same = have.len() == want.len()
                && want.iter().all(|(address, share)| have.get(address).is_some_and(|h| is_near(*h, *share)));
            assert!(same, "{label}: {service} {policy}: expected {want:?}, got {have:?}");
        }
        assert!(have.is_empty(), "{label}: {service} has further pools: {have:?}");
    }
    // What the API no longer has is no part of the expected shares; the rules still have it.
    let findings = expected[family]["findings"].as_array().expect("findings");
    let stale = |service: &str| {
        findings
            .iter()
            .any(|f| f["code"] == "stale-service" && service.starts_with(f["service"].as_str().unwrap_or("?")))
    };
    observed.retain(|service, pools| pools.values().any(|endpoints| !endpoints.is_empty()) && !stale(service));
    assert!(observed.is_empty(), "{label}: further services: {observed:?}");
}

/// The answer. Of a node without a hook it comes with a note.
fn shown(run: Run, case: &Path) -> Value {
    let note = "note: PREROUTING of the nat table does not lead to KUBE-SERVICES: no Service can be reached from pods or from outside\n  \
                try:  kube-ipt explain missing-hook";
    let run = if case.ends_with("missing-hook") { run.stderr(note) } else { run };
    run.json()
}

#[test]
fn every_format_of_every_recording_gives_its_shares() {
    let mut checked = 0;
    for case in cases() {
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(case.join("expected.json")).expect("readable")).expect("JSON");
        for format in FORMATS {
            let dump = case.join(format);
            if !dump.exists() {
                continue;
            }
            let document = shown(kube_ipt("show --no-api -f").arg(&dump), &case);
            assert_shares(&expected, &document, "ipv4", &dump.display().to_string());
            checked += 1;
        }
    }
    assert!(checked >= 70, "only {checked} dumps were there to check");
}

#[test]
fn both_families_in_one_run() {
    for case in cases().iter().filter(|case| case.join("save6.txt").exists()) {
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(case.join("expected.json")).expect("readable")).expect("JSON");
        let (four, six) = (case.join("save.txt"), case.join("save6.txt"));
        let document = shown(kube_ipt("show -f").arg(&four).arg("-f").arg(&six), case);
        let label = case.display().to_string();
        assert_shares(&expected, &document, "ipv4", &label);
        assert_shares(&expected, &document, "ipv6", &label);
        // The same in one text, and narrowed to a family.
        let both = fs::read_to_string(&four).expect("readable") + &fs::read_to_string(&six).expect("readable");
        assert_eq!(services(shown(kube_ipt("show").stdin(&both), case)), services(document.clone()), "{label}");
        let six: Vec<Value> =
            services(document).as_array().expect("a list").iter().filter(|s| s["family"] == "ipv6").cloned().collect();
        let (only, _, status) = kube_ipt("show -o json --family ipv6").stdin(&both).output();
        assert_eq!(status, Some(i32::from(six.is_empty())), "{label}");
        let only: Value = serde_json::from_str(&only).expect("JSON");
        assert_eq!(services(only).as_array(), Some(&six), "{label}");
    }
}

#[test]
fn a_node_above_the_limit_where_comments_disappear() {
    let case = nodes().join("large");
    let expected: Value = serde_json::from_str(&gunzip(&case.join("expected.json.gz"))).expect("JSON");
    let document = kube_ipt("show").stdin(gunzip(&case.join("nat-S.txt.gz"))).json();
    assert_shares(&expected, &document, "ipv4", "large");
}
