//! One connection through the hooks of a table.

use super::names;
use super::packet::Packet;
use crate::dataplane::Policy;
use crate::dump::nft::{Base, Chain, Rule, Selector, Statement, Table, Verdict};
use crate::order::Order as _;
use crate::proxy::iptables::Truth;

/// kube-proxy's chains are five deep at most, and the kernel follows 16 jumps (NFT_JUMP_STACK_SIZE). What is deeper than
/// this, or has more rules than [`MAX_RULES`], must not hold us up.
const MAX_DEPTH: usize = 32;

/// Rules followed for one connection.
const MAX_RULES: usize = 2000;

/// The chain that refuses what is for cluster IPs and for no port of theirs.
const OF_CLUSTER_IPS: &str = "cluster-ips-check";

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate<'d> {
    /// It is spread over the endpoints of this chain.
    Pool(Policy, &'d str),
    Dropped,
    Refused,
    /// It goes on untranslated.
    LeftAlone,
    Unknown,
}

enum Flow<'d> {
    GoesOn,
    Returns,
    /// Past the chains of this hook that have no verdict yet.
    Accepted,
    Ends(Fate<'d>),
}

/// A connection under way.
pub(super) struct Walk<'w, 'p, 'd> {
    pub(super) table: &'d Table<'d>,
    pub(super) packet: &'w Packet<'p, 'd>,
    /// Is it marked for masquerading?
    pub(super) marked: Truth,
    /// Rules that cannot be judged are passed over: to learn which pool is behind them.
    pub(super) passes_over: bool,
    left: usize,
}

impl<'w, 'p, 'd> Walk<'w, 'p, 'd> {
    pub(super) fn new(table: &'d Table<'d>, packet: &'w Packet<'p, 'd>) -> Self {
        Self { table, packet, marked: Truth::No, passes_over: false, left: MAX_RULES }
    }

    /// Follows the connection through the chains of these hooks, the lowest priority of each first.
    pub(super) fn through(&mut self, hooks: &[&str]) -> Fate<'d> {
        for hook in hooks {
            let mut chains: Vec<(&'d Chain<'d>, Base<'d>)> =
                self.table.base_chains().filter(|(_, base)| base.hook == *hook).collect();
            chains.order_by_key(|(_, base)| base.priority);
            for (chain, base) in chains {
                match self.chain(chain, 0) {
                    Flow::Ends(fate) => return fate,
                    Flow::GoesOn | Flow::Returns if base.drops => return Fate::Dropped,
                    _ => {}
                }
            }
        }
        Fate::LeftAlone
    }

    fn chain(&mut self, chain: &'d Chain<'d>, depth: usize) -> Flow<'d> {
        for raw in &chain.rules {
            let Some(left) = self.left.checked_sub(1) else { return Flow::Ends(Fate::Unknown) };
            self.left = left;
            match self.rule(&self.packet.index.rule(raw), chain.name, depth) {
                Flow::GoesOn => {}
                flow => return flow,
            }
        }
        // The rules that came next are lost.
        if chain.cut_off { Flow::Ends(Fate::Unknown) } else { Flow::GoesOn }
    }

    fn rule(&mut self, rule: &Rule<'d>, chain: &'d str, depth: usize) -> Flow<'d> {
        let mut met = Truth::Yes;
        for statement in &rule.statements {
            met = met.min(self.packet.meets(statement));
            if met == Truth::No || (met == Truth::Unknown && self.passes_over) {
                return Flow::GoesOn;
            }
            let certain = met == Truth::Yes;
            let flow = match statement {
                Statement::Set { field: Selector::Mark, value } if value.contains('|') => {
                    self.marked = self.marked.max(met);
                    continue;
                }
                Statement::Verdict(verdict) => self.verdict(*verdict, certain, depth),
                Statement::VerdictMap(key, map) => match self.packet.verdict(key, map) {
                    Ok(Some(verdict)) => self.verdict(verdict, certain, depth),
                    Ok(None) => return Flow::GoesOn,
                    Err(()) if matches!(key, crate::dump::nft::Key::Number(..)) => Flow::Ends(pool(chain)),
                    Err(()) => Flow::Ends(Fate::Unknown),
                },
                Statement::Dnat(_) => Flow::Ends(pool(chain)),
                Statement::Reject => Flow::Ends(Fate::Refused),
                // What is not understood may end in any verdict.
                Statement::Redirect | Statement::Unknown(_) => Flow::Ends(Fate::Unknown),
                _ => continue,
            };
            return match flow {
                // Whether the rule applies is not known, and it decides.
                Flow::Ends(_) | Flow::Accepted | Flow::Returns if !certain => Flow::Ends(Fate::Unknown),
                flow => flow,
            };
        }
        Flow::GoesOn
    }

    fn verdict(&mut self, verdict: Verdict<'d>, certain: bool, depth: usize) -> Flow<'d> {
        let (name, comes_back) = match verdict {
            Verdict::Accept => return Flow::Accepted,
            Verdict::Drop => return Flow::Ends(Fate::Dropped),
            Verdict::Return => return Flow::Returns,
            Verdict::Continue => return Flow::GoesOn,
            Verdict::Jump(name) => (name, true),
            Verdict::Goto(name) => (name, false),
        };
        // No address of the node is a cluster IP, nor in the range they come from.
        if name == OF_CLUSTER_IPS && self.packet.address.is_none() {
            return if comes_back { Flow::GoesOn } else { Flow::Returns };
        }
        let before = self.marked;
        let of_pool = names::split(name).and_then(|(kind, _)| kind.policy());
        let Some(chain) = self.table.chain(name).filter(|_| depth < MAX_DEPTH) else {
            return Flow::Ends(of_pool.map_or(Fate::Unknown, |policy| Fate::Pool(policy, name)));
        };
        let flow = self.chain(chain, depth + 1);
        if !certain && self.marked > before {
            self.marked = Truth::Unknown;
        }
        match (flow, of_pool) {
            // Connections belong to the pool, whether or not its chain has an effect.
            (Flow::GoesOn | Flow::Returns | Flow::Ends(Fate::Pool(..) | Fate::Unknown), Some(policy)) => {
                Flow::Ends(Fate::Pool(policy, chain.name))
            }
            (Flow::GoesOn | Flow::Returns, None) if comes_back => Flow::GoesOn,
            (Flow::GoesOn, None) => Flow::Returns,
            (flow, _) => flow,
        }
    }
}

/// The pool that the rules of `chain` are.
fn pool(chain: &str) -> Fate<'_> {
    let policy = names::split(chain).and_then(|(kind, _)| kind.policy()).unwrap_or(Policy::Cluster);
    Fate::Pool(policy, chain)
}
