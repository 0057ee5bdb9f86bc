//! A recorded node, so that anyone can see the tool work with no cluster, no root and no file.

use super::{Bundle, Capture};

/// `iptables-save` of node1 with one Deployment of three nginx pods behind `nginx-demo/nginx-service`.
const IN_SYNC: &str = include_str!("../../fixtures/nodes/seed/in-sync/save.txt");

/// The recording.
pub fn demo() -> Bundle {
    let capture = Capture { label: "demo".to_owned(), text: IN_SYNC.to_owned(), command: None };
    Bundle { captures: vec![capture], ..Bundle::default() }
}
