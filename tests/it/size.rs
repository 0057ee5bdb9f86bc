//! A node of a hundred thousand endpoints: what the answers take, and that they are the same on any number of cores.

#[cfg(target_os = "linux")]
use std::io::{Read as _, Write as _};
#[cfg(target_os = "linux")]
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

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
#[cfg(target_os = "linux")]
fn a_large_answer_gets_a_large_pipe() {
    for (services, is_large) in [(10, false), (300, true)] {
        let (mut reader, writer) = std::io::pipe().expect("a pipe");
        let before = rustix::pipe::fcntl_getpipe_size(&reader).expect("a size");
        let mut dump = tempfile::NamedTempFile::new().expect("a file");
        dump.write_all(generate::nat(services, 1).as_bytes()).expect("writable");
        let mut run = Command::new(env!("CARGO_BIN_EXE_kube-ipt"));
        run.args(["list", "-o", "json", "-f"]).arg(dump.path()).stdout(writer);
        let mut running = run.spawn().expect("it starts");
        drop(run);
        let mut answer = String::new();
        reader.read_to_string(&mut answer).expect("text");
        assert!(running.wait().expect("it ends").success());
        let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
        assert_eq!(answer["services"].as_array().map(Vec::len), Some(services));
        let size = rustix::pipe::fcntl_getpipe_size(&reader).expect("a size");
        assert_eq!(size, if is_large { 1 << 20 } else { before });
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

/// On a node whose limit of processes is reached no thread can be started.
#[test]
#[cfg(target_os = "linux")]
fn no_thread_is_needed_to_read_a_dump() {
    let room = tempfile::tempdir().expect("a folder");
    // Somebody else has to be able to run it: limits of processes do not hold for root. It is nobody who may run something
    // besides, as the user `nobody` may.
    std::fs::set_permissions(room.path(), std::fs::Permissions::from_mode(0o755)).expect("it is ours");
    let (program, dump) = (room.path().join("kube-ipt"), room.path().join("dump"));
    std::fs::copy(env!("CARGO_BIN_EXE_kube-ipt"), &program).expect("writable");
    std::fs::write(&dump, generate::nat(5000, 20)).expect("writable");
    let run_with = |threads: &str, alone: bool, args: &[&str]| {
        let limits = [threads, "setpriv", "--reuid=1987654321", "--clear-groups"];
        let mut command = Command::new("prlimit");
        if alone {
            command.args(limits);
        }
        let stdin = std::fs::File::open(&dump).expect("it was written");
        let output =
            command.arg(&program).args(args).env("HOME", "/nonexistent").stdin(stdin).stderr(Stdio::piped()).output();
        output.map(|output| (output.stdout, output.stderr, output.status.code()))
    };
    let run = |alone: bool, args: &[&str]| run_with("--nproc=1", alone, args);
    let path = dump.display().to_string();
    let piped = &["list", "--no-api"][..];
    for args in
        [&["list", "-o", "json", "--no-api", "-f", &path], piped, &["show", "svc-01234", "--no-api", "-f", &path]]
    {
        let alone = run(true, args).expect("prlimit is there");
        if String::from_utf8_lossy(&alone.1).contains("setpriv") {
            assert!(std::env::var_os("CI").is_none(), "CI needs setpriv, and root: {alone:?}");
            return;
        }
        assert_eq!(alone.2, Some(0), "{args:?}: {}", String::from_utf8_lossy(&alone.1));
        assert!(alone == run(false, args).expect("it ran before"), "{args:?} differs without threads");
    }
    #[cfg(feature = "live")]
    {
        let (_, told, status) = run(true, &["show", "svc-01234"]).expect("it ran before");
        let told = String::from_utf8_lossy(&told).into_owned();
        let rest = told
            .strip_prefix("note: the rules are shown alone: the API server is not asked: no thread can be started ");
        assert!(status == Some(0) && rest.is_some(), "{told}");
        // A watch needs one that hears signals and one that reads.
        for (threads, what) in [
            ("--nproc=1", "error: cannot hear signals: Resource temporarily unavailable"),
            ("--nproc=2", "error: cannot read: no thread can be started for it: Resource temporarily unavailable"),
        ] {
            let args = ["list", "--watch=1s", "--no-api", "-f", &path];
            let (stdout, told, status) = run_with(threads, true, &args).expect("it ran before");
            let told = String::from_utf8_lossy(&told).into_owned();
            assert!(status == Some(2) && stdout.is_empty() && told.starts_with(what), "{status:?} {told}");
        }
    }
    let objects = node("seed/stale/cluster.json");
    let told = run(true, &["check", "-f", &path, "--objects", &objects]).expect("it ran before");
    assert_eq!(told.2, Some(2));
    let told = String::from_utf8_lossy(&told.1).into_owned();
    assert!(told.starts_with("error: cannot read the objects: no thread can be started for it: "), "{told}");
}
