//! Where a DNAT rule sends connections, and the way back to an address an old iptables could not print.
//!
//! An iptables older than the one that wrote a rule prints `DNAT [unsupported revision]` or nonsense such as
//! `--to-destination :0 --persistent` (kubernetes/kubernetes#95409, #114537). The address is then recovered from the
//! comment of the rule that leads there, else from the chain's own hairpin rule and the hash in its name.

use std::net::IpAddr;

use crate::dataplane::{Address, ServiceName};
use crate::dump::iptables::{Match, Rule, Target};
use crate::net::{Network, Protocol, split_host_port};
use crate::proxy::chain_name;

/// What a translating target does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Translation {
    /// Goes here.
    To(Address),
    /// The dump garbled the destination.
    Garbled,
}

/// The destination of a DNAT, REDIRECT or similar target; `None` if the target does not translate the destination.
pub fn of(target: &Target<'_>) -> Option<Translation> {
    match target.name {
        "DNAT" => Some(dnat(target)),
        "REDIRECT" => {
            let ports = target.option("--to-ports").unwrap_or("same port");
            Some(Translation::To(Address::Other(format!("this node, {ports}").into())))
        }
        "NETMAP" | "TPROXY" => {
            let to = target.option("--to").or_else(|| target.option("--on-port")).unwrap_or_default();
            Some(Translation::To(Address::Other(format!("{} {to}", target.name).trim_end().into())))
        }
        _ => None,
    }
}

fn dnat(target: &Target<'_>) -> Translation {
    let written = target.options.iter().filter(|w| w.text == "--to-destination").count();
    let Some(to) = target.option("--to-destination").filter(|_| written == 1) else { return Translation::Garbled };
    match split_host_port(to) {
        Some((ip, port)) if is_garbled(ip, port) => Translation::Garbled,
        Some((ip, Some(port))) => Translation::To(Address::Socket(ip, port)),
        Some((ip, None)) => Translation::To(Address::SamePort(ip)),
        None if to.starts_with(':') => Translation::Garbled,
        None => Translation::To(Address::Other(to.into())),
    }
}

/// True for a destination that an old iptables made of what it did not understand.
pub(super) fn is_garbled(ip: IpAddr, port: Option<u16>) -> bool {
    ip.is_unspecified() || port == Some(0)
}

/// The pod's own address, from the rule that masquerades a pod's connections to itself: `-s IP -j KUBE-MARK-MASQ`.
pub(super) fn hairpin_source(rule: &Rule<'_>) -> Option<IpAddr> {
    rule.matches.iter().find_map(|m| match m {
        Match::Source { not: false, network } => Network::parse(network)?.address(),
        _ => None,
    })
}

/// Tells the ports of garbled endpoints of one service, each by its chain's hash.
#[derive(Debug)]
pub(super) struct Recovery<'n> {
    name: Option<&'n ServiceName>,
    protocol: Option<Protocol>,
    /// Ports found before: endpoints of a service nearly always share theirs.
    likely: Vec<u16>,
    /// How many searches through all ports are still allowed, so that a large garbled dump cannot take minutes.
    searches: u32,
}

impl<'n> Recovery<'n> {
    /// For the endpoints of `name`; `likely` ports are tried first.
    pub(super) fn new(name: Option<&'n ServiceName>, protocol: Option<Protocol>, likely: Vec<u16>) -> Self {
        Self { name, protocol, likely, searches: 32 }
    }

    /// The address of the endpoint chain `chain`, whose hairpin rule names `own`.
    pub(super) fn address(&mut self, chain: &str, own: Option<IpAddr>) -> Address {
        let Some(ip) = own else { return Address::Unknown };
        match self.port(chain, ip) {
            Some(port) => Address::Socket(ip, port),
            None => Address::UnknownPort(ip),
        }
    }

    fn port(&mut self, chain: &str, ip: IpAddr) -> Option<u16> {
        let (name, protocol) = (self.name?, self.protocol?);
        self.searches = self.searches.checked_sub(1)?;
        let host = crate::net::Host(ip).to_string();
        let port = chain_name::endpoint_port(chain_name::key(chain), name, protocol, &host, &self.likely)?;
        if self.likely.contains(&port) {
            self.searches += 1;
        } else {
            self.likely.insert(0, port);
        }
        Some(port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::iptables::{Dump, Hints};

    fn destination(options: &str) -> Option<Translation> {
        let text = format!("-A X -j {options}");
        let dump = Dump::scan(&text, Hints::default());
        let section = &dump.sections[0];
        let raw = section.rules_of(&section.chains()[0]).next().expect("a rule");
        of(raw.parse().expect("readable").target.as_ref().expect("a target"))
    }

    fn to(text: &str) -> Translation {
        let (ip, port) = split_host_port(text).expect("an address");
        Translation::To(Address::Socket(ip, port.expect("a port")))
    }

    #[test]
    fn plain_destinations() {
        assert_eq!(destination("DNAT --to-destination 10.0.0.1:80"), Some(to("10.0.0.1:80")));
        assert_eq!(destination("DNAT --to-destination [fd00::1]:80 --persistent"), Some(to("[fd00::1]:80")));
        let range = Translation::To(Address::Other("10.0.0.1-10.0.0.9:80".into()));
        assert_eq!(destination("DNAT --to-destination 10.0.0.1-10.0.0.9:80"), Some(range));
        assert_eq!(destination("RETURN"), None);
    }

    #[test]
    fn garbled_destinations_are_seen() {
        for options in [
            "DNAT [unsupported revision]",
            "DNAT --to-destination :0 --persistent --to-destination :0 --persistent --to-destination 0.0.0.0 --persistent",
            "DNAT --to-destination  --random --to-destination  --random --to-destination 0.0.0.0:0 --random",
            "DNAT --to-destination 0.0.0.0:0",
            "DNAT --to-destination :0 --persistent",
            "DNAT",
        ] {
            assert_eq!(destination(options), Some(Translation::Garbled), "{options}");
        }
    }

    #[test]
    fn the_hash_gives_the_port_back() {
        let name = ServiceName::parse("default/kubernetes:https").expect("a name");
        let mut recovery = Recovery::new(Some(&name), Some(Protocol::Tcp), vec![443]);
        let own: IpAddr = "10.128.0.183".parse().expect("an address");
        let recovered = recovery.address("KUBE-SEP-QAX236RR3UXXQODE", Some(own));
        assert_eq!(recovered, Address::Socket(own, 6443));
        assert_eq!(recovery.address("KUBE-SEP-AAAAAAAAAAAAAAAA", Some(own)), Address::UnknownPort(own));
        assert_eq!(recovery.address("KUBE-SEP-QAX236RR3UXXQODE", None), Address::Unknown);
    }
}
