//! How the rules of a node hang together, apart from what any single service does: hooks, marks, chains that lead nowhere,
//! rules that stand in the way.

use std::fmt;
use std::net::IpAddr;

use super::{FrontendKind, Origin, RuleRef, ServiceName};
use crate::net::{Family, Protocol};

/// The rules of one family as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Wiring {
    /// The family.
    pub family: Family,
    /// The mode of kube-proxy whose rules act; `None` where no rules tell.
    pub mode: Option<Mode>,
    /// What kube-proxy itself says its mode is, where it was asked.
    pub said: Option<Mode>,
    /// The Services of this mode are not in what was read.
    pub unseen: bool,
    /// Addresses of virtual servers that no interface of the node has, where its addresses are known.
    pub unbound: Option<Vec<Unbound>>,
    /// The listing of the node's addresses ends early.
    pub addresses_cut: bool,
    /// In IPVS mode: ipsets that rules ask for were not read, or not all of them.
    pub sets_missing: bool,
    /// In IPVS mode: the ipset of endpoints that reach themselves ends its listing, and may have gone on.
    pub hairpins_untold: bool,
    /// Node ports without a virtual server on an address of the node that most node ports have one on.
    pub closed: Vec<Closed>,
    /// In iptables mode: external traffic has chains of its own (KUBE-EXT, since 1.24).
    pub external_chains: bool,
    /// In iptables mode: one rule opens node ports on every address of the node.
    pub opens_everywhere: bool,
    /// In IPVS mode: the nat table is all there, and has no chain of kube-proxy.
    pub no_portal: bool,
    /// Rules of another mode.
    pub leftovers: Option<Leftovers>,
    /// The rules of both interfaces of the kernel to iptables, where both lead to Services.
    pub both_backends: Option<BothBackends>,
    /// The nat table is all there, so that what is not in it is not on the node.
    pub whole: bool,
    /// The filter table is all there.
    pub filter_whole: bool,
    /// Built-in chains that do not lead where kube-proxy has them lead.
    pub missing_hooks: Vec<MissingHook>,
    /// KUBE-SERVICES is reached and has no rules, while chains of services do.
    pub portal_is_empty: bool,
    /// All chains of kube-proxy in the nat table are there, and have no rules: the table was flushed.
    pub emptied: bool,
    /// What is wrong with the mark for masquerading.
    pub mark: Option<MarkFault>,
    /// Jumps to chains that are not there. Empty where the table is not whole, or was not gone through.
    pub dangling: Vec<Dangling>,
    /// Chains of services and endpoints that nothing leads to; none where the table was not gone through.
    pub orphans: Orphans,
    /// Frontends whose connections an earlier rule takes.
    pub shadows: Vec<Shadow>,
    /// The rules ahead of kube-proxy's are too many to be held against every frontend.
    pub shadows_unknown: bool,
    /// Rules ahead of kube-proxy's that may take connections to a Service, which cannot be known.
    pub shadows_undecided: Vec<RuleRef>,
}

impl Wiring {
    /// Rules of a family of which nothing is wrong.
    pub fn blank(family: Family, mode: Mode) -> Self {
        Self {
            family,
            mode: Some(mode),
            said: None,
            unseen: false,
            unbound: None,
            addresses_cut: false,
            sets_missing: false,
            hairpins_untold: false,
            closed: Vec::new(),
            external_chains: false,
            opens_everywhere: false,
            no_portal: false,
            leftovers: None,
            both_backends: None,
            whole: true,
            filter_whole: true,
            missing_hooks: Vec::new(),
            portal_is_empty: false,
            emptied: false,
            mark: None,
            dangling: Vec::new(),
            orphans: Orphans::default(),
            shadows: Vec::new(),
            shadows_unknown: false,
            shadows_undecided: Vec::new(),
        }
    }
}

impl Wiring {
    /// True if a hook of nat is missing that leads connections from there to every Service. IPVS captures without one.
    pub fn is_unhooked(&self, origin: Origin) -> bool {
        let hook = if origin == Origin::Node { "output" } else { "prerouting" };
        let mut missing =
            self.missing_hooks.iter().filter(|missing| missing.table == "nat" && missing.fault != HookFault::ForSome);
        self.mode != Some(Mode::Ipvs) && missing.any(|missing| missing.chain.eq_ignore_ascii_case(hook))
    }
}

/// Modes of kube-proxy (`--proxy-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// Chains of iptables.
    Iptables,
    /// Virtual servers of the kernel's load balancer, with a few rules of iptables around them.
    Ipvs,
    /// A table of nftables.
    Nftables,
}

impl Mode {
    /// Reads the name kube-proxy's configuration uses; empty means iptables on Linux.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "" | "iptables" => Some(Self::Iptables),
            "ipvs" => Some(Self::Ipvs),
            "nftables" => Some(Self::Nftables),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Iptables => "iptables",
            Self::Ipvs => "IPVS",
            Self::Nftables => "nftables",
        })
    }
}

/// A node port that is not open on an address of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closed {
    /// The key of its service port.
    pub key: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// The node port.
    pub port: u16,
    /// The address.
    pub address: IpAddr,
    /// There is a virtual server, and it has no real servers, which those on other addresses have.
    pub is_empty: bool,
    /// That virtual server, else those on other addresses.
    pub rules: Vec<RuleRef>,
}

/// An address of a virtual server that the node does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unbound {
    /// The address.
    pub address: IpAddr,
    /// An external one, and only kube-ipvs0 was listed: another interface may have it, and then kube-proxy adds it to none.
    pub may_be_elsewhere: bool,
    /// Its virtual servers.
    pub rules: Vec<RuleRef>,
}

/// Rules of a mode that is not in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leftovers {
    /// The mode.
    pub mode: Mode,
    /// What is left: `chain` or `virtual server`.
    pub what: &'static str,
    /// Chains of it that have rules, the first of them by name.
    pub chains: Vec<String>,
    /// How many such chains there are.
    pub count: usize,
    /// Some of their rules.
    pub rules: Vec<RuleRef>,
}

/// Rules that lead to Services in both interfaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BothBackends {
    /// Rules in the nat table of `nf_tables`.
    pub nft: u32,
    /// Rules in the nat table of `legacy`.
    pub legacy: u32,
    /// The interface whose rules no built-in chain leads to: `nf_tables` or `legacy`.
    pub idle: Option<&'static str>,
    /// One rule of each.
    pub rules: Vec<RuleRef>,
}

/// A built-in chain that does not reach a chain of kube-proxy, or not for all connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingHook {
    /// `nat` or `filter`.
    pub table: &'static str,
    /// The chain that should lead there: `PREROUTING`.
    pub chain: &'static str,
    /// Where it should lead: `KUBE-SERVICES`.
    pub target: &'static str,
    /// How that is.
    pub fault: HookFault,
    /// The rules `chain` has instead, or those that the fault is about, the first of them.
    pub rules: Vec<RuleRef>,
}

/// How a built-in chain fails to lead to a chain of kube-proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookFault {
    /// It has no rule for that.
    Gone,
    /// The rule is there, and one before it takes every packet.
    Behind,
    /// It leads there under conditions, which kube-proxy has not.
    ForSome,
}

/// What is wrong with masquerading as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MarkFault {
    /// KUBE-MARK-MASQ sets no mark.
    NotSet,
    /// KUBE-POSTROUTING does not masquerade what carries this mark.
    NotActedOn(u32, Vec<RuleRef>),
    /// KUBE-POSTROUTING masquerades what carries no mark.
    Everything(Vec<RuleRef>),
    /// No rule masquerades the endpoints that reach themselves, of which the set for that has so many.
    NotHairpins(usize),
    /// The set of this name, of endpoints that reach themselves, has no member. On a node without endpoints it has none.
    NoHairpins(String),
    /// No rule masquerades those who use the cluster IPs in the set of this name.
    NotClusterIps(String),
}

/// Jumps to a chain that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dangling {
    /// The chain the first jump stands in.
    pub from: String,
    /// The chain that is not there.
    pub to: String,
    /// The jumps that lead there, the first of them.
    pub rules: Vec<RuleRef>,
    /// The service a comment of theirs names.
    pub service: Option<ServiceName>,
}

/// Chains nothing leads to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Orphans {
    /// The first of them by their place in the dump, with the service their comments name.
    pub first: Vec<(String, Option<ServiceName>)>,
    /// How many there are.
    pub chains: usize,
    /// How many rules they hold.
    pub rules: usize,
    /// Some of their rules.
    pub some_rules: Vec<RuleRef>,
}

/// A frontend whose connections never reach its own rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shadow {
    /// The [`key`](super::ServicePort::key) of the service port.
    pub key: String,
    /// Its protocol.
    pub protocol: Option<Protocol>,
    /// The frontend.
    pub frontend: (FrontendKind, Option<IpAddr>, Option<u16>),
    /// Where those clients are whose connections are taken.
    pub origins: Vec<Origin>,
    /// Which of their connections, where not all are.
    pub only: Only,
    /// What takes them instead.
    pub by: Taker,
    /// The rules that do, the last of them first.
    pub rules: Vec<RuleRef>,
}

/// A part of the connections to a frontend, by conditions of which no frontend tells whether they hold; all, where there are
/// none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Only {
    /// Those to a network, or (true) to any other.
    pub to: Vec<(bool, String)>,
    /// Those that come in by an interface, or (true) by any other.
    pub by: Vec<(bool, String)>,
    /// Those from a network.
    pub from: Vec<String>,
}

impl Only {
    /// True if it is all of them.
    pub fn is_all(&self) -> bool {
        self.to.is_empty() && self.by.is_empty() && self.from.is_empty()
    }
}

/// What takes connections before a service's own rule does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Taker {
    /// Another service, by its name or chain.
    Service(String),
    /// A rule of this chain that sends them there.
    Translation {
        /// The chain.
        chain: String,
        /// Where to.
        to: String,
    },
    /// A rule of this chain that ends the walk with this verdict.
    Verdict {
        /// The chain.
        chain: String,
        /// `ACCEPT`, `RETURN`, …
        verdict: String,
    },
}
