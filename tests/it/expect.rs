//! What the objects of a recording say should be programmed is what its kube-proxy programmed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use kube_ipt::cluster::{Facts, Saved};
use kube_ipt::dataplane::Policy;
use kube_ipt::expect::{Cluster, Expected, Viewpoint};
use kube_ipt::net::{Family, Host};
use serde_json::Value;

use crate::cases::{cases, gunzip};
use crate::run::nodes;

/// Addresses by `service/protocol` and policy.
type Pools = BTreeMap<String, BTreeMap<String, Vec<String>>>;

/// The objects recorded with a case: in its folder, or in the one above for nodes of one cluster.
pub(crate) fn objects_of(case: &Path) -> PathBuf {
    let above = case.parent().expect("a folder");
    let names = ["cluster.json", "cluster.json.gz"];
    let places = [case, above].into_iter().flat_map(|folder| names.iter().map(move |name| folder.join(name)));
    places.into_iter().find(|path| path.exists()).unwrap_or_else(|| panic!("no objects for {}", case.display()))
}

pub(crate) fn facts(path: &Path) -> Facts {
    let gzipped = path.extension().is_some_and(|e| e == "gz");
    let text = if gzipped { gunzip(path) } else { fs::read_to_string(path).expect("readable") };
    let mut saved = Saved::default();
    saved.read("cluster.json", &text).expect("objects");
    saved.into_facts()
}

fn addresses(expected: &Expected<'_>, policy: Policy) -> Vec<String> {
    let Some(pool) = expected.pools.get(policy) else { return Vec::new() };
    let members = pool.as_ref().expect("node and zone are known").iter().map(|&n| expected.members[n]);
    members.map(|m| format!("{}:{}", Host(m.address), m.port)).collect()
}

/// What `facts` want on `node`, without pools that are empty.
///
/// A Cluster pool is left out where all connections go to the local one: kube-proxy writes its chain for nobody.
fn wanted(facts: &Facts, node: &str, family: Family) -> Pools {
    let cluster = Cluster::new(facts, Viewpoint::of(Some(node), facts));
    let mut pools = Pools::new();
    for port in cluster.ports().filter(|port| port.family == family) {
        let Some(protocol) = port.protocol() else { continue };
        let expected = cluster.expected(&port);
        for (policy, name) in [(Policy::Cluster, "cluster"), (Policy::Local, "local")] {
            let mut found = addresses(&expected, policy);
            found.sort();
            if !found.is_empty() {
                let service = pools.entry(format!("{}/{protocol}", port.name())).or_default();
                service.insert(name.to_owned(), found);
            }
        }
    }
    pools
}

fn recorded(case: &Path, family: &str) -> (Pools, String) {
    let plain = case.join("expected.json");
    let text = if plain.exists() {
        fs::read_to_string(plain).expect("readable")
    } else {
        gunzip(&case.join("expected.json.gz"))
    };
    let expected: Value = serde_json::from_str(&text).expect("JSON");
    let mut pools = Pools::new();
    for (service, policies) in expected[family]["services"].as_object().expect("services") {
        for (policy, endpoints) in policies.as_object().expect("pools") {
            let mut addresses: Vec<String> = endpoints.as_object().expect("addresses").keys().cloned().collect();
            addresses.sort();
            if !addresses.is_empty() {
                pools.entry(service.clone()).or_default().insert(policy.clone(), addresses);
            }
        }
    }
    (pools, expected["node"].as_str().expect("a node").to_owned())
}

/// The cases in which kube-proxy was in sync, and the large one.
fn in_sync() -> Vec<PathBuf> {
    let named = ["seed/in-sync", "seed/recovered", "kitchen-sink/node1", "kitchen-sink/node2", "kitchen-sink/node3"];
    named.into_iter().chain(["faults/clean", "large"]).map(|name| nodes().join(name)).collect()
}

#[test]
fn expected_is_what_was_programmed() {
    for case in in_sync() {
        let facts = facts(&objects_of(&case));
        for family in [Family::Ipv4, Family::Ipv6] {
            if family == Family::Ipv6 && case.ends_with("large") {
                continue;
            }
            let (recorded, node) = recorded(&case, family.as_str());
            assert_eq!(wanted(&facts, &node, family), recorded, "{} {family}", case.display());
        }
    }
    assert!(cases().len() > in_sync().len());
}
