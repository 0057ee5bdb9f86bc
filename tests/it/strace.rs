//! The judge of what a run does beyond itself. A run is traced with its children; every system call that can reach beyond the
//! process that makes it is looked at, and one that is not known here is a complaint, as is one that cannot be read.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use kube_ipt::source::allowed;

/// Calls that read, wait, or change nothing but the process itself. They are not traced; all others are.
const WITHIN: &str = "access alarm arch_prctl brk clock_getres clock_gettime clock_nanosleep close close_range dup dup2 dup3 \
    epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd2 exit exit_group faccessat faccessat2 \
    fcntl fdatasync flock fstat fstatfs fsync futex getcwd getdents64 getegid geteuid getgid getpeername getpgrp getpid \
    getppid getpriority getrandom getresgid getresuid getrlimit getrusage getsockname getsockopt gettid gettimeofday getuid \
    lseek lstat madvise membarrier mincore mmap mprotect mremap munmap nanosleep newfstatat pidfd_open pipe pipe2 poll ppoll \
    pread64 preadv pselect6 read readlink readlinkat readv recvfrom recvmmsg recvmsg restart_syscall rseq rt_sigaction \
    rt_sigprocmask rt_sigreturn sched_getaffinity sched_yield select set_robust_list set_tid_address shutdown sigaltstack \
    socketpair stat statfs statx sysinfo time times umask uname wait4 waitid";

/// Options of sockets that are the socket's own.
const OPTIONS: &str = "SO_SNDBUFFORCE SO_RCVBUFFORCE SO_SNDBUF SO_RCVBUF SO_KEEPALIVE SO_REUSEADDR SO_RCVTIMEO_OLD \
    SO_SNDTIMEO_OLD TCP_NODELAY TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT NETLINK_EXT_ACK";

/// The lock that iptables-legacy takes before it looks at a table; where there is none it makes the file.
const LOCK: &str = "/run/xtables.lock";

/// What a run was asked to do beyond reading.
#[derive(Debug, Default, Clone)]
pub(crate) struct May {
    /// Files it may write.
    pub(crate) writes: Vec<PathBuf>,
    /// Ports of this host it may speak to.
    pub(crate) connects: Vec<u16>,
    /// The credential plugin of its kubeconfig and all its arguments; what that does is its own affair.
    pub(crate) plugin: Option<Vec<String>>,
}

/// What a traced run did.
pub(crate) struct Trace {
    /// The calls of each process and thread, by its number.
    of: BTreeMap<u32, Vec<String>>,
    /// The number of the first.
    root: u32,
}

/// True if runs can be traced here. In CI they must.
pub(crate) fn possible() -> bool {
    let possible = Command::new("strace").arg("-V").output().is_ok_and(|output| output.status.success());
    assert!(possible || std::env::var_os("CI").is_none(), "CI needs strace");
    possible
}

/// The command line that traces what follows it; the trace goes into `folder`.
pub(crate) fn tracer(folder: &Path) -> Vec<String> {
    let within: Vec<&str> = WITHIN.split_whitespace().collect();
    let mut words: Vec<String> = "strace -ff -ttt -yy -v -s 4096 -e".split(' ').map(str::to_owned).collect();
    words.extend([format!("trace=!{}", within.join(",")), "-o".to_owned(), folder.join("of").display().to_string()]);
    words
}

impl Trace {
    /// What a tracer left in its folder.
    pub(crate) fn read(folder: &Path) -> Self {
        let mut of = BTreeMap::new();
        let mut first: Option<(f64, u32)> = None;
        for file in std::fs::read_dir(folder).expect("the folder").flatten() {
            let number = file.path().extension().and_then(|number| number.to_str()?.parse().ok()).expect("a number");
            let text = std::fs::read(file.path()).expect("a trace");
            let text = String::from_utf8_lossy(&text).into_owned();
            let parted = || text.lines().map(|line| line.split_once(' ').expect("a time and a call"));
            let begun: f64 = parted().next().map_or(f64::MAX, |(time, _)| time.parse().expect("a time"));
            if first.is_none_or(|(earliest, _)| begun < earliest) {
                first = Some((begun, number));
            }
            of.insert(number, parted().map(|(_, call)| call.to_owned()).collect());
        }
        Self { of, root: first.expect("something was traced").1 }
    }

    /// The commands that were started besides the traced one: the program by its full path, and its arguments.
    pub(crate) fn started(&self) -> Vec<Vec<String>> {
        let commands = |(number, lines): (&u32, &Vec<String>)| {
            let commands = lines.iter().filter_map(|line| Call::of(line)?.command());
            commands.skip(usize::from(*number == self.root)).collect::<Vec<_>>()
        };
        let mut all: Vec<Vec<String>> = self.of.iter().flat_map(commands).collect();
        all.sort();
        all
    }

    /// What of all this is beyond reading and beyond what it may do.
    pub(crate) fn complaints(&self, may: &May) -> Vec<String> {
        let free = self.of_plugin(may);
        let mut complaints = Vec::new();
        for (number, lines) in self.of.iter().filter(|(number, _)| !free.contains(number)) {
            // The first command of the first process is the program itself.
            let mut is_itself = *number == self.root;
            // Ends, signals, and calls that the process's end forestalled: of those strace may be left with registers that hold a
            // negative number, which is no system call's.
            let others = ["+++ ", "--- ", "???(", "syscall_0xffffffff"];
            for line in lines.iter().filter(|line| !others.iter().any(|begin| line.starts_with(begin))) {
                match Call::of(line) {
                    Some(call) if is_itself && call.command().is_some() => is_itself = false,
                    Some(call) => complaints.extend(call.judge(may).map(|why| format!("{why}: {line}"))),
                    None => complaints.push(format!("cannot be read: {line}")),
                }
            }
        }
        complaints
    }

    /// Processes that the credential plugin is, and those it started.
    fn of_plugin(&self, may: &May) -> BTreeSet<u32> {
        let Some(plugin) = &may.plugin else { return BTreeSet::new() };
        let is_plugin = |lines: &Vec<String>| {
            lines.iter().filter_map(|line| Call::of(line)?.command()).any(|command| command == *plugin)
        };
        let mut free: BTreeSet<u32> =
            self.of.iter().filter(|(_, lines)| is_plugin(lines)).map(|(number, _)| *number).collect();
        loop {
            let known = free.len();
            let lines = self.of.iter().filter(|(number, _)| free.contains(number)).flat_map(|(_, lines)| lines);
            let children: Vec<u32> = lines.filter_map(|line| Call::of(line)?.child()).collect();
            free.extend(children);
            if free.len() == known {
                return free;
            }
        }
    }
}

/// One system call.
struct Call<'l> {
    name: &'l str,
    args: &'l str,
    result: &'l str,
}

impl<'l> Call<'l> {
    fn of(line: &'l str) -> Option<Self> {
        let (name, rest) = line.split_once('(')?;
        // Where the end of the process cut a call short, texts may be gone with the process. These are judged by flags and numbers.
        let by_numbers = ["bind", "clone", "clone3", "ioctl", "openat", "prctl", "prlimit64", "setsockopt", "socket"]
            .contains(&name);
        let unfinished = rest.strip_suffix(" <unfinished ...>").filter(|args| by_numbers || is_bare(name, args));
        let unfinished = unfinished.map(|args| (args, "?"));
        let (args, result) = unfinished.or_else(|| rest.rsplit_once(" = "))?;
        let is_name = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        is_name.then(|| Self { name, args: args.trim_end().strip_suffix(')').unwrap_or(args), result })
    }

    /// The number of the process or thread it made.
    fn child(&self) -> Option<u32> {
        let makes = matches!(self.name, "clone" | "clone3" | "fork" | "vfork");
        if makes { self.result.split([' ', '<']).next()?.parse().ok() } else { None }
    }

    /// The program that was started, by its path, and its arguments; also one that could not be.
    fn command(&self) -> Option<Vec<String>> {
        if self.name != "execve" {
            return None;
        }
        let path = strings(self.args).into_iter().next()?;
        let (_, argv) = self.args.split_once(", [")?;
        let argv = argv.split_once("], ").map_or(argv, |(argv, _)| argv);
        Some([vec![path], strings(argv).into_iter().skip(1).collect()].concat())
    }

    /// What is wrong with it.
    fn judge(&self, may: &May) -> Option<String> {
        let fine = match self.name {
            "execve" => self.command().is_some_and(|command| is_listed(&command) || may.plugin == Some(command)),
            "clone" | "clone3" | "fork" | "vfork" => {
                self.args.contains("CLONE_THREAD") || !self.args.contains("CLONE_NEW")
            }
            "open" | "openat" => self.opens(may),
            "unlink" | "unlinkat" | "rename" | "renameat" | "renameat2" | "link" | "linkat" | "mkdir" | "mkdirat" => {
                strings(self.args).iter().all(|path| may.writes(path))
            }
            "fchmod" | "ftruncate" => self.file().is_some_and(|path| may.writes(path)),
            "write" | "writev" | "pwrite64" | "pwritev" => self.writes(may),
            "socket" => self.is_socket(),
            "bind" => self.args.contains("sa_family=AF_NETLINK") && self.args.contains("nl_groups=00000000"),
            "connect" => self.connects(may),
            "sendto" | "sendmsg" | "sendmmsg" => return self.sends(may),
            "setsockopt" => OPTIONS.split_whitespace().any(|option| self.args.contains(&format!(", {option}, "))),
            "ioctl" => ["TCGETS", "TIOCGWINSZ", "FIONREAD", "FIONBIO", "SIOCGIF"]
                .iter()
                .any(|request| self.args.contains(&format!(", {request}"))),
            "prctl" => {
                self.args.starts_with("PR_SET_NAME")
                    || self.args.starts_with("PR_SET_VMA")
                    || self.args.starts_with("PR_GET_")
            }
            // Of itself.
            "prlimit64" => self.args.starts_with("0, "),
            _ => return Some("a call that nobody knows to be harmless".to_owned()),
        };
        (!fine).then(|| format!("{} that nobody asked for", self.name))
    }

    /// True if it opens a file to read it, or one that may be written.
    fn opens(&self, may: &May) -> bool {
        let path = strings(self.args).into_iter().next().unwrap_or_default();
        let changes = ["O_WRONLY", "O_RDWR", "O_CREAT", "O_TRUNC", "O_APPEND", "O_TMPFILE"];
        let reads = self.args.contains("O_RDONLY") && !changes.iter().any(|how| self.args.contains(how));
        reads || path == "/dev/null" || may.writes(&path) || path == LOCK
    }

    /// The file behind the first argument: `3</tmp/file>`.
    fn file(&self) -> Option<&'l str> {
        Some(self.args.split_once('<')?.1.split_once('>')?.0)
    }

    fn writes(&self, may: &May) -> bool {
        let given = self.args.starts_with("1<") || self.args.starts_with("2<");
        let Some(file) = self.file() else { return false };
        // What goes to a server it may speak to is that server's to judge.
        let passes =
            ["pipe:", "anon_inode:[eventfd]", "UNIX-STREAM:", "TCP:"].iter().any(|kind| file.starts_with(kind));
        given || passes || may.writes(file)
    }

    fn is_socket(&self) -> bool {
        let netlink = ["NETLINK_NETFILTER", "NETLINK_ROUTE", "NETLINK_GENERIC"];
        let kinds = ["AF_UNIX, SOCK_DGRAM", "AF_UNIX, SOCK_STREAM", "AF_INET, SOCK_STREAM", "AF_INET6, SOCK_STREAM"];
        // What iptables asks the kernel about its extensions by; nothing is ever sent on it.
        let raw = ["AF_INET, SOCK_RAW", "AF_INET6, SOCK_RAW"].iter().any(|kind| self.args.starts_with(kind));
        let is_netlink = self.args.starts_with("AF_NETLINK, ") && netlink.iter().any(|kind| self.args.ends_with(kind));
        is_netlink || raw || kinds.iter().any(|kind| self.args.starts_with(kind))
    }

    fn connects(&self, may: &May) -> bool {
        let mut ports =
            may.connects.iter().map(|port| format!("sin_port=htons({port}), sin_addr=inet_addr(\"127.0.0.1\")"));
        // kube-proxy is asked for its mode.
        self.args.contains("sin_port=htons(10249), sin_addr=inet_addr(\"127.0.0.1\")")
            || ports.any(|port| self.args.contains(&port))
    }

    /// Messages on netlink may only ask. Elsewhere they go where the run may connect to.
    fn sends(&self, may: &May) -> Option<String> {
        if self.result == "?" && is_bare(self.name, self.args) {
            return None;
        }
        let file = self.file().unwrap_or_default();
        if !file.starts_with("NETLINK:") {
            let passes = file.starts_with("TCP:") && !self.args.contains("sa_family=") || self.writes(may);
            return (!passes).then(|| "a message that nobody asked for".to_owned());
        }
        let messages: Vec<&str> = self.args.split("nlmsg_len=").skip(1).collect();
        let length = |message: &&str| message.split(',').next().and_then(|length| length.parse::<usize>().ok());
        let told: Option<usize> = messages.iter().map(|m| length(m).map(|length| length.next_multiple_of(4))).sum();
        // Of a process that ends meanwhile, nobody hears how much was sent.
        let sent = match self.result.split(' ').next() {
            Some("?") => told,
            sent => sent.and_then(|sent| sent.parse().ok()),
        };
        if messages.is_empty() || told != sent {
            return Some("a message on netlink that cannot be read whole".to_owned());
        }
        let kinds = messages.iter().map(|message| part(message, "nlmsg_type="));
        let changes: Vec<&str> = kinds.filter(|kind| !asks(kind)).collect();
        (!changes.is_empty()).then(|| format!("it may change something ({})", changes.join(", ")))
    }
}

/// True if a kind of message asks the kernel for something. A transaction of nftables begins and ends with messages of its
/// own, and without others between them there is nothing in it: iptables-nft -S sends such an empty one.
fn asks(kind: &str) -> bool {
    // Before its socket is known to be netfilter's, strace tells the number: the subsystem, then NFT_MSG_GETGEN.
    const NFT_GETGEN: &str = "0xa10 ";
    let name = kind.rsplit('|').next().unwrap_or(kind);
    let asks = ["NFT_MSG_GET", "NFNL_MSG_COMPAT_GET", "RTM_GET"].iter().any(|begin| name.starts_with(begin));
    asks || matches!(name, "NFNL_MSG_BATCH_BEGIN" | "NFNL_MSG_BATCH_END") || kind.starts_with(NFT_GETGEN)
}

/// True for a message of 20 bytes to an address of 12, as only netlink has them, in a process that is gone with what stood there.
/// A header and a family ask for a list. To change an address or a link takes more, and so does a transaction of nftables.
fn is_bare(name: &str, args: &str) -> bool {
    let words: Vec<&str> = args.split(", ").collect();
    let is_pointer = |word: &str| word.starts_with("0x");
    name == "sendto" && matches!(words.as_slice(), [_, a, "20", "0", b, "12"] if is_pointer(a) && is_pointer(b))
}

/// What follows `name` up to the next comma.
fn part<'t>(text: &'t str, name: &str) -> &'t str {
    text.split_once(name).map_or("", |(_, rest)| rest.split(',').next().unwrap_or(rest))
}

/// True if a command is one of the list: the program by its full path, and exactly these arguments.
fn is_listed(command: &[String]) -> bool {
    let Some((path, args)) = command.split_first() else { return false };
    let program = Path::new(path).file_name().and_then(|name| name.to_str());
    path.starts_with('/') && allowed().any(|listed| Some(listed.program) == program && listed.args == args)
}

impl May {
    /// True if a path is that of a file that was asked for, or of the one beside it that becomes it.
    fn writes(&self, path: &str) -> bool {
        self.writes.iter().any(|file| {
            let beside = format!(".{}.", file.file_name().unwrap_or_default().to_string_lossy());
            let path = Path::new(path);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let is_beside = path.parent() == file.parent()
                && name
                    .strip_prefix(&beside)
                    .and_then(|rest| rest.strip_suffix(".new"))
                    .is_some_and(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()));
            path == file || is_beside
        })
    }
}

/// The texts in quotes.
fn strings(text: &str) -> Vec<String> {
    let (mut found, mut open, mut escaped) = (Vec::new(), None::<String>, false);
    for c in text.chars() {
        match &mut open {
            None if c == '"' => open = Some(String::new()),
            None => {}
            Some(text) if escaped => {
                text.push(c);
                escaped = false;
            }
            Some(_) if c == '\\' => escaped = true,
            Some(_) if c == '"' => found.extend(open.take()),
            Some(text) => text.push(c),
        }
    }
    found
}

#[test]
fn a_call_that_is_cut_short_is_judged_where_numbers_tell() {
    let complaints = |call: &str| {
        let lines =
            vec![r#"execve("/bin/kube-ipt", ["kube-ipt"], []) = 0"#.to_owned(), format!("{call} <unfinished ...>")];
        Trace { of: BTreeMap::from([(1, lines)]), root: 1 }.complaints(&May::default())
    };
    assert_eq!(complaints("socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_IP"), [""; 0]);
    assert_eq!(complaints("openat(AT_FDCWD, 0x7ffd1234, O_RDONLY|O_CLOEXEC"), [""; 0]);
    assert_eq!(complaints("prlimit64(0, RLIMIT_NOFILE, NULL, "), [""; 0]);
    assert_eq!(complaints("sendto(3<anon_inode:[eventpoll]>, 0x7ffcde866db0, 20, 0, 0x7fe77cfae000, 12"), [""; 0]);
    let bind = |groups: &str| {
        format!("bind(18<NETLINK:[1821354]>, {{sa_family=AF_NETLINK, nl_pid=0, nl_groups={groups}}}, 12")
    };
    assert_eq!(complaints(&bind("00000000")), [""; 0]);
    for (call, begin) in [
        (bind("0x000001").as_str(), "bind that nobody asked for"),
        ("bind(18<NETLINK:[1821354]>, 0x7ffd1234, 12", "bind that nobody asked for"),
        ("prlimit64(4711, RLIMIT_NOFILE, ", "prlimit64 that nobody asked for"),
        ("socket(AF_PACKET, SOCK_RAW, htons(ETH_P_ALL)", "socket that nobody asked for"),
        ("openat(AT_FDCWD, 0x7ffd1234, O_WRONLY|O_CREAT, 0644", "openat that nobody asked for"),
        ("unlink(0x7ffd1234", "cannot be read"),
        ("sendto(3<NETLINK:[1]>, 0x7ffcde866db0, 32, 0, 0x7fe77cfae000, 12", "cannot be read"),
    ] {
        let complaints = complaints(call);
        assert!(complaints.len() == 1 && complaints[0].starts_with(begin), "{complaints:?}");
    }
}
