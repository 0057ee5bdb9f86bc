//! Services that lead to chains which are not theirs alone: what all of them cost together stays in step with the text.

use std::fmt::Write as _;

use serde_json::Value;

use crate::run::{Run, kube_ipt};

/// Memory in MiB and seconds of a processor, enough for a debug build; without a limit in the program both are exceeded.
fn bounded(args: &str) -> Run {
    kube_ipt(args).bounded(600, 60)
}

/// A nat table with so many Services, each with a rule of its own behind its frontend.
fn nat(services: usize, own: impl Fn(usize) -> String, rest: &str) -> String {
    let mut text =
        "*nat\n:PREROUTING ACCEPT [0:0]\n:INPUT ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n:POSTROUTING ACCEPT [0:0]\n\
        :KUBE-SERVICES - [0:0]\n:KUBE-NODEPORTS - [0:0]\n-A PREROUTING -j KUBE-SERVICES\n-A OUTPUT -j KUBE-SERVICES\n"
            .to_owned();
    for n in 0..services {
        let (high, low) = (n >> 8, n & 255);
        writeln!(
            text,
            "-A KUBE-SERVICES -d 10.96.{high}.{low}/32 -p tcp -m comment --comment \"ns/s{n} cluster IP\" -m tcp --dport 80 -j {}",
            chain(n)
        )
        .expect("a text");
    }
    for n in 0..services {
        writeln!(text, "-A {} {}", chain(n), own(n)).expect("a text");
    }
    text + rest + "COMMIT\n"
}

fn chain(n: usize) -> String {
    format!("KUBE-SVC-{n:016}")
}

/// A chain with so many endpoints.
fn pool(name: &str, endpoints: usize) -> String {
    let mut text = String::new();
    for n in 0..endpoints {
        let chance = if n + 1 == endpoints {
            String::new()
        } else {
            format!(
                "-m statistic --mode random --probability {:.11} ",
                1.0 / f64::from(u32::try_from(endpoints - n).expect("few"))
            )
        };
        writeln!(text, "-A {name} {chance}-j KUBE-SEP-{n:016}").expect("a text");
    }
    for n in 0..endpoints {
        let (high, low) = (n >> 8, n & 255);
        writeln!(text, "-A KUBE-SEP-{n:016} -s 10.244.{high}.{low}/32 -j KUBE-MARK-MASQ").expect("a text");
        writeln!(text, "-A KUBE-SEP-{n:016} -p tcp -m tcp -j DNAT --to-destination 10.244.{high}.{low}:80")
            .expect("a text");
    }
    text
}

/// The pool of the first of the services, and how many services there are.
fn first(run: Run) -> (Value, usize) {
    let document: Value = serde_json::from_str(&run.output().0).expect("an answer");
    let services = document["services"].as_array().expect("services");
    (services[0]["pools"][0].clone(), services.len())
}

#[test]
fn a_pool_that_all_services_share_is_followed_for_few_only() {
    let text = nat(5_000, |_| "-j SHARED".to_owned(), &pool("SHARED", 5_000));
    let (pool, services) = first(bounded("list --no-api -o json").stdin(&text));
    assert_eq!((&pool["undelivered"], &pool["endpoints"], services), (&Value::Null, &Value::Array(Vec::new()), 5_000));
    let said = "SHARED is not followed: it is no chain of this Service alone, and too many rules are behind it";
    let shown = bounded("show --no-api --all /s1./").stdin(&text).output().0;
    assert!(shown.contains(said), "{}", &shown[..500]);
    // One by itself is.
    let (pool, _) = first(bounded("show s17 --no-api -o json").stdin(&text));
    assert_eq!(pool["undelivered"], 0.0);
    assert_eq!(pool["endpoints"].as_array().map(Vec::len), Some(5_000));
}

#[test]
fn a_pool_of_its_own_is_followed_however_many_services_there_are() {
    let own = |n: usize| if n == 0 { "-j ACCEPT".to_owned() } else { String::from("-j KUBE-MARK-MASQ") };
    let rest = pool(&chain(4_999), 3_000);
    let text = nat(5_000, own, &rest);
    let document: Value =
        serde_json::from_str(&bounded("list --no-api -o json").stdin(&text).output().0).expect("JSON");
    let wide = document["services"].as_array().expect("services").iter().find(|s| s["service"] == "ns/s4999");
    let pool = &wide.expect("it is there")["pools"][0];
    assert_eq!((&pool["undelivered"], pool["endpoints"].as_array().map(Vec::len)), (&Value::from(0.0), Some(3_000)));
}

#[test]
fn a_pool_that_all_services_are_is_followed_for_few_only() {
    let text = nat(5_000, |_| format!("-j {}", chain(0)), &pool(&chain(0), 5_000))
        .replace(&format!("-A {} -j {}\n", chain(0), chain(0)), "");
    let renamed = text
        .replace("-j KUBE-SVC-", "-j KUBE-EXT-")
        .replace("-A KUBE-SVC-", "-A KUBE-EXT-")
        .replace(&format!("KUBE-EXT-{:016}", 0), &chain(0));
    for text in [text, renamed] {
        let document = bounded("list --no-api -o json").stdin(&text).output().0;
        assert!(document.len() < 30_000_000, "{} bytes", document.len());
        let document: Value = serde_json::from_str(&document).expect("JSON");
        let services = document["services"].as_array().expect("services");
        let known: Vec<_> =
            services.iter().filter(|s| s["pools"][0]["undelivered"] == 0.0).map(|s| &s["service"]).collect();
        assert_eq!(known, ["ns/s0"]);
    }
}

#[test]
fn services_that_lead_to_each_other_cost_no_square() {
    let leads = |n: usize| {
        if n == 19_999 {
            "-j ACCEPT".to_owned()
        } else {
            format!("-m statistic --mode random --probability 0.5 -j {}", chain(n + 1))
        }
    };
    let (pool, services) = first(bounded("list --no-api -o json").stdin(nat(20_000, leads, "")));
    assert_eq!((&pool["undelivered"], services), (&Value::Null, 20_000));
}

#[test]
fn chains_between_frontends_and_pools_that_all_share_are_followed_for_few_only() {
    let mut shared = String::new();
    for n in 0..1_900 {
        writeln!(shared, "-A SHARED -s 192.0.{}.{}/32 -p udp -j KUBE-MARK-MASQ", n >> 8, n & 255).expect("a text");
    }
    let text = nat(8_000, |_| "-j SHARED".to_owned(), &shared).replace("KUBE-SVC-", "KUBE-FW-");
    let verdict = |args: &str| {
        let document: Value = serde_json::from_str(&bounded(args).stdin(&text).output().0).expect("JSON");
        document["services"][0]["frontends"][0]["routes"][2]["verdict"].clone()
    };
    assert_eq!(verdict("list --no-api -o json"), Value::Null);
    assert_eq!(verdict("show s17 --no-api -o json"), "none");
}

#[test]
fn in_nftables_mode_too() {
    let services = 1_000;
    let mut text = "table ip kube-proxy {\n map service-ips {\n  type ipv4_addr . inet_proto . inet_service : verdict\n  elements = { ".to_owned();
    for n in 0..services {
        write!(text, "10.96.{}.{} . tcp . 80 : goto service-Z{n:07}-ns/s{n}/tcp/, ", n >> 8, n & 255).expect("a text");
    }
    text += "}\n }\n";
    for n in 0..services {
        writeln!(text, " chain service-Z{n:07}-ns/s{n}/tcp/ {{\n  jump shared\n }}").expect("a text");
    }
    let pairs: Vec<String> = (0..services).map(|n| format!("{n} : goto endpoint-{n:08}")).collect();
    writeln!(text, " chain shared {{\n  numgen random mod {services} vmap {{ {} }}\n }}", pairs.join(", "))
        .expect("a text");
    for n in 0..services {
        writeln!(text, " chain endpoint-{n:08} {{\n  meta l4proto tcp dnat to 10.1.{}.{}:80\n }}", n >> 8, n & 255)
            .expect("a text");
    }
    text += " chain services {\n  ip daddr . meta l4proto . th dport vmap @service-ips\n }\n\
        \x20chain nat-prerouting {\n  type nat hook prerouting priority dstnat; policy accept;\n  jump services\n }\n}\n";
    let (pool, count) = first(bounded("list --no-api -o json").stdin(&text));
    assert_eq!((&pool["undelivered"], count), (&Value::Null, services));
    let (pool, _) = first(bounded("show s17 --no-api -o json").stdin(&text));
    assert_eq!(pool["endpoints"].as_array().map(Vec::len), Some(services));
}
