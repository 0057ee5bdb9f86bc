//! Where the time goes, phase by phase, on generated dumps: `cargo bench`. Ratios between phases and sizes are what
//! counts; the figures of whole runs in the README are made with hyperfine.

#[path = "../support/generate.rs"]
mod generate;

use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::BytesCount;
use kube_ipt::checks::{self, Input, Pick};
use kube_ipt::dataplane::Select;
use kube_ipt::dump::iptables::{Dump, Hints};
use kube_ipt::net::Family;
use kube_ipt::proxy::KnownNames;
use kube_ipt::proxy::iptables::{Depth, Survey, rulesets};

/// Services of twenty endpoints: 1,000 to 100,000 endpoints.
const SERVICES: [usize; 3] = [50, 500, 5000];

fn dump(services: usize) -> &'static str {
    static DUMPS: OnceLock<Vec<(usize, String)>> = OnceLock::new();
    let dumps = DUMPS.get_or_init(|| SERVICES.map(|n| (n, generate::nat(n, 20))).into());
    dumps.iter().find(|(n, _)| *n == services).map(|(_, text)| text.as_str()).expect("one of the sizes")
}

fn main() {
    divan::main();
}

/// The one pass over the text.
#[divan::bench(args = SERVICES)]
fn scan(bencher: Bencher<'_, '_>, services: usize) {
    let text = dump(services);
    bencher.counter(BytesCount::of_str(text)).bench(|| Dump::scan(divan::black_box(text), Hints::default()));
}

/// Every rule of the text.
#[divan::bench(args = SERVICES)]
fn parse_all(bencher: Bencher<'_, '_>, services: usize) {
    let text = dump(services);
    let dump = Dump::scan(text, Hints::default());
    bencher.counter(BytesCount::of_str(text)).bench(|| {
        let section = &dump.sections[0];
        section.chains().iter().flat_map(|c| section.rules_of(c)).filter(|raw| raw.parse().is_ok()).count()
    });
}

/// Finding the service ports.
#[divan::bench(args = SERVICES)]
fn survey(bencher: Bencher<'_, '_>, services: usize) {
    let dumps = [Dump::scan(dump(services), Hints::default())];
    let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
    bencher.bench(|| Survey::of(divan::black_box(&rulesets), &KnownNames::default()));
}

/// `show` of one service, from the text on.
#[divan::bench(args = SERVICES)]
fn one_service(bencher: Bencher<'_, '_>, services: usize) {
    let text = dump(services);
    let select = Select::parse("svc-00042").expect("a name");
    bencher.bench(|| {
        let dumps = [Dump::scan(divan::black_box(text), Hints::default())];
        let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
        let survey = Survey::of(&rulesets, &KnownNames::default());
        let sketch = survey.sketches().iter().find(|s| s.is_named_by(&select)).expect("is there");
        survey.services(&[sketch])[0].pools[0].endpoints.len()
    });
}

/// `list` of all services, from the text on.
#[divan::bench(args = SERVICES, sample_count = 20)]
fn all_services(bencher: Bencher<'_, '_>, services: usize) {
    let text = dump(services);
    bencher.bench(|| {
        let dumps = [Dump::scan(divan::black_box(text), Hints::default())];
        let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
        let survey = Survey::of(&rulesets, &KnownNames::default());
        survey.services(&survey.sketches().iter().collect::<Vec<_>>()).len()
    });
}

/// `check` of all rules, from the text on.
#[divan::bench(args = SERVICES, sample_count = 20)]
fn check_all(bencher: Bencher<'_, '_>, services: usize) {
    let text = dump(services);
    bencher.bench(|| {
        let dumps = [Dump::scan(divan::black_box(text), Hints::default())];
        let (rulesets, _) = rulesets(&dumps, Family::Ipv4);
        let survey = Survey::of(&rulesets, &KnownNames::default());
        let sketches: Vec<_> = survey.sketches().iter().collect();
        let services = survey.services(&sketches);
        let wirings = survey.wirings(&sketches, Depth::Everything, None);
        let input = Input {
            services: &services,
            wirings: &wirings,
            cluster: None,
            partial: &[],
            narrowed: false,
            only: None,
            read_at: None,
            foreign: false,
            places: checks::Places::default(),
        };
        checks::check(&input, &Pick::default(), None).findings.len()
    });
}
