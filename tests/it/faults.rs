//! Faults made with the real iptables in a network namespace, the way an operator or another program makes them: each is
//! found, by both variants, and nothing else is.
//!
//! Needs what the other tests in namespaces need. A jump into nothing (KI303) and a rule iptables cannot print (KI902) are
//! in no kernel and so not here.

use std::fmt::Write as _;
use std::fs;

use serde_json::Value;

use crate::broken::{slice, told};
use crate::netns::{document, in_namespace, loadable, possible, room, text};
use crate::run::nodes;

/// What is done to the node, and what must be found then: `code severity service place reason` of each finding.
struct Fault {
    name: &'static str,
    /// Commands; `IPT` is the iptables of the variant.
    broken_by: &'static str,
    found: &'static [&'static str],
}

const NGINX: &str = "KUBE-SVC-I3HUB6ZVVCWJQDJP";

const FAULTS: &[Fault] = &[
    Fault { name: "nothing", broken_by: "true", found: &[] },
    Fault {
        name: "the last rule of a service chain is deleted",
        broken_by: "IPT -t nat -D NGINX 4",
        found: &["leaky-chain error nginx-demo/nginx-service NGINX"],
    },
    Fault {
        name: "a probability is changed",
        broken_by: "IPT -t nat -R NGINX 2 -m statistic --mode random --probability 0.9 -j $(IPT -t nat -S NGINX 2 | sed 's/.*-j //')",
        found: &["skewed-balance warning nginx-demo/nginx-service NGINX"],
    },
    Fault {
        name: "a service chain is flushed",
        broken_by: "IPT -t nat -F NGINX",
        found: &["empty-chain error nginx-demo/nginx-service NGINX"],
    },
    Fault {
        name: "the chain of an endpoint is flushed",
        broken_by: "IPT -t nat -F KUBE-SEP-KNMZKMY4XQGS5RJY",
        found: &["empty-chain error nginx-demo/nginx-service KUBE-SEP-KNMZKMY4XQGS5RJY"],
    },
    Fault {
        name: "a chain for external traffic is flushed",
        broken_by: "IPT -t nat -F KUBE-EXT-5GP4FHO2QBMRC4HJ",
        found: &["empty-chain error edge/gw-ext KUBE-EXT-5GP4FHO2QBMRC4HJ"],
    },
    Fault {
        name: "KUBE-SERVICES is flushed",
        broken_by: "IPT -t nat -F KUBE-SERVICES",
        found: &["empty-chain error KUBE-SERVICES"],
    },
    Fault {
        name: "an endpoint is added a second time",
        broken_by: "IPT -t nat -A NGINX -j KUBE-SEP-KNMZKMY4XQGS5RJY",
        found: &["duplicate-rule warning nginx-demo/nginx-service NGINX"],
    },
    Fault {
        name: "a frontend is added a second time",
        broken_by: "IPT -t nat -A KUBE-SERVICES -d 10.96.78.10/32 -p tcp -m tcp --dport 80 -j NGINX",
        found: &["duplicate-rule warning nginx-demo/nginx-service 10.96.78.10:80"],
    },
    Fault {
        name: "PREROUTING is flushed",
        broken_by: "IPT -t nat -F PREROUTING",
        found: &["missing-hook error PREROUTING"],
    },
    Fault {
        name: "built-in chains are flushed, as a firewall reload does it",
        broken_by: "for c in PREROUTING INPUT OUTPUT POSTROUTING; do IPT -t nat -F $c; done",
        found: &["missing-hook error OUTPUT", "missing-hook error POSTROUTING", "missing-hook error PREROUTING"],
    },
    Fault {
        name: "the filter table's hooks are flushed",
        broken_by: "IPT -F FORWARD",
        found: &[
            "missing-hook warning FORWARD",
            "missing-hook warning FORWARD",
            "missing-hook warning FORWARD",
            "missing-hook warning FORWARD",
        ],
    },
    Fault {
        name: "everything is let through before kube-proxy's rules",
        broken_by: "IPT -t nat -I OUTPUT -j ACCEPT",
        found: &["missing-hook error OUTPUT behind"],
    },
    Fault {
        name: "the jump to the node ports is deleted",
        broken_by: "IPT -t nat -D KUBE-SERVICES -m comment --comment 'kubernetes service nodeports; NOTE: this must be the last rule in this chain' -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS",
        found: &["missing-hook error KUBE-SERVICES"],
    },
    Fault {
        name: "a hostPort takes a node port",
        broken_by: "IPT -t nat -N CNI-HOSTPORT-DNAT; IPT -t nat -N CNI-DN-x
             IPT -t nat -A CNI-DN-x -p tcp -m tcp --dport 31589 -j DNAT --to-destination 10.244.1.99:8080
             IPT -t nat -A CNI-HOSTPORT-DNAT -p tcp -m multiport --dports 31589 -j CNI-DN-x
             IPT -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j CNI-HOSTPORT-DNAT",
        found: &["shadowed-frontend error shop/web :31589"],
    },
    Fault {
        name: "Docker publishes a node port",
        broken_by: "IPT -t nat -N DOCKER
             IPT -t nat -A DOCKER ! -i docker0 -p tcp -m tcp --dport 31589 -j DNAT --to-destination 172.17.0.2:80
             IPT -t nat -I PREROUTING -m addrtype --dst-type LOCAL -j DOCKER",
        found: &["shadowed-frontend error shop/web :31589"],
    },
    Fault {
        name: "an old rule has the cluster IP of another Service",
        broken_by: "IPT -t nat -I KUBE-SERVICES -d 10.96.182.118/32 -p tcp -m tcp --dport 80 -j NGINX",
        found: &["shadowed-frontend error shop/web 10.96.182.118:80"],
    },
    Fault {
        name: "a rule by hand lets the cluster IPs pass",
        broken_by: "IPT -t nat -I KUBE-SERVICES -d 10.96.78.0/24 -j RETURN",
        found: &[
            "shadowed-frontend error nginx-demo/nginx-service 10.96.78.10:80",
            "shadowed-frontend error shop/web-sticky 10.96.78.210:80",
        ],
    },
    Fault {
        name: "the mark is changed on one side",
        broken_by: "IPT -t nat -R KUBE-MARK-MASQ 1 -j MARK --set-xmark 0x8000/0x8000",
        found: &["masquerade-mismatch error KUBE-POSTROUTING mark"],
    },
    Fault {
        name: "KUBE-POSTROUTING is flushed",
        broken_by: "IPT -t nat -F KUBE-POSTROUTING",
        found: &["masquerade-mismatch error KUBE-POSTROUTING mark"],
    },
    Fault {
        name: "a Service loses its masquerade rule",
        broken_by: "IPT -t nat -D NGINX 1",
        found: &["masquerade-mismatch warning nginx-demo/nginx-service 10.96.78.10:80 missing-rule"],
    },
    Fault {
        name: "an endpoint loses its hairpin rule",
        broken_by: "IPT -t nat -D KUBE-SEP-KNMZKMY4XQGS5RJY 1",
        found: &["masquerade-mismatch warning nginx-demo/nginx-service ADDRESS missing-rule"],
    },
    Fault {
        name: "a chain is left behind",
        broken_by: "IPT -t nat -N KUBE-SVC-AAAAAAAAAAAAAAAA",
        found: &["orphan-chain info KUBE-SVC-AAAAAAAAAAAAAAAA"],
    },
    Fault {
        name: "a chain is renamed",
        broken_by: "IPT -t nat -E NGINX KUBE-SVC-AAAAAAAAAAAAAAAA",
        found: &["name-mismatch warning nginx-demo/nginx-service KUBE-SVC-AAAAAAAAAAAAAAAA"],
    },
    Fault {
        name: "IPVS mode ran before",
        broken_by: "IPT -t nat -N KUBE-LOAD-BALANCER; IPT -t nat -A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ",
        found: &["leftover-mode warning KUBE-LOAD-BALANCER"],
    },
    Fault {
        name: "the affinity of one endpoint is lost",
        broken_by: "IPT -t nat -D KUBE-SVC-UHFQR5XQOQLE5W5X 2",
        found: &["policy-mismatch warning shop/web-sticky KUBE-SVC-UHFQR5XQOQLE5W5X session-affinity"],
    },
];

#[test]
fn every_fault_of_the_rules_is_found_and_nothing_else() {
    if !possible() {
        return;
    }
    let save = loadable("kitchen-sink/node1/save.txt");
    let address = save
        .lines()
        .find(|line| line.starts_with("-A KUBE-SEP-KNMZKMY4XQGS5RJY -p"))
        .and_then(|line| line.rsplit(' ').next())
        .expect("the endpoint of the chain");
    for variant in ["nft", "legacy"] {
        let room = room(&[("rules", &save)]);
        let ipt = format!("iptables-{variant}");
        let mut script = String::new();
        for (n, fault) in FAULTS.iter().enumerate() {
            let commands = fault.broken_by.replace("IPT", &ipt).replace("NGINX", NGINX);
            // Each fault is made on a node of which nothing is wrong. Orphans are what deleting a rule leaves.
            let _ = write!(
                script,
                "{ipt}-restore <$ROOM/rules\n{commands}\n$KUBE_IPT check --no-api --family ipv4 -o json >$ROOM/{n} 2>$ROOM/notes || [ $? = 1 ]\n"
            );
        }
        let output = in_namespace(room.path(), &script);
        assert!(output.status.success(), "{variant}: {}", text(&output.stderr));
        for (n, fault) in FAULTS.iter().enumerate() {
            let document = document(&room, &n.to_string());
            let all = document["findings"].as_array().expect("findings");
            let expects_orphan = fault.found.iter().any(|found| found.starts_with("orphan"));
            let wanted = |finding: &&Value| expects_orphan || finding["code"] != "orphan-chain";
            let found: Vec<Value> = all.iter().filter(wanted).cloned().collect();
            let expected: Vec<String> =
                fault.found.iter().map(|f| f.replace("NGINX", NGINX).replace("ADDRESS", address)).collect();
            let mut found = told(&found);
            found.sort();
            assert_eq!(found, expected, "{variant}: {}", fault.name);
        }
    }
}

#[test]
fn rules_that_are_behind_the_objects_are_found_live() {
    if !possible() {
        return;
    }
    let objects = fs::read_to_string(nodes().join("kitchen-sink/cluster.json")).expect("is there");
    let mut more: Value = serde_json::from_str(&objects).expect("JSON");
    let nobody = slice("shop", "nobody", &serde_json::json!({"port": 8080}), "10.244.9.9", "node2");
    more["items"].as_array_mut().expect("a list").push(nobody);
    for variant in ["nft", "legacy"] {
        let room = room(&[
            ("rules", &loadable("kitchen-sink/node1/save.txt")),
            ("objects.json", &objects),
            ("more.json", &more.to_string()),
        ]);
        let ipt = format!("iptables-{variant}");
        let script = format!(
            "check() {{ NODE_NAME=node1 $KUBE_IPT check --family ipv4 -o json --objects $ROOM/$1.json >$ROOM/$2 2>$ROOM/notes || [ $? = 1 ]; }}
             fresh() {{ {ipt}-restore <$ROOM/rules; }}
             fresh; check objects clean
             fresh; {ipt} -t nat -R KUBE-SEP-KNMZKMY4XQGS5RJY 2 -p tcp -j DNAT --to-destination 10.244.77.7:80; check objects stale
             fresh; {ipt} -t nat -D KUBE-SERVICES -d 192.0.2.10/32 -p tcp -m comment --comment 'edge/gw-ext external IP' -m tcp --dport 8443 -j KUBE-EXT-5GP4FHO2QBMRC4HJ; check objects frontend
             fresh; check more reject"
        );
        let output = in_namespace(room.path(), &script);
        assert!(output.status.success(), "{variant}: {}", text(&output.stderr));
        let found =
            |name: &str| -> Vec<String> { told(document(&room, name)["findings"].as_array().expect("findings")) };
        assert_eq!(found("clean"), Vec::<String>::new(), "{variant}");
        assert_eq!(
            found("stale"),
            [
                "stale-endpoint error nginx-demo/nginx-service 10.244.77.7:80 deleted",
                "missing-endpoint warning nginx-demo/nginx-service 10.244.1.2:80",
                "name-mismatch warning nginx-demo/nginx-service 10.244.77.7:80",
            ],
            "{variant}"
        );
        assert_eq!(found("frontend"), ["missing-frontend error edge/gw-ext 192.0.2.10:8443"], "{variant}");
        assert_eq!(
            found("reject"),
            ["missing-service error shop/nobody", "stale-reject error shop/nobody 10.96.208.119:80"],
            "{variant}"
        );
    }
}

#[test]
fn rules_in_both_backends_are_an_error() {
    if !possible() {
        return;
    }
    let room = room(&[("rules", &loadable("kitchen-sink/node1/save.txt"))]);
    let script = "iptables-nft-restore <$ROOM/rules; iptables-legacy-restore <$ROOM/rules
                  $KUBE_IPT check --no-api --family ipv4 -o json 2>$ROOM/notes";
    let output = in_namespace(room.path(), script);
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    let document: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    assert_eq!(told(document["findings"].as_array().expect("findings")), ["mixed-backends error"]);
    let from: Vec<&str> = document["findings"][0]["evidence"]
        .as_array()
        .expect("evidence")
        .iter()
        .filter_map(|evidence| evidence["from"].as_str())
        .collect();
    assert_eq!(from, ["iptables-nft -t nat -S", "iptables-legacy -t nat -S"]);
}

#[test]
fn what_is_gone_after_the_pause_is_not_told() {
    if !possible() {
        return;
    }
    let room = room(&[("rules", &loadable("kitchen-sink/node1/save.txt"))]);
    // A sync in progress puts the hook back while kube-ipt waits; the other fault stays.
    let script = "iptables-nft-restore <$ROOM/rules
                  iptables-nft -t nat -F PREROUTING; iptables-nft -t nat -F KUBE-SVC-I3HUB6ZVVCWJQDJP
                  (sleep 1; iptables-nft -t nat -A PREROUTING -j KUBE-SERVICES) &
                  $KUBE_IPT check --no-api --family ipv4 --confirm 3s -o json 2>$ROOM/notes || [ $? = 1 ]";
    let output = in_namespace(room.path(), script);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let document: Value = serde_json::from_str(&text(&output.stdout)).expect("JSON");
    let found: Vec<&Value> =
        document["findings"].as_array().expect("findings").iter().filter(|f| f["severity"] != "info").collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["chain"], NGINX);
    let cause = document["summary"]["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("Rules of nginx-demo/nginx-service were edited"), "{cause}");
}
