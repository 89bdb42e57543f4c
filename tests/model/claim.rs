//! Claiming (`docs/protocol.md` §4, `src/relay/outbox/claim.rs`): the fence lock shared, the
//! generation, the next rows.

use crate::bounds::{Bounds, Claims, Mutant};
use crate::cursor::{Look, Snapshot};
use crate::state::{Batch, Life, Phase, Rows, Stage, State, Trouble, ids};

/// No transaction yet.
const NOWHERE: usize = usize::MAX;

impl State {
    /// The whole claim, when nothing else is to come between its statements.
    pub(crate) fn claim(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if bounds.claims != Claims::Atomic
            || !self.may_claim(m, bounds)
            || self.is_fenced_off(bounds)
        {
            return None;
        }
        let rewound = self.rewind(m);
        if self.refuses_generation(m, bounds) {
            self.fail(m, Trouble::Stale);
            self.calm(m, bounds);
            return Some(());
        }
        let snapshot = self.postgres.snapshot();
        let visible = self.visible(m, snapshot, bounds);
        let rows = self.postgres.take(visible, bounds.batch_rows);
        if rows == 0 {
            let listed = self.members[m].cursor.watched().len();
            self.members[m].cursor.looked_in_vain(snapshot);
            return (rewound || self.members[m].cursor.watched().len() < listed).then_some(());
        }
        let xid = if bounds.watches() { self.postgres.begin() } else { 0 };
        let claim = self.postgres.open_claim(m, rows, xid);
        self.hold(m, claim, rows, Asked { drawn: self.drawn(bounds), snapshot }, bounds);
        Some(())
    }

    /// Statement by statement: sent …
    pub(crate) fn ask(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if bounds.claims != Claims::Apart || !self.may_claim(m, bounds) {
            return None;
        }
        self.rewind(m);
        let (number, stage) = (self.members[m].next_batch, Stage::Asking);
        self.members[m].batches.push(Batch { claim: NOWHERE, number, rows: 0, stage });
        Some(())
    }

    /// … the fence and the generation, whose snapshot is the one that the cursor knows of …
    pub(crate) fn check(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        if self.members[m].batches.last()?.stage != Stage::Asking {
            return None;
        }
        if self.is_fenced_off(bounds) {
            return None;
        }
        if self.refuses_generation(m, bounds) {
            self.members[m].batches.pop();
            self.fail(m, Trouble::Stale);
            self.calm(m, bounds);
            return Some(());
        }
        let (snapshot, drawn) = (self.postgres.snapshot(), self.drawn(bounds));
        let claim = self.postgres.open_claim(m, 0, 0);
        let batch = self.members[m].batches.last_mut()?;
        batch.claim = claim;
        batch.stage = Stage::Checked { drawn, snapshot };
        Some(())
    }

    /// … the delete's own snapshot, in which the lower bound is computed …
    pub(crate) fn look(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Stage::Checked { drawn, snapshot } = self.members[m].batches.last()?.stage else {
            return None;
        };
        let visible = self.visible(m, self.postgres.snapshot(), bounds);
        self.members[m].batches.last_mut()?.stage = Stage::Looking { drawn, snapshot, visible };
        Some(())
    }

    /// … and its locks: only the first row gives the claim a number of its own.
    pub(crate) fn take(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let Batch { claim, stage, .. } = *self.members[m].batches.last()?;
        let Stage::Looking { drawn, snapshot, visible } = stage else { return None };
        self.members[m].batches.pop();
        let rows = self.postgres.take(visible, bounds.batch_rows);
        let transaction = self.postgres.claim(claim)?;
        if transaction.life != Life::Open || transaction.cut {
            self.postgres.abandon(claim);
            self.fail(m, Trouble::Doubt);
        } else if rows == 0 {
            self.postgres.end_claim(claim, Life::Killed);
            self.postgres.free(claim);
            self.members[m].cursor.looked_in_vain(snapshot);
        } else {
            let xid = self.postgres.begin();
            let transaction = self.postgres.claim(claim)?;
            (transaction.rows, transaction.xid) = (rows, xid);
            self.hold(m, claim, rows, Asked { drawn, snapshot }, bounds);
        }
        self.calm(m, bounds);
        Some(())
    }

    /// The member has read that the generation is not its own (only with a late check).
    pub(crate) fn refuse(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let at = self.members[m].batches.iter().position(|batch| batch.stage == Stage::Unwanted)?;
        self.roll_back(m, at, bounds);
        self.fail(m, Trouble::Stale);
        self.calm(m, bounds);
        Some(())
    }

    /// Claims are made one at a time, and none once something is wrong.
    pub(crate) fn may_claim(&self, m: usize, bounds: &Bounds) -> bool {
        let member = &self.members[m];
        let asking = member.batches.last().is_some_and(|batch| {
            matches!(
                batch.stage,
                Stage::Asking | Stage::Checked { .. } | Stage::Looking { .. } | Stage::Unwanted
            )
        });
        member.phase == Phase::Working
            && !member.frozen
            && member.trouble.is_none()
            && member.batches.len() < bounds.in_flight
            && !asking
    }

    /// `PgOutbox::hold`: registers the rows, unless one of them is in flight here already.
    fn hold(&mut self, m: usize, claim: usize, rows: Rows, asked: Asked, bounds: &Bounds) {
        let stale = self.members[m].generation != self.postgres.generation;
        let unwanted = stale && bounds.is(Mutant::LateGenerationCheck);
        let in_flight = self.members[m].batches.iter().fold(0, |rows, batch| rows | batch.rows);
        let number = self.members[m].next_batch;
        if !unwanted && rows & in_flight != 0 && !bounds.is(Mutant::NoInFlightCheck) {
            self.postgres.end_claim(claim, Life::Killed);
            self.postgres.free(claim);
            self.fail(m, Trouble::Doubt);
            return;
        }
        let own = self.postgres.claim(claim).map_or(0, |claim| claim.xid);
        let member = &mut self.members[m];
        if unwanted {
            member.batches.push(Batch { claim, number, rows, stage: Stage::Unwanted });
            return;
        }
        let last = ids(rows).last().unwrap_or_default();
        let full = rows.count_ones() == bounds.batch_rows;
        let Asked { drawn, snapshot } = asked;
        member.cursor.looked(&Look { snapshot, drawn, own, last, full }, bounds);
        member.next_batch += 1;
        member.batches.push(Batch { claim, number, rows, stage: Stage::Claimed });
        // A batch in front has failed meanwhile: `Drain::appends` is broken.
        if member.appends_broken {
            let at = member.batches.len() - 1;
            self.roll_back(m, at, bounds);
        }
    }

    /// What was found outside the claims is looked at again.
    fn rewind(&mut self, m: usize) -> bool {
        let member = &mut self.members[m];
        let Some(id) = member.look_again.take() else { return false };
        member.cursor.rewind_below(id);
        true
    }

    /// What the sequence has handed out, where that says anything.
    fn drawn(&self, bounds: &Bounds) -> Option<u8> {
        let drawn = if bounds.is(Mutant::Unbounded) { u8::MAX } else { self.postgres.sequence };
        bounds.is_proven().then_some(drawn)
    }

    fn visible(&self, m: usize, snapshot: Snapshot, bounds: &Bounds) -> Rows {
        let member = &self.members[m];
        self.postgres.visible(member.cursor.bound(snapshot, bounds), member.slots & !member.parked)
    }

    /// A recovery holds the fence exclusively.
    fn is_fenced_off(&self, bounds: &Bounds) -> bool {
        let held = self.postgres.recovery.is_some();
        held && !bounds.is(Mutant::UnfencedClaim) && !bounds.is(Mutant::SharedRecovery)
    }

    /// The generation is compared *in the delete*, so that a stale claim locks nothing: its rows
    /// would be skipped by the claims of the slots' new owner, which would then take what follows
    /// them.
    fn refuses_generation(&self, m: usize, bounds: &Bounds) -> bool {
        let checked =
            !bounds.is(Mutant::NoGenerationCheck) && !bounds.is(Mutant::LateGenerationCheck);
        checked && self.members[m].generation != self.postgres.generation
    }
}

/// What a claim knows when it gets its answer.
#[derive(Clone, Copy)]
struct Asked {
    drawn: Option<u8>,
    snapshot: Snapshot,
}
