//! What can be different, and what cannot be compared.

use std::net::IpAddr;

use crate::dataplane::{Absent, Address, Endpoint, Frontend, FrontendKind, Origin, Policy, Status, Verdict};
use crate::net::Network;

/// One of the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// The first.
    A,
    /// The second.
    B,
}

impl Which {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }

    /// `A` or `B`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::A => "A",
            Self::B => "B",
        }
    }
}

/// What only one side has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn<T> {
    /// Only B has it.
    Gained(T),
    /// Only A has it.
    Lost(T),
}

impl<T: Copy> Turn<T> {
    /// What only `which` has.
    pub(super) fn of(which: Which, it: T) -> Self {
        match which {
            Which::A => Self::Lost(it),
            Which::B => Self::Gained(it),
        }
    }

    /// What it is.
    pub fn it(&self) -> T {
        match self {
            Self::Gained(it) | Self::Lost(it) => *it,
        }
    }
}

/// Connections to a frontend from one origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RouteAt<'c> {
    /// The frontend, of A where both sides have it.
    pub frontend: &'c Frontend,
    /// Where the client is.
    pub origin: Origin,
    /// Only clients from this network; `None` for all that no other route names.
    pub source: Option<Network>,
}

/// What is different about an endpoint that both sides have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kept {
    /// The part of new connections it gets.
    Share,
    /// Its state in the cluster.
    State,
    /// Whether it gets new connections at all.
    Draining,
    /// Whether it is masqueraded where it reaches itself.
    Hairpin,
}

/// A difference.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change<'c> {
    /// The state in one word, where the objects of both sides tell it.
    Status(Status, Status),
    /// `spec.type`.
    Type(&'static str, &'static str),
    /// Seconds of ClientIP affinity; `None` without.
    Affinity(Option<u32>, Option<u32>),
    /// A frontend.
    Frontend(Turn<&'c Frontend>),
    /// What becomes of connections; `None` where a side has no rule of its own for these clients.
    Verdict(RouteAt<'c>, Option<Verdict>, Option<Verdict>),
    /// Whether clients are masqueraded.
    Masquerade(RouteAt<'c>, bool, bool),
    /// How IPVS chooses among endpoints.
    Scheduler(Policy, &'c str, &'c str),
    /// The part of new connections that reaches no endpoint.
    Undelivered(Policy, f64, f64),
    /// An endpoint.
    Endpoint(Policy, Turn<&'c Endpoint>),
    /// Something about an endpoint, of A and of B.
    Kept(Policy, Kept, &'c Endpoint, &'c Endpoint),
    /// An endpoint that should be programmed and is not; no policy where no rule leads to any endpoint.
    Missing(Option<Policy>, Turn<&'c Absent>),
}

/// Where a change is, in the order in which they are told: the service port, frontends, pools, endpoints.
type Place = (u8, Spot, u8, Option<(Option<Network>, Origin)>);

/// Policy, kind, address, port, and for what has no address what the rules call it.
type Spot = (Option<Policy>, Option<FrontendKind>, Option<IpAddr>, Option<u16>, String);

impl Change<'_> {
    pub(super) fn place(&self) -> Place {
        let pool = |policy: Policy| (Some(policy), None, None, None, String::new());
        let service = || (None, None, None, None, String::new());
        let route = |at: &RouteAt<'_>, what| (1, frontend(at.frontend), what, Some((at.source, at.origin)));
        match self {
            Self::Status(..) => (0, service(), 0, None),
            Self::Type(..) => (0, service(), 1, None),
            Self::Affinity(..) => (0, service(), 2, None),
            Self::Frontend(turn) => (1, frontend(turn.it()), 0, None),
            Self::Verdict(at, ..) => route(at, 1),
            Self::Masquerade(at, ..) => route(at, 2),
            Self::Scheduler(policy, ..) => (2, pool(*policy), 0, None),
            Self::Undelivered(policy, ..) => (2, pool(*policy), 1, None),
            Self::Endpoint(policy, turn) => (3, endpoint(Some(*policy), &turn.it().address, &turn.it().chain), 0, None),
            Self::Kept(policy, kept, a, _) => (3, endpoint(Some(*policy), &a.address, ""), 1 + *kept as u8, None),
            Self::Missing(policy, turn) => (3, endpoint(*policy, &turn.it().address, ""), 9, None),
        }
    }
}

fn frontend(frontend: &Frontend) -> Spot {
    (None, Some(frontend.kind), frontend.address, frontend.port, String::new())
}

fn endpoint(policy: Option<Policy>, address: &Address, chain: &str) -> Spot {
    let text = match address {
        Address::Other(text) => text.to_string(),
        Address::Unknown => chain.to_owned(),
        _ => String::new(),
    };
    (policy, None, address.ip(), address.port(), text)
}
