//! A packet on its way: what rules can ask of it.

use std::cell::{Cell, RefCell};

use super::hook::Hook;
use super::journey::{Journey, Source};
use super::leaf::{Leaf, Leaves, World};
use super::state::{NewSource, Place, State};
use crate::dataplane::Origin;
use crate::dump::ipset::{Member, Part, Set};
use crate::dump::iptables::{Match, Recent, TableName};
use crate::net::{Network, Protocol};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::iptables::{Facts, PodSide, Truth};

/// A packet as one rule sees it.
pub(super) struct View<'v> {
    pub(super) journey: &'v Journey<'v>,
    pub(super) state: &'v State,
    pub(super) world: &'v World,
    pub(super) leaves: &'v RefCell<Leaves>,
    pub(super) hook: Hook,
    /// `None` for routing.
    pub(super) table: Option<TableName>,
    /// Line of the rule.
    pub(super) line: u32,
    /// The first thing that was asked, is not known, and about which the world makes no choice.
    pub(super) open: Cell<Option<u16>>,
}

impl View<'_> {
    /// What the world says about a thing nobody knows.
    fn ask(&self, leaf: Leaf) -> Truth {
        let id = self.leaves.borrow_mut().id(leaf);
        match self.world.get(id) {
            Some(choice) => choice.into(),
            None => {
                if self.open.get().is_none() {
                    self.open.set(Some(id));
                }
                Truth::Unknown
            }
        }
    }

    /// The name of a thing the world says is so, if it is of the kind that `name` picks: of interfaces and lists only one
    /// can be the one.
    fn chosen(&self, name: impl Fn(&Leaf) -> Option<&str>) -> Option<String> {
        self.leaves.borrow().true_in(self.world).find_map(|leaf| name(leaf).map(str::to_owned))
    }

    /// True if every address of `network` is one that pods may have.
    fn is_of_pods(&self, network: &Network) -> bool {
        self.journey.pod_networks.iter().any(|pods| pods.contains_network(network))
    }

    fn is_local(&self, place: Place) -> Truth {
        match place {
            Place::Here => Truth::Yes,
            Place::Somewhere => self.ask(Leaf::IsLocal(None)),
            Place::At(ip) => match self.journey.locals.contain(ip) {
                Truth::Unknown => self.ask(Leaf::IsLocal(Some(ip))),
                known => known,
            },
        }
    }

    /// True where there is no connection yet: raw comes before connection tracking, but for what the node sends to itself and
    /// was tracked when it left.
    fn is_early(&self) -> bool {
        let is_back = self.journey.origin == Origin::Node && self.hook == Hook::Prerouting;
        self.table == Some(TableName::Raw) && !is_back
    }

    /// A rule that cannot be read.
    pub(super) fn unreadable(&self) {
        self.ask(Leaf::Other { line: self.line, text: "a rule that cannot be read".to_owned() });
    }

    fn is_member(&self, set: &Set<'_>, directions: &str, name: &str) -> Truth {
        let is = |member: &Member<'_>| self.fits(member, directions, name);
        let judged: Vec<(&Member<'_>, Truth)> = set.members.iter().map(|member| (member, is(member))).collect();
        let first = |member: &Member<'_>| match member.parts.first() {
            Some(Part::Network(network)) => Some(*network),
            _ => None,
        };
        let excepted = |wide: &Member<'_>| {
            let exceptions = judged.iter().filter(|(member, truth)| member.nomatch && *truth != Truth::No);
            let inside = exceptions.filter(|(narrow, _)| {
                first(wide).zip(first(narrow)).is_some_and(|(wide, narrow)| wide.contains_network(&narrow))
            });
            inside.map(|(_, truth)| *truth).max().unwrap_or(Truth::No)
        };
        let members = judged.iter().filter(|(member, truth)| !member.nomatch && *truth != Truth::No);
        members.map(|(member, truth)| (*truth).min(excepted(member).negated(true))).max().unwrap_or(Truth::No)
    }

    fn fits(&self, member: &Member<'_>, directions: &str, set: &str) -> Truth {
        let mut sides = directions.split(',');
        let mut truth = Truth::Yes;
        for part in &member.parts {
            // Asked with fewer directions than it has dimensions, a set has no member (`ip_set_test`, net/netfilter/ipset).
            let Some(side) = sides.next() else { return Truth::No };
            let from = side == "src";
            truth = truth.min(match part {
                Part::Network(network) if from => self.source(network),
                Part::Network(network) => self.destination(network),
                Part::Ports(Some(protocol), ..) if *protocol != self.journey.protocol => Truth::No,
                Part::Ports(_, low, high) => {
                    let within = |port: u16| Truth::from((*low..=*high).contains(&port));
                    let range = format!("{low}:{high}");
                    if from { self.source_port(&range, &within) } else { self.destination_port(&range, &within) }
                }
                Part::Other(inner) => match self.journey.sets.get(inner).filter(|inner| inner.kind != "list:set") {
                    Some(inner_set) => self.is_member(inner_set, directions, inner),
                    None => {
                        self.ask(Leaf::InSet { set: set.to_owned(), directions: directions.to_owned(), known: true })
                    }
                },
            });
        }
        truth
    }
}

impl View<'_> {
    /// Does an address of the node, any but those of loopback, lie in the network?
    fn own_lies_in(&self, network: &Network, open: Leaf) -> Truth {
        let locals = &self.journey.locals;
        if network.is_loopback() || network.address().is_some_and(|ip| locals.contain(ip) == Truth::No) {
            return Truth::No;
        }
        let mut own = locals.of(network.family()).filter(|_| locals.complete).map(|ip| network.contains(ip)).peekable();
        match own.peek().copied() {
            Some(first) if own.all(|inside| inside == first) => first.into(),
            _ => self.ask(open),
        }
    }
}

impl Facts for View<'_> {
    fn source(&self, network: &Network) -> Truth {
        match self.state.source {
            None | Some(NewSource::OtherPort) => {}
            Some(NewSource::Exactly(ip)) => return network.contains(ip).into(),
            Some(NewSource::OfNode) => return self.own_lies_in(network, Leaf::NewSourceIn(*network)),
            Some(NewSource::Unknown) => return self.ask(Leaf::NewSourceIn(*network)),
        }
        self.original_source(network)
    }

    fn original_source(&self, network: &Network) -> Truth {
        let pods = self.journey.pod_networks;
        let apart = |one: &Network, other: &Network| !one.contains_network(other) && !other.contains_network(one);
        match &self.journey.source {
            Source::Exactly(ip) => network.contains(*ip).into(),
            // Outside both halves of all addresses there is nobody.
            Source::Outside => match network.half() {
                Some((lower, is_lower)) => self.ask(Leaf::SourceIn(lower)).negated(!is_lower),
                None => Truth::No,
            },
            Source::OneOf(ips) if ips.iter().all(|ip| network.contains(*ip)) => Truth::Yes,
            Source::OneOf(ips) if !ips.iter().any(|ip| network.contains(*ip)) => Truth::No,
            Source::SomePod if !pods.is_empty() && pods.iter().all(|pods| network.contains_network(pods)) => Truth::Yes,
            Source::SomePod if network.is_loopback() || network.address().is_some() => Truth::No,
            Source::SomePod if !pods.is_empty() && pods.iter().all(|pods| apart(pods, network)) => Truth::No,
            Source::SomeLocal if network.is_loopback() || self.is_of_pods(network) => Truth::No,
            _ => self.ask(Leaf::SourceIn(*network)),
        }
    }

    fn destination(&self, network: &Network) -> Truth {
        match self.state.place {
            Place::At(ip) => network.contains(ip).into(),
            Place::Here => self.own_lies_in(network, Leaf::DestinationIn(*network)),
            Place::Somewhere => self.ask(Leaf::NewDestinationIn(*network)),
        }
    }

    fn source_is_local(&self) -> Truth {
        match self.state.source {
            Some(NewSource::Exactly(ip)) => self.is_local(Place::At(ip)),
            Some(NewSource::Unknown) => self.ask(Leaf::NewSourceIsLocal),
            // From elsewhere it would be a martian, which the kernel drops.
            _ => (self.journey.origin == Origin::Node).into(),
        }
    }

    fn destination_is_local(&self) -> Truth {
        self.is_local(self.state.place)
    }

    fn destination_is_of(&self, kind: &str) -> Truth {
        let ip = self.state.place.ip();
        let is_others = ip.is_some_and(|ip| self.journey.locals.of_others.contains(&ip));
        match (kind, ip) {
            ("MULTICAST", Some(ip)) => ip.is_multicast().into(),
            ("UNICAST", Some(_)) if is_others => Truth::Yes,
            ("BROADCAST", Some(ip)) if is_others || ip.is_multicast() || ip.is_ipv6() => Truth::No,
            // An address is of one kind only.
            ("MULTICAST" | "UNICAST" | "BROADCAST", _) if self.destination_is_local() == Truth::Yes => Truth::No,
            _ => Truth::Unknown,
        }
    }

    fn protocol(&self) -> Option<Protocol> {
        Some(self.journey.protocol)
    }

    fn source_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        match self.state.source {
            None => self.original_source_port(range, condition),
            // Where the port is taken, another one comes instead.
            Some(_) => self.ask(Leaf::NewSourcePort(range.to_owned())),
        }
    }

    fn original_source_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        match self.journey.source_port.map_or(Truth::Unknown, condition) {
            Truth::Unknown => self.ask(Leaf::SourcePort(range.to_owned())),
            known => known,
        }
    }

    fn original_destination(&self, network: &Network) -> Truth {
        match self.journey.destination {
            Some(ip) => network.contains(ip).into(),
            None => self.own_lies_in(network, Leaf::DestinationIn(*network)),
        }
    }

    fn original_destination_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        match condition(self.journey.port) {
            Truth::Unknown => self.ask(Leaf::DestinationPort(range.to_owned())),
            known => known,
        }
    }

    fn destination_port(&self, range: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        match self.state.port.map_or(Truth::Unknown, condition) {
            Truth::Unknown => self.ask(Leaf::DestinationPort(range.to_owned())),
            known => known,
        }
    }

    fn comes_in_by(&self, interface: &str) -> Truth {
        if self.journey.origin == Origin::Node {
            // What it sends to itself comes back in by the loopback interface.
            return (self.hook.is_inbound() && fits(interface, "lo")).into();
        }
        if let Some(known) = &self.journey.comes_in_by {
            return fits(interface, known).into();
        }
        if interface == "lo" {
            return Truth::No;
        }
        let pods = PodSide { networks: self.journey.pod_networks, interfaces: self.journey.pod_interfaces };
        match pods.comes_in_by(interface, self.journey.origin) {
            Truth::Unknown => {
                let chosen = self.chosen(|leaf| match leaf {
                    Leaf::ComesInBy(name) => Some(name),
                    _ => None,
                });
                match chosen.map_or(Truth::Unknown, |chosen| by_chosen(&chosen, interface)) {
                    Truth::Unknown => self.ask(Leaf::ComesInBy(interface.to_owned())),
                    known => known,
                }
            }
            known => known,
        }
    }

    fn goes_out_by(&self, interface: &str) -> Truth {
        // Before it is routed it has no interface to go out by, and what is for this node never has.
        if matches!(self.hook, Hook::Prerouting | Hook::Input) {
            return Truth::No;
        }
        // The node's own packet was routed before OUTPUT, and translation there changes that for what comes later only.
        let place = match self.hook {
            Hook::Output => self.journey.destination.map_or(Place::Here, Place::At),
            _ => self.state.place,
        };
        match self.is_local(place) {
            Truth::Yes => fits(interface, "lo").into(),
            Truth::Unknown => Truth::Unknown,
            Truth::No if interface == "lo" => Truth::No,
            Truth::No => {
                if let Some(known) = &self.journey.goes_out_by {
                    return fits(interface, known).into();
                }
                let chosen = self.chosen(|leaf| match leaf {
                    Leaf::GoesOutBy(name, to) if *to == place.ip() => Some(name),
                    _ => None,
                });
                match chosen.map_or(Truth::Unknown, |chosen| by_chosen(&chosen, interface)) {
                    Truth::Unknown => self.ask(Leaf::GoesOutBy(interface.to_owned(), place.ip())),
                    known => known,
                }
            }
        }
    }

    fn mark(&self, value: u32, mask: u32) -> Truth {
        (self.state.mark & mask == value).into()
    }

    fn connmark(&self, value: u32, mask: u32) -> Truth {
        (self.state.connmark & mask == value).into()
    }

    fn remembered(&self, recent: &Recent<'_>) -> Truth {
        if !self.journey.seen {
            return Truth::No;
        }
        let list = recent.name.unwrap_or("DEFAULT");
        if ChainKind::of(list) != ChainKind::Endpoint {
            return self.ask(Leaf::Listed(list.to_owned(), self.line));
        }
        // Affinity has a client on the list of one endpoint.
        let chosen = self.chosen(|leaf| if let Leaf::Remembered(list) = leaf { Some(list) } else { None });
        match chosen {
            Some(chosen) => (chosen == list).into(),
            None => self.ask(Leaf::Remembered(list.to_owned())),
        }
    }

    fn state(&self, states: &str) -> Truth {
        let has = |state: &str| match state {
            _ if self.is_early() => state == if self.state.tracked { "INVALID" } else { "UNTRACKED" },
            "NEW" => self.state.tracked,
            "UNTRACKED" => !self.state.tracked,
            "DNAT" => self.state.translated.is_some(),
            "SNAT" => self.state.source.is_some(),
            _ => false,
        };
        states.split(',').any(has).into()
    }

    fn has_connection(&self) -> bool {
        self.state.tracked && !self.is_early()
    }

    fn in_set(&self, set: &str, directions: &str) -> Truth {
        match self.journey.sets.get(set) {
            Some(known) => self.is_member(known, directions, set),
            None => self.ask(Leaf::InSet { set: set.to_owned(), directions: directions.to_owned(), known: false }),
        }
    }

    fn other(&self, item: &Match<'_>) -> Truth {
        self.ask(Leaf::Other { line: self.line, text: item.emit() })
    }
}

/// Is an interface meant by `pattern`, if the one it is fits `chosen`? Both may end in `+`.
fn by_chosen(chosen: &str, pattern: &str) -> Truth {
    match (chosen.strip_suffix('+'), pattern.strip_suffix('+')) {
        (None, _) => fits(pattern, chosen).into(),
        (Some(chosen), Some(pattern)) if chosen.starts_with(pattern) => Truth::Yes,
        (Some(chosen), Some(pattern)) if pattern.starts_with(chosen) => Truth::Unknown,
        (Some(chosen), None) if pattern.starts_with(chosen) => Truth::Unknown,
        _ => Truth::No,
    }
}

/// Is an interface of this name meant by `pattern`, which may end in `+`?
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('+') {
        Some(prefix) => name.starts_with(prefix),
        None => pattern == name,
    }
}
