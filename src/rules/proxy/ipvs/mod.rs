//! kube-proxy's IPVS mode (Kubernetes 1.8 to today): virtual servers of the kernel's load balancer, with rules of iptables and
//! ipsets around them that decide who is masqueraded and who is dropped.
//!
//! [`Survey`] reads the virtual servers, which name no Service: objects do, by address and port. Which of them are of one
//! Service, and of which policy, objects tell, else the ipsets as far as they do.

use crate::net::Family;

mod around;
mod lacking;
mod masquerading;
mod pool;
mod server;
mod survey;
mod walkthrough;

pub use lacking::{lacks_sets, unread_sets};
pub use masquerading::{fault as mark_fault, may_lack_hairpins};
pub use survey::{Ruleset, Sketch, Survey, title};

/// The longest name of an ipset (IPSET_MAXNAMELEN, less its end); kube-proxy cuts longer ones.
const LONGEST: usize = 31;

/// The whole name of kube-proxy's ipset `name` of a family.
pub(super) fn set_name(family: Family, name: &str) -> String {
    let mut full = format!("KUBE-{}{name}", if family == Family::Ipv6 { "6-" } else { "" });
    full.truncate(LONGEST);
    full
}
