//! What a member remembers while it works in one generation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

use super::gate::OrderedGate;
use super::mode::Mode;
use super::pace::Pace;
use super::records::Records;
use super::trouble::Trouble;
use crate::relay::event::Acknowledged;
use crate::relay::sink::Position;

/// One generation of one member: its numbers.
pub(super) struct Session {
    pub(super) generation: i64,
    pub(super) member: i32,
    /// Number of the next batch; counted from 1.
    next: AtomicU64,
    /// The last batch that was appended. Changed in the turn to append only.
    last_appended: AtomicU64,
    /// Its records in the journal.
    records: Mutex<Records>,
    /// A batch was appended that is not written down yet.
    moved: Notify,
    /// When Redis was last heard to take what this session appends.
    heard: Mutex<Instant>,
}

impl Session {
    pub(super) fn new(generation: i64, member: i32) -> Self {
        Self {
            generation,
            member,
            next: AtomicU64::new(1),
            last_appended: AtomicU64::new(0),
            records: Mutex::default(),
            moved: Notify::new(),
            heard: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn position(&self, batch: u64) -> Position {
        let generation = self.generation;
        let member = self.member;
        let record = self.records().next();
        Position { generation, member, batch, previous: self.acknowledged(), record }
    }

    /// The position of a batch that is no other than the last one.
    pub(super) fn standstill(&self) -> Position {
        self.position(self.acknowledged())
    }

    /// The last batch that is known to have been appended; 0: none.
    pub(super) fn acknowledged(&self) -> u64 {
        self.last_appended.load(Ordering::Acquire)
    }

    /// A batch was appended. Called in the turn to append only, as [`Session::position`] is.
    pub(super) fn appended(&self, at: Position) {
        self.records().appended(at.batch, at.record);
        self.last_appended.store(at.batch, Ordering::Release);
        self.moved.notify_one();
        self.heard();
    }

    /// The last batch, for the witness.
    pub(super) fn witness(&self) -> Acknowledged {
        Acknowledged {
            generation: self.generation,
            member: self.member,
            batch: self.acknowledged(),
        }
    }

    /// Waits until a batch was appended since this was last waited for.
    pub(super) async fn moved(&self) {
        self.moved.notified().await;
    }

    /// What was waited for is still to be told.
    pub(super) fn retell(&self) {
        self.moved.notify_one();
    }

    /// A batch is settled.
    pub(super) fn settled(&self, batch: u64) {
        self.records().settled(batch);
    }

    /// Records that may be dropped from the journal, as long as no batch was appended after the
    /// last one.
    pub(super) fn drop_settled(&self) -> (Vec<u64>, Position) {
        let records = self.records().drop_settled();
        (records, self.standstill())
    }

    /// These were not dropped.
    pub(super) fn kept(&self, records: &[u64]) {
        self.records().kept(records);
    }

    /// Redis takes what this session appends.
    pub(super) fn heard(&self) {
        *self.heard.lock() = Instant::now();
    }

    /// For how long Redis was not heard.
    pub(super) fn silence(&self) -> Duration {
        self.heard.lock().elapsed()
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        self.records.lock()
    }
}

/// Batches one after another, several in flight, until a stop, trouble or (once) an empty table.
/// Its gates keep them in order.
pub(super) struct Drain<'a> {
    pub(super) session: &'a Session,
    pub(super) mode: Mode,
    /// Claims are made one at a time; whoever holds this numbers the next batch.
    pub(super) claims: AsyncMutex<Pace>,
    pub(super) appends: OrderedGate,
    pub(super) settles: OrderedGate,
    under_way: AtomicU64,
    /// The last batch under way has ended.
    idle: Notify,
    ended: CancellationToken,
    trouble: Mutex<Option<Trouble>>,
}

impl<'a> Drain<'a> {
    pub(super) fn new(session: &'a Session, mode: Mode) -> Self {
        let next = session.next.load(Ordering::Acquire);
        Self {
            session,
            mode,
            claims: AsyncMutex::new(Pace::default()),
            appends: OrderedGate::new(next),
            settles: OrderedGate::new(next),
            under_way: AtomicU64::new(0),
            idle: Notify::new(),
            ended: CancellationToken::new(),
            trouble: Mutex::new(None),
        }
    }

    /// Numbers a batch that was just claimed.
    pub(super) fn enter(&self) -> u64 {
        self.under_way.fetch_add(1, Ordering::AcqRel);
        self.session.next.fetch_add(1, Ordering::AcqRel)
    }

    pub(super) fn leave(&self) {
        if self.under_way.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.idle.notify_one();
        }
    }

    /// Whether no batch is between claim and settle.
    pub(super) fn is_idle(&self) -> bool {
        self.under_way.load(Ordering::Acquire) == 0
    }

    /// Waits until no batch is between claim and settle. Nobody else may be claiming meanwhile.
    pub(super) async fn idle(&self) {
        while !self.is_idle() {
            self.idle.notified().await;
        }
    }

    /// No further claim is made.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Waits until no further claim is made.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// Whether a batch has failed. The rows that it let go may be in a claim that was being made
    /// meanwhile.
    pub(super) fn has_failed(&self) -> bool {
        self.trouble.lock().is_some()
    }

    /// Remembers what went wrong, the gravest first: a doubt must not be hidden by an outage.
    pub(super) fn fail(&self, trouble: Trouble) {
        self.end();
        let mut known = self.trouble.lock();
        match (&*known, &trouble) {
            (None | Some(Trouble::Parked(_)), _)
            | (Some(Trouble::Unavailable(_)), Trouble::Doubt { .. }) => {
                *known = Some(trouble);
            }
            (Some(Trouble::Doubt { .. }), _)
            | (Some(Trouble::Unavailable(_)), Trouble::Unavailable(_) | Trouble::Parked(_)) => {}
        }
    }

    /// What went wrong, and how the claims were resting.
    pub(super) fn finish(self) -> (Option<Trouble>, Pace) {
        (self.trouble.into_inner(), self.claims.into_inner())
    }
}
