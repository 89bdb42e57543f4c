//! Who put dead letters back or deleted them: one row for each outbox, written in the transaction
//! that does it.

use serde_json::{Value, json};
use tokio_postgres::Transaction;

use super::letter::Filter;
use crate::operate::audit::{Who, record};

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
    who: &Who,
    action: &str,
    outbox: &str,
    letters: u64,
    filter: &Filter,
) -> Result<(), tokio_postgres::Error> {
    record(transaction.client(), who, action, outbox, letters, &shown(filter)).await
}

/// What was asked for; nothing else.
pub fn shown(filter: &Filter) -> Value {
    let Filter { ids, outbox, reason, stream, kind, key, since, until, first, last, limit } =
        filter;
    let ids = ids.as_ref().map(|ids| ids.iter().take(IDS_MAX).collect::<Vec<_>>());
    let mut shown = json!({
        "ids": ids, "outbox": outbox, "reason": reason, "stream": stream, "type": kind, "key": key,
        "since": since, "until": until, "first": first, "last": last, "limit": limit,
    });
    if let Value::Object(fields) = &mut shown {
        fields.retain(|_, value| !value.is_null());
    }
    shown
}
