//! Rules joined with objects: pods, nodes and states beside endpoints, and what the rules lack.

use std::path::Path;

use serde_json::{Value, json};

use crate::cases::gunzip;
use crate::expect::objects_of;
use crate::run::{Run, kube_ipt, node, nodes};

/// `kube-ipt ARGS` on the rules of a recorded node, joined with its objects.
fn on(case: &str, args: &str) -> Run {
    let folder = nodes().join(case);
    kube_ipt(args).arg("--objects").arg(objects_of(&folder)).arg("-f").arg(folder.join("save.txt"))
}

/// A tree without its last lines, of which one names a path of this machine.
fn tree(run: Run) -> String {
    let text = run.stdout();
    let text = text.split("\nmore: ").next().expect("a tree");
    let (tree, footer) = text.trim_end().rsplit_once('\n').expect("a tree and its footer");
    assert!(footer.contains(" · objects from ") || footer.contains(" · with its objects"), "{footer}");
    tree.to_owned()
}

fn services(run: Run) -> Vec<Value> {
    run.json()["services"].as_array().expect("services").clone()
}

/// `address state reason` of every endpoint, with those that are missing.
fn states(service: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for pool in service["pools"].as_array().expect("pools") {
        for endpoint in pool["endpoints"].as_array().expect("endpoints") {
            let word = |key: &str| endpoint[key].as_str().unwrap_or("-").to_owned();
            found.push(format!("{} {} {}", word("address"), word("state"), word("reason")));
        }
        for missing in pool["missing"].as_array().into_iter().flatten() {
            found.push(format!("{} missing", missing["address"].as_str().expect("an address")));
        }
    }
    found
}

#[test]
fn a_stale_endpoint_is_told_first_and_in_red() {
    insta::assert_snapshot!(kube_ipt("show nginx-service --demo=stale").stdout());
    let coloured = kube_ipt("show nginx-service --demo=stale --color always").stdout();
    for red in ["✗ 1 of 3 endpoints is stale", "✗ stale: no pod has this address"] {
        assert!(coloured.contains(&format!("\u{1b}[31;1m{red}\u{1b}[")), "{coloured:?}");
    }
    assert!(coloured.contains("\u{1b}[33m! ready, but not programmed\u{1b}["), "{coloured:?}");
}

#[test]
fn every_kind_of_service_in_a_list() {
    let six = nodes().join("kitchen-sink/node2/save6.txt");
    let both = |args: &str| on("kitchen-sink/node2", args).arg("-f").arg(&six).arg("--node").arg("node2").stdout();
    insta::assert_snapshot!("list_joined", both("list"));
    insta::assert_snapshot!("list_joined_wide", both("list -o wide"));
    insta::assert_snapshot!("show_joined_table", both("show -o table edge/gw-lb shop/nobody-np shop/headless"));
    insta::assert_snapshot!("show_joined", tree(on("kitchen-sink/node2", "show --node node2")));
}

#[test]
fn every_recorded_fault_is_seen() {
    let list = |case: &str| {
        let table = on(&format!("faults/{case}"), "list --family ipv4 --node node1").stdout();
        let wrong: Vec<&str> = table.lines().filter(|line| line.contains('✗') || line.contains("missing")).collect();
        wrong.join("\n").split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for (case, expected) in [
        ("clean", ""),
        (
            "stale-endpoint-deleted",
            "shop/cart:http tcp ClusterIP 10.96.25.172:80 4/3 ✗ 1 stale shop/cart:metrics tcp ClusterIP 10.96.25.172:9090 4/3 ✗ 1 stale \
             shop/sctp:s1ap sctp ClusterIP 10.96.102.43:36412 4/3 ✗ 1 stale",
        ),
        ("stale-endpoint-ip-reused", "nginx-demo/nginx-service tcp ClusterIP 10.96.78.10:80 3/2 ✗ 1 stale"),
        (
            "stale-endpoint-port-changed",
            "nginx-demo/nginx-service tcp ClusterIP 10.96.78.10:80 3/3 ✗ 3 stale, 3 missing",
        ),
        ("stale-service", "shop/manual:pg tcp 10.96.39.164:5432 2 ✗ the cluster has no such Service, 2 stale"),
        ("missing-service", "shop/fresh:80-8080 tcp ClusterIP 10.96.115.143:80 0/7 ✗ no rules"),
        (
            "missing-endpoint",
            "infra/dns:dns udp ClusterIP 10.96.92.103:53 2/3 ! 1 missing infra/dns:dns-tcp tcp ClusterIP 10.96.92.103:53 2/3 ! 1 missing",
        ),
    ] {
        assert_eq!(list(case), expected, "{case}");
    }
}

#[test]
fn why_an_endpoint_is_stale() {
    let of = |case: &str, what: &str| {
        let found = services(on(&format!("faults/{case}"), &format!("show {what} --node node1")));
        states(&found[0])
    };
    let wrong = |states: Vec<String>| states.into_iter().filter(|s| !s.ends_with(" ready -")).collect::<Vec<_>>();
    assert_eq!(wrong(of("stale-endpoint-deleted", "shop/cart:http")), ["10.244.2.7:8080 stale deleted"]);
    assert_eq!(wrong(of("stale-endpoint-ip-reused", "nginx-service")), ["10.244.2.2:80 stale ip-reused"]);
    let changed = of("stale-endpoint-port-changed", "nginx-service");
    assert_eq!(changed.iter().filter(|s| s.ends_with(" stale port-changed")).count(), 3, "{changed:?}");
    assert_eq!(wrong(of("stale-endpoint-not-ready", "edge/gw-local")), ["10.244.1.3:8080 not-ready -"]);
    insta::assert_snapshot!(tree(on("faults/stale-endpoint-ip-reused", "show nginx-service --node node1")));
}

#[test]
fn a_service_without_rules_shows_what_it_should_have() {
    insta::assert_snapshot!(tree(on(
        "faults/missing-service",
        "show shop/fresh shop/ext shop/other-proxy v6only --node node1"
    )));
    let found = services(on("faults/missing-service", "show shop/fresh --node node1"));
    assert_eq!(found[0]["status"], "not-programmed");
    assert_eq!(found[0]["unprogrammed"].as_array().map(Vec::len), Some(7));
}

#[test]
fn statuses_say_why_there_are_no_rules() {
    let found = services(on("kitchen-sink/node2", "list --node node2"));
    let of = |status: &str| -> Vec<String> {
        let with = found.iter().filter(|service| service["status"] == status);
        with.map(|service| service["service"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(of("headless"), ["shop/headless"]);
    assert_eq!(of("external-name"), ["shop/ext"]);
    assert_eq!(of("other-proxy"), ["shop/other-proxy"]);
    assert_eq!(of("other-family"), ["edge/v6only"]);
    assert_eq!(of("no-endpoints"), ["shop/broken", "shop/nobody", "shop/nobody-np"]);
    assert_eq!(of("ok").len(), 16);
    assert_eq!(found.len(), 23);
}

#[test]
fn a_large_node_without_comments_joins_completely() {
    let large = nodes().join("large");
    let run = kube_ipt("show --node node1 --objects").arg(large.join("cluster.json.gz"));
    let found = services(run.stdin(gunzip(&large.join("nat-S.txt.gz"))));
    let mut endpoints = 0;
    for service in found.iter().filter(|service| service["family"] == "ipv4") {
        assert!(service["service"].is_string(), "{service}");
        for pool in service["pools"].as_array().expect("pools") {
            assert_eq!(pool["missing"], json!([]));
            for endpoint in pool["endpoints"].as_array().expect("endpoints") {
                assert_eq!(endpoint["state"], "ready", "{endpoint}");
                endpoints += 1;
            }
        }
    }
    assert!(endpoints >= 10_000, "{endpoints}");
}

#[test]
fn names_come_from_chains_where_no_comment_is_left() {
    let commented = std::fs::read_to_string(node("kitchen-sink/node2/save.txt")).expect("the recording is there");
    let mut bare = String::new();
    for line in commented.lines() {
        let mut rest = line;
        while let Some((before, after)) = rest.split_once("-m comment --comment ") {
            bare.push_str(before);
            // A quoted comment, or a single word.
            rest = match after.strip_prefix('"') {
                Some(quoted) => quoted.split_once("\" ").map_or("", |(_, rest)| rest),
                None => after.split_once(' ').map_or("", |(_, rest)| rest),
            };
        }
        bare.push_str(rest);
        bare.push('\n');
    }
    assert!(!bare.contains("comment"));
    let objects = nodes().join("kitchen-sink/cluster.json");
    let joined =
        |text: &str| kube_ipt("show --node node2 --objects").arg(&objects).stdin(text).json()["services"].take();
    assert_eq!(joined(&bare), joined(&commented));
}

#[test]
fn the_old_way_to_name_an_unnamed_port_joins_too() {
    // Before about 1.19 the comment ended in a colon, which was hashed too.
    let dump = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-NWV5X2332I4OT4T3 - [0:0]\n:KUBE-SEP-A - [0:0]\n\
                -A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment \"COMMENT\" -m tcp --dport 80 -j KUBE-SVC-NWV5X2332I4OT4T3\n\
                -A KUBE-SVC-NWV5X2332I4OT4T3 -j KUBE-SEP-A\n\
                -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:9376\nCOMMIT\n";
    let objects = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "hostnames", "namespace": "default"},
            "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}},
        {"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4",
            "metadata": {"name": "x", "namespace": "default", "labels": {"kubernetes.io/service-name": "hostnames"}},
            "endpoints": [{"addresses": ["10.0.0.1"]}], "ports": [{"port": 9376}]},
    ]});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    for comment in ["default/hostnames: cluster IP", "default/hostnames:", "nothing"] {
        let found = services(kube_ipt("show --objects").arg(&path).stdin(dump.replace("COMMENT", comment)));
        assert_eq!([&found[0]["service"], &found[0]["status"]], ["default/hostnames", "ok"], "{comment}");
    }
}

#[test]
fn what_may_be_a_pod() {
    let of = |what: &str| -> Vec<String> {
        let found = services(on("kitchen-sink/node2", &format!("show {what} --node node2")));
        found.iter().map(|service| service["service"].as_str().expect("a name").to_owned()).collect()
    };
    // gw-local keeps to its own node, and the pod is on node3; of v6only no rules were read.
    let gateways =
        ["edge/gw-ext", "edge/gw-lb:https", "edge/gw-lb-ranges:https", "edge/gw-local", "edge/gw-zone", "edge/v6only"];
    assert_eq!(of("edge/gw-67fbcbfc4d-lmb2q"), gateways);
    assert_eq!(of("gw-67fbcbfc4d-lmb2q"), of("edge/gw-67fbcbfc4d-lmb2q"));
    assert_eq!(of("10.244.3.2"), gateways[..5]);
    // An endpoint that should be programmed and is not is found by its address and by its pod.
    for what in ["10.244.1.4", "nginx-demo/nginx-deployment-85dbbcff49-mn8sf", "nginx-deployment-85dbbcff49-mn8sf"] {
        let found = services(kube_ipt(&format!("show {what} --demo=stale")));
        assert_eq!(found[0]["service"], "nginx-demo/nginx-service", "{what}");
    }
    let error = "error: nothing is called 'nginx-demo/nginx-deploymnt-x'; kube-ipt list names every Service";
    kube_ipt("show nginx-demo/nginx-deploymnt-x --demo").status(1).stderr(error).stdout();
}

#[test]
fn without_the_node_what_depends_on_it_is_not_guessed() {
    let note = "note: whose rules these are is not known, and with it which endpoints 3 service ports should have: --node NAME tells";
    let run = on("kitchen-sink/node2", "list -o json").stderr(note);
    let document: Value = serde_json::from_str(&run.stdout()).expect("JSON");
    assert_eq!(document["source"]["node"], Value::Null);
    let found = document["services"].as_array().expect("services");
    let open: Vec<&str> = found
        .iter()
        .filter(|s| s["pools"].as_array().expect("pools").iter().any(|pool| pool["expected"].is_null()))
        .map(|s| s["service"].as_str().expect("a name"))
        .collect();
    assert_eq!(open, ["edge/gw-lb:https", "edge/gw-local", "edge/gw-zone"]);
    let pools = found.iter().flat_map(|s| s["pools"].as_array().expect("pools"));
    assert!(pools.flat_map(|pool| pool["endpoints"].as_array().expect("endpoints")).all(|e| e["local"].is_null()));
    assert!(found.iter().all(|s| s["status"] != "stale" && s["status"] != "missing-endpoints"));
}

#[test]
fn the_wrong_node_is_another_expectation_and_an_unknown_one_an_error() {
    let table = on("kitchen-sink/node2", "list -n edge --node node1 --family ipv4").stdout();
    let row = |name: &str| table.lines().find(|line| line.starts_with(name)).expect("a row").to_owned();
    assert!(row("edge/gw-zone").contains("2/1 "), "{table}");
    assert!(row("edge/gw-local").contains("2/1 "), "{table}");
    let objects = nodes().join("kitchen-sink/cluster.json");
    let error = format!("error: no Node is called 'nod2' in {}\n  try:  --node node2", objects.display());
    on("kitchen-sink/node2", "list --node nod2").status(2).stderr(error).stdout();
    let stderr =
        format!("note: $NODE_NAME is elsewhere, but no Node of {} is called so: it is not used", objects.display());
    let (_, told, code) = on("kitchen-sink/node2", "list").env("NODE_NAME", "elsewhere").output();
    assert_eq!((told.lines().next(), code), (Some(stderr.as_str()), Some(0)));
    let note = "note: the rules are taken to be those of node node2 ($NODE_NAME)";
    let document = on("kitchen-sink/node2", "list").env("NODE_NAME", "node2").stderr(note).json();
    assert_eq!(document["source"]["node"], "node2");
}

/// The objects of the stale recording that `keep` keeps.
fn some_objects(folder: &Path, keep: impl Fn(&Value) -> bool) -> std::path::PathBuf {
    let text = std::fs::read_to_string(node("seed/stale/cluster.json")).expect("the recording is there");
    let mut list: Value = serde_json::from_str(&text).expect("JSON");
    list["items"].as_array_mut().expect("a list").retain(keep);
    let path = folder.join("some.json");
    std::fs::write(&path, list.to_string()).expect("writable");
    path
}

#[test]
fn what_was_not_saved_is_not_called_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = |path: &Path| {
        let run = kube_ipt("show -o json --node node1 --objects").arg(path).arg("-f").arg(node("seed/stale/save.txt"));
        let (stdout, _, code) = run.output();
        assert_eq!(code, Some(0));
        serde_json::from_str::<Value>(&stdout).expect("JSON")["services"].take()
    };
    let by_name = |services: &Value, name: &str| {
        let all = services.as_array().expect("services");
        all.iter().find(|service| service["service"] == name).expect("the service").clone()
    };
    // One namespace only: of the others nothing is known.
    let one = run(&some_objects(folder.path(), |item| item["metadata"]["namespace"] == "nginx-demo"));
    let dns = by_name(&one, "kube-system/kube-dns:dns");
    assert_eq!([&dns["status"], &dns["type"]], [&json!("ok"), &Value::Null]);
    assert_eq!(states(&dns), ["10.244.1.2:53 unknown -", "10.244.2.2:53 unknown -"]);
    // Of a Service whose slices are there, an address that is in none is stale; whose it is now was not saved.
    let nginx = by_name(&one, "nginx-demo/nginx-service");
    assert_eq!(states(&nginx)[0], "10.244.1.3:80 stale -");
    // No slices at all.
    let none = run(&some_objects(folder.path(), |item| item["kind"] != "EndpointSlice"));
    let nginx = by_name(&none, "nginx-demo/nginx-service");
    assert_eq!([&nginx["status"], &nginx["type"]], ["ok", "ClusterIP"]);
    assert!(states(&nginx).iter().all(|state| state.ends_with("unknown -")));
    // No Pods: stale all the same, but whether another pod has the address is not said.
    let no_pods = run(&some_objects(folder.path(), |item| item["kind"] != "Pod"));
    assert_eq!(states(&by_name(&no_pods, "nginx-demo/nginx-service"))[0], "10.244.1.3:80 stale -");
}

#[test]
fn rules_that_may_be_missing_from_the_dump_are_not_called_missing() {
    let dump = std::fs::read_to_string(node("seed/stale/save.txt")).expect("the recording is there");
    let objects = node("seed/stale/cluster.json");
    let of = |text: &str| {
        let run = kube_ipt("list -o json --node node1 --objects").arg(&objects).stdin(text);
        let (stdout, _, _) = run.output();
        let mut document: Value = serde_json::from_str(&stdout).expect("JSON");
        document["services"].take().as_array().expect("services").clone()
    };
    // grep took the rules of one Service.
    let grepped =
        dump.lines().filter(|l| l.contains("nginx") || l.contains("KUBE-SVC-I3HU")).collect::<Vec<_>>().join("\n");
    let found = of(&(grepped + "\n"));
    let dns = found.iter().find(|s| s["service"] == "kube-system/kube-dns:dns").expect("the cluster has it");
    assert_eq!([&dns["status"], &dns["unprogrammed"]], [&json!("unknown"), &Value::Null]);
    // The chain of an endpoint is missing from the dump: which endpoint that was is not known.
    let cut = dump
        .lines()
        .filter(|l| !l.starts_with("-A KUBE-SEP-NNLWCGX7WILFS762") && !l.starts_with(":KUBE-SEP-NNLWCGX7WILFS762"))
        .collect::<Vec<_>>()
        .join("\n");
    let found = of(&(cut + "\n"));
    let nginx = found.iter().find(|s| s["service"] == "nginx-demo/nginx-service").expect("the service");
    assert_eq!(nginx["pools"][0]["missing"], Value::Null);
}

#[test]
fn names_of_objects_cannot_steer_the_terminal() {
    let objects = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "nginx-service", "namespace": "nginx-demo"},
            "spec": {"type": "ExternalName", "externalName": "\u{1b}[2Jexample.org"}},
        {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "evil\u{1b}[31m", "namespace": "nginx-demo",
            "labels": {"service.kubernetes.io/service-proxy-name": "\u{202e}yxorp"}},
            "spec": {"clusterIP": "10.96.9.9", "ports": [{"port": 80}]}},
    ]});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    for args in ["show --node \u{1b}[1m", "list --node \u{1b}[1m", "show -o table --node \u{1b}[1m"] {
        let run = kube_ipt(args).arg("--objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
        let (stdout, stderr, code) = run.output();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stdout.contains("evil\\u{1b}[31m"), "{stdout}");
        assert!(!(stdout.clone() + &stderr).contains(['\u{1b}', '\u{202e}']), "{stdout}{stderr}");
    }
}

#[test]
fn manifest_prints_the_rights_that_are_needed() {
    insta::assert_snapshot!(kube_ipt("manifest rbac").stdout());
    let user = kube_ipt("manifest rbac --user").arg("a \"b\"").stdout();
    assert!(user.ends_with("  kind: User\n  name: \"a \\\"b\\\"\"\n"), "{user}");
    let account = kube_ipt("manifest rbac --service-account ops/reader").stdout();
    assert!(account.ends_with("- kind: ServiceAccount\n  name: \"reader\"\n  namespace: \"ops\"\n"), "{account}");
    assert!(!account.contains("kind: ServiceAccount\nmetadata"), "{account}");
    let (_, stderr, code) = kube_ipt("manifest rbac --user a --group b").output();
    assert_eq!(code, Some(2), "{stderr}");
}

/// The answer of `list` for the rules of a stale node with these objects, as `name status` of every service.
fn statuses(objects: &Value) -> Vec<String> {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    let run = kube_ipt("list -o json --node node1 --objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
    let (stdout, stderr, code) = run.output();
    assert_eq!(code, Some(0), "{stderr}");
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let services = document["services"].as_array().expect("services");
    services
        .iter()
        .map(|s| format!("{} {}", s["service"].as_str().expect("a name"), s["status"].as_str().expect("a status")))
        .collect()
}

/// The objects of the stale recording that `keep` keeps, as one list.
fn kept(keep: impl Fn(&Value) -> bool) -> Value {
    let text = std::fs::read_to_string(node("seed/stale/cluster.json")).expect("the recording is there");
    let mut list: Value = serde_json::from_str(&text).expect("JSON");
    list["items"].as_array_mut().expect("a list").retain(keep);
    list
}

#[test]
fn a_list_of_one_namespace_proves_nothing_of_others() {
    // `kubectl get services,endpointslices` without -A, in the namespace that has default/kubernetes.
    let found = statuses(&kept(|item| item["metadata"]["namespace"] == "default"));
    assert_eq!(found[0], "default/kubernetes:https ok");
    assert!(found[1..].iter().all(|status| status.ends_with(" ok")), "{found:?}");
    // Two lists of one namespace each are not all of the cluster.
    let one = kept(|item| item["metadata"]["namespace"] == "default");
    let two = kept(|item| item["metadata"]["namespace"] == "kube-system");
    let found = statuses(&json!([one, two]));
    assert!(found.iter().all(|status| status.ends_with(" ok")), "{found:?}");
    assert_eq!(statuses(&kept(|_| true))[4], "nginx-demo/nginx-service stale");
}

#[test]
fn an_object_picked_by_name_proves_nothing_of_its_service() {
    let objects = kept(|item| item["metadata"]["namespace"] == "nginx-demo" && item["kind"] != "Pod");
    let loose: String = objects["items"].as_array().expect("a list").iter().map(Value::to_string).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, loose).expect("writable");
    let note = "note: which endpoints 1 service port should have is not known: not all their EndpointSlices are known to be read";
    let run =
        kube_ipt("show nginx-service --node node1 --objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
    let found = services(run.stderr(note));
    assert_eq!(states(&found[0]), ["10.244.1.3:80 unknown -", "10.244.3.2:80 ready -", "10.244.3.3:80 ready -"]);
}

#[test]
fn pods_and_nodes_that_were_picked_are_not_all() {
    let of = |objects: &Value, extra: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("objects.json");
        std::fs::write(&path, objects.to_string()).expect("writable");
        let run = kube_ipt(&format!("show nginx-service {extra} -o json --objects")).arg(&path);
        let (stdout, stderr, code) = run.arg("-f").arg(node("seed/stale/save.txt")).output();
        assert_eq!(code, Some(0), "{stderr}");
        serde_json::from_str::<Value>(&stdout).expect("JSON")
    };
    let first = |document: &Value| document["services"][0]["pools"][0]["endpoints"][0]["reason"].clone();
    assert_eq!(first(&of(&kept(|_| true), "--node node1")), "deleted");
    // The Pods of one namespace only.
    let some = kept(|item| item["kind"] != "Pod" || item["metadata"]["namespace"] == "kube-system");
    assert_eq!(first(&of(&some, "--node node1")), Value::Null);
    // One Node of three: neither the only one there is, nor a reason to refuse another name.
    let one = kept(|item| item["kind"] != "Node" || item["metadata"]["name"] == "node2");
    assert_eq!(of(&one, "")["source"]["node"], Value::Null);
    assert_eq!(of(&one, "--node node1")["source"]["node"], "node1");
}

#[test]
fn an_address_of_a_node_is_not_called_nobodys() {
    let mut objects = kept(|_| true);
    let items = objects["items"].as_array_mut().expect("a list");
    let pod = items.iter_mut().find(|item| item["kind"] == "Pod").expect("a pod");
    pod["spec"]["hostNetwork"] = json!(true);
    pod["status"]["podIPs"] = json!([{"ip": "10.244.1.3"}]);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    let run =
        kube_ipt("show nginx-service --node node1 --objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
    assert!(run.stdout().contains("✗ stale: no endpoint of the Service"));
}

#[test]
fn a_node_that_lost_its_rules_lists_what_it_should_have() {
    let flushed = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n";
    let list = || kube_ipt("list --node node1 --objects").arg(node("seed/stale/cluster.json"));
    let why = "no Services in the 0 rules of stdin: there is no chain KUBE-SERVICES (does kube-proxy run in iptables mode there? its \
               other modes are seen with nft list ruleset and ipvsadm -Sn)";
    // Unless that is known, it may run in another one.
    list().stdin(flushed).status(1).stderr(format!("error: {why}")).stdout();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: iptables\n"}});
    std::fs::write(&path, map.to_string()).expect("writable");
    let table = list().arg("--objects").arg(&path).stdin(flushed).stderr(format!("note: {why}")).stdout();
    assert_eq!(table.lines().filter(|line| line.ends_with("✗ no rules")).count(), 5, "{table}");
    // Of a part of a dump this is not said.
    let run = kube_ipt("list --node node1 --objects")
        .arg(node("seed/stale/cluster.json"))
        .stdin("*nat\n:OUTPUT ACCEPT [0:0]\n");
    assert_eq!(run.output().2, Some(1));
}

#[test]
fn a_service_that_is_refused_though_it_has_endpoints() {
    let text = std::fs::read_to_string(node("kitchen-sink/cluster.json")).expect("the recording is there");
    let mut objects: Value = serde_json::from_str(&text).expect("JSON");
    for item in objects["items"].as_array_mut().expect("a list") {
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "broken" {
            for endpoint in item["endpoints"].as_array_mut().expect("endpoints") {
                endpoint["conditions"] = json!({"ready": true});
            }
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    let run = kube_ipt("show shop/broken --node node2 --objects")
        .arg(&path)
        .arg("-f")
        .arg(node("kitchen-sink/node2/save.txt"));
    let shown = run.stdout();
    assert!(
        shown.starts_with("shop/broken  tcp  ClusterIP  ✗ refused on this node, though 2 endpoints are usable\n"),
        "{shown}"
    );
}

#[test]
fn what_is_not_known_of_a_service_without_rules_is_said() {
    let objects = nodes().join("faults/missing-service/cluster.json.gz");
    let text = gunzip(&objects);
    let mut list: Value = serde_json::from_str(&text).expect("JSON");
    list["items"].as_array_mut().expect("a list").retain(|item| item["kind"] != "EndpointSlice");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, list.to_string()).expect("writable");
    let dump = nodes().join("faults/missing-service/save.txt");
    let note = "note: which endpoints 1 service port should have is not known: not all their EndpointSlices are known to be read";
    let run = kube_ipt("show shop/fresh --node node1 --objects").arg(&path).arg("-f").arg(dump).stderr(note);
    let found = services(run);
    assert_eq!([&found[0]["status"], &found[0]["unprogrammed"]], [&json!("unknown"), &Value::Null]);
}

#[test]
fn objects_of_another_cluster_are_noticed() {
    // Whether one Service is asked about or all.
    for args in ["list", "show kubernetes", "check nginx-service"] {
        let note = |objects: &str| {
            let run = kube_ipt(&format!("{args} --node node1 --objects")).arg(node(objects));
            run.arg("-f").arg(node("seed/stale/save.txt")).output().1
        };
        assert_eq!(note("seed/stale/cluster.json"), "");
        assert!(note("kitchen-sink/cluster.json").contains("seems to be of another cluster than the rules"), "{args}");
    }
}

#[test]
fn a_rule_without_protocol_still_finds_its_port() {
    let dump = "*nat\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n:KUBE-SEP-A - [0:0]\n\
                -A KUBE-SERVICES -d 10.96.101.105/32 -m comment --comment \"nginx-demo/nginx-service cluster IP\" -j KUBE-SVC-X\n\
                -A KUBE-SVC-X -j KUBE-SEP-A\n-A KUBE-SEP-A -j DNAT --to-destination 10.244.3.2:80\nCOMMIT\n";
    let run = kube_ipt("show nginx-service --node node1 --objects").arg(node("seed/stale/cluster.json")).stdin(dump);
    let found = services(run);
    assert_eq!(found.len(), 1);
    assert_eq!([&found[0]["type"], &found[0]["status"]], ["ClusterIP", "missing-endpoints"]);
}

#[test]
fn every_line_of_a_joined_tree_fits_the_terminal() {
    // The widths a tree can be drawn in are checked through the library, as a test has no terminal.
    use kube_ipt::dump::iptables::{Dump, Hints};
    use kube_ipt::expect::{Cluster, Viewpoint};
    use kube_ipt::join::{Join, known_names};
    use kube_ipt::net::Family;
    use kube_ipt::proxy::Extent;
    use kube_ipt::proxy::iptables::{Survey, rulesets};
    use kube_ipt::render::{self, Marks, View};
    for case in ["seed/stale", "kitchen-sink/node2", "faults/missing-service"] {
        let facts = crate::expect::facts(&objects_of(&nodes().join(case)));
        let cluster = Cluster::new(&facts, Viewpoint::of(Some("node1"), &facts));
        let text = std::fs::read_to_string(nodes().join(case).join("save.txt")).expect("the recording is there");
        let dumps = [Dump::scan(&text, Hints::default())];
        let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
        let survey = Survey::of(&rulesets, &known_names(&cluster));
        let mut services = survey.services(&survey.sketches().iter().collect::<Vec<_>>());
        let join = Join::new(&cluster, vec![Extent { tells_pods: true, ..Extent::whole(Family::Ipv4) }]);
        join.describe_all(&mut services);
        services.extend(join.ports().filter(|port| join.is_shown_alone(port, None)).map(|port| join.alone(&port)));
        for width in [60, 66, 80, 100, 120] {
            let drawn = render::services(&services, &[], &Marks::of(&[], 1), View { width: Some(width), all: true });
            for line in anstream::adapter::strip_str(&drawn).to_string().lines() {
                assert!(line.chars().count() <= width, "{width} columns: {line}");
            }
        }
    }
}

#[test]
fn rules_stay_under_their_frontends_where_objects_tell_the_kinds() {
    let bare = std::fs::read_to_string(node("kitchen-sink/node2/save.txt")).expect("the recording is there");
    let bare = bare.replace(" loadbalancer IP\"", "\"").replace(" external IP\"", "\"");
    let objects = nodes().join("kitchen-sink/cluster.json");
    for service in ["edge/gw-lb", "edge/gw-ext", "edge/gw-lb-ranges"] {
        let run = kube_ipt(&format!("show {service} --rules --node node2 --objects")).arg(&objects);
        let shown = run.stdin(&bare).stdout();
        let lines: Vec<&str> = shown.lines().collect();
        for (n, line) in lines.iter().enumerate() {
            for kind in ["cluster IP ", "external IP ", "load balancer "] {
                let Some(address) = line.split_once(kind).map(|(_, rest)| rest.split(':').next().expect("an address"))
                else {
                    continue;
                };
                if line.starts_with('├') {
                    assert!(lines[n + 1].contains(&format!("-d {address}/32")), "{line}\n{}", lines[n + 1]);
                }
            }
        }
    }
}

#[test]
fn core_endpoints_are_believed_for_what_they_know() {
    // kubectl get services,endpoints,pods,nodes -A: no slices, so no hints and no second family.
    let text = std::fs::read_to_string(node("kitchen-sink/cluster.json")).expect("the recording is there");
    let mut objects: Value = serde_json::from_str(&text).expect("JSON");
    for item in objects["items"].as_array_mut().expect("a list") {
        if item["kind"] != "EndpointSlice" {
            continue;
        }
        let service = item["metadata"]["labels"]["kubernetes.io/service-name"].clone();
        let ready = item["endpoints"].as_array().cloned().unwrap_or_default();
        let addresses: Vec<Value> = ready
            .iter()
            .filter(|endpoint| endpoint["conditions"]["ready"] != json!(false))
            .map(|endpoint| json!({"ip": endpoint["addresses"][0], "nodeName": endpoint["nodeName"]}))
            .collect();
        let subset = json!({"addresses": addresses, "ports": item["ports"].as_array().cloned().unwrap_or_default()});
        let metadata = json!({"name": service, "namespace": item["metadata"]["namespace"]});
        // Endpoints hold the Service's first family, which for all but one is IPv4.
        *item = if item["addressType"] == "IPv4" || service == "v6only" {
            json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": metadata, "subsets": [subset]})
        } else {
            json!({"kind": "Event", "apiVersion": "v1"})
        };
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    let files = [node("kitchen-sink/node2/save.txt"), node("kitchen-sink/node2/save6.txt")];
    let run =
        kube_ipt("list -o json --node node2 --objects").arg(&path).arg("-f").arg(&files[0]).arg("-f").arg(&files[1]);
    let (stdout, _, code) = run.output();
    assert_eq!(code, Some(0));
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    for service in document["services"].as_array().expect("services") {
        let status = service["status"].as_str().expect("a status");
        assert!(!["stale", "missing-endpoints", "not-programmed"].contains(&status), "{service:#}");
    }
}

#[test]
fn an_endpoint_that_ends_while_others_are_ready_is_a_caution() {
    let mut objects = kept(|_| true);
    for item in objects["items"].as_array_mut().expect("a list") {
        if item["metadata"]["labels"]["kubernetes.io/service-name"] == "kube-dns" {
            item["endpoints"][0]["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, objects.to_string()).expect("writable");
    let run =
        kube_ipt("list -n kube-system --node node1 --objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
    let table = run.stdout();
    assert_eq!(table.lines().filter(|line| line.ends_with("2/1        ! 1 terminating")).count(), 3, "{table}");
}

#[test]
fn objects_picked_from_several_namespaces_are_not_the_cluster() {
    let objects = kept(|item| {
        item["kind"] == "Service"
            && ["kubernetes", "kube-dns"].contains(&item["metadata"]["name"].as_str().unwrap_or_default())
    });
    let loose: String = objects["items"].as_array().expect("a list").iter().map(Value::to_string).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("objects.json");
    std::fs::write(&path, loose).expect("writable");
    let run = kube_ipt("list --node node1 --objects").arg(&path).arg("-f").arg(node("seed/stale/save.txt"));
    let (stdout, _, code) = run.output();
    assert_eq!(code, Some(0));
    assert!(!stdout.contains('✗'), "{stdout}");
}

#[test]
fn pods_that_the_rules_do_not_take_for_pods_are_told() {
    let text = std::fs::read_to_string(node("kitchen-sink/node2/save.txt")).expect("the recording is there");
    let told = |dump: &str, of: &str| {
        let run = kube_ipt("show nginx-service")
            .arg("--node")
            .arg(of)
            .arg("--objects")
            .arg(node("kitchen-sink/cluster.json"));
        run.stdin(dump).output().1
    };
    assert_eq!(told(&text, "node2"), "");
    let other = text.replace("10.244.0.0/16", "10.42.0.0/16");
    let said = told(&other, "node2");
    assert!(
        said.starts_with(
            "note: the rules take 10.42.0.0/16 for the pods' network, and no pod of node2 is in it (10.244.2."
        ),
        "{said}"
    );
    // By the node's own network (NodeCIDR) the pods of others are outside.
    assert_eq!(told(&text.replace("10.244.0.0/16", "10.244.2.0/24"), "node2"), "");
}
