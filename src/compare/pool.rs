//! The pools of one service port on both sides: endpoints, their shares and states.

use super::change::{Change, Kept, Turn, Which};
use super::pairing::Pairing;
use super::port::{Both, skip_for};
use super::{Found, Known, Unknown};
use crate::dataplane::{Absent, Address, Endpoint, Oddity, Pool, State};
use crate::order::Order as _;

/// Shares and parts that differ by less are the same. kube-proxy writes ten decimals and the kernel keeps 31 bits: by both
/// the share of an endpoint depends a little on its place among the others, by less than half of this.
const ROUNDING: f64 = 2e-9;

/// The same for the five decimals kube-proxy wrote before 1.17: so far from even are shares that are meant to be even.
const OLD_ROUNDING: f64 = 1.1e-5;

/// A pool of which a side has nothing.
static NONE: [Endpoint; 0] = [];

/// Compares all pools of a service port.
pub(super) fn all<'c>(both: &Both<'c>, found: &mut Found<'c>) {
    let mut pairs = Pairing::new(&both.a.pools, &both.b.pools)
        .by(|pool| Some((pool.policy, pool.chain.as_str())))
        .by(|pool| Some((pool.policy, addresses(pool))))
        .by(|pool| Some(pool.policy));
    if !both.tell_policies() {
        pairs = pairs.by(|pool| Some(pool.chain.as_str())).by(|_| Some(()));
    }
    for (a, b) in pairs.all() {
        Pools { both, a, b }.compare(found);
    }
}

fn addresses(pool: &Pool) -> Vec<String> {
    let mut all: Vec<String> = pool.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect();
    all.order();
    all
}

struct Pools<'p, 'c> {
    both: &'p Both<'c>,
    a: Option<&'c Pool>,
    b: Option<&'c Pool>,
}

impl<'c> Pools<'_, 'c> {
    fn compare(&self, found: &mut Found<'c>) {
        let Some(policy) = self.a.or(self.b).map(|pool| pool.policy) else { return };
        let of = |pool: Option<&'c Pool>| pool.map_or(NONE.as_slice(), |pool| &pool.endpoints);
        let pairs = Pairing::new(of(self.a), of(self.b))
            .by(|e| e.address.ip().map(|_| (&e.address, &e.chain)))
            .by(|e| e.address.ip().map(|_| &e.address))
            // A listing does not always tell the port, or the address.
            .between(untold, |e| e.address.ip())
            .between(|e| e.address.ip(), untold)
            .between(|e| nowhere(e).then_some(&e.chain), |e| Some(&e.chain))
            .between(|e| Some(&e.chain), |e| nowhere(e).then_some(&e.chain))
            .by(|e| (e.address != Address::Unknown).then_some(&e.address));
        let mut alone: [Vec<&'c Endpoint>; 2] = Default::default();
        let even = self.even();
        for (a, b) in pairs.all() {
            match (a, b) {
                (Some(a), Some(b)) => self.kept(a, b, even, found),
                (Some(a), None) => alone[0].push(a),
                (None, Some(b)) => alone[1].push(b),
                (None, None) => {}
            }
        }
        let hides = alone.each_ref().map(|endpoints| endpoints.iter().any(|endpoint| nowhere(endpoint)));
        for (which, endpoints) in [Which::A, Which::B].into_iter().zip(alone) {
            let hidden = if which == Which::A { hides[1] } else { hides[0] };
            for endpoint in endpoints {
                if hidden {
                    found.skip(Unknown::Addresses(which.other()));
                } else if nowhere(endpoint) && hides.iter().any(|hides| *hides) && self.of(which.other()).is_some() {
                    found.skip(Unknown::Addresses(which));
                } else if self.lists_all(which.other()) {
                    found.add(Change::Endpoint(policy, Turn::of(which, endpoint)));
                } else {
                    found.skip(Unknown::Lines(which.other(), self.both.a.family));
                }
            }
        }
        if let (Some(a), Some(b)) = (self.a, self.b) {
            self.whole(a, b, found);
        }
    }

    fn of(&self, which: Which) -> Option<&'c Pool> {
        match which {
            Which::A => self.a,
            Which::B => self.b,
        }
    }

    /// True if what a side does not list in the pool is not in it.
    fn lists_all(&self, which: Which) -> bool {
        let Known { whole, .. } = self.both.known_of(which);
        let Some(pool) = self.of(which) else { return whole };
        let lacks = |o: &Oddity| {
            matches!(o, Oddity::CutOff(_) | Oddity::Missing(_) | Oddity::Incomplete(_) | Oddity::Unordered)
        };
        let is_cut = pool.oddities.iter().any(lacks);
        (whole && !is_cut) || (pool.is_whole() && pool.lost().is_none())
    }

    /// The share of every endpoint, if both pools are meant to be even and have as many of them.
    fn even(&self) -> Option<f64> {
        let (a, b) = self.a.zip(self.b)?;
        let even = 1.0 / f64::from(u32::try_from(a.endpoints.len()).ok()?);
        let is_even = |e: &Endpoint| e.probability.is_some_and(|share| (share - even).abs() < OLD_ROUNDING);
        let same = a.endpoints.len() == b.endpoints.len();
        (same && a.endpoints.iter().chain(&b.endpoints).all(is_even)).then_some(even)
    }

    /// An endpoint that both sides have.
    fn kept(&self, a: &'c Endpoint, b: &'c Endpoint, even: Option<f64>, found: &mut Found<'c>) {
        let policy = self.a.map_or(crate::dataplane::Policy::Cluster, |pool| pool.policy);
        let mut add = |kept| found.add(Change::Kept(policy, kept, a, b));
        if let (Some(one), Some(other)) = (a.probability, b.probability)
            && even.is_none()
            && (one - other).abs() > ROUNDING
        {
            add(Kept::Share);
        }
        if a.draining != b.draining {
            add(Kept::Draining);
        }
        if let (Some(one), Some(other)) = (a.hairpin, b.hairpin)
            && one != other
        {
            add(Kept::Hairpin);
        }
        let states = a.about.as_ref().zip(b.about.as_ref()).map(|(one, other)| (&one.state, &other.state));
        match states {
            Some((State::Unknown, State::Unknown)) | None => {}
            Some((State::Unknown, _)) => found.skip(Unknown::Wishes(Which::A)),
            Some((_, State::Unknown)) => found.skip(Unknown::Wishes(Which::B)),
            Some((one, other)) if one.as_str() != other.as_str() => add(Kept::State),
            Some(_) => {}
        }
        // Where IPVS chooses by what is connected, an endpoint has no share.
        let has_share = |which| {
            let endpoint = if which == Which::A { a } else { b };
            endpoint.probability.is_some() || self.of(which).is_some_and(|pool| pool.scheduler.is_some())
        };
        skip_for(has_share, Unknown::Judgement, found);
    }

    /// What is told of the pools as a whole.
    fn whole(&self, a: &'c Pool, b: &'c Pool, found: &mut Found<'c>) {
        if let (Some(one), Some(other)) = (a.scheduler.as_deref(), b.scheduler.as_deref())
            && one != other
        {
            found.add(Change::Scheduler(a.policy, one, other));
        }
        let lost = |pool: &Pool| pool.undelivered.map(|_| pool.lost().unwrap_or(0.0));
        if let (Some(one), Some(other)) = (lost(a), lost(b))
            && (one - other).abs() > ROUNDING
            && self.lists_all(Which::A)
            && self.lists_all(Which::B)
        {
            found.add(Change::Undelivered(a.policy, one, other));
        }
        let told = |pool: &Pool| pool.is_whole() && pool.expected.is_some_and(|expected| expected.is_ok());
        if !told(a) || !told(b) {
            return;
        }
        for (one, other) in Pairing::new(&a.missing, &b.missing).by(|absent: &Absent| Some(&absent.address)).all() {
            match (one, other) {
                (Some(one), None) => found.add(Change::Missing(Some(a.policy), Turn::Lost(one))),
                (None, Some(other)) => found.add(Change::Missing(Some(a.policy), Turn::Gained(other))),
                _ => {}
            }
        }
    }
}

/// The address of an endpoint whose port is not told.
fn untold(endpoint: &Endpoint) -> Option<std::net::IpAddr> {
    matches!(endpoint.address, Address::UnknownPort(_)).then(|| endpoint.address.ip()).flatten()
}

/// True if its address is not told.
fn nowhere(endpoint: &Endpoint) -> bool {
    endpoint.address == Address::Unknown
}
