//! The contract as JSON and YAML.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::ops::Range;

use serde::Serialize;

use super::endpoints;
use super::text::is_unsafe;
use crate::cores;
use crate::plain_json::is_plain;
use crate::report::{Any, Document, Services};

/// So many bytes are written at once.
const AT_ONCE: usize = 1 << 16;

/// So many endpoints are turned into text at once, by each core: about a quarter of a megabyte.
const ENDPOINTS_AT_ONCE: usize = 1000;

/// Writes `document` as indented JSON, for people. Characters a terminal would act on are written as escapes, which JSON
/// allows in every string.
pub fn json(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut out = Escaping::of(out);
    serde_json::to_writer_pretty(&mut out, document)?;
    out.finish()
}

/// The same on one line, for readers that take a stream line by line.
pub fn json_line(document: &impl Serialize, out: &mut dyn Write) -> io::Result<()> {
    let mut out = Escaping::of(out);
    serde_json::to_writer(&mut out, document)?;
    out.finish()
}

/// The same for programs: without indentation, which would be half of it, and with a line for each service port. These are
/// shared out among the processor's cores.
pub fn json_lines(document: &Any, out: &mut dyn Write) -> io::Result<()> {
    match document {
        Any::Services(document) if !document.services.is_empty() => {
            let mut out = Escaping::of(out);
            services(document, &mut out)?;
            out.finish()
        }
        other => json_line(other, out),
    }
}

/// Writes the document of `show` or `list`, whose service ports come last in it.
fn services(document: &Document, out: &mut Escaping<'_>) -> io::Result<()> {
    let (source, watch) = (document.source.clone(), document.watch.clone());
    let frame = Document { services: Services::default(), source, watch, ..*document };
    let frame = serde_json::to_string(&frame)?;
    let (before, behind) = frame.rsplit_once("[]").unwrap_or((&frame, ""));
    out.write_all(before.as_bytes())?;
    out.write_all(b"[")?;
    out.pass_pending()?;
    // A reader may be slower than all cores, and what was made is written while more is made.
    let make = |range: &Range<usize>, text: &mut Vec<u8>| part(&document.services, range.clone(), text);
    cores::texts(&ranges(&document.services), make, |text| out.out.write_all(text))?;
    out.write_all(b"\n]")?;
    out.write_all(behind.as_bytes())
}

/// Parts of a list with about as many endpoints each.
fn ranges(services: &Services) -> Vec<Range<usize>> {
    let (mut ranges, mut start, mut size) = (Vec::new(), 0, 0);
    for at in 0..services.len() {
        size += 1 + services.size(at);
        if size >= ENDPOINTS_AT_ONCE || at + 1 == services.len() {
            ranges.push(start..at + 1);
            (start, size) = (at + 1, 0);
        }
    }
    ranges
}

/// The members of a list in this range, as they stand in the document.
fn part(services: &Services, range: Range<usize>, text: &mut Vec<u8>) -> io::Result<()> {
    let mut frame = Vec::new();
    for (at, (service, pools)) in range.clone().zip(services.without_endpoints(range)) {
        text.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
        frame.clear();
        serde_json::to_writer(&mut frame, &service)?;
        endpoints::put(harmless(&frame).as_deref().unwrap_or(&frame), pools, text)?;
    }
    Ok(())
}

/// Escapes what is written. Every write ends where a character does, as serde_json's do.
struct Escaping<'o> {
    out: &'o mut dyn Write,
    /// What was not looked at yet.
    pending: Vec<u8>,
}

impl<'o> Escaping<'o> {
    fn of(out: &'o mut dyn Write) -> Self {
        Self { out, pending: Vec::with_capacity(AT_ONCE) }
    }

    /// Ends the document with its line.
    fn finish(mut self) -> io::Result<()> {
        self.write_all(b"\n")?;
        self.flush()
    }

    fn pass_pending(&mut self) -> io::Result<()> {
        let pending = std::mem::take(&mut self.pending);
        self.pass_on(&pending)?;
        self.pending = pending;
        self.pending.clear();
        Ok(())
    }

    fn pass_on(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(harmless(bytes).as_deref().unwrap_or(bytes))
    }
}

impl Write for Escaping<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pending.len() + bytes.len() > AT_ONCE {
            self.pass_pending()?;
        }
        if bytes.len() > AT_ONCE {
            self.pass_on(bytes)?;
        } else {
            self.pending.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.pass_pending()?;
        self.out.flush()
    }
}

/// `document` as YAML, with the same guarantee. It is made of the JSON: a writer of YAML for each type of the contract would
/// be a large part of the program.
///
/// Plain YAML strings know no escapes, so a document that needs some is written in the form of JSON, which is YAML too.
pub fn yaml(document: &impl Serialize) -> Result<String, String> {
    let mut text = Vec::new();
    json(document, &mut text).map_err(|e| e.to_string())?;
    let text = String::from_utf8(text).map_err(|e| e.to_string())?;
    let mut from = serde_json::Deserializer::from_str(&text);
    let yaml = serde_saphyr::to_string(&serde_transcode::Transcoder::new(&mut from)).map_err(|e| e.to_string())?;
    Ok(if yaml.chars().any(needs_escape) { text } else { yaml })
}

/// The text with its escapes, unless it surely needs none, as nearly all does.
pub(super) fn harmless(text: &[u8]) -> Option<Vec<u8>> {
    (!is_plain(text)).then(|| escaped(&String::from_utf8_lossy(text)).into_bytes())
}

fn needs_escape(c: char) -> bool {
    c != '\n' && is_unsafe(c)
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for c in text.chars() {
        if needs_escape(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::{
        AboutEndpoint, Address, Client, Endpoint, Mode, Policy, Pool, ServiceName, ServicePort, Stale, State, Traffic,
    };
    use crate::net::{Family, Protocol};
    use crate::report::{Header, Kind, Quotes, document};

    #[test]
    fn service_ports_are_written_as_the_whole_is() {
        let address = |n: u8| Address::Socket([10, 0, 0, n].into(), 8080);
        let plain = Endpoint { probability: Some(1.0 / 3.0), ..Endpoint::blank(address(1), "KUBE-SEP-A") };
        let pod = AboutEndpoint {
            pod: Some("a/\"b\"".into()),
            node: Some("node1".into()),
            local: Some(true),
            state: State::Stale(Stale::Deleted),
            wanted: None,
        };
        let traffic = Traffic {
            packets: Some(7),
            clients: Some(vec![Client { address: [10, 0, 0, 9].into(), expires: None }]),
            ..Traffic::default()
        };
        let rich = Endpoint {
            draining: true,
            traffic: traffic.kept(),
            about: Some(Box::new(pod)),
            ..Endpoint::blank(Address::UnknownPort([10, 0, 0, 2].into()), "KUBE-SEP-\u{202e}")
        };
        let lost = Endpoint::blank(Address::Unknown, "KUBE-SEP-C");
        let pool =
            |endpoints| Pool { endpoints, ..Pool::blank(Policy::Cluster, "KUBE-SVC-\"endpoints\": []".to_owned()) };
        let pools = [vec![pool(vec![plain, rich]), pool(Vec::new()), pool(vec![lost])], Vec::new()];
        let services = pools.map(|pools| ServicePort {
            name: ServiceName::parse("a/b:c"),
            key: "A".to_owned(),
            protocol: Some(Protocol::Tcp),
            family: Family::Ipv4,
            frontends: Vec::new(),
            pools,
            affinity_seconds: None,
            other_affinity: Vec::new(),
            draining: Vec::new(),
            dead_ends: Vec::new(),
            repeated: Vec::new(),
            of_proxy: true,
            about: None,
        });
        let header = Header {
            mode: Mode::Iptables,
            backend: None,
            from: "f".to_owned(),
            tables: Vec::new(),
            families: Vec::new(),
            node: None,
            objects: None,
            partial: false,
            watch: None,
        };
        let document = document(Kind::List, &header, services.to_vec(), &[], &Quotes::default());
        let (mut whole, mut answer) = (Vec::new(), Vec::new());
        json_line(&document, &mut whole).expect("it is written");
        json_lines(&Any::Services(document), &mut answer).expect("it is written");
        let answer = String::from_utf8(answer).expect("it is text");
        assert_eq!(answer.lines().collect::<String>(), String::from_utf8_lossy(&whole).trim_end());
        let begins: Vec<&str> = answer.lines().map(|line| line.split(':').next().expect("a member")).collect();
        assert_eq!(begins, ["{\"schema\"", "{\"service\"", "{\"service\"", "]}"]);
    }

    #[test]
    fn what_steers_a_terminal_is_escaped_wherever_it_is_cut() {
        for length in [10, AT_ONCE - 3, AT_ONCE, 3 * AT_ONCE] {
            let text = "\u{202e}".repeat(length / 3) + "\u{9b}end";
            let mut out = Vec::new();
            json_line(&text, &mut out).expect("it is written");
            assert_eq!(out, format!("\"{}\\u009bend\"\n", "\\u202e".repeat(length / 3)).into_bytes());
        }
    }
}
