//! Read-only is a promise: nothing is started but commands of the list, with their exact arguments and without a shell, what is
//! sent only asks, and nothing is written but the files that are asked for. Runs of every command with every flag are traced
//! and judged (`strace.rs`), from saved files, on a node of the test's own, and through an API server.

#[cfg(feature = "live")]
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use kube_ipt::source::allowed;

use crate::run::{Run, called, kube_ipt, node};
use crate::strace::{self, May, Trace, tracer};

/// Runs that read what was saved. `{dump}`, `{six}`, `{stale}`, `{objects}` and `{key}` stand for files that are there,
/// `{room}` for a folder.
const SAVED: &[&str] = &[
    "show nginx-service --demo=stale --rules -v --color always",
    "show -f {dump} --objects {objects} --node node1 --family ipv4 -n nginx-demo -a -o json",
    "show -A --no-api -f {dump} -o dot",
    "list --demo=stale -o wide",
    "list -f {dump} -f {six} --objects {objects} --node node1 --family ipv4 -A",
    "list -n nginx-demo --no-api -f {dump} --all",
    "check --demo=stale --select KI1 --ignore KI102 --fail-on error --out {room}/answer -o json",
    "check -f {stale} --objects {objects} --node node1 -n nginx-demo --all",
    "check -A --family ipv4 --no-api -f {dump}",
    "check --demo -o prometheus --out {room}/answer.prom",
    "trace external nginx-service --demo -v",
    "trace node nginx-service -f {dump} --objects {objects} --node node1 --node-ip 172.18.0.4 --sticky -n nginx-demo -o json",
    "trace pod nginx-service -f {dump} --no-api -A --family ipv4 --in-interface eth0 --out-interface eth1 --all",
    "diff --demo -a",
    "diff {dump} {stale} --objects {objects} --node node1 -o json -A",
    "diff {dump} {stale} --objects-a {objects} --objects-b {objects} --node-a node1 --node-b node1 -n nginx-demo",
    "diff {dump} {stale} --family ipv4 --no-api",
    "snapshot --demo --redact -o {room}/s.tar.gz",
    "snapshot -f {dump} --objects {objects} --node node1 --redact --redact-key {key} --force -o {room}/s.tar.gz",
    "snapshot -f {dump} --family ipv4 --no-api -o -",
    "explain",
    "explain stale-endpoint",
    "manifest rbac --exec --user jane",
    "manifest rbac --group ops",
    "manifest rbac --service-account kube-system/kube-ipt",
    "manifest daemonset --image i --namespace n --textfile-dir /var/lib/x --interval 1m --api-server h:6443 --no-legacy",
    "completions bash",
    "man show",
    "man --dir {room}",
    "help check",
    "--version",
];

/// Runs that read this node; `{config}` is a kubeconfig.
#[cfg(feature = "live")]
pub(crate) const HERE: &[&str] = &[
    "show -v --no-api",
    "list --kubeconfig {config} --context here --require-api --request-timeout 20s",
    "check --kubeconfig {config} --out {room}/answer",
    "check --confirm 1s --no-api",
    "trace external nginx-service --kubeconfig {config} --context here --require-api --request-timeout 20s",
    "diff here {stale} --kubeconfig {config} --context here --require-api --request-timeout 20s",
    "diff here +1s --no-api",
    "snapshot --kubeconfig {config} --context here --require-api --request-timeout 20s -o {room}/here.tar.gz -v",
    "show --watch=300ms --kubeconfig {config} --context here",
    "list --watch=300ms --no-api",
    "check --watch=300ms --kubeconfig {config} -o prometheus --out {room}/answer.prom",
];

/// Runs that read other nodes, through the API.
#[cfg(feature = "live")]
pub(crate) const AFAR: &[&str] = &[
    "show --kubeconfig {config} --context here --require-api --request-timeout 20s --node node1 -v",
    "show --kubeconfig {config} --via kube-system/kube-proxy-node1:kube-proxy --family ipv4",
    "show --kubeconfig {config} -f {stale} --node node1 10.96.101.105",
    "show --kubeconfig {config} -f {stale} nginx-demo/nginx-service",
    "list --kubeconfig {config} --via kube-system/kube-proxy-node1",
    "list --kubeconfig {config} --all-nodes --parallel 2 --context here",
    "list --kubeconfig {config} -f {stale} --node node1 --watch=300ms",
    "check --kubeconfig {config} --context here --require-api --request-timeout 20s --via kube-system/kube-proxy-node1 --node node1",
    "check --kubeconfig {config} --all-nodes --parallel 2",
    "check --kubeconfig {config} --node node1 --watch=300ms",
    "check --kubeconfig {config} -f {stale} --node node1",
    "trace pod nginx-service --kubeconfig {config} --via kube-system/kube-proxy-node1",
    "trace external nginx-service --kubeconfig {config} --node node1",
    "diff node/node1 node/node2 --kubeconfig {config}",
    "diff node/node1 +1s --kubeconfig {config}",
    "diff {all} now --all-nodes --parallel 2 --kubeconfig {config}",
    "snapshot --kubeconfig {config} --node node1 -o {room}/one.tar.gz",
    "snapshot --kubeconfig {config} --via kube-system/kube-proxy-node1 -o {room}/via.tar.gz",
    "snapshot --kubeconfig {config} --all-nodes --parallel 2 --force -o {room}/all.tar.gz",
];

/// What stands for what in the words of a run.
pub(crate) fn filled(words: &str, room: &Path, config: &str) -> String {
    let files = [
        ("{dump}", node("seed/recovered/save.txt")),
        ("{six}", node("seed/recovered/save6.txt")),
        ("{stale}", node("seed/stale/save.txt")),
        ("{objects}", node("seed/recovered/cluster.json")),
        ("{key}", room.join("../key").display().to_string()),
        ("{all}", room.join("../all.tar.gz").display().to_string()),
        ("{room}", room.display().to_string()),
        ("{config}", config.to_owned()),
    ];
    files.iter().fold(words.to_owned(), |words, (name, file)| words.replace(name, file))
}

/// Runs it; what goes on is ended after its first answer. Gives what it said and its exit status.
fn to_its_end(run: Run, words: &str, room: &Path) -> (String, Option<i32>) {
    #[cfg(feature = "live")]
    if words.contains("--watch") {
        let running = run.start();
        if words.contains("--out") {
            crate::watch::wait(|| fs::read_dir(room).is_ok_and(|mut all| all.next().is_some()));
        } else {
            running.line();
        }
        let (_, said, code) = running.end_behind("INT");
        return (said, code);
    }
    #[cfg(not(feature = "live"))]
    let _ = (words, room);
    let (_, said, code) = run.bytes();
    (String::from_utf8(said).expect("what is said is UTF-8"), code)
}

/// A traced run, whose files go into `room`. It has to succeed, or to say with 1 that something differs.
#[track_caller]
pub(crate) fn traced(run: Run, words: &str, room: &Path, mut may: May) -> Trace {
    let folder = tempfile::tempdir().expect("a folder");
    let run = run.behind(&tracer(folder.path()));
    let (said, code) = to_its_end(run, words, room);
    assert!(matches!(code, Some(0 | 1)) && !said.contains("error:"), "{words}: {code:?} {said}");
    // What is left in the room is what was asked for: manual pages by their names, all else by that of the run.
    for file in fs::read_dir(room).expect("the folder").flatten() {
        let (name, path) = (file.file_name(), file.path());
        let is_page = words.contains("--dir") && name.to_string_lossy().starts_with("kube-ipt");
        assert!(is_page || words.contains(&path.display().to_string()), "{words} wrote {}", path.display());
        may.writes.push(path);
    }
    let trace = Trace::read(folder.path());
    let complaints = trace.complaints(&may);
    assert!(complaints.is_empty(), "{words}:\n{}", complaints.join("\n"));
    trace
}

#[test]
fn reading_what_was_saved_starts_nothing_and_writes_what_was_asked_for() {
    if !strace::possible() {
        return;
    }
    let around = tempfile::tempdir().expect("a folder");
    fs::write(around.path().join("key"), "0123456789abcdef0123456789abcdef").expect("writable");
    for (n, words) in SAVED.iter().chain(&["__complete show --demo ngi"]).enumerate() {
        let room = around.path().join(n.to_string());
        fs::create_dir(&room).expect("writable");
        let words = filled(words, &room, "");
        let trace = traced(kube_ipt(&words), &words, &room, May::default());
        assert_eq!(trace.started(), [[""; 0]; 0], "{words}");
    }
    let bin = around.path().join("bin");
    fs::create_dir(&bin).expect("writable");
    let empty = around.path().join("empty");
    fs::create_dir(&empty).expect("writable");
    for (name, words) in [("kubectl-ipt", "list --demo"), ("kubectl_complete-ipt", "show --demo ngi")] {
        assert_eq!(traced(called(&bin, name, words), words, &empty, May::default()).started(), [[""; 0]; 0]);
    }
}

/// A command of the program: its words, and each flag with its letter.
#[cfg(feature = "live")]
type Flags = BTreeMap<String, BTreeMap<String, Option<String>>>;

/// All commands with their flags, as `--help` names them.
#[cfg(feature = "live")]
fn commands(path: &str, found: &mut Flags) {
    let help = kube_ipt(path).arg("--help").stdout();
    let mut flags = BTreeMap::new();
    let mut inner = Vec::new();
    let mut lists_commands = false;
    for line in help.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        lists_commands = line == "Commands:" || (lists_commands && !words.is_empty());
        match words.as_slice() {
            [name, ..] if lists_commands && line.starts_with("  ") && !line.starts_with("   ") => inner.push(*name),
            [flag, ..] if flag.starts_with("--") && line.starts_with("      --") => {
                flags.insert(bare(flag), None);
            }
            [short, flag, ..] if short.len() == 3 && short.starts_with('-') && short.ends_with(',') => {
                flags.insert(bare(flag), Some(short[..2].to_owned()));
            }
            _ => {}
        }
    }
    for name in inner.iter().filter(|name| **name != "help") {
        commands(format!("{path} {name}").trim(), found);
    }
    found.insert(path.to_owned(), flags);
}

#[cfg(feature = "live")]
fn bare(flag: &str) -> String {
    flag.split(['=', '[']).next().unwrap_or(flag).to_owned()
}

// Some flags are for the running node only.
#[cfg(feature = "live")]
#[test]
fn every_command_is_traced_with_every_flag() {
    let mut found = Flags::new();
    commands("", &mut found);
    assert!(found.len() >= 12, "{found:?}");
    let everywhere: BTreeSet<String> = found[""].keys().cloned().collect();
    for (command, flags) in &found {
        let has = |words: &&&str| format!("{words} ").starts_with(&format!("{command} ")) || command.is_empty();
        let runs: Vec<&&str> = SAVED.iter().chain(HERE).chain(AFAR).filter(has).collect();
        let is_group = found.keys().any(|other| other.starts_with(&format!("{command} ")) && !command.is_empty());
        assert!(!runs.is_empty() || is_group, "no run of `{command}` is traced: add one to the lists here");
        for (flag, letter) in flags.iter().filter(|(flag, _)| command.is_empty() || !everywhere.contains(*flag)) {
            let is_it = |word: &str| bare(word) == *flag || Some(word) == letter.as_deref();
            let used = runs.iter().any(|words| words.split(' ').any(is_it));
            // --help ends before anything is read.
            assert!(used || flag == "--help", "no run of `{command}` with {flag} is traced: add one to the lists here");
        }
    }
}

#[test]
fn every_listed_command_only_lists() {
    for command in allowed() {
        let others = [
            "nft -j list table ip kube-proxy",
            "nft -j list table ip6 kube-proxy",
            "ipvsadm -Sn",
            "ipset save",
            "cat /proc/net/ip_tables_names",
            "cat /proc/net/ip6_tables_names",
        ];
        let lists = command.args.last() == Some(&"-S") || command.args == ["--version"];
        assert!(lists || others.contains(&command.typed().as_str()), "{}", command.typed());
        let changing = ["-A", "-D", "-F", "-I", "-N", "-P", "-R", "-X", "-Z", "-E"];
        assert!(!command.args.iter().any(|arg| changing.contains(arg)), "{}", command.typed());
    }
}
