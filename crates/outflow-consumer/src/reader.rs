//! Reads one stream: our own pending entries, those that others hand to us, new ones; as many as
//! there is room for.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use tokio::sync::mpsc;

use super::backoff::{Backoff, Interrupted, is_displaced, is_group_gone};
use super::context::{Context, Position, Stream};
use super::group::{Entered, Found, Held, More};
use super::handler::Handler;
use super::health::Part;
use super::memory::{Memory, Reservation};
use super::observer::Observation;
use super::settings::Settings;
use outflow_connect::redis::Failure;

/// How long one wait for new entries lasts. Longer saves nothing, and a connection that died
/// unnoticed is found sooner.
const WAIT_LONGEST: Duration = Duration::from_secs(5);
/// How long to wait for the connections before looking whether that is still worth it.
const CONNECT_PATIENCE: Duration = Duration::from_secs(1);
/// Until the other connection has noticed as well that the server is gone: what is sent on it
/// before is answered by its timeout.
const CUT_PAUSE: Duration = Duration::from_millis(100);
/// How long a full group is left alone, unless something of ours is acknowledged before.
const FULL_PAUSE: Duration = Duration::from_millis(100);
/// How often to look whether a challenge was answered, and for how long: a live process answers
/// several times as often (keeper.rs). Nothing rests on it (enter.lua).
const ENTER_PAUSE: Duration = Duration::from_millis(100);
const ENTER_PATIENCE: Duration = Duration::from_secs(2);
/// How long to stand by when another process has our name.
const NAME_PAUSE: Duration = Duration::from_secs(2);

/// An entry, with its place in memory.
#[derive(Debug)]
pub(super) struct Arrived {
    pub(super) stream: usize,
    pub(super) held: Held,
    pub(super) from: Position,
    pub(super) memory: Reservation,
}

/// The reader of one stream.
pub(super) struct Reader<H> {
    pub(super) context: Arc<Context<H>>,
    pub(super) stream: usize,
    pub(super) memory: Arc<Memory>,
    pub(super) arrived: mpsc::Sender<Arrived>,
}

impl<H: Handler> Reader<H> {
    /// Reads until a stop is asked for. Nothing is lost by breaking it off anywhere: what Redis
    /// gave out is on our pending list, and what we were not told of, the next read tells.
    pub(super) async fn run(self) {
        let context = Arc::clone(&self.context);
        tokio::select! {
            () = self.read_on() => {}
            () = context.lifecycle.stop.cancelled() => {}
        }
    }

    fn stream(&self) -> &Stream {
        &self.context.streams[self.stream]
    }

    async fn read_on(&self) {
        let mut pauses = Backoff::for_outage();
        let mut wait = None;
        loop {
            match self.step(&mut wait).await {
                Ok(()) => pauses = Backoff::for_outage(),
                Err(failure) if is_group_gone(&failure) => self.stream().lose_group(),
                Err(failure) if is_displaced(&failure) => self.context.displaced(self.stream),
                Err(failure) => {
                    // Nobody else's suspects wait for what cannot be read.
                    self.context.settle(self.stream);
                    self.context.lifecycle.failed(Part::Reader(self.stream), &failure);
                    if pauses.pause(&self.context.lifecycle.stop).await == Err(Interrupted::Stopped)
                    {
                        return;
                    }
                }
            }
        }
    }

    /// `wait` is a wait that is under way on its connection: another one would stand in line behind
    /// it.
    async fn step<'a>(
        &'a self,
        wait: &mut Option<BoxFuture<'a, Result<(), Failure>>>,
    ) -> Result<(), Failure> {
        let (stream, settings) = (self.stream(), &self.context.settings);
        stream.group.ready(CONNECT_PATIENCE).await?;
        if !stream.entered.load(Ordering::SeqCst) && !self.enter().await? {
            self.context.settle(self.stream);
            tokio::time::sleep(NAME_PAUSE).await;
            return Ok(());
        }
        if stream.group_gone.load(Ordering::SeqCst) {
            self.create().await?;
        }
        let control = &self.context.control;
        if control.is_paused() {
            // Our name is ours, so that the housekeeper keeps what we have.
            self.context.lifecycle.health.reached();
            return self.wait_for(control.until_paused(false)).await;
        }
        let mut claim = if let Some(claim) = self.memory.try_claim(settings.batch) {
            claim
        } else {
            self.context.settle(self.stream);
            let claim = tokio::select! {
                claim = self.memory.claim(settings.batch) => claim,
                // What has memory keeps it for as long as the pause lasts.
                () = control.until_paused(true) => None,
            };
            let Some(claim) = claim else { return Ok(()) };
            claim
        };
        let Some(reading) = control.read() else { return Ok(()) };
        let turn = stream.turn.lock().await;
        let from = stream.position();
        let read = stream
            .group
            .read(claim.entries(), claim.bytes(), from.cursor, settings.pending_max)
            .await?;
        let Found { entries, gone, more, is_resuming } = read;
        self.context.lifecycle.works(Part::Reader(self.stream));
        if !gone.is_empty() {
            self.pass_over(gone, from).await?;
        }
        for held in entries {
            if !stream.hold(from, held.id) {
                continue;
            }
            let memory = claim.reserve(held.fields.as_ref().map(|_| held.bytes));
            if self.arrived.send(Arrived { stream: self.stream, held, from, memory }).await.is_err()
            {
                return Ok(());
            }
        }
        drop(turn);
        drop(reading);
        drop(claim);
        if !is_resuming {
            self.context.settle(self.stream);
        }
        match more {
            More::Now => Ok(()),
            More::Full => self.wait_for(tokio::time::sleep(FULL_PAUSE)).await,
            More::Behind(last) => {
                let waiting = wait.get_or_insert_with(|| {
                    Box::pin(async move {
                        // After a restart of the server this connection may come back after the one
                        // that has just read.
                        stream.group.ready(CONNECT_PATIENCE).await?;
                        stream.group.wait(&last, WAIT_LONGEST).await
                    })
                });
                tokio::select! {
                    waited = waiting => {
                        *wait = None;
                        match waited {
                            Err(failure @ Failure::Refused(_)) => Err(failure),
                            // A wait that was cut off had no effect, and may be told of it long
                            // after: whether there is an outage, the next step shows.
                            Err(Failure::NotSent(_) | Failure::Unknown(_)) => {
                                tokio::time::sleep(CUT_PAUSE).await;
                                Ok(())
                            }
                            Ok(()) => Ok(()),
                        }
                    }
                    () = stream.wake.notified() => Ok(()),
                }
            }
        }
    }

    async fn wait_for(&self, pause: impl Future<Output = ()>) -> Result<(), Failure> {
        tokio::select! {
            () = pause => Ok(()),
            () = self.stream().wake.notified() => Ok(()),
        }
    }

    /// Makes sure that nobody else has our name. Returns whether it is ours.
    async fn enter(&self) -> Result<bool, Failure> {
        let (stream, settings) = (self.stream(), &self.context.settings);
        let (asked, mut is_waiting) = (Instant::now(), false);
        loop {
            match stream.group.enter(is_waiting, asked.elapsed() >= ENTER_PATIENCE).await? {
                Entered::Ours => {
                    stream.entered.store(true, Ordering::SeqCst);
                    self.context.lifecycle.health.up(Part::Name(self.stream));
                    return Ok(true);
                }
                Entered::Challenged => is_waiting = true,
                Entered::Answered => {
                    let Settings { group, consumer, .. } = settings;
                    let cause = format!(
                        "another process is consumer {consumer:?} of group {group:?}, and at \
                            work: give each process a name \
                         of its own; standing by until it stops"
                    );
                    self.context.lifecycle.health.down(Part::Name(self.stream), &cause);
                    return Ok(false);
                }
            }
            tokio::time::sleep(ENTER_PAUSE).await;
        }
    }

    async fn create(&self) -> Result<(), Failure> {
        let stream = self.stream();
        if stream.group.create().await? {
            let (name, group) = (self.context.name(self.stream), &self.context.settings.group);
            tracing::warn!(stream = name, %group, "the group did not exist: created, from the \
                stream's beginning");
            stream.group.group_info(true).await?;
        }
        stream.group_gone.store(false, Ordering::SeqCst);
        Ok(())
    }

    /// Acknowledges entries whose messages were deleted or trimmed.
    async fn pass_over(
        &self,
        gone: Vec<super::id::EntryId>,
        from: Position,
    ) -> Result<(), Failure> {
        let stream = self.stream();
        let (name, count) = (self.context.name(self.stream), gone.len());
        if let Some(first) = gone.first() {
            tracing::warn!(stream = name, count, %first, "pending, but gone from the stream \
                (deleted or trimmed): acknowledged");
        }
        for id in &gone {
            stream.hold(from, *id);
        }
        // Their keys went with them: sweep.lua tidies up.
        let ids: Vec<_> = gone.iter().map(|id| (*id, Bytes::new())).collect();
        let acknowledged = stream.group.acknowledge(&ids).await;
        stream.release(gone);
        // A sign of life of ours may have dropped, and counted, some of them meanwhile.
        self.context.observe(self.stream, &Observation::LostPending(acknowledged?));
        Ok(())
    }
}
