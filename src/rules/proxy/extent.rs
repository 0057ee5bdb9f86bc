//! How much of a family was read, and what its rules can tell.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::ipvs::set_name;
use super::node::Survey;
use super::{iptables, nftables};
use crate::dataplane::{Mode, Verdict};
use crate::dump::iptables::HIDDEN;
use crate::net::{Family, Network};

/// Which rules of a family were read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that have nothing to do with each other")]
pub struct Extent {
    /// The family.
    pub family: Family,
    /// No rules that lead to endpoints are missing.
    pub nat_whole: bool,
    /// No rules that refuse are missing, and what each of them refuses is known.
    pub filter_whole: bool,
    /// External traffic has chains of its own, which send pods and the node itself to the pool of the whole cluster even
    /// under Local policy (KUBE-EXT, since 1.24). Before that, releases differ. A node without such traffic tells by its comments, or
    /// by KUBE-PROXY-FIREWALL, that its kube-proxy is not older (1.25).
    pub external_chains: bool,
    /// The rules tell pods from other clients.
    pub tells_pods: bool,
    /// The networks by which they do.
    pub pod_networks: Vec<Network>,
    /// Which networks may connect is told.
    pub tells_sources: bool,
    /// Where no endpoint of this node is usable, external addresses under Local policy lead to those of others
    /// (`syncEndpoint`, pkg/proxy/ipvs/proxier.go).
    pub remote_fallback: bool,
    /// kube-proxy has no rules of the family at all, though it has some of the other; none where nodes have no addresses of it.
    pub is_absent: bool,
    /// Addresses at which every port is rejected that no rule takes, whatever Services want (nftables mode).
    pub rejected: HashSet<IpAddr>,
    /// Networks in which the same is dropped.
    pub dropped: Vec<Network>,
    /// Addresses without an endpoint of this node refuse the node itself too, before its connections could go to others (nftables
    /// mode of older releases).
    pub refuses_node_first: bool,
    /// Where no endpoint is ready, connections go to those that terminate and still serve (since 1.26). False where the filter
    /// table is that of a release before 1.25: it has no KUBE-PROXY-FIREWALL (kubernetes/kubernetes#110289).
    pub to_terminating: bool,
}

impl Extent {
    /// All rules of the family as today's kube-proxy writes them, none of which tells pods from others.
    pub fn whole(family: Family) -> Self {
        Self {
            family,
            nat_whole: true,
            filter_whole: true,
            external_chains: true,
            tells_pods: false,
            pod_networks: Vec::new(),
            tells_sources: true,
            remote_fallback: false,
            is_absent: false,
            rejected: HashSet::new(),
            dropped: Vec::new(),
            refuses_node_first: false,
            to_terminating: true,
        }
    }

    /// What becomes of connections to a port of `address` that no rule takes; `None` where they go on untranslated.
    pub fn refusal(&self, address: Option<IpAddr>) -> Option<Verdict> {
        let address = address?;
        let is_dropped = || self.dropped.iter().any(|network| network.contains(address)).then_some(Verdict::Drop);
        self.rejected.contains(&address).then_some(Verdict::Reject).or_else(is_dropped)
    }
}

impl Survey<'_, '_> {
    /// What was read of each family.
    pub fn extents(&self) -> Vec<Extent> {
        match self.mode {
            Some(Mode::Nftables) => {
                let absent = self.rules.without_table.map(|family| Extent { is_absent: true, ..Extent::whole(family) });
                self.rules.nftables.iter().map(|ruleset| self.of_nftables(ruleset)).chain(absent).collect()
            }
            Some(Mode::Ipvs) => {
                let families = self.rules.families();
                // Virtual servers of both families are listed together.
                let absent = match families.as_slice() {
                    [one] if self.ipvs.is_whole() => Some(Extent { is_absent: true, ..self.of_ipvs(one.other()) }),
                    _ => None,
                };
                families.into_iter().map(|family| self.of_ipvs(family)).chain(absent).collect()
            }
            _ => self.rules.iptables.iter().map(|ruleset| self.of_iptables(ruleset)).collect(),
        }
    }

    fn of_iptables(&self, ruleset: &iptables::Ruleset<'_>) -> Extent {
        let family = ruleset.family;
        Extent {
            nat_whole: ruleset.nat.is_some_and(|nat| nat.is_whole_nat()),
            filter_whole: ruleset.filter.is_some_and(|filter| filter.is_whole_filter())
                && self.iptables.understands_refusals(family),
            external_chains: ruleset.nat.is_some_and(|nat| nat.has_todays_layout())
                || ruleset.filter.is_some_and(|filter| filter.has_firewall()),
            tells_pods: self.iptables.tells_pods(family),
            pod_networks: self.pod_networks(family),
            to_terminating: self.leads_to_terminating(family),
            ..Extent::whole(family)
        }
    }

    fn of_nftables(&self, ruleset: &nftables::Ruleset<'_>) -> Extent {
        let family = ruleset.family;
        Extent {
            nat_whole: ruleset.is_whole(),
            filter_whole: ruleset.is_whole(),
            tells_pods: self.nftables.pods(family).is_known(),
            rejected: nftables::rejected(ruleset.table),
            dropped: nftables::dropped(ruleset.table),
            refuses_node_first: nftables::refuses_node_first(ruleset.table),
            pod_networks: self.pod_networks(family),
            ..Extent::whole(family)
        }
    }

    fn of_ipvs(&self, family: Family) -> Extent {
        let mut rulesets = self.rules.iptables.iter().filter(|ruleset| ruleset.family == family);
        let sets = self.rules.sets;
        let limited = sets.get(&set_name(family, "LOAD-BALANCER-FW")).is_some();
        let is_lacking = |name: &str| {
            let name = set_name(family, name);
            sets.get(&name).map_or_else(|| sets.lacking.contains(&name), |set| sets.may_lack_members(set))
        };
        let of_ranges = ["LOAD-BALANCER-FW", "LOAD-BALANCER-SOURCE-CIDR", "LOAD-BALANCER-SOURCE-IP"];
        let limited = limited && !of_ranges.into_iter().any(is_lacking);
        let has =
            |table: Option<iptables::Table<'_>>, chain| table.is_some_and(|table| table.section.chain(chain).is_some());
        let tells = |ruleset: &iptables::Ruleset<'_>| {
            let hides = |filter: iptables::Table<'_>| {
                let chains = ["KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL"];
                chains.iter().flat_map(|chain| filter.rules(chain)).any(|raw| raw.text.contains(HIDDEN))
            };
            ruleset.filter.is_some_and(|filter| !hides(filter))
                && (has(ruleset.nat, "KUBE-SERVICES") || has(ruleset.filter, "KUBE-FORWARD"))
        };
        Extent {
            nat_whole: self.ipvs.is_whole(),
            // Those without endpoints are virtual servers too.
            filter_whole: false,
            external_chains: false,
            pod_networks: self.pod_networks(family),
            // Rules that ask ipsets drop the others. Without any chain of kube-proxy they may be elsewhere.
            tells_sources: limited && rulesets.any(tells),
            remote_fallback: true,
            to_terminating: self.leads_to_terminating(family),
            ..Extent::whole(family)
        }
    }

    fn pod_networks(&self, family: Family) -> Vec<Network> {
        self.pods(family).networks.to_vec()
    }

    fn leads_to_terminating(&self, family: Family) -> bool {
        let ruleset = self.rules.iptables.iter().find(|ruleset| ruleset.family == family);
        let filter = ruleset.and_then(|ruleset| ruleset.filter).filter(iptables::Table::is_whole_filter);
        let older = |filter: iptables::Table<'_>| {
            // Where the table was flushed, nothing tells.
            let has_rules = |chain| filter.rules(chain).next().is_some();
            has_rules("KUBE-FORWARD") && !filter.has_firewall()
        };
        !filter.is_some_and(older)
    }
}
