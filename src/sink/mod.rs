//! The sink side: appending a batch exactly once, and telling afterwards what was appended.

mod journal;
mod streams;

use std::future::Future;

use crate::encode::Entries;
use crate::event::{AppendedRow, Batch};

pub use streams::{RedisSink, journal_key};

/// For so many generations a member can still ask for the number of its last batch.
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
    /// Nothing was appended: somebody has raised the generation.
    #[error("fenced: the journal is at generation {0}")]
    Fenced(i64),
    /// Nothing was appended: Redis does not know what it acknowledged before.
    #[error("Redis lost acknowledged data: {0}")]
    RolledBack(String),
    /// It may have been appended, or not, or may still be.
    #[error("{0}")]
    Unknown(String),
}

/// What a new generation starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Raised {
    /// The new generation.
    pub generation: i64,
    /// The journal's generation before; `None` if there was no journal.
    pub previous: Option<i64>,
    /// Every row that was appended and may not be settled.
    pub appended: Vec<AppendedRow>,
}

/// Where events go.
///
/// # The contract
/// * [`append`](Sink::append) is atomic against every other call on the same journal. After `Ok`, and after
///   `Unknown`, the journal holds exactly the rows that were appended until they are passed to `settled`.
///   After any other error nothing was appended.
/// * Entries of one stream are appended in their order; behind the first one that is refused, none is.
/// * A position of another generation than the journal's appends nothing.
/// * [`raise`](Sink::raise) makes every earlier position stale, at once, also for calls that are still on their way.
/// * The caller never repeats an append: after `Unknown` it raises the generation and asks what was appended.
pub trait Sink: Send + Sync {
    /// Appends a batch. `settled` are batches of this member and generation whose rows are gone from Postgres: their
    /// records are dropped on the way. Returns the streams that refused.
    fn append(
        &self,
        position: Position,
        settled: &[u64],
        batch: &Batch,
        entries: &Entries,
    ) -> impl Future<Output = Result<Vec<Refusal>, AppendError>> + Send;

    /// Whether it answers at all.
    ///
    /// # Errors
    /// Why it does not.
    fn answers(&self) -> impl Future<Output = Result<(), String>> + Send;

    /// Starts a new generation, above both `known` (Postgres's) and the journal's.
    ///
    /// # Errors
    /// Why it could not; repeating it is safe.
    fn raise(&self, known: i64) -> impl Future<Output = Result<Raised, String>> + Send;

    /// Number of the last batch that a member appended in one of the last [`GENERATIONS_KEPT`] generations, as far as the
    /// journal knows; 0: of none.
    ///
    /// # Errors
    /// Why it could not be asked.
    fn last_batch(&self, generation: i64, member: i32) -> impl Future<Output = Result<u64, String>> + Send;

    /// Drops the records of older generations and of these settled batches.
    ///
    /// # Errors
    /// Why it could not; the records stay, and do no harm.
    fn forget(&self, generation: i64, member: i32, settled: &[u64]) -> impl Future<Output = Result<(), String>> + Send;
}
