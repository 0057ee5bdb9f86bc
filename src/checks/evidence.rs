//! The objects that findings are compared with, named so that a person can look them up.

use std::fmt::Write as _;

use super::{Input, ObjectRef};
use crate::cluster::{Endpoint, Slice};
use crate::dataplane::{Address, ServicePort};
use crate::net::Host;

/// Slices that are named for an endpoint that is in none of them.
const SLICES: usize = 3;

/// Addresses of a slice that are listed.
const LISTED: usize = 5;

impl Input<'_, '_> {
    /// The condition of an endpoint in its slice.
    pub(super) fn endpoint_object(&self, port: &ServicePort, address: &Address) -> Vec<ObjectRef> {
        let Some(ip) = address.ip() else { return Vec::new() };
        let found = self.slices(port).iter().find_map(|slice| {
            let fits = slice.ports.iter().any(|p| address.port().is_none_or(|number| number == p.port));
            let at = slice.endpoints.iter().position(|endpoint| endpoint.address == ip).filter(|_| fits)?;
            Some(ObjectRef {
                kind: "EndpointSlice",
                name: format!("{}/{}", slice.namespace, slice.name),
                field: format!("endpoints[{at}].conditions"),
                value: conditions(&slice.endpoints[at]),
                changed: slice.changed,
            })
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
