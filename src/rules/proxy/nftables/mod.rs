//! kube-proxy's nftables mode (Kubernetes 1.29 to today): what its tables `ip kube-proxy` and `ip6 kube-proxy` do.
//!
//! [`Survey`] finds the frontends in the maps of the tables, and follows one connection to each through the hooks: not the
//! names of chains decide where it goes, but the rules.

mod audit;
mod draft;
mod index;
mod masquerading;
pub(super) mod names;
mod packet;
mod spread;
mod survey;
mod unclaimed;
mod walk;
mod walkthrough;

pub use audit::refuses_node_first;
pub use names::{Renamed, fits as name_fits, keys as name_keys, renamed, service_of};
pub use survey::{Lack, Ruleset, Sketch, Survey, TABLE, family_without_table, rulesets};
pub use unclaimed::{dropped, rejected};
