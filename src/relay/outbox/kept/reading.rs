//! How far a member has read, and how far the journal knows it to have. Pure.

use std::time::Instant;

use parking_lot::Mutex;

use crate::relay::kept::pieces::Pieces;

/// What the claims of one member share.
#[derive(Debug)]
pub(super) struct Shared(Mutex<Reading>);

/// See the fields.
#[derive(Debug)]
pub(super) struct Reading {
    /// Behind the last claim.
    pub(super) pieces: Pieces,
    /// Behind the last batch that was appended.
    pub(super) confirmed: Pieces,
    /// Counts how often it was set back: a claim that began before must not move it.
    pub(super) epoch: u64,
    /// When the journal was last told.
    pub(super) told: Instant,
    /// Order values of rows whose letters were written for an append that did not come about, and
    /// in which generation. The rows are read again, and may be delivered: until then these letters
    /// must be gone. Those of earlier generations are: a recovery looks after all.
    pub(super) undead: Vec<(i64, i64)>,
}

impl Shared {
    pub(super) fn new() -> Self {
        let (pieces, confirmed) = (Pieces::default(), Pieces::default());
        Self(Mutex::new(Reading {
            pieces,
            confirmed,
            epoch: 0,
            told: Instant::now(),
            undead: Vec::new(),
        }))
    }

    /// Never held across an await.
    pub(super) fn reading<T>(&self, act: impl FnOnce(&mut Reading) -> T) -> T {
        act(&mut self.0.lock())
    }
}

impl Reading {
    /// Begins anew with what the journal says.
    pub(super) fn enter(&mut self, pieces: Pieces) {
        self.confirmed.clone_from(&pieces);
        self.pieces = pieces;
        self.epoch += 1;
    }

    /// Returns whether it counts.
    pub(super) fn moves_to(&mut self, epoch: u64, pieces: &Pieces) -> bool {
        let is_current = self.epoch == epoch;
        if is_current {
            self.pieces.clone_from(pieces);
        }
        is_current
    }

    /// The journal has come so far, by a claim of this epoch. One that was made later may have been
    /// dropped in between, and have set everything back to what was confirmed by then.
    pub(super) fn confirm(&mut self, epoch: u64, pieces: &Pieces) {
        self.confirmed.clone_from(pieces);
        if self.epoch != epoch {
            self.pieces.clone_from(pieces);
        }
        self.told = Instant::now();
    }

    /// A claim did not come through.
    pub(super) fn go_back(&mut self) {
        self.pieces.clone_from(&self.confirmed);
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::relay::kept::position::Position;
    use crate::relay::kept::snapshot::Snapshot;

    fn at(xmax: u64) -> Pieces {
        let seen = Snapshot::parse(&format!("{xmax}:{xmax}:")).expect("a snapshot");
        Pieces::whole(Position::behind(seen, 0))
    }

    #[test]
    fn a_claim_that_is_dropped_sets_nothing_back_that_was_appended_before_it() {
        let shared = Shared::new();
        shared.reading(|reading| {
            reading.enter(at(3));
            let epoch = reading.epoch;
            assert!(reading.moves_to(epoch, &at(4)) && reading.moves_to(epoch, &at(5)));
            // The second one fails before the first one is settled.
            reading.go_back();
            assert!(!reading.moves_to(epoch, &at(6)), "a claim that was under way");
            reading.confirm(epoch, &at(4));
            assert_eq!((&reading.pieces, &reading.confirmed), (&at(4), &at(4)));
            let epoch = reading.epoch;
            assert!(reading.moves_to(epoch, &at(7)) && reading.moves_to(epoch, &at(8)));
            reading.confirm(epoch, &at(7));
            assert_eq!((&reading.pieces, &reading.confirmed), (&at(8), &at(7)));
        });
    }
}
