//! Where to start looking, without ever overtaking: the cursor and its watch list. Pure.
//!
//! A row is unsent as long as it exists. The cursor only avoids rescanning rows that were already
//! claimed. `id > last` alone loses rows and breaks the order of a key, because ids commit out of
//! order. No clock is asked here: every rule below follows from what Postgres has numbered.
//!
//! # The watch list
//! Let C be a claim that took rows, with the transaction number X and a snapshot that is not
//! younger than the one that selected its rows. A row that C did not see belongs to a transaction T
//! of one of two sorts:
//!
//! * T's number is below X, and T had not ended in the snapshot. C *lists* every such T with a
//!   floor. The first claim whose snapshot has T as ended starts no higher than T's floor.
//! * T's number is above X. If T is still open at the next claim, that claim lists it. If T came
//!   and went in between, the next claim's snapshot shows that some number above X has ended, and
//!   it starts no higher than the floor of what C could not know ([`Cursor::unseen`]).
//!
//! Either way T is first seen after some claim P that took rows, whose number T's number is above:
//! the claim before C, or C itself. What is left is the floor: all rows of T that are not taken yet
//! must be above it.
//!
//! # The floor
//! **On a table with a [`Proof`]** the floor is L(P), the last value that the sequence of the order
//! column had handed out when P asked, before P had its own number. The proof is that ids of the
//! table come from that sequence alone (`generated always as identity`), that the sequence only
//! goes up and no session hoards its values, and that `outflow migrate`'s trigger gives a
//! transaction its number before the first default of its insert is evaluated. So: L(P) was read,
//! then P got its number, then T got its number (a higher one), then T drew its ids. They are above
//! L(P). It does not matter how long T takes for any of it.
//!
//! **On any other table** (serial columns, ids allocated in an earlier statement, several nodes'
//! ranges, partitions, no trigger …) nothing is known of when an id was drawn, and the floor is
//! [`BEGINNING`]. Order holds there as well. It costs a walk over the dead rows at the front of the
//! index whenever some transaction has ended since the last claim; `outflow check` says why a table
//! has no proof, and what gives it one.
//!
//! The position follows the same rule: what C did not see and did not list is above L(C), so the
//! position may be anything up to L(C). One row with a far higher id (an import, another node's
//! range) never pulls it higher.
//!
//! # What may change
//! The catalog yields a token of what the proof rests on: it changes with every `alter`,
//! `disable trigger`, `restart`, and with the grants. All of these wait for the writers of the
//! table to end, or make them wait. Hence a claim whose snapshot shows the new token also shows
//! every row that was written under the old one. The claim compares the token, and that the
//! sequence has not gone back, in the snapshot that selects the rows; on a difference it starts at
//! the beginning. The member then forgets what it knew ([`Cursor::looked`]).
//!
//! What cannot be seen: `setval` back *and* forward beyond where the sequence was, between two
//! claims, and ids that somebody forces (`overriding system value`, COPY with the column). Such
//! rows are found by the sweep, which takes them as evidence against the proof (evidence.rs).

mod evidence;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use evidence::Evidence;

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
        let _xmin = parts.next()?;
        let xmax = parts.next()?.parse().ok()?;
        let open = parts.next()?;
        let open = open
            .split(',')
            .filter(|id| !id.is_empty())
            .map(|id| id.parse().ok())
            .collect::<Option<Vec<_>>>()?;
        Some(Self { xmax, open })
    }

    fn has_ended(&self, xid: u64) -> bool {
        xid < self.xmax && !self.open.contains(&xid)
    }
}

/// That transactions draw their ids after they have their number, and ever higher ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// What the catalog says. It differs whenever anything that the proof rests on was changed,
    /// even if it was changed back.
    pub token: String,
    /// The last value that the sequence has handed out; [`BEGINNING`] if it has handed out none.
    pub drawn: i64,
}

/// What one claim saw.
#[derive(Debug, Clone)]
pub struct Look {
    /// A snapshot that is not younger than the one the rows were selected with.
    pub snapshot: Snapshot,
    /// Read in the claim's transaction before it had a number; `None` if the table has no proof.
    pub proof: Option<Proof>,
    /// The claim's own transaction, if it has a number: it has one whenever it took a row.
    pub own: Option<u64>,
    /// Order value of the last row it took.
    pub last: Option<i64>,
    /// Whether it took as many rows as it was allowed to, so that more may follow.
    pub full: bool,
}

/// The last claim that took rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Looked {
    own: u64,
    /// Floor of every transaction with a higher number.
    floor: i64,
}

/// The cursor of one member of one outbox.
#[derive(Debug)]
pub struct Cursor {
    /// Rows up to here were taken or listed; claims look above it.
    position: i64,
    /// The highest order value ever taken.
    highest: i64,
    looked: Option<Looked>,
    /// Transactions that may be open, with their floors.
    watched: BTreeMap<u64, i64>,
    /// This member's own claims that may be open: their ends would send every claim back. What
    /// becomes of their rows is known here without watching.
    own: Vec<u64>,
    /// What floors and position rest on.
    proof: Option<Proof>,
    /// What speaks against the proof.
    evidence: Evidence,
    /// A row was found that the proof excludes.
    distrusts: bool,
}

impl Default for Cursor {
    fn default() -> Self {
        Self {
            position: BEGINNING,
            highest: BEGINNING,
            looked: None,
            watched: BTreeMap::new(),
            own: Vec::new(),
            proof: None,
            evidence: Evidence::default(),
            distrusts: false,
        }
    }
}

impl Cursor {
    /// Where the next claim starts, unless a listed transaction has ended or the proof has changed.
    pub fn position(&self) -> i64 {
        self.position
    }

    /// The listed transactions and their floors. The claim computes its lower bound from them in
    /// its own snapshot.
    pub fn watched(&self) -> impl Iterator<Item = (u64, i64)> {
        self.watched.iter().map(|(xid, floor)| (*xid, *floor))
    }

    /// The number above which the last claim could not see, and the floor of what may have come and
    /// gone there since: a claim whose snapshot has that number or a higher one as ended starts no
    /// higher than this.
    pub fn unseen(&self) -> Option<(u64, i64)> {
        self.looked.map(|Looked { own, floor }| (own + 1, floor))
    }

    /// What the next claim must find unchanged, and its sequence not below, or else start at the
    /// beginning. `None` if nothing rests on it.
    pub fn proof(&self) -> Option<&Proof> {
        self.proof.as_ref()
    }

    /// How many transactions are listed.
    pub fn watched_len(&self) -> usize {
        self.watched.len()
    }

    /// Takes note of a claim.
    pub fn looked(&mut self, look: &Look) {
        let proof = look.proof.as_ref().filter(|_| !self.distrusts);
        // Whatever the claim found of the proof, it did not start higher.
        let all = self.position == BEGINNING;
        let holds = self.holds(proof);
        let suspect = self
            .evidence
            .take()
            .filter(|order| holds && proof.is_some() && !self.comes_to(*order, &look.snapshot));
        if suspect.is_some() {
            self.distrust();
            // The claim itself did not start at the beginning.
            self.own.extend(look.own);
            return;
        }
        if !holds {
            self.forget();
        }
        self.proof = proof.cloned();
        // The claim's snapshot is not older than this one, so it was lowered by all that had ended
        // here.
        self.watched.retain(|xid, _| !look.snapshot.has_ended(*xid));
        let (Some(own), Some(last)) = (look.own, look.last) else { return };
        self.own.retain(|xid| !look.snapshot.has_ended(*xid));
        self.list_open(&look.snapshot, own);
        self.own.push(own);
        self.highest = self.highest.max(last);
        if all || holds {
            // After a short claim nothing is left below the highest; after a full one there may be,
            // and rows that have the last one's order value too, where these are not unique.
            let reached = if look.full { last.saturating_sub(1) } else { self.highest };
            self.position = proof.map_or(reached, |proof| reached.min(proof.drawn));
        }
        let floor = proof.map_or(BEGINNING, |proof| proof.drawn);
        self.looked = Some(Looked { own, floor });
        self.evidence.note(own, floor);
    }

    /// Goes back so that the row of this order value is looked at again: a claim was rolled back,
    /// or a sweep found one.
    pub fn rewind_below(&mut self, order: i64) {
        self.position = self.position.min(order.saturating_sub(1));
    }

    /// Begins anew, as after a recovery: the server may be another one, with older numbers and ids.
    pub fn start_over(&mut self) {
        *self = Self { distrusts: self.distrusts, ..Self::default() };
    }

    /// Whether a row that a sweep found seems to contradict the proof: its transaction was numbered
    /// after a claim, and yet its id was drawn before. `xmin` is its transaction's number without
    /// the epoch. It may also be a savepoint's, which gets its number later, or the sequence went
    /// back: the next claim knows ([`Cursor::suspect`]).
    pub fn contradicts(&self, order: i64, xmin: u32) -> bool {
        self.proof.is_some() && self.evidence.contradicts(order, xmin)
    }

    /// Convicts the row of this order value unless the next claim would have come to it by itself.
    pub fn suspect(&mut self, order: i64) {
        self.evidence.suspect(order);
    }

    /// Whether the proof was contradicted.
    pub fn distrusts(&self) -> bool {
        self.distrusts
    }

    /// Does without the proof from here on.
    fn distrust(&mut self) {
        self.start_over();
        self.distrusts = true;
    }

    fn holds(&self, proof: Option<&Proof>) -> bool {
        match (&self.proof, proof) {
            (None, None) => true,
            (Some(known), Some(proof)) => known.token == proof.token && known.drawn <= proof.drawn,
            (None, Some(_)) | (Some(_), None) => false,
        }
    }

    /// Nothing of what was known rests on anything now.
    fn forget(&mut self) {
        self.position = BEGINNING;
        self.highest = BEGINNING;
        self.looked = None;
        self.watched.clear();
        self.evidence.clear();
    }

    /// Whether a claim with this snapshot comes to a row behind the position, for what has ended.
    fn comes_to(&self, order: i64, snapshot: &Snapshot) -> bool {
        let listed =
            self.watched.iter().any(|(xid, floor)| *floor < order && snapshot.has_ended(*xid));
        listed
            || self
                .looked
                .is_some_and(|looked| looked.floor < order && snapshot.xmax > looked.own + 1)
    }

    /// Lists every transaction that may be open below `own`: the open ones, and all from `xmax` up,
    /// which the snapshot does not name.
    fn list_open(&mut self, snapshot: &Snapshot, own: u64) {
        let floor = self.looked.map_or(BEGINNING, |looked| looked.floor);
        let unnamed = snapshot.xmax..own;
        for xid in snapshot.open.iter().copied().chain(unnamed).filter(|xid| *xid < own) {
            if !self.own.contains(&xid) {
                self.watched.entry(xid).or_insert(floor);
            }
        }
    }
}
