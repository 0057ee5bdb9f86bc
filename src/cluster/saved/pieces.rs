//! A list taken apart as it comes: its items are read a few at a time, and the rest of it is what it says of itself. However
//! long it is, it is never held as text.

use std::ops::Range;

use super::json::{self, objects};
use super::kind::Object;
use super::{BadObjects, Saved};
use crate::outline::Head;

/// So many bytes of items are read at once: too few for several threads, each of which would keep memory of its own.
const PART: usize = 1 << 19;

/// One page of a list, as it comes from an API server.
#[derive(Debug, Default)]
pub(in crate::cluster) struct Pieces {
    /// The text without the items.
    head: Vec<u8>,
    /// Items that wait to be read, and the one that is coming.
    items: Vec<u8>,
    /// Those that are whole.
    whole: Vec<Range<usize>>,
    /// Those that were read.
    read: Vec<Object>,
    /// It is a list with something in it.
    has_items: bool,
    /// What list it is, once that is known.
    list: Option<Head>,
    /// As long as that is not known: so many bytes of items are waited for.
    patience: usize,
    place: Place,
    /// Braces and brackets that are open: those around the items, or since an item began.
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Where the string began that comes or came last in the head.
    string: usize,
}

/// What comes next.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Something that is no item.
    #[default]
    Head,
    /// A colon, if the word `items` before it was a key.
    Colon,
    /// What stands behind `"items":`.
    Value,
    /// Items.
    Items,
}

impl Pieces {
    /// Takes over what came next. Kinds that say nothing of Services are counted in `saved`.
    pub(in crate::cluster) fn take(&mut self, bytes: &[u8], saved: &mut Saved) -> Result<(), BadObjects> {
        let mut rest = bytes;
        while let Some(first) = rest.first() {
            if self.place == Place::Items {
                rest = self.take_items(rest);
            } else {
                self.take_head(*first);
                rest = &rest[1..];
            }
        }
        if self.items.len() < self.patience.max(PART) || self.whole.is_empty() {
            return Ok(());
        }
        if self.list.is_none() {
            self.list = self.known();
        }
        match self.list.clone() {
            Some(list) => self.read_as(&list, saved),
            // Its kind comes behind the items, or there is something wrong that the end will tell.
            None => {
                self.patience = 2 * self.items.len();
                Ok(())
            }
        }
    }

    fn take_head(&mut self, byte: u8) {
        self.head.push(byte);
        if std::mem::take(&mut self.escaped) {
            return;
        }
        if self.in_string {
            self.escaped = byte == b'\\';
            if byte == b'"' {
                self.in_string = false;
                let is_items = self.depth == 1 && self.head[self.string..].starts_with(b"items\"");
                self.place = if is_items { Place::Colon } else { Place::Head };
            }
            return;
        }
        let place = std::mem::take(&mut self.place);
        match byte {
            b'"' => (self.in_string, self.string) = (true, self.head.len()),
            b'[' if place == Place::Value => (self.place, self.depth) = (Place::Items, 0),
            b'{' | b'[' => self.depth += 1,
            b'}' | b']' => self.depth = self.depth.saturating_sub(1),
            b':' if place == Place::Colon => self.place = Place::Value,
            byte if byte.is_ascii_whitespace() => self.place = place,
            _ => {}
        }
    }

    /// Takes items until they end, or the piece does; gives what is left of it.
    fn take_items<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        // Where the part begins that belongs to the item which is coming.
        let (mut from, mut at) = (0, 0);
        while at < bytes.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
                continue;
            }
            if self.in_string {
                let Some(next) = memchr::memchr2(b'"', b'\\', &bytes[at..]) else { break };
                at += next + 1;
                self.escaped = bytes[at - 1] == b'\\';
                self.in_string = self.escaped;
                continue;
            }
            let byte = bytes[at];
            at += 1;
            match byte {
                b'"' if self.depth > 0 => self.in_string = true,
                b'{' | b'[' => {
                    if self.depth == 0 {
                        from = at - 1;
                    }
                    self.depth += 1;
                }
                b'}' | b']' if self.depth > 0 => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        self.items.extend_from_slice(&bytes[from..at]);
                        let begin = self.whole.last().map_or(0, |last| last.end);
                        self.whole.push(begin..self.items.len());
                        self.has_items = true;
                    }
                }
                b']' => {
                    self.head.push(byte);
                    (self.place, self.depth) = (Place::Head, 1);
                    return &bytes[at..];
                }
                byte if self.depth > 0 || byte == b',' || byte.is_ascii_whitespace() => {}
                // An item that is no object: the head is no JSON then.
                byte => self.head.extend([b'!', byte]),
            }
        }
        if self.depth > 0 {
            self.items.extend_from_slice(&bytes[from..]);
        }
        &[]
    }

    /// What list it is, if that was told by now.
    fn known(&self) -> Option<Head> {
        let mut head = self.head.clone();
        if self.place == Place::Items {
            head.extend_from_slice(b"]}");
        }
        serde_json::from_slice(&head).ok().filter(|head: &Head| head.kind.is_some())
    }

    /// Reads the items that are whole.
    fn read_as(&mut self, head: &Head, saved: &mut Saved) -> Result<(), BadObjects> {
        let end = self.whole.last().map_or(0, |last| last.end);
        let text =
            std::str::from_utf8(&self.items[..end]).map_err(|_| bad("not JSON of Kubernetes objects: no UTF-8"))?;
        let items: Vec<&str> = self.whole.iter().map(|range| &text[range.clone()]).collect();
        let read = objects(text, &items, Some(head), saved).map_err(|(_, what)| bad(&what))?;
        self.read.extend(read);
        self.whole.clear();
        self.items.drain(..end);
        Ok(())
    }

    /// Reads what is left, adds all to `saved`, and tells where the next page begins.
    pub(in crate::cluster) fn finish(mut self, label: &str, saved: &mut Saved) -> Result<Option<String>, BadObjects> {
        let head = String::from_utf8(std::mem::take(&mut self.head));
        let head = head.map_err(|_| bad("not JSON of Kubernetes objects: no UTF-8"))?;
        if !self.has_items {
            let next = saved.read_page(label, &head)?;
            let of: Head = serde_json::from_str(&head).unwrap_or_default();
            // Who answers for the server with something else must not make it a cluster without Services.
            return if of.is_list() { Ok(next) } else { Err(bad("no list, which was asked for, but an object")) };
        }
        let head: Head = serde_json::from_str(&head)
            .map_err(|error| json::bad(&head, &head, &error, None))
            .map_err(|(_, what)| bad(&what))?;
        self.read_as(&head, saved)?;
        saved.add_list(self.read, Some(&head));
        Ok(saved.next.take())
    }
}

/// Where in an answer of one line something stands helps nobody.
fn bad(what: &str) -> BadObjects {
    BadObjects { label: String::new(), at: None, what: what.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7","continue":"on","x":{"items":[1]}},
        "items":[{"metadata":{"name":"a","namespace":"n\"]}"},"spec":{"ports":[{"port":80}]}} ,
        {"metadata":{"name":"ä\\","namespace":"n"},"spec":{"ports":[{"port":81}],"externalName":"items"}}]}"#;

    /// What is read of a text that comes in pieces of this size.
    fn read(text: &str, size: usize) -> Result<(Option<String>, Saved), String> {
        let (mut pieces, mut saved) = (Pieces::default(), Saved::default());
        for piece in text.as_bytes().chunks(size) {
            pieces.take(piece, &mut saved).map_err(|bad| bad.what)?;
        }
        let next = pieces.finish("list", &mut saved).map_err(|bad| bad.what)?;
        Ok((next, saved))
    }

    fn whole(text: &str) -> (Option<String>, Saved) {
        let mut saved = Saved::default();
        let next = saved.read_page("list", text).expect("a list");
        (next, saved)
    }

    #[test]
    fn pieces_of_any_size_say_what_the_whole_says() {
        let behind = r#"{"items":[{"metadata":{"name":"a","namespace":"n"}}],"apiVersion":"v1","kind":"ServiceList"}"#;
        let mixed = r#"{"kind":"List","apiVersion":"v1","items":[{"kind":"Service","apiVersion":"v1","metadata":{"name":"a"}},
            {"kind":"Secret","apiVersion":"v1"}]}"#;
        let empty = r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{"resourceVersion":"7"},"items":[]}"#;
        let null = r#"{"kind":"ServiceList","apiVersion":"v1","metadata":{},"items":null}"#;
        for text in [LIST, behind, mixed, empty, null] {
            let (next, saved) = whole(text);
            for size in 1..=text.len() {
                let (its, own) = read(text, size).expect("a list");
                assert_eq!(
                    (&its, own.version(), own.skipped()),
                    (&next, saved.version(), saved.skipped()),
                    "{size} {text}"
                );
                assert_eq!(own.into_facts(), saved.clone().into_facts(), "{size} {text}");
            }
        }
        assert_eq!(whole(LIST).1.services().count(), 2);
    }

    #[test]
    fn what_is_cut_or_no_list_is_an_error() {
        for end in 0..LIST.len() {
            if LIST.is_char_boundary(end) {
                assert!(read(&LIST[..end], 7).is_err(), "{end}");
            }
        }
        let labels = r#"{"kind":"Service","apiVersion":"v1","metadata":{"name":"items","labels":{"items":"[]"}}}"#;
        for single in [labels, r#"{"kind":"x"}"#, r#"{"kind":"Status","status":"Success"}"#] {
            assert_eq!(read(single, 7).err().as_deref(), Some("no list, which was asked for, but an object"));
        }
        let cut = "the text ends in the middle of an object: it was cut off";
        assert_eq!(read(&LIST[..LIST.len() - 9], 7).err().as_deref(), Some(cut));
        for text in [
            LIST.replace(" ,", " , 1,"),
            LIST.replace(":80", ":\"80\""),
            LIST.replace(":80", ":[}"),
            format!("{LIST}{LIST}"),
            LIST.replace("\"kind\":\"ServiceList\",", ""),
        ] {
            assert!(text != LIST && read(&text, 7).is_err(), "{text}");
        }
    }

    #[test]
    fn long_lists_are_read_before_they_end() {
        let item =
            |n: usize| format!(r#"{{"metadata":{{"name":"svc-{n}","annotations":{{"x":"{}"}}}}}}"#, "x".repeat(9_000));
        let items: Vec<String> = (0..1000).map(item).collect();
        let text = format!(r#"{{"kind":"ServiceList","apiVersion":"v1","items":[{}]}}"#, items.join(","));
        let (mut pieces, mut saved) = (Pieces::default(), Saved::default());
        for piece in text.as_bytes().chunks(10_000) {
            pieces.take(piece, &mut saved).expect("a list");
            assert!(pieces.items.len() < PART + 20_000);
        }
        pieces.finish("list", &mut saved).expect("a list");
        assert_eq!(saved.services().count(), 1000);
    }
}
