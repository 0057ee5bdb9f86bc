//! The virtual and real servers of one service, as `ipvsadm -Sn` prints them.

use super::survey::{Sketch, Survey, title};
use crate::dataplane::{PoolWalkthrough, RuleNote, ServicePort, Walkthrough};
use crate::dump::ipvs::{RealServer, VirtualServer};

impl Survey<'_> {
    /// The servers that make `port` of `sketch`.
    #[inline]
    pub fn walkthrough(&self, sketch: &Sketch<'_>, port: &ServicePort) -> Walkthrough {
        let servers: Vec<&VirtualServer<'_>> = sketch.servers().flatten().copied().collect();
        let frontends = sketch.servers().map(|servers| servers.iter().map(|server| of_server(server)).collect());
        let pools = port.pools.iter().map(|pool| {
            let of_pool: Vec<&&VirtualServer<'_>> = servers
                .iter()
                .filter(|server| {
                    let lines = server.real.iter().map(|real| real.line);
                    lines
                        .clone()
                        .next()
                        .is_some_and(|line| pool.endpoints.iter().any(|e| e.rules.iter().any(|r| r.line == line)))
                })
                .collect();
            let real = |line: u32| of_pool.iter().flat_map(|server| &server.real).find(move |real| real.line == line);
            let of_endpoint = |endpoint: &crate::dataplane::Endpoint| {
                endpoint.rules.first().and_then(|rule| real(rule.line)).map(of_real).into_iter().collect()
            };
            PoolWalkthrough { head: Vec::new(), endpoints: pool.endpoints.iter().map(of_endpoint).collect() }
        });
        Walkthrough { frontends: frontends.collect(), pools: pools.collect() }
    }
}

#[inline]
fn of_server(server: &VirtualServer<'_>) -> RuleNote {
    let scheduler = server.scheduler.unwrap_or("unknown scheduler");
    let stay = server.persistent.map(|seconds| format!(", clients stay with their endpoint for {seconds} s"));
    let meaning = match scheduler {
        "rr" => "each endpoint in turn",
        "wrr" => "each endpoint in turn, by weight",
        "sh" | "mh" => "by a hash of the client's address",
        "dh" => "by a hash of the destination",
        "lc" | "wlc" | "sed" | "nq" => "the endpoint with the fewest open connections",
        "fo" => "the endpoint of the highest weight",
        _ => "by the state of the endpoints",
    };
    RuleNote {
        line: server.line,
        text: format!("{} {scheduler}", title(server)),
        meaning: format!("{meaning}{}", stay.unwrap_or_default()),
    }
}

#[inline]
fn of_real(real: &RealServer) -> RuleNote {
    let weight = real.weight.map_or_else(|| "?".to_owned(), |weight| weight.to_string());
    let meaning = if real.weight == Some(0) { "draining: no new connections" } else { "connections go there" };
    RuleNote {
        line: real.line,
        text: format!("-> {}:{} weight {weight}", crate::net::Host(real.address), real.port),
        meaning: meaning.to_owned(),
    }
}
