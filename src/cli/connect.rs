//! A command's connection to Postgres, and its errors as exit codes.

use tokio_postgres::Client;

use crate::config::Config;
use crate::daemon::DaemonError;
use outflow_connect::postgres;
use outflow_connect::postgres::{ConnectError, connect};

/// Connects; `name` is what `pg_stat_activity` shows.
pub(super) async fn to_postgres(config: &Config, name: &str) -> Result<Client, DaemonError> {
    let server = postgres::server(&config.postgres, name)
        .map_err(|error| DaemonError::Configuration(format!("postgres.url: {error}")))?;
    connect(&server).await.map_err(|error| match error {
        ConnectError::Refused(reason)
        | ConnectError::ReadOnly(reason)
        | ConnectError::Insecure(reason) => DaemonError::Configuration(reason),
        ConnectError::Unreachable(reason) => {
            DaemonError::Unavailable(format!("cannot reach Postgres: {reason}"))
        }
    })
}

/// A statement that failed, in words.
#[expect(clippy::needless_pass_by_value, reason = "used as a function in map_err")]
pub(super) fn failed(error: tokio_postgres::Error) -> DaemonError {
    let reason = postgres::describe(&error);
    match error.code() {
        None => DaemonError::Unavailable(format!("Postgres is gone: {reason}")),
        Some(code) if matches!(code.code(), "42P01" | "3F000" | "42703") => {
            DaemonError::Configuration(format!(
                "{reason}: run `outflow migrate` with this configuration"
            ))
        }
        Some(_) => DaemonError::Failed(reason),
    }
}
