//! The consumer: readers and keepers of its streams, the schedule, and what follows from each attempt.

use std::sync::Arc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::group::{Begun, Group, Held};
use super::handler::Consequence;
use super::health::{Health, Part};
use super::id::EntryId;
use super::keeper::Keeper;
use super::patience::{Interrupted, Pauses, until_answered};
use super::reader::{Arrived, Reader};
use super::schedule::{Lane, Schedule};
use super::settings::RETRY_DELAY_MAX;
use super::share::{Share, Stream};
use super::work::NO_OUTCOME;
use super::{Handler, Metrics, Settings};
use crate::redis::{BadUrl, Redis};

/// Entries on their way from the readers to the schedule; those wait in memory anyway.
const ARRIVALS: usize = 64;
/// The pause after a conflict: what was in the way has waited for its turn too.
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// A member of a consumer group that hands entries to a handler: those of a key in order, those of different keys side by
/// side.
#[derive(Debug)]
pub struct Consumer<H> {
    share: Share<H>,
}

/// An entry in hand. Its place in memory is given up while it waits behind one that is being retried, and its fields too.
#[derive(Debug)]
struct Item {
    held: Held,
    room: Option<OwnedSemaphorePermit>,
}

/// An entry that a worker has.
#[derive(Debug)]
struct Job {
    lane: Lane,
    item: Item,
}

/// What a task brings back. Each has one of the schedule's workers, except [`Step::Acknowledged`].
#[derive(Debug)]
enum Step {
    /// Attempts are counted.
    Begun(usize, Vec<Job>, Result<Vec<Begun>, Interrupted>),
    /// An attempt has an outcome.
    Attempted(Job, Consequence),
    /// An attempt that does not count was taken back; the next one comes after a pause of its own, if it has one.
    TakenBack(Job, Option<Duration>, Result<(), Interrupted>),
    /// An entry is in the dead letters.
    Buried(Job, Result<(), Interrupted>),
    /// Entries are acknowledged.
    Acknowledged(usize, Vec<(EntryId, String)>, Result<(), Interrupted>),
}

/// What waits for a script of one stream that is under way: the next run takes all of it at once.
#[derive(Debug, Default)]
struct Batches {
    to_begin: Vec<Job>,
    beginning: bool,
    to_acknowledge: Vec<(EntryId, String)>,
    acknowledging: bool,
}

struct Runner<H> {
    share: Arc<Share<H>>,
    schedule: Schedule<Item>,
    batches: Vec<Batches>,
    steps: JoinSet<Step>,
    outage: Pauses,
}

impl<H: Handler> Consumer<H> {
    /// Starts to connect in the background; nothing is read before [`Consumer::run`].
    ///
    /// # Errors
    /// [`BadUrl`] when the address of Redis cannot be used; also when it is a cluster's, and a stream and its dead-letter
    /// stream are in different slots.
    pub fn open(url: &SecretString, settings: Settings, handler: H, metrics: Metrics) -> Result<Self, BadUrl> {
        let commands = Redis::open(url, "outflow-consumer")?;
        if commands.is_cluster() {
            settings.streams.iter().try_for_each(|source| source.check(&settings.group))?;
        }
        let mut streams = Vec::with_capacity(settings.streams.len());
        for (source, metrics) in settings.streams.iter().zip(metrics.streams) {
            let waits = Redis::open(url, "outflow-consumer-wait")?;
            streams.push(Stream::new(Group::new(commands.clone(), waits, source.clone(), &settings), metrics));
        }
        let (health, stop) = (Health::default(), CancellationToken::new());
        Ok(Self { share: Share { handler, settings, health, streams, stop } })
    }

    /// What is known of Redis and of what the handler needs; stays up to date while the consumer runs.
    pub fn health(&self) -> Health {
        self.share.health.clone()
    }

    /// Consumes until `stop` is cancelled: attempts under way are finished first, everything else is given back for others
    /// to take over at once. Outages are waited out. Do not drop the future instead: that breaks off handlers.
    pub async fn run(mut self, stop: CancellationToken) {
        self.share.stop = stop;
        let share = Arc::new(self.share);
        let settings = &share.settings;
        let room = Arc::new(Semaphore::new(settings.prefetch.max(1)));
        let (sender, mut arrivals) = mpsc::channel(ARRIVALS);
        // Dropped with this future, so that nothing goes on behind its back.
        let (mut readers, mut keepers) = (JoinSet::new(), JoinSet::new());
        for stream in 0..share.streams.len() {
            let (arrived, room) = (sender.clone(), Arc::clone(&room));
            readers.spawn(Reader { share: Arc::clone(&share), stream, room, arrived }.run());
            keepers.spawn(Keeper { share: Arc::clone(&share), stream }.run());
        }
        let mut runner = Runner {
            schedule: Schedule::new(settings.workers.max(1)),
            batches: share.streams.iter().map(|_| Batches::default()).collect(),
            steps: JoinSet::new(),
            outage: Pauses::for_outage(),
            share: Arc::clone(&share),
        };
        runner.work(&mut arrivals).await;
        runner.finish().await;
        keepers.shutdown().await;
        for stream in &share.streams {
            match stream.group.give_back().await {
                Ok(0) => {}
                Ok(count) => tracing::info!(stream = stream.group.source.stream, count, "gave back what was not done"),
                Err(failure) => tracing::debug!(%failure, "nothing given back: taken over after claim_idle"),
            }
        }
        if let Some(stream) = share.streams.first() {
            stream.group.close().await;
        }
    }
}

impl<H: Handler> Runner<H> {
    async fn work(&mut self, arrivals: &mut mpsc::Receiver<Arrived>) {
        let stopping = self.share.stop.clone();
        while !stopping.is_cancelled() {
            self.hand_out();
            let due = self.schedule.due();
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
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()), if due.is_some() => {}
            }
        }
    }

    /// Waits for what is under way, and acknowledges what is done.
    async fn finish(&mut self) {
        for batches in &mut self.batches {
            for job in batches.to_begin.drain(..) {
                self.schedule.put_back(&job.lane, job.item.held.id, job.item);
            }
        }
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
        let behind = self.schedule.push(&lane, id, Item { held, room: Some(room) });
        if behind {
            self.thin_out(&lane);
        }
    }

    /// Gives up the memory of what is behind an entry that waits: it would keep other keys' entries from being read.
    fn thin_out(&mut self, lane: &Lane) {
        for item in self.schedule.queued(lane) {
            (item.room, item.held.fields) = (None, None);
        }
    }

    /// Gives free workers what there is, and starts the scripts that have something to do.
    fn hand_out(&mut self) {
        while let Some((lane, _, item)) = self.schedule.next(Instant::now()) {
            let job = Job { lane, item };
            if job.item.held.attempts >= self.share.settings.attempts_max {
                self.bury(job, NO_OUTCOME.to_owned());
            } else {
                self.batches[job.lane.stream()].to_begin.push(job);
            }
        }
        for stream in 0..self.batches.len() {
            let batches = &mut self.batches[stream];
            if batches.to_begin.is_empty() || std::mem::replace(&mut batches.beginning, true) {
                continue;
            }
            let (mut jobs, share) = (std::mem::take(&mut batches.to_begin), Arc::clone(&self.share));
            self.steps.spawn(async move {
                for Job { item, .. } in &mut jobs {
                    item.held.attempts += 1;
                }
                let counts = jobs.iter().map(|job| &job.item.held);
                let counts: Vec<_> = counts.map(|held| (held.id, held.attempts, held.fields.is_none())).collect();
                let group = &share.streams[stream].group;
                let begun = until_answered(&share.health, &share.stop, || group.attempts(&counts)).await;
                Step::Begun(stream, jobs, begun)
            });
        }
        self.send_acknowledgements();
    }

    fn send_acknowledgements(&mut self) {
        for stream in 0..self.batches.len() {
            let batches = &mut self.batches[stream];
            if batches.to_acknowledge.is_empty() || std::mem::replace(&mut batches.acknowledging, true) {
                continue;
            }
            let (done, share) = (std::mem::take(&mut batches.to_acknowledge), Arc::clone(&self.share));
            self.steps.spawn(async move {
                let group = &share.streams[stream].group;
                let outcome = until_answered(&share.health, &share.stop, || group.acknowledge(&done)).await;
                Step::Acknowledged(stream, done, outcome)
            });
        }
    }

    /// Decides what follows.
    fn conclude(&mut self, step: Step) {
        match step {
            Step::Begun(stream, jobs, outcome) => {
                self.batches[stream].beginning = false;
                match outcome {
                    Ok(begun) => jobs.into_iter().zip(begun).for_each(|(job, begun)| self.begin(job, begun)),
                    Err(interrupted) => jobs.into_iter().for_each(|job| self.interrupt(job, interrupted)),
                }
            }
            Step::Attempted(job, consequence) => self.follow(job, consequence),
            Step::TakenBack(mut job, pause, Ok(())) => {
                job.item.held.attempts -= 1;
                match pause {
                    Some(pause) => self.retry(job, pause),
                    None => self.schedule.put_back(&job.lane, job.item.held.id, job.item),
                }
            }
            Step::Buried(job, Ok(())) => self.let_go(&job),
            Step::TakenBack(job, _, Err(interrupted)) | Step::Buried(job, Err(interrupted)) => {
                self.interrupt(job, interrupted);
            }
            Step::Acknowledged(stream, done, outcome) => {
                self.batches[stream].acknowledging = false;
                let ours = &self.share.streams[stream];
                ours.let_go(done.into_iter().map(|(id, _)| id));
                ours.nudge.notify_one();
                if outcome == Err(Interrupted::GroupGone) {
                    self.lose_group(stream);
                }
            }
        }
    }

    fn begin(&mut self, mut job: Job, begun: Begun) {
        let stream = job.lane.stream();
        let id = job.item.held.id;
        match begun {
            Begun::NotOurs => {
                tracing::debug!(stream = self.share.name(stream), %id, "taken over by another consumer, or dealt with");
                // The later ones were taken with it. If we get them back one day, then from the first one on.
                let ours = &self.share.streams[stream];
                ours.let_go(self.schedule.clear(&job.lane));
                ours.rescan();
                self.let_go(&job);
            }
            Begun::Counted(fetched) if job.item.held.fields.is_none() && fetched.is_empty() => {
                tracing::warn!(stream = self.share.name(stream), %id, "pending, but gone from the stream (deleted or trimmed): acknowledged");
                self.acknowledge(job);
            }
            Begun::Counted(fetched) => {
                job.item.held.fields.get_or_insert(fetched);
                let share = Arc::clone(&self.share);
                self.steps.spawn(async move {
                    let consequence = share.attempt(stream, &job.item.held).await;
                    Step::Attempted(job, consequence)
                });
            }
        }
    }

    fn follow(&mut self, job: Job, consequence: Consequence) {
        let stream = job.lane.stream();
        let Held { id, attempts, .. } = job.item.held;
        if !matches!(consequence, Consequence::Wait(_)) {
            self.schedule.open();
            self.outage = Pauses::for_outage();
        }
        match consequence {
            Consequence::Acknowledge(handled) => {
                self.share.streams[stream].metrics.done(handled);
                self.acknowledge(job);
            }
            Consequence::DeadLetter(error) => self.bury(job, error),
            Consequence::Retry(error) => {
                let pause = Pauses::before_next(attempts, self.share.settings.retry_delay, RETRY_DELAY_MAX);
                tracing::warn!(stream = self.share.name(stream), %id, attempts, %error, ?pause, "attempt failed; trying again");
                self.retry(job, pause);
            }
            Consequence::Postpone(error) => {
                let pause = Pauses::between(CONFLICT_PAUSE / 2, CONFLICT_PAUSE);
                tracing::debug!(stream = self.share.name(stream), %id, %error, ?pause, "postponed");
                self.take_back(job, Some(pause));
            }
            Consequence::Wait(error) => {
                self.share.health.down(Part::Handler, &error);
                self.schedule.close(Instant::now() + self.outage.next());
                self.take_back(job, None);
            }
        }
    }

    /// Makes an attempt not count.
    fn take_back(&mut self, job: Job, pause: Option<Duration>) {
        let share = Arc::clone(&self.share);
        self.steps.spawn(async move {
            let group = &share.streams[job.lane.stream()].group;
            let counts = [(job.item.held.id, job.item.held.attempts - 1, false)];
            let outcome = until_answered(&share.health, &share.stop, || group.attempts(&counts)).await;
            Step::TakenBack(job, pause, outcome.map(drop))
        });
    }

    fn retry(&mut self, Job { lane, item }: Job, pause: Duration) {
        self.schedule.retry(&lane, item.held.id, item, Instant::now() + pause);
        self.thin_out(&lane);
    }

    fn bury(&mut self, job: Job, error: String) {
        let share = Arc::clone(&self.share);
        self.steps.spawn(async move {
            let outcome = share.bury(job.lane.stream(), &job.item.held, &error).await;
            Step::Buried(job, outcome)
        });
    }

    fn acknowledge(&mut self, job: Job) {
        let Job { lane, item: Item { held, .. } } = job;
        self.batches[lane.stream()].to_acknowledge.push((held.id, held.key));
        self.schedule.done(&lane);
    }

    /// The entry is off our pending list.
    fn let_go(&mut self, job: &Job) {
        let ours = &self.share.streams[job.lane.stream()];
        ours.let_go([job.item.held.id]);
        ours.nudge.notify_one();
        self.schedule.done(&job.lane);
    }

    fn interrupt(&mut self, job: Job, interrupted: Interrupted) {
        let stream = job.lane.stream();
        match interrupted {
            Interrupted::Stopped => self.schedule.put_back(&job.lane, job.item.held.id, job.item),
            Interrupted::GroupGone => {
                self.schedule.done(&job.lane);
                self.lose_group(stream);
            }
        }
    }

    fn lose_group(&mut self, stream: usize) {
        self.share.streams[stream].lose_group();
        self.schedule.forget(stream);
    }
}

/// The tasks neither panic (a handler's panic is caught) nor are they cancelled.
fn joined(step: Result<Step, tokio::task::JoinError>) -> Step {
    step.expect("a task of the runner ends with a step")
}
