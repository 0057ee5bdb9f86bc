//! Lines of a dump that a terminal or an editor wrapped, or cut, at a column.
//!
//! All is told by the beginning of the text, as in [`handled`](super::handled).

use super::handled::{Mended, SEVERAL};
use super::lossless::sampled_lines;
use super::names::OF_SERVICES;

/// Narrower than this no terminal is.
const NARROW: usize = 40;

/// Characters of a hash in the name of a chain (pkg/proxy/iptables/proxier.go).
const HASH: usize = 16;

/// Words of a row of `iptables -L` with all its columns up to `opt`: num, pkts, bytes, target, prot, opt.
const TO_OPTIONS: usize = 6;

/// Lines wrapped, or cut, at a column: no line is longer, several are as long, and what follows those begins no line, or they
/// have no end. Or lines wrapped between words: what begins no line would not have fitted behind the one before it.
#[inline]
pub(super) fn columns(text: &str) -> Option<(String, Mended)> {
    let whole: Vec<&str> = sampled_lines(text).collect();
    let width = whole.iter().map(|line| length(line)).max().filter(|width| *width >= NARROW)?;
    if whole.iter().filter(|line| rule(line).is_some() || is_row(line)).count() < SEVERAL {
        return None;
    }
    let chains = whole.iter().filter_map(|line| rule(line)?.strip_prefix("-A ")?.split(' ').next());
    let hashes = chains.filter_map(hash).filter(|hash| hash.len() == HASH).count() >= SEVERAL;
    let strays: Vec<&[&str]> = whole.windows(2).filter(|pair| !begins_line(pair[1])).collect();
    let all = |goes_on: &dyn Fn(&str, &str) -> bool| strays.iter().all(|pair| goes_on(pair[0], pair[1]));
    let at_column = |line: &str, _: &str| length(line) == width;
    if strays.len() > 1 && all(&at_column) {
        return Some((unwrapped(text, "", at_column), Mended::Wrapped(width)));
    }
    let at_word = |line: &str, next: &str| {
        let word = next.split(' ').next().unwrap_or_default();
        // The blank behind the word had to fit too.
        length(line).max(length(line.trim_end()) + 1) + length(word) >= width
    };
    if strays.len() >= SEVERAL && all(&at_word) {
        return Some((unwrapped(text, " ", at_word), Mended::Wrapped(width)));
    }
    let goes_on = strays.iter().any(|pair| length(pair[0]) == width);
    let ends = whole.iter().filter(|line| length(line) == width && !has_end(line, hashes)).count();
    (ends >= SEVERAL && !goes_on).then(|| (without_chopped(text, width), Mended::Chopped(width)))
}

#[inline]
fn length(line: &str) -> usize {
    if line.is_ascii() { line.len() } else { line.chars().count() }
}

/// True for what a line of a dump begins with. The rest of one that was wrapped may begin with a colon too.
#[inline]
fn begins_line(line: &str) -> bool {
    let declares = || {
        let mut words = line.split(' ').skip(1);
        line.starts_with(':')
            && matches!(words.next(), Some("-" | "ACCEPT" | "DROP"))
            && words.next().is_none_or(|counters| counters.starts_with('['))
    };
    let starts = ["-P ", "-N ", "-X ", "# ", "Chain "].iter().any(|start| line.starts_with(start));
    starts
        || line.is_empty()
        || line == "COMMIT"
        || line.strip_prefix('*').is_some_and(|table| table.starts_with(|c: char| c.is_ascii_lowercase()))
        || declares()
        || rule(line).is_some()
        || is_row(line)
        || is_heading(line)
}

/// A rule as `iptables -S` and `iptables-save` write it, without its counters.
#[inline]
fn rule(line: &str) -> Option<&str> {
    let rule = match line.strip_prefix('[') {
        Some(counted) => counted.split_once("] ")?.1,
        None => line,
    };
    rule.starts_with("-A ").then_some(rule)
}

/// True for a row of `iptables -L`.
#[inline]
fn is_row(line: &str) -> bool {
    let mut words = line.split_ascii_whitespace().take(TO_OPTIONS);
    words.any(|word| word == "--")
}

/// True for the names of its columns.
#[inline]
fn is_heading(line: &str) -> bool {
    ["num ", "pkts ", "target "].iter().any(|first| line.trim_start().starts_with(first)) && line.contains(" prot ")
}

/// False for a line that has no end: a rule without target, a row in the middle of its comment or
/// without the address it translates to, a heading without its last name.
/// Where names of chains have their `hashes`, a shorter one is the beginning of one.
#[inline]
fn has_end(line: &str, hashes: bool) -> bool {
    let Some(rule) = rule(line) else {
        let is_open = line.rsplit_once("/* ").is_some_and(|(_, comment)| !comment.contains("*/"));
        // iptables pads the last name to twenty columns; editors take such blanks away.
        let is_cut = is_heading(line) && !line.ends_with(" destination") && !line.ends_with(" destination         ");
        let translates = line.split_ascii_whitespace().take(TO_OPTIONS).any(|word| word == "DNAT");
        let lacks_address = translates && line.rsplit_once(" to:").is_none_or(|(_, to)| !to.contains(':'));
        return !is_open && !is_cut && (!lacks_address || line.trim_end().ends_with(']'));
    };
    let target = rule.rsplit_once(" -j ").or_else(|| rule.rsplit_once(" -g "));
    let Some((_, target)) = target else { return false };
    let name = target.split(' ').next().unwrap_or_default();
    // An iptables that does not know the revision prints `DNAT [unsupported revision]`.
    let translates = name != "DNAT" || target.contains(" --to-destination ") || target.ends_with(']');
    !name.is_empty()
        && translates
        && !is_beginning(name)
        && (!hashes || hash(name).is_none_or(|hash| hash.len() == HASH))
}

/// The hash in the name of a chain of a Service or endpoint.
#[inline]
fn hash(chain: &str) -> Option<&str> {
    OF_SERVICES.into_iter().find_map(|kind| chain.strip_prefix(kind))
}

/// True for the beginning of a name that kube-proxy and the kernel know, and that is not one itself.
#[inline]
fn is_beginning(name: &str) -> bool {
    const NAMES: [&str; 10] = [
        "KUBE-SVC-",
        "KUBE-SEP-",
        "KUBE-EXT-",
        "KUBE-MARK-MASQ",
        "KUBE-SERVICES",
        "KUBE-NODEPORTS",
        "KUBE-POSTROUTING",
        "MASQUERADE",
        "RETURN",
        "DNAT",
    ];
    NAMES.iter().any(|whole| whole.len() > name.len() && whole.starts_with(name))
}

/// The text with lines put together, `between` them, where one that begins no line follows another that `goes_on`.
#[inline]
fn unwrapped(text: &str, between: &str, goes_on: impl Fn(&str, &str) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        out.push_str(line);
        match lines.peek() {
            Some(next) if !begins_line(next) && goes_on(line, next) => {
                if !line.ends_with(' ') {
                    out.push_str(between);
                }
            }
            _ => out.push('\n'),
        }
    }
    out
}

/// Lines that were cut become what grep puts where lines are missing.
#[inline]
fn without_chopped(text: &str, width: usize) -> String {
    text.lines().map(|line| if length(line) < width { format!("{line}\n") } else { "--\n".to_owned() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::handled::mend;
    use super::super::handled::tests::DUMP;
    use super::*;

    const LISTING: &str = "Chain KUBE-SERVICES (2 references)\n\
        num   pkts bytes target     prot opt in     out     source               destination         \n\
        1        0     0 KUBE-SVC-NPX46M4PTMTKRN6Y  6    --  *      *       0.0.0.0/0            10.96.0.1            /* default/kubernetes:https cluster IP */ tcp dpt:443\n\
        2        5   300 KUBE-SVC-TCOU7JCQXEZGVUNU  17   --  *      *       0.0.0.0/0            10.96.0.10           /* kube-system/kube-dns:dns cluster IP */ udp dpt:53\n\
        3        5   300 KUBE-NODEPORTS  0    --  *      *       0.0.0.0/0            0.0.0.0/0            /* kubernetes service nodeports; NOTE: this must be the last rule in this chain */ ADDRTYPE match dst-type LOCAL\n\
        \n\
        Chain KUBE-MARK-MASQ (12 references)\n\
        num   pkts bytes target     prot opt in     out     source               destination         \n\
        1        0     0 MARK       0    --  *      *       0.0.0.0/0            0.0.0.0/0            MARK or 0x4000\n\
        \n\
        Chain KUBE-NODEPORTS (1 references)\n\
        num   pkts bytes target     prot opt in     out     source               destination         \n";

    /// [`DUMP`] with counters.
    fn counted() -> String {
        DUMP.lines()
            .map(|line| if line.starts_with("-A ") { format!("[12:3456] {line}\n") } else { format!("{line}\n") })
            .collect()
    }

    fn at_column(text: &str, width: usize) -> String {
        let wrap = |line: &str| {
            let chars: Vec<char> = line.chars().collect();
            let parts = chars.chunks(width).map(|part| part.iter().collect::<String>() + "\n");
            if line.is_empty() { "\n".to_owned() } else { parts.collect() }
        };
        text.lines().map(wrap).collect()
    }

    /// As `fold -s` wraps, and as mail does, which leaves out the blank at the end of a line.
    fn at_word(text: &str, width: usize, blank: bool) -> String {
        let mut out = String::new();
        for line in text.lines() {
            let mut column = 0;
            for word in line.split_inclusive(' ') {
                if column > 0 && column + word.trim_end().chars().count() > width {
                    if !blank {
                        out.truncate(out.trim_end_matches(' ').len());
                    }
                    out.push('\n');
                    column = 0;
                }
                out.push_str(word);
                column += word.chars().count();
            }
            out.push('\n');
        }
        out
    }

    #[test]
    fn every_form_is_whole_again_at_any_width() {
        for text in [DUMP, &counted(), LISTING] {
            assert_eq!(mend(text), None);
            for width in [80, 100, 120, 130] {
                let wrapped = at_column(text, width);
                assert_eq!(mend(&wrapped), Some((text.to_owned(), vec![Mended::Wrapped(width)])), "{wrapped}");
            }
        }
        for text in [DUMP, &counted()] {
            for (width, blank) in [(60, true), (60, false), (72, true), (72, false), (80, true), (80, false)] {
                let wrapped = at_word(text, width, blank);
                let Some((whole, what)) = mend(&wrapped) else { panic!("{wrapped}") };
                assert_eq!(whole, text, "{width}");
                assert!(matches!(what[..], [Mended::Wrapped(_)]), "{what:?}");
            }
        }
    }

    #[test]
    fn every_form_is_left_out_where_it_was_cut() {
        for (text, widths) in [(counted(), [80, 100, 110]), (LISTING.to_owned(), [80, 85, 120])] {
            for width in widths {
                let cut: String =
                    text.lines().map(|line| line.chars().take(width).chain(['\n']).collect::<String>()).collect();
                let Some((left, what)) = mend(&cut) else { panic!("{cut}") };
                assert_eq!(what, [Mended::Chopped(width)]);
                let mut left = left.lines().filter(|line| *line != "--");
                assert!(left.all(|line| text.lines().any(|whole| whole == line)), "{cut}");
            }
        }
    }

    #[test]
    fn what_was_wrapped_is_whole_again_at_any_width() {
        for width in [50, 64, 80, 100, 110] {
            let wrap = |line: &str| {
                let chars: Vec<char> = line.chars().collect();
                let parts = chars.chunks(width).map(|part| part.iter().collect::<String>() + "\n");
                parts.collect::<String>()
            };
            let wrapped: String = DUMP.lines().map(wrap).collect();
            assert_eq!(mend(&wrapped), Some((DUMP.to_owned(), vec![Mended::Wrapped(width)])), "{wrapped}");
        }
    }

    #[test]
    fn what_was_cut_is_left_out() {
        for width in [70, 90, 100] {
            let cut: String =
                DUMP.lines().map(|line| line.chars().take(width).chain(['\n']).collect::<String>()).collect();
            let Some((text, what)) = mend(&cut) else { panic!("{cut}") };
            assert_eq!(what, [Mended::Chopped(width)]);
            let left: Vec<&str> = text.lines().filter(|line| *line != "--").collect();
            assert!(left.iter().all(|line| DUMP.lines().any(|whole| whole == *line)), "{text}");
        }
    }

    #[test]
    fn rules_that_iptables_could_not_print_are_whole() {
        let garbled =
            "-A KUBE-SEP-YKINUIM5IPE47EYF -p tcp -m comment --comment \"a/b\" -m tcp -j DNAT [unsupported revision]\n";
        assert_eq!(mend(&garbled.repeat(9)), None);
        assert_eq!(mend(&"-A KUBE-SEP-YKINUIM5IPE47EYF -p tcp -m tcp -g SOMEWHERE\n".repeat(9)), None);
        let row =
            "DNAT       6    --  0.0.0.0/0            0.0.0.0/0            /* a/b */ tcp [unsupported revision]\n";
        assert_eq!(mend(&row.repeat(9)), None);
    }
}
