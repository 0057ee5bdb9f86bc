//! Comments: kube-proxy's words stay, the names in them get pseudonyms, and so does everything else.

use super::vocabulary;
use super::word::Writer;
use crate::dataplane::ServiceName;
use crate::net::{Network, split_host_port};

/// What stands before and behind the words of a sentence.
const AROUND: [char; 8] = ['(', ')', '[', ']', ',', ';', ':', '\''];

/// The service ports that a comment names.
pub(super) fn names_in(comment: &str) -> impl Iterator<Item = ServiceName> {
    comment.split(' ').filter_map(|word| service(word.trim_matches(AROUND)))
}

/// The service port that a word names, if it is neither another word nor an address.
fn service(word: &str) -> Option<ServiceName> {
    let is_other =
        vocabulary::is_of_comments(word) || Network::parse(word).is_some() || split_host_port(word).is_some();
    if is_other { None } else { ServiceName::parse(word) }
}

impl Writer<'_> {
    /// Writes a comment, which has no quotes around it.
    pub(super) fn comment(&mut self, comment: &str) {
        for (at, word) in comment.split(' ').enumerate() {
            if at > 0 {
                self.push(" ");
            }
            self.comment_word(word);
        }
    }

    /// Writes a word of a comment. Numbers do not pass: what they number is not known.
    pub(super) fn comment_word(&mut self, word: &str) {
        let is_chain = word.starts_with("KUBE-") && vocabulary::is_known(word);
        if word.is_empty() || is_chain || vocabulary::is_of_comments(word) {
            self.push(word);
        } else if self.address(word) || self.chain(word) {
            // It is written.
        } else if let Some(name) = service(word) {
            let name = self.redactor().service(&name);
            self.push(&name.to_string());
        } else {
            let inner = word.trim_start_matches(AROUND);
            let (before, rest) = word.split_at(word.len() - inner.len());
            let inner = rest.trim_end_matches(AROUND);
            if inner.len() == word.len() {
                return self.unknown(word);
            }
            self.push(before);
            self.comment_word(inner);
            self.push(&rest[inner.len()..]);
        }
    }
}
