//! The configuration, validated: every value has its meaning, and nothing here can fail any more.

mod addresses;
mod environment;
mod file;
mod load;
mod problem;
mod show;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::encode::Format;
use crate::route::Template;
use outflow_core::table_name::TableName;
use outflow_service::telemetry::LogFormat;

pub use addresses::{Server, without_address};
pub use load::load;
pub use problem::Problem;
pub use show::show;

/// The documented defaults: the example file itself.
pub const EXAMPLE: &str = include_str!("../config.toml.example");

/// Everything that `outflow` can be told.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of Postgres, with the password if there is one, and with its parameters for TLS.
    pub postgres: SecretString,
    /// Address of Redis, with the password if there is one, and with its parameters for TLS.
    pub redis: SecretString,
    /// How many replicas must have an event before its row is settled.
    pub wait_replicas: usize,
    /// Files that addresses were read from; nobody else can read them.
    pub secret_files: Vec<PathBuf>,
    /// What is allowed, but worth a word.
    pub notices: Vec<Notice>,
    /// Where the probes and metrics are served.
    pub admin_listen: SocketAddr,
    /// A level or a filter.
    pub log_level: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Where spans are exported to; `None`: where the environment says, or nowhere.
    pub tracing_endpoint: Option<String>,
    /// How long a drain may take.
    pub shutdown_grace: Duration,
    /// The tables to drain; at least one, no name and no table twice.
    pub outboxes: Vec<OutboxConfig>,
}

/// Something in the configuration that is allowed, but worth a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// One table to drain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxConfig {
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

/// What the command line may override.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The configuration file; none means defaults and environment alone.
    pub file: Option<PathBuf>,
}
