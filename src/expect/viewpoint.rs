//! The node from which a cluster is looked at.

use crate::cluster::Facts;

/// A node, as far as it is known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Viewpoint {
    /// Its name.
    pub node: Option<String>,
    /// Its zone.
    pub zone: Zone,
}

/// The value of the node's label `topology.kubernetes.io/zone`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Zone {
    /// The Node object was not read.
    #[default]
    Unknown,
    /// The Node has no such label.
    None,
    /// The zone.
    Is(String),
}

impl Viewpoint {
    /// The node called `name`, with the zone `facts` know.
    pub fn of(name: Option<&str>, facts: &Facts) -> Self {
        let node = facts.nodes.iter().find(|node| Some(node.name.as_str()) == name);
        let zone = node.map_or(Zone::Unknown, |node| node.zone.clone().map_or(Zone::None, Zone::Is));
        Self { node: name.map(str::to_owned), zone }
    }
}
