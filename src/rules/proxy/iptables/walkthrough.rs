//! The rules of one service in the order a packet meets them, each with one sentence that says what it does.

use hashbrown::{HashMap, HashSet};

use super::conditions::single_port;
use super::part::probability_of;
use super::survey::{Sketch, Survey};
use super::translate::{self, Translation};
use crate::dataplane::{Pool, PoolWalkthrough, RuleNote, RuleRef, ServicePort, Walkthrough};
use crate::dump::iptables::{Match, RawRule, RecentVerb, Rule};
use crate::net::{Host, Network};
use crate::proxy::chain_name::ChainKind;

/// Denominators a share is written with; beyond them it is a percentage.
const MAX_DENOMINATOR: u32 = 1000;

impl<'d> Survey<'d> {
    /// Explains `service`, which was made from `sketch`, rule by rule.
    #[inline]
    pub fn walkthrough(&self, sketch: &Sketch<'d>, service: &ServicePort) -> Walkthrough {
        let mut told = HashSet::new();
        let frontends = sketch.frontends.iter().map(|frontend| {
            let mut notes = Vec::new();
            for &raw in &frontend.rules {
                self.frontend_rule(sketch, raw, &mut told, &mut notes);
            }
            notes.extend(self.refusal(sketch, frontend).map(|raw| note(raw, &refusal)));
            notes
        });
        let frontends = frontends.collect();
        let pools = service.pools.iter().map(|pool| self.pool_rules(sketch, pool)).collect();
        Walkthrough { frontends, pools }
    }

    /// A rule that catches a frontend, and those of the chains between it and the pools, which are told once.
    #[inline]
    fn frontend_rule(
        &self,
        sketch: &Sketch<'d>,
        raw: RawRule<'d>,
        told: &mut HashSet<&'d str>,
        notes: &mut Vec<RuleNote>,
    ) {
        notes.push(note(raw, &in_portal));
        let Some(nat) = self.nat(sketch.family) else { return };
        let mut next: Vec<&'d str> = raw.parse().ok().and_then(|r| Some(r.target?.name)).into_iter().collect();
        while let Some(chain) = next.pop() {
            let kind = ChainKind::of(chain);
            let between = matches!(kind, ChainKind::External | ChainKind::ExternalLocal | ChainKind::Firewall);
            if !between || !told.insert(chain) {
                continue;
            }
            for raw in nat.rules(chain) {
                let target = raw.parse().ok().and_then(|r| Some(r.target?.name));
                // The local endpoints of an XLB chain are shown with the pool it is.
                if target.is_some_and(|t| ChainKind::of(t) == ChainKind::Endpoint) {
                    continue;
                }
                notes.push(note(raw, &|rule| between_chains(kind, rule)));
                next.extend(target);
            }
        }
    }

    #[inline]
    fn pool_rules(&self, sketch: &Sketch<'d>, pool: &Pool) -> PoolWalkthrough {
        let mut steps = PoolWalkthrough { head: Vec::new(), endpoints: vec![Vec::new(); pool.endpoints.len()] };
        let Some(nat) = self.nat(sketch.family) else { return steps };
        // The first endpoint that a rule leads to, and that a chain is of.
        let mut by_line: HashMap<RuleRef, usize> = HashMap::new();
        let mut by_chain: HashMap<&str, usize> = HashMap::new();
        for (at, endpoint) in pool.endpoints.iter().enumerate() {
            by_chain.entry(&endpoint.chain).or_insert(at);
            for rule in &endpoint.rules {
                by_line.entry(*rule).or_insert(at);
            }
        }
        let leads = |raw: RawRule<'d>, target: Option<&str>| {
            let of_rule = by_line.get(&RuleRef { text: nat.text, line: raw.line });
            let of_chain = target.and_then(|target| by_chain.get(target));
            of_rule.into_iter().chain(of_chain).min().copied()
        };
        // What arrives at the rule, as far as every rule before it can be judged.
        let mut left = Some(1.0);
        for raw in nat.rules(&pool.chain) {
            let parsed = raw.parse().ok();
            let target = parsed.as_ref().and_then(|r| Some(r.target.as_ref()?.name));
            let endpoint = leads(raw, target);
            let known = endpoint.is_none_or(|at| pool.endpoints[at].probability.is_some());
            let told = note(raw, &|rule| in_pool(rule, left.filter(|_| known), endpoint.is_some()));
            match endpoint {
                Some(endpoint) => {
                    if let Some(takes) = parsed.as_ref().and_then(balance) {
                        left = left.filter(|_| known).map(|left| left * (1.0 - takes));
                    }
                    steps.endpoints[endpoint].push(told);
                }
                None if ChainKind::of(&pool.chain) == ChainKind::ExternalLocal => {}
                None => steps.head.push(told),
            }
        }
        for (endpoint, notes) in pool.endpoints.iter().zip(&mut steps.endpoints) {
            if *endpoint.chain != *pool.chain {
                notes.extend(nat.rules(&endpoint.chain).map(|raw| note(raw, &in_endpoint)));
            }
        }
        steps
    }
}

#[inline]
fn note(raw: RawRule<'_>, meaning: &dyn Fn(&Rule<'_>) -> String) -> RuleNote {
    let meaning = match raw.parse() {
        Ok(rule) => meaning(&rule),
        Err(error) => format!("cannot be read ({error})"),
    };
    RuleNote { line: raw.line, text: raw.text.trim().to_owned(), meaning }
}

/// A rule of KUBE-SERVICES or KUBE-NODEPORTS.
#[inline]
fn in_portal(rule: &Rule<'_>) -> String {
    let Some(target) = &rule.target else { return "does nothing but count".to_owned() };
    let to = match (destination(rule), single_port(rule)) {
        (Some(network), Some(port)) => match network.address() {
            Some(ip) => format!("connections to {}:{port}", Host(ip)),
            None => format!("connections to port {port} on {network}"),
        },
        (Some(network), None) => format!("connections to {network}"),
        (None, Some(port)) => format!("connections to port {port} of this node"),
        (None, None) => "connections".to_owned(),
    };
    match ChainKind::of(target.name) {
        ChainKind::Cluster => format!("{to} go to one of the Service's endpoints"),
        ChainKind::Local => format!("{to} go to one of the Service's endpoints on this node"),
        ChainKind::Endpoint => format!("{to} go to this endpoint"),
        ChainKind::Firewall => format!("{to} are first held against the allowed source ranges"),
        ChainKind::External | ChainKind::ExternalLocal => {
            format!("{to} take the way of external traffic, {}", target.name)
        }
        ChainKind::MarkMasquerade => format!("{to}: {}", masquerade(rule)),
        _ => general(rule),
    }
}

/// A rule of KUBE-EXT, KUBE-XLB or KUBE-FW.
#[inline]
fn between_chains(chain: ChainKind, rule: &Rule<'_>) -> String {
    let Some(target) = &rule.target else {
        return "does nothing but say so: the filter table does the dropping".to_owned();
    };
    match (ChainKind::of(target.name), sources(rule)) {
        (ChainKind::MarkMasquerade, _) => masquerade(rule),
        (ChainKind::MarkDrop, _) if chain == ChainKind::Firewall => "everyone else is dropped".to_owned(),
        (ChainKind::MarkDrop, _) => "dropped: this node has no endpoint of the Service".to_owned(),
        (_, Sources::These(networks)) if chain == ChainKind::Firewall => format!("clients from {networks} are let in"),
        (ChainKind::Cluster, Sources::These(networks)) => {
            format!("pods ({networks}) may use every endpoint, as with the cluster IP")
        }
        (ChainKind::Cluster, Sources::Node) => "so may this node itself".to_owned(),
        (ChainKind::Cluster, _) => "everyone goes to one of the Service's endpoints".to_owned(),
        (ChainKind::Local, _) => {
            "everyone else only to endpoints on this node (externalTrafficPolicy: Local)".to_owned()
        }
        _ => general(rule),
    }
}

/// A rule of the chain that spreads connections, where `left` of them arrive; `None` if that cannot be told.
#[inline]
fn in_pool(rule: &Rule<'_>, left: Option<f64>, leads_to_endpoint: bool) -> String {
    let Some(target) = &rule.target else { return "does nothing but count".to_owned() };
    if ChainKind::of(target.name) == ChainKind::MarkMasquerade {
        return masquerade(rule);
    }
    if let Some(seconds) = remembered(rule) {
        return format!("a client that came here within the last {seconds} s stays with this endpoint");
    }
    if !leads_to_endpoint {
        return general(rule);
    }
    let Some(left) = left else {
        return "some connections; how many depends on a condition that a dump does not decide".to_owned();
    };
    let Some(takes) = balance(rule) else { return general(rule) };
    let all = fraction(left * takes);
    match (left >= 1.0, takes >= 1.0) {
        (true, true) => "all connections".to_owned(),
        (true, false) => format!("{all} of all connections"),
        (false, true) if left > 0.0 => format!("the rest: {all} of all"),
        (false, false) if left > 0.0 => {
            format!("{} of the {} that are left: {all} of all", fraction(takes), fraction(left))
        }
        _ => "never reached: a rule before it takes everything".to_owned(),
    }
}

/// A rule of an endpoint's own chain.
#[inline]
fn in_endpoint(rule: &Rule<'_>) -> String {
    let Some(target) = &rule.target else { return "does nothing but count".to_owned() };
    let marks = matches!(ChainKind::of(target.name), ChainKind::MarkMasquerade) || target.name == "MARK";
    if marks && matches!(sources(rule), Sources::These(_)) {
        return "a pod that reaches itself through the Service is masqueraded, or its answer would go astray (hairpin)"
            .to_owned();
    }
    let remembers = rule.matches.iter().any(|m| matches!(m, Match::Recent(r) if r.verb == RecentVerb::Set));
    let and = if remembers { ", and the client is remembered" } else { "" };
    match translate::of(target) {
        Some(Translation::To(address)) => format!("the destination becomes {address}{and}"),
        Some(Translation::Garbled) => {
            "the destination is replaced; the iptables that wrote this dump could not print by what".to_owned()
        }
        None => general(rule),
    }
}

/// A rule of the filter table.
#[inline]
fn refusal(rule: &Rule<'_>) -> String {
    let how = match rule.target.as_ref().map(|t| t.name) {
        Some("DROP") => "dropped without an answer",
        _ => "refused with an ICMP error",
    };
    let comment = rule.comment().unwrap_or_default();
    if comment.contains("no local endpoints") {
        format!("{how}: the Service has no endpoint on this node")
    } else if comment.contains("no endpoints") {
        format!("{how}: the Service has no endpoints")
    } else {
        format!("{how}, unless a rule above let it in")
    }
}

/// Rules kube-proxy does not write.
#[inline]
fn general(rule: &Rule<'_>) -> String {
    match &rule.target {
        None => "does nothing but count".to_owned(),
        Some(target) => match target.name {
            "RETURN" => "goes back to the chain before".to_owned(),
            "ACCEPT" => "ends here, untranslated".to_owned(),
            "MARK" => "sets the packet's mark".to_owned(),
            name if target.goto => format!("goes to {name} for good"),
            name => format!("goes on in {name}"),
        },
    }
}

#[inline]
fn masquerade(rule: &Rule<'_>) -> String {
    let who = match sources(rule) {
        Sources::All => "every client is masqueraded: it".to_owned(),
        Sources::Outside(networks) => format!("a client outside the pod network {networks} is masqueraded: it"),
        Sources::These(networks) => format!("a client from {networks} is masqueraded: it"),
        Sources::Node => "this node as a client is masqueraded: it".to_owned(),
    };
    format!("{who} appears to the endpoint as the node")
}

/// Whose connections a rule speaks of.
enum Sources {
    All,
    These(String),
    Outside(String),
    Node,
}

#[inline]
fn sources(rule: &Rule<'_>) -> Sources {
    rule.matches
        .iter()
        .find_map(|m| match m {
            Match::Source { not: true, network } => Some(Sources::Outside((*network).to_owned())),
            Match::Source { not: false, network } => Some(Sources::These((*network).to_owned())),
            Match::AddrType(addrtype) if addrtype.source == Some((false, "LOCAL")) => Some(Sources::Node),
            _ => None,
        })
        .unwrap_or(Sources::All)
}

#[inline]
fn destination(rule: &Rule<'_>) -> Option<Network> {
    rule.matches.iter().find_map(|m| match m {
        Match::Destination { not: false, network } => Network::parse(network),
        _ => None,
    })
}

#[inline]
fn remembered<'r>(rule: &Rule<'r>) -> Option<&'r str> {
    rule.matches.iter().find_map(|m| match m {
        Match::Recent(recent) if recent.verb != RecentVerb::Set => recent.seconds,
        _ => None,
    })
}

/// The part a balancing rule takes, 0..=1; `None` for a rule that is no choice between endpoints.
#[inline]
fn balance(rule: &Rule<'_>) -> Option<f64> {
    if remembered(rule).is_some() {
        return None;
    }
    let mut takes = 1.0;
    for item in &rule.matches {
        if let Match::Statistic(statistic) = item {
            takes *= probability_of(statistic)?;
        }
    }
    Some(takes)
}

/// `1/3`, `2/3`, `1/500`; a percentage where no simple fraction is meant.
#[inline]
fn fraction(part: f64) -> String {
    // Probabilities of old kube-proxies and of textbooks have four or five decimals; with larger denominators such a
    // rounded number would fit some fraction by chance.
    let close = |d: u32| part.min(1.0 - part).max(1e-12) * if d <= 20 { 2e-4 } else { 1e-6 };
    (1..=MAX_DENOMINATOR)
        .map(|d| ((part * f64::from(d)).round(), d))
        .find(|(n, d)| (part - n / f64::from(*d)).abs() <= close(*d))
        .map_or_else(|| format!("{:.2} %", part * 100.0), |(n, d)| format!("{n}/{d}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_told_as_people_say_them() {
        for (part, text) in [
            (1.0 / 3.0, "1/3"),
            (0.333_329_999_82, "1/3"),
            (0.3333, "1/3"),
            (2.0 / 3.0, "2/3"),
            (0.5, "1/2"),
            (1.0 / 500.0, "1/500"),
            (499.0 / 500.0, "499/500"),
            (0.9, "9/10"),
            (0.123_456, "12.35 %"),
        ] {
            assert_eq!(fraction(part), text);
        }
    }
}
