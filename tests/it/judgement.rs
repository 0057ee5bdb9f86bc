//! What looks like a fault and is none, and what looks right and is a fault: each was judged wrong once.

use std::fs;

use serde_json::{Value, json};

use crate::broken::{Node, clean, found, of_ipvs, slice, told, without_local_endpoints};
use crate::run::node;

fn message(node: &Node, code: &str) -> String {
    let findings = node.check();
    let finding = findings.iter().find(|finding| finding["code"] == code).expect("such a finding");
    finding["message"].as_str().expect("a message").to_owned()
}

#[test]
fn local_policy_without_a_local_endpoint_is_no_fault() {
    assert_eq!(found(&without_local_endpoints("node2")), Vec::<String>::new());
    // Without any source range nobody is shut out by one, though nobody gets in.
    let open = without_local_endpoints("node2").change("Service", "edge/gw-lb", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["0.0.0.0/0"]);
    });
    assert_eq!(found(&open), Vec::<String>::new());
}

#[test]
fn local_rules_under_a_cluster_policy_drop_what_should_be_served() {
    let node = without_local_endpoints("node2").change("Service", "edge/gw-lb", |service| {
        service["spec"]["externalTrafficPolicy"] = json!("Cluster");
    });
    assert_eq!(found(&node), ["stale-reject error edge/gw-lb:https 203.0.113.77:443"]);
    let words =
        "the filter table drops connections to 203.0.113.77:443, :32485, though the Service has usable endpoints";
    assert_eq!(message(&node, "stale-reject"), words);
    let nat_only = node.without(|line| line.contains("has no local endpoints"));
    assert_eq!(
        found(&nat_only),
        [
            "policy-mismatch warning edge/gw-lb:https 203.0.113.77:443 traffic-policy",
            "policy-mismatch warning edge/gw-lb:https :32485 traffic-policy",
        ]
    );
}

#[test]
fn bits_beyond_a_source_range_do_not_count() {
    let node = clean("node1").change("Service", "edge/gw-lb-ranges", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!([" 203.0.113.9/24", "198.51.100.1/25"]);
    });
    assert_eq!(found(&node), Vec::<String>::new());
}

#[test]
fn source_ranges_that_differ_or_are_not_enforced() {
    let differ = clean("node1").change("Service", "edge/gw-lb-ranges", |service| {
        service["spec"]["loadBalancerSourceRanges"] = json!(["203.0.113.0/24"]);
    });
    let words =
        "load balancer 203.0.113.78:443 lets in 198.51.100.0/25, 203.0.113.0/24, but the Service wants 203.0.113.0/24";
    assert_eq!(message(&differ, "policy-mismatch"), words);
    let open = clean("node1").without(|line| line.starts_with("-A KUBE-PROXY-FIREWALL "));
    let words = "clients outside the source ranges of load balancer 203.0.113.78:443 are not dropped: the rule of the filter table is \
                 missing";
    assert_eq!(message(&open, "policy-mismatch"), words);
}

/// Only a load balancer's address has source ranges: whoever limits another one keeps clients away.
#[test]
fn a_frontend_that_only_some_may_use_is_no_one_of_kube_proxys() {
    for (rule, frontend) in [
        ("-A KUBE-NODEPORTS -p tcp -m comment --comment \"shop/web\" ", "node port :31589"),
        ("-A KUBE-SERVICES -d 192.0.2.10/32 ", "external IP 192.0.2.10:8443"),
        ("-A KUBE-SERVICES -d 10.96.182.118/32 ", "cluster IP 10.96.182.118:80"),
    ] {
        let (append, conditions) = rule.split_at(rule.find(" -d ").or(rule.find(" -p ")).expect("a condition"));
        let limited = format!("{append} -s 203.0.113.0/24{conditions}");
        let node = clean("node1").lines(|line| Some(line.replace(rule, &limited)));
        let words = format!("{frontend} lets in 203.0.113.0/24, but the Service wants everyone");
        assert_eq!(message(&node, "policy-mismatch"), words);
        assert_eq!(found(&node).len(), 1);
    }
}

/// A kube-proxy that knows pods masquerades all others. One that was never told them has no rule that names them.
#[test]
fn cluster_ips_without_any_rule_that_masquerades_are_told_where_pods_are_known() {
    let masquerades = |line: &str| line.contains("! -s 10.244.0.0/16 ") && line.ends_with("-j KUBE-MARK-MASQ");
    let node = clean("node1").without(masquerades);
    let words = "clients outside the pod network are not masqueraded at any cluster IP, though the rules tell pods from others: \
                 the rule is missing";
    assert_eq!(message(&node, "masquerade-mismatch"), words);
    assert_eq!(found(&node).len(), 1);
    let tells = |line: &str| line.contains("-s 10.244.0.0/16 ") && line.contains("pod traffic for");
    assert_eq!(found(&node.without(tells)), [""; 0]);
}

/// kube-proxy's own hooks of nat are for every connection.
#[test]
fn a_hook_under_conditions_is_told() {
    for (condition, chain, target, rest) in [
        ("-i eth0", "PREROUTING", "KUBE-SERVICES", "the others reach no Service"),
        ("-p tcp", "OUTPUT", "KUBE-SERVICES", "the others reach no Service"),
        ("! -d 10.96.0.0/16", "POSTROUTING", "KUBE-POSTROUTING", "the others are not masqueraded"),
    ] {
        let begin = format!("-A {chain} -m comment ");
        let limited = format!("-A {chain} {condition} -m comment ");
        let narrow =
            |line: &str| Some(if line.ends_with(target) { line.replace(&begin, &limited) } else { line.to_owned() });
        let node = clean("node1").lines(narrow);
        let words = format!("{chain} of the nat table leads only some connections to {target}: {rest}");
        assert_eq!(message(&node, "missing-hook"), words);
        assert_eq!(found(&node), [format!("missing-hook error {chain} under-conditions")]);
        // Where another rule leads all of them there, it is no fault.
        let whole = node.before(&format!("-A {chain} {condition} "), &format!("-A {chain} -j {target}\n"));
        assert_eq!(found(&whole), [""; 0]);
    }
}

/// A rule that asks for what no dump tells may take a connection or not.
#[test]
fn a_frontend_under_conditions_nobody_can_answer_is_unknown() {
    let rule = "-A KUBE-SERVICES -d 10.96.182.118/32 ";
    for (condition, [pod, of_node, external]) in [
        ("-m mark --mark 0x1/0x1", [Value::Null, Value::Null, Value::Null]),
        ("-i eth7", [Value::Null, json!("none"), Value::Null]),
    ] {
        let limited = format!("{rule}{condition} ");
        let node = clean("node1").lines(|line| Some(line.replace(rule, &limited)));
        assert_eq!(found(&node), [""; 0]);
        let document = node.run("show shop/web").json();
        let routes = document["services"][0]["frontends"][0]["routes"].as_array().expect("routes").iter();
        let verdicts: Vec<Value> = routes.map(|route| route["verdict"].clone()).collect();
        assert_eq!(verdicts, [pod, of_node, external], "{condition}");
        let skipped = node.run("check --family ipv4").json()["summary"]["skipped"].take();
        let why = "rules that lead to 1 service port have conditions that a dump does not answer";
        assert_eq!((&skipped[0]["id"], &skipped[0]["reason"]), (&json!("KI107"), &json!(why)), "{condition}");
    }
}

#[test]
fn ranges_are_compared_one_by_one_where_pods_get_in_by_one_of_them() {
    const OF_RULES: [&str; 2] = ["203.0.113.0/24", "198.51.100.0/25"];
    // The rules let in these, and the Service wants those.
    let told = |have: [&str; 2], want: &[&str]| {
        let line = |line: &str| {
            let (first, second) = have.into();
            Some(line.replace(OF_RULES[0], first).replace(OF_RULES[1], second))
        };
        let node = clean("node1").lines(line).change("Service", "edge/gw-lb-ranges", |service| {
            service["spec"]["loadBalancerSourceRanges"] = json!(want);
        });
        let found = node.check();
        let ours = found.iter().filter(|f| f["severity"] != "info").map(|f| f["message"].as_str().expect("words"));
        ours.map(|words| words.trim_start_matches("load balancer 203.0.113.78:443 ").to_owned()).collect::<Vec<_>>()
    };
    let (around, pods, other) = ("10.0.0.0/8", "10.244.0.0/16", "192.0.2.0/24");
    for have in [[around, other], [pods, other]] {
        assert_eq!(told(have, &have), [""; 0]);
        let want = [have[0], have[1], "192.0.3.0/24"];
        let words = format!("lets in {}, but the Service wants {}", have.join(", "), want.join(", "));
        assert_eq!(told(have, &want), [words]);
    }
    assert_eq!(told([pods, pods], &[pods, other]), [format!("lets in {pods}, but the Service wants {pods}, {other}")]);
    // What is compared are addresses.
    let halves = ["10.0.0.0/9", "10.128.0.0/9"];
    assert_eq!(told(halves, &[around, "10.1.0.0/16"]), [""; 0]);
    assert_eq!(told([around, "10.1.0.0/16"], &halves), [""; 0]);
    assert_eq!(told(["0.0.0.0/1", "128.0.0.0/1"], &[]), [""; 0]);
    // The pods get in beside those who may.
    assert_eq!(told([pods, other], &[other]), [format!("lets in {pods}, {other}, but the Service wants {other}")]);
    // The address of the load balancer itself may be a range.
    let own = ["203.0.113.78/32", other];
    assert_eq!(told(own, &own), [""; 0]);
    // A range of all of them opens the address.
    let words = format!("lets in {around}, {other}, but the Service wants everyone");
    assert_eq!(told([around, other], &[around, other, "0.0.0.0/0"]), [words]);
    assert_eq!(told([around, "0.0.0.0/0"], &[around, "0.0.0.0/0"]), [""; 0]);
    // The rule that opens it may be gone where that for the address itself is not.
    let (own, words) = ("203.0.113.78/32", "lets in nobody from outside, but the Service wants everyone");
    assert_eq!(told([own, own], &["0.0.0.0/0"]), [words]);
}

#[test]
fn a_node_in_the_source_ranges_reaches_itself_from_every_address_of_the_load_balancer() {
    // Where a range has the node's address, the one chain of the port lets all of them in.
    let twice = |line: &str| {
        let second = line.replace("203.0.113.78", "203.0.113.79");
        let own = "-A KUBE-FW-UWF2RJJZJKMHJCDC -s ";
        let let_in = |ip: &str| {
            format!(
                "{own}{ip}/32 -m comment --comment \"edge/gw-lb-ranges:https loadbalancer IP\" -j KUBE-EXT-UWF2RJJZJKMHJCDC"
            )
        };
        Some(match line {
            _ if second != line => format!("{line}\n{second}"),
            _ if line.starts_with(&format!("{own}198.51.100.0/25 ")) => {
                [line.to_owned(), let_in("203.0.113.78"), let_in("203.0.113.79")].join("\n")
            }
            _ => line.to_owned(),
        })
    };
    let node = clean("node1").lines(twice).change("Service", "edge/gw-lb-ranges", |service| {
        let ingress = service["status"]["loadBalancer"]["ingress"].as_array_mut().expect("a list");
        ingress.push(json!({"ip": "203.0.113.79", "ipMode": "VIP"}));
    });
    assert_eq!(found(&node), [""; 0]);
    let let_in = |line: &str| Some(line.replace(" -s 203.0.113.79/32 ", " -s 192.0.2.80/32 "));
    assert_eq!(found(&node.lines(let_in)).len(), 2);
}

/// A copy of a Service that has the external IP of edge/gw-ext too.
fn rival(node: &mut Node, of: &str, name: &str) -> Value {
    let mut service = node.object("Service", of).clone();
    service["metadata"]["name"] = json!(name);
    service["spec"]["externalIPs"] = json!(["192.0.2.10"]);
    service["spec"]["ports"] = json!([{"port": 8443, "protocol": "TCP", "targetPort": 8443}]);
    service
}

#[test]
fn an_address_is_that_of_the_service_that_kube_proxy_serves() {
    for (of, change) in [
        ("shop/other-proxy", None),
        ("shop/headless", None),
        ("shop/ext", None),
        ("edge/gw-lb", Some(json!({"ingress": [{"ip": "192.0.2.10", "ipMode": "Proxy"}]}))),
    ] {
        for mut node in [clean("node2"), of_ipvs()] {
            // The last of all names.
            let mut service = rival(&mut node, of, "zz");
            if let Some(balancer) = change.clone() {
                service["spec"]["externalIPs"].take();
                service["spec"]["clusterIP"] = json!("None");
                service["spec"]["clusterIPs"] = json!(["None"]);
                service["status"]["loadBalancer"] = balancer;
            }
            assert_eq!(found(&node.with_object(service)), [""; 0], "{of}");
        }
    }
}

#[test]
fn sets_of_ipvs_tell_a_policy_that_the_service_no_longer_has() {
    let node = of_ipvs().change("Service", "edge/gw-lb", |service| {
        service["spec"]["externalTrafficPolicy"] = json!("Cluster");
    });
    let policies = |node: &Node| {
        let all = found(node).into_iter().filter(|f| f.contains("traffic-policy"));
        all.collect::<Vec<_>>()
    };
    let drifted = policies(&node);
    assert!(drifted.iter().any(|f| f.starts_with("policy-mismatch warning edge/gw-lb:https :")), "{drifted:?}");
    let local = of_ipvs().change("Service", "edge/gw-ext", |service| {
        service["spec"]["externalTrafficPolicy"] = json!("Local");
    });
    let drifted = policies(&local);
    assert_eq!(drifted.iter().filter(|f| f.contains("edge/gw-ext 192.0.2.1")).count(), 2, "{drifted:?}");
    // A listing that ends in the set, or before it, may have lost the address.
    let end = local.dumps[1].find("create KUBE-EXTERNAL-IP-LOCAL ").expect("the set");
    for end in [end, end + local.dumps[1][end..].find('\n').expect("a line") + 1] {
        let mut cut = local.clone();
        cut.dumps[1].truncate(end);
        assert!(!policies(&cut).iter().any(|f| f.contains("192.0.2.1")), "{:?}", policies(&cut));
    }
}

#[test]
fn of_two_services_with_one_address_a_node_serves_one() {
    let mut node = of_ipvs();
    let mut service = rival(&mut node, "shop/cart", "zz");
    service["spec"]["clusterIP"] = json!("10.96.99.99");
    service["spec"]["clusterIPs"] = json!(["10.96.99.99"]);
    let mut slice = node.object("EndpointSlice", "shop/cart").clone();
    slice["metadata"]["name"] = json!("zz-1");
    slice["metadata"]["labels"]["kubernetes.io/service-name"] = json!("zz");
    slice["ports"] = json!([{"port": 8080, "protocol": "TCP", "name": ""}]);
    let address = slice["endpoints"][0]["addresses"][0].as_str().expect("an address").to_owned();
    slice["endpoints"] = json!([slice["endpoints"][0]]);
    let own = format!("-A -t 10.96.99.99:8443 -s rr\n-a -t 10.96.99.99:8443 -r {address}:8080 -m -w 1\n");
    node.dumps[0].push_str(&own);
    let node = node.with_object(service).with_object(slice);
    let shadowed: Vec<String> = found(&node).into_iter().filter(|f| f.contains("192.0.2.10")).collect();
    assert_eq!(shadowed, ["shadowed-frontend error shop/zz 192.0.2.10:8443"]);
    // Where neither has it, it is missing, and nobody's.
    let neither = node.clone().without(|line| line.contains("192.0.2.10:8443"));
    let missing: Vec<String> = found(&neither).into_iter().filter(|f| f.contains("192.0.2.10")).collect();
    assert_eq!(
        missing,
        ["missing-frontend error edge/gw-ext 192.0.2.10:8443", "missing-frontend error shop/zz 192.0.2.10:8443"]
    );
    let words = "connections to external IP 192.0.2.10:8443 are not its own: edge/gw-ext has the same address and port, and a node \
                 serves one of them";
    assert_eq!(message(&node, "shadowed-frontend"), words);
}

#[test]
fn pods_may_be_told_by_their_interface() {
    // As --detect-local-mode=InterfaceNamePrefix and BridgeInterface have it.
    for interface in ["eni+", "azv+", "br0", "cali+"] {
        let by_interface = |line: &str| {
            let line = line.replace(" ! -s 10.244.0.0/16", &format!(" ! -i {interface}"));
            Some(line.replace(" -s 10.244.0.0/16", &format!(" -i {interface}")))
        };
        for node in [clean("node1"), clean("node2"), without_local_endpoints("node2")] {
            assert_eq!(found(&node.lines(by_interface)), Vec::<String>::new(), "{interface}");
        }
    }
}

#[test]
fn nobody_need_be_told_apart() {
    // No cluster CIDR: no rule asks where a client is, but for the node itself.
    let untold = |line: &str| !line.contains("10.244.0.0/16");
    for node in [clean("node1"), without_local_endpoints("node2")] {
        assert_eq!(found(&node.without(untold_not(untold))), Vec::<String>::new());
    }
    // --masquerade-all
    let all = |line: &str| Some(line.replace(" ! -s 10.244.0.0/16", ""));
    assert_eq!(found(&clean("node2").lines(all)), Vec::<String>::new());
}

fn untold_not(keep: impl Fn(&str) -> bool) -> impl Fn(&str) -> bool {
    move |line| !keep(line)
}

#[test]
fn pods_and_the_node_keep_their_way_to_every_endpoint() {
    let of_pods = |line: &str| {
        line.starts_with("-A KUBE-EXT-PQWBAX2FD7GV5BFO ") && !line.ends_with("-j KUBE-SVL-PQWBAX2FD7GV5BFO")
    };
    let found = found(&clean("node2").without(of_pods));
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().all(|f| f.starts_with("policy-mismatch warning edge/gw-lb:https ")), "{found:#?}");
    // A node port under Local policy must be there though this node has no endpoint for it.
    let node_port = |line: &str| line.starts_with("-A KUBE-NODEPORTS ") && line.contains("--dport 32485 ");
    let dropped = |line: &str| line.starts_with("-A KUBE-EXTERNAL-SERVICES ") && line.contains("--dport 32485 ");
    let node = without_local_endpoints("node2").without(|line| node_port(line) || dropped(line));
    assert_eq!(told(&node.check()), ["missing-frontend error edge/gw-lb:https :32485"]);
}

#[test]
fn clients_that_come_back_find_a_stale_endpoint_too() {
    let node = clean("node1");
    let chain = "KUBE-SVC-UHFQR5XQOQLE5W5X";
    let balancing = |line: &&str| line.starts_with(&format!("-A {chain} ")) && line.contains("--mode random");
    let first = node.dumps[0].lines().find(balancing).expect("a rule").to_owned();
    let address = first.split("-> ").nth(1).and_then(|rest| rest.split('"').next()).expect("an address").to_owned();
    let ip = address.split(':').next().expect("an address").to_owned();
    let node = node.without(|line| line == first).change("EndpointSlice", "shop/web-sticky", |slice| {
        slice["endpoints"]
            .as_array_mut()
            .expect("endpoints")
            .retain(|endpoint| endpoint["addresses"][0] != ip.as_str());
    });
    let findings = node.check();
    assert_eq!(told(&findings), [format!("stale-endpoint error shop/web-sticky {address} ip-reused")]);
    assert_eq!(findings[0]["share"], Value::Null);
    let words = findings[0]["message"].as_str().expect("a message");
    assert!(
        words.starts_with(&format!("clients that come back (session affinity) go to {address}, which is stale")),
        "{words}"
    );
    // Nobody is remembered: nobody comes back.
    let unset = clean("node1").lines(|line| {
        let (before, rest) = line.split_once(" -m recent --set ").unwrap_or((line, ""));
        Some(format!("{before}{}", rest.split_once("--rsource").map_or("", |(_, after)| after)))
    });
    let found = found(&unset);
    assert_eq!(found, ["policy-mismatch warning shop/web-sticky KUBE-SVC-UHFQR5XQOQLE5W5X session-affinity"]);
}

#[test]
fn a_terminating_endpoint_is_stale_where_others_are_ready_and_used_where_none_is() {
    let ending = |only_one: bool| {
        let mut seen = 0;
        clean("node1").change("EndpointSlice", "nginx-demo/nginx-service", |slice| {
            for endpoint in slice["endpoints"].as_array_mut().expect("endpoints") {
                seen += 1;
                if !only_one || seen == 1 {
                    endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
                }
            }
        })
    };
    let one = told(&ending(true).check());
    assert_eq!(one.len(), 1, "{one:#?}");
    assert!(one[0].starts_with("stale-endpoint warning nginx-demo/nginx-service ") && one[0].ends_with(" not-ready"));
    assert_eq!(told(&ending(false).check()), Vec::<String>::new());
}

#[test]
fn before_1_26_a_service_whose_endpoints_all_terminate_is_refused() {
    let ending = || {
        clean("node1").change("EndpointSlice", "shop/broken", |slice| {
            for endpoint in slice["endpoints"].as_array_mut().expect("endpoints") {
                endpoint["conditions"] = json!({"ready": false, "serving": true, "terminating": true});
            }
        })
    };
    let of_service = |node: &Node| -> Vec<String> {
        told(&node.check()).into_iter().filter(|finding| finding.contains(" shop/broken")).collect()
    };
    let found = of_service(&ending());
    assert!(found.len() == 2 && found[0].starts_with("missing-service error "), "{found:#?}");
    let older = |line: &str| line.contains("KUBE-PROXY-FIREWALL");
    assert_eq!(of_service(&ending().without(older)), [""; 0]);
    // Nor does a table tell the release that was flushed.
    let of_proxy = |line: &str| line.starts_with(":KUBE") || line.starts_with("-A KUBE") || line.contains("-j KUBE");
    let mut flushed = ending();
    let (filter, nat) = flushed.dumps[0].split_once("*nat").expect("a nat table");
    let filter: Vec<&str> = filter.lines().filter(|line| !of_proxy(line)).collect();
    flushed.dumps[0] = format!("{}\n*nat{nat}", filter.join("\n"));
    assert_eq!(of_service(&flushed).len(), 1);
    // Without the filter table nothing tells the release.
    let mut nat = ending();
    let dump = &mut nat.dumps[0];
    *dump = dump[dump.find("*nat").expect("a nat table")..].to_owned();
    assert_eq!(of_service(&nat).len(), 1);
}

#[test]
fn hints_that_changed_are_not_hints_that_are_ignored() {
    // All of a zone's endpoints are programmed, and the hints now name others for it.
    let moved = clean("node2").change("EndpointSlice", "edge/gw-zone", |slice| {
        for endpoint in slice["endpoints"].as_array_mut().expect("endpoints") {
            let zone = endpoint["hints"]["forZones"][0]["name"].as_str().expect("a hint").to_owned();
            let mine = slice_zone(&zone);
            endpoint["hints"]["forZones"][0]["name"] = json!(mine);
        }
    });
    let found = told(&moved.check());
    assert!(
        !found.is_empty() && found.iter().all(|f| f.starts_with("missing-endpoint warning edge/gw-zone ")),
        "{found:#?}"
    );
}

/// Another zone of the recorded cluster: each gives its endpoints to the next.
fn slice_zone(zone: &str) -> String {
    let (name, letter) = zone.split_at(zone.len() - 1);
    let next = match letter {
        "a" => "b",
        "b" => "c",
        _ => "a",
    };
    format!("{name}{next}")
}

#[test]
fn a_filter_table_that_was_flushed_with_its_chains_is_seen() {
    let node = clean("node1");
    let nat = node.dumps[0].find("*nat").expect("a nat table");
    let mut flushed = node.clone();
    let filter: String = node.dumps[0][..nat]
        .lines()
        .filter(|line| !line.starts_with("-A ") && !line.starts_with(":KUBE"))
        .fold(String::new(), |out, line| out + line + "\n");
    flushed.dumps[0] = filter + &node.dumps[0][nat..];
    let findings = flushed.alone();
    let missing = findings.iter().filter(|f| f["code"] == "missing-hook" && f["severity"] == "warning").count();
    assert_eq!((missing, findings.len()), (6, 6), "{:#?}", told(&findings));
    let cause = flushed.run("check").json()["summary"]["cause"].as_str().expect("a cause").to_owned();
    assert!(
        cause.starts_with("Hooks of kube-proxy in the filter table were flushed (FORWARD, INPUT, OUTPUT)"),
        "{cause}"
    );
}

#[test]
fn refusals_of_iptables_mode_are_leftovers_under_ipvs_mode() {
    let save = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
        -A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES\n\
        -A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment \"shop/web has no endpoints\" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable\n\
        COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
        :KUBE-SERVICES - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n\
        -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT\nCOMMIT\n";
    let node = Node { dumps: vec![save.to_owned()], ..clean("node1") };
    assert_eq!(told(&node.check()), ["leftover-mode warning KUBE-SERVICES"]);
    let skipped = node.run("check").json()["summary"]["skipped"].to_string();
    assert!(skipped.contains("KI403") && skipped.contains("kube-proxy runs in IPVS mode here"), "{skipped}");
}

#[test]
fn a_service_that_became_something_else_is_told_as_that() {
    let node = clean("node1").change("Service", "shop/web", |service| {
        service["spec"] = json!({"type": "ExternalName", "externalName": "web.example"});
    });
    assert_eq!(told(&node.check()), ["stale-service error shop/web external-name"]);
    assert!(message(&node, "stale-service").starts_with("it should have no rules: DNS name web.example ("));
    // What a Service is headless by is named.
    let object =
        |node: Node| node.check()[0]["evidence"].as_array().and_then(|all| all.last().cloned()).expect("evidence");
    let without = clean("node1").change("Service", "shop/web", |service| {
        service["spec"]["clusterIP"] = json!("None");
        service["spec"]["clusterIPs"] = json!(["None"]);
    });
    assert_eq!(object(without)["field"], "spec.clusterIP");
    let label = clean("node1").change("Service", "shop/web", |service| {
        service["metadata"]["labels"] = json!({"service.kubernetes.io/headless": ""});
    });
    assert_eq!(object(label)["field"], "metadata.labels[service.kubernetes.io/headless]");
}

#[test]
fn whose_connections_an_earlier_rule_takes_is_told() {
    let rule = "-m addrtype --dst-type LOCAL -p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n";
    let both = clean("node1")
        .before("-A PREROUTING ", &format!("-A PREROUTING {rule}"))
        .before("-A OUTPUT -m comment", &format!("-A OUTPUT {rule}"));
    assert!(message(&both, "shadowed-frontend").starts_with("connections to node port :31589 never get"));
    let own = clean("node1").before("-A OUTPUT -m comment", &format!("-A OUTPUT {rule}"));
    assert!(message(&own, "shadowed-frontend").starts_with("connections from this node to node port :31589 never get"));
    let others = clean("node1").before("-A PREROUTING ", &format!("-A PREROUTING {rule}"));
    assert!(
        message(&others, "shadowed-frontend")
            .starts_with("connections from pods and outside to node port :31589 never get")
    );
}

#[test]
fn a_rule_that_takes_a_part_of_the_connections_is_a_warning() {
    let there = "-p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n";
    let sends = "an earlier rule sends them to 10.244.1.99:80 (PREROUTING)";
    for (only, which) in [
        ("-d 10.200.0.12/32 ", "connections from pods and outside to node port :31589 at 10.200.0.12"),
        ("-i eth0 ", "connections to node port :31589 that come in by eth0"),
        // The node's own connections come in by none and do not pass PREROUTING.
        ("! -i wg0 ", "connections from pods and outside to node port :31589 that do not come in by wg0"),
        ("-s 192.0.2.0/24 ", "connections to node port :31589 from 192.0.2.0/24"),
        ("-s 10.244.0.0/16 -i eth0 ", "connections from pods to node port :31589 that come in by eth0"),
        ("! -s 10.244.0.0/16 ! -i eth0 ", "connections from outside to node port :31589 that do not come in by eth0"),
        (
            "-s 192.0.2.1/32 -d 10.200.0.12/32 -i eth0 ",
            "connections to node port :31589 at 10.200.0.12 from 192.0.2.1 that come in by eth0",
        ),
    ] {
        let node = clean("node1").before("-A PREROUTING ", &format!("-A PREROUTING {only}{there}"));
        assert_eq!(told(&node.check()), ["shadowed-frontend warning shop/web :31589"], "{only}");
        assert_eq!(message(&node, "shadowed-frontend"), format!("{which} never get to its rule: {sends}"));
    }
    // What a chain of its own asks for counts too.
    let chained = clean("node1")
        .before("-A PREROUTING ", &format!("-A PREROUTING -i eth0 -j FORWARDED\n-A FORWARDED {there}"))
        .before(":KUBE-SERVICES - ", ":FORWARDED - [0:0]\n");
    let begin = "connections to node port :31589 that come in by eth0 never get to its rule";
    assert!(message(&chained, "shadowed-frontend").starts_with(begin));
    // Of a Service's address it is known whether it is meant.
    let other = clean("node1").before("-A PREROUTING ", "-A PREROUTING -d 10.200.0.12/32 -j RETURN\n-A PREROUTING -d 192.0.2.9/32 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.244.1.99:80\n");
    assert_eq!(told(&other.check()), [""; 0]);
}

#[test]
fn rules_that_no_connection_of_the_frontend_meets_take_nothing() {
    let there = "-p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n";
    for (first, then) in [
        ("-d 192.0.2.7/32", "-d 192.0.2.8/32"),
        ("-s 192.0.2.0/25", "-s 192.0.2.128/25"),
        ("-i eth0", "-i eth1"),
        ("! -d 192.0.2.0/24", "-d 192.0.2.8/32"),
        // No node has the cluster IP of a Service.
        ("-i eth+", "-d 10.96.182.118/32"),
    ] {
        let rules = format!("-A PREROUTING {first} -j FORWARDED\n-A FORWARDED {then} {there}");
        let node = clean("node1").before("-A PREROUTING ", &rules).before(":KUBE-SERVICES - ", ":FORWARDED - [0:0]\n");
        assert_eq!(told(&node.check()), [""; 0], "{first} {then}");
    }
    for (first, then) in [("-d 192.0.2.0/24", "-d 192.0.2.8/32"), ("-i eth+", "-i eth1")] {
        let rules = format!("-A PREROUTING {first} -j FORWARDED\n-A FORWARDED {then} {there}");
        let node = clean("node1").before("-A PREROUTING ", &rules).before(":KUBE-SERVICES - ", ":FORWARDED - [0:0]\n");
        assert_eq!(told(&node.check()), ["shadowed-frontend warning shop/web :31589"], "{first} {then}");
    }
}

#[test]
fn behind_a_chain_that_leads_all_to_the_services_nothing_is_taken() {
    let behind = "-A PREROUTING -i eth0 -p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n";
    for (jump, expected) in [
        ("", [].as_slice()),
        // Only what comes in by another interface is led there.
        ("! -i eth0 ", &["shadowed-frontend warning shop/web :31589"]),
    ] {
        let around =
            format!("-A PREROUTING {jump}-j AROUND\n-A AROUND -p udp -j RETURN\n-A AROUND -j KUBE-SERVICES\n{behind}");
        let node = clean("node1").before("-A PREROUTING ", &around).before(":KUBE-SERVICES - ", ":AROUND - [0:0]\n");
        assert_eq!(told(&node.check()), expected, "{jump}");
    }
}

#[test]
fn chains_between_the_hook_and_the_services_take_nothing() {
    for (jump, only) in [("-j", ""), ("-g", ""), ("-g", "-m set --match-set friends src "), ("-g", "-i eth0 ")] {
        let around = format!("-A PREROUTING -p tcp {jump} AROUND\n-A AROUND -p tcp {only}-j KUBE-SERVICES\n");
        let node = clean("node1").before("-A PREROUTING ", &around).before(":KUBE-SERVICES - ", ":AROUND - [0:0]\n");
        assert_eq!(told(&node.check()), [""; 0], "{jump} {only}");
    }
    // What takes some before it does.
    let taken = "-A PREROUTING -p tcp -j AROUND\n-A AROUND -p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n\
                 -A AROUND -p tcp -j KUBE-SERVICES\n";
    let node = clean("node1").before("-A PREROUTING ", taken).before(":KUBE-SERVICES - ", ":AROUND - [0:0]\n");
    assert_eq!(told(&node.check()), ["shadowed-frontend error shop/web :31589"]);
}

#[test]
fn behind_a_goto_of_the_hook_nobody_comes_to_the_services() {
    let gone = |rule: &str| {
        let rule = format!("-A PREROUTING {rule} -g AWAY\n-A AWAY -p udp -j RETURN\n");
        clean("node1").before("-A PREROUTING ", &rule).before(":KUBE-SERVICES - ", ":AWAY - [0:0]\n")
    };
    let all = gone("-p tcp -m tcp --dport 31589");
    assert_eq!(told(&all.check()), ["shadowed-frontend error shop/web :31589"]);
    let words = "connections from pods and outside to node port :31589 never get to its rule: a rule of PREROUTING ends their way \
                 before it (-g AWAY)";
    assert_eq!(message(&all, "shadowed-frontend"), words);
    let every_port = told(&gone("-p tcp").check());
    assert!(every_port.contains(&"shadowed-frontend error shop/web 10.96.182.118:80".to_owned()), "{every_port:?}");
    assert!(every_port.iter().all(|one| one.starts_with("shadowed-frontend error ")), "{every_port:?}");
    // A part of them may be meant.
    let part = gone("-s 192.0.2.0/24 -p tcp -m tcp --dport 31589");
    assert_eq!(told(&part.check()), [""; 0]);
    let skipped = part.run("check").json()["summary"]["skipped"].to_string();
    assert!(skipped.contains("1 rule ahead of kube-proxy's, first line"), "{skipped}");
}

#[test]
fn where_connections_go_instead_is_told() {
    let moved = clean("node1")
        .change("Service", "shop/web", |service| service["spec"]["type"] = json!("ClusterIP"))
        .change("Service", "shop/web", |service| service["spec"]["ports"][0]["nodePort"] = Value::Null)
        .change("Service", "shop/web-sticky", |service| service["spec"]["type"] = json!("NodePort"))
        .change("Service", "shop/web-sticky", |service| service["spec"]["ports"][0]["nodePort"] = json!(31589));
    let instead = "node port :31589 is not captured: connections to it go to shop/web instead";
    assert_eq!(message(&moved, "missing-frontend"), instead);
    let alone = moved.run("check shop/web-sticky").json();
    let words = "node port :31589 is not captured: connections to it go on untranslated, if no rules of another Service take them";
    assert_eq!(alone["findings"][0]["message"], words);
    // A cluster IP is given out again.
    let mut given = clean("node1");
    let mut service = given.object("Service", "shop/web").clone();
    service["metadata"]["name"] = json!("again");
    service["spec"]["type"] = json!("ClusterIP");
    service["spec"]["ports"][0]["nodePort"] = Value::Null;
    let port = json!({"name": "", "port": 8080, "protocol": "TCP"});
    let idle = given.without_object("Service", "shop/web").with_object(service);
    let not_refused = "cluster IP 10.96.182.118:80 is not refused, though the Service has no usable endpoint";
    let instead = format!("{not_refused}: connections to it go to shop/web instead");
    assert_eq!(message(&idle, "missing-frontend"), instead);
    let alone = idle.run("check shop/again").json();
    let words = "clients wait instead of being told, if no rules of another Service take them";
    assert_eq!(alone["findings"][0]["message"], format!("{not_refused}: {words}"));
    let given = idle.with_object(slice("shop", "again", &port, "10.244.1.200", "node1"));
    let told = message(&given, "missing-service");
    assert!(told.ends_with("; those to 10.96.182.118:80 go to shop/web instead"), "{told}");
}

#[test]
fn what_leads_back_before_a_rule_takes_the_rest_is_left_out() {
    let there = "-p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:80\n";
    let chained = |leads_back: &str| {
        let rules = format!("-A PREROUTING -p tcp -j PX\n-A PX {leads_back}\n-A PX {there}");
        clean("node1").before("-A PREROUTING ", &rules).before(":KUBE-SERVICES - ", ":PX - [0:0]\n:BYE - [0:0]\n")
    };
    for (leads_back, which) in [
        ("-d 10.200.0.12/32 -j RETURN", "at another address than 10.200.0.12"),
        ("-d 10.200.0.12/32 -g BYE\n-A BYE -p udp -j RETURN", "at another address than 10.200.0.12"),
        ("-i eth0 -j RETURN", "that do not come in by eth0"),
        ("! -i eth0 -j RETURN", "that come in by eth0"),
    ] {
        let node = chained(leads_back);
        assert_eq!(told(&node.check()), ["shadowed-frontend warning shop/web :31589"], "{leads_back}");
        assert!(
            message(&node, "shadowed-frontend")
                .contains(&format!(" to node port :31589 {which} never get to its rule"))
        );
    }
    // Whom it leaves cannot be told, or it may be all of them.
    for leads_back in ["-s 192.0.2.0/24 -j RETURN", "-m set --match-set friends src -j RETURN"] {
        assert_eq!(told(&chained(leads_back).check()), [""; 0], "{leads_back}");
    }
    let proxied = "-A PREROUTING -p tcp -j PX\n-A PX -d 10.200.0.12/32 -j RETURN\n-A PX -d 10.96.0.0/16 -j RETURN\n\
        -A PX -p tcp -j REDIRECT --to-ports 12345\n";
    let node = clean("node1").before("-A PREROUTING ", proxied).before(":KUBE-SERVICES - ", ":PX - [0:0]\n");
    assert_eq!(told(&node.check()).iter().filter(|f| f.contains("shop/web ")).count(), 0);
    // What is asked for twice is told once.
    let twice = format!("-A PREROUTING -d 10.200.0.12/32 -j PX\n-A PX -d 10.200.0.12/32 {there}");
    let node = clean("node1").before("-A PREROUTING ", &twice).before(":KUBE-SERVICES - ", ":PX - [0:0]\n");
    assert!(message(&node, "shadowed-frontend").contains(":31589 at 10.200.0.12 never get"));
}

#[test]
fn rules_ahead_that_cannot_be_judged_are_counted() {
    let skipped = |rules: &str| {
        let node = clean("node1").before("-A PREROUTING ", rules);
        assert_eq!(told(&node.check()), [""; 0], "{rules}");
        let run = node.run("check").json();
        let all = run["summary"]["skipped"].as_array().expect("a list").clone();
        all.iter().find(|one| one["id"] == "KI302").map(|one| one["reason"].as_str().expect("a text").to_owned())
    };
    let told = |rules: &str| skipped(rules).expect(rules);
    let port = "-p tcp -m tcp --dport 31589";
    for rule in [
        format!("-m set --match-set friends src {port} -j DNAT --to-destination 10.244.1.99:80"),
        format!("-i eth0 {port} -j ACCEPT"),
        "-i cni7 -j ACCEPT".to_owned(),
        "-d 10.200.0.12/32 -p tcp -m tcp --dport 30000:32767 -j DNAT --to-destination 10.244.1.99".to_owned(),
        format!("{port} -m statistic --mode random --probability 0.5 -j DNAT --to-destination 10.244.1.99:80"),
    ] {
        let reason = told(&format!("-A PREROUTING {rule}\n"));
        assert!(reason.starts_with("1 rule ahead of kube-proxy's, first line "), "{rule}: {reason}");
    }
    let two = told(&format!("-A PREROUTING -i eth0 {port} -j ACCEPT\n-A PREROUTING -i eth1 {port} -j ACCEPT\n"));
    assert!(two.starts_with("2 rules ahead of kube-proxy's, first line "), "{two}");
    // Docker, a hostPort and a metadata proxy on a healthy node.
    let healthy = "-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER\n-A DOCKER -i docker0 -j RETURN\n\
        -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination 172.17.0.2:80\n\
        -A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m tcp --dport 443 -j DNAT --to-destination 10.244.1.9:443\n\
        -A PREROUTING -d 169.254.169.254/32 ! -i eth0 -p tcp -m tcp --dport 80 -j DNAT --to-destination 10.0.0.2:8181\n";
    assert_eq!(skipped(healthy), None);
}

#[test]
fn rules_of_the_other_backend_that_nothing_leads_to_are_a_warning() {
    let mut node = clean("node1");
    let unhooked =
        clean("node1").without(|line| line.starts_with("-A PREROUTING ") || line.starts_with("-A OUTPUT -m comment"));
    node.dumps.push(unhooked.dumps[0].replace(" (nf_tables)", ""));
    assert_eq!(told(&node.check()), ["mixed-backends warning"]);
    assert!(message(&node, "mixed-backends").ends_with("and no packet gets to those of legacy"));
}

#[test]
fn what_local_policy_drops_in_a_cut_dump_is_no_fault() {
    // No endpoint of this node: who comes from outside is dropped, as the filter table has it.
    let mut node = clean("node1").change("EndpointSlice", "edge/gw-lb", |slice| {
        for endpoint in slice["endpoints"].as_array_mut().expect("endpoints") {
            endpoint["nodeName"] = json!("node2");
        }
    });
    let drops = "-A KUBE-EXTERNAL-SERVICES -d 203.0.113.77/32 -p tcp -m comment --comment \"edge/gw-lb:https has no local endpoints\" -m tcp --dport 443 -j DROP\n";
    node = node.before("-A KUBE-FIREWALL ", drops);
    let cut = node.dumps[0].find(":KUBE-EXT-PQWBAX2FD7GV5BFO").expect("a chain of nat");
    node.dumps[0].truncate(cut);
    let found: Vec<Value> = node.check().into_iter().filter(|finding| finding["severity"] != "info").collect();
    assert_eq!(told(&found), [""; 0]);
}

#[test]
fn the_other_rules_for_node_ports_tell_whether_ipv6_has_none_on_purpose() {
    let six = fs::read_to_string(node("kitchen-sink/node1/save6.txt")).expect("the recording is there");
    let to_node_ports = |line: &&str| line.starts_with("-A KUBE-SERVICES") && line.ends_with("-j KUBE-NODEPORTS");
    let without = six.lines().filter(|line| !to_node_ports(line)).fold(String::new(), |out, line| out + line + "\n");
    let mut both = clean("node1");
    let open = "-A KUBE-NODEPORTS -p tcp -m tcp --dport 31999 -j KUBE-MARK-MASQ\n-A KUBE-POSTROUTING ";
    both.dumps.push(without.replacen("-A KUBE-POSTROUTING ", open, 1));
    let hooks = |node: &Node| {
        let found = node.check().into_iter().filter(|finding| finding["code"] == "missing-hook");
        told(&found.collect::<Vec<_>>())
    };
    assert_eq!(hooks(&both), ["missing-hook error KUBE-SERVICES"]);
    // Rules for single addresses: nodePortAddresses may name none of IPv6.
    let chosen = both.lines(|line| {
        let of_four = to_node_ports(&line);
        Some(if of_four {
            line.replace("-A KUBE-SERVICES ", "-A KUBE-SERVICES -d 10.200.0.11/32 ")
        } else {
            line.to_owned()
        })
    });
    assert_eq!(hooks(&chosen), ["missing-hook info KUBE-SERVICES"]);
}

#[test]
fn the_node_itself_is_masqueraded_under_local_policy() {
    let without = clean("node1").without(|line| line.contains("masquerade LOCAL traffic for edge/gw-lb:https"));
    assert_eq!(
        told(&without.check()),
        [
            "masquerade-mismatch warning edge/gw-lb:https 203.0.113.77:443 missing-rule",
            "masquerade-mismatch warning edge/gw-lb:https :32485 missing-rule",
        ]
    );
    let words =
        "connections from the node itself to load balancer 203.0.113.77:443 are not masqueraded: the rule is missing";
    assert_eq!(message(&without, "masquerade-mismatch"), words);
}

#[test]
fn an_external_ip_may_be_the_address_of_the_load_balancer() {
    let node = clean("node1").change("Service", "edge/gw-lb-ranges", |service| {
        service["spec"]["externalIPs"] = json!(["203.0.113.78"]);
    });
    assert_eq!(told(&node.check()), [""; 0]);
}

#[test]
fn rules_of_a_family_that_were_not_read_are_told_for_every_service_that_has_it() {
    let skipped = |node: &Node, args: &str| node.run(args).json()["summary"]["skipped"].to_string();
    // A Service of both families is compared in one of them.
    let dual = skipped(&clean("node1"), "check infra/dns");
    for id in ["KI101", "KI102", "KI104"] {
        assert!(dual.contains(&format!("\"id\":\"{id}\"")), "{dual}");
    }
    assert!(dual.contains("2 service ports of ipv6: no rules of that family were read"), "{dual}");
    assert_eq!(skipped(&clean("node1"), "check shop/web"), "[]");
    assert_eq!(skipped(&clean("node1"), "check infra/dns --family ipv4"), "[]");
}

#[test]
fn services_without_addresses_of_a_family_do_not_tell_that_it_was_read() {
    let six = fs::read_to_string(node("kitchen-sink/node1/save6.txt")).expect("the recording is there");
    let alone = Node { dumps: vec![six], ..clean("node1") };
    let skipped = alone.run("check").json()["summary"]["skipped"].to_string();
    assert!(skipped.contains("19 service ports of ipv4: no rules of that family were read"), "{skipped}");
}

#[test]
fn a_load_balancer_whose_rule_is_gone_is_missing_though_others_are_dropped() {
    let gone = clean("node1").without(|line| line.starts_with("-A KUBE-SERVICES -d 203.0.113.78/32 "));
    let found: Vec<Value> = gone.check().into_iter().filter(|finding| finding["severity"] != "info").collect();
    assert_eq!(
        told(&found),
        [
            "missing-frontend error edge/gw-lb-ranges:https 203.0.113.78:443",
            "stale-reject error edge/gw-lb-ranges:https 203.0.113.78:443",
        ]
    );
    assert!(message(&gone, "missing-frontend").ends_with(" is not captured: connections to it are dropped"));
}
