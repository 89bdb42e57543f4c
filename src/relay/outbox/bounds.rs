//! Where the next claim may look, and how many rows it may take.

use std::time::Instant;

use super::cursor::{BEGINNING, Proof};
use super::pg_outbox::PgOutbox;
use super::state::locked;

/// Where a claim may look.
pub(super) struct Bounds {
    pub(super) position: i64,
    pub(super) xids: Vec<String>,
    pub(super) floors: Vec<i64>,
    pub(super) limit: usize,
    pub(super) generation: i64,
    pub(super) slots: Option<i64>,
    pub(super) unseen: Option<(u64, i64)>,
    /// Rows that are held back, and their keys.
    pub(super) held: Option<(Vec<String>, Vec<String>)>,
    pub(super) proof: Option<Proof>,
    /// What the last examination found ids to come from.
    pub(super) sequence: Option<u32>,
}

impl PgOutbox {
    /// Where to look, after what was found outside the claims.
    pub(super) fn bounds(&self) -> Bounds {
        let mut state = locked(&self.state);
        if state.held.release(Instant::now()) {
            state.look_again_from(BEGINNING);
        }
        state.catch_up();
        let (xids, floors) =
            state.cursor.watched().map(|(xid, floor)| (xid.to_string(), floor)).unzip();
        let (position, limit) = (state.cursor.position(), state.limit);
        Bounds {
            position,
            xids,
            floors,
            limit,
            generation: state.generation,
            slots: state.slots(),
            unseen: state.cursor.unseen(),
            proof: state.cursor.proof().cloned(),
            held: state.left_behind(),
            sequence: state.proven.as_ref().and_then(|(_, sequence)| *sequence),
        }
    }
}
