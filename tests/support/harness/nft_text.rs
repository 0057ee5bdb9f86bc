//! What `nft list` prints: every part of it stands where it says it does, and rules are read whatever is in them.

use kube_ipt::dump::nft::{Listing, Rule, Verdict, parts};

pub(super) fn holds(data: &[u8]) {
    reads(&String::from_utf8_lossy(data));
}

/// Reads a listing and gives the number of lines that are no part of one.
pub(super) fn reads(text: &str) -> usize {
    let lines: Vec<&str> = text.split('\n').collect();
    let line = |number: u32| lines[number as usize - 1];
    let listing = Listing::scan(text);
    let mut taken = std::collections::HashSet::new();
    let mut once = |number: u32| assert!(taken.insert(number), "line {number} is read twice: {:?}", line(number));
    for (number, unread) in &listing.unread {
        assert!(line(*number).contains(unread), "line {number} is not {unread:?}");
        once(*number);
    }
    assert_eq!(listing.cut_off, listing.tables.iter().any(|table| table.cut_off));
    for table in &listing.tables {
        for chain in table.chains() {
            assert_eq!(table.chain(chain.name).map(|found| found.line), Some(chain.line), "chain {:?}", chain.name);
            assert!(line(chain.line).contains(chain.name));
            for raw in &chain.rules {
                assert!(line(raw.line).contains(raw.text), "line {} is not {:?}", raw.line, raw.text);
                once(raw.line);
                let rule = Rule::parse(raw.text);
                assert!(rule.comment().is_none_or(|comment| raw.text.contains(comment)));
            }
        }
        assert!(table.base_chains().all(|(chain, base)| chain.base == Some(base)));
        for set in table.sets() {
            assert_eq!(table.set(set.name).map(|found| found.line), Some(set.line), "set {:?}", set.name);
            for element in &set.elements {
                for part in [Some(element.key), element.comment, element.data].into_iter().flatten() {
                    assert!(line(element.line).contains(part), "line {} lacks {part:?}", element.line);
                }
                assert!(parts(element.key).count() <= 1 + element.key.matches(" . ").count());
                let _ = element.data.and_then(Verdict::parse);
            }
        }
    }
    listing.unread.len()
}
