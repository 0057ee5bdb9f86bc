//! Objects written from facts give the same facts, whatever was read.

use std::net::IpAddr;

use kube_ipt::cluster::{
    Coverage, Endpoint, Facts, Hints, Ingress, Node, NodePorts, Pod, PodRef, Port, ProxyConfig, Saved, Scope, Service,
    ServiceType, Slice, SlicePort, emit,
};
use kube_ipt::dataplane::Policy;
use kube_ipt::net::{Family, Moment, Network, Protocol};
use proptest::collection::{btree_set, vec};
use proptest::option;
use proptest::prelude::*;

use crate::cases::all_in;
use crate::expect::{facts as recorded_facts, objects_of};
use crate::run::nodes;

/// What is read from a text.
fn saved(text: &str) -> Saved {
    let mut saved = Saved::default();
    if !text.is_empty() {
        saved.read("objects", text).expect("objects");
    }
    saved
}

/// The objects of every recording.
fn recorded() -> Vec<Facts> {
    let mut paths: Vec<_> = all_in(&nodes()).iter().map(|case| objects_of(case)).collect();
    paths.push(nodes().join("large/cluster.json.gz"));
    paths.dedup();
    assert!(paths.len() >= 20, "recorded clusters are missing: {paths:?}");
    paths.iter().map(|path| recorded_facts(path)).collect()
}

#[test]
fn every_recorded_cluster_is_read_again_as_it_was() {
    for facts in recorded() {
        let text = emit(&facts);
        assert!(saved(&text).into_facts() == facts, "the lists tell what they cover");
        assert!(saved(&text).into_facts_of(facts.coverage.clone()) == facts);
        assert_eq!(emit(&saved(&text).into_facts()), text);
    }
}

#[test]
fn nothing_is_written_but_what_is_read() {
    let pod = r#"{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web-0", "namespace": "shop",
        "labels": {"secret": "s3cret"}, "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "s3cret"},
        "managedFields": [{"manager": "s3cret"}]}, "spec": {"nodeName": "node1", "containers": [{"image": "s3cret",
        "env": [{"name": "PASSWORD", "value": "s3cret"}]}]}, "status": {"podIPs": [{"ip": "10.0.0.1"}]}}"#;
    let secret = r#"{"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s3cret", "namespace": "shop"}}"#;
    let map = r#"{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": "mode: ipvs\nhostnameOverride: s3cret\nnodePortAddresses: [10.0.0.0/8]\n", "kubeconfig.conf": "s3cret"}}"#;
    let facts = saved(&format!("{pod}\n{secret}\n{map}")).into_facts();
    let text = emit(&facts);
    assert_eq!(
        text.lines().collect::<Vec<_>>(),
        [
            r#"{"apiVersion":"v1","kind":"Pod","metadata":{"namespace":"shop","name":"web-0"},"spec":{"nodeName":"node1"},"status":{"podIPs":[{"ip":"10.0.0.1"}]}}"#,
            r#"{"apiVersion":"v1","kind":"ConfigMap","metadata":{"namespace":"kube-system","name":"kube-proxy"},"data":{"config.conf":"apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: \"ipvs\"\nnodePortAddresses: [primary]\n"}}"#,
        ]
    );
    assert_eq!(saved(&text).into_facts(), facts);
}

#[test]
fn what_is_covered_can_be_kept_beside_the_text() {
    let services = vec![(None, "dns".to_owned()), (Some("shop".to_owned()), "web".to_owned())];
    let coverage = Coverage {
        services: Scope::All,
        endpoints: Scope::Some { namespaces: vec!["infra".to_owned()], services },
        pods: true,
        nodes: false,
        truncated: [("shop".to_owned(), "big".to_owned())].into(),
        left_out: [("shop".to_owned(), "huge".to_owned())].into(),
    };
    let text = serde_json::to_string(&coverage).expect("JSON");
    assert_eq!(
        text,
        r#"{"services":"all","endpoints":{"some":{"namespaces":["infra"],"services":[[null,"dns"],["shop","web"]]}},"pods":true,"nodes":false,"truncated":[["shop","big"]],"leftOut":[["shop","huge"]]}"#
    );
    assert_eq!(serde_json::from_str::<Coverage>(&text).expect("coverage"), coverage);
    // That a list is there and empty is a fact too.
    let empty = Facts { coverage: Coverage { services: Scope::All, ..Coverage::default() }, ..Facts::default() };
    assert_eq!(saved(&emit(&empty)).into_facts_of(empty.coverage.clone()), empty);
}

/// `None` half of the time; names are few, so that they meet.
fn name() -> impl Strategy<Value = String> {
    "[a-c]{1,2}"
}

fn address(family: Family) -> BoxedStrategy<IpAddr> {
    match family {
        Family::Ipv4 => any::<u32>().prop_map(|bits| IpAddr::V4(bits.into())).boxed(),
        Family::Ipv6 => any::<u128>().prop_map(|bits| IpAddr::V6(bits.into())).boxed(),
    }
}

fn family() -> impl Strategy<Value = Family> {
    prop_oneof![Just(Family::Ipv4), Just(Family::Ipv6)]
}

fn any_address() -> impl Strategy<Value = IpAddr> {
    family().prop_flat_map(address)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Tcp), Just(Protocol::Udp), Just(Protocol::Sctp)]
}

fn policy() -> impl Strategy<Value = Policy> {
    prop_oneof![Just(Policy::Cluster), Just(Policy::Local)]
}

fn port() -> impl Strategy<Value = Port> {
    (option::of(name()), protocol(), any::<u16>(), option::of(1..=u16::MAX))
        .prop_map(|(name, protocol, port, node_port)| Port { name, protocol, port, node_port })
}

fn service() -> impl Strategy<Value = Service> {
    let kind = prop_oneof![
        Just(ServiceType::ClusterIp),
        Just(ServiceType::NodePort),
        Just(ServiceType::LoadBalancer),
        Just(ServiceType::ExternalName)
    ];
    let names = (name(), name(), kind, option::of(name()), option::of(name()));
    let ranges = vec((any_address(), 0u8..=32).prop_map(|(ip, bits)| Network::new(ip, bits).expect("a network")), 0..3);
    let ingress = (any_address(), any::<bool>()).prop_map(|(address, proxied)| Ingress { address, proxied });
    let addresses =
        (vec(any_address(), 0..3), vec(family(), 0..3), vec(any_address(), 0..3), vec(ingress, 0..3), ranges);
    let rest = (vec(port(), 0..3), policy(), policy(), option::of(0..=2_147_483_647u32), any::<bool>(), any::<bool>());
    (names, addresses, rest).prop_map(|(names, addresses, rest)| {
        let (namespace, name, service_type, proxy_name, external_name) = names;
        let (cluster_ips, families, external_ips, ingress, source_ranges) = addresses;
        let (ports, internal_policy, external_policy, affinity_seconds, hinted, headless) = rest;
        let cluster_ips = if service_type == ServiceType::ExternalName { Vec::new() } else { cluster_ips };
        Service {
            namespace,
            name,
            service_type,
            cluster_ips,
            headless,
            families,
            external_ips,
            ingress,
            source_ranges,
            ports,
            internal_policy,
            external_policy,
            affinity_seconds,
            hinted,
            proxy_name,
            external_name,
        }
    })
}

fn endpoint(family: Family) -> impl Strategy<Value = Endpoint> {
    let hints = (vec(name(), 0..3), vec(name(), 0..3)).prop_map(|(nodes, zones)| Box::new(Hints { nodes, zones }));
    let conditions = (any::<bool>(), any::<bool>(), any::<bool>());
    let pod = (name(), name()).prop_map(|(namespace, name)| PodRef::new(&namespace, &name));
    (address(family), conditions, option::of(name()), option::of(pod), option::of(hints)).prop_map(
        |(address, (ready, serving, terminating), node, pod, hints)| {
            let node = node.map(Into::into);
            Endpoint { address, ready, serving, terminating, node, pod, hints }
        },
    )
}

fn slice() -> impl Strategy<Value = Slice> {
    let port = (option::of(name()), protocol(), 1..=u16::MAX);
    let port = port.prop_map(|(name, protocol, port)| SlicePort { name, protocol, port }).boxed();
    let changed = option::of((0i64..4_000_000_000).prop_map(Moment)).boxed();
    family().prop_flat_map(move |family| {
        let rest = (vec(port.clone(), 0..3), vec(endpoint(family), 0..4), changed.clone(), any::<bool>());
        (name(), name(), name(), rest).prop_map(
            move |(namespace, name, service, (ports, endpoints, changed, mirrored))| {
                let slice = Slice { namespace, name, service, family, ports, endpoints, changed, mirrored: false };
                if mirrored { mirror(slice) } else { slice }
            },
        )
    })
}

/// What core/v1 Endpoints can say of a slice.
fn mirror(mut slice: Slice) -> Slice {
    for endpoint in &mut slice.endpoints {
        (endpoint.serving, endpoint.terminating, endpoint.hints) = (endpoint.ready, false, None);
    }
    slice.endpoints.sort_by_key(|endpoint| !endpoint.ready);
    Slice { name: slice.service.clone(), changed: None, mirrored: true, ..slice }
}

fn facts() -> impl Strategy<Value = Facts> {
    let pod = (name(), name(), option::of(name()), vec(any_address(), 0..3), any::<bool>(), any::<bool>());
    let pod = pod.prop_map(|(namespace, name, node, addresses, host_network, ended)| {
        let node = node.map(Into::into);
        Pod { pod: PodRef::new(&namespace, &name), node, addresses, host_network, ended }
    });
    let node = (name(), option::of(name()), vec(any_address(), 0..3), vec(name(), 0..3));
    let node = node.prop_map(|(name, zone, addresses, names)| Node { name, zone, addresses, names });
    let proxy = option::of(("[ -~]{0,8}", 0_usize..3));
    let scope = || {
        let some = (vec(name(), 0..3), vec((option::of(name()), name()), 0..3));
        let some = some.prop_map(|(namespaces, services)| Scope::Some { namespaces, services });
        prop_oneof![Just(Scope::Unknown), Just(Scope::All), some]
    };
    let keys = || btree_set((name(), name()), 0..3);
    let coverage = (scope(), scope(), any::<bool>(), any::<bool>(), keys(), keys());
    let coverage = coverage.prop_map(|(services, endpoints, pods, nodes, truncated, left_out)| Coverage {
        services,
        endpoints,
        pods,
        nodes,
        truncated,
        left_out,
    });
    let lists = (vec(service(), 0..5), vec(slice(), 0..8), vec(pod, 0..5), vec(node, 0..4), proxy, coverage);
    lists.prop_map(|(services, slices, pods, nodes, proxy, coverage)| {
        let of = [NodePorts::All, NodePorts::Chosen, NodePorts::Loopback];
        let proxy = proxy.map(|(mode, which): (_, usize)| ProxyConfig { mode, node_ports: of[which % of.len()] });
        ordered(Facts { services, slices, pods, nodes, proxy, coverage, left_out: Vec::new() })
    })
}

/// As lists are: ordered, each object once, and Endpoints only of Services without slices.
fn ordered(mut facts: Facts) -> Facts {
    facts.services.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    facts.services.dedup_by(|a, b| (&a.namespace, &a.name) == (&b.namespace, &b.name));
    facts.pods.sort_by(|a, b| a.pod.cmp(&b.pod));
    facts.pods.dedup_by(|a, b| a.pod == b.pod);
    facts.nodes.sort_by(|a, b| a.name.cmp(&b.name));
    facts.nodes.dedup_by(|a, b| a.name == b.name);
    // A slice has a name of its own in its namespace.
    facts.slices.sort_by(|a, b| (a.mirrored, &a.namespace, &a.name).cmp(&(b.mirrored, &b.namespace, &b.name)));
    facts.slices.dedup_by(|a, b| !a.mirrored && !b.mirrored && (&a.namespace, &a.name) == (&b.namespace, &b.name));
    let own: Vec<(String, String)> = facts.slices.iter().filter(|s| !s.mirrored).map(of_service).collect();
    facts.slices.retain(|slice| !slice.mirrored || (!own.contains(&of_service(slice)) && !slice.endpoints.is_empty()));
    facts.slices.sort_by(|a, b| (&a.namespace, &a.service, &a.name).cmp(&(&b.namespace, &b.service, &b.name)));
    facts
}

fn of_service(slice: &Slice) -> (String, String) {
    (slice.namespace.clone(), slice.service.clone())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_facts_are_read_again_as_they_were(facts in facts()) {
        let text = emit(&facts);
        prop_assert_eq!(saved(&text).into_facts_of(facts.coverage.clone()), facts, "{}", text);
    }
}
