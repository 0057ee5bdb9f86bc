//! Rules of iptables in every form: `-S`, `iptables-save`, `-L`, and what is put back from XML, from one long line and from
//! `nft list`.

use std::collections::HashSet;

use kube_ipt::dataplane::Address;
use kube_ipt::dump::iptables::{
    Dump, Hints, Match, Ports, RawRule, Rule, Section, Statistic, Usual, mend, restore_line_breaks, restore_nft_view,
    restore_xml,
};
use kube_ipt::proxy::iptables::{Translation, joined, translation};

/// How many lines that were not understood keep their text.
const KEPT: usize = 100;

pub(super) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    every_line_is_accounted_for(&text);
    let mended = mend(&text).map(|(mended, _)| mended);
    let restored =
        [restore_line_breaks(&text), restore_xml(&text).and_then(Result::ok), restore_nft_view(&text), mended];
    for restored in restored.iter().flatten() {
        // Names that a form repeats in every line, and escapes.
        assert!(restored.len() <= 64 * text.len() + 1024, "{} bytes became {}", text.len(), restored.len());
        every_line_is_accounted_for(restored);
    }
}

fn every_line_is_accounted_for(text: &str) {
    let lines: Vec<&str> = text.strip_prefix('\u{feff}').unwrap_or(text).split('\n').collect();
    let dump = Dump::scan(text, Hints::default());
    let mut taken = HashSet::new();
    let mut used = Rule::default();
    for section in &dump.sections {
        chains_are_found_by_their_names(section);
        let mut count = 0;
        for raw in section.chains().iter().flat_map(|chain| section.rules_of(chain)) {
            count += 1;
            let line = lines[raw.line as usize - 1];
            assert!(line.trim_ascii_end() == raw.text, "line {} is {line:?}, not {:?}", raw.line, raw.text);
            assert!(taken.insert(raw.line), "line {} is two rules", raw.line);
            means_the_same_when_written(&raw, &mut used);
        }
        assert_eq!(count, section.rules, "rules");
    }
    assert_eq!(taken.len(), dump.rules());
    assert_eq!(dump.unread.len(), dump.unread_count.min(KEPT));
    for unread in &dump.unread {
        assert_eq!(lines[unread.line as usize - 1].trim_ascii(), unread.text);
        assert!(taken.insert(unread.line), "line {} is a rule and not understood", unread.line);
    }
    if dump.unread_count <= KEPT {
        for (line, number) in lines.iter().zip(1..) {
            assert!(taken.contains(&number) || is_frame(line.trim_ascii()), "line {number} is lost: {line:?}");
        }
    }
    let rules = dump.rules();
    assert_eq!(joined(dump).rules(), rules, "rules of joined parts");
}

/// True for a line that is no rule and has been read all the same.
fn is_frame(line: &str) -> bool {
    let begins = ["-N ", "-P ", "-X ", ":", "*", "#", "Chain "].iter().any(|start| line.starts_with(start));
    let has = |name: &str| line.split_ascii_whitespace().any(|word| word == name);
    let is_heading = ["target", "prot", "source", "destination"].into_iter().all(has);
    begins || is_heading || matches!(line, "" | "COMMIT" | "--")
}

fn chains_are_found_by_their_names(section: &Section<'_>) {
    for many in [false, true] {
        if many {
            section.expect_many_lookups();
        }
        for (at, chain) in section.chains().iter().enumerate() {
            assert_eq!(section.chain_id(chain.name), Some(at), "chain {:?}", chain.name);
        }
    }
}

/// The rule is the usual one, but for its comment.
fn says(rule: &Rule<'_>, usual: &Usual<'_>) {
    let matches: Vec<_> = rule.matches.iter().filter(|m| !matches!(m, Match::Comment(_))).collect();
    let target = rule.target.as_ref().expect("a target");
    let (name, options) = match *usual {
        Usual::Jump { probability, target } => {
            let random = |text| Statistic { mode: "random", probability: Some(text), ..Statistic::default() };
            let wanted = probability.map(|text| Match::Statistic(random(text)));
            assert_eq!(matches, wanted.iter().collect::<Vec<_>>());
            (target, 0)
        }
        Usual::Translation { protocol, to } => {
            let ports = Match::Ports(Ports { module: Some(protocol), ..Ports::default() });
            assert_eq!(matches, [&Match::Protocol { not: false, name: protocol }, &ports]);
            let wanted = Translation::To(Address::Socket(to.0, to.1));
            assert!(
                to.1 == 0 || to.0.is_unspecified() || translation(target) == Some(wanted),
                "{target:?} is not {to:?}"
            );
            ("DNAT", 2)
        }
    };
    assert_eq!((target.name, target.goto, target.options.len(), rule.counters), (name, false, options, None));
}

/// A rule that can be read is written so that it reads as the same, and shortcuts see in it what reading does.
fn means_the_same_when_written<'t>(raw: &RawRule<'t>, used: &mut Rule<'t>) {
    let (again, usual) = (raw.parse_into(used), raw.usual());
    let rule = match raw.parse() {
        Ok(rule) => rule,
        Err(error) => {
            assert_eq!((again, usual), (Err(error), None));
            return;
        }
    };
    usual.inspect(|usual| says(&rule, usual));
    assert_eq!(*used, rule, "memory that is used again tells of the rule before");
    let jumps = raw.text.split_ascii_whitespace().filter(|word| matches!(*word, "-j" | "-g" | "--jump" | "--goto"));
    // Where more of them stand, one may be the value of another option.
    if let (Some(target), 1) = (&rule.target, jumps.count()) {
        assert_eq!(raw.target_name(), Some(target.name), "the target of {:?}", raw.text);
    }
    let text = raw.text.trim_ascii_start();
    let counted = text.starts_with('[') && text.contains("] -A ");
    if !counted && !text.starts_with("-A ") {
        // A row of -L may hold any words in its columns.
        return;
    }
    let line = format!("-A X {}", rule.emit());
    let dump = Dump::scan(&line, Hints::default());
    let section = &dump.sections[0];
    let written = section.rules_of(&section.chains()[0]).next().expect("a rule");
    assert_eq!(written.parse().map(|rule| rule.emit()), Ok(rule.emit()), "{:?}", raw.text);
}
