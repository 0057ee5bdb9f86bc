//! Objects from texts: what `kubectl get … -o json|yaml` writes, what an API server answers, and files of either put
//! together in any way.

mod amplified;
#[cfg(feature = "live")]
mod event;
mod evidence;
mod json;
mod kind;
#[cfg(feature = "live")]
mod pieces;
mod yaml;

use std::collections::{BTreeMap, BTreeSet};

use super::convert::TooMuch;
use super::facts::{Facts, Node, Pod, PodRef, ProxyConfig, Service, Slice};
use super::{Coverage, Scope};
use evidence::{Evidence, Key, Proof};
use kind::{Kind, Mirrored, Object};

use crate::order::Order as _;
use crate::outline::Head;

#[cfg(feature = "live")]
pub(super) use event::Told;
#[cfg(feature = "live")]
pub(super) use pieces::Pieces;

/// Objects in the making: texts go in, facts come out.
#[derive(Debug, Default, Clone)]
pub struct Saved {
    services: BTreeMap<(String, String), Service>,
    slices: BTreeMap<(String, String), Slice>,
    /// core/v1 Endpoints by namespace and name, as slices.
    endpoints: BTreeMap<(String, String), Vec<Slice>>,
    pods: BTreeMap<PodRef, Pod>,
    nodes: BTreeMap<String, Node>,
    proxy: Option<ProxyConfig>,
    /// Objects of kinds that say nothing of Services, counted.
    skipped: BTreeMap<String, usize>,
    /// Texts that are one page of a longer list.
    pages: Vec<String>,
    /// Services whose Endpoints hold only a part of their endpoints.
    truncated: BTreeSet<Key>,
    /// Objects that stand for too much, by kind, namespace and name.
    left_out: BTreeMap<(Kind, Key), TooMuch>,
    proof: Proof,
    /// Where the next page of the list read last begins.
    next: Option<String>,
    /// The state of the list read last, from which a watch goes on.
    version: Option<String>,
    /// What the list read last says it is: `ServiceList`.
    kind: Option<String>,
    /// A list of the text that is being read goes on elsewhere.
    cut: bool,
    /// Nothing tells whether a list of the text that is being read was cut off.
    may_lack_its_end: bool,
}

/// A text that holds no objects, or an object that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{label} {}{what}", .at.map(|(line, column)| format!("line {line} column {column}: ")).unwrap_or_default())]
pub struct BadObjects {
    /// Which text.
    pub label: String,
    /// Line and column, from 1, where known.
    pub at: Option<(usize, usize)>,
    /// What is wrong.
    pub what: String,
}

/// So many of the objects that were left out are named.
const MOST_TOLD: usize = 10;

fn told(((kind, (namespace, name)), too_much): (&(Kind, Key), &TooMuch)) -> String {
    format!("{} {namespace}/{name} is left out: {}", kind.name(), too_much.what)
}

/// What is wrong with a text: line and column from 1, where known, and the words.
type Bad = (Option<(usize, usize)>, String);

impl BadObjects {
    /// Of the text that is called `label`. What is wrong may quote a value of several lines, and is told in one.
    fn of(label: &str, (at, what): Bad) -> Self {
        Self { label: label.to_owned(), at, what: what.replace(['\n', '\r'], " ") }
    }
}

impl Saved {
    /// Reads a text. Objects read later replace those of the same name read before.
    pub fn read(&mut self, label: &str, text: &str) -> Result<(), BadObjects> {
        let text = text.trim_start_matches('\u{feff}');
        let begins = text.trim_start().as_bytes().first();
        let read = match begins {
            None => Err((None, "is empty; expected Kubernetes objects".to_owned())),
            Some(b'{' | b'[') => json::read(text, self),
            Some(_) => yaml::read(text, self),
        };
        if std::mem::take(&mut self.cut) {
            self.pages.push(label.to_owned());
        }
        read.map_err(|bad| BadObjects::of(label, bad))
    }

    /// Adds the objects of a list, whose head tells where it goes on if there is more of it.
    fn add_list(&mut self, objects: impl IntoIterator<Item = Object>, head: Option<&Head>) {
        let next = head.and_then(Head::next);
        self.version = head.and_then(Head::version);
        self.kind = head.and_then(|head| head.kind.clone());
        let mut evidence = Evidence::default();
        for object in objects {
            evidence.see(&object);
            self.add(object);
        }
        if next.is_none() && !self.may_lack_its_end {
            evidence.prove(&mut self.proof);
        }
        self.cut |= next.is_some();
        self.next = next;
    }

    /// Reads one page of a list and tells where the next one begins.
    #[cfg(feature = "live")]
    pub(super) fn read_page(&mut self, label: &str, text: &str) -> Result<Option<String>, BadObjects> {
        // An answer of nothing is no list of nothing: the rest of the list would be missing unnoticed.
        let read = if text.trim().is_empty() { Err((None, "is empty".to_owned())) } else { json::read(text, self) };
        read.map_err(|bad| BadObjects::of(label, bad))?;
        Ok(self.next.take())
    }

    /// What the list read last says it is: `ServiceList`.
    #[cfg(feature = "live")]
    pub(super) fn list_kind(&self) -> &str {
        self.kind.as_deref().unwrap_or_default()
    }

    /// True if a Service of this name was read, in this namespace if one is given.
    #[cfg(feature = "live")]
    pub(super) fn has_service(&self, namespace: Option<&str>, name: &str) -> bool {
        self.services.keys().any(|(ns, service)| service == name && namespace.is_none_or(|wanted| wanted == ns))
    }

    /// The Services that were read.
    #[cfg(feature = "live")]
    pub(super) fn services(&self) -> impl Iterator<Item = &Service> {
        self.services.values()
    }

    /// The Pods that were read.
    #[cfg(feature = "live")]
    pub(super) fn pods(&self) -> impl Iterator<Item = &Pod> {
        self.pods.values()
    }

    /// The Nodes that were read.
    #[cfg(feature = "live")]
    pub(super) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// Adds what `other` holds.
    #[cfg(feature = "live")]
    pub(super) fn absorb(&mut self, other: Self) {
        self.services.extend(other.services);
        self.slices.extend(other.slices);
        self.endpoints.extend(other.endpoints);
        self.truncated.extend(other.truncated);
        self.left_out.extend(other.left_out);
        self.pods.extend(other.pods);
        self.nodes.extend(other.nodes);
        self.proxy = other.proxy.or(self.proxy.take());
        self.version = other.version.or(self.version.take());
    }

    /// The state of the list read last (`metadata.resourceVersion`).
    #[cfg(feature = "live")]
    pub(super) fn version(&self) -> Option<&str> {
        self.version.as_deref()
    }

    /// How many objects of other kinds there were, by kind, with its version where that is what is not read.
    pub fn skipped(&self) -> &BTreeMap<String, usize> {
        &self.skipped
    }

    /// The texts that are one page of a longer list.
    pub fn pages(&self) -> &[String] {
        &self.pages
    }

    /// True if nothing was read that says something of Services.
    pub fn is_empty(&self) -> bool {
        self.services.is_empty()
            && self.slices.is_empty()
            && self.endpoints.is_empty()
            && self.pods.is_empty()
            && self.nodes.is_empty()
            && self.proxy.is_none()
            && self.left_out.is_empty()
    }

    /// The facts. What the texts do not hold is known not to exist only where a list proves it.
    pub fn into_facts(mut self) -> Facts {
        let proof = std::mem::take(&mut self.proof);
        let whole = self.pages.is_empty();
        let of = proof.endpoints_of.into_iter().map(|(namespace, name)| (Some(namespace), name));
        let some = Scope::services(of.collect());
        let coverage = Coverage {
            services: if proof.services && whole { Scope::All } else { Scope::Unknown },
            endpoints: match (proof.endpoints, whole) {
                (true, true) => Scope::All,
                (false, true) => some,
                // What is on the other pages may be slices of any Service.
                (_, false) => Scope::Unknown,
            },
            ..Coverage::default()
        };
        let mut facts = self.into_facts_of(coverage);
        let all = facts.coverage.endpoints == Scope::All;
        facts.coverage.pods = all && facts.has_every_pod_named();
        facts.coverage.nodes = facts.has_every_node_named();
        facts
    }

    /// The facts, where the caller knows what they cover. Which Services' Endpoints are cut short the texts tell themselves.
    pub fn into_facts_of(mut self, mut coverage: Coverage) -> Facts {
        coverage.truncated = std::mem::take(&mut self.truncated);
        self.leave_out_amplified();
        let of_slices: BTreeSet<(&str, &str)> =
            self.slices.values().map(|slice| (slice.namespace.as_str(), slice.service.as_str())).collect();
        // Another text may have the object as it is now, and slices tell more than Endpoints.
        self.left_out.retain(|(kind, key), _| match kind {
            Kind::Service => !self.services.contains_key(key),
            Kind::Endpoints => {
                !self.endpoints.contains_key(key) && !of_slices.contains(&(key.0.as_str(), key.1.as_str()))
            }
            _ => !self.slices.contains_key(key),
        });
        let mut left_out: Vec<String> = self.left_out.iter().take(MOST_TOLD).map(told).collect();
        if let Some(more) = self.left_out.len().checked_sub(MOST_TOLD).filter(|more| *more > 0) {
            left_out.push(format!("{more} more objects like these are left out"));
        }
        for ((kind, _), TooMuch { service, .. }) in std::mem::take(&mut self.left_out) {
            let of = if kind == Kind::Service { &mut coverage.left_out } else { &mut coverage.truncated };
            of.insert(service);
        }
        let of_slices = |slice: &Slice| (slice.namespace.clone(), slice.service.clone());
        for key in self.slices.values().map(of_slices) {
            self.endpoints.remove(&key);
        }
        let mut slices: Vec<Slice> = self.slices.into_values().chain(self.endpoints.into_values().flatten()).collect();
        slices.order_by(|a, b| (&a.namespace, &a.service, &a.name).cmp(&(&b.namespace, &b.service, &b.name)));
        Facts {
            services: self.services.into_values().collect(),
            slices,
            pods: self.pods.into_values().collect(),
            nodes: self.nodes.into_values().collect(),
            proxy: self.proxy,
            coverage,
            left_out,
        }
    }

    fn add(&mut self, object: Object) {
        match object {
            Object::Service(service) => {
                self.services.insert((service.namespace.clone(), service.name.clone()), service);
            }
            Object::Slice(slice) => {
                self.slices.insert((slice.namespace.clone(), slice.name.clone()), slice);
            }
            Object::Endpoints(Mirrored { key, slices, truncated }) => {
                self.truncated.extend(truncated.then(|| key.clone()));
                self.endpoints.insert(key, slices);
            }
            Object::Pod(pod) => {
                self.pods.insert(pod.pod.clone(), pod);
            }
            Object::Node(node) => {
                self.nodes.insert(node.name.clone(), node);
            }
            Object::Proxy(config) => self.proxy = Some(config),
            Object::TooMuch(kind, what) => {
                self.left_out.insert((kind, (what.service.0.clone(), what.name.clone())), what);
            }
            Object::Nothing => {}
        }
    }

    fn skip(&mut self, kind: String) {
        *self.skipped.entry(kind).or_default() += 1;
    }
}
