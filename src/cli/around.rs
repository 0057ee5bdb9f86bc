//! What is said around an answer: what it was made from, and what could not be judged.

use std::net::IpAddr;

use hashbrown::HashSet;

use super::Note;
use super::objects::Objects;
use super::texts::Texts;
use super::{beside_servers, others};
use crate::cluster::Endpoint;
use crate::dataplane::{Gap, Mode, Oddity, ServicePort, count};
use crate::dump::iptables::{Backend, Dump};
use crate::expect::Cluster;
use crate::net::{Family, Network};
use crate::order::Order as _;
use crate::proxy::iptables::{Ruleset, Table};
use crate::proxy::nftables::Lack;
use crate::proxy::{Rules, Survey};
use crate::report::Header;
use crate::source::{self, Bundle, Origin};

/// How many rules of the services shown cannot be judged.
pub(super) fn undecided(services: &[ServicePort]) -> Option<String> {
    let oddities = services.iter().flat_map(|s| &s.pools).flat_map(|p| &p.oddities);
    let mut rules: Vec<_> =
        oddities.filter_map(|o| if let Oddity::Undecided(rule) = o { Some(rule) } else { None }).collect();
    rules.order();
    rules.dedup();
    let count = match rules.len() {
        0 => return None,
        1 => "1 rule holds".to_owned(),
        many => format!("{many} rules hold"),
    };
    Some(format!("{count} a condition or target that a dump does not decide, so that shares are unknown"))
}

/// What is to be said of the rules as a whole. `sets_are_used`: the answer depends on ipsets.
pub(super) fn of_rules(
    survey: &Survey<'_, '_>,
    rules: Rules<'_, '_>,
    bundle: &Bundle,
    configured: Option<Mode>,
    sets_are_used: bool,
) -> impl Iterator<Item = String> {
    let unused = || "the ipsets that were given are looked into by kube-ipt trace only".to_owned();
    let all = [
        guessed_family(rules).filter(|_| survey.mode() != Some(Mode::Ipvs)),
        unplaced(survey, bundle),
        beside_servers::note(survey, rules),
        configured_otherwise(survey, configured),
        (!sets_are_used && !rules.sets.is_empty()).then(unused),
    ];
    all.into_iter().flatten()
}

/// Nothing says of which family the rules are, as of one that no Service and no Pod has an address of.
fn guessed_family(rules: Rules<'_, '_>) -> Option<String> {
    let [ruleset] = rules.iptables else { return None };
    let is_told = |table: Table<'_>| table.section.family.is_some();
    let told = rules.only.is_some() || [ruleset.nat, ruleset.filter].into_iter().flatten().any(is_told);
    let of_proxy = ruleset.nat.is_some_and(|nat| nat.section.chain("KUBE-SERVICES").is_some());
    (of_proxy && !told).then(|| {
        let (taken, other) = (ruleset.family, ruleset.family.other());
        format!(
            "no address tells of which family the rules are: they were taken for those of {taken} (--family {other} says otherwise)"
        )
    })
}

/// Rules that capture an address and cannot be followed.
fn unplaced(survey: &Survey<'_, '_>, bundle: &Bundle) -> Option<String> {
    let first = survey.unplaced().first()?;
    let label = bundle.captures.get(usize::from(first.text)).map_or("", |capture| &capture.label);
    let rules = count(survey.unplaced().len(), "rule");
    let line = first.line;
    Some(format!(
        "{rules} beside those of Services cannot be judged and may take their traffic, first {label} line {line}"
    ))
}

/// The rules are of another mode than kube-proxy is configured for.
fn configured_otherwise(survey: &Survey<'_, '_>, configured: Option<Mode>) -> Option<String> {
    let (seen, configured) = (survey.mode()?, configured?);
    (seen != configured).then(|| {
        format!(
            "kube-proxy is configured for {configured} mode (ConfigMap kube-system/kube-proxy), and the rules here are those of its \
             {seen} mode"
        )
    })
}

/// The rules take other networks for the pods' than those the node's own pods have. Pods of other nodes tell nothing: kube-proxy
/// may know pods by the node's own network (`detectLocalMode: NodeCIDR`).
pub(super) fn other_pods(survey: &Survey<'_, '_>, cluster: &Cluster<'_>) -> Vec<String> {
    let facts = cluster.facts();
    let Some(node) = cluster.viewpoint().node.as_deref() else { return Vec::new() };
    // Without its Node it is not known which Pods have the addresses of hosts.
    if !facts.nodes.iter().any(|one| one.name == node) {
        return Vec::new();
    }
    let of_hosts: HashSet<IpAddr> = facts.nodes.iter().flat_map(|node| &node.addresses).copied().collect();
    let told = |family: Family| {
        let networks: Vec<&Network> = survey.pods(family).networks.iter().filter(|n| n.family() == family).collect();
        let slices = facts.slices.iter().filter(|slice| slice.family == family && !networks.is_empty());
        let is_pod =
            |e: &Endpoint| e.pod.is_some() && Family::of(e.address) == family && !of_hosts.contains(&e.address);
        let own = |e: &&Endpoint| is_pod(e) && e.node.as_deref() == Some(node);
        let mut pods = slices.flat_map(|slice| &slice.endpoints).filter(own).map(|endpoint| endpoint.address);
        let first = pods.next()?;
        let is_in = |ip: IpAddr| networks.iter().any(|network| network.contains(ip));
        if is_in(first) || pods.any(is_in) {
            return None;
        }
        let all = networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Some(format!(
            "the rules take {all} for the pods' network, and no pod of {node} is in it ({first} is one): what is said of pods here does \
             not hold for them, they are masqueraded as clients from outside are (clusterCIDR of kube-proxy)"
        ))
    };
    [Family::Ipv4, Family::Ipv6].into_iter().filter_map(told).collect()
}

/// Of the two tables that hold Services in iptables mode, one is missing. `unmatched`: something that was asked for was not
/// found, and no objects tell whether it is a Service.
pub(super) fn without_a_table(rulesets: &[Ruleset<'_>], unmatched: bool) -> Option<Note> {
    if rulesets.iter().all(|r| r.nat.is_none()) {
        let what = "there is no nat table here: only Services that the filter table refuses are known";
        return Some(Note::from(what.to_owned()));
    }
    // Those without endpoints are refused there, and in nat nothing is left of them (`writeServiceChains`,
    // pkg/proxy/iptables/proxier.go).
    let refused_unseen = unmatched && rulesets.iter().all(|r| r.filter.is_none());
    refused_unseen.then(|| Note {
        what: "a Service without endpoints has its rules in the filter table, which was not read".to_owned(),
        hint: Some("iptables-save | kube-ipt list    (on the node; it gives both tables)".to_owned()),
    })
}

/// Why there is no Service at all.
pub(super) fn nothing_here(
    survey: &Survey<'_, '_>,
    rules: Rules<'_, '_>,
    bundle: &Bundle,
    texts: &Texts<'_>,
) -> String {
    let mut labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    // Of one text there may be several parts.
    labels.dedup();
    let from = labels.join(", ");
    let chain = |name: &str| rules.iptables.iter().filter_map(|r| r.nat).any(|nat| nat.section.chain(name).is_some());
    match survey.mode() {
        Some(Mode::Ipvs) if survey.lacks_services_of_mode() => {
            return format!(
                "no Services in the rules of {from}: kube-proxy runs in IPVS mode there, and its Services are virtual servers: \
                 give the output of ipvsadm -Sn too"
            );
        }
        Some(Mode::Nftables) if survey.lacks_services_of_mode() => {
            return format!(
                "no Services in the rules of {from}: kube-proxy runs in nftables mode there, and its Services are in its own \
                 tables: give the output of nft list ruleset"
            );
        }
        Some(Mode::Nftables) if rules.nftables.iter().any(|ruleset| ruleset.lack == Some(Lack::Elements)) => {
            return format!(
                "no Services in kube-proxy's tables of {from}: their maps have no elements, as nft -t lists them: give the output of \
                 nft list ruleset"
            );
        }
        Some(Mode::Nftables) => return format!("no Services in kube-proxy's tables of {from}: their maps are empty"),
        _ => {}
    }
    if let Some(other) = others::proxy(texts, bundle) {
        return format!("no Services of kube-proxy in {from}: {other}");
    }
    if rules.ipvs.is_some() && rules.iptables.is_empty() {
        return format!("no virtual servers in {from}: kube-proxy does not run in IPVS mode there");
    }
    if bundle.is_here() {
        return "this node has no rules of kube-proxy: neither chains of iptables nor tables of nftables, nor virtual servers of \
                IPVS lead to a Service"
            .to_owned();
    }
    if !texts.nft.is_empty() && rules.iptables.is_empty() {
        return format!("no Services in {from}: there is no table 'ip kube-proxy' or 'ip6 kube-proxy' in it");
    }
    let count = match texts.dumps.iter().map(Dump::rules).sum() {
        1 => "the only rule".to_owned(),
        many => format!("the {many} rules"),
    };
    if rules.iptables.iter().all(|r| r.nat.is_none()) {
        return format!("no Services in {count} of {from}: there is no nat table in it");
    }
    let kube = if chain("KUBE-SERVICES") { "KUBE-SERVICES leads to none" } else { "there is no chain KUBE-SERVICES" };
    format!(
        "no Services in {count} of {from}: {kube} (does kube-proxy run in iptables mode there? its other modes are seen with \
         nft list ruleset and ipvsadm -Sn)"
    )
}

/// What an answer was made from.
pub(super) fn header(
    survey: &Survey<'_, '_>,
    rules: Rules<'_, '_>,
    bundle: &Bundle,
    dumps: &[Dump<'_>],
    objects: &Objects,
) -> Header {
    let from = if bundle.is_here() {
        "local".to_owned()
    } else if let Origin::Pod(pod) = &bundle.origin {
        format!("pod/{pod}")
    } else {
        let used = survey.texts();
        let labels = bundle.captures.iter().zip(0u16..).filter(|(_, text)| used.is_empty() || used.contains(text));
        let mut labels: Vec<&str> = labels.map(|(capture, _)| capture.label.as_str()).collect();
        labels.dedup();
        let within = |name: &&str| {
            labels.len() > 1
                && labels.iter().all(|label| label.strip_prefix(name).is_some_and(|of| of.starts_with(':')))
        };
        // Of many texts in one archive, its name says enough.
        bundle.collection.as_deref().filter(within).map_or_else(|| labels.join(", "), str::to_owned)
    };
    let mode = survey.mode().unwrap_or(Mode::Iptables);
    let backend = rules.iptables.iter().find_map(|r| r.nat?.section.backend).map(Backend::as_str);
    Header {
        mode,
        backend: backend.filter(|_| mode != Mode::Nftables),
        from,
        tables: survey.tables(),
        families: rules.families_of(mode),
        node: objects.viewpoint.node.clone(),
        objects: objects.facts.is_some().then(|| objects.from.clone()),
        partial: is_partial(survey, rules, dumps),
        watch: None,
    }
}

/// True if the text ends inside a table.
fn ends_early(dump: &Dump<'_>) -> bool {
    dump.sections.iter().any(|section| section.cut_off)
}

fn is_partial(survey: &Survey<'_, '_>, rules: Rules<'_, '_>, dumps: &[Dump<'_>]) -> bool {
    let rulesets = rules.iptables;
    let sections = || rulesets.iter().flat_map(|r| r.nat.into_iter().chain(r.filter));
    match survey.mode() {
        Some(Mode::Nftables) => rules.nftables.is_empty() || rules.nftables.iter().any(|table| !table.is_whole()),
        Some(Mode::Ipvs) => {
            !survey.has_all_servers() || dumps.iter().any(ends_early) || beside_servers::end_early(rules)
        }
        _ => {
            rulesets.is_empty()
                || rulesets.iter().any(|r| r.nat.is_none())
                || sections().any(|t| !t.section.complete || t.mixed)
                || dumps.iter().any(ends_early)
        }
    }
}

/// Why lines may be missing from what was read, one sentence each.
pub(super) fn partial(
    survey: &Survey<'_, '_>,
    rules: Rules<'_, '_>,
    bundle: &Bundle,
    dumps: &[Dump<'_>],
) -> Vec<String> {
    let mut why = Vec::new();
    match survey.mode() {
        Some(Mode::Nftables) => {
            why.extend(rules.nftables.iter().filter_map(|ruleset| {
                let what = match ruleset.lack? {
                    Lack::Parts => "parts of kube-proxy's table are missing",
                    Lack::Elements => "the sets and maps of kube-proxy's table have no elements, as nft -t lists them",
                    Lack::Numbers => "ports have names in kube-proxy's table, as nft -S prints them",
                };
                Some(format!("{what} ({})", ruleset.family))
            }));
        }
        Some(Mode::Ipvs) if rules.ipvs.is_some() => {
            if !survey.has_all_servers() {
                why.push("not all virtual servers were read, as ipvsadm -L -t, grep and tail leave it".to_owned());
            }
            why.extend(beside_servers::missing(rules));
        }
        _ => why.extend(rules.iptables.iter().filter_map(partial_tables)),
    }
    let cut = bundle.captures.iter().zip(dumps).filter(|(_, dump)| ends_early(dump));
    why.extend(cut.map(|(capture, _)| format!("{} ends inside a table", capture.label)));
    why
}

fn partial_tables(ruleset: &Ruleset<'_>) -> Option<String> {
    let family = ruleset.family;
    match (ruleset.nat, ruleset.filter) {
        (None, _) => Some(format!("there is no nat table ({family})")),
        (Some(nat), _) if nat.section.is_unordered() => {
            Some(format!("the lines of the nat table are sorted ({family}): which rule comes first is not known"))
        }
        (Some(nat), _) if !nat.is_whole_nat() && !nat.section.cut_off => {
            Some(format!("lines of the nat table are missing ({family}), as grep leaves it"))
        }
        (Some(_), None) => Some(format!("only the nat table was read ({family})")),
        (Some(_), Some(filter)) if !filter.is_whole_filter() && !filter.section.cut_off && !filter.mixed => {
            Some(format!("lines of the filter table are missing ({family})"))
        }
        _ => None,
    }
}

/// True if what holds the Services of the mode in use is there and whole, so that those it does not have are missing from the
/// node.
pub(super) fn should_have_services(
    survey: &Survey<'_, '_>,
    rules: Rules<'_, '_>,
    bundle: &Bundle,
    dumps: &[Dump<'_>],
    configured: Option<Mode>,
) -> bool {
    match survey.mode() {
        Some(Mode::Nftables) => rules.nftables.iter().any(crate::proxy::nftables::Ruleset::is_whole),
        Some(Mode::Ipvs) => survey.has_all_servers(),
        _ => {
            // Tables of another mode may have followed, or were not saved: a node in nftables mode has none of these chains.
            let asked = source::lists_table(Family::Ipv4).is_some_and(|list| bundle.has_asked(list));
            let is_its_mode = bundle.is_live()
                || asked
                || configured == Some(Mode::Iptables)
                || rules.iptables.iter().any(Ruleset::has_chains_of_proxy);
            is_its_mode
                && !dumps.iter().any(ends_early)
                && rules.iptables.iter().any(|r| r.nat.is_some_and(|nat| nat.is_whole_nat()))
        }
    }
}

/// The objects do not fit the rules.
pub(super) fn foreign(objects: &Objects) -> String {
    format!(
        "{} seems to be of another cluster than the rules: most of their Services are not there, or have other addresses",
        objects.from
    )
}

/// What of the services shown depends on something that is not known.
pub(super) fn gaps(services: &[ServicePort], node: Option<&str>) -> Vec<String> {
    let of_gap = |gap: Gap| {
        let has_it = |service: &&ServicePort| service.about.as_ref().and_then(|about| about.gap) == Some(gap);
        let ports = services.iter().filter(has_it).count();
        let of = count(ports, "service port");
        (ports > 0).then(|| match gap {
            Gap::Node => {
                format!(
                    "whose rules these are is not known, and with it which endpoints {of} should have: --node NAME tells"
                )
            }
            Gap::Zone => {
                let node = node.unwrap_or("the node");
                format!(
                    "the zone of {node} is not known (its Node was not read), and with it which endpoints {of} should have"
                )
            }
            Gap::Endpoints => {
                format!("which endpoints {of} should have is not known: not all their EndpointSlices are known to be read")
            }
        })
    };
    [Gap::Node, Gap::Zone, Gap::Endpoints].into_iter().filter_map(of_gap).collect()
}
