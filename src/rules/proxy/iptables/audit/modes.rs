//! Which mode of kube-proxy the rules are of, and what another one has left behind.

use super::super::ruleset::{Ruleset, Table};
use super::{EVIDENCE, reference};
use crate::dataplane::{Leftovers, Mode};
use crate::dump::iptables::{Chain, Match};
use crate::proxy::chain_name::ChainKind;

/// Chains only IPVS mode makes (pkg/proxy/ipvs/proxier.go).
const OF_IPVS: [&str; 6] = [
    "KUBE-LOAD-BALANCER",
    "KUBE-NODE-PORT",
    "KUBE-IPVS-FILTER",
    "KUBE-IPVS-OUT-FILTER",
    "KUBE-SOURCE-RANGES-FIREWALL",
    "KUBE-LOAD-BALANCER-FW",
];

/// Chains of the filter table that only iptables mode fills.
const REFUSING: [&str; 2] = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"];

/// So many rules of KUBE-SERVICES are looked at: every sync writes the chain anew, so that the first ones tell.
const SAMPLE: usize = 64;

/// The mode in use and leftovers of another.
#[derive(Default)]
pub(super) struct Modes {
    pub(super) mode: Option<Mode>,
    pub(super) leftovers: Option<Leftovers>,
}

/// Tells the mode from KUBE-SERVICES, which kube-proxy writes anew at every sync.
pub(super) fn of(nat: Option<Table<'_>>, filter: Option<Table<'_>>) -> Modes {
    let Some(nat) = nat else { return Modes::default() };
    let mode = mode(nat);
    let leftovers = match mode {
        Some(Mode::Ipvs) => {
            let chains = nat.section.chains().iter().filter(|chain| ChainKind::of(chain.name).is_of_services());
            // IPVS mode refuses nobody in these chains of the filter table.
            let refusing = filter
                .into_iter()
                .flat_map(|filter| REFUSING.iter().filter_map(move |name| Some((filter, filter.section.chain(name)?))));
            leftovers(Mode::Iptables, chains.map(|chain| (nat, chain)).chain(refusing))
        }
        Some(Mode::Iptables) => {
            let tables = std::iter::once(nat).chain(filter);
            let chains =
                tables.flat_map(|table| OF_IPVS.iter().filter_map(move |n| Some((table, table.section.chain(n)?))));
            leftovers(Mode::Ipvs, chains)
        }
        _ => None,
    };
    Modes { mode, leftovers }
}

/// The mode the rules of a family are of: iptables or IPVS.
pub fn mode_of(ruleset: &Ruleset<'_>) -> Option<Mode> {
    mode(ruleset.nat?)
}

/// What iptables holds of kube-proxy, where that runs in nftables mode, whatever mode wrote it.
pub fn left(ruleset: &Ruleset<'_>) -> Option<Leftovers> {
    let nat = ruleset.nat?;
    let mode = mode(nat)?;
    let is_its =
        |name: &str| ChainKind::of(name).is_of_services() || name == "KUBE-SERVICES" || OF_IPVS.contains(&name);
    let chains = nat.section.chains().iter().filter(|chain| is_its(chain.name));
    leftovers(mode, chains.map(|chain| (nat, chain)))
}

fn mode(nat: Table<'_>) -> Option<Mode> {
    let mut services = false;
    for rule in nat.rules("KUBE-SERVICES").take(SAMPLE).filter_map(|raw| raw.parse().ok()) {
        // IPVS mode asks ipsets, iptables mode names addresses.
        if rule.matches.iter().any(|m| matches!(m, Match::Module { name: "set", .. })) {
            return Some(Mode::Ipvs);
        }
        services |= rule
            .target
            .as_ref()
            .is_some_and(|target| ChainKind::of(target.name).is_of_services() || target.name == "KUBE-NODEPORTS");
    }
    let has_chains =
        || nat.section.chains().iter().any(|chain| ChainKind::of(chain.name).is_of_services() && !chain.is_empty());
    (services || has_chains()).then_some(Mode::Iptables)
}

fn leftovers<'d>(mode: Mode, chains: impl Iterator<Item = (Table<'d>, &'d Chain<'d>)>) -> Option<Leftovers> {
    let mut left = Leftovers { mode, what: "chain", chains: Vec::new(), count: 0, rules: Vec::new() };
    for (table, chain) in chains.filter(|(_, chain)| !chain.is_empty()) {
        // One name may stand in both tables.
        let again = left.chains.iter().any(|known| known == chain.name);
        left.count += usize::from(!again);
        if !again && left.chains.len() < EVIDENCE {
            left.chains.push(chain.name.to_owned());
            left.rules.extend(table.rules(chain.name).next().map(|raw| reference(table, raw)));
        }
    }
    (left.count > 0).then_some(left)
}
