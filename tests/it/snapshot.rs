//! Snapshots: every question has the same answer from one as from what it was made of.

use std::fs;
use std::path::{Path, PathBuf};

use kube_ipt::source::{Bundle, Capture, Snapshot};
use serde_json::{Value, json};

use crate::bundles::{answer, gzip, kept, tar_of, told};
use crate::cases::all_in;
#[cfg(feature = "live")]
use crate::netns::{document, in_namespace, loadable, possible, room, text};
use crate::run::{Run, kube_ipt, node, nodes};
#[cfg(feature = "live")]
use crate::stand_in::{StandIn, ok, recorded, seed, status};

/// The flags that name a recording: its rules, its objects and its node.
fn recording(case: &Path) -> Vec<String> {
    let named = |name: &str| Some(case.join(name)).filter(|path| path.exists());
    let rules = ["save.txt", "save6.txt", "table-ip.nft", "ipvsadm-S-n.txt", "ipset-save.txt", "ip-addr-show.txt"];
    let objects = named("cluster.json").or(named("cluster.json.gz")).or(named("../cluster.json"));
    let mut flags: Vec<String> = vec!["--node".to_owned(), node_of(case)];
    for (flag, path) in rules
        .iter()
        .filter_map(|name| named(name))
        .map(|path| ("-f", path))
        .chain(objects.map(|path| ("--objects", path)))
    {
        flags.extend([flag.to_owned(), path.display().to_string()]);
    }
    flags
}

fn node_of(case: &Path) -> String {
    let about = fs::read_to_string(case.join("about.json")).unwrap_or_default();
    let about: Value = serde_json::from_str(&about).unwrap_or_default();
    let told = about["node"].as_str().map(str::to_owned);
    let of_folder = || case.file_name().and_then(|name| name.to_str()).filter(|name| name.starts_with("node"));
    told.or_else(|| of_folder().map(|name| name[..5].to_owned())).unwrap_or_else(|| "node1".to_owned())
}

fn with(run: Run, flags: &[String]) -> Run {
    flags.iter().fold(run, Run::arg)
}

/// A snapshot of what the flags name.
fn snapshot(flags: &[String], path: &Path) {
    let (_, stderr, code) = with(kube_ipt("snapshot -o").arg(path), flags).output();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn every_recording_and_its_snapshot_give_the_same_answers() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz");
    let mut compared = 0;
    for case in all_in(&nodes()) {
        let flags = recording(&case);
        let _ = fs::remove_file(&path);
        snapshot(&flags, &path);
        for question in ["show", "list", "check"] {
            let kept = kube_ipt(question).arg("-f").arg(&path);
            let label = format!("{question} {}", case.display());
            assert_eq!(told(kept), told(with(kube_ipt(question), &flags)), "{label}");
            compared += 1;
        }
        let (one, other) = (answer(with(kube_ipt("show"), &flags)), answer(kube_ipt("show -f").arg(&path)));
        for field in ["dataplane", "backend", "node", "tables", "families", "partial"] {
            assert_eq!(one["source"][field], other["source"][field], "{field} of {}", case.display());
        }
        assert_eq!(other["source"]["objects"], format!("{}:objects/cluster.json", path.display()));
    }
    assert!(compared >= 75, "only {compared} were compared");
}

#[test]
fn packets_go_the_same_way_in_a_snapshot() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz");
    let flags = recording(&nodes().join("kitchen-sink/node2"));
    snapshot(&flags, &path);
    for (from, to) in [("external", "shop/web"), ("pod", "shop/cart:http"), ("node", "10.96.0.10:53/udp")] {
        let trace = || kube_ipt("trace").arg(from).arg(to);
        let (mut one, mut other) = (answer(with(trace(), &flags)), answer(trace().arg("-f").arg(&path)));
        for document in [&mut one, &mut other] {
            document["source"].take();
            document["steps"].as_array_mut().expect("steps").iter_mut().for_each(|step| _ = step["from"].take());
        }
        assert_eq!(one, other, "{from} to {to}");
    }
}

/// When the first text says it was made, in seconds since 1970.
fn taken_at(flags: &[String]) -> u64 {
    let path = flags.iter().find(|flag| flag.ends_with("save.txt")).expect("rules");
    let text = fs::read_to_string(path).expect("readable");
    let (_, time) = text.lines().next().and_then(|line| line.split_once(" on ")).expect("a header");
    let moment = kube_ipt::net::Moment::from_dump(time).expect("a time");
    u64::try_from(moment.0).expect("after 1970")
}

#[test]
fn equal_input_gives_equal_bytes_and_a_snapshot_of_a_snapshot_is_as_good() {
    let room = tempfile::tempdir().expect("a folder");
    let at = |name: &str| room.path().join(name);
    let flags = recording(&nodes().join("kitchen-sink/node2"));
    snapshot(&flags, &at("a.tar.gz"));
    snapshot(&flags, &at("b.tar.gz"));
    let read = |name: &str| fs::read(at(name)).expect("was written");
    assert_eq!(read("a.tar.gz"), read("b.tar.gz"));
    let first = vec!["-f".to_owned(), at("a.tar.gz").display().to_string()];
    snapshot(&first, &at("c.tar.gz"));
    let again = kube_ipt("check -f").arg(at("c.tar.gz"));
    assert_eq!(told(again), told(with(kube_ipt("check"), &flags)));
    // Unpacked by hand, and packed again with a folder around it.
    let unpacked = tempfile::tempdir().expect("a folder");
    let mut files = Vec::new();
    let mut archive =
        tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(at("a.tar.gz")).expect("is there")));
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a tar");
        let name = entry.path().expect("a name").display().to_string();
        assert_eq!(entry.header().mtime().expect("a time"), taken_at(&flags));
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).expect("a tar");
        entry.unpack_in(unpacked.path()).expect("writable");
        let path = unpacked.path().join(&name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, &bytes).expect("writable");
        files.push((format!("support/{name}"), bytes));
    }
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["snapshot.json", "nodes/node2/save.txt", "nodes/node2/save6.txt", "objects/cluster.json"];
    assert_eq!(names, expected.map(|name| format!("support/{name}")));
    let expected = told(with(kube_ipt("check"), &flags));
    assert_eq!(told(kube_ipt("check -f").arg(unpacked.path())), expected);
    let (_room, packed) = kept("x.tgz", &gzip(&tar_of(&files)));
    assert_eq!(told(kube_ipt("check -f").arg(packed)), expected);
}

#[test]
fn a_snapshot_goes_through_a_pipe() {
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(["snapshot", "--demo=stale", "-o", "-"])
        .stdin(std::process::Stdio::null())
        .output()
        .expect("the program runs");
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), b"".as_slice()));
    assert_eq!(told(kube_ipt("check").stdin(output.stdout)), told(kube_ipt("check --demo=stale")));
}

#[test]
fn a_file_is_written_whole_or_not_at_all() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz");
    let shown = path.display();
    let told = kube_ipt("snapshot --demo -o").arg(&path).stdout();
    let expected = format!("{shown}: node node1, 1 listing, 3 Services, 3 EndpointSlices, 5 Pods, 3 Nodes, ");
    assert!(told.starts_with(&expected), "{told}");
    let before = fs::read(&path).expect("was written");
    let error = format!(
        "error: {shown} is there already and is not overwritten\n  try:  --force to overwrite it, or another name"
    );
    kube_ipt("snapshot --demo=stale -o").arg(&path).status(2).stderr(error).stdout();
    assert_eq!(fs::read(&path).expect("is there"), before);
    kube_ipt("snapshot --demo=stale --force -o").arg(&path).stdout();
    assert_ne!(fs::read(&path).expect("is there"), before);
    let lost = room.path().join("no/such/folder.tar.gz");
    let (said, parent) = (lost.display(), room.path().join("no/such"));
    let error = format!("error: cannot write {said}: no such file or directory\n  try:  mkdir -p {}", parent.display());
    kube_ipt("snapshot --demo -o").arg(&lost).status(2).stderr(error).stdout();
    let folder = room.path().display();
    let error = format!(
        "error: cannot write {folder}: it is no regular file\n  try:  give the name of a file, or - for stdout"
    );
    kube_ipt("snapshot --demo -o").arg(room.path()).status(2).stderr(error).stdout();
    // What cannot be answered leaves nothing.
    let (_, _, status) = kube_ipt("snapshot -f /nonexistent -o").arg(room.path().join("t.tar.gz")).output();
    assert_eq!(status, Some(2));
    assert_eq!(fs::read_dir(room.path()).expect("readable").count(), 1, "nothing else is left there");
}

/// Findings and endpoints of an answer without names and addresses, in an order that does not depend on them.
fn nameless(run: Run) -> Vec<String> {
    let mut document = answer(run);
    if document["summary"].is_object() {
        // It names the Services it is about.
        document["summary"]["cause"].take();
    }
    let mut told: Vec<String> = vec![document["summary"].to_string()];
    for finding in document["findings"].as_array().into_iter().flatten() {
        let kept = ["code", "severity", "protocol", "reason", "share"].map(|field| finding[field].to_string());
        told.push(format!("finding {}", kept.join(" ")));
    }
    for service in document["services"].as_array().into_iter().flatten() {
        let kept = ["protocol", "family", "type", "status", "session_affinity_seconds"];
        let mut of_service: Vec<String> = kept.iter().map(|field| service[field].to_string()).collect();
        for frontend in service["frontends"].as_array().into_iter().flatten() {
            let verdicts = frontend["routes"].as_array().into_iter().flatten();
            let verdicts: Vec<String> = verdicts.map(|r| format!("{} {}", r["verdict"], r["masquerade"])).collect();
            of_service.push(format!("{} {} {verdicts:?}", frontend["kind"], frontend["port"]));
        }
        for pool in service["pools"].as_array().into_iter().flatten() {
            let endpoints = pool["endpoints"].as_array().into_iter().flatten();
            let mut endpoints: Vec<String> =
                endpoints.map(|e| format!("{} {} {}", e["probability"], e["state"], e["local"])).collect();
            endpoints.sort();
            of_service.push(format!("{} {} {endpoints:?}", pool["policy"], pool["undelivered"]));
        }
        of_service[5..].sort();
        told.push(of_service.join(" "));
    }
    told.sort();
    told
}

/// The files of a snapshot, in their order.
fn files_of(path: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(fs::File::open(path).expect("is there")));
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("a tar");
        let (name, mut text) = (entry.path().expect("a name").display().to_string(), String::new());
        std::io::Read::read_to_string(&mut entry, &mut text).expect("text");
        files.push((name, text));
    }
    files
}

#[test]
fn a_redacted_snapshot_gives_the_same_answers_and_tells_no_names() {
    let room = tempfile::tempdir().expect("a folder");
    let (path, key) = (room.path().join("s.tar.gz"), room.path().join("key"));
    fs::write(&key, "correct horse battery staple").expect("writable");
    for case in all_in(&nodes()) {
        let flags = recording(&case);
        let run = with(kube_ipt("snapshot --force --redact --redact-key").arg(&key).arg("-o").arg(&path), &flags);
        let (_, stderr, code) = run.output();
        assert_eq!(code, Some(0), "{stderr}");
        assert!(stderr.contains("note: names and addresses are pseudonyms; kept are ports, "), "{stderr}");
        for question in ["show", "check"] {
            let redacted = nameless(kube_ipt(question).arg("-f").arg(&path));
            assert_eq!(redacted, nameless(with(kube_ipt(question), &flags)), "{question} {}", case.display());
        }
        let files = files_of(&path);
        let texts = files.iter().flat_map(|(name, text)| [name.as_str(), text]).collect::<Vec<_>>().join("\n");
        let facts = answer(with(kube_ipt("show"), &flags));
        for service in facts["services"].as_array().expect("services") {
            // A word such as sctp is a protocol too.
            let name = service["service"].as_str().and_then(|name| name.split(':').next()).expect("a name");
            let known = ["default/kubernetes", "kube-system/kube-dns"].contains(&name);
            assert!(known || !texts.contains(name), "{name} of {}", case.display());
            for endpoint in
                service["pools"].as_array().into_iter().flatten().filter_map(|p| p["endpoints"].as_array()).flatten()
            {
                if let Some(pod) = endpoint["pod"].as_str().and_then(|pod| pod.split('/').next_back()) {
                    assert!(!texts.contains(pod), "{pod} of {}", case.display());
                }
            }
        }
        let here = case.display().to_string();
        assert!(!texts.contains(&here) && !texts.contains(&room.path().display().to_string()), "{here}");
        let index: Value = serde_json::from_str(&files[0].1).expect("JSON");
        assert_eq!((&index["redacted"], &index["notes"]), (&json!(true), &json!([])));
    }
}

#[test]
fn the_same_key_gives_the_same_names_and_none_gives_new_ones() {
    let room = tempfile::tempdir().expect("a folder");
    let at = |name: &str| room.path().join(name);
    fs::write(at("key"), "correct horse battery staple").expect("writable");
    fs::write(at("short"), "hunter2").expect("writable");
    let run = |name: &str| kube_ipt("snapshot --demo --redact -o").arg(at(name));
    for name in ["a", "b"] {
        assert_eq!(run(name).arg("--redact-key").arg(at("key")).output().2, Some(0));
    }
    for name in ["c", "d"] {
        assert_eq!(run(name).output().2, Some(0));
    }
    let read = |name: &str| files_of(&at(name));
    assert_eq!(read("a"), read("b"));
    assert!(read("a") != read("c") && read("c") != read("d"));
    let error = format!(
        "error: the key {} has 7 bytes, and fewer than 16 can be guessed\n  try:  head -c 32 /dev/urandom > FILE",
        at("short").display()
    );
    run("e").arg("--redact-key").arg(at("short")).status(2).stderr(error).stdout();
    assert!(!at("e").exists());
}

/// A snapshot of several nodes, as it may come from a whole cluster.
fn of_two_nodes() -> (tempfile::TempDir, PathBuf) {
    let node = |name: &str| Bundle {
        node: Some(name.to_owned()),
        captures: vec![Capture {
            label: "save.txt".to_owned(),
            text: fs::read_to_string(node(&format!("kitchen-sink/{name}/save.txt")))
                .expect("the recording is there")
                .into(),
            command: None,
        }],
        ..Bundle::default()
    };
    let snapshot = Snapshot { nodes: vec![node("node1"), node("node3")], ..Snapshot::default() };
    kept("two.tar.gz", &snapshot.write().expect("in memory"))
}

#[test]
fn a_snapshot_of_several_nodes_asks_which() {
    let (_room, path) = of_two_nodes();
    let shown = path.display();
    let error = format!("error: {shown} holds the rules of 2 nodes: node1, node3\n  try:  --node node1");
    kube_ipt("show -f").arg(&path).status(2).stderr(error).stdout();
    let error = format!("error: {shown} holds no node 'node2'; it has node1, node3\n  try:  --node node1");
    kube_ipt("show --node node2 -f").arg(&path).status(2).stderr(error).stdout();
    let single = kube_ipt("show --node node3 -f").arg(node("kitchen-sink/node3/save.txt"));
    assert_eq!(told(kube_ipt("show --node node3 -f").arg(&path)), told(single));
}

#[test]
fn a_snapshot_is_of_its_node() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz");
    kube_ipt("snapshot --demo -o").arg(&path).stdout();
    let error = format!(
        "error: {} holds the rules of node node1, not of 'node2'\n  try:  --node node1, or without --node",
        path.display()
    );
    kube_ipt("show --node node2 -f").arg(&path).status(2).stderr(error).stdout();
}

/// What is changed in what a snapshot says of itself.
type Change<'c> = &'c dyn Fn(&mut Value);

#[test]
fn snapshots_of_another_form_or_with_parts_lost_are_refused() {
    let index = |change: &dyn Fn(&mut Value)| {
        let mut index = json!({
            "schema": "kube-ipt-snapshot/v1", "tool": "kube-ipt 9", "nodes": [
                {"name": "node1", "origin": "saved", "texts": [{"file": "nodes/node1/a.txt", "label": "a"}]}
            ]
        });
        change(&mut index);
        let rules = fs::read(node("seed/in-sync/save.txt")).expect("the recording is there");
        let files =
            vec![("snapshot.json".to_owned(), index.to_string().into_bytes()), ("nodes/node1/a.txt".to_owned(), rules)];
        kept("s.tar", &tar_of(&files))
    };
    let (_room, path) = index(&|_| {});
    kube_ipt("list -f").arg(&path).stdout();
    let newer = "a newer kube-ipt reads it";
    let again = "fetch or make it again";
    let changes: [(Change<'_>, String, &str); 3] = [
        (
            &|index| index["schema"] = json!("kube-ipt-snapshot/v7"),
            "is a snapshot of form kube-ipt-snapshot/v7, and this kube-ipt reads kube-ipt-snapshot/v1".to_owned(),
            newer,
        ),
        (
            &|index| index["nodes"][0]["texts"][0]["file"] = json!("nodes/node1/b.txt"),
            "is a snapshot that lacks nodes/node1/b.txt: a part of it was lost".to_owned(),
            again,
        ),
        (
            &|index| {
                index["nodes"][0]["texts"][0]["command"] =
                    json!({"language": "bpf", "family": "ipv4", "backend": null, "table": "nat"});
            },
            "says of nodes/node1/a.txt what this kube-ipt does not know".to_owned(),
            newer,
        ),
    ];
    for (change, what, hint) in changes {
        let (_room, path) = index(change);
        let error = format!("error: {} {what}\n  try:  {hint}", path.display());
        kube_ipt("list -f").arg(&path).status(2).stderr(error).stdout();
    }
}

#[test]
#[cfg(feature = "live")]
fn all_that_later_questions_need_is_asked_of_the_server() {
    let with_pods = |target: &str| match target {
        "/api/v1/pods?limit=500&resourceVersion=0" => ok(recorded("pods.json")),
        _ => seed(target),
    };
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz");
    let server = StandIn::new(with_pods);
    let rules = node("seed/stale/save.txt");
    let told_by_run = server.run("snapshot --node node1 -f").arg(&rules).arg("-o").arg(&path).stdout();
    assert!(told_by_run.contains("node node1, 1 listing, 3 Services, 3 EndpointSlices, "), "{told_by_run}");
    let expected = [
        "GET /api/v1/namespaces/kube-system/configmaps/kube-proxy",
        "GET /api/v1/nodes/node1",
        "GET /api/v1/nodes?limit=500&resourceVersion=0",
        "GET /api/v1/pods?limit=500&resourceVersion=0",
        "GET /api/v1/services?limit=500&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/endpointslices?limit=500&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
    let live = told(StandIn::new(with_pods).run("check --node node1 -f").arg(&rules));
    assert_eq!(told(kube_ipt("check -f").arg(&path)), live);
    assert!(!live.1.is_empty(), "something is wrong with it");
    // What was forbidden is told now and whenever the snapshot is read.
    let path = room.path().join("t.tar.gz");
    let server = StandIn::new(move |target| match target {
        "/api/v1/pods?limit=500&resourceVersion=0" => status(403, "unauthorized-or-forbidden-403.json"),
        _ => seed(target),
    });
    let (_, stderr, code) = server.run("snapshot --node node1 -f").arg(&rules).arg("-o").arg(&path).output();
    assert_eq!(code, Some(0), "{stderr}");
    let note = stderr.lines().find(|line| line.contains("whose addresses stale endpoints have now")).expect("a note");
    let (_, stderr, _) = kube_ipt("check -f").arg(&path).output();
    assert!(stderr.lines().any(|line| line == note), "{note}\n{stderr}");
}

#[test]
#[cfg(feature = "live")]
fn a_snapshot_of_the_running_node_says_what_the_node_says() {
    if !possible() {
        return;
    }
    for variant in ["nft", "legacy"] {
        let room =
            room(&[("4", &loadable("kitchen-sink/node2/save.txt")), ("6", &loadable("kitchen-sink/node2/save6.txt"))]);
        let output = in_namespace(
            room.path(),
            &format!(
                "iptables-{variant}-restore <$ROOM/4; ip6tables-{variant}-restore <$ROOM/6
                 nft list tables >$ROOM/before; cp /proc/net/ip_tables_names $ROOM/legacy-before
                 $KUBE_IPT show -o json >$ROOM/live 2>$ROOM/notes; $KUBE_IPT check -o json >$ROOM/checked 2>/dev/null || true
                 $KUBE_IPT snapshot -o $ROOM/s.tar.gz
                 nft list tables >$ROOM/after; cp /proc/net/ip_tables_names $ROOM/legacy-after
                 $KUBE_IPT show -o json -f $ROOM/s.tar.gz >$ROOM/read 2>$ROOM/read-notes
                 $KUBE_IPT check -o json -f $ROOM/s.tar.gz >$ROOM/read-checked 2>/dev/null || true"
            ),
        );
        assert!(output.status.success(), "{variant}: {}", text(&output.stderr));
        let (live, read) = (document(&room, "live"), document(&room, "read"));
        assert!(live["services"].as_array().is_some_and(|s| s.len() >= 20), "{live:#}");
        assert_eq!(live["services"], read["services"], "{variant}");
        for field in ["backend", "tables", "families", "partial"] {
            assert_eq!(live["source"][field], read["source"][field], "{variant} {field}");
        }
        assert_eq!(document(&room, "checked")["summary"], document(&room, "read-checked")["summary"], "{variant}");
        let file = |name: &str| fs::read_to_string(room.path().join(name)).expect("was written");
        // Warnings of the tables that only the snapshot has come to those of the others.
        let read = file("read-notes");
        assert!(file("notes").lines().all(|note| read.lines().any(|other| other == note)), "{variant}: {read}");
        assert_eq!((file("before"), file("legacy-before")), (file("after"), file("legacy-after")), "{variant}");
        let shown = text(&output.stdout);
        assert!(shown.contains("/s.tar.gz: a node whose name is not known, "), "{shown}");
        assert!(shown.contains(" listings, no objects, "), "{shown}");
    }
}

#[test]
#[cfg(feature = "live")]
fn a_full_disk_leaves_no_file() {
    if !possible() {
        return;
    }
    let room = room(&[("old", "kept")]);
    let script = "mkdir $ROOM/disk; mount -t tmpfs -o size=8k none $ROOM/disk; cp $ROOM/old $ROOM/disk/s.tar.gz
                  head -c 8192 /dev/zero >$ROOM/disk/filler || true
                  status=0; $KUBE_IPT snapshot --demo --force -o $ROOM/disk/s.tar.gz || status=$?
                  ls -A $ROOM/disk; cat $ROOM/disk/s.tar.gz; exit $status";
    let output = in_namespace(room.path(), script);
    assert_eq!(text(&output.stdout), "filler\ns.tar.gz\nkept", "{}", text(&output.stderr));
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("s.tar.gz: no space left on device"), "{}", text(&output.stderr));
}
