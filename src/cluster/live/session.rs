//! What requests are sent with, and for how long it is good.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};
use kube::{Client, Config};

use super::credentials;
use super::trouble::unusable;
use crate::cluster::problem::Trouble;

/// Credentials that are good for no longer than this are fetched again before they are used, but no sooner after they were
/// fetched: the clock of who gives them may be another.
const RENEW: Duration = Duration::from_mins(1);

/// What requests are sent with.
pub(super) struct Session {
    pub(super) client: Client,
    /// What it was made of, until when its credentials are good, and when they were fetched; `None` where they stay as they
    /// are.
    until: Option<(Config, Timestamp, Instant)>,
}

impl Session {
    /// Gets credentials, which may run the plugin, and makes a client of them; nothing is sent. Needs a runtime around it.
    pub(super) async fn begin(config: Config, plugin_limit: Option<Duration>) -> Result<Self, Trouble> {
        let mut with = config.clone();
        let until = credentials::prepare(&mut with.auth_info, plugin_limit).await?;
        let client = Client::try_from(with).map_err(|error| unusable(&error))?;
        Ok(Self { client, until: until.map(|until| (config, until, Instant::now())) })
    }

    /// What to begin again with, if the credentials are soon no longer good.
    pub(super) fn is_due(&self) -> Option<Config> {
        let (config, until, fetched) = self.until.as_ref()?;
        is_due(until.duration_since(Timestamp::now()), fetched.elapsed()).then(|| config.clone())
    }
}

/// True if credentials that are good for `left` and were fetched `age` ago are to be fetched again.
fn is_due(left: SignedDuration, age: Duration) -> bool {
    let lasts = Duration::try_from(left).is_ok_and(|left| left > RENEW);
    !lasts && age >= RENEW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_fetched_again_before_they_end_and_not_at_every_request() {
        let (hour, minute) = (SignedDuration::from_hours(1), Duration::from_mins(1));
        assert!(!is_due(hour, minute * 60));
        assert!(is_due(SignedDuration::from_mins(1), minute));
        assert!(is_due(-hour, minute));
        // Their clock is an hour behind ours: what they give is over when it comes.
        assert!(!is_due(-hour, Duration::from_secs(59)));
    }
}
