//! One outbox's relay, from its table to its end.

use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use bytes::Bytes;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{ConnectError, DaemonError, connect};
use crate::config::{Config, OutboxConfig};
use crate::encode::Encoder;
use crate::gauge;
use crate::metrics::OutboxMetrics;
use crate::outbox::PgOutbox;
use crate::outbox::table::{Table, TableError};
use crate::postgres;
use crate::redis::Redis;
use crate::relay::{Limits, Mode, Relay};
use crate::sink::RedisSink;

/// Pauses between looks at a server that is down at start-up.
const START_PAUSE_MIN: Duration = Duration::from_millis(100);
const START_PAUSE_MAX: Duration = Duration::from_secs(5);
/// How long `--once` waits for its servers.
const ONCE_CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Relays one outbox until it is stopped, or empty.
pub(super) async fn relay(
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
        .map_err(|error| DaemonError::Configuration(format!("redis.url: {error}")))?
        .waiting_for(config.wait_replicas);
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
    let sink = RedisSink::new(redis.clone(), &table.journal, outbox.stream.hash_tag(), outbox.max_len);
    let encoder = Encoder {
        template: outbox.stream.clone(),
        format: outbox.format,
        event_bytes_max: outbox.event_bytes_max,
        source: Bytes::from(format!("/{}", outbox.name)),
    };
    let OutboxConfig { in_flight, poll_interval, linger, park_max, .. } = outbox;
    let (name, limits) = (outbox.name.clone(), Limits { in_flight, poll_interval, linger, park_max });
    // Ends with this function.
    let _gauge = (mode == Mode::Daemon)
        .then(|| AbortOnDropHandle::new(tokio::spawn(gauge::keep(server.clone(), outbox.clone(), metrics.clone()))));
    let source = PgOutbox::new(outbox, table, &server, &Redis::place(&config.redis));
    let relay = Relay::new(&name, source, sink, encoder, limits, metrics);
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
            Ok(client) => match looked_up(server, &client, outbox).await {
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

/// Over sessions of its own, before anything is set in one, and the table with all that it needs.
pub(super) async fn looked_up(
    server: &postgres::Server,
    client: &Client,
    outbox: &OutboxConfig,
) -> Result<Table, TableError> {
    if postgres::shares_sessions(server, client).await.map_err(TableError::Unreachable)? {
        let message = format!("postgres.url: {}; {}", postgres::POOLED, postgres::UNPOOLED);
        return Err(TableError::Unfit { outbox: outbox.name.clone(), message });
    }
    Table::inspect(client, outbox).await
}
