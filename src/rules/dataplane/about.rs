//! What the cluster says of what the rules do: it stands beside them and never changes them.

use std::net::IpAddr;
use std::sync::Arc;

use super::{Address, Endpoint, FrontendKind, Origin, Policy, ServicePort, Verdict};
use crate::net::Network;

/// What the cluster says of a service port.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutService {
    /// `spec.type`; `None` where no such Service is known.
    pub service_type: Option<&'static str>,
    /// What should be there.
    pub standing: Standing,
    /// Endpoints that should be programmed, where no rule leads to any endpoint at all and none is missing from the
    /// dump.
    pub unprogrammed: Vec<Absent>,
    /// Endpoints that are not ready and that no rule leads to, as it should be.
    pub waiting: Vec<Absent>,
    /// False if rules of the family are missing from the dump, so that those of the service may be.
    pub rules_complete: bool,
    /// What is not known, so that which endpoints should be programmed is not.
    pub gap: Option<Gap>,
    /// Where frontends and policies differ from what they should be.
    pub drifts: Vec<Drift>,
}

/// A difference between the frontends or policies of the rules and those of the Service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Drift {
    /// The frontend with this place is captured and should not be.
    StaleFrontend(usize, NotWanted),
    /// A frontend of the Service is not captured.
    MissingFrontend {
        /// Its kind.
        kind: FrontendKind,
        /// Its address; `None` for a node port.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
        /// The filter table refuses it in this way.
        refused: Option<Verdict>,
        /// It does so rightly: under Local policy without an endpoint of this node, clients from outside are dropped.
        rightly: bool,
    },
    /// Clients of a frontend without endpoints should be refused and are not.
    NotRefused {
        /// Its kind.
        kind: FrontendKind,
        /// Its address; `None` for a node port.
        address: Option<IpAddr>,
        /// Its port.
        port: u16,
    },
    /// The filter table refuses the frontend with this place, but nat takes its connections first.
    IdleRefusal(usize),
    /// Connections to the frontend with this place get the wrong pool, or none.
    Policy {
        /// The place of the frontend.
        frontend: usize,
        /// Where they come from.
        origin: Origin,
        /// What the rules do with them.
        have: Verdict,
        /// The pool they should go to.
        want: Policy,
    },
    /// Connections of some clients to the frontend with this place get nowhere, where others are served.
    ShutOut {
        /// The place of the frontend.
        frontend: usize,
        /// What becomes of them: dropped, refused, or nothing.
        verdict: Verdict,
        /// Where they come from.
        origins: Vec<Origin>,
        /// Only those from these networks; empty for all.
        networks: Vec<Network>,
    },
    /// The pool of this policy holds this endpoint, which runs on another node than this one.
    NotLocal(Address),
    /// Clients from other networks than those of the Service may connect to the frontend with this place.
    Sources {
        /// The place of the frontend.
        frontend: usize,
        /// Networks the rules let in; `None` for all.
        have: Option<Vec<Network>>,
        /// Those they should let in; empty for all.
        want: Vec<Network>,
    },
    /// Clients that may not connect to the frontend with this place are not dropped.
    NotDropped(usize),
    /// ClientIP affinity has another timeout, in seconds, or is missing, or should be.
    Affinity {
        /// The place of the frontend; `None` for all that are not told of on their own.
        frontend: Option<usize>,
        /// Of the rules.
        have: Option<u32>,
        /// Of the Service.
        want: Option<u32>,
    },
}

/// Why a frontend must not be captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotWanted {
    /// The Service does not have it.
    NotOfService,
    /// No endpoint of the Service is usable.
    NoEndpoints,
    /// No endpoint of this node is usable, and those of others must not be used.
    NoLocalEndpoints,
}

/// Whether kube-proxy should have rules for a service port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// It should: there are usable endpoints, or whether there are is not known.
    Served,
    /// No endpoint is usable: clients are refused.
    NoEndpoints,
    /// No endpoint of this node is usable, and those of others must not be used.
    NoLocalEndpoints,
    /// Headless: clients learn the pods' addresses from DNS.
    Headless,
    /// The Service has no cluster IP yet.
    NoClusterIp,
    /// A DNS name, if it is known which.
    ExternalName(Option<String>),
    /// The proxy of this name serves it.
    OtherProxy(String),
    /// It has addresses of another family only than the rules that were read.
    OtherFamily,
    /// The cluster does not have it any more.
    Gone(Gone),
    /// The objects that were read do not tell.
    Unknown,
}

/// What of a service port is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gone {
    /// The Service.
    Service,
    /// Its port.
    Port,
    /// Its addresses of this family.
    Family,
}

/// What the cluster says of an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub struct AboutEndpoint {
    /// `namespace/name` of its Pod.
    pub pod: Option<Arc<str>>,
    /// The node it runs on.
    pub node: Option<Arc<str>>,
    /// It runs on the node the rules are of; `None` where that is not known.
    pub local: Option<bool>,
    /// Its state.
    pub state: State,
    /// The pool should hold it; `None` where it cannot be told.
    pub wanted: Option<bool>,
}

impl AboutEndpoint {
    /// The objects that were read do not tell.
    pub const UNKNOWN: Self = Self { pod: None, node: None, local: None, state: State::Unknown, wanted: None };
}

/// The state of an endpoint in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// It takes connections.
    Ready,
    /// It ends, and still answers.
    ServingTerminating,
    /// It is known and takes none.
    NotReady,
    /// The Service has no such endpoint.
    Stale(Stale),
    /// The objects that were read do not tell.
    Unknown,
}

/// Why an endpoint is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stale {
    /// No Pod has its address.
    Deleted,
    /// Its address is that of this Pod, which is none of the Service's endpoints (any more).
    Reused(Arc<str>),
    /// The endpoint listens on this port now.
    PortChanged(u16),
    /// It is no endpoint of the Service; whose address it is was not asked, or could not be.
    Unlisted,
}

/// An endpoint that no rule leads to.
#[derive(Debug, Clone, PartialEq)]
pub struct Absent {
    /// Its address.
    pub address: Address,
    /// What is known of it.
    pub about: AboutEndpoint,
}

/// A fact that is not known and that an answer depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gap {
    /// Which node the rules are of.
    Node,
    /// The zone of the node.
    Zone,
    /// The EndpointSlices of the Service.
    Endpoints,
}

impl State {
    /// `ready`, `serving-terminating`, `not-ready`, `stale` or `unknown`.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::ServingTerminating => "serving-terminating",
            Self::NotReady => "not-ready",
            Self::Stale(_) => "stale",
            Self::Unknown => "unknown",
        }
    }
}

impl Stale {
    /// `deleted`, `ip-reused` or `port-changed`; `None` where it is not known.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Deleted => Some("deleted"),
            Self::Reused(_) => Some("ip-reused"),
            Self::PortChanged(_) => Some("port-changed"),
            Self::Unlisted => None,
        }
    }
}

impl Standing {
    /// True if kube-proxy must have no rules that lead to endpoints.
    pub fn forbids_rules(&self) -> bool {
        match self {
            Self::Headless | Self::NoClusterIp | Self::ExternalName(_) | Self::OtherProxy(_) | Self::Gone(_) => true,
            Self::Served | Self::NoEndpoints | Self::NoLocalEndpoints | Self::OtherFamily | Self::Unknown => false,
        }
    }
}

impl ServicePort {
    /// True if rules lead to endpoints that are gone or take nothing, or should not be there at all.
    pub fn is_stale(&self) -> bool {
        let forbidden = self.about.as_ref().is_some_and(|about| match about.standing {
            Standing::Gone(_) => true,
            _ => about.standing.forbids_rules() && !self.pools.is_empty(),
        });
        forbidden || self.pools.iter().any(|pool| pool.lost_endpoints().next().is_some())
    }

    /// True if only its family is known: the rules that were read are of the other, so that nothing of it was compared.
    pub fn is_of_unread_family(&self) -> bool {
        self.about.as_ref().is_some_and(|about| about.standing == Standing::OtherFamily)
    }

    /// Where its frontends and policies differ from those of the Service; none where that is not known.
    pub fn drifts(&self) -> &[Drift] {
        self.about.as_ref().map(|about| about.drifts.as_slice()).unwrap_or_default()
    }

    /// True if rules should lead to endpoints and none does.
    pub fn lacks_rules(&self) -> bool {
        self.pools.is_empty() && self.about.as_ref().is_some_and(|about| !about.unprogrammed.is_empty())
    }
}

impl Endpoint {
    /// True if the cluster says that new connections to it are lost.
    pub fn is_lost(&self) -> bool {
        !self.draining && self.about.as_deref().is_some_and(AboutEndpoint::is_lost)
    }
}

impl AboutEndpoint {
    /// True if connections to it are lost: there is no such endpoint, or it takes none.
    pub fn is_lost(&self) -> bool {
        matches!(self.state, State::Stale(_) | State::NotReady)
    }
}
