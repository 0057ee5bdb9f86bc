//! Objects written as JSON: one value or several in a row, each a list, an array or an object.
//!
//! The kind of an object is read first, then the typed object, so that what is not asked for costs a scan and no memory.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::DeserializeSeed as _;

use super::kind::{Kind, Object};
use super::{Bad, Saved};
use crate::cores;
use crate::outline::{self, Head};
use crate::shorten::shortened;

/// So many bytes of objects take longer to read than a thread takes to start.
const WORTH_A_THREAD: usize = 1 << 20;

/// So many characters are enough of an error.
const LONGEST: usize = 200;

/// Reads `text` into `saved`.
pub(super) fn read(text: &str, saved: &mut Saved) -> Result<(), Bad> {
    let mut at = 0;
    loop {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t', '\r', '\n']).len();
        let rest = &text[at..];
        if rest.is_empty() {
            return Ok(());
        }
        at += value(text, rest, saved)?;
    }
}

/// Reads the value `rest` begins with and gives its length.
fn value(text: &str, rest: &str, saved: &mut Saved) -> Result<usize, Bad> {
    if rest.starts_with('[') {
        let (items, length) = outline::array(rest).map_err(|error| bad(text, rest, &error, None))?;
        // `jq -s` makes an array of lists.
        let (lists, items): (Vec<&str>, _) = items.into_iter().partition(|item| is_list(item));
        lists.iter().try_for_each(|list| value(text, list, saved).map(|_| ()))?;
        let objects = objects(text, &items, None, saved)?;
        saved.add_list(objects, None);
        return Ok(length);
    }
    let (envelope, length) = outline::envelope(rest).map_err(|error| bad(text, rest, &error, None))?;
    let (head, items) = envelope.parts();
    // An empty list may have null for its items.
    match items.or_else(|| head.is_list().then(Vec::new)) {
        Some(items) => {
            let objects = objects(text, &items, Some(&head), saved)?;
            saved.add_list(objects, Some(&head));
        }
        None => {
            let (object, skipped) = object(text, (&rest[..length], &rest[..length]), &head, None)?;
            if let Some(kind) = skipped {
                saved.skip(kind);
            }
            saved.add(object);
        }
    }
    Ok(length)
}

/// True if an item of an array is itself a list.
fn is_list(item: &str) -> bool {
    outline::head(item).is_ok_and(|head| head.is_list())
}

/// The answer of an API server that refused.
#[derive(Debug, Deserialize)]
struct Status {
    message: String,
}

/// Reads the items of a list, on all cores if they are many.
pub(super) fn objects(text: &str, items: &[&str], list: Option<&Head>, saved: &mut Saved) -> Result<Vec<Object>, Bad> {
    let one = |item: &str, room: &mut String| -> Result<(Object, Option<String>), Bad> {
        let dense = outline::dense(item, room);
        // Where something is wrong, the text as it is tells.
        let head = || outline::head(dense).or_else(|_| outline::head(item));
        let head = outline::opening(dense).map_or_else(head, Ok);
        object(text, (item, dense), &head.map_err(|error| bad(text, item, &error, None))?, list)
    };
    let bytes: usize = items.iter().map(|item| item.len()).sum();
    let part = |part: &[&str]| {
        let mut room = String::new();
        part.iter().map(|item| one(item, &mut room)).collect::<Result<Vec<_>, Bad>>()
    };
    let parts = parts(items, cores::piece(bytes, WORTH_A_THREAD));
    let read = cores::in_turn(parts.into_iter(), part);
    let mut objects = Vec::with_capacity(items.len());
    for part in read {
        for (object, skipped) in part? {
            if let Some(kind) = skipped {
                saved.skip(kind);
            }
            objects.push(object);
        }
    }
    Ok(objects)
}

/// `items` in parts of about `most` bytes each: slices are much larger than Services.
fn parts<'i, 't>(items: &'i [&'t str], most: usize) -> Vec<&'i [&'t str]> {
    let (mut parts, mut begin, mut bytes) = (Vec::new(), 0, 0);
    for (n, item) in items.iter().enumerate() {
        bytes += item.len();
        if bytes >= most {
            parts.push(&items[begin..=n]);
            (begin, bytes) = (n + 1, 0);
        }
    }
    if begin < items.len() {
        parts.push(&items[begin..]);
    }
    parts
}

/// Reads one object, of which the text as it is comes first and then the one to read; the second value is its kind if that says
/// nothing of Services.
pub(super) fn object(
    text: &str,
    (raw, dense): (&str, &str),
    head: &Head,
    list: Option<&Head>,
) -> Result<(Object, Option<String>), Bad> {
    let Some((kind, version)) = head.kind(list) else {
        return Err((Some(position(text, raw)), "an object without kind: this is no output of kubectl".to_owned()));
    };
    if list.is_none()
        && kind == "Status"
        && let Ok(Status { message }) = serde_json::from_str(raw)
    {
        return Err((None, format!("holds no objects but what an API server answered: {message}")));
    }
    let Some(known) = Kind::of(kind, version) else { return Ok((Object::Nothing, Some(Kind::other(kind, version)))) };
    let read = |text: &str| known.deserialize(&mut serde_json::Deserializer::from_str(text));
    let object = read(dense).or_else(|_| read(raw));
    let names = || outline::head(raw).as_ref().unwrap_or(head).names(kind);
    Ok((object.map_err(|error| bad(text, raw, &error, Some(&names())))?, None))
}

/// Line and column, from 1, at which `part` of `text` begins.
fn position(text: &str, part: &str) -> (usize, usize) {
    let before = &text[..part.as_ptr() as usize - text.as_ptr() as usize];
    let line = 1 + memchr::memchr_iter(b'\n', before.as_bytes()).count();
    let column = 1 + before.rsplit('\n').next().map_or(0, |last| last.chars().count());
    (line, column)
}

/// An error of serde_json in `part` of `text`.
pub(super) fn bad(text: &str, part: &str, error: &serde_json::Error, object: Option<&str>) -> Bad {
    let (line, column) = position(text, part);
    let at = match error.line() {
        0 => (line, column),
        1 => (line, column + error.column().saturating_sub(1)),
        // A line break that must not be there is at column 0 of the line it begins.
        more => (line + more - 1, error.column().max(1)),
    };
    let words = error.to_string();
    // What stands where something else is expected is quoted, however long it is.
    let words = shortened(words.rsplit_once(" at line ").map_or(&*words, |(words, _)| words), LONGEST);
    let what: Cow<'_, str> = match (object, error.is_eof()) {
        (_, true) => "the text ends in the middle of an object: it was cut off".into(),
        (Some(object), _) => format!("{object}: {words}").into(),
        (None, _) if error.is_data() => format!("not Kubernetes objects: {words}").into(),
        (None, _) => format!("not JSON of Kubernetes objects: {words}").into(),
    };
    (Some(at), what.into_owned())
}
