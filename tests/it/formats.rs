//! Every form people have dumps in reads like the dump it was made from.

use std::fs;

use kube_ipt::dump::iptables::{Dump, Hints, RawRule, Rule};
use serde_json::Value;

use crate::cases::{cases, gunzip};
use crate::harness::holds;
use crate::run::{self, Run, kube_ipt, node, nodes};

/// What is said where one rule cannot be judged.
pub(crate) const UNDECIDED: &str =
    "note: 1 rule holds a condition or target that a dump does not decide, so that shares are unknown";

fn read(path: &str) -> String {
    fs::read_to_string(node(path)).expect("the fixture is there")
}

/// Chain and rule of every rule in a text, chain by chain.
fn rules(text: &str) -> Vec<(String, RawRule<'_>)> {
    let dump = Dump::scan(text, Hints::default());
    assert_eq!(dump.unread, [], "every line of a recording is understood");
    let mut all = Vec::new();
    for section in &dump.sections {
        for chain in section.chains() {
            all.extend(section.rules_of(chain).map(|raw| (chain.name.to_owned(), raw)));
        }
    }
    all
}

fn parsed<'a>(raw: &RawRule<'a>) -> Rule<'a> {
    raw.parse().unwrap_or_else(|error| panic!("line {}: {error}: {}", raw.line, raw.text))
}

#[test]
fn a_rule_whose_interface_is_not_printed_takes_nothing_from_kube_proxy() {
    // Docker's, libvirt's and firewalls' `-i docker0 -j ACCEPT`, without the column of the interface.
    let row = "     ACCEPT     0    --  0.0.0.0/0            0.0.0.0/0           \n";
    let listing = read("seed/in-sync/nat-L-n-line-numbers.txt");
    let (before, behind) = listing.split_once("1    KUBE-SERVICES").expect("the hook of PREROUTING");
    let beside =
        format!("{before}1{}2    KUBE-SERVICES{behind}", row.trim_start_matches(' ').replace("ACCEPT", "    ACCEPT"));
    let run = kube_ipt("check --node node1 --objects").arg(node("seed/in-sync/cluster.json")).stdin(&beside);
    let (stdout, _, status) = run.output();
    let doubt = "KI302 (1 rule ahead of kube-proxy's, first line 3, may take connections to Services by conditions that cannot be judged)";
    assert!(stdout.contains("\n1 info in 5 service ports\n") && stdout.contains(doubt), "{stdout}");
    assert_eq!(status, Some(0));
    // With its column it takes everything.
    let listing = read("seed/in-sync/nat-L-n-v.txt");
    let hook = "    0     0 KUBE-SERVICES  0 ";
    let whole = listing.replacen(
        hook,
        &format!("    0     0 ACCEPT     0    --  *      *       0.0.0.0/0            0.0.0.0/0           \n{hook}"),
        1,
    );
    let run = kube_ipt("check -o json --node node1 --objects").arg(node("seed/in-sync/cluster.json")).stdin(&whole);
    assert!(run.output().0.contains("KI301"));
}

#[test]
fn rows_on_both_sides_of_a_heading_are_rules() {
    // What `grep -v Chain` leaves: the rows of the next chain follow its heading.
    let text = "Chain KUBE-SERVICES (2 references)\n\
        \x20   0     0 KUBE-SVC-A  tcp  --  *      *       0.0.0.0/0            10.96.0.1            tcp dpt:80\n\
        num  target     prot opt source               destination\n\
        1    KUBE-SVC-B  tcp  --  0.0.0.0/0            10.96.0.2            tcp dpt:80\n";
    let read: Vec<_> = rules(text).iter().map(|(_, raw)| (raw.line, parsed(raw).emit())).collect();
    let rule = |last: u8, key: char| format!("-d 10.96.0.{last} -p tcp -m tcp --dport 80 -j KUBE-SVC-{key}");
    assert_eq!(read, [(2, rule(1, 'A')), (4, rule(2, 'B'))]);
    // A chain in both forms, with nothing in between.
    let text =
        text.replace("num  target     prot opt source               destination", "-A KUBE-SERVICES -j KUBE-SVC-C");
    let text = text.replace("1    KUBE-SVC-B  tcp  --  ", "    0     0 KUBE-SVC-B  tcp  --  *      *       ");
    let read: Vec<_> = rules(&text).iter().map(|(_, raw)| (raw.line, parsed(raw).emit())).collect();
    assert_eq!(read, [(2, rule(1, 'A')), (3, "-j KUBE-SVC-C".to_owned()), (4, rule(2, 'B'))]);
}

#[test]
fn the_target_is_told_whatever_stands_around_it() {
    for text in [
        "-A C -g X -m comment --comment late",
        "-A C -m mark --mark 1 -g X --option",
        "-A C -d 10.0.0.1/32 -j  X",
        "-A C -d 10.0.0.1/32 -j  X --option",
        "-A C -d 10.0.0.1/32 -j X\t-s 10.0.0.1/32",
        "-A C -d 10.0.0.1/32 -j \"X\"",
        "-A C -m comment --comment \"to -j Y\" -j X",
        "-A C --jump X",
    ] {
        let all = rules(text);
        assert_eq!(all[0].1.target_name(), Some("X"), "{text}");
        assert_eq!(parsed(&all[0].1).target.map(|target| target.name), Some("X"), "{text}");
    }
    assert_eq!(rules("-A C -m comment --comment \"to -j Y\"")[0].1.target_name(), None);
}

/// Rules that are nearly as most are: every piece of one left out, doubled, or with something before or behind it. Each line is
/// held against all that must hold of rules.
#[test]
fn usual_rules_are_told_as_they_are_parsed() {
    const CHANGES: [&str; 14] =
        ["", "!", "! ", "\"", " ", "\t", "\u{c}", "\\", "é", "-m ", "-j ", "-g X ", "-c 1 2 ", "[1:2] "];
    let mut usual = 0;
    for rule in [
        r#"-A KUBE-SVC-X -m comment --comment "a/b:c -> 10.0.0.1:80" -m statistic --mode random --probability 0.5 -j KUBE-SEP-X"#,
        "-A KUBE-SVC-X -m comment --comment a/b -m statistic --mode random --probability 1 -j X",
        r#"-A KUBE-SEP-X -p tcp -m comment --comment "a/b:c" -m tcp -j DNAT --to-destination 10.0.0.1:80"#,
        "-A -j -j KUBE-SEP-X",
    ] {
        let pieces: Vec<&str> = rule.split_inclusive(' ').collect();
        for at in 0..pieces.len() {
            let (before, piece, behind) = (pieces[..at].concat(), pieces[at].trim_end(), pieces[at + 1..].concat());
            for change in CHANGES {
                for line in [
                    format!("{before}{change}{behind}"),
                    format!("{before}{change}{piece} {behind}"),
                    format!("{before}{change} {piece} {behind}"),
                    format!("{before}{piece}{change}{behind}"),
                    format!("{before}{piece}{change} {behind}"),
                ] {
                    holds("rules", line.as_bytes());
                    let dump = Dump::scan(&line, Hints::default());
                    let rules =
                        dump.sections.iter().flat_map(|s| s.chains().iter().flat_map(|chain| s.rules_of(chain)));
                    usual += rules.filter(|raw| raw.usual().is_some()).count();
                }
            }
        }
    }
    assert!(usual > 200, "only {usual} of the lines are usual");
}

#[test]
fn parse_then_emit_is_identity_on_all_recordings() {
    let mut lines = 0;
    let mut check = |text: &str| {
        for (chain, raw) in rules(text) {
            let rule = parsed(&raw);
            let emitted = rule.emit();
            if !raw.text.starts_with("-A") && !raw.text.starts_with('[') {
                // A row of -L is emitted as the line -S would print; that line must be the same rule.
                let line = format!("-A {chain} {emitted}");
                let again = Dump::scan(&line, Hints::default());
                let section = &again.sections[0];
                let raw = section.rules_of(&section.chains()[0]).next().expect("a rule");
                assert_eq!(Rule { counters: None, ..parsed(&raw) }, Rule { counters: None, ..rule }, "{line}");
            } else {
                let written = raw.text.split_once("-A ").expect("a rule").1;
                assert_eq!(format!("{chain} {emitted}"), written, "line {}", raw.line);
            }
            lines += 1;
        }
    };
    for case in cases() {
        for entry in fs::read_dir(case).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "txt") {
                check(&fs::read_to_string(path).expect("readable"));
            }
        }
    }
    check(&gunzip(&nodes().join("large/nat-S.txt.gz")));
    assert!(lines > 46_000, "only {lines} rules were there to check");
}

#[test]
fn a_listing_is_the_same_rules_as_s() {
    for case in ["seed/in-sync", "kitchen-sink/node1", "kitchen-sink/node3", "kitchen-sink-1.30"] {
        let written = read(&format!("{case}/nat-S.txt"));
        let mut expected: Vec<String> =
            rules(&written).iter().map(|(c, r)| format!("{c} {}", parsed(r).emit())).collect();
        expected.sort();
        for listing in ["nat-L-n-line-numbers.txt", "nat-L-n-v.txt"] {
            let text = read(&format!("{case}/{listing}"));
            let mut listed: Vec<String> =
                rules(&text).iter().map(|(c, r)| format!("{c} {}", parsed(r).emit())).collect();
            listed.sort();
            // A listing leaves out the prefix length of single addresses.
            let expected: Vec<String> = expected.iter().map(|l| l.replace("/32 ", " ")).collect();
            assert_eq!(listed, expected, "{case}/{listing}");
        }
    }
}

#[test]
fn line_numbers_are_those_of_the_text() {
    let text = read("kitchen-sink/node2/save-c.txt");
    let lines: Vec<&str> = text.lines().collect();
    for (_, raw) in rules(&text) {
        assert_eq!(lines[raw.line as usize - 1], raw.text);
    }
}

/// The services of a dump, without what names its source.
fn services(run: Run) -> Value {
    run::services(run.json())
}

#[test]
fn windows_line_ends_a_mark_and_indentation_change_nothing() {
    let text = read("seed/in-sync/nat-S.txt");
    let plain = services(kube_ipt("show").stdin(&text));
    assert_eq!(services(kube_ipt("show").stdin(text.replace('\n', "\r\n"))), plain);
    assert_eq!(services(kube_ipt("show").stdin(format!("\u{feff}{text}"))), plain);
    let indented = format!("        {}", text.replace('\n', "\n        "));
    assert_eq!(services(kube_ipt("show").stdin(indented)), plain);
    let utf16: Vec<u8> = [0xff, 0xfe].into_iter().chain(text.encode_utf16().flat_map(u16::to_le_bytes)).collect();
    assert_eq!(services(kube_ipt("show").stdin(utf16)), plain);
}

#[test]
fn lost_line_breaks_are_put_back() {
    let text = read("seed/in-sync/save.txt");
    let note = "note: stdin has lost its line breaks: they were put back before every rule";
    let joined = services(kube_ipt("show").stdin(text.replace('\n', " ")).stderr(note));
    assert_eq!(joined, services(kube_ipt("show").stdin(text)));
}

#[test]
fn prompts_and_logs_around_a_dump_are_no_part_of_it() {
    let nat = read("seed/in-sync/nat-S.txt");
    let plain = services(kube_ipt("show").stdin(&nat));
    let pasted = format!("root@node1:~# iptables -t nat -S\n{nat}root@node1:~# \n");
    assert_eq!(services(kube_ipt("show").stdin(pasted)), plain);
    let save = read("seed/in-sync/save-nat.txt");
    let logged = format!("\t{}", save.trim_end().replace('\n', "\n\t")) + "\n";
    let logged = format!("I1122 08:52:28.000000       1 proxier.go:1500] \"Restoring iptables\" rules=<\n{logged} >\n");
    assert_eq!(services(kube_ipt("show").stdin(logged)), plain);
}

#[test]
fn an_echoed_command_tells_family_and_table() {
    let text = "# ip6tables -t nat -S\n-P PREROUTING ACCEPT\n-N KUBE-SERVICES\n\
                -A KUBE-SERVICES -p tcp -m tcp --dport 1 -j RETURN\n";
    let document = kube_ipt("show").stdin(text).status(1).arg("-o").arg("json");
    let (stdout, _, _) = document.output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(document["source"]["families"], serde_json::json!(["ipv6"]));
    assert_eq!(document["source"]["tables"], serde_json::json!(["nat"]));
}

#[test]
fn an_ip6_dump_without_header_is_known_by_its_addresses() {
    let document = kube_ipt("show -f").arg(node("kitchen-sink/node2/nat6-S.txt")).json();
    assert_eq!(document["source"]["families"], serde_json::json!(["ipv6"]));
    assert_eq!(document["services"][0]["family"], "ipv6");
    assert_eq!(document["services"][0]["frontends"][0]["address"], "fd00:96::9b68");
}

#[test]
fn family_decides_where_a_dump_does_not() {
    let text = "-A KUBE-SERVICES -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
                -A KUBE-SVC-X -m comment --comment \"a/b\" -j KUBE-SEP-Y\n";
    let family = |flag: &str| {
        let (stdout, _, _) = kube_ipt(flag).stdin(text).arg("-o").arg("json").output();
        serde_json::from_str::<Value>(&stdout).expect("JSON")["source"]["families"].take()
    };
    assert_eq!(family("show --family ipv6"), serde_json::json!(["ipv6"]));
    assert_eq!(family("show"), serde_json::json!(["ipv4"]));
}

#[test]
fn a_dump_cut_off_in_a_rule_says_so_and_keeps_the_rest() {
    let text = read("seed/in-sync/nat-S.txt");
    let cut = text.find("-A KUBE-SVC-TCOU7JCQXEZGVUNU -m comment").expect("the rule is there");
    let whole = services(kube_ipt("show nginx-service").stdin(&text));
    let note = "note: stdin ends inside the nat table: what stood behind its last line is missing";
    let show = |args: &str| kube_ipt(args).stdin(&text[..cut + 60]).stderr(note);
    assert_eq!(services(show("show nginx-service")), whole);
    let document = show("show kube-dns:dns").json();
    assert_eq!(document["services"][0]["status"], "unknown");
    assert_eq!(document["services"][0]["pools"][0]["undelivered"], Value::Null);
    let (_, stderr, _) = kube_ipt("show kube-dns:dns -v").stdin(&text[..cut + 60]).output();
    let line =
        "note: stdin line 71: cut off, not used: '-A KUBE-SVC-TCOU7JCQXEZGVUNU -m comment --comment \"kube-syst'";
    assert_eq!(stderr, format!("{line}\n{note}\n"));
}

#[test]
fn lines_that_are_not_understood_are_counted_and_listed() {
    let text = format!("dear colleague,\n{}see above\n", read("seed/in-sync/nat-S.txt"));
    let counted = "note: stdin: 2 lines were not understood, first line 1: 'dear colleague,' (-v lists them)";
    kube_ipt("list").stdin(&text).stderr(counted).stdout();
    let listed =
        "note: stdin line 1: not understood: 'dear colleague,'\nnote: stdin line 74: not understood: 'see above'";
    kube_ipt("list -v").stdin(&text).stderr(listed).stdout();
}

#[test]
fn unknown_matches_are_listed_and_make_shares_unknown() {
    let text = "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n\
                -A KUBE-SVC-X -m quantum --spin up -j KUBE-SEP-A\n\
                -A KUBE-SVC-X -j KUBE-SEP-B\n\
                -A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n\
                -A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:80\n";
    let note = "note: stdin line 2: cannot judge quantum: '-A KUBE-SVC-X -m quantum --spin up -j KUBE-SEP-A'";
    let document = kube_ipt("show -v").stdin(text).stderr(format!("{note}\n{UNDECIDED}")).json();
    let pool = &document["services"][0]["pools"][0];
    assert_eq!(pool["endpoints"][0]["probability"], Value::Null);
    assert_eq!(pool["endpoints"][1]["probability"], Value::Null);
    assert_eq!(document["services"][0]["status"], "unknown");
    let tree = kube_ipt("show").stdin(text).stderr(UNDECIDED).stdout();
    assert!(tree.contains("! line 2: a condition or target that a dump does not decide"), "{tree}");
}

#[test]
fn warnings_of_iptables_are_passed_on() {
    let warning = "# Warning: iptables-legacy tables present, use iptables-legacy to see them\n";
    let text = warning.to_owned() + &read("seed/in-sync/nat-S.txt");
    let note = "note: stdin line 1: Warning: iptables-legacy tables present, use iptables-legacy to see them";
    kube_ipt("list").stdin(text).stderr(note).stdout();
}

#[test]
fn what_is_no_dump_is_named() {
    let save = "save the rules of the node with: iptables-save > FILE";
    for (text, looks, hint) in [
        ("<!DOCTYPE html>\n<html></html>", "looks like a web page (HTML)", save),
        ("---\na: b\n", "looks like YAML", save),
        (
            "apiVersion: v1\nkind: List\n",
            "holds objects of an API server, not rules",
            "--objects -    (reads them from standard input; the rules come by -f or from this node)",
        ),
        ("{\"apiVersion\": \"v1\"}", "looks like JSON", save),
        ("dear all,\nnothing here\n", "holds no line of an iptables dump", save),
    ] {
        let error = format!(
            "error: stdin {looks}; expected rules of iptables or nftables, or an ipvsadm listing\n  try:  {hint}"
        );
        assert_eq!(kube_ipt("list").stdin(text).status(2).stderr(error).stdout(), "");
    }
}

#[test]
fn several_saves_of_one_table_show_the_last() {
    let first = read("seed/in-sync/save.txt");
    let second = read("kitchen-sink/node2/save.txt");
    let note = "note: 2 nat tables (ipv4) were read: the last one is shown, from stdin";
    let both = services(kube_ipt("list").stdin(first.clone() + &second).stderr(note));
    assert_eq!(both, services(kube_ipt("list").stdin(&second)));
}

#[test]
fn rules_of_both_backends_are_never_mixed() {
    let nft = read("seed/in-sync/save.txt");
    let legacy = read("kitchen-sink/node3/save.txt");
    let note = "note: KUBE rules in both nf_tables and legacy (ipv4): both act on traffic, only nf_tables is shown";
    let document = kube_ipt("list").stdin(legacy + &nft).stderr(note).json();
    assert_eq!(document["source"]["backend"], "nf_tables");
    assert_eq!(run::services(document), services(kube_ipt("list").stdin(nft)));
}

#[test]
fn the_kube_lines_of_a_save_read_as_well_as_the_whole() {
    let kube = |text: &str| text.lines().filter(|l| l.contains("KUBE")).fold(String::new(), |out, l| out + l + "\n");
    let mut checked = 0;
    for case in cases() {
        for files in [&["save.txt"][..], &["save-c.txt"], &["save-nat.txt"], &["save6.txt"], &["save.txt", "save6.txt"]]
        {
            let Ok(text) = files.iter().map(|f| fs::read_to_string(case.join(f))).collect::<Result<String, _>>() else {
                continue;
            };
            let (whole, _, _) = kube_ipt("show -o json").stdin(&text).output();
            let (part, stderr, _) = kube_ipt("show -o json").stdin(kube(&text)).output();
            let services = |json: &str| run::services(serde_json::from_str(json).expect("JSON"));
            assert_eq!(services(&part), services(&whole), "{} {files:?}: {stderr}", case.display());
            checked += 1;
        }
    }
    assert!(checked >= 60, "only {checked} dumps were there to check");
}

#[test]
fn both_families_without_headers_stay_apart() {
    for node in ["node1", "node3"] {
        let text = read(&format!("kitchen-sink/{node}/save.txt")) + &read(&format!("kitchen-sink/{node}/save6.txt"));
        let bare: String = text.lines().filter(|l| !l.starts_with('#')).fold(String::new(), |out, l| out + l + "\n");
        assert_eq!(services(kube_ipt("show").stdin(bare)), services(kube_ipt("show").stdin(text)), "{node}");
    }
    let empty_v6 = "*nat\n:PREROUTING ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n-A PREROUTING -j KUBE-SERVICES\n\
                    -A KUBE-SERVICES -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS\nCOMMIT\n";
    let four = read("seed/in-sync/save-nat.txt");
    assert_eq!(services(kube_ipt("show").stdin(four.clone() + empty_v6)), services(kube_ipt("show").stdin(four)));
}

#[test]
fn a_table_fetched_chain_by_chain_is_one_table() {
    let text = read("seed/in-sync/nat-S.txt");
    let mut plain = String::new();
    let mut transcript = String::new();
    for chain in text.lines().filter_map(|l| l.strip_prefix("-N ")) {
        let of = |l: &&str| l.starts_with(&format!("-A {chain} ")) || *l == format!("-N {chain}");
        let printed = text.lines().filter(of).fold(String::new(), |out, l| out + l + "\n");
        transcript.extend(["$ iptables -t nat -S ", chain, "\n", &printed]);
        plain += &printed;
    }
    let whole = services(kube_ipt("show").stdin(text));
    assert_eq!(services(kube_ipt("show").stdin(transcript)), whole);
    assert_eq!(services(kube_ipt("show").stdin(plain)), whole);
}

#[test]
fn every_way_to_name_a_table_is_understood_and_remarks_are_not() {
    let nat = read("seed/in-sync/nat-S.txt");
    let whole = services(kube_ipt("show").stdin(&nat));
    for command in [
        "iptables -t nat -S",
        "sudo iptables -tnat -S",
        "iptables --table nat -S",
        "iptables --table=nat -S",
        "iptables -S",
    ] {
        assert_eq!(services(kube_ipt("show").stdin(format!("root@n:~# {command}\n{nat}"))), whole, "{command}");
    }
    let save = read("seed/in-sync/save-nat.txt");
    let half = save.len() / 2 + save[save.len() / 2..].find('\n').expect("a line") + 1;
    for remark in ["# use iptables -L to list filter\n", "# iptables rules below\n"] {
        let remarked = save[..half].to_owned() + remark + &save[half..];
        assert_eq!(services(kube_ipt("show").stdin(remarked)), whole, "{remark}");
    }
    let warned = save[..half].to_owned() + "iptables-save v1.8.4 (legacy): some warning\n" + &save[half..];
    let note = "note: stdin: 1 line was not understood, first line 55: 'iptables-save v1.8.4 (legacy): some warning' (-v lists them)";
    let (stdout, stderr, _) = kube_ipt("show -o json").stdin(warned).output();
    assert_eq!(run::services(serde_json::from_str(&stdout).expect("JSON")), whole);
    assert!(stderr.starts_with(&note[..40]), "{stderr}");
}

#[test]
fn what_a_cut_off_file_has_lost_is_not_called_broken() {
    let save = read("kitchen-sink/node1/save.txt");
    let (cut, _) = save.split_at(20_001 + save[20_000..].find('\n').expect("a line"));
    let note = "note: stdin ends inside the nat table: what stood behind its last line is missing";
    let document = kube_ipt("list").stdin(cut).stderr(note).json();
    assert_eq!(document["source"]["partial"], true);
    for service in document["services"].as_array().expect("services") {
        assert_ne!(service["status"], "undelivered", "{service:#}");
    }
    let listed = read("kitchen-sink/node1/nat-S.txt");
    let at = listed.find("-A KUBE-SVC-47Q6CLYAHVWMZ37Y -m").expect("the rule is there");
    let document = kube_ipt("list").stdin(&listed[..at + 50]).stderr(note).json();
    assert_eq!(document["source"]["partial"], true);
    assert!(document["services"].as_array().is_some_and(|s| s.iter().all(|s| s["status"] != "undelivered")));
}

#[test]
fn tables_of_two_nodes_are_not_mixed() {
    let two =
        kube_ipt("list -f").arg(node("kitchen-sink/node1/save.txt")).arg("-f").arg(node("seed/in-sync/nat-S.txt"));
    let path = node("seed/in-sync/nat-S.txt");
    let note = format!("note: 2 nat tables (ipv4) were read: the last one is shown, from {path}");
    let document = two.stderr(note).json();
    let alone = kube_ipt("list -f").arg(&path).json();
    assert_eq!(document["services"], alone["services"]);
    assert_eq!(document["source"]["from"], path.as_str());
}

#[test]
fn names_that_a_listing_without_n_prints_are_read() {
    let dump = "Chain KUBE-SERVICES (2 references)\ntarget     prot opt source               destination         \n\
                KUBE-SVC-X  tcp  --  anywhere             10.96.0.1            /* a/b cluster IP */ tcp dpt:https\n\
                KUBE-SVC-Y  tcp  --  anywhere             10.96.0.2            /* a/nfs cluster IP */ tcp dpt:nfs\n\
                RETURN     all  --  anywhere             some.host.example    \n";
    let note = "note: 1 rule beside those of Services cannot be judged and may take their traffic, first stdin line 5";
    let document = kube_ipt("list").stdin(dump).stderr(note).json();
    assert_eq!(document["services"][0]["frontends"][0]["port"], 443);
    assert_eq!(document["services"][1]["frontends"][0]["port"], Value::Null);
    let rows = kube_ipt("list").stdin(dump).stderr(note).stdout();
    assert!(rows.contains("10.96.0.2:?"), "{rows}");
}

/// The tables of a save in the form of `iptables -t TABLE -S`, by name.
fn as_listed(save: &str) -> Vec<(String, String)> {
    let mut tables: Vec<(String, String)> = Vec::new();
    for line in save.lines() {
        if let Some(name) = line.strip_prefix('*') {
            tables.push((name.to_owned(), String::new()));
            continue;
        }
        let Some((_, text)) = tables.last_mut() else { continue };
        if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (name, policy) = (words.next().expect("a name"), words.next().expect("a policy"));
            match policy {
                "-" => text.extend(["-N ", name, "\n"]),
                policy => text.extend(["-P ", name, " ", policy, "\n"]),
            }
        } else if line.starts_with("-A") {
            text.extend([line, "\n"]);
        }
    }
    tables
}

#[test]
fn what_is_cut_out_reordered_or_unmarked_gives_the_same_services() {
    for node in ["node1", "node3"] {
        let (four, six) =
            (read(&format!("kitchen-sink/{node}/save.txt")), read(&format!("kitchen-sink/{node}/save6.txt")));
        let whole = services(kube_ipt("show").stdin(four.clone() + &six));
        let keep = |test: &dyn Fn(&str) -> bool| {
            (four.clone() + &six).lines().filter(|l| test(l)).fold(String::new(), |out, l| out + l + "\n")
        };
        let table = |save: &str, name: &str| {
            let table = as_listed(save).into_iter().find(|(table, _)| table == name).expect("the table is there");
            table.1
        };
        let (nat4, nat6) = (table(&four, "nat"), table(&six, "nat"));
        let (filter4, filter6) = (table(&four, "filter"), table(&six, "filter"));
        for (what, text) in [
            ("only rules", keep(&|l| l.starts_with("-A"))),
            ("hooks and KUBE", keep(&|l| ["KUBE", "PREROUTING", "OUTPUT"].iter().any(|w| l.contains(w)))),
            ("no table marks", keep(&|l| !l.starts_with('*'))),
            ("no COMMIT", keep(&|l| l != "COMMIT")),
            ("nat, nat, filter, filter", [&*nat4, &nat6, &filter4, &filter6].concat()),
            ("nat, filter, filter, nat", [&*nat4, &filter4, &filter6, &nat6].concat()),
            ("filter, filter, nat, nat", [&*filter4, &filter6, &nat4, &nat6].concat()),
            ("six first", six.clone() + &four),
        ] {
            let (stdout, stderr, _) = kube_ipt("show -o json").stdin(text).output();
            let document: Value = serde_json::from_str(&stdout).expect("JSON");
            assert_eq!(run::services(document), whole, "{node}, {what}: {stderr}");
            assert!(!stderr.contains("cannot be judged"), "{node}, {what}: {stderr}");
        }
    }
}

#[test]
fn a_save_cut_anywhere_calls_nothing_broken() {
    let save = read("kitchen-sink/node1/save.txt");
    let nat = save.find("*nat").expect("nat is there");
    for at in (nat..save.len() - 60).step_by(631) {
        let (stdout, _, status) = kube_ipt("show -o json").stdin(&save[..at]).output();
        assert!(matches!(status, Some(0 | 1)), "cut at {at}");
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(document["source"]["partial"], true, "cut at {at}");
        for service in document["services"].as_array().expect("services") {
            assert_ne!(service["status"], "undelivered", "cut at {at}: {service:#}");
        }
    }
}

#[test]
fn the_kube_rows_of_a_listing_hold_no_dnat_and_say_so() {
    let listing = read("seed/in-sync/nat-L-n-v.txt");
    let kube = listing.lines().filter(|l| l.contains("KUBE")).fold(String::new(), |out, l| out + l + "\n");
    let (stdout, _, _) = kube_ipt("show nginx-service -o json").stdin(kube).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(document["services"][0]["status"], "unknown");
    // Where the rows that balance say the address, it is known all the same.
    let addresses: Vec<&str> = document["services"][0]["pools"][0]["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .filter_map(|e| e["address"].as_str())
        .collect();
    assert_eq!(addresses, ["10.244.1.3:80", "10.244.3.2:80", "10.244.3.3:80"]);
}

#[test]
fn the_filter_table_alone_knows_who_is_refused() {
    let save = read("kitchen-sink/node2/save.txt");
    let filter = &save[save.find("*filter").expect("filter is there")..save.find("*nat").expect("nat is there")];
    let note = "note: there is no nat table here: only Services that the filter table refuses are known";
    let document = kube_ipt("list").stdin(filter).stderr(note).json();
    let names: Vec<&str> =
        document["services"].as_array().expect("services").iter().filter_map(|s| s["name"].as_str()).collect();
    assert_eq!(names, ["broken", "nobody", "nobody-np"]);
    assert_eq!(document["source"]["partial"], true);
}

#[test]
fn a_paste_without_its_last_line_end_is_whole() {
    for file in ["seed/in-sync/nat-S.txt", "kitchen-sink/node1/nat-S.txt"] {
        let text = read(file);
        let document = kube_ipt("list").stdin(text.trim_end()).json();
        assert_eq!(document["source"]["partial"], false, "{file}");
    }
}

#[test]
fn untouched_recordings_are_read_without_a_word() {
    for case in cases() {
        for entry in fs::read_dir(case).expect("a folder") {
            let path = entry.expect("readable").path();
            if path.extension().is_some_and(|e| e == "txt") {
                let (_, stderr, _) = kube_ipt("list -f").arg(&path).output();
                // The seed node has no IPv6 Services.
                let seed = path.to_string_lossy().contains("/seed/");
                let nothing = seed && stderr.starts_with("error: no Services in the ");
                let without_hook = path.to_string_lossy().contains("/missing-hook/")
                    && stderr.starts_with("note: PREROUTING of the nat ");
                assert!(stderr.is_empty() || nothing || without_hook, "{}: {stderr}", path.display());
            }
        }
    }
}

/// A text as a tool writes it.
fn each(text: &str, quoted: Quoting<'_>) -> String {
    text.lines().flat_map(|line| [quoted(line), "\n".to_owned()]).collect()
}

/// How a tool writes a line.
type Quoting<'q> = &'q dyn Fn(&str) -> String;

#[test]
fn lines_that_another_tool_has_quoted_are_taken_out_of_their_quotes() {
    let text = read("kitchen-sink/node1/save.txt");
    let json = |line: &str| serde_json::to_string(line).expect("a string");
    let forms: [(&str, Quoting<'_>); 7] = [
        ("a log of Docker", &|line| format!("{{\"log\":{},\"stream\":\"stdout\"}}", json(&format!("{line}\n")))),
        ("an export with the message last", &|line| {
            format!("{{\"time\": \"2026-11-22T08:52:28Z\", \"message\": {}}}", json(line))
        }),
        ("a list of Ansible", &|line| format!("        {},", json(line))),
        ("CSV", &|line| format!("2026-11-22 08:52:28,\"{}\"", line.replace('"', "\"\""))),
        ("logfmt", &|line| format!("level=info msg={}", json(line))),
        ("YAML", &|line| format!("- '{}'", line.replace('\'', "''"))),
        ("Python", &|line| format!("'{line}'")),
    ];
    let services = |text: &str| {
        let (stdout, ..) = kube_ipt("list --no-api -o json").stdin(text).output();
        run::services(serde_json::from_str(&stdout).expect("JSON"))
    };
    let plain = services(&text);
    for (form, quoted) in forms {
        assert_eq!(services(&each(&text, quoted)), plain, "{form}");
    }
    // A key may be indented as the lines are.
    let lines = each(&text, &|line| format!("  {},", json(line)));
    assert_eq!(services(&format!("{{\n  \"stdout_lines\": [\n{lines}  ]\n}}\n")), plain);
    // What is cut off in the last line is no reason to give up.
    let mut cut = each(&text, &|line| format!("{{\"log\":{}}}", json(&format!("{line}\n"))));
    cut.truncate(cut.len() - 20);
    assert_eq!(services(&cut), plain);
    // Go writes `>` as a number, and YAML has no escapes in single quotes.
    let arrows = each(&text, &|line| format!("{{\"log\":{}}}", json(line).replace('>', "\\u003e")));
    assert_eq!(services(&arrows), plain);
    let odd = text.replace(
        "-A PREROUTING -m comment",
        "-A PREROUTING -p udp -m comment --comment \"don\\'t\" -j RETURN\n-A PREROUTING -m comment",
    );
    let as_yaml = each(&odd, &|line| format!("- '{}'", line.replace('\'', "''")));
    let rules = |text: &str| {
        let (_, stderr, _) = kube_ipt("list --no-api -v").stdin(text).output();
        stderr.contains("not understood")
    };
    assert_eq!((rules(&odd), rules(&as_yaml)), (false, false));
}
