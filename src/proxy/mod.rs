//! kube-proxy's conventions: from rulesets to the observed dataplane, one folder a mode.

pub mod chain_name;
pub mod iptables;
mod known;

pub use known::KnownNames;
