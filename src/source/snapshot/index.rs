//! The form of `snapshot.json`. What a later version adds is passed over; what it says in other words is refused.

use std::collections::BTreeMap;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::net::Family;
use crate::source::command::TABLE;
use crate::source::{Backend, Invocation, Language};

/// `snapshot.json`
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Index {
    pub(super) schema: String,
    pub(super) tool: String,
    #[serde(default)]
    pub(super) taken_at: Option<String>,
    #[serde(default)]
    pub(super) redacted: bool,
    #[serde(default)]
    pub(super) notes: Vec<String>,
    #[serde(default)]
    pub(super) objects: Option<ObjectsIndex>,
    pub(super) nodes: Vec<NodeIndex>,
    /// Absent where every node could be read, and in snapshots of before, whose notes tell it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) unread: Vec<UnreadIndex>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UnreadIndex {
    pub(super) name: String,
    pub(super) why: String,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ObjectsIndex {
    pub(super) file: String,
    pub(super) from: String,
    #[serde(default)]
    pub(super) covers: Option<serde_json::Value>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct NodeIndex {
    pub(super) name: Option<String>,
    #[serde(default)]
    pub(super) machine: Option<MachineIndex>,
    /// `local`, `pod/NAMESPACE/NAME` or `saved`.
    pub(super) origin: String,
    #[serde(default)]
    pub(super) proxy_mode: Option<String>,
    #[serde(default)]
    pub(super) read_at: Option<String>,
    #[serde(default)]
    pub(super) commands: Vec<String>,
    #[serde(default)]
    pub(super) versions: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) notes: Vec<String>,
    pub(super) texts: Vec<TextIndex>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MachineIndex {
    pub(super) name: Option<String>,
    pub(super) addresses: Vec<IpAddr>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TextIndex {
    pub(super) file: String,
    /// What it was called where it was read.
    pub(super) label: String,
    /// How it was made; absent where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) command: Option<CommandIndex>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct CommandIndex {
    pub(super) language: String,
    pub(super) family: String,
    pub(super) backend: Option<String>,
    pub(super) table: String,
}

/// What an invocation may name as its table.
const TABLES: [&str; 7] = ["nat", "filter", "raw", "mangle", "security", TABLE, ""];

impl CommandIndex {
    pub(super) fn of(command: &Invocation) -> Self {
        let language = match command.language {
            Language::Iptables => "iptables",
            Language::Nft => "nft",
            Language::Ipvsadm => "ipvsadm",
            Language::Ipset => "ipset",
        };
        let backend = command.backend.map(|backend| match backend {
            Backend::Legacy => "legacy".to_owned(),
            Backend::NfTables => "nf_tables".to_owned(),
        });
        let family = command.family.as_str().to_owned();
        Self { language: language.to_owned(), family, backend, table: command.table.to_owned() }
    }

    /// What it says; `None` for words of a later version.
    pub(super) fn read(&self) -> Option<Invocation> {
        let language = match self.language.as_str() {
            "iptables" => Language::Iptables,
            "nft" => Language::Nft,
            "ipvsadm" => Language::Ipvsadm,
            "ipset" => Language::Ipset,
            _ => return None,
        };
        let family = [Family::Ipv4, Family::Ipv6].into_iter().find(|family| family.as_str() == self.family)?;
        let backend = match self.backend.as_deref() {
            None => None,
            Some("legacy") => Some(Backend::Legacy),
            Some("nf_tables") => Some(Backend::NfTables),
            Some(_) => return None,
        };
        let table = TABLES.into_iter().find(|table| *table == self.table)?;
        Some(Invocation { language, family, backend, table })
    }
}
