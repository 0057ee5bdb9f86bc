//! What a large cluster costs its API server: how often it is asked.

use crate::cluster::Cluster;
use crate::generate;
use crate::stand_in::{Reply, StandIn};

/// Services of the cluster, and endpoints of each.
const SIZE: (usize, usize) = (2000, 20);

#[test]
fn a_list_is_asked_for_once_or_in_its_pages() {
    // API servers give lists whole from their cache; one that did not would give pages of five hundred.
    for (in_pages, requests) in [(false, 3), (true, 1 + 2 * 5)] {
        let cluster = Cluster::new(SIZE.0, SIZE.1);
        let server = StandIn::new(move |target| {
            let target = if in_pages { target.replace("&resourceVersion=0", "") } else { target.to_owned() };
            let answer = cluster.answer(&target, false);
            assert!(!answer.is_packed, "it was not asked to be");
            Reply::Body(answer.status, answer.body.clone())
        });
        let run = server.run("list --family ipv4 --node node-0").stdin(generate::nat(1, SIZE.1));
        let (stdout, stderr, code) = run.output();
        let waiting = "note: waiting for the API server; --no-api shows the rules alone";
        assert_eq!(stderr.lines().filter(|line| *line != waiting).collect::<Vec<_>>(), [""; 0]);
        assert_eq!(code, Some(0));
        assert_eq!(stdout.lines().count(), 2 + SIZE.0, "a line of titles, and default/kubernetes");
        assert_eq!(server.asked().len(), requests, "{:?}", server.asked());
    }
}
