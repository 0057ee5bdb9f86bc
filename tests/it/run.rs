//! Runs the program and checks stdout, stderr and exit status together.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// One run of the program in the making. Expects no stderr and exit status 0 unless told otherwise.
pub(crate) struct Run {
    command: Command,
    stdin: Option<Vec<u8>>,
    status: i32,
    stderr: String,
}

/// The folder of recorded nodes.
pub(crate) fn nodes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/nodes")
}

/// A file of a recorded node.
pub(crate) fn node(path: &str) -> String {
    nodes().join(path).display().to_string()
}

/// `kube-ipt ARGS`, the words of `args` parted by blanks.
pub(crate) fn kube_ipt(args: &str) -> Run {
    program(Command::new(env!("CARGO_BIN_EXE_kube-ipt")), args)
}

fn program(mut command: Command, args: &str) -> Run {
    command.args(args.split_ascii_whitespace());
    // Nothing of the machine the tests run on: no colours, no cluster, no node.
    for name in ["NO_COLOR", "CLICOLOR_FORCE", "KUBECONFIG", "KUBERNETES_SERVICE_HOST", "NODE_NAME"] {
        command.env_remove(name);
    }
    command.env("HOME", "/nonexistent");
    Run { command, stdin: None, status: 0, stderr: String::new() }
}

/// The same program under another name, by a link in `folder`, with nothing of this machine either.
pub(crate) fn called(folder: &Path, name: &str, args: &str) -> Run {
    let link = folder.join(name);
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_kube-ipt"), &link).expect("a link");
    }
    program(Command::new(link), args)
}

/// The services of an answer without their findings, whose evidence names files and lines.
pub(crate) fn services(mut document: Value) -> Value {
    let mut services = document["services"].take();
    for service in services.as_array_mut().expect("services") {
        service["findings"].take();
    }
    services
}

/// The services that a run answers with, whatever it says on stderr.
#[track_caller]
pub(crate) fn listed(run: Run) -> Vec<Value> {
    let (stdout, stderr, status) = run.arg("-o").arg("json").output();
    assert!(matches!(status, Some(0 | 1)), "{stderr}");
    let document: Value = serde_json::from_str(&stdout).expect("stdout is JSON");
    services(document).as_array().expect("services").clone()
}

impl Run {
    /// One more argument, which may hold blanks.
    pub(crate) fn arg(mut self, arg: impl AsRef<std::ffi::OsStr>) -> Self {
        self.command.arg(arg);
        self
    }

    /// The same with so many MiB of memory and seconds of a processor at most: what needs more is ended by a signal, or says
    /// that there is no memory. A debug build takes ten times the seconds of a release build.
    pub(crate) fn bounded(mut self, megabytes: u64, seconds: u64) -> Self {
        let mut command = Command::new("prlimit");
        command.arg(format!("--as={}", megabytes << 20)).arg(format!("--cpu={seconds}")).arg("--core=0");
        command.arg(self.command.get_program()).args(self.command.get_args());
        for (name, value) in self.command.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        self.command = command;
        self
    }

    /// A variable of the environment.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.command.env(name, value);
        self
    }

    /// More arguments, parted by blanks.
    pub(crate) fn args(mut self, words: &str) -> Self {
        self.command.args(words.split_ascii_whitespace());
        self
    }

    /// Text on standard input; /dev/null without.
    pub(crate) fn stdin(mut self, text: impl AsRef<[u8]>) -> Self {
        self.stdin = Some(text.as_ref().to_vec());
        self
    }

    /// The same run at the end of another command line, which runs it.
    pub(crate) fn behind(mut self, words: &[String]) -> Self {
        let own = self.command;
        self.command = Command::new(&words[0]);
        self.command.args(&words[1..]).arg(own.get_program()).args(own.get_args());
        for (name, value) in own.get_envs() {
            match value {
                Some(value) => self.command.env(name, value),
                None => self.command.env_remove(name),
            };
        }
        self
    }

    /// The expected exit status.
    pub(crate) fn status(mut self, status: i32) -> Self {
        self.status = status;
        self
    }

    /// The expected stderr.
    pub(crate) fn stderr(mut self, text: impl Into<String>) -> Self {
        self.stderr = text.into();
        self
    }

    /// Runs and gives stdout.
    #[track_caller]
    pub(crate) fn stdout(self) -> String {
        let (status, expected) = (self.status, self.stderr.clone());
        let (stdout, stderr, code) = self.output();
        assert_eq!(stderr.trim_end(), expected.trim_end(), "stderr");
        assert_eq!(code, Some(status), "exit status\n{stdout}");
        stdout
    }

    /// Runs and gives stdout as JSON.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.arg("-o").arg("json").stdout()).expect("stdout is JSON")
    }

    /// Runs and gives stdout, stderr and exit status (none if a signal ended it) unchecked.
    pub(crate) fn output(self) -> (String, String, Option<i32>) {
        let (stdout, stderr, status) = self.bytes();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("output is UTF-8");
        (text(stdout), text(stderr), status)
    }

    /// The same of output that need not be text.
    pub(crate) fn bytes(mut self) -> (Vec<u8>, Vec<u8>, Option<i32>) {
        let stdin = if self.stdin.is_some() { Stdio::piped() } else { Stdio::null() };
        let mut child = self
            .command
            .stdin(stdin)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let writer = self.stdin.take().map(|text| {
            let mut pipe = child.stdin.take().expect("a pipe");
            // The program may stop reading early; that is its right.
            std::thread::spawn(move || pipe.write_all(&text))
        });
        let output = child.wait_with_output().expect("the program ends");
        if let Some(writer) = writer {
            let _ = writer.join().expect("writing does not panic");
        }
        (output.stdout, output.stderr, output.status.code())
    }
}

/// A run that goes on until it is told to end.
#[cfg(feature = "live")]
pub(crate) struct Running {
    child: std::process::Child,
    lines: std::sync::mpsc::Receiver<String>,
    stderr: Option<std::thread::JoinHandle<String>>,
}

#[cfg(feature = "live")]
impl Run {
    /// Starts it and leaves it running.
    pub(crate) fn start(mut self) -> Running {
        use std::io::{BufRead as _, BufReader, Read as _};
        let command = self.command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program starts");
        let (out, mut err) = (child.stdout.take().expect("a pipe"), child.stderr.take().expect("a pipe"));
        let (send, lines) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let stderr = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = err.read_to_string(&mut text);
            text
        });
        Running { child, lines, stderr: Some(stderr) }
    }
}

#[cfg(feature = "live")]
impl Running {
    /// The next line of stdout; it may take 20 s on a busy machine.
    #[track_caller]
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(std::time::Duration::from_secs(20)).expect("another line")
    }

    /// The next line as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.line()).expect("a line of JSON")
    }

    /// The next line as JSON that is as `wanted`; others are passed over.
    #[track_caller]
    pub(crate) fn json_where(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        loop {
            let document = self.json();
            if wanted(&document) {
                return document;
            }
        }
    }

    /// True if no line comes for so long.
    pub(crate) fn is_silent_for(&self, milliseconds: u64) -> bool {
        self.lines.recv_timeout(std::time::Duration::from_millis(milliseconds)).is_err()
    }

    /// Ends it by this signal (`INT`, `TERM`); the lines that are left, stderr and exit status.
    pub(crate) fn end(self, signal: &str) -> (Vec<String>, String, Option<i32>) {
        let id = self.child.id().to_string();
        self.end_of(&id, signal)
    }

    /// The same of a program that runs behind another command line.
    pub(crate) fn end_behind(self, signal: &str) -> (Vec<String>, String, Option<i32>) {
        let id = self.child.id();
        let children = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).expect("it runs");
        self.end_of(children.trim(), signal)
    }

    fn end_of(mut self, id: &str, signal: &str) -> (Vec<String>, String, Option<i32>) {
        let sent = Command::new("kill").arg(format!("-{signal}")).arg(id).status().expect("kill is there");
        assert!(sent.success());
        let status = self.child.wait().expect("it ends").code();
        let stderr = self.stderr.take().expect("it is ended once");
        (self.lines.iter().collect(), stderr.join().expect("stderr is read"), status)
    }
}

#[cfg(feature = "live")]
impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, unless the test failed.
        let _ = self.child.kill();
    }
}
