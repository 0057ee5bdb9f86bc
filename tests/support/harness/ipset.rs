//! What `ipset` prints in either form, and what `ip addr` does: what is added to a set is found in it.

use std::net::IpAddr;

use kube_ipt::dump::addresses::Interfaces;
use kube_ipt::dump::ipset::{Part, Sets};

pub(super) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let sets = Sets::scan(&text);
    assert!(sets.unread <= text.lines().count());
    let mut members = 0;
    let names: std::collections::BTreeSet<&str> = text.split_ascii_whitespace().collect();
    for set in names.iter().filter_map(|name| sets.get(name)) {
        members += set.members.len();
        for member in &set.members {
            let address = member.parts.iter().find_map(|part| match part {
                Part::Network(network) => network.address(),
                _ => None,
            });
            let port = member.parts.iter().find_map(|part| match part {
                Part::Ports(_, low, high) if low <= high => Some(*low),
                _ => None,
            });
            let address = address.unwrap_or(IpAddr::from([10, 0, 0, 1]));
            assert!(set.candidates(address, port.unwrap_or(80)).count() <= set.members.len());
        }
    }
    assert!(members <= text.lines().count(), "more members than lines");
    let mut twice = Sets::scan(&text);
    twice.absorb(Sets::scan(&text));
    assert_eq!((twice.is_empty(), twice.unread), (sets.is_empty(), 2 * sets.unread));
    interfaces(&text);
}

fn interfaces(text: &str) {
    let interfaces = Interfaces::scan(text);
    let words = text.split_ascii_whitespace().count();
    assert!(interfaces.all.iter().map(|interface| interface.addresses.len()).sum::<usize>() <= words);
    for interface in &interfaces.all {
        assert_eq!(interfaces.get(interface.name), Some(interface));
    }
    assert!(!Interfaces::are_in(text) || !interfaces.all.is_empty());
}
