//! A cluster that changes, behind the stand-in for an API server: lists with their state, and watches that go on from one.

use std::io;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::stand_in::{Reply, StandIn, ok, recorded, seed};

/// The kinds it has, as they stand in paths, with their lists.
const KINDS: [(&str, &str); 3] =
    [("services", "services.json"), ("endpointslices", "endpointslices.json"), ("nodes", "nodes.json")];

/// The cluster of `fixtures/api`, to be changed.
pub(crate) struct World {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The number of the last change.
    version: u64,
    /// Kind and object.
    objects: Vec<(&'static str, Value)>,
    /// Number, kind and line of every event.
    events: Vec<(u64, &'static str, String)>,
    /// Watches from before this change are refused.
    forgotten: u64,
    /// Counts the times that watches ended: those begun before end.
    ends: u64,
    /// They end in the middle of an event.
    cuts: bool,
}

impl World {
    /// As it was recorded; its changes are counted from 1000 on.
    pub(crate) fn new() -> Arc<Self> {
        let mut state = State { version: 1000, ..State::default() };
        for (kind, file) in KINDS {
            let list: Value = serde_json::from_slice(&recorded(file)).expect("JSON");
            let of = list["kind"].as_str().expect("a kind").trim_end_matches("List");
            for mut item in list["items"].as_array().expect("items").clone() {
                item["kind"] = of.into();
                item["apiVersion"] = list["apiVersion"].clone();
                state.objects.push((kind, item));
            }
        }
        Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() })
    }

    /// An API server for it; `first` may answer in its place.
    pub(crate) fn serve(self: &Arc<Self>, first: impl Fn(&str) -> Option<Reply> + Send + Sync + 'static) -> StandIn {
        let world = Arc::clone(self);
        StandIn::new(move |target| first(target).or_else(|| world.answer(target)).unwrap_or_else(|| seed(target)))
    }

    /// Changes the object of this kind and name, or makes one of what `change` leaves.
    pub(crate) fn change(&self, kind: &'static str, name: &str, change: impl FnOnce(&mut Value)) {
        self.tell(|state| {
            let found = state.objects.iter_mut().find(|(of, object)| *of == kind && object["metadata"]["name"] == name);
            let event = if found.is_some() { "MODIFIED" } else { "ADDED" };
            let mut object = found.map_or_else(|| json!({"metadata": {"name": name}}), |(_, object)| object.take());
            state.version += 1;
            change(&mut object);
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            state.objects.retain(|(_, object)| !object.is_null());
            state.objects.push((kind, object.clone()));
            (kind, event, object)
        });
    }

    /// Deletes the object of this kind and name.
    pub(crate) fn delete(&self, kind: &'static str, name: &str) {
        self.tell(|state| {
            let is = |(of, object): &(&str, Value)| *of == kind && object["metadata"]["name"] == name;
            let at = state.objects.iter().position(is).expect("the object");
            let mut object = state.objects.remove(at).1;
            state.version += 1;
            object["metadata"]["resourceVersion"] = state.version.to_string().into();
            (kind, "DELETED", object)
        });
    }

    /// Watches end, with half an event if `cuts`; nothing changed.
    pub(crate) fn end_watches(&self, cuts: bool) {
        let mut state = self.state.lock().expect("no thread failed");
        state.ends += 1;
        state.cuts = cuts;
        self.changed.notify_all();
    }

    /// The server forgets everything up to now: watches end, and none goes on from before.
    pub(crate) fn forget(&self) {
        let mut state = self.state.lock().expect("no thread failed");
        state.version += 10;
        state.forgotten = state.version;
        state.events.clear();
        self.changed.notify_all();
    }

    fn tell(&self, change: impl FnOnce(&mut State) -> (&'static str, &'static str, Value)) {
        let mut state = self.state.lock().expect("no thread failed");
        let (kind, event, object) = change(&mut state);
        let line = json!({"type": event, "object": object}).to_string() + "\n";
        let version = state.version;
        state.events.push((version, kind, line));
        self.changed.notify_all();
    }

    fn answer(self: &Arc<Self>, target: &str) -> Option<Reply> {
        let (path, query) = target.split_once('?')?;
        let (kind, file) = *KINDS.iter().find(|(kind, _)| path.ends_with(&format!("/{kind}")))?;
        let query = query.to_owned();
        if !query.contains("watch=1") {
            return Some(ok(self.list(kind, file, &query)));
        }
        let from = part(&query, "resourceVersion").and_then(|version| version.parse().ok()).expect("a state");
        let world = Arc::clone(self);
        Some(Reply::Stream(200, Arc::new(move |write| world.watch(kind, from, &query, write))))
    }

    fn list(&self, kind: &str, file: &str, query: &str) -> String {
        let state = self.state.lock().expect("no thread failed");
        let mut list: Value = serde_json::from_slice(&recorded(file)).expect("JSON");
        let items = state.objects.iter().filter(|(of, object)| *of == kind && is_chosen(query, object));
        list["items"] = items.map(|(_, object)| object.clone()).collect();
        list["metadata"] = json!({"resourceVersion": state.version.to_string()});
        list.to_string()
    }

    /// Writes events, and a bookmark where nothing happens.
    fn watch(
        &self,
        kind: &str,
        mut from: u64,
        query: &str,
        write: &mut dyn FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut state = self.state.lock().expect("no thread failed");
        let (ends, mut marked) = (state.ends, Instant::now());
        loop {
            if from < state.forgotten {
                let status =
                    json!({"kind": "Status", "code": 410, "message": "too old resource version", "reason": "Expired"});
                return write((json!({"type": "ERROR", "object": status}).to_string() + "\n").as_bytes());
            }
            let new = state.events.iter().filter(|(version, of, _)| *version > from && *of == kind);
            let new: Vec<(u64, String)> = new.map(|(version, _, line)| (*version, line.clone())).collect();
            let (over, cuts) = (state.ends > ends, state.cuts);
            drop(state);
            for (version, line) in new {
                from = version;
                let event: Value = serde_json::from_str(&line).expect("JSON");
                if is_chosen(query, &event["object"]) {
                    // In two pieces, as networks do.
                    let (one, other) = line.as_bytes().split_at(line.len() / 2);
                    write(one)?;
                    write(other)?;
                }
            }
            if over && cuts {
                write(br#"{"type":"DELETED","object":{"kind":"Serv"#)?;
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            if over {
                return Ok(());
            }
            if marked.elapsed() > Duration::from_millis(500) {
                marked = Instant::now();
                let object =
                    json!({"kind": "Service", "apiVersion": "v1", "metadata": {"resourceVersion": from.to_string()}});
                write((json!({"type": "BOOKMARK", "object": object}).to_string() + "\n").as_bytes())?;
            }
            state = self.state.lock().expect("no thread failed");
            let known = |state: &mut State| {
                state.ends == ends
                    && from >= state.forgotten
                    && !state.events.iter().any(|(version, ..)| *version > from)
            };
            state =
                self.changed.wait_timeout_while(state, Duration::from_millis(600), known).expect("no thread failed").0;
        }
    }
}

fn part<'q>(query: &'q str, name: &str) -> Option<&'q str> {
    query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

/// True if the selectors of a query choose an object.
fn is_chosen(query: &str, object: &Value) -> bool {
    let named = part(query, "fieldSelector").and_then(|selector| selector.strip_prefix("metadata.name%3D"));
    let of = part(query, "labelSelector").and_then(|selector| selector.strip_prefix("kubernetes.io%2Fservice-name%3D"));
    named.is_none_or(|name| object["metadata"]["name"] == name)
        && of.is_none_or(|name| object["metadata"]["labels"]["kubernetes.io/service-name"] == name)
}
