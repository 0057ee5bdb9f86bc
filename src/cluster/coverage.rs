//! What it means that an object is not in the lists: that it does not exist, or that nobody asked.
//!
//! Objects written as text do not always tell it, so that it can be written beside them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::order::Order as _;

/// Coverage by kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Coverage {
    /// Of Services.
    pub services: Scope,
    /// Of EndpointSlices and Endpoints.
    pub endpoints: Scope,
    /// All Pods are there.
    pub pods: bool,
    /// All Nodes are there.
    pub nodes: bool,
    /// Services (`namespace`, `name`) not all of whose endpoints were read: core/v1 Endpoints hold only the first thousand
    /// (`endpoints.kubernetes.io/over-capacity`), or a slice was left out.
    pub truncated: BTreeSet<(String, String)>,
    /// Services (`namespace`, `name`) that are there and were left out, for they stand for too much.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub left_out: BTreeSet<(String, String)>,
}

impl Coverage {
    /// True if Service `namespace/name` would be there if it existed.
    pub fn has_service(&self, namespace: &str, name: &str) -> bool {
        self.services.covers(namespace, name) && !has(&self.left_out, namespace, name)
    }

    /// True if every Service of the cluster is there.
    pub fn has_all_services(&self) -> bool {
        self.services == Scope::All && self.left_out.is_empty()
    }

    /// True if every endpoint of Service `namespace/name` was read.
    pub fn has_endpoints_of(&self, namespace: &str, name: &str) -> bool {
        self.endpoints.covers(namespace, name) && !has(&self.truncated, namespace, name)
    }
}

/// Nearly always there are none, and nothing is to be copied.
fn has(services: &BTreeSet<(String, String)>, namespace: &str, name: &str) -> bool {
    !services.is_empty() && services.contains(&(namespace.to_owned(), name.to_owned()))
}

/// Which objects of a kind would be there if they existed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Scope {
    /// None: what is not there may exist all the same.
    #[default]
    Unknown,
    /// All of the cluster.
    All,
    /// All of these namespaces and those that belong to these Services (`namespace`, `name`).
    Some {
        /// Namespaces.
        namespaces: Vec<String>,
        /// Services, in order; `None` for every namespace.
        services: Vec<(Option<String>, String)>,
    },
}

impl Scope {
    /// What belongs to these Services.
    pub fn services(mut services: Vec<(Option<String>, String)>) -> Self {
        services.order();
        services.dedup();
        Self::Some { namespaces: Vec::new(), services }
    }

    /// True if the objects of Service `namespace/name` would be there.
    pub fn covers(&self, namespace: &str, name: &str) -> bool {
        match self {
            Self::Unknown => false,
            Self::All => true,
            Self::Some { namespaces, services } => {
                // One list may name thousands, and every Service is asked about.
                let named = |namespace: Option<&str>| {
                    services.binary_search_by(|(n, s)| (n.as_deref(), s.as_str()).cmp(&(namespace, name))).is_ok()
                };
                namespaces.iter().any(|n| n == namespace) || named(Some(namespace)) || named(None)
            }
        }
    }

    /// Adds what `other` covers.
    pub fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::All, _) | (_, Self::Unknown) => {}
            (_, Self::All) => *self = Self::All,
            (Self::Unknown, other) => *self = other,
            (Self::Some { namespaces, services }, Self::Some { namespaces: more, services: others }) => {
                namespaces.extend(more);
                services.extend(others);
                services.order();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_cover_what_was_asked_for() {
        let mut scope = Scope::Unknown;
        assert!(!scope.covers("shop", "web"));
        scope.widen(Scope::Some { namespaces: vec!["shop".to_owned()], services: Vec::new() });
        scope.widen(Scope::Some { namespaces: Vec::new(), services: vec![(None, "dns".to_owned())] });
        assert!(scope.covers("shop", "web") && scope.covers("infra", "dns") && !scope.covers("infra", "web"));
        scope.widen(Scope::All);
        assert!(scope.covers("infra", "web"));
        scope.widen(Scope::Unknown);
        assert_eq!(scope, Scope::All);
    }
}
