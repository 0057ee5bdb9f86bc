//! kube-proxy's iptables mode, Kubernetes 1.1 to today: what the KUBE-* chains of a node mean.
//!
//! [`rulesets`] picks the tables out of the dumps, [`Survey`] finds the service ports and their frontends in
//! KUBE-SERVICES, KUBE-NODEPORTS and the filter table, and [`Survey::services`] follows some of them to their endpoints.
//! Nothing that is not asked for is parsed.

mod audit;
mod comment;
mod compile;
mod conditions;
mod draft;
mod followed;
mod fragments;
mod mark;
mod matching;
mod part;
mod pool;
mod portal;
mod reject;
mod route;
mod ruleset;
mod spread;
mod step;
mod survey;
mod targets;
mod translate;
mod walkthrough;

pub use audit::{Depth, leftovers, mode};
pub use conditions::{Facts, Truth, meets};
pub use fragments::joined;
pub use mark::{apply as apply_mark, masked as masked_mark};
pub use matching::PodSide;
pub use part::share_of;
pub use ruleset::{Note, Ruleset, Table, rulesets};
pub use survey::{Sketch, Survey};
pub use targets::only_watches;
pub use translate::{Translation, of as translation};
