//! What is said around an answer: what it was made from, and what could not be judged.

use super::objects::Objects;
use crate::dataplane::{Gap, Oddity, ServicePort};
use crate::dump::iptables::{Backend, Dump};
use crate::join::Extent;
use crate::proxy::iptables::{Ruleset, Survey};
use crate::report::Header;
use crate::source::Bundle;

/// How many rules of the services shown cannot be judged.
pub(super) fn undecided(services: &[ServicePort]) -> Option<String> {
    let oddities = services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.oddities);
    let mut rules: Vec<_> =
        oddities.filter_map(|o| if let Oddity::Undecided(rule) = o { Some(rule) } else { None }).collect();
    rules.sort_unstable();
    rules.dedup();
    let count = match rules.len() {
        0 => return None,
        1 => "1 rule holds".to_owned(),
        many => format!("{many} rules hold"),
    };
    Some(format!("{count} a condition or target that a dump does not decide, so that shares are unknown"))
}

/// Rules that capture an address and cannot be followed.
pub(super) fn unplaced(survey: &Survey<'_>, bundle: &Bundle) -> Option<String> {
    let first = survey.unplaced().first()?;
    let label = bundle.captures.get(usize::from(first.text)).map_or("", |capture| &capture.label);
    let rules = match survey.unplaced().len() {
        1 => "1 rule".to_owned(),
        many => format!("{many} rules"),
    };
    let line = first.line;
    Some(format!(
        "{rules} beside those of Services cannot be judged and may take their traffic, first {label} line {line}"
    ))
}

/// Why there is no Service at all.
pub(super) fn nothing_here(rulesets: &[Ruleset<'_>], bundle: &Bundle, dumps: &[Dump<'_>]) -> String {
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    let from = labels.join(", ");
    let chain = |name: &str| rulesets.iter().filter_map(|r| r.nat).any(|nat| nat.section.chain(name).is_some());
    if are_of_ipvs_mode(rulesets) {
        return format!(
            "no Services in the rules of {from}: kube-proxy runs in IPVS mode there, and Services are in the output of ipvsadm, \
             which this version does not read"
        );
    }
    let rules = match dumps.iter().map(Dump::rules).sum() {
        1 => "the only rule".to_owned(),
        many => format!("the {many} rules"),
    };
    if bundle.is_live() {
        return "this node's iptables rules hold no Service: kube-proxy does not run here, or not in iptables mode (see ipvsadm -Ln, \
                nft list ruleset)"
            .to_owned();
    }
    if rulesets.iter().all(|r| r.nat.is_none()) {
        return format!("no Services in {rules} of {from}: there is no nat table in it");
    }
    let kube = if chain("KUBE-SERVICES") { "KUBE-SERVICES leads to none" } else { "there is no chain KUBE-SERVICES" };
    format!("no Services in {rules} of {from}: {kube} (does kube-proxy run in iptables mode there?)")
}

/// What an answer was made from.
pub(super) fn header(rulesets: &[Ruleset<'_>], bundle: &Bundle, dumps: &[Dump<'_>], objects: &Objects) -> Header {
    let sections = || rulesets.iter().flat_map(|r| r.nat.into_iter().chain(r.filter));
    let mut tables = Vec::new();
    if rulesets.iter().any(|r| r.nat.is_some()) {
        tables.push("nat");
    }
    if rulesets.iter().any(|r| r.filter.is_some()) {
        tables.push("filter");
    }
    let from = if bundle.is_live() {
        "local".to_owned()
    } else {
        let used = |text: &usize| sections().any(|t| usize::from(t.text) == *text) || rulesets.is_empty();
        let labels = (0..bundle.captures.len()).filter(used).map(|text| bundle.captures[text].label.as_str());
        labels.collect::<Vec<_>>().join(", ")
    };
    Header {
        backend: rulesets.iter().find_map(|r| r.nat?.section.backend).map(Backend::as_str),
        from,
        tables,
        families: rulesets.iter().map(|r| r.family).collect(),
        node: objects.viewpoint.node.clone(),
        objects: objects.facts.is_some().then(|| objects.from.clone()),
        partial: rulesets.is_empty()
            || rulesets.iter().any(|r| r.nat.is_none())
            || sections().any(|t| !t.section.complete || t.mixed)
            || dumps.iter().flat_map(|dump| &dump.sections).any(|section| section.cut_off),
    }
}

/// Why lines may be missing from what was read, one sentence each.
pub(super) fn partial(rulesets: &[Ruleset<'_>], bundle: &Bundle, dumps: &[Dump<'_>]) -> Vec<String> {
    let mut why = Vec::new();
    for ruleset in rulesets {
        let family = ruleset.family;
        match (ruleset.nat, ruleset.filter) {
            (None, _) => why.push(format!("there is no nat table ({family})")),
            (Some(nat), _) if !nat.is_whole_nat() && !nat.section.cut_off => {
                why.push(format!("lines of the nat table are missing ({family}), as grep leaves it"));
            }
            (Some(_), None) => why.push(format!("only the nat table was read ({family})")),
            (Some(_), Some(filter)) if !filter.is_whole_filter() && !filter.section.cut_off && !filter.mixed => {
                why.push(format!("lines of the filter table are missing ({family})"));
            }
            _ => {}
        }
    }
    let cut = bundle.captures.iter().zip(dumps).filter(|(_, dump)| dump.sections.iter().any(|s| s.cut_off));
    why.extend(cut.map(|(capture, _)| format!("{} ends inside a table", capture.label)));
    why
}

/// Rules in the tables the answer was made from.
pub(super) fn rules_read(rulesets: &[Ruleset<'_>]) -> usize {
    let count = |r: &Ruleset<'_>| {
        let nat = r.nat.map_or(0, |t| t.section.rules);
        // Lines that may be of either table are one section.
        let filter = r.filter.filter(|t| !t.mixed || r.nat.is_none()).map_or(0, |t| t.section.rules);
        (nat + filter) as usize
    };
    rulesets.iter().map(count).sum()
}

/// True if the nat table is there and whole, and not that of another mode of kube-proxy, so that Services which it does
/// not have are missing from the node.
pub(super) fn should_have_services(rulesets: &[Ruleset<'_>]) -> bool {
    rulesets.iter().any(|r| r.nat.is_some_and(|nat| nat.is_whole_nat())) && !are_of_ipvs_mode(rulesets)
}

/// True if the nat tables have chains of kube-proxy's IPVS mode.
pub(super) fn are_of_ipvs_mode(rulesets: &[Ruleset<'_>]) -> bool {
    let mut nats = rulesets.iter().filter_map(|r| r.nat);
    nats.any(|nat| ["KUBE-LOAD-BALANCER", "KUBE-NODE-PORT"].iter().any(|chain| nat.section.chain(chain).is_some()))
}

/// The objects do not fit the rules.
pub(super) fn foreign(objects: &Objects) -> String {
    format!(
        "{} seems to be of another cluster than the rules: most of their Services are not there, or have other addresses",
        objects.from
    )
}

/// What was read of each family: which tables are whole, and what their rules can tell.
pub(super) fn extents(rulesets: &[Ruleset<'_>], survey: &Survey<'_>) -> Vec<Extent> {
    let extent = |r: &Ruleset<'_>| Extent {
        family: r.family,
        nat_whole: r.nat.is_some_and(|nat| nat.is_whole_nat()),
        filter_whole: r.filter.is_some_and(|filter| filter.is_whole_filter()),
        external_chains: r.nat.is_some_and(|nat| nat.has_external_chains()),
        tells_pods: survey.tells_pods(r.family),
    };
    rulesets.iter().map(extent).collect()
}

/// What of the services shown depends on something that is not known.
pub(super) fn gaps(services: &[ServicePort], node: Option<&str>) -> Vec<String> {
    let of_gap = |gap: Gap| {
        let ports = match services
            .iter()
            .filter(|service| service.about.as_ref().and_then(|about| about.gap) == Some(gap))
            .count()
        {
            0 => return None,
            1 => "1 service port".to_owned(),
            many => format!("{many} service ports"),
        };
        Some(match gap {
            Gap::Node => {
                format!(
                    "whose rules these are is not known, and with it which endpoints {ports} should have: --node NAME tells"
                )
            }
            Gap::Zone => {
                let node = node.unwrap_or("the node");
                format!(
                    "the zone of {node} is not known (its Node was not read), and with it which endpoints {ports} should have"
                )
            }
            Gap::Endpoints => {
                format!("which endpoints {ports} should have is not known: their EndpointSlices were not read")
            }
        })
    };
    [Gap::Node, Gap::Zone, Gap::Endpoints].into_iter().filter_map(of_gap).collect()
}
