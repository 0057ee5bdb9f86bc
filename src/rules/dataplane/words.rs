//! The words for states, the same in a tree, a list and a finding.

use std::fmt;
use std::net::IpAddr;

use super::{AboutEndpoint, AboutService, Address, Endpoint, Frontend, FrontendKind, Gone, Stale, Standing, State};
use crate::net::{Family, Host};

/// A part of all connections in words: `33.33 %`. `<0.01 %` and `>99.99 %` keep some from looking like none, and most from
/// looking like all.
pub fn percent(part: f64) -> String {
    let percent = part * 100.0;
    if part > 0.0 && percent < 0.005 {
        return "<0.01 %".to_owned();
    }
    if part < 1.0 - 1e-9 && percent >= 99.995 {
        return ">99.99 %".to_owned();
    }
    format!("{percent:.2} %")
}

/// `1 endpoint`, `3 endpoints`
pub fn count<N: Copy + fmt::Display + PartialEq + From<u8>>(number: N, one: &str) -> String {
    if number == N::from(1) { format!("1 {one}") } else { format!("{number} {one}s") }
}

impl State {
    /// What is to be said of an endpoint in this state that rules lead to; `None` for one that is ready.
    pub fn words(&self) -> Option<String> {
        Some(match self {
            Self::Ready => return None,
            Self::ServingTerminating => "terminating, still serving".to_owned(),
            Self::NotReady => "not ready".to_owned(),
            Self::Stale(Stale::Deleted) => "stale: no pod has this address".to_owned(),
            Self::Stale(Stale::Reused(pod)) => format!("stale: the address is pod {pod}'s, no endpoint of the Service"),
            Self::Stale(Stale::PortChanged(port)) => format!("stale: the endpoint's port is {port} now"),
            Self::Stale(Stale::Unlisted) => "stale: no endpoint of the Service".to_owned(),
            Self::Unknown => "state not known".to_owned(),
        })
    }
}

impl Endpoint {
    /// What is to be said of an endpoint that gets no new connections; `None` for others.
    pub fn words_if_draining(&self) -> Option<String> {
        let open = self.traffic().open_connections();
        self.draining.then(|| match open {
            Some(open) => format!("draining, {} left", count(open, "connection")),
            None => "draining: no new connections".to_owned(),
        })
    }
}

impl AboutEndpoint {
    /// What is to be said of an endpoint that should get connections and gets none.
    pub fn words_if_absent(&self) -> String {
        let state = if self.state == State::Ready { "ready" } else { "terminating, still serving" };
        format!("{state}, but not programmed")
    }
}

impl AboutService {
    /// What is to be said of a service port without rules, or whose rules only `refuse`, though endpoints are usable.
    pub fn words_if_unprogrammed(&self, refused: bool) -> String {
        let what = if refused { "refused" } else { "no rules" };
        let usable = match self.unprogrammed.len() {
            1 => "1 endpoint is usable".to_owned(),
            many => format!("{many} endpoints are usable"),
        };
        format!("{what} on this node, though {usable}")
    }
}

impl Gone {
    /// What is gone, of a service port of this family.
    pub fn words(self, family: Family) -> String {
        match self {
            Self::Service => "the cluster has no such Service".to_owned(),
            Self::Port => "the Service has no such port".to_owned(),
            Self::Family => format!("the Service has no {family} address"),
        }
    }
}

impl Standing {
    /// Why kube-proxy writes no rules for a service port; `None` where it does, or that is not known.
    pub fn words_without_rules(&self, family: Family) -> Option<String> {
        Some(match self {
            Self::Headless => "headless".to_owned(),
            Self::NoClusterIp => "no cluster IP yet".to_owned(),
            Self::ExternalName(Some(name)) => format!("DNS name {name}"),
            Self::ExternalName(None) => "DNS name".to_owned(),
            Self::OtherProxy(name) => format!("served by proxy {name}"),
            Self::OtherFamily => format!("{family} only, of which no rules were read"),
            Self::Gone(gone) => gone.words(family),
            _ => return None,
        })
    }
}

impl FrontendKind {
    /// `cluster IP`, `node port`, …
    pub fn words(self) -> &'static str {
        match self {
            Self::ClusterIp => "cluster IP",
            Self::ExternalIp => "external IP",
            Self::LoadBalancer => "load balancer",
            Self::NodePort => "node port",
        }
    }
}

impl Frontend {
    /// One of which no rule is known.
    pub fn blank(kind: FrontendKind, address: Option<IpAddr>, port: u16) -> Self {
        let (routes, rules) = (Vec::new(), Vec::new());
        Self { kind, address, port: Some(port), every_port: false, routes, rules, refusal: None }
    }

    /// `10.96.0.1:443`, `[fd00::1]:443`, `:30080`; a rule that takes every port shows `*`, one whose port is not told `?`.
    pub fn at(&self) -> String {
        let host = self.address.map(|a| Host(a).to_string()).unwrap_or_default();
        match self.port {
            Some(port) => format!("{host}:{port}"),
            None if self.every_port => format!("{host}:*"),
            None => format!("{host}:?"),
        }
    }
}

/// An endpoint with its pod in brackets, where that is known.
#[derive(Debug, Clone, Copy)]
pub struct WithPod<'a>(pub &'a Address, pub Option<&'a AboutEndpoint>);

impl fmt::Display for WithPod<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.1.and_then(|about| about.pod.as_deref()) {
            Some(pod) => write!(f, "{} ({})", self.0, pod.split_once('/').map_or(pod, |(_, name)| name)),
            None => write!(f, "{}", self.0),
        }
    }
}
