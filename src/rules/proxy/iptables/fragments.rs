//! Puts together what belongs together in a text without `*table` lines, and finds out the family of tables that name no
//! address.
//!
//! `iptables-save | grep KUBE` and listings fetched chain by chain lose the marks between tables. kube-proxy's chains
//! tell nat from filter, and tables of one save stand next to each other.

use crate::dump::iptables::{Dump, Section, TableName};
use crate::net::Family;
use crate::proxy::chain_name::ChainKind;

/// Chains that kube-proxy has in the filter table only.
pub(super) const OF_FILTER: [&str; 3] = ["KUBE-FORWARD", "KUBE-EXTERNAL-SERVICES", "KUBE-PROXY-FIREWALL"];

/// What a section can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The nat table.
    Nat,
    /// The filter table.
    Filter,
    /// Lines that may be of both.
    Mixed,
    /// Neither.
    Other,
}

/// The same dump with its fragments joined and families known where their neighbours tell them.
pub fn joined(dump: Dump<'_>) -> Dump<'_> {
    let mut sections: Vec<Section<'_>> = Vec::with_capacity(dump.sections.len());
    // Signs of the last section, kept up to date so that many small fragments cost no more than their chains.
    let mut last_signs = None;
    // A table that says which it is needs no signs.
    let signs_of = |section: &Section<'_>| if section.table_told { Signs::default() } else { Signs::of(section) };
    for section in dump.sections {
        let Some(last) = sections.last_mut() else {
            sections.push(section);
            continue;
        };
        let (its, signs) = (last_signs.unwrap_or_else(|| signs_of(last)), signs_of(&section));
        if belong_together(last, its, &section, signs) {
            last.absorb(&section);
            last_signs = Some(its.and(signs));
        } else {
            sections.push(section);
            last_signs = Some(signs);
        }
    }
    name_families(&mut sections);
    sections.iter_mut().for_each(Section::note_order);
    // Who filtered one table has filtered them all.
    if sections.iter().any(Section::is_filtered) {
        sections.iter_mut().for_each(Section::note_gaps);
    }
    Dump { sections, ..dump }
}

fn belong_together(one: &Section<'_>, its: Signs, other: &Section<'_>, others: Signs) -> bool {
    let is_open = |s: &Section<'_>| !s.table_told && !s.cut_off;
    let told_alike = one.table_told && other.table_told && one.table == other.table && !one.complete && !other.complete;
    let same_table = (is_open(one) && is_open(other)) || told_alike;
    let same_family = one.family.is_none() || other.family.is_none() || one.family == other.family;
    let contradict = (its.nat && others.filter) || (its.filter && others.nat);
    same_table && same_family && !contradict && one.is_disjoint(other)
}

/// Gives tables without a single address the family of the others of their save. A save ends where a table comes again.
fn name_families(sections: &mut [Section<'_>]) {
    if sections.len() < 2 {
        return;
    }
    let mut start = 0;
    while start < sections.len() {
        let mut seen: Vec<(Role, Option<TableName>)> = Vec::new();
        let mut end = start;
        while end < sections.len() {
            let kind = (role(&sections[end]), sections[end].table);
            if seen.contains(&kind) {
                break;
            }
            seen.push(kind);
            end += 1;
        }
        let mut known: Vec<Family> = sections[start..end].iter().filter_map(|s| s.family).collect();
        known.dedup();
        if let [family] = known.as_slice() {
            for section in &mut sections[start..end] {
                section.family = section.family.or(Some(*family));
            }
        }
        start = end;
    }
}

/// Tells the role by the table's name where it is told, else by chains that only one of the two tables has, else by what
/// the built-in chains suggest.
pub(super) fn role(section: &Section<'_>) -> Role {
    let by_name = match section.table {
        Some(TableName::Nat) => Some(Role::Nat),
        Some(TableName::Filter) => Some(Role::Filter),
        Some(_) => Some(Role::Other),
        None => None,
    };
    if let Some(role) = by_name.filter(|_| section.table_told) {
        return role;
    }
    // A part of a table may hold some of its built-in chains only, so that kube-proxy's own tell more.
    match Signs::of(section) {
        Signs { nat: true, filter: false } => Role::Nat,
        Signs { nat: false, filter: true } => Role::Filter,
        // Built-in chains of both look like those of mangle.
        Signs { nat: true, filter: true } if by_name == Some(Role::Other) => Role::Mixed,
        _ => by_name.unwrap_or(Role::Mixed),
    }
}

/// Chains that only one of the two tables has.
#[derive(Debug, Clone, Copy, Default)]
struct Signs {
    nat: bool,
    filter: bool,
}

impl Signs {
    fn of(section: &Section<'_>) -> Self {
        let (mut signs, mut forwards, mut routes) = (Self::default(), false, false);
        for chain in section.chains() {
            let begins = |prefixes: &[&str]| prefixes.iter().any(|prefix| chain.name.starts_with(prefix));
            let kind = ChainKind::of(chain.name);
            // Nearly all chains of a large table are of Services. Those of firewalls were in nat until 1.25.
            if (kind.is_of_services() && kind != ChainKind::Firewall) || begins(&["KUBE-POSTROUTING", "KUBE-MARK-MASQ"])
            {
                signs.nat = true;
            } else if begins(&OF_FILTER) {
                signs.filter = true;
            }
            forwards |= chain.name == "FORWARD";
            routes |= matches!(chain.name, "PREROUTING" | "POSTROUTING");
        }
        // mangle has all of them, and no chains of Services.
        signs.filter |= forwards && (!routes || signs.nat);
        signs
    }

    fn and(self, other: Self) -> Self {
        Self { nat: self.nat || other.nat, filter: self.filter || other.filter }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dump::iptables::Hints;

    fn tables(text: &str) -> Vec<(Role, Option<Family>, u32)> {
        let dump = joined(Dump::scan(text, Hints::default()));
        dump.sections.iter().map(|s| (role(s), s.family, s.rules)).collect()
    }

    #[test]
    fn chains_fetched_one_by_one_are_one_table() {
        let text = "-N KUBE-SERVICES\n-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-X\n-N KUBE-SVC-X\n-A KUBE-SVC-X -j KUBE-SEP-A\n\
                    -N KUBE-SEP-A\n-A KUBE-SEP-A -p tcp -j DNAT --to-destination 10.0.0.1:80\n";
        assert_eq!(tables(text), [(Role::Nat, Some(Family::Ipv4), 3)]);
    }

    #[test]
    fn nat_and_filter_stay_apart() {
        let text = ":KUBE-FORWARD - [0:0]\n:KUBE-SERVICES - [0:0]\n-A KUBE-SERVICES -d 10.96.0.9/32 -j REJECT\n\
                    :KUBE-SERVICES - [0:0]\n:KUBE-SVC-X - [0:0]\n-A KUBE-SERVICES -d 10.96.0.1/32 -j KUBE-SVC-X\n";
        assert_eq!(tables(text), [(Role::Filter, Some(Family::Ipv4), 1), (Role::Nat, Some(Family::Ipv4), 1)]);
    }

    #[test]
    fn a_table_with_all_built_in_chains_is_mangle() {
        let policies =
            |chains: &[&str]| chains.iter().flat_map(|chain| ["-P ", chain, " ACCEPT\n"]).collect::<String>();
        let drop = "-A FORWARD -s 10.0.0.1/32 -j DROP\n";
        let all = ["PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"];
        assert_eq!(tables(&(policies(&all) + drop)), [(Role::Other, Some(Family::Ipv4), 1)]);
        assert_eq!(tables(&(policies(&all[1..4]) + drop)), [(Role::Filter, Some(Family::Ipv4), 1)]);
        // Lines of nat and filter.
        let both = policies(&all) + "-N KUBE-SVC-X\n" + drop;
        assert_eq!(tables(&both), [(Role::Mixed, Some(Family::Ipv4), 1)]);
        // Of a filter table whose policies are not there.
        assert_eq!(tables(&format!("-N FORWARD\n{drop}")), [(Role::Filter, Some(Family::Ipv4), 1)]);
    }

    #[test]
    fn a_table_without_addresses_is_of_the_family_of_its_save() {
        let save = |address: &str| {
            format!(
                "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j ACCEPT\nCOMMIT\n*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -d {address} -j X\nCOMMIT\n"
            )
        };
        let families: Vec<_> = tables(&(save("10.0.0.1/32") + &save("fd00::1/128"))).iter().map(|t| t.1).collect();
        let (four, six) = (Some(Family::Ipv4), Some(Family::Ipv6));
        assert_eq!(families, [four, four, six, six]);
    }
}
