//! The whole way from a node's texts and a cluster's objects to every answer: shares that are shares, documents that can be
//! read, drawings that steer no terminal, and a node that does not differ from itself.

use hashbrown::HashMap;
use kube_ipt::checks::{self, Checked, Pick};
use kube_ipt::cluster::{Facts, Saved};
use kube_ipt::compare::{self, Known, Side};
use kube_ipt::dataplane::{Address, Endpoint, FrontendKind, Mode, Origin, Pool, RuleRef, ServicePort};
use kube_ipt::dump::addresses::Interfaces;
use kube_ipt::dump::ipset::Sets;
use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::dump::{ipvs, nft};
use kube_ipt::expect::{Cluster, Viewpoint};
use kube_ipt::join::{self, Join};
use kube_ipt::net::{Family, Moment, Protocol};
use kube_ipt::proxy::iptables::{Depth, Ruleset, joined, rulesets};
use kube_ipt::proxy::{self, KnownNames, Rules, Sketch, Survey, nftables};
use kube_ipt::render::{self, Graph, Marks, View};
use kube_ipt::report::{self, Header, Kind, Quotes};
use kube_ipt::trace::{Journey, Locals, Source};

use super::parts;

/// What sums of shares may be off by.
const ROUNDING: f64 = 1e-9;

/// Connections that are followed through the rules one by one.
const FOLLOWED: usize = 8;

pub(super) fn holds(data: &[u8]) {
    let input = String::from_utf8_lossy(data);
    Node::of(&parts::of(&input)).look();
}

/// A node's texts by their languages, and its cluster.
#[derive(Default)]
struct Node<'t> {
    /// One for each text, with its label; empty for what is no rules of iptables.
    dumps: Vec<Dump<'t>>,
    texts: Vec<(&'t str, &'t str)>,
    nft: Vec<(u16, nft::Listing<'t>)>,
    ipvs: Option<(u16, ipvs::Listing<'t>)>,
    sets: Sets<'t>,
    interfaces: Option<Interfaces<'t>>,
    said: Option<Mode>,
    only: Option<Family>,
    facts: Option<Facts>,
    name: Option<&'t str>,
}

impl<'t> Node<'t> {
    fn of(parts: &[(&'t str, &'t str)]) -> Self {
        let mut node = Self::default();
        let mut saved = Saved::default();
        for (name, text) in parts {
            match *name {
                "objects" => _ = saved.read("objects", text),
                "node" => node.name = text.lines().next(),
                "mode" => node.said = Mode::parse(text.trim()),
                "family" => node.only = [Family::Ipv4, Family::Ipv6].into_iter().find(|f| f.to_string() == text.trim()),
                _ => node.add(name, text),
            }
        }
        node.facts = (!saved.is_empty()).then(|| saved.into_facts());
        node
    }

    fn add(&mut self, name: &'t str, text: &'t str) {
        let number = u16::try_from(self.texts.len()).unwrap_or(u16::MAX);
        let of_iptables = if name == "iptables" { text } else { "" };
        self.dumps.push(joined(Dump::scan(of_iptables, Hints::default())));
        self.texts.push((name, text));
        match name {
            "nft" => self.nft.push((number, nft::Listing::scan(text))),
            "ipset" => self.sets.absorb(Sets::scan(text)),
            "addresses" => self.interfaces = Some(Interfaces::scan(text)),
            "ipvs" => match &mut self.ipvs {
                Some((_, known)) => known.absorb(ipvs::Listing::scan(text)),
                None => self.ipvs = Some((number, ipvs::Listing::scan(text))),
            },
            _ => {}
        }
    }

    /// Everything that any command answers with.
    fn look(&self) {
        let wanted = |of: Family| self.only.is_none_or(|only| only == of);
        let (mut iptables, notes) = rulesets(&self.dumps, self.only.unwrap_or(Family::Ipv4));
        let labels: Vec<&str> = self.texts.iter().map(|(label, _)| *label).collect();
        for note in &notes {
            assert!(!note.describe(&labels).contains('\n'));
        }
        let mut tables = nftables::rulesets(self.nft.iter().map(|(text, listing)| (*text, listing)));
        let listings = self.nft.iter().map(|(text, listing)| (*text, listing));
        let without_table = nftables::family_without_table(&tables, listings, |_| false);
        iptables.retain(|ruleset| wanted(ruleset.family));
        tables.retain(|table| wanted(table.family));
        let rules = Rules {
            iptables: &iptables,
            nftables: &tables,
            ipvs: self.ipvs.as_ref().map(|(text, listing)| proxy::ipvs::Ruleset { listing, text: *text }),
            sets: &self.sets,
            interfaces: self.interfaces.as_ref(),
            only: self.only,
            said: self.said,
            without_table,
        };
        let cluster = self.facts.as_ref().map(|facts| Cluster::new(facts, Viewpoint::of(self.name, facts)));
        let names = cluster.as_ref().map_or_else(KnownNames::default, join::known_names);
        let configured = self.facts.as_ref().and_then(|facts| Mode::parse(&facts.proxy.as_ref()?.mode));
        let survey = Survey::of(rules, &names, configured);
        let (sketches, services) = self.services(&survey, cluster.as_ref());
        services.iter().for_each(shares_are_shares);
        self.answers(rules, &survey, cluster.as_ref(), &sketches, &services);
        no_difference_to_itself(&survey, &services, cluster.is_some());
        for ruleset in &iptables {
            self.connections_end(ruleset, &survey, &services);
        }
    }

    /// Every service port, with what the cluster says of it, and those that only the cluster knows behind them.
    fn services<'s>(
        &self,
        survey: &'s Survey<'_, 't>,
        cluster: Option<&Cluster<'_>>,
    ) -> (Vec<Option<Sketch<'s, 't>>>, Vec<ServicePort>) {
        let sketches = survey.sketches();
        let mut services = survey.services(&sketches);
        assert_eq!(sketches.len(), services.len());
        let mut sketches: Vec<Option<Sketch<'_, '_>>> = sketches.into_iter().map(Some).collect();
        if let Some(cluster) = cluster {
            let join = Join::new(cluster, survey.extents());
            join.describe_all(&mut services);
            for port in join.ports().filter(|port| join.is_shown_alone(port, self.only)) {
                sketches.push(None);
                services.push(join.alone(&port));
            }
        }
        (sketches, services)
    }

    fn answers(
        &self,
        rules: Rules<'_, 't>,
        survey: &Survey<'_, 't>,
        cluster: Option<&Cluster<'_>>,
        sketches: &[Option<Sketch<'_, 't>>],
        services: &[ServicePort],
    ) {
        let known: Vec<Sketch<'_, '_>> = sketches.iter().flatten().copied().collect();
        let wirings = survey.wirings(&known, Depth::Everything);
        let input = checks::Input {
            services,
            wirings: &wirings,
            cluster,
            partial: &[],
            narrowed: false,
            only: None,
            read_at: self.dumps.iter().filter_map(|dump| dump.generated).filter_map(Moment::from_dump).max(),
            foreign: cluster.is_some_and(|cluster| join::looks_foreign(cluster, &known)),
            places: checks::Places::default(),
        };
        let pick = Pick::default();
        let checked = checks::check(&input, &pick, None);
        let quotes = Quotes::of(self.texts.iter().copied(), checked.findings.iter().flat_map(|f| &f.rules).copied());
        let mode = survey.mode().unwrap_or(Mode::Iptables);
        let header = Header {
            mode,
            backend: None,
            from: "texts".to_owned(),
            tables: survey.tables(),
            families: rules.families_of(mode),
            node: self.name.map(str::to_owned),
            objects: cluster.map(|_| "objects".to_owned()),
            partial: false,
            watch: None,
        };
        self.drawings(survey, sketches, services, &checked, (&header, &quotes));
        let document = report::check_document(&header, services, &checked, &quotes);
        let metrics = render::prometheus(&document, &checked, &pick, Moment(0));
        assert!(metrics.lines().all(|line| line.starts_with('#') || line.rsplit_once(' ').is_some_and(is_number)));
        is_json(&document);
        for kind in [Kind::Show, Kind::List] {
            is_json(&report::document(kind, &header, services.to_vec(), &checked.findings, &quotes));
        }
    }

    /// Everything that is drawn for people.
    fn drawings(
        &self,
        survey: &Survey<'_, 't>,
        sketches: &[Option<Sketch<'_, 't>>],
        services: &[ServicePort],
        checked: &Checked,
        (header, quotes): (&Header, &Quotes<'_>),
    ) {
        let marks = Marks::of(&checked.findings, services.len());
        let walk = |(sketch, port): (&Option<Sketch<'_, 't>>, &ServicePort)| {
            sketch.map(|sketch| survey.walkthrough(sketch, port)).unwrap_or_default()
        };
        let walkthroughs: Vec<_> = sketches.iter().zip(services).map(walk).collect();
        for view in [View { width: None, all: true }, View { width: Some(60), all: false }] {
            steers_nothing(&render::services(services, &walkthroughs, &marks, view));
            let around = render::Surroundings { services: services.len(), node: self.name, read_at: None };
            steers_nothing(&render::findings(checked, quotes, around, view));
            steers_nothing(&render::findings_table(checked, view.width));
            steers_nothing(&render::list(services, &marks, view.all, view.width));
            steers_nothing(&render::endpoints(services, &marks, view.all, view.width));
            steers_nothing(&render::footer(header, survey.rules_read(), &marks, view.width));
        }
        let graph = Graph::of_services(services);
        steers_nothing(&graph.dot());
        steers_nothing(&graph.mermaid());
    }

    /// A connection to a Service ends somewhere, however its rules branch.
    fn connections_end(&self, ruleset: &Ruleset<'t>, survey: &Survey<'_, 't>, services: &[ServicePort]) {
        let of_family = services.iter().filter(|port| port.family == ruleset.family);
        let endpoints: HashMap<RuleRef, Address> = services
            .iter()
            .flat_map(|port| &port.pools)
            .flat_map(|pool| &pool.endpoints)
            .filter_map(|endpoint| Some((*endpoint.rules.last()?, endpoint.address.clone())))
            .collect();
        let pods = survey.pods(ruleset.family);
        let frontends = of_family.flat_map(|port| port.frontends.iter().map(move |frontend| (port, frontend)));
        for ((port, frontend), n) in frontends.zip(0..FOLLOWED) {
            let origin = Origin::ALL[n % 3];
            let source = match origin {
                Origin::Pod => Source::SomePod,
                Origin::Node => Source::SomeLocal,
                Origin::External => Source::Outside,
            };
            let journey = Journey {
                origin,
                source,
                source_port: None,
                destination: frontend.address.filter(|_| frontend.kind != FrontendKind::NodePort),
                port: frontend.port.unwrap_or(80),
                protocol: port.protocol.unwrap_or(Protocol::Tcp),
                locals: Locals { complete: n % 2 == 0, ..Locals::default() },
                pod_networks: pods.networks,
                pod_interfaces: pods.interfaces,
                comes_in_by: None,
                goes_out_by: None,
                seen: n % 4 == 3,
                sets: &self.sets,
            };
            let trace = kube_ipt::trace::trace(ruleset, &journey, &endpoints, n % 2 == 1);
            let shares = trace.steps.iter().map(|step| step.probability);
            let ends = trace.outcomes.iter().map(|outcome| outcome.probability);
            let destinations = trace.destinations.iter().map(|destination| destination.probability);
            shares.chain(ends.clone()).chain(destinations).for_each(is_share);
            if let Some(all) = ends.sum::<Option<f64>>() {
                assert!((all - 1.0).abs() < ROUNDING, "{all} of the connections end");
            }
        }
    }
}

fn is_share(share: Option<f64>) {
    assert!(share.is_none_or(|share| (0.0..=1.0 + ROUNDING).contains(&share)), "{share:?} is no share");
}

fn shares_are_shares(port: &ServicePort) {
    for pool in &port.pools {
        let told = pool.endpoints.iter().map(|endpoint| endpoint.probability).chain([pool.undelivered]);
        let mut sum = 0.0;
        for share in told.flatten() {
            assert!((0.0..=1.0).contains(&share), "{share} is no share, in {}", pool.chain);
            sum += share;
        }
        assert!(sum <= 1.0 + ROUNDING, "{sum} is more than all, in {}", pool.chain);
        if is_known(pool) {
            assert!((sum - 1.0).abs() < ROUNDING, "{sum} is not all, in {}", pool.chain);
        }
    }
    let _ = port.status();
    for pool in &port.pools {
        let _ = port.balance(pool);
    }
}

/// True if all shares of a pool are known.
fn is_known(pool: &Pool) -> bool {
    let known = |endpoint: &Endpoint| endpoint.probability.is_some();
    pool.undelivered.is_some() && pool.endpoints.iter().all(known)
}

/// A node has no differences to itself, and the way back is none either.
fn no_difference_to_itself(survey: &Survey<'_, '_>, services: &[ServicePort], objects: bool) {
    let known: Vec<Known> = survey
        .extents()
        .iter()
        .map(|extent| Known {
            family: extent.family,
            whole: extent.nat_whole,
            refusals: extent.filter_whole,
            sources: extent.tells_sources,
            policies: !extent.remote_fallback,
        })
        .collect();
    let (mut a, mut b) = (services.to_vec(), services.to_vec());
    compare::align(&mut a, &mut b);
    let side = |services| Side { services, known: &known, objects };
    let comparison = compare::compare(side(&a), side(&b), |_| true);
    assert!(comparison.differences.is_empty(), "{:#?}", comparison.differences);
}

fn is_json(document: &impl serde::Serialize) {
    let mut bytes = Vec::new();
    render::json(document, &mut bytes).expect("memory takes everything");
    serde_json::from_slice::<serde_json::Value>(&bytes).expect("a document is JSON");
    render::yaml(document).expect("a document is YAML");
}

fn is_number((_, value): (&str, &str)) -> bool {
    value.parse::<f64>().is_ok()
}

/// Colours are this program's own; nothing else steers a terminal or changes the order of what is read.
fn steers_nothing(drawn: &str) {
    let mut rest = drawn.chars();
    while let Some(c) = rest.next() {
        if c == '\u{1b}' {
            let colour: String = rest.by_ref().take_while(|c| *c != 'm').collect();
            let own = colour.strip_prefix('[').is_some_and(|code| code.chars().all(|c| c.is_ascii_digit() || c == ';'));
            assert!(own, "an escape {colour:?} in {drawn}");
            continue;
        }
        let steers = (c.is_control() && c != '\n')
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        assert!(!steers, "{c:?} is drawn: {drawn}");
    }
}
