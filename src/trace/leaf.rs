//! What nobody knows of a packet: each such thing is followed both ways, and is the same thing wherever it is asked.

use std::fmt;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::net::{Host, Network};

/// Something that is either so or not, and cannot be known.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Leaf {
    SourceIn(Network),
    /// Where the source became another one.
    NewSourceIn(Network),
    NewSourceIsLocal,
    NewSourcePort(String),
    DestinationIn(Network),
    /// Where the destination became another one.
    NewDestinationIn(Network),
    IsLocal(Option<IpAddr>),
    SourcePort(String),
    DestinationPort(String),
    ComesInBy(String),
    GoesOutBy(String, Option<IpAddr>),
    Remembered(String),
    Listed(String, u32),
    InSet {
        set: String,
        directions: String,
        known: bool,
    },
    /// A condition of a kind that no dump decides, of one rule.
    Other {
        line: u32,
        text: String,
    },
}

impl fmt::Display for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |ip: &Option<IpAddr>| ip.map_or_else(|| "its destination".to_owned(), |ip| Host(ip).to_string());
        match self {
            Self::SourceIn(network) => write!(f, "the client's address lies in {network}"),
            Self::NewSourceIn(network) => write!(f, "the address its source became lies in {network}"),
            Self::NewSourceIsLocal => f.write_str("the address its source became is one of this node"),
            Self::NewSourcePort(range) => write!(f, "the port its source became is {range}"),
            Self::DestinationIn(network) => write!(f, "the node's address lies in {network}"),
            Self::NewDestinationIn(network) => write!(f, "the address its destination became lies in {network}"),
            Self::IsLocal(ip) => write!(f, "{} is an address of this node", at(ip)),
            Self::SourcePort(range) => write!(f, "the client's port is {range}"),
            Self::DestinationPort(range) => write!(f, "the port is {range}"),
            Self::ComesInBy(name) => write!(f, "it comes in by {name}"),
            Self::GoesOutBy(name, ip) => write!(f, "what is sent to {} goes out by {name}", at(ip)),
            Self::Remembered(list) => write!(f, "the client is on the list {list} of -m recent"),
            Self::Listed(list, line) => write!(f, "the client is on the list {list} of -m recent (line {line})"),
            Self::InSet { set, directions, known: true } => {
                write!(f, "it is in the ipset {set} ({directions}), whose type is not understood")
            }
            Self::InSet { set, directions, known: false } => {
                write!(f, "it is in the ipset {set} ({directions}), whose contents were not given")
            }
            Self::Other { line, text } => write!(f, "it meets {text} (line {line})"),
        }
    }
}

impl Leaf {
    /// What would tell.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            Self::IsLocal(Some(_)) | Self::DestinationIn(_) => Some("--node-ip"),
            Self::ComesInBy(_) => Some("--in-interface"),
            Self::GoesOutBy(..) => Some("--out-interface"),
            Self::InSet { known: false, .. } => Some("-f with the output of ipset save"),
            Self::SourceIn(_) => Some("an address as FROM"),
            Self::SourcePort(_) => Some("FROM with a port"),
            _ => None,
        }
    }
}

/// A choice for some of the things nobody knows, by their numbers, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct World(Vec<(u16, bool)>);

impl World {
    /// No choice: it holds in every world.
    pub(super) const EVERY: Self = Self(Vec::new());

    /// What it says about the thing with this number.
    pub(super) fn get(&self, leaf: u16) -> Option<bool> {
        self.0.binary_search_by_key(&leaf, |(l, _)| *l).ok().map(|at| self.0[at].1)
    }

    /// The same with one more choice.
    pub(super) fn with(&self, leaf: u16, value: bool) -> Self {
        let mut world = self.clone();
        if let Err(at) = world.0.binary_search_by_key(&leaf, |(l, _)| *l) {
            world.0.insert(at, (leaf, value));
        }
        world
    }

    /// The choice it makes, if it is one.
    pub(super) fn only(&self) -> Option<(u16, bool)> {
        if let [only] = self.0.as_slice() { Some(*only) } else { None }
    }

    /// How many choices it makes.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The things it chooses about.
    pub(super) fn leaves(&self) -> impl Iterator<Item = u16> {
        self.0.iter().map(|(leaf, _)| *leaf)
    }

    /// True if every choice it makes is made by `choice`.
    pub(super) fn holds_in(&self, choice: impl Fn(u16) -> bool) -> bool {
        self.0.iter().all(|(leaf, value)| choice(*leaf) == *value)
    }

    /// The world both are halves of: they differ in one choice only.
    pub(super) fn union(&self, other: &Self) -> Option<Self> {
        if self.0.len() != other.0.len() {
            return None;
        }
        let mut differ = None;
        for (at, (one, two)) in self.0.iter().zip(&other.0).enumerate() {
            if one.0 != two.0 || (one.1 != two.1 && differ.replace(at).is_some()) {
                return None;
            }
        }
        let mut world = self.clone();
        world.0.remove(differ?);
        Some(world)
    }
}

/// The things nobody knows, numbered in the order they were met.
#[derive(Debug, Default)]
pub(super) struct Leaves {
    all: Vec<Leaf>,
    ids: HashMap<Leaf, u16>,
}

impl Leaves {
    /// Its number, a new one if it was not met yet.
    pub(super) fn id(&mut self, leaf: Leaf) -> u16 {
        let next = u16::try_from(self.all.len()).unwrap_or(u16::MAX);
        *self.ids.entry(leaf).or_insert_with_key(|leaf| {
            self.all.push(leaf.clone());
            next
        })
    }

    pub(super) fn get(&self, id: u16) -> Option<&Leaf> {
        self.all.get(usize::from(id))
    }

    /// The things of which `world` says that they are so.
    pub(super) fn true_in<'l>(&'l self, world: &'l World) -> impl Iterator<Item = &'l Leaf> {
        world.leaves().filter(|id| world.get(*id) == Some(true)).filter_map(|id| self.get(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_put_together_again() {
        let base = World::default().with(3, true);
        let (yes, no) = (base.with(1, true), base.with(1, false));
        assert_eq!(yes.union(&no), Some(base.clone()));
        assert_eq!(yes.union(&yes), None);
        assert_eq!(yes.union(&base), None);
        assert_eq!(yes.union(&World::default().with(1, false).with(3, false)), None);
        assert_eq!((yes.get(1), yes.get(3), yes.get(2)), (Some(true), Some(true), None));
        assert!(yes.holds_in(|leaf| leaf == 1 || leaf == 3));
        assert!(!yes.holds_in(|leaf| leaf == 1));
    }
}
