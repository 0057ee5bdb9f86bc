//! Two sides held against each other: what connections meet, and nothing else.

use std::collections::{BTreeMap, BTreeSet};

use kube_ipt::dataplane::Policy;
use kube_ipt::expect::{Cluster, Viewpoint};
use kube_ipt::net::{Family, Host};
use serde_json::{Value, json};

use crate::cases::cases;
use crate::expect::facts;
use crate::run::{Run, kube_ipt, node, nodes};
use crate::{generate, three};

fn diff(a: impl AsRef<std::ffi::OsStr>, b: impl AsRef<std::ffi::OsStr>) -> Run {
    kube_ipt("diff").arg(a).arg(b)
}

/// Two states of the recorded node, each with its objects.
fn seed(a: &str, b: &str) -> Run {
    let file = |state: &str, name: &str| node(&format!("seed/{state}/{name}"));
    diff(file(a, "save.txt"), file(b, "save.txt"))
        .args("--node node1 --objects-a")
        .arg(file(a, "cluster.json"))
        .arg("--objects-b")
        .arg(file(b, "cluster.json"))
}

/// An answer without its last lines, which name paths of this machine.
fn told(run: Run) -> String {
    let text = run.stdout();
    text.split_once("\nA  ").expect("an answer and what it was made from").0.to_owned()
}

/// The changes of an answer: service, what, where, and the value on both sides.
fn changes(document: &Value) -> Vec<String> {
    let word = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut all = Vec::new();
    for service in document["services"].as_array().expect("services") {
        for change in service["changes"].as_array().expect("changes") {
            let place: Vec<&str> = ["policy", "frontend", "origin", "source", "address"]
                .iter()
                .filter_map(|p| change[p].as_str())
                .collect();
            let (what, turn) = (word(&change["what"]), word(&change["change"]));
            let values = format!("{} to {}", word(&change["a"]), word(&change["b"]));
            all.push(format!("{} {what} {turn} {}: {values}", word(&service["service"]), place.join(" ")));
        }
    }
    all
}

#[test]
fn two_families_have_nothing_to_compare() {
    let run = kube_ipt("diff").arg(node("seed/stale/save.txt")).arg(node("seed/stale/save6.txt"));
    let error = "error: nothing was compared: no ipv4 rules of B were read: 5 service ports were not compared";
    run.status(2).stderr(error).stdout();
}

#[test]
fn rules_that_say_the_same_are_equal() {
    let run = || diff(node("seed/in-sync/save.txt"), node("seed/stale/save.txt"));
    insta::assert_snapshot!(told(run()), @"no differences in 5 service ports");
    let document = run().json();
    assert_eq!([&document["kind"], &document["summary"]["equal"]], [&json!("diff"), &json!(true)]);
    assert_eq!([&document["services"], &document["not_compared"]], [&json!([]), &json!([])]);
    assert_eq!(document["a"]["from"], node("seed/in-sync/save.txt"));
    assert_eq!(document["b"]["from"], node("seed/stale/save.txt"));
}

#[test]
fn objects_show_the_drift() {
    insta::assert_snapshot!("diff_drift", told(seed("in-sync", "stale").status(1)));
    let document = seed("in-sync", "stale").status(1).json();
    let service = "nginx-demo/nginx-service";
    assert_eq!(
        changes(&document),
        [
            format!("{service} status changed : ok to stale"),
            format!("{service} state changed cluster 10.244.1.3:80: ready to stale"),
            format!("{service} missing-endpoint gained cluster 10.244.1.4:80: null to ready"),
        ]
    );
    let summary = &document["summary"];
    assert_eq!(
        [&summary["common"], &summary["changed"], &summary["missing_gained"]],
        [&json!(5), &json!(1), &json!(1)]
    );
    assert_eq!(told(kube_ipt("diff --demo").status(1)), told(seed("in-sync", "stale").status(1)));
}

#[test]
fn a_pod_replaced_is_swapped() {
    insta::assert_snapshot!("diff_swap", told(seed("stale", "recovered").status(1)));
    let rules = diff(node("seed/stale/save.txt"), node("seed/recovered/save.txt")).status(1).json();
    let endpoints: Vec<String> = changes(&rules);
    assert_eq!(endpoints.len(), 2);
    assert!(
        endpoints[0].starts_with("nginx-demo/nginx-service endpoint lost cluster 10.244.1.3:80: 0.333"),
        "{endpoints:?}"
    );
    assert!(
        endpoints[1].starts_with("nginx-demo/nginx-service endpoint gained cluster 10.244.1.4:80: null"),
        "{endpoints:?}"
    );
}

/// Endpoints by service port and policy that objects want on a node.
fn wanted(name: &str, family: Family) -> BTreeSet<(String, &'static str, String)> {
    let facts = facts(&nodes().join("kitchen-sink/cluster.json"));
    let cluster = Cluster::new(&facts, Viewpoint::of(Some(name), &facts));
    let mut all = BTreeSet::new();
    for port in cluster.ports().filter(|port| port.family == family) {
        let expected = cluster.expected(&port);
        for policy in [Policy::Cluster, Policy::Local] {
            let Some(Ok(members)) = expected.pools.get(policy) else { continue };
            for &member in members {
                let member = expected.members[member];
                let address = format!("{}:{}", Host(member.address), member.port);
                all.insert((port.name().to_string(), policy.as_str(), address));
            }
        }
    }
    all
}

#[test]
fn nodes_of_one_cluster_differ_by_local_policy_and_topology() {
    let both = |name: &str| {
        let file = |file: &str| node(&format!("kitchen-sink/{name}/{file}"));
        format!("{},{}", file("save.txt"), file("save6.txt"))
    };
    for (a, b) in [("node1", "node2"), ("node1", "node3"), ("node2", "node3")] {
        let document = diff(both(a), both(b)).status(1).json();
        let mut expected = BTreeMap::new();
        for family in [Family::Ipv4, Family::Ipv6] {
            let (of_a, of_b) = (wanted(a, family), wanted(b, family));
            expected.extend(of_a.difference(&of_b).cloned().map(|endpoint| (endpoint, "lost")));
            expected.extend(of_b.difference(&of_a).cloned().map(|endpoint| (endpoint, "gained")));
        }
        let mut found = BTreeMap::new();
        for service in document["services"].as_array().expect("services") {
            let name = service["service"].as_str().expect("a name").to_owned();
            for change in service["changes"].as_array().expect("changes") {
                assert_eq!(change["what"], "endpoint", "{name}: {change}");
                let policy = if change["policy"] == "local" { "local" } else { "cluster" };
                let turn = if change["change"] == "lost" { "lost" } else { "gained" };
                found.insert((name.clone(), policy, change["address"].as_str().expect("known").to_owned()), turn);
            }
        }
        assert!(expected.len() > 5, "{expected:?}");
        assert_eq!(found, expected, "{a} and {b}");
        // With the objects as seen from each node they are the same differences, of which none is a drift.
        let objects = node("kitchen-sink/cluster.json");
        let joined =
            diff(both(a), both(b)).arg("--objects").arg(objects).args("--node-a").arg(a).args("--node-b").arg(b);
        assert_eq!(changes(&joined.status(1).json()), changes(&document));
    }
}

#[test]
fn a_node_in_every_format_is_itself() {
    let mut compared = 0;
    for case in cases().iter().filter(|case| case.join("save.txt").exists()) {
        for format in [
            "save-c.txt",
            "save-nat.txt",
            "nat-S.txt",
            "nat-S-grep-KUBE.txt",
            "nat-L-n-line-numbers.txt",
            "nat-L-n-v.txt",
        ] {
            let (whole, other) = (case.join("save.txt"), case.join(format));
            if !other.exists() {
                continue;
            }
            let (document, stderr, status) = diff(&whole, &other).args("-o json").output();
            let document: Value = serde_json::from_str(&document).expect(&stderr);
            let label = other.display();
            assert_eq!((changes(&document), status), (Vec::new(), Some(0)), "{label}");
            // All that such a listing does not tell is which Services are refused for want of endpoints.
            let reasons: Vec<&Value> =
                document["not_compared"].as_array().expect("reasons").iter().map(|not| &not["reason"]).collect();
            assert!(reasons.iter().all(|reason| *reason == "no-filter-table"), "{label}: {reasons:?}");
            compared += 1;
        }
    }
    assert!(compared >= 40, "only {compared} dumps were there");
}

#[test]
fn nodes_of_other_modes_are_themselves() {
    for name in ["node2", "node1-1.30"] {
        let file = |file: &str| node(&format!("nftables/{name}/{file}"));
        let label = file("ruleset.json");
        let note = format!("note: B: {label} is JSON of nft: line numbers are those of the listing that says the same");
        assert_eq!(changes(&diff(file("ruleset.nft"), label).stderr(note).json()), Vec::<String>::new());
    }
    for name in ["node2", "node2-lc", "graceful-termination", "stale-endpoint"] {
        let file = |file: &str| node(&format!("ipvs/{name}/{file}"));
        let with = |listing: &str| [listing, "ipset-save.txt", "save.txt", "ip-addr-show.txt"].map(file).join(",");
        let document = diff(with("ipvsadm-S-n.txt"), with("ipvsadm-L-n.txt")).json();
        assert_eq!((changes(&document), &document["not_compared"]), (Vec::new(), &json!([])), "{name}");
        // Names that one side alone knows make one service port of many virtual servers.
        let (stdout, stderr, status) = diff(with("ipvsadm-S-n.txt"), with("ipvsadm-S-n.txt"))
            .args("--node node2 -o json --objects-a")
            .arg(file("cluster.json"))
            .output();
        assert_eq!(status, Some(0), "{stdout}");
        assert!(
            stderr.contains("note: B comes without objects: what the cluster says of 28 service ports"),
            "{stderr}"
        );
    }
    let of = |name: &str| {
        ["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt"].map(|file| node(&format!("ipvs/{name}/{file}"))).join(",")
    };
    let changed = changes(&diff(of("node2"), of("node2-lc")).status(1).json());
    assert!(changed.iter().any(|change| change.ends_with(": rr to lc")), "{changed:?}");
}

/// The modes differ by design where a Service has no endpoints, and in nothing that an endpoint or share would show.
#[test]
fn the_language_of_the_rules_is_no_difference() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..12 {
        let cluster = three::Cluster::generated(seed);
        let (iptables, nftables) = (folder.path().join("iptables"), folder.path().join("nft"));
        std::fs::write(&iptables, three::iptables(&cluster)).expect("writable");
        std::fs::write(&nftables, three::nftables(&cluster)).expect("writable");
        let (document, stderr, _) = diff(&iptables, &nftables).args("--no-api -o json").output();
        let document: Value = serde_json::from_str(&document).expect(&stderr);
        for change in changes(&document) {
            let refuses = |word: &str| ["drop", "reject", "none", "null"].iter().any(|way| word.starts_with(way));
            let (_, values) = change.rsplit_once(": ").expect("values");
            let (a, b) = values.split_once(" to ").expect("two values");
            assert!(change.contains(" verdict ") && refuses(a) && refuses(b), "seed {seed}: {change}");
        }
    }
}

#[test]
fn the_way_back_is_the_way_there_backwards() {
    let files = [
        node("seed/in-sync/save.txt"),
        node("seed/recovered/nat-S.txt"),
        node("kitchen-sink/node1/save.txt"),
        node("kitchen-sink/node3/nat-L-n-v.txt"),
        node("kitchen-sink/node2/nat-S-grep-KUBE.txt"),
        node("faults/leaky-chain/save.txt"),
        node("faults/stale-service/nat-S.txt"),
        node("nftables/node2/ruleset.nft"),
    ];
    let forth = |a: &str, b: &str| {
        let (document, stderr, _) = diff(a, b).args("-o json").output();
        serde_json::from_str::<Value>(&document).expect(&stderr)
    };
    let services = |document: &Value| {
        let mut services = document["services"].clone();
        for service in services.as_array_mut().expect("services") {
            let changes = service["changes"].as_array_mut().expect("changes");
            // Of an address of which comments tell no kind, it is that of the first side.
            for change in changes.iter_mut() {
                change["kind"].take();
            }
            changes.sort_by_key(Value::to_string);
        }
        services
    };
    for (n, a) in files.iter().enumerate() {
        for b in &files[n + 1..] {
            assert_eq!(services(&forth(a, b)), services(&turned(forth(b, a))), "{a} {b}");
        }
    }
}

/// An answer told backwards.
fn turned(mut document: Value) -> Value {
    for service in document["services"].as_array_mut().expect("services") {
        turn(service);
        service["changes"].as_array_mut().expect("changes").iter_mut().for_each(turn);
    }
    document
}

/// Gained for lost, and the values of both sides exchanged.
fn turn(fact: &mut Value) {
    let turned = match fact["change"].as_str() {
        Some("gained") => "lost",
        Some("lost") => "gained",
        _ => "changed",
    };
    fact["change"] = json!(turned);
    if fact.get("a").is_some() {
        let (a, b) = (fact["a"].take(), fact["b"].take());
        (fact["a"], fact["b"]) = (b, a);
    }
}

#[test]
fn comments_that_one_side_has_name_the_services_of_the_other() {
    let named = std::fs::read_to_string(node("seed/in-sync/nat-S.txt")).expect("the fixture is there");
    let comment = regex::Regex::new(r#" -m comment --comment ("[^"]*"|\S+)"#).expect("a pattern");
    let bare = comment.replace_all(&named, "").replace(
        "-A KUBE-SEP-77BN6HMO4OF56OSL -p tcp -m tcp -j DNAT --to-destination 10.244.1.3:80",
        "-A KUBE-SEP-77BN6HMO4OF56OSL -p tcp -m tcp -j DNAT --to-destination 10.244.1.9:80",
    );
    assert!(!bare.contains("nginx"), "{bare}");
    let document = diff(node("seed/stale/nat-S.txt"), "-").stdin(bare).status(1).json();
    let found = changes(&document);
    let starts: Vec<&str> = found.iter().filter_map(|change| change.split_once(':')).map(|(start, _)| start).collect();
    let service = "nginx-demo/nginx-service endpoint";
    assert_eq!(starts, [format!("{service} lost cluster 10.244.1.3"), format!("{service} gained cluster 10.244.1.9")]);
    assert_eq!(document["summary"]["common"], 5);
}

#[test]
fn what_a_side_does_not_tell_is_said_and_is_no_difference() {
    let sink = |file: &str| node(&format!("kitchen-sink/node2/{file}"));
    let both = format!("{},{}", sink("save.txt"), sink("save6.txt"));
    let notes = "note: no ipv6 rules of B were read: 3 service ports were not compared\n\
                 note: the filter table of B is not whole (ipv4): 6 refusals were not compared";
    let run = || diff(&both, sink("nat-S.txt")).stderr(notes);
    insta::assert_snapshot!(told(run()), @"no differences in 16 service ports, as far as they could be compared");
    assert_eq!(
        run().json()["not_compared"][0],
        json!({
            "side": "b", "reason": "family-not-read", "count": 3,
            "message": "no ipv6 rules of B were read: 3 service ports were not compared",
        })
    );
    // Of what grep leaves, a Service that is not there may be one whose lines are missing.
    let rules = std::fs::read_to_string(sink("nat-S-grep-KUBE.txt")).expect("the fixture is there");
    let less: Vec<&str> = rules.lines().filter(|line| !line.contains("shop/web")).collect();
    let (stdout, stderr, status) = diff(sink("nat-S.txt"), "-").stdin(less.join("\n")).output();
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stderr.contains("note: lines of B are missing (ipv4): "), "{stderr}");
}

#[test]
fn services_gained_and_lost_are_shown_with_what_they_have() {
    let sink = |name: &str| node(&format!("kitchen-sink/{name}/save.txt"));
    insta::assert_snapshot!("diff_other_cluster", told(diff(node("seed/in-sync/save.txt"), sink("node2")).status(1)));
    let all = told(diff(node("seed/in-sync/save.txt"), sink("node2")).arg("--all").status(1));
    assert!(!all.contains("--all"), "{all}");
    // A third of the connections falls through.
    let leaky = node("faults/leaky-chain/save.txt");
    insta::assert_snapshot!("diff_leak", told(diff(node("faults/clean/save.txt"), leaky).status(1)));
}

#[test]
fn large_pools_are_told_in_a_few_lines() {
    let folder = tempfile::tempdir().expect("a folder");
    let (a, b) = (folder.path().join("a"), folder.path().join("b"));
    std::fs::write(&a, generate::nat(2, 500)).expect("writable");
    std::fs::write(&b, generate::nat(2, 501)).expect("writable");
    let text = told(diff(&a, &b).status(1));
    insta::assert_snapshot!("diff_large", text);
}

#[test]
fn what_narrows_both_sides_alike() {
    let run = |what: &str| diff(node("seed/stale/save.txt"), node("seed/recovered/save.txt")).args(what);
    // By what only one side has, too.
    for what in [
        "nginx-service",
        "10.244.1.3",
        "10.244.1.4:80/tcp",
        "10.96.101.105",
        "KUBE-SVC-I3HUB6ZVVCWJQDJP",
        "-n nginx-demo",
    ] {
        assert_eq!(run(what).status(1).json()["summary"]["common"], 1, "{what}");
    }
    assert_eq!(run("kube-dns").json()["summary"]["common"], 3);
    assert_eq!(
        seed("stale", "recovered").arg("pod/nginx-deployment-85dbbcff49-mn8sf").status(1).json()["summary"]["common"],
        1
    );
    let error = "error: neither A nor B has 'ngnix-service'; did you mean nginx-demo/nginx-service?";
    run("ngnix-service").status(2).stderr(error).stdout();
    let error = "error: neither A nor B has a Service of namespace 'nginx'; did you mean nginx-demo?";
    run("-n nginx").status(2).stderr(error).stdout();
}

#[test]
fn what_cannot_be_compared_says_why() {
    let dump = node("seed/stale/save.txt");
    let error = "error: standard input can be read only once, and - stands for more than one thing\n  \
                 try:  kube-ipt diff before.txt -\n  \
                 try:  save the objects first, where both sides are compared with them: --objects FILE";
    kube_ipt("diff - -").stdin("").status(2).stderr(error).stdout();
    diff(&dump, &dump).args("--objects -").stdin("").status(2).stderr(error).stdout();
    let error = "error: a time like +30s stands for the second side, and reads the first one again: it has to be a node\n  \
                 try:  kube-ipt diff here +30s\n  try:  kube-ipt diff node/NAME +30s";
    diff(&dump, "+30s").status(2).stderr(error).stdout();
    diff("+30s", &dump).status(2).stderr(error).stdout();
    let error =
        "error: '+soon' is no time to wait: give a number and a unit, such as 10s\n  try:  kube-ipt diff here +30s";
    diff(&dump, "+soon").status(2).stderr(error).stdout();
    let (stdout, stderr, status) = diff(&dump, node("ipvs/node2/save.txt")).output();
    assert_eq!((stdout.as_str(), status), ("", Some(2)));
    assert!(stderr.starts_with("error: there is nothing to compare in B: no Services in the rules of "), "{stderr}");
    assert!(stderr.contains("give the output of ipvsadm -Sn too"), "{stderr}");
    let (_, stderr, status) = diff(&dump, "no-such-file").output();
    assert_eq!(
        (stderr.lines().next(), status),
        (Some("error: cannot read no-such-file: no such file or directory"), Some(2))
    );
}

#[test]
fn two_saved_dumps_ask_no_api_server() {
    // An address where nobody listens: asking would be noted.
    let config = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(config.path(), KUBECONFIG).expect("writable");
    let run = diff(node("seed/in-sync/save.txt"), node("seed/stale/save.txt"));
    run.env("KUBECONFIG", &config.path().display().to_string()).stdout();
}

const KUBECONFIG: &str = "apiVersion: v1\nkind: Config\ncurrent-context: x\n\
    clusters: [{name: x, cluster: {server: 'http://127.0.0.1:1'}}]\n\
    contexts: [{name: x, context: {cluster: x, user: x}}]\nusers: [{name: x, user: {}}]\n";

/// This node, whose programs print the recorded rules: those of `stale` the first time, of `recovered` from then on.
#[cfg(feature = "live")]
#[test]
fn this_node_now_and_a_little_later() {
    use std::os::unix::fs::PermissionsExt as _;

    let room = tempfile::tempdir().expect("a folder");
    let seed = nodes().join("seed");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in\n--version) echo 'iptables v1.8.9 (nf_tables)';;\n\
         *'-t nat -S') if mkdir {room}/read 2>/dev/null; then cat {seed}/stale/nat-S.txt; else cat {seed}/recovered/nat-S.txt; fi;;\n\
         *) echo '-P INPUT ACCEPT'; echo '-P FORWARD ACCEPT'; echo '-P OUTPUT ACCEPT';;\nesac\n",
        room = room.path().display(),
        seed = seed.display(),
    );
    let program = room.path().join("iptables-nft");
    std::fs::write(&program, script).expect("writable");
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).expect("ours");
    let path = format!("{}:/usr/bin:/bin", room.path().display());
    let here = |args: &str, stdin: &str| {
        let run = kube_ipt(args).args("--family ipv4 --no-api -o json").env("PATH", &path).stdin(stdin);
        let (stdout, stderr, status) = run.output();
        (serde_json::from_str::<Value>(&stdout).unwrap_or_else(|_| panic!("{stderr}")), stderr, status)
    };
    // What comes on standard input is no side here.
    let (document, stderr, status) = here("diff here +100ms", "not rules");
    assert_eq!((document["summary"]["endpoints_gained"].as_u64(), status), (Some(1), Some(1)), "{stderr}");
    assert!(stderr.contains("the first side is read; the second one is read in 0.1 s"), "{stderr}");
    assert_eq!([&document["a"]["from"], &document["b"]["from"]], [&json!("local"), &json!("local")]);
    // The node as it is against what was saved before.
    let before = std::fs::read_to_string(seed.join("stale/nat-S.txt")).expect("the fixture is there");
    let (document, stderr, status) = here("diff - here", &before);
    assert_eq!((document["summary"]["endpoints_lost"].as_u64(), status), (Some(1), Some(1)), "{stderr}");
}

/// Rules that were saved before a rollout against those of the node, read through the API server with its objects.
#[cfg(feature = "live")]
#[test]
fn another_node_is_a_side() {
    use crate::afar::{Container, cluster};

    let server = cluster(Container::recorded("seed/recovered"));
    let before = ["seed/stale/save.txt", "seed/stale/save6.txt"].map(node).join(",");
    let note = "note: A comes without objects: what the cluster says of 5 service ports was not compared";
    let document = server.run("diff").arg(&before).arg("node/node1").status(1).stderr(note).json();
    let summary = &document["summary"];
    assert_eq!([&summary["endpoints_gained"], &summary["endpoints_lost"]], [&json!(1), &json!(1)]);
    assert_eq!(document["b"]["from"], "pod/kube-system/kube-proxy-node1");
    assert_eq!([&document["a"]["objects"], &document["a"]["node"]], [&Value::Null, &Value::Null]);
    // The Pod of the endpoint that was gained is known, for B alone has objects.
    let gained = &document["services"][0]["changes"][1];
    assert_eq!(gained["pod"], "nginx-demo/nginx-deployment-85dbbcff49-mn8sf", "{gained}");
    // What is on standard input is no side here.
    let again = server.run("diff node/node1 node/node1 nginx-service").stdin("no rules");
    assert_eq!(again.json()["summary"]["common"], 1);
}

#[test]
fn every_answer_keeps_to_the_schema() {
    let validator = jsonschema::validator_for(&kube_ipt::report::schema()).expect("the schema is one");
    let sink = |file: &str| node(&format!("kitchen-sink/{file}"));
    for run in [
        seed("in-sync", "stale"),
        diff(node("seed/in-sync/save.txt"), sink("node2/save.txt")),
        diff(sink("node1/nat-S.txt"), sink("node3/save.txt")).arg("--objects").arg(sink("cluster.json")),
    ] {
        let (document, stderr, _) = run.args("-o json").output();
        let document = serde_json::from_str(&document).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
    }
    let yaml = seed("stale", "recovered").args("-o yaml").status(1).stdout();
    assert!(yaml.starts_with("schema: kube-ipt/v1\nkind: diff\n"), "{yaml}");
}

#[test]
fn a_folder_is_compared_with_the_objects_in_it() {
    let run =
        |a: &str, b: &str| kube_ipt("diff --node-a node1 --node-b node1 -o json").arg(node(a)).arg(node(b)).output();
    let (stdout, _, code) = run("seed/in-sync", "seed/stale");
    let document: serde_json::Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(code, Some(1));
    assert!(
        document["b"]["objects"].as_str().is_some_and(|from| from.ends_with("seed/stale:cluster.json")),
        "{stdout}"
    );
    let services = document["services"].as_array().expect("services");
    assert_eq!(services.len(), 1, "{stdout}");
    assert_eq!(
        (&services[0]["service"], &services[0]["change"]),
        (&"nginx-demo/nginx-service".into(), &"changed".into())
    );
    assert!(stdout.contains("10.244.1.3:80") && stdout.contains("10.244.1.4:80"), "{stdout}");
}
