//! YAML as JSON, which one set of readers then reads.
//!
//! YAML does not say what a plain scalar is: `012` is a label to one reader and a number to the next. Only whole numbers as
//! JSON writes them become numbers here, and nothing does where Kubernetes has texts, so that a version `12345e7`, which
//! kubectl writes without quotes, stays what it is. Of a key that a map has twice the last value counts, as in JSON.

use std::collections::BTreeMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};
use serde::de::DeserializeOwned;

/// Objects of Kubernetes nest some twenty deep.
const DEPTH: usize = 100;

/// kubectl writes no aliases; a person may, a few. So many bytes may they repeat (the "billion laughs").
const REPEATED: usize = 1 << 20;

/// What is told of texts that are built to be large or deep.
const HOSTILE: &str = "it repeats itself or nests more than Kubernetes objects do";

/// Line and column, from 1.
pub(super) type Place = (usize, usize);

/// One document as JSON. Every key and every value begins a line, so that the line of an error tells what it is about.
#[derive(Debug, Default)]
pub(super) struct Document {
    pub(super) json: String,
    /// Where in the YAML what each line of the JSON holds stands.
    places: Vec<Place>,
    /// The document is a map with the key `items`, with a kind.
    has_items: bool,
    has_kind: bool,
    /// A key stands behind `items`.
    goes_on: bool,
    /// The line at which it ends, from 1.
    pub(super) end: usize,
}

impl Document {
    /// Where in the YAML a line of the JSON, from 1, comes from.
    pub(super) fn place(&self, line: usize) -> Option<Place> {
        self.places.get(line.checked_sub(1)?).copied()
    }

    /// True for a list that does not say so. kubectl writes the kind of a list behind its items: it was cut off.
    pub(super) fn is_cut_list(&self) -> bool {
        self.has_items && !self.has_kind
    }

    /// True if what a list holds is all of it. YAML closes nothing: of one that was cut off between two items only what would
    /// stand behind them tells.
    pub(super) fn is_whole(&self) -> bool {
        self.goes_on
    }
}

/// What is wrong with a text that is no YAML.
#[derive(Debug)]
pub(super) struct BadYaml {
    pub(super) at: Place,
    pub(super) what: String,
}

/// What the first document of `text` holds, if it can be read as that.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Option<T> {
    let first = documents(text).next()?.ok()?;
    serde_json::from_str(&first.json).ok()
}

/// The documents of a text that hold something, up to the first that cannot be read.
pub(super) fn documents(text: &str) -> impl Iterator<Item = Result<Document, BadYaml>> {
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut events = Parser::new_from_str_with_options(text, options);
    let documents = std::iter::from_fn(move || document(&mut events).transpose());
    documents.filter(|document| !document.as_ref().is_ok_and(|document| document.json == "null"))
}

/// The next document; `None` behind the last one.
fn document<'t>(
    events: &mut impl Iterator<Item = Result<(Event<'t>, Span), ScanError>>,
) -> Result<Option<Document>, BadYaml> {
    let mut writer = Writer::default();
    for event in events {
        let (event, span) = event.map_err(|error| BadYaml {
            at: (error.marker().line().max(1), error.marker().col() + 1),
            what: match error.kind() {
                ErrorKind::RecursionLimitExceeded => HOSTILE.to_owned(),
                _ => error.info().clone(),
            },
        })?;
        let at = (span.start.line().max(1), span.start.col() + 1);
        let written = match event {
            Event::DocumentEnd => {
                writer.document.end = at.0;
                return writer.finish().map(Some).map_err(|what| BadYaml { at, what: what.to_owned() });
            }
            Event::Scalar(text, style, anchor, tag) => {
                writer.scalar(&text, Scalar::of(style, tag.as_deref()), anchor, at)
            }
            Event::SequenceStart(_, anchor, _) => writer.begin(false, anchor, at),
            Event::MappingStart(_, anchor, _) => writer.begin(true, anchor, at),
            Event::SequenceEnd | Event::MappingEnd => writer.end(at),
            Event::Alias(anchor) => writer.repeat(anchor, at),
            _ => Ok(()),
        };
        written.map_err(|what| BadYaml { at, what: what.to_owned() })?;
    }
    Ok(None)
}

/// How a scalar was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scalar {
    /// In quotes, in a block, or with a tag of text.
    Text,
    /// Without quotes: text, number, truth or nothing.
    Plain,
    /// With a tag that says that it is no text (`!!int`).
    Other,
}

impl Scalar {
    fn of(style: ScalarStyle, tag: Option<&Tag>) -> Self {
        match tag.and_then(Tag::core_suffix) {
            Some("null" | "bool" | "int" | "float") => Self::Other,
            None if style == ScalarStyle::Plain => Self::Plain,
            _ => Self::Text,
        }
    }
}

/// What a key says of its value: Kubernetes has a text there, a map of texts, or something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Meaning {
    Text,
    MapOfTexts,
    Other,
}

impl Meaning {
    fn of(key: &str) -> Self {
        match key {
            "name" | "namespace" | "resourceVersion" => Self::Text,
            "annotations" | "data" | "labels" | "matchLabels" | "selector" => Self::MapOfTexts,
            _ => Self::Other,
        }
    }
}

/// A map or a sequence that is being read.
#[derive(Debug)]
struct Open {
    is_map: bool,
    is_empty: bool,
    /// The values of a map are text whatever they look like.
    of_texts: bool,
    /// The key in front of a value of a map.
    key: Option<Meaning>,
    anchor: usize,
    begin: Position,
}

/// Bytes and lines written before something.
type Position = (usize, usize);

/// A document in the making.
#[derive(Debug, Default)]
struct Writer {
    json: Vec<u8>,
    document: Document,
    open: Vec<Open>,
    /// From where up to where what an anchor names was written.
    anchors: BTreeMap<usize, (Position, Position)>,
    /// How many bytes aliases repeated.
    repeated: usize,
    /// The kind of the document comes next.
    kind_comes: bool,
}

impl Writer {
    fn finish(mut self) -> Result<Document, &'static str> {
        self.document.json = String::from_utf8(self.json).map_err(|_| "it is not UTF-8")?;
        Ok(self.document)
    }

    fn position(&self) -> Position {
        (self.json.len(), self.document.places.len())
    }

    /// Begins the line of a key or a value.
    fn line(&mut self, at: Place) {
        if !self.json.is_empty() {
            self.json.push(b'\n');
        }
        self.document.places.push(at);
    }

    fn text(&mut self, text: &str) -> Result<(), &'static str> {
        serde_json::to_writer(&mut self.json, text).map_err(|_| "a text that cannot be written as JSON")
    }

    /// Parts an item or a key from the one before it.
    fn part(&mut self) {
        if let Some(open) = self.open.last_mut()
            && !std::mem::take(&mut open.is_empty)
        {
            self.json.push(b',');
        }
    }

    fn expects_key(&self) -> bool {
        self.open.last().is_some_and(|open| open.is_map && open.key.is_none())
    }

    /// Begins a value; gives where.
    fn value(&mut self, at: Place) -> Result<Position, &'static str> {
        if self.expects_key() {
            return Err("a key that is no text");
        }
        if self.open.last().is_some_and(|open| !open.is_map) {
            self.part();
        }
        self.line(at);
        Ok(self.position())
    }

    /// Ends a value that `anchor` names, if it is not 0.
    fn ended(&mut self, anchor: usize, begin: Position) {
        if let Some(open) = self.open.last_mut() {
            open.key = None;
        }
        self.kind_comes = false;
        if anchor > 0 {
            self.anchors.insert(anchor, (begin, self.position()));
        }
    }

    fn scalar(&mut self, text: &str, scalar: Scalar, anchor: usize, at: Place) -> Result<(), &'static str> {
        if self.expects_key() {
            return self.key(text, scalar, at);
        }
        self.document.has_kind |= self.kind_comes && plain(text) != Some("null");
        let begin = self.value(at)?;
        let (of_texts, is_text) =
            self.open.last().map_or((false, false), |open| (open.of_texts, open.key == Some(Meaning::Text)));
        match (plain(text), scalar) {
            (None, _) | (_, Scalar::Text) => self.text(text)?,
            // Kubernetes knows no text that is nothing.
            (Some("null"), Scalar::Plain) if of_texts => self.text("")?,
            (Some(value), _) if value == "null" || scalar == Scalar::Other || !of_texts && !is_text => {
                self.json.extend_from_slice(value.as_bytes());
            }
            _ => self.text(text)?,
        }
        self.ended(anchor, begin);
        Ok(())
    }

    fn key(&mut self, text: &str, scalar: Scalar, at: Place) -> Result<(), &'static str> {
        if text == "<<" && scalar == Scalar::Plain {
            return Err("a map merged into another (<<), which kubectl does not write");
        }
        self.part();
        self.line(at);
        self.text(text)?;
        self.json.push(b':');
        let is_outermost = self.open.len() == 1;
        self.kind_comes = is_outermost && text == "kind";
        self.document.goes_on |= is_outermost && self.document.has_items;
        self.document.has_items |= is_outermost && text == "items";
        if let Some(open) = self.open.last_mut() {
            open.key = Some(Meaning::of(text));
        }
        Ok(())
    }

    fn begin(&mut self, is_map: bool, anchor: usize, at: Place) -> Result<(), &'static str> {
        let begin = self.value(at)?;
        let of_texts = is_map && self.open.last().is_some_and(|open| open.key == Some(Meaning::MapOfTexts));
        self.json.push(if is_map { b'{' } else { b'[' });
        self.open.push(Open { is_map, is_empty: true, of_texts, key: None, anchor, begin });
        Ok(())
    }

    fn end(&mut self, at: Place) -> Result<(), &'static str> {
        let open = self.open.pop().ok_or("an end without a beginning")?;
        self.line(at);
        self.json.push(if open.is_map { b'}' } else { b']' });
        self.ended(open.anchor, open.begin);
        Ok(())
    }

    /// Writes once more what an anchor names.
    fn repeat(&mut self, anchor: usize, at: Place) -> Result<(), &'static str> {
        let &(from, to) = self.anchors.get(&anchor).ok_or("an alias of what holds it, or of a key")?;
        self.repeated += to.0 - from.0;
        if self.repeated > REPEATED {
            return Err(HOSTILE);
        }
        let begin = self.value(at)?;
        self.json.extend_from_within(from.0..to.0);
        self.document.places.extend_from_within(from.1..to.1);
        self.ended(0, begin);
        Ok(())
    }
}

/// The JSON of a plain scalar that is no text.
fn plain(text: &str) -> Option<&str> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && (text == "0" || !digits.starts_with('0'));
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Some("null"),
        "true" | "True" | "TRUE" => Some("true"),
        "false" | "False" | "FALSE" => Some("false"),
        _ => (is_number && !digits.is_empty()).then_some(text),
    }
}

#[cfg(test)]
mod tests;
