//! Looks after our place in the group of one stream: signs of life, take-over, tidying, gauges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::Handler;
use super::group::Standing;
use super::patience::Pauses;
use super::share::{Share, Stream};
use crate::redis::Failure;

/// How often to look for what others left, at the longest: entries that were given back should not lie around.
const LOOK_LONGEST: Duration = Duration::from_secs(1);
/// How often the group's standing is asked for.
const STANDING_INTERVAL: Duration = Duration::from_secs(5);
/// How often to look for consumers that can be forgotten.
const FORGET_INTERVAL: Duration = Duration::from_mins(1);

/// The keeper of one stream.
pub(super) struct Keeper<H> {
    pub(super) share: Arc<Share<H>>,
    pub(super) stream: usize,
}

/// When each duty comes next.
struct Duties {
    heartbeat: Instant,
    reclaim: Instant,
    standing: Instant,
    forget: Instant,
}

impl<H: Handler> Keeper<H> {
    /// Keeps on, until it is dropped: signs of life are due for as long as a handler works, after a stop too.
    pub(super) async fn run(self) {
        let claim_idle = self.share.settings.claim_idle;
        let now = Instant::now();
        // Others may have been kept from their signs of life by what kept us from ours (a restart of Redis).
        let mut duties = Duties { heartbeat: now, reclaim: now + claim_idle / 3, standing: now, forget: now };
        loop {
            if let Err(failure) = self.look(&mut duties).await {
                // The reader says it, if it lasts.
                tracing::debug!(%failure, "no sign of life");
                duties.reclaim = Instant::now() + claim_idle;
                duties.heartbeat = Instant::now();
            }
            // With jitter, so that the members of a group do not look all at once.
            let pause = (claim_idle / 6).min(LOOK_LONGEST);
            tokio::time::sleep(Pauses::between(pause / 2, pause)).await;
        }
    }

    fn stream(&self) -> &Stream {
        &self.share.streams[self.stream]
    }

    async fn look(&self, duties: &mut Duties) -> Result<(), Failure> {
        let (stream, settings) = (self.stream(), &self.share.settings);
        if due(&mut duties.heartbeat, settings.claim_idle / 3) {
            let pending = stream.group.heartbeat().await?;
            if stream.misses_any(&pending) {
                tracing::debug!(
                    stream = self.share.name(self.stream),
                    "pending entries that are not in hand: read again"
                );
                stream.rescan();
            }
        }
        if duties.reclaim <= Instant::now() && !self.share.stop.is_cancelled() {
            self.reclaim().await?;
        }
        if due(&mut duties.standing, STANDING_INTERVAL) {
            self.note(stream.group.standing().await?);
        }
        if due(&mut duties.forget, FORGET_INTERVAL) {
            let gone = stream.group.forget(settings.forget_idle).await?;
            if !gone.is_empty() {
                tracing::info!(stream = self.share.name(self.stream), consumers = ?gone, "gone for long with nothing pending: removed from the group");
            }
        }
        Ok(())
    }

    async fn reclaim(&self) -> Result<(), Failure> {
        let stream = self.stream();
        let _turn = stream.turn.lock().await;
        let reclaimed = stream.group.reclaim(self.share.settings.claim_idle).await?;
        let name = self.share.name(self.stream);
        if reclaimed.gone > 0 {
            let count = reclaimed.gone;
            tracing::warn!(stream = name, count, "pending, but gone from the stream (deleted or trimmed): dropped");
        }
        if reclaimed.taken > 0 {
            let (count, from) = (reclaimed.taken, reclaimed.consumers);
            tracing::info!(stream = name, count, ?from, "took over the entries of consumers without a sign of life");
            stream.metrics.reclaimed.inc_by(count);
            stream.rescan();
        }
        Ok(())
    }

    fn note(&self, standing: Standing) {
        let metrics = &self.stream().metrics;
        let age = standing.oldest_pending.and_then(super::EntryId::appended_at).map_or(0.0, |time| {
            let age = Duration::try_from(Timestamp::now().duration_since(time));
            age.unwrap_or_default().as_secs_f64()
        });
        metrics.pending.set(standing.pending);
        metrics.oldest_pending_age_seconds.set(age);
        metrics.lag.set(standing.lag.unwrap_or_default());
        metrics.lag_known.set(i64::from(standing.lag.is_some()));
    }
}

/// Whether a duty is due; if so, it comes again after `interval`.
fn due(duty: &mut Instant, interval: Duration) -> bool {
    let now = Instant::now();
    if *duty > now {
        return false;
    }
    *duty = now + interval;
    true
}
