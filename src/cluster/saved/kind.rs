//! Which kinds of objects are read, and how each becomes facts.

use serde::Deserialize as _;
use serde::de::{DeserializeSeed, Deserializer, Error as _};

use crate::cluster::convert::{self, TooMuch, Unfit};
use crate::cluster::facts::{Node, Pod, ProxyConfig, Service, Slice};
use crate::cluster::{config, objects};

/// An object as facts.
#[derive(Debug)]
pub(super) enum Object {
    Service(Service),
    Slice(Slice),
    Endpoints(Mirrored),
    Pod(Pod),
    Node(Node),
    Proxy(ProxyConfig),
    /// One of this kind that stands for too much.
    TooMuch(Kind, TooMuch),
    /// It is of a kind that is read and says nothing here: a slice of no Service, some other ConfigMap.
    Nothing,
}

/// core/v1 Endpoints as slices.
#[derive(Debug)]
pub(super) struct Mirrored {
    /// Namespace and name, those of the Service.
    pub(super) key: (String, String),
    pub(super) slices: Vec<Slice>,
    /// There are more endpoints than these.
    pub(super) truncated: bool,
}

/// Kinds that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Service,
    Slice,
    OldSlice,
    Endpoints,
    Pod,
    Node,
    ConfigMap,
}

impl Kind {
    /// The kind of an object; `None` for those that say nothing of Services. Other groups have a `Service` too.
    pub(super) fn of(kind: &str, version: &str) -> Option<Self> {
        Some(match (kind, version) {
            ("Service", "v1") => Self::Service,
            ("EndpointSlice", "discovery.k8s.io/v1") => Self::Slice,
            ("EndpointSlice", "discovery.k8s.io/v1beta1") => Self::OldSlice,
            ("Endpoints", "v1") => Self::Endpoints,
            ("Pod", "v1") => Self::Pod,
            ("Node", "v1") => Self::Node,
            ("ConfigMap", "v1") => Self::ConfigMap,
            _ => return None,
        })
    }

    /// What to call an object of a kind that is not read. Others have a `Service` of theirs, and by hand the version gets lost.
    pub(super) fn other(kind: &str, version: &str) -> String {
        let is_known = matches!(kind, "Service" | "EndpointSlice" | "Endpoints" | "Pod" | "Node");
        match version {
            "" if is_known => format!("{kind} without apiVersion"),
            _ if is_known => format!("{kind} of {version}"),
            _ => kind.to_owned(),
        }
    }

    /// Its name, for messages.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Service => "Service",
            Self::Slice | Self::OldSlice => "EndpointSlice",
            Self::Endpoints => "Endpoints",
            Self::Pod => "Pod",
            Self::Node => "Node",
            Self::ConfigMap => "ConfigMap",
        }
    }
}

/// Reads the typed object.
impl<'de> DeserializeSeed<'de> for Kind {
    type Value = Object;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Object, D::Error> {
        let object: Result<Object, Unfit> = match self {
            Self::Service => convert::service(objects::Service::deserialize(from)?).map(Object::Service),
            Self::Slice => convert::slice(objects::EndpointSlice::deserialize(from)?).map(Object::slice),
            Self::OldSlice => convert::slice(objects::OldSlice::deserialize(from)?.into()).map(Object::slice),
            Self::Endpoints => {
                let endpoints = objects::Endpoints::deserialize(from)?;
                let key = endpoints.metadata.names();
                let truncated = convert::is_truncated(&endpoints);
                convert::endpoints(endpoints).map(|slices| Object::Endpoints(Mirrored { key, slices, truncated }))
            }
            Self::Pod => convert::pod(objects::Pod::deserialize(from)?).map(Object::Pod).map_err(Unfit::Bad),
            Self::Node => Ok(Object::Node(convert::node(objects::Node::deserialize(from)?))),
            Self::ConfigMap => {
                let config = config::proxy_config(objects::ConfigMap::deserialize(from)?);
                Ok(config.map_or(Object::Nothing, Object::Proxy))
            }
        };
        object.or_else(|unfit| match unfit {
            Unfit::Bad(what) => Err(D::Error::custom(what)),
            Unfit::TooMuch(what) => Ok(Object::TooMuch(self, what)),
        })
    }
}

impl Object {
    fn slice(slice: Option<Slice>) -> Self {
        slice.map_or(Self::Nothing, Self::Slice)
    }
}
