//! kube-proxy's nftables and IPVS modes: every recorded node gives its shares and its findings, whatever form it was
//! listed in, and the mode in use is told from what others left behind.
//!
//! No kernel with IPVS is at hand where these tests run: of that mode there are recordings only.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::broken::{of_ipvs, told};
use crate::cases::{all_in, assert_shares};
use crate::check::assert_findings;
use crate::run::{Run, kube_ipt, listed, node, nodes};

/// Texts that belong together, and the families they hold.
const NFT: [(&[&str], &[&str]); 4] = [
    (&["table-ip.json"], &["ipv4"]),
    (&["table-ip.nft"], &["ipv4"]),
    (&["ruleset.json"], &["ipv4", "ipv6"]),
    (&["ruleset.nft"], &["ipv4", "ipv6"]),
];

const IPVS: [(&[&str], &[&str]); 5] = [
    (&["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt"], &["ipv4", "ipv6"]),
    (&["ipvsadm-S-n.txt"], &["ipv4", "ipv6"]),
    (&["ipvsadm-L-n.txt"], &["ipv4", "ipv6"]),
    (&["ipvsadm-L-n-stats.txt", "ipvsadm-L-n.txt", "save.txt"], &["ipv4", "ipv6"]),
    (&["save.txt", "ip-addr-show.txt", "ipset-save.txt", "ipvsadm-S-n.txt"], &["ipv4", "ipv6"]),
];

fn expected(case: &Path) -> Value {
    let text = fs::read_to_string(case.join("expected.json")).expect("readable");
    serde_json::from_str(&text).expect("JSON")
}

fn asked(command: &str, case: &Path, files: &[&str]) -> Run {
    let expected = expected(case);
    let run = kube_ipt(command).arg("--objects").arg(case.join("cluster.json"));
    let run = run.arg("--node").arg(expected["node"].as_str().expect("a node"));
    files.iter().fold(run, |run, file| run.arg("-f").arg(case.join(file)))
}

/// Every case of a mode with every set of texts.
fn every(
    mode: &str,
    sets: &[(&'static [&'static str], &'static [&'static str])],
    test: impl Fn(&Path, &[&str], &[&str]),
) {
    let cases = all_in(&nodes().join(mode));
    assert!(cases.len() >= 2, "recorded nodes are missing");
    for case in &cases {
        for (files, families) in sets {
            test(case, files, families);
        }
    }
}

#[test]
fn every_recorded_node_gives_its_shares_in_every_form() {
    let shares = |case: &Path, files: &[&str], families: &[&str]| {
        let (stdout, stderr, _) = asked("show -o json", case, files).output();
        let document: Value = serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
        for family in families {
            // Where IPVS is only left over, it has endpoints of a family that the live rules were not read of.
            if expected(case)[family]["services"].as_object().is_some_and(serde_json::Map::is_empty) {
                continue;
            }
            assert_shares(&expected(case), &document, family, &format!("{} {files:?}", case.display()));
        }
    };
    every("nftables", &NFT, shares);
    every("ipvs", &IPVS, |case, files, families| {
        // Rules of iptables mode have rounded shares, and those of the leftover servers are exact: either is right.
        let leftover = case.ends_with("leftover");
        if !leftover {
            shares(case, files, families);
        }
    });
}

#[test]
fn every_recorded_node_gives_its_findings_and_no_others() {
    let findings = |case: &Path, files: &[&str], families: &[&str]| {
        for family in families {
            let run = asked(&format!("check -o json --family {family}"), case, files);
            let (stdout, stderr, status) = run.output();
            let label = format!("{} {files:?} {family}", case.display());
            assert!(matches!(status, Some(0 | 1)), "{label}: {stderr}");
            let document: Value = serde_json::from_str(&stdout).expect("JSON");
            assert_findings(&expected(case)[family]["findings"], &document, &label);
        }
    };
    every("nftables", &NFT, findings);
    let with_rules: Vec<_> = IPVS.into_iter().filter(|(files, _)| files.contains(&"save.txt")).collect();
    for case in all_in(&nodes().join("ipvs")) {
        for (files, _) in &with_rules {
            findings(&case, files, &["ipv4"]);
        }
    }
}

fn source(files: &[&str]) -> Value {
    let run = files.iter().fold(kube_ipt("list -o json --no-api"), |run, file| run.arg("-f").arg(node(file)));
    let (stdout, ..) = run.output();
    serde_json::from_str::<Value>(&stdout).expect("JSON")["source"]["dataplane"].clone()
}

#[test]
fn the_mode_in_use_is_told_from_the_rules() {
    assert_eq!(source(&["seed/in-sync/save.txt"]), "iptables");
    assert_eq!(source(&["nftables/node2/ruleset.nft"]), "nftables");
    assert_eq!(source(&["nftables/node1-1.30/table-ip.json"]), "nftables");
    assert_eq!(source(&["ipvs/node2/ipvsadm-S-n.txt"]), "ipvs");
    assert_eq!(source(&["ipvs/node2/save.txt"]), "ipvs");
    let all = |case: &str| [format!("ipvs/{case}/ipvsadm-S-n.txt"), format!("ipvs/{case}/save.txt")];
    for (case, mode) in [("leftover", "iptables"), ("leftover-iptables", "ipvs")] {
        let files = all(case);
        assert_eq!(source(&[files[0].as_str(), files[1].as_str()]), mode);
        // What kube-proxy says of itself agrees with what it wrote.
        let said = format!("ipvs/{case}/proxyMode.txt");
        assert_eq!(source(&[files[0].as_str(), files[1].as_str(), said.as_str()]), mode);
    }
    // Both were written at some time; kube-proxy says which it is.
    let both = ["nftables/node2/table-ip.nft", "seed/in-sync/save.txt"];
    assert_eq!(source(&both), "nftables");
    assert_eq!(source(&[both[0], both[1], "ipvs/leftover/proxyMode.txt"]), "iptables");
}

#[test]
fn what_another_mode_left_is_one_finding_and_is_never_mixed_in() {
    let node2 = |case: &str, file: &str| nodes().join("ipvs").join(case).join(file);
    let shown = |files: &[PathBuf]| {
        let run = kube_ipt("check -o json --no-api --family ipv4 --select KI402");
        let (stdout, ..) = files.iter().fold(run, |run, file| run.arg("-f").arg(file)).output();
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        document["findings"].as_array().expect("findings").iter().map(|f| f["message"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        shown(&[node2("leftover-iptables", "ipvsadm-S-n.txt"), node2("leftover-iptables", "save.txt")]),
        ["88 chains of iptables mode left over, while kube-proxy runs in IPVS mode: KUBE-EXT-5GP4FHO2QBMRC4HJ, \
          KUBE-EXT-E3PXEPMWAWIUT6ZV, KUBE-EXT-PQWBAX2FD7GV5BFO and others"]
    );
    let servers = [node2("node2", "ipvsadm-S-n.txt"), nodes().join("seed/in-sync/save.txt")];
    assert_eq!(
        shown(&servers),
        ["34 virtual servers of IPVS mode left over, while kube-proxy runs in iptables mode: TCP 192.0.2.10:8443, \
          TCP 192.0.2.11:8443, TCP 203.0.113.77:443 and others"]
    );
    // Others balance with IPVS too (keepalived, kube-vip), and cleaning up would take theirs.
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = folder.path().join("ipvsadm.txt");
    fs::write(&foreign, "-A -t 10.200.0.100:6443 -s rr\n-a -t 10.200.0.100:6443 -r 10.200.0.11:6443 -m -w 1\n")
        .expect("writable");
    assert_eq!(shown(&[foreign.clone(), nodes().join("seed/in-sync/save.txt")]), [""; 0]);
    let interface = folder.path().join("ip-addr.txt");
    fs::write(&interface, "5: kube-ipvs0    inet 10.96.0.1/32 scope global kube-ipvs0\\       valid_lft forever\n")
        .expect("writable");
    assert_eq!(shown(&[foreign, nodes().join("seed/in-sync/save.txt"), interface]).len(), 1);
    let tables = [nodes().join("nftables/node2/table-ip.nft"), nodes().join("seed/in-sync/save.txt")];
    assert_eq!(
        shown(&tables),
        ["16 chains of iptables mode left over, while kube-proxy runs in nftables mode: KUBE-SEP-77BN6HMO4OF56OSL, \
          KUBE-SEP-BJSIFI6IXUCQDUDO, KUBE-SEP-BWHGELGX6BITPZVO and others"]
    );
    let names = |files: &[PathBuf]| {
        let run = files.iter().fold(kube_ipt("list --no-api"), |run, file| run.arg("-f").arg(file));
        listed(run).iter().map(|s| s["service"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&servers), names(&servers[1..]), "IPVS adds nothing to what iptables does");
    assert_eq!(names(&tables), names(&tables[..1]), "iptables adds nothing to what nftables does");
}

#[test]
fn outputs_of_two_programs_in_one_file_are_read_apart() {
    let read = |file: &str| fs::read_to_string(nodes().join(file)).expect("a recording");
    let (rules, listing) = (read("seed/in-sync/save.txt"), read("nftables/node2/table-ip.nft"));
    let asked = |command: &str, dump: &str| -> Value {
        let note = "note: stdin holds rules of iptables and a listing of nft: each was read by itself";
        let run = kube_ipt(command).stdin(dump);
        let (stdout, stderr, _) = run.output();
        assert!(stderr.contains(note), "{stderr}");
        serde_json::from_str(&stdout).expect("JSON")
    };
    let pools =
        |services: &[Value]| services.iter().map(|s| (s["service"].clone(), s["pools"].clone())).collect::<Vec<_>>();
    let alone = pools(&listed(kube_ipt("list --no-api -f").arg(nodes().join("nftables/node2/table-ip.nft"))));
    for (dump, lines_before) in
        [(format!("{rules}{listing}"), 0), (format!("{listing}{rules}"), listing.lines().count())]
    {
        let document = asked("list -o json --no-api", &dump);
        assert_eq!(pools(document["services"].as_array().expect("services")), alone);
        let found = asked("check -o json --no-api --family ipv4 --select KI402", &dump);
        let left = &found["findings"][0];
        let message = left["message"].as_str().expect("words");
        assert!(message.starts_with("16 chains of iptables mode left over"), "{message}");
        let first = left["evidence"][0]["line"].as_u64().and_then(|line| usize::try_from(line).ok()).expect("a line");
        let text = left["evidence"][0]["text"].as_str().expect("a rule");
        assert_eq!(rules.lines().nth(first - lines_before - 1), Some(text));
    }
    // What ends as a listing does is none.
    let ends_so = kube_ipt("list --no-api").stdin(format!("{rules}}}\n"));
    let (_, stderr, code) = ends_so.output();
    assert_eq!((code, stderr.contains("each was read by itself")), (Some(0), false), "{stderr}");
}

#[test]
fn what_an_earlier_mode_left_is_seen_in_all_that_nft_lists() {
    let listing = fs::read_to_string(nodes().join("nftables/node2/table-ip.nft")).expect("a recording");
    let shown = |beside: &str| {
        let run = kube_ipt("check -o json --no-api --select KI402").stdin(format!("{beside}{listing}"));
        let (stdout, stderr, _) = run.output();
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        let found = document["findings"].as_array().expect("findings").iter();
        (found.map(|f| f["message"].clone()).collect::<Vec<_>>(), stderr.contains("shows rules of iptables beside"))
    };
    let chains = |services: &str| {
        format!(
            "table ip nat {{\n\tchain KUBE-MARK-MASQ {{\n\t\tcounter packets 0 bytes 0 xt target \"MARK\"\n\t}}\n\n{services}\
             \tchain PREROUTING {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}}\n}}\n"
        )
    };
    let services = "\tchain KUBE-SERVICES {\n\t\tmeta l4proto tcp ip daddr 10.96.0.1  tcp dport 443 counter packets 0 bytes 0 jump \
                    KUBE-SVC-NPX46M4PTMTKRN6Y\n\t}\n\n\tchain KUBE-SVC-NPX46M4PTMTKRN6Y {\n\t\tcounter packets 0 bytes 0 jump \
                    KUBE-SEP-YKINUIM5IPE47EYF\n\t}\n\n";
    let left = "2 chains of iptables mode left over, while kube-proxy runs in nftables mode: KUBE-SERVICES, \
                KUBE-SVC-NPX46M4PTMTKRN6Y";
    assert_eq!(shown(&chains(services)), (vec![left.into()], true));
    let with_handles = chains(services).replace("{\n", "{ # handle 7\n");
    assert_eq!(shown(&with_handles), (vec![left.into()], true));
    // What the kubelet and others have there is no mode of kube-proxy.
    assert_eq!(shown(&chains("")), (Vec::new(), false));
}

#[test]
fn what_a_node_in_ipvs_mode_prints_may_stand_in_one_text() {
    let read = |name: &str| fs::read_to_string(node(&format!("ipvs/node2/{name}"))).expect("the recording is there");
    let files = ["ipvsadm-S-n.txt", "ipset-save.txt", "save.txt", "ip-addr-show.txt"];
    let check = || kube_ipt("check -o json --node node2 --objects").arg(node("ipvs/node2/cluster.json"));
    let answer = |run: Run| {
        let (stdout, stderr, _) = run.output();
        let mut document: Value = serde_json::from_str(&stdout).expect("JSON");
        (document["findings"].take(), document["skipped"].take(), stderr)
    };
    let single = files.iter().fold(check(), |run, file| run.arg("-f").arg(node(&format!("ipvs/node2/{file}"))));
    let (findings, skipped, _) = answer(single);
    let note = "note: stdin holds rules of iptables, virtual servers, ipsets and addresses: each was read by itself";
    for order in [[0, 1, 2, 3], [2, 0, 1, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        let text: String = order.iter().map(|at| read(files[*at])).collect();
        let (of_one, skipped_of_one, stderr) = answer(check().stdin(&text));
        assert_eq!((&of_one, &skipped_of_one), (&findings, &skipped), "{order:?}: {stderr}");
        assert!(stderr.contains(note), "{stderr}");
    }
    // As they are pasted from a terminal, with a fault in the third of them.
    let commands = ["ipvsadm -Sn", "ipset save", "iptables-save", "ip addr show"];
    let pasted = files.iter().zip(commands).map(|(file, command)| format!("root@node2:~# {command}\n{}", read(file)));
    let pasted = pasted
        .collect::<String>()
        .replace("-A OUTPUT -m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES\n", "");
    let (found, ..) = answer(check().stdin(&pasted));
    let codes = found.as_array().expect("findings").iter().map(|finding| finding["code"].as_str());
    assert_eq!(codes.collect::<Vec<_>>(), [Some("missing-hook")], "{found}");
}

#[test]
fn a_configured_mode_that_is_not_the_one_in_use_is_named_with_both_sides() {
    let node = of_ipvs().with_object(json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system", "name": "kube-proxy"},
        "data": {"config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: \"\"\n"},
    }));
    let found = node.check();
    let messages: Vec<&Value> = found.iter().filter(|f| f["code"] == "leftover-mode").map(|f| &f["message"]).collect();
    let families = ["ipv4", "ipv6"];
    let said = families.map(|family| {
        format!("the rules here are those of IPVS mode ({family}), but kube-proxy is configured for iptables mode")
    });
    assert_eq!(messages, [&json!(said[0]), &json!(said[1])], "{:?}", told(&found));
}

#[test]
fn services_of_both_families_stand_under_one_heading() {
    let shown = kube_ipt("show infra/dns --no-api -f").arg(node("nftables/node2/ruleset.nft")).stdout();
    let heads: Vec<&str> = shown.lines().take(8).collect();
    assert_eq!(
        heads,
        [
            "infra/dns:dns  udp",
            "├─ ipv4",
            "│  ├─ cluster IP 10.96.92.103:53  → pods: source kept; everyone else: masqueraded",
            "│  └─ 2 endpoints  service-R4RSRM2G-infra/dns/udp/dns",
            "│     ├─  50.00 % █████       10.244.1.4:53",
            "│     └─  50.00 % █████       10.244.2.6:53",
            "└─ ipv6",
            "   ├─ cluster IP [fd00:96::55f0]:53  → pods: source kept; everyone else: masqueraded",
        ]
    );
    assert!(
        shown.ends_with("nftables · ipv4, ipv6 · kube-proxy · 134 rules · from ")
            || shown.contains("nftables · ipv4, ipv6"),
        "{shown}"
    );
}

#[test]
fn proxies_that_are_not_kube_proxy_are_named_with_their_command() {
    for (dump, name, command) in [
        (":CILIUM_POST_nat - [0:0]\n-A POSTROUTING -j CILIUM_POST_nat\n", "Cilium", "cilium-dbg service list"),
        (":ANTREA-POSTROUTING - [0:0]\n", "Antrea", "antctl"),
        (":KUBE-ROUTER-INPUT - [0:0]\n", "kube-router", "ipvsadm -Ln"),
        (":OVN-KUBE-EXTERNALIP - [0:0]\n", "OVN-Kubernetes", "ovn-nbctl lb-list"),
    ] {
        let text = format!("*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n{dump}COMMIT\n");
        let (stdout, stderr, status) = kube_ipt("show --no-api").stdin(text).output();
        assert_eq!((stdout.as_str(), status), ("", Some(1)));
        assert!(stderr.contains(name) && stderr.contains(command), "{stderr}");
    }
    // Calico's eBPF dataplane leaves no chain that tells it, but interfaces.
    let interfaces = "1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n7: bpfin.cali@bpfout.cali: <UP> mtu 1500\n    inet6 fe80::1/64 scope link\n";
    let (_, stderr, _) = kube_ipt("show --no-api").stdin(interfaces).output();
    assert!(stderr.contains("Calico's eBPF dataplane") && stderr.contains("-bpf nat dump"), "{stderr}");
}
