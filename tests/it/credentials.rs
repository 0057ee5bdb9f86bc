//! What proves to an API server who we are, where it cannot be used or does not come.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{Run, kube_ipt, node};
use crate::stand_in::{StandIn, seed};

fn rules() -> String {
    node("seed/recovered/save.txt")
}

/// A list that asks `server` as `user`.
fn list(server: &StandIn, user: &Value) -> Run {
    kube_ipt("list -f").arg(rules()).arg("--kubeconfig").arg(server.kubeconfig(&user.to_string()))
}

/// A user whose credential plugin is this script of a shell, and notes in `runs` that it was run.
fn plugin(room: &Path, script: &str) -> Value {
    let path = room.join("plugin");
    fs::write(&path, format!("#!/bin/sh\necho $$ >>'{}'\n{script}\n", room.join("runs").display())).expect("writable");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": path, "interactiveMode": "Never"}})
}

/// Numbers of the processes that the plugin was.
fn runs(room: &Path) -> Vec<u32> {
    let text = fs::read_to_string(room.join("runs")).unwrap_or_default();
    text.lines().map(|line| line.parse().expect("a number")).collect()
}

fn printed(status: &Value) -> String {
    json!({"kind": "ExecCredential", "apiVersion": "client.authentication.k8s.io/v1", "status": status}).to_string()
}

const ALONE: &str = "note: the rules are shown alone: ";
const AGAIN: &str = "  try:  kubectl get --raw /version    (uses the same credentials)\n";

#[test]
fn a_token_that_no_request_carries_is_said_so() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    let what = format!(
        "no credentials for the API server {}: the token has a line break or control character, which no request carries",
        server.url()
    );
    let provider = json!({"auth-provider": {"name": "gcp", "config": {"id-token": "t0k3n\n"}}});
    let by_plugin = plugin(room.path(), &format!("cat <<'END'\n{}\nEND", printed(&json!({"token": "t0k3n\n"}))));
    for user in [json!({"token": "t0k3n\n"}), json!({"token": "t0\u{1b}k3n"}), provider, by_plugin] {
        let (stdout, stderr, code) = list(&server, &user).output();
        assert_eq!((stderr.as_str(), code), (format!("{ALONE}{what}\n{AGAIN}").as_str(), Some(0)), "{user}");
        assert!(stdout.contains("nginx-demo/nginx-service"), "{stdout}");
        let (stdout, stderr, code) = list(&server, &user).arg("--require-api").output();
        assert_eq!((stderr.as_str(), code), (format!("error: {what}\n{AGAIN}").as_str(), Some(2)), "{user}");
        assert_eq!(stdout, "");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn blanks_around_a_token_in_a_file_are_no_part_of_it() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    let file = room.path().join("token");
    let user = json!({"tokenFile": file});
    for text in ["t0k3n\n", "t0k3n", " t0k3n\r\n\n"] {
        fs::write(&file, text).expect("writable");
        assert!(list(&server, &user).stdout().contains("ClusterIP"), "{text:?}");
    }
    let requests = server.requests();
    assert!(requests.iter().all(|asked| asked.headers["authorization"] == "Bearer t0k3n"));
    let shown = file.display();
    for (text, why) in [
        ("\n", format!("the token file {shown} is empty")),
        ("a\nb\n", "the token has a line break or control character, which no request carries".to_owned()),
    ] {
        fs::write(&file, text).expect("writable");
        let (_, stderr, _) = list(&server, &user).output();
        assert_eq!(stderr, format!("{ALONE}no credentials for the API server {}: {why}\n{AGAIN}", server.url()));
    }
    assert_eq!(server.requests().len(), requests.len());
}

#[test]
fn a_pod_without_a_token_is_told_what_it_lacks() {
    let mounted = "/var/run/secrets/kubernetes.io/serviceaccount";
    if Path::new(mounted).exists() {
        return;
    }
    let run = |args: &str| {
        let run = kube_ipt(args).arg("-f").arg(rules());
        run.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", "1")
    };
    let why = format!(
        "the API server of this Pod's cluster cannot be asked: cannot read {mounted}/namespace: No such file or directory\n  \
         try:  automountServiceAccountToken: true in the Pod, or its ServiceAccount (then start it again); or --kubeconfig FILE\n"
    );
    let (stdout, stderr, code) = run("list").output();
    assert_eq!((stderr, code), (format!("{ALONE}{why}"), Some(0)));
    assert!(stdout.contains("nginx-demo/nginx-service"), "{stdout}");
    let (stdout, stderr, code) = run("list --require-api").output();
    assert_eq!((stdout.as_str(), stderr, code), ("", format!("error: {why}"), Some(2)));
}

#[test]
fn a_plugin_is_run_once_for_a_question() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    // The last is over when it comes, by a clock that goes wrong: it is as good as the others.
    for status in [
        json!({"token": "fr0m-plugin"}),
        json!({"token": "fr0m-plugin", "expirationTimestamp": "2124-01-02T03:04:05Z"}),
        json!({"token": "fr0m-plugin", "expirationTimestamp": "2024-01-02T03:04:05Z"}),
    ] {
        let user = plugin(room.path(), &format!("cat <<'END'\n{}\nEND", printed(&status)));
        assert!(list(&server, &user).stdout().contains("ClusterIP"));
        assert_eq!(runs(room.path()).len(), 1);
        fs::remove_file(room.path().join("runs")).expect("it was run");
    }
    let requests = server.requests();
    assert!(requests.len() >= 6, "{}", requests.len());
    assert!(requests.iter().all(|asked| asked.headers["authorization"] == "Bearer fr0m-plugin"));
}

#[test]
fn a_plugin_hears_what_client_go_tells_one() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    let kept = room.path().join("told");
    let script = format!(
        "printf '%s' \"$KUBERNETES_EXEC_INFO\" >'{}'\necho '{}' | sed \"s/TOKEN/$ONE-$1/\"",
        kept.display(),
        printed(&json!({"token": "TOKEN"}))
    );
    let mut user = plugin(room.path(), &script);
    user["exec"]["args"] = json!(["two"]);
    user["exec"]["env"] = json!([{"name": "ONE", "value": "one"}]);
    user["exec"]["provideClusterInfo"] = json!(true);
    list(&server, &user).stdout();
    assert!(server.requests().iter().all(|asked| asked.headers["authorization"] == "Bearer one-two"));
    let told: Value = serde_json::from_str(&fs::read_to_string(kept).expect("written")).expect("JSON");
    let spec = json!({"interactive": false, "cluster": {"server": server.url()}});
    assert_eq!(told, json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "spec": spec}));
}

#[test]
fn what_is_no_credential_is_said_so() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    for (script, why) in [
        // Without end: none of it is waited for.
        ("exec yes t0k3n", "the credential plugin printed more than 1 MiB"),
        ("echo t0k3n", "the credential plugin printed what is no ExecCredential"),
        (
            "yes t0k3n 2>/dev/null | head -c 3000000 >&2; exit 3",
            "the credential plugin failed (exit status: 3): \"t0k3n t0k3n t0",
        ),
        ("kill -9 $$", "the credential plugin failed (signal: 9 (SIGKILL))"),
    ] {
        let (_, stderr, code) = list(&server, &plugin(room.path(), script)).output();
        let begin = format!("{ALONE}no credentials for the API server {}: {why}", server.url());
        assert!(stderr.starts_with(&begin) && stderr.ends_with(AGAIN), "{stderr}");
        assert_eq!((stderr.lines().count(), code), (2, Some(0)), "{stderr}");
    }
    assert_eq!(server.requests().len(), 0);
}

#[test]
fn a_plugin_that_hangs_is_ended() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    let user = plugin(room.path(), "exec sleep 100");
    let started = Instant::now();
    let (_, stderr, code) = list(&server, &user).args("--request-timeout 100ms").output();
    assert_eq!(code, Some(0));
    let expected = format!(
        "note: waiting for the credential plugin of the kubeconfig; --no-api shows the rules alone\n\
         {ALONE}the credential plugin of the kubeconfig did not end in 5100 ms\n{AGAIN}"
    );
    assert_eq!(stderr, expected);
    assert!(started.elapsed() < Duration::from_secs(15));
    let [process] = runs(room.path())[..] else { panic!("it was run once") };
    let state = fs::read_to_string(format!("/proc/{process}/cmdline")).unwrap_or_default();
    assert!(!state.contains("sleep"), "it lives on: {state}");
}

#[test]
fn a_client_certificate_that_is_none_is_ours_and_not_the_servers() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("client.pem");
    let server = StandIn::new(seed);
    let user = json!({"client-certificate": file, "client-key": file}).to_string();
    let config = server.kubeconfig_of(r#"{"server": "https://127.0.0.1:1"}"#, &user);
    let look = format!("  try:  kubectl config view --kubeconfig {config}    (what it says, without secrets)\n");
    let said = || {
        let (stdout, stderr, status) = kube_ipt("list --kubeconfig").arg(&config).arg("-f").arg(rules()).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{stderr}");
        stderr
    };
    let shown = file.display();
    let none = format!("error: cannot read {shown}, which the kubeconfig names: No such file or directory\n{look}");
    assert_eq!(said(), none);
    fs::write(&file, "no PEM\n").expect("writable");
    let begin = "error: the client certificate or the certificate authority of the kubeconfig cannot be used: identity PEM is missing ";
    let error = said();
    assert!(error.starts_with(begin) && error.ends_with(&look), "{error}");
    let key = || rcgen::KeyPair::generate().expect("a key");
    let certificate = rcgen::CertificateParams::default().self_signed(&key()).expect("a certificate");
    let pem = |kind: &str, der: &[u8]| {
        format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", data_encoding::BASE64.encode(der))
    };
    let both = pem("CERTIFICATE", certificate.der()) + &pem("PRIVATE KEY", &key().serialize_der());
    fs::write(&file, both).expect("writable");
    let error = "error: the client certificate and the client key of the kubeconfig do not belong together\n";
    assert_eq!(said(), format!("{error}{look}"));
}

#[test]
fn a_kubeconfig_that_cannot_be_used_is_shown_how_to_look_at() {
    let room = tempfile::tempdir().expect("a folder");
    let config = room.path().join("config");
    let shown = config.display();
    let context = r#"{"name": "one", "context": {"cluster": "lost", "user": "u"}}"#;
    for (text, what, hint) in [
        (String::new(), "the kubeconfig has no current context", None),
        (format!(r#"{{"contexts": [{context}]}}"#), "the kubeconfig has no current context", Some("--context one")),
        (
            format!(r#"{{"current-context": "one", "contexts": [{context}]}}"#),
            "the context of the kubeconfig names cluster 'lost', which is not in it",
            None,
        ),
    ] {
        fs::write(&config, &text).expect("writable");
        let (_, stderr, status) = kube_ipt("list --kubeconfig").arg(&config).arg("-f").arg(rules()).output();
        let look = format!("kubectl config view --kubeconfig {shown}    (what it says, without secrets)");
        assert_eq!(stderr, format!("error: {what}\n  try:  {}\n", hint.unwrap_or(&look)), "{text}");
        assert_eq!(status, Some(2));
    }
}

#[test]
fn what_a_kubeconfig_names_has_an_end() {
    let room = tempfile::tempdir().expect("a folder");
    let server = StandIn::new(seed);
    let large = room.path().join("large");
    fs::File::create(&large).and_then(|file| file.set_len((1 << 20) + 1)).expect("writable");
    let large = large.display().to_string();
    for (user, path, why) in [
        (json!({"tokenFile": "/dev/zero"}), "/dev/zero", "it is no regular file"),
        (json!({"client-certificate": "/dev/zero"}), "/dev/zero", "it is no regular file"),
        (json!({"tokenFile": large}), &*large, "it is larger than 1 MiB, which no certificate, key or token is"),
    ] {
        let error =
            format!("error: cannot read {path}, which the kubeconfig names: {why}\n  try:  kubectl config view ");
        let (stdout, stderr, status) = list(&server, &user).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{user}");
        assert!(stderr.starts_with(&error), "{stderr}");
    }
    let user = json!({"token": "t0k3n"}).to_string();
    let config =
        server.kubeconfig_of(r#"{"server": "https://127.0.0.1:1", "certificate-authority": "/dev/zero"}"#, &user);
    let (_, stderr, status) = kube_ipt("list --kubeconfig").arg(&config).arg("-f").arg(rules()).output();
    let error = "error: cannot read /dev/zero, which the kubeconfig names: it is no regular file\n";
    assert!(stderr.starts_with(error) && status == Some(2), "{stderr}");
    assert_eq!(server.requests().len(), 0);
}
