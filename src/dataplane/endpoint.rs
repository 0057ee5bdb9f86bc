//! An endpoint: where a connection ends up, and how likely.

use std::fmt;
use std::net::IpAddr;

use super::{AboutEndpoint, RuleRef};
use crate::net::Host;

/// One destination of a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoint {
    /// Where connections are sent.
    pub address: Address,
    /// The part of the pool's new connections it gets, 0..=1; `None` where a rule cannot be judged.
    pub probability: Option<f64>,
    /// The chain that translates the address.
    pub chain: String,
    /// Rules that lead there: the jump, then the translation.
    pub rules: Vec<RuleRef>,
    /// New connections it got since its chain was last written, where the dump has exact counters.
    pub packets: Option<u64>,
    /// New connections that the rule which leads to its chain counted, where the dump has exact counters.
    pub arrived: Option<u64>,
    /// Its chain has a rule that masquerades, as it must for a pod that reaches itself (hairpin).
    pub hairpin: bool,
    /// A rule sends clients there that came before, under ClientIP affinity, whatever part of the new ones it gets.
    pub remembered: bool,
    /// What the cluster says of it; `None` without objects.
    pub about: Option<AboutEndpoint>,
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
    Other(String),
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
