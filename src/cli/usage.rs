//! What is said of a command line that asks for help or cannot be understood.

use std::borrow::Cow;
use std::io;
use std::process::ExitCode;

use clap::Error;
use clap::error::{ContextKind, ContextValue};

use super::unwritten;
use crate::render::clean;

/// Prints it and gives the exit status. A closed pipe behind `--help` is no error.
pub(super) fn tell(mut error: Error) -> ExitCode {
    harmless(&mut error);
    match error.print() {
        Err(cause) if !error.use_stderr() && cause.kind() != io::ErrorKind::BrokenPipe => unwritten(&cause),
        _ => ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)),
    }
}

/// Escapes what would steer a terminal: an argument may come from a file or a script.
fn harmless(error: &mut Error) {
    let is_harmless = |text: &str| matches!(clean(text), Cow::Borrowed(_));
    let mut changes: Vec<(ContextKind, Option<ContextValue>)> = Vec::new();
    for (kind, value) in error.context() {
        match value {
            ContextValue::String(text) if !is_harmless(text) => {
                changes.push((kind, Some(ContextValue::String(clean(text).into_owned()))));
            }
            ContextValue::Strings(texts) if !texts.iter().all(|text| is_harmless(text)) => {
                let texts = texts.iter().map(|text| clean(text).into_owned()).collect();
                changes.push((kind, Some(ContextValue::Strings(texts))));
            }
            _ => {}
        }
    }
    // Tips quote the argument between colours, which are of the same kind as what is to be escaped.
    if std::env::args_os().any(|arg| !is_harmless(&arg.to_string_lossy())) {
        changes.push((ContextKind::Suggested, None));
    }
    for (kind, value) in changes {
        match value {
            Some(value) => _ = error.insert(kind, value),
            None => _ = error.remove(kind),
        }
    }
}
