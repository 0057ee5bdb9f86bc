//! Texts that hold what several programs printed: outputs written one behind the other, and all that nft lists.

use memchr::memmem;

use super::gather;
use super::texts::{self, Kind};
use crate::dump::iptables::restore_nft_view;
use crate::proxy::nftables::TABLE;
use crate::source::Capture;

/// Parts a text that begins as rules of iptables and ends as a listing of nft, or the other way round. Each part keeps its line
/// numbers. Only the ends are looked at, so that a large dump is not searched for what it nearly never has.
pub(super) fn apart(capture: Capture, notes: &mut Vec<String>) -> Vec<Capture> {
    let text = &*capture.text;
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let (first, last) = (lines.next().unwrap_or_default(), lines.next_back().unwrap_or_default());
    let has_table = || text.lines().any(|line| table(line).is_some());
    let rules_first = gather::begins_like_rules(text) && last == "}" && has_table();
    let rules_last = table(first).is_some() && ["COMMIT", "# Completed", "-A "].iter().any(|s| last.starts_with(s));
    if !(rules_first || rules_last) {
        return vec![capture];
    }
    notes.push(format!("{} holds rules of iptables and a listing of nft: each was read by itself", capture.label));
    let of = |kept: String| Capture { label: capture.label.clone(), text: kept.into(), command: None };
    vec![of(only(text, |table| table.is_none())), of(only(text, |table| table.is_some()))]
}

/// The rules of iptables, one text for each family, that a listing of nft shows beside kube-proxy's own table, where chains of
/// Services are among them: an earlier mode of kube-proxy left those.
pub(super) fn beside_own_table(captures: &[Capture], notes: &mut Vec<String>) -> Vec<Capture> {
    // Rules of iptables are told by their beginning, and are not searched for what only nft prints.
    let is = |capture: &Capture, kind: Kind| texts::kind(capture) == kind;
    let shows_them = |capture: &&Capture| {
        capture.command.is_none()
            && !gather::begins_like_rules(&capture.text)
            && memmem::find(capture.text.as_bytes(), b"chain KUBE-SERVICES {").is_some()
            && is(capture, Kind::Nft)
            && texts::has_own_table(&capture.text)
    };
    let showing: Vec<&Capture> = captures.iter().filter(shows_them).collect();
    let mut more = Vec::new();
    // What iptables-save says of them is said better.
    if showing.is_empty() || captures.iter().any(|capture| is(capture, Kind::Iptables)) {
        return more;
    }
    for capture in showing {
        let text = &*capture.text;
        let of_family = |family| only(text, |table| table.is_some_and(|(of, name)| of == family && name != TABLE));
        let rules = ["ip", "ip6"].into_iter().filter_map(|family| restore_nft_view(of_family(family).trim_start()));
        more.extend(rules.map(|rules| Capture { label: capture.label.clone(), text: rules.into(), command: None }));
        notes.push(format!(
            "{} shows rules of iptables beside kube-proxy's own table, as far as nft does: their line numbers are not those of the \
             file",
            capture.label
        ));
    }
    more
}

/// The text with the lines of the tables of nft that are wanted, or with those outside of all, and the others empty.
fn only(text: &str, is_wanted: impl Fn(Option<(&str, &str)>) -> bool) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut inside = None;
    for line in text.lines() {
        inside = inside.or_else(|| table(line));
        if is_wanted(inside) {
            kept.push_str(line);
        }
        kept.push('\n');
        inside = inside.filter(|_| line != "}");
    }
    kept
}

/// Family and name of the table of nft that a line opens; `nft -a` has a handle behind it.
fn table(line: &str) -> Option<(&str, &str)> {
    let mut words = line.strip_prefix("table ")?.split_ascii_whitespace();
    let (family, name) = (words.next()?, words.next()?);
    (words.next() == Some("{")).then_some((family, name))
}
