//! One service port on both sides: what the cluster says of it, its frontends and their routes.

use std::collections::BTreeMap;

use super::change::{Change, RouteAt, Turn, Which};
use super::pairing::Pairing;
use super::{Found, Known, Side, Unknown, is_caught, pool};
use crate::dataplane::{AboutService, Absent, Frontend, Origin, ServicePort, Status, Verdict};
use crate::net::{Family, Network};
use crate::order::Order as _;

/// A service port that both sides have.
pub(super) struct Both<'c> {
    pub(super) a: &'c ServicePort,
    pub(super) b: &'c ServicePort,
    pub(super) known: (Known, Known),
}

/// Compares a service port that both sides have.
pub(super) fn both<'c>(a: &'c ServicePort, b: &'c ServicePort, sides: (Side<'c>, Side<'c>), found: &mut Found<'c>) {
    let known = match (known(sides.0, a.family), known(sides.1, a.family)) {
        (Some(one), Some(other)) => (one, other),
        (None, None) => return,
        (None, Some(_)) => return found.skip(Unknown::Family(Which::A, a.family)),
        (Some(_), None) => return found.skip(Unknown::Family(Which::B, a.family)),
    };
    let both = Both { a, b, known };
    both.cluster(found);
    if a.affinity_seconds != b.affinity_seconds && !a.pools.is_empty() && !b.pools.is_empty() {
        found.add(Change::Affinity(a.affinity_seconds, b.affinity_seconds));
    }
    both.frontends(found);
    pool::all(&both, found);
}

/// A service port that only `which` has, and not `other`: false if it may be there all the same.
pub(super) fn alone<'c>(port: &'c ServicePort, which: Which, other: Side<'c>, found: &mut Found<'c>) -> bool {
    let lacking = which.other();
    let ruled = !port.pools.is_empty() || port.frontends.iter().any(is_caught);
    let known = known(other, port.family);
    let unknown = match known {
        None => Some(Unknown::Family(lacking, port.family)),
        Some(_) if !ruled => (!other.objects).then_some(Unknown::Objects(lacking)),
        Some(known) if only_refuses(port) && !known.refusals => Some(Unknown::Refusals(lacking, port.family)),
        Some(known) => (!known.whole).then_some(Unknown::Lines(lacking, port.family)),
    };
    if let Some(unknown) = unknown {
        found.skip(unknown);
        return false;
    }
    let caught = port.frontends.iter().filter(|frontend| is_caught(frontend));
    found.changes.extend(caught.map(|frontend| Change::Frontend(Turn::of(which, frontend))));
    for pool in &port.pools {
        let endpoints = pool.endpoints.iter();
        found.changes.extend(endpoints.map(|endpoint| Change::Endpoint(pool.policy, Turn::of(which, endpoint))));
    }
    true
}

fn known(side: Side<'_>, family: Family) -> Option<Known> {
    side.known.iter().find(|known| known.family == family).copied()
}

/// True if no rule leads to endpoints, and every rule refuses or drops.
fn only_refuses(port: &ServicePort) -> bool {
    port.pools.is_empty() && port.frontends.iter().all(refuses)
}

/// True if all that becomes of connections is that they are refused or dropped, as far as they are caught.
fn refuses(frontend: &Frontend) -> bool {
    frontend.routes.iter().all(|route| matches!(route.verdict, Verdict::Reject | Verdict::Drop | Verdict::None))
}

/// Ways to refuse, of which a nat table alone tells none.
fn is_of_filter(verdict: Option<Verdict>) -> bool {
    matches!(verdict, None | Some(Verdict::Reject | Verdict::Drop | Verdict::None))
}

impl<'c> Both<'c> {
    /// What the clusters say, where both sides have objects.
    fn cluster(&self, found: &mut Found<'c>) {
        let (a, b) = match (&self.a.about, &self.b.about) {
            (Some(a), Some(b)) => (a, b),
            (None, None) => return,
            (None, Some(_)) => return found.skip(Unknown::Objects(Which::A)),
            (Some(_), None) => return found.skip(Unknown::Objects(Which::B)),
        };
        if let (Some(one), Some(other)) = (a.service_type, b.service_type)
            && one != other
        {
            found.add(Change::Type(one, other));
        }
        if !tells(a) || !tells(b) {
            let of = |which| if which == Which::A { a } else { b };
            return skip_for(|which| tells(of(which)), Unknown::Wishes, found);
        }
        let (one, other) = (self.a.status(), self.b.status());
        if one != other && one != Status::Unknown && other != Status::Unknown {
            found.add(Change::Status(one, other));
        }
        if self.a.pools.is_empty() || self.b.pools.is_empty() {
            let (one, other) = (absent(self.a, a), absent(self.b, b));
            for pair in Pairing::new(&one, &other).by(|absent| Some(&absent.address)).all() {
                match pair {
                    (Some(one), None) => found.add(Change::Missing(None, Turn::Lost(one))),
                    (None, Some(other)) => found.add(Change::Missing(None, Turn::Gained(other))),
                    _ => {}
                }
            }
        }
    }

    fn frontends(&self, found: &mut Found<'c>) {
        let caught = |port: &'c ServicePort| port.frontends.iter().filter(|f| is_caught(f)).collect::<Vec<_>>();
        let (a, b) = (caught(self.a), caught(self.b));
        let pairs = Pairing::new(&a, &b)
            .by(|f| Some((f.kind, f.address, f.port, f.every_port)))
            .by(|f| Some((f.address, f.port, f.every_port)))
            // A listing does not always tell the port by its number.
            .between(|f| is_untold(f).then_some(f.address), |f| Some(f.address))
            .between(|f| Some(f.address), |f| is_untold(f).then_some(f.address));
        for pair in pairs.all() {
            match pair {
                (Some(one), Some(other)) => self.routes(one, other, found),
                (Some(one), None) => self.one_sided(one, Which::A, found),
                (None, Some(other)) => self.one_sided(other, Which::B, found),
                (None, None) => {}
            }
        }
    }

    /// A frontend that only `which` has.
    fn one_sided(&self, frontend: &'c Frontend, which: Which, found: &mut Found<'c>) {
        let known = self.known_of(which.other());
        if refuses(frontend) && !known.refusals {
            found.skip(Unknown::Refusals(which.other(), known.family));
        } else if !known.whole {
            found.skip(Unknown::Lines(which.other(), known.family));
        } else {
            found.add(Change::Frontend(Turn::of(which, frontend)));
        }
    }

    pub(super) fn known_of(&self, which: Which) -> Known {
        match which {
            Which::A => self.known.0,
            Which::B => self.known.1,
        }
    }

    fn routes(&self, a: &'c Frontend, b: &'c Frontend, found: &mut Found<'c>) {
        let (of_a, of_b) = (by_client(a), by_client(b));
        let mut clients: Vec<&Client> = of_a.keys().chain(of_b.keys()).collect();
        clients.order();
        clients.dedup();
        for client in clients {
            let at = RouteAt { frontend: a, origin: client.0, source: client.1 };
            let (one, other) = (of_a.get(client).copied(), of_b.get(client).copied());
            self.verdicts(at, one.map(|way| way.0), other.map(|way| way.0), found);
            if let (Some((one, masked)), Some((other, masked_too))) = (one, other)
                && one.is_pool()
                && other.is_pool()
            {
                match (masked, masked_too) {
                    (Some(one), Some(other)) if one != other => found.add(Change::Masquerade(at, one, other)),
                    (None, Some(_)) => found.skip(Unknown::Masquerade(Which::A)),
                    (Some(_), None) => found.skip(Unknown::Masquerade(Which::B)),
                    _ => {}
                }
            }
        }
    }

    fn verdicts(&self, at: RouteAt<'c>, a: Option<Verdict>, b: Option<Verdict>, found: &mut Found<'c>) {
        let of = |which| if which == Which::A { a } else { b };
        let (one, other) = self.known;
        if a == Some(Verdict::Unknown) || b == Some(Verdict::Unknown) {
            skip_for(|which| of(which) != Some(Verdict::Unknown), Unknown::Judgement, found);
        } else if a == b {
        } else if (at.source.is_some() || a.is_none() || b.is_none()) && !(one.sources && other.sources) {
            skip_for(|which| self.known_of(which).sources, Unknown::Sources, found);
        } else if is_of_filter(a) && is_of_filter(b) && !(one.refusals && other.refusals) {
            let family = one.family;
            skip_for(|w| self.known_of(w).refusals, |which| Unknown::Refusals(which, family), found);
        } else if matches!((a, b), (Some(Verdict::Pool(_)), Some(Verdict::Pool(_)))) && !self.tell_policies() {
            found.skip(Unknown::Policies(if self.a.about.is_none() { Which::A } else { Which::B }));
        } else {
            found.add(Change::Verdict(at, a, b));
        }
    }

    /// False where one side knows the policies of virtual servers from objects and the other does not.
    pub(super) fn tell_policies(&self) -> bool {
        let (a, b) = self.known;
        (a.policies && b.policies) || self.a.about.is_some() == self.b.about.is_some()
    }
}

/// Every endpoint that should be programmed and is not.
fn absent<'c>(port: &'c ServicePort, about: &'c AboutService) -> Vec<&'c Absent> {
    about.unprogrammed.iter().chain(port.pools.iter().flat_map(|pool| &pool.missing)).collect()
}

/// Counts something once for each side that does not tell it.
pub(super) fn skip_for(told: impl Fn(Which) -> bool, unknown: impl Fn(Which) -> Unknown, found: &mut Found<'_>) {
    [Which::A, Which::B].into_iter().filter(|which| !told(*which)).for_each(|which| found.skip(unknown(which)));
}

/// True if which endpoints the service port should have is known.
fn tells(about: &AboutService) -> bool {
    about.rules_complete && about.gap.is_none()
}

/// True if its port is not told by its number.
fn is_untold(frontend: &Frontend) -> bool {
    frontend.port.is_none() && !frontend.every_port
}

/// Where a client is, and the network it is in where a rule names it.
type Client = (Origin, Option<Network>);

/// What becomes of connections by where they come from: however rules group networks.
fn by_client(frontend: &Frontend) -> BTreeMap<Client, (Verdict, Option<bool>)> {
    let mut all = BTreeMap::new();
    for route in &frontend.routes {
        let way = (route.verdict, route.masquerade);
        if route.sources.is_empty() {
            all.entry((route.origin, None)).or_insert(way);
        }
        for source in &route.sources {
            all.entry((route.origin, Some(*source))).or_insert(way);
        }
    }
    all
}
