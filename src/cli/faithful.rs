//! Of several texts of one table, the one that says most: `iptables-save -c`, then without counters, `-S`, `-L`; whole
//! ones before those that went through grep.

use std::cmp::Reverse;

use super::collection::Member;
use super::gather;
use super::texts::Kind;
use crate::dump::addresses::Interfaces;
use crate::dump::iptables::{Backend, Dump, Section, TableName};
use crate::dump::nft;
use crate::net::Family;
use crate::order::Order as _;
use crate::source::{self, Capture, Invocation, Language};

/// How much a form keeps of the rules, the most first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Form {
    /// `iptables-save -c`
    Counted,
    /// `iptables-save`
    Saved,
    /// `iptables -S`
    Listed,
    /// `iptables -nvL`
    Verbose,
    /// `iptables -nL`, which hides interfaces.
    Plain,
    /// `nft list ruleset` of the rules of iptables, which hides conditions.
    View,
}

/// A part of the node's state.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Table(Family, Option<TableName>, Option<Backend>),
    Nft(String, String),
    Servers,
    Sets,
    Addresses,
    Mode,
}

impl Part {
    /// True if a text that has this part need not be read for `other`.
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Table(family, table, one), Self::Table(of, wanted, other)) => {
                // Lines that do not tell their table are of those that are there whole.
                family == of
                    && (table == wanted || wanted.is_none())
                    && (one == other || other.is_none() || one.is_none())
            }
            _ => self == other,
        }
    }
}

/// What a text holds, and how well.
struct Worth {
    parts: Vec<Part>,
    /// Best first: with rules of kube-proxy, whichever backend has them, before what lost least.
    rank: (bool, Loss, Reverse<usize>, Form, Reverse<usize>),
}

/// What a text keeps from whoever reads it, the least first: how many tables it has counts only among those that keep as much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Loss {
    /// Nothing.
    None,
    /// Lines, or how conditions were written.
    Some,
    /// Interfaces.
    Interfaces,
    /// Comments and shares.
    Conditions,
}

/// Those to be read, the most faithful last, which counts where a table comes twice; and the names of the others, each with
/// one that is read in its place.
pub(super) fn choose(members: Vec<Member>) -> (Vec<Member>, Vec<(String, String)>) {
    let mut ranked: Vec<(Worth, Member)> = members.into_iter().map(|member| (worth(&member), member)).collect();
    ranked.order_by_key(|(worth, _)| worth.rank);
    let mut read: Vec<(Worth, Member)> = Vec::new();
    let mut aside = Vec::new();
    for (worth, member) in ranked {
        let covering = |part: &Part| read.iter().find(|(better, _)| better.parts.iter().any(|own| own.covers(part)));
        let instead: Option<Vec<_>> = worth.parts.iter().map(covering).collect();
        match instead.as_deref() {
            Some([(_, better), ..]) => aside.push((member.name, better.name.clone())),
            _ => read.push((worth, member)),
        }
    }
    aside.order();
    (read.into_iter().rev().map(|(_, member)| member).collect(), aside)
}

fn worth(member: &Member) -> Worth {
    let text = &*member.capture.text;
    let some = |lossy| if lossy { Loss::Some } else { Loss::None };
    let of = |part: Part, lossy: bool, size: usize| Worth {
        parts: vec![part],
        rank: (false, some(lossy), Reverse(1), Form::Saved, Reverse(size)),
    };
    match member.kind {
        Kind::Iptables => {
            let form = if member.is_view { Form::View } else { iptables_form(text) };
            of_iptables(&gather::scan(&member.capture), form)
        }
        Kind::Nft => {
            let listing = nft::Listing::scan(text);
            let parts = listing.tables.iter().map(|t| Part::Nft(t.family.to_owned(), t.name.to_owned()));
            let parts: Vec<Part> = parts.collect();
            // The lines of a listing made from JSON are not those of the file.
            let made = member.name.to_lowercase().contains("json");
            Worth { rank: (false, some(listing.cut_off), Reverse(parts.len()), form(made), Reverse(0)), parts }
        }
        // What can be given back to ipvsadm and ipset, before what is for people.
        Kind::Ipvs => of(Part::Servers, !text.lines().any(|line| line.starts_with("-A ")), 0),
        Kind::Sets => of(Part::Sets, !text.contains("create "), 0),
        Kind::Addresses => of(Part::Addresses, false, Interfaces::scan(text).all.len()),
        Kind::Mode(_) => of(Part::Mode, false, 0),
    }
}

fn form(made: bool) -> Form {
    if made { Form::Listed } else { Form::Saved }
}

fn of_iptables(dump: &Dump<'_>, form: Form) -> Worth {
    let part = |section: &Section<'_>| {
        let table = section.table.filter(|_| section.table_told || section.complete);
        Part::Table(section.family.unwrap_or(Family::Ipv4), table, section.backend)
    };
    let mut parts: Vec<Part> = Vec::new();
    for part in dump.sections.iter().filter(|section| !section.chains().is_empty()).map(part) {
        if !parts.contains(&part) {
            parts.push(part);
        }
    }
    let whole = dump.sections.iter().all(|section| section.complete && !section.cut_off);
    let loss = match form {
        Form::View => Loss::Conditions,
        Form::Plain => Loss::Interfaces,
        Form::Counted | Form::Saved | Form::Listed if whole => Loss::None,
        Form::Counted | Form::Saved | Form::Listed | Form::Verbose => Loss::Some,
    };
    let mut chains = dump.sections.iter().flat_map(Section::chains);
    let is_strange = !chains.any(|chain| chain.name.starts_with("KUBE-"));
    Worth { rank: (is_strange, loss, Reverse(parts.len()), form, Reverse(dump.rules())), parts }
}

/// The form of most of a text: that of its first line of rules that tells it.
fn iptables_form(text: &str) -> Form {
    let mut saved = None;
    for line in text.lines() {
        match line.as_bytes() {
            [b'[', b'0'..=b'9', ..] => return Form::Counted,
            [b'*', ..] => saved = Some(Form::Saved),
            [b'-', b'A', b' ', ..] => return saved.unwrap_or(Form::Listed),
            _ if line.trim_start().starts_with("pkts ") || line.contains("   pkts ") => return Form::Verbose,
            _ if line.starts_with("target ") || line.starts_with("num ") => return Form::Plain,
            _ => {}
        }
    }
    saved.unwrap_or(Form::Listed)
}

/// What the name of a text says that the text itself does not: `ip6tables -S` of a table without addresses.
pub(super) fn hint(name: &str, capture: &Capture) -> Option<Invocation> {
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let sections = gather::scan(capture).sections;
    let six = ["ip6", "ipv6", "save6", "nat6", "filter6", "mangle6", "raw6"].iter().any(|word| name.contains(word));
    let backend = [("legacy", source::Backend::Legacy), ("nft", source::Backend::NfTables)]
        .into_iter()
        .find_map(|(word, backend)| name.contains(word).then_some(backend));
    let told = sections.iter().all(|section| section.family.is_some() || !six)
        && sections.iter().all(|section| section.backend.is_some() || backend.is_none());
    let family = sections.iter().find_map(|section| section.family);
    let family = family.unwrap_or(if six { Family::Ipv6 } else { Family::Ipv4 });
    (!told).then_some(Invocation { language: Language::Iptables, family, backend, table: "" })
}
