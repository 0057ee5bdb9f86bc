//! Nodes that are read through the API: the stand-in for the API server speaks websockets as a real one does, and runs the
//! commands of a recorded node.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::Role;
use tungstenite::{Message, WebSocket};

use crate::netns::loadable;
use crate::run::{kube_ipt, node, services};
use crate::stand_in::{Asked, Duplex, Reply, StandIn, ok, seed, status};

/// How the stream of a command is spoiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spoil {
    Nothing,
    /// The connection breaks after half of what is printed.
    Half,
    /// Everything is printed, and then the connection ends without word of the command's end.
    NoStatus,
    /// Nothing comes.
    Silence,
}

/// A container on a node: what each command prints.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    prints: BTreeMap<String, String>,
    protocol: &'static str,
    spoil: Spoil,
    /// How its runtime says that there is no such program.
    absent: Absent,
    /// How long the first byte takes.
    slow: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Absent {
    /// The exec fails, as runc makes it.
    Runtime,
    /// The command ends with 127, as a shell makes it.
    Code,
}

impl Container {
    /// One that prints what `iptables -S` prints of a recorded `iptables-save`, with nothing but plain iptables.
    pub(crate) fn of(save: &str, save6: &str) -> Self {
        let mut prints = BTreeMap::from([
            ("iptables --version".to_owned(), "iptables v1.8.9 (nf_tables)\n".to_owned()),
            ("ip6tables --version".to_owned(), "ip6tables v1.8.9 (nf_tables)\n".to_owned()),
        ]);
        for (program, text) in [("iptables", save), ("ip6tables", save6)] {
            for (table, listing) in tables(text) {
                prints.insert(format!("{program} -w 5 -t {table} -S"), listing);
            }
            for table in ["raw", "mangle"] {
                let empty = "-P PREROUTING ACCEPT\n-P OUTPUT ACCEPT\n".to_owned();
                prints.entry(format!("{program} -w 5 -t {table} -S")).or_insert(empty);
            }
        }
        Self {
            prints,
            protocol: "v5.channel.k8s.io",
            spoil: Spoil::Nothing,
            absent: Absent::Runtime,
            slow: Duration::ZERO,
        }
    }

    /// That of a recorded node.
    pub(crate) fn recorded(case: &str) -> Self {
        Self::of(&loadable(&format!("{case}/save.txt")), &loadable(&format!("{case}/save6.txt")))
    }

    /// One whose first byte takes so long.
    pub(crate) fn slow(self, slow: Duration) -> Self {
        Self { slow, ..self }
    }

    pub(crate) fn with(mut self, command: &str, prints: &str) -> Self {
        self.prints.insert(command.to_owned(), prints.to_owned());
        self
    }

    /// Answers one exec.
    pub(crate) fn speak(&self, asked: &Asked, connection: &mut dyn Duplex) {
        std::thread::sleep(self.slow);
        let key = &asked.headers["sec-websocket-key"];
        let offered = &asked.headers["sec-websocket-protocol"];
        assert!(offered.contains(self.protocol), "{offered}");
        let accept = derive_accept_key(key.as_bytes());
        let head = format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\
             Sec-WebSocket-Protocol: {}\r\n\r\n",
            self.protocol
        );
        connection.write_all(head.as_bytes()).expect("writable");
        let argv = argv(&asked.line);
        let mut socket = WebSocket::from_raw_socket(connection, Role::Server, None);
        let mut send = |channel: u8, bytes: &[u8]| {
            let frame = [&[channel], bytes].concat();
            // The program may have gone away.
            let _ = socket.send(Message::Binary(frame.into()));
        };
        let Some(printed) = self.prints.get(&argv) else {
            match self.absent {
                Absent::Runtime => send(
                    3,
                    failure(
                        "error executing command in container: failed to exec in container: exec: \
                    executable file not found in $PATH: unknown",
                        None,
                    )
                    .as_bytes(),
                ),
                Absent::Code => {
                    send(2, b"sh: not found\n");
                    send(3, failure("command terminated with non-zero exit code", Some(127)).as_bytes());
                }
            }
            return;
        };
        if self.spoil == Spoil::Silence {
            std::thread::sleep(Duration::from_secs(30));
            return;
        }
        // A line that begins with `!` is an error: exit status, then what is said.
        if let Some((code, said)) = printed.strip_prefix('!').and_then(|rest| rest.split_once(' ')) {
            send(2, said.as_bytes());
            send(3, failure("command terminated with non-zero exit code", code.parse().ok()).as_bytes());
            return;
        }
        let lists = argv.ends_with("-S");
        let bytes = printed.as_bytes();
        let end = if lists && self.spoil == Spoil::Half { bytes.len() / 2 } else { bytes.len() };
        bytes[..end].chunks(1000).for_each(|part| send(1, part));
        if !(lists && self.spoil != Spoil::Nothing) {
            send(3, br#"{"metadata":{},"status":"Success"}"#);
        }
    }
}

/// The tables of an `iptables-save` as `iptables -S` lists them.
fn tables(save: &str) -> BTreeMap<String, String> {
    let mut tables: BTreeMap<String, String> = BTreeMap::new();
    let mut table = String::new();
    for line in save.lines() {
        let out = tables.entry(table.clone()).or_default();
        if let Some(name) = line.strip_prefix('*') {
            name.clone_into(&mut table);
        } else if let Some(chain) = line.strip_prefix(':') {
            let mut words = chain.split(' ');
            let (name, policy) = (words.next().expect("a chain"), words.next().expect("a policy"));
            let _ = if policy == "-" { writeln!(out, "-N {name}") } else { writeln!(out, "-P {name} {policy}") };
        } else if line.starts_with("-A") {
            let _ = writeln!(out, "{line}");
        }
    }
    tables.retain(|name, _| !name.is_empty());
    tables
}

/// The command that an exec asks for, its words parted by blanks.
pub(crate) fn argv(line: &str) -> String {
    let query = line.split_once('?').map_or("", |(_, query)| query);
    let words = query.split('&').filter_map(|pair| pair.strip_prefix("command="));
    words.map(|word| word.replace('+', " ").replace("%2F", "/")).collect::<Vec<_>>().join(" ")
}

fn failure(message: &str, code: Option<i32>) -> String {
    let causes: Vec<Value> =
        code.iter().map(|code| json!({"reason": "ExitCode", "message": code.to_string()})).collect();
    let reason = if code.is_some() { "NonZeroExitCode" } else { "InternalError" };
    json!({"metadata": {}, "status": "Failure", "message": message, "reason": reason, "details": {"causes": causes}})
        .to_string()
}

/// A kube-proxy Pod as the API writes it.
pub(crate) fn proxy_pod(node: &str, ready: bool) -> Value {
    json!({
        "metadata": {"name": format!("kube-proxy-{node}"), "namespace": "kube-system", "labels": {"k8s-app": "kube-proxy"}},
        "spec": {"nodeName": node, "hostNetwork": true,
            "containers": [{"name": "sidecar", "image": "x"}, {"name": "kube-proxy", "image": "r/kube-proxy:v1.34.2"}]},
        "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" },
            "message": "containers with unready status: [kube-proxy]"}]},
    })
}

fn list(items: &[Value]) -> Reply {
    ok(json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items}).to_string())
}

/// The recorded cluster with kube-proxy on node1, whose container is this one.
pub(crate) fn cluster(container: Container) -> StandIn {
    let container = Arc::new(container);
    StandIn::new(move |target| {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        match path {
            "/api/v1/namespaces/kube-system/pods" if query == "fieldSelector=spec.nodeName%3Dnode1" => list(&[
                json!({"metadata": {"name": "coredns-x", "labels": {"k8s-app": "kube-dns"}}}),
                proxy_pod("node1", true),
            ]),
            "/api/v1/namespaces/kube-system/pods" => list(&[]),
            "/api/v1/namespaces/kube-system/pods/kube-proxy-node1/exec" => {
                assert!(query.contains("container=kube-proxy") && query.contains("stdout=true"), "{query}");
                assert!(!query.contains("stdin=true") && !query.contains("tty=true"), "{query}");
                let container = Arc::clone(&container);
                Reply::Upgrade(Arc::new(move |asked, connection| container.speak(asked, connection)))
            }
            _ => seed(target),
        }
    })
}

#[test]
fn a_node_is_read_by_commands_in_its_kube_proxy_pod() {
    let dump =
        kube_ipt(&format!("show -f {} -f {} --node node1", node("seed/stale/save.txt"), node("seed/stale/save6.txt")));
    let wanted = services(dump.args(&format!("--objects {}", node("seed/stale/cluster.json"))).json());
    assert!(wanted.as_array().is_some_and(|all| all.len() > 3));
    for protocol in ["v5.channel.k8s.io", "v4.channel.k8s.io"] {
        for absent in [Absent::Runtime, Absent::Code] {
            let server = cluster(Container { protocol, absent, ..Container::recorded("seed/stale") });
            let document = server.run("show --node node1").json();
            assert_eq!(services(document.clone()), wanted, "{protocol} {absent:?}");
            let source = &document["source"];
            assert_eq!(source["node"], "node1");
            assert_eq!(source["from"], "pod/kube-system/kube-proxy-node1");
            assert_eq!(source["backend"], "nf_tables");
            assert_eq!(source["families"], json!(["ipv4", "ipv6"]));
        }
    }
}

#[test]
fn only_commands_of_the_list_are_run_there() {
    let server = cluster(Container::recorded("seed/stale"));
    server.run("check --node node1").status(1).stdout();
    let list: Vec<String> = kube_ipt::source::allowed().map(|command| command.typed()).collect();
    let asked = server.asked();
    let (execs, others): (Vec<&String>, Vec<&String>) = asked.iter().partition(|line| line.contains("/exec?"));
    assert!(execs.len() >= 4, "{asked:?}");
    for line in &execs {
        assert!(list.contains(&argv(line)), "{} is not on the list", argv(line));
    }
    for line in others {
        assert!(line.starts_with("GET "), "{line}");
    }
}

#[test]
fn legacy_rules_are_asked_for_only_where_the_kernel_has_them() {
    let both = Container::recorded("seed/stale")
        .with("iptables-nft --version", "iptables v1.8.9 (nf_tables)\n")
        .with("iptables-legacy --version", "iptables v1.8.9 (legacy)\n")
        .with("iptables-nft -w 5 -t nat -S", &tables(&loadable("seed/stale/save.txt"))["nat"])
        .with("iptables-nft -w 5 -t filter -S", &tables(&loadable("seed/stale/save.txt"))["filter"])
        .with(
            "iptables-legacy -w 5 -t nat -S",
            "-P PREROUTING ACCEPT\n-N KUBE-SERVICES\n-A PREROUTING -j KUBE-SERVICES\n",
        );
    let legacy = |container: Container| {
        let server = cluster(container);
        let (_, stderr, _) = server.run("show --node node1").output();
        let runs: Vec<String> = server.asked().iter().map(|line| argv(line)).collect();
        let asked: Vec<String> = runs.into_iter().filter(|run| run.contains("legacy") && run.contains("-S")).collect();
        (asked, stderr)
    };
    // Without cat nobody can tell, and kube-proxy's own choice is read.
    let (asked, stderr) = legacy(both.clone());
    assert_eq!(asked, [""; 0]);
    assert!(stderr.contains("whether node node1 has rules of iptables-legacy too was not looked at"), "{stderr}");
    let (asked, stderr) = legacy(both.clone().with("cat /proc/net/ip_tables_names", ""));
    assert_eq!((asked, stderr.contains("legacy")), (Vec::new(), false), "{stderr}");
    let (asked, _) = legacy(both.with("cat /proc/net/ip_tables_names", "nat\n"));
    assert_eq!(asked, ["iptables-legacy -w 5 -t nat -S"]);
}

#[test]
fn a_stream_that_was_cut_is_never_taken_for_a_dump() {
    for spoil in [Spoil::Half, Spoil::NoStatus] {
        let server = cluster(Container { spoil, ..Container::recorded("seed/stale") });
        let (stdout, stderr, status) = server.run("show --node node1").output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)), "{spoil:?} {stderr}");
        let wanted = "error: the rules of node node1 came only in part and were not used: \
                      the stream from Pod kube-system/kube-proxy-node1 was cut";
        assert!(stderr.starts_with(wanted), "{stderr}");
    }
}

#[test]
fn silence_has_an_end() {
    let server = cluster(Container { spoil: Spoil::Silence, ..Container::recorded("seed/stale") });
    let (stdout, stderr, status) = server.run("show --node node1 --request-timeout 300ms").output();
    assert_eq!((stdout.as_str(), status), ("", Some(2)));
    assert!(
        stderr
            .contains("gave no answer in 300 ms (listing the rules of node node1 in Pod kube-system/kube-proxy-node1)"),
        "{stderr}"
    );
}

/// What `kube-ipt show --node NODE` says where the API server answers so.
fn refused(args: &str, answer: impl Fn(&str) -> Reply + Send + Sync + 'static) -> String {
    let server = StandIn::new(answer);
    let (stdout, stderr, code) = server.run(args).output();
    assert_eq!((stdout.as_str(), code), ("", Some(2)), "{stderr}");
    stderr.replace(&server.url(), "URL")
}

#[test]
fn what_keeps_a_node_from_being_read_is_said_with_what_to_do() {
    let pods = |pods: Vec<Value>| {
        move |target: &str| match target.split('?').next().unwrap_or_default() {
            "/api/v1/namespaces/kube-system/pods" => list(&pods),
            path if path.ends_with("/exec") => status(403, "unauthorized-or-forbidden-403.json"),
            _ => seed(target),
        }
    };
    let mut all = String::new();
    let mut say = |what: &str, said: &str| {
        let _ = writeln!(all, "## {what}\n{said}");
    };
    say("no such node", &refused("show --node nod1", pods(Vec::new())));
    say("no kube-proxy", &refused("show --node node1", pods(Vec::new())));
    say("not ready", &refused("show --node node1", pods(vec![proxy_pod("node1", false)])));
    say("exec forbidden", &refused("show --node node1", pods(vec![proxy_pod("node1", true)])));
    say(
        "pods forbidden",
        &refused("show --node node1", |target| match target.split('?').next() {
            Some("/api/v1/namespaces/kube-system/pods") => status(403, "unauthorized-or-forbidden-403.json"),
            _ => seed(target),
        }),
    );
    let plain = |target: &str| match target.split('?').next().unwrap_or_default() {
        "/api/v1/namespaces/kube-system/pods" => list(&[proxy_pod("node1", true)]),
        path if path.ends_with("/exec") => ok("{}"),
        _ => seed(target),
    };
    say("no websocket", &refused("show --node node1", plain));
    let no_upgrade = move |target: &str| match target.split('?').next().unwrap_or_default() {
        path if path.ends_with("/exec") => {
            let message =
                json!({"kind": "Status", "status": "Failure", "code": 400, "message": "Upgrade request required"});
            Reply::Body(400, message.to_string().into_bytes())
        }
        _ => plain(target),
    };
    say("no upgrade", &refused("show --node node1", no_upgrade));
    let bare = Container { prints: BTreeMap::new(), ..Container::recorded("seed/stale") };
    let server = cluster(bare.clone());
    say("no iptables", &server.run("show --node node1").output().1);
    let locked = "!4 Another app is currently holding the xtables lock; still -9s 0us time ahead to have a chance to grab the lock...\n";
    let locked = Container::recorded("seed/stale").with("iptables -w 5 -t nat -S", locked);
    say("lock held", &cluster(locked).run("show --node node1").output().1);
    let denied = "!4 Fatal: can't open lock file /run/xtables.lock: Permission denied\n";
    let denied = Container::recorded("seed/stale").with("iptables -w 5 -t nat -S", denied);
    say("no rights in the container", &cluster(denied).run("show --node node1").output().1);
    say("no cluster", &kube_ipt("show --node nowhere").output().1);
    insta::assert_snapshot!("unreadable_nodes", all);
}

#[test]
fn another_pod_of_the_node_may_be_named() {
    let container = Container::recorded("seed/stale");
    let pod = |network: bool| {
        json!({"metadata": {"name": "cni-x", "namespace": "net"},
            "spec": {"nodeName": "node1", "hostNetwork": network, "containers": [{"name": "agent"}, {"name": "tools"}]},
            "status": {"phase": "Running"}})
    };
    let server = |network: bool| {
        let container = Arc::new(container.clone());
        StandIn::new(move |target| match target.split('?').next().unwrap_or_default() {
            "/api/v1/namespaces/net/pods/cni-x" => ok(pod(network).to_string()),
            "/api/v1/namespaces/net/pods/cni-x/exec" => {
                assert!(target.contains("container=tools"), "{target}");
                let container = Arc::clone(&container);
                Reply::Upgrade(Arc::new(move |asked, connection| container.speak(asked, connection)))
            }
            _ => seed(target),
        })
    };
    let document = server(true).run("show nginx-service --via net/cni-x:tools").json();
    assert_eq!(document["source"]["node"], "node1");
    assert_eq!(document["source"]["from"], "pod/net/cni-x");
    assert_eq!(document["services"][0]["status"], "stale");

    let error = |args: &str, network: bool| server(network).run(args).output().1;
    let own = error("show --via net/cni-x", false);
    assert!(
        own.starts_with(
            "error: Pod net/cni-x has a network of its own: the rules it sees are not those of node node1\n"
        ),
        "{own}"
    );
    let other = error("show --via net/cni-x:nope", true);
    assert!(other.starts_with("error: Pod net/cni-x has no container 'nope', only agent, tools\n"), "{other}");
    let gone = error("show --via net/other", true);
    assert!(gone.starts_with("error: there is no Pod net/other\n"), "{gone}");
    let elsewhere = error("show --via net/cni-x:tools --node node2", true);
    assert!(elsewhere.starts_with("error: Pod net/cni-x runs on node node1, not on node2\n"), "{elsewhere}");
}
