//! How an entry leaves the hands of a worker: tried again later, dead-lettered, acknowledged, or
//! lost.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::backoff::Interrupted;
use crate::batching::{Item, Job};
use crate::handler::Handler;
use crate::runner::Runner;
use crate::step::Step;

impl<H: Handler> Runner<H> {
    pub(super) fn retry(&mut self, Job { lane, item }: Job, pause: Duration) {
        self.schedule.retry(&lane, item.held.id, item, Instant::now() + pause);
        self.drop_payloads(&lane);
    }

    pub(super) fn dead_letter(&mut self, job: Job, error: String) {
        let context = Arc::clone(&self.context);
        self.steps.spawn(async move {
            let outcome = context.dead_letter(job.lane.stream(), &job.item.held, &error).await;
            Step::DeadLettered(job, outcome)
        });
    }

    pub(super) fn acknowledge(&mut self, job: Job) {
        let Job { lane, item: Item { held, .. } } = job;
        self.batches[lane.stream()].to_acknowledge.push((held.id, held.key));
        self.schedule.done(&lane);
    }

    /// The entry is off our pending list.
    pub(super) fn release(&mut self, job: &Job) {
        let ours = &self.context.streams[job.lane.stream()];
        ours.release([job.item.held.id]);
        ours.wake.notify_one();
        self.schedule.done(&job.lane);
    }

    pub(super) fn interrupt(&mut self, job: Job, interrupted: Interrupted) {
        let stream = job.lane.stream();
        match interrupted {
            Interrupted::Stopped => self.schedule.put_back(&job.lane, job.item.held.id, job.item),
            Interrupted::GroupGone | Interrupted::Displaced => {
                self.schedule.done(&job.lane);
                self.lose(stream, interrupted);
            }
        }
    }

    /// What we had of this stream is not ours any more.
    pub(super) fn lose(&mut self, stream: usize, interrupted: Interrupted) {
        match interrupted {
            Interrupted::Stopped => return,
            Interrupted::GroupGone => self.context.streams[stream].lose_group(),
            Interrupted::Displaced => self.context.displaced(stream),
        }
        self.schedule.forget(stream);
    }
}
