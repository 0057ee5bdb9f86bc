//! What kube-proxy's comments tell.
//!
//! `ns/svc:port cluster IP` (also `external IP`, `loadbalancer IP`), `ns/svc:port` on node ports and endpoints,
//! `ns/svc:port -> ip:port` on balancing rules since 1.25, `ns/svc has no endpoints` in the filter table
//! (pkg/proxy/iptables/proxier.go).

use std::net::IpAddr;

use crate::dataplane::{FrontendKind, ServiceName};
use crate::net::split_host_port;

/// The service port a comment names: its first word that looks like one.
pub(super) fn service(comment: &str) -> Option<ServiceName> {
    comment.split_ascii_whitespace().find_map(ServiceName::parse)
}

/// The kind of frontend a rule of KUBE-SERVICES says it captures.
pub(super) fn frontend_kind(comment: &str) -> Option<FrontendKind> {
    let ends = |suffix: &str| comment.trim_end().ends_with(suffix);
    if ends("cluster IP") {
        Some(FrontendKind::ClusterIp)
    } else if ends("external IP") {
        Some(FrontendKind::ExternalIp)
    } else if ends("loadbalancer IP") || ends("load balancer IP") {
        Some(FrontendKind::LoadBalancer)
    } else {
        None
    }
}

/// The endpoint a balancing rule says it leads to.
pub(super) fn endpoint(comment: &str) -> Option<(IpAddr, u16)> {
    let (_, address) = comment.rsplit_once("-> ")?;
    match split_host_port(address.trim())? {
        (ip, Some(port)) => Some((ip, port)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(comment: &str) -> Option<String> {
        service(comment).map(|n| n.to_string())
    }

    #[test]
    fn the_service_is_the_word_that_looks_like_one() {
        assert_eq!(named("nginx-demo/nginx-service cluster IP").as_deref(), Some("nginx-demo/nginx-service"));
        assert_eq!(named("default/nginx-svc:").as_deref(), Some("default/nginx-svc"));
        assert_eq!(named("shop/web -> 10.244.2.13:8080").as_deref(), Some("shop/web"));
        assert_eq!(
            named("masquerade traffic for edge/gw-lb:https external destinations").as_deref(),
            Some("edge/gw-lb:https")
        );
        assert_eq!(named("kubernetes service portals"), None);
    }

    #[test]
    fn the_endpoint_stands_behind_the_arrow() {
        assert_eq!(endpoint("a/b -> 10.0.0.1:80"), Some(("10.0.0.1".parse().expect("ip"), 80)));
        assert_eq!(endpoint("a/b:c -> [fd00::1]:80"), Some(("fd00::1".parse().expect("ip"), 80)));
        assert_eq!(endpoint("a/b"), None);
        assert_eq!(endpoint("a/b -> nowhere"), None);
    }

    #[test]
    fn frontends_say_their_kind() {
        assert_eq!(frontend_kind("a/b cluster IP"), Some(FrontendKind::ClusterIp));
        assert_eq!(frontend_kind("a/b loadbalancer IP"), Some(FrontendKind::LoadBalancer));
        assert_eq!(frontend_kind("a/b:external"), None);
    }
}
