//! Picks the nat and filter table of each family out of everything that was read.

use super::fragments::{Role, role};
use super::reject;
use crate::dump::iptables::{Backend, Chain, Dump, HIDDEN, RawRule, Section, TableName};
use crate::net::Family;
use crate::proxy::chain_name::ChainKind;

/// The tables of one family that decide about Services.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset<'d> {
    /// The family.
    pub family: Family,
    /// Where Services are translated.
    pub nat: Option<Table<'d>>,
    /// Where Services without endpoints are rejected.
    pub filter: Option<Table<'d>>,
    /// The nat table of the kernel's other interface, where that leads to Services too.
    pub rival: Option<Table<'d>>,
    /// Rules before connection tracking.
    pub raw: Option<Table<'d>>,
    /// Rules that mark or change packets.
    pub mangle: Option<Table<'d>>,
    /// SELinux marks, and now and then a DROP.
    pub security: Option<Table<'d>>,
}

impl<'d> Ruleset<'d> {
    /// Rules in its nat and filter tables.
    pub fn size(&self) -> usize {
        let nat = self.nat.map_or(0, |t| t.section.rules);
        // Lines that may be of either table are one section.
        let filter = self.filter.filter(|t| !t.mixed || self.nat.is_none()).map_or(0, |t| t.section.rules);
        (nat + filter) as usize
    }

    /// True if there are chains that kube-proxy makes in iptables mode only. Kubelets make KUBE-FIREWALL and KUBE-KUBELET-CANARY,
    /// and before 1.28 KUBE-MARK-MASQ, KUBE-MARK-DROP and KUBE-POSTROUTING, on every node (pkg/kubelet/kubelet_network_linux.go).
    pub fn has_chains_of_proxy(&self) -> bool {
        const PORTALS: [&str; 5] =
            ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES", "KUBE-NODEPORTS", "KUBE-FORWARD", "KUBE-PROXY-FIREWALL"];
        let is_its = |name: &str| PORTALS.contains(&name) || ChainKind::of(name).is_of_services();
        [self.nat, self.filter].into_iter().flatten().any(|t| t.section.chains().iter().any(|chain| is_its(chain.name)))
    }

    /// The table of this name.
    pub fn table(&self, name: TableName) -> Option<Table<'d>> {
        match name {
            TableName::Raw => self.raw,
            TableName::Mangle => self.mangle,
            TableName::Nat => self.nat,
            TableName::Filter => self.filter,
            TableName::Security => self.security,
        }
    }
}

/// A table, and which text it stands in.
#[derive(Debug, Clone, Copy)]
pub struct Table<'d> {
    /// The table.
    pub section: &'d Section<'d>,
    /// Index of the text, from 0.
    pub text: u16,
    /// The lines do not say their table and may come from nat and filter both (`iptables-save | grep KUBE`).
    pub mixed: bool,
}

impl<'d> Table<'d> {
    /// The rules of the chain called `name`; none if there is no such chain.
    pub fn rules(&self, name: &str) -> impl Iterator<Item = RawRule<'d>> + use<'d> {
        let section = self.section;
        section.chain(name).into_iter().flat_map(|chain: &Chain<'d>| section.rules_of(chain))
    }
}

impl Table<'_> {
    /// True if nothing suggests that rules of this nat table are missing.
    pub fn is_whole_nat(&self) -> bool {
        self.section.is_whole() && !self.mixed
    }

    /// True if external traffic has chains of its own (KUBE-EXT, since 1.24).
    pub fn has_external_chains(&self) -> bool {
        self.section.chains().iter().any(|chain| ChainKind::of(chain.name) == ChainKind::External)
    }

    /// True if this nat table is of a release that has chains for external traffic, or says in the comments of balancing rules
    /// where they lead (since 1.25): it may have no Service with external traffic.
    pub fn has_todays_layout(&self) -> bool {
        let chains = self.section.chains();
        let balancing =
            chains.iter().find(|chain| ChainKind::of(chain.name) == ChainKind::Cluster && !chain.is_empty());
        let leads = |raw: RawRule<'_>| raw.parse().is_ok_and(|rule| rule.comment().is_some_and(|c| c.contains(" -> ")));
        self.has_external_chains() || balancing.is_some_and(|chain| self.rules(chain.name).any(leads))
    }

    /// True if this filter table is of a release that has KUBE-PROXY-FIREWALL (since 1.25, kubernetes/kubernetes#110289).
    pub fn has_firewall(&self) -> bool {
        self.section.chain("KUBE-PROXY-FIREWALL").is_some()
    }

    /// True if nothing suggests that rules of this filter table are missing, or that conditions are which tell what they refuse.
    pub fn is_whole_filter(&self) -> bool {
        let section = self.section;
        let mut refusing = ["KUBE-SERVICES", "KUBE-EXTERNAL-SERVICES"].iter().flat_map(|chain| self.rules(chain));
        if refusing.any(|raw| raw.text.contains(HIDDEN)) {
            return false;
        }
        let built_in = ["INPUT", "FORWARD", "OUTPUT"].iter().all(|chain| section.policy(chain).is_some());
        section.complete && !section.cut_off && !self.mixed && built_in
    }
}

/// Something the reader of the answer has to know about what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The same table came from both kernel interfaces; the one shown.
    BothBackends(Family, Backend),
    /// The nat table of a family came so many times; the one in this text is shown.
    Repeated(Family, usize, u16),
    /// Rules of kube-proxy in this text are part of no table that is shown.
    Unused(u16, u32),
    /// This text ends inside the table.
    CutOff(u16, Option<TableName>),
}

impl Note {
    /// As a sentence; `labels` name the texts.
    pub fn describe(&self, labels: &[&str]) -> String {
        let label = |text: u16| labels.get(usize::from(text)).copied().unwrap_or("?");
        match self {
            Self::BothBackends(family, backend) => {
                let other = if *backend == Backend::Legacy { Backend::NfTables } else { Backend::Legacy };
                format!(
                    "KUBE rules in both {backend} and {other} ({family}): both act on traffic, only {backend} is shown"
                )
            }
            Self::Repeated(family, times, text) => {
                format!("{times} nat tables ({family}) were read: the last one is shown, from {}", label(*text))
            }
            Self::Unused(text, rules) => {
                format!("{}: {rules} rules of kube-proxy belong to no table that is shown", label(*text))
            }
            Self::CutOff(text, table) => {
                let table = table.map_or("a table".to_owned(), |t| format!("the {t} table"));
                format!("{} ends inside {table}: what stood behind its last line is missing", label(*text))
            }
        }
    }
}

/// The rulesets in `dumps`, IPv4 first. Rules that do not tell their family are of `fallback`.
pub fn rulesets<'d>(dumps: &'d [Dump<'d>], fallback: Family) -> (Vec<Ruleset<'d>>, Vec<Note>) {
    let mut notes = Vec::new();
    let mut found = Vec::new();
    for family in [Family::Ipv4, Family::Ipv6] {
        let tables: Vec<(Role, Table<'d>)> = dumps
            .iter()
            .zip(0u16..)
            .flat_map(|(dump, text)| dump.sections.iter().map(move |section| (section, text)))
            .filter(|(section, _)| section.family.unwrap_or(fallback) == family)
            .map(|(section, text)| {
                let role = role(section);
                (role, Table { section, text, mixed: role == Role::Mixed })
            })
            .collect();
        let of = |wanted: Role| tables.iter().filter(move |(role, _)| *role == wanted).map(|(_, table)| *table);
        let mixed: Vec<Table<'d>> = of(Role::Mixed).collect();
        let (nat, repeated) = nat(&of(Role::Nat).collect::<Vec<_>>(), &mixed, family, &mut notes);
        let filters: Vec<Table<'d>> = of(Role::Filter).chain(mixed).collect();
        // Of several tables of one interface it is not known which filter table goes with which.
        let doubtful = nat.is_some_and(|nat| {
            let alike = |t: &Table<'d>| serves(t.section) && t.section.backend == nat.section.backend;
            repeated && (nat.section.backend.is_none() || of(Role::Nat).filter(alike).count() > 1)
        });
        let filter = filter(&filters, nat, doubtful);
        notes.extend(unused(&tables, nat, filter, repeated));
        let shown = nat.into_iter().chain(filter);
        notes.extend(shown.filter(|t| t.section.cut_off).map(|t| Note::CutOff(t.text, t.section.table)));
        if nat.is_some() || filter.is_some() {
            let rival = rival(&of(Role::Nat).collect::<Vec<_>>(), nat);
            let beside = |name: TableName| beside(of(Role::Other), name, nat.or(filter));
            let (raw, mangle) = (beside(TableName::Raw), beside(TableName::Mangle));
            found.push(Ruleset { family, nat, filter, rival, raw, mangle, security: beside(TableName::Security) });
        }
    }
    notes.dedup();
    (found, notes)
}

/// Chooses among nat tables of one family: one with Service rules; of several, the last, nf_tables before legacy. True if
/// there were several.
fn nat<'d>(
    tables: &[Table<'d>],
    mixed: &[Table<'d>],
    family: Family,
    notes: &mut Vec<Note>,
) -> (Option<Table<'d>>, bool) {
    let serving: Vec<_> = tables.iter().copied().filter(|t| serves(t.section)).collect();
    let newest = |backend| serving.iter().copied().rfind(|t| t.section.backend == Some(backend));
    if let (Some(nft), Some(_)) = (newest(Backend::NfTables), newest(Backend::Legacy)) {
        notes.push(Note::BothBackends(family, Backend::NfTables));
        return (Some(nft), true);
    }
    if let (Some(last), true) = (serving.last(), serving.len() > 1) {
        notes.push(Note::Repeated(family, serving.len(), last.text));
    }
    let other = mixed.iter().rfind(|t| serves(t.section)).or_else(|| tables.iter().max_by_key(|t| t.section.rules));
    (serving.last().or(other).or(mixed.last()).copied(), serving.len() > 1)
}

/// The last nat table with Services that is of the other interface than `nat`.
fn rival<'d>(tables: &[Table<'d>], nat: Option<Table<'d>>) -> Option<Table<'d>> {
    let own = nat?.section.backend?;
    let differs = |t: &&Table<'d>| t.section.backend.is_some_and(|other| other != own) && serves(t.section);
    tables.iter().rfind(differs).copied()
}

/// The last of the tables of this name that are of the same kernel interface as `chosen`, those of the same text first.
fn beside<'d>(
    tables: impl Iterator<Item = Table<'d>>,
    name: TableName,
    chosen: Option<Table<'d>>,
) -> Option<Table<'d>> {
    let chosen = chosen?;
    let (one, text) = (chosen.section.backend, chosen.text);
    let fits = |other: Option<Backend>| one == other || one.is_none() || other.is_none();
    let named = tables.filter(|t| t.section.table == Some(name) && fits(t.section.backend));
    named.max_by_key(|t| t.text == text)
}

/// Chooses the filter table that goes with `nat`: of the same kernel interface, and from the same text. One from another
/// text is taken only if there is no doubt that it is of the same node.
fn filter<'d>(tables: &[Table<'d>], nat: Option<Table<'d>>, doubtful: bool) -> Option<Table<'d>> {
    // What is surely a filter table of this family comes before what may be one, and the last before the first.
    let best = |tables: Vec<&Table<'d>>| {
        let rank = |t: &Table<'d>| (!t.mixed, t.section.family.is_some(), refuses(t.section), t.section.rules > 0);
        tables.into_iter().max_by_key(|t| rank(t)).copied()
    };
    let Some(nat) = nat else { return best(tables.iter().collect()) };
    let same_backend = |t: &&Table<'d>| {
        let (one, other) = (t.section.backend, nat.section.backend);
        one == other || one.is_none() || other.is_none()
    };
    let beside = |t: &&Table<'d>| t.text == nat.text;
    best(tables.iter().filter(same_backend).filter(beside).collect())
        .or_else(|| best(tables.iter().filter(same_backend).filter(|_| !doubtful).collect()))
}

/// True if the table refuses Services.
fn refuses(section: &Section<'_>) -> bool {
    section.chains().iter().any(|c| !c.is_empty() && reject::CHAINS.contains(&c.name))
}

/// Parts with rules of kube-proxy that are shown nowhere, unless another note says why.
fn unused(
    tables: &[(Role, Table<'_>)],
    nat: Option<Table<'_>>,
    filter: Option<Table<'_>>,
    repeated: bool,
) -> Vec<Note> {
    let shown = |table: &Table<'_>| nat.into_iter().chain(filter).any(|t| std::ptr::eq(t.section, table.section));
    let is_kube = |section: &Section<'_>| section.chains().iter().any(|c| c.name.starts_with("KUBE-") && !c.is_empty());
    let missed = |role: Role, table: &Table<'_>| match role {
        Role::Mixed => is_kube(table.section),
        Role::Filter => refuses(table.section) && !repeated,
        Role::Nat | Role::Other => false,
    };
    let left = tables.iter().filter(|(role, table)| !shown(table) && missed(*role, table));
    left.map(|(_, table)| Note::Unused(table.text, table.section.rules)).collect()
}

/// True if the table has rules that lead to Services. A table of whose family nothing is known is not taken for one just
/// because KUBE-SERVICES sends node ports on.
fn serves(section: &Section<'_>) -> bool {
    let has_rules = |c: &Chain<'_>| !c.is_empty();
    // Chains of endpoints are by far the most, and sorted before those of Services.
    section.chains().iter().rev().any(|c| {
        has_rules(c)
            && (matches!(ChainKind::of(c.name), ChainKind::Cluster | ChainKind::Local | ChainKind::ExternalLocal)
                || (c.name == "KUBE-SERVICES" && section.family.is_some()))
    })
}
