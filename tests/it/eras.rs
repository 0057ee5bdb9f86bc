//! Layouts kube-proxy wrote from Kubernetes 1.1 on, and rules an old iptables could not print.

use kube_ipt::dataplane::ServiceName;
use kube_ipt::net::Protocol;
use kube_ipt::proxy::chain_name;
use serde_json::{Value, json};

use crate::formats::UNDECIDED;
use crate::run::{kube_ipt, listed, node};

/// So many Services with node ports, as kube-proxy has written them since 1.24, whose chains come before those of others.
fn with_many_node_ports(save: &str) -> String {
    let name = |n: usize| format!("AAAAAAAAAAAAA{n:03}");
    let all = |rules: &dyn Fn(usize, String) -> String| (0..100).map(|n| rules(n, name(n))).collect::<String>();
    let chains = all(&|_, key| format!(":KUBE-EXT-{key} - [0:0]\n:KUBE-SEP-{key} - [0:0]\n:KUBE-SVC-{key} - [0:0]\n"));
    let rules = all(&|n, key| {
        let (name, ip) = (format!("aa/np{n}"), format!("10.97.0.{n}"));
        format!(
            "-A KUBE-EXT-{key} -m comment --comment \"masquerade traffic for {name} external destinations\" -j KUBE-MARK-MASQ\n\
             -A KUBE-EXT-{key} -j KUBE-SVC-{key}\n\
             -A KUBE-NODEPORTS -d 127.0.0.0/8 -p tcp -m comment --comment \"{name}\" -m tcp --dport {port} -m nfacct --nfacct-name localhost_nps_accepted_pkts -j KUBE-EXT-{key}\n\
             -A KUBE-NODEPORTS -p tcp -m comment --comment \"{name}\" -m tcp --dport {port} -j KUBE-EXT-{key}\n\
             -A KUBE-SEP-{key} -s 10.244.9.{n}/32 -m comment --comment \"{name}\" -j KUBE-MARK-MASQ\n\
             -A KUBE-SEP-{key} -p tcp -m comment --comment \"{name}\" -m tcp -j DNAT --to-destination 10.244.9.{n}:80\n\
             -A KUBE-SVC-{key} ! -s 10.244.0.0/16 -d {ip}/32 -p tcp -m comment --comment \"{name} cluster IP\" -m tcp --dport 80 -j KUBE-MARK-MASQ\n\
             -A KUBE-SVC-{key} -m comment --comment \"{name} -> 10.244.9.{n}:80\" -j KUBE-SEP-{key}\n",
            port = 31_900 + n,
        )
    });
    let portals = all(&|n, key| {
        format!(
            "-A KUBE-SERVICES -d 10.97.0.{n}/32 -p tcp -m comment --comment \"aa/np{n} cluster IP\" -m tcp --dport 80 -j KUBE-SVC-{key}\n"
        )
    });
    let (before, nat) = save.split_once("*nat\n").expect("a nat table");
    let (head, first) = nat.split_once("-A ").expect("rules");
    let (first, last) = first.split_once("-A KUBE-SERVICES -m comment").expect("the jump to KUBE-NODEPORTS");
    format!("{before}*nat\n{chains}{head}-A {first}{portals}-A KUBE-SERVICES -m comment{last}").replacen(
        "-A KUBE-MARK-MASQ",
        &format!("{rules}-A KUBE-MARK-MASQ"),
        1,
    )
}

#[test]
fn many_services_with_node_ports_do_not_hide_the_pod_network() {
    let save = std::fs::read_to_string(node("kitchen-sink/node2/save.txt")).expect("the recording is there");
    let many = with_many_node_ports(&save);
    let kept = |dump: &str| {
        let mut services = listed(kube_ipt("list").stdin(dump));
        services.retain(|service| service["namespace"] != "aa");
        services
    };
    assert_eq!(listed(kube_ipt("list").stdin(&*many)).len(), kept(&save).len() + 100);
    assert_eq!(kept(&many), kept(&save));
    assert_eq!(kube_ipt("check --ignore name-mismatch").stdin(many).json()["findings"], json!([]));
}

/// The only service of a dump, which may lack the hooks, as is said beside it.
#[track_caller]
fn service(dump: &str) -> Value {
    let mut services = listed(kube_ipt("show").stdin(dump));
    assert_eq!(services.len(), 1, "{services:#?}");
    services.remove(0)
}

/// Policy, and addresses with shares, of every pool.
fn pools(service: &Value) -> Value {
    let pool = |pool: &Value| {
        let endpoints = pool["endpoints"].as_array().expect("endpoints").iter();
        let endpoints: Vec<Value> = endpoints.map(|e| json!([e["address"], e["probability"]])).collect();
        json!([pool["policy"], endpoints, pool["undelivered"]])
    };
    service["pools"].as_array().expect("pools").iter().map(pool).collect()
}

/// The routes of the frontend at `at`: origin, sources, where it goes, masqueraded.
fn routes(service: &Value, at: usize) -> Vec<String> {
    let route = |r: &Value| {
        let to = r["policy"].as_str().or(r["verdict"].as_str()).expect("a verdict");
        let sources: Vec<&str> = r["sources"].as_array().expect("sources").iter().filter_map(Value::as_str).collect();
        let masquerade = match r["masquerade"].as_bool() {
            Some(true) => " masqueraded",
            Some(false) => "",
            None => " masqueraded?",
        };
        let sources = if sources.is_empty() { String::new() } else { format!(" from {}", sources.join(",")) };
        format!("{}{sources} → {to}{masquerade}", r["origin"].as_str().expect("an origin"))
    };
    service["frontends"][at]["routes"].as_array().expect("routes").iter().map(route).collect()
}

#[test]
fn marks_of_1_1_stand_in_the_endpoint_chains() {
    let service = service(
        r#"*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SEP-AAAAAAAAAAAAAAAA - [0:0]
:KUBE-SERVICES - [0:0]
:KUBE-SVC-BBBBBBBBBBBBBBBB - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -m mark --mark 0x4d415351 -j MASQUERADE
-A KUBE-SEP-AAAAAAAAAAAAAAAA -s 10.2.6.2/32 -m comment --comment "shop/redis:" -j MARK --set-xmark 0x4d415351/0xffffffff
-A KUBE-SEP-AAAAAAAAAAAAAAAA -p tcp -m comment --comment "shop/redis:" -m tcp -j DNAT --to-destination 10.2.6.2:6379
-A KUBE-SERVICES -d 11.1.2.87/32 -p tcp -m comment --comment "shop/redis: cluster IP" -m tcp --dport 6379 -j KUBE-SVC-BBBBBBBBBBBBBBBB
-A KUBE-SVC-BBBBBBBBBBBBBBBB -m comment --comment "shop/redis:" -j KUBE-SEP-AAAAAAAAAAAAAAAA
COMMIT
"#,
    );
    assert_eq!(service["service"], "shop/redis");
    assert_eq!(service["port_name"], Value::Null);
    assert_eq!(pools(&service), json!([["cluster", [["10.2.6.2:6379", 1.0]], 0.0]]));
    assert_eq!(routes(&service, 0), ["pod → cluster", "node → cluster", "external → cluster"]);
}

#[test]
fn masquerade_rules_stood_in_kube_services_until_1_21() {
    let service = service(
        r#"-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-N KUBE-FW-X
-N KUBE-SEP-A
-N KUBE-SEP-B
-N KUBE-SVC-X
-A KUBE-FW-X -s 198.51.100.0/24 -m comment --comment "shop/web:http loadbalancer IP" -j KUBE-MARK-MASQ
-A KUBE-FW-X -s 198.51.100.0/24 -m comment --comment "shop/web:http loadbalancer IP" -j KUBE-SVC-X
-A KUBE-FW-X -m comment --comment "shop/web:http loadbalancer IP" -j KUBE-MARK-DROP
-A KUBE-MARK-DROP -j MARK --set-xmark 0x8000/0x8000
-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:http" -m tcp --dport 31334 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web:http" -m tcp --dport 31334 -j KUBE-SVC-X
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.48.0.8:80
-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.48.2.9:80
-A KUBE-SERVICES ! -s 10.48.0.0/14 -d 10.51.245.210/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.51.245.210/32 -p tcp -m comment --comment "shop/web:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-X
-A KUBE-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "shop/web:http external IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "shop/web:http external IP" -m tcp --dport 80 -m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL -j KUBE-SVC-X
-A KUBE-SERVICES -d 192.0.2.7/32 -p tcp -m comment --comment "shop/web:http external IP" -m tcp --dport 80 -m addrtype --dst-type LOCAL -j KUBE-SVC-X
-A KUBE-SERVICES -d 203.0.113.9/32 -p tcp -m comment --comment "shop/web:http loadbalancer IP" -m tcp --dport 80 -j KUBE-FW-X
-A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
-A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A
-A KUBE-SVC-X -j KUBE-SEP-B
"#,
    );
    assert_eq!(pools(&service), json!([["cluster", [["10.48.0.8:80", 0.5], ["10.48.2.9:80", 0.5]], 0.0]]));
    let kinds: Vec<&str> = (0..4).filter_map(|n| service["frontends"][n]["kind"].as_str()).collect();
    assert_eq!(kinds, ["cluster-ip", "external-ip", "load-balancer", "node-port"]);
    assert_eq!(routes(&service, 0), ["pod → cluster", "node → cluster masqueraded", "external → cluster masqueraded"]);
    let masqueraded = ["pod → cluster masqueraded", "node → cluster masqueraded", "external → cluster masqueraded"];
    assert_eq!(routes(&service, 1), masqueraded);
    let ranged = ["pod", "node", "external"]
        .map(|who| [format!("{who} from 198.51.100.0/24 → cluster masqueraded?"), format!("{who} → drop")]);
    assert_eq!(routes(&service, 2), ranged.concat());
    assert_eq!(routes(&service, 3), masqueraded);
}

#[test]
fn hooks_of_the_filter_table_are_missed_in_older_layouts_too() {
    let dump = |hooks: &str| {
        format!(
            "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-EXTERNAL-SERVICES - [0:0]\n\
             :KUBE-FORWARD - [0:0]\n:KUBE-SERVICES - [0:0]\n{hooks}\
             -A KUBE-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n\
             -A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment \"d/none has no endpoints\" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable\n\
             COMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
             :KUBE-SERVICES - [0:0]\n:KUBE-SVC-NPX46M4PTMTKRN6Y - [0:0]\n:KUBE-SEP-YKINUIM5IPE47EYF - [0:0]\n\
             -A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n\
             -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m tcp --dport 443 -j KUBE-SVC-NPX46M4PTMTKRN6Y\n\
             -A KUBE-SVC-NPX46M4PTMTKRN6Y -j KUBE-SEP-YKINUIM5IPE47EYF\n\
             -A KUBE-SEP-YKINUIM5IPE47EYF -p tcp -m tcp -j DNAT --to-destination 10.200.0.1:6443\nCOMMIT\n"
        )
    };
    let missed = |hooks: &str| {
        let (stdout, ..) = kube_ipt("check --no-api --select KI301 -o json").stdin(dump(hooks)).output();
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        let found = document["findings"].as_array().expect("findings").clone();
        found.iter().map(|f| f["message"].as_str().expect("a message")[..60].to_owned()).collect::<Vec<_>>()
    };
    // A chain without rules needs no hook.
    assert_eq!(missed("-A FORWARD -j KUBE-FORWARD\n-A OUTPUT -j KUBE-SERVICES\n"), [""; 0]);
    assert_eq!(
        missed(""),
        [
            "FORWARD of the filter table does not lead to KUBE-FORWARD: f",
            "OUTPUT of the filter table does not lead to KUBE-SERVICES: c"
        ]
    );
    // Since 1.20 there is a chain for health checks, and two hooks more, whether their chains have rules or not.
    let since_1_20 = "-A FORWARD -j KUBE-FORWARD\n-A OUTPUT -j KUBE-SERVICES\n-N KUBE-NODEPORTS\n";
    let hooks = [
        "FORWARD of the filter table does not lead to KUBE-SERVICES: ",
        "INPUT of the filter table does not lead to KUBE-NODEPORTS: h",
    ];
    assert_eq!(missed(since_1_20), hooks);
    let with_one = format!("{since_1_20}-A INPUT -j KUBE-NODEPORTS\n");
    assert_eq!(missed(&with_one), hooks[..1]);
    assert_eq!(missed(&format!("{with_one}-A FORWARD -m conntrack --ctstate NEW -j KUBE-SERVICES\n")), [""; 0]);
}

#[test]
fn xlb_chains_hold_the_local_endpoints_until_1_23() {
    let dump = |last: &str| {
        format!(
            r#"-P PREROUTING ACCEPT
-P INPUT ACCEPT
-P OUTPUT ACCEPT
-P POSTROUTING ACCEPT
-N KUBE-SVC-X
-N KUBE-XLB-X
-A KUBE-NODEPORTS -s 127.0.0.0/8 -p tcp -m comment --comment "shop/web" -m tcp --dport 30080 -j KUBE-MARK-MASQ
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web" -m tcp --dport 30080 -j KUBE-XLB-X
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:80
-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.244.2.2:80
-A KUBE-SEP-C -p tcp -m tcp -j DNAT --to-destination 10.244.2.3:80
-A KUBE-SERVICES -d 10.96.0.9/32 -p tcp -m comment --comment "shop/web cluster IP" -m tcp --dport 80 -j KUBE-SVC-X
-A KUBE-SVC-X ! -s 10.244.0.0/16 -d 10.96.0.9/32 -p tcp -m comment --comment "shop/web cluster IP" -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-X -m comment --comment "shop/web" -m statistic --mode random --probability 0.33333333349 -j KUBE-SEP-A
-A KUBE-SVC-X -m comment --comment "shop/web" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-B
-A KUBE-SVC-X -m comment --comment "shop/web" -j KUBE-SEP-C
-A KUBE-XLB-X -s 10.244.0.0/16 -m comment --comment "Redirect pods trying to reach external loadbalancer VIP to clusterIP" -j KUBE-SVC-X
-A KUBE-XLB-X -m comment --comment "masquerade LOCAL traffic for shop/web LB IP" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-XLB-X -m comment --comment "route LOCAL traffic for shop/web LB IP to service chain" -m addrtype --src-type LOCAL -j KUBE-SVC-X
{last}"#
        )
    };
    let balanced = service(&dump(
        "-A KUBE-XLB-X -m comment --comment \"Balancing rule 0 for shop/web\" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-B\n\
         -A KUBE-XLB-X -m comment --comment \"Balancing rule 1 for shop/web\" -j KUBE-SEP-C\n",
    ));
    assert_eq!(pools(&balanced)[1], json!(["local", [["10.244.2.2:80", 0.5], ["10.244.2.3:80", 0.5]], 0.0]));
    assert_eq!(pools(&balanced)[0][1][0], json!(["10.244.1.2:80", 0.333_333_333_488_553_76]));
    assert_eq!(routes(&balanced, 1), ["pod → cluster", "node → cluster masqueraded", "external → local"]);
    let empty =
        service(&dump("-A KUBE-XLB-X -m comment --comment \"shop/web has no local endpoints\" -j KUBE-MARK-DROP\n"));
    assert_eq!(routes(&empty, 1), ["pod → cluster", "node → cluster masqueraded", "external → drop"]);
    assert_eq!(pools(&empty).as_array().map(Vec::len), Some(1), "no local pool");
}

#[test]
fn local_policy_without_local_endpoints_drops_what_nat_leaves_alone() {
    let dump = r#"*filter
:INPUT ACCEPT [0:0]
:FORWARD ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:KUBE-EXTERNAL-SERVICES - [0:0]
-A KUBE-EXTERNAL-SERVICES -p tcp -m comment --comment "shop/web has no local endpoints" -m addrtype --dst-type LOCAL -m tcp --dport 30080 -j DROP
COMMIT
*nat
:PREROUTING ACCEPT [0:0]
:INPUT ACCEPT [0:0]
:OUTPUT ACCEPT [0:0]
:POSTROUTING ACCEPT [0:0]
:KUBE-EXT-X - [0:0]
:KUBE-NODEPORTS - [0:0]
:KUBE-SEP-A - [0:0]
:KUBE-SVC-X - [0:0]
-A KUBE-EXT-X -s 10.244.0.0/16 -m comment --comment "pod traffic for shop/web external destinations" -j KUBE-SVC-X
-A KUBE-EXT-X -m comment --comment "masquerade LOCAL traffic for shop/web external destinations" -m addrtype --src-type LOCAL -j KUBE-MARK-MASQ
-A KUBE-EXT-X -m comment --comment "route LOCAL traffic for shop/web external destinations" -m addrtype --src-type LOCAL -j KUBE-SVC-X
-A KUBE-NODEPORTS -p tcp -m comment --comment "shop/web" -m tcp --dport 30080 -j KUBE-EXT-X
-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.244.1.2:80
-A KUBE-SVC-X -m comment --comment "shop/web -> 10.244.1.2:80" -j KUBE-SEP-A
COMMIT
"#;
    assert_eq!(routes(&service(dump), 0), ["pod → cluster", "node → cluster masqueraded", "external → drop"]);
    let nat = &dump[dump.find("*nat").expect("nat is there")..];
    assert_eq!(routes(&service(nat), 0), ["pod → cluster", "node → cluster masqueraded", "external → none"]);
}

#[test]
fn source_ranges_of_today_are_routes_of_their_own() {
    let mut document = kube_ipt("show gw-lb-ranges -f").arg(crate::run::node("kitchen-sink/node2/save.txt")).json();
    let service = document["services"][0].take();
    assert_eq!(service["frontends"][1]["kind"], "load-balancer");
    let from = ["pod", "node", "external"].map(|who| {
        [format!("{who} from 203.0.113.0/24,198.51.100.0/25 → cluster masqueraded"), format!("{who} → drop")]
    });
    assert_eq!(routes(&service, 1), from.concat());
    assert_eq!(routes(&service, 0), ["pod → cluster", "node → cluster masqueraded", "external → cluster masqueraded"]);
}

#[test]
fn session_affinity_is_told_and_takes_no_share() {
    let mut document = kube_ipt("show web-sticky -f").arg(crate::run::node("kitchen-sink/node2/nat-S.txt")).json();
    let service = document["services"][0].take();
    assert_eq!(service["session_affinity_seconds"], 600);
    let total: f64 = service["pools"][0]["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .filter_map(|e| e["probability"].as_f64())
        .sum();
    assert!((total - 1.0).abs() < 1e-12, "{total}");
}

#[test]
fn textbook_rules_read_as_well_as_a_full_dump() {
    let service = service(
        "        -A KUBE-SERVICES -d 10.96.0.100/32 --dport 80 -j KUBE-SVC-XXXXXXX
        -A KUBE-SVC-XXXXXXX -m statistic --mode random --probability 0.3333 -j KUBE-SEP-AAAAAAA
        -A KUBE-SVC-XXXXXXX -m statistic --mode random --probability 0.5000 -j KUBE-SEP-BBBBBBB
        -A KUBE-SVC-XXXXXXX -j KUBE-SEP-CCCCCCC
        -A KUBE-SEP-AAAAAAA -j DNAT --to-destination 10.244.0.5:8080
        -A KUBE-SEP-BBBBBBB -j DNAT --to-destination 10.244.1.3:8080
        -A KUBE-SEP-CCCCCCC -j DNAT --to-destination 10.244.2.7:8080\n",
    );
    assert_eq!(service["service"], Value::Null);
    assert_eq!(service["protocol"], Value::Null);
    assert_eq!(service["frontends"][0]["address"], "10.96.0.100");
    assert_eq!(service["pools"][0]["chain"], "KUBE-SVC-XXXXXXX");
    let shares: Vec<String> = (0..3)
        .map(|n| {
            format!("{:.2}", service["pools"][0]["endpoints"][n]["probability"].as_f64().expect("a share") * 100.0)
        })
        .collect();
    assert_eq!(shares, ["33.33", "33.33", "33.33"]);
}

#[test]
fn service_chains_alone_are_services_named_by_their_comments() {
    let with = |mark: &str, comment: &str| {
        let service = service(&format!(
            "{mark}-A KUBE-SVC-X -m comment --comment \"{comment}\" -j KUBE-SEP-A\n\
             -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n"
        ));
        assert_eq!(service["service"], "shop/web:http");
        pools(&service)
    };
    let all = json!([["cluster", [["10.0.0.1:80", 1.0]], 0.0]]);
    let mark = "-A KUBE-SVC-X ! -s 10.244.0.0/16 -d 10.96.0.1/32 -p tcp -m comment --comment \"shop/web:http cluster IP\" \
                -m tcp --dport 80 -j KUBE-MARK-MASQ\n";
    assert_eq!(with(mark, "shop/web:http -> 10.0.0.1:80"), all);
    assert_eq!(with("", "shop/web:http"), all);
    // Where there are addresses in comments, kube-proxy writes the mark too; grep may have chosen the lines by the address.
    let unknown = json!([["cluster", [["10.0.0.1:80", null]], null]]);
    assert_eq!(with("", "shop/web:http -> 10.0.0.1:80"), unknown);
}

#[test]
fn an_endpoint_chain_that_is_missing_is_known_by_the_comment_that_leads_there() {
    let service = service(
        "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
         -A KUBE-SVC-X -m comment --comment \"a/b -> 10.0.0.1:80\" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n\
         -A KUBE-SVC-X -m comment --comment \"a/b\" -j KUBE-SEP-B\n",
    );
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.1:80", 0.5], [null, 0.5]], 0.0]]));
    assert_eq!(service["status"], "unknown");
}

#[test]
fn a_declared_chain_without_rules_delivers_nothing() {
    let service = service(
        "-N KUBE-SEP-A\n\
         -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
         -A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n\
         -A KUBE-SVC-X -j KUBE-SEP-B\n\
         -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:80\n",
    );
    // What the empty chain returns goes on to the next rule, which takes all of it.
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.2:80", 1.0]], 0.0]]));
}

#[test]
fn garbled_dnat_is_recovered_as_far_as_the_rules_allow() {
    let name = ServiceName::parse("shop/db:pg").expect("a name");
    let sep = |endpoint: &str| format!("KUBE-SEP-{}", chain_name::endpoint_key(&name, Protocol::Tcp, endpoint));
    let svc = format!("KUBE-SVC-{}", chain_name::service_keys(&name, Protocol::Tcp).next().expect("a key"));
    let (by_comment, by_hash, by_hash_again, by_source) =
        (sep("10.0.0.1:1"), sep("10.0.0.2:54321"), sep("10.0.0.3:54321"), "KUBE-SEP-AAAAAAAAAAAAAAAA");
    let service = service(&format!(
        "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"shop/db:pg cluster IP\" -m tcp --dport 5432 -j {svc}
-A {svc} -m comment --comment \"shop/db:pg -> 10.0.0.1:5433\" -m statistic --mode random --probability 0.20000000019 -j {by_comment}
-A {svc} -m statistic --mode random --probability 0.25000000000 -j {by_hash}
-A {svc} -m statistic --mode random --probability 0.33333333349 -j {by_hash_again}
-A {svc} -m statistic --mode random --probability 0.50000000000 -j {by_source}
-A {svc} -j KUBE-SEP-BBBBBBBBBBBBBBBB
-A {by_comment} -s 10.0.0.1/32 -j KUBE-MARK-MASQ
-A {by_comment} -p tcp -m tcp -j DNAT [unsupported revision]
-A {by_hash} -s 10.0.0.2/32 -j KUBE-MARK-MASQ
-A {by_hash} -p tcp -m tcp -j DNAT --to-destination :0 --persistent --to-destination :0 --persistent --to-destination 0.0.0.0 --persistent
-A {by_hash_again} -s 10.0.0.3/32 -j KUBE-MARK-MASQ
-A {by_hash_again} -p tcp -m tcp -j DNAT --to-destination  --random --to-destination  --random --to-destination 0.0.0.0:0
-A {by_source} -s 10.0.0.4/32 -j KUBE-MARK-MASQ
-A {by_source} -p tcp -m tcp -j DNAT [unsupported revision]
-A KUBE-SEP-BBBBBBBBBBBBBBBB -p tcp -m tcp -j DNAT [unsupported revision]
"
    ));
    let addresses: Vec<&Value> =
        service["pools"][0]["endpoints"].as_array().expect("endpoints").iter().map(|e| &e["address"]).collect();
    assert_eq!(
        addresses,
        [
            &json!("10.0.0.1:5433"),
            &json!("10.0.0.2:54321"),
            &json!("10.0.0.3:54321"),
            &json!("10.0.0.4:?"),
            &Value::Null
        ]
    );
}

#[test]
fn nth_takes_every_nth_connection() {
    let service = service(
        "-N KUBE-SVC-X\n\
         -A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
         -A KUBE-SVC-X -m statistic --mode nth --every 4 --packet 0 -j KUBE-SEP-A\n\
         -A KUBE-SVC-X -m statistic --mode nth --every 2 --packet 0 -j KUBE-SEP-B\n\
         -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n\
         -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:80\n",
    );
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.1:80", 0.25], ["10.0.0.2:80", 0.375]], 0.375]]));
    assert_eq!(service["status"], "undelivered");
}

#[test]
fn an_endpoint_reached_by_two_chains_is_one_endpoint() {
    let service = service(
        "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
         -A KUBE-SVC-X -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-A\n\
         -A KUBE-SVC-X -j KUBE-SEP-B\n\
         -A KUBE-SEP-A -p tcp -m tcp -c 3 180 -j DNAT --to-destination 10.0.0.1:80\n\
         -A KUBE-SEP-B -p tcp -m tcp -c 4 240 -j DNAT --to-destination 10.0.0.1:80\n",
    );
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.1:80", 1.0]], 0.0]]));
    assert_eq!(service["pools"][0]["endpoints"][0]["packets"], 7);
}

#[test]
fn rules_of_ipvs_mode_say_where_services_are() {
    let dump = "-P PREROUTING ACCEPT\n-P INPUT ACCEPT\n-P OUTPUT ACCEPT\n-P POSTROUTING ACCEPT\n-N KUBE-LOAD-BALANCER\n-N KUBE-SERVICES\n\
                -A KUBE-SERVICES -m set --match-set KUBE-CLUSTER-IP dst,dst -j ACCEPT\n";
    let error = "error: no Services in the rules of stdin: kube-proxy runs in IPVS mode there, and its Services are virtual \
                 servers: give the output of ipvsadm -Sn too";
    assert_eq!(kube_ipt("list").stdin(dump).status(1).stderr(error).stdout(), "");
}

/// A service `a/b` behind 10.96.0.1:80, and what else a dump holds.
fn with_portal(target: &str, rules: &str) -> String {
    format!(
        "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j {target}\n{rules}"
    )
}

const ENDPOINTS: &str = "-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n\
                         -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:80\n";

#[test]
fn marks_of_1_1_masquerade_node_ports() {
    let port = "-p tcp -m comment --comment a/b -m tcp --dport 30080";
    let service = service(&format!(
        "-A KUBE-NODEPORTS {port} -j MARK --set-xmark 0x4d415351/0xffffffff\n-A KUBE-NODEPORTS {port} -j KUBE-SVC-X\n\
         -A KUBE-SVC-X -j KUBE-SEP-A\n{ENDPOINTS}"
    ));
    let all = ["pod → cluster masqueraded", "node → cluster masqueraded", "external → cluster masqueraded"];
    assert_eq!(routes(&service, 0), all);
}

#[test]
fn what_the_node_sends_to_other_hosts_meets_the_rules_of_output_only() {
    let reject = |chain: &str| {
        format!(
            "-A {chain} -d 203.0.113.9/32 -p tcp -m comment --comment \"a/b has no endpoints\" -m tcp --dport 80 -j REJECT\n"
        )
    };
    let hooks = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\nCOMMIT\n*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n\
                 -A INPUT -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES\n\
                 -A FORWARD -m conntrack --ctstate NEW -j KUBE-EXTERNAL-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n";
    let external = service(&format!("{hooks}{}COMMIT\n", reject("KUBE-EXTERNAL-SERVICES")));
    assert_eq!(routes(&external, 0), ["pod → reject", "node → none", "external → reject"]);
    let cluster = service(&format!("{hooks}{}COMMIT\n", reject("KUBE-SERVICES")));
    assert_eq!(routes(&cluster, 0), ["pod → reject", "node → reject", "external → reject"]);
}

#[test]
fn a_pool_chosen_by_chance_does_not_hide_the_next() {
    let service = service(&with_portal(
        "KUBE-EXT-X",
        &format!(
            "-A KUBE-EXT-X -m statistic --mode random --probability 0.10000000009 -j KUBE-SVC-Y\n-A KUBE-EXT-X -j KUBE-SVC-X\n\
             -A KUBE-SVC-X -j KUBE-SEP-A\n-A KUBE-SVC-Y -j KUBE-SEP-B\n{ENDPOINTS}"
        ),
    ));
    let chains: Vec<&str> = (0..2).filter_map(|n| service["pools"][n]["chain"].as_str()).collect();
    assert_eq!(chains, ["KUBE-SVC-Y", "KUBE-SVC-X"]);
}

#[test]
fn chains_with_names_of_their_own_are_pools_with_all_their_rules() {
    let service = service(&with_portal(
        "BALANCE",
        "-A BALANCE -m statistic --mode random --probability 0.50000000000 -j ONE\n-A BALANCE -j TWO\n\
         -A ONE -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n-A TWO -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:80\n",
    ));
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.1:80", 0.5], ["10.0.0.2:80", 0.5]], 0.0]]));
}

#[test]
fn conditions_inside_a_pool_are_judged_by_its_frontends() {
    let dump = |condition: &str| {
        let rules = format!("-A KUBE-SVC-X {condition} -j KUBE-SEP-A\n-A KUBE-SVC-X -j KUBE-SEP-B\n{ENDPOINTS}");
        with_portal("KUBE-SVC-X", &rules)
    };
    let pool = |condition: &str| pools(&service(&dump(condition)));
    let undecided =
        |condition: &str| pools(&kube_ipt("show").stdin(dump(condition)).stderr(UNDECIDED).json()["services"][0]);
    let only_b = json!([["cluster", [["10.0.0.2:80", 1.0]], 0.0]]);
    let all_a = json!([["cluster", [["10.0.0.1:80", 1.0], ["10.0.0.2:80", 0.0]], 0.0]]);
    let unknown = json!([["cluster", [["10.0.0.1:80", null], ["10.0.0.2:80", null]], null]]);
    assert_eq!(pool("-p tcp -m tcp --dport 81"), only_b);
    assert_eq!(pool("-d 10.96.0.2/32"), only_b);
    assert_eq!(pool("-p udp"), only_b);
    assert_eq!(pool("-p tcp -m tcp --dport 80"), all_a);
    assert_eq!(undecided("-s 10.244.0.0/16"), unknown);
    assert_eq!(undecided("-m addrtype --src-type LOCAL"), unknown);
    assert_eq!(undecided("-i eth0"), unknown);
}

#[test]
fn what_nothing_reaches_need_not_be_judged() {
    let service = service(&with_portal(
        "KUBE-SVC-X",
        &format!("-A KUBE-SVC-X -j KUBE-SEP-A\n-A KUBE-SVC-X -i eth0 -j KUBE-SEP-B\n{ENDPOINTS}"),
    ));
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.1:80", 1.0], ["10.0.0.2:80", 0.0]], 0.0]]));
    assert_eq!(service["status"], "ok");
}

#[test]
fn clients_sent_back_by_their_address_are_not_captured() {
    let service = service(&with_portal(
        "KUBE-FW-X",
        &format!(
            "-A KUBE-FW-X -s 198.51.100.0/24 -j RETURN\n-A KUBE-FW-X -j KUBE-SVC-X\n-A KUBE-SVC-X -j KUBE-SEP-A\n{ENDPOINTS}"
        ),
    ));
    assert_eq!(routes(&service, 0)[..2], ["pod from 198.51.100.0/24 → none", "pod → cluster"]);
}

#[test]
fn a_mark_that_depends_on_more_than_a_dump_tells_is_unknown() {
    let service = service(&with_portal(
        "KUBE-EXT-X",
        &format!(
            "-A KUBE-EXT-X -i eth0 -j CM\n-A CM -j KUBE-MARK-MASQ\n-A KUBE-EXT-X -j KUBE-SVC-X\n-A KUBE-SVC-X -j KUBE-SEP-A\n{ENDPOINTS}"
        ),
    ));
    assert_eq!(routes(&service, 0)[0], "pod → cluster masqueraded?");
}

#[test]
fn goto_the_marking_chain_leaves_this_one() {
    let service = service(&with_portal(
        "KUBE-SVC-X",
        &format!(
            "-A KUBE-SVC-X -j L\n-A KUBE-SVC-X -j KUBE-SEP-B\n-A L -g KUBE-MARK-MASQ\n-A L -j KUBE-SEP-A\n{ENDPOINTS}"
        ),
    ));
    assert_eq!(pools(&service), json!([["cluster", [["10.0.0.2:80", 1.0], ["10.0.0.1:80", 0.0]], 0.0]]));
}

#[test]
fn rules_that_may_stand_before_every_service_are_told() {
    let dump = with_portal("KUBE-SVC-X", &format!("-A KUBE-SVC-X -j KUBE-SEP-A\n{ENDPOINTS}"));
    let note = "note: 1 rule beside those of Services cannot be judged and may take their traffic, first stdin line 1";
    for before in ["-A KUBE-SERVICES -d 10.96.0.0/12 -j RETURN\n", "-A KUBE-SERVICES -d 10.96.0.1/32 -j ACCEPT\n"] {
        kube_ipt("list").stdin(before.to_owned() + &dump).stderr(note).stdout();
    }
}
