//! What a watch tells, a line at a time: an object was added, changed or deleted, or the watch got so far.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::Saved;
use super::evidence::Key;
use super::json;
use super::kind::{Kind, Object};
use crate::cluster::facts::PodRef;
use crate::outline::Head;

/// A line of a watch (`metav1.WatchEvent`).
#[derive(Debug, Deserialize)]
struct Event<'t> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    object: &'t RawValue,
}

/// The object of an event `ERROR` (`metav1.Status`).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    code: u16,
    message: String,
}

/// What a line of a watch said.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Told {
    /// The watch goes on from this state, where the line tells one. `changed` if something that is kept is another now.
    Moved { version: Option<String>, changed: bool },
    /// The server gives the watch up.
    Refused { code: u16, message: String },
}

impl Saved {
    /// Takes over what one line of a watch says; an error says what cannot be read, and changes nothing.
    pub(in crate::cluster) fn follow(&mut self, line: &str) -> Result<Told, String> {
        let event: Event<'_> = serde_json::from_str(line).map_err(|error| format!("no event of a watch: {error}"))?;
        let raw = event.object.get();
        if event.kind == "ERROR" {
            let Status { code, message } = serde_json::from_str(raw).unwrap_or_default();
            return Ok(Told::Refused { code, message });
        }
        let head: Head = serde_json::from_str(raw).map_err(|error| format!("an event without object: {error}"))?;
        let changed = match event.kind.as_str() {
            "ADDED" | "MODIFIED" => {
                let (object, _) = json::object(raw, (raw, raw), &head, None).map_err(|(_, what)| what)?;
                self.replace(&head, object)
            }
            "DELETED" => self.replace(&head, Object::Nothing),
            // BOOKMARK, and what later servers may tell.
            _ => false,
        };
        Ok(Told::Moved { version: head.version(), changed })
    }

    /// Puts `object` in the place of what was kept under the name in `head`. True if it differs.
    fn replace(&mut self, head: &Head, object: Object) -> bool {
        let kind = head.kind(None).and_then(|(kind, version)| Kind::of(kind, version));
        let key = head.key();
        let too_much = if let Object::TooMuch(_, what) = &object { Some(what.clone()) } else { None };
        let left_out = kind.is_some_and(|kind| swap(&mut self.left_out, (kind, key.clone()), too_much));
        left_out | self.put(kind, key, object)
    }

    fn put(&mut self, kind: Option<Kind>, key: Key, object: Object) -> bool {
        match (kind, object) {
            (Some(Kind::Service), object) => {
                let new = if let Object::Service(service) = object { Some(service) } else { None };
                swap(&mut self.services, key, new)
            }
            (Some(Kind::Slice | Kind::OldSlice), object) => {
                let new = if let Object::Slice(slice) = object { Some(slice) } else { None };
                swap(&mut self.slices, key, new)
            }
            (Some(Kind::Endpoints), object) => self.replace_endpoints(key, object),
            (Some(Kind::Pod), object) => {
                let new = if let Object::Pod(pod) = object { Some(pod) } else { None };
                swap(&mut self.pods, PodRef::new(&key.0, &key.1), new)
            }
            (Some(Kind::Node), object) => {
                let new = if let Object::Node(node) = object { Some(node) } else { None };
                swap(&mut self.nodes, key.1, new)
            }
            (Some(Kind::ConfigMap), object) => {
                let new = if let Object::Proxy(config) = object { Some(config) } else { None };
                let differs = self.proxy != new;
                self.proxy = new;
                differs
            }
            (None, _) => false,
        }
    }

    fn replace_endpoints(&mut self, key: Key, object: Object) -> bool {
        let was = self.truncated.remove(&key);
        let Object::Endpoints(new) = object else { return swap(&mut self.endpoints, key, None) || was };
        if new.truncated {
            self.truncated.insert(key.clone());
        }
        swap(&mut self.endpoints, key, Some(new.slices)) || was != new.truncated
    }
}

/// Puts `new`, or nothing, in the place of `key`. True if that differs from what was there.
fn swap<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, new: Option<V>) -> bool {
    let differs = map.get(&key) != new.as_ref();
    match new {
        Some(new) => _ = map.insert(key, new),
        None => _ = map.remove(&key),
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::Coverage;

    fn service(kind: &str, version: u32, port: u16) -> String {
        format!(
            r#"{{"type":"{kind}","object":{{"kind":"Service","apiVersion":"v1","metadata":{{"namespace":"shop","name":"web",
               "resourceVersion":"{version}"}},"spec":{{"ports":[{{"port":{port}}}]}}}}}}"#
        )
    }

    #[test]
    fn what_stands_for_too_much_is_left_out_until_it_does_not() {
        let with = |ports: &str| {
            format!(
                r#"{{"type":"MODIFIED","object":{{"kind":"Service","apiVersion":"v1","metadata":{{"namespace":"shop","name":"web"}},
                   "spec":{{"ports":[{ports}]}}}}}}"#
            )
        };
        let mut saved = Saved::default();
        let mut follow = |ports: usize| {
            let told = saved.follow(&with(&vec![r#"{"port":80}"#; ports].join(","))).expect("an event");
            let facts = saved.clone().into_facts_of(Coverage::default());
            (told == Told::Moved { version: None, changed: true }, facts.services.len(), facts.left_out.len())
        };
        assert_eq!(
            [follow(1), follow(5), follow(5), follow(1)],
            [(true, 1, 0), (true, 0, 1), (false, 0, 1), (true, 1, 0)]
        );
    }

    fn moved(version: &str, changed: bool) -> Told {
        Told::Moved { version: Some(version.to_owned()), changed }
    }

    #[test]
    fn objects_come_change_and_go() {
        let mut saved = Saved::default();
        assert_eq!(saved.follow(&service("ADDED", 7, 80)), Ok(moved("7", true)));
        assert_eq!(saved.follow(&service("MODIFIED", 8, 80)), Ok(moved("8", false)), "nothing that is kept differs");
        assert_eq!(saved.follow(&service("MODIFIED", 9, 81)), Ok(moved("9", true)));
        assert_eq!(saved.services().map(|service| service.ports[0].port).collect::<Vec<_>>(), [81]);
        assert_eq!(saved.follow(&service("DELETED", 10, 81)), Ok(moved("10", true)));
        assert_eq!(saved.follow(&service("DELETED", 11, 81)), Ok(moved("11", false)));
        assert_eq!(saved.services().count(), 0);
    }

    #[test]
    fn bookmarks_only_move_on() {
        let line =
            r#"{"type":"BOOKMARK","object":{"kind":"Service","apiVersion":"v1","metadata":{"resourceVersion":"12"}}}"#;
        assert_eq!(Saved::default().follow(line), Ok(moved("12", false)));
    }

    #[test]
    fn a_slice_that_loses_its_service_is_gone() {
        let slice = |labels: &str| {
            format!(
                r#"{{"type":"MODIFIED","object":{{"kind":"EndpointSlice","apiVersion":"discovery.k8s.io/v1","addressType":"IPv4",
                   "metadata":{{"namespace":"shop","name":"web-x","labels":{{{labels}}}}},"endpoints":[]}}}}"#
            )
        };
        let mut saved = Saved::default();
        let follow = |saved: &mut Saved, labels: &str| saved.follow(&slice(labels)).expect("an event");
        let of = r#""kubernetes.io/service-name":"web""#;
        assert_eq!(follow(&mut saved, of), Told::Moved { version: None, changed: true });
        assert_eq!(follow(&mut saved, ""), Told::Moved { version: None, changed: true });
        assert!(saved.slices.is_empty());
    }

    #[test]
    fn endpoints_above_their_limit_are_noted_and_forgotten() {
        let endpoints = |kind: &str, annotation: &str| {
            format!(
                r#"{{"type":"{kind}","object":{{"kind":"Endpoints","apiVersion":"v1","metadata":{{"namespace":"shop","name":"web",
                   "annotations":{{{annotation}}}}},"subsets":[]}}}}"#
            )
        };
        let mut saved = Saved::default();
        let over = r#""endpoints.kubernetes.io/over-capacity":"truncated""#;
        for (kind, annotation, truncated) in [
            ("ADDED", over, 1),
            ("MODIFIED", over, 1),
            ("MODIFIED", "", 0),
            ("MODIFIED", over, 1),
            ("DELETED", over, 0),
        ] {
            saved.follow(&endpoints(kind, annotation)).expect("an event");
            assert_eq!(saved.truncated.len(), truncated, "{kind} {annotation}");
        }
    }

    #[test]
    fn what_the_server_refuses_is_told() {
        let line =
            r#"{"type":"ERROR","object":{"kind":"Status","code":410,"message":"too old resource version: 1 (9)"}}"#;
        let message = "too old resource version: 1 (9)".to_owned();
        assert_eq!(Saved::default().follow(line), Ok(Told::Refused { code: 410, message }));
    }

    #[test]
    fn a_line_cut_in_the_middle_changes_nothing() {
        let whole = service("ADDED", 7, 80);
        for cut in 0..whole.len() {
            let mut saved = Saved::default();
            assert!(saved.follow(&whole[..cut]).is_err(), "{cut}");
            assert_eq!(saved.services().count(), 0);
        }
    }
}
