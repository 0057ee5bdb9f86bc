//! The contract as JSON and YAML.

use std::fmt::Write as _;
use std::io::{self, Write};

use serde::Serialize;

use super::text::is_unsafe;

/// Writes `document` as indented JSON. Characters a terminal would act on are written as escapes, which JSON allows in
/// every string.
pub fn json(document: &impl Serialize, out: impl Write) -> io::Result<()> {
    let mut out = Escaping(io::BufWriter::with_capacity(1 << 16, out));
    serde_json::to_writer_pretty(&mut out, document)?;
    out.0.write_all(b"\n")?;
    out.0.flush()
}

/// The same on one line, for readers that take a stream line by line.
pub fn json_line(document: &impl Serialize, out: impl Write) -> io::Result<()> {
    let mut out = Escaping(io::BufWriter::with_capacity(1 << 16, out));
    serde_json::to_writer(&mut out, document)?;
    out.0.write_all(b"\n")?;
    out.0.flush()
}

/// Escapes what is written. Every write is whole text, as serde_json's are.
struct Escaping<W>(W);

impl<W: Write> Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Nearly everything is plain ASCII, which is told faster than what may need an escape.
        if bytes.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n')) {
            self.0.write_all(bytes)?;
            return Ok(bytes.len());
        }
        match std::str::from_utf8(bytes) {
            Ok(text) if text.chars().any(needs_escape) => self.0.write_all(escaped(text).as_bytes())?,
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// `document` as YAML, with the same guarantee.
///
/// Plain YAML strings know no escapes, so a document that needs some is written in the form of JSON, which is YAML too.
pub fn yaml(document: &impl Serialize) -> Result<String, String> {
    let text = serde_saphyr::to_string(document).map_err(|e| e.to_string())?;
    if !text.chars().any(needs_escape) {
        return Ok(text);
    }
    let mut escaped = Vec::new();
    json(document, &mut escaped).map_err(|e| e.to_string())?;
    String::from_utf8(escaped).map_err(|e| e.to_string())
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
