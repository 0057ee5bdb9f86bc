//! What should be programmed: each rule of kube-proxy by itself, and for recordings in sync what was programmed.

use std::collections::BTreeMap;
use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use kube_ipt::cluster::{Facts, Saved};
use kube_ipt::dataplane::Policy;
use kube_ipt::expect::{Cluster, Expected, Role, Viewpoint};
use kube_ipt::net::{Family, Host};
use serde_json::{Value, json};

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

/// A Service `shop/web` with one port, `http` 80/TCP, changed by `spec`.
#[expect(clippy::needless_pass_by_value, reason = "reads like the object")]
fn service(spec: Value) -> Value {
    let mut object = json!({
        "kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {
            "type": "ClusterIP", "clusterIPs": ["10.96.0.9"], "ipFamilies": ["IPv4"],
            "ports": [{"name": "http", "port": 80, "protocol": "TCP"}],
        },
    });
    merge(&mut object["spec"], &spec);
    object
}

/// A slice of `shop/web` with the port `http` 8080/TCP.
#[expect(clippy::needless_pass_by_value, reason = "reads like the object")]
fn slice(name: &str, endpoints: Value) -> Value {
    json!({
        "kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4", "endpoints": endpoints,
        "metadata": {"name": name, "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
    })
}

/// A ready endpoint at 10.0.0.`n` on a node.
fn endpoint(n: u8, node: &str) -> Value {
    json!({"addresses": [format!("10.0.0.{n}")], "conditions": {"ready": true}, "nodeName": node})
}

#[expect(clippy::needless_pass_by_value, reason = "reads like the object")]
fn with(mut object: Value, more: Value) -> Value {
    merge(&mut object, &more);
    object
}

fn merge(object: &mut Value, more: &Value) {
    for (key, value) in more.as_object().expect("an object").clone() {
        object[key] = value;
    }
}

fn node(name: &str, zone: Option<&str>) -> Value {
    let labels = zone.map_or(json!({}), |zone| json!({"topology.kubernetes.io/zone": zone}));
    json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": name, "labels": labels}})
}

/// Objects as facts, from one list.
fn cluster(objects: &[Value]) -> Facts {
    let mut saved = Saved::default();
    saved.read("objects", &json!(objects).to_string()).expect("objects");
    saved.into_facts()
}

/// What is expected of the only port of `shop/web` from `on`, in words: each pool, then each frontend.
fn on(on: &str, objects: &[Value]) -> String {
    let facts = cluster(objects);
    let cluster = Cluster::new(&facts, Viewpoint::of(Some(on).filter(|node| !node.is_empty()), &facts));
    let ports: Vec<_> = cluster.ports().collect();
    let words: Vec<String> = ports.iter().map(|port| describe(&cluster.expected(port))).collect();
    words.join(" | ")
}

fn describe(expected: &Expected<'_>) -> String {
    let mut words = Vec::new();
    for (policy, name) in [(Policy::Cluster, "cluster"), (Policy::Local, "local")] {
        match expected.pools.get(policy) {
            None => {}
            Some(Err(gap)) => words.push(format!("{name}: {gap:?} not known")),
            Some(Ok(members)) => {
                let last = |n: &usize| {
                    let m = expected.members[*n];
                    let IpAddr::V4(ip) = m.address else { return format!("{}:{}", Host(m.address), m.port) };
                    let port = if m.port == 8080 { String::new() } else { format!(":{}", m.port) };
                    format!(".{}{port}", ip.octets()[3])
                };
                words.push(format!("{name}: {}", members.iter().map(last).collect::<Vec<_>>().join(" ")));
            }
        }
    }
    for frontend in &expected.frontends {
        let captured = match frontend.captured {
            Some(true) => "",
            Some(false) => " not captured",
            None => " perhaps captured",
        };
        let at = frontend.address.map(|ip| Host(ip).to_string()).unwrap_or_default();
        let sources: Vec<String> = frontend.sources.iter().map(|network| format!(" from {network}")).collect();
        words.push(format!(
            "{:?} {at}:{} {:?}{}{captured}",
            frontend.kind,
            frontend.port,
            frontend.policy,
            sources.concat()
        ));
    }
    words.join(", ")
}

/// Three ready endpoints, one on each node.
fn three() -> Value {
    json!([endpoint(1, "node1"), endpoint(2, "node2"), endpoint(3, "node3")])
}

#[test]
fn a_plain_service_uses_every_ready_endpoint() {
    let objects = [service(json!({})), slice("web-1", three())];
    assert_eq!(on("node1", &objects), "cluster: .1 .2 .3, ClusterIp 10.96.0.9:80 Cluster");
    assert_eq!(on("", &objects), on("node1", &objects), "nothing here depends on the node");
}

#[test]
fn absent_conditions_mean_ready_and_a_missing_serving_means_what_ready_says() {
    let plain = json!({"addresses": ["10.0.0.1"]});
    let unready = json!({"addresses": ["10.0.0.2"], "conditions": {"ready": false}});
    let ending = json!({"addresses": ["10.0.0.3"], "conditions": {"ready": false, "terminating": true}});
    let objects = [service(json!({})), slice("web-1", json!([plain, unready, ending]))];
    assert_eq!(on("node1", &objects), "cluster: .1, ClusterIp 10.96.0.9:80 Cluster");
    let objects = [service(json!({})), slice("web-1", json!([unready, ending]))];
    assert_eq!(on("node1", &objects), "cluster: , ClusterIp 10.96.0.9:80 Cluster not captured");
}

#[test]
fn only_the_first_address_of_an_endpoint_counts() {
    let two = json!([{"addresses": ["10.0.0.1", "10.0.0.2"]}, {"addresses": []}]);
    assert_eq!(on("node1", &[service(json!({})), slice("web-1", two)]), "cluster: .1, ClusterIp 10.96.0.9:80 Cluster");
}

#[test]
fn without_a_ready_endpoint_those_that_end_and_still_serve_are_used() {
    let ending = |n, node: &str| {
        with(endpoint(n, node), json!({"conditions": {"ready": false, "serving": true, "terminating": true}}))
    };
    let objects = [service(json!({})), slice("web-1", json!([ending(1, "node1"), ending(2, "node2")]))];
    assert_eq!(on("node1", &objects), "cluster: .1 .2, ClusterIp 10.96.0.9:80 Cluster");
    let objects = [service(json!({})), slice("web-1", json!([ending(1, "node1"), endpoint(2, "node2")]))];
    assert_eq!(on("node1", &objects), "cluster: .2, ClusterIp 10.96.0.9:80 Cluster");
    // The local pool falls back by itself: on node1 to the one that ends, though another node has a ready one.
    let local = service(
        json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"name": "http", "port": 80, "nodePort": 30080}]}),
    );
    let objects = [local, slice("web-1", json!([ending(1, "node1"), endpoint(2, "node2")]))];
    assert_eq!(on("node1", &objects), "cluster: .2, local: .1, ClusterIp 10.96.0.9:80 Cluster, NodePort :30080 Local");
}

#[test]
fn hints_for_this_node_go_before_hints_for_its_zone() {
    let hinted = |n, node: &str, hints: Value| with(endpoint(n, node), json!({"hints": hints}));
    let both = |n: u8, node: &str, zone: &str| {
        hinted(n, node, json!({"forNodes": [{"name": node}], "forZones": [{"name": zone}]}))
    };
    let all = json!([both(1, "node1", "a"), both(2, "node2", "a"), both(3, "node3", "b")]);
    let nodes = [node("node1", Some("a")), node("node4", Some("a")), node("node5", Some("c")), node("node6", None)];
    let mut objects = vec![service(json!({})), slice("web-1", all)];
    objects.extend(nodes);
    let pool = |name: &str| on(name, &objects).split(", Cl").next().expect("a pool").to_owned();
    assert_eq!(pool("node1"), "cluster: .1");
    assert_eq!(pool("node4"), "cluster: .1 .2", "no hint names node4, its zone's do");
    assert_eq!(pool("node5"), "cluster: .1 .2 .3", "no hint names zone c");
    assert_eq!(pool("node6"), "cluster: .1 .2 .3", "node6 has no zone");
    assert_eq!(pool("node2"), "cluster: .2", "for hints by node the zone need not be known");
    assert_eq!(pool("node9"), "cluster: Zone not known", "its Node was not read");
    assert_eq!(pool(""), "cluster: Node not known");
}

#[test]
fn hints_count_only_if_every_ready_endpoint_has_them() {
    let hinted = |n, node: &str| with(endpoint(n, node), json!({"hints": {"forZones": [{"name": "a"}]}}));
    let unready = with(endpoint(4, "node1"), json!({"conditions": {"ready": false}}));
    let one = node("node1", Some("a"));
    let objects = [service(json!({})), slice("web-1", json!([hinted(1, "node1"), endpoint(2, "node2")])), one.clone()];
    assert_eq!(on("node1", &objects), "cluster: .1 .2, ClusterIp 10.96.0.9:80 Cluster");
    let objects = [service(json!({})), slice("web-1", json!([hinted(1, "node1"), unready])), one];
    assert_eq!(on("node1", &objects), "cluster: .1, ClusterIp 10.96.0.9:80 Cluster");
}

#[test]
fn internal_local_policy_keeps_to_the_node() {
    let objects = [service(json!({"internalTrafficPolicy": "Local"})), slice("web-1", three())];
    assert_eq!(on("node1", &objects), "local: .1, ClusterIp 10.96.0.9:80 Local");
    assert_eq!(on("node9", &objects), "local: , ClusterIp 10.96.0.9:80 Local not captured");
    assert_eq!(on("", &objects), "local: Node not known, ClusterIp 10.96.0.9:80 Local perhaps captured");
    // Reached from outside too, it needs both pools.
    let ports = json!([{"name": "http", "port": 80, "nodePort": 30080}]);
    let both = service(json!({"internalTrafficPolicy": "Local", "type": "NodePort", "ports": ports}));
    let objects = [both, slice("web-1", three())];
    assert_eq!(
        on("node1", &objects),
        "cluster: .1 .2 .3, local: .1, ClusterIp 10.96.0.9:80 Local, NodePort :30080 Cluster"
    );
}

#[test]
fn external_local_policy_matters_only_to_what_is_reached_from_outside() {
    let local = json!({"type": "LoadBalancer", "externalTrafficPolicy": "Local"});
    let objects = [service(local.clone()), slice("web-1", three())];
    assert_eq!(on("node1", &objects), "cluster: .1 .2 .3, ClusterIp 10.96.0.9:80 Cluster");
    let mut balanced = service(local);
    balanced["status"] = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}, {"hostname": "lb.example"}]}});
    let objects = [balanced, slice("web-1", three())];
    let expected = "cluster: .1 .2 .3, local: , ClusterIp 10.96.0.9:80 Cluster, LoadBalancer 192.0.2.1:80 Local";
    assert_eq!(on("node9", &objects), expected, "captured without local endpoints: dropped there");
}

#[test]
fn addresses_from_outside() {
    let mut all = service(json!({
        "type": "LoadBalancer", "externalIPs": ["198.51.100.7", "2001:db8::7"],
        "loadBalancerSourceRanges": ["203.0.113.0/24", " 2001:db8::/32"],
        "ports": [{"name": "http", "port": 80, "nodePort": 30080}],
    }));
    all["status"] = json!({"loadBalancer": {"ingress": [
        {"ip": "192.0.2.1", "ipMode": "VIP"}, {"ip": "192.0.2.2", "ipMode": "Proxy"}, {"ip": "2001:db8::1"},
    ]}});
    let objects = [all, slice("web-1", three())];
    let expected = "cluster: .1 .2 .3, ClusterIp 10.96.0.9:80 Cluster, ExternalIp 198.51.100.7:80 Cluster, LoadBalancer 192.0.2.1:80 \
                    Cluster from 203.0.113.0/24, NodePort :30080 Cluster";
    assert_eq!(on("node1", &objects), expected);
}

#[test]
fn both_families_have_their_own_endpoints() {
    let dual = service(json!({"clusterIPs": ["10.96.0.9", "fd00:96::9"], "ipFamilies": ["IPv4", "IPv6"]}));
    let mut six = slice("web-6", json!([{"addresses": ["fd00::1"], "nodeName": "node1"}]));
    six["addressType"] = json!("IPv6");
    let named = slice("web-n", json!([{"addresses": ["web.example"]}]));
    let named = with(named, json!({"addressType": "FQDN"}));
    let objects = [dual, slice("web-4", three()), six, named];
    let expected = "cluster: .1 .2 .3, ClusterIp 10.96.0.9:80 Cluster | cluster: [fd00::1]:8080, ClusterIp [fd00:96::9]:80 Cluster";
    assert_eq!(on("node1", &objects), expected);
}

#[test]
fn ports_are_matched_by_name_and_protocol() {
    let ports = json!([{"name": "http", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"}, {"name": "gone", "port": 1}]);
    let named = service(json!({"ports": ports}));
    let slice_ports = json!([
        {"name": "http", "port": 8080}, {"name": "dns", "port": 5353, "protocol": "UDP"},
        {"name": "dns", "port": 5454, "protocol": "TCP"}, {"name": "gone"},
    ]);
    let objects = [named, with(slice("web-1", json!([endpoint(1, "node1")])), json!({"ports": slice_ports}))];
    let expected = "cluster: .1, ClusterIp 10.96.0.9:80 Cluster | cluster: .1:5353, ClusterIp 10.96.0.9:53 Cluster | cluster: , ClusterIp \
                    10.96.0.9:1 Cluster not captured";
    assert_eq!(on("node1", &objects), expected);
    let unnamed = service(json!({"ports": [{"port": 80}]}));
    for ports in [json!([{"port": 8080}]), json!([{"name": "", "port": 8080, "protocol": "TCP"}])] {
        let objects = [unnamed.clone(), with(slice("web-1", json!([endpoint(1, "node1")])), json!({"ports": ports}))];
        assert_eq!(on("node1", &objects), "cluster: .1, ClusterIp 10.96.0.9:80 Cluster");
    }
}

#[test]
fn several_slices_are_one_and_their_order_does_not_matter() {
    let unready = with(endpoint(1, "node1"), json!({"conditions": {"ready": false}}));
    let slices = [
        slice("web-a", json!([unready, endpoint(2, "node2")])),
        slice("web-b", json!([endpoint(1, "node1"), endpoint(3, "node3")])),
        with(slice("web-c", json!([endpoint(3, "node3")])), json!({"ports": [{"name": "http", "port": 9090}]})),
    ];
    for order in [[0, 1, 2], [2, 1, 0], [1, 0, 2]] {
        let mut objects = vec![service(json!({}))];
        objects.extend(order.iter().map(|&n: &usize| slices[n].clone()));
        assert_eq!(on("node1", &objects), "cluster: .1 .2 .3 .3:9090, ClusterIp 10.96.0.9:80 Cluster");
    }
}

#[test]
fn not_ready_addresses_that_are_published_are_ready_in_the_slice() {
    let objects = [service(json!({"publishNotReadyAddresses": true})), slice("web-1", three())];
    assert_eq!(on("node1", &objects), "cluster: .1 .2 .3, ClusterIp 10.96.0.9:80 Cluster");
}

#[test]
fn a_service_without_selector_has_the_endpoints_somebody_wrote() {
    let by_hand = json!([{"addresses": ["10.0.0.9"]}]);
    let objects = [service(json!({"selector": null})), slice("by-hand", by_hand)];
    assert_eq!(on("node1", &objects), "cluster: .9, ClusterIp 10.96.0.9:80 Cluster");
    assert_eq!(on("", &objects), on("node1", &objects));
}

#[test]
fn some_services_are_not_kube_proxys() {
    let label = |name: &str| {
        with(service(json!({})), json!({"metadata": {"name": "web", "namespace": "shop", "labels": {name: "x"}}}))
    };
    for (object, role) in [
        (service(json!({"clusterIP": "None", "clusterIPs": ["None"]})), Role::Headless),
        (label("service.kubernetes.io/headless"), Role::Headless),
        (label("service.kubernetes.io/service-proxy-name"), Role::OtherProxy),
        (service(json!({"type": "ExternalName", "externalName": "example.org"})), Role::ExternalName),
        (service(json!({"clusterIP": "", "clusterIPs": []})), Role::NoClusterIp),
    ] {
        let objects = [object, slice("web-1", three())];
        let facts = cluster(&objects);
        let ports: Vec<Role> = Cluster::new(&facts, Viewpoint::default()).ports().map(|port| port.role()).collect();
        assert_eq!(ports, [role]);
        assert_eq!(on("node1", &objects), "", "{role:?}");
    }
}

#[test]
fn a_sticky_service_says_for_how_long() {
    let seconds = |spec: Value| {
        let facts = cluster(&[service(spec), slice("web-1", three())]);
        let cluster = Cluster::new(&facts, Viewpoint::default());
        cluster.expected(&cluster.ports().next().expect("a port")).affinity_seconds
    };
    let config = json!({"clientIP": {"timeoutSeconds": 600}});
    assert_eq!(seconds(json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config})), Some(600));
    assert_eq!(seconds(json!({"sessionAffinity": "ClientIP"})), Some(10_800));
    assert_eq!(seconds(json!({"sessionAffinity": "None", "sessionAffinityConfig": null})), None);
}

#[test]
fn slices_that_were_not_read_are_a_gap() {
    let objects = [service(
        json!({"type": "NodePort", "externalTrafficPolicy": "Local", "ports": [{"port": 80, "nodePort": 30080}]}),
    )];
    let expected = "cluster: Endpoints not known, local: Endpoints not known, ClusterIp 10.96.0.9:80 Cluster perhaps captured, NodePort \
                    :30080 Local perhaps captured";
    assert_eq!(on("node1", &objects), expected);
}

#[test]
fn another_node_expects_another_share_of_topology_and_local_policy() {
    let facts = facts(&nodes().join("kitchen-sink/cluster.json"));
    let of = |name: &str| wanted(&facts, name, Family::Ipv4);
    let (one, two) = (of("node1"), of("node2"));
    let differ: Vec<&String> = one.keys().filter(|service| one.get(*service) != two.get(*service)).collect();
    assert_eq!(differ, ["edge/gw-lb:https/tcp", "edge/gw-local/tcp", "edge/gw-zone/tcp"]);
}
