//! Rules that are read again and again, each time by a thread of its own, so that Ctrl-C never waits for them.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use super::Event;
use crate::cli::afar::Afar;
use crate::cli::args::SourceArgs;
use crate::cli::{Failure, gather};
use crate::cores;
use crate::source::{self, Bundle, Tables};

/// A file that changed is read again after this: it may be half written.
const WRITTEN: Duration = Duration::from_millis(100);

/// A file that never stays as it is is taken as it is after so many readings.
const ATTEMPTS: usize = 20;

/// What tells that a file is another: its name, its size and when it was written.
pub(super) type Stamp = (PathBuf, u64, Option<SystemTime>);

/// What was read.
pub(super) struct Read {
    pub(super) bundle: Bundle,
    /// Where rules are read, for the next reading.
    pub(super) afar: Arc<Afar>,
    /// The files that hold objects.
    pub(super) stamps: Vec<Stamp>,
}

/// A reading on its way.
pub(super) struct Reading(std::io::Result<JoinHandle<Result<Read, Failure>>>);

impl Reading {
    /// Begins to read what the flags name; `known` was read before, over `afar`. `events` hears when it is done.
    pub(super) fn begin(
        args: &SourceArgs,
        tables: Tables,
        known: Option<Arc<Bundle>>,
        afar: Option<Arc<Afar>>,
        events: Sender<Event>,
    ) -> Self {
        let args = args.clone();
        // It goes with the thread, and at once where none can be started.
        let done = Done(events);
        Self(std::thread::Builder::new().spawn(move || {
            let _done = done;
            read(&args, tables, known.as_deref(), afar)
        }))
    }

    /// What was read.
    pub(super) fn finish(self) -> Result<Read, Failure> {
        let thread = self.0.map_err(|error| Failure {
            what: format!("cannot read: no thread can be started for it: {error}"),
            hints: vec![cores::LIMIT.to_owned()],
        })?;
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Tells that a reading is done, however it ends.
struct Done(Sender<Event>);

impl Drop for Done {
    fn drop(&mut self) {
        // Nobody listens any more at the end.
        let _ = self.0.send(Event::Read);
    }
}

fn read(args: &SourceArgs, tables: Tables, known: Option<&Bundle>, afar: Option<Arc<Afar>>) -> Result<Read, Failure> {
    let afar = afar.map_or_else(|| Afar::of(args).map(Arc::new), Ok)?;
    let stamps = stamps(args)?;
    let mut bundle = gather::bundle(args, tables, &afar, false)?;
    let mut attempts = 0;
    while known.is_some_and(|known| !bundle.is_live() && !is_same(known, &bundle)) && attempts < ATTEMPTS {
        std::thread::sleep(WRITTEN);
        let again = gather::bundle(args, tables, &afar, false)?;
        let settled = is_same(&bundle, &again);
        bundle = again;
        if settled {
            break;
        }
        attempts += 1;
    }
    Ok(Read { bundle, afar, stamps })
}

/// True if both say the same, whenever they were read.
pub(super) fn is_same(one: &Bundle, other: &Bundle) -> bool {
    let said = |bundle: &Bundle| (bundle.origin.clone(), bundle.node.clone(), bundle.proxy_mode.clone());
    one.captures == other.captures
        && one.objects == other.objects
        && one.notes == other.notes
        && said(one) == said(other)
}

fn stamps(args: &SourceArgs) -> Result<Vec<Stamp>, Failure> {
    let mut stamps = Vec::new();
    for path in &args.objects.objects {
        for file in source::object_files(path)?.files {
            // One that is gone is an error of the reading, which says it better.
            let (length, written) = file.metadata().map_or((0, None), |m| (m.len(), m.modified().ok()));
            stamps.push((file, length, written));
        }
    }
    Ok(stamps)
}
