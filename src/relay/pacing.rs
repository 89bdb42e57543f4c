//! Between batches: how the next one is come by. Claim; if there is nothing, sleep until a writer
//! notifies; and under load pause so that a claim is worth its price.

use std::sync::Arc;
use std::time::Instant;

use futures_util::future::join;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Relay;
use super::mode::Mode;
use super::pace::{BUSY, Pace};
use super::pause::Pauses;
use super::pausing::changed;
use super::readiness::ASK_PAUSE;
use super::session::{Drain, Session};
use super::taken::Taken;
use super::trouble::Trouble;
use crate::relay::outbox::{Claim, Outbox, OutboxError, Woken};
use crate::relay::sink::Sink;

impl<O: Outbox, S: Sink> Relay<O, S> {
    /// The next batch, however long that takes; `None` when no more are wanted.
    pub(super) async fn next(
        &self,
        drain: &Drain<'_>,
        pace: &mut Pace,
        stop: &CancellationToken,
    ) -> Result<Option<Taken<O::Claim>>, Trouble> {
        if let Some(until) = pace.linger_until.take() {
            tokio::time::sleep_until(until.into()).await;
        }
        while !drain.has_ended() && !stop.is_cancelled() {
            // From before the claim: what changes after it ends the sleep.
            let mut pauses = self.pauses_from_here();
            if self.is_paused() || self.is_held() {
                drain.end();
                break;
            }
            let started = Instant::now();
            if let Some(taken) = self.look(pace, stop).await? {
                let rows = taken.claim.batch().events.len();
                pace.took(rows, taken.claim.is_full(), self.limits.linger);
                self.observer.claimed(rows, started.elapsed());
                return Ok(Some(taken));
            }
            if stop.is_cancelled() {
                break;
            }
            pace.busy = 0;
            self.ready(drain.session, stop).await?;
            self.idle_and_well();
            if drain.mode == Mode::Once {
                drain.end();
            } else if pace.asleep {
                self.sleep(drain, &mut pauses, stop).await?;
            } else if self.outbox.fall_asleep().await? {
                // Whoever committed before is seen by the claim that follows; whoever inserts from
                // here on notifies.
                (pace.asleep, pace.awake) = (true, 0);
            } else {
                tokio::time::sleep(pace.awake_pause()).await;
            }
        }
        Ok(None)
    }

    /// Claims once. What was heard before is forgotten first: this claim sees it.
    async fn look(
        &self,
        pace: &mut Pace,
        stop: &CancellationToken,
    ) -> Result<Option<Taken<O::Claim>>, Trouble> {
        if pace.asleep && pace.busy >= BUSY {
            pace.asleep = false;
            let (up, claim) = join(self.outbox.get_up(), self.claim(stop)).await;
            up?;
            return claim;
        }
        if pace.asleep {
            pace.asleep = self.outbox.fall_asleep().await?;
        }
        self.claim(stop).await
    }

    /// Waits until something may have been inserted, or may be claimed that was paused.
    async fn sleep(
        &self,
        drain: &Drain<'_>,
        pauses: &mut watch::Receiver<Arc<Pauses>>,
        stop: &CancellationToken,
    ) -> Result<(), Trouble> {
        let idle = async {
            drain.idle().await;
            self.observer.asleep(true);
            std::future::pending().await
        };
        let woken = tokio::select! {
            woken = self.rest(drain.session, stop) => Some(woken),
            never = idle => never,
            () = changed(pauses) => None,
            () = drain.ended() => None,
            () = stop.cancelled() => None,
        };
        self.observer.asleep(false);
        let Some(woken) = woken else { return Ok(()) };
        let woken = woken?;
        self.observer.woken(woken);
        match woken {
            Woken::Notified => Ok(()),
            Woken::Elapsed => {
                // It is quiet: no append will come along that drops them.
                self.forget(drain.session).await;
                Ok(())
            }
            Woken::Disconnected => {
                Err(OutboxError::Postgres("the control connection is lost".into()).into())
            }
        }
    }

    /// Rests for `poll_interval` at most, and asks Redis meanwhile whether it is still there.
    async fn rest(&self, session: &Session, stop: &CancellationToken) -> Result<Woken, Trouble> {
        let until = Instant::now() + self.limits.poll_interval;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let woken = self.outbox.woken(left.min(ASK_PAUSE)).await;
            if woken != Woken::Elapsed || left <= ASK_PAUSE {
                return Ok(woken);
            }
            self.ready(session, stop).await?;
        }
    }
}
