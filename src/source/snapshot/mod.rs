//! Snapshots: the rules of one or many nodes, the objects of their cluster and what else an answer needs, in one tar.gz
//! that any other program can look into.
//!
//! `snapshot.json` says what the rest is; `nodes/NAME/*.txt` are the texts as commands printed them, `objects/*.json` the
//! objects. Equal input gives equal bytes.

mod index;
mod write;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;

use super::unpack::MOST;
use super::{Bundle, Capture, Collection, Machine, ObjectText, Origin, SourceError};
use crate::net::Moment;
use index::{Index, ObjectsIndex, UnreadIndex};

/// The form of `snapshot.json`.
const SCHEMA: &str = "kube-ipt-snapshot/v1";

/// What every version of the form begins with.
const ANY_SCHEMA: &str = "kube-ipt-snapshot/";

/// The file that says what the others are.
const INDEX: &str = "snapshot.json";

/// The file of the objects.
const OBJECTS: &str = "objects/cluster.json";

/// What is kept of nodes and their cluster.
#[derive(Debug, Default)]
pub struct Snapshot {
    /// When the rules were read, where that is known.
    pub taken_at: Option<Moment>,
    /// Names and addresses are not the real ones.
    pub redacted: bool,
    /// What could not be read, for whoever reads it later.
    pub notes: Vec<String>,
    /// The nodes, each with its rules; their objects are not used.
    pub nodes: Vec<Bundle>,
    /// The nodes that could not be read.
    pub unread: Vec<Unread>,
    /// The objects of their cluster.
    pub objects: Option<KeptObjects>,
}

/// A node that could not be read when a snapshot was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unread {
    /// Its name.
    pub node: String,
    /// Why.
    pub why: String,
}

impl Unread {
    /// What the name and the reason stand around in a note.
    const LACKS: &str = " is not in the snapshot: ";

    /// As it is told.
    pub fn note(&self) -> String {
        format!("node {}{}{}", self.node, Self::LACKS, self.why)
    }

    /// What a note says, where snapshots had no other place for it.
    fn of_note(note: &str) -> Option<Self> {
        let (name, why) = note.strip_prefix("node ")?.split_once(Self::LACKS)?;
        Some(Self { node: name.to_owned(), why: why.to_owned() })
    }
}

/// The nodes of a snapshot.
#[derive(Debug)]
pub struct Kept {
    /// Those whose rules it has.
    pub nodes: Vec<Bundle>,
    /// The others.
    pub unread: Vec<Unread>,
}

/// Objects as they are kept.
#[derive(Debug)]
pub struct KeptObjects {
    /// Where they are from.
    pub from: String,
    /// The objects as JSON.
    pub text: String,
    /// What they cover.
    pub covers: serde_json::Value,
}

/// True if a file of this name may be a part of a snapshot, which is kept whatever it looks like.
pub(super) fn may_be_part(name: &str) -> bool {
    let mut parts = name.rsplit('/');
    let ends = |end: &str| Path::new(name).extension().is_some_and(|extension| extension == end);
    match (parts.next(), parts.next(), parts.next()) {
        (Some(INDEX), ..) => true,
        (_, Some("objects"), _) => ends("json"),
        (_, Some(_), Some("nodes")) => ends("txt"),
        _ => false,
    }
}

impl Index {
    /// Refuses what no snapshot says and what would fill memory: a text for many nodes, no node, notes without end.
    fn reasonable(&self, label: &str) -> Result<(), SourceError> {
        let refused = |what: String| Err(SourceError::new(format!("{label} is a snapshot {what}"), ["make it again"]));
        if self.nodes.is_empty() {
            return refused("of no node".to_owned());
        }
        let mut named = HashSet::new();
        let texts = self.nodes.iter().flat_map(|node| &node.texts).map(|text| &text.file);
        if let Some(twice) = texts.chain(self.objects.as_ref().map(|kept| &kept.file)).find(|file| !named.insert(*file))
        {
            return refused(format!("that names {twice} twice"));
        }
        // Each node has a copy of them.
        let notes: usize = self.notes.iter().map(|note| note.len() + size_of::<String>()).sum();
        if notes.saturating_mul(self.nodes.len()) as u64 > MOST {
            return refused(format!("with more notes than {} nodes have", self.nodes.len()));
        }
        Ok(())
    }
}

impl Collection {
    /// The nodes of a snapshot, one [`Bundle`] each; `None` if it is none.
    pub fn snapshot(&self) -> Option<Result<Kept, SourceError>> {
        let mut found = self.members.iter().filter(|(name, _)| name.rsplit('/').next() == Some(INDEX));
        let (name, text) = found.find(|(_, text)| text.contains(ANY_SCHEMA))?;
        let root = name.strip_suffix(INDEX).unwrap_or_default();
        Some(self.read(root, text))
    }

    fn read(&self, root: &str, text: &str) -> Result<Kept, SourceError> {
        let label = &self.label;
        let mut index: Index = serde_json::from_str(text).map_err(|error| {
            let what = format!("{label} is a snapshot whose {INDEX} cannot be read: {error}");
            SourceError::new(what, ["a newer kube-ipt may read it"])
        })?;
        if index.schema != SCHEMA {
            let what = format!("{label} is a snapshot of form {}, and this kube-ipt reads {SCHEMA}", index.schema);
            return Err(SourceError::new(what, ["a newer kube-ipt reads it"]));
        }
        index.reasonable(label)?;
        let unread = unread(&mut index);
        let member = |file: &str| {
            let text = self.members.get(&format!("{root}{file}"));
            text.cloned().ok_or_else(|| {
                let what = format!("{label} is a snapshot that lacks {file}: a part of it was lost");
                SourceError::new(what, ["fetch or make it again"])
            })
        };
        let object = |kept: ObjectsIndex| {
            let text = member(&kept.file)?;
            Ok(ObjectText { label: format!("{label}:{}", kept.file), text, covers: kept.covers })
        };
        let objects: Arc<[ObjectText]> = index.objects.map(object).transpose()?.into_iter().collect();
        let mut bundles = Vec::new();
        for node in index.nodes {
            let mut captures = Vec::new();
            for text in &node.texts {
                let command = text.command.as_ref().map(|command| {
                    command.read().ok_or_else(|| {
                        let what = format!("{label} says of {} what this kube-ipt does not know", text.file);
                        SourceError::new(what, ["a newer kube-ipt reads it"])
                    })
                });
                let label = format!("{label}:{}", text.file);
                captures.push(Capture { label, text: member(&text.file)?.into(), command: command.transpose()? });
            }
            bundles.push(Bundle {
                captures,
                notes: index.notes.iter().chain(&node.notes).cloned().collect(),
                proxy_mode: node.proxy_mode,
                commands: node.commands,
                origin: Origin::Saved,
                node: node.name,
                machine: node.machine.map(|m| Machine { name: m.name, addresses: m.addresses }),
                read_at: node.read_at.as_deref().and_then(Moment::from_api),
                objects: Arc::clone(&objects),
                versions: node.versions,
                collection: Some(self.label.clone()),
            });
        }
        Ok(Kept { nodes: bundles, unread })
    }
}

/// The nodes that could not be read. Notes about them are no notes about the others, which get all that are left.
fn unread(index: &mut Index) -> Vec<Unread> {
    let told = std::mem::take(&mut index.unread).into_iter();
    let mut unread: Vec<Unread> = told.map(|UnreadIndex { name: node, why }| Unread { node, why }).collect();
    index.notes.retain(|note| match Unread::of_note(note) {
        Some(of_note) => {
            unread.push(of_note);
            false
        }
        None => true,
    });
    unread
}
