//! Services that claim the same address and port, of which a node serves one.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::Input;
use crate::dataplane::{Drift, Frontend, FrontendKind, ServiceName, ServicePort};
use crate::net::Protocol;

/// Protocol, address and port that rules capture.
type Place = (Option<Protocol>, Option<IpAddr>, u16);

/// Who claims an address and port, and whose rules lead on from there. Built once for all that is asked of it.
#[derive(Debug)]
pub(super) struct Rivals<'i> {
    /// Names of the Services that kube-proxy should serve there.
    claims: HashMap<(Protocol, IpAddr, u16), Vec<ServiceName>>,
    /// Names of the Services that are served there; at a node port where there is no address.
    served: HashMap<Place, Vec<&'i ServiceName>>,
    /// Those whose rules were looked at, where not all were.
    seen: Option<HashSet<&'i ServiceName>>,
}

impl<'i> Rivals<'i> {
    /// Of a node and its cluster.
    pub(super) fn of(input: &Input<'i, '_>) -> Self {
        let mut claims: HashMap<_, Vec<ServiceName>> = HashMap::new();
        for port in input.cluster.iter().flat_map(|cluster| cluster.ports()) {
            let Some(protocol) = port.protocol() else { continue };
            for (kind, address, number) in port.frontends() {
                if let Some(address) = address.filter(|_| port.serves(kind, address)) {
                    claims.entry((protocol, address, number)).or_default().push(port.name());
                }
            }
        }
        let mut served: HashMap<_, Vec<&ServiceName>> = HashMap::new();
        let names = || input.services.iter().filter_map(|port| Some((port, port.name.as_ref()?)));
        for (port, name) in names() {
            let leads = |frontend: &&Frontend| frontend.routes.iter().any(|route| route.verdict.is_pool());
            for frontend in port.frontends.iter().filter(leads) {
                if let Some(number) = frontend.port {
                    served.entry((port.protocol, frontend.address, number)).or_default().push(name);
                }
            }
        }
        let seen = input.narrowed.then(|| names().map(|(_, name)| name).collect());
        Self { claims, served, seen }
    }

    /// The frontend that the drift tells to be missing, and the other Service that has it on this node, if one has.
    pub(super) fn holder(&self, port: &ServicePort, drift: &Drift) -> Option<(Frontend, &ServiceName)> {
        let Drift::MissingFrontend { kind, address: Some(address), port: number, refused: None } = *drift else {
            return None;
        };
        // The API server gives no cluster IP twice.
        if !matches!(kind, FrontendKind::ExternalIp | FrontendKind::LoadBalancer) {
            return None;
        }
        let mut others = self.claims.get(&(port.protocol?, address, number))?.iter();
        let other = others.find(|name| Some(*name) != port.name.as_ref())?;
        // Where its rules were looked at too, they tell whether they lead anywhere.
        let has_it =
            self.served.get(&(port.protocol, Some(address), number)).is_some_and(|names| names.contains(&other));
        let is_its = has_it || self.seen.as_ref().is_some_and(|seen| !seen.contains(other));
        is_its.then(|| (Frontend::blank(kind, Some(address), number), other))
    }

    /// The other Service to which connections to a frontend that is not captured go.
    pub(super) fn taker(&self, port: &ServicePort, address: Option<IpAddr>, number: u16) -> Option<&'i ServiceName> {
        let names = self.served.get(&(port.protocol, address, number))?;
        names.iter().find(|name| Some(**name) != port.name.as_ref()).copied()
    }

    /// True if there may be other Services than those that were looked at.
    pub(super) fn may_be_others(&self) -> bool {
        self.seen.is_some()
    }
}
