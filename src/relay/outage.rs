//! A server is away: pauses that grow, and a log that counts what repeats.

use std::collections::BTreeSet;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};

/// Pauses while a server is down: from the first to the longest, with jitter, for ever.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
/// Reasons that are told of one outage; further ones are counted only.
const REASONS_MAX: usize = 8;

/// Backs off while a server is down. Tells each reason once, then how many attempts it took.
pub(super) struct Outage<'a> {
    outbox: &'a str,
    reasons: BTreeSet<String>,
    attempts: u64,
    pauses: ExponentialBackoff,
}

impl<'a> Outage<'a> {
    pub(super) fn new(outbox: &'a str) -> Self {
        Self { outbox, reasons: BTreeSet::new(), attempts: 0, pauses: pauses() }
    }

    /// An attempt has failed. Returns how long to wait before the next one.
    pub(super) fn next_pause(&mut self, reason: &str) -> Duration {
        if self.is_news(reason) {
            tracing::warn!(
                outbox = self.outbox,
                reason,
                attempts = self.attempts,
                "cannot deliver: retrying until it succeeds"
            );
        }
        self.pauses.next().unwrap_or(PAUSE_MAX)
    }

    pub(super) fn lasts(&self) -> bool {
        self.attempts > 0
    }

    pub(super) fn over(&mut self) {
        if self.lasts() {
            tracing::info!(outbox = self.outbox, attempts = self.attempts, "delivering again");
            *self = Self::new(self.outbox);
        }
    }

    fn is_news(&mut self, reason: &str) -> bool {
        self.attempts += 1;
        self.reasons.len() < REASONS_MAX && self.reasons.insert(reason.to_owned())
    }
}

fn pauses() -> ExponentialBackoff {
    ExponentialBuilder::default()
        .with_min_delay(PAUSE_MIN)
        .with_max_delay(PAUSE_MAX)
        .with_jitter()
        .without_max_times()
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_repeats_is_counted() {
        let mut outage = Outage::new("orders");
        let told =
            (0..1_000).filter(|round| outage.is_news(["refused", "no answer"][round % 2])).count();
        assert_eq!(
            (told, outage.attempts),
            (2, 1_000),
            "reasons that take turns are told once each"
        );
        let told =
            (0..1_000).filter(|round| outage.is_news(&format!("another one: {round}"))).count();
        assert_eq!(
            (told, outage.attempts),
            (REASONS_MAX - 2, 2_000),
            "and so is the number of reasons bounded"
        );
        outage.over();
        assert!(!outage.lasts() && outage.is_news("refused"), "the next outage is another one");
    }
}
