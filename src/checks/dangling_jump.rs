//! A rule jumps to a chain that is not in the dump, though the dump seems to be whole.

use super::{Check, Finding, Found, Input, Severity};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI303",
    slug: "dangling-jump",
    severity: Severity::Error,
    of_traffic: true,
    page: include_str!("dangling_jump.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for wiring in input.wirings {
        if !wiring.whole {
            found.skip_for_lines(super::NAT_LINES);
        }
        for dangling in &wiring.dangling {
            let service = dangling.service.as_ref().map(ToString::to_string);
            let port = service.as_ref().and_then(|service| {
                let is_it = |name: &crate::dataplane::ServiceName| name.to_string() == *service;
                input.ports().find(|(_, port)| port.family == wiring.family && port.name.as_ref().is_some_and(is_it))
            });
            found.add(Finding {
                port: port.map(|(at, _)| at),
                protocol: port.and_then(|(_, port)| port.protocol),
                service,
                chain: Some(dangling.to.clone()),
                message: format!("{} jumps to {}, which is not there", dangling.from, dangling.to),
                hint: "no kernel holds such a rule: save the rules of the node again, whole, with iptables-save".to_owned(),
                rules: dangling.rules.clone(),
                ..found.about(wiring.family)
            });
        }
    }
}
