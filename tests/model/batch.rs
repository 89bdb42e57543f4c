//! A claimed batch's way (`src/relay.rs`): append in claim order, settle in claim order, or roll
//! back.

use crate::bounds::{Bounds, Fault, Mutant};
use crate::state::{Append, Batch, Life, Phase, Reply, Stage, State, Trouble, ids, lowest};

/// What becomes of a script when Redis gets to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fate {
    Runs,
    /// This stream takes nothing.
    Refused(u8),
    /// Redis as a whole takes nothing.
    Outage,
}

impl State {
    /// Sends the script, in its turn.
    pub(crate) fn send(&mut self, m: usize) -> Option<()> {
        let member = &mut self.members[m];
        let at = member.batches.iter().position(|batch| batch.stage == Stage::Claimed)?;
        let in_front = |batch: &Batch| matches!(batch.stage, Stage::Appended | Stage::Committing);
        if member.appends_broken || !member.batches[..at].iter().all(in_front) {
            return None;
        }
        member.batches[at].stage =
            Stage::Sent { previous: member.last_appended, settled: member.settled };
        Some(())
    }

    /// The script that this member waits for.
    pub(crate) fn script_of(&self, m: usize) -> Option<(usize, Append)> {
        let member = &self.members[m];
        let (generation, number) = (member.generation, member.number);
        member.batches.iter().enumerate().find_map(
            |(at, Batch { number: batch, rows, stage, .. })| {
                let Stage::Sent { previous, settled } = *stage else { return None };
                Some((
                    at,
                    Append { generation, number, batch: *batch, previous, settled, rows: *rows },
                ))
            },
        )
    }

    /// The batch whose answer it has not received.
    pub(crate) fn answered(&self, m: usize) -> Option<usize> {
        self.members[m]
            .batches
            .iter()
            .position(|batch| matches!(batch.stage, Stage::Answered { .. }))
    }

    /// Redis gets to it.
    pub(crate) fn run(&mut self, m: usize, fate: Fate, bounds: &Bounds) -> Option<()> {
        let (at, append) = self.script_of(m)?;
        let refused = match fate {
            Fate::Runs => None,
            Fate::Outage => {
                self.spend(Fault::Outage)?;
                None
            }
            Fate::Refused(stream) => {
                if !ids(append.rows).any(|id| self.postgres.row(id).key == stream) {
                    return None;
                }
                self.spend(Fault::Refusal)?;
                Some(stream)
            }
        };
        let reply = match fate {
            Fate::Outage => Reply::Unavailable,
            Fate::Runs | Fate::Refused(_) => {
                self.lag();
                self.redis.append(append, &self.postgres.table, refused, bounds)
            }
        };
        self.members[m].batches[at].stage = Stage::Answered { reply, settled: append.settled };
        // Without further faults nothing that matters can come between the script and its answer.
        if self.faults_left == 0 && !self.members[m].frozen && reply != Reply::RolledBack {
            self.receive(m, bounds)?;
        }
        Some(())
    }

    pub(crate) fn receive(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &mut self.members[m];
        let (at, reply, settled) =
            member.batches.iter().enumerate().find_map(|(at, batch)| match batch.stage {
                Stage::Answered { reply, settled } => Some((at, reply, settled)),
                _ => None,
            })?;
        if matches!(reply, Reply::Appended | Reply::Refused(_)) {
            member.last_appended = member.batches[at].number;
            member.settled &= !settled;
        }
        self.heard(m, reply, bounds);
        match reply {
            Reply::Appended => self.appended(m, at, bounds),
            Reply::Refused(_) if bounds.is(Mutant::RefusalIgnored) => self.appended(m, at, bounds),
            Reply::Refused(stream) => {
                self.members[m].parked |= 1 << stream;
                self.not_appended(m, at, Trouble::Doubt, bounds);
            }
            Reply::Fenced | Reply::RolledBack => self.not_appended(m, at, Trouble::Doubt, bounds),
            Reply::Unavailable => self.not_appended(m, at, Trouble::Unavailable, bounds),
        }
        self.calm(m, bounds);
        Some(())
    }

    /// The settle gate may be broken by now.
    fn appended(&mut self, m: usize, at: usize, bounds: &Bounds) {
        self.members[m].batches[at].stage = Stage::Appended;
        if self.members[m].settles_broken {
            self.roll_back(m, at, bounds);
        }
    }

    /// Breaks the append gate: this batch and those behind it are rolled back.
    pub(crate) fn not_appended(&mut self, m: usize, at: usize, trouble: Trouble, bounds: &Bounds) {
        self.fail(m, trouble);
        self.members[m].appends_broken = true;
        self.roll_back(m, at, bounds);
        while let Some(behind) =
            self.members[m].batches.iter().position(|batch| batch.stage == Stage::Claimed)
        {
            self.roll_back(m, behind, bounds);
        }
    }

    /// Sends COMMIT, in its turn.
    pub(crate) fn commit(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &mut self.members[m];
        let batch = member.batches.first_mut()?;
        if batch.stage != Stage::Appended || member.settles_broken {
            return None;
        }
        let place = batch.claim;
        batch.stage = Stage::Committing;
        let claim = self.postgres.claim(place)?;
        if claim.cut || claim.life != Life::Open {
            self.not_settled(m, bounds);
            return Some(());
        }
        claim.committing = true;
        if self.faults_left == 0 && !self.members[m].frozen {
            self.run_commit(place)?;
            self.committed(m, bounds)?;
        }
        Some(())
    }

    /// The server gets to the COMMIT, whether or not somebody still waits for it.
    pub(crate) fn run_commit(&mut self, place: usize) -> Option<()> {
        if !self.postgres.claim(place)?.committing {
            return None;
        }
        self.postgres.end_claim(place, Life::Committed)
    }

    pub(crate) fn committed(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let batch = *self.members[m].batches.first()?;
        if batch.stage != Stage::Committing {
            return None;
        }
        match self.postgres.claim(batch.claim)?.life {
            Life::Open => return None,
            Life::Killed => self.not_settled(m, bounds),
            Life::Committed => {
                self.postgres.free(batch.claim);
                self.members[m].batches.remove(0);
                self.members[m].settled |= 1 << batch.number;
            }
        }
        self.calm(m, bounds);
        Some(())
    }

    /// Breaks the settle gate. Batches behind still append in their turn, and are rolled back then:
    /// the journal has them.
    pub(crate) fn not_settled(&mut self, m: usize, bounds: &Bounds) {
        self.fail(m, Trouble::Doubt);
        self.members[m].settles_broken = true;
        let batch = self.members[m].batches.remove(0);
        self.postgres.abandon(batch.claim);
        self.look_again(m, batch, bounds);
        while let Some(behind) =
            self.members[m].batches.iter().position(|batch| batch.stage == Stage::Appended)
        {
            self.roll_back(m, behind, bounds);
        }
        self.calm(m, bounds);
    }

    /// A rollback that has no answer leaves a claim open of which nobody knows: its rows are
    /// skipped by the next claims. That is a doubt as any other.
    pub(crate) fn roll_back(&mut self, m: usize, at: usize, bounds: &Bounds) {
        let batch = self.members[m].batches.remove(at);
        self.look_again(m, batch, bounds);
        let answered = self
            .postgres
            .claim(batch.claim)
            .is_some_and(|claim| !claim.cut && claim.life == Life::Open);
        if answered {
            self.postgres.end_claim(batch.claim, Life::Killed);
            self.postgres.free(batch.claim);
        } else {
            self.postgres.abandon(batch.claim);
            if !bounds.is(Mutant::RollbackTrusted) {
                self.fail(m, Trouble::Doubt);
            }
        }
    }

    fn look_again(&mut self, m: usize, batch: Batch, bounds: &Bounds) {
        if bounds.is(Mutant::NoRewind) {
            return;
        }
        let member = &mut self.members[m];
        let found = lowest(batch.rows);
        member.look_again = member.look_again.into_iter().chain(found).min();
    }

    /// The gravest trouble counts: a doubt must not be hidden by an outage.
    pub(crate) fn fail(&mut self, m: usize, trouble: Trouble) {
        let known = &mut self.members[m].trouble;
        *known = (*known).max(Some(trouble));
    }

    /// Once every batch has ended, the trouble decides what follows (`relay/member.rs`).
    pub(crate) fn calm(&mut self, m: usize, bounds: &Bounds) {
        let member = &mut self.members[m];
        if !member.batches.is_empty() || member.phase != Phase::Working {
            return;
        }
        (member.appends_broken, member.settles_broken) = (false, false);
        match member.trouble.take() {
            None | Some(Trouble::Unavailable) => {}
            Some(Trouble::Doubt) if bounds.is(Mutant::DoubtIgnored) => {}
            Some(Trouble::Stale) => self.end_session(m, false),
            Some(Trouble::Doubt) => self.end_session(m, true),
        }
    }

    /// Back to where it is decided what follows. In doubt, nothing goes on; the generation is the
    /// one that is doubted.
    pub(crate) fn end_session(&mut self, m: usize, doubt: bool) {
        self.leave_behind(m);
        let member = &mut self.members[m];
        member.phase = Phase::Joining { doubt };
        if doubt {
            member.slots = 0;
            (member.next_batch, member.last_appended, member.settled) = (0, 0, 0);
            member.look_again = None;
        }
    }
}
