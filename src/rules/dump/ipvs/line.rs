//! One line of a listing.

use std::net::IpAddr;

use super::{Forward, Key, RealServer, VirtualServer};
use crate::net::{Family, Protocol, split_host_port};

/// Ports `ipvsadm` without `-n` writes by name (`/etc/services` of Debian and of Red Hat), of whatever protocol.
const PORTS: [(&str, u16); 50] = [
    ("ftp-data", 20),
    ("ftp", 21),
    ("ssh", 22),
    ("telnet", 23),
    ("smtp", 25),
    ("domain", 53),
    ("http", 80),
    ("kerberos", 88),
    ("pop3", 110),
    ("sunrpc", 111),
    ("ntp", 123),
    ("imap", 143),
    ("imap2", 143),
    ("snmp", 161),
    ("snmp-trap", 162),
    ("snmptrap", 162),
    ("ldap", 389),
    ("https", 443),
    ("submissions", 465),
    ("syslog", 514),
    ("submission", 587),
    ("ldaps", 636),
    ("domain-s", 853),
    ("imaps", 993),
    ("pop3s", 995),
    ("ms-sql-s", 1433),
    ("mqtt", 1883),
    ("nfs", 2049),
    ("etcd-client", 2379),
    ("etcd-server", 2380),
    ("mysql", 3306),
    ("ms-wbt-server", 3389),
    ("epmd", 4369),
    ("sip", 5060),
    ("sip-tls", 5061),
    ("xmpp-client", 5222),
    ("postgres", 5432),
    ("postgresql", 5432),
    ("amqps", 5671),
    ("amqp", 5672),
    ("redis", 6379),
    ("sun-sr-https", 6443),
    ("http-alt", 8080),
    ("webcache", 8080),
    ("pcsync-https", 8443),
    ("secure-mqtt", 8883),
    ("cslistener", 9000),
    ("websm", 9090),
    ("zabbix-agent", 10050),
    ("memcache", 11211),
];

/// Seconds of persistence where `-p` has no number.
const PERSISTENT: u32 = 360;

/// What the numbers after an address are, by the heading.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Columns {
    /// No heading was read: numbers may be anything.
    Unknown,
    /// Forward, weight, active and inactive connections.
    Servers,
    /// Connections, packets and bytes so far (`--stats`).
    Totals,
    /// The same a second (`--rate`).
    Rates,
    /// Upper and lower threshold, active and inactive connections (`--thresholds`).
    Thresholds,
    /// Weight, persistent, active and inactive connections (`--persistent-conn`).
    Persistent,
}

/// What a line says.
pub(super) enum Line<'a> {
    /// The first line of a whole listing.
    Version,
    /// The names of its columns.
    Columns(Columns),
    /// What the arrows below them point to.
    Arrows,
    /// What the connection table begins with.
    Entries,
    /// A virtual server, as yet without real ones.
    Virtual(VirtualServer<'a>),
    /// A real server, with the key of the virtual one where the line repeats it.
    Real(Option<Key>, RealServer),
    /// An entry of the connection table.
    Entry,
    /// The command that prints what follows, behind a prompt.
    Command,
    /// Nothing of interest: a comment.
    Nothing,
    Unread,
}

/// True for a line that none but `ipvsadm` prints.
pub(super) fn is_telling(line: &str) -> bool {
    if line.starts_with("IP Virtual Server version ") || line.starts_with("IPVS connection entries") {
        return true;
    }
    if line.starts_with("Prot LocalAddress:Port") {
        return true;
    }
    // `-A` begins a rule of iptables as well, and an arrow much else.
    match Line::read(0, line, Columns::Unknown) {
        Line::Virtual(_) => line.starts_with("-A ") || line.starts_with("--add-service "),
        Line::Real(key, real) => key.is_some() || real.forward.is_some(),
        _ => false,
    }
}

impl<'a> Line<'a> {
    /// Reads a line without blanks at either end.
    pub(super) fn read(number: u32, line: &'a str, columns: Columns) -> Self {
        let mut words = line.split_ascii_whitespace();
        let Some(first) = words.next() else { return Self::Nothing };
        let read = match first {
            "-A" | "--add-service" => command(number, words).and_then(Command::into_virtual),
            "-a" | "--add-server" => command(number, words).and_then(Command::into_real),
            "->" => real(number, words, columns),
            "Prot" => Some(Self::Columns(heading(line))),
            "IP" if line.starts_with("IP Virtual Server version ") => Some(Self::Version),
            "IPVS" | "pro" if line.starts_with("IPVS connection entries") || line.starts_with("pro expire state") => {
                Some(Self::Entries)
            }
            "TCP" | "UDP" | "SCTP" | "FWM" | "IP" => {
                if is_entry(line) {
                    Some(Self::Entry)
                } else {
                    listed(number, line, columns)
                }
            }
            _ if is_prompt(line) => Some(Self::Command),
            _ if first.starts_with('#') => Some(Self::Nothing),
            _ => None,
        };
        read.unwrap_or(Self::Unread)
    }

    /// The same, unless the text ends within this line and what `ipvsadm -S` always writes is not there any more.
    pub(super) fn unless_half(self, broken_off: bool) -> Self {
        let is_half = match &self {
            Self::Virtual(server) => server.scheduler.is_none() && server.connections.is_none(),
            Self::Real(Some(_), real) => real.weight.is_none(),
            _ => false,
        };
        if broken_off && is_half { Self::Unread } else { self }
    }
}

/// `node# ipvsadm -Ln`
fn is_prompt(line: &str) -> bool {
    line.split_ascii_whitespace().any(|word| word == "ipvsadm")
}

/// `TCP 14:57  ESTABLISHED 10.244.1.1:41122 10.96.0.1:443 10.200.0.1:6443`
fn is_entry(line: &str) -> bool {
    let expires = line.split_ascii_whitespace().nth(1).and_then(|word| word.split_once(':'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    expires.is_some_and(|(minutes, seconds)| digits(minutes) && digits(seconds))
}

fn heading(line: &str) -> Columns {
    // The word after `LocalAddress:Port`.
    match line.split_ascii_whitespace().nth(2) {
        Some("Scheduler") => Columns::Servers,
        Some("Conns") => Columns::Totals,
        Some("CPS") => Columns::Rates,
        Some("Uthreshold") => Columns::Thresholds,
        Some("Weight") => Columns::Persistent,
        _ => Columns::Unknown,
    }
}

/// The options of `-A` and `-a`.
struct Command<'a> {
    server: VirtualServer<'a>,
    real: Option<RealServer>,
}

/// Reads the words after `-A` or `-a`. `None` if one is not understood, or none names a virtual server.
fn command<'a>(number: u32, words: impl Iterator<Item = &'a str>) -> Option<Command<'a>> {
    let mut words = words.peekable();
    let mut key = None;
    let mut real: Option<RealServer> = None;
    // The key comes with its options, in any order.
    let mut server = VirtualServer::new(number, Key::Mark { mark: 0, family: Family::Ipv4 });
    let (mut forward, mut weight, mut ipv6) = (None, None, false);
    while let Some(word) = words.next() {
        match word {
            "-t" | "--tcp-service" => key = Some(address(Protocol::Tcp, words.next()?)?),
            "-u" | "--udp-service" => key = Some(address(Protocol::Udp, words.next()?)?),
            "--sctp-service" => key = Some(address(Protocol::Sctp, words.next()?)?),
            "-f" | "--fwmark-service" => {
                key = Some(Key::Mark { mark: words.next()?.parse().ok()?, family: Family::Ipv4 });
            }
            "-6" | "--ipv6" => ipv6 = true,
            "-s" | "--scheduler" => server.scheduler = Some(words.next()?),
            "-p" | "--persistent" => {
                let seconds = words.next_if(|word| word.starts_with(|first: char| first.is_ascii_digit()));
                server.persistent = Some(seconds.map_or(Some(PERSISTENT), |text| text.parse().ok())?);
            }
            "-o" | "--ops" => server.one_packet = true,
            "-b" | "--sched-flags" => server.flags = words.next()?.split(',').collect(),
            "-r" | "--real-server" => real = Some(RealServer::new(number, endpoint(words.next()?)?)),
            "-m" | "--masquerading" => forward = Some(Forward::Masquerade),
            "-g" | "--gatewaying" => forward = Some(Forward::Route),
            "-i" | "--ipip" => forward = Some(Forward::Tunnel),
            "-w" | "--weight" => weight = Some(words.next()?.parse().ok()?),
            "-M" | "--netmask" | "--pe" | "-x" | "--u-threshold" | "-y" | "--l-threshold" | "--tun-type"
            | "--tun-port" => {
                words.next()?;
            }
            "--tun-nocsum" | "--tun-csum" | "--tun-remcsum" => {}
            _ => return None,
        }
    }
    server.key = match key? {
        Key::Mark { mark, .. } if ipv6 => Key::Mark { mark, family: Family::Ipv6 },
        key => key,
    };
    Some(Command { server, real: real.map(|real| RealServer { forward, weight, ..real }) })
}

impl<'a> Command<'a> {
    fn into_virtual(self) -> Option<Line<'a>> {
        self.real.is_none().then_some(Line::Virtual(self.server))
    }

    fn into_real(self) -> Option<Line<'a>> {
        Some(Line::Real(Some(self.server.key), self.real?))
    }
}

/// A virtual server in columns: `TCP  10.96.0.1:443 rr persistent 600`, `FWM  8 IPv6 wlc`, `TCP  10.96.0.1:443  0 0 0 0 0`.
fn listed(number: u32, line: &str, columns: Columns) -> Option<Line<'_>> {
    let mut words = line.split_ascii_whitespace().peekable();
    let key = match words.next()? {
        "FWM" => {
            let mark = words.next()?.parse().ok()?;
            let family = words.next_if_eq(&"IPv6").map_or(Family::Ipv4, |_| Family::Ipv6);
            Key::Mark { mark, family }
        }
        protocol => address(Protocol::parse(protocol)?, words.next()?)?,
    };
    let mut server = VirtualServer::new(number, key);
    if is_number(words.peek()?) {
        server.connections = connections(&words.collect::<Vec<_>>(), columns)?;
        return Some(Line::Virtual(server));
    }
    server.scheduler = words.next();
    while let Some(word) = words.next() {
        match word {
            "persistent" => server.persistent = Some(words.next()?.parse().ok()?),
            "mask" | "pe" => {
                words.next()?;
            }
            "ops" => server.one_packet = true,
            _ => server.flags = word.strip_prefix('(')?.strip_suffix(')')?.split(',').collect(),
        }
    }
    Some(Line::Virtual(server))
}

/// A real server in columns, after its arrow.
fn real<'a>(number: u32, mut words: impl Iterator<Item = &'a str>, columns: Columns) -> Option<Line<'a>> {
    let place = words.next()?;
    if place == "RemoteAddress:Port" {
        return Some(Line::Arrows);
    }
    let mut real = RealServer::new(number, endpoint(place)?);
    let rest: Vec<&str> = words.collect();
    match (columns, rest.as_slice()) {
        // `--tun-info` has a word on the tunnel before the weight.
        (_, [method, weight, active, inactive] | [method, _, weight, active, inactive]) if !is_number(method) => {
            real.forward = Some(forward(method)?);
            real.weight = Some(weight.parse().ok()?);
            (real.active, real.inactive) = (Some(active.parse().ok()?), Some(inactive.parse().ok()?));
        }
        (Columns::Thresholds, [_, _, active, inactive]) => {
            (real.active, real.inactive) = (Some(active.parse().ok()?), Some(inactive.parse().ok()?));
        }
        (Columns::Persistent, [weight, _, active, inactive]) => {
            real.weight = Some(weight.parse().ok()?);
            (real.active, real.inactive) = (Some(active.parse().ok()?), Some(inactive.parse().ok()?));
        }
        (Columns::Totals | Columns::Rates | Columns::Unknown, numbers) => {
            real.connections = connections(numbers, columns)?;
        }
        _ => return None,
    }
    Some(Line::Real(None, real))
}

/// The first of the numbers after an address, if they are totals and it is not abbreviated. `None` if they are no numbers.
#[expect(clippy::option_option, reason = "a line that cannot be read is not one that does not say")]
fn connections(numbers: &[&str], columns: Columns) -> Option<Option<u64>> {
    let readable = !numbers.is_empty() && numbers.iter().all(|word| is_number(word));
    let counted = columns == Columns::Totals;
    if !readable || counted && numbers.len() != 5 {
        return None;
    }
    Some(numbers.first().filter(|_| counted).and_then(|first| first.parse().ok()))
}

/// `1234`, or `123456K`, as numbers of nine digits and more are written without `--exact`.
fn is_number(word: &str) -> bool {
    let digits = word.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(word);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn forward(word: &str) -> Option<Forward> {
    Some(match word {
        "Masq" => Forward::Masquerade,
        "Route" => Forward::Route,
        "Tunnel" => Forward::Tunnel,
        "Local" => Forward::Local,
        _ => return None,
    })
}

fn address(protocol: Protocol, text: &str) -> Option<Key> {
    let (address, port) = endpoint(text)?;
    Some(Key::Address { protocol, address, port })
}

/// `10.0.0.1:80`, `[fd00::1]:http`.
fn endpoint(text: &str) -> Option<(IpAddr, u16)> {
    if let Some((address, Some(port))) = split_host_port(text) {
        return Some((address, port));
    }
    let (host, name) = text.rsplit_once(':')?;
    let (_, port) = PORTS.iter().find(|(known, _)| *known == name)?;
    Some((split_host_port(host)?.0, *port))
}
