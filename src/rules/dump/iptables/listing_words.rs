//! What matches and targets print behind the columns of a row of `iptables -L`.
//!
//! Each extension has words of its own (`tcp dpt:80`, `statistic mode random probability 0.5`, `to:10.0.0.1:80`). Words
//! of an extension not known here are kept as a condition nobody can judge.

use std::borrow::Cow;

use super::error::RuleError;
use super::listing::{Row, negation};
use super::rule::{AddrType, Match, Ports, Recent, RecentVerb, Side, Statistic, Word};

impl<'a> Row<'_, 'a> {
    /// What matches and target print behind the columns.
    pub(super) fn extensions(&mut self) -> Result<(), RuleError> {
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
