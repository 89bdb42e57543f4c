//! Lanes that wait for a place that their type's limit gives, or for memory.

use std::time::Instant;

use super::{Lane, Room, Schedule, Scheduled, State};

impl<T: Scheduled> Schedule<T> {
    pub(super) fn make_ready(&mut self, lane: Lane) {
        if let Some(queue) = self.lanes.get_mut(&lane) {
            queue.state = State::Ready;
            self.ready.push_front(lane);
        }
    }

    pub(super) fn park(&mut self, lane: &Lane) {
        if let Some(queue) = self.lanes.get_mut(lane) {
            queue.state = State::Parked;
            queue.entries.values_mut().for_each(Scheduled::park);
        }
    }

    /// Has the lane that is next wait for memory; the ones behind it may have theirs.
    pub(super) fn await_memory(&mut self) {
        let Some(lane) = self.ready.pop_front() else { return };
        let limit = self.first(&lane).and_then(Scheduled::limit);
        if let Some(limit) = limit {
            self.give_place(&lane, limit);
        }
        self.park(&lane);
        self.for_memory.push(limit.is_some(), lane);
    }

    pub(super) fn give_place(&mut self, lane: &Lane, limit: usize) {
        if let Some(queue) = self.lanes.get_mut(lane) {
            queue.place = Some(limit);
            self.limits.hold(limit);
        }
    }

    pub(super) fn take_place(&mut self, lane: &Lane) {
        if let Some(limit) = self.lanes.get_mut(lane).and_then(|queue| queue.place.take()) {
            self.limits.release(limit);
        }
    }

    /// Takes a lane out of the lists of the parked ones. Seldom: an entry has come before those
    /// that were known.
    pub(super) fn unpark(&mut self, lane: &Lane) {
        self.limits.forget(|parked| parked == lane);
        self.for_memory.forget(|parked| parked == lane);
        self.take_place(lane);
        self.make_ready(lane.clone());
    }

    /// The parked lane that waits no longer, taken out of its list.
    pub(super) fn parked(
        &mut self,
        now: Instant,
        room: &impl Fn(&Lane, &T) -> Room,
    ) -> Option<Lane> {
        let heads = self.for_memory.heads().map(|(line, lane)| {
            let first = self.first(lane)?;
            Some((line, room(lane, first)))
        });
        let heads: Vec<(usize, Room)> = heads.flatten().collect();
        for (line, room) in heads {
            match room {
                Room::Free | Room::ToFetch => return self.for_memory.pop(line),
                Room::NoShare => {}
                Room::NoMemory | Room::NoWorker => break,
            }
        }
        let mut from = 0;
        while let Some((limit, lane)) = self.limits.parked(from, now) {
            match room(lane, self.first(lane)?) {
                Room::NoWorker => from = limit + 1,
                Room::ToFetch if self.for_memory.is_empty() => return self.limits.unpark(limit),
                Room::Free => return self.limits.unpark(limit),
                Room::NoMemory | Room::NoShare | Room::ToFetch => {
                    let lane = self.limits.unpark(limit)?;
                    self.give_place(&lane, limit);
                    self.for_memory.push(true, lane);
                }
            }
        }
        None
    }
}
