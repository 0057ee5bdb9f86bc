//! Whose addresses are now that a node still sends connections to. The API server looks through every Pod to answer that,
//! and while a change makes its round every node of a cluster would ask at once: so it is asked seldom, and only about what
//! stays.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::cluster::api::PodsFound;
use crate::cluster::facts::Pod;
use crate::cluster::problem::Problem;
use crate::order::Order as _;

/// kube-proxy has synced long before this, where it works (`--iptables-sync-period` is 30 s).
const STAYS: Duration = Duration::from_secs(30);

/// Between two rounds of questions, and for so long an answer is good.
const ROUND: Duration = Duration::from_mins(1);

/// What was asked.
#[derive(Debug, Default)]
pub(super) struct Lookups {
    addresses: Vec<Address>,
    /// When there was a round last.
    round: Option<Instant>,
    /// What went wrong in it.
    problem: Option<Problem>,
}

#[derive(Debug)]
struct Address {
    ip: IpAddr,
    /// When it may be asked about.
    due: Instant,
    /// When it was, and the Pods that have it.
    answer: Option<(Instant, Vec<Pod>)>,
}

impl Lookups {
    /// True if there is something to ask that was not asked yet.
    pub(super) fn are_due(&self, now: Instant) -> bool {
        self.may_ask(now) && self.addresses.iter().any(|address| address.answer.is_none() && address.due <= now)
    }

    fn may_ask(&self, now: Instant) -> bool {
        self.round.is_none_or(|round| now.duration_since(round) >= ROUND)
    }

    /// What is known of `wanted`; `ask` answers a round of questions. What is there from the beginning is asked about at
    /// once.
    pub(super) fn of(
        &mut self,
        wanted: &[IpAddr],
        now: Instant,
        ask: impl FnOnce(&[IpAddr]) -> PodsFound,
    ) -> PodsFound {
        let wait = if self.round.is_none() { Duration::ZERO } else { STAYS };
        self.addresses.retain(|address| wanted.contains(&address.ip));
        for ip in wanted {
            if !self.addresses.iter().any(|address| address.ip == *ip) {
                self.addresses.push(Address { ip: *ip, due: now + wait, answer: None });
            }
        }
        let is_open = |address: &&Address| {
            let old = address.answer.as_ref().is_none_or(|(when, _)| now.duration_since(*when) >= ROUND);
            old && address.due <= now
        };
        let mut open: Vec<&Address> = self.addresses.iter().filter(is_open).collect();
        // Those that were never asked about come first.
        open.order_by_key(|address| address.answer.as_ref().map(|(when, _)| *when));
        let open: Vec<IpAddr> = open.into_iter().map(|address| address.ip).collect();
        if self.may_ask(now) {
            self.round = Some(now);
            if !open.is_empty() {
                let found = ask(&open);
                self.problem = found.problem;
                for address in self.addresses.iter_mut().filter(|address| found.asked.contains(&address.ip)) {
                    let has = |pod: &&Pod| pod.addresses.contains(&address.ip);
                    address.answer = Some((now, found.pods.iter().filter(has).cloned().collect()));
                }
            }
        }
        let answered = || self.addresses.iter().filter_map(|a| Some((a.ip, &a.answer.as_ref()?.1)));
        let mut pods: Vec<Pod> = answered().flat_map(|(_, pods)| pods).cloned().collect();
        pods.order_by(|a, b| a.pod.cmp(&b.pod));
        pods.dedup();
        PodsFound { pods, asked: answered().map(|(ip, _)| ip).collect(), problem: self.problem.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::facts::PodRef;

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    /// Answers that every address is that of a Pod, and remembers what was asked.
    fn found(asked: &[IpAddr], log: &mut Vec<Vec<IpAddr>>) -> PodsFound {
        log.push(asked.to_vec());
        let pod = |ip: &IpAddr| Pod {
            pod: PodRef::new("shop", &ip.to_string()),
            node: None,
            addresses: vec![*ip],
            host_network: false,
            ended: false,
        };
        PodsFound { pods: asked.iter().map(pod).collect(), asked: asked.to_vec(), problem: None }
    }

    #[test]
    fn what_stays_is_asked_about_and_what_passes_is_not() {
        let (mut lookups, mut log) = (Lookups::default(), Vec::new());
        let begin = Instant::now();
        let mut at = |lookups: &mut Lookups, seconds: u64, wanted: &[u8]| {
            let wanted: Vec<IpAddr> = wanted.iter().map(|last| ip(*last)).collect();
            let now = begin + Duration::from_secs(seconds);
            let due = lookups.are_due(now);
            (due, lookups.of(&wanted, now, |asked| found(asked, &mut log)).asked.len())
        };
        assert_eq!(at(&mut lookups, 0, &[1, 2]), (false, 2), "what is there at first is asked at once");
        assert_eq!(at(&mut lookups, 1, &[1, 3]), (false, 1), "what is new is not");
        assert_eq!(at(&mut lookups, 20, &[1, 4]), (false, 1), "what passes never is");
        assert_eq!(at(&mut lookups, 55, &[1, 4]), (false, 1), "rounds are a minute apart");
        assert_eq!(at(&mut lookups, 61, &[1, 4]), (true, 2));
        assert_eq!(at(&mut lookups, 200, &[1, 4]), (false, 2), "known answers are asked for again only on the way");
        assert_eq!(log, [vec![ip(1), ip(2)], vec![ip(4), ip(1)], vec![ip(1), ip(4)]]);
    }

    #[test]
    fn what_came_before_any_round_was_needed_is_not_a_beginning() {
        let (mut lookups, mut log) = (Lookups::default(), Vec::new());
        let begin = Instant::now();
        lookups.of(&[], begin, |asked| found(asked, &mut log));
        lookups.of(&[ip(1)], begin + Duration::from_secs(70), |asked| found(asked, &mut log));
        assert_eq!(log, Vec::<Vec<IpAddr>>::new());
        assert!(lookups.are_due(begin + Duration::from_secs(131)));
    }
}
