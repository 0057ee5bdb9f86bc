//! Signs that lines of a table are missing.

use super::names::OF_SERVICES;
use super::raw_rule::RawRule;
use super::scan::Provenance;
use super::section::{Chain, Form, Section};

/// So many chains in a row that kube-proxy never leaves without rules.
const MANY: usize = 3;

/// So many chains of a kind that none of them has what nearly all have by accident.
const OFTEN: usize = 8;

/// The built-in chains of the nat and filter tables.
const BUILT_IN: [&str; 5] = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];

/// So many chains tell in which order the rules are.
const LOOKED_AT: usize = 64;

/// What is missing of a table whose end is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lacks {
    /// Nothing that can be told.
    Nothing,
    /// The text begins inside it.
    Beginning,
    /// Rows of `-L`, whose names of columns are missing as well.
    Rows,
    /// Lines between those that are here, at places nobody knows.
    Lines,
    /// The order of its lines: a chain is declared behind its rules, as `sort` leaves it.
    Order,
}

/// True if kube-proxy may have a rule with this target in a chain. Of a listing that rows were chosen from (`-L | grep SVC`) the
/// headings of other chains may be gone, so that their rows stand below one that is there.
pub(super) fn may_hold(chain: &str, target: &str) -> bool {
    let leads_to: &[&str] = match chain.get(.."KUBE-SVC-".len()) {
        Some("KUBE-SEP-") => &[],
        Some("KUBE-SVC-" | "KUBE-SVL-") => &["KUBE-SEP-"],
        Some("KUBE-EXT-") => &["KUBE-SVC-", "KUBE-SVL-"],
        _ => return true,
    };
    match target.strip_prefix("KUBE-") {
        Some(kind) => kind.starts_with("MARK-") || leads_to.iter().any(|kind| target.starts_with(kind)),
        None => target != "DNAT" || leads_to.is_empty(),
    }
}

impl Section<'_> {
    /// True if nothing suggests that lines of this nat table are missing: all built-in chains are declared that such a
    /// table has had since the first, and the text does not end in it.
    pub fn is_whole(&self) -> bool {
        self.complete
            && !self.cut_off
            && ["PREROUTING", "OUTPUT", "POSTROUTING"].iter().all(|name| self.policy(name).is_some())
    }

    /// True if the text ends inside this table and `chain` is the one whose rules it ends in.
    pub fn ends_in(&self, chain: &Chain<'_>) -> bool {
        self.cut_off && self.last_ruled[0] == Some(chain.id)
    }

    /// True if the text begins inside this table and `chain` is the one whose rules it begins with.
    pub fn begins_in(&self, chain: &Chain<'_>) -> bool {
        self.lacks == Lacks::Beginning && self.is_first(chain)
    }

    /// True if nothing of the table stands before the rules of `chain`, which may be those that are left of more.
    pub fn is_first(&self, chain: &Chain<'_>) -> bool {
        chain.id == 0 && !chain.declared
    }

    /// True if rules of `chain` may be among the lines that are missing. What is last in a part of a table may have been cut.
    pub fn may_lack_rules(&self, chain: &Chain<'_>) -> bool {
        let is_last = || self.last_ruled[0] == Some(chain.id) || chain.id as usize + 1 == self.chains().len();
        (!chain.entire || self.has_gaps()) && !self.is_whole() || !self.complete && is_last()
    }

    /// True if lines are missing between those that are here, or stand elsewhere.
    pub fn has_gaps(&self) -> bool {
        self.lacks >= Lacks::Lines
    }

    /// True if the lines are not in the order of iptables, so that nothing tells which rule comes first.
    pub fn is_unordered(&self) -> bool {
        self.lacks == Lacks::Order
    }

    /// Notes it where the order of the rules is not that of iptables.
    pub fn note_order(&mut self) {
        if self.provenance == Provenance::Saved && self.is_sorted() {
            self.lacks = Lacks::Order;
            self.complete = false;
        }
    }

    /// kube-proxy begins the chains of Services and endpoints with the rule that marks. Sorted up or down, with punctuation or
    /// without, one kind of these has it elsewhere.
    fn is_sorted(&self) -> bool {
        ["KUBE-SEP-", "KUBE-SVC-"].iter().any(|kind| {
            let several = self.of(kind).filter(|chain| chain.rules_at_first() > 1);
            let places = several.take(LOOKED_AT).filter_map(|chain| {
                self.rules_of(chain).take(LOOKED_AT).position(|raw| raw.text.ends_with("-j KUBE-MARK-MASQ"))
            });
            let (first, behind) = places.fold((0, 0), |(first, behind), place| match place {
                0 => (first + 1, behind),
                _ => (first, behind + 1),
            });
            behind >= MANY || (behind > 1 && first == 0)
        })
    }

    /// True if lines with a word that kube-proxy has in many are all gone from a whole table, as `grep -v` leaves it: where there are
    /// chains of Services, there are the portals that lead to them and chains of endpoints, each with a rule that translates and one
    /// that marks, and all but the last chosen by chance.
    pub fn is_filtered(&self) -> bool {
        if self.provenance == Provenance::Listed || !self.is_whole() {
            return false;
        }
        let filled = |kind: &'static str| self.of(kind).filter(|chain| !chain.is_empty());
        let several = |kind: &'static str| filled(kind).nth(OFTEN - 1).is_some();
        let none_has = |kind: &'static str, words: &str| {
            let has = |chain: &Chain<'_>| self.rules_of(chain).take(LOOKED_AT).any(|raw| raw.text.contains(words));
            several(kind) && !filled(kind).take(LOOKED_AT).any(has)
        };
        let no_portal = || ["KUBE-SERVICES", "KUBE-NODEPORTS"].iter().any(|name| self.chain(name).is_none());
        several("KUBE-SVC-") && (self.of("KUBE-SEP-").next().is_none() || no_portal())
            || several("KUBE-SEP-") && self.of("KUBE-SVC-").next().is_none()
            || none_has("KUBE-SEP-", "DNAT")
            || none_has("KUBE-SEP-", "MARK")
            || none_has("KUBE-SVC-", "statistic") && self.lead_to_few()
    }

    /// The chains whose names begin so, the last ones first: whoever wants a few of a Service's does not go through those of all
    /// endpoints, which iptables prints before them.
    fn of(&self, kind: &'static str) -> impl Iterator<Item = &Chain<'_>> {
        self.chains().iter().rev().filter(move |chain| chain.name.starts_with(kind))
    }

    /// Notes that lines are missing between those that are here.
    pub fn note_gaps(&mut self) {
        self.lacks = self.lacks.max(Lacks::Lines);
        self.complete = false;
    }

    /// True if there are many more chains of endpoints than rules that may lead there.
    fn lead_to_few(&self) -> bool {
        let of = |kind| {
            let rules = self.of(kind).map(|chain| self.rules_in(chain)).filter(|rules| *rules > 0);
            rules.fold((0, 0), |(n, all), rules| (n + 1, all + rules))
        };
        let ((endpoints, _), (_, one), (_, other)) = (of("KUBE-SEP-"), of("KUBE-SVC-"), of("KUBE-SVL-"));
        endpoints > one + other + MANY
    }

    /// True if rules of the chain are here, though nothing declared it: where something does now, the lines are sorted.
    pub(super) fn has_rules_of_undeclared(&self, chain: &str) -> bool {
        self.chain(chain).is_some_and(|chain| !chain.declared && !chain.is_empty())
    }

    /// True if chains were declared behind the one that has the last rule, and none of them has rules: iptables prints rules in
    /// the order of the declarations, so that here a text broke off.
    pub(super) fn only_empty_behind(&self) -> bool {
        // In the filter table chains without rules are nothing unusual.
        let filters = self.policy("FORWARD").is_some() && self.policy("PREROUTING").is_none();
        let mut behind = self.behind().peekable();
        !filters && self.last_ruled[0].is_some() && behind.peek().is_some() && behind.all(Chain::is_empty)
    }

    /// As above, but the text ends with a whole line, or has no rules at all. One empty chain may be a fault of the node; three or
    /// more at the end are a cut.
    pub(super) fn many_empty_behind(&self) -> bool {
        let of_services = |chain: &&Chain<'_>| OF_SERVICES.iter().any(|kind| chain.name.starts_with(kind));
        self.behind().all(Chain::is_empty) && self.behind().filter(of_services).count() >= MANY
    }

    /// The chains that were declared behind the one that has the last rule. A built-in chain whose declaration grep took out comes
    /// before all others.
    fn behind(&self) -> impl Iterator<Item = &Chain<'_>> {
        let last = self.last_ruled[0].map(|id| &self.chains()[id as usize]).filter(|chain| chain.declared);
        let first = last.map_or(0, |chain| chain.id as usize + 1);
        self.chains()[first..].iter().filter(|chain| chain.declared)
    }

    /// True if a rule in the text's last line, which has no end, is not whole for sure.
    pub(super) fn is_cut(&self, raw: &RawRule<'_>) -> bool {
        // A few rules that somebody shows may end as they like.
        if raw.form != Form::Append || !self.chains().iter().any(|chain| chain.declared) {
            return false;
        }
        let chain = raw.chain_name();
        let begins = |name: &str| {
            let longer = |whole: &str| whole.len() > name.len() && whole.starts_with(name);
            BUILT_IN.into_iter().any(longer) || self.chains().iter().any(|chain| chain.declared && longer(chain.name))
        };
        let is_beginning = |name: &str| self.chain(name).is_none_or(|chain| !chain.declared) && begins(name);
        is_beginning(chain)
            || raw.parse().is_err()
            || match raw.target_name() {
                // Every rule of kube-proxy has a target.
                None => chain.starts_with("KUBE-"),
                Some(target) => is_beginning(target) || raw.text.ends_with(" DNAT"),
            }
    }

    /// True if rules lead to the chains fewer times than their headings in `-L` say: `Chain KUBE-SVC-X (2 references)`, or to one
    /// of kube-proxy that has no heading, which no kernel allows. Where no built-in chain is listed, only some chains were asked
    /// for.
    pub(super) fn lacks_references(&self, told: u64) -> bool {
        let is_listing = || self.chains().iter().find_map(Chain::form).is_some_and(|form| form != Form::Append);
        if self.policy("OUTPUT").is_none() || told == 0 && !is_listing() {
            return false;
        }
        let rules = self.chains().iter().flat_map(|chain| self.rules_of(chain));
        let targets = rules.filter_map(|raw| match raw.form {
            Form::Listing(columns) => columns.target(raw.text),
            Form::Append => raw.target_name(),
        });
        let mut leading = 0;
        for target in targets {
            if self.chain_id(target).is_some() {
                leading += 1;
            } else if target.starts_with("KUBE-") {
                return true;
            }
        }
        leading < told
    }
}
