//! What could not be compared, and why not.

use super::Which;
use crate::dataplane::count;
use crate::net::Family;

/// Why something could not be compared. `Which` is the side that does not tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unknown {
    /// It has no rules of this family: service ports.
    Family(Which, Family),
    /// Lines are missing from it: what only the other side has may be there.
    Lines(Which, Family),
    /// It has no whole filter table: what only refuses or drops may be there.
    Refusals(Which, Family),
    /// It has no objects: service ports of which the cluster says something on the other side.
    Objects(Which),
    /// Rules of it cannot be judged: verdicts, shares.
    Judgement(Which),
    /// It does not tell the addresses of all endpoints of a pool: endpoints only the other side has.
    Addresses(Which),
    /// It does not tell whether clients are masqueraded: routes.
    Masquerade(Which),
    /// It does not tell which networks may connect: routes.
    Sources(Which),
    /// It does not tell endpoints of the node from those of the whole cluster: routes.
    Policies(Which),
    /// Its objects do not tell states or which endpoints should be there, or its rules are not whole: service ports, endpoints.
    Wishes(Which),
}

impl Unknown {
    /// The side that does not tell.
    pub fn side(self) -> Which {
        match self {
            Self::Family(which, _)
            | Self::Lines(which, _)
            | Self::Refusals(which, _)
            | Self::Objects(which)
            | Self::Judgement(which)
            | Self::Addresses(which)
            | Self::Masquerade(which)
            | Self::Sources(which)
            | Self::Policies(which)
            | Self::Wishes(which) => which,
        }
    }

    /// One word for programs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Family(..) => "family-not-read",
            Self::Lines(..) => "lines-missing",
            Self::Refusals(..) => "no-filter-table",
            Self::Objects(_) => "no-objects",
            Self::Judgement(_) => "rule-not-judged",
            Self::Addresses(_) => "address-not-told",
            Self::Masquerade(_) => "masquerade-not-told",
            Self::Sources(_) => "sources-not-told",
            Self::Policies(_) => "policy-not-told",
            Self::Wishes(_) => "expectation-unknown",
        }
    }

    /// Why `number` facts could not be compared, in one sentence.
    pub fn words(self, number: usize) -> String {
        let (side, other) = (self.side().as_str(), self.side().other().as_str());
        let counted =
            |one: &str| format!("{} {} not compared", count_of(number, one), if number == 1 { "was" } else { "were" });
        match self {
            Self::Family(_, family) => format!("no {family} rules of {side} were read: {}", counted("service port")),
            Self::Lines(_, family) => {
                format!("lines of {side} are missing ({family}): {} that only {other} has", counted("thing"))
            }
            Self::Refusals(_, family) => {
                format!("the filter table of {side} is not whole ({family}): {}", counted("refusal"))
            }
            Self::Objects(_) => format!(
                "{side} comes without objects: what the cluster says of {} was not compared",
                count_of(number, "service port")
            ),
            Self::Judgement(_) => format!("rules of {side} cannot be judged: {}", counted("share or verdict")),
            Self::Addresses(_) => {
                format!("{side} does not tell the address of every endpoint: {}", counted("endpoint"))
            }
            Self::Masquerade(_) => {
                format!("{side} does not tell whether clients are masqueraded: {}", counted("route"))
            }
            Self::Sources(_) => format!("{side} does not tell which networks may connect: {}", counted("route")),
            Self::Policies(_) => {
                format!("{side} does not tell local endpoints from those of the cluster: {}", counted("route"))
            }
            Self::Wishes(_) => format!(
                "which endpoints should be in {side} is not known: states of {}",
                counted("service port or endpoint")
            ),
        }
    }
}

fn count_of(number: usize, one: &str) -> String {
    match one.split_once(" or ") {
        Some((first, second)) if number != 1 => format!("{number} {first}s or {second}s"),
        _ => count(number, one),
    }
}
