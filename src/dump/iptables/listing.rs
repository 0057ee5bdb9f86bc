//! Parses the rows of `iptables -L`, with any of `-n`, `-v`, `-x` and `--line-numbers`.
//!
//! A row holds what `-S` holds, in words of its own (`tcp dpt:80`, `MARK or 0x4000`), so it becomes the same
//! [`Rule`]. Three things make rows treacherous: long targets push the columns aside, a rule without a target has one
//! column less, and ip6tables may leave the column `opt` empty.

use std::borrow::Cow;

use super::error::RuleError;
use super::rule::{AddrType, Counters, Match, Ports, Recent, RecentVerb, Rule, Side, Statistic, Target, Word};
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

/// True if a line can be a row: it has the column `opt`, or (ip6tables may leave that empty) two addresses. The longest
/// row has ten words before its matches.
pub(super) fn is_row(line: &str) -> bool {
    let words = || line.split_ascii_whitespace().take(10);
    words().any(is_opt) || words().filter(|w| address(w).is_some()).count() >= 2
}

/// Parses a row into `rule`, which is empty.
pub(super) fn parse<'a>(line: &'a str, columns: Columns, rule: &mut Rule<'a>) -> Result<(), RuleError> {
    let mut row = Row { words: Words::new(line, 0), rule };
    row.fixed(columns)?;
    row.extensions()
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

struct Row<'r, 'a> {
    words: Words<'a>,
    rule: &'r mut Rule<'a>,
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
        if self.words.peek().is_some_and(|w| is_opt(&w.text)) {
            self.words.next()?;
        }
        Ok(())
    }

    /// What matches and target print behind the columns.
    fn extensions(&mut self) -> Result<(), RuleError> {
        loop {
            let at = self.words.position();
            let Ok(next) = self.words.next() else {
                // A quote inside a quoted text, as LOG prints it: what follows cannot be told apart.
                let rest = self.words.rest();
                self.opaque(false, Word { text: rest.into(), quoted: false });
                return Ok(());
            };
            let Some(word) = next else { return Ok(()) };
            let not = word.text == "!";
            let word = if not { self.words.expect("a match after '!'")? } else { word };
            match word.text.as_ref() {
                "/*" => self.comment(at)?,
                "[goto]" => self.goto(),
                "tcp" | "udp" | "sctp" | "dccp" | "udplite" => self.ports(&word),
                "statistic" => self.statistic()?,
                "recent:" => self.recent(not)?,
                "ADDRTYPE" => self.addrtype()?,
                "mark" => self.mark()?,
                "MARK" => self.set_mark()?,
                "multiport" => self.multiport()?,
                "ctstate" => self.module("conntrack", not, "--ctstate")?,
                "state" => self.module("state", not, "--state")?,
                "match-set" => self.match_set(not)?,
                "nfacct-name" => self.module("nfacct", not, "--nfacct-name")?,
                "PHYSDEV" => self.physdev()?,
                "random-fully" => self.target_option("--random-fully", None),
                "random" => self.target_option("--random", None),
                "persistent" => self.target_option("--persistent", None),
                "reject-with" => self.valued_option("--reject-with")?,
                "redir" => {
                    self.text("'ports'")?;
                    self.valued_option("--to-ports")?;
                }
                text if text.starts_with("to:") => self.translation(&word),
                _ => self.opaque(not, word),
            }
        }
    }

    /// `/* text */`
    fn comment(&mut self, at: usize) -> Result<(), RuleError> {
        let line = self.words.clone().rest();
        let end = line.find("*/").ok_or_else(|| RuleError::new(at, "'*/' that ends the comment", None))?;
        let text = line[..end].trim_end();
        self.rule.matches.push(Match::Comment(Word { text: text.into(), quoted: true }));
        let behind = self.words.position() + end + 2;
        self.words.seek(behind);
        Ok(())
    }

    fn goto(&mut self) {
        if let Some(target) = &mut self.rule.target {
            target.goto = true;
        }
    }

    /// `tcp dpt:53`, `udp spts:1:2`, `tcp dpt:!80`, or the protocol alone where the match has no condition.
    fn ports(&mut self, module: &Word<'a>) {
        let mut ports = Ports { module: Some(plain_word(module)), ..Ports::default() };
        while let Some(word) = self.words.peek() {
            let Cow::Borrowed(text) = word.text else { break };
            let Some((which, value)) = text.split_once(':') else { break };
            let (not, value) = negation(value);
            match which {
                "dpt" | "dpts" => ports.destination = Some((not, value)),
                "spt" | "spts" => ports.source = Some((not, value)),
                _ => break,
            }
            if self.words.next().is_err() {
                break;
            }
        }
        self.rule.matches.push(Match::Ports(ports));
    }

    /// `statistic mode random probability 0.5`, `statistic mode nth every 3 packet 1`
    fn statistic(&mut self) -> Result<(), RuleError> {
        let mut it = Statistic::default();
        self.text("'mode'")?;
        it.mode = self.text("random or nth")?;
        while let Some(word) = self.words.peek() {
            match word.text.as_ref() {
                "!" => it.not = true,
                "probability" | "every" | "packet" => {}
                _ => break,
            }
            self.words.next()?;
            match word.text.as_ref() {
                "probability" => it.probability = Some(self.text("a probability")?),
                "every" => it.every = Some(self.text("a count")?),
                "packet" => it.packet = Some(self.text("a count")?),
                _ => {}
            }
        }
        self.rule.matches.push(Match::Statistic(it));
        Ok(())
    }

    /// `recent: CHECK seconds: 600 reap name: L side: source mask: 255.255.255.255`
    fn recent(&mut self, not: bool) -> Result<(), RuleError> {
        let mut it = Recent { not, ..Recent::default() };
        while let Some(word) = self.words.peek() {
            let text = word.text.as_ref();
            match text {
                "SET" => it.verb = RecentVerb::Set,
                "CHECK" => it.verb = RecentVerb::Check,
                "UPDATE" => it.verb = RecentVerb::Update,
                "REMOVE" => it.verb = RecentVerb::Remove,
                "reap" => it.reap = true,
                "TTL-Match" => it.rttl = true,
                "seconds:" | "hit_count:" | "name:" | "side:" | "mask:" => {}
                _ => break,
            }
            self.words.next()?;
            match text {
                "seconds:" => it.seconds = Some(self.text("seconds")?),
                "hit_count:" => it.hitcount = Some(self.text("a count")?),
                "name:" => it.name = Some(self.text("a list's name")?),
                "mask:" => it.mask = Some(self.text("a mask")?),
                "side:" => {
                    let side = self.text("source or dest")?;
                    it.side = Some(if side == "source" { Side::Source } else { Side::Destination });
                }
                _ => {}
            }
        }
        self.rule.matches.push(Match::Recent(it));
        Ok(())
    }

    /// `ADDRTYPE match dst-type LOCAL`
    fn addrtype(&mut self) -> Result<(), RuleError> {
        let mut it = AddrType::default();
        self.text("'match'")?;
        while let Some(word) = self.words.peek() {
            let text = word.text.as_ref();
            if !matches!(text, "src-type" | "dst-type" | "limit-in" | "limit-out") {
                break;
            }
            self.words.next()?;
            match text {
                "limit-in" => it.limit_in = true,
                "limit-out" => it.limit_out = true,
                _ => {
                    let (not, types) = negation(self.text("an address type")?);
                    let (not, types) = match types {
                        "" => (not, self.text("an address type")?),
                        types => (not, types),
                    };
                    *(if text == "src-type" { &mut it.source } else { &mut it.destination }) = Some((not, types));
                }
            }
        }
        self.rule.matches.push(Match::AddrType(it));
        Ok(())
    }

    /// `mark match ! 0x4000/0x4000`
    fn mark(&mut self) -> Result<(), RuleError> {
        self.text("'match'")?;
        let first = self.text("a mark")?;
        let (not, value) = if first == "!" { (true, self.text("a mark")?) } else { (false, first) };
        self.rule.matches.push(Match::Mark { not, value });
        Ok(())
    }

    /// `MARK or 0x4000` and relatives, which `-S` writes as one: `--set-xmark value/mask`.
    fn set_mark(&mut self) -> Result<(), RuleError> {
        let verb = self.text("what MARK does")?;
        let value = self.text("a mark")?;
        let xmark = match verb {
            "or" => format!("{value}/{value}"),
            "xor" => format!("{value}/0x0"),
            "set" => format!("{value}/0xffffffff"),
            "xset" => value.to_owned(),
            _ => {
                self.target_option("--and-mark", Some(value.into()));
                return Ok(());
            }
        };
        self.target_option("--set-xmark", Some(xmark.into()));
        Ok(())
    }

    /// `multiport dports 80,443`, `multiport dports  !80,443`
    fn multiport(&mut self) -> Result<(), RuleError> {
        let which = match self.text("sports, dports or ports")? {
            "sports" => "--sports",
            "dports" => "--dports",
            _ => "--ports",
        };
        let (not, ports) = negation(self.text("ports")?);
        let mut words = Vec::with_capacity(3);
        if not {
            words.push(word("!"));
        }
        words.push(word(which));
        words.push(Word { text: ports.into(), quoted: false });
        self.rule.matches.push(Match::Module { name: "multiport", words });
        Ok(())
    }

    fn match_set(&mut self, not: bool) -> Result<(), RuleError> {
        self.module("set", not, "--match-set")?;
        let directions = self.words.expect("the set's dimensions")?;
        self.extend_module(directions);
        Ok(())
    }

    /// `PHYSDEV match ! --physdev-is-in`: printed as it is written.
    fn physdev(&mut self) -> Result<(), RuleError> {
        self.text("'match'")?;
        let mut words = Vec::new();
        while let Some(word) = self.words.peek().filter(|w| w.text == "!" || w.text.starts_with("--physdev")) {
            self.words.next()?;
            words.push(word);
        }
        self.rule.matches.push(Match::Module { name: "physdev", words });
        Ok(())
    }

    fn module(&mut self, name: &'static str, not: bool, flag: &'static str) -> Result<(), RuleError> {
        let mut words = Vec::with_capacity(3);
        if not {
            words.push(word("!"));
        }
        words.push(word(flag));
        words.push(self.words.expect("a value")?);
        self.rule.matches.push(Match::Module { name, words });
        Ok(())
    }

    fn extend_module(&mut self, value: Word<'a>) {
        if let Some(Match::Module { words, .. }) = self.rule.matches.last_mut() {
            words.push(value);
        }
    }

    /// `to:10.0.0.1:80` of DNAT and SNAT
    fn translation(&mut self, word: &Word<'a>) {
        let value = match &word.text {
            Cow::Borrowed(text) => text[3..].into(),
            Cow::Owned(text) => text[3..].to_owned().into(),
        };
        let source = self.rule.target.as_ref().is_some_and(|t| t.name == "SNAT");
        self.target_option(if source { "--to-source" } else { "--to-destination" }, Some(value));
    }

    fn valued_option(&mut self, flag: &'static str) -> Result<(), RuleError> {
        let value = self.words.expect("a value")?;
        self.target_option(flag, Some(value.text));
        Ok(())
    }

    fn target_option(&mut self, flag: &'static str, value: Option<Cow<'a, str>>) {
        if let Some(target) = &mut self.rule.target {
            target.options.push(word(flag));
            target.options.extend(value.map(|text| Word { text, quoted: false }));
        }
    }

    /// Words of an extension not known here. Behind a target that is no chain of kube-proxy they may be its options, but
    /// a condition must not be mistaken for an option, so they are kept as a match.
    fn opaque(&mut self, not: bool, value: Word<'a>) {
        // `[unsupported revision]` belongs to the target: an old iptables met a rule of a newer one.
        if value.text == "[unsupported" {
            if let Some(target) = &mut self.rule.target {
                target.options.push(value);
                target.options.extend(self.words.next().ok().flatten());
            }
            return;
        }
        if !matches!(self.rule.matches.last(), Some(Match::Module { name: "", .. })) {
            self.rule.matches.push(Match::Module { name: "", words: Vec::new() });
        }
        if let Some(Match::Module { words, .. }) = self.rule.matches.last_mut() {
            if not {
                words.push(word("!"));
            }
            words.push(value);
        }
    }

    fn text(&mut self, expected: &'static str) -> Result<&'a str, RuleError> {
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

fn word<'a>(text: &'static str) -> Word<'a> {
    Word { text: text.into(), quoted: false }
}

fn plain_word<'a>(word: &Word<'a>) -> &'a str {
    match word.text {
        Cow::Borrowed(text) => text,
        Cow::Owned(_) => "",
    }
}

fn negation(text: &str) -> (bool, &str) {
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
