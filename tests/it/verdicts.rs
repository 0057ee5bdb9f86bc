//! Outages that were once not told, and alarms that were raised for nothing: source ranges under Local policy, pools of clients
//! that come back, tables that were flushed, conditions that a listing does not show.

use serde_json::{Value, json};

use crate::broken::{NO_LOCAL, Node, clean, found, of_nftables, told, without_local_endpoints};
use crate::run::{kube_ipt, node};

/// A load balancer under Local policy for some clients only.
fn with_ranges() -> Node {
    let firewall = r#"-A KUBE-PROXY-FIREWALL -d 203.0.113.77/32 -p tcp -m comment --comment "edge/gw-lb:https traffic not accepted by KUBE-FW-PQWBAX2FD7GV5BFO" -m tcp --dport 443 -j DROP
"#;
    let lets_in = r#"-A KUBE-FW-PQWBAX2FD7GV5BFO -s 198.51.100.0/24 -m comment --comment "edge/gw-lb:https loadbalancer IP" -j KUBE-EXT-PQWBAX2FD7GV5BFO
-A KUBE-FW-PQWBAX2FD7GV5BFO -m comment --comment "other traffic to edge/gw-lb:https will be dropped by KUBE-PROXY-FIREWALL"
"#;
    let by_firewall = |line: &str| {
        let line = line.to_owned();
        Some(if line.contains("-d 203.0.113.77/32 ") { line.replace("KUBE-EXT-", "KUBE-FW-") } else { line })
    };
    clean("node1")
        .lines(by_firewall)
        .before("-A KUBE-PROXY-FIREWALL ", firewall)
        .before(":KUBE-FW-", ":KUBE-FW-PQWBAX2FD7GV5BFO - [0:0]\n")
        .before("-A KUBE-FW-", lets_in)
        .change("Service", "edge/gw-lb", |service| {
            service["spec"]["loadBalancerSourceRanges"] = json!(["198.51.100.0/24"]);
        })
}

#[test]
fn a_local_pool_that_is_gone_behind_source_ranges_is_told() {
    assert_eq!(found(&with_ranges()), [""; 0]);
    let lost = with_ranges().without(|line| line.contains("KUBE-SVL-PQWBAX2FD7GV5BFO"));
    let refused = lost.clone().before("-A KUBE-EXTERNAL-SERVICES ", NO_LOCAL);
    assert_eq!(found(&refused), ["stale-reject error edge/gw-lb:https 203.0.113.77:443"]);
    let findings = refused.check();
    let message = findings[0]["message"].as_str().expect("a message");
    assert!(message.contains("drops connections to 203.0.113.77:443, :32485, though"), "{message}");
    // Those that no range lets in are dropped all the same.
    let shut_out = "missing-frontend error edge/gw-lb:https :32485 some-clients";
    assert_eq!(found(&lost), [shut_out, "stale-reject error edge/gw-lb:https 203.0.113.77:443"]);
}

#[test]
fn source_ranges_that_are_new_are_told_without_a_local_endpoint() {
    let node = without_local_endpoints("node1");
    assert_eq!(found(&node), [""; 0]);
    let ranges = |ranges: Value| {
        let set = |service: &mut Value| service["spec"]["loadBalancerSourceRanges"] = ranges;
        found(&node.clone().change("Service", "edge/gw-lb", set))
    };
    // Pods and the node itself get in without being of the range.
    assert_eq!(
        ranges(json!(["9.9.9.0/24"])),
        ["policy-mismatch warning edge/gw-lb:https 203.0.113.77:443 source-ranges"]
    );
    assert_eq!(ranges(json!(["0.0.0.0/0"])), [""; 0]);
}

/// A Service with two pools whose clients stay with their endpoints.
fn sticky() -> Node {
    let mut node = clean("node1").change("Service", "edge/gw-lb", |service| {
        service["spec"]["sessionAffinity"] = json!("ClientIP");
        service["spec"]["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": 600}});
    });
    let recent = |chain: &str, verb: &str| format!("-m recent {verb} --name {chain} --mask 255.255.255.255 --rsource");
    let mut lines: Vec<String> = Vec::new();
    for line in node.dumps[0].lines() {
        let chain = line.split(' ').nth(1).unwrap_or_default();
        let is_ours = line.contains("edge/gw-lb:https");
        if is_ours && line.contains(" -j DNAT ") {
            lines.push(line.replace(" -m tcp -j DNAT", &format!(" {} -m tcp -j DNAT", recent(chain, "--set"))));
        } else if is_ours && line.contains(" -> ") {
            // Clients that come back are asked for before new ones are sent anywhere.
            let behind = lines.iter().rposition(|line| line.contains("KUBE-MARK-MASQ") || line.contains("--rcheck"));
            let at = if chain.starts_with("KUBE-SVL-") {
                lines.iter().position(|l| l.contains(&format!("-A {chain} ")))
            } else {
                None
            };
            let target = line.rsplit(' ').next().expect("a target");
            let check = recent(target, "--rcheck --seconds 600 --reap");
            let says = line.split(" -m statistic").next().and_then(|l| l.split(" -j ").next()).expect("a comment");
            lines.insert(at.or(behind.map(|at| at + 1)).unwrap_or(lines.len()), format!("{says} {check} -j {target}"));
            lines.push(line.to_owned());
        } else {
            lines.push(line.to_owned());
        }
    }
    node.dumps[0] = lines.join("\n") + "\n";
    node
}

#[test]
fn an_endpoint_that_one_of_two_sticky_pools_leads_nobody_new_to_is_told() {
    assert_eq!(found(&sticky()), [""; 0]);
    let is_rule = |line: &str| {
        line.starts_with("-A KUBE-SVC-PQWBAX2FD7GV5BFO ")
            && line.contains("10.244.1.3:8080")
            && line.contains("statistic")
    };
    let node = sticky().without(is_rule);
    assert_eq!(found(&node), ["missing-endpoint warning edge/gw-lb:https 10.244.1.3:8080"]);
    assert_eq!(node.check()[0]["chain"], "KUBE-SVC-PQWBAX2FD7GV5BFO");
}

/// A node of today's kube-proxy whose Services are all for the cluster alone.
fn without_external_services() -> Node {
    let mut node = clean("node2").without(|line| {
        let chains = ["KUBE-EXT-", "KUBE-FW-", "KUBE-SVL-PQWBAX2FD7GV5BFO"];
        let refusing = ["-A KUBE-EXTERNAL-SERVICES ", "-A KUBE-PROXY-FIREWALL ", "-A KUBE-NODEPORTS "];
        chains.iter().any(|chain| line.contains(chain)) || refusing.iter().any(|start| line.starts_with(start))
    });
    for item in
        node.objects["items"].as_array_mut().expect("a list").iter_mut().filter(|item| item["kind"] == "Service")
    {
        if ["NodePort", "LoadBalancer"].iter().any(|kind| item["spec"]["type"] == *kind) {
            item["spec"]["type"] = json!("ClusterIP");
        }
        for field in ["externalIPs", "externalTrafficPolicy", "loadBalancerSourceRanges", "healthCheckNodePort"] {
            item["spec"].as_object_mut().expect("a spec").remove(field);
        }
        for port in item["spec"]["ports"].as_array_mut().into_iter().flatten() {
            port.as_object_mut().expect("a port").remove("nodePort");
        }
        item["status"] = json!({"loadBalancer": {}});
    }
    node
}

#[test]
fn the_first_external_service_of_a_node_is_missed_under_local_policy_too() {
    let node = without_external_services();
    assert_eq!(found(&node), [""; 0]);
    let node = node.change("Service", "shop/manual", |service| {
        service["spec"]["type"] = json!("NodePort");
        service["spec"]["externalTrafficPolicy"] = json!("Local");
        service["spec"]["ports"][0]["nodePort"] = json!(31777);
    });
    let missing = ["missing-frontend error shop/manual:pg :31777"];
    assert_eq!(found(&node), missing);
    // Either table tells that kube-proxy is not an old one, which would have left it out.
    let without_comments = node.clone().lines(|line| Some(line.replace(" -> ", " to ")));
    assert_eq!(found(&without_comments), missing);
    assert_eq!(found(&without_comments.without(|line| line.contains("KUBE-PROXY-FIREWALL"))), [""; 0]);
}

/// The nat table behind `iptables -t nat -F`.
fn flushed() -> Node {
    let mut node = clean("node1");
    let (filter, nat) = node.dumps[0].split_once("*nat\n").expect("a nat table");
    let nat: String =
        nat.lines().filter(|line| !line.starts_with("-A ")).fold(String::new(), |all, line| all + line + "\n");
    node.dumps[0] = format!("{filter}*nat\n{nat}");
    node
}

#[test]
fn a_nat_table_that_was_flushed_is_told_as_that() {
    let mut hooks = told(&flushed().alone());
    hooks.retain(|found| found.starts_with("missing-hook"));
    let wanted = ["OUTPUT", "POSTROUTING", "PREROUTING"].map(|chain| format!("missing-hook error {chain}"));
    assert_eq!(hooks, wanted);
    let cause = "The nat table was flushed on node1: the chains of kube-proxy are there, and have no rules.";
    assert_eq!(flushed().run("check").json()["summary"]["cause"], cause);
    // Chains of Services with rules are no flush, nor is a kube-proxy of which nothing is left.
    let edited = flushed().append("-A KUBE-SVC-PQWBAX2FD7GV5BFO -j KUBE-SEP-5Y23BU5WXENTEQGV\n");
    assert_ne!(edited.run("check").json()["summary"]["cause"], cause);
    let gone = flushed().without(|line| line.starts_with(":KUBE-"));
    assert_ne!(gone.run("check").json()["summary"]["cause"], cause);
}

#[test]
fn a_hook_behind_a_rule_that_takes_everything_was_not_flushed() {
    let first = "-A PREROUTING -j ACCEPT\n";
    let node = clean("node1").before("-A PREROUTING ", first);
    assert_eq!(found(&node), ["missing-hook error PREROUTING behind"]);
    let checked = node.run("check").json();
    let words = "PREROUTING of the nat table takes everything before its rule that leads to KUBE-SERVICES: no Service can be \
                 reached from pods or from outside";
    assert_eq!(checked["findings"][0]["message"], words);
    assert_eq!(checked["findings"][0]["evidence"][0]["text"], first.trim_end());
    let cause =
        "Hooks of kube-proxy stand behind a rule that takes everything (PREROUTING): another program put it there.";
    assert_eq!(checked["summary"]["cause"], cause);
    let gone = node.without(|line| line.starts_with("-A PREROUTING ") && line.ends_with("KUBE-SERVICES"));
    assert_eq!(found(&gone), ["missing-hook error PREROUTING"]);
}

/// Without `-v` a listing does not show interfaces, so that a rule for pods is one for everybody.
#[test]
fn a_rule_for_pods_that_nothing_follows_is_no_missing_rule() {
    let text = r"Chain PREROUTING (policy ACCEPT)
target     prot opt source               destination
KUBE-SERVICES  0    --  0.0.0.0/0            0.0.0.0/0            /* kubernetes service portals */

Chain OUTPUT (policy ACCEPT)
target     prot opt source               destination
KUBE-SERVICES  0    --  0.0.0.0/0            0.0.0.0/0            /* kubernetes service portals */

Chain POSTROUTING (policy ACCEPT)
target     prot opt source               destination
KUBE-POSTROUTING  0    --  0.0.0.0/0            0.0.0.0/0            /* kubernetes postrouting rules */

Chain KUBE-EXT-X (1 references)
target     prot opt source               destination
POD        0    --  0.0.0.0/0            0.0.0.0/0            /* pod traffic for a/b:c external destinations */
KUBE-MARK-MASQ  0    --  0.0.0.0/0            0.0.0.0/0            /* masquerade LOCAL traffic for a/b:c external destinations */ ADDRTYPE match src-type LOCAL
KUBE-SVC-X  0    --  0.0.0.0/0            0.0.0.0/0            /* route LOCAL traffic for a/b:c external destinations */ ADDRTYPE match src-type LOCAL

Chain KUBE-MARK-MASQ (3 references)
target     prot opt source               destination
MARK       0    --  0.0.0.0/0            0.0.0.0/0            MARK or 0x4000

Chain KUBE-NODEPORTS (1 references)
target     prot opt source               destination
KUBE-EXT-X  6    --  0.0.0.0/0            0.0.0.0/0            /* a/b:c */ tcp dpt:30080

Chain KUBE-POSTROUTING (1 references)
target     prot opt source               destination
RETURN     0    --  0.0.0.0/0            0.0.0.0/0            mark match ! 0x4000/0x4000
MARK       0    --  0.0.0.0/0            0.0.0.0/0            MARK xor 0x4000
MASQUERADE  0    --  0.0.0.0/0            0.0.0.0/0            /* kubernetes service traffic requiring SNAT */ random-fully

Chain KUBE-SEP-X (1 references)
target     prot opt source               destination
KUBE-MARK-MASQ  0    --  10.244.1.2           0.0.0.0/0            /* a/b:c */
DNAT       6    --  0.0.0.0/0            0.0.0.0/0            /* a/b:c */ tcp to:10.244.1.2:8080

Chain KUBE-SERVICES (2 references)
target     prot opt source               destination
KUBE-SVC-X  6    --  0.0.0.0/0            10.96.0.10           /* a/b:c cluster IP */ tcp dpt:80
KUBE-NODEPORTS  0    --  0.0.0.0/0            0.0.0.0/0            /* kubernetes service nodeports; NOTE: this must be the last rule in this chain */ ADDRTYPE match dst-type LOCAL

Chain KUBE-SVC-X (2 references)
target     prot opt source               destination
KUBE-MARK-MASQ  6    --  0.0.0.0/0            10.96.0.10           /* a/b:c cluster IP */ tcp dpt:80
KUBE-SEP-X  0    --  0.0.0.0/0            0.0.0.0/0            /* a/b:c -> 10.244.1.2:8080 */
";
    let masquerade = |rule: &str| {
        let run = kube_ipt("check --no-api --fail-on never -o json").stdin(text.replace("POD       ", rule));
        let answer: Value = serde_json::from_str(&run.stdout()).expect("JSON");
        let mut found = told(answer["findings"].as_array().expect("a list"));
        found.retain(|found| found.starts_with("masquerade-mismatch"));
        found
    };
    assert_eq!(masquerade("KUBE-SVC-X"), [""; 0]);
}

/// `iptables -L` without `-n` writes ports by the names that its machine knows.
#[test]
fn a_refusal_that_nobody_can_read_may_be_the_one_that_is_missed() {
    let refusal = |line: &str| line.contains("shop/nobody has no endpoints");
    let gone = clean("node1").without(refusal);
    assert_eq!(found(&gone), ["missing-frontend warning shop/nobody 10.96.208.119:80 not-refused"]);
    let unknown =
        |line: &str| Some(if refusal(line) { line.replace("--dport 80 ", "--dport nosuch ") } else { line.to_owned() });
    assert_eq!(found(&clean("node1").lines(unknown)), [""; 0]);
}

#[test]
fn a_map_of_services_that_nothing_asks_is_told_as_that() {
    let ips = "no Service can be reached by its cluster IP, an external IP or a load balancer";
    let hook = |family: &str, map: &str, lost: &str| {
        format!("{family}services of the nat table does not lead to {map}: {lost}")
    };
    let (of_four, of_six) = (hook("", "service-ips", ips), hook("ipv6: ", "service-ips", ips));
    let of_ports = hook("", "service-nodeports", "no node port can be reached");
    for (gone, wanted) in [
        (&["vmap @service-ips"][..], vec![&of_four, &of_six]),
        (&["vmap @service-nodeports"], vec![&of_ports]),
        (&["vmap @service-ips", "vmap @service-nodeports"], vec![&of_four, &of_ports, &of_six]),
    ] {
        let node = of_nftables().without(|line| gone.iter().any(|gone| line.contains(gone)));
        let checked = node.run("check").json();
        let findings = checked["findings"].as_array().expect("a list");
        let hooks: Vec<String> = findings
            .iter()
            .filter(|finding| finding["code"] == "missing-hook")
            .map(|finding| {
                let family = if finding["family"] == "ipv6" { "ipv6: " } else { "" };
                format!("{family}{}", finding["message"].as_str().expect("a message"))
            })
            .collect();
        assert_eq!(hooks.iter().collect::<Vec<_>>(), wanted);
        // The map has its elements, and what is refused is refused for no rule of its own.
        let is_untrue = |finding: &&Value| finding["code"] == "empty-chain" || finding["code"] == "stale-reject";
        assert_eq!(findings.iter().find(is_untrue), None);
        let cause = "The chain services was edited: it does not ask all maps that lead to Services.";
        assert_eq!(checked["summary"]["cause"], cause);
    }
}

#[test]
fn endpoints_without_chains_have_no_names_of_others() {
    let renamed = |line: &str| Some(line.replace("service-HB5CNYLO-nginx", "service-AAAAAAAA-nginx"));
    let names: Vec<String> = told(&of_nftables().lines(renamed).check());
    let names: Vec<String> = names.into_iter().filter(|found| found.starts_with("name-mismatch")).collect();
    assert_eq!(names.len(), 1, "{names:?}");
    assert!(names[0].starts_with("name-mismatch warning nginx-demo/nginx-service service-AAAAAAAA"), "{names:?}");
}

#[test]
fn rules_of_a_family_that_nothing_tells_are_taken_for_one_aloud() {
    let dump = "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-N KUBE-SERVICES\n-N KUBE-NODEPORTS\n\
        -A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\n";
    let note = "no address tells of which family the rules are: they were taken for those of ipv4 (--family ipv6 says otherwise)";
    let says = |args: &str, dump: &str| kube_ipt(args).stdin(dump).output().1.contains(note);
    assert!(says("check --no-api", dump));
    assert!(!says("check --no-api --family ipv6", dump) && !says("check --no-api --family ipv4", dump));
    let headed = format!("# Generated by ip6tables-save v1.8.9 on Mon Nov 30 03:10:53 2026\n*nat\n{dump}COMMIT\n");
    assert!(!says("check --no-api", &headed));
    assert!(!says("check --no-api", &format!("{dump}-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-X\n")));
}

#[test]
fn a_number_alone_is_meant_as_a_port() {
    let dump = node("kitchen-sink/node1/save.txt");
    let (_, stderr, status) = kube_ipt("show 31589 --no-api -f").arg(&dump).output();
    assert_eq!((stderr.as_str(), status), ("error: nothing is called '31589'; did you mean :31589?\n", Some(1)));
    assert!(kube_ipt("show :31589 --no-api -f").arg(dump).stdout().contains("node port :31589"));
}
