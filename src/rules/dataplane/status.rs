//! The state of a service port in one word.

use super::{Oddity, Pool, ServicePort, Standing};

/// The worst that applies to a service port: from the rules, and with objects from what the cluster wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// Every connection reaches an endpoint.
    Ok,
    /// No rule leads to endpoints.
    NoEndpoints,
    /// Part of the connections falls through untranslated.
    Undelivered,
    /// A rule cannot be judged, or is missing from the dump.
    Unknown,
    /// Rules lead to an endpoint that is gone or not ready, or the cluster does not have the service port any more.
    Stale,
    /// It should have rules and has none.
    NotProgrammed,
    /// Some endpoints that should get connections get none.
    MissingEndpoints,
    /// It is headless.
    Headless,
    /// It has no cluster IP yet.
    NoClusterIp,
    /// It is of type ExternalName.
    ExternalName,
    /// Another proxy serves it.
    OtherProxy,
    /// It has addresses of another family only than the rules that were read.
    OtherFamily,
}

impl Status {
    /// The word, as the JSON contract has it: `ok`, `no-endpoints`, …
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::NoEndpoints => "no-endpoints",
            Self::Undelivered => "undelivered",
            Self::Unknown => "unknown",
            Self::Stale => "stale",
            Self::NotProgrammed => "not-programmed",
            Self::MissingEndpoints => "missing-endpoints",
            Self::Headless => "headless",
            Self::NoClusterIp => "no-cluster-ip",
            Self::ExternalName => "external-name",
            Self::OtherProxy => "other-proxy",
            Self::OtherFamily => "other-family",
        }
    }
}

impl ServicePort {
    /// The worst that applies.
    pub fn status(&self) -> Status {
        let unknown =
            |pool: &Pool| pool.undelivered.is_none() || pool.oddities.iter().any(|o| !matches!(o, Oddity::Deep(_)));
        let undecided = self.is_unclear()
            || self.pools.iter().any(unknown)
            || (self.pools.is_empty() && self.about.as_ref().is_some_and(|about| about.gap.is_some()));
        if self.is_stale() {
            Status::Stale
        } else if let Some(status) = self.about.as_ref().and_then(|about| without_rules(&about.standing)) {
            status
        } else if self.lacks_rules() {
            Status::NotProgrammed
        } else if self.lost().is_some() && !undecided {
            Status::Undelivered
        } else if self.pools.iter().any(|pool| !pool.missing.is_empty()) {
            Status::MissingEndpoints
        } else if undecided {
            Status::Unknown
        } else if self.pools.is_empty() {
            Status::NoEndpoints
        } else {
            Status::Ok
        }
    }
}

/// The status of a service port that must not have rules.
fn without_rules(standing: &Standing) -> Option<Status> {
    match standing {
        Standing::Headless => Some(Status::Headless),
        Standing::ExternalName(_) => Some(Status::ExternalName),
        Standing::OtherProxy(_) => Some(Status::OtherProxy),
        Standing::OtherFamily => Some(Status::OtherFamily),
        Standing::NoClusterIp => Some(Status::NoClusterIp),
        _ => None,
    }
}
