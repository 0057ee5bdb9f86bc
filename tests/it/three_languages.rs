//! One cluster, written as rules of all three modes of kube-proxy, is read back as one dataplane.
//!
//! The modes differ by design in what follows, and in nothing else:
//!
//! - IPVS mode sends everybody who connects to an external address or node port under Local policy to the endpoints of the
//!   node, unmasqueraded. The other modes send pods and the node itself to all endpoints, as if they had come back from
//!   outside.
//! - Where Local policy leaves no endpoint, IPVS mode falls back to those of other nodes, if the Service uses them for
//!   anything. If it does not (only internal traffic, under Local policy), the virtual server is empty and refuses. The
//!   other modes drop.
//! - So there is a pool in IPVS mode only if an address or node port has its policy.
//! - Without any endpoint, iptables mode refuses the node itself at external addresses only if they are its own
//!   (KUBE-EXTERNAL-SERVICES is not reached from OUTPUT), and lets it out to others. The other modes refuse it.
//! - Affinity of a Service without endpoints is seen in IPVS mode alone.
//! - Source ranges of a load balancer count in nftables and IPVS mode even if there is no endpoint: others are dropped, where
//!   iptables mode refuses everybody. In IPVS mode the node itself is refused before a rule could drop it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use kube_ipt::net::Family;
use serde_json::Value;

use crate::run::kube_ipt;
use crate::three::{self, Cluster, Face, NODE};

const SEEDS: u64 = 40;

/// Service, protocol and family.
type Key = (String, String, String);

/// Kind, address and port.
type At = (String, Option<String>, u64);

/// What becomes of connections from some source networks; of all others where there are none.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Route {
    origin: String,
    sources: Vec<String>,
    verdict: Option<String>,
    policy: Option<String>,
    masquerade: Option<bool>,
}

/// A service port without what names rules.
#[derive(Debug, Clone, PartialEq)]
struct Port {
    affinity: Option<u64>,
    frontends: BTreeMap<At, BTreeSet<Route>>,
    /// Endpoints with their shares, by policy.
    pools: BTreeMap<String, BTreeMap<String, Option<f64>>>,
    undelivered: BTreeMap<String, Option<f64>>,
    /// Policies that more than one pool has.
    repeated: BTreeSet<String>,
}

/// The texts of one cluster in a folder of its own.
struct Written {
    folder: tempfile::TempDir,
    iptables: Vec<PathBuf>,
    nftables: Vec<PathBuf>,
    ipvs: Vec<PathBuf>,
}

impl Written {
    fn new(cluster: &Cluster) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            fs::write(&path, text).expect("written");
            path
        };
        let iptables = vec![file("iptables.txt", &three::iptables(cluster))];
        let nftables = vec![file("ruleset.nft", &three::nftables(cluster))];
        let ipvs = three::ipvs(cluster).iter().map(|(name, text)| file(name, text)).collect();
        Self { folder, iptables, nftables, ipvs }
    }

    fn languages(&self) -> [(&'static str, &[PathBuf]); 3] {
        [("iptables", &self.iptables), ("nftables", &self.nftables), ("ipvs", &self.ipvs)]
    }

    /// The objects of a cluster, which need not be the one that rules were written for.
    fn objects(&self, cluster: &Cluster) -> PathBuf {
        let path = self.folder.path().join("objects.json");
        fs::write(&path, three::objects(cluster).to_string()).expect("written");
        path
    }
}

/// The answer to `command`, with its exit status.
fn answer(command: &str, objects: &Path, rules: &[PathBuf]) -> (Value, Option<i32>) {
    let mut run = kube_ipt(command).arg("-o").arg("json").arg("--node").arg(NODE).arg("--objects").arg(objects);
    for file in rules {
        run = run.arg("-f").arg(file);
    }
    let (stdout, stderr, status) = run.output();
    assert_eq!(stderr, "", "{command} {}", rules[0].display());
    (serde_json::from_str(&stdout).expect("JSON"), status)
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn sorted(mut sources: Vec<String>) -> Vec<String> {
    sources.sort();
    sources
}

fn ports(document: &Value) -> BTreeMap<Key, Port> {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let named = |value: &Value| text(value).unwrap_or_else(|| panic!("{value} is no name"));
    let route = |route: &Value| Route {
        origin: named(&route["origin"]),
        sources: sorted(list(&route["sources"]).iter().map(named).collect()),
        verdict: text(&route["verdict"]),
        policy: text(&route["policy"]),
        masquerade: route["masquerade"].as_bool(),
    };
    let mut all = BTreeMap::new();
    for service in list(&document["services"]) {
        let frontend = |frontend: &Value| {
            let at = (named(&frontend["kind"]), text(&frontend["address"]), frontend["port"].as_u64().expect("a port"));
            (at, list(&frontend["routes"]).iter().map(route).collect())
        };
        let frontends: Vec<_> = list(&service["frontends"]).iter().map(frontend).collect();
        let (mut pools, mut undelivered, mut repeated) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        for pool in list(&service["pools"]) {
            let endpoints = list(&pool["endpoints"]);
            let shares = endpoints.iter().map(|e| (named(&e["address"]), e["probability"].as_f64()));
            let policy = named(&pool["policy"]);
            undelivered.insert(policy.clone(), pool["undelivered"].as_f64());
            if pools.insert(policy.clone(), shares.collect()).is_some() {
                repeated.insert(policy);
            }
        }
        let count = frontends.len();
        let port = Port {
            affinity: service["session_affinity_seconds"].as_u64(),
            frontends: frontends.into_iter().collect(),
            pools,
            undelivered,
            repeated,
        };
        assert_eq!(port.frontends.len(), count, "the same frontend twice: {service}");
        let key = (named(&service["service"]), named(&service["protocol"]), named(&service["family"]));
        assert!(all.insert(key.clone(), port).is_none(), "twice: {key:?}");
    }
    all
}

fn key(face: &Face<'_>) -> Key {
    (face.label(), face.port.protocol.to_string(), face.family.as_str().to_owned())
}

/// Where the load balancer of a face listens, with the source ranges.
fn balancers(face: &Face<'_>) -> Vec<At> {
    let at = |ip: &std::net::IpAddr| ("load-balancer".to_owned(), Some(ip.to_string()), u64::from(face.port.number));
    face.balancers().map(at).collect()
}

fn ranges(face: &Face<'_>) -> Vec<String> {
    sorted(face.ranges().into_iter().map(str::to_owned).collect())
}

fn route(origin: &str, sources: &[String], verdict: &str, policy: Option<&str>, masquerade: bool) -> Route {
    let (verdict, policy) = (Some(verdict.to_owned()), policy.map(str::to_owned));
    Route { origin: origin.to_owned(), sources: sources.to_vec(), verdict, policy, masquerade: Some(masquerade) }
}

/// The same for all origins, within source ranges if there are any; what is outside of them is dropped.
fn routes(sources: &[String], verdict: &str, policy: Option<&str>) -> BTreeSet<Route> {
    let of = |origin: &&str| {
        let within = route(origin, sources, verdict, policy, false);
        let others = (!sources.is_empty()).then(|| route(origin, &[], "drop", None, false));
        std::iter::once(within).chain(others).collect::<Vec<_>>()
    };
    ["pod", "node", "external"].iter().flat_map(of).collect()
}

/// What nftables mode makes of a face that iptables mode makes `port` of.
fn in_nftables(face: &Face<'_>, port: &Port) -> Port {
    let (mut port, sources) = (port.clone(), ranges(face));
    if !face.cluster().is_empty() {
        return port;
    }
    for (_, found) in port.frontends.iter_mut().filter(|(at, _)| at.1.is_some() && at.0 != "cluster-ip") {
        if found.remove(&route("node", &[], "none", None, false)) {
            found.insert(route("node", &[], "reject", None, false));
        }
    }
    if !sources.is_empty() {
        port.frontends.extend(balancers(face).into_iter().map(|at| (at, routes(&sources, "reject", None))));
    }
    port
}

/// What IPVS mode makes of a face that iptables mode makes `port` of.
fn in_ipvs(face: &Face<'_>, port: &Port) -> Port {
    let mut port = in_nftables(face, port);
    let (served, service) = (!face.cluster().is_empty(), face.service);
    // The endpoints of other nodes are the pool of the whole cluster, whoever is sent there.
    let fallback = if face.local().is_empty() { "cluster" } else { "local" };
    for (at, found) in &mut port.frontends {
        let sources = if at.0 == "load-balancer" { ranges(face) } else { Vec::new() };
        let own = at.0 == "cluster-ip";
        if !served && !sources.is_empty() {
            found.retain(|route| route.origin != "node");
            found.insert(route("node", &[], "reject", None, false));
        }
        if served && !own && service.external_local {
            *found = routes(&sources, "pool", Some(fallback));
        }
        if served && own && service.internal_local && face.local().is_empty() {
            *found = if face.real_servers(true).is_empty() {
                routes(&[], "reject", None)
            } else {
                let to = |origin: &str| route(origin, &[], "pool", Some(fallback), origin != "pod");
                ["pod", "node", "external"].into_iter().map(to).collect()
            };
        }
    }
    // Without an endpoint there is nothing to stick to in other modes; a virtual server says it all the same.
    port.affinity = service.affinity.map(u64::from);
    port.pools.clear();
    for (policy, local) in [("cluster", false), ("local", true)] {
        let own = service.internal_local == local;
        let external = face.is_external() && service.external_local == local;
        let real = face.real_servers(local);
        if (own || external) && !real.is_empty() {
            let share = Some(1.0 / f64::from(u32::try_from(real.len()).expect("few")));
            let policy = if local { fallback } else { policy };
            port.pools.insert(policy.to_owned(), real.into_iter().map(|address| (address, share)).collect());
        }
    }
    port.undelivered = port.pools.keys().map(|policy| (policy.clone(), Some(0.0))).collect();
    port
}

/// What must be there whatever the language, from the cluster itself: a test of the three against each other alone would
/// not see what all of them lack.
fn is_whole(face: &Face<'_>, port: &Port) {
    let service = face.service;
    let number = u64::from(face.port.number);
    let at = |kind: &str, ip: &std::net::IpAddr| (kind.to_owned(), Some(ip.to_string()), number);
    let mut frontends: BTreeSet<At> = balancers(face).into_iter().collect();
    frontends.insert(at("cluster-ip", &face.cluster_ip()));
    frontends.extend(face.external_ips().map(|ip| at("external-ip", ip)));
    frontends.extend(face.port.on_node.map(|number| ("node-port".to_owned(), None, u64::from(number))));
    assert_eq!(port.frontends.keys().cloned().collect::<BTreeSet<_>>(), frontends);
    let sticky = service.affinity.map(u64::from).filter(|_| !port.pools.is_empty());
    assert_eq!(port.affinity, sticky, "affinity");
    for (policy, endpoints) in [("cluster", face.cluster()), ("local", face.local())] {
        if let Some(pool) = port.pools.get(policy) {
            assert_eq!(pool.keys().cloned().collect::<BTreeSet<_>>(), endpoints.into_iter().collect(), "{policy}");
        }
    }
}

/// How two readings differ, in words.
fn differences(found: &Port, expected: &Port) -> Vec<String> {
    let mut wrong = Vec::new();
    for at in found.frontends.keys().chain(expected.frontends.keys()).collect::<BTreeSet<_>>() {
        let (have, want) = (found.frontends.get(at), expected.frontends.get(at));
        if have != want {
            wrong.push(format!("{at:?}\n    have {have:?}\n    want {want:?}"));
        }
    }
    for policy in found.pools.keys().chain(expected.pools.keys()).collect::<BTreeSet<_>>() {
        let (have, want) = (found.pools.get(policy), expected.pools.get(policy));
        if !have.zip(want).is_some_and(|(have, want)| are_alike(have, want)) {
            wrong.push(format!("pool {policy}\n    have {have:?}\n    want {want:?}"));
        }
    }
    if found.undelivered != expected.undelivered {
        wrong.push(format!("undelivered {:?}, not {:?}", found.undelivered, expected.undelivered));
    }
    if found.repeated != expected.repeated {
        wrong.push(format!("more than one pool is of the policies {:?}", found.repeated));
    }
    if found.affinity != expected.affinity {
        wrong.push(format!("affinity {:?}, not {:?}", found.affinity, expected.affinity));
    }
    wrong
}

/// True if the same addresses have the same shares, which are all known.
fn are_alike(one: &BTreeMap<String, Option<f64>>, other: &BTreeMap<String, Option<f64>>) -> bool {
    let same = |(address, share): (&String, &Option<f64>)| {
        other.get(address).copied().flatten().zip(*share).is_some_and(|(have, want)| (have - want).abs() < 1e-6)
    };
    one.len() == other.len() && one.iter().all(same)
}

#[test]
fn one_cluster_is_one_dataplane_in_all_three_languages() {
    let (mut compared, mut wrong) = (0, Vec::new());
    for seed in 0..SEEDS {
        let cluster = Cluster::generated(seed);
        let written = Written::new(&cluster);
        let objects = written.objects(&cluster);
        let [iptables, nftables, ipvs] = written.languages().map(|(language, rules)| {
            let (document, status) = answer("show", &objects, rules);
            assert_eq!(status, Some(0), "{language}, seed {seed}");
            assert_eq!(document["source"]["dataplane"], language, "seed {seed}");
            ports(&document)
        });
        let wanted: BTreeSet<Key> = cluster.faces().map(|face| key(&face)).collect();
        for (language, found) in [("iptables", &iptables), ("nftables", &nftables), ("ipvs", &ipvs)] {
            assert_eq!(found.keys().cloned().collect::<BTreeSet<_>>(), wanted, "{language}, seed {seed}");
        }
        for face in cluster.faces() {
            let key = key(&face);
            is_whole(&face, &iptables[&key]);
            let wanted = [in_nftables(&face, &iptables[&key]), in_ipvs(&face, &iptables[&key])];
            for (language, found, wanted) in [("nftables", &nftables, &wanted[0]), ("ipvs", &ipvs, &wanted[1])] {
                let differences = differences(&found[&key], wanted);
                wrong.extend(differences.into_iter().map(|w| format!("seed {seed}, {language}: {key:?} {w}")));
            }
            compared += 1;
        }
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    assert!(compared > 500, "only {compared} service ports were there to compare");
}

#[test]
fn rules_in_step_are_faultless_in_all_three_languages() {
    let mut wrong = Vec::new();
    for seed in 0..SEEDS {
        let cluster = Cluster::generated(seed);
        let written = Written::new(&cluster);
        let objects = written.objects(&cluster);
        for (language, rules) in written.languages() {
            let (document, status) = answer("check", &objects, rules);
            let findings = document["findings"].as_array().expect("findings").iter();
            let serious = findings.filter(|f| f["severity"] != "info");
            let before = wrong.len();
            wrong.extend(serious.map(|f| {
                format!("seed {seed}, {language}: {} {} {}: {}", f["code"], f["service"], f["family"], f["message"])
            }));
            assert_eq!(status, Some(i32::from(wrong.len() > before)), "{language}, seed {seed}");
        }
    }
    assert!(wrong.is_empty(), "{} findings:\n{}", wrong.len(), wrong.join("\n"));
}

/// Code, service, protocol and address.
type Fault = (String, Option<String>, Option<String>, Option<String>);

/// The cluster without one endpoint, and the faults that rules with it have. Where the endpoint is the last one of a pool
/// the modes differ by design, so that another one is taken.
fn without_one(cluster: &Cluster, seed: u64) -> Option<(Cluster, BTreeSet<Fault>)> {
    let ready = |n: usize| cluster.services[n].endpoints.iter().filter(|e| e.ready);
    let is_here = |node: Option<u16>| node.is_some_and(|node| format!("node{node}") == NODE);
    let here = |n: usize| ready(n).filter(|e| is_here(e.node)).count();
    let mut choices = Vec::new();
    for (n, service) in cluster.services.iter().enumerate() {
        let local = service.internal_local || service.external_local;
        for (at, endpoint) in service.endpoints.iter().enumerate().filter(|(_, e)| e.ready) {
            // Under Local policy alone, endpoints of other nodes are in no rule.
            let stays = if local { here(n) > usize::from(is_here(endpoint.node)) } else { ready(n).count() > 1 };
            let is_used = !service.internal_local || is_here(endpoint.node);
            if stays && is_used {
                choices.push((n, at));
            }
        }
    }
    let index = usize::try_from(seed).expect("a small seed") % choices.len().max(1);
    let (n, at) = *choices.get(index)?;
    let mut left = cluster.clone();
    let gone = left.services[n].endpoints.remove(at);
    let fault = |face: Face<'_>| {
        let protocol = face.port.protocol.to_string();
        ("stale-endpoint".to_owned(), Some(face.label()), Some(protocol), Some(face.address(&gone)))
    };
    Some((left, cluster.services[n].faces().map(fault).collect()))
}

#[test]
fn an_endpoint_that_is_gone_is_the_same_fault_in_all_three_languages() {
    let (mut checked, mut wrong) = (0, Vec::new());
    for seed in 0..SEEDS {
        let cluster = Cluster::generated(seed);
        let Some((left, expected)) = without_one(&cluster, seed) else { continue };
        let written = Written::new(&cluster);
        let objects = written.objects(&left);
        for (language, rules) in written.languages() {
            let (document, status) = answer("check", &objects, rules);
            assert_eq!(status, Some(1), "{language}, seed {seed}");
            let findings = document["findings"].as_array().expect("findings").iter();
            let fault = |f: &Value| {
                let code = text(&f["code"]).expect("a code");
                (code, text(&f["service"]), text(&f["protocol"]), text(&f["address"]))
            };
            let found: BTreeSet<Fault> = findings.map(fault).collect();
            let said = |what: &str, fault: &Fault| format!("seed {seed}, {language}: {what} {fault:?}");
            wrong.extend(found.difference(&expected).map(|fault| said("found", fault)));
            wrong.extend(expected.difference(&found).map(|fault| said("missed", fault)));
        }
        checked += 1;
    }
    assert!(wrong.is_empty(), "{} faults:\n{}", wrong.len(), wrong.join("\n"));
    assert!(checked > 30, "only {checked} clusters had an endpoint to lose");
}

#[test]
fn generated_clusters_hold_every_case() {
    let mut seen = BTreeSet::new();
    for cluster in (0..SEEDS).map(Cluster::generated) {
        for face in cluster.faces() {
            let (served, here) = (!face.cluster().is_empty(), !face.local().is_empty());
            let service = face.service;
            let balanced = face.balancers().next().is_some();
            for (case, holds) in [
                ("IPv4", face.family == Family::Ipv4),
                ("IPv6", face.family == Family::Ipv6),
                ("no endpoint", !served),
                ("internal Local", service.internal_local && here),
                (
                    "internal Local, none here, nothing external",
                    service.internal_local && served && !here && !face.is_external(),
                ),
                (
                    "internal Local, none here, external",
                    service.internal_local && served && !here && face.is_external(),
                ),
                ("external Local", service.external_local && here),
                ("external Local, none here", service.external_local && served && !here),
                ("source ranges", balanced && !face.ranges().is_empty() && served),
                ("source ranges under Local", balanced && !face.ranges().is_empty() && here && service.external_local),
                ("source ranges without endpoints", balanced && !face.ranges().is_empty() && !served),
                ("affinity", service.affinity.is_some() && served),
                ("affinity without endpoints", service.affinity.is_some() && !served),
                ("affinity under Local", service.affinity.is_some() && here && service.external_local),
                ("SCTP node port", face.port.protocol.to_string() == "sctp" && face.port.on_node.is_some()),
                ("UDP node port", face.port.protocol.to_string() == "udp" && face.port.on_node.is_some()),
                ("balancer without node port", balanced && face.port.on_node.is_none()),
                ("external IP", face.external_ips().next().is_some() && served),
                ("unnamed port", face.port.name.is_none()),
                ("both families", service.cluster_ips.len() == 2),
            ] {
                if holds {
                    seen.insert(case);
                }
            }
        }
    }
    assert_eq!(seen.len(), 20, "of 20 cases only {seen:#?}");
}
