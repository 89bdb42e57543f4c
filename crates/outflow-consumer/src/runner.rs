//! The consumer: readers and keepers of its streams, and the loop that brings entries and workers
//! together.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use secrecy::SecretString;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::calls::{Batches, Item, Job};
use super::group::Group;
use super::health::{Health, Part};
use super::keeper::Keeper;
use super::patience::Pauses;
use super::reader::{Arrived, Reader};
use super::room::Room;
use super::schedule::{Lane, Schedule};
use super::share::{Share, Stream};
use super::steps::Step;
use super::{Handler, Metrics, Settings};
use outflow_connect::redis::{BadUrl, Redis};

/// How often what the handler needs is asked whether it answers.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a stop waits for Redis, for each of its last words.
const LAST_PATIENCE: Duration = Duration::from_secs(3);
/// Entries on their way from the readers to the schedule; those wait in memory anyway.
const ARRIVALS: usize = 64;

/// A member of a consumer group that hands entries to a handler: those of a key in order, those of
/// different keys side by side.
#[derive(Debug)]
pub struct Consumer<H> {
    share: Share<H>,
}

/// What it has in hand, and who works on it (steps.rs).
pub(super) struct Runner<H> {
    pub(super) share: Arc<Share<H>>,
    pub(super) schedule: Schedule<Item>,
    /// In the order of the streams.
    pub(super) batches: Vec<Batches>,
    /// Workers that have a call of the handler, or will have one as soon as its attempts are
    /// counted.
    pub(super) busy: usize,
    /// Entries whose attempt is counted, and which a call has left undone: each gets a call of its
    /// own.
    pub(super) undone: VecDeque<Job>,
    pub(super) steps: JoinSet<Step>,
    pub(super) outage: Pauses,
    /// Attempts whose outcome was not that something is away.
    pub(super) outcomes: u64,
    pub(super) room: Arc<Room>,
}

impl<H: Handler> Consumer<H> {
    /// Starts to connect in the background; nothing is read before [`Consumer::run`].
    ///
    /// # Errors
    /// [`BadUrl`] when the address of Redis cannot be used; also when it is a cluster's, and a
    /// stream and its dead-letter stream are in different slots.
    pub fn open(
        url: &SecretString,
        settings: Settings,
        handler: H,
        metrics: Metrics,
    ) -> Result<Self, BadUrl> {
        let commands = Redis::open(url, "outflow-consumer")?;
        if commands.is_cluster() {
            settings.streams.iter().try_for_each(|source| source.check(&settings.group))?;
        }
        let mut streams = Vec::with_capacity(settings.streams.len());
        for (source, metrics) in settings.streams.iter().zip(metrics.streams) {
            let waits = Redis::open(url, "outflow-consumer-wait")?;
            streams.push(Stream::new(
                Group::new(commands.clone(), waits, source.clone(), &settings),
                metrics,
            ));
        }
        let (health, stop, abandon) =
            (Health::default(), CancellationToken::new(), CancellationToken::new());
        Ok(Self {
            share: Share {
                handler,
                settings,
                health,
                streams,
                stop,
                abandon,
                settled: Notify::new(),
            },
        })
    }

    /// What is known of Redis and of what the handler needs; stays up to date while the consumer
    /// runs.
    pub fn health(&self) -> Health {
        self.share.health.clone()
    }

    /// Consumes until `stop` is cancelled: attempts under way are finished first, everything else
    /// is given back for others to take over at once. Outages are waited out. Do not drop the
    /// future instead: that breaks off handlers at once.
    ///
    /// A stop ends whatever hangs: after [`Settings::stop_grace`] handlers are broken off, and some
    /// seconds later what Redis has not answered by then is left to whoever takes over.
    pub async fn run(mut self, stop: CancellationToken) {
        self.share.stop = stop;
        let share = Arc::new(self.share);
        let settings = &share.settings;
        let room = Arc::new(Room::new(settings));
        let (sender, mut arrivals) = mpsc::channel(ARRIVALS);
        // Dropped with this future, so that nothing goes on behind its back.
        let (mut readers, mut keepers) = (JoinSet::new(), JoinSet::new());
        for stream in 0..share.streams.len() {
            let (arrived, room) = (sender.clone(), Arc::clone(&room));
            readers.spawn(Reader { share: Arc::clone(&share), stream, room, arrived }.run());
            keepers.spawn(Keeper { share: Arc::clone(&share), stream }.run());
        }
        keepers.spawn(probe_on(Arc::clone(&share)));
        let mut runner = Runner {
            schedule: Schedule::new(),
            batches: share.streams.iter().map(|_| Batches::default()).collect(),
            busy: 0,
            undone: VecDeque::new(),
            steps: JoinSet::new(),
            outage: Pauses::for_outage(),
            outcomes: 0,
            room,
            share: Arc::clone(&share),
        };
        runner.work(&mut arrivals).await;
        runner.finish().await;
        drop(runner);
        keepers.shutdown().await;
        leave(&share).await;
    }
}

/// Gives back what is left, as far as Redis answers.
async fn leave<H: Handler>(share: &Share<H>) {
    let giving_back = share.streams.iter().map(async |stream| {
        match tokio::time::timeout(LAST_PATIENCE, stream.group.give_back()).await {
            Ok(Ok(0)) => {}
            Ok(Ok(count)) => {
                tracing::info!(
                    stream = stream.group.source.stream,
                    count,
                    "gave back what was not done"
                );
            }
            Ok(Err(failure)) => {
                tracing::debug!(%failure, "nothing given back: taken over after claim_idle");
            }
            Err(_elapsed) => tracing::warn!(
                "nothing given back, Redis does not answer: taken over after claim_idle"
            ),
        }
    });
    join_all(giving_back).await;
    if let Some(stream) = share.streams.first() {
        let _ = tokio::time::timeout(LAST_PATIENCE, stream.group.close()).await;
    }
}

/// Asks from time to time whether what the handler needs answers: frozen, it closes no connection,
/// and without entries nobody else would notice.
async fn probe_on<H: Handler>(share: Arc<Share<H>>) {
    loop {
        match share.probe().await {
            Ok(()) => share.health.up(Part::Probe),
            Err(cause) => share.health.down(Part::Probe, &cause),
        }
        tokio::time::sleep(PROBE_INTERVAL).await;
    }
}

impl<H: Handler> Runner<H> {
    async fn work(&mut self, arrivals: &mut mpsc::Receiver<Arrived>) {
        let (share, stopping) = (Arc::clone(&self.share), self.share.stop.clone());
        let settled = &share.settled;
        while !stopping.is_cancelled() {
            self.hand_out();
            let due = if self.has_free_worker() { self.schedule.due() } else { None };
            tokio::select! {
                biased;
                () = stopping.cancelled() => {}
                Some(step) = self.steps.join_next() => self.conclude(joined(step)),
                Some(arrived) = arrivals.recv() => {
                    self.arrive(arrived);
                    while let Ok(arrived) = arrivals.try_recv() {
                        self.arrive(arrived);
                    }
                }
                () = settled.notified() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()),
                if due.is_some() => {}
            }
        }
    }

    /// Waits for what is under way, and acknowledges what is done; not for ever.
    async fn finish(&mut self) {
        for batches in &mut self.batches {
            for job in batches.to_begin.drain(..).flatten() {
                self.schedule.put_back(&job.lane, job.item.held.id, job.item);
            }
        }
        self.leave_undone();
        let grace = self.share.settings.stop_grace;
        if tokio::time::timeout(grace, self.finish_steps()).await.is_ok() {
            return;
        }
        tracing::warn!(
            ?grace,
            attempts = self.busy,
            "a stop can wait no longer: what is under way is broken off"
        );
        self.share.abandon.cancel();
        if tokio::time::timeout(LAST_PATIENCE, self.finish_steps()).await.is_err() {
            tracing::warn!("Redis does not answer: attempts that were broken off stay counted");
        }
    }

    async fn finish_steps(&mut self) {
        while let Some(step) = self.steps.join_next().await {
            self.conclude(joined(step));
            self.send_acknowledgements();
        }
    }

    fn arrive(&mut self, Arrived { stream, held, from, room }: Arrived) {
        let ours = &self.share.streams[stream];
        if !ours.is_current(from) {
            ours.let_go([held.id]);
            return;
        }
        let (id, lane) = (held.id, Lane::of(stream, &held.key, held.id));
        let behind = self.schedule.push(&lane, id, Item::new(held, room));
        if behind {
            self.thin_out(&lane);
        }
    }

    /// Gives up the memory of what is behind an entry that waits: it would keep other keys' entries
    /// from being read.
    pub(super) fn thin_out(&mut self, lane: &Lane) {
        for item in self.schedule.queued(lane) {
            (item.room, item.held.fields) = (None, None);
        }
    }
}

/// The tasks neither panic (a handler's panic is caught) nor are they cancelled.
fn joined(step: Result<Step, tokio::task::JoinError>) -> Step {
    step.expect("a task of the runner ends with a step")
}
