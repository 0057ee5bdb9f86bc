//! Service ports of the cluster that no rule speaks of.

use std::net::IpAddr;

use super::Join;
use crate::dataplane::{AboutService, Frontend, Origin, Route, ServicePort, Standing, Verdict};
use crate::expect;
use crate::net::Family;
use crate::proxy::chain_name;

impl<'f> Join<'_, 'f> {
    /// True if a Service without rules is worth a line of its own for this family: the family was read, or no family
    /// of the Service was.
    pub fn is_shown_alone(&self, port: &expect::ServicePort<'f>, only: Option<Family>) -> bool {
        if only.is_some_and(|only| only != port.family) {
            return false;
        }
        let read = |family: Family| self.families.iter().any(|extent| extent.family == family);
        let cluster_ips = || port.service.cluster_ips.iter().map(|ip| Family::of(*ip));
        read(port.family) || !cluster_ips().any(read)
    }

    /// True if the cluster knows an endpoint of `port` that fits.
    pub fn has_member(&self, port: &expect::ServicePort<'f>, fits: impl Fn(IpAddr, u16) -> bool) -> bool {
        self.expected(port).members.iter().any(|m| fits(m.address, m.port))
    }

    /// A service port as far as the cluster tells it.
    pub fn alone(&self, port: &expect::ServicePort<'f>) -> ServicePort {
        let expected = self.expected(port);
        let read = self.families.iter().any(|extent| extent.family == port.family);
        let rules_complete = self.rules_complete(port.family);
        let standing = match super::standing(port, &expected) {
            Standing::Served | Standing::NoEndpoints | Standing::NoLocalEndpoints if !read => Standing::OtherFamily,
            standing => standing,
        };
        let verdict = if rules_complete { Verdict::None } else { Verdict::Unknown };
        let name = port.name();
        let key = port.protocol().and_then(|protocol| chain_name::service_keys(&name, protocol).next());
        let unprogrammed = if rules_complete { super::endpoints::unprogrammed(&expected) } else { Vec::new() };
        ServicePort {
            key: key.unwrap_or_else(|| name.to_string()),
            name: Some(name),
            protocol: port.protocol(),
            family: port.family,
            frontends: frontends(port, verdict),
            pools: Vec::new(),
            affinity_seconds: None,
            other_affinity: Vec::new(),
            draining: Vec::new(),
            dead_ends: Vec::new(),
            repeated: Vec::new(),
            of_proxy: true,
            about: Some(Box::new(AboutService {
                service_type: Some(port.service.service_type.as_str()),
                standing,
                unprogrammed,
                waiting: super::endpoints::waiting(&expected, &[]),
                rules_complete,
                gap: expected.pools.gap(),
                drifts: self.not_refused(port.family, &[], &expected),
            })),
        }
    }
}

/// The addresses and the node port of a service port, none of which a rule catches.
fn frontends(port: &expect::ServicePort<'_>, verdict: Verdict) -> Vec<Frontend> {
    let routes = || Origin::ALL.map(|origin| Route { origin, sources: Vec::new(), verdict, masquerade: None }).to_vec();
    let all = port.frontends();
    all.map(|(kind, address, port)| Frontend { routes: routes(), ..Frontend::blank(kind, address, port) }).collect()
}
