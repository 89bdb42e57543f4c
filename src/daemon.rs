//! The only place that wires things together: configuration in, one relay for each outbox out.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::admin::{self, Admin};
use crate::config::{Config, OutboxConfig};
use crate::encode::Encoder;
use crate::gauge;
use crate::metrics::{Metrics, OutboxMetrics};
use crate::notify;
use crate::outbox::PgOutbox;
use crate::outbox::table::{Table, TableError};
use crate::postgres;
use crate::redis::Redis;
use crate::relay::{Mode, Relay};
use crate::sink::RedisSink;
use crate::summary;

/// Pauses between looks at a server that is down at start-up.
const START_PAUSE_MIN: Duration = Duration::from_millis(100);
const START_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long `--once` waits for its servers.
const ONCE_CONNECT_LIMIT: Duration = Duration::from_secs(5);

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

/// Relays every configured outbox until `stop`, or until they are empty.
///
/// # Errors
/// See [`DaemonError`]. An outage is no error: it is waited out.
pub async fn run(config: Config, mode: Mode, stop: CancellationToken) -> Result<(), DaemonError> {
    let metrics = Metrics::new().map_err(|error| DaemonError::Failed(error.to_string()))?;
    let outboxes: Vec<(OutboxConfig, OutboxMetrics)> =
        config.outboxes.iter().map(|outbox| (outbox.clone(), metrics.outbox(&outbox.name))).collect();
    let closed = CancellationToken::new();
    let mut background = JoinSet::new();
    if mode == Mode::Daemon {
        let listener = admin::bind(config.admin_listen).await.map_err(DaemonError::Failed)?;
        tracing::info!(address = %config.admin_listen, "admin endpoint");
        let outboxes: Vec<OutboxMetrics> = outboxes.iter().map(|(_, metrics)| metrics.clone()).collect();
        background.spawn(notify::keep(outboxes.clone(), stop.clone()));
        background.spawn(summary::keep(outboxes.clone()));
        let shown = Admin { metrics: metrics.clone(), outboxes, started: Instant::now(), stop: stop.clone() };
        background.spawn(admin::serve(listener, shown, closed.clone()));
    }
    let config = Arc::new(config);
    let mut relays = JoinSet::new();
    for (outbox, metrics) in outboxes {
        relays.spawn(relay(Arc::clone(&config), outbox, metrics, mode, stop.clone()));
    }
    let outcome = ended(&mut relays, &stop, config.shutdown_grace).await;
    notify::stopping();
    closed.cancel();
    background.abort_all();
    outcome
}

/// Waits for every relay; the first that cannot start stops the others, which still drain.
async fn ended(
    relays: &mut JoinSet<Result<(), DaemonError>>,
    stop: &CancellationToken,
    grace: Duration,
) -> Result<(), DaemonError> {
    let mut outcome = Ok(());
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(grace).await;
    };
    let mut overdue = std::pin::pin!(overdue);
    loop {
        let one = tokio::select! {
            one = relays.join_next() => one,
            () = &mut overdue => {
                let limit = humantime::format_duration(grace);
                return Err(DaemonError::Failed(format!("what was in flight was not settled within {limit}: aborted; it is recovered at the next start")));
            }
        };
        let error = match one {
            None => return outcome,
            Some(Ok(Ok(()))) => continue,
            Some(Ok(Err(error))) => error,
            Some(Err(panic)) => DaemonError::Failed(format!("a relay has ended unexpectedly: {panic}")),
        };
        tracing::error!("{error}");
        stop.cancel();
        outcome = outcome.and(Err(error));
    }
}

async fn relay(
    config: Arc<Config>,
    outbox: OutboxConfig,
    metrics: OutboxMetrics,
    mode: Mode,
    stop: CancellationToken,
) -> Result<(), DaemonError> {
    let server = postgres::server(&config.postgres, "outflow")
        .map_err(|error| DaemonError::Configuration(format!("postgres.url: {error}")))?;
    let Some(table) = inspected(&server, &outbox, &metrics, mode, &stop).await? else { return Ok(()) };
    let redis = Redis::open(&config.redis, "outflow")
        .map_err(|error| DaemonError::Configuration(format!("redis.url: {error}")))?;
    let ready = redis.ready(ONCE_CONNECT_LIMIT).await;
    if let (Err(failure), Mode::Once) = (ready, mode) {
        return Err(DaemonError::Unavailable(failure.to_string()));
    }
    if !table.has_trigger {
        tracing::warn!(
            outbox = outbox.name,
            "no wake-up trigger: rows are found by polling (`outflow migrate --triggers` adds it)"
        );
    }
    if !table.has_cursor {
        tracing::warn!(
            outbox = outbox.name,
            "columns.order is no integer: every claim starts at the beginning of the table"
        );
    }
    let sink = RedisSink::new(redis.clone(), &table.journal, outbox.max_len);
    let encoder = Encoder {
        template: outbox.stream.clone(),
        format: outbox.format,
        event_bytes_max: outbox.event_bytes_max,
        source: Bytes::from(format!("/{}", outbox.name)),
    };
    let (name, in_flight, poll) = (outbox.name.clone(), outbox.in_flight, outbox.poll_interval);
    // Ends with this function.
    let _gauge = (mode == Mode::Daemon)
        .then(|| AbortOnDropHandle::new(tokio::spawn(gauge::keep(server.clone(), outbox.clone(), metrics.clone()))));
    let source = PgOutbox::new(outbox, table, &server, &Redis::place(&config.redis));
    let relay = Relay::new(&name, source, sink, encoder, in_flight, poll, metrics);
    Box::pin(relay.run(mode, &stop)).await;
    redis.close().await;
    Ok(())
}

/// Looks the table up, as long as it takes; `None` when asked to stop.
async fn inspected(
    server: &postgres::Server,
    outbox: &OutboxConfig,
    metrics: &OutboxMetrics,
    mode: Mode,
    stop: &CancellationToken,
) -> Result<Option<Table>, DaemonError> {
    let pauses = ExponentialBuilder::default().with_min_delay(START_PAUSE_MIN).with_max_delay(START_PAUSE_MAX);
    let mut pauses = pauses.with_jitter().without_max_times().build();
    let mut known = None;
    while !stop.is_cancelled() {
        let reason = match connect(server).await {
            Ok(client) => match Table::inspect(&client, outbox).await {
                Ok(table) => return Ok(Some(table)),
                Err(unfit @ TableError::Unfit { .. }) => return Err(DaemonError::Configuration(unfit.to_string())),
                Err(TableError::Unreachable(reason)) => reason,
            },
            Err(ConnectError::Refused(reason)) => return Err(DaemonError::Configuration(reason)),
            // A certificate is renewed, and then it works: no reason to end for a daemon.
            Err(ConnectError::Insecure(reason)) if mode == Mode::Once => {
                return Err(DaemonError::Configuration(reason));
            }
            Err(ConnectError::Insecure(reason) | ConnectError::Unreachable(reason)) => reason,
        };
        if mode == Mode::Once {
            return Err(DaemonError::Unavailable(format!("cannot reach Postgres: {reason}")));
        }
        metrics.down(&reason);
        if known.as_ref() != Some(&reason) {
            tracing::warn!(outbox = outbox.name, reason, "cannot reach Postgres: trying again until it works");
            known = Some(reason);
        }
        tokio::select! {
            () = tokio::time::sleep(pauses.next().unwrap_or(START_PAUSE_MAX)) => {}
            () = stop.cancelled() => {}
        }
    }
    Ok(None)
}

/// Why there is no connection.
pub enum ConnectError {
    /// The server answered, and nothing changes until somebody mends it: wrong password, no such database.
    Refused(String),
    /// TLS did not come about, or not as it was asked for.
    Insecure(String),
    /// Nobody answered, or the server is starting up.
    Unreachable(String),
}

impl ConnectError {
    /// The reason.
    pub fn reason(&self) -> &str {
        match self {
            Self::Refused(reason) | Self::Insecure(reason) | Self::Unreachable(reason) => reason,
        }
    }
}

/// One connection for a look at the catalog or a migration.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(server: &postgres::Server) -> Result<Client, ConnectError> {
    let (client, connection) = server.connect().await.map_err(|error| {
        let reason = format!("{}: {}", server.place(), postgres::describe(&error));
        // 28: authorization, 3D: no such database.
        let refused = error.code().is_some_and(|code| code.code().starts_with("28") || code.code().starts_with("3D"));
        if refused {
            ConnectError::Refused(format!("postgres.url: {reason}"))
        } else if postgres::is_insecure(&error) {
            ConnectError::Insecure(reason)
        } else {
            ConnectError::Unreachable(reason)
        }
    })?;
    // Ends with the client.
    tokio::spawn(async move { drop(connection.await) });
    Ok(client)
}
