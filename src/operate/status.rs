//! `outflow status`: the state of the outboxes, read only from the two databases. It works from
//! anywhere and while no relay runs.

mod causes;
mod database;
mod kept;
mod report;
mod streams;

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Client;

use crate::config::Config;
use crate::relay::options::OutboxOptions;
use crate::relay::route::Template;
use outflow_connect::postgres::connect;
use outflow_connect::redis::{Failure, Redis};
use report::empty;
use streams::REACH;

pub use causes::{is_said_apart, of_some_streams};
pub use report::{
    DeadLetters, Group, Kept, KeptPosition, Member, OutboxStatus, Parked, Paused, Status, Stream,
};
pub use streams::{Reach, find};

/// How long to wait for Redis.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);

/// Queries both databases. What could not be found out is reported in the result.
pub async fn ask(config: &Config) -> Status {
    let server = config.postgres.named_by_default("outflow status");
    let client = connect(&server).await.map_err(|fault| fault.to_string());
    let mut status = of_postgres(config, client.as_ref().map_err(String::clone)).await;
    status.redis_problem = ask_redis(config, &mut status.outboxes).await.err();
    status
}

/// What Postgres alone tells, which is everything but the streams. `client` is a session, or why
/// there is none.
pub async fn of_postgres(config: &Config, client: Result<&Client, String>) -> Status {
    let outboxes = config.outboxes.iter().map(empty).collect();
    let mut status =
        Status { at: Timestamp::now(), postgres_problem: None, redis_problem: None, outboxes };
    let asked = match client {
        Ok(client) => database::ask(config, client, &mut status.outboxes).await,
        Err(problem) => Err(problem),
    };
    status.postgres_problem = asked.err();
    status
}

/// The streams in Redis whose names fit a template: those that are found in a bounded time.
///
/// # Errors
/// `SCAN` has no answer or is forbidden.
pub async fn streams_of(redis: &Redis, template: &Template) -> Result<Vec<String>, Failure> {
    find(redis, template, REACH).await.map(|(names, _complete)| names)
}

/// The same, at most `max`, and whether these are all.
///
/// # Errors
/// `SCAN` has no answer or is forbidden.
pub async fn streams_within(
    redis: &Redis,
    template: &Template,
    max: usize,
) -> Result<(Vec<String>, bool), Failure> {
    find(redis, template, Reach { streams_max: max, ..REACH }).await
}

/// What Postgres knows of these outboxes, and nothing of Redis.
///
/// # Errors
/// Why Postgres cannot be asked.
pub async fn in_postgres(
    config: &Config,
    outboxes: &[&OutboxOptions],
) -> Result<Vec<OutboxStatus>, String> {
    let outboxes: Vec<OutboxOptions> = outboxes.iter().copied().cloned().collect();
    let mut found: Vec<OutboxStatus> = outboxes.iter().map(empty).collect();
    let server = config.postgres.named_by_default("outflow find");
    let client = connect(&server).await.map_err(|fault| fault.to_string())?;
    database::ask(&Config { outboxes, ..config.clone() }, &client, &mut found).await?;
    Ok(found)
}

async fn ask_redis(config: &Config, outboxes: &mut [OutboxStatus]) -> Result<(), String> {
    let redis = Redis::connect(&config.redis, "outflow status")
        .map_err(|error| format!("redis.url: {error}"))?;
    redis.ready(CONNECT_LIMIT).await.map_err(|failure| failure.to_string())?;
    for (outbox, status) in config.outboxes.iter().zip(outboxes) {
        // On a cluster all streams of an outbox are in one slot.
        match redis.server_of(outbox.stream.hash_tag().unwrap_or_default()).await {
            Ok(server) => streams::ask(&server, &outbox.stream, status).await,
            Err(failure) => status.problems.push(format!("streams: CLUSTER SLOTS: {failure}")),
        }
    }
    redis.close().await;
    Ok(())
}
