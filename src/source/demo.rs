//! Recorded nodes, so that anyone can see the tool work with no cluster, no root and no file.

use super::{Bundle, Capture};

/// A recording of node1 with one Deployment of three nginx pods behind `nginx-demo/nginx-service`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demo {
    /// kube-proxy runs.
    InSync,
    /// kube-proxy was stopped, and one pod replaced.
    Stale,
}

impl Demo {
    /// The node that was recorded.
    pub const NODE: &str = "node1";

    /// Its rules: `iptables-save`.
    pub fn rules(self) -> Bundle {
        // The rules are the same: kube-proxy was stopped between the two.
        let text = include_str!("../../fixtures/nodes/seed/stale/save.txt");
        let capture = Capture { label: "demo".to_owned(), text: text.to_owned().into(), command: None };
        Bundle { captures: vec![capture], ..Bundle::default() }
    }

    /// The objects of its cluster: `kubectl get … -o json`, without what is read of none.
    pub fn objects(self) -> &'static str {
        match self {
            Self::InSync => include_str!("../../fixtures/demo/in-sync.json"),
            Self::Stale => include_str!("../../fixtures/demo/stale.json"),
        }
    }
}
