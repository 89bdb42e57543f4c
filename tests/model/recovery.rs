//! Joining, recovery, another share-out (`docs/protocol.md` §7, §8; `src/relay/outbox/recovery.rs`,
//! `src/relay/member.rs`).

use crate::bounds::{Bounds, Fault, KEYS, Mutant};
use crate::cursor::Cursor;
use crate::state::{Phase, Rows, Script, State, Status, Trouble, ids};

impl State {
    /// A process starts: a new incarnation, which begins with a recovery.
    pub(crate) fn start(&mut self, m: usize) -> Option<()> {
        if self.members[m].phase != Phase::Down {
            return None;
        }
        self.members[m].phase = Phase::Joining { doubt: true };
        self.join(m)
    }

    /// Starts, recovers and works, and the others take the new share-out, before anything else
    /// happens.
    pub(crate) fn start_undisturbed(&mut self, m: usize, bounds: &Bounds) {
        let done =
            self.start(m).and_then(|()| self.fence(m, bounds)).and_then(|()| self.raise(m, bounds));
        let done = done.and_then(|()| self.finish(m, bounds)).and_then(|()| {
            self.forget(m);
            (0..m).try_for_each(|other| self.notice_change_of(other, bounds))
        });
        assert!(done.is_some(), "nothing hinders it");
    }

    fn notice_change_of(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        self.end_session(m, false);
        self.adopt(m, bounds)
    }

    /// Takes a seat and a number, unless it has them.
    pub(crate) fn join(&mut self, m: usize) -> Option<()> {
        if !matches!(self.members[m].phase, Phase::Joining { .. }) || self.has_seat(m) {
            return None;
        }
        let number = self.postgres.next_number;
        self.postgres.next_number += 1;
        self.postgres.seats.push(number);
        self.members[m].number = number;
        Some(())
    }

    pub(crate) fn has_seat(&self, m: usize) -> bool {
        self.postgres.seats.contains(&self.members[m].number)
    }

    /// The share-out is right, and nothing is in doubt that a recovery of somebody else's has not
    /// settled already: the generation in force is taken as it is.
    pub(crate) fn adopt(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if !self.has_seat(m) || !self.is_in_force(m)? {
            return None;
        }
        // In the same generation the session goes on: a batch number is never used twice, neither
        // for what the journal knows nor for what it still holds.
        if self.members[m].generation != self.postgres.generation || bounds.is(Mutant::NumbersAgain)
        {
            self.begin_session(m, self.postgres.generation, bounds);
        }
        self.members[m].phase = Phase::Working;
        Some(())
    }

    fn is_in_force(&self, m: usize) -> Option<bool> {
        let Phase::Joining { doubt } = self.members[m].phase else { return None };
        let settled = !doubt || self.postgres.generation > self.members[m].generation;
        Some(settled && self.postgres.share == self.postgres.seats)
    }

    /// The fence lock exclusively: nobody's claim is open from here on. Who holds it still is
    /// terminated ([`State::expire`]) if it is frozen or gone; one who works ends by itself.
    pub(crate) fn fence(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let in_force = self.is_in_force(m)?;
        let blocked = self.postgres.has_open_claim()
            && !bounds.is(Mutant::SharedRecovery)
            && !bounds.is(Mutant::UnfencedClaim);
        if !self.has_seat(m) || in_force || self.postgres.recovery.is_some() || blocked {
            return None;
        }
        self.postgres.recovery = Some(m);
        self.members[m].phase = Phase::Fenced { known: self.postgres.generation };
        Some(())
    }

    pub(crate) fn raise(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Phase::Fenced { known } = self.members[m].phase else { return None };
        let is_behind = self.redis.generation < known;
        let (generation, appended) = self.run_raise(known, bounds);
        self.raised_since(is_behind, bounds);
        if bounds.is(Mutant::ForgetEarly) {
            self.redis.forget(generation);
        }
        self.members[m].phase = Phase::Raised { generation, appended };
        Some(())
    }

    /// No answer: it was run, or still will be.
    pub(crate) fn lose_raise(&mut self, m: usize, late: bool, bounds: &Bounds) -> Option<()> {
        let Phase::Fenced { known } = self.members[m].phase else { return None };
        self.spend(Fault::LostReply)?;
        if late {
            self.send_late(Script::Raise { known });
        } else {
            self.run_raise(known, bounds);
        }
        self.give_up_recovery(m);
        Some(())
    }

    /// Settles what the journal says, writes generation and share-out, and commits.
    pub(crate) fn finish(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Phase::Raised { generation, appended } = self.members[m].phase else { return None };
        if self.postgres.recovery != Some(m) {
            self.give_up_recovery(m);
            return Some(());
        }
        self.commit_recovery(generation, appended, bounds)?;
        self.begin_session(m, generation, bounds);
        self.members[m].phase = Phase::Forgetting;
        if self.faults_left == 0 {
            self.forget(m)?;
        }
        Some(())
    }

    /// No answer to its commit. One that is run later is as one that is run now: the fence is held
    /// until then.
    pub(crate) fn lose_finish(&mut self, m: usize, committed: bool, bounds: &Bounds) -> Option<()> {
        let Phase::Raised { generation, appended } = self.members[m].phase else { return None };
        if self.postgres.recovery != Some(m) {
            return None;
        }
        self.spend(Fault::LostCommit)?;
        if committed {
            self.commit_recovery(generation, appended, bounds)?;
        }
        self.give_up_recovery(m);
        Some(())
    }

    /// Only now that the commit is known.
    pub(crate) fn forget(&mut self, m: usize) -> Option<()> {
        if self.members[m].phase != Phase::Forgetting {
            return None;
        }
        self.redis.forget(self.members[m].generation);
        self.members[m].phase = Phase::Working;
        Some(())
    }

    pub(crate) fn lose_forget(&mut self, m: usize) -> Option<()> {
        if self.members[m].phase != Phase::Forgetting {
            return None;
        }
        self.spend(Fault::LostReply)?;
        self.send_late(Script::Forget { generation: self.members[m].generation });
        self.members[m].phase = Phase::Working;
        Some(())
    }

    /// Once a second a member looks who lives; between batches it goes for another share-out.
    pub(crate) fn notice_change(&mut self, m: usize) -> Option<()> {
        let member = &self.members[m];
        let idle =
            member.phase == Phase::Working && member.batches.is_empty() && member.trouble.is_none();
        if !idle || !self.has_seat(m) || self.postgres.share == self.postgres.seats {
            return None;
        }
        self.end_session(m, false);
        Some(())
    }

    /// Losing the control connection, a member lets its open batches end, and rejoins.
    pub(crate) fn notice_lost_seat(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &self.members[m];
        if member.phase != Phase::Working || member.trouble.is_some() || self.has_seat(m) {
            return None;
        }
        self.fail(m, Trouble::Doubt);
        self.calm(m, bounds);
        Some(())
    }

    /// A script that nobody waits for.
    pub(crate) fn run_late(&mut self, at: usize, bounds: &Bounds) -> Option<()> {
        if at >= self.late.len() {
            return None;
        }
        match self.late.remove(at) {
            Script::Append(append) => {
                self.lag();
                self.redis.append(append, &self.postgres.table, None, bounds);
            }
            Script::Raise { known } => {
                self.run_raise(known, bounds);
            }
            Script::Forget { generation } => self.redis.forget(generation),
        }
        Some(())
    }

    pub(crate) fn send_late(&mut self, script: Script) {
        self.late.push(script);
        self.late.sort_unstable();
    }

    pub(crate) fn give_up_recovery(&mut self, m: usize) {
        if self.postgres.recovery == Some(m) {
            self.postgres.recovery = None;
        }
        self.end_session(m, true);
    }

    fn run_raise(&mut self, known: u8, bounds: &Bounds) -> (u8, Rows) {
        self.lag();
        let raised = self.redis.raise(known, bounds.faults[Fault::FailOver as usize] > 0);
        let generation = self.redis.generation;
        // These would do nothing from here on, whenever they are run.
        self.late.retain(|script| match script {
            Script::Append(append) => bounds.is(Mutant::NoFence) || append.generation >= generation,
            Script::Forget { generation: of } => *of >= generation,
            Script::Raise { .. } => true,
        });
        raised
    }

    fn commit_recovery(&mut self, generation: u8, appended: Rows, bounds: &Bounds) -> Option<()> {
        if !bounds.is(Mutant::NoJournal) {
            // A delete waits for locked rows; with the fence held exclusively there are none.
            if appended & self.postgres.locked() != 0 {
                return None;
            }
            for id in ids(appended) {
                self.postgres.set_status(id, Status::Deleted);
            }
        }
        self.postgres.generation = generation;
        self.postgres.share.clone_from(&self.postgres.seats);
        self.postgres.recovery = None;
        Some(())
    }

    fn begin_session(&mut self, m: usize, generation: u8, bounds: &Bounds) {
        self.compare(m, bounds);
        let share = &self.postgres.share;
        let member = &mut self.members[m];
        let mine = |slot: &usize| share.get(slot % share.len().max(1)) == Some(&member.number);
        member.slots = (0..KEYS).filter(mine).fold(0, |slots, slot| slots | 1 << slot);
        member.generation = generation;
        (member.next_batch, member.last_appended, member.settled) = (1, 0, 0);
        member.look_again = None;
        // What the last generation left open may be anywhere.
        member.cursor = Cursor::default();
    }
}
