//! A pool: the chain that spreads a service's connections, and what it does.

use super::matching::{Connection, Destination};
use super::ruleset::Table;
use super::translate::Recovery;
use super::walk;
use crate::dataplane::{Oddity, Policy, Pool};
use crate::net::Protocol;
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

/// Walks the pool's chain; the second value is the seconds of ClientIP affinity.
pub(super) fn pool(
    table: Table<'_>,
    at: PoolRef<'_>,
    protocol: Option<Protocol>,
    recovery: &mut Recovery<'_>,
) -> (Pool, Option<u32>) {
    let connection = Connection { origin: None, pods: &[], protocol, destination: Destination::Any, port: None };
    let spread = match table.section.chain_id(at.chain) {
        Some(root) => walk::spread(table, root, connection, recovery),
        None => walk::Spread { oddities: vec![Oddity::Missing(at.chain.to_owned())], ..walk::Spread::default() },
    };
    let pool = Pool {
        policy: at.policy,
        chain: at.chain.to_owned(),
        endpoints: spread.endpoints,
        undelivered: spread.undelivered,
        oddities: spread.oddities,
    };
    (pool, spread.affinity_seconds)
}
