//! Parts of a healthy node's dump: what is missing in the text is not missing on the node.

use std::fs;

use serde_json::{Value, json};

use crate::broken::{Node, clean, of_ipvs, told};
use crate::run::{kube_ipt, listed, node};

/// What may be found in a part of a dump: that it is one.
const PARTIAL: &str = "partial-dump";

fn findings_in(text: String) -> Vec<String> {
    let found = told(&Node { dumps: vec![text], ..clean("node1") }.check());
    found.into_iter().filter(|finding| !finding.starts_with(PARTIAL)).collect()
}

fn recorded(file: &str) -> String {
    fs::read_to_string(node(&format!("kitchen-sink/node1/{file}"))).expect("the recording is there")
}

#[test]
fn a_dump_that_is_cut_raises_no_alarm() {
    // The rules of the last few chains of -S may as well have been taken out of the node; the first lines say too little.
    for (file, first, untold) in [("save.txt", 3, 0), ("nat-S.txt", 12, 20), ("nat-L-n-v.txt", 20, 0)] {
        let text = recorded(file);
        let lines: Vec<&str> = text.lines().collect();
        for cut in (first..lines.len() - untold).step_by(13) {
            assert_eq!(findings_in(lines[..cut].join("\n") + "\n"), [""; 0], "{file} cut behind line {cut}");
        }
        assert_eq!(findings_in(text.clone()), [""; 0], "{file} whole");
    }
    // Between the rules of a chain's affinity and those of its shares.
    let save = recorded("save.txt");
    let at = save.rfind("--rcheck").expect("a Service with affinity");
    let end = at + save[at..].find('\n').expect("a line") + 1;
    assert_eq!(findings_in(save[..end].to_owned()), [""; 0]);
}

#[test]
fn a_dump_that_is_cut_at_any_byte_raises_no_alarm_and_has_no_wrong_share() {
    let whole = shares_in(recorded("save.txt"), true).expect("an answer");
    let grepped = |file: &str| grep(&recorded(file), &["KUBE"], 0);
    for (text, name) in [
        (recorded("save.txt"), "save"),
        (recorded("nat-S.txt"), "-S"),
        (recorded("nat-L-n-v.txt"), "-L"),
        (grepped("save.txt"), "save | grep KUBE"),
        (grepped("nat-S.txt"), "-S | grep KUBE"),
    ] {
        let mut known = 0;
        for cut in (400..text.len()).step_by(1009) {
            let (part, end) = (&text[..cut], &text[cut - 60..cut]);
            let Some(told) = shares_in(part.to_owned(), true) else { continue };
            known += told.len();
            let wrong: Vec<_> = told.into_iter().filter(|share| !whole.contains(share)).collect();
            assert_eq!(wrong, [], "{name} cut behind {end:?}");
            assert_eq!(findings_in(part.to_owned()), [""; 0], "{name} cut behind {end:?}");
        }
        assert!(known > 100, "{name}: {known} shares are known");
    }
}

#[test]
fn what_grep_v_leaves_raises_no_alarm() {
    let text = recorded("save.txt");
    for word in ["KUBE-SEP", "KUBE-MARK-MASQ", "MASQ", "DNAT", "statistic", "KUBE-SERVICES", "KUBE-NODEPORTS"] {
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains(word)).collect();
        assert_eq!(findings_in(kept.join("\n") + "\n"), [""; 0], "grep -v {word}");
    }
}

#[test]
fn what_terminals_and_chats_did_to_lines_is_undone() {
    let text = recorded("save.txt");
    let whole = shares_in(text.clone(), false).expect("an answer");
    let each = |line: &dyn Fn(&str) -> String| text.lines().map(line).collect::<String>();
    let wrapped = |width: usize| {
        each(&|line| {
            line.as_bytes().chunks(width).map(|part| String::from_utf8_lossy(part).into_owned() + "\n").collect()
        })
    };
    for (text, what) in [
        (wrapped(80), "wrapped"),
        (wrapped(132), "wrapped"),
        (wrapped(180), "wrapped"),
        (text.replace(' ', "\t"), "tabs"),
        (text.replace("--", "–"), "dashes"),
        (text.replace("KUBE", "\u{1b}[01;31m\u{1b}[KKUBE\u{1b}[m\u{1b}[K"), "colours"),
    ] {
        assert_eq!(findings_in(text.clone()), [""; 0], "{what}");
        assert_eq!(shares_in(text, false), Some(whole.clone()), "{what}");
    }
    // What was cut is lost: nothing is said of it.
    for width in [80, 120, 160, 200] {
        let text = each(&|line| line[..line.len().min(width)].to_owned() + "\n");
        assert_eq!(findings_in(text.clone()), [""; 0], "cut at {width}");
        let told = shares_in(text, false).unwrap_or_default();
        assert!(told.iter().all(|share| whole.contains(share)), "cut at {width}: {told:?}");
    }
}

#[test]
fn rules_without_the_names_of_their_tables_raise_no_alarm() {
    let rules = recorded("save.txt").lines().filter(|line| line.starts_with("-A")).collect::<Vec<_>>().join("\n");
    assert_eq!(findings_in(rules), [""; 0]);
}

#[test]
fn a_listing_that_lacks_what_its_headings_tell_of_is_a_part() {
    let listing = recorded("nat-L-n-v.txt");
    let without = |word: &str| {
        let kept: Vec<&str> = listing.lines().filter(|line| !line.contains(word)).collect();
        kept.join("\n") + "\n"
    };
    let partial =
        |text: String| Node { dumps: vec![text], ..clean("node1") }.run("check").json()["source"]["partial"].clone();
    assert_eq!((partial(listing.clone()), partial(without("shop/web cluster IP"))), (json!(false), json!(true)));
}

/// The lines that hold one of `words`, as grep gives them: with so many lines of what follows, and `--` between places.
fn grep(text: &str, words: &[&str], after: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let found = |at: usize| words.iter().any(|word| lines[at].contains(word));
    let mut kept = String::new();
    let mut last = None;
    for at in (0..lines.len()).filter(|&at| (at.saturating_sub(after)..=at).any(found)) {
        if after > 0 && last.is_some_and(|last| last + 1 < at) {
            kept += "--\n";
        }
        kept += lines[at];
        kept.push('\n');
        last = Some(at);
    }
    kept
}

/// The part that each endpoint of each pool gets, where it is known.
fn shares(list: &Value) -> Vec<(String, f64)> {
    let each = |value: &Value| value.as_array().expect("a list").clone();
    let mut shares = Vec::new();
    for service in each(&list["services"]) {
        for pool in each(&service["pools"]) {
            for endpoint in each(&pool["endpoints"]) {
                let place = [&service["service"], &pool["policy"], &endpoint["address"]];
                shares.extend(endpoint["probability"].as_f64().map(|share| (format!("{place:?}"), share)));
            }
        }
    }
    shares
}

#[test]
fn what_grep_leaves_of_a_healthy_node_raises_no_alarm_and_has_no_wrong_share() {
    let list = |text: &str| Node { dumps: vec![text.to_owned()], ..clean("node1") }.run("list -o json").output();
    let read = |stdout: &str| shares(&serde_json::from_str(stdout).expect("JSON"));
    for file in ["save.txt", "save-c.txt", "nat-S.txt", "nat-L-n-v.txt", "nat-L-n-line-numbers.txt"] {
        let text = recorded(file);
        let whole = read(&list(&text).0);
        let mut read_any = 0;
        for words in [
            &["KUBE"][..],
            &["KUBE-S"],
            &["KUBE-SVC"],
            &["KUBE-SEP"],
            &["SVC", "SEP"],
            &["DNAT", "Chain"],
            &["KUBE", "Chain"],
            &["10.244"],
            &["10.244.2"],
            &["10.244.2.7"],
            &["10.244.3"],
            &["10.244.3.6"],
            &["10.96"],
            &["cluster IP"],
            &["MASQ"],
            &["tcp"],
            &["shop/web"],
            &["edge/"],
            &["-A"],
        ] {
            for after in [0, 2] {
                let part = grep(&text, words, after);
                let (stdout, stderr, status) = list(&part);
                if status == Some(2) {
                    assert!(
                        stderr.contains("rows of iptables -L without their headings"),
                        "{file} {words:?}: {stderr}"
                    );
                    continue;
                }
                read_any += 1;
                let wrong: Vec<_> = read(&stdout).into_iter().filter(|share| !whole.contains(share)).collect();
                assert_eq!(wrong, [], "{file}: grep -A{after} {words:?}");
                assert_eq!(findings_in(part.clone()), [""; 0], "{file}: grep -A{after} {words:?}");
                let alone = Node { dumps: vec![part], ..clean("node1") }.run_alone("list --no-api -o json").output();
                let wrong: Vec<_> = read(&alone.0).into_iter().filter(|share| !whole.contains(share)).collect();
                assert_eq!(wrong, [], "{file}: grep -A{after} {words:?} without objects");
            }
        }
        assert!(read_any > 10, "{file}: only {read_any} of the parts were read");
    }
}

#[test]
fn what_is_cut_around_a_chain_leaves_its_shares_unknown() {
    let known = |part: &str| {
        let run = Node { dumps: vec![part.to_owned()], ..clean("node1") }.run_alone("list --no-api -o json").output();
        shares(&serde_json::from_str(&run.0).expect("JSON"))
    };
    let listing = recorded("nat-L-n-v.txt");
    // grep -A3 'Chain KUBE-SVC-SI6' ends in the middle of the chain.
    let at = listing.find("Chain KUBE-SVC-SI6XKT4AIXPW4U4H").expect("shop/cart:metrics");
    let part: String = listing[at..].lines().take(4).map(|line| line.to_owned() + "\n").collect();
    assert_eq!(known(&part), []);
    // Rules for two of four endpoints, of which the first takes a quarter.
    let part = grep(&recorded("save.txt"), &["10.244.2.7:8080", "10.244.3.5:8080"], 0);
    assert!(known(&part).iter().all(|(place, _)| !place.contains("shop/cart:metrics")), "{part}");
    // The heading of the last chain and nothing below it.
    let at = listing.find("Chain POSTROUTING").expect("a built-in chain");
    let end = at + listing[at..].find('\n').expect("a line") + 1;
    assert_eq!(findings_in(listing[..end].to_owned()), [""; 0]);
}

#[test]
fn what_stands_behind_a_whole_dump_is_no_gap_in_it() {
    let leaky = fs::read_to_string(node("faults/leaky-chain/save.txt")).expect("the recording is there");
    let found = |text: &str| told(&Node { dumps: vec![text.to_owned()], ..clean("node1") }.alone());
    let whole = found(&leaky);
    assert!(whole.iter().any(|finding| finding.starts_with("leaky-chain error")), "{whole:?}");
    let listing = recorded("nat-L-n-v.txt");
    for behind in ["-- \nthe operator\n", "--\n", "\n$ ip route\n10.244.1.0/24 via 10.200.0.11 dev eth1\n"] {
        assert_eq!(found(&(leaky.clone() + behind)), whole, "{behind}");
        assert_eq!(found(&(listing.clone() + behind)), found(&listing), "{behind}");
    }
}

#[test]
fn a_save_without_its_beginning_has_no_share_for_the_chain_it_begins_in() {
    let text = recorded("save.txt");
    let at = text.rfind("\n-A KUBE-SVC-SI6XKT4AIXPW4U4H ").expect("shop/cart:metrics");
    let at = text[..at].rfind("\n-A KUBE-SVC-SI6XKT4AIXPW4U4H ").expect("more rules of it") + 1;
    let (stdout, ..) = Node { dumps: vec![text[at..].to_owned()], ..clean("node1") }.run("list -o json").output();
    let list: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(list["source"]["partial"], json!(true));
    let known = shares(&list);
    assert!(known.iter().all(|(place, _)| !place.contains("shop/cart:metrics")), "{known:?}");
    assert!(known.iter().any(|(place, _)| place.contains("shop/web-sticky")), "{known:?}");
}

/// The shares in a part of a dump, with what the cluster says or without. Without a rule that leads anywhere there is no answer.
fn shares_in(dump: String, alone: bool) -> Option<Vec<(String, f64)>> {
    let node = Node { dumps: vec![dump], ..clean("node1") };
    let run = if alone { node.run_alone("list --no-api -o json") } else { node.run("list -o json") };
    Some(shares(&serde_json::from_str(&run.output().0).ok()?))
}

#[test]
fn what_head_and_tail_leave_has_no_wrong_share() {
    for file in ["nat-S.txt", "save.txt"] {
        let text = recorded(file);
        let whole = shares_in(text.clone(), false).expect("an answer");
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let pools = lines.iter().rposition(|line| line.contains("-A KUBE-SERVICES")).expect("rules of it") + 1;
        let mut known = 0;
        for from in (pools..lines.len()).step_by(5) {
            for end in [lines.len(), lines.len().min(from + 17)] {
                let part = lines[from..end].concat();
                let Some(mut told) = shares_in(part.clone(), true) else { continue };
                told.extend(shares_in(part.clone(), false).expect("an answer"));
                known += told.len();
                let wrong: Vec<_> = told.into_iter().filter(|share| !whole.contains(share)).collect();
                assert_eq!(wrong, [], "{file}:\n{part}");
                assert_eq!(findings_in(part.clone()), [""; 0], "{file}:\n{part}");
            }
        }
        assert!(known > 100, "{file}: {known} shares are known");
    }
}

/// The recording of nftables with one change, checked.
fn nftables(folder: &str, node_name: &str, change: impl Fn(&str) -> String) -> Vec<String> {
    let path = |file: &str| node(&format!("nftables/{folder}/{file}"));
    let text = fs::read_to_string(path("ruleset.nft")).expect("the recording is there");
    let changed = change(&text);
    let run =
        kube_ipt("check -o json --fail-on never --node").arg(node_name).arg("--objects").arg(path("cluster.json"));
    let answer: Value = serde_json::from_str(&run.stdin(changed).stdout()).expect("JSON");
    told(answer["findings"].as_array().expect("a list"))
}

#[test]
fn a_ruleset_of_nftables_that_is_cut_at_any_byte_raises_no_alarm() {
    for (folder, name) in [("node2", "node2"), ("node1-1.30", "node1")] {
        let path = |file: &str| node(&format!("nftables/{folder}/{file}"));
        let text = fs::read_to_string(path("ruleset.nft")).expect("the recording is there");
        let whole = nftables(folder, name, str::to_owned);
        let mut answers = 0;
        for cut in (300..text.len()).step_by(499) {
            let run = kube_ipt("check -o json --node").arg(name).arg("--objects").arg(path("cluster.json"));
            let (stdout, ..) = run.stdin(&text[..cut]).output();
            // Where no table is there yet, there is no answer.
            let Ok(answer) = serde_json::from_str::<Value>(&stdout) else { continue };
            let found = told(answer["findings"].as_array().expect("a list"));
            let is_new = |finding: &String| !finding.starts_with(PARTIAL) && !whole.contains(finding);
            assert_eq!(found.into_iter().filter(is_new).collect::<Vec<_>>(), [""; 0], "{folder} cut at {cut}");
            answers += 1;
        }
        assert!(answers > 30, "{folder}: {answers}");
    }
}

#[test]
fn a_masquerade_rule_of_nftables_that_is_gone_is_missed() {
    let before = nftables("node1-1.30", "node1", str::to_owned);
    assert!(before.iter().all(|finding| !finding.contains("masquerade")), "{before:?}");
    let gone = |text: &str| text.replacen("\n\t\tmasquerade fully-random", "", 1);
    let mut after = nftables("node1-1.30", "node1", gone);
    after.retain(|finding| !before.contains(finding));
    assert_eq!(after, ["masquerade-mismatch error masquerading mark"]);
}

#[test]
fn a_map_of_refusals_that_nothing_asks_is_missed() {
    let gone = |lookup: &'static str| {
        move |text: &str| {
            assert!(text.contains(lookup), "{lookup}");
            text.lines().filter(|line| !line.contains(lookup)).fold(String::new(), |kept, line| kept + line + "\n")
        }
    };
    for (folder, node_name) in [("node2", "node2"), ("node1-1.30", "node1")] {
        let before = nftables(folder, node_name, str::to_owned);
        for (lookup, hooks) in [
            ("vmap @no-endpoint-services", &["forward", "input", "output"][..]),
            ("vmap @no-endpoint-nodeports", &["input"]),
            ("vmap @firewall-ips", &["output", "prerouting"]),
            ("jump firewall-check", &["output", "prerouting"]),
        ] {
            let mut after = nftables(folder, node_name, gone(lookup));
            after.retain(|finding| !before.contains(finding) && finding.starts_with("missing-hook"));
            let wanted: Vec<String> = hooks.iter().map(|hook| format!("missing-hook warning {hook}")).collect();
            assert_eq!(after, wanted, "{folder}: without {lookup}");
        }
    }
}

#[test]
fn the_rule_of_nftables_for_hairpin_connections_is_missed() {
    let gone = |text: &str| {
        let kept: Vec<&str> = text.lines().filter(|line| !line.contains("@hairpin-connections")).collect();
        kept.join("\n") + "\n"
    };
    let found = nftables("node2", "node2", gone);
    assert_eq!(found, ["masquerade-mismatch warning masquerading missing-rule"; 2], "of both families");
}

#[test]
fn an_endpoint_without_its_element_for_hairpin_connections_is_missed_whatever_else_its_address_has() {
    assert_eq!(nftables("node2", "node2", str::to_owned), [""; 0]);
    let element = "10.244.2.2 . 10.244.2.2 . tcp . 8080,";
    let after = nftables("node2", "node2", |text| {
        assert!(text.contains(element) && text.contains("10.244.2.2 . 10.244.2.2 . sctp . 36412"));
        text.replacen(element, "", 1)
    });
    assert!(!after.is_empty() && after.iter().all(|finding| finding.starts_with("masquerade-mismatch")), "{after:?}");
}

#[test]
fn a_cluster_ip_that_leads_to_the_wrong_pool_is_of_a_sync_that_is_missing() {
    let policy = |service: &mut Value| service["spec"]["internalTrafficPolicy"] = json!("Cluster");
    let answer = clean("node1").change("Service", "edge/gw-local", policy).run("check").json();
    let cause = answer["summary"]["cause"].as_str().expect("a cause");
    assert!(cause.starts_with("Only edge/gw-local is out of date: kube-proxy on node1 has not synced"), "{cause}");
}

#[test]
fn a_side_of_a_comparison_that_is_empty_is_an_error() {
    for side in ["", ",", ",,"] {
        let dump = node("kitchen-sink/node1/save.txt");
        let (stdout, stderr, status) = kube_ipt("diff --no-api").arg(&dump).arg(side).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{stderr}");
        assert!(stderr.starts_with(&format!("error: '{side}' names no side to compare")), "{stderr}");
    }
}

#[test]
#[cfg(unix)]
fn names_that_are_no_text_are_told_in_errors() {
    use std::os::unix::ffi::OsStrExt as _;
    let name = std::ffi::OsStr::from_bytes(b"/nonexistent/\xff");
    for words in ["list --no-api -f", "check --demo --out", "snapshot --demo -o", "man --dir"] {
        let (stdout, stderr, status) = kube_ipt(words).arg(name).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{words}: {stderr}");
        assert!(stderr.starts_with("error: cannot ") && !stderr.contains("panicked"), "{words}: {stderr}");
    }
}

fn last_line(text: &str) -> &str {
    text.lines().next_back().unwrap_or_default().trim_end()
}

/// A node in IPVS mode, of whose virtual servers this is all that was saved.
fn of_servers(listing: &str) -> Node {
    let mut node = of_ipvs();
    listing.clone_into(&mut node.dumps[0]);
    node
}

#[test]
fn a_part_of_a_listing_of_virtual_servers_raises_no_alarm_and_has_no_wrong_share() {
    let run = |text: &str, args: &str| {
        let (stdout, stderr, status) = of_servers(text).run(args).output();
        // Lines alone that other programs print too are no listing that could be told.
        assert!(status != Some(2) || stderr.contains("expected rules of iptables"), "{stderr}");
        serde_json::from_str::<Value>(&stdout).ok()
    };
    for file in ["ipvsadm-L-n.txt", "ipvsadm-L-n-stats.txt", "ipvsadm-S-n.txt"] {
        let text = fs::read_to_string(node(&format!("ipvs/node2/{file}"))).expect("the recording is there");
        let whole = shares(&run(&text, "list -o json").expect("a listing"));
        let lines: Vec<&str> = text.split_inclusive('\n').collect();
        let heading = usize::from(file.contains("-L-"));
        // ipvsadm -L -t; what tail leaves; what is left of a file where the disk was full.
        let service = |from: usize| lines[heading..heading + 2].concat() + &lines[from..from + 6].concat();
        let mut parts: Vec<String> = (3..lines.len() - 6).filter(|_| heading == 1).step_by(29).map(service).collect();
        let rest = (heading + 1..lines.len()).step_by(13).map(|from| lines[from..].concat());
        // What begins with a virtual server to be read back looks like a whole listing of fewer Services.
        parts.extend(rest.filter(|part| !part.starts_with("-A ")));
        let cut = (text.len() / 2..text.len()).step_by(149).map(|cut| text[..cut].to_owned());
        // So does what ends with a line, or with the blanks that the next one begins with.
        let is_line = |last: &str| last.is_empty() || lines.iter().any(|line| line.trim_end() == last);
        parts.extend(cut.filter(|part| !is_line(last_line(part))));
        // What is left of whole virtual servers does too, unless the API server's is missing.
        let of_address: &[&str] = if heading == 1 { &["10.96"] } else { &["10.96.0.10"] };
        for words in [&["TCP", "-A"][..], of_address, &["10.96", "10.244.1"], &["rr"], &["8080"]] {
            parts.extend([0, 2].map(|after| grep(&text, words, after)));
        }
        let mut read = 0;
        for part in &parts {
            let Some(checked) = run(part, "check -o json") else { continue };
            read += 1;
            let found = told(checked["findings"].as_array().expect("a list"));
            let found: Vec<_> = found.into_iter().filter(|finding| !finding.starts_with(PARTIAL)).collect();
            assert_eq!(found, [""; 0], "{file}:\n{part}");
            let listed = shares(&run(part, "list -o json").expect("it was read"));
            let wrong: Vec<_> = listed.into_iter().filter(|share| !whole.contains(share)).collect();
            assert_eq!(wrong, [], "{file}:\n{part}");
        }
        assert!(2 * read > parts.len(), "{file}: {read} of {} were read", parts.len());
        assert_eq!(told(&of_servers(&text).check()), [""; 0], "{file} whole");
    }
}

#[test]
fn virtual_servers_that_are_all_gone_are_missed() {
    let other = "-A -t 192.168.5.5:6443 -s rr\n-a -t 192.168.5.5:6443 -r 192.168.5.6:6443 -g -w 1\n";
    for listing in ["IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n", other] {
        let found = told(&of_servers(listing).check());
        let missing = found.iter().filter(|finding| finding.starts_with("missing-service")).count();
        assert!(missing > 15, "{found:?}");
    }
}

/// `grep -A1 statistic` leaves rules whose addresses are in comments alone.
#[test]
fn an_address_in_a_comment_tells_the_family_where_no_other_does() {
    for (file, family) in [("save6.txt", "ipv6"), ("save.txt", "ipv4")] {
        let part = grep(&recorded(file), &["--probability"], 1);
        let listed = Node { dumps: vec![part.clone()], ..clean("node1") }.run("list").json();
        assert_eq!(listed["source"]["families"], json!([family]));
        assert_eq!(findings_in(part), [""; 0], "{file}");
    }
}

#[test]
fn lines_that_are_sorted_raise_no_alarm_and_have_no_shares() {
    for file in ["save.txt", "save-nat.txt", "nat-S.txt"] {
        let text = recorded(file);
        let mut lines: Vec<&str> = text.lines().collect();
        // As LC_ALL=C has it, backwards, and as languages have it: without case, without or with punctuation, letters last.
        let letters = |line: &str| line.to_lowercase().chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        let last = |line: &str| (line.starts_with(char::is_alphabetic), line.to_lowercase());
        for order in ["C", "reverse", "words", "letters", "rules"] {
            match order {
                "C" => lines.sort_unstable(),
                "reverse" => lines.sort_unstable_by(|a, b| b.cmp(a)),
                "words" => lines.sort_by_key(|line| last(line)),
                "letters" => lines.sort_by_key(|line| letters(line)),
                _ => {
                    lines.retain(|line| line.starts_with("-A KUBE"));
                    lines.sort_unstable();
                }
            }
            let part = lines.join("\n") + "\n";
            let node = Node { dumps: vec![part.clone()], ..clean("node1") };
            let known = shares(&serde_json::from_str(&node.run("list -o json").output().0).expect("JSON"));
            assert_eq!((known, findings_in(part)), (vec![], vec![]), "{file} {order}");
            let (tree, ..) = node.run("show shop/web").output();
            // Backwards, the rules of all tables come behind the last of them.
            let told =
                if order == "reverse" { "parts of the dump are missing" } else { "the lines of the dump are sorted" };
            assert!(tree.contains(told), "{file} {order}: {tree}");
        }
    }
}

#[test]
fn a_transcript_that_fetches_a_chain_again_is_not_sorted() {
    let rules = recorded("nat-S.txt");
    let command = |args: &str| format!("root@node1:~# iptables -t nat -S{args}\n");
    let one = command(" | grep shop/web") + &grep(&rules, &["\"shop/web"], 0);
    let chain = "KUBE-SVC-E3PXEPMWAWIUT6ZV";
    let again = command(&format!(" {chain}")) + &grep(&rules, &[&format!("-N {chain}"), &format!("-A {chain}")], 0);
    for text in [one.clone() + &again, one + &command("") + &rules] {
        let listed = Node { dumps: vec![text], ..clean("node1") }.run("show shop/web").listed();
        let pool = &listed[0]["pools"][0];
        assert_eq!(pool["endpoints"].as_array().map(Vec::len), Some(7));
        assert!(pool["endpoints"].as_array().is_some_and(|all| all.iter().all(|e| e["probability"].is_number())));
    }
}

#[test]
fn virtual_servers_for_outside_alone_are_a_part() {
    let text = fs::read_to_string(node("ipvs/node2/ipvsadm-S-n.txt")).expect("the recording is there");
    for word in [":30517", "192.0.2.10", "10.96.0.10:"] {
        let found = told(&of_servers(&grep(&text, &[word], 0)).check());
        let found: Vec<_> = found.into_iter().filter(|finding| !finding.starts_with(PARTIAL)).collect();
        assert_eq!(found, [""; 0], "{word}");
    }
}

#[test]
fn what_the_headings_of_a_listing_tell_is_believed() {
    let text = fs::read_to_string(node("ipvs/node2/ipvsadm-L-n.txt")).expect("the recording is there");
    let codes = |listing: &str, code: &str| {
        told(&of_servers(listing).check()).iter().filter(|finding| finding.starts_with(code)).count()
    };
    let without: String = text.split_inclusive('\n').filter(|line| !line.contains("10.96.190.240:80")).collect();
    for whole in [without.clone() + "root@node2:~# ", without.trim_end().to_owned(), without + "--\nPlatform team\n"] {
        assert_eq!(codes(&whole, "missing-frontend error shop/web"), 1, "{whole}");
    }
    // kube-proxy that may not read EndpointSlices empties them all.
    let empty: String = text.split_inclusive('\n').filter(|line| !line.contains("-> 1")).collect();
    assert!(codes(&empty, "empty-virtual-server") > 20);
}

#[test]
fn conditions_that_nft_hides_decide_nothing() {
    let text = r#"table ip nat {
	chain KUBE-SERVICES {
		meta l4proto sctp ip daddr 10.96.0.9 xt match "comment" xt match "sctp" counter packets 0 bytes 0 jump KUBE-SVC-AAAAAAAAAAAAAAAA
		meta l4proto tcp ip daddr 10.96.0.8 tcp dport 80 counter packets 0 bytes 0 jump KUBE-EXT-BBBBBBBBBBBBBBBB
		xt match "addrtype" counter packets 0 bytes 0 jump KUBE-NODEPORTS
	}
	chain KUBE-NODEPORTS {
	}
	chain KUBE-SVC-AAAAAAAAAAAAAAAA {
		xt match "recent" counter packets 0 bytes 0 jump KUBE-SEP-AAAAAAAAAAAAAAAA
		counter packets 0 bytes 0 jump KUBE-SEP-AAAAAAAAAAAAAAAA
	}
	chain KUBE-SEP-AAAAAAAAAAAAAAAA {
		meta l4proto sctp xt match "recent" counter packets 0 bytes 0 dnat to 10.244.1.4:36412
	}
	chain KUBE-EXT-BBBBBBBBBBBBBBBB {
		xt match "addrtype" counter packets 0 bytes 0 jump KUBE-SVC-BBBBBBBBBBBBBBBB
		counter packets 0 bytes 0 jump KUBE-SVL-BBBBBBBBBBBBBBBB
	}
	chain KUBE-SVC-BBBBBBBBBBBBBBBB {
		counter packets 0 bytes 0 jump KUBE-SEP-BBBBBBBBBBBBBBBB
	}
	chain KUBE-SVL-BBBBBBBBBBBBBBBB {
		counter packets 0 bytes 0 jump KUBE-SEP-BBBBBBBBBBBBBBBB
	}
	chain KUBE-SEP-BBBBBBBBBBBBBBBB {
		meta l4proto tcp counter packets 0 bytes 0 dnat to 10.244.1.5:8080
	}
}
"#;
    let (stdout, _, status) = kube_ipt("check --no-api -o json").stdin(text).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let found: Vec<&Value> = document["findings"].as_array().expect("findings").iter().map(|f| &f["code"]).collect();
    // Neither a chain of no effect, nor a second rule for one endpoint.
    assert_eq!((found, status), (vec![&json!("partial-dump")], Some(0)), "{stdout}");
    let shown = listed(kube_ipt("show --no-api").stdin(text));
    let sctp = shown.iter().find(|s| s["protocol"] == "sctp").expect("a service port");
    assert_eq!((&sctp["frontends"][0]["address"], &sctp["frontends"][0]["port"]), (&json!("10.96.0.9"), &Value::Null));
    assert_eq!(sctp["pools"][0]["endpoints"][0]["probability"], Value::Null);
}

#[test]
fn an_external_chain_that_has_lost_its_first_rules_tells_no_policy() {
    let mut node = clean("node1");
    let begins = "-A KUBE-EXT-PQWBAX2FD7GV5BFO -j KUBE-SVL-PQWBAX2FD7GV5BFO\n";
    let at = node.dumps[0].find(begins).expect("the last rule of a chain");
    node.dumps[0].drain(..at);
    let found: Vec<Value> = node.check().into_iter().filter(|finding| finding["severity"] != "info").collect();
    assert_eq!(told(&found), [""; 0]);
    let shown = node.run("show edge/gw-lb").json();
    let routes =
        shown["services"][0]["frontends"].as_array().expect("frontends").iter().filter_map(|f| f["routes"].as_array());
    assert!(routes.flatten().any(|route| route["verdict"].is_null()), "{shown}");
}
