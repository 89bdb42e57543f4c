//! A command's connection to Postgres, and its errors as exit codes.

use tokio_postgres::Client;

use crate::config::Config;
use outflow_connect::postgres;
use outflow_connect::postgres::connect;
use outflow_core::fault::{Fault, FaultKind};

/// Connects; `name` is what `pg_stat_activity` shows.
pub(super) async fn to_postgres(config: &Config, name: &str) -> Result<Client, Fault> {
    connect(&config.postgres.named_by_default(name)).await.map_err(|fault| {
        if fault.kind().may_pass() { fault.at("cannot reach Postgres") } else { fault }
    })
}

/// A statement that failed, in words.
pub(super) fn failed(error: tokio_postgres::Error) -> Fault {
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
