//! The ways a packet goes at the same time, and how alike ones become one again.

use hashbrown::HashMap;

use super::state::State;
use super::story::End;
use super::sum::Share;

/// One way of the packet.
#[derive(Debug, Clone)]
pub(super) struct Way {
    pub(super) state: State,
    pub(super) share: Share,
    /// It passes rules that marked it before, which are told once.
    pub(super) again: bool,
}

/// How a way ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) way: Way,
    pub(super) end: End,
    /// The step that ended it.
    pub(super) by: Option<usize>,
}

impl Way {
    /// Both answers to something nobody knows.
    pub(super) fn halves(self, leaf: u16) -> [Self; 2] {
        [false, true].map(|choice| {
            let share = Share { world: self.share.world.with(leaf, choice), part: self.share.part };
            Self { state: self.state.clone(), share, ..self }
        })
    }
}

/// Makes one way of those that are alike in all but their part, or in all but one choice about what nobody knows.
pub(super) fn merge(ways: &mut Vec<Way>) {
    if ways.len() < 2 {
        return;
    }
    let mut alike: HashMap<State, Vec<Way>> = HashMap::new();
    let mut order = Vec::new();
    for way in ways.drain(..) {
        let group = alike.entry(way.state.clone()).or_default();
        if group.is_empty() {
            order.push(way.state.clone());
        }
        join(group, way);
    }
    ways.extend(order.into_iter().filter_map(|state| alike.remove(&state)).flatten());
}

/// Adds a way to others with the same state. A union may in turn be half of another.
fn join(group: &mut Vec<Way>, mut way: Way) {
    while let Some((at, share)) =
        group.iter().enumerate().find_map(|(at, other)| Some((at, united(&other.share, &way.share)?)))
    {
        way = Way { share, ..group.swap_remove(at) };
    }
    group.push(way);
}

/// Both shares as one, if they are of one world, or as much in the two halves of one.
fn united(one: &Share, two: &Share) -> Option<Share> {
    if one.world == two.world {
        return Some(Share { part: one.part + two.part, world: one.world.clone() });
    }
    let equal = (one.part - two.part).abs() < 1e-15;
    one.world.union(&two.world).filter(|_| equal).map(|world| Share { part: one.part, world })
}
