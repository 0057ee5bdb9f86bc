//! Inputs that stand for much: ports times addresses, one long rule times every Service, everything with a finding. Each run has a limit of
//! memory and processor time that following them would exceed.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::broken::{clean, of_ipvs, told};
use crate::bundles::kept;
use crate::run::{Run, kube_ipt, node};

/// Memory in MiB and seconds of a processor, enough for a debug build.
fn bounded(args: &str) -> Run {
    kube_ipt(args).bounded(1000, 60)
}

fn addresses(count: usize) -> Vec<String> {
    (0..count).map(|n| format!("192.168.{}.{}", n >> 8, n & 255)).collect()
}

fn ports(count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"name": format!("p{n}"), "port": n + 1})).collect()
}

/// stderr of a `check` of a recorded node with this object, and its exit status.
fn checked(object: &Value) -> (String, Option<i32>) {
    let (_room, path) = kept("object", object.to_string().as_bytes());
    let run = bounded("check --node node1 -o json -f").arg(node("seed/in-sync/save.txt")).arg("--objects").arg(&path);
    let (stdout, stderr, status) = run.output();
    assert!(status != Some(2) || stdout.is_empty(), "{stderr}");
    (stderr.replace(&path.display().to_string(), "FILE"), status)
}

fn service(spec: &Value, ingress: usize) -> Value {
    let ingress: Vec<Value> = addresses(ingress).into_iter().map(|ip| json!({"ip": ip})).collect();
    json!({"kind": "Service", "apiVersion": "v1", "metadata": {"namespace": "y", "name": "x"}, "spec": spec,
        "status": {"loadBalancer": {"ingress": ingress}}})
}

fn slice(ports_of: usize, endpoints: usize) -> Value {
    let endpoints: Vec<Value> = addresses(endpoints).into_iter().map(|ip| json!({"addresses": [ip]})).collect();
    json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "addressType": "IPv4", "ports": ports(ports_of),
        "metadata": {"namespace": "y", "name": "x-1", "labels": {"kubernetes.io/service-name": "x"}},
        "endpoints": endpoints})
}

#[test]
fn ports_times_addresses_without_end_are_left_out() {
    let external = json!({"clusterIP": "10.96.0.1", "ports": ports(2_000), "externalIPs": addresses(2_000)});
    let ranges: Vec<String> = addresses(1_000).into_iter().map(|ip| ip + "/32").collect();
    let limited = json!({"type": "LoadBalancer", "clusterIP": "10.96.0.1", "ports": ports(100),
        "loadBalancerSourceRanges": ranges});
    let subset = |count| {
        let addresses: Vec<Value> = addresses(count).into_iter().map(|ip| json!({"ip": ip})).collect();
        json!({"ports": ports(300), "addresses": addresses, "notReadyAddresses": [{"ip": "10.0.0.1"}]})
    };
    let endpoints = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"namespace": "y", "name": "x"},
        "subsets": [subset(200), subset(199)]});
    for (object, said) in [
        (service(&external, 0), "Service y/x is left out: spec.ports: 2000 ports of 2001 addresses are 4002000 pairs"),
        (
            service(&limited, 10),
            "Service y/x is left out: spec.ports: 100 ports of 11 addresses with their source ranges are 1001100 pairs",
        ),
        (
            slice(4_000, 4_000),
            "EndpointSlice y/x-1 is left out: ports: 4000 ports of 4000 endpoints are 16000000 pairs",
        ),
        (endpoints, "Endpoints y/x is left out: subsets: 600 ports of 401 addresses are 120300 pairs"),
    ] {
        let (stderr, status) = checked(&object);
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stderr.contains(&format!("note: {said}, more than the 100000 that are read\n")), "{stderr}");
    }
}

#[test]
fn ports_times_addresses_of_many_objects_are_left_out() {
    let mut slices: Vec<Value> = (0..40).map(|_| slice(290, 330)).collect();
    for (n, slice) in slices.iter_mut().enumerate() {
        slice["metadata"]["name"] = format!("x-{n:02}").into();
    }
    let mut service = service(&json!({"clusterIP": "10.96.0.1", "ports": ports(290)}), 0);
    service["metadata"]["name"] = "x".into();
    let all: Vec<Value> = slices.into_iter().chain([service]).collect();
    let (_room, path) =
        kept("objects", json!({"kind": "List", "apiVersion": "v1", "items": all}).to_string().as_bytes());
    let run = kube_ipt("check --node node1 -f").bounded(500, 30).arg(node("seed/in-sync/save.txt"));
    let (stdout, stderr, status) = run.arg("--objects").arg(&path).output();
    let said = "note: EndpointSlice y/x-11 is left out: ports: 290 ports of 330 endpoints are, with other objects, more than the 1000000 \
                pairs that are read\n";
    assert!(stderr.contains(said), "{stderr}");
    assert!(stderr.contains("note: 19 more objects like these are left out\n"), "{stderr}");
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.starts_with("no findings in 295 service ports\n"), "{stdout}");
}

#[test]
fn an_address_that_many_claim_or_one_repeats_costs_no_square() {
    let named = |n: usize, spec: &Value, ingress: usize| {
        let mut service = service(spec, 0);
        service["metadata"]["name"] = format!("x{n:05}").into();
        service["status"]["loadBalancer"]["ingress"] = vec![json!({"ip": "192.0.2.1"}); ingress].into();
        service
    };
    let repeated = |n: usize, times: usize| {
        let spec = json!({"type": "LoadBalancer", "clusterIP": addresses(40_000)[n], "ports": ports(1),
            "externalIPs": vec!["192.0.2.1"; times]});
        named(n, &spec, times)
    };
    // Of two that claim one address, one has a thousand endpoints and repeats it.
    let mut endpoints = slice(1, 1_000);
    endpoints["metadata"]["labels"]["kubernetes.io/service-name"] = "x00000".into();
    let two = vec![repeated(0, 5_000), repeated(1, 1), endpoints];
    let many: Vec<Value> = (0..500).map(|n| repeated(n, 50)).collect();
    let same = |n| named(n, &json!({"clusterIP": "10.96.0.1", "ports": ports(1)}), 0);
    for (items, services) in [(two, 2), (many, 500), ((0..20_000).map(same).collect::<Vec<_>>(), 20_000)] {
        let list = json!({"kind": "List", "apiVersion": "v1", "items": items}).to_string();
        let (_room, path) = kept("objects", list.as_bytes());
        let run = kube_ipt("list --node node1 -f").bounded(500, 20).arg(node("seed/in-sync/save.txt"));
        let (stdout, stderr, status) = run.arg("--objects").arg(&path).output();
        assert_eq!(status, Some(0), "{stderr}");
        assert_eq!(stdout.lines().filter(|line| line.starts_with("y/x")).count(), services, "{stderr}");
    }
}

#[test]
fn ports_of_one_name_without_end_are_left_out() {
    let alike = |count: u16, name: Option<&str>| -> Value {
        (0..count).map(|n| json!({"name": name, "port": 1 + n, "protocol": "TCP"})).collect()
    };
    let of_service = |ports: Value| service(&json!({"clusterIP": "10.96.0.1", "ports": ports}), 0);
    let mut of_slice = slice(1, 1_000);
    of_slice["ports"] = alike(90, Some("http"));
    for (object, said) in [
        (
            of_service(alike(1_000, Some("http"))),
            "Service y/x is left out: spec.ports: more than 4 ports of tcp are called 'http'",
        ),
        (of_service(alike(5, None)), "Service y/x is left out: spec.ports: more than 4 ports of tcp have no name"),
        (of_slice, "EndpointSlice y/x-1 is left out: ports: more than 4 ports of tcp are called 'http'"),
    ] {
        let (stderr, status) = checked(&object);
        assert_eq!(status, Some(0), "{stderr}");
        assert!(stderr.contains(&format!("note: {said}\n")), "{stderr}");
    }
    assert_eq!(checked(&of_service(alike(4, Some("http")))).1, Some(0));
}

#[test]
fn of_what_is_left_out_nothing_is_called_stale_or_missing() {
    let alike = |object: &mut Value| {
        let port = json!({"name": "http", "port": 80, "protocol": "TCP"});
        let field = if object["kind"] == "Service" { &mut object["spec"]["ports"] } else { &mut object["ports"] };
        *field = vec![port; 5].into();
    };
    for (kind, name) in [("Service", "shop/web"), ("Service", "edge/gw-local"), ("EndpointSlice", "shop/web")] {
        let node = clean("node1").change(kind, name, alike);
        assert_eq!(told(&node.check()), [""; 0], "{kind} {name}");
        let (_, stderr, _) = node.run("check").output();
        assert!(stderr.contains(&format!("note: {kind} {name}")) && stderr.contains("is left out"), "{stderr}");
        // What is wrong with others is found all the same.
        let broken = node.without(|line| line.contains("-A KUBE-SERVICES") && line.contains("shop/cart:http"));
        let found = told(&broken.check());
        assert!(found.contains(&"missing-service error shop/cart:http".to_owned()), "{kind} {name}: {found:?}");
    }
    // Slices tell what Endpoints of the same Service do not, and a later object counts.
    let port = json!({"name": "http", "port": 80});
    let endpoints = json!({"kind": "Endpoints", "apiVersion": "v1", "metadata": {"namespace": "shop", "name": "web"},
        "subsets": [{"addresses": [{"ip": "10.244.2.12"}], "ports": vec![port; 5]}]});
    let mut good = clean("node1");
    let good = good.object("Service", "shop/web").clone();
    let twice = clean("node1").change("Service", "shop/web", alike).with_object(good).with_object(endpoints);
    let lost = twice.clone().without(|line| line.contains("shop/web -> 10.244.2.12:8080"));
    assert_eq!((told(&twice.check()).len(), twice.run("check").output().1.contains("left out")), (0, false));
    assert!(told(&lost.check()).iter().any(|finding| finding.starts_with("missing-endpoint warning shop/web")));
    let virtual_servers = of_ipvs().change("Service", "shop/web", alike);
    assert_eq!(told(&virtual_servers.check()), [""; 0]);
}

#[test]
fn what_the_api_means_a_slice_to_have_is_read() {
    let (stderr, status) = checked(&slice(100, 1_000));
    assert!(matches!(status, Some(0 | 1)), "{status:?} {stderr}");
}

/// A nat table whose Services, all on port 80 or on one each, come behind this rule.
fn behind(first: &str, services: u32, one_port: bool) -> String {
    let mut text = format!(
        "*nat\n:PREROUTING ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n:KUBE-SERVICES - [0:0]\n\
         {first}\n-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n"
    );
    for n in 0..services {
        let port = if one_port { 80 } else { n + 1 };
        let _ = writeln!(
            text,
            "-A KUBE-SERVICES -d 10.96.{}.{}/32 -p tcp -m comment --comment \"a/b{n} cluster IP\" -m tcp --dport {port} \
             -j KUBE-SVC-{n}\n-A KUBE-SVC-{n} -j KUBE-SEP-A",
            n >> 8,
            n & 255
        );
    }
    text + "-A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.1.1.1:80\nCOMMIT\n"
}

#[test]
fn a_long_rule_is_quoted_only_in_part() {
    let comment = "é".repeat(100_000);
    let rule = format!("-A PREROUTING -p tcp -m comment --comment \"{comment}\" -j ACCEPT");
    let rules = behind(&rule, 2_000, true);
    let (stdout, stderr, status) = bounded("check --no-api -o json").stdin(&rules).output();
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stdout.len() < 20 << 20, "{} bytes", stdout.len());
    let document: Value = serde_json::from_str(&stdout).expect("JSON");
    let findings = document["findings"].as_array().expect("findings");
    let evidence = findings.iter().filter_map(|finding| finding["evidence"].as_array()).flatten();
    let texts: Vec<&str> = evidence.filter_map(|evidence| evidence["text"].as_str()).collect();
    let cut: Vec<&str> = texts.into_iter().filter(|text| text.ends_with('…')).collect();
    assert!(cut.len() >= 2_000, "{}", cut.len());
    assert!(cut.iter().all(|text| rule.starts_with(text.trim_end_matches('…')) && text.len() <= 4096 + '…'.len_utf8()));
    let (stdout, stderr, _) = bounded("check --no-api --all").stdin(&rules).output();
    assert!(stdout.len() < 20 << 20 && stdout.contains("é…\n"), "{} bytes {stderr}", stdout.len());
}

#[test]
fn a_list_of_every_port_is_read_once_for_all_services() {
    let ports: Vec<String> = (1..=12_000).map(|port| port.to_string()).collect();
    let rule = format!("-A PREROUTING -p tcp -m multiport --dports {} -j ACCEPT", ports.join(","));
    // It takes two seconds; with the list read again for each Service it took more than these fifteen.
    let run = kube_ipt("check --no-api").bounded(1000, 15);
    let (stdout, stderr, status) = run.stdin(behind(&rule, 12_000, false)).output();
    assert_eq!(status, Some(1), "{stderr}");
    assert!(stdout.contains("shadowed-frontend"), "{stdout}");
}

#[test]
fn findings_without_end_cost_no_square() {
    let all: Vec<String> =
        (0..120_000).map(|n| format!("10.{}.{}.{}", 96 + (n >> 16), (n >> 8) & 255, n & 255)).collect();
    let found = |run: Run, slug: &str| {
        let (stdout, stderr, status) = run.output();
        assert!(status == Some(1) && stdout.contains(slug), "{slug}: {status:?} {stderr}");
    };
    let elements = |n| format!("{} . tcp . 80 : goto service-ABCDEFGH-a/s{n}/tcp/", &all[n]);
    let map = (0..40_000).map(elements).collect::<Vec<_>>().join(", ");
    let map = format!("\tmap service-ips {{\n\t\telements = {{ {map} }}\n\t}}\n");
    let portal = "\tchain services {\n\t\tip daddr . meta l4proto . th dport vmap @service-ips\n\t}\n";
    let (_room, path) = kept("dangling", format!("table ip kube-proxy {{\n{map}{portal}}}\n").as_bytes());
    found(bounded("check --no-api").arg("-f").arg(path), "dangling-jump");

    let servers = all.iter().fold(String::new(), |text, address| text + "-A -t " + address + ":80 -s rr\n");
    let (_room, servers) = kept("servers", servers.as_bytes());
    let (_other, addresses) =
        kept("addresses", b"1: lo: <LOOPBACK,UP> mtu 65536\n    inet 127.0.0.1/8 scope host lo\n");
    found(bounded("check --no-api").arg("-f").arg(servers).arg("-f").arg(addresses), "missing-address");

    let meta = |n: usize| json!({"name": format!("web-{n}"), "namespace": "shop", "labels": {"kubernetes.io/service-name": "web"}});
    let slice = |n| {
        json!({"kind": "EndpointSlice", "apiVersion": "discovery.k8s.io/v1", "metadata": meta(n), "addressType": "IPv4",
            "ports": [{"name": "", "port": 80}], "endpoints": [{"addresses": [&all[n]]}]})
    };
    let service = json!({"kind": "Service", "apiVersion": "v1", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"clusterIP": "10.96.182.118", "ports": [{"port": 80}]}});
    let objects: Vec<Value> = (0..30_000).map(slice).chain([service]).collect();
    let objects = json!({"kind": "List", "apiVersion": "v1", "items": objects}).to_string();
    let (_room, path) = kept("objects", objects.as_bytes());
    let run = bounded("check --node node1 -f").arg(node("kitchen-sink/node1/save.txt")).arg("--objects").arg(path);
    found(run, "missing-endpoint");
}
