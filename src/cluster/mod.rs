//! What the cluster knows: Services, EndpointSlices, Pods, Nodes and kube-proxy's configuration as slim [`Facts`].
//!
//! The only folder that names k8s-openapi. Objects come from files ([`Saved`]) or, with the feature `live`, from the API
//! server (`Api`); both go through the same conversion. [`emit`] writes facts as objects again.

#[cfg(feature = "live")]
mod api;
mod config;
mod convert;
mod coverage;
mod emit;
#[cfg(feature = "live")]
mod exec;
mod facts;
#[cfg(feature = "live")]
mod follow;
#[cfg(feature = "live")]
mod list;
#[cfg(feature = "live")]
mod live;
mod objects;
#[cfg(feature = "live")]
mod problem;
mod rights;
mod saved;
#[cfg(feature = "live")]
mod words;
mod yaml;

#[cfg(feature = "live")]
pub use api::{Api, Wanted};
pub use coverage::{Coverage, Scope};
pub use emit::emit;
#[cfg(feature = "live")]
pub use exec::{End, NoPlace, OnNode, Place};
pub use facts::{
    Endpoint, Facts, Hints, Ingress, Node, NodePorts, Pod, PodRef, Port, ProxyConfig, Service, ServiceType, Slice,
    SlicePort,
};
#[cfg(feature = "live")]
pub use follow::{Follower, Health};
#[cfg(feature = "live")]
pub use live::{Access, Server, contexts, lost_kubeconfigs};
#[cfg(feature = "live")]
pub use problem::Problem;
pub use rights::Right;
pub use saved::{BadObjects, Saved};
