//! How long to wait before an API server is asked again: longer each time, and never the same for two of us.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::time::Duration;

/// The first wait.
const FIRST: Duration = Duration::from_millis(500);

/// The longest: an API server that is back has every node again after this.
const LONGEST: Duration = Duration::from_secs(30);

/// The waits between attempts that fail.
#[derive(Debug)]
pub(super) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(FIRST)
    }
}

impl Pause {
    /// The next wait: at least half of a span that doubles.
    pub(super) fn next(&mut self) -> Duration {
        let span = self.0;
        self.0 = (span * 2).min(LONGEST);
        between(span / 2, span)
    }
}

/// Some span from `least` to `most`.
pub(super) fn between(least: Duration, most: Duration) -> Duration {
    let width = u64::try_from(most.saturating_sub(least).as_millis()).unwrap_or(u64::MAX);
    // Every RandomState has keys of its own, from the operating system's randomness.
    let random = RandomState::new().build_hasher().finish();
    least + Duration::from_millis(random % width.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit() {
        let mut pause = Pause::default();
        for span in [500, 1000, 2000, 4000, 8000, 16000, 30000, 30000].map(Duration::from_millis) {
            let wait = pause.next();
            assert!(span / 2 <= wait && wait <= span, "{wait:?} for {span:?}");
        }
    }

    #[test]
    fn two_do_not_wait_alike() {
        let (least, most) = (Duration::from_mins(5), Duration::from_mins(10));
        let spans: Vec<Duration> = (0..20).map(|_| between(least, most)).collect();
        assert!(spans.iter().all(|span| (least..=most).contains(span)));
        assert!(spans.windows(2).any(|two| two[0] != two[1]));
    }
}
