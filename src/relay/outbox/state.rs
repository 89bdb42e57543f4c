//! What a relay remembers of its outbox between claims.

use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::control::Waiter;
use super::cursor::Cursor;
use super::held::Held;
use super::in_flight::InFlight;
use super::patience::Patience;
use super::slots::{self, ALL};
use super::unsettled::LeftOut;
use super::{OutboxError, SetAside};

/// What is remembered between claims. Never held across an await.
pub(super) struct State {
    pub(super) cursor: Cursor,
    pub(super) in_flight: InFlight,
    /// Told when a claim has ended.
    pub(super) ended: Arc<Notify>,
    /// The lowest order value to look at again, from outside the claims; applied before the next
    /// one.
    pub(super) look_again: Option<i64>,
    /// The last token that was examined, and the sequence that it proves ids to come from.
    pub(super) proven: Option<(String, Option<u32>)>,
    /// Nothing that the cursor knows counts for the next claim.
    pub(super) start_over: bool,
    /// A row behind the cursor that the table's proof seems to exclude.
    pub(super) suspicion: Option<Suspicion>,
    /// The generation this member works in.
    pub(super) generation: i64,
    /// The member's slots as bits.
    pub(super) mask: i64,
    /// The members that lived when this generation was entered.
    pub(super) live: Vec<i32>,
    /// Rows the next claim may take: fewer than configured where rows are large.
    pub(super) limit: usize,
    /// How long the next look for rows may take.
    pub(super) patience: Patience,
    /// Rows that are left out of the claims for a while.
    pub(super) held: Held,
    /// Rows that were appended and that Postgres does not let go.
    pub(super) left_out: LeftOut,
    /// What was set aside and is not yet told.
    pub(super) aside: Vec<SetAside>,
    /// The control session's, whose lock need not be waited for.
    pub(super) waiter: Option<Waiter>,
    /// Why the table must be examined again.
    pub(super) outdated: Option<String>,
}

impl State {
    /// A new generation begins: what the last one left open may be anywhere.
    pub(super) fn enter(&mut self, generation: i64, shares: &[i32], seat: i32, live: &[i32]) {
        self.generation = generation;
        self.mask = slots::mask(shares, seat);
        self.live = live.to_vec();
        self.start_over = true;
    }

    /// What was found outside the claims counts from the next one on.
    pub(super) fn catch_up(&mut self) {
        if std::mem::take(&mut self.start_over) {
            self.cursor.start_over();
        }
        if let Some(suspicion) = &mut self.suspicion {
            suspicion.is_tried = true;
            self.cursor.suspect(suspicion.order);
        }
        if let Some(order) = self.look_again.take() {
            self.cursor.rewind_below(order);
        }
    }

    /// The rows that claims leave out, and the keys that they leave out with some of them; `None`
    /// if there are none. What was appended keeps no key back.
    pub(super) fn left_behind(&self) -> Option<(Vec<String>, Vec<String>)> {
        let held = self.held.names();
        if self.left_out.rows.is_empty() {
            return held;
        }
        let (mut rows, keys) = held.unwrap_or_default();
        rows.extend(self.left_out.rows.iter().cloned());
        Some((rows, keys))
    }

    /// The next claim starts no higher than this.
    pub(super) fn look_again_from(&mut self, order: i64) {
        self.look_again = Some(self.look_again.map_or(order, |known| known.min(order)));
    }

    /// The member's slots as bits; `None` when it owns them all, so that no row needs to be hashed.
    pub(super) fn slots(&self) -> Option<i64> {
        (self.mask != ALL).then_some(self.mask)
    }

    /// Whether this member keeps the sleep lock (it owns slot 0), and whether there are others to
    /// tell.
    pub(super) fn sleep_role(&self) -> (bool, bool) {
        (self.mask & 1 == 1, self.mask != ALL)
    }
}

/// A row behind the cursor that the table's proof seems to exclude: the claim that is made for it
/// decides.
pub(super) struct Suspicion {
    pub(super) order: i64,
    pub(super) why: String,
    /// That claim has begun.
    pub(super) is_tried: bool,
}

pub(super) fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock()
}

/// Remembers that the table must be looked at again.
pub(super) fn noted<T>(
    state: &Mutex<State>,
    outcome: Result<T, OutboxError>,
) -> Result<T, OutboxError> {
    if let Err(OutboxError::Changed(what)) = &outcome {
        locked(state).outdated.get_or_insert_with(|| what.clone());
    }
    outcome
}
