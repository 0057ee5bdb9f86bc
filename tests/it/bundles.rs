//! Directories and archives, as support bundles come: what is read of them is what the single files say, and what was made
//! to hurt does not.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::cases::{all_in, gunzip};
use crate::run::{Run, kube_ipt, node, nodes, services};

/// Files by path.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

fn read(path: &str) -> Vec<u8> {
    fs::read(node(path)).expect("the recording is there")
}

fn files(these: &[(&str, Vec<u8>)]) -> Files {
    these.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())).collect()
}

pub(crate) fn tar_of(files: &Files) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        append(&mut archive, name, bytes);
    }
    archive.into_inner().expect("in memory")
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, bytes: &[u8]) {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o644);
    // Names that lead elsewhere are what is tested, and the builder refuses them.
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_cksum();
    archive.append(&header, bytes).expect("in memory");
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    packer.write_all(bytes).expect("in memory");
    packer.finish().expect("in memory")
}

fn zip_of(files: &Files) -> Vec<u8> {
    let mut archive = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        archive.start_file(name.as_str(), zip::write::SimpleFileOptions::default()).expect("in memory");
        archive.write_all(bytes).expect("in memory");
    }
    archive.finish().expect("in memory").into_inner()
}

/// A new folder with one file.
pub(crate) fn kept(name: &str, bytes: &[u8]) -> (TempDir, PathBuf) {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join(name);
    fs::write(&path, bytes).expect("writable");
    (room, path)
}

fn unpacked(files: &Files) -> TempDir {
    let room = tempfile::tempdir().expect("a folder");
    for (name, bytes) in files {
        let path = room.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(path, bytes).expect("writable");
    }
    room
}

/// The answer of a run whatever it says on stderr.
#[track_caller]
pub(crate) fn answer(run: Run) -> Value {
    let (stdout, stderr, status) = run.arg("-o").arg("json").output();
    assert!(matches!(status, Some(0 | 1)), "{stderr}");
    serde_json::from_str(&stdout).expect("stdout is JSON")
}

/// Services and findings, without the names of files and what depends on the form of a line.
#[track_caller]
pub(crate) fn told(run: Run) -> (Value, Vec<Value>) {
    let document = answer(run);
    let mut findings = document["findings"].as_array().cloned().unwrap_or_default();
    for finding in &mut findings {
        finding["evidence"].take();
    }
    let services = if document["services"].is_array() { services(document) } else { document["summary"].clone() };
    (services, findings)
}

/// The same files in every form of a collection give the same as `expected`.
#[track_caller]
fn every_form_gives(files: &Files, expected: &(Value, Vec<Value>), args: &str) {
    let folder = unpacked(files);
    assert_eq!(&told(kube_ipt(args).arg("-f").arg(folder.path())), expected, "a folder");
    let tar = tar_of(files);
    for (name, bytes) in
        [("a.tar", tar.clone()), ("a.tar.gz", gzip(&tar)), ("a.zip", zip_of(files)), ("told-by-its-bytes", gzip(&tar))]
    {
        let (_room, path) = kept(name, &bytes);
        assert_eq!(&told(kube_ipt(args).arg("-f").arg(&path)), expected, "{name}");
        assert_eq!(&told(kube_ipt(args).stdin(&bytes)), expected, "{name} on standard input");
        assert_eq!(&told(kube_ipt(args).arg("-f").arg("-").stdin(&bytes)), expected, "{name} as -");
    }
}

#[test]
fn a_folder_is_read_in_the_most_faithful_form_of_each_table() {
    let label = node("seed/in-sync");
    let note = format!(
        "note: {label}: expected.json is neither rules nor objects\n\
         note: {label}: read save-c.txt, save6.txt; the same tables in other files were left aside: 7 \
         (nat-L-n-line-numbers.txt, nat-L-n-v.txt, nat-S-grep-KUBE.txt, …)"
    );
    let shown = kube_ipt("show --node node1 -f").arg(&label).stderr(note).json();
    let single = |files: &[&str]| {
        let run = kube_ipt("show --node node1 --objects").arg(node("seed/in-sync/cluster.json"));
        files.iter().fold(run, |run, file| run.arg("-f").arg(node(&format!("seed/in-sync/{file}"))))
    };
    assert_eq!(shown["source"]["from"], label);
    for field in ["tables", "families", "backend", "node", "partial"] {
        assert_eq!(shown["source"][field], answer(single(&["save.txt", "save6.txt"]))["source"][field], "{field}");
    }
    // But for the counters, which only save-c.txt has.
    assert_eq!(services(shown), services(answer(single(&["save-c.txt"]))));
    let without = tempfile::tempdir().expect("a folder");
    for entry in fs::read_dir(&label).expect("readable") {
        let entry = entry.expect("readable");
        if entry.file_name() != "save-c.txt" {
            fs::copy(entry.path(), without.path().join(entry.file_name())).expect("writable");
        }
    }
    let shown = answer(kube_ipt("show --node node1 -f").arg(without.path()));
    assert_eq!(services(shown), services(answer(single(&["save.txt"]))));
}

#[test]
fn what_hides_conditions_is_read_last_however_many_tables_it_has() {
    let view = "table ip nat {\n\tchain KUBE-SERVICES {\n\t\tmeta l4proto tcp ip daddr 10.96.101.105 xt match \"comment\" tcp dport 80 \
                counter packets 0 bytes 0 jump KUBE-SVC-4MV7EKSBUF42WSGS\n\t}\n}\n\
                table ip filter {\n\tchain KUBE-FORWARD {\n\t\tcounter packets 0 bytes 0 accept\n\t}\n}\n\
                table ip mangle {\n\tchain KUBE-KUBELET-CANARY {\n\t}\n}\n";
    let listing = read("seed/in-sync/nat-L-n-v.txt");
    let shown = |files: &Files| services(answer(kube_ipt("show --no-api -f").arg(unpacked(files).path())));
    let of_kube_proxy = shown(&files(&[("sos_commands/firewall_tables/iptables_-t_nat_-nvL", listing.clone())]));
    assert!(of_kube_proxy.to_string().contains("nginx-service"));
    let both = files(&[
        ("sos_commands/firewall_tables/iptables_-t_nat_-nvL", listing),
        ("sos_commands/firewall_tables/nft_-a_list_ruleset", view.into()),
    ]);
    assert_eq!(shown(&both), of_kube_proxy);
    // Where kube-proxy writes to the other backend, only the view has its rules.
    let legacy = "Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n pkts bytes target     prot opt in     out     source               \
                  destination\n\n";
    let other = files(&[
        ("sos_commands/firewall_tables/iptables_-t_nat_-nvL", legacy.into()),
        ("sos_commands/firewall_tables/nft_-a_list_ruleset", view.into()),
    ]);
    assert!(shown(&other).to_string().contains("10.96.101.105"));
}

/// The files that are read of a recording, and its objects.
fn faithful(case: &Path) -> (Vec<PathBuf>, Option<PathBuf>) {
    let first = |names: &[&str]| names.iter().map(|name| case.join(name)).find(|path| path.exists());
    let groups: [&[&str]; 7] = [
        &["save-c.txt", "save.txt"],
        &["save6.txt"],
        &["ruleset.nft"],
        &["ipvsadm-S-n.txt"],
        &["ipset-save.txt"],
        &["ip-addr-show.txt"],
        &["proxyMode.txt"],
    ];
    let rules = groups.iter().filter_map(|names| first(names)).collect();
    (rules, first(&["cluster.json", "cluster.json.gz"]))
}

#[test]
fn every_recording_as_a_folder_says_what_its_files_say() {
    let mut compared = 0;
    for case in all_in(&nodes()) {
        let (rules, objects) = faithful(&case);
        for args in ["show --node node2", "check --node node2"] {
            let run =
                |args: &str| kube_ipt(if objects.is_some() { args } else { args.split(" --").next().unwrap_or(args) });
            let single = rules.iter().fold(run(args), |run, file| run.arg("-f").arg(file));
            let single = objects.iter().fold(single, |run, file| run.arg("--objects").arg(file));
            assert_eq!(told(run(args).arg("-f").arg(&case)), told(single), "{args} {}", case.display());
            compared += 1;
        }
    }
    assert!(compared >= 50, "only {compared} were compared");
}

#[test]
fn the_bundle_of_the_eks_log_collector() {
    let listing = String::from_utf8(read("seed/in-sync/nat-L-n-v.txt")).expect("text");
    let bundle = files(&[
        ("eks_i-0123/networking/iptables-save.txt", read("seed/in-sync/save.txt")),
        ("eks_i-0123/networking/ip6tables-save.txt", read("seed/in-sync/save6.txt")),
        ("eks_i-0123/networking/iptables-nat.txt", (listing + "=======\nTotal Number of Rules: 50\n").into_bytes()),
        (
            "eks_i-0123/networking/conntrack.txt",
            b"tcp 6 86399 ESTABLISHED src=10.0.0.1 dst=10.0.0.2 sport=1 dport=2\n".to_vec(),
        ),
        ("eks_i-0123/networking/ipvsadm.txt", b"IPVS Linux kernel module not installed\n".to_vec()),
        ("eks_i-0123/kubelet/kubelet.log", b"I1122 08:52:07.000000 1 server.go:1] kubelet\n".to_vec()),
        ("eks_i-0123/storage/disk.bin", vec![0; 4096]),
        ("eks_i-0123/cluster.json", read("seed/in-sync/cluster.json")),
    ]);
    let single = kube_ipt("check --node node1 -f").arg(node("seed/in-sync/save.txt")).arg("-f");
    let single = single.arg(node("seed/in-sync/save6.txt")).arg("--objects").arg(node("seed/in-sync/cluster.json"));
    every_form_gives(&bundle, &told(single), "check --node node1");
}

#[test]
fn the_bundle_of_the_rancher_log_collector() {
    let ipvs = files(&[
        ("node2-2026/networking/iptablessave", read("ipvs/node2/save.txt")),
        ("node2-2026/networking/ipvsadm", read("ipvs/node2/ipvsadm-L-n.txt")),
        ("node2-2026/networking/ipaddrshow", read("ipvs/node2/ip-addr-show.txt")),
        ("node2-2026/networking/iproute", b"default via 10.0.0.1 dev eth0\n".to_vec()),
        ("node2-2026/kubectl/objects.yaml", {
            let value: Value = serde_json::from_slice(&read("ipvs/node2/cluster.json")).expect("JSON");
            serde_saphyr::to_string(&value).expect("YAML").into_bytes()
        }),
    ]);
    let run = kube_ipt("show --node node2 --objects").arg(node("ipvs/node2/cluster.json"));
    let names = ["save.txt", "ipvsadm-L-n.txt", "ip-addr-show.txt"];
    let single = names.iter().fold(run, |run, file| run.arg("-f").arg(node(&format!("ipvs/node2/{file}"))));
    every_form_gives(&ipvs, &told(single), "show --node node2");
    let nftables = files(&[
        ("node2-2026/networking/iptablessave", b"# Warning: iptables-legacy tables present\n".to_vec()),
        ("node2-2026/networking/nft_ruleset", read("nftables/node2/ruleset.nft")),
    ]);
    let single = kube_ipt("show --no-api -f").arg(node("nftables/node2/ruleset.nft"));
    every_form_gives(&nftables, &told(single), "show --no-api");
}

#[test]
fn the_report_of_sos() {
    let bundle = files(&[
        ("sosreport-n/sos_commands/firewall_tables/iptables_-t_nat_-nvL", read("seed/stale/nat-L-n-v.txt")),
        ("sosreport-n/sos_commands/kernel/uname_-a", b"Linux n 6.1.0 x86_64\n".to_vec()),
        (
            "sosreport-n/etc/kubernetes/manifests/kube-proxy.yaml",
            b"apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n".to_vec(),
        ),
    ]);
    let single = told(kube_ipt("show --no-api -f").arg(node("seed/stale/nat-L-n-v.txt")));
    // Manifests are what somebody wants, not what the cluster has.
    every_form_gives(&bundle, &single, "show");
}

#[test]
fn names_tell_the_family_that_a_listing_does_not() {
    let empty = "Chain PREROUTING (policy ACCEPT 0 packets, 0 bytes)\n pkts bytes target     prot opt in     out     source               destination\n\
                 \nChain OUTPUT (policy ACCEPT 0 packets, 0 bytes)\n pkts bytes target     prot opt in     out     source               destination\n\
                 \nChain POSTROUTING (policy ACCEPT 0 packets, 0 bytes)\n pkts bytes target     prot opt in     out     source               destination\n";
    let folder = unpacked(&files(&[
        ("iptables_-t_nat_-nvL", read("seed/stale/nat-L-n-v.txt")),
        ("ip6tables_-t_nat_-nvL", empty.into()),
    ]));
    let document = answer(kube_ipt("show --no-api -f").arg(folder.path()));
    assert_eq!(document["source"]["families"], serde_json::json!(["ipv4", "ipv6"]));
    assert_eq!(services(document), told(kube_ipt("show --no-api -f").arg(node("seed/stale/nat-L-n-v.txt"))).0);
}

#[test]
fn a_dump_that_is_packed_reads_as_it_is() {
    let (_room, path) = kept("save.txt.gz", &gzip(&read("seed/in-sync/save.txt")));
    let expected = kube_ipt("list -f").arg(node("seed/in-sync/save.txt")).stdout();
    let listed = kube_ipt("list -f").arg(&path).stdout();
    assert_eq!(listed, expected.replace(&node("seed/in-sync/save.txt"), &path.display().to_string()));
    let large = nodes().join("large/nat-S.txt.gz");
    let piped = answer(kube_ipt("list").stdin(gunzip(&large)));
    assert_eq!(services(answer(kube_ipt("list -f").arg(large))), services(piped));
}

#[test]
fn several_nodes_are_told_and_one_is_chosen() {
    let folder = node("kitchen-sink");
    let error = format!("error: {folder} holds the rules of 3 nodes: node1, node2, node3\n  try:  --node node1");
    kube_ipt("list -f").arg(&folder).status(2).stderr(error).stdout();
    let error = format!("error: {folder} holds no node 'node9'; it has node1, node2, node3\n  try:  --node node1");
    kube_ipt("list --node node9 -f").arg(&folder).status(2).stderr(error).stdout();
    let run = kube_ipt("check --node node3 --objects").arg(node("kitchen-sink/cluster.json")).arg("-f");
    let single = run.arg(node("kitchen-sink/node3/save-c.txt")).arg("-f").arg(node("kitchen-sink/node3/save6.txt"));
    assert_eq!(told(kube_ipt("check --node node3 -f").arg(&folder)), told(single));
}

#[test]
fn flags_that_name_objects_come_before_those_of_the_bundle() {
    let folder = node("seed/stale");
    let own = answer(kube_ipt("check --node node1 -f").arg(&folder));
    assert_eq!(own["source"]["objects"], format!("{folder}:cluster.json"));
    assert_eq!(own["summary"]["errors"], 1);
    let given = kube_ipt("check --node node1 -f").arg(&folder).arg("--objects");
    let given = answer(given.arg(node("seed/in-sync/cluster.json")));
    assert_eq!(given["source"]["objects"], node("seed/in-sync/cluster.json"));
    assert_eq!(given["summary"]["errors"], 0);
    assert_eq!(answer(kube_ipt("check --no-api -f").arg(&folder))["source"]["objects"], Value::Null);
}

#[test]
fn names_and_links_lead_nowhere() {
    let outside = tempfile::tempdir().expect("a folder");
    let secret = outside.path().join("secret");
    fs::write(&secret, read("seed/in-sync/save.txt")).expect("writable");
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "../../../../tmp/hurt.txt", &read("seed/in-sync/save.txt"));
    append(&mut archive, "/etc/hurt.txt", b"nothing to read here\n");
    for kind in [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Fifo] {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(0);
        archive.append_link(&mut header, "link", &secret).expect("in memory");
    }
    let (room, path) = kept("a.tar", &archive.into_inner().expect("in memory"));
    let label = path.display();
    let note = format!(
        "note: {label}: 3 members are links or no file, and not followed\n\
         note: {label}: etc/hurt.txt is neither rules nor objects"
    );
    let document = kube_ipt("show -f").arg(&path).stderr(note).json();
    assert_eq!(document["source"]["from"], format!("{label}:../../../../tmp/hurt.txt"));
    assert!(!Path::new("/tmp/hurt.txt").exists() && !Path::new("/etc/hurt.txt").exists());
    assert_eq!(fs::read_dir(room.path()).expect("readable").count(), 1);
    let folder = unpacked(&files(&[("rules", read("seed/in-sync/save.txt"))]));
    std::os::unix::fs::symlink(&secret, folder.path().join("file")).expect("writable");
    std::os::unix::fs::symlink(outside.path(), folder.path().join("folder")).expect("writable");
    std::os::unix::fs::symlink(folder.path(), folder.path().join("round")).expect("writable");
    let note = format!("note: {}: 3 members are links or no file, and not followed", folder.path().display());
    let document = kube_ipt("show -f").arg(folder.path()).stderr(note).json();
    assert_eq!(document["source"]["from"], format!("{}:rules", folder.path().display()));
}

#[test]
fn a_cut_archive_is_no_answer() {
    let bundle = files(&[
        ("a/save.txt", read("seed/in-sync/save.txt")),
        ("a/save6.txt", read("seed/in-sync/save6.txt")),
        ("a/cluster.json", read("seed/in-sync/cluster.json")),
    ]);
    let tar = tar_of(&bundle);
    for (name, whole) in [("a.tar", tar.clone()), ("a.tar.gz", gzip(&tar)), ("a.zip", zip_of(&bundle))] {
        kube_ipt("show -f").arg(kept(name, &whole).1).output();
        // Cut in a header, in a text, between two members, and at the very end.
        let end = if name == "a.tar" { whole.len() - 1024 } else { whole.len() - 1 };
        let between = 512 + read("seed/in-sync/save.txt").len().next_multiple_of(512);
        for length in [700, whole.len() / 2, between, end] {
            let (_room, path) = kept(name, &whole[..length.min(end)]);
            let (stdout, stderr, status) = kube_ipt("show -f").arg(&path).output();
            assert_eq!((stdout.as_str(), status), ("", Some(2)), "{name} cut at {length}: {stderr}");
            assert!(stderr.starts_with(&format!("error: cannot read {}: it is ", path.display())), "{stderr}");
            assert!(stderr.ends_with("  try:  fetch or make it again\n"), "{stderr}");
        }
    }
}

#[test]
fn a_spoiled_member_is_told_and_the_rest_is_read() {
    let objects = read("seed/in-sync/cluster.json");
    let bundle = files(&[
        ("rules.txt", read("seed/in-sync/save.txt")),
        ("packed.txt.gz", gzip(&read("seed/in-sync/save6.txt"))[..200].to_vec()),
        ("objects/a.json", objects[..objects.len() / 2].to_vec()),
        ("objects/b.json", objects.clone()),
    ]);
    let (_room, path) = kept("a.tar", &tar_of(&bundle));
    let (stdout, stderr, status) = kube_ipt("show --node node1 -o json -f").arg(&path).output();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.contains("cannot unpack packed.txt.gz: "), "{stderr}");
    assert!(stderr.contains(":objects/a.json line "), "{stderr}");
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let single = kube_ipt("show --node node1 -f").arg(node("seed/in-sync/save.txt")).arg("--objects");
    assert_eq!(services(document), services(answer(single.arg(node("seed/in-sync/cluster.json")))));
    // The bytes of a member, none of the archive's own.
    let mut zip =
        zip_of(&files(&[("a.txt", read("seed/in-sync/save6.txt")), ("b.txt", read("seed/in-sync/save.txt"))]));
    zip[200..260].fill(0xff);
    let (_room, path) = kept("a.zip", &zip);
    let (stdout, stderr, status) = kube_ipt("list -f").arg(&path).output();
    assert_eq!(status, Some(0), "{stderr}");
    assert!(stderr.starts_with(&format!("note: {}:a.txt cannot be read: ", path.display())), "{stderr}");
    assert!(stdout.contains("nginx-demo/nginx-service"), "{stdout}");
}

#[test]
fn what_grows_without_end_is_given_up() {
    let zeros = vec![b'#'; 80 << 20];
    let bomb = files(&[("a.txt", zeros.clone())]);
    let growing = "unpacks to far more than an archive of its size does\n  try:  unpack it and look what is in it";
    let (_room, path) = kept("a.tar.gz", &gzip(&tar_of(&bomb)));
    kube_ipt("show -f").arg(&path).status(2).stderr(format!("error: {} {growing}", path.display())).stdout();
    let mut text = read("seed/in-sync/save.txt");
    text.extend_from_slice(&zeros);
    let (_room, path) = kept("a.zip", &zip_of(&files(&[("a.txt", text.clone())])));
    kube_ipt("show -f").arg(&path).status(2).stderr(format!("error: {} {growing}", path.display())).stdout();
    let (_room, path) = kept("a.gz", &gzip(&text));
    let error = format!(
        "error: {} unpacks to more than 64 MiB, which no text of its size does\n  try:  unpack it and look what is in it",
        path.display()
    );
    kube_ipt("show -f").arg(&path).status(2).stderr(error).stdout();
}

#[test]
fn collections_without_rules_say_what_they_hold() {
    let folder = tempfile::tempdir().expect("a folder");
    let label = folder.path().display().to_string();
    let save = "\n  try:  save the rules of the node with: iptables-save > FILE";
    let error = format!("error: {label} holds no files{save}");
    kube_ipt("show -f").arg(folder.path()).status(2).stderr(error).stdout();
    fs::write(folder.path().join("notes.txt"), "dear all\n").expect("writable");
    let error =
        format!("error: {label} holds no rules of iptables or nftables and no ipvsadm listing in its 1 file{save}");
    kube_ipt("show -f").arg(folder.path()).status(2).stderr(error).stdout();
    fs::write(folder.path().join("cluster.json"), read("seed/in-sync/cluster.json")).expect("writable");
    let error = format!("error: {label} holds objects (1 file) and no rules\n  try:  -f DUMP --objects {label}");
    kube_ipt("show -f").arg(folder.path()).status(2).stderr(error).stdout();
    let (_room, path) = kept("a.tar.xz", b"\xfd7zXZ\0\0\0");
    let (file, what) = (path.display(), "is compressed with xz, which this program does not unpack");
    let error = format!("error: {file} {what}\n  try:  xz -dc {file} | kube-ipt show");
    kube_ipt("show -f").arg(&path).status(2).stderr(error).stdout();
    let error = format!("error: stdin {what}\n  try:  put xz -dc before it: … | xz -dc | kube-ipt show");
    kube_ipt("show").stdin(b"\xfd7zXZ\0\0\0").status(2).stderr(error).stdout();
}

#[test]
fn objects_in_the_folder_of_a_node_are_its_own() {
    let room = tempfile::tempdir().expect("a folder");
    for (folder, case) in [("node1", "seed/in-sync"), ("node2", "seed/stale")] {
        std::fs::create_dir(room.path().join(folder)).expect("writable");
        for file in ["save.txt", "cluster.json"] {
            std::fs::copy(nodes().join(case).join(file), room.path().join(folder).join(file)).expect("writable");
        }
    }
    let check = |node: &str| kube_ipt("check --node").arg(node).arg("-f").arg(room.path()).args("-o json").output();
    let (stdout, stderr, code) = check("node1");
    assert_eq!(code, Some(0), "{stdout}{stderr}");
    let (stdout, _, code) = check("node2");
    assert_eq!(code, Some(1));
    assert!(stdout.contains("which is stale: no pod has this address"), "{stdout}");
}

#[test]
fn a_folder_that_is_called_like_no_node_is_read_all_the_same() {
    let (_, stderr, code) = kube_ipt("list --node stale -f").arg(nodes().join("seed")).output();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stderr.contains("no Node is called 'stale' in"), "{stderr}");
}
