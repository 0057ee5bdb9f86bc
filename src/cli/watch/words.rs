//! What a watch says of itself.

use std::time::Duration;

use crate::cli::Failure;
use crate::cli::args::SourceArgs;

/// The error where what is to be read again can be read only once.
pub(super) fn read_once() -> Failure {
    let what = "--watch reads again and again, and standard input can be read only once".to_owned();
    Failure { what, hints: vec!["give a file: -f FILE    (it is read again when it changes)".to_owned()] }
}

/// Where the rules come from.
pub(super) fn place(source: &SourceArgs) -> String {
    let files: Vec<String> = source.file.iter().map(|path| path.display().to_string()).collect();
    match (&source.via, &source.objects.node) {
        _ if !files.is_empty() => files.join(", "),
        (Some(via), _) => format!("the node of {}/{}", via.namespace, via.pod),
        (None, Some(node)) => format!("node {node}"),
        (None, None) => "this node".to_owned(),
    }
}

/// `2s`, `500ms`
pub(super) fn words(time: Duration) -> String {
    let milliseconds = time.as_millis();
    if milliseconds.is_multiple_of(1000) { format!("{}s", milliseconds / 1000) } else { format!("{milliseconds}ms") }
}
