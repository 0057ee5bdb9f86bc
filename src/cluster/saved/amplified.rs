//! Objects that together stand for more than their texts are long: each is within the limit of one object, all are not.

use super::kind::Kind;
use super::{Key, Saved};
use crate::cluster::convert::TooMuch;
use crate::cluster::facts::{Service, Slice};

/// Pairs of a port and an address that all objects together may stand for beside those that are in step with their length: a
/// hundred bytes each, about. A Service of ten ports has none.
const ALL: usize = 1_000_000;

/// Pairs for each port and address that are in step with an object's length. A slice of a hundred endpoints with eight ports is.
const IN_STEP: usize = 8;

/// Counts what objects stand for beyond their length.
#[derive(Default)]
struct Counter {
    pairs: usize,
}

impl Counter {
    /// Why an object of so many ports and addresses is left out; nothing if it is not.
    fn refused(&mut self, ports: usize, addresses: usize, what: &str) -> Option<String> {
        let more = ports.saturating_mul(addresses).saturating_sub(IN_STEP * (ports + addresses));
        let pairs = self.pairs.saturating_add(more);
        if more == 0 || pairs <= ALL {
            self.pairs = pairs;
            return None;
        }
        Some(format!(
            "{ports} ports of {addresses} {what} are, with other objects, more than the {ALL} pairs that are read"
        ))
    }
}

impl Saved {
    /// Leaves out objects that are too much with those before them, in the order of their names.
    pub(super) fn leave_out_amplified(&mut self) {
        let mut counter = Counter::default();
        let mut out: Vec<((Kind, Key), TooMuch)> = Vec::new();
        self.services.retain(|key, service| {
            let refused = of_service(service, &mut counter);
            keep((Kind::Service, key), key, refused.map(|why| format!("spec.ports: {why}")), &mut out)
        });
        self.slices.retain(|key, slice| {
            let refused = of_slices([&*slice], &mut counter).map(|why| format!("ports: {why}"));
            let service = (slice.namespace.clone(), slice.service.clone());
            keep((Kind::Slice, key), &service, refused, &mut out)
        });
        self.endpoints.retain(|key, slices| {
            let refused = of_slices(slices.iter(), &mut counter).map(|why| format!("subsets: {why}"));
            keep((Kind::Endpoints, key), key, refused, &mut out)
        });
        self.left_out.extend(out);
    }
}

fn of_service(service: &Service, counter: &mut Counter) -> Option<String> {
    let addresses = service.addresses().count().saturating_add(service.copied_ranges());
    counter.refused(service.ports.len(), addresses, "addresses")
}

fn of_slices<'s>(slices: impl IntoIterator<Item = &'s Slice>, counter: &mut Counter) -> Option<String> {
    slices.into_iter().find_map(|slice| counter.refused(slice.ports.len(), slice.endpoints.len(), "endpoints"))
}

/// Notes why an object is left out; true if it is not.
fn keep(
    (kind, key): (Kind, &Key),
    service: &Key,
    refused: Option<String>,
    out: &mut Vec<((Kind, Key), TooMuch)>,
) -> bool {
    let kept = refused.is_none();
    out.extend(
        refused.map(|what| ((kind, key.clone()), TooMuch { name: key.1.clone(), service: service.clone(), what })),
    );
    kept
}
