//! kube-proxy's conventions: from rulesets to the observed dataplane, one folder a mode.

pub mod chain_name;
mod client;
pub mod iptables;
pub mod ipvs;
mod known;
pub mod nftables;
mod node;

pub use known::KnownNames;
pub use node::{Extent, Rules, Sketch, Survey};
