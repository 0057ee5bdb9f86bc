//! Pseudonyms of names: `ns-1`, `svc-7`, `pod-12`.
//!
//! Names that were learnt are numbered, those of one reading in an order that tells nothing of them. A name that comes up only
//! later gets letters that depend on the key, never itself.

use hashbrown::HashMap;

use super::key::Key;

use crate::order::Order as _;

/// Letters of a pseudonym without a number.
const LETTERS: usize = 8;

/// What a name is the name of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Kind {
    Namespace,
    Service,
    Port,
    Slice,
    Pod,
    Node,
    Zone,
    /// What follows the first dot in the name of a host.
    Domain,
    /// Any other: an external name, a proxy.
    Other,
}

impl Kind {
    fn stem(self) -> &'static str {
        match self {
            Self::Namespace => "ns",
            Self::Service => "svc",
            Self::Port => "port",
            Self::Slice => "slice",
            Self::Pod => "pod",
            Self::Node => "node",
            Self::Zone => "zone",
            Self::Domain => "domain",
            Self::Other => "name",
        }
    }

    /// Names that every cluster has, some of which this program knows.
    fn keeps(self, name: &str) -> bool {
        match self {
            Self::Namespace => matches!(name, "default" | "kube-system"),
            Self::Service => name == "kubernetes",
            _ => name.is_empty(),
        }
    }
}

/// The names that were learnt.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: HashMap<(Kind, Box<str>), usize>,
    counts: HashMap<Kind, usize>,
}

impl Names {
    /// Numbers those that are new.
    pub(super) fn learn<'n>(&mut self, key: &Key, names: impl IntoIterator<Item = (Kind, &'n str)>) {
        let new = names.into_iter().filter(|(kind, name)| !kind.keeps(name));
        let mut new: Vec<_> = new.filter(|(kind, name)| !self.numbers.contains_key(&(*kind, (*name).into()))).collect();
        // The order of the names would tell which begin with which letter.
        new.order();
        new.dedup();
        new.order_by_cached_key(|(_, name)| key.block("order", name.as_bytes()));
        for (kind, name) in new {
            let count = self.counts.entry(kind).or_default();
            *count += 1;
            self.numbers.insert((kind, name.into()), *count);
        }
    }

    /// The pseudonym of a name.
    pub(super) fn of(&self, key: &Key, kind: Kind, name: &str) -> String {
        if kind.keeps(name) {
            return name.to_owned();
        }
        let stem = kind.stem();
        match self.numbers.get(&(kind, name.into())) {
            Some(number) => format!("{stem}-{number}"),
            None => format!("{stem}-x{}", key.letters(stem, name, LETTERS).to_lowercase()),
        }
    }
}
