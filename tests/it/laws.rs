//! Laws of `check`: what must not change a finding, and what must make one.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::broken::{Node, clean, told};

/// Findings as they are compared where line numbers and the names of slices may differ.
fn core(node: &Node) -> Vec<Value> {
    let mut findings = node.check();
    for finding in &mut findings {
        finding["evidence"] = Value::Null;
    }
    findings
}

/// A node on which several things are wrong.
fn broken() -> Node {
    clean("node1")
        .change("EndpointSlice", "nginx-demo/nginx-service", |slice| {
            slice["endpoints"].as_array_mut().expect("endpoints").remove(0);
        })
        .change("Service", "shop/web", |service| service["spec"]["sessionAffinity"] = json!("ClientIP"))
        .without_object("Service", "shop/manual")
        .without(|line| line.starts_with("-A OUTPUT -m comment"))
}

/// A pseudo-random order that is always the same.
fn shuffle<T>(items: &mut [T], mut seed: u64) {
    for n in (1..items.len()).rev() {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(n, usize::try_from(seed >> 33).expect("31 bits") % (n + 1));
    }
}

#[test]
fn the_order_of_objects_and_how_slices_are_split_change_nothing() {
    let node = broken();
    let expected = core(&node);
    assert!(expected.len() >= 4, "{expected:#?}");
    for seed in 1..6 {
        let mut other = node.clone();
        let items = other.objects["items"].as_array_mut().expect("a list");
        let mut halves = Vec::new();
        for item in items.iter_mut().filter(|item| item["kind"] == "EndpointSlice") {
            let Some(endpoints) = item["endpoints"].as_array_mut() else { continue };
            shuffle(endpoints, seed);
            if endpoints.len() > 1 {
                let moved = endpoints.split_off(endpoints.len() / 2);
                let mut half = item.clone();
                half["endpoints"] = Value::Array(moved);
                half["metadata"]["name"] =
                    json!(format!("{}-half", item["metadata"]["name"].as_str().expect("a name")));
                halves.push(half);
            }
        }
        assert!(halves.len() > 10);
        items.extend(halves);
        shuffle(items, seed);
        assert_eq!(told(&core(&other)), told(&expected), "seed {seed}");
        assert_eq!(core(&other), expected, "seed {seed}");
    }
}

/// Chains of programs that live beside kube-proxy: parts of the nat table (declarations, rules ahead of kube-proxy's, rules
/// behind them, rules of their own chains).
const NEIGHBOURS: [(&str, &str, &str, &str, &str); 6] = [
    (
        "docker",
        ":DOCKER - [0:0]\n",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A OUTPUT ! -d 127.0.0.0/8 -m addrtype --dst-type LOCAL -j DOCKER\n",
        "-A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE\n",
        "-A DOCKER -i docker0 -j RETURN\n-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8081 -j DNAT --to-destination 172.17.0.2:80\n",
    ),
    (
        "cni host ports",
        ":CNI-HOSTPORT-DNAT - [0:0]\n:CNI-HOSTPORT-MASQ - [0:0]\n:CNI-HOSTPORT-SETMARK - [0:0]\n:CNI-DN-0123456789abcdef01234 - [0:0]\n",
        "-A PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n-A OUTPUT -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT\n\
         -A POSTROUTING -m comment --comment \"CNI portfwd requiring masquerade\" -j CNI-HOSTPORT-MASQ\n",
        "",
        "-A CNI-DN-0123456789abcdef01234 -s 10.244.1.0/24 -p tcp -m tcp --dport 443 -j CNI-HOSTPORT-SETMARK\n\
         -A CNI-DN-0123456789abcdef01234 -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.244.1.9:8443\n\
         -A CNI-HOSTPORT-DNAT -p tcp -m comment --comment \"dnat name: \\\"cni0\\\" id: \\\"x\\\"\" -m multiport --dports 80,443 -j CNI-DN-0123456789abcdef01234\n\
         -A CNI-HOSTPORT-MASQ -m mark --mark 0x2000/0x2000 -j MASQUERADE\n\
         -A CNI-HOSTPORT-SETMARK -m comment --comment \"CNI portfwd masquerade mark\" -j MARK --set-xmark 0x2000/0x2000\n",
    ),
    (
        "firewalld",
        ":PREROUTING_direct - [0:0]\n:PREROUTING_ZONES - [0:0]\n:PRE_public - [0:0]\n:PRE_public_allow - [0:0]\n:POSTROUTING_ZONES - [0:0]\n:OUTPUT_direct - [0:0]\n",
        "-A PREROUTING -j PREROUTING_direct\n-A PREROUTING -j PREROUTING_ZONES\n-A OUTPUT -j OUTPUT_direct\n-A POSTROUTING -j POSTROUTING_ZONES\n",
        "",
        "-A PREROUTING_ZONES -i eth0 -g PRE_public\n-A PREROUTING_ZONES -g PRE_public\n-A PRE_public -j PRE_public_allow\n",
    ),
    (
        "istio",
        ":ISTIO_INBOUND - [0:0]\n:ISTIO_OUTPUT - [0:0]\n:ISTIO_REDIRECT - [0:0]\n:ISTIO_IN_REDIRECT - [0:0]\n",
        "",
        "-A PREROUTING -p tcp -j ISTIO_INBOUND\n-A OUTPUT -p tcp -j ISTIO_OUTPUT\n",
        "-A ISTIO_INBOUND -p tcp -m tcp --dport 15008 -j RETURN\n-A ISTIO_INBOUND -p tcp -j ISTIO_IN_REDIRECT\n\
         -A ISTIO_IN_REDIRECT -p tcp -j REDIRECT --to-ports 15006\n-A ISTIO_OUTPUT -s 127.0.0.6/32 -o lo -j RETURN\n\
         -A ISTIO_OUTPUT -m owner --uid-owner 1337 -j RETURN\n-A ISTIO_REDIRECT -p tcp -j REDIRECT --to-ports 15001\n",
    ),
    (
        "calico",
        ":cali-PREROUTING - [0:0]\n:cali-OUTPUT - [0:0]\n:cali-POSTROUTING - [0:0]\n:cali-fip-dnat - [0:0]\n:cali-nat-outgoing - [0:0]\n",
        "-A PREROUTING -m comment --comment \"cali:6gwbT8clXdHdC1b1\" -j cali-PREROUTING\n\
         -A OUTPUT -m comment --comment \"cali:tVnHkvAo15HuiPy0\" -j cali-OUTPUT\n\
         -A POSTROUTING -m comment --comment \"cali:O3lYWMrLQYEMJtB5\" -j cali-POSTROUTING\n",
        "",
        "-A cali-PREROUTING -m comment --comment \"cali:r6XmIziWUJsdOK6Z\" -j cali-fip-dnat\n\
         -A cali-OUTPUT -m comment --comment \"cali:GBTAv2p5CwevEyJm\" -j cali-fip-dnat\n\
         -A cali-POSTROUTING -m comment --comment \"cali:Z-c7XtVd2Bq7s_hA\" -j cali-nat-outgoing\n\
         -A cali-nat-outgoing -m set --match-set cali40masq-ipam-pools src -j MASQUERADE --random-fully\n",
    ),
    (
        "flannel and ip-masq-agent",
        ":FLANNEL-POSTRTG - [0:0]\n:IP-MASQ-AGENT - [0:0]\n",
        "",
        "-A POSTROUTING -m comment --comment \"flanneld masq\" -j FLANNEL-POSTRTG\n\
         -A POSTROUTING -m comment --comment \"ip-masq-agent\" -m addrtype ! --dst-type LOCAL -j IP-MASQ-AGENT\n",
        "-A FLANNEL-POSTRTG -s 10.244.0.0/16 ! -d 224.0.0.0/4 -m comment --comment \"flanneld masq\" -j MASQUERADE --random-fully\n\
         -A IP-MASQ-AGENT -d 10.0.0.0/8 -j RETURN\n-A IP-MASQ-AGENT -j MASQUERADE\n",
    ),
];

#[test]
fn chains_of_other_programs_are_no_finding_and_hide_none() {
    let with = |node: Node, (_, chains, ahead, behind, rules): &(&str, &str, &str, &str, &str)| {
        let mut node = node.append(rules).append(behind);
        let nat = node.dumps[0].find("*nat").expect("a nat table");
        let chains_at = nat + node.dumps[0][nat..].find(":KUBE").expect("a chain");
        node.dumps[0].insert_str(chains_at, chains);
        let rules_at = nat + node.dumps[0][nat..].find("\n-A ").expect("a rule") + 1;
        node.dumps[0].insert_str(rules_at, ahead);
        node
    };
    let found = told(&broken().check());
    for neighbour in &NEIGHBOURS {
        let node = with(clean("node1"), neighbour);
        assert_eq!(told(&node.check()), Vec::<String>::new(), "{}", neighbour.0);
        assert_eq!(told(&node.alone()), Vec::<String>::new(), "{} without objects", neighbour.0);
        assert_eq!(told(&with(broken(), neighbour).check()), found, "{}", neighbour.0);
    }
    let all = NEIGHBOURS.iter().fold(clean("node2"), with);
    assert_eq!(told(&all.check()), Vec::<String>::new());
}

#[test]
fn an_endpoint_that_leaves_the_slices_is_stale_once_for_each_service_port_that_had_it() {
    let node = clean("node1");
    // Service ports by the address they lead to.
    let mut programmed: BTreeMap<(String, String), BTreeSet<(String, String)>> = BTreeMap::new();
    let shown = node.run("show").json();
    for service in shown["services"].as_array().expect("services") {
        let word = |key: &str| service[key].as_str().unwrap_or_default().to_owned();
        for endpoint in
            service["pools"].as_array().into_iter().flatten().filter_map(|p| p["endpoints"].as_array()).flatten()
        {
            let address = endpoint["address"].as_str().and_then(|a| a.split(':').next()).expect("an address");
            let of_service = format!("{}/{}", word("namespace"), word("name"));
            programmed.entry((of_service, address.to_owned())).or_default().insert((word("service"), word("protocol")));
        }
    }
    let mut tried = 0;
    let items = node.objects["items"].as_array().expect("a list").len();
    for item in 0..items {
        let slice = &node.objects["items"][item];
        if slice["kind"] != "EndpointSlice" || slice["addressType"] != "IPv4" {
            continue;
        }
        let labels = &slice["metadata"]["labels"];
        let service = format!(
            "{}/{}",
            slice["metadata"]["namespace"].as_str().expect("a namespace"),
            labels["kubernetes.io/service-name"].as_str().unwrap_or_default()
        );
        for endpoint in 0..slice["endpoints"].as_array().map_or(0, Vec::len) {
            let mut other = node.clone();
            let gone = other.objects["items"][item]["endpoints"].as_array_mut().expect("endpoints").remove(endpoint);
            let address = gone["addresses"][0].as_str().expect("an address").to_owned();
            let mut expected: Vec<(String, String)> =
                programmed.get(&(service.clone(), address.clone())).into_iter().flatten().cloned().collect();
            let findings = other.check();
            let stale = findings.iter().filter(|f| f["code"] == "stale-endpoint");
            let mut found: Vec<(String, String)> = stale
                .map(|f| {
                    assert!(f["address"].as_str().is_some_and(|a| a.starts_with(&format!("{address}:"))), "{f}");
                    let word = |key: &str| f[key].as_str().unwrap_or_default().to_owned();
                    (word("service"), word("protocol"))
                })
                .collect();
            expected.sort();
            found.sort();
            assert_eq!(found, expected, "{service} {address}");
            tried += 1;
        }
    }
    assert!(tried > 40, "only {tried} endpoints");
}

/// True if some finding names `what`, anywhere in it.
fn is_named(findings: &[Value], what: &str) -> bool {
    findings.iter().any(|finding| finding.to_string().contains(what))
}

#[test]
fn no_rule_of_a_service_chain_can_go_unseen() {
    for name in ["node1", "node2"] {
        let node = clean(name);
        let rules: Vec<String> =
            node.dumps[0].lines().filter(|l| l.starts_with("-A KUBE-SVC-")).map(str::to_owned).collect();
        assert!(rules.len() > 70, "{}", rules.len());
        for rule in &rules {
            let findings = node.clone().without(|line| line == rule).check();
            let chain = rule.split(' ').nth(1).expect("a chain");
            let endpoint = rule.split("-> ").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or(chain);
            assert!(is_named(&findings, endpoint) || is_named(&findings, chain), "{rule}\n{:#?}", told(&findings));
            let bad = findings.iter().any(|finding| finding["severity"] != "info");
            assert!(bad, "{rule}\n{:#?}", told(&findings));
        }
    }
}

#[test]
fn no_endpoint_chain_can_go_unseen() {
    let node = clean("node1");
    let declared = node.dumps[0].lines().filter_map(|line| line.strip_prefix(":KUBE-SEP-")?.split(' ').next());
    let chains: Vec<String> = declared.map(|key| format!("KUBE-SEP-{key}")).collect();
    assert!(chains.len() > 40);
    for chain in &chains {
        let rule = format!("-A {chain} ");
        let flushed = node.clone().without(|line| line.starts_with(&rule));
        let deleted = flushed.clone().without(|line| line.starts_with(&format!(":{chain} ")));
        for (how, broken) in [("flushed", flushed), ("deleted", deleted)] {
            for findings in [broken.check(), broken.alone()] {
                assert!(is_named(&findings, chain), "{chain} {how}: {:#?}", told(&findings));
            }
        }
    }
}

#[test]
fn no_hook_can_go_unseen() {
    let node = clean("node1");
    let built_in = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
    let hooks = node.dumps[0].lines().filter(|line| {
        let mut words = line.split(' ').skip(1);
        // KUBE-FIREWALL is the kubelet's.
        words.next().is_some_and(|chain| built_in.contains(&chain)) && !line.ends_with("-j KUBE-FIREWALL")
    });
    let hooks: Vec<String> = hooks.map(str::to_owned).collect();
    assert_eq!(hooks.len(), 12);
    for hook in &hooks {
        for findings in
            [node.clone().without(|line| line == hook).check(), node.clone().without(|line| line == hook).alone()]
        {
            let chain = hook.split(' ').nth(1).expect("a chain");
            let target = hook.rsplit(' ').next().expect("a target");
            let found = findings.iter().any(|f| f["code"] == "missing-hook" && f["chain"] == chain);
            assert!(found && is_named(&findings, target), "{hook}: {:#?}", told(&findings));
            assert_eq!(findings.len(), 1, "{hook}: {:#?}", told(&findings));
        }
    }
}

#[test]
fn no_frontend_can_go_unseen() {
    for name in ["node1", "node2"] {
        let node = clean(name);
        let shown = node.run("show").json();
        let mut tried = 0;
        for service in shown["services"].as_array().expect("services").iter().filter(|s| s["family"] == "ipv4") {
            for frontend in service["frontends"].as_array().expect("frontends") {
                let port = frontend["port"].as_u64().expect("a port");
                let protocol = service["protocol"].as_str().expect("a protocol");
                let (text, destination) = match frontend["address"].as_str() {
                    Some(address) => (format!("{address}:{port}"), format!(" -d {address}/32 ")),
                    None => (format!(":{port}"), String::new()),
                };
                let of_frontend = |line: &str| {
                    let portal = ["-A KUBE-SERVICES ", "-A KUBE-NODEPORTS ", "-A KUBE-EXTERNAL-SERVICES "];
                    portal.iter().any(|start| line.starts_with(start))
                        && line.contains(&destination)
                        && line.contains(&format!(" -p {protocol} "))
                        && line.contains(&format!(" --dport {port} "))
                };
                let broken = node.clone().without(of_frontend);
                if broken.dumps == node.dumps {
                    continue;
                }
                let findings = broken.check();
                assert!(is_named(&findings, &text), "{text}: {:#?}", told(&findings));
                assert!(findings.iter().any(|f| f["severity"] != "info"), "{text}: {:#?}", told(&findings));
                tried += 1;
            }
        }
        assert!(tried > 20, "only {tried} frontends of {name}");
    }
}
