//! `trace`: where one connection goes, and why.

use std::fmt::Write as _;
use std::fs;
use std::net::IpAddr;
use std::path::Path;

use kube_ipt::dataplane::{Frontend, Origin, ServicePort, Verdict};
use kube_ipt::dump::ipset::Sets;
use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::net::Family;
use kube_ipt::proxy::KnownNames;
use kube_ipt::proxy::iptables::{Ruleset, Survey, joined, rulesets};
use kube_ipt::trace::{End, Journey, Locals, Source};
use serde_json::{Value, json};

use crate::cases::{cases, gunzip};
use crate::run::{Run, kube_ipt, node, nodes};

/// What `trace ARGS` says about rules on standard input.
fn trace(rules: &str, args: &str) -> Value {
    let (stdout, stderr, status) = kube_ipt("trace --no-api -o json").args(args).stdin(rules).output();
    assert_eq!(status, Some(0), "{args}: {stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

/// A nat and a filter table around these rules of nat, which PREROUTING and OUTPUT send to SERVICES.
fn tables(nat: &str, filter: &str) -> String {
    let chains = |rules: &str| {
        let named = rules.lines().filter_map(|line| line.strip_prefix("-A ")?.split(' ').next());
        let own = named.filter(|chain| chain.chars().any(|c| c.is_ascii_lowercase()));
        let mut own: Vec<String> = own.map(|chain| format!(":{chain} - [0:0]\n")).collect();
        own.sort();
        own.dedup();
        own.concat()
    };
    format!(
        "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{}{filter}COMMIT\n\
         *nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{}\
         -A PREROUTING -j services\n-A OUTPUT -j services\n{nat}COMMIT\n",
        chains(filter),
        chains(nat)
    )
}

/// Destinations with their probabilities, in order.
fn destinations(trace: &Value) -> Vec<(String, Option<f64>)> {
    let all = trace["destinations"].as_array().expect("destinations").iter();
    all.map(|d| (d["address"].as_str().expect("an address").to_owned(), d["probability"].as_f64())).collect()
}

/// Verdicts with their probabilities.
fn outcomes(trace: &Value) -> Vec<(Option<String>, Option<f64>)> {
    let all = trace["outcomes"].as_array().expect("outcomes").iter();
    all.map(|o| (o["verdict"].as_str().map(str::to_owned), o["probability"].as_f64())).collect()
}

fn unknown(trace: &Value) -> Vec<&str> {
    trace["unknown"].as_array().expect("a list").iter().map(|what| what.as_str().expect("words")).collect()
}

const DNAT: &str = "-A services -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8080\n";
const TO: &str = "10.96.0.1:80 --node-ip 192.0.2.1";

#[test]
fn packets_with_known_fates() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/flows/flows.jsonl");
    let mut count = 0;
    for line in fs::read_to_string(path).expect("the fixture").lines() {
        let record: Value = serde_json::from_str(line).expect("JSON");
        let ips: Vec<String> = record["node_ips"]
            .as_array()
            .expect("addresses")
            .iter()
            .map(|ip| format!("--node-ip {}", ip.as_str().expect("an address")))
            .collect();
        for flow in record["flows"].as_array().expect("flows") {
            let word = |key: &str| flow[key].as_str().expect("a word");
            let host = if word("to").contains(':') { format!("[{}]", word("to")) } else { word("to").to_owned() };
            let args = format!("{} {} {host}:{}/{}", ips.join(" "), word("from"), flow["port"], word("protocol"));
            let found = trace(record["dump"].as_str().expect("rules"), &args);
            let mut addresses: Vec<String> = destinations(&found).into_iter().map(|(address, _)| address).collect();
            addresses.sort();
            let expected = match word("output") {
                "REJECT" => json!(["reject", []]),
                "DROP" => json!(["drop", []]),
                "" | "ACCEPT" => json!(["untranslated", []]),
                endpoints => {
                    assert_eq!(found["masquerade"], flow["masquerade"], "{}: {args}", record["name"]);
                    let mut endpoints: Vec<&str> = endpoints.split(", ").collect();
                    endpoints.sort_unstable();
                    json!(["delivered", endpoints])
                }
            };
            assert_eq!(json!([found["verdict"], addresses]), expected, "{}: {args}", record["name"]);
            count += 1;
        }
    }
    assert_eq!(count, 44);
}

/// Every dump of every recording with rules of iptables mode: its path and its text.
fn dumps() -> Vec<(String, String)> {
    let mut all = Vec::new();
    for folder in cases().into_iter().chain([nodes().join("large")]) {
        for entry in fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("readable").path();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            if !name.starts_with("save") && !name.starts_with("nat") {
                continue;
            }
            let gzipped = path.extension().is_some_and(|extension| extension == "gz");
            let text = if gzipped { gunzip(&path) } else { fs::read_to_string(&path).expect("text") };
            all.push((path.display().to_string(), text));
        }
    }
    all.sort();
    all
}

/// In these, rules outside the Services' own chains decide, which the tree does not show.
const ELSEWHERE: [&str; 2] = ["faults/missing-hook/", "faults/shadowed-hook/"];

#[test]
fn a_plain_connection_goes_where_the_tree_says() {
    let (mut files, mut compared) = (0, 0);
    for (path, text) in dumps() {
        if ELSEWHERE.iter().any(|fault| path.contains(fault)) {
            continue;
        }
        let family = if path.contains('6') && (path.contains("save6") || path.contains("nat6")) {
            Family::Ipv6
        } else {
            Family::Ipv4
        };
        let scanned = [joined(Dump::scan(&text, Hints::default()))];
        let (rulesets, _) = rulesets(&scanned, family);
        let survey = Survey::of(&rulesets, &KnownNames::default());
        for sketch in survey.sketches() {
            let service = survey.services(&[sketch]).remove(0);
            let ruleset = rulesets.iter().find(|ruleset| ruleset.family == service.family).expect("its rules");
            for frontend in &service.frontends {
                compared += hold_against(&path, ruleset, &survey, &service, frontend);
            }
        }
        files += 1;
    }
    assert!(files >= 94 && compared > 5_500, "{files} {compared}");
}

/// Follows a connection from every origin to a frontend, and compares with its routes.
fn hold_against(
    path: &str,
    ruleset: &Ruleset<'_>,
    survey: &Survey<'_>,
    service: &ServicePort,
    frontend: &Frontend,
) -> usize {
    let family = service.family;
    let own: IpAddr = if family == Family::Ipv4 { "192.0.2.250" } else { "2001:db8::250" }.parse().expect("an address");
    let pods = survey.pods(family);
    let endpoints = service.pools.iter().flat_map(|pool| &pool.endpoints);
    let recovered = endpoints.filter_map(|e| Some((*e.rules.last()?, e.address.clone()))).collect();
    for origin in Origin::ALL {
        let source = match origin {
            Origin::Pod => Source::SomePod,
            Origin::Node => Source::Exactly(own),
            Origin::External => Source::Outside,
        };
        let journey = Journey {
            origin,
            source,
            source_port: None,
            destination: frontend.address,
            port: frontend.port.expect("one port"),
            protocol: service.protocol.expect("known"),
            locals: Locals { addresses: vec![own], complete: true, ..Locals::default() },
            pod_networks: pods.networks,
            pod_interfaces: pods.interfaces,
            comes_in_by: None,
            goes_out_by: None,
            seen: false,
            sets: &Sets::default(),
        };
        let found = kube_ipt::trace::trace(ruleset, &journey, &recovered, false);
        let route =
            frontend.routes.iter().find(|r| r.origin == origin && r.sources.is_empty()).expect("a route for everyone");
        let context = || format!("{path}: {:?} {} {route:?}: {found:#?}", service.name, frontend.at());
        // What all ways come to is everything.
        let sum: f64 =
            found.outcomes.iter().map(|outcome| outcome.probability.unwrap_or_else(|| panic!("{}", context()))).sum();
        assert!((sum - 1.0).abs() < 1e-9, "{}", context());
        let Verdict::Pool(policy) = route.verdict else {
            let expected = match route.verdict {
                Verdict::Drop => "drop",
                Verdict::Reject => "reject",
                _ => "untranslated",
            };
            assert_eq!(found.verdict().and_then(|end| end.as_str()), Some(expected), "{}", context());
            assert_eq!(found.destinations.len(), 0, "{}", context());
            continue;
        };
        let pool = service.pools.iter().find(|pool| pool.policy == policy).expect("the pool");
        assert_eq!(found.destinations.len(), pool.endpoints.len(), "{}", context());
        for endpoint in &pool.endpoints {
            let reached = found.destinations.iter().find(|d| d.address == endpoint.address);
            let part =
                reached.and_then(|d| d.probability).unwrap_or_else(|| panic!("{}: {}", endpoint.address, context()));
            let share = endpoint.probability.expect("known");
            assert!((part - share).abs() < 1e-9, "{}: {}", endpoint.address, context());
        }
        let lost = found.outcomes.iter().filter(|o| matches!(o.end, End::Untranslated { .. }));
        let lost: f64 = lost.filter_map(|outcome| outcome.probability).sum();
        assert!((lost - pool.undelivered.expect("known")).abs() < 1e-9, "{}", context());
        assert!(route.masquerade.is_none_or(|masquerade| found.masquerade == Some(masquerade)), "{}", context());
    }
    Origin::ALL.len()
}

#[test]
fn faults_outside_the_chains_of_services_are_seen() {
    let file = |name: &str| node(&format!("faults/{name}/save.txt"));
    // PREROUTING does not lead to KUBE-SERVICES any more; OUTPUT does.
    let hookless =
        |from: &str| trace("", &format!("-f {} --node-ip 10.200.0.11 {from} 10.96.78.10:80", file("missing-hook")));
    assert_eq!(hookless("pod")["verdict"], "untranslated");
    assert_eq!(hookless("node")["verdict"], "delivered");
    // A rule ahead of kube-proxy's takes the node port.
    let shadowed = trace("", &format!("-f {} --node-ip 10.200.0.11 external :31589", file("shadowed-hook")));
    assert_eq!(destinations(&shadowed), [("10.244.1.99:8080".to_owned(), Some(1.0))]);
}

#[test]
fn returns_gotos_and_policies() {
    let whole = |nat: &str, filter: &str, from: &str| trace(&tables(nat, filter), &format!("{from} {TO}"));
    // RETURN leaves the chain, not the table; what is jumped to comes back, what is gone to does not.
    let returns = format!("-A services -j side\n{DNAT}-A side -s 10.1.0.0/16 -j RETURN\n-A side -j ACCEPT\n");
    assert_eq!(whole(&returns, "", "10.1.0.1")["verdict"], "delivered");
    assert_eq!(whole(&returns, "", "10.2.0.1")["verdict"], "untranslated");
    let gone = format!("-A services -g side\n{DNAT}-A side -s 10.1.0.0/16 -j RETURN\n");
    assert_eq!(whole(&gone, "", "10.1.0.1")["verdict"], "untranslated");
    // The filter table sees the destination after translation.
    let filter = "-A FORWARD -d 10.0.0.2/32 -p tcp -m tcp --dport 8080 -j REJECT\n-A FORWARD -d 10.96.0.1/32 -j DROP\n";
    assert_eq!(whole(DNAT, filter, "10.1.0.1")["verdict"], "reject");
    // A policy drops what no rule accepts.
    let closed = tables(DNAT, "-A FORWARD -s 10.1.0.0/16 -j ACCEPT\n").replace(":FORWARD ACCEPT", ":FORWARD DROP");
    assert_eq!(trace(&closed, &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
    let dropped = trace(&closed, &format!("10.2.0.1 {TO}"));
    let last = dropped["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    let policy = json!({"hook": "FORWARD", "table": "filter", "chain": "FORWARD", "from": null, "line": null, "rule": null,
        "action": "drop", "probability": 1.0, "applies": true, "because": null});
    assert_eq!((&dropped["verdict"], last), (&json!("drop"), &policy));
    // From the node itself OUTPUT decides, and not FORWARD.
    assert_eq!(trace(&closed, &format!("node {TO}"))["verdict"], "delivered");
}

#[test]
fn what_stays_on_the_node_passes_input() {
    let nat = "-A services -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j mark\n\
               -A services -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 192.0.2.1:6443\n\
               -A mark -j MARK --set-xmark 0x4000/0x4000\n\
               -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n";
    let rules = tables(nat, "-A FORWARD -j DROP\n-A INPUT -s 10.9.0.0/16 -j REJECT\n");
    let found = trace(&rules, &format!("10.1.0.1 {TO}"));
    // INPUT has no masquerading, mark or not.
    assert_eq!(found["verdict"], "delivered");
    assert_eq!(found["destinations"][0]["masquerade"], false);
    assert_eq!(trace(&rules, &format!("10.9.0.1 {TO}"))["verdict"], "reject");
    // What the node sends to itself leaves by POSTROUTING before it comes in.
    let own = trace(&rules, &format!("node {TO}"));
    assert_eq!((&own["verdict"], &own["destinations"][0]["masquerade"]), (&json!("delivered"), &json!(true)));
    // A port that no rule speaks of is the node's own affair.
    let other = trace(&rules, "10.1.0.1 192.0.2.1:22 --node-ip 192.0.2.1");
    assert_eq!(outcomes(&other), [(Some("untranslated".to_owned()), Some(1.0))]);
}

#[test]
fn raw_and_mangle_come_first() {
    let with = |table: &str, rules: &str| {
        format!("*{table}\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n{rules}COMMIT\n{}", tables(DNAT, ""))
    };
    // What is not tracked is not translated.
    for target in ["NOTRACK", "CT --notrack"] {
        let untracked = with("raw", &format!("-A PREROUTING -s 10.1.0.0/16 -j {target}\n"));
        assert_eq!(trace(&untracked, &format!("10.1.0.1 {TO}"))["verdict"], "untranslated", "{target}");
        assert_eq!(trace(&untracked, &format!("10.2.0.1 {TO}"))["verdict"], "delivered", "{target}");
    }
    let dropped = with("raw", "-A PREROUTING -d 10.96.0.0/16 -j DROP\n");
    assert_eq!(trace(&dropped, &format!("10.1.0.1 {TO}"))["verdict"], "drop");
    // A mark that mangle sets is there for nat.
    let marked = with("mangle", "-A PREROUTING -p tcp -m multiport --dports 79,80 -j MARK --set-xmark 0x8/0x8\n")
        .replace("-A PREROUTING -j services\n", "-A PREROUTING -m mark ! --mark 0x8/0x8 -j services\n");
    assert_eq!(trace(&marked, &format!("10.1.0.1 {TO}"))["verdict"], "untranslated");
    let ports = "-A PREROUTING -p tcp -m multiport --sports 1,40000 -j DROP\n-A PREROUTING -p tcp -m multiport --ports 2,50000:50009 -j DROP\n";
    for (from, verdict) in [("10.1.0.1:40000", "drop"), ("10.1.0.1:50003", "drop"), ("10.1.0.1:40001", "delivered")] {
        assert_eq!(trace(&with("mangle", ports), &format!("{from} {TO}"))["verdict"], verdict, "{from}");
    }
    let of_connection =
        "-A PREROUTING -j CONNMARK --set-xmark 0x10/0xffffffff\n-A PREROUTING -m connmark --mark 0x10/0x10 -j DROP\n";
    assert_eq!(trace(&with("mangle", of_connection), &format!("10.1.0.1 {TO}"))["verdict"], "drop");
    // The connection's mark is none before it is saved.
    let restored =
        with("mangle", "-A PREROUTING -j MARK --set-xmark 0x8/0xffffffff\n-A PREROUTING -j CONNMARK --restore-mark\n")
            .replace("-A PREROUTING -j services\n", "-A PREROUTING -m mark --mark 0x8/0x8 -j services\n");
    assert_eq!(trace(&restored, &format!("10.1.0.1 {TO}"))["verdict"], "untranslated");
    let saved = restored.replace("-j CONNMARK --restore-mark", "-j CONNMARK --save-mark");
    assert_eq!(trace(&saved, &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
}

#[test]
fn what_is_not_known_is_followed_both_ways_and_said() {
    let rules = tables(DNAT, "-A FORWARD -i eth1 -j DROP\n");
    let open = trace(&rules, &format!("10.1.0.1 {TO}"));
    assert_eq!(open["verdict"], Value::Null);
    assert_eq!(destinations(&open), [("10.0.0.2:8080".to_owned(), None)]);
    assert_eq!(outcomes(&open).len(), 2);
    assert_eq!(unknown(&open), ["it comes in by eth1"]);
    let given = |name: &str| trace(&rules, &format!("10.1.0.1 {TO} --in-interface {name}"));
    assert_eq!((&given("eth1")["verdict"], &given("eth0")["verdict"]), (&json!("drop"), &json!("delivered")));
    // A packet of the node has no interface it came in by.
    assert_eq!(trace(&rules, &format!("node {TO}"))["verdict"], "delivered");
    // What comes to the same either way is known.
    let harmless =
        tables(DNAT, "-A FORWARD -i eth1 -j side\n-A FORWARD -o eth2 -j ACCEPT\n-A side -s 10.9.0.0/16 -j DROP\n");
    let known = trace(&harmless, &format!("10.1.0.1 {TO}"));
    assert_eq!((&known["verdict"], unknown(&known).len()), (&json!("delivered"), 0));
    assert_eq!(destinations(&known), [("10.0.0.2:8080".to_owned(), Some(1.0))]);
}

#[test]
fn one_unknown_thing_is_answered_alike_everywhere() {
    // Marked and sent on under the same condition: never the one without the other.
    let nat = "-A services -s 10.7.0.0/16 -j mark\n-A services -s 10.7.0.0/16 -j all\n-A services -j few\n\
               -A mark -j MARK --set-xmark 0x4000/0x4000\n-A all -p tcp -j DNAT --to-destination 10.0.0.2:80\n\
               -A few -p tcp -j DNAT --to-destination 10.0.0.3:80\n\
               -A POSTROUTING -m mark --mark 0x4000/0x4000 -j MASQUERADE\n";
    let found = trace(&tables(nat, ""), "node 10.96.0.1:80 --node-ip 10.7.0.1 --node-ip 192.0.2.1");
    let masquerades: Vec<&Value> =
        found["destinations"].as_array().expect("two").iter().map(|d| &d["masquerade"]).collect();
    assert_eq!(masquerades, [true, false], "{found:#}");
    assert_eq!(found["verdict"], "delivered");
    assert_eq!(unknown(&found), ["the client's address lies in 10.7.0.0/16"]);
    // Two interfaces at once there are not.
    let rules = tables(DNAT, "-A FORWARD -i eth1 -j side\n-A side -i eth2 -j DROP\n");
    assert_eq!(trace(&rules, &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
}

#[test]
fn ipsets_are_looked_into_where_they_are_given() {
    let rules = tables(DNAT, "-A FORWARD -m set --match-set blocked src,dst -j DROP\n");
    let room = tempfile::tempdir().expect("a folder");
    let file = |name: &str, text: &str| {
        let path = room.path().join(name);
        fs::write(&path, text).expect("writable");
        path.display().to_string()
    };
    let dump = file("rules", &rules);
    let open = trace("", &format!("-f {dump} 10.1.0.1 {TO}"));
    assert_eq!(open["verdict"], Value::Null);
    assert_eq!(unknown(&open), ["it is in the ipset blocked (src,dst), whose contents were not given"]);
    let sets = file(
        "sets",
        "create blocked hash:net,port family inet\nadd blocked 10.1.0.0/16,tcp:8080\nadd blocked 10.1.9.0/24,tcp:8080 nomatch\n",
    );
    let verdict = |from: &str, to: &str| trace("", &format!("-f {dump} -f {sets} {from} {to}"))["verdict"].clone();
    assert_eq!(verdict("10.1.0.1", TO), "drop");
    assert_eq!(verdict("10.1.9.1", TO), "delivered");
    assert_eq!(verdict("10.2.0.1", TO), "delivered");
    assert_eq!(verdict("10.1.0.1", "10.0.0.9:8081 --node-ip 192.0.2.1"), "untranslated");
    // With fewer directions than the set has dimensions nothing is in it.
    fs::write(&dump, rules.replace("src,dst", "src")).expect("writable");
    assert_eq!(verdict("10.1.0.1", TO), "delivered");
    fs::write(&dump, rules.replace("--match-set blocked src,dst", "! --match-set blocked src")).expect("writable");
    assert_eq!(verdict("10.2.0.1", TO), "drop");
}

#[test]
fn affinity_sends_those_who_were_there_before_where_they_were() {
    let file = node("kitchen-sink/node2/save.txt");
    let of = |flags: &str| trace("", &format!("-f {file} --node-ip 10.200.0.12 external 10.96.78.210:80 {flags}"));
    let fresh = of("");
    assert_eq!(destinations(&fresh).len(), 7);
    assert!(destinations(&fresh).iter().all(|(_, part)| part.is_some_and(|p| (p - 1.0 / 7.0).abs() < 1e-9)));
    let seen = of("--sticky");
    assert_eq!(seen["verdict"], "delivered", "{seen:#}");
    assert_eq!(destinations(&seen).len(), 7);
    assert!(destinations(&seen).iter().all(|(_, part)| part.is_none()));
    // With one endpoint there is no doubt.
    let one = tables(
        "-A services -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j pool\n\
         -A pool -m recent --rcheck --seconds 9 --reap --name KUBE-SEP-a --rsource -j KUBE-SEP-a\n-A pool -j KUBE-SEP-b\n\
         -A KUBE-SEP-a -p tcp -j DNAT --to-destination 10.0.0.2:80\n-A KUBE-SEP-b -p tcp -j DNAT --to-destination 10.0.0.3:80\n",
        "",
    );
    assert_eq!(destinations(&trace(&one, &format!("10.1.0.1 {TO}"))), [("10.0.0.3:80".to_owned(), Some(1.0))]);
    let back = destinations(&trace(&one, &format!("10.1.0.1 {TO} --sticky")));
    assert_eq!(back.iter().map(|(to, _)| to.as_str()).collect::<Vec<_>>(), ["10.0.0.2:80"]);
    // Lists of other rules have nothing to do with affinity.
    let guard = "-A FORWARD -p tcp -m tcp --dport 22 -m recent --update --seconds 60 --hitcount 4 --name SSH --rsource -j DROP\n\
                 -A FORWARD -s 10.9.0.0/16 -j DROP\n";
    let guarded = trace(&tables(DNAT, guard), &format!("10.1.0.1 {TO} --sticky"));
    assert_eq!(outcomes(&guarded), [(Some("delivered".to_owned()), Some(1.0))]);
}

#[test]
fn interfaces_are_those_of_the_hook() {
    // The node's own packet was routed before OUTPUT translates it: to itself, by lo (nf_ct and nft agree on that).
    let own = "-A services -d 192.0.2.1/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8080\n";
    let closed = tables(own, "-A OUTPUT -o lo -j ACCEPT\n")
        .replace(":OUTPUT ACCEPT [0:0]\n-A OUTPUT -o", ":OUTPUT DROP [0:0]\n-A OUTPUT -o");
    assert_eq!(trace(&closed, "node 192.0.2.1:80 --node-ip 192.0.2.1")["verdict"], "delivered");
    // What comes in for the node has no interface to go out by.
    let inward = tables(DNAT, "-A INPUT -j side\n-A side -o lo -j DROP\n");
    assert_eq!(trace(&inward, "10.1.0.1 192.0.2.1:22 --node-ip 192.0.2.1")["verdict"], "untranslated");
    // Of interfaces a packet has one.
    let one = tables(
        DNAT,
        "-A FORWARD -i cali+ -j side\n-A side -i eth0 -j DROP\n-A FORWARD -o eth1 -j out\n-A out -o eth2 -j DROP\n",
    );
    assert_eq!(trace(&one, &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
    // An uplink may be a bridge, a network of Docker is none.
    let bridges = tables(DNAT, "-A FORWARD -i br-ex -j ACCEPT\n-A FORWARD -i br-0123456789ab -j DROP\n");
    assert_eq!(unknown(&trace(&bridges, &format!("external {TO}"))).len(), 0);
    assert_eq!(trace(&bridges, &format!("external {TO}"))["verdict"], "delivered");
    let closed = bridges.replace(":FORWARD ACCEPT", ":FORWARD DROP");
    assert_eq!(unknown(&trace(&closed, &format!("external {TO}"))), ["it comes in by br-ex"]);
}

#[test]
fn rules_for_other_traffic_are_told_apart() {
    let verdict = |filter: &str, args: &str| trace(&tables(DNAT, filter), args)["verdict"].clone();
    // Protocols that no Service has.
    for protocol in ["vrrp", "ospf", "112", "icmp"] {
        assert_eq!(verdict(&format!("-A FORWARD -p {protocol} -j DROP\n"), &format!("10.1.0.1 {TO}")), "delivered");
    }
    // A port by a name nobody here knows may be any.
    let named = trace(&tables(DNAT, "-A FORWARD -p tcp -m tcp --dport nfs -j DROP\n"), &format!("10.1.0.1 {TO}"));
    assert_eq!((&named["verdict"], unknown(&named)), (&Value::Null, vec!["the port is nfs"]));
    // An address of the node is no cluster IP.
    let file = node("kitchen-sink/node2/save.txt");
    let port = trace("", &format!("-f {file} external :80"));
    assert_eq!((&port["verdict"], unknown(&port).len()), (&json!("untranslated"), 0), "{port:#}");
}

#[test]
fn rules_that_name_no_address_are_of_the_family_of_the_question() {
    let rules = tables("-A services -p tcp -m tcp --dport 80 -j REDIRECT --to-ports 8080\n", "");
    for args in ["fd00::1 [fd00:96::1]:80 --node-ip fd00::250", "10.1.0.1 10.96.0.1:80 --node-ip 192.0.2.1"] {
        assert_eq!(trace(&rules, args)["verdict"], "delivered", "{args}");
    }
}

#[test]
fn raw_knows_no_connections_yet() {
    let raw = |state: &str| {
        format!(
            "*raw\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n-A PREROUTING -m conntrack --ctstate {state} -j DROP\nCOMMIT\n{}",
            tables(DNAT, "")
        )
    };
    assert_eq!(trace(&raw("NEW"), &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
    assert_eq!(trace(&raw("INVALID"), &format!("10.1.0.1 {TO}"))["verdict"], "drop");
}

#[test]
fn nobody_is_outside_both_halves_of_all_addresses() {
    let halves = tables(DNAT, "-A FORWARD -s 0.0.0.0/1 -j DROP\n-A FORWARD -s 128.0.0.0/1 -j DROP\n");
    assert_eq!(outcomes(&trace(&halves, &format!("external {TO}"))), [(Some("drop".to_owned()), Some(1.0))]);
}

#[test]
fn a_cache_on_the_node_may_answer_at_a_cluster_ip() {
    let nat = "-A services -d 10.96.0.10/32 -p udp -m comment --comment \"kube-system/kube-dns:dns cluster IP\" -m udp --dport 53 -j KUBE-SVC-x\n\
               -A KUBE-SVC-x -j KUBE-SEP-x\n-A KUBE-SEP-x -p udp -j DNAT --to-destination 10.0.0.2:53\n";
    let cached = format!(
        "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d 10.96.0.10/32 -p udp -m udp --dport 53 -j CT --notrack\nCOMMIT\n{}",
        tables(nat, "-A INPUT -d 10.96.0.10/32 -p udp -m udp --dport 53 -j ACCEPT\n")
            .replace("services", "KUBE-SERVICES")
    );
    let found = trace(&cached, "10.1.0.1 10.96.0.10:53/udp");
    assert_eq!(found["verdict"], "untranslated");
    // It is not said that it leaves the node.
    let story = kube_ipt("trace --no-api 10.1.0.1 10.96.0.10:53/udp").stdin(&cached).output().0;
    assert!(
        story.contains("not translated: it goes on to 10.96.0.10 as it is, or a program of this node gets it"),
        "{story}"
    );
}

#[test]
fn many_unknown_things_cost_no_more_than_they_must() {
    // Sixty endpoints, and eight rules that only watch under conditions nobody knows, or lead to chains that only watch.
    let mut nat = String::from("-A services -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j pool\n");
    for n in 0..60u32 {
        let part = 1.0 / f64::from(60 - n);
        let _ = writeln!(
            nat,
            "-A pool -p tcp -m statistic --mode random --probability {part:.11} -j DNAT --to-destination 10.0.0.{n}:80"
        );
    }
    let mut filter = String::new();
    for n in 0..8 {
        let _ = writeln!(
            filter,
            "-A FORWARD -m limit --limit {n}/sec -j LOG\n-A FORWARD -m limit --limit {n}/min -j watch"
        );
    }
    filter.push_str("-A watch -j LOG\n");
    for flags in ["", "-v"] {
        let found = trace(&tables(&nat, &filter), &format!("10.1.0.1 {TO} {flags}"));
        assert_eq!((&found["verdict"], destinations(&found).len()), (&json!("delivered"), 60), "{flags}");
        let parts: Option<f64> = destinations(&found).iter().map(|(_, part)| *part).sum();
        assert!(parts.is_some_and(|sum| (sum - 1.0).abs() < 1e-6), "{flags} {parts:?}");
    }
}

#[test]
fn hairpin_is_told_endpoint_by_endpoint() {
    let found = trace("", &format!("-f {} 10.244.1.3 10.96.101.105:80", node("seed/in-sync/save.txt")));
    let told: Vec<(&Value, &Value)> =
        found["destinations"].as_array().expect("three").iter().map(|d| (&d["address"], &d["masquerade"])).collect();
    let expected = [
        (&json!("10.244.1.3:80"), &json!(true)),
        (&json!("10.244.3.2:80"), &json!(false)),
        (&json!("10.244.3.3:80"), &json!(false)),
    ];
    assert_eq!(told, expected);
    assert_eq!(found["masquerade"], true);
    // A rule that is met twice on one way is told once.
    let steps = trace(
        "",
        &format!("-f {} --node-ip 10.200.0.12 10.244.2.4 10.200.0.12:30961", node("kitchen-sink/node2/save.txt")),
    );
    let parts = steps["steps"].as_array().expect("steps").iter().filter_map(|step| step["probability"].as_f64());
    assert!(parts.clone().count() > 10 && parts.clone().all(|part| part <= 1.0), "{:?}", parts.collect::<Vec<_>>());
}

#[test]
fn other_ways_of_translating() {
    let redirect = tables("-A services -d 10.96.0.1/32 -p tcp -j REDIRECT --to-ports 8080\n", "-A FORWARD -j DROP\n");
    let found = trace(&redirect, &format!("10.1.0.1 {TO}"));
    assert_eq!(
        (&found["verdict"], &found["destinations"][0]["address"]),
        (&json!("delivered"), &json!("this node, 8080"))
    );
    // The port it is redirected to is what INPUT sees.
    let closed = tables(
        "-A services -d 10.96.0.1/32 -p tcp -j REDIRECT --to-ports 8080\n",
        "-A INPUT -p tcp -m tcp --dport 8080 -j DROP\n",
    );
    assert_eq!(trace(&closed, &format!("10.1.0.1 {TO}"))["verdict"], "drop");
    let port = tables("-A services -d 10.0.0.7/32 -p tcp -j DNAT --to-destination :8081\n", "");
    assert_eq!(trace(&port, "10.1.0.1 10.0.0.7:80 --node-ip 192.0.2.1")["destinations"][0]["address"], "10.0.0.7:8081");
    // Mapped where it leaves, it is the source that is mapped.
    let mapped = tables(&format!("{DNAT}-A POSTROUTING -s 10.1.0.0/16 -j NETMAP --to 10.55.0.0/16\n"), "");
    let mapped = trace(&mapped, &format!("10.1.0.1 {TO}"));
    assert_eq!(destinations(&mapped), [("10.0.0.2:8080".to_owned(), Some(1.0))]);
    assert_eq!(mapped["destinations"][0]["masquerade"], true);
    let range = tables("-A services -d 10.96.0.1/32 -p tcp -j DNAT --to-destination 10.0.0.2-10.0.0.9:80\n", "");
    assert_eq!(trace(&range, &format!("10.1.0.1 {TO}"))["destinations"][0]["address"], "10.0.0.2-10.0.0.9:80");
    let same_port = tables("-A services -d 10.96.0.1/32 -p tcp -j DNAT --to-destination 10.0.0.2\n", "");
    assert_eq!(trace(&same_port, &format!("10.1.0.1 {TO}"))["destinations"][0]["address"], "10.0.0.2:80");
    // Only the first packet of a connection passes here, and it has SYN and nothing else.
    let syn = tables(
        DNAT,
        "-A FORWARD -p tcp -m tcp ! --tcp-flags FIN,SYN,RST,ACK SYN -m conntrack --ctstate NEW -j DROP\n\
        -A FORWARD -m conntrack --ctstate DNAT -j ACCEPT\n-A FORWARD -j REJECT\n",
    );
    assert_eq!(trace(&syn, &format!("10.1.0.1 {TO}"))["verdict"], "delivered");
}

#[test]
fn what_cannot_be_told_is_never_guessed() {
    let reason = |trace: &Value| {
        let all = trace["outcomes"].as_array().expect("outcomes");
        all.iter().find_map(|o| o["reason"].as_str()).map(str::to_owned)
    };
    let queued = trace(&tables(DNAT, "-A FORWARD -j NFQUEUE --queue-num 0\n"), &format!("10.1.0.1 {TO}"));
    assert_eq!(reason(&queued).as_deref(), Some("line 5 hands it to another program"));
    let lost = trace(&tables("-A services -j KUBE-SVC-X\n", ""), &format!("10.1.0.1 {TO}"));
    assert_eq!(reason(&lost).as_deref(), Some("KUBE-SVC-X, which line 14 leads to, is not in the dump"));
    assert_eq!(lost["verdict"], Value::Null);
    // Chains that call each other, and chains that double at every step, end in a word instead of never.
    let looped = trace(&tables("-A services -j ring\n-A ring -j services\n", ""), &format!("10.1.0.1 {TO}"));
    assert!(
        reason(&looped).is_some_and(|why| why.starts_with("chains call each other more than 100 deep")),
        "{looped:#}"
    );
    let repeated = |count: u32, rule: &dyn Fn(u32) -> String| (0..count).map(rule).collect::<Vec<_>>().concat();
    let doubling = repeated(40, &|n| format!("-A c{n} -j c{}\n-A c{n} -j c{}\n", n + 1, n + 1));
    let doubled = trace(
        &tables(&format!("-A services -j c0\n{doubling}-A c40 -s 10.9.9.9/32 -j ACCEPT\n"), ""),
        &format!("10.1.0.1 {TO}"),
    );
    assert_eq!(reason(&doubled).as_deref(), Some("there are too many rules on the way to follow them all"));
    // Twelve unknown things, each of which may drop it.
    let many = repeated(12, &|n| format!("-A FORWARD -m set --match-set s{n} src -j DROP\n"));
    let open = trace(&tables(DNAT, &many), &format!("10.1.0.1 {TO}"));
    assert_eq!(reason(&open).as_deref(), Some("it depends on more than 10 things that are not known"));
}

#[test]
fn names_stand_for_addresses() {
    let cluster = node("kitchen-sink/cluster.json");
    let run = |args: &str| -> Run {
        kube_ipt("trace -o json --node node2 --objects")
            .arg(&cluster)
            .arg("-f")
            .arg(node("kitchen-sink/node2/save.txt"))
            .args(args)
    };
    let found = |args: &str| -> Value { serde_json::from_str(&run(args).output().0).expect("JSON") };
    let packet = |args: &str| {
        let packet = found(args)["packet"].take();
        json!([
            packet["origin"],
            packet["source"],
            packet["destination"],
            packet["port"],
            packet["protocol"],
            packet["service"]
        ])
    };
    let nginx = "nginx-demo/nginx-service";
    for (args, expected) in [
        ("edge/gw-67fbcbfc4d-98jd2 nginx-service", json!(["pod", "10.244.2.4", "10.96.78.10", 80, "tcp", nginx])),
        (
            "gw-67fbcbfc4d-98jd2 service/nginx-demo/nginx-service:80/tcp",
            json!(["pod", "10.244.2.4", "10.96.78.10", 80, "tcp", nginx]),
        ),
        ("node2 infra/dns:dns", json!(["node", "10.200.0.12", "10.96.92.103", 53, "udp", "infra/dns:dns"])),
        ("node infra/dns:53/tcp", json!(["node", "10.200.0.12", "10.96.92.103", 53, "tcp", "infra/dns:dns-tcp"])),
        ("node/node3 :31589", json!(["external", "10.200.0.13", "10.200.0.12", 31589, "tcp", "shop/web"])),
        ("external node:31589", json!(["external", null, "10.200.0.12", 31589, "tcp", "shop/web"])),
        ("external node/node2:31589", json!(["external", null, "10.200.0.12", 31589, "tcp", "shop/web"])),
        ("localhost localhost:31589", json!(["node", "127.0.0.1", "127.0.0.1", 31589, "tcp", "shop/web"])),
        ("pod 10.96.92.103:53/udp", json!(["pod", null, "10.96.92.103", 53, "udp", "infra/dns:dns"])),
        ("pod 10.96.78.10", json!(["pod", null, "10.96.78.10", 80, "tcp", nginx])),
        (
            "10.244.2.4:40000 pod/edge/gw-67fbcbfc4d-vlz5w:8080",
            json!(["pod", "10.244.2.4", "10.244.3.3", 8080, "tcp", null]),
        ),
    ] {
        assert_eq!(packet(args), expected, "{args}");
    }
    // What another node sends to a Service, that node's rules lead on; what it sends here, these do.
    let of_node1 = "note: the rules of node1 decide about its connections; these are those of node2";
    for (args, is_said) in
        [("node/node1 nginx-service", true), ("node1 nginx-service", true), ("node/node1 :31589", false)]
    {
        assert_eq!(run(args).output().1.contains(of_node1), is_said, "{args}");
    }
    // Endpoints are told with their pods.
    let first = &found("external nginx-service")["destinations"][0];
    assert_eq!(
        (&first["pod"], &first["node"]),
        (&json!("nginx-demo/nginx-deployment-85dbbcff49-f7lp4"), &json!("node1"))
    );
    let stale = kube_ipt("trace external nginx-service --demo=stale").json()["destinations"].take();
    let states: Vec<(&Value, &Value)> =
        stale.as_array().expect("a list").iter().map(|one| (&one["address"], &one["state"])).collect();
    assert!(states.contains(&(&json!("10.244.1.3:80"), &json!("stale"))), "{states:?}");
    assert_eq!(first["state"], "ready");
    for (args, status, said) in [
        (
            "pod infra/dns",
            2,
            "'infra/dns' is several service ports: infra/dns:dns (53/udp), infra/dns:dns-tcp (53/tcp)",
        ),
        ("pod nginx", 1, "nothing is called 'nginx'; did you mean nginx-demo/nginx-service?"),
        ("nobody nginx-service", 1, "no pod or Node is called 'nobody' in"),
        ("svc/a/b nginx-service", 2, "a connection comes from a client, and 'svc/a/b' is a Service"),
        ("pod 10.9.9.9", 2, "to which port of 10.9.9.9? no Service has this address"),
        ("pod 10.96.92.103", 2, "to which port of 10.96.92.103? it has 53/tcp, 53/udp"),
        ("pod localhost:80", 2, "localhost:80 is the client's own loopback"),
        ("pod shop/cart:http --family ipv6", 1, "no rules of shop/cart:http were read"),
        ("fd00::1 10.96.78.10:80", 2, "fd00::1 and 10.96.78.10:80 are of different families"),
        ("pod [fd00::1]:80", 2, "cannot follow an ipv6 connection: no rules of that family were read"),
    ] {
        let (stdout, stderr, code) = run(args).output();
        assert_eq!(code, Some(status), "{args}: {stderr}");
        assert!(stderr.contains(&format!("error: {said}")), "{args}: {stderr}");
        assert_eq!(stdout, "", "{args}");
    }
    // A pod of another node is not this node's to decide about.
    let (_, stderr, _) = run("edge/gw-67fbcbfc4d-vlz5w nginx-service").output();
    let told = "note: edge/gw-67fbcbfc4d-vlz5w runs on node3, whose rules decide about its connections; these are those of node2";
    assert!(stderr.contains(told), "{stderr}");
    let (_, stderr, code) =
        kube_ipt("trace shop/x nginx-service --no-api -f").arg(node("seed/stale/save.txt")).output();
    assert_eq!(code, Some(1));
    assert!(
        stderr.contains("cannot be found without the cluster's objects: give an address, or --objects FILE"),
        "{stderr}"
    );
}

#[test]
fn tables_that_were_not_read_are_named() {
    let note = |file: &str| kube_ipt("trace external 10.96.78.10:80 --no-api -f").arg(node(file)).output().1;
    let only_nat = "only the nat table was read: rules of filter, raw and mangle, which may refuse, drop or exempt the connection, \
                    were not followed";
    assert!(note("kitchen-sink/node2/nat-S.txt").contains(only_nat));
    assert!(!note("kitchen-sink/node2/save.txt").contains("not followed"));
    let grepped =
        kube_ipt("trace external 10.96.78.10:80 --no-api -f").arg(node("kitchen-sink/node2/nat-S-grep-KUBE.txt"));
    assert!(grepped.output().1.contains("were not followed"));
}

#[test]
fn what_is_wrong_with_the_service_is_told_where_a_connection_is_lost() {
    let room = tempfile::tempdir().expect("a folder");
    let whole = fs::read_to_string(node("seed/in-sync/save.txt")).expect("the recording is there");
    let rules = room.path().join("rules");
    let lost: String = whole.split_inclusive('\n').filter(|line| !line.contains("nginx-service")).collect();
    let notes = |rules: &Path, to: &str| {
        let objects = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/demo/in-sync.json");
        let run = kube_ipt("trace external").args(to).arg("-f").arg(rules).arg("--objects").arg(objects);
        let (_, stderr, status) = run.output();
        assert_eq!(status, Some(0), "{stderr}");
        stderr
    };
    fs::write(&rules, &lost).expect("writable");
    let words = "note: nginx-demo/nginx-service: no rules on this node, though 3 endpoints are usable: connections to 10.96.101.105:80 \
                 reach none of them\n  try:  kube-ipt explain missing-service\n";
    assert_eq!(notes(&rules, "nginx-service"), words);
    assert_eq!(notes(&rules, "10.96.101.105:80"), words);
    // Of another Service it is nobody's affair, and where all is well nothing is told.
    assert_eq!(notes(&rules, "kube-dns.kube-system:53/udp"), "");
    assert_eq!(notes(Path::new(&node("seed/in-sync/save.txt")), "nginx-service"), "");
}

#[test]
fn the_story_is_told() {
    let demo = kube_ipt("trace external nginx-service --demo=stale").stdout();
    insta::assert_snapshot!(demo);
    let narrow = kube_ipt("trace 10.244.1.3 nginx-service --demo").stdout();
    insta::assert_snapshot!(narrow);
    let run = |args: &str| {
        kube_ipt("trace --no-api --node-ip 10.200.0.12 -f").arg(node("kitchen-sink/node2/save.txt")).args(args).stdout()
    };
    let run = |args: &str| run(args).replace(&node("kitchen-sink/node2/save.txt"), "save.txt");
    insta::assert_snapshot!(run("external 203.0.113.78:443"));
    insta::assert_snapshot!(run("pod 10.96.236.2:80"));
    insta::assert_snapshot!(run("external 10.200.0.12:31754"));
    insta::assert_snapshot!(
        kube_ipt("trace --no-api 10.1.0.1 10.96.0.1:80 --node-ip 192.0.2.1")
            .stdin(tables(DNAT, "-A FORWARD -i eth1 -j DROP\n"))
            .stdout()
    );
}

#[test]
fn every_rule_is_told_on_demand() {
    let told = kube_ipt("trace -v external nginx-service --demo").output().0;
    insta::assert_snapshot!(told);
}

#[test]
fn counters_are_held_against_the_shares() {
    let rules = |first: u64, second: u64, jump: u64| {
        format!(
            "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n:KUBE-SEP-A - [0:0]\n:KUBE-SEP-B - [0:0]\n\
             [9:9] -A PREROUTING -j KUBE-SERVICES\n\
             [9:9] -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
             [{jump}:9] -A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n\
             [{second}:9] -A KUBE-SVC-X -j KUBE-SEP-B\n\
             [{first}:9] -A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.0.0.1:80\n\
             [{second}:9] -A KUBE-SEP-B -p tcp -j DNAT --to-destination 10.0.0.2:80\nCOMMIT\n"
        )
    };
    let shown = |text: String| kube_ipt("show --no-api").stdin(text).output().0;
    let fits = shown(rules(510, 490, 510));
    assert!(
        fits.contains(
            "1000 new connections counted: the balance fits (chi-square 0.40, 1 degree of freedom, p = 0.527)"
        ),
        "{fits}"
    );
    assert!(fits.contains("├─  50.00 % █████       510 counted  10.0.0.1:80\n"), "{fits}");
    let skewed = shown(rules(600, 400, 600));
    assert!(skewed.contains("! 1000 new connections counted: the balance does not fit the shares (chi-square 40.00, 1 degree of freedom, p < 0.001)"), "{skewed}");
    assert!(shown(rules(50, 49, 50)).contains("99 new connections counted: too few to judge the balance by"));
    assert!(shown(rules(510, 490, 9000)).contains("some of the chains were written again in between"));
    // Two pools share the chains of their endpoints: each has its own count.
    let shared = rules(810, 790, 510).replace("[790:9] -A KUBE-SVC-X", "[490:9] -A KUBE-SVC-X").replace(
        "COMMIT",
        ":KUBE-SVL-X - [0:0]\n[300:9] -A KUBE-SVL-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n\
         [300:9] -A KUBE-SVL-X -j KUBE-SEP-B\n-A KUBE-SERVICES -d 192.0.2.9/32 -p tcp -m comment --comment \"a/b external IP\" \
         -m tcp --dport 80 -j KUBE-SVL-X\nCOMMIT",
    );
    let shared = shown(shared);
    assert!(shared.contains("1000 new connections counted: the balance fits"), "{shared}");
    assert!(shared.contains("600 new connections counted: the balance fits"), "{shared}");
    let balance = kube_ipt("show --no-api -o json").stdin(rules(510, 490, 510)).output().0;
    let balance = serde_json::from_str::<Value>(&balance).expect("JSON")["services"][0]["pools"][0]["balance"].take();
    assert_eq!(
        (&balance["connections"], &balance["fits"], &balance["reason"]),
        (&json!(1000), &json!(true), &Value::Null)
    );
    let listing =
        kube_ipt("show --no-api nginx-service -o json -f").arg(node("kitchen-sink/node2/nat-L-n-v.txt")).output().0;
    let listed: Value = serde_json::from_str(&listing).expect("JSON");
    assert!(listed["services"][0]["pools"][0]["endpoints"][0]["packets"].is_u64(), "{listed:#}");
}

/// The drawings of everything the recordings can show, and of names that mean something in the languages.
fn drawings(form: &str) -> Vec<String> {
    let file = node("kitchen-sink/node2/save.txt");
    let cluster = node("kitchen-sink/cluster.json");
    let hostile = "*nat\n:PREROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n:KUBE-SVC-A\"B]{x}|`;#&<br>\\ - [0:0]\n\
                   -A PREROUTING -j KUBE-SERVICES\n-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m tcp --dport 80 -j KUBE-SVC-A\"B]{x}|`;#&<br>\\\n\
                   -A KUBE-SVC-A\"B]{x}|`;#&<br>\\ -p tcp -j DNAT --to-destination 10.0.0.2:80\nCOMMIT\n";
    let of = |args: String| kube_ipt(&args).args(&format!("-o {form}"));
    vec![
        of(format!("show -f {file} --objects {cluster} --node node2")).output().0,
        of(format!("show --no-api -f {}", node("faults/leaky-chain/save.txt"))).output().0,
        of(format!("trace external :32485 -f {file} --objects {cluster} --node node2")).output().0,
        of(format!("trace pod 10.96.236.2:80 -f {file} --no-api")).output().0,
        of("trace external 10.0.0.1:80 --no-api".to_owned()).stdin(hostile).output().0,
    ]
}

/// Runs a program that reads drawings, or says why not. In CI it must be there.
fn draws(name: &str, output: std::io::Result<std::process::Output>) {
    match output {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{name} complains");
        }
        Err(error) => assert!(std::env::var_os("CI").is_none(), "CI needs {name}: {error}"),
    }
}

#[test]
fn graphviz_reads_the_drawings() {
    let room = tempfile::tempdir().expect("a folder");
    for (n, drawing) in drawings("dot").into_iter().enumerate() {
        assert!(drawing.starts_with("digraph kube_ipt {\n") && drawing.contains(" -> "), "{drawing}");
        let path = room.path().join(format!("{n}.dot"));
        fs::write(&path, drawing).expect("writable");
        draws("dot", std::process::Command::new("dot").arg("-Tsvg").arg(&path).output());
    }
}

#[test]
fn mermaid_reads_the_drawings() {
    let room = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    for (n, drawing) in drawings("mermaid").into_iter().enumerate() {
        assert!(drawing.starts_with("flowchart LR\n") && drawing.contains("-->"), "{drawing}");
        files.push(room.path().join(format!("{n}.mmd")));
        fs::write(&files[n], drawing).expect("writable");
    }
    // The folder where mermaid and jsdom are installed; .ci/run does that, and says so where it cannot.
    let Some(modules) = std::env::var_os("MERMAID") else { return };
    let script = Path::new(&modules).join("parse.mjs");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/mermaid.mjs"), &script).expect("writable");
    draws("mermaid", std::process::Command::new("node").arg(script).args(files).output());
}
