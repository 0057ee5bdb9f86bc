//! The JSON contract: its schema is frozen, and every answer keeps to it.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::cases::cases;
use crate::expect::objects_of;
use crate::run::{kube_ipt, node};
use crate::terminal::on_terminal;

/// The kept schema. `UPDATE_SCHEMA=1 cargo test` writes it anew; the diff is then the change of the contract.
#[test]
fn the_schema_is_the_kept_one() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/schema/kube-ipt-v1.json");
    let generated = serde_json::to_string_pretty(&kube_ipt::report::schema()).expect("JSON") + "\n";
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        fs::write(&path, &generated).expect("writable");
    }
    let kept = fs::read_to_string(&path).expect("the kept schema is there");
    assert_eq!(kept, generated);
}

#[test]
fn every_answer_keeps_to_the_schema() {
    let validator = jsonschema::validator_for(&kube_ipt::report::schema()).expect("the schema is one");
    for case in cases().iter().filter(|case| case.join("nat-S.txt").exists()) {
        for command in ["show", "list"] {
            let alone = kube_ipt(command).arg("-f").arg(case.join("nat-S.txt"));
            let joined = kube_ipt(command).arg("-f").arg(case.join("nat-S.txt")).arg("--objects").arg(objects_of(case));
            for run in [alone, joined.arg("--node").arg("node1")] {
                let (document, ..) = run.arg("-o").arg("json").output();
                let document = serde_json::from_str(&document).expect("JSON");
                let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
                assert!(errors.is_empty(), "{}: {errors:?}", case.display());
            }
        }
        let traced = kube_ipt("trace -v -o json --no-api external 10.96.0.1 -f").arg(case.join("nat-S.txt"));
        let (document, stderr, _) = traced.output();
        let document = serde_json::from_str(&document).unwrap_or_else(|e| panic!("{e}: {stderr}"));
        let errors: Vec<String> = validator.iter_errors(&document).map(|e| e.to_string()).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", case.display());
    }
    assert!(!validator.is_valid(&json!({"schema": "kube-ipt/v1"})), "the schema asks for something");
}

#[test]
fn the_source_says_what_the_answer_was_made_from() {
    let source = |file: &str| kube_ipt("show -f").arg(node(file)).json()["source"].take();
    let from = node("kitchen-sink/node2/save.txt");
    assert_eq!(
        source("kitchen-sink/node2/save.txt"),
        json!({
            "dataplane": "iptables", "backend": "nf_tables", "from": from, "node": null, "tables": ["nat", "filter"],
            "families": ["ipv4"], "objects": null, "partial": false,
        })
    );
    assert_eq!(source("kitchen-sink/node3/save.txt")["backend"], "legacy");
    let grepped = source("kitchen-sink/node2/nat-S-grep-KUBE.txt");
    assert_eq!(
        [&grepped["backend"], &grepped["tables"], &grepped["partial"]],
        [&Value::Null, &json!(["nat"]), &json!(true)]
    );
    assert_eq!(source("kitchen-sink/node2/nat-S.txt")["partial"], false);
}

#[test]
fn one_service_in_full() {
    let document = kube_ipt("show nginx-service --demo").json();
    let endpoint = |address: &str, probability: f64, chain: &str, pod: &str, node: &str| {
        json!({
            "address": address, "probability": probability, "chain": chain, "packets": null, "draining": false, "open_connections": null, "clients": null, "state": "ready", "reason": null,
            "pod": format!("nginx-demo/nginx-deployment-85dbbcff49-{pod}"), "node": node, "local": node == "node1",
        })
    };
    let route = |origin: &str, masquerade: bool| json!({"origin": origin, "sources": [], "verdict": "pool", "policy": "cluster", "masquerade": masquerade});
    assert_eq!(
        document,
        json!({
            "schema": "kube-ipt/v1",
            "kind": "show",
            "source": {
                "dataplane": "iptables", "backend": "nf_tables", "from": "demo", "node": "node1", "tables": ["nat", "filter"],
                "families": ["ipv4"], "objects": "demo", "partial": false,
            },
            "services": [{
                "service": "nginx-demo/nginx-service", "namespace": "nginx-demo", "name": "nginx-service", "port_name": null,
                "protocol": "tcp", "family": "ipv4", "type": "ClusterIP", "status": "ok", "session_affinity_seconds": null,
                "frontends": [{
                    "kind": "cluster-ip", "address": "10.96.101.105", "port": 80,
                    "routes": [route("pod", false), route("node", true), route("external", true)],
                }],
                "pools": [{
                    "policy": "cluster", "chain": "KUBE-SVC-I3HUB6ZVVCWJQDJP", "scheduler": null, "undelivered": 0.0, "expected": 3,
                    "missing": [], "balance": null,
                    "endpoints": [
                        endpoint("10.244.1.3:80", 0.333_333_333_488_553_76, "KUBE-SEP-77BN6HMO4OF56OSL", "crrbd", "node1"),
                        endpoint("10.244.3.2:80", 0.333_333_333_255_723_1, "KUBE-SEP-BJSIFI6IXUCQDUDO", "d7fks", "node3"),
                        endpoint("10.244.3.3:80", 0.333_333_333_255_723_1, "KUBE-SEP-NNLWCGX7WILFS762", "qldft", "node3"),
                    ],
                }],
                "unprogrammed": [],
                "not_ready": [],
                "findings": [],
            }],
        })
    );
}

#[test]
fn programs_get_a_line_for_each_service_port_and_people_indented_ones() {
    let piped = kube_ipt("list --demo -o json").stdout();
    let document: Value = serde_json::from_str(&piped).expect("JSON");
    let ports = document["services"].as_array().expect("a list");
    let lines: Vec<&str> = piped.lines().collect();
    let (Some(first), Some(last)) = (lines.first(), lines.last()) else { panic!("no lines: {piped}") };
    assert!(first.starts_with(r#"{"schema":"kube-ipt/v1","kind":"list""#) && *last == "]}", "{first} {last}");
    assert_eq!(lines.len(), ports.len() + 2);
    for (line, port) in lines[1..].iter().zip(ports) {
        assert_eq!(&serde_json::from_str::<Value>(line.trim_end_matches(',')).expect("JSON"), port);
    }
    assert_eq!(kube_ipt("check --demo=stale -o json").status(1).stdout().lines().count(), 1);
    let Some(shown) = on_terminal("followed(lambda *_: None)", &["list", "--demo", "-o", "json"], &[]) else { return };
    let shown = shown.replace('\r', "").replace("\nstatus 0\n", "");
    let indented: Value = serde_json::from_str(&shown).expect("JSON");
    assert!(shown.starts_with("{\n  \"schema\": \"kube-ipt/v1\",\n"), "{shown}");
    assert_eq!(indented, document);
}

#[test]
fn yaml_says_the_same() {
    let yaml = kube_ipt("show nginx-service --demo -o yaml").stdout();
    insta::assert_snapshot!(yaml);
    // To the last digit of every number.
    let list = |form: &str| {
        kube_ipt("list --no-api -o").args(form).arg("-f").arg(node("kitchen-sink/node2/save.txt")).stdout()
    };
    let of_json: Value = serde_json::from_str(&list("json")).expect("JSON");
    let of_yaml: Value = serde_saphyr::from_str(&list("yaml")).expect("YAML");
    assert_eq!(of_yaml, of_json);
}

#[test]
fn counters_are_new_connections_where_they_are_exact() {
    let dump = "Chain KUBE-SERVICES (2 references)\n pkts bytes target     prot opt in     out     source               destination\n\
                \x20   0     0 KUBE-SVC-X  6    --  *      *       0.0.0.0/0            10.96.0.1            /* a/b cluster IP */ tcp dpt:80\n\n\
                Chain KUBE-SVC-X (1 references)\n pkts bytes target     prot opt in     out     source               destination\n\
                \x20  12   720 KUBE-SEP-A  0    --  *      *       0.0.0.0/0            0.0.0.0/0            statistic mode random probability 0.50000000000\n\
                \x20  11   660 KUBE-SEP-B  0    --  *      *       0.0.0.0/0            0.0.0.0/0           \n\n\
                Chain KUBE-SEP-A (1 references)\n pkts bytes target     prot opt in     out     source               destination\n\
                \x20  12   720 DNAT       6    --  *      *       0.0.0.0/0            0.0.0.0/0            tcp to:10.0.0.1:80\n\n\
                Chain KUBE-SEP-B (1 references)\n pkts bytes target     prot opt in     out     source               destination\n\
                \x20 12M   660M DNAT       6    --  *      *       0.0.0.0/0            0.0.0.0/0            tcp to:10.0.0.2:80\n";
    let document = kube_ipt("show").stdin(dump).json();
    let endpoints = &document["services"][0]["pools"][0]["endpoints"];
    assert_eq!([&endpoints[0]["packets"], &endpoints[1]["packets"]], [&json!(12), &Value::Null]);
}
