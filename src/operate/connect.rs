//! Connections of whoever asks for something, and what failed on them, with what to do about it.

use std::time::Duration;

use tokio_postgres::Client;

use super::audit::COLUMNS;
use crate::config::Config;
use crate::relay::outbox::schema_version;
use outflow_connect::postgres::{self, connect};
use outflow_connect::redis::{Failure, Redis};
use outflow_core::fault::{Fault, FaultKind};

/// How long to wait for Redis.
const REDIS_LIMIT: Duration = Duration::from_secs(5);

/// Connects; `name` is what `pg_stat_activity` shows.
///
/// # Errors
/// Postgres cannot be reached, or refuses, or has a schema that only newer programs know.
pub async fn to_postgres(config: &Config, name: &str) -> Result<Client, Fault> {
    let reached = |fault: Fault| {
        if fault.kind().may_pass() { fault.at("cannot reach Postgres") } else { fault }
    };
    let client = connect(&config.postgres.named_by_default(name)).await.map_err(reached)?;
    schema_version::known(&client).await.map_err(reached)?;
    Ok(client)
}

/// Connects; `name` is what `CLIENT LIST` shows.
///
/// # Errors
/// Redis cannot be reached, or refuses.
pub async fn to_redis(config: &Config, name: &str) -> Result<Redis, Fault> {
    let redis =
        Redis::connect(&config.redis, name).map_err(|bad| Fault::from(bad).at("redis.url"))?;
    redis.ready(REDIS_LIMIT).await.map_err(redis_failed)?;
    Ok(redis)
}

/// A statement that failed, in words.
pub fn failed(error: tokio_postgres::Error) -> Fault {
    let reason = postgres::describe(&error);
    let fault = match error.code() {
        None => Fault::unreachable(format!("Postgres is gone: {reason}")),
        Some(code) if matches!(code.code(), "42P01" | "3F000" | "42703") => {
            Fault::new(FaultKind::Unfit, reason)
                .remedy("run `outflow migrate` with this configuration")
        }
        Some(_) => Fault::failed(reason),
    };
    fault.because(error)
}

/// As [`failed`], of something that was to be done: nothing was.
pub fn untraced(error: tokio_postgres::Error) -> Fault {
    if error.code() != Some(&tokio_postgres::error::SqlState::INSUFFICIENT_PRIVILEGE) {
        return failed(error);
    }
    let words = postgres::describe(&error);
    let what = format!("nothing was done: {words}: the role must leave a trace");
    let remedy =
        format!("grant insert ({COLUMNS}) on outflow.audit to it, or run grants.sql again");
    Fault::failed(what).remedy(remedy).because(error)
}

/// What Redis or the connection to it said. A command that Redis refuses has failed; only a login
/// that it refuses is a matter of the configuration.
pub fn redis_failed(failure: Failure) -> Fault {
    let is_command = matches!(failure, Failure::Refused(_)) && !failure.is_login_refused();
    let fault = Fault::from(failure);
    if is_command {
        fault.of_kind(FaultKind::Failed)
    } else if fault.kind().may_pass() {
        fault.at("cannot reach Redis")
    } else {
        fault
    }
}
