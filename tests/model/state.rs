//! One state of the world: writers, Postgres, Redis, what is on its way, and the members.

use crate::bounds::{Bounds, Fault, KEYS, Writers};
use crate::cursor::{Cursor, Snapshot};
use crate::failover::FailOver;

/// Rows as bits, the row of id n being bit n; id 0 is none.
pub(crate) type Rows = u16;
/// Batches of a member and generation as bits, counted from 1.
pub(crate) type Batches = u16;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) writers: [Writer; KEYS],
    pub(crate) postgres: Postgres,
    pub(crate) redis: Redis,
    /// Scripts that nobody waits for any more.
    pub(crate) late: Vec<Script>,
    pub(crate) members: Vec<Member>,
    /// What may still go wrong.
    pub(crate) rollbacks: u8,
    pub(crate) faults: [u8; Fault::COUNT],
    pub(crate) faults_left: u8,
    pub(crate) fail_over: FailOver,
}

/// The application's writer of one key: one transaction after another, as `docs/protocol.md` §9
/// asks of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) struct Writer {
    pub(crate) committed: u8,
    /// Its open transaction's row; 0 if it has none.
    pub(crate) id: u8,
    /// Its open transaction's number; 0 if it has none.
    pub(crate) xid: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Postgres {
    /// Row n is at n - 1.
    pub(crate) table: Vec<Row>,
    /// The last id that was drawn.
    pub(crate) sequence: u8,
    pub(crate) next_xid: u8,
    /// Transactions that have ended, as bits.
    pub(crate) ended: u32,
    /// `outflow.outbox`.
    pub(crate) generation: u8,
    /// The members that the slots are shared out among, by number, ascending.
    pub(crate) share: Vec<u8>,
    /// Session locks of the members' control connections, by number, ascending.
    pub(crate) seats: Vec<u8>,
    pub(crate) next_number: u8,
    /// Open claims; `None` is a free place.
    pub(crate) claims: Vec<Option<Transaction>>,
    /// The member whose recovery holds the fence lock exclusively.
    pub(crate) recovery: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Row {
    pub(crate) key: u8,
    /// Which event of its key, from 1.
    pub(crate) event: u8,
    pub(crate) status: Status,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Status {
    /// Nobody has drawn its id yet.
    Unused,
    /// Its id is taken; nobody else sees it.
    Pending,
    Committed,
    /// Its insert was rolled back.
    Void,
    /// It was committed, and its delete as well.
    Deleted,
}

/// A claim's transaction as Postgres sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Transaction {
    pub(crate) member: usize,
    pub(crate) rows: Rows,
    pub(crate) xid: u8,
    pub(crate) life: Life,
    /// COMMIT is on its way.
    pub(crate) committing: bool,
    /// The client's end is gone, which the server does not know.
    pub(crate) cut: bool,
    /// Nobody waits for its end: the client has gone away.
    pub(crate) orphan: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Life {
    Open,
    Committed,
    /// Rolled back by the server, with its session.
    Killed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Redis {
    /// Ids in the order in which they were appended.
    pub(crate) streams: [Vec<u8>; KEYS],
    pub(crate) generation: u8,
    /// `last:<g>:<member>` of the generation in force.
    pub(crate) last: Vec<(u8, u8)>,
    /// Those of older ones, with their generations: asked for after a fail-over only, and kept
    /// where one may happen.
    pub(crate) older: Vec<(u8, u8, u8)>,
    /// `batch:<g>:<member>:<n>`.
    pub(crate) records: Vec<Record>,
    /// Raised since older records were dropped (asked by a property only).
    pub(crate) raised_since_forgotten: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Record {
    pub(crate) generation: u8,
    pub(crate) number: u8,
    pub(crate) batch: u8,
    pub(crate) rows: Rows,
}

/// A script on its way to Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Script {
    Append(Append),
    Raise { known: u8 },
    Forget { generation: u8 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Append {
    pub(crate) generation: u8,
    pub(crate) number: u8,
    pub(crate) batch: u8,
    pub(crate) previous: u8,
    pub(crate) settled: Batches,
    pub(crate) rows: Rows,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    Appended,
    /// This stream refused.
    Refused(u8),
    Fenced,
    RolledBack,
    Unavailable,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Member {
    /// Its number among all incarnations; 0 before it first joins.
    pub(crate) number: u8,
    /// Generation, number and last batch of the session that it left (kept where a fail-over may
    /// happen).
    pub(crate) left: (u8, u8, u8),
    pub(crate) phase: Phase,
    pub(crate) frozen: bool,
    /// Session (`relay/session.rs`).
    pub(crate) generation: u8,
    pub(crate) slots: u8,
    pub(crate) next_batch: u8,
    pub(crate) last_appended: u8,
    pub(crate) settled: Batches,
    /// Drain (`relay/session.rs`): claims made and not yet done with, in order.
    pub(crate) batches: Vec<Batch>,
    pub(crate) trouble: Option<Trouble>,
    /// The gates' breaks: batches behind do not append, or do not settle.
    pub(crate) appends_broken: bool,
    pub(crate) settles_broken: bool,
    /// `outbox/source.rs`.
    pub(crate) cursor: Cursor,
    pub(crate) look_again: Option<u8>,
    /// Parked streams, as bits.
    pub(crate) parked: u8,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum Phase {
    /// Not running.
    #[default]
    Down,
    /// Stopped cleanly, for good.
    Left,
    /// Running, without a generation that it could work in.
    Joining {
        /// Whether something may have been appended that is not settled.
        doubt: bool,
    },
    /// Holds the fence exclusively, or thinks so.
    Fenced {
        known: u8,
    },
    Raised {
        generation: u8,
        appended: Rows,
    },
    /// The recovery is committed; the journal's old records are to be dropped.
    Forgetting,
    Working,
}

/// `relay/trouble.rs`, and a stop for another share-out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Trouble {
    Unavailable,
    /// Postgres knows another generation.
    Stale,
    Doubt,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Batch {
    /// Place of its transaction in [`Postgres::claims`].
    pub(crate) claim: usize,
    pub(crate) number: u8,
    pub(crate) rows: Rows,
    pub(crate) stage: Stage,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// The claim is sent (`docs/protocol.md` §4).
    Asking,
    /// Its generation statement has run (step 3).
    Checked {
        drawn: Option<u8>,
        snapshot: Snapshot,
    },
    /// Its delete has its snapshot: what it sees above its bound.
    Looking {
        drawn: Option<u8>,
        snapshot: Snapshot,
        visible: Rows,
    },
    /// The delete has locked rows that the member will not want (only with a late generation
    /// check).
    Unwanted,
    Claimed,
    Sent {
        previous: u8,
        settled: Batches,
    },
    Answered {
        reply: Reply,
        settled: Batches,
    },
    Appended,
    Committing,
}

impl State {
    pub(crate) fn first(bounds: &Bounds) -> Self {
        let mut state = Self {
            writers: [Writer::default(); KEYS],
            postgres: Postgres {
                table: Vec::new(),
                sequence: 0,
                next_xid: 1,
                ended: 0,
                generation: 0,
                share: Vec::new(),
                seats: Vec::new(),
                next_number: 1,
                claims: Vec::new(),
                recovery: None,
            },
            redis: Redis::default(),
            late: Vec::new(),
            members: vec![Member::default(); bounds.members],
            rollbacks: bounds.rollbacks,
            faults: bounds.faults,
            faults_left: bounds.faults_max,
            fail_over: FailOver::default(),
        };
        if bounds.writers == Writers::Done {
            let most = bounds.events.into_iter().max().unwrap_or_default();
            for event in 1..=most {
                for (key, events) in (0..).zip(bounds.events) {
                    if event <= events {
                        state.postgres.insert(key, event, Status::Committed);
                        state.writers[usize::from(key)].committed += 1;
                    }
                }
            }
        }
        for m in 0..bounds.started {
            state.start_undisturbed(m, bounds);
        }
        state
    }

    /// Uses up a fault, if it may still happen.
    pub(crate) fn spend(&mut self, fault: Fault) -> Option<()> {
        self.faults_left = self.faults_left.checked_sub(1)?;
        let left = &mut self.faults[fault as usize];
        *left = left.checked_sub(1)?;
        // What cannot happen any more is the same in every state.
        if self.faults_left == 0 {
            self.faults = [0; Fault::COUNT];
        }
        Some(())
    }

    pub(crate) fn may(&self, fault: Fault) -> bool {
        self.faults_left > 0 && self.faults[fault as usize] > 0
    }

    /// Everything committed is in its stream and settled, and nobody is busy.
    pub(crate) fn is_delivered(&self, bounds: &Bounds) -> bool {
        self.writers
            .iter()
            .zip(bounds.events)
            .all(|(writer, events)| writer.committed == events && writer.id == 0)
            && self
                .postgres
                .table
                .iter()
                .all(|row| matches!(row.status, Status::Deleted | Status::Void | Status::Unused))
            && self.members.iter().all(|member| member.batches.is_empty())
    }
}

/// The ids of a set, ascending.
pub(crate) fn ids(rows: Rows) -> impl Iterator<Item = u8> {
    (1..Rows::BITS)
        .filter(move |id| rows & (1 << id) != 0)
        .map(|id| u8::try_from(id).unwrap_or_default())
}

pub(crate) fn lowest(rows: Rows) -> Option<u8> {
    ids(rows).next()
}
