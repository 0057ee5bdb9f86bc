//! Read-only where a node is read or an API server is asked: runs are traced and judged, this node is afterwards what it was
//! before, and the stand-in for the API server sees only what lists, gets and watches. The judge is shown what it must hear.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use kube_ipt::source::allowed;
use serde_json::json;

use crate::afar::{Container, argv, proxy_pod};
use crate::netns::{inside, loadable, text};
use crate::read_only::{AFAR, HERE, filled, traced};
use crate::run::{kube_ipt, node};
use crate::stand_in::{Asked, Reply, StandIn, ok};
use crate::strace::{self, May, Trace, tracer};
use crate::world::World;

/// A cluster with kube-proxy on node1 and node2 that can be listed, watched and read from afar.
fn cluster() -> StandIn {
    let container = Arc::new(Container::recorded("seed/stale"));
    World::new().serve(move |target| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let list = |kind: &str, items: &[serde_json::Value]| {
            let metadata = json!({"resourceVersion": "7"});
            ok(json!({"kind": kind, "apiVersion": "v1", "metadata": metadata, "items": items}).to_string())
        };
        if query.contains("watch=1") && (path.ends_with("/configmaps") || path.ends_with("/pods")) {
            return Some(Reply::Silence);
        }
        let pods = "/api/v1/namespaces/kube-system/pods";
        let config = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
            "data": {"config.conf": "mode: iptables\n"}});
        let pod = path.strip_prefix(&format!("{pods}/kube-proxy-"));
        Some(match (path, pod) {
            ("/api/v1/namespaces/kube-system/configmaps/kube-proxy", _) => ok(config.to_string()),
            ("/api/v1/namespaces/kube-system/configmaps", _) => list("ConfigMapList", &[config]),
            (_, None) if path == pods => list("PodList", &["node1", "node2"].map(|node| proxy_pod(node, true))),
            (_, Some(pod)) if pod.ends_with("/exec") => {
                let container = Arc::clone(&container);
                Reply::Upgrade(Arc::new(move |asked, connection| container.speak(asked, connection)))
            }
            (_, Some(pod)) => ok(proxy_pod(pod, true).to_string()),
            _ => return None,
        })
    })
}

/// Verb and resource of a request, as a role of Kubernetes names them.
fn right(asked: &Asked) -> String {
    let (method, target) = asked.line.split_once(' ').expect("a target");
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let groups = ["/api/v1/", "/apis/discovery.k8s.io/v1/"];
    let Some(path) = groups.iter().find_map(|group| path.strip_prefix(group)).filter(|_| method == "GET") else {
        return asked.line.clone();
    };
    let parts: Vec<&str> = path.split('/').collect();
    let parts = if parts[0] == "namespaces" && parts.len() > 2 { &parts[2..] } else { &parts[..] };
    let verb = if query.contains("watch=1") {
        "watch"
    } else if parts.len() == 1 {
        "list"
    } else {
        "get"
    };
    let only_config = parts[0] != "configmaps"
        || path.starts_with("namespaces/kube-system/")
            && (query.contains("fieldSelector=metadata.name%3Dkube-proxy") || parts.get(1) == Some(&"kube-proxy"));
    match parts {
        [resource] | [resource, _] if only_config => format!("{verb} {resource}"),
        [resource, _, "exec"] => {
            let command = argv(&asked.line);
            assert!(allowed().any(|listed| listed.typed() == command), "{command} is not on the list");
            format!("{verb} {resource}/exec")
        }
        _ => asked.line.clone(),
    }
}

/// Loads rules as each mode and variant has them.
fn load(rules: &str) {
    let (save, save6) = (loadable("seed/stale/save.txt"), loadable("seed/stale/save6.txt"));
    let recorded = fs::read_to_string(node("nftables/node2/ruleset.nft")).expect("recorded");
    let own: String = recorded.split_inclusive("\n}\n").filter(|table| table.contains("kube-proxy {")).collect();
    for (kind, command, input) in [
        ("nf_tables", "iptables-nft-restore", &save),
        ("nf_tables", "ip6tables-nft-restore", &save6),
        ("legacy", "iptables-legacy-restore", &save),
        ("legacy", "ip6tables-legacy-restore", &save6),
        ("nftables", "nft -f -", &own),
    ] {
        if rules.contains(kind) {
            let mut child = Command::new("sh").args(["-c", command]).stdin(Stdio::piped()).spawn().expect("a shell");
            child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("it reads");
            assert!(child.wait().expect("it ends").success(), "{command}");
        }
    }
}

fn output(command: &str) -> Output {
    Command::new("sh").args(["-c", command]).output().expect("a shell")
}

/// All that this node knows and that could be changed, without counters.
fn state() -> String {
    let commands = "nft -s list ruleset; iptables-legacy-save; ip6tables-legacy-save; cat /proc/net/ip_tables_names \
        /proc/net/ip6_tables_names /proc/modules 2>/dev/null; ip -o link; ip -o address; ip route; ip rule; ipset list 2>&1";
    let text = text(&output(commands).stdout);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    // Counters of a chain stand behind its policy.
    lines.map(|line| line.split(" [").next().unwrap_or(line)).collect::<Vec<_>>().join("\n")
}

/// A stand-in for every program of the list that writes down its name and arguments.
const RECORDER: &str = "#!/bin/sh\nprintf '%s\\n' \"${0##*/} $*\" >>\"$LOG\"\n\
                        case \"$1\" in --version) echo \"iptables v1.8.9 (nf_tables)\";; *) echo '-P PREROUTING ACCEPT';; esac\n";

/// The commands a live run of `kube-ipt ARGS` starts where only these programs are in PATH.
fn started(programs: &[&str], args: &[&str]) -> Vec<String> {
    let room = tempfile::tempdir().expect("a folder");
    let log = room.path().join("log");
    for program in programs {
        let path = room.path().join(program);
        fs::write(&path, RECORDER).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(args)
        .env("PATH", format!("{}:/usr/bin:/bin", room.path().display()))
        .env("LOG", &log)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert_ne!(output.status.code(), Some(2), "{}", text(&output.stderr));
    let mut lines: Vec<String> =
        fs::read_to_string(log).expect("programs were started").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn only_listed_commands_are_started() {
    let list: Vec<String> = allowed().map(|command| command.typed()).collect();
    let every = ["iptables", "iptables-nft", "iptables-legacy", "ip6tables", "ip6tables-nft", "ip6tables-legacy"];
    let commands = started(&every, &["show"]);
    assert!(!commands.is_empty());
    let on_the_way = |command: &str| command.contains("-t raw") || command.contains("-t mangle");
    assert!(!commands.iter().any(|command| on_the_way(command)), "nobody asked for those tables: {commands:?}");
    let followed = started(&every, &["trace", "external", "10.0.0.1:80"]);
    assert_eq!(followed.iter().filter(|command| on_the_way(command)).count(), commands.len(), "{followed:?}");
    let commands = [commands, followed].concat();
    for command in &commands {
        assert!(list.contains(command), "{command} is not on the list");
    }
    assert!(commands.contains(&"iptables-nft -w 5 -t nat -S".to_owned()), "{commands:?}");
    assert!(!commands.iter().any(|c| c.starts_with("iptables ")), "the plain program is not needed: {commands:?}");
}

#[test]
fn reading_this_node_only_asks_and_leaves_it_as_it_was() {
    if !strace::possible() || !inside("read_live::reading_this_node_only_asks_and_leaves_it_as_it_was") {
        return;
    }
    let server = cluster();
    let config = server.kubeconfig(r#"{"token": "t0k3n"}"#);
    let mut programs = BTreeSet::new();
    for rules in ["nf_tables", "legacy", "nftables", "nf_tables legacy"] {
        output(
            "nft flush ruleset; for v in iptables ip6tables; do for t in nat filter; do $v-legacy -t $t -F; $v-legacy -t $t -X; done; done",
        );
        load(rules);
        let before = state();
        // Single packets are followed through rules of iptables only.
        let runs = HERE.iter().filter(|words| rules != "nftables" || !words.starts_with("trace"));
        for words in runs {
            let around = tempfile::tempdir().expect("a folder");
            let words = filled(words, around.path(), &config);
            let may = May { connects: vec![server.port], ..May::default() };
            let trace = traced(kube_ipt(&words), &words, around.path(), may);
            assert_eq!(state(), before, "{rules}: {words}");
            let started = trace.started();
            assert!(started.len() > 3, "{rules}: {words}: {started:?}");
            programs.extend(started.into_iter().filter_map(|command| command[0].rsplit('/').next().map(str::to_owned)));
        }
    }
    let expected = ["ip6tables-legacy", "ip6tables-nft", "iptables-legacy", "iptables-nft", "nft"];
    assert_eq!(programs, expected.map(str::to_owned).into());
}

#[test]
fn asking_an_api_server_only_gets_lists_and_watches() {
    if !strace::possible() {
        return;
    }
    let server = cluster();
    let around = tempfile::tempdir().expect("a folder");
    let (_, said, code) = server.run("snapshot --all-nodes -o").arg(around.path().join("all.tar.gz")).output();
    assert_eq!(code, Some(0), "{said}");
    // One that says who it is by a credential plugin, which starts programs of its own.
    let credential =
        r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"fr0m-plugin"}}"#;
    let script = around.path().join("plugin");
    fs::write(&script, format!("#!/bin/sh\nuname >{}/mark\ncat <<E\n{credential}\nE\n", around.path().display()))
        .expect("writable");
    assert!(output(&format!("chmod 755 {}", script.display())).status.success());
    let plugin = vec![script.display().to_string(), "get".to_owned(), "a token".to_owned()];
    let user = json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": plugin[0], "args": plugin[1..],
        "interactiveMode": "Never"}});
    for (n, words) in AFAR.iter().enumerate() {
        let room = around.path().join(n.to_string());
        fs::create_dir(&room).expect("writable");
        let by_plugin = n % 2 == 1;
        let config = server.kubeconfig(&if by_plugin { user.to_string() } else { r#"{"token": "t0k3n"}"#.to_owned() });
        let words = filled(words, &room, &config);
        let may = May { connects: vec![server.port], plugin: by_plugin.then(|| plugin.clone()), ..May::default() };
        let started = traced(kube_ipt(&words), &words, &room, may).started();
        let own: Vec<_> = started.iter().filter(|command| **command == plugin).collect();
        assert!(by_plugin != own.is_empty(), "{words}: {started:?}");
        // But for what the plugin starts, nothing.
        assert!(by_plugin || started.is_empty(), "{words}: {started:?}");
    }
    let rights: BTreeSet<String> = server.requests().iter().map(right).collect();
    let expected = [
        "get configmaps",
        "get nodes",
        "get pods",
        "get pods/exec",
        "get services",
        "list configmaps",
        "list endpointslices",
        "list nodes",
        "list pods",
        "list services",
        "watch configmaps",
        "watch endpointslices",
        "watch nodes",
        "watch services",
    ];
    assert_eq!(rights, expected.map(str::to_owned).into());
}

#[test]
fn the_judge_hears_what_changes_something() {
    if !strace::possible() || !inside("read_live::the_judge_hears_what_changes_something") {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let judged = |command: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        let words = tracer(folder.path());
        let command = command.replace("{room}", &room.path().display().to_string());
        Command::new(&words[0]).args(&words[1..]).args(["sh", "-c", &command]).output().expect("strace runs");
        Trace::read(folder.path()).complaints(&May::default()).join("\n")
    };
    load("nf_tables legacy");
    assert_eq!(judged("exec /usr/sbin/iptables-nft -w 5 -t nat -S"), "");
    assert_eq!(judged("exec /usr/sbin/iptables-legacy -w 5 -t nat -S"), "");
    for (command, complaint) in [
        ("iptables-nft -t nat -N x", "NFT_MSG_NEWCHAIN"),
        ("iptables-nft -t nat -F KUBE-SERVICES", "NFT_MSG_DELRULE"),
        ("nft add table ip x", "NFT_MSG_NEWTABLE"),
        ("nft flush ruleset", "NFT_MSG_DELTABLE"),
        ("iptables-legacy -t nat -N x", "IPT_SO_SET_REPLACE"),
        ("ip link add v0 type veth peer name v1", "RTM_NEWLINK"),
        ("ip route add 192.0.2.0/24 dev lo", "RTM_NEWROUTE"),
        ("ipset create x hash:ip", "it may change something"),
        ("id", "execve that nobody asked for"),
        ("iptables-nft -t nat -L", "execve that nobody asked for"),
        ("> {room}/x", "openat that nobody asked for"),
        (">> {room}/x", "openat that nobody asked for"),
        ("mkdir {room}/y", "mkdir that nobody asked for"),
        ("mv {room}/x {room}/z", "rename"),
        ("chmod 600 {room}/z", "fchmodat"),
        ("truncate -s 9 {room}/z", "openat that nobody asked for"),
        ("ln -s a {room}/s", "symlinkat"),
        ("touch -d 1999-01-01 {room}/z", "utimensat"),
        ("rm {room}/z", "unlinkat that nobody asked for"),
        ("mount -t tmpfs none /mnt", "mount"),
        ("kill -0 1", "kill"),
        ("hostname x", "sethostname"),
        ("exec bash -c '</dev/tcp/127.0.0.1/9'", "connect that nobody asked for"),
    ] {
        let said = judged(command);
        assert!(said.contains(complaint), "{command}: {said}");
    }
    // And what no call tells by itself: looking at a table of iptables-legacy makes it.
    let before = state();
    output("iptables-legacy -t raw -S");
    assert_ne!(state(), before);
}
