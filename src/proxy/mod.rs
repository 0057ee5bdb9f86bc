//! kube-proxy's conventions: from rulesets to the observed dataplane, one folder a mode.

mod allowance;
pub mod chain_name;

mod client;
pub mod iptables;
pub mod ipvs;
mod known;
pub mod nftables;
mod node;
mod pods_told;
mod sketch;

pub use known::{KnownFrontend, KnownNames};
pub use node::{Extent, Rules, Survey};
pub use sketch::Sketch;
