//! From flags to indexed dumps.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use super::afar::Afar;
use super::args::{Reads, SourceArgs};
use super::{Failure, collection, parts, texts};
use crate::dump::iptables::{
    Backend, Dump, Hints, Provenance, TableName, Why, mend, restore_line_breaks, restore_nft_view, restore_xml,
};
use crate::dump::{Foreign, is_gzip, nft, recognise};
use crate::proxy::iptables::joined;
use crate::shell;
use crate::shorten::shortened;
use crate::source::{self, Bundle, Capture, Input, Tables};

/// How long standard input may keep silent before we say that we wait for it.
const PATIENCE: Duration = Duration::from_secs(2);

/// Longest part of a line that is quoted in a note.
const QUOTED: usize = 60;

/// Reads what the flags name, the first that applies: files, the demo, standard input, another node, this one.
pub(super) fn bundle(args: &SourceArgs, tables: Tables, afar: &Afar, verbose: bool) -> Result<Bundle, Failure> {
    let reads_objects = args.objects.objects.iter().any(|path| path.as_os_str() == "-");
    let mut empty = false;
    if !afar.is_certain() {
        if let Some(demo) = args.demo {
            return Ok(source::Demo::from(demo).rules());
        }
        if !args.file.is_empty() {
            return files(args, verbose);
        }
        if !reads_objects && args.reads == Reads::Any && source::stdin_offers_text() {
            if let Some(bundle) = piped(args, verbose)? {
                return Ok(bundle);
            }
            empty = true;
        }
    }
    let mut bundle = live(args, tables, afar)?;
    if empty {
        // What should have written there may have failed, and its node is another one.
        bundle.notes.push("nothing came on standard input: the rules are those of the running node".to_owned());
    }
    restored(&mut bundle)?;
    Ok(bundle)
}

/// Gives what commands printed the form in which it is read.
pub(super) fn restored(bundle: &mut Bundle) -> Result<(), Failure> {
    bundle.captures.iter_mut().try_for_each(|capture| restore(capture, &mut bundle.notes))
}

/// Every node that the files hold, by name, and those they say could not be read.
#[cfg(feature = "live")]
pub(super) fn nodes(args: &SourceArgs, verbose: bool) -> Result<source::Kept, Failure> {
    use crate::order::Order as _;

    let mut all = source::Kept { nodes: Vec::new(), unread: Vec::new() };
    for path in &args.file {
        let input = if path.as_os_str() == "-" { stdin()? } else { source::open(path, &collection::matters)? };
        match input {
            Input::Collection(collection) => {
                let mut kept = collection::bundles(collection, verbose)?;
                kept.nodes.iter_mut().for_each(with_all_of_nft);
                all.nodes.append(&mut kept.nodes);
                all.unread.append(&mut kept.unread);
            }
            Input::Text(capture, _) => {
                let what = format!(
                    "{} is the dump of one node: --all-nodes reads snapshots and folders of several",
                    capture.label
                );
                return Err(Failure { what, hints: vec!["leave out --all-nodes".to_owned()] });
            }
        }
    }
    all.nodes.order_by(|a, b| a.node.cmp(&b.node));
    // What one file lacks another may have.
    all.unread.order_by(|a, b| a.node.cmp(&b.node));
    all.unread.dedup_by(|a, b| a.node == b.node);
    let is_read = |node: &str| all.nodes.iter().any(|bundle| bundle.node.as_deref() == Some(node));
    all.unread.retain(|unread| !is_read(&unread.node));
    Ok(all)
}

fn files(args: &SourceArgs, verbose: bool) -> Result<Bundle, Failure> {
    let mut bundle = Bundle::default();
    let dashes = args.file.iter().chain(&args.objects.objects).filter(|path| path.as_os_str() == "-").count();
    if dashes > 1 {
        let what = format!("- was given {dashes} times, but standard input can be read only once");
        return Err(Failure { what, hints: vec!["give every other dump or list of objects as a file".to_owned()] });
    }
    for path in &args.file {
        let input = if path.as_os_str() == "-" { stdin()? } else { source::open(path, &collection::matters)? };
        add(&mut bundle, read(input, args, verbose)?);
    }
    with_all_of_nft(&mut bundle);
    Ok(bundle)
}

fn with_all_of_nft(bundle: &mut Bundle) {
    let more = parts::beside_own_table(&bundle.captures, &mut bundle.notes);
    bundle.captures.extend(more);
}

/// What was given: one text as it is, or what a collection has of the node.
fn read(input: Input, args: &SourceArgs, verbose: bool) -> Result<Bundle, Failure> {
    match input {
        Input::Collection(collection) => collection::bundle(collection, args.objects.node.as_deref(), verbose),
        Input::Text(capture, note) => {
            let mut notes: Vec<String> = note.into_iter().collect();
            let mut captures = parts::apart(capture, &mut notes);
            captures.iter_mut().try_for_each(|capture| restore(capture, &mut notes))?;
            Ok(Bundle { captures, notes, ..Bundle::default() })
        }
    }
}

/// Adds what else was given of the same node.
fn add(bundle: &mut Bundle, more: Bundle) {
    bundle.captures.extend(more.captures);
    bundle.notes.extend(more.notes);
    bundle.proxy_mode = more.proxy_mode.or(bundle.proxy_mode.take());
    bundle.commands.extend(more.commands);
    bundle.node = bundle.node.take().or(more.node);
    bundle.machine = bundle.machine.take().or(more.machine);
    bundle.read_at = bundle.read_at.max(more.read_at);
    bundle.versions.extend(more.versions);
    bundle.collection = more.collection.or(bundle.collection.take());
    if bundle.objects.is_empty() {
        bundle.objects = more.objects;
    } else if !more.objects.is_empty() {
        bundle.objects = bundle.objects.iter().chain(more.objects.iter()).cloned().collect();
    }
}

/// Reads standard input, and says so if nothing comes: a pipe nobody writes to looks like a program that hangs.
fn stdin() -> Result<Input, Failure> {
    let read = || source::stdin(&collection::matters);
    let (done, waiting) = mpsc::channel();
    let reader = thread::Builder::new().spawn(move || {
        let read = read();
        // Nobody listens any more if it took long; what was read is the thread's result.
        let _ = done.send(());
        read
    });
    // Where no thread can be started, it is only not said that nothing comes.
    let Ok(reader) = reader else { return Ok(read()?) };
    if waiting.recv_timeout(PATIENCE).is_err() && !reader.is_finished() {
        super::say("reading rules from standard input; for the rules of this node: kube-ipt show </dev/null");
    }
    let read = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    Ok(read?)
}

/// A dump on standard input. An empty pipe is none.
fn piped(args: &SourceArgs, verbose: bool) -> Result<Option<Bundle>, Failure> {
    match stdin()? {
        Input::Text(capture, _) if capture.text.trim().is_empty() => Ok(None),
        input => {
            let mut bundle = read(input, args, verbose)?;
            with_all_of_nft(&mut bundle);
            Ok(Some(bundle))
        }
    }
}

#[cfg(feature = "live")]
fn live(args: &SourceArgs, tables: Tables, afar: &Afar) -> Result<Bundle, Failure> {
    let family = args.family.map(crate::net::Family::from);
    if let Some(bundle) = afar.listed(args, family, tables)? {
        return Ok(bundle);
    }
    Ok(source::listed(&source::Here, source::Wanted { family, tables })?)
}

#[cfg(not(feature = "live"))]
fn live(_: &SourceArgs, _: Tables, _: &Afar) -> Result<Bundle, Failure> {
    let what = "no dump given, and this kube-ipt was built without reading live rules".to_owned();
    Err(Failure { what, hints: vec!["iptables-save | kube-ipt show".to_owned(), "kube-ipt show -f FILE".to_owned()] })
}

/// Gives a dump back its line breaks, or the form it had before `iptables-xml`, and what hands and terminals did to its lines.
pub(super) fn restore(capture: &mut Capture, notes: &mut Vec<String>) -> Result<(), Failure> {
    if capture.command.is_none()
        && let Some((text, mended)) = mend(&capture.text)
    {
        capture.text = text.into();
        notes.extend(mended.iter().map(|what| what.told(&capture.label)));
    }
    let of_nft = !begins_like_rules(&capture.text);
    if let Some(listing) = of_nft.then(|| nft::restore(&capture.text)).flatten() {
        let what = |error| format!("{} is JSON of nft that cannot be read: {error}", capture.label);
        let hints = || vec!["nft list ruleset > FILE    (the text, read line by line)".to_owned()];
        capture.text = listing.map_err(|error| Failure { what: what(error), hints: hints() })?.into();
        if capture.command.is_none() {
            let label = &capture.label;
            notes.push(format!("{label} is JSON of nft: line numbers are those of the listing that says the same"));
        }
    }
    if of_nft && texts::has_own_table(&capture.text) {
        return Ok(());
    }
    if let Some(xml) = restore_xml(&capture.text) {
        let what = |error| format!("{} is iptables-xml output that cannot be read: {error}", capture.label);
        capture.text = xml.map_err(|error| Failure { what: what(error), hints: Vec::new() })?.into();
        notes.push(format!("{} is iptables-xml output: line numbers are those of the dump in it", capture.label));
    } else if let Some(text) = restore_nft_view(&capture.text) {
        capture.text = text.into();
        notes.push(format!(
            "{} shows iptables rules through nft, which hides some conditions: shares behind them are unknown, and line \
             numbers are not those of the file; iptables-save shows everything",
            capture.label
        ));
    } else if let Some(text) = restore_line_breaks(&capture.text) {
        capture.text = text.into();
        notes.push(format!("{} has lost its line breaks: they were put back before every rule", capture.label));
    }
    Ok(())
}

/// Indexes rules of iptables. A text without a single line of a dump is an error that says what it looks like.
pub(super) fn dump(capture: &Capture) -> Result<Dump<'_>, Failure> {
    if capture.text.len() > Dump::MAX_BYTES {
        return Err(source::too_large(&capture.label).into());
    }
    if is_gzip(capture.text.as_bytes()) {
        return Err(foreign(capture));
    }
    let dump = scan(capture);
    // Of bytes that are no text a line looks like a table or chain by chance.
    let is_noise = || dump.sections.iter().all(|section| section.rules == 0) && capture.text.contains('\0');
    // A command that lists nothing says that nothing is there; a text must show what it is.
    if capture.command.is_some() || !(dump.is_empty() || is_noise()) {
        return Ok(dump);
    }
    Err(foreign(capture))
}

/// The rules of iptables in a text.
pub(super) fn scan(capture: &Capture) -> Dump<'_> {
    joined(Dump::scan(&capture.text, hints(capture)))
}

/// True if a line of the text is one of rules of iptables.
pub(super) fn has_rules(capture: &Capture) -> bool {
    !scan(capture).is_empty()
}

/// True if the first line that has words is one of a listing of iptables, whose `-A` ipvsadm has too.
pub(super) fn begins_like_rules(text: &str) -> bool {
    let first = text.lines().map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_some_and(|line| {
        let appends = line.strip_prefix("-A ").is_some_and(|rest| !rest.starts_with('-'));
        appends || line.starts_with('*') || line.starts_with(':') || line.starts_with("-P ") || line.starts_with("-N ")
    })
}

/// The error for a text that is no dump: it says what the text looks like.
fn foreign(capture: &Capture) -> Failure {
    let foreign = recognise(capture.text.as_bytes());
    let what = match foreign {
        Foreign::Nft => {
            format!(
                "{} {foreign} in which no table begins: a line like 'table ip kube-proxy {{' is missing",
                capture.label
            )
        }
        _ => format!("{} {foreign}; expected rules of iptables or nftables, or an ipvsadm listing", capture.label),
    };
    let hint = match foreign {
        Foreign::Gzip if capture.label == "stdin" => "put zcat before it: … | zcat | kube-ipt show".to_owned(),
        Foreign::Gzip => format!("zcat {} | kube-ipt show", shell::operand(&capture.label)),
        Foreign::Objects if capture.label != "stdin" => format!("--objects {}", shell::word(&capture.label)),
        Foreign::Objects => {
            "--objects -    (reads them from standard input; the rules come by -f or from this node)".to_owned()
        }
        Foreign::Nft => "save all of it with: nft list ruleset > FILE".to_owned(),
        _ => "save the rules of the node with: iptables-save > FILE".to_owned(),
    };
    Failure { what, hints: vec![hint] }
}

fn hints(capture: &Capture) -> Hints {
    let Some(command) = &capture.command else { return Hints::default() };
    Hints {
        family: Some(command.family),
        backend: command.backend.map(|backend| match backend {
            source::Backend::Legacy => Backend::Legacy,
            source::Backend::NfTables => Backend::NfTables,
        }),
        table: TableName::parse(command.table),
        table_guessed: false,
        // Of one that failed no text is used.
        provenance: Provenance::Listed,
    }
}

/// What was not understood, counted, or with `verbose` line by line.
pub(super) fn unread_notes(bundle: &Bundle, dumps: &[Dump<'_>], verbose: bool) -> Vec<String> {
    let mut notes = Vec::new();
    for (capture, dump) in bundle.captures.iter().zip(dumps) {
        let label = &capture.label;
        let of = |why| dump.unread.iter().filter(move |u| u.why == why);
        notes.extend(
            of(Why::Warning).map(|u| format!("{label} line {}: {}", u.line, u.text.trim_start_matches(['#', ' ']))),
        );
        if verbose {
            notes.extend(
                of(Why::Around).map(|u| format!("{label} line {}: no part of the dump: {}", u.line, quoted(u.text))),
            );
            notes.extend(
                of(Why::Unknown).map(|u| format!("{label} line {}: not understood: {}", u.line, quoted(u.text))),
            );
            notes.extend(
                of(Why::Cut).map(|u| format!("{label} line {}: cut off, not used: {}", u.line, quoted(u.text))),
            );
            notes.extend(opaque(label, dump));
        }
        let known = [Why::Warning, Why::Around, Why::Cut].map(|why| of(why).count()).iter().sum::<usize>();
        let unknown = dump.unread_count - known;
        if let (Some(first), false) = (of(Why::Unknown).next(), verbose) {
            notes.push(not_understood(label, unknown, (first.line, first.text)));
        }
    }
    notes
}

/// That lines were not understood, with the first of them.
pub(super) fn not_understood(label: &str, count: usize, (line, text): (u32, &str)) -> String {
    format!("{label}: {} not understood, first line {line}: {} (-v lists them)", lines_were(count), quoted(text))
}

/// `1 line was`, `3 lines were`
pub(super) fn lines_were(count: usize) -> String {
    if count == 1 { "1 line was".to_owned() } else { format!("{count} lines were") }
}

/// Every rule with a match or words that no module here knows, and every rule that cannot be read.
fn opaque(label: &str, dump: &Dump<'_>) -> Vec<String> {
    let mut notes = Vec::new();
    for section in &dump.sections {
        for raw in section.chains().iter().flat_map(|chain| section.rules_of(chain)) {
            match raw.parse() {
                Ok(rule) => {
                    let unknown: Vec<&str> = rule.unknown_modules().collect();
                    if !unknown.is_empty() {
                        notes.push(format!(
                            "{label} line {}: cannot judge {}: {}",
                            raw.line,
                            unknown.join(", "),
                            quoted(raw.text)
                        ));
                    }
                }
                Err(error) => notes.push(format!("{label} line {}, {error}: {}", raw.line, quoted(raw.text))),
            }
        }
    }
    notes
}

pub(super) fn quoted(text: &str) -> String {
    format!("'{}'", shortened(text.trim(), QUOTED))
}
