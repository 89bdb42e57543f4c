//! The cursor and its watch list, as in `src/relay/outbox/cursor.rs` (`docs/protocol.md` §9), with
//! small numbers.

use crate::bounds::{Bounds, Mutant};

/// Below every id.
pub(crate) const BEGINNING: u8 = 0;

/// `pg_current_snapshot()`: `xmax` is one above the latest number that has *ended*, so that `open`
/// does not name what was begun after that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) xmax: u8,
    /// One bit a transaction.
    pub(crate) open: u32,
}

impl Snapshot {
    pub(crate) fn has_ended(self, xid: u8) -> bool {
        xid < self.xmax && self.open & (1 << xid) == 0
    }
}

/// What one claim saw.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) snapshot: Snapshot,
    /// What the sequence had handed out before the claim had a number; `None` if the table has no
    /// proof.
    pub(crate) drawn: Option<u8>,
    pub(crate) own: u8,
    pub(crate) last: u8,
    pub(crate) full: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Cursor {
    pub(crate) position: u8,
    /// The highest id taken.
    highest: u8,
    /// The number of the last claim that took rows, and the floor of all above it.
    looked: Option<(u8, u8)>,
    /// Transaction and floor, by transaction.
    watched: Vec<(u8, u8)>,
    own: Vec<u8>,
}

impl Cursor {
    pub(crate) fn watched(&self) -> &[(u8, u8)] {
        &self.watched
    }

    /// The claim's lower bound in a snapshot:
    /// `least($cursor, the floors of the listed that have ended)`, and the floor of what may have
    /// come and gone since the last claim.
    pub(crate) fn bound(&self, snapshot: Snapshot, bounds: &Bounds) -> u8 {
        let unseen = self
            .unseen()
            .filter(|(xid, _)| snapshot.xmax > *xid && !bounds.is(Mutant::UnseenIgnored));
        let ended = self.watched.iter().filter(|(xid, _)| snapshot.has_ended(*xid));
        ended.copied().chain(unseen).map(|(_, floor)| floor).fold(self.position, u8::min)
    }

    /// The number above which the last claim could not see, and the floor of what has come and gone
    /// there.
    pub(crate) fn unseen(&self) -> Option<(u8, u8)> {
        self.looked.map(|(own, floor)| (own + 1, floor))
    }

    /// A claim that took nothing only cleans the list.
    pub(crate) fn looked_in_vain(&mut self, snapshot: Snapshot) {
        self.watched.retain(|(xid, _)| !snapshot.has_ended(*xid));
    }

    pub(crate) fn looked(&mut self, look: &Look, bounds: &Bounds) {
        self.looked_in_vain(look.snapshot);
        if bounds.watches() && !bounds.is(Mutant::NoWatchList) {
            self.own.retain(|xid| !look.snapshot.has_ended(*xid));
            self.list_open(look, bounds);
            self.own.push(look.own);
        }
        self.highest = self.highest.max(look.last);
        let reached = if look.full { look.last - 1 } else { self.highest };
        self.position = reached.min(look.drawn.unwrap_or(u8::MAX));
        self.looked = Some((look.own, look.drawn.unwrap_or(BEGINNING)));
    }

    pub(crate) fn rewind_below(&mut self, id: u8) {
        self.position = self.position.min(id.saturating_sub(1));
    }

    fn list_open(&mut self, look: &Look, bounds: &Bounds) {
        let floor = self.looked.map_or(BEGINNING, |(_, floor)| floor);
        for xid in 1..look.own {
            let unnamed = xid >= look.snapshot.xmax;
            let listed =
                unnamed && !bounds.is(Mutant::NamedOnly) || look.snapshot.open & (1 << xid) != 0;
            if listed
                && !self.own.contains(&xid)
                && !self.watched.iter().any(|(known, _)| *known == xid)
            {
                self.watched.push((xid, floor));
            }
        }
        self.watched.sort_unstable();
    }
}
