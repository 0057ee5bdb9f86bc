//! The endpoints of a service port, gathered from its slices.

use std::net::IpAddr;

use super::Viewpoint;
use crate::cluster::{Endpoint, Port, Slice};
use crate::net::Family;
use crate::order::Order as _;

/// An endpoint of a service port.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member<'f> {
    /// Its address.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    /// What the slice says of it.
    pub endpoint: &'f Endpoint,
    /// Whether it runs on the node; `None` where the node is not known.
    pub local: Option<bool>,
}

impl Member<'_> {
    /// It is on its way out and still answers: used where nothing is ready (`IsServing` and `IsTerminating`).
    pub fn last_resort(&self) -> bool {
        !self.endpoint.ready && self.endpoint.serving && self.endpoint.terminating
    }

    /// Of several slices that name the same address and port, the one to believe: a local one before others
    /// (pkg/proxy/endpointslicecache.go), then the most usable, so that the order of slices does not matter.
    fn rank(&self) -> impl Ord + '_ {
        let e = self.endpoint;
        (self.local, e.ready, e.serving, !e.terminating, e.node.is_some(), e.pod.as_ref())
    }
}

/// The members that `slices` give a port: those of the slice port of the same name and protocol.
pub(super) fn of<'f>(slices: impl Iterator<Item = &'f Slice>, port: &Port, viewpoint: &Viewpoint) -> Vec<Member<'f>> {
    let mut members = Vec::new();
    for slice in slices {
        let fits = slice.ports.iter().filter(|p| p.name == port.name && p.protocol == port.protocol);
        for number in fits.map(|p| p.port) {
            let endpoints = slice.endpoints.iter().filter(|e| Family::of(e.address) == slice.family);
            members.extend(endpoints.map(|endpoint| Member {
                address: endpoint.address,
                port: number,
                endpoint,
                local: viewpoint.node.as_deref().map(|node| endpoint.node.as_deref() == Some(node)),
            }));
        }
    }
    members.order_by(|a, b| (a.address, a.port).cmp(&(b.address, b.port)).then_with(|| b.rank().cmp(&a.rank())));
    members.dedup_by_key(|m| (m.address, m.port));
    members
}
