//! Objects of Kubernetes as JSON and as YAML: what was read is written so that the same is read again, and both forms of one
//! object are the same facts.

use kube_ipt::cluster::{Facts, Saved, emit};
use kube_ipt::render::yaml;
use serde_json::Value;

/// What facts may grow to when they are written, a field a word.
const GROWTH: usize = 256;

pub(super) fn json(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    reads_again(&text);
    // A key that stands twice is one to the value, and both to the text.
    let Ok(value) = serde_json::from_str::<Value>(&text) else { return };
    let Ok(written) = yaml(&value) else { return };
    let (one, other) = (read(&value.to_string()), read(&written));
    if let (Some(one), Some(other)) = (one, other) {
        assert_eq!(one, other, "as JSON and as YAML: {written}");
    }
}

pub(super) fn yaml_too(data: &[u8]) {
    reads_again(&String::from_utf8_lossy(data));
}

fn read(text: &str) -> Option<Facts> {
    let mut saved = Saved::default();
    saved.read("objects", text).ok()?;
    Some(saved.into_facts())
}

fn reads_again(text: &str) {
    let mut saved = Saved::default();
    if let Err(error) = saved.read("objects", text) {
        // To YAML a carriage return alone ends a line too.
        let lines = text.lines().count() + text.matches('\r').count();
        assert!(error.at.is_none_or(|(line, column)| line > 0 && column > 0 && line <= lines + 1), "{error}");
        assert!(!error.to_string().contains('\n'), "an error of several lines: {error}");
        return;
    }
    let facts = saved.into_facts();
    let written = emit(&facts);
    assert!(written.len() <= GROWTH * text.len() + 1024, "{} bytes became {}", text.len(), written.len());
    if written.is_empty() {
        return;
    }
    let mut again = Saved::default();
    again.read("written", &written).expect("what was written is read");
    assert_eq!(again.into_facts_of(facts.coverage.clone()), facts, "{written}");
}
