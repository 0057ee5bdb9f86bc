//! Read-only is a promise: nothing is started but commands of the list, with their exact arguments and without a shell,
//! and nothing is written but the files that are asked for.

use std::fs;
#[cfg(feature = "live")]
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};

use kube_ipt::source::allowed;

#[cfg(feature = "live")]
/// A stand-in for every program of the list that writes down its name and arguments.
const RECORDER: &str = "#!/bin/sh\nprintf '%s\\n' \"${0##*/} $*\" >>\"$LOG\"\n\
                        case \"$1\" in --version) echo \"iptables v1.8.9 (nf_tables)\";; *) echo '-P PREROUTING ACCEPT';; esac\n";

#[cfg(feature = "live")]
/// The commands a live run of `kube-ipt ARGS` starts where only these programs are in PATH.
fn started(programs: &[&str], args: &[&str]) -> Vec<String> {
    let room = tempfile::tempdir().expect("a folder");
    let log = room.path().join("log");
    for program in programs {
        let path = room.path().join(program);
        fs::write(&path, RECORDER).expect("writable");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(args)
        .env("PATH", format!("{}:/usr/bin:/bin", room.path().display()))
        .env("LOG", &log)
        .stdin(Stdio::null())
        .output()
        .expect("the program runs");
    assert_ne!(output.status.code(), Some(2), "{}", String::from_utf8_lossy(&output.stderr));
    let mut lines: Vec<String> =
        fs::read_to_string(log).expect("programs were started").lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
#[cfg(feature = "live")]
fn only_listed_commands_are_started() {
    let list: Vec<String> = allowed().map(|command| command.typed()).collect();
    let every = ["iptables", "iptables-nft", "iptables-legacy", "ip6tables", "ip6tables-nft", "ip6tables-legacy"];
    let commands = started(&every, &["show"]);
    assert!(!commands.is_empty());
    let on_the_way = |command: &str| command.contains("-t raw") || command.contains("-t mangle");
    assert!(!commands.iter().any(|command| on_the_way(command)), "nobody asked for those tables: {commands:?}");
    let followed = started(&every, &["trace", "external", "10.0.0.1:80"]);
    assert_eq!(followed.iter().filter(|command| on_the_way(command)).count(), commands.len(), "{followed:?}");
    let commands = [commands, followed].concat();
    for command in &commands {
        assert!(list.contains(command), "{command} is not on the list");
    }
    assert!(commands.contains(&"iptables-nft -w 5 -t nat -S".to_owned()), "{commands:?}");
    assert!(!commands.iter().any(|c| c.starts_with("iptables ")), "the plain program is not needed: {commands:?}");
}

#[test]
fn every_listed_command_only_lists() {
    for command in allowed() {
        let others = [
            "nft -j list table ip kube-proxy",
            "nft -j list table ip6 kube-proxy",
            "ipvsadm -Sn",
            "ipset save",
            "cat /proc/net/ip_tables_names",
            "cat /proc/net/ip6_tables_names",
        ];
        let lists = command.args.last() == Some(&"-S") || command.args == ["--version"];
        assert!(lists || others.contains(&command.typed().as_str()), "{}", command.typed());
        let changing = ["-A", "-D", "-F", "-I", "-N", "-P", "-R", "-X", "-Z", "-E"];
        assert!(!command.args.iter().any(|arg| changing.contains(arg)), "{}", command.typed());
    }
}

/// The system calls of one run, as strace prints them; `None` where there is no strace.
fn traced(args: &[&str]) -> Option<String> {
    let room = tempfile::tempdir().expect("a folder");
    let log = room.path().join("trace");
    let traced = Command::new("strace")
        .args([
            "-f",
            "-s",
            "200",
            "-e",
            "trace=execve,open,openat,creat,unlink,unlinkat,rename,renameat2,mkdir,mkdirat",
            "-o",
        ])
        .arg(&log)
        .arg(env!("CARGO_BIN_EXE_kube-ipt"))
        .args(args)
        .stdin(Stdio::null())
        .output();
    match traced {
        Ok(_) => Some(fs::read_to_string(log).expect("a trace")),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs strace");
            None
        }
    }
}

#[test]
fn reading_a_dump_starts_nothing_and_writes_nothing() {
    let dump = crate::run::node("kitchen-sink/node2/save.txt");
    for args in [
        &["show", "--rules", "-f", &dump][..],
        &["list", "-o", "json", "--demo"],
        &["check", "--demo"],
        &["diff", "--demo"],
        &["explain"],
        &["trace", "-v", "external", "nginx-service", "--demo"],
        &["trace", "pod", "nginx-service", "--demo", "-o", "dot"],
        &["check", "--demo", "-o", "prometheus"],
        &["completions", "bash"],
        &["__complete", "show", "--demo", "ngi"],
        &["man", "show"],
        &["manifest", "daemonset", "--image", "i"],
    ] {
        let Some(trace) = traced(args) else { return };
        assert_eq!(trace.matches("execve(").count(), 1, "only the program itself: {trace}");
        for line in trace.lines().filter(|line| line.contains("open")) {
            assert!(!line.contains("O_WRONLY") && !line.contains("O_RDWR") && !line.contains("O_CREAT"), "{line}");
        }
        for call in ["unlink", "rename", "mkdir", "creat("] {
            assert!(!trace.contains(call), "{call}: {trace}");
        }
    }
}

#[test]
fn only_the_file_that_is_asked_for_is_written() {
    let room = tempfile::tempdir().expect("a folder");
    let file = room.path().join("answer").display().to_string();
    let Some(trace) = traced(&["check", "--demo", "--out", &file]) else { return };
    assert_eq!(trace.matches("execve(").count(), 1, "only the program itself: {trace}");
    let beside = room.path().join(".answer.").display().to_string();
    let changes: Vec<&str> = trace
        .lines()
        .filter(|line| {
            let opens = ["O_WRONLY", "O_RDWR", "O_CREAT"].iter().any(|how| line.contains(how));
            opens || ["unlink", "rename", "mkdir", "creat("].iter().any(|call| line.contains(call))
        })
        .collect();
    assert!(changes.iter().any(|line| line.contains("rename")), "{changes:?}");
    for line in changes {
        assert!(line.contains(&beside), "{line}");
        assert!(!line.contains("rename") || line.contains(&format!("\"{file}\"")), "{line}");
    }
    let names: Vec<_> =
        fs::read_dir(room.path()).expect("the folder").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(names, ["answer"]);
}

#[test]
fn a_snapshot_writes_the_file_it_was_asked_for_and_nothing_else() {
    let room = tempfile::tempdir().expect("a folder");
    let path = room.path().join("s.tar.gz").display().to_string();
    let Some(trace) = traced(&["snapshot", "--demo", "--redact", "-o", &path]) else { return };
    assert_eq!(trace.matches("execve(").count(), 1, "only the program itself: {trace}");
    let own = |line: &str| line.contains(&room.path().display().to_string());
    let writes = |line: &&str| {
        ["O_WRONLY", "O_RDWR", "O_CREAT", "unlink", "rename", "mkdir", "creat("].iter().any(|w| line.contains(w))
    };
    let written: Vec<&str> = trace.lines().filter(writes).collect();
    assert!(written.len() >= 2 && written.iter().all(|line| own(line)), "{written:?}");
    let left: Vec<_> = fs::read_dir(room.path()).expect("readable").map(|e| e.expect("readable").file_name()).collect();
    assert_eq!(left, ["s.tar.gz"]);
}
