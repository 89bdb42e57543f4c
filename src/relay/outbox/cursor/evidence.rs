//! Rows that the proof excludes: their transactions were numbered after a claim, and yet their ids
//! were drawn before it. Somebody forced the ids, or the sequence went back and forth. Only a sweep
//! finds such rows.

use std::collections::VecDeque;

/// So many claims are remembered; a sweep comes along far sooner.
const CLAIMS_MAX: usize = 1_024;

/// What a sweep's finds are held against.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The last claims that took rows, in order: their numbers, and the floors of what has a higher
    /// number.
    claims: VecDeque<(u64, i64)>,
    /// The row under suspicion.
    row: Option<i64>,
}

impl Evidence {
    pub(super) fn note(&mut self, own: u64, floor: i64) {
        if self.claims.len() == CLAIMS_MAX {
            self.claims.pop_front();
        }
        self.claims.push_back((own, floor));
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// `xmin` is the number of the transaction that wrote the row, without the epoch.
    pub(super) fn contradicts(&self, order: i64, xmin: u32) -> bool {
        // As Postgres compares them: up to 2^31 later is later.
        let later =
            |own: u64| i64::from(xmin).wrapping_sub(own.cast_signed()) & i64::from(u32::MAX);
        self.claims
            .iter()
            .any(|(own, floor)| order <= *floor && (1..1 << 31).contains(&later(*own)))
    }

    pub(super) fn suspect(&mut self, order: i64) {
        self.row = Some(order);
    }

    /// The row under suspicion, once.
    pub(super) fn take(&mut self) -> Option<i64> {
        self.row.take()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.claims.len()
    }
}
