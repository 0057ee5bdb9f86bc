//! The command line: one file a command. Only here text is printed and exit codes are made.

mod abort;
mod afar;
mod answer;
#[cfg(feature = "live")]
mod api;
mod args;
mod around;
#[cfg(feature = "live")]
mod behind;
mod beside_servers;
mod check;
mod choose;
mod collection;
mod command;
mod complete;
mod completions;
mod destination;
mod diff;
mod ends;
mod explain;
mod faithful;
#[cfg(feature = "live")]
mod fleet;
#[cfg(feature = "live")]
mod follow;
mod gather;
mod list;
mod man;
mod manifest;
mod meet;
mod names;
#[cfg(feature = "live")]
mod node;
mod objects;
mod others;
mod out;
mod parts;
mod phases;
mod program;
mod pseudonyms;
mod scene;
mod show;
mod side;
mod snapshot;
mod texts;
mod trace;
mod usage;
mod viewpoint;
#[cfg(feature = "live")]
mod watch;

use std::io::{IsTerminal as _, Write};
use std::process::ExitCode;

use clap::{ArgAction, CommandFactory as _, FromArgMatches as _, Parser};
use owo_colors::OwoColorize as _;

use crate::render::{ERROR, HINT, NOTE, clean, json, json_lines, unstyled};
use crate::report;
use crate::shell;
use crate::source::SourceError;
use args::Color;
use command::Command;
use program::Called;

/// Shows what a Kubernetes node really does with Service traffic: every endpoint and its effective share.
///
/// Reads the rules of this node, a saved dump or a pipe; never changes anything.
#[derive(Debug, Parser)]
#[command(name = "kube-ipt", version, max_term_width = 100, subcommand_required = true, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
    /// When to use colours.
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto, value_name = "WHEN")]
    color: Color,
    /// Say more: commands that were run, lines and matches that were not understood; twice, where the time goes too.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    verbose: u8,
}

/// Why a command did not give its answer; exit status 2.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Failure {
    /// One line.
    what: String,
    hints: Vec<String>,
}

impl From<SourceError> for Failure {
    fn from(error: SourceError) -> Self {
        Self { what: error.what, hints: error.hints }
    }
}

/// What a command has to say.
#[derive(Debug, Default)]
struct Outcome {
    /// The answer, for stdout.
    answer: Answer,
    /// What the reader should know, for stderr.
    notes: Vec<Note>,
    /// What was asked for and not found, for stderr; makes the exit status 1.
    missing: Vec<String>,
    /// There are findings that make the exit status 1.
    failed: bool,
    /// The same for answers that say the same, where a watch asks.
    likeness: u64,
}

/// What the reader of an answer should know.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Note {
    /// One line.
    what: String,
    /// What to try next.
    hint: Option<String>,
}

impl From<String> for Note {
    fn from(what: String) -> Self {
        Self { what, hint: None }
    }
}

impl Outcome {
    fn note(&mut self, notes: impl IntoIterator<Item = String>) {
        self.notes.extend(notes.into_iter().map(Note::from));
    }
}

/// An answer, ready to be written.
#[derive(Debug)]
enum Answer {
    /// For people.
    Text(String),
    /// Text that programs read, which stays as it is.
    Data(String),
    /// To be written as JSON, which is large and so never held as text.
    Json(Box<report::Any>),
    /// Not for a terminal.
    Bytes(Vec<u8>),
}

impl Default for Answer {
    fn default() -> Self {
        Self::Text(String::new())
    }
}

impl Answer {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Text(text) | Self::Data(text) if text.is_empty())
    }

    /// Writes it without colours.
    fn write_plain(&self, out: &mut dyn Write) -> std::io::Result<()> {
        match self {
            Self::Text(text) => write_unstyled(&Called::now().told(text), out),
            Self::Data(text) => out.write_all(text.as_bytes()),
            Self::Bytes(bytes) => out.write_all(bytes),
            Self::Json(document) => json_lines(document, out),
        }
    }
}

/// Runs the program and gives its exit status: 0 fine, 1 nothing matched or there are findings, 2 an error.
pub fn main() -> ExitCode {
    abort::ends_with_two();
    let called = Called::now();
    if let Some(words) = complete::asked(called) {
        // Never an error or a note: somebody is typing there.
        let _ = std::io::stdout().lock().write_all(complete::answer(&words).as_bytes());
        return ExitCode::SUCCESS;
    }
    let mut command = called.command();
    let matches = command.try_get_matches_from_mut(std::env::args_os());
    let parsed = matches.and_then(|mut matches| Cli::from_arg_matches_mut(&mut matches));
    let cli = match parsed.map_err(|error| error.format(&mut command)) {
        Ok(cli) => cli,
        Err(error) => return usage::tell(error),
    };
    // Its memory is used again: new memory costs a short run more than to take it apart.
    drop(command);
    cli.color.settle();
    let width = terminal_width();
    if cli.verbose > 1 {
        phases::measure();
    }
    let verbose = cli.verbose > 0;
    let result = match &cli.command {
        Command::Show(args) => show::run(args, verbose, width),
        Command::List(args) => list::run(args, verbose, width),
        Command::Check(args) => check::run(args, verbose, width),
        Command::Trace(args) => trace::run(args, verbose, width),
        Command::Diff(args) => diff::run(args, verbose, width),
        Command::Snapshot(args) => snapshot::run(args, verbose),
        Command::Explain(args) => explain::run(args, width),
        Command::Manifest(args) => Ok(manifest::run(args)),
        Command::Completions(args) => Ok(completions::run(args)),
        Command::Man(args) => man::run(args),
    };
    match result {
        Ok(outcome) => {
            let status = phases::phase("write", || finish(&outcome));
            if let Some(told) = phases::told() {
                say(&told);
            }
            // The process ends here: taking an answer of a hundred thousand endpoints apart piece by piece only costs time.
            std::mem::forget(outcome);
            status
        }
        Err(failure) => {
            let mut err = anstream::stderr();
            let _ = writeln!(err, "{} {}", "error:".style(ERROR), clean(&called.told(&failure.what)));
            let typed = typed();
            for hint in &failure.hints {
                let hint = typed.as_ref().map_or_else(|| hint.clone(), |typed| with_typed(hint, typed));
                let _ = writeln!(err, "  {}  {}", "try:".style(HINT), clean(&called.told(&hint)));
            }
            ExitCode::from(2)
        }
    }
}

/// Prints an outcome. A reader that closes the pipe has what it wanted.
fn finish(outcome: &Outcome) -> ExitCode {
    tell(&outcome.notes, &outcome.missing);
    let written = match &outcome.answer {
        Answer::Text(text) => put(text),
        Answer::Data(text) => std::io::stdout().lock().write_all(text.as_bytes()),
        Answer::Bytes(bytes) => std::io::stdout().lock().write_all(bytes),
        // Has no colours to be taken out.
        Answer::Json(document) if std::io::stdout().is_terminal() => json(document, &mut std::io::stdout().lock()),
        Answer::Json(document) => {
            widen_pipe(document);
            json_lines(document, &mut std::io::stdout().lock())
        }
    };
    match written {
        Ok(()) if outcome.missing.is_empty() && !outcome.failed => ExitCode::SUCCESS,
        Ok(()) => ExitCode::from(1),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => unwritten(&error),
    }
}

/// Gives the pipe behind stdout more room for a large answer, if there is one: it takes a sixth less time where neither side
/// waits for the other at every 64 kB.
#[cfg(target_os = "linux")]
fn widen_pipe(document: &report::Any) {
    use rustix::pipe::{fcntl_getpipe_size, fcntl_setpipe_size};
    /// More service ports than this fill a pipe many times.
    const MANY: usize = 200;
    /// In bytes: what Linux lets everyone have (`/proc/sys/fs/pipe-max-size`).
    const PIPE: usize = 1 << 20;
    let stdout = std::io::stdout();
    let is_large = matches!(document, report::Any::Services(document) if document.services.len() > MANY);
    if is_large && fcntl_getpipe_size(&stdout).is_ok_and(|size| size < PIPE) {
        // A wish: somebody who has very many pipes may not have more.
        let _ = fcntl_setpipe_size(&stdout, PIPE);
    }
}

#[cfg(not(target_os = "linux"))]
fn widen_pipe(_: &report::Any) {}

/// Says that an answer could not be written.
fn unwritten(error: &std::io::Error) -> ExitCode {
    let mut err = anstream::stderr();
    let _ = writeln!(err, "{} cannot write the answer: {error}", "error:".style(ERROR));
    ExitCode::from(2)
}

/// Says what is to be said around an answer.
fn tell(notes: &[Note], missing: &[String]) {
    let called = Called::now();
    let mut err = anstream::stderr();
    for note in notes {
        let _ = writeln!(err, "{} {}", "note:".style(NOTE), clean(&called.told(&note.what)));
        if let Some(hint) = &note.hint {
            let _ = writeln!(err, "  {}  {}", "try:".style(HINT), clean(&called.told(hint)));
        }
    }
    for missing in missing {
        let _ = writeln!(err, "{} {}", "error:".style(ERROR), clean(&called.told(missing)));
    }
}

/// Writes a part of the answer.
fn put(text: &str) -> std::io::Result<()> {
    let text = Called::now().told(text);
    if !is_colored() {
        // Colours are taken out piece by piece, and not each piece is worth a write.
        let mut out = std::io::BufWriter::with_capacity(text.len().min(1 << 16), std::io::stdout().lock());
        return write_unstyled(&text, &mut out).and_then(|()| out.flush());
    }
    let mut out = anstream::stdout();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Writes text without its colours.
fn write_unstyled(text: &str, out: &mut dyn Write) -> std::io::Result<()> {
    unstyled(text).try_for_each(|piece| out.write_all(piece.as_bytes()))
}

/// Writes a document as one line.
#[cfg(feature = "live")]
fn put_line(document: &report::Any) -> std::io::Result<()> {
    crate::render::json_line(document, &mut std::io::stdout().lock())
}

/// Writes what steers the terminal, as it is.
#[cfg(feature = "live")]
fn put_raw(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush())
}

/// Columns and rows of the terminal that reads the answer; `None` if none does, or one that cannot move its cursor.
#[cfg(feature = "live")]
fn terminal() -> Option<(usize, usize)> {
    let (terminal_size::Width(columns), terminal_size::Height(rows)) =
        terminal_size::terminal_size_of(std::io::stdout())?;
    let moves = std::env::var_os("TERM").is_none_or(|name| name != "dumb");
    moves.then(|| (usize::from(columns), usize::from(rows)))
}

/// True if colours stay.
fn is_colored() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}

/// Says something on stderr while a command still works.
fn say(note: &str) {
    let mut err = anstream::stderr();
    let _ = writeln!(err, "{} {}", "note:".style(NOTE), clean(&Called::now().told(note)));
}

/// The command line as it was typed, for hints; `None` if it names a dump already.
fn typed() -> Option<String> {
    let names_dump = |arg: &str| ["-f", "--file", "--demo"].iter().any(|flag| arg.starts_with(flag));
    let named = std::env::args_os().skip(1).any(|arg| names_dump(&arg.to_string_lossy()));
    (!named).then(|| retyped(&[]))
}

/// A hint that says how to ask the same of other rules, with the command that was typed in place of `kube-ipt show`. One that names
/// what to show is a command as it is.
fn with_typed(hint: &str, typed: &str) -> String {
    let Some((before, behind)) = hint.split_once("kube-ipt show") else { return hint.to_owned() };
    let is_any = ["    ", " -f FILE", " --node NODE"].iter().any(|next| behind.starts_with(next));
    if is_any || behind.is_empty() { format!("{before}{typed}{behind}") } else { hint.to_owned() }
}

/// The command line as it was typed, for hints, with other words for some of its words, or none.
fn retyped(changes: &[(&str, Option<&str>)]) -> String {
    let mut args: Vec<String> = std::env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    for (old, new) in changes {
        // What is chosen stands behind the command.
        let Some(at) = args.iter().rposition(|arg| arg == old) else { continue };
        match new {
            Some(new) => (*new).clone_into(&mut args[at]),
            None => _ = args.remove(at),
        }
    }
    let words: Vec<_> = args.iter().map(|arg| shell::word(arg)).collect();
    format!("kube-ipt {}", words.join(" "))
}

/// True if a terminal reads the answer.
fn is_terminal() -> bool {
    std::io::stdout().is_terminal()
}

/// Columns of the terminal that reads the answer; `None` if none does.
fn terminal_width() -> Option<usize> {
    let (terminal_size::Width(columns), _) = terminal_size::terminal_size_of(std::io::stdout())?;
    Some(usize::from(columns))
}

/// The long help of the program and of every command, for tests that watch the command line.
pub fn long_helps() -> Vec<(String, String)> {
    let mut command = Cli::command();
    command.build();
    let of = |c: &mut clap::Command| (c.get_name().to_owned(), c.render_long_help().to_string());
    let mut helps = vec![of(&mut command.clone())];
    helps.extend(command.get_subcommands_mut().filter(|c| c.get_name() != "help").map(of));
    helps
}
