//! Against the kernel: a recording is loaded with the real iptables in a network namespace of its own, and what the
//! program reads there live is what it reads from the dump.
//!
//! Needs root, `unshare` and both variants of iptables. Without them the tests pass with a word on stderr, except in CI.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

use crate::run::node;

/// True if namespaces can be made here. In CI they must.
pub(crate) fn possible() -> bool {
    let works = Command::new("unshare").args(["-n", "iptables-legacy", "--version"]).output();
    let nft = Command::new("iptables-nft-save").arg("--version").output();
    let possible = works.is_ok_and(|o| o.status.success()) && nft.is_ok_and(|o| o.status.success());
    assert!(possible || std::env::var_os("CI").is_none(), "CI needs root, unshare and both variants of iptables");
    if !possible {
        #[expect(clippy::print_stderr, reason = "a skipped test says so")]
        {
            eprintln!("skipped: needs root, unshare and both variants of iptables");
        }
    }
    possible
}

/// Runs a shell script in a network namespace of its own. `$KUBE_IPT` is the program, `$ROOM` a folder.
pub(crate) fn in_namespace(room: &Path, script: &str) -> Output {
    Command::new("unshare")
        .args(["-n", "-m", "sh", "-ec", script])
        .env("KUBE_IPT", env!("CARGO_BIN_EXE_kube-ipt"))
        .env("ROOM", room)
        // No cluster and no node but those of the test.
        .env("HOME", "/nonexistent")
        .env_remove("KUBECONFIG")
        .env_remove("NODE_NAME")
        .stdin(std::process::Stdio::null())
        .output()
        .expect("unshare runs")
}

/// True in network and mount namespaces of a test's own. Elsewhere it runs the test of this name (`module::function`) there,
/// where that is possible, and is false.
pub(crate) fn inside(test: &str) -> bool {
    const MARK: &str = "TEST_IN_NAMESPACE";
    if std::env::var_os(MARK).is_some() {
        return true;
    }
    if !possible() {
        return false;
    }
    // With a /run of its own, so that nobody waits for our locks nor we for theirs.
    let script = "mount -t tmpfs none /run; ip link set lo up; exec \"$0\" --exact --nocapture \"$1\"";
    let output = Command::new("unshare")
        .args(["-n", "-m", "sh", "-ec", script])
        .arg(std::env::current_exe().expect("this program"))
        .arg(test)
        .env(MARK, "1")
        .output()
        .expect("unshare runs");
    let stdout = text(&output.stdout);
    assert!(output.status.success() && stdout.contains("1 passed"), "{stdout}{}", text(&output.stderr));
    false
}

/// A new folder with files of these names and texts.
pub(crate) fn room(files: &[(&str, &str)]) -> TempDir {
    let room = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(room.path().join(name), text).expect("writable");
    }
    room
}

/// The JSON document that a script left in a room under this name.
pub(crate) fn document(room: &TempDir, name: &str) -> Value {
    let text = fs::read_to_string(room.path().join(name)).expect("was written");
    serde_json::from_str(&text).expect("JSON")
}

pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A recording that a kernel without accounting objects loads: `-m nfacct` needs its object, and the rules without it
/// are the same for everyone who reads them.
pub(crate) fn loadable(path: &str) -> String {
    let recorded = fs::read_to_string(node(path)).expect("the fixture is there");
    let mut out = String::with_capacity(recorded.len());
    for line in recorded.lines() {
        let kept = match line.split_once(" -m nfacct --nfacct-name  ") {
            Some((before, after)) => format!("{before}{}", after.find(' ').map_or("", |at| &after[at..])),
            None => line.to_owned(),
        };
        out.push_str(&kept);
        out.push('\n');
    }
    out
}

#[test]
fn live_is_what_the_saved_dump_says() {
    if !possible() {
        return;
    }
    for case in ["seed/in-sync", "kitchen-sink/node2"] {
        for variant in ["nft", "legacy"] {
            let room =
                room(&[("4", &loadable(&format!("{case}/save.txt"))), ("6", &loadable(&format!("{case}/save6.txt")))]);
            let output = in_namespace(
                room.path(),
                &format!(
                    "iptables-{variant}-restore <$ROOM/4; ip6tables-{variant}-restore <$ROOM/6
                     iptables-{variant}-save >$ROOM/saved; ip6tables-{variant}-save >>$ROOM/saved
                     $KUBE_IPT show -o json >$ROOM/live 2>$ROOM/notes
                     $KUBE_IPT show -o json -f $ROOM/saved >$ROOM/read"
                ),
            );
            assert!(output.status.success(), "{case} {variant}: {}", text(&output.stderr));
            let (live, read) = (document(&room, "live"), document(&room, "read"));
            assert!(live["services"].as_array().is_some_and(|s| s.len() >= 5), "{live:#}");
            assert_eq!(live["services"], read["services"], "{case} {variant}");
            for field in ["backend", "tables", "families", "partial"] {
                assert_eq!(live["source"][field], read["source"][field], "{case} {variant} {field}");
            }
            assert_eq!(live["source"]["from"], "local");
            assert_eq!(live["source"]["backend"], if variant == "nft" { "nf_tables" } else { "legacy" });
        }
    }
}

#[test]
fn looking_creates_no_legacy_table() {
    if !possible() {
        return;
    }
    let room = room(&[("4", &loadable("seed/in-sync/save.txt"))]);
    let script = "iptables-nft-restore <$ROOM/4; $KUBE_IPT list -v 2>&1; cat /proc/net/ip_tables_names";
    let output = in_namespace(room.path(), script);
    let stdout = text(&output.stdout);
    assert!(stdout.contains("note: ran iptables-nft -w 5 -t nat -S\n"), "{stdout}");
    assert!(!stdout.contains("iptables-legacy"), "{stdout}");
    assert!(stdout.ends_with("ok\n"), "/proc names a legacy table: {stdout}");
}

#[test]
fn a_connection_is_followed_through_the_live_tables() {
    if !possible() {
        return;
    }
    for variant in ["nft", "legacy"] {
        let room = room(&[("4", &loadable("kitchen-sink/node2/save.txt"))]);
        // The addresses of this host are the node's; what is not tracked is not translated.
        let script = format!(
            "ip link set lo up; ip address add 10.200.0.12/32 dev lo; iptables-{variant}-restore <$ROOM/4
             nft list tables >$ROOM/before; cp /proc/net/ip_tables_names $ROOM/legacy-before
             trace() {{ $KUBE_IPT trace --no-api --family ipv4 -o json \"$@\"; }}
             trace node :31589 -v >$ROOM/node 2>$ROOM/notes
             ip link add v0 type veth peer name v1; ip address add 172.17.0.1/16 dev v0; ip link set v0 up; ip link set v1 up
             ip route add default dev v0 src 10.200.0.12; trace node 10.96.78.10:80 >$ROOM/routed 2>/dev/null
             nft list tables >$ROOM/after; cp /proc/net/ip_tables_names $ROOM/legacy-after
             iptables-{variant} -t raw -A PREROUTING -s 192.0.2.0/24 -j CT --notrack
             iptables-{variant} -t mangle -A PREROUTING -s 198.51.100.0/24 -j DROP
             trace 192.0.2.7 10.96.78.10:80 >$ROOM/untracked 2>/dev/null
             trace 198.51.100.7 10.96.78.10:80 >$ROOM/dropped 2>/dev/null"
        );
        let output = in_namespace(room.path(), &script);
        assert!(output.status.success(), "{variant}: {}", text(&output.stderr));
        let node = document(&room, "node");
        assert_eq!(
            (&node["verdict"], &node["packet"]["source"]),
            (&"delivered".into(), &"10.200.0.12".into()),
            "{variant}"
        );
        // Of several addresses routing tells which is used.
        assert_eq!(document(&room, "routed")["packet"]["source"], "10.200.0.12", "{variant}");
        assert_eq!(document(&room, "untracked")["verdict"], "untranslated", "{variant}");
        assert_eq!(document(&room, "dropped")["verdict"], "drop", "{variant}");
        let notes = fs::read_to_string(room.path().join("notes")).expect("was written");
        assert!(notes.contains(&format!("note: ran iptables-{variant} -w 5 -t mangle -S\n")), "{notes}");
        assert!(!notes.contains("not followed"), "everything was read: {notes}");
        // Looking has made no table.
        let read = |name: &str| fs::read_to_string(room.path().join(name)).expect("was written");
        assert_eq!((read("before"), read("legacy-before")), (read("after"), read("legacy-after")), "{variant}");
    }
}

#[test]
fn rules_in_both_backends_are_told() {
    if !possible() {
        return;
    }
    let room = room(&[("4", &loadable("seed/in-sync/save.txt"))]);
    let script = "iptables-nft-restore <$ROOM/4; iptables-legacy-restore <$ROOM/4; $KUBE_IPT list --family ipv4";
    let output = in_namespace(room.path(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    let both = "note: KUBE rules in both nf_tables and legacy (ipv4): both act on traffic, only nf_tables is shown\n";
    assert!(stderr.ends_with(both), "{stderr}");
    // What iptables-nft warns of was read.
    assert!(!stderr.contains("Warning"), "{stderr}");
}

#[test]
fn a_held_lock_is_waited_for_and_then_told() {
    if !possible() {
        return;
    }
    let room = room(&[("4", &loadable("seed/in-sync/save-nat.txt"))]);
    // The lock file of this mount namespace only, so that nothing else on the machine waits with us.
    let script = "mount -t tmpfs none /run; iptables-legacy-restore <$ROOM/4
                  flock /run/xtables.lock sleep 30 & holder=$!; sleep 0.3
                  status=0; $KUBE_IPT list --family ipv4 >$ROOM/out || status=$?
                  pkill -P $holder || true; kill $holder || true; exit $status";
    let output = in_namespace(room.path(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(
        stderr.starts_with("error: cannot list rules: another program holds the xtables lock (iptables-legacy -w 5 -t nat -S waited 5 s: "),
        "{stderr}"
    );
    assert_eq!(fs::read_to_string(room.path().join("out")).expect("was written"), "");
}

#[test]
fn without_root_the_error_says_what_to_do() {
    if !possible() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    // The program may lie where others cannot look; they can in the folder made here.
    let script = "cp $KUBE_IPT $ROOM/kube-ipt; chmod 755 $ROOM $ROOM/kube-ipt
                  exec setpriv --reuid 65534 --regid 65534 --clear-groups --inh-caps=-all $ROOM/kube-ipt show nginx-service";
    let output = in_namespace(room.path(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: cannot list rules: iptables-nft -w 5 -t nat -S said \""), "{stderr}");
    assert!(stderr.contains("Permission denied (you must be root)"), "{stderr}");
    assert!(stderr.contains("\n  try:  sudo kube-ipt show nginx-service\n"), "{stderr}");
    assert!(stderr.contains("\n  try:  ssh NODE sudo iptables-save | kube-ipt show nginx-service"), "{stderr}");
    assert_eq!(text(&output.stdout), "");
}

#[test]
fn without_iptables_the_error_says_so() {
    if !possible() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let script = "cp $KUBE_IPT $ROOM/kube-ipt
                  for d in /usr/sbin /usr/local/sbin; do mount -t tmpfs none $d; done
                  if [ ! -L /sbin ]; then mount -t tmpfs none /sbin; fi
                  PATH=/nonexistent exec $ROOM/kube-ipt list";
    let output = in_namespace(room.path(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: cannot list rules: there is no iptables in PATH\n"), "{stderr}");
}

#[test]
fn a_program_that_fails_is_quoted() {
    if !possible() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    let script = r#"mkdir $ROOM/bin
        printf '#!/bin/sh\n[ "$1" = --version ] && { echo "iptables v1.8.9 (nf_tables)"; exit 0; }\necho "kernel says no" >&2; exit 3\n' >$ROOM/bin/iptables
        chmod 755 $ROOM/bin/iptables; cp $KUBE_IPT $ROOM/kube-ipt
        for d in /usr/sbin /usr/local/sbin; do mount -t tmpfs none $d; done
        if [ ! -L /sbin ]; then mount -t tmpfs none /sbin; fi
        PATH=$ROOM/bin:/usr/bin:/bin exec $ROOM/kube-ipt list --family ipv4"#;
    let output = in_namespace(room.path(), script);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    let failed = "error: cannot list rules: iptables -w 5 -t nat -S failed (exit status 3): \"kernel says no\"\n";
    assert!(stderr.starts_with(failed), "{stderr}");
}

#[test]
fn every_way_to_print_the_rules_says_the_same() {
    if !possible() {
        return;
    }
    let forms = [
        "-S",
        "-S -v",
        "-L -n",
        "-L",
        "-L -nv",
        "-L -v",
        "-L -n --line-numbers",
        "-L -nvx --line-numbers",
        "-L -nv --line-numbers",
    ];
    for variant in ["nft", "legacy"] {
        for (family, save) in [("iptables", "save.txt"), ("ip6tables", "save6.txt")] {
            let room = room(&[("rules", &loadable(&format!("kitchen-sink/node2/{save}")))]);
            let mut script =
                format!("{family}-{variant}-restore <$ROOM/rules; {family}-{variant}-save -t nat >$ROOM/whole\n");
            for (n, form) in forms.iter().enumerate() {
                let _ = writeln!(script, "{family}-{variant} -t nat {form} >$ROOM/{n}");
            }
            let output = in_namespace(room.path(), &script);
            assert!(output.status.success(), "{}", text(&output.stderr));
            let services = |name: &str| {
                let mut document = crate::run::kube_ipt("show -f").arg(room.path().join(name)).json();
                let mut services = document["services"].take();
                for service in services.as_array_mut().expect("services") {
                    // Whether rules have counters depends on the form.
                    for pool in service["pools"].as_array_mut().expect("pools") {
                        pool["balance"] = Value::Null;
                        for endpoint in pool["endpoints"].as_array_mut().expect("endpoints") {
                            endpoint["packets"] = Value::Null;
                        }
                    }
                }
                services
            };
            let whole = services("whole");
            for (n, form) in forms.iter().enumerate() {
                // Without -n ports are printed by name, and not every name is known here.
                let named_ports = !form.contains('n') && form.contains("-L");
                let listed = services(&n.to_string());
                if named_ports {
                    let count = |services: &Value| services.as_array().map(Vec::len);
                    assert_eq!(count(&listed), count(&whole), "{family}-{variant} {form}");
                } else {
                    assert_eq!(listed, whole, "{family}-{variant} {form}");
                }
            }
        }
    }
}

#[test]
fn the_node_is_this_host_where_its_own_rules_are_read() {
    if !possible() {
        return;
    }
    let room = room(&[("4", &loadable("seed/stale/save.txt"))]);
    fs::copy(node("seed/stale/cluster.json"), room.path().join("objects.json")).expect("writable");
    // By its name, by its address, and not by either; a dump is not of this host.
    let script = "iptables-nft-restore <$ROOM/4; ip link set lo up
                  run() { $KUBE_IPT show nginx-service -o json --objects $ROOM/objects.json \"$@\" >$ROOM/out 2>/dev/null; }
                  node() { grep -m 1 -o '\"node\":[^,]*' $ROOM/out | head -n 1; }
                  unshare -u sh -ec 'hostname Node1; $KUBE_IPT show nginx-service -o json --objects $ROOM/objects.json' >$ROOM/out
                  node
                  run; node
                  ip address add 172.18.0.2/32 dev lo; run; node
                  iptables-nft-save >$ROOM/saved; run -f $ROOM/saved; node";
    let objects: Value =
        serde_json::from_str(&fs::read_to_string(node("seed/stale/cluster.json")).expect("is there")).expect("JSON");
    let items = objects["items"].as_array().expect("a list");
    let second =
        items.iter().find(|item| item["kind"] == "Node" && item["metadata"]["name"] == "node2").expect("node2");
    let address = second["status"]["addresses"][0]["address"].as_str().expect("an address");
    let output = in_namespace(room.path(), &script.replace("172.18.0.2", address));
    let found = text(&output.stdout);
    let expected = "\"node\":\"node1\"\n\"node\":null\n\"node\":\"node2\"\n\"node\":null\n";
    assert_eq!(found, expected, "{}", text(&output.stderr));
}

#[test]
fn an_api_server_behind_a_firewall_is_given_up_after_five_seconds() {
    if !possible() {
        return;
    }
    let room = tempfile::tempdir().expect("a folder");
    fs::write(room.path().join("dump"), fs::read_to_string(node("seed/stale/save.txt")).expect("is there"))
        .expect("writable");
    let config = r#"{"apiVersion": "v1", "kind": "Config", "current-context": "here", "users": [],
        "contexts": [{"name": "here", "context": {"cluster": "c"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:9"}}]}"#;
    fs::write(room.path().join("config"), config).expect("writable");
    let script = "ip link set lo up; iptables-nft -A OUTPUT -p tcp --dport 9 -j DROP
                  $KUBE_IPT list -f $ROOM/dump --kubeconfig $ROOM/config";
    let started = std::time::Instant::now();
    let output = in_namespace(room.path(), script);
    assert!(started.elapsed().as_secs() < 15);
    let expected = "note: waiting for the API server; --no-api shows the rules alone\nnote: the rules are shown alone: the API server \
                    https://127.0.0.1:9 cannot be reached: no connection in 5 s\n  try:  curl -k https://127.0.0.1:9/version    (or --no-api for \
                    the rules alone)\n";
    assert_eq!(text(&output.stderr), expected);
    assert!(text(&output.stdout).contains("nginx-demo/nginx-service"));
}

#[test]
fn live_nftables_are_read_as_recorded() {
    if !possible() {
        return;
    }
    for case in ["node2", "node1-1.30"] {
        let recorded = fs::read_to_string(node(&format!("nftables/{case}/ruleset.nft"))).expect("the fixture is there");
        // kube-proxy's own tables: the others hold expressions of iptables, which nft does not load.
        let own: String = recorded
            .split_inclusive("\n}\n")
            .filter(|table| table.trim_start().lines().next().is_some_and(|line| line.ends_with("kube-proxy {")))
            .collect();
        assert_eq!(own.matches("table ip").count(), 2, "both families");
        let objects = fs::read_to_string(node(&format!("nftables/{case}/cluster.json"))).expect("the fixture is there");
        let room = room(&[("rules.nft", &own), ("cluster.json", &objects)]);
        let script = "nft -f $ROOM/rules.nft; \
                      $KUBE_IPT show --no-api -o json >$ROOM/live.json; \
                      $KUBE_IPT show --no-api -v >$ROOM/tree 2>$ROOM/said; \
                      $KUBE_IPT show --no-api -o json --family ipv6 >$ROOM/six.json; \
                      $KUBE_IPT show --no-api -o json -f $ROOM/rules.nft >$ROOM/saved.json; \
                      nft -j list ruleset >$ROOM/ruleset.json; \
                      $KUBE_IPT show --no-api -o json -f $ROOM/ruleset.json >$ROOM/json.json; \
                      for how in n jn nn; do nft -$how list ruleset >$ROOM/numbers; \
                        $KUBE_IPT show --no-api -o json -f $ROOM/numbers >$ROOM/numbers-$how.json; done; \
                      for how in t jt S jS; do nft -$how list ruleset >$ROOM/less; \
                        NODE_NAME=${NODE} $KUBE_IPT check --objects $ROOM/cluster.json -f $ROOM/less -o json >$ROOM/less-$how.json; done; \
                      nft delete table ip kube-proxy; \
                      NODE_NAME=${NODE} $KUBE_IPT check --objects $ROOM/cluster.json -o json >$ROOM/gone.json || true; \
                      NODE_NAME=${NODE} $KUBE_IPT snapshot --objects $ROOM/cluster.json -o $ROOM/gone.tar.gz; \
                      $KUBE_IPT check -f $ROOM/gone.tar.gz -o json >$ROOM/kept.json || true";
        let script = script.replace("${NODE}", &case[..5]);
        let output = in_namespace(room.path(), &script);
        assert!(output.status.success(), "{case}: {}", text(&output.stderr));
        let live = document(&room, "live.json");
        assert_eq!(live["source"]["dataplane"], "nftables");
        assert_eq!(live["services"], document(&room, "saved.json")["services"], "{case}");
        assert_eq!(live["services"], document(&room, "json.json")["services"], "{case}");
        for how in ["n", "jn", "nn"] {
            let services = document(&room, &format!("numbers-{how}.json"))["services"].clone();
            assert_eq!(live["services"], services, "{case}, nft -{how}");
        }
        // Without elements, and with names for ports, nothing can be said of Services.
        for (how, why) in [("t", "as nft -t"), ("jt", "as nft -t"), ("S", "as nft -S"), ("jS", "as nft -S")] {
            let found = document(&room, &format!("less-{how}.json"))["findings"].as_array().expect("findings").clone();
            let wrong: Vec<&Value> = found.iter().filter(|finding| finding["severity"] != "info").collect();
            assert!(wrong.is_empty(), "{case}, nft -{how}: {wrong:?}");
            let told = found.iter().filter(|f| f["id"] == "KI901").filter_map(|f| f["message"].as_str());
            assert!(told.into_iter().any(|message| message.contains(why)), "{case}, nft -{how}: {found:?}");
        }
        let six = document(&room, "six.json");
        assert!(
            six["services"].as_array().is_some_and(|all| all.iter().all(|s| s["family"] == "ipv6") && !all.is_empty())
        );
        let said = fs::read_to_string(room.path().join("said")).expect("was written");
        assert!(said.contains("ran nft -j list table ip kube-proxy") && !said.contains("ipvsadm"), "{said}");
        // A table that was asked for and is not there is missed, also by who reads the snapshot.
        let missing = |name| {
            let found = document(&room, name)["findings"].as_array().expect("findings").clone();
            found.iter().filter(|f| f["id"] == "KI104" && f["family"] == "ipv4").count()
        };
        assert!(missing("gone.json") > 10, "{case}");
        assert_eq!(missing("kept.json"), missing("gone.json"), "{case}");
    }
}

#[test]
fn a_pipe_that_stays_empty_is_told() {
    if !possible() {
        return;
    }
    let room = room(&[("4", &loadable("seed/stale/save.txt"))]);
    let script = "iptables-nft-restore <$ROOM/4; false | $KUBE_IPT list --no-api 2>&1 >/dev/null; $KUBE_IPT list --no-api 2>&1 >/dev/null";
    let told = text(&in_namespace(room.path(), script).stdout);
    assert_eq!(told, "note: nothing came on standard input: the rules are those of the running node\n");
}
