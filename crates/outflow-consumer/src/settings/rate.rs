//! A rate: so many events in a time, and how many of them at once.

use std::time::Duration;

use super::bad::BadSetting;

const EVENTS_MAX: u32 = 1_000_000;
const PER_MAX: Duration = Duration::from_hours(24);
/// What a timer can be late. A burst must not be used up sooner, or the rate would not be reached.
const TIMER: Duration = Duration::from_millis(5);

/// The rate at which entries are handled: a number of events in a time, and a burst.
///
/// After a time without entries, a burst of them is handled at once. Over any time `t`, no more
/// than `burst + t * events / per` attempts begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    events: u32,
    per: Duration,
    burst: Option<u32>,
}

impl Rate {
    /// So many events per second: 1 to 1,000,000.
    pub fn per_second(events: u32) -> Self {
        Self::new(events, Duration::from_secs(1))
    }

    /// So many events (1 to 1,000,000) in a time (1 ms to 24 h).
    pub fn new(events: u32, per: Duration) -> Self {
        Self { events, per, burst: None }
    }

    /// Number of events that are handled at once after a time without any: 1 to 1,000,000, and at
    /// least what the rate allows in 5 ms, because a timer may be late by so much. Default: what
    /// the rate allows in a second, and at least 1.
    #[must_use]
    pub fn burst(mut self, events: u32) -> Self {
        self.burst = Some(events);
        self
    }

    /// The time from one event to the next. Rounded up: the rate is a maximum.
    pub(crate) fn interval(&self) -> Duration {
        let nanos = self.per.as_nanos().div_ceil(u128::from(self.events.max(1)));
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    pub(crate) fn burst_or_default(&self) -> u32 {
        self.burst.unwrap_or_else(|| self.allowed_in(Duration::from_secs(1)).max(1))
    }

    fn allowed_in(&self, time: Duration) -> u32 {
        let events = u128::from(self.events) * time.as_nanos() / self.per.as_nanos().max(1);
        u32::try_from(events).unwrap_or(u32::MAX)
    }

    /// Checks it. `of` is the event type that it is for, if it is for one.
    pub(super) fn check(&self, name: &'static str, of: Option<&str>) -> Result<(), BadSetting> {
        let bad = |what: &str, value: String, expected: String| {
            let of = of.map(|of| format!(" for type {of:?}")).unwrap_or_default();
            let expected = format!("{expected} as {what}");
            Err(BadSetting { name, value: format!("{value}{of}"), expected })
        };
        let Self { events, per, burst } = *self;
        if !(1..=EVENTS_MAX).contains(&events) {
            let value = format!("{events} events in {per:?}");
            return bad("number of events", value, format!("1 to {EVENTS_MAX}"));
        }
        if !(Duration::from_millis(1)..=PER_MAX).contains(&per) {
            return bad("time", format!("{events} events in {per:?}"), "1 ms to 24 h".to_owned());
        }
        // The default for a million in a millisecond is as large as that.
        let least = self.allowed_in(TIMER).clamp(1, EVENTS_MAX);
        match burst {
            Some(burst) if !(least..=EVENTS_MAX).contains(&burst) => {
                let value = format!("{events} events in {per:?}, {burst} at once");
                bad("burst", value, format!("{least} to {EVENTS_MAX}"))
            }
            Some(_) | None => Ok(()),
        }
    }
}
