//! Who put dead letters back or deleted them: one row for each outbox, written in the transaction
//! that does it.

use serde_json::{Value, json};
use tokio_postgres::Transaction;
use tokio_postgres::types::Type;

use super::letter::Filter;
use outflow_core::who::{host, os_user};

/// Numbers of letters that an audit row keeps.
const IDS_MAX: usize = 100;

/// Notes that `letters` of an outbox were retried or discarded, and by which filter they were
/// chosen.
///
/// # Errors
/// Postgres refused or is gone; the transaction is to be rolled back, so that nothing is done
/// without a trace.
pub async fn note(
    transaction: &Transaction<'_>,
    action: &str,
    outbox: &str,
    letters: u64,
    filter: &Filter,
) -> Result<(), tokio_postgres::Error> {
    record(transaction, action, outbox, letters, &shown(filter)).await
}

/// Notes what was done to an outbox, in the transaction that does it.
///
/// # Errors
/// As [`note`].
pub async fn record(
    transaction: &Transaction<'_>,
    action: &str,
    outbox: &str,
    letters: u64,
    filter: &Value,
) -> Result<(), tokio_postgres::Error> {
    let (user, host) = (os_user(), host());
    let letters = i64::try_from(letters).unwrap_or(i64::MAX);
    transaction
        .execute_typed(
            include_str!("sql/audit.sql"),
            &[
                (&action, Type::TEXT),
                (&outbox, Type::TEXT),
                (&letters, Type::INT8),
                (filter, Type::JSONB),
                (&user, Type::TEXT),
                (&host, Type::TEXT),
            ],
        )
        .await?;
    Ok(())
}

/// What was asked for; nothing else.
fn shown(filter: &Filter) -> Value {
    let Filter { ids, outbox, reason, stream, kind, key, since, until, limit } = filter;
    let ids = ids.as_ref().map(|ids| ids.iter().take(IDS_MAX).collect::<Vec<_>>());
    let mut shown = json!({
        "ids": ids, "outbox": outbox, "reason": reason, "stream": stream, "type": kind, "key": key,
        "since": since, "until": until, "limit": limit,
    });
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}
