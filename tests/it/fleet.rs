//! All nodes of a cluster at once, through the API.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::afar::{Container, proxy_pod};
use crate::netns::loadable;
use crate::run::{Run, node};
use crate::stand_in::{Reply, StandIn, ok, seed};
use crate::terminal::on_terminal;

/// A cluster of `seed/stale`: what runs on each node, and which of its Pods are ready.
fn cluster(nodes: BTreeMap<String, (Container, bool)>) -> (StandIn, Arc<AtomicUsize>) {
    let most = Arc::new(AtomicUsize::new(0));
    let now = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&most);
    let nodes = Arc::new(nodes);
    let server = StandIn::new(move |target| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let pod = path.strip_prefix("/api/v1/namespaces/kube-system/pods/kube-proxy-");
        if let Some(name) = pod.and_then(|pod| pod.strip_suffix("/exec")) {
            let container = nodes[name].0.clone();
            let (now, most) = (Arc::clone(&now), Arc::clone(&most));
            return Reply::Upgrade(Arc::new(move |asked, connection| {
                most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                container.speak(asked, connection);
                now.fetch_sub(1, Ordering::SeqCst);
            }));
        }
        match path {
            "/api/v1/namespaces/kube-system/pods" if query.contains("labelSelector=k8s-app%3Dkube-proxy") => {
                let pods: Vec<Value> = nodes.iter().map(|(name, (_, ready))| proxy_pod(name, *ready)).collect();
                // In pages, as a real server gives them.
                let (items, next) = if query.contains("continue=more") {
                    (&pods[pods.len() / 2..], None)
                } else {
                    (&pods[..pods.len() / 2], Some("more"))
                };
                ok(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {"continue": next}, "items": items})
                    .to_string())
            }
            "/api/v1/namespaces/kube-system/pods" => {
                ok(r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[]}"#)
            }
            "/api/v1/nodes" => {
                let bare = ["edge".to_owned()];
                let names = nodes.keys().chain(&bare);
                let items: Vec<Value> = names.map(|name| json!({"metadata": {"name": name}})).collect();
                ok(json!({"kind": "NodeList", "apiVersion": "v1", "metadata": {}, "items": items}).to_string())
            }
            _ => seed(target),
        }
    });
    (server, seen)
}

fn recorded(case: &str) -> Container {
    Container::of(&loadable(&format!("{case}/save.txt")), &loadable(&format!("{case}/save6.txt")))
}

/// Forty nodes: three of them stale, one whose Pod is not ready, and a Node without kube-proxy.
fn forty() -> BTreeMap<String, (Container, bool)> {
    let (fresh, stale) = (recorded("seed/recovered"), recorded("seed/stale"));
    let of = |number: usize| if [7, 21, 33].contains(&number) { stale.clone() } else { fresh.clone() };
    (1..=40).map(|number| (format!("n{number:02}"), (of(number), number != 40))).collect()
}

fn run(server: &StandIn, args: &str) -> Run {
    server.run(args).args(&format!("--objects {}", node("seed/recovered/cluster.json")))
}

#[test]
fn three_of_forty_nodes_are_the_odd_ones() {
    let (server, most) = cluster(forty());
    let document = run(&server, "check --all-nodes --parallel 4").status(1).json();
    let summary = &document["summary"];
    assert_eq!(summary["odd"], json!(["n07", "n21", "n33"]), "{document:#}");
    assert_eq!(document["kind"], "check-nodes");
    let shared = document["findings"].as_array().expect("findings");
    let wanted = json!(["n07", "n21", "n33"]);
    let stale = shared.iter().find(|finding| finding["code"] == "stale-endpoint").expect("a finding");
    assert_eq!(stale["nodes"], wanted);
    assert_eq!(stale["address"], "10.244.1.3:80");
    assert!(shared.iter().all(|finding| finding["severity"] == "info" || finding["nodes"] == wanted), "{shared:#?}");
    let row = |name: &str| {
        document["nodes"].as_array().expect("nodes").iter().find(|row| row["node"] == name).expect("a row")
    };
    assert_eq!(row("n01")["behind_seconds"], 0);
    assert!(row("n07")["behind_seconds"].as_i64().is_some_and(|seconds| seconds > 0));
    assert_eq!(row("n01")["kube_proxy_version"], "v1.34.2");
    assert_eq!(
        row("n07")["odd"],
        format!(
            "{} findings that the others have not",
            row("n07")["errors"].as_u64().expect("a count") + row("n07")["warnings"].as_u64().expect("a count")
        )
    );
    let why = row("n40")["unreachable"].as_str().expect("a reason");
    assert!(why.contains("cannot run commands: containers with unready status"), "{why}");
    // And the three Nodes of the objects, where no kube-proxy Pod runs.
    assert_eq!(summary["unreachable"], 4);
    assert!((1..=4 * 8).contains(&most.load(Ordering::SeqCst)));
    // Objects were given: the API was asked for Pods only, and each node for its rules.
    let others: Vec<String> = server.asked().into_iter().filter(|line| !line.contains("/exec?")).collect();
    assert!(others.iter().all(|line| line.starts_with("GET /api/v1/namespaces/kube-system/pods?")), "{others:?}");
}

#[test]
fn each_node_is_what_it_is_by_itself() {
    let (server, _) = cluster(BTreeMap::from([
        ("node1".to_owned(), (recorded("seed/stale"), true)),
        ("node2".to_owned(), (recorded("seed/stale"), true)),
    ]));
    let document = server.run("list --all-nodes").json();
    let alone = crate::run::kube_ipt("list").args(&format!(
        "-f {} -f {} --objects {} --node node1",
        node("seed/stale/save.txt"),
        node("seed/stale/save6.txt"),
        node("seed/stale/cluster.json")
    ));
    let strip = |services: &Value| crate::run::services(json!({"services": services}));
    assert_eq!(strip(&document["nodes"][1]["services"]), crate::run::services(alone.json()));
    let names: Vec<&str> =
        document["nodes"].as_array().expect("nodes").iter().filter_map(|row| row["node"].as_str()).collect();
    assert_eq!(names, ["edge", "node1", "node2"]);
    assert_eq!(document["nodes"][0]["unreachable"], "no kube-proxy Pod runs on it");
    assert_eq!(document["summary"]["odd"], json!([]));
}

#[test]
fn a_row_a_node_and_each_finding_once() {
    let (server, _) = cluster(forty());
    let text = run(&server, "check --all-nodes").status(1).stdout();
    // How long ago the recording was made is another number every day.
    let lines = text.lines().map(|line| line.split("  behind for").next().unwrap_or_default());
    insta::assert_snapshot!("forty_nodes", lines.collect::<Vec<_>>().join("\n"));
}

#[test]
fn unreachable_nodes_count_where_findings_do() {
    let (server, _) = cluster(BTreeMap::from([
        ("a".to_owned(), (recorded("seed/recovered"), true)),
        ("b".to_owned(), (recorded("seed/recovered"), false)),
    ]));
    run(&server, "check --all-nodes").status(1).stdout();
    run(&server, "check --all-nodes --fail-on error").status(1).stdout();
    run(&server, "check --all-nodes --fail-on never").stdout();
}

#[test]
fn a_slow_node_does_not_hold_up_the_others() {
    let slow = recorded("seed/recovered").slow(Duration::from_secs(3));
    let (server, _) =
        cluster(BTreeMap::from([("a".to_owned(), (slow, true)), ("b".to_owned(), (recorded("seed/recovered"), true))]));
    let document = run(&server, "check --all-nodes --request-timeout 1s").status(1).json();
    let why = document["nodes"][0]["unreachable"].as_str().expect("a reason");
    assert!(why.contains("gave no answer in 1 s"), "{why}");
    assert_eq!(document["nodes"][1]["unreachable"], Value::Null);
}

#[test]
fn a_node_of_another_mode_is_read_in_its_language_and_is_the_odd_one() {
    let table = std::fs::read_to_string(node("nftables/node2/table-ip.json")).expect("recorded");
    let of_nft = Container::of("", "").with("nft -j list table ip kube-proxy", &table);
    let (server, _) = cluster(BTreeMap::from([
        ("a".to_owned(), (recorded("kitchen-sink/node2"), true)),
        ("b".to_owned(), (recorded("kitchen-sink/node2"), true)),
        ("node2".to_owned(), (of_nft, true)),
    ]));
    let document = server.run("list --all-nodes --no-api").json();
    let row = &document["nodes"][2];
    assert_eq!((&row["node"], &row["source"]["dataplane"]), (&json!("node2"), &json!("nftables")));
    let alone = crate::run::kube_ipt("list --no-api").args(&format!("-f {}", node("nftables/node2/table-ip.nft")));
    let strip = |services: &Value| crate::run::services(json!({"services": services}));
    assert_eq!(strip(&row["services"]), crate::run::services(alone.json()));
    assert!(row["service_ports"].as_u64().is_some_and(|count| count > 10), "{row:#}");
    assert_eq!(document["summary"]["odd"], json!(["node2"]));
    let odd = row["odd"].as_str().expect("a difference");
    assert!(odd.starts_with("its mode is nftables, that of the others iptables"), "{odd}");
}

#[test]
fn a_snapshot_of_all_nodes_answers_as_they_do() {
    let (server, _) = cluster(BTreeMap::from([
        ("node1".to_owned(), (recorded("seed/stale"), true)),
        ("node2".to_owned(), (recorded("seed/recovered"), true)),
        ("node3".to_owned(), (recorded("seed/recovered"), false)),
    ]));
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("all.tar.gz").display().to_string();
    let objects = format!("--objects {}", node("seed/recovered/cluster.json"));
    let (stdout, stderr, code) = server.run("snapshot --all-nodes -o").arg(&file).args(&objects).output();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains(": 2 nodes, "), "{stdout}");
    assert!(stderr.contains("note: node node3 is not in the snapshot: Pod kube-system/kube-proxy-node3"), "{stderr}");

    let mut live = run(&server, "check --all-nodes").status(1).json();
    let mut kept = crate::run::kube_ipt("check --all-nodes -f").arg(&file).status(1).json();
    assert_eq!(kept["summary"], live["summary"]);
    assert_eq!((&kept["summary"]["nodes"], &kept["summary"]["unreachable"]), (&json!(3), &json!(1)));
    for document in [&mut live, &mut kept] {
        let findings = document["findings"].as_array_mut().expect("findings");
        // Evidence names the file it stands in.
        for finding in findings {
            finding["evidence"].take();
        }
    }
    assert_eq!(live["findings"], kept["findings"]);
    for at in [0, 1, 2] {
        for field in ["node", "kube_proxy_version", "service_ports", "endpoints", "errors", "warnings"] {
            assert_eq!(live["nodes"][at][field], kept["nodes"][at][field], "{field}");
        }
    }
    let one = crate::run::kube_ipt("show nginx-service --node node1 -f").arg(&file).arg("-ojson").output().0;
    let one: Value = serde_json::from_str(&one).expect("JSON");
    assert_eq!(one["services"][0]["status"], "stale");
}

/// A snapshot of a, b and c, of which the nodes of `unready` could not be read.
fn snapshot_without(unready: &[&str], path: &std::path::Path, flags: &str) {
    let of = |name: &str| (name.to_owned(), (recorded("seed/recovered"), !unready.contains(&name)));
    let (server, _) = cluster(["a", "b", "c"].map(of).into());
    let (_, stderr, code) = server.run("snapshot --all-nodes --no-api -o").arg(path).args(flags).output();
    assert_eq!(code, Some(0), "{stderr}");
}

const NOT_READY: &str = "cannot run commands: containers with unready status: [kube-proxy]";

#[test]
fn nodes_that_a_snapshot_lacks_are_nodes_that_were_not_read() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("f.tar.gz");
    snapshot_without(&["b"], &file, "");
    let check = |flags: &str| crate::run::kube_ipt("check --all-nodes --no-api -f").arg(&file).args(flags);
    let text = check("").status(1).stdout();
    let why = format!("Pod kube-system/kube-proxy-b of node b {NOT_READY}");
    assert!(text.contains(&format!("\nb was not read: {why}\n")), "{text}");
    assert!(text.contains("3 nodes · 1 not read · "), "{text}");
    assert!(!text.contains("is not in the snapshot"), "{text}");
    check("--fail-on never").stdout();
    // A snapshot of it is as good.
    let again = room.path().join("again.tar.gz");
    crate::run::kube_ipt("snapshot --all-nodes --no-api -f").arg(&file).arg("-o").arg(&again).output();
    assert_eq!(crate::run::kube_ipt("check --all-nodes --no-api -f").arg(&again).status(1).stdout(), text);
    let (_, stderr, code) = crate::run::kube_ipt("show --node b -f").arg(&file).output();
    let shown = file.display();
    let error =
        format!("error: {shown} holds no rules of node 'b', which could not be read: {why}\n  try:  --node a\n");
    assert_eq!((stderr, code), (error, Some(2)));
    // What the others have is told without it.
    let (_, stderr, _) = crate::run::kube_ipt("show --no-api --node a -f").arg(&file).output();
    assert!(!stderr.contains("node b"), "{stderr}");

    let file = room.path().join("redacted.tar.gz");
    snapshot_without(&["b"], &file, "--redact");
    let document = crate::run::kube_ipt("check --all-nodes -f").arg(&file).status(1).json();
    assert_eq!(document["summary"]["unreachable"], 1);
    let rows = document["nodes"].as_array().expect("nodes");
    assert_eq!(rows.iter().filter(|row| row["kube_proxy_version"] == "v1.34.2").count(), 2, "{rows:?}");
    let lost = rows.iter().find(|row| row["unreachable"] != Value::Null).expect("a node");
    assert!(lost["node"] != "b" && !lost["unreachable"].to_string().contains("kube-proxy-b"), "{lost}");
}

#[test]
fn a_snapshot_of_before_tells_in_notes_what_it_lacks() {
    let room = tempfile::tempdir().expect("a folder");
    let rules = std::fs::read(node("seed/in-sync/save.txt")).expect("recorded");
    let index = json!({"schema": "kube-ipt-snapshot/v1", "tool": "kube-ipt 0.1.0",
        "notes": ["node n2 is not in the snapshot: its Pod is gone: it ended", "another note"],
        "nodes": [{"name": "n1", "origin": "saved", "texts": [{"file": "nodes/n1/a.txt", "label": "a"}]}]});
    let files =
        vec![("snapshot.json".to_owned(), index.to_string().into_bytes()), ("nodes/n1/a.txt".to_owned(), rules)];
    let file = room.path().join("s.tar");
    std::fs::write(&file, crate::bundles::tar_of(&files)).expect("writable");
    let document = crate::run::kube_ipt("check --all-nodes -f").arg(&file).status(1).json();
    assert_eq!(document["nodes"][1]["node"], "n2");
    assert_eq!(document["nodes"][1]["unreachable"], "its Pod is gone: it ended");
    assert_eq!(document["nodes"][0]["notes"][0], "another note");
    let text = crate::run::kube_ipt("check --all-nodes -f").arg(&file).status(1).stdout();
    assert!(text.contains("\non n1: another note\n"), "{text}");
    // Whoever does not say which node is meant hears of the others.
    let (_, stderr, _) = crate::run::kube_ipt("show -f").arg(&file).output();
    assert!(stderr.contains("note: node n2 is not in the snapshot: its Pod is gone: it ended\n"), "{stderr}");
}

#[test]
fn a_node_that_one_side_could_not_read_is_not_compared() {
    let room = tempfile::tempdir().expect("a folder");
    let (before, after) = (room.path().join("before.tar.gz"), room.path().join("after.tar.gz"));
    snapshot_without(&["a", "b"], &before, "");
    snapshot_without(&["b", "c"], &after, "");
    let why = |node: &str| format!("Pod kube-system/kube-proxy-{node} of node {node} {NOT_READY}");
    let wanted = [
        ("a", format!("it could not be read in A: {}", why("a"))),
        ("b", format!("it could not be read in A or B: {}", why("b"))),
        ("c", format!("it could not be read in B: {}", why("c"))),
    ];
    let of = |name: &str| (name.to_owned(), (recorded("seed/recovered"), name == "a"));
    let (now, _) = cluster(["a", "b", "c"].map(of).into());
    for live in [false, true] {
        let run = || {
            if live {
                now.run("diff --all-nodes --no-api").arg(&before).arg("now")
            } else {
                crate::run::kube_ipt("diff --all-nodes").arg(&before).arg(&after)
            }
        };
        let document = run().status(1).json();
        let rows = document["nodes"].as_array().expect("nodes");
        assert_eq!(rows.len(), 3, "{document:#}");
        for (row, (node, why)) in rows.iter().zip(&wanted) {
            assert_eq!((&row["node"], &row["only_in"], &row["diff"]), (&json!(node), &Value::Null, &Value::Null));
            let said = row["not_compared"].as_str().expect("a reason");
            assert!(said.starts_with(why.as_str()), "{said}");
        }
        let text = run().status(1).stdout();
        assert!(!text.contains("only in") && text.ends_with("\n3 of 3 nodes could not be compared\n"), "{text}");
    }
}

#[test]
fn the_table_of_nodes_fits_the_terminal() {
    let long = |number: usize| format!("ip-10-0-1-{number}.eu-central-1.compute.internal");
    let longer = |number: usize| format!("gke-production-europe-west1-general-purpose-pool-9d3c5b2a-xq7{number}");
    let named = [["n1", "n2", "n3"].map(str::to_owned), [1, 2, 3].map(long), [1, 2, 3].map(longer)];
    let headers = [
        ["NODE MODE SERVICES ENDPOINTS FINDINGS SYNC", "NODE MODE SERVICES FINDINGS SYNC"],
        ["NODE SERVICES FINDINGS SYNC", "NODE FINDINGS SYNC"],
        ["NODE FINDINGS SYNC", "NODE FINDINGS SYNC"],
    ];
    for (names, headers) in named.into_iter().zip(headers) {
        let case = |at: usize| if at == 1 { "seed/stale" } else { "seed/recovered" };
        let nodes = names.into_iter().enumerate().map(|(at, name)| (name, (recorded(case(at)), at != 2)));
        let (server, _) = cluster(nodes.collect());
        let config = server.kubeconfig(r#"{"token": "t0k3n"}"#);
        for (columns, header) in [80, 60].into_iter().zip(headers) {
            let script = format!("followed(lambda *_: None, (24, {columns}), 0.3)");
            let args = ["check", "--all-nodes", "--color", "never"];
            let Some(shown) = on_terminal(&script, &args, &[("KUBECONFIG", &config)]) else { return };
            // Behind the bar that counted them.
            let shown = shown.rsplit("\u{1b}[2K").next().expect("text").replace('\r', "");
            let table = shown.split("\n\n").next().expect("a table");
            let mut lines = table.lines();
            let titles: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
            assert_eq!(titles.join(" "), header, "{table}");
            assert!(lines.all(|line| line.chars().count() <= columns), "{table}");
            for words in ["✗ not read", "in sync", "ok"] {
                assert!(table.contains(words), "{table}");
            }
        }
    }
}

fn two() -> StandIn {
    let of = |name: &str, case: &str| (name.to_owned(), (recorded(case), true));
    cluster(BTreeMap::from([of("node1", "seed/recovered"), of("node2", "seed/stale")])).0
}

#[test]
fn nothing_is_in_sync_that_was_not_compared() {
    let server = two();
    let first = |run: Run| {
        let (stdout, stderr, _) = run.output();
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("no JSON: {stderr}"));
        document["nodes"][0]["behind_seconds"].clone()
    };
    assert_eq!(first(run(&server, "check --all-nodes -o json")), 0);
    for pick in ["--select KI3", "--ignore stale-endpoint,missing-endpoint"] {
        assert_eq!(first(run(&server, &format!("check --all-nodes -o json {pick}"))), Value::Null, "{pick}");
    }
    let objects = std::fs::read_to_string(node("seed/recovered/cluster.json")).expect("a recording");
    let mut objects: Value = serde_json::from_str(&objects).expect("JSON");
    objects["items"].as_array_mut().expect("a list").retain(|item| item["kind"] != "EndpointSlice");
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("services.json");
    std::fs::write(&file, objects.to_string()).expect("writable");
    assert_eq!(first(server.run("check --all-nodes -o json --objects").arg(file.display().to_string())), Value::Null);
}

#[test]
fn what_no_node_has_is_an_error() {
    let server = two();
    for (args, error) in [
        ("check nginx-servce --all-nodes", "nothing is called 'nginx-servce'; did you mean nginx-demo/nginx-service?"),
        (
            "list --all-nodes -n kube-sytem",
            "no Service of namespace 'kube-sytem' has rules here; did you mean kube-system?",
        ),
    ] {
        let (stdout, stderr, code) = run(&server, args).output();
        assert!(stderr.contains(&format!("error: {error}")), "{stderr}");
        // Of the nodes that were not read nobody knows.
        assert!(stderr.contains("note: node node3 was not read: no kube-proxy Pod runs on it\n"), "{stderr}");
        assert_eq!((stdout.as_str(), code), ("", Some(1)), "{args}");
    }
}

#[test]
fn what_all_nodes_cannot_do_is_said() {
    let error = |args: &str| {
        let (stdout, stderr, code) = crate::run::kube_ipt(args).output();
        assert_eq!((stdout.as_str(), code), ("", Some(2)), "{stderr}");
        stderr
    };
    let watched = "error: --watch is for one node: --all-nodes lists the rules of every node anew\n";
    assert!(error("check --all-nodes --watch").starts_with(watched));
    assert!(error("list --all-nodes --watch").starts_with(watched));
    assert!(error("list --all-nodes -o tree").starts_with("error: --all-nodes has a row for every node"));
    let dump = node("seed/stale/save.txt");
    let one = error(&format!("check --all-nodes -f {dump}"));
    assert!(one.starts_with(&format!("error: {dump} is the dump of one node")), "{one}");
    let time = error(&format!("check --watch 5s -f {dump}"));
    assert!(time.starts_with("error: '5s' is taken for what to show"), "{time}");
}

#[test]
fn each_node_is_compared_with_itself() {
    let nodes = |stale: &str| {
        let of = |name: &str| recorded(if name == stale { "seed/stale" } else { "seed/recovered" });
        let (server, _) = cluster(["a", "b", "c"].map(|name| (name.to_owned(), (of(name), true))).into());
        server
    };
    let room = tempfile::tempdir().expect("a folder");
    let file = |name: &str| room.path().join(name).display().to_string();
    let (before, after) = (nodes("b"), nodes("nobody"));
    before.run("snapshot --all-nodes --no-api -o").arg(file("before.tar.gz")).output();
    after.run("snapshot --all-nodes --no-api -o").arg(file("after.tar.gz")).output();
    let saved = crate::run::kube_ipt("diff --all-nodes").arg(file("before.tar.gz")).arg(file("after.tar.gz"));
    let saved = saved.status(1).json();
    let live = after.run("diff --all-nodes --no-api").arg(file("before.tar.gz")).arg("now").status(1).json();
    for document in [&saved, &live] {
        let rows = document["nodes"].as_array().expect("nodes");
        let equal: Vec<(&str, &Value)> =
            rows.iter().map(|row| (row["node"].as_str().expect("a name"), &row["diff"]["summary"]["equal"])).collect();
        assert_eq!(equal, [("a", &json!(true)), ("b", &json!(false)), ("c", &json!(true))], "{document:#}");
        assert_eq!(rows[1]["diff"]["summary"]["endpoints_lost"], 1);
    }
    let text = crate::run::kube_ipt("diff --all-nodes").arg(file("before.tar.gz")).arg(file("after.tar.gz"));
    let text = text.status(1).stdout();
    assert!(text.starts_with("b\n~ nginx-demo/nginx-service  tcp\n    - endpoint 10.244.1.3:80  33.33 %\n"), "{text}");
    assert!(text.ends_with("no differences on 2 nodes: a, c\n1 of 3 nodes differ\n"), "{text}");
    let same = crate::run::kube_ipt("diff --all-nodes").arg(file("after.tar.gz")).arg(file("after.tar.gz"));
    assert_eq!(same.stdout(), "no differences on 3 nodes: a, b, c\n");
    // A node that cannot be read may differ or not.
    let of = |name: &str| (name.to_owned(), (recorded("seed/recovered"), name != "c"));
    let (pending, _) = cluster(["a", "b", "c"].map(of).into());
    let (stdout, stderr, code) =
        pending.run("diff --all-nodes --no-api").arg(file("before.tar.gz")).arg("now").output();
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stdout.contains("\nc\nwas not compared: "), "{stdout}");
    let sums = "no differences on 1 node: a\n1 of 3 nodes differ\n1 of 3 nodes could not be compared\n";
    assert!(stdout.ends_with(sums), "{stdout}");
}
