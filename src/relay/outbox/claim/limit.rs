//! How many rows and bytes the next claim may take.

use crate::relay::outbox::pg_outbox::PgOutbox;
use crate::relay::outbox::state::locked;

/// What Postgres adds to it must still be an integer.
const CAP_MAX: i32 = i32::MAX - 16;

impl PgOutbox {
    /// Makes the next claim smaller, at most `rows`; `false` if it is one row already.
    pub(in crate::relay::outbox) fn narrow(&self, rows: usize) -> bool {
        let mut state = locked(&self.state);
        let is_one = state.limit <= 1;
        state.limit = rows.min(state.limit / 2).max(1);
        !is_one
    }

    /// How many bytes a field of a claim may have.
    pub(in crate::relay::outbox) fn cap(&self) -> i32 {
        as_cap(self.config.batch_bytes)
    }

    /// After large rows the limit grows again, as fast as what was seen allows.
    pub(in crate::relay::outbox) fn adapt_limit(&self, rows: usize, bytes: usize) {
        let average = bytes.checked_div(rows).unwrap_or(0).max(1);
        let fits = (self.config.batch_bytes / average).max(1);
        let mut state = locked(&self.state);
        state.limit = fits.min(state.limit.saturating_mul(2)).min(self.config.batch_rows);
    }
}

pub(in crate::relay::outbox) fn as_cap(bytes: usize) -> i32 {
    i32::try_from(bytes).unwrap_or(i32::MAX).min(CAP_MAX)
}
