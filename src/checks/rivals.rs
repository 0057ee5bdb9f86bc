//! Services that claim the same address and port, of which a node serves one.

use std::cell::OnceCell;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::Input;
use crate::dataplane::{Drift, Frontend, FrontendKind, ServiceName, ServicePort};
use crate::net::Protocol;

/// Protocol, address and port that rules capture; no address where it is a node port.
type Place = (Option<Protocol>, Option<IpAddr>, u16);

/// Who claims an address and port, and whose rules lead on from there. Each is gathered once, when somebody asks.
#[derive(Debug)]
pub(super) struct Rivals<'a, 'i, 'f> {
    input: &'a Input<'i, 'f>,
    /// Names of the Services that kube-proxy should serve there.
    claims: OnceCell<HashMap<Place, Vec<ServiceName>>>,
    /// Names of the Services that are served there.
    served: OnceCell<HashMap<Place, Vec<&'i ServiceName>>>,
}

impl<'a, 'i, 'f> Rivals<'a, 'i, 'f> {
    /// Of a node and its cluster.
    pub(super) fn of(input: &'a Input<'i, 'f>) -> Self {
        Self { input, claims: OnceCell::new(), served: OnceCell::new() }
    }

    fn claims(&self) -> &HashMap<Place, Vec<ServiceName>> {
        self.claims.get_or_init(|| {
            let mut claims: HashMap<Place, Vec<ServiceName>> = HashMap::new();
            for port in self.input.cluster.iter().flat_map(|cluster| cluster.ports()) {
                let served = port.frontends().filter(|(kind, address, _)| port.serves(*kind, *address));
                for (_, address, number) in served.filter(|(_, address, _)| address.is_some()) {
                    claims.entry((port.protocol(), address, number)).or_default().push(port.name());
                }
            }
            claims
        })
    }

    fn served(&self) -> &HashMap<Place, Vec<&'i ServiceName>> {
        self.served.get_or_init(|| {
            let mut served: HashMap<Place, Vec<&ServiceName>> = HashMap::new();
            for port in self.input.services {
                let Some(name) = &port.name else { continue };
                let leads = |frontend: &&Frontend| frontend.routes.iter().any(|route| route.verdict.is_pool());
                for frontend in port.frontends.iter().filter(leads) {
                    if let Some(number) = frontend.port {
                        served.entry((port.protocol, frontend.address, number)).or_default().push(name);
                    }
                }
            }
            served
        })
    }

    /// The frontend that the drift tells to be missing, and the other Service that has it on this node, if one has.
    pub(super) fn holder(&self, port: &ServicePort, drift: &Drift) -> Option<(Frontend, &ServiceName)> {
        let Drift::MissingFrontend { kind, address: Some(address), port: number, refused: None, .. } = *drift else {
            return None;
        };
        // The API server gives no cluster IP twice.
        if !matches!(kind, FrontendKind::ExternalIp | FrontendKind::LoadBalancer) {
            return None;
        }
        let place = (Some(port.protocol?), Some(address), number);
        let other = self.claims().get(&place)?.iter().find(|name| Some(*name) != port.name.as_ref())?;
        // Where its rules were looked at too, they tell whether they lead anywhere.
        let has_it = self.served().get(&place).is_some_and(|names| names.contains(&other));
        let is_seen = || self.input.services.iter().any(|port| port.name.as_ref() == Some(other));
        let is_its = has_it || self.may_be_others() && !is_seen();
        is_its.then(|| (Frontend::blank(kind, Some(address), number), other))
    }

    /// The other Service to which connections to a frontend that is not captured go.
    pub(super) fn taker(&self, port: &ServicePort, address: Option<IpAddr>, number: u16) -> Option<&'i ServiceName> {
        let names = self.served().get(&(port.protocol, address, number))?;
        names.iter().find(|name| Some(**name) != port.name.as_ref()).copied()
    }

    /// True if there may be other Services than those that were looked at.
    pub(super) fn may_be_others(&self) -> bool {
        self.input.narrowed
    }
}
