//! What each text that was read is, and all of them read in their languages.

use super::phases::phase;
use super::{Failure, gather};
use crate::dataplane::Mode;
use crate::dump::addresses::Interfaces;
use crate::dump::ipset::Sets;
use crate::dump::iptables::{Dump, Hints};
use crate::dump::{ipvs, nft};
use crate::net::Family;
use crate::proxy::nftables;
use crate::source::{self, Bundle, Capture, Language};

/// The texts in their languages.
#[derive(Debug, Default)]
pub(super) struct Texts<'b> {
    /// One for each text; empty for those that are no rules of iptables.
    pub(super) dumps: Vec<Dump<'b>>,
    /// Listings of nft, with the number of their text.
    pub(super) nft: Vec<(u16, nft::Listing<'b>)>,
    /// Virtual servers, with the number of the first text of them.
    pub(super) ipvs: Option<(u16, ipvs::Listing<'b>)>,
    /// Ipsets.
    pub(super) sets: Sets<'b>,
    /// Interfaces and their addresses.
    pub(super) interfaces: Option<Interfaces<'b>>,
    /// What kube-proxy says its mode is.
    pub(super) said: Option<Mode>,
    /// What is to be said of texts that were not wholly understood.
    pub(super) notes: Vec<String>,
}

/// What a text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Iptables,
    Nft,
    Ipvs,
    Sets,
    Addresses,
    Mode(Mode),
}

/// Reads every text. One without a single line that is known is an error that says what it looks like.
pub(super) fn read(bundle: &Bundle, verbose: bool) -> Result<Texts<'_>, Failure> {
    let mut texts = phase("index", || indexed(bundle, verbose))?;
    if let Some(machine) = &bundle.machine {
        texts.interfaces = Some(Interfaces::of_node(machine.addresses.clone()));
    }
    texts.said = bundle.proxy_mode.as_deref().and_then(Mode::parse).or(texts.said);
    texts.notes.extend(phase("unread", || gather::unread_notes(bundle, &texts.dumps, verbose)));
    Ok(texts)
}

fn indexed(bundle: &Bundle, verbose: bool) -> Result<Texts<'_>, Failure> {
    let mut texts = Texts::default();
    for (number, capture) in (0u16..).zip(&bundle.captures) {
        let kind = kind(capture);
        let dump = if kind == Kind::Iptables { gather::dump(capture)? } else { Dump::scan("", Hints::default()) };
        texts.dumps.push(dump);
        match kind {
            Kind::Iptables => {}
            Kind::Nft => texts.nft(number, capture, verbose),
            Kind::Ipvs => texts.ipvs(number, capture, verbose),
            Kind::Sets => texts.sets(capture),
            Kind::Addresses => texts.addresses(capture),
            Kind::Mode(mode) => texts.said = Some(mode),
        }
    }
    Ok(texts)
}

impl<'b> Texts<'b> {
    /// The family of which kube-proxy has no table of nftables, though it has one of the other.
    pub(super) fn family_without_table(&'b self, bundle: &Bundle, tables: &[nftables::Ruleset<'b>]) -> Option<Family> {
        let asked = |family| source::lists_table(family).is_some_and(|list| bundle.has_asked(list));
        nftables::family_without_table(tables, self.nft.iter().map(|(text, listing)| (*text, listing)), asked)
    }

    fn nft(&mut self, number: u16, capture: &'b Capture, verbose: bool) {
        let listing = nft::Listing::scan(&capture.text);
        if listing.cut_off {
            self.notes.push(format!("{} ends inside a table: what followed is not known", capture.label));
        }
        self.unread(capture, &listing.unread, verbose);
        self.nft.push((number, listing));
    }

    fn ipvs(&mut self, number: u16, capture: &'b Capture, verbose: bool) {
        let mut listing = ipvs::Listing::scan(&capture.text);
        if capture.command.is_some() {
            listing.trust();
        }
        let unread = std::mem::take(&mut listing.unread);
        self.unread(capture, &unread, verbose);
        match &mut self.ipvs {
            Some((_, known)) => known.absorb(listing),
            None => self.ipvs = Some((number, listing)),
        }
    }

    fn addresses(&mut self, capture: &'b Capture) {
        let listing = Interfaces::scan(&capture.text);
        if listing.cut_off {
            self.notes
                .push(format!("{} ends inside a listing of addresses: what followed is not known", capture.label));
        }
        self.interfaces = Some(listing);
    }

    fn sets(&mut self, capture: &'b Capture) {
        let more = Sets::scan(&capture.text);
        if more.cut_off {
            self.notes.push(format!("{} ends inside a set: what followed is not known", capture.label));
        }
        if more.unread > 0 {
            let lines = gather::lines_were(more.unread);
            self.notes.push(format!("{}: {lines} not understood as part of an ipset listing", capture.label));
        }
        self.sets.absorb(more);
    }

    fn unread(&mut self, capture: &Capture, unread: &[(u32, &str)], verbose: bool) {
        let label = &capture.label;
        if verbose {
            let line =
                |(line, text): &(u32, &str)| format!("{label} line {line}: not understood: {}", gather::quoted(text));
            self.notes.extend(unread.iter().map(line));
            return;
        }
        self.notes.extend(unread.first().map(|first| gather::not_understood(label, unread.len(), *first)));
    }

    /// True if ipsets are all that was given.
    pub(super) fn are_only_sets(&self) -> bool {
        !self.sets.is_empty()
            && self.nft.is_empty()
            && self.ipvs.is_none()
            && self.dumps.iter().all(|dump| dump.sections.is_empty())
    }
}

/// What a text is; what is nothing known is taken for rules of iptables.
pub(super) fn kind(capture: &Capture) -> Kind {
    if let Some(command) = &capture.command {
        return match command.language {
            Language::Iptables => Kind::Iptables,
            Language::Nft => Kind::Nft,
            Language::Ipvsadm => Kind::Ipvs,
            Language::Ipset => Kind::Sets,
        };
    }
    let text = &*capture.text;
    // Most texts are rules of iptables, and large ones cost what is looked at.
    if gather::begins_like_rules(text) {
        return Kind::Iptables;
    }
    if Sets::are_in(text) {
        return Kind::Sets;
    }
    if let Some(mode) = said(text) {
        return Kind::Mode(mode);
    }
    if nft::Listing::is_in(text) {
        return Kind::Nft;
    }
    if ipvs::Listing::are_in(text) {
        return Kind::Ipvs;
    }
    let [addresses, sets] = [Interfaces::are_in(text), Sets::are_within(text)];
    if !(addresses || sets) || !gather::scan(capture).is_empty() {
        return Kind::Iptables;
    }
    if sets { Kind::Sets } else { Kind::Addresses }
}

/// The answer of kube-proxy's `/proxyMode`, with or without the head of the response.
fn said(text: &str) -> Option<Mode> {
    Mode::parse(source::proxy_mode(text)?)
}

/// True if an nft listing holds kube-proxy's own table.
pub(super) fn has_own_table(text: &str) -> bool {
    text.lines().any(|line| {
        let mut words = line.split_ascii_whitespace();
        words.next() == Some("table")
            && matches!(words.next(), Some("ip" | "ip6"))
            && words.next() == Some(nftables::TABLE)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kube_proxy_says_its_mode() {
        assert_eq!(said("ipvs"), Some(Mode::Ipvs));
        assert_eq!(said("HTTP/1.0 200 OK\r\nContent-Length: 8\r\n\r\nnftables"), Some(Mode::Nftables));
        assert_eq!(said("HTTP/1.0 404 Not Found\r\n\r\n"), None);
        assert_eq!(said(""), None);
    }

    #[test]
    fn texts_are_told_apart() {
        let of = |text: &str| kind(&Capture { label: "f".to_owned(), text: text.to_owned().into(), command: None });
        for (text, wanted) in [
            ("-A KUBE-SERVICES -d 10.96.0.1/32 -j X\n", Kind::Iptables),
            ("*nat\n:PREROUTING ACCEPT [0:0]\nCOMMIT\n", Kind::Iptables),
            ("table ip kube-proxy {\n}\n", Kind::Nft),
            ("-A -t 10.96.0.1:443 -s rr\n-a -t 10.96.0.1:443 -r 10.0.0.1:6443 -m -w 1\n", Kind::Ipvs),
            ("create KUBE-CLUSTER-IP hash:ip,port family inet\n", Kind::Sets),
            (
                "5: kube-ipvs0: <BROADCAST,NOARP> mtu 1500\n    inet 10.96.0.1/32 scope global kube-ipvs0\n",
                Kind::Addresses,
            ),
            ("$ sudo ipset save\ncreate KUBE-CLUSTER-IP hash:ip,port family inet\n", Kind::Sets),
            ("add KUBE-LOOP-BACK 10.0.0.1,tcp:80,10.0.0.1\ncreate PORTS bitmap:port range 0-9\n", Kind::Sets),
            ("# ipset list\nroot:\nName: PORTS\nType: bitmap:port\n", Kind::Sets),
            ("they\ncreate something\nName: of a thing\n", Kind::Iptables),
            ("ipvs\n", Kind::Mode(Mode::Ipvs)),
        ] {
            assert_eq!(of(text), wanted, "{text}");
        }
    }
}
