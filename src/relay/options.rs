//! Options of one outbox, already validated.

use std::time::Duration;

use serde::Deserialize;

use super::encode::Format;
use super::route::Template;
use outflow_core::table_name::TableName;

/// One table to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxOptions {
    /// Name in logs and metrics.
    pub name: String,
    /// The table.
    pub table: TableName,
    /// Name of the stream of a row.
    pub stream: Template,
    /// Layout of an entry.
    pub format: Format,
    /// Maximum number of rows per batch.
    pub batch_rows: usize,
    /// Maximum size of a batch in bytes. A single larger row still makes a batch.
    pub batch_bytes: usize,
    /// Maximum number of batches in flight.
    pub in_flight: usize,
    /// Polling interval, used when no notification arrives.
    pub poll_interval: Duration,
    /// Whether the insert trigger that `outflow migrate` creates wakes a sleeping relay.
    pub notify: bool,
    /// Maximum time to wait before the next claim under load. Zero disables the wait.
    pub linger: Duration,
    /// Time after which the events of a parked stream are dead-lettered. `None`: never.
    pub park_max: Option<Duration>,
    /// How a delivered row is settled.
    pub settle: Settle,
    /// What is trimmed from its streams.
    pub trim: Trim,
    /// How many entries a group of `trim.groups` may be behind before claims wait. `None`: any
    /// number.
    pub lag_max: Option<u64>,
    /// Maximum size of an event in bytes. Larger events are dead-lettered.
    pub event_bytes_max: usize,
    /// The column mapping.
    pub columns: Columns,
}

/// What is trimmed from the streams of an outbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trim {
    /// Whether, and by which rule.
    pub when: TrimWhen,
    /// Groups that must exist before anything counts as read. Empty: any group.
    pub groups: Vec<String>,
    /// How long an entry stays although every group has read it.
    pub keep_read: Duration,
    /// How many of the newest entries stay although every group has read them.
    pub keep_read_entries: u64,
    /// Approximate maximum length of a stream, read or not. 0: no limit.
    pub max_len: u64,
    /// Approximate maximum age of an entry, read or not. Zero: no limit.
    pub max_age: Duration,
    /// When a group that does not read is reported. `None`: never.
    pub stale_after: Option<Duration>,
}

/// When entries are trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrimWhen {
    /// Never.
    Never,
    /// Once every consumer group has read and acknowledged them.
    Consumed,
    /// Once a limit is exceeded.
    Length,
}

/// What becomes of a delivered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// Delete the row.
    Delete,
    /// Keep the row for a time; the journal says which rows were delivered.
    Keep(Keep),
}

/// How the rows of an outbox are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keep {
    /// Column with the number of the transaction that inserted the row.
    pub xid: String,
    /// How long a row is kept: from 1 hour to 366 days, in whole seconds.
    pub keep: Duration,
    /// What to do if the journal in Redis is gone.
    pub on_loss: OnLoss,
    /// How `outflow migrate` creates the default table.
    pub layout: KeepLayout,
}

/// What to do if the journal in Redis is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnLoss {
    /// Continue from the copy of the position in Postgres.
    Resume,
    /// Send every row that is kept.
    Resend,
    /// Stop and name the command that decides.
    Stop,
}

/// How the table of a kept outbox is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeepLayout {
    /// A ring of partitions, emptied by TRUNCATE.
    Ring,
    /// One table, from which rows are deleted.
    Plain,
}

/// The columns of an event table. A column that the table does not have is `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Primary key.
    pub id: String,
    /// Order of the rows; often the primary key.
    pub order: String,
    /// Event id, by which consumers deduplicate.
    pub event_id: String,
    /// Ordering key.
    pub key: Option<String>,
    /// Event type.
    pub kind: String,
    /// Payload.
    pub payload: String,
    /// Headers.
    pub headers: Option<String>,
    /// Time of the event.
    pub time: Option<String>,
}
