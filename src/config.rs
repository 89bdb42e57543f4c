//! The configuration, validated: every value has its meaning, and nothing here can fail any more.

mod addresses;
mod endpoint;
mod environment;
mod file;
mod layers;
mod load;
mod problem;
mod show;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;

use crate::relay::options::OutboxOptions;
use outflow_service::telemetry::LogFormat;

pub use addresses::{Server, without_address};
pub(crate) use endpoint::check_endpoint;
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
    pub outboxes: Vec<OutboxOptions>,
}

/// Something in the configuration that is allowed, but worth a word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// What the command line may override.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The configuration file; none means defaults and environment alone.
    pub file: Option<PathBuf>,
}
