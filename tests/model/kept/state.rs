//! One state of the world: Postgres, Redis, what is on its way, and the members.

use std::sync::Arc;

use outflow::relay::kept::history::History;
use outflow::relay::kept::pieces::{Piece, Pieces};

use super::bounds::{Bounds, Fault, KEYS, Writers};

/// Rows as bits, by their numbers.
pub(crate) type Rows = u16;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    /// Events that each key's writer has still to write.
    pub(crate) left: [u8; KEYS],
    /// The number of the last row that was ever inserted: Postgres may forget it.
    pub(crate) inserted: u8,
    pub(crate) rollbacks: u8,
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    /// From what the servers may come back.
    pub(crate) postgres_saved: Option<Arc<Postgres>>,
    pub(crate) redis_saved: Option<Arc<Redis>>,
    /// Scripts that nobody waits for any more.
    pub(crate) late: Vec<Script>,
    pub(crate) members: Vec<Member>,
    pub(crate) faults: [u8; Fault::COUNT],
    pub(crate) faults_left: u8,
    pub(crate) past: Past,
}

/// What has happened that a property must know.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Past {
    /// How often a server came back in another state. With the generation it makes a nonce.
    pub(crate) returns: u8,
    /// Rows that a copy had passed when there was no position in Redis, and `on_loss` said to go on
    /// from the copy.
    pub(crate) forgotten: Rows,
    /// Rows that may be in a stream twice, because Postgres came back.
    pub(crate) again: Rows,
    /// The generation of the journal when Postgres came back, until the next one.
    pub(crate) unhealed: Option<u8>,
    pub(crate) postgres_back: bool,
    pub(crate) redis_back: bool,
    /// A recovery has concluded that a server went back that did not.
    pub(crate) false_alarm: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Postgres {
    pub(crate) rows: Vec<Row>,
    pub(crate) next_id: u8,
    pub(crate) next_xid: u8,
    /// The highest transaction that has ended.
    pub(crate) ended: u8,
    /// The log is on disk up to the record of this transaction, and all commits are.
    pub(crate) flushed: u8,
    pub(crate) timeline: u8,
    /// `outflow.outbox`; the owner of each half of the slots, 0 before the first share-out.
    pub(crate) generation: u8,
    pub(crate) owners: [u8; KEYS],
    pub(crate) next_number: u8,
    /// `outflow.position`.
    pub(crate) copies: Vec<Copied>,
    pub(crate) history: Option<Arc<History>>,
    /// Numbers of the members that live, ascending, and whose session each is of: a Postgres that
    /// went back gives numbers out again.
    pub(crate) seats: Vec<(u8, usize)>,
    /// The member whose recovery holds the fence lock.
    pub(crate) recovery: Option<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    /// Counted through all that was ever inserted.
    pub(crate) number: u8,
    pub(crate) key: u8,
    pub(crate) id: u8,
    pub(crate) xid: u8,
    pub(crate) status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    Open,
    /// Visible, and lost in a crash.
    Volatile,
    Committed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Copied {
    pub(crate) at: At,
    pub(crate) pieces: Arc<Pieces>,
}

/// A batch of a member and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct At {
    pub(crate) generation: u8,
    pub(crate) member: u8,
    pub(crate) batch: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Redis {
    /// Numbers of rows, in the order in which they were appended.
    pub(crate) streams: [Vec<u8>; KEYS],
    pub(crate) journal: Option<Journal>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Journal {
    pub(crate) generation: u8,
    pub(crate) open: bool,
    /// By whom it was closed.
    pub(crate) raised: Option<Drawn>,
    /// `last:<g>:<member>` of the generation in force: the others are never asked for.
    pub(crate) last: Vec<(u8, u8)>,
    /// `kept:<member>` and `nonce:<member>`.
    pub(crate) kept: Vec<Kept>,
    pub(crate) copied: Vec<At>,
    pub(crate) server: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Kept {
    pub(crate) member: u8,
    pub(crate) nonce: Nonce,
    pub(crate) pieces: Arc<Pieces>,
}

/// Drawn with each installation: the generation, and how often servers had come back by then.
pub(crate) type Nonce = (u8, u8);

/// Drawn with each raise: by whom, and how many faults could still happen. If neither differs, no
/// script of an earlier one is late.
pub(crate) type Drawn = (usize, u8);

/// A script that runs when nobody waits for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Script {
    Append(Append),
    Raise { known: u8, drawn: Drawn },
    Install(Install),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Append {
    pub(crate) at: At,
    pub(crate) previous: u8,
    pub(crate) nonce: Nonce,
    /// The batch whose copy is confirmed, if that is new.
    pub(crate) copied: Option<u8>,
    pub(crate) passage: Arc<Passage>,
}

/// What a batch has, and what it makes of the pieces.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Passage {
    pub(crate) rows: Vec<Entry>,
    /// The other pieces.
    pub(crate) rest: Vec<Piece>,
    /// The piece that was read, before and behind the batch.
    pub(crate) before: Piece,
    pub(crate) after: Piece,
    /// Before the batch, with the target of the read.
    pub(crate) refused: Piece,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Entry {
    pub(crate) number: u8,
    pub(crate) stream: u8,
    pub(crate) id: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Install {
    pub(crate) generation: u8,
    pub(crate) raised: Drawn,
    pub(crate) server: u8,
    /// What `on_loss` leaves out.
    pub(crate) forgets: Rows,
    pub(crate) kept: Vec<Kept>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Appended,
    /// The position has moved, but for what streams refused.
    Refused,
    /// All streams refused: nothing has happened, and only the number of the batch counts.
    Nothing,
    Fenced,
    RolledBack,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Member {
    pub(crate) phase: Phase,
    /// Its number among all incarnations.
    pub(crate) number: u8,
    /// Session.
    pub(crate) generation: u8,
    pub(crate) nonce: Nonce,
    pub(crate) next_batch: u8,
    pub(crate) acknowledged: u8,
    /// The batch whose copy is confirmed, until the journal was told.
    pub(crate) copied: Option<u8>,
    /// The timeline that its position is of.
    pub(crate) timeline: u8,
    /// `reading.rs`: behind the last claim, and behind the last batch that was appended.
    pub(crate) pieces: Arc<Pieces>,
    pub(crate) confirmed: Arc<Pieces>,
    pub(crate) batches: Vec<Batch>,
    /// Streams that are left out, as bits.
    pub(crate) parked: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    pub(crate) number: u8,
    pub(crate) passage: Arc<Passage>,
    pub(crate) after: Arc<Pieces>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) enum Phase {
    #[default]
    Down,
    /// Running, without a generation that it could work in.
    Joining {
        /// The generation that is in doubt.
        doubted: Option<u8>,
    },
    /// Holds the fence, or thinks so.
    Fenced(Fenced),
    Raised(Fenced, Arc<Raised>),
    /// The pieces are installed, and what the copies are to be.
    Installed(Fenced, Arc<Install>, Arc<History>),
    Working,
}

/// What a recovery has read under the fence.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Fenced {
    pub(crate) doubted: Option<u8>,
    pub(crate) known: u8,
    pub(crate) timeline: u8,
    pub(crate) owners: [u8; KEYS],
    /// Read too early ([`super::bounds::Mutant::EarlyCopy`]).
    pub(crate) copies: Option<Vec<Copied>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Raised {
    pub(crate) generation: u8,
    pub(crate) drawn: Drawn,
    pub(crate) pieces: Vec<Arc<Pieces>>,
    pub(crate) copied: Vec<At>,
    pub(crate) server: Option<u8>,
}

impl State {
    pub(crate) fn first(bounds: &Bounds) -> Self {
        let mut state = Self {
            left: bounds.events,
            inserted: 0,
            rollbacks: bounds.rollbacks,
            postgres: Postgres {
                rows: Vec::new(),
                next_id: 1,
                next_xid: 1,
                ended: 0,
                flushed: 0,
                timeline: 1,
                generation: 0,
                owners: [0; KEYS],
                next_number: 1,
                copies: Vec::new(),
                history: None,
                seats: Vec::new(),
                recovery: None,
            },
            redis: Redis::default(),
            postgres_saved: None,
            redis_saved: None,
            late: Vec::new(),
            members: vec![Member::default(); bounds.members],
            faults: bounds.faults,
            faults_left: bounds.faults_max,
            past: Past::default(),
        };
        if bounds.writers == Writers::Done {
            while state.left != [0; KEYS] {
                for key in [0, 1] {
                    let _written = state.write(key, bounds);
                }
            }
        }
        for m in 0..bounds.started {
            state.start_undisturbed(m, bounds);
        }
        state
    }

    /// Whether a member's session holds its seat.
    pub(crate) fn is_seated(&self, m: usize) -> bool {
        self.postgres.seats.contains(&(self.members[m].number, m))
    }

    /// Whether this may still go wrong.
    pub(crate) fn may(&self, fault: Fault) -> bool {
        self.faults_left > 0 && self.faults[fault as usize] > 0
    }

    pub(crate) fn spend(&mut self, fault: Fault) -> Option<()> {
        if !self.may(fault) {
            return None;
        }
        self.faults[fault as usize] -= 1;
        self.faults_left -= 1;
        if !self.may(Fault::RedisBack) {
            self.redis_saved = None;
        }
        if !self.may(Fault::PostgresBack) {
            self.postgres_saved = None;
        }
        if self.faults_left == 0 {
            // What cannot go wrong any more makes no difference.
            self.faults = [0; Fault::COUNT];
        }
        Some(())
    }
}
