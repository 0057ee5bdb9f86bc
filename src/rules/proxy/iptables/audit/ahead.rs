//! What stands in PREROUTING and OUTPUT ahead of the jump to KUBE-SERVICES, and the ports it asks for.

use hashbrown::HashSet;

use super::super::fragments::OF_FILTER;
use super::super::ruleset::Table;
use super::super::translate;
use super::PORTAL;
use super::hooks;
use super::narrowing::ports_of;
use crate::dataplane::Origin;
use crate::dump::iptables::{RawRule, Rule};

/// So many rules ahead of kube-proxy's are looked at.
const MOST_AHEAD: usize = 20_000;

/// The chain of kubelet, which is in the filter table only.
const OF_KUBELET: &str = "KUBE-FIREWALL";

/// The rules of a built-in chain ahead of the jump to KUBE-SERVICES.
pub(super) struct Ahead<'d> {
    /// The built-in chain.
    pub(super) hook: &'static str,
    pub(super) origins: &'static [Origin],
    pub(super) rules: Vec<RawRule<'d>>,
    /// Ports that a rule there asks for.
    ports: HashSet<u16>,
    /// A rule there takes connections whatever their port.
    any_port: bool,
    /// There are more rules than are looked at.
    pub(super) too_many: bool,
}

impl<'d> Ahead<'d> {
    pub(super) fn of(nat: Table<'d>, hook: &'static str, origins: &'static [Origin]) -> Self {
        // Where no packet gets to KUBE-SERVICES at all, the hook is what is missing.
        let reaches = hooks::leads(nat, hook, PORTAL);
        let most = if reaches { MOST_AHEAD } else { 0 };
        let before = nat.rules(hook).take_while(|raw| raw.target_name() != Some(PORTAL));
        // Of a text without `*table` lines, rules of both tables are here.
        let of_filter = |target: &str| target == OF_KUBELET || OF_FILTER.contains(&target);
        let of_nat = |raw: &RawRule<'d>| !raw.target_name().is_some_and(of_filter);
        let rules = before.filter(of_nat).take(most);
        let mut ahead =
            Self { hook, origins, rules: rules.collect(), ports: HashSet::new(), any_port: false, too_many: false };
        let mut seen = HashSet::new();
        // Each with whether it is one of the hook's own, and whether what leads to it asks for ports.
        let mut open: Vec<(RawRule<'d>, bool, bool)> = ahead.rules.iter().map(|raw| (*raw, true, false)).collect();
        let mut left = MOST_AHEAD;
        while let Some((raw, of_hook, narrowed)) = open.pop() {
            let Some(next) = left.checked_sub(1) else {
                ahead.too_many = true;
                break;
            };
            left = next;
            let Ok(rule) = raw.parse() else { continue };
            let Some(target) = rule.target.as_ref() else { continue };
            let ports = ports_of(&rule);
            if let Some(chain) = nat.section.chain(target.name).filter(|chain| chain.name != PORTAL) {
                // What goes on in another chain for good does not come back to the hook, whatever is in that chain.
                ahead.any_port |= of_hook && target.goto && ports.is_none();
                let narrowed = narrowed || ports.is_some();
                ahead.ports.extend(ports.into_iter().flatten());
                if seen.insert((chain.name, narrowed)) {
                    open.extend(nat.rules(chain.name).map(|raw| (raw, false, narrowed)));
                }
            } else if ends(&rule) {
                ahead.any_port |= ports.is_none() && !narrowed;
                ahead.ports.extend(ports.into_iter().flatten());
            }
        }
        ahead
    }

    /// False if no rule ahead asks for this port, or for any.
    pub(super) fn may_take(&self, port: Option<u16>) -> bool {
        !self.rules.is_empty() && (self.any_port || port.is_none_or(|port| self.ports.contains(&port)))
    }
}

/// True if a rule with this target lets no later rule of the nat table see the connection.
pub(super) fn ends(rule: &Rule<'_>) -> bool {
    let Some(target) = &rule.target else { return false };
    translate::of(target).is_some() || matches!(target.name, "ACCEPT" | "DROP" | "RETURN")
}
