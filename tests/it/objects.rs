//! Saved objects: every form kubectl writes them in, and what is said of those that cannot be read.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use kube_ipt::cluster::{BadObjects, Facts, PodRef, Saved, Scope};
use serde_json::{Value, json};

use crate::run::{kube_ipt, node};

const SAVE: &str = "\n  try:  kubectl get services,endpointslices,pods,nodes -A -o json > FILE";

fn facts(text: &str) -> Facts {
    let mut saved = Saved::default();
    saved.read("text", text).expect("objects");
    saved.into_facts()
}

fn bad(text: &str) -> BadObjects {
    Saved::default().read("text", text).expect_err("no objects")
}

fn recovered(name: &str) -> String {
    fs::read_to_string(node(&format!("seed/recovered/{name}"))).expect("the recording is there")
}

/// A scope that was asked for nothing.
const NOTHING: Scope = Scope::Some { namespaces: Vec::new(), services: Vec::new() };

/// The objects of the recording, each by itself.
fn items() -> Vec<Value> {
    let list: Value = serde_json::from_str(&recovered("cluster.json")).expect("JSON");
    list["items"].as_array().expect("a list").clone()
}

/// A typed list of the objects of one kind, as an API server answers it: items say neither kind nor version.
fn typed_list(kind: &str) -> String {
    let mut items: Vec<Value> = items().into_iter().filter(|item| item["kind"] == kind).collect();
    let version = items[0]["apiVersion"].clone();
    for item in &mut items {
        let fields = item.as_object_mut().expect("an object");
        fields.remove("kind");
        fields.remove("apiVersion");
    }
    json!({"kind": format!("{kind}List"), "apiVersion": version, "metadata": {"resourceVersion": "1"}, "items": items})
        .to_string()
}

#[test]
fn every_form_gives_the_same_facts() {
    let expected = facts(&recovered("cluster.json"));
    assert_eq!(
        [expected.services.len(), expected.slices.len(), expected.pods.len(), expected.nodes.len()],
        [3, 3, 5, 3]
    );
    assert_eq!([&expected.coverage.services, &expected.coverage.endpoints], [&Scope::All, &Scope::All]);
    assert!(expected.coverage.pods && expected.coverage.nodes);
    let yaml = recovered("cluster.yaml");
    let lines: Vec<String> = items().iter().map(Value::to_string).collect();
    let typed: String = ["Service", "EndpointSlice", "Pod", "Node"].map(typed_list).join("\n");
    let documents: Vec<String> = items().iter().map(|item| serde_saphyr::to_string(item).expect("YAML")).collect();
    for (form, text) in [
        ("a list as YAML", yaml.clone()),
        ("with a mark of byte order", format!("\u{feff}{yaml}")),
        ("with the line breaks of Windows", yaml.replace('\n', "\r\n")),
        ("JSON lines", lines.join("\n")),
        ("JSON in a row", lines.join("")),
        ("an array", format!(" [{}] ", lines.join(","))),
        ("typed lists", typed.clone()),
        ("lists in an array", format!("[{}]", typed.replace('\n', ","))),
        ("documents", format!("# saved\n---\n{}\n...\n", documents.join("---\n"))),
        ("twice", format!("{}{}", lines.join("\n"), lines.join("\n"))),
    ] {
        let mut found = facts(&text);
        // Objects that are in no list may have been picked: the same facts, but nothing is proved.
        if ["JSON lines", "JSON in a row", "documents", "twice"].contains(&form) {
            assert_eq!([&found.coverage.services, &found.coverage.endpoints], [&Scope::Unknown, &NOTHING], "{form}");
            found.coverage = expected.coverage.clone();
        }
        assert_eq!(found, expected, "{form}");
    }
}

/// The services of an answer from the recording joined with the objects that `args` name.
fn joined(args: &[&Path]) -> Value {
    let mut run = kube_ipt("show --node node1 -f").arg(node("seed/recovered/save.txt"));
    for path in args {
        run = run.arg("--objects").arg(path);
    }
    run.json()["services"].take()
}

fn gzip(text: &str) -> Vec<u8> {
    let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packer.write_all(text.as_bytes()).expect("memory");
    packer.finish().expect("memory")
}

#[test]
fn files_directories_gzip_and_stdin_are_the_same() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, bytes: &[u8]| -> PathBuf {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a folder")).expect("writable");
        fs::write(&path, bytes).expect("writable");
        path
    };
    let whole = PathBuf::from(node("seed/recovered/cluster.json"));
    let expected = joined(&[&whole]);
    assert_eq!(expected[0]["type"], "ClusterIP");
    let packed = write("all/cluster.json.gz", &gzip(&recovered("cluster.json")));
    assert_eq!(joined(&[&packed]), expected);
    let kinds = ["Service", "EndpointSlice", "Pod", "Node"];
    let files: Vec<PathBuf> =
        kinds.iter().map(|kind| write(&format!("dump/ns/{kind}.json"), typed_list(kind).as_bytes())).collect();
    assert_eq!(joined(&files.iter().map(PathBuf::as_path).collect::<Vec<_>>()), expected);
    assert_eq!(joined(&[&folder.path().join("dump")]), expected);
    let run = kube_ipt("show --node node1 --objects - -f").arg(node("seed/recovered/save.txt"));
    assert_eq!(run.stdin(recovered("cluster.yaml")).json()["services"], expected);

    write("dump/ns/log.txt", b"no objects");
    let note = format!(
        "note: 1 other file in {} was not read: its name is not that of JSON or YAML",
        folder.path().join("dump").display()
    );
    let run = kube_ipt("list --objects").arg(folder.path().join("dump")).arg("-f").arg(node("seed/recovered/save.txt"));
    run.stderr(note).stdout();
}

#[test]
fn other_kinds_are_counted() {
    let other = json!({"kind": "List", "apiVersion": "v1", "items": [
        {"kind": "Deployment", "apiVersion": "apps/v1"}, {"kind": "Deployment", "apiVersion": "apps/v1"},
        {"kind": "Service", "apiVersion": "serving.knative.dev/v1", "metadata": {"name": "web", "namespace": "shop"}},
        {"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop"}, "spec": {}},
    ]});
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("all.json");
    fs::write(&path, other.to_string()).expect("writable");
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    let note = format!(
        "note: {}: objects of other kinds were skipped: 2 Deployment, 1 Service of serving.knative.dev/v1",
        path.display()
    );
    run.stderr(note).stdout();
    fs::write(&path, r#"{"kind": "List", "items": [{"kind": "Deployment", "apiVersion": "apps/v1"}]}"#)
        .expect("writable");
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    let error = |only: &str| {
        format!("error: {} holds no Service, EndpointSlice, Endpoints, Pod or Node: only {only}{SAVE}", path.display())
    };
    run.status(2).stderr(error("1 Deployment")).stdout();
    fs::write(&path, "kind: Service\nmetadata: {name: web, namespace: shop}\n").expect("writable");
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    run.status(2).stderr(error("1 Service without apiVersion")).stdout();
}

#[test]
fn what_cannot_be_read_is_told_with_its_place() {
    let json = recovered("cluster.json");
    let yaml = recovered("cluster.yaml");
    let wrong_json = r#"{"kind": "List", "apiVersion": "v1", "items": [
  {"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "shop", "name": "web"},
   "spec": {"ports": [{"port": "http"}]}}]}"#;
    let wrong_yaml = "---\nkind: List\napiVersion: v1\nitems:\n- kind: Deployment\n- kind: Service\n  apiVersion: v1\n  metadata:\n    \
                      name: web\n    namespace: shop\n  spec:\n    ports:\n    - port: http\n";
    let cut = "items:\n- kind: Service\n  apiVersion: v1\n  metadata: {name: web, namespace: shop}\n---\nkind: Pod\napiVersion: v1\n";
    let no_address = "kind: Pod\napiVersion: v1\n---\nkind: Service\napiVersion: v1\nmetadata:\n  name: web\n  namespace: shop\nspec:\n  \
                      clusterIP: 10.0.0\n";
    let far_port = r#"{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","metadata":{"name":"a","namespace":"b",
        "labels":{"kubernetes.io/service-name":"a"}},"addressType":"IPv4","endpoints":[],"ports":[{"port":70000}]}"#;
    for (text, error) in [
        ("", "text is empty; expected Kubernetes objects"),
        (" \n# nothing\n---\n", "text is empty; expected Kubernetes objects"),
        (&json[..3000], "text line 80 column 41: the text ends in the middle of an object: it was cut off"),
        (&yaml[..3000], "text line 114 column 1: the list ends without saying that it is one: it was cut off"),
        (cut, "text line 5 column 1: the list ends without saying that it is one: it was cut off"),
        (wrong_json, "text line 3 column 37: Service shop/web: invalid type: string \"http\", expected i32"),
        (wrong_yaml, "text line 13 column 13: Service shop/web: invalid type: string \"http\", expected i32"),
        (no_address, "text line 4 column 1: Service shop/web: spec.clusterIPs: '10.0.0' is no IP address"),
        (far_port, "text line 1 column 1: EndpointSlice b/a: ports: 70000 is no port"),
        (
            r#"{"items": [{"metadata": {}}]}"#,
            "text line 1 column 12: an object without kind: this is no output of kubectl",
        ),
        (
            "{\"kind\": \"Serv\nice\"}",
            "text line 2 column 1: not JSON of Kubernetes objects: control character (\\u0000-\\u001F) found while parsing a \
             string",
        ),
        ("a: b\n", "text line 1 column 1: an object without kind: this is no output of kubectl"),
        ("- a\n", "text line 1 column 3: not Kubernetes objects: invalid type: string \"a\", expected an object"),
        (
            "NAMESPACE   NAME   TYPE        CLUSTER-IP\nshop        web    ClusterIP   10.96.0.7\n",
            "text line 1 column 1: text, not Kubernetes objects, which kubectl prints with -o json or -o yaml",
        ),
        (
            &format!("[\"{}\"]", "x".repeat(9000)),
            &format!("text line 1 column 9003: not Kubernetes objects: invalid type: string \"{}…", "x".repeat(178)),
        ),
        (
            r#"[{"kind": "List", "items": [{"kind": "Service", "apiVersion": "v1", "spec": 1}]}]"#,
            "text line 1 column 77: Service: invalid type: integer `1`, expected ServiceSpec",
        ),
        (
            r#"{"kind": "Status", "apiVersion": "v1", "message": "Unauthorized", "code": 401}"#,
            "text holds no objects but what an API server answered: Unauthorized",
        ),
        (
            r#"{"kind": "Service", "apiVersion": "v1"} nonsense"#,
            "text line 1 column 42: not JSON of Kubernetes objects: expected ident",
        ),
    ] {
        assert_eq!(bad(text).to_string(), error, "{}", text.chars().take(60).collect::<String>());
    }
}

#[test]
fn what_is_made_to_hurt_does_not() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let inside = |form: &str| form.replace("DEEP", &deep);
    let object = inside(
        r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"a","namespace":"b"},"x":DEEP,"spec":{"ports":[]}}"#,
    );
    assert_eq!(facts(&object).services.len(), 1, "what is not read may be as deep as it likes");
    for (text, error) in [
        (deep.clone(), "text line 1 column 2: not Kubernetes objects: invalid type: sequence, expected a string"),
        ("[".repeat(100_000), "text line 1 column 100000: the text ends in the middle of an object: it was cut off"),
        (
            inside(r#"{"kind":"Service","apiVersion":"v1","metadata":DEEP}"#),
            "text line 1 column 48: not Kubernetes objects: invalid type: sequence, expected a string",
        ),
        (
            inside("kind: Service\napiVersion: v1\nspec: DEEP\n"),
            "text line 3 column 107: not YAML: it repeats itself or nests more than Kubernetes objects do",
        ),
    ] {
        assert_eq!(bad(&text).to_string(), error);
    }
    let mut laughs = "kind: List\napiVersion: v1\na: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (from, to) in ('a'..='h').zip('b'..='i') {
        let _ = writeln!(laughs, "{to}: &{to} [{}]", vec![format!("*{from}"); 10].join(", "));
    }
    let error = bad(&laughs).to_string();
    assert!(error.ends_with("it repeats itself or nests more than Kubernetes objects do"), "{error}");
}

#[test]
fn a_gzip_that_grows_without_end_is_given_up() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("bomb.json.gz");
    fs::write(&path, gzip(&" ".repeat(70 << 20))).expect("writable");
    let error = format!(
        "error: {} unpacks to more than 64 MiB, which no text of its size does\n  try:  unpack it and look what is in it",
        path.display()
    );
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    run.status(2).stderr(error).stdout();
    fs::write(&path, &gzip(&recovered("cluster.json"))[..900]).expect("writable");
    let run = kube_ipt("list --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    run.status(2)
        .stderr(format!("error: cannot unpack {}: it is cut off: its end is missing", path.display()))
        .stdout();
}

#[test]
fn a_list_of_yaml_that_may_have_been_cut_off_proves_nothing() {
    let service = |namespace: &str, name: &str| {
        format!(
            "- {{kind: Service, apiVersion: v1, metadata: {{name: {name}, namespace: {namespace}}}, spec: {{clusterIP: None}}}}\n"
        )
    };
    let items = service("default", "kubernetes") + &service("shop", "web");
    let scope = |text: &str| {
        let facts = facts(text);
        assert_eq!(facts.services.len(), 2, "{text}");
        facts.coverage.services
    };
    // As kubectl writes it, its kind stands behind the items.
    assert_eq!(scope(&format!("apiVersion: v1\nitems:\n{items}kind: List\n")), Scope::All);
    for text in [items.clone(), format!("kind: List\napiVersion: v1\nitems:\n{items}")] {
        assert_eq!(scope(&text), Scope::Unknown, "{text}");
    }
    // JSON that was cut off cannot be read.
    let object = |namespace: &str, name: &str| json!({"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": namespace, "name": name}, "spec": {"clusterIP": "None"}});
    assert_eq!(scope(&json!([object("default", "kubernetes"), object("shop", "web")]).to_string()), Scope::All);
}

#[test]
fn labels_that_look_like_numbers_stay_text() {
    let yaml = "kind: Service\napiVersion: v1\nmetadata:\n  name: '012'\n  namespace: shop\n  labels:\n    \
                service.kubernetes.io/service-proxy-name: 012\nspec:\n  clusterIP: 10.96.0.1\n";
    let facts = facts(yaml);
    assert_eq!(
        [facts.services[0].name.as_str(), facts.services[0].proxy_name.as_deref().expect("a name")],
        ["012", "012"]
    );
}

#[test]
fn endpoints_stand_in_only_where_a_service_has_no_slices() {
    let endpoints = |name: &str, ip: &str| {
        json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"name": name, "namespace": "shop"},
            "subsets": [{"addresses": [{"ip": ip, "nodeName": "node1",
                "targetRef": {"kind": "Pod", "namespace": "shop", "name": "p"}}],
                "notReadyAddresses": [{"ip": "fd00::9"}], "ports": [{"name": "http", "port": 80}]}]})
    };
    let slice = json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": {"name": "web-1",
        "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}}, "addressType": "IPv4",
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {}}], "ports": [{"name": "http", "port": 80}]});
    let text = format!("{}{}{slice}", endpoints("web", "10.0.0.9"), endpoints("old", "10.0.0.2"));
    let facts = facts(&text);
    let found: Vec<String> = facts
        .slices
        .iter()
        .flat_map(|s| s.endpoints.iter().map(move |e| format!("{} {} ready {}", s.service, e.address, e.ready)))
        .collect();
    assert_eq!(found, ["old 10.0.0.2 ready true", "old fd00::9 ready false", "web 10.0.0.1 ready true"]);
    let mirrored = &facts.slices[0].endpoints[0];
    // Above its limit the endpoints controller leaves some out, and says so.
    let mut many = endpoints("old", "10.0.0.2");
    many["metadata"]["annotations"] = json!({"endpoints.kubernetes.io/over-capacity": "truncated"});
    let listed = self::facts(&json!([endpoints("old", "10.0.0.2")]).to_string());
    assert!(listed.coverage.has_endpoints_of("shop", "old"));
    assert!(!self::facts(&json!([many]).to_string()).coverage.has_endpoints_of("shop", "old"));
    assert_eq!([mirrored.node.as_deref(), mirrored.pod.as_ref().map(PodRef::as_str)], [Some("node1"), Some("shop/p")]);
}

#[test]
fn the_old_version_of_slices_tells_nodes_by_label() {
    let old = r#"{"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1beta1", "addressType": "IPv4",
        "metadata": {"name": "web-1", "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}},
        "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": true},
            "topology": {"kubernetes.io/hostname": "node7", "topology.kubernetes.io/zone": "a"}}], "ports": [{"port": 80}]}"#;
    assert_eq!(facts(old).slices[0].endpoints[0].node.as_deref(), Some("node7"));
}

#[test]
fn one_page_of_a_list_tells_nothing_of_the_others() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/api/services-page1.json");
    let run = kube_ipt("list --node node1 --objects").arg(&path).arg("-f").arg(node("seed/recovered/save.txt"));
    let label = path.display();
    let stderr = format!(
        "note: {label} is one page of a longer list: what is on the others is not known\n\
         note: which endpoints 1 service port should have is not known: not all their EndpointSlices are known to be read"
    );
    let table = run.stderr(stderr).stdout();
    // The page has default/kubernetes, which alone would mean that all Services are there.
    assert!(!table.contains("no such Service"), "{table}");
    assert!(
        table.contains("kube-system/kube-dns:dns      udp               10.96.0.10:53     2          ok"),
        "{table}"
    );
}

#[test]
fn a_list_without_items_is_empty_in_every_form() {
    // Go writes null for an empty list.
    for items in ["items: []", "items: null", "items:", "more: 1"] {
        let text = format!("apiVersion: v1\nkind: ServiceList\nmetadata: {{continue: more}}\n{items}\n");
        let value: Value = serde_saphyr::from_str(&text).expect("YAML");
        assert_eq!(facts(&text), facts(&value.to_string()), "{items}");
    }
}

#[test]
fn kube_proxys_configuration_tells_the_mode() {
    let map = json!({"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "kube-proxy", "namespace": "kube-system"},
        "data": {"config.conf": "apiVersion: kubeproxy.config.k8s.io/v1alpha1\nkind: KubeProxyConfiguration\nmode: ipvs\n"}});
    assert_eq!(facts(&map.to_string()).proxy.expect("configured").mode, "ipvs");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("config.json");
    fs::write(&path, map.to_string()).expect("writable");
    let note = "note: kube-proxy is configured for IPVS mode (ConfigMap kube-system/kube-proxy), and the rules here are those of its \
                iptables mode";
    let run =
        kube_ipt("list --node node1 --objects").arg(&path).arg("--objects").arg(node("seed/recovered/cluster.json"));
    run.arg("-f").arg(node("seed/recovered/save.txt")).stderr(note).stdout();
}

#[test]
fn files_that_cannot_be_read_are_errors() {
    let rules = node("seed/recovered/save.txt");
    let error = "error: cannot read /nonexistent/objects: no such file or directory";
    kube_ipt("list --objects /nonexistent/objects -f").arg(&rules).status(2).stderr(error).stdout();
    let folder = tempfile::tempdir().expect("a folder");
    let error = format!(
        "error: {} holds no file of objects: none ends in .json, .jsonl, .yaml or .yml{SAVE}",
        folder.path().display()
    );
    kube_ipt("list --objects").arg(folder.path()).arg("-f").arg(&rules).status(2).stderr(error).stdout();
    let error = format!(
        "error: {rules} holds rules, not Kubernetes objects\n  try:  -f {rules}    (rules), and --objects FILE    (objects)"
    );
    kube_ipt("list --objects").arg(&rules).arg("-f").arg(&rules).status(2).stderr(error).stdout();
    let error = "error: - was given 2 times, but standard input can be read only once\n  try:  give every other dump or list of objects \
                 as a file";
    kube_ipt("list --objects - -f -").stdin("").status(2).stderr(error).stdout();
}

/// The objects of `--demo` are the recorded ones, so far as anything is read of them: what is not takes time whenever the demo is
/// shown. `UPDATE_DEMO=1 cargo test` writes them anew.
#[test]
fn the_demo_has_the_objects_that_were_recorded() {
    for name in ["in-sync", "stale"] {
        let text = fs::read_to_string(node(&format!("seed/{name}/cluster.json"))).expect("the recording is there");
        let recorded = facts(&text);
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/demo/{name}.json"));
        if std::env::var_os("UPDATE_DEMO").is_some() {
            let mut value = json!({"objects": serde_json::from_str::<Value>(&text).expect("JSON")});
            let same = |value: &Value| {
                let mut saved = Saved::default();
                saved.read("text", &value["objects"].to_string()).is_ok() && saved.into_facts() == recorded
            };
            without_what_is_not_read(&mut value, "/objects", &same);
            fs::write(&path, value["objects"].to_string() + "\n").expect("writable");
        }
        assert_eq!(facts(&fs::read_to_string(&path).expect("the demo is there")), recorded, "{name}");
    }
}

/// Takes fields and items out of what stands at `at` as long as it stays the same.
fn without_what_is_not_read(value: &mut Value, at: &str, same: &impl Fn(&Value) -> bool) {
    let names: Vec<String> = match value.pointer(at) {
        Some(Value::Object(fields)) => fields.keys().cloned().collect(),
        Some(Value::Array(items)) => (0..items.len()).rev().map(|n| n.to_string()).collect(),
        _ => return,
    };
    for name in names {
        let mut without = value.clone();
        match without.pointer_mut(at) {
            Some(Value::Object(fields)) => _ = fields.remove(&name),
            Some(Value::Array(items)) => _ = items.remove(name.parse().expect("a number")),
            _ => unreachable!("it was one of these"),
        }
        if same(&without) {
            *value = without;
        } else {
            let inside = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
            without_what_is_not_read(value, &inside, same);
        }
    }
}
