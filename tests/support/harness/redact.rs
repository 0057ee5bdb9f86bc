//! Pseudonyms: no name that only the input can know is left, whatever the input is, and the same input gives the same
//! output.

use kube_ipt::cluster::{Saved, emit};
use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::redact::{Language, Redactor};

use super::parts;

/// Stands for what must not be told: seeds and dictionary put it wherever there is a name.
const SECRET: &str = "s3cr3t";

pub(super) fn holds(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    let parts = parts::of(&input);
    let written = rewritten(&parts);
    for text in &written {
        assert!(!text.to_ascii_lowercase().contains(SECRET), "the secret is told: {text}");
    }
    assert_eq!(rewritten(&parts), written, "the same input twice");
}

fn language(name: &str) -> Option<Language> {
    Some(match name {
        "iptables" => Language::Iptables,
        "nft" => Language::Nft,
        "ipvs" => Language::Ipvsadm,
        "ipset" => Language::Ipset,
        "addresses" => Language::Addresses,
        "mode" => Language::ProxyMode,
        _ => return None,
    })
}

/// Every text with pseudonyms, then the objects.
fn rewritten(parts: &[(&str, &str)]) -> Vec<String> {
    let mut redactor = Redactor::new([7; 32]);
    let mut saved = Saved::default();
    for (_, text) in parts.iter().filter(|(name, _)| *name == "objects") {
        _ = saved.read("objects", text);
    }
    let facts = saved.into_facts();
    redactor.learn(&facts);
    redactor.learn_hosts(parts.iter().filter(|(name, _)| *name == "node").filter_map(|(_, text)| text.lines().next()));
    let texts: Vec<(Language, &str)> = parts.iter().filter_map(|(name, text)| Some((language(name)?, *text))).collect();
    for (language, text) in &texts {
        redactor.learn_text(text, *language);
    }
    let mut written = Vec::new();
    for (language, text) in &texts {
        let Ok((new, counts)) = redactor.text(text, *language) else { continue };
        assert!(counts.left_out <= counts.lines, "{counts:?}");
        // A pseudonym may be longer than the name, a line of it is a line.
        assert!(new.len() <= 64 * text.len() + 1024, "{} bytes became {}", text.len(), new.len());
        if *language == Language::Iptables {
            assert!(Dump::scan(&new, Hints::default()).rules() <= new.lines().count());
        }
        written.push(new);
    }
    let new = redactor.facts(&facts);
    assert_eq!((new.services.len(), new.slices.len()), (facts.services.len(), facts.slices.len()));
    written.push(emit(&new));
    written
}
