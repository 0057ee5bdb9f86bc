//! A new connection, and whether it meets a rule's conditions.

use std::net::IpAddr;

use super::index::{Index, Part, networks};
use crate::dataplane::Origin;
use crate::dump::nft::{Data, Key, Map, Selector, Statement, Verdict, parts};
use crate::net::{Network, Protocol, number};
use crate::proxy::client::Client;
use crate::proxy::iptables::Truth;

/// A new connection, as far as it is known.
#[derive(Debug)]
pub(super) struct Packet<'p, 'd> {
    pub(super) index: &'p Index<'d>,
    /// Where it comes from.
    pub(super) client: Client<'p>,
    /// Its protocol.
    pub(super) protocol: Protocol,
    /// The address; `None` for one of the node's, which is open for node ports and not loopback.
    pub(super) address: Option<IpAddr>,
    /// The port.
    pub(super) port: u16,
}

impl<'d> Packet<'_, 'd> {
    /// Does it meet the condition? Statements that are none are always met.
    pub(super) fn meets(&self, statement: &Statement<'d>) -> Truth {
        match statement {
            Statement::Match { key, mask: None, not, value } => self.holds(key, value).negated(*not),
            Statement::Match { .. } | Statement::Unknown(_) => Truth::Unknown,
            _ => Truth::Yes,
        }
    }

    fn holds(&self, key: &[Selector<'d>], value: &Data<'d>) -> Truth {
        match (key, value) {
            ([one], Data::One(text)) => self.is(*one, text),
            ([one], Data::Many(all)) => all.iter().map(|text| self.is(*one, text)).max().unwrap_or(Truth::No),
            (key, Data::Named(name)) => self.is_element(key, name),
            (key, Data::One(text)) => self.all(key, text),
            (key, Data::Many(all)) => all.iter().map(|text| self.all(key, text)).max().unwrap_or(Truth::No),
            (_, Data::Mapped(..)) => Truth::Unknown,
        }
    }

    fn all(&self, key: &[Selector<'d>], text: &str) -> Truth {
        let truths = key.iter().zip(parts(text)).map(|(selector, text)| self.is(*selector, text));
        truths.min().unwrap_or(Truth::Unknown)
    }

    /// Has the field this value?
    fn is(&self, field: Selector<'d>, text: &str) -> Truth {
        match field {
            Selector::SourceAddress => match networks(text) {
                Some(all) => all.iter().map(|network| self.client.is_in(network)).max().unwrap_or(Truth::No),
                None => Truth::Unknown,
            },
            Selector::DestinationAddress => match (networks(text), self.address) {
                (Some(all), Some(address)) => Truth::from(all.iter().any(|network| network.contains(address))),
                (Some(all), None) if all.iter().all(Network::is_loopback) => Truth::No,
                _ => Truth::Unknown,
            },
            Selector::Protocol => match Protocol::parse(text) {
                Some(protocol) => Truth::from(protocol == self.protocol),
                None => Truth::Unknown,
            },
            Selector::DestinationPort(of) if of.is_some_and(|of| of != self.protocol) => Truth::No,
            Selector::DestinationPort(_) => {
                let (low, high) = text.split_once('-').unwrap_or((text, text));
                let bounds = low.parse::<u16>().ok().zip(high.parse::<u16>().ok());
                bounds.map_or(Truth::Unknown, |(low, high)| Truth::from((low..=high).contains(&self.port)))
            }
            // The first packet of a connection, before it is translated.
            Selector::State => Truth::from(text.split(',').any(|state| is_new(state.trim()))),
            Selector::Status => Truth::No,
            Selector::SourceType if is_local(text) => Truth::from(self.client.origin == Origin::Node),
            Selector::DestinationType if is_local(text) && self.address.is_none() => Truth::Yes,
            Selector::InInterface => self.client.pods.comes_in_by(&text.replace('*', "+"), self.client.origin),
            _ => Truth::Unknown,
        }
    }

    fn is_element(&self, key: &[Selector<'d>], name: &str) -> Truth {
        let Some(set) = self.index.get(name) else { return Truth::Unknown };
        if key.contains(&Selector::SourceAddress) {
            // What rules put there themselves, a new client is not in.
            if set.set.timeout.is_some() {
                return Truth::No;
            }
            let known: Vec<Option<Part<'_>>> = key.iter().map(|selector| self.part(*selector)).collect();
            let place = key.iter().position(|selector| *selector == Selector::SourceAddress).unwrap_or_default();
            let sources = set.with(&known).filter_map(|element| networks(element.parts().nth(place)?));
            return sources.flatten().map(|network| self.client.is_in(&network)).max().unwrap_or(Truth::No);
        }
        // Of the node's addresses, one that is open for node ports is meant.
        if key == [Selector::DestinationAddress] && self.address.is_none() {
            return match name {
                "nodeport-ips" => Truth::from(!set.set.elements.is_empty()),
                "cluster-ips" => Truth::No,
                _ => Truth::Unknown,
            };
        }
        match key.iter().map(|selector| self.part(*selector)).collect::<Option<Vec<_>>>() {
            Some(key) => Truth::from(set.find(&key).is_some()),
            None => Truth::Unknown,
        }
    }

    fn part(&self, field: Selector<'d>) -> Option<Part<'static>> {
        match field {
            Selector::DestinationAddress => self.address.map(Part::Address),
            Selector::Protocol => Some(Part::Protocol(self.protocol)),
            Selector::DestinationPort(_) => Some(Part::Port(self.port)),
            _ => None,
        }
    }

    /// What a map of verdicts has for it; `Err` where that cannot be told.
    pub(super) fn verdict(&self, key: &Key<'d>, map: &Map<'d>) -> Result<Option<Verdict<'d>>, ()> {
        let Key::Fields(fields) = key else { return Err(()) };
        let parts = fields.iter().map(|selector| self.part(*selector)).collect::<Option<Vec<_>>>();
        match (map, parts) {
            (Map::Named(name), Some(parts)) => {
                let element = self.index.get(name).ok_or(())?.find(&parts);
                element.map(|element| element.data.and_then(Verdict::parse).ok_or(())).transpose()
            }
            // An address of the node is no cluster IP.
            (Map::Named(_), None) if fields.contains(&Selector::DestinationAddress) && self.address.is_none() => {
                Ok(None)
            }
            (Map::Inline(pairs), Some(parts)) => {
                let fits = |(text, _): &&(&str, &str)| {
                    crate::dump::nft::parts(text).zip(&parts).all(|(have, wanted)| super::index::is_in(have, *wanted))
                };
                pairs.iter().find(fits).map(|(_, data)| Verdict::parse(data).ok_or(())).transpose()
            }
            _ => Err(()),
        }
    }
}

/// True for the state of the first packet of a connection: its name, or its number as `nft -n` prints it
/// (`NF_CT_STATE_BIT(IP_CT_NEW)`, include/uapi/linux/netfilter/nf_conntrack_common.h).
fn is_new(state: &str) -> bool {
    const NEW: u32 = 1 << 3;
    state == "new" || number(state).is_some_and(|bits| bits & NEW != 0)
}

/// True for the type of a node's own addresses: its name, or its number as `nft -n` prints it (`RTN_LOCAL`,
/// include/uapi/linux/rtnetlink.h).
fn is_local(address_type: &str) -> bool {
    matches!(address_type, "local" | "2")
}
