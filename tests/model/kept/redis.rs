//! Redis: what the three scripts do.

use std::sync::Arc;

use outflow::relay::kept::pieces::{Piece, Pieces};
use outflow::relay::kept::position::Target;

use super::bounds::{Bounds, Mutant};
use super::postgres::STREAMS;
use super::state::{
    Append, At, Drawn, Entry, Install, Journal, Nonce, Passage, Raised, Redis, Reply,
};

impl Redis {
    /// `keep_append.lua`, in which this stream refuses. `moves`: whether the position is written,
    /// too.
    pub(crate) fn append(
        &mut self,
        append: &Append,
        refuses: Option<u8>,
        moves: bool,
        bounds: &Bounds,
    ) -> Reply {
        if let Err(reply) = self.takes((append.at, append.previous, append.nonce), bounds) {
            return reply;
        }
        let Some(journal) = &mut self.journal else { return Reply::RolledBack };
        let passage = &append.passage;
        let taken = |entry: &&Entry| Some(entry.stream) != refuses;
        for entry in passage.rows.iter().filter(taken) {
            self.streams[usize::from(entry.stream)].push(entry.number);
        }
        let left = passage.rows.iter().find(|entry| !taken(entry));
        let is_nothing = left.is_some() && !passage.rows.iter().any(|entry| taken(&entry));
        let At { generation, member, batch } = append.at;
        if moves {
            journal.last.retain(|(of, _)| *of != member);
            journal.last.push((member, batch));
            journal.last.sort_unstable();
        }
        if is_nothing {
            return Reply::Nothing;
        }
        if moves {
            let pieces = Arc::new(pieces_behind(passage, left, bounds));
            for kept in journal.kept.iter_mut().filter(|kept| kept.member == member) {
                kept.pieces = Arc::clone(&pieces);
            }
            if let Some(batch) = append.copied {
                journal.copied.retain(|at| (at.generation, at.member) != (generation, member));
                journal.copied.push(At { batch, ..append.at });
                journal.copied.sort_unstable_by_key(|at| (at.generation, at.member));
            }
        }
        if left.is_some() { Reply::Refused } else { Reply::Appended }
    }

    /// The compare of the compare-and-set.
    pub(crate) fn takes(
        &self,
        (at, previous, drawn): (At, u8, Nonce),
        bounds: &Bounds,
    ) -> Result<(), Reply> {
        let At { generation, member, .. } = at;
        let journal = self.journal.as_ref().ok_or(Reply::RolledBack)?;
        if journal.generation != generation && !bounds.is(Mutant::NoFence) {
            let is_newer = journal.generation > generation;
            return Err(if is_newer { Reply::Fenced } else { Reply::RolledBack });
        }
        if !journal.open && !bounds.is(Mutant::NoFence) {
            return Err(Reply::Fenced);
        }
        let nonce = journal.kept.iter().find(|kept| kept.member == member).map(|kept| kept.nonce);
        let is_lax = bounds.is(Mutant::NoNonce) || bounds.is(Mutant::NoFence);
        if nonce != Some(drawn) && !is_lax {
            return Err(Reply::RolledBack);
        }
        if journal.last_batch(member) != previous
            && !bounds.is(Mutant::NoLastBatch)
            && !bounds.is(Mutant::NoFence)
        {
            return Err(Reply::RolledBack);
        }
        Ok(())
    }

    /// `raise.lua`.
    pub(crate) fn raise(&mut self, known: u8, drawn: Drawn, bounds: &Bounds) -> Raised {
        let before = self.journal.take();
        let generation = known.max(before.as_ref().map_or(0, |journal| journal.generation)) + 1;
        let (mut pieces, mut copied, mut server) = (Vec::new(), Vec::new(), None);
        if let Some(journal) = &before {
            pieces = journal.kept.iter().map(|kept| Arc::clone(&kept.pieces)).collect();
            copied.clone_from(&journal.copied);
            server = (!journal.kept.is_empty()).then_some(journal.server);
        }
        if bounds.is(Mutant::NoRaise) {
            self.journal = before;
        } else {
            let empty = Journal {
                generation,
                open: false,
                raised: Some(drawn),
                last: Vec::new(),
                kept: Vec::new(),
                copied: Vec::new(),
                server: 0,
            };
            let journal = before.unwrap_or_else(|| empty.clone());
            let Journal { kept, copied, server, .. } = journal;
            self.journal = Some(Journal { kept, copied, server, ..empty });
        }
        Raised { generation, drawn, pieces, copied, server }
    }

    /// `keep_install.lua`. Returns whether it did it.
    pub(crate) fn install(&mut self, install: &Install, bounds: &Bounds) -> bool {
        let is_ours = |journal: &Journal| {
            let by_us = journal.raised == Some(install.raised) || bounds.is(Mutant::AnyRaise);
            journal.generation == install.generation && !journal.open && by_us
        };
        if !self.journal.as_ref().is_some_and(is_ours) && !bounds.is(Mutant::NoRaise) {
            return false;
        }
        self.journal = Some(Journal {
            generation: install.generation,
            open: true,
            raised: None,
            last: Vec::new(),
            kept: install.kept.clone(),
            copied: Vec::new(),
            server: install.server,
        });
        true
    }
}

impl Journal {
    pub(crate) fn last_batch(&self, member: u8) -> u8 {
        self.last.iter().find(|(of, _)| *of == member).map_or(0, |(_, batch)| *batch)
    }

    pub(crate) fn pieces(&self) -> impl Iterator<Item = &Pieces> {
        self.kept.iter().map(|kept| &*kept.pieces)
    }
}

/// What the script writes as the member's pieces, and what the next one to read them makes of it.
fn pieces_behind(passage: &Passage, refused: Option<&Entry>, bounds: &Bounds) -> Pieces {
    let Passage { rows, rest, after, refused: piece, .. } = passage;
    let mut pieces = rest.clone();
    let refused = refused.filter(|_| !bounds.is(Mutant::NoPiece));
    if refused.is_none() || after.stream.is_none() {
        pieces.push(after.clone());
    }
    if let Some(refused) = refused {
        // From behind the greatest order value below that of its first event.
        let below = rows.iter().map(|row| row.id).filter(|id| *id < refused.id).max();
        let mut position = piece.position.clone();
        if let Some(Target { mark, .. }) = &mut position.target {
            *mark = below.map_or(*mark, i64::from);
        }
        let stream = Some(STREAMS[usize::from(refused.stream)].to_owned());
        pieces.push(Piece { stream, position, ..piece.clone() });
    }
    Pieces::new(pieces)
}
