//! The first event in line, and for how long it has waited: by its own time, and by how long it has
//! been seen there, which no row can lie about.

use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::observe::backlog::Look;
use crate::observe::metrics::FirstInLine;
use outflow_core::age::Age;

/// An event that has been first for so long is named in the member's report.
const NAMED_AFTER: Duration = Duration::from_secs(10);

/// What the last look saw.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct First {
    row: Option<String>,
    seen: Instant,
    /// The same, for who reads it elsewhere.
    since: Timestamp,
    time: Option<Timestamp>,
    pub(super) events: i64,
}

impl First {
    /// An event that was first at the last look as well is seen since then.
    pub(super) fn next(known: Option<Self>, look: Look) -> Self {
        let known = known.filter(|known| known.row.is_some() && known.row == look.first);
        let (seen, since) = known
            .map_or_else(|| (Instant::now(), Timestamp::now()), |known| (known.seen, known.since));
        Self { row: look.first, seen, since, time: look.oldest, events: look.events }
    }

    /// In seconds, 0 without an event. A time that is absent or not plausible counts for nothing.
    pub(super) fn age(&self) -> f64 {
        if self.events == 0 {
            return 0.0;
        }
        let told = self.time.and_then(|time| Age::of(time, Timestamp::now()).seconds());
        told.unwrap_or(0.0).max(self.seen.elapsed().as_secs_f64())
    }

    pub(super) fn named(&self) -> Option<FirstInLine> {
        let row =
            self.row.clone().filter(|_| self.events > 0 && self.seen.elapsed() >= NAMED_AFTER)?;
        Some(FirstInLine { row, since: self.since })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(first: Option<&str>, oldest: Option<&str>) -> Look {
        Look {
            events: i64::from(first.is_some()),
            position: None,
            oldest: oldest.map(|time| time.parse().expect("a time")),
            first: first.map(str::to_owned),
        }
    }

    /// Seen first a minute ago, and still there.
    fn minute_later(oldest: Option<&str>) -> First {
        let mut first = First::next(None, look(Some("1"), oldest));
        first.seen = Instant::now().checked_sub(Duration::from_mins(1)).expect("a clock");
        First::next(Some(first), look(Some("1"), oldest))
    }

    #[test]
    fn no_time_hides_an_event_that_is_stuck() {
        for time in [None, Some("2999-01-01T00:00:00Z"), Some("0001-01-01T00:00:00Z")] {
            let age = minute_later(time).age();
            assert!((60.0..70.0).contains(&age), "{time:?}: {age}");
        }
        let hour = Timestamp::now() - Duration::from_hours(1);
        assert!(minute_later(Some(&hour.to_string())).age() >= 3_600.0);
        assert!(minute_later(None).named().is_some());
    }

    #[test]
    fn another_event_starts_anew_and_none_has_no_age() {
        let next = First::next(Some(minute_later(None)), look(Some("2"), None));
        assert!(next.age() < 10.0 && next.named().is_none());
        assert!(First::next(Some(minute_later(None)), look(None, None)).age() == 0.0);
    }
}
