//! What rules have made of a packet on its way.

use std::net::IpAddr;

use crate::dataplane::Address;

/// Where a packet is headed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    At(IpAddr),
    /// An address of this node, which one is not known.
    Here,
    /// One of several, or one the dump does not tell.
    Somewhere,
}

impl Place {
    pub(super) fn ip(self) -> Option<IpAddr> {
        if let Self::At(ip) = self { Some(ip) } else { None }
    }
}

/// What a source address became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum NewSource {
    Exactly(IpAddr),
    /// The address stays, and the port becomes another.
    OtherPort,
    /// An address of this node, which the interface lends that it leaves by; `lo` has none to lend.
    OfNode,
    Unknown,
}

/// What rules change about a packet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) place: Place,
    /// `None` where the dump does not tell.
    pub(super) port: Option<u16>,
    pub(super) mark: u32,
    /// The mark of its connection.
    pub(super) connmark: u32,
    /// Its connection is tracked: without that there is no translation.
    pub(super) tracked: bool,
    /// Where its destination was translated to.
    pub(super) translated: Option<Address>,
    /// kube-proxy marked it for masquerading, which is done where it leaves the node.
    pub(super) marked: bool,
    /// What its source became where it left.
    pub(super) source: Option<NewSource>,
}

impl State {
    /// True where the endpoint sees another address than the client's.
    pub(super) fn is_masqueraded(&self) -> bool {
        self.source.is_some_and(|source| source != NewSource::OtherPort)
    }
}
