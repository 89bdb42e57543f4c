//! What a working member does: it reads, appends and copies its position
//! (`src/relay/outbox/kept/claim.rs`, `copy.rs`).

use std::sync::Arc;

use outflow::relay::kept::pieces::{Next, Piece, Pieces, UpToNow};
use outflow::relay::kept::position::{Extent, Position, Target};
use outflow::relay::kept::snapshot::Snapshot;

use super::bounds::{Bounds, Fault, Mutant};
use super::postgres::STREAMS;
use super::state::{Append, At, Batch, Entry, Passage, Phase, Reply, State};
use crate::batch::Fate;

impl State {
    /// `KeptOutbox::take`: reads piece after piece until there are rows.
    pub(crate) fn read(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &self.members[m];
        if member.phase != Phase::Working || member.batches.len() >= bounds.in_flight {
            return None;
        }
        if member.timeline != self.postgres.timeline && !bounds.is(Mutant::AnyTimeline) {
            self.doubt(m, bounds);
            return Some(());
        }
        let left_out: Vec<String> = (0..STREAMS.len())
            .filter(|stream| member.parked >> stream & 1 == 1)
            .map(|stream| STREAMS[stream].to_owned())
            .collect();
        let mut pieces = Pieces::clone(&member.pieces);
        for stream in &left_out {
            pieces.part(stream);
        }
        self.step_through(m, pieces, |pieces| pieces.turns(&left_out), (&left_out, bounds))
    }

    /// `KeptOutbox::take_of`: one row of a parked stream, by which it is tried.
    pub(crate) fn read_of(&mut self, m: usize, stream: u8, bounds: &Bounds) -> Option<()> {
        let member = &self.members[m];
        let is_there = self.postgres.timeline == member.timeline;
        let has_room = member.batches.len() < bounds.in_flight;
        if member.phase != Phase::Working || !is_there || !has_room {
            return None;
        }
        let stream = (member.parked >> stream & 1 == 1).then_some(STREAMS[usize::from(stream)])?;
        let mut pieces = Pieces::clone(&member.pieces);
        pieces.part(stream);
        let one = Bounds { limit: 1, ..*bounds };
        self.step_through(m, pieces, |pieces| pieces.turns_of(stream), (&[], &one))
    }

    /// These turns, until there are rows.
    fn step_through(
        &mut self,
        m: usize,
        mut pieces: Pieces,
        turns: impl Fn(&Pieces) -> Vec<Next>,
        (left_out, bounds): (&[String], &Bounds),
    ) -> Option<()> {
        let mut looked = UpToNow::default();
        while let Some(next) = looked.next(&pieces, turns(&pieces)) {
            let piece = pieces.all()[next.index].clone();
            let snapshot = self.postgres.snapshot(bounds);
            let (rows, full) = self.postgres.read(&piece, &next, &snapshot, bounds);
            let wanted = next.target.as_ref().unwrap_or(&snapshot);
            let extent = match rows.last() {
                Some(last) if full && !bounds.is(Mutant::FullIsAll) => Extent::UpTo(last.id.into()),
                _ => Extent::All(0),
            };
            let position = piece.position.after(wanted, extent);
            if !self.postgres.is_durable() && !bounds.is(Mutant::NotFlushed) {
                let has_target = next.target.is_some() || piece.position.target.is_some();
                if rows.is_empty() && !has_target {
                    continue;
                }
                self.postgres.flush();
            }
            let before = pieces.clone();
            pieces.move_to(next.index, position.clone());
            pieces.tidy();
            if !rows.is_empty() {
                let passage = passage(&before, next.index, position, wanted, rows);
                self.claim(m, passage, pieces);
                return Some(());
            }
            for stream in left_out {
                pieces.part(stream);
            }
        }
        let member = &mut self.members[m];
        if *member.pieces == pieces {
            return None;
        }
        member.pieces = Arc::new(pieces);
        Some(())
    }

    /// A claim of no rows, by which the journal learns how far this member has come.
    pub(crate) fn step_over(&mut self, m: usize) -> Option<()> {
        let member = &self.members[m];
        let is_idle = member.phase == Phase::Working && member.batches.is_empty();
        if !is_idle || member.pieces == member.confirmed {
            return None;
        }
        let pieces = Pieces::clone(&member.pieces);
        let index = pieces.all().len() - 1;
        let Piece { position, .. } = pieces.all()[index].clone();
        let seen = position.seen.clone();
        self.claim(m, passage(&pieces, index, position, &seen, Vec::new()), pieces);
        Some(())
    }

    fn claim(&mut self, m: usize, passage: Passage, after: Pieces) {
        let member = &mut self.members[m];
        let (number, after) = (member.next_batch, Arc::new(after));
        member.next_batch += 1;
        member.pieces = Arc::clone(&after);
        member.batches.push(Batch { number, passage: Arc::new(passage), after });
    }

    /// The script of the first batch: the others wait for its answer.
    pub(crate) fn append_of(&self, m: usize) -> Option<Append> {
        let member = &self.members[m];
        let batch = member.batches.first().filter(|_| member.phase == Phase::Working)?;
        let (generation, member_number) = (member.generation, member.number);
        Some(Append {
            at: At { generation, member: member_number, batch: batch.number },
            previous: member.acknowledged,
            nonce: member.nonce,
            copied: member.copied,
            passage: Arc::clone(&batch.passage),
        })
    }

    pub(crate) fn append(&mut self, m: usize, fate: Fate, bounds: &Bounds) -> Option<()> {
        let append = self.append_of(m)?;
        let refuses = match fate {
            Fate::Runs => None,
            Fate::Outage => {
                self.spend(Fault::Outage)?;
                let member = &mut self.members[m];
                member.batches.clear();
                member.pieces = Arc::clone(&member.confirmed);
                return Some(());
            }
            Fate::Refused(stream) => {
                let has = |entry: &Entry| entry.stream == stream;
                if !append.passage.rows.iter().any(has) {
                    return None;
                }
                self.spend(Fault::Refusal)?;
                Some(stream)
            }
        };
        let reply = self.redis.append(&append, refuses, true, bounds);
        let member = &mut self.members[m];
        if matches!(reply, Reply::Appended | Reply::Refused) {
            let batch = member.batches.remove(0);
            member.acknowledged = batch.number;
            member.confirmed = batch.after;
            if member.copied == append.copied {
                member.copied = None;
            }
        }
        member.parked |= refuses.map_or(0, |stream| 1 << stream);
        if reply == Reply::Nothing {
            member.acknowledged = append.at.batch;
            member.batches.clear();
            member.pieces = Arc::clone(&member.confirmed);
            return Some(());
        }
        if reply != Reply::Appended {
            self.doubt(m, bounds);
        }
        Some(())
    }

    /// An idle member asks whether it could append (`src/relay/readiness.rs`), and finds out that
    /// the journal is another.
    pub(crate) fn probe(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &self.members[m];
        if member.phase != Phase::Working || !member.batches.is_empty() {
            return None;
        }
        let at =
            At { generation: member.generation, member: member.number, batch: member.acknowledged };
        self.redis.takes((at, member.acknowledged, member.nonce), bounds).err()?;
        self.doubt(m, bounds);
        Some(())
    }

    /// `KeptOutbox::copy`: the pieces behind the last batch that was acknowledged.
    pub(crate) fn copy(&mut self, m: usize, bounds: &Bounds) -> Option<()> {
        let member = &mut self.members[m];
        let is_there = self.postgres.timeline == member.timeline;
        if member.phase != Phase::Working || !is_there && !bounds.is(Mutant::CopyAnywhere) {
            return None;
        }
        let of = (member.generation, member.number);
        let copy = self
            .postgres
            .copies
            .iter_mut()
            .find(|copy| (copy.at.generation, copy.at.member) == of)?;
        if copy.at.batch >= member.acknowledged {
            return None;
        }
        copy.at.batch = member.acknowledged;
        copy.pieces = Arc::clone(&member.confirmed);
        member.copied = Some(member.acknowledged);
        self.postgres.flush();
        Some(())
    }

    /// The pause of the parked streams is over.
    pub(crate) fn unpark(&mut self, m: usize) -> Option<()> {
        let member = &mut self.members[m];
        if member.parked == 0 || member.phase != Phase::Working {
            return None;
        }
        member.parked = 0;
        Some(())
    }
}

fn passage(
    pieces: &Pieces,
    index: usize,
    after: Position,
    read: &Snapshot,
    rows: Vec<Entry>,
) -> Passage {
    let others = pieces.all().iter().enumerate().filter(|(other, _)| *other != index);
    let before = pieces.all()[index].clone();
    let target = before.position.target.as_ref().map_or(read, |target| &target.snapshot).clone();
    let target = Some(Target { snapshot: target, mark: before.position.mark() });
    let refused = Position { target, ..before.position.clone() };
    Passage {
        rows,
        rest: others.map(|(_, piece)| piece.clone()).collect(),
        after: Piece { position: after, ..before.clone() },
        refused: Piece { position: refused, ..before.clone() },
        before,
    }
}
