//! `snapshot --redact`: what leaves the cluster without its names and addresses.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use super::Failure;
use super::gather::lines_were;
use super::texts::{self, Kind};
use crate::cluster::Facts;
use crate::redact::{Counts, Language, Redactor};
use crate::source::{self, Bundle, Capture, Machine, Origin, PROXY, Unread};

/// A key that can be tried out is none.
const SHORTEST: usize = 16;

/// The longest key, in bytes: a file without end is none.
const LONGEST: u64 = 1 << 20;

/// Nodes and their cluster under other names.
pub(super) struct Redacted {
    pub(super) nodes: Vec<Bundle>,
    pub(super) unread: Vec<Unread>,
    pub(super) facts: Option<Facts>,
    /// What was done, for whoever gives it away.
    pub(super) notes: Vec<String>,
}

/// The key of this run: random, or made of a file, with which pseudonyms are the same in every run.
pub(super) fn key(file: Option<&Path>) -> Result<[u8; 32], Failure> {
    let Some(path) = file else {
        return source::random().map_err(|error| Failure {
            what: format!("cannot make a random key: {error}"),
            hints: vec!["--redact-key FILE    (any file that nobody else has)".to_owned()],
        });
    };
    let shown = path.display();
    let failure = |what: String| Failure { what, hints: vec!["head -c 32 /dev/urandom > FILE".to_owned()] };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LONGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| failure(format!("cannot read the key {shown}: {error}")))?;
    if bytes.len() < SHORTEST {
        let what = format!("the key {shown} has {} bytes, and fewer than {SHORTEST} can be guessed", bytes.len());
        return Err(failure(what));
    }
    if bytes.len() as u64 > LONGEST {
        return Err(failure(format!("the key {shown} is longer than {} MiB, or has no end", LONGEST >> 20)));
    }
    Ok(Sha256::digest(bytes).into())
}

/// Gives everything other names, the same ones in all nodes and objects.
pub(super) fn redact(
    key: [u8; 32],
    nodes: Vec<Bundle>,
    unread: &[Unread],
    facts: Option<&Facts>,
) -> Result<Redacted, Failure> {
    let mut redactor = Redactor::new(key);
    if let Some(facts) = facts {
        redactor.learn(facts);
    }
    for node in &nodes {
        redactor.learn_hosts(node.node.as_deref());
        redactor.learn_hosts(node.machine.as_ref().and_then(|machine| machine.name.as_deref()));
        for capture in &node.captures {
            redactor.learn_text(&capture.text, language(capture));
        }
    }
    for node in unread {
        redactor.learn_hosts(Some(node.node.as_str()));
    }
    let mut counts = Counts::default();
    let nodes = nodes.into_iter().map(|node| self::node(&redactor, node, &mut counts)).collect::<Result<_, _>>()?;
    // Why names users and servers.
    let why = || "the snapshot is redacted, and does not tell why".to_owned();
    let unread = unread.iter().map(|node| Unread { node: redactor.host(&node.node), why: why() }).collect();
    Ok(Redacted { nodes, unread, facts: facts.map(|facts| redactor.facts(facts)), notes: notes(counts) })
}

fn node(redactor: &Redactor, node: Bundle, counts: &mut Counts) -> Result<Bundle, Failure> {
    let mut captures = Vec::with_capacity(node.captures.len());
    for capture in node.captures {
        let language = language(&capture);
        let (text, done) = redactor.text(&capture.text, language).map_err(|refused| Failure {
            what: format!("{}: {refused}", capture.label),
            hints: vec!["leave it out, or give the text that the command prints".to_owned()],
        })?;
        *counts += done;
        // The label of a command says what was run; that of a file may say anything.
        let label = if capture.command.is_some() { capture.label } else { called(language).to_owned() };
        captures.push(Capture { label, text: text.into(), command: capture.command });
    }
    let machine = node.machine.map(|machine| Machine {
        name: machine.name.map(|name| redactor.host(&name)),
        addresses: machine.addresses.into_iter().map(|ip| redactor.address(ip)).collect(),
    });
    let origin = if node.origin == Origin::Here { Origin::Here } else { Origin::Saved };
    Ok(Bundle {
        captures,
        proxy_mode: node.proxy_mode,
        commands: node.commands,
        origin,
        node: node.node.map(|name| redactor.host(&name)),
        machine,
        read_at: node.read_at,
        versions: node.versions.into_iter().filter_map(version).collect::<BTreeMap<_, _>>(),
        // Notes quote lines and name files.
        ..Bundle::default()
    })
}

/// Numbers alone: a kernel or a system may be named for whose it is.
fn version((of, version): (String, String)) -> Option<(String, String)> {
    let numeric: String = version.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    match of.as_str() {
        "kernel" => Some((of, numeric)),
        PROXY => Some((of, version_of_tag(&version)?)),
        program if program.contains("tables") => Some((of, version)),
        _ => None,
    }
}

/// `v1.34.2` of `v1.34.2-acme.1`.
fn version_of_tag(tag: &str) -> Option<String> {
    let numeric: String = tag.strip_prefix('v')?.chars().take_while(|c| c.is_ascii_digit() || *c == '.').collect();
    Some(format!("v{}", numeric.trim_end_matches('.')))
}

fn language(capture: &Capture) -> Language {
    match texts::kind(capture) {
        Kind::Iptables => Language::Iptables,
        Kind::Nft => Language::Nft,
        Kind::Ipvs => Language::Ipvsadm,
        Kind::Sets => Language::Ipset,
        Kind::Addresses => Language::Addresses,
        Kind::Mode(_) => Language::ProxyMode,
    }
}

/// What a text is called whose own name may tell too much.
fn called(language: Language) -> &'static str {
    match language {
        Language::Iptables => "iptables",
        Language::Nft => "nft",
        Language::Ipvsadm => "ipvsadm",
        Language::Ipset => "ipset",
        Language::Addresses => "ip-addr",
        Language::ProxyMode => "proxy-mode",
    }
}

/// What was kept and what was lost.
fn notes(counts: Counts) -> Vec<String> {
    let kept = "names and addresses are pseudonyms; kept are ports, policies, counters, times, versions, sizes of networks, \
                private ranges, the first byte of public addresses, and names that kube-proxy and Kubernetes give themselves";
    let lost =
        (counts.left_out > 0).then(|| format!("{} left out that nothing is known of", lines_were(counts.left_out)));
    let widened = match counts.widened {
        0 => None,
        1 => Some("1 range of addresses became the smallest network around it".to_owned()),
        many => Some(format!("{many} ranges of addresses became the smallest network around them")),
    };
    [Some(kept.to_owned()), lost, widened].into_iter().flatten().collect()
}
