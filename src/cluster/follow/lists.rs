//! Which lists are followed for what is wanted.

use crate::cluster::api::Wanted;
use crate::cluster::list::List;
use crate::cluster::rights::Right;

impl Wanted {
    /// The same as one list: watches with a selector are for one name.
    pub(super) fn as_one(&self) -> Self {
        match self {
            Self::Services(names) if names.len() != 1 => {
                let mut namespaces: Vec<&Option<String>> = names.iter().map(|(namespace, _)| namespace).collect();
                namespaces.dedup();
                Self::All(if let [only] = namespaces.as_slice() { (*only).clone() } else { None })
            }
            other => other.clone(),
        }
    }

    /// The list of Services.
    pub(super) fn services(&self) -> Vec<(List, Right)> {
        vec![(self.list("/api/v1", "services", List::named), Right::SERVICES)]
    }

    /// The list of EndpointSlices, and what there was before Kubernetes 1.21.
    pub(super) fn endpoints(&self) -> Vec<(List, Right)> {
        let slices = |version: &str| {
            let group = format!("/apis/discovery.k8s.io/{version}");
            (self.list(&group, "endpointslices", List::of_service), Right::SLICES)
        };
        vec![slices("v1"), slices("v1beta1"), (self.list("/api/v1", "endpoints", List::named), Right::ENDPOINTS)]
    }

    fn list(&self, group: &str, plural: &str, select: fn(List, &str) -> List) -> List {
        match self {
            Self::Services(names) if let [(namespace, name)] = names.as_slice() => {
                select(List::all(group, namespace.as_deref(), plural), name)
            }
            Self::All(Some(namespace)) => List::all(group, Some(namespace), plural),
            Self::All(None) | Self::Services(_) => List::all(group, None, plural),
        }
    }
}
