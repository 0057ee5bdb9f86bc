//! Frontends and policies of the rules beside those of the Service.

use std::net::IpAddr;

use super::Join;
use crate::dataplane::{
    Drift, Endpoint, Frontend, FrontendKind, NotWanted, Origin, Policy, Pool, Route, ServicePort, State, Verdict,
};
use crate::expect::{self, Expected};
use crate::net::{Family, Network};
use crate::order::Order as _;
use crate::proxy::Extent;

impl Join<'_, '_> {
    /// Where the frontends and policies of `port` differ from what they should be.
    pub(super) fn drifts(&self, port: &ServicePort, expected: &Expected<'_>) -> Vec<Drift> {
        // What kube-proxy must not serve is stale as a whole.
        let Some(extent) = self.extent(port.family).filter(|_| !expected.frontends.is_empty()) else {
            return Vec::new();
        };
        let mut drifts = Vec::new();
        for (at, have) in port.frontends.iter().enumerate() {
            // An external IP may be the address of the load balancer too, of which source ranges are wanted.
            let mut same = expected.frontends.iter().filter(|want| is_same(want, have));
            let wanted = same.clone().find(|want| want.kind == have.kind).or_else(|| same.next());
            Comparison { extent, expected, at, have }.of(wanted, &mut drifts);
        }
        if extent.nat_whole {
            let is_there = |want: &&expect::Frontend| {
                port.frontends.iter().any(|have| (is_same(want, have) || may_be(want, have)) && !is_left_alone(have))
            };
            let wanted =
                |want: &&expect::Frontend| want.captured == Some(true) && !may_be_dropped(want, expected, extent);
            let missing = expected.frontends.iter().filter(wanted).filter(|want| !is_there(want));
            drifts.extend(missing.map(|want| Drift::MissingFrontend {
                kind: want.kind,
                address: want.address,
                port: want.port,
                refused: extent.refusal(want.address),
                rightly: false,
            }));
        }
        drifts.extend(self.not_refused(port.family, &port.frontends, expected));
        idle_refusals(&mut drifts, port, expected);
        not_local(&mut drifts, port);
        affinity(&mut drifts, port, expected, extent.remote_fallback);
        drifts
    }

    /// Frontends of a service port without endpoints whose clients are not refused, where the filter table tells.
    pub(super) fn not_refused(&self, family: Family, frontends: &[Frontend], expected: &Expected<'_>) -> Vec<Drift> {
        let extent = self.extent(family).filter(|extent| extent.nat_whole && extent.filter_whole);
        let Some(extent) = extent.filter(|_| expected.pools.usable == Some(false)) else { return Vec::new() };
        // What has a rule that refuses nobody is as good as without one.
        let is_idle = |have: &Frontend| have.refusal.is_some() && is_left_alone(have);
        let is_there = |want: &&expect::Frontend| {
            frontends.iter().any(|have| is_same(want, have) && !is_idle(have) || may_be(want, have))
        };
        let is_refused = |want: &&expect::Frontend| extent.refusal(want.address) == Some(Verdict::Reject);
        let open = expected.frontends.iter().filter(|want| !is_there(want) && !is_refused(want));
        open.map(|want| Drift::NotRefused { kind: want.kind, address: want.address, port: want.port }).collect()
    }
}

/// One frontend of the rules, to be compared with what the Service wants of it.
struct Comparison<'c> {
    extent: &'c Extent,
    expected: &'c Expected<'c>,
    /// Its place.
    at: usize,
    have: &'c Frontend,
}

impl Comparison<'_> {
    fn of(&self, wanted: Option<&expect::Frontend>, drifts: &mut Vec<Drift>) {
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

/// True if nobody can get anywhere: Local policy, no endpoint on this node, and rules of a release before 1.24, of which not
/// all let pods and the node itself use the others.
fn may_be_dropped(want: &expect::Frontend, expected: &Expected<'_>, extent: &Extent) -> bool {
    let local = expected.pools.local.as_ref();
    let of_cluster_ip = want.kind == FrontendKind::ClusterIp;
    want.policy == Policy::Local
        && (of_cluster_ip || !(extent.external_chains || extent.remote_fallback))
        && local.is_some_and(|pool| !pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
}

/// True if endpoints of other nodes stand in for those of this one, of which there is none.
fn falls_back(expected: &Expected<'_>, extent: &Extent) -> bool {
    let cluster = expected.pools.cluster.as_ref();
    extent.remote_fallback && cluster.is_some_and(|pool| pool.as_ref().is_ok_and(|pool| !pool.is_empty()))
}

/// True if neither table does anything about it, so that it is as good as not there.
fn is_left_alone(have: &Frontend) -> bool {
    have.routes.iter().all(|route| route.verdict == Verdict::None)
}

/// Usable endpoints of other nodes in a pool that is for those of this one.
fn not_local(drifts: &mut Vec<Drift>, port: &ServicePort) {
    let strange = |endpoint: &&Endpoint| {
        endpoint.about.as_ref().is_some_and(|about| {
            about.state == State::Ready && about.wanted == Some(false) && about.local == Some(false)
        })
    };
    let local = port.pools.iter().filter(|pool| pool.policy == Policy::Local);
    let endpoints = local.flat_map(|pool| pool.endpoints.iter().filter(strange));
    drifts.extend(endpoints.map(|endpoint| Drift::NotLocal(endpoint.address.clone())));
}

/// ClientIP affinity, where there are endpoints to stay with and all rules of the pools are known.
fn affinity(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>, ipvs: bool) {
    // A listing of connections alone does not tell it.
    let untold = |pool: &Pool| ipvs && pool.scheduler.is_none();
    let known = port.pools.iter().all(|pool| pool.is_whole() && pool.dead_ends.is_empty() && !untold(pool));
    let any = port.pools.iter().any(|pool| !pool.endpoints.is_empty());
    if !known || !any {
        return;
    }
    let want = expected.affinity_seconds;
    let others = port.other_affinity.iter().map(|(at, have)| (Some(*at), *have));
    let all = std::iter::once((None, port.affinity_seconds)).chain(others);
    drifts.extend(all.filter(|(_, have)| *have != want).map(|(frontend, have)| Drift::Affinity {
        frontend,
        have,
        want,
    }));
}

/// True if both are the same address or node port, of whatever kind the rules take it for.
fn is_same(want: &expect::Frontend, have: &Frontend) -> bool {
    let node_port = |kind| kind == FrontendKind::NodePort;
    let at = |address: Option<IpAddr>, port: u16, kind| (address, port, node_port(kind));
    have.port.is_some_and(|port| at(want.address, want.port, want.kind) == at(have.address, port, have.kind))
}

/// True if the rules do not tell the port of a frontend at this address, or of a node port.
fn may_be(want: &expect::Frontend, have: &Frontend) -> bool {
    have.port.is_none() && !have.every_port && have.address == want.address
}

/// Frontends that nat takes though the filter table would refuse them.
fn idle_refusals(drifts: &mut Vec<Drift>, port: &ServicePort, expected: &Expected<'_>) {
    let taken = |have: &Frontend| have.routes.iter().all(|route| route.verdict.is_pool());
    if expected.pools.usable == Some(true) {
        let idle = port.frontends.iter().enumerate().filter(|(_, have)| have.refusal.is_some() && taken(have));
        drifts.extend(idle.map(|(at, _)| Drift::IdleRefusal(at)));
    }
}
