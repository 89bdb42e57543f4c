//! Where to start looking, without ever overtaking: the cursor and its watch list. Pure.
//!
//! A row's existence is the truth; the cursor only spares the walk over what was taken before. `id > last` alone loses
//! rows and breaks the order of a key, because ids commit out of order. So every transaction that may still be open when
//! a claim looks is *listed*, with a floor below all ids that it can have taken; once it has ended, it lowers the next
//! claim to its floor, and leaves the list. One that has begun *and* ended between two claims was never open in any of
//! them; if it took its ids before the first and its number after, it is below the cursor all the same. So a claim that
//! finds numbers above those of the last one looks a little further back ([`Cursor::unseen`]).

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// A transaction takes its ids a moment before it has a number: how long that moment may last. What takes longer (or
/// took its ids from a cache) is found by the sweep.
pub const ID_BEFORE_XID: Duration = Duration::from_millis(100);

/// Below every order value.
pub const BEGINNING: i64 = i64::MIN;

/// Which transactions had ended when a claim looked: what `pg_current_snapshot()` prints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The first number that was not yet assigned, or not known to have ended.
    xmax: u64,
    /// Those below `xmax` that were open.
    open: Vec<u64>,
}

impl Snapshot {
    /// Parses `xmin:xmax:xip,xip`.
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let (_xmin, xmax, open) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?);
        let open = open.split(',').filter(|id| !id.is_empty()).map(|id| id.parse().ok()).collect::<Option<Vec<_>>>()?;
        Some(Self { xmax, open })
    }

    fn has_ended(&self, xid: u64) -> bool {
        xid < self.xmax && !self.open.contains(&xid)
    }
}

/// What one claim saw.
#[derive(Debug, Clone)]
pub struct Look {
    /// When the claim was sent.
    pub at: Instant,
    /// When its rows were here.
    pub answered: Instant,
    /// A snapshot that is not younger than the one the rows were selected with.
    pub snapshot: Snapshot,
    /// The claim's own transaction, if it has a number: it has one whenever it took a row.
    pub own: Option<u64>,
    /// Order value of the last row it took.
    pub last: Option<i64>,
    /// Whether it took as many rows as it was allowed to, so that more may follow.
    pub full: bool,
}

/// The cursor of one member of one outbox.
#[derive(Debug)]
pub struct Cursor {
    /// Rows up to here were taken; claims look above it.
    position: i64,
    /// The highest order value ever taken, and when: one entry for each change that may still matter.
    highs: VecDeque<(Instant, i64)>,
    /// When the last claim that took rows was sent, and its number.
    looked: Option<(Instant, u64)>,
    /// Transactions that may be open, with their floors.
    watched: BTreeMap<u64, i64>,
    /// This member's own claims that may be open: their ends would send every claim back. What becomes of their rows is
    /// known here without watching.
    own: Vec<u64>,
}

impl Default for Cursor {
    fn default() -> Self {
        Self { position: BEGINNING, highs: VecDeque::new(), looked: None, watched: BTreeMap::new(), own: Vec::new() }
    }
}

impl Cursor {
    /// Where the next claim starts, unless a listed transaction has ended.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The listed transactions and their floors. The claim computes its lower bound from them in its own snapshot.
    pub fn watched(&self) -> impl Iterator<Item = (u64, i64)> {
        self.watched.iter().map(|(xid, floor)| (*xid, *floor))
    }

    /// The number above which the last claim could not see, and the floor of what may have come and gone there since: a
    /// claim whose snapshot has that number or a higher one as ended starts no higher than this.
    pub fn unseen(&self) -> Option<(u64, i64)> {
        self.looked.map(|(_, own)| (own + 1, self.floor()))
    }

    /// How many transactions are listed.
    pub fn watched_len(&self) -> usize {
        self.watched.len()
    }

    /// Takes note of a claim.
    pub fn looked(&mut self, look: &Look) {
        // The claim's snapshot is not older than this one, so it was lowered by all that had ended here.
        self.watched.retain(|xid, _| !look.snapshot.has_ended(*xid));
        let (Some(own), Some(last)) = (look.own, look.last) else { return };
        self.own.retain(|xid| !look.snapshot.has_ended(*xid));
        self.list_open(&look.snapshot, own);
        self.own.push(own);
        let high = self.highs.back().map_or(last, |(_, high)| last.max(*high));
        // After a short claim nothing is left below the highest; after a full one there may be.
        self.position = if look.full { last } else { high };
        self.looked = Some((look.at, own));
        self.remember(look.answered, high, look.at);
    }

    /// Goes back so that the row of this order value is looked at again: a claim was rolled back, or a sweep found one.
    pub fn rewind_below(&mut self, order: i64) {
        self.position = self.position.min(order.saturating_sub(1));
    }

    /// Goes back to the beginning.
    pub fn rewind_all(&mut self) {
        self.position = BEGINNING;
    }

    /// Lists every transaction that may be open below `own`: the open ones, and all from `xmax` up, which the snapshot
    /// does not name.
    fn list_open(&mut self, snapshot: &Snapshot, own: u64) {
        let floor = self.floor();
        let unnamed = snapshot.xmax..own;
        for xid in snapshot.open.iter().copied().chain(unnamed).filter(|xid| *xid < own) {
            if !self.own.contains(&xid) {
                self.watched.entry(xid).or_insert(floor);
            }
        }
    }

    /// A transaction that is first seen now had no number when the last claim looked. Its ids are younger than that
    /// claim less the moment between id and number, hence above all that was taken before then.
    fn floor(&self) -> i64 {
        let looked = self.looked.and_then(|(looked, _)| looked.checked_sub(ID_BEFORE_XID));
        let Some(since) = looked else { return BEGINNING };
        self.highs.iter().rev().find(|(at, _)| *at <= since).map_or(BEGINNING, |(_, high)| *high)
    }

    /// Keeps of the highs what [`Cursor::floor`] can still ask for. A high is dated by its claim's answer: a claim that
    /// waits, for a recovery, may take ids that are younger than its question.
    fn remember(&mut self, answered: Instant, high: i64, sent: Instant) {
        if self.highs.back().is_none_or(|(_, known)| *known < high) {
            self.highs.push_back((answered, high));
        }
        let Some(since) = sent.checked_sub(ID_BEFORE_XID) else { return };
        while self.highs.get(1).is_some_and(|(at, _)| *at <= since) {
            self.highs.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(text: &str) -> Snapshot {
        Snapshot::parse(text).expect("a snapshot")
    }

    fn look(at: Instant, shown: &str, own: u64, last: i64, full: bool) -> Look {
        Look { at, answered: at, snapshot: snapshot(shown), own: Some(own), last: Some(last), full }
    }

    #[test]
    fn snapshots_parse() {
        assert_eq!(snapshot("10:20:10,14"), Snapshot { xmax: 20, open: vec![10, 14] });
        assert_eq!(snapshot("10:10:"), Snapshot { xmax: 10, open: vec![] });
        for text in ["", "1", "1:2", "1:x:", "1:2:y"] {
            assert_eq!(Snapshot::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_full_claim_moves_to_its_last_row_and_a_short_one_to_the_highest() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        cursor.looked(&look(start, "1:5:", 5, 100, true));
        assert_eq!(cursor.position(), 100);
        cursor.rewind_below(51);
        assert_eq!(cursor.position(), 50);
        cursor.looked(&look(start, "1:6:", 6, 70, true));
        assert_eq!(cursor.position(), 70);
        cursor.looked(&look(start, "1:7:", 7, 71, false));
        assert_eq!(cursor.position(), 100);
    }

    /// The overtaking case: K's id 1 is open while 2 and 3 are taken; it commits, and K's next event is 4.
    #[test]
    fn a_late_commit_lowers_the_next_claim_and_leaves_the_list() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        cursor.looked(&look(start, "7:9:7", 9, 3, false));
        assert_eq!(cursor.watched().collect::<Vec<_>>(), [(7, BEGINNING)], "7 is open, and was when nothing was taken");
        assert_eq!(cursor.position(), 3);
        // It has ended: this claim was lowered in its own snapshot, took 1 and 4, and the list is clean.
        cursor.looked(&look(start, "10:10:", 10, 4, false));
        assert_eq!(cursor.watched_len(), 0);
        assert_eq!(cursor.position(), 4);
    }

    #[test]
    fn transactions_above_the_snapshot_are_listed_up_to_the_claims_own() {
        let mut cursor = Cursor::default();
        cursor.looked(&look(Instant::now(), "20:20:", 23, 5, false));
        assert_eq!(cursor.watched().map(|(xid, _)| xid).collect::<Vec<_>>(), [20, 21, 22]);
    }

    #[test]
    fn own_open_claims_are_left_out() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        cursor.looked(&look(start, "20:20:", 20, 5, true));
        cursor.looked(&look(start, "20:20:", 21, 9, true));
        cursor.looked(&look(start, "20:22:20", 22, 12, true));
        assert_eq!(cursor.watched_len(), 0, "20 and 21 are claims of ours");
        cursor.looked(&look(start, "22:23:22", 24, 15, true));
        assert_eq!(cursor.watched().map(|(xid, _)| xid).collect::<Vec<_>>(), [23], "22 is ours, 23 is not");
    }

    /// The floor is what was taken before the *last* claim, less the moment between id and number, however long ago.
    #[test]
    fn floors_reach_back_behind_the_last_claim() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        cursor.looked(&look(ms(0), "1:5:", 5, 10, false));
        cursor.looked(&look(ms(1_000), "1:6:", 6, 20, false));
        cursor.looked(&look(ms(1_050), "1:7:", 7, 30, false));
        // First seen now: it had no number at 1,050, so its ids are younger than 950, when 10 was the highest.
        cursor.looked(&look(ms(9_000), "8:10:8", 10, 40, false));
        assert_eq!(cursor.watched().collect::<Vec<_>>(), [(8, 10), (9, 10)][..1]);
        // The next one: it had no number at 9,000, so its ids are above 30.
        cursor.looked(&look(ms(9_001), "8:12:8,11", 13, 41, false));
        assert_eq!(cursor.watched().collect::<Vec<_>>(), [(8, 10), (11, 30), (12, 30)]);
    }

    /// A claim that was sent at 0 waited until 2,000, and took an id from 1,990.
    #[test]
    fn highs_are_dated_by_the_answer() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        let ms = |ms| start + Duration::from_millis(ms);
        cursor.looked(&Look { answered: ms(2_000), ..look(ms(0), "1:5:", 5, 10, false) });
        cursor.looked(&look(ms(2_050), "1:6:", 6, 20, false));
        // First seen now: its ids are younger than 1,950, and 10 may be younger still.
        cursor.looked(&look(ms(2_060), "7:9:7", 9, 30, false));
        assert_eq!(cursor.watched().collect::<Vec<_>>(), [(7, BEGINNING)]);
    }

    #[test]
    fn history_does_not_grow() {
        let mut cursor = Cursor::default();
        let start = Instant::now();
        for n in 0..10_000_u32 {
            let at = start + Duration::from_millis(u64::from(n) * 10);
            let xid = u64::from(n) + 1;
            cursor.looked(&look(at, &format!("{xid}:{xid}:"), xid, i64::from(n), false));
        }
        assert!(cursor.highs.len() <= 13, "{}", cursor.highs.len());
        assert_eq!((cursor.watched_len(), cursor.own.len()), (0, 1));
    }

    #[test]
    fn an_empty_claim_moves_nothing_but_cleans_the_list() {
        let mut cursor = Cursor::default();
        cursor.looked(&look(Instant::now(), "7:9:7", 9, 3, false));
        let now = Instant::now();
        let empty = Look { at: now, answered: now, snapshot: snapshot("9:9:"), own: None, last: None, full: false };
        cursor.looked(&empty);
        assert_eq!((cursor.position(), cursor.watched_len()), (3, 0));
    }
}
