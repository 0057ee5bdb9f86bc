//! kube-proxy's conventions: from rulesets to the observed dataplane, one folder a mode.

mod allowance;
pub mod chain_name;

mod client;
mod extent;
pub mod iptables;
pub mod ipvs;
mod known;
pub mod nftables;
mod node;
mod pods_told;
mod sketch;

pub use extent::Extent;
pub use known::{KnownFrontend, KnownNames};
pub use node::{Rules, Survey};
pub use sketch::Sketch;
