//! kube-proxy's own configuration, as kubeadm and others keep it in the ConfigMap `kube-system/kube-proxy`.

use serde::Deserialize;

use super::facts::{NodePorts, ProxyConfig};
use super::objects::ConfigMap;
use super::yaml;
use crate::net::Network;

/// The part of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) that matters here.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    mode: Option<String>,
    #[serde(default, rename = "nodePortAddresses")]
    node_port_addresses: Option<Vec<String>>,
}

fn node_ports(addresses: &[String]) -> NodePorts {
    let mut networks = addresses.iter().map(|text| Network::parse(text));
    let is = |of: fn(&Network) -> bool| move |network: Option<Network>| network.is_some_and(|network| of(&network));
    if addresses.is_empty() || networks.clone().any(is(Network::is_everything)) {
        NodePorts::All
    } else if networks.all(is(Network::is_loopback)) {
        NodePorts::Loopback
    } else {
        NodePorts::Chosen
    }
}

/// kube-proxy's configuration, if `map` holds it.
pub(super) fn proxy_config(map: ConfigMap) -> Option<ProxyConfig> {
    let (name, namespace) = (map.metadata.name.as_deref(), map.metadata.namespace.as_deref());
    if (name, namespace) != (Some("kube-proxy"), Some("kube-system")) {
        return None;
    }
    let text = map.data?.remove("config.conf")?;
    let configuration: Configuration = yaml::parse(&text)?;
    let addresses = configuration.node_port_addresses.unwrap_or_default();
    Some(ProxyConfig { mode: configuration.mode.unwrap_or_default(), node_ports: node_ports(&addresses) })
}

#[cfg(test)]
mod tests {
    use super::{NodePorts, node_ports};

    #[test]
    fn addresses_of_node_ports_are_told_apart() {
        for (addresses, expected) in [
            (&[][..], NodePorts::All),
            (&["10.0.0.0/8", "0.0.0.0/0"], NodePorts::All),
            (&["::/0"], NodePorts::All),
            (&["127.0.0.0/8", "::1/128"], NodePorts::Loopback),
            (&["127.0.0.0/8", "10.0.0.0/8"], NodePorts::Chosen),
            (&["primary"], NodePorts::Chosen),
        ] {
            let addresses: Vec<String> = addresses.iter().map(|&text| text.to_owned()).collect();
            assert_eq!(node_ports(&addresses), expected, "{addresses:?}");
        }
    }
}
