//! What kube-proxy refuses or drops on purpose, in the layout of each release, and faults for which that must not be blamed.

use serde_json::{Value, json};

use crate::broken::{NO_LOCAL, Node, clean, found, of_nftables, of_nftables_in, told, without_local_endpoints};
use crate::run::kube_ipt;

/// A node in nftables mode with none of the endpoints of edge/gw-lb, a load balancer under Local policy.
fn no_local_in_nftables(node: Node, node_port: u16) -> Node {
    let no_endpoint = |line: &str| {
        let (indent, rest) = line.split_once("elements = { ")?;
        let (address, port) = ("203.0.113.77 . tcp . 443", format!("tcp . {node_port}"));
        let of_address = rest.contains("shop/nobody\"") || rest.contains("shop/broken\"");
        let key = if of_address { address } else { &port };
        let is_refusal = of_address || rest.contains("shop/nobody-np\" : goto reject-chain }");
        is_refusal.then(|| format!("{indent}elements = {{ {key} comment \"edge/gw-lb:https\" : drop,\n{indent}{rest}"))
    };
    let is_local = |line: &str| line.contains("\t\tgoto local-PTJD2OIS");
    node.lines(|line| (!is_local(line)).then(|| no_endpoint(line).unwrap_or_else(|| line.to_owned())))
        .elsewhere("edge/gw-lb")
}

/// The same without a way to tell pods from others, as kube-proxy writes it where it knows none (`--cluster-cidr`).
fn without_detector(node: Node) -> Node {
    let tells_pods = |line: &str| line.contains("ip saddr 10.244.0.0/16") || line.contains("saddr != 10.244.0.0/16");
    node.without(tells_pods)
}

#[test]
fn what_older_releases_drop_of_the_nodes_own_connections_is_no_fault() {
    let new = no_local_in_nftables(of_nftables(), 32485);
    assert_eq!(found(&new), [""; 0]);
    let old = no_local_in_nftables(of_nftables_in("node1-1.30", "node1"), 32301);
    let hints = ["topology-ignored info edge/gw-zone service-UX2J54OZ-edge/gw-zone/tcp/"];
    assert_eq!(found(&old), hints);
    assert_eq!(found(&without_detector(old.clone())), hints);
    // They do not arrive for all that.
    let shown = old.run("show edge/gw-lb").output().0;
    let line = shown.lines().find(|line| line.contains("203.0.113.77:443")).expect("the load balancer");
    assert_eq!(line, "├─ load balancer 203.0.113.77:443  → pods: source kept; everyone else: dropped");
    // Where an endpoint of this node is ready, nothing is refused on purpose.
    let mut stale = of_nftables_in("node1-1.30", "node1");
    stale.dumps.clone_from(&old.dumps);
    let refused = "stale-reject error edge/gw-lb:https 203.0.113.77:443";
    assert!(found(&stale).iter().any(|found| found == refused), "{:?}", found(&stale));
}

#[test]
fn clients_from_outside_that_are_led_nowhere_are_shut_out() {
    let lost =
        ["203.0.113.77:443", ":32485"].map(|at| format!("missing-frontend error edge/gw-lb:https {at} some-clients"));
    let last_rule = |line: &str| line.contains("\t\tgoto local-PTJD2OIS");
    assert_eq!(found(&of_nftables().without(last_rule)), lost);
    let last_rule = |line: &str| line.starts_with("-A KUBE-EXT-PQWBAX2FD7GV5BFO") && line.contains("-j KUBE-SVL-");
    let node = clean("node1").without(last_rule);
    assert_eq!(found(&node), lost);
    let findings = node.check();
    let message = findings[0]["message"].as_str().expect("a message");
    let words = "load balancer 203.0.113.77:443 is not captured for all: connections from outside go on untranslated";
    assert_eq!(message, words);
}

#[test]
fn a_lost_hook_of_nftables_is_one_finding_for_a_family() {
    let without = |hook: &str| {
        let node = no_local_in_nftables(of_nftables(), 32485);
        let mut inside = false;
        let changed: Vec<&str> = node.dumps[0]
            .lines()
            .filter(|line| {
                inside = if line.ends_with('{') { line.contains(hook) } else { inside };
                !(inside && line.contains("jump services"))
            })
            .collect();
        Node { dumps: vec![changed.join("\n") + "\n"], ..node.clone() }
    };
    assert_eq!(found(&without("chain nat-prerouting")), ["missing-hook error prerouting"; 2]);
    assert_eq!(found(&without("chain nat-output")), ["missing-hook error output"; 2]);
}

#[test]
fn a_load_balancer_that_is_lost_where_dropping_is_right_is_told_once() {
    let missing = ["missing-frontend error edge/gw-lb:https 203.0.113.77:443"];
    let captured = |line: &str| line.contains("203.0.113.77 . tcp . 443 : goto external-");
    assert_eq!(found(&no_local_in_nftables(of_nftables(), 32485).without(captured)), missing);
    let captured = |line: &str| line.starts_with("-A KUBE-SERVICES -d 203.0.113.77/32") && line.contains("KUBE-EXT-");
    assert_eq!(found(&without_local_endpoints("node1").without(captured)), missing);
    // With an endpoint of this node the refusal is stale as well.
    let stale = clean("node1").before("-A KUBE-EXTERNAL-SERVICES ", NO_LOCAL).without(captured);
    let refused = ["error edge/gw-lb:https 203.0.113.77:443", "info edge/gw-lb:https :32485"];
    let with_refusal = [missing[0].to_owned()].into_iter().chain(refused.map(|at| format!("stale-reject {at}")));
    assert_eq!(found(&stale), with_refusal.collect::<Vec<_>>());
}

#[test]
fn a_map_of_nftables_alone_tells_no_verdict() {
    let whole = of_nftables().dumps.remove(0);
    let map = whole.split("\tmap service-ips {").nth(1).and_then(|rest| rest.split("\n\t}").next()).expect("the map");
    let part = format!("table ip kube-proxy {{\n\tmap service-ips {{{map}\n\t}}\n}}\n");
    let run = |args: &str| kube_ipt(args).stdin(part.as_str()).stdout();
    let listed: Value = serde_json::from_str(&run("list --no-api -o json")).expect("JSON");
    let services = listed["services"].as_array().expect("services");
    assert!(services.len() > 10, "{listed}");
    for service in services {
        assert_eq!(service["status"], "unknown", "{service}");
        for route in service["frontends"].as_array().expect("frontends").iter().filter_map(|f| f["routes"].as_array()) {
            assert!(route.iter().all(|route| route["verdict"].is_null()), "{service}");
        }
    }
    let shown = run("show shop/manual --no-api");
    assert!(shown.contains("unknown") && !shown.contains("not captured"), "{shown}");
}

#[test]
fn a_service_is_missed_at_the_addresses_that_it_should_be_captured_at() {
    let local = |service: &mut Value| {
        service["spec"]["internalTrafficPolicy"] = json!("Local");
    };
    // Without an endpoint on the node its cluster IP is dropped, and its node port leads to the others.
    let of = |node: Node, service: &str| node.elsewhere(service).change("Service", service, local);
    let told = |node: &Node| {
        let findings = node.check();
        let missing: Vec<Value> = findings.into_iter().filter(|f| f["code"] == "missing-service").collect();
        assert_eq!(missing.len(), 1, "{missing:?}");
        missing[0]["message"].as_str().expect("a message").to_owned()
    };
    let node = of(of_nftables(), "shop/web").lines(|line| {
        let drop = "10.96.182.118 . tcp . 80 comment \"shop/web\" : drop,\n\t\t\t     10.96.236.2 .";
        match line {
            line if line.contains("10.96.182.118 . tcp . 80 : goto") => None,
            line if line.contains("10.96.236.2 . tcp . 80 comment") => Some(line.replace("10.96.236.2 .", drop)),
            line => Some(line.to_owned()),
        }
    });
    assert_eq!(found(&node), [""; 0]);
    let lost = node.clone().lines(|line| Some(line.replace("tcp . 31589 : goto external-452DNVGS-shop/web/tcp/,", "")));
    let message = told(&lost);
    assert!(message.contains("connections to :31589 reach none of them"), "{message}");
    assert!(message.starts_with("no rules on this node, though 7 endpoints are usable"), "{message}");
    // Where no node port is open at all, it is told as that.
    let closed = node.without(|line| line.contains("elements = { 10.200.0.12 }"));
    assert_eq!(found(&closed), ["missing-frontend warning node-ports"]);
}

#[test]
fn a_chain_that_refuses_nobody_any_more_is_missed() {
    let mut inside = false;
    let node = of_nftables();
    let kept: Vec<&str> = node.dumps[0]
        .lines()
        .filter(|line| {
            inside = if line.ends_with('{') { line.contains("chain reject-chain") } else { inside };
            !(inside && line.trim() == "reject")
        })
        .collect();
    let node = Node { dumps: vec![kept.join("\n") + "\n"], ..node.clone() };
    let told: Vec<String> = told(&node.check());
    // Cluster IPs are rejected for want of a rule all the same.
    assert_eq!(told, ["missing-frontend warning shop/nobody-np :31318 not-refused"]);
    // Whether node ports are meant to be open, where this is the only one, nobody knows.
    let of_node_port = |line: &str| line.contains("tcp . 3") && line.contains(" : goto external-");
    let alone = of_nftables().without(|line| of_node_port(line) || line.contains("elements = { 10.200.0.12 }"));
    let told = found(&alone);
    assert!(told.iter().all(|found| !found.contains("not-refused")), "{told:?}");
}

#[test]
fn an_nft_listing_without_its_first_line_is_told_what_it_lacks() {
    let text = of_nftables().dumps.remove(0);
    let at = text.find("table ip kube-proxy {").expect("the table");
    let headless = text[at..].split_once('\n').expect("a line").1;
    let headless = headless.split("\n}\n").next().expect("a table");
    let error = "error: stdin looks like an nft listing in which no table begins: a line like 'table ip kube-proxy {' is missing\n  \
         try:  save all of it with: nft list ruleset > FILE";
    assert_eq!(kube_ipt("list").stdin(headless).status(2).stderr(error).stdout(), "");
}
