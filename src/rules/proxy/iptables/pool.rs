//! A pool: the chain that spreads a service's connections, and what it does.

use std::net::IpAddr;

use super::followed::Followed;
use super::matching::{Client, Connection, Destination, PodSide};
use super::ruleset::Table;
use super::spread;
use super::translate::Recovery;
use crate::dataplane::{Oddity, Policy, Pool};
use crate::net::Protocol;
use crate::proxy::allowance::Allowance;
use crate::proxy::chain_name::ChainKind;

/// A chain connections end in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PoolRef<'d> {
    /// Which endpoints it should hold, told from its name.
    pub(super) policy: Policy,
    /// The chain.
    pub(super) chain: &'d str,
}

impl<'d> PoolRef<'d> {
    /// The pool that `chain` is.
    pub(super) fn of(chain: &'d str) -> Self {
        let policy = match ChainKind::of(chain) {
            ChainKind::Local | ChainKind::ExternalLocal => Policy::Local,
            _ => Policy::Cluster,
        };
        Self { policy, chain }
    }
}

/// Walks the pool's chain for connections to one of `frontends`; the second value is the seconds of ClientIP affinity. With the
/// allowance comes whether the chain is the Service's own.
pub(super) fn pool(
    (table, followed): (Table<'_>, &Followed),
    at: PoolRef<'_>,
    (protocol, pods): (Option<Protocol>, PodSide<'_>),
    frontends: &[(Option<IpAddr>, Option<u16>)],
    recovery: &mut Recovery<'_>,
    limits: (Allowance, bool),
) -> (Pool, Option<u32>) {
    // KUBE-XLB parts pods and the node from others before it spreads what is left; in other pools nobody is told apart.
    let parts_clients = ChainKind::of(at.chain) == ChainKind::ExternalLocal;
    let client = if parts_clients { Client::Plain } else { Client::Anyone };
    let connection = Connection {
        client,
        pods: PodSide { networks: &[], ..pods },
        protocol,
        destination: Destination::OneOf(frontends),
    };
    let root =
        table.section.chain_id(at.chain).filter(|&id| !table.section.cut_off || !table.section.chains()[id].is_empty());
    let spread = match root {
        Some(root) => spread::spread((table, followed), root, connection, recovery, limits),
        None => spread::Spread { oddities: vec![Oddity::Missing(at.chain.to_owned())], ..spread::Spread::default() },
    };
    let mut pool = Pool {
        endpoints: spread.endpoints,
        undelivered: spread.undelivered,
        oddities: spread.oddities,
        dead_ends: spread.dead_ends,
        repeated: spread.repeated,
        sticky: spread.sticky,
        setting: spread.setting,
        garbled: spread.garbled,
        abbreviated: spread.abbreviated,
        may_lack_rules: root.is_some_and(|root| table.section.may_lack_rules(&table.section.chains()[root])),
        ..Pool::blank(at.policy, at.chain.to_owned())
    };
    if let Some(chain) = spread.incomplete {
        let unordered = table.section.is_unordered();
        pool.forget_shares(if unordered { Oddity::Unordered } else { Oddity::Incomplete(chain) });
    }
    (pool, spread.affinity_seconds)
}
