//! What a node does with Service traffic, whatever language its rules are written in.
//!
//! The model is neutral: proxy modes produce it, checks compare it, reports show it. Every part names the dump lines
//! that justify it.

mod about;
mod balance;
mod chain;
mod endpoint;
mod name;
mod select;
mod status;
mod wiring;
mod words;

use std::net::IpAddr;

pub use about::{AboutEndpoint, AboutService, Absent, Drift, Gap, Gone, NotWanted, Stale, Standing, State};
pub use balance::{Balance, ChiSquare, Unjudged};
pub use chain::ChainName;
pub use endpoint::{Address, Client, Connections, Endpoint, Traffic};
pub use name::ServiceName;
pub use select::{BadWhat, Select, by_kind, nearest};
pub use status::Status;
pub use wiring::{
    BothBackends, Closed, Dangling, HookFault, Leftovers, MarkFault, MissingHook, Mode, Only, Orphans, Shadow, Taker,
    Unbound, Wiring,
};
pub use words::{WithPod, count, percent};

use crate::net::{Family, Network, Protocol};

/// One port of one Service in one address family.
#[derive(Debug, Clone, PartialEq)]
pub struct ServicePort {
    /// Its name; `None` where neither comment nor object tells it.
    pub name: Option<ServiceName>,
    /// What all its chains have in common: the hash in their names, or the chain itself where names follow no scheme.
    pub key: String,
    /// Its protocol; `None` where no rule says one.
    pub protocol: Option<Protocol>,
    /// The family of its addresses.
    pub family: Family,
    /// How clients reach it.
    pub frontends: Vec<Frontend>,
    /// Where its connections go.
    pub pools: Vec<Pool>,
    /// How long a client stays with its endpoint, in seconds, where the Service has ClientIP affinity.
    pub affinity_seconds: Option<u32>,
    /// In IPVS mode: frontends by their place with another affinity, or none; each virtual server has its own.
    pub other_affinity: Vec<(usize, Option<u32>)>,
    /// In IPVS mode: frontends by their place that have real servers, all of weight 0.
    pub draining: Vec<usize>,
    /// Chains between frontends and pools that have no rule with an effect.
    pub dead_ends: Vec<DeadEnd>,
    /// Rules that repeat an earlier one that catches the same frontend.
    pub repeated: Vec<RuleRef>,
    /// kube-proxy made it, as far as can be told; IPVS serves other programs too.
    pub of_proxy: bool,
    /// What the cluster says of it; `None` without objects.
    pub about: Option<Box<AboutService>>,
}

/// An address or node port that clients connect to.
#[derive(Debug, Clone, PartialEq)]
pub struct Frontend {
    /// What kind of address it is.
    pub kind: FrontendKind,
    /// The address; `None` for a node port, which is open on addresses of the node.
    pub address: Option<IpAddr>,
    /// The port; `None` where the rule does not name exactly one by its number.
    pub port: Option<u16>,
    /// The rule takes every port.
    pub every_port: bool,
    /// What happens to connections, by where they come from.
    pub routes: Vec<Route>,
    /// The rules that catch it.
    pub rules: Vec<RuleRef>,
    /// The rule of the filter table that refuses it for want of endpoints.
    pub refusal: Option<RuleRef>,
}

/// Kinds of frontend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FrontendKind {
    /// The Service's own address.
    ClusterIp,
    /// One of `spec.externalIPs`; also an external address of which the rules do not tell the kind.
    ExternalIp,
    /// One of `status.loadBalancer.ingress`.
    LoadBalancer,
    /// A port on the node itself.
    NodePort,
}

/// Where a client is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// In a pod of this node.
    Pod,
    /// The node itself, or a host-network pod.
    Node,
    /// Anywhere else.
    External,
}

impl Origin {
    /// All origins, in the order they are shown.
    pub const ALL: [Self; 3] = [Self::Pod, Self::Node, Self::External];

    /// `pod`, `node` or `external`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pod => "pod",
            Self::Node => "node",
            Self::External => "external",
        }
    }

    /// Where the client is, in words that stand behind "from".
    pub fn words(self) -> &'static str {
        match self {
            Self::Pod => "pods",
            Self::Node => "this node",
            Self::External => "outside",
        }
    }
}

/// What becomes of connections from one origin to one frontend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where the client is.
    pub origin: Origin,
    /// Only clients from these networks; empty for all that no other route names.
    pub sources: Vec<Network>,
    /// What happens.
    pub verdict: Verdict,
    /// Whether the client's address is replaced by the node's; `None` where the rules alone do not tell.
    pub masquerade: Option<bool>,
}

/// What a route ends in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Spread over the endpoints of the pool with this policy.
    Pool(Policy),
    /// Dropped without an answer.
    Drop,
    /// Refused with an ICMP error.
    Reject,
    /// Not captured: the packet goes on untranslated.
    None,
    /// It cannot be told: a chain is missing, or there are more rules on the way than kube-proxy writes.
    Unknown,
}

impl Verdict {
    /// True if connections are spread over a pool.
    pub fn is_pool(self) -> bool {
        matches!(self, Self::Pool(_))
    }
}

/// Which endpoints a pool holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Policy {
    /// Endpoints of the whole cluster.
    Cluster,
    /// Endpoints of this node.
    Local,
}

impl Policy {
    /// `cluster` or `local`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cluster => "cluster",
            Self::Local => "local",
        }
    }
}

/// A set of endpoints connections are spread over.
#[derive(Debug, Clone, PartialEq)]
pub struct Pool {
    /// Which endpoints it holds.
    pub policy: Policy,
    /// The chain that spreads them.
    pub chain: String,
    /// Its endpoints, in the order in which the rules lead to them.
    pub endpoints: Vec<Endpoint>,
    /// The part of new connections that reaches no endpoint, 0..=1; `None` where a rule cannot be judged.
    pub undelivered: Option<f64>,
    /// Why the pool is not what kube-proxy writes, where it is not.
    pub oddities: Vec<Oddity>,
    /// How many endpoints it should hold; `None` without objects, or where they do not tell.
    pub expected: Option<Result<usize, Gap>>,
    /// Endpoints it should hold and does not.
    pub missing: Vec<Absent>,
    /// Endpoints it holds, by their place, that are ready but meant for other zones or nodes by topology hints.
    pub beyond_hints: Vec<usize>,
    /// Chains without effect in it: its own, or those of endpoints.
    pub dead_ends: Vec<DeadEnd>,
    /// Rules that lead to an endpoint an earlier rule leads to.
    pub repeated: Vec<RuleRef>,
    /// Endpoints with a rule that clients come back by, under ClientIP affinity.
    pub sticky: usize,
    /// Endpoints whose rule remembers the client, so that it can come back.
    pub setting: usize,
    /// Rules that translate, to where the program that printed them could not print.
    pub garbled: Vec<RuleRef>,
    /// Counters of its rules were printed in short.
    pub abbreviated: bool,
    /// Rules of its chain may be among lines that are missing in the dump, even if those that are here take everything.
    pub may_lack_rules: bool,
    /// Its endpoints may be those of another Service, of which the line before them is missing in the dump.
    pub may_have_others: bool,
    /// How IPVS chooses among the endpoints (`rr`, `lc`, …); `None` in other modes, where chance does.
    pub scheduler: Option<String>,
}

/// A chain that rules lead to and that has no effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadEnd {
    /// The chain.
    pub chain: String,
    /// The rule that leads there, where one was followed.
    pub via: Option<RuleRef>,
}

/// A part of all connections this small is the rounding of doubles, not a leak.
const NOTHING: f64 = 1e-9;

impl Pool {
    /// One without endpoints and without anything odd.
    pub fn blank(policy: Policy, chain: String) -> Self {
        Self {
            policy,
            chain,
            endpoints: Vec::new(),
            undelivered: None,
            oddities: Vec::new(),
            expected: None,
            missing: Vec::new(),
            beyond_hints: Vec::new(),
            dead_ends: Vec::new(),
            repeated: Vec::new(),
            sticky: 0,
            setting: 0,
            garbled: Vec::new(),
            abbreviated: false,
            may_lack_rules: false,
            may_have_others: false,
            scheduler: None,
        }
    }

    /// Adds the rules and connections of a pool of the same policy with the same endpoints and shares, as two addresses of
    /// one Service have in IPVS mode. False, and nothing is added, where they differ.
    pub fn absorb(&mut self, other: &Self) -> bool {
        let equal = |(a, b): (&Endpoint, &Endpoint)| {
            a.address == b.address && a.probability == b.probability && a.draining == b.draining
        };
        let same = self.policy == other.policy
            && self.endpoints.len() == other.endpoints.len()
            && self.endpoints.iter().zip(&other.endpoints).all(equal);
        if same {
            self.endpoints.iter_mut().zip(&other.endpoints).for_each(|(known, more)| known.absorb(more));
        }
        same
    }

    /// True if all its endpoints only keep the connections they have: the Service has lost its last usable endpoint.
    pub fn is_draining(&self) -> bool {
        !self.endpoints.is_empty() && self.endpoints.iter().all(|endpoint| endpoint.draining)
    }

    /// The rules that are here give no shares, for this reason.
    pub fn forget_shares(&mut self, why: Oddity) {
        self.undelivered = None;
        self.endpoints.iter_mut().for_each(|endpoint| endpoint.probability = None);
        if !self.oddities.contains(&why) {
            self.oddities.push(why);
        }
    }

    /// The part of new connections that is known to reach no endpoint, if there is one.
    pub fn lost(&self) -> Option<f64> {
        self.undelivered.filter(|lost| *lost > NOTHING && !self.is_draining())
    }

    /// The endpoints the cluster says are lost.
    pub fn lost_endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|endpoint| endpoint.is_lost())
    }

    /// True if the dump tells every endpoint of the pool and its address.
    pub fn is_whole(&self) -> bool {
        self.undelivered.is_some()
            && self.oddities.iter().all(|oddity| matches!(oddity, Oddity::Deep(_)))
            && self.endpoints.iter().all(|endpoint| endpoint.address.ip().is_some())
    }
}

impl Frontend {
    /// True if where it leads is not known, for some clients at least.
    pub fn is_unclear(&self) -> bool {
        self.routes.iter().any(|route| route.verdict == Verdict::Unknown)
    }
}

impl ServicePort {
    /// True if where one of its frontends leads is not known.
    pub fn is_unclear(&self) -> bool {
        self.frontends.iter().any(Frontend::is_unclear)
    }

    /// The largest part that one of its pools loses.
    pub fn lost(&self) -> Option<f64> {
        self.pools.iter().filter_map(Pool::lost).max_by(f64::total_cmp)
    }
}

/// Something about a pool's chains that kube-proxy never writes and that limits what can be said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// A chain jumps back to one it was reached from. The kernel refuses to load such rules.
    Loop(String),
    /// Chains nest this deep. nf_tables follows 16 jumps (NFT_JUMP_STACK_SIZE, include/net/netfilter/nf_tables.h).
    Deep(usize),
    /// A rule has a condition or target that cannot be judged from a dump, or cannot be read.
    Undecided(RuleRef),
    /// A jump to a chain the dump does not hold.
    Missing(String),
    /// The text ends inside this chain.
    CutOff(String),
    /// This chain is not the Service's own, and it is not followed: there are too many rules behind it for so many Services.
    Shared(String),
    /// Lines of the table are missing, and rules of this chain may be among them.
    Incomplete(String),
    /// The lines of the table are not in the order of iptables.
    Unordered,
}

/// A rule of a dump.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RuleRef {
    /// Which of the texts that were read, from 0.
    pub text: u16,
    /// Its line, from 1.
    pub line: u32,
}

/// A rule with what it does, for someone who wants to read the mechanism.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleNote {
    /// Its line in the dump, from 1.
    pub line: u32,
    /// The rule as the dump has it.
    pub text: String,
    /// What it does, in one sentence.
    pub meaning: String,
}

/// The rules of one service, step by step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Walkthrough {
    /// For each frontend, in order: the rules that catch it and decide where it goes.
    pub frontends: Vec<Vec<RuleNote>>,
    /// For each pool, in order.
    pub pools: Vec<PoolWalkthrough>,
}

/// The rules of one pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PoolWalkthrough {
    /// Rules of the pool's chain that choose no endpoint.
    pub head: Vec<RuleNote>,
    /// For each endpoint, in order.
    pub endpoints: Vec<Vec<RuleNote>>,
}
