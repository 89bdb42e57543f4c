//! The sink side: appends batches, and reports in a recovery what was appended.

pub(super) mod ask;
mod journal;
mod keys;
pub mod needs;
pub mod redis_version;
mod streams;
pub mod upkeep;
pub(super) mod wire;
pub mod written;

use std::future::Future;

use crate::relay::encode::Entries;
use crate::relay::event::Batch;

pub use crate::relay::event::{KeptRaised, Raised};
pub use keys::journal_key;
pub use streams::RedisSink;

/// Number of generations for which the journal keeps each member's last batch number.
pub const GENERATIONS_KEPT: i64 = 16;

/// Which batch this is: what the fence and the journal compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The generation this member works in.
    pub generation: i64,
    /// The member's number.
    pub member: i32,
    /// Number of this batch, counted up by the member.
    pub batch: u64,
    /// Number of the batch this member appended before it in this generation; 0 for the first.
    pub previous: u64,
    /// Number of the journal's record for it: a new one, or one whose rows are settled and which is
    /// written over.
    pub record: u64,
}

/// A stream that did not take its events, for a reason of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Name of the stream.
    pub stream: String,
    /// Redis's own words.
    pub message: String,
}

/// Why a batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Nothing was appended, for certain: the sink as a whole is down, full or read-only.
    #[error("{0}")]
    Unavailable(String),
    /// Nothing was appended: every stream refused its first event. The position counts as taken.
    #[error("every stream refused")]
    Refused(Vec<Refusal>),
    /// Nothing was appended: the journal has a newer generation.
    #[error("fenced: the journal is at generation {0}")]
    Fenced(i64),
    /// Nothing was appended: Redis does not know what it acknowledged before.
    #[error("Redis lost acknowledged data: {0}")]
    RolledBack(String),
    /// It may have been appended, or not, or may still be.
    #[error("{0}")]
    Unknown(String),
}

/// Where events go.
///
/// # The contract
/// * [`append`](Sink::append) is atomic against every other call on the same journal. After `Ok`,
///   and after `Unknown`, the journal holds exactly the rows that were appended until their record
///   is used again or forgotten. After any other error nothing was appended.
/// * The journal never holds more records of a member and generation than that member has used,
///   whatever is refused.
/// * Entries of one stream are appended in their order; behind the first one that is refused, none
///   is.
/// * A position of another generation than the journal's appends nothing.
/// * [`raise`](Sink::raise) makes every earlier position stale, at once, also for calls that are
///   still on their way.
/// * The caller never repeats an append: after `Unknown` it raises the generation and asks what was
///   appended.
pub trait Sink: Send + Sync {
    /// Appends a batch. The rows of an older batch in the same record are gone from Postgres.
    /// Returns the streams that refused.
    fn append(
        &self,
        position: Position,
        batch: &Batch,
        entries: &Entries,
    ) -> impl Future<Output = Result<Vec<Refusal>, AppendError>> + Send;

    /// Whether an append at this position, whose batch is the last one that was appended, would be
    /// let through: all that an append does except for the entries. Without an answer it is no
    /// doubt: it changes nothing, however late it comes.
    ///
    /// # Errors
    /// As [`Sink::append`].
    fn is_ready(&self, position: Position) -> impl Future<Output = Result<(), AppendError>> + Send;

    /// Whether it answers at all.
    ///
    /// # Errors
    /// Why it does not.
    fn answers(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Starts a new generation, above both `known` (Postgres's) and the journal's. `server`: which
    /// Postgres that is; empty if it is not known.
    ///
    /// # Errors
    /// Why it could not; repeating it is safe.
    fn raise(
        &self,
        known: i64,
        server: &str,
    ) -> impl Future<Output = Result<Raised, String>> + Send;

    /// Number of the last batch that a member appended in a generation, as far as the journal
    /// knows; 0: of none. `None` if the journal keeps no numbers of that generation any more.
    ///
    /// # Errors
    /// Why it could not be asked.
    fn last_batch(
        &self,
        generation: i64,
        member: i32,
    ) -> impl Future<Output = Result<Option<u64>, String>> + Send;

    /// Drops the records of older generations and these ones, whose rows are settled. If a batch
    /// was appended after `at`, which may be in one of them, it drops none of these, however late
    /// it comes.
    ///
    /// # Errors
    /// Why it did not; the records stay, and do no harm.
    fn forget(
        &self,
        at: Position,
        records: &[u64],
    ) -> impl Future<Output = Result<(), String>> + Send;
}
