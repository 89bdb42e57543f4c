//! Reads one stream: our own pending entries, those that others hand to us, new ones; as many as there is room for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::Handler;
use super::group::{Found, Held, More};
use super::health::Part;
use super::patience::{Interrupted, Pauses, is_group_gone};
use super::share::{Position, Share, Stream};
use crate::redis::Failure;

/// How long one wait for new entries lasts. Longer saves nothing, and a connection that died unnoticed is found sooner.
const WAIT_LONGEST: Duration = Duration::from_secs(5);
/// How long to wait for the connections before looking whether that is still worth it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Until the other connection has noticed as well that the server is gone: what is sent on it before is answered by its timeout.
const CUT_PAUSE: Duration = Duration::from_millis(100);
/// How long a full group is left alone, unless something of ours is acknowledged before.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// An entry, with its place in memory.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: usize,
    pub(super) held: Held,
    pub(super) from: Position,
    pub(super) room: OwnedSemaphorePermit,
}

/// The reader of one stream.
pub(super) struct Reader<H> {
    pub(super) share: Arc<Share<H>>,
    pub(super) stream: usize,
    pub(super) room: Arc<Semaphore>,
    pub(super) arrived: mpsc::Sender<Arrived>,
}

impl<H: Handler> Reader<H> {
    /// Reads until a stop is asked for. Nothing is lost by breaking it off anywhere: what Redis gave out is on our pending
    /// list, and what we were not told of, the next read tells.
    pub(super) async fn run(self) {
        let share = Arc::clone(&self.share);
        tokio::select! {
            () = self.read_on() => {}
            () = share.stop.cancelled() => {}
        }
    }

    fn stream(&self) -> &Stream {
        &self.share.streams[self.stream]
    }

    async fn read_on(&self) {
        let mut pauses = Pauses::for_outage();
        let mut wait = None;
        loop {
            match self.step(&mut wait).await {
                Ok(()) => pauses = Pauses::for_outage(),
                Err(failure) if is_group_gone(&failure) => self.stream().lose_group(),
                Err(failure) => {
                    self.share.health.down(Part::Reader(self.stream), &failure.to_string());
                    if pauses.pause(&self.share.stop).await == Err(Interrupted::Stopped) {
                        return;
                    }
                }
            }
        }
    }

    /// `wait` is a wait that is under way on its connection: another one would stand in line behind it.
    async fn step<'a>(&'a self, wait: &mut Option<BoxFuture<'a, Result<(), Failure>>>) -> Result<(), Failure> {
        let (stream, settings) = (self.stream(), &self.share.settings);
        // Never closed.
        let Ok(first) = Arc::clone(&self.room).acquire_owned().await else { return Ok(()) };
        stream.group.ready(CONNECT_PATIENCE).await?;
        if stream.group_gone.load(Ordering::SeqCst) {
            self.create().await?;
        }
        let mut room = vec![first];
        while room.len() < settings.batch
            && let Ok(more) = Arc::clone(&self.room).try_acquire_owned()
        {
            room.push(more);
        }
        let turn = stream.turn.lock().await;
        let from = stream.position();
        let Found { entries, gone, more } = stream.group.read(room.len(), from.cursor, settings.pending_max).await?;
        self.share.health.up(Part::Reader(self.stream));
        if !gone.is_empty() {
            self.pass_over(gone, from).await?;
        }
        for held in entries {
            if !stream.take_in_hand(from, held.id) {
                continue;
            }
            let Some(room) = room.pop() else { break };
            if self.arrived.send(Arrived { stream: self.stream, held, from, room }).await.is_err() {
                return Ok(());
            }
        }
        drop(turn);
        drop(room);
        match more {
            More::Now => Ok(()),
            More::Full => self.wait_for(tokio::time::sleep(FULL_PAUSE)).await,
            More::Behind(last) => {
                let waiting = wait.get_or_insert_with(|| {
                    Box::pin(async move {
                        // After a restart of the server this connection may come back after the one that has just read.
                        stream.group.ready(CONNECT_PATIENCE).await?;
                        stream.group.wait(&last, WAIT_LONGEST).await
                    })
                });
                tokio::select! {
                    waited = waiting => {
                        *wait = None;
                        match waited {
                            Err(failure @ Failure::Refused(_)) => Err(failure),
                            // A wait that was cut off had no effect, and may be told of it long after: whether there is an outage,
                            // the next step shows.
                            Err(Failure::NotSent(_) | Failure::Unknown(_)) => {
                                tokio::time::sleep(CUT_PAUSE).await;
                                Ok(())
                            }
                            Ok(()) => Ok(()),
                        }
                    }
                    () = stream.nudge.notified() => Ok(()),
                }
            }
        }
    }

    async fn wait_for(&self, pause: impl Future<Output = ()>) -> Result<(), Failure> {
        tokio::select! {
            () = pause => Ok(()),
            () = self.stream().nudge.notified() => Ok(()),
        }
    }

    async fn create(&self) -> Result<(), Failure> {
        let stream = self.stream();
        if stream.group.create().await? {
            let (name, group) = (self.share.name(self.stream), &self.share.settings.group);
            tracing::warn!(stream = name, %group, "the group did not exist: created, from the stream's beginning");
        }
        stream.group_gone.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Acknowledges entries whose messages were deleted or trimmed.
    async fn pass_over(&self, gone: Vec<super::EntryId>, from: Position) -> Result<(), Failure> {
        let stream = self.stream();
        for id in &gone {
            tracing::warn!(stream = self.share.name(self.stream), %id, "pending, but gone from the stream (deleted or trimmed): acknowledged");
            stream.take_in_hand(from, *id);
        }
        let ids: Vec<_> = gone.iter().map(|id| (*id, String::new())).collect();
        let acknowledged = stream.group.acknowledge(&ids).await;
        stream.let_go(gone);
        acknowledged
    }
}
