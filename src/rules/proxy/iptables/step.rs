//! What the rules of a pool's chains are compiled to.

use super::part::Part;

/// What a rule does with the connections it takes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Action {
    /// To the chain with this number; what it returns goes on here.
    Jump(usize),
    /// To the chain with this number; what it returns goes to this chain's caller.
    Goto(usize),
    /// To the endpoint with this number.
    Deliver(usize),
    /// Back to the caller.
    Return,
    /// Nowhere.
    Stop,
    /// To wherever rules led that are missing in the text.
    Missing,
}

/// A rule that does something to where connections go.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    pub(super) takes: Part,
    pub(super) action: Action,
}

impl Step {
    /// Nothing can be said of it, nor of what comes behind it.
    pub(super) const UNKNOWN: Self = Self { takes: Part::UNKNOWN, action: Action::Stop };
    /// The same where rules of the chain may be missing in the text.
    pub(super) const MISSING: Self = Self { takes: Part::UNKNOWN, action: Action::Missing };
}
