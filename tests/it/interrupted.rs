//! What ends in the middle: readers that go, disks that are full, commands that are killed, and signals.

use std::fs::File;
use std::io::Read as _;
use std::process::{Command, Output, Stdio};

use crate::run::node;

/// Every command, with what it prints for people and for programs.
fn commands() -> Vec<Vec<String>> {
    let rules = node("kitchen-sink/node2/save.txt");
    let other = node("kitchen-sink/node1/save.txt");
    let objects = node("kitchen-sink/cluster.json");
    let lines = [
        format!("show --no-api -f {rules}"),
        format!("show --no-api -o json -f {rules}"),
        format!("show --no-api -o yaml -f {rules}"),
        format!("show --no-api -o dot -f {rules}"),
        format!("list --no-api -f {rules}"),
        format!("check --node node2 -f {rules} --objects {objects}"),
        "check --demo=stale -o json".to_owned(),
        "check --demo=stale -o prometheus".to_owned(),
        "trace external nginx-service --demo".to_owned(),
        "trace external nginx-service --demo -o json".to_owned(),
        format!("diff --no-api {rules} {other}"),
        format!("diff --no-api -o json {rules} {other}"),
        "snapshot --demo -o -".to_owned(),
        "explain KI101".to_owned(),
        "manifest daemonset --image i".to_owned(),
        "completions bash".to_owned(),
        "man show".to_owned(),
        "--help".to_owned(),
        "--version".to_owned(),
    ];
    lines.iter().map(|line| line.split(' ').map(str::to_owned).collect()).collect()
}

fn started(args: &[String], stdout: Stdio) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kube-ipt"));
    command.args(args).env_remove("KUBECONFIG").env("HOME", "/nonexistent");
    command.stdin(Stdio::null()).stdout(stdout).stderr(Stdio::piped()).spawn().expect("the program starts")
}

fn ended(args: &[String], stdout: Stdio) -> Output {
    started(args, stdout).wait_with_output().expect("it ends")
}

#[test]
fn readers_may_go_after_any_byte() {
    for args in commands() {
        let whole = ended(&args, Stdio::piped());
        for bytes in [0, 1, 4096, 70_000] {
            let mut child = started(&args, Stdio::piped());
            let mut pipe = child.stdout.take().expect("a pipe");
            let read = pipe.by_ref().take(bytes).read_to_end(&mut Vec::new()).expect("it writes");
            drop(pipe);
            let output = child.wait_with_output().expect("it ends");
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(said, String::from_utf8_lossy(&whole.stderr), "{args:?} after {read} bytes");
            // What was in the pipe already is written, as far as the program knows.
            let code = output.status.code();
            assert!(code == Some(0) || code == whole.status.code(), "{args:?} after {read} bytes: {code:?}");
        }
    }
}

#[test]
fn a_full_device_is_said_in_one_line_by_every_command() {
    for args in commands() {
        let full = File::options().write(true).open("/dev/full").expect("/dev/full is there");
        let output = ended(&args, full.into());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        let errors: Vec<&str> = said.lines().filter(|line| !line.starts_with("note: ")).collect();
        assert_eq!(errors, ["error: cannot write the answer: No space left on device (os error 28)"], "{args:?}");
    }
}

#[test]
fn streams_that_are_closed_or_full_from_the_start_are_no_trouble() {
    for args in commands() {
        let code = ended(&args, Stdio::piped()).status.code();
        for how in ["<&-", ">&-", "2>&-", "2>/dev/full", "<&- >&- 2>&-"] {
            let script = format!("exec \"$0\" \"$@\" {how}");
            let mut command = Command::new("sh");
            command.args(["-c", &script, env!("CARGO_BIN_EXE_kube-ipt")]).args(&args);
            command.env_remove("KUBECONFIG").env("HOME", "/nonexistent");
            let output = command.stdin(Stdio::null()).output().expect("sh is there");
            assert_eq!(output.status.code(), code, "{args:?} {how}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}

#[cfg(feature = "live")]
mod live {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;
    use std::process::{Command, Stdio};

    use crate::run::{Run, kube_ipt, node};
    use crate::terminal::on_terminal;

    /// A folder with programs that list rules by this script; `NAT` is a listing of the nat table.
    fn programs(script: &str) -> (tempfile::TempDir, String) {
        let room = tempfile::tempdir().expect("a folder");
        let script = script.replace("NAT", &node("seed/in-sync/nat-S.txt"));
        let script =
            format!("#!/bin/sh\ncase $1 in --version) echo 'iptables v1.8.9 (nf_tables)'; exit;; esac\n{script}\n");
        for name in ["iptables", "ip6tables", "nft", "ipvsadm", "ipset"] {
            for variant in ["", "-nft", "-legacy"] {
                let path = room.path().join(format!("{name}{variant}"));
                fs::write(&path, &script).expect("writable");
                fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
            }
        }
        let path = format!("{}:/usr/bin:/bin", room.path().display());
        (room, path)
    }

    fn run(args: &str, path: &str) -> Run {
        kube_ipt(args).args("--no-api --family ipv4").env("PATH", path)
    }

    #[test]
    fn what_is_printed_without_end_is_not_read_to_its_end() {
        let way =
            "\n  try:  ssh NODE sudo iptables-save | kube-ipt list --no-api --family ipv4    (a dump from elsewhere)";
        let list = "iptables-nft -w 5 -t nat -S";
        for (script, what) in [
            ("exec yes -- '-N KUBE-SVC-AAAAAAAAAAAAAAAA'", format!("{list}: it printed more than 256 MiB")),
            ("exec cat /dev/zero", format!("{list}: it printed more than 256 MiB")),
            ("exec yes 'it is not well' >&2", format!("{list}: it printed more than 1 MiB")),
            ("echo; echo Segmentation fault", format!("{list} printed no listing: \"Segmentation fault\"")),
            (
                "echo $(yes 'it is not well' | head -n 1000) >&2; exit 1",
                format!("{list} failed (exit status 1): \"{}…\"", &"it is not well ".repeat(30)[..300]),
            ),
        ] {
            let (_room, path) = programs(script);
            let run = run("list", &path).bounded(1500, 60);
            run.status(2).stderr(format!("error: cannot list rules: {what}{way}")).stdout();
        }
        // What is said beside a listing is told as far as a person reads.
        let (_room, path) = programs("for n in 1 2 3 4 5 6 7; do echo \"# Warning: $n\" >&2; done; cat NAT");
        let (_, said, status) = run("list", &path).output();
        let told = |table: &str| {
            let typed = format!("iptables-nft -w 5 -t {table} -S");
            let mut lines: Vec<String> = (1..=5).map(|n| format!("note: {typed}: Warning: {n}\n")).collect();
            lines.push(format!("note: {typed} said 2 more lines like these\n"));
            lines.concat()
        };
        assert!(said.starts_with(&(told("nat") + &told("filter"))), "{status:?} {said}");
    }

    #[test]
    fn half_a_listing_is_none() {
        let ways = |args: &str| {
            format!(
                "\n  try:  ssh NODE sudo iptables-save | kube-ipt {args} --no-api --family ipv4    (a dump from elsewhere)"
            )
        };
        for (signal, args) in [("KILL", "show"), ("TERM", "check"), ("PIPE", "list -o json")] {
            let (_room, path) = programs(&format!("head -c 2000 NAT; kill -{signal} $$"));
            let error = format!(
                "error: cannot list rules: iptables-nft -w 5 -t nat -S failed (killed by a signal){}",
                ways(args)
            );
            run(args, &path).status(2).stderr(error).stdout();
        }
        // The other table alone.
        let (_room, path) = programs("case $* in *nat*) exec cat NAT;; *) kill -KILL $$;; esac");
        let error = format!(
            "error: cannot list rules: iptables-nft -w 5 -t filter -S failed (killed by a signal){}",
            ways("show")
        );
        run("show", &path).status(2).stderr(error).stdout();
        // Half an answer with a status that says so.
        let (_room, path) = programs("head -c 2000 NAT; echo 'iptables: Resource temporarily unavailable' >&2; exit 1");
        let error = format!(
            "error: cannot list rules: iptables-nft -w 5 -t nat -S failed (exit status 1): \"iptables: Resource temporarily unavailable\"{}",
            ways("show")
        );
        run("show", &path).status(2).stderr(error).stdout();
        let room = tempfile::tempdir().expect("a folder");
        let kept = room.path().join("s.tar.gz");
        let (stdout, _, status) = run("snapshot -o", &path).arg(&kept).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)));
        assert_eq!(fs::read_dir(room.path()).expect("readable").count(), 0, "no snapshot of half a node");
    }

    #[test]
    fn what_a_command_lists_to_its_end_is_whole() {
        let listing = fs::read_to_string(node("kitchen-sink/node1/nat-S.txt")).expect("the recording is there");
        let chains: Vec<&str> = listing.lines().filter_map(|line| line.strip_prefix("-N KUBE-SV")).collect();
        let flushed =
            |line: &str| chains[chains.len() - 4..].iter().any(|chain| line.contains(&format!("-A KUBE-SV{chain} ")));
        let untranslated = |line: &str| line.contains("-j DNAT");
        // A text with the same lines may be what is left of another one, and is called that. Of 55 endpoints two pools have one.
        for (is_gone, empty) in [(&flushed as &dyn Fn(&str) -> bool, 4), (&untranslated, 56)] {
            let lines: String = listing.split_inclusive('\n').filter(|line| !is_gone(line)).collect();
            let room = tempfile::tempdir().expect("a folder");
            let file = room.path().join("nat");
            fs::write(&file, &lines).expect("writable");
            let (_room, path) = programs(&format!(
                "case $* in *nat*) exec cat {};; *) printf -- '-P %s ACCEPT\\n' INPUT FORWARD OUTPUT;; esac",
                file.display()
            ));
            let found = |run: Run| {
                let found: serde_json::Value = serde_json::from_str(&run.output().0).expect("JSON");
                let of =
                    |id: &str| found["findings"].as_array().expect("a list").iter().filter(|f| f["id"] == id).count();
                (of("KI203"), of("KI901"))
            };
            assert_eq!(found(run("check -o json", &path)), (empty, 0));
            assert_eq!(found(kube_ipt("check --no-api -o json").stdin(lines)), (0, 1));
        }
    }

    #[test]
    fn a_lock_that_stays_is_named_with_who_may_hold_it() {
        let said = "Another app is currently holding the xtables lock; still 0s 0us time ahead to have a chance to grab the lock...";
        let (_room, path) = programs(&format!("echo '{said}' >&2; exit 4"));
        let (stdout, stderr, status) = run("show", &path).output();
        assert_eq!((stdout.as_str(), status), ("", Some(2)));
        let begin = format!(
            "error: cannot list rules: another program holds the xtables lock (iptables-nft -w 5 -t nat -S waited 5 s: \"{said}\")\n  try:  sudo lsof /run/xtables.lock"
        );
        assert!(stderr.starts_with(&begin), "{stderr}");
    }

    /// Waits until the file is there.
    fn wait_for(path: &Path) {
        for _ in 0..1000 {
            if path.exists() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        panic!("{} does not come", path.display());
    }

    /// A process of this group that still runs, after a while. Who has ended and was not asked how does not.
    fn is_left(group: &str) -> Option<String> {
        let runs = || {
            let all = fs::read_dir("/proc").expect("/proc is there").flatten();
            let mut texts = all.filter_map(|process| fs::read_to_string(process.path().join("stat")).ok());
            texts.find(|stat| {
                // `id (name) state parent group`
                let mut words = stat.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
                let (status, _, own) = (words.next(), words.next(), words.next());
                own == Some(group) && !matches!(status, Some("Z" | "X"))
            })
        };
        for _ in 0..100 {
            runs()?;
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        runs()
    }

    #[test]
    fn a_signal_ends_what_waits_for_a_command() {
        use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
        let (room, path) = programs(": >\"${0%/*}/ready\"; exec sleep 60");
        let ready = room.path().join("ready");
        for (signal, number) in [("INT", 2), ("TERM", 15), ("HUP", 1)] {
            let _ = fs::remove_file(&ready);
            // Whoever runs the tests in the background has told them to ignore what Ctrl-C sends.
            let mut command = Command::new("env");
            command.args(["--default-signal=INT,TERM,HUP", env!("CARGO_BIN_EXE_kube-ipt")]);
            command.args(["show", "--no-api", "--family", "ipv4"]).env("PATH", &path).env("HOME", "/nonexistent");
            // A group of its own, as a shell makes one: Ctrl-C is for all in it.
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
            let child = command.spawn().expect("the program starts");
            wait_for(&ready);
            let group = format!("-{}", child.id());
            let sent =
                Command::new("kill").args([&format!("-{signal}"), "--", &group]).status().expect("kill is there");
            assert!(sent.success());
            let output = child.wait_with_output().expect("it ends");
            assert_eq!(output.status.signal(), Some(number), "{signal}");
            assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (b"".as_slice(), b"".as_slice()));
            assert!(is_left(&group[1..]).is_none(), "{signal} leaves a command behind");
        }
    }

    /// Presses Ctrl-C when the program has said MARK or the file of this name is there.
    const PRESS: &str = r#"
begun, pressed, mark = time.time(), False, os.environ["MARK"].encode()
def step(terminal, written):
    global pressed
    if not pressed and (mark in written or os.path.exists(mark)) or time.time() - begun > 20:
        pressed = True
        os.write(terminal, b"\x03")
followed(step)
"#;

    /// The cursor is shown, colours are off, no other screen is left.
    #[track_caller]
    fn is_sane(written: &str) {
        assert!(written.rfind("\u{1b}[?25l") <= written.rfind("\u{1b}[?25h"), "{written:?}");
        assert!(!written.contains("\u{1b}[?1049h"), "{written:?}");
        let last = written.rsplit("\u{1b}[").next().unwrap_or_default();
        assert!(!written.contains("\u{1b}[") || last.starts_with("0m") || last.starts_with("?25h"), "{written:?}");
    }

    #[test]
    fn too_few_descriptors_are_an_error_in_one_line() {
        let server = crate::stand_in::StandIn::new(crate::stand_in::seed);
        let config = server.kubeconfig("{}");
        let few = |args: &str, descriptors: u32| {
            let words = ["prlimit".to_owned(), format!("--nofile={descriptors}")];
            kube_ipt(args).behind(&words).env("KUBECONFIG", &config).output()
        };
        let dump = node("seed/stale/save.txt");
        for descriptors in 7..=10 {
            let (stdout, stderr, status) = few("show --no-api --family ipv4", descriptors);
            assert_eq!((stdout.as_str(), status), ("", Some(2)), "{descriptors}: {stderr}");
            assert!(stderr.starts_with("error: cannot "), "{descriptors}: {stderr}");
            let (stdout, stderr, status) = few(&format!("list -f {dump}"), descriptors);
            assert!(stdout.contains("nginx-demo/nginx-service"), "{descriptors}: {stderr}");
            assert!(
                stderr.starts_with("note: the rules are shown alone: ") && status == Some(0),
                "{descriptors}: {stderr}"
            );
        }
    }

    #[test]
    fn ctrl_c_leaves_a_terminal_as_it_was() {
        let (_room, path) = programs("exec sleep 60");
        let server = crate::stand_in::StandIn::new(|_| crate::stand_in::Reply::Silence);
        let config = server.kubeconfig("{}");
        let dump = node("seed/stale/save.txt");
        let waits: [(&[&str], &str, i32); 3] = [
            (&["show", "-f", "-"], "reading rules from standard input", -2),
            (&["list", "-f", &dump, "--kubeconfig", &config], "waiting for the API server", -2),
            (&["list", "--watch", "-f", &dump, "--kubeconfig", &config], "waiting for the API server", 0),
        ];
        for (args, mark, status) in waits {
            let Some(written) = on_terminal(PRESS, args, &[("MARK", mark), ("PATH", &path)]) else { return };
            assert!(written.ends_with(&format!("\nstatus {status}\n")), "{args:?}: {written:?}");
            is_sane(&written);
        }
        // While a command hangs.
        let (room, path) = programs(": >\"${0%/*}/ready\"; exec sleep 60");
        let ready = room.path().join("ready");
        for (watch, status) in [("--watch", 0), ("--all", -2)] {
            let _ = fs::remove_file(&ready);
            let args = ["show", "--no-api", watch, "--family", "ipv4"];
            let mark = ready.display().to_string();
            let Some(written) = on_terminal(PRESS, &args, &[("MARK", &mark), ("PATH", &path)]) else { return };
            assert!(written.ends_with(&format!("\nstatus {status}\n")), "{watch}: {written:?}");
            is_sane(&written);
        }
    }
}
