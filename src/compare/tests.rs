//! Each fact by itself.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use super::{Change, Comparison, Kept, Known, Side, Turn, Unknown, Which, align, compare};
use crate::dataplane::{
    AboutEndpoint, AboutService, Absent, Address, Endpoint, Frontend, FrontendKind, Origin, Policy, Pool, Route,
    RuleRef, ServiceName, ServicePort, Stale, Standing, State, Traffic, Verdict,
};
use crate::net::{Family, Network, Protocol};

const KNOWN: [Known; 1] = [Known { family: Family::Ipv4, whole: true, refusals: true, sources: true, policies: true }];

fn ip(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn endpoint(last: u8, share: f64) -> Endpoint {
    let blank = Endpoint::blank(Address::Socket(ip(last), 80), &format!("KUBE-SEP-{last}"));
    Endpoint { probability: Some(share), ..blank }
}

fn route(origin: Origin, verdict: Verdict) -> Route {
    Route { origin, sources: Vec::new(), verdict, masquerade: Some(origin != Origin::Pod) }
}

fn frontend(kind: FrontendKind, address: Option<IpAddr>, port: u16, verdict: Verdict) -> Frontend {
    Frontend {
        kind,
        address,
        port: Some(port),
        every_port: false,
        routes: Origin::ALL.map(|origin| route(origin, verdict)).to_vec(),
        rules: vec![RuleRef { text: 0, line: 1 }],
        refusal: None,
    }
}

/// A Service `a/NAME` at 10.0.0.`last`:80 with these endpoints, each with its share.
pub(super) fn service(name: &str, last: u8, endpoints: &[(u8, f64)]) -> ServicePort {
    let pool = Pool {
        endpoints: endpoints.iter().map(|(last, share)| endpoint(*last, *share)).collect(),
        undelivered: Some((1.0 - endpoints.iter().map(|(_, share)| share).sum::<f64>()).max(0.0)),
        ..Pool::blank(Policy::Cluster, format!("KUBE-SVC-{name}"))
    };
    let verdict = Verdict::Pool(Policy::Cluster);
    ServicePort {
        name: ServiceName::parse(&format!("a/{name}")),
        key: name.to_uppercase(),
        protocol: Some(Protocol::Tcp),
        family: Family::Ipv4,
        frontends: vec![frontend(FrontendKind::ClusterIp, Some(ip(last)), 80, verdict)],
        pools: vec![pool],
        affinity_seconds: None,
        other_affinity: Vec::new(),
        draining: Vec::new(),
        dead_ends: Vec::new(),
        repeated: Vec::new(),
        of_proxy: true,
        about: None,
    }
}

/// The same with what the cluster says: the state of each endpoint, and endpoints that are missing.
pub(super) fn told(mut port: ServicePort, states: &[State], missing: &[u8]) -> ServicePort {
    let about = |state: &State| AboutEndpoint {
        pod: Some(Arc::from("a/pod")),
        node: None,
        local: None,
        state: state.clone(),
        wanted: None,
    };
    for pool in &mut port.pools {
        for (endpoint, state) in pool.endpoints.iter_mut().zip(states) {
            endpoint.about = Some(Box::new(about(state)));
        }
        pool.expected = Some(Ok(states.len()));
        let absent = |last: &u8| Absent { address: Address::Socket(ip(*last), 80), about: about(&State::Ready) };
        pool.missing = missing.iter().map(absent).collect();
    }
    port.about = Some(Box::new(AboutService {
        service_type: Some("ClusterIP"),
        standing: Standing::Served,
        unprogrammed: Vec::new(),
        waiting: Vec::new(),
        rules_complete: true,
        gap: None,
        drifts: Vec::new(),
    }));
    port
}

fn side<'s>(services: &'s [ServicePort], known: &'s [Known]) -> Side<'s> {
    Side { services, known, objects: services.iter().any(|port| port.about.is_some()) }
}

pub(super) fn compared<'c>(a: &'c [ServicePort], b: &'c [ServicePort]) -> Comparison<'c> {
    compare(side(a, &KNOWN), side(b, &KNOWN), |_| true)
}

/// Every change in one line, told from A to B, or with `back` from B to A.
pub(super) fn said(comparison: &Comparison<'_>, back: bool) -> Vec<String> {
    let mut all = Vec::new();
    for difference in &comparison.differences {
        let name = difference.name().map_or_else(|| difference.port.frontends[0].at(), ToString::to_string);
        let sides = (difference.a.is_some(), difference.b.is_some());
        let (a, b) = if back { (sides.1, sides.0) } else { sides };
        all.push(format!("{name} {a} {b}"));
        all.extend(difference.changes.iter().map(|change| format!("{name}: {}", one(change, back))));
    }
    all.sort();
    all
}

fn one(change: &Change<'_>, back: bool) -> String {
    fn pair<T: std::fmt::Debug>(a: T, b: T, back: bool) -> String {
        if back { format!("{b:?} to {a:?}") } else { format!("{a:?} to {b:?}") }
    }
    fn way<T: Copy>(turn: Turn<T>, back: bool) -> &'static str {
        if matches!(turn, Turn::Gained(_)) == back { "lost" } else { "gained" }
    }
    match change {
        Change::Status(a, b) => format!("status {}", pair(a.as_str(), b.as_str(), back)),
        Change::Type(a, b) => format!("type {}", pair(a, b, back)),
        Change::Affinity(a, b) => format!("affinity {}", pair(a, b, back)),
        Change::Frontend(turn) => format!("{} {}", turn.it().at(), way(*turn, back)),
        Change::Verdict(at, a, b) => {
            format!("{} {:?} {:?} {}", at.frontend.at(), at.origin, at.source, pair(a, b, back))
        }
        Change::Masquerade(at, a, b) => format!("{} {:?} masked {}", at.frontend.at(), at.origin, pair(a, b, back)),
        Change::Scheduler(_, a, b) => format!("scheduler {}", pair(a, b, back)),
        Change::Undelivered(_, a, b) => format!("undelivered {}", pair(format!("{a:.2}"), format!("{b:.2}"), back)),
        Change::Endpoint(_, turn) => format!("{} {}", turn.it().address, way(*turn, back)),
        Change::Kept(_, Kept::Share, a, b) => {
            format!("{} share {}", a.address, pair(a.probability, b.probability, back))
        }
        Change::Kept(_, Kept::State, a, b) => {
            let state = |e: &Endpoint| e.about.as_ref().map_or("", |about| about.state.as_str());
            format!("{} {}", a.address, pair(state(a), state(b), back))
        }
        Change::Kept(_, Kept::Draining, a, b) => {
            format!("{} draining {}", a.address, pair(a.draining, b.draining, back))
        }
        Change::Kept(_, Kept::Hairpin, a, b) => format!("{} hairpin {}", a.address, pair(a.hairpin, b.hairpin, back)),
        Change::Missing(_, turn) => format!("{} missing {}", turn.it().address, way(*turn, back)),
    }
}

fn changes(a: &ServicePort, b: &ServicePort) -> Vec<String> {
    let (a, b) = (std::slice::from_ref(a), std::slice::from_ref(b));
    said(&compared(a, b), false).into_iter().filter_map(|line| Some(line.split_once(": ")?.1.to_owned())).collect()
}

#[test]
fn order_counters_and_chains_are_no_difference() {
    let a = service("web", 1, &[(11, 0.5), (12, 0.5)]);
    let mut b = a.clone();
    b.pools[0].endpoints.reverse();
    b.pools[0].endpoints[0].traffic = Traffic { packets: Some(7), ..Traffic::default() }.kept();
    b.pools[0].endpoints[1].chain = "KUBE-SEP-OTHER".into();
    b.pools[0].chain = "KUBE-SVC-OTHER".to_owned();
    b.key = "OTHER".to_owned();
    b.frontends[0].rules = vec![RuleRef { text: 3, line: 900 }];
    b.frontends[0].routes.reverse();
    // Whether an address is an external IP or a load balancer's, comments tell and rules without them do not.
    b.frontends[0].kind = FrontendKind::ExternalIp;
    assert_eq!(changes(&a, &b), Vec::<String>::new());
}

#[test]
fn a_pod_replaced_is_an_endpoint_lost_and_one_gained() {
    let a = service("web", 1, &[(11, 0.5), (12, 0.5)]);
    assert_eq!(changes(&a, &service("web", 1, &[(11, 0.5), (13, 0.5)])), ["10.0.0.12:80 lost", "10.0.0.13:80 gained"]);
    let third = 1.0 / 3.0;
    assert_eq!(
        changes(&a, &service("web", 1, &[(11, third), (12, third), (13, third)])),
        [
            "10.0.0.11:80 share Some(0.5) to Some(0.3333333333333333)",
            "10.0.0.12:80 share Some(0.5) to Some(0.3333333333333333)",
            "10.0.0.13:80 gained",
        ]
    );
}

/// Three endpoints as kube-proxy writes them since 1.17, before, and in exact thirds: by their place shares differ a little.
#[test]
fn rounding_is_no_difference_and_a_leak_is() {
    let new = service(
        "web",
        1,
        &[(11, 0.333_333_333_488_553_76), (12, 0.333_333_333_255_723_1), (13, 0.333_333_333_255_723_1)],
    );
    let moved = service(
        "web",
        1,
        &[(12, 0.333_333_333_488_553_76), (13, 0.333_333_333_255_723_1), (11, 0.333_333_333_255_723_1)],
    );
    let old = service("web", 1, &[(11, 0.333_330), (12, 0.333_335), (13, 0.333_335)]);
    let exact = service("web", 1, &[(11, 1.0 / 3.0), (12, 1.0 / 3.0), (13, 1.0 / 3.0)]);
    for (a, b) in [(&new, &moved), (&new, &old), (&new, &exact), (&old, &exact)] {
        assert_eq!(changes(a, b), Vec::<String>::new());
    }
    let leaky = service("web", 1, &[(11, 0.33), (12, 0.33), (13, 0.33)]);
    assert_eq!(
        changes(&new, &leaky)[3..],
        [r#"undelivered "0.00" to "0.01""#],
        "and three shares: {:?}",
        changes(&new, &leaky)
    );
}

#[test]
fn states_are_compared_where_both_sides_tell_them() {
    let rules = service("web", 1, &[(11, 0.5), (12, 0.5)]);
    let before = told(rules.clone(), &[State::Ready, State::Ready], &[]);
    let after = told(rules.clone(), &[State::Stale(Stale::Deleted), State::Ready], &[13]);
    assert_eq!(
        changes(&before, &after),
        [r#"10.0.0.11:80 "ready" to "stale""#, "10.0.0.13:80 missing gained", r#"status "ok" to "stale""#]
    );
    let (a, b) = (std::slice::from_ref(&before), std::slice::from_ref(&rules));
    let comparison = compared(a, b);
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.unknown, BTreeMap::from([(Unknown::Objects(Which::B), 1)]));
}

#[test]
fn frontends_and_what_becomes_of_their_connections() {
    let a = service("web", 1, &[(11, 1.0)]);
    let mut b = a.clone();
    b.affinity_seconds = Some(10_800);
    b.frontends.push(frontend(FrontendKind::NodePort, None, 30_080, Verdict::Pool(Policy::Cluster)));
    b.frontends[0].routes[1].masquerade = Some(false);
    b.frontends[0].routes[2].verdict = Verdict::Drop;
    let range = Network::parse("192.0.2.0/24").expect("a network");
    b.frontends[0]
        .routes
        .push(Route { sources: vec![range], ..route(Origin::External, Verdict::Pool(Policy::Cluster)) });
    assert_eq!(
        changes(&a, &b),
        [
            "10.0.0.1:80 External None Some(Pool(Cluster)) to Some(Drop)",
            "10.0.0.1:80 External Some(Network(192.0.2.0/24)) None to Some(Pool(Cluster))",
            "10.0.0.1:80 Node masked true to false",
            ":30080 gained",
            "affinity None to Some(10800)",
        ]
    );
    // How rules group networks does not matter.
    let other = Network::parse("198.51.100.0/24").expect("a network");
    let mut one = b.clone();
    one.frontends[0].routes[3].sources = vec![other, range];
    let second = Route { sources: vec![other], ..b.frontends[0].routes[3].clone() };
    b.frontends[0].routes.push(second);
    assert_eq!(changes(&one, &b), Vec::<String>::new());
}

#[test]
fn hairpin_draining_and_schedulers() {
    let mut a = service("web", 1, &[(11, 1.0), (12, 0.0)]);
    a.pools[0].scheduler = Some("rr".to_owned());
    a.pools[0].endpoints[0].hairpin = Some(true);
    let mut b = a.clone();
    b.pools[0].scheduler = Some("wrr".to_owned());
    b.pools[0].endpoints[0].hairpin = Some(false);
    b.pools[0].endpoints[1].draining = true;
    assert_eq!(
        changes(&a, &b),
        [
            "10.0.0.11:80 hairpin Some(true) to Some(false)",
            "10.0.0.12:80 draining false to true",
            r#"scheduler "rr" to "wrr""#,
        ]
    );
}

#[test]
fn what_one_side_does_not_tell_is_counted() {
    let a = service("web", 1, &[(11, 0.5), (12, 0.5)]);
    let count = |b: &ServicePort, known: &[Known]| {
        let (a, b) = (std::slice::from_ref(&a), std::slice::from_ref(b));
        let comparison = compare(side(a, &KNOWN), side(b, known), |_| true);
        assert_eq!(said(&comparison, false), Vec::<String>::new());
        comparison.unknown.into_iter().collect::<Vec<_>>()
    };
    let parts = [Known { whole: false, ..KNOWN[0] }];
    // A pool with a hole may have lost its lines; one that adds up to all connections has not.
    let cut = service("web", 1, &[(11, 0.5)]);
    assert_eq!(count(&cut, &parts), [(Unknown::Lines(Which::B, Family::Ipv4), 1)]);
    assert_eq!(count(&a, &[]), [(Unknown::Family(Which::B, Family::Ipv4), 1)]);
    let mut hidden = a.clone();
    hidden.pools[0].endpoints[1].address = Address::Unknown;
    hidden.pools[0].endpoints[1].chain = "KUBE-SEP-X".into();
    assert_eq!(count(&hidden, &KNOWN), [(Unknown::Addresses(Which::B), 2)]);
    let mut vague = a.clone();
    vague.pools[0].endpoints[0].probability = None;
    vague.frontends[0].routes[1].masquerade = None;
    vague.frontends[0].routes[2].verdict = Verdict::Unknown;
    assert_eq!(count(&vague, &KNOWN), [(Unknown::Judgement(Which::B), 2), (Unknown::Masquerade(Which::B), 1)]);
}

#[test]
fn a_nat_table_alone_tells_no_refusals() {
    let mut refused = service("web", 1, &[]);
    refused.pools.clear();
    refused.frontends[0] = frontend(FrontendKind::ClusterIp, Some(ip(1)), 80, Verdict::Reject);
    let a = [refused];
    let nat = [Known { refusals: false, ..KNOWN[0] }];
    let comparison = compare(side(&a, &KNOWN), side(&[], &nat), |_| true);
    assert_eq!(comparison.differences, []);
    assert_eq!(comparison.unknown, BTreeMap::from([(Unknown::Refusals(Which::B, Family::Ipv4), 1)]));
    assert_eq!(
        said(&compare(side(&a, &KNOWN), side(&[], &KNOWN), |_| true), false),
        ["a/web true false", "a/web: 10.0.0.1:80 lost"]
    );
}

#[test]
fn names_are_learned_from_the_other_side() {
    let mut a = vec![service("web", 1, &[(11, 1.0)]), service("api", 2, &[(12, 1.0)]), service("own", 3, &[(13, 1.0)])];
    let mut b = a.clone();
    // By the hash in the chains' names, by an address, and not at all.
    b[0].name = None;
    b[0].frontends[0].address = Some(ip(77));
    b[1].name = None;
    b[1].key = "X".to_owned();
    a[2].name = None;
    b[2].name = None;
    a[2].key = "Y".to_owned();
    align(&mut a, &mut b);
    let names =
        |ports: &[ServicePort]| ports.iter().map(|p| p.name.as_ref().map(ToString::to_string)).collect::<Vec<_>>();
    assert_eq!(names(&b), [Some("a/web".to_owned()), Some("a/api".to_owned()), None]);
    assert_eq!(
        said(&compared(&a, &b), false),
        ["a/web true true", "a/web: 10.0.0.1:80 lost", "a/web: 10.0.0.77:80 gained",]
    );
}

#[test]
fn virtual_servers_of_one_service_become_one() {
    let mut a = vec![service("web", 1, &[(11, 1.0)])];
    a[0].frontends.push(frontend(FrontendKind::NodePort, None, 30_080, Verdict::Pool(Policy::Cluster)));
    let mut parts: Vec<ServicePort> = a[0]
        .frontends
        .iter()
        .map(|one| ServicePort { name: None, key: one.at(), frontends: vec![one.clone()], ..a[0].clone() })
        .collect();
    align(&mut a, &mut parts);
    assert_eq!((parts.len(), parts[0].frontends.len(), parts[0].pools.len()), (1, 2, 1));
    assert_eq!(said(&compared(&a, &parts), false), Vec::<String>::new());
}

/// Thirty thousand endpoints, all replaced: looking at every pair would take minutes.
#[test]
fn large_pools_cost_no_squares() {
    let large = |offset: u32| {
        let mut port = service("big", 1, &[]);
        let address = |n: u32| Address::Socket(Ipv4Addr::from(0x0a80_0000 + offset + n).into(), 80);
        let all =
            (0..30_000).map(|n| Endpoint { probability: Some(1e-5), ..Endpoint::blank(address(n), &format!("E{n}")) });
        port.pools[0].endpoints = all.collect();
        port.pools[0].undelivered = Some(0.0);
        port
    };
    let (a, b) = ([large(0)], [large(1_000_000)]);
    let comparison = compared(&a, &b);
    assert_eq!(comparison.differences[0].changes.len(), 60_000);
}
