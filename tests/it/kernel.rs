//! Against the kernel itself: a recording is loaded in a network namespace that stands for the node, with client and
//! backend hosts around it, real connections are opened, and connection tracking says where they went. `trace` must have
//! said the same before.
//!
//! The hosts have the addresses that the recording names, so that its rules are loaded as they are.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::Duration;

use serde_json::Value;
use socket2::{Domain, Protocol, Socket, Type};

use crate::netns::{in_namespace, loadable, possible, room, text};
use crate::run::kube_ipt;

/// The node whose rules are loaded, and its address.
const NODE: &str = "kitchen-sink/node2/save.txt";
const NODE_IP: &str = "10.200.0.12";

/// Who opens connections: a name, the host, the address it binds (none where the kernel chooses), and FROM for `trace`.
const CLIENTS: [(&str, &str, Option<&str>, &str); 6] = [
    ("pod", "pod", Some("10.244.2.200"), "10.244.2.200"),
    ("endpoint", "b0", Some("10.244.2.2"), "10.244.2.2"),
    ("node", "", None, "node"),
    ("localhost", "", Some("127.0.0.1"), "localhost"),
    ("external", "ext", Some("10.200.0.100"), "10.200.0.100"),
    ("allowed", "ext", Some("203.0.113.50"), "203.0.113.50"),
];

/// Hosts behind links of their own, with the addresses that lead there.
const HOSTS: [(&str, &[&str]); 5] = [
    ("pod", &["10.244.2.200"]),
    // A pod that is an endpoint and a client: by itself, or answers of other pods would not pass the node.
    ("b0", &["10.244.2.2"]),
    (
        "b1",
        &[
            "10.244.1.2",
            "10.244.1.4",
            "10.244.2.4",
            "10.244.2.6",
            "10.244.2.8",
            "10.244.2.12",
            "10.244.2.14",
            "10.244.2.16",
            "10.244.3.2",
            "10.244.3.4",
            "10.244.3.6",
            "172.16.7.20",
        ],
    ),
    (
        "b2",
        &[
            "10.244.1.3",
            "10.244.1.5",
            "10.244.2.3",
            "10.244.2.5",
            "10.244.2.7",
            "10.244.2.9",
            "10.244.2.13",
            "10.244.2.15",
            "10.244.2.17",
            "10.244.3.3",
            "10.244.3.5",
            "172.16.7.21",
        ],
    ),
    ("ext", &["10.200.0.1", "10.200.0.100", "203.0.113.50"]),
];

/// Ports that backends listen on.
const TCP_PORTS: [u16; 5] = [80, 53, 8080, 5432, 6443];

/// Makes the node and its hosts, loads the rules, starts the servers. `$SELF` is this program.
fn setup() -> String {
    let mut script = format!(
        "mount -t tmpfs none /run; mkdir -p /run/netns
         ip link set lo up; ip address add {NODE_IP}/32 dev lo
         echo 1 >/proc/sys/net/ipv4/ip_forward
         for f in all default; do echo 0 >/proc/sys/net/ipv4/conf/$f/rp_filter; done\n"
    );
    for (n, (host, addresses)) in HOSTS.iter().enumerate() {
        let n = n + 1;
        let _ = writeln!(
            script,
            "ip netns add {host}; ip link add to-{host} type veth peer name eth0 netns {host}
             ip address add 10.254.{n}.1/30 dev to-{host}; ip link set to-{host} up
             echo 1 >/proc/sys/net/ipv4/conf/to-{host}/route_localnet; echo 0 >/proc/sys/net/ipv4/conf/to-{host}/rp_filter
             ip -n {host} link set lo up; ip -n {host} address add 10.254.{n}.2/30 dev eth0; ip -n {host} link set eth0 up
             ip -n {host} route add default via 10.254.{n}.1"
        );
        for address in *addresses {
            let _ = writeln!(
                script,
                "ip -n {host} address add {address}/32 dev lo; ip route add {address}/32 via 10.254.{n}.2"
            );
        }
    }
    // What the node opens itself comes from its address, as on a real one.
    let _ = writeln!(script, "ip route add default via 10.254.5.2 src {NODE_IP}");
    script.push_str("iptables-nft-restore <$ROOM/4\n");
    for (host, addresses) in &HOSTS[1..] {
        let addresses = addresses.join(" ");
        let _ = writeln!(
            script,
            "HELPER=serve ADDRESSES='{addresses}' ip netns exec {host} $SELF kernel::helper --exact >/dev/null 2>&1 &"
        );
    }
    script.push_str("sleep 1\n");
    script
}

/// Does the jobs of every client: `$ROOM/jobs-NAME` to `$ROOM/done-NAME`.
fn connect() -> String {
    let mut script = String::new();
    for (name, host, ..) in CLIENTS {
        let inside = if host.is_empty() { String::new() } else { format!("ip netns exec {host} ") };
        let _ = writeln!(
            script,
            "if [ -f $ROOM/jobs-{name} ]; then HELPER=connect JOBS=$ROOM/jobs-{name} DONE=$ROOM/done-{name} {inside}$SELF kernel::helper \
             --exact >/dev/null; fi"
        );
    }
    script + "conntrack -L >$ROOM/conntrack 2>/dev/null; iptables-nft-save -c >$ROOM/counted; kill $(jobs -p) || true\n"
}

/// True if hosts can be made and their connections listed. In CI they must.
fn equipped() -> bool {
    if !possible() {
        return false;
    }
    let works = |program: &str, arg| std::process::Command::new(program).arg(arg).output().is_ok();
    let equipped = works("ip", "-V") && works("conntrack", "-V");
    assert!(equipped || std::env::var_os("CI").is_none(), "CI needs ip and conntrack");
    equipped
}

fn run(room: &Path, script: &str) {
    let own = std::env::current_exe().expect("this program");
    let script = format!("SELF={}\n{script}", own.display());
    let output = in_namespace(room, &script);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

/// No test by itself: what runs inside the hosts. `HELPER=serve` listens, `HELPER=connect` opens connections.
#[test]
fn helper() {
    match std::env::var("HELPER").as_deref() {
        Ok("serve") => serve(),
        Ok("connect") => open_all(),
        _ => {}
    }
}

fn serve() {
    let threads = TCP_PORTS.map(|port| {
        std::thread::spawn(move || {
            let listener = std::net::TcpListener::bind(("0.0.0.0", port)).expect("a free port");
            for stream in listener.incoming() {
                // The client knows by this byte that it was let through.
                let _ = stream.and_then(|mut stream| stream.write_all(b"!"));
            }
        })
    });
    // An answer must come from the address that was asked.
    let addresses = std::env::var("ADDRESSES").expect("set by the script");
    let datagrams: Vec<_> = addresses
        .split(' ')
        .map(|address| {
            let socket = UdpSocket::bind((address, 53)).expect("a free port");
            std::thread::spawn(move || {
                let mut buffer = [0; 16];
                while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
                    let _ = socket.send_to(b"!", peer);
                }
            })
        })
        .collect();
    for thread in threads.into_iter().chain(datagrams) {
        thread.join().expect("no panic");
    }
}

/// Opens connections for each line `protocol source destination:port count sport`, `-` for no source and 0 for any port,
/// else from that port on; writes `protocol sport destination:port result`.
fn open_all() {
    let variable = |name| std::env::var(name).expect("set by the script");
    let jobs = fs::read_to_string(variable("JOBS")).expect("jobs");
    let threads: Vec<_> = jobs
        .lines()
        .map(str::to_owned)
        .map(|job| {
            std::thread::spawn(move || {
                let words: Vec<&str> = job.split(' ').collect();
                let source: Option<IpAddr> = words[1].parse().ok();
                let to: SocketAddr = words[2].parse().expect("a socket address");
                let count: u16 = words[3].parse().expect("a count");
                let from: u16 = words[4].parse().expect("a port");
                let mut out = String::new();
                for n in 0..count {
                    let source = source.map(|ip| SocketAddr::new(ip, if from > 0 { from + n } else { 0 }));
                    let (port, result) = open(words[0] == "udp", source, to);
                    let _ = writeln!(out, "{} {port} {to} {result}", words[0]);
                }
                out
            })
        })
        .collect();
    let done: Vec<String> = threads.into_iter().map(|thread| thread.join().expect("no panic")).collect();
    fs::write(variable("DONE"), done.concat()).expect("writable");
}

/// Opens one connection; gives its source port and `open`, `refused`, `silent` or another error.
fn open(udp: bool, source: Option<SocketAddr>, to: SocketAddr) -> (u16, String) {
    let (kind, protocol) = if udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let mut socket = Socket::new(Domain::IPV4, kind, Some(protocol)).expect("a socket");
    if let Some(source) = source {
        socket.bind(&source.into()).expect("an address of this host");
    }
    let patience = Duration::from_secs(2);
    socket.set_read_timeout(Some(patience)).expect("a timeout");
    let opened = socket.connect_timeout(&to.into(), patience).and_then(|()| {
        if udp {
            socket.send(b"?")?;
        }
        socket.read(&mut [0; 1]).map(|_| ())
    });
    let port = socket.local_addr().ok().and_then(|address| address.as_socket()).map_or(0, |address| address.port());
    let result = match opened {
        Ok(()) => "open".to_owned(),
        Err(error) => match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "refused".to_owned(),
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => "silent".to_owned(),
            _ => error.to_string(),
        },
    };
    (port, result)
}

/// What connection tracking knows of a connection.
#[derive(Debug)]
struct Tracked {
    source: String,
    /// Where it went: the source of its answers.
    to: String,
    /// Whom answers are sent to.
    answers_to: String,
}

/// Connections by protocol, destination and source port of the client, as `conntrack -L` lists them.
fn tracked(room: &Path) -> BTreeMap<(String, String, String), Vec<Tracked>> {
    let listing = fs::read_to_string(room.join("conntrack")).expect("listed");
    let mut all: BTreeMap<_, Vec<Tracked>> = BTreeMap::new();
    for line in listing.lines() {
        let protocol = line.split(' ').next().expect("a word").to_owned();
        let value = |key: &str, nth: usize| {
            let found = line.split(' ').filter_map(|word| word.strip_prefix(key)).nth(nth);
            found.unwrap_or_default().to_owned()
        };
        let key = (protocol, format!("{}:{}", value("dst=", 0), value("dport=", 0)), value("sport=", 0));
        let to = format!("{}:{}", value("src=", 1), value("sport=", 1));
        let of_client = Tracked { source: value("src=", 0), to, answers_to: value("dst=", 1) };
        // What the node sends to itself is tracked once; two clients now and then share all three.
        all.entry(key).or_default().push(of_client);
    }
    all
}

/// Frontends of the recording that this kernel can connect to, `protocol destination:port`.
fn frontends() -> BTreeSet<(String, String)> {
    let shown = kube_ipt("show --no-api -f").arg(crate::run::node(NODE)).json();
    let mut all = BTreeSet::new();
    for service in shown["services"].as_array().expect("services") {
        let protocol = service["protocol"].as_str().expect("a protocol");
        for frontend in service["frontends"].as_array().expect("frontends") {
            let address = frontend["address"].as_str().unwrap_or(NODE_IP);
            if protocol != "sctp" {
                all.insert((protocol.to_owned(), format!("{address}:{}", frontend["port"])));
            }
        }
    }
    // What no Service has: a port of a cluster IP, a port of the node, a pod by itself.
    for other in ["10.96.78.10:81", "10.200.0.12:31754", "10.244.2.2:80"] {
        all.insert(("tcp".to_owned(), other.to_owned()));
    }
    all
}

fn traced(room: &Path, from: &str, to: &str, protocol: &str) -> Value {
    let addresses = ["10.254.1.1", "10.254.2.1", "10.254.3.1", "10.254.4.1", "10.254.5.1"];
    let mut command = kube_ipt("trace --no-api --node-ip").arg(NODE_IP);
    // Interface addresses of the links are used towards their hosts only.
    if from != "node" {
        command = addresses.iter().fold(command, |command, ip| command.arg("--node-ip").arg(ip));
    }
    let command = command.arg("-f").arg(room.join("4")).arg(from).arg(format!("{to}/{protocol}")).arg("-o").arg("json");
    let (stdout, stderr, status) = command.output();
    assert_eq!(status, Some(0), "{from} {to}: {stderr}");
    serde_json::from_str(&stdout).expect("JSON")
}

#[test]
fn the_kernel_does_what_trace_says() {
    if !equipped() {
        return;
    }
    let room = room(&[("4", &loadable(NODE))]);
    let frontends = frontends();
    assert!(frontends.len() > 25, "{frontends:?}");
    for (name, _, source, ..) in CLIENTS {
        let jobs = frontends.iter().fold(String::new(), |mut jobs, (protocol, to)| {
            // From a loopback address only the node itself is reached.
            if name != "localhost" || to.starts_with(NODE_IP) {
                let to = if name == "localhost" { to.replace(NODE_IP, "127.0.0.1") } else { to.clone() };
                let _ = writeln!(jobs, "{protocol} {} {to} 1 0", source.unwrap_or("-"));
            }
            jobs
        });
        fs::write(room.path().join(format!("jobs-{name}")), jobs).expect("writable");
    }
    run(room.path(), &(setup() + &connect()));
    let tracked = tracked(room.path());
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for (name, _, source, from) in CLIENTS {
        let done = fs::read_to_string(room.path().join(format!("done-{name}"))).expect("done");
        for line in done.lines() {
            let words: Vec<&str> = line.splitn(4, ' ').collect();
            let [protocol, port, to, result] = words[..] else { panic!("{line}") };
            let key = (protocol.to_owned(), to.to_owned(), port.to_owned());
            let trace = traced(room.path(), from, to, protocol);
            let verdict = trace["verdict"].as_str().unwrap_or_else(|| panic!("{name} {line}: {trace:#}"));
            *seen.entry(format!("{name} {verdict}")).or_default() += 1;
            // A client without an address of its own is whoever is none of the others.
            let is_its = |t: &&Tracked| match source {
                Some(source) => t.source == source,
                None => !CLIENTS.iter().any(|(_, _, other, _)| *other == Some(t.source.as_str())),
            };
            let own = tracked.get(&key).and_then(|all| all.iter().find(is_its));
            let context = || format!("{name} {line}: {own:?}\n{trace:#}");
            match verdict {
                "delivered" => {
                    assert_eq!(result, "open", "{}", context());
                    let went = own.unwrap_or_else(|| panic!("not tracked: {}", context()));
                    let destinations = trace["destinations"].as_array().expect("destinations");
                    let destination = destinations.iter().find(|d| d["address"] == went.to.as_str());
                    let destination = destination.unwrap_or_else(|| panic!("went elsewhere: {}", context()));
                    assert_eq!(destination["masquerade"], went.source != went.answers_to, "{}", context());
                }
                "reject" => assert_eq!(result, "refused", "{}", context()),
                "drop" => assert_eq!(result, "silent", "{}", context()),
                _ => {
                    let same = own.is_none_or(|went| went.to == to);
                    assert!(same, "translated: {}", context());
                }
            }
        }
    }
    // Every kind of end was seen, from every kind of client that can have it.
    for kind in [
        "pod delivered",
        "pod reject",
        "node delivered",
        "node reject",
        "external delivered",
        "external reject",
        "external drop",
        "allowed delivered",
        "endpoint delivered",
        "localhost delivered",
        "pod untranslated",
        "external untranslated",
    ] {
        assert!(seen.contains_key(kind), "{kind} is not among {seen:?}");
    }
}

#[test]
fn three_thousand_connections_fit_the_shares() {
    if !equipped() {
        return;
    }
    let room = room(&[("4", &loadable(NODE))]);
    // Thirty threads of a hundred connections each, none from the port of another: a port that is used again may find
    // the connection before it still tracked.
    let jobs = (0..30).fold(String::new(), |mut jobs, n| {
        let _ = writeln!(jobs, "tcp 10.200.0.100 10.96.78.10:80 100 {}", 20_000 + n * 100);
        jobs
    });
    fs::write(room.path().join("jobs-external"), jobs).expect("writable");
    run(room.path(), &(setup() + &connect()));
    let mut counted: BTreeMap<String, f64> = BTreeMap::new();
    for went in tracked(room.path()).into_values().flatten().filter(|went| went.source == "10.200.0.100") {
        *counted.entry(went.to).or_default() += 1.0;
    }
    assert!((counted.values().sum::<f64>() - 3000.0).abs() < 1e-9, "{counted:?}");
    let trace = traced(room.path(), "10.200.0.100", "10.96.78.10:80", "tcp");
    let destinations = trace["destinations"].as_array().expect("destinations");
    assert_eq!(destinations.len(), 3, "{trace:#}");
    let statistic: f64 = destinations
        .iter()
        .map(|destination| {
            let expected = destination["probability"].as_f64().expect("known") * 3000.0;
            let address = destination["address"].as_str().expect("an address");
            (counted.get(address).copied().unwrap_or_default() - expected).powi(2) / expected
        })
        .sum();
    // Two degrees of freedom: chance alone gives more once in a hundred thousand runs.
    assert!(statistic < 23.03, "{statistic}: {counted:?}");
    // The node's own counters say the same, and so does the program that reads them.
    let shown = kube_ipt("show nginx-service --no-api -f").arg(room.path().join("counted")).json();
    let pool = &shown["services"][0]["pools"][0];
    assert_eq!(pool["balance"]["connections"], 3000, "{pool:#}");
    for endpoint in pool["endpoints"].as_array().expect("endpoints") {
        let address = endpoint["address"].as_str().expect("an address");
        assert_eq!(endpoint["packets"].as_f64(), counted.get(address).copied(), "{pool:#}");
    }
    let told = pool["balance"]["chi_square"].as_f64().expect("judged");
    assert!((told - statistic).abs() < 1e-6, "{told} is not {statistic}");
}
