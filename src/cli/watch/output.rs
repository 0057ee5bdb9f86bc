//! Where the answers of a watch go: a terminal that is redrawn, or a stream of whole answers.

use std::io;

use crate::cli::args::Format;
use crate::cli::{Answer, Note, Outcome, is_colored, put, put_line, put_raw, tell, terminal};
use crate::net::Moment;
use crate::render::{Frame, Head};

/// Columns at the left of a redrawn answer, for the marks of what changed.
const MARGIN: usize = 2;

/// Forms of the answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::cli) enum Shape {
    /// JSON, one line an answer.
    Lines,
    /// YAML, one document an answer.
    Documents,
    /// Text for people.
    Text,
}

impl From<Format> for Shape {
    fn from(format: Format) -> Self {
        match format {
            Format::Json => Self::Lines,
            Format::Yaml => Self::Documents,
            _ => Self::Text,
        }
    }
}

/// What is known of an answer beside what it says.
pub(super) struct Around {
    pub(super) at: Moment,
    /// Since when it may be out of date.
    pub(super) outdated: Option<Moment>,
    /// What goes wrong now.
    pub(super) troubles: Vec<Note>,
    /// What to say once: what began, and what is over.
    pub(super) news: Vec<Note>,
}

/// Where answers go.
pub(super) enum Output {
    /// `said` is what was said around the last answer.
    Stream { shape: Shape, width: Option<usize>, said: Vec<String> },
    /// A terminal.
    Terminal(Box<Terminal>),
}

/// A terminal that is redrawn.
pub(super) struct Terminal {
    /// What is said of the watch itself.
    title: String,
    head: Head,
    frame: Option<Frame>,
}

impl Output {
    pub(super) fn new(shape: Shape, width: Option<usize>, title: String) -> Self {
        match terminal() {
            Some(_) if shape == Shape::Text => {
                Self::Terminal(Box::new(Terminal { title, head: Head::default(), frame: None }))
            }
            _ => Self::Stream { shape, width, said: Vec::new() },
        }
    }

    /// Columns an answer may have; `None` for any.
    pub(super) fn width(&self) -> Option<usize> {
        match self {
            Self::Stream { width, .. } => *width,
            Self::Terminal(_) => terminal().map(|(columns, _)| columns.saturating_sub(MARGIN)),
        }
    }

    /// Gives an answer; `changed` if it says something else than the one before.
    pub(super) fn give(&mut self, outcome: Outcome, around: &Around, changed: bool) -> io::Result<()> {
        match self {
            Self::Stream { shape, said, .. } => {
                let is_new = |what: &String| !said.contains(what);
                let new: Vec<Note> = outcome.notes.iter().filter(|note| is_new(&note.what)).cloned().collect();
                let missing: Vec<String> = outcome.missing.iter().filter(|missing| is_new(missing)).cloned().collect();
                tell(&new, &missing);
                tell(&around.news, &[]);
                *said = outcome.notes.into_iter().map(|note| note.what).chain(outcome.missing).collect();
                if changed { stream(&outcome.answer, *shape, around) } else { Ok(()) }
            }
            Self::Terminal(terminal) => terminal.give(outcome, around, changed),
        }
    }

    /// Says what goes wrong while there is no other answer.
    pub(super) fn news(&mut self, around: &Around) -> io::Result<()> {
        match self {
            Self::Stream { .. } => {
                tell(&around.news, &[]);
                Ok(())
            }
            Self::Terminal(terminal) => {
                terminal.head = terminal.head(around, Vec::new());
                terminal.draw()
            }
        }
    }

    /// Leaves the last answer: the shell goes on below it, and not behind the `^C` that the terminal wrote there.
    pub(super) fn leave(&self) -> io::Result<()> {
        match self {
            Self::Terminal(terminal) if terminal.frame.is_some() => put_raw("\n"),
            Self::Terminal(_) | Self::Stream { .. } => Ok(()),
        }
    }

    /// Draws again what stands there: the terminal has another size.
    pub(super) fn redraw(&self) -> io::Result<()> {
        match self {
            Self::Stream { .. } => Ok(()),
            Self::Terminal(terminal) => put_raw("\x1b[2J").and_then(|()| terminal.draw()),
        }
    }
}

/// One whole answer.
fn stream(answer: &Answer, shape: Shape, around: &Around) -> io::Result<()> {
    match answer {
        Answer::Json(document) => put_line(document),
        Answer::Data(text) if shape == Shape::Documents => put_raw(&format!("---\n{text}")),
        Answer::Data(text) => put_raw(text),
        // Only a snapshot is one, which is not watched.
        Answer::Bytes(_) => Ok(()),
        Answer::Text(text) => {
            let old = around.outdated.map(|since| format!(", may be out of date since {}", since.to_words()));
            put(&format!("── {}{}\n{text}\n", around.at.to_words(), old.unwrap_or_default()))
        }
    }
}

impl Terminal {
    fn give(&mut self, outcome: Outcome, around: &Around, changed: bool) -> io::Result<()> {
        let mut notes: Vec<String> = outcome.missing.iter().map(|missing| format!("error: {missing}")).collect();
        notes.extend(outcome.notes.iter().map(|note| format!("note: {}", note.what)));
        self.head = self.head(around, notes);
        let text = match outcome.answer {
            Answer::Text(text) => text,
            Answer::Data(_) | Answer::Json(_) | Answer::Bytes(_) => String::new(),
        };
        let frame = match self.frame.take() {
            Some(before) => Frame::after(&text, &before, changed),
            None => {
                // What stands on the terminal goes up, where it can be scrolled to.
                put_raw(&"\n".repeat(terminal().map_or(0, |(_, rows)| rows)))?;
                Frame::first(&text)
            }
        };
        self.frame = Some(frame);
        self.draw()
    }

    fn head(&self, around: &Around, mut notes: Vec<String>) -> Head {
        let troubles = around.troubles.iter().map(|note| format!("note: {}", note.what));
        notes.splice(0..0, troubles);
        let old = around.outdated.map(|since| format!(" · may be out of date since {}", since.to_words()));
        Head { time: around.at.to_words() + &old.unwrap_or_default(), title: self.title.clone(), notes }
    }

    fn draw(&self) -> io::Result<()> {
        let (Some(frame), Some(size)) = (&self.frame, terminal()) else { return Ok(()) };
        let drawn = frame.draw(&self.head, size);
        put_raw(&if is_colored() { drawn.colored() } else { drawn.plain() })
    }
}
