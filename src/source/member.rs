//! What is told of members of archives and directories: their names, and what is wrong with them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// So many members with the same flaw are named; of an archive of sixty thousand the rest is counted.
const NAMED: usize = 5;

/// What is wrong with a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Flaw {
    /// It cannot be read or unpacked.
    Unreadable,
    /// Its name is longer than any path.
    LongName,
    /// Its text is no UTF-8.
    Bytes,
}

/// How many members have which flaw.
#[derive(Debug, Default)]
pub(super) struct Flaws(BTreeMap<Flaw, usize>);

impl Flaws {
    /// Counts a member with a flaw. True if it is one of the few that are named.
    pub(super) fn names(&mut self, flaw: Flaw) -> bool {
        let count = self.0.entry(flaw).or_default();
        *count += 1;
        *count <= NAMED
    }

    /// How many more there are than were named, in a note for each flaw.
    pub(super) fn rest(&self, label: &str) -> Vec<String> {
        let more = self.0.iter().filter(|(_, count)| **count > NAMED);
        more.map(|(flaw, count)| {
            let what = match flaw {
                Flaw::Unreadable => "that cannot be read",
                Flaw::LongName => "passed over for the length of their names",
                Flaw::Bytes => "with bytes that are no UTF-8 text",
            };
            format!("{label}: and {} more {what}", count - NAMED)
        })
        .collect()
    }
}

/// A member's path without what only leads about: `./`, and `/` in front.
pub(super) fn shown(path: &[u8]) -> String {
    let parts = path.split(|byte| matches!(byte, b'/' | b'\\')).filter(|part| !part.is_empty() && *part != b".");
    parts.map(told).collect::<Vec<_>>().join("/")
}

/// A name with `\xff` for every byte that is no UTF-8: with one sign for all of them two files could have the same name, and
/// one would take the place of the other.
pub(super) fn told(name: &[u8]) -> String {
    let mut told = String::with_capacity(name.len());
    for chunk in name.utf8_chunks() {
        told.push_str(chunk.valid());
        for byte in chunk.invalid() {
            let _ = write!(told, "\\x{byte:02x}");
        }
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_stay_different() {
        assert_eq!(shown(b"./a//b\\c/."), "a/b/c");
        assert_eq!(shown("/é".as_bytes()), "é");
        assert_eq!(shown(b"a\xff\xfe/b"), "a\\xff\\xfe/b");
        assert_ne!(told(b"a\xff"), told(b"a\xfe"));
    }

    #[test]
    fn a_few_are_named_and_the_rest_is_counted() {
        let mut flaws = Flaws::default();
        assert_eq!((0..8).filter(|_| flaws.names(Flaw::Bytes)).count(), 5);
        assert!(flaws.names(Flaw::Unreadable));
        assert_eq!(flaws.rest("a.tar"), ["a.tar: and 3 more with bytes that are no UTF-8 text"]);
    }
}
