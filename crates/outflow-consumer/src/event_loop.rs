//! The loop that brings entries and workers together.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::handler::Handler;
use super::observer::Observation;
use super::reader::Arrived;
use super::runner::Runner;
use super::step::Step;

/// How long a stop waits for Redis once attempts are broken off.
const LAST_PATIENCE: Duration = Duration::from_secs(3);

impl<H: Handler> Runner<H> {
    pub(super) async fn work(&mut self, arrivals: &mut mpsc::Receiver<Arrived>) {
        let (context, stopping) = (Arc::clone(&self.context), self.context.lifecycle.stop.clone());
        let settled = &context.settled;
        let mut pauses = context.control.pauses();
        let starts_paused = *pauses.borrow_and_update();
        if starts_paused {
            self.tell_paused(true);
        } else {
            self.observe_paused(false);
        }
        while !stopping.is_cancelled() {
            let is_paused = !context.control.handle();
            if is_paused {
                self.put_back_unbegun();
            } else {
                self.hand_out();
            }
            context.control.handling(!self.steps.is_empty());
            let due = if !is_paused && self.has_free_worker() { self.schedule.due() } else { None };
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
                Ok(()) = pauses.changed() => self.tell_paused(*pauses.borrow_and_update()),
                () = settled.notified() => {}
                () = tokio::time::sleep_until(due.unwrap_or_else(Instant::now).into()),
                if due.is_some() => {}
            }
        }
    }

    /// Waits for what is under way, and acknowledges what is done; not for ever.
    pub(super) async fn finish(&mut self) {
        self.put_back_unbegun();
        let grace = self.context.settings.stop_grace;
        if tokio::time::timeout(grace, self.finish_steps()).await.is_ok() {
            return;
        }
        tracing::warn!(
            ?grace,
            attempts = self.busy,
            "a stop can wait no longer: what is under way is broken off"
        );
        self.context.lifecycle.abandon.cancel();
        if tokio::time::timeout(LAST_PATIENCE, self.finish_steps()).await.is_err() {
            tracing::warn!("Redis does not answer: attempts that were broken off stay counted");
        }
    }

    /// Starts nothing more: puts back what has no attempt yet, and what a call has left undone.
    fn put_back_unbegun(&mut self) {
        for batches in &mut self.batches {
            for call in batches.to_begin.drain(..) {
                self.busy -= 1;
                for job in call {
                    self.schedule.put_back(&job.lane, job.item.held.id, job.item);
                }
            }
        }
        self.leave_undone();
        self.send_acknowledgements();
    }

    fn tell_paused(&self, is_paused: bool) {
        let settings = &self.context.settings;
        let (group, consumer) = (settings.group(), settings.consumer());
        if is_paused {
            tracing::info!(group, consumer, "paused: nothing more is read or started");
        } else {
            tracing::info!(group, consumer, "resumed");
        }
        self.observe_paused(is_paused);
    }

    fn observe_paused(&self, is_paused: bool) {
        for stream in 0..self.context.streams.len() {
            self.context.observe(stream, &Observation::Paused(is_paused));
        }
    }

    async fn finish_steps(&mut self) {
        while let Some(step) = self.steps.join_next().await {
            self.conclude(joined(step));
            self.send_acknowledgements();
        }
    }
}

/// The tasks neither panic (a handler's panic is caught) nor are they cancelled.
fn joined(step: Result<Step, tokio::task::JoinError>) -> Step {
    step.expect("a task of the runner ends with a step")
}
