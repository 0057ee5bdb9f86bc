//! What a kubeconfig holds to say who somebody is shows nowhere: in no answer, note, error or snapshot, whatever goes wrong.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use crate::run::{kube_ipt, node};
use crate::stand_in::{StandIn, seed, status};

/// A part of every secret here.
const SECRET: &str = "s3cr3t-s3cr3t";

/// The same as a number, which a password may be.
const NUMBER: &str = "7355608735560";

/// The same in base64, at each offset within three bytes.
const ENCODED: [&str; 3] = ["czNjcjN0LXMzY3Iz", "MzY3IzdC1zM2NyM3", "zM2NyM3QtczNjcjN0"];

/// Runs of every command that asks the API server.
const RUNS: &[&str] = &[
    "show -v",
    "list -v -o json",
    "check -v",
    "check -o json",
    "show -v --require-api",
    "trace pod nginx-service -v --require-api",
    "snapshot -v -o -",
    "snapshot -v --all-nodes -o -",
    "list --all-nodes",
    "show -v --via kube-system/kube-proxy-node1",
    "diff node/node1 node/node2 -v",
];

/// Text in which a secret would be seen, packed or not.
fn seen(stdout: &[u8], stderr: &str) -> String {
    let mut text = String::from_utf8_lossy(stdout).into_owned();
    let mut unpacked = Vec::new();
    if flate2::read::MultiGzDecoder::new(stdout).read_to_end(&mut unpacked).is_ok() {
        text.push_str(&String::from_utf8_lossy(&unpacked));
    }
    text + stderr
}

/// Runs every command with this kubeconfig, with the rules of a node, and sees no secret.
#[track_caller]
fn shows_nothing(what: &str, server: &StandIn, cluster: &str, user: &str) {
    let config = server.kubeconfig_of(cluster, user);
    for run in RUNS {
        let dump = if ["--via", "--all-nodes", "diff"].iter().any(|word| run.contains(word)) {
            String::new()
        } else {
            format!("--node node1 -f {}", node("seed/stale/save.txt"))
        };
        let run = kube_ipt(&format!("{run} --kubeconfig {config} --request-timeout 2s {dump}"));
        let (stdout, stderr, _) = run.bytes();
        let text = seen(&stdout, &String::from_utf8_lossy(&stderr));
        for secret in [SECRET, NUMBER].iter().chain(&ENCODED) {
            assert!(!text.contains(secret), "{what}: {text}");
        }
        assert!(!text.is_empty(), "{what}");
    }
    // Completions read the kubeconfig too.
    let (stdout, stderr, _) = kube_ipt(&format!("__complete show --kubeconfig {config} --context")).arg("").output();
    assert!(!seen(stdout.as_bytes(), &stderr).contains(SECRET), "{what}: {stdout}");
}

#[test]
fn encodings_are_those_of_the_secret() {
    for (offset, encoded) in ENCODED.iter().enumerate() {
        let text = format!("{}{SECRET}-end", &"xyz"[..offset]);
        let own = data_encoding::BASE64.encode(text.as_bytes());
        assert!(own.contains(encoded), "{own} {encoded}");
    }
    assert!(seen(b"a s3cr3t-s3cr3t", "").contains(SECRET));
}

#[test]
fn credentials_that_work_or_are_refused_show_nowhere() {
    let key = data_encoding::BASE64.encode(format!("-----BEGIN PRIVATE KEY-----\n{SECRET}\n").as_bytes());
    let users = [
        json!({"token": SECRET}),
        json!({"username": SECRET, "password": SECRET}),
        json!({"client-certificate-data": key, "client-key-data": key}),
        json!({"client-key-data": format!("%{SECRET}%")}),
        json!({"auth-provider": {"name": "oidc", "config": {"id-token": SECRET, "refresh-token": SECRET, "client-secret": SECRET,
            "idp-issuer-url": "http://127.0.0.1:1", "client-id": "c"}}}),
        json!({"auth-provider": {"name": "gcp", "config": {"access-token": SECRET, "expiry": SECRET}}}),
    ];
    for user in &users {
        for code in [200, 401, 403, 500] {
            let server = StandIn::new(move |target| match code {
                200 => seed(target),
                401 => status(401, "unauthorized-401.json"),
                code => status(code, "unauthorized-or-forbidden-403.json"),
            });
            let cluster = format!(r#"{{"server": "{}"}}"#, server.url());
            shows_nothing(&format!("{user} {code}"), &server, &cluster, &user.to_string());
        }
    }
}

#[test]
fn what_a_kubeconfig_has_in_the_wrong_place_shows_nowhere() {
    let server = StandIn::new(seed);
    let cluster = format!(r#"{{"server": "{}"}}"#, server.url());
    let users = [
        json!(SECRET),
        json!([SECRET]),
        json!({"token": NUMBER.parse::<u64>().expect("a number")}),
        json!({"token": [SECRET]}),
        json!({"token": {SECRET: 1}}),
        json!({"username": "u", "password": NUMBER.parse::<u64>().expect("a number")}),
        json!({"password": {"is": SECRET}}),
        json!({"client-key-data": {"is": SECRET}}),
        json!({"exec": SECRET}),
        json!({"exec": {"apiVersion": SECRET, "command": "true", "env": SECRET}}),
        json!({"auth-provider": SECRET}),
        json!({"auth-provider": {"name": "oidc", "config": SECRET}}),
    ];
    for user in users {
        shows_nothing(&user.to_string(), &server, &cluster, &user.to_string());
    }
    // One that ends in the middle.
    let config = server.kubeconfig(&json!({"token": SECRET}).to_string());
    let text = fs::read_to_string(&config).expect("is there");
    let at = text.find(SECRET).expect("is there") + SECRET.len();
    fs::write(&config, &text[..at]).expect("writable");
    let run = kube_ipt("list -v -f").arg(node("seed/stale/save.txt")).arg("--kubeconfig").arg(&config);
    let (_, stderr, _) = run.output();
    assert!(stderr.contains("cannot use") && !stderr.contains(SECRET), "{stderr}");
}

#[test]
fn what_stands_in_an_address_shows_nowhere() {
    let server = StandIn::new(seed);
    let with_user = format!("http://admin:{SECRET}@127.0.0.1:{}", server.port);
    let dead = format!("http://admin:{SECRET}@127.0.0.1:1");
    for cluster in [
        json!({"server": with_user}),
        json!({"server": dead}),
        json!({"server": server.url(), "proxy-url": dead}),
        json!({"server": server.url(), "proxy-url": dead.replace("http", "socks5")}),
        json!({"server": server.url(), "proxy-url": dead.replace("http", "ftp")}),
        json!({"server": dead.replace("http", "ftp")}),
        json!({"server": dead.replace(":1", ":x")}),
    ] {
        shows_nothing(&cluster.to_string(), &server, &cluster.to_string(), "{}");
    }
}

#[test]
fn what_a_credential_plugin_prints_shows_nowhere() {
    let room = tempfile::tempdir().expect("a folder");
    let credential = |status: serde_json::Value| {
        json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}).to_string()
    };
    let prints = [
        (credential(json!({"token": SECRET})), 0),
        (credential(json!({"token": SECRET})), 3),
        (credential(json!({"token": SECRET, "expirationTimestamp": SECRET})), 0),
        (credential(json!({"token": [SECRET]})), 0),
        (credential(json!(SECRET)), 0),
        (credential(json!({"clientCertificateData": SECRET, "clientKeyData": SECRET})), 0),
        (json!(SECRET).to_string(), 0),
        (SECRET.to_owned(), 0),
        (format!("{{\"{SECRET}"), 0),
        (NUMBER.to_owned(), 0),
    ];
    for (n, (text, code)) in prints.iter().enumerate() {
        let plugin = room.path().join(n.to_string());
        fs::write(&plugin, format!("#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")).expect("writable");
        fs::set_permissions(&plugin, fs::Permissions::from_mode(0o755)).expect("ours");
        for refuses in [false, true] {
            let server =
                StandIn::new(move |target| if refuses { status(401, "unauthorized-401.json") } else { seed(target) });
            let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin, "args": [SECRET],
                "env": [{"name": "PASSWORD", "value": SECRET}], "interactiveMode": "Never"}});
            let cluster = format!(r#"{{"server": "{}"}}"#, server.url());
            shows_nothing(&format!("{text} {code}"), &server, &cluster, &user.to_string());
        }
    }
    // One that cannot be started.
    let server = StandIn::new(seed);
    let cluster = format!(r#"{{"server": "{}"}}"#, server.url());
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nonexistent", "args": [SECRET],
        "env": [{"name": "PASSWORD", "value": SECRET}], "interactiveMode": "Never"}});
    shows_nothing("no plugin", &server, &cluster, &user.to_string());
}
