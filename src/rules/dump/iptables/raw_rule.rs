//! A rule as it stands in the text, to be parsed when it is asked for.

use memchr::{memchr, memmem, memrchr};

use super::error::RuleError;
use super::listing;
use super::rule::{Counters, Rule};
use super::save;
use super::section::Form;
use super::words::is_blank;

/// One rule as it stands in the text.
#[derive(Debug, Clone, Copy)]
pub struct RawRule<'a> {
    /// Line number from 1.
    pub line: u32,
    /// The whole line.
    pub text: &'a str,
    pub(super) form: Form,
}

impl<'a> RawRule<'a> {
    /// Parses the line.
    pub fn parse(&self) -> Result<Rule<'a>, RuleError> {
        let mut rule = Rule::default();
        self.parse_into(&mut rule)?;
        Ok(rule)
    }

    /// The name of the chain, as `-A` has it; of a row of `-L` nothing.
    pub(super) fn chain_name(&self) -> &'a str {
        if self.form != Form::Append {
            return "";
        }
        let (_, end) = behind_chain(self.text);
        self.text[..end].rsplit(' ').next().unwrap_or_default()
    }

    /// The name of the target, without parsing the conditions: `None` for a rule without one, or one that cannot be read.
    pub fn target_name(&self) -> Option<&'a str> {
        let parsed = || Some(self.parse().ok()?.target?.name);
        if !matches!(self.form, Form::Append) {
            return parsed();
        }
        let (text, bytes) = (self.text, self.text.as_bytes());
        // Most rules end in a jump to a chain.
        let space = memrchr(b' ', bytes)?;
        let is_jump = matches!(bytes.get(space.checked_sub(3)?..space), Some(b" -j" | b" -g"));
        if is_jump && !text[space + 1..].bytes().any(is_odd) {
            return Some(&text[space + 1..]);
        }
        let Some(at) = memmem::rfind(bytes, b" -j ") else { return parsed() };
        let rest = &text[at + 4..];
        // Behind a target's name its options may quote anything, even another ` -j `; people write several blanks, tabs,
        // and options of the rule behind the target.
        let is_plain = !rest.starts_with(' ') && !rest.bytes().any(is_odd) && !rest.contains(" -g ");
        // A quote may end right before another.
        if !is_plain || memmem::find(&bytes[..at], b"-j ").is_some() {
            return parsed();
        }
        rest.split(' ').next()
    }

    /// Parses the line into `rule`, whose memory is used again.
    pub fn parse_into(&self, rule: &mut Rule<'a>) -> Result<(), RuleError> {
        rule.matches.clear();
        rule.counters = None;
        let mut options = rule.target.take().map(|target| target.options).unwrap_or_default();
        options.clear();
        match self.form {
            Form::Append => {
                let (counters, body) = behind_chain(self.text);
                rule.counters = counters;
                save::parse(self.text, body, rule, options)
            }
            Form::Listing(columns) => listing::parse(self.text, columns, rule),
        }
    }
}

/// Counters in front, and where the rule goes on behind `-A CHAIN`.
fn behind_chain(line: &str) -> (Option<Counters>, usize) {
    let mut at = indent(line);
    let mut counters = None;
    if line[at..].starts_with('[')
        && let Some(end) = line[at..].find("] -A ")
    {
        counters = save::bracketed_counters(&line[at..=at + end]);
        at += end + 2;
    }
    at += "-A ".len();
    at += indent(&line[at..]);
    let name = memchr(b' ', &line.as_bytes()[at..]).unwrap_or(line.len() - at);
    (counters, at + name)
}

/// True for what makes words end elsewhere than at the next blank.
fn is_odd(byte: u8) -> bool {
    byte == b'"' || (byte != b' ' && is_blank(byte))
}

fn indent(line: &str) -> usize {
    line.bytes().take_while(u8::is_ascii_whitespace).count()
}
