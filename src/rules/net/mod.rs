//! Leaf vocabulary: address family, transport protocol, networks, socket addresses and
//! points in time.
//!
//! Knows nothing of rules or of Kubernetes and imports nothing of ours.

mod address;
mod family;
mod moment;
mod network;
mod number;
mod protocol;

pub use address::{Host, V4Text, split_host_port};
pub use family::Family;
pub use moment::{Moment, span};
pub use network::Network;
pub use number::number;
pub use protocol::Protocol;
