//! Objects and lists of them in JSON, taken apart before they are read: what each says it is, and where the items of a list are.
//!
//! This goes through every byte, once for a list and twice for what is in it; what is read of an object is another's business.
//! Where these functions were part of their callers, they would be built as those are, to be small.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A list, or an object that is none.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
pub struct Envelope<'t> {
    kind: Option<String>,
    api_version: Option<String>,
    metadata: Option<Metadata>,
    #[serde(borrow)]
    items: Option<Vec<&'t RawValue>>,
}

/// The list or object that `text` begins with, and its length in bytes.
#[inline(never)]
pub fn envelope(text: &str) -> serde_json::Result<(Envelope<'_>, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Envelope<'_>>();
    let envelope = values.next().transpose()?.unwrap_or_default();
    Ok((envelope, values.byte_offset()))
}

/// The values of the array that `text` begins with, and its length in bytes.
#[inline(never)]
pub fn array(text: &str) -> serde_json::Result<(Vec<&str>, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Vec<&RawValue>>();
    let items = values.next().transpose()?.unwrap_or_default();
    Ok((items.into_iter().map(RawValue::get).collect(), values.byte_offset()))
}

/// What `nft -j` prints.
#[derive(Debug, Deserialize)]
struct Nftables<'t> {
    #[serde(borrow)]
    nftables: Vec<&'t RawValue>,
}

/// The objects in what `nft -j` printed, which `text` begins with, and its length in bytes. An error where they are no list.
#[inline(never)]
pub fn nftables(text: &str) -> serde_json::Result<(Vec<&str>, usize)> {
    let mut values = serde_json::Deserializer::from_str(text).into_iter::<Nftables<'_>>();
    let objects = values.next().transpose()?.map(|list| list.nftables).unwrap_or_default();
    Ok((objects.into_iter().map(RawValue::get).collect(), values.byte_offset()))
}

/// What the object that `text` is says of itself.
#[inline(never)]
pub fn head(text: &str) -> serde_json::Result<Head> {
    serde_json::from_str(text)
}

/// `text` without indentation, which is half of what people save and means nothing. `room` is for what is made.
#[inline(never)]
pub fn dense<'r>(text: &'r str, room: &'r mut String) -> &'r str {
    let mut rest = text;
    room.clear();
    while let Some(at) = memchr::memchr(b'\n', rest.as_bytes()) {
        let (line, behind) = rest.split_at(at + 1);
        room.push_str(line);
        let indentation = behind.bytes().position(|byte| byte != b' ').unwrap_or(behind.len());
        rest = &behind[indentation..];
    }
    if room.is_empty() {
        return text;
    }
    room.push_str(rest);
    room
}

impl<'t> Envelope<'t> {
    /// Its head, and its items where it has some.
    pub fn parts(self) -> (Head, Option<Vec<&'t str>>) {
        let Self { kind, api_version, metadata, items } = self;
        let items = items.map(|items| items.into_iter().map(RawValue::get).collect());
        (Head { kind, api_version, metadata }, items)
    }
}

/// The head, without the name, of an object that begins with its version and kind, as kubectl writes most of them: such an object
/// is not gone through for it. `None` for any other.
pub fn opening(object: &str) -> Option<Head> {
    let (version, rest) = member(object.trim_start().strip_prefix('{')?, "apiVersion")?;
    let (kind, _) = member(rest.trim_start().strip_prefix(',')?, "kind")?;
    Some(Head { kind: Some(kind.to_owned()), api_version: Some(version.to_owned()), metadata: None })
}

/// The value of the member called `name` that `text` begins with, a string without escapes, and what follows.
fn member<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let (key, rest) = string(text)?;
    (key == name).then(|| string(rest.trim_start().strip_prefix(':')?)).flatten()
}

fn string(text: &str) -> Option<(&str, &str)> {
    let (string, rest) = text.trim_start().strip_prefix('"')?.split_once('"')?;
    (!string.contains('\\')).then_some((string, rest))
}

/// The head of an object: what it is, not what is in it.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
pub struct Head {
    /// `Service`, `ServiceList`.
    pub kind: Option<String>,
    /// `v1`, `discovery.k8s.io/v1`.
    pub api_version: Option<String>,
    /// Its name, or where a list goes on.
    pub metadata: Option<Metadata>,
}

/// The part of metadata that names an object or says where a list goes on.
#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Metadata {
    namespace: Option<String>,
    name: Option<String>,
    #[serde(rename = "continue")]
    next: Option<String>,
    #[serde(rename = "resourceVersion")]
    version: Option<String>,
}

impl Head {
    /// Kind and version; those of a typed list (`ServiceList`) where the item itself does not say.
    pub fn kind<'s>(&'s self, list: Option<&'s Head>) -> Option<(&'s str, &'s str)> {
        let of_list = || list.and_then(|list| list.kind.as_deref()).and_then(|kind| kind.strip_suffix("List"));
        let kind = self.kind.as_deref().or_else(of_list).filter(|kind| !kind.is_empty())?;
        let version = self.api_version.as_deref().or_else(|| list.and_then(|list| list.api_version.as_deref()));
        Some((kind, version.unwrap_or_default()))
    }

    /// True if it says that it is a list, whether or not it has items.
    pub fn is_list(&self) -> bool {
        self.kind.as_ref().is_some_and(|kind| kind.ends_with("List"))
    }

    /// Where the list goes on.
    pub fn next(&self) -> Option<String> {
        self.metadata.as_ref().and_then(|m| m.next.clone()).filter(|next| !next.is_empty())
    }

    /// The state of the object, or of the list it is the head of.
    pub fn version(&self) -> Option<String> {
        self.metadata.as_ref().and_then(|m| m.version.clone()).filter(|version| !version.is_empty())
    }

    /// Namespace, empty for what has none, and name.
    pub fn key(&self) -> (String, String) {
        let metadata = self.metadata.clone().unwrap_or_default();
        (metadata.namespace.unwrap_or_default(), metadata.name.unwrap_or_default())
    }

    /// `Service shop/web`, for messages.
    pub fn names(&self, kind: &str) -> String {
        let metadata = self.metadata.clone().unwrap_or_default();
        match (metadata.namespace, metadata.name) {
            (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
            (None, Some(name)) => format!("{kind} {name}"),
            _ => kind.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{dense, opening};

    #[test]
    fn the_kind_is_told_by_the_first_members() {
        let kind = |text: &str| opening(text).and_then(|head| Some((head.api_version?, head.kind?)));
        let service = Some(("v1".to_owned(), "Service".to_owned()));
        assert_eq!(kind(r#"{"apiVersion":"v1","kind":"Service","metadata":{}}"#), service);
        assert_eq!(kind("{\n\"apiVersion\": \"v1\",\n\"kind\": \"Service\"}"), service);
        for other in [
            r#"{"kind":"Service","apiVersion":"v1"}"#,
            r#"{"apiVersion":"v1","kind":null}"#,
            r#"{"apiVersion":"v\u0031","kind":"Service"}"#,
            r#"{"apiVersion":"v1" "kind":"Service"}"#,
            "{",
            "",
        ] {
            assert_eq!(kind(other), None, "{other}");
        }
    }

    #[test]
    fn only_indentation_is_left_out() {
        let mut room = String::new();
        assert_eq!(dense("{\n    \"a\": [\n        1\n    ]\n}", &mut room), "{\n\"a\": [\n1\n]\n}");
        assert_eq!(dense("{\"a\": \"two  blanks\"}", &mut room), "{\"a\": \"two  blanks\"}");
        assert_eq!(dense("", &mut room), "");
    }
}
