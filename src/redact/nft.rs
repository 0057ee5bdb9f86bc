//! Listings of nft. Names, addresses and keywords are told by their form; strings by the word before them.

use super::word::Writer;
use super::{tokens, vocabulary};

/// Digits of a port.
const LONGEST: usize = 5;

impl Writer<'_> {
    /// Writes a listing of nft. What stands outside of tables is left out.
    pub(super) fn nft(&mut self, text: &str) {
        let mut depth = 0usize;
        self.lines(text, |writer, line| {
            let words = line.trim_start();
            if words.starts_with('#') {
                return writer.remark(line);
            }
            if depth == 0 && !(words.starts_with("table ") && without_handle(words).ends_with('{')) {
                return false;
            }
            depth = depth_behind(words, depth);
            writer.statement(line);
            true
        });
    }

    fn statement(&mut self, line: &str) {
        let mut before = "";
        // What bytes of packets are compared with may be an address as a number.
        let raw = ["@nh,", "@ll,", "@th,", "@ih,"].iter().any(|payload| line.contains(payload));
        for token in tokens::of(line, false) {
            self.push(token.blank);
            match (before, token.quoted) {
                ("comment", Some(comment)) => self.in_quotes(token.closed, |writer| writer.comment(comment)),
                ("prefix", Some(prefix)) => self.in_quotes(token.closed, |writer| writer.unknown(prefix)),
                (_, Some(name)) if !name.contains(' ') => self.in_quotes(token.closed, |writer| writer.word(name)),
                (_, Some(words)) => self.in_quotes(token.closed, |writer| writer.unknown(words)),
                (_, None) if raw && token.text.len() > LONGEST && vocabulary::is_number(token.text) => {
                    self.unknown(token.text);
                }
                (_, None) => self.word(token.text),
            }
            before = token.text;
        }
    }
}

/// How many blocks are open behind a line.
fn depth_behind(line: &str, depth: usize) -> usize {
    let braces = |brace: &str| {
        tokens::of(line, false).filter(|t| t.quoted.is_none()).map(|t| t.text.matches(brace).count()).sum::<usize>()
    };
    (depth + braces("{")).saturating_sub(braces("}"))
}

/// The line without the handle that `nft -a` prints.
fn without_handle(line: &str) -> &str {
    line.split_once("# handle ").map_or(line, |(before, _)| before).trim_end()
}
