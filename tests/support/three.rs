//! Generated clusters, and what kube-proxy 1.36 writes for them on one node in each of its modes.
//!
//! [`Cluster::generated`] makes a cluster from a seed. [`iptables`], [`nftables`] and [`ipvs`] write the same cluster as seen
//! from [`NODE`], line by line as in the recordings; [`objects`] is what the API server has. The rules of pkg/proxy are
//! written down here a second time and on purpose: what the program expects must not be what it is tested against.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use data_encoding::BASE32;
use kube_ipt::dataplane::ServiceName;
use kube_ipt::net::{Family, Protocol};
use kube_ipt::proxy::chain_name;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::generate::probability;

/// The node whose rules are written.
pub(crate) const NODE: &str = "node2";

/// Its number among the nodes.
const HERE: u16 = 2;

const FAMILIES: [Family; 2] = [Family::Ipv4, Family::Ipv6];

/// A cluster.
#[derive(Debug, Clone)]
pub(crate) struct Cluster {
    pub(crate) services: Vec<Service>,
}

/// A Service that kube-proxy serves.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) namespace: &'static str,
    pub(crate) name: String,
    pub(crate) ports: Vec<Port>,
    /// One for each family it has.
    pub(crate) cluster_ips: Vec<IpAddr>,
    pub(crate) external_ips: Vec<IpAddr>,
    /// Load balancer addresses, one for each family, or none.
    pub(crate) balancers: Vec<IpAddr>,
    /// Source ranges of the load balancer, of each family as many.
    pub(crate) ranges: Vec<&'static str>,
    pub(crate) internal_local: bool,
    pub(crate) external_local: bool,
    /// Seconds of ClientIP affinity.
    pub(crate) affinity: Option<u32>,
    pub(crate) health_check_port: Option<u16>,
    pub(crate) endpoints: Vec<Endpoint>,
}

/// A port of a Service.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    pub(crate) name: Option<&'static str>,
    pub(crate) protocol: Protocol,
    pub(crate) number: u16,
    pub(crate) target: u16,
    /// Its node port.
    pub(crate) on_node: Option<u16>,
}

/// An endpoint of every port of a Service, with an address of each family.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub(crate) addresses: [IpAddr; 2],
    /// The number of its node; `None` for what runs outside the cluster.
    pub(crate) node: Option<u16>,
    pub(crate) ready: bool,
}

/// One port of a Service in one family: what kube-proxy makes chains and virtual servers of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Face<'c> {
    pub(crate) service: &'c Service,
    pub(crate) port: &'c Port,
    pub(crate) family: Family,
}

/// Numbers that are the same for the same seed everywhere (splitmix64).
struct Dice(u64);

impl Dice {
    fn throw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u16) -> u16 {
        u16::try_from(self.throw() % u64::from(n)).expect("less than n")
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: u16) -> bool {
        self.below(n) == 0
    }
}

impl Cluster {
    /// The cluster of a seed.
    pub(crate) fn generated(seed: u64) -> Self {
        let mut dice = Dice(seed);
        let count = 4 + dice.below(6);
        Self { services: (0..count).map(|n| Service::generated(n, &mut dice)).collect() }
    }

    /// Every port of every Service in every family it has.
    pub(crate) fn faces(&self) -> impl Iterator<Item = Face<'_>> {
        self.services.iter().flat_map(Service::faces)
    }

    fn of(&self, family: Family) -> impl Iterator<Item = Face<'_>> {
        self.faces().filter(move |face| face.family == family)
    }
}

impl Service {
    fn generated(n: u16, dice: &mut Dice) -> Self {
        let families: &[Family] = match dice.below(4) {
            0 => &FAMILIES[..1],
            1 => &FAMILIES[1..],
            _ => &FAMILIES,
        };
        let of_each = |v4: Ipv4Addr, v6: Ipv6Addr| {
            families.iter().map(move |f| if *f == Family::Ipv4 { IpAddr::V4(v4) } else { IpAddr::V6(v6) })
        };
        let low = u8::try_from(n + 1).expect("few Services");
        let (node_ports, balanced) = match dice.below(3) {
            0 => (false, false),
            1 => (true, false),
            // allocateLoadBalancerNodePorts: false is for some.
            _ => (!dice.once_in(3), true),
        };
        let external = dice.once_in(3);
        let outside = node_ports || balanced || external;
        let external_local = outside && dice.once_in(2);
        let ranges = match (balanced, dice.below(3)) {
            (true, 0) => vec!["198.51.100.0/25", "2001:db8:a::/48"],
            (true, 1) => vec!["198.51.100.0/25", "203.0.113.0/24", "2001:db8:a::/48", "2001:db8:b::/64"],
            _ => Vec::new(),
        };
        let here = |range: &&str| families.contains(&family_of(range));
        let externals = if external { 1 + dice.below(2) } else { 0 };
        let endpoints = match dice.below(6) {
            0 => 0,
            _ => 1 + dice.below(7),
        };
        Self {
            namespace: ["shop", "edge", "infra"][usize::from(dice.below(3))],
            name: format!("svc-{n}"),
            ports: Port::generated(n, node_ports, dice),
            cluster_ips: of_each(
                Ipv4Addr::new(10, 96, low, 1 + u8::try_from(dice.below(250)).expect("a byte")),
                Ipv6Addr::new(0xfd00, 0x96, 0, 0, 0, 0, n + 1, 1 + dice.below(0xfff)),
            )
            .collect(),
            external_ips: (0..externals)
                .flat_map(|e| {
                    let last = u8::try_from(e).expect("few") * 100 + low;
                    of_each(Ipv4Addr::new(192, 0, 2, last), Ipv6Addr::new(0x2001, 0xdb8, 0xe, 0, 0, 0, e, n + 1))
                })
                .collect(),
            balancers: if balanced {
                of_each(Ipv4Addr::new(203, 0, 113, low), Ipv6Addr::new(0x2001, 0xdb8, 0xf, 0, 0, 0, 0, n + 1)).collect()
            } else {
                Vec::new()
            },
            ranges: ranges.into_iter().filter(here).collect(),
            internal_local: dice.once_in(4),
            external_local,
            affinity: dice.once_in(4).then(|| [10, 90, 600, 3600, 10800, 86400][usize::from(dice.below(6))]),
            health_check_port: (balanced && external_local).then_some(31_900 + n),
            endpoints: {
                let mut endpoints: Vec<Endpoint> = (0..endpoints).map(|_| Endpoint::generated(dice)).collect();
                endpoints.sort_by_key(|e| e.addresses);
                endpoints.dedup_by_key(|e| e.addresses);
                endpoints
            },
        }
    }

    /// Its ports in each of its families.
    pub(crate) fn faces(&self) -> impl Iterator<Item = Face<'_>> {
        self.ports.iter().flat_map(move |port| {
            self.cluster_ips.iter().map(move |ip| Face { service: self, port, family: Family::of(*ip) })
        })
    }
}

impl Port {
    fn generated(n: u16, node_ports: bool, dice: &mut Dice) -> Vec<Self> {
        const NAMED: [(&str, Protocol, u16, u16); 5] = [
            ("http", Protocol::Tcp, 80, 8080),
            ("dns", Protocol::Udp, 53, 5353),
            // The same number once more, of another protocol.
            ("dns-tcp", Protocol::Tcp, 53, 5353),
            ("s1ap", Protocol::Sctp, 36_412, 36_412),
            ("metrics", Protocol::Tcp, 9090, 8080),
        ];
        let unnamed = dice.once_in(3);
        let chosen: Vec<_> = if unnamed {
            vec![NAMED[usize::from(dice.below(5))]]
        } else {
            let bits = 1 + dice.below(31);
            NAMED.iter().enumerate().filter(|(at, _)| bits & (1 << at) != 0).map(|(_, port)| *port).collect()
        };
        let of = |(at, (name, protocol, number, target)): (usize, (&'static str, Protocol, u16, u16))| {
            let at = u16::try_from(at).expect("few ports");
            let name = (!unnamed).then_some(name);
            Self { name, protocol, number, target, on_node: node_ports.then_some(30_000 + 10 * n + at) }
        };
        chosen.into_iter().enumerate().map(of).collect()
    }
}

impl Endpoint {
    fn generated(dice: &mut Dice) -> Self {
        let (node, pod) = (1 + dice.below(3), 2 + dice.below(40));
        let byte = |n: u16| u8::try_from(n).expect("a byte");
        let addresses = [
            IpAddr::V4(Ipv4Addr::new(10, 244, byte(node), byte(pod))),
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x244, node, 0, 0, 0, 0, pod)),
        ];
        let outside = [
            IpAddr::V4(Ipv4Addr::new(172, 16, 7, byte(pod))),
            IpAddr::V6(Ipv6Addr::new(0xfd00, 0x172, 0, 0, 0, 0, 0, pod)),
        ];
        let ready = !dice.once_in(6);
        if dice.once_in(10) {
            return Self { addresses: outside, node: None, ready };
        }
        Self { addresses, node: Some(node), ready }
    }

    fn is_here(&self) -> bool {
        self.node == Some(HERE)
    }
}

impl<'c> Face<'c> {
    /// `ns/name` or `ns/name:port`.
    pub(crate) fn label(&self) -> String {
        let Service { namespace, name, .. } = self.service;
        self.port.name.map_or_else(|| format!("{namespace}/{name}"), |port| format!("{namespace}/{name}:{port}"))
    }

    /// `ip:port` of every usable endpoint.
    pub(crate) fn cluster(&self) -> Vec<String> {
        self.having(|_| true)
    }

    /// `ip:port` of every usable endpoint of the node.
    pub(crate) fn local(&self) -> Vec<String> {
        self.having(Endpoint::is_here)
    }

    /// `ip:port` of an endpoint.
    pub(crate) fn address(&self, endpoint: &Endpoint) -> String {
        socket(endpoint.addresses[usize::from(self.family == Family::Ipv6)], self.port.target)
    }

    fn having(&self, fits: impl Fn(&Endpoint) -> bool) -> Vec<String> {
        self.service.endpoints.iter().filter(|e| e.ready && fits(e)).map(|e| self.address(e)).collect()
    }

    /// Its own cluster IP.
    pub(crate) fn cluster_ip(&self) -> IpAddr {
        *self.of_family(&self.service.cluster_ips).next().expect("a face is of a family that the Service has")
    }

    /// External IPs and load balancer addresses of its family.
    pub(crate) fn external_ips(&self) -> impl Iterator<Item = &'c IpAddr> {
        self.of_family(&self.service.external_ips)
    }

    /// Load balancer addresses of its family.
    pub(crate) fn balancers(&self) -> impl Iterator<Item = &'c IpAddr> {
        self.of_family(&self.service.balancers)
    }

    /// Source ranges of its family.
    pub(crate) fn ranges(&self) -> Vec<&'static str> {
        self.service.ranges.iter().copied().filter(|range| family_of(range) == self.family).collect()
    }

    fn of_family(&self, all: &'c [IpAddr]) -> impl Iterator<Item = &'c IpAddr> {
        let family = self.family;
        all.iter().filter(move |ip| Family::of(**ip) == family)
    }

    /// It has a node port, an external IP or a load balancer (`ExternallyAccessible`, pkg/proxy/serviceport.go).
    pub(crate) fn is_external(&self) -> bool {
        self.port.on_node.is_some() || self.external_ips().next().is_some() || self.balancers().next().is_some()
    }

    /// `UsesClusterEndpoints`.
    fn uses_cluster(&self) -> bool {
        !self.service.internal_local || self.is_external()
    }

    /// `UsesLocalEndpoints`.
    fn uses_local(&self) -> bool {
        self.service.internal_local || (self.service.external_local && self.is_external())
    }

    /// What refuses traffic inside and outside, if anything: without any endpoint it is rejected, without one on the node
    /// dropped where the policy is Local.
    fn refusals(&self) -> [Option<Refusal>; 2] {
        let of = |local: bool| match (self.cluster().is_empty(), local && self.local().is_empty()) {
            (true, _) => Some(Refusal::Reject),
            (false, true) => Some(Refusal::Drop),
            _ => None,
        };
        [of(self.service.internal_local), of(self.service.external_local)]
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    Reject,
    Drop,
}

fn family_of(network: &str) -> Family {
    if network.contains(':') { Family::Ipv6 } else { Family::Ipv4 }
}

fn socket(ip: IpAddr, port: u16) -> String {
    std::net::SocketAddr::new(ip, port).to_string()
}

fn pods(family: Family) -> &'static str {
    if family == Family::Ipv4 { "10.244.0.0/16" } else { "fd00:244::/32" }
}

fn node_ip(family: Family) -> &'static str {
    if family == Family::Ipv4 { "10.200.0.12" } else { "fd00:200::12" }
}

/// What `kubectl get services,endpointslices,nodes -A -o json` prints.
pub(crate) fn objects(cluster: &Cluster) -> Value {
    let mut items: Vec<Value> = Vec::new();
    for service in &cluster.services {
        items.push(service_object(service));
        items.extend(service.cluster_ips.iter().map(|ip| slice(service, Family::of(*ip))));
    }
    for n in 1..=3 {
        items.push(json!({
            "apiVersion": "v1",
            "kind": "Node",
            "metadata": {"name": format!("node{n}")},
            "spec": {"podCIDR": format!("10.244.{n}.0/24"), "podCIDRs": [format!("10.244.{n}.0/24"), format!("fd00:244:{n}::/64")]},
            "status": {"addresses": [
                {"type": "InternalIP", "address": format!("10.200.0.1{n}")},
                {"type": "InternalIP", "address": format!("fd00:200::1{n}")},
            ]},
        }));
    }
    json!({"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": items})
}

fn service_object(service: &Service) -> Value {
    let policy = |local: bool| if local { "Local" } else { "Cluster" };
    let kind = match (service.balancers.is_empty(), service.ports[0].on_node) {
        (false, _) => "LoadBalancer",
        (true, Some(_)) => "NodePort",
        (true, None) => "ClusterIP",
    };
    let ports: Vec<Value> = service
        .ports
        .iter()
        .map(|p| {
            let mut port =
                json!({"port": p.number, "protocol": p.protocol.to_string().to_uppercase(), "targetPort": p.target});
            if let Some(name) = p.name {
                port["name"] = name.into();
            }
            if let Some(number) = p.on_node {
                port["nodePort"] = number.into();
            }
            port
        })
        .collect();
    let families: Vec<&str> = service.cluster_ips.iter().map(|ip| address_type(Family::of(*ip))).collect();
    let mut spec = json!({
        "type": kind,
        "clusterIP": service.cluster_ips[0],
        "clusterIPs": service.cluster_ips,
        "ipFamilies": families,
        "ipFamilyPolicy": if families.len() == 2 { "PreferDualStack" } else { "SingleStack" },
        "internalTrafficPolicy": policy(service.internal_local),
        "ports": ports,
        "selector": {"app": service.name},
        "sessionAffinity": if service.affinity.is_some() { "ClientIP" } else { "None" },
    });
    if kind != "ClusterIP" || !service.external_ips.is_empty() {
        spec["externalTrafficPolicy"] = policy(service.external_local).into();
    }
    if let Some(seconds) = service.affinity {
        spec["sessionAffinityConfig"] = json!({"clientIP": {"timeoutSeconds": seconds}});
    }
    if !service.external_ips.is_empty() {
        spec["externalIPs"] = json!(service.external_ips);
    }
    if kind == "LoadBalancer" {
        spec["allocateLoadBalancerNodePorts"] = service.ports[0].on_node.is_some().into();
    }
    if !service.ranges.is_empty() {
        spec["loadBalancerSourceRanges"] = json!(service.ranges);
    }
    if let Some(port) = service.health_check_port {
        spec["healthCheckNodePort"] = port.into();
    }
    let ingress: Vec<Value> = service.balancers.iter().map(|ip| json!({"ip": ip, "ipMode": "VIP"})).collect();
    let balancer = if ingress.is_empty() { json!({}) } else { json!({"ingress": ingress}) };
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": service.name, "namespace": service.namespace},
        "spec": spec,
        "status": {"loadBalancer": balancer},
    })
}

fn address_type(family: Family) -> &'static str {
    if family == Family::Ipv4 { "IPv4" } else { "IPv6" }
}

fn slice(service: &Service, family: Family) -> Value {
    let of = |e: &Endpoint| {
        let mut endpoint = json!({
            "addresses": [e.addresses[usize::from(family == Family::Ipv6)]],
            "conditions": {"ready": e.ready, "serving": e.ready, "terminating": false},
        });
        if let Some(node) = e.node {
            endpoint["nodeName"] = format!("node{node}").into();
        }
        endpoint
    };
    let port = |p: &Port| json!({"name": p.name.unwrap_or_default(), "port": p.target, "protocol": p.protocol.to_string().to_uppercase()});
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "addressType": address_type(family),
        "metadata": {
            "name": format!("{}-{}", service.name, address_type(family).to_lowercase()),
            "namespace": service.namespace,
            "labels": {
                "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io",
                "kubernetes.io/service-name": service.name,
            },
        },
        "endpoints": service.endpoints.iter().map(of).collect::<Vec<_>>(),
        "ports": service.ports.iter().map(port).collect::<Vec<_>>(),
    })
}

/// Chains with their rules, in the order of their names as iptables-nft prints them.
#[derive(Default)]
struct Chains(BTreeMap<String, Vec<String>>);

impl Chains {
    fn with(names: &[&str]) -> Self {
        Self(names.iter().map(|name| ((*name).to_owned(), Vec::new())).collect())
    }

    fn add(&mut self, chain: &str, rule: impl Into<String>) {
        self.0.entry(chain.to_owned()).or_default().push(rule.into());
    }

    fn save(&self, table: &str, built_in: &[&str]) -> String {
        let mut out = format!("*{table}\n");
        for chain in built_in {
            let _ = writeln!(out, ":{chain} ACCEPT [0:0]");
        }
        for chain in self.0.keys().filter(|chain| !built_in.contains(&chain.as_str())) {
            let _ = writeln!(out, ":{chain} - [0:0]");
        }
        let first = built_in.iter().filter_map(|chain| self.0.get_key_value(*chain));
        let rest = self.0.iter().filter(|(chain, _)| !built_in.contains(&chain.as_str()));
        for (chain, rules) in first.chain(rest) {
            for rule in rules {
                let _ = writeln!(out, "-A {chain} {rule}");
            }
        }
        out + "COMMIT\n"
    }
}

const NAT: [&str; 4] = ["PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"];
const FILTER: [&str; 3] = ["INPUT", "FORWARD", "OUTPUT"];

/// A save of both tables.
fn save(family: Family, filter: &Chains, nat: &Chains) -> String {
    let command = if family == Family::Ipv4 { "iptables-save" } else { "ip6tables-save" };
    let head = format!("# Generated by {command} v1.8.9 (nf_tables) on Sun Nov 22 08:28:50 2026\n");
    let foot = "# Completed on Sun Nov 22 08:28:50 2026\n";
    let (filter, nat) = (filter.save("filter", &FILTER), nat.save("nat", &NAT));
    format!("{head}{filter}{foot}{head}{nat}{foot}")
}

/// What the nat table of every mode of iptables begins with.
fn common_nat(names: &[&str]) -> Chains {
    let mut nat = Chains::with(names);
    for chain in ["PREROUTING", "OUTPUT"] {
        nat.add(chain, "-m comment --comment \"kubernetes service portals\" -j KUBE-SERVICES");
    }
    nat.add("POSTROUTING", "-m comment --comment \"kubernetes postrouting rules\" -j KUBE-POSTROUTING");
    nat.add("KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000");
    nat
}

fn postrouting(nat: &mut Chains) {
    nat.add("KUBE-POSTROUTING", "-m mark ! --mark 0x4000/0x4000 -j RETURN");
    nat.add("KUBE-POSTROUTING", "-j MARK --set-xmark 0x4000/0x0");
    nat.add(
        "KUBE-POSTROUTING",
        "-m comment --comment \"kubernetes service traffic requiring SNAT\" -j MASQUERADE --random-fully",
    );
}

/// `iptables-save` and `ip6tables-save`, one behind the other.
pub(crate) fn iptables(cluster: &Cluster) -> String {
    FAMILIES.iter().map(|family| iptables_of(cluster, *family)).collect()
}

fn iptables_of(cluster: &Cluster, family: Family) -> String {
    let mut nat = common_nat(&["KUBE-NODEPORTS", "KUBE-PROXY-CANARY"]);
    postrouting(&mut nat);
    let mut filter = Chains::with(&[
        "KUBE-EXTERNAL-SERVICES",
        "KUBE-FIREWALL",
        "KUBE-NODEPORTS",
        "KUBE-PROXY-CANARY",
        "KUBE-PROXY-FIREWALL",
        "KUBE-SERVICES",
    ]);
    let new = "-m conntrack --ctstate NEW -m comment --comment";
    for (chain, note, target) in [
        ("INPUT", "load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("INPUT", "", "KUBE-NODEPORTS"),
        ("INPUT", "externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
        ("FORWARD", "load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("FORWARD", "", "KUBE-FORWARD"),
        ("FORWARD", "service portals", "KUBE-SERVICES"),
        ("FORWARD", "externally-visible service portals", "KUBE-EXTERNAL-SERVICES"),
        ("OUTPUT", "load balancer firewall", "KUBE-PROXY-FIREWALL"),
        ("OUTPUT", "service portals", "KUBE-SERVICES"),
    ] {
        let rule = match target {
            "KUBE-NODEPORTS" => {
                "-m comment --comment \"kubernetes health check service ports\" -j KUBE-NODEPORTS".to_owned()
            }
            "KUBE-FORWARD" => "-m comment --comment \"kubernetes forwarding rules\" -j KUBE-FORWARD".to_owned(),
            _ => format!("{new} \"kubernetes {note}\" -j {target}"),
        };
        filter.add(chain, rule);
    }
    filter.add(
        "KUBE-FORWARD",
        "-m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP",
    );
    forwarding(&mut filter);
    for face in cluster.of(family) {
        iptables_face(face, &mut nat, &mut filter);
    }
    let not_loopback = if family == Family::Ipv6 { "! -d ::1/128 " } else { "" };
    nat.add(
        "KUBE-SERVICES",
        format!(
            "{not_loopback}-m comment --comment \"kubernetes service nodeports; NOTE: this must be the last rule in this \
             chain\" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS"
        ),
    );
    save(family, &filter, &nat)
}

fn forwarding(filter: &mut Chains) {
    for (note, condition) in [
        ("kubernetes forwarding rules", "-m mark --mark 0x4000/0x4000"),
        ("kubernetes forwarding conntrack rule", "-m conntrack --ctstate RELATED,ESTABLISHED"),
    ] {
        filter.add("KUBE-FORWARD", format!("-m comment --comment \"{note}\" {condition} -j ACCEPT"));
    }
}

fn iptables_face(face: Face<'_>, nat: &mut Chains, filter: &mut Chains) {
    let (label, protocol, family) = (face.label(), face.port.protocol, face.family);
    let name = ServiceName::parse(&label).expect("a service name");
    let key = chain_name::service_keys(&name, protocol).next().expect("a key");
    let [svc, svl, ext, fw] = ["SVC", "SVL", "EXT", "FW"].map(|kind| format!("KUBE-{kind}-{key}"));
    let length = if family == Family::Ipv4 { 32 } else { 128 };
    let at = |ip: IpAddr, note: &str| {
        let number = face.port.number;
        format!("-d {ip}/{length} -p {protocol} -m comment --comment \"{label} {note}\" -m {protocol} --dport {number}")
    };
    let unreachable = if family == Family::Ipv4 { "icmp-port-unreachable" } else { "icmp6-port-unreachable" };
    let refusal = |refusal: Refusal| match refusal {
        Refusal::Reject => ("has no endpoints", format!("REJECT --reject-with {unreachable}")),
        Refusal::Drop => ("has no local endpoints", "DROP".to_owned()),
    };
    let (cluster, local) = (face.cluster(), face.local());
    let [inside, outside] = face.refusals();
    let served = !cluster.is_empty();
    let own = if face.service.internal_local { &svl } else { &svc };

    let ip = face.cluster_ip();
    match inside.map(refusal) {
        None => {
            nat.add("KUBE-SERVICES", format!("{} -j {own}", at(ip, "cluster IP")));
            let pods = pods(family);
            nat.add(own, format!("! -s {pods} {} -j KUBE-MARK-MASQ", at(ip, "cluster IP")));
        }
        Some((note, target)) => filter.add("KUBE-SERVICES", format!("{} -j {target}", at(ip, note))),
    }
    let ranges = face.ranges();
    let fenced = served && face.balancers().next().is_some() && !ranges.is_empty();
    let externals = face.external_ips().map(|ip| (ip, "external IP", &ext));
    let balancers = face.balancers().map(|ip| (ip, "loadbalancer IP", if fenced { &fw } else { &ext }));
    for (ip, note, chain) in externals.chain(balancers) {
        if served {
            nat.add("KUBE-SERVICES", format!("{} -j {chain}", at(*ip, note)));
        }
        if let Some((note, target)) = outside.map(refusal) {
            filter.add("KUBE-EXTERNAL-SERVICES", format!("{} -j {target}", at(*ip, note)));
        }
        if *chain == fw {
            let note = format!("traffic not accepted by {fw}");
            filter.add("KUBE-PROXY-FIREWALL", format!("{} -j DROP", at(*ip, &note)));
        }
    }
    if let Some(number) = face.port.on_node {
        let comment = format!("-p {protocol} -m comment --comment \"{label}\" -m {protocol} --dport {number}");
        if served {
            if family == Family::Ipv4 {
                let counted = "-m nfacct --nfacct-name  localhost_nps_accepted_pkts";
                nat.add("KUBE-NODEPORTS", format!("-d 127.0.0.0/8 {comment} {counted} -j {ext}"));
            }
            nat.add("KUBE-NODEPORTS", format!("{comment} -j {ext}"));
        }
        if let Some((note, target)) = outside.map(refusal) {
            let comment = format!("-p {protocol} -m comment --comment \"{label} {note}\"");
            let local = format!("-m addrtype --dst-type LOCAL -m {protocol} --dport {number}");
            filter.add("KUBE-EXTERNAL-SERVICES", format!("{comment} {local} -j {target}"));
        }
    }
    if let Some(port) = face.service.health_check_port {
        let comment = format!("-m comment --comment \"{label} health check node port\"");
        filter.add("KUBE-NODEPORTS", format!("-p tcp {comment} -m tcp --dport {port} -j ACCEPT"));
    }
    if served && face.is_external() {
        iptables_external(face, [&svc, &svl, &ext], outside.is_none(), nat);
    }
    if fenced {
        for range in ranges {
            nat.add(&fw, format!("-s {range} -m comment --comment \"{label} loadbalancer IP\" -j {ext}"));
        }
        nat.add(
            &fw,
            format!("-m comment --comment \"other traffic to {label} will be dropped by KUBE-PROXY-FIREWALL\""),
        );
    }
    let mut used = BTreeSet::new();
    for (chain, endpoints, is_used) in [(&svc, &cluster, face.uses_cluster()), (&svl, &local, face.uses_local())] {
        if is_used && !endpoints.is_empty() {
            iptables_pool(face, &name, chain, endpoints, nat);
            used.extend(endpoints);
        }
    }
    for endpoint in used {
        let sep = format!("KUBE-SEP-{}", chain_name::endpoint_key(&name, protocol, endpoint));
        let ip = endpoint.parse::<std::net::SocketAddr>().expect("a socket address").ip();
        let comment = format!("-m comment --comment \"{label}\"");
        let remembered =
            face.service.affinity.map_or_else(String::new, |_| format!(" {}", recent(family, "set", &sep)));
        nat.add(&sep, format!("-s {ip}/{length} {comment} -j KUBE-MARK-MASQ"));
        nat.add(&sep, format!("-p {protocol} {comment}{remembered} -m {protocol} -j DNAT --to-destination {endpoint}"));
    }
}

/// The chain of external traffic; `open` if it leads somewhere for all.
fn iptables_external(face: Face<'_>, [svc, svl, ext]: [&str; 3], open: bool, nat: &mut Chains) {
    let label = face.label();
    let mut rule = |source: &str, what: &str, rest: &str| {
        let comment = format!("-m comment --comment \"{what} for {label} external destinations\"");
        nat.add(ext, format!("{source}{comment} {rest}"));
    };
    if face.service.external_local {
        rule(&format!("-s {} ", pods(face.family)), "pod traffic", &format!("-j {svc}"));
        rule("", "masquerade LOCAL traffic", "-m addrtype --src-type LOCAL -j KUBE-MARK-MASQ");
        rule("", "route LOCAL traffic", &format!("-m addrtype --src-type LOCAL -j {svc}"));
    } else {
        rule("", "masquerade traffic", "-j KUBE-MARK-MASQ");
    }
    if open {
        let pool = if face.service.external_local { svl } else { svc };
        nat.add(ext, format!("-j {pool}"));
    }
}

fn recent(family: Family, what: &str, sep: &str) -> String {
    let mask = if family == Family::Ipv4 { "255.255.255.255" } else { "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" };
    format!("-m recent --{what} --name {sep} --mask {mask} --rsource")
}

fn iptables_pool(face: Face<'_>, name: &ServiceName, chain: &str, endpoints: &[String], nat: &mut Chains) {
    let label = face.label();
    let sep = |endpoint: &String| format!("KUBE-SEP-{}", chain_name::endpoint_key(name, face.port.protocol, endpoint));
    let comment = |endpoint: &String| format!("-m comment --comment \"{label} -> {endpoint}\"");
    if let Some(seconds) = face.service.affinity {
        for endpoint in endpoints {
            let (sep, what) = (sep(endpoint), format!("rcheck --seconds {seconds} --reap"));
            nat.add(chain, format!("{} {} -j {sep}", comment(endpoint), recent(face.family, &what, &sep)));
        }
    }
    for (at, endpoint) in endpoints.iter().enumerate() {
        let left = endpoints.len() - at;
        let chance = if left == 1 {
            String::new()
        } else {
            format!(" -m statistic --mode random --probability {}", probability(left))
        };
        nat.add(chain, format!("{}{chance} -j {}", comment(endpoint), sep(endpoint)));
    }
}

/// A table of nftables mode in the making.
struct Table {
    family: Family,
    /// Elements of sets and maps by their names.
    elements: BTreeMap<&'static str, Vec<String>>,
    affinity: String,
    chains: String,
}

const REJECT: &str = "goto reject-chain";

/// `nft list ruleset`.
pub(crate) fn nftables(cluster: &Cluster) -> String {
    FAMILIES.iter().map(|family| nftables_of(cluster, *family)).collect()
}

fn nftables_of(cluster: &Cluster, family: Family) -> String {
    let mut table = Table { family, elements: BTreeMap::new(), affinity: String::new(), chains: String::new() };
    let mut hairpins = BTreeSet::new();
    table.elements.insert("nodeport-ips", vec![node_ip(family).to_owned()]);
    let cluster_ips: BTreeSet<String> = cluster.of(family).map(|face| face.cluster_ip().to_string()).collect();
    table.elements.insert("cluster-ips", cluster_ips.into_iter().collect());
    for face in cluster.of(family) {
        hairpins.extend(face.local().iter().map(|endpoint| {
            let socket = endpoint.parse::<std::net::SocketAddr>().expect("a socket address");
            format!("{0} . {0} . {1} . {2}", socket.ip(), face.port.protocol, socket.port())
        }));
        nftables_face(face, &mut table);
    }
    table.elements.insert("hairpin-connections", hairpins.into_iter().collect());
    table.print()
}

impl Table {
    fn element(&mut self, of: &'static str, element: String) {
        self.elements.entry(of).or_default().push(element);
    }

    fn chain(&mut self, name: &str, rules: &[String]) {
        let _ = writeln!(self.chains, "\tchain {name} {{\n\t\t{}\n\t}}\n", rules.join("\n\t\t"));
    }

    fn print(&self) -> String {
        let (ip, kind) = if self.family == Family::Ipv4 { ("ip", "ipv4_addr") } else { ("ip6", "ipv6_addr") };
        let mut out = format!("table {ip} kube-proxy {{\n\tcomment \"rules for kube-proxy\"\n");
        let at = format!("{kind} . inet_proto . inet_service : verdict");
        let on_node = "inet_proto . inet_service : verdict".to_owned();
        for (what, name, of, comment) in [
            (
                "set",
                "hairpin-connections",
                format!("{kind} . {kind} . inet_proto . inet_service"),
                "service hairpin connections",
            ),
            ("set", "cluster-ips", kind.to_owned(), "Active ClusterIPs"),
            ("set", "nodeport-ips", kind.to_owned(), "IPs that accept NodePort traffic"),
            ("map", "no-endpoint-services", at.clone(), "vmap to drop or reject packets to services with no endpoints"),
            (
                "map",
                "no-endpoint-nodeports",
                on_node.clone(),
                "vmap to drop or reject packets to service nodeports with no endpoints",
            ),
            ("map", "firewall-ips", at.clone(), "destinations that are subject to LoadBalancerSourceRanges"),
            ("map", "service-ips", at, "ClusterIP, ExternalIP and LoadBalancer IP traffic"),
            ("map", "service-nodeports", on_node, "NodePort traffic"),
        ] {
            let _ = writeln!(out, "\t{what} {name} {{\n\t\ttype {of}\n\t\tcomment \"{comment}\"");
            if let Some(elements) = self.elements.get(name).filter(|elements| !elements.is_empty()) {
                let _ = writeln!(out, "\t\telements = {{ {} }}", elements.join(",\n\t\t\t     "));
            }
            out.push_str("\t}\n\n");
        }
        out.push_str(&self.affinity);
        let (pods, range) = (pods(self.family), if ip == "ip" { "10.96.0.0/16" } else { "fd00:96::/112" });
        out.push_str(&NFT_FRAME.replace("IPFAMILY", ip).replace("PODS", pods).replace("SERVICERANGE", range));
        out.push_str(self.chains.strip_suffix('\n').unwrap_or_default());
        out + "}\n"
    }
}

const NFT_FRAME: &str = "\
\tchain filter-prerouting-pre-dnat {
\t\ttype filter hook prerouting priority dstnat - 10; policy accept;
\t\tct state new jump firewall-check
\t}

\tchain filter-output-pre-dnat {
\t\ttype filter hook output priority -110; policy accept;
\t\tct state new jump firewall-check
\t}

\tchain filter-input {
\t\ttype filter hook input priority filter; policy accept;
\t\tct state new jump nodeport-endpoints-check
\t\tct state new jump service-endpoints-check
\t}

\tchain filter-forward {
\t\ttype filter hook forward priority filter; policy accept;
\t\tct state new jump service-endpoints-check
\t\tct state new jump cluster-ips-check
\t}

\tchain filter-output {
\t\ttype filter hook output priority filter; policy accept;
\t\tct state new jump service-endpoints-check
\t\tct state new jump cluster-ips-check
\t}

\tchain nat-prerouting {
\t\ttype nat hook prerouting priority dstnat; policy accept;
\t\tjump services
\t}

\tchain nat-output {
\t\ttype nat hook output priority -100; policy accept;
\t\tjump services
\t}

\tchain nat-postrouting {
\t\ttype nat hook postrouting priority srcnat; policy accept;
\t\tjump masquerading
\t}

\tchain nodeport-endpoints-check {
\t\tIPFAMILY daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports
\t}

\tchain service-endpoints-check {
\t\tIPFAMILY daddr . meta l4proto . th dport vmap @no-endpoint-services
\t}

\tchain firewall-check {
\t\tIPFAMILY daddr . meta l4proto . th dport vmap @firewall-ips
\t}

\tchain services {
\t\tIPFAMILY daddr @cluster-ips IPFAMILY saddr != PODS meta mark set meta mark | 0x00004000 comment \"masquerade clusterIP traffic from outside cluster\"
\t\tIPFAMILY daddr . meta l4proto . th dport vmap @service-ips
\t\tIPFAMILY daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports
\t}

\tchain masquerading {
\t\tmeta mark & 0x00004000 != 0x00000000 meta mark set meta mark ^ 0x00004000 masquerade fully-random
\t\tct status dnat IPFAMILY saddr . IPFAMILY daddr . meta l4proto . th dport @hairpin-connections masquerade fully-random
\t}

\tchain cluster-ips-check {
\t\tIPFAMILY daddr @cluster-ips reject comment \"Reject traffic to invalid ports of ClusterIPs\"
\t\tIPFAMILY daddr SERVICERANGE drop comment \"Drop traffic to unallocated ClusterIPs\"
\t}

\tchain reject-chain {
\t\tcomment \"helper for @no-endpoint-services / @no-endpoint-nodeports\"
\t\treject
\t}

";

/// `HASH-name`, as chains and sets are called behind their prefix.
fn hashed(name: &str) -> String {
    format!("{}-{name}", &BASE32.encode(&Sha256::digest(name))[..8])
}

/// Seconds as nft prints them: `1h30m`.
fn nft_time(seconds: u32) -> String {
    let parts = [(86400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    parts.iter().fold(String::new(), |mut out, (length, unit)| {
        if left >= *length {
            let _ = write!(out, "{}{unit}", left / length);
        }
        left %= length;
        out
    })
}

fn nftables_face(face: Face<'_>, table: &mut Table) {
    let (protocol, label) = (face.port.protocol, face.label());
    let ip = if face.family == Family::Ipv4 { "ip" } else { "ip6" };
    let base =
        format!("{}/{}/{protocol}/{}", face.service.namespace, face.service.name, face.port.name.unwrap_or_default());
    let [service, local, external, firewall] =
        ["service", "local", "external", "firewall"].map(|kind| format!("{kind}-{}", hashed(&base)));
    let [inside, outside] = face.refusals();
    let served = !face.cluster().is_empty();
    let refuses = |key: &str, refusal: Refusal| {
        format!("{key} comment \"{label}\" : {}", if refusal == Refusal::Reject { REJECT } else { "drop" })
    };
    let at = |ip: IpAddr| format!("{ip} . {protocol} . {}", face.port.number);

    let own = at(face.cluster_ip());
    match inside {
        None => {
            let pool = if face.service.internal_local { &local } else { &service };
            table.element("service-ips", format!("{own} : goto {pool}"));
        }
        Some(refusal) => table.element("no-endpoint-services", refuses(&own, refusal)),
    }
    // Unlike in iptables mode, with or without endpoints.
    let ranges = face.ranges();
    let fenced = !ranges.is_empty() && face.balancers().next().is_some();
    for ip in face.external_ips().chain(face.balancers()) {
        if served {
            table.element("service-ips", format!("{} : goto {external}", at(*ip)));
        }
        if let Some(refusal) = outside {
            table.element("no-endpoint-services", refuses(&at(*ip), refusal));
        }
    }
    if fenced {
        for ip in face.balancers() {
            table.element("firewall-ips", format!("{} : goto {firewall}", at(*ip)));
        }
        // nft makes a plain value of a set of one.
        let sources = if ranges.len() == 1 { ranges[0].to_owned() } else { format!("{{ {} }}", ranges.join(", ")) };
        table.chain(&firewall, &[format!("{ip} saddr != {sources} drop")]);
    }
    if let Some(number) = face.port.on_node {
        let key = format!("{protocol} . {number}");
        if served {
            table.element("service-nodeports", format!("{key} : goto {external}"));
        }
        if let Some(refusal) = outside {
            table.element("no-endpoint-nodeports", refuses(&key, refusal));
        }
    }
    if served && face.is_external() {
        let mark = "meta mark set meta mark | 0x00004000 comment";
        let mut rules = if face.service.external_local {
            vec![
                format!("{ip} saddr {} goto {service} comment \"short-circuit pod traffic\"", pods(face.family)),
                format!("fib saddr type local {mark} \"masquerade local traffic\""),
                format!("fib saddr type local goto {service} comment \"short-circuit local traffic\""),
            ]
        } else {
            vec![format!("{mark} \"masquerade\"")]
        };
        if outside.is_none() {
            rules.push(format!("goto {}", if face.service.external_local { &local } else { &service }));
        }
        table.chain(&external, &rules);
    }
    let mut used = BTreeSet::new();
    for (chain, endpoints, is_used) in
        [(&service, face.cluster(), face.uses_cluster()), (&local, face.local(), face.uses_local())]
    {
        if is_used && !endpoints.is_empty() {
            nftables_pool(face, &base, chain, &endpoints, table);
            used.extend(endpoints);
        }
    }
    let Some(seconds) = face.service.affinity else { return };
    let kind = if face.family == Family::Ipv4 { "ipv4_addr" } else { "ipv6_addr" };
    for endpoint in used {
        let own = nft_endpoint(&base, &endpoint);
        table.chain(
            &format!("endpoint-{own}"),
            &[
                format!("update @affinity-{own} {{ {ip} saddr }}"),
                format!("meta l4proto {protocol} dnat to {endpoint}"),
            ],
        );
        let timeout = nft_time(seconds);
        let _ = writeln!(
            table.affinity,
            "\tset affinity-{own} {{\n\t\ttype {kind}\n\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout {timeout}\n\t}}\n"
        );
    }
}

/// What an endpoint's chain and set are called behind their prefix. Colons may not stand in names.
fn nft_endpoint(base: &str, endpoint: &str) -> String {
    let socket = endpoint.parse::<std::net::SocketAddr>().expect("a socket address");
    hashed(&format!("{base}__{}/{}", socket.ip().to_string().replace(':', "."), socket.port()))
}

fn nftables_pool(face: Face<'_>, base: &str, chain: &str, endpoints: &[String], table: &mut Table) {
    let (protocol, count) = (face.port.protocol, endpoints.len());
    let ip = if face.family == Family::Ipv4 { "ip" } else { "ip6" };
    let numbered = |of: &dyn Fn(&String) -> String| {
        endpoints.iter().enumerate().map(|(n, e)| format!("{n} : {}", of(e))).collect::<Vec<_>>().join(", ")
    };
    if face.service.affinity.is_none() {
        let target = |endpoint: &String| {
            let socket = endpoint.parse::<std::net::SocketAddr>().expect("a socket address");
            format!("{} . {}", socket.ip(), socket.port())
        };
        let map = numbered(&target);
        table
            .chain(chain, &[format!("meta l4proto {protocol} dnat {ip} to numgen random mod {count} map {{ {map} }}")]);
        return;
    }
    let own = |endpoint: &String| nft_endpoint(base, endpoint);
    let mut rules: Vec<String> =
        endpoints.iter().map(own).map(|own| format!("{ip} saddr @affinity-{own} goto endpoint-{own}")).collect();
    let map = numbered(&|endpoint| format!("goto endpoint-{}", own(endpoint)));
    rules.push(format!("numgen random mod {count} vmap {{ {map} }}"));
    table.chain(chain, &rules);
}

/// The texts of a node in IPVS mode: `ipvsadm -Sn`, `ipset save`, both iptables saves, `ip addr show dev kube-ipvs0`.
pub(crate) fn ipvs(cluster: &Cluster) -> [(&'static str, String); 4] {
    let (mut servers, mut sets, mut saves, mut bound) = (String::new(), String::new(), String::new(), BTreeSet::new());
    for family in FAMILIES {
        let mut members = Members { family, sets: BTreeMap::new(), fenced: Vec::new() };
        for face in cluster.of(family) {
            ipvs_face(face, &mut servers, &mut members, &mut bound);
        }
        sets += &members.save();
        saves += &members.rules();
    }
    let mut addresses =
        "5: kube-ipvs0: <BROADCAST,NOARP> mtu 1500 qdisc noop state DOWN group default \n    link/ether ba:77:5c:ad:92:15 brd ff:ff:ff:ff:ff:ff\n"
            .to_owned();
    for ip in bound {
        let own = match ip {
            IpAddr::V4(_) => format!("inet {ip}/32 scope global kube-ipvs0"),
            IpAddr::V6(_) => format!("inet6 {ip}/128 scope global "),
        };
        let _ = writeln!(addresses, "    {own}\n       valid_lft forever preferred_lft forever");
    }
    [("ipvsadm.txt", servers), ("ipset.txt", sets), ("save.txt", saves), ("ip-addr.txt", addresses)]
}

/// The ipsets of a family, by their names without `KUBE-` or `KUBE-6-`.
struct Members {
    family: Family,
    sets: BTreeMap<&'static str, BTreeSet<String>>,
    /// Load balancers with source ranges: address, protocol number, port.
    fenced: Vec<(IpAddr, u8, u16)>,
}

/// Every ipset kube-proxy makes, and its type.
const SETS: [(&str, &str); 17] = [
    ("LOAD-BALANCER", "hash:ip,port"),
    ("LOAD-BALANCER-SOURCE-IP", "hash:ip,port,ip"),
    ("NODE-PORT-TCP", "bitmap:port"),
    ("NODE-PORT-LOCAL-SCTP-HASH", "hash:ip,port"),
    ("LOAD-BALANCER-LOCAL", "hash:ip,port"),
    ("NODE-PORT-UDP", "bitmap:port"),
    ("NODE-PORT-LOCAL-UDP", "bitmap:port"),
    ("IPVS-IPS", "hash:ip"),
    ("CLUSTER-IP", "hash:ip,port"),
    ("LOAD-BALANCER-SOURCE-CIDR", "hash:ip,port,net"),
    ("NODE-PORT-SCTP-HASH", "hash:ip,port"),
    ("HEALTH-CHECK-NODE-PORT", "bitmap:port"),
    ("LOOP-BACK", "hash:ip,port,ip"),
    ("EXTERNAL-IP-LOCAL", "hash:ip,port"),
    ("LOAD-BALANCER-FW", "hash:ip,port"),
    ("NODE-PORT-LOCAL-TCP", "bitmap:port"),
    ("EXTERNAL-IP", "hash:ip,port"),
];

impl Members {
    /// The kernel takes 31 characters.
    fn name(&self, set: &str) -> String {
        let full = if self.family == Family::Ipv4 { format!("KUBE-{set}") } else { format!("KUBE-6-{set}") };
        full.chars().take(31).collect()
    }

    fn add(&mut self, set: &'static str, member: String) {
        self.sets.entry(set).or_default().insert(member);
    }

    fn has(&self, set: &str) -> bool {
        self.sets.contains_key(set)
    }

    fn save(&self) -> String {
        let family = if self.family == Family::Ipv4 { "inet" } else { "inet6" };
        let mut out = String::new();
        for (set, kind) in SETS {
            let name = self.name(set);
            let more = if kind == "bitmap:port" {
                "range 0-65535".to_owned()
            } else {
                format!("family {family} hashsize 1024 maxelem 65536 bucketsize 12 initval 0xac7b32a5")
            };
            let _ = writeln!(out, "create {name} {kind} {more}");
            for member in self.sets.get(set).into_iter().flatten() {
                let _ = writeln!(out, "add {name} {member}");
            }
        }
        out
    }

    /// `-m set --match-set NAME DIRECTIONS`, behind a comment if there is one.
    fn matched(&self, set: &str, directions: &str, comment: &str) -> String {
        let comment = if comment.is_empty() { String::new() } else { format!("-m comment --comment \"{comment}\" ") };
        format!("{comment}-m set --match-set {} {directions}", self.name(set))
    }

    fn rules(&self) -> String {
        let mut nat = common_nat(&["KUBE-LOAD-BALANCER", "KUBE-NODE-PORT", "KUBE-SERVICES"]);
        let loopback = "Kubernetes endpoints dst ip:port, source ip for solving hairpin purpose";
        if self.has("LOOP-BACK") {
            let rule = self.matched("LOOP-BACK", "dst,dst,src", loopback);
            nat.add("KUBE-POSTROUTING", format!("{rule} -j MASQUERADE"));
        }
        postrouting(&mut nat);
        if self.has("LOAD-BALANCER-LOCAL") {
            let note = "Kubernetes service load balancer ip + port with externalTrafficPolicy=local";
            nat.add("KUBE-LOAD-BALANCER", self.matched("LOAD-BALANCER-LOCAL", "dst,dst", note) + " -j RETURN");
        }
        nat.add("KUBE-LOAD-BALANCER", "-j KUBE-MARK-MASQ");
        for (protocol, suffix, directions) in
            [("tcp", "TCP", "dst"), ("udp", "UDP", "dst"), ("sctp", "SCTP-HASH", "dst,dst")]
        {
            let upper = protocol.to_uppercase();
            for (set, what, target) in [
                (format!("NODE-PORT-LOCAL-{suffix}"), "with externalTrafficPolicy=local", "RETURN"),
                (format!("NODE-PORT-{suffix}"), "for masquerade purpose", "KUBE-MARK-MASQ"),
            ] {
                if self.has(&set) {
                    let note = format!("Kubernetes nodeport {upper} port {what}");
                    let rule = self.matched(&set, directions, &note);
                    nat.add("KUBE-NODE-PORT", format!("-p {protocol} {rule} -j {target}"));
                }
            }
        }
        let loopback = if self.family == Family::Ipv4 { "127.0.0.0/8" } else { "::1/128" };
        nat.add("KUBE-SERVICES", format!("-s {loopback} -j RETURN"));
        if self.has("LOAD-BALANCER") {
            let rule = self.matched("LOAD-BALANCER", "dst,dst", "Kubernetes service lb portal");
            nat.add("KUBE-SERVICES", rule + " -j KUBE-LOAD-BALANCER");
        }
        if self.has("CLUSTER-IP") {
            let note = "Kubernetes service cluster ip + port for masquerade purpose";
            let rule = self.matched("CLUSTER-IP", "dst,dst", note);
            nat.add("KUBE-SERVICES", format!("! -s {} {rule} -j KUBE-MARK-MASQ", pods(self.family)));
        }
        let note = "Kubernetes service external ip + port for masquerade and filter purpose";
        for set in ["EXTERNAL-IP", "EXTERNAL-IP-LOCAL"].into_iter().filter(|set| self.has(set)) {
            let rule = self.matched(
                set,
                "dst,dst",
                if set == "EXTERNAL-IP" {
                    note
                } else {
                    "Kubernetes service external ip + port with externalTrafficPolicy=local"
                },
            );
            if set == "EXTERNAL-IP" {
                nat.add("KUBE-SERVICES", format!("{rule} -j KUBE-MARK-MASQ"));
            }
            let foreign = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL";
            nat.add("KUBE-SERVICES", format!("{rule} {foreign} -j ACCEPT"));
            nat.add("KUBE-SERVICES", format!("{rule} -m addrtype --dst-type LOCAL -j ACCEPT"));
        }
        nat.add("KUBE-SERVICES", "-m addrtype --dst-type LOCAL -j KUBE-NODE-PORT");
        for set in ["CLUSTER-IP", "LOAD-BALANCER"].into_iter().filter(|set| self.has(set)) {
            nat.add("KUBE-SERVICES", self.matched(set, "dst,dst", "") + " -j ACCEPT");
        }
        save(self.family, &self.filter(), &nat)
    }

    fn filter(&self) -> Chains {
        let mut filter = Chains::with(&["KUBE-IPVS-OUT-FILTER", "KUBE-PROXY-FIREWALL", "KUBE-SOURCE-RANGES-FIREWALL"]);
        for (chain, note, target) in [
            ("INPUT", "kubernetes ipvs access filter", "KUBE-IPVS-FILTER"),
            ("INPUT", "kube-proxy firewall rules", "KUBE-PROXY-FIREWALL"),
            ("INPUT", "kubernetes health check rules", "KUBE-NODE-PORT"),
            ("FORWARD", "kube-proxy firewall rules", "KUBE-PROXY-FIREWALL"),
            ("FORWARD", "kubernetes forwarding rules", "KUBE-FORWARD"),
            ("OUTPUT", "kubernetes ipvs access filter", "KUBE-IPVS-OUT-FILTER"),
        ] {
            filter.add(chain, format!("-m comment --comment \"{note}\" -j {target}"));
        }
        forwarding(&mut filter);
        for set in ["LOAD-BALANCER", "CLUSTER-IP", "EXTERNAL-IP", "EXTERNAL-IP-LOCAL"] {
            filter.add("KUBE-IPVS-FILTER", self.matched(set, "dst,dst", "") + " -j RETURN");
        }
        filter.add("KUBE-IPVS-FILTER", self.matched("HEALTH-CHECK-NODE-PORT", "dst", "") + " -j RETURN");
        let unreachable = if self.family == Family::Ipv4 { "icmp-port-unreachable" } else { "icmp6-port-unreachable" };
        filter.add(
            "KUBE-IPVS-FILTER",
            format!(
                "-m conntrack --ctstate NEW {} -j REJECT --reject-with {unreachable}",
                self.matched("IPVS-IPS", "dst", "")
            ),
        );
        let length = if self.family == Family::Ipv4 { 32 } else { 128 };
        for (ip, protocol, port) in &self.fenced {
            let own = format!("-m ipvs --vproto {protocol} --vaddr {ip} --vport {port}");
            filter.add("KUBE-IPVS-OUT-FILTER", format!("-s {ip}/{length} {own} -j DROP"));
        }
        let note = "Kubernetes health check node port";
        filter.add("KUBE-NODE-PORT", self.matched("HEALTH-CHECK-NODE-PORT", "dst", note) + " -j ACCEPT");
        if self.has("LOAD-BALANCER-FW") {
            let note = "Kubernetes service load balancer ip + port for load balancer with sourceRange";
            let rule = self.matched("LOAD-BALANCER-FW", "dst,dst", note);
            filter.add("KUBE-PROXY-FIREWALL", rule + " -j KUBE-SOURCE-RANGES-FIREWALL");
            let note = "Kubernetes service load balancer ip + port + source cidr for packet filter purpose";
            let rule = self.matched("LOAD-BALANCER-SOURCE-CIDR", "dst,dst,src", note);
            filter.add("KUBE-SOURCE-RANGES-FIREWALL", rule + " -j RETURN");
        }
        filter.add("KUBE-SOURCE-RANGES-FIREWALL", "-j DROP");
        filter
    }
}

impl Face<'_> {
    /// The real servers of a virtual server (`syncEndpoint`, pkg/proxy/ipvs/proxier.go): where Local policy leaves none,
    /// those of other nodes, if kube-proxy keeps track of them for this Service at all.
    pub(crate) fn real_servers(&self, local: bool) -> Vec<String> {
        let (here, everywhere) = (self.local(), self.cluster());
        match (local && !here.is_empty(), self.uses_cluster()) {
            (true, _) => here,
            (false, true) => everywhere,
            (false, false) => Vec::new(),
        }
    }
}

fn ipvs_face(face: Face<'_>, servers: &mut String, members: &mut Members, bound: &mut BTreeSet<IpAddr>) {
    let Face { service, port, .. } = face;
    let (protocol, number) = (port.protocol, port.number);
    let mut server = |ip: IpAddr, number: u16, local: bool| {
        let (option, at) = (
            match protocol {
                Protocol::Udp => "-u",
                Protocol::Sctp => "--sctp-service",
                _ => "-t",
            },
            socket(ip, number),
        );
        let persistent = service.affinity.map_or_else(String::new, |seconds| format!(" -p {seconds}"));
        let _ = writeln!(servers, "-A {option} {at} -s rr{persistent}");
        for real in face.real_servers(local) {
            let _ = writeln!(servers, "-a {option} {at} -r {real} -m -w 1");
        }
    };
    let at = |ip: IpAddr| format!("{ip},{protocol}:{number}");
    for endpoint in face.local() {
        let real = endpoint.parse::<std::net::SocketAddr>().expect("a socket address");
        members.add("LOOP-BACK", format!("{0},{protocol}:{1},{0}", real.ip(), real.port()));
    }
    let own = face.cluster_ip();
    members.add("CLUSTER-IP", at(own));
    server(own, number, service.internal_local);
    for ip in face.external_ips() {
        members.add(if service.external_local { "EXTERNAL-IP-LOCAL" } else { "EXTERNAL-IP" }, at(*ip));
        server(*ip, number, service.external_local);
    }
    for ip in face.balancers() {
        members.add("LOAD-BALANCER", at(*ip));
        if service.external_local {
            members.add("LOAD-BALANCER-LOCAL", at(*ip));
        }
        for range in face.ranges() {
            members.add("LOAD-BALANCER-FW", at(*ip));
            members.add("LOAD-BALANCER-SOURCE-CIDR", format!("{},{range}", at(*ip)));
        }
        if members.sets.get("LOAD-BALANCER-FW").is_some_and(|set| set.contains(&at(*ip))) {
            let protocol = match protocol {
                Protocol::Udp => 17,
                Protocol::Sctp => 132,
                _ => 6,
            };
            members.fenced.push((*ip, protocol, number));
        }
        server(*ip, number, service.external_local);
    }
    for ip in std::iter::once(&own).chain(face.external_ips()).chain(face.balancers()) {
        members.add("IPVS-IPS", ip.to_string());
        bound.insert(*ip);
    }
    if let Some(number) = port.on_node {
        let node: IpAddr = node_ip(face.family).parse().expect("an address");
        let (member, [all, local]) = match protocol {
            Protocol::Udp => (number.to_string(), ["NODE-PORT-UDP", "NODE-PORT-LOCAL-UDP"]),
            Protocol::Sctp => (format!("{node},sctp:{number}"), ["NODE-PORT-SCTP-HASH", "NODE-PORT-LOCAL-SCTP-HASH"]),
            _ => (number.to_string(), ["NODE-PORT-TCP", "NODE-PORT-LOCAL-TCP"]),
        };
        if service.external_local {
            members.add(local, member.clone());
        }
        members.add(all, member);
        server(node, number, service.external_local);
    }
    if let Some(number) = service.health_check_port {
        members.add("HEALTH-CHECK-NODE-PORT", number.to_string());
    }
}
