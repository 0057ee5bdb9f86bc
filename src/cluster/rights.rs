//! What must be allowed to read a cluster: every request this program sends is covered by one of these rights.

/// A right: to get, list and watch one kind of object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Right {
    /// API group; empty for core.
    pub group: &'static str,
    /// Resource.
    pub resource: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Without it nothing can be joined.
    pub(super) needed: bool,
}

impl Right {
    const fn new(group: &'static str, resource: &'static str, needed: bool, purpose: &'static str) -> Self {
        Self { group, resource, purpose, needed }
    }

    /// Verbs of every right.
    pub const VERBS: [&str; 3] = ["get", "list", "watch"];
    pub(super) const SERVICES: Self = Self::new("", "services", true, "what should be reachable");
    pub(super) const SLICES: Self = Self::new("discovery.k8s.io", "endpointslices", true, "the endpoints of Services");
    pub(super) const ENDPOINTS: Self = Self::new("", "endpoints", true, "the same before Kubernetes 1.21");
    pub(super) const NODES: Self = Self::new("", "nodes", false, "the node's zone, for topology hints");
    pub(super) const PODS: Self = Self::new("", "pods", false, "whose address a stale endpoint has now");
    /// Of one object only, so that it is no right in the whole cluster.
    pub const CONFIG: Self = Self::new("", "configmaps", false, "the mode kube-proxy is configured for");

    /// All that are needed in the whole cluster.
    pub const ALL: [Self; 5] = [Self::SERVICES, Self::SLICES, Self::ENDPOINTS, Self::NODES, Self::PODS];
}
