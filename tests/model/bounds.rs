//! How large a run of the model is, which faults may happen in it, and what is left out of the
//! protocol on purpose.

/// A configuration of the model: everything that is finite, and at most one mutant.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Events that the writer of each key commits, in order. A key is a slot and a stream.
    pub(crate) events: [u8; KEYS],
    pub(crate) writers: Writers,
    /// The second key's writer commits in one step, though the first's does not.
    pub(crate) prompt: bool,
    /// Rolled back transactions of writers.
    pub(crate) rollbacks: u8,
    /// The first event of the second key brings an id along, [`AHEAD`] of the sequence.
    pub(crate) ahead: bool,
    /// Relays that may run.
    pub(crate) members: usize,
    /// How many of them have joined when the model begins.
    pub(crate) started: usize,
    /// Batches in flight in each.
    pub(crate) in_flight: usize,
    /// Rows a claim may take.
    pub(crate) batch_rows: u32,
    pub(crate) claims: Claims,
    /// How often each fault may happen.
    pub(crate) faults: [u8; Fault::COUNT],
    /// How many faults may happen altogether.
    pub(crate) faults_max: u8,
    /// An answer counts only when the replica has what was written (`redis.wait_replicas`).
    pub(crate) waits: bool,
    /// What is left out.
    pub(crate) mutant: Option<Mutant>,
}

/// How far an id of one's own is ahead.
pub(crate) const AHEAD: u8 = 3;

/// Keys, slots and streams: the three are one here.
pub(crate) const KEYS: usize = 2;

/// How rows come into the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Writers {
    /// They are there when the model begins.
    Done,
    /// Each in one step.
    Atomic,
    /// The transaction's number, the id and the commit are steps of their own, in this order: ids
    /// become visible out of order. The table has a proof.
    Numbered,
    /// The same, but an id may be taken long before the transaction has a number.
    Unnumbered,
}

/// How a claim's statements are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Claims {
    /// In one step. No watch list is kept unless writers are late.
    Atomic,
    /// Sent, the generation's snapshot, the delete's snapshot and the taking of the rows are steps
    /// of their own.
    Apart,
}

/// What may go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Fault {
    /// A member ends at once; it may start again as a new incarnation.
    Crash,
    /// A member stands still; what it holds on the servers may be ended meanwhile. It wakes up and
    /// goes on.
    Freeze,
    /// A script's answer does not come: it was run, or is still on its way.
    LostReply,
    /// A commit's answer does not come.
    LostCommit,
    /// The server ends a session: an open claim, a recovery, or a member's seat.
    Kill,
    /// A connection is cut, and the server has not noticed.
    Cut,
    /// A stream refuses its events.
    Refusal,
    /// Redis as a whole refuses, and says so.
    Outage,
    /// A member stops cleanly.
    Leave,
    /// Redis goes on as a replica that lacks the last script. Not one of "any": it loses what it
    /// acknowledged.
    FailOver,
}

impl Fault {
    pub(crate) const COUNT: usize = 10;
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::Crash,
        Self::Freeze,
        Self::LostReply,
        Self::LostCommit,
        Self::Kill,
        Self::Cut,
        Self::Refusal,
        Self::Outage,
        Self::Leave,
        Self::FailOver,
    ];
}

/// A part of the protocol that is left out, or done as it must not be. Each must be found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Mutant {
    /// `append.lua` does not compare generations.
    NoFence,
    /// Recovery settles nothing of what the journal says.
    NoJournal,
    /// Recovery takes the fence lock shared: claims stay open meanwhile.
    SharedRecovery,
    /// Claims do not take the fence lock.
    UnfencedClaim,
    /// Claims do not look at the generation.
    NoGenerationCheck,
    /// The generation is compared by the member when the delete has locked its rows already.
    LateGenerationCheck,
    /// No watch list: `id > last` alone.
    NoWatchList,
    /// The watch list holds what the snapshot names only, not what lies above its `xmax`.
    NamedOnly,
    /// What has come and gone between two claims lowers none.
    UnseenIgnored,
    /// A proof is believed of a table whose ids are taken before the numbers.
    Credulous,
    /// Position and floors follow ids that are ahead of the sequence.
    Unbounded,
    /// A rollback without an answer is taken for done.
    RollbackTrusted,
    /// A row that comes back while in flight is taken again.
    NoInFlightCheck,
    /// Recovery drops the journal's records before its commit is known.
    ForgetEarly,
    /// Appends do not drop the batches that are settled.
    NeverDrop,
    /// A partly appended batch is settled as a whole.
    RefusalIgnored,
    /// A doubt is not followed by a recovery.
    DoubtIgnored,
    /// Batch numbers begin again in the same generation.
    NumbersAgain,
    /// A rollback does not set the cursor back.
    NoRewind,
    /// A member that comes to another generation does not ask for its last batch.
    NotCompared,
    /// A recovery takes the answer to its raise before the replica has it.
    RaiseNotWaitedFor,
}

impl Mutant {
    pub(crate) const ALL: [Self; 21] = [
        Self::NoFence,
        Self::NoJournal,
        Self::SharedRecovery,
        Self::UnfencedClaim,
        Self::NoGenerationCheck,
        Self::LateGenerationCheck,
        Self::NoWatchList,
        Self::NamedOnly,
        Self::UnseenIgnored,
        Self::Credulous,
        Self::Unbounded,
        Self::RollbackTrusted,
        Self::NoInFlightCheck,
        Self::ForgetEarly,
        Self::NeverDrop,
        Self::RefusalIgnored,
        Self::DoubtIgnored,
        Self::NumbersAgain,
        Self::NoRewind,
        Self::NotCompared,
        Self::RaiseNotWaitedFor,
    ];
}

impl Bounds {
    /// One member, rows in the table, nothing goes wrong.
    pub(crate) const fn plain() -> Self {
        Self {
            events: [2, 1],
            writers: Writers::Done,
            prompt: false,
            rollbacks: 0,
            ahead: false,
            members: 1,
            started: 0,
            in_flight: 2,
            batch_rows: 1,
            claims: Claims::Atomic,
            faults: [0; Fault::COUNT],
            faults_max: 0,
            waits: false,
            mutant: None,
        }
    }

    /// These faults, each at most so often, and `max` altogether.
    pub(crate) const fn with(mut self, faults: &[(Fault, u8)], max: u8) -> Self {
        let mut at = 0;
        while at < faults.len() {
            self.faults[faults[at].0 as usize] = faults[at].1;
            at += 1;
        }
        self.faults_max = max;
        self
    }

    /// Any faults, `max` altogether.
    pub(crate) const fn with_any(mut self, max: u8) -> Self {
        self.faults = [max; Fault::COUNT];
        self.faults[Fault::FailOver as usize] = 0;
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

    /// Whether this key's writer takes one step for a transaction, or several; neither if there is
    /// nothing to write.
    pub(crate) fn writes_at_once(&self, key: u8) -> bool {
        self.writers == Writers::Atomic || self.watches() && self.prompt && key == 1
    }

    /// See [`Bounds::writes_at_once`].
    pub(crate) fn writes_in_steps(&self, key: u8) -> bool {
        self.watches() && !self.writes_at_once(key)
    }

    /// Whether ids are drawn after numbers, so that a floor can be told.
    pub(crate) fn is_proven(&self) -> bool {
        self.writers == Writers::Numbered
            || self.writers == Writers::Unnumbered && self.is(Mutant::Credulous)
    }

    /// Whether transaction numbers matter.
    pub(crate) fn watches(&self) -> bool {
        matches!(self.writers, Writers::Numbered | Writers::Unnumbered)
    }
}
