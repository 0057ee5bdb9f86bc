//! One word of a rule or listing: it passes, it is an address or a name of which the new one is known, or it gets a pseudonym.

use std::fmt::{self, Write as _};
use std::net::IpAddr;

use super::{Counts, Redactor, addresses, vocabulary};
use crate::net::{Host, Network, split_host_port};
use crate::proxy::chain_name::{self, ChainKind};

/// Letters of the pseudonym of a word.
const LETTERS: usize = 10;

/// Letters of the pseudonym of what follows a well-known beginning. Names of interfaces are short.
const LETTERS_BEHIND_STEM: usize = 8;

/// The longest word that is taken apart: names in Kubernetes and in rules have 255 bytes at most. Each sign around a word is a
/// step deeper on the stack.
const LONGEST: usize = 512;

/// What opens and closes around words.
const OPENING: [char; 9] = ['(', '[', '{', '<', '!', '*', ':', '@', '='];
const CLOSING: [char; 5] = [')', ']', '}', '>', ':'];

/// A text being rewritten.
pub(super) struct Writer<'r> {
    redactor: &'r Redactor,
    out: String,
    counts: Counts,
    /// Addresses with a length are those of interfaces, not networks.
    pub(super) of_interfaces: bool,
}

impl<'r> Writer<'r> {
    pub(super) fn new(redactor: &'r Redactor, room: usize) -> Self {
        let out = String::with_capacity(room + room / 8);
        Self { redactor, out, counts: Counts::default(), of_interfaces: false }
    }

    pub(super) fn finish(self) -> (String, Counts) {
        (self.out, self.counts)
    }

    pub(super) fn redactor(&self) -> &'r Redactor {
        self.redactor
    }

    /// Writes what is harmless.
    pub(super) fn push(&mut self, text: &str) {
        self.out.push_str(text);
    }

    /// Goes through the lines of a text. `line` writes one, without blanks at its end, or says that it is not understood and
    /// writes nothing.
    pub(super) fn lines(&mut self, text: &str, mut line: impl FnMut(&mut Self, &str) -> bool) {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        for whole in text.split_inclusive('\n') {
            let text = whole.trim_end();
            if !text.is_empty() {
                self.counts.lines += 1;
                let start = self.out.len();
                let unknown_words = self.counts.unknown_words;
                if !line(self, text) {
                    self.out.truncate(start);
                    self.counts.unknown_words = unknown_words;
                    self.counts.left_out += 1;
                }
            }
            if whole.ends_with('\n') {
                self.out.push('\n');
            }
        }
    }

    /// Writes a line if it holds known words and numbers only: one such line says what many say.
    pub(super) fn remark(&mut self, line: &str) -> bool {
        let before = self.counts.unknown_words;
        self.words(line);
        self.counts.unknown_words == before
    }

    /// Writes the words of a line as they come.
    pub(super) fn words(&mut self, line: &str) {
        for token in super::tokens::of(line, false) {
            self.push(token.blank);
            match token.quoted {
                Some(quoted) => self.in_quotes(token.closed, |writer| writer.unknown(quoted)),
                None => self.word(token.text),
            }
        }
    }

    /// Writes something in quotes; those of a line that is cut off stay open.
    pub(super) fn in_quotes(&mut self, closed: bool, inner: impl FnOnce(&mut Self)) {
        self.out.push('"');
        inner(self);
        if closed {
            self.out.push('"');
        }
    }

    /// Writes a word.
    pub(super) fn word(&mut self, word: &str) {
        if word.is_empty() || vocabulary::is_known(word) || vocabulary::is_number(word) {
            return self.out.push_str(word);
        }
        if word.len() > LONGEST {
            return self.unknown(word);
        }
        if self.address(word) {
            return;
        }
        // A list of names goes on behind these, of which no name has any.
        if let Some(close) = word.chars().next_back().filter(|last| matches!(last, ',' | ';')) {
            self.word(&word[..word.len() - close.len_utf8()]);
            return self.out.push(close);
        }
        if self.chain(word) {
            return;
        }
        if vocabulary::is_mac(word) {
            return self.mac(word);
        }
        if let Some(open) = word.chars().next().filter(|first| OPENING.contains(first)) {
            self.out.push(open);
            return self.word(&word[open.len_utf8()..]);
        }
        if let Some(close) = word.chars().next_back().filter(|last| CLOSING.contains(last)) {
            self.word(&word[..word.len() - close.len_utf8()]);
            return self.out.push(close);
        }
        match seam(word) {
            Some(at) => {
                self.word(&word[..at]);
                self.out.push_str(&word[at..=at]);
                self.word(&word[at + 1..]);
            }
            None => self.unknown(word),
        }
    }

    /// Writes the pseudonym of a word of which nothing is known, behind the beginning of its name if that is well known. A
    /// wildcard at its end stays.
    pub(super) fn unknown(&mut self, word: &str) {
        let name = word.strip_suffix(['+', '*']).unwrap_or(word);
        let key = &self.redactor.key;
        let new = match vocabulary::stem(name) {
            Some((stem, rest)) if rest.len() <= 2 && rest.bytes().all(|b| b.is_ascii_digit()) => {
                format!("{stem}{rest}")
            }
            // Docker's bridges are told by this form from others.
            Some(("br-", rest)) if rest.len() == 12 && rest.bytes().all(|b| b.is_ascii_hexdigit()) => {
                let block = key.block("word", rest.as_bytes());
                format!(
                    "br-{:02x}{:02x}{:02x}{:02x}{:02x}{:02x}",
                    block[0], block[1], block[2], block[3], block[4], block[5]
                )
            }
            Some((stem, rest)) => {
                format!("{stem}{}", key.letters("word", rest, LETTERS_BEHIND_STEM).to_lowercase())
            }
            None if name.is_empty() => String::new(),
            None => format!("x-{}", key.letters("word", name, LETTERS).to_lowercase()),
        };
        self.counts.unknown_words += usize::from(new != name);
        self.out.push_str(&new);
        self.out.push_str(&word[name.len()..]);
    }

    /// Writes the new name of a chain, or of a set, that is made for a Service or endpoint; false if the word is none.
    pub(super) fn chain(&mut self, word: &str) -> bool {
        if ChainKind::of(word).is_of_services() {
            let key = chain_name::key(word);
            self.out.push_str(&word[..word.len() - key.len()]);
            self.out.push_str(&self.redactor.key(key));
            return true;
        }
        // The `@` before a set is not a part of its name.
        let name = word.strip_prefix('@').unwrap_or(word);
        let Some(new) = self.redactor.nftables_name(name) else { return false };
        self.out.push_str(&word[..word.len() - name.len()]);
        self.out.push_str(&new);
        true
    }

    /// Writes the pseudonym of an address, a network, a range or a socket; false if the word is none.
    pub(super) fn address(&mut self, word: &str) -> bool {
        if !word.contains(['.', ':']) {
            return false;
        }
        if let Ok(ip) = word.parse::<IpAddr>() {
            self.write(format_args!("{}", self.redactor.address(ip)));
        } else if let Some((head, length)) = word.split_once('/') {
            let Some((network, ip)) = Network::parse(word).zip(head.parse().ok()) else { return false };
            let new =
                if self.of_interfaces { self.redactor.address(ip) } else { self.redactor.network(&network).parts().0 };
            self.write(format_args!("{new}/{length}"));
        } else if let Some((ip, port)) = split_host_port(word) {
            let new = Host(self.redactor.address(ip));
            self.write(format_args!("{new}"));
            if let Some(port) = port {
                self.write(format_args!(":{port}"));
            }
        } else if let Some((first, last)) = range(word) {
            self.range(first, last);
        } else if let Some((hosts, ports)) = word.rsplit_once(':')
            && !ports.is_empty()
            && ports.bytes().all(|b| b.is_ascii_digit() || b == b'-')
            && (range(hosts).is_some() || split_host_port(hosts).is_some())
        {
            self.address(hosts);
            self.out.push(':');
            self.out.push_str(ports);
        } else {
            return false;
        }
        true
    }

    fn write(&mut self, text: fmt::Arguments<'_>) {
        // A String takes whatever is written to it.
        let _ = self.out.write_fmt(text);
    }

    /// Addresses from one to another. Pseudonyms have no order, so that only a network becomes a range again.
    fn range(&mut self, first: IpAddr, last: IpAddr) {
        let Some(around) = addresses::around(first, last) else { return };
        self.counts.widened += usize::from(around.parts().0 != first || addresses::last(&around) != last);
        let new = self.redactor.network(&around);
        self.write(format_args!("{}-{}", new.parts().0, addresses::last(&new)));
    }

    /// Addresses of cards name their makers: none of them stays but those that every card has.
    fn mac(&mut self, word: &str) {
        let common = ["ff:ff:ff:ff:ff:ff", "00:00:00:00:00:00"].into_iter().find(|common| *common == word);
        self.out.push_str(common.unwrap_or("00:00:00:00:00:00"));
    }
}

/// `10.0.0.1-10.0.0.9`
fn range(word: &str) -> Option<(IpAddr, IpAddr)> {
    let (first, last) = word.split_once('-')?;
    let range: (IpAddr, IpAddr) = (first.parse().ok()?, last.parse().ok()?);
    (range.0.is_ipv4() == range.1.is_ipv4()).then_some(range)
}

/// Where a word is made of two.
fn seam(word: &str) -> Option<usize> {
    let first = |seam: char| word.find(seam).filter(|at| *at > 0);
    // More colons than a time of day has are those of something else.
    let colon = first(':').filter(|at| word.matches(':').count() <= 2 || vocabulary::is_known(&word[..*at]));
    let dash = first('-').filter(|_| word.bytes().all(|b| b.is_ascii_digit() || b == b'-'));
    first(',')
        .or_else(|| first('='))
        .or(colon)
        .or_else(|| first('/'))
        .or_else(|| first('@'))
        .or_else(|| first('|'))
        .or(dash)
}
