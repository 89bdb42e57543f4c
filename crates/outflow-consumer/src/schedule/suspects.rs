//! Entries that are tried alone.

use std::time::Instant;

use super::{Lane, Room, Schedule, Scheduled, Suspects};
use crate::id::EntryId;

impl<T: Scheduled> Schedule<T> {
    /// Puts lanes whose first entry is a suspect aside, as far as they are next.
    pub(super) fn sort_out(&mut self) {
        while let Some(lane) = self.ready.front()
            && let Some(blamed) = self.first(lane).and_then(Scheduled::blamed)
        {
            let Some(lane) = self.ready.pop_front() else { return };
            self.suspects.lanes.insert((blamed, lane));
        }
    }

    /// The lane whose suspect is next, unless others are.
    pub(super) fn suspect(&self, now: Instant) -> Option<Lane> {
        let Suspects { lanes, are_held, not_before, .. } = &self.suspects;
        let (_, lane) = lanes.first()?;
        let others_first = not_before.is_some_and(|at| at > now) && !self.ready.is_empty();
        // Behind a closed gate nothing is beside it anyway.
        (!are_held && !others_first).then(|| lane.clone())
    }

    pub(super) fn take_alone(
        &mut self,
        lane: Lane,
        now: Instant,
        room: impl Fn(&Lane, &T) -> Room,
    ) -> Option<(Lane, EntryId, T)> {
        if self.running > 0
            || matches!(
                room(&lane, self.first(&lane)?),
                Room::NoMemory | Room::NoShare | Room::NoWorker
            )
        {
            return None;
        }
        self.suspects.lanes.pop_first();
        // What has come before it in its lane since then may be no suspect; alone it is all the
        // same. Its type's places are free, but for lanes that wait for memory. Its type's rate it
        // has on credit: nothing else could go on while it waits.
        self.suspects.alone = Some(now);
        self.take(lane, now)
    }

    /// Whether the entry that was taken last is alone.
    pub(crate) fn is_alone(&self) -> bool {
        self.suspects.alone.is_some()
    }

    /// Takes no suspect while not all of them may be known.
    pub(crate) fn hold_suspects(&mut self, are_held: bool) {
        self.suspects.are_held = are_held;
    }
}
