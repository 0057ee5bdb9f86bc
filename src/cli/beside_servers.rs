//! What stands beside virtual servers in IPVS mode (rules of iptables, ipsets, addresses), and what of it was not read.

use crate::dataplane::{Mode, count};
use crate::proxy::{Rules, Survey};

/// What is to be said of it with every answer.
pub(super) fn note(survey: &Survey<'_, '_>, rules: Rules<'_, '_>) -> Option<String> {
    if survey.mode() != Some(Mode::Ipvs) || survey.lacks_services_of_mode() {
        return None;
    }
    let missing = match (rules.iptables.is_empty(), rules.sets.is_empty()) {
        (false, false) => {
            let lacking = lacking_sets(rules)?;
            return Some(format!(
                "{lacking}: not all is known of who is masqueraded and which source ranges are enforced"
            ));
        }
        (true, true) => "rules of iptables and ipsets were not read (iptables-save, ipset save)",
        (true, false) => "rules of iptables were not read (iptables-save)",
        (false, true) => "ipsets were not read (ipset save)",
    };
    Some(format!("{missing}: who is masqueraded and which source ranges are enforced is not known"))
}

/// Which of it is missing, one sentence each.
pub(super) fn missing(rules: Rules<'_, '_>) -> impl Iterator<Item = String> {
    let told = [
        rules.iptables.is_empty().then(|| "rules of iptables were not read".to_owned()),
        rules.sets.is_empty().then(|| "ipsets were not read".to_owned()),
        lacking_sets(rules),
        rules.sets.cut_off.then(|| "the listing of ipsets ends inside a set".to_owned()),
        ends_early(rules).then(|| "the listing of the node's addresses ends early".to_owned()),
    ];
    told.into_iter().flatten()
}

/// True if listings of it that were given are not all there.
pub(super) fn end_early(rules: Rules<'_, '_>) -> bool {
    lacking_sets(rules).is_some() || rules.sets.cut_off || ends_early(rules)
}

fn ends_early(rules: Rules<'_, '_>) -> bool {
    rules.interfaces.is_some_and(|interfaces| interfaces.cut_off)
}

/// Some ipsets were given, and others that rules ask for were not.
fn lacking_sets(rules: Rules<'_, '_>) -> Option<String> {
    let lacking = &rules.sets.lacking;
    let first = lacking.first().filter(|_| !rules.sets.is_empty())?;
    let were = if lacking.len() == 1 { "was" } else { "were" };
    Some(format!("{} that rules ask for {were} not read, {first} first", count(lacking.len(), "ipset")))
}
