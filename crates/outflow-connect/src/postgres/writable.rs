//! Why a server takes no writes: tokio-postgres only says that it does not.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::TargetSessionAttrs;

use super::Server;

/// How long the answer may take, once there is a session.
const LIMIT: Duration = Duration::from_secs(5);
/// tokio-postgres's words, from `target_session_attrs=read-write`.
const READ_ONLY: &str = "does not allow writes";
const LOOK: &str = "select pg_catalog.pg_is_in_recovery()";

/// If an error of [`Server::connect`] says that the server takes no writes: why, and what to do.
pub async fn takes_no_writes(
    server: &Server,
    error: &tokio_postgres::Error,
) -> Option<(&'static str, &'static str)> {
    use std::error::Error as _;
    let is_read_only = error.source().is_some_and(|source| source.to_string().contains(READ_ONLY));
    if !is_read_only {
        return None;
    }
    let is_standby = timeout(server.connect_timeout() + LIMIT, is_standby(server))
        .await
        .ok()
        .and_then(Result::ok);
    Some(match is_standby {
        Some(true) => {
            ("is a standby, which takes no writes", "let postgres.url lead to the primary")
        }
        Some(false) | None => (
            "is read-only for this role",
            "set default_transaction_read_only to off for the role and the database, or let \
                postgres.url lead to the primary",
        ),
    })
}

async fn is_standby(server: &Server) -> Result<bool, tokio_postgres::Error> {
    let mut to_any = server.clone();
    to_any.config.target_session_attrs(TargetSessionAttrs::Any);
    let (client, connection) = to_any.connect().await?;
    let _driver = outflow_core::task::owned(connection);
    Ok(client.query_typed_one(LOOK, &[]).await?.get(0))
}
