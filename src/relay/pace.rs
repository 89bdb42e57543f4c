//! When the next claim is made: at once, after a pause that makes it worth its price, or when a
//! writer notifies.

use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

/// So many looks are made without a pause while a writer is between insert and commit, so that
/// nobody can fall asleep: most commit at once, and a look takes its time too.
const LOOKS_AT_ONCE: u32 = 3;
/// After them the pauses grow from the first to the longest.
const AWAKE_PAUSE_MIN: Duration = Duration::from_millis(1);
const AWAKE_PAUSE_MAX: Duration = Duration::from_millis(25);
/// After so many claims in a row that took rows the sleep is over. One alone is an event by itself:
/// the sleep lock is kept, and the next event notifies again.
pub(super) const BUSY: u32 = 2;
/// A claim, its append and its commit cost the servers about half a millisecond of processor time
/// whatever they carry, and under load the writers pay for it: they want the same processors and
/// the same log. So once events come faster than they are claimed one by one, a claim that was not
/// full puts the next one off by this for each of its events, at least by [`LINGER_MIN`] and up to
/// [`LINGER_SHORT`], which bounds that cost to a tenth of a processor. Pause and batch feed each
/// other: below some 3,000 events/s they settle at a millisecond or two. Low traffic is never held
/// back.
///
/// Measured beside one writer (4,000 events/s, CPU time of relay, Redis and the claims' sessions
/// together): 40 to 51 us an event, with 60 us here 71 to 100. Without the bend at 5 ms it is 22 to
/// 38, for three times the latency at 5,000/s.
const LINGER_FOR_EVENT: Duration = Duration::from_micros(200);
const LINGER_MIN: Duration = Duration::from_millis(1);
const LINGER_SHORT: Duration = Duration::from_millis(5);
/// Large batches are worth a longer pause, up to [`Limits::linger`](super::Limits::linger).
/// Measured beside 16 writers (15,000 events/s, CPU time of relay, Redis and the claims' sessions
/// together): 15.2 us an event at a longest pause of 10 ms, 12.2 at 25 ms, 11.7 at 60 ms.
const LINGER_FOR_EACH_OF_MANY: Duration = Duration::from_micros(60);

/// A claim that is under way when no more are wanted is given up after so long: it may take up to
/// an hour.
const CLAIM_GRACE: Duration = Duration::from_secs(10);

/// When the next claim of a drain is made. Whoever makes the next claim holds it.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Writers notify: whatever is committed from here on wakes the one who waits.
    pub(super) asleep: bool,
    /// Claims in a row that took rows.
    pub(super) busy: u32,
    /// Claims in a row that took none while nobody could fall asleep.
    pub(super) awake: u32,
    /// The next claim is worth more from then on.
    pub(super) linger_until: Option<Instant>,
}

impl Pace {
    pub(super) fn took(&mut self, rows: usize, full: bool, longest: Duration) {
        self.busy += 1;
        self.awake = 0;
        let rows = u32::try_from(rows).unwrap_or(u32::MAX);
        let short = LINGER_FOR_EVENT.saturating_mul(rows).clamp(LINGER_MIN, LINGER_SHORT);
        let pause = LINGER_FOR_EACH_OF_MANY.saturating_mul(rows).max(short).min(longest);
        let lingers = !full && self.busy > BUSY && !pause.is_zero();
        self.linger_until = lingers.then(|| Instant::now() + pause);
    }

    /// How long to wait before another look, when there was nothing and nobody could fall asleep.
    pub(super) fn awake_pause(&mut self) -> Duration {
        self.awake += 1;
        match self.awake.checked_sub(LOOKS_AT_ONCE + 1) {
            None => Duration::ZERO,
            Some(doublings) => {
                AWAKE_PAUSE_MIN.saturating_mul(1 << doublings.min(5)).min(AWAKE_PAUSE_MAX)
            }
        }
    }
}

/// Waits until a claim under way is to be given up.
pub(super) async fn overdue(stop: &CancellationToken) {
    stop.cancelled().await;
    tokio::time::sleep(CLAIM_GRACE).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: Duration = Duration::from_millis(25);

    #[test]
    fn pauses_grow_while_nobody_can_fall_asleep_and_start_anew_with_an_event() {
        let mut pace = Pace::default();
        let pauses: Vec<u128> = (0..10).map(|_| pace.awake_pause().as_millis()).collect();
        assert_eq!(pauses, [0, 0, 0, 1, 2, 4, 8, 16, 25, 25]);
        pace.took(1, false, LONGEST);
        assert_eq!(pace.awake_pause(), Duration::ZERO);
    }

    #[test]
    fn the_third_claim_in_a_row_puts_off_the_next_by_its_rows_unless_it_was_full() {
        let table = [
            (1, 999, false, LONGEST, None),
            (2, 999, false, LONGEST, None),
            (3, 1_000, true, LONGEST, None),
            (3, 1, false, LONGEST, Some(1_000)),
            (3, 5, false, LONGEST, Some(1_000)),
            (3, 6, false, LONGEST, Some(1_200)),
            (9, 25, false, LONGEST, Some(5_000)),
            (9, 83, false, LONGEST, Some(5_000)),
            (9, 100, false, LONGEST, Some(6_000)),
            (9, 417, false, LONGEST, Some(25_000)),
            (9, usize::MAX, false, LONGEST, Some(25_000)),
            (3, 999, false, Duration::from_micros(700), Some(700)),
            (3, 999, false, Duration::ZERO, None),
        ];
        for (claims, rows, full, longest, expected) in table {
            let mut pace = Pace::default();
            let before = Instant::now();
            (0..claims).for_each(|_| pace.took(rows, full, longest));
            let (after, name) =
                (Instant::now(), format!("{claims} claims of {rows} rows, full: {full}"));
            let pause = expected.map(Duration::from_micros);
            assert_eq!(pace.linger_until.is_some(), pause.is_some(), "{name}");
            if let (Some(until), Some(pause)) = (pace.linger_until, pause) {
                assert!((before + pause..=after + pause).contains(&until), "{name}: not {pause:?}");
            }
        }
    }
}
