//! What became of a connection, and by which rules.

use crate::dataplane::{Address, RuleRef};

use super::hook::Hook;

/// What becomes of a new connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The rules that apply to it, in the order it meets them; with all rules asked for, also those that do not.
    pub steps: Vec<Step>,
    /// How it can end, the likeliest first. The known probabilities add up to 1 where all are known.
    pub outcomes: Vec<Outcome>,
    /// Where it can be delivered to after translation, in the order of the rules.
    pub destinations: Vec<Destination>,
    /// Whether it is marked for masquerading, or its source is replaced: true if so on some way, `None` where that cannot be
    /// told. What is marked and stays on this node keeps its source all the same; destinations tell.
    pub masquerade: Option<bool>,
    /// What is not known and decides how it ends.
    pub open: Vec<Open>,
}

/// Something that is either so or not, and cannot be known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// What: `it comes in by eth0`.
    pub what: String,
    /// What would tell it.
    pub hint: Option<&'static str>,
}

impl Trace {
    /// The verdict, where every way ends alike.
    pub fn verdict(&self) -> Option<End> {
        match self.outcomes.as_slice() {
            [only] if only.end.is_known() => Some(only.end.clone()),
            _ => None,
        }
    }
}

/// How a connection can end.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// How.
    pub end: End,
    /// With which probability, 0..=1; `None` where that depends on something nobody knows.
    pub probability: Option<f64>,
    /// Whether its source becomes an address of this node; `None` where that cannot be told.
    pub masquerade: Option<bool>,
    /// The step that decided it, where one did: a rule or a policy that drops or rejects.
    pub by: Option<usize>,
}

/// What happens to a connection in the end.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum End {
    /// It is translated and let through.
    Delivered,
    /// It is let through as it is: to this node itself, where so.
    Untranslated {
        /// It is for this node; `None` where that is not known.
        local: Option<bool>,
    },
    /// It is dropped without an answer.
    Drop,
    /// It is refused with an answer.
    Reject,
    /// It cannot be told, and why.
    Unknown(String),
}

impl End {
    /// `delivered`, `untranslated`, `drop` or `reject`; `None` where it cannot be told.
    pub fn as_str(&self) -> Option<&'static str> {
        match self {
            Self::Delivered => Some("delivered"),
            Self::Untranslated { .. } => Some("untranslated"),
            Self::Drop => Some("drop"),
            Self::Reject => Some("reject"),
            Self::Unknown(_) => None,
        }
    }

    fn is_known(&self) -> bool {
        self.as_str().is_some()
    }
}

/// An address a connection can be translated to.
#[derive(Debug, Clone, PartialEq)]
pub struct Destination {
    /// The address.
    pub address: Address,
    /// The part of new connections it gets, 0..=1; `None` where that depends on something nobody knows.
    pub probability: Option<f64>,
    /// Whether the client's address is replaced by the node's on the way there.
    pub masquerade: Option<bool>,
}

/// One rule on the way of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Where the kernel asked.
    pub hook: Hook,
    /// The table.
    pub table: &'static str,
    /// The chain.
    pub chain: String,
    /// The rule; `None` for the policy of a built-in chain.
    pub rule: Option<RuleRef>,
    /// The rule as the dump has it, without `-A` and the chain.
    pub text: String,
    /// Its conditions alone; empty for a rule that asks for nothing.
    pub conditions: String,
    /// Its comment.
    pub comment: Option<String>,
    /// What it does.
    pub action: Action,
    /// The part of new connections it applies to, 0..=1; `None` where that depends on something nobody knows.
    pub probability: Option<f64>,
    /// Why it applies or not.
    pub why: Why,
    /// It leads to a chain in which nothing applies.
    pub idle: bool,
}

impl Step {
    /// True if it applies to every connection.
    pub fn is_of_all(&self) -> bool {
        self.probability.is_some_and(|part| part >= 1.0 - super::NOTHING)
    }
}

/// Why a rule applies to a connection, or does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// It applies, on every way that comes here.
    Matches,
    /// It may apply: this is not known.
    Open(String),
    /// It does not apply for want of this condition.
    Fails(String),
}

/// What a rule does with a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Goes on in another chain and comes back if nothing ends it there.
    Jump(String),
    /// Goes on in another chain for good.
    Goto(String),
    /// Back to the calling chain.
    Return,
    /// This table lets it through.
    Accept,
    /// Dropped.
    Drop,
    /// Refused.
    Reject,
    /// Its destination becomes this.
    Dnat(Address),
    /// Its source becomes an address of the node.
    Masquerade,
    /// Its mark becomes this.
    Mark(u32),
    /// The mark of its connection becomes this.
    ConnMark(u32),
    /// It is not tracked, and so never translated.
    Untrack,
    /// Nothing that decides where it goes.
    Nothing,
    /// What it does cannot be told from here.
    Unknown(String),
}
