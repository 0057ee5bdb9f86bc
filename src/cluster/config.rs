//! kube-proxy's own configuration, as kubeadm and others keep it in the ConfigMap `kube-system/kube-proxy`.

use serde::Deserialize;

use super::facts::ProxyConfig;
use super::objects::ConfigMap;
use super::yaml;

/// The part of KubeProxyConfiguration (kubeproxy.config.k8s.io/v1alpha1) that matters here.
#[derive(Debug, Default, Deserialize)]
struct Configuration {
    mode: Option<String>,
    #[serde(default, rename = "nodePortAddresses")]
    node_port_addresses: Option<Vec<String>>,
}

/// kube-proxy's configuration, if `map` holds it.
pub(super) fn proxy_config(map: ConfigMap) -> Option<ProxyConfig> {
    let (name, namespace) = (map.metadata.name.as_deref(), map.metadata.namespace.as_deref());
    if (name, namespace) != (Some("kube-proxy"), Some("kube-system")) {
        return None;
    }
    let text = map.data?.remove("config.conf")?;
    let configuration: Configuration = yaml::parse(&text)?;
    let limits_node_ports = configuration.node_port_addresses.is_some_and(|addresses| !addresses.is_empty());
    Some(ProxyConfig { mode: configuration.mode.unwrap_or_default(), limits_node_ports })
}
