//! Which service ports claim one destination, and which addresses are those of Services.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::super::survey::{FrontendSketch, InFamily, Sketch, Survey};
use crate::dataplane::FrontendKind;
use crate::dump::iptables::{Match, Ports, RawRule};
use crate::net::Protocol;
use crate::proxy::chain_name::ChainKind;

/// Address, protocol, port.
type Destined = (Option<IpAddr>, Option<Protocol>, Option<u16>);

/// The cluster IP of every Service that the rules have.
pub(super) fn cluster_ips(survey: &Survey<'_>) -> HashSet<IpAddr> {
    let frontends = survey.sketches().iter().flat_map(|sketch| &sketch.frontends);
    frontends
        .filter(|frontend| frontend.kind == FrontendKind::ClusterIp)
        .filter_map(|frontend| frontend.address)
        .collect()
}

/// The first rule for each destination that several service ports capture: its line and whose it is.
pub(super) type Rivals = HashMap<Destined, (u32, String, String)>;

/// Only destinations of `sketches` are looked for, among those of every service port.
pub(super) fn rivals(survey: &Survey<'_>, family: &InFamily<'_>, sketches: &[&Sketch<'_>]) -> Rivals {
    let of_family = |sketch: &&Sketch<'_>| sketch.family == family.ruleset.family;
    let at = |sketch: &Sketch<'_>, frontend: &FrontendSketch<'_>| (frontend.address, sketch.protocol, frontend.port);
    let mut wanted: HashSet<Destined> = HashSet::new();
    for sketch in sketches {
        wanted.extend(sketch.frontends.iter().map(|frontend| at(sketch, frontend)));
    }
    let mut first: HashMap<Destined, (u32, &Sketch<'_>)> = HashMap::new();
    let mut shared: HashSet<Destined> = HashSet::new();
    for sketch in survey.sketches().iter().filter(of_family) {
        for frontend in &sketch.frontends {
            let at = at(sketch, frontend);
            let Some(raw) = wanted.contains(&at).then(|| taking(frontend)).flatten() else { continue };
            let known = first.entry(at).or_insert((raw.line, sketch));
            if !std::ptr::eq(known.1, sketch) {
                shared.insert(at);
                if raw.line < known.0 {
                    *known = (raw.line, sketch);
                }
            }
        }
    }
    let label = |sketch: &Sketch<'_>| {
        sketch.name.as_ref().map_or_else(|| format!("the service of chain hash {}", sketch.key), ToString::to_string)
    };
    let shared = shared.into_iter().filter_map(|at| {
        let (line, sketch) = first.get(&at)?;
        Some((at, (*line, sketch.key.to_string(), label(sketch))))
    });
    shared.collect()
}

/// The rule of a frontend that takes every new connection to it: nothing but destination, protocol and port is asked for.
fn taking<'d>(frontend: &FrontendSketch<'d>) -> Option<RawRule<'d>> {
    let takes = |raw: &&RawRule<'d>| {
        let Ok(rule) = raw.parse() else { return false };
        let plain = rule.matches.iter().all(|m| match m {
            Match::Comment(_) | Match::Destination { not: false, .. } | Match::Protocol { not: false, .. } => true,
            Match::Ports(Ports { source: None, rest, .. }) => rest.is_empty(),
            _ => false,
        });
        plain && rule.target.is_some_and(|target| ChainKind::of(target.name).serves())
    };
    frontend.rules.iter().find(takes).copied()
}
