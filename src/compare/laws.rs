//! Laws that hold for any two dataplanes.

use proptest::prelude::*;

use super::align;
use super::tests::{compared, said, service, told};
use crate::dataplane::{Policy, ServicePort, Stale, State, Verdict};

fn dataplane() -> impl Strategy<Value = Vec<ServicePort>> {
    let states =
        prop::sample::select(vec![State::Ready, State::NotReady, State::Unknown, State::Stale(Stale::Deleted)]);
    let verdicts = prop::sample::select(vec![
        Verdict::Pool(Policy::Cluster),
        Verdict::Pool(Policy::Local),
        Verdict::Drop,
        Verdict::Reject,
        Verdict::None,
        Verdict::Unknown,
    ]);
    let endpoints = prop::collection::vec((10u8..16, prop::option::of(0u8..4), states), 0..5);
    let port = (
        endpoints,
        verdicts,
        prop::option::of(1u32..3),
        any::<bool>(),
        any::<bool>(),
        prop::collection::vec(10u8..16, 0..2),
    );
    prop::collection::vec(port, 0..4).prop_map(|ports| {
        let mut all = Vec::new();
        for ((n, name), (endpoints, verdict, affinity, objects, named, missing)) in
            (0u8..).zip(["web", "api", "dns", "own"]).zip(ports)
        {
            let shares: Vec<(u8, f64)> =
                endpoints.iter().map(|(last, share, _)| (*last, f64::from(share.unwrap_or(0)) / 8.0)).collect();
            let mut port = service(name, n, &shares);
            for (endpoint, (_, share, _)) in port.pools[0].endpoints.iter_mut().zip(&endpoints) {
                endpoint.probability = endpoint.probability.filter(|_| share.is_some());
            }
            port.frontends[0].routes[2].verdict = verdict;
            port.affinity_seconds = affinity;
            if objects {
                let states: Vec<State> = endpoints.into_iter().map(|(.., state)| state).collect();
                port = told(port, &states, &missing);
            }
            port.name = port.name.filter(|_| named);
            all.push(port);
        }
        all
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_dataplane_is_as_itself(x in dataplane()) {
        let (mut a, mut b) = (x.clone(), x);
        align(&mut a, &mut b);
        prop_assert_eq!(said(&compared(&a, &b), false), Vec::<String>::new());
    }

    #[test]
    fn the_way_back_is_the_way_there_backwards(a in dataplane(), b in dataplane()) {
        let (mut one, mut other) = (a.clone(), b.clone());
        align(&mut one, &mut other);
        let there = compared(&one, &other);
        let (mut one_again, mut other_again) = (a, b);
        align(&mut other_again, &mut one_again);
        let back = compared(&other_again, &one_again);
        prop_assert_eq!(said(&there, false), said(&back, true));
        prop_assert_eq!(there.common, back.common);
        prop_assert_eq!(there.unknown.values().sum::<usize>(), back.unknown.values().sum::<usize>());
    }
}
