//! Virtual servers of IPVS: schedulers, weights, node ports, and the rules and sets around them.

use serde_json::{Value, json};

use crate::broken::{Node, of_ipvs, told};
use crate::run::{Run, kube_ipt, listed, node};

/// A virtual server with real servers of these weights.
fn server(scheduler: &str, weights: &[u32]) -> String {
    let real =
        weights.iter().zip(1..).map(|(weight, n)| format!("-a -t 10.96.0.1:80 -r 10.0.0.{n}:8080 -m -w {weight}\n"));
    format!("-A -t 10.96.0.1:80 -s {scheduler}\n{}", real.collect::<String>())
}

fn pool(text: &str) -> Value {
    listed(kube_ipt("show --no-api").stdin(text))[0]["pools"][0].clone()
}

fn shares(text: &str) -> Vec<Value> {
    pool(text)["endpoints"].as_array().expect("endpoints").iter().map(|e| e["probability"].clone()).collect()
}

#[test]
fn schedulers_spread_as_the_kernel_does() {
    for (scheduler, expected) in [
        ("rr", json!([0.5, 0.5, 0.0])),
        ("wrr", json!([0.75, 0.25, 0.0])),
        ("sh", json!([0.75, 0.25, 0.0])),
        ("mh", json!([0.75, 0.25, 0.0])),
        ("dh", json!([0.5, 0.5, 0.0])),
        ("fo", json!([1.0, 0.0, 0.0])),
        ("lc", json!([null, null, 0.0])),
        ("wlc", json!([null, null, 0.0])),
        ("sed", json!([null, null, 0.0])),
        ("nq", json!([null, null, 0.0])),
        ("lblc", json!([null, null, 0.0])),
        ("unheard-of", json!([null, null, 0.0])),
    ] {
        assert_eq!(json!(shares(&server(scheduler, &[3, 1, 0]))), expected, "{scheduler}");
        let pool = pool(&server(scheduler, &[3, 1, 0]));
        assert_eq!((&pool["scheduler"], &pool["undelivered"]), (&json!(scheduler), &json!(0.0)));
        let draining: Vec<bool> =
            pool["endpoints"].as_array().expect("endpoints").iter().map(|e| e["draining"] == true).collect();
        assert_eq!(draining, [false, false, true]);
    }
    let (tree, ..) = kube_ipt("show --no-api").stdin(server("lc", &[1, 1])).output();
    assert!(tree.contains("2 endpoints, lc: depends on open connections"), "{tree}");
}

#[test]
fn a_pool_of_endpoints_that_all_drain_loses_nothing_that_is_new() {
    let text = server("rr", &[0, 0]);
    let shown = listed(kube_ipt("show --no-api").stdin(&text));
    assert_eq!(shown[0]["frontends"][0]["routes"][0]["verdict"], "reject");
    let (stdout, _, status) = kube_ipt("check --no-api -o json").stdin(&text).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let codes: Vec<&Value> = document["findings"].as_array().expect("findings").iter().map(|f| &f["code"]).collect();
    assert_eq!((codes, status), (vec![&json!("partial-dump")], Some(0)));
}

#[test]
fn persistence_keeps_clients() {
    let text = server("rr", &[1]).replace("-s rr", "-s rr -p 600");
    assert_eq!(listed(kube_ipt("show --no-api").stdin(text))[0]["session_affinity_seconds"], 600);
}

#[test]
fn sets_tell_kinds_and_policies_without_objects() {
    let files = ["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt"].map(|file| node(&format!("ipvs/node2/{file}")));
    let shown = listed(files.iter().fold(kube_ipt("show --no-api"), |run: Run, file| run.arg("-f").arg(file)));
    let mut told: Vec<String> = shown
        .iter()
        .filter(|service| service["family"] == "ipv4")
        .flat_map(|service| service["frontends"].as_array().expect("frontends"))
        .filter(|frontend| frontend["kind"] != "cluster-ip")
        .map(|frontend| {
            let address = frontend["address"].as_str().unwrap_or("");
            let outside = &frontend["routes"].as_array().expect("routes").last().expect("a route")["policy"];
            format!(
                "{} {address}:{} {}",
                frontend["kind"].as_str().expect("a kind"),
                frontend["port"],
                outside.as_str().unwrap_or("-")
            )
        })
        .collect();
    told.sort();
    assert_eq!(
        told,
        [
            "external-ip 192.0.2.10:8443 cluster",
            "external-ip 192.0.2.11:8443 cluster",
            "load-balancer 203.0.113.77:443 local",
            // Dropped, but for its source ranges.
            "load-balancer 203.0.113.78:443 -",
            "node-port :30437 -",
            "node-port :30517 cluster",
            "node-port :31879 cluster",
            "node-port :32655 local",
        ]
    );
}

#[test]
fn rules_and_sets_tell_who_is_masqueraded_and_who_is_dropped() {
    let shown = of_ipvs().run("show edge/gw-lb-ranges edge/gw-lb").listed();
    let routes = |name: &str, at: usize| {
        let service = shown.iter().find(|s| s["name"] == name).expect("the Service");
        let routes = service["frontends"][at]["routes"].as_array().expect("routes").clone();
        let said = |r: &Value| {
            format!("{} {} {} {}", r["origin"], r["sources"], r["verdict"], r["masquerade"]).replace('"', "")
        };
        routes.iter().map(said).collect::<Vec<_>>()
    };
    assert_eq!(routes("gw-lb-ranges", 0), ["pod [] pool false", "node [] pool true", "external [] pool true"]);
    let ranges = "[198.51.100.0/25,203.0.113.0/24]";
    let limited: Vec<String> = ["pod", "node", "external"]
        .iter()
        .flat_map(|origin| [format!("{origin} {ranges} pool true"), format!("{origin} [] drop false")])
        .collect();
    assert_eq!(routes("gw-lb-ranges", 1), limited);
    // Under Local policy clients keep their address.
    assert_eq!(routes("gw-lb", 1), ["pod [] pool false", "node [] pool false", "external [] pool false"]);
}

#[test]
fn a_local_frontend_without_local_endpoints_may_lead_to_others() {
    // kube-proxy fills it with the endpoints of other nodes then, so that pods of this node get somewhere.
    let all = ["10.244.1.3", "10.244.3.4", "10.244.3.5", "10.244.3.6"];
    let mut node = of_ipvs();
    let filled = |place: &str| all.map(|ip| format!("-a -t {place} -r {ip}:8080 -m -w 1\n")).concat();
    let gone = "10.244.2.3:8080";
    let text: String = node.dumps[0].lines().filter(|line| !(line.contains(gone) && line.starts_with("-a"))).fold(
        String::new(),
        |out, line| {
            let place = line.strip_prefix("-A -t ").and_then(|rest| rest.split(' ').next()).unwrap_or_default();
            let local = ["203.0.113.77:443", "10.0.2.15:32655", "10.200.0.12:32655"].contains(&place);
            out + line + "\n" + &(if local { filled(place) } else { String::new() })
        },
    );
    node.dumps[0] = text;
    for service in ["gw", "gw-ext", "gw-lb", "gw-lb-ranges", "gw-local", "gw-zone"] {
        let name = format!("edge/{service}");
        let items = node.objects["items"].as_array_mut().expect("a list");
        for slice in items.iter_mut().filter(|item| {
            item["kind"] == "EndpointSlice"
                && item["addressType"] == "IPv4"
                && name
                    == format!(
                        "edge/{}",
                        item["metadata"]["labels"]["kubernetes.io/service-name"].as_str().unwrap_or_default()
                    )
        }) {
            slice["endpoints"].as_array_mut().expect("endpoints").retain(|e| e["addresses"][0] != "10.244.2.3");
        }
    }
    let of_lb: Vec<Value> = node.check().into_iter().filter(|f| f["service"] == "edge/gw-lb:https").collect();
    assert_eq!(told(&of_lb), Vec::<String>::new());
}

#[test]
fn a_ready_endpoint_that_drains_is_missed() {
    let node = of_ipvs().lines(|line| {
        Some(line.replace(
            "-a -t 10.96.101.105:80 -r 10.244.3.2:80 -m -w 1",
            "-a -t 10.96.101.105:80 -r 10.244.3.2:80 -m -w 0",
        ))
    });
    let found = told(&node.check());
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("missing-endpoint") && found[0].contains("10.244.3.2:80"), "{found:?}");
}

/// Every virtual server has endpoints of its own: what one of them lacks, others may have.
#[test]
fn an_endpoint_that_one_virtual_server_lacks_is_missed_there() {
    let endpoint = "-a -t 10.200.0.12:30517 -r 10.244.1.9:8080 -m -w 1";
    let found = |node: Node| -> Vec<Value> {
        let of_web = node.check().into_iter().filter(|finding| finding["service"] == "shop/web");
        of_web.filter(|finding| finding["code"] == "missing-endpoint").collect()
    };
    let drained = endpoint.replace("-w 1", "-w 0");
    let is_drained = "programmed with weight 0 (draining)";
    for (instead, is) in [(None, "ready, but not programmed"), (Some(drained), is_drained)] {
        let changed = |line: &str| if line == endpoint { instead.clone() } else { Some(line.to_owned()) };
        let told = found(of_ipvs().lines(changed));
        let by = "by TCP 10.200.0.12:30517";
        assert_eq!(told.len(), 1, "{told:?}");
        let pod = "10.244.1.9:8080 (web-77c65dd4d-dm6dg)";
        assert_eq!(told[0]["message"], format!("{pod} is {is}: it gets no new connection from node2 {by}"));
        assert_eq!(told[0]["chain"], "TCP 10.200.0.12:30517");
    }
    let nowhere = found(of_ipvs().without(|line| line.starts_with("-a") && line.contains("10.244.1.9:8080")));
    assert_eq!(nowhere.len(), 1, "{nowhere:?}");
    let message = nowhere[0]["message"].as_str().expect("words");
    assert!(message.ends_with("it gets no new connection from node2"), "{message}");
    assert_eq!(nowhere[0]["chain"], Value::Null);
}

/// The endpoints of this node are gone, and kube-proxy has not noticed: it has not gone over to those of other nodes.
#[test]
fn a_local_pool_that_is_only_stale_has_not_fallen_back() {
    let gone = |slice: &mut Value| {
        slice["endpoints"].as_array_mut().expect("a list").retain(|endpoint| endpoint["nodeName"] != "node2");
    };
    let node = of_ipvs().change("EndpointSlice", "edge/gw-lb", gone);
    let of_lb = node.check().into_iter().filter(|finding| finding["service"] == "edge/gw-lb:https");
    let told: Vec<String> = of_lb.map(|finding| finding["message"].as_str().expect("words").to_owned()).collect();
    let stale = "20.00 % (cluster pool) and 100.00 % (local pool) of new connections go to 10.244.2.3:8080, which is stale: the \
                 address is pod edge/gw-67fbcbfc4d-5v29g's, no endpoint of the Service";
    assert_eq!(told, [stale]);
}

#[test]
fn connections_that_are_left_are_shown() {
    let case = |file: &str| node(&format!("ipvs/graceful-termination/{file}"));
    let shown = kube_ipt("show nginx-service --node node2 --objects").arg(case("cluster.json"));
    let shown = shown.arg("-f").arg(case("ipvsadm-L-n.txt")).stderr(
        "note: rules of iptables and ipsets were not read (iptables-save, ipset save): who is masqueraded and which source \
         ranges are enforced is not known",
    );
    assert!(shown.stdout().contains("0.00 %             10.244.3.2:80  ! draining, 4 connections left"));
}

#[test]
fn the_rules_alone_say_what_is_missing() {
    let error = "error: no Services in the rules of stdin: kube-proxy runs in IPVS mode there, and its Services are virtual \
                 servers: give the output of ipvsadm -Sn too";
    let rules = std::fs::read_to_string(node("ipvs/node2/save.txt")).expect("the recording is there");
    assert_eq!(kube_ipt("show --no-api").stdin(&rules).status(1).stderr(error).stdout(), "");
    let sets = std::fs::read_to_string(node("ipvs/node2/ipset-save.txt")).expect("the recording is there");
    let error = "error: stdin holds ipsets and no rules\n  try:  give what uses them too: -f FILE    (iptables-save, ipvsadm -Sn)";
    assert_eq!(kube_ipt("show --no-api").stdin(&sets).status(2).stderr(error).stdout(), "");
}

#[test]
fn virtual_servers_that_no_service_has_are_stale() {
    let mut node = of_ipvs();
    node.dumps[0].push_str("-A -t 10.96.99.99:80 -s rr\n-a -t 10.96.99.99:80 -r 10.244.1.4:80 -m -w 1\n");
    node.dumps[0].push_str("-A -t 10.96.162.135:8080 -s rr\n-a -t 10.96.162.135:8080 -r 10.244.1.4:80 -m -w 1\n");
    // One that another program made is nobody's business here.
    node.dumps[0].push_str("-A -t 192.168.5.5:6443 -s rr\n-a -t 192.168.5.5:6443 -r 192.168.5.6:6443 -g -w 1\n");
    node.dumps[1].push_str("add KUBE-CLUSTER-IP 10.96.99.99,tcp:80\nadd KUBE-CLUSTER-IP 10.96.162.135,tcp:8080\n");
    node.dumps[3] = node.dumps[3].replace(
        "    inet 10.96.0.10/32 scope global kube-ipvs0\n",
        "    inet 10.96.0.10/32 scope global kube-ipvs0\n    inet 10.96.99.99/32 scope global kube-ipvs0\n    inet 192.168.5.5/32 scope global kube-ipvs0\n",
    );
    let found: Vec<Value> = node.check().into_iter().filter(|f| f["severity"] != "info").collect();
    let said: Vec<String> =
        found.iter().map(|f| format!("{} {} {}", f["code"], f["reason"], f["message"]).replace('"', "")).collect();
    assert_eq!(
        said,
        [
            "stale-service port-gone rules take connections to it, but the Service has no such port (10.96.162.135:8080)",
            "stale-service service-gone rules take connections to it, but the cluster has no such Service (10.96.99.99:80)",
        ]
    );
}

#[test]
fn what_a_listing_does_not_hold_is_no_fault() {
    let case = |file: &str| node(&format!("ipvs/node2/{file}"));
    for files in [&["ipvsadm-L-n-stats.txt"][..], &["ipvsadm-S-n.txt"], &["ipvsadm-S-n.txt", "ipset-save.txt"]] {
        let run = kube_ipt("check -o json --node node2 --objects").arg(case("cluster.json"));
        let (stdout, ..) = files.iter().fold(run, |run: Run, file| run.arg("-f").arg(case(file))).output();
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        let wrong: Vec<&Value> =
            document["findings"].as_array().expect("findings").iter().filter(|f| f["severity"] != "info").collect();
        assert_eq!(wrong, Vec::<&Value>::new(), "{files:?}");
    }
    // Rules that are not kube-proxy's beside virtual servers tell nothing of them.
    let docker = "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:DOCKER - [0:0]\nCOMMIT\n";
    let mut node = of_ipvs();
    node.dumps[2] = docker.to_owned();
    let found: Vec<String> = told(&node.check()).into_iter().filter(|f| f.contains("masquerade-mismatch")).collect();
    assert_eq!(found, Vec::<String>::new());
}

/// IPVS has virtual servers for external addresses under Local policy on nodes without an endpoint too, to endpoints elsewhere.
#[test]
fn an_external_address_is_missed_where_no_endpoint_is_local() {
    let node = of_ipvs().elsewhere("edge/gw-lb");
    let missed = |node: Node| {
        let found = told(&node.check());
        found.into_iter().filter(|finding| finding.starts_with("missing-frontend")).collect::<Vec<_>>()
    };
    assert_eq!(missed(node.clone()), [""; 0]);
    let without = node.without(|line| line.contains("203.0.113.77:443"));
    assert_eq!(missed(without), ["missing-frontend error edge/gw-lb:https 203.0.113.77:443"]);
}

#[test]
fn a_node_port_that_is_closed_at_an_address_of_the_node_is_missed() {
    assert_eq!(told(&of_ipvs().check()), [""; 0]);
    // A virtual server and its real servers.
    let gone =
        |line: &str| line.starts_with("-A -t 10.200.0.12:31879 ") || line.starts_with("-a -t 10.200.0.12:31879 ");
    let broken = of_ipvs().without(gone);
    let found = broken.check();
    assert_eq!(told(&found), ["missing-frontend error edge/gw-lb-ranges:https 10.200.0.12 node-address"]);
    let message =
        "node port 31879 is not captured at 10.200.0.12, where other node ports are: connections to it are refused";
    assert_eq!(found[0]["message"], message);
    let emptied = of_ipvs().without(|line| line.starts_with("-a -t 10.200.0.12:31879 "));
    let found = emptied.check();
    assert_eq!(told(&found), ["empty-virtual-server warning edge/gw-lb-ranges:https 10.200.0.12 node-address"]);
    let message =
        "the virtual server of node port 31879 at 10.200.0.12 has no real server, though those at other addresses have";
    assert_eq!(found[0]["message"], message);
}

#[test]
fn the_rule_that_asks_the_set_of_hairpin_connections_is_missed() {
    let found = told(&of_ipvs().without(|line| line.contains("--match-set KUBE-LOOP-BACK")).check());
    assert_eq!(found, ["masquerade-mismatch warning KUBE-POSTROUTING missing-rule"]);
    // kubelet's chains beside a kube-proxy that writes to the other interface.
    let asked = |line: &str| line.contains("--match-set KUBE-LOOP-BACK");
    let beside = of_ipvs().without(|line| line.contains("KUBE-SERVICES") || asked(line));
    assert_eq!(told(&beside.check()), [""; 0]);
    let garbled = of_ipvs().lines(|line| {
        Some(if asked(line) {
            line.replace("--match-set KUBE-LOOP-BACK dst,dst,src", "[unsupported revision]")
        } else {
            line.to_owned()
        })
    });
    assert_eq!(told(&garbled.check()), [""; 0]);
}

#[test]
fn hooks_that_lead_to_no_chain_of_ipvs_are_missed() {
    for (hook, told) in [
        (
            "INPUT -m comment --comment \"kube-proxy firewall rules\"",
            "KUBE-PROXY-FIREWALL: source ranges of load balancers are not enforced there",
        ),
        (
            "INPUT -m comment --comment \"kubernetes ipvs access filter\"",
            "KUBE-IPVS-FILTER: what listens on this node is reached by the addresses of Services too",
        ),
        (
            "FORWARD -m comment --comment \"kubernetes forwarding rules\"",
            "KUBE-FORWARD: forwarded connections depend on the policy of FORWARD",
        ),
        ("PREROUTING ", "KUBE-SERVICES: connections from pods and from outside are not masqueraded"),
        (
            "OUTPUT -m comment --comment \"kubernetes service portals\"",
            "KUBE-SERVICES: connections from the node itself are not masqueraded",
        ),
    ] {
        let found = of_ipvs().without(|line| line.starts_with(&format!("-A {hook}"))).check();
        let found: Vec<_> = found.iter().filter(|finding| finding["severity"] != "info").collect();
        let ends = |finding: &Value| finding["message"].as_str().is_some_and(|words| words.ends_with(told));
        assert!(found.len() == 1 && found[0]["code"] == "missing-hook" && ends(found[0]), "{hook}: {found:#?}");
    }
    // What a release does not have, or nothing is in, needs no hook.
    let gone = |line: &str| line.contains("KUBE-IPVS-FILTER") || line.contains("KUBE-IPVS-OUT-FILTER");
    assert_eq!(told(&of_ipvs().without(gone).check()), told(&of_ipvs().check()));
}

#[test]
fn a_family_without_virtual_servers_is_missed_where_the_node_has_addresses_of_it() {
    let of_six =
        |line: &str| line.starts_with("-A -") && line.contains(" [") || line.starts_with("-a -") && line.contains(" [");
    let missing = |node: Node| {
        let found = node.check().into_iter().filter(|finding| finding["id"] == "KI104");
        found.map(|finding| finding["service"].as_str().expect("a name").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(missing(of_ipvs()), [""; 0]);
    assert_eq!(missing(of_ipvs().without(of_six)), ["edge/v6only", "infra/dns:dns", "infra/dns:dns-tcp"]);
    let document = of_ipvs().without(of_six).run("check").json();
    let told = "kube-proxy has no virtual server of ipv6 on node2: no Service of that family can be reached.";
    assert_eq!(document["summary"]["cause"], told);
    let mut without_addresses = of_ipvs().without(of_six);
    let items = without_addresses.objects["items"].as_array_mut().expect("items");
    for node in items.iter_mut().filter(|item| item["kind"] == "Node") {
        let addresses = node["status"]["addresses"].as_array_mut().expect("addresses");
        addresses.retain(|address| !address["address"].as_str().is_some_and(|ip| ip.contains(':')));
    }
    assert_eq!(missing(without_addresses), [""; 0]);
}

/// Findings of one code, and the first message.
fn with_code(node: &Node, code: &str) -> (Vec<String>, String) {
    let findings: Vec<Value> = node.check().into_iter().filter(|finding| finding["code"] == code).collect();
    (told(&findings), findings.first().and_then(|f| f["message"].as_str()).unwrap_or_default().to_owned())
}

#[test]
fn what_input_refuses_before_ipvs_is_not_captured_for_all() {
    // The address is in no set of Services any more, and among those of kube-ipvs0.
    let node = of_ipvs().without(|line| line == "add KUBE-LOAD-BALANCER 203.0.113.77,tcp:443");
    assert_eq!(told(&node.check()), ["missing-frontend error edge/gw-lb:https 203.0.113.77:443 some-clients"]);
    let (_, message) = with_code(&node, "missing-frontend");
    let words = "load balancer 203.0.113.77:443 is not captured for all: connections from outside are refused";
    assert_eq!(message, words);
    // The rule that spares cluster IPs is gone: the node itself does not come by INPUT.
    let spares = "-A KUBE-IPVS-FILTER -m set --match-set KUBE-CLUSTER-IP dst,dst -j RETURN";
    let node = of_ipvs().without(|line| line == spares);
    let (found, message) = with_code(&node, "missing-frontend");
    assert!(found.len() > 10 && found.iter().all(|f| f.ends_with(" some-clients")), "{found:#?}");
    assert!(message.ends_with(" is not captured for all: connections from pods and outside are refused"), "{message}");
    let cause = node.run("check").json()["summary"]["cause"].as_str().expect("a cause").to_owned();
    assert!(cause.starts_with("Some clients get nowhere at "), "{cause}");
    // Without the hook nobody gets to the chain.
    let unhooked = of_ipvs().without(|line| line == spares || line.ends_with("-j KUBE-IPVS-FILTER"));
    assert_eq!(with_code(&unhooked, "missing-frontend").0, [""; 0]);
}

#[test]
fn flushed_rules_around_virtual_servers_are_missed() {
    let hooks = |node: &Node| with_code(node, "missing-hook").0;
    let nat = "*nat\n";
    let of_table = |is_of_nat: bool| {
        let mut node = of_ipvs();
        let at = node.dumps[2].find(nat).expect("a nat table");
        let (filter, nat) = node.dumps[2].split_at(at);
        let flushed = |text: &str| {
            text.lines().filter(|line| !line.starts_with("-A ")).fold(String::new(), |out, line| out + line + "\n")
        };
        node.dumps[2] = if is_of_nat { filter.to_owned() + &flushed(nat) } else { flushed(filter) + nat };
        node
    };
    assert_eq!(
        hooks(&of_table(true)),
        ["missing-hook error OUTPUT", "missing-hook error POSTROUTING", "missing-hook error PREROUTING"]
    );
    let of_filter = hooks(&of_table(false));
    assert!(
        of_filter.len() == 6 && of_filter.iter().all(|hook| hook.starts_with("missing-hook warning ")),
        "{of_filter:#?}"
    );
    // Nothing of kube-proxy at all: it may write to the other interface of the kernel.
    let none =
        of_ipvs().without(|line| (line.starts_with("-A ") && !line.starts_with("-A -")) || line.starts_with(":KUBE-"));
    assert_eq!(hooks(&none), [""; 0]);
    let skipped = none.run("check").json()["summary"]["skipped"].to_string();
    for id in ["KI301", "KI304"] {
        assert!(skipped.contains(id), "{skipped}");
    }
    assert!(skipped.contains("no chain of kube-proxy is in the nat table of ipv4"), "{skipped}");
}

#[test]
fn the_rule_for_cluster_ips_and_the_members_of_hairpins_are_missed() {
    let is_rule = |line: &str| line.contains("--match-set KUBE-CLUSTER-IP dst,dst -j KUBE-MARK-MASQ");
    let expected = ["masquerade-mismatch warning KUBE-POSTROUTING missing-rule"];
    let gone = of_ipvs().without(is_rule);
    assert_eq!(told(&gone.check()), expected);
    let (_, message) = with_code(&gone, "masquerade-mismatch");
    assert!(message.starts_with("no rule masquerades clients of the cluster IPs in KUBE-CLUSTER-IP"), "{message}");
    let inverted = of_ipvs().lines(|line| {
        Some(if is_rule(line) { line.replace("-m set --match-set", "-m set ! --match-set") } else { line.to_owned() })
    });
    // All others are masqueraded instead, those too whose address a Service wants to be seen.
    let hidden = |at: &str| format!("masquerade-mismatch warning edge/gw-lb:https {at} hidden-clients");
    let all = [expected[0].to_owned(), hidden("203.0.113.77:443"), hidden(":32655")];
    assert_eq!(with_code(&inverted, "masquerade-mismatch").0, all);
    let emptied = of_ipvs().without(|line| line.starts_with("add KUBE-LOOP-BACK "));
    assert_eq!(told(&emptied.check()), expected);
    let (_, message) = with_code(&emptied, "masquerade-mismatch");
    assert!(message.starts_with("the set KUBE-LOOP-BACK is empty: "), "{message}");
}

#[test]
fn node_ports_may_be_closed_on_purpose() {
    let is_node_port = |line: &str| line.starts_with("-A -t 10.") && line.contains(":3") && !line.contains("10.96.");
    let is_real = |line: &str| line.starts_with("-a -t 10.") && line.contains(":3") && !line.contains("-t 10.96.");
    let closed =
        of_ipvs().without(|line| is_node_port(line) || is_real(line) || line.starts_with("add KUBE-NODE-PORT"));
    let found: Vec<Value> = closed.check().into_iter().filter(|f| f["code"] == "missing-frontend").collect();
    assert_eq!(told(&found), ["missing-frontend warning node-ports"]);
    assert_eq!(found[0]["message"], "no node port is open on node2, though 3 service ports have one");
    let config = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nnodePortAddresses:\n- 127.0.0.0/8\n";
    let told_so = closed.with_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": config},
    }));
    assert_eq!(with_code(&told_so, "missing-frontend").0, [""; 0]);
    let skipped = told_so.run("check").json()["summary"]["skipped"].to_string();
    assert!(skipped.contains("no node port of ipv4 is open on node2, as nodePortAddresses may have it"), "{skipped}");
}

#[test]
fn where_no_virtual_server_serves_one_that_is_missing_closes_nothing() {
    // shop/nobody-np has no endpoint: its virtual servers refuse, and so does what has none.
    let node = of_ipvs().without(|line| line.starts_with("-A -t 10.200.0.12:30437 "));
    assert_eq!(told(&node.check()), [""; 0]);
}

#[test]
fn a_node_port_without_endpoints_tells_that_node_ports_are_open() {
    // All node ports but that of shop/nobody-np, which refuses on every address of the node.
    let is_of = |line: &str, what: &str| line.starts_with(what) && line.contains(":3") && !line.contains(" 10.96.");
    let lost =
        of_ipvs().without(|line| (is_of(line, "-A -t 10.") || is_of(line, "-a -t 10.")) && !line.contains(":30437"));
    let config = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\nnodePortAddresses:\n- 127.0.0.0/8\n";
    let told_so = lost.clone().with_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": config},
    }));
    for node in [lost, told_so] {
        let (found, _) = with_code(&node, "missing-frontend");
        assert_eq!(
            found,
            [
                "missing-frontend error edge/gw-lb-ranges:https :31879",
                "missing-frontend error edge/gw-lb:https :32655",
                "missing-frontend error shop/web :30517",
            ]
        );
    }
}

#[test]
fn conditions_that_nft_hides_ask_any_set() {
    let hidden = of_ipvs().lines(|line| {
        let Some(at) = line.find("-m set --match-set ") else { return Some(line.to_owned()) };
        let behind = line[at..].find(" -j ").map_or("", |target| &line[at + target..]);
        Some(format!("{}--nft-match set{behind}", &line[..at]))
    });
    assert_eq!(told(&hidden.check()), [""; 0]);
}

#[test]
fn headings_of_sets_tell_no_members() {
    let mut node = of_ipvs();
    let names: Vec<&str> =
        node.dumps[1].lines().filter_map(|line| line.strip_prefix("create ")?.split(' ').next()).collect();
    let heading = |name: &&str| {
        let prefix = format!("add {name} ");
        let members = node.dumps[1].lines().filter(|line| line.starts_with(&prefix)).count();
        format!(
            "Name: {name}\nType: hash:ip,port\nRevision: 6\nHeader: family inet\nSize in memory: 600\nReferences: 1\nNumber of entries: {members}\n\n"
        )
    };
    let listed: String = names.iter().map(heading).collect();
    node.dumps[1] = listed;
    assert_eq!(told(&node.check()), ["partial-dump info"]);
}

/// kube-proxy puts an external address of a Service on kube-ipvs0 unless the node has it already, as k3s and kube-vip have it.
#[test]
fn an_external_address_of_the_node_itself_is_not_missing() {
    let external = "192.0.2.11/32 scope global kube-ipvs0";
    let missing = |node: &Node| with_code(node, "missing-address").0;
    let gone = of_ipvs().without(|line| line.contains(external));
    assert_eq!(missing(&gone), ["missing-address error 192.0.2.11"]);
    let of_node = |address: &str| {
        gone.clone().change("Node", "/node2", |node| {
            let addresses = node["status"]["addresses"].as_array_mut().expect("addresses");
            addresses.push(json!({"type": "ExternalIP", "address": address}));
        })
    };
    assert_eq!(missing(&of_node("192.0.2.11")), [""; 0]);
    assert_eq!(missing(&of_node("192.0.2.12")), ["missing-address error 192.0.2.11"]);
    // Of kube-ipvs0 alone, other interfaces may have what it lacks, but no cluster IP.
    let alone = |line: &str| line.contains(external) || line.contains("10.96.0.10/32 scope global kube-ipvs0");
    let mut only = of_ipvs();
    only.dumps[3] = std::fs::read_to_string(node("ipvs/node2/ip-addr-show-kube-ipvs0.txt")).expect("a recording");
    let only = only.without(alone);
    assert_eq!(missing(&only), ["missing-address error 10.96.0.10"]);
    let skipped = only.run("check").json()["summary"]["skipped"].to_string();
    assert!(skipped.contains("an external address may be on another interface than kube-ipvs0"), "{skipped}");
}

/// Of those that the ranges let in, INPUT refuses all, as the address is in the set of no rule that spares it.
#[test]
fn clients_within_source_ranges_that_input_refuses_are_missed() {
    let node = of_ipvs().without(|line| line == "add KUBE-LOAD-BALANCER 203.0.113.78,tcp:443");
    let (found, message) = with_code(&node, "missing-frontend");
    assert_eq!(found, ["missing-frontend error edge/gw-lb-ranges:https 203.0.113.78:443 some-clients"]);
    let words = "load balancer 203.0.113.78:443 is not captured for all: connections from 198.51.100.0/25, 203.0.113.0/24 are refused";
    assert_eq!(message, words);
}

/// What is told of a listing that is not all there: findings but for that, and what is not checked for that reason.
fn of_part(node: &Node) -> (Vec<String>, String) {
    let found = node.check();
    let (partial, others): (Vec<Value>, Vec<Value>) = found.into_iter().partition(|f| f["code"] == "partial-dump");
    let told_of = partial.iter().filter_map(|finding| finding["message"].as_str()).collect::<Vec<_>>().join("\n");
    (told(&others), told_of)
}

#[test]
fn a_listing_of_addresses_that_ends_early_misses_none() {
    let full = &of_ipvs().dumps[3];
    let whole_lines = |lines: usize| full.lines().take(lines).flat_map(|line| [line, "\n"]).collect::<String>();
    let in_block = full.lines().position(|line| line.contains("10.96.0.10/32")).expect("the address") + 1;
    for text in [full[..3000].to_owned(), whole_lines(in_block), full.trim_end().to_owned()] {
        let mut node = of_ipvs();
        node.dumps[3] = text;
        let (found, partial) = of_part(&node);
        assert_eq!(found, [""; 0]);
        let expected =
            "the listing of the node's addresses ends early; not checked, or not of everything: missing-address";
        assert_eq!(partial, expected);
        let (_, stderr, _) = node.run("check").output();
        assert!(stderr.contains("ends inside a listing of addresses: what followed is not known"), "{stderr}");
        assert_eq!(node.run("check").json()["source"]["partial"], true);
    }
}

#[test]
fn a_listing_of_ipsets_that_ends_early_accuses_nobody() {
    let full = &of_ipvs().dumps[1];
    let ends: Vec<usize> = full.match_indices('\n').map(|(at, _)| at + 1).collect();
    // At the ends of lines and inside them, all over it, and closely behind those members that most depends on.
    let mut cuts: Vec<usize> = ends.iter().step_by(17).flat_map(|end| [*end, end + 11]).collect();
    for (at, _) in full.match_indices("create KUBE-") {
        cuts.extend(ends.iter().find(|end| **end > at).copied());
    }
    cuts.push(full.len() - 1);
    // Of IPv6 no rules were read that would ask for sets.
    let asked = full.match_indices("create KUBE-").filter(|(at, _)| !full[*at..].starts_with("create KUBE-6-")).last();
    let asked = asked.expect("a set of IPv4").0;
    // Between two members of the last set that rules ask for, nothing tells that more followed.
    let behind = full.find("create KUBE-6-").expect("sets of IPv6");
    let is_untold = |cut: &usize| (asked + 1..behind).contains(cut) && ends.contains(cut);
    for cut in cuts.into_iter().filter(|cut| *cut < full.len() && !is_untold(cut)) {
        let mut node = of_ipvs();
        node.dumps[1].truncate(cut);
        let (found, partial) = of_part(&node);
        let last = &node.dumps[1][ends.iter().rfind(|end| **end < cut).copied().unwrap_or(0)..];
        assert_eq!(found, [""; 0], "{cut}: {last}");
        if cut < asked {
            let unmade = "not checked, or not of everything: masquerade-mismatch, missing-frontend, policy-mismatch";
            assert!(partial.ends_with(unmade), "{cut}: {partial}");
        }
    }
}

#[test]
fn ipsets_that_rules_ask_for_and_nobody_gave_are_told() {
    let only =
        |line: &str| line.contains("KUBE-LOOP-BACK") || !(line.starts_with("add ") || line.starts_with("create "));
    let some = of_ipvs().without(|line| !only(line));
    let (found, partial) = of_part(&some);
    assert_eq!(found, [""; 0]);
    let unmade = "not checked, or not of everything: masquerade-mismatch, missing-frontend, policy-mismatch";
    assert!(
        partial.starts_with("11 ipsets that rules ask for were not read, ") && partial.ends_with(unmade),
        "{partial}"
    );
    let (_, stderr, _) = some.run("check").output();
    assert!(stderr.contains("KUBE-CLUSTER-IP first: not all is known of who is masqueraded"), "{stderr}");
    let mut none = of_ipvs();
    none.dumps.remove(1);
    assert_eq!(of_part(&none), (vec![], format!("ipsets were not read; {unmade}")));
    assert_eq!(of_part(&of_ipvs()), (vec![], String::new()));
}

#[test]
fn a_line_above_ipsets_is_not_understood_and_no_more() {
    let mut prompted = of_ipvs();
    prompted.dumps[1].insert_str(0, "$ sudo ipset save\n");
    let (_, stderr, _) = prompted.run("check").output();
    assert!(stderr.contains("1 line was not understood as part of an ipset listing"), "{stderr}");
    assert_eq!(of_part(&prompted), (vec![], String::new()));
    let mut beheaded = of_ipvs();
    let first = beheaded.dumps[1].find('\n').expect("lines") + 1;
    beheaded.dumps[1].drain(..first);
    let (found, partial) = of_part(&beheaded);
    assert_eq!(found, [""; 0]);
    assert!(partial.starts_with("1 ipset that rules ask for was not read, KUBE-LOAD-BALANCER first; "), "{partial}");
}

/// Whose clients keep their address sets tell; the real servers of a virtual server are those of the Service's policy all the same.
#[test]
fn clients_that_are_masqueraded_under_local_policy_are_told() {
    let expected = ["masquerade-mismatch warning edge/gw-lb:https 203.0.113.77:443 hidden-clients"];
    let member = of_ipvs().without(|line| line == "add KUBE-LOAD-BALANCER-LOCAL 203.0.113.77,tcp:443");
    assert_eq!(told(&member.check()), expected);
    let (_, message) = with_code(&member, "masquerade-mismatch");
    let words = "clients of load balancer 203.0.113.77:443 are masqueraded, though only endpoints of this node serve them: these \
                 do not see their addresses";
    assert_eq!(message, words);
    let rule = |line: &str| line.contains("--match-set KUBE-LOAD-BALANCER-LOCAL dst,dst -j RETURN");
    assert_eq!(told(&of_ipvs().without(rule).check()), expected);
    let port = of_ipvs().without(|line| line == "add KUBE-NODE-PORT-LOCAL-TCP 32655");
    assert_eq!(told(&port.check()), ["masquerade-mismatch warning edge/gw-lb:https :32655 hidden-clients"]);
}

/// kube-proxy flags every virtual server of a Service as persistent.
#[test]
fn each_virtual_server_has_the_affinity_of_its_service() {
    let places = ["-A -t 10.96.190.240:80 ", "-A -t 10.0.2.15:30517 ", "-A -t 10.200.0.12:30517 "];
    let sticky = |but: &str| {
        let flagged = |line: &str| places.iter().any(|place| line.starts_with(place) && *place != but);
        let flag = |line: &str| if flagged(line) { format!("{line} -p 600") } else { line.to_owned() };
        of_ipvs().lines(|line| Some(flag(line))).change("Service", "shop/web", |service| {
            service["spec"]["sessionAffinity"] = json!("ClientIP");
            service["spec"]["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 600}});
        })
    };
    assert_eq!(told(&sticky("").check()), [""; 0]);
    for (but, at, whose) in
        [(places[0], "10.96.190.240:80", "cluster IP 10.96.190.240:80"), (places[2], ":30517", "node port :30517")]
    {
        let node = sticky(but);
        assert_eq!(told(&node.check()), [format!("policy-mismatch warning shop/web {at} session-affinity")]);
        let (_, message) = with_code(&node, "policy-mismatch");
        assert_eq!(message, format!("session affinity of {whose} is none, the Service's is ClientIP, 600 s"));
        let (shown, ..) = node.run("show shop/web").output();
        assert!(shown.contains(&format!("sticky 600 s but not at {at}")), "{shown}");
    }
}

#[test]
fn a_virtual_server_whose_real_servers_all_drain_is_not_called_empty() {
    let drained = |line: &str| {
        let of_dns = line.starts_with("-a -t 10.96.101.105:80 ");
        Some(if of_dns { line.replace("-w 1", "-w 0") } else { line.to_owned() })
    };
    let (found, message) = with_code(&of_ipvs().lines(drained), "empty-virtual-server");
    assert_eq!(found.len(), 1, "{found:?}");
    let words =
        "has only real servers of weight 0, which take no new connection, though the Service has usable endpoints";
    assert_eq!(message, format!("the virtual server of cluster IP 10.96.101.105:80 {words}"));
}
