//! Do the connections that were counted fit the shares that the rules give?
//!
//! Counters of the nat table count new connections: only the first packet of a flow passes it.

use statrs::function::gamma::checked_gamma_ur;

use super::{Endpoint, Pool, ServicePort, Traffic};

/// Fewer connections than this say nothing.
const FEWEST: u64 = 100;

/// Fewer connections than this expected for one endpoint, and the chi-square distribution is no good approximation.
const FEWEST_EXPECTED: f64 = 5.0;

/// Below this the balance does not fit. One healthy pool in a thousand falls below it by chance.
const UNLIKELY: f64 = 0.001;

/// Rules of one service that were read while connections came in may differ by so much.
const READ_APART: (u64, u64) = (5, 100);

/// What the counters of a pool say of its balance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Balance {
    /// The connections that were counted, held against the shares.
    Judged(ChiSquare),
    /// They cannot be held against the shares: how many were counted, where that is known, and why not.
    Unjudged(Option<u64>, Unjudged),
}

/// Pearson's chi-square test of goodness of fit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ChiSquare {
    /// Connections that were counted.
    pub connections: u64,
    /// The statistic.
    pub statistic: f64,
    /// Its degrees of freedom.
    pub degrees: u32,
    /// How often chance alone gives a statistic as large or larger, 0..=1.
    pub p_value: f64,
}

impl ChiSquare {
    /// False if chance alone explains the difference less than once in a thousand times.
    pub fn fits(&self) -> bool {
        self.p_value >= UNLIKELY
    }
}

/// Why a balance is not judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unjudged {
    /// Too few connections for so many endpoints.
    TooFew,
    /// Clients stay with their endpoint, so that connections are not independent of each other.
    Affinity,
    /// Counters were printed in short (`12M`), as `-L -v` does without `-x`.
    Abbreviated,
    /// Some chains were written again later than others, and count from then on.
    Rewritten,
    /// The shares are not known.
    UnknownShares,
}

impl Unjudged {
    /// The reason in words.
    pub fn words(self) -> &'static str {
        match self {
            Self::TooFew => "too few to judge the balance by",
            Self::Affinity => "the balance is not judged, for clients stay with their endpoint",
            Self::Abbreviated => {
                "the balance is not judged, for counters are abbreviated (iptables -L -v -x or iptables-save -c prints them whole)"
            }
            Self::Rewritten => {
                "the balance is not judged, for some of the chains were written again in between and count from then on"
            }
            Self::UnknownShares => "the balance is not judged, for the shares are not known",
        }
    }
}

impl Pool {
    /// What its counters say; `None` where the dump has none, or where there is nothing to balance. `affinity` is that of the
    /// Service, and `alone` tells that it has no other pool, whose connections the chains of endpoints count too.
    pub fn balance(&self, affinity: bool, alone: bool) -> Option<Balance> {
        if self.abbreviated {
            return Some(Balance::Unjudged(None, Unjudged::Abbreviated));
        }
        let counted: Vec<u64> =
            self.endpoints.iter().map(|endpoint| endpoint.counted(affinity)).collect::<Option<_>>()?;
        let connections = counted.iter().fold(0u64, |sum, packets| sum.saturating_add(*packets));
        let unjudged = |why| Some(Balance::Unjudged(Some(connections), why));
        if counted.len() < 2 {
            return None;
        }
        if affinity {
            return unjudged(Unjudged::Affinity);
        }
        if self.endpoints.iter().any(|endpoint| was_rewritten(endpoint, alone)) {
            return unjudged(Unjudged::Rewritten);
        }
        let Some(shares) = self.endpoints.iter().map(|e| e.probability).collect::<Option<Vec<f64>>>() else {
            return unjudged(Unjudged::UnknownShares);
        };
        let whole: f64 = shares.iter().sum();
        #[expect(clippy::cast_precision_loss, reason = "counts beyond 2^53 lose nothing that matters to a ratio")]
        let expected: Vec<f64> = shares.iter().map(|share| share / whole * connections as f64).collect();
        // An endpoint that gets nothing adds no degree of freedom, and no connection either.
        let served =
            || expected.iter().zip(&counted).zip(&shares).filter(|(_, share)| **share > 0.0).map(|(pair, _)| pair);
        if connections < FEWEST || served().any(|(expected, _)| *expected < FEWEST_EXPECTED) {
            return unjudged(Unjudged::TooFew);
        }
        #[expect(clippy::cast_precision_loss, reason = "as above")]
        let statistic: f64 = served().map(|(expected, counted)| (*counted as f64 - expected).powi(2) / expected).sum();
        let degrees = u32::try_from(served().count().checked_sub(1)?).ok().filter(|degrees| *degrees > 0)?;
        // The function is not defined at zero, where its limit is one.
        let p_value =
            if statistic > 0.0 { checked_gamma_ur(f64::from(degrees) / 2.0, statistic / 2.0).ok()? } else { 1.0 };
        Some(Balance::Judged(ChiSquare { connections, statistic, degrees, p_value }))
    }
}

impl ServicePort {
    /// What the counters of one of its pools say.
    pub fn balance(&self, pool: &Pool) -> Option<Balance> {
        pool.balance(self.affinity_seconds.is_some(), self.pools.len() == 1)
    }
}

/// The rule that leads to the endpoint's chain counts something else than the one that translates in it. From other pools
/// more may arrive there.
fn was_rewritten(endpoint: &Endpoint, alone: bool) -> bool {
    let (Some(arrived), Some(translated)) = (endpoint.traffic().arrived, endpoint.traffic().packets) else {
        return false;
    };
    let (few, part) = READ_APART;
    let differ = arrived.abs_diff(translated) > few.max(arrived.max(translated) / part);
    differ && (alone || arrived > translated)
}

impl Endpoint {
    /// New connections that its pool sent it, as far as they were counted. With affinity several rules lead to it, and only
    /// the one that translates counts them all.
    pub fn counted(&self, affinity: bool) -> Option<u64> {
        let Traffic { packets, arrived, .. } = *self.traffic();
        if affinity { packets } else { packets.and(arrived.or(packets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::{Address, Policy};

    fn pool(counts: &[(f64, u64)]) -> Pool {
        let endpoints = counts.iter().zip(1u8..).map(|(&(probability, packets), n)| Endpoint {
            probability: Some(probability),
            traffic: Traffic { packets: Some(packets), arrived: Some(packets), ..Traffic::default() }.kept(),
            ..Endpoint::blank(Address::Socket([10, 0, 0, n].into(), 80), "")
        });
        Pool { endpoints: endpoints.collect(), undelivered: Some(0.0), ..Pool::blank(Policy::Cluster, String::new()) }
    }

    fn counts(endpoint: &mut Endpoint) -> &mut Traffic {
        endpoint.traffic.as_deref_mut().expect("counters")
    }

    /// Known answers of the chi-square distribution: the 95th percentile for two degrees of freedom is 5.991, and for one
    /// 3.841 (NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.4).
    #[test]
    fn p_values_are_those_of_the_tables() {
        let half = 0.5;
        let Some(Balance::Judged(one)) = pool(&[(half, 549), (half, 451)]).balance(false, true) else {
            panic!("judged")
        };
        assert_eq!((one.connections, one.degrees), (1000, 1));
        assert!((one.statistic - 9.604).abs() < 1e-9 && (one.p_value - 0.001_942).abs() < 1e-5, "{one:?}");
        assert!(one.fits());
        let at = |statistic: f64, degrees: f64| checked_gamma_ur(degrees / 2.0, statistic / 2.0).expect("defined");
        assert!((at(5.991, 2.0) - 0.05).abs() < 1e-4 && (at(3.841, 1.0) - 0.05).abs() < 1e-4);
        let Some(Balance::Judged(far)) = pool(&[(half, 600), (half, 400)]).balance(false, true) else {
            panic!("judged")
        };
        assert!(!far.fits(), "{far:?}");
    }

    #[test]
    fn what_cannot_be_judged_says_why() {
        let third = 1.0 / 3.0;
        let even = [(third, 40), (third, 40), (third, 40)];
        assert!(matches!(pool(&even).balance(false, true), Some(Balance::Judged(_))));
        assert_eq!(pool(&even).balance(true, true), Some(Balance::Unjudged(Some(120), Unjudged::Affinity)));
        let few = [(third, 33), (third, 33), (third, 33)];
        assert_eq!(pool(&few).balance(false, true), Some(Balance::Unjudged(Some(99), Unjudged::TooFew)));
        let rare = [(0.99, 199), (0.01, 1)];
        assert_eq!(pool(&rare).balance(false, true), Some(Balance::Unjudged(Some(200), Unjudged::TooFew)));
        assert_eq!(pool(&[(1.0, 500)]).balance(false, true), None);
        let mut late = pool(&even);
        counts(&mut late.endpoints[1]).arrived = Some(400);
        assert_eq!(late.balance(false, true), Some(Balance::Unjudged(Some(480), Unjudged::Rewritten)));
        // Of two pools that share their endpoints' chains, each counts its own.
        let mut shared = pool(&even);
        for endpoint in &mut shared.endpoints {
            counts(endpoint).packets = Some(70);
        }
        assert!(matches!(shared.balance(false, false), Some(Balance::Judged(test)) if test.connections == 120));
        assert_eq!(shared.balance(false, true), Some(Balance::Unjudged(Some(120), Unjudged::Rewritten)));
        let mut short = pool(&even);
        short.abbreviated = true;
        assert_eq!(short.balance(false, true), Some(Balance::Unjudged(None, Unjudged::Abbreviated)));
        let mut unknown = pool(&even);
        unknown.endpoints[0].probability = None;
        assert_eq!(unknown.balance(false, true), Some(Balance::Unjudged(Some(120), Unjudged::UnknownShares)));
        let mut uncounted = pool(&even);
        counts(&mut uncounted.endpoints[2]).packets = None;
        assert_eq!(uncounted.balance(false, true), None);
    }

    #[test]
    fn an_endpoint_that_gets_nothing_is_no_degree_of_freedom() {
        let Some(Balance::Judged(test)) = pool(&[(0.5, 60), (0.5, 60), (0.0, 0)]).balance(false, true) else {
            panic!("judged")
        };
        assert_eq!(test.degrees, 1);
    }
}
