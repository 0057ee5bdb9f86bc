//! What was made to fill memory or to take for ever, in each of the three modes, in bundles and in objects: every run has a
//! limit of memory and of processor time, and says what it thinks of what it was given.
//!
//! The limits are far above what a debug build needs and far below what following such input would take.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::bundles::kept;
use crate::run::{Run, kube_ipt, node};

/// Memory that a run may have, in MiB.
const MEMORY: u64 = 3000;

/// Seconds of a processor that a run may have.
const SECONDS: u64 = 60;

/// Larger texts get no pseudonyms here, which a debug build makes a megabyte of in five seconds.
const REDACTED: usize = 3 << 20;

/// Commands that read rules, each with the tree or document that says most.
const COMMANDS: [&str; 4] =
    ["show --no-api", "list --no-api -o json", "check --no-api", "snapshot --no-api --redact -o -"];

fn bounded(args: &str) -> Run {
    kube_ipt(args).bounded(MEMORY, SECONDS)
}

/// Runs every command on `text`; stdout of the first.
#[track_caller]
fn survives(name: &str, text: impl AsRef<[u8]>) -> String {
    let (_room, path) = kept(name, text.as_ref());
    let mut shown = None;
    let pseudonyms = |args: &str| args.contains("--redact");
    for args in COMMANDS.into_iter().filter(|args| !pseudonyms(args) || text.as_ref().len() <= REDACTED) {
        let (stdout, stderr, status) = ended(bounded(args).arg("-f").arg(&path));
        assert!(matches!(status, Some(0..=2)), "{name}: {args}: {status:?} {stderr}");
        assert!(!stderr.contains("panicked"), "{name}: {args}: {stderr}");
        assert!(
            status != Some(2) || stdout.is_empty() && stderr.starts_with("error: ") || stderr.contains("\nerror: "),
            "{name}: {args}: {stderr}"
        );
        shown.get_or_insert(String::from_utf8_lossy(&stdout).into_owned());
    }
    shown.expect("commands were run")
}

/// Stdout as it is, for a snapshot is no text.
fn ended(run: Run) -> (Vec<u8>, String, Option<i32>) {
    let (stdout, stderr, status) = run.bytes();
    (stdout, String::from_utf8(stderr).expect("UTF-8"), status)
}

const HOOKED: &str = "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
                      -A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n";

const PORTAL: &str =
    "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n";

const POOL: &str = "-A KUBE-SVC-X -j KUBE-SEP-A\n-A KUBE-SEP-A -p tcp -m tcp -j DNAT --to-destination 10.0.0.1:80\n";

/// A whole nat table with these rules.
fn nat(rules: &str) -> String {
    format!("{HOOKED}{PORTAL}{rules}COMMIT\n")
}

/// kube-proxy's table of nftables with one Service, whose chain is `service-ABCDEFGH-a/b/tcp/`, and these chains.
fn nft(chains: &str) -> String {
    format!(
        "table ip kube-proxy {{\n\tmap service-ips {{\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\
         \t\telements = {{ 10.96.0.1 . tcp . 80 : goto service-ABCDEFGH-a/b/tcp/ }}\n\t}}\n\
         \tchain nat-prerouting {{\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t\tjump services\n\t}}\n\
         \tchain services {{\n\t\tip daddr . meta l4proto . th dport vmap @service-ips\n\t}}\n{chains}}}\n"
    )
}

/// The same as JSON, whose chains are given with the expressions of each of their rules.
fn nft_json(chains: &[(String, Vec<Value>)]) -> String {
    let place = |name: &str| json!({"family": "ip", "table": "kube-proxy", "name": name, "handle": 1});
    let mut all = vec![json!({"metainfo": {}}), json!({"table": {"family": "ip", "name": "kube-proxy", "handle": 1}})];
    let mut map = place("service-ips");
    map["type"] = json!(["ipv4_addr", "inet_proto", "inet_service"]);
    map["map"] = json!("verdict");
    map["elem"] = json!([[{"concat": ["10.96.0.1", "tcp", 80]}, {"goto": {"target": "service-ABCDEFGH-a/b/tcp/"}}]]);
    all.push(json!({"map": map}));
    let mut base = place("nat-prerouting");
    for (key, value) in [("type", json!("nat")), ("hook", json!("prerouting")), ("prio", json!(-100))] {
        base[key] = value;
    }
    all.push(json!({"chain": base}));
    let key = json!({"concat": [{"payload": {"protocol": "ip", "field": "daddr"}}, {"meta": {"key": "l4proto"}},
        {"payload": {"protocol": "th", "field": "dport"}}]});
    let services = ("services".to_owned(), vec![json!([{"vmap": {"key": key, "data": "@service-ips"}}])]);
    let hook = ("nat-prerouting".to_owned(), vec![json!([{"jump": {"target": "services"}}])]);
    for (n, (name, rules)) in [&hook, &services].into_iter().chain(chains).enumerate() {
        if n > 0 {
            all.push(json!({"chain": place(name)}));
        }
        for expr in rules {
            all.push(
                json!({"rule": {"family": "ip", "table": "kube-proxy", "chain": name, "handle": 1, "expr": expr}}),
            );
        }
    }
    json!({"nftables": all}).to_string()
}

#[test]
fn loops_and_depths_of_nftables_are_told_and_not_followed() {
    let own = "! service-ABCDEFGH-a/b/tcp/ jumps back to itself: no kernel loads such rules; shares unknown";
    let round = nft(
        "\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tjump chain-y\n\t}\n\tchain chain-y {\n\t\tgoto service-ABCDEFGH-a/b/tcp/\n\t}\n",
    );
    assert!(survives("round", round).contains(own));
    let jump = |to: &str| json!([{"jump": {"target": to}}]);
    let round = [
        ("service-ABCDEFGH-a/b/tcp/".to_owned(), vec![jump("y")]),
        ("y".to_owned(), vec![jump("service-ABCDEFGH-a/b/tcp/")]),
    ];
    assert!(survives("round.json", nft_json(&round)).contains(own));
    let mut deep = "\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tjump d0\n\t}\n".to_owned();
    let mut deep_json = vec![("service-ABCDEFGH-a/b/tcp/".to_owned(), vec![jump("d0")])];
    for n in 0..2_000 {
        let _ = writeln!(deep, "\tchain d{n} {{\n\t\tjump d{}\n\t}}", n + 1);
        deep_json.push((format!("d{n}"), vec![jump(&format!("d{}", n + 1))]));
    }
    deep.push_str("\tchain d2000 {\n\t\tmeta l4proto tcp dnat to 10.0.0.1:80\n\t}\n");
    deep_json.push(("d2000".to_owned(), vec![json!([{"dnat": {"addr": "10.0.0.1", "port": 80}}])]));
    for (name, text) in [("deep", nft(&deep)), ("deep.json", nft_json(&deep_json))] {
        // The kernel loads no such rules; what is not followed is unknown, never lost.
        let shown = survives(name, text);
        assert!(shown.contains("! chains nest 32 deep; nf_tables loads no more than 16 jumps"), "{shown}");
        assert!(shown.contains("! shares are not all known") && !shown.contains("reach no endpoint"), "{shown}");
    }
    let mut doubling = "\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tjump d0\n\t}\n".to_owned();
    for n in 0..60 {
        let next = n + 1;
        let _ = writeln!(
            doubling,
            "\tchain d{n} {{\n\t\tnumgen random mod 2 vmap {{ 0 : jump d{next}, 1 : jump d{next} }}\n\t}}"
        );
    }
    doubling.push_str("\tchain d60 {\n\t\tmeta l4proto tcp dnat to 10.0.0.1:80\n\t}\n");
    let shown = bounded("show --no-api").stdin(nft(&doubling)).output().0;
    assert!(shown.contains("! shares are not all known"), "{shown}");
}

#[test]
fn a_walk_through_doubling_chains_ends() {
    let mut rules = "-A KUBE-SVC-X -j D0\n".to_owned();
    for n in 0..60 {
        let _ = writeln!(rules, "-A D{n} -s 10.{n}.0.0/16 -j D{}\n-A D{n} -j D{}", n + 1, n + 1);
    }
    rules.push_str("-A D60 -p tcp -j DNAT --to-destination 10.0.0.1:80\n");
    let (stdout, stderr, status) = bounded("trace external 10.96.0.1:80 --no-api").stdin(nat(&rules)).output();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stdout.contains("10.0.0.1:80"), "{stdout}");
    let round = nat("-A KUBE-SVC-X -j A\n-A A -j B\n-A B -j A\n");
    let (stdout, stderr, status) = bounded("trace external 10.96.0.1:80 --no-api").stdin(&round).output();
    assert!(matches!(status, Some(0 | 1)), "{stderr}");
    assert!(stdout.contains("it cannot be told: chains call each other more than 100 deep"), "{stdout}");
}

#[test]
fn marks_that_double_keep_no_way_for_each() {
    let mut rules = "-A KUBE-SVC-X -j KUBE-SVC-0\n".to_owned();
    for n in 0..60 {
        let chance = "-m statistic --mode random --probability 0.5";
        let (bit, next) = (1_u32 << (n % 32), n + 1);
        writeln!(rules, "-A KUBE-SVC-{n} {chance} -j MARK --set-xmark {bit:#x}/{bit:#x}").expect("a text");
        writeln!(rules, "-A KUBE-SVC-{n} {chance} -j KUBE-SVC-{next}\n-A KUBE-SVC-{n} -j KUBE-SVC-{next}")
            .expect("a text");
    }
    let run = kube_ipt("trace external 10.96.0.1:80 --no-api").bounded(700, SECONDS).stdin(nat(&rules));
    let (stdout, stderr, status) = run.output();
    assert!(stdout.contains("there are too many rules on the way to follow them all"), "{stdout}{stderr}");
    assert_eq!(status, Some(0));
}

#[test]
fn chains_without_end_cost_what_they_are() {
    let mut declared = HOOKED.to_owned();
    for n in 0..1_000_000 {
        let _ = writeln!(declared, ":C{n} - [0:0]");
    }
    let empty = declared + PORTAL + POOL + "COMMIT\n";
    let shown = bounded("show --no-api").stdin(empty).json();
    assert_eq!(shown["services"][0]["pools"][0]["endpoints"][0]["probability"], 1.0);
    let mut many = String::new();
    for n in 0..50_000 {
        let _ = writeln!(many, "\tchain c{n} {{\n\t}}");
    }
    survives("chains", nft(&many));
    let mut many = "IP Virtual Server version 1.2.1 (size=4096)\n".to_owned();
    for n in 0..5_000 {
        let _ = writeln!(many, "-A -t 10.{}.{}.{}:80 -s rr", n >> 16, n >> 8 & 255, n & 255);
    }
    survives("servers", many);
}

#[test]
fn what_comes_again_and_again_costs_no_square() {
    let chains = ":KUBE-SVC-X - [0:0]\n".repeat(50_000);
    survives("chains", nat(&(chains + POOL)));
    survives("tables", nat(POOL).repeat(300));
    survives("empty-tables", "*nat\nCOMMIT\n".repeat(50_000) + &nat(POOL));
    let own = "\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tmeta l4proto tcp dnat to 10.0.0.1:80\n\t}\n";
    survives("nft-tables", nft(own).repeat(300));
    survives("nft-chains", nft(&own.repeat(10_000)));
    let server = "-A -t 10.96.0.1:80 -s rr\n-a -t 10.96.0.1:80 -r 10.0.0.1:80 -m -w 1\n";
    survives("servers", server.repeat(5_000));
}

/// Seconds of a processor that are enough where time grows in step with the input, and not where it grows with its square.
const IN_STEP: u64 = 20;

/// The address of a number, in 11.0.0.0/8.
fn address(n: usize) -> String {
    format!("11.{}.{}.{}", n >> 16 & 255, n >> 8 & 255, n & 255)
}

/// A Service and its ready endpoints, all on port 80.
fn service(name: &str, cluster_ip: &str, external: &[String], endpoints: &[String]) -> [Value; 2] {
    let endpoints: Vec<Value> =
        endpoints.iter().map(|ip| json!({"addresses": [ip], "conditions": {"ready": true}, "nodeName": "n"})).collect();
    [
        json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "a"},
            "spec": {"type": "ClusterIP", "clusterIP": cluster_ip, "clusterIPs": [cluster_ip], "externalIPs": external,
                "ports": [{"port": 80, "protocol": "TCP"}]}}),
        json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": name, "namespace": "a", "labels": {"kubernetes.io/service-name": name}},
            "ports": [{"name": "", "port": 80, "protocol": "TCP"}], "endpoints": endpoints}),
    ]
}

/// Runs a command on rules and objects, in time that is in step with them; stdout.
#[track_caller]
fn in_step(args: &str, rules: &str, objects: &[Value]) -> String {
    let (_room, path) = kept("rules", rules.as_bytes());
    let (_other, objects) =
        kept("objects", json!({"kind": "List", "apiVersion": "v1", "items": objects}).to_string().as_bytes());
    let run = kube_ipt(args).bounded(MEMORY, IN_STEP).arg("-f").arg(&path).arg("--objects").arg(&objects);
    let (stdout, stderr, status) = run.output();
    assert!(matches!(status, Some(0..=1)), "{args}: {status:?} {stderr}");
    stdout
}

#[test]
fn one_service_of_many_endpoints_is_compared_in_step() {
    const MANY: u16 = 40_000;
    let endpoints: Vec<String> = (1..=usize::from(MANY)).map(address).collect();
    let mut rules = String::new();
    for (n, ip) in (0..).zip(&endpoints) {
        let left = MANY - n;
        let part = if left == 1 {
            String::new()
        } else {
            format!("-m statistic --mode random --probability {:.11} ", 1.0 / f64::from(left))
        };
        let _ = writeln!(rules, "-A KUBE-SVC-X {part}-j KUBE-SEP-{n}");
        let _ = writeln!(rules, "-A KUBE-SEP-{n} -p tcp -m tcp -j DNAT --to-destination {ip}:80");
    }
    let objects = service("b", "10.96.0.1", &[], &endpoints);
    let found = in_step("check --node n --select KI102", &nat(&rules), &objects);
    assert!(found.starts_with("no findings in 1 service port"), "{found}");
    let shown = in_step("show --rules --node n", &nat(&rules), &objects);
    assert!(shown.contains("└─ 40000 endpoints  KUBE-SVC-X"), "{}", &shown[..2000]);
}

#[test]
fn many_addresses_are_looked_up_in_step() {
    // Virtual servers that no Service has, and as many Services.
    const MANY: usize = 16_000;
    let mut servers = String::new();
    let mut objects = Vec::new();
    for n in 1..=MANY {
        let _ = writeln!(servers, "-A -t {}:80 -s rr\n-a -t {0}:80 -r 10.0.0.1:80 -m -w 1", address(n));
        let [service, _] = service(&format!("s{n}"), &address(n + (1 << 20)), &[], &[]);
        objects.push(service);
    }
    let listed = in_step("list --node n", &servers, &objects);
    assert!(listed.lines().count() > MANY, "{}", listed.lines().count());
    // External addresses that the rules do not have.
    let external: Vec<String> = (1..=8_000).map(address).collect();
    let mut objects = service("b", "10.96.0.1", &external, &["10.0.0.1".to_owned()]).to_vec();
    objects.extend((1..=8_000).map(|n| service(&format!("s{n}"), &address(n + (1 << 20)), &[], &[])[0].clone()));
    let own = "\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tmeta l4proto tcp dnat to 10.0.0.1:80\n\t}\n";
    let found = in_step("check --node n --select KI106 -o json", &nft(own), &objects);
    let found: Value = serde_json::from_str(&found).expect("JSON");
    assert_eq!(found["findings"].as_array().map(Vec::len), Some(external.len()));
}

#[test]
fn what_many_endpoints_lack_is_told_in_step() {
    const MANY: usize = 40_000;
    let mut chains = format!("\tchain service-ABCDEFGH-a/b/tcp/ {{\n\t\tnumgen random mod {MANY} vmap {{ ");
    for n in 0..MANY {
        let _ = write!(chains, "{}{n} : goto endpoint-{n}", if n > 0 { ", " } else { "" });
    }
    chains.push_str(" }\n\t}\n");
    for n in 0..MANY {
        let ip = address(n);
        let _ = write!(
            chains,
            "\tchain endpoint-{n} {{\n\t\tip saddr {ip} jump mark-{n}\n\t\tmeta l4proto tcp dnat to {ip}:80\n\t}}\n"
        );
    }
    let listed = in_step("list", &nft(&chains), &service("b", "10.96.0.1", &[], &[]));
    assert!(listed.contains(&MANY.to_string()), "{listed}");
}

#[test]
fn lines_of_ten_megabytes_are_lines() {
    let long = 10 << 20;
    let x = "x".repeat(long);
    for (name, text) in [
        ("chain", nat(&format!("-A KUBE-SVC-X -j {x}\n"))),
        ("open-quote", nat(&format!("-A KUBE-SVC-X -m comment --comment \"{x}\n"))),
        (
            "nft",
            nft(&format!(
                "\tchain service-ABCDEFGH-a/b/tcp/ {{\n\t\tcomment \"{x}\"\n\t\tip saddr {{ {}}} accept\n\t}}\n",
                "10.0.0.1, ".repeat(long / 10)
            )),
        ),
        ("ipvs", format!("-A -t 10.96.0.1:80 -s {x}\n-a -t 10.96.0.1:80 -r 10.0.0.1:80 -m -w 1\n")),
    ] {
        let (_room, path) = kept(name, text.as_bytes());
        let (_, stderr, status) = bounded("show --no-api -f").arg(&path).output();
        assert!(matches!(status, Some(0..=2)), "{name}: {status:?} {stderr}");
    }
}

#[test]
fn signs_without_end_around_a_word_are_no_steps_of_a_recursion() {
    let mut text = String::new();
    for sign in ['}', ')', '{', '(', ',', '/', '=', '!', ':'] {
        let word = sign.to_string().repeat(40_000);
        let _ = write!(
            text,
            "-A KUBE-SVC-X -m x --y {word} -j Z\n-A KUBE-SVC-X -s a{word} -m comment --comment \"{word}\" -j {word}\n"
        );
    }
    survives("signs", nat(&text));
    let braces = "{".repeat(100_000);
    survives("nft-signs", format!("table ip kube-proxy {{\n{braces}\n{}\n", braces.replace('{', "}")));
    survives("nft-blocks", "table ip kube-proxy {\n".to_owned() + &"\tfoo {\n".repeat(20_000));
}

#[test]
fn noise_is_said_to_be_none() {
    let mut noise = Vec::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    while noise.len() < 2 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        noise.extend(state.to_le_bytes());
    }
    let error = "error: stdin is binary data; expected rules of iptables or nftables, or an ipvsadm listing\n  \
                 try:  save the rules of the node with: iptables-save > FILE";
    // Among so many bytes there is what looks like a chain.
    assert!(noise.windows(2).any(|two| two == b"\n:") && noise.contains(&0));
    bounded("show --no-api").stdin(&noise).status(2).stderr(error).stdout();
    bounded("show --no-api").stdin(vec![0; 5 << 20]).status(2).stderr(error).stdout();
    let lines: Vec<u8> = noise.chunks(40).flat_map(|line| [b"-A ", line, b"\n"].concat()).collect();
    survives("lines", lines);
}

#[test]
fn json_that_nests_without_end_is_an_error() {
    for (name, text) in [
        (
            "list",
            format!(
                "{{\"nftables\": [{{\"rule\": {{\"expr\": {}{}}}}}]}}",
                "[".repeat(1_000_000),
                "]".repeat(1_000_000)
            ),
        ),
        (
            "object",
            format!("{{\"nftables\": [{{\"rule\": {{\"expr\": {}1{}}}}}]}}", "{\"|\":[".repeat(100), "]}".repeat(100)),
        ),
        ("open", format!("{{\"nftables\": {}", "[".repeat(1_000_000))),
    ] {
        let (_room, path) = kept(name, text.as_bytes());
        let (stdout, stderr, status) = bounded("show --no-api -f").arg(&path).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{name}: {stderr}");
        let error = format!("error: {} is JSON of nft that cannot be read: ", path.display());
        assert!(stderr.starts_with(&error), "{name}: {stderr}");
    }
    // As deep as the parser goes, which is deeper than nft writes.
    let deep = format!("{{\"nftables\": [{{\"rule\": {{\"expr\": {}{}}}}}]}}", "[".repeat(80), "]".repeat(80));
    let (_, stderr, status) = bounded("show --no-api").stdin(deep).output();
    assert_eq!(status, Some(2));
    assert!(stderr.contains("nested more than 64 levels deep"), "{stderr}");
}

/// `check` of a recorded node with these objects.
fn with_objects(name: &str, text: impl AsRef<[u8]>) -> (String, String, Option<i32>) {
    let (_room, path) = kept(name, text.as_ref());
    let run = bounded("check --node node1 -o json -f").arg(node("seed/in-sync/save.txt"));
    let (stdout, stderr, status) = run.arg("--objects").arg(&path).output();
    (stdout, stderr.replace(&path.display().to_string(), "FILE"), status)
}

#[test]
fn objects_that_repeat_or_nest_without_end_are_an_error() {
    let mut laughs = "kind: List\napiVersion: v1\na: &a [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for letter in 'b'..='w' {
        let before = char::from(u8::try_from(u32::from(letter) - 1).expect("ASCII"));
        let nine = vec![format!("*{before}"); 9].join(", ");
        let _ = writeln!(laughs, "{letter}: &{letter} [{nine}]");
    }
    let much = "it repeats itself or nests more than Kubernetes objects do";
    let steps: String = (1..3000).map(|depth| " ".repeat(depth) + "a:\n").collect();
    let copies = "- &a {kind: Service, apiVersion: v1, metadata: {name: x, namespace: y}}\n".to_owned()
        + &"- *a\n".repeat(100_000);
    for (name, text) in [
        ("laughs", laughs + "items: *w\n"),
        ("copies", format!("kind: List\napiVersion: v1\nitems:\n{copies}")),
        ("flow", format!("kind: {}", "[".repeat(500_000))),
        ("flow-maps", format!("kind: {}", "{a: ".repeat(500_000))),
        ("block", format!("a:\n{steps}")),
        ("lists", format!("kind: List\nitems:\n{}", "- ".repeat(500_000))),
        ("keys", "? ".repeat(500_000)),
    ] {
        let (stdout, stderr, status) = with_objects(name, text);
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{name}: {stderr}");
        let words = ["a key that is no text", much];
        assert!(
            stderr.starts_with("error: FILE line ") && words.iter().any(|word| stderr.contains(word)),
            "{name}: {stderr}"
        );
        assert!(stderr.len() < 500, "{name}: {stderr}");
    }
    let object = |spec: &str| {
        format!(r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"x","namespace":"y"}},"spec":{spec}}}"#)
    };
    let deep = "[".repeat(1_000_000);
    for (name, text) in [
        ("open", deep.clone()),
        ("closed", object(&(deep.clone() + &"]".repeat(1_000_000)))),
        ("maps", "{\"a\":".repeat(500_000)),
        ("lists", format!("[{}", "{\"kind\":\"List\",\"items\":[".repeat(100_000))),
    ] {
        let (stdout, stderr, status) = with_objects(name, text);
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{name}: {stderr}");
        assert!(stderr.starts_with("error: FILE line 1 column "), "{name}: {stderr}");
        assert!(stderr.len() < 500, "{name}: {stderr}");
    }
}

#[test]
fn numbers_no_port_can_have_are_named() {
    for (port, said) in [
        (r#"{"port": 99999}"#, "99999"),
        (r#"{"port": -1}"#, "-1"),
        (r#"{"port": 80, "nodePort": 70000}"#, "70000"),
        (r#"{"port": 1e300}"#, "1e+300"),
        (r#"{"port": 80.5}"#, "80.5"),
        (r#"{"port": 80, "targetPort": 99999999999}"#, "99999999999"),
    ] {
        let text = format!(
            r#"{{"kind":"Service","apiVersion":"v1","metadata":{{"name":"x","namespace":"y"}},"spec":{{"clusterIP":"10.96.0.1","ports":[{port}]}}}}"#
        );
        let (stdout, stderr, status) = with_objects("port", text);
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{port}: {stderr}");
        assert!(
            stderr.starts_with("error: FILE line 1 column ") && stderr.contains("Service y/x: "),
            "{port}: {stderr}"
        );
        assert!(stderr.contains(said), "{port}: {stderr}");
    }
}

#[test]
fn numbers_no_rule_can_have_never_become_a_share() {
    for number in ["1.5", "-0.5", "NaN", "inf", "1e400", "99999999999999999999", "0x1"] {
        let chance = format!("-A KUBE-SVC-X -m statistic --mode random --probability {number} -j KUBE-SEP-A\n");
        let document = bounded("show --no-api -o json").stdin(nat(&(chance + POOL))).output().0;
        let document: Value = serde_json::from_str(&document).expect("JSON");
        let pool = &document["services"][0]["pools"][0];
        for endpoint in pool["endpoints"].as_array().expect("endpoints") {
            let share = &endpoint["probability"];
            assert!(
                share.is_null() || share.as_f64().is_some_and(|share| (0.0..=1.0).contains(&share)),
                "{number}: {share}"
            );
        }
    }
    let mut rules = String::new();
    for port in ["99999", "-1", "65536", "80:70", "4294967376", "1e3", "NaN"] {
        let _ = writeln!(rules, "-A KUBE-SERVICES -d 10.96.0.2/32 -p tcp -m tcp --dport {port} -j KUBE-SVC-Y");
        let _ = writeln!(rules, "-A KUBE-SEP-B -p tcp -m tcp -j DNAT --to-destination 10.0.0.2:{port}");
    }
    rules.push_str("[99999999999999999999999:-1] -A KUBE-SVC-Y -m mark --mark 0xffffffffffffffff/0x1 -j KUBE-SEP-B\n");
    rules.push_str("-A KUBE-SVC-Y -m statistic --mode nth --every 0 --packet 0 -j KUBE-SEP-B\n-A KUBE-SVC-Y -s 10.0.0.0/99 -j KUBE-SEP-B\n");
    rules.push_str("-A KUBE-SVC-Y -m recent --rcheck --seconds 99999999999999999999 --name X -j KUBE-SEP-B\n");
    survives("rules", nat(&(rules + POOL)));
    for number in ["0", "4294967296", "18446744073709551616", "-1", "100000000", "x"] {
        survives(
            number,
            nft(&format!(
                "\tchain service-ABCDEFGH-a/b/tcp/ {{\n\t\tnumgen random mod {number} vmap {{ 0 : goto ep, 1-99999999 : goto ep, 9-3 : goto ep }}\n\t}}\n\
            \tchain ep {{\n\t\tcounter packets 99999999999999999999999 bytes -5 meta l4proto tcp dnat to 10.0.0.1:99999\n\t}}\n"
            )),
        );
    }
    let set = "\tset aff {\n\t\ttype ipv4_addr\n\t\ttimeout 99999999999999999999d9h\n\t\telements = { 10.0.0.1 timeout 1d expires 99999999999999999999999s, 10.0.0.2 expires -5s }\n\t}\n\
               \tchain late {\n\t\ttype nat hook prerouting priority 2147483647 + 2147483647; policy accept;\n\t}\n\
               \tchain early {\n\t\ttype nat hook prerouting priority dstnat - -2147483648; policy accept;\n\t}\n\tchain service-ABCDEFGH-a/b/tcp/ {\n\t\tip saddr @aff goto ep\n\t}\n";
    survives("sets", nft(set));
    let mut servers = String::new();
    for (n, (weight, time, port)) in
        [("4294967296", "1", "80"), ("-1", "-1", "80"), ("NaN", "99999999999", "99999"), ("2147483647", "x", "0")]
            .into_iter()
            .enumerate()
    {
        let at = format!("10.96.0.{n}:{port}");
        let _ = writeln!(
            servers,
            "-A -t {at} -s wrr -p {time}\n-a -t {at} -r 10.0.0.1:{port} -m -w {weight}\n-a -t {at} -r 10.0.0.2:80 -m -w {weight}"
        );
    }
    survives("servers", "-A -t 10.96.1.1:80 -s rr\n".to_owned() + &servers);
    survives("sets", "create A list:set size 8\ncreate B list:set size 8\nadd A B\nadd B A\nadd A A\n");
}

/// In a part of a dump each rule that leads to an endpoint's chain asks whether a rule there translates.
#[test]
fn many_jumps_to_one_long_chain_of_a_part() {
    let marks = "-A KUBE-SEP-X -s 10.0.0.1/32 -j KUBE-MARK-MASQ\n".repeat(10_000);
    let jumps = "-A KUBE-SVC-X -m statistic --mode random --probability 0.5 -j KUBE-SEP-X\n".repeat(10_000);
    survives("part", format!("{HOOKED}{PORTAL}{marks}{jumps}"));
}

#[test]
fn memory_that_runs_out_ends_with_an_error_and_no_answer() {
    let mut rules = String::new();
    for n in 0..100_000 {
        _ = writeln!(rules, ":KUBE-SVC-{n:016} - [0:0]");
    }
    let (_room, path) = kept("rules", nat(&rules).as_bytes());
    let mut exhausted = 0;
    // The program itself needs room too, by its build; below that it is not even started, or comes to nothing of its own.
    for megabytes in (48..MEMORY).step_by(8) {
        let (stdout, stderr, status) =
            ended(kube_ipt("list --no-api -f").arg(&path).env("RUST_BACKTRACE", "0").bounded(megabytes, SECONDS));
        match status {
            Some(0 | 1) => break,
            Some(2) => {
                exhausted += usize::from(stderr.starts_with("memory allocation of "));
                assert!(stderr.starts_with("memory allocation of ") || stderr.starts_with("error: "), "{stderr}");
                assert!(stdout.is_empty());
            }
            _ => assert!(exhausted == 0 && stdout.is_empty(), "{megabytes} MiB: {status:?} {stderr}"),
        }
    }
    assert!(exhausted > 0, "there was memory enough for all");
}
