//! Parses the rows of `iptables -L`, with any of `-n`, `-v`, `-x` and `--line-numbers`.
//!
//! A row holds what `-S` holds, in words of its own (`tcp dpt:80`, `MARK or 0x4000`), so it becomes the same
//! [`Rule`]. Three things make rows treacherous: long targets push the columns aside, a rule without a target has one
//! column less, and ip6tables may leave the column `opt` empty.

use std::borrow::Cow;

use super::error::RuleError;
use super::rule::{Counters, Match, Rule, Target};
use super::words::Words;
use crate::net::{Network, Protocol};

/// Which columns stand around the fixed ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Columns {
    numbers: bool,
    counters: bool,
    interfaces: bool,
}

impl Columns {
    /// Reads the heading `num   pkts bytes target     prot opt in     out     source               destination`.
    pub(super) fn of_heading(line: &str) -> Option<Self> {
        let has = |name: &str| line.split_ascii_whitespace().any(|w| w == name);
        let is_heading = has("target") && has("prot") && has("source") && has("destination");
        is_heading.then(|| Self { numbers: has("num"), counters: has("pkts"), interfaces: has("in") && has("out") })
    }

    /// The column of the target: it, or the protocol of a row without one.
    pub(super) fn target(self, row: &str) -> Option<&str> {
        row.split_ascii_whitespace().nth(usize::from(self.numbers) + 2 * usize::from(self.counters))
    }

    /// Tells the columns from a row, for a listing that lost its headings (`| grep KUBE`).
    pub(super) fn guess(line: &str) -> Option<Self> {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let option = words.iter().position(|w| is_opt(w))?;
        let is_count = |w: &&str| parse_count(w).is_some();
        let leading = words[..option.checked_sub(1)?].iter().take_while(|w| is_count(w)).count();
        let interfaces = words.get(option + 1).is_some_and(|w| address(w).is_none());
        Some(Self { numbers: leading % 2 == 1, counters: leading >= 2, interfaces })
    }
}

/// `Chain KUBE-SVC-X (1 references)` or `Chain INPUT (policy ACCEPT 0 packets, 0 bytes)`: name and policy.
pub(super) fn chain_heading(line: &str) -> Option<(&str, Option<&str>)> {
    let (name, rest) = line.strip_prefix("Chain ")?.split_once(" (")?;
    let policy = rest.strip_prefix("policy ").map(|p| p.split([' ', ')']).next().unwrap_or(p));
    (policy.is_some() || rest.contains("references")).then_some((name, policy))
}

/// How many rules lead to the chain of a heading: `Chain KUBE-SVC-X (2 references)`.
pub(super) fn references(line: &str) -> u64 {
    let told = line.rsplit_once(" (").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
    told.unwrap_or_default()
}

/// True if a line can be a row: it has the column `opt`, or (ip6tables may leave that empty) two addresses. The longest
/// row has ten words before its matches.
pub(in crate::dump) fn is_row(line: &str) -> bool {
    let words = || line.split_ascii_whitespace().take(10);
    words().any(is_opt) || words().filter(|w| address(w).is_some()).count() >= 2
}

/// Parses a row into `rule`, which is empty.
pub(super) fn parse<'a>(line: &'a str, columns: Columns, rule: &mut Rule<'a>) -> Result<(), RuleError> {
    let mut row = Row { words: Words::new(line, 0), rule };
    row.fixed(columns)?;
    row.extensions()?;
    if !columns.interfaces && (asks_for_pods(rule) || ends_everything(rule)) {
        rule.matches.push(Match::Module { name: "", words: Vec::new() });
    }
    Ok(())
}

/// True for the rule by which pods use every endpoint under Local policy, where no network tells pods: it names their interface, in
/// a column that `-L` without `-v` leaves out (`BridgeInterface` and `InterfaceNamePrefix` of `detectLocalMode`).
fn asks_for_pods(rule: &Rule<'_>) -> bool {
    let has_network = || rule.matches.iter().any(|m| matches!(m, Match::Source { .. }));
    rule.comment().is_some_and(|comment| comment.starts_with("pod traffic for ")) && !has_network()
}

/// True for a verdict on every packet, which mostly is one on those of an interface: of `lo` (firewalls), of Docker's or libvirt's
/// bridge. kube-proxy writes none without a condition that is printed.
fn ends_everything(rule: &Rule<'_>) -> bool {
    let is_verdict =
        matches!(rule.target.as_ref().map(|target| target.name), Some("ACCEPT" | "DROP" | "REJECT" | "RETURN"));
    is_verdict && rule.matches.iter().all(|m| matches!(m, Match::Comment(_)))
}

fn is_opt(word: &str) -> bool {
    matches!(word, "--" | "-f" | "!f")
}

/// A source or destination column: negated, and the network (`None` for everywhere).
fn address(word: &str) -> Option<(bool, Option<&str>)> {
    let (not, text) = negation(word);
    match text {
        "anywhere" => return Some((not, None)),
        // What `-L` without `-n` makes of the loopback addresses.
        "localhost" => return Some((not, Some("127.0.0.1"))),
        "loopback/8" => return Some((not, Some("127.0.0.0/8"))),
        _ => {}
    }
    let network = Network::parse(text)?;
    Some((not, (!network.is_everything()).then_some(text)))
}

fn is_protocol(word: &str) -> bool {
    let (_, name) = negation(word);
    matches!(name, "all" | "0") || Protocol::parse(name).is_some()
}

/// A count, which `-v` without `-x` abbreviates by powers of a thousand: the number, and whether it is exact.
fn parse_count(word: &str) -> Option<(u64, bool)> {
    if let Ok(count) = word.parse() {
        return Some((count, true));
    }
    let scale = match word.as_bytes().last()? {
        b'K' => 1_000,
        b'M' => 1_000_000,
        b'G' => 1_000_000_000,
        b'T' => 1_000_000_000_000,
        b'P' => 1_000_000_000_000_000,
        _ => return None,
    };
    word[..word.len() - 1].parse::<u64>().ok()?.checked_mul(scale).map(|count| (count, false))
}

/// A row being read.
pub(super) struct Row<'r, 'a> {
    pub(super) words: Words<'a>,
    pub(super) rule: &'r mut Rule<'a>,
}

impl<'a> Row<'_, 'a> {
    fn fixed(&mut self, columns: Columns) -> Result<(), RuleError> {
        if columns.numbers {
            self.text("a rule number")?;
        }
        if columns.counters {
            let (packets, exact_packets) = self.count("a packet count")?;
            let (bytes, exact_bytes) = self.count("a byte count")?;
            self.rule.counters = Some(Counters { packets, bytes, exact: exact_packets && exact_bytes });
        }
        let protocol = self.target_and_protocol()?;
        let (input, output) = if columns.interfaces {
            (Some(self.text("an input interface")?), Some(self.text("an output interface")?))
        } else {
            (None, None)
        };
        for source in [true, false] {
            let word = self.text("an address")?;
            // Without `-n` an address may be a name, which nobody can resolve here; it is kept as it stands.
            let (not, name) = negation(word);
            let (not, network) = address(word).unwrap_or((not, Some(name)));
            if let Some(network) = network {
                self.rule.matches.push(if source {
                    Match::Source { not, network }
                } else {
                    Match::Destination { not, network }
                });
            }
        }
        for (name, input) in [(input, true), (output, false)] {
            if let Some(name) = name.filter(|name| !matches!(*name, "*" | "any")) {
                let (not, name) = negation(name);
                self.rule.matches.push(if input {
                    Match::InInterface { not, name }
                } else {
                    Match::OutInterface { not, name }
                });
            }
        }
        let (not, name) = negation(protocol);
        if !matches!(name, "all" | "0") {
            self.rule.matches.push(Match::Protocol { not, name: protocol_name(name) });
        }
        Ok(())
    }

    /// Reads `[target] prot [opt]` and gives the protocol.
    fn target_and_protocol(&mut self) -> Result<&'a str, RuleError> {
        let first = self.text("a target or protocol")?;
        let second = self.words.peek().map(|w| w.text.into_owned()).unwrap_or_default();
        // The word behind the protocol is `opt` or, where ip6tables left that empty, an interface or address.
        if is_opt(&second) || (is_protocol(first) && !is_protocol(&second)) {
            self.skip_opt()?;
            return Ok(first);
        }
        self.rule.target = Some(Target { name: first, goto: false, options: Vec::new() });
        let protocol = self.text("a protocol")?;
        self.skip_opt()?;
        Ok(protocol)
    }

    fn skip_opt(&mut self) -> Result<(), RuleError> {
        if let Some(opt) = self.words.peek().filter(|word| is_opt(&word.text)) {
            self.words.next()?;
            if opt.text != "--" {
                self.rule.matches.push(Match::Fragment { not: opt.text == "!f" });
            }
        }
        Ok(())
    }

    /// The next word, which must be there; `expected` says what it is.
    pub(super) fn text(&mut self, expected: &'static str) -> Result<&'a str, RuleError> {
        let at = self.words.position();
        match self.words.expect(expected)?.text {
            Cow::Borrowed(text) => Ok(text),
            Cow::Owned(text) => Err(RuleError::new(at, expected, Some(&text))),
        }
    }

    fn count(&mut self, expected: &'static str) -> Result<(u64, bool), RuleError> {
        let at = self.words.position();
        let text = self.text(expected)?;
        parse_count(text).ok_or_else(|| RuleError::new(at, expected, Some(text)))
    }
}

/// A value that `!` may stand before: negated, and the value.
pub(super) fn negation(text: &str) -> (bool, &str) {
    match text.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, text),
    }
}

/// The name `-S` would print for a protocol number; other numbers stay numbers.
fn protocol_name(text: &str) -> &str {
    match text {
        "1" => "icmp",
        "6" => "tcp",
        "17" => "udp",
        "58" => "ipv6-icmp",
        "132" => "sctp",
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(heading: &str, line: &'static str) -> Rule<'static> {
        let mut rule = Rule::default();
        parse(line, Columns::of_heading(heading).expect("a heading"), &mut rule).expect("a row");
        rule
    }

    const PLAIN: &str = "target     prot opt source               destination         ";
    const VERBOSE: &str = " pkts bytes target     prot opt in     out     source               destination         ";

    #[test]
    fn a_row_says_what_the_rule_says() {
        let rule = row(
            PLAIN,
            "KUBE-MARK-MASQ  6    -- !10.244.0.0/16        10.96.0.10           /* a/b cluster IP */ tcp dpt:53",
        );
        assert_eq!(
            rule.emit(),
            r#"! -s 10.244.0.0/16 -d 10.96.0.10 -p tcp -m comment --comment "a/b cluster IP" -m tcp --dport 53 -j KUBE-MARK-MASQ"#
        );
    }

    #[test]
    fn counters_and_interfaces_have_columns_of_their_own() {
        let rule =
            row(VERBOSE, "  12M  600 MASQUERADE all  --  *      !docker0  172.17.0.0/16        0.0.0.0/0           ");
        assert_eq!(rule.counters, Some(Counters { packets: 12_000_000, bytes: 600, exact: false }));
        assert_eq!(rule.emit(), "-s 172.17.0.0/16 ! -o docker0 -j MASQUERADE");
    }

    #[test]
    fn the_rule_for_pods_names_their_interface_or_their_network() {
        let is_hidden = |rule: Rule<'_>| rule.matches.iter().any(Match::is_hidden);
        let comment = "/* pod traffic for a/b external destinations */";
        let everywhere = format!("KUBE-SVC-X  all  --  0.0.0.0/0   0.0.0.0/0   {comment}");
        let network = format!("KUBE-SVC-X  all  --  10.244.0.0/16   0.0.0.0/0   {comment}");
        let seen = format!("  0  0 KUBE-SVC-X  all  --  cni0   *   0.0.0.0/0   0.0.0.0/0   {comment}");
        assert!(is_hidden(row(PLAIN, everywhere.leak())));
        assert!(!is_hidden(row(PLAIN, network.leak())));
        assert!(!is_hidden(row(VERBOSE, seen.leak())));
    }

    #[test]
    fn a_verdict_on_everything_may_be_one_on_an_interface() {
        let unknown = |heading: &'static str, line: &'static str| row(heading, line).unknown_modules().count();
        assert_eq!(unknown(PLAIN, "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0           "), 1);
        assert_eq!(unknown(PLAIN, "ACCEPT     all  --  0.0.0.0/0            10.0.0.0/8          "), 0);
        assert_eq!(unknown(PLAIN, "MASQUERADE  all  --  0.0.0.0/0            0.0.0.0/0           "), 0);
        assert_eq!(
            unknown(
                VERBOSE,
                "    0     0 ACCEPT     all  --  *      *       0.0.0.0/0            0.0.0.0/0           "
            ),
            0
        );
    }

    #[test]
    fn a_rule_without_target_has_one_column_less() {
        let heading = format!("num  {PLAIN}");
        let rule = row(&heading, "3               0    --  0.0.0.0/0            0.0.0.0/0            /* only said */");
        assert_eq!(rule.target, None);
        assert_eq!(rule.comment(), Some("only said"));
    }

    #[test]
    fn ip6tables_may_leave_opt_empty() {
        let rule = row(
            PLAIN,
            "KUBE-NODEPORTS  all      anywhere            !localhost6 /* x */"
                .replace("!localhost6", "!::1/128")
                .leak(),
        );
        assert_eq!(rule.emit(), "! -d ::1/128 -m comment --comment x -j KUBE-NODEPORTS");
        let bare = row(PLAIN, "           all      ::/0                 ::/0");
        assert_eq!((bare.target, bare.matches), (None, Vec::new()));
    }

    #[test]
    fn marks_become_what_s_prints() {
        for (printed, emitted) in [
            ("MARK or 0x4000", "-j MARK --set-xmark 0x4000/0x4000"),
            ("MARK xor 0x4000", "-j MARK --set-xmark 0x4000/0x0"),
            ("MARK set 0x1", "-j MARK --set-xmark 0x1/0xffffffff"),
        ] {
            let line = format!("MARK       0    --  0.0.0.0/0            0.0.0.0/0            {printed}");
            assert_eq!(row(PLAIN, line.leak()).emit(), emitted);
        }
    }

    #[test]
    fn unknown_words_are_kept_as_a_condition() {
        let rule = row(PLAIN, "ACCEPT     all  --  0.0.0.0/0            0.0.0.0/0            limit: avg 5/min burst 5");
        let [Match::Module { name: "", words }] = rule.matches.as_slice() else { panic!("{rule:?}") };
        assert_eq!(words.len(), 5);
    }

    #[test]
    fn columns_are_guessed_where_the_heading_is_lost() {
        let guess = |line| Columns::guess(line).expect("a row");
        let plain = Columns { numbers: false, counters: false, interfaces: false };
        assert_eq!(guess("KUBE-SVC-X  6    --  0.0.0.0/0  10.96.0.10  tcp dpt:53"), plain);
        assert_eq!(guess("3   0    --  0.0.0.0/0  0.0.0.0/0"), Columns { numbers: true, ..plain });
        assert_eq!(guess("0 0 X 6 -- * * 0.0.0.0/0 0.0.0.0/0"), Columns { counters: true, interfaces: true, ..plain });
    }

    #[test]
    fn errors_name_column_and_expectation() {
        let columns = Columns::of_heading(PLAIN).expect("a heading");
        let error = parse("KUBE-SVC-X  tcp  --  0.0.0.0/0", columns, &mut Rule::default()).expect_err("cut off");
        assert_eq!(error.to_string(), "column 31: expected an address, found the end of the line");
    }
}
