//! The machine this program runs on, which is the node where rules are read live.

use std::net::IpAddr;

/// What the machine is called and which addresses it has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Machine {
    /// Host name, in lower case as the kubelet registers it.
    pub name: Option<String>,
    /// Addresses of its interfaces but those of loopback.
    pub addresses: Vec<IpAddr>,
}

#[cfg(feature = "live")]
impl Machine {
    /// This machine.
    pub fn this() -> Self {
        let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
        let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
        let addresses = interfaces.iter().filter(|interface| !interface.is_loopback()).map(if_addrs::Interface::ip);
        Self {
            name: name.map(|name| name.trim().to_lowercase()).filter(|name| !name.is_empty()),
            addresses: addresses.collect(),
        }
    }

    /// The address this machine uses towards another: what routing says, without a packet sent.
    pub fn source_towards(address: IpAddr) -> Option<IpAddr> {
        let any: IpAddr = if address.is_ipv4() {
            std::net::Ipv4Addr::UNSPECIFIED.into()
        } else {
            std::net::Ipv6Addr::UNSPECIFIED.into()
        };
        // Connecting a datagram socket only looks up the route.
        let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
        socket.connect((address, 9)).ok()?;
        Some(socket.local_addr().ok()?.ip())
    }
}
