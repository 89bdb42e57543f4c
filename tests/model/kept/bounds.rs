//! How large a run is, what may go wrong in it, and what is left out on purpose.

/// A configuration: everything that is finite, and at most one mutant.
#[expect(clippy::struct_excessive_bools, reason = "each leaves out one thing by itself")]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Events that the writer of each key commits, in order. A key has half of the slots.
    pub(crate) events: [u8; KEYS],
    pub(crate) writers: Writers,
    /// Rolled back transactions of writers.
    pub(crate) rollbacks: u8,
    /// Whether both keys have one stream, which then has two halves of the slots.
    pub(crate) one_stream: bool,
    /// Rows that a read returns.
    pub(crate) limit: usize,
    /// Relays that may run.
    pub(crate) members: usize,
    /// How many of them have joined when the model begins.
    pub(crate) started: usize,
    /// Batches in flight in each.
    pub(crate) in_flight: usize,
    /// Whether positions are copied to Postgres after a batch, too, and not only by a recovery.
    pub(crate) copies: bool,
    /// Whether the journal learns how far a member has come without rows.
    pub(crate) steps_over: bool,
    /// A Postgres that went back does not say so by another timeline: its files were restored. All
    /// members notice that it was away, and it is older than the last copy that the journal knows.
    pub(crate) unmarked: bool,
    /// How often each fault may happen.
    pub(crate) faults: [u8; Fault::COUNT],
    /// How many faults may happen altogether.
    pub(crate) faults_max: u8,
    /// What is left out.
    pub(crate) mutant: Option<Mutant>,
}

/// Keys, which are halves of the slots.
pub(crate) const KEYS: usize = 2;

/// How rows come into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    /// They are there when the model begins.
    Done,
    /// Each in one step.
    Atomic,
    /// Insert and commit are two steps: rows become visible in any order.
    Overlapping,
    /// The same, and a commit may not wait for the log (`synchronous_commit = off`).
    Asynchronous,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A member ends at once. Its last script may still be on its way.
    Crash,
    /// A member stands still until the servers have ended what it held, and goes on as if nothing
    /// had happened.
    Freeze,
    /// An answer does not come: what was asked for was done, will be done later, or never.
    LostReply,
    /// A stream refuses its events.
    Refusal,
    /// Redis as a whole refuses, and says so.
    Outage,
    /// Redis comes back in an earlier state.
    RedisBack,
    /// Redis comes back empty, and `on_loss` is "resume".
    RedisEmpty,
    /// Postgres stops at once: what was not flushed is gone.
    PostgresCrash,
    /// Postgres comes back in an earlier state.
    PostgresBack,
}

impl Fault {
    pub(crate) const COUNT: usize = 9;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Crash,
        Self::Freeze,
        Self::LostReply,
        Self::Refusal,
        Self::Outage,
        Self::RedisBack,
        Self::RedisEmpty,
        Self::PostgresCrash,
        Self::PostgresBack,
    ];
    /// Those that happen to a member.
    pub(crate) const OF_MEMBERS: [Self; 5] =
        [Self::Crash, Self::Freeze, Self::LostReply, Self::Refusal, Self::Outage];
}

/// A part that is left out, or done as it must not be. Each must be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// An append does not compare generations.
    NoFence,
    /// An append does not ask for the nonce.
    NoNonce,
    /// An append does not ask for the last batch.
    NoLastBatch,
    /// Pieces are installed without a raise before: the journal stays open meanwhile.
    NoRaise,
    /// An installation does not ask whose raise has closed the journal.
    AnyRaise,
    /// A read counts as durable though the log was not flushed.
    NotFlushed,
    /// A read that returned as many rows as it may counts as one that returned all.
    FullIsAll,
    /// A snapshot counts as seeing all below its end, open ones too.
    OpenIsSeen,
    /// The copies are read before the journal is closed.
    EarlyCopy,
    /// When both servers went back: the newer position.
    NewerOfBoth,
    /// When both servers went back: one of the two positions, and not what they have in common.
    OneOfBoth,
    /// It is not known in which Postgres the copies were written.
    NoHistory,
    /// The copy decides though there is a journal.
    CopyOverJournal,
    /// The journal does not know which copies were confirmed.
    NoConfirmedCopy,
    /// A read does not compare timelines.
    AnyTimeline,
    /// A copy is written without comparing timelines.
    CopyAnywhere,
    /// What a stream refused gets no piece of its own.
    NoPiece,
    /// The entries are appended and the position is not moved by the same script, but by the next
    /// one.
    PositionApart,
    /// After a doubt a member goes on without a recovery.
    DoubtIgnored,
}

impl Mutant {
    pub(crate) const ALL: [Self; 19] = [
        Self::NoFence,
        Self::NoNonce,
        Self::NoLastBatch,
        Self::NoRaise,
        Self::AnyRaise,
        Self::NotFlushed,
        Self::FullIsAll,
        Self::OpenIsSeen,
        Self::EarlyCopy,
        Self::NewerOfBoth,
        Self::OneOfBoth,
        Self::NoHistory,
        Self::CopyOverJournal,
        Self::NoConfirmedCopy,
        Self::AnyTimeline,
        Self::CopyAnywhere,
        Self::NoPiece,
        Self::PositionApart,
        Self::DoubtIgnored,
    ];
}

impl Bounds {
    /// One member at work, rows in the table, nothing goes wrong.
    pub(crate) const fn plain() -> Self {
        Self {
            events: [2, 1],
            writers: Writers::Done,
            rollbacks: 0,
            one_stream: false,
            limit: 1,
            members: 1,
            started: 1,
            in_flight: 1,
            copies: false,
            steps_over: false,
            unmarked: false,
            faults: [0; Fault::COUNT],
            faults_max: 0,
            mutant: None,
        }
    }

    /// Each of these faults at most so often, and `max` altogether.
    pub(crate) const fn with(mut self, faults: &[(Fault, u8)], max: u8) -> Self {
        let mut at = 0;
        while at < faults.len() {
            self.faults[faults[at].0 as usize] = faults[at].1;
            at += 1;
        }
        self.faults_max = max;
        self
    }

    /// Each fault of a member at most once, besides those that are allowed already.
    pub(crate) const fn with_members(mut self, max: u8) -> Self {
        let mut at = 0;
        while at < Fault::OF_MEMBERS.len() {
            self.faults[Fault::OF_MEMBERS[at] as usize] = max;
            at += 1;
        }
        self.faults_max = max;
        self
    }

    pub(crate) const fn without(mut self, mutant: Mutant) -> Self {
        self.mutant = Some(mutant);
        self
    }

    pub(crate) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    /// Stream of a key.
    pub(crate) fn stream(&self, key: u8) -> u8 {
        if self.one_stream { 0 } else { key }
    }

    /// Whether insert and commit are steps of their own.
    pub(crate) fn overlaps(&self) -> bool {
        matches!(self.writers, Writers::Overlapping | Writers::Asynchronous)
    }
}
