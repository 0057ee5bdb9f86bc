//! Picks the nat and filter table of each family out of everything that was read.

use std::fmt;

use crate::dump::iptables::{Backend, Chain, Dump, RawRule, Section, TableName};
use crate::net::Family;

/// The tables of one family that decide about Services.
#[derive(Debug, Clone, Copy)]
pub struct Ruleset<'d> {
    /// The family.
    pub family: Family,
    /// Where Services are translated.
    pub nat: Option<Table<'d>>,
    /// Where Services without endpoints are rejected.
    pub filter: Option<Table<'d>>,
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

/// Something the reader of the answer has to know about what was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Note {
    /// The same table came from both kernel interfaces; the one shown.
    BothBackends(Family, Backend),
    /// The same table came several times; the last is shown.
    Repeated(Family, usize),
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BothBackends(family, backend) => {
                let other = if *backend == Backend::Legacy { Backend::NfTables } else { Backend::Legacy };
                write!(
                    f,
                    "KUBE rules in both {backend} and {other} ({family}): both act on traffic, only {backend} is shown"
                )
            }
            Self::Repeated(family, times) => {
                write!(f, "{times} nat tables ({family}) were read: the last one is shown")
            }
        }
    }
}

/// What a section can be.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Nat,
    Filter,
    Mixed,
    Neither,
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
        let nat = nat(&of(Role::Nat).collect::<Vec<_>>(), family, &mut notes).or_else(|| of(Role::Mixed).next_back());
        let same_backend = |table: &Table<'d>| nat.is_none_or(|n| n.section.backend == table.section.backend);
        let filter = of(Role::Filter)
            .rfind(same_backend)
            .or_else(|| of(Role::Filter).next_back())
            .or_else(|| of(Role::Mixed).next_back());
        if nat.is_some() || filter.is_some() {
            found.push(Ruleset { family, nat, filter });
        }
    }
    (found, notes)
}

/// Chooses among nat tables of one family: the one with Service rules; of several, the last, nf_tables before legacy.
fn nat<'d>(tables: &[Table<'d>], family: Family, notes: &mut Vec<Note>) -> Option<Table<'d>> {
    let serving: Vec<_> = tables.iter().copied().filter(|t| serves(t.section)).collect();
    let newest = |backend| serving.iter().copied().rfind(|t| t.section.backend == Some(backend));
    match (newest(Backend::NfTables), newest(Backend::Legacy)) {
        (Some(nft), Some(_)) => {
            notes.push(Note::BothBackends(family, Backend::NfTables));
            Some(nft)
        }
        _ => {
            if serving.len() > 1 {
                notes.push(Note::Repeated(family, serving.len()));
            }
            serving.last().or(tables.last()).copied()
        }
    }
}

/// True if the table has rules that lead to Services.
fn serves(section: &Section<'_>) -> bool {
    section.chains().iter().any(|c| !c.is_empty() && (c.name.starts_with("KUBE-SVC-") || c.name == "KUBE-SERVICES"))
}

/// Tells the role by the table's name, else by chains that only one of the two tables has.
fn role(section: &Section<'_>) -> Role {
    match section.table {
        Some(TableName::Nat) => return Role::Nat,
        Some(TableName::Filter) => return Role::Filter,
        Some(_) => return Role::Neither,
        None => {}
    }
    let has = |prefixes: &[&str]| section.chains().iter().any(|c| prefixes.iter().any(|p| c.name.starts_with(p)));
    let nat = has(&["KUBE-SVC-", "KUBE-SEP-", "KUBE-SVL-", "KUBE-EXT-", "KUBE-POSTROUTING", "KUBE-MARK-MASQ"]);
    let filter = has(&["KUBE-FORWARD", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL", "KUBE-FIREWALL", "FORWARD"]);
    match (nat, filter) {
        (true, false) => Role::Nat,
        (false, true) => Role::Filter,
        _ => Role::Mixed,
    }
}
