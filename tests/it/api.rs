//! The API server as a source: which requests are sent, and what is said when there is no answer.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;

use serde_json::Value;

use crate::run::{Run, kube_ipt, node};
use crate::stand_in::{Reply, StandIn, greeted, ok, recorded, seed, status};

fn rules() -> String {
    node("seed/recovered/save.txt")
}

fn stale() -> String {
    node("seed/stale/save.txt")
}

/// `run` with the rules of the recorded node.
fn on_node1(run: Run) -> Run {
    run.arg("--node").arg("node1").arg("-f").arg(rules())
}

/// The services of an answer as JSON.
fn services(run: Run) -> Value {
    run.json()["services"].clone()
}

#[test]
fn a_service_costs_three_requests() {
    let server = StandIn::new(seed);
    let live = services(on_node1(server.run("show nginx-demo/nginx-service")));
    let saved =
        kube_ipt("show nginx-demo/nginx-service --node node1 --objects").arg(node("seed/recovered/cluster.json"));
    assert_eq!(live, services(saved.arg("-f").arg(rules())));
    let expected = [
        "GET /api/v1/namespaces/nginx-demo/services/nginx-service",
        "GET /api/v1/nodes/node1",
        "GET /apis/discovery.k8s.io/v1/namespaces/nginx-demo/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dnginx-service&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
    assert!(server.requests().iter().all(|asked| asked.headers["authorization"] == "Bearer t0k3n"));
}

#[test]
fn a_name_without_namespace_is_selected_in_all() {
    let server = StandIn::new(seed);
    let document = on_node1(server.run("show nginx-service")).json();
    assert_eq!(document["services"][0]["pools"][0]["endpoints"][0]["state"], "ready");
    assert_eq!(document["source"]["objects"], format!("{}", server.url()));
    let expected = [
        "GET /api/v1/nodes/node1",
        "GET /api/v1/services?fieldSelector=metadata.name%3Dnginx-service&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dnginx-service&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
}

#[test]
fn an_address_asks_for_the_service_the_rules_name() {
    let server = StandIn::new(seed);
    let found = services(on_node1(server.run("show 10.96.101.105")));
    assert_eq!(found[0]["type"], "ClusterIP");
    // All Services, because the address may be another's by now; slices of those that have it.
    let expected = [
        "GET /api/v1/nodes/node1",
        "GET /api/v1/services?limit=500&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/namespaces/nginx-demo/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dnginx-service&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
}

#[test]
fn a_list_asks_for_pages_and_for_no_pods() {
    let server = StandIn::new(seed);
    let live = services(on_node1(server.run("list")));
    let saved = kube_ipt("list --node node1 --objects").arg(node("seed/recovered/cluster.json")).arg("-f").arg(rules());
    assert_eq!(live, services(saved));
    let expected = [
        "GET /api/v1/nodes/node1",
        "GET /api/v1/services?limit=500&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/endpointslices?limit=500&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
    let server = StandIn::new(seed);
    on_node1(server.run("list -n nginx-demo")).output();
    assert!(
        server.asked().contains(&"GET /api/v1/namespaces/nginx-demo/services?limit=500&resourceVersion=0".to_owned())
    );
}

/// The recorded list in pages; the last one has no token.
fn paged(target: &str) -> Reply {
    const TOKEN: &str = "continue=eyJ2IjoibWV0YS5rOHMuaW8vdjEiLCJydiI6MzYzLCJzdGFydCI6Im";
    match target {
        "/api/v1/services?limit=500&resourceVersion=0" => ok(recorded("services-page1.json")),
        _ if target.starts_with("/api/v1/services?limit=500&continue=") => {
            if target.contains(&format!("{TOKEN}RlZmF1bHQv")) {
                ok(recorded("services-page2.json"))
            } else {
                ok(recorded("services.json"))
            }
        }
        _ => seed(target),
    }
}

#[test]
fn pages_are_followed_to_the_end() {
    let server = StandIn::new(paged);
    let live = services(on_node1(server.run("list")));
    assert_eq!(live, services(on_node1(StandIn::new(seed).run("list"))));
    let asked = server.asked();
    let pages: Vec<&String> = asked.iter().filter(|line| line.contains("/services?")).collect();
    assert_eq!(pages.len(), 3, "{pages:?}");
    assert!(pages[..2].iter().all(|line| !line.contains("resourceVersion")), "a token has its own: {pages:?}");
}

#[test]
fn a_list_the_server_forgot_is_read_as_a_whole() {
    let server = StandIn::new(|target| match target {
        _ if target.starts_with("/api/v1/services?limit=500&continue=") => Reply::Body(
            410,
            br#"{"kind":"Status","status":"Failure","reason":"Expired","message":"too old","code":410}"#.to_vec(),
        ),
        _ => paged(target),
    });
    let live = services(on_node1(server.run("list")));
    assert_eq!(live, services(on_node1(StandIn::new(seed).run("list"))));
    let asked = server.asked();
    assert_eq!(
        asked.last().map(String::as_str),
        Some("GET /apis/discovery.k8s.io/v1/endpointslices?limit=500&resourceVersion=0")
    );
    assert!(asked.contains(&"GET /api/v1/services?resourceVersion=0".to_owned()), "{asked:?}");
}

#[test]
fn a_stale_address_is_looked_up() {
    let server = StandIn::new(seed);
    let document = server.run("show nginx-service --node node1 -f").arg(stale()).json();
    let service = &document["services"][0];
    assert_eq!(service["status"], "stale");
    let first = &service["pools"][0]["endpoints"][0];
    assert_eq!([&first["address"], &first["state"], &first["reason"]], ["10.244.1.3:80", "stale", "deleted"]);
    assert_eq!(service["pools"][0]["missing"][0]["address"], "10.244.1.4:80");
    assert_eq!(server.asked()[1], "GET /api/v1/pods?fieldSelector=status.podIP%3D10.244.1.3&resourceVersion=0");
}

#[test]
fn an_address_that_is_now_another_pods_says_whose() {
    let slices = String::from_utf8(recorded("endpointslices-nginx.json")).expect("text");
    let server = StandIn::new(move |target| {
        if target.contains("endpointslices") { ok(slices.replace("10.244.3.2", "10.244.3.9")) } else { seed(target) }
    });
    let shown = on_node1(server.run("show nginx-service")).stdout();
    assert!(
        shown.contains(
            "10.244.3.2:80  ✗ stale: the address is pod nginx-demo/nginx-deployment-85dbbcff49-d7fks's, no endpoint"
        ),
        "{shown}"
    );
}

#[test]
fn a_pod_is_asked_for_where_no_service_has_the_name() {
    let pod = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web-0","namespace":"nginx-demo"},
        "status":{"podIPs":[{"ip":"10.244.3.2"}]}}"#;
    let server = StandIn::new(move |target| match target {
        "/api/v1/namespaces/nginx-demo/pods/web-0" => ok(pod),
        _ if target.contains("web-0") && target.contains("endpointslices") => {
            ok(r#"{"kind":"EndpointSliceList","apiVersion":"discovery.k8s.io/v1","metadata":{},"items":[]}"#)
        }
        _ => seed(target),
    });
    let found = services(on_node1(server.run("show nginx-demo/web-0")));
    assert_eq!(found[0]["service"], "nginx-demo/nginx-service");
    assert_eq!(found[0]["type"], "ClusterIP");
}

const HINT: &str = "kube-ipt manifest rbac prints all that is needed";

/// Runs `show nginx-service` against a server that answers `answer` to targets with `part`, and expects the rules alone
/// with this note.
#[track_caller]
fn degrades(part: &'static str, answer: Reply, note: &str) {
    let server = StandIn::new(move |target| if target.contains(part) { answer.clone() } else { seed(target) });
    let alone = kube_ipt("show nginx-service -o json --no-api -f").arg(rules()).stdout();
    let (stdout, stderr, code) =
        server.run("show nginx-service -o json --request-timeout 500ms -f").arg(rules()).output();
    let note = note.replace("URL", &server.url());
    assert_eq!((stderr.trim_end(), code), (note.as_str(), Some(0)));
    assert_eq!(stdout, alone);
    let (stdout, stderr, code) =
        server.run("show nginx-service --require-api --request-timeout 500ms -f").arg(rules()).output();
    assert_eq!((stdout.as_str(), code), ("", Some(2)), "{stderr}");
    let line = note.lines().next().unwrap_or_default().replace("note: the rules are shown alone: ", "error: ");
    assert_eq!(stderr.lines().next(), Some(line.as_str()));
}

#[test]
fn refused_credentials_leave_the_rules() {
    let note = "note: the rules are shown alone: the API server URL does not accept the credentials (401 Unauthorized): a token may \
                have expired\n  try:  kubectl auth whoami    (then log in again)";
    degrades("/", status(401, "unauthorized-401.json"), note);
}

#[test]
fn a_server_that_hangs_is_given_up() {
    let started = Instant::now();
    let note = "note: the rules are shown alone: the API server URL gave no answer in 500 ms\n  try:  --request-timeout 2m    (or \
                --no-api for the rules alone)";
    degrades("/", Reply::Silence, note);
    assert!(started.elapsed().as_secs() < 20, "it waits for no more than one request at a time");
}

#[test]
fn services_that_may_not_be_read_leave_the_rules_and_name_the_right() {
    let note = format!(
        "note: the rules are shown alone: the API server forbids to read services: services is forbidden: User \
         \"system:anonymous\" cannot list resource \"services\" in API group \"\" at the cluster scope; which Services there should \
         be is not known\n  try:  allow {{apiGroups: [\"\"], resources: [\"services\"], verbs: [\"get\", \"list\", \"watch\"]}}; {HINT}; or \
         -n NAMESPACE, with rights in one"
    );
    degrades("/services", status(403, "unauthorized-or-forbidden-403.json"), &note);
}

#[test]
fn slices_that_may_not_be_read_leave_states_unknown_and_name_the_right() {
    let server = StandIn::new(|target| {
        if target.contains("endpointslices") { status(403, "unauthorized-or-forbidden-403.json") } else { seed(target) }
    });
    let (stdout, stderr, code) = on_node1(server.run("show nginx-service -o json")).output();
    assert_eq!(code, Some(0));
    assert!(stderr.contains("the API server forbids to read endpointslices"), "{stderr}");
    assert!(stderr.contains(
        r#"allow {apiGroups: ["discovery.k8s.io"], resources: ["endpointslices"], verbs: ["get", "list", "watch"]}"#
    ));
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let service = &document["services"][0];
    assert_eq!(service["type"], "ClusterIP");
    assert_eq!(service["pools"][0]["endpoints"][0]["state"], "unknown");
    let (_, _, code) = on_node1(server.run("show nginx-service --require-api")).output();
    assert_eq!(code, Some(2));
}

#[test]
fn of_the_config_maps_one_is_asked_for() {
    let server = StandIn::new(|target| match target {
        _ if target.contains("/configmaps") => status(403, "unauthorized-or-forbidden-403.json"),
        _ => seed(target),
    });
    let (_, stderr, code) = server.run("check --node node1 -f").arg(stale()).output();
    assert_eq!(code, Some(1), "{stderr}");
    let right = r#"allow {apiGroups: [""], resources: ["configmaps"], resourceNames: ["kube-proxy"], verbs: ["get", "list", "watch"]} in kube-system; "#;
    assert!(stderr.contains(&format!("  try:  {right}{HINT}\n")), "{stderr}");
}

#[test]
fn pods_and_nodes_that_may_not_be_read_cost_only_what_they_tell() {
    let server = StandIn::new(|target| match target {
        _ if target.contains("/pods") || target.contains("/nodes") => status(403, "unauthorized-or-forbidden-403.json"),
        _ => seed(target),
    });
    let run = server.run("show nginx-service --require-api --node node1 -f").arg(stale());
    let (stdout, stderr, code) = run.output();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("✗ stale: no endpoint of the Service"), "{stdout}");
    assert!(stderr.contains("the API server forbids to read pods"), "{stderr}");
    assert!(stderr.contains("the API server forbids to read nodes"), "{stderr}");
}

#[test]
fn an_answer_that_ends_half_way_is_none() {
    let server = StandIn::new(|target| {
        if target.starts_with("/api/v1/services") { Reply::Half(recorded("services.json")) } else { seed(target) }
    });
    let (stdout, stderr, code) = on_node1(server.run("list")).output();
    assert_eq!(code, Some(0));
    assert!(!stdout.contains("TYPE"), "{stdout}");
    let begin = format!(
        "note: the rules are shown alone: the API server {} closed the connection in the middle of an answer",
        server.url()
    );
    assert!(stderr.starts_with(&begin), "{stderr}");
}

#[test]
fn nobody_there_and_no_such_context_are_told() {
    let dead = StandIn::new(seed);
    let config = dead.kubeconfig_of(r#"{"server": "http://127.0.0.1:1"}"#, "{}");
    let note = "note: the rules are shown alone: the API server http://127.0.0.1:1 cannot be reached: Connection refused\n  try:  curl -k \
                http://127.0.0.1:1/version    (or --no-api for the rules alone)";
    kube_ipt("list --kubeconfig").arg(&config).arg("-f").arg(rules()).stderr(note).stdout();
    // What was named is meant.
    let error = "error: the kubeconfig has no context 'hree'\n  try:  --context here";
    let run = kube_ipt("list --context hree --kubeconfig").arg(&config).arg("-f").arg(rules());
    run.status(2).stderr(error).stdout();
    let error =
        "error: no API server is configured: there is no kubeconfig, and this is no Pod\n  try:  --kubeconfig FILE";
    kube_ipt("list --require-api -f").arg(rules()).status(2).stderr(error).stdout();
    let lost = "$KUBECONFIG names /nonexistent/a, /nonexistent/b, which is not there";
    let run = || kube_ipt("list -f").arg(rules()).env("KUBECONFIG", "/nonexistent/a:/nonexistent/b");
    run().stderr(format!("note: the rules are shown alone: {lost}")).stdout();
    run().arg("--no-api").stdout();
    let error = format!("error: no API server is configured: {lost}\n  try:  --kubeconfig FILE");
    run().arg("--require-api").status(2).stderr(error).stdout();
    let error = "error: cannot read /nonexistent/config: No such file or directory";
    kube_ipt("list --kubeconfig /nonexistent/config -f").arg(rules()).status(2).stderr(error).stdout();
}

#[test]
fn a_list_of_configurations_is_merged_and_missing_ones_are_passed_over() {
    let server = StandIn::new(seed);
    let config = server.kubeconfig(r#"{"username": "a", "password": "b"}"#);
    let run = kube_ipt("list -f").arg(rules()).env("KUBECONFIG", &format!("/nonexistent/config:{config}"));
    assert!(run.stdout().contains("ClusterIP"));
    assert!(server.requests().iter().all(|asked| asked.headers["authorization"] == "Basic YTpi"));
}

#[test]
fn a_credential_plugin_is_run_and_keeps_off_the_dump_on_stdin() {
    let server = StandIn::new(seed);
    let credential =
        r#"{"kind":"ExecCredential","apiVersion":"client.authentication.k8s.io/v1","status":{"token":"fr0m-plugin"}}"#;
    let user = format!(
        r#"{{"exec": {{"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "interactiveMode": "IfAvailable",
            "args": ["-c", "cat >/dev/null; printf '%s' '{}'"]}}}}"#,
        credential.replace('"', "\\\"")
    );
    let dump = std::fs::read(rules()).expect("the recording is there");
    let list = kube_ipt("list --kubeconfig").arg(server.kubeconfig(&user)).stdin(dump).stdout();
    assert!(list.contains("ClusterIP"), "{list}");
    assert!(server.requests().iter().all(|asked| asked.headers["authorization"] == "Bearer fr0m-plugin"));
    let user = r#"{"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/bin/sh", "args": ["-c", "exit 3"]}}"#;
    let (_, stderr, code) = kube_ipt("list --kubeconfig").arg(server.kubeconfig(user)).arg("-f").arg(rules()).output();
    assert_eq!(code, Some(0));
    let begin = format!("note: the rules are shown alone: no credentials for the API server {}", server.url());
    assert!(stderr.starts_with(&begin), "{stderr}");
}

#[test]
fn before_slices_had_a_version_there_was_another_and_before_that_endpoints() {
    let old = String::from_utf8(recorded("endpointslices.json")).expect("text");
    let old = old.replace("discovery.k8s.io/v1\"", "discovery.k8s.io/v1beta1\"");
    let beta = StandIn::new(move |target| match target.split('?').next().unwrap_or_default() {
        "/apis/discovery.k8s.io/v1beta1/endpointslices" => ok(old.clone()),
        path if path.contains("discovery.k8s.io") => Reply::Body(404, b"404 page not found\n".to_vec()),
        _ => seed(target),
    });
    assert_eq!(services(on_node1(beta.run("list"))), services(on_node1(StandIn::new(seed).run("list"))));

    let endpoints = r#"{"kind":"EndpointsList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"nginx-service",
        "namespace":"nginx-demo"},"subsets":[{"addresses":[{"ip":"10.244.1.4","nodeName":"node1"}],
        "notReadyAddresses":[{"ip":"10.244.3.2","nodeName":"node3"}],"ports":[{"port":80,"protocol":"TCP"}]}]}]}"#;
    let ancient = StandIn::new(move |target| match target.split('?').next().unwrap_or_default() {
        "/api/v1/endpoints" => ok(endpoints),
        path if path.contains("discovery.k8s.io") => Reply::Body(404, b"404 page not found\n".to_vec()),
        _ => seed(target),
    });
    let found = services(on_node1(ancient.run("show nginx-service")));
    let states: Vec<&str> = found[0]["pools"][0]["endpoints"]
        .as_array()
        .expect("endpoints")
        .iter()
        .map(|endpoint| endpoint["state"].as_str().expect("a state"))
        .collect();
    assert_eq!(states, ["ready", "not-ready", "stale"]);
    assert!(
        ancient.asked().contains(
            &"GET /api/v1/endpoints?fieldSelector=metadata.name%3Dnginx-service&resourceVersion=0".to_owned()
        )
    );
}

#[test]
fn a_list_of_fifty_megabytes_is_read() {
    let own = String::from_utf8(recorded("services.json")).expect("text");
    let mut list = own.trim_end().strip_suffix("]}").expect("a list").to_owned();
    let padding = "x".repeat(9_000);
    for n in 0..5_600 {
        let _ = write!(
            list,
            r#",{{"metadata":{{"name":"svc-{n}","namespace":"big","annotations":{{"padding":"{padding}"}}}},"spec":{{"clusterIP":"None"}}}}"#
        );
    }
    list.push_str("]}");
    assert!(list.len() > 50_000_000);
    let server = StandIn::new(
        move |target| {
            if target.starts_with("/api/v1/services") { ok(list.clone()) } else { seed(target) }
        },
    );
    let (table, notes, status) = on_node1(server.run("list --family ipv4")).output();
    // On a busy machine it may take long enough for a word about it.
    let waiting = "note: waiting for the API server; --no-api shows the rules alone";
    assert_eq!(notes.lines().filter(|note| *note != waiting).collect::<Vec<_>>(), [""; 0]);
    assert_eq!(status, Some(0));
    assert_eq!(table.lines().filter(|line| line.contains("headless")).count(), 5_600);
}

#[test]
fn only_get_is_ever_sent() {
    let server = StandIn::new(seed);
    for args in [
        "list",
        "show",
        "show nginx-service",
        "show nginx-demo/nobody",
        "show 10.244.3.2",
        "show /nginx/ -o yaml",
        "show :30000",
    ] {
        on_node1(server.run(args)).output();
    }
    let asked = server.asked();
    assert!(asked.len() > 15, "{asked:?}");
    assert!(asked.iter().all(|line| line.starts_with("GET /api")), "{asked:?}");
}

#[test]
fn the_node_is_asked_for_only_where_rules_are_its_own_or_it_is_named() {
    let server = StandIn::new(seed);
    server.run("show nginx-service -f").arg(rules()).output();
    assert!(!server.asked().iter().any(|line| line.contains("nodes")), "{:?}", server.asked());
    let note = "note: the rules are taken to be those of node node1 ($NODE_NAME)";
    let named = server.run("show nginx-service -f").arg(rules()).env("NODE_NAME", "node1").stderr(note).json();
    assert_eq!(named["source"]["node"], "node1");
    let error = format!("error: no Node is called 'nod1' in {}\n  try:  --node node1", server.url());
    server.run("show nginx-service --node nod1 -f").arg(rules()).status(2).stderr(error).stdout();
}

/// A port that speaks TLS with a certificate nobody has signed, and asks clients for theirs or not.
fn unsigned(asks: bool) -> u16 {
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        rustls::ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.expect("versions");
    let mut roots = rustls::RootCertStore::empty();
    roots.add(own.cert.der().clone()).expect("a certificate");
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let builder = if asks {
        builder.with_client_cert_verifier(verifier.expect("a verifier"))
    } else {
        builder.with_no_client_auth()
    };
    let config = Arc::new(builder.with_single_cert(vec![own.cert.der().clone()], key.into()).expect("fits"));
    greeted(config)
}

#[test]
fn a_check_asks_for_what_it_compares_and_for_the_owner_of_a_stale_address() {
    let server = StandIn::new(seed);
    let run = server.run("check --node node1 -o json -f").arg(stale());
    let (stdout, stderr, code) = run.output();
    assert_eq!((stderr.as_str(), code), ("", Some(1)));
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let found = crate::broken::told(document["findings"].as_array().expect("findings"));
    assert_eq!(
        found,
        [
            "stale-endpoint error nginx-demo/nginx-service 10.244.1.3:80 deleted",
            "missing-endpoint warning nginx-demo/nginx-service 10.244.1.4:80",
        ]
    );
    assert_eq!(document["summary"]["skipped"], serde_json::json!([]));
    let expected = [
        "GET /api/v1/namespaces/kube-system/configmaps/kube-proxy",
        "GET /api/v1/nodes/node1",
        "GET /api/v1/pods?fieldSelector=status.podIP%3D10.244.1.3&resourceVersion=0",
        "GET /api/v1/services?limit=500&resourceVersion=0",
        "GET /apis/discovery.k8s.io/v1/endpointslices?limit=500&resourceVersion=0",
    ];
    assert_eq!(server.asked(), expected);
}

#[test]
fn a_check_without_an_answer_says_what_it_did_not_compare() {
    let server = StandIn::new(|_| status(403, "unauthorized-or-forbidden-403.json"));
    let (stdout, stderr, code) = server.run("check --node node1 -f").arg(rules()).output();
    assert!(stderr.starts_with("note: the rules are shown alone: "), "{stderr}");
    assert_eq!(code, Some(0));
    assert!(stdout.contains("not checked: KI101-KI108, KI403 (no objects to compare with"), "{stdout}");
    let (stdout, _, code) = server.run("check --require-api -f").arg(rules()).output();
    assert_eq!((stdout.as_str(), code), ("", Some(2)));
}

#[test]
fn a_client_certificate_that_is_missing_is_told_as_such() {
    let port = unsigned(true);
    let cluster = format!(r#"{{"server": "https://127.0.0.1:{port}", "insecure-skip-tls-verify": true}}"#);
    let config = StandIn::new(seed).kubeconfig_kept(&cluster);
    let (_, stderr, code) = kube_ipt("list -f").arg(rules()).env("KUBECONFIG", &config.1).output();
    assert_eq!(code, Some(0));
    let begin = format!(
        "note: the rules are shown alone: no credentials for the API server https://127.0.0.1:{port}: it refused the client certificate"
    );
    assert!(stderr.starts_with(&begin), "{stderr}");
}

#[test]
fn a_certificate_nobody_signed_is_refused() {
    let port = unsigned(false);
    let config = StandIn::new(seed).kubeconfig_kept(&format!(r#"{{"server": "https://127.0.0.1:{port}"}}"#));
    let (stdout, stderr, code) = kube_ipt("list -f").arg(rules()).env("KUBECONFIG", &config.1).output();
    assert_eq!(code, Some(0));
    let begin = format!(
        "note: the rules are shown alone: the certificate of the API server https://127.0.0.1:{port} was refused: "
    );
    assert!(stderr.starts_with(&begin), "{stderr}");
    assert!(stderr.ends_with("try:  check certificate-authority-data and server in the kubeconfig\n"), "{stderr}");
    assert_eq!(stderr.lines().count(), 2, "{stderr}");
    assert!(stdout.contains("nginx-demo/nginx-service"), "{stdout}");
}

#[test]
fn answers_that_are_no_kubernetes_are_told_once_and_in_one_line() {
    let page = format!("<html><body>{}</body></html>", "502 Bad Gateway ".repeat(500));
    let proxy = page.clone();
    let server = StandIn::new(move |_| Reply::Body(502, proxy.clone().into_bytes()));
    let (_, stderr, code) = on_node1(server.run("list")).output();
    assert_eq!(code, Some(0));
    let note = format!(
        "note: the rules are shown alone: the API server {} answered 502: a page of HTML, as a proxy sends it\n",
        server.url()
    );
    assert_eq!(stderr, note);
    let server = StandIn::new(move |_| ok(page.clone()));
    let (_, stderr, code) = on_node1(server.run("list")).output();
    assert_eq!((stderr.lines().count(), code), (2, Some(0)), "{stderr}");
    assert!(stderr.contains("answered what is no Kubernetes object"), "{stderr}");
    assert!(stderr.len() < 600, "{stderr}");
}

#[test]
fn pages_that_go_round_are_left() {
    let server = StandIn::new(|target| {
        if target.starts_with("/api/v1/services?") { ok(recorded("services-page1.json")) } else { seed(target) }
    });
    let (_, stderr, code) = on_node1(server.run("list")).output();
    assert_eq!(code, Some(0));
    assert!(stderr.contains("the pages of /api/v1/services go round in a circle"), "{stderr}");
    assert!(server.asked().len() < 6, "{:?}", server.asked());
}

#[test]
fn an_address_that_is_another_services_now_shows_both() {
    // The Service was made anew under another name and got the same cluster IP; the rules have the old name.
    let services = String::from_utf8(recorded("services.json")).expect("text").replace("nginx-service", "renamed");
    let slices = String::from_utf8(recorded("endpointslices.json")).expect("text").replace("nginx-service", "renamed");
    let server = StandIn::new(move |target| match target.split('?').next().unwrap_or_default() {
        "/api/v1/services" => ok(services.clone()),
        path if path.contains("endpointslices") => ok(slices.clone()),
        _ => seed(target),
    });
    let found = services_of(on_node1(server.run("show 10.96.101.105")));
    assert_eq!(found, ["nginx-demo/nginx-service stale", "nginx-demo/renamed not-programmed"]);
}

/// `name status` of every service of an answer.
fn services_of(run: Run) -> Vec<String> {
    let found = services(run);
    let all = found.as_array().expect("services").iter();
    all.map(|s| format!("{} {}", s["service"].as_str().unwrap_or("?"), s["status"].as_str().unwrap_or("?"))).collect()
}

#[test]
fn an_address_of_the_pods_second_family_is_not_called_nobodys() {
    let slices = String::from_utf8(recorded("endpointslices-nginx.json")).expect("text");
    let six = |text: &str| {
        text.replace("10.244.1.3", "fd00::13").replace("10.244.3.", "fd00::3").replace("10.96.101.105", "fd00:96::5")
    };
    let dump = six(&std::fs::read_to_string(node("seed/stale/nat-S.txt")).expect("the recording is there"))
        .replace("fd00::13/32", "fd00::13/128")
        .replace("fd00:96::5/32", "fd00:96::5/128")
        .replace("--to-destination fd00::13:80", "--to-destination [fd00::13]:80")
        .replace("--to-destination fd00::32:80", "--to-destination [fd00::32]:80")
        .replace("--to-destination fd00::33:80", "--to-destination [fd00::33]:80");
    let listed = six(&String::from_utf8(recorded("services.json")).expect("text"));
    let slices =
        six(&slices).replace("\"addressType\":\"IPv4\"", "\"addressType\":\"IPv6\"").replace("10.244.1.4", "fd00::14");
    let server = StandIn::new(move |target| match target.split('?').next().unwrap_or_default() {
        "/api/v1/services" => ok(listed.clone()),
        path if path.contains("endpointslices") => ok(slices.clone()),
        _ => seed(target),
    });
    let run = server.run("show nginx-service --family ipv6 --node node1").stdin(dump);
    let note = "note: who has the addresses of 1 stale endpoints now was not asked: the API server finds Pods by their first address only, and \
                the family of theirs is another or not known";
    let found = services(run.stderr(note));
    let first = &found[0]["pools"][0]["endpoints"][0];
    assert_eq!(
        [&first["address"], &first["state"], &first["reason"]],
        [&Value::from("[fd00::13]:80"), &Value::from("stale"), &Value::Null]
    );
    assert!(!server.asked().iter().any(|line| line.contains("/pods")), "{:?}", server.asked());
}

#[test]
fn a_node_whose_rules_are_elsewhere_is_not_read_from_here() {
    let error = "error: another node is read through the API server, and none is configured: there is no kubeconfig, and this is no Pod\n  \
                 try:  --kubeconfig FILE\n  try:  ssh elsewhere sudo iptables-save | kube-ipt show --node elsewhere    (without an API \
                 server)\n  try:  NODE_NAME=elsewhere kube-ipt show --node elsewhere    (if this \
                 host is that node under another name)";
    kube_ipt("show --node elsewhere").status(2).stderr(error).stdout();
}
