//! A node of a hundred thousand endpoints: what the answers take, and that they are the same on any number of cores.

use std::process::Command;

use crate::generate;
use crate::run::{kube_ipt, node};

/// Memory at most, for each byte of the dump: the text itself, and what is made of it.
const BYTES_PER_BYTE: f64 = 2.5;

/// What a run says of itself under `-vv`: the most memory it had, in bytes.
fn most_memory(args: &str, path: &str) -> f64 {
    let (_, stderr, status) = kube_ipt(args).arg("-vv").arg("-f").arg(path).output();
    assert_eq!(status, Some(0), "{stderr}");
    let (before, _) = stderr.split_once(" MB of memory at most").expect("the memory");
    let megabytes: f64 = before.rsplit(' ').next().and_then(|n| n.parse().ok()).expect("a number");
    megabytes * 1e6
}

#[test]
#[cfg(target_os = "linux")]
fn memory_follows_the_size_of_the_dump() {
    let room = tempfile::tempdir().expect("a folder");
    let path = |name: &str| room.path().join(name).display().to_string();
    let (empty, large) = (path("empty"), path("large"));
    std::fs::write(&empty, generate::nat(1, 1)).expect("writable");
    let text = generate::nat(5000, 20);
    std::fs::write(&large, &text).expect("writable");
    #[expect(clippy::cast_precision_loss, reason = "below 2^52")]
    let size = text.len() as f64;
    for command in ["show svc-01234", "list -o json", "check"] {
        // A debug build is itself larger than all of a small answer.
        let own = most_memory(if command.starts_with("show") { "show svc-00000" } else { command }, &empty);
        let taken = most_memory(command, &large) - own;
        assert!(taken < BYTES_PER_BYTE * size, "{command}: {taken} bytes for {size}");
    }
}

#[test]
fn any_number_of_cores_gives_the_same_answer() {
    let (dump, objects) = (node("large/nat-S.txt.gz"), node("large/cluster.json.gz"));
    let on = |cores: &str, args: &[&str]| {
        let run = Command::new("taskset")
            .args(["-c", cores, env!("CARGO_BIN_EXE_kube-ipt")])
            .args(args)
            .args(["-f", &dump, "--objects", &objects, "--no-api"])
            .output();
        run.map(|output| (output.stdout, output.stderr, output.status.code()))
    };
    let all = "0-4095";
    for args in [&["list", "-o", "json"][..], &["list"], &["show", "-o", "json"], &["check", "-o", "json"]] {
        let Ok(one) = on("0", args) else {
            assert!(std::env::var_os("CI").is_none(), "CI needs taskset");
            return;
        };
        assert!(matches!(one.2, Some(0 | 1)), "{}", String::from_utf8_lossy(&one.1));
        assert!(one == on(all, args).expect("it ran before"), "{args:?} differs between one core and all");
    }
}

#[test]
fn the_profile_names_each_phase() {
    let run = |verbosity: &str| kube_ipt("list --demo").arg(verbosity).output();
    let (plain, stderr, _) = run("-v");
    assert!(!stderr.contains("time:"), "{stderr}");
    let (answer, stderr, status) = run("-vv");
    assert_eq!((answer, status), (plain, Some(0)));
    let line = stderr.lines().rfind(|line| line.starts_with("note: time: ")).expect("the profile");
    let phases = ["read", "index", "unread", "objects", "survey", "follow", "check", "render", "write"];
    let told: Vec<&str> = line["note: time: ".len()..]
        .split_once("; in all ")
        .expect("the sum")
        .0
        .split(", ")
        .map(|phase| phase.split(' ').next().unwrap_or_default())
        .collect();
    assert_eq!(told, phases, "{line}");
}
