//! What the runner has tasks do with entries, and what follows from how that went.

mod ends;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::attempt::NO_OUTCOME;
use super::backoff::{Backoff, until_answered};
use super::batching::Job;
use super::group::{Begun, Held};
use super::handler::Handler;
use super::health::Part;
use super::observer::Observation;
use super::outcome::Consequence;
use super::runner::Runner;
use super::schedule::Room;
use super::settings::RETRY_DELAY_MAX;
use super::settings::Settings;
use super::step::{Next, Step};

/// The pause after a conflict: what was in the way has waited for its turn too. It grows while the
/// same is in the way.
const CONFLICT_PAUSE: Duration = Duration::from_millis(500);
const CONFLICT_PAUSE_MAX: Duration = Duration::from_secs(5);
/// From so many conflicts on, each doubling is told.
const CONFLICTS_TOLD: u32 = 8;

impl<H: Handler> Runner<H> {
    /// Whether another call can be made.
    pub(super) fn has_free_worker(&self) -> bool {
        self.busy < self.context.settings.workers.max(1)
    }

    /// Gives free workers what there is, and starts the scripts that have something to do. A call
    /// takes what is there at that moment: at a low rate one entry, and more while the workers are
    /// busy or a script is under way.
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
        let (context, most) =
            (Arc::clone(&self.context), self.context.settings.handle_batch.max(1));
        // Whatever kills us must not be tried before all that was in hand when it last did is
        // known.
        self.schedule.hold_suspects(
            context.streams.iter().any(|stream| stream.resuming.load(Ordering::SeqCst)),
        );
        loop {
            let (free, batches, memory) = (self.has_free_worker(), &self.batches, &self.memory);
            let next = self.schedule.next(Instant::now(), |lane, item| {
                let has_worker = || free || batches[lane.stream()].can_join(item, most);
                match &item.held {
                    held if doomed(&context.settings, held).is_some() => Room::Free,
                    _ if !has_worker() => Room::NoWorker,
                    held if held.fields.is_some() => Room::Free,
                    held => memory.room_again(held.bytes, item.limit.is_some()),
                }
            });
            let Some((lane, _, mut item)) = next else { break };
            if let Some(error) = doomed(&context.settings, &item.held) {
                self.dead_letter(Job { lane, item }, error);
                continue;
            }
            item.is_alone = self.schedule.is_alone();
            if item.held.fields.is_none() {
                let (bytes, is_limited) = (item.held.bytes, item.limit.is_some());
                self.memory.take_again(&mut item.memory, bytes, is_limited);
            }
            if self.batches[lane.stream()].add(Job { lane, item }, most) {
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
        let (mut calls, context) =
            (std::mem::take(&mut batches.to_begin), Arc::clone(&self.context));
        self.steps.spawn(async move {
            calls.iter_mut().flatten().for_each(|job| job.item.begin());
            let counts = calls.iter().flatten().map(|job| &job.item.held);
            let counts: Vec<_> = counts
                .map(|held| (held.id, held.attempts, held.uncounted, held.fields.is_none()))
                .collect();
            let group = &context.streams[stream].group;
            let begun = until_answered(&context.lifecycle, || group.attempts(&counts)).await;
            Step::Begun(stream, calls, begun)
        });
    }

    pub(super) fn send_acknowledgements(&mut self) {
        for stream in 0..self.batches.len() {
            let batches = &mut self.batches[stream];
            if batches.to_acknowledge.is_empty()
                || std::mem::replace(&mut batches.acknowledging, true)
            {
                continue;
            }
            let (done, context) =
                (std::mem::take(&mut batches.to_acknowledge), Arc::clone(&self.context));
            self.steps.spawn(async move {
                let group = &context.streams[stream].group;
                let outcome = until_answered(&context.lifecycle, || group.acknowledge(&done)).await;
                Step::Acknowledged(stream, done, outcome.map(drop))
            });
        }
    }

    /// Takes back the attempts of entries that a call left undone and that get no call of their
    /// own: the consumer stops, or the handler cannot work.
    pub(super) fn leave_undone(&mut self) {
        for mut job in std::mem::take(&mut self.undone) {
            job.item.count();
            self.take_back(job.lane.stream(), vec![job], Next::First);
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
                        calls
                            .into_iter()
                            .flatten()
                            .for_each(|job| self.interrupt(job, interrupted));
                    }
                }
            }
            Step::Attempted(stream, attempted) => self.follow_all(stream, attempted),
            Step::Noted(jobs, next, Ok(())) => {
                for job in jobs {
                    match next {
                        Next::After(pause) => self.retry(job, pause),
                        Next::First => {
                            self.schedule.put_back(&job.lane, job.item.held.id, job.item);
                        }
                        Next::Last => self.schedule.put_last(&job.lane, job.item.held.id, job.item),
                    }
                }
            }
            Step::Noted(jobs, _, Err(interrupted)) => {
                for job in jobs {
                    self.interrupt(job, interrupted);
                }
            }
            Step::DeadLettered(job, Ok(())) => self.release(&job),
            Step::DeadLettered(job, Err(interrupted)) => self.interrupt(job, interrupted),
            Step::Acknowledged(stream, done, outcome) => {
                self.batches[stream].acknowledging = false;
                let ours = &self.context.streams[stream];
                ours.release(done.into_iter().map(|(id, _)| id));
                ours.wake.notify_one();
                if let Err(interrupted) = outcome {
                    self.lose(stream, interrupted);
                }
            }
        }
    }

    fn begin(&mut self, stream: usize, calls: Vec<Vec<Job>>, begun: Vec<Begun>) {
        let mut begun = begun.into_iter();
        for jobs in calls {
            let counted = jobs
                .into_iter()
                .zip(begun.by_ref())
                .filter_map(|(job, begun)| self.ours(stream, job, begun));
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
                tracing::debug!(stream = self.context.name(stream), %id, "taken over by another \
                    consumer, or dealt with");
                // The later ones were taken with it. If we get them back one day, then from the
                // first one on.
                let ours = &self.context.streams[stream];
                ours.release(self.schedule.clear(&job.lane));
                ours.rescan();
                self.release(&job);
                None
            }
            Begun::Counted(fetched) if job.item.held.fields.is_none() && fetched.is_empty() => {
                self.context.observe(stream, &Observation::LostPending(1));
                tracing::warn!(stream = self.context.name(stream), %id, "pending, but gone from \
                    the \
                    stream (deleted or trimmed): acknowledged");
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
        let context = Arc::clone(&self.context);
        self.steps.spawn(async move {
            let held: Vec<&Held> = jobs.iter().map(|job| &job.item.held).collect();
            let is_alone = jobs.iter().all(|job| job.item.is_alone);
            let consequences = context.attempt(stream, &held, is_alone).await;
            Step::Attempted(stream, jobs.into_iter().zip(consequences).collect())
        });
    }

    fn follow_all(&mut self, stream: usize, attempted: Vec<(Job, Option<Consequence>)>) {
        self.busy -= 1;
        let mut waiting = Vec::new();
        for (mut job, consequence) in attempted {
            match consequence {
                Some(consequence) => {
                    job.item.count();
                    waiting.extend(self.follow(job, consequence));
                }
                None => self.undone.push_back(job),
            }
        }
        if !waiting.is_empty() {
            self.schedule.close(Instant::now() + self.outage.next());
            self.take_back(stream, waiting, Next::Last);
        }
        if self.context.lifecycle.stop.is_cancelled() {
            self.leave_undone();
        }
    }

    /// Returns the entry if everything has to wait.
    fn follow(&mut self, mut job: Job, consequence: Consequence) -> Option<Job> {
        let stream = job.lane.stream();
        let (id, attempts) = (job.item.held.id, job.item.held.counted());
        if !matches!(
            consequence,
            Consequence::Wait(_) | Consequence::Isolate(_) | Consequence::Abandon
        ) {
            self.schedule.open();
            self.outage = Backoff::for_outage();
            self.outcomes += 1;
            // Alone it killed nobody.
            job.item.is_suspect &= !job.item.is_alone;
        }
        match self.peculiar(&mut job, consequence) {
            Consequence::Acknowledge(handled) => {
                self.context.observe(stream, &Observation::Handled(handled));
                self.acknowledge(job);
            }
            Consequence::DeadLetter(error) => self.dead_letter(job, error),
            Consequence::Retry(error) => {
                let pause = Backoff::before_next(
                    attempts,
                    self.context.settings.retry_delay,
                    RETRY_DELAY_MAX,
                );
                tracing::warn!(stream = self.context.name(stream), %id, attempts, %error, ?pause,
                    "attempt failed; trying again");
                if job.item.is_alone {
                    self.retry(job, pause);
                } else {
                    self.note(stream, vec![job], Next::After(pause));
                }
            }
            Consequence::Postpone(error) => {
                let times = job.item.postponements + 1;
                let pause = Backoff::before_next(times, CONFLICT_PAUSE, CONFLICT_PAUSE_MAX);
                if times >= CONFLICTS_TOLD && times.is_power_of_two() {
                    tracing::warn!(stream = self.context.name(stream), %id, times, %error,
                        "still in the way; trying on");
                }
                let name = self.context.name(stream);
                tracing::debug!(stream = name, %id, %error, ?pause, "postponed");
                job.item.postponements = times;
                self.take_back(stream, vec![job], Next::After(pause));
            }
            Consequence::Isolate(error) => {
                let pause =
                    Backoff::before_next(1, self.context.settings.retry_delay, RETRY_DELAY_MAX);
                tracing::warn!(stream = self.context.name(stream), %id, %error, "took too long \
                    beside others; trying it alone");
                job.item.is_suspect = true;
                self.take_back(stream, vec![job], Next::After(pause));
            }
            Consequence::Abandon => self.take_back(stream, vec![job], Next::First),
            Consequence::Wait(error) => {
                self.context.lifecycle.health.down(Part::Handler, &error);
                return Some(job);
            }
        }
        None
    }

    /// An entry that finds something away, time and again, while others get on: what is away is
    /// away for this entry alone (a row that a policy refuses, a trigger that misses a table for
    /// this one type), and the others need not wait for that.
    fn peculiar(&self, job: &mut Job, consequence: Consequence) -> Consequence {
        let Consequence::Wait(error) = consequence else { return consequence };
        let before = job.item.waited_at.replace(self.outcomes);
        let others_got_on = before.is_some_and(|before| before < self.outcomes);
        if others_got_on { Consequence::Postpone(error) } else { Consequence::Wait(error) }
    }

    /// Makes attempts that have ended not count.
    fn take_back(&mut self, stream: usize, mut jobs: Vec<Job>, next: Next) {
        for job in &mut jobs {
            job.item.held.attempts -= 1;
        }
        self.note(stream, jobs, next);
    }

    /// Notes in Redis which attempts count.
    fn note(&mut self, stream: usize, jobs: Vec<Job>, next: Next) {
        let context = Arc::clone(&self.context);
        self.steps.spawn(async move {
            let held = jobs.iter().map(|job| &job.item.held);
            let counts: Vec<_> =
                held.map(|held| (held.id, held.attempts, held.uncounted, false)).collect();
            let group = &context.streams[stream].group;
            let outcome = until_answered(&context.lifecycle, || group.attempts(&counts)).await;
            Step::Noted(jobs, next, outcome.map(drop))
        });
    }
}

/// Why an entry is not attempted any more, or not at all.
fn doomed(settings: &Settings, held: &Held) -> Option<String> {
    if held.bytes > settings.entry_bytes_max {
        let most = settings.entry_bytes_max;
        return Some(format!(
            "the entry takes {} bytes, more than the {most} that a consumer handles",
            held.bytes
        ));
    }
    (held.counted() >= settings.attempts_max).then(|| NO_OUTCOME.to_owned())
}
