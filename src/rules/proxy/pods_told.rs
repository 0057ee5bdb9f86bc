//! What rules tell of pods: the networks or interfaces whose clients are not masqueraded, or are sent to the cluster pool under
//! Local policy.

use crate::net::Network;
use crate::order::Order as _;

/// How many chains of a kind are looked at: all of one kind name pods alike.
const SAMPLE: usize = 64;

/// How pods are told from others, as far as rules were looked at.
#[derive(Debug, Default)]
pub(super) struct PodsTold {
    pub(super) networks: Vec<Network>,
    pub(super) interfaces: Vec<String>,
}

impl PodsTold {
    /// Adds what the rules of these chains tell, by `tell`. Each of `kinds` has a sample of its own: what kube-proxy is
    /// configured for and what Services ask for decide which kind tells. Once the first kind did, in all of its sample, the
    /// others have nothing to add. Where none of them tells, since all connections are masqueraded (`--masquerade-all`), it is
    /// the few Services under Local policy among the chains of the kinds `outer`.
    pub(super) fn by_chains<C: Copy, K: PartialEq + Copy>(
        &mut self,
        chains: impl Iterator<Item = (K, C)> + Clone,
        kinds: &[K],
        outer: &[K],
        mut tell: impl FnMut(&mut Self, C),
    ) {
        let mut samples: Vec<(K, usize)> = kinds.iter().map(|kind| (*kind, SAMPLE)).collect();
        for (kind, chain) in chains.clone() {
            if let Some((_, left @ 1..)) = samples.iter_mut().find(|(of, _)| *of == kind) {
                *left -= 1;
                tell(self, chain);
                if samples[0].1 == 0 && !self.is_nothing() {
                    return;
                }
            }
        }
        let mut rest = chains.filter(|(kind, _)| outer.contains(kind));
        while self.is_nothing()
            && let Some((_, chain)) = rest.next()
        {
            tell(self, chain);
        }
    }

    fn is_nothing(&self) -> bool {
        self.networks.is_empty() && self.interfaces.is_empty()
    }

    /// What was told, in order.
    pub(super) fn finish(mut self) -> (Vec<Network>, Vec<String>) {
        self.networks.order();
        self.networks.dedup();
        self.interfaces.order();
        self.interfaces.dedup();
        (self.networks, self.interfaces)
    }
}
