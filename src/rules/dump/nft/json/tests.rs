//! JSON of nft against the text of the same rules.

use std::collections::BTreeMap;

use super::{duration, restore};

macro_rules! recording {
    ($node:literal, $name:literal) => {
        (
            include_str!(concat!("../../../../../fixtures/nodes/nftables/", $node, "/", $name, ".json")),
            include_str!(concat!("../../../../../fixtures/nodes/nftables/", $node, "/", $name, ".nft")),
        )
    };
}

/// The lines of each block. Only those of chains keep their order.
type Blocks = BTreeMap<(String, String), Vec<String>>;

fn restored(text: &str) -> String {
    restore(text).expect("JSON of nft").expect("whole JSON")
}

fn rule(expressions: &str) -> String {
    let place = r#""family":"ip","table":"t","chain":"c""#;
    let text = restored(&format!(r#"{{"nftables":[{{"rule":{{{place},"expr":{expressions}}}}}]}}"#));
    text.lines().nth(2).expect("a rule").trim().to_owned()
}

fn blocks(text: &str) -> Blocks {
    let mut blocks = Blocks::new();
    let (mut table, mut head) = (String::new(), String::new());
    for line in whole_lines(text) {
        if let Some(name) = line.strip_suffix(" {") {
            let target = if name.starts_with("table ") { &mut table } else { &mut head };
            name.clone_into(target);
            blocks.entry((table.clone(), head.clone())).or_default();
        } else if line == "}" {
            head.clear();
        } else if let Some(line) = comparable(&line, &head) {
            blocks.entry((table.clone(), head.clone())).or_default().extend(line);
        }
    }
    for ((_, _), lines) in blocks.iter_mut().filter(|((_, head), _)| !head.starts_with("chain ")) {
        lines.sort();
    }
    blocks
}

/// Lines with single blanks, and the elements of a set on one.
fn whole_lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
        match lines.last_mut().filter(|last| last.ends_with(',')) {
            Some(last) => *last = format!("{last} {line}"),
            None => lines.push(line),
        }
    }
    lines
}

/// What both texts can say: nft leaves comments of tables and chains, `dynamic` and the inside of `xt` out of its JSON.
fn comparable(line: &str, head: &str) -> Option<Vec<String>> {
    if line.starts_with("comment ") && (head.is_empty() || head.starts_with("chain ")) {
        return None;
    }
    if let Some(elements) = line.strip_prefix("elements = {") {
        let elements = elements.trim_end_matches('}').split(',');
        return Some(elements.map(|element| element.trim().to_owned()).collect());
    }
    let line = match (line.split_once(" priority "), line.split_once("; policy ")) {
        (Some((hook, _)), Some((_, policy))) if line.starts_with("type ") => format!("{hook}; policy {policy}"),
        _ => line.replace("flags dynamic,timeout", "flags timeout"),
    };
    let line = line.replace(" xt match \"comment\" xt match \"conntrack\" ", " ct status dnat ");
    Some(vec![line])
}

#[test]
fn recordings_come_back_as_nft_lists_them() {
    let recordings = [
        recording!("node1-1.30", "table-ip"),
        recording!("node1-1.30", "ruleset"),
        recording!("node2", "table-ip"),
        recording!("node2", "ruleset"),
    ];
    for (json, text) in recordings {
        assert_eq!(blocks(&restored(json)), blocks(text));
    }
}

/// Pairs of what `nft list` and `nft -j list` say of the same rule.
#[test]
fn rules_come_back_as_nft_lists_them() {
    for pair in include_str!("rules.txt").split("\n\n") {
        let (text, json) = pair.trim_end().split_once('\n').expect("a text and its JSON");
        let body: serde_json::Value = serde_json::from_str(json).expect("a rule");
        let family = body.get("family").and_then(serde_json::Value::as_str).expect("a family");
        assert_eq!(super::stmt::rule(&body, family).as_deref(), Some(text));
    }
}

#[test]
fn a_table_is_laid_out_as_nft_does() {
    let json = r#"{"nftables": [{"metainfo": {}}, {"table": {"family": "ip", "name": "t", "comment": "a b"}},
        {"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "size": 9, "flags": ["timeout"],
            "timeout": 600, "comment": "c", "elem": ["1.1.1.1", {"elem": {"val": "1.1.1.2", "timeout": 600,
            "expires": 545, "comment": "x", "counter": {"packets": 1, "bytes": 2}}}]}},
        {"chain": {"family": "ip", "table": "t", "name": "c", "type": "nat", "hook": "output", "prio": -100,
            "policy": "accept", "comment": "d"}},
        {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 7, "comment": "e f", "expr": [{"drop": null}]}}
    ]}"#;
    let text = "table ip t {\n\tcomment \"a b\"\n\tset s {\n\t\ttype ipv4_addr\n\t\tsize 9\n\t\tflags timeout\n\
        \t\ttimeout 10m\n\t\tcomment \"c\"\n\t\telements = { 1.1.1.1,\n\t\t\t1.1.1.2 counter packets 1 bytes 2 \
        timeout 10m expires 9m5s comment \"x\" }\n\t}\n\n\tchain c {\n\t\tcomment \"d\"\n\
        \t\ttype nat hook output priority -100; policy accept;\n\t\tdrop comment \"e f\"\n\t}\n}\n";
    assert_eq!(restored(json), text);
}

#[test]
fn seconds_take_the_units_of_nft() {
    let cases =
        [(0, "0s"), (45, "45s"), (545, "9m5s"), (600, "10m"), (9000, "2h30m"), (86_400, "1d"), (90_061, "1d1h1m1s")];
    for (seconds, text) in cases {
        assert_eq!(duration(seconds), text);
    }
}

#[test]
fn text_that_is_more_than_a_word_is_quoted() {
    assert_eq!(rule(r#"[{"log":{"prefix":"two words"}}]"#), r#"log prefix "two words""#);
    assert_eq!(rule(r#"[{"match":{"op":"==","left":{"meta":{"key":"oifname"}},"right":"a b"}}]"#), r#"oifname "a b""#);
    let match_of = |text: &str| {
        rule(&format!(r#"[{{"match":{{"op":"==","left":{{"meta":{{"key":"mark"}}}},"right":"{text}"}}}}]"#))
    };
    assert_eq!(match_of("#1"), r##"meta mark "#1""##);
    assert_eq!(match_of("}"), r#"meta mark "}""#);
}

#[test]
fn ipv6_before_a_port_is_in_brackets() {
    assert_eq!(rule(r#"[{"dnat":{"addr":"fd00::1","port":8080}}]"#), "dnat to [fd00::1]:8080");
    assert_eq!(rule(r#"[{"dnat":{"addr":"fd00::1"}}]"#), "dnat to fd00::1");
}

#[test]
fn what_is_unknown_is_not_lost() {
    assert_eq!(rule(r#"[{"osf":{"key":"x"}},{"drop":null}]"#), r#"unknown-json {"osf":{"key":"x"}} drop"#);
    assert_eq!(rule(r#"[{"match":{"op":"==","left":{"new":1},"right":5}}]"#), r#"unknown-json {"new":1} 5"#);
    assert_eq!(rule(r#"[{"drop":null},7]"#), "drop unknown-json 7");
    assert_eq!(
        rule(r#"[{"masquerade":{"flags":"random","later":1}}]"#),
        r#"unknown-json {"masquerade":{"flags":"random","later":1}}"#
    );
    let json = r#"{"nftables":[{"rule":{"family":"ip","table":"t","chain":"c","expr":[],"new":1}}]}"#;
    assert!(restored(json).contains("chain c {\n\t\tunknown-json {\"rule\":{\"chain\":\"c\""));
    let json = r#"{"nftables":[{"secmark":{"family":"ip","table":"t","name":"s","ctx":1}},{"stray":{}}]}"#;
    assert!(restored(json).contains(r#"unknown-json {"secmark":{"ctx":1,"family":"ip","name":"s","table":"t"}}"#));
    assert!(restored(json).ends_with("unknown-json {\"stray\":{}}\n"));
}

#[test]
fn a_text_that_breaks_off_is_an_error_with_its_place() {
    let error = restore("$ nft -j list ruleset\n{\"nftables\": [{\"table\":").expect("JSON of nft");
    assert_eq!(error, Err("EOF while parsing a value at line 2 column 23".to_owned()));
    assert_eq!(restore("{\"nftables\": 1}"), Some(Err("\"nftables\" is not a list".to_owned())));
}

#[test]
fn deep_nesting_is_an_error() {
    for levels in [70, 5_000] {
        let (open, close) = ("[".repeat(levels), "]".repeat(levels));
        let deep = format!("{{\"nftables\":{open}{close}}}");
        assert!(restore(&deep).expect("JSON of nft").is_err());
    }
}

#[test]
fn other_texts_are_none() {
    for text in ["", "*nat\nCOMMIT\n", "table ip t {\n}\n", "{\"kind\": \"List\"}", "{", "[{\"nftables\": []}]"] {
        assert_eq!(restore(text), None, "{text}");
    }
}

#[test]
fn lines_and_documents_around_do_no_harm() {
    let one = r#"{"nftables":[{"table":{"family":"ip","name":"a"}}]}"#;
    let two = "{\n  \"nftables\": [\n{ \"table\": {\"family\": \"ip6\", \"name\": \"b\"}}]\n}";
    let text = format!("\u{feff}\n# nft -j list ruleset\n{one}\n{{ echo; }}\n{two}\n# exit\n");
    assert_eq!(restored(&text), "table ip a {\n}\ntable ip6 b {\n}\n");
}

#[test]
fn a_line_break_in_a_name_makes_no_line() {
    let chain = r#"{"chain":{"family":"ip","table":"t","name":"a {\n\t\taccept\n\t}\n\tchain b"}}"#;
    let text = restored(&format!(r#"{{"nftables":[{chain}]}}"#));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines, ["table ip t {", "\tchain a { \t\taccept \t} \tchain b {", "\t}", "}"]);
    let broken = restore("{\"nftables\": [{\"table\": \"a\nb\"}]}").expect("JSON of nft").expect_err("no JSON");
    assert!(broken.ends_with(" at line 2 column 1"), "{broken}");
}
