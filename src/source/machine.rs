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
}
