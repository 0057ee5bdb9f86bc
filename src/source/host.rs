//! A place where commands of the list are run: this machine, or a Pod on a node.

use super::command::Allowed;
use super::{Machine, Origin, SourceError};
use crate::net::Family;

/// What a command that came to its end left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// Its exit status; `None` if a signal ended it.
    pub code: Option<i32>,
}

/// Why a command was not run to its end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotRun {
    /// There is no such program.
    Absent,
    /// Something else.
    Because(SourceError),
}

impl From<SourceError> for NotRun {
    fn from(error: SourceError) -> Self {
        Self::Because(error)
    }
}

/// A place where commands of the list are run. Only what came whole is given: output that may be cut is an error.
pub trait Host: Sync {
    /// Runs a command to its end.
    fn run(&self, command: Allowed) -> Result<Finished, NotRun>;

    /// True if this variant of iptables is there and asking it changes nothing.
    fn has(&self, program: &str) -> bool;

    /// Names of the legacy tables that the kernel has now; `None` where that cannot be told and asking creates none.
    fn legacy_tables(&self, family: Family) -> Option<Vec<String>>;

    /// True if the kernel has IPVS loaded: ipvsadm loads it otherwise.
    fn has_ipvs(&self) -> bool;

    /// The mode kube-proxy says it runs in: `iptables`, `ipvs` or `nftables`; `None` where nobody answers.
    fn proxy_mode(&self) -> Option<String>;

    /// What rules that were read here come from.
    fn origin(&self) -> Origin;

    /// The node's own name and addresses, where they can be told.
    fn machine(&self) -> Option<Machine>;

    /// Where programs are looked for, in words.
    fn path(&self) -> String;

    /// ` in pod kube-system/kube-proxy-x`; empty for this machine.
    fn place(&self) -> String;

    /// What to try where rules cannot be listed.
    fn other_ways(&self) -> Vec<String>;

    /// What to try where there is no iptables.
    fn without_iptables(&self) -> Vec<String> {
        self.other_ways()
    }

    /// What to try where listing is not permitted.
    fn without_rights(&self) -> Vec<String> {
        self.other_ways()
    }
}
