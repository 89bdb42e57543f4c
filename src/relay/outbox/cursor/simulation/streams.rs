//! Streams that refuse their events, or are paused: claims leave them out until they are let go of.

use std::collections::BTreeSet;

use super::{BEGINNING, KEYS, Mutant, World, Writer};

/// All keys of a stream are left out together.
const STREAMS: u64 = 2;

impl Writer {
    pub(super) fn stream(&self) -> u64 {
        if self.key < KEYS { self.key / (KEYS / STREAMS) } else { STREAMS }
    }
}

impl World {
    /// Some member leaves out a stream from its next claim on. What it has claimed of it already is
    /// delivered.
    pub(super) fn leave_out(&mut self) {
        if self.closed {
            return;
        }
        let (member, stream) = (self.some_member(), self.random.below(STREAMS));
        self.left_out[member].insert(stream);
    }

    /// Some member's claims leave out nothing any more.
    pub(super) fn let_go(&mut self) {
        let member = self.some_member();
        self.let_go_of_all(member);
    }

    pub(super) fn let_go_of_all(&mut self, member: usize) {
        let streams = std::mem::take(&mut self.left_out[member]);
        if !streams.is_empty() && !self.is(Mutant::NotRewound) {
            self.cursors[member].rewind_below(BEGINNING);
        }
    }

    /// A claim that left out a stream which was let go of meanwhile is past its rows.
    pub(super) fn heed_what_was_let_go(&mut self, member: usize, left_out: &BTreeSet<u64>) {
        let is_outdated = !left_out.is_subset(&self.left_out[member]);
        if is_outdated && !self.is(Mutant::OutdatedList) {
            self.cursors[member].rewind_below(BEGINNING);
        }
    }

    pub(super) fn some_member(&mut self) -> usize {
        usize::try_from(self.random.below(self.cursors.len() as u64)).unwrap_or_default()
    }
}
