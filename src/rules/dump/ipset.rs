//! The contents of ipsets, as `ipset save` and `ipset list` print them.

use std::net::IpAddr;
use std::sync::OnceLock;

use hashbrown::HashMap;

use crate::net::{Network, Protocol};

/// The sets of a node by name.
#[derive(Debug, Default)]
pub struct Sets<'a> {
    by_name: HashMap<&'a str, Set<'a>>,
    /// Lines that are no part of a listing.
    pub unread: usize,
    /// A listing ends inside a line.
    pub cut_off: bool,
    /// Sets that rules ask for and no listing has, by name, in order.
    pub lacking: Vec<String>,
}

/// One set.
#[derive(Debug, Default)]
pub struct Set<'a> {
    /// Its type: `hash:ip,port`, `bitmap:port`, `list:set`.
    pub kind: &'a str,
    /// It ends its listing, which may have gone on.
    pub is_last: bool,
    /// Bits of an address that count (`netmask`); all where `None`.
    netmask: Option<&'a str>,
    /// Its members.
    pub members: Vec<Member<'a>>,
    by_place: OnceLock<ByPlace>,
}

/// Members by the one address and port they begin with, and those that begin otherwise.
#[derive(Debug, Default)]
struct ByPlace {
    exact: HashMap<(IpAddr, u16), Vec<usize>>,
    others: Vec<usize>,
}

/// A member of a set.
#[derive(Debug, PartialEq, Eq)]
pub struct Member<'a> {
    /// One for each dimension of the set's type.
    pub parts: Vec<Part<'a>>,
    /// An exception: what it names is not in the set, though a wider member names it too.
    pub nomatch: bool,
}

/// One dimension of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// An address or a network.
    Network(Network),
    /// Ports from and to, of a protocol or of any.
    Ports(Option<Protocol>, u16, u16),
    /// Anything else: a MAC address, an interface, a mark, the name of another set.
    Other(&'a str),
}

impl<'a> Set<'a> {
    /// The members that may name this address and port, which are those of a packet's destination: all but those that name
    /// another one.
    pub fn candidates(&self, address: IpAddr, port: u16) -> impl Iterator<Item = &Member<'a>> {
        let by_place = self.by_place.get_or_init(|| {
            let mut by_place = ByPlace::default();
            for (at, member) in self.members.iter().enumerate() {
                match member.place() {
                    Some(place) => by_place.exact.entry(place).or_default().push(at),
                    None => by_place.others.push(at),
                }
            }
            by_place
        });
        let exact = by_place.exact.get(&(address, port)).into_iter().flatten();
        exact.chain(&by_place.others).filter_map(|at| self.members.get(*at))
    }
}

impl Member<'_> {
    /// The address and port it begins with, if it names one of each.
    fn place(&self) -> Option<(IpAddr, u16)> {
        match self.parts.as_slice() {
            [Part::Network(network), Part::Ports(_, low, high), ..] if low == high => Some((network.address()?, *low)),
            _ => None,
        }
    }
}

impl<'a> Sets<'a> {
    /// True if the text begins like a listing of ipsets.
    pub fn are_in(text: &str) -> bool {
        let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
        first.is_some_and(|line| line.starts_with("create ") || line.starts_with("Name: "))
    }

    /// True if a line of the text begins a set as such a listing does, whatever stands above it.
    pub fn are_within(text: &str) -> bool {
        let is_kind = |word: &str| ["hash:", "bitmap:", "list:"].iter().any(|kind| word.starts_with(kind));
        let mut lines = text.lines().map(str::trim).peekable();
        while let Some(line) = lines.next() {
            let mut words = line.split_ascii_whitespace();
            let kind = match words.next() {
                Some("create") => words.nth(1),
                Some("Name:") => lines.peek().and_then(|next| next.strip_prefix("Type: ")),
                _ => None,
            };
            if kind.is_some_and(is_kind) {
                return true;
            }
        }
        false
    }

    /// Reads one listing. Of a line that the text ends in, nothing is known.
    pub fn scan(text: &'a str) -> Self {
        let whole = text.rfind('\n').map_or("", |end| text.get(..=end).unwrap_or_default());
        let mut sets = Self { cut_off: !text.is_empty() && whole.len() < text.len(), ..Self::default() };
        let text = whole;
        // The set whose members follow, in the form of `ipset list`.
        let mut open: Option<&'a str> = None;
        let mut in_members = false;
        let mut last = "";
        // How many members each set has, as the listing says.
        let mut counted: Vec<(&str, usize)> = Vec::new();
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let mut words = line.split_ascii_whitespace();
            match (words.next().unwrap_or_default(), words.next()) {
                ("create" | "-N", Some(name)) => {
                    last = name;
                    let set = sets.by_name.entry(name).or_default();
                    set.kind = words.next().unwrap_or_default();
                    set.netmask = words.skip_while(|word| *word != "netmask").nth(1);
                }
                ("add" | "-A", Some(name)) => match words.next() {
                    Some(member) if sets.by_name.contains_key(name) => {
                        sets.add(name, member, words.any(|word| word == "nomatch"));
                    }
                    // Of a set whose first line is missing it is not known what its members are.
                    _ => sets.unread += 1,
                },
                ("Name:", Some(name)) => {
                    sets.by_name.entry(name).or_default();
                    (last, open, in_members) = (name, Some(name), false);
                }
                ("Type:", Some(kind)) if open.is_some() => {
                    if let Some(set) = open.and_then(|name| sets.by_name.get_mut(name)) {
                        set.kind = kind;
                    }
                }
                ("Header:", Some(first)) if open.is_some() => {
                    if let Some(set) = open.and_then(|name| sets.by_name.get_mut(name)) {
                        set.netmask = std::iter::once(first).chain(words).skip_while(|word| *word != "netmask").nth(1);
                    }
                }
                ("Members:", None) => in_members = true,
                (member, rest) if in_members && !member.ends_with(':') => {
                    let nomatch = rest == Some("nomatch") || words.any(|word| word == "nomatch");
                    if let Some(name) = open {
                        sets.add(name, member, nomatch);
                    }
                }
                ("Number", Some("of")) if open.is_some() => {
                    let entries = words.nth(1).and_then(|count| count.parse::<usize>().ok());
                    counted.extend(open.zip(entries));
                }
                (field, _) if open.is_some() && (field.ends_with(':') || line.contains(": ")) => {}
                ("COMMIT" | "flush" | "destroy", _) => {}
                _ => sets.unread += 1,
            }
        }
        // Without members that it has, it is a heading alone (`ipset list -t`).
        for (name, _) in counted.into_iter().filter(|(_, members)| *members > 0) {
            if sets.by_name.get(name).is_some_and(|set| set.members.is_empty()) {
                sets.by_name.remove(name);
            }
        }
        if let Some(set) = sets.by_name.get_mut(last) {
            set.is_last = true;
        }
        sets
    }

    fn add(&mut self, name: &'a str, member: &'a str, nomatch: bool) {
        let set = self.by_name.entry(name).or_default();
        let kinds = set.kind.split_once(':').map_or("", |(_, dimensions)| dimensions).split(',');
        let parts = member.split(',').zip(kinds.chain(std::iter::repeat("")));
        let any_protocol = set.kind == "bitmap:port";
        let parts = parts.map(|(text, kind)| part(text, kind, any_protocol, set.netmask)).collect();
        set.members.push(Member { parts, nomatch });
    }

    /// Adds the sets of another listing; of two with one name the later one counts.
    pub fn absorb(&mut self, other: Self) {
        self.by_name.extend(other.by_name);
        self.unread += other.unread;
        self.cut_off |= other.cut_off;
    }

    /// True if a listing is known not to be all there, and may have gone on inside this set.
    pub fn may_lack_members(&self, set: &Set<'_>) -> bool {
        set.is_last && (self.cut_off || !self.lacking.is_empty())
    }

    /// The set called `name`.
    pub fn get(&self, name: &str) -> Option<&Set<'a>> {
        self.by_name.get(name)
    }

    /// Their names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &'a str> {
        self.by_name.keys().copied()
    }

    /// True if there is no set.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }
}

fn part<'a>(text: &'a str, kind: &str, any_protocol: bool, netmask: Option<&str>) -> Part<'a> {
    let parsed = match (kind, netmask) {
        ("ip", Some(mask)) if !text.contains('/') => Network::parse(&format!("{text}/{mask}")).map(Part::Network),
        ("ip" | "net", _) => Network::parse(text).map(Part::Network),
        ("port", _) => ports(text, any_protocol),
        _ => None,
    };
    parsed.unwrap_or(Part::Other(text))
}

/// `tcp:80`, `udp:1000-2000`, `80`, which is TCP but in a bitmap, whose ports are those of any protocol.
fn ports<'a>(text: &str, any_protocol: bool) -> Option<Part<'a>> {
    let (protocol, range) = match text.split_once(':') {
        Some((protocol, range)) => (Some(Protocol::parse(protocol)?), range),
        None => ((!any_protocol).then_some(Protocol::Tcp), text),
    };
    let (low, high) = range.split_once('-').unwrap_or((range, range));
    Some(Part::Ports(protocol, low.parse().ok()?, high.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(parts: &[Part<'static>], nomatch: bool) -> Member<'static> {
        Member { parts: parts.to_vec(), nomatch }
    }

    fn net(text: &str) -> Part<'static> {
        Part::Network(Network::parse(text).expect("a network"))
    }

    #[test]
    fn both_forms_hold_the_same() {
        let saved = "create NAMED hash:net,port family inet hashsize 64\nadd NAMED 10.0.0.0/8,udp:53\n\
                     add NAMED 10.1.0.0/16,tcp:80-90 nomatch\n";
        let listed = "Name: NAMED\nType: hash:net,port\nRevision: 7\nHeader: family inet hashsize 64\nSize in memory: 600\n\
                      References: 0\nNumber of entries: 2\nMembers:\n10.0.0.0/8,udp:53\n10.1.0.0/16,tcp:80-90 nomatch\n";
        for text in [saved, listed] {
            let sets = Sets::scan(text);
            let set = sets.get("NAMED").expect("the set");
            assert_eq!((set.kind, sets.unread), ("hash:net,port", 0), "{text}");
            let expected = [
                member(&[net("10.0.0.0/8"), Part::Ports(Some(Protocol::Udp), 53, 53)], false),
                member(&[net("10.1.0.0/16"), Part::Ports(Some(Protocol::Tcp), 80, 90)], true),
            ];
            assert_eq!(set.members, expected, "{text}");
            assert!(Sets::are_in(text));
        }
        assert!(!Sets::are_in("# Generated by iptables-save\n*nat\n"));
    }

    #[test]
    fn bitmaps_hold_ports_of_any_protocol_and_masks_widen_addresses() {
        let text = "create PORTS bitmap:port range 0-1023\nadd PORTS 53\ncreate NETS hash:ip family inet netmask 24\nadd NETS 10.1.2.0\n";
        let sets = Sets::scan(text);
        assert_eq!(sets.get("PORTS").expect("ports").members, [member(&[Part::Ports(None, 53, 53)], false)]);
        assert_eq!(sets.get("NETS").expect("networks").members, [member(&[net("10.1.2.0/24")], false)]);
    }

    #[test]
    fn what_a_line_was_cut_in_is_not_known() {
        let text = "create S hash:ip family inet\nadd S 10.0.0.1\nadd S 10.0.0.1";
        let sets = Sets::scan(text);
        let set = sets.get("S").expect("the set");
        assert!(sets.cut_off && set.members.len() == 1 && sets.may_lack_members(set));
        assert!(Sets::scan("create LONG").get("LONG").is_none());
        let whole = Sets::scan(&text[..=text.rfind('\n').expect("lines")]).cut_off;
        assert!(!whole && !Sets::scan("").cut_off);
    }

    #[test]
    fn what_is_no_listing_is_counted() {
        let sets = Sets::scan("dear all,\nadd\ncreate S hash:mac\nadd S 00:11:22:33:44:55\n");
        assert_eq!(sets.unread, 2);
        let beheaded = Sets::scan("add A 10.0.0.1\ncreate S hash:ip\nadd S 10.0.0.1\n");
        assert_eq!((beheaded.unread, beheaded.names().collect::<Vec<_>>()), (1, vec!["S"]));
        assert_eq!(sets.get("S").expect("the set").members, [member(&[Part::Other("00:11:22:33:44:55")], false)]);
        assert!(Sets::scan("").is_empty());
    }
}
