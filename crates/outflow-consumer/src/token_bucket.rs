//! When a rate allows the next one. Pure.

use std::time::{Duration, Instant};

use super::settings::Rate;

/// Counts what was taken against a rate. Kept as one time (the generic cell rate algorithm), so
/// that it is exact, and there is nothing to fill up from time to time.
#[derive(Debug)]
pub(super) struct TokenBucket {
    /// From one token to the next.
    interval: Duration,
    /// How far ahead of the rate a burst may go.
    ahead: Duration,
    /// When all of the burst is there again; none was taken yet.
    full_at: Option<Instant>,
}

impl TokenBucket {
    pub(super) fn new(rate: &Rate) -> Self {
        let (interval, burst) = (rate.interval(), rate.burst_or_default().max(1));
        Self { interval, ahead: interval.saturating_mul(burst - 1), full_at: None }
    }

    /// When the next token is there, if that is not now.
    pub(super) fn next_at(&self, now: Instant) -> Option<Instant> {
        self.full_at?.checked_sub(self.ahead).filter(|at| *at > now)
    }

    /// Takes a token. On credit, if there is none: the next ones come later.
    pub(super) fn take(&mut self, now: Instant) {
        let full_at = self.full_at.map_or(now, |at| at.max(now));
        self.full_at = Some(full_at + self.interval);
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;

    use super::{Rate, TokenBucket};

    /// How many are taken within a time by somebody who waits for each, on Tokio's clock.
    async fn taken(bucket: &mut TokenBucket, time: Duration) -> usize {
        let end = tokio::time::Instant::now() + time;
        let mut count = 0;
        loop {
            let now = tokio::time::Instant::now();
            match bucket.next_at(now.into_std()) {
                Some(at) if end < at.into() => {
                    tokio::time::advance(end - now).await;
                    return count;
                }
                Some(at) => tokio::time::advance(tokio::time::Instant::from_std(at) - now).await,
                None if now >= end => return count,
                None => {
                    bucket.take(now.into_std());
                    count += 1;
                }
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_then_the_rate_holds() {
        let mut bucket = TokenBucket::new(&Rate::per_second(100).burst(20));
        assert_eq!(taken(&mut bucket, Duration::from_millis(1)).await, 20);
        assert_eq!(taken(&mut bucket, Duration::from_secs(10)).await, 1_000);
        // Unused, only the burst is saved.
        tokio::time::advance(Duration::from_hours(1)).await;
        assert_eq!(taken(&mut bucket, Duration::from_millis(1)).await, 20);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_and_fast_rates_hold() {
        let rows = [
            (Rate::new(6, Duration::from_mins(1)), Duration::from_hours(1), 360),
            (Rate::new(1, Duration::from_hours(1)), Duration::from_hours(24), 24),
            (Rate::per_second(3), Duration::from_secs(100), 302),
            (Rate::per_second(50_000).burst(500), Duration::from_secs(2), 100_499),
        ];
        for (rate, time, expected) in rows {
            let mut bucket = TokenBucket::new(&rate);
            // The first comes with the burst, and the end of the time is not in it.
            let count = taken(&mut bucket, time.saturating_sub(Duration::from_nanos(1))).await;
            assert_eq!(count, expected, "{rate:?}");
        }
    }

    proptest! {
        /// What the documentation says.
        #[test]
        fn never_more_than_the_burst_and_what_the_rate_allows(
            events in 1..2_000_u32, per in 1..5_000_u64, burst in 1..50_u32,
            pauses in proptest::collection::vec(0..20_000_000_u64, 1..400),
        ) {
            let rate = Rate::new(events, Duration::from_millis(per)).burst(burst);
            let (mut bucket, start) = (TokenBucket::new(&rate), Instant::now());
            let (mut now, mut taken) = (start, Vec::new());
            for pause in pauses {
                now += Duration::from_nanos(pause);
                if bucket.next_at(now).is_none() {
                    bucket.take(now);
                    taken.push(now);
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let time = u128::from(events) * (*to - *from).as_nanos();
                    let allowed = u128::from(burst) + time / Duration::from_millis(per).as_nanos();
                    prop_assert!((last - first + 1) as u128 <= allowed);
                }
            }
        }
    }
}
