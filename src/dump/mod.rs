//! Text to a faithful model, one language a folder. Knows the languages, nothing of Kubernetes.

pub mod ipset;
pub mod iptables;
mod recognise;

pub use recognise::{Foreign, is_gzip, recognise};
