//! What goes wrong during a watch: said when it begins and when it is over, and not in between.

use crate::cli::api::note;
use crate::cli::{Failure, Note};
use crate::cluster::Follower;
use crate::net::Moment;

/// Something that goes wrong while the last answer stays.
pub(super) struct Trouble {
    /// What it is of.
    of: String,
    /// What is said while it lasts; `None` if the answer itself says so.
    pub(super) note: Option<Note>,
    /// What is said when it is over.
    over: String,
}

/// What goes wrong now: why no new answer can be made, why the last one cannot be kept, and what is the matter with the API
/// server.
pub(super) fn all<'f>(
    failures: impl Iterator<Item = &'f (Moment, Failure)>,
    unkept: Option<&(Moment, Failure)>,
    follower: Option<&Follower>,
) -> Vec<Trouble> {
    let mut troubles = Vec::new();
    for (since, failure) in failures {
        let what = format!("{}; the answer from before {} stays", failure.what, since.to_words());
        let note = Some(Note { what, hint: failure.hints.first().cloned() });
        let over = "the answer can be made again".to_owned();
        troubles.push(Trouble { of: "the answer".to_owned(), note, over });
    }
    if let Some((since, failure)) = unkept {
        let what = format!("{}; since {}", failure.what, since.to_words());
        let note = Some(Note { what, hint: failure.hints.first().cloned() });
        let over = "the file is written again".to_owned();
        troubles.push(Trouble { of: "the file".to_owned(), note, over });
    }
    let Some(health) = follower.map(Follower::health) else { return troubles };
    let over = match health.url.as_str() {
        "" => "the API server is connected".to_owned(),
        url => format!("the API server {url} answers again"),
    };
    if let Some((since, problem)) = health.outdated {
        let Note { what, hint } = note(&problem);
        let what = format!("{what}; what it told before {} stays", since.to_words());
        troubles.push(Trouble { of: health.url, note: Some(Note { what, hint }), over });
    } else if health.blind && !health.unconfigured {
        troubles.push(Trouble { of: health.url, note: None, over });
    }
    troubles
}

/// Troubles that were said: what they are of, and what to say when they are over.
#[derive(Debug, Default)]
pub(super) struct Said(Vec<(String, String)>);

impl Said {
    /// What of the troubles was not said yet, and which of those that were are over.
    pub(super) fn news(&mut self, troubles: &[Trouble]) -> Vec<Note> {
        let is = |of: &str| troubles.iter().any(|trouble| trouble.of == of);
        let mut news: Vec<Note> = Vec::new();
        self.0.retain(|(of, over)| {
            let lasts = is(of);
            news.extend((!lasts).then(|| Note::from(over.clone())));
            lasts
        });
        for trouble in troubles {
            if !self.0.iter().any(|(of, _)| *of == trouble.of) {
                self.0.push((trouble.of.clone(), trouble.over.clone()));
                news.extend(trouble.note.clone());
            }
        }
        news
    }
}
