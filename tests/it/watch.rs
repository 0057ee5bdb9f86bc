//! Answers that go on: what is sent to the API server, what is said when something fails, and how it ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::afar::{Container, proxy_pod};
use crate::run::{Run, Running, kube_ipt, node};
use crate::stand_in::{Reply, StandIn, status};
use crate::terminal::on_terminal;
use crate::world::World;

/// `kube-ipt ARGS --watch -o json` of the recorded node, which no longer changes, in a cluster that does.
fn watching(server: &StandIn, args: &str) -> Running {
    let run = server.run(args).args("--watch=200ms -o json --node node1 -f").arg(node("seed/recovered/save.txt"));
    run.start()
}

/// The endpoints that Service `nginx-service` should have and has not in the rules, and those that are stale.
fn differing(document: &Value) -> (Vec<String>, Vec<String>) {
    let services = document["services"].as_array().expect("services");
    let nginx = services.iter().find(|s| s["service"] == "nginx-demo/nginx-service").expect("the Service");
    let of = |list: &Value, only: Option<&str>| -> Vec<String> {
        let all = list.as_array().map(Vec::as_slice).unwrap_or_default();
        let chosen = all.iter().filter(|e| only.is_none_or(|state| e["state"] == state));
        chosen.map(|e| e["address"].as_str().expect("an address").to_owned()).collect()
    };
    let pool = &nginx["pools"][0];
    (of(&pool["missing"], None), of(&pool["endpoints"], Some("stale")))
}

/// Gives the nginx pods these last bytes of their addresses.
fn pods(world: &World, last: &[u8]) {
    world.change("endpointslices", "nginx-service-kscpv", |slice| {
        let one = |n: &u8| json!({"addresses": [format!("10.244.3.{n}")], "conditions": {"ready": true}, "nodeName": "node3"});
        slice["endpoints"] = last.iter().map(one).collect();
    });
}

fn missing(last: u8) -> impl Fn(&Value) -> bool {
    move |document| differing(document).0.contains(&format!("10.244.3.{last}:80"))
}

/// What was asked, without the jittered time and the states.
fn asked(server: &StandIn) -> Vec<String> {
    let plain = |line: String| {
        let (path, query) = line.split_once('?').map_or((line.as_str(), ""), |(path, query)| (path, query));
        let parts = query.split('&').filter(|part| !part.starts_with("timeoutSeconds="));
        let parts: Vec<&str> =
            parts.map(|part| if part.starts_with("resourceVersion=1") { "from" } else { part }).collect();
        format!("{path}?{}", parts.join("&"))
    };
    server.asked().into_iter().map(plain).filter(|line| !line.contains("/pods?")).collect()
}

fn count(server: &StandIn, part: &str) -> usize {
    server.asked().iter().filter(|line| line.contains(part)).count()
}

/// Waits for `done`, 20 s at most.
#[track_caller]
pub(crate) fn wait(done: impl Fn() -> bool) {
    let begun = Instant::now();
    while !done() {
        assert!(begun.elapsed() < Duration::from_secs(20), "it takes too long");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn one_list_and_one_watch_a_kind_are_all_that_is_asked() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "list");
    let first = run.json();
    assert_eq!(differing(&first), (Vec::new(), Vec::new()));
    assert_eq!(first["watch"]["outdated_since"], Value::Null);
    pods(&world, &[2, 3, 9]);
    let second = run.json_where(missing(9));
    assert_eq!(differing(&second).1, ["10.244.1.4:80"]);
    world.change("services", "kube-dns", |service| service["spec"]["sessionAffinity"] = "ClientIP".into());
    run.json_where(|document| document.to_string().contains("policy-mismatch"));
    pods(&world, &[2, 3, 9, 10]);
    run.json_where(missing(10));
    world.delete("services", "nginx-service");
    run.json_where(|document| document.to_string().contains("stale-service"));
    let (_, stderr, code) = run.end("INT");
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
    let expected = [
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dnode1&resourceVersion=0",
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dnode1&watch=1&from&allowWatchBookmarks=true",
        "GET /api/v1/services?limit=500&resourceVersion=0",
        "GET /api/v1/services?watch=1&from&allowWatchBookmarks=true",
        "GET /apis/discovery.k8s.io/v1/endpointslices?limit=500&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/endpointslices?watch=1&from&allowWatchBookmarks=true",
    ];
    assert_eq!(asked(&server), expected);
}

#[test]
fn one_service_is_watched_by_its_name() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "show nginx-demo/nginx-service");
    run.json();
    pods(&world, &[2, 3, 9]);
    run.json_where(missing(9));
    world.change("services", "kube-dns", |service| service["spec"]["clusterIP"] = "10.96.0.11".into());
    assert!(run.is_silent_for(800), "another Service is no change");
    assert_eq!(run.end("TERM").2, Some(0));
    let expected = [
        "GET /api/v1/namespaces/nginx-demo/services?fieldSelector=metadata.name%3Dnginx-service&resourceVersion=0",
        "GET /api/v1/namespaces/nginx-demo/services?fieldSelector=metadata.name%3Dnginx-service&watch=1&from&allowWatchBookmarks=true",
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dnode1&resourceVersion=0",
        "GET /api/v1/nodes?fieldSelector=metadata.name%3Dnode1&watch=1&from&allowWatchBookmarks=true",
        "GET /apis/discovery.k8s.io/v1/namespaces/nginx-demo/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dnginx-service&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/namespaces/nginx-demo/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dnginx-service&watch=1&from&allowWatchBookmarks=true",
    ];
    assert_eq!(asked(&server), expected);
}

#[test]
fn a_pod_is_found_by_its_name_and_its_services_followed() {
    let pods = r#"{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[
        {"metadata":{"name":"web-0","namespace":"nginx-demo"},"status":{"podIPs":[{"ip":"10.244.3.2"}]}}]}"#;
    let world = World::new();
    let server = world.serve(move |target| match target {
        _ if !target.contains("/pods?") => None,
        _ if target.contains("watch=1") => Some(Reply::Silence),
        _ => Some(Reply::Body(200, pods.as_bytes().to_vec())),
    });
    let run = watching(&server, "show web-0");
    assert_eq!(run.json()["services"][0]["service"], "nginx-demo/nginx-service");
    assert_eq!(run.end("INT").2, Some(0));
}

#[test]
fn a_state_the_server_forgot_is_listed_again() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "list");
    run.json();
    pods(&world, &[2, 3, 9]);
    run.json_where(missing(9));
    world.forget();
    wait(|| count(&server, "endpointslices?limit=500") == 2 && count(&server, "/services?limit=500") == 2);
    let again: Vec<String> = server.asked().into_iter().filter(|line| line.ends_with("?limit=500")).collect();
    assert_eq!(again.len(), 2, "the newest state is asked for: a cache may be as old as what was forgotten");
    pods(&world, &[2, 3, 10]);
    run.json_where(missing(10));
    assert_eq!(run.end("INT").1, "", "it is no trouble");
}

#[test]
fn half_an_event_is_none() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "list");
    run.json();
    for (last, cuts) in [(9, true), (10, false), (11, true)] {
        wait(|| count(&server, "endpointslices?watch=1") > 0);
        world.end_watches(cuts);
        pods(&world, &[2, 3, last]);
        run.json_where(missing(last));
    }
    assert_eq!(count(&server, "limit=500"), 2, "watches go on from where they were");
    let (_, stderr, code) = run.end("INT");
    assert_eq!((stderr.as_str(), code), ("", Some(0)));
}

#[test]
fn a_server_that_restarts_is_said_twice_and_nothing_is_missed() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "list");
    run.json();
    // A watch that is only being opened would be cut, and say so, where one that stands ends.
    wait(|| count(&server, "watch=") >= 3);
    assert!(run.is_silent_for(500));
    server.stop();
    let old = run.json_where(|document| document["watch"]["outdated_since"].is_string());
    assert_eq!(differing(&old), (Vec::new(), Vec::new()), "the last known state stays");
    pods(&world, &[2, 3, 9]);
    server.start_again();
    let new = run.json_where(|document| missing(9)(document) && document["watch"]["outdated_since"].is_null());
    assert_eq!(differing(&new).1, ["10.244.1.4:80"]);
    assert_eq!(count(&server, "limit=500"), 2, "it is not listed again");
    let (_, stderr, code) = run.end("INT");
    assert_eq!(code, Some(0));
    let said: Vec<&str> = stderr.lines().filter(|line| line.starts_with("note:")).collect();
    let [gone, back] = said.as_slice() else { panic!("{stderr}") };
    let url = server.url();
    assert!(gone.starts_with(&format!("note: the API server {url} cannot be reached: ")), "{gone}");
    assert!(gone.ends_with(" UTC stays"), "{gone}");
    assert_eq!(*back, format!("note: the API server {url} answers again"));
}

#[test]
fn a_server_that_comes_later_joins_the_rules() {
    let world = World::new();
    let server = world.serve(|_| None);
    server.stop();
    let run = watching(&server, "list");
    assert_eq!(run.json()["source"]["objects"], Value::Null);
    server.start_again();
    run.json_where(|document| document["source"]["objects"].is_string());
    let (_, stderr, code) = run.end("INT");
    assert_eq!(code, Some(0));
    assert!(stderr.starts_with("note: the rules are shown alone: the API server "), "{stderr}");
    assert!(stderr.trim_end().ends_with(" answers again"), "{stderr}");
}

#[test]
fn what_must_not_be_watched_leaves_the_rules_and_names_the_right() {
    let world = World::new();
    let server = world.serve(|target| {
        let forbidden = target.contains("/services?") && target.contains("watch=1");
        forbidden.then(|| status(403, "unauthorized-or-forbidden-403.json"))
    });
    let run = watching(&server, "list");
    run.json_where(|document| document["source"]["objects"].is_null());
    let (_, stderr, _) = run.end("INT");
    assert_eq!(stderr.matches("the API server forbids to read services").count(), 1, "{stderr}");
    assert!(stderr.contains(r#"resources: ["services"], verbs: ["get", "list", "watch"]"#), "{stderr}");
}

#[test]
fn services_that_must_be_read_are_an_error_at_the_first_reading() {
    let server = StandIn::new(|_| status(403, "unauthorized-or-forbidden-403.json"));
    let run = server.run("list --require-api --watch -f").arg(node("seed/recovered/save.txt"));
    let (stdout, stderr, code) = run.output();
    assert_eq!((stdout.as_str(), code), ("", Some(2)));
    assert!(stderr.starts_with("error: the API server forbids to read "), "{stderr}");
}

#[test]
fn ten_changes_a_second_are_seen_where_they_last() {
    let world = World::new();
    let server = world.serve(|_| None);
    let run = watching(&server, "list");
    run.json();
    let writer = thread::spawn(move || {
        for round in 0..50 {
            pods(&world, &[2, 3, 100 + round]);
            // Every tenth state lasts.
            thread::sleep(Duration::from_millis(if round % 10 == 9 { 1500 } else { 100 }));
        }
    });
    let mut seen = Vec::new();
    while seen.last() != Some(&149) {
        let (missing, _) = differing(&run.json());
        let last = missing.iter().filter_map(|address| address.split(['.', ':']).nth(3)?.parse::<u8>().ok()).max();
        seen.extend(last);
    }
    writer.join().expect("no thread failed");
    assert!([109, 119, 129, 139].iter().all(|lasting| seen.contains(lasting)), "{seen:?}");
    assert!(seen.is_sorted(), "no state comes back: {seen:?}");
    assert!(run.is_silent_for(500));
    assert_eq!(run.end("INT").2, Some(0));
}

/// A folder with a dump that a test rewrites.
struct Dump(tempfile::TempDir);

impl Dump {
    fn new(recording: &str) -> Self {
        let dump = Self(tempfile::tempdir().expect("a folder"));
        dump.becomes(recording);
        dump
    }

    fn path(&self) -> String {
        self.0.path().join("dump").display().to_string()
    }

    fn becomes(&self, recording: &str) {
        self.is(&fs::read_to_string(node(recording)).expect("the recording"));
    }

    fn is(&self, text: &str) {
        fs::write(self.path(), text).expect("writable");
    }

    fn watched(&self, args: &str) -> Run {
        kube_ipt(args).args("--no-api --watch=200ms -f").arg(self.path())
    }
}

#[test]
fn a_dump_that_is_written_again_is_read_again() {
    let dump = Dump::new("seed/in-sync/save-c.txt");
    let run = dump.watched("list -o json").start();
    run.json();
    let text = fs::read_to_string(dump.path()).expect("the dump");
    dump.is(&text.replace("[0:0]", "[7:420]"));
    assert!(run.is_silent_for(1000), "counters are no change");
    // A cron job that is not done yet.
    dump.is("");
    let empty = run.json();
    assert!(empty["watch"]["outdated_since"].is_string(), "the last answer stays and is marked");
    assert_eq!(empty["services"].as_array().map(Vec::len), Some(5));
    dump.becomes("seed/in-sync/save.txt");
    assert!(run.json()["watch"]["outdated_since"].is_null());
    let (lines, stderr, code) = run.end("INT");
    assert_eq!((lines.len(), code), (0, Some(0)));
    let first = format!("note: {} is empty; ", dump.path());
    assert!(stderr.starts_with(&first), "{stderr}");
    assert!(stderr.ends_with("note: the answer can be made again\n"), "{stderr}");
    assert_eq!(stderr.matches("note:").count(), 2, "{stderr}");
}

#[test]
fn objects_that_are_written_again_are_read_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let objects = folder.path().join("cluster.json");
    fs::copy(node("seed/recovered/cluster.json"), &objects).expect("writable");
    let run = kube_ipt("list --watch=200ms -o json --node node1 -f").arg(node("seed/recovered/save.txt"));
    let run = run.arg("--objects").arg(&objects).start();
    assert_eq!(differing(&run.json()), (Vec::new(), Vec::new()));
    let text = fs::read_to_string(&objects).expect("readable").replace("10.244.3.2", "10.244.3.29");
    fs::write(&objects, text).expect("writable");
    assert_eq!(differing(&run.json()).0, ["10.244.3.29:80"]);
    assert_eq!(run.end("INT").2, Some(0));
}

#[test]
fn a_snapshot_that_is_watched_has_its_own_objects() {
    let server = World::new().serve(|_| None);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("node.tar.gz");
    let take = |recording: &str| {
        let run = kube_ipt(&format!("snapshot --node node1 -f {}", node(&format!("{recording}/save.txt"))));
        let new = folder.path().join("new.tar.gz");
        let taken = run.arg("--objects").arg(node(&format!("{recording}/cluster.json"))).arg("-o").arg(&new).output();
        assert_eq!(taken.2, Some(0), "{}", taken.1);
        fs::rename(new, &file).expect("ours");
    };
    take("seed/in-sync");
    let run = server.run("list --watch=200ms -o json -f").arg(&file).start();
    assert_eq!(differing(&run.json()), (Vec::new(), Vec::new()));
    take("seed/stale");
    assert_eq!(differing(&run.json()), (vec!["10.244.1.4:80".to_owned()], vec!["10.244.1.3:80".to_owned()]));
    assert_eq!(run.end("INT").2, Some(0));
}

#[test]
fn text_and_yaml_give_whole_answers() {
    let dump = Dump::new("seed/in-sync/save.txt");
    let run = dump.watched("list").start();
    let stamp = run.line();
    assert!(stamp.starts_with("── 20") && stamp.ends_with(" UTC"), "{stamp}");
    let plain = kube_ipt("list --no-api -f").arg(dump.path()).stdout();
    let answer: Vec<String> = plain.lines().map(|_| run.line()).collect();
    assert_eq!(answer.join("\n"), plain.trim_end());
    assert_eq!(run.end("INT").2, Some(0));
    let run = dump.watched("show -o yaml").start();
    assert_eq!([run.line(), run.line()], ["---", "schema: kube-ipt/v1"]);
    dump.becomes("seed/stale/save.txt");
    dump.becomes("kitchen-sink/node2/save.txt");
    while run.line() != "---" {}
    assert_eq!(run.end("INT").2, Some(0));
}

#[test]
fn the_exit_status_is_that_of_the_last_check() {
    let dump = Dump::new("seed/in-sync/save.txt");
    let run = dump.watched("check -o json").start();
    assert_eq!(run.json()["summary"]["errors"], 0);
    let text = fs::read_to_string(dump.path()).expect("the dump");
    let cut: String =
        text.lines().filter(|line| !line.starts_with("-A PREROUTING")).map(|l| l.to_owned() + "\n").collect();
    dump.is(&cut);
    let found = run.json();
    assert_ne!(found["findings"].as_array().map(Vec::len), Some(0));
    assert_eq!(run.end("TERM").2, Some(1));
}

#[test]
fn a_reader_that_goes_is_no_error() {
    let dump = Dump::new("seed/in-sync/save.txt");
    let mut child = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(["list", "--no-api", "--watch=200ms", "-o", "json", "-f", &dump.path()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program starts");
    drop(child.stdout.take());
    dump.becomes("kitchen-sink/node2/save.txt");
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

#[test]
fn standard_input_cannot_be_watched() {
    let error = "error: --watch reads again and again, and standard input can be read only once\n  try:  give a file: -f FILE    (it \
                 is read again when it changes)";
    let dump = fs::read_to_string(node("seed/in-sync/save.txt")).expect("the recording");
    kube_ipt("list --no-api --watch -f -").stdin(&dump).status(2).stderr(error).stdout();
    kube_ipt("list --no-api --watch").stdin(&dump).status(2).stderr(error).stdout();
}

#[test]
fn what_cannot_be_watched_is_refused() {
    for (args, part) in [
        ("show --watch=100ms", "at least 200ms"),
        ("show --watch --demo", "cannot be used with"),
        ("check --watch --confirm 5s", "cannot be used with"),
    ] {
        let (_, stderr, code) = kube_ipt(args).output();
        assert!(code == Some(2) && stderr.contains(part), "{args}: {stderr}");
    }
    let (stdout, stderr, code) = kube_ipt("show --no-api --watch -f /nonexistent").output();
    assert_eq!(
        (stdout.as_str(), stderr.as_str()),
        ("", "error: cannot read /nonexistent: no such file or directory\n")
    );
    assert_eq!(code, Some(2));
}

#[test]
fn a_lock_that_is_held_for_a_while_is_said_twice() {
    let room = tempfile::tempdir().expect("a folder");
    let (dump, locked) = (room.path().join("rules"), room.path().join("locked"));
    fs::copy(node("seed/in-sync/nat-S.txt"), &dump).expect("writable");
    let script = format!(
        "#!/bin/sh\ncase \"$*\" in --version) echo 'iptables v1.8.9 (nf_tables)'; exit;; *filter*) exit;; esac\n\
         if [ -e {} ]; then echo 'Another app is currently holding the xtables lock.' >&2; exit 4; fi\nexec cat {}\n",
        locked.display(),
        dump.display()
    );
    for program in ["iptables", "iptables-nft", "iptables-legacy"] {
        let path = room.path().join(program);
        fs::write(&path, &script).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let path = format!("{}:/usr/bin:/bin", room.path().display());
    let run = kube_ipt("list --no-api --family ipv4 --watch=200ms -o json").env("PATH", &path).start();
    assert_eq!(run.json()["source"]["from"], "local");
    fs::write(&locked, "").expect("writable");
    assert!(run.json()["watch"]["outdated_since"].is_string());
    fs::remove_file(&locked).expect("ours");
    assert!(run.json()["watch"]["outdated_since"].is_null());
    let (_, stderr, code) = run.end("INT");
    assert_eq!(code, Some(0));
    assert_eq!(stderr.matches("another program holds the xtables lock").count(), 1, "{stderr}");
    assert!(stderr.ends_with("note: the answer can be made again\n"), "{stderr}");
}

/// On a terminal of 12 rows and 60 columns: changes the dump once a frame is drawn, and presses Ctrl-C after the next, or after
/// some seconds.
const CHANGE: &str = r#"
begun, changed, pressed = time.time(), False, False
def step(terminal, written):
    global begun, changed, pressed
    if not changed and b"\x1b[?25h" in written:
        changed, begun = True, time.time()
        os.replace(os.environ["NEXT"], os.environ["DUMP"])
    if not pressed and ((changed and written.count(b"\x1b[?25h") > 1) or time.time() - begun > 20):
        pressed = True
        os.write(terminal, b"\x03")
followed(step, (12, 60), 0.3)
"#;

#[test]
fn a_terminal_is_redrawn_and_left_as_it_was() {
    let dump = Dump::new("seed/in-sync/save.txt");
    let next = dump.0.path().join("next");
    fs::copy(node("seed/stale/save.txt"), &next).expect("writable");
    let text = fs::read_to_string(&next).expect("readable").replace("10.244.3.3", "10.244.3.33");
    fs::write(&next, text).expect("writable");
    let args = ["show", "--no-api", "--watch=200ms", "-f", &dump.path()];
    let envs = [("DUMP", dump.path()), ("NEXT", next.display().to_string())];
    let envs: Vec<(&str, &str)> = envs.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let Some(written) = on_terminal(CHANGE, &args, &envs) else { return };
    assert!(written.ends_with("\nstatus 0\n"), "{written}");
    // Each frame begins in the corner and ends with the cursor shown.
    let frames: Vec<&str> = written.split("\u{1b}[?25l\u{1b}[H").skip(1).collect();
    assert!(frames.len() >= 2, "{written}");
    for frame in &frames {
        assert_eq!(frame.matches("\u{1b}[?25h").count(), 1, "{frame}");
        assert_eq!(frame.matches("\u{1b}[K").count(), 11, "it has as many lines as there are rows, less the cursor's");
        assert!(frame.contains(" more lines: "), "{frame}");
    }
    let last = frames.last().expect("a frame");
    assert!(last.contains("changed or new (▶)"), "{last}");
    assert!(!frames[0].contains('▶'), "nothing changed before the first");
}

/// The value of a metric without labels in a file of metrics.
fn metric(path: &std::path::Path, name: &str) -> f64 {
    let text = fs::read_to_string(path).expect("the file is always there and whole");
    assert!(text.ends_with('\n') && text.contains("kube_ipt_service_ports "), "{text}");
    let sample = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).expect("the metric");
    sample.parse().expect("a number")
}

#[test]
fn metrics_are_kept_current_and_changes_are_lines() {
    let world = World::new();
    let server = world.serve(|_| None);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("kube_ipt.prom");
    let run = server.run("check --watch=200ms --fail-on=never --output=prometheus --node node1 -f");
    let run = run.arg(node("seed/recovered/save.txt")).arg("--out").arg(&file).start();
    assert_eq!(run.json()["summary"]["warnings"], 0);
    wait(|| file.exists());
    let missing = r#"kube_ipt_findings{code="missing-endpoint",id="KI102",severity="warning"}"#;
    let time = "kube_ipt_last_check_timestamp_seconds";
    let (first, before) = (metric(&file, time), metric(&file, missing));
    assert_eq!((before, metric(&file, "kube_ipt_outdated")), (0.0, 0.0));
    wait(|| metric(&file, time) > first);
    pods(&world, &[2, 3, 9]);
    assert_eq!(run.json()["summary"]["warnings"], 1);
    wait(|| metric(&file, missing) > 0.0);
    server.stop();
    assert!(run.json()["watch"]["outdated_since"].is_string());
    wait(|| metric(&file, "kube_ipt_outdated") > 0.0);
    // Somebody puts a folder there.
    fs::remove_file(&file).expect("ours");
    fs::create_dir(&file).expect("ours");
    thread::sleep(Duration::from_secs(1));
    fs::remove_dir(&file).expect("ours");
    wait(|| file.exists());
    let (lines, stderr, code) = run.end("TERM");
    assert_eq!((lines.len(), code), (0, Some(0)), "{stderr}");
    assert_eq!(stderr.matches("it is no regular file").count(), 1, "{stderr}");
    assert_eq!(stderr.matches("note: the file is written again").count(), 1, "{stderr}");
}

#[test]
fn metrics_need_a_file_that_can_be_written() {
    let run = kube_ipt("check --no-api --watch --output=prometheus -f").arg(node("seed/in-sync/save.txt")).status(2);
    let error = "error: metrics of a watch are kept in a file, and --out names none\n  try:  --out FILE.prom";
    run.stderr(error).stdout();
    let run = kube_ipt("check --no-api --watch --output=prometheus --out /nonexistent/x.prom -f");
    let (_, stderr, code) = run.arg(node("seed/in-sync/save.txt")).output();
    assert_eq!(code, Some(2));
    assert!(stderr.ends_with(
        "error: cannot write /nonexistent/x.prom: no such file or directory\n  try:  mkdir -p /nonexistent\n"
    ));
}

#[test]
fn another_node_is_read_again_over_the_api() {
    let world = World::new();
    let container = Arc::new(Mutex::new(Container::recorded("seed/recovered")));
    let now = Arc::clone(&container);
    let server = world.serve(move |target| {
        let path = target.split_once('?').map_or(target, |(path, _)| path);
        match path {
            "/api/v1/namespaces/kube-system/pods" => {
                let list =
                    json!({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [proxy_pod("node1", true)]});
                Some(Reply::Body(200, list.to_string().into_bytes()))
            }
            "/api/v1/namespaces/kube-system/pods/kube-proxy-node1/exec" => {
                let container = now.lock().expect("no thread failed").clone();
                Some(Reply::Upgrade(Arc::new(move |asked, connection| container.speak(asked, connection))))
            }
            _ => None,
        }
    });
    let run = server.run("list --watch=200ms -o json --node node1").start();
    let first = run.json();
    assert_eq!(first["source"]["from"], "pod/kube-system/kube-proxy-node1");
    assert_eq!(differing(&first), (Vec::new(), Vec::new()));
    *container.lock().expect("no thread failed") = Container::recorded("seed/stale");
    let second = run.json();
    assert_eq!(differing(&second), (vec!["10.244.1.4:80".to_owned()], vec!["10.244.1.3:80".to_owned()]));
    assert_eq!(run.end("INT").2, Some(0));
    assert_eq!(count(&server, "/services?watch=1"), 1);
}
