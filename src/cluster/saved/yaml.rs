//! Objects written as YAML: one document or several, each a list or an object.
//!
//! Every document is read twice: first what it is, then the typed objects. Never through an untyped value, which would
//! turn a label `012` into a number.

use std::cell::Cell;
use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Options;

use super::kind::{Head, Kind, Metadata, Object};
use super::{Bad, Saved};

/// Objects of Kubernetes nest some twenty deep.
const DEPTH: usize = 100;

/// kubectl writes no aliases; a person may, a few. What they repeat must stay small (the "billion laughs").
const REPEATED: usize = 100_000;

/// Reads `text` into `saved`.
pub(super) fn read(text: &str, saved: &mut Saved) -> Result<(), Bad> {
    let mut found = false;
    for (line, part) in documents(text) {
        if part.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            continue;
        }
        found = true;
        // What has no place of its own is about the document.
        document(part, saved).map_err(|(at, what)| {
            let (own, column) = at.unwrap_or((1, 1));
            (Some((line + own, column)), what)
        })?;
    }
    if found { Ok(()) } else { Err((None, "is empty; expected Kubernetes objects".to_owned())) }
}

/// The documents of a stream, each with the number of lines before it. A line that begins with `---` parts two: inside a
/// document every line of a scalar is indented.
fn documents(text: &str) -> Vec<(usize, &str)> {
    let mut documents = Vec::new();
    let (mut begin, mut at) = ((0, 0), 0);
    for (number, line) in text.split_inclusive('\n').enumerate() {
        let mark = line.strip_prefix("---").or_else(|| line.strip_prefix("..."));
        if mark.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n'])) {
            documents.push((begin.0, &text[begin.1..at]));
            // The document may begin on the line itself.
            begin = (number, at + 3);
        }
        at += line.len();
    }
    documents.push((begin.0, &text[begin.1..]));
    documents
}

/// Limits that grow with the text: a large cluster is no attack, a few aliases that repeat each other are.
fn options(text: &str) -> Options {
    let budget = serde_saphyr::budget! {
        max_reader_input_bytes: None,
        max_depth: DEPTH,
        max_nodes: text.len().max(1000),
        max_events: text.len().saturating_mul(2).max(1000),
        max_total_scalar_bytes: text.len().max(1000),
    };
    serde_saphyr::options! {
        budget: budget,
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: REPEATED },
        with_snippet: false,
    }
}

/// What a document is.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Outline {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<Metadata>,
    items: Option<Vec<Head>>,
}

fn document(text: &str, saved: &mut Saved) -> Result<(), Bad> {
    let outline: Outline = serde_saphyr::from_str_with_options(text, options(text))
        .map_err(|error| bad(&error, "not YAML of Kubernetes objects"))?;
    let Outline { kind, api_version, metadata, items } = outline;
    let head = Head { kind, api_version, metadata };
    // An empty list may have null for its items.
    if items.is_none() && head.is_list() {
        saved.add_list(Vec::new(), Some(&head));
        return Ok(());
    }
    let Some(items) = items else {
        let Some((kind, version)) = head.kind(None) else {
            return Err((Some((1, 1)), "an object without kind: this is no output of kubectl".to_owned()));
        };
        let Some(known) = Kind::of(kind, version) else {
            saved.skip(Kind::other(kind, version));
            return Ok(());
        };
        let read =
            serde_saphyr::with_deserializer_from_str_with_options(text, options(text), |de| known.deserialize(de));
        saved.add(read.map_err(|error| bad(&error, &head.names(kind)))?);
        return Ok(());
    };
    // kubectl writes the kind of a list behind its items.
    if head.kind(None).is_none() {
        let lines = text.lines().count();
        return Err((Some((lines, 1)), "the list ends without saying that it is one: it was cut off".to_owned()));
    }
    let mut kinds = Vec::with_capacity(items.len());
    for item in &items {
        let Some((kind, version)) = item.kind(Some(&head)) else {
            return Err((Some((1, 1)), "a list of objects without kind: this is no output of kubectl".to_owned()));
        };
        let known = Kind::of(kind, version);
        if known.is_none() {
            saved.skip(Kind::other(kind, version));
        }
        kinds.push(known);
    }
    let at = Cell::new(0);
    let list = List { kinds: &kinds, at: &at };
    let read = serde_saphyr::with_deserializer_from_str_with_options(text, options(text), |de| list.deserialize(de));
    let name = || items.get(at.get()).and_then(|item| Some(item.names(item.kind(Some(&head))?.0)));
    let objects = read.map_err(|error| bad(&error, &name().unwrap_or_else(|| "a list of objects".to_owned())))?;
    saved.add_list(objects, Some(&head));
    Ok(())
}

/// The objects of a list whose items are of these kinds. Read once as the map that the list is, and once more as the
/// items in it.
#[derive(Clone, Copy)]
struct List<'k> {
    kinds: &'k [Option<Kind>],
    /// The item that is being read.
    at: &'k Cell<usize>,
}

/// The items of a [`List`].
struct Items<'k>(List<'k>);

impl<'de> DeserializeSeed<'de> for List<'_> {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for List<'_> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of Kubernetes objects")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            if key == "items" {
                objects = map.next_value_seed(Items(self))?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(objects)
    }
}

impl<'de> DeserializeSeed<'de> for Items<'_> {
    type Value = Vec<Object>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Items<'_> {
    type Value = Vec<Object>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("objects")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let List { kinds, at } = self.0;
        let mut objects = Vec::with_capacity(kinds.len());
        for (n, kind) in kinds.iter().enumerate() {
            at.set(n);
            let missing = || A::Error::custom("the list is shorter than it was");
            match kind {
                Some(kind) => objects.push(items.next_element_seed(*kind)?.ok_or_else(missing)?),
                None => _ = items.next_element::<IgnoredAny>()?.ok_or_else(missing)?,
            }
        }
        Ok(objects)
    }
}

/// An error of serde_saphyr; `what` says what was being read.
fn bad(error: &serde_saphyr::Error, what: &str) -> Bad {
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let at = error.location().map(|l| (place(l.line()), place(l.column()))).filter(|(line, _)| *line > 0);
    let words = error.without_snippet().to_string();
    let words = words.lines().next().unwrap_or_default();
    let words = words.split(" at line ").next().unwrap_or(words);
    let words = if words.starts_with("budget breached") || words.contains("alias") {
        "it repeats itself or nests more than Kubernetes objects do"
    } else {
        words
    };
    (at, format!("{what}: {words}"))
}
