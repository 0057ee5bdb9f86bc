//! An endpoint gets more or less of the new connections than its even share.

use super::{Check, Finding, Found, Input, Severity};
use crate::dataplane::{Endpoint, Pool, percent};

/// Off by more than this part of the even share.
const TOLERANCE: f64 = 0.01;

/// kube-proxy before 1.17 wrote probabilities with five decimals, which are off by half a unit: with so many endpoints that
/// is a large part of one's share.
const FIVE_DECIMALS: f64 = 1e-5;

/// The check.
pub(super) static CHECK: Check = Check {
    id: "KI202",
    slug: "skewed-balance",
    severity: Severity::Warning,
    of_traffic: true,
    compares: false,
    page: include_str!("skewed_balance.md"),
    run,
};

fn run(input: &Input<'_, '_>, found: &mut Found) {
    for (at, port) in input.ports() {
        for pool in port.pools.iter().filter(|pool| pool.dead_ends.is_empty() && pool.is_whole()) {
            let Some(skew) = skew(pool) else { continue };
            let whole = input.is_whole(port.family);
            found.add(Finding {
                // Lines that are missing may hold the rules that make it even.
                severity: if whole { Severity::Warning } else { Severity::Info },
                chain: Some(pool.chain.clone()),
                share: Some(skew.misplaced),
                message: format!(
                    "{} gets {} of new connections; each of {} endpoints should get {}",
                    skew.worst.address,
                    percent(skew.share),
                    pool.endpoints.len(),
                    percent(skew.even)
                ),
                hint: super::rewrite(input),
                rules: pool.endpoints.iter().filter_map(|endpoint| endpoint.rules.first()).copied().take(6).collect(),
                ..found.on(at, port)
            });
        }
    }
}

struct Skew<'p> {
    worst: &'p Endpoint,
    /// What it gets, and what it should get, 0..=1.
    share: f64,
    even: f64,
    /// The part of all connections that goes to another endpoint than it would if all were even.
    misplaced: f64,
}

/// How far a pool is from even. What it loses altogether is left out: that is another finding.
fn skew(pool: &Pool) -> Option<Skew<'_>> {
    // One that only returning clients are sent to takes no part, nor one that loses those it has.
    let takes_part =
        |endpoint: &&Endpoint| !(endpoint.draining || (endpoint.remembered && endpoint.probability == Some(0.0)));
    let endpoints: Vec<&Endpoint> = pool.endpoints.iter().filter(takes_part).collect();
    let shares: Vec<f64> = endpoints.iter().map(|endpoint| endpoint.probability).collect::<Option<_>>()?;
    let delivered: f64 = shares.iter().sum();
    if shares.len() < 2 || delivered <= 0.0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "endpoints are far fewer than 2^52")]
    let count = shares.len() as f64;
    let even = delivered / count;
    let off = |share: f64| (share - even).abs();
    let (worst, share) = endpoints.into_iter().zip(&shares).max_by(|a, b| off(*a.1).total_cmp(&off(*b.1)))?;
    let tolerance = TOLERANCE.max(count * FIVE_DECIMALS);
    let misplaced = shares.iter().map(|share| off(*share)).sum::<f64>() / 2.0;
    (off(*share) > even * tolerance).then_some(Skew { worst, share: *share, even, misplaced })
}
