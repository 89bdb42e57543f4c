//! The configuration, parsed and validated. A [`Config`] cannot fail later because of a bad value.

mod addresses;
mod console;
mod endpoint;
mod environment;
mod example;
mod file;
mod keep;
mod layers;
mod load;
mod percent;
mod problem;
mod show;
mod trim;
mod validate;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::relay::options::OutboxOptions;
use crate::relay::outbox::servers::Servers;
use outflow_connect::{postgres, redis};
use outflow_service::telemetry::LogFormat;

pub use addresses::{Server, without_address};
pub use console::{Certificate, Console, ProxyHeader, Role, Token};
pub(crate) use endpoint::check_endpoint;
pub use example::EXAMPLE;
pub use load::load;
pub use problem::Problem;
pub use show::show;

/// The effective configuration.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where Postgres is and how it is reached. Sessions are called `outflow`, unless the address
    /// has another name for them.
    pub postgres: postgres::Server,
    /// The way around a transaction pooler at `postgres`, for sessions that must stay the same.
    /// `None`: there is no such pooler.
    pub control: Option<postgres::Server>,
    /// Where Redis is and how it is reached.
    pub redis: redis::Server,
    /// Number of replicas that must confirm a batch (`WAIT`) before its rows are settled.
    pub wait_replicas: usize,
    /// When to stop claiming because Redis has little memory left. `None`: never.
    pub memory: Option<MemoryLimits>,
    /// Files that addresses were read from. They are not world-readable.
    pub secret_files: Vec<PathBuf>,
    /// Settings that are allowed but deserve a warning.
    pub notices: Vec<Notice>,
    /// Where the probes and metrics are served.
    pub admin_listen: SocketAddr,
    /// The console in the browser.
    pub console: Console,
    /// Log level or filter directives.
    pub log_level: String,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Collector that spans are exported to. `None`: the one that the environment names, if any.
    pub tracing_endpoint: Option<String>,
    /// Maximum time for a drain.
    pub shutdown_grace: Duration,
    /// The tables to drain; at least one, no name and no table twice.
    pub outboxes: Vec<OutboxOptions>,
}

impl Config {
    /// Where the sessions of a relay lead.
    pub fn servers(&self) -> Servers<'_> {
        Servers { work: &self.postgres, control: self.control.as_ref() }
    }
}

/// Parts of `maxmemory`, in percent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLimits {
    /// From here on nothing is claimed.
    pub pause: u8,
    /// Below this, claiming goes on.
    pub resume: u8,
}

/// A setting that is allowed but deserves a warning.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// What was found.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

/// Where the configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Source {
    /// The configuration file. `None`: only the defaults and the environment.
    pub file: Option<PathBuf>,
}
