//! The addresses of a node's interfaces, as `ip addr` prints them: in full, with `-o` and with `-br`.

use std::net::IpAddr;

use hashbrown::HashMap;

/// The states `ip -br addr` prints after an interface's name.
pub const STATES: [&str; 7] = ["UP", "DOWN", "UNKNOWN", "LOWERLAYERDOWN", "DORMANT", "TESTING", "NOTPRESENT"];

/// The interfaces of a listing.
#[derive(Debug, Default)]
pub struct Interfaces<'a> {
    /// All of them, in the order they are first named.
    pub all: Vec<Interface<'a>>,
    /// The text ends inside a line or an interface: what it does not list may be on the node.
    pub cut_off: bool,
    by_name: HashMap<&'a str, usize>,
}

/// One interface.
#[derive(Debug, PartialEq, Eq)]
pub struct Interface<'a> {
    /// Its name, without the `@if2` that names its other end.
    pub name: &'a str,
    /// Its own addresses in the order of the listing, of both families, without the length of their prefix.
    pub addresses: Vec<IpAddr>,
}

/// What a line says.
enum Line<'a> {
    /// An interface begins; the lines that follow are about it.
    Begins(&'a str),
    /// An address of the interface that began.
    Address(IpAddr),
    /// An interface and its addresses (`-o`, `-br`).
    Whole(&'a str, Vec<IpAddr>),
    Other,
}

impl<'a> Interfaces<'a> {
    /// The addresses of all interfaces of a node, of which it is not known which has which; they are those of `lo`.
    pub fn of_node(addresses: Vec<IpAddr>) -> Self {
        let mut interfaces = Self::default();
        let lo = interfaces.named("lo");
        interfaces.add(lo, addresses);
        interfaces
    }

    /// True if a line of the text names an interface as `ip addr` does.
    pub fn are_in(text: &str) -> bool {
        text.lines().any(|line| match Line::read(line) {
            Line::Begins(_) => true,
            // A name and a state alone are any two words.
            Line::Whole(_, addresses) => !addresses.is_empty(),
            Line::Address(_) | Line::Other => false,
        })
    }

    /// Reads one listing, or several in one text. Lines that are no part of one are passed over.
    pub fn scan(text: &'a str) -> Self {
        let mut interfaces = Self::default();
        // The interface the lines that follow are about.
        let mut open = None;
        for line in text.lines() {
            match Line::read(line) {
                Line::Begins(name) => open = Some(interfaces.named(name)),
                Line::Address(address) => {
                    if let Some(index) = open {
                        interfaces.add(index, [address]);
                    }
                }
                Line::Whole(name, addresses) => {
                    let index = interfaces.named(name);
                    interfaces.add(index, addresses);
                    open = None;
                }
                Line::Other => {}
            }
        }
        interfaces.cut_off = !interfaces.all.is_empty() && ends_inside(text);
        interfaces
    }

    /// The interface called `name`.
    pub fn get(&self, name: &str) -> Option<&Interface<'a>> {
        self.by_name.get(name).and_then(|index| self.all.get(*index))
    }

    /// Where in `all` the interface called `name` is; a new one is added.
    fn named(&mut self, name: &'a str) -> usize {
        *self.by_name.entry(name).or_insert_with(|| {
            self.all.push(Interface { name, addresses: Vec::new() });
            self.all.len() - 1
        })
    }

    fn add(&mut self, index: usize, addresses: impl IntoIterator<Item = IpAddr>) {
        if let Some(interface) = self.all.get_mut(index) {
            interface.addresses.extend(addresses);
        }
    }
}

/// True if a listing goes on behind the text: inside a line, or behind one that another line follows wherever else there is one.
fn ends_inside(text: &str) -> bool {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let Some(last) = lines.next_back() else { return false };
    // `-4` and some shells' own `ip` leave such lines out, all of them.
    let has_both = |begins: &str| lines.clone().any(|line| line.starts_with(begins));
    let goes_on = match Line::read(last) {
        Line::Begins(_) => has_both("link/"),
        Line::Address(_) => has_both("valid_lft "),
        Line::Whole(..) | Line::Other => false,
    };
    goes_on || !text.ends_with('\n')
}

impl<'a> Line<'a> {
    fn read(line: &'a str) -> Self {
        let mut words = line.split_ascii_whitespace();
        match (words.next(), words.next()) {
            (Some("inet" | "inet6"), Some(address)) => prefixed(address).map_or(Self::Other, Self::Address),
            (Some(number), Some(name)) if is_index(number) => match (name.strip_suffix(':'), words.next()) {
                // `ip link` begins its interfaces the same way, with `mode DEFAULT`. It has no addresses to tell.
                (Some(name), Some(flags)) if flags.starts_with('<') && !words.any(|word| word == "mode") => {
                    Self::Begins(own_name(name))
                }
                (None, Some("inet" | "inet6")) => match words.next().and_then(prefixed) {
                    Some(address) => Self::Whole(own_name(name), vec![address]),
                    None => Self::Other,
                },
                _ => Self::Other,
            },
            (Some(name), Some(state)) if STATES.contains(&state) => match brief(words) {
                Some(addresses) => Self::Whole(own_name(name), addresses),
                None => Self::Other,
            },
            _ => Self::Other,
        }
    }
}

/// The addresses after name and state in `ip -br addr`. `None` if a word among them is no address.
fn brief<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<Vec<IpAddr>> {
    let mut addresses = Vec::new();
    while let Some(word) = words.next() {
        match word {
            // The other end's address, not one of this interface; the priority of the route to the prefix.
            "peer" | "metric" => {
                words.next()?;
            }
            _ => addresses.push(prefixed(word)?),
        }
    }
    Some(addresses)
}

/// `5:`, the number of an interface.
fn is_index(word: &str) -> bool {
    word.strip_suffix(':').is_some_and(|number| number.parse::<u32>().is_ok())
}

/// `pods0@if2` is `pods0`.
fn own_name(name: &str) -> &str {
    name.split_once('@').map_or(name, |(own, _)| own)
}

/// The address of `10.0.0.1/24`, or of `10.0.0.1`, which is how one before its peer is written.
fn prefixed(text: &str) -> Option<IpAddr> {
    text.split_once('/').map_or(text, |(address, _)| address).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE2: &str = include_str!("../../../fixtures/nodes/ipvs/node2/ip-addr-show.txt");
    const NODE2_DUMMY: &str = include_str!("../../../fixtures/nodes/ipvs/node2/ip-addr-show-kube-ipvs0.txt");

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().expect("an address")).collect()
    }

    fn of<'a>(interfaces: &'a Interfaces<'_>, name: &str) -> &'a [IpAddr] {
        &interfaces.get(name).expect("the interface").addresses
    }

    #[test]
    fn recorded_interfaces_have_their_addresses() {
        let interfaces = Interfaces::scan(NODE2);
        assert!(Interfaces::are_in(NODE2));
        assert_eq!(of(&interfaces, "lo"), addresses(&["127.0.0.1", "::1"]));
        assert_eq!(of(&interfaces, "eth0"), addresses(&["10.0.2.15", "fe80::5054:ff:fe12:3456"]));
        assert!(interfaces.get("wlan0").is_none());
        let services = of(&interfaces, "kube-ipvs0");
        assert_eq!(services.iter().filter(|address| address.is_ipv4()).count(), 22);
        assert_eq!(services.get(22..).expect("IPv6"), addresses(&["fd00:96::5198", "fd00:96::1bfb"]));
        assert_eq!(of(&Interfaces::scan(NODE2_DUMMY), "kube-ipvs0"), services);
    }

    #[test]
    fn all_forms_say_the_same() {
        let full = "node# ip addr\r\n1: lo: <LOOPBACK,UP> mtu 65536 qdisc noqueue state UNKNOWN\r\n    inet 127.0.0.1/8 scope host lo\r\n\
                    7: pods0@if2: <UP> mtu 1500 state UP group default\r\n    link/ether ee:67:ee:1d:e4:5f brd ff:ff:ff:ff:ff:ff\r\n    \
                    inet 10.244.1.1 peer 10.244.1.2/32 scope global pods0\r\n       valid_lft forever preferred_lft forever\r\n    \
                    inet6 fd00::1/64 scope global \r\n";
        let one_line = "1: lo    inet 127.0.0.1/8 scope host lo\\       valid_lft forever preferred_lft forever\n\
                        7: pods0@if2    inet 10.244.1.1 peer 10.244.1.2/32 scope global pods0\\       valid_lft forever\n\
                        7: pods0    inet6 fd00::1/64 scope global \\       valid_lft forever preferred_lft forever\n";
        let brief = "lo               UNKNOWN        127.0.0.1/8 \n\
                     pods0@if2        UP             10.244.1.1 peer 10.244.1.2/32 fd00::1/64 metric 100 \n";
        let expected = [
            Interface { name: "lo", addresses: addresses(&["127.0.0.1"]) },
            Interface { name: "pods0", addresses: addresses(&["10.244.1.1", "fd00::1"]) },
        ];
        for text in [full, one_line, brief] {
            assert!(Interfaces::are_in(text), "{text}");
            assert_eq!(Interfaces::scan(text).all, expected, "{text}");
        }
    }

    #[test]
    fn a_listing_may_end_early() {
        assert!(!Interfaces::scan(NODE2).cut_off && !Interfaces::scan(NODE2_DUMMY).cut_off);
        let blocks = NODE2.lines().count();
        for (lines, cut) in [(blocks, false), (blocks - 1, true), (6, false), (5, true), (2, false), (1, false)] {
            let text: String = NODE2.lines().take(lines).flat_map(|line| [line, "\n"]).collect();
            assert_eq!(Interfaces::scan(&text).cut_off, cut, "{lines}: {text}");
            assert!(Interfaces::scan(text.trim_end_matches('\n')).cut_off, "{lines}");
        }
        let four = "1: lo: <UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n2: eth0: <UP> mtu 1500\n    inet 10.0.0.1/8 scope global eth0\n";
        assert!(!Interfaces::scan(four).cut_off);
    }

    #[test]
    fn an_interface_may_have_no_address() {
        let text = "5: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN group default \n";
        assert!(Interfaces::are_in(text));
        assert!(of(&Interfaces::scan(text), "kube-ipvs0").is_empty());
        assert!(of(&Interfaces::scan("kube-ipvs0       DOWN           \n"), "kube-ipvs0").is_empty());
    }

    #[test]
    fn other_texts_are_no_listing() {
        let link = "5: kube-ipvs0: <BROADCAST> mtu 1500 qdisc noop state DOWN mode DEFAULT group default\n    link/ether ba:77\n";
        let numbered = "1: first: of all\n2: second inet of\n3:\n";
        for text in
            ["", link, numbered, "    inet 10.0.0.1/8 scope host lo\n", "kube-ipvs0 DOWN\n", "line is UP today\n"]
        {
            assert!(!Interfaces::are_in(text), "{text}");
        }
        for text in ["", link, numbered, "    inet 10.0.0.1/8 scope host lo\n", "line UP today\n"] {
            assert_eq!(Interfaces::scan(text).all, [], "{text}");
        }
    }
}
