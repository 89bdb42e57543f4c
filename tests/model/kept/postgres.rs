//! Postgres: writers, snapshots, what a read returns, and the log.

use outflow::relay::kept::pieces::{Next, Piece, Pieces};
use outflow::relay::kept::snapshot::Snapshot;

use super::bounds::{Bounds, Fault, KEYS, Mutant, Writers};
use super::state::{Entry, Postgres, Row, State, Status};

/// A slot of each key.
pub(crate) const SLOT: [u32; KEYS] = [0, 63];
/// Streams, by number.
pub(crate) const STREAMS: [&str; KEYS] = ["a", "b"];

impl State {
    /// The writer of a key inserts its next event. It has its key's lock, so its last transaction
    /// has ended.
    pub(crate) fn insert(&mut self, key: u8) -> Option<()> {
        let left = &mut self.left[usize::from(key)];
        if *left == 0 || self.postgres.open_row(key).is_some() {
            return None;
        }
        *left -= 1;
        self.inserted += 1;
        let Postgres { next_id: id, next_xid: xid, .. } = self.postgres;
        self.postgres.rows.push(Row { number: self.inserted, key, id, xid, status: Status::Open });
        self.postgres.next_id += 1;
        self.postgres.next_xid += 1;
        Some(())
    }

    pub(crate) fn commit(&mut self, key: u8, waits: bool, bounds: &Bounds) -> Option<()> {
        if !waits && bounds.writers != Writers::Asynchronous {
            return None;
        }
        let status = if waits { Status::Committed } else { Status::Volatile };
        let at = self.postgres.open_row(key)?;
        let row = &mut self.postgres.rows[at];
        row.status = status;
        self.postgres.ended = self.postgres.ended.max(row.xid);
        if waits {
            self.postgres.flush();
        }
        self.settle_log();
        Some(())
    }

    pub(crate) fn roll_back(&mut self, key: u8) -> Option<()> {
        self.rollbacks = self.rollbacks.checked_sub(1)?;
        let at = self.postgres.open_row(key)?;
        let row = self.postgres.rows.remove(at);
        self.postgres.ended = self.postgres.ended.max(row.xid);
        self.settle_log();
        Some(())
    }

    /// Insert and commit.
    pub(crate) fn write(&mut self, key: u8, bounds: &Bounds) -> Option<()> {
        self.insert(key)?;
        self.commit(key, true, bounds)
    }

    /// Without crashes it does not matter what is on disk.
    fn settle_log(&mut self) {
        if !self.may(Fault::PostgresCrash) {
            self.postgres.flush();
        }
    }

    /// The server stops at once, and starts again. Nobody is connected then.
    pub(crate) fn crash_postgres(&mut self) -> Option<()> {
        self.spend(Fault::PostgresCrash)?;
        self.postgres.crash();
        self.settle_log();
        Some(())
    }
}

impl Postgres {
    fn open_row(&self, key: u8) -> Option<usize> {
        self.rows.iter().position(|row| row.key == key && row.status == Status::Open)
    }

    pub(crate) fn committed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.status != Status::Open)
    }

    /// `pg_current_snapshot()`.
    pub(crate) fn snapshot(&self, bounds: &Bounds) -> Snapshot {
        let xmax = self.ended + 1;
        let open = self.rows.iter().filter(|row| row.status == Status::Open && row.xid < xmax);
        let open = open.map(|row| row.xid);
        let mut open: Vec<u8> =
            if bounds.is(Mutant::OpenIsSeen) { Vec::new() } else { open.collect() };
        open.sort_unstable();
        let xmin = open.first().copied().unwrap_or(xmax);
        let open: Vec<String> = open.iter().map(u8::to_string).collect();
        let text = format!("{xmin}:{xmax}:{}", open.join(","));
        Snapshot::parse(&text).expect("a snapshot")
    }

    /// What the statement of a read returns (`outbox/kept/statements.rs`), and whether it returned
    /// as many rows as it may.
    pub(crate) fn read(
        &self,
        piece: &Piece,
        next: &Next,
        snapshot: &Snapshot,
        bounds: &Bounds,
    ) -> (Vec<Entry>, bool) {
        let own = piece.position.target.as_ref().map(|target| &target.snapshot);
        let target = own.or(next.target.as_ref()).unwrap_or(snapshot);
        let is_wanted = |row: &&Row| {
            let (xid, stream) = (u64::from(row.xid), STREAMS[usize::from(bounds.stream(row.key))]);
            row.status != Status::Open
                && target.sees(xid)
                && !piece.position.seen.sees(xid)
                && i64::from(row.id) > piece.position.mark()
                && piece.slots >> SLOT[usize::from(row.key)] & 1 == 1
                && piece.stream.as_ref().is_none_or(|only| only == stream)
                && !next.except.iter().any(|except| except == stream)
        };
        let mut rows: Vec<Entry> = self
            .rows
            .iter()
            .filter(is_wanted)
            .map(|row| Entry { number: row.number, stream: bounds.stream(row.key), id: row.id })
            .collect();
        rows.sort_unstable_by_key(|row| row.id);
        let full = rows.len() >= bounds.limit;
        rows.truncate(bounds.limit);
        (rows, full)
    }

    /// Whether a crash would leave all that a read sees.
    pub(crate) fn is_durable(&self) -> bool {
        self.flushed + 1 == self.next_xid
            && self.rows.iter().all(|row| row.status != Status::Volatile)
    }

    pub(crate) fn flush(&mut self) {
        self.flushed = self.next_xid - 1;
        for row in self.rows.iter_mut().filter(|row| row.status == Status::Volatile) {
            row.status = Status::Committed;
        }
    }

    /// Numbers that no log has are given out again.
    pub(crate) fn crash(&mut self) {
        self.rows.retain(|row| row.status == Status::Committed);
        self.next_xid = self.flushed + 1;
        self.ended = self.flushed;
        self.seats.clear();
        self.recovery = None;
    }

    /// Whether these pieces have passed a row.
    pub(crate) fn have_passed<'a>(
        mut all: impl Iterator<Item = &'a Pieces>,
        row: Row,
        bounds: &Bounds,
    ) -> bool {
        let stream = STREAMS[usize::from(bounds.stream(row.key))];
        let (slot, xid, id) = (SLOT[usize::from(row.key)], row.xid.into(), row.id.into());
        all.any(|pieces| pieces.have_passed(slot, Some(stream), xid, id))
    }
}
