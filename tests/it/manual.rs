//! `man` and `manifest daemonset`: pages that groff takes, and objects a cluster would.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::run::kube_ipt;
use crate::terminal::on_terminal;

/// What groff has to say about a page; `None` where there is no groff.
fn warnings(page: &str) -> Option<String> {
    let child = Command::new("groff")
        .args(["-Kutf8", "-man", "-Tutf8", "-ww", "-z"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    assert!(child.is_ok() || std::env::var_os("CI").is_none(), "CI needs groff");
    let mut child = child.ok()?;
    child.stdin.take().expect("a pipe").write_all(page.as_bytes()).expect("groff reads");
    Some(String::from_utf8_lossy(&child.wait_with_output().expect("groff ends").stderr).into_owned())
}

#[test]
fn every_command_has_a_page() {
    let room = tempfile::tempdir().expect("a folder");
    assert_eq!(kube_ipt("man --dir").arg(room.path()).stdout(), "");
    let pages: BTreeSet<String> = fs::read_dir(room.path())
        .expect("pages")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let mut expected: BTreeSet<String> =
        kube_ipt::cli::long_helps().iter().skip(1).map(|(name, _)| format!("kube-ipt-{name}.1")).collect();
    expected.extend(["kube-ipt.1", "kube-ipt-manifest-rbac.1", "kube-ipt-manifest-daemonset.1"].map(str::to_owned));
    assert_eq!(pages, expected);
    for name in &pages {
        let page = fs::read_to_string(room.path().join(name)).expect("a page");
        let command = name.trim_end_matches(".1");
        assert!(page.contains(&format!(".TH {command} 1")), "{page}");
        for section in [".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION", ".SH OPTIONS"] {
            assert!(page.contains(section), "{name} lacks {section}");
        }
        // Every page that is named is there.
        for named in page.lines().filter_map(|line| line.strip_suffix("(1)")).map(|named| named.replace("\\-", "-")) {
            assert!(pages.contains(&format!("{named}.1")), "{name} names {named}");
        }
        let words = command.strip_prefix("kube-ipt").unwrap_or_default().replace('-', " ");
        assert_eq!(kube_ipt("man").args(&words).stdout(), page);
        if let Some(said) = warnings(&page) {
            assert_eq!(said, "", "{name}");
        }
    }
}

#[test]
fn a_page_of_no_command_is_refused() {
    let stderr = "error: 'manifest nope' is no command\n  try:  kube-ipt man    (names them all)";
    assert_eq!(kube_ipt("man manifest nope").status(2).stderr(stderr).stdout(), "");
    let (_, stderr, status) = kube_ipt("man --dir /nonexistent/man").output();
    assert_eq!(status, Some(2), "{stderr}");
    assert!(
        stderr.starts_with("error: cannot write /nonexistent/man/kube-ipt.1: no such file or directory"),
        "{stderr}"
    );
}

/// The objects of a manifest.
fn objects(text: &str) -> Vec<Value> {
    text.split("\n---\n").map(|one| serde_saphyr::from_str(one).expect(one)).collect()
}

fn object<'o>(objects: &'o [Value], kind: &str) -> &'o Value {
    objects.iter().find(|object| object["kind"] == kind).expect(kind)
}

#[test]
fn the_daemonset_is_the_kept_one() {
    insta::assert_snapshot!(kube_ipt("manifest daemonset --image registry.example/kube-ipt:v0.1.0").stdout());
}

#[test]
fn the_daemonset_may_read_and_nothing_else() {
    let text = kube_ipt("manifest daemonset --image i --namespace ops").stdout();
    let objects = objects(&text);
    let kinds: Vec<&str> = objects.iter().map(|object| object["kind"].as_str().expect("a kind")).collect();
    let expected = ["ServiceAccount", "ClusterRole", "Role", "RoleBinding", "ClusterRoleBinding", "DaemonSet"];
    assert_eq!(kinds, expected);
    for object in
        objects.iter().filter(|object| ["ClusterRole", "Role"].contains(&object["kind"].as_str().unwrap_or_default()))
    {
        for rule in object["rules"].as_array().expect("rules") {
            let verbs: Vec<&str> = rule["verbs"].as_array().expect("verbs").iter().filter_map(Value::as_str).collect();
            assert!(verbs.iter().all(|verb| ["get", "list", "watch"].contains(verb)), "{verbs:?}");
            assert!(!rule.to_string().contains('*') && !rule.to_string().contains("secrets"), "{rule}");
        }
    }
    let account = &object(&objects, "ServiceAccount")["metadata"];
    for binding in ["RoleBinding", "ClusterRoleBinding"] {
        let subject = &object(&objects, binding)["subjects"][0];
        assert_eq!((&subject["name"], &subject["namespace"]), (&account["name"], &account["namespace"]), "{binding}");
    }
    let set = object(&objects, "DaemonSet");
    assert_eq!(set["metadata"]["namespace"], "ops");
    assert_eq!(set["spec"]["selector"]["matchLabels"], set["spec"]["template"]["metadata"]["labels"]);
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["serviceAccountName"], account["name"]);
    assert_eq!((&pod["hostNetwork"], &pod["dnsPolicy"]), (&true.into(), &"ClusterFirstWithHostNet".into()));
    assert!(pod["hostPID"].is_null() && pod["hostIPC"].is_null());
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    let security = &container["securityContext"];
    assert_eq!(security["privileged"], Value::Null);
    assert_eq!(security["allowPrivilegeEscalation"], false);
    assert_eq!(security["readOnlyRootFilesystem"], true);
    assert_eq!(security["capabilities"], serde_json::json!({"drop": ["ALL"], "add": ["NET_ADMIN", "NET_RAW"]}));
    assert!(
        container["resources"]["limits"]["memory"].is_string() && container["resources"]["requests"]["cpu"].is_string()
    );
    // Every mount has its volume and the other way round.
    let names = |list: &Value| -> BTreeSet<String> {
        list.as_array().expect("a list").iter().map(|one| one["name"].as_str().expect("a name").to_owned()).collect()
    };
    assert_eq!(names(&container["volumeMounts"]), names(&pod["volumes"]));
}

#[test]
fn what_is_given_stands_in_the_daemonset_and_nothing_is_put_into_it() {
    let run = kube_ipt("manifest daemonset --interval 5m --no-legacy --api-server [fd00::1]:6443 --image");
    let text = run.arg("a\"{folder}: {lock}").arg("--textfile-dir").arg("/var/{image}").stdout();
    let objects = objects(&text);
    let pod = &object(&objects, "DaemonSet")["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(container["image"], "a\"{folder}: {lock}");
    assert_eq!(container["args"][1], "--watch=5m");
    assert_eq!(container["env"][1], serde_json::json!({"name": "KUBERNETES_SERVICE_HOST", "value": "fd00::1"}));
    assert_eq!(container["env"][2], serde_json::json!({"name": "KUBERNETES_SERVICE_PORT", "value": "6443"}));
    assert_eq!(container["securityContext"]["capabilities"]["add"], serde_json::json!(["NET_ADMIN"]));
    assert_eq!(pod["volumes"].as_array().expect("volumes").len(), 1);
    assert_eq!(pod["volumes"][0]["hostPath"]["path"], "/var/{image}");
    for args in ["", "--image i --interval soon", "--image i --textfile-dir here", "--image i --api-server a:b"] {
        let (stdout, _, status) = kube_ipt("manifest daemonset").args(args).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{args}");
    }
}

#[test]
#[cfg(feature = "live")]
fn what_the_daemonset_runs_leaves_metrics() {
    let room = tempfile::tempdir().expect("a folder");
    let objects = objects(&kube_ipt("manifest daemonset --image i").stdout());
    let args = &object(&objects, "DaemonSet")["spec"]["template"]["spec"]["containers"][0]["args"];
    let mut run = kube_ipt("");
    for arg in args.as_array().expect("arguments").iter().filter_map(serde_json::Value::as_str) {
        run = run.arg(arg.replace("/textfile", &room.path().display().to_string()));
    }
    let run = run.args("--no-api -f").arg(crate::run::node("seed/in-sync/save.txt")).start();
    assert_eq!(run.json()["kind"], "check");
    let (_, stderr, code) = run.end("TERM");
    assert_eq!(code, Some(0), "{stderr}");
    let metrics = std::fs::read_to_string(room.path().join("kube_ipt.prom")).expect("was left");
    assert!(metrics.contains("\nkube_ipt_service_ports 5\n"), "{metrics}");
}

#[test]
fn pages_of_findings_end_where_the_terminal_does() {
    for args in [&["explain"][..], &["explain", "stale-endpoint", "missing-hook"]] {
        let Some(shown) = on_terminal("followed(lambda *_: None, (24, 80), 0.3)", args, &[]) else { return };
        let shown = anstream::adapter::strip_str(&shown).to_string();
        // Commands to be copied are not broken.
        let text = shown.lines().filter(|line| !line.starts_with("    "));
        let long: Vec<&str> = text.filter(|line| line.trim_end().chars().count() > 80).collect();
        assert!(long.is_empty() && shown.lines().count() > 30, "{long:#?}");
    }
}
