//! Which texts of a directory or archive are read: a member is taken for what its text is, its name is a hint of family
//! and backend. Where a table is there in several forms, the most faithful one is read.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::texts::Kind;
use super::{Failure, faithful, gather, texts};
use crate::dataplane::count;
use crate::dump::{Foreign, nft, recognise};
use crate::shell;
use crate::source::{Bundle, Capture, Collection, Kept, ObjectText, Unread};

/// Nodes that an error lists before it counts: one must be chosen of them.
const NODES: usize = 20;

/// Names that a note lists before it counts.
const NAMED: usize = 3;

/// A text of a collection, as it is read.
pub(super) struct Member {
    /// Its path in the collection.
    pub(super) name: String,
    pub(super) kind: Kind,
    pub(super) capture: Capture,
    /// Rules of iptables that nft listed.
    pub(super) is_view: bool,
    /// What is to be said of it if it is read.
    notes: Vec<String>,
}

/// True if a member may be rules, or what goes with them, or objects.
pub(super) fn matters(_: &str, head: &[u8]) -> bool {
    let is_wide = head.starts_with(&[0xff, 0xfe]) || head.starts_with(&[0xfe, 0xff]);
    if is_wide {
        return true;
    }
    if head.contains(&0) {
        return false;
    }
    let text = String::from_utf8_lossy(head);
    let capture = Capture { label: String::new(), text: text.into_owned().into(), command: None };
    match texts::kind(&capture) {
        Kind::Iptables => gather::has_rules(&capture) || seems_foreign(&capture.text),
        _ => true,
    }
}

/// True for the beginning of what becomes rules or objects when it is read.
fn seems_foreign(text: &str) -> bool {
    match recognise(text.as_bytes()) {
        Foreign::Nft | Foreign::Ipvsadm | Foreign::Ipset => true,
        Foreign::Objects | Foreign::Json | Foreign::Yaml => seems_object(text),
        _ => text.contains("<iptables-rules") || text.trim_start().starts_with("{\"nftables\""),
    }
}

fn seems_object(text: &str) -> bool {
    text.contains("apiVersion") || text.contains("\"kind\"")
}

/// True if the objects come from an API server: manifests of what somebody wants to create have no version.
fn from_server(text: &str) -> bool {
    text.contains("resourceVersion") || text.contains("creationTimestamp") || text.contains("uid")
}

/// The rules in a collection, of the node called `node` where there are several.
pub(super) fn bundle(collection: Collection, node: Option<&str>, verbose: bool) -> Result<Bundle, Failure> {
    let label = collection.label.clone();
    let Kept { nodes: mut bundles, unread } = bundles(collection, verbose)?;
    if let Some(unread) = unread.iter().find(|unread| Some(unread.node.as_str()) == node)
        && !bundles.iter().any(|bundle| bundle.node.as_deref() == node)
    {
        let what = format!("{label} holds no rules of node '{}', which could not be read: {}", unread.node, unread.why);
        let other = bundles.iter().find_map(|bundle| bundle.node.as_deref());
        return Err(Failure {
            what,
            hints: other.map(|other| format!("--node {}", shell::word(other))).into_iter().collect(),
        });
    }
    if let [only] = bundles.as_mut_slice() {
        let own = only.node.as_deref();
        if let (Some(own), Some(node)) = (own, node.filter(|node| Some(*node) != own)) {
            let what = format!("{label} holds the rules of node {own}, not of '{node}'");
            return Err(Failure { what, hints: vec![format!("--node {}, or without --node", shell::word(own))] });
        }
        // Who does not say which one is meant may think it is the only one.
        if node.is_none() {
            only.notes.extend(unread.iter().map(Unread::note));
        }
        return Ok(bundles.remove(0));
    }
    let names: Vec<String> = bundles.iter().filter_map(|bundle| bundle.node.clone()).collect();
    let more = if names.len() > NODES { format!(" and {} more", names.len() - NODES) } else { String::new() };
    let listed = names[..names.len().min(NODES)].join(", ") + &more;
    let hints = || names.first().map(|name| format!("--node {}", shell::word(name))).into_iter().collect();
    let Some(node) = node else {
        let what = format!("{label} holds the rules of {} nodes: {listed}", bundles.len());
        return Err(Failure { what, hints: hints() });
    };
    let found = bundles.into_iter().find(|bundle| bundle.node.as_deref() == Some(node));
    found.ok_or_else(|| Failure { what: format!("{label} holds no node '{node}'; it has {listed}"), hints: hints() })
}

/// The rules in a collection, one bundle for each node. All have the objects that are there.
pub(super) fn bundles(mut collection: Collection, verbose: bool) -> Result<Kept, Failure> {
    if let Some(kept) = collection.snapshot() {
        let mut kept = kept?;
        for bundle in &mut kept.nodes {
            bundle.notes.splice(0..0, collection.notes.iter().cloned());
        }
        return Ok(kept);
    }
    let mut notes = std::mem::take(&mut collection.notes);
    let label = collection.label;
    let (mut members, mut objects, mut others) = (Vec::new(), Vec::new(), collection.others);
    for (name, text) in collection.members {
        let foreign = recognise_object(&text);
        if foreign {
            if seems_object(&text) && from_server(&text) {
                let text = ObjectText { label: format!("{label}:{name}"), text, covers: None };
                objects.push((name, text));
            } else {
                others.push(name);
            }
            continue;
        }
        match member(&label, name, text) {
            Ok(member) => members.push(member),
            Err((name, None)) => others.push(name),
            Err((_, Some(error))) => notes.push(error.what),
        }
    }
    if members.iter().all(|member| member.kind == Kind::Addresses) {
        return Err(nothing(&label, objects.len(), members.len(), &others, &notes));
    }
    if !others.is_empty() {
        notes.push(unread(&label, &others, verbose));
    }
    let parted = by_node(members);
    let names: Vec<String> = parted.iter().filter_map(|(node, _)| node.clone()).collect();
    let objects: Vec<(Option<String>, ObjectText)> =
        objects.into_iter().map(|(name, text)| (owner(&name, &names), text)).collect();
    let common: Arc<[ObjectText]> = objects.iter().map(|(_, text)| text.clone()).collect();
    let objects_of = |node: Option<&str>| -> Arc<[ObjectText]> {
        if objects.iter().all(|(owner, _)| owner.is_none()) {
            return Arc::clone(&common);
        }
        let own = objects.iter().filter(|(owner, _)| owner.is_none() || owner.as_deref() == node);
        own.map(|(_, text)| text.clone()).collect()
    };
    let bundle = |(node, members): (Option<String>, Vec<Member>)| {
        let (read, aside) = faithful::choose(members);
        let mut notes = notes.clone();
        if !aside.is_empty() {
            let (aside, instead): (Vec<_>, Vec<_>) = aside.into_iter().unzip();
            notes.push(set_aside(&label, &aside, &instead));
        }
        notes.extend(read.iter().flat_map(|member| member.notes.iter().cloned()));
        let captures = read.into_iter().map(|member| member.capture).collect();
        Bundle {
            captures,
            notes,
            node: node.clone(),
            objects: objects_of(node.as_deref()),
            collection: Some(label.clone()),
            ..Bundle::default()
        }
    };
    Ok(Kept { nodes: parted.into_iter().map(bundle).collect(), unread: Vec::new() })
}

/// True for JSON and YAML that is no listing of rules.
fn recognise_object(text: &str) -> bool {
    let first = text.trim_start_matches('\u{feff}').trim_start();
    let begins = first.starts_with('{') || first.starts_with('[');
    let yaml =
        || !gather::begins_like_rules(text) && first.lines().take(50).any(|line| line.starts_with("apiVersion:"));
    if begins { !first[..first.len().min(4096)].contains("\"nftables\"") } else { yaml() }
}

/// A member that holds rules or what goes with them; else its name, and why where it is spoiled.
fn member(label: &str, name: String, text: String) -> Result<Member, (String, Option<Failure>)> {
    if text.trim().is_empty() {
        return Err((name, None));
    }
    let mut capture = Capture { label: format!("{label}:{name}"), text: text.into(), command: None };
    let mut notes = Vec::new();
    let of_nft = !gather::begins_like_rules(&capture.text) && nft::Listing::is_in(&capture.text);
    if let Err(error) = gather::restore(&mut capture, &mut notes) {
        return Err((name, Some(error)));
    }
    let kind = texts::kind(&capture);
    if kind == Kind::Iptables {
        if !gather::has_rules(&capture) {
            return Err((name, None));
        }
        capture.command = faithful::hint(&name, &capture);
    }
    Ok(Member { name, kind, is_view: of_nft && kind == Kind::Iptables, capture, notes })
}

/// Members by node. Texts that are called alike in several folders are of several nodes, which the folders are named for.
fn by_node(members: Vec<Member>) -> Vec<(Option<String>, Vec<Member>)> {
    let mut folders: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for member in &members {
        let (folder, file) = member.name.rsplit_once('/').unwrap_or(("", &member.name));
        folders.entry(file).or_default().insert(folder);
    }
    if folders.values().all(|folders| folders.len() == 1) {
        return vec![(None, members)];
    }
    let common = common_folder(members.iter().map(|member| member.name.as_str()));
    let mut nodes: BTreeMap<String, Vec<Member>> = BTreeMap::new();
    for member in members {
        let node = member.name[common..].split('/').next().unwrap_or_default().to_owned();
        nodes.entry(node).or_default().push(member);
    }
    nodes.into_iter().map(|(node, members)| (Some(node), members)).collect()
}

/// The node in whose folder a member is; `None` for one that all nodes share.
fn owner(name: &str, nodes: &[String]) -> Option<String> {
    let folders: Vec<&str> = name.split('/').collect();
    let inside = &folders[..folders.len() - 1];
    nodes.iter().find(|node| inside.contains(&node.as_str())).cloned()
}

/// Bytes of the path of the folder that everything is in.
fn common_folder<'n>(mut names: impl Iterator<Item = &'n str>) -> usize {
    let Some(first) = names.next() else { return 0 };
    let folder = |name: &str| name.rfind('/').map_or(0, |at| at + 1);
    names.fold(folder(first), |common, name| {
        let same = first.bytes().zip(name.bytes()).take(common).take_while(|(a, b)| a == b).count();
        folder(&first[..same])
    })
}

fn nothing(label: &str, objects: usize, members: usize, others: &[String], notes: &[String]) -> Failure {
    let what = match (objects, members + others.len()) {
        // What is said of the files that were passed over says why.
        (0, 0) => notes.first().cloned().unwrap_or_else(|| format!("{label} holds no files")),
        (0, others) => {
            format!(
                "{label} holds no rules of iptables or nftables and no ipvsadm listing in its {}",
                count(others, "file")
            )
        }
        (objects, _) => format!("{label} holds objects ({}) and no rules", count(objects, "file")),
    };
    let hint = match objects {
        0 => "save the rules of the node with: iptables-save > FILE".to_owned(),
        _ => format!("-f DUMP --objects {}", shell::word(label)),
    };
    let inner = others.iter().find(|name| [".tar", ".tar.gz", ".tgz", ".zip"].iter().any(|end| name.ends_with(end)));
    let inner = inner.map(|name| format!("unpack {name}: an archive in an archive is not opened"));
    Failure { what, hints: inner.into_iter().chain([hint]).collect() }
}

fn unread(label: &str, others: &[String], verbose: bool) -> String {
    if verbose {
        return format!("{label}: neither rules nor objects: {}", others.join(", "));
    }
    match others {
        [other] => format!("{label}: {other} is neither rules nor objects"),
        others => format!("{label}: {} files are neither rules nor objects (-v lists them)", others.len()),
    }
}

/// That texts are not read because others say the same and more.
fn set_aside(label: &str, aside: &[String], instead: &[String]) -> String {
    let instead: BTreeSet<&str> = instead.iter().map(String::as_str).collect();
    let instead = instead.into_iter().collect::<Vec<_>>().join(", ");
    let mut named = aside[..aside.len().min(NAMED)].join(", ");
    if aside.len() > NAMED {
        named = format!("{} ({named}, …)", aside.len());
    }
    format!("{label}: read {instead}; the same tables in other files were left aside: {named}")
}
