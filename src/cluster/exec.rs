//! Pods on nodes in which commands are run: kube-proxy's own, or one that was named.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use serde::Deserialize;

use super::api::Api;
use super::list::{paged, query, segment};
use super::live::Server;
use super::problem::{Problem, Trouble};
use crate::dataplane::nearest;
use crate::order::Order as _;
use crate::shell;

/// Where kube-proxy runs as Pods.
const NAMESPACE: &str = "kube-system";

/// How kube-proxy's Pods are labelled: kubeadm and most others, then managed clusters that run it as a static Pod.
const LABELS: [(&str, &str); 2] = [("k8s-app", "kube-proxy"), ("component", "kube-proxy")];

/// Its container, and the DaemonSet that owns its Pods.
const NAME: &str = "kube-proxy";

/// A container on a node in which commands are run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Namespace of the Pod.
    pub namespace: String,
    /// The Pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// The node it runs on.
    pub node: String,
    /// The version of kube-proxy that its image is tagged with; `None` where it is another program's.
    pub version: Option<String>,
}

/// Why commands cannot be run on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NoPlace {
    /// One line.
    pub what: String,
    /// What to try.
    pub hints: Vec<String>,
}

/// A node with its place, or why it has none.
pub type OnNode = (String, Result<Place, NoPlace>);

/// How a command in a Pod ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// With this exit status, having printed and said this.
    Exit(i32, Vec<u8>, Vec<u8>),
    /// The container has no such program.
    Absent,
    /// It was not run.
    Failed(String),
}

impl Api {
    /// kube-proxy's container on the node.
    pub fn place_on(&self, node: &str) -> Result<Place, NoPlace> {
        let selector = query(&[("fieldSelector", &format!("spec.nodeName={node}"))]);
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods?{selector}");
        let list = self.server.get(&path).and_then(|text| parsed::<List>(&text));
        let list = list.map_err(|trouble| no_pods(&trouble, &self.server))?;
        let proxies: Vec<Pod> = list.items.into_iter().filter(Pod::is_kube_proxy).collect();
        match usable(&proxies, node) {
            Some(place) => place,
            None => Err(self.without_kube_proxy(node)),
        }
    }

    /// kube-proxy's container on every node that has one, by node.
    pub fn places(&self) -> Result<Vec<OnNode>, NoPlace> {
        let path = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        let list = |selector: &[(&str, &str)]| {
            paged(&self.server, &path, selector, |text, pods: &mut Vec<Pod>| {
                let page = parsed::<List>(text)?;
                pods.extend(page.items.into_iter().filter(Pod::is_kube_proxy));
                Ok(page.metadata.next.filter(|next| !next.is_empty()))
            })
            .map_err(|trouble| no_pods(&trouble, &self.server))
        };
        let mut pods = Vec::new();
        for (label, value) in LABELS {
            let selector = format!("{label}={value}");
            pods.append(&mut list(&[("labelSelector", &selector)])?);
        }
        if pods.is_empty() {
            pods = list(&[])?;
        }
        pods.order_by(|a, b| (&a.spec.node_name, &a.metadata.name).cmp(&(&b.spec.node_name, &b.metadata.name)));
        let nodes = pods.chunk_by(|a, b| a.spec.node_name == b.spec.node_name);
        let of_node = |pods: &[Pod]| {
            let node = pods.first()?.spec.node_name.clone()?;
            usable(pods, &node).map(|place| (node, place))
        };
        Ok(nodes.filter_map(of_node).collect())
    }

    /// The container of a Pod that was named; its first one where none is.
    pub fn place_in(&self, namespace: &str, name: &str, container: Option<&str>) -> Result<Place, NoPlace> {
        let path = format!("/api/v1/namespaces/{}/pods/{}", segment(namespace), segment(name));
        let pod: Pod = match self.server.get(&path).and_then(|text| parsed(&text)) {
            Ok(pod) => pod,
            Err(Trouble::Status { code: 404, .. }) => {
                let hints = vec![format!("kubectl -n {} get pods -o wide", shell::word(namespace))];
                return Err(NoPlace { what: format!("there is no Pod {namespace}/{name}"), hints });
            }
            Err(trouble) => return Err(no_pods(&trouble, &self.server)),
        };
        let node = pod.spec.node_name.clone().unwrap_or_default();
        if pod.spec.host_network != Some(true) {
            let what = format!(
                "Pod {namespace}/{name} has a network of its own: the rules it sees are not those of node {node}"
            );
            return Err(NoPlace { what, hints: make_one(&node) });
        }
        let known: Vec<&str> = pod.spec.containers.iter().map(|container| container.name.as_str()).collect();
        if let Some(wanted) = container.filter(|wanted| !known.contains(wanted)) {
            let what = format!("Pod {namespace}/{name} has no container '{wanted}', only {}", known.join(", "));
            return Err(NoPlace { what, hints: Vec::new() });
        }
        pod.place(&node, container)
    }

    /// Runs a command in a container to its end.
    pub fn exec(&self, place: &Place, argv: &[&str]) -> Result<End, NoPlace> {
        let ended = self.server.exec((&place.namespace, &place.pod, &place.container), argv);
        let ended = ended.map_err(|trouble| not_run(&trouble, &self.server, place))?;
        Ok(match exit(&ended.status) {
            Some(127) => End::Absent,
            Some(code) if is_absent(&String::from_utf8_lossy(&ended.stderr)) && code == 126 => End::Absent,
            Some(code) => End::Exit(code, ended.stdout, ended.stderr),
            None => {
                let said = ended.status.message.unwrap_or_default();
                if is_absent(&said) { End::Absent } else { End::Failed(said) }
            }
        })
    }

    /// No Pod of kube-proxy runs there; perhaps the node does not exist.
    fn without_kube_proxy(&self, node: &str) -> NoPlace {
        if let Err(Trouble::Status { code: 404, .. }) = self.server.get(&format!("/api/v1/nodes/{}", segment(node))) {
            let names = self.server.get("/api/v1/nodes").and_then(|text| parsed::<List>(&text)).unwrap_or_default();
            let names: Vec<String> = names.items.into_iter().filter_map(|node| node.metadata.name).collect();
            let near = nearest(node, names.iter().map(String::as_str));
            let hints = near.first().map(|near| format!("--node {}", shell::word(near))).into_iter().collect();
            return NoPlace { what: format!("no Node is called '{node}' in {}", self.server.url), hints };
        }
        let what = format!(
            "no kube-proxy Pod runs on node {node}: none in {NAMESPACE} is labelled {} or owned by DaemonSet {NAME}",
            LABELS.map(|(label, value)| format!("{label}={value}")).join(" or ")
        );
        let mut hints = vec![
            "--via NAMESPACE/POD    (any Pod of the node with host network and iptables, as the network plugin's)"
                .to_owned(),
        ];
        hints.extend(make_one(node));
        NoPlace { what, hints }
    }
}

/// How to get a Pod in which a node's rules can be listed.
fn make_one(node: &str) -> Vec<String> {
    vec![format!(
        "kubectl debug {} --profile=netadmin --image=nicolaka/netshoot -- sleep 1h    (makes one; then --via default/node-debugger-…)",
        shell::word(&format!("node/{node}"))
    )]
}

/// The place in the first of a node's Pods that can run commands; else why the first cannot. `None` without Pods.
fn usable(pods: &[Pod], node: &str) -> Option<Result<Place, NoPlace>> {
    let mut places = pods.iter().map(|pod| pod.place(node, None));
    let first = places.next()?;
    if first.is_ok() {
        return Some(first);
    }
    Some(places.find(Result::is_ok).unwrap_or(first))
}

/// Pods could not be read.
fn no_pods(trouble: &Trouble, server: &Server) -> NoPlace {
    if let Trouble::Status { code: 403, message } = trouble {
        return NoPlace {
            what: format!("the API server forbids to find kube-proxy's Pods: {message}"),
            hints: vec![format!(
                "allow {{apiGroups: [\"\"], resources: [\"pods\"], verbs: [\"get\", \"list\"]}} in {NAMESPACE}; {RIGHTS}"
            )],
        };
    }
    of_problem(trouble, server)
}

/// A command could not be run, or not to its end.
fn not_run(trouble: &Trouble, server: &Server, place: &Place) -> NoPlace {
    let Place { namespace, pod, node, .. } = place;
    match trouble {
        Trouble::Status { code: 403, message } => NoPlace {
            what: format!("the API server forbids to run commands in Pod {namespace}/{pod}: {message}"),
            hints: vec![format!(
                "allow {{apiGroups: [\"\"], resources: [\"pods/exec\"], verbs: [\"get\", \"create\"]}} in {namespace}; {RIGHTS}"
            )],
        },
        Trouble::Cut(why) => NoPlace {
            what: format!(
                "the rules of node {node} came only in part and were not used: the stream from Pod {namespace}/{pod} was cut: {why}"
            ),
            hints: vec![
                "run it again; if it stays so, a proxy between here and the API server may end long streams".to_owned(),
            ],
        },
        Trouble::Silent(_) => {
            let mut problem = of_problem(trouble, server);
            problem.what = format!("{} (listing the rules of node {node} in Pod {namespace}/{pod})", problem.what);
            problem
        }
        other => of_problem(other, server),
    }
}

const RIGHTS: &str = "kube-ipt manifest rbac --exec prints all that is needed";

fn of_problem(trouble: &Trouble, server: &Server) -> NoPlace {
    let problem = Problem::with_server(trouble, server.at());
    NoPlace { what: problem.what, hints: problem.hint.into_iter().collect() }
}

/// The exit status in what the kubelet says of a command's end (client-go's remotecommand reads it the same way); `None`
/// where the command was not run.
fn exit(status: &Status) -> Option<i32> {
    if status.status.as_deref() == Some("Success") {
        return Some(0);
    }
    let causes = status.details.as_ref()?.causes.as_ref()?;
    let cause = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"))?;
    cause.message.as_deref()?.parse().ok()
}

/// True if a runtime says so that it found no such program.
fn is_absent(said: &str) -> bool {
    said.contains("executable file not found") || said.contains("no such file or directory")
}

fn parsed<T: serde::de::DeserializeOwned>(text: &str) -> Result<T, Trouble> {
    serde_json::from_str(text).map_err(|error| Trouble::Nonsense(error.to_string()))
}

/// The part of a PodList, or NodeList, that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct List {
    metadata: Page,
    items: Vec<Pod>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Page {
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// The part of a Pod, or of any object by its name, that is read.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pod {
    metadata: PodMeta,
    spec: PodSpec,
    status: PodStatus,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodMeta {
    name: Option<String>,
    namespace: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
    deletion_timestamp: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Owner {
    kind: String,
    name: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct PodSpec {
    node_name: Option<String>,
    host_network: Option<bool>,
    containers: Vec<Container>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    name: String,
    image: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodStatus {
    phase: Option<String>,
    conditions: Option<Vec<Condition>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Condition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
    message: Option<String>,
}

impl Pod {
    fn is_kube_proxy(&self) -> bool {
        let labels = self.metadata.labels.as_ref();
        let labelled =
            |(label, value): (&str, &str)| labels.and_then(|labels| labels.get(label)).is_some_and(|own| own == value);
        let mut owners = self.metadata.owner_references.iter().flatten();
        LABELS.into_iter().any(labelled) || owners.any(|owner| owner.kind == "DaemonSet" && owner.name == NAME)
    }

    /// The container in which commands are run: the one that was named, kube-proxy's, the first.
    fn place(&self, node: &str, wanted: Option<&str>) -> Result<Place, NoPlace> {
        let namespace = self.metadata.namespace.clone().unwrap_or_default();
        let pod = self.metadata.name.clone().unwrap_or_default();
        let conditions = self.status.conditions.iter().flatten();
        let unready = conditions.filter(|condition| condition.kind == "Ready").find(|ready| ready.status != "True");
        let phase = self.status.phase.as_deref().unwrap_or("unknown");
        let why = if self.metadata.deletion_timestamp.is_some() {
            Some("it is being deleted".to_owned())
        } else if phase != "Running" {
            Some(format!("its phase is {phase}"))
        } else {
            unready.map(|ready| ready.message.clone().unwrap_or_else(|| "it is not ready".to_owned()))
        };
        if let Some(why) = why {
            let what = format!("Pod {namespace}/{pod} of node {node} cannot run commands: {why}");
            let mut hints = vec![format!("kubectl -n {} describe pod {}", shell::word(&namespace), shell::word(&pod))];
            hints.extend(make_one(node));
            return Err(NoPlace { what, hints });
        }
        let containers = &self.spec.containers;
        let named = |name: &str| containers.iter().find(|container| container.name == name);
        let container = wanted.or(named(NAME).map(|_| NAME)).and_then(named).or(containers.first());
        let Some(container) = container else {
            return Err(NoPlace { what: format!("Pod {namespace}/{pod} has no container"), hints: Vec::new() });
        };
        let image = container.image.as_deref().unwrap_or_default();
        let version = image.contains(NAME).then(|| version(image)).flatten();
        Ok(Place { namespace, pod, container: container.name.clone(), node: node.to_owned(), version })
    }
}

/// The version in an image's tag: `v1.34.2` of `registry/kube-proxy:v1.34.2-eksbuild.1@sha256:…`.
fn version(image: &str) -> Option<String> {
    let tagged = image.split('@').next()?;
    let (_, tag) = tagged.rsplit('/').next()?.split_once(':')?;
    let is_version = tag.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    is_version.then(|| tag.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(text: &str) -> Pod {
        serde_json::from_str(text).expect("a Pod")
    }

    #[test]
    fn kube_proxy_is_known_by_label_or_owner() {
        assert!(pod(r#"{"metadata":{"labels":{"k8s-app":"kube-proxy"}}}"#).is_kube_proxy());
        assert!(pod(r#"{"metadata":{"labels":{"component":"kube-proxy"}}}"#).is_kube_proxy());
        assert!(pod(r#"{"metadata":{"ownerReferences":[{"kind":"DaemonSet","name":"kube-proxy"}]}}"#).is_kube_proxy());
        assert!(!pod(r#"{"metadata":{"name":"kube-proxy-x","labels":{"k8s-app":"kube-dns"}}}"#).is_kube_proxy());
        assert!(
            !pod(r#"{"metadata":{"ownerReferences":[{"kind":"ReplicaSet","name":"kube-proxy"}]}}"#).is_kube_proxy()
        );
    }

    #[test]
    fn versions_are_in_tags() {
        assert_eq!(version("registry.example/kube-proxy:v1.34.2").as_deref(), Some("v1.34.2"));
        assert_eq!(
            version("h:5000/eks/kube-proxy:v1.29.0-eksbuild.3@sha256:ab").as_deref(),
            Some("v1.29.0-eksbuild.3")
        );
        assert_eq!(version("h:5000/kube-proxy"), None);
        assert_eq!(version("kube-proxy:latest"), None);
    }

    #[test]
    fn the_end_of_a_command_is_its_status() {
        let of = |text: &str| exit(&serde_json::from_str(text).expect("a Status"));
        assert_eq!(of(r#"{"status":"Success"}"#), Some(0));
        let failure = r#"{"status":"Failure","reason":"NonZeroExitCode","message":"command terminated with exit code 4",
            "details":{"causes":[{"reason":"ExitCode","message":"4"}]}}"#;
        assert_eq!(of(failure), Some(4));
        assert_eq!(of(r#"{"status":"Failure","reason":"InternalError","message":"no such container"}"#), None);
    }
}
