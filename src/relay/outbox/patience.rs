//! How long a look for the next rows may take. Pure.
//!
//! The server ends a statement that takes longer than the session's `statement_timeout`. After a
//! long outage, over a cold cache or without an index, a look may need longer than that, and the
//! same limit would end each further one, too. So the limit grows until a look comes to its end.

use std::borrow::Cow;
use std::time::Duration;

/// `statement_timeout` of the sessions (`sql/session.sql`).
pub(super) const USUAL: Duration = Duration::from_secs(30);
const LONGEST: Duration = Duration::from_hours(1);
/// What still has no answer so long after the limit has lost its server.
pub(super) const SLACK: Duration = Duration::from_secs(10);

/// The limit of the next look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Patience {
    usual: Duration,
    limit: Duration,
    /// Which look was cut off last. That others come to their end says nothing of it.
    of: String,
}

impl Patience {
    pub(super) fn new(usual: Duration) -> Self {
        Self { usual, limit: usual, of: String::new() }
    }

    /// How long the server may work on it.
    pub(super) fn limit(&self) -> Duration {
        self.limit
    }

    /// How long to wait for its answer.
    pub(super) fn answer_limit(&self) -> Duration {
        self.limit + SLACK
    }

    /// Whether the usual limit is not enough.
    pub(super) fn is_long(&self) -> bool {
        self.limit > self.usual
    }

    /// For the transaction that looks; nothing of it stays in the session.
    pub(super) fn set_local(&self) -> String {
        format!("set local statement_timeout = {}", self.limit.as_millis())
    }

    /// This look was ended after so long. Returns whether the limit was the reason: then the next
    /// one is longer.
    pub(super) fn cut_off(&mut self, of: &str, took: Duration) -> bool {
        let is_reason = took >= self.limit;
        if is_reason {
            self.limit = (self.limit * 2).min(LONGEST.max(self.usual));
            of.clone_into(&mut self.of);
        }
        is_reason
    }

    /// This look came to its end after so long. The limit stays long while looks are slow.
    pub(super) fn answered(&mut self, of: &str, took: Duration) {
        if self.of == of && took * 2 <= self.usual {
            self.limit = self.usual;
        }
    }
}

/// `begin`, with the limit if it is not the session's.
pub(super) fn begin(begin: &'static str, patience: &Patience) -> Cow<'static, str> {
    if patience.is_long() {
        Cow::Owned(format!("{begin}; {}", patience.set_local()))
    } else {
        Cow::Borrowed(begin)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(patience: &Patience) -> u64 {
        patience.limit().as_secs()
    }

    #[test]
    fn the_limit_doubles_up_to_an_hour_with_each_look_that_reaches_it() {
        let mut patience = Patience::new(USUAL);
        assert!(!patience.is_long());
        let mut limits = Vec::new();
        for _ in 0..9 {
            assert!(patience.cut_off("", patience.limit()));
            limits.push(seconds(&patience));
        }
        assert_eq!(limits, [60, 120, 240, 480, 960, 1_920, 3_600, 3_600, 3_600]);
        assert_eq!(patience.set_local(), "set local statement_timeout = 3600000");
        assert_eq!(patience.answer_limit(), Duration::from_secs(3_610));
    }

    #[test]
    fn a_look_that_somebody_cancels_is_no_reason() {
        let mut patience = Patience::new(USUAL);
        assert!(!patience.cut_off("", Duration::from_millis(29_999)));
        assert_eq!(seconds(&patience), 30);
    }

    #[test]
    fn a_quick_look_of_the_same_rows_brings_the_usual_limit_back() {
        let mut patience = Patience::new(USUAL);
        let times = |took: u64| Duration::from_secs(took);
        patience.cut_off("orders", times(30));
        patience.answered("stock", times(0));
        assert_eq!(seconds(&patience), 60, "others say nothing of it");
        patience.answered("orders", times(45));
        assert_eq!(seconds(&patience), 60, "the next one may take as long");
        patience.answered("orders", times(16));
        assert_eq!(seconds(&patience), 60, "near to the limit");
        patience.answered("orders", times(15));
        assert_eq!((seconds(&patience), patience.is_long()), (30, false));
    }
}
