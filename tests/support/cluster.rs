//! The API server of a cluster of any size, that of the dumps in `generate.rs`: lists as a real one writes them, managed fields
//! included, in pages and packed, and what kubectl asks before it lists.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};

use flate2::Compression;
use flate2::write::GzEncoder;

/// Lists shorter than this are not packed (`defaultGzipThresholdBytes`, k8s.io/apiserver).
const WORTH_PACKING: usize = 128 * 1024;

/// What the server knows.
pub(crate) struct Cluster {
    services: Vec<String>,
    slices: Vec<String>,
    /// Answers that were made before, so that a measurement is one of the client.
    made: Mutex<HashMap<(String, bool), Arc<Answer>>>,
}

/// An answer: status and body, which may be packed.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) is_packed: bool,
}

impl Cluster {
    /// One with `services` Services of `endpoints` endpoints each, a hundred in a slice.
    pub(crate) fn new(services: usize, endpoints: usize) -> Self {
        let all = (1..=services).map(|n| (n, format!("svc-{:05}", n - 1)));
        let mut made: Vec<String> = all.clone().map(|(n, name)| service(n, "big", &name, "http")).collect();
        // Every cluster has it.
        made.push(service(0, "default", "kubernetes", "https"));
        let mut slices = vec![slice("default", "kubernetes", "https", 6443, 0, [0x0ac8_0001])];
        for (n, name) in all {
            let addresses: Vec<usize> = (0..endpoints).map(|e| 0x0a80_0000 + (n - 1) * endpoints + e).collect();
            slices.extend(
                addresses
                    .chunks(100)
                    .enumerate()
                    .map(|(part, some)| slice("big", &name, "http", 8080, part, some.iter().copied())),
            );
        }
        Self { services: made, slices, made: Mutex::default() }
    }

    /// The answer to a GET of `/path?query`, packed if the client takes that.
    pub(crate) fn answer(&self, target: &str, takes_packed: bool) -> Arc<Answer> {
        let key = (target.to_owned(), takes_packed);
        let known = self.made.lock().expect("no thread failed").get(&key).map(Arc::clone);
        known.unwrap_or_else(|| {
            let new = Arc::new(self.make(target, takes_packed));
            self.made.lock().expect("no thread failed").insert(key, Arc::clone(&new));
            new
        })
    }

    fn make(&self, target: &str, takes_packed: bool) -> Answer {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let text = match path {
            "/api" => r#"{"kind":"APIVersions","versions":["v1"]}"#.to_owned(),
            "/apis" => GROUPS.to_owned(),
            "/api/v1" => resources("v1", &[("services", "Service", "svc", true), ("nodes", "Node", "no", false)]),
            "/apis/discovery.k8s.io/v1" => {
                resources("discovery.k8s.io/v1", &[("endpointslices", "EndpointSlice", "eps", true)])
            }
            "/api/v1/services" => list("ServiceList", "v1", &self.services, query),
            "/apis/discovery.k8s.io/v1/endpointslices" => {
                list("EndpointSliceList", "discovery.k8s.io/v1", &self.slices, query)
            }
            // None has an address that is asked about.
            "/api/v1/pods" => list("PodList", "v1", &[], query),
            "/api/v1/nodes/node-0" => NODE.to_owned(),
            _ => {
                let body = br#"{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","message":"not found","code":404}"#;
                return Answer { status: 404, body: body.to_vec(), is_packed: false };
            }
        };
        let is_packed = takes_packed && text.len() > WORTH_PACKING;
        let body = if is_packed { packed(text.as_bytes()) } else { text.into_bytes() };
        Answer { status: 200, body, is_packed }
    }
}

/// As k8s.io/apiserver packs, at level 4.
fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(4));
    encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("memory")
}

/// A page of a list. From the watch cache (`resourceVersion=0`) a real server gives the whole, whatever the limit says.
fn list(kind: &str, version: &str, items: &[String], query: &str) -> String {
    let part = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    let number = |name: &str| part(name).and_then(|text| text.parse::<usize>().ok());
    let from = number("continue").unwrap_or_default();
    let limit = number("limit").filter(|limit| *limit > 0 && part("resourceVersion") != Some("0"));
    let to = limit.map_or(items.len(), |limit| items.len().min(from + limit));
    let rest = items.len() - to;
    let next = if rest > 0 { format!(r#","continue":"{to}","remainingItemCount":{rest}"#) } else { String::new() };
    let items = items[from..to].join(",");
    format!(
        r#"{{"kind":"{kind}","apiVersion":"{version}","metadata":{{"resourceVersion":"9000000"{next}}},"items":[{items}]}}"#
    ) + "\n"
}

fn ip(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(u32::try_from(number).expect("room for the addresses"))
}

/// A number that looks like chance, as names and uids do, which are hard to pack (splitmix64).
fn chance(of: usize) -> u64 {
    let mut z = (of as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn uid(n: usize) -> String {
    let (one, other) = (chance(2 * n), chance(2 * n + 1));
    let part = |shift: u32| (one >> shift) & 0xffff;
    format!(
        "{:08x}-{:04x}-4{:03x}-8{:03x}-{:012x}",
        one >> 32,
        part(16),
        part(0) >> 4,
        other >> 52,
        other & 0xffff_ffff_ffff
    )
}

fn service(n: usize, namespace: &str, name: &str, port: &str) -> String {
    let (ip, uid, version) = (ip(0x0a60_0000 + n), uid(n), 100_000 + n);
    format!(
        r#"{{"metadata":{{"name":"{name}","namespace":"{namespace}","uid":"{uid}","resourceVersion":"{version}","creationTimestamp":"2026-03-01T08:00:00Z","labels":{{"app":"{name}","team":"payments"}},"managedFields":[{{"manager":"kubectl-client-side-apply","operation":"Update","apiVersion":"v1","time":"2026-03-01T08:00:00Z","fieldsType":"FieldsV1","fieldsV1":{{"f:metadata":{{"f:annotations":{{".":{{}},"f:kubectl.kubernetes.io/last-applied-configuration":{{}}}},"f:labels":{{".":{{}},"f:app":{{}},"f:team":{{}}}}}},"f:spec":{{"f:internalTrafficPolicy":{{}},"f:ports":{{".":{{}},"k:{{\"port\":80,\"protocol\":\"TCP\"}}":{{".":{{}},"f:name":{{}},"f:port":{{}},"f:protocol":{{}},"f:targetPort":{{}}}}}},"f:selector":{{}},"f:sessionAffinity":{{}},"f:type":{{}}}}}}}}],"annotations":{{"kubectl.kubernetes.io/last-applied-configuration":"{{\"apiVersion\":\"v1\",\"kind\":\"Service\",\"metadata\":{{\"labels\":{{\"app\":\"{name}\",\"team\":\"payments\"}},\"name\":\"{name}\",\"namespace\":\"{namespace}\"}},\"spec\":{{\"ports\":[{{\"name\":\"{port}\",\"port\":80,\"targetPort\":8080}}],\"selector\":{{\"app\":\"{name}\"}}}}}}\n"}}}},"spec":{{"ports":[{{"name":"{port}","protocol":"TCP","port":80,"targetPort":8080}}],"selector":{{"app":"{name}"}},"clusterIP":"{ip}","clusterIPs":["{ip}"],"type":"ClusterIP","sessionAffinity":"None","ipFamilies":["IPv4"],"ipFamilyPolicy":"SingleStack","internalTrafficPolicy":"Cluster"}},"status":{{"loadBalancer":{{}}}}}}"#
    )
}

fn slice(
    namespace: &str,
    service: &str,
    port: &str,
    number: u16,
    nth: usize,
    addresses: impl IntoIterator<Item = usize>,
) -> String {
    let first = format!("{service}-{nth:05x}");
    let mut endpoints = String::new();
    for (e, address) in addresses.into_iter().enumerate() {
        let (ip, node, zone) = (ip(address), address % 100, address % 3);
        let (comma, uid, pod) = (if e > 0 { "," } else { "" }, uid(address), chance(address) & 0xf_ffff);
        let _ = write!(
            endpoints,
            r#"{comma}{{"addresses":["{ip}"],"conditions":{{"ready":true,"serving":true,"terminating":false}},"targetRef":{{"kind":"Pod","namespace":"{namespace}","name":"{service}-7d4b9c6f5-{pod:05x}","uid":"{uid}"}},"nodeName":"node-{node}","zone":"zone-{zone}"}}"#
        );
    }
    let own = uid(first.bytes().fold(nth, |sum, byte| (sum * 31 + usize::from(byte)) & 0xffff_ffff));
    format!(
        r#"{{"metadata":{{"name":"{first}","generateName":"{service}-","namespace":"{namespace}","uid":"{own}","resourceVersion":"8000000","generation":7,"creationTimestamp":"2026-03-01T08:00:00Z","labels":{{"app":"{service}","endpointslice.kubernetes.io/managed-by":"endpointslice-controller.k8s.io","kubernetes.io/service-name":"{service}","team":"payments"}},"annotations":{{"endpoints.kubernetes.io/last-change-trigger-time":"2026-03-01T08:00:05Z"}},"ownerReferences":[{{"apiVersion":"v1","kind":"Service","name":"{service}","uid":"{own}","controller":true,"blockOwnerDeletion":true}}],"managedFields":[{{"manager":"kube-controller-manager","operation":"Update","apiVersion":"discovery.k8s.io/v1","time":"2026-03-01T08:00:05Z","fieldsType":"FieldsV1","fieldsV1":{{"f:addressType":{{}},"f:endpoints":{{}},"f:metadata":{{"f:annotations":{{".":{{}},"f:endpoints.kubernetes.io/last-change-trigger-time":{{}}}},"f:generateName":{{}},"f:labels":{{".":{{}},"f:app":{{}},"f:endpointslice.kubernetes.io/managed-by":{{}},"f:kubernetes.io/service-name":{{}},"f:team":{{}}}},"f:ownerReferences":{{".":{{}},"k:{{\"uid\":\"{own}\"}}":{{}}}}}},"f:ports":{{}}}}}}]}},"addressType":"IPv4","endpoints":[{endpoints}],"ports":[{{"name":"{port}","protocol":"TCP","port":{number}}}]}}"#
    )
}

fn resources(version: &str, all: &[(&str, &str, &str, bool)]) -> String {
    let one = |(plural, kind, short, namespaced): &(&str, &str, &str, bool)| {
        let singular = kind.to_lowercase();
        format!(
            r#"{{"name":"{plural}","singularName":"{singular}","namespaced":{namespaced},"kind":"{kind}","verbs":["get","list","watch"],"shortNames":["{short}"]}}"#
        )
    };
    let all: Vec<String> = all.iter().map(one).collect();
    format!(
        r#"{{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"{version}","resources":[{}]}}"#,
        all.join(",")
    )
}

const GROUPS: &str = r#"{"kind":"APIGroupList","apiVersion":"v1","groups":[{"name":"discovery.k8s.io","versions":[{"groupVersion":"discovery.k8s.io/v1","version":"v1"}],"preferredVersion":{"groupVersion":"discovery.k8s.io/v1","version":"v1"}}]}"#;

const NODE: &str = r#"{"kind":"Node","apiVersion":"v1","metadata":{"name":"node-0","labels":{"topology.kubernetes.io/zone":"zone-0"}},"status":{"addresses":[{"type":"InternalIP","address":"10.0.0.1"}]}}"#;
