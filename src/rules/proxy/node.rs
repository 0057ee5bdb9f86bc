//! The Services of a node in whatever mode kube-proxy runs there. Rules that another mode left behind are told as such and
//! are never mixed into the answer.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::allowance::Allowance;
use super::{KnownNames, Sketch, iptables, ipvs, nftables};
use crate::dataplane::{Leftovers, Mode, RuleRef, ServicePort, Walkthrough, Wiring};
use crate::dump::addresses::Interfaces;
use crate::dump::ipset::Sets;
use crate::dump::iptables::{Section, TableName};
use crate::dump::ipvs::VirtualServer;
use crate::dump::nft;
use crate::net::Family;
use crate::order::Order as _;

/// Things left over that are named.
const NAMED: usize = 3;

/// So many chains take longer to prepare for looking them up than a thread takes to start.
const MANY_CHAINS: usize = 10_000;

/// Everything that was read of a node.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'r, 'd> {
    /// Tables of iptables.
    pub iptables: &'r [iptables::Ruleset<'d>],
    /// kube-proxy's tables of nftables.
    pub nftables: &'r [nftables::Ruleset<'d>],
    /// Virtual servers, where such a listing was given, even if it was empty.
    pub ipvs: Option<ipvs::Ruleset<'d>>,
    /// Ipsets.
    pub sets: &'d Sets<'d>,
    /// The node's interfaces, where their addresses were given.
    pub interfaces: Option<&'d Interfaces<'d>>,
    /// Only this family was asked for.
    pub only: Option<Family>,
    /// What kube-proxy itself says its mode is.
    pub said: Option<Mode>,
    /// The family of which kube-proxy has no table of nftables, though it has one of the other.
    pub without_table: Option<Family>,
}

impl Rules<'_, '_> {
    /// The mode kube-proxy runs in: the one it says, else the one whose rules it wrote last, else the `configured` one where
    /// there are rules of it. `None` where there are no rules of any.
    pub fn mode(&self, configured: Option<Mode>) -> Option<Mode> {
        // KUBE-SERVICES is written anew at every sync; the IPv6 half of a node is not always there.
        let of_iptables = self.iptables.iter().find_map(iptables::mode);
        let nft = self.nftables.first().map(|_| Mode::Nftables);
        let ipvs = self.ipvs.filter(|ipvs| !ipvs.listing.servers.is_empty()).map(|_| Mode::Ipvs);
        let seen = [nft, of_iptables, ipvs.filter(|_| of_iptables.is_none())];
        let meant = configured.filter(|mode| nft.is_some() && seen.contains(&Some(*mode)));
        // kube-proxy may say one thing and have written another, long ago or not yet.
        let said = self.said.filter(|mode| seen.contains(&Some(*mode)) || seen.iter().all(Option::is_none));
        said.or(meant).or_else(|| seen.into_iter().flatten().next())
    }

    /// Prepares for following very many Services. What it costs is worth it for these only.
    pub fn expect_many_lookups(&self) {
        self.large().for_each(Section::expect_many_lookups);
    }

    /// True if a table has so many chains that this is worth a thread.
    pub fn has_many_chains(&self) -> bool {
        self.large().next().is_some()
    }

    fn large(&self) -> impl Iterator<Item = &Section<'_>> {
        let tables = self.iptables.iter().filter_map(|ruleset| ruleset.nat).map(|nat| nat.section);
        tables.filter(|nat| nat.chains().len() > MANY_CHAINS)
    }

    /// The families that the rules of a mode were read of, in order.
    pub fn families_of(&self, mode: Mode) -> Vec<Family> {
        match mode {
            Mode::Iptables => self.iptables.iter().map(|r| r.family).collect(),
            Mode::Nftables => self.nftables.iter().map(|r| r.family).collect(),
            Mode::Ipvs => self.families(),
        }
    }

    /// The families that were read, in order.
    pub(super) fn families(&self) -> Vec<Family> {
        let servers = self.ipvs.into_iter().flat_map(|ipvs| &ipvs.listing.servers);
        let of_servers = servers.filter_map(|server| server.key.address()).map(Family::of);
        let tables = self.iptables.iter().map(|r| r.family).chain(self.nftables.iter().map(|r| r.family));
        let mut families: Vec<Family> =
            tables.chain(of_servers).filter(|f| self.only.is_none_or(|only| only == *f)).collect();
        families.order();
        families.dedup();
        families
    }
}

/// The service ports of a node, not yet followed to their endpoints.
#[derive(Debug)]
pub struct Survey<'r, 'd> {
    pub(super) rules: Rules<'r, 'd>,
    pub(super) mode: Option<Mode>,
    pub(super) iptables: iptables::Survey<'d>,
    pub(super) nftables: nftables::Survey<'d>,
    pub(super) ipvs: ipvs::Survey<'d>,
}

impl<'r, 'd> Survey<'r, 'd> {
    /// Surveys the rules of the mode in use; `configured` is the one of kube-proxy's configuration.
    pub fn of(rules: Rules<'r, 'd>, known: &KnownNames, configured: Option<Mode>) -> Self {
        let mode = rules.mode(configured);
        let nftables: &[_] = if mode == Some(Mode::Nftables) { rules.nftables } else { &[] };
        let ipvs = rules.ipvs.filter(|_| mode == Some(Mode::Ipvs));
        Self {
            rules,
            mode,
            // Of another mode's node these tell hooks, marks and what was left over.
            iptables: iptables::Survey::of(rules.iptables, known),
            nftables: nftables::Survey::of(nftables, known),
            ipvs: ipvs::Survey::of(ipvs, rules.sets, known, rules.only),
        }
    }

    /// The mode kube-proxy runs in; `None` where no rules tell.
    pub fn mode(&self) -> Option<Mode> {
        self.mode
    }

    /// True if the Services of the mode in use are not in what was read.
    pub fn lacks_services_of_mode(&self) -> bool {
        match self.mode {
            Some(Mode::Ipvs) => self.rules.ipvs.is_none(),
            Some(Mode::Nftables) => self.rules.nftables.is_empty(),
            _ => false,
        }
    }

    /// True if all virtual servers of a node in IPVS mode were read, as far as can be told.
    pub fn has_all_servers(&self) -> bool {
        self.ipvs.is_whole()
    }

    fn is_of_iptables(&self) -> bool {
        !matches!(self.mode, Some(Mode::Ipvs | Mode::Nftables))
    }

    /// The service ports: by name, protocol and family, unnamed ones last.
    pub fn sketches(&self) -> Vec<Sketch<'_, 'd>> {
        match self.mode {
            Some(Mode::Nftables) => self.nftables.sketches().iter().map(Sketch::Nftables).collect(),
            Some(Mode::Ipvs) => self.ipvs.sketches().iter().map(Sketch::Ipvs).collect(),
            _ => self.iptables.sketches().iter().map(Sketch::Iptables).collect(),
        }
    }

    /// How the rules of a family tell pods from other clients.
    pub fn pods(&self, family: Family) -> iptables::PodSide<'_> {
        if self.mode == Some(Mode::Nftables) { self.nftables.pods(family) } else { self.iptables.pods(family) }
    }

    /// Every cluster IP that the rules speak of.
    pub fn cluster_ips(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.iptables.cluster_ips()
    }

    /// True if there is a chain of this name.
    pub fn has_chain(&self, name: &str) -> bool {
        self.iptables.has_chain(name) || self.nftables.has_chain(name)
    }

    /// What may take or refuse connections to a Service and cannot be followed.
    pub fn unplaced(&self) -> &[RuleRef] {
        match self.mode {
            Some(Mode::Nftables) => &[],
            Some(Mode::Ipvs) => self.ipvs.unplaced(),
            _ => self.iptables.unplaced(),
        }
    }

    /// Follows service ports to their endpoints, in order.
    pub fn services(&self, sketches: &[Sketch<'_, 'd>]) -> Vec<ServicePort> {
        if self.is_of_iptables() {
            return self.iptables.services(&sketches.iter().filter_map(Sketch::of_iptables).collect::<Vec<_>>());
        }
        let allowance = Allowance::among(sketches.len());
        sketches.iter().map(|sketch| self.service(*sketch, allowance)).collect()
    }

    fn service(&self, sketch: Sketch<'_, 'd>, allowance: Allowance) -> ServicePort {
        match sketch {
            Sketch::Iptables(sketch) => self.iptables.service(sketch, allowance),
            Sketch::Nftables(sketch) => self.nftables.service(sketch, allowance),
            Sketch::Ipvs(sketch) => {
                let around = self.rules.iptables.iter().find(|r| r.family == sketch.family).copied();
                self.ipvs.service(sketch, around, self.iptables.pods(sketch.family), self.rules.sets)
            }
        }
    }

    /// The rules of a service port, step by step.
    #[inline]
    pub fn walkthrough(&self, sketch: Sketch<'_, 'd>, port: &ServicePort) -> Walkthrough {
        match sketch {
            Sketch::Iptables(sketch) => self.iptables.walkthrough(sketch, port),
            Sketch::Nftables(sketch) => self.nftables.walkthrough(sketch, port),
            Sketch::Ipvs(sketch) => self.ipvs.walkthrough(sketch, port),
        }
    }

    /// The rules of each family as a whole; `sketches` are the service ports asked about.
    pub fn wirings(&self, sketches: &[Sketch<'_, 'd>], depth: iptables::Depth) -> Vec<Wiring> {
        let of_iptables = |mode| {
            let sketches: Vec<_> = sketches.iter().filter_map(Sketch::of_iptables).collect();
            self.iptables.wirings(&sketches, depth, mode)
        };
        let mut wirings = match self.mode {
            Some(Mode::Nftables) => self.nftables.wirings(depth),
            Some(Mode::Ipvs) => self.wirings_of_ipvs(of_iptables(self.mode)),
            _ => of_iptables(None),
        };
        for wiring in &mut wirings {
            wiring.said = self.rules.said;
            if wiring.leftovers.is_none() {
                wiring.leftovers = self.leftovers(wiring.family);
            }
        }
        wirings
    }

    /// Virtual servers have their own listing; hooks and marks are rules of iptables.
    fn wirings_of_ipvs(&self, around: Vec<Wiring>) -> Vec<Wiring> {
        let mut wirings = around;
        for family in self.rules.families() {
            if !wirings.iter().any(|wiring| wiring.family == family) {
                wirings.push(Wiring::blank(family, Mode::Ipvs));
            }
        }
        for wiring in &mut wirings {
            wiring.mode = Some(Mode::Ipvs);
            wiring.unseen = self.rules.ipvs.is_none();
            wiring.addresses_cut = self.rules.interfaces.is_some_and(|interfaces| interfaces.cut_off);
            let interfaces = self.rules.interfaces.filter(|interfaces| !interfaces.cut_off);
            wiring.unbound = interfaces.map(|interfaces| self.ipvs.unbound(interfaces, wiring.family));
            wiring.sets_missing = ipvs::lacks_sets(self.rules.sets, wiring.family);
            wiring.hairpins_untold = wiring.sets_missing || ipvs::may_lack_hairpins(self.rules.sets, wiring.family);
            let ruleset = self.rules.iptables.iter().find(|r| r.family == wiring.family);
            if let Some(nat) = ruleset.and_then(|r| r.nat).filter(|_| wiring.whole) {
                wiring.no_portal = nat.section.chain("KUBE-SERVICES").is_none();
                wiring.mark = wiring.mark.take().or_else(|| ipvs::mark_fault(nat, self.rules.sets, wiring.family));
            }
            if self.ipvs.is_whole() {
                wiring.closed = self.ipvs.closed(wiring.family);
            }
        }
        wirings.order_by_key(|wiring| wiring.family);
        wirings
    }

    /// What another mode than the one in use left in a family.
    fn leftovers(&self, family: Family) -> Option<Leftovers> {
        let mode = self.mode?;
        let of_iptables = || {
            let ruleset = self.rules.iptables.iter().find(|r| r.family == family)?;
            iptables::leftovers(ruleset)
        };
        match mode {
            Mode::Nftables => of_iptables().or_else(|| self.left_servers(family)),
            Mode::Ipvs => self.left_table(family),
            Mode::Iptables => self.left_table(family).or_else(|| self.left_servers(family)),
        }
    }

    fn left_table(&self, family: Family) -> Option<Leftovers> {
        let left = self.rules.nftables.iter().find(|r| r.family == family)?;
        let chains: Vec<&nft::Chain<'_>> = left.table.chains().iter().filter(|chain| !chain.rules.is_empty()).collect();
        let rule = |chain: &&nft::Chain<'_>| Some(RuleRef { text: left.text, line: chain.rules.first()?.line });
        (!chains.is_empty()).then(|| Leftovers {
            mode: Mode::Nftables,
            what: "chain",
            chains: chains.iter().take(NAMED).map(|chain| chain.name.to_owned()).collect(),
            count: chains.len(),
            rules: chains.iter().take(NAMED).filter_map(rule).collect(),
        })
    }

    fn left_servers(&self, family: Family) -> Option<Leftovers> {
        let left = self.rules.ipvs.filter(|_| self.was_in_ipvs_mode())?;
        let is_left = |server: &&VirtualServer<'_>| server.key.address().is_some_and(|ip| Family::of(ip) == family);
        let servers: Vec<_> = left.listing.servers.iter().filter(is_left).collect();
        (!servers.is_empty()).then(|| Leftovers {
            mode: Mode::Ipvs,
            what: "virtual server",
            chains: servers.iter().take(NAMED).map(|server| ipvs::title(server)).collect(),
            count: servers.len(),
            rules: servers.iter().take(NAMED).map(|server| RuleRef { text: left.text, line: server.line }).collect(),
        })
    }

    /// True if something tells that virtual servers are kube-proxy's: its ipsets, its interface, or a cluster IP that the rules
    /// of the mode in use have too. Others balance with IPVS as well (keepalived and kube-vip before API servers), and what takes
    /// leftovers away would take theirs (`ipvs.Flush` of cleanupLeftovers, pkg/proxy/ipvs/cleanup.go).
    fn was_in_ipvs_mode(&self) -> bool {
        if self.rules.sets.names().any(|name| name.starts_with("KUBE-"))
            || self.rules.interfaces.is_some_and(|interfaces| interfaces.get("kube-ipvs0").is_some())
        {
            return true;
        }
        let sketches = self.sketches();
        let cluster_ips: HashSet<IpAddr> = sketches.iter().filter_map(Sketch::cluster_ip).collect();
        let servers = self.rules.ipvs.into_iter().flat_map(|ipvs| &ipvs.listing.servers);
        servers.filter_map(|server| server.key.address()).any(|ip| cluster_ips.contains(&ip))
    }

    /// The tables an answer is made from, by their names.
    pub fn tables(&self) -> Vec<&'static str> {
        let has = |name: TableName| self.rules.iptables.iter().any(|r| r.table(name).is_some());
        let mut tables = Vec::new();
        match self.mode {
            Some(Mode::Nftables) => tables.push(nftables::TABLE),
            Some(Mode::Ipvs) if self.rules.ipvs.is_some() => tables.push("ipvs"),
            _ => {}
        }
        if self.mode != Some(Mode::Nftables) {
            tables.extend(
                [("nat", TableName::Nat), ("filter", TableName::Filter)]
                    .iter()
                    .filter(|(_, t)| has(*t))
                    .map(|(n, _)| *n),
            );
        }
        tables
    }

    /// Which texts the answer is made from; none for all of them.
    pub fn texts(&self) -> Vec<u16> {
        let of_iptables =
            self.rules.iptables.iter().flat_map(|r| r.nat.into_iter().chain(r.filter)).map(|table| table.text);
        let mut texts: Vec<u16> = match self.mode {
            Some(Mode::Nftables) => self.rules.nftables.iter().map(|r| r.text).collect(),
            // Virtual servers, ipsets and rules are parts of one answer.
            Some(Mode::Ipvs) => Vec::new(),
            _ => of_iptables.collect(),
        };
        texts.order();
        texts.dedup();
        texts
    }

    /// How many rules, elements and servers the answer is made from.
    pub fn rules_read(&self) -> usize {
        let servers = || self.rules.ipvs.map_or(0, |ipvs| ipvs.listing.servers.iter().map(|s| 1 + s.real.len()).sum());
        match self.mode {
            Some(Mode::Nftables) => self.rules.nftables.iter().map(|r| r.table.size()).sum(),
            Some(Mode::Ipvs) => servers() + self.rules.iptables.iter().map(iptables::Ruleset::size).sum::<usize>(),
            _ => self.rules.iptables.iter().map(iptables::Ruleset::size).sum(),
        }
    }
}
