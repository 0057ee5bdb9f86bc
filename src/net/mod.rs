//! Leaf vocabulary: address family, transport protocol, networks and socket addresses.
//!
//! Knows nothing of rules or of Kubernetes and imports nothing of ours.

mod address;
mod family;
mod network;
mod protocol;

pub use address::{Host, split_host_port};
pub use family::Family;
pub use network::Network;
pub use protocol::Protocol;
