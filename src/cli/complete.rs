//! Completion of a command line: what may stand where the cursor is.
//!
//! Shells, and kubectl for its plugin, run `kube-ipt __complete WORD…`, the last WORD being the one at the cursor. The answer is
//! that of cobra, which kubectl reads: a candidate a line, a tab before what it means, and a last line `:4` (nothing else
//! fits) or `:0` (files fit). Scripts hold no names of commands or flags, so that an old one completes a new program.
//!
//! clap's engine knows commands and flags. Its own scripts are not used: bash takes words apart at `:` and `=`, which names
//! and flags here hold, and those scripts do not put them together again.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;
use std::sync::Arc;

use clap::{Arg, ArgMatches, Command, CommandFactory as _};
use clap_complete::engine::{ArgValueCompleter, CompletionCandidate, complete};

use super::Cli;
use super::names::Names;
use super::program::{Called, NAME};
use crate::checks::CHECKS;
use crate::dataplane::ServiceName;
use crate::order::Order as _;
use crate::render::clean;

/// The command that completes; no command of the program, for it must not be completed itself.
const COMMAND: &str = "__complete";

/// Marks the candidate that stands for files, which a shell finds better.
const FILES: &str = "files";

/// The shell must not look for files.
const NOTHING_ELSE: u8 = 4;

/// The words to be completed, if that is asked.
pub(super) fn asked(called: Called) -> Option<Vec<OsString>> {
    let mut words = std::env::args_os().skip(1).peekable();
    let asked = called == Called::Completion || words.next_if(|word| word == COMMAND).is_some();
    asked.then(|| words.collect())
}

/// What fits, as shells read it.
pub(super) fn answer(words: &[OsString]) -> String {
    let empty = OsString::new();
    let (current, before) = words.split_last().unwrap_or((&empty, &[]));
    let line: Vec<OsString> = std::iter::once(NAME.into()).chain(before.iter().cloned()).collect();
    let names = Arc::new(Names::of(read(line.clone()).as_ref()));
    let mut command = Cli::command();
    // Commands have no flags before.
    command.build();
    let mut command = with_completers(command, &names);
    let at = line.len();
    let typed = line.into_iter().map(|word| with_equals(word, &command)).chain([current.clone()]).collect();
    let found = complete(&mut command, typed, at, None).unwrap_or_default();
    let is_flag = |text: &OsStr| text.as_encoded_bytes().starts_with(b"-");
    let mut out = String::new();
    let mut rest = NOTHING_ELSE;
    for candidate in &found {
        if candidate.get_tag().is_some_and(|tag| tag.to_string() == FILES) {
            rest = 0;
        } else if let Some(value) = candidate
            .get_value()
            .to_str()
            .filter(|value| (is_flag(current) || !is_flag(value.as_ref())) && is_one_word(value))
        {
            let help = candidate.get_help().map(ToString::to_string).unwrap_or_default();
            let _ = match help.lines().next() {
                Some(help) => writeln!(out, "{value}\t{help}"),
                None => writeln!(out, "{value}"),
            };
        }
    }
    let _ = writeln!(out, ":{rest}");
    out
}

/// True for what a shell takes as it is: names come from dumps and kubeconfigs that anybody may have written.
fn is_one_word(value: &str) -> bool {
    let acts = |c: char| c.is_whitespace() || "$`\"'\\;&|<>(){}*?!".contains(c);
    matches!(clean(value), Cow::Borrowed(_)) && !value.contains(acts)
}

/// A flag whose value is only ever behind `=` has none if it stands alone, which the engine does not know.
fn with_equals(mut word: OsString, command: &Command) -> OsString {
    let is_it = |arg: &Arg| {
        let long = arg.get_long().filter(|_| arg.is_require_equals_set());
        long.is_some_and(|long| word.to_str().and_then(|word| word.strip_prefix("--")) == Some(long))
    };
    if command.get_subcommands().flat_map(Command::get_arguments).any(is_it) {
        word.push("=");
    }
    word
}

/// What stands before the cursor, as far as it can be understood: the flags of the innermost command.
fn read(line: Vec<OsString>) -> Option<ArgMatches> {
    let mut matches = Cli::command().ignore_errors(true).try_get_matches_from(line).ok()?;
    while let Some((_, inner)) = matches.remove_subcommand() {
        matches = inner;
    }
    Some(matches)
}

/// Tells clap where to find the values of arguments, by what the arguments are called everywhere in this program.
fn with_completers(command: Command, names: &Arc<Names>) -> Command {
    let command = command.mut_args(|arg| match values(&arg, names) {
        Some(completer) => arg.add(completer),
        None => arg,
    });
    command.mut_subcommands(|inner| with_completers(inner, names))
}

fn values(arg: &Arg, names: &Arc<Names>) -> Option<ArgValueCompleter> {
    let names = Arc::clone(names);
    Some(match arg.get_id().as_str() {
        "what" | "to" => ArgValueCompleter::new(move |typed: &OsStr| services(&names, typed)),
        "from" => beginning(|| plain(["external", "localhost", "node", "pod"])),
        "namespace" => beginning(move || plain(names.namespaces())),
        "node" => beginning(move || plain(names.nodes())),
        "context" => beginning(move || plain(names.contexts())),
        "command" => beginning(|| plain(Cli::command().get_subcommands().map(|inner| inner.get_name().to_owned()))),
        "code" | "select" | "ignore" => beginning(codes),
        // The sides of a comparison are files, or one of a few words.
        id if matches!(id, "a" | "b") || arg.get_value_hint() == clap::ValueHint::AnyPath => {
            ArgValueCompleter::new(|_: &OsStr| vec![CompletionCandidate::new("FILE").tag(Some(FILES.into()))])
        }
        _ => return None,
    })
}

/// Those that begin with what was typed.
fn beginning(all: impl Fn() -> Vec<CompletionCandidate> + Send + Sync + 'static) -> ArgValueCompleter {
    ArgValueCompleter::new(move |typed: &OsStr| {
        let typed = typed.to_string_lossy();
        all().into_iter().filter(|one| one.get_value().to_string_lossy().starts_with(&*typed)).collect()
    })
}

fn plain(values: impl IntoIterator<Item = impl Into<OsString>>) -> Vec<CompletionCandidate> {
    values.into_iter().map(CompletionCandidate::new).collect()
}

/// The findings, by name and by code.
fn codes() -> Vec<CompletionCandidate> {
    let both = CHECKS.iter().flat_map(|check| [(check.slug, check), (check.id, check)]);
    both.map(|(name, check)| CompletionCandidate::new(name).help(Some(check.summary().into()))).collect()
}

/// The Services that `typed` may become.
fn services(names: &Names, typed: &OsStr) -> Vec<CompletionCandidate> {
    let Some(typed) = typed.to_str() else { return Vec::new() };
    let kind = ["service/", "services/", "svc/"].into_iter().find(|kind| typed.starts_with(kind)).unwrap_or_default();
    let forms = forms(&names.services(), names.namespace(), &typed[kind.len()..]);
    plain(forms.into_iter().map(|form| format!("{kind}{form}")))
}

/// `namespace/name` of the Services that `typed` begins, and `name` alone once a part of it is typed, or where the namespace
/// is given; with the name of the port once there is a colon.
fn forms(services: &[ServiceName], namespace: Option<&str>, typed: &str) -> Vec<String> {
    let with_port = typed.contains(':');
    let mut forms: Vec<String> = services
        .iter()
        .filter(|name| namespace.is_none_or(|only| name.namespace == only))
        .flat_map(|name| {
            let port = name.port.as_ref().filter(|_| with_port).map(|port| format!(":{port}")).unwrap_or_default();
            let bare = format!("{}{port}", name.service);
            let whole = format!("{}/{bare}", name.namespace);
            let bare = (namespace.is_some() || !typed.is_empty()).then_some(bare);
            [bare, (namespace.is_none() || typed.contains('/')).then_some(whole)]
        })
        .flatten()
        .filter(|form| form.starts_with(typed))
        .collect();
    forms.order();
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_told_as_they_are_typed() {
        let names = ["shop/cart:http", "shop/cart:metrics", "cafe/cart", "shop/till"];
        let services: Vec<ServiceName> = names.into_iter().map(|name| ServiceName::parse(name).expect(name)).collect();
        let forms = |namespace, typed| forms(&services, namespace, typed).join(" ");
        assert_eq!(forms(None, ""), "cafe/cart shop/cart shop/till");
        assert_eq!(forms(None, "ca"), "cafe/cart cart");
        assert_eq!(forms(None, "shop/cart:"), "shop/cart:http shop/cart:metrics");
        assert_eq!(forms(None, "cart:m"), "cart:metrics");
        assert_eq!(forms(Some("shop"), ""), "cart till");
        assert_eq!(forms(Some("shop"), "shop/t"), "shop/till");
        assert_eq!(forms(None, "x"), "");
    }
}
