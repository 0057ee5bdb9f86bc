//! API servers behind a proxy, which the kubeconfig or the environment names.

use crate::run::{Run, kube_ipt, node};
use crate::stand_in::{Reply, StandIn, seed};

/// A list that asks the server of this cluster.
fn list(config: &str) -> Run {
    let run = kube_ipt("list -f").arg(node("seed/recovered/save.txt")).arg("--kubeconfig").arg(config);
    // Nothing of the machine the tests run on.
    let names = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy"];
    names.into_iter().fold(run, |run, name| run.env(name, ""))
}

/// A proxy that wants to know who asks.
fn refusing() -> StandIn {
    StandIn::new(|_| Reply::Body(407, Vec::new()))
}

const DEAD: &str = "http://127.0.0.1:1";

#[test]
fn no_proxy_of_the_environment_leads_to_this_machine() {
    let server = StandIn::new(seed);
    for host in ["127.0.0.1", "localhost"] {
        let cluster = format!(r#"{{"server": "http://{host}:{}"}}"#, server.port);
        let config = server.kubeconfig_of(&cluster, "{}");
        for name in ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY"] {
            assert!(list(&config).env(name, DEAD).stdout().contains("ClusterIP"), "{name}");
        }
    }
    // The kubeconfig knows why it names one.
    let cluster = format!(r#"{{"server": "{}", "proxy-url": "{DEAD}"}}"#, server.url());
    let (_, stderr, _) = list(&server.kubeconfig_of(&cluster, "{}")).env("NO_PROXY", "127.0.0.1").output();
    let note = format!(
        "note: the rules are shown alone: the API server {0} (through the proxy {DEAD} of the kubeconfig) cannot be reached: \
         Connection refused\n  try:  curl -k -x {DEAD} {0}/version    (or --no-api for the rules alone)\n",
        server.url()
    );
    assert_eq!(stderr, note);
}

#[test]
fn a_proxy_that_does_not_lead_on_is_named() {
    let proxy = refusing();
    let server = "https://api.example.com:6443";
    let config = proxy.kubeconfig_of(&format!(r#"{{"server": "{server}"}}"#), "{}");
    let said = |url: &str| {
        let (_, stderr, code) = list(&config).env("HTTPS_PROXY", url).output();
        assert_eq!(code, Some(0), "{stderr}");
        stderr
    };
    let begin = format!("note: the rules are shown alone: the API server {server} (through the proxy");
    let asked = format!("{server}/version    (or --no-api for the rules alone)\n");
    let shown = proxy.url();
    let why = "it wants to know who asks (407 Proxy Authentication Required)";
    let without =
        format!("{begin} {shown} of HTTPS_PROXY) cannot be reached: {why}\n  try:  curl -k -x {shown} {asked}");
    assert_eq!(said(&shown), without);
    // As Go takes it.
    assert_eq!(said(shown.trim_start_matches("http://")), without);
    let with_user = shown.replace("//", "//admin:s3cret@");
    let with = format!(
        "{begin} {shown} of HTTPS_PROXY) cannot be reached: {why}\n  try:  curl -k -x {shown} -U USER:PASSWORD {asked}"
    );
    assert_eq!(said(&with_user), with);
    assert!(proxy.requests().iter().all(|asked| asked.line == "CONNECT api.example.com:6443"));
    assert!(proxy.requests().iter().any(|asked| asked.headers.contains_key("proxy-authorization")));
    assert!(said(DEAD).starts_with(&format!("{begin} {DEAD} of HTTPS_PROXY) cannot be reached: Connection refused\n")));
    let (_, stderr, _) = list(&config).env("HTTPS_PROXY", "ftp://127.0.0.1:1").output();
    let no = "the proxy ftp://127.0.0.1:1 of HTTPS_PROXY is none of http, https or socks5";
    assert!(stderr.contains(no), "{stderr}");
}

#[test]
fn servers_that_no_proxy_is_for_are_asked_directly() {
    for (excluded, direct) in [
        ("api.example.invalid", true),
        ("example.invalid", true),
        (".example.invalid:6443", true),
        ("*.invalid", true),
        ("*", true),
        ("example.invalid:443", false),
        ("10.0.0.0/8", false),
        ("127.0.0.1", false),
    ] {
        let proxy = refusing();
        let config = proxy.kubeconfig_of(r#"{"server": "https://api.example.invalid:6443"}"#, "{}");
        list(&config).env("HTTPS_PROXY", &proxy.url()).env("NO_PROXY", excluded).output();
        assert_eq!(proxy.requests().is_empty(), direct, "{excluded}");
    }
}
