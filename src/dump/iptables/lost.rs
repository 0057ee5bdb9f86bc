//! Signs that lines of a table are missing.

use super::section::{Chain, Form, Section};

/// So many chains in a row that kube-proxy never leaves without rules.
const MANY: usize = 3;

impl Section<'_> {
    /// True if chains were declared behind `chain` and none of them has rules: iptables prints rules in the order of the
    /// declarations, so that here a text broke off.
    pub(super) fn only_empty_behind(&self, chain: usize) -> bool {
        self.only_empty(&self.chains()[chain + 1..])
    }

    fn only_empty(&self, behind: &[Chain<'_>]) -> bool {
        // In the filter table chains without rules are nothing unusual.
        let filters = self.policy("FORWARD").is_some() && self.policy("PREROUTING").is_none();
        !filters && behind.iter().any(|chain| chain.declared) && behind.iter().all(Chain::is_empty)
    }

    /// The same where the last line is whole, and behind no chain if there are no rules at all: one empty chain may be what is
    /// wrong with a node, many at the end are not.
    pub(super) fn many_empty_behind(&self, chain: Option<usize>) -> bool {
        let filled =
            |name: &str| ["KUBE-SVC-", "KUBE-SVL-", "KUBE-SEP-", "KUBE-EXT-"].iter().any(|k| name.starts_with(k));
        let behind = &self.chains()[chain.map_or(0, |chain| chain + 1)..];
        self.only_empty(behind) && behind.iter().filter(|chain| filled(chain.name)).count() >= MANY
    }

    /// True if rules lead to the chains fewer times than their headings in `-L` say: `Chain KUBE-SVC-X (2 references)`. Where
    /// no built-in chain is listed, only some chains were asked for.
    pub(super) fn lacks_references(&self, told: u64) -> bool {
        if told == 0 || self.policy("OUTPUT").is_none() {
            return false;
        }
        let rules = self.chains().iter().flat_map(|chain| self.rules_of(chain));
        let targets = rules.filter_map(|raw| match raw.form() {
            Form::Listing(columns) => columns.target(raw.text),
            Form::Append => raw.target_name(),
        });
        let leading = targets.filter(|target| self.chain_id(target).is_some());
        (leading.count() as u64) < told
    }
}
