//! A network of either family, as `-s` and `-d` name it.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, IpSubnets, Ipv4Net, Ipv4Subnets, Ipv6Subnets};

use super::{Family, address};
use crate::order::Order as _;

/// An address with a prefix length. Non-contiguous masks, which iptables also allows, are no `Network`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Network(IpNet);

impl Network {
    /// Reads `10.0.0.0/8`, `10.0.0.0/255.0.0.0`, `fd00::/8`, or a bare address, which is a network of one.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, mask) = match text.split_once('/') {
            Some((address, mask)) => (address, Some(mask)),
            None => (text, None),
        };
        let address = address::ip(address)?;
        let whole = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match mask {
            None => whole,
            Some(mask) if mask.contains('.') => {
                let mask: Ipv4Addr = mask.parse().ok()?;
                Ipv4Net::with_netmask(Ipv4Addr::UNSPECIFIED, mask).ok()?.prefix_len()
            }
            Some(mask) => mask.parse().ok()?,
        };
        // The kernel looks at no bit beyond the prefix, and iptables prints none.
        Self::new(address, prefix)
    }

    /// The network of the first `prefix` bits of `address`; `None` if it has fewer.
    pub fn new(address: IpAddr, prefix: u8) -> Option<Self> {
        IpNet::new(address, prefix).ok().map(|network| Self(network.trunc()))
    }

    /// Its first address, and how many bits its addresses share.
    pub fn parts(&self) -> (IpAddr, u8) {
        (self.0.addr(), self.0.prefix_len())
    }

    /// The network of one that holds `address`.
    pub fn single(address: IpAddr) -> Self {
        Self(IpNet::from(address))
    }

    /// True if `address` lies inside. Families never contain each other.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }

    /// True if every address of `other` lies inside.
    pub fn contains_network(&self, other: &Self) -> bool {
        self.0.contains(&other.0)
    }

    /// The address, if the network holds exactly one.
    pub fn address(&self) -> Option<IpAddr> {
        (self.0.prefix_len() == self.0.max_prefix_len()).then(|| self.0.addr())
    }

    /// True if this is 127.0.0.0/8, ::1 or a part of them.
    pub fn is_loopback(&self) -> bool {
        self.0.network().is_loopback() && self.0.broadcast().is_loopback()
    }

    /// True for 0.0.0.0/0 and ::/0, which match everything.
    pub fn is_everything(&self) -> bool {
        self.0.prefix_len() == 0
    }

    /// Reads `10.0.0.1-10.0.0.9`: the networks that hold these addresses and no others.
    pub fn range(text: &str) -> Option<Vec<Self>> {
        let (first, last) = text.split_once('-')?;
        let networks = match (first.parse().ok()?, last.parse().ok()?) {
            (IpAddr::V4(first), IpAddr::V4(last)) => IpSubnets::V4(Ipv4Subnets::new(first, last, 0)),
            (IpAddr::V6(first), IpAddr::V6(last)) => IpSubnets::V6(Ipv6Subnets::new(first, last, 0)),
            _ => return None,
        };
        Some(networks.map(Self).collect())
    }

    /// For one of the two halves of all addresses, which some write instead of everything: the lower half, and whether this
    /// is it.
    pub fn half(&self) -> Option<(Self, bool)> {
        let lower = IpNet::new(
            if self.0.addr().is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() },
            1,
        );
        let lower = Self(lower.ok()?);
        (self.0.prefix_len() == 1).then_some((lower, *self == lower))
    }

    /// The fewest networks with the same addresses, in order.
    pub fn joined<'n>(all: impl IntoIterator<Item = &'n Self>) -> Vec<Self> {
        let all: Vec<IpNet> = all.into_iter().map(|network| network.0).collect();
        let mut joined: Vec<Self> = IpNet::aggregate(&all).into_iter().map(Self).collect();
        joined.order();
        joined
    }

    /// The family of the address.
    pub fn family(&self) -> Family {
        Family::of(self.0.addr())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_address_is_a_network_of_one() {
        assert_eq!(Network::parse("10.0.0.1"), Network::parse("10.0.0.1/32"));
        assert_eq!(Network::parse("fd00::1"), Network::parse("fd00::1/128"));
    }

    #[test]
    fn bits_beyond_the_prefix_do_not_count() {
        assert_eq!(Network::parse("198.51.100.7/24"), Network::parse("198.51.100.0/24"));
        assert_eq!(Network::parse("fd00::7/64"), Network::parse("fd00::/64"));
    }

    #[test]
    fn dotted_masks_are_prefixes_when_contiguous() {
        assert_eq!(Network::parse("10.0.0.0/255.255.0.0"), Network::parse("10.0.0.0/16"));
        assert_eq!(Network::parse("10.0.0.0/255.0.255.0"), None);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in ["", "/", "10.0.0.0/33", "10.0.0/8", "fd00::/129", "anywhere"] {
            assert_eq!(Network::parse(text), None, "{text}");
        }
    }

    #[test]
    fn joined_networks_have_the_same_addresses() {
        let joined = |all: &[&str]| {
            let all: Vec<Network> = all.iter().filter_map(|text| Network::parse(text)).collect();
            Network::joined(&all).iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(
            joined(&["10.1.0.0/16", "198.51.100.9", "10.0.0.0/8", "198.51.100.8"]),
            ["10.0.0.0/8", "198.51.100.8/31"]
        );
        assert_eq!(joined(&["0.0.0.0/1", "128.0.0.0/1"]), ["0.0.0.0/0"]);
        assert_eq!(joined(&["fd00::/65", "fd00:0:0:0:8000::/65"]), ["fd00::/64"]);
    }

    #[test]
    fn ranges_are_networks() {
        let range = |text| Network::range(text).map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>());
        let nine = ["10.0.0.1/32", "10.0.0.2/31", "10.0.0.4/30", "10.0.0.8/31"].map(str::to_owned).to_vec();
        assert_eq!(range("10.0.0.1-10.0.0.9"), Some(nine));
        assert_eq!(range("fd00::-fd00::f"), Some(vec!["fd00::/124".to_owned()]));
        assert_eq!(range("10.0.0.1-fd00::1"), None);
        assert_eq!(range("10.0.0.1"), None);
    }

    #[test]
    fn loopback_needs_the_whole_network_inside() {
        assert!(Network::parse("127.0.0.0/8").is_some_and(|n| n.is_loopback()));
        assert!(Network::parse("::1/128").is_some_and(|n| n.is_loopback()));
        assert!(!Network::parse("126.0.0.0/7").is_some_and(|n| n.is_loopback()));
    }
}
