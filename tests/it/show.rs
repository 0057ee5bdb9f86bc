//! What people see: trees, tables, WHAT, exit status.

use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::net::Family;
use kube_ipt::proxy::KnownNames;
use kube_ipt::proxy::iptables::{Survey, rulesets};
use kube_ipt::render::{self, Marks, View};

use crate::generate;
use crate::run::{kube_ipt, node};

fn sink(what: &str) -> crate::run::Run {
    kube_ipt(&format!("show {what} -f")).arg(node("kitchen-sink/node2/save.txt"))
}

/// A tree without its last lines, of which one names a path of this machine.
fn tree(run: crate::run::Run) -> String {
    let text = run.stdout();
    let text = text.split("\nmore: ").next().expect("a tree");
    let (tree, footer) = text.trim_end().rsplit_once('\n').expect("a tree and its footer");
    assert!(footer.starts_with("iptables"), "{footer}");
    tree.to_owned()
}

/// The services an answer names, without frontends and pools.
fn names(run: crate::run::Run) -> Vec<String> {
    let document = run.json();
    let services = document["services"].as_array().expect("services").iter();
    services
        .map(|s| format!("{}/{}", s["service"].as_str().unwrap_or("?"), s["protocol"].as_str().unwrap_or("?")))
        .collect()
}

#[test]
fn one_service() {
    insta::assert_snapshot!(kube_ipt("show nginx-service --demo").stdout());
}

#[test]
fn two_pools_sticky_ranges_and_nobody() {
    insta::assert_snapshot!(tree(sink("gw-lb gw-lb-ranges web-sticky nobody-np gw-local")));
}

#[test]
fn rules_under_every_step() {
    insta::assert_snapshot!(kube_ipt("show nginx-service --demo --rules").stdout());
}

#[test]
fn rules_of_every_kind_of_frontend() {
    insta::assert_snapshot!(tree(sink("gw-lb gw-lb-ranges web-sticky nobody --rules")));
}

#[test]
fn a_name_that_is_not_in_the_nat_table_may_be_a_service_without_endpoints() {
    let nat = node("kitchen-sink/node2/nat-S.txt");
    let note = "note: a Service without endpoints has its rules in the filter table, which was not read\n  \
                try:  iptables-save | kube-ipt list    (on the node; it gives both tables)\n";
    let error = "error: nothing is called 'nobody'; kube-ipt list names every Service";
    kube_ipt("show nobody -f").arg(&nat).status(1).stderr(format!("{note}{error}")).stdout();
    let error = "error: no Service has the address 10.96.208.119 as frontend or endpoint";
    kube_ipt("check 10.96.208.119 -f").arg(&nat).status(1).stderr(format!("{note}{error}")).stdout();
    // Objects know, and so does the filter table.
    let error = "error: nothing is called 'nobodi'; did you mean shop/nobody?";
    let objects = kube_ipt("show nobodi --node node2 -f").arg(&nat).arg("--objects");
    objects.arg(node("kitchen-sink/cluster.json")).status(1).stderr(error).stdout();
    sink("nobodi").status(1).stderr(error).stdout();
}

#[test]
fn what_keeps_connections_from_every_service_is_said_beside_any_answer() {
    let note = "note: PREROUTING of the nat table does not lead to KUBE-SERVICES: no Service can be reached from pods or from outside\n  \
                try:  kube-ipt explain missing-hook";
    for args in
        ["show nginx-service", "show -o table", "show -o dot", "list", "list -o json", "trace pod nginx-service"]
    {
        let dump = node("faults/missing-hook/save.txt");
        kube_ipt(&format!("{args} -f")).arg(dump).stderr(note).stdout();
    }
}

#[test]
fn a_leak_is_told_first() {
    let dump = node("faults/leaky-chain/save.txt");
    insta::assert_snapshot!(tree(kube_ipt("show nginx-service -f").arg(dump)));
}

#[test]
fn tables() {
    let save = node("kitchen-sink/node2/save-c.txt");
    insta::assert_snapshot!("list", kube_ipt("list -f").arg(&save).stdout());
    insta::assert_snapshot!("list_wide", kube_ipt("list -o wide -f").arg(&save).stdout());
    insta::assert_snapshot!("show_table", kube_ipt("show -o table -f").arg(&save).stdout());
    insta::assert_snapshot!("show_wide", kube_ipt("show -o wide -f").arg(&save).stdout());
}

#[test]
fn five_hundred_endpoints_are_counted_and_all_shows_them() {
    let dump = generate::nat(1, 500);
    let short = kube_ipt("show").stdin(&dump).stdout();
    assert_eq!(short.lines().count(), 17, "{short}");
    assert!(short.contains("500 endpoints"), "{short}");
    assert!(short.contains(" 97.60 % 488 more, --all shows every one"), "{short}");
    let all = kube_ipt("show --all").stdin(&dump).stdout();
    assert_eq!(all.lines().filter(|line| line.contains("  0.20 % ▏")).count(), 500);
}

#[test]
fn paragraphs_are_broken_where_the_terminal_ends_and_bars_need_room() {
    let text = std::fs::read_to_string(node("kitchen-sink/node2/save.txt")).expect("the fixture is there");
    let dumps = [Dump::scan(&text, Hints::default())];
    let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
    let survey = Survey::of(&rulesets, &KnownNames::default());
    let services = survey.services(&survey.sketches().iter().collect::<Vec<_>>());
    let walkthroughs: Vec<_> = survey.sketches().iter().zip(&services).map(|(s, p)| survey.walkthrough(s, p)).collect();
    for width in [66, 80, 120, 200] {
        let drawn =
            render::services(&services, &walkthroughs, &Marks::of(&[], 0), View { width: Some(width), all: true });
        let plain = anstream::adapter::strip_str(&drawn).to_string();
        for line in plain.lines() {
            assert!(line.chars().count() <= width, "{width} columns: {line}");
        }
        assert_eq!(plain.contains('█'), width >= 70);
        // Broken or not, the words of every rule are there.
        let words = |text: &str| text.split_whitespace().filter(|w| *w != "│").map(str::to_owned).collect::<Vec<_>>();
        let whole =
            render::services(&services, &walkthroughs, &Marks::of(&[], 0), View { width: Some(100_000), all: true });
        let whole = anstream::adapter::strip_str(&whole).to_string();
        let without_bars = |words: Vec<String>| {
            words.into_iter().filter(|w| !w.contains(['█', '▏', '▎', '▍', '▌', '▋', '▊', '▉'])).collect::<Vec<_>>()
        };
        assert_eq!(without_bars(words(&plain)), without_bars(words(&whole)));
    }
}

#[test]
fn colour_marks_state_and_never_stands_alone() {
    let plain = kube_ipt("show nobody -f").arg(node("kitchen-sink/node2/save.txt")).stdout();
    let coloured = kube_ipt("show nobody --color always -f").arg(node("kitchen-sink/node2/save.txt")).stdout();
    assert!(!plain.contains('\u{1b}'));
    assert!(coloured.contains("\u{1b}[33m! no endpoints: rejected\u{1b}["), "{coloured:?}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), plain);
}

#[test]
fn what_is_anything_a_person_has_in_hand() {
    for (what, expected) in [
        ("cart", &["shop/cart:http/tcp", "shop/cart:metrics/tcp"][..]),
        ("cart:http", &["shop/cart:http/tcp"]),
        ("shop/cart:metrics", &["shop/cart:metrics/tcp"]),
        ("10.96.92.103", &["infra/dns:dns/udp", "infra/dns:dns-tcp/tcp"]),
        ("10.96.92.103:53/udp", &["infra/dns:dns/udp"]),
        ("10.96.25.172:9090", &["shop/cart:metrics/tcp"]),
        ("203.0.113.77", &["edge/gw-lb:https/tcp"]),
        (":32485", &["edge/gw-lb:https/tcp"]),
        (":31318", &["shop/nobody-np/tcp"]),
        ("172.16.7.20", &["shop/manual:pg/tcp"]),
        ("10.244.2.6:53/tcp", &["infra/dns:dns-tcp/tcp"]),
        ("KUBE-SVC-PQWBAX2FD7GV5BFO", &["edge/gw-lb:https/tcp"]),
        ("KUBE-EXT-PQWBAX2FD7GV5BFO", &["edge/gw-lb:https/tcp"]),
        ("KUBE-FW-UWF2RJJZJKMHJCDC", &["edge/gw-lb-ranges:https/tcp"]),
        ("KUBE-SEP-AWAKGCJOA3LZ4LN7", &["shop/manual:pg/tcp"]),
        ("/^shop/w/", &["shop/web/tcp", "shop/web-sticky/tcp"]),
        ("manual 10.96.0.1", &["default/kubernetes:https/tcp", "shop/manual:pg/tcp"]),
        ("cart -n shop", &["shop/cart:http/tcp", "shop/cart:metrics/tcp"]),
    ] {
        assert_eq!(names(sink(what)), expected, "{what}");
    }
    assert_eq!(names(sink("-n infra")), ["infra/dns:dns/udp", "infra/dns:dns-tcp/tcp"]);
}

#[test]
fn a_file_is_no_name_of_a_service() {
    let file = node("seed/stale/save.txt");
    for what in [file.as_str(), "-"] {
        let error = format!("error: '{what}' is a file, and WHAT is what to look for in one\n  try:  -f {what}");
        for command in ["show", "check"] {
            kube_ipt(command).arg(what).status(2).stderr(error.as_str()).stdout();
        }
    }
    let nothing = "error: nothing is called 'no-such.txt'; kube-ipt list names every Service";
    kube_ipt("show no-such.txt --demo").status(1).stderr(nothing).stdout();
}

#[test]
fn nothing_found_says_so_and_suggests() {
    for (what, error) in [
        ("nginx", "nothing is called 'nginx'; did you mean nginx-demo/nginx-service?"),
        ("shop/wbe", "nothing is called 'shop/wbe'; did you mean shop/web?"),
        ("qqqqqqq", "nothing is called 'qqqqqqq'; kube-ipt list names every Service"),
        ("10.1.2.3", "no Service has the address 10.1.2.3 as frontend or endpoint"),
        (":1", "no Service has the node port :1; kube-ipt list -o wide names them all"),
        ("KUBE-SVC-NONE", "no Service uses the chain KUBE-SVC-NONE"),
        ("/zz+/", "no Service's name matches /zz+/"),
        ("-n shpo", "no Service of namespace 'shpo' has rules here; did you mean shop?"),
        ("cart -n infra", "nothing in namespace 'infra' is called 'cart'; without -n there is shop/cart:http"),
        (
            "carrt -n shop",
            "nothing in namespace 'shop' is called 'carrt'; did you mean shop/cart:http or shop/cart:metrics?",
        ),
        // What -n and --family leave out may well be there.
        (":31589 -n edge", "no Service of namespace 'edge' has the node port :31589; without -n there is shop/web"),
        (
            "10.96.182.118 -n edge",
            "no Service of namespace 'edge' has the address 10.96.182.118 as frontend or endpoint; without -n there is shop/web",
        ),
        (
            "KUBE-SVC-E3PXEPMWAWIUT6ZV -n edge",
            "no Service of namespace 'edge' uses the chain KUBE-SVC-E3PXEPMWAWIUT6ZV; without -n there is shop/web",
        ),
        ("10.244.2.12 -n edge", "no Service of namespace 'edge' has the address 10.244.2.12 as frontend or endpoint"),
        ("qqqqqqq --family ipv4", "nothing of ipv4 is called 'qqqqqqq'; kube-ipt list names every Service"),
    ] {
        assert_eq!(sink(what).status(1).stderr(format!("error: {error}")).stdout(), "", "{what}");
    }
    // What was found is shown all the same.
    let found = sink("manual nothing")
        .status(1)
        .stderr("error: nothing is called 'nothing'; kube-ipt list names every Service")
        .stdout();
    assert!(found.starts_with("shop/manual:pg"), "{found}");
}

#[test]
fn an_answer_in_json_is_a_document_even_when_nothing_matched() {
    let document = sink("qqqqqqq")
        .status(1)
        .stderr("error: nothing is called 'qqqqqqq'; kube-ipt list names every Service")
        .json();
    assert_eq!(document["services"], serde_json::json!([]));
}

#[test]
fn questions_that_make_no_sense_are_errors() {
    let forms = "give a service (nginx, shop/cart, shop/cart:http), an address (10.96.0.10, 10.96.0.10:53/udp), a node port \
                 (:30080, at most :65535), a pod (shop/cart-0, pod/cart-0), a chain (KUBE-SVC-…) or /a regular expression/";
    let error = format!("error: cannot tell what 'a/b/c' means: {forms}");
    kube_ipt("show a/b/c --demo").status(2).stderr(error).stdout();
    kube_ipt("show /(/ --demo").status(2).stderr("error: '(' is no regular expression: unclosed group").stdout();
    let error = "error: --rules is for people: it goes with the tree only\n  try:  leave out -o, or leave out --rules";
    kube_ipt("show --rules -o json --demo").status(2).stderr(error).stdout();
}

#[test]
#[cfg(feature = "live")]
fn the_command_line_is_the_kept_one() {
    let helps: Vec<String> =
        kube_ipt::cli::long_helps().into_iter().map(|(name, help)| format!("## {name}\n\n{help}")).collect();
    insta::assert_snapshot!(helps.join("\n"));
}

#[test]
fn wrong_flags_and_no_command_are_errors_of_use() {
    let (stdout, stderr, status) = kube_ipt("show --frobnicate").output();
    assert_eq!((stdout.as_str(), status), ("", Some(2)));
    assert!(stderr.starts_with("error: unexpected argument '--frobnicate'"), "{stderr}");
    let (_, _, status) = kube_ipt("").output();
    assert_eq!(status, Some(2));
    let (stdout, _, status) = kube_ipt("--version").output();
    assert_eq!((stdout.trim_end(), status), (concat!("kube-ipt ", env!("CARGO_PKG_VERSION")), Some(0)));
}
