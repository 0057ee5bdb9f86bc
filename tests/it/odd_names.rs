//! Names that others choose, and what is called like a file and is none: hints can be copied into a shell, links and pipes are
//! what they are, and a thousand faults are told in a few lines.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::bundles::{Files, gzip, kept, tar_of};
use crate::run::{kube_ipt, node};

fn rules(file: &str) -> Vec<u8> {
    fs::read(node(&format!("seed/in-sync/{file}"))).expect("the recording is there")
}

fn pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// What the hint says that `stderr` ends with.
#[track_caller]
fn hint(stderr: &str) -> &str {
    stderr.lines().find_map(|line| line.strip_prefix("  try:  ")).unwrap_or_else(|| panic!("no hint: {stderr}"))
}

#[test]
fn hints_quote_names_for_a_shell() {
    let room = tempfile::tempdir().expect("a folder");
    let at = room.path().display();
    let packed = room.path().join("it's $(id).gz");
    fs::write(&packed, gzip(&gzip(&rules("save.txt")))).expect("writable");
    let (_, stderr, _) = kube_ipt("show -f").arg(&packed).output();
    assert_eq!(hint(&stderr), format!(r"zcat '{at}/it'\''s $(id).gz' | kube-ipt show"));

    let saved = room.path().join("a b.json");
    fs::write(&saved, rules("save.txt")).expect("writable");
    let (_, stderr, _) = kube_ipt("list --objects").arg(&saved).arg("-f").arg(node("seed/in-sync/save.txt")).output();
    assert_eq!(hint(&stderr), format!("-f '{at}/a b.json'    (rules), and --objects FILE    (objects)"));

    let nodes = room.path().join("nodes");
    for name in ["a;id", "b"] {
        fs::create_dir_all(nodes.join(name)).expect("writable");
        fs::write(nodes.join(name).join("save.txt"), rules("save.txt")).expect("writable");
    }
    let (_, stderr, _) = kube_ipt("list -f").arg(&nodes).output();
    assert_eq!(hint(&stderr), "--node 'a;id'", "{stderr}");

    let (_, stderr, _) = kube_ipt("check --demo --out").arg(room.path().join("x&id/answer")).output();
    assert_eq!(hint(&stderr), format!("mkdir -p '{at}/x&id'"));
}

#[test]
#[cfg(feature = "live")]
fn a_node_is_no_command_and_no_flag() {
    let (_, stderr, _) = kube_ipt("list").arg("--node=a;id").output();
    assert!(stderr.contains("ssh 'a;id' sudo iptables-save"), "{stderr}");
    assert!(stderr.contains("NODE_NAME='a;id' kube-ipt list '--node=a;id'"), "{stderr}");
    let (_, stderr, _) = kube_ipt("list").arg("--node=-oProxyCommand=id").output();
    assert!(stderr.contains("ssh -- -oProxyCommand=id sudo"), "{stderr}");
}

#[test]
#[cfg(feature = "live")]
fn a_kubeconfig_has_an_end() {
    let dump = node("seed/in-sync/save.txt");
    let device = "cannot read /dev/zero: a kubeconfig is a regular file or a pipe, and this is neither";
    let run = kube_ipt("check --require-api --kubeconfig /dev/zero -f").arg(&dump).bounded(700, 60);
    run.status(2).stderr(format!("error: {device}")).stdout();
    // Every file of the list counts, and the rules are read without it.
    let run = kube_ipt("list -f").arg(&dump).env("KUBECONFIG", "/nonexistent:/dev/zero").bounded(700, 60);
    run.stderr(format!("note: the rules are shown alone: {device}")).stdout();
    let (_room, path) = kept("config", b"");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len((16 << 20) + 1)).expect("writable");
    let error = format!(
        "error: cannot read {}: it is larger than 16 MiB, which no kubeconfig is\n  try:  kubectl config view --kubeconfig {}    \
         (what it says, without secrets)",
        path.display(),
        path.display()
    );
    kube_ipt("list --require-api --kubeconfig").arg(&path).arg("-f").arg(&dump).status(2).stderr(error).stdout();
    // People say by it that there is none.
    kube_ipt("list -f").arg(&dump).env("KUBECONFIG", "/dev/null").stdout();
}

#[test]
#[cfg(feature = "live")]
fn a_kubeconfig_may_come_by_a_pipe() {
    let config = r#"{"contexts": [{"name": "here", "context": {"cluster": "a", "user": "a"}}]}"#;
    let program = env!("CARGO_BIN_EXE_kube-ipt");
    let script = format!(
        "printf '%s' '{config}' | {program} list --require-api --context her --kubeconfig /dev/stdin -f {}",
        node("seed/in-sync/save.txt")
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(hint(&stderr), "--context here");
}

#[test]
fn a_folder_of_objects_has_files_only() {
    let room = tempfile::tempdir().expect("a folder");
    let folder = room.path().join("objects");
    fs::create_dir(&folder).expect("writable");
    let dump = node("seed/in-sync/save.txt");
    pipe(&folder.join("x.json"));
    let at = folder.display();
    let run = kube_ipt("list --node node1 --objects").arg(&folder).arg("-f").arg(&dump);
    let (_, stderr, status) = run.output();
    assert_eq!(status, Some(2));
    assert!(stderr.contains(&format!("{at} holds no file of objects: what is called like one is none")), "{stderr}");

    symlink(room.path(), folder.join("y.json")).expect("a link");
    symlink(node("seed/in-sync/cluster.json"), folder.join("z.json")).expect("a link");
    let note = format!("note: 2 entries of {at} were not read: they are called like files of objects and are none");
    let linked = kube_ipt("list --node node1 --objects").arg(&folder).arg("-f").arg(&dump).stderr(note).stdout();
    let single = kube_ipt("list --node node1 --objects").arg(node("seed/in-sync/cluster.json")).arg("-f").arg(&dump);
    assert_eq!(linked, single.stdout());
}

#[test]
fn objects_larger_than_memory_are_an_error() {
    let (_room, path) = kept("objects.json", b"");
    fs::File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 30)).expect("writable");
    let error = format!("error: cannot read {}: out of memory", path.display());
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/in-sync/save.txt")).bounded(700, 60);
    run.status(2).stderr(error).stdout();
}

#[test]
fn a_link_that_leads_nowhere_yet_stays_a_link() {
    let room = tempfile::tempdir().expect("a folder");
    let at = |name: &str| room.path().join(name);
    fs::create_dir(at("there")).expect("writable");
    symlink("there/second", at("first")).expect("a link");
    symlink("file", at("there/second")).expect("a link");
    assert_eq!(kube_ipt("check --demo --out").arg(at("first")).stdout(), "");
    assert!(at("first").is_symlink() && at("there/second").is_symlink());
    assert!(at("there/file").is_file() && !at("there/file").is_symlink());

    symlink("missing/file", at("no-folder")).expect("a link");
    let (_, stderr, status) = kube_ipt("check --demo --out").arg(at("no-folder")).output();
    assert_eq!((hint(&stderr), status), (format!("mkdir -p {}", at("missing").display()).as_str(), Some(2)));

    symlink("round", at("round")).expect("a link");
    let (_, stderr, status) = kube_ipt("check --demo --out").arg(at("round")).output();
    assert_eq!(status, Some(2));
    assert!(stderr.contains(": too many levels of symbolic links"), "{stderr}");
    assert!(at("round").is_symlink() && at("no-folder").is_symlink());

    symlink("/dev/kube-ipt-answer", at("device")).expect("a link");
    let (_, stderr, status) = kube_ipt("check --demo --out").arg(at("device")).output();
    assert_eq!(status, Some(2), "{stderr}");
    assert!(!Path::new("/dev/kube-ipt-answer").exists());
}

#[test]
fn a_thousand_faults_are_told_in_a_few_lines() {
    let cut = &gzip(&rules("save6.txt"))[..200];
    let mut bundle: Files = (0..1000).map(|at| (format!("m{at}.txt.gz"), cut.to_vec())).collect();
    bundle.extend((0..100).map(|at| (format!("n{at}.txt"), [b"\xff\n".as_slice(), &rules("save.txt")].concat())));
    bundle.push(("rules.txt".to_owned(), rules("save.txt")));
    let (_room, path) = kept("a.tar.gz", &gzip(&tar_of(&bundle)));
    let (_, stderr, _) = kube_ipt("list -f").arg(&path).output();
    let label = path.display();
    assert_eq!(stderr.matches("cannot unpack").count(), 5, "{stderr}");
    assert!(stderr.contains(&format!("note: {label}: and 995 more that cannot be read\n")), "{stderr}");
    assert_eq!(stderr.matches("holds bytes that are no UTF-8").count(), 5, "{stderr}");
    assert!(stderr.contains(&format!("note: {label}: and 95 more with bytes that are no UTF-8 text\n")), "{stderr}");
}

#[test]
fn names_that_are_no_text_stay_apart() {
    let expected = kube_ipt("list -f").arg(node("seed/in-sync/save.txt")).arg("-f").arg(node("seed/in-sync/save6.txt"));
    let expected = expected.stdout();
    let room = tempfile::tempdir().expect("a folder");
    let mut archive = tar::Builder::new(Vec::new());
    for (name, file) in [(b"r\xff.txt", "save.txt"), (b"r\xfe.txt", "save6.txt")] {
        let text = rules(file);
        fs::write(room.path().join(OsStr::from_bytes(name)), &text).expect("writable");
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        archive.append(&header, text.as_slice()).expect("in memory");
    }
    assert_eq!(kube_ipt("list -f").arg(room.path()).stdout(), expected);
    let (_room, path) = kept("a.tar", &archive.into_inner().expect("in memory"));
    assert_eq!(kube_ipt("list -f").arg(path).stdout(), expected);
}
