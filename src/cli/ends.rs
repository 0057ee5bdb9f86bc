//! The two ends of a connection as a person names them.

use std::net::IpAddr;

use crate::dataplane::Select;
use crate::net::{Protocol, split_host_port};

/// FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// `10.244.1.7`, `10.244.1.7:40000`
    Address(IpAddr, Option<u16>),
    /// `ns/pod`, `pod/ns/pod`, `pod/pod`
    Pod(Option<String>, String),
    /// A bare name: a Node's or a Pod's.
    Name(String),
    /// `pod`: one that is no endpoint of the Service.
    SomePod,
    /// `node`: the node itself.
    Here,
    /// `node/NAME`
    Node(String),
    /// `localhost`: a program of the node that uses a loopback address.
    Localhost,
    /// `external`
    External,
}

/// TO.
#[derive(Debug, Clone)]
pub(super) enum To {
    /// A Service, an address or a node port, with the port or protocol given beside it.
    Select(Select, Option<u16>, Option<Protocol>),
    /// `pod/ns/name:port`
    Pod(Option<String>, String, u16, Option<Protocol>),
    /// `node:port`, `node/NAME:port`
    Node(Option<String>, u16, Option<Protocol>),
    /// `localhost:port`
    Localhost(u16, Option<Protocol>),
}

impl From {
    /// Reads one FROM; the error says what can be given.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text {
            "pod" => return Ok(Self::SomePod),
            "node" => return Ok(Self::Here),
            "localhost" => return Ok(Self::Localhost),
            "external" => return Ok(Self::External),
            _ => {}
        }
        if let Some((address, port)) = split_host_port(text) {
            return Ok(Self::Address(address, port));
        }
        if let Some(name) = ["node/", "nodes/", "no/"].iter().find_map(|kind| text.strip_prefix(kind)) {
            return Ok(Self::Node(name.to_owned()));
        }
        if ["service/", "services/", "svc/"].iter().any(|kind| text.starts_with(kind)) {
            return Err(format!("a connection comes from a client, and '{text}' is a Service; {FROM}"));
        }
        match Select::parse(text) {
            Ok(Select::Pod { namespace, name }) => Ok(Self::Pod(namespace, name)),
            Ok(Select::Name { namespace: Some(namespace), service, port: None }) if text.contains('/') => {
                Ok(Self::Pod(Some(namespace), service))
            }
            // Names of Nodes hold dots.
            Ok(Select::Name { port: None, .. }) => Ok(Self::Name(text.to_owned())),
            _ => Err(format!("cannot tell who '{text}' is: {FROM}")),
        }
    }
}

const FROM: &str =
    "give an address (10.244.1.7), a pod (shop/cart-0), node, node/NAME, pod (any), localhost or external";

impl To {
    /// Reads one TO; the error says what can be given.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let (bare, protocol) = match text.rsplit_once('/') {
            Some((bare, last)) => match Protocol::parse(last).filter(|p| p.is_service_protocol()) {
                // A Service may be called tcp.
                Some(protocol) if bare.contains([':', '/', '.']) => (bare, Some(protocol)),
                _ => (text, None),
            },
            None => (text, None),
        };
        let (name, port) = match bare.rsplit_once(':') {
            Some((name, port)) if split_host_port(bare).is_none() && !name.is_empty() => match port.parse::<u16>() {
                Ok(port) => (name, Some(port)),
                Err(_) => (bare, None),
            },
            _ => (bare, None),
        };
        let needs_port = || format!("to which port of '{text}'? give it behind a colon, as in {text}:80");
        if name == "localhost" {
            return port.map(|port| Self::Localhost(port, protocol)).ok_or_else(needs_port);
        }
        if name == "node" {
            return port.map(|port| Self::Node(None, port, protocol)).ok_or_else(needs_port);
        }
        if let Some(node) = ["node/", "nodes/", "no/"].iter().find_map(|kind| name.strip_prefix(kind)) {
            return port.map(|port| Self::Node(Some(node.to_owned()), port, protocol)).ok_or_else(needs_port);
        }
        match Select::parse(name).map_err(|error| error.to_string())? {
            Select::Pod { namespace, name } => {
                port.map(|port| Self::Pod(namespace, name, port, protocol)).ok_or_else(needs_port)
            }
            Select::Address(ip, port, own) => Ok(Self::Select(Select::Address(ip, port, protocol.or(own)), None, None)),
            Select::NodePort(port, own) => Ok(Self::Select(Select::NodePort(port, protocol.or(own)), None, None)),
            select @ Select::Name { .. } => Ok(Self::Select(select, port, protocol)),
            Select::Chain(_) | Select::Pattern(_) => Err(format!(
                "a connection goes to one place, and '{text}' is none: give a Service (shop/cart:http), an address \
                 (10.96.0.10:53/udp), a node port (:30080), pod/ns/name:port, node:port or localhost:port"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_from_is_told_apart() {
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        let name = |text: &str| text.to_owned();
        for (text, from) in [
            ("10.244.1.7", From::Address(ip("10.244.1.7"), None)),
            ("[fd00::7]:40000", From::Address(ip("fd00::7"), Some(40000))),
            ("shop/cart-0", From::Pod(Some(name("shop")), name("cart-0"))),
            ("pod/cart-0", From::Pod(None, name("cart-0"))),
            ("node1.example.org", From::Name(name("node1.example.org"))),
            ("node/node1", From::Node(name("node1"))),
            ("node", From::Here),
            ("pod", From::SomePod),
            ("localhost", From::Localhost),
            ("external", From::External),
        ] {
            assert_eq!(From::parse(text), Ok(from), "{text}");
        }
        for text in ["", "svc/a/b", ":80", "a b", "/x/"] {
            assert!(From::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn every_to_is_told_apart() {
        let parsed = |text: &str| format!("{:?}", To::parse(text).expect(text));
        for (text, debug) in [
            ("10.96.0.10:53/udp", "Select(Address(10.96.0.10, Some(53), Some(Udp)), None, None)"),
            ("[fd00::1]:80", "Select(Address(fd00::1, Some(80), None), None, None)"),
            (":30080/tcp", "Select(NodePort(30080, Some(Tcp)), None, None)"),
            (
                "shop/cart:http",
                r#"Select(Name { namespace: Some("shop"), service: "cart", port: Some("http") }, None, None)"#,
            ),
            (
                "service/shop/cart:80",
                r#"Select(Name { namespace: Some("shop"), service: "cart", port: None }, Some(80), None)"#,
            ),
            (
                "kube-dns:53/udp",
                r#"Select(Name { namespace: None, service: "kube-dns", port: None }, Some(53), Some(Udp))"#,
            ),
            ("net/tcp", r#"Select(Name { namespace: Some("net"), service: "tcp", port: None }, None, None)"#),
            ("pod/shop/cart-0:8080", r#"Pod(Some("shop"), "cart-0", 8080, None)"#),
            ("node:10250", "Node(None, 10250, None)"),
            ("node/node2:30080/udp", r#"Node(Some("node2"), 30080, Some(Udp))"#),
            ("localhost:30080", "Localhost(30080, None)"),
        ] {
            assert_eq!(parsed(text), debug);
        }
        for text in ["localhost", "pod/shop/cart-0", "/cart/", "KUBE-SVC-X", "node", ":70000"] {
            assert!(To::parse(text).is_err(), "{text}");
        }
    }
}
