//! The parts of the API's objects that are read, and that are written. What else an object holds (managed fields,
//! containers) costs a scan and no memory. Fields are k8s-openapi's types.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1 as core;
use k8s_openapi::api::discovery::v1 as discovery;
use serde::{Deserialize, Serialize};

/// The part of ObjectMeta.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) namespace: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) labels: Option<BTreeMap<String, String>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) annotations: Option<BTreeMap<String, String>>,
}

impl Meta {
    /// Namespace and name.
    pub(super) fn names(&self) -> (String, String) {
        (self.namespace.clone().unwrap_or_default(), self.name.clone().unwrap_or_default())
    }
}

/// v1 Service.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Service {
    pub(super) metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spec: Option<core::ServiceSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<core::ServiceStatus>,
}

/// discovery.k8s.io/v1 EndpointSlice.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EndpointSlice {
    #[serde(default)]
    pub(super) metadata: Meta,
    pub(super) address_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) endpoints: Option<Vec<discovery::Endpoint>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ports: Option<Vec<discovery::EndpointPort>>,
}

/// discovery.k8s.io/v1beta1 EndpointSlice (Kubernetes 1.17 to 1.24), whose endpoints told their node by a label.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OldSlice {
    #[serde(default)]
    metadata: Meta,
    address_type: String,
    endpoints: Option<Vec<OldEndpoint>>,
    ports: Option<Vec<discovery::EndpointPort>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct OldEndpoint {
    #[serde(default)]
    addresses: Vec<String>,
    conditions: Option<discovery::EndpointConditions>,
    hints: Option<discovery::EndpointHints>,
    node_name: Option<String>,
    target_ref: Option<core::ObjectReference>,
    topology: Option<BTreeMap<String, String>>,
}

impl From<OldSlice> for EndpointSlice {
    fn from(old: OldSlice) -> Self {
        let endpoints = old.endpoints.map(|endpoints| endpoints.into_iter().map(Into::into).collect());
        Self { metadata: old.metadata, address_type: old.address_type, endpoints, ports: old.ports }
    }
}

impl From<OldEndpoint> for discovery::Endpoint {
    fn from(old: OldEndpoint) -> Self {
        let label = old.topology.and_then(|mut topology| topology.remove("kubernetes.io/hostname"));
        Self {
            addresses: old.addresses,
            conditions: old.conditions,
            hints: old.hints,
            node_name: old.node_name.or(label),
            target_ref: old.target_ref,
            ..Self::default()
        }
    }
}

/// v1 Endpoints.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Endpoints {
    pub(super) metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subsets: Option<Vec<core::EndpointSubset>>,
}

/// v1 Pod.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Pod {
    pub(super) metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spec: Option<PodSpec>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<PodStatus>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodSpec {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node_name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) host_network: Option<bool>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct PodStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) phase: Option<String>,
    #[serde(rename = "podIP")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod_ip: Option<String>,
    #[serde(rename = "podIPs")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pod_ips: Option<Vec<core::PodIP>>,
}

/// v1 Node.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct Node {
    pub(super) metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) status: Option<NodeStatus>,
}

#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct NodeStatus {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) addresses: Option<Vec<core::NodeAddress>>,
}

/// v1 ConfigMap.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub(super) struct ConfigMap {
    pub(super) metadata: Meta,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<BTreeMap<String, String>>,
}
