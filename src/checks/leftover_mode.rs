//! Rules stand here of a mode of kube-proxy that is not the one in use.

use super::{Check, Finding, Found, Input, ObjectRef, Severity};
use crate::dataplane::{Mode, Wiring, count};

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI402",
    slug: "leftover-mode",
    severity: Severity::Warning,
    of_traffic: false,
    compares: false,
    page: include_str!("leftover_mode.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    let config = input.cluster.and_then(|cluster| cluster.facts().proxy.as_ref()).map(|proxy| proxy.mode.as_str());
    let configured = config.and_then(Mode::parse);
    for wiring in input.wirings {
        if let Some(left) = &wiring.leftovers {
            let in_use = wiring.mode.map(|mode| mode.to_string()).unwrap_or_default();
            let mut names = left.chains.join(", ");
            if left.count > left.chains.len() {
                names.push_str(" and others");
            }
            found.add(Finding {
                chain: left.chains.first().cloned(),
                message: format!(
                    "{} of {} mode left over, while kube-proxy runs in {in_use} mode: {names}",
                    count(left.count, left.what),
                    left.mode
                ),
                hint: HINT.to_owned(),
                rules: left.rules.clone(),
                ..found.about(wiring.family)
            });
        } else if let (Some(said), Some(seen)) = (wiring.said, wiring.mode.filter(|seen| Some(*seen) != wiring.said)) {
            found.add(Finding {
                message: format!(
                    "the rules here are those of {seen} mode ({}), but kube-proxy says it runs in {said} mode",
                    wiring.family
                ),
                hint: HINT.to_owned(),
                ..found.about(wiring.family)
            });
        } else if let (Some(configured), Some(seen)) =
            (configured, wiring.mode.filter(|seen| Some(*seen) != configured))
        {
            let finding = differs(found.about(wiring.family), wiring, configured, seen, config.unwrap_or_default());
            found.add(finding);
        }
    }
}

const HINT: &str =
    "kube-proxy --cleanup on the node, or a reboot, takes them away; kube-proxy then writes its own anew";

/// The rules are of one mode, the configuration names another.
fn differs(blank: Finding, wiring: &Wiring, configured: Mode, seen: Mode, written: &str) -> Finding {
    Finding {
        message: format!(
            "the rules here are those of {seen} mode ({}), but kube-proxy is configured for {configured} mode",
            wiring.family
        ),
        hint: HINT.to_owned(),
        objects: vec![ObjectRef {
            kind: "ConfigMap",
            name: "kube-system/kube-proxy".to_owned(),
            field: "mode".to_owned(),
            value: format!("\"{written}\""),
            changed: None,
        }],
        ..blank
    }
}
