//! Completion: the scripts in real shells, and the names behind them. A shell that is not there is passed over; CI has them.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::run::{Run, called, kube_ipt, node};

/// What completes the last of `words`: the candidates and what else fits.
#[track_caller]
fn complete(words: &[&str]) -> (Vec<String>, String) {
    let run = words.iter().fold(kube_ipt("__complete"), Run::arg);
    split(&run.stdout())
}

#[track_caller]
fn split(answer: &str) -> (Vec<String>, String) {
    let mut lines: Vec<String> =
        answer.lines().map(|line| line.split('\t').next().unwrap_or_default().to_owned()).collect();
    let rest = lines.pop().expect("what else fits");
    (lines, rest)
}

/// Runs a shell script with the program in PATH; `None` where the shell is not there.
fn shell(program: &str, args: &[&str], script: &str) -> Option<String> {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("script");
    std::fs::write(&file, script).expect("writable");
    let bin = Path::new(env!("CARGO_BIN_EXE_kube-ipt")).parent().expect("a folder");
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
    let output = Command::new(program)
        .args(args)
        .arg(&file)
        .env("PATH", path)
        .env("HOME", room.path())
        .env("TERM", "xterm")
        .env_remove("KUBECONFIG")
        .env_remove("KUBERNETES_SERVICE_HOST")
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => {
            let stderr = String::from_utf8_lossy(&output.stderr);
            assert_eq!(stderr, "", "a prompt is no place for words");
            Some(String::from_utf8_lossy(&output.stdout).into_owned())
        }
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs {program}");
            None
        }
    }
}

#[test]
fn bash_completes_what_it_takes_apart_itself() {
    // As readline calls it: words parted at : and =, of which the last part only is replaced.
    let script = r#"source <(kube-ipt completions bash)
tab() {
    COMP_LINE=$1 COMP_POINT=${#1}; shift
    COMP_WORDS=("$@") COMP_CWORD=$(($# - 1))
    _kube_ipt kube-ipt
    echo "${COMPREPLY[@]}"
}
tab 'kube-ipt che' kube-ipt che
tab 'kube-ipt show --demo nginx-demo' kube-ipt show --demo nginx-demo
tab 'kube-ipt show --demo kube-system/kube-dns:d' kube-ipt show --demo kube-system/kube-dns : d
tab 'kube-ipt show --demo kube-system/kube-dns:' kube-ipt show --demo kube-system/kube-dns :
tab 'kube-ipt check --select=KI10' kube-ipt check --select = KI10
tab 'kube-ipt show --demo=stale  svc/ngi' kube-ipt show --demo = stale svc/ngi
tab 'kube-ipt show -f "/no such" ngi' kube-ipt show -f '"/no such"' ngi
tab 'kube-ipt show -f ' kube-ipt show -f ''
tab 'kube-ipt explain stale-en tail' kube-ipt explain stale-en
complete -p kube-ipt"#;
    let Some(said) = shell("bash", &["--noprofile", "--norc"], script) else { return };
    let expected = [
        "check",
        "nginx-demo/nginx-service",
        "dns dns-tcp",
        "dns dns-tcp metrics",
        "KI101 KI102 KI103 KI104 KI105 KI106 KI107 KI108",
        "svc/nginx-demo/nginx-service svc/nginx-service",
        "",
        "",
        "stale-endpoint",
        "complete -F _kube_ipt kube-ipt",
    ];
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines[..8], expected[..8]);
    assert_eq!(lines[9], expected[9]);
}

#[test]
fn fish_completes() {
    let script = "kube-ipt completions fish | source
for line in 'kube-ipt che' 'kube-ipt show --demo nginx-s' 'kube-ipt show --demo kube-system/kube-dns:d' 'kube-ipt list --demo -o wi' \
            'kube-ipt show --file=/etc/host'
    complete -C $line | string replace -r '\\t.*' '' | string join ' '
end";
    let Some(said) = shell("fish", &["--no-config"], script) else { return };
    let lines: Vec<&str> = said.lines().collect();
    let expected = ["check", "nginx-service", "kube-system/kube-dns:dns kube-system/kube-dns:dns-tcp", "wide"];
    assert_eq!(lines[..4], expected);
    assert!(lines[4].contains("--file=/etc/hosts"), "{said}");
}

#[test]
fn zsh_completes() {
    // What compadd is given, for a completion runs only in its line editor.
    let script = r#"compdef() { registered=$1 }
source <(kube-ipt completions zsh)
compadd() { [[ $2 == -d ]] && shift 3; print -r -- ${(P)argv[-1]} }
compset() { : }
_files() { print files }
tab() { words=("$@"); CURRENT=$#; PREFIX=${@[-1]}; $registered }
tab kube-ipt che
tab kube-ipt show --demo nginx-s
tab kube-ipt show --demo kube-system/kube-dns:d
tab kube-ipt check --select=KI50
tab kube-ipt show -f """#;
    let Some(said) = shell("zsh", &["-f"], &script.replace("\"\"\"", "''")) else { return };
    let expected = "check\nnginx-service\nkube-system/kube-dns:dns kube-system/kube-dns:dns-tcp\n--select=KI501 --select=KI502 \
                    --select=KI503\nfiles\n";
    assert_eq!(said, expected);
}

#[test]
fn names_come_from_what_is_on_the_line() {
    let (dump, objects) = (node("kitchen-sink/node2/save.txt"), node("kitchen-sink/cluster.json"));
    let (found, rest) = complete(&["show", "-f", &dump, "edge/gw-l"]);
    assert_eq!((found, &*rest), (vec!["edge/gw-lb".into(), "edge/gw-lb-ranges".into(), "edge/gw-local".into()], ":4"));
    assert_eq!(complete(&["check", "-n", "edge", "-f", &dump, "gw-z"]).0, ["gw-zone"]);
    assert_eq!(complete(&["trace", "external", "edge/gw-z", "-f", &dump, ""]).0, Vec::<String>::new());
    assert!(complete(&["list", "--objects", &objects, "--node", "node"]).0.contains(&"node2".to_owned()));
    assert!(complete(&["show", "--objects", &objects, "-n", ""]).0.contains(&"edge".to_owned()));
    assert_eq!(complete(&["show", "--objects", &objects, "gw-lb-"]).0, ["gw-lb-ranges"]);
    // Nothing on the line and no cluster: nothing, and no word about it.
    for words in [&["show", ""][..], &["show", "-f", "/nonexistent", ""], &["show", "-f", "-", ""]] {
        assert_eq!(complete(words), (Vec::new(), ":4".to_owned()), "{words:?}");
    }
}

#[test]
fn flags_values_files_and_commands() {
    assert_eq!(complete(&["show", "-f", ""]), (Vec::new(), ":0".to_owned()));
    assert_eq!(complete(&["check", "--out="]), (Vec::new(), ":0".to_owned()));
    assert_eq!(complete(&["diff", "before", ""]), (Vec::new(), ":0".to_owned()));
    assert_eq!(complete(&["check", "--fail"]).0, ["--fail-on"]);
    assert_eq!(complete(&["check", "--ignore", "KI101,KI50"]).0, ["KI101,KI501", "KI101,KI502", "KI101,KI503"]);
    assert_eq!(complete(&["explain", "stale-e"]).0, ["stale-endpoint"]);
    assert_eq!(complete(&["list", "-o", "y"]).0, ["yaml"]);
    assert_eq!(complete(&["man", "sh"]).0, ["show"]);
    assert!(!complete(&[""]).0.iter().any(|name| name.starts_with('-') || name.starts_with("__")));
    assert!(
        !complete(&["show", "--demo", ""]).0.contains(&"in-sync".to_owned()),
        "--demo takes its value behind = only"
    );
    assert_eq!(complete(&["show", "--demo=st"]).0, ["--demo=stale"]);
}

#[test]
fn kubectl_asks_by_another_name() {
    let room = tempfile::tempdir().expect("a folder");
    let answer = called(room.path(), "kubectl_complete-ipt", "show --demo nginx-s").stdout();
    assert_eq!(split(&answer), (vec!["nginx-service".to_owned()], ":4".to_owned()));
    let script = kube_ipt("completions kubectl").stdout();
    assert!(script.starts_with("#!/bin/sh\n") && script.contains("exec kubectl-ipt __complete \"$@\""), "{script}");
}

#[cfg(feature = "live")]
mod api {
    use std::time::{Duration, Instant};

    use super::split;
    use crate::run::kube_ipt;
    use crate::stand_in::{Reply, StandIn, seed};

    fn complete(config: &str, words: &str) -> Vec<String> {
        split(&kube_ipt("__complete").args(words).env("KUBECONFIG", config).stdout()).0
    }

    #[test]
    fn names_come_from_the_cluster() {
        let server = StandIn::new(seed);
        let config = server.kubeconfig("{}");
        assert_eq!(complete(&config, "show nginx-s"), ["nginx-service"]);
        assert_eq!(
            server.asked(),
            ["GET /api/v1/services?limit=500&resourceVersion=0"],
            "one request, and none for endpoints"
        );
        assert_eq!(complete(&config, "show --context here --node node"), ["node1", "node2", "node3"]);
        assert_eq!(complete(&config, "list -n nginx"), ["nginx-demo"]);
        assert_eq!(complete(&config, "list --context h"), ["here"]);
        let asked = server.asked().len();
        assert_eq!(complete(&config, "show --no-api nginx-s"), Vec::<String>::new());
        assert_eq!(server.asked().len(), asked, "--no-api asks nothing");
    }

    #[test]
    fn a_slow_or_failing_server_is_not_waited_for() {
        let silent = StandIn::new(|_| Reply::Silence);
        let started = Instant::now();
        assert_eq!(complete(&silent.kubeconfig("{}"), "show nginx-s"), Vec::<String>::new());
        assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
        let broken = StandIn::new(|_| crate::stand_in::status(403, "not-found-404.json"));
        assert_eq!(complete(&broken.kubeconfig("{}"), "show nginx-s"), Vec::<String>::new());
        assert_eq!(complete("/nonexistent", "show nginx-s"), Vec::<String>::new());
    }

    #[test]
    fn only_a_credential_plugin_that_never_asks_is_run() {
        let server = StandIn::new(seed);
        let room = tempfile::tempdir().expect("a folder");
        let ran = room.path().join("ran");
        let user = |mode: &str| {
            let token =
                r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"t"}}"#;
            let script = format!("touch {}; echo '{token}'", ran.display());
            let command = serde_json::json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "sh",
                "args": ["-c", script], "interactiveMode": mode}});
            command.to_string()
        };
        for mode in ["IfAvailable", "Always"] {
            assert_eq!(complete(&server.kubeconfig(&user(mode)), "show nginx-s"), Vec::<String>::new());
            assert!(!ran.exists(), "{mode}");
        }
        assert_eq!(complete(&server.kubeconfig(&user("Never")), "show nginx-s"), ["nginx-service"]);
        assert!(ran.exists());
    }
}
