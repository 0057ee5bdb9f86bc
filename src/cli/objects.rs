//! Where Services and endpoints come from: the demo, saved files, or the API server. They are read while the rules are.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use serde::Deserialize as _;

use super::afar::Afar;
use super::args::Reads;
use super::scene::Question;
use super::viewpoint;
use super::{Failure, Note};
#[cfg(feature = "live")]
use crate::cluster::{Api, Follower, Server};
use crate::cluster::{BadObjects, Coverage, Facts, Saved};
use crate::cores;
use crate::dataplane::ServicePort;
use crate::dump::iptables::{Dump, Hints};
use crate::expect::Viewpoint;
use crate::proxy::Rules;
use crate::shell;
use crate::source::{self, Bundle, Demo, ObjectFiles, ObjectText};

/// Stack of the thread that reads objects: YAML that nests as deep as is allowed takes more than threads have.
const STACK: usize = 16 << 20;

/// How to save what is needed.
const SAVE: &str = "kubectl get services,endpointslices,pods,nodes -A -o json > FILE";

/// Everything known of the cluster.
#[derive(Debug, Default)]
pub(super) struct Objects {
    /// The facts; `None` where the rules stand alone.
    pub(super) facts: Option<Arc<Facts>>,
    /// File names, the address of the API server, `demo`.
    pub(super) from: String,
    /// Whose rules they are compared with.
    pub(super) viewpoint: Viewpoint,
    /// What the reader of the answer should know.
    pub(super) notes: Vec<Note>,
    /// The API server, for what is asked later.
    #[cfg(feature = "live")]
    pub(super) live: Option<Live>,
}

/// An API server that told objects.
#[cfg(feature = "live")]
#[derive(Debug)]
pub(super) enum Live {
    /// It was asked.
    Asked(Box<Api>),
    /// It is followed.
    Followed(Arc<Follower>),
}

/// Objects that were told already.
#[cfg(feature = "live")]
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// The facts.
    pub(super) facts: Arc<Facts>,
    /// File names, or the address of the API server.
    pub(super) from: String,
    /// Who told them and can be asked for more.
    pub(super) server: Option<Server>,
}

/// What is known of the objects of a question whose rules were read already.
#[cfg(feature = "live")]
#[derive(Debug, Clone)]
pub(super) enum Known {
    /// There are none.
    Nothing,
    /// They were told.
    Told(Told),
    /// They are followed.
    Followed(Arc<Follower>),
    /// They are read now, as the flags say.
    Unread,
}

#[cfg(feature = "live")]
impl From<Option<Told>> for Known {
    fn from(told: Option<Told>) -> Self {
        told.map_or(Self::Nothing, Self::Told)
    }
}

/// Objects on their way.
pub(super) enum Reading {
    /// None were asked for.
    Nothing,
    /// Files, read by another thread.
    Files(std::io::Result<JoinHandle<Result<Objects, Failure>>>),
    /// Those of the demo.
    Demo(Demo),
    /// Those that come with the rules, which are saved ones; where none do, the API server is asked.
    WithRules,
    /// The API server, asked by another thread.
    #[cfg(feature = "live")]
    Api(super::api::Asking),
    /// They were told already.
    #[cfg(feature = "live")]
    Told(Told),
    /// The API server that a watch follows.
    #[cfg(feature = "live")]
    Followed(Arc<Follower>),
}

/// Begins to read what the flags name.
pub(super) fn start(question: &Question<'_>, afar: &Afar) -> Reading {
    let args = question.source;
    #[cfg(feature = "live")]
    match question.given.as_ref().map(|given| &given.objects) {
        Some(Known::Nothing) => return Reading::Nothing,
        Some(Known::Told(told)) => return Reading::Told(told.clone()),
        Some(Known::Followed(follower)) => return Reading::Followed(Arc::clone(follower)),
        Some(Known::Unread) | None => {}
    }
    if let Some(demo) = args.demo {
        return if args.objects.no_api { Reading::Nothing } else { Reading::Demo(demo.into()) };
    }
    if !args.objects.objects.is_empty() {
        let paths = args.objects.objects.clone();
        return Reading::Files(std::thread::Builder::new().stack_size(STACK).spawn(move || files(&paths)));
    }
    if args.objects.no_api {
        return Reading::Nothing;
    }
    let saved = !args.file.is_empty() || (args.reads == Reads::Any && source::stdin_offers_text());
    if args.objects.saved_only || (saved && !afar.is_certain() && !args.objects.names_server()) {
        return Reading::WithRules;
    }
    ask(question, afar)
}

#[cfg_attr(not(feature = "live"), expect(unused_variables, reason = "there is no API server to ask"))]
fn ask(question: &Question<'_>, afar: &Afar) -> Reading {
    #[cfg(feature = "live")]
    return Reading::Api(super::api::ask(question, afar.server.clone()));
    #[cfg(not(feature = "live"))]
    Reading::Nothing
}

impl Reading {
    #[cfg_attr(not(feature = "live"), expect(unused_variables, reason = "only an API server is asked about rules"))]
    /// Waits for the objects and settles whose rules `bundle` holds.
    pub(super) fn finish(
        self,
        question: &Question<'_>,
        bundle: &Bundle,
        rules: Rules<'_, '_>,
    ) -> Result<Objects, Failure> {
        let args = &question.source.objects;
        let reading = match self {
            Self::WithRules if bundle.objects.is_empty() && args.saved_only => Self::Nothing,
            Self::WithRules if bundle.objects.is_empty() => ask(question, &Afar::default()),
            reading => reading,
        };
        let mut objects = match reading {
            Self::WithRules => with_rules(&bundle.objects)?,
            Self::Nothing => Objects::default(),
            Self::Files(Ok(thread)) => thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?,
            Self::Files(Err(error)) => {
                let what = format!("cannot read the objects: no thread can be started for it: {error}");
                return Err(Failure { what, hints: vec![cores::LIMIT.to_owned()] });
            }
            Self::Demo(demo) => self::demo(demo)?,
            #[cfg(feature = "live")]
            Self::Api(asking) => asking.finish(question, bundle, rules)?,
            #[cfg(feature = "live")]
            Self::Told(Told { facts, from, server }) => {
                let live = server.map(|server| Live::Asked(Box::new(Api::new(server))));
                Objects { facts: Some(facts), from, live, ..Objects::default() }
            }
            #[cfg(feature = "live")]
            Self::Followed(follower) => super::follow::finish(follower, question, rules)?,
        };
        if objects.from != DEMO {
            objects.settle(args, bundle)?;
        }
        Ok(objects)
    }
}

impl Objects {
    /// Asks the API server what only the answer shows to be missing, and adds it to `services`. What went wrong is told.
    #[cfg(feature = "live")]
    pub(super) fn complete(&self, services: &mut [ServicePort]) -> Vec<Note> {
        self.live.as_ref().map_or_else(Vec::new, |live| super::api::settle(live, self, services))
    }

    /// Without an API server there is nobody to ask.
    #[cfg(not(feature = "live"))]
    #[expect(clippy::unused_self, reason = "as with an API server")]
    pub(super) fn complete(&self, _: &mut [ServicePort]) -> Vec<Note> {
        Vec::new()
    }

    fn settle(&mut self, args: &super::args::ObjectArgs, bundle: &Bundle) -> Result<(), Failure> {
        let nothing = Facts::default();
        let facts = self.facts.as_deref().unwrap_or(&nothing);
        let found = viewpoint::node(args.node.as_deref(), facts, bundle, &self.from)?;
        self.notes.extend(found.note.map(Note::from));
        self.viewpoint = Viewpoint::of(found.node.as_deref(), facts);
        Ok(())
    }
}

const DEMO: &str = "demo";

fn demo(demo: Demo) -> Result<Objects, Failure> {
    let mut saved = Saved::default();
    saved.read(DEMO, demo.objects()).map_err(|error| bad(&error))?;
    let facts = saved.into_facts();
    let viewpoint = Viewpoint::of(Some(Demo::NODE), &facts);
    Ok(Objects { from: DEMO.to_owned(), viewpoint, facts: Some(Arc::new(facts)), ..Objects::default() })
}

/// The objects that came with the rules. A text that is spoiled is told and left out as a whole.
pub(super) fn with_rules(texts: &[ObjectText]) -> Result<Objects, Failure> {
    let mut notes = Vec::new();
    let mut whole: Vec<&ObjectText> = Vec::new();
    let mut saved = Saved::default();
    for text in texts {
        match saved.read(&text.label, &text.text) {
            Ok(()) => whole.push(text),
            Err(error) => notes.push(format!("{error}: its objects are not known")),
        }
    }
    if whole.len() < texts.len() {
        // What was read of it before the spoiled place is not kept.
        saved = Saved::default();
        for text in &whole {
            saved.read(&text.label, &text.text).map_err(|error| bad(&error))?;
        }
    }
    if saved.is_empty() {
        return Ok(Objects { notes: notes.into_iter().map(Note::from).collect(), ..Objects::default() });
    }
    let from: Vec<&str> = whole.iter().map(|text| text.label.as_str()).collect();
    let covers = whole.iter().find_map(|text| text.covers.as_ref());
    let coverage = covers.map(|covers| {
        Coverage::deserialize(covers).map_err(|error| Failure {
            what: format!("{} says in a way not known here what its objects cover: {error}", from.join(", ")),
            hints: vec!["a newer kube-ipt reads it".to_owned()],
        })
    });
    known(saved, coverage.transpose()?, &from.join(", "), notes)
}

/// The facts of texts that are read, with what is to be said of them.
fn known(saved: Saved, coverage: Option<Coverage>, from: &str, mut notes: Vec<String>) -> Result<Objects, Failure> {
    let skipped: Vec<String> = saved.skipped().iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    if saved.is_empty() {
        let others = if skipped.is_empty() {
            "it has no object that says anything of them".to_owned()
        } else {
            format!("only {}", skipped.join(", "))
        };
        let what = format!("{from} holds no Service, EndpointSlice, Endpoints, Pod or Node: {others}");
        return Err(Failure { what, hints: vec![SAVE.to_owned()] });
    }
    if !skipped.is_empty() {
        notes.push(format!("{from}: objects of other kinds were skipped: {}", skipped.join(", ")));
    }
    for page in saved.pages() {
        notes.push(format!("{page} is one page of a longer list: what is on the others is not known"));
    }
    let notes = notes.into_iter().map(Note::from).collect();
    let facts = match coverage {
        Some(coverage) => saved.into_facts_of(coverage),
        None => saved.into_facts(),
    };
    Ok(Objects { facts: Some(Arc::new(facts)), from: from.to_owned(), notes, ..Objects::default() })
}

/// Reads saved objects.
pub(super) fn files(paths: &[PathBuf]) -> Result<Objects, Failure> {
    let mut saved = Saved::default();
    let mut notes = Vec::new();
    for path in paths {
        let ObjectFiles { files, others, odd } = source::object_files(path)?;
        let folder = path.display();
        if files.is_empty() {
            let why =
                if odd == 0 { "none ends in .json, .jsonl, .yaml or .yml" } else { "what is called like one is none" };
            let what = format!("{folder} holds no file of objects: {why}");
            return Err(Failure { what, hints: vec![SAVE.to_owned()] });
        }
        if others > 0 {
            notes.push(match others {
                1 => format!("1 other file in {folder} was not read: its name is not that of JSON or YAML"),
                many => {
                    format!("{many} other files in {folder} were not read: their names are not those of JSON or YAML")
                }
            });
        }
        if odd > 0 {
            notes.push(match odd {
                1 => format!("1 entry of {folder} was not read: it is called like a file of objects and is no file"),
                many => {
                    format!(
                        "{many} entries of {folder} were not read: they are called like files of objects and are none"
                    )
                }
            });
        }
        for file in files {
            let (text, note) = source::object_text(&file)?;
            notes.extend(note);
            saved.read(&text.label, &text.text).map_err(|error| {
                let is_dump = !Dump::scan(&text.text, Hints::default()).is_empty();
                if is_dump { rules_instead(&text.label) } else { bad(&error) }
            })?;
        }
    }
    let labels: Vec<String> =
        paths.iter().map(|p| if p.as_os_str() == "-" { "stdin".to_owned() } else { p.display().to_string() }).collect();
    known(saved, None, &labels.join(", "), notes)
}

fn rules_instead(label: &str) -> Failure {
    let what = format!("{label} holds rules, not Kubernetes objects");
    Failure { what, hints: vec![format!("-f {}    (rules), and --objects FILE    (objects)", shell::word(label))] }
}

fn bad(error: &BadObjects) -> Failure {
    Failure { what: error.to_string(), hints: vec![SAVE.to_owned()] }
}
