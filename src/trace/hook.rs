//! The places where the kernel asks its rules about a packet, and the order in which it asks the tables there.

use crate::dump::iptables::TableName;

/// A hook of netfilter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hook {
    /// A packet has come in.
    Prerouting,
    /// It is for this node.
    Input,
    /// It is for another host.
    Forward,
    /// This node sends it.
    Output,
    /// It is about to leave.
    Postrouting,
}

impl Hook {
    /// The name of its built-in chains.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Prerouting => "PREROUTING",
            Self::Input => "INPUT",
            Self::Forward => "FORWARD",
            Self::Output => "OUTPUT",
            Self::Postrouting => "POSTROUTING",
        }
    }

    /// The tables that are asked there, in the order of their priorities (`enum nf_ip_hook_priorities`,
    /// include/uapi/linux/netfilter_ipv4.h). nat rewrites sources at INPUT, which decides nothing here.
    pub(super) fn tables(self) -> &'static [TableName] {
        use TableName::{Filter, Mangle, Nat, Raw, Security};
        match self {
            Self::Prerouting => &[Raw, Mangle, Nat],
            Self::Input | Self::Forward => &[Mangle, Filter, Security],
            Self::Output => &[Raw, Mangle, Nat, Filter, Security],
            Self::Postrouting => &[Mangle, Nat],
        }
    }

    /// True where a packet has an interface it came in by.
    pub(super) fn is_inbound(self) -> bool {
        !matches!(self, Self::Output | Self::Postrouting)
    }
}
