//! The addresses virtual servers have, beside those of the node and those of each other.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::{FrontendSketch, Sketch, Survey};
use crate::dataplane::{Closed, FrontendKind, RuleRef, Unbound};
use crate::dump::addresses::Interfaces;
use crate::dump::ipvs::{Key, VirtualServer};
use crate::net::Family;
use crate::order::Order as _;

impl Survey<'_> {
    /// Addresses of virtual servers of a family that no interface has: kube-proxy puts them on kube-ipvs0, for only what comes
    /// to an address of the node gets to IPVS. A listing of another interface alone says nothing of them. An external address that
    /// another interface has is put on none (`shouldBind` of syncService, pkg/proxy/ipvs/proxier.go).
    pub fn unbound(&self, interfaces: &Interfaces<'_>, family: Family) -> Vec<Unbound> {
        if interfaces.get("kube-ipvs0").is_none() && interfaces.get("lo").is_none() {
            return Vec::new();
        }
        let bound: HashSet<IpAddr> =
            interfaces.all.iter().flat_map(|interface| interface.addresses.iter().copied()).collect();
        let only_own = interfaces.all.iter().all(|interface| interface.name == "kube-ipvs0");
        let (mut unbound, mut places) = (Vec::new(), HashMap::new());
        let of_family = self.sketches.iter().filter(|sketch| sketch.family == family && sketch.of_proxy);
        for frontend in of_family.flat_map(|sketch| &sketch.frontends) {
            let Some(address) = frontend.address.filter(|address| !bound.contains(address)) else { continue };
            let rules = frontend.servers.iter().map(|server| RuleRef { text: self.at.text, line: server.line });
            let place = *places.entry(address).or_insert(unbound.len());
            if place == unbound.len() {
                let may_be_elsewhere = only_own && frontend.kind != FrontendKind::ClusterIp;
                unbound.push(Unbound { address, may_be_elsewhere, rules: Vec::new() });
            }
            unbound[place].rules.extend(rules);
        }
        unbound
    }

    /// Node ports of a family that lack a virtual server on an address on which most have one: kube-proxy opens each on the same
    /// addresses of the node (`nodePortAddresses`).
    pub fn closed(&self, family: Family) -> Vec<Closed> {
        let mut node_ports = Vec::new();
        // Of a virtual server that objects do not know it is guessed that it is a node port's.
        let is_known = |sketch: &&Sketch<'_>| sketch.family == family && sketch.of_proxy && sketch.name.is_some();
        for sketch in self.sketches.iter().filter(is_known) {
            let own = sketch.frontends.iter().filter(|frontend| frontend.kind == FrontendKind::NodePort);
            node_ports.extend(own.map(|frontend| (sketch, frontend)));
        }
        let mut open: HashMap<IpAddr, usize> = HashMap::new();
        for address in node_ports.iter().flat_map(|(_, frontend)| frontend.addresses()) {
            *open.entry(address).or_default() += 1;
        }
        open.retain(|_, ports| 2 * *ports > node_ports.len());
        let mut closed = Vec::new();
        for (sketch, frontend) in node_ports {
            // An external address may be the node's, and have the port that is the node port.
            let of_port = sketch.frontends.iter().filter(|other| other.port == frontend.port);
            let own: HashSet<IpAddr> = of_port.flat_map(FrontendSketch::addresses).collect();
            let rule = |server: &&VirtualServer<'_>| RuleRef { text: self.at.text, line: server.line };
            let at = |address: IpAddr, is_empty: bool, rules: Vec<RuleRef>| Closed {
                key: sketch.key.clone(),
                protocol: sketch.protocol,
                port: frontend.port,
                address,
                is_empty,
                rules,
            };
            let all = || frontend.servers.iter().map(rule).collect();
            // Where no virtual server has a real one, the others refuse too.
            let serves = frontend.servers.iter().any(|server| !server.real.is_empty());
            let lacking = open.keys().filter(|address| serves && !own.contains(*address));
            closed.extend(lacking.map(|address| at(*address, false, all())));
            let empty =
                frontend.servers.iter().filter(|server| serves && server.real.is_empty() && !server.is_doubtful);
            closed.extend(empty.filter_map(|server| Some(at(server.key.address()?, true, vec![rule(server)]))));
        }
        closed.order_by_key(|closed| (closed.port, closed.protocol, closed.address));
        closed
    }
}

impl FrontendSketch<'_> {
    /// The addresses its virtual servers have.
    fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        self.servers.iter().filter_map(|server| match server.key {
            Key::Address { address, .. } => Some(address),
            Key::Mark { .. } => None,
        })
    }
}
