//! How long ago an event happened, by a time that somebody else wrote. It may be anything: clocks
//! differ, columns are filled by hand. Only a plausible time is measured, so that one row cannot
//! spoil a sum or hide a stuck event.

use jiff::{SignedDuration, Timestamp};

/// An older event was never told of by a clock: the sum of a histogram would not recover from it.
const MAX: SignedDuration = SignedDuration::from_hours(366 * 24);
/// Clocks of two machines may differ by this much; the age counts as 0 then.
const AHEAD_MAX: SignedDuration = SignedDuration::from_secs(1);

/// An age, or why it cannot be told.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Age {
    /// In seconds.
    Seconds(f64),
    /// The time lies ahead by more than clocks differ.
    Future,
    /// The time lies more than a year back.
    Past,
}

impl Age {
    /// The age at `now` of an event that happened at `time`.
    pub fn of(time: Timestamp, now: Timestamp) -> Self {
        let age = now.duration_since(time);
        if age > MAX {
            Self::Past
        } else if age < -AHEAD_MAX {
            Self::Future
        } else {
            Self::Seconds(age.as_secs_f64().max(0.0))
        }
    }

    /// The seconds, if they are plausible.
    pub fn seconds(self) -> Option<f64> {
        match self {
            Self::Seconds(seconds) => Some(seconds),
            Self::Future | Self::Past => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plausible_times_have_an_age() {
        let now: Timestamp = "2026-06-01T12:00:00Z".parse().expect("a time");
        let table = [
            ("2026-06-01T12:00:00Z", Age::Seconds(0.0)),
            ("2026-06-01T12:00:00.9Z", Age::Seconds(0.0)),
            ("2026-06-01T12:00:02Z", Age::Future),
            ("9999-01-01T00:00:00Z", Age::Future),
            ("2026-06-01T11:00:00Z", Age::Seconds(3_600.0)),
            ("2025-06-02T12:00:00Z", Age::Seconds(364.0 * 86_400.0)),
            ("1970-01-01T00:00:00Z", Age::Past),
            ("-009999-01-02T01:59:59Z", Age::Past),
        ];
        for (time, expected) in table {
            assert_eq!(Age::of(time.parse().expect(time), now), expected, "{time}");
        }
        assert_eq!(Age::of(Timestamp::MIN, Timestamp::MAX), Age::Past);
        assert_eq!(Age::of(Timestamp::MAX, Timestamp::MIN), Age::Future);
    }
}
