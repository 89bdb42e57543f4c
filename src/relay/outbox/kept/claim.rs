//! Claims of a kept outbox: reads, piece after piece. A claim holds nothing in Postgres; what it
//! stands for is the step that the journal makes when its entries are appended.

use std::sync::Arc;
use std::time::Duration;

use super::super::lease::Lease;
use super::super::refusal::{Failed, failed, within};
use super::super::session::Sessions;
use super::KeptOutbox;
use super::letters::{Doomed, Grave, Unwritten};
use super::read::{Bounds, Looked, Read};
use super::reading::Shared;
use crate::relay::encode::Entries;
use crate::relay::event::{Batch, Passage};
use crate::relay::kept::pieces::{Next, Piece, Pieces, UpToNow};
use crate::relay::kept::position::{Extent, Position};
use crate::relay::kept::snapshot::Snapshot;
use crate::relay::outbox::{Claim, First, OutboxError, SetAside};

/// A step over rows that are nobody's here is told to the journal at most this often: it saves
/// the next start a walk, and nothing rests on it.
const STEP_PAUSE: Duration = Duration::from_secs(5);
/// Commits, so that the log is flushed up to what the read saw. It waits for no standby.
const FLUSH: &str = "with here as materialized (\
    select pg_catalog.set_config('synchronous_commit', 'local', true)) \
    select pg_catalog.pg_logical_emit_message(true, 'outflow', '') from here";

/// Rows that were read.
pub struct KeptClaim {
    batch: Batch,
    full: bool,
    /// All pieces, as they are behind the batch.
    after: Pieces,
    /// Of the reading that it goes on from.
    epoch: u64,
    shared: Arc<Shared>,
    sessions: Sessions,
    grave: Arc<Grave>,
    /// The member's, when it was read.
    generation: i64,
    /// The row that it passes can never be delivered.
    doomed: Option<Doomed>,
    /// Order values of the rows that may have letters.
    buried: Vec<i64>,
    appended: bool,
    /// For certain; if neither is known, a recovery finds out.
    not_appended: bool,
}

/// What a piece had to give.
pub(super) enum Step {
    Rows(Box<Read>),
    /// The first row can never be delivered.
    Doomed(Doomed, Snapshot),
}

impl KeptOutbox {
    /// Reads the next rows, but for those of these streams.
    pub(super) async fn take(&self, left_out: &[String]) -> Result<Option<KeptClaim>, OutboxError> {
        self.unbury().await?;
        // What is passed by in the next batch must be somewhere else by then.
        let part = |pieces: &mut Pieces| left_out.iter().for_each(|stream| pieces.part(stream));
        let (mut pieces, epoch) = self.shared.reading(|reading| {
            let mut pieces = reading.pieces.clone();
            part(&mut pieces);
            (pieces, reading.epoch)
        });
        let mut read = UpToNow::default();
        while let Some(next) = read.next(&pieces, pieces.turns(left_out)) {
            if let Some(claim) = self.step((&mut pieces, epoch), &next, None).await? {
                return Ok(self.go_on(epoch, claim));
            }
            // A stream that is to wait may have been merged: the next turn would read it.
            part(&mut pieces);
        }
        let wait = self.shared.reading(|reading| {
            reading.moves_to(epoch, &pieces);
            reading.told.elapsed() < STEP_PAUSE || reading.confirmed == reading.pieces
        });
        Ok((!wait)
            .then(|| self.step_over(&pieces, epoch))
            .and_then(|claim| self.go_on(epoch, claim)))
    }

    /// Reads one row of a stream.
    pub(super) async fn take_of(&self, stream: &str) -> Result<First<KeptClaim>, OutboxError> {
        self.unbury().await?;
        let (mut pieces, epoch) =
            self.shared.reading(|reading| (reading.pieces.clone(), reading.epoch));
        // The journal may not know yet that it stays behind.
        pieces.part(stream);
        let mut read = UpToNow::default();
        while let Some(next) = read.next(&pieces, pieces.turns_of(stream)) {
            if let Some(claim) = self.step((&mut pieces, epoch), &next, Some(1)).await? {
                return Ok(self.go_on(epoch, claim).map_or(First::Later, First::Claimed));
            }
        }
        let is_current = self.shared.reading(|reading| reading.moves_to(epoch, &pieces));
        Ok(if is_current { First::Nothing } else { First::Later })
    }

    /// Reads one piece. Without rows it moves on to what was seen, if that is to stay.
    async fn step(
        &self,
        (pieces, epoch): (&mut Pieces, u64),
        next: &Next,
        rows: Option<usize>,
    ) -> Result<Option<KeptClaim>, OutboxError> {
        let piece = pieces.all()[next.index].clone();
        let client = Lease::new(self.base.connection().await?);
        let (read, doomed) = match self.rows(&client, &piece, next, rows).await? {
            Step::Rows(read) => (*read, None),
            Step::Doomed(doomed, snapshot) => (Read::passing(doomed.id, snapshot), Some(doomed)),
        };
        let wanted = next.target.as_ref().unwrap_or(&read.snapshot);
        let position = piece.position.after(wanted, read.extent);
        let is_empty = read.batch.events.is_empty() && doomed.is_none();
        if !read.durable {
            if is_empty && next.target.is_none() && piece.position.target.is_none() {
                drop(client.release());
                return Ok(None);
            }
            let flush = async { client.execute(FLUSH, &[]).await.map_err(|error| failed(&error)) };
            within(client.alone(flush)).await?;
        }
        drop(client.release());
        if is_empty {
            pieces.move_to(next.index, position);
            pieces.tidy();
            return Ok(None);
        }
        let mut batch = read.batch;
        batch.passage = Some(Box::new(passage(pieces, next.index, &position, wanted)));
        let mut after = pieces.clone();
        after.move_to(next.index, position);
        after.tidy();
        let mut claim = self.claim(batch, after, epoch);
        (claim.full, claim.doomed) = (read.full, doomed);
        Ok(Some(claim))
    }

    /// The next claim goes on behind this one, unless it was set back meanwhile: then there is no
    /// claim.
    fn go_on(&self, epoch: u64, claim: KeptClaim) -> Option<KeptClaim> {
        let is_current = self.shared.reading(|reading| reading.moves_to(epoch, &claim.after));
        is_current.then_some(claim)
    }

    fn claim(&self, batch: Batch, after: Pieces, epoch: u64) -> KeptClaim {
        KeptClaim {
            batch,
            full: false,
            after,
            epoch,
            shared: Arc::clone(&self.shared),
            sessions: self.base.sessions.clone(),
            grave: Arc::clone(&self.grave),
            generation: super::super::state::locked(&self.base.state).generation,
            doomed: None,
            buried: Vec::new(),
            appended: false,
            not_appended: false,
        }
    }

    /// Removes the letters of rows that nobody has passed: they are read again.
    async fn unbury(&self) -> Result<(), OutboxError> {
        let generation = super::super::state::locked(&self.base.state).generation;
        let undead: Vec<i64> = self.shared.reading(|reading| {
            reading.undead.retain(|(of, _)| *of == generation);
            reading.undead.iter().map(|(_, id)| *id).collect()
        });
        if undead.is_empty() {
            return Ok(());
        }
        let client = Lease::new(self.base.connection().await?);
        self.grave.remove(&client, generation, &undead).await.map_err(Failed::refused)?;
        drop(client.release());
        // More may have come behind them.
        self.shared.reading(|reading| {
            let removed = undead.len().min(reading.undead.len());
            reading.undead.drain(..removed);
        });
        Ok(())
    }

    /// A claim of no rows, by which the journal learns how far this member has come.
    fn step_over(&self, pieces: &Pieces, epoch: u64) -> KeptClaim {
        let index = pieces.all().len() - 1;
        let batch = Batch {
            passage: Some(Box::new(Passage {
                rest: pieces.without(index),
                after: pieces.all()[index].to_string(),
                ..Passage::default()
            })),
            ..Batch::default()
        };
        self.claim(batch, pieces.clone(), epoch)
    }

    /// As many rows as fit. What the server refuses is tried again with as many as it had handed
    /// out by then, down to the one row that is the reason.
    async fn rows(
        &self,
        client: &Lease,
        piece: &Piece,
        next: &Next,
        rows: Option<usize>,
    ) -> Result<Step, OutboxError> {
        loop {
            let limit = super::super::state::locked(&self.base.state).limit;
            let bytes = self.base.config.batch_bytes;
            let bounds = Bounds { rows: rows.unwrap_or(limit), bytes, only: None };
            let read = self.read(client, piece, next, bounds);
            let words = match self.looked((client, piece), true, read).await? {
                Looked::Rows(read) => {
                    if rows.is_none() {
                        self.base.adapt_limit(read.batch.events.len(), read.bytes);
                    }
                    return Ok(Step::Rows(Box::new(read)));
                }
                Looked::Bad(bad) => bad.to_string(),
                Looked::Refused(before, said) if said.may_be_too_much() => {
                    if rows.is_none() && before > 0 && self.base.narrow(before) {
                        continue;
                    }
                    said.words
                }
                Looked::Refused(_, said) => return Err(OutboxError::Refused(said.words)),
            };
            let step = self.lone(client, piece, next, words).await?;
            if rows.is_none() && matches!(step, Step::Rows(_)) {
                // It was another row, maybe far behind: fewer are read until it is the next.
                self.base.narrow(limit / 2);
            }
            return Ok(step);
        }
    }
}

impl Read {
    /// Of a row that is passed by.
    fn passing(id: i64, snapshot: Snapshot) -> Self {
        let (batch, extent) = (Batch::default(), Extent::UpTo(id));
        Self { batch, bytes: 0, snapshot, durable: false, extent, full: true }
    }
}

/// What the journal is to know. `read`: what a batch of a position without a target has read.
fn passage(pieces: &Pieces, index: usize, after: &Position, read: &Snapshot) -> Passage {
    let piece = &pieces.all()[index];
    let before = &piece.position;
    let target = before.target.as_ref().map_or(read, |target| &target.snapshot);
    Passage {
        rest: pieces.without(index),
        after: Piece { position: after.clone(), ..piece.clone() }.to_string(),
        refused: format!("{}|{}|{target}|", piece.slots, before.seen),
        from: before.mark().to_string(),
        hint: before.hint,
        of_stream: piece.stream.is_some(),
    }
}

impl Claim for KeptClaim {
    fn batch(&self) -> &Batch {
        &self.batch
    }

    fn is_full(&self) -> bool {
        self.full
    }

    /// Whoever is passed by must be known as dead before: nobody reads it again.
    async fn before_append(&mut self, entries: &Entries) -> Result<Vec<SetAside>, OutboxError> {
        if entries.dead.is_empty() && self.doomed.is_none() {
            return Ok(Vec::new());
        }
        let doomed = self.doomed.iter().map(Unwritten::from);
        let dead = entries.dead.iter().map(|letter| Unwritten {
            id: self.batch.events[letter.index].order.unwrap_or_default(),
            stream: letter.stream.as_deref(),
            reason: letter.reason,
            words: "",
        });
        let letters: Vec<Unwritten<'_>> = doomed.chain(dead).collect();
        // Before they are written: a write that is cut short may have come about.
        self.buried = letters.iter().map(|letter| letter.id).collect();
        let client = Lease::new(self.sessions.get().await?);
        let missing = self.grave.bury(&client, self.generation, &letters).await;
        let missing = missing.map_err(Failed::refused)?;
        drop(client.release());
        let missing = missing.into_iter().next().unwrap_or_default();
        let aside = self.doomed.take().map(|doomed| doomed.aside(missing));
        Ok(aside.into_iter().collect())
    }

    /// The journal knows it: the letters count.
    async fn settle(mut self, _: &Entries) -> Result<(), OutboxError> {
        self.appended = true;
        self.shared.reading(|reading| reading.confirm(self.epoch, &self.after));
        if self.buried.is_empty() {
            return Ok(());
        }
        let client = Lease::new(self.sessions.get().await?);
        self.grave.count(&client, self.generation, &self.buried).await?;
        drop(client.release());
        Ok(())
    }

    fn was_not_appended(&mut self) {
        self.not_appended = true;
    }

    async fn roll_back(self) -> Result<(), OutboxError> {
        Ok(())
    }
}

/// What was not appended is read again.
impl Drop for KeptClaim {
    fn drop(&mut self) {
        if self.appended {
            return;
        }
        self.shared.reading(|reading| {
            reading.go_back();
            if self.not_appended {
                let buried = self.buried.iter().map(|id| (self.generation, *id));
                reading.undead.extend(buried);
            }
        });
    }
}
