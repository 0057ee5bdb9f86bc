//! `check --out FILE`: the answer in a file, whole or not at all.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::run::{Run, kube_ipt};

fn check(args: &str, file: &Path) -> Run {
    kube_ipt("check").args(args).arg("--out").arg(file)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .expect("the folder")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn the_file_holds_what_stdout_would() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("answer");
    for form in ["text", "table", "json", "yaml"] {
        let args = format!("--demo=stale -o {form}");
        assert_eq!(check(&args, &file).args("--color always").status(1).stdout(), "", "{form}");
        let plain = kube_ipt("check").args(&args).status(1).stdout();
        assert_eq!(fs::read_to_string(&file).expect("the answer"), plain, "{form}");
    }
    assert_eq!(check("--demo -o prometheus", &file).stdout(), "");
    assert!(fs::read_to_string(&file).expect("metrics").starts_with("# HELP kube_ipt_build_info"));
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o644);
    assert_eq!(names(room.path()), ["answer"]);
}

#[test]
fn everyone_may_read_it_whatever_the_umask() {
    let room = tempfile::tempdir().expect("a folder");
    let script =
        format!("umask 077; {} check --demo --out {}/a", env!("CARGO_BIN_EXE_kube-ipt"), room.path().display());
    assert!(Command::new("sh").args(["-c", &script]).status().expect("sh").success());
    assert_eq!(fs::metadata(room.path().join("a")).expect("the file").permissions().mode() & 0o777, 0o644);
}

#[test]
fn an_answer_that_fails_leaves_the_file_before() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("answer");
    fs::write(&file, "before").expect("writable");
    let (stdout, _, status) = check("-f /nonexistent", &file).output();
    assert_eq!((stdout.as_str(), status), ("", Some(2)));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "before");
    // Nothing matched: there is no answer.
    let (_, _, status) = check("nope --demo", &file).output();
    assert_eq!(status, Some(1));
    assert_eq!(fs::read_to_string(&file).expect("the file"), "before");
}

#[test]
fn a_link_stays_and_its_file_is_replaced() {
    let room = tempfile::tempdir().expect("a folder");
    let (file, link) = (room.path().join("file"), room.path().join("link"));
    fs::write(&file, "before").expect("writable");
    std::os::unix::fs::symlink("file", &link).expect("a link");
    assert_eq!(check("--demo", &link).stdout(), "");
    assert!(link.is_symlink() && fs::read_to_string(&file).expect("the file") != "before");
    assert_eq!(names(room.path()), ["file", "link"]);
}

#[test]
fn what_cannot_be_written_is_said_in_a_line() {
    let room = tempfile::tempdir().expect("a folder");
    let device = "error: cannot write /dev/null: it is no regular file\n  try:  give the name of a file, or leave out --out for stdout";
    assert_eq!(check("--demo", Path::new("/dev/null")).status(2).stderr(device).stdout(), "");
    let missing = room.path().join("no/answer");
    let (folder, said) = (room.path().join("no"), missing.display());
    let stderr =
        format!("error: cannot write {said}: no such file or directory\n  try:  mkdir -p {}", folder.display());
    assert_eq!(check("--demo", &missing).status(2).stderr(stderr).stdout(), "");
    assert_eq!(names(room.path()), Vec::<String>::new());
}

#[test]
fn a_full_disk_leaves_the_file_before_and_nothing_else() {
    let room = tempfile::tempdir().expect("a folder");
    let script = "mount -t tmpfs -o size=16k none $ROOM && echo before >$ROOM/a && head -c 12288 /dev/zero >$ROOM/b \
                  && { $KUBE_IPT check --demo -o json --out $ROOM/a; echo status $?; cat $ROOM/a; ls -A $ROOM; }";
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", script])
        .env("ROOM", room.path())
        .env("KUBE_IPT", env!("CARGO_BIN_EXE_kube-ipt"))
        .output();
    let Some(output) = output.ok().filter(|output| output.status.success()) else {
        assert!(std::env::var_os("CI").is_none(), "CI needs unshare and may mount");
        return;
    };
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "status 2\nbefore\na\nb\n", "{stderr}");
    let said = stderr.lines().find(|line| line.starts_with("error:")).unwrap_or_default();
    assert!(said.ends_with("/a: no space left on device"), "{stderr}");
}

#[test]
fn nothing_checked_replaces_no_answer() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("node.prom");
    std::fs::write(&file, "before").expect("writable");
    let (stdout, stderr, code) =
        crate::run::kube_ipt("check nginx-servce --demo=stale -o prometheus --out").arg(&file).output();
    assert_eq!((stdout.as_str(), code), ("", Some(1)), "{stderr}");
    assert_eq!(std::fs::read_to_string(&file).expect("readable"), "before");
}

#[test]
fn what_stands_for_an_open_file_is_not_replaced() {
    for path in ["/dev/stdout", "/proc/self/fd/1", "-"] {
        let error = format!(
            "error: cannot write {path}: it is no regular file\n  try:  give the name of a file, or leave out --out for stdout"
        );
        crate::run::kube_ipt("check --demo --out").arg(path).status(2).stderr(error).stdout();
    }
}

#[test]
fn a_file_that_others_may_not_read_stays_so() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("answer");
    fs::write(&file, "before").expect("writable");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    assert_eq!(check("--demo", &file).stdout(), "");
    assert!(fs::read_to_string(&file).expect("the answer").starts_with("no findings"));
    assert_eq!(fs::metadata(&file).expect("the file").permissions().mode() & 0o777, 0o600);
}

#[test]
fn the_longest_name_of_a_file_is_one() {
    let room = tempfile::tempdir().expect("a folder");
    let name = "n".repeat(255);
    assert_eq!(check("--demo", &room.path().join(&name)).stdout(), "");
    assert_eq!(names(room.path()), [name]);
}

#[test]
fn a_file_that_may_grow_no_further_is_an_error() {
    let room = tempfile::tempdir().expect("a folder");
    // In units of 512 or 1024 bytes.
    let script = format!(
        "ulimit -f 1; exec {} snapshot --demo -o {}/a.tar.gz",
        env!("CARGO_BIN_EXE_kube-ipt"),
        room.path().display()
    );
    let output = Command::new("sh").args(["-c", &script]).output().expect("sh");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.starts_with("error: cannot write ") && said.to_lowercase().contains("file too large"), "{said}");
    assert_eq!(names(room.path()), [""; 0]);
}
