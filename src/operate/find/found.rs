//! What a search has found, for commands and pages alike.

use jiff::Timestamp;
use serde::Serialize;

/// The answer to one question.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// When it was asked.
    pub at: Timestamp,
    /// The events, newest first.
    pub events: Vec<FoundEvent>,
    /// Whether there are more events than the limit let through.
    pub has_more: bool,
    /// Whether everything was looked at. If not, an event that is missing here may exist.
    pub is_complete: bool,
    /// Why Postgres was not asked: rows and dead letters of the relay are unknown.
    pub postgres_problem: Option<String>,
    /// Why Redis was not asked: entries and consumer groups are unknown.
    pub redis_problem: Option<String>,
    /// What was looked at in Postgres, one for each outbox.
    pub tables: Vec<TableLook>,
    /// What was looked at in Redis, one for each stream.
    pub streams: Vec<StreamLook>,
}

/// An event, wherever it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundEvent {
    /// Where it is, in one word.
    pub state: EventState,
    /// The outbox that it comes from; several: any of those that write its stream.
    pub outboxes: Vec<String>,
    /// Its id; unknown if only an entry was found whose format has none.
    pub event_id: Option<String>,
    /// Its ordering key.
    pub key: Option<String>,
    /// What happened.
    #[serde(rename = "type")]
    pub kind: Option<String>,
    /// When it happened, as it says itself.
    pub time: Option<String>,
    /// The id of its trace.
    pub trace_id: Option<String>,
    /// Its rows: one, unless ids repeat.
    pub rows: Vec<FoundRow>,
    /// Its entries: one, unless it was sent again.
    pub entries: Vec<FoundEntry>,
    /// Dead letters of the relay.
    pub dead_letters: Vec<FoundLetter>,
    /// Dead letters of consumers, also of those whose entry is gone.
    pub consumer_dead_letters: Vec<ConsumerLetter>,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventState {
    /// In the table, not sent.
    Waiting,
    /// In a stream, or it was there.
    Sent,
    /// Among the dead letters of the relay.
    Dead,
    /// It was a dead letter of a kept outbox, which somebody has retried or discarded.
    Retired,
}

/// A row of an event table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundRow {
    /// The outbox.
    pub outbox: String,
    /// Its table.
    pub table: String,
    /// Primary key as text.
    pub row: String,
    /// The stream that it goes to; null: it names none.
    pub stream: Option<String>,
    /// The slot of its key.
    pub slot: i32,
    /// Whether it waits to be sent. A kept row stays when it was sent.
    pub waits: bool,
    /// What it waits for.
    pub behind: Option<Behind>,
    /// The time of the event, if that is a plausible moment.
    #[serde(skip)]
    pub time: Option<Timestamp>,
}

/// What a row waits for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Behind {
    /// Rows before it; null: unknown.
    pub rows: Option<i64>,
    /// Of them, those of its key.
    pub of_key: Option<i64>,
    /// Of them, those of its stream.
    pub of_stream: Option<i64>,
    /// Whether there are more than were counted.
    pub is_capped: bool,
    /// What holds it up, as far as that is known.
    pub causes: Vec<String>,
}

/// An entry of a stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundEntry {
    /// The stream.
    pub stream: String,
    /// Its id there.
    pub id: String,
    /// When Redis appended it, by Redis's clock.
    pub appended_at: Option<Timestamp>,
    /// What each consumer group has done with it.
    pub groups: Vec<GroupOf>,
    /// What could not be found out, and what to do about it.
    pub problems: Vec<String>,
}

/// A consumer group and an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GroupOf {
    /// The group.
    pub group: String,
    /// What it has done with the entry.
    #[serde(flatten)]
    pub did: Did,
}

/// What a group has done with an entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Did {
    /// Nothing yet: the entry comes behind the last one that the group was given.
    NotDelivered,
    /// A consumer was given it and has not acknowledged it.
    Pending {
        /// The consumer.
        consumer: String,
        /// Milliseconds since it was given to that one.
        idle_ms: i64,
        /// How often it was delivered.
        deliveries: i64,
    },
    /// It gave up: the event is in its dead-letter stream.
    Dead {
        /// How often it was attempted.
        attempts: Option<i64>,
        /// What went wrong.
        error: Option<String>,
    },
    /// Acknowledged; or never the group's to handle, because it began behind the entry or reads
    /// without acknowledging. Redis keeps no record of which.
    NotPending,
    /// Redis does not tell.
    Unknown,
}

/// A dead letter of the relay.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FoundLetter {
    /// Its number, for `outflow dead`.
    pub id: i64,
    /// Its outbox.
    pub outbox: String,
    /// Why it died.
    pub reason: String,
    /// Why, in words.
    pub detail: Option<String>,
    /// The stream that it was meant for.
    pub stream: Option<String>,
    /// When it died.
    pub died_at: Timestamp,
    /// When somebody retried or discarded it; it counts no longer. Only of kept outboxes.
    pub retired_at: Option<Timestamp>,
}

/// A dead letter of a consumer group.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConsumerLetter {
    /// The dead-letter stream.
    pub stream: String,
    /// Its id there, for `outflow stream dead`.
    pub id: String,
    /// The stream that the entry came from.
    pub from_stream: Option<String>,
    /// The entry's id there.
    pub entry_id: Option<String>,
    /// The group that gave up.
    pub group: Option<String>,
    /// How often it was attempted.
    pub attempts: Option<i64>,
    /// What went wrong.
    pub error: Option<String>,
}

/// What was looked at of an outbox in Postgres.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct TableLook {
    /// The outbox.
    pub outbox: String,
    /// Its table.
    pub table: String,
    /// Whether an index led to the rows; null: they were not looked at.
    pub by_index: Option<bool>,
    /// Whether every row was looked at, or an index says that there are no others.
    pub is_complete: bool,
    /// Only rows from this time on were looked at.
    pub since: Option<Timestamp>,
    /// What is not as exact as it could be.
    pub notes: Vec<String>,
    /// What could not be found out, and what to do about it.
    pub problems: Vec<String>,
}

/// What was looked at of a stream.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StreamLook {
    /// The stream, or a template if its streams could not be listed.
    pub stream: String,
    /// Entries that were looked at, the newest ones.
    pub looked_at: u64,
    /// Its entries; null: unknown.
    pub entries: Option<i64>,
    /// The oldest entry that was looked at.
    pub back_to: Option<Timestamp>,
    /// Whether all of it was looked at.
    pub is_complete: bool,
    /// Why not.
    pub problem: Option<String>,
}
