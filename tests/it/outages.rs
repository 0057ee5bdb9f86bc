//! API servers that restart, refuse for a while or have another time: a list that is not whole is none, and no age is
//! negative.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::run::{Run, kube_ipt, node};
use crate::stand_in::{Reply, StandIn, greeted, ok, recorded, seed};

fn rules() -> String {
    node("seed/in-sync/save.txt")
}

fn on_node1(run: Run) -> Run {
    run.args("--node node1 -f").arg(rules())
}

/// The recorded Services in two pages, the second of which is answered by `second`.
fn second_page(second: impl Fn() -> Reply + Send + Sync + 'static) -> StandIn {
    StandIn::new(move |target| {
        if !target.starts_with("/api/v1/services?") {
            seed(target)
        } else if target.contains("continue=") {
            second()
        } else {
            ok(recorded("services-page1.json"))
        }
    })
}

#[test]
fn half_the_pages_are_no_list() {
    let alone = kube_ipt("list --no-api -o json -f").arg(rules()).stdout();
    let status = |code: u16| {
        let body = json!({"kind": "Status", "status": "Failure", "code": code, "message": "the server is shutting down", "reason": "X"});
        Reply::Body(code, body.to_string().into_bytes())
    };
    let cut = Reply::Half(recorded("services-page2.json"));
    // A page that comes in pieces, and then the connection is gone.
    let broken = Reply::Stream(
        200,
        Arc::new(|write| {
            write(&recorded("services-page2.json")[..100])?;
            Err(std::io::ErrorKind::ConnectionReset.into())
        }),
    );
    let endless = Reply::Stream(
        500,
        Arc::new(|write| {
            loop {
                write(&[b'x'; 1 << 12])?;
            }
        }),
    );
    let is_of = |kind: &str| {
        Reply::Body(
            200,
            json!({"kind": kind, "apiVersion": "v1", "metadata": {}, "items": []}).to_string().into_bytes(),
        )
    };
    let no_object = "answered what is no Kubernetes object: ";
    let gone = "closed the connection in the middle of an answer: ";
    for (second, words) in [
        (cut, gone),
        (broken, gone),
        (status(429), "answered 429: the server is shutting down"),
        (status(500), "answered 500: the server is shutting down"),
        (status(503), "answered 503: the server is shutting down"),
        (Reply::Body(500, Vec::new()), "answered 500: no word of why"),
        (endless, &format!("answered 500: {}…", "x".repeat(300))),
        (Reply::Body(302, Vec::new()), &format!("{no_object}a redirection (302) to nowhere")),
        (is_of("PodList"), &format!("{no_object}/api/v1/services is called PodList and no list of services")),
        (
            is_of("APIResourceList"),
            &format!("{no_object}/api/v1/services is called APIResourceList and no list of services"),
        ),
        (Reply::Body(200, b"{\"kind\":\"ServiceList\",\"items\":[".to_vec()), no_object),
        (Reply::Body(200, Vec::new()), no_object),
    ] {
        let again = second.clone();
        let server = second_page(move || again.clone());
        let (stdout, stderr, code) = on_node1(server.run("list -o json --request-timeout 500ms")).output();
        assert_eq!(code, Some(0), "{stderr}");
        let note = format!("note: the rules are shown alone: the API server {} {words}", server.url());
        assert!(stderr.starts_with(&note), "{stderr}");
        let (mut shown, mut expected): (Value, Value) =
            (serde_json::from_str(&stdout).expect("JSON"), serde_json::from_str(&alone).expect("JSON"));
        shown["source"]["node"].take();
        expected["source"]["node"].take();
        assert_eq!(shown, expected, "{words}");
        let server = second_page(move || second.clone());
        let (stdout, stderr, code) = on_node1(server.run("check --require-api --request-timeout 500ms")).output();
        assert_eq!((stdout.as_str(), code), ("", Some(2)));
        assert!(stderr.starts_with(&format!("error: the API server {} {words}", server.url())), "{stderr}");
    }
}

#[test]
fn a_server_that_is_busy_is_asked_again_a_few_times() {
    for code in [429, 503, 504] {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let server = second_page(move || match count.fetch_add(1, Ordering::SeqCst) {
            0 | 1 => {
                Reply::Body(code, json!({"kind": "Status", "message": "later", "code": code}).to_string().into_bytes())
            }
            _ => ok(recorded("services.json")),
        });
        let (stdout, stderr, status) = on_node1(server.run("list -o json")).output();
        assert_eq!((stderr.as_str(), status), ("", Some(0)), "{code}");
        let document: Value = serde_json::from_str(&stdout).expect("JSON");
        assert_eq!(document["source"]["objects"], server.url());
        assert_eq!(asked.load(Ordering::SeqCst), 3);
    }
    // Six times at most: what the server says is told, not that nothing came.
    let server = StandIn::new(|_| Reply::Body(503, br#"{"kind":"Status","message":"starting","code":503}"#.to_vec()));
    let (_, stderr, status) = on_node1(server.run("list --require-api")).output();
    assert_eq!(status, Some(2));
    assert!(stderr.contains(&format!("error: the API server {} answered 503: starting", server.url())), "{stderr}");
    let first = server.asked().first().cloned().expect("it was asked");
    assert_eq!(server.asked().iter().filter(|line| **line == first).count(), 6);
}

#[test]
fn a_list_that_is_forgotten_again_and_again_is_given_up() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let expired = br#"{"kind":"Status","status":"Failure","reason":"Expired","message":"too old","code":410}"#;
    let server = StandIn::new(move |target| match target {
        _ if !target.starts_with("/api/v1/services?") => seed(target),
        _ if target.contains("continue=") => Reply::Body(410, expired.to_vec()),
        _ if target.contains("limit=") => ok(recorded("services-page1.json")),
        // The list as a whole, which is tried once.
        _ => {
            count.fetch_add(1, Ordering::SeqCst);
            Reply::Body(410, expired.to_vec())
        }
    });
    let (_, stderr, code) = on_node1(server.run("list")).output();
    assert_eq!(code, Some(0));
    let note = format!("note: the rules are shown alone: the API server {} answered 410: too old\n", server.url());
    assert_eq!(stderr, note);
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[test]
fn a_whole_list_that_comes_in_pages_is_read_to_its_end() {
    let expired = br#"{"kind":"Status","status":"Failure","reason":"Expired","message":"too old","code":410}"#;
    let server = StandIn::new(move |target| {
        let page = |name: &str, next: Option<&str>| {
            let mut list: Value = serde_json::from_slice(&recorded(name)).expect("JSON");
            list["metadata"]["continue"] = next.into();
            ok(list.to_string())
        };
        match target {
            _ if !target.starts_with("/api/v1/services?") => seed(target),
            _ if target.contains("continue=again") => page("services.json", None),
            _ if target.contains("continue=") => Reply::Body(410, expired.to_vec()),
            _ if target.contains("limit=") => ok(recorded("services-page1.json")),
            // Somebody between puts a limit of its own.
            _ => page("services-page1.json", Some("again")),
        }
    });
    on_node1(server.run("list")).stdout();
    assert_eq!(server.asked().iter().filter(|line| line.contains("continue=again")).count(), 1);
}

#[test]
fn a_connection_that_is_closed_between_pages_is_opened_again() {
    // An HTTP server may end a connection after any answer.
    let server = second_page(|| ok(recorded("services.json")));
    let whole = on_node1(server.run("list -o json")).stdout();
    let of_seed = on_node1(StandIn::new(seed).run("list -o json")).stdout();
    let services = |text: &str| serde_json::from_str::<Value>(text).expect("JSON")["services"].clone();
    assert_eq!(services(&whole), services(&of_seed));
}

/// A certificate that is valid in these years, on a port of this machine; that of an authority, if it says so.
fn certified(years: (i32, i32), is_authority: bool) -> (u16, String) {
    let mut params = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).expect("a name");
    params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
    params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
    if is_authority {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    }
    let key = rcgen::KeyPair::generate().expect("a key");
    let own = params.self_signed(&key).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.expect("versions").with_no_client_auth();
    let secret = rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = Arc::new(builder.with_single_cert(vec![own.der().clone()], secret.into()).expect("fits"));
    let port = greeted(config);
    let body = data_encoding::BASE64.encode(own.der());
    (port, format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n"))
}

#[test]
fn what_is_wrong_with_a_certificate_is_told() {
    for (years, is_authority, word) in [
        ((2990, 2999), false, "not valid yet"),
        ((1990, 1999), false, "expired"),
        ((1990, 2999), true, "it is that of a certificate authority, which should sign another for the server\n"),
    ] {
        let (port, pem) = certified(years, is_authority);
        let room = tempfile::tempdir().expect("a folder");
        let authority = room.path().join("ca.pem");
        fs::write(&authority, pem).expect("writable");
        let cluster = json!({"server": format!("https://127.0.0.1:{port}"), "certificate-authority": authority});
        let config = StandIn::new(seed).kubeconfig_kept(&cluster.to_string());
        let (_, stderr, code) = kube_ipt("list -f").arg(rules()).env("KUBECONFIG", &config.1).output();
        assert_eq!(code, Some(0));
        let note = format!(
            "note: the rules are shown alone: the certificate of the API server https://127.0.0.1:{port} was refused: "
        );
        assert!(stderr.starts_with(&note) && stderr.contains(word), "{stderr}");
    }
}

/// `check` of the stale recording as text, with the time of its rules and of the changes in its objects.
fn check(generated: &str, changed: &str) -> String {
    let room = tempfile::tempdir().expect("a folder");
    let dump = fs::read_to_string(node("seed/stale/save.txt")).expect("the recording is there");
    let dump: String = dump
        .lines()
        .map(|line| {
            if line.starts_with("# Generated by") {
                format!("# Generated by iptables-save v1.8.9 (nf_tables) on {generated}\n")
            } else {
                format!("{line}\n")
            }
        })
        .collect();
    let objects = fs::read_to_string(node("seed/stale/cluster.json")).expect("the recording is there");
    let mut objects: Value = serde_json::from_str(&objects).expect("JSON");
    for item in objects["items"].as_array_mut().expect("a list") {
        item["metadata"]["creationTimestamp"] = changed.into();
        if item["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"].is_string() {
            item["metadata"]["annotations"]["endpoints.kubernetes.io/last-change-trigger-time"] = changed.into();
        }
        for condition in item["status"]["conditions"].as_array_mut().into_iter().flatten() {
            condition["lastTransitionTime"] = changed.into();
        }
        for entry in item["metadata"]["managedFields"].as_array_mut().into_iter().flatten() {
            entry["time"] = changed.into();
        }
    }
    let (rules, cluster) = (room.path().join("rules"), room.path().join("cluster.json"));
    fs::write(&rules, dump).expect("writable");
    fs::write(&cluster, objects.to_string()).expect("writable");
    let (stdout, stderr, status) =
        kube_ipt("check --node node1 -f").arg(&rules).arg("--objects").arg(&cluster).output();
    assert_eq!(status, Some(1), "{stderr}");
    stdout
}

#[test]
fn clocks_that_differ_make_no_age_that_is_negative() {
    let now = "Sun Nov 22 08:28:50 2026";
    for (generated, changed) in [
        (now, "2999-01-01T00:00:00Z"),
        ("Sun Jan  1 08:28:50 2999", "2026-11-22T08:28:50Z"),
        (now, "9999-12-31T23:59:59Z"),
        (now, "0001-01-01T00:00:00Z"),
        (now, "yesterday"),
        ("Sun Nov 22 08:28:50 999999", "2026-11-22T08:28:50Z"),
        ("Sun Nov 99 99:99:99 2026", "2026-11-22T08:28:50Z"),
    ] {
        let told = check(generated, changed);
        let is_negative = told.split_whitespace().any(|word| {
            word.strip_prefix('-').is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        });
        assert!(!is_negative, "{generated} {changed}: {told}");
        assert!(told.contains("stale-endpoint"), "{told}");
    }
    let later = check(now, "2026-11-22T09:28:50Z");
    assert!(
        later.contains("60 min after the rules were read") || later.contains("60 min younger than the rules"),
        "{later}"
    );
}
