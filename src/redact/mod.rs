//! Pseudonyms for everything in a node's texts and a cluster's facts that tells whose they are.
//!
//! A [`Redactor`] first learns names from facts and texts, then rewrites them. Names get numbers, addresses keep what they have
//! to do with each other, and the names of chains are made anew from the new names, so that the result joins as the original
//! does. The same name or address is the same pseudonym in every text of every node that one redactor rewrites.
//!
//! Only what is known to be harmless passes: numbers, and words of the languages. Whatever else stands in a text gets a
//! pseudonym, and a line of which nothing is understood is left out and counted.

mod addresses;
mod chains;
mod comment;
mod facts;
mod iptables;
mod key;
mod learn;
mod listings;
mod names;
mod nft;
mod tokens;
mod vocabulary;
mod word;

use std::net::IpAddr;

use crate::cluster::PodRef;
use crate::dataplane::ServiceName;
use crate::dump;
use crate::net::Network;

use chains::Chains;
use key::Key;
use names::{Kind, Names};
use word::Writer;

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// `iptables -S`, `-L`, `iptables-save` and what goes into `iptables-restore`.
    Iptables,
    /// `nft list …`, as text or JSON, which becomes text.
    Nft,
    /// `ipvsadm -Sn`, `-Ln`, `-Lnc`.
    Ipvsadm,
    /// `ipset save`, `ipset list`.
    Ipset,
    /// `ip addr`, with `-o` or `-br` too.
    Addresses,
    /// The answer of kube-proxy's `/proxyMode`.
    ProxyMode,
}

/// What was done to a text.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Lines that were read, but for empty ones.
    pub lines: usize,
    /// Lines that were left out, for nothing of them was understood. Empty lines stand in their places.
    pub left_out: usize,
    /// Words of no known meaning that were replaced: names of other programs' chains and sets, interfaces, what people wrote.
    pub unknown_words: usize,
    /// Ranges of addresses that are no network. Such a range becomes the smallest network around it.
    pub widened: usize,
}

impl std::ops::AddAssign for Counts {
    fn add_assign(&mut self, more: Self) {
        self.lines += more.lines;
        self.left_out += more.left_out;
        self.unknown_words += more.unknown_words;
        self.widened += more.widened;
    }
}

/// A text that cannot be rewritten.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Refused(String);

/// Rewrites texts and facts, all in the same way.
#[derive(Debug)]
pub struct Redactor {
    key: Key,
    names: Names,
    chains: Chains,
}

impl Redactor {
    /// One with a key of random bytes, which must not get into what is given away. With the same key and the same things to
    /// learn in the same order, pseudonyms are the same.
    pub fn new(key: [u8; 32]) -> Self {
        Self { key: Key::new(key), names: Names::default(), chains: Chains::default() }
    }

    /// Rewrites a text. All texts should have been [learnt](Self::learn) before: what a chain serves may stand in another one.
    /// Lines keep their numbers, but for those of JSON, of XML and of rules that lost their line breaks.
    pub fn text(&self, text: &str, language: Language) -> Result<(String, Counts), Refused> {
        let text = readable(text, language)?;
        let mut writer = Writer::new(self, text.len());
        match language {
            Language::Iptables => writer.iptables(&text),
            Language::Nft => writer.nft(&text),
            Language::Ipvsadm => writer.ipvsadm(&text),
            Language::Ipset => writer.ipset(&text),
            Language::Addresses => writer.interfaces(&text),
            Language::ProxyMode => writer.proxy_mode(&text),
        }
        Ok(writer.finish())
    }

    /// The pseudonym of an address.
    pub fn address(&self, address: IpAddr) -> IpAddr {
        addresses::address(&self.key, address)
    }

    /// The pseudonym of a network, in which are the pseudonyms of its addresses and no others.
    pub fn network(&self, network: &Network) -> Network {
        addresses::network(&self.key, network)
    }

    /// The pseudonym of a service port.
    pub fn service(&self, name: &ServiceName) -> ServiceName {
        ServiceName {
            namespace: self.name(Kind::Namespace, &name.namespace),
            service: self.name(Kind::Service, &name.service),
            port: name.port.as_deref().map(|port| self.name(Kind::Port, port)),
        }
    }

    /// The pseudonym of a pod.
    pub fn pod(&self, pod: &PodRef) -> PodRef {
        PodRef::new(&self.name(Kind::Namespace, pod.namespace()), &self.name(Kind::Pod, pod.name()))
    }

    /// The pseudonym of a node, or of another host, whose domain gets one of its own.
    pub fn host(&self, name: &str) -> String {
        match name.split_once('.') {
            Some((host, domain)) => format!("{}.{}", self.name(Kind::Node, host), self.name(Kind::Domain, domain)),
            None => self.name(Kind::Node, name),
        }
    }

    fn name(&self, kind: Kind, name: &str) -> String {
        self.names.of(&self.key, kind, name)
    }
}

/// The text as this module reads it.
fn readable(text: &str, language: Language) -> Result<std::borrow::Cow<'_, str>, Refused> {
    let begins = text.trim_start_matches('\u{feff}').trim_start();
    if language == Language::Nft
        && let Some(listing) = dump::nft::restore(text)
    {
        let refused = |error| Refused(format!("JSON of nft that cannot be read cannot be redacted: {error}"));
        return listing.map(Into::into).map_err(refused);
    }
    let restored = match language {
        Language::Iptables => iptables::restored(text),
        _ => None,
    };
    if let Some(rules) = restored {
        return rules.map(Into::into).map_err(Refused);
    }
    if begins.starts_with(['{', '<']) || dump::is_gzip(text.as_bytes()) || text.contains('\0') {
        let what = dump::recognise(text.as_bytes());
        return Err(Refused(format!("a text that {what} cannot be redacted as it is")));
    }
    Ok(text.into())
}
