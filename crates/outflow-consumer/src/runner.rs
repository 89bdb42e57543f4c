//! What a consumer has in hand, and who works on it.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::backoff::Backoff;
use super::batching::{Batches, Item, Job};
use super::context::Context;
use super::handler::Handler;
use super::memory::Memory;
use super::reader::Arrived;
use super::schedule::{Lane, Limits, Schedule, Scheduled};
use super::step::Step;

/// What a consumer has in hand. The loop (`event_loop.rs`) takes its steps (steps.rs).
pub(super) struct Runner<H> {
    pub(super) context: Arc<Context<H>>,
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
    pub(super) outage: Backoff,
    /// Attempts whose outcome was not that something is away.
    pub(super) outcomes: u64,
    pub(super) memory: Arc<Memory>,
}

/// Also if the run is cut off in the middle: nothing goes on behind its back.
impl<H> Drop for Runner<H> {
    fn drop(&mut self) {
        self.context.control.handling(false);
    }
}

impl<H: Handler> Runner<H> {
    pub(super) fn new(context: &Arc<Context<H>>, memory: Arc<Memory>) -> Self {
        Self {
            context: Arc::clone(context),
            schedule: Schedule::new(Limits::new(&context.settings)),
            batches: context.streams.iter().map(|_| Batches::default()).collect(),
            busy: 0,
            undone: VecDeque::new(),
            steps: JoinSet::new(),
            outage: Backoff::for_outage(),
            outcomes: 0,
            memory,
        }
    }

    pub(super) fn arrive(&mut self, Arrived { stream, held, from, memory }: Arrived) {
        let ours = &self.context.streams[stream];
        if !ours.is_current(from) {
            ours.release([held.id]);
            return;
        }
        let (id, lane) = (held.id, Lane::of(stream, &held.key, held.id));
        let limit = held.event_type().and_then(|name| self.context.settings.limit_of(name));
        let waits = self.schedule.push(&lane, id, Item::new(held, memory, limit));
        if waits {
            self.drop_payloads(&lane);
        }
    }

    /// Gives up the memory of what is behind an entry that waits: it would keep other keys' entries
    /// from being read.
    pub(super) fn drop_payloads(&mut self, lane: &Lane) {
        for item in self.schedule.queued(lane) {
            item.park();
        }
    }
}
