//! Doubts that come straight back: pauses that grow before the next recovery, and a log that counts
//! them.

use std::time::Duration;

use super::outage::Outage;
use super::trouble::Cause;

/// A doubt that comes within so long after a recovery is the same one again.
const CALM: Duration = Duration::from_secs(10);

/// Paces the recoveries of one member.
pub(super) struct Relapse<'a> {
    outbox: &'a str,
    outage: Outage<'a>,
    last: Option<Cause>,
}

impl<'a> Relapse<'a> {
    pub(super) fn new(outbox: &'a str) -> Self {
        Self { outbox, outage: Outage::new(outbox), last: None }
    }

    /// A doubt has ended work that had lasted for so long. Returns how long to wait before the
    /// recovery, if it is the same doubt again.
    pub(super) fn next_pause(
        &mut self,
        cause: Cause,
        detail: &str,
        lasted: Duration,
    ) -> Option<Duration> {
        match cause {
            // Somebody else's recovery, which is only adopted; and a stream is parked once.
            Cause::PartlyAppended | Cause::Stale | Cause::Members => return None,
            Cause::Fenced => {
                tracing::warn!(
                    outbox = self.outbox,
                    cause = cause.as_str(),
                    detail,
                    "the outcome of a batch is unknown: running recovery"
                );
                return None;
            }
            Cause::Start
            | Cause::Postgres
            | Cause::Unanswered
            | Cause::RolledBack
            | Cause::InFlight => {}
        }
        if self.last.replace(cause) == Some(cause) && lasted < CALM {
            return Some(self.outage.next_pause(&format!("{}: {detail}", cause.as_str())));
        }
        self.outage.over();
        tracing::warn!(
            outbox = self.outbox,
            cause = cause.as_str(),
            detail,
            "the outcome of a batch is unknown: running recovery"
        );
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_doubt_again_is_paced_and_another_one_or_a_late_one_is_not() {
        let mut relapse = Relapse::new("orders");
        let soon = Duration::from_millis(5);
        assert_eq!(relapse.next_pause(Cause::Postgres, "refused", soon), None, "the first one");
        let pauses: Vec<Duration> = (0..12)
            .map(|_| relapse.next_pause(Cause::Postgres, "refused", soon).expect("a pause"))
            .collect();
        assert!(pauses[0] < Duration::from_millis(300), "{pauses:?}");
        assert!(pauses[11] >= Duration::from_secs(5), "{pauses:?}");
        assert_eq!(relapse.next_pause(Cause::Unanswered, "late", soon), None, "another one");
        assert!(
            relapse
                .next_pause(Cause::Unanswered, "late", soon)
                .is_some_and(|pause| pause < Duration::from_secs(1))
        );
        assert_eq!(relapse.next_pause(Cause::Unanswered, "late", CALM), None, "it had been over");
        assert_eq!(relapse.next_pause(Cause::Stale, "5", soon), None, "somebody else's");
    }
}
