//! Laws that hold for any input of a kind.

use std::fmt::Write as _;

use hashbrown::HashMap;
use kube_ipt::dataplane::{Origin, Pool, Select};
use kube_ipt::dump::ipset::Sets;
use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::net::{Family, Protocol};
use kube_ipt::proxy::KnownNames;
use kube_ipt::proxy::iptables::{Survey, joined, rulesets};
use kube_ipt::trace::{Journey, Locals, Source, Trace};
use proptest::prelude::*;

use crate::cases::gunzip;
use crate::generate;
use crate::run::nodes;

/// The pools of the only service of a dump.
fn pools(dump: &str) -> Vec<Pool> {
    let dumps = [joined(Dump::scan(dump, Hints::default()))];
    let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
    let survey = Survey::of(&rulesets, &KnownNames::default());
    assert_eq!(survey.sketches().len(), 1);
    survey.services(&[&survey.sketches()[0]]).remove(0).pools
}

/// What becomes of a connection to the only Service of a dump.
fn followed(dump: &str) -> Trace {
    let dumps = [joined(Dump::scan(dump, Hints::default()))];
    let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
    let journey = Journey {
        origin: Origin::External,
        source: Source::Outside,
        source_port: None,
        destination: Some([10, 96, 0, 1].into()),
        port: 80,
        protocol: Protocol::Tcp,
        locals: Locals { complete: true, ..Locals::default() },
        pod_networks: &[],
        pod_interfaces: &[],
        comes_in_by: None,
        goes_out_by: None,
        seen: false,
        sets: &Sets::default(),
    };
    kube_ipt::trace::trace(&rulesets[0], &journey, &HashMap::new(), false)
}

const PORTAL: &str =
    "-A KUBE-SERVICES -d 10.96.0.1/32 -p tcp -m comment --comment \"a/b cluster IP\" -m tcp --dport 80 -j KUBE-SVC-X\n";

/// A chain of a random dump: what its rules do, with which probability, to which chain of those behind it.
fn chains() -> impl Strategy<Value = Vec<Vec<(u32, u8, usize)>>> {
    prop::collection::vec(prop::collection::vec((0..=10_000u32, 0..6u8, 0..20usize), 0..6), 1..20)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_pool_as_kube_proxy_writes_it_is_even(n in 1u16..400) {
        let pools = pools(&generate::nat(1, n.into()));
        prop_assert_eq!(pools.len(), 1);
        prop_assert_eq!(pools[0].endpoints.len(), usize::from(n));
        let even = 1.0 / f64::from(n);
        // Ten decimals of kube-proxy and 31 bits of the kernel are each off by half a unit at most.
        let bound = f64::from(n) / 2_147_483_648.0;
        for endpoint in &pools[0].endpoints {
            let share = endpoint.probability.expect("known");
            prop_assert!((share - even).abs() <= bound, "{} is not 1/{}", share, n);
        }
        prop_assert_eq!(pools[0].undelivered, Some(0.0));
    }

    #[test]
    fn shares_and_undelivered_add_up_to_one(chains in chains()) {
        let mut dump = PORTAL.to_owned();
        for (n, rules) in chains.iter().enumerate() {
            let name = if n == 0 { "KUBE-SVC-X".to_owned() } else { format!("C{n}") };
            let _ = writeln!(dump, "-N {name}");
            for (probability, kind, ahead) in rules {
                let part = f64::from(*probability) / 10_000.0;
                let target = match kind {
                    0 => "RETURN".to_owned(),
                    1 => "DROP".to_owned(),
                    2 => format!("DNAT --to-destination 10.0.0.{}:80", ahead + 1),
                    3 => "MARK --set-xmark 0x1/0x1".to_owned(),
                    _ => format!("C{}", n + 1 + ahead),
                };
                let jump = if *kind == 5 { "-g" } else { "-j" };
                let jump = if *kind < 4 { "-j" } else { jump };
                let _ = writeln!(dump, "-A {name} -p tcp -m statistic --mode random --probability {part:.11} {jump} {target}");
            }
        }
        for n in chains.len()..chains.len() + 21 {
            let _ = writeln!(dump, "-N C{n}");
        }
        let pool = &pools(&dump)[0];
        let delivered: f64 = pool.endpoints.iter().map(|e| e.probability.expect("known")).sum();
        let undelivered = pool.undelivered.expect("known");
        prop_assert!((delivered + undelivered - 1.0).abs() < 1e-12, "{} + {}", delivered, undelivered);
        prop_assert!(pool.endpoints.iter().all(|e| (0.0..=1.0).contains(&e.probability.expect("known"))));
        // A packet that is followed rule by rule gets as much from each.
        let followed = followed(&dump);
        let sum: f64 = followed.outcomes.iter().map(|outcome| outcome.probability.expect("known")).sum();
        prop_assert!((sum - 1.0).abs() < 1e-9, "{}", sum);
        for endpoint in &pool.endpoints {
            let part = followed.destinations.iter().find(|d| d.address == endpoint.address);
            let part = part.map_or(0.0, |destination| destination.probability.expect("known"));
            let share = endpoint.probability.expect("known");
            prop_assert!((part - share).abs() < 1e-9, "{}: {} and {}", endpoint.address, part, share);
        }
    }

    #[test]
    fn any_text_is_scanned_and_every_rule_ends(text in "(-A [A-Z]{1,3} [ -~]{0,60}\n|[ -~]{0,40}\n){0,30}") {
        let dump = Dump::scan(&text, Hints::default());
        for section in &dump.sections {
            for raw in section.chains().iter().flat_map(|c| section.rules_of(c)) {
                // What parses is written so that it parses to the same.
                if let Ok(rule) = raw.parse() {
                    let line = format!("-A X {}", rule.emit());
                    let again = Dump::scan(&line, Hints::default());
                    let section = &again.sections[0];
                    let raw = section.rules_of(&section.chains()[0]).next().expect("a rule");
                    prop_assert_eq!(raw.parse().map(|r| r.emit()), Ok(rule.emit()));
                }
            }
        }
    }

    #[test]
    fn any_what_is_understood_or_refused(text in "\\PC{0,30}") {
        match Select::parse(&text) {
            Ok(Select::Name { namespace, service, port }) => {
                // Typed in the usual form it is read as the same.
                let behind = port.as_ref().map(|port| format!(":{port}")).unwrap_or_default();
                let before = namespace.as_ref().map(|namespace| format!("{namespace}/")).unwrap_or_default();
                let again = Select::parse(&format!("{before}{service}{behind}")).map(|select| format!("{select:?}"));
                prop_assert_eq!(again, Ok(format!("{:?}", Select::Name { namespace, service, port })));
            }
            Ok(Select::NodePort(port, _)) => prop_assert!(text.contains(&port.to_string())),
            Ok(_) => {}
            // An error names what cannot be read: of a pattern, what stands between the slashes.
            Err(error) => prop_assert!(error.to_string().contains(text.trim_matches('/')), "{error}"),
        }
    }
}

#[test]
fn generated_dumps_have_the_line_shapes_of_a_recorded_one() {
    let shape = |line: &str| -> String {
        let words = line.split(' ').map(|word| match word {
            w if w.starts_with("KUBE-") && w.len() > 20 => w[..9].to_owned(),
            w if w.starts_with("0.") => "0.".to_owned() + &"9".repeat(w.len() - 2),
            w if w.starts_with("\"big/") => "\"big/SERVICE".to_owned(),
            w => w.chars().filter(|c| !c.is_ascii_digit()).collect(),
        });
        words.collect::<Vec<_>>().join(" ")
    };
    let recorded = gunzip(&nodes().join("large/nat-S.txt.gz"));
    let recorded: std::collections::BTreeSet<String> = recorded.lines().map(shape).collect();
    let generated = generate::nat(100, 20);
    for line in generated.lines() {
        assert!(recorded.contains(&shape(line)), "no recorded line looks like: {line}");
    }
    // The order of the parts is that of the recording as well.
    let first = |text: &str, start: &str| text.lines().position(|l| l.starts_with(start)).expect("is there");
    let order =
        ["-P ", "-N KUBE-SEP", "-N KUBE-SVC", "-A PREROUTING", "-A KUBE-SEP", "-A KUBE-SERVICES", "-A KUBE-SVC"];
    let places: Vec<usize> = order.iter().map(|start| first(&generated, start)).collect();
    assert!(places.is_sorted(), "{places:?}");
}
