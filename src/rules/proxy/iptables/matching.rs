//! Does a rule match a new connection? Three answers, because a dump does not tell everything.

use std::net::IpAddr;

use super::conditions::{Facts, Truth, meets};
use crate::dataplane::Origin;
use crate::dump::iptables::{Match, Rule};
use crate::net::{Network, Protocol};

/// Who opens a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// Someone there.
    At(Origin),
    /// Someone of no special kind: not in the pod network, not on the node, in no source range.
    Plain,
    /// Nothing is known.
    Anyone,
}

/// Where a connection goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Destination<'c> {
    /// To this address (an address of the node, which one is not known and which is not loopback, where `None`) and port
    /// (not known where `None`).
    One(Option<IpAddr>, Option<u16>),
    /// To one of these; to anywhere where there are none.
    OneOf(&'c [(Option<IpAddr>, Option<u16>)]),
}

/// How the rules of a node tell pods from others (`--detect-local-mode`).
#[derive(Debug, Clone, Copy, Default)]
pub struct PodSide<'c> {
    /// Networks known to be the pods'.
    pub networks: &'c [Network],
    /// Interfaces pods come in by, `+` at the end of one that stands for all that begin so.
    pub interfaces: &'c [String],
}

impl PodSide<'_> {
    /// True if the rules tell pods from others.
    pub fn is_known(&self) -> bool {
        !self.networks.is_empty() || !self.interfaces.is_empty()
    }
}

/// A new connection, as far as it is known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Connection<'c> {
    /// Where it comes from.
    pub(super) client: Client,
    /// Where pods are known to be.
    pub(super) pods: PodSide<'c>,
    /// Its protocol, where known.
    pub(super) protocol: Option<Protocol>,
    /// Where it goes.
    pub(super) destination: Destination<'c>,
}

/// A rule's conditions on one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Judgement {
    /// All conditions but the source ranges below.
    pub(super) truth: Truth,
    /// Source networks the rule is limited to, of which nothing is known.
    pub(super) sources: Vec<Network>,
}

impl Judgement {
    /// Whether the rule matches, the source ranges included: of these it cannot be known.
    pub(super) fn overall(&self) -> Truth {
        if self.sources.is_empty() { self.truth } else { self.truth.min(Truth::Unknown) }
    }
}

impl Connection<'_> {
    /// Judges every condition of `rule`, `-m statistic` apart, which is a matter of shares.
    pub(super) fn judge(&self, rule: &Rule<'_>) -> Judgement {
        let mut judgement = Judgement { truth: Truth::Yes, sources: Vec::new() };
        for item in &rule.matches {
            if let Match::Source { not: false, network } = item
                && let Some(network) = Network::parse(network)
                && !network.is_everything()
                && self.source(&network) == Truth::Unknown
            {
                judgement.sources.push(network);
                continue;
            }
            judgement.truth = judgement.truth.min(meets(self, item));
        }
        judgement
    }
}

impl Facts for Connection<'_> {
    fn source(&self, network: &Network) -> Truth {
        let origin = match self.client {
            Client::At(origin) => origin,
            Client::Plain => return Truth::No,
            Client::Anyone => return Truth::Unknown,
        };
        self.pods.connects_from(network, origin)
    }

    fn destination(&self, network: &Network) -> Truth {
        self.destination.all(|address, _| match address {
            Some(address) => Truth::from(network.contains(address)),
            None if network.is_loopback() => Truth::No,
            None => Truth::Unknown,
        })
    }

    fn source_is_local(&self) -> Truth {
        match self.client {
            Client::At(origin) => Truth::from(origin == Origin::Node),
            Client::Plain => Truth::No,
            Client::Anyone => Truth::Unknown,
        }
    }

    fn destination_is_local(&self) -> Truth {
        self.destination.all(|address, _| if address.is_none() { Truth::Yes } else { Truth::Unknown })
    }

    fn protocol(&self) -> Option<Protocol> {
        self.protocol
    }

    fn destination_port(&self, _: &str, condition: &dyn Fn(u16) -> Truth) -> Truth {
        self.destination.all(|_, port| port.map_or(Truth::Unknown, condition))
    }

    fn comes_in_by(&self, interface: &str) -> Truth {
        match self.client {
            Client::At(origin) => self.pods.comes_in_by(interface, origin),
            Client::Plain if self.pods.are_behind(interface) => Truth::No,
            _ => Truth::Unknown,
        }
    }
}

impl PodSide<'_> {
    /// Does someone there connect from the network?
    pub fn connects_from(&self, network: &Network, origin: Origin) -> Truth {
        let pods = self.networks;
        if pods.contains(network) {
            return Truth::from(origin == Origin::Pod);
        }
        if origin == Origin::Pod && !pods.is_empty() && pods.iter().all(|pods| network.contains_network(pods)) {
            return Truth::Yes;
        }
        // Loopback addresses never leave the node.
        if network.is_loopback() && origin != Origin::Node {
            return Truth::No;
        }
        Truth::Unknown
    }

    fn are_behind(&self, interface: &str) -> bool {
        self.interfaces.iter().any(|known| known == interface)
    }

    /// Does what someone there sends come in by this interface?
    pub fn comes_in_by(&self, interface: &str, origin: Origin) -> Truth {
        match origin {
            // What the node sends comes in by no interface.
            Origin::Node => Truth::No,
            _ if self.are_behind(interface) => Truth::from(origin == Origin::Pod),
            Origin::External if is_bridge(interface) => Truth::No,
            _ => Truth::Unknown,
        }
    }
}

impl Destination<'_> {
    /// The judgement all destinations agree on; unknown where they do not.
    fn all(&self, judge: impl Fn(Option<IpAddr>, Option<u16>) -> Truth) -> Truth {
        match self {
            Self::One(address, port) => judge(*address, *port),
            Self::OneOf([]) => Truth::Yes,
            // More than any Service has; comparing them all with every rule would cost a square.
            Self::OneOf(many) if many.len() > 256 => Truth::Unknown,
            Self::OneOf([(address, port), others @ ..]) => {
                let first = judge(*address, *port);
                let agreed = others.iter().all(|(address, port)| judge(*address, *port) == first);
                if agreed { first } else { Truth::Unknown }
            }
        }
    }
}

/// True for interfaces that only containers of this node are behind, so that nobody from elsewhere comes in by them.
fn is_bridge(name: &str) -> bool {
    name == "lo"
        || ["docker", "cni", "podman", "virbr", "veth", "cali", "lxc"].iter().any(|p| name.starts_with(p))
        // Docker names the bridge of a network by its ID; br-ex and the like are uplinks.
        || name.strip_prefix("br-").is_some_and(|id| id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::iptables::{Dump, Hints};

    fn judge(connection: &Connection<'_>, rule: &str) -> (Truth, usize) {
        let text = format!("-A X {rule}");
        let dump = Dump::scan(&text, Hints::default());
        let section = &dump.sections[0];
        let raw = section.rules_of(&section.chains()[0]).next().expect("a rule");
        let judgement = connection.judge(&raw.parse().expect("readable"));
        (judgement.truth, judgement.sources.len())
    }

    fn from(origin: Origin) -> Connection<'static> {
        let pods: &'static [Network] = Vec::leak(vec![Network::parse("10.244.0.0/16").expect("a network")]);
        Connection {
            client: Client::At(origin),
            pods: PodSide { networks: pods, interfaces: &[] },
            protocol: Some(Protocol::Tcp),
            destination: Destination::One(Some("10.96.0.10".parse().expect("an address")), Some(53)),
        }
    }

    #[test]
    fn the_pod_network_tells_pods_from_others() {
        assert_eq!(judge(&from(Origin::Pod), "! -s 10.244.0.0/16"), (Truth::No, 0));
        assert_eq!(judge(&from(Origin::External), "! -s 10.244.0.0/16"), (Truth::Yes, 0));
        assert_eq!(judge(&from(Origin::Node), "-s 10.244.0.0/16"), (Truth::No, 0));
    }

    #[test]
    fn a_range_around_the_pod_network_holds_every_pod() {
        assert_eq!(judge(&from(Origin::Pod), "-s 10.0.0.0/8"), (Truth::Yes, 0));
        assert_eq!(judge(&from(Origin::External), "-s 10.0.0.0/8"), (Truth::Yes, 1));
    }

    #[test]
    fn all_options_of_conntrack_are_asked_for() {
        for (options, truth) in [
            ("--ctstate NEW --ctproto 6", Truth::Yes),
            ("! --ctproto 17 --ctstate NEW", Truth::Yes),
            ("--ctstate NEW --ctproto 17", Truth::No),
            ("--ctstate NEW --ctstatus ASSURED", Truth::Unknown),
            ("--ctstate INVALID --ctstatus ASSURED", Truth::No),
            ("--ctorigdst 10.96.0.10 --ctorigdstport 53", Truth::Yes),
            ("--ctorigdst 10.96.0.11 --ctorigdstport 53", Truth::No),
            ("--ctorigdst nonsense", Truth::Unknown),
            ("--ctstate", Truth::Unknown),
            ("", Truth::Unknown),
        ] {
            assert_eq!(judge(&from(Origin::Pod), &format!("-m conntrack {options}")).0, truth, "{options}");
        }
    }

    #[test]
    fn frontends_that_differ_leave_it_open() {
        let frontends = [(Some("10.96.0.10".parse().expect("ip")), Some(80)), (None, Some(30080))];
        let any =
            Connection { client: Client::Anyone, destination: Destination::OneOf(&frontends), ..from(Origin::Pod) };
        assert_eq!(judge(&any, "-p tcp -m tcp --dport 80").0, Truth::Unknown);
        assert_eq!(judge(&any, "-p tcp -m tcp --dport 81").0, Truth::No);
        assert_eq!(judge(&any, "-d 10.96.0.11/32").0, Truth::Unknown);
        assert_eq!(judge(&any, "-m addrtype --src-type LOCAL").0, Truth::Unknown);
        assert_eq!(judge(&Connection { client: Client::Plain, ..any }, "-s 10.244.0.0/16").0, Truth::No);
    }

    #[test]
    fn source_ranges_are_not_guessed() {
        assert_eq!(judge(&from(Origin::External), "-s 203.0.113.0/24"), (Truth::Yes, 1));
        assert_eq!(judge(&from(Origin::External), "! -s 203.0.113.0/24"), (Truth::Unknown, 0));
    }

    #[test]
    fn destination_protocol_and_port_are_compared() {
        let pod = from(Origin::Pod);
        assert_eq!(judge(&pod, "-d 10.96.0.10/32 -p tcp -m tcp --dport 53").0, Truth::Yes);
        assert_eq!(judge(&pod, "-d 10.96.0.11/32").0, Truth::No);
        assert_eq!(judge(&pod, "-p udp").0, Truth::No);
        assert_eq!(judge(&pod, "-p tcp -m tcp --dport 50:60").0, Truth::Yes);
        assert_eq!(judge(&pod, "-p tcp -m tcp ! --dport domain").0, Truth::No);
        assert_eq!(judge(&pod, "-p tcp -m multiport --dports 80,53").0, Truth::Yes);
        assert_eq!(judge(&pod, "-p tcp -m tcp --sport 1").0, Truth::Unknown);
    }

    #[test]
    fn local_addresses_are_those_of_the_node() {
        assert_eq!(judge(&from(Origin::Node), "-m addrtype --src-type LOCAL").0, Truth::Yes);
        assert_eq!(judge(&from(Origin::External), "-m addrtype ! --src-type LOCAL").0, Truth::Yes);
        assert_eq!(judge(&from(Origin::Pod), "-m addrtype --dst-type LOCAL").0, Truth::Unknown);
        let to_node = Connection { destination: Destination::One(None, Some(53)), ..from(Origin::External) };
        assert_eq!(judge(&to_node, "-m addrtype --dst-type LOCAL").0, Truth::Yes);
        assert_eq!(judge(&to_node, "-d 127.0.0.0/8").0, Truth::No);
    }

    #[test]
    fn nobody_from_elsewhere_comes_in_by_a_bridge() {
        assert_eq!(judge(&from(Origin::External), "! -i docker0").0, Truth::Yes);
        assert_eq!(judge(&from(Origin::External), "-i cni0").0, Truth::No);
        assert_eq!(judge(&from(Origin::External), "! -i eth0").0, Truth::Unknown);
        assert_eq!(judge(&from(Origin::Pod), "! -i docker0").0, Truth::Unknown);
        assert_eq!(judge(&from(Origin::Node), "-i eth0").0, Truth::No);
    }

    #[test]
    fn interfaces_that_the_rules_tell_pods_by_are_theirs() {
        let interfaces: &'static [String] = Vec::leak(vec!["eni+".to_owned()]);
        let told = |origin| Connection { pods: PodSide { networks: &[], interfaces }, ..from(origin) };
        let judged = |origin| judge(&told(origin), "-i eni+").0;
        assert_eq!(
            [judged(Origin::Pod), judged(Origin::Node), judged(Origin::External)],
            [Truth::Yes, Truth::No, Truth::No]
        );
        assert_eq!(judge(&told(Origin::External), "! -i eni+").0, Truth::Yes);
        assert_eq!(judge(&told(Origin::External), "-i eth0").0, Truth::Unknown);
    }

    #[test]
    fn a_new_client_is_in_no_list_and_its_packet_is_new() {
        let pod = from(Origin::Pod);
        assert_eq!(judge(&pod, "-m recent --rcheck --seconds 9 --name L --rsource").0, Truth::No);
        assert_eq!(judge(&pod, "-m recent --set --name L --rsource").0, Truth::Yes);
        assert_eq!(judge(&pod, "-m conntrack --ctstate NEW").0, Truth::Yes);
        assert_eq!(judge(&pod, "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT").0, Truth::Yes);
        assert_eq!(judge(&pod, "-m conntrack --ctstate INVALID").0, Truth::No);
    }

    #[test]
    fn ranges_and_directions_are_compared() {
        let pod = from(Origin::Pod);
        assert_eq!(judge(&pod, "-m iprange --dst-range 10.96.0.9-10.96.0.11").0, Truth::Yes);
        assert_eq!(judge(&pod, "-m iprange ! --dst-range 10.96.0.11-10.96.0.12").0, Truth::Yes);
        assert_eq!(judge(&pod, "-m iprange --src-range 10.96.0.9-10.96.0.11").0, Truth::Unknown);
        assert_eq!(judge(&pod, "-m conntrack --ctdir REPLY").0, Truth::No);
    }

    #[test]
    fn what_a_dump_does_not_tell_is_unknown() {
        for rule in
            ["-i eth0", "-m mark --mark 0x1/0x1", "-m set --match-set S src", "-m limit --limit 5/min", "--frobnicate"]
        {
            assert_eq!(judge(&from(Origin::Pod), rule).0, Truth::Unknown, "{rule}");
        }
    }
}
