//! Whether sessions are shared: behind a transaction pooler the next transaction of a session may
//! run on another server connection, and what one session sets (a timeout, a lock, a LISTEN) is
//! somebody else's from then on.
//!
//! Told without setting anything, because the server connection may belong to an application: two
//! sessions of ours begin and roll back in turn, and each must meet the same server process every
//! time. The order changes from round to round, so that a pool which hands out the connection that
//! came back last is found out as well as one that takes the oldest.

use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{Server, describe};

/// What is wrong with an address that leads to a transaction pooler.
pub const POOLED: &str =
    "a transaction pooler is in between: session locks and LISTEN do not work behind it";
/// What to do about it.
pub const UNPOOLED: &str =
    "let the address lead to the server itself, or to a pool in session mode";
/// What a relay can do about it, too.
pub const UNPOOLED_OR_CONTROL: &str = "let postgres.control_url lead to the server itself, or let \
    this address lead to the server itself or to a pool in session mode";

/// A session that waits this long for another one of ours may share a server connection with it:
/// looked into then.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(10);
const ROUNDS: usize = 4;

/// Whether a transaction pooler is between `client` and the server. Another session is opened and
/// closed.
///
/// # Errors
/// It cannot be told: why.
pub async fn shares_sessions(server: &Server, client: &Client) -> Result<bool, String> {
    let connecting = async { server.connect().await.map_err(|error| describe(&error)) };
    let (other, connection) = answered_in(server.connect_timeout() + LIMIT, connecting).await?;
    let driver = outflow_core::task::owned(connection);
    let outcome = match compared(client, &other).await {
        // PgBouncer's words for a pool that hands out connections for single statements.
        Err(reason) if reason.contains("statement pooling") => Ok(true),
        outcome => outcome,
    };
    drop(other);
    // Said goodbye, so that its place on the server is free again at once.
    let _ = timeout(LIMIT, driver).await;
    outcome
}

async fn compared(one: &Client, other: &Client) -> Result<bool, String> {
    let mut known = None;
    for round in 0..ROUNDS {
        let first = answered(begun(one)).await?;
        let mut beginning = pin!(begun(other));
        let Ok(second) = timeout(PATIENCE, &mut beginning).await else {
            // Slow, or waiting for our own transaction: then it gets the same process as soon as
            // that has ended.
            ended(one).await?;
            let second = answered(beginning).await?;
            ended(other).await?;
            if first == second {
                return Ok(true);
            }
            continue;
        };
        let second = second?;
        let order = if round % 2 == 0 { [other, one] } else { [one, other] };
        for client in order {
            ended(client).await?;
        }
        if first == second
            || *known.get_or_insert((first.clone(), second.clone())) != (first, second)
        {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn answered<T>(step: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    answered_in(LIMIT, step).await
}

async fn answered_in<T>(
    limit: Duration,
    step: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    timeout(limit, step)
        .await
        .unwrap_or_else(|_elapsed| Err(format!("no answer for {} s", limit.as_secs())))
}

/// Begins a transaction; the server process that it is in.
async fn begun(client: &Client) -> Result<String, String> {
    let asked = client.simple_query("begin read only; select pg_catalog.pg_backend_pid()");
    let messages = asked.await.map_err(|error| describe(&error))?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    row.map(str::to_owned).ok_or_else(|| "no answer to pg_backend_pid()".to_owned())
}

async fn ended(client: &Client) -> Result<(), String> {
    answered(async { client.batch_execute("rollback").await.map_err(|error| describe(&error)) })
        .await
}
