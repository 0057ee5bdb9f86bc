//! What every question about Services begins with: read, survey, select, follow, join.

use super::args::SourceArgs;
use super::around;
use super::choose::{Chosen, choose};
use super::objects::{self, Objects};
use super::{Failure, Outcome, gather};
use crate::checks::{self, Checked, Pick};
use crate::dataplane::{Select, ServicePort};
use crate::dump::ipset::Sets;
use crate::dump::iptables::Dump;
use crate::expect::Cluster;
use crate::join::{self, Join};
use crate::net::{Family, Moment};
use crate::proxy::KnownNames;
use crate::proxy::iptables::{Depth, Ruleset, Sketch, Survey, rulesets};
use crate::report::{Header, Quotes};
use crate::source::{Bundle, Tables};

/// What a command wants to know.
pub(super) struct Question<'q> {
    /// Each WHAT as typed and as understood; none for everything.
    pub(super) what: Vec<(String, Select)>,
    /// Only Services of this namespace.
    pub(super) namespace: Option<&'q str>,
    pub(super) source: &'q SourceArgs,
    pub(super) verbose: bool,
    /// What has to be known beside the Services.
    pub(super) beside: Beside,
}

/// What a question needs to know beside the Services it means.
#[derive(Debug, Default)]
pub(super) struct Beside {
    /// Pods, with the namespace where one is given.
    pub(super) pods: Vec<(Option<String>, String)>,
    /// Nodes.
    pub(super) nodes: Vec<String>,
    /// Every table that a packet passes, and ipsets.
    pub(super) way: bool,
    /// The family of rules that do not tell theirs, where the question tells it.
    pub(super) family: Option<Family>,
}

impl<'q> Question<'q> {
    /// Understands each WHAT.
    pub(super) fn new(
        what: &[String],
        namespace: Option<&'q str>,
        source: &'q SourceArgs,
        verbose: bool,
    ) -> Result<Self, Failure> {
        let parsed = what.iter().map(|text| Select::parse(text).map(|select| (text.clone(), select)));
        let what = parsed.collect::<Result<Vec<_>, _>>();
        let what = what.map_err(|error| Failure { what: error.to_string(), hints: Vec::new() })?;
        Ok(Self { what, namespace, source, verbose, beside: Beside::default() })
    }
}

/// A node and its cluster as far as a question needs them.
pub(super) struct Scene<'s, 'd, 'f> {
    pub(super) bundle: &'s Bundle,
    pub(super) dumps: &'s [Dump<'d>],
    pub(super) rulesets: &'s [Ruleset<'d>],
    pub(super) survey: &'s Survey<'d>,
    pub(super) cluster: Option<&'s Cluster<'f>>,
    pub(super) objects: &'s Objects,
    pub(super) sets: &'s Sets<'s>,
    /// Where each service port stands in the rules; `None` for those of which only the cluster knows.
    pub(super) sketches: Vec<Option<&'s Sketch<'d>>>,
    /// The service ports asked for, followed and joined.
    pub(super) services: Vec<ServicePort>,
    /// Only some were asked for.
    pub(super) narrowed: bool,
    /// The objects seem to be of another cluster than the rules.
    foreign: bool,
    /// Why the rules hold no Service at all.
    pub(super) nothing: Option<String>,
    /// What is to be said around the answer, so far.
    pub(super) outcome: Outcome,
}

/// Sets the scene for `question` and lets `then` answer it.
pub(super) fn with<T>(
    question: &Question<'_>,
    then: impl FnOnce(Scene<'_, '_, '_>) -> Result<T, Failure>,
) -> Result<T, Failure> {
    // Rules and objects are read at the same time.
    let reading = objects::start(question);
    let tables = if question.beside.way { Tables::OnTheWay } else { Tables::OfServices };
    let bundle = gather::bundle(question.source, tables)?;
    let dumps = gather::dumps(&bundle)?;
    let family = question.source.family.map(Family::from);
    let (mut rulesets, ruleset_notes) = rulesets(&dumps, family.or(question.beside.family).unwrap_or(Family::Ipv4));
    let families: Vec<Family> = rulesets.iter().map(|r| r.family).collect();
    rulesets.retain(|r| family.is_none_or(|only| only == r.family));

    let mut outcome = Outcome::default();
    outcome.note(bundle.notes.clone());
    if question.verbose {
        outcome.note(bundle.commands.iter().map(|typed| format!("ran {typed}")));
    }
    outcome.note(gather::unread_notes(&bundle, &dumps, question.verbose));
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    outcome.note(ruleset_notes.iter().map(|note| note.describe(&labels)));

    let (sets, set_notes) = gather::sets(&bundle);
    if question.beside.way {
        outcome.note(set_notes);
    } else if !sets.is_empty() {
        outcome.note(["the ipsets that were given are looked into by kube-ipt trace only".to_owned()]);
    }

    let mut objects = reading.finish(question, &bundle, &rulesets)?;

    outcome.notes.append(&mut objects.notes);
    let cluster = objects.facts.as_ref().map(|facts| Cluster::new(facts, objects.viewpoint.clone()));
    let names = cluster.as_ref().map_or_else(KnownNames::default, join::known_names);
    let survey = Survey::of(&rulesets, &names);
    let join = cluster.as_ref().map(|cluster| Join::new(cluster, around::extents(&rulesets, &survey)));

    outcome.note(around::unplaced(&survey, &bundle));
    if !survey.sketches().is_empty() && rulesets.iter().all(|r| r.nat.is_none()) {
        let note = "there is no nat table here: only Services that the filter table refuses are known";
        outcome.note([note.to_owned()]);
    }
    let nothing = survey.sketches().is_empty().then(|| match (family, families.as_slice()) {
        (Some(only), [other]) if *other != only => {
            format!("no Services of {only}: the rules are {other} ones; leave out --family to see them")
        }
        _ => around::nothing_here(&rulesets, &bundle, &dumps),
    });
    // Rules that lost every Service are worth comparing all the same.
    let join = join.filter(|_| nothing.is_none() || around::should_have_services(&rulesets));
    let Chosen { sketches, mut services } = choose(&survey, join.as_ref(), question, &mut outcome.missing);
    outcome.notes.extend(objects.complete(&mut services));
    let foreign = cluster.as_ref().is_some_and(|cluster| join::looks_foreign(cluster, &services));
    outcome.note(foreign.then(|| around::foreign(&objects)));
    then(Scene {
        bundle: &bundle,
        dumps: &dumps,
        rulesets: &rulesets,
        survey: &survey,
        cluster: cluster.as_ref(),
        objects: &objects,
        sets: &sets,
        sketches,
        services,
        foreign,
        narrowed: !question.what.is_empty() || question.namespace.is_some(),
        nothing,
        outcome,
    })
}

impl Scene<'_, '_, '_> {
    /// Makes the checks `pick` wants of the service ports, and of the rules as a whole as far as `depth` says. Where there
    /// was an earlier look, only what it showed too is kept.
    pub(super) fn check(&self, pick: &Pick, depth: Depth, earlier: Option<&Checked>) -> Checked {
        let sketches: Vec<&Sketch<'_>> = self.sketches.iter().flatten().copied().collect();
        let wirings = self.survey.wirings(&sketches, depth);
        let partial = around::partial(self.rulesets, self.bundle, self.dumps);
        let input = checks::Input {
            services: &self.services,
            wirings: &wirings,
            cluster: self.cluster,
            partial: &partial,
            narrowed: self.narrowed,
            read_at: self.read_at(),
            foreign: self.foreign,
        };
        checks::check(&input, pick, earlier)
    }

    /// What is to be said around the answer, with what of the service ports could not be judged.
    pub(super) fn remarks(&mut self) -> Outcome {
        let mut outcome = std::mem::take(&mut self.outcome);
        outcome.note(around::undecided(&self.services));
        outcome.note(around::gaps(&self.services, self.objects.viewpoint.node.as_deref()));
        outcome
    }

    /// Leaves the service ports to the end of the process, which is near: taking a hundred thousand endpoints apart one by
    /// one costs a tenth of a run.
    pub(super) fn leave(self) {
        std::mem::forget(self.services);
    }

    /// True if kube-proxy's chain is there, whether or not it leads to a Service.
    pub(super) fn has_portal(&self) -> bool {
        self.rulesets.iter().filter_map(|r| r.nat).any(|nat| nat.section.chain("KUBE-SERVICES").is_some())
    }

    /// When the rules were read: now where that was here, else what the dump says.
    pub(super) fn read_at(&self) -> Option<Moment> {
        if self.bundle.is_live() {
            return Some(Moment::now());
        }
        self.dumps.iter().filter_map(|dump| dump.generated).filter_map(Moment::from_dump).max()
    }

    /// What the answer was made from.
    pub(super) fn header(&self) -> Header {
        around::header(self.rulesets, self.bundle, self.dumps, self.objects)
    }

    /// What the texts are called.
    pub(super) fn labels(&self) -> Vec<&str> {
        self.bundle.captures.iter().map(|capture| capture.label.as_str()).collect()
    }

    /// The rules that findings name, as they stand in the texts.
    pub(super) fn quotes(&self, checked: &Checked) -> Quotes<'_> {
        let texts = self.bundle.captures.iter().map(|capture| (capture.label.as_str(), capture.text.as_str()));
        Quotes::of(texts, checked.findings.iter().flat_map(|finding| &finding.rules).copied())
    }
}
