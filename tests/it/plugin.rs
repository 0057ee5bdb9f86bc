//! `kubectl ipt`: the name, kubectl's habits, and the manifest krew installs it by.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::run::{called, kube_ipt};

#[test]
fn as_plugin_it_says_what_kubectl_users_type() {
    let room = tempfile::tempdir().expect("a folder");
    let plugin = |args: &str| called(room.path(), "kubectl-ipt", args);
    let (help, ..) = plugin("--help").output();
    assert!(help.contains("Usage: kubectl ipt [OPTIONS] <COMMAND>"), "{help}");
    let (help, ..) = plugin("check --help").output();
    assert!(help.contains("Usage: kubectl ipt check [OPTIONS] [WHAT]..."), "{help}");
    let (_, stderr, status) = plugin("shw").output();
    assert!(stderr.contains("Usage: kubectl ipt [OPTIONS]") && status == Some(2), "{stderr}");
    let missing = "error: nothing is called 'zzzzzz'; kubectl ipt list names every Service";
    assert_eq!(plugin("show zzzzzz --demo").status(1).stderr(missing).stdout(), "");
    let other = "error: '(' is no regular expression: unclosed group";
    assert_eq!(plugin("show /(/ --demo").status(2).stderr(other).stdout(), "");
    let (stdout, ..) = plugin("check --demo=stale").output();
    assert!(
        stdout.contains("more: kubectl ipt explain stale-endpoint") && !stdout.contains("kube-ipt explain"),
        "{stdout}"
    );
    // What programs read is the same whoever asks.
    for args in ["check --demo=stale -o json", "check --demo=stale -o yaml", "manifest rbac", "man check"] {
        assert_eq!(plugin(args).output(), kube_ipt(args).output(), "{args}");
    }
}

#[test]
fn a_renamed_copy_is_no_plugin() {
    let room = tempfile::tempdir().expect("a folder");
    let (_, stderr, _) = called(room.path(), "ipt", "show zzzzzz --demo").output();
    assert!(stderr.contains("kube-ipt list names every Service"), "{stderr}");
}

#[test]
fn types_are_named_as_in_kubectl() {
    let plain = kube_ipt("show nginx-service --demo").stdout();
    for what in ["svc/nginx-service", "service/nginx-service", "services/nginx-service", "svc nginx-service"] {
        assert_eq!(kube_ipt("show --demo").args(what).stdout(), plain, "{what}");
    }
    let pod = "nginx-deployment-85dbbcff49-d7fks";
    for what in ["po/", "pod/", "pods/", "po ", "pod nginx-demo/", "pods/nginx-demo/"] {
        assert_eq!(kube_ipt("show --demo").args(&format!("{what}{pod}")).stdout(), plain, "{what}");
    }
    assert_eq!(kube_ipt("show --demo svc").stdout(), kube_ipt("show --demo").stdout());
    assert_eq!(kube_ipt("check --demo services").stdout(), kube_ipt("check --demo").stdout());
}

#[test]
fn all_namespaces_are_the_default_and_may_be_asked_for() {
    for command in ["show", "list", "check", "trace node nginx-service"] {
        let run = |flags: &str| kube_ipt(command).args("--demo").args(flags);
        for flag in ["-A", "--all-namespaces"] {
            assert_eq!(run(flag).stdout(), run("").stdout(), "{command}");
        }
        let (_, stderr, status) = run("-A -n shop").output();
        assert_eq!(status, Some(2), "{stderr}");
        assert!(stderr.contains("'--all-namespaces' cannot be used with '--namespace <NAMESPACE>'"), "{stderr}");
    }
}

#[test]
#[cfg(feature = "live")]
fn the_namespace_of_the_context_hides_nothing() {
    let server = crate::stand_in::StandIn::new(crate::stand_in::seed);
    let config = server.kubeconfig("{}");
    let text = std::fs::read_to_string(&config).expect("a kubeconfig");
    let narrowed = text.replace(r#""user": "u"}"#, r#""user": "u", "namespace": "nginx-demo"}"#);
    assert_ne!(text, narrowed);
    std::fs::write(&config, narrowed).expect("writable");
    let room = tempfile::tempdir().expect("a folder");
    let run =
        called(room.path(), "kubectl-ipt", "list --node node1 -f").arg(crate::run::node("seed/recovered/save.txt"));
    let services = crate::run::listed(run.env("KUBECONFIG", &config));
    assert!(services.iter().any(|service| service["namespace"] == "kube-system"), "{services:?}");
}

fn manifest() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/krew/ipt.yaml");
    serde_saphyr::from_str(&std::fs::read_to_string(path).expect("the manifest")).expect("YAML")
}

/// What krew checks of every manifest (internal/index/validation, and its index what is marked so), and that the version is
/// ours. Not whether the archives exist: none is released, and the sums in the file say so.
#[test]
fn krew_would_take_the_manifest() {
    let manifest = manifest();
    assert_eq!(manifest["apiVersion"], "krew.googlecontainertools.github.com/v1alpha2");
    assert_eq!(manifest["kind"], "Plugin");
    assert_eq!(manifest["metadata"]["name"], "ipt", "as the file is called");
    let spec = &manifest["spec"];
    let version = concat!("v", env!("CARGO_PKG_VERSION"));
    assert_eq!(spec["version"], version, "the version is that of Cargo.toml");
    let text = |field: &Value| field.as_str().map(str::to_owned).expect("a text");
    let short = text(&spec["shortDescription"]);
    // The index: at most fifty characters, no full stop.
    assert!(
        !short.is_empty() && short.len() <= 50 && !short.contains(['\n', '\r']) && !short.ends_with('.'),
        "{short}"
    );
    assert!(text(&spec["homepage"]).starts_with("https://"));
    assert!(text(&spec["description"]).lines().all(|line| line.len() <= 80), "the index: lines of eighty characters");
    let platforms = spec["platforms"].as_array().expect("platforms");
    let mut selected = BTreeSet::new();
    for platform in platforms {
        let labels = platform["selector"]["matchLabels"].as_object().expect("labels");
        assert_eq!(labels.keys().collect::<Vec<_>>(), ["arch", "os"]);
        let (os, arch) = (text(&labels["os"]), text(&labels["arch"]));
        assert!(["linux", "darwin", "windows"].contains(&&*os) && ["amd64", "arm64"].contains(&&*arch), "{os} {arch}");
        assert!(selected.insert((os.clone(), arch.clone())), "{os} {arch} is selected twice");
        let uri = text(&platform["uri"]);
        assert!(uri.starts_with("https://") && [".tar.gz", ".zip"].iter().any(|end| uri.ends_with(end)), "{uri}");
        assert!(uri.contains(version) && uri.contains(&os) && uri.contains(&arch), "{uri}");
        let sum = text(&platform["sha256"]);
        assert!(sum.len() == 64 && sum.chars().all(|c| matches!(c, '0'..='9' | 'a'..='f')), "{sum}");
        let files = platform["files"].as_array().expect("files");
        let from: Vec<String> = files.iter().map(|file| text(&file["from"])).collect();
        assert!(files.iter().all(|file| !text(&file["to"]).is_empty()));
        assert!(from.contains(&text(&platform["bin"])) && from.contains(&"LICENSE".to_owned()), "{from:?}");
    }
    assert!(selected.len() >= 4);
}

/// Placeholders stand together: a real sum with the host that is nobody's, or the other way round, is a mistake of a release.
#[test]
fn placeholders_are_filled_together() {
    for platform in manifest()["spec"]["platforms"].as_array().expect("platforms") {
        let open = platform["sha256"].as_str().expect("a sum").chars().all(|c| c == '0');
        let nobodys = platform["uri"].as_str().expect("a uri").starts_with("https://example.com/");
        assert_eq!(open, nobodys, "{platform}");
    }
}
