//! The real servers of a virtual server, and the share of each.

use super::survey::At;
use smallvec::smallvec;

use crate::dataplane::{Address, Connections, Endpoint, Oddity, Policy, Pool, RuleRef, Traffic};
use crate::dump::ipvs::{RealServer, VirtualServer};

/// How a scheduler spreads new connections in the long run (net/netfilter/ipvs/ip_vs_*.c). A real server without weight
/// gets none from any of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Spread {
    /// Each as many as any other: round robin, and the hash of the destination.
    Alike,
    /// In the ratio of weights: weighted round robin, the hash of the source, Maglev.
    ByWeight,
    /// All to the one of the highest weight.
    ToHighest,
    /// It depends on connections that are open.
    ByLoad,
}

impl Spread {
    fn of(scheduler: Option<&str>) -> Self {
        match scheduler {
            Some("rr" | "dh") => Self::Alike,
            Some("wrr" | "sh" | "mh") => Self::ByWeight,
            Some("fo") => Self::ToHighest,
            _ => Self::ByLoad,
        }
    }
}

/// The pool that a virtual server is.
pub(super) fn pool(
    server: &VirtualServer<'_>,
    at: At,
    policy: Policy,
    hairpin: impl Fn(&RealServer) -> Option<bool>,
) -> Pool {
    let chain = super::survey::title(server);
    let spread = Spread::of(server.scheduler);
    let weight = |real: &RealServer| real.weight.unwrap_or(1);
    let serving = || server.real.iter().filter(|real| weight(real) > 0);
    let sum: f64 = serving().map(|real| f64::from(weight(real))).sum();
    let highest = serving().map(weight).max().unwrap_or_default();
    let highest_count = serving().filter(|real| weight(real) == highest).count();
    #[expect(clippy::cast_precision_loss, reason = "no virtual server has 2^52 real ones")]
    let alike = 1.0 / serving().count() as f64;
    let share = |real: &RealServer| match spread {
        _ if real.weight.is_none() && spread != Spread::Alike => None,
        _ if weight(real) == 0 => Some(0.0),
        Spread::Alike => Some(alike),
        Spread::ByWeight => Some(f64::from(weight(real)) / sum),
        // Which of several is the first depends on when they were added.
        Spread::ToHighest if weight(real) == highest => (highest_count == 1).then_some(1.0),
        Spread::ToHighest => Some(0.0),
        Spread::ByLoad => None,
    };
    let endpoints = server.real.iter().map(|real| Endpoint {
        probability: share(real),
        rules: smallvec![RuleRef { text: at.text, line: real.line }],
        hairpin: hairpin(real),
        draining: real.weight == Some(0),
        traffic: Traffic { connections: connections(real), ..Traffic::default() }.kept(),
        ..Endpoint::blank(Address::Socket(real.address, real.port), chain.as_str())
    });
    let endpoints: Vec<Endpoint> = endpoints.collect();
    let undelivered = if serving().next().is_some() { 0.0 } else { 1.0 };
    let mut pool = Pool {
        endpoints,
        undelivered: Some(undelivered),
        scheduler: server.scheduler.map(str::to_owned),
        may_lack_rules: server.is_doubtful,
        may_have_others: server.is_doubtful,
        ..Pool::blank(policy, chain)
    };
    if server.is_doubtful {
        pool.forget_shares(Oddity::Incomplete(pool.chain.clone()));
    }
    pool
}

fn connections(real: &RealServer) -> Option<Connections> {
    let known = real.active.is_some() || real.connections.is_some();
    known.then_some(Connections { active: real.active, inactive: real.inactive, total: real.connections })
}
