//! What `show` and `list` have in common: the scene, its checks, and the form of the answer.

use super::args::{Format, OutputArgs};
use super::phases::phase;
use super::scene::{self, Question, Scene};
#[cfg(feature = "live")]
use super::watch::Answers;
use super::{Answer, Failure, Note, Outcome};
use crate::checks::{Checked, Finding, Pick, Severity};
use crate::dataplane::{ServicePort, Walkthrough};
use crate::net::Family;
use crate::proxy::Sketch;
use crate::proxy::iptables::Depth;
use crate::render::{self, Graph, Marks, View};
use crate::report::{self, Kind};

/// How a command wants its answer.
pub(super) struct Form<'q> {
    pub(super) kind: Kind,
    pub(super) rules: bool,
    pub(super) format: Format,
    pub(super) shared: &'q OutputArgs,
    pub(super) width: Option<usize>,
}

/// Answers it.
pub(super) fn answer(question: &Question<'_>, form: &Form<'_>) -> Result<Outcome, Failure> {
    scene::with(question, |mut scene| {
        let mut outcome = scene.remarks();
        match scene.nothing.take() {
            Some(note) if !scene.services.is_empty() => outcome.note([note]),
            Some(error) => outcome.missing = vec![error],
            None => {}
        }
        if scene.services.is_empty() && !matches!(form.format, Format::Json | Format::Yaml) {
            return Ok(outcome);
        }
        let checked = scene.check(&pick(form.kind)?, Depth::Services, None);
        scene.note_likeness(&checked, &mut outcome);
        outcome.notes.extend(of_all(&checked));
        outcome.answer = phase("render", || text(scene, &checked, form))?;
        Ok(outcome)
    })
}

#[cfg(feature = "live")]
impl Answers for Form<'_> {
    fn answer(&mut self, question: &Question<'_>, width: Option<usize>) -> Result<Outcome, Failure> {
        self.width = width;
        answer(question, self)
    }
}

/// What keeps connections from Services, though the rules of each are as they should be. Of two backends the reading tells, with
/// the one that is shown.
pub(super) fn of_all(checked: &Checked) -> impl Iterator<Item = Note> {
    let of_node = |finding: &&Finding| {
        let of_a_service = finding.port.is_some() || finding.service.is_some();
        finding.severity == Severity::Error && !of_a_service && finding.check.id != "KI401"
    };
    let words = |finding: &Finding| {
        let family = if finding.family == Some(Family::Ipv6) { "ipv6: " } else { "" };
        [family, &finding.message].concat()
    };
    checked.findings.iter().filter(of_node).map(move |finding| note(finding, words(finding)))
}

/// A finding as a note that says `what`.
pub(super) fn note(finding: &Finding, what: String) -> Note {
    Note { what, hint: Some(format!("kube-ipt explain {}", finding.check.slug)) }
}

/// Hashing the name of every endpoint takes as long as all the rest of a list.
pub(super) fn pick(kind: Kind) -> Result<Pick, Failure> {
    let ignored = if kind == Kind::List { vec!["name-mismatch".to_owned()] } else { Vec::new() };
    Pick::new(Vec::new(), ignored).map_err(|what| Failure { what, hints: Vec::new() })
}

fn text(mut scene: Scene<'_, '_, '_>, checked: &Checked, form: &Form<'_>) -> Result<Answer, Failure> {
    let header = scene.header();
    let wide = form.format == Format::Wide;
    let marks = Marks::of(&checked.findings, scene.services.len());
    let answer = match (form.format, form.kind) {
        (Format::Tree, _) => {
            let walk = |(sketch, port): (Option<Sketch<'_, '_>>, &ServicePort)| match sketch {
                Some(sketch) if form.rules => scene.survey.walkthrough(sketch, port),
                _ => Walkthrough::default(),
            };
            let walkthroughs: Vec<_> = scene.sketches.iter().copied().zip(&scene.services).map(walk).collect();
            let view = View { width: form.width, all: form.shared.all };
            let footer = render::footer(&header, scene.survey.rules_read(), &marks, form.width);
            Answer::Text(render::services(&scene.services, &walkthroughs, &marks, view) + &footer)
        }
        (Format::Json | Format::Yaml, kind) => {
            let services = std::mem::take(&mut scene.services);
            let document = report::document(kind, &header, services, &checked.findings, &scene.quotes(checked));
            written(document, form.format)?
        }
        (Format::Dot, _) => Answer::Text(Graph::of_services(&scene.services).dot()),
        (Format::Mermaid, _) => Answer::Text(Graph::of_services(&scene.services).mermaid()),
        (_, Kind::List) => Answer::Text(render::list(&scene.services, &marks, wide, form.width)),
        (_, Kind::Show) => Answer::Text(render::endpoints(&scene.services, &marks, wide, form.width)),
    };
    scene.leave();
    Ok(answer)
}

/// A document as JSON or YAML.
pub(super) fn written(document: impl Into<report::Any>, format: Format) -> Result<Answer, Failure> {
    let document = document.into();
    if format == Format::Json {
        return Ok(Answer::Json(Box::new(document)));
    }
    let yaml = render::yaml(&document);
    Ok(Answer::Data(yaml.map_err(|e| Failure { what: format!("cannot write YAML: {e}"), hints: Vec::new() })?))
}
