//! What a member remembers while it works in one generation.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use super::trouble::Trouble;
use super::turnstile::Turnstile;
use crate::sink::Position;

/// One generation of one member: its numbers.
pub(super) struct Session {
    pub(super) generation: i64,
    pub(super) member: i32,
    /// Number of the next batch; counted from 1.
    next: AtomicU64,
    /// The last batch that was appended. Changed in the turn to append only.
    last_appended: AtomicU64,
    /// Batches that are settled while their journal records may still stand.
    settled: Mutex<Vec<u64>>,
}

impl Session {
    pub(super) fn new(generation: i64, member: i32) -> Self {
        Self {
            generation,
            member,
            next: AtomicU64::new(1),
            last_appended: AtomicU64::new(0),
            settled: Mutex::new(Vec::new()),
        }
    }

    pub(super) fn position(&self, batch: u64) -> Position {
        let previous = self.last_appended.load(Ordering::Acquire);
        Position { generation: self.generation, member: self.member, batch, previous }
    }

    /// A batch was appended, and these records are gone from the journal.
    pub(super) fn appended(&self, batch: u64, dropped: &[u64]) {
        self.last_appended.store(batch, Ordering::Release);
        self.dropped(dropped);
    }

    /// A batch is settled.
    pub(super) fn settled(&self, batch: u64) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).push(batch);
    }

    /// Batches whose records may be dropped.
    pub(super) fn to_drop(&self) -> Vec<u64> {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn dropped(&self, batches: &[u64]) {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).retain(|batch| !batches.contains(batch));
    }
}

/// One drain: from the first claim to an empty one, a stop, or trouble. Its gates keep the batches in order.
pub(super) struct Drain<'a> {
    pub(super) session: &'a Session,
    /// Claims are made one at a time; whoever holds this numbers the next batch.
    pub(super) claims: AsyncMutex<()>,
    pub(super) appends: Turnstile,
    pub(super) settles: Turnstile,
    under_way: AtomicU64,
    ended: AtomicBool,
    trouble: Mutex<Option<Trouble>>,
}

impl<'a> Drain<'a> {
    pub(super) fn new(session: &'a Session) -> Self {
        let next = session.next.load(Ordering::Acquire);
        Self {
            session,
            claims: AsyncMutex::new(()),
            appends: Turnstile::new(next),
            settles: Turnstile::new(next),
            under_way: AtomicU64::new(0),
            ended: AtomicBool::new(false),
            trouble: Mutex::new(None),
        }
    }

    /// Numbers a batch that was just claimed.
    pub(super) fn enter(&self) -> u64 {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.session.next.fetch_add(1, Ordering::AcqRel)
    }

    pub(super) fn leave(&self) {
        self.under_way.fetch_sub(1, Ordering::AcqRel);
    }

    /// Batches between claim and settle.
    pub(super) fn under_way(&self) -> u64 {
        self.under_way.load(Ordering::Acquire)
    }

    /// No further claim is made.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Whether a batch has failed. The rows that it let go may be in a claim that was being made meanwhile.
    pub(super) fn has_failed(&self) -> bool {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Remembers what went wrong, the gravest first: a doubt must not be hidden by an outage.
    pub(super) fn fail(&self, trouble: Trouble) {
        self.end();
        let mut known = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*known, &trouble) {
            (None, _) | (Some(Trouble::Unavailable(_)), Trouble::Doubt { .. }) => *known = Some(trouble),
            (Some(Trouble::Doubt { .. }), _) | (Some(Trouble::Unavailable(_)), Trouble::Unavailable(_)) => {}
        }
    }

    pub(super) fn into_trouble(self) -> Option<Trouble> {
        self.trouble.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}
