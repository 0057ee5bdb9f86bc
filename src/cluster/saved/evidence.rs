//! What a list proves about everything that is not in it.

use super::kind::Object;

/// Namespace and name.
pub(super) type Key = (String, String);

/// What was seen of one list. Objects that are in none may have been picked one by one and prove nothing.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// It has the Service `default/kubernetes`, which every cluster has.
    kubernetes: bool,
    /// It has the slices or Endpoints of that Service.
    kubernetes_endpoints: bool,
    /// It has an object of another namespace than `default`.
    elsewhere: bool,
    /// Services of which it has slices or Endpoints.
    with_endpoints: Vec<Key>,
}

/// What all lists prove together.
#[derive(Debug, Default, Clone)]
pub(super) struct Proof {
    /// Every Service of the cluster was read.
    pub(super) services: bool,
    /// Every slice of the cluster was read.
    pub(super) endpoints: bool,
    /// All slices of these Services were read.
    pub(super) endpoints_of: Vec<Key>,
}

impl Evidence {
    pub(super) fn see(&mut self, object: &Object) {
        let is_kubernetes = |namespace: &str, name: &str| (namespace, name) == ("default", "kubernetes");
        let namespace = match object {
            Object::Service(service) => {
                self.kubernetes |= is_kubernetes(&service.namespace, &service.name);
                &service.namespace
            }
            Object::Slice(slice) => {
                self.kubernetes_endpoints |= is_kubernetes(&slice.namespace, &slice.service);
                self.with_endpoints.push((slice.namespace.clone(), slice.service.clone()));
                &slice.namespace
            }
            Object::Endpoints(endpoints) => {
                let (namespace, name) = &endpoints.key;
                self.kubernetes_endpoints |= is_kubernetes(namespace, name);
                self.with_endpoints.push(endpoints.key.clone());
                namespace
            }
            Object::Pod(pod) => pod.pod.namespace(),
            Object::TooMuch(_, what) => &what.service.0,
            Object::Node(_) | Object::Proxy(_) | Object::Nothing => return,
        };
        self.elsewhere |= namespace != "default";
    }

    /// Adds what a list proves. kubectl lists one namespace or all: with `default/kubernetes` and an object of another
    /// namespace it was all. A list that has a slice of a Service has all of them.
    pub(super) fn prove(self, proof: &mut Proof) {
        proof.services |= self.kubernetes && self.elsewhere;
        proof.endpoints |= self.kubernetes_endpoints && self.elsewhere;
        proof.endpoints_of.extend(self.with_endpoints);
    }
}
