//! Gives a dump back the form it lost on its way: line breaks swallowed by a log or a chat, and `iptables-xml`.
//!
//! Both give the text of `iptables-save`; line numbers are then those of the restored text.

use std::fmt::Write as _;

use memchr::{memchr, memmem};
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// How much of a text is looked at to tell what was done to it.
const SAMPLE: usize = 64 * 1024;

/// The beginning of a text, which tells that.
pub(super) fn sample(text: &str) -> &str {
    &text[..text.floor_char_boundary(SAMPLE.min(text.len()))]
}

/// The lines of that beginning, but for one that it cuts.
pub(super) fn sampled_lines(text: &str) -> impl Iterator<Item = &str> {
    let sample = sample(text);
    let is_cut = sample.len() < text.len();
    let end = if is_cut { sample.rfind('\n').unwrap_or(0) } else { sample.len() };
    sample[..end].lines()
}

/// The dump with its line breaks, if it lost them: one line holds many rules.
#[inline]
pub fn restore_line_breaks(text: &str) -> Option<String> {
    let sample = sample(text).as_bytes();
    let lines = memchr::memchr_iter(b'\n', sample).count();
    let rules = memmem::find_iter(sample, b" -A ").count();
    (rules > lines + 1).then(|| broken_into_lines(text))
}

#[inline]
fn broken_into_lines(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_counters = false;
    // Words since `:CHAIN`: the counters behind its policy are its own, any others those of the rule that follows.
    let mut declaring = 3;
    while !rest.is_empty() {
        let word = next_word(rest);
        let begins_line = match word.as_bytes() {
            b"-A" => !after_counters,
            b"-P" | b"-N" | b"COMMIT" | b"#" => true,
            [b':' | b'*', letter, ..] => letter.is_ascii_alphabetic(),
            [b'[', ..] => declaring != 2 && rest[word.len()..].starts_with(" -A "),
            _ => false,
        };
        after_counters = begins_line && word.starts_with('[');
        declaring = if word.starts_with(':') { 1 } else { declaring + 1 };
        if !out.is_empty() && !out.ends_with('\n') {
            out.push(if begins_line { '\n' } else { ' ' });
        }
        out.push_str(word);
        rest = &rest[word.len()..];
        let blanks = rest.trim_ascii_start();
        if rest[..rest.len() - blanks.len()].contains('\n') {
            out.push('\n');
        }
        rest = blanks;
    }
    out
}

/// The word at the start of `text`; blanks in double quotes do not part it.
#[inline]
fn next_word(text: &str) -> &str {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() && !bytes[at].is_ascii_whitespace() {
        at += match bytes[at] {
            b'"' => quoted_len(&bytes[at..]),
            _ => 1,
        };
    }
    &text[..at.min(text.len())]
}

#[inline]
fn quoted_len(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(step) = memchr(b'"', &bytes[at..]) {
        at += step + 1;
        if bytes[at - 2] != b'\\' {
            return at;
        }
    }
    bytes.len()
}

/// The dump that `iptables-xml` was given, or what is wrong with the XML.
///
/// Its elements mirror the command line: `<conditions>` holds modules with their options, `<actions>` the target
/// (iptables, `iptables-xml.c`). `None` if this is not its output.
#[inline]
pub fn restore_xml(text: &str) -> Option<Result<String, String>> {
    sample(text).contains("<iptables-rules").then(|| Xml::default().run(text))
}

#[derive(Default)]
struct Xml {
    path: Vec<String>,
    chains: String,
    rules: String,
    chain: String,
    out: String,
}

impl Xml {
    #[inline]
    fn run(mut self, text: &str) -> Result<String, String> {
        let mut reader = Reader::from_str(text);
        loop {
            let event = reader.read_event().map_err(|e| format!("at byte {}: {e}", reader.error_position()))?;
            match event {
                Event::Start(element) => self.open(&element)?,
                Event::Empty(element) => {
                    self.open(&element)?;
                    self.close();
                }
                Event::End(_) => self.close(),
                Event::Text(value) => self.text(&value),
                Event::GeneralRef(entity) => {
                    let text = quick_xml::escape::resolve_predefined_entity(&entity).unwrap_or_default();
                    self.rules.push_str(text);
                }
                Event::Eof if self.path.is_empty() => return Ok(self.out),
                Event::Eof => return Err(format!("it ends inside <{}>", self.path.join("><"))),
                _ => {}
            }
        }
    }

    #[inline]
    fn open(&mut self, element: &BytesStart<'_>) -> Result<(), String> {
        let name = element.name().as_ref().to_owned();
        let attribute = |key: &str| -> Result<Option<String>, String> {
            let value = element.try_get_attribute(key).map_err(|e| e.to_string())?;
            Ok(value.map(|a| a.value.into_owned()))
        };
        let inside = self.path.iter().rev().map(String::as_str).take(2).collect::<Vec<_>>();
        match (name.as_str(), inside.as_slice()) {
            ("table", _) => {
                let _ = writeln!(self.out, "*{}", attribute("name")?.unwrap_or_default());
            }
            ("chain", _) => {
                self.chain = attribute("name")?.unwrap_or_default();
                let policy = attribute("policy")?.unwrap_or_else(|| "-".to_owned());
                let packets = attribute("packet-count")?.unwrap_or_else(|| "0".to_owned());
                let bytes = attribute("byte-count")?.unwrap_or_else(|| "0".to_owned());
                let _ = writeln!(self.chains, ":{} {policy} [{packets}:{bytes}]", self.chain);
            }
            ("rule", _) => {
                if let (Some(packets), Some(bytes)) = (attribute("packet-count")?, attribute("byte-count")?) {
                    let _ = write!(self.rules, "[{packets}:{bytes}] ");
                }
                let _ = write!(self.rules, "-A {}", self.chain);
            }
            ("match", ["conditions", ..]) | ("call" | "goto", ["actions", ..]) => {}
            (module, ["conditions", ..]) => {
                let _ = write!(self.rules, " -m {module}");
            }
            (target, ["actions", ..] | ["call", "actions"]) => {
                let _ = write!(self.rules, " -j {target}");
            }
            (target, ["goto", "actions"]) => {
                let _ = write!(self.rules, " -g {target}");
            }
            (option, [_, "conditions" | "actions"]) => {
                let not = if attribute("invert")?.as_deref() == Some("1") { " !" } else { "" };
                let dashes = if option.len() == 1 { "-" } else { "--" };
                let _ = write!(self.rules, "{not} {dashes}{option} ");
            }
            _ => {}
        }
        self.path.push(name);
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        match self.path.pop().as_deref() {
            Some("rule") => self.rules.push('\n'),
            Some("table") => {
                self.out.push_str(&std::mem::take(&mut self.chains));
                self.out.push_str(&std::mem::take(&mut self.rules));
                self.out.push_str("COMMIT\n");
            }
            _ => {}
        }
    }

    #[inline]
    fn text(&mut self, value: &str) {
        // Only the innermost elements hold values; elsewhere text is indentation.
        if self.path.iter().any(|p| p == "conditions" || p == "actions") {
            self.rules.push_str(if value.trim().is_empty() { "" } else { value });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn swallowed_line_breaks_come_back_at_the_rules() {
        let text = "# Generated by iptables-save\n*nat\n:PREROUTING ACCEPT [1:60]\n:KUBE-X - [0:0]\n\
             -A KUBE-X -m comment --comment \"a -A b: :c # d\" -j RETURN\n\
             [1:2] -A KUBE-X -j DNAT --to-destination :0 --persistent\n-A KUBE-X -j A\nCOMMIT\n# Completed on Thu";
        assert_eq!(restore_line_breaks(&text.replace('\n', " ")).as_deref(), Some(text));
    }

    #[test]
    fn dumps_with_their_line_breaks_are_left_alone() {
        assert_eq!(restore_line_breaks("*nat\n[0:0] -A X -j Y\n[0:0] -A X -j Z\nCOMMIT\n"), None);
        assert_eq!(restore_line_breaks("-A X -j Y\n"), None);
    }

    #[test]
    fn xml_becomes_the_dump_it_was_made_from() {
        let xml = r#"<iptables-rules version="1.0">
            <table name="nat" ><chain name="PREROUTING" policy="ACCEPT" packet-count="1" byte-count="2" >
              <rule packet-count="3" byte-count="4" >
               <conditions>
                <match ><s invert="1">10.0.0.0/8</s><p >tcp</p></match>
                <comment ><comment >&quot;a b&quot;</comment></comment>
                <tcp ><dport >53</dport></tcp>
               </conditions>
               <actions><call ><KUBE-SERVICES /></call></actions>
              </rule>
              <rule ><actions><DNAT ><to-destination >10.0.0.1:80</to-destination></DNAT></actions></rule>
              <rule ><actions><ACCEPT  /></actions></rule>
            </chain><chain name="KUBE-SERVICES" packet-count="0" byte-count="0" /></table>
            </iptables-rules>"#;
        let text = restore_xml(xml).expect("is xml").expect("is well-formed");
        let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "*nat",
                ":PREROUTING ACCEPT [1:2]",
                ":KUBE-SERVICES - [0:0]",
                r#"[3:4] -A PREROUTING ! -s 10.0.0.0/8 -p tcp -m comment --comment "a b" -m tcp --dport 53 -j KUBE-SERVICES"#,
                "-A PREROUTING -j DNAT --to-destination 10.0.0.1:80",
                "-A PREROUTING -j ACCEPT",
                "COMMIT",
            ]
        );
    }

    #[test]
    fn xml_cut_off_says_so() {
        let cut = restore_xml(r#"<iptables-rules version="1.0"><table name="nat">"#).expect("is xml");
        assert_eq!(cut, Err("it ends inside <iptables-rules><table>".to_owned()));
    }
}
