//! An address of a virtual server is on no interface of the node.

use std::net::IpAddr;

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Mode, count};
use crate::net::Host;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI501",
    slug: "missing-address",
    severity: Severity::Error,
    of_traffic: false,
    compares: false,
    page: include_str!("missing_address.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings.iter().filter(|wiring| wiring.mode == Some(Mode::Ipvs) && !wiring.unseen) {
        if wiring.addresses_cut {
            found.skip_for_lines("the listing of the node's addresses ends early");
            continue;
        }
        let Some(unbound) = &wiring.unbound else {
            found.skip("the addresses of kube-ipvs0 were not given (ip addr show dev kube-ipvs0)");
            continue;
        };
        let of_node = |address: IpAddr| input.cluster.is_some_and(|cluster| cluster.may_be_of_node(address));
        for missing in unbound.iter().filter(|missing| !of_node(missing.address)) {
            if missing.may_be_elsewhere {
                found.skip("an external address may be on another interface than kube-ipvs0 (ip addr lists them all)");
                continue;
            }
            found.add(Finding {
                address: Some(missing.address.to_string()),
                frontend: Some(Host(missing.address).to_string()),
                message: format!(
                    "{} is on no interface of the node: connections from pods and from outside do not get to its {}",
                    missing.address,
                    count(missing.rules.len(), "virtual server")
                ),
                hint: super::rewrite(input),
                rules: missing.rules.iter().copied().take(3).collect(),
                ..found.about(wiring.family)
            });
        }
    }
}
