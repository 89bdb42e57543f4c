//! What happens to a member, and how it notices.

use std::sync::Arc;

use outflow::relay::kept::pieces::Pieces;

use super::bounds::{Bounds, Fault, Mutant};
use super::state::{Member, Phase, Script, State};

impl State {
    /// The process is gone, and its sessions with it.
    pub(crate) fn crash(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if self.members[m].phase == Phase::Down {
            return None;
        }
        self.spend(Fault::Crash)?;
        // Not sent at all is as good as never run.
        self.late.extend(self.script_of(m, bounds));
        self.end_sessions(m);
        self.members[m] = Member::default();
        self.prune_late(bounds);
        Some(())
    }

    /// It stood still for so long that its sessions were ended. What it does next it does without
    /// knowing that.
    pub(crate) fn freeze(&mut self, m: usize) -> Option<()> {
        if !self.is_seated(m) && !self.holds_fence(m) {
            return None;
        }
        self.spend(Fault::Freeze)?;
        self.end_sessions(m);
        Some(())
    }

    fn end_sessions(&mut self, m: usize) {
        self.postgres.seats.retain(|(_, of)| *of != m);
        if self.holds_fence(m) {
            self.postgres.recovery = None;
        }
    }

    /// A working member hears that its control connection is gone.
    pub(crate) fn notice_lost(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &self.members[m];
        if member.phase != Phase::Working || self.is_seated(m) {
            return None;
        }
        self.doubt(m, bounds);
        Some(())
    }

    /// Members came or went: it lets its batches end, and goes for another share-out.
    pub(crate) fn notice_change(&mut self, m: usize) -> Option<()> {
        let member = &self.members[m];
        let is_idle = member.phase == Phase::Working && member.batches.is_empty();
        let is_seated = self.is_seated(m);
        let is_changed = self.owners_due() != self.postgres.owners
            || member.generation != self.postgres.generation;
        if !is_idle || !is_seated || !is_changed {
            return None;
        }
        self.stop_working(m, None);
        Some(())
    }

    /// Something may have been appended that it does not know of.
    pub(crate) fn doubt(&mut self, m: usize, bounds: &Bounds) {
        let member = &mut self.members[m];
        if bounds.is(Mutant::DoubtIgnored) {
            member.batches.clear();
            member.pieces = Arc::clone(&member.confirmed);
            member.next_batch = member.acknowledged + 1;
            return;
        }
        let doubted = Some(member.generation);
        self.stop_working(m, doubted);
    }

    fn stop_working(&mut self, m: usize, doubted: Option<u8>) {
        let member = &mut self.members[m];
        member.phase = Phase::Joining { doubted };
        member.batches.clear();
        // It begins with what the journal says.
        let none = Arc::new(Pieces::default());
        (member.pieces, member.confirmed) = (Arc::clone(&none), none);
        if doubted.is_some() {
            // This session is over.
            let Member { number, parked, .. } = *member;
            let phase = member.phase.clone();
            *member = Member { phase, number, parked, ..Member::default() };
        }
    }

    /// Without those that will do nothing whenever they run.
    pub(crate) fn prune_late(&mut self, bounds: &Bounds) {
        let comes_back = self.may(Fault::RedisBack) || self.may(Fault::RedisEmpty);
        if comes_back || bounds.mutant.is_some() {
            return;
        }
        let generation = self.redis.journal.as_ref().map_or(0, |journal| journal.generation);
        self.late.retain(|script| match script {
            Script::Append(append) => append.at.generation >= generation,
            Script::Install(install) => install.generation >= generation,
            Script::Raise { .. } => true,
        });
    }
}
