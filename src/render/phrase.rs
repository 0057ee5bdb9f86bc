//! Words for frontends, routes and oddities, the same wherever they are shown.

use crate::dataplane::{Balance, Client, Frontend, Oddity, Origin, Policy, Pool, Route, ServicePort, Verdict};

/// What a frontend does beyond handing everyone to the only pool; empty where that is all.
pub(super) fn routes(frontend: &Frontend, several_pools: bool) -> String {
    let mut groups: Vec<(Vec<Origin>, String)> = Vec::new();
    for origin in Origin::ALL {
        let text = one_origin(frontend.routes.iter().filter(|r| r.origin == origin), several_pools);
        match groups.iter_mut().find(|(_, t)| *t == text) {
            Some((origins, _)) => origins.push(origin),
            None => groups.push((vec![origin], text)),
        }
    }
    if let [(_, text)] = groups.as_slice() {
        return text.clone();
    }
    let mut parts: Vec<String> = Vec::new();
    let last = groups.len() - 1;
    for (n, (origins, text)) in groups.into_iter().enumerate() {
        let text = if text.is_empty() { "source kept".to_owned() } else { text };
        let who = if n == last && origins.len() > 1 { "everyone else".to_owned() } else { clients(&origins) };
        parts.push(format!("{who}: {text}"));
    }
    parts.join("; ")
}

/// What becomes of connections to a frontend, and of whose: empty for everyone's.
pub(super) fn by_verdict(frontend: &Frontend) -> Vec<(Verdict, String)> {
    let mut groups: Vec<(Verdict, Vec<Origin>, Vec<String>)> = Vec::new();
    for route in &frontend.routes {
        let at = groups.iter().position(|(verdict, ..)| *verdict == route.verdict).unwrap_or_else(|| {
            groups.push((route.verdict, Vec::new(), Vec::new()));
            groups.len() - 1
        });
        let (_, origins, sources) = &mut groups[at];
        if route.sources.is_empty() && !origins.contains(&route.origin) {
            origins.push(route.origin);
        }
        for source in route.sources.iter().map(ToString::to_string) {
            if !sources.contains(&source) {
                sources.push(source);
            }
        }
    }
    let everyone = groups.len() == 1;
    let named = groups.into_iter().map(|(verdict, origins, sources)| {
        let who = match origins.as_slice() {
            [] => String::new(),
            all if all.len() == Origin::ALL.len() => "everyone else".to_owned(),
            some => clients(some),
        };
        let parts: Vec<String> = sources.into_iter().chain((!who.is_empty()).then_some(who)).collect();
        (verdict, if everyone { String::new() } else { parts.join(", ") })
    });
    named.collect()
}

/// The routes of one origin: those for source networks, then the rest.
fn one_origin<'r>(routes: impl Iterator<Item = &'r Route>, several_pools: bool) -> String {
    let mut parts = Vec::new();
    let mut limited = false;
    for route in routes {
        let what = outcome(route, several_pools);
        if route.sources.is_empty() {
            parts.push(if limited && !what.is_empty() { format!("others {what}") } else { what });
        } else {
            limited = true;
            let networks: Vec<String> = route.sources.iter().map(ToString::to_string).collect();
            let what = if what.is_empty() { "delivered".to_owned() } else { what };
            parts.push(format!("from {} {what}", networks.join(", ")));
        }
    }
    parts.retain(|p| !p.is_empty());
    parts.join(", ")
}

/// Where a route ends, and whether the client's address is replaced on the way.
fn outcome(route: &Route, several_pools: bool) -> String {
    let masquerade = match (route.verdict, route.masquerade) {
        (Verdict::Pool(_), Some(true)) => "masqueraded",
        (Verdict::Pool(_), None) => "perhaps masqueraded",
        _ => "",
    };
    match (verdict(route.verdict, several_pools), masquerade) {
        (pool, "") => pool.to_owned(),
        ("", masquerade) => masquerade.to_owned(),
        (pool, masquerade) => format!("{pool} ({masquerade})"),
    }
}

/// What happens to connections; the name of the pool only where there are several.
pub(super) fn verdict(verdict: Verdict, several_pools: bool) -> &'static str {
    match verdict {
        Verdict::Pool(_) if !several_pools => "",
        Verdict::Pool(Policy::Cluster) => "cluster pool",
        Verdict::Pool(Policy::Local) => "local pool",
        Verdict::Drop => "dropped",
        Verdict::Reject => "rejected",
        Verdict::None => "not captured",
        Verdict::Unknown => "unknown",
    }
}

/// `pods and this node`
pub(super) fn clients(origins: &[Origin]) -> String {
    let names: Vec<&str> = origins
        .iter()
        .map(|origin| match origin {
            Origin::Pod => "pods",
            Origin::Node => "this node",
            Origin::External => "others",
        })
        .collect();
    names.join(" and ")
}

/// The number of a pool's endpoints; `?` where its chain is not in the dump.
pub(super) fn count(pool: &Pool) -> String {
    let lacks_chain = pool.oddities.iter().any(|o| matches!(o, Oddity::Missing(chain) if *chain == pool.chain));
    if lacks_chain { "?".to_owned() } else { pool.endpoints.len().to_string() }
}

/// What happens to a service port none of whose frontends leads to a pool, from the rules.
pub(super) fn without_pool(service: &ServicePort) -> &'static str {
    let all = |verdict| service.frontends.iter().flat_map(|f| &f.routes).all(|r| r.verdict == verdict);
    if service.frontends.is_empty() {
        "no frontends, no endpoints"
    } else if all(Verdict::Reject) {
        "no endpoints: rejected"
    } else if all(Verdict::Drop) {
        "no endpoints: dropped"
    } else if service.is_unclear() {
        "where it leads is unknown"
    } else {
        "no endpoints"
    }
}

/// Clients that come back to their endpoint: the first of them, and how many more there are.
pub(super) fn kept(all: &[Client]) -> String {
    const NAMED: usize = 2;
    let named = all.iter().take(NAMED).map(|client| match client.expires {
        Some(seconds) => format!("{} ({seconds} s)", client.address),
        None => client.address.to_string(),
    });
    let named = named.collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => format!("keeps {named}"),
        more => format!("keeps {named} and {more} more"),
    }
}

/// How IPVS chooses among endpoints, where chance does not.
pub(super) fn scheduler(name: &str) -> String {
    let how = match name {
        "rr" => "in turn",
        "wrr" => "in turn, by weight",
        "sh" | "mh" => "by a hash of the client",
        "dh" => "by a hash of the destination",
        "fo" => "the highest weight",
        "lc" | "wlc" | "sed" | "nq" | "lblc" | "lblcr" => "depends on open connections",
        _ => "shares not known",
    };
    format!("{name}: {how}")
}

/// What counters say of a pool's balance, and whether it does not fit; `None` where they say nothing.
pub(super) fn balance(balance: &Balance) -> Option<(String, bool)> {
    let counted = |number: u64| format!("{} counted", crate::dataplane::count(number, "new connection"));
    Some(match balance {
        Balance::Unjudged(Some(0), _) => return None,
        Balance::Unjudged(connections, why) => {
            let counted = connections.map(|number| format!("{}: ", counted(number))).unwrap_or_default();
            (format!("{counted}{}", why.words()), false)
        }
        Balance::Judged(test) => {
            let verdict = if test.fits() { "the balance fits" } else { "the balance does not fit the shares" };
            let p = if test.p_value < 0.001 { "p < 0.001".to_owned() } else { format!("p = {:.3}", test.p_value) };
            let (statistic, degrees) = (test.statistic, test.degrees);
            let freedom = if degrees == 1 { "degree" } else { "degrees" };
            let figures = format!("chi-square {statistic:.2}, {degrees} {freedom} of freedom, {p}");
            (format!("{}: {verdict} ({figures})", counted(test.connections)), !test.fits())
        }
    })
}

/// Something odd about a pool, as a sentence.
pub(super) fn oddity(oddity: &Oddity) -> String {
    match oddity {
        Oddity::Loop(chain) => format!("{chain} jumps back to itself: no kernel loads such rules; shares unknown"),
        Oddity::Deep(depth) => {
            format!("chains nest {depth} deep; nf_tables loads no more than 16 jumps")
        }
        Oddity::Undecided(rule) => {
            format!(
                "line {}: a condition or target that a dump does not decide; shares behind it are unknown",
                rule.line
            )
        }
        Oddity::Missing(chain) => format!("{chain} is not in the dump"),
        Oddity::CutOff(chain) => format!("the dump ends inside {chain}"),
        Oddity::Shared(chain) => {
            format!("{chain} is not followed: it is no chain of this Service alone, and too many rules are behind it")
        }
        Oddity::Unordered => "the lines of the dump are sorted: which rule comes first is not known".to_owned(),
        Oddity::Incomplete(chain) => format!("lines of the dump are missing, maybe some of {chain}"),
    }
}
