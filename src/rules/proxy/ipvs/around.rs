//! The rules of iptables and the ipsets around virtual servers: who is masqueraded, and who is dropped.

use std::net::IpAddr;

use crate::dataplane::{Origin, Verdict};
use crate::dump::ipset::{Member, Part, Sets};
use crate::dump::iptables::{Match, Rule};
use crate::net::{Network, Protocol};
use crate::proxy::chain_name::ChainKind;
use crate::proxy::client::Client;
use crate::proxy::iptables::{Facts, Table, Truth, meets};

/// kube-proxy's chains are three deep.
const MAX_DEPTH: usize = 8;

/// Rules followed for one connection.
const MAX_RULES: usize = 500;

/// Keeps what listens on the node from being reached by the addresses of Services, which the node has.
const ACCESS: &str = "KUBE-IPVS-FILTER";

/// A connection to a virtual server.
pub(super) struct Packet<'p, 's> {
    pub(super) client: Client<'p>,
    pub(super) protocol: Protocol,
    /// `None` for an address of the node, on which node ports are open.
    pub(super) address: Option<IpAddr>,
    pub(super) port: Option<u16>,
    pub(super) sets: &'p Sets<'s>,
}

/// What the rules do with a connection: is it marked for masquerading, and is it dropped or refused?
#[derive(Debug)]
pub(super) struct Treatment {
    pub(super) marked: Truth,
    /// `Err` where it cannot be told.
    pub(super) refused: Result<Option<Verdict>, ()>,
}

/// What a rule does.
enum Step {
    GoesOn,
    /// The connection perhaps leaves the chain.
    PerhapsLeaves,
    /// It goes back to where the chain was jumped to from.
    Returns,
    Flow(Flow),
}

enum Flow {
    GoesOn,
    Ends,
    Refused(Verdict),
    Unknown,
}

impl Packet<'_, '_> {
    /// Follows the connection through KUBE-SERVICES of nat, and through the source ranges of the filter table.
    pub(super) fn treatment(&self, nat: Option<Table<'_>>, filter: Option<Table<'_>>) -> Treatment {
        let mut walk = Walk { packet: self, marked: Truth::No, left: MAX_RULES };
        let mut refused = Ok(None);
        // What the node sends itself passes INPUT too, but is not limited by source ranges in every release.
        for (table, chain) in [(nat, "KUBE-SERVICES"), (filter, "KUBE-PROXY-FIREWALL")] {
            match table.map(|table| walk.chain(table, chain, Truth::Yes, 0)) {
                Some(Flow::Refused(verdict)) => {
                    refused = refused.map(|before: Option<Verdict>| before.or(Some(verdict)));
                }
                Some(Flow::Unknown) => refused = Err(()),
                _ => {}
            }
        }
        // Of what comes in, INPUT refuses what is for an address of a Service and in none of the sets of Services
        // (`iptablesIPVSFilterChain`, pkg/proxy/ipvs/proxier.go). A set that was not read refuses nobody.
        let comes_in = self.client.origin != Origin::Node;
        if let Some(filter) = filter.filter(|filter| comes_in && is_led_to(*filter, ACCESS)) {
            let marked = walk.marked;
            if let Flow::Refused(verdict) = walk.chain(filter, ACCESS, Truth::Yes, 0) {
                refused = refused.map(|before| before.or(Some(verdict)));
            }
            walk.marked = marked;
        }
        // Without kube-proxy's chain nothing is known of what it marks.
        let has_portal = nat.is_some_and(|nat| nat.section.chain("KUBE-SERVICES").is_some());
        let marked = if has_portal && refused.is_ok() { walk.marked } else { Truth::Unknown };
        Treatment { marked, refused }
    }
}

/// True if INPUT has a jump to `chain`.
fn is_led_to(filter: Table<'_>, chain: &str) -> bool {
    filter.rules("INPUT").any(|raw| raw.target_name() == Some(chain))
}

struct Walk<'w, 'p, 's> {
    packet: &'w Packet<'p, 's>,
    marked: Truth,
    left: usize,
}

impl Walk<'_, '_, '_> {
    /// Follows a chain that the connection gets to for certain, or perhaps.
    fn chain(&mut self, table: Table<'_>, name: &str, reached: Truth, depth: usize) -> Flow {
        if depth > MAX_DEPTH {
            return Flow::Unknown;
        }
        // What perhaps left the chain only perhaps gets to the rules behind.
        let mut reached = reached;
        for rule in table.rules(name).filter_map(|raw| raw.parse().ok()) {
            let Some(left) = self.left.checked_sub(1) else { return Flow::Unknown };
            self.left = left;
            match self.rule(table, &rule, reached, depth) {
                Step::GoesOn => {}
                Step::PerhapsLeaves => reached = Truth::Unknown,
                Step::Returns => return Flow::GoesOn,
                Step::Flow(flow) => return flow,
            }
        }
        Flow::GoesOn
    }

    fn rule(&mut self, table: Table<'_>, rule: &Rule<'_>, reached: Truth, depth: usize) -> Step {
        let met = rule.matches.iter().map(|item| meets(self.packet, item)).min().unwrap_or(Truth::Yes).min(reached);
        let Some(target) = rule.target.as_ref().filter(|_| met != Truth::No) else { return Step::GoesOn };
        if ChainKind::of(target.name) == ChainKind::MarkMasquerade {
            self.marked = self.marked.max(met);
            return Step::GoesOn;
        }
        let flow = match (target.name, ChainKind::of(target.name)) {
            ("RETURN", _) if met == Truth::Unknown => return Step::PerhapsLeaves,
            ("RETURN", _) => return Step::Returns,
            ("ACCEPT", _) => Flow::Ends,
            ("DROP", _) | (_, ChainKind::MarkDrop) => Flow::Refused(Verdict::Drop),
            ("REJECT", _) => Flow::Refused(Verdict::Reject),
            (name, _) => self.chain(table, name, met, depth + 1),
        };
        match flow {
            Flow::GoesOn => Step::GoesOn,
            Flow::Ends if met == Truth::Unknown => Step::PerhapsLeaves,
            Flow::Refused(_) if met == Truth::Unknown => Step::Flow(Flow::Unknown),
            flow => Step::Flow(flow),
        }
    }
}

impl Facts for Packet<'_, '_> {
    fn source(&self, network: &Network) -> Truth {
        self.client.is_in(network)
    }

    fn destination(&self, network: &Network) -> Truth {
        match self.address {
            Some(address) => Truth::from(network.contains(address)),
            None if network.is_loopback() => Truth::No,
            None => Truth::Unknown,
        }
    }

    fn source_is_local(&self) -> Truth {
        Truth::from(self.client.origin == Origin::Node)
    }

    /// Every address of a virtual server is on kube-ipvs0, or is the node's.
    fn destination_is_local(&self) -> Truth {
        Truth::Yes
    }

    fn protocol(&self) -> Option<Protocol> {
        Some(self.protocol)
    }

    fn destination_port(&self, _: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        self.port.map_or(Truth::Unknown, condition)
    }

    fn comes_in_by(&self, interface: &str) -> Truth {
        self.client.pods.comes_in_by(interface, self.client.origin)
    }

    fn in_set(&self, name: &str, directions: &str) -> Truth {
        let Some(set) = self.sets.get(name) else { return Truth::Unknown };
        // Sets of Services name no address of the node, but for SCTP node ports, which are told by the port: none is looked through.
        let may_be_node = self.protocol == Protocol::Sctp && name.contains("NODE-PORT");
        let begins_with_address =
            set.members.first().is_some_and(|member| matches!(member.parts[..], [Part::Network(_), ..]));
        if self.address.is_none() && directions.starts_with("dst") && begins_with_address && !may_be_node {
            return Truth::No;
        }
        let of = |parts: &[Part<'_>]| {
            let truths = parts.iter().zip(directions.split(',')).map(|(part, side)| match (part, side) {
                (Part::Network(network), "dst") => match self.address {
                    Some(address) => Truth::from(network.contains(address)),
                    None => Truth::from(may_be_node),
                },
                (Part::Network(network), _) => self.client.is_in(network),
                (Part::Ports(protocol, low, high), "dst") => match self.port {
                    Some(port) => {
                        Truth::from(protocol.is_none_or(|p| p == self.protocol) && (*low..=*high).contains(&port))
                    }
                    None => Truth::Unknown,
                },
                _ => Truth::Unknown,
            });
            // The destination first: no network is asked for on behalf of another Service.
            let mut all = Truth::Yes;
            for truth in truths {
                all = all.min(truth);
                if all == Truth::No {
                    break;
                }
            }
            all
        };
        let all = |members: &mut dyn Iterator<Item = &Member<'_>>| {
            members.filter(|member| !member.nomatch).map(|member| of(&member.parts)).max().unwrap_or(Truth::No)
        };
        let is_in = match (self.address, self.port) {
            (Some(address), Some(port)) if directions.starts_with("dst,dst") => all(&mut set.candidates(address, port)),
            _ => all(&mut set.members.iter()),
        };
        if is_in == Truth::No && self.sets.may_lack_members(set) { Truth::Unknown } else { is_in }
    }

    /// `-m physdev ! --physdev-is-in`: what comes in by the port of a bridge cannot be told from what does not.
    fn other(&self, _: &Match<'_>) -> Truth {
        Truth::Unknown
    }
}
