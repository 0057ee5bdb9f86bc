//! Points in time, to compare the age of rules with that of objects.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

/// A point in time, in seconds since 1970 UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(pub i64);

impl Moment {
    /// Now.
    pub fn now() -> Self {
        Self(Timestamp::now().as_second())
    }

    /// Reads what the API writes: `2026-11-22T08:28:50Z`.
    pub fn from_api(text: &str) -> Option<Self> {
        text.parse::<Timestamp>().ok().map(|time| Self(time.as_second()))
    }

    /// Reads what `iptables-save` writes: `Sun Nov 22 08:28:50 2026`. It names no time zone; nodes are run in UTC.
    pub fn from_dump(text: &str) -> Option<Self> {
        let time = DateTime::strptime("%a %b %e %H:%M:%S %Y", text.trim()).ok()?;
        TimeZone::UTC.to_timestamp(time).ok().map(|time| Self(time.as_second()))
    }

    /// As the API writes it: `2026-11-22T08:28:50Z`.
    pub fn to_api(self) -> String {
        self.timestamp().to_string()
    }

    /// As people say it: `2026-11-22 08:28:50 UTC`.
    pub fn to_words(self) -> String {
        self.timestamp().strftime("%F %T UTC").to_string()
    }

    /// The nearest time there is.
    fn timestamp(self) -> Timestamp {
        let end = if self.0 < 0 { Timestamp::MIN } else { Timestamp::MAX };
        Timestamp::from_second(self.0).unwrap_or(end)
    }

    /// Seconds from `earlier` to this; negative if it is later.
    pub fn since(self, earlier: Self) -> i64 {
        self.0 - earlier.0
    }
}

/// A span as people say it: `14 s`, `5 min`, `3 h`, `2 days`.
pub fn span(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ways_to_write_a_time_agree() {
        let dump = Moment::from_dump("Sun Nov 22 08:28:50 2026");
        assert_eq!(dump, Moment::from_api("2026-11-22T08:28:50Z"));
        assert_eq!(dump, Moment::from_api("2026-11-22T09:28:50.250+01:00"));
        assert_eq!(Moment::from_dump("Sun Nov  1 08:28:50 2026"), Moment::from_api("2026-11-01T08:28:50Z"));
        assert_eq!(dump.map(Moment::to_api).as_deref(), Some("2026-11-22T08:28:50Z"));
        assert_eq!(Moment::from_dump("yesterday"), None);
        assert_eq!(Moment::from_api("yesterday"), None);
    }

    #[test]
    fn what_is_written_is_read_again() {
        let moment = Moment::from_api("2026-11-22T08:28:50Z").expect("a time");
        assert_eq!(moment.to_api(), "2026-11-22T08:28:50Z");
        assert_eq!(moment.to_words(), "2026-11-22 08:28:50 UTC");
        assert_eq!(Moment(i64::MAX).to_api(), "9999-12-30T22:00:00.999999999Z");
    }

    #[test]
    fn spans_are_told_in_one_unit() {
        let said: Vec<String> = [0, 14, 119, 120, 7199, 7200, 172_800].map(span).into();
        assert_eq!(said, ["0 s", "14 s", "119 s", "2 min", "119 min", "2 h", "2 days"]);
    }
}
