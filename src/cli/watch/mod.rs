//! Answers that go on (`--watch`): rules are read again every so often, the API server is followed, and whoever asked gets
//! the answer again when it is another.

mod output;
mod reader;
mod trouble;
mod words;

use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::afar::Afar;
use super::api::plugin_limit;
use super::objects::Known;
use super::scene::{Given, Question};
use super::{Failure, Outcome, follow};
use crate::cluster::Follower;
use crate::net::Moment;
use crate::report::Watched;
use crate::source::{self, Bundle, Signal};
use output::{Around, Output};
use reader::{Reading, Stamp, is_same};
use trouble::Said;
use words::{place, read_once, words};

pub(super) use output::Shape;

/// How long the first answer may take before we say what we wait for.
const PATIENCE: Duration = Duration::from_secs(2);

/// What a watch waits for.
enum Event {
    /// A reading of the rules is done.
    Read,
    /// Something of the API server is settled, goes wrong or is well again.
    Followed,
    Signal(Signal),
}

/// What makes the answers of a watch.
pub(super) trait Answers {
    /// Answers a question whose rules were read, for so many columns.
    fn answer(&mut self, question: &Question<'_>, width: Option<usize>) -> Result<Outcome, Failure>;

    /// The rules were read at `at`, and the last answer is right: it was just made, or nothing is different.
    fn still_right(&mut self, at: Moment) -> Result<(), Failure> {
        let _ = at;
        Ok(())
    }
}

/// Answers `question` until somebody ends it. The outcome holds what decides about the exit status.
pub(super) fn run(
    question: Question<'_>,
    every: Duration,
    shape: Shape,
    width: Option<usize>,
    answers: impl Answers,
) -> Result<Outcome, Failure> {
    let source = question.source;
    if source.file.iter().chain(&source.objects.objects).any(|path| path.as_os_str() == "-") {
        return Err(read_once());
    }
    if let Some((time, _)) = question.what.iter().find(|(what, _)| is_time(what)) {
        let what = format!("'{time}' is taken for what to show: the time of a watch is given with =");
        return Err(Failure { what, hints: vec![format!("--watch={time}")] });
    }
    let (sender, events) = mpsc::channel();
    let heard = sender.clone();
    // Nobody listens any more at the end.
    source::signals(move |signal| _ = heard.send(Event::Signal(signal)))?;
    let woken = sender.clone();
    let follower = follow::begin(&question, move || _ = woken.send(Event::Followed));
    let title = format!("{} · every {}", place(source), words(every));
    let watch = Watch {
        question,
        answers,
        follower,
        output: Output::new(shape, width, title),
        begun: Instant::now(),
        waits: false,
        afar: None,
        bundle: None,
        good: None,
        stamps: Vec::new(),
        readings: 0,
        unread: None,
        unanswered: None,
        said: Said::default(),
        unkept: None,
        kept: false,
        answered: None,
        failed: false,
    };
    watch.run(every, &sender, &events)
}

struct Watch<'q, A> {
    question: Question<'q>,
    answers: A,
    follower: Option<Arc<Follower>>,
    output: Output,
    begun: Instant,
    /// It was said what the first answer waits for.
    waits: bool,
    /// The connection to where rules are read, once there is one.
    afar: Option<Arc<Afar>>,
    /// The rules that were read last.
    bundle: Option<Arc<Bundle>>,
    /// Those that the last answer was made of.
    good: Option<Arc<Bundle>>,
    /// The files of objects as they were then.
    stamps: Vec<Stamp>,
    /// Readings that told something else than the one before.
    readings: u64,
    /// Why rules could not be read, and since when.
    unread: Option<(Moment, Failure)>,
    /// Why no answer could be made of what was read, and since when.
    unanswered: Option<(Moment, Failure)>,
    said: Said,
    /// Why the last answer could not be kept current, and since when.
    unkept: Option<(Moment, Failure)>,
    /// It was once.
    kept: bool,
    answered: Option<Answered>,
    /// The last answer makes the exit status 1.
    failed: bool,
}

/// What the last answer was made of, and what it said.
struct Answered {
    basis: Basis,
    likeness: (u64, Vec<String>),
}

/// What answers are made of; while it is the same they are.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Basis {
    version: u64,
    readings: u64,
    unread: Option<Failure>,
    width: Option<usize>,
}

impl<A: Answers> Watch<'_, A> {
    fn run(mut self, every: Duration, sender: &Sender<Event>, events: &Receiver<Event>) -> Result<Outcome, Failure> {
        let mut reading = None;
        let mut next = Instant::now();
        // Rules were read since it was said last that the answer is right.
        let mut unkept = false;
        loop {
            if reading.is_none() && Instant::now() >= next {
                let (source, tables) = (self.question.source, self.question.tables());
                let (known, afar) = (self.bundle.clone(), self.afar.clone());
                reading = Some(Reading::begin(source, tables, known, afar, sender.clone()));
                next = Instant::now() + every;
            }
            let pause = if reading.is_some() { PATIENCE } else { next.saturating_duration_since(Instant::now()) };
            let going_on = match events.recv_timeout(pause) {
                Ok(Event::Signal(Signal::End)) | Err(RecvTimeoutError::Disconnected) => break,
                Ok(Event::Signal(Signal::Resized)) => self.output.redraw().map_err(|error| unwritten(&error)),
                Ok(Event::Read) => {
                    unkept = true;
                    reading.take().map_or(Ok(()), |reading| self.take(reading)).map_err(End::Failed)
                }
                Ok(Event::Followed) | Err(RecvTimeoutError::Timeout) => Ok(()),
            };
            match going_on.and_then(|()| self.consider()).and_then(|()| self.keep(&mut unkept)) {
                Ok(()) => {}
                Err(End::Unheard) => return Ok(Outcome::default()),
                Err(End::Failed(failure)) => return Err(failure),
            }
        }
        // Nothing hangs on it, least of all the status.
        let _ = self.output.leave();
        Ok(Outcome { failed: self.failed, ..Outcome::default() })
    }

    /// Takes over what was read. Only where nothing was read before is a failure the end.
    fn take(&mut self, reading: Reading) -> Result<(), Failure> {
        match reading.finish() {
            Ok(read) => {
                let piped = |bundle: &Bundle| bundle.captures.iter().any(|c| c.label == "stdin" && c.command.is_none());
                if self.bundle.is_none() && piped(&read.bundle) {
                    return Err(read_once());
                }
                self.unread = None;
                self.afar = Some(read.afar);
                // Rules of a snapshot are held against the objects in it, whatever cluster there is now.
                self.follower = self.follower.take().filter(|_| read.bundle.objects.is_empty());
                let same = self.bundle.as_ref().is_some_and(|known| is_same(known, &read.bundle));
                if !same || self.stamps != read.stamps {
                    self.readings += 1;
                    self.stamps = read.stamps;
                }
                // The time of reading is another, whatever was read.
                self.bundle = Some(Arc::new(read.bundle));
            }
            Err(failure) if self.bundle.is_none() => return Err(failure),
            Err(failure) => self.unread = Some((since(self.unread.as_ref()), failure)),
        }
        Ok(())
    }

    /// Gives an answer if it may be another than the last one.
    fn consider(&mut self) -> Result<(), End> {
        let Some(bundle) = self.bundle.clone() else { return Ok(()) };
        if !self.is_settled(&bundle) {
            return Ok(());
        }
        let basis = Basis {
            version: self.follower.as_ref().map_or(0, |follower| follower.version()),
            readings: self.readings,
            unread: self.unread.as_ref().map(|(_, failure)| failure.clone()),
            width: self.output.width(),
        };
        let asks = self.follower.as_ref().is_some_and(|follower| follower.has_lookups());
        if !asks && self.answered.as_ref().is_some_and(|answered| answered.basis == basis) {
            return Ok(());
        }
        let before = self.unanswered.take();
        let outcome = match self.ask(bundle, basis.width) {
            Ok(outcome) => Some(outcome),
            Err(failure) => {
                let Some(good) = self.good.clone() else { return Err(End::Failed(failure)) };
                self.unanswered = Some((since(before.as_ref()), failure));
                self.ask(good, basis.width).ok()
            }
        };
        self.hand_on(outcome, basis).map_err(|error| unwritten(&error))
    }

    /// Says that the answer is right, if rules were read and it is. That this fails ends nothing but the beginning.
    fn keep(&mut self, unkept: &mut bool) -> Result<(), End> {
        let right = self.answered.is_some() && self.unread.is_none() && self.unanswered.is_none();
        if !right || !std::mem::take(unkept) {
            return Ok(());
        }
        let failure = self.answers.still_right(Moment::now()).err();
        let before = self.unkept.take();
        match failure {
            Some(failure) if !self.kept => return Err(End::Failed(failure)),
            failure => self.unkept = failure.map(|failure| (since(before.as_ref()), failure)),
        }
        self.kept = true;
        if before.is_some() == self.unkept.is_some() {
            return Ok(());
        }
        let around = self.around();
        self.output.news(&around).map_err(|error| unwritten(&error))
    }

    /// Makes an answer of `bundle` and what is known of the cluster.
    fn ask(&mut self, bundle: Arc<Bundle>, width: Option<usize>) -> Result<Outcome, Failure> {
        let outdated_since = self.outdated().map(Moment::to_api);
        let watched = Watched { time: Moment::now().to_api(), outdated_since };
        let objects = self.follower.clone().map_or(Known::Unread, Known::Followed);
        self.question.given = Some(Given { bundle: Arc::clone(&bundle), objects, watched: Some(watched) });
        let outcome = self.answers.answer(&self.question, width)?;
        self.good = Some(bundle);
        Ok(outcome)
    }

    /// Gives an answer to whoever reads it; without one the last stays.
    fn hand_on(&mut self, outcome: Option<Outcome>, basis: Basis) -> std::io::Result<()> {
        let around = self.around();
        let before = self.answered.take();
        let Some(outcome) = outcome else {
            self.answered = before.map(|before| Answered { basis, ..before });
            return self.output.news(&around);
        };
        self.failed = outcome.failed;
        let likeness = (outcome.likeness, outcome.missing.clone());
        let changed = before.is_none_or(|before| before.likeness != likeness);
        self.answered = Some(Answered { basis, likeness });
        self.output.give(outcome, &around, changed)
    }

    /// What is known of an answer beside what it says; what is new of it is said once.
    fn around(&mut self) -> Around {
        let failures = self.unread.iter().chain(&self.unanswered);
        let troubles = trouble::all(failures, self.unkept.as_ref(), self.follower.as_deref());
        let news = self.said.news(&troubles);
        let troubles = troubles.into_iter().filter_map(|trouble| trouble.note).collect();
        Around { at: Moment::now(), outdated: self.outdated(), troubles, news }
    }

    /// True if all is there that the first answer needs, or will not be there.
    fn is_settled(&mut self, bundle: &Bundle) -> bool {
        let Some(follower) = &self.follower else { return true };
        let args = &self.question.source.objects;
        follow::node(follower, args, bundle);
        if self.answered.is_some() || follower.is_settled() {
            return true;
        }
        let waited = self.begun.elapsed();
        if waited >= PATIENCE && !std::mem::replace(&mut self.waits, true) {
            super::say("waiting for the API server; --no-api shows the rules alone");
        }
        follower.is_connecting() && plugin_limit(args).is_some_and(|limit| waited >= limit)
    }

    /// Since when what is shown may be out of date.
    fn outdated(&self) -> Option<Moment> {
        let rules = self.unread.iter().chain(&self.unanswered).map(|(since, _)| *since);
        let objects = self.follower.as_ref().and_then(|follower| Some(follower.health().outdated?.0));
        rules.chain(objects).min()
    }
}

/// Since when something lasts that was so already, or is now.
fn since(before: Option<&(Moment, Failure)>) -> Moment {
    before.map_or_else(Moment::now, |(since, _)| *since)
}

/// Why a watch ends by itself.
enum End {
    /// Nobody reads the answers any more.
    Unheard,
    Failed(Failure),
}

fn unwritten(error: &std::io::Error) -> End {
    if error.kind() == std::io::ErrorKind::BrokenPipe {
        return End::Unheard;
    }
    End::Failed(Failure { what: format!("cannot write the answer: {error}"), hints: Vec::new() })
}

/// True for `1s` and its like, which nothing is called.
fn is_time(what: &str) -> bool {
    what.starts_with(|c: char| c.is_ascii_digit())
        && what.ends_with(['s', 'm', 'h'])
        && crate::cli::args::duration(what).is_ok()
}
