//! YAML as JSON: scalars, aliases, documents, and the place of every line.

use serde_json::{Value, json};

use super::*;

/// The documents of a text, or the first error.
fn read(text: &str) -> Result<Vec<Value>, String> {
    let value = |document: Document| serde_json::from_str(&document.json).expect("JSON");
    let told = |bad: BadYaml| format!("{}:{} {}", bad.at.0, bad.at.1, bad.what);
    documents(text).map(|document| document.map(value).map_err(told)).collect()
}

fn one(text: &str) -> Value {
    let [value] = read(text).expect(text).try_into().expect("one document");
    value
}

#[test]
fn a_plain_scalar_is_what_json_would_write_without_quotes() {
    let scalars = "[80, -1, 0, true, False, ~, NULL, null, 012, -0, 12345e7, 1.5, 0x50, 1_000, yes, 10.96.0.1, a b, '80', \
                   \"true\", !!str 80, !!int '80', !!null '', !mine 80, ]";
    assert_eq!(
        one(scalars),
        json!([
            80,
            -1,
            0,
            true,
            false,
            null,
            null,
            null,
            "012",
            "-0",
            "12345e7",
            "1.5",
            "0x50",
            "1_000",
            "yes",
            "10.96.0.1",
            "a b",
            "80",
            "true",
            "80",
            80,
            null,
            80
        ])
    );
    assert_eq!(one("a: |\n  80\nb: >-\n  true\nc:\n"), json!({"a": "80\n", "b": "true", "c": null}));
}

#[test]
fn where_kubernetes_has_texts_nothing_is_a_number() {
    assert_eq!(
        one(
            "metadata:\n  name: 80\n  namespace:\n  resourceVersion: 7\n  labels: {a: 1, b: true, c: }\nspec:\n  selector:\n    \
             v: 2\n    matchLabels: {w: 3}\n  replicas: 4\n"
        ),
        json!({"metadata": {"name": "80", "namespace": null, "resourceVersion": "7", "labels": {"a": "1", "b": "true", "c": ""}},
            "spec": {"selector": {"v": "2", "matchLabels": {"w": "3"}}, "replicas": 4}})
    );
}

#[test]
fn an_alias_repeats_what_its_anchor_names() {
    assert_eq!(one("a: &a {b: [&c 1, x]}\nd: *a\ne: [*c, *a]\n"), {
        let a = json!({"b": [1, "x"]});
        json!({"a": a, "d": a, "e": [1, a]})
    });
    for (text, error) in [
        ("a: &a [*a]\n", "1:8 an alias of what holds it, or of a key"),
        ("&a x: 1\nb: *a\n", "2:4 an alias of what holds it, or of a key"),
        ("a: &a {b: 1}\nc:\n  <<: *a\n", "3:3 a map merged into another (<<), which kubectl does not write"),
        ("? [a]\n: b\n", "1:3 a key that is no text"),
        ("a: [b\n", "1:4 unclosed bracket '['"),
    ] {
        assert_eq!(read(text), Err(error.to_owned()), "{text}");
    }
}

#[test]
fn documents_that_hold_nothing_are_none() {
    assert_eq!(read("# nothing\n---\n---\na: 1\n...\n---\n# nothing\n--- 2\n"), Ok(vec![json!({"a": 1}), json!(2)]));
    assert_eq!(read(""), Ok(vec![]));
}

#[test]
fn every_line_knows_its_place() {
    let text = "---\nkind: Service\nspec:\n  ports: [&p {port: 80},\n    *p]\n";
    let document = documents(text).next().expect("one").expect("YAML");
    let places: Vec<(&str, usize, usize)> = document
        .json
        .lines()
        .zip(1..)
        .map(|(line, number)| {
            let (at, column) = document.place(number).expect("a place");
            (line, at, column)
        })
        .collect();
    assert_eq!(
        places,
        [
            ("{", 2, 1),
            ("\"kind\":", 2, 1),
            ("\"Service\",", 2, 7),
            ("\"spec\":", 3, 1),
            ("{", 4, 3),
            ("\"ports\":", 4, 3),
            ("[", 4, 10),
            ("{", 4, 14),
            ("\"port\":", 4, 15),
            ("80", 4, 21),
            ("},", 4, 23),
            ("{", 5, 5),
            ("\"port\":", 4, 15),
            ("80", 4, 21),
            ("}", 4, 23),
            ("]", 5, 7),
            ("}", 6, 1),
            ("}", 6, 1),
        ]
    );
    assert_eq!(document.place(99), None);
}

#[test]
fn a_list_whose_kind_was_cut_off_is_told() {
    let is_cut = |text: &str| documents(text).next().expect("one").expect("YAML").is_cut_list();
    assert!(is_cut("items:\n- kind: Service\n"));
    assert!(is_cut("items:\n- kind: Service\nkind:\n"));
    assert!(!is_cut("items:\n- kind: Service\nkind: List\n"));
    assert!(!is_cut("spec:\n  items: []\n"));
}

#[test]
fn a_list_is_whole_if_something_stands_behind_its_items() {
    let is_whole = |text: &str| documents(text).next().expect("one").expect("YAML").is_whole();
    assert!(is_whole("items:\n- kind: Service\nkind: List\n"));
    assert!(!is_whole("kind: List\nitems:\n- kind: Service\n  items: []\n  kind: x\n"));
    assert!(!is_whole("- kind: Service\n"));
}
