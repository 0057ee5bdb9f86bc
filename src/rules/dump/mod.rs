//! Text to a faithful model, one language a folder. Knows the languages, nothing of Kubernetes.

pub mod addresses;
pub mod ipset;
pub mod iptables;
pub mod ipvs;
pub mod nft;
mod recognise;

pub use recognise::{Foreign, is_gzip, recognise};
