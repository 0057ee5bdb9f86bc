//! The virtual servers of a node, as `ipvsadm` prints them: to be read back (`-S`) and in columns (`-L`).

use std::net::IpAddr;

use hashbrown::HashMap;

use crate::net::{Family, Protocol};

mod lacks;
mod line;

pub use lacks::Lacks;
use lacks::{Extent, Form};
use line::{Columns, Line};

/// What listings of one node hold.
#[derive(Debug, Default)]
pub struct Listing<'a> {
    /// The virtual servers, in the order they are first named.
    pub servers: Vec<VirtualServer<'a>>,
    /// Entries of the connection table (`-Lnc`). They tell what was balanced, not what will be.
    pub entries: usize,
    /// Lines that were not understood: number from 1, and text.
    pub unread: Vec<(u32, &'a str)>,
    /// What the node may have that is not here.
    pub lacks: Lacks,
}

/// An address, or a mark, whose connections are balanced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VirtualServer<'a> {
    /// Number from 1 of the line that first names it, in the listing it was read from.
    pub line: u32,
    /// What connections it takes.
    pub key: Key,
    /// How it chooses: `rr`, `wrr`, `lc`. `None` where the listing does not say (`--stats`, `--rate`).
    pub scheduler: Option<&'a str>,
    /// Seconds for which a client keeps its real server. `None` if it does not, or the listing does not say.
    pub persistent: Option<u32>,
    /// Every packet is scheduled on its own (`-o`, `ops`).
    pub one_packet: bool,
    /// Flags of the scheduler: `sh-port`.
    pub flags: Vec<&'a str>,
    /// Connections since it was added (`--stats`). `None` where not listed, or abbreviated (`123456K`).
    pub connections: Option<u64>,
    /// Where it sends connections to, in the order of the listing.
    pub real: Vec<RealServer>,
    /// Lines around may be missing in the text: of other real servers, or of the virtual server that those in columns are of.
    pub is_doubtful: bool,
}

/// What connections a virtual server takes. The kernel keeps one virtual server for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Key {
    /// Those to an address.
    Address {
        /// The transport protocol.
        protocol: Protocol,
        /// The address they are to.
        address: IpAddr,
        /// The port they are to; 0 for any.
        port: u16,
    },
    /// Those whose packets have a mark.
    Mark {
        /// The mark, of the whole packet without a mask.
        mark: u32,
        /// The family of the packets.
        family: Family,
    },
}

impl Key {
    /// The address, where it is for one.
    pub fn address(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(*address),
            Self::Mark { .. } => None,
        }
    }
}

/// An endpoint of a virtual server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RealServer {
    /// Number from 1 of the line that first names it, in the listing it was read from.
    pub line: u32,
    /// Its address.
    pub address: IpAddr,
    /// Its port; 0 for the one the connection is to.
    pub port: u16,
    /// How packets reach it. `None` where the listing does not say.
    pub forward: Option<Forward>,
    /// Its part of new connections, next to the other weights; 0 gets none. `None` where the listing does not say.
    pub weight: Option<u32>,
    /// Established connections. `None` where the listing does not say.
    pub active: Option<u64>,
    /// Connections that open or close, and all of UDP. `None` where the listing does not say.
    pub inactive: Option<u64>,
    /// Connections since it was added (`--stats`). `None` where not listed, or abbreviated (`123456K`).
    pub connections: Option<u64>,
}

/// How packets reach a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Forward {
    /// The destination is rewritten (`-m`, `Masq`).
    Masquerade,
    /// They are routed as they are (`-g`, `Route`). `-S` writes a real server on the node itself this way, too.
    Route,
    /// They are wrapped (`-i`, `Tunnel`).
    Tunnel,
    /// The real server is the node (`Local`).
    Local,
}

impl<'a> Listing<'a> {
    /// True if a line of the text begins a listing of ipvsadm, or is one none but ipvsadm prints.
    pub fn are_in(text: &str) -> bool {
        text.lines().map(str::trim).any(line::is_telling)
    }

    /// Reads one listing, or several of one node in one text.
    pub fn scan(text: &'a str) -> Self {
        let mut listing = Self::default();
        let mut index = Index::default();
        // The virtual server that lines of real servers are about, where they do not repeat it.
        let mut open = None;
        let mut columns = Columns::Unknown;
        let mut extent = Extent::default();
        let text = text.trim_start_matches('\u{feff}');
        let unfinished = !text.trim_end_matches([' ', '\t']).ends_with('\n');
        let mut lines = (1..).zip(text.lines().map(str::trim)).peekable();
        while let Some((number, text)) = lines.next() {
            let broken_off = unfinished && lines.peek().is_none();
            let form = Form::of(text);
            let read = match Line::read(number, text, columns).unless_half(broken_off) {
                Line::Version => {
                    extent.version(&listing.servers);
                    (columns, open) = (Columns::Unknown, None);
                    true
                }
                Line::Columns(these) => {
                    extent.heading(&listing.servers);
                    (columns, open) = (these, None);
                    true
                }
                Line::Arrows => {
                    extent.arrows();
                    true
                }
                Line::Entries | Line::Command => {
                    extent.end_listing(&listing.servers);
                    (columns, open) = (Columns::Unknown, None);
                    true
                }
                Line::Virtual(server) => {
                    extent.row(form, &listing.servers);
                    let at = index.add(&mut listing.servers, server);
                    extent.virtual_server(at);
                    if broken_off {
                        extent.cut();
                    }
                    open = Some(at);
                    true
                }
                Line::Real(key, real) => {
                    extent.row(form, &listing.servers);
                    let at = key.map_or(open, |key| index.servers.get(&key).copied());
                    let known = at.is_some_and(|at| index.add_real(&mut listing.servers, at, real));
                    if !known {
                        extent.orphan();
                    }
                    known
                }
                Line::Entry => {
                    listing.entries += 1;
                    true
                }
                Line::Nothing => true,
                Line::Unread => {
                    match text {
                        "--" => extent.apart(),
                        _ if broken_off && lacks::is_cut(text) => extent.cut(),
                        _ => {}
                    }
                    // Real servers that follow may belong to a virtual server this line should have named.
                    open = None;
                    false
                }
            };
            if !read {
                listing.unread.push((number, text));
            }
        }
        extent.tell(&mut listing);
        listing
    }

    /// Adds another listing of the node. What both have is completed: each knows what the other does not say. Where they
    /// differ, this one counts.
    pub fn absorb(&mut self, other: Self) {
        self.lacks_with(&other);
        let mut index = Index::of(&self.servers);
        for mut server in other.servers {
            let real = std::mem::take(&mut server.real);
            let at = index.add(&mut self.servers, server);
            for real in real {
                index.add_real(&mut self.servers, at, real);
            }
        }
        self.entries += other.entries;
        self.unread.extend(other.unread);
    }
}

/// Where servers are in a list of virtual servers.
#[derive(Default)]
struct Index {
    servers: HashMap<Key, usize>,
    real: HashMap<(usize, IpAddr, u16), usize>,
}

impl Index {
    fn of(servers: &[VirtualServer<'_>]) -> Self {
        let mut index = Self::default();
        for (at, server) in servers.iter().enumerate() {
            index.servers.insert(server.key, at);
            index.real.extend(server.real.iter().enumerate().map(|(nth, real)| ((at, real.address, real.port), nth)));
        }
        index
    }

    /// Adds a virtual server that has no real servers yet, or completes the one with its key. Where it is now.
    fn add<'a>(&mut self, servers: &mut Vec<VirtualServer<'a>>, new: VirtualServer<'a>) -> usize {
        let at = *self.servers.entry(new.key).or_insert(servers.len());
        match servers.get_mut(at) {
            Some(server) => server.complete(new),
            None => servers.push(new),
        }
        at
    }

    /// Adds a real server to the virtual one at `at`, or completes the one with its address. False if there is none there.
    fn add_real(&mut self, servers: &mut [VirtualServer<'_>], at: usize, new: RealServer) -> bool {
        let Some(server) = servers.get_mut(at) else { return false };
        let nth = *self.real.entry((at, new.address, new.port)).or_insert(server.real.len());
        match server.real.get_mut(nth) {
            Some(real) => real.complete(&new),
            None => server.real.push(new),
        }
        true
    }
}

impl VirtualServer<'_> {
    /// One of which nothing is known but its key.
    fn new(line: u32, key: Key) -> Self {
        let (scheduler, persistent, connections) = (None, None, None);
        let (flags, real) = (Vec::new(), Vec::new());
        Self { line, key, scheduler, persistent, one_packet: false, flags, connections, real, is_doubtful: false }
    }

    fn complete(&mut self, other: Self) {
        // Persistence, `ops` and flags are listed with the scheduler or not at all.
        if self.scheduler.is_none() {
            (self.scheduler, self.persistent) = (other.scheduler, other.persistent);
            (self.one_packet, self.flags) = (other.one_packet, other.flags);
        }
        self.connections = self.connections.or(other.connections);
        self.is_doubtful &= other.is_doubtful;
    }
}

impl RealServer {
    /// One of which nothing is known but where it is.
    fn new(line: u32, (address, port): (IpAddr, u16)) -> Self {
        let (forward, weight, active, inactive, connections) = (None, None, None, None, None);
        Self { line, address, port, forward, weight, active, inactive, connections }
    }

    fn complete(&mut self, other: &Self) {
        self.forward = self.forward.or(other.forward);
        self.weight = self.weight.or(other.weight);
        self.active = self.active.or(other.active);
        self.inactive = self.inactive.or(other.inactive);
        self.connections = self.connections.or(other.connections);
    }
}

#[cfg(test)]
mod tests;
