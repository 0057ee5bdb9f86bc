//! Two observed dataplanes side by side: what one has and the other has not, and what is different in both.
//!
//! What matters is what connections meet. The order of rules, their counters, comments and chains and the language they are
//! written in are no difference in themselves. What one side does not tell is none either: it is counted as [`Unknown`].

mod align;
mod change;
#[cfg(test)]
mod laws;
mod pairing;
mod pool;
mod port;
#[cfg(test)]
mod tests;
mod unknown;

use std::collections::BTreeMap;

pub use align::align;
pub use change::{Change, Kept, RouteAt, Turn, Which};
pub use unknown::Unknown;

use crate::dataplane::{Frontend, ServiceName, ServicePort};
use crate::net::{Family, Protocol};
use crate::order::Order as _;
use pairing::Pairing;

/// A dataplane to be compared.
#[derive(Debug, Clone, Copy)]
pub struct Side<'s> {
    /// Its service ports.
    pub services: &'s [ServicePort],
    /// What its rules can tell, of each family that was read.
    pub known: &'s [Known],
    /// It comes with the objects of its cluster.
    pub objects: bool,
}

/// What the rules of one family can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Known {
    /// The family.
    pub family: Family,
    /// No rules that lead to endpoints are missing.
    pub whole: bool,
    /// No rules that refuse or drop are missing, so that a Service without endpoints is told from none.
    pub refusals: bool,
    /// Which networks may connect is told.
    pub sources: bool,
    /// The rules themselves tell endpoints of the node from those of the whole cluster; those of IPVS mode do not always.
    pub policies: bool,
}

/// A service port that differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Difference<'c> {
    /// It in B, else in A.
    pub port: &'c ServicePort,
    /// It in A.
    pub a: Option<&'c ServicePort>,
    /// It in B; one of both has it.
    pub b: Option<&'c ServicePort>,
    /// What is different, by place; of one that only one side has, all that its rules have.
    pub changes: Vec<Change<'c>>,
}

/// The outcome of a comparison.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Comparison<'c> {
    /// Service ports that differ, by name, protocol and family; unnamed ones last.
    pub differences: Vec<Difference<'c>>,
    /// Service ports that both sides have.
    pub common: usize,
    /// What could not be compared, and how often.
    pub unknown: BTreeMap<Unknown, usize>,
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found<'c> {
    changes: Vec<Change<'c>>,
    unknown: BTreeMap<Unknown, usize>,
}

impl<'c> Found<'c> {
    fn add(&mut self, change: Change<'c>) {
        self.changes.push(change);
    }

    /// Counts something that cannot be compared.
    fn skip(&mut self, unknown: Unknown) {
        *self.unknown.entry(unknown).or_default() += 1;
    }
}

impl<'c> Difference<'c> {
    /// Its name; `None` where neither side tells it.
    pub fn name(&self) -> Option<&'c ServiceName> {
        [self.a, self.b].into_iter().flatten().find_map(|port| port.name.as_ref())
    }

    /// Its protocol; `None` where neither side tells it.
    pub fn protocol(&self) -> Option<Protocol> {
        [self.a, self.b].into_iter().flatten().find_map(|port| port.protocol)
    }
}

/// Compares service ports for which `wanted` holds on one side or the other. [`align`] them first.
pub fn compare<'c>(a: Side<'c>, b: Side<'c>, wanted: impl Fn(&ServicePort) -> bool) -> Comparison<'c> {
    let mut comparison = Comparison::default();
    let mut found = Found::default();
    for (one, other) in pairs(a.services, b.services) {
        if !one.into_iter().chain(other).any(&wanted) {
            continue;
        }
        let differs = match (one, other) {
            (Some(one), Some(other)) => {
                comparison.common += 1;
                port::both(one, other, (a, b), &mut found);
                !found.changes.is_empty()
            }
            (Some(one), None) => port::alone(one, Which::A, b, &mut found),
            (None, Some(other)) => port::alone(other, Which::B, a, &mut found),
            (None, None) => false,
        };
        if let Some(port) = other.or(one).filter(|_| differs) {
            let mut changes = std::mem::take(&mut found.changes);
            changes.order_by_cached_key(Change::place);
            comparison.differences.push(Difference { port, a: one, b: other, changes });
        }
    }
    comparison.differences.order_by_cached_key(|difference| {
        let name = difference.name().cloned();
        (name.is_none(), name, difference.protocol(), difference.port.family, difference.port.key.clone())
    });
    comparison.unknown = found.unknown;
    comparison
}

/// Service ports that are the same one: by name, protocol and family; those without a name by the hash in their chains'
/// names, else by their frontends.
fn pairs<'c>(
    a: &'c [ServicePort],
    b: &'c [ServicePort],
) -> impl Iterator<Item = (Option<&'c ServicePort>, Option<&'c ServicePort>)> {
    let without = |port: &ServicePort| port.protocol.is_none();
    let of_name = |port: &'c ServicePort| Some((port.name.as_ref()?, port.family));
    let unnamed = |port: &'c ServicePort| port.name.is_none().then_some((port.protocol, port.family));
    Pairing::new(a, b)
        .by(|port| Some((port.name.as_ref()?, port.protocol, port.family, &port.key)))
        .by(|port| Some((port.name.as_ref()?, port.protocol, port.family)))
        .between(|port| of_name(port).filter(|_| without(port)), of_name)
        .between(of_name, |port| of_name(port).filter(|_| without(port)))
        .by(|port| Some((unnamed(port)?, &port.key)))
        .by(|port| Some((unnamed(port)?, spots(port))))
        .by(|port| Some((unnamed(port)?, port.frontends.iter().find_map(|f| Some((f.address?, f.port?)))?)))
        .all()
}

/// Where clients reach it.
fn spots(port: &ServicePort) -> Vec<(Option<std::net::IpAddr>, Option<u16>)> {
    let mut spots: Vec<_> = port.frontends.iter().map(|frontend| (frontend.address, frontend.port)).collect();
    spots.order();
    spots
}

/// True if a rule catches it: the cluster alone knows others.
fn is_caught(frontend: &Frontend) -> bool {
    !frontend.rules.is_empty()
}
