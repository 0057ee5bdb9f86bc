//! What every question about Services begins with: read, survey, select, follow, join.

use std::mem;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use super::afar::Afar;
use super::args::SourceArgs;
use super::around;
use super::choose::{Chosen, choose};
use super::objects::{self, Objects};
use super::phases::phase;
use super::{Failure, Outcome, gather, texts};
use crate::checks::{self, Checked, Pick};
use crate::cores;
use crate::dataplane::{Mode, Select, ServicePort, by_kind};
use crate::dump::iptables::Dump;
use crate::expect::Cluster;
use crate::join::{self, Join};
use crate::net::{Family, Moment};
use crate::proxy::iptables::{Depth, rulesets};
use crate::proxy::{KnownNames, Rules, Sketch, Survey, ipvs, nftables};
use crate::report::{self, Header, Quotes, Watched};
use crate::shell;
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
    /// What was read already; `None` to read it now.
    pub(super) given: Option<Given>,
}

/// What was read for a question before it is answered.
#[derive(Clone)]
pub(super) struct Given {
    /// The rules.
    pub(super) bundle: Arc<Bundle>,
    /// The objects.
    #[cfg(feature = "live")]
    pub(super) objects: objects::Known,
    /// The time of the answer, if a watch gives it.
    pub(super) watched: Option<Watched>,
}

/// What a question needs to know beside the Services it means.
#[derive(Debug, Default, Clone)]
pub(super) struct Beside {
    /// Pods, with the namespace where one is given.
    pub(super) pods: Vec<(Option<String>, String)>,
    /// Nodes.
    pub(super) nodes: Vec<String>,
    /// What kube-proxy is configured for.
    pub(super) config: bool,
    /// Every table that a packet passes, and ipsets.
    pub(super) way: bool,
    /// Whatever any question may need later: every mode, and all Pods and Nodes.
    pub(super) everything: bool,
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
        if let Some(file) = what.iter().find(|text| is_file(text)) {
            let what = format!("'{file}' is a file, and WHAT is what to look for in one");
            return Err(Failure { what, hints: vec![format!("-f {}", shell::word(file))] });
        }
        let parsed = by_kind(what).into_iter().map(|text| Select::parse(&text).map(|select| (text, select)));
        let what = parsed.collect::<Result<Vec<_>, _>>();
        let what = what.map_err(|error| Failure { what: error.to_string(), hints: Vec::new() })?;
        Ok(Self { what, namespace, source, verbose, beside: Beside::default(), given: None })
    }

    /// The same, of what was read already.
    #[cfg(feature = "live")]
    pub(super) fn given(&self, given: Given) -> Self {
        let Self { namespace, source, verbose, .. } = *self;
        Self { what: self.what.clone(), namespace, source, verbose, beside: self.beside.clone(), given: Some(given) }
    }

    /// The tables it is about.
    pub(super) fn tables(&self) -> Tables {
        match &self.beside {
            Beside { everything: true, .. } => Tables::Everything,
            Beside { way: true, .. } => Tables::OnTheWay,
            _ => Tables::OfServices,
        }
    }
}

/// True for the name of a file that no Service has, and no address: it has a dot, or is a path that begins at the root. `-` is
/// standard input.
fn is_file(text: &str) -> bool {
    let is_path = text.contains('.') && text.parse::<IpAddr>().is_err() || text.starts_with('/');
    text == "-" || is_path && Path::new(text).is_file()
}

/// A node and its cluster as far as a question needs them.
pub(super) struct Scene<'s, 'd, 'f> {
    pub(super) bundle: &'s Bundle,
    pub(super) dumps: &'s [Dump<'d>],
    pub(super) rules: Rules<'s, 'd>,
    pub(super) survey: &'s Survey<'s, 'd>,
    pub(super) cluster: Option<&'s Cluster<'f>>,
    pub(super) objects: &'s Objects,
    /// Where each service port stands in the rules; `None` for those of which only the cluster knows.
    pub(super) sketches: Vec<Option<Sketch<'s, 'd>>>,
    /// The service ports asked for, followed and joined.
    pub(super) services: Vec<ServicePort>,
    /// Only some were asked for.
    pub(super) narrowed: bool,
    /// The objects seem to be of another cluster than the rules.
    foreign: bool,
    /// The time of the answer, if a watch gives it.
    watched: Option<Watched>,
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
    let (mut then, mut answer) = (Some(then), None);
    set(question, &mut |scene| answer = then.take().map(|then| then(scene)))?;
    answer.expect("a scene that is set is looked at")
}

/// The same without an answer, so that the program holds this only once.
fn set(question: &Question<'_>, then: &mut dyn FnMut(Scene<'_, '_, '_>)) -> Result<(), Failure> {
    // Rules and objects are read at the same time.
    let afar = if question.given.is_some() { Afar::default() } else { Afar::of(question.source)? };
    let reading = objects::start(question, &afar);
    let bundle = match &question.given {
        Some(given) => Arc::clone(&given.bundle),
        None => {
            let read = || gather::bundle(question.source, question.tables(), &afar, question.verbose);
            Arc::new(phase("read", read)?)
        }
    };
    let mut texts = texts::read(&bundle, question.verbose)?;
    let family = question.source.family.map(Family::from);
    let (mut rulesets, ruleset_notes) =
        rulesets(&texts.dumps, family.or(question.beside.family).unwrap_or(Family::Ipv4));
    let wanted = |of: Family| family.is_none_or(|only| only == of);
    let mut tables = nftables::rulesets(texts.nft.iter().map(|(text, listing)| (*text, listing)));
    let families: Vec<Family> = rulesets.iter().map(|r| r.family).chain(tables.iter().map(|t| t.family)).collect();
    let without_table = texts.family_without_table(&bundle, &tables);
    rulesets.retain(|r| wanted(r.family));
    if texts.ipvs.is_some() {
        texts.sets.lacking = ipvs::unread_sets(&rulesets, &texts.sets);
    }
    tables.retain(|table| wanted(table.family));
    let rules = Rules {
        iptables: &rulesets,
        nftables: &tables,
        ipvs: texts.ipvs.as_ref().map(|(text, listing)| ipvs::Ruleset { listing, text: *text }),
        sets: &texts.sets,
        interfaces: texts.interfaces.as_ref(),
        only: family,
        said: texts.said,
        without_table,
    };

    let mut outcome = Outcome::default();
    outcome.note(bundle.notes.clone());
    if question.verbose && bundle.is_live() {
        outcome.note(bundle.commands.iter().map(|typed| format!("ran {typed}")));
    }
    outcome.note(texts.notes.iter().cloned());
    let labels: Vec<&str> = bundle.captures.iter().map(|c| c.label.as_str()).collect();
    outcome.note(ruleset_notes.iter().map(|note| note.describe(&labels)));
    if texts.are_only_sets() {
        return Err(without_rules(&labels));
    }

    let objects = phase("objects", || reading.finish(question, &bundle, rules))?;

    outcome.notes.extend(objects.notes.iter().cloned());
    outcome.note(objects.facts.iter().flat_map(|facts| facts.left_out.iter().cloned()));
    let cluster = objects.facts.as_ref().map(|facts| Cluster::new(facts, objects.viewpoint.clone()));
    let names = cluster.as_ref().map_or_else(KnownNames::default, join::known_names);
    let configured = cluster.as_ref().and_then(configured);
    let all_are_followed = question.what.is_empty() && question.namespace.is_none();
    let survey = phase("survey", || surveyed(rules, &names, configured, all_are_followed));
    let join = cluster.as_ref().map(|cluster| Join::new(cluster, survey.extents()));

    let of_iptables = !matches!(survey.mode(), Some(Mode::Ipvs | Mode::Nftables));
    let sets_are_used = !of_iptables || question.beside.way || question.beside.everything;
    outcome.note(around::of_rules(&survey, rules, &bundle, configured, sets_are_used));
    let nothing = survey.sketches().is_empty().then(|| match (family, families.as_slice()) {
        (Some(only), _) if without_table == Some(only) => {
            format!("no Services of {only}: kube-proxy has no table of it here, though it has one of {}", only.other())
        }
        (Some(only), [other]) if *other != only => {
            format!("no Services of {only}: the rules are {other} ones; leave out --family to see them")
        }
        _ => around::nothing_here(&survey, rules, &bundle, &texts),
    });
    // Rules that lost every Service are worth comparing all the same.
    let join = join.filter(|_| {
        nothing.is_none() || around::should_have_services(&survey, rules, &bundle, &texts.dumps, configured)
    });
    let chosen = phase("follow", || choose(&survey, join.as_ref(), question, &mut outcome.missing));
    let Chosen { sketches, mut services } = chosen;
    if of_iptables && nothing.is_none() {
        let unmatched = join.is_none() && !outcome.missing.is_empty();
        outcome.notes.extend(around::without_a_table(&rulesets, unmatched));
    }
    outcome.notes.extend(objects.complete(&mut services));
    let foreign = cluster.as_ref().is_some_and(|cluster| join::looks_foreign(cluster, &survey.sketches()));
    outcome.note(foreign.then(|| around::foreign(&objects)));
    if let Some(cluster) = cluster.as_ref().filter(|_| !foreign) {
        outcome.note(around::other_pods(&survey, cluster));
    }
    then(Scene {
        bundle: &bundle,
        dumps: &texts.dumps,
        rules,
        survey: &survey,
        cluster: cluster.as_ref(),
        objects: &objects,
        sketches,
        services,
        foreign,
        watched: question.given.as_ref().and_then(|given| given.watched.clone()),
        narrowed: !question.what.is_empty() || question.namespace.is_some(),
        nothing,
        outcome,
    });
    // Nobody asks again, and what would be taken apart piece by piece is left to the end of the process.
    if question.given.is_none() {
        mem::forget(join);
        mem::forget((cluster, survey));
        mem::forget(objects);
    }
    Ok(())
}

/// The rules surveyed. Where there are very many and all are followed, names are made ready for looking them up meanwhile.
fn surveyed<'s, 'd>(
    rules: Rules<'s, 'd>,
    names: &KnownNames,
    configured: Option<Mode>,
    all_are_followed: bool,
) -> Survey<'s, 'd> {
    let survey = || Survey::of(rules, names, configured);
    if all_are_followed && rules.has_many_chains() {
        return cores::both(|| rules.expect_many_lookups(), survey).1;
    }
    survey()
}

/// The error for ipsets alone.
fn without_rules(labels: &[&str]) -> Failure {
    let what = format!("{} holds ipsets and no rules", labels.join(", "));
    Failure { what, hints: vec!["give what uses them too: -f FILE    (iptables-save, ipvsadm -Sn)".to_owned()] }
}

/// The mode that kube-proxy's ConfigMap names.
fn configured(cluster: &Cluster<'_>) -> Option<Mode> {
    Mode::parse(&cluster.facts().proxy.as_ref()?.mode)
}

impl Scene<'_, '_, '_> {
    /// True if the rules should lead to Services, so that those they do not lead to are missing from the node.
    pub(super) fn should_have_services(&self) -> bool {
        let configured = self.cluster.and_then(configured);
        around::should_have_services(self.survey, self.rules, self.bundle, self.dumps, configured)
    }

    /// Makes the checks `pick` wants of the service ports, and of the rules as a whole as far as `depth` says. Where there
    /// was an earlier look, only what it showed too is kept.
    pub(super) fn check(&self, pick: &Pick, depth: Depth, earlier: Option<&Checked>) -> Checked {
        phase("check", || self.checked(pick, depth, earlier))
    }

    fn checked(&self, pick: &Pick, depth: Depth, earlier: Option<&Checked>) -> Checked {
        let sketches: Vec<Sketch<'_, '_>> = self.sketches.iter().flatten().copied().collect();
        let wirings = self.survey.wirings(&sketches, depth);
        let partial = around::partial(self.survey, self.rules, self.bundle, self.dumps);
        let input = checks::Input {
            services: &self.services,
            wirings: &wirings,
            cluster: self.cluster,
            partial: &partial,
            narrowed: self.narrowed,
            only: self.rules.only,
            read_at: self.read_at(),
            foreign: self.foreign,
            places: checks::Places::default(),
        };
        checks::check(&input, pick, earlier)
    }

    /// What is to be said around the answer, with what of the service ports could not be judged.
    pub(super) fn remarks(&mut self) -> Outcome {
        let mut outcome = mem::take(&mut self.outcome);
        outcome.note(around::undecided(&self.services));
        outcome.note(around::gaps(&self.services, self.objects.viewpoint.node.as_deref()));
        outcome
    }

    /// Leaves the service ports to the end of the process, where that is near: taking a hundred thousand endpoints apart one
    /// by one costs a tenth of a run.
    pub(super) fn leave(self) {
        if self.watched.is_none() {
            mem::forget(self.services);
        }
    }

    /// Notes what the answer says, for a watch that tells what changes.
    pub(super) fn note_likeness(&self, checked: &Checked, outcome: &mut Outcome) {
        if self.watched.is_some() {
            outcome.likeness =
                report::likeness(&self.header(), &self.services, &checked.findings, &self.quotes(checked));
        }
    }

    /// True if kube-proxy runs here and its rules were compared with the cluster: where it serves nothing, it may be meant to.
    pub(super) fn was_compared(&self) -> bool {
        self.cluster.is_some() && self.has_portal() && !self.survey.lacks_services_of_mode()
    }

    /// True if kube-proxy's chain is there, whether or not it leads to a Service.
    fn has_portal(&self) -> bool {
        let portal = |table: &nftables::Ruleset<'_>| table.table.chain("services").is_some();
        self.rules.iptables.iter().filter_map(|r| r.nat).any(|nat| nat.section.chain("KUBE-SERVICES").is_some())
            || self.rules.nftables.iter().any(portal)
            || self.rules.ipvs.is_some()
    }

    /// When the rules were read: what is known from outside them, else what the dump says.
    pub(super) fn read_at(&self) -> Option<Moment> {
        if self.bundle.read_at.is_some() {
            return self.bundle.read_at;
        }
        self.dumps.iter().filter_map(|dump| dump.generated).filter_map(Moment::from_dump).max()
    }

    /// What the answer was made from.
    pub(super) fn header(&self) -> Header {
        let header = around::header(self.survey, self.rules, self.bundle, self.dumps, self.objects);
        Header { watch: self.watched.clone(), ..header }
    }

    /// What the texts are called.
    pub(super) fn labels(&self) -> Vec<&str> {
        self.bundle.captures.iter().map(|capture| capture.label.as_str()).collect()
    }

    /// The rules that findings name, as they stand in the texts.
    pub(super) fn quotes(&self, checked: &Checked) -> Quotes<'_> {
        let texts = self.bundle.captures.iter().map(|capture| (capture.label.as_str(), &*capture.text));
        Quotes::of(texts, checked.findings.iter().flat_map(|finding| &finding.rules).copied())
    }
}
