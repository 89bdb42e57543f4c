//! The consumer's effect: orders reserve stock, cancelled ones give it back, once per event.

use std::collections::BTreeMap;

use deadpool_postgres::{Pool, PoolError};
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::order::{Item, ORDER_CANCELLED, ORDER_CREATED, OrderEvent};
use crate::consumer::{Entry, Handled, Handler, HandlerError, Inbox};
use crate::postgres::{describe, describe_pool, is_outage};

const RESERVE: &str = include_str!("sql/reserve.sql");
/// The inbox table.
pub const INBOX: &str = "orders.inbox";

/// Keeps `orders.inventory`.
#[derive(Debug, Clone)]
pub struct Stock {
    pool: Pool,
    inbox: Inbox,
}

impl Stock {
    /// The effect of the consumer group that the inbox is of: each group makes it once per event.
    pub fn new(pool: Pool, inbox: Inbox) -> Self {
        Self { pool, inbox }
    }

    async fn reserve(&self, event_id: Uuid, wanted: &BTreeMap<&str, i64>) -> Result<Handled, HandlerError> {
        let mut client = self.pool.get().await.map_err(|error| no_connection(&error))?;
        let skus: Vec<&str> = wanted.keys().copied().collect();
        let quantities: Vec<i64> = wanted.values().copied().collect();
        let work = async {
            let transaction = client.transaction().await?;
            if !self.inbox.first_time(&*transaction, event_id).await? {
                return Ok(Handled::Duplicate);
            }
            let reserve = transaction.prepare_cached(RESERVE).await?;
            transaction.execute(&reserve, &[&skus, &quantities]).await?;
            transaction.commit().await?;
            Ok(Handled::Done)
        };
        work.await.map_err(|error| verdict(&error))
    }
}

impl Handler for Stock {
    async fn handle(&self, entry: &Entry) -> Result<Handled, HandlerError> {
        let sign = match entry.kind.as_str() {
            ORDER_CREATED => 1,
            ORDER_CANCELLED => -1,
            _ => return Ok(Handled::Ignored),
        };
        let not_uuid = |_| HandlerError::Permanent(format!("event id {:?} is no UUID", entry.event_id));
        let event_id: Uuid = entry.event_id.parse().map_err(not_uuid)?;
        let event: OrderEvent = entry.json()?;
        self.reserve(event_id, &quantities(&event.items, sign)).await
    }
}

/// How many of each sku, in the order of the skus.
fn quantities(items: &[Item], sign: i64) -> BTreeMap<&str, i64> {
    let mut wanted = BTreeMap::new();
    for item in items {
        *wanted.entry(item.sku.as_str()).or_default() += sign * i64::from(item.quantity);
    }
    wanted
}

fn no_connection(error: &PoolError) -> HandlerError {
    HandlerError::Unavailable(describe_pool(error))
}

/// Decided by SQLSTATE. Tables, schemas and privileges that are missing are the operator's to mend, not the entry's fault;
/// data that Postgres refuses (classes 22 and 23) it will refuse again.
fn verdict(error: &Error) -> HandlerError {
    let text = describe(error);
    let code = error.code().map(SqlState::code).unwrap_or_default();
    // Serialization failure, deadlock, lock timeout: not the server's fault, only this entry's bad luck.
    if matches!(code, "40001" | "40P01" | "55P03") {
        return HandlerError::Conflict(text);
    }
    if is_outage(error) || matches!(code, "42P01" | "3F000" | "42501") {
        return HandlerError::Unavailable(text);
    }
    if code.starts_with("22") || code.starts_with("23") {
        return HandlerError::Permanent(text);
    }
    HandlerError::Retry(text)
}
