//! The objects that findings are compared with, named so that a person can look them up.

use std::cell::RefCell;
use std::fmt::Write as _;
use std::net::IpAddr;

use hashbrown::HashMap;

use super::{Input, ObjectRef};
use crate::cluster::{Endpoint, Slice};
use crate::dataplane::{Address, ServiceName, ServicePort};
use crate::net::Host;

/// Slices that are named for an endpoint that is in none of them.
const SLICES: usize = 3;

/// Addresses of a slice that are listed.
const LISTED: usize = 5;

/// Where the endpoints of one Service stand: slice and place in it, by their addresses. A Service may lack each of them.
#[derive(Debug, Clone, Default)]
pub struct Places(RefCell<(Option<ServiceName>, ByAddress)>);

type ByAddress = HashMap<IpAddr, Vec<(usize, usize)>>;

impl Input<'_, '_> {
    /// The condition of an endpoint in its slice.
    pub(super) fn endpoint_object(&self, port: &ServicePort, address: &Address) -> Vec<ObjectRef> {
        let Some(ip) = address.ip() else { return Vec::new() };
        let slices = self.slices(port);
        let (of, places) = &mut *self.places.0.borrow_mut();
        if *of != port.name {
            of.clone_from(&port.name);
            places.clear();
            for (n, slice) in slices.iter().enumerate() {
                for (at, endpoint) in slice.endpoints.iter().enumerate() {
                    places.entry(endpoint.address).or_default().push((n, at));
                }
            }
        }
        let mut known = places.get(&ip).into_iter().flatten().map(|&(n, at)| (&slices[n], at));
        let fits = |slice: &Slice| slice.ports.iter().any(|p| address.port().is_none_or(|number| number == p.port));
        let found = known.find(|(slice, _)| fits(slice)).map(|(slice, at)| ObjectRef {
            kind: "EndpointSlice",
            name: format!("{}/{}", slice.namespace, slice.name),
            field: format!("endpoints[{at}].conditions"),
            value: conditions(&slice.endpoints[at]),
            changed: slice.changed,
        });
        found.into_iter().collect()
    }

    /// The slices an endpoint is not in.
    pub(super) fn endpoints_object(&self, port: &ServicePort) -> Vec<ObjectRef> {
        let of_family = self.slices(port).iter().filter(|slice| slice.family == port.family);
        let object = |slice: &Slice| {
            let ports: Vec<u16> = slice.ports.iter().map(|p| p.port).collect();
            let addresses = slice.endpoints.iter().take(LISTED).map(|e| match ports.as_slice() {
                [only] => format!("{}:{only}", Host(e.address)),
                _ => Host(e.address).to_string(),
            });
            let mut listed = addresses.collect::<Vec<_>>().join(", ");
            match slice.endpoints.len() {
                0 => listed.push_str("none"),
                all if all > LISTED => {
                    let _ = write!(listed, " and {} more", all - LISTED);
                }
                _ => {}
            }
            ObjectRef {
                kind: "EndpointSlice",
                name: format!("{}/{}", slice.namespace, slice.name),
                field: "endpoints".to_owned(),
                value: listed,
                changed: slice.changed,
            }
        };
        of_family.take(SLICES).map(object).collect()
    }

    /// A field of the Service, with its value as read.
    pub(super) fn service_object(&self, port: &ServicePort, field: &str, value: impl Into<String>) -> Vec<ObjectRef> {
        let name = port.name.as_ref().map(|name| format!("{}/{}", name.namespace, name.service));
        let object = name.map(|name| ObjectRef {
            kind: "Service",
            name,
            field: field.to_owned(),
            value: value.into(),
            changed: None,
        });
        object.into_iter().filter(|_| self.cluster.is_some()).collect()
    }

    fn slices(&self, port: &ServicePort) -> &[Slice] {
        let slices = self.cluster.zip(port.name.as_ref());
        slices.map(|(cluster, name)| cluster.slices(&name.namespace, &name.service)).unwrap_or_default()
    }
}

fn conditions(endpoint: &Endpoint) -> String {
    let Endpoint { ready, serving, terminating, .. } = endpoint;
    format!("ready: {ready}, serving: {serving}, terminating: {terminating}")
}
