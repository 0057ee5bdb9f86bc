//! Parses one rule in the form of `iptables -S`, `iptables-save` and `iptables-restore` input.
//!
//! More is accepted than iptables writes: matches in any order, options without their `-m`, unquoted comments of several
//! words, negation before or after the option, matches after the target. kube-proxy's own restore input and rules typed
//! by people need it.

use std::borrow::Cow;

use super::error::RuleError;
use super::phrases;
use super::rule::{AddrType, Counters, Match, Ports, Recent, RecentVerb, Rule, Side, Statistic, Target, Word};
use super::words::Words;

/// Parses `line` from byte `at`, which is behind the chain's name, into `rule`, which is empty. The target's options go
/// into `options`, which is empty too.
pub(super) fn parse<'a>(
    line: &'a str,
    at: usize,
    rule: &mut Rule<'a>,
    options: Vec<Word<'a>>,
) -> Result<(), RuleError> {
    let mut words = Words::new(line, at);
    let options = phrases::read(&mut words, rule, options);
    parse_words(words, rule, options)
}

/// Parses what `words` are left into `rule`.
pub(super) fn parse_words<'a>(words: Words<'a>, rule: &mut Rule<'a>, options: Vec<Word<'a>>) -> Result<(), RuleError> {
    Parser { words, rule, options, not: false, not_at: 0 }.run()
}

/// Reads `[packets:bytes]`.
pub(super) fn bracketed_counters(text: &str) -> Option<Counters> {
    let (packets, bytes) = text.strip_prefix('[')?.strip_suffix(']')?.split_once(':')?;
    Some(Counters { packets: packets.parse().ok()?, bytes: bytes.parse().ok()?, exact: true })
}

struct Parser<'r, 'a> {
    words: Words<'a>,
    rule: &'r mut Rule<'a>,
    /// Memory for the target's options.
    options: Vec<Word<'a>>,
    /// A `!` was read and waits for its option.
    not: bool,
    not_at: usize,
}

impl<'a> Parser<'_, 'a> {
    fn run(&mut self) -> Result<(), RuleError> {
        loop {
            let at = self.words.position();
            let Some(word) = self.words.next()? else { break };
            if word.text == "!" && !word.quoted {
                (self.not, self.not_at) = (true, at);
                continue;
            }
            self.option(word, at)?;
        }
        if self.not {
            return Err(RuleError::new(self.not_at, "an option after '!'", None));
        }
        Ok(())
    }

    fn option(&mut self, word: Word<'a>, at: usize) -> Result<(), RuleError> {
        match word.text.as_ref() {
            "-s" | "--source" | "--src" => {
                let (not, network) = self.negatable("an address after -s")?;
                self.push(Match::Source { not, network });
            }
            "-d" | "--destination" | "--dst" => {
                let (not, network) = self.negatable("an address after -d")?;
                self.push(Match::Destination { not, network });
            }
            "-p" | "--protocol" | "--proto" => {
                let (not, name) = self.negatable("a protocol after -p")?;
                self.push(Match::Protocol { not, name });
            }
            "-i" | "--in-interface" => {
                let (not, name) = self.negatable("an interface after -i")?;
                self.push(Match::InInterface { not, name });
            }
            "-o" | "--out-interface" => {
                let (not, name) = self.negatable("an interface after -o")?;
                self.push(Match::OutInterface { not, name });
            }
            "-f" | "--fragment" => {
                let not = std::mem::take(&mut self.not);
                self.push(Match::Fragment { not });
            }
            "-m" | "--match" => self.module()?,
            "-j" | "--jump" => self.target(false)?,
            "-g" | "--goto" => self.target(true)?,
            "-c" | "--set-counters" => {
                let packets = self.number("a packet count after -c")?;
                let bytes = self.number("a byte count after -c")?;
                self.rule.counters = Some(Counters { packets, bytes, exact: true });
            }
            "--comment" => self.comment()?,
            "--dport" | "--destination-port" => {
                let value = self.negatable("a port after --dport")?;
                self.ports().destination = Some(value);
            }
            "--sport" | "--source-port" => {
                let value = self.negatable("a port after --sport")?;
                self.ports().source = Some(value);
            }
            _ if self.typed(&word)? => {}
            _ => self.loose(word, at)?,
        }
        Ok(())
    }

    /// `-m NAME`: opens the module its options will belong to.
    fn module(&mut self) -> Result<(), RuleError> {
        let at = self.words.position();
        let name = self.value("a match name after -m")?;
        self.push(match name {
            // Words without a module are kept under no name.
            "" => return Err(RuleError::new(at, "a match name after -m", Some(name))),
            // The comment itself follows as --comment; the module alone says nothing.
            "comment" => return Ok(()),
            "tcp" | "udp" | "sctp" | "dccp" | "udplite" => {
                Match::Ports(Ports { module: Some(name), ..Ports::default() })
            }
            "statistic" => Match::Statistic(Statistic::default()),
            "recent" => Match::Recent(Recent::default()),
            "addrtype" => Match::AddrType(AddrType::default()),
            "mark" => Match::Mark { not: false, value: "" },
            _ => Match::Module { name, words: Vec::new() },
        });
        Ok(())
    }

    /// Options of the modules that have a type of their own; true if `word` was one.
    fn typed(&mut self, word: &Word<'a>) -> Result<bool, RuleError> {
        let flag = word.text.as_ref();
        match self.rule.matches.last() {
            Some(Match::Statistic(_)) => self.statistic(flag),
            Some(Match::Recent(_)) => self.recent(flag),
            Some(Match::AddrType(_)) => self.addrtype(flag),
            Some(Match::Mark { .. }) if flag == "--mark" => {
                let (not, value) = self.negatable("a mark after --mark")?;
                self.replace(Match::Mark { not, value });
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    fn statistic(&mut self, flag: &str) -> Result<bool, RuleError> {
        let (not, value) = match flag {
            "--mode" => (false, self.value("random or nth after --mode")?),
            "--probability" => self.negatable("a probability after --probability")?,
            "--every" => self.negatable("a count after --every")?,
            "--packet" => (false, self.value("a count after --packet")?),
            _ => return Ok(false),
        };
        // Nearly every rule of a large dump has one: it is changed where it is.
        let Some(Match::Statistic(it)) = self.rule.matches.last_mut() else { return Ok(false) };
        match flag {
            "--mode" => it.mode = value,
            "--probability" => (it.not, it.probability) = (not, Some(value)),
            "--every" => (it.not, it.every) = (not, Some(value)),
            _ => it.packet = Some(value),
        }
        Ok(true)
    }

    fn recent(&mut self, flag: &str) -> Result<bool, RuleError> {
        let Some(Match::Recent(mut it)) = self.rule.matches.last().cloned() else { return Ok(false) };
        let verb = match flag {
            "--set" => Some(RecentVerb::Set),
            "--rcheck" => Some(RecentVerb::Check),
            "--update" => Some(RecentVerb::Update),
            "--remove" => Some(RecentVerb::Remove),
            _ => None,
        };
        match flag {
            _ if verb.is_some() => {
                it.verb = verb.unwrap_or_default();
                it.not = std::mem::take(&mut self.not);
            }
            "--seconds" => it.seconds = Some(self.value("seconds after --seconds")?),
            "--hitcount" => it.hitcount = Some(self.value("a count after --hitcount")?),
            "--name" => it.name = Some(self.value("a list's name after --name")?),
            "--mask" => it.mask = Some(self.value("a mask after --mask")?),
            "--reap" => it.reap = true,
            "--rttl" => it.rttl = true,
            "--rsource" => it.side = Some(Side::Source),
            "--rdest" => it.side = Some(Side::Destination),
            _ => return Ok(false),
        }
        self.replace(Match::Recent(it));
        Ok(true)
    }

    fn addrtype(&mut self, flag: &str) -> Result<bool, RuleError> {
        let Some(Match::AddrType(mut it)) = self.rule.matches.last().cloned() else { return Ok(false) };
        match flag {
            "--src-type" => it.source = Some(self.negatable("an address type after --src-type")?),
            "--dst-type" => it.destination = Some(self.negatable("an address type after --dst-type")?),
            "--limit-iface-in" => it.limit_in = true,
            "--limit-iface-out" => it.limit_out = true,
            _ => return Ok(false),
        }
        self.replace(Match::AddrType(it));
        Ok(true)
    }

    /// An option nobody above knows, or a value: it goes to the module it follows, else to a nameless one.
    fn loose(&mut self, word: Word<'a>, at: usize) -> Result<(), RuleError> {
        let option = word.text.starts_with("--") && !word.quoted;
        let not = std::mem::take(&mut self.not);
        let words = match self.rule.matches.last_mut() {
            Some(Match::Module { words, .. }) => words,
            Some(Match::Ports(ports)) => &mut ports.rest,
            _ if option => {
                self.rule.matches.push(Match::Module { name: "", words: Vec::new() });
                let Some(Match::Module { words, .. }) = self.rule.matches.last_mut() else { return Ok(()) };
                words
            }
            _ => return Err(RuleError::new(at, "an option", Some(&word.text))),
        };
        if not {
            words.push(Word { text: Cow::Borrowed("!"), quoted: false });
        }
        words.push(word);
        Ok(())
    }

    /// `--comment`, with the words an unquoted one runs on for.
    fn comment(&mut self) -> Result<(), RuleError> {
        let mut comment = self.words.expect("a comment after --comment")?;
        if !comment.quoted {
            while !matches!(self.words.ahead(), [] | [b'-' | b'"', ..]) && !self.words.at_not() {
                let Some(more) = self.words.next()? else { break };
                let text = comment.text.to_mut();
                text.push(' ');
                text.push_str(&more.text);
            }
        }
        self.push(Match::Comment(comment));
        Ok(())
    }

    fn target(&mut self, goto: bool) -> Result<(), RuleError> {
        let name = self.value("a target")?;
        let mut options = std::mem::take(&mut self.options);
        // A single dash starts an option of the rule again; a target's own options have two.
        while !matches!(self.words.ahead(), [] | [b'-', b'a'..=b'z', ..]) && !self.words.at_not() {
            options.extend(self.words.next()?);
        }
        self.rule.target = Some(Target { name, goto, options });
        Ok(())
    }

    /// The ports match an option belongs to: the last one, or a new one without `-m`.
    fn ports(&mut self) -> &mut Ports<'a> {
        let at = match self.rule.matches.iter().rposition(|m| matches!(m, Match::Ports(_))) {
            Some(at) => at,
            None => {
                self.push(Match::Ports(Ports::default()));
                self.rule.matches.len() - 1
            }
        };
        match &mut self.rule.matches[at] {
            Match::Ports(ports) => ports,
            _ => unreachable!("found by its kind just above"),
        }
    }

    fn push(&mut self, item: Match<'a>) {
        self.rule.matches.push(item);
    }

    fn replace(&mut self, item: Match<'a>) {
        self.rule.matches.pop();
        self.rule.matches.push(item);
    }

    /// A value that may be negated: by a `!` before its option, or (before iptables 1.4.3) before the value.
    fn negatable(&mut self, expected: &'static str) -> Result<(bool, &'a str), RuleError> {
        let mut not = std::mem::take(&mut self.not);
        if self.words.at_not() {
            self.words.next()?;
            not = !not;
        }
        Ok((not, self.value(expected)?))
    }

    fn value(&mut self, expected: &'static str) -> Result<&'a str, RuleError> {
        let at = self.words.position();
        match self.words.expect(expected)?.text {
            Cow::Borrowed(text) => Ok(text),
            Cow::Owned(text) => Err(RuleError::new(at, expected, Some(&text))),
        }
    }

    fn number(&mut self, expected: &'static str) -> Result<u64, RuleError> {
        let at = self.words.position();
        let text = self.value(expected)?;
        text.parse().map_err(|_| RuleError::new(at, expected, Some(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(text: &str) -> Rule<'_> {
        let mut rule = Rule::default();
        parse(text, 0, &mut rule, Vec::new()).expect("a rule");
        rule
    }

    fn error(text: &str) -> String {
        parse(text, 0, &mut Rule::default(), Vec::new()).expect_err("no rule").to_string()
    }

    #[test]
    fn negation_is_kept_wherever_it_stands() {
        let new = rule("! -s 10.0.0.0/8 -j X");
        assert_eq!(new.matches, [Match::Source { not: true, network: "10.0.0.0/8" }]);
        assert_eq!(rule("-s ! 10.0.0.0/8 -j X"), new);
        let port = rule("-m tcp ! --dport 80");
        let expected = Ports { module: Some("tcp"), destination: Some((true, "80")), ..Ports::default() };
        assert_eq!(port.matches, [Match::Ports(expected)]);
    }

    #[test]
    fn restore_input_reads_like_the_dump_of_it() {
        let typed =
            rule("-m comment --comment ns/svc:p80 cluster IP -m tcp -p tcp -d 172.30.0.41 --dport 80 -j KUBE-SVC-X");
        assert_eq!(typed.comment(), Some("ns/svc:p80 cluster IP"));
        assert!(typed.matches.contains(&Match::Destination { not: false, network: "172.30.0.41" }));
        let ports = Ports { module: Some("tcp"), destination: Some((false, "80")), ..Ports::default() };
        assert!(typed.matches.contains(&Match::Ports(ports)));
    }

    #[test]
    fn counters_of_verbose_s_stand_before_the_target() {
        let counted = rule("-p tcp -c 12 345 -j X");
        assert_eq!(counted.counters, Some(Counters { packets: 12, bytes: 345, exact: true }));
    }

    #[test]
    fn unknown_modules_keep_their_words() {
        let set = rule("-m set ! --match-set KUBE-LOOP-BACK dst,dst,src -j ACCEPT");
        let [Match::Module { name: "set", words }] = set.matches.as_slice() else { panic!("{set:?}") };
        let words: Vec<_> = words.iter().map(|w| w.text.as_ref()).collect();
        assert_eq!(words, ["!", "--match-set", "KUBE-LOOP-BACK", "dst,dst,src"]);
    }

    #[test]
    fn recent_keeps_every_option() {
        let sticky = rule("-m recent --rcheck --seconds 600 --reap --name L --mask 255.255.255.255 --rsource -j X");
        let expected = Recent {
            verb: RecentVerb::Check,
            seconds: Some("600"),
            reap: true,
            name: Some("L"),
            mask: Some("255.255.255.255"),
            side: Some(Side::Source),
            ..Recent::default()
        };
        assert_eq!(sticky.matches, [Match::Recent(expected)]);
    }

    #[test]
    fn matches_may_follow_the_target() {
        let rule = rule("-j DNAT --to-destination 10.0.0.1:80 -m comment --comment late");
        assert_eq!(rule.comment(), Some("late"));
        assert_eq!(rule.target.as_ref().and_then(|t| t.option("--to-destination")), Some("10.0.0.1:80"));
    }

    #[test]
    fn garbled_dnat_has_no_destination() {
        let rule = rule("-p tcp -j DNAT --to-destination  --random --to-destination  --random");
        assert_eq!(rule.target.as_ref().and_then(|t| t.option("--to-destination")), None);
    }

    #[test]
    fn errors_name_the_column_and_what_was_expected() {
        assert_eq!(error("-s"), "column 3: expected an address after -s, found the end of the line");
        assert_eq!(error("-p tcp stray -j X"), "column 8: expected an option, found 'stray'");
        assert_eq!(error(r#"-p tcp -m "" "" -j X"#), "column 11: expected a match name after -m, found ''");
        assert_eq!(error("-p tcp !"), "column 8: expected an option after '!', found the end of the line");
        assert_eq!(error("-c one 2 -j X"), "column 4: expected a packet count after -c, found 'one'");
        assert_eq!(
            error(r#"-m comment --comment "cut off"#),
            "column 30: expected a closing quote, found the end of the line"
        );
    }
}
