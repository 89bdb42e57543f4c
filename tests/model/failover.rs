//! A fail-over to a replica that lacks the last script, and who notices what went with it
//! (`Relay::compare`).

use crate::bounds::{Bounds, Fault, Mutant};
use crate::state::{Phase, Redis, Reply, State, Trouble};

/// What is remembered for a fail-over; nothing where none may happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct FailOver {
    /// What the replica has; `None`: everything.
    replica: Option<Box<Redis>>,
    pub(crate) happened: bool,
    /// Members with an answer of the old master that they have not received yet, as bits.
    answered_before: u8,
    /// Members that have appended or begun a session since, as bits.
    back: u8,
    told: bool,
}

impl State {
    /// The script that is run next is the one that the replica lacks.
    pub(crate) fn lag(&mut self) {
        if self.may(Fault::FailOver) {
            self.fail_over.replica = Some(Box::new(self.redis.clone()));
        }
    }

    /// The replica has everything.
    fn in_step(&mut self) {
        self.fail_over.replica = None;
    }

    pub(crate) fn fail_over(&mut self, bounds: &Bounds) -> Option<()> {
        let replica = self.fail_over.replica.take()?;
        self.spend(Fault::FailOver)?;
        self.redis = *replica;
        self.fail_over.happened = true;
        for m in 0..self.members.len() {
            match self.answered(m) {
                // It still waits for the replica, on a connection that is gone.
                Some(at) if bounds.waits => {
                    self.not_appended(m, at, Trouble::Doubt, bounds);
                    self.calm(m, bounds);
                }
                Some(_) => self.fail_over.answered_before |= 1 << m,
                None => {}
            }
        }
        Some(())
    }

    /// An append was answered.
    pub(crate) fn heard(&mut self, m: usize, reply: Reply, bounds: &Bounds) {
        if bounds.waits {
            self.in_step();
        }
        let is_old = self.answer_of_before(m);
        if !self.fail_over.happened || is_old || matches!(reply, Reply::Fenced | Reply::Unavailable)
        {
            return;
        }
        self.fail_over.back |= 1 << m;
        self.fail_over.told |= reply == Reply::RolledBack;
    }

    /// Whether the answer that this member has, or will never have, is one of the old master.
    pub(crate) fn answer_of_before(&mut self, m: usize) -> bool {
        let is_old = self.fail_over.answered_before & (1 << m) != 0;
        self.fail_over.answered_before &= !(1 << m);
        is_old
    }

    /// A recovery heard that Redis is at an older generation than Postgres.
    pub(crate) fn raised_since(&mut self, is_behind: bool, bounds: &Bounds) {
        if bounds.waits && !bounds.is(Mutant::RaiseNotWaitedFor) {
            self.in_step();
        }
        self.fail_over.told |= self.fail_over.happened && is_behind;
    }

    /// A session ends: what it had acknowledged, should it be compared.
    pub(crate) fn leave_behind(&mut self, m: usize) {
        let matters = self.may(Fault::FailOver) || self.fail_over.happened;
        let member = &mut self.members[m];
        if matters && member.last_appended > 0 {
            member.left = (member.generation, member.number, member.last_appended);
        }
    }

    /// A member comes to another generation: Redis must still know the last batch of the one that
    /// it left, in which it may have had another number.
    pub(crate) fn compare(&mut self, m: usize, bounds: &Bounds) {
        let (generation, number, acknowledged) = std::mem::take(&mut self.members[m].left);
        if !self.fail_over.happened {
            return;
        }
        let in_force =
            self.redis.last.iter().map(|(number, batch)| (self.redis.generation, *number, *batch));
        let mut known = in_force.chain(self.redis.older.iter().copied());
        let known = known
            .find(|(of, by, _)| (*of, *by) == (generation, number))
            .map_or(0, |(_, _, batch)| batch);
        self.fail_over.told |= known < acknowledged && !bounds.is(Mutant::NotCompared);
        self.fail_over.back |= 1 << m;
    }

    /// Whether Redis may have lost what it acknowledged.
    pub(crate) fn may_have_lost(&self, bounds: &Bounds) -> bool {
        self.fail_over.happened && !bounds.waits
    }

    /// Everybody has met the new master, and nobody has said that something is missing.
    pub(crate) fn is_unaware(&self) -> bool {
        let running = |m: &usize| !matches!(self.members[*m].phase, Phase::Down | Phase::Left);
        let all_back =
            (0..self.members.len()).filter(running).all(|m| self.fail_over.back & (1 << m) != 0);
        self.fail_over.happened && !self.fail_over.told && all_back
    }
}
