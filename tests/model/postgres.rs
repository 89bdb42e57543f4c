//! What Postgres does: snapshots, row locks, the fence lock, transactions that end by their client,
//! or by the server.

use crate::cursor::Snapshot;
use crate::state::{Life, Postgres, Row, Rows, Status, Transaction, ids};

impl Postgres {
    pub(crate) fn row(&self, id: u8) -> Row {
        self.table[usize::from(id) - 1]
    }

    pub(crate) fn set_status(&mut self, id: u8, status: Status) {
        self.table[usize::from(id) - 1].status = status;
    }

    /// The next id of the sequence.
    pub(crate) fn insert(&mut self, key: u8, event: u8, status: Status) -> u8 {
        // One that is taken already: that insert failed, and this is the next.
        while self
            .table
            .get(usize::from(self.sequence))
            .is_some_and(|row| row.status != Status::Unused)
        {
            self.sequence += 1;
        }
        self.sequence += 1;
        self.insert_at(self.sequence, Row { key, event, status });
        self.sequence
    }

    pub(crate) fn insert_at(&mut self, id: u8, row: Row) {
        assert!(u32::from(id) < Rows::BITS, "more ids than bits: smaller bounds, please");
        while self.table.len() < usize::from(id) {
            self.table.push(Row { key: 0, event: 0, status: Status::Unused });
        }
        self.table[usize::from(id) - 1] = row;
    }

    pub(crate) fn begin(&mut self) -> u8 {
        let xid = self.next_xid;
        assert!(u32::from(xid) < u32::BITS, "more transactions than bits: smaller bounds, please");
        self.next_xid += 1;
        xid
    }

    /// Transaction 0 has no number.
    pub(crate) fn end(&mut self, xid: u8) {
        if xid != 0 {
            self.ended |= 1 << xid;
        }
    }

    /// `xmax` is one above the latest that has ended: what was begun after that is not named.
    pub(crate) fn snapshot(&self) -> Snapshot {
        let xmax = u8::try_from((u32::BITS - self.ended.leading_zeros()).max(1)).unwrap_or(u8::MAX);
        let open = (1..xmax)
            .filter(|xid| self.ended & (1 << xid) == 0)
            .fold(0, |open, xid| open | 1 << xid);
        Snapshot { xmax, open }
    }

    /// Committed rows that are not deleted by a committed transaction, above `bound` and of these
    /// slots.
    pub(crate) fn visible(&self, bound: u8, slots: u8) -> Rows {
        let rows = (1..).zip(&self.table).filter(|(id, row)| {
            *id > u32::from(bound) && row.status == Status::Committed && slots & (1 << row.key) != 0
        });
        rows.fold(0, |rows, (id, _)| rows | 1 << id)
    }

    pub(crate) fn locked(&self) -> Rows {
        self.claims
            .iter()
            .flatten()
            .filter(|claim| claim.life == Life::Open)
            .fold(0, |rows, claim| rows | claim.rows)
    }

    /// `order by … limit … for update skip locked`: what is deleted meanwhile is left out too.
    pub(crate) fn take(&self, visible: Rows, limit: u32) -> Rows {
        let free = visible & !self.locked();
        let mut left = limit;
        ids(free).filter(|id| self.row(*id).status == Status::Committed).fold(0, |taken, id| {
            if left == 0 {
                return taken;
            }
            left -= 1;
            taken | 1 << id
        })
    }

    /// Whether a claim holds the fence lock shared.
    pub(crate) fn has_open_claim(&self) -> bool {
        self.claims.iter().flatten().any(|claim| claim.life == Life::Open)
    }

    pub(crate) fn open_claim(&mut self, member: usize, rows: Rows, xid: u8) -> usize {
        let claim = Transaction {
            member,
            rows,
            xid,
            life: Life::Open,
            committing: false,
            cut: false,
            orphan: false,
        };
        let place = self.claims.iter().position(Option::is_none).unwrap_or(self.claims.len());
        if place == self.claims.len() {
            self.claims.push(None);
        }
        self.claims[place] = Some(claim);
        place
    }

    pub(crate) fn claim(&mut self, place: usize) -> Option<&mut Transaction> {
        self.claims.get_mut(place)?.as_mut()
    }

    /// The server ends an open claim: commits or rolls back.
    pub(crate) fn end_claim(&mut self, place: usize, life: Life) -> Option<()> {
        let claim = self.claim(place)?;
        if claim.life != Life::Open {
            return None;
        }
        let (rows, xid, orphan) = (claim.rows, claim.xid, claim.orphan);
        // What has ended holds nothing; how it ended is all that its client will learn.
        (claim.life, claim.rows, claim.xid, claim.committing) = (life, 0, 0, false);
        if life == Life::Committed {
            for id in ids(rows) {
                self.set_status(id, Status::Deleted);
            }
        }
        self.end(xid);
        if orphan {
            self.free(place);
        }
        Some(())
    }

    /// The client is done with it, and the server knows how it ended.
    pub(crate) fn free(&mut self, place: usize) {
        self.claims[place] = None;
        while self.claims.last().is_some_and(Option::is_none) {
            self.claims.pop();
        }
    }

    /// The client has gone away without an answer. The server will notice, unless a COMMIT comes
    /// first.
    pub(crate) fn abandon(&mut self, place: usize) {
        if let Some(claim) = self.claim(place) {
            claim.orphan = true;
            if claim.life != Life::Open {
                self.free(place);
            }
        }
    }
}
