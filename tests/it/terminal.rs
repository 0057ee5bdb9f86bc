//! Runs the program on a terminal, by python3, which has one to give.

use std::process::{Command, Stdio};

/// Runs the program of the arguments on a terminal and prints what it wrote and its exit status. `step` gets the terminal and
/// what was written so far, again and again, and may press keys.
const FOLLOWED: &str = r#"
import fcntl, os, pty, select, signal, struct, sys, termios, time
def followed(step, size=None, pause=0):
    child, terminal = pty.fork()
    if child == 0:
        time.sleep(pause)
        # Whoever runs the tests in the background has them ignore Ctrl-C.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.execv(sys.argv[1], sys.argv[1:])
    if size:
        fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
    written = b""
    while True:
        step(terminal, written)
        if select.select([terminal], [], [], 0.05)[0]:
            try:
                piece = os.read(terminal, 65536)
            except OSError:
                break
            if not piece:
                break
            written += piece
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    sys.stdout.buffer.write(written + b"\nstatus %d\n" % status)
"#;

/// What is on the terminal at the end, and how the program ended, where `script` follows it; `None` where there is no python3.
pub(crate) fn on_terminal(script: &str, args: &[&str], envs: &[(&str, &str)]) -> Option<String> {
    let output = Command::new("python3")
        .args(["-c", &format!("{FOLLOWED}{script}"), env!("CARGO_BIN_EXE_kube-ipt")])
        .args(args)
        .envs([("TERM", "xterm"), ("HOME", "/nonexistent")])
        .env_remove("NO_COLOR")
        .env_remove("KUBECONFIG")
        .envs(envs.iter().copied())
        .stdin(Stdio::null())
        .output();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).expect("text")),
        Err(_) => {
            assert!(std::env::var_os("CI").is_none(), "CI needs python3");
            None
        }
    }
}
