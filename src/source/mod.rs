//! Bytes in: files, standard input, the built-in demo, the running node. What comes out is a [`Bundle`] of texts, and
//! everything after it is a pure function of that value.

mod archive;
mod command;
mod demo;
#[cfg(feature = "live")]
mod everything;
mod file;
mod folder;
#[cfg(feature = "live")]
mod host;
#[cfg(feature = "live")]
mod listing;
#[cfg(feature = "live")]
mod local;
mod machine;
mod member;
#[cfg(feature = "live")]
mod modes;
mod objects;
mod random;
#[cfg(feature = "live")]
mod signals;
mod snapshot;
mod text;
mod unpack;
mod whole;

pub use archive::{Collection, Input, open, stdin};
pub use command::{Allowed, Backend, IPTABLES, Invocation, Language, allowed, lists_table};
pub use demo::Demo;
pub use file::{reason, stdin_offers_text};
#[cfg(feature = "live")]
pub use host::{Finished, Host, NotRun};
#[cfg(feature = "live")]
pub use listing::listed;
#[cfg(feature = "live")]
pub use local::Here;
pub use machine::Machine;
pub use objects::{ObjectFiles, ObjectText, object_files, object_text};
pub use random::random;
#[cfg(feature = "live")]
pub use signals::{Signal, signals};
pub use snapshot::{Kept, KeptObjects, Snapshot, Unread};
pub use text::Text;
pub use whole::too_large;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::net::{Family, Moment};

/// Everything that was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bundle {
    /// The texts, in the order they were asked for.
    pub captures: Vec<Capture>,
    /// What the reader of the answer should know about the reading.
    pub notes: Vec<String>,
    /// What kube-proxy itself says its mode is (`iptables`, `ipvs`, `nftables`), where it was asked and answered.
    pub proxy_mode: Option<String>,
    /// Commands that were run, now or for the snapshot this is of, as a person would type them.
    pub commands: Vec<String>,
    /// Where the rules were read.
    pub origin: Origin,
    /// The node they are of, where what was read says so.
    pub node: Option<String>,
    /// The node's own name and addresses, where they were read with the rules.
    pub machine: Option<Machine>,
    /// When the rules were read, where that is known from outside them.
    pub read_at: Option<Moment>,
    /// Objects that came with the rules.
    pub objects: Arc<[ObjectText]>,
    /// Versions of the node's kernel, system and programs, by what they are of, where they were asked for. That of kube-proxy is
    /// the tag of its image.
    pub versions: BTreeMap<String, String>,
    /// The directory or archive that the texts were found in.
    pub collection: Option<String>,
}

/// What the version of kube-proxy is of in [`Bundle::versions`].
pub const PROXY: &str = "kube-proxy";

/// Where rules were read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Origin {
    /// From what somebody saved.
    #[default]
    Saved,
    /// On the machine this runs on.
    Here,
    /// By commands in this Pod (`namespace/name`) of the node.
    Pod(String),
}

impl Bundle {
    /// True if it holds the rules of the machine this runs on.
    pub fn is_here(&self) -> bool {
        self.origin == Origin::Here
    }

    /// True if this command was run for it, now or when a snapshot was made.
    pub fn has_asked(&self, command: Allowed) -> bool {
        self.commands.contains(&command.typed())
    }

    /// True if the rules were listed just now, here or on another node.
    pub fn is_live(&self) -> bool {
        self.origin != Origin::Saved
    }
}

/// One text and what is known of it from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// File name, `stdin`, `demo`, or the command that printed it.
    pub label: String,
    /// The text.
    pub text: Text,
    /// The command that printed it, if one was run.
    pub command: Option<Invocation>,
}

/// The mode in an answer of kube-proxy's `/proxyMode` (`iptables`, `ipvs`, `nftables`), with or without the head of the response.
pub fn proxy_mode(answer: &str) -> Option<&str> {
    let answer = answer.trim();
    let body = if answer.starts_with("HTTP/") { answer.lines().last()?.trim() } else { answer };
    matches!(body, "iptables" | "ipvs" | "nftables").then_some(body)
}

/// What cannot be read, with what to do next.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct SourceError {
    /// What was tried and what happened, in one line.
    pub what: String,
    /// What to try next.
    pub hints: Vec<String>,
}

impl SourceError {
    fn new(what: impl Into<String>, hints: impl IntoIterator<Item = &'static str>) -> Self {
        Self { what: what.into(), hints: hints.into_iter().map(str::to_owned).collect() }
    }
}

/// What to read from the running node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wanted {
    /// Only this family; both where `None`.
    pub family: Option<Family>,
    /// Which tables.
    pub tables: Tables,
}

/// Tables of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tables {
    /// nat and filter, which hold Services.
    OfServices,
    /// Also raw and mangle, which can mark, drop or exempt a packet on its way.
    OnTheWay,
    /// These, and what is there of the modes that do not decide.
    Everything,
}

impl Tables {
    /// Their names, those that must be there first.
    #[cfg(feature = "live")]
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::OfServices => &["nat", "filter"],
            Self::OnTheWay | Self::Everything => &["nat", "filter", "raw", "mangle"],
        }
    }
}
