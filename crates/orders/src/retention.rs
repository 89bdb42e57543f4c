//! Indexes for retention on tables that an earlier version made and filled: built in the
//! background, while writers go on.

use deadpool_postgres::Pool;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use outflow_connect::postgres::{describe, describe_pool};

/// One builder at a time: two of them would wait for each other's snapshots. Any number that is
/// always the same will do.
const LOCK: &str = "select pg_try_advisory_lock(482931775)";
const UNLOCK: &str = "select pg_advisory_unlock(482931775)";
/// A build may take minutes and waits for whoever is in a transaction.
const PATIENCE: &str = "set statement_timeout = 0; set lock_timeout = 0";
const IMPATIENCE: &str = "set statement_timeout = '10s'; set lock_timeout = '5s'";
/// Whether an index is there and whole; a build that was broken off leaves one that is not.
const STATE: &str = "select i.indisvalid from pg_index i where i.indexrelid = to_regclass($1)";

/// Each index, how it is built, and the one that it replaces.
const INDEXES: [(&str, &str, Option<&str>); 2] = [
    (
        "orders.inbox_expiry",
        "create index concurrently inbox_expiry on orders.inbox (consumer_group, handled_at)",
        Some("orders.inbox_handled_at"),
    ),
    (
        "orders.idempotency_expiry",
        "create index concurrently idempotency_expiry on orders.idempotency (created_at)",
        None,
    ),
];

/// Builds what is missing, once; a failure is logged, and the next start tries again. Nothing
/// depends on it but the cost of retention.
pub(super) async fn build_indexes(pool: &Pool, stop: &CancellationToken) {
    let built = tokio::select! {
        built = build(pool) => built,
        () = stop.cancelled() => return,
    };
    if let Err(cause) = built {
        tracing::warn!(%cause, "could not build the indexes for retention: start once as the owner \
            of the tables, or build them by hand");
    }
}

async fn build(pool: &Pool) -> Result<(), String> {
    let client = pool.get().await.map_err(|error| describe_pool(&error))?;
    if !is_any_missing(&client).await.map_err(|error| describe(&error))? {
        return Ok(());
    }
    let built = build_all(&client).await.map_err(|error| describe(&error));
    if built.is_err() || client.batch_execute(IMPATIENCE).await.is_err() {
        // With its lock, if it has it.
        drop(deadpool_postgres::Object::take(client));
    }
    built
}

async fn is_any_missing(client: &Client) -> Result<bool, tokio_postgres::Error> {
    for (name, _, replaced) in INDEXES {
        let is_left = |found: Option<bool>| replaced.is_some() && found.is_some();
        let is_replaced_there = match replaced {
            Some(replaced) => state(client, replaced).await?,
            None => None,
        };
        if state(client, name).await? != Some(true) || is_left(is_replaced_there) {
            return Ok(true);
        }
    }
    Ok(false)
}

async fn state(client: &Client, name: &str) -> Result<Option<bool>, tokio_postgres::Error> {
    Ok(client.query_opt(STATE, &[&name]).await?.map(|row| row.get(0)))
}

async fn build_all(client: &Client) -> Result<(), tokio_postgres::Error> {
    if !client.query_one(LOCK, &[]).await?.get::<_, bool>(0) {
        return Ok(());
    }
    client.batch_execute(PATIENCE).await?;
    for (name, create, replaced) in INDEXES {
        let found = state(client, name).await?;
        if found == Some(false) {
            client.batch_execute(&format!("drop index concurrently {name}")).await?;
        }
        if found != Some(true) {
            tracing::info!(index = name, "building an index for retention");
            client.batch_execute(create).await?;
        }
        if let Some(replaced) = replaced
            && state(client, replaced).await?.is_some()
        {
            client.batch_execute(&format!("drop index concurrently {replaced}")).await?;
        }
    }
    client.query_one(UNLOCK, &[]).await.map(drop)
}
