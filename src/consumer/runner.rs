//! The consumer's loop: where the next entries come from, and what happens when they do not come.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

use super::group::{Group, Held};
use super::health::{Health, Part};
use super::patience::{Interrupted, Pauses, is_group_gone};
use super::{Handler, Metrics, Settings};
use crate::redis::{BadUrl, Failure, Redis};

/// How long one read waits for new entries. Longer saves nothing, and a connection that died unnoticed is found sooner.
const BLOCK_LONGEST: Duration = Duration::from_secs(5);
/// How long the first read after an outage waits: its answer shows that all is well again, and should come soon.
const BLOCK_FIRST: Duration = Duration::from_millis(1);
/// How long to wait for the connections before looking whether that is still worth it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);

/// A member of a consumer group that hands entries to a handler, one after another.
#[derive(Debug)]
pub struct Consumer<H> {
    pub(super) group: Group,
    pub(super) handler: H,
    pub(super) settings: Settings,
    pub(super) metrics: Metrics,
    pub(super) health: Health,
    /// The ids of the batch in hand that are not done yet, in order.
    in_hand: Mutex<VecDeque<String>>,
}

/// Where the loop stands.
struct Position {
    /// Redis said that the group does not exist. Not assumed at the start: creating it is refused by a full Redis, also
    /// when it is there.
    group_gone: bool,
    /// Our own pending list may not be empty.
    own_pending: bool,
    /// Where XAUTOCLAIM goes on.
    cursor: Option<String>,
    /// When to look for entries of dead consumers next.
    reclaim_at: Instant,
}

impl<H: Handler> Consumer<H> {
    /// Starts to connect in the background; nothing is read before [`Consumer::run`].
    ///
    /// # Errors
    /// [`BadUrl`] when the address of Redis cannot be used.
    pub fn open(url: &SecretString, settings: Settings, handler: H, metrics: Metrics) -> Result<Self, BadUrl> {
        let (commands, reads) = (Redis::open(url, "outflow-consumer")?, Redis::open(url, "outflow-consumer-read")?);
        let group = Group::new(commands, reads, settings.clone());
        let (health, in_hand) = (Health::default(), Mutex::default());
        Ok(Self { group, handler, settings, metrics, health, in_hand })
    }

    /// What is known of Redis and of what the handler needs; stays up to date while the consumer runs.
    pub fn health(&self) -> Health {
        self.health.clone()
    }

    /// Consumes until `stop` is cancelled: the entry in hand is finished first, the rest of its batch stays pending for
    /// our next start. Outages are waited out. Do not drop the future instead: that breaks off a handler.
    pub async fn run(self, stop: CancellationToken) {
        let mut position = Position { group_gone: false, own_pending: true, cursor: None, reclaim_at: Instant::now() };
        let mut pauses = Pauses::for_outage();
        while !stop.is_cancelled() {
            // Dropping a read at a stop loses nothing: what Redis delivered is on our pending list.
            let batch = tokio::select! {
                batch = self.next(&mut position) => batch,
                () = stop.cancelled() => break,
            };
            let ended = match batch {
                Ok(batch) => {
                    pauses = Pauses::for_outage();
                    self.work(batch, &stop).await
                }
                Err(failure) if is_group_gone(&failure) => Err(Interrupted::GroupGone),
                Err(failure) => {
                    self.health.down(Part::Redis, &failure.to_string());
                    position.own_pending = true;
                    pauses.pause(&stop).await
                }
            };
            match ended {
                Ok(()) => {}
                Err(Interrupted::GroupGone) => position.group_gone = true,
                Err(Interrupted::Stopped) => break,
            }
        }
        self.group.close().await;
    }

    /// The entries to work on next; may be none. Our own pending ones come first: they are the oldest.
    async fn next(&self, position: &mut Position) -> Result<Vec<Held>, Failure> {
        self.group.ready(CONNECT_PATIENCE).await?;
        if position.group_gone {
            if self.group.create().await? {
                let Settings { stream, group, .. } = &self.settings;
                tracing::warn!(%stream, %group, "the group did not exist: created, from the stream's beginning");
            }
            position.group_gone = false;
            position.own_pending = true;
        }
        if position.own_pending {
            let held = self.group.own_pending().await?;
            position.own_pending = !held.is_empty();
            if position.own_pending {
                return Ok(held);
            }
        }
        if position.reclaim_at <= Instant::now() {
            return self.reclaim(position).await.map(|()| Vec::new());
        }
        let block = if self.health.is_up(Part::Redis) { BLOCK_LONGEST } else { BLOCK_FIRST };
        let held =
            self.group.read_new(block.min(position.reclaim_at.saturating_duration_since(Instant::now()))).await?;
        self.health.up(Part::Redis);
        Ok(held)
    }

    /// One step over the group's pending list. What it takes over is on our own list then, and comes next. Nothing is in
    /// hand at this time, so that it cannot take what we are working on.
    async fn reclaim(&self, position: &mut Position) -> Result<(), Failure> {
        let reclaimed = self.group.reclaim(position.cursor.as_deref()).await?;
        for id in &reclaimed.gone {
            tracing::warn!(%id, "pending, but gone from the stream (deleted or trimmed): dropped by Redis");
        }
        if reclaimed.count > 0 {
            tracing::info!(count = reclaimed.count, "took over entries of consumers without a sign of life");
            self.metrics.reclaimed.inc_by(u64::try_from(reclaimed.count).unwrap_or(u64::MAX));
            position.own_pending = true;
        }
        if reclaimed.cursor.is_none() {
            position.reclaim_at = Instant::now() + self.settings.claim_idle / 2;
        }
        position.cursor = reclaimed.cursor;
        Ok(())
    }

    /// Works through a batch, one entry after another, with a sign of life every third of `claim_idle`.
    async fn work(&self, batch: Vec<Held>, stop: &CancellationToken) -> Result<(), Interrupted> {
        *self.in_hand.lock().unwrap_or_else(PoisonError::into_inner) =
            batch.iter().map(|held| held.id.clone()).collect();
        let working = async {
            for held in batch {
                if stop.is_cancelled() {
                    return Err(Interrupted::Stopped);
                }
                self.live(held, stop).await?;
                self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            }
            Ok(())
        };
        tokio::select! {
            biased;
            ended = working => ended,
            never = self.give_signs_of_life() => match never {},
        }
    }

    async fn give_signs_of_life(&self) -> Infallible {
        loop {
            tokio::time::sleep(self.settings.claim_idle / 3).await;
            let ids: Vec<String> =
                self.in_hand.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect();
            // Without an answer: the next one is due soon, and ownership is checked before each attempt anyway.
            if let Err(failure) = self.group.heartbeat(&ids).await {
                tracing::debug!(%failure, "no sign of life");
            }
        }
    }
}
