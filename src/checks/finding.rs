//! A finding: what is wrong, where, how much of it, and what shows it.

use std::fmt;

use super::Check;
use crate::dataplane::{RuleRef, ServicePort};
use crate::net::{Family, Moment, Protocol};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something is not as it should be; connections may get through all the same.
    Warning,
    /// Connections are lost, or go where they must not.
    Error,
}

impl Severity {
    /// All of them, worst first.
    pub const ALL: [Self; 3] = [Self::Error, Self::Warning, Self::Info];

    /// `error`, `warning` or `info`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Something wrong, or worth knowing.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// The check that found it.
    pub check: &'static Check,
    /// How much it matters here: less than the check's own severity where it does less harm.
    pub severity: Severity,
    /// Place of the service port among those that were checked; `None` for the node as a whole.
    pub port: Option<usize>,
    /// `ns/name[:port]`; `None` for the node as a whole, and where nothing tells the name.
    pub service: Option<String>,
    /// Protocol of the service port.
    pub protocol: Option<Protocol>,
    /// Family of the rules.
    pub family: Option<Family>,
    /// The endpoint, `ip:port`.
    pub address: Option<String>,
    /// The frontend, `ip:port` or `:nodeport`.
    pub frontend: Option<String>,
    /// The chain.
    pub chain: Option<String>,
    /// Which of several kinds of this finding it is, in one word.
    pub reason: Option<&'static str>,
    /// The part of new connections it affects, 0..=1; `None` where that cannot be told, or none are.
    pub share: Option<f64>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do next.
    pub hint: String,
    /// The rules that show it.
    pub rules: Vec<RuleRef>,
    /// The objects it was compared with.
    pub objects: Vec<ObjectRef>,
}

impl Finding {
    /// True if something is wrong, and not just worth knowing.
    pub fn is_wrong(&self) -> bool {
        self.severity > Severity::Info
    }

    /// A finding of `check` about the rules of a family.
    pub(super) fn about(check: &'static Check, family: Family) -> Self {
        Self {
            check,
            severity: check.severity,
            port: None,
            service: None,
            protocol: None,
            family: Some(family),
            address: None,
            frontend: None,
            chain: None,
            reason: None,
            share: None,
            message: String::new(),
            hint: String::new(),
            rules: Vec::new(),
            objects: Vec::new(),
        }
    }

    /// A finding of `check` about the service port at this place.
    pub(super) fn on(check: &'static Check, at: usize, port: &ServicePort) -> Self {
        let chain = || port.pools.first().map_or_else(|| port.key.clone(), |pool| pool.chain.clone());
        Self {
            port: Some(at),
            service: port.name.as_ref().map(ToString::to_string),
            chain: port.name.is_none().then(chain),
            protocol: port.protocol,
            ..Self::about(check, port.family)
        }
    }

    /// Names each rule once, where it is named first.
    pub(super) fn tell_once(&mut self) {
        let mut told = hashbrown::HashSet::new();
        self.rules.retain(|rule| told.insert(*rule));
    }

    /// What it says of what, whatever words and numbers it says it with: whether something persists is told by this.
    pub(super) fn essence(&self) -> impl Eq + std::hash::Hash + use<> {
        let place = (self.service.clone(), self.protocol, self.family);
        let parts = (self.address.clone(), self.frontend.clone(), self.chain.clone());
        (self.check.id, place, parts, self.reason)
    }
}

/// A field of an object that a finding was compared with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectRef {
    /// `Service`, `EndpointSlice`, `Pod`, `ConfigMap`.
    pub kind: &'static str,
    /// `namespace/name`.
    pub name: String,
    /// The field: `spec.sessionAffinity`.
    pub field: String,
    /// Its value, as it was read.
    pub value: String,
    /// When the object last changed, where it tells.
    pub changed: Option<Moment>,
}
