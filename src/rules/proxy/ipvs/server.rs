//! What a virtual server is for.

use std::net::IpAddr;

use super::set_name;
use crate::dataplane::{FrontendKind, Policy, ServiceName};
use crate::dump::ipset::{Part, Set, Sets};
use crate::dump::ipvs::RealServer;
use crate::net::{Family, Protocol};
use crate::proxy::KnownNames;

/// Ports the API server gives node ports from (`--service-node-port-range`), unless told otherwise.
const NODE_PORTS: std::ops::RangeInclusive<u16> = 30_000..=32_767;

/// What a virtual server is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Purpose {
    pub(super) name: Option<ServiceName>,
    pub(super) kind: FrontendKind,
    /// `None` where neither objects nor ipsets tell it.
    pub(super) policy: Option<Policy>,
    /// Objects or kube-proxy's ipsets know the address.
    pub(super) is_known: bool,
}

/// Tells what virtual servers are for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purposes<'s, 'd> {
    pub(super) known: &'s KnownNames,
    pub(super) sets: &'s Sets<'d>,
}

impl Purposes<'_, '_> {
    /// What a virtual server at this address with these real servers is for.
    pub(super) fn of(self, protocol: Protocol, address: IpAddr, port: u16, real: &[RealServer]) -> Purpose {
        let at = |address| (address, Some(protocol), Some(port));
        let known = |frontend| {
            let is_real = |endpoint: &(IpAddr, u16)| real.iter().any(|real| (real.address, real.port) == *endpoint);
            self.known.frontend(frontend, is_real)
        };
        let of_node = || known(at(None)).filter(|_| !self.is_of_service(address));
        if let Some((name, kind, wanted)) = known(at(Some(address))).or_else(of_node) {
            // Real servers are those the Service's policy wants. Sets tell only whose clients keep their address.
            let is_local = || {
                let endpoints = real.iter().map(|real| (real.address, real.port));
                wanted == Policy::Local && !real.is_empty() && self.known.are_local(name, protocol, endpoints)
            };
            let told = self.policy(kind, protocol, address, port).filter(|_| !is_local());
            let policy = Some(told.unwrap_or(wanted));
            return Purpose { name: Some(name.clone()), kind, policy, is_known: true };
        }
        let by_sets = self.by_sets(protocol, address, port);
        let is_known = by_sets.is_some();
        let (kind, policy) = by_sets.unwrap_or_else(|| {
            let kind = if NODE_PORTS.contains(&port) { FrontendKind::NodePort } else { FrontendKind::ClusterIp };
            (kind, None)
        });
        Purpose { name: None, kind, policy, is_known }
    }

    /// True if ipsets say that the address is a Service's own, so that no node port is open on it.
    fn is_of_service(self, address: IpAddr) -> bool {
        let family = Family::of(address);
        self.members(family, "IPVS-IPS").any(|parts| parts.first().is_some_and(|part| is_address(part, address)))
            || self
                .members(family, "CLUSTER-IP")
                .any(|parts| parts.first().is_some_and(|part| is_address(part, address)))
    }

    /// The pool that clients from outside get to, where kube-proxy's sets tell it: it may not be the one they should get to. What is
    /// not among the members of a listing's last set may have been cut off.
    fn policy(self, kind: FrontendKind, protocol: Protocol, address: IpAddr, port: u16) -> Option<Policy> {
        let local = match kind {
            FrontendKind::ClusterIp => return None,
            FrontendKind::LoadBalancer => "LOAD-BALANCER-LOCAL",
            FrontendKind::ExternalIp => "EXTERNAL-IP-LOCAL",
            FrontendKind::NodePort => match protocol {
                Protocol::Tcp => "NODE-PORT-LOCAL-TCP",
                Protocol::Udp => "NODE-PORT-LOCAL-UDP",
                Protocol::Sctp => "NODE-PORT-LOCAL-SCTP-HASH",
                Protocol::Other(_) => return None,
            },
        };
        let is_whole = self.set(Family::of(address), local).is_some_and(|set| !set.is_last);
        let (told, policy) = self.by_sets(protocol, address, port)?;
        policy.filter(|policy| told == kind && (is_whole || *policy == Policy::Local))
    }

    fn by_sets(self, protocol: Protocol, address: IpAddr, port: u16) -> Option<(FrontendKind, Option<Policy>)> {
        let family = Family::of(address);
        let has = |set: &str| {
            let candidates = self.set(family, set).into_iter().flat_map(|set| set.candidates(address, port));
            candidates.into_iter().any(|member| match member.parts.as_slice() {
                [first, second, ..] => is_address(first, address) && has_port(second, protocol, port),
                _ => false,
            })
        };
        let policy = |local: bool| Some(if local { Policy::Local } else { Policy::Cluster });
        if has("CLUSTER-IP") {
            // Its policy is in no set.
            return Some((FrontendKind::ClusterIp, None));
        }
        if has("LOAD-BALANCER") || has("LOAD-BALANCER-LOCAL") {
            return Some((FrontendKind::LoadBalancer, policy(has("LOAD-BALANCER-LOCAL"))));
        }
        if has("EXTERNAL-IP") || has("EXTERNAL-IP-LOCAL") {
            return Some((FrontendKind::ExternalIp, policy(has("EXTERNAL-IP-LOCAL"))));
        }
        let open = |suffix: &str| {
            let bitmap = format!("NODE-PORT{suffix}-{}", protocol.to_string().to_uppercase());
            let hash = format!("NODE-PORT{suffix}-SCTP-HASH");
            has(&hash)
                || self
                    .members(family, &bitmap)
                    .any(|parts| parts.first().is_some_and(|member| has_port(member, protocol, port)))
        };
        let local = open("-LOCAL");
        (local || open("")).then(|| (FrontendKind::NodePort, policy(local)))
    }

    /// The members of kube-proxy's set of this name and family.
    fn members<'m>(self, family: Family, name: &str) -> impl Iterator<Item = &'m [Part<'m>]>
    where
        Self: 'm,
    {
        self.set(family, name).into_iter().flat_map(|set| set.members.iter().map(|member| member.parts.as_slice()))
    }

    /// kube-proxy's set of this name and family.
    fn set<'m>(self, family: Family, name: &str) -> Option<&'m Set<'m>>
    where
        Self: 'm,
    {
        self.sets.get(&set_name(family, name))
    }
}

fn is_address(part: &Part<'_>, address: IpAddr) -> bool {
    matches!(part, Part::Network(network) if network.contains(address))
}

fn has_port(member: &Part<'_>, protocol: Protocol, port: u16) -> bool {
    matches!(member, Part::Ports(of, low, high) if of.is_none_or(|of| of == protocol) && (*low..=*high).contains(&port))
}
