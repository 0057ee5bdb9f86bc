//! One frontend of the rules beside that of the Service.

use super::may_be_dropped;
use crate::dataplane::{Drift, Frontend, FrontendKind, NotWanted, Origin, Policy, Route, Verdict};
use crate::expect::{self, Expected};
use crate::net::Network;
use crate::order::Order as _;
use crate::proxy::Extent;

/// One frontend of the rules, to be compared with what the Service wants of it.
pub(super) struct Comparison<'c> {
    pub(super) extent: &'c Extent,
    pub(super) expected: &'c Expected<'c>,
    /// Its place.
    pub(super) at: usize,
    pub(super) have: &'c Frontend,
}

impl Comparison<'_> {
    /// Adds what differs; `wanted` is `None` where the Service has no such frontend.
    pub(super) fn of(&self, wanted: Option<&expect::Frontend>, drifts: &mut Vec<Drift>) {
        let (have, expected) = (self.have, self.expected);
        if have.port.is_none() {
            return;
        }
        let captured = have.routes.iter().any(|route| route.verdict.is_pool());
        let is_refusal = |verdict: &Verdict| matches!(verdict, Verdict::Drop | Verdict::Reject);
        let refused = have.routes.iter().map(|route| route.verdict).find(is_refusal);
        let Some(want) = wanted else {
            let ruled = captured || have.refusal.is_some();
            drifts.extend(ruled.then_some(Drift::StaleFrontend(self.at, NotWanted::NotOfService)));
            return;
        };
        match want.captured {
            Some(false) if captured && falls_back(expected, self.extent) => {}
            Some(false) if captured => {
                let nobody = expected.pools.usable == Some(false);
                let why = if nobody { NotWanted::NoEndpoints } else { NotWanted::NoLocalEndpoints };
                drifts.push(Drift::StaleFrontend(self.at, why));
            }
            Some(true) if captured && !have.is_unclear() => {
                self.policy(want, drifts);
                self.sources(want, drifts);
                self.shut_out(want, drifts);
            }
            Some(true) if self.lets_in_nobody(want, refused) => {
                drifts.push(Drift::Sources { frontend: self.at, have: Some(Vec::new()), want: want.sources.clone() });
            }
            Some(true)
                if refused.is_some()
                    && !have.is_unclear()
                    && !may_be_dropped(want, expected, self.extent)
                    && !self.must_be_dropped(want)
                    && !self.may_be_let_in(want, refused) =>
            {
                let (kind, address, port) = (want.kind, want.address, want.port);
                let rightly = want.policy == Policy::Local && !self.has_local() && refused == Some(Verdict::Drop);
                drifts.push(Drift::MissingFrontend { kind, address, port, refused, rightly });
            }
            _ => {}
        }
    }

    /// True if a virtual server is there, and source ranges in ipsets drop everyone before it.
    fn lets_in_nobody(&self, want: &expect::Frontend, refused: Option<Verdict>) -> bool {
        let is_limited = !want.sources.is_empty() && (want.policy == Policy::Cluster || self.has_local());
        let by_ipsets = self.extent.remote_fallback && self.extent.tells_sources && refused == Some(Verdict::Drop);
        is_limited && by_ipsets && !self.have.is_unclear() && !self.may_be_let_in(want, refused)
    }

    /// True if nobody can get there by these rules, though nothing is wrong with them: what is refused to clients from outside is
    /// refused to the node itself before its connections are translated, and pods are not told from others.
    fn must_be_dropped(&self, want: &expect::Frontend) -> bool {
        self.drops_node_first(want) && !self.extent.tells_pods
    }

    /// True if the filter table drops the node's own connections before they are translated, as kube-proxy of this release has it.
    fn drops_node_first(&self, want: &expect::Frontend) -> bool {
        let is_for_local = want.policy == Policy::Local && !self.has_local();
        self.extent.refuses_node_first && is_for_local && want.address.is_some() && self.have.refusal.is_some()
    }

    /// Clients outside the source ranges are dropped behind the rules that let the others in, and under Local policy those from
    /// outside behind the rules that let pods and the node itself in. These were not all read.
    fn may_be_let_in(&self, want: &expect::Frontend, refused: Option<Verdict>) -> bool {
        let is_for_some = !want.sources.is_empty() || want.policy == Policy::Local && !self.has_local();
        !self.extent.nat_whole && is_for_some && refused == Some(Verdict::Drop)
    }

    /// Connections from outside go to the pool of the Service's policy; for a cluster IP that is everyone's. Pods and the
    /// node itself may use every endpoint of the cluster through external addresses too.
    fn policy(&self, want: &expect::Frontend, drifts: &mut Vec<Drift>) {
        let has_local = self.has_local();
        if self.extent.remote_fallback && want.policy == Policy::Local && !has_local {
            return;
        }
        let outside = match want.policy {
            // Source ranges may let in nobody that is looked at here.
            _ if !want.sources.is_empty() && !self.lets_in_others(want) => None,
            Policy::Cluster => Some(Policy::Cluster),
            Policy::Local => Some(Policy::Local).filter(|_| has_local),
        };
        if self.is_undecided(Origin::External) {
            return;
        }
        let (origin, pool) = (Origin::External, self.pool_of(Origin::External));
        let differs = match (pool, outside) {
            (Some(pool), _) => pool != want.policy,
            (None, outside) => outside.is_some(),
        };
        let have = self.fate_of(origin);
        if differs && !(have == Verdict::None && self.leads_nowhere(want)) {
            drifts.push(Drift::Policy { frontend: self.at, origin, have, want: want.policy });
        }
        let shortcut = want.kind != FrontendKind::ClusterIp
            && want.policy == Policy::Local
            && want.sources.is_empty()
            && self.extent.external_chains
            && !differs;
        if !shortcut {
            return;
        }
        let node = (!self.drops_node_first(want)).then_some(Origin::Node);
        let pods = self.extent.tells_pods.then_some(Origin::Pod);
        for origin in node.into_iter().chain(pods).filter(|origin| !self.is_undecided(*origin)) {
            let have = self.fate_of(origin);
            if have != Verdict::Pool(Policy::Cluster) {
                drifts.push(Drift::Policy { frontend: self.at, origin, have, want: Policy::Cluster });
            }
        }
    }

    /// True if clients from outside should get to an endpoint of this node and are led nowhere: no policy's rules are such.
    fn leads_nowhere(&self, want: &expect::Frontend) -> bool {
        want.policy == Policy::Local && self.has_local()
    }

    /// True if a source range that is wanted lets somebody in by these rules and is not of pods alone, so that it lets in clients from
    /// outside too.
    fn lets_in_others(&self, want: &expect::Frontend) -> bool {
        let of_pods = |range: &Network| self.extent.pod_networks.iter().any(|pods| pods.contains_network(range));
        let mut others = want.sources.iter().filter(|range| !range.is_loopback() && !of_pods(range));
        others.any(|range| self.to_pools().any(|route| route.sources.contains(range)))
    }

    /// Clients that are dropped, refused or left alone where others are served, though the Service is for all of them.
    fn shut_out(&self, want: &expect::Frontend, drifts: &mut Vec<Drift>) {
        if want.policy == Policy::Local && !self.has_local() {
            return;
        }
        // Those outside source ranges are dropped. Who is within one is refused by no rule that asks for ranges.
        let is_within = |route: &Route| {
            let wants = |network| want.sources.contains(network);
            route.verdict == Verdict::Reject && !route.sources.is_empty() && route.sources.iter().all(wants)
        };
        // Whose way to the endpoints of other nodes is told as policy.
        let by_shortcut = want.kind != FrontendKind::ClusterIp && want.policy == Policy::Local;
        // Whom a pool is limited to, source ranges tell.
        let is_limited = |origin| self.to_pools().any(|route| route.origin == origin && !route.sources.is_empty());
        // What the filter table refuses by a rule for the frontend is told as that.
        let by_refusal = self.have.refusal.is_some();
        let is_shut_out = |route: &&Route| match (route.origin, route.verdict) {
            (_, Verdict::Pool(_) | Verdict::Unknown) => false,
            (_, Verdict::Drop | Verdict::Reject) if by_refusal => false,
            _ if !want.sources.is_empty() => is_within(route),
            (Origin::External, Verdict::None) if route.sources.is_empty() && !self.leads_nowhere(want) => false,
            (Origin::Pod | Origin::Node, _) if by_shortcut => false,
            (origin, _) => !is_limited(origin) && !route.sources.iter().any(Network::is_loopback),
        };
        let mut alike: Vec<(Verdict, &[Network], Vec<Origin>)> = Vec::new();
        for route in self.have.routes.iter().filter(is_shut_out) {
            let key = (route.verdict, route.sources.as_slice());
            match alike.iter_mut().find(|(verdict, networks, _)| (*verdict, *networks) == key) {
                Some((.., origins)) => origins.push(route.origin),
                None => alike.push((key.0, key.1, vec![route.origin])),
            }
        }
        alike.order_by_key(|(verdict, ..)| *verdict);
        drifts.extend(alike.into_iter().map(|(verdict, networks, origins)| Drift::ShutOut {
            frontend: self.at,
            verdict,
            origins,
            networks: networks.to_vec(),
        }));
    }

    /// True if an endpoint of this node is known to be usable.
    fn has_local(&self) -> bool {
        let local = self.expected.pools.local.as_ref();
        local.is_some_and(|pool| pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
    }

    /// The ways that end in a pool.
    fn to_pools(&self) -> impl Iterator<Item = &Route> {
        self.have.routes.iter().filter(|route| route.verdict.is_pool())
    }

    /// The pool connections from an origin get to.
    fn pool_of(&self, origin: Origin) -> Option<Policy> {
        self.have.routes.iter().filter(|route| route.origin == origin).find_map(|route| match route.verdict {
            Verdict::Pool(policy) => Some(policy),
            _ => None,
        })
    }

    /// True if conditions that a dump does not answer decide to which of several ends connections from an origin get.
    fn is_undecided(&self, origin: Origin) -> bool {
        let routes = || self.have.routes.iter().filter(|route| route.origin == origin && route.sources.is_empty());
        routes().any(|route| routes().any(|other| other.verdict != route.verdict))
    }

    /// What becomes of connections from an origin: the pool they get to, else what their last route ends in.
    fn fate_of(&self, origin: Origin) -> Verdict {
        self.pool_of(origin).map_or_else(|| self.verdict_of(origin), Verdict::Pool)
    }

    /// What becomes of connections from an origin that no pool takes.
    fn verdict_of(&self, origin: Origin) -> Verdict {
        let of_origin = self.have.routes.iter().rfind(|route| route.origin == origin);
        of_origin.map_or(Verdict::None, |route| route.verdict)
    }

    /// The networks that may connect; only for a load balancer's address are there ranges. The Service's own such addresses may
    /// be among them: a node that has one reaches itself from it, and all of them stand in one chain or set
    /// (pkg/proxy/iptables/proxier.go). What is compared are addresses: nft joins networks that overlap or lie side by side.
    fn sources(&self, want: &expect::Frontend, drifts: &mut Vec<Drift>) {
        if !self.extent.tells_sources {
            return;
        }
        let has_ranges = want.kind == FrontendKind::LoadBalancer;
        let is_own = |network: &Network| {
            let address = network.address();
            let mut of_service = self.expected.frontends.iter().filter(|own| own.kind == FrontendKind::LoadBalancer);
            address.is_some() && of_service.any(|own| own.address == address)
        };
        // What comes from loopback addresses comes from no network.
        let counts =
            |network: &&Network| !network.is_loopback() && (want.sources.contains(network) || !is_own(network));
        let shown: Vec<&Network> = self.to_pools().flat_map(|route| &route.sources).filter(counts).collect();
        let all_get_in = |origin| self.to_pools().any(|route| route.origin == origin && route.sources.is_empty());
        let within = all_get_in(Origin::Pod) || all_get_in(Origin::Node);
        // Where all pods get in, their network is not asked for.
        let pods = self.extent.pod_networks.iter().filter(|_| all_get_in(Origin::Pod));
        let let_in = Network::joined(shown.iter().copied().chain(pods));
        let open = all_get_in(Origin::External) || let_in.iter().any(Network::is_everything);
        let wanted = Network::joined(want.sources.iter().filter(|network| !network.is_loopback()));
        let limited = !want.sources.is_empty() && !wanted.iter().any(Network::is_everything);
        // Nobody from outside gets in without a local endpoint under Local policy, whatever the ranges.
        let nobody = !self.extent.remote_fallback && want.policy == Policy::Local && !self.has_local();
        let differs = match (limited, open) {
            (false, true) => false,
            (false, false) if nobody => has_ranges && shown.iter().any(|network| !want.sources.contains(network)),
            // Where the filter table does not say that it refuses them, nothing else tells that only some get in. The address
            // itself among them says that there were ranges.
            (false, false) => {
                let some = self.to_pools().flat_map(|route| &route.sources).any(|network| !network.is_loopback());
                some || (within && self.extent.remote_fallback && has_ranges)
            }
            (true, true) => true,
            (true, false) if nobody && within => {
                let is_wanted = |network: &Network| wanted.iter().any(|wanted| wanted.contains_network(network));
                // Of pods that are told by their interface, nothing says whether a range holds them all.
                let unlimited =
                    all_get_in(Origin::Node) || self.extent.pod_networks.iter().any(|pods| !is_wanted(pods));
                shown.iter().any(|network| !is_wanted(network)) || (shown.is_empty() && unlimited)
            }
            (true, false) => let_in != wanted,
        };
        // Source ranges drop.
        let ranges_tell = self.verdict_of(Origin::External) != Verdict::Reject || !shown.is_empty();
        if differs && ranges_tell {
            let (have, want) = ((!open).then_some(let_in), if limited { want.sources.clone() } else { Vec::new() });
            drifts.push(Drift::Sources { frontend: self.at, have, want });
        } else if limited
            && self.extent.nat_whole
            && self.extent.filter_whole
            && self.verdict_of(Origin::External) == Verdict::None
        {
            drifts.push(Drift::NotDropped(self.at));
        }
    }
}

/// True if endpoints of other nodes stand in for those of this one, of which there is none.
fn falls_back(expected: &Expected<'_>, extent: &Extent) -> bool {
    let cluster = expected.pools.cluster.as_ref();
    extent.remote_fallback && cluster.is_some_and(|pool| pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
}
