//! What kube-proxy's tables of nftables do, and what is wrong with them where they were broken.

use std::fs;

use serde_json::{Value, json};

use crate::broken::{Node, told};
use crate::run::{kube_ipt, listed, node, nodes};

fn read(path: &str) -> String {
    fs::read_to_string(node(path)).expect("the recording is there")
}

/// The recorded node of a release, of which nothing is wrong.
fn clean(case: &'static str, name: &'static str) -> Node {
    let objects = read(&format!("nftables/{case}/cluster.json"));
    Node {
        dumps: vec![read(&format!("nftables/{case}/table-ip.nft"))],
        objects: serde_json::from_str(&objects).expect("JSON"),
        name,
    }
}

fn old() -> Node {
    clean("node1-1.30", "node1")
}

fn new() -> Node {
    clean("node2", "node2")
}

/// Findings that are no infos, as `severity code service address chain reason`.
fn wrong(node: &Node) -> Vec<String> {
    let found: Vec<Value> = node.check().into_iter().filter(|finding| finding["severity"] != "info").collect();
    told(&found)
}

/// A listing in two: this table of kube-proxy, and all else.
fn parted(listing: &str, table: &str) -> (String, String) {
    let begin = listing.find(&format!("table {table} kube-proxy {{\n")).expect("the table");
    let end = begin + listing[begin..].find("\n}\n").expect("its end") + "\n}\n".len();
    (listing[begin..end].to_owned(), [&listing[..begin], &listing[end..]].concat())
}

#[test]
fn a_family_without_a_table_is_missed_where_the_node_has_addresses_of_it() {
    let listing = read("nftables/node2/ruleset.nft");
    let missing = |dump: String, objects: &Value| {
        let node = Node { dumps: vec![dump], objects: objects.clone(), name: "node2" };
        let found = node.check().into_iter().filter(|finding| finding["id"] == "KI104");
        found.map(|finding| finding["family"].as_str().expect("a family").to_owned()).collect::<Vec<_>>()
    };
    let objects = new().objects;
    let ((four, without_four), (six, without_six)) = (parted(&listing, "ip"), parted(&listing, "ip6"));
    assert_eq!(missing(listing, &objects), [""; 0]);
    assert_eq!(missing(without_four.clone(), &objects), ["ipv4"; 16]);
    let node = Node { dumps: vec![without_four.clone()], objects: objects.clone(), name: "node2" };
    for what in ["", " shop/cart"] {
        let document = node.run(&format!("check{what}")).json();
        let told = "kube-proxy has no table of ipv4 on node2: no Service of that family can be reached.";
        assert_eq!(document["summary"]["cause"], told);
    }
    assert_eq!(missing(without_six, &objects), ["ipv6"; 3]);
    // One table by itself says nothing of the other.
    assert_eq!(missing(four, &objects), [""; 0]);
    assert_eq!(missing(six, &objects), [""; 0]);
    let mut of_six = objects;
    for address in of_six["items"].as_array_mut().expect("items").iter_mut().filter(|item| item["kind"] == "Node") {
        let addresses = address["status"]["addresses"].as_array_mut().expect("addresses");
        addresses.retain(|address| !address["address"].as_str().is_some_and(|ip| ip.contains('.')));
    }
    assert_eq!(missing(without_four, &of_six), [""; 0]);
}

#[test]
fn nothing_is_wrong_with_the_recorded_nodes() {
    for node in [old(), new()] {
        assert_eq!(wrong(&node), Vec::<String>::new());
        assert_eq!(told(&node.alone()), Vec::<String>::new());
    }
}

#[test]
fn an_endpoint_the_cluster_lost_is_stale_in_both_layouts() {
    for node in [old(), new()] {
        let mut address = String::new();
        let node = node.change("EndpointSlice", "nginx-demo/nginx-service", |slice| {
            let gone = slice["endpoints"].as_array_mut().expect("endpoints").remove(0);
            address = gone["addresses"][0].as_str().expect("an address").to_owned();
        });
        let found = node.check();
        let stale: Vec<&Value> = found.iter().filter(|f| f["code"] == "stale-endpoint").collect();
        assert_eq!(stale.len(), 1, "{:?}", told(&found));
        assert_eq!(stale[0]["address"], format!("{address}:80"));
        assert!((stale[0]["share"].as_f64().expect("a share") - 1.0 / 3.0).abs() < 1e-12);
    }
}

#[test]
fn numbers_without_a_place_in_the_map_leak() {
    let chain = "service-HB5CNYLO-nginx-demo/nginx-service/tcp/";
    let holed = new().lines(|line| Some(line.replace("2 : 10.244.2.3 . 80 ", "3 : 10.244.2.3 . 80 ")));
    let found = wrong(&holed);
    assert!(found.iter().any(|f| f.contains("leaky-chain") && f.contains(chain)), "{found:?}");
    let shown = holed.run("show nginx-demo/nginx-service").listed();
    let pool = &shown[0]["pools"][0];
    assert!((pool["undelivered"].as_f64().expect("a part") - 1.0 / 3.0).abs() < 1e-12, "{pool}");
}

#[test]
fn one_endpoint_with_more_numbers_than_others_is_a_skew() {
    let skewed = new().lines(|line| {
        let (from, to) =
            ("numgen random mod 3 map { 0 : 10.244.1.2 . 80,", "numgen random mod 4 map { 0-1 : 10.244.1.2 . 80,");
        let line = line.replace(from, to);
        Some(if line.contains("mod 4 map { 0-1") {
            line.replace("1 : 10.244.1.7 . 80, 2 : ", "2 : 10.244.1.7 . 80, 3 : ")
        } else {
            line
        })
    });
    let shown = skewed.run("show nginx-demo/nginx-service").listed();
    let shares: Vec<f64> = shown[0]["pools"][0]["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .map(|e| e["probability"].as_f64().expect("a share"))
        .collect();
    assert_eq!(shares, [0.5, 0.25, 0.25]);
    assert!(wrong(&skewed).iter().any(|f| f.contains("skewed-balance")));
}

#[test]
fn a_chain_that_was_flushed_is_empty() {
    let chain = "service-HB5CNYLO-nginx-demo/nginx-service/tcp/";
    let mut inside = false;
    let text = new().dumps[0].lines().fold(String::new(), |out, line| {
        let drop = inside && line.trim() != "}";
        inside = line.contains(&format!("chain {chain} {{")) || (inside && line.trim() != "}");
        if drop { out } else { out + line + "\n" }
    });
    let node = Node { dumps: vec![text], ..new() };
    let found = wrong(&node);
    assert!(found.iter().any(|f| f.contains("empty-chain") && f.contains(chain)), "{found:?}");
}

#[test]
fn hooks_marks_and_jumps_are_looked_at() {
    let unhooked = new().without(|line| line.trim() == "jump services");
    let found = wrong(&unhooked);
    for hook in ["prerouting", "output"] {
        assert!(found.iter().any(|f| f.contains("missing-hook") && f.contains(hook)), "{found:?}");
    }
    let unmasked = old().lines(|line| {
        Some(line.replace("meta mark & 0x00004000 == 0x00000000 return", "meta mark & 0x00008000 == 0x00000000 return"))
    });
    assert!(wrong(&unmasked).iter().any(|f| f.contains("masquerade-mismatch")), "{:?}", wrong(&unmasked));
    // All its rules were flushed, and the hook leads there all the same.
    for node in [old(), new()] {
        let inside = std::cell::Cell::new(false);
        let flushed = node.without(|line| {
            let is_rule = inside.get() && line.trim() != "}";
            inside.set(is_rule || line.trim() == "chain masquerading {");
            is_rule
        });
        assert_eq!(wrong(&flushed).len(), 1, "{:?}", wrong(&flushed));
        assert!(wrong(&flushed)[0].contains("masquerade-mismatch"), "{:?}", wrong(&flushed));
    }
    let dangling =
        new().without(|line| line.contains("goto service-452DNVGS-shop/web/tcp/ ") || line.contains("nothing"));
    assert_eq!(wrong(&dangling), Vec::<String>::new(), "that line is none of the table's");
    let lost = new().lines(|line| Some(line.replace("chain service-452DNVGS-shop/web/tcp/ {", "chain other {")));
    let found = wrong(&lost);
    assert!(found.iter().any(|f| f.contains("dangling-jump")), "{found:?}");
}

#[test]
fn clients_that_stay_are_named() {
    let set = "\tset affinity-JY7NBQDW-shop/web-sticky/tcp/__10.244.2.12/8080 {\n\t\ttype ipv4_addr\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 10m\n";
    let elements =
        format!("{set}\t\telements = {{ 10.244.1.9 timeout 10m expires 9m1s, 10.244.3.2 timeout 10m expires 12s }}\n");
    let text = read("nftables/node2/table-ip.nft");
    assert!(text.contains(set));
    let text = text.replace(set, &elements);
    let shown = listed(kube_ipt("show shop/web-sticky --no-api").stdin(&text));
    assert_eq!(shown[0]["session_affinity_seconds"], 600);
    let endpoints = shown[0]["pools"][0]["endpoints"].as_array().expect("endpoints").clone();
    let clients: Vec<&Value> = endpoints.iter().map(|e| &e["clients"]).collect();
    assert_eq!(clients[0], &json!(["10.244.1.9", "10.244.3.2"]));
    assert!(clients[1..].iter().all(|clients| **clients == json!([])), "{clients:?}");
    let tree = kube_ipt("show shop/web-sticky --no-api").stdin(&text).stdout();
    assert!(tree.contains("10.244.2.12:8080  keeps 10.244.1.9 (541 s), 10.244.3.2 (12 s)"), "{tree}");
}

#[test]
fn handles_numbers_and_parts_read_the_same() {
    let text = read("nftables/node2/table-ip.nft");
    let whole = listed(kube_ipt("list --no-api").stdin(&text));
    let mut number = 0;
    let handled: String = text.lines().fold(String::new(), |out, line| {
        number += 1;
        let ends = !line.trim().is_empty() && !line.contains("elements") && !line.contains(" . ") && line.trim() != "}";
        out + line + &(if ends { format!(" # handle {number}\n") } else { "\n".to_owned() })
    });
    assert_eq!(listed(kube_ipt("list --no-api").stdin(&handled)), whole);
    let numeric =
        text.replace(" . tcp . ", " . 6 . ").replace("l4proto tcp", "l4proto 6").replace("{ tcp . ", "{ 6 . ");
    let numeric = numeric
        .replace("ct state new", "ct state 0x8")
        .replace("fib saddr type local", "fib saddr type 2")
        .replace("fib daddr type local", "fib daddr type 2");
    assert!(numeric.contains("ct state 0x8") && numeric.contains("addr type 2"), "as nft -n prints them");
    assert_eq!(listed(kube_ipt("list --no-api").stdin(&numeric)), whole);
    assert_eq!(listed(kube_ipt("list --no-api").stdin(text.replace('\n', "\r\n"))), whole);
    let around = format!(
        "$ sudo nft list ruleset\ntable inet filter {{\n\tchain input {{\n\t\ttype filter hook input priority filter; policy accept;\n\t}}\n}}\n{text}"
    );
    let (stdout, stderr, _) = kube_ipt("list --no-api -o json").stdin(around).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(crate::run::services(document), Value::from(whole.clone()));
    assert_eq!(
        stderr.trim_end(),
        "note: stdin: 1 line was not understood, first line 1: '$ sudo nft list ruleset' (-v lists them)"
    );
}

#[test]
fn a_listing_that_breaks_off_anywhere_claims_nothing_that_is_behind() {
    let text = read("nftables/node2/table-ip.nft");
    let whole = listed(kube_ipt("list --no-api").stdin(&text));
    let lines: Vec<usize> = text.match_indices('\n').map(|(at, _)| at).collect();
    for at in lines.iter().step_by(29) {
        let cut = &text[..*at];
        let objects = nodes().join("nftables/node2/cluster.json");
        let run = kube_ipt("check -o json --node node2 --objects").arg(objects).stdin(cut);
        let (stdout, stderr, status) = run.output();
        if status == Some(2) {
            continue;
        }
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        let found = document["findings"].as_array().expect("findings");
        let errors: Vec<&Value> = found.iter().filter(|f| f["severity"] == "error").collect();
        assert_eq!(errors, Vec::<&Value>::new(), "cut at {at} of {} services", whole.len());
        assert!(cut.trim_end().ends_with('}') || stderr.contains("ends inside a table"), "{stderr}");
    }
}

#[test]
fn rules_are_shown_with_what_they_do() {
    let shown = kube_ipt("show edge/gw-lb --rules --no-api -f").arg(node("nftables/node2/table-ip.nft")).stdout();
    for line in [
        "203.0.113.77 . tcp . 443 : goto external-PTJD2OIS-edge/gw-lb/tcp/https",
        "ip saddr 10.244.0.0/16 goto service-PTJD2OIS-edge/gw-lb/tcp/https",
        "clients in 10.244.0.0/16: on to service-PTJD2OIS-edge/gw-lb/tcp/https",
        "the node itself: masqueraded",
        "one of 5 by chance, each alike",
    ] {
        assert!(shown.contains(line), "{line}\n{shown}");
    }
}

#[test]
fn a_rule_that_is_not_understood_is_no_rule_that_does_nothing() {
    let before = |rule: &str| {
        let vmap = "\t\tip daddr . meta l4proto . th dport vmap @service-ips";
        let text = read("nftables/node2/table-ip.nft").replace(vmap, &format!("\t\t{rule}\n{vmap}"));
        let shown = listed(kube_ipt("show nginx-demo/nginx-service --no-api").stdin(text));
        shown[0]["frontends"][0]["routes"]
            .as_array()
            .expect("routes")
            .iter()
            .map(|r| r["verdict"].clone())
            .collect::<Vec<_>>()
    };
    let pools = vec![json!("pool"); 3];
    assert_eq!(before("meta length > 100 drop"), vec![Value::Null; 3]);
    assert_eq!(before("frobnicate"), vec![Value::Null; 3]);
    // These meet nothing that comes to the Service, or do nothing to it.
    assert_eq!(before("ip daddr 10.96.78.11 drop"), pools);
    assert_eq!(before("tcp dport 81 meta length > 100 drop"), pools);
    assert_eq!(before("log prefix \"services: \" level info"), pools);
    assert_eq!(before("counter packets 5 bytes 300"), pools);
    let in_pool = read("nftables/node2/table-ip.nft").replace(
        "\t\tmeta l4proto tcp dnat ip to numgen random mod 3",
        "\t\tlimit rate 5/second accept\n\t\tmeta l4proto tcp dnat ip to numgen random mod 3",
    );
    let shown = listed(kube_ipt("show nginx-demo/nginx-service --no-api").stdin(in_pool));
    assert_eq!(shown[0]["pools"][0]["undelivered"], Value::Null);
    assert_eq!(shown[0]["status"], "unknown");
}

#[test]
fn a_pool_behind_a_rule_that_cannot_be_judged_is_still_shown() {
    let text = read("nftables/node2/table-ip.nft")
        .replace("\tchain services {\n", "\tchain services {\n\t\tmeta skuid 1000 drop\n");
    let shown = listed(kube_ipt("show shop/web --no-api").stdin(text));
    assert_eq!(shown[0]["status"], "unknown");
    assert_eq!(shown[0]["pools"][0]["endpoints"].as_array().map(Vec::len), Some(7));
}

#[test]
fn pools_of_any_size_and_any_choice_are_read_or_said_to_be_unknown() {
    let key = "ABCDEFGH-a/b/tcp/";
    let around = |rules: &str, more: &str| {
        format!(
            "table ip kube-proxy {{\n\tmap service-ips {{\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\
             \t\telements = {{ 10.96.0.1 . tcp . 80 : goto service-{key} }}\n\t}}\n{more}\
             \tchain nat-prerouting {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\tjump services\n\t}}\n\
             \tchain services {{\n\t\tip daddr . meta l4proto . th dport vmap @service-ips\n\t}}\n\
             \tchain service-{key} {{\n{rules}\t}}\n}}\n"
        )
    };
    let pool = |text: String| listed(kube_ipt("show a/b --no-api").stdin(text))[0]["pools"][0].clone();
    // Three thousand endpoints that clients stay with.
    let chains = (0..3000).fold(String::new(), |out, n| {
        out + &format!("\tset affinity-{n} {{\n\t\ttype ipv4_addr\n\t\ttimeout 3h\n\t}}\n\tchain endpoint-ABCDEFGH-{n} {{\n\t\tmeta l4proto tcp dnat to 10.1.{}.{}:80\n\t}}\n", n / 250, n % 250)
    });
    let rules = (0..3000)
        .fold(String::new(), |out, n| out + &format!("\t\tip saddr @affinity-{n} goto endpoint-ABCDEFGH-{n}\n"));
    let pairs: Vec<String> = (0..3000).map(|n| format!("{n} : goto endpoint-ABCDEFGH-{n}")).collect();
    let sticky = pool(around(&format!("{rules}\t\tnumgen random mod 3000 vmap {{ {} }}\n", pairs.join(", ")), &chains));
    assert_eq!(sticky["endpoints"].as_array().map(Vec::len), Some(3000));
    assert!(sticky["undelivered"].as_f64().is_some_and(|lost| lost.abs() < 1e-9), "{}", sticky["undelivered"]);
    // A choice that kube-proxy never makes, and a jump in a circle.
    for rule in [
        "\t\tdnat ip to jhash ip saddr mod 2 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80 }\n".to_owned(),
        format!("\t\tgoto service-{key}\n"),
        // One number that chooses two, which no map of the kernel has.
        "\t\tdnat ip to numgen random mod 3 map { 0 : 10.0.0.1 . 80, 1 : 10.0.0.2 . 80, 0-1 : 10.0.0.3 . 80 }\n"
            .to_owned(),
        "\t\tnumgen random mod 2 vmap { 0-18446744073709551615 : goto a, 1 : goto b }\n".to_owned(),
        "\t\tcounter name c drop\n\t\tdnat to 10.0.0.1:80\n".to_owned(),
    ] {
        assert_eq!(pool(around(&rule, ""))["undelivered"], Value::Null, "{rule}");
    }
}

#[test]
fn what_kube_proxy_says_against_its_rules_is_a_finding() {
    let run = kube_ipt("check --no-api -o json --select KI402 -f").arg(node("nftables/node2/table-ip.nft"));
    let (stdout, ..) = run.arg("-f").arg(node("ipvs/leftover/proxyMode.txt")).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(document["source"]["dataplane"], "nftables");
    assert_eq!(
        document["findings"][0]["message"],
        "the rules here are those of nftables mode (ipv4), but kube-proxy says it runs in iptables mode"
    );
}

#[test]
fn tables_without_number_cost_no_square() {
    // A hundred thousand took half a minute when each was compared with all before it.
    let others = (0..100_000).map(|n| format!("table ip t{n} {{\n}}\n")).collect::<Vec<_>>().concat();
    let services = listed(kube_ipt("list --no-api").stdin(others + &read("nftables/node2/table-ip.nft")));
    assert_eq!(services, listed(kube_ipt("list --no-api -f").arg(node("nftables/node2/table-ip.nft"))));
}

#[test]
fn tables_of_iptables_alone_do_not_accuse_a_node_in_nftables_mode() {
    // What kubelets leave on every node.
    let dump = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:KUBE-FIREWALL - [0:0]\n\
        :KUBE-KUBELET-CANARY - [0:0]\n-A INPUT -j KUBE-FIREWALL\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n\
        :OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n";
    let run = kube_ipt("check --node node2 -f - --objects").arg(node("nftables/node2/cluster.json"));
    let error = "error: no Services in the only rule of stdin: there is no chain KUBE-SERVICES (does kube-proxy run in iptables mode \
                 there? its other modes are seen with nft list ruleset and ipvsadm -Sn)";
    run.stdin(dump).status(1).stderr(error).stdout();
    // With a chain of kube-proxy's the mode is clear, and its Services are missing.
    let flushed = dump.replace(":KUBE-FIREWALL", ":KUBE-FORWARD - [0:0]\n:KUBE-FIREWALL");
    let run = kube_ipt("check --node node2 -o json -f - --objects").arg(node("nftables/node2/cluster.json"));
    let (stdout, ..) = run.stdin(flushed).output();
    let found: Value = serde_json::from_str(&stdout).expect("JSON");
    let missing = found["findings"].as_array().expect("findings").iter().filter(|f| f["id"] == "KI104").count();
    assert!(missing > 10, "{missing}");
}

#[test]
fn what_trace_does_not_follow_show_tells() {
    let listing = std::fs::read_to_string(crate::run::node("nftables/node2/ruleset.nft")).expect("a recording");
    let error = |words: &str| {
        format!(
            "error: cannot follow single packets where kube-proxy runs in nftables mode: only rules of iptables are followed\n  try:  \
             kube-ipt show {words}    (where each origin's connections go)\n"
        )
    };
    let of_pipe = crate::run::kube_ipt("trace pod nginx-service -v --no-api").stdin(&listing);
    assert_eq!(of_pipe.status(2).stderr(error("nginx-service -v --no-api")).stdout(), "");
    let file = crate::run::node("nftables/node2/ruleset.nft");
    let of_file = crate::run::kube_ipt("trace pod nginx-service -f").arg(&file);
    assert_eq!(of_file.status(2).stderr(error(&format!("nginx-service -f {file}"))).stdout(), "");
}

/// The node with a line put at the beginning of a chain.
fn with_first(node: Node, chain: &str, rule: &str) -> Node {
    let mut node = node;
    let begin = format!("chain {chain} {{\n");
    let at = node.dumps[0].find(&begin).expect("the chain") + begin.len();
    let base =
        node.dumps[0][at..].lines().next().filter(|line| line.contains(" hook ")).map_or(0, |line| line.len() + 1);
    node.dumps[0].insert_str(at + base, &format!("\t\t{rule}\n"));
    node
}

#[test]
fn clients_that_get_nowhere_where_others_are_served_are_told() {
    let told_of = |chain: &str, rule: &str| {
        let found: Vec<Value> = with_first(new(), chain, rule).check();
        let found = found.into_iter().filter(|finding| finding["reason"] == "some-clients");
        found.map(|finding| finding["message"].as_str().expect("a message").to_owned()).collect::<Vec<_>>()
    };
    let node = told_of("nat-output", "ip daddr 10.96.0.0/16 return");
    assert!(
        node.iter()
            .any(|m| m == "cluster IP 10.96.0.1:443 is not captured for all: connections from this node are refused"),
        "{node:#?}"
    );
    let pods = told_of("services", "ip saddr 10.244.0.0/16 drop");
    assert!(
        pods.iter().any(|m| m == "cluster IP 10.96.0.1:443 is not captured for all: connections from pods are dropped"),
        "{pods:#?}"
    );
    let network = told_of("services", "ip saddr 198.51.100.0/24 drop");
    assert!(
        network
            .iter()
            .any(|m| m
                == "cluster IP 10.96.0.1:443 is not captured for all: connections from 198.51.100.0/24 are dropped"),
        "{network:#?}"
    );
    assert_eq!(told_of("services", "ip saddr 127.0.0.0/8 drop"), [""; 0]);
    // A hook that is gone keeps them from all Services, and is told once.
    let gone =
        new().lines(|line| (line != "\t\ttype nat hook output priority -100; policy accept;").then(|| line.to_owned()));
    assert_eq!(wrong(&gone), ["missing-hook error output"]);
}

#[test]
fn whether_the_mark_is_masqueraded_is_followed_in_order() {
    let masked = |node: Node| wrong(&node).into_iter().filter(|f| f.starts_with("masquerade")).collect::<Vec<_>>();
    let expected = ["masquerade-mismatch error masquerading mark"];
    assert_eq!(masked(with_first(new(), "masquerading", "return")), expected);
    assert_eq!(masked(with_first(new(), "nat-postrouting", "accept")), expected);
    // A condition is of some packets only.
    assert_eq!(masked(with_first(new(), "masquerading", "ip saddr 192.0.2.0/24 return")), [""; 0]);
    let inverted =
        old().lines(|line| Some(line.replace("0x00004000 == 0x00000000 return", "0x00004000 != 0x00000000 return")));
    assert_eq!(masked(inverted), expected);
    let open = old().without(|line| line.ends_with("0x00004000 == 0x00000000 return"));
    let found = open.check().into_iter().find(|finding| finding["id"] == "KI304").expect("a finding");
    assert!(found["message"].as_str().is_some_and(|m| m.contains("masquerades what carries no mark")), "{found}");
}

#[test]
fn an_empty_set_of_hairpins_is_missed_on_a_node_with_endpoints() {
    let mut node = new();
    let begin = node.dumps[0].find("set hairpin-connections {").expect("the set");
    let at = begin + node.dumps[0][begin..].find("\t\telements = {").expect("elements");
    let end = at + node.dumps[0][at..].find("}\n").expect("their end") + 2;
    node.dumps[0].replace_range(at..end, "");
    assert_eq!(wrong(&node), ["masquerade-mismatch warning masquerading missing-rule"]);
    let message = node.check()[0]["message"].as_str().expect("a message").to_owned();
    assert!(message.starts_with("the set hairpin-connections is empty: "), "{message}");
    // With other words: of another node, which none of these endpoints runs on.
    let objects = node.objects["items"].as_array_mut().expect("a list");
    for slice in objects.iter_mut().filter(|item| item["kind"] == "EndpointSlice") {
        for endpoint in slice["endpoints"].as_array_mut().into_iter().flatten() {
            endpoint["nodeName"] = json!("node3");
        }
    }
    assert!(wrong(&node).iter().all(|found| !found.starts_with("masquerade-mismatch")), "{:#?}", wrong(&node));
}

#[test]
fn what_every_cluster_ip_rejects_needs_no_refusal_of_its_own() {
    // The map of those without endpoints is empty, but for the node port.
    let flushed = new().lines(|line| match line {
        line if line.contains("comment \"shop/broken\" : goto reject-chain") => None,
        line if line.contains("10.96.198.66 . tcp . 80 comment") => None,
        line if line.contains("10.96.208.119 . tcp . 80 comment") => None,
        line => Some(line.to_owned()),
    });
    assert_eq!(wrong(&flushed), [""; 0]);
    // Another port than the Service's is rejected too.
    let moved = new().change("Service", "shop/web", |service| service["spec"]["ports"][0]["port"] = json!(81));
    let found = moved.check();
    let missing = found.iter().find(|f| f["code"] == "missing-frontend").expect("a finding");
    assert!(
        missing["message"].as_str().is_some_and(|m| m.ends_with(":81 is not captured: connections to it are refused")),
        "{missing}"
    );
}

#[test]
fn node_ports_may_be_closed_on_purpose() {
    let closed = new().lines(|line| (!line.contains("elements = { 10.200.0.12 }")).then(|| line.to_owned()));
    assert_eq!(wrong(&closed), ["missing-frontend warning node-ports"]);
    let config = "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: nftables\nnodePortAddresses:\n- 127.0.0.0/8\n";
    let told_so = closed.with_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": config},
    }));
    assert_eq!(wrong(&told_so), [""; 0]);
}

#[test]
fn elements_of_another_protocol_are_a_service_port_of_their_own() {
    for place in ["before", "behind"] {
        let node = new().lines(|line| {
            let Some(at) = line.find("10.96.182.118 . tcp . 80 : ") else { return Some(line.to_owned()) };
            let element = &line[at..].split([',', '}']).next().expect("an element").trim();
            let other = element.replace(". tcp . 80", ". udp . 80");
            let both = if place == "before" { format!("{other}, {element}") } else { format!("{element}, {other}") };
            Some(line.replace(element, &both))
        });
        let found = wrong(&node);
        assert!(
            found.iter().any(|f| f == "stale-service error shop/web 10.96.182.118:80"
                || f.starts_with("stale-service error shop/web")),
            "{place}: {found:#?}"
        );
        assert!(found.iter().all(|f| !f.starts_with("missing-service")), "{place}: {found:#?}");
    }
}
