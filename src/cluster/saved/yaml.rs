//! Objects written as YAML: one document or several, each a list, an array or an object.

use super::{Bad, Saved, json};
use crate::cluster::yaml;

/// Reads `text` into `saved`.
pub(super) fn read(text: &str, saved: &mut Saved) -> Result<(), Bad> {
    let mut found = false;
    for document in yaml::documents(text) {
        let document = document.map_err(|bad| (Some(bad.at), format!("not YAML: {}", bad.what)))?;
        found = true;
        if document.is_cut_list() {
            return Err((
                Some((document.end, 1)),
                "the list ends without saying that it is one: it was cut off".to_owned(),
            ));
        }
        // All of a text without structure is one string to YAML.
        if document.json.starts_with('"') {
            let what = "text, not Kubernetes objects, which kubectl prints with -o json or -o yaml";
            return Err((document.place(1), what.to_owned()));
        }
        saved.may_lack_its_end = !document.is_whole();
        let read = json::read(&document.json, saved);
        saved.may_lack_its_end = false;
        read.map_err(|(at, what)| (at.and_then(|(line, _)| document.place(line)), what))?;
    }
    if found { Ok(()) } else { Err((None, "is empty; expected Kubernetes objects".to_owned())) }
}
