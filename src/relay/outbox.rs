//! The Postgres side: claiming rows, settling them, and starting again after a doubt.

mod bounds;
mod claim;
pub mod columns;
mod connections;
mod control;
pub mod cursor;
mod event_table;
mod examine;
mod fence;
mod held;
mod identity;
mod in_flight;
pub mod kept;
mod key;
mod lease;
pub mod left;
mod letter;
pub mod lock;
pub mod lookup;
mod named;
mod naming;
mod one;
mod patience;
pub mod pauses;
mod pg_outbox;
mod privileges;
pub mod proof;
mod recovery;
mod refusal;
pub mod row;
mod row_security;
pub mod schema_version;
mod server;
pub mod servers;
mod session;
mod settle;
pub mod slots;
mod state;
mod statements;
mod sweep;
pub mod table;
mod texts;
mod time;
mod token;
mod trial;
mod turn;
mod types;
mod unsettled;
mod witness;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::relay::encode::Entries;
use crate::relay::event::{Acknowledged, Batch, DeadReason, Raised};
use crate::relay::pause::Pauses;

pub use control::TRY;
pub(crate) use pg_outbox::SESSION;
pub use pg_outbox::{CONNECTIONS_AROUND, CONNECTIONS_BEYOND, PgOutbox};
pub use trial::Trial;

/// Why a step on the Postgres side failed. Whichever it is, what was open is rolled back and
/// recovery follows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboxError {
    /// The session or the server is gone, or refused a statement.
    #[error("Postgres: {0}")]
    Postgres(String),
    /// The server has no room for another session (SQLSTATE 53300, of server, database or role).
    #[error("Postgres: {0}")]
    Full(String),
    /// The server refused a claim: nothing was taken, and nothing is open.
    #[error("Postgres: {0}")]
    Refused(String),
    /// Somebody else has started a new generation.
    #[error("the outbox is at generation {0}, not ours")]
    Stale(i64),
    /// A row that is in flight here was claimed again: one of our claims was rolled back behind our
    /// back.
    #[error("row {0} is in flight already")]
    InFlight(String),
    /// The journal in Redis cannot be used, or has no answer.
    #[error("{0}")]
    Journal(String),
    /// The table is not as it was when it was examined. Whoever drains it must stop, examine it
    /// again, and begin anew.
    #[error("{0}")]
    Changed(String),
}

/// A row that a claim could not take, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetAside {
    /// It went to the dead letters without being read here.
    Dead {
        /// Why.
        reason: DeadReason,
        /// Its event id, or where it was.
        event: String,
        /// Why, in words: the server's, if it said anything.
        words: String,
        /// What could not be kept of it.
        missing: Vec<String>,
    },
    /// It stays where it is, and so do the later events of its key.
    Held {
        /// Its event id.
        event: String,
        /// The server's words.
        words: String,
        /// For how long, until it is tried again.
        pause: Duration,
        /// Whether it was not held back before.
        new: bool,
        /// No other row was granted: it may be all of them.
        alone: bool,
    },
}

/// The first event of a stream.
#[derive(Debug)]
pub enum First<C> {
    /// It was claimed.
    Claimed(C),
    /// It cannot be, and was set aside: [`set_aside`](Outbox::set_aside) tells of it. Others may
    /// follow.
    SetAside,
    /// It cannot be now, or that there is one is not known: somebody may have locked it, or it may
    /// be held back.
    Later,
    /// There is none.
    Nothing,
}

/// What a recovery finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Assignment {
    /// Members with another configuration are at work; this one waits until none of them lives.
    StandBy,
    /// The share-out in force is the right one.
    InForce,
    /// Somebody has come or gone: finishing writes another share-out.
    Changes,
}

/// Where events come from.
///
/// # The contract
/// * [`join`](Outbox::join) before anything else, and again after any error.
/// * [`claim`](Outbox::claim)s are made one at a time. Each opens a transaction that holds its
///   rows; nobody else gets them, and no row of this process is in two claims.
/// * A claim takes rows in the order of the order column; of one key, none that was committed
///   before the claim began and stands before one that is taken is left out (unless somebody else
///   has locked it).
/// * Rows leave the outbox only in [`Claim::settle`]; a claim that is dropped or rolled back leaves
///   them all.
/// * A claim of an older generation than the table's takes nothing.
/// * [`recover`](Outbox::recover) waits until nobody's claim is open, and keeps it so until it is
///   finished or dropped.
pub trait Outbox: Send + Sync {
    /// An open claim.
    type Claim: Claim;
    /// An open recovery.
    type Recovery: Recovery;

    /// Connects and takes a seat, unless this member has one already. Returns its number, new for
    /// each seat.
    ///
    /// # Errors
    /// Postgres cannot be reached.
    fn join(&self) -> impl Future<Output = Result<i32, OutboxError>> + Send;

    /// Returns when something is no longer as the last recovery found it: members came or went,
    /// somebody raised the generation, or the control connection is lost.
    fn changed(&self) -> impl Future<Output = ()> + Send;

    /// What is paused: known since the last [`recover`](Outbox::recover), and followed while
    /// somebody waits in [`changed`](Outbox::changed). Claims heed it only by what they are told
    /// to leave out.
    fn pauses(&self) -> watch::Receiver<Arc<Pauses>>;

    /// Takes the streams that somebody wants tried now, should they be parked. Whoever waits for a
    /// change of [`pauses`](Outbox::pauses) is woken for them.
    fn wanted(&self) -> Vec<String> {
        Vec::new()
    }

    /// Gives the seat up and tells the others, who then share the slots out anew. Nothing may be in
    /// flight.
    fn leave(&self) -> impl Future<Output = ()> + Send;

    /// Looks once, at bounded cost, for rows that no claim will come to, and makes the next claim
    /// come to them. Returns how long to wait before the next time.
    fn sweep(&self, parked: &[String]) -> impl Future<Output = Duration> + Send;

    /// Writes down what the sink has acknowledged to this member, and never more than that.
    ///
    /// # Errors
    /// It is not written down, or that is not known; repeating it is safe.
    fn testify(&self, seen: Acknowledged) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// The last word of a member that stops and has appended nothing.
    ///
    /// # Errors
    /// As [`testify`](Outbox::testify).
    fn testify_last(
        &self,
        seen: Acknowledged,
    ) -> impl Future<Output = Result<(), OutboxError>> + Send {
        let _ = seen;
        std::future::ready(Ok(()))
    }

    /// Claims the next rows; `None` when there are none, or when rows were set aside instead: then
    /// [`set_aside`](Outbox::set_aside) tells of them, and there may be more. `parked` streams are
    /// left out.
    ///
    /// # Errors
    /// See [`OutboxError`]; nothing was taken.
    fn claim(
        &self,
        parked: &[String],
    ) -> impl Future<Output = Result<Option<Self::Claim>, OutboxError>> + Send;

    /// Claims one event of this stream, the first that there is, whatever the cursor has passed.
    ///
    /// # Errors
    /// As [`claim`](Outbox::claim).
    fn claim_of(
        &self,
        stream: &str,
    ) -> impl Future<Output = Result<First<Self::Claim>, OutboxError>> + Send;

    /// The rows that claims have set aside since this was last asked.
    fn set_aside(&self) -> Vec<SetAside> {
        Vec::new()
    }

    /// Whether rows are held back now.
    fn holds_back(&self) -> bool {
        false
    }

    /// Starts a recovery: no claim is open from here until it ends.
    ///
    /// # Errors
    /// See [`OutboxError`]; repeating it is safe.
    fn recover(&self) -> impl Future<Output = Result<Self::Recovery, OutboxError>> + Send;

    /// Why the table must be examined again, once a step has failed with [`OutboxError::Changed`]:
    /// nothing is to be done here any more but to [`leave`](Outbox::leave).
    fn outdated(&self) -> Option<String> {
        None
    }

    /// Looks at every row again, for example when a stream is no longer parked.
    fn rewind(&self);

    /// Whether what the sink has lost is still here, so that a recovery sends it again.
    fn heals(&self) -> bool {
        false
    }

    /// Falls asleep if no writer is between its insert and its commit. `true`: from here on each
    /// commit of a writer wakes this member; whoever committed before is seen by a claim made now.
    /// Asleep already, it forgets the wake-ups so far, at no cost.
    ///
    /// # Errors
    /// The control connection is lost.
    fn fall_asleep(&self) -> impl Future<Output = Result<bool, OutboxError>> + Send;

    /// Waits until something may have been inserted, at most `limit`.
    fn woken(&self, limit: Duration) -> impl Future<Output = Woken> + Send;

    /// Ends the sleep, if there is one: writers no longer notify.
    ///
    /// # Errors
    /// The control connection is lost.
    fn get_up(&self) -> impl Future<Output = Result<(), OutboxError>> + Send;
}

/// What ended a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Woken {
    /// A writer notified.
    Notified,
    /// The time is over.
    Elapsed,
    /// The control connection is lost.
    Disconnected,
}

/// Rows that are held by an open transaction.
pub trait Claim: Send {
    /// The rows.
    fn batch(&self) -> &Batch;

    /// Whether it took as many as it was allowed to, so that more may be waiting.
    fn is_full(&self) -> bool;

    /// What must be known before anything passes these rows; nothing, where rows leave the outbox
    /// only when they are settled. Called in the order of the claims, when those in front were
    /// appended. Returns what it has set aside that has no entry and no event in the batch.
    ///
    /// # Errors
    /// The batch must not be appended.
    fn before_append(
        &mut self,
        entries: &Entries,
    ) -> impl Future<Output = Result<Vec<SetAside>, OutboxError>> + Send {
        let _ = entries;
        std::future::ready(Ok(Vec::new()))
    }

    /// Takes the rows out of the outbox, for good: all were appended, save the dead ones, which go
    /// to the dead letters in the same transaction.
    ///
    /// # Errors
    /// The outcome is unknown: the rows may be gone or not.
    fn settle(self, entries: &Entries) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// Nothing of it was appended, for certain; it is rolled back next.
    fn was_not_appended(&mut self) {}

    /// Leaves the rows where they are, to be claimed again.
    ///
    /// # Errors
    /// It has no answer: the claim may still be open, and hides its rows from other claims, which
    /// must not take what follows them.
    fn roll_back(self) -> impl Future<Output = Result<(), OutboxError>> + Send;
}

/// A moment in which nobody's claim is open.
pub trait Recovery: Send {
    /// The generation that the table knows.
    fn generation(&self) -> i64;

    /// Which Postgres this is, by system identifier and timeline; empty if it does not say.
    fn server(&self) -> &str;

    /// What it found.
    fn assignment(&self) -> Assignment;

    /// How many slots this member owns in the share-out that is right.
    fn slots_owned(&self) -> usize;

    /// Whether it owns the first one, and so does what one member does for all.
    fn leads(&self) -> bool;

    /// What Redis has acknowledged to any member, gone or not, as far as it was written down, and
    /// since the last loss that was told.
    fn acknowledged(&self) -> &[Acknowledged];

    /// The generation that began with the last loss that was told; 0: none.
    fn loss(&self) -> i64;

    /// Ends without a new generation: this member works in the one in force from here on.
    ///
    /// # Errors
    /// Postgres is lost.
    fn adopt(self) -> impl Future<Output = Result<(), OutboxError>> + Send;

    /// Settles the rows that the journal says were appended, where they still are, and writes the
    /// new generation with the share-out that is right. `lost`: it begins with a loss that was
    /// told. What was written down of generations before `oldest` is forgotten. Returns how many
    /// rows there were.
    ///
    /// # Errors
    /// The outcome is unknown; another recovery must follow.
    fn finish(
        self,
        raised: &Raised,
        lost: bool,
        oldest: i64,
    ) -> impl Future<Output = Result<u64, OutboxError>> + Send;
}
