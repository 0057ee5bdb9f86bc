//! What checks look at, and where they put what they find.

use std::cell::LazyCell;

use hashbrown::{HashMap, HashSet};

use super::evidence::Places;
use super::{Check, Finding};
use crate::cluster::{NodePorts, Service};
use crate::dataplane::{Closed, Mode, Origin, ServicePort, Standing, Wiring};
use crate::expect::Cluster;
use crate::net::{Family, Moment, Protocol};

/// A node, ready to be checked.
#[derive(Debug, Clone)]
pub struct Input<'i, 'f> {
    /// Service ports, followed to their endpoints and joined with the cluster.
    pub services: &'i [ServicePort],
    /// The rules of each family as a whole.
    pub wirings: &'i [Wiring],
    /// The cluster; `None` where the rules stand alone.
    pub cluster: Option<&'i Cluster<'f>>,
    /// Why lines may be missing from what was read, one sentence each.
    pub partial: &'i [String],
    /// Only some service ports were asked for.
    pub narrowed: bool,
    /// Only this family was asked for.
    pub only: Option<Family>,
    /// When the rules were read.
    pub read_at: Option<Moment>,
    /// The objects seem to be of another cluster than the rules.
    pub foreign: bool,
    /// Where the endpoints stand of the Service that was looked at last.
    pub places: Places,
}

impl<'i> Input<'i, '_> {
    /// Service ports of families whose Services are in what was read, with their places.
    pub(super) fn ports(&self) -> impl Iterator<Item = (usize, &'i ServicePort)> + use<'i> {
        let wirings = self.wirings;
        let is_ours = move |family: Family| !wirings.iter().any(|w| w.family == family && w.unseen);
        self.services.iter().enumerate().filter(move |(_, port)| is_ours(port.family))
    }

    /// The places of service ports by family, key and protocol, which rules that are of no service port alone name them by.
    pub(super) fn places_by_key(&self) -> HashMap<(Family, &'i str, Option<Protocol>), usize> {
        self.ports().map(|(at, port)| ((port.family, port.key.as_str(), port.protocol), at)).collect()
    }

    /// Node ports that are not open on some address of the node, with the places of their service ports.
    pub(super) fn closed(&self) -> impl Iterator<Item = (usize, &'i Closed)> {
        let places = LazyCell::new(|| self.places_by_key());
        let all =
            self.wirings.iter().flat_map(|wiring| wiring.closed.iter().map(move |closed| (wiring.family, closed)));
        all.filter_map(move |(family, closed)| {
            Some((*places.get(&(family, closed.key.as_str(), closed.protocol))?, closed))
        })
    }

    /// How many service ports have an address of a family of which no rules were read, by that family.
    pub(super) fn unread(&self) -> impl Iterator<Item = (Family, usize)> {
        let was_read = |family: Family| {
            // Where its rules are known to be gone, its Services should have some.
            let is_expected = |port: &ServicePort| {
                let standing = port.about.as_ref().map(|about| &about.standing);
                standing.is_some_and(|standing| {
                    matches!(standing, Standing::Served | Standing::NoEndpoints | Standing::NoLocalEndpoints)
                })
            };
            let mut of_family = self.ports().filter(|(_, port)| port.family == family);
            self.wiring(family).is_some() || of_family.any(|(_, port)| is_expected(port))
        };
        let families = [Family::Ipv4, Family::Ipv6].into_iter().filter(move |family| !was_read(*family));
        families.filter(|family| self.only.is_none_or(|only| only == *family)).map(|family| {
            let has_it = |service: &Service| service.cluster_ips.iter().any(|ip| Family::of(*ip) == family);
            let is_others = |port: &ServicePort| {
                port.about.as_ref().is_some_and(|about| matches!(about.standing, Standing::OtherProxy(_)))
            };
            let ports = self.ports().filter(|(_, port)| !is_others(port) && self.service(port).is_some_and(has_it));
            (family, ports.map(|(_, port)| (&port.name, port.protocol)).collect::<HashSet<_>>().len())
        })
    }

    /// The rules of a family as a whole.
    pub(super) fn wiring(&self, family: Family) -> Option<&'i Wiring> {
        self.wirings.iter().find(|wiring| wiring.family == family)
    }

    /// True if a hook is missing that leads connections from there to every Service, which is told as that.
    pub(super) fn is_unhooked(&self, family: Family, origin: Origin) -> bool {
        self.wiring(family).is_some_and(|wiring| wiring.is_unhooked(origin))
    }

    /// On which addresses of the node node ports are open, as far as kube-proxy's configuration is known.
    pub(super) fn node_ports(&self) -> NodePorts {
        let proxy = self.cluster.and_then(|cluster| cluster.facts().proxy.as_ref());
        proxy.map_or(NodePorts::All, |proxy| proxy.node_ports)
    }

    /// The Service of a service port, where the cluster knows it.
    pub(super) fn service(&self, port: &ServicePort) -> Option<&Service> {
        let name = port.name.as_ref()?;
        self.cluster?.service(&name.namespace, &name.service)
    }

    /// True if no rules of the family's nat table are missing.
    pub(super) fn is_whole(&self, family: Family) -> bool {
        self.wiring(family).is_some_and(|wiring| wiring.whole)
    }

    /// The mode of kube-proxy in use; iptables where no rules tell.
    pub(super) fn mode(&self) -> Mode {
        self.wirings.iter().find_map(|wiring| wiring.mode).unwrap_or(Mode::Iptables)
    }

    /// What every sync writes anew, and leads to all Services.
    pub(super) fn portal(&self) -> &'static str {
        match self.mode() {
            Mode::Iptables => "KUBE-SERVICES",
            Mode::Nftables => "the map service-ips",
            Mode::Ipvs => "the list of virtual servers",
        }
    }

    /// `node1`, or `this node` where it is not known.
    pub(super) fn node(&self) -> &'i str {
        self.cluster.and_then(|cluster| cluster.viewpoint().node.as_deref()).unwrap_or("this node")
    }
}

/// A check that was not made, or not of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skipped {
    /// The check.
    pub check: &'static Check,
    /// Why, in a few words.
    pub reason: String,
    /// It would be made if no lines were missing.
    pub for_lines: bool,
}

/// What was found so far.
#[derive(Debug)]
pub struct Found {
    /// The check that is being made.
    check: &'static Check,
    pub(super) findings: Vec<Finding>,
    pub(super) skipped: Vec<Skipped>,
}

impl Found {
    pub(super) fn new(check: &'static Check) -> Self {
        Self { check, findings: Vec::new(), skipped: Vec::new() }
    }

    /// Adds what another check has found.
    pub(super) fn append(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.skipped.extend(other.skipped);
    }

    /// A finding of this check about the service port at this place, to be filled in.
    pub(super) fn on(&self, at: usize, port: &ServicePort) -> Finding {
        Finding::on(self.check, at, port)
    }

    /// A finding of this check about the rules of a family, to be filled in.
    pub(super) fn about(&self, family: Family) -> Finding {
        Finding::about(self.check, family)
    }

    /// Adds a finding.
    pub(super) fn add(&mut self, finding: Finding) {
        self.findings.push(finding);
    }

    /// Says why this check was not made, or not of everything.
    pub(super) fn skip(&mut self, reason: impl Into<String>) {
        self.put(reason.into(), false);
    }

    /// Says that this check was not made because lines are missing.
    pub(super) fn skip_for_lines(&mut self, reason: impl Into<String>) {
        self.put(reason.into(), true);
    }

    fn put(&mut self, reason: String, for_lines: bool) {
        let skipped = Skipped { check: self.check, reason, for_lines };
        if !self.skipped.contains(&skipped) {
            self.skipped.push(skipped);
        }
    }
}
