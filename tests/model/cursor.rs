//! The cursor and its watch list, as in `src/outbox/cursor.rs` (DESIGN §3), with a clock of few ticks and small numbers.

use crate::bounds::{Bounds, Mutant};

/// Below every id.
pub(crate) const BEGINNING: u8 = 0;

/// `pg_current_snapshot()`: `xmax` is one above the latest number that has *ended*, so that `open` does not name what
/// was begun after that.
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
    pub(crate) sent: u8,
    pub(crate) answered: u8,
    pub(crate) snapshot: Snapshot,
    pub(crate) own: u8,
    pub(crate) last: u8,
    pub(crate) full: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Cursor {
    pub(crate) position: u8,
    /// When, and the highest id taken until then.
    highs: Vec<(u8, u8)>,
    /// When the last claim that took rows was sent, and its number.
    looked: Option<(u8, u8)>,
    /// Transaction and floor, by transaction.
    watched: Vec<(u8, u8)>,
    own: Vec<u8>,
}

impl Cursor {
    pub(crate) fn watched(&self) -> &[(u8, u8)] {
        &self.watched
    }

    /// The claim's lower bound in a snapshot: `least($cursor, the floors of the listed that have ended)`, and the floor
    /// of what may have come and gone since the last claim.
    pub(crate) fn bound(&self, snapshot: Snapshot, bounds: &Bounds) -> u8 {
        let unseen = self.unseen(bounds).filter(|(xid, _)| snapshot.xmax > *xid && !bounds.is(Mutant::UnseenIgnored));
        let ended = self.watched.iter().filter(|(xid, _)| snapshot.has_ended(*xid));
        ended.copied().chain(unseen).map(|(_, floor)| floor).fold(self.position, u8::min)
    }

    /// The number above which the last claim could not see, and the floor of what took an id before it.
    pub(crate) fn unseen(&self, bounds: &Bounds) -> Option<(u8, u8)> {
        self.looked.map(|(_, own)| (own + 1, self.floor(bounds.margin())))
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
        let high = self.highs.last().map_or(look.last, |(_, high)| look.last.max(*high));
        self.position = if look.full { look.last } else { high };
        self.looked = Some((look.sent, look.own));
        let dated = if bounds.is(Mutant::DatedWhenSent) { look.sent } else { look.answered };
        self.remember(dated, high, look.sent.checked_sub(bounds.margin()));
    }

    pub(crate) fn rewind_below(&mut self, id: u8) {
        self.position = self.position.min(id.saturating_sub(1));
    }

    fn list_open(&mut self, look: &Look, bounds: &Bounds) {
        let floor = self.floor(bounds.margin());
        for xid in 1..look.own {
            let unnamed = xid >= look.snapshot.xmax;
            let listed = unnamed && !bounds.is(Mutant::NamedOnly) || look.snapshot.open & (1 << xid) != 0;
            if listed && !self.own.contains(&xid) && !self.watched.iter().any(|(known, _)| *known == xid) {
                self.watched.push((xid, floor));
            }
        }
        self.watched.sort_unstable();
    }

    fn floor(&self, margin: u8) -> u8 {
        let Some(since) = self.looked.and_then(|(looked, _)| looked.checked_sub(margin)) else { return BEGINNING };
        self.highs.iter().rev().find(|(at, _)| *at <= since).map_or(BEGINNING, |(_, high)| *high)
    }

    /// Keeps of the highs what [`Cursor::floor`] can still ask for.
    fn remember(&mut self, at: u8, high: u8, since: Option<u8>) {
        match self.highs.last_mut() {
            Some((_, known)) if *known >= high => {}
            // Of one instant only the last can be asked for.
            Some((when, known)) if *when == at => *known = high,
            Some(_) | None => self.highs.push((at, high)),
        }
        let Some(since) = since else { return };
        while self.highs.get(1).is_some_and(|(at, _)| *at <= since) {
            self.highs.remove(0);
        }
    }
}
