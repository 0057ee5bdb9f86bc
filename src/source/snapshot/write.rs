//! Writes a snapshot: the same bytes for the same input, and no name that leads elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};

use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};

use super::index::{CommandIndex, Index, MachineIndex, NodeIndex, ObjectsIndex, TextIndex, UnreadIndex};
use super::{INDEX, OBJECTS, SCHEMA, Snapshot, Unread};
use crate::net::Moment;
use crate::source::{Bundle, Origin};

impl Snapshot {
    /// As a tar.gz.
    pub fn write(&self) -> io::Result<Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut names = BTreeSet::new();
        let nodes = self.nodes.iter().map(|node| node_index(node, &mut names, &mut files)).collect();
        let objects = self.objects.as_ref().map(|kept| {
            files.insert(OBJECTS.to_owned(), kept.text.as_str());
            ObjectsIndex { file: OBJECTS.to_owned(), from: kept.from.clone(), covers: Some(kept.covers.clone()) }
        });
        let index = Index {
            schema: SCHEMA.to_owned(),
            tool: concat!("kube-ipt ", env!("CARGO_PKG_VERSION")).to_owned(),
            taken_at: self.taken_at.map(Moment::to_api),
            redacted: self.redacted,
            notes: self.notes.clone(),
            objects,
            nodes,
            unread: self
                .unread
                .iter()
                .map(|Unread { node, why }| UnreadIndex { name: node.clone(), why: why.clone() })
                .collect(),
        };
        let index = serde_json::to_string_pretty(&index)? + "\n";
        let packer: GzEncoder<Vec<u8>> = GzBuilder::new().mtime(0).write(Vec::new(), Compression::default());
        let mut archive = tar::Builder::new(packer);
        let mtime = self.taken_at.and_then(|at| u64::try_from(at.0).ok()).unwrap_or_default();
        // What says what the others are comes first.
        append(&mut archive, INDEX, &index, mtime)?;
        for (name, text) in files {
            append(&mut archive, &name, text, mtime)?;
        }
        let mut packer = archive.into_inner()?;
        packer.flush()?;
        packer.finish()
    }
}

fn append(archive: &mut tar::Builder<impl io::Write>, name: &str, text: &str, mtime: u64) -> io::Result<()> {
    let mut header = tar::Header::new_ustar();
    header.set_size(text.len() as u64);
    header.set_mode(0o644);
    header.set_mtime(mtime);
    header.set_entry_type(tar::EntryType::Regular);
    archive.append_data(&mut header, name, text.as_bytes())
}

fn node_index<'b>(
    bundle: &'b Bundle,
    names: &mut BTreeSet<String>,
    files: &mut BTreeMap<String, &'b str>,
) -> NodeIndex {
    let folder = unused(names, &file_name(bundle.node.as_deref().unwrap_or("node")), "");
    let mut taken = BTreeSet::new();
    let mut texts = Vec::new();
    for capture in &bundle.captures {
        let base = capture.label.rsplit(['/', ':']).next().unwrap_or_default();
        let base = if capture.command.is_some() { &capture.label } else { base.trim_end_matches(".txt") };
        let file = format!("nodes/{folder}/{}", unused(&mut taken, &file_name(base), ".txt"));
        files.insert(file.clone(), &capture.text);
        let command = capture.command.as_ref().map(CommandIndex::of);
        texts.push(TextIndex { file, label: capture.label.clone(), command });
    }
    NodeIndex {
        name: bundle.node.clone(),
        machine: bundle.machine.clone().map(|m| MachineIndex { name: m.name, addresses: m.addresses }),
        origin: match &bundle.origin {
            Origin::Saved => "saved".to_owned(),
            Origin::Here => "local".to_owned(),
            Origin::Pod(pod) => format!("pod/{pod}"),
        },
        proxy_mode: bundle.proxy_mode.clone(),
        read_at: bundle.read_at.map(Moment::to_api),
        commands: bundle.commands.clone(),
        versions: bundle.versions.clone(),
        notes: bundle.notes.clone(),
        texts,
    }
}

/// `text` as the name of a file: `iptables-nft -t nat -S` becomes `iptables-nft_-t_nat_-S`.
fn file_name(text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-._".contains(c) { c } else { '_' };
    let name: String = text.chars().map(plain).take(100).collect();
    // No hidden file, and nothing that leads elsewhere.
    let name = name.trim_start_matches('.');
    if name.is_empty() { "text".to_owned() } else { name.to_owned() }
}

/// `name` and `end`, with a number where it is taken.
fn unused(taken: &mut BTreeSet<String>, name: &str, end: &str) -> String {
    let numbered = |n: usize| if n == 1 { format!("{name}{end}") } else { format!("{name}-{n}{end}") };
    let mut n = 1;
    while taken.contains(&numbered(n)) {
        n += 1;
    }
    let free = numbered(n);
    taken.insert(free.clone());
    free
}
