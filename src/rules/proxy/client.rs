//! Who opens a connection, as far as rules can ask.

use std::cell::RefCell;

use super::iptables::{PodSide, Truth};
use crate::dataplane::{Origin, Route, Verdict};
use crate::net::Network;

/// A client.
#[derive(Debug)]
pub(super) struct Client<'p> {
    /// Where it is.
    pub(super) origin: Origin,
    /// Its address is in this network; it is in none that a rule names where `None`, but for those of pods.
    pub(super) within: Option<Network>,
    /// Where pods are known to be.
    pub(super) pods: PodSide<'p>,
    /// Networks that rules asked for and of which nothing is known.
    asked: RefCell<Vec<Network>>,
}

impl<'p> Client<'p> {
    pub(super) fn new(origin: Origin, within: Option<Network>, pods: PodSide<'p>) -> Self {
        Self { origin, within, pods, asked: RefCell::default() }
    }

    /// Does it connect from there? Where that cannot be known it does not, and the network is remembered, so that its clients
    /// can be looked at by themselves.
    pub(super) fn is_in(&self, network: &Network) -> Truth {
        if network.is_everything() {
            return Truth::Yes;
        }
        let known = self.pods.connects_from(network, self.origin);
        if known != Truth::Unknown {
            return known;
        }
        // A client of the node that uses its loopback address is no other client's business.
        if network.is_loopback() {
            return Truth::No;
        }
        let mut asked = self.asked.borrow_mut();
        if !asked.contains(network) {
            asked.push(*network);
        }
        Truth::from(self.within.is_some_and(|own| network.contains_network(&own)))
    }

    /// The networks that were asked for.
    pub(super) fn asked(self) -> Vec<Network> {
        self.asked.into_inner()
    }
}

/// What becomes of a client's connection.
pub(super) type Outcome = (Verdict, Option<bool>);

/// The routes of clients in one place: `follow` tells what becomes of one in a network, or in none, and which networks were
/// asked for. Those of networks come first, the one for all others last.
pub(super) fn routes(origin: Origin, mut follow: impl FnMut(Option<Network>) -> (Outcome, Vec<Network>)) -> Vec<Route> {
    let (plain, asked) = follow(None);
    let mut routes: Vec<Route> = Vec::new();
    for network in asked {
        let (outcome, _) = follow(Some(network));
        if outcome == plain {
            continue;
        }
        match routes.iter_mut().find(|route| (route.verdict, route.masquerade) == outcome) {
            Some(route) => route.sources.push(network),
            None => {
                let (verdict, masquerade) = outcome;
                routes.push(Route { origin, sources: vec![network], verdict, masquerade });
            }
        }
    }
    let (verdict, masquerade) = plain;
    routes.push(Route { origin, sources: Vec::new(), verdict, masquerade });
    routes
}
