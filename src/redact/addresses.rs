//! Pseudonyms of addresses that keep what addresses have to do with each other.
//!
//! Two addresses that share their first n bits get pseudonyms that share exactly n (the way of Crypto-PAn: a bit is turned or
//! not by what a keyed hash says of the bits before it). So every network becomes a network, what lies in it lies in it again,
//! and no two addresses become one. Some networks stay what they are, because everybody, this program too, knows them.

use std::net::IpAddr;

use super::key::Key;
use crate::net::Network;

/// The first bits of every address stay: they tell little more than the registry it was given by.
const KEPT: u8 = 8;

/// Networks of IPv4 that keep their place: those whose addresses stay, and those inside which addresses get pseudonyms.
const V4: [(u32, u8, Inside); 8] = [
    // Unspecified, loopback, link-local (where node-local DNS and metadata services are), multicast, broadcast and masks.
    (0x0000_0000, 8, Inside::Stays),
    (0x7f00_0000, 8, Inside::Stays),
    (0xa9fe_0000, 16, Inside::Stays),
    (0xe000_0000, 3, Inside::Stays),
    // Private ones (RFC 1918, RFC 6598).
    (0x0a00_0000, 8, Inside::Turns),
    (0xac10_0000, 12, Inside::Turns),
    (0xc0a8_0000, 16, Inside::Turns),
    (0x6440_0000, 10, Inside::Turns),
];

/// The same of IPv6. Private ones are kept by their first byte; link-local addresses often hold the MAC address.
const V6: [(u128, u8, Inside); 3] = [
    // `::` and `::1`
    (0, 127, Inside::Stays),
    (0xff << 120, 8, Inside::Stays),
    (0xfe80 << 112, 64, Inside::Turns),
];

/// What happens to the bits behind a network that keeps its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    Stays,
    Turns,
}

/// An address as bits, the first one highest.
#[derive(Debug, Clone, Copy)]
struct Bits {
    bits: u128,
    width: u8,
}

impl Bits {
    fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self { bits: u128::from(v4.to_bits()) << 96, width: 32 },
            IpAddr::V6(v6) => Self { bits: v6.to_bits(), width: 128 },
        }
    }

    fn address(self) -> IpAddr {
        if self.width == 32 {
            IpAddr::V4(u32::try_from(self.bits >> 96).unwrap_or_default().into())
        } else {
            IpAddr::V6(self.bits.into())
        }
    }

    /// How many bits stay from the first one on.
    fn staying(self) -> u8 {
        let of = |network: u128, length: u8, inside: Inside| {
            let shared = u8::try_from((self.bits ^ network).leading_zeros()).unwrap_or(u8::MAX);
            match inside {
                Inside::Stays if shared >= length => self.width,
                // The bit that leads away from the network must not lead back into it.
                _ => length.min(shared.saturating_add(1)),
            }
        };
        let most = if self.width == 32 {
            V4.iter().map(|(network, length, inside)| of(u128::from(*network) << 96, *length, *inside)).max()
        } else {
            V6.iter().map(|(network, length, inside)| of(*network, *length, *inside)).max()
        };
        most.unwrap_or_default().max(KEPT)
    }
}

/// The bits of 128 from bit `length` on.
fn behind(length: u8) -> u128 {
    u128::MAX.checked_shr(length.into()).unwrap_or_default()
}

/// The pseudonym of an address.
pub(super) fn address(key: &Key, address: IpAddr) -> IpAddr {
    let bits = Bits::of(address);
    turned(key, bits, bits.width).address()
}

/// The pseudonym of a network: that of its addresses, as far as they share their bits.
pub(super) fn network(key: &Key, network: &Network) -> Network {
    let (first, prefix) = network.parts();
    let new = turned(key, Bits::of(first), prefix);
    let new = Bits { bits: new.bits & !behind(prefix), ..new };
    Network::new(new.address(), prefix).unwrap_or(*network)
}

/// The last address of a network.
pub(super) fn last(network: &Network) -> IpAddr {
    let (first, prefix) = network.parts();
    let first = Bits::of(first);
    let unused = if first.width == 32 { behind(32) } else { 0 };
    Bits { bits: first.bits | (behind(prefix) & !unused), ..first }.address()
}

/// The smallest network that both addresses are in; `None` where they are of different families.
pub(super) fn around(one: IpAddr, other: IpAddr) -> Option<Network> {
    let (bits, others) = (Bits::of(one), Bits::of(other));
    let shared = u8::try_from((bits.bits ^ others.bits).leading_zeros()).unwrap_or(u8::MAX).min(bits.width);
    if bits.width == others.width { Network::new(one, shared) } else { None }
}

/// Turns the bits before bit `end`. One hash tells for every byte which of its bits are turned, by the bits before each: of
/// its 256 bits, number 2^n + (the n bits before it in the byte) is for bit n.
fn turned(key: &Key, address: Bits, end: u8) -> Bits {
    let (first, bytes) = (address.staying(), address.bits.to_be_bytes());
    let mut turned = address.bits;
    for byte in first / 8..end.div_ceil(8) {
        let at = usize::from(byte);
        let mut before = vec![address.width];
        before.extend(&bytes[..at]);
        let flips = key.block("address", &before);
        let own = bytes.get(at).copied().unwrap_or_default();
        for bit in (0..8).filter(|bit| (first..end).contains(&(byte * 8 + bit))) {
            let number = (1usize << bit) | (usize::from(own) >> (8 - bit));
            let flip = (flips[number / 8] >> (number % 8)) & 1;
            turned ^= u128::from(flip) << (127 - (byte * 8 + bit));
        }
    }
    Bits { bits: turned, ..address }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn key(seed: u8) -> Key {
        Key::new([seed; 32])
    }

    fn shared(one: IpAddr, other: IpAddr) -> u32 {
        (Bits::of(one).bits ^ Bits::of(other).bits).leading_zeros().min(Bits::of(one).width.into())
    }

    /// Addresses of both families, with those near to the networks that keep their place.
    fn addresses() -> impl Strategy<Value = (IpAddr, IpAddr)> {
        let near = prop::sample::select(vec![
            0u32,
            0x7f00_0001,
            0xa9fe_0a0a,
            0xe000_0001,
            0x0a00_0001,
            0xac10_0001,
            0xc0a8_0101,
        ]);
        let v4 = prop_oneof![any::<u32>(), near].prop_map(|bits| u128::from(bits) << 96);
        let near6 =
            prop::sample::select(vec![0u128, 1, 2, 0xfe80 << 112, 0xfd00 << 112, 0xff02 << 112, 0x2001_0db8 << 96]);
        let v6 = prop_oneof![any::<u128>(), near6];
        let bits = prop_oneof![(v4, Just(32u8)), (v6, Just(128u8))];
        (bits, any::<u128>(), 0u8..=128).prop_map(|((bits, width), other, at)| {
            // The other one goes its own way from some bit on.
            let used = if width == 32 { !behind(32) } else { u128::MAX };
            let other = (bits & !behind(at)) | (other & behind(at) & used);
            (Bits { bits, width }.address(), Bits { bits: other, width }.address())
        })
    }

    proptest! {
        #[test]
        fn as_many_bits_are_shared_as_before((one, other) in addresses(), seed: u8) {
            let key = key(seed);
            let new = (address(&key, one), address(&key, other));
            // Which says too that no two addresses become one.
            prop_assert_eq!(shared(one, other), shared(new.0, new.1), "{} {} {} {}", one, other, new.0, new.1);
            prop_assert_eq!(one.is_ipv4(), new.0.is_ipv4());
        }

        #[test]
        fn networks_become_networks_of_the_same_length((one, other) in addresses(), length in 0u8..=128) {
            let key = key(1);
            let length = length.min(Bits::of(one).width);
            let before = Network::new(one, length).expect("a network");
            let after = network(&key, &before);
            prop_assert_eq!(after.parts().1, length);
            for inside in [one, last(&before), before.parts().0] {
                prop_assert!(after.contains(address(&key, inside)));
            }
            prop_assert_eq!(before.contains(other), after.contains(address(&key, other)));
            prop_assert_eq!(around(one, other).map(|n| network(&key, &n)), around(address(&key, one), address(&key, other)));
        }

        #[test]
        fn every_kind_of_address_stays_of_its_kind((one, _) in addresses()) {
            let kind = |ip: IpAddr| {
                let within = |text: &str| Network::parse(text).is_some_and(|network| network.contains(ip));
                ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16", "127.0.0.0/8",
                    "224.0.0.0/4", "240.0.0.0/4", "0.0.0.0/8", "fc00::/7", "fe80::/10", "ff00::/8", "::/128", "::1/128"]
                    .map(within)
            };
            prop_assert_eq!(kind(one), kind(address(&key(7), one)));
        }
    }

    #[test]
    fn what_everybody_knows_stays() {
        for text in ["0.0.0.0", "127.0.0.1", "169.254.169.254", "224.0.0.1", "255.255.255.0", "::", "::1", "ff02::1"] {
            assert_eq!(address(&key(3), ip(text)), ip(text));
        }
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/8", "172.16.0.0/12", "fd00::/8", "fe80::/64"] {
            let known = Network::parse(text).expect("a network");
            assert_eq!(network(&key(3), &known), known, "{text}");
        }
    }

    #[test]
    fn another_key_gives_other_pseudonyms() {
        for text in ["10.244.1.7", "203.0.113.7", "fd00:96::7", "fe80::5054:ff:fe12:3456"] {
            let all: Vec<IpAddr> = (0..4).map(|seed| address(&key(seed), ip(text))).collect();
            assert!(all.iter().any(|new| *new != all[0]) && !all.contains(&ip(text)), "{all:?}");
            assert_eq!(address(&key(0), ip(text)), all[0]);
        }
    }
}
