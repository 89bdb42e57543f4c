//! What the runner has tasks do with entries, and what follows from how that went.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Handler;
use super::calls::{Item, Job};
use super::group::{Begun, Held};
use super::handler::Consequence;
use super::health::Part;
use super::id::EntryId;
use super::patience::{Interrupted, Pauses, until_answered};
use super::runner::Runner;
use super::settings::RETRY_DELAY_MAX;
use super::work::NO_OUTCOME;

/// The pause after a conflict: what was in the way has waited for its turn too.
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);

/// What a task brings back; a number is a stream's.
#[derive(Debug)]
pub(super) enum Step {
    /// Attempts are counted: of each call's entries, in their order.
    Begun(usize, Vec<Vec<Job>>, Result<Vec<Begun>, Interrupted>),
    /// A call of the handler has ended. `None`: it left the entry undone.
    Attempted(usize, Vec<(Job, Option<Consequence>)>),
    /// Attempts that do not count were taken back; the next ones come after a pause, if there is one.
    TakenBack(Vec<Job>, Option<Duration>, Result<(), Interrupted>),
    /// An entry is in the dead letters.
    Buried(Job, Result<(), Interrupted>),
    /// Entries are acknowledged.
    Acknowledged(usize, Vec<(EntryId, String)>, Result<(), Interrupted>),
}

impl<H: Handler> Runner<H> {
    /// Whether another call can be made.
    pub(super) fn has_free_worker(&self) -> bool {
        self.busy < self.share.settings.workers.max(1)
    }

    /// Gives free workers what there is, and starts the scripts that have something to do. A call takes what is there at
    /// that moment: at a low rate one entry, and more while the workers are busy or a script is under way.
    pub(super) fn hand_out(&mut self) {
        if !self.schedule.is_open() {
            self.leave_undone();
        }
        while self.has_free_worker()
            && let Some(job) = self.undone.pop_front()
        {
            self.busy += 1;
            self.call(job.lane.stream(), vec![job]);
        }
        let (most, attempts_max) = (self.share.settings.handle_batch.max(1), self.share.settings.attempts_max);
        let is_spent = |item: &Item| item.held.attempts >= attempts_max;
        loop {
            let (free, batches) = (self.has_free_worker(), &self.batches);
            let next = self.schedule.next(Instant::now(), |lane, item| {
                free || is_spent(item) || batches[lane.stream()].can_join(item, most)
            });
            let Some((lane, _, item)) = next else { break };
            let job = Job { lane, item };
            if is_spent(&job.item) {
                self.bury(job, NO_OUTCOME.to_owned());
            } else if self.batches[job.lane.stream()].add(job, most) {
                self.busy += 1;
            }
        }
        for stream in 0..self.batches.len() {
            self.send_attempts(stream);
        }
        self.send_acknowledgements();
    }

    fn send_attempts(&mut self, stream: usize) {
        let batches = &mut self.batches[stream];
        if batches.to_begin.is_empty() || std::mem::replace(&mut batches.beginning, true) {
            return;
        }
        let (mut calls, share) = (std::mem::take(&mut batches.to_begin), Arc::clone(&self.share));
        self.steps.spawn(async move {
            for job in calls.iter_mut().flatten() {
                job.item.held.attempts += 1;
            }
            let counts = calls.iter().flatten().map(|job| &job.item.held);
            let counts: Vec<_> = counts.map(|held| (held.id, held.attempts, held.fields.is_none())).collect();
            let group = &share.streams[stream].group;
            let begun = until_answered(&share.health, &share.stop, || group.attempts(&counts)).await;
            Step::Begun(stream, calls, begun)
        });
    }

    pub(super) fn send_acknowledgements(&mut self) {
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

    /// Takes back the attempts of entries that a call left undone and that get no call of their own: the consumer stops, or
    /// the handler cannot work.
    pub(super) fn leave_undone(&mut self) {
        for job in std::mem::take(&mut self.undone) {
            self.take_back(job.lane.stream(), vec![job], None);
        }
    }

    /// Decides what follows.
    pub(super) fn conclude(&mut self, step: Step) {
        match step {
            Step::Begun(stream, calls, outcome) => {
                self.batches[stream].beginning = false;
                match outcome {
                    Ok(begun) => self.begin(stream, calls, begun),
                    Err(interrupted) => {
                        self.busy -= calls.len();
                        calls.into_iter().flatten().for_each(|job| self.interrupt(job, interrupted));
                    }
                }
            }
            Step::Attempted(stream, attempted) => self.follow_all(stream, attempted),
            Step::TakenBack(jobs, pause, Ok(())) => {
                for mut job in jobs {
                    job.item.held.attempts -= 1;
                    match pause {
                        Some(pause) => self.retry(job, pause),
                        None => self.schedule.put_back(&job.lane, job.item.held.id, job.item),
                    }
                }
            }
            Step::TakenBack(jobs, _, Err(interrupted)) => {
                for job in jobs {
                    self.interrupt(job, interrupted);
                }
            }
            Step::Buried(job, Ok(())) => self.let_go(&job),
            Step::Buried(job, Err(interrupted)) => self.interrupt(job, interrupted),
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

    fn begin(&mut self, stream: usize, calls: Vec<Vec<Job>>, begun: Vec<Begun>) {
        let mut begun = begun.into_iter();
        for jobs in calls {
            let counted = jobs.into_iter().zip(begun.by_ref()).filter_map(|(job, begun)| self.ours(stream, job, begun));
            let counted: Vec<Job> = counted.collect();
            if counted.is_empty() {
                self.busy -= 1;
            } else {
                self.call(stream, counted);
            }
        }
    }

    /// The entry with its fields, if it is still there and ours.
    fn ours(&mut self, stream: usize, mut job: Job, begun: Begun) -> Option<Job> {
        let id = job.item.held.id;
        match begun {
            Begun::NotOurs => {
                tracing::debug!(stream = self.share.name(stream), %id, "taken over by another consumer, or dealt with");
                // The later ones were taken with it. If we get them back one day, then from the first one on.
                let ours = &self.share.streams[stream];
                ours.let_go(self.schedule.clear(&job.lane));
                ours.rescan();
                self.let_go(&job);
                None
            }
            Begun::Counted(fetched) if job.item.held.fields.is_none() && fetched.is_empty() => {
                tracing::warn!(stream = self.share.name(stream), %id, "pending, but gone from the stream (deleted or trimmed): acknowledged");
                self.acknowledge(job);
                None
            }
            Begun::Counted(fetched) => {
                job.item.held.fields.get_or_insert(fetched);
                Some(job)
            }
        }
    }

    /// Has a worker, who is counted already, call the handler.
    fn call(&mut self, stream: usize, jobs: Vec<Job>) {
        let share = Arc::clone(&self.share);
        self.steps.spawn(async move {
            let held: Vec<&Held> = jobs.iter().map(|job| &job.item.held).collect();
            let consequences = share.attempt(stream, &held).await;
            Step::Attempted(stream, jobs.into_iter().zip(consequences).collect())
        });
    }

    fn follow_all(&mut self, stream: usize, attempted: Vec<(Job, Option<Consequence>)>) {
        self.busy -= 1;
        let mut waiting = Vec::new();
        for (job, consequence) in attempted {
            match consequence {
                Some(consequence) => waiting.extend(self.follow(job, consequence)),
                None => self.undone.push_back(job),
            }
        }
        if !waiting.is_empty() {
            self.schedule.close(Instant::now() + self.outage.next());
            self.take_back(stream, waiting, None);
        }
        if self.share.stop.is_cancelled() {
            self.leave_undone();
        }
    }

    /// Returns the entry if everything has to wait.
    fn follow(&mut self, mut job: Job, consequence: Consequence) -> Option<Job> {
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
                job.item.postponed = true;
                self.take_back(stream, vec![job], Some(pause));
            }
            Consequence::Wait(error) => {
                self.share.health.down(Part::Handler, &error);
                return Some(job);
            }
        }
        None
    }

    /// Makes attempts not count.
    fn take_back(&mut self, stream: usize, jobs: Vec<Job>, pause: Option<Duration>) {
        let share = Arc::clone(&self.share);
        self.steps.spawn(async move {
            let counts: Vec<_> = jobs.iter().map(|job| (job.item.held.id, job.item.held.attempts - 1, false)).collect();
            let group = &share.streams[stream].group;
            let outcome = until_answered(&share.health, &share.stop, || group.attempts(&counts)).await;
            Step::TakenBack(jobs, pause, outcome.map(drop))
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
