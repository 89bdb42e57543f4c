//! What goes wrong, each kind within its budget; and what the servers do by themselves afterwards,
//! which costs nothing.

use crate::bounds::{Bounds, Fault};
use crate::state::{Life, Member, Phase, Script, Stage, State, Trouble};

impl State {
    /// The process is gone. Its sessions linger until the server notices; its last script may still
    /// be on its way.
    pub(crate) fn crash(&mut self, m: usize) -> Option<()> {
        if matches!(self.members[m].phase, Phase::Down | Phase::Left) {
            return None;
        }
        self.spend(Fault::Crash)?;
        if let Some((_, append)) = self.script_of(m) {
            self.send_late(Script::Append(append));
        }
        let member = std::mem::take(&mut self.members[m]);
        for batch in member.batches {
            self.postgres.abandon(batch.claim);
        }
        Some(())
    }

    pub(crate) fn freeze(&mut self, m: usize) -> Option<()> {
        let member = &self.members[m];
        if member.frozen || matches!(member.phase, Phase::Down | Phase::Left) {
            return None;
        }
        self.spend(Fault::Freeze)?;
        self.members[m].frozen = true;
        Some(())
    }

    pub(crate) fn wake(&mut self, m: usize) -> Option<()> {
        if !self.members[m].frozen {
            return None;
        }
        self.members[m].frozen = false;
        Some(())
    }

    /// No answer to an append: it was run, or is on its way.
    pub(crate) fn lose_reply(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let waits = |stage| matches!(stage, Stage::Sent { .. } | Stage::Answered { .. });
        let at = self.members[m].batches.iter().position(|batch| waits(batch.stage))?;
        self.spend(Fault::LostReply)?;
        self.answer_of_before(m);
        if let Some((_, append)) = self.script_of(m) {
            self.send_late(Script::Append(append));
        }
        self.not_appended(m, at, Trouble::Doubt, bounds);
        self.calm(m, bounds);
        Some(())
    }

    /// No answer to a COMMIT: it was run, is on its way, or comes to nothing.
    pub(crate) fn lose_commit(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if self.members[m].batches.first()?.stage != Stage::Committing {
            return None;
        }
        self.spend(Fault::LostCommit)?;
        self.not_settled(m, bounds);
        Some(())
    }

    /// The server ends the session of an open claim under a member that works.
    pub(crate) fn kill(&mut self, place: usize) -> Option<()> {
        if self.is_forsaken(place)? {
            return None;
        }
        self.spend(Fault::Kill)?;
        self.postgres.end_claim(place, Life::Killed)
    }

    pub(crate) fn kill_recovery(&mut self) -> Option<()> {
        if self.is_recovery_forsaken()? {
            return None;
        }
        self.spend(Fault::Kill)?;
        self.postgres.recovery = None;
        Some(())
    }

    pub(crate) fn kill_seat(&mut self, m: usize) -> Option<()> {
        if self.members[m].frozen || !self.has_seat(m) {
            return None;
        }
        self.spend(Fault::Kill)?;
        let number = self.members[m].number;
        self.postgres.seats.retain(|seat| *seat != number);
        Some(())
    }

    /// The connection is gone for the client only.
    pub(crate) fn cut(&mut self, place: usize) -> Option<()> {
        let claim = self.postgres.claim(place)?;
        if claim.cut || claim.orphan || claim.committing || claim.life != Life::Open {
            return None;
        }
        claim.cut = true;
        self.spend(Fault::Cut)
    }

    /// Stops cleanly between batches: leaves no settled batch in the journal, and gives its seat
    /// back.
    pub(crate) fn leave(&mut self, m: usize) -> Option<()> {
        let member = &self.members[m];
        let others = self.members.iter().filter(|member| member.phase != Phase::Left).count();
        if member.phase != Phase::Working
            || member.frozen
            || !member.batches.is_empty()
            || others < 2
        {
            return None;
        }
        self.spend(Fault::Leave)?;
        let left = Member { phase: Phase::Left, ..Member::default() };
        let Member { number, generation, settled, .. } =
            std::mem::replace(&mut self.members[m], left);
        self.redis.drop_batches(generation, number, settled);
        self.postgres.seats.retain(|seat| *seat != number);
        Some(())
    }

    /// A claim whose client is gone, cut off or frozen is ended by the server in the end: it
    /// notices, a timeout strikes, or a recovery terminates it.
    pub(crate) fn expire(&mut self, place: usize) -> Option<()> {
        if !self.is_forsaken(place)? {
            return None;
        }
        self.postgres.end_claim(place, Life::Killed)
    }

    pub(crate) fn expire_recovery(&mut self) -> Option<()> {
        if !self.is_recovery_forsaken()? {
            return None;
        }
        self.postgres.recovery = None;
        Some(())
    }

    /// `idle_session_timeout`, or the end of the process.
    pub(crate) fn expire_seat(&mut self, number: u8) -> Option<()> {
        if self.members.iter().any(|member| member.number == number && !member.frozen) {
            return None;
        }
        let at = self.postgres.seats.iter().position(|seat| *seat == number)?;
        self.postgres.seats.remove(at);
        Some(())
    }

    /// The pause of the parked streams is over: their rows are looked for from the beginning.
    pub(crate) fn unpark(&mut self, m: usize) -> Option<()> {
        let member = &mut self.members[m];
        if member.parked == 0 || member.phase != Phase::Working || member.trouble.is_some() {
            return None;
        }
        member.parked = 0;
        member.look_again = Some(1);
        Some(())
    }

    fn is_forsaken(&mut self, place: usize) -> Option<bool> {
        let claim = *self.postgres.claim(place)?;
        (claim.life == Life::Open)
            .then_some(claim.orphan || claim.cut || self.members[claim.member].frozen)
    }

    fn is_recovery_forsaken(&self) -> Option<bool> {
        let member = &self.members[self.postgres.recovery?];
        Some(member.frozen || !matches!(member.phase, Phase::Fenced { .. } | Phase::Raised { .. }))
    }
}
