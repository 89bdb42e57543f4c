//! The only place that wires things together: configuration in, one relay for each outbox out.

mod leftovers;
mod outbox;
mod reload;
mod supervisor;
mod watch;

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::admin::{self, Admin};
use crate::config::{Config, Source};
use crate::metrics::Metrics;
use crate::notify;
use crate::relay::Mode;
use crate::roster::Roster;
use crate::spans::Exporter;
use crate::summary;
use outflow_connect::postgres;
use outflow_service::telemetry::Log;
use supervisor::Supervisor;

/// How long a session may take to begin, with TLS and password, once there is a connection.
const SESSION_LIMIT: Duration = Duration::from_secs(5);

/// Why the daemon could not do its work; each has an exit code of its own.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaemonError {
    /// The configuration, the table or a privilege must be mended first: exit 78.
    #[error("{0}")]
    Configuration(String),
    /// A server cannot be reached: exit 69. Only `--once` gives up on that.
    #[error("{0}")]
    Unavailable(String),
    /// What was in flight could not be settled in time: exit 1.
    #[error("{0}")]
    Failed(String),
}

/// Relays every configured outbox until `stop`, or until they are empty. On each of `hangups` the
/// configuration is read again from `source`.
///
/// # Errors
/// See [`DaemonError`]. An outage is no error: it is waited out.
pub async fn run(
    start: Start,
    stop: CancellationToken,
    hangups: mpsc::Receiver<()>,
) -> Result<(), DaemonError> {
    let metrics = Metrics::new().map_err(|error| DaemonError::Failed(error.to_string()))?;
    let counted = start.log.count_dropped("outflow_log_lines_dropped_total", metrics.registry());
    counted.map_err(|error| DaemonError::Failed(error.to_string()))?;
    let (roster, closed, mut background) =
        (Roster::default(), CancellationToken::new(), JoinSet::new());
    let listen = start.config.admin_listen;
    let listener = match start.mode {
        Mode::Daemon => Some(admin::bind(listen).await.map_err(DaemonError::Failed)?),
        Mode::Once => None,
    };
    let exporter = Exporter::start(&start.config).map_err(DaemonError::Configuration)?;
    let mut supervisor =
        Supervisor::new(start, metrics.clone(), exporter.clone(), roster.clone(), stop.clone());
    if let Some(listener) = listener {
        tracing::info!(address = %listen, "admin endpoint");
        background.spawn(notify::keep(roster.clone(), stop.clone()));
        background.spawn(summary::keep(roster.clone()));
        let shown = Admin { metrics, roster, started: Instant::now(), stop: stop.clone() };
        background.spawn(admin::serve(listener, shown, closed.clone()));
    }
    let outcome = Box::pin(supervisor.run(hangups)).await;
    notify::stopping().await;
    closed.cancel();
    background.abort_all();
    if let Some(exporter) = exporter {
        exporter.finish().await;
    }
    outcome
}

/// What a daemon starts with.
pub struct Start {
    /// The configuration.
    pub config: Config,
    /// Where it is read from again.
    pub source: Source,
    /// When to stop.
    pub mode: Mode,
    /// The log, whose level a reload may change.
    pub log: Log,
}

/// Why there is no connection.
pub enum ConnectError {
    /// The server answered, and nothing changes until somebody mends it: wrong password, no such
    /// database.
    Refused(String),
    /// The server answered, and takes no writes: a standby, or a database that is read-only for
    /// this role.
    ReadOnly(String),
    /// TLS did not come about, or not as it was asked for.
    Insecure(String),
    /// Nobody answered, or the server is starting up.
    Unreachable(String),
}

impl ConnectError {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason)
            | Self::ReadOnly(reason)
            | Self::Insecure(reason)
            | Self::Unreachable(reason) => reason,
        }
    }
}

/// One connection for a look at the catalog or a migration.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(server: &postgres::Server) -> Result<Client, ConnectError> {
    // tokio-postgres's own limit ends with the TCP connection: somebody who takes it and says
    // nothing would be waited for.
    let limit = server.connect_timeout() + SESSION_LIMIT;
    let (client, connection) = match tokio::time::timeout(limit, server.connect()).await {
        Ok(Ok(opened)) => opened,
        Ok(Err(error)) => return Err(why(server, &error).await),
        Err(_elapsed) => {
            let seconds = limit.as_secs();
            return Err(ConnectError::Unreachable(format!(
                "{}: no answer for {seconds} s",
                server.place()
            )));
        }
    };
    // Ends with the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}

async fn why(server: &postgres::Server, error: &tokio_postgres::Error) -> ConnectError {
    let reason = format!("{}: {}", server.place(), postgres::describe(error));
    if postgres::is_refused(error) {
        ConnectError::Refused(format!("postgres.url: {reason}"))
    } else if let Some(cause) = postgres::takes_no_writes(server, error).await {
        ConnectError::ReadOnly(format!("postgres.url: {}: {cause}", server.place()))
    } else if postgres::is_insecure(error) {
        ConnectError::Insecure(reason)
    } else {
        ConnectError::Unreachable(reason)
    }
}
