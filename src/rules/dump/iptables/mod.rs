//! Dumps of iptables and ip6tables rules in every form people have them.
//!
//! Reading is in two steps, so that cost follows what is asked. [`Dump::scan`] goes once over the text and notes where
//! each chain's rules are; nothing is copied. [`Section::rules_of`] then gives the rules of one chain, each
//! to be parsed when needed. [`emit`](Rule::emit)
//! is the inverse of parsing and writes what `iptables -S` writes.
//!
//! A line that is no rule, chain, policy or header is kept as [`Unread`] and can be counted and shown. A rule with a
//! match or a target nobody knows keeps its words ([`Match::Module`], [`Target`]).

mod around;
mod columns;
mod emit;
mod error;
mod handled;
mod listing;
mod listing_words;
mod lossless;
mod lost;
mod names;
mod names_index;
mod nft_view;
mod phrases;
mod prefixed;
mod raw_rule;
mod rule;
mod save;
mod scan;
mod section;
mod usual;
mod words;

pub use error::RuleError;
pub use handled::mend;
pub(super) use listing::is_row;
pub use lossless::{restore_line_breaks, restore_xml};
pub use names::{Backend, TableName};
pub use nft_view::{HIDDEN, restore_nft_view};
pub use raw_rule::RawRule;
pub use rule::{AddrType, Counters, Match, Ports, Recent, RecentVerb, Rule, Side, Statistic, Target, Word};
pub use scan::{Dump, Hints, Provenance, Unread, Why};
pub use section::{Chain, Section};
pub use usual::Usual;
