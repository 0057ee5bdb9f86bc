//! From findings to the contract.

use hashbrown::HashSet;

use super::build::SCHEMA;
use super::v1::{self, CheckDocument, CheckKind, Evidence, Skipped, Summary};
use super::{Header, Quotes};
use crate::checks::{Checked, Finding, Severity};
use crate::dataplane::{Address, ServicePort};

/// How many of these service ports rules were read of, so that they could be checked.
pub fn ports_checked(services: &[ServicePort]) -> usize {
    services.iter().filter(|port| !port.is_of_unread_family()).count()
}

/// The document of `check`.
pub fn check_document(
    header: &Header,
    services: &[ServicePort],
    checked: &Checked,
    quotes: &Quotes<'_>,
) -> CheckDocument {
    let skipped = checked.skipped.iter().map(|skipped| Skipped {
        id: skipped.check.id,
        code: skipped.check.slug,
        reason: skipped.reason.clone(),
    });
    CheckDocument {
        schema: SCHEMA,
        kind: CheckKind::Check,
        source: header.source(),
        watch: header.watch.clone(),
        summary: Summary {
            services: ports_checked(services),
            endpoints: services.iter().map(endpoints).sum(),
            errors: checked.count(Severity::Error),
            warnings: checked.count(Severity::Warning),
            infos: checked.count(Severity::Info),
            cause: checked.cause.clone(),
            skipped: skipped.collect(),
        },
        findings: checked.findings.iter().map(|f| finding(f, quotes)).collect(),
    }
}

/// Endpoints of a service port, each once though several pools hold it.
fn endpoints(port: &ServicePort) -> usize {
    match port.pools.as_slice() {
        [] => 0,
        [pool] => pool.endpoints.len(),
        pools => pools.iter().flat_map(|p| &p.endpoints).map(|e| &e.address).collect::<HashSet<&Address>>().len(),
    }
}

/// One finding.
pub(super) fn finding(finding: &Finding, quotes: &Quotes<'_>) -> v1::Finding {
    let rules = finding.rules.iter().filter_map(|&rule| {
        let quote = quotes.get(rule)?;
        Some(Evidence::Rule { from: quote.from.to_owned(), line: rule.line, text: quote.text().into_owned() })
    });
    let objects = finding.objects.iter().map(|object| Evidence::Object {
        kind: object.kind,
        name: object.name.clone(),
        field: object.field.clone(),
        value: object.value.clone(),
    });
    v1::Finding {
        id: finding.check.id,
        code: finding.check.slug,
        severity: finding.severity.as_str(),
        service: finding.service.clone(),
        protocol: finding.protocol.map(|protocol| protocol.to_string()),
        family: finding.family,
        address: finding.address.clone(),
        frontend: finding.frontend.clone(),
        chain: finding.chain.clone(),
        reason: finding.reason,
        share: finding.share,
        message: finding.message.clone(),
        hint: finding.hint.clone(),
        evidence: rules.chain(objects).collect(),
    }
}
