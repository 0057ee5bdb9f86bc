//! How many rules are followed for one pool.
//!
//! kube-proxy gives each Service chains of its own, so that following all pools costs what their rules cost. Where pools lead to
//! the same chains, or to each other's, each would be followed through all of it by itself: five thousand that share five
//! thousand endpoints are 25 million endpoints out of four megabytes. Beyond its own rules a pool is followed only so far, the
//! less far the more Services are asked for, so that what all cost together stays in step with the text.

/// Rules that may be followed beside those of the pools' own chains, for all Services together.
const ALL: usize = 400_000;

/// The same for one pool, however many Services are asked for.
const LEAST: usize = 64;

/// Rules of other chains for each rule of the pool's own: the chain of an endpoint has two or three, and with affinity two rules
/// lead there.
const FOR_EACH: usize = 4;

/// Oddities that are kept of one pool: a damaged text may have one for each endpoint.
pub(super) const MOST_ODDITIES: usize = 20;

/// What a pool may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Allowance(usize);

impl Allowance {
    /// That of each pool where so many service ports are asked for.
    pub(super) fn among(ports: usize) -> Self {
        Self((ALL / ports.max(1)).max(LEAST))
    }

    /// Rules that may be followed for a pool whose own chain has so many, beside those. A chain that is not the pool's alone has
    /// none of its own.
    pub(super) fn rules(self, own: usize) -> usize {
        own.saturating_mul(FOR_EACH).saturating_add(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_services_the_less_for_what_they_share() {
        assert_eq!(Allowance::among(0).rules(0), 400_000);
        assert_eq!(Allowance::among(1).rules(100_000), 800_000);
        assert_eq!(Allowance::among(1000).rules(3), 412);
        assert_eq!(Allowance::among(1_000_000).rules(0), 64);
    }
}
