//! What a relay is told about its outbox. Whoever reads the configuration has validated it.

use std::time::Duration;

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
    /// Rows in a batch, at most.
    pub batch_rows: usize,
    /// Bytes in a batch, at most, save for a single row that is larger.
    pub batch_bytes: usize,
    /// Batches under way at once.
    pub in_flight: usize,
    /// How soon a row is found that nothing told of.
    pub poll_interval: Duration,
    /// Whether the insert trigger that `outflow migrate` makes wakes a sleeping relay.
    pub notify: bool,
    /// How long a claim may be put off under load, at most; zero: never.
    pub linger: Duration,
    /// How long a stream may refuse its events before they go to the dead letters; `None`: for
    /// ever.
    pub park_max: Option<Duration>,
    /// What becomes of a delivered row.
    pub settle: Settle,
    /// Entries kept in a stream, about; 0 keeps all.
    pub max_len: u64,
    /// Bytes of an event, at most.
    pub event_bytes_max: usize,
    /// Which column holds what.
    pub columns: Columns,
}

/// What becomes of a delivered row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settle {
    /// It is deleted.
    Delete,
    /// This column, null until then, is set to the time.
    Mark(String),
}

/// The columns of an event table. Optional ones are `None` where the table has none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Primary key.
    pub id: String,
    /// Order of the rows; often the primary key.
    pub order: String,
    /// What consumers deduplicate by.
    pub event_id: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What happened.
    pub kind: String,
    /// Payload.
    pub payload: String,
    /// Headers.
    pub headers: Option<String>,
    /// When it happened.
    pub time: Option<String>,
}
