//! What is found on recorded nodes, on nodes broken on purpose, and on nodes of which nothing is wrong.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use kube_ipt::checks::CHECKS;
use serde_json::{Value, json};

use crate::broken::{Node, clean, of_ipvs, slice, told};
use crate::cases::cases;
use crate::expect::objects_of;
use crate::run::{kube_ipt, node, nodes};

/// Findings whose exact set is recorded.
const EXACT: [&str; 12] = [
    "stale-endpoint",
    "missing-endpoint",
    "stale-service",
    "missing-service",
    "stale-frontend",
    "missing-frontend",
    "leaky-chain",
    "skewed-balance",
    "empty-chain",
    "missing-hook",
    "shadowed-frontend",
    "leftover-mode",
];

#[test]
fn every_recorded_node_gives_its_findings_and_no_others() {
    let mut checked = 0;
    for case in cases() {
        let expected: Value =
            serde_json::from_str(&fs::read_to_string(case.join("expected.json")).expect("readable")).expect("JSON");
        for (family, dump) in [("ipv4", "save.txt"), ("ipv4", "nat-S.txt"), ("ipv6", "save6.txt")] {
            if expected[family].is_null() || !case.join(dump).exists() {
                continue;
            }
            let run = kube_ipt(&format!("check -o json --family {family} --objects")).arg(objects_of(&case));
            let node = expected["node"].as_str().expect("a node");
            let (stdout, stderr, status) = run.arg("--node").arg(node).arg("-f").arg(case.join(dump)).output();
            let label = format!("{} {dump}", case.display());
            assert!(matches!(status, Some(0 | 1)), "{label}: {stderr}");
            let document: Value = serde_json::from_str(&stdout).expect("JSON");
            assert_findings(&expected[family]["findings"], &document, &label);
            checked += 1;
        }
    }
    assert!(checked >= 50, "only {checked} dumps were there to check");
}

#[track_caller]
pub(crate) fn assert_findings(expected: &Value, document: &Value, label: &str) {
    let all = document["findings"].as_array().expect("findings");
    let bad = |f: &&Value| f["severity"] != "info";
    let exact = |f: &&Value| EXACT.contains(&f["code"].as_str().expect("a code"));
    let mut left: Vec<&Value> = all.iter().filter(bad).collect();
    for want in expected.as_array().expect("a list") {
        let fits = |have: &&Value| want.as_object().expect("an object").iter().all(|(key, value)| &have[key] == value);
        if exact(&want) {
            let at = left.iter().position(fits).unwrap_or_else(|| panic!("{label}: {want} is not found in {all:#?}"));
            left.remove(at);
        } else {
            assert!(all.iter().any(|have| fits(&have)), "{label}: {want} is not found");
        }
    }
    assert!(left.is_empty(), "{label}: nothing is wrong with {left:#?}");
}

/// For each check a node on which it finds something. Nothing is wrong with the node before it is broken.
#[expect(clippy::too_many_lines, reason = "a table, an entry for each check")]
fn fires(code: &str) -> (Node, &'static str) {
    let web = "KUBE-SVC-E3PXEPMWAWIUT6ZV";
    let nginx = "KUBE-SVC-I3HUB6ZVVCWJQDJP";
    let node1 = || clean("node1");
    let of_nginx = |line: &str| line.starts_with(&format!("-A {nginx} ")) && line.contains("-j KUBE-SEP");
    match code {
        "stale-endpoint" => (
            node1().change("EndpointSlice", "nginx-demo/nginx-service", |slice| {
                slice["endpoints"].as_array_mut().expect("endpoints").remove(0);
            }),
            "error nginx-demo/nginx-service",
        ),
        "missing-endpoint" => (
            node1().with_object(slice("nginx-demo", "nginx-service", &json!({"port": 80}), "10.244.9.9", "node2")),
            "warning nginx-demo/nginx-service 10.244.9.9:80",
        ),
        "stale-service" => (node1().without_object("Service", "shop/manual"), "error shop/manual:pg service-gone"),
        "missing-service" => {
            let gone = |line: &str| line.contains("shop/web-sticky") || line.contains("KUBE-SVC-UHFQR5XQOQLE5W5X");
            (node1().without(gone), "error shop/web-sticky")
        }
        "stale-frontend" => (
            node1().change("Service", "edge/gw-ext", |service| service["spec"]["externalIPs"] = json!(["192.0.2.10"])),
            "warning edge/gw-ext 192.0.2.11:8443 not-of-service",
        ),
        "missing-frontend" => (
            node1().change("Service", "edge/gw-ext", |service| {
                service["spec"]["externalIPs"] = json!(["192.0.2.10", "192.0.2.11", "192.0.2.12"]);
            }),
            "error edge/gw-ext 192.0.2.12:8443",
        ),
        "policy-mismatch" => (
            node1().change("Service", "shop/web", |service| {
                service["spec"]["sessionAffinity"] = json!("ClientIP");
            }),
            "warning shop/web session-affinity",
        ),
        "topology-ignored" => {
            let folder = nodes().join("kitchen-sink-1.30");
            let text = fs::read_to_string(folder.join("save.txt")).expect("the recording is there");
            let objects = crate::cases::gunzip(&folder.join("cluster.json.gz"));
            let objects = serde_json::from_str(&objects).expect("JSON");
            (Node { dumps: vec![text], objects, name: "node2" }, "info edge/gw-zone KUBE-SVC-BB5UQYIBTXQILJ2E")
        }
        "leaky-chain" => (
            node1().without(|line| of_nginx(line) && !line.contains("statistic")),
            "error nginx-demo/nginx-service KUBE-SVC-I3HUB6ZVVCWJQDJP",
        ),
        "skewed-balance" => (
            node1().lines(|line| {
                Some(if of_nginx(line) { line.replace("0.33333333349", "0.90000000000") } else { line.to_owned() })
            }),
            "warning nginx-demo/nginx-service KUBE-SVC-I3HUB6ZVVCWJQDJP",
        ),
        "empty-chain" => (
            node1().without(|line| line.starts_with(&format!("-A {web} "))),
            "error shop/web KUBE-SVC-E3PXEPMWAWIUT6ZV",
        ),
        "duplicate-rule" => {
            let last = node1().dumps[0].lines().rfind(|line| of_nginx(line)).expect("a rule").to_owned();
            (node1().append(&format!("{last}\n")), "warning nginx-demo/nginx-service KUBE-SVC-I3HUB6ZVVCWJQDJP")
        }
        "missing-hook" => (node1().without(|line| line.starts_with("-A PREROUTING ")), "error PREROUTING"),
        "shadowed-frontend" => {
            let node = node1();
            let rule = node.dumps[0].lines().find(|l| l.starts_with("-A KUBE-NODEPORTS -p") && l.contains("shop/web"));
            let port =
                rule.and_then(|l| l.split("--dport ").nth(1)?.split(' ').next()).expect("a node port").to_owned();
            let taker = format!(
                "-A PREROUTING -m addrtype --dst-type LOCAL -p tcp -m tcp --dport {port} -j DNAT --to-destination 10.244.1.99:80\n"
            );
            (node.before("-A PREROUTING ", &taker), "error shop/web :31589")
        }
        "dangling-jump" => {
            let chain = "KUBE-SEP-ZY2KG6TS4H64DAOP";
            let of_chain =
                |line: &str| line.starts_with(&format!(":{chain} ")) || line.starts_with(&format!("-A {chain} "));
            (node1().without(of_chain), "error shop/web-sticky KUBE-SEP-ZY2KG6TS4H64DAOP")
        }
        "masquerade-mismatch" => (
            node1().lines(|line| {
                Some(if line.starts_with("-A KUBE-MARK-MASQ") {
                    line.replace("0x4000", "0x8000")
                } else {
                    line.to_owned()
                })
            }),
            "error KUBE-POSTROUTING mark",
        ),
        "orphan-chain" => {
            let chain = ":KUBE-SVC-AAAAAAAAAAAAAAAA - [0:0]\n";
            (node1().before(":KUBE-SVC-", chain), "info KUBE-SVC-AAAAAAAAAAAAAAAA")
        }
        "name-mismatch" => (
            node1().lines(|line| Some(line.replace("E3PXEPMWAWIUT6ZV", "AAAAAAAAAAAAAAAA"))),
            "warning shop/web KUBE-SVC-AAAAAAAAAAAAAAAA",
        ),
        "mixed-backends" => {
            let mut node = node1();
            node.dumps.push(node.dumps[0].replace(" (nf_tables)", ""));
            (node, "error")
        }
        "leftover-mode" => (
            node1()
                .before(":KUBE-MARK-MASQ", ":KUBE-LOAD-BALANCER - [0:0]\n")
                .append("-A KUBE-LOAD-BALANCER -j KUBE-MARK-MASQ\n"),
            "warning KUBE-LOAD-BALANCER",
        ),
        "stale-reject" => (
            node1().with_object(slice("shop", "nobody", &json!({"port": 8080}), "10.244.9.9", "node2")),
            "error shop/nobody 10.96.208.119:80",
        ),
        "partial-dump" => {
            let mut node = node1();
            let nat = node.dumps[0].find("*nat").expect("a nat table");
            node.dumps[0].drain(..nat);
            (node, "info")
        }
        "unreadable-target" => (
            node1().lines(|line| {
                let (rule, _) = line.split_once("DNAT --to-destination 10.244.1.2:80").unwrap_or((line, ""));
                Some(if rule == line { line.to_owned() } else { format!("{rule}DNAT [unsupported revision]") })
            }),
            "warning",
        ),
        "missing-address" => {
            (of_ipvs().without(|line| line.contains("10.96.101.105/32 scope global kube-ipvs0")), "error 10.96.101.105")
        }
        "empty-virtual-server" => {
            (of_ipvs().without(|line| line.starts_with("-a -t 192.0.2.10:8443")), "warning edge/gw-ext 192.0.2.10:8443")
        }
        "stuck-draining" => (
            of_ipvs().lines(|line| {
                let gone = "-a -u 10.96.53.170:53 -r 10.244.2.5:53 -m -w 1";
                Some(if line == gone {
                    format!("{line}\n-a -u 10.96.53.170:53 -r 10.244.2.9:53 -m -w 0")
                } else {
                    line.to_owned()
                })
            }),
            "warning infra/dns:dns 10.244.2.9:53",
        ),
        other => panic!("no node shows {other}"),
    }
}

#[test]
fn every_check_finds_something_and_stays_silent_where_nothing_is_wrong() {
    for name in ["node1", "node2", "node3"] {
        assert_eq!(told(&clean(name).check()), Vec::<String>::new(), "{name}");
        assert_eq!(told(&clean(name).alone()), Vec::<String>::new(), "{name} without objects");
    }
    assert_eq!(told(&of_ipvs().check()), Vec::<String>::new(), "IPVS mode");
    assert_eq!(told(&of_ipvs().alone()), Vec::<String>::new(), "IPVS mode without objects");
    for check in CHECKS {
        let (node, expected) = fires(check.slug);
        let found: Vec<Value> = node.check().into_iter().filter(|finding| finding["code"] == check.slug).collect();
        assert_eq!(found.len(), 1, "{}: {found:#?}", check.slug);
        let finding = &found[0];
        let said = told(&found)[0].clone();
        let parts: Vec<&str> = expected.split(' ').collect();
        assert!(parts.iter().all(|part| said.split(' ').any(|word| word == *part)), "{said} is not {expected}");
        assert_eq!(finding["id"], check.id);
        for text in ["message", "hint"] {
            assert!(finding[text].as_str().is_some_and(|text| text.len() > 10), "{finding:#}");
        }
        let whole = ["partial-dump", "masquerade-mismatch"].contains(&check.slug);
        let nothing = ["orphan-chain", "missing-hook"].contains(&check.slug);
        let shown = finding["evidence"].as_array().is_some_and(|evidence| !evidence.is_empty());
        assert!(
            shown || whole || nothing || check.slug == "name-mismatch",
            "{} shows nothing: {finding:#}",
            check.slug
        );
    }
}

#[test]
fn every_check_has_its_page_and_its_row_in_the_readme() {
    let headings =
        ["## What it means", "## Why it happens", "## How to confirm", "## What to do", "## When it is not a problem"];
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("is there");
    let mut ids = BTreeSet::new();
    for check in CHECKS {
        assert!(ids.insert(check.id) && ids.insert(check.slug), "{} is used twice", check.id);
        let mut lines = check.page.lines();
        assert_eq!(lines.next(), Some(format!("# {} {}", check.id, check.slug).as_str()));
        let found: Vec<&str> = check.page.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(found, headings, "{}", check.id);
        for (heading, next) in headings.iter().zip(headings.iter().skip(1).chain(["\u{0}"].iter())) {
            let body = check.page.split(heading).nth(1).and_then(|rest| rest.split(next).next()).expect("a part");
            assert!(body.trim().len() > 40, "{} says nothing under {heading}", check.id);
        }
        assert!(check.page.contains("\n    "), "{} names no command", check.id);
        assert!(check.summary().len() > 20 && check.summary().len() <= 110, "{}: {}", check.id, check.summary());
        let row = format!("| {} | {} | {} | ", check.id, check.slug, check.severity);
        let rows = readme.lines().filter(|line| line.starts_with(&row)).count();
        assert_eq!(rows, 1, "the README has {rows} rows that begin with '{row}'");
        let page = kube_ipt(&format!("explain {}", check.id)).stdout();
        let plain: Vec<&str> = check.page.lines().map(|l| l.trim_start_matches('#').trim_start_matches(' ')).collect();
        assert_eq!(page.lines().map(str::trim_start).collect::<Vec<_>>(), plain);
    }
    let sources = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/checks")).expect("is there");
    let pages = sources.filter(|entry| entry.as_ref().is_ok_and(|e| e.path().extension().is_some_and(|x| x == "md")));
    assert_eq!(pages.count(), CHECKS.len(), "a page belongs to no check");
    let list = kube_ipt("explain").stdout();
    assert_eq!(list.lines().count(), CHECKS.len() + 1, "{list}");
    assert!(list.lines().skip(1).zip(CHECKS).all(|(line, check)| line.starts_with(check.id)), "{list}");
}

#[test]
fn an_unknown_code_is_refused_with_the_near_one() {
    let error = "error: no finding is called 'stale-endpont'; did you mean stale-endpoint?\n  try:  kube-ipt explain\n";
    assert_eq!(kube_ipt("explain stale-endpont").status(2).stderr(error).stdout(), "");
    assert_eq!(kube_ipt("check --demo --select stale-endpont").status(2).stderr(error).stdout(), "");
}

#[test]
fn findings_as_text() {
    let transcript = |args: &str, status| {
        let text = kube_ipt(args).status(status).stdout();
        // The paths of this machine go.
        text.replace(&nodes().display().to_string(), "NODES")
    };
    insta::assert_snapshot!("check_stale", transcript("check --demo=stale", 1));
    insta::assert_snapshot!("check_clean", transcript("check --demo", 0));
    insta::assert_snapshot!("check_table", transcript("check --demo=stale -o table", 1));
    let case = nodes().join("faults/stale-endpoint-not-ready");
    let args = |form: &str| {
        format!(
            "check -o {form} --node node1 -f {} -f {} --objects {}",
            case.join("save.txt").display(),
            case.join("save6.txt").display(),
            case.join("cluster.json.gz").display()
        )
    };
    insta::assert_snapshot!("check_not_ready", transcript(&args("text"), 1));
    insta::assert_snapshot!("check_not_ready_table", transcript(&args("table"), 1));
    insta::assert_snapshot!(
        "check_grepped",
        transcript(&format!("check --no-api -f {}", node("kitchen-sink/node2/nat-S-grep-KUBE.txt")), 0)
    );
}

#[test]
fn what_persists_is_told_with_the_worst_first_and_in_colour() {
    let text = kube_ipt("check --demo=stale --color always").status(1).stdout();
    assert!(text.contains("\u{1b}[31;1merror  \u{1b}["), "{text:?}");
    assert!(text.contains("\u{1b}[33mwarning\u{1b}["), "{text:?}");
    let plain = kube_ipt("check --demo=stale --color never").status(1).stdout();
    assert!(!plain.contains('\u{1b}'));
}

#[test]
fn select_ignore_and_fail_on() {
    let codes = |args: &str, status: i32| -> Vec<String> {
        let document = kube_ipt(&format!("check --demo=stale {args}")).status(status).json();
        let codes =
            document["findings"].as_array().expect("findings").iter().map(|f| f["code"].as_str().map(str::to_owned));
        codes.collect::<Option<Vec<_>>>().expect("codes")
    };
    let both = ["stale-endpoint", "missing-endpoint"];
    assert_eq!(codes("", 1), both);
    assert_eq!(codes("--fail-on never", 0), both);
    assert_eq!(codes("--fail-on error", 1), both);
    assert_eq!(codes("--select KI102 --fail-on error", 0), ["missing-endpoint"]);
    assert_eq!(codes("--select missing-endpoint", 1), ["missing-endpoint"]);
    assert_eq!(codes("--select KI1 --ignore KI101", 1), ["missing-endpoint"]);
    assert_eq!(codes("--ignore stale-endpoint,missing-endpoint", 0), Vec::<String>::new());
    assert_eq!(codes("--select KI2,KI3", 0), Vec::<String>::new());
    // An info fails only where it is asked to.
    let (node, _) = fires("orphan-chain");
    assert_eq!(node.run("check").output().2, Some(0));
    assert_eq!(node.run("check --fail-on info").output().2, Some(1));
}

#[test]
fn what_and_namespace_narrow() {
    let found = |args: &str, status: i32| {
        let run = kube_ipt(&format!("check --demo=stale {args}")).status(status);
        let document = run.json();
        (document["summary"]["services"].clone(), document["findings"].as_array().map(Vec::len))
    };
    assert_eq!(found("nginx-service", 1), (json!(1), Some(2)));
    assert_eq!(found("10.96.101.105", 1), (json!(1), Some(2)));
    assert_eq!(found("-n kube-system", 0), (json!(3), Some(0)));
    assert_eq!(found("kube-dns", 0), (json!(3), Some(0)));
    let error = "error: nothing is called 'nginx'; did you mean nginx-demo/nginx-service?\n";
    assert_eq!(kube_ipt("check nginx --demo").status(1).stderr(error).stdout(), "");
    // What is wrong with the node as a whole is wrong for each of its Services.
    let (node, _) = fires("missing-hook");
    assert_eq!(told(&node.run("check shop/web").json()["findings"].as_array().expect("findings").clone()).len(), 1);
    let (node, _) = fires("orphan-chain");
    assert_eq!(node.run("check shop/web").json()["findings"], json!([]));
}

#[test]
fn confirm_is_for_rules_that_can_change() {
    let error = "error: --confirm reads the rules of this node twice; a saved dump stays as it is\n  try:  leave out --confirm, or -f \
                 and the pipe\n";
    assert_eq!(kube_ipt("check --demo --confirm 1s").status(2).stderr(error).stdout(), "");
}

#[test]
fn one_finding_in_full() {
    let document = kube_ipt("check --demo=stale --select KI101").status(1).json();
    assert_eq!(
        document["summary"],
        json!({
            "services": 5, "endpoints": 10, "errors": 1, "warnings": 0, "infos": 0, "skipped": [],
            "cause": "Only nginx-demo/nginx-service is out of date; KUBE-SERVICES matches the API: a sync of its chains is outstanding or \
                      went wrong (last change 5 s before the rules were read).",
        })
    );
    assert_eq!(
        document["findings"],
        json!([{
            "id": "KI101", "code": "stale-endpoint", "severity": "error", "service": "nginx-demo/nginx-service", "protocol": "tcp",
            "family": "ipv4", "address": "10.244.1.3:80", "frontend": null, "chain": null, "reason": "deleted",
            "share": 0.333_333_333_488_553_76,
            "message": "33.33 % of new connections go to 10.244.1.3:80, which is stale: no pod has this address",
            "hint": "does kube-proxy on node1 sync? kubectl -n kube-system logs -l k8s-app=kube-proxy --prefix --tail=50",
            "evidence": [
                {"type": "rule", "from": "demo", "line": 74, "text": "-A KUBE-SEP-77BN6HMO4OF56OSL -p tcp -m comment --comment \
                    \"nginx-demo/nginx-service\" -m tcp -j DNAT --to-destination 10.244.1.3:80"},
                {"type": "rule", "from": "demo", "line": 103, "text": "-A KUBE-SVC-I3HUB6ZVVCWJQDJP -m comment --comment \
                    \"nginx-demo/nginx-service -> 10.244.1.3:80\" -m statistic --mode random --probability 0.33333333349 -j \
                    KUBE-SEP-77BN6HMO4OF56OSL"},
                {"type": "object", "kind": "EndpointSlice", "name": "nginx-demo/nginx-service-kscpv", "field": "endpoints",
                    "value": "10.244.3.2:80, 10.244.3.3:80, 10.244.1.4:80"},
            ],
        }])
    );
}

#[test]
fn show_and_list_mark_what_check_finds() {
    let (node, _) = fires("policy-mismatch");
    let message = node.check()[0]["message"].as_str().expect("a message").to_owned();
    let (tree, ..) = node.run("show shop/web").output();
    assert!(tree.contains(&format!("\n│  ! {message}\n")), "{tree}");
    assert!(tree.contains("\nmore: kube-ipt explain policy-mismatch\n"), "{tree}");
    let (list, ..) = node.run("list -n shop").output();
    let row = list.lines().find(|line| line.starts_with("shop/web ")).expect("a row");
    assert!(row.ends_with("! policy-mismatch"), "{list}");
    let (table, ..) = node.run("show shop/web -o table").output();
    assert!(table.contains("! KI107 policy-mismatch\n"), "{table}");
    let found = node.run("show shop/web").json()["services"][0]["findings"].take();
    assert_eq!(found, json!(node.check()));
    let clean = clean("node1").run("show").json();
    assert!(clean["services"].as_array().expect("services").iter().all(|service| service["findings"] == json!([])));
}

#[test]
fn what_cannot_be_checked_is_said() {
    let skipped = |document: Value| -> Vec<String> {
        let all = document["summary"]["skipped"].as_array().expect("a list").clone();
        all.iter()
            .map(|s| format!("{} {}", s["id"].as_str().expect("an id"), s["reason"].as_str().expect("why")))
            .collect()
    };
    let node = clean("node1");
    // Rules of one family say nothing of Services that have the other too; those that have the other only are not counted either.
    let unread = |ports: &str| {
        ["KI101", "KI102", "KI104"]
            .map(|id| format!("{id} {ports} of ipv6: no rules of that family were read"))
            .to_vec()
    };
    let document = node.run("check").json();
    assert_eq!(document["summary"]["services"], 22);
    assert_eq!(skipped(document), unread("3 service ports"));
    let one = node.run("check edge/v6only").json();
    assert_eq!((one["summary"]["services"].clone(), skipped(one)), (json!(0), unread("1 service port")));
    assert_eq!(skipped(node.run("check --family ipv4").json()), [""; 0]);
    let alone = skipped(kube_ipt("check --no-api -f").arg(crate::run::node("kitchen-sink/node1/save.txt")).json());
    let codes: Vec<&str> = alone.iter().filter_map(|s| s.split(' ').next()).collect();
    assert_eq!(codes, ["KI101", "KI102", "KI103", "KI104", "KI105", "KI106", "KI107", "KI108", "KI403"]);
    // Whose rules they are.
    let dump = crate::run::node("kitchen-sink/node1/save.txt");
    let objects = nodes().join("kitchen-sink/cluster.json");
    let (stdout, ..) = kube_ipt("check -o json --objects").arg(&objects).arg("-f").arg(&dump).output();
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let why = "KI102 3 service ports cannot be compared: whose rules these are is not known (--node NAME tells)";
    let mut both = unread("3 service ports");
    both.push(why.to_owned());
    assert_eq!(skipped(document.clone()).into_iter().collect::<BTreeSet<_>>(), both.into_iter().collect());
    assert_eq!(document["findings"], json!([]), "what depends on the node is not guessed");
    // The objects of one namespace say nothing of the others.
    let mut shop = node.clone();
    shop.objects["items"].as_array_mut().expect("a list").retain(|item| item["metadata"]["namespace"] == "shop");
    let document = shop.run("check").json();
    assert_eq!(document["findings"], json!([]));
    let said = skipped(document);
    assert!(said.iter().any(|s| s.starts_with("KI103 9 service ports of the rules: ")), "{said:?}");
}

#[test]
fn causes_are_told_in_one_sentence() {
    let cause = |node: &Node| node.run("check").json()["summary"]["cause"].as_str().unwrap_or_default().to_owned();
    // A wrong --node: what is local there is not here.
    let mut of_node1 = clean("node1");
    of_node1.name = "node2";
    let another =
        "The rules seem to be those of node1: all endpoints of their local pools run there, and none on node2.";
    assert_eq!(cause(&of_node1), another);
    let recorded = |case: &str| {
        let folder = nodes().join("faults").join(case);
        let dump = fs::read_to_string(folder.join("save.txt")).expect("the recording is there");
        let objects = serde_json::from_str(&crate::cases::gunzip(&folder.join("cluster.json.gz"))).expect("JSON");
        cause(&Node { dumps: vec![dump], objects, name: "node1" })
    };
    assert_eq!(cause(&clean("node1")), "");
    for (case, start) in [
        (
            "stale-endpoint-not-ready",
            "kube-proxy on node1 is not syncing: KUBE-SERVICES and the chains of 5 Services are behind the API",
        ),
        (
            "stale-endpoint-deleted",
            "2 Services are out of date, while KUBE-SERVICES matches the API: kube-proxy on node1 is behind",
        ),
        ("missing-service", "Only shop/fresh is out of date: kube-proxy on node1 has not synced since it changed"),
        ("leaky-chain", "Rules of nginx-demo/nginx-service were edited, or a partial sync went wrong"),
        ("skewed-balance", "Rules of nginx-demo/nginx-service were edited, or a partial sync went wrong"),
        ("missing-hook", "Hooks of kube-proxy were flushed (PREROUTING)"),
    ] {
        let told = recorded(case);
        assert!(told.starts_with(start) && told.ends_with('.'), "{case}: {told}");
    }
    assert!(cause(&fires("mixed-backends").0).starts_with("There are two sets of rules"));
    assert!(cause(&fires("leftover-mode").0).starts_with("Another mode took over"));
    let mut foreign = clean("node1");
    foreign.objects = serde_json::from_str(
        &fs::read_to_string(nodes().join("seed/in-sync/cluster.json")).expect("the recording is there"),
    )
    .expect("JSON");
    assert!(cause(&foreign).starts_with("The objects seem to be of another cluster than the rules"));
    let flushed = clean("node1")
        .without(|line| line.starts_with("-A ") || line.starts_with(":KUBE") && !line.starts_with(":KUBE-FORWARD"));
    assert!(cause(&flushed).starts_with("There are no rules of kube-proxy on node1"));
    let portal = clean("node1").without(|line| line.starts_with("-A KUBE-SERVICES "));
    assert!(cause(&portal).starts_with("KUBE-SERVICES was flushed"));
}
