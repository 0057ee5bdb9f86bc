//! An endpoint: where a connection ends up, and how likely.

use std::fmt;
use std::net::IpAddr;

use smallvec::SmallVec;

use super::{AboutEndpoint, ChainName, RuleRef};
use crate::net::Host;

/// One destination of a pool.
///
/// A node may have a hundred thousand, so that what few of them have stands outside.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where connections are sent.
    pub address: Address,
    /// The part of the pool's new connections it gets, 0..=1; `None` where a rule cannot be judged.
    pub probability: Option<f64>,
    /// The chain that translates the address.
    pub chain: ChainName,
    /// Rules that lead there: the jump, then the translation.
    pub rules: SmallVec<[RuleRef; 2]>,
    /// It is masqueraded where it reaches itself (hairpin); `None` where only endpoints of the node have such a rule, and this
    /// one has none.
    pub hairpin: Option<bool>,
    /// A rule sends clients there that came before, under ClientIP affinity, whatever part of the new ones it gets.
    pub remembered: bool,
    /// It gets no new connections and keeps those it has: a real server of IPVS with weight 0.
    pub draining: bool,
    /// What was counted and listed of its traffic; `None` for nothing, as [`Traffic::kept`] gives it.
    pub traffic: Option<Box<Traffic>>,
    /// What the cluster says of it; `None` without objects.
    pub about: Option<Box<AboutEndpoint>>,
}

impl Endpoint {
    /// One of which nothing is known but where it is and what leads there.
    pub fn blank(address: Address, chain: &str) -> Self {
        Self {
            address,
            probability: None,
            chain: chain.into(),
            rules: SmallVec::new(),
            hairpin: None,
            remembered: false,
            draining: false,
            traffic: None,
            about: None,
        }
    }

    /// What was counted and listed of its traffic.
    pub fn traffic(&self) -> &Traffic {
        self.traffic.as_deref().unwrap_or(&Traffic::NONE)
    }

    /// Adds the rules and connections of the same endpoint behind another virtual server.
    pub(super) fn absorb(&mut self, other: &Self) {
        self.rules.extend_from_slice(&other.rules);
        let connections = match (self.traffic().connections, other.traffic().connections) {
            (Some(one), Some(other)) => Some(one.plus(other)),
            (one, other) => one.or(other),
        };
        self.traffic = Traffic { connections, ..self.traffic().clone() }.kept();
    }
}

/// What was counted and listed of an endpoint's traffic.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// New connections it got since its chain was last written, where the dump has exact counters.
    pub packets: Option<u64>,
    /// New connections that the rule which leads to its chain counted, where the dump has exact counters.
    pub arrived: Option<u64>,
    /// Clients that come back to it under ClientIP affinity; `None` where the rules do not list them.
    pub clients: Option<Vec<Client>>,
    /// Connections to it, where they were listed.
    pub connections: Option<Connections>,
}

impl Traffic {
    const NONE: Self = Self { packets: None, arrived: None, clients: None, connections: None };

    /// As an endpoint keeps it: nothing takes no memory.
    pub fn kept(self) -> Option<Box<Self>> {
        (self != Self::NONE).then(|| Box::new(self))
    }

    /// Connections that are open, where they were listed.
    pub fn open_connections(&self) -> Option<u64> {
        self.connections.and_then(Connections::open)
    }
}

/// A client that stays with its endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Seconds until it is forgotten, unless it connects again.
    pub expires: Option<u32>,
}

/// Connections to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Connections {
    /// Established ones.
    pub active: Option<u64>,
    /// Those that open or close.
    pub inactive: Option<u64>,
    /// All since the endpoint was added.
    pub total: Option<u64>,
}

impl Connections {
    /// Those that are open, whether established or on the way to it or from it.
    pub fn open(self) -> Option<u64> {
        self.active.zip(self.inactive).map(|(active, inactive)| active.saturating_add(inactive))
    }

    /// Those of two virtual servers together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let sum = |one: Option<u64>, other: Option<u64>| Some(one?.saturating_add(other?));
        Self {
            active: sum(self.active, other.active),
            inactive: sum(self.inactive, other.inactive),
            total: sum(self.total, other.total),
        }
    }
}

/// Where a translated connection goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Address {
    /// Address and port.
    Socket(IpAddr, u16),
    /// An address; the port stays as the client chose it.
    SamePort(IpAddr),
    /// An address whose port the dump does not tell.
    UnknownPort(IpAddr),
    /// A destination of another kind, as the rule writes it (an address range, a local redirect).
    Other(Box<str>),
    /// The dump does not tell.
    Unknown,
}

impl Address {
    /// The address, where there is exactly one.
    pub fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Socket(ip, _) | Self::SamePort(ip) | Self::UnknownPort(ip) => Some(*ip),
            Self::Other(_) | Self::Unknown => None,
        }
    }

    /// The port, where it is known.
    pub fn port(&self) -> Option<u16> {
        match self {
            Self::Socket(_, port) => Some(*port),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Socket(ip, port) => write!(f, "{}:{port}", Host(*ip)),
            Self::SamePort(ip) => write!(f, "{}:*", Host(*ip)),
            Self::UnknownPort(ip) => write!(f, "{}:?", Host(*ip)),
            Self::Other(text) => f.write_str(text),
            Self::Unknown => f.write_str("unknown address"),
        }
    }
}
