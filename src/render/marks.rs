//! Findings beside the services they are about, in trees and lists.

use super::palette::{DIM, ERROR, NOTE};
use super::text::clean;
use super::tree::Detail;
use crate::checks::{Finding, Severity};
use crate::order::Order as _;

/// Findings a tree shows by itself, where they are: on endpoints, in the heading, below a pool.
const SHOWN: [&str; 5] = ["KI101", "KI102", "KI103", "KI104", "KI201"];

/// The findings about each service port, in order.
#[derive(Debug)]
pub struct Marks<'m>(Vec<Vec<&'m Finding>>);

impl<'m> Marks<'m> {
    /// Parts `findings` by the service port they are about, of so many.
    pub fn of(findings: &'m [Finding], ports: usize) -> Self {
        let mut marks = vec![Vec::new(); ports];
        for finding in findings {
            if let Some(of_port) = finding.port.and_then(|at| marks.get_mut(at)) {
                of_port.push(finding);
            }
        }
        Self(marks)
    }

    /// The findings about the service port at this place that are not shown anyway, worst first.
    pub(super) fn at(&self, port: usize) -> Vec<&'m Finding> {
        let all = self.0.get(port).map(Vec::as_slice).unwrap_or_default();
        let mut hidden: Vec<&Finding> = all.iter().copied().filter(|f| !SHOWN.contains(&f.check.id)).collect();
        hidden.order_by_key(|finding| std::cmp::Reverse(finding.severity));
        hidden
    }

    /// The worst finding of all.
    pub(super) fn worst(&self) -> Option<&'m Finding> {
        // Of equals the first.
        self.0.iter().flatten().copied().rev().max_by_key(|finding| finding.severity)
    }
}

/// The mark of a severity and its style.
pub(super) fn look(severity: Severity) -> (&'static str, owo_colors::Style) {
    match severity {
        Severity::Error => ("✗ ", ERROR),
        Severity::Warning => ("! ", NOTE),
        Severity::Info => ("  ", DIM),
    }
}

/// Lines for findings under the heading of their service port: the sentence `check` says.
pub(super) fn details(findings: &[&Finding]) -> Vec<Detail> {
    let detail = |finding: &&Finding| {
        let (mark, style) = look(finding.severity);
        Detail { label: mark.to_owned(), text: clean(&finding.message).into_owned(), style }
    };
    findings.iter().map(detail).collect()
}
