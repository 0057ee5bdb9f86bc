//! What becomes of connections to the cluster IP of a Service at another port than its own: kube-proxy rejects them, and drops
//! what is for addresses that are free (`cluster-ips-check`, pkg/proxy/nftables/proxier.go, since 1.30).

use std::net::IpAddr;

use hashbrown::HashSet;

use crate::dump::nft::{Data, Rule, Selector, Statement, Table, Verdict};
use crate::net::Network;

const CHAIN: &str = "cluster-ips-check";

/// Addresses at which they are rejected.
pub fn rejected(table: &Table<'_>) -> HashSet<IpAddr> {
    let rejects = |rule: &Rule<'_>| rule.statements.iter().any(|s| matches!(s, Statement::Reject));
    let sets = destinations(table, rejects).filter_map(|data| match data {
        Data::Named(name) => table.set(name),
        _ => None,
    });
    sets.flat_map(|set| &set.elements).filter_map(|element| element.key.parse().ok()).collect()
}

/// Networks in which they are dropped.
pub fn dropped(table: &Table<'_>) -> Vec<Network> {
    let drops = |rule: &Rule<'_>| rule.statements.iter().any(|s| matches!(s, Statement::Verdict(Verdict::Drop)));
    let texts = destinations(table, drops).flat_map(|data| match data {
        Data::One(text) => vec![text],
        Data::Many(texts) => texts,
        _ => Vec::new(),
    });
    texts.filter_map(Network::parse).collect()
}

/// What the rules that do something ask of the destination, and nothing else.
fn destinations<'d>(table: &'d Table<'d>, does: impl Fn(&Rule<'d>) -> bool) -> impl Iterator<Item = Data<'d>> {
    let rules = table.chain(CHAIN).into_iter().flat_map(|chain| &chain.rules).map(|raw| Rule::parse(raw.text));
    rules.filter(move |rule| does(rule)).filter_map(|rule| {
        let mut asked = rule.statements.into_iter().filter_map(|statement| match statement {
            Statement::Match { key, not: false, mask: None, value } if key == [Selector::DestinationAddress] => {
                Some(Some(value))
            }
            Statement::Match { .. } => Some(None),
            _ => None,
        });
        asked.next().flatten().filter(|_| asked.next().is_none())
    })
}
